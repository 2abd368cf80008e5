"""Runs the host and the stock interpreter as processes, on pipes or a terminal, with timeouts."""

import contextlib
import fcntl
import os
import platform
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sysconfig
import tempfile
import termios
import textwrap
import time
import unittest
from pathlib import Path
from typing import NamedTuple

# A shell without job control starts us with SIGINT ignored, which our processes would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

HOST = os.environ["HANDOFF_HOST"]
STOCK = os.environ["HANDOFF_PYTHON"]
TIMEOUT = 60 * int(os.environ.get("HANDOFF_PATIENCE", "1"))  # seconds, for what takes one
LAUNCHER = os.environ.get("HANDOFF_LAUNCHER")  # what starts the host, if anything: valgrind
REPEAT = os.environ.get("HANDOFF_REPEAT")  # how often what happens once in a process is done
# A module of the tests does not say that it needs no GIL, as most of other people's do not.
WITHOUT_GIL = {"PYTHON_GIL": "0"} if sysconfig.get_config_var("Py_GIL_DISABLED") else {}
# Whether qemu runs all this: Linux 6.1 and later say for which processor they themselves are.
KERNEL = Path("/proc/sys/kernel/arch")
IS_EMULATED = KERNEL.exists() and KERNEL.read_text().strip() != platform.machine()
CRASHES = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE, -signal.SIGABRT}


class HangError(AssertionError):
    """A process did not end."""


class CrashError(AssertionError):
    """A process was ended by a fault of its own."""


class LossError(AssertionError):
    """A message that was due did not come, or one that was not due did."""


class Outcome(NamedTuple):
    """What a user sees of an ended program; its own path reads PYTHON, an address 0x0."""

    code: int
    stdout: str
    stderr: str


def environment(**changes):
    """This process's variables without those that Python reads, changed; None takes one away."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables.update({"NO_COLOR": "1", "TERM": "xterm", **WITHOUT_GIL, **changes})
    return {name: value for name, value in variables.items() if value is not None}


def start(*command, **options):
    """A process that leads a group of its own, its output on pipes."""
    options = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": environment(),
        "start_new_session": True,
        "bufsize": 0,  # what readline() has not returned, communicate() still finds
        **options,
    }
    words = [os.fspath(word) for word in command]
    if LAUNCHER and words[0] == HOST:
        words.insert(0, LAUNCHER)
    return subprocess.Popen(words, **options)


def stacks(process):
    """Where each thread of its group is, if there is a debugger to ask."""
    if shutil.which("gdb") is None:
        return "where it hangs, gdb would show"
    shown = ""
    for pid in (int(entry.name) for entry in Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            if os.getpgid(pid) == process.pid:
                gdb = ["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all backtrace"]
                seen = subprocess.run(gdb, capture_output=True, timeout=TIMEOUT, check=False)
                shown += f"process {pid}:\n{seen.stdout.decode(errors='backslashreplace')}"
    return shown


def finish(process, stdin=None, aborts=False):
    """Waits for the end of a process and reads what it wrote; kills its group if it hangs.

    A crash is an error, unless the program is one that aborts.
    """
    with process:
        try:
            stdout, stderr = process.communicate(stdin, TIMEOUT)
        except subprocess.TimeoutExpired:
            raise HangError(
                f"{process.args} goes on after {TIMEOUT} s:\n{stacks(process)}"
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    program = next(word for word in process.args if word != LAUNCHER)

    def text(written):
        readable = (written or b"").decode(errors="backslashreplace")
        if Path(program).is_absolute():
            # Where the name ends there: /usr/bin/python3 is no part of /usr/bin/python3.13.
            readable = re.sub(rf"{re.escape(program)}(?!\.?\w)", "PYTHON", readable)
        return re.sub(r"\b0x[0-9a-f]{6,}", "0x0", readable)

    outcome = Outcome(process.returncode, text(stdout), text(stderr))
    if outcome.code in CRASHES and not aborts:
        raise CrashError(f"{process.args} crashes: {outcome}")
    return outcome


def run(*command, stdin=None, **options):
    """Runs a process to its end; stdin is bytes or a string."""
    if stdin is not None:
        stdin = stdin if isinstance(stdin, bytes) else stdin.encode()
        options["stdin"] = subprocess.PIPE
    return finish(start(*command, **options), stdin)


def of_each_thread(process, file):
    """What /proc's file of that name says of each thread; one that ends meanwhile is left out."""
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield (thread / file).read_text()


def wait_until_asleep(process):
    """Until each thread waits for something. A signal that comes just before that is seen late.

    Python notes a signal and looks at it between two instructions: one that arrives between the
    last look and a call that blocks does not interrupt the call, in no python3.
    """
    deadline = time.monotonic() + TIMEOUT
    while any(
        stat.rpartition(")")[2].split()[0] != "S" for stat in of_each_thread(process, "stat")
    ):
        if time.monotonic() > deadline:
            raise AssertionError("the program does not wait for anything")
        os.sched_yield()


class Terminal:
    """A process whose controlling terminal is in our hands. What is read has no escape codes."""

    def __init__(self, *command, **options):
        self.ours, its = pty.openpty()
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("4H", 50, 200, 0, 0))
        self.process = start(
            *command,
            stdin=its,
            stdout=its,
            stderr=its,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            **options,
        )
        os.close(its)
        self.unread = ""

    def close(self):
        """Ends the process, by force if need be."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT)
        os.close(self.ours)

    def send(self, keys):
        os.write(self.ours, keys.encode())

    def read_until(self, text):
        """What came up to and with the text."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self.unread:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} did not come, but {self.unread!r}")
        before, text, self.unread = self.unread.partition(text)
        return before + text

    def finish(self):
        """Waits for the end. What was not read yet, and the exit code."""
        deadline = time.monotonic() + TIMEOUT
        while self._read(deadline):
            pass
        return self.process.wait(max(1, deadline - time.monotonic())), self.unread

    def _read(self, deadline):
        if not select.select([self.ours], [], [], max(0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"the program is silent after {self.unread!r}")
        try:
            read = os.read(self.ours, 65536)
        except OSError:  # EIO: nobody has the terminal any more
            return False
        text = self.unread + read.decode(errors="backslashreplace")
        self.unread = re.sub(r"\x1b\[[0-?]*[@-~]|\x1b[=>]|\r", "", text)
        return bool(read)


class InFolder(unittest.TestCase):
    """A test with a folder of its own, where its processes run."""

    patience = TIMEOUT  # seconds, for each that has to succeed

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()

    def write(self, name, text):
        """Makes a file; the text is bytes, or a string that may be indented as a whole."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    def succeed(self, *command, **variables):
        """Runs a program, with these environment variables. What it wrote; it has ended with 0."""
        outcome = subprocess.run(
            command,
            cwd=self.folder,
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=self.patience,
        )
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        return outcome

    def again(self, once, times=3):
        """Does it as often as HANDOFF_REPEAT says; `make exits` counts what goes wrong."""
        for _ in range(int(REPEAT or times)):
            once()

    def host(self, *arguments, **options):
        return run(HOST, *arguments, **{"cwd": self.folder, **options})

    def same(self, *arguments, **options):
        """Runs the host and the stock interpreter, demands the same, and returns it."""
        host, stock = (
            run(program, *arguments, **{"cwd": self.folder, **options}) for program in (HOST, STOCK)
        )
        self.assertEqual(host, stock)
        return host
