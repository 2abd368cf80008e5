"""python3 -m giltrace -o OUTPUT (SCRIPT | - | -m MODULE | -c CODE | --pid PID) [ARGUMENT ...]."""

from gilcheck import program
from handoff_attach import command_line

from . import __version__, attached, start, write

_HELP = """\
usage: {prog} -o OUTPUT [OPTION ...] PROGRAM
       {prog} -o OUTPUT [OPTION ...] --pid PID
       {prog} -o OUTPUT --recording OUTPUT.recording

Run a Python program, and draw which thread holds the GIL and which ones wait:
  {prog} -o trace.html script.py
  {prog} -o trace.json -m pytest     # for ui.perfetto.dev
  {prog} -o trace.html --pid 4711    # until Ctrl-C

PROGRAM is SCRIPT, - (stdin), -m MODULE or -c CODE, with its own arguments.

  -o, --output OUTPUT          ends with .html, .svg, or .json (Perfetto)
  --last SECONDS               keep only the last SECONDS
  --when-wait-exceeds SECONDS  write a snapshot after a longer wait, and go on
  --signal NUMBER              write one for this signal, too
  --stack-after SECONDS        take C++ stacks of longer holds (0.01); 0: none
  --recording FILE             run nothing: draw what a killed process has left
  --pid PID                    record a Python process already running ...
  --seconds SECONDS            ... for this time (until Ctrl-C)
  --within SECONDS             ... or fail if it cannot begin in this time (5)
  --version, -h, --help
"""


def options(prog: str) -> program.Parser:
    parser = program.Parser(prog, _HELP)
    parser.add_argument("-o", "--output")
    for each in ("last", "when-wait-exceeds"):
        parser.add_argument(f"--{each}", type=command_line.seconds, default=0.0)  # 0: not wanted
    parser.add_argument("--stack-after", type=command_line.seconds_or_none, default=0.01)
    parser.add_argument("--signal", type=command_line.signal_number, default=0)
    parser.add_argument("--recording")
    parser.add_argument("--seconds", type=command_line.seconds)
    command_line.add_arguments(parser)
    parser.add_argument("--version", action="version", version=f"giltrace {__version__}")
    program.add_arguments(parser)
    return parser


def main(prog: str = "giltrace") -> None:
    parser = options(prog)
    asked = parser.parse()
    if not asked.output:
        parser.error("no output is named: give -o trace.html before the program")
    if asked.pid is not None:
        command_line.attach(parser, asked, lambda: attached.record(asked))
    if asked.recording is not None and command_line.has_program(asked):
        parser.error("either --recording, or a program to run")
    if asked.within is not None:
        parser.error("--within goes with --pid: leave it out where a program is run")
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
