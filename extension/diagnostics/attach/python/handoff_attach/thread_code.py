"""The machine code that runs Python statements in a process, for x86-64 (System V ABI).

A pending call runs them between two instructions of a thread, whose trace function is not called
meanwhile. If they raise, the error is cleared and noted: it is none of the program's.

A thread leaves signals to the program's own threads, has a name, is joined by nobody, takes the GIL
as every native thread does, runs the statements in the same way, and ends.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

# What it refers to: a sigset_t, of which glibc leaves out what it needs itself; its name, which is
# also that of the statements' file; a module.
CONSTANTS = b"\xff" * 128 + b"handoff-attach\0\0" + b"__main__".ljust(16, b"\0")

_NAME = 128
_MODULE = 144
_SIG_SETMASK = 2


class Functions(NamedTuple):
    """Their addresses in the process."""

    pthread_create: int
    pthread_self: int
    pthread_detach: int
    pthread_sigmask: int
    pthread_setname_np: int


class Python(NamedTuple):
    """Its functions that are called, by their names: their addresses in the process."""

    PyThreadState_Get: int
    PyThreadState_EnterTracing: int
    PyThreadState_LeaveTracing: int
    PyImport_AddModule: int
    PyModule_GetDict: int
    Py_CompileString: int
    PyEval_EvalCode: int
    Py_DecRef: int
    PyErr_Clear: int
    PyGILState_Ensure: int
    PyGILState_Release: int


def _call(function: int) -> bytes:
    return b"\x48\xb8" + struct.pack("<Q", function) + b"\xff\xd0"  # mov rax, …; call rax


def call_code(python: Python, source: int, constants: int, failed: tuple[int, bytes]) -> bytes:
    """A function for Py_AddPendingCall(), wherever it is put: returns 0.

    source, constants: the addresses of text that ends with a NUL, and of CONSTANTS; failed: where
    which byte is written if the statements raise.
    """
    file_input = 257  # Py_file_input
    where, byte = failed

    def unless_null(test: bytes, then: bytes) -> bytes:
        return test + b"\x74" + bytes([len(then)]) + then  # jz …

    drop_result = b"\x4c\x89\xe7" + _call(python.Py_DecRef)  # mov rdi, r12
    note_failure = (
        _call(python.PyErr_Clear)
        + (b"\x48\xb8" + struct.pack("<Q", where))  # mov rax, …
        + (b"\xc6\x00" + byte)  # mov byte ptr [rax], …
    )
    drop_result += b"\xeb" + bytes([len(note_failure)])  # jmp …
    # Not PyRun_String(), which forgets that a KeyboardInterrupt is ending Python.
    evaluate = b"".join(
        (
            b"\x49\x89\xc5",  # mov r13, rax
            b"\x48\x89\xc7",  # mov rdi, rax
            b"\x4c\x89\xe6",  # mov rsi, r12
            b"\x4c\x89\xe2",  # mov rdx, r12
            _call(python.PyEval_EvalCode),
            b"\x49\x89\xc4",  # mov r12, rax
            b"\x4c\x89\xef",  # mov rdi, r13
            _call(python.Py_DecRef),
            unless_null(b"\x4d\x85\xe4", drop_result),  # test r12, r12
        )
    )
    run = b"".join(
        (
            b"\x48\x89\xc7",  # mov rdi, rax
            _call(python.PyModule_GetDict),
            b"\x49\x89\xc4",  # mov r12, rax
            b"\x48\xbf" + struct.pack("<Q", source),  # mov rdi, …
            b"\x48\xbe" + struct.pack("<Q", constants + _NAME),  # mov rsi, …
            b"\xba" + struct.pack("<I", file_input),  # mov edx, …
            _call(python.Py_CompileString),
            unless_null(b"\x48\x85\xc0", evaluate),  # test rax, rax
        )
    )
    return b"".join(
        (
            b"\x53",  # push rbx
            b"\x41\x54",  # push r12
            b"\x41\x55",  # push r13, which aligns the stack as well
            _call(python.PyThreadState_Get),
            b"\x48\x89\xc3",  # mov rbx, rax
            b"\x48\x89\xc7",  # mov rdi, rax
            _call(python.PyThreadState_EnterTracing),
            b"\x48\xbf" + struct.pack("<Q", constants + _MODULE),  # mov rdi, …
            _call(python.PyImport_AddModule),
            unless_null(b"\x48\x85\xc0", run),  # test rax, rax
            note_failure,
            b"\x48\x89\xdf",  # mov rdi, rbx
            _call(python.PyThreadState_LeaveTracing),
            b"\x31\xc0",  # xor eax, eax
            b"\x41\x5d",  # pop r13
            b"\x41\x5c",  # pop r12
            b"\x5b",  # pop rbx
            b"\xc3",  # ret
        )
    )


def thread_code(libc: Functions, python: Python, run: int, constants: int) -> bytes:
    """A start routine for pthread_create(), wherever it is put.

    run, constants: the addresses of what call_code() returned, and of CONSTANTS.
    """
    return b"".join(
        (
            b"\x53",  # push rbx, which aligns the stack as well
            b"\xbf" + struct.pack("<I", _SIG_SETMASK),  # mov edi, …
            b"\x48\xbe" + struct.pack("<Q", constants),  # mov rsi, …
            b"\x31\xd2",  # xor edx, edx
            _call(libc.pthread_sigmask),
            _call(libc.pthread_self),
            b"\x48\x89\xc3",  # mov rbx, rax
            b"\x48\x89\xdf",  # mov rdi, rbx
            b"\x48\xbe" + struct.pack("<Q", constants + _NAME),  # mov rsi, …
            _call(libc.pthread_setname_np),
            b"\x48\x89\xdf",  # mov rdi, rbx
            _call(libc.pthread_detach),
            _call(python.PyGILState_Ensure),
            b"\x89\xc3",  # mov ebx, eax
            _call(run),
            b"\x89\xdf",  # mov edi, ebx
            _call(python.PyGILState_Release),
            b"\x31\xc0",  # xor eax, eax
            b"\x5b",  # pop rbx
            b"\xc3",  # ret
        )
    )
