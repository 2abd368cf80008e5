"""Runs other people's packages of PyPI in the host and under the tools, and compares with python3.

Usage: packages.py FOLDER [PACKAGE ...]: programs of tests/wheels, each named after its package;
without a name all of them. FOLDER keeps the virtual environment that they are installed into.
HANDOFF_PYTHON names the Python, HANDOFF_HOST the host, PYTHON_PACKAGES the folder of the tools. A
package is clean where stock python3 runs its program to the end, and each other way has the same
results, no report, and no recording that contradicts itself. Exits with 0 if all are, and writes
what it saw into the table of docs/packages.md.
"""

import ast
import subprocess
import sys
import tempfile
from pathlib import Path

from falsealarms import LIBRARY, PACKAGES, REPORT, Run, differences, of_script, seen
from host import STOCK, HangError, environment, finish, start
from stock_environment import Environment
from virtual_environment import PROJECT

PROGRAMS = PROJECT / "tests" / "wheels"
TABLE = PROJECT / "docs" / "packages.md"

# What follows the interpreter, and variables. The checker's way into a stock Python is also the one
# into the programs that a program starts.
PRELOADED = {"LD_PRELOAD": str(LIBRARY), "GILCHECK": "warn,deadlocks,json"}
CHECKER, TIMELINE = ("-X", "gilcheck=warn,deadlocks,json"), ("-X", "giltrace=trace.json")
WATCH, HANG = ("-X", "gilwatch=60"), "gilwatch: "
MODULE = ("-m", "giltrace", "-o", "trace.json")
BESIDE = (
    "import Foo, sys; foo = Foo.Foo(0.001, lambda n: None); foo.start(); "
    "exec(compile(open(sys.argv[1]).read(), sys.argv[1], 'exec'))"
)
FOO = ("-c", BESIDE)  # which has a Boost.Python of its own, and is stopped by the host
WAYS = {
    "stock": ("python", (), {}),
    "host": ("handoff", (), {}),
    "stock, gilcheck": ("python", (), PRELOADED),
    "host, gilcheck": ("handoff", CHECKER, {}),
    "stock, giltrace": ("python", MODULE, {"PYTHONPATH": str(PACKAGES)}),
    "host, giltrace": ("handoff", TIMELINE, {}),
    "host, gilwatch": ("handoff", WATCH, {}),
    "host, a Foo": ("handoff", FOO, {}),
    "host, all": ("handoff", (*CHECKER, *TIMELINE, *WATCH, *FOO), {}),
}
COLUMNS = ("stock", "host", "gilcheck", "giltrace", "gilwatch", "a Foo", "all")


def run(programs, package, way):
    """A Run, and what it wrote to stderr."""
    name, options, variables = WAYS[way]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        command = [programs / name, "-P", *options, PROGRAMS / f"{package}.py"]  # not that numpy.py
        process = start(*command, cwd=folder, env=environment(**variables))
        try:
            code, stdout, stderr = finish(process, aborts=True)
        except HangError as hang:
            code, stdout, stderr = "hangs", "", str(hang)
        processes, alarms = seen(stdout + stderr, folder)
        if HANG in stderr:
            alarms = (*alarms, HANG)
        return Run(of_script(code, stdout, stderr), processes, alarms), stderr


def judge(programs, package):
    """Runs it in every way; returns a word on each: "same" where there is nothing to say."""
    words, stock = {}, None
    for way in WAYS:
        ran, stderr = run(programs, package, way)
        stock = stock or ran
        reports = [each for each in ran.alarms if REPORT.search(each)]
        if reports and ran.results["exit code"] == 66:  # the checker's, for 0
            ran.results["exit code"] = 0
        other = differences(stock, ran)
        found = ["differs"] * bool(other) + [f"{len(reports)} reports"] * bool(reports)
        others = [each for each in ran.alarms if each not in reports]
        found += ["gilwatch reports" if each == HANG else "contradicts" for each in others]
        if "giltrace" in str(WAYS[way]) and not ran.processes:
            found.append("no recording")
        words[way] = ", ".join(found) or "same"
        for each in (*other, *ran.alarms, *([stderr] if other else ())):
            print(f"{package}, {way}: {each}", file=sys.stderr, flush=True)
    if stock.results["exit code"] != 0 or stock.results["error"]:
        words["stock"] = f"exit code {stock.results['exit code']}"
    return words


def note(package, version, words):
    """Writes a row of the table in the documentation anew: a tool's two ways are one cell."""
    cells = []
    for way in COLUMNS:
        both = [words[each] for each in WAYS if each == way or each.endswith(f", {way}")]
        cells.append(both[0] if len(set(both)) == 1 else f"python3: {both[0]}; host: {both[1]}")
    does = ast.get_docstring(ast.parse((PROGRAMS / f"{package}.py").read_text()))
    new = f"| {package} | {' | '.join((version, does.rstrip('.'), *cells))} |"
    lines = TABLE.read_text().splitlines()
    lines = [new if line.startswith(f"| {package} |") else line for line in lines]
    TABLE.write_text("\n".join(lines) + "\n")


def main(folder, *names):
    there = sorted((each.stem for each in PROGRAMS.glob("*.py")), key=str.lower)
    for name in names:
        if name not in there:
            sys.exit(f"there is no program for {name}; there are {', '.join(there)}")
    installed = Environment(Path(folder).resolve(), "packages")
    version = subprocess.run([STOCK, "-V"], stdout=subprocess.PIPE, check=True).stdout.decode()
    print(f"{version.strip():36}", *(f"{way:>15}" for way in WAYS))
    ran = clean = 0
    for package in names or there:
        if not installed.install(package):
            print(f"{package:36} could not be installed", flush=True)
            continue
        version, words = installed.version(package), judge(installed.programs, package)
        row = (f"{package} {version}".ljust(36), *(f"{word:>15}" for word in words.values()))
        print(*row, flush=True)
        note(package, version, words)
        ran, clean = ran + 1, clean + (set(words.values()) == {"same"})
    print(f"{clean} of {ran} are clean")
    return ran == 0 or clean < ran


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
