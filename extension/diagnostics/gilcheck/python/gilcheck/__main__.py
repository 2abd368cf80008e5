"""python3 -m gilcheck [OPTIONS] (SCRIPT | - | -m MODULE | -c CODE | --pid PID) …."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from handoff_attach import command_line

from . import __version__, children, program, start

_HELP = """\
usage: {prog} [OPTION ...] (SCRIPT | - | -m MODULE | -c CODE) ...
       {prog} [OPTION ...] --pid PID

Report each call into Python that is made without the GIL. Three examples:
  {prog} script.py                # it crashes: which call?
  {prog} --deadlocks -m pytest    # what can deadlock?
  {prog} --budget 5ms script.py   # it is slow: what holds the GIL?
  --settings SETTINGS    warn (default), once or abort; as JSON: warn,json
  --deadlocks            report also what can deadlock
  --python-locks         ... with threading.Lock and RLock, too
  --budget TIME          report native code that holds the GIL longer than TIME
  --children             check also the programs that it starts
  --no-calls             check no calls: only deadlocks, the budget, statistics
  --statistics FILE      write how the GIL was used: .txt, .json or .prom
  --log FILE             append the reports to FILE instead of stderr
  --suppressions FILE    do not report what FILE names
  --baseline FILE        report only what is not in FILE ...
  --write-baseline FILE  ... which this writes: all findings; it reports none
  --pid PID              check a Python process that is already running ...
  --within SECONDS       ... or fail if it cannot begin in this time (5)
  --includes             print the compiler's option for gilcheck_inline.h
  --version, -h, --help
"""
_FINDING = b'{"finding": '  # as each line of a baseline begins
_FILES = ("--statistics", "--log", "--suppressions", "--baseline", "--write-baseline")


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
    """Forgets what was written before."""
    if asked.write_baseline is not None:
        if asked.baseline is not None:
            parser.error("either --baseline, which is known, or --write-baseline, to know it anew")
        try:
            if asked.write_baseline.exists():
                with asked.write_baseline.open("rb") as file:
                    begin = file.read(len(_FINDING))
                if begin and begin != _FINDING:
                    parser.exit(
                        2,
                        f"gilcheck: '{asked.write_baseline}' is there, and is not a baseline of "
                        "gilcheck's: it is left as it is; name another file\n",
                    )
            asked.write_baseline.write_bytes(b"")
        except OSError as failure:
            parser.exit(
                2,
                f"gilcheck: the baseline {failure.filename!r} cannot be written: "
                f"{failure.strerror}; name a file in a folder that is there and may be written\n",
            )


def _refuse_what_is_alone(
    parser: argparse.ArgumentParser, asked: argparse.Namespace, settings: list[str]
) -> None:
    """By the names of the options; the library does so by those of the settings."""
    if asked.budget is not None and not asked.budget.endswith("s"):
        such = asked.budget if asked.budget.isdecimal() else 5
        parser.error(
            f"--budget is a time with its unit, such as {such}ms (or us, or s), "
            f"not '{asked.budget}'"
        )
    deadlocks = "deadlocks" in settings
    if asked.python_locks and not deadlocks:
        parser.error("--python-locks goes with --deadlocks: give both, or leave it out")
    figures = any(each.startswith(("budget=", "statistics=")) for each in settings)
    if asked.no_calls and not deadlocks and not figures:
        parser.error(
            "--no-calls needs --deadlocks, --budget or --statistics as well, else nothing is "
            "checked"
        )


def main(prog: str = "gilcheck") -> None:
    parser = program.Parser(prog, _HELP)
    parser.add_argument("--settings")
    for option in ("--deadlocks", "--python-locks", "--children", "--no-calls", "--includes"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("--budget")
    for option in _FILES:
        parser.add_argument(option, type=_path)
    command_line.add_arguments(parser)
    parser.add_argument("--version", action="version", version=f"gilcheck {__version__}")
    program.add_arguments(parser)
    asked = parser.parse()
    if asked.includes:
        others = [asked.settings, asked.pid, asked.within, asked.deadlocks or None]
        others += [asked.python_locks or None, asked.children or None]
        others += [asked.budget, *_files(asked).values()]
        if any(each is not None for each in others) or command_line.has_program(asked):
            parser.error("--includes runs nothing: give it alone, or leave it out")
        print(shlex.quote(f"-I{Path(__file__).with_name('include')}"))
        return
    if asked.children and (asked.pid is not None or asked.write_baseline is not None):
        parser.error("--children goes neither with --pid nor with --write-baseline: leave it out")
    if asked.within is not None and asked.pid is None:
        parser.error("--within goes with --pid: leave it out where a program is run")
    settings = ["warn" if asked.settings is None else asked.settings]
    settings += ["deadlocks"] * asked.deadlocks + ["python-locks"] * asked.python_locks
    settings += ["no-calls"] * asked.no_calls
    settings += [f"budget={asked.budget}"] * (asked.budget is not None)
    settings += [f"{name}={file}" for name, file in _files(asked).items() if file is not None]
    wanted = ",".join(settings)
    _refuse_what_is_alone(parser, asked, wanted.split(","))
    if asked.pid is not None:
        _begin_baseline(parser, asked)
        command_line.attach(
            parser, asked, lambda: command_line.start(asked, "gilcheck", wanted, log=asked.log)
        )
    # Without the statistics, which each would write over those of the others.
    of_children = [word for word in settings if not word.startswith("statistics=")]
    if asked.children and of_children == ["warn", "no-calls"]:
        parser.error("--children has nothing to check: --statistics are of this process alone")
    run = program.find(parser, asked)
    _begin_baseline(parser, asked)
    try:
        start(wanted)
    except RuntimeError as failure:
        parser.exit(2, f"{failure}\n")
    if asked.children:
        children.check(",".join(of_children))
    run()


if __name__ == "__main__":
    main("python3 -m gilcheck")
