"""The addresses of the loader's locks in a process: a thread that loads a library holds them.

Source: glibc's sysdeps/generic/ldsodefs.h: _dl_load_lock, _dl_load_write_lock, _dl_load_tls_lock,
in _rtld_global, one behind the other; nptl's struct_mutex.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading

from .process import Process, RefusedError

_SIZE = 40  # of a pthread_mutex_t
_RECURSIVE = 1  # its kind


def loader_locks(process: Process) -> list[int]:
    """The addresses of those mutexes. Raises RefusedError.

    If its loader is the same file, they have the same place as in this process. Here one of them is
    found by holding it, as dl_iterate_phdr() does; the others are its neighbours.
    """
    theirs = process.loader
    with Process(os.getpid()) as own:
        ours = own.loader
    if theirs is None or ours is None or theirs.which != ours.which:
        raise RefusedError(
            f"process {process.pid} has another C library ({theirs and theirs.file}) than this "
            f"Python ({ours and ours.file}): run this with a Python that uses the same"
        )
    held: list[int] = []
    this_thread = threading.get_native_id()

    def mutex(at: int) -> tuple[int, int]:
        """(The owner, the kind) of what is there."""
        _, _, owner, _, kind = struct.unpack("=iIiIi", ctypes.string_at(ours.address + at, 20))
        return owner, kind

    def find(*_: object) -> int:
        last = ours.size - _SIZE
        held.extend(at for at in range(0, last, 8) if mutex(at) == (this_thread, _RECURSIVE))
        return 1  # to be called once

    visit = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)(find)
    ctypes.CDLL(None).dl_iterate_phdr(visit, None)
    if len(held) != 1:
        raise RefusedError(
            f"{ours.file}, the loader, keeps its locks where they are not looked for: start the "
            "tool with the program instead"
        )
    all_three = (held[0] - _SIZE, held[0], held[0] + _SIZE)
    return [theirs.address + at for at in all_three if mutex(at)[1] == _RECURSIVE]
