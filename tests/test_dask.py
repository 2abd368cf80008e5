"""scripts/dask_foos.py, on a scheduler and workers that are processes of a host's environment."""

import re
import unittest
from pathlib import Path

from host import environment, start
from virtual_environment import InAVirtualEnvironment

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "dask_foos.py"
FOOS, MESSAGES = 6, 40


class Dask(InAVirtualEnvironment):
    def begin(self, *command):
        process = start(*command, cwd=self.folder, env=environment())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def line(self, process, pattern, stream="stderr"):
        """What the first line that it writes from now on, and that is like that, has in groups."""
        lines = (line.decode() for line in getattr(process, stream))
        found = next(filter(None, (re.search(pattern, line) for line in lines)), None)
        self.assertIsNotNone(found, f"{process.args} has ended without a line like {pattern}")
        return found.groups()

    def test_a_lost_workers_foos_go_on_elsewhere(self):
        python = self.python_with("distributed")
        dask = python.with_name("dask")
        scheduler = self.begin(dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-show")
        (address,) = self.line(scheduler, r"Scheduler at: +(tcp://\S+)")
        workers = {
            name: self.begin(
                dask, "worker", address, "--no-nanny", "--nthreads", "1", "--name", name
            )
            for name in ("first", "second", "third")
        }
        for worker in workers.values():
            self.line(worker, "Starting established connection")

        amount = ("--foos", str(FOOS), "--messages", str(MESSAGES), "--interval", "0.05")
        script = self.begin(python, SCRIPT, address, "--show", *amount)
        topic, lost = self.line(script, r"^(foo-\d) 5 (\w+)$", "stdout")
        workers[lost].kill()

        came = {}
        for line in script.stdout:
            if found := re.fullmatch(r"(foo-\d) (\d+) (\w+)\n", line.decode()):
                came.setdefault(found[1], []).append((int(found[2]), found[3]))
        self.assertEqual(script.wait(60), 0, script.stderr.read())
        self.assertEqual(len(came), FOOS)
        for of, messages in came.items():
            numbers = [n for n, _ in messages]
            self.assertEqual(numbers, list(range(numbers[0], MESSAGES)), of)
        self.assertEqual(came[topic][0][0], 6)
        self.assertNotEqual(came[topic][-1][1], lost)

    def test_without_a_scheduler_there_is_a_cluster_of_this_machine(self):
        python = self.python_with("distributed")
        shown = self.succeed(python, SCRIPT, "--foos", "3", "--messages", "5").stdout
        self.assertIn("100% Completed", shown)
        self.assertEqual(len(re.findall(r"^foo-\d +5 messages", shown, re.MULTILINE)), 3)


if __name__ == "__main__":
    unittest.main()
