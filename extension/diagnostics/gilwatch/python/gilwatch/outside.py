"""Reports, from outside, who keeps whom from going on: in a process that hangs, or in its core.

pystack reads where all threads are; the rest is the library's own diagnosis, as from inside.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from handoff_attach.command_line import say, start
from handoff_attach.process import Process, RefusedError

from . import LIBRARY

_PATIENCE = 120.0  # seconds for reading a process, which is stopped meanwhile
_READER = Path(__file__).with_name("stacks_by_pystack.py")
_ET_CORE = 4


def explain(asked: argparse.Namespace) -> None:
    """Writes a report to stderr, or has the process watch itself. Raises RefusedError."""
    if asked.pid is not None and asked.core is not None:
        raise RefusedError("either --pid, or --core")
    if asked.watch:
        if asked.core is not None:
            raise RefusedError("--watch is for --pid: a core does nothing any more")
        start(asked, "gilwatch", asked.after, signal=asked.signal)
    elif asked.core is not None:
        say(report_on_core(Path(asked.core), asked.executable and Path(asked.executable)))
    elif asked.pid is not None:
        say(report_on_process(asked.pid))


def report_on_process(pid: int) -> str:
    """The process is stopped for a moment, and goes on as before. Raises RefusedError."""
    with Process(pid) as process:
        process.require_reachable()
        process.require_python()
        stacks = _read(process, str(pid))
    if "error" in stacks:
        raise RefusedError(_of_process(pid, stacks))
    return _report(stacks)


def report_on_core(core: Path, executable: Path | None) -> str:
    """executable: what left the core; None: the core says which. Raises RefusedError."""
    _require_core(core)
    if executable is None:
        executable = _executable_of(core)
    if not executable.is_file():
        raise RefusedError(
            f"there is no {executable}, which left the core {core}: name it by --executable"
        )
    stacks = _read(None, str(core), str(executable))
    if "error" in stacks:
        raise RefusedError(_of_core(core, executable, stacks))
    notes = ""
    for file in stacks["changed"]:
        notes += f"\nnote: {file} was changed since: the names in it may be wrong"
    for file in stacks["missing"]:
        notes += f"\nnote: {file} is not there: the names in it are not known"
    return _report(stacks) + notes


def _report(stacks: dict[str, Any]) -> str:
    library = ctypes.CDLL(str(LIBRARY))
    library.gilwatch_explain.restype = ctypes.c_char_p
    text: bytes = library.gilwatch_explain(
        as_text(stacks["threads"]).encode(errors="surrogateescape")
    )
    return "gilwatch: " + text.decode(errors="backslashreplace").rstrip("\n")


def as_text(threads: list[dict[str, Any]]) -> str:
    """As the library's written_stacks.hpp says."""

    def line(*fields: object) -> str:
        cleaned = (str(each).replace("\t", " ").replace("\n", " ") for each in fields)
        return "\t".join(cleaned) + "\n"

    text = ""
    for each in sorted(threads, key=lambda it: (not it["holds"], not it["waits"], not it["main"])):
        flags = (int(each[flag]) for flag in ("main", "holds", "waits"))
        text += line("thread", each["id"], *flags, each["name"])
        for frame in each["frames"]:
            fields = (frame["offset"], int(frame["beside_python"]), frame["file"], frame["source"])
            text += line("frame", *fields, frame["function"])
        for file, number, function in each["python"]:
            text += line("python", f'  File "{file}", line {number} in {function}')
    return text


def _read(process: Process | None, *arguments: str) -> dict[str, Any]:
    """What stacks_by_pystack.py writes. Raises RefusedError.

    A terminal's signals do not reach it: the process is let go of first.
    """
    command = [sys.executable, "-P", str(_READER), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as reader:
        try:
            written, complaint = reader.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            _let_go(reader, process)
            raise RefusedError(
                f"pystack has not read it within {_PATIENCE:g} s, and was ended; the process goes "
                "on: try gdb, `gdb -p PID -batch -ex 'thread apply all backtrace'`"
            ) from None
        except BaseException:
            _let_go(reader, process)
            raise
    try:
        stacks: dict[str, Any] = json.loads(written)
    except ValueError:
        if process is not None:
            process.go_on()
        last = complaint.decode(errors="backslashreplace").strip().rpartition("\n")[2]
        raise RefusedError(
            f"pystack could not read it, and exited with {reader.returncode}: {last or 'silently'}"
        ) from None
    if stacks.get("error") == "ModuleNotFoundError":
        raise RefusedError(
            "reading a process from outside needs pystack, which this Python does not have: "
            f"`{sys.executable} -m pip install pystack`"
        )
    return stacks


def _let_go(reader: subprocess.Popen[bytes], process: Process | None) -> None:
    reader.kill()
    reader.communicate()
    if process is not None:
        process.go_on()


def _of_process(pid: int, stacks: dict[str, Any]) -> str:
    text = stacks["text"].strip().partition("\n")[0].removeprefix("Engine error: ")
    if "not permitted" in text or stacks["error"] == "PermissionError":
        return (
            f"this process may not trace process {pid}, as a container's seccomp profile forbids "
            "it perhaps: run this as root, with CAP_SYS_PTRACE (`docker run --cap-add=SYS_PTRACE`)"
        )
    if stacks["error"] in ("NotEnoughInformation", "InvalidPythonProcess"):
        return (
            f"process {pid} has no Python that runs: it only begins, or ends already (`gdb -p "
            f"{pid}` shows where it is; pystack says: {text})"
        )
    return f"pystack could not read process {pid}: {text}; is it one that your pystack knows?"


def _of_core(core: Path, executable: Path, stacks: dict[str, Any]) -> str:
    text = stacks["text"].strip().partition("\n")[0].removeprefix("Engine error: ")
    return (
        f"{core} tells pystack no Python stack ({text}): was it left by {executable}, as that is "
        "now? Another is named by --executable"
    )


def _require_core(core: Path) -> None:
    """Raises RefusedError for what is not a whole core of 64 bits."""
    try:
        size = core.stat().st_size
        with core.open("rb") as opened:
            header = opened.read(64)
            if len(header) < 64 or header[:4] != b"\x7fELF":
                raise RefusedError(
                    f"{core} is not a core: `coredumpctl dump PID -o core` writes one, or "
                    "`gcore PID` (package gdb)"
                )
            if header[4] != 2:
                raise RefusedError(f"{core} is of a program of 32 bits, which gilwatch cannot read")
            if struct.unpack_from("<H", header, 16)[0] != _ET_CORE:
                raise RefusedError(f"{core} is a program or a library, not a core")
            at, entry, count = (
                struct.unpack_from("<Q", header, 32)[0],
                *struct.unpack_from("<HH", header, 54),
            )
            opened.seek(at)
            segments = opened.read(entry * count)
    except OSError as failure:
        raise RefusedError(f"{core} cannot be read: {failure.strerror}") from None
    needed = max(
        (
            sum(struct.unpack_from("<Q", segments, begin + field)[0] for field in (8, 32))
            for begin in range(0, len(segments) - entry + 1, entry)
        ),
        default=0,
    )
    if needed > size:
        raise RefusedError(
            f"{core} is cut short: it has {size:,} bytes of {needed:,} (a full disk, or a limit, "
            "`ulimit -c`): have it written again where there is room"
        )


def _executable_of(core: Path) -> Path:
    """The program that a core names. Raises RefusedError."""
    try:
        engine: Any = importlib.import_module("pystack.engine")
    except ModuleNotFoundError:
        raise RefusedError(
            "reading a core needs pystack, which this Python does not have: "
            f"`{sys.executable} -m pip install pystack`"
        ) from None
    try:
        return Path(engine.CoreFileAnalyzer(core).extract_executable())
    except Exception as failure:
        raise RefusedError(
            f"{core} does not say which program left it ({failure}): name it by --executable"
        ) from None
