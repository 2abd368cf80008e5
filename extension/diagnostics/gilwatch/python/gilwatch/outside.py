"""Reports, from outside, which thread keeps which waiting, in a process that hangs or in its core.

pystack reads where all threads are; the rest is the library's own diagnosis, as from inside.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from handoff_attach.command_line import say, start
from handoff_attach.process import Process, RefusedError, what_allows_ptrace

from . import LIBRARY, frames_of_python
from .core_file import Core, Crash
from .mutex_owner import owner_if_mutex, owners_in

_PATIENCE = 120.0  # seconds for reading a process, which is stopped meanwhile
_READER = Path(__file__).with_name("stacks_by_pystack.py")


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
        owners = owners_in(process)
        stacks = _read(process, str(pid))
    if "error" in stacks:
        raise RefusedError(_of_process(pid, stacks))
    return report(stacks["threads"], owners) + _on_children(pid)


def _on_children(pid: int) -> str:
    """What a parent waits for may be in a child, as in a pool's worker. Source: proc(5)."""
    found: list[str] = []
    for each in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += each.read_text().split()
    if not found:
        return ""
    first = sorted(found, key=int)
    word = "process" if len(first) == 1 else "processes"
    return (
        f"\n\nit has the child {word} {', '.join(first[:8])}{', …' * (len(first) > 8)}, which may "
        f"hang as well: `gilwatch --pid {first[0]}`"
    )


def report_on_core(file: Path, executable: Path | None) -> str:
    """executable: what left the core; None: the core says which. Raises RefusedError."""
    core = Core(file)
    if executable is not None and not executable.is_file():
        raise RefusedError(
            f"there is no file {executable}, which --executable names: give the program that left "
            "the core, or leave the option out: the core says it itself, as a rule"
        )
    program = core.executable if executable is None else executable
    if not program.is_file():
        raise RefusedError(
            f"there is no {program}, which left the core {file}: copy it here, or say by "
            "--executable where it is now"
        )
    stacks = _read(None, str(file), str(program))
    if "error" in stacks:
        raise RefusedError(_of_core(core, program, stacks))
    owners = {
        thread: owner_if_mutex(call, core.read) for thread, call in core.system_calls().items()
    }
    notes = ""
    for each in stacks["changed"]:
        notes += f"\nnote: {each} was changed since: the names in it may be wrong"
    for each in stacks["missing"]:
        notes += f"\nnote: {each} is not there: the names in it are not known"
    return report(stacks["threads"], owners, core.crash) + notes


def report(
    threads: list[dict[str, Any]], owners: dict[int, int], crash: Crash | None = None
) -> str:
    """Of threads as stacks_by_pystack.py writes them; owners: of the mutex that each waits for."""
    frames_of_python.mark(threads)
    library = ctypes.CDLL(str(LIBRARY))
    library.gilwatch_explain.restype = ctypes.c_char_p
    text: bytes = library.gilwatch_explain(
        _as_text(threads, owners, crash).encode(errors="surrogateescape")
    )
    return "gilwatch: " + text.decode(errors="backslashreplace").rstrip("\n")


def _as_text(threads: list[dict[str, Any]], owners: dict[int, int], crash: Crash | None) -> str:
    """As the library's written_stacks.hpp says."""

    def line(*fields: object) -> str:
        cleaned = (str(each).replace("\t", " ").replace("\n", " ") for each in fields)
        return "\t".join(cleaned) + "\n"

    text = ""
    if crash is not None:
        sender = -1 if crash.sender is None else crash.sender
        address = "" if crash.address is None else f"{crash.address:#x}"
        text += line("crash", crash.thread, sender, crash.signal, address)
    for each in sorted(threads, key=lambda it: (not it["holds"], not it["waits"], not it["main"])):
        flags = (int(each[flag]) for flag in ("main", "holds", "waits"))
        text += line("thread", each["id"], *flags, owners.get(each["id"], 0), each["name"])
        for frame in each["frames"]:
            fields = (frame["offset"], int(frame["beside_python"]), frame["file"], frame["source"])
            text += line("frame", *fields, frame["function"])
        for file, number, function in each["python"]:
            text += line("python", f'  File "{file}", line {number} in {function}')
    return text


def _read(process: Process | None, *arguments: str) -> dict[str, Any]:
    """What stacks_by_pystack.py writes. Raises RefusedError.

    A terminal's signals do not reach it: the process is released first.
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
            "reading a process or a core from outside needs pystack, which this Python does not "
            f"have: {how_to_install_pystack(Path(sysconfig.get_path('stdlib')))}"
        )
    return stacks


def how_to_install_pystack(library: Path) -> str:
    """library: the folder of this Python's standard library, where a distribution says that pip
    shall leave its Python alone. Source: PEP 668."""
    is_managed = sys.prefix == sys.base_prefix and (library / "EXTERNALLY-MANAGED").exists()
    if not is_managed:
        return f"`{sys.executable} -m pip install pystack`"
    return (
        "install it and the tools in a virtual environment, which this Python's distribution wants "
        f"(any Python's will do): `{sys.executable} -m venv watch && watch/bin/pip install pystack`"
    )


def _let_go(reader: subprocess.Popen[bytes], process: Process | None) -> None:
    reader.kill()
    reader.communicate()
    if process is not None:
        process.go_on()


def _of_process(pid: int, stacks: dict[str, Any]) -> str:
    text = stacks["text"].strip().partition("\n")[0].removeprefix("Engine error: ")
    if "not permitted" in text or stacks["error"] == "PermissionError":
        return f"this process may not trace process {pid}: {what_allows_ptrace()}"
    if stacks["error"] in ("NotEnoughInformation", "InvalidPythonProcess"):
        return (
            f"process {pid} has no Python that runs: it only begins, or ends already (`gdb -p "
            f"{pid}` shows where it is; pystack says: {text})"
        )
    if "No such process" in text and Path(f"/proc/{pid}").exists():
        return (
            f"pystack could not read process {pid}: a thread that Python knows has ended without "
            "its Python state, perhaps with the GIL held. Run the program by `gilwatch`, which "
            "sees that"
        )
    return f"pystack could not read process {pid}: {text}; is it one that your pystack knows?"


def _of_core(core: Core, executable: Path, stacks: dict[str, Any]) -> str:
    if not executable.samefile(core.executable):
        return (
            f"{core.file} was left by {core.executable}, and not by {executable}, which "
            "--executable names: leave that out"
        )
    text = stacks["text"].strip().partition("\n")[0].removeprefix("Engine error: ")
    died = "" if core.crash is None else f"thread {core.crash.thread} got {core.crash.signal}, but "
    return (
        f"{died}{core.file} tells pystack no Python stack ({text}): was it left by {executable}, "
        f"as that is now, while Python ran? `gdb {executable} {core.file} -batch -ex 'thread apply "
        "all backtrace'` shows what is not Python's"
    )
