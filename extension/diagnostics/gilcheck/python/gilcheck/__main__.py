"""python3 -m gilcheck [--settings SETTINGS] (SCRIPT | - | -m MODULE | -c CODE | --pid PID) …."""

import argparse
import shlex
from pathlib import Path

from handoff_attach import command_line

from . import __version__, program, start


def main(prog: str = "gilcheck") -> None:
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"%(prog)s [--settings SETTINGS] {program.USAGE}\n"
        "       %(prog)s [--settings SETTINGS] --pid PID\n"
        "       %(prog)s --includes",
        description="Run a Python program, and report each call into Python's C API that a thread "
        "makes without the GIL.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--settings",
        default="warn",
        help="warn of each place once, go on, and exit with 66 (default), or once; or abort at the "
        "first report, for a debugger; with ,json a report is a line of JSON",
    )
    command_line.add_arguments(parser)
    parser.add_argument(
        "--includes",
        action="store_true",
        help="run nothing: print the compiler's option for -include handoff/gilcheck_inline.h",
    )
    parser.add_argument("--version", action="version", version=f"gilcheck {__version__}")
    program.add_arguments(parser)
    asked = parser.parse_args()
    if asked.includes:
        print(shlex.quote(f"-I{Path(__file__).with_name('include')}"))
        return
    if asked.pid is not None:
        command_line.attach(
            parser, asked, lambda: command_line.start(asked, "gilcheck", asked.settings)
        )
    run = program.find(parser, asked)
    try:
        start(asked.settings)
    except RuntimeError as failure:
        parser.exit(2, f"{failure}\n")
    run()


if __name__ == "__main__":
    main("python3 -m gilcheck")
