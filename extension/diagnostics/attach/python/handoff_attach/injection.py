"""Starts a tool inside a running Python process.

In Python 3.14 and later by sys.remote_exec() (PEP 768), from a Python of the same version: the
process's main thread follows the request. If that thread reaches no Python code, and for other
Pythons, gdb has the process make a call (queued_call.py). Either way a thread runs starter.py,
between two Python instructions or as the first thing that it does. If no thread does so in time,
because the process hangs, the request is taken back: the file to be run is gone by then.

Source: https://docs.python.org/3/howto/remote_debugging.html; the C API's Py_AddPendingCall().
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from .loader_locks import loader_locks
from .process import Process, RefusedError, cannot_write, what_allows_ptrace
from .queued_call import has_failed, has_gdb, queue_call, require_no_lock_held

_HERE = Path(__file__).parent
_NEEDS_GDB = "; if it only waits, in a sleep or for input, install gdb (`apt-get install gdb`)"
_LONGEST = 2**31 - 1  # milliseconds, as poll() takes them: 24 days
_STARTING = 60.0  # seconds that starting a tool may take, once the process has begun with it


class Injected:
    """A tool that was started in a process, and may be stopped there again."""

    def __init__(self, process: Process, folder: Path) -> None:
        self._process = process
        self._answer = os.open(folder / "answer", os.O_RDONLY | os.O_NONBLOCK)
        self._end: int | None = os.open(folder / "end", os.O_RDWR | os.O_NONBLOCK)
        self._unread = b""

    def close(self) -> None:
        self.end()
        os.close(self._answer)

    def end(self) -> None:
        """Stops the tool, if that was requested."""
        if self._end is not None:
            os.close(self._end)
            self._end = None

    def wait_while_it_runs(self, within: float | None) -> None:
        """Until the process has ended, or has become another program; at most that many seconds."""
        events = select.poll()
        events.register(self._answer, 0)  # which tells that nobody can write there any more
        events.register(self._process.descriptor, select.POLLIN)
        events.poll(None if within is None else min(within * 1000, _LONGEST))

    def line(self, within: float) -> str | None:
        """The starter's next line. None: there is none within that many seconds.

        Raises RefusedError if the process has ended, or has become another program.
        """
        deadline = time.monotonic() + within
        events = select.poll()
        events.register(self._answer, select.POLLIN)
        events.register(self._process.descriptor, select.POLLIN)
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            ready = dict(events.poll(max(0, min(left, 3600) * 1000)))
            piece = self._read()
            self._unread += piece
            if piece:
                continue
            if self._process.descriptor in ready:
                raise RefusedError(f"process {self._process.pid} has ended")
            if left <= 0:
                return None
            if ready:  # the writer has gone, and another may come
                self._process.require_same_program()
                time.sleep(0.01)
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode(errors="backslashreplace")

    def _read(self) -> bytes:
        try:
            return os.read(self._answer, 65536)
        except BlockingIOError:
            return b""

    def expect(self, wanted: str, within: float) -> bool:
        """Reads up to that line; False: it is not there in time. Raises RefusedError."""
        pid = self._process.pid
        deadline = time.monotonic() + within
        while (line := self.line(deadline - time.monotonic())) is not None:
            if line == wanted:
                return True
            kind, _, text = line.partition(" ")
            if kind == "failed":
                raise RefusedError(f"process {pid}: {text}")
            if kind == "loader":
                raise LoaderBusyError(
                    f"thread {text} of process {pid} is loading a library, and has been for long: "
                    "the tool, a library itself, would wait for it with the GIL held; attach when "
                    f"it is loaded (`python3 -m gilwatch --pid {pid}` says where it is)"
                )
        return False


class LoaderBusyError(RefusedError):
    """A thread holds the loader's lock. It may be free the next moment."""


@contextlib.contextmanager
def started(
    process: Process,
    tool: str,
    *arguments: Any,
    within: float,
    until_ended: bool = False,
    needs: Sequence[str] = (),
    **keywords: Any,
) -> Generator[Injected, None, None]:
    """Starts a tool in the process: what TOOL.start(*arguments, **keywords) does in a script.

    within: seconds that the process has to come to a place where it may begin.
    needs: packages that start() imports, which that process's own path need not have.
    until_ended: it is stopped by TOOL.stop(summary=False) after end(), or this process's end.

    Raises RefusedError; the process goes on as before then.
    """
    process.require_reachable()
    process.require_python()
    _require_own_copy(process, tool)
    parameters = {
        "pid": process.pid,
        "tool": tool,
        "needs": [*needs],
        "folder": str(_HERE.parent),
        "arguments": arguments,
        "keywords": keywords,
        "loader_locks": loader_locks(process),
    }
    with _alone(process), _files(process, parameters, until_ended) as folder:
        script = folder / "starter.py"
        injected = Injected(process, folder)
        try:
            deadline = time.monotonic() + within
            while True:
                try:
                    _start(process, injected, script, deadline)
                    break
                except LoaderBusyError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield injected
        finally:
            injected.close()


def _start(process: Process, injected: Injected, script: Path, deadline: float) -> None:
    """Asks in each way that there is, one after the other, until the process has begun."""
    begins = time.monotonic()
    ways = _ways(process)
    for left, request in zip(range(len(ways), 0, -1), ways, strict=True):
        take_back = request(process, script, deadline)
        # The time that asking has taken does not count against the process.
        if injected.expect("begun", max((deadline - time.monotonic()) / left, 0.3)):
            break
        hidden = script.rename(script.with_suffix(".late"))
        take_back()
        begun = injected.expect("begun", 0.1)  # it may have come there meanwhile
        hidden.rename(script)
        if begun:
            break
    else:
        process.require_same_program()
        if has_failed(process):
            raise RefusedError(
                f"process {process.pid} was asked to begin, and could not: its recursion is too "
                "deep just now, an audit hook or an __import__() of its own forbids it, or it can "
                f"open no file (a limit; or /proc/{process.pid} is another user's). It goes on as "
                "before: attach later, or start the tool with the program"
            )
        where = "" if process.version >= (3, 12) else " in its main thread"
        raise RefusedError(
            f"process {process.pid} ran no Python code{where} for {time.monotonic() - begins:.1f} "
            f"s, and was left as it was: `python3 -m gilwatch --pid {process.pid}` says where it "
            f"hangs or waits{'' if has_gdb() else _NEEDS_GDB}"
        )
    if not injected.expect("started", _STARTING):
        raise RefusedError(
            f"process {process.pid} began to load the tool, and waits for something: `python3 -m "
            f"gilwatch --pid {process.pid}` says for what; nothing was started"
        )


# Asks the process to run a file, until a deadline; returns what takes that back.
_Request = Callable[[Process, Path, float], Callable[[], None]]


def _ways(process: Process) -> list[_Request]:
    """Raises RefusedError."""
    if b"PYTHON_DISABLE_REMOTE_DEBUG=" in _environment(process):
        raise RefusedError(_disabled(process))
    knows_remote_exec = process.version >= (3, 14) and process.version == sys.version_info[:2]
    if not has_gdb():
        return [_ask_by_remote_exec if knows_remote_exec else _ask_by_gdb]
    # A main thread that sleeps runs no Python code soon.
    if not knows_remote_exec or process.state_of(process.pid) == "S":
        return [_ask_by_gdb]
    return [_ask_by_remote_exec, _ask_by_gdb]


def _ask_by_gdb(process: Process, script: Path, deadline: float) -> Callable[[], None]:
    queue_call(process, script, deadline)
    return lambda: None  # a file that is gone is not run


def _ask_by_remote_exec(process: Process, script: Path, deadline: float) -> Callable[[], None]:
    if has_gdb():
        require_no_lock_held(process, script.parent, deadline)
    _by_remote_exec(process, script)
    return lambda: _forget_remote_exec(process, script)


def _forget_remote_exec(process: Process, script: Path) -> None:
    """Without this, the process would run the file later, or say that it is not there.

    It must not run an empty one instead: if a signal wakes it, the error that the signal's handler
    raises would become the script's, and be lost.

    Source: _PyRemoteDebuggerSupport in CPython's Include/cpython/pystate.h: a number that is 1
            while there is a script to run, and its path; that of the first thread is in _PyRuntime.
    """
    process.require_same_program()
    begin, size = process.runtime
    at = process.read(begin, size).find(struct.pack("=i", 1) + os.fsencode(script) + b"\0")
    if at >= 0:
        process.write(begin + at, bytes(4))


def _by_remote_exec(process: Process, script: Path) -> None:
    process.require_same_program()
    try:
        sys.remote_exec(process.pid, str(script))  # type: ignore[attr-defined,unused-ignore]
    except PermissionError:
        raise RefusedError(
            f"this process may not write to process {process.pid}: {what_allows_ptrace()}"
        ) from None
    except ProcessLookupError:
        raise RefusedError(f"process {process.pid} has ended") from None
    except (RuntimeError, OSError) as failure:
        if "not enabled in the remote" in str(failure):
            raise RefusedError(_disabled(process)) from None
        raise RefusedError(f"process {process.pid}: sys.remote_exec() says: {failure}") from None


def _disabled(process: Process) -> str:
    return (
        f"process {process.pid} forbids it (PYTHON_DISABLE_REMOTE_DEBUG, -X disable-remote-debug, "
        "or a Python built without): start the tool with the program instead"
    )


def _environment(process: Process) -> bytes:
    try:
        return Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return b""


def _require_own_copy(process: Process, tool: str) -> None:
    """Two copies of a tool's library in one process would be two tools."""
    ours = _HERE.parent / tool / f"lib{tool}.so"
    for mapped in process.mapped:
        if mapped.file.name == ours.name and not (
            mapped.file.exists() and mapped.file.samefile(ours)
        ):
            raise RefusedError(
                f"process {process.pid} has loaded another copy of {tool}, {mapped.file}: use that "
                f"one, or restart the program"
            )


@contextlib.contextmanager
def _alone(process: Process) -> Generator[None, None, None]:
    """One attaching process at a time; the kernel forgets it with the process that has attached."""
    with socket.socket(socket.AF_UNIX) as name:
        try:
            name.bind(f"\0handoff-attach-{process.pid}")
        except OSError:
            raise RefusedError(
                f"somebody else is attaching to process {process.pid}, or records it: wait until "
                "they have ended"
            ) from None
        yield


@contextlib.contextmanager
def _files(
    process: Process, parameters: dict[str, Any], until_ended: bool
) -> Generator[Path, None, None]:
    """A folder with the starter and the pipes by which it answers, for this user and theirs."""
    with contextlib.ExitStack() as cleaning:
        try:
            folder = Path(tempfile.mkdtemp(prefix="handoff-attach-"))
            cleaning.callback(shutil.rmtree, folder, ignore_errors=True)
            for pipe in ("answer", "end"):
                os.mkfifo(folder / pipe, 0o600)
            said = {
                **parameters,
                "answer": str(folder / "answer"),
                "end": str(folder / "end") if until_ended else "",
            }
            starter = (_HERE / "starter.py").read_text()
            (folder / "starter.py").write_text(f"{starter}\n\nmain(**{said!r})\n")
            if process.user != os.geteuid():
                for each in (folder, *folder.iterdir()):
                    os.chown(each, process.user, process.group)
        except OSError as failure:
            raise cannot_write(failure) from None
        yield folder
