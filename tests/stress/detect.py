"""Runs programs with one fault, a native thread that appends to a list without the GIL, under the
GIL checker, again and again, and counts in how many the first bad call is reported.

Usage: detect.py TIMES [KIND ...]. A kind is a binding of C++ to Python: boost, c, nanobind,
pybind11; all whose modules were built, unless some are named. HANDOFF_PYTHON and HANDOFF_HOST name
the Python and the host; MODULES_FOLDER and PYTHON_PACKAGES say where the faulty modules and the
checker are.
"""

import collections
import concurrent.futures
import json
import os
import signal
import sys
from pathlib import Path

from host import HOST, STOCK, HangError, environment, finish, start

MODULES = os.environ["MODULES_FOLDER"]
PACKAGES = os.environ["PYTHON_PACKAGES"]
LIBRARY = Path(PACKAGES) / "gilcheck" / "libgilcheck.so"
AT_ONCE = 2 * (os.cpu_count() or 1)

CLASS = "foo = module.Foo(); foo.start()"
START = {"boost": CLASS, "c": "module.start([])", "nanobind": CLASS, "pybind11": CLASS}
# The calls that appending the next integer to a list comes to, in the order of the source.
CALLS = {
    "boost": {"PyObject_Size"},
    "c": {"PyList_Append"},
    "nanobind": {"PyLong_FromSize_t", "PyLong_FromUnsignedLong", "PyList_Append"},
    "pybind11": {"PyList_Size", "PyLong_FromSize_t", "PyList_Append"},
}
# Meanwhile, the main thread computes, calls, sleeps and imports: it holds the GIL, or does not.
PROGRAM = """\
import sys; sys.path.insert(0, {modules!r})
import json, time, misuse_{kind} as module
{start}
def work(depth):
    return work(depth - 1) if depth else json.loads(json.dumps(list(range(100))))
end = time.monotonic() + 10
while time.monotonic() < end:
    work(20)
    time.sleep(0.001)
"""


def command(way, kind):
    """What runs the faulty program under the checker, and the variables it wants."""
    code = PROGRAM.format(modules=MODULES, kind=kind, start=START[kind])
    return {
        "python3 -m gilcheck": (
            (STOCK, "-m", "gilcheck", "--settings", "abort,json", "-c", code),
            {"PYTHONPATH": PACKAGES},
        ),
        "handoff -X gilcheck": ((HOST, "-X", "gilcheck=abort,json", "-c", code), {}),
        "LD_PRELOAD": ((STOCK, "-c", code), {"LD_PRELOAD": str(LIBRARY), "GILCHECK": "abort,json"}),
    }[way]


WAYS = "python3 -m gilcheck", "handoff -X gilcheck", "LD_PRELOAD"


def wrong(outcome, kind):
    """What is not as it should be in the report of a faulty program; empty: nothing."""
    lines = outcome.stderr.splitlines()
    if outcome.code != -signal.SIGABRT or len(lines) != 1:
        return f"ended with {outcome.code} after {len(lines)} lines"
    report = json.loads(lines[0])
    if report["function"] not in CALLS[kind]:
        return f"named {report['function']}"
    if report["because"] != "never_acquired" or report["thread"]["known_to_python"]:
        return f"because {report['because']}"
    if not any(f"misuse_{kind}" in frame["file"] for frame in report["stack"]):
        return "names no line of the module"
    return ""


def check(way, kind):
    """One run. Returns how it ended, and all that was said if that is not as it should be."""
    words, variables = command(way, kind)
    try:
        outcome = finish(start(*words, env=environment(**variables)), aborts=True)
    except HangError as error:
        return "not reported", str(error)
    try:
        reason = wrong(outcome, kind)
    except (ValueError, KeyError) as error:
        reason = f"the report cannot be read: {error!r}"
    if not reason:
        return "found", ""
    reported = "gilcheck" in outcome.stderr
    return ("wrong" if reported else "not reported"), f"{reason}:\n{outcome}"


def main(times, *kinds):
    built = [kind for kind in START if Path(MODULES, f"misuse_{kind}.so").exists()]
    chosen = kinds or built
    if missing := [kind for kind in chosen if kind not in built]:
        sys.exit(f"there is no module misuse_{missing[0]} in {MODULES}")
    for kind in START:
        if kind not in built:
            print(f"misuse_{kind} was not built", flush=True)
    every = True
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for kind in chosen:
            for way in WAYS:
                runs = pool.map(check, [way] * times, [kind] * times)
                counted = collections.Counter()
                for ending, said in runs:
                    counted[ending] += 1
                    if ending != "found" and counted[ending] == 1:
                        print(said, file=sys.stderr, flush=True)
                print(
                    f"{kind:10}{way:21}found {counted['found']}/{times}, "
                    f"{counted['wrong']} wrong reports",
                    flush=True,
                )
                every = every and counted["found"] == times
    return not every


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
