"""python3 -m gilwatch (SCRIPT | - | -m MODULE | -c CODE | --pid PID | --core FILE) …."""

import argparse

from gilcheck import program
from handoff_attach import command_line

from . import __version__, outside, start

_EXAMPLES = """\
examples:
  {prog} --after 2 script.py --its option
  {prog} -m pytest tests
  {prog} --signal 12 -m service    # then: kill -12 PID
  {prog} --pid 4711                # it hangs: because of whom?
"""


def main(prog: str = "gilwatch") -> None:
    parser = program.Parser(
        prog=prog,
        usage=f"%(prog)s [--after SECONDS] [--signal NUMBER]\n"
        f"           {program.USAGE}\n"
        "       %(prog)s --pid PID\n"
        "       %(prog)s --pid PID --watch [--within SECONDS]\n"
        "           [--after SECONDS] [--signal NUMBER]\n"
        "       %(prog)s --core FILE [--executable FILE]\n"
        "       %(prog)s --help | --version",
        description="Report on stderr who waits too long for the GIL, who holds it, and in which\n"
        "line: of a Python program that is run, of a process that runs already, or of a\n"
        "core, whose crash it names. A hang where nobody wants the GIL is reported only\n"
        "when somebody asks: by --signal, or --pid.",
        epilog=_EXAMPLES.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--after",
        type=command_line.seconds,
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
        help="with --pid: watch it from inside from now on (report once, from outside)",
    )
    parser.add_argument("--core", metavar="FILE", help="report on what a process has left, a core")
    parser.add_argument(
        "--executable", metavar="FILE", help="the program that left the core (it says itself which)"
    )
    parser.add_argument("--version", action="version", version=f"gilwatch {__version__}")
    program.add_arguments(parser)
    asked = parser.parse()
    if asked.within is not None and not asked.watch:
        parser.error("--within goes with --pid and --watch")
    if asked.pid is not None or asked.core is not None:
        command_line.attach(parser, asked, lambda: outside.explain(asked))
    if asked.watch:
        parser.error("--watch goes with --pid")
    if asked.executable is not None:
        parser.error("--executable goes with --core")
    run = program.find(parser, asked)
    try:
        start(asked.after, signal=asked.signal)
    except (RuntimeError, ValueError) as failure:
        text = str(failure).removeprefix("gilwatch's ").removeprefix("gilwatch ")
        parser.exit(2, f"gilwatch: {text}\n")
    run()


if __name__ == "__main__":
    main("python3 -m gilwatch")
