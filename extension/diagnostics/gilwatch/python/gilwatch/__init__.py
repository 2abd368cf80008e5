"""Reports which threads wait too long for the GIL, which thread holds it, and where.

    python3 -m gilwatch --after 5 script.py

For any program that embeds Python: LD_PRELOAD=libgilwatch.so program.

PYTEST_DONT_REWRITE, which would warn that this is imported already if `gilwatch -m pytest` runs it.
"""

from __future__ import annotations  # on a Python that is too old, the library says so

import ctypes
from pathlib import Path

__version__ = "@PROJECT_VERSION@"

LIBRARY = Path(__file__).with_name("libgilwatch.so")
if not LIBRARY.exists():
    raise ImportError(f"there is no {LIBRARY}: `make build` makes it", name=__name__)


def start(after: float = 5.0, *, signal: int = 0) -> None:
    """Watch this process from now on, in a thread that never asks for the GIL.

    after: seconds. A thread that waits longer for the GIL, or holds it longer and sleeps, is
    reported on stderr. The first line says which thread holds it, in which line of your code, and
    which threads wait; then come the stacks. Another report follows whenever the time has doubled.
    signal: the number of a signal that requests a report at once; its handler is replaced.

    If it already watches, the new settings apply from now on. A child of fork() is watched, too.

    Raises TypeError and ValueError for other settings, RuntimeError where this Python cannot be
    watched.
    """
    if isinstance(after, bool) or not isinstance(after, (int, float)):
        raise TypeError(f"gilwatch's after is a number of seconds, not {after!r}")
    if not 0 < after < float("inf"):
        raise ValueError(f"gilwatch's after must be a positive number of seconds, not {after!r}")
    if isinstance(signal, bool) or not isinstance(signal, int):
        raise TypeError(f"gilwatch's signal is a signal's number, not {signal!r}")
    settings = f"{after!r},signal={int(signal)}" if signal else repr(after)
    library = ctypes.PyDLL(str(LIBRARY))
    library.gilwatch_start.restype = ctypes.c_char_p
    failure = library.gilwatch_start(settings.encode())
    if failure is not None:
        text = failure.decode()
        raise ValueError(text) if text.startswith("gilwatch's ") else RuntimeError(text)


def stop() -> None:
    """Watch no more, until start() is called again."""
    ctypes.PyDLL(str(LIBRARY)).gilwatch_stop()


def report() -> None:
    """Write a report to stderr now. Raises RuntimeError where nobody watches."""
    library = ctypes.CDLL(
        str(LIBRARY)
    )  # which releases the GIL: it would be the holder's otherwise
    library.gilwatch_report.restype = ctypes.c_char_p
    failure = library.gilwatch_report()
    if failure is not None:
        raise RuntimeError(failure.decode())
