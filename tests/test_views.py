"""The live view and the plot of scripts/, in a host's environment with what they draw with."""

import re
import signal
import unittest
from pathlib import Path

from host import HOST, Terminal, environment, finish, run, start
from virtual_environment import InAVirtualEnvironment

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
WATCH, LATENCY = SCRIPTS / "watch.py", SCRIPTS / "latency.py"
FEW = ("--foos", "100", "--interval", "0.02")
ALL_CAME = r"(?m)^[1-9][\d,]* messages, in order: True"


class Watch(InAVirtualEnvironment):
    def setUp(self):
        super().setUp()
        self.python = self.python_with("rich")

    def test_is_a_line_a_slice_without_a_terminal(self):
        shown = self.succeed(self.python, WATCH, *FEW, "--seconds", "1.2").stdout
        line = r"(?m)^ +[\d.]+ s  ([\d,]+) messages/s, late by (.*); GIL: (.*)$"
        slices = re.findall(line, shown)
        self.assertGreaterEqual(len(slices), 2, shown)
        for rate, late, held in slices:
            self.assertNotEqual(rate, "0")
            self.assertRegex(late, r"^[\d.]+ ms median, [\d.]+ ms 99%, [\d.]+ ms longest$")
            shares = {name: float(share) for name, share in re.findall(r"([^,]+?) ([\d.]+)%", held)}
            self.assertLessEqual({"busy 1", "Foo", "nobody"}, {name.strip() for name in shares})
            self.assertAlmostEqual(sum(shares.values()), 100, delta=1)
        self.assertRegex(shown, ALL_CAME)

    def test_without_a_terminal_ends_by_ctrl_c(self):
        process = start(self.python, WATCH, *FEW, env=environment())
        self.addCleanup(process.kill)
        self.assertIn(b"100 Foos", process.stdout.readline())
        self.assertIn(b"messages/s", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        outcome = finish(process)
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))
        self.assertRegex(outcome.stdout, ALL_CAME)

    def test_is_a_table_in_a_terminal_and_ends_by_ctrl_c(self):
        terminal = Terminal(self.python, WATCH, *FEW, env=environment(TERM="xterm"))
        self.addCleanup(terminal.close)
        for drawn in ("100 Foos", "busy 1", "Foo", "nobody", "messages/s", "nobody"):
            terminal.read_until(drawn)
        terminal.send("\x03")
        self.assertRegex(terminal.read_until("in order: True"), ALL_CAME)
        self.assertEqual(terminal.process.wait(60), 0)


class Latency(InAVirtualEnvironment):
    def test_is_drawn(self):
        python = self.python_with("matplotlib")
        shown = self.succeed(
            python, LATENCY, "late.svg", "--interval", "0.01", "--messages", "20"
        ).stdout
        self.assertEqual(len(re.findall(r"late by [\d.]+ ms median, [\d.]+ ms longest", shown)), 2)
        drawn = (self.folder / "late.svg").read_text()
        for said in ("the main thread sleeps", "the main thread computes", "switch interval"):
            self.assertIn(said, drawn)

        refused = run(python, LATENCY, "late.unheard-of", "--messages", "1", cwd=self.folder)
        self.assertEqual(refused.code, 1)
        self.assertRegex(refused.stderr, r"^latency.py: .*unheard-of.*svg")


class Missing(unittest.TestCase):
    def test_packages_are_named(self):
        scripts = {"watch.py": "rich", "latency.py": "matplotlib", "dask_foos.py": "distributed"}
        for script, package in scripts.items():
            with self.subTest(script):
                program = (
                    f"import runpy, sys; sys.modules['{package}'] = None;"
                    f" runpy.run_path({str(SCRIPTS / script)!r}, run_name='__main__')"
                )
                outcome = run(HOST, "-c", program)
                self.assertEqual(outcome.code, 1)
                self.assertIn(f"{script} needs {package}", outcome.stderr)
                self.assertIn(f"pip install {package}", outcome.stderr)


if __name__ == "__main__":
    unittest.main()
