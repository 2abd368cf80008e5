"""Who holds the GIL, and who waits for it: every handoff, recorded and drawn.

    python3 -m giltrace -o trace.html script.py

Or, of a part of a program:

    with giltrace.record("trace.html"):
        work()
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


def _call(function: str, *arguments: bytes | bool) -> None:
    called = getattr(ctypes.PyDLL(str(LIBRARY)), function)
    called.restype = ctypes.c_char_p
    failure = called(*arguments)
    if failure is not None:
        raise RuntimeError(os.fsdecode(failure))


def start(output: str | os.PathLike[str]) -> None:
    """Record every take, drop and wait of the GIL, of every thread, until stop() or the exit.

    output: a file that ends with .json (Chrome's Trace Event Format, for Perfetto, vizviewer and
    chrome://tracing), .html or .svg. Until it is written there is a file output + ".recording",
    which stays if the process is killed, and that write() understands. A child of fork() has files
    of its own, with its process's number before the ending. What an earlier run has written is
    removed as the recording begins; a file that giltrace did not write is refused.

    Raises RuntimeError if a file cannot be written, for another ending, while there is a recording,
    and where this Python's GIL cannot be recorded.
    """
    _call("giltrace_start", os.fsencode(output))


def stop(*, summary: bool = True) -> None:
    """End the recording, write the output, and a summary to stderr if it is wanted.

    Raises RuntimeError if there is no recording, or the output cannot be written.
    """
    _call("giltrace_stop", summary)


@contextlib.contextmanager
def record(output: str | os.PathLike[str], *, summary: bool = True) -> Generator[None, None, None]:
    """Record a block: start(output), and stop(summary=summary) in the end."""
    start(output)
    try:
        yield
    finally:
        stop(summary=summary)


def write(recording: str | os.PathLike[str], output: str | os.PathLike[str]) -> None:
    """Write the output of a recording that was left behind. Raises RuntimeError."""
    _call("giltrace_write", os.fsencode(recording), os.fsencode(output))
