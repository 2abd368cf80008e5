"""python_error::fetch() in an extension module: what it makes of exceptions, hostile ones too."""

import gc
import os
import subprocess
import sys
import traceback
import unittest
from typing import NamedTuple

sys.path.insert(0, os.environ["MODULES_FOLDER"])

import python_errors


class Error(NamedTuple):
    type: str
    message: str
    traceback: str
    exit_code: int | None
    what: str


def error_of(function):
    return Error(*python_errors.caught(function))


def raising(exception):
    def function():
        raise exception

    return error_of(function)


class LiarError(Exception):
    """Every attribute and method is the user's own."""

    def __getattribute__(self, name):
        raise RuntimeError("no attribute of mine is to be read")


class Ordinary(unittest.TestCase):
    def test_type_message_and_traceback(self):
        error = raising(ValueError("bad: 3"))
        self.assertEqual(error[:2], ("ValueError", "bad: 3"))
        self.assertEqual(error.what, "ValueError: bad: 3")
        self.assertIn("in function\n    raise exception\n", error.traceback)
        self.assertTrue(error.traceback.endswith("ValueError: bad: 3\n"))
        self.assertIsNone(error.exit_code)

    def test_nothing_raised(self):
        self.assertIsNone(python_errors.caught(lambda: 1))

    def test_no_error_set_says_so(self):
        error = Error(*python_errors.nothing_set())
        self.assertEqual(error.type, "SystemError")
        self.assertIn("none is set", error.message)
        self.assertIn("none is set", error.traceback)

    def test_type_has_its_module(self):
        self.assertEqual(raising(OSError()).type, "OSError")
        self.assertEqual(raising(LiarError()).type, f"{__name__}.LiarError")
        self.assertEqual(error_of(lambda: __import__("json").loads("{")).type[:13], "json.decoder.")

    def test_exit_codes(self):
        for value, code in ((3, 3), (None, 0), ("text", 1), (2**70, -1), (True, 1)):
            with self.subTest(value):
                self.assertEqual(raising(SystemExit(value)).exit_code, code)

    def test_surrogates_are_escaped(self):
        self.assertEqual(raising(ValueError("\udcff ü")).message, "\\udcff ü")


class Hostile(unittest.TestCase):
    """A class may override whatever it likes; type, message and frames arrive all the same."""

    def assert_told(self, error, name, message="oh"):
        self.assertEqual(error.type, f"{__name__}.{name}")
        self.assertEqual(error.message, message)
        self.assertIn("Traceback (most recent call last):\n", error.traceback)
        self.assertIn(f'File "{__file__}"', error.traceback)
        self.assertTrue(error.traceback.endswith(f"{name}: {message}\n"), error.traceback)

    def test_str_whose_encode_returns_a_list(self):
        class Text(str):
            def encode(self, *_):
                return [1, 2, 3]

        class OddError(Exception):
            def __str__(self):
                return Text("oh")

        OddError.__qualname__ = Text("OddError")
        self.assert_told(raising(OddError()), "OddError")

    def test_every_attribute_raises(self):
        self.assert_told(raising(LiarError("oh")), "LiarError")

    def test_class_is_a_property_that_raises(self):
        class OddError(Exception):
            __class__ = property(lambda _: 1 / 0)

        OddError.__qualname__ = "OddError"
        self.assert_told(raising(OddError("oh")), "OddError")

    def test_module_and_qualname_that_raise(self):
        class Meta(type):
            def __getattribute__(cls, name):
                raise RuntimeError("no attribute of my class is to be read")

        class OddError(Exception, metaclass=Meta):
            pass

        error = raising(OddError("oh"))
        self.assertTrue(error.type.endswith("OddError"), error)
        self.assertTrue(error.traceback.endswith("OddError: oh\n"), error)

    def test_module_that_is_no_str(self):
        class OddError(Exception):
            __module__ = 3

        OddError.__qualname__ = "OddError"
        error = raising(OddError("oh"))
        self.assertEqual(error[:2], ("OddError", "oh"))
        self.assertIn("in function", error.traceback)

    def test_code_that_raises_is_1(self):
        class OddError(SystemExit):
            code = property(lambda _: 1 / 0)

        self.assertEqual(raising(OddError()).exit_code, 1)

    def test_code_is_a_number_of_the_users(self):
        class Number(int):
            def __int__(self):
                raise RuntimeError

            __index__ = __int__

        self.assertEqual(raising(SystemExit(Number(7))).exit_code, 7)

    def test_str_that_raises(self):
        for raised in (RuntimeError, KeyboardInterrupt, SystemExit):
            with self.subTest(raised):

                class OddError(Exception):
                    def __str__(self, raised=raised):
                        raise raised

                self.assertEqual(raising(OddError()).message, "<exception str() failed>")

    def test_causes_that_raise(self):
        class OddError(Exception):
            __cause__ = property(lambda _: 1 / 0)
            __notes__ = property(lambda _: 1 / 0)

        error = raising(OddError("oh"))
        self.assertIn("in function", error.traceback)
        self.assertIn("OddError: oh\n", error.traceback)

    def test_traceback_module_that_fails(self):
        was = traceback.format_exception
        for replaced in (lambda *_: 1 / 0, lambda *_: 3, lambda *_: [3], lambda *_: []):
            traceback.format_exception = replaced
            try:
                error = raising(ValueError("oh"))
            finally:
                traceback.format_exception = was
            self.assertRegex(
                error.traceback,
                r"\ATraceback \(most recent call last\):\n"
                r'  File ".*test_python_error.py", line \d+, in function\nValueError: oh\n\Z',
            )

    def test_traceback_module_that_is_gone(self):
        def deep(n):
            return deep(n - 1) if n else 1 / 0

        was = sys.modules["traceback"]
        sys.modules["traceback"] = None
        try:
            error = error_of(lambda: deep(50))
        finally:
            sys.modules["traceback"] = was
        self.assertIn("ZeroDivisionError: division by zero\n", error.traceback)
        self.assertIn("[Previous line repeated 50 more times]\n", error.traceback)

    def test_message_is_made_a_few_times_however_deep_it_calls_back(self):
        for depth in (1, 5, 30):
            calls = 0

            class NestedError(Exception):
                def __str__(self, depth=depth):
                    nonlocal calls
                    calls += 1
                    if self.args[0] < depth:
                        raising(NestedError(self.args[0] + 1))
                    return "oh"

            error = raising(NestedError(1))
            self.assertEqual(error.message, "oh")
            self.assertLessEqual(calls, 2 * depth)

    def test_frames_lie_about_nothing(self):
        error = raising(LiarError("oh"))
        line = raising.__code__.co_firstlineno + 2
        self.assertIn(f'File "{__file__}", line {line}, in function', error.traceback)

    def test_a_thousand_errors_leave_nothing_behind(self):
        class OddError(Exception):
            code = property(lambda _: 1 / 0)

        for _ in range(100):
            raising(OddError("oh"))
            raising(LiarError("oh"))
        gc.collect()  # what traceback makes is in cycles
        before = sys.getallocatedblocks()
        for _ in range(1000):
            raising(OddError("oh"))
            raising(LiarError("oh"))
        gc.collect()
        self.assertLess(sys.getallocatedblocks() - before, 500)


class ThreadThatPythonEnds(unittest.TestCase):
    """Such a thread's C++ objects are not destroyed: it does not hold the GIL."""

    PROGRAM = """
import os, sys, threading, time
sys.path.insert(0, os.environ["MODULES_FOLDER"])
import python_errors

class LetsGo:  # dropped while Python finalizes: then the thread asks for the GIL, too late
    def __del__(self, sleep=time.sleep):
        sleep(0.3)

sys.lets_go = LetsGo()
entered = threading.Event()

def forever():
    entered.set()
    while True:
        pass

threading.Thread(target=python_errors.owning, args=[forever], daemon=True).start()
entered.wait()
"""

    def test_leaves_alone_what_it_owns(self):
        ended = subprocess.run(
            [sys.executable, "-c", self.PROGRAM],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
