"""python3 -m gilcheck [--settings SETTINGS] [-m MODULE | -c CODE | SCRIPT] [ARGUMENT ...]."""

import argparse
import runpy
import sys
from pathlib import Path

from . import start


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python3 -m gilcheck",
        usage="%(prog)s [--settings SETTINGS] (SCRIPT | -m MODULE | -c CODE) [ARGUMENT ...]",
        description="Run a Python program, and report each call into Python's C API that a thread "
        "makes without the GIL.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--settings",
        default="abort",
        help="abort at the first report (default), warn of each place once and exit with 66, or "
        "once; with ,json a report is a line of JSON",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE")
    what.add_argument("-c", dest="code", nargs=argparse.REMAINDER, metavar="CODE")
    parser.add_argument("script", nargs="?")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    program = asked.module or asked.code or (asked.script and [asked.script, *asked.arguments])
    if not program:
        parser.error("there is nothing to run: a script, -m module or -c code")

    try:
        start(asked.settings)
    except (RuntimeError, ValueError) as failure:
        parser.exit(2, f"{failure}\n")

    # As python3 itself would: what the program sees of the command line is its own.
    if asked.code:
        sys.argv = ["-c", *program[1:]]
        exec(compile(program[0], "<string>", "exec"), {"__name__": "__main__"})
        return
    sys.argv = program
    if asked.module:
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(program[0]).resolve().parent)
        runpy.run_path(program[0], run_name="__main__")


main()
