"""Which frames of a stack are the interpreter's own, and which thread waits for the GIL by them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from handoff_attach.elf_symbols import exported

# What only the file exports that contains the interpreter.
_EXPORTED = frozenset({"PyEval_RestoreThread"})
# The same by the names on its frames, where that file is not here.
_NAMED = ("_PyEval_EvalFrame", "Py_RunMain", "PyGILState_Ensure", "PyEval_RestoreThread")
_TAKING_THE_GIL = ("pthread_cond_timedwait", "pthread_cond_clockwait")
_LIBRARIES_OF_TOOLS = ("libgilcheck.so", "libgiltrace.so", "libgilwatch.so")


def mark(threads: list[dict[str, Any]]) -> None:
    """Adds to each frame "beside_python", whether it is in that file; to each thread "waits"."""
    files = {frame["file"] for thread in threads for frame in thread["frames"]}
    interpreter = {each for each in files if _contains_interpreter(Path(each))} | {
        frame["file"]
        for thread in threads
        for frame in thread["frames"]
        if frame["function"].startswith(_NAMED)
    }
    for thread in threads:
        for frame in thread["frames"]:
            frame["beside_python"] = frame["file"] in interpreter
        thread["waits"] = not thread["holds"] and _takes_gil(thread["frames"])


def _contains_interpreter(file: Path) -> bool:
    """Also of a stack on which no function of Python's has a name: a stripped Python's."""
    try:
        return bool(exported(file, _EXPORTED).symbols)
    except (OSError, ValueError):  # it is gone, or no file at all
        return False


def _takes_gil(frames: list[dict[str, Any]]) -> bool:
    """Nothing else of the interpreter's waits for a condition variable with a time limit.

    take_gil() is a static function: a stripped Python does not tell its name. A tool that is in the
    process stands between the two.
    """
    theirs = [each for each in frames if Path(each["file"]).name not in _LIBRARIES_OF_TOOLS]
    for inner, outer in itertools.pairwise(theirs):
        if outer["function"] == "take_gil":
            return True
        if inner["function"].lstrip("_").startswith(_TAKING_THE_GIL):
            return bool(outer["beside_python"])
    return False
