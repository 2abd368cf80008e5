"""Waits in C++ that Ctrl-C ends, and functions that it stops, in any Python and in the host."""

import os
import signal
import unittest

from host import HOST, environment, finish, start

INTERPRETERS = {"any Python": os.environ["WAITS_PYTHON"], "host": HOST}
MODULES = os.environ["WAITS_FOLDER"]

BUSY = """
import sys, threading, waits

def be_busy():
    while True: sum(range(100))

def start(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread
"""


def begin(path, code):
    return start(path, "-c", BUSY + code, env=environment(PYTHONPATH=MODULES))


def read_line(process):
    return process.stdout.readline().decode().strip()


class CtrlC(unittest.TestCase):
    def pressed(self, code):
        """What the program says after Ctrl-C, when it has said that it waits; in each Python."""
        outcomes = []
        for path in INTERPRETERS.values():
            process = begin(path, code)
            self.assertEqual(read_line(process), "waits")
            os.kill(process.pid, signal.SIGINT)
            outcomes.append(finish(process))
        return outcomes

    def test_ends_a_wait(self):
        for wait in ("for_a_future", "for_a_condition"):
            for outcome in self.pressed(f"waits.{wait}()"):
                self.assertEqual((outcome.code, outcome.stdout), (-signal.SIGINT, ""), outcome)
                self.assertTrue(outcome.stderr.startswith("Traceback (most"), outcome)
                self.assertTrue(outcome.stderr.endswith("\nKeyboardInterrupt\n"), outcome)

    def test_ends_a_wait_beside_busy_python(self):
        code = """
start(be_busy)
try:
    waits.for_a_future()
except KeyboardInterrupt:
    print("caught")
"""
        for outcome in self.pressed(code):
            self.assertEqual(outcome, (0, "caught\n", ""))

    def test_runs_the_handler_that_is_set_and_raises_its_exception(self):
        code = """
import signal

class Pressed(Exception): pass

mine = Pressed()

def handler(number, frame):
    raise mine

signal.signal(signal.SIGINT, handler)
try:
    waits.Model().run()
except Pressed as error:
    print(error is mine, error.__traceback__.tb_next.tb_frame.f_code.co_name)
"""
        for outcome in self.pressed(code):
            self.assertEqual(outcome, (0, "stopped\nTrue handler\n", ""))

    def test_stops_a_function_and_is_raised_when_it_has_ended(self):
        code = """
start(be_busy)
model = waits.Model()
try:
    model.run()
except KeyboardInterrupt:
    print(model.steps)
"""
        for outcome in self.pressed(code):
            self.assertEqual(outcome, (0, "stopped\n1\n", ""))

    def test_stops_nothing_in_another_thread(self):
        code = """
model = waits.Model()
try:
    start(model.run).join()
except KeyboardInterrupt:
    print(model.steps, flush=True)
"""
        for outcome in self.pressed(code):  # and then the gate stops it
            self.assertEqual(outcome, (0, "0\nstopped\n", ""))


class Exit(unittest.TestCase):
    def test_stops_a_function_in_a_daemon_thread(self):
        code = """
start(be_busy)
thread = start(waits.Model().run)
"""
        for interpreter, path in INTERPRETERS.items():
            for _ in range(5):
                with self.subTest(interpreter):
                    outcome = finish(begin(path, code))
                    # The thread may not have begun, or have been refused.
                    self.assertIn(outcome.stdout, ("", "waits\nstopped\n"))
                    self.assertEqual((outcome.code, outcome.stderr), (0, ""))


class Functions(unittest.TestCase):
    def test_take_no_token_from_python(self):
        code = """
print(waits.halved(3), waits.halved(value=4), waits.twice(4))
model = waits.Model()
print(model.count(2), model.count(3), model.steps)
thread = start(lambda: print(waits.halved(5), model.count(1)))
thread.join()
try:
    waits.halved(1, 2)
except TypeError as error:
    print("halved(float)" in str(error), "double" in str(error))
print(model.run.__doc__)
"""
        for interpreter, path in INTERPRETERS.items():
            with self.subTest(interpreter):
                outcome = finish(begin(path, code))
                self.assertEqual(outcome.code, 0, outcome)
                lines = outcome.stdout.splitlines()
                self.assertEqual(lines[:3], ["1.5 2.0 8", "2 5 5", "2.5 6"])
                self.assertNotIn("stop_token", outcome.stdout)


if __name__ == "__main__":
    unittest.main()
