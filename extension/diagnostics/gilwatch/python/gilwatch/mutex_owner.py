"""Which thread has locked the mutex that another waits for.

Source: futex(2); glibc's sysdeps/nptl/bits/struct_mutex.h: the owner's number is behind the word
that a thread waits at and a count, of 4 bytes each.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from handoff_attach.process import Process, RefusedError

_FUTEX = {"x86_64": 202, "aarch64": 98}
_PRIVATE = 128  # not shared with other processes, whose threads have other numbers here


class SystemCall(NamedTuple):
    """What a thread is in: its number, and the first of its arguments."""

    number: int
    first: int
    second: int


def owners_in(process: Process) -> dict[int, int]:
    """Of a process that runs, by the number of the thread that waits; as owner_if_mutex().

    Raises RefusedError where it has ended.
    """

    def read(address: int, size: int) -> bytes:
        try:
            return process.read(address, size)
        except RefusedError:  # nothing is there any more, perhaps: the wait is over
            return b""

    owners = {}
    for thread in process.threads():
        try:
            text = Path(f"/proc/{process.pid}/task/{thread}/syscall").read_text()
        except OSError:
            continue  # it has ended, or the system does not say
        number, *arguments = text.split()
        if number.isdigit():  # and not "running"
            call = SystemCall(int(number), *(int(each, 16) for each in arguments[:2]))
            owners[thread] = owner_if_mutex(call, read)
    return owners


def owner_if_mutex(call: SystemCall, read: Callable[[int, int], bytes]) -> int:
    """A thread's number, if it is a mutex that the call waits for, which its caller knows.

    0: there is none, or it is no wait of this kind. read: memory, of an address and a size.
    """
    if call.number != _FUTEX.get(platform.machine()) or not call.second & _PRIVATE:
        return 0
    word = read(call.first + 8, 4)
    owner: int = struct.unpack("<i", word)[0] if len(word) == 4 else 0
    return owner
