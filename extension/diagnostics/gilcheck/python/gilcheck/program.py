"""A program on a command line, and its run, as python3 itself has them: SCRIPT, -m, -c, -."""

from __future__ import annotations  # on a Python that is too old, the library says so

import argparse
import builtins
import contextlib
import difflib
import importlib.machinery
import linecache
import runpy
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

# How like an option a word must be, from 0 to 1: --secs is like --seconds, --nope is like none.
_LIKENESS = 0.7

# What python3 -m itself calls.
_RUN_AS_MAIN: Callable[..., None] = runpy._run_module_as_main  # type: ignore[attr-defined]


class Parser(argparse.ArgumentParser):
    """Of a tool's command line: its help fits a screen, and an error is one line of the tool's.

    help_text: what --help prints; `{prog}` stands for how the tool was called.
    """

    def __init__(self, prog: str, help_text: str) -> None:
        super().__init__(prog=prog, allow_abbrev=False)
        self._help_text = help_text

    def format_help(self) -> str:
        return self._help_text.format(prog=self.prog)

    def parse(self) -> argparse.Namespace:
        """Exits with 2 for an unknown option, and names the one that is like it."""
        asked, unknown = self.parse_known_args()
        for word in unknown[:1]:
            like = difflib.get_close_matches(
                word.partition("=")[0], self._option_string_actions, 1, _LIKENESS
            )
            others = f" (did you mean {like[0]}?)" if like else ""
            self.error(f"there is no option {word}{others}")
        return asked

    def error(self, message: str) -> NoReturn:
        tool = self.prog.rpartition(" ")[2]
        message = message.removeprefix("argument ")
        option, is_it, _ = message.partition(": expected one argument")
        if is_it:
            message = f"{option} wants a value after it; one that begins with a - is written "
            message += f"{option}=VALUE"
        self.exit(2, f"{tool}: {message}; `{self.prog} --help` lists the options\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("-m", dest="module", nargs=argparse.REMAINDER)  # its name, and its arguments
    what.add_argument("-c", dest="code", nargs=argparse.REMAINDER)
    # A file, folder or archive with __main__.py, as python3 has it.
    parser.add_argument("script", nargs="?")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)


# Of the tools, and hardly of any program.
_UNMISTAKABLE = (
    *("--deadlocks", "--python-locks", "--budget", "--children", "--no-calls"),
    *("--write-baseline", "--after", "--when-wait-exceeds", "--stack-after"),
)


def find(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> Callable[[], None]:
    """A function that runs the program as __main__, which sees its own part of the command line.

    Exits with 2, as python3 does, if there is nothing to run.
    """
    _note_late_options(parser, (asked.code or [])[1:] + (asked.module or [])[1:] + asked.arguments)
    if asked.code is not None:
        if not asked.code:
            parser.error("-c wants code after it")
        code, *arguments = asked.code
        if sys.version_info >= (3, 13):  # whose tracebacks show the lines of -c
            linecache.cache["<string>"] = (len(code), None, code.splitlines(True), "<string>")
        return lambda: _run_source(code, "<string>", ["-c", *arguments], folder="")
    if asked.module is not None:
        if not asked.module:
            parser.error("-m wants a module's name after it")
        return lambda: _run_module(asked.module, _current_folder(), _RUN_AS_MAIN, asked.module[0])
    if asked.script is None:
        parser.error("there is nothing to run: a script, -m module or -c code")
    arguments = [asked.script, *asked.arguments]
    if asked.script == "-":
        return lambda: _run_source(sys.stdin.read(), "<stdin>", arguments, folder="")
    return _script(parser, Path(asked.script), arguments)


def _note_late_options(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """The program gets them, so that the tool would not do what was meant, and be silent."""
    for each in arguments:
        if each in _UNMISTAKABLE and each in parser.format_help():
            tool = parser.prog.rpartition(" ")[2]
            print(
                f"{tool}: note: the program gets {each}, which comes after it; options of {tool} "
                "come first",
                file=sys.stderr,
            )


def _current_folder() -> str | None:
    """Where python3 -m looks first, as a command in bin/ does not; None if it is gone."""
    with contextlib.suppress(OSError):
        return str(Path.cwd())
    return None


def _script(
    parser: argparse.ArgumentParser, script: Path, arguments: list[str]
) -> Callable[[], None]:
    path = str(Path.cwd() / script)  # and not where its links lead to, as python3 has it
    try:
        if script.is_dir() or _is_archive(script):
            return lambda: _run_module(arguments, path, _RUN_AS_MAIN, "__main__", False)
        source = script.read_bytes()
    except OSError as failure:
        why = f"[Errno {failure.errno}] {failure.strerror}"
        print(f"{sys.executable}: can't open file {path!r}: {why}", file=sys.stderr)
        sys.exit(2)
    if source.startswith(b"\x7fELF"):
        tool = parser.prog.rpartition(" ")[2]
        parser.error(
            f"{str(script)!r} is machine code, not a Python script; a program that embeds Python "
            f"runs with LD_PRELOAD=lib{tool}.so, which lies in the folder of Python's {tool}"
        )
    folder = str(script.resolve().parent)
    return lambda: _run_source(source, path, arguments, folder)


def _is_archive(script: Path) -> bool:
    with script.open("rb") as file:
        return file.read(4) == b"PK\3\4"


def _run_source(source: str | bytes, file: str, arguments: list[str], folder: str) -> None:
    main = _prepare(arguments, folder)
    if file != "<string>":
        main.__file__ = file
    if not file.startswith("<"):
        main.__loader__ = importlib.machinery.SourceFileLoader("__main__", file)
    _as_if_alone(lambda: exec(compile(source, file, "exec", dont_inherit=True), main.__dict__))


def _run_module(
    arguments: list[str], folder: str | None, run: Callable[..., None], *how: object
) -> None:
    _prepare(arguments, folder)
    _as_if_alone(lambda: run(*how))


def _prepare(arguments: list[str], folder: str | None) -> types.ModuleType:
    """A new __main__. What is left alone of sys.path: where it is None, or python3 was told to."""
    sys.argv[:] = arguments
    if folder is not None and not sys.flags.safe_path:
        sys.path[0] = folder
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    vars(main)["__builtins__"] = builtins
    return main


def _as_if_alone(work: Callable[[], None]) -> None:
    """An error's traceback begins with the program's first frame."""
    try:
        work()
    except BaseException as failure:
        trace = failure.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        hook = sys.excepthook
        sys.excepthook = lambda kind, error, _: hook(kind, error.with_traceback(trace), trace)
        raise
