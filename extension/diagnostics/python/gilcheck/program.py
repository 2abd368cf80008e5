"""A program on a command line, and its run, as python3 itself has them: SCRIPT, -m, -c."""

import argparse
import runpy
import sys
from pathlib import Path

USAGE = "(SCRIPT | -m MODULE | -c CODE) [ARGUMENT ...]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE")
    what.add_argument("-c", dest="code", nargs=argparse.REMAINDER, metavar="CODE")
    parser.add_argument("script", nargs="?")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)


def check(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> None:
    """Exit with 2 if there is nothing to run."""
    if not (asked.module or asked.code or asked.script):
        parser.error("there is nothing to run: a script, -m module or -c code")


def run(asked: argparse.Namespace) -> None:
    """Run it as __main__; what it sees of the command line is its own."""
    if asked.code:
        code, *arguments = asked.code
        sys.argv = ["-c", *arguments]
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    elif asked.module:
        sys.argv = asked.module
        runpy.run_module(asked.module[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [asked.script, *asked.arguments]
        sys.path[0] = str(Path(asked.script).resolve().parent)
        runpy.run_path(asked.script, run_name="__main__")
