"""python3 -m gilcheck [OPTIONS] (SCRIPT | - | -m MODULE | -c CODE | --pid PID) …."""

import shlex
from pathlib import Path

from handoff_attach import command_line

from . import __version__, program, start


def main(prog: str = "gilcheck") -> None:
    parser = program.Parser(
        prog=prog,
        usage=f"%(prog)s [--deadlocks] [--budget TIME] [--statistics FILE] [--no-calls]\n"
        "                [--settings SETTINGS]\n"
        f"                {program.USAGE}\n"
        "       %(prog)s [--deadlocks …] --pid PID [--within SECONDS]\n"
        "       %(prog)s --includes | --version | --help",
        description="Run a program, and report each call into Python made without the GIL.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--settings",
        help="warn (default): of each place once, exit with 66; once: of the first; abort: at "
        "the first; JSON: with ,json",
    )
    parser.add_argument(
        "--deadlocks",
        action="store_true",
        help="report also what will deadlock: the GIL and locks, taken in two orders",
    )
    parser.add_argument("--no-calls", action="store_true", help="with one of these: check no calls")
    parser.add_argument(
        "--budget", metavar="TIME", help="report what holds the GIL longer, as 5ms, and where"
    )
    parser.add_argument(
        "--statistics", metavar="FILE", help="write how the GIL was used: .txt, .json or .prom"
    )
    command_line.add_arguments(parser)
    within = parser.get_default("within")
    parser.set_defaults(within=None)  # so that it is seen whether it was given
    parser.add_argument(
        "--includes",
        action="store_true",
        help="print what -include handoff/gilcheck_inline.h needs",
    )
    parser.add_argument("--version", action="version", version=f"gilcheck {__version__}")
    program.add_arguments(parser)
    asked = parser.parse_args()
    if asked.includes:
        others = (asked.settings, asked.pid, asked.within, asked.deadlocks or None)
        if any(each is not None for each in others) or command_line.has_program(asked):
            parser.error("--includes runs nothing: give it alone, or leave it out")
        print(shlex.quote(f"-I{Path(__file__).with_name('include')}"))
        return
    if asked.within is None:
        asked.within = within
    elif asked.pid is None:
        parser.error("--within goes with --pid: leave it out where a program is run")
    settings = ["warn" if asked.settings is None else asked.settings]
    settings += ["deadlocks"] * asked.deadlocks + ["no-calls"] * asked.no_calls
    settings += [f"budget={asked.budget}"] * (asked.budget is not None)
    settings += [f"statistics={asked.statistics}"] * (asked.statistics is not None)
    wanted = ",".join(settings)
    if asked.pid is not None:
        command_line.attach(parser, asked, lambda: command_line.start(asked, "gilcheck", wanted))
    run = program.find(parser, asked)
    try:
        start(wanted)
    except RuntimeError as failure:
        parser.exit(2, f"{failure}\n")
    run()


if __name__ == "__main__":
    main("python3 -m gilcheck")
