"""python3 -m gilwatch (SCRIPT | - | -m MODULE | -c CODE | --pid PID | --core FILE) …."""

from gilcheck import program
from handoff_attach import command_line

from . import __version__, outside, start

_HELP = """\
usage: {prog} [OPTION ...] (SCRIPT | - | -m MODULE | -c CODE) ...
       {prog} --pid PID [--watch [OPTION ...]]
       {prog} --core FILE [--executable FILE]

Report on stderr which thread waits too long for the GIL, which thread holds
it, and in which lines. Three examples:
  {prog} --after 2 script.py    # it hangs now and then
  {prog} --pid 4711             # it hangs now: why?
  {prog} --core core.4711       # it has crashed: where?

  --after SECONDS    report a thread that waits for the GIL, or sleeps while it
                     holds the GIL, for longer than this time (5)
  --signal NUMBER    report at once when the process gets this signal
  --pid PID          report once, from outside, on a process already running
  --watch            with --pid: watch it from inside from now on ...
  --within SECONDS   ... or fail if it cannot begin in this time (5)
  --core FILE        report on a core file: of a crash, its signal and line
  --executable FILE  the program that left the core, if the core does not say
  --version, -h, --help

A hang in which no thread wants the GIL is reported only for --signal and --pid.
"""


def main(prog: str = "gilwatch") -> None:
    parser = program.Parser(prog, _HELP)
    parser.add_argument("--after", type=command_line.seconds, default=5.0)
    parser.add_argument("--signal", type=command_line.signal_number, default=0)
    command_line.add_arguments(parser)
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--core")
    parser.add_argument("--executable")
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
        text = f"--{text}" if text.startswith("signal ") else text
        text, _, _ = text.partition(", in '")  # the settings, which the library reads as one text
        parser.exit(2, f"gilwatch: {text}\n")
    run()


if __name__ == "__main__":
    main("python3 -m gilwatch")
