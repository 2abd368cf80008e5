"""python3 -m gilwatch [--after SECONDS] [--signal NUMBER] (SCRIPT | - | -m MODULE | -c CODE) …."""

import argparse

from gilcheck import program

from . import __version__, start


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python3 -m gilwatch",
        usage=f"%(prog)s [--after SECONDS] [--signal NUMBER] {program.USAGE}",
        description="Run a Python program, and report on stderr who waits too long for the GIL, "
        "and who holds it.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--after", type=float, default=5.0, help="how long a wait is too long, in seconds (5)"
    )
    parser.add_argument(
        "--signal", type=int, default=0, help="a signal that asks for a report at once (none)"
    )
    parser.add_argument("--version", action="version", version=f"handoff {__version__}")
    program.add_arguments(parser)
    asked = parser.parse_args()
    run = program.find(parser, asked)
    try:
        start(asked.after, signal=asked.signal)
    except (RuntimeError, ValueError) as failure:
        parser.exit(2, f"{failure}\n")
    run()


main()
