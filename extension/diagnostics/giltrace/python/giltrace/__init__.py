"""Records and draws which thread holds the GIL and which threads wait for it, at each change.

    python3 -m giltrace -o trace.html script.py

For a part of a program:

    with giltrace.record("trace.html"):
        work()

PYTEST_DONT_REWRITE, which would warn that this is imported already if `giltrace -m pytest` runs it.
"""

from __future__ import annotations  # on a Python that is too old, the library says so

import contextlib
import ctypes
import os
from collections.abc import Generator
from pathlib import Path

__version__ = "@PROJECT_VERSION@"

LIBRARY = Path(__file__).with_name("libgiltrace.so")
if not LIBRARY.exists():
    raise ImportError(f"there is no {LIBRARY}: `make build` makes it", name=__name__)


def _call(function: str, *arguments: object, with_gil: bool = True) -> None:
    library = ctypes.PyDLL(str(LIBRARY)) if with_gil else ctypes.CDLL(str(LIBRARY))
    called = getattr(library, function)
    called.restype = ctypes.c_char_p
    if any(isinstance(each, bytes) and b"\0" in each for each in arguments):
        raise RuntimeError("giltrace: a file's name has no NUL character in it")
    failure = called(*arguments)
    if failure is not None:
        raise RuntimeError(os.fsdecode(failure))


def start(
    output: str | os.PathLike[str],
    *,
    stack_after: float = 0.01,
    last: float = 0,
    when_wait_exceeds: float = 0,
    signal: int = 0,
    summary: bool = True,
) -> None:
    """Record each take, drop and wait of the GIL, of each thread, until stop() or the exit.

    The output is also written where Ctrl-C ends Python.

    output: a file that ends with .json (Chrome's Trace Event Format, for Perfetto, vizviewer and
    chrome://tracing), .html or .svg. Until it is written there is a file output + ".recording",
    which stays if the process is killed, and that write() understands. A child of fork() has files
    of its own, with its process's number before the ending. What an earlier run has written is
    removed as the recording begins; a file that giltrace did not write is refused.
    stack_after: of a thread that holds the GIL for so many seconds, while another waits for it, the
    C++ stack is taken, and the hold is labelled with the function of yours that it is in. 0: never.
    last: keep the last seconds only; what is older is overwritten. 0: keep all.
    when_wait_exceeds: when a thread has waited for the GIL for so many seconds, write what is kept
    into a file of its own, as snapshot() does, and go on: of trace.html, trace.snapshot1.html, and
    so on. Once in `last` seconds at most, and ten times in all. 0: never.
    signal: the same whenever the process gets this signal. 0: none.
    summary: whether it is written to stderr where the end of the process ends the recording.

    Raises RuntimeError if a file cannot be written, for another ending, a pipe, while there is a
    recording, and where this Python's GIL cannot be recorded.
    """
    from gilcheck.ctrl_c import at_ctrl_c

    seconds = map(ctypes.c_double, (stack_after, last, when_wait_exceeds))
    _call("giltrace_start", os.fsencode(output), *seconds, ctypes.c_int(signal), summary)
    at_ctrl_c("giltrace", ctypes.PyDLL(str(LIBRARY)).giltrace_finish)


def stop(*, summary: bool = True) -> None:
    """End the recording, write the output, and a summary to stderr if it is wanted.

    It is written without the GIL: other threads go on.

    Raises RuntimeError if there is no recording, or the output cannot be written.
    """
    _call("giltrace_end")
    _call("giltrace_write_ended", summary, with_gil=False)


@contextlib.contextmanager
def record(
    output: str | os.PathLike[str],
    *,
    summary: bool = True,
    stack_after: float = 0.01,
    last: float = 0,
    when_wait_exceeds: float = 0,
    signal: int = 0,
) -> Generator[None, None, None]:
    """Record a block: start(output, …), and stop(summary=summary) in the end."""
    start(
        output,
        stack_after=stack_after,
        last=last,
        when_wait_exceeds=when_wait_exceeds,
        signal=signal,
        summary=summary,
    )
    try:
        yield
    finally:
        stop(summary=summary)


def snapshot(output: str | os.PathLike[str]) -> None:
    """Write what has been recorded until now, or the last seconds of it, and go on recording.

    output: as of start(). Raises RuntimeError if there is no recording, the output cannot be
    written, or another snapshot is written just now.
    """
    _call("giltrace_snapshot", os.fsencode(output), with_gil=False)


def write(recording: str | os.PathLike[str], output: str | os.PathLike[str]) -> None:
    """Write the output of a recording that was left behind. Raises RuntimeError."""
    _call("giltrace_write", os.fsencode(recording), os.fsencode(output), with_gil=False)
