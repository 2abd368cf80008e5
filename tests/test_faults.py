"""Memory and threads that cannot be had, at every point, and a clock that jumps: nothing is lost.

Run by a host that lets a script make them fail (faulty_host.cpp).
"""

import contextlib
import io
import os
import subprocess
import sys
import threading
import time
import unittest
import weakref
from unittest import mock

import faults
from Foo import Foo

ONCE = 3600.0  # an interval of which a test sees the first message only
PATIENCE = 10.0  # seconds until a test that hangs fails

# Whose allocations fail, and how many: one, or all from then on.
SHORTAGES = [(whose, count) for whose in ("python", "cpp") for count in (1, 1 << 30)]


def numbers(count):
    return list(range(count))


def fill_up(messages):
    """Appends until there is room for no more, so that the next append allocates."""
    messages.extend(range(len(messages), 1000))  # beyond the numbers that Python has ready made
    while len(messages) < (sys.getsizeof(messages) - sys.getsizeof([])) // 8:
        messages.append(len(messages))


def deliver_one(f):
    """One run of one message."""
    count = len(f) + 1
    f.start()
    f.wait(count, PATIENCE)
    f.stop()


@contextlib.contextmanager
def no_standard_error():
    """Without memory, C code of Python's writes there itself."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class FaultyHost(unittest.TestCase):
    def setUp(self):
        for module, hook in ((sys, "unraisablehook"), (threading, "excepthook")):
            quiet = mock.patch.object(module, hook, lambda it: None)
            quiet.start()
            self.addCleanup(quiet.stop)

    def at_each_allocation(self, where, scenario, shortages=SHORTAGES):
        """Runs scenario(short) with the first allocation failing, then the second, until none does.

        short(function) calls it with memory short on "this" thread, or on the "others", and
        returns its result, or what it raised.
        """
        for whose, count in shortages:
            first, happened = 0, True
            while happened:
                first += 1
                happened = False

                def short(function, whose=whose, count=count, first=first):
                    nonlocal happened
                    outcome, happened = faults.call_short_of_memory(
                        function, whose, where, first, count
                    )
                    return outcome

                with self.subTest(whose=whose, count=count, first=first):
                    scenario(short)
                self.assertLess(first, 10_000)

    def check_goes_on(self, f):
        """A stopped Foo has lost nothing, and its next run neither."""
        self.assertFalse(f.running)
        self.assertEqual(f.messages, numbers(len(f)))
        count = len(f)
        deliver_one(f)
        self.assertIsNone(f.error)
        self.assertGreater(len(f), count)
        self.assertEqual(f.messages, numbers(len(f)))


class MemoryForADelivery(FaultyHost):
    def deliver_short(self, on_message):
        """One message, with memory short on the thread that delivers it."""

        def scenario(short):
            f = Foo(ONCE, lambda n: on_message(f, n))
            fill_up(f.messages)
            count = len(f)
            refusal = short(lambda: deliver_one(f))  # where it takes a new thread
            if refusal is None and f.error is None:
                self.assertEqual(len(f), count + 1)
            else:
                self.assertIsInstance(refusal or f.error, MemoryError)
            self.check_goes_on(f)

        self.at_each_allocation("others", scenario)

    def test_of_a_message(self):
        def scenario(short):
            f = Foo(0.001, None)
            fill_up(f.messages)
            f.start()  # and the first message: the caller appends it
            count = len(f)
            reached = short(lambda: f.wait(count + 1, PATIENCE))
            f.stop()
            if f.error is None:
                self.assertTrue(reached)
            else:
                self.assertIsInstance(f.error, MemoryError)
            self.check_goes_on(f)

        self.at_each_allocation("others", scenario)

    def test_within_on_message(self):
        self.deliver_short(lambda f, n: [str(n + i) for i in range(3)])

    def test_within_print(self):
        with contextlib.redirect_stdout(io.StringIO()):
            self.deliver_short(lambda f, n: print(n))

    def test_within_stop_and_start_in_on_message(self):
        def on_message(f, n):
            f.stop()
            f.start()
            f.stop()

        self.deliver_short(on_message)

    def test_within_a_start_of_another_foo_in_on_message(self):
        def on_message(f, n):
            with Foo(ONCE, None) as other:
                other.wait(1, PATIENCE)

        self.deliver_short(on_message)

    def test_for_the_report_of_an_error(self):
        """The error is kept, whatever becomes of its report."""
        failing = True

        def on_message(n):
            if failing:
                raise LookupError(n)

        def scenario(short):
            nonlocal failing
            f = Foo(ONCE, on_message)
            fill_up(f.messages)
            failing = True
            refusal = short(lambda: deliver_one(f))
            self.assertIsInstance(refusal or f.error, (LookupError, MemoryError))
            failing = False
            self.check_goes_on(f)

        hooks = [lambda arguments: str(arguments.exc_value)]
        if sys.version_info[:2] != (3, 13):  # there, python3 too crashes for want of memory in it
            hooks.append(threading.__excepthook__)
        for hook in hooks:
            with (
                mock.patch.object(threading, "excepthook", hook),
                contextlib.redirect_stderr(io.StringIO()),
                no_standard_error(),
            ):
                self.at_each_allocation("others", scenario)

    def test_is_asked_for_only_by_python(self):
        """Neither the scheduler nor Foo allocates while it delivers: nothing of theirs can fail."""
        f = Foo(0.0001, lambda n: None)
        with f:
            self.assertTrue(f.wait(10, PATIENCE))
            wait = lambda: f.wait(500, PATIENCE)  # noqa: E731
            outcome = faults.call_short_of_memory(wait, "cpp", "others", 1, 1)
        self.assertEqual(outcome, (True, False))


class MemoryForACall(FaultyHost):
    """Whatever Foo is asked for, it does, or raises MemoryError and has done nothing."""

    def short_of_memory(self, scenario):
        self.at_each_allocation("this", scenario)

    def check(self, outcome, *right):
        if not isinstance(outcome, MemoryError):
            self.assertIn(outcome, right)

    def test_making_a_foo(self):
        def scenario(short):
            outcome = short(lambda: Foo(interval=ONCE, on_message=None))
            if isinstance(outcome, Foo):
                self.check_goes_on(outcome)
            else:
                self.assertIsInstance(outcome, MemoryError)

        self.short_of_memory(scenario)

    def test_start(self):
        def scenario(short):
            f = Foo(ONCE, None)
            outcome = short(f.start)
            self.check(outcome, None)
            self.assertEqual(f.running, outcome is None)
            f.stop()
            self.assertEqual(f.messages, numbers(1 if outcome is None else 0))
            self.check_goes_on(f)

        self.short_of_memory(scenario)

    def test_start_that_is_refused(self):
        with Foo(ONCE, None) as f:

            def scenario(short):
                self.assertIsInstance(short(f.start), (RuntimeError, MemoryError))
                self.assertTrue(f.running)

            self.short_of_memory(scenario)

    def test_stop(self):
        def scenario(short):
            f = Foo(ONCE, None)
            f.start()
            outcome = short(f.stop)
            self.check(outcome, None)
            self.assertEqual(f.running, outcome is not None)
            f.stop()
            self.assertEqual(f.messages, [0])
            self.check_goes_on(f)

        self.short_of_memory(scenario)

    def test_stop_that_waits_for_its_callback(self):
        def scenario(short):
            entered = threading.Event()

            def on_message(n):
                entered.set()
                while f.running:
                    pass

            f = Foo(ONCE, on_message)
            f.start()
            self.assertTrue(entered.wait(PATIENCE))
            outcome = short(f.stop)
            self.check(outcome, None)
            f.stop()
            self.assertFalse(f.running)
            self.assertEqual((f.messages, f.error), ([0], None))

        self.short_of_memory(scenario)

    def test_wait(self):
        def scenario(short):
            with Foo(0.001, None) as f:
                self.check(short(lambda: f.wait(3, PATIENCE)), True)
                self.assertTrue(f.running)
                self.assertTrue(f.wait(5, PATIENCE))
            self.check_goes_on(f)

        self.short_of_memory(scenario)

    def test_wait_until_the_timeout(self):
        with Foo(ONCE, None) as f:
            self.short_of_memory(lambda short: self.check(short(lambda: f.wait(2, 1e-6)), False))

    def test_looking_at_it(self):
        f = Foo(0.5, None)
        deliver_one(f)
        messages = f.messages
        for look, right in (
            (lambda: f.running, False),
            (lambda: f.interval, 0.5),
            (lambda: f.messages, messages),
            (lambda: f.error, None),
            (lambda: len(f), 1),
        ):
            self.short_of_memory(
                lambda short, look=look, right=right: self.check(short(look), right)
            )

    def test_with(self):
        def run(f):
            with f:
                f.wait(1, PATIENCE)

        def scenario(short):
            f = Foo(ONCE, None)
            self.check(short(lambda: run(f)), None)
            f.stop()  # of which there was, perhaps, no memory left to tell it
            self.check_goes_on(f)

        self.short_of_memory(scenario)

    def test_dropping_a_foo_that_runs(self):
        class Callback:
            def __call__(self, n):
                pass

        def scenario(short):
            callback = Callback()
            gone = weakref.ref(callback)
            holder = [Foo(0.001, callback)]
            del callback
            holder[0].start()
            self.check(short(holder.clear), None)
            holder.clear()
            self.assertIsNone(gone())

        self.short_of_memory(scenario)


class Process(unittest.TestCase):
    """Runs a script in a host of its own, in which no thread has been made yet."""

    PRELUDE = """
import atexit, sys, threading, time
import faults

ONCE, PATIENCE = 3600.0, 10.0
sys.unraisablehook = threading.excepthook = lambda it: None

def numbers(count):
    return list(range(count))
"""

    def shows(self, script, *arguments):
        """What it prints, in words; nothing on stderr, and a good end."""
        done = subprocess.run(
            [sys.executable, "-c", self.PRELUDE + script, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout.split()


class MemoryForAThread(Process):
    def test_the_first(self):
        """start() raises MemoryError, and works as soon as there is memory."""
        script = """
from Foo import Foo
whose, where, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
f = Foo(0.001, None)
refused, outcome = -1, MemoryError()
while outcome is not None:
    assert isinstance(outcome, MemoryError), outcome
    assert (f.running, f.messages, f.error) == (False, [], None)
    refused += 1
    outcome, _ = faults.call_short_of_memory(f.start, whose, where, refused + 1, count)
f.stop()
assert f.messages == numbers(len(f))
print(refused)
f.start()
print(f.wait(len(f) + 5, PATIENCE), f.running, f.error)
"""
        for where, whose in (("this", "cpp"), ("others", "cpp"), ("others", "python")):
            for count in (1, 1 << 30):
                with self.subTest(where=where, whose=whose, count=count):
                    refused, *rest = self.shows(script, whose, where, count)
                    self.assertEqual(rest, ["True", "True", "None"])
                    self.assertGreaterEqual(int(refused), 1)

    def test_another_when_a_callback_blocks(self):
        """Other Foos come late, when it returns, and nothing is lost."""
        script = """
from Foo import Foo
whose, where, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
late, made = 0, False
while not made:
    entered, leave = threading.Event(), threading.Event()
    blocked = Foo(ONCE, lambda n: (entered.set(), leave.wait(PATIENCE)))
    blocked.start()
    assert entered.wait(PATIENCE)
    other = Foo(ONCE, lambda n: None)

    def start_another():
        other.start()
        return other.wait(1, 0.1)

    outcome, _ = faults.call_short_of_memory(start_another, whose, where, late + 1, count)
    made = len(other) > 0
    late += not made
    leave.set()
    if other.running:
        assert other.wait(1, PATIENCE)
    elif not isinstance(outcome, MemoryError):
        assert isinstance(other.error, MemoryError), other.error
        other.start()
    else:
        other.start()
    other.stop()
    blocked.stop()
    # More than one if the message was there, and only the callback's call failed.
    assert other.messages == numbers(len(other)) != [], other.messages
    assert (blocked.messages, blocked.error) == ([0], None)
print(late)
"""
        for where, whose in (("this", "cpp"), ("others", "cpp"), ("others", "python")):
            for count in (1, 1 << 30):
                with self.subTest(where=where, whose=whose, count=count):
                    (late,) = self.shows(script, whose, where, count)
                    self.assertGreaterEqual(int(late), 1)

    def test_another_though_it_failed_often(self):
        """A thread that could not be attached to Python does not count as one."""
        (made,) = self.shows("""
from Foo import Foo
entered, leave = threading.Event(), threading.Event()
blocked = Foo(ONCE, lambda n: (entered.set(), leave.wait()))
blocked.start()
entered.wait(PATIENCE)

def start_and_stop_another():
    for _ in range(16):
        other = Foo(ONCE, lambda n: None)
        other.start()
        other.wait(1, 0.01)
        other.stop()  # a second, as nobody can deliver what is due

_, happened = faults.call_short_of_memory(start_and_stop_another, "python", "others", 1, 1 << 30)
assert happened
with Foo(ONCE, lambda n: None) as other:
    print(other.wait(1, PATIENCE))
leave.set()
blocked.stop()
""")
        self.assertEqual(made, "True")


class MemoryAtExit(Process):
    def test_the_end_is_in_order(self):
        script = """
import os
whose, where, count, first = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
from Foo import Foo
calls = []
foos = [Foo(0.001, None), Foo(0.001, calls.append), Foo(0.0001, None)]
for f in foos:
    f.start()
assert all(f.wait(5, PATIENCE) for f in foos)
another_was_called = [False]
atexit.register(another_was_called.__setitem__, 0, True)
outcome, happened = faults.call_short_of_memory(atexit._run_exitfuncs, whose, where, first, count)
assert outcome is None, outcome
if sys.version_info >= (3, 14) and not another_was_called[0]:
    # Without memory for a copy of the functions that it is to call, this Python calls none.
    print(happened, "forgotten", flush=True)
    os._exit(0)
print(happened, *(f.running for f in foos))
for f in foos:
    assert f.messages == numbers(len(f))
    f.stop()
"""
        for where, whose in (("this", "python"), ("this", "cpp"), ("others", "python")):
            for count in (1, 1 << 30):
                first, happened = 0, True
                while happened:
                    first += 1
                    with self.subTest(where=where, whose=whose, count=count, first=first):
                        happened = False
                        shown = self.shows(script, whose, where, count, first)
                        happened = shown[0] == "True"
                        if shown[1:] != ["forgotten"]:
                            self.assertEqual(shown[1:], ["False"] * 3)


class Threads(Process):
    """When the system makes none."""

    def test_the_first_is_told_and_start_works_later(self):
        shown = self.shows("""
from Foo import Foo
f = Foo(0.001, None)
faults.refuse_threads(True)
for _ in range(3):
    try:
        f.start()
    except RuntimeError as refusal:
        told = str(refusal)
    assert (f.running, f.messages, f.error) == (False, [], None)
    assert not f.wait(1)
    f.stop()
faults.refuse_threads(False)
f.start()
print(f.wait(5, PATIENCE))
f.stop()
assert f.messages == numbers(len(f))
print(told)
""")
        self.assertEqual(shown[0], "True")
        self.assertRegex(" ".join(shown[1:]), "^cannot start this Foo: no thread can be made")

    def test_another_delays_other_foos_until_it_can_be_made_and_loses_nothing(self):
        """The clock demands what they would have had meanwhile."""
        shown = self.shows("""
from Foo import Foo
other = Foo(0.001, None)
other.start()
after_start = time.monotonic_ns()
assert other.wait(1, PATIENCE)
faults.refuse_threads(True)
entered, leave = threading.Event(), threading.Event()
blocked = Foo(ONCE, lambda n: (entered.set(), leave.wait(PATIENCE)))
blocked.start()
assert entered.wait(PATIENCE)
count = len(other)
late = not other.wait(count + 20, 0.1)
leave.set()
blocked.stop()
owed = (time.monotonic_ns() - after_start - 10_000) // 1_000_000 + 1
print(late, other.wait(owed, PATIENCE))

faults.refuse_threads(False)
entered.clear(), leave.clear()
blocked.start()
assert entered.wait(PATIENCE)
print(other.wait(len(other) + 20, PATIENCE), blocked.wait(2, 0))
leave.set()
blocked.stop()
other.stop()
assert other.messages == numbers(len(other))
assert (blocked.messages, blocked.error) == ([0, 1], None)
""")
        self.assertEqual(shown, ["True", "True", "True", "False"])


class SystemClock(FaultyHost):
    """Each look at it finds it an hour on or back: all that has to do with time is monotonic."""

    def setUp(self):
        faults.let_system_clock_jump(True)
        self.addCleanup(faults.let_system_clock_jump, False)
        looks = [time.time() for _ in range(4)]
        self.assertGreater(max(looks) - min(looks), 3600)

    def test_that_jumps_does_not_change_the_rate(self):
        interval, leeway = 1_000_000, 10_000  # nanoseconds
        f = Foo(0.001, None)
        before_start = time.monotonic_ns()
        f.start()
        after_start = time.monotonic_ns()
        self.assertTrue(f.wait(300, PATIENCE))
        before_stop = time.monotonic_ns()
        f.stop()
        after_stop = time.monotonic_ns()
        self.assertGreaterEqual(len(f), (before_stop - after_start - leeway) // interval + 1)
        self.assertLessEqual(len(f), (after_stop - before_start) // interval + 1)

    def test_that_jumps_does_not_change_a_timeout(self):
        with Foo(ONCE, None) as f:
            for timeout in (0.001, 0.2):
                before = time.monotonic()
                self.assertIs(f.wait(2, timeout), False)
                took = time.monotonic() - before
                self.assertGreaterEqual(took, timeout)
                self.assertLess(took, PATIENCE)

    def test_that_jumps_does_not_change_a_timeout_in_another_thread(self):
        results = []
        with Foo(ONCE, None) as f:
            waiter = threading.Thread(target=lambda: results.append(f.wait(2, 0.2)), daemon=True)
            waiter.start()
            waiter.join(PATIENCE)
        self.assertEqual(results, [False])

    def test_that_jumps_does_not_end_the_grace_of_a_stop(self):
        for _ in range(20):
            f = Foo(0.0001, lambda n: None)
            f.start()
            after_start = time.monotonic_ns()
            end = time.monotonic() + 0.01
            while time.monotonic() < end:
                pass
            before_stop = time.monotonic_ns()
            f.stop()
            self.assertGreaterEqual(len(f), (before_stop - after_start - 1_000) // 100_000 + 1)
            self.assertEqual(f.messages, numbers(len(f)))

    def test_that_jumps_does_not_wake_a_standby_early_or_late(self):
        """Another Foo goes on beside a callback that blocks."""
        leave = threading.Event()
        with Foo(ONCE, lambda n: leave.wait(PATIENCE)) as blocked, Foo(0.001, None) as other:
            self.assertTrue(other.wait(50, PATIENCE))
            self.assertFalse(blocked.wait(1, 0))
            leave.set()


if __name__ == "__main__":
    unittest.main()
