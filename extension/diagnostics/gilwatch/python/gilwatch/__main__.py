"""python3 -m gilwatch (SCRIPT | - | -m MODULE | -c CODE | --pid PID | --core FILE) …."""

import argparse

from gilcheck import program
from handoff_attach import command_line

from . import __version__, outside, start


def main(prog: str = "gilwatch") -> None:
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"%(prog)s [--after SECONDS] [--signal NUMBER] {program.USAGE}\n"
        "       %(prog)s --pid PID [--watch [--after SECONDS] [--signal NUMBER]]\n"
        "       %(prog)s --core FILE [--executable FILE]",
        description="Run a Python program, and report on stderr who waits too long for the GIL, "
        "and who holds it.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--after",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="how long a wait, or a hold that sleeps, is too long (5)",
    )
    parser.add_argument(
        "--signal",
        type=int,
        default=0,
        metavar="NUMBER",
        help="a signal that asks for a report at once (none)",
    )
    command_line.add_arguments(parser)
    parser.add_argument(
        "--watch",
        action="store_true",
        help="begin to watch the process with --pid from inside (report once, from outside)",
    )
    parser.add_argument("--core", metavar="FILE", help="report on what a process has left, a core")
    parser.add_argument(
        "--executable", metavar="FILE", help="the program that left the core (it says itself which)"
    )
    parser.add_argument("--version", action="version", version=f"gilwatch {__version__}")
    program.add_arguments(parser)
    asked = parser.parse_args()
    if asked.pid is not None or asked.core is not None:
        command_line.attach(parser, asked, lambda: outside.explain(asked))
    if asked.watch or asked.executable is not None:
        parser.error("--watch goes with --pid, and --executable with --core")
    run = program.find(parser, asked)
    try:
        start(asked.after, signal=asked.signal)
    except (RuntimeError, ValueError) as failure:
        parser.exit(2, f"{failure}\n")
    run()


if __name__ == "__main__":
    main("python3 -m gilwatch")
