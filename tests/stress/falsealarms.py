"""Runs programs plain, under the GIL checker, and under the GIL timeline; counts false alarms.

Usage: falsealarms.py FOLDER [NAME ...]: scripts of workloads/, Python's own test modules, packages
of PyPI that bring their tests, and "handoff", this project's tests; without a name all of them.
FOLDER keeps the virtual environment that the packages are installed into. HANDOFF_PYTHON names the
Python, PYTHON_PACKAGES the folder of the tools. It is clean where each tool leaves the results as
they are, the checker reports nothing, and no recording contradicts itself, of whatever process.
Exits with 0 if all are.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from host import STOCK, WITHOUT_GIL, environment, start
from stock_environment import Environment

PACKAGES = Path(os.environ["PYTHON_PACKAGES"])
LIBRARY = PACKAGES / "gilcheck" / "libgilcheck.so"
SCRIPTS = Path(__file__).with_name("workloads")
WAYS = ("plain", "gilcheck", "giltrace")
REPORT = re.compile(r'{("|&quot;)tool\1: \1gilcheck\1, (?!\1note)')
MINUTES = 40  # for one program

# Of the Python that is asked, those that it has.
TESTS = (
    *("test_threading", "test_thread", "test_fork1", "test_ssl", "test_sqlite3"),
    *("test_concurrent_futures", "test_asyncio", "test_capi"),
)
# Packages whose tests come with them, and which of those are left out: they compile Fortran.
SUITES = {"numpy": "/*/f2py/*"}
# Tests that call Python without the GIL on purpose, or deadlock; this project's have a tool in them
# already.
MISUSES = ("test_no_FatalError_infinite_loop",)
OWN_MISUSES = "test_gil|test_deadlocks|test_attach|test_packages|WatchedInterpreter|CanaryDeath"
KNOWN = Path(__file__).resolve().parent.parent / "known_findings.txt"


class Run(NamedTuple):
    """A program, once: the results, by the test or as a whole, and what is wrong."""

    results: dict
    processes: int = 0  # recorded
    alarms: tuple = ()  # reports, or contradictions


def call(command, folder, **variables):
    """Its exit code, and what it wrote to both."""
    process = start(*command, cwd=folder, env=environment(**variables))
    try:
        stdout, stderr = process.communicate(timeout=60 * MINUTES)
        return (
            process.returncode,
            stdout.decode("utf-8", "replace"),
            stderr.decode(errors="replace"),
        )
    except subprocess.TimeoutExpired:
        return "goes on", "", ""
    finally:
        process.kill()


def verdicts(report):
    """Of each test in a report of JUnit's format."""
    if not report.exists():
        return {}
    of_each = {}
    for case in ElementTree.parse(report).iter("testcase"):
        verdict = [each.tag for each in case if each.tag in ("failure", "error", "skipped")]
        of_each[str(case.get("name"))] = " ".join(verdict) or "passed"
    return of_each


def program(name, folder):
    """What follows the interpreter, for a script, a package or a test module."""
    script = SCRIPTS / f"{name}.py"
    if script.exists():
        return [script]
    if name in SUITES:
        options = ["-q", f"--junit-xml={folder / 'junit.xml'}", f"--ignore-glob={SUITES[name]}"]
        return ["-m", "pytest", *options, "-p", "no:cacheprovider", "--pyargs", name]
    ignored = [word for each in MISUSES for word in ("--ignore", each)]
    return ["-m", "test", "--junit-xml", folder / "junit.xml", *ignored, name]


def contradictions(folder):
    """How many processes were recorded, and what contradicts itself; those killed, too."""
    for left in folder.glob("*.recording"):
        drawn = ("-o", left.with_suffix(""), "--recording", left)
        call([STOCK, "-m", "giltrace", *drawn], folder, PYTHONPATH=str(PACKAGES))
    traces = [json.loads(trace.read_text())["otherData"] for trace in folder.glob("trace*.json")]
    return len(traces), tuple(filter(None, (each["contradiction"] for each in traces)))


def of_script(code, stdout, stderr):
    """What a script's results are."""
    return {"exit code": code, "stdout": stdout, "error": "Traceback (most" in stderr}


def seen(said, folder):
    """How many processes were recorded; what the checker reports, and the recordings contradict."""
    reports = [line for line in said.splitlines() if REPORT.search(line)]
    processes, contradicting = contradictions(folder)
    return processes, (*reports, *contradicting)


def run(name, way, python=STOCK):
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        if name == "handoff":
            command = [os.environ["CTEST"], "--test-dir", PACKAGES.parent, "--parallel", "2"]
            command += ["--exclude-regex", OWN_MISUSES, "--output-junit", folder / "junit.xml"]
        else:
            command = [python, *program(name, folder)]
        variables = {"NPY_AVAILABLE_MEM": "1 GB"}  # of which numpy's tests take as much as there is
        if way == "gilcheck":
            settings = f"warn,deadlocks,json,suppressions={KNOWN}"
            variables |= {"LD_PRELOAD": str(LIBRARY), "GILCHECK": settings}
        if way == "giltrace":
            command[1:1] = ["-m", "giltrace", "-o", folder / "trace.json"]
            variables |= {"PYTHONPATH": str(PACKAGES)}
        code, stdout, stderr = call(command, folder, **variables)
        report = folder / "junit.xml"
        results = {"exit code": code, **verdicts(report)}
        if (SCRIPTS / f"{name}.py").exists():
            results = of_script(code, stdout, stderr)
        said = stdout + stderr + (report.read_text() if name == "handoff" else "")
        return Run(results, *seen(said, folder))


def differences(plain, checked):
    """One line for each result that is another than without the tool."""
    names = sorted({*plain.results, *checked.results})
    both = [(name, plain.results.get(name), checked.results.get(name)) for name in names]
    return [f"{name}: {was!r}, and now {is_!r}" for name, was, is_ in both if was != is_]


def is_there(name):
    """Whether this Python has what it is about."""
    modules = {"numpy_blas": "numpy", "prompt": "readline", "handoff": "json"}
    module = modules.get(name, f"test.{name}" if name in TESTS else "json")
    code = f"import importlib.util as u; raise SystemExit(u.find_spec({module!r}) is None)"
    return subprocess.run([STOCK, "-c", code], check=False).returncode == 0


def judge(name, pool, python=STOCK):
    """Runs it in every way; returns its line of the table, and whether it is clean."""
    # giltrace refuses a free-threaded Python.
    ways = WAYS[:2] if name == "handoff" or WITHOUT_GIL else WAYS
    if name == "handoff":  # two of them at a time would be in each other's way
        runs = {way: run(name, way) for way in ways}
    else:
        count = len(ways)
        runs = dict(zip(ways, pool.map(run, [name] * count, ways, [python] * count), strict=True))
    plain = runs["plain"]
    if name in SUITES and plain.results["exit code"] not in (0, 1):  # of pytest: some tests ran
        print(f"{name}: its tests cannot be run: {plain.results}", file=sys.stderr)
        return False
    cells, wrong = [f"{name:24}", f"{len(plain.results):7}"], []
    for way in WAYS[1:]:
        if way not in runs:
            cells += [f"{'-':>9}"] * 3
            continue
        other = differences(plain, runs[way])
        wrong += [f"{name}, {way}: {each}" for each in (*other, *runs[way].alarms)]
        recorded = [runs[way].processes] if way == "giltrace" else []
        cells += [f"{each:9}" for each in (len(other), *recorded, len(runs[way].alarms))]
    print(*cells, flush=True)
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr, flush=True)
    return not wrong


def main(folder, *names):
    scripts = sorted(each.stem for each in SCRIPTS.glob("*.py"))
    names = names or [*scripts, *TESTS, *SUITES, "handoff"]
    version = subprocess.run([STOCK, "-V"], stdout=subprocess.PIPE, check=True).stdout.decode()
    print(version.strip())
    columns = ("results", "otherwise", "reports", "otherwise", "processes", "contradict")
    print(f"{'':24}", *(f"{each:>9}" for each in columns))
    clean = []
    with ThreadPoolExecutor(2) as pool:
        for name in names:
            if name in SUITES:
                suites = Environment(Path(folder).resolve(), "suites")
                if suites.install(name, "pytest", "hypothesis"):
                    clean.append(judge(name, pool, suites.python))
                else:
                    print(f"{name:24} could not be installed")
            elif is_there(name):
                clean.append(judge(name, pool))
            else:
                print(f"{name:24} this Python has none")
    print(f"{sum(clean)} of {len(clean)} are clean")
    return not clean or not all(clean)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
