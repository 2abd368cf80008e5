"""Has a process of any Python make a call, by gdb: as Py_AddPendingCall() does, or on a new thread.

One page of the process's memory, always at the same address, contains the source of that call,
which never changes; whether the call is pending; and which file it will run. So a process that
hangs has one call queued, however often a tool attaches to it; and the call does nothing once that
file is gone. The next page, if there is one, contains machine code: of the call, so that an error
of its own does not become the program's, and of the thread.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .process import Process, RefusedError, cannot_write, what_allows_ptrace
from .thread_code import CONSTANTS, Python, call_code, thread_code

_IN_GDB = Path(__file__).with_name("in_gdb.py")
_ATTACHING = 60.0  # seconds that gdb may take until it calls something

_PAGE = 0x68616E640000  # "hand"; one page of 4 KiB
_STATE = _PAGE + 2048
_HANDLE = _STATE - 8  # a pthread_t, which nobody reads
_CODE_PAGE = _PAGE + 4096
_QUEUED, _ON_THREAD, _DONE, _FAILED = b"q", b"t", b"d", b"f"
_CALL = f"""
try:
    with __import__("_io").open("/proc/self/mem", "r+b", 0) as memory:
        memory.seek({_STATE})
        asked = memory.read(2048)
        memory.seek({_STATE})
        memory.write({_DONE!r})
    if asked[:1] != {_DONE!r}:
        with __import__("_io").open(asked[1:].partition(bytes(1))[0], "rb") as file:
            source = file.read()
        exec(compile(source, "handoff_attach/starter.py", "exec"), {{}})
except Exception:
    ON_ERROR
except BaseException:
    __import__("_thread").interrupt_main()
"""


def _source(on_error: str) -> bytes:
    call = _CALL.replace("ON_ERROR", on_error)
    # The program may call something else exec() or open().
    source = f"__import__('builtins').exec({call!r}, {{'__builtins__': __import__('builtins')}})\n"
    return source.encode()


_MARK = _source("pass")[:40]


def queue_call(process: Process, script: Path, deadline: float) -> None:
    """A thread runs that file as soon as it is between two Python instructions.

    From Python 3.12 on any thread does so; before, the main thread. If the main thread waits in the
    system, and no thread waits with the GIL held, a new thread does.
    deadline: of time.monotonic(), for a thread that keeps the process from being stopped safely.
    Raises RefusedError.
    """
    if not has_gdb():
        raise RefusedError(
            f"attaching to a Python {process.version[0]}.{process.version[1]} needs gdb, which is "
            "not installed (`apt-get install gdb`)"
        )
    path = os.fsencode(script) + b"\0"
    is_there = _page_is_there(process)
    state = process.read(_STATE, 1) if is_there else _DONE
    if state == _ON_THREAD:  # it waits for the GIL, since an earlier request
        process.write(_STATE + 1, path)
        return
    contents = [
        (_source(on_error).ljust(_STATE - _PAGE, b"\0") + _QUEUED + path).hex()
        for on_error in ("pass", "raise")
    ]
    _by_gdb(
        process,
        script.parent,
        deadline,
        contents=contents,  # without the machine code, and with it
        is_there=is_there,
        is_queued=state == _QUEUED,  # since an earlier request, while it hung
    )


def has_failed(process: Process) -> bool:
    """Whether the call has been made and has raised before it began with the file."""
    return _page_is_there(process) and process.read(_STATE, 1) == _FAILED


def has_gdb() -> bool:
    return shutil.which("gdb") is not None


def require_no_lock_held(process: Process, folder: Path, deadline: float) -> None:
    """Checks by gdb that no thread sleeps within malloc() and the like. Raises RefusedError."""
    _by_gdb(process, folder, deadline, contents=[])


def _page_is_there(process: Process) -> bool:
    begin = f"{_PAGE:x}-"
    if not any(line.startswith(begin) for line in process.maps()):
        return False
    if process.read(_PAGE, len(_MARK)) != _MARK:
        raise RefusedError(
            f"process {process.pid} uses the memory at {_PAGE:#x} itself, where a request is "
            "written: start the tool with the program instead"
        )
    return True


def _by_gdb(process: Process, folder: Path, deadline: float, **parameters: Any) -> None:
    """Runs in_gdb.py in gdb. Raises RefusedError.

    Tries again while a thread sleeps within a function that holds a lock that all need.
    """
    while True:
        _wait_until_interruptible(process, deadline)
        said = _gdb(process, folder, parameters)
        if "inside" not in said:
            break
        if time.monotonic() > deadline:
            raise RefusedError(
                f"thread {said['thread']} of process {process.pid} is in {said['inside']}(), with "
                "a lock that the tool needs as well, perhaps: attach when it has gone on "
                f"(`python3 -m gilwatch --pid {process.pid}` says where it is)"
            )
        time.sleep(0.2)
    if said["result"] == -4:
        raise process.has_become_another()
    if said["result"] == -1:
        raise RefusedError(
            f"process {process.pid} has as many calls pending as Python can queue, as its main "
            "thread has run no Python code for long: attach when it does"
        )
    if said["result"] == -3:
        raise RefusedError(
            f"process {process.pid} has loaded Python, and has not started it, or has ended it: "
            "attach while Python runs"
        )
    if said["result"] == -2:
        raise RefusedError(
            f"process {process.pid} can map no page of memory at {_PAGE:#x} (a limit, `ulimit -v`?)"
            ": start the tool with the program instead"
        )


def _wait_until_interruptible(process: Process, deadline: float) -> None:
    """A thread in vfork(), or one that waits for a disk, does not stop for gdb until it goes on."""
    while stuck := [each for each in process.threads() if process.state_of(each) == "D"]:
        if time.monotonic() > deadline:
            raise RefusedError(
                f"thread {stuck[0]} of process {process.pid} cannot be interrupted now (it starts "
                "a program by vfork(), or waits for a disk): attach later"
            )
        time.sleep(0.02)
    process.require_running()


def _gdb(process: Process, folder: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    asked = {
        "main": process.pid,
        "program": process.program,
        "asleep": [each for each in process.threads() if process.state_of(each) == "S"],
        "page": _PAGE,
        "initialized": process.python_symbol("Py_IsInitialized"),
        "interpreter": 0,
        "add": process.python_symbol("Py_AddPendingCall"),
        "run": process.python_symbol("PyRun_SimpleString"),
        "python": str(process.python.file),
        "mmap": process.mmap,
        "state": _STATE,
        "queued": _QUEUED.hex(),
        "code": _code(process),
        **parameters,
    }
    if process.version >= (3, 12):
        asked["interpreter"] = process.python_symbol("PyInterpreterState_Main")
        asked["add"] = process.python_symbol("_PyEval_AddPendingCall")
    try:
        (folder / "asked.json").write_text(json.dumps(asked))
        said, complaint = (folder / name for name in ("gdb.said", "gdb.complaint"))
        output, errors = said.open("wb"), complaint.open("wb")
    except OSError as failure:
        raise cannot_write(failure) from None
    command = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off"]
    command += ["-iex", "set auto-load off", "-iex", "set index-cache enabled off"]
    command += ["-iex", "set print thread-events off", "-p", str(process.pid)]
    command += ["-x", str(_IN_GDB)]
    with _undisturbed(), output, errors:
        gdb = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={**os.environ, "HANDOFF_ASKED": str(folder / "asked.json")},
            start_new_session=True,
        )
        try:
            gdb.wait(_ATTACHING)
        except subprocess.TimeoutExpired:
            if b"handoff-attach: calls" not in said.read_bytes():
                gdb.kill()
                process.go_on()
            gdb.wait()  # it calls two functions, of which none waits for long
    lines = said.read_text(errors="backslashreplace").splitlines()
    prefix = "handoff-attach: {"
    for line in lines:
        if line.startswith(prefix):
            answer: dict[str, Any] = json.loads(line[len(prefix) - 1 :])
            return answer
    process.require_reachable()  # or says why not
    complaints = complaint.read_text(errors="backslashreplace").strip().splitlines()
    if any("ptrace" in line and "not permitted" in line for line in complaints):
        raise RefusedError(
            f"this process may not trace process {process.pid}: {what_allows_ptrace()}"
        )
    if any("Python scripting is not supported" in line for line in complaints):
        raise RefusedError("this gdb was built without Python: install your system's own gdb")
    last = complaints[-1] if complaints else f"nothing, and ended with {gdb.returncode}"
    raise RefusedError(f"gdb could not attach to process {process.pid}; it said: {last}")


def _code(process: Process) -> dict[str, Any] | None:
    """The machine code, and what in_gdb.py needs besides. None: it cannot be had here."""
    functions = process.of_threads
    if functions is None or platform.machine() != "x86_64":
        return None
    since_3_13 = process.version >= (3, 13)
    names = {
        "current": "PyThreadState_GetUnchecked" if since_3_13 else "_PyThreadState_UncheckedGet",
        "own": "PyGILState_GetThisThreadState",
        "finalizing": "Py_IsFinalizing" if since_3_13 else "_Py_IsFinalizing",
    }
    try:
        asked = {what: process.python_symbol(name) for what, name in names.items()}
        python = Python(*(process.python_symbol(name) for name in Python._fields))
    except RefusedError:
        return None
    call = _CODE_PAGE + len(CONSTANTS)
    of_call = call_code(python, _PAGE, _CODE_PAGE, (_STATE, _FAILED))
    return {
        "page": _CODE_PAGE,
        "content": (CONSTANTS + of_call + thread_code(functions, python, call, _CODE_PAGE)).hex(),
        "call": call,
        "thread": call + len(of_call),
        "on_thread": _ON_THREAD.hex(),
        "create": functions.pthread_create,
        "handle": _HANDLE,
        **asked,
        "is_of_process": process.version < (3, 12),  # the current thread state; later the thread's
    }


@contextmanager
def _undisturbed() -> Generator[None, None, None]:
    """Ctrl-C, Ctrl-Z and the like wait until gdb has released the process."""
    kept = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, kept)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
