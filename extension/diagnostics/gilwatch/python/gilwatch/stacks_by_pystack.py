"""Writes as JSON where all threads of a process, or of a core, are: a program of its own.

    python3 -P stacks_by_pystack.py (PID | CORE EXECUTABLE)

pystack stops the process while it reads. It is a separate program so that its end, whatever the
cause, releases the process, and harms no other program.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    engine: Any = importlib.import_module("pystack.engine")
    every: dict[str, Any] = {"native_mode": engine.NativeReportingMode.ALL}
    said: dict[str, Any] = {"changed": []}
    if len(sys.argv) == 2:
        pid = int(sys.argv[1])
        threads = engine.get_process_threads(pid, **every)
        lines = Path(f"/proc/{pid}/maps").read_text(errors="surrogateescape").splitlines()
        words = [line.split(maxsplit=5) for line in lines]
        maps = [(each[5], int(each[0].partition("-")[0], 16)) for each in words if len(each) == 6]
    else:
        core, executable = Path(sys.argv[1]), Path(sys.argv[2])
        analyzer = engine.CoreFileAnalyzer(core, executable, "")
        pid = analyzer.extract_pid()
        maps = [(str(each.path), each.start) for each in analyzer.extract_maps() if each.path]
        said["changed"] = [
            file
            for file, in_core, on_disk in analyzer.extract_build_ids()
            if Path(file).exists() and in_core and in_core != on_disk
        ]
        said["missing"] = [str(each) for each in analyzer.missing_modules()]
        threads = engine.get_process_threads_for_core(
            core, executable, library_search_path="", **every
        )
    bases: dict[str, int] = {}
    for file, begin in maps:
        if file.startswith("/"):
            bases[file] = min(begin, bases.get(file, begin))
    names = {Path(file).name: file for file in bases}  # a core's frames have the names alone
    of_main = next((each.name for each in threads if each.tid == pid), None)
    said["threads"] = [
        {
            "id": each.tid,
            # A thread has its creator's name, until it is given one.
            "name": each.name if each.name and each.name != of_main else "",
            "main": each.tid == pid,
            "holds": each.holds_the_gil > 0,
            "frames": _native_frames(each, bases, names),
            "python": [
                [frame.code.filename, frame.code.location.lineno, frame.code.scope]
                for frame in reversed(list(each.frames))
            ],
        }
        for each in threads
    ]
    json.dump(said, sys.stdout)


def _native_frames(
    thread: Any, bases: dict[str, int], names: dict[str, str]
) -> list[dict[str, Any]]:
    """The innermost first."""
    frames: list[dict[str, Any]] = []
    for frame in reversed(thread.native_frames):
        known = not frame.symbol.startswith("??")
        file: str = names.get(frame.library) or frame.library
        frames.append(
            {
                "function": frame.symbol.removesuffix(" (inlined)") if known else "",
                "source": f"{frame.path}:{frame.linenumber}" if frame.linenumber > 0 else "",
                "file": file,
                "offset": frame.address - _loaded_at(file, bases),
            }
        )
    return frames


def _loaded_at(file: str, bases: dict[str, int]) -> int:
    """What an address in memory is to be less by for an address in the file."""
    try:
        with Path(file).open("rb") as opened:
            is_executable = opened.read(18)[16:] == b"\x02\0"  # ET_EXEC: not PIE
    except OSError:
        is_executable = False
    return 0 if is_executable else bases.get(file, 0)


try:
    main()
except ModuleNotFoundError as missing:
    if missing.name != "pystack":
        raise
    json.dump({"error": "ModuleNotFoundError"}, sys.stdout)
except Exception as failure:
    json.dump({"error": type(failure).__name__, "text": str(failure)}, sys.stdout)
