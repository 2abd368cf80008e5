"""The machine code of a thread that makes a call of Python's, for x86-64 (System V ABI).

It leaves signals to the program's own threads, has a name, is joined by nobody, takes the GIL as
every native thread does, runs the statements, and ends.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

# What it refers to: a sigset_t, of which glibc leaves out what it needs itself, and its name.
CONSTANTS = b"\xff" * 128 + b"handoff-attach\0\0"

_NAME = 128
_SIG_SETMASK = 2


class Functions(NamedTuple):
    """Their addresses in the process."""

    pthread_create: int
    pthread_self: int
    pthread_detach: int
    pthread_sigmask: int
    pthread_setname_np: int


def thread_code(
    libc: Functions, ensure: int, run: int, release: int, source: int, constants: int
) -> bytes:
    """A start routine for pthread_create(), wherever it is put.

    ensure, run, release: the addresses of Python's functions; source, constants: of text that ends
    with a NUL, and of CONSTANTS.
    """

    def call(function: int) -> bytes:
        return b"\x48\xb8" + struct.pack("<Q", function) + b"\xff\xd0"  # mov rax, …; call rax

    return b"".join(
        (
            b"\x53",  # push rbx, which aligns the stack as well
            b"\xbf" + struct.pack("<I", _SIG_SETMASK),  # mov edi, …
            b"\x48\xbe" + struct.pack("<Q", constants),  # mov rsi, …
            b"\x31\xd2",  # xor edx, edx
            call(libc.pthread_sigmask),
            call(libc.pthread_self),
            b"\x48\x89\xc3",  # mov rbx, rax
            b"\x48\x89\xdf",  # mov rdi, rbx
            b"\x48\xbe" + struct.pack("<Q", constants + _NAME),  # mov rsi, …
            call(libc.pthread_setname_np),
            b"\x48\x89\xdf",  # mov rdi, rbx
            call(libc.pthread_detach),
            call(ensure),
            b"\x89\xc3",  # mov ebx, eax
            b"\x48\xbf" + struct.pack("<Q", source),  # mov rdi, …
            call(run),
            b"\x89\xdf",  # mov edi, ebx
            call(release),
            b"\x31\xc0",  # xor eax, eax
            b"\x5b",  # pop rbx
            b"\xc3",  # ret
        )
    )
