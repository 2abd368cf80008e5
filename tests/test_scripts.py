"""The scripts in scripts/, as a user runs them, and the question's session, as a user types it."""

import importlib.util
import re
import unittest
from pathlib import Path

from host import HOST, STOCK, Terminal, environment, run

SCRIPTS = Path(__file__).parent.parent / "scripts"


class Scripts(unittest.TestCase):
    def ends_well(self, script: str, *arguments: str) -> str:
        result = run(HOST, script, *arguments, cwd=SCRIPTS)
        self.assertEqual((result.code, result.stderr), (0, ""))
        return result.stdout

    def test_every_script_says_what_to_look_at(self):
        for script in SCRIPTS.glob("*.py"):
            with self.subTest(script.name):
                self.assertIn("Look at:", script.read_text().split('"""')[1])

    def test_every_script_is_tested(self):
        tests = "".join(each.read_text() for each in Path(__file__).parent.glob("test_*.py"))
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
        self.assertRegex(output, r"main thread           [1-9]\d* steps of 1 ms a second\n")
        self.assertRegex(output, r"when it is alone      [1-9]\d*\n")
        self.assertRegex(output, r"stop\(\) took           \d+\.\d+ ms")

    def test_example_plays_the_session(self):
        # Whoever wakes up late from the sleep sees more.
        self.assertEqual(self.ends_well("example.py").splitlines()[:3], ["0", "1", "2"])

    def test_many_lose_no_message(self):
        output = self.ends_well("many.py", "1000", "1")
        self.assertRegex(output, r"every Foo             at least (9|\d\d+), in order: True")

    def test_callback_error_is_reported_kept_and_survived(self):
        result = run(HOST, "callback_error.py", cwd=SCRIPTS)
        self.assertEqual(result.code, 0)
        self.assertIn("failing: [0, 1, 2, 3] ZeroDivisionError('division by zero')", result.stdout)
        self.assertRegex(result.stdout, r"other:   \[0, 1, 2, 3, 4, 5, 6, 7, 8, 9")
        self.assertRegex(result.stdout, r"again:   \[0, 1, 2, 3, 4, 5[^]]*\] None")
        self.assertEqual(result.stderr.count("Traceback"), 1)
        self.assertIn("in divide", result.stderr)

    def test_busy_python_costs_foo_no_message(self):
        output = self.ends_well("busy_python.py")
        due = int(re.search(r"due +(\d+)", output)[1])
        self.assertGreaterEqual(int(re.search(r"Foo +(\d+)", output)[1]), due)

    @unittest.skipUnless(importlib.util.find_spec("numpy"), "numpy is not installed")
    def test_samples_arrive_in_numpy_in_order(self):
        output = self.ends_well("samples.py")
        self.assertRegex(output, r"samples +\d{7} in .*, in order: True")
        self.assertRegex(output, r"dropped +\d+; every other one arrived: True")

    def test_samples_are_awaited(self):
        output = self.ends_well("await_samples.py")
        self.assertRegex(output, r"samples +\d{6,7}; every one arrived: True")
        self.assertGreater(int(re.search(r"turns +(\d+)", output)[1]), 100)

    def test_samples_arrive_without_numpy(self):
        output = self.ends_well(
            "-c",
            "import runpy, sys; sys.modules['numpy'] = None; sys.argv = ['samples.py']; "
            "runpy.run_path('samples.py', run_name='__main__')",
        )
        self.assertIn("There is no numpy (apt-get install python3-numpy)", output)
        self.assertRegex(output, r"read with +struct\n")
        self.assertRegex(output, r"samples +\d{6} in .*, in order: True")
        self.assertRegex(output, r"dropped +\d+; every other one arrived: True")

    def test_without_foo_each_script_shows_where_it_is(self):
        for script in SCRIPTS.glob("*.py"):
            if "\nfrom Foo import Foo" in script.read_text():
                with self.subTest(script.name):
                    code = f"import sys; sys.modules['Foo'] = None; import {script.stem}"
                    refused = run(STOCK, "-c", code, cwd=SCRIPTS)
                    self.assertEqual(refused.code, 1)
                    self.assertIn("build/Release/bin/handoff; or `pip install .`\n", refused.stderr)

    def test_samples_says_how_to_build_its_module(self):
        code = "import runpy, sys; sys.modules['sensor'] = None; runpy.run_path('samples.py')"
        refused = run(HOST, "-c", code, cwd=SCRIPTS)
        self.assertEqual(refused.code, 1)
        self.assertRegex(refused.stderr, r"^samples.py needs its module sensor, .*`make build`")


class Session(unittest.TestCase):
    def test_prints_what_the_question_shows(self):
        prompt = Terminal(HOST, cwd=SCRIPTS, env=environment(PYTHON_BASIC_REPL="1"))
        self.addCleanup(prompt.close)
        for line in ("import example", "import time", "foo = example.Foo()"):
            prompt.read_until(">>> ")
            prompt.send(line + "\n")
        prompt.read_until(">>> ")
        prompt.send("foo.start()\n")
        prompt.read_until("0\n")
        prompt.send("time.sleep(3)\n")
        prompt.read_until("1\n2\n")
        prompt.send("foo.stop()\n")
        # One more can only be there if this process was late to go on.
        prompt.send("print('len', len(foo), foo.messages == list(range(len(foo))), foo)\n")
        self.assertIn("True <Foo.Foo interval=1.0 stopped", prompt.read_until("messages="))
        prompt.send("exit()\n")
        code, _ = prompt.finish()
        self.assertEqual(code, 0)
