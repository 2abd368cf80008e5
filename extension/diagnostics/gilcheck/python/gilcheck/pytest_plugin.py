"""pytest --gilcheck, --gil-deadlocks, --gil-budget: a finding fails the test that made it.

pytest imports this whenever it runs, so what only a checked run needs is imported there.

A deadlock that happens is also written to stderr as soon as it is found, past pytest's capture: the
test does not end.

Reports are appended to a file, which each of pytest-xdist's workers has for itself, and which the
processes that tests start share with it. What is new in the file after a test's setup, call or
teardown is that test's. What is new before a test begins was made between tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_FOLDER = "gilcheck_folder"  # that of the workers' reports, as they are told
_BETWEEN = "gilcheck_between"  # what a worker tells of what was made between its tests
_NOTES = "gilcheck_notes"  # and which notes there are, which are no findings


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gilcheck", "calls into Python without the GIL, and deadlocks with it")
    group.addoption(
        "--gilcheck",
        action="store_true",
        help="Fail a test that calls Python without the GIL, here or in a process that it starts.",
    )
    group.addoption(
        "--gil-deadlocks",
        action="store_true",
        help="Fail a test that takes the GIL and locks in an order that will deadlock.",
    )
    group.addoption(
        "--gil-budget",
        metavar="TIME",
        help="Fail a test in which native code holds the GIL longer, as 5ms.",
    )
    group.addoption(
        "--gil-suppressions",
        metavar="FILE",
        help="Do not report what this file names, in lines of kind:pattern  # reason.",
    )


def pytest_configure(config: pytest.Config) -> None:
    calls, deadlocks = config.option.gilcheck, config.option.gil_deadlocks
    budget, suppressions = config.option.gil_budget, config.option.gil_suppressions
    if calls or deadlocks or budget is not None:
        words = ["deadlocks"] * deadlocks + ["no-calls"] * (not calls)
        if budget is not None:
            words.append(f"budget={budget}")
        if suppressions is not None:
            path = config.invocation_params.dir / suppressions
            if "," in str(path):
                raise pytest.UsageError(
                    f"--gil-suppressions {path}: a comma separates gilcheck's settings: "
                    "name a file without"
                )
            words.append(f"suppressions={path}")
        config.pluginmanager.register(_Checked(config, words), "gilcheck-session")
    elif suppressions is not None:
        raise pytest.UsageError(
            "--gil-suppressions goes with --gilcheck, --gil-deadlocks or --gil-budget"
        )


def _append_to(descriptor: int) -> None:
    """Has each writer of a file write at its end, from now on; of a pipe and a terminal it is so.

    Otherwise what pytest writes next would be where a deadlock was reported: the report is written
    by path, so its writer has a position of its own.
    """
    import fcntl
    import os
    import stat

    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_APPEND)


class _Checked:
    """A session whose processes are checked, until it is unconfigured."""

    def __init__(self, config: pytest.Config, words: list[str]) -> None:
        import os
        import sys
        import tempfile
        from pathlib import Path

        from . import children, start

        if "gilcheck" in sys._xoptions:
            raise pytest.UsageError(
                "-X gilcheck has this process checked by the host already: leave that out, or "
                "the options --gilcheck, --gil-deadlocks and --gil-budget"
            )
        worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        self._temporary = None
        if worker is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="gilcheck-")
            self._folder = Path(self._temporary.name)
            self._file = self._folder / "reports"
        else:
            self._folder = Path(worker[_FOLDER])
            self._file = self._folder / worker["workerid"]
        self._settings = words
        self._read = 0  # bytes of the file
        self._found = False
        self._between: list[str] = []
        self._notes: list[str] = []
        # pytest captures nothing just now. Processes that tests start know it by this path, too.
        self._stderr = os.dup(2)
        _append_to(self._stderr)
        told = f"deadlock-log=/proc/{os.getpid()}/fd/{self._stderr}"
        checked = ",".join(["warn", *words, f"log={self._file}", told])
        try:
            start(checked if worker is not None else f"{checked},temporary-log")
        except RuntimeError as failure:
            raise pytest.UsageError(str(failure)) from None
        self._variables = children.check(checked)

    def pytest_unconfigure(self) -> None:
        """Findings at the process's end are reported on stderr, and by its exit code.

        But not what exceeds the budget: from now on pytest collects its own garbage.
        """
        import os

        from . import children, start

        unlimited = ["budget=1000000s" if "budget=" in each else each for each in self._settings]
        start(",".join(["warn", *unlimited]))
        os.close(self._stderr)
        children.restore(self._variables)
        if self._temporary is not None:
            self._temporary.cleanup()

    def _new_reports(self) -> str:
        """Those since the last time. Waits for those that are being made."""
        import re

        from . import flush

        flush()
        with self._file.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        text = new.decode(errors="replace")
        self._notes += re.findall(r"(?m)^gilcheck: note: .*", text)
        text = re.sub(r"(?m)^gilcheck: note: .*\n", "", text).rstrip("\n")
        self._found = self._found or bool(text)
        return text

    def _look_between_tests(self) -> None:
        if text := self._new_reports():
            self._between.append(text)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        self._look_between_tests()
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """After the setup, the call and the teardown. Outermost: an xfail excuses no finding."""
        report = yield
        text = self._new_reports()
        if text and report.failed:
            report.sections.append(("gilcheck", text))
        elif text:
            report.outcome = "failed"
            report.longrepr = _failure_of(item, text)
            vars(report).pop("wasxfail", None)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._look_between_tests()
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_BETWEEN] = self._between
            output[_NOTES] = self._notes
        elif self._found and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._between:
            terminalreporter.section("gilcheck: found between tests", red=True, bold=True)
            for text in self._between:
                terminalreporter.write_line(text)
        if self._notes:
            terminalreporter.section("gilcheck: notes")
            for text in dict.fromkeys(self._notes):
                terminalreporter.write_line(text)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Of pytest-xdist: a worker is about to begin."""
        node.workerinput[_FOLDER] = str(self._folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Of pytest-xdist: a worker has ended; one that crashed has told nothing."""
        output = getattr(node, "workeroutput", None)
        file = self._folder / node.workerinput["workerid"]
        if output is not None:
            told = output[_BETWEEN]
            self._notes += output[_NOTES]
        elif file.exists():
            told = [file.read_text(errors="replace").rstrip("\n")]
        else:
            told = []
        self._between += filter(None, told)
        self._found = self._found or bool(self._between)


def _failure_of(item: pytest.Item, text: str) -> Any:
    """As pytest.fail(text) in the test is shown; pytest's summary has the first line alone."""
    try:
        pytest.fail(text, pytrace=False)
    except pytest.fail.Exception:
        shown = item.repr_failure(pytest.ExceptionInfo.from_current())
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        crash.message = text.partition("\n")[0]
    return shown
