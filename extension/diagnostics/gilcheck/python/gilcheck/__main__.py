"""python3 -m gilcheck [OPTIONS] (SCRIPT | - | -m MODULE | -c CODE | --pid PID) …."""

from __future__ import annotations

import argparse
import functools
import shlex
from pathlib import Path

from handoff_attach import command_line

from . import __version__, program, start

_FILES = {
    "--statistics": "write how the GIL was used: .txt, .json or .prom",
    "--log": "append reports to it, and write none on stderr",
    "--suppressions": "do not report what it names",
    "--baseline": "do not report what it knows ...",
    "--write-baseline": "... for this wrote what there was, and nothing else",
}


def _path(given: str) -> Path:
    """For argparse. Raises ArgumentTypeError."""
    if "," in given:
        raise argparse.ArgumentTypeError(
            f"{given!r} has a comma, which separates settings: name a file without"
        )
    if not given:
        raise argparse.ArgumentTypeError("'' names no file")
    try:
        return Path(given).absolute()  # where another process finds it
    except OSError as failure:
        raise argparse.ArgumentTypeError(
            f"{given!r} is in no folder: the current one is gone ({failure.strerror})"
        ) from None


def _files(asked: argparse.Namespace) -> dict[str, Path | None]:
    """By the names that they have as settings."""
    names = [option.removeprefix("--") for option in _FILES]
    return {name: getattr(asked, name.replace("-", "_")) for name in names}


def _begin_baseline(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> None:
    """What was written before is known no more."""
    if asked.write_baseline is not None:
        if asked.baseline is not None:
            parser.error("either --baseline, which is known, or --write-baseline, to know it anew")
        try:
            asked.write_baseline.write_bytes(b"")
        except OSError as failure:
            parser.error(f"the baseline {failure.filename!r} cannot be written: {failure.strerror}")


def main(prog: str = "gilcheck") -> None:
    parser = program.Parser(
        prog=prog,
        usage="%(prog)s [--settings SETTINGS] [OPTION ...]\n"
        f"                {program.USAGE}\n"
        "       %(prog)s [OPTION ...] --pid PID [--within SECONDS]\n"
        "       %(prog)s --includes | --version | --help",
        description="Run a program, and report each call into Python made without the GIL.",
        formatter_class=functools.partial(argparse.HelpFormatter, max_help_position=26),
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)  # the usage has it
    parser.add_argument("--settings", help="warn (default), once or abort; in JSON: with ,json")
    parser.add_argument("--deadlocks", action="store_true", help="report also what will deadlock")
    parser.add_argument(
        "--python-locks", action="store_true", help="of threading.Lock and RLock, too"
    )
    parser.add_argument(
        "--budget", metavar="TIME", help="report what holds the GIL longer, as 5ms, and where"
    )
    parser.add_argument(
        "--no-calls", action="store_true", help="with deadlocks, a budget or statistics: no calls"
    )
    for option, said in _FILES.items():
        parser.add_argument(option, metavar="FILE", type=_path, help=said)
    command_line.add_arguments(parser)
    parser.add_argument(
        "--includes",
        action="store_true",
        help="print what -include handoff/gilcheck_inline.h needs",
    )
    version = f"gilcheck {__version__}"
    parser.add_argument("--version", action="version", version=version, help="print it")
    program.add_arguments(parser)
    asked = parser.parse()
    if asked.includes:
        others = [asked.settings, asked.pid, asked.within, asked.deadlocks or None]
        others += [asked.python_locks or None]
        others += [asked.budget, *_files(asked).values()]
        if any(each is not None for each in others) or command_line.has_program(asked):
            parser.error("--includes runs nothing: give it alone, or leave it out")
        print(shlex.quote(f"-I{Path(__file__).with_name('include')}"))
        return
    if asked.within is not None and asked.pid is None:
        parser.error("--within goes with --pid: leave it out where a program is run")
    settings = ["warn" if asked.settings is None else asked.settings]
    settings += ["deadlocks"] * asked.deadlocks + ["python-locks"] * asked.python_locks
    settings += ["no-calls"] * asked.no_calls
    settings += [f"budget={asked.budget}"] * (asked.budget is not None)
    settings += [f"{name}={file}" for name, file in _files(asked).items() if file is not None]
    wanted = ",".join(settings)
    if asked.pid is not None:
        _begin_baseline(parser, asked)
        command_line.attach(
            parser, asked, lambda: command_line.start(asked, "gilcheck", wanted, log=asked.log)
        )
    run = program.find(parser, asked)
    _begin_baseline(parser, asked)
    try:
        start(wanted)
    except RuntimeError as failure:
        parser.exit(2, f"{failure}\n")
    run()


if __name__ == "__main__":
    main("python3 -m gilcheck")
