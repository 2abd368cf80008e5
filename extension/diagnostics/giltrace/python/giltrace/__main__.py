"""python3 -m giltrace -o OUTPUT (SCRIPT | - | -m MODULE | -c CODE | --pid PID) [ARGUMENT ...]."""

import argparse

from gilcheck import program
from handoff_attach import command_line

from . import __version__, attached, start, write


def main(prog: str = "giltrace") -> None:
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"%(prog)s -o OUTPUT {program.USAGE}\n"
        "       %(prog)s -o OUTPUT --pid PID [--seconds SECONDS]\n"
        "       %(prog)s -o OUTPUT --recording OUTPUT.recording",
        description="Run a Python program, and draw who holds the GIL and who waits for it.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="OUTPUT",
        help="a file that ends with .json (Chrome's Trace Event Format, for Perfetto and "
        "vizviewer), .html or .svg",
    )
    parser.add_argument(
        "--recording", help="run nothing: draw what a process has left that was killed"
    )
    command_line.add_arguments(parser)
    parser.add_argument(
        "--seconds",
        type=command_line.seconds,
        help="how long the process with --pid is recorded (until Ctrl-C)",
    )
    parser.add_argument(
        "--stack-after",
        type=float,
        default=0.01,
        metavar="SECONDS",
        help="of a thread that holds the GIL for so long, while another waits, take the C++ stack "
        "(%(default)s); 0: never",
    )
    parser.add_argument(
        "--last", type=float, default=0, metavar="SECONDS", help="keep the last seconds only"
    )
    parser.add_argument(
        "--when-wait-exceeds",
        type=float,
        default=0,
        metavar="SECONDS",
        help="when a thread has waited for the GIL for longer, write a snapshot, and go on: of "
        "trace.html, trace.snapshot1.html, and so on",
    )
    parser.add_argument(
        "--signal", type=int, default=0, metavar="NUMBER", help="write one for this signal, too"
    )
    parser.add_argument("--version", action="version", version=f"giltrace {__version__}")
    program.add_arguments(parser)
    asked = parser.parse_args()
    if asked.output is None:
        parser.error("where is it to be written? -o OUTPUT, before the program")
    if asked.pid is not None:
        command_line.attach(parser, asked, lambda: attached.record(asked))
    if asked.seconds is not None:
        parser.error("--seconds goes with --pid; --last keeps the last seconds of a program")
    run = program.find(parser, asked) if asked.recording is None else None
    try:
        if asked.recording is None:
            start(
                asked.output,
                stack_after=asked.stack_after,
                last=asked.last,
                when_wait_exceeds=asked.when_wait_exceeds,
                signal=asked.signal,
            )
        else:
            write(asked.recording, asked.output)
    except RuntimeError as failure:
        parser.exit(2, f"{failure}\n")
    if run is not None:
        run()


if __name__ == "__main__":
    main("python3 -m giltrace")
