"""What every run is made of: measured programs as processes, and the one JSON object it prints."""

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MEASURED = Path(__file__).parent / "measured"


class MeasuringError(Exception):
    """What is to be measured did not do its work."""


class Ended(NamedTuple):
    """A program that has ended, as its parent saw it. Times in seconds, memory in bytes."""

    output: str
    begin: float  # time.monotonic()
    end: float
    cpu: float  # user and system, of all threads
    peak: int  # of resident memory

    @property
    def wall(self) -> float:
        return self.end - self.begin

    @property
    def said(self) -> dict:
        """The last line that it printed, which is JSON."""
        return json.loads(self.output.splitlines()[-1])


def bound_memory() -> None:
    """So that what is asked for more than it can do fails, and not the machine: half of it."""
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    resource.setrlimit(resource.RLIMIT_DATA, (half, half))


def run(*command: object, path: object = None, timeout: float = 300) -> Ended:
    """Runs a program to its end; `path` becomes its PYTHONPATH. stderr goes where ours goes."""
    words = [str(word) for word in command]
    # What Python reads from the environment would change what is measured.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if path is not None:
        variables["PYTHONPATH"] = str(path)
    begin = time.monotonic()
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=variables,
        text=True,
        preexec_fn=bound_memory,
    )
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    try:
        with process.stdout:
            output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        end = time.monotonic()
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        killer.cancel()
    if process.returncode != 0:
        after = f"; it was killed after {timeout:g} s" if end - begin >= timeout else ""
        raise MeasuringError(f"exit code {process.returncode} of: {' '.join(words)}{after}")
    return Ended(output, begin, end, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


class Figures:
    """What a run has measured so far: of each name the unit and one value a repetition.

    In turn: the values of one repetition may be compared with those of others, pair by pair.
    """

    def __init__(self) -> None:
        self.measurements: dict[str, dict] = {}
        self.notes: dict[str, str] = {}

    def add(self, name: str, unit: str, *values: float, in_turn: bool = False) -> None:
        measured = self.measurements.setdefault(name, {"unit": unit, "values": []})
        measured["values"] += values
        if in_turn:
            measured["in_turn"] = True
        tell(f"  {name}: {', '.join(f'{value:.6g}' for value in values[:6])} {unit}")

    def note(self, name: str, text: str) -> None:
        self.notes[name] = text
        tell(f"  {name}: {text}")


def tell(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def percentile(values: list[float], share: float) -> float:
    """The least value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 1e6) // 10**6) - 1)]


def main(measure: Callable[[Figures, argparse.Namespace], None], description: str) -> None:
    """Measures as the command line says, and prints the figures."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", required=True, type=Path, help="the program handoff")
    parser.add_argument("--python", required=True, type=Path, help="the distribution's python3")
    parser.add_argument("--peers", required=True, type=Path, help="where bench/peers was built")
    parser.add_argument("--shared-host", type=Path, help="handoff with the shared libpython")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    arguments = parser.parse_args()
    figures = Figures()
    try:
        measure(figures, arguments)
    except (MeasuringError, OSError) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
    print(json.dumps({"measurements": figures.measurements, "notes": figures.notes}))
