"""Names the call into Python's C API that a thread makes without the GIL, when it is made.

    python3 -m gilcheck script.py

Or, where the program is another's and embeds Python: LD_PRELOAD=libgilcheck.so program.
"""

import ctypes
import json
from pathlib import Path
from typing import Any

__version__ = "@PROJECT_VERSION@"

LIBRARY = Path(__file__).with_name("libgilcheck.so")
if not LIBRARY.exists():
    raise ImportError(f"there is no {LIBRARY}: `make build` makes it", name=__name__)


def start(settings: str = "warn") -> None:
    """Check every call that an extension module makes, from now on, in this process.

    settings: "warn", which reports each place once, goes on, and has the process exit with 66;
    "once", one report; "abort" at the first. With ",json" a report is a line of JSON; with
    ",deadlocks" the orders are watched, too, in which the GIL and locks are taken, and with
    ",deadlocks,no-calls" alone.

    Where it checks already, the settings are those from now on.

    Raises RuntimeError for other settings, and where this Python cannot be checked.
    """
    if not isinstance(settings, str):
        raise TypeError(f"gilcheck's settings are a str, not {settings!r}")
    library = ctypes.PyDLL(str(LIBRARY))
    library.gilcheck_start.restype = ctypes.c_char_p
    failure = library.gilcheck_start(settings.encode())
    if failure is not None:
        raise RuntimeError(failure.decode())


def statistics() -> dict[str, Any]:
    """Return how often and how long the GIL was taken, held and waited for, since that is noted.

    Keys: takes, contended (takes that waited), held, longest_hold, waited, longest_wait, in
    seconds; threads and functions, each a list of the same with a name.

    Raises RuntimeError where it is not noted: start() with "budget=…" or "statistics=…" does so.
    """
    library = ctypes.PyDLL(str(LIBRARY))
    library.gilcheck_statistics.restype = ctypes.c_char_p
    text = library.gilcheck_statistics().decode()
    if not text:
        raise RuntimeError(
            "gilcheck: no figures are taken: gilcheck.start('budget=5ms') or 'statistics=FILE'"
        )
    figures: dict[str, Any] = json.loads(text)
    return figures
