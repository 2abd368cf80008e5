"""The scripts in scripts/, as a user runs them, and the question's session, as a user types it."""

import os
import pty
import re
import subprocess
import time
import unittest
from pathlib import Path

HOST = os.environ["HANDOFF_HOST"]
SCRIPTS = Path(__file__).parent.parent / "scripts"
PATIENCE = 60.0  # seconds until what should have ended is a hang


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the script in the host, in the scripts' folder."""
    return subprocess.run(
        [HOST, script, *arguments],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class Scripts(unittest.TestCase):
    def ends_well(self, script: str, *arguments: str) -> str:
        result = run(script, *arguments)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_every_script_says_what_to_look_at(self):
        for script in SCRIPTS.glob("*.py"):
            with self.subTest(script.name):
                self.assertIn("Look at:", script.read_text().split('"""')[1])

    def test_every_script_is_tested(self):
        tests = Path(__file__).read_text()
        for script in SCRIPTS.glob("*.py"):
            with self.subTest(script.name):
                self.assertIn(f'"{script.name}"', tests)

    def test_smallest_prints_three_numbers(self):
        lines = self.ends_well("smallest.py").splitlines()
        self.assertEqual(lines[:3], ["0", "1", "2"])
        self.assertIn("stopped", lines[-1])

    def test_count_shows_the_numbers_the_steps_and_the_stop(self):
        output = self.ends_well("count.py")
        self.assertEqual(re.findall(r"^(\d)    at \d\.\d+ s$", output, re.MULTILINE), list("012"))
        self.assertIn("messages              [0, 1, 2]\n", output)
        self.assertRegex(output, r"main thread           [1-9]\d* steps")
        self.assertRegex(output, r"stop\(\) took           \d+\.\d+ ms")

    def test_example_plays_the_session(self):
        # Whoever wakes up late from the sleep sees more.
        self.assertEqual(self.ends_well("example.py").splitlines()[:3], ["0", "1", "2"])

    def test_many_lose_no_message(self):
        output = self.ends_well("many.py", "1000", "1")
        self.assertRegex(output, r"every Foo             at least (9|\d\d+), in order: True")

    def test_callback_error_is_reported_kept_and_survived(self):
        result = run("callback_error.py")
        self.assertEqual(result.returncode, 0)
        self.assertIn("failing: [0, 1, 2, 3] ZeroDivisionError('division by zero')", result.stdout)
        self.assertRegex(result.stdout, r"other:   \[0, 1, 2, 3, 4, 5, 6, 7, 8, 9")
        self.assertRegex(result.stdout, r"again:   \[0, 1, 2, 3, 4, 5[^]]*\] None")
        self.assertEqual(result.stderr.count("Traceback"), 1)
        self.assertIn("in divide", result.stderr)

    def test_busy_python_costs_foo_no_message(self):
        output = self.ends_well("busy_python.py")
        due = int(re.search(r"due +(\d+)", output)[1])
        self.assertGreaterEqual(int(re.search(r"Foo +(\d+)", output)[1]), due)


class Session(unittest.TestCase):
    """The question's session, pasted at the host's prompt in a terminal."""

    PASTED = b"""\
import example
import time
foo = example.Foo()
foo.start()
time.sleep(3)
foo.stop()
print("len", len(foo), "running", foo.running)
exit()
"""

    def test_prints_what_the_question_shows(self):
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(SCRIPTS)
            os.execve(HOST, [HOST], os.environ | {"TERM": "dumb", "PYTHON_BASIC_REPL": "1"})
        os.write(terminal, self.PASTED)
        output = self.read_to_the_end(terminal)
        _, status = os.waitpid(process, 0)
        self.assertEqual(status, 0, output)
        # A number may come when the prompt is there already.
        numbers = re.findall(r"^(?:>>> )?(\d)\r?$", output, re.MULTILINE)
        self.assertEqual(numbers[:3], list("012"), output)
        # One more can only be there if the session itself was late to call stop().
        self.assertIn(f"len {len(numbers)} running False", output)

    def read_to_the_end(self, terminal: int) -> str:
        output = b""
        deadline = time.monotonic() + PATIENCE
        os.set_blocking(terminal, False)
        while time.monotonic() < deadline:
            try:
                some = os.read(terminal, 1000)
            except BlockingIOError:
                continue
            except OSError:  # the other side has closed it
                break
            if not some:
                break
            output += some
        return output.decode()
