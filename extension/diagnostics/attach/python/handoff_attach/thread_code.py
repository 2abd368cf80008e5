"""The machine code of a thread that makes a call of Python's, for x86-64 (System V ABI).

It leaves signals to the program's own threads, is joined by nobody, takes the GIL as every native
thread does, runs the statements, and ends.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ALL_SIGNALS = b"\xff" * 128  # a sigset_t; glibc leaves out those that it needs itself

_SIG_SETMASK = 2


class Functions(NamedTuple):
    """Their addresses in the process."""

    pthread_create: int
    pthread_self: int
    pthread_detach: int
    pthread_sigmask: int


def thread_code(
    libc: Functions, ensure: int, run: int, release: int, source: int, all_signals: int
) -> bytes:
    """A start routine for pthread_create(), wherever it is put.

    ensure, run, release: the addresses of Python's functions; source, all_signals: of text that
    ends with a NUL, and of ALL_SIGNALS.
    """

    def call(function: int) -> bytes:
        return b"\x48\xb8" + struct.pack("<Q", function) + b"\xff\xd0"  # mov rax, …; call rax

    return b"".join(
        (
            b"\x53",  # push rbx, which aligns the stack as well
            b"\xbf" + struct.pack("<I", _SIG_SETMASK),  # mov edi, …
            b"\x48\xbe" + struct.pack("<Q", all_signals),  # mov rsi, …
            b"\x31\xd2",  # xor edx, edx
            call(libc.pthread_sigmask),
            call(libc.pthread_self),
            b"\x48\x89\xc7",  # mov rdi, rax
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
