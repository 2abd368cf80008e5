"""What a tool writes at the end of the process, also where Ctrl-C ends it."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable

_tools: set[str] = set()


def at_ctrl_c(tool: str, finish: Callable[[], object]) -> None:
    """Have that called, once a tool, where a KeyboardInterrupt that nobody catches ends Python.

    Python then ends by the signal, and not by exit(), at which the tools' libraries write. Source:
    exit_sigint() in CPython's Modules/main.c; PyErr_PrintEx(), which sets sys.last_type before.
    """

    def finish_if_interrupted() -> None:
        kind = getattr(sys, "last_type", None)
        if isinstance(kind, type) and issubclass(kind, KeyboardInterrupt):
            finish()

    if tool not in _tools:
        _tools.add(tool)
        atexit.register(finish_if_interrupted)
