"""scripts/dask_foos.py, on a scheduler and workers that are processes of a host's environment."""

import contextlib
import os
import re
import shlex
import signal
import socket
import threading
import unittest
from pathlib import Path

from host import STOCK, Terminal, environment, start
from virtual_environment import InAVirtualEnvironment, pinned

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "dask_foos.py"
FOOS, MESSAGES = 6, 40
LONG = ("--foos", str(FOOS), "--messages", str(MESSAGES), "--interval", "0.05")
SHORT = ("--foos", "3", "--messages", "5")


def summary(foos, messages):
    """What the script writes at the end, as a pattern."""
    return "".join(rf"foo-{n} +{messages} messages from .+\n" for n in range(foos))


class Dask(InAVirtualEnvironment):
    def setUp(self):
        super().setUp()
        self.python = self.python_with("distributed")

    def bound(self, process):
        """Kills it and what it has started when the test ends, or takes too long."""

        def kill():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        overdue = threading.Timer(self.patience, kill)
        overdue.start()
        self.addCleanup(kill)
        self.addCleanup(overdue.cancel)
        return process

    def begin(self, *command, **variables):
        process = start(*command, cwd=self.folder, env=environment(**variables))
        self.addCleanup(process.communicate)
        return self.bound(process)

    def line(self, process, pattern, stream="stderr"):
        """What the first line that it writes from now on, and that is like that, has in groups."""
        lines = (line.decode() for line in getattr(process, stream))
        found = next(filter(None, (re.search(pattern, line) for line in lines)), None)
        self.assertIsNotNone(found, f"{process.args} has ended without a line like {pattern}")
        return found.groups()

    def scheduler(self, **variables):
        """The process, its address, and that of its dashboard."""
        local = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
        process = self.begin(self.python, "-m", "dask", "scheduler", *local, **variables)
        (address,) = self.line(process, r"Scheduler at: +(tcp://\S+)")
        (dashboard,) = self.line(process, r"dashboard at: +http://([\d.:]+)/status")
        return process, address, dashboard

    def worker(self, scheduler, name, python=None):
        """The process, and its address."""
        one = ("--no-nanny", "--nthreads", "1", "--name", name)
        process = self.begin(python or self.python, "-m", "dask", "worker", scheduler, *one)
        (address,) = self.line(process, r"Start worker at: +(tcp://\S+)")
        self.line(process, "Starting established connection")
        return process, address

    def script(self, scheduler, *options):
        return self.begin(self.python, SCRIPT, scheduler, *options)

    def rest(self, process):
        """How it ends, and what it writes until then."""
        stdout, stderr = process.communicate()
        return process.returncode, stdout.decode(), stderr.decode()

    def test_a_lost_workers_foos_go_on_elsewhere(self):
        _, address, _ = self.scheduler()
        workers = {name: self.worker(address, name)[0] for name in ("first", "second", "third")}
        script = self.script(address, "--show", *LONG)
        topic, lost = self.line(script, r"^(foo-\d) 5 (\w+)$", "stdout")
        workers[lost].kill()

        code, stdout, stderr = self.rest(script)
        self.assertEqual((code, stderr), (0, f"Worker {lost} is lost: its Foos go on elsewhere.\n"))
        came = {}
        for foo, n, worker in re.findall(r"(?m)^(foo-\d) (\d+) (\w+)$", stdout):
            came.setdefault(foo, []).append((int(n), worker))
        self.assertEqual(len(came), FOOS)
        for of, messages in came.items():
            numbers = [n for n, _ in messages]
            self.assertEqual(numbers, list(range(numbers[0], MESSAGES)), of)
        self.assertEqual(came[topic][0][0], 6)
        self.assertNotEqual(came[topic][-1][1], lost)

    def test_without_a_worker_says_how_to_start_one(self):
        _, address, _ = self.scheduler()
        script = self.script(address, *SHORT)
        none = r"^There is no worker yet\. Start one, and the Foos go on: (.+)$"
        (command,) = self.line(script, none)
        self.assertEqual(command, f"{self.python} -m dask worker {address}")
        self.begin(*shlex.split(command))
        code, stdout, stderr = self.rest(script)
        self.assertEqual((code, stderr), (0, ""))
        self.assertRegex(stdout, rf"\A{summary(3, 5)}\Z")

    def test_without_a_worker_left_says_how_to_start_one(self):
        _, address, _ = self.scheduler()
        script = self.script(address, "--show", *LONG)
        self.line(script, "^There is no worker yet")
        only, _ = self.worker(address, "only")
        self.line(script, r"^foo-\d 5 only$", "stdout")
        only.kill()
        left = r"^Worker only is lost, and none is left\. Start one, and the Foos go on: (.+)$"
        (command,) = self.line(script, left)
        self.assertEqual(command, f"{self.python} -m dask worker {address}")
        self.begin(*shlex.split(command))
        code, stdout, stderr = self.rest(script)
        self.assertEqual((code, stderr), (0, ""))
        self.assertRegex(stdout, rf"{summary(FOOS, MESSAGES)}\Z")

    def test_workers_lost_too_often_are_an_error_of_one_line(self):
        _, address, _ = self.scheduler(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
        only, _ = self.worker(address, "only")
        script = self.script(address, "--show", *LONG)
        self.line(script, r"^foo-\d 5 only$", "stdout")
        only.kill()
        code, _, stderr = self.rest(script)
        self.assertEqual(code, 1)
        self.assertRegex(stderr, r"\AWorker only is lost, .+\nAttempted to run task .+\n\Z")

    def test_a_lost_scheduler_is_an_error_of_one_line(self):
        scheduler, address, _ = self.scheduler()
        self.worker(address, "first")
        script = self.script(address, "--show", *LONG)
        self.line(script, r"^foo-\d 5 first$", "stdout")
        scheduler.kill()
        code, _, stderr = self.rest(script)
        lost = f"The scheduler at {address} is lost. Start it and its workers, then this again.\n"
        self.assertEqual((code, stderr), (1, lost))

    def test_an_address_of_no_scheduler_is_an_error_of_one_line(self):
        _, scheduler, dashboard = self.scheduler()
        _, worker = self.worker(scheduler, "first")
        with socket.socket() as dead:  # bound, so that nobody else listens there
            dead.bind(("127.0.0.1", 0))
            closed = f"tcp://127.0.0.1:{dead.getsockname()[1]}"
            wrong = (closed, dashboard, worker, f"http://{dashboard}/status", "nonsense")
            scripts = {address: self.script(address, *SHORT) for address in wrong}
            for address, script in scripts.items():
                with self.subTest(address):
                    said = (
                        f"No Dask scheduler answers at {address}. Start one, and give the address "
                        f"that it prints: {self.python} -m dask scheduler\n"
                    )
                    self.assertEqual(self.rest(script), (1, "", said))

    def test_a_worker_without_foo_is_named(self):
        self.succeed(STOCK, "-m", "venv", "stock")
        stock = self.folder / "stock/bin/python"
        constraints = self.write("constraints.txt", "\n".join(pinned("host")))
        self.succeed(stock, "-m", "pip", "install", "-q", "-c", constraints, "distributed")
        said = (
            rf"\AWorker (\w+) runs in {re.escape(str(stock))}, which has no module Foo: workers "
            r"must run in an environment made by the host \(handoff -m venv env\)\.\n\Z"
        )
        _, address, _ = self.scheduler()
        self.worker(address, "plain", stock)
        code, stdout, stderr = self.rest(self.script(address, *SHORT))
        self.assertEqual((code, stdout), (1, ""))
        self.assertRegex(stderr, said)
        self.assertEqual(re.match(said, stderr)[1], "plain")

        code, stdout, stderr = self.rest(self.begin(stock, SCRIPT, *SHORT))  # its own workers
        self.assertEqual((code, stdout), (1, ""))
        self.assertRegex(stderr, said)

    def test_an_earlier_run_on_the_scheduler_leaves_nothing(self):
        scheduler, address, _ = self.scheduler()
        self.worker(address, "first")
        for _ in range(2):
            code, stdout, stderr = self.rest(self.script(address, *SHORT))
            self.assertEqual((code, stderr), (0, ""))
            self.assertRegex(stdout, rf"\A{summary(3, 5)}\Z")
        scheduler.terminate()
        self.assertNotIn("CRITICAL", self.rest(scheduler)[2])

    def test_without_a_scheduler_there_is_a_cluster_of_this_machine(self):
        shown = self.succeed(self.python, SCRIPT, *SHORT)
        self.assertRegex(shown.stdout, rf"\A{summary(3, 5)}\Z")
        self.assertEqual(shown.stderr, "")  # its workers leave at the end: that is no loss

    def test_in_a_terminal_the_progress_bar_makes_way(self):
        _, address, _ = self.scheduler()
        first, _ = self.worker(address, "first")
        self.worker(address, "second")
        terminal = Terminal(self.python, SCRIPT, address, *LONG, env=environment())
        self.addCleanup(terminal.close)
        self.bound(terminal.process)
        drawn = b""
        with contextlib.suppress(OSError):  # EIO: it has ended
            while read := os.read(terminal.ours, 65536):
                drawn += read
                if b"% Completed |" in drawn:
                    first.kill()
        self.assertEqual(terminal.process.wait(self.patience), 0)
        self.assertIn(b"100% Completed", drawn)
        # Of each line, what was written last over what was there.
        lines = [line.rpartition("\r")[2] for line in drawn.decode().split("\r\n")]
        shown = "\n".join(line.removeprefix("\x1b[K") for line in lines)
        lost = r"Worker first is lost: its Foos go on elsewhere\.\n"
        self.assertRegex(shown, rf"\A{lost}{summary(FOOS, MESSAGES)}\Z")


if __name__ == "__main__":
    unittest.main()
