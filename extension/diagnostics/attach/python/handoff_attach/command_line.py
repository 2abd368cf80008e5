"""What the tools' command lines have in common where they attach: --pid, --within, one sentence."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from .injection import started
from .process import Process, RefusedError

_WITHIN = 5.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pid", type=number)
    parser.add_argument("--within", type=seconds)  # _WITHIN, unless given


def number(text: str) -> int:
    """For argparse. Raises ArgumentTypeError."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def signal_number(text: str) -> int:
    """For argparse. Raises ArgumentTypeError."""
    given = number(text)
    if given == 0:
        raise argparse.ArgumentTypeError(
            "0 is not a signal: give one that can be handled, such as 12"
        )
    return given


def _as_number(text: str) -> float:
    """NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def seconds(text: str) -> float:
    """For argparse. Raises ArgumentTypeError."""
    length = _as_number(text)
    if not 0 < length < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return length


def seconds_or_none(text: str) -> float:
    """The same for a time that may be 0: never. Raises ArgumentTypeError."""
    length = _as_number(text)
    if not 0 <= length < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds (0 or more)")
    return length


def has_program(asked: argparse.Namespace) -> bool:
    return any(each is not None for each in (asked.module, asked.code, asked.script))


def attach(
    parser: argparse.ArgumentParser, asked: argparse.Namespace, work: Callable[[], None]
) -> NoReturn:
    """Exits with 0 when the work is done, 2 if it was refused, 130 after Ctrl-C.

    work: finds asked.within set.
    """
    if has_program(asked):
        parser.error("either --pid, or a program to run")
    if asked.within is None:
        asked.within = _WITHIN
    try:
        work()
    except RefusedError as refusal:
        say(f"{parser.prog.rpartition(' ')[2]}: {refusal}")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def start(
    asked: argparse.Namespace, tool: str, *arguments: Any, log: Path | None = None, **keywords: Any
) -> None:
    """Starts the tool there, and leaves. log: where it reports to; None: stderr.

    Raises RefusedError.
    """
    with (
        Process(asked.pid) as process,
        started(process, tool, *arguments, within=asked.within, **keywords),
    ):
        where = stderr_of(process) if log is None else log
        say(f"{tool}: started in process {asked.pid}; what it reports goes to {where}")


def stderr_of(process: Process) -> str:
    try:
        where = Path(f"/proc/{process.pid}/fd/2").readlink()
    except OSError:
        return "nowhere: that process has closed its stderr"
    return f"that process's stderr, {where}"


def say(text: str) -> None:
    """Writes to the user who has attached, if that is possible."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)
