"""Runs the parts of the benchmarks, and keeps all values with the machine and the versions."""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import sysconfig
import time
from datetime import UTC, datetime
from pathlib import Path

from rows import ROWS

HERE = Path(__file__).resolve().parent
PATIENCE = 900  # seconds, for a part
PEERS = ("pybind11", "nanobind")
REPETITIONS = {"deliveries": 100}  # 15 of other parts, whose repetitions are longer
IN_TURN = ".in_turn"


class PartError(Exception):
    """Why a part has no figures."""


def called(command, patience=PATIENCE, **variables):
    """What a command prints, as JSON; all its processes are gone when it is, or is late."""
    process = subprocess.Popen(
        command,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, said = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        raise PartError(f"it did not end within {patience:g} s: {command[0]}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode != 0:
        last = "".join(f"\n    {line}" for line in said.splitlines()[-10:])
        raise PartError(f"exit code {process.returncode} of {command[0]}, which said last:{last}")
    try:
        return json.loads(output)
    except ValueError as error:
        raise PartError(f"{command[0]} printed no JSON object: {error}") from None


def from_google_benchmark(part, printed):
    """Its JSON as measurements: acquire/raw of the part guards is guards.acquire.raw.

    Of append/in_turn, the counter foo is deliveries.append.foo.
    """
    measurements = {}

    def add(name, seconds, **more):
        measured = measurements.setdefault(name, {"unit": "s", "values": [], **more})
        measured["values"].append(seconds)

    for each in printed["benchmarks"]:
        if each["run_type"] != "iteration":
            continue
        if each.get("error_occurred"):
            raise PartError(f"{each['name']}: {each['error_message']}")
        name = re.sub(
            r"/(iterations|repeats|min_time):[^/]*|/(manual|process|real)_time$",
            "",
            each["run_name"],
        )
        name = f"{part}.{name.replace('/', '.')}"
        took = each["real_time" if each["run_name"].endswith("/manual_time") else "cpu_time"]
        if name.endswith(IN_TURN):
            for variant, seconds in each.items():
                if isinstance(seconds, float) and variant not in ("real_time", "cpu_time"):
                    add(f"{name.removesuffix(IN_TURN)}.{variant}", seconds, in_turn=True)
        else:
            add(name, took / {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1}[each["time_unit"]])
    return measurements


def measured(part, arguments):
    """A part's measurements and notes."""
    program = arguments.build / "benchmarks" / part
    if program.exists():
        repetitions, least = REPETITIONS.get(part, 15), 0.1
        if arguments.quick:
            repetitions, least = 5, 0.02
        options = (
            "--benchmark_format=json",
            "--benchmark_enable_random_interleaving=true",
            f"--benchmark_repetitions={repetitions}",
            f"--benchmark_min_time={least}",
        )
        # The program's Python has NumPy from where we have it.
        printed = called([program, *options], PYTHONPATH=sysconfig.get_path("purelib"))
        return from_google_benchmark(part, printed), {}
    command = [sys.executable, HERE / "runs" / f"{part}.py"]
    command += ["--host", arguments.build / "bin" / "handoff", "--python", arguments.python]
    command += ["--peers", arguments.build / "bench" / "peers"]
    if arguments.shared_host:
        command += ["--shared-host", arguments.shared_host]
    if arguments.quick:
        command.append("--quick")
    printed = called(command)
    return printed["measurements"], printed.get("notes", {})


def processor():
    with Path("/proc/cpuinfo").open() as lines:
        models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(models, platform.machine())


def busy_share(seconds=1.0):
    """How much of the processors' time others take, with us idle."""

    def times():
        first = Path("/proc/stat").read_text().splitlines()[0]
        user, nice, system, idle, waiting, *others = map(int, first.split()[1:9])
        return sum((user, nice, system, *others)), idle + waiting

    begun = times()
    time.sleep(seconds)
    busy, idle = (after - before for after, before in zip(times(), begun, strict=True))
    return busy / (busy + idle)


def machine():
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "kernel": platform.release(),
    }


def versions(arguments):
    built_with = json.loads((arguments.build / "benchmarks.json").read_text())
    ask = "import platform; print(platform.python_version())"
    host = (arguments.build / "bin" / "handoff", "-I", "-c", ask)
    python = subprocess.run(host, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    peers = {peer: importlib.metadata.version(peer) for peer in PEERS}
    return {"Python": python, **built_with, **peers}


def run(arguments):
    """Measures every part once. Why one failed is kept beside the figures of the others."""
    done = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "busy": busy_share(),
        "measurements": {},
        "notes": {},
        "failures": {},
    }
    for part in arguments.parts:
        begin = time.monotonic()
        print(f"{part} …", file=sys.stderr, end=" ", flush=True)
        try:
            measurements, notes = measured(part, arguments)
            done["measurements"] |= measurements
            done["notes"] |= notes
            outcome = f"{time.monotonic() - begin:.0f} s"
        except PartError as error:
            done["failures"][part] = outcome = str(error)
        print(outcome, file=sys.stderr, flush=True)
    return done


def measure(arguments):
    """Measures as often as is asked for. Returns all of it, which is also in the file."""
    results = {
        "machine": machine(),
        "versions": versions(arguments),
        "quick": arguments.quick,
        "parts": arguments.parts,
        "runs": [],
    }
    for _ in range(arguments.runs):
        results["runs"].append(run(arguments))
        arguments.results.write_text(json.dumps(results, indent=1) + "\n")
    return results


def failures(results):
    """What failed, and why: a line for each."""
    return [
        f"{part} failed: {reason}"
        for run in results["runs"]
        for part, reason in run["failures"].items()
    ]


def parsed(words):
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--build", required=True, type=Path, help="where the benchmarks were built")
    parser.add_argument("--python", required=True, type=Path, help="the distribution's python3")
    parser.add_argument("--shared-host", type=Path, help="handoff with the shared libpython")
    parser.add_argument("--runs", type=int, default=1, help="how often to measure all of it")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(ROWS))
    arguments = parser.parse_args(words)
    if arguments.runs < 1:
        parser.error(f"--runs must be at least 1, not {arguments.runs}")
    for part in arguments.parts:
        if part not in ROWS:
            parser.error(f"there is no part {part} of the benchmarks; there are {', '.join(ROWS)}")
    arguments.build = arguments.build.absolute()
    # Only of a whole run are the documentation's table and plots made.
    arguments.whole = not arguments.quick and not arguments.parts
    arguments.results = (HERE if arguments.whole else arguments.build) / "results.json"
    arguments.parts = arguments.parts or list(ROWS)
    return arguments
