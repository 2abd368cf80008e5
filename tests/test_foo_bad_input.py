"""Wrong arguments, mishandled lists and missing memory: a clear error from Foo, and no loss."""

import contextlib
import copy
import decimal
import fractions
import pickle
import resource
import subprocess
import sys
import threading
import time
import unittest
import weakref

from Foo import Foo

ONCE = 3600.0  # an interval of which a test sees the first message only
PATIENCE = 10.0  # seconds until a test that hangs fails


def goes_on(f):
    """Whether a Foo delivers another message, and has all of them."""
    with contextlib.nullcontext() if f.running else f:
        delivered = f.wait(len(f) + 1, PATIENCE)
    f.stop()
    return delivered and f.messages == list(range(len(f)))


def until_next(f):
    """Returns after a message of f that comes after the call."""
    assert f.wait(len(f) + 1, PATIENCE)


class Interval(unittest.TestCase):
    def test_not_positive_or_not_finite(self):
        for interval in (0, 0.0, -0.0, -1, -1e-300, float("nan"), float("inf"), -float("inf")):
            with self.subTest(interval):
                with self.assertRaises(ValueError) as caught:
                    Foo(interval, None)
                self.assertIn("interval", str(caught.exception))
                self.assertIn(f"not {float(interval)!r}", str(caught.exception))
        self.assertTrue(goes_on(Foo(0.001, None)))

    def test_below_the_clocks_resolution(self):
        for interval in (9.99e-10, 1e-10, 5e-324):
            with self.subTest(interval):
                with self.assertRaises(ValueError) as caught:
                    Foo(interval, None)
                self.assertIn("interval", str(caught.exception))
                self.assertIn("resolution", str(caught.exception))
                self.assertIn(repr(interval), str(caught.exception))

    def test_above_the_longest(self):
        for interval in (4.7e9, 1e300, sys.float_info.max):
            with self.subTest(interval):
                with self.assertRaises(ValueError) as caught:
                    Foo(interval, None)
                self.assertIn("interval", str(caught.exception))
                self.assertIn(repr(interval), str(caught.exception))

    def test_the_longest_and_the_shortest_work(self):
        for interval in (4.6e9, 1e-9):
            with self.subTest(interval), Foo(interval, None) as f:
                self.assertTrue(f.wait(1, PATIENCE))

    def test_not_a_number(self):
        for interval in ("x", "1", b"1", None, [], (), {}, 1j, print):
            with self.subTest(interval):
                with self.assertRaises(TypeError) as caught:
                    Foo(interval, None)
                self.assertIn("interval", str(caught.exception))
                self.assertIn(repr(interval), str(caught.exception))

    def test_an_integer_beyond_every_float(self):
        for interval in (10**400, -(10**400)):
            with self.assertRaises((OverflowError, ValueError)) as caught:
                Foo(interval, None)
            self.assertIn("interval", str(caught.exception))

    def test_whatever_float_takes_is_taken(self):
        half = fractions.Fraction(1, 2)

        class Half:
            def __float__(self):
                return 0.5

        for interval, value in (
            (True, 1.0),
            (2, 2.0),
            (half, 0.5),
            (decimal.Decimal("0.5"), 0.5),
            (Half(), 0.5),
        ):
            with self.subTest(interval):
                self.assertEqual(Foo(interval).interval, value)

    def test_what_its_conversion_raises_is_passed_on(self):
        class Bad:
            def __float__(self):
                raise LookupError("mine")

        with self.assertRaisesRegex(LookupError, "mine"):
            Foo(Bad())

    def test_comes_first_where_on_message_is_wrong_too(self):
        for interval in (0, -1.0, float("nan"), 1e10):
            with self.subTest(interval), self.assertRaisesRegex(ValueError, "interval"):
                Foo(interval, 5)

    def test_a_running_foo_is_not_disturbed(self):
        with Foo(0.001, None) as f:
            for interval in (0, "x", float("nan")):
                with self.assertRaises((TypeError, ValueError)):
                    Foo(interval)
            self.assertTrue(goes_on(f))


class OnMessage(unittest.TestCase):
    def test_not_callable(self):
        for on_message in (5, "print", [], object(), False):
            with self.subTest(on_message):
                with self.assertRaises(TypeError) as caught:
                    Foo(1.0, on_message)
                self.assertIn("on_message", str(caught.exception))
                self.assertIn(repr(on_message), str(caught.exception))

    def test_that_takes_no_argument_is_its_error(self):
        caught = []
        self.addCleanup(setattr, threading, "excepthook", threading.excepthook)
        threading.excepthook = caught.append
        f = Foo(ONCE, lambda: None)
        f.start()
        f.stop()
        self.assertIsInstance(f.error, TypeError)
        self.assertEqual([each.exc_value for each in caught], [f.error])
        self.assertEqual(f.messages, [0])


class Arguments(unittest.TestCase):
    def assert_names(self, offender, call):
        with self.assertRaises(TypeError) as caught:
            call()
        self.assertIn(offender, str(caught.exception))

    def test_an_unknown_keyword_is_named(self):
        f = Foo(0.001, None)
        self.assert_names("intervall", lambda: Foo(intervall=1))
        self.assert_names("count", lambda: Foo(1.0, count=1))
        self.assert_names("seconds", lambda: f.wait(1, seconds=1))
        self.assertTrue(goes_on(f))

    def test_too_many_are_refused(self):
        f = Foo(0.001, None)
        for call in (
            lambda: Foo(1.0, None, 3),
            lambda: f.start(1),
            lambda: f.stop(1),
            lambda: f.stop(now=True),
            lambda: f.wait(1, 0, 2),
        ):
            with self.assertRaises(TypeError):
                call()
        self.assertTrue(goes_on(f))

    def test_one_given_twice_is_named(self):
        self.assert_names("interval", lambda: Foo(1.0, interval=1.0))

    def test_a_missing_one_is_named(self):
        self.assert_names("count", lambda: Foo().wait())

    def test_methods_want_a_foo(self):
        for method in (Foo.start, Foo.stop, Foo.__len__):
            self.assert_names("Foo", lambda method=method: method(3))

    def test_a_subclass_that_did_not_initialise_foo_is_refused(self):
        class Forgetful(Foo):
            def __init__(self):
                pass

        f = Forgetful()
        for use in (f.start, f.stop, lambda: f.wait(1), lambda: len(f), lambda: f.messages):
            self.assert_names("Forgetful", use)


class Start(unittest.TestCase):
    def test_twice(self):
        f = Foo(0.001, None)
        f.start()
        for _ in range(3):
            with self.assertRaisesRegex(RuntimeError, "running"):
                f.start()
            self.assertTrue(f.running)
        self.assertTrue(goes_on(f))

    def test_twice_within_on_message(self):
        caught = []

        def on_message(n):
            if n < 3:  # later ones may come while it is stopped, when start() is welcome
                try:
                    f.start()
                except RuntimeError as error:
                    caught.append(str(error))

        f = Foo(0.001, on_message)
        with f:
            self.assertTrue(f.wait(4, PATIENCE))
        self.assertEqual(len(caught), 3)
        self.assertIn("running", caught[0])
        self.assertEqual(f.messages, list(range(len(f))))


class Wait(unittest.TestCase):
    def setUp(self):
        self.f = Foo(0.001, None)
        self.f.start()

    def assert_refused(self, kind, name, value, *arguments):
        with self.subTest(value):
            with self.assertRaises(kind) as caught:
                self.f.wait(*arguments)
            self.assertIn(name, str(caught.exception))
            self.assertIn(repr(value), str(caught.exception))

    def test_negative_count(self):
        for count in (-1, -(2**62)):
            self.assert_refused(ValueError, "count", count, count)
        self.assertTrue(goes_on(self.f))

    def test_count_that_is_not_an_integer(self):
        for count in (1.0, 1.5, "3", None, [], float("nan"), fractions.Fraction(3)):
            self.assert_refused(TypeError, "count", count, count)
        self.assertTrue(goes_on(self.f))

    def test_count_that_no_list_can_have(self):
        for count in (2**63, 10**30):
            self.assert_refused(OverflowError, "count", count, count)
        self.assert_refused((OverflowError, ValueError), "count", -(10**30), -(10**30))
        self.assertTrue(goes_on(self.f))

    def test_huge_count_waits(self):
        self.assertFalse(self.f.wait(sys.maxsize // 8, 0.01))  # the longest list there can be
        self.assertTrue(goes_on(self.f))

    def test_count_like_an_integer_is_taken(self):
        class Two:
            def __index__(self):
                return 2

        self.assertTrue(self.f.wait(Two(), PATIENCE))
        self.assertTrue(self.f.wait(True, PATIENCE))

    def test_nan_timeout(self):
        self.assert_refused(ValueError, "timeout", float("nan"), 1, float("nan"))
        self.assertTrue(goes_on(self.f))

    def test_timeout_beyond_threadings_longest(self):
        for timeout in (threading.TIMEOUT_MAX * 2, 1e300, float("inf")):
            self.assert_refused(OverflowError, "timeout", timeout, 10**9, timeout)
        self.assertTrue(goes_on(self.f))

    def test_integer_timeout_beyond_every_float(self):
        with self.assertRaisesRegex(OverflowError, "timeout"):
            self.f.wait(10**9, 10**400)
        self.assertTrue(goes_on(self.f))

    def test_timeout_that_is_not_a_number(self):
        for timeout in ("x", [], 1j):
            self.assert_refused(TypeError, "timeout", timeout, 10**9, timeout)
        self.assertTrue(goes_on(self.f))

    def test_negative_timeout_has_passed(self):
        for timeout in (-1, -0.001, -1e300, -float("inf")):
            self.assertIs(self.f.wait(10**9, timeout), False)
        self.assertTrue(self.f.wait(0, -1))
        self.assertTrue(goes_on(self.f))

    def test_a_count_that_raises_is_not_hidden(self):
        class Count:
            def __index__(self):
                raise KeyError("mine")

        with self.assertRaisesRegex(KeyError, "mine"):
            Foo().wait(Count())


class Attributes(unittest.TestCase):
    def test_cannot_be_replaced_or_deleted_and_are_named(self):
        f = Foo(0.001, None)
        messages = f.messages
        f.start()
        for name in ("messages", "interval", "running", "error"):
            for change in (lambda it: setattr(f, it, []), lambda it: delattr(f, it)):
                with self.subTest(name):
                    with self.assertRaises(AttributeError) as caught:
                        change(name)
                    self.assertIn(name, str(caught.exception))
        self.assertIs(f.messages, messages)
        self.assertTrue(goes_on(f))


class PythonsOwnAttributes(unittest.TestCase):
    """As of any class of Python's; Boost.Python would take anything, and crash with it later."""

    def setUp(self):
        class Derived(Foo):
            pass

        self.each = (Foo(1, None), Derived(1, None))

    def test_the_dict_is_a_dict(self):
        for f in self.each:
            with self.subTest(type(f)):
                for wrong in (5, None, [], "text"):
                    with self.assertRaisesRegex(TypeError, "must be a dict"):
                        f.__dict__ = wrong
                with self.assertRaisesRegex(TypeError, "cannot be deleted"):
                    del f.__dict__
                f.x = 1
                self.assertEqual(f.__dict__, {"x": 1})
                f.__dict__ = {"y": 2}
                self.assertEqual((f.y, hasattr(f, "x")), (2, False))
                f.start()
                self.assertTrue(f.wait(1, 20))
                f.stop()

    def test_the_weak_references_are_pythons(self):
        for f in self.each:
            with self.subTest(type(f)):
                self.assertIsNone(f.__weakref__)
                reference = weakref.ref(f)
                self.assertIs(f.__weakref__, reference)
                with self.assertRaises(AttributeError):
                    f.__weakref__ = 5
                with self.assertRaises(AttributeError):
                    del f.__weakref__
                self.assertIs(reference(), f)


class Messages(unittest.TestCase):
    def test_cleared_while_running_count_again_from_zero(self):
        with Foo(0.001, None) as f:
            for _ in range(5):
                self.assertTrue(f.wait(5, PATIENCE))
                f.messages.clear()
            self.assertTrue(f.wait(3, PATIENCE))
        self.assertEqual(f.messages, list(range(len(f))))

    def test_cleared_by_on_message_count_again_from_zero(self):
        seen = []

        def on_message(n):
            seen.append(n)
            f.messages.clear()

        f = Foo(0.001, on_message)
        with f:
            while len(seen) < 5:
                f.wait(1, 0.01)
        self.assertEqual(seen, [0] * len(seen))

    def test_replaced_contents_are_counted(self):
        with Foo(0.001, None) as f:
            self.assertTrue(f.wait(5, PATIENCE))
            f.messages[:] = ["a", "b"]
            self.assertTrue(f.wait(4, PATIENCE))
        self.assertEqual(f.messages, ["a", "b", *range(2, len(f))])

    def test_own_items_are_counted(self):
        with Foo(0.001, None) as f:
            self.assertTrue(f.wait(2, PATIENCE))
            f.messages.append("mine")
            at = f.messages.index("mine")
            self.assertTrue(f.wait(at + 3, PATIENCE))
        self.assertEqual(f.messages, [*range(at), "mine", *range(at + 1, len(f))])

    def test_grown_and_shrunk_while_running_stay_in_order(self):
        f = Foo(0.0001, None)
        f.start()
        for _ in range(2000):
            f.messages.append(len(f.messages))
            if f.messages:
                f.messages.pop()
        self.assertTrue(goes_on(f))

    def test_sorted_while_running_lose_nothing(self):
        interval, leeway = 1_000_000, 10_000  # nanoseconds

        def descending(n):
            until_next(witness)  # so that a message falls due meanwhile
            return -n

        with Foo(0.001, None) as witness:
            f = Foo(0.001, None)
            f.start()
            after_start = time.monotonic_ns()
            self.assertTrue(f.wait(30, PATIENCE))
            f.messages.sort(key=descending)
            self.assertTrue(f.wait(len(f) + 10, PATIENCE))
            before_stop = time.monotonic_ns()
            f.stop()
        self.assertEqual(sorted(f.messages), list(range(len(f))))
        count = f.messages[0] + 1  # when it was sorted
        self.assertEqual(f.messages, [*reversed(range(count)), *range(count, len(f))])
        self.assertGreaterEqual(count, 30)
        self.assertGreaterEqual(len(f), (before_stop - after_start - leeway) // interval + 1)

    def test_sorted_in_on_message_lose_nothing(self):
        def key(n):
            until_next(witness)
            return n

        f = Foo(0.001, lambda n: f.messages.sort(key=key))
        with Foo(0.001, None) as witness, f:
            self.assertTrue(f.wait(5, PATIENCE))
        self.assertIsNone(f.error)
        self.assertEqual(f.messages, list(range(len(f))))

    def test_sorted_while_stopped_lose_nothing(self):
        f = Foo(0.001, None)
        f.start()
        self.assertTrue(f.wait(5, PATIENCE))
        stopper = threading.Thread(target=f.stop)

        def until_stop_is_called(n):
            if n == 0:
                stopper.start()
                while f.running:
                    pass
            return n

        f.messages.sort(key=until_stop_is_called)
        stopper.join()
        self.assertTrue(goes_on(f))

    def test_sorted_with_an_error_lose_nothing(self):
        def key(n):
            until_next(witness)
            if n == 3:
                raise LookupError
            return n

        with Foo(0.001, None) as witness, Foo(0.001, None) as f:
            self.assertTrue(f.wait(5, PATIENCE))
            with self.assertRaises(LookupError):
                f.messages.sort(key=key)
            self.assertTrue(goes_on(f))


class Initialisation(unittest.TestCase):
    def test_of_anything_but_a_foo_is_refused(self):
        for other in (1, "text", None, object()):
            with self.subTest(other), self.assertRaisesRegex(TypeError, "needs a Foo, not"):
                Foo.__init__(other)

    def test_a_second_time_is_refused_and_changes_nothing(self):
        with Foo(0.001, None) as f:
            with self.assertRaisesRegex(RuntimeError, "initialised before"):
                f.__init__(3)
            self.assertTrue(f.wait(10, 20))
            self.assertEqual(f.interval, 0.001)


class Copies(unittest.TestCase):
    def test_are_refused(self):
        class Mine(Foo):
            pass

        for f in (Foo(0.001, None), Mine(0.001, None)):
            f.start()
            for make in (
                copy.copy,
                copy.deepcopy,
                lambda it: copy.deepcopy([it]),
                *(
                    lambda it, protocol=protocol: pickle.dumps(it, protocol)
                    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
                ),
            ):
                with self.assertRaises(TypeError) as caught:
                    make(f)
                self.assertIn("Foo", str(caught.exception))
                self.assertIn("interval=0.001", str(caught.exception))
            self.assertTrue(goes_on(f))


class Memory(unittest.TestCase):
    def setUp(self):
        unlimited = resource.getrlimit(resource.RLIMIT_AS)
        if unlimited[1] != resource.RLIM_INFINITY:
            self.skipTest("the address space is limited already")
        much = (2**46, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_AS, much)
        is_limited = resource.getrlimit(resource.RLIMIT_AS) == much
        # Before a process is started, of which a sanitizer may need more.
        resource.setrlimit(resource.RLIMIT_AS, unlimited)
        if not is_limited:
            self.skipTest("the address space cannot be limited, as under qemu")

    def run_with_helper(self, script):
        """Runs it in a host of its own, whose address space it may limit."""
        limit = (
            "import resource, threading\n"
            "from Foo import Foo\n"
            "def leave(free):\n"
            "    with open('/proc/self/statm') as statm:\n"
            "        used = int(statm.read().split()[0]) * resource.getpagesize()\n"
            "    resource.setrlimit(resource.RLIMIT_AS, (used + free, resource.RLIM_INFINITY))\n"
            "def lift():\n"
            "    resource.setrlimit(resource.RLIMIT_AS, 2 * (resource.RLIM_INFINITY,))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", limit + script],
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout.splitlines()

    def test_none_for_a_thread_is_told_and_start_works_later(self):
        lines = self.run_with_helper(
            "f = Foo(0.001, None)\n"
            "leave(1 << 20)\n"
            "for _ in range(3):\n"
            "    try:\n"
            "        f.start()\n"
            "    except (RuntimeError, MemoryError) as error:\n"
            "        told = error\n"
            "        print('refused', f.running, f.messages, f.error)\n"
            "        f.stop()\n"
            "lift()\n"
            "print(told)\n"
            "f.start()\n"
            "print(f.wait(3, 10))\n"
            "f.stop()\n"
            "print(f.messages == list(range(len(f))))\n"
        )
        self.assertEqual(lines[:3], ["refused False [] None"] * 3)
        self.assertRegex(lines[3], "cannot start this Foo: .*thread")
        self.assertEqual(lines[4:], ["True", "True"])

    def test_none_for_another_thread_delays_others_and_loses_nothing(self):
        lines = self.run_with_helper(
            "other = Foo(0.001, None)\n"
            "other.start()\n"
            "print(other.wait(1, 10))\n"
            "leave(1 << 20)\n"
            "entered, leave_it = threading.Event(), threading.Event()\n"
            "def block(n):\n"
            "    entered.set()\n"
            "    leave_it.wait(10)\n"
            "blocked = Foo(3600.0, block)\n"
            "blocked.start()\n"
            "print(entered.wait(10))\n"
            "count = len(other)\n"
            "print(other.wait(count + 20, 0.1))\n"
            "leave_it.set()\n"
            "print(other.wait(count + 20, 10))\n"
            "lift()\n"
            "blocked.stop()\n"
            "other.stop()\n"
            "print(other.messages == list(range(len(other))), blocked.messages)\n"
        )
        self.assertEqual(lines, ["True", "True", "False", "True", "True [0]"])


if __name__ == "__main__":
    unittest.main()
