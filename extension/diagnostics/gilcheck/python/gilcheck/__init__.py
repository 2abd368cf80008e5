"""Names the call into Python's C API that a thread makes without the GIL, when it is made.

    python3 -m gilcheck script.py

Or, where the program is another's and embeds Python: LD_PRELOAD=libgilcheck.so program.

PYTEST_DONT_REWRITE, which would warn that this is imported already if `gilcheck -m pytest` runs it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ctypes

__version__ = "@PROJECT_VERSION@"

LIBRARY = Path(__file__).with_name("libgilcheck.so")
if not LIBRARY.exists():
    raise ImportError(f"there is no {LIBRARY}: `make build` makes it", name=__name__)


def start(settings: str = "warn") -> None:
    """Check every call that an extension module makes, from now on, in this process.

    settings: "warn", which reports each place once, goes on, and has the process exit with 66;
    "once", one report; "abort" at the first. With ",json" a report is a line of JSON; with
    ",deadlocks" the orders are watched, too, in which the GIL and locks are taken, and with
    ",deadlocks,no-calls" alone. With ",log=FILE" reports are appended to a file; what
    ",suppressions=FILE" names, and what ",baseline=FILE" knows, is not reported; with
    ",write-baseline=FILE" everything that is found is written there, and nothing reported.

    Where it checks already, the settings are those from now on.

    Raises RuntimeError for other settings, for files that cannot be read or written, and where this
    Python cannot be checked.
    """
    if not isinstance(settings, str):
        raise TypeError(f"gilcheck's settings are a str, not {settings!r}")
    if not settings:
        raise RuntimeError('gilcheck: the settings are empty: give "warn", or leave them out')
    if "\0" in settings:
        raise RuntimeError(f"gilcheck: a setting has no NUL character in it: {settings!r}")
    import ctypes

    from .ctrl_c import at_ctrl_c

    begin = _library(ctypes.PyDLL).gilcheck_start
    begin.restype = ctypes.c_char_p
    failure = begin(os.fsencode(settings))
    if failure is not None:
        raise RuntimeError(os.fsdecode(failure))
    at_ctrl_c("gilcheck", _library(ctypes.CDLL).gilcheck_finish)


def flush() -> None:
    """Wait until the reports that are being made are written.

    One is made by the thread that made the call, and of a deadlock by a thread of gilcheck's own:
    both may still be looking for the lines of source. Of this process; a child does so as it ends.
    """
    import ctypes

    _library(ctypes.CDLL).gilcheck_flush()  # which lets go of the GIL


def statistics() -> dict[str, Any]:
    """Return how often and how long the GIL was taken, held and waited for, since that is noted.

    Keys: takes, contended (takes that waited), held, longest_hold, waited, longest_wait, in
    seconds; threads and functions, each a list of the same with a name.

    Raises RuntimeError where it is not noted: start() with "budget=…" or "statistics=…" does so.
    """
    import ctypes
    import json

    written = _library(ctypes.PyDLL).gilcheck_statistics
    written.restype = ctypes.c_char_p
    text = written().decode()
    if not text:
        raise RuntimeError(
            "gilcheck: no figures are taken: gilcheck.start('budget=5ms') or 'statistics=FILE'"
        )
    figures: dict[str, Any] = json.loads(text)
    return figures


def _library(kind: type[ctypes.CDLL]) -> ctypes.CDLL:
    return kind(str(LIBRARY))
