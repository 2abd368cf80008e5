"""Foo as a script sees it: counting, callbacks, stopping, waiting, errors, and its end."""

import contextlib
import contextvars
import gc
import importlib
import inspect
import io
import os
import signal
import sys
import threading
import time
import traceback
import unittest
import weakref
from unittest import mock

from Foo import Foo

# A shell without job control starts us with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

ONCE = 3600.0  # an interval of which a test sees the first message only
PATIENCE = 10.0  # seconds until a test that hangs fails
A_WHILE = 0.05  # seconds in which what must not happen would have happened


class Announced:
    """A timeout for wait() that tells when it is taken: the caller is about to wait."""

    def __init__(self):
        self.taken = threading.Event()

    def __float__(self):
        self.taken.set()
        return PATIENCE


class Called:
    """An on_message that can be referred to weakly, and counts."""

    def __init__(self, then=lambda: None):
        self.then = then

    def __call__(self, n):
        self.then()


class Holder:
    """Of a Foo that refers back to it, as objects with an own Foo do."""

    def __init__(self, calls=None):
        self.calls = [] if calls is None else calls
        self.foo = Foo(0.001, self.on_message)

    def on_message(self, n):
        self.calls.append(n)


def numbers(count):
    return list(range(count))


def let_pass(count):
    """Returns when a Foo made for this has delivered that many messages, a millisecond each."""
    with Foo(0.001, None) as witness:
        assert witness.wait(count, PATIENCE)


def raise_at(last):
    """An on_message that raises at that message."""

    def on_message(n):
        if n == last:
            raise ValueError(f"no more than {last}")

    return on_message


def send_during(in_wait, signal_number):
    """An on_message that sends that signal once, fifty messages after the wait was announced."""
    heard = []

    def on_message(n):
        if in_wait.taken.is_set():
            heard.append(n)
            if len(heard) == 50:
                os.kill(os.getpid(), signal_number)

    return on_message


@contextlib.contextmanager
def caught_hooks():
    """Replaces threading.excepthook, and gives the list of its calls."""
    calls = []
    with mock.patch.object(threading, "excepthook", calls.append):
        yield calls


class Counting(unittest.TestCase):
    def test_counts_from_zero(self):
        f = Foo(0.001, None)
        f.start()
        self.assertTrue(f.wait(5, PATIENCE))
        f.stop()
        self.assertEqual(f.messages[:5], [0, 1, 2, 3, 4])
        self.assertEqual(f.messages, numbers(len(f)))

    def test_has_no_messages_before_start(self):
        self.assertEqual(Foo().messages, [])

    def test_first_message_is_there_when_start_returns(self):
        f = Foo(ONCE, None)
        f.start()
        self.assertEqual(f.messages, [0])

    def test_first_message_comes_after_the_list_is_sorted(self):
        f = Foo(ONCE, None)
        f.messages.extend((3, 2, 1))
        f.messages.sort(key=lambda n: (n == 3 and f.start()) or n)
        self.assertTrue(f.wait(4, PATIENCE))
        self.assertEqual(f.messages[-1], 3)

    def test_first_message_with_a_callback_comes_at_once(self):
        calls = []
        f = Foo(ONCE, calls.append)
        f.start()
        self.assertTrue(f.wait(1, PATIENCE))
        self.assertEqual((f.messages, calls), ([0], [0]))

    def test_keeps_a_fixed_rate_without_drift(self):
        interval, leeway = 1_000_000, 10_000  # nanoseconds
        f = Foo(0.001, None)
        before_start = time.monotonic_ns()
        f.start()
        after_start = time.monotonic_ns()
        self.assertTrue(f.wait(300, PATIENCE))
        before_stop = time.monotonic_ns()
        f.stop()
        after_stop = time.monotonic_ns()
        owed = (before_stop - after_start - leeway) // interval + 1
        due = (after_stop - before_start) // interval + 1
        self.assertGreaterEqual(len(f), owed)
        self.assertLessEqual(len(f), due)

    def test_no_message_comes_before_it_is_due(self):
        interval = 0.02
        times = []
        f = Foo(interval, lambda n: times.append(time.monotonic()))
        start = time.monotonic()
        f.start()
        self.assertTrue(f.wait(6, PATIENCE))
        f.stop()
        for n, came in enumerate(times):
            self.assertGreaterEqual(came, start + n * interval)

    def test_goes_on_counting_after_a_restart(self):
        f = Foo(0.001, None)
        for _ in range(3):
            f.start()
            self.assertTrue(f.wait(len(f) + 3, PATIENCE))
            f.stop()
        self.assertGreaterEqual(len(f), 9)
        self.assertEqual(f.messages, numbers(len(f)))

    def test_first_message_of_each_run_comes_at_once(self):
        f = Foo(ONCE, None)
        for run in range(5):
            f.start()
            self.assertTrue(f.wait(run + 1, PATIENCE))
            f.stop()
        self.assertEqual(f.messages, numbers(5))

    def test_a_thousand_foos_deliver_all(self):
        foos = [Foo(0.02, None) for _ in range(1000)]
        for f in foos:
            f.start()
        for f in foos:
            self.assertTrue(f.wait(5, PATIENCE))
        for f in foos:
            f.stop()
        for f in foos:
            self.assertEqual(f.messages, numbers(len(f)))


class OnMessage(unittest.TestCase):
    def test_prints_through_sys_stdout_by_default(self):
        f = Foo(0.001)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            f.start()
            self.assertTrue(f.wait(3, PATIENCE))
            f.stop()
        self.assertEqual(out.getvalue(), "".join(f"{n}\n" for n in f.messages))
        self.assertTrue(out.getvalue().startswith("0\n1\n2\n"))

    def test_none_prints_nothing(self):
        with contextlib.redirect_stdout(io.StringIO()) as out, Foo(0.001, on_message=None) as f:
            self.assertTrue(f.wait(3, PATIENCE))
        self.assertEqual(out.getvalue(), "")

    def test_is_called_with_each_number_after_it_was_appended(self):
        seen = []
        f = Foo(0.001, lambda *arguments: seen.append((arguments, list(f.messages))))
        f.start()
        self.assertTrue(f.wait(5, PATIENCE))
        f.stop()
        self.assertEqual(seen, [((n,), numbers(n + 1)) for n in range(len(f))])

    def test_is_given_by_position_or_keyword(self):
        for make in (
            lambda call: Foo(ONCE, call),
            lambda call: Foo(ONCE, on_message=call),
            lambda call: Foo(on_message=call, interval=ONCE),
        ):
            seen = []
            with make(seen.append) as f:
                self.assertTrue(f.wait(1, PATIENCE))
            self.assertEqual(seen, [0])

    def test_its_result_is_ignored(self):
        with Foo(0.001, lambda n: StopIteration) as f:
            self.assertTrue(f.wait(3, PATIENCE))

    def test_runs_on_a_thread_that_is_not_the_main_one(self):
        seen = set()
        with Foo(0.001, lambda n: seen.add(threading.current_thread())) as f:
            self.assertTrue(f.wait(3, PATIENCE))
            self.assertIs(threading.current_thread(), threading.main_thread())
        self.assertGreaterEqual(len(seen), 1)
        self.assertNotIn(threading.main_thread(), seen)

    def test_thread_local_values_last_from_message_to_message(self):
        local, calls, mismatches = threading.local(), {}, []
        local.calls = "of the main thread"

        def on_message(n):
            me = threading.get_ident()
            calls[me] = calls.get(me, 0) + 1
            local.calls = getattr(local, "calls", 0) + 1
            if local.calls != calls[me]:
                mismatches.append((n, local.calls, calls[me]))

        with Foo(0.001, on_message) as f:
            self.assertTrue(f.wait(50, PATIENCE))
        self.assertEqual(mismatches, [])
        self.assertEqual(local.calls, "of the main thread")

    def test_context_variables_are_apart_from_the_main_threads(self):
        variable = contextvars.ContextVar("variable", default="default")
        variable.set("main")
        seen = []

        def on_message(n):
            seen.append(variable.get())
            variable.set("callback")

        with Foo(ONCE, on_message) as f:
            self.assertTrue(f.wait(1, PATIENCE))
        self.assertEqual(seen, ["default"])
        self.assertEqual(variable.get(), "main")

    def test_may_use_other_foos(self):
        inner = Foo(0.001, None)
        seen = []

        def on_message(n):
            inner.start()
            seen.append(inner.wait(3, PATIENCE))
            inner.stop()

        with Foo(ONCE, on_message) as outer:
            self.assertTrue(outer.wait(1, PATIENCE))
        self.assertEqual(seen, [True])
        self.assertFalse(inner.running)


class Stop(unittest.TestCase):
    def test_does_nothing_when_stopped(self):
        f = Foo(ONCE, None)
        f.stop()
        f.start()
        f.stop()
        f.stop()
        self.assertFalse(f.running)

    def test_does_not_wait_for_the_interval(self):
        f = Foo(ONCE, None)
        f.start()
        self.assertTrue(f.wait(1, PATIENCE))
        before = time.monotonic()
        f.stop()
        self.assertLess(time.monotonic() - before, PATIENCE)

    def test_delivers_the_first_message_that_is_due(self):
        for _ in range(100):
            f = Foo(ONCE, None)
            f.start()
            f.stop()
            self.assertEqual(f.messages, [0])

    def test_nothing_follows(self):
        calls = []
        f = Foo(0.0001, calls.append)
        f.start()
        self.assertTrue(f.wait(10, PATIENCE))
        f.stop()
        count = len(f)
        let_pass(20)
        self.assertEqual(len(f), count)
        self.assertEqual(calls, numbers(count))

    def test_from_another_thread(self):
        f = Foo(0.001, None)
        f.start()
        stopper = threading.Thread(target=f.stop, daemon=True)
        stopper.start()
        stopper.join(PATIENCE)
        self.assertFalse(stopper.is_alive())
        self.assertFalse(f.running)

    def test_within_on_message_that_message_is_the_last(self):
        calls = []

        def on_message(n):
            calls.append(n)
            if n == 3:
                f.stop()

        f = Foo(1e-6, on_message)  # so that more are due already
        f.start()
        self.assertFalse(f.wait(100, PATIENCE))
        self.assertFalse(f.running)
        let_pass(10)
        self.assertEqual(f.messages, numbers(4))
        self.assertEqual(calls, numbers(4))

    def test_waits_for_a_callback_in_progress(self):
        entered, returned, overtaken = threading.Event(), threading.Event(), []

        def on_message(n):
            entered.set()
            while f.running:
                pass  # until stop() is in progress
            overtaken.append(returned.wait(A_WHILE))

        f = Foo(ONCE, on_message)
        f.start()
        self.assertTrue(entered.wait(PATIENCE))
        f.stop()
        returned.set()
        self.assertEqual(overtaken, [False])

    def test_waits_for_a_callback_that_has_stopped_its_foo(self):
        stopped, returned, overtaken = threading.Event(), threading.Event(), []

        def on_message(n):
            f.stop()
            stopped.set()
            overtaken.append(returned.wait(A_WHILE))

        f = Foo(ONCE, on_message)
        f.start()
        self.assertTrue(stopped.wait(PATIENCE))
        f.stop()
        returned.set()
        self.assertEqual(overtaken, [False])

    def test_two_foos_stop_each_other_in_their_callbacks(self):
        both, done = threading.Barrier(2), threading.Semaphore(0)

        def stop_the_other(other):
            both.wait(PATIENCE)
            foos[other].stop()
            done.release()

        foos = [Foo(ONCE, lambda n: stop_the_other(1)), Foo(ONCE, lambda n: stop_the_other(0))]
        for f in foos:
            f.start()
        for _ in foos:
            self.assertTrue(done.acquire(timeout=PATIENCE))
        for f in foos:
            f.stop()
            self.assertEqual((f.messages, f.error), ([0], None))

    def test_a_ring_of_foos_that_stop_the_next(self):
        count = 5
        all_in, done = threading.Barrier(count), threading.Semaphore(0)

        def callback(index):
            def on_message(n):
                all_in.wait(PATIENCE)
                foos[(index + 1) % count].stop()
                done.release()

            return on_message

        foos = [Foo(ONCE, callback(index)) for index in range(count)]
        for f in foos:
            f.start()
        for _ in foos:
            self.assertTrue(done.acquire(timeout=PATIENCE))
        for f in foos:
            f.stop()
            self.assertEqual((f.messages, f.error), ([0], None))


class Start(unittest.TestCase):
    def test_within_on_message_after_stop(self):
        def on_message(n):
            if n == 0:
                f.stop()
                f.start()

        f = Foo(ONCE, on_message)
        f.start()
        self.assertTrue(f.wait(2, PATIENCE))
        self.assertTrue(f.running)
        f.stop()
        self.assertEqual(f.messages, [0, 1])

    def test_within_on_message_and_stopped_again(self):
        def on_message(n):
            f.stop()
            f.start()
            f.stop()

        f = Foo(1e-6, on_message)
        f.start()
        self.assertFalse(f.wait(2, PATIENCE))
        self.assertFalse(f.running)
        self.assertEqual(f.messages, [0])

    def test_while_a_callback_of_the_last_run_is_in_progress(self):
        entered, leave, at_once = threading.Event(), threading.Event(), []

        def on_message(n):
            if n == 0:
                f.stop()
                entered.set()
                at_once.append(leave.wait(PATIENCE))

        f = Foo(ONCE, on_message)
        f.start()
        self.assertTrue(entered.wait(PATIENCE))
        f.start()
        leave.set()
        self.assertTrue(f.running)
        f.stop()
        self.assertEqual(at_once, [True])

    def test_running_tells(self):
        seen = []

        def on_message(n):
            seen.append(f.running)
            f.stop()
            seen.append(f.running)

        f = Foo(ONCE, on_message)
        self.assertFalse(f.running)
        f.start()
        self.assertTrue(f.wait(1, PATIENCE))
        self.assertEqual(seen, [True, False])
        self.assertFalse(f.running)
        f = Foo(ONCE, None)
        f.start()
        self.assertTrue(f.running)
        f.stop()
        self.assertFalse(f.running)


class Wait(unittest.TestCase):
    def test_true_when_delivered(self):
        with Foo(0.001, None) as f:
            self.assertIs(f.wait(3), True)
            self.assertGreaterEqual(len(f), 3)

    def test_includes_on_message(self):
        returned, overtaken = threading.Event(), []
        with Foo(ONCE, lambda n: overtaken.append(returned.wait(A_WHILE))) as f:
            self.assertTrue(f.wait(1, PATIENCE))
            returned.set()
        self.assertEqual(overtaken, [False])

    def test_true_at_once_when_already_there(self):
        f = Foo(0.001, None)
        self.assertIs(f.wait(0), True)
        f.start()
        self.assertTrue(f.wait(3, PATIENCE))
        self.assertIs(f.wait(3, timeout=0), True)
        f.stop()
        self.assertIs(f.wait(3), True)

    def test_false_at_the_timeout_and_not_before(self):
        with Foo(ONCE, None) as f:
            for timeout in (0.02, 1e-9, 0, -1, -float("inf")):
                before = time.monotonic()
                self.assertIs(f.wait(2, timeout), False)
                self.assertGreaterEqual(time.monotonic() - before, timeout)

    def test_takes_keywords(self):
        self.assertIs(Foo().wait(timeout=0, count=1), False)

    def test_takes_the_longest_timeout_of_threading(self):
        with Foo(0.01, None) as f:
            self.assertTrue(f.wait(3, threading.TIMEOUT_MAX))

    def test_false_at_once_when_not_running(self):
        f = Foo(ONCE, None)
        self.assertIs(f.wait(1), False)
        f.start()
        f.stop()
        self.assertIs(f.wait(2), False)

    def test_false_when_an_error_ends_the_foo(self):
        in_wait = Announced()

        def on_message(n):
            in_wait.taken.wait(PATIENCE)
            raise ValueError(n)

        f = Foo(ONCE, on_message)
        with caught_hooks():
            f.start()
            self.assertIs(f.wait(2, in_wait), False)
        self.assertIsInstance(f.error, ValueError)
        self.assertFalse(f.running)

    def test_false_when_another_thread_stops_the_foo(self):
        in_wait = Announced()

        def stop():
            in_wait.taken.wait(PATIENCE)
            f.stop()

        f = Foo(ONCE, None)
        f.start()
        stopper = threading.Thread(target=stop)
        stopper.start()
        before = time.monotonic()
        self.assertIs(f.wait(2, in_wait), False)
        self.assertLess(time.monotonic() - before, PATIENCE)
        stopper.join()

    def test_true_when_on_message_clears_the_list_at_that_message(self):
        in_wait = Announced()

        def on_message(n):
            in_wait.taken.wait(PATIENCE)
            if n == 4:
                f.messages.clear()

        f = Foo(0.001, on_message)
        with f:
            self.assertIs(f.wait(5, in_wait), True)

    def test_is_about_the_new_run_when_restarted_during_a_callback(self):
        restarted, in_wait = threading.Event(), Announced()

        def on_message(n):
            if n == 0:
                f.stop()
                f.start()
                restarted.set()
                in_wait.taken.wait(PATIENCE)

        f = Foo(0.001, on_message)
        f.start()
        self.assertTrue(restarted.wait(PATIENCE))
        self.assertIs(f.wait(5, in_wait), True)
        f.stop()

    def test_several_threads_wait_for_different_counts(self):
        f = Foo(0.001, None)
        f.start()
        results = {}

        def wait(count):
            results[count] = f.wait(count, PATIENCE) and len(f) >= count

        threads = [threading.Thread(target=wait, args=(count,)) for count in range(1, 51, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        f.stop()
        self.assertEqual(results, dict.fromkeys(range(1, 51, 7), True))

    def test_within_its_own_on_message_is_refused(self):
        caught, already = [], []

        def on_message(n):
            already.append(f.wait(n, timeout=0))
            try:
                f.wait(12345)
            except RuntimeError as error:
                caught.append(str(error))

        f = Foo(0.001, on_message)
        with f:
            self.assertTrue(f.wait(3, PATIENCE))
        self.assertTrue(all(already))
        self.assertEqual(len(caught), len(f))
        self.assertIn("wait(12345)", caught[0])

    def test_within_its_own_on_message_uncaught_is_its_error(self):
        f = Foo(ONCE, lambda n: f.wait(2))
        with caught_hooks():
            f.start()
            self.assertFalse(f.wait(2, PATIENCE))
        self.assertIsInstance(f.error, RuntimeError)

    def test_for_another_foo_in_on_message(self):
        results = []
        with Foo(0.001, None) as other, Foo(ONCE, lambda n: results.append(other.wait(20))) as f:
            self.assertTrue(f.wait(1, PATIENCE))
        self.assertEqual(results, [True])

    def test_ctrl_c_interrupts(self):
        in_wait = Announced()
        with Foo(0.001, send_during(in_wait, signal.SIGINT)) as f:
            with self.assertRaises(KeyboardInterrupt):
                f.wait(10**6, in_wait)
            self.assertTrue(f.running)
            self.assertTrue(f.wait(len(f) + 2, PATIENCE))
        self.assertEqual(f.messages, numbers(len(f)))

    def test_a_signals_handler_runs_meanwhile(self):
        in_wait, handled_at = Announced(), []
        f = Foo(0.001, send_during(in_wait, signal.SIGUSR1))
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        signal.signal(signal.SIGUSR1, lambda *_: handled_at.append(len(f)))
        with f:
            self.assertIs(f.wait(500, in_wait), True)
        self.assertEqual(len(handled_at), 1)
        self.assertLess(handled_at[0], 500)

    def test_raises_what_a_signals_handler_raised(self):
        def handler(*_):
            raise LookupError("from the handler")

        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        signal.signal(signal.SIGUSR1, handler)
        in_wait = Announced()
        with (
            Foo(0.001, send_during(in_wait, signal.SIGUSR1)) as f,
            self.assertRaisesRegex(LookupError, "from the handler"),
        ):
            f.wait(10**6, in_wait)

    def test_a_signal_that_comes_as_it_begins_interrupts(self):
        for _ in range(20):
            in_wait = Announced()

            def on_message(n, in_wait=in_wait):
                in_wait.taken.wait(PATIENCE)
                os.kill(os.getpid(), signal.SIGINT)

            f = Foo(ONCE, on_message)
            f.start()
            before = time.monotonic()
            with self.assertRaises(KeyboardInterrupt):
                f.wait(2, in_wait)
            self.assertLess(time.monotonic() - before, PATIENCE)  # not at the timeout
            f.stop()


class ContextManager(unittest.TestCase):
    def test_starts_and_stops(self):
        f = Foo(0.001, None)
        with f as entered:
            self.assertIs(entered, f)
            self.assertTrue(f.running)
            self.assertTrue(f.wait(2, PATIENCE))
        self.assertFalse(f.running)

    def test_stops_and_passes_on_an_exception(self):
        f = Foo(0.001, None)
        with self.assertRaises(LookupError), f:
            raise LookupError
        self.assertFalse(f.running)

    def test_may_be_entered_again(self):
        f = Foo(ONCE, None)
        for _ in range(2):
            with f:
                pass
        self.assertEqual(f.messages, [0, 1])

    def test_refuses_one_that_is_running(self):
        with Foo(ONCE, None) as f:
            with self.assertRaises(RuntimeError), f:
                self.fail("entered")
            self.assertTrue(f.running)


class Inspection(unittest.TestCase):
    def test_interval_is_the_float_given(self):
        for interval in (0.5, 1 / 3, 1e-9, 4.6e9, 1.0):
            self.assertEqual(Foo(interval).interval, interval)
        self.assertEqual(Foo().interval, 1.0)
        self.assertIs(type(Foo(2).interval), float)

    def test_messages_is_the_live_list(self):
        f = Foo(ONCE, None)
        messages = f.messages
        f.start()
        f.stop()
        self.assertIs(f.messages, messages)
        self.assertIs(type(messages), list)
        self.assertEqual(messages, [0])

    def test_messages_outlive_their_foo(self):
        with Foo(0.001, None) as f:
            self.assertTrue(f.wait(3, PATIENCE))
        messages = f.messages
        del f
        self.assertEqual(messages, numbers(len(messages)))

    def test_len_is_the_number_of_messages(self):
        f = Foo(ONCE, None)
        self.assertEqual(len(f), 0)
        f.messages.extend("abc")
        self.assertEqual(len(f), 3)

    def test_repr_tells_interval_state_and_count(self):
        f = Foo(0.25, None)
        self.assertEqual(repr(f), "<Foo.Foo interval=0.25 stopped messages=0>")
        f = Foo(ONCE, None)
        f.start()
        self.assertTrue(f.wait(1, PATIENCE))
        self.assertEqual(repr(f), "<Foo.Foo interval=3600.0 running messages=1>")

    def test_error_is_none_without_one(self):
        with Foo(ONCE, None) as f:
            self.assertIsNone(f.error)
        self.assertIsNone(f.error)

    def test_docstrings_begin_with_the_signature(self):
        for documented, signature in (
            (Foo, "Foo(interval=1.0, on_message=print)"),
            (Foo.start, "start() -> None"),
            (Foo.stop, "stop() -> None"),
            (Foo.wait, "wait(count, timeout=None) -> bool"),
        ):
            self.assertEqual(inspect.getdoc(documented).splitlines()[0], signature)

    def test_docstrings_read_as_written(self):
        self.assertNotIn("--", Foo.__doc__.splitlines())
        self.assertNotIn("C++", "".join(inspect.getdoc(each) for each in (Foo.start, Foo.wait)))

    def test_the_module_may_be_imported_anew_and_has_the_same_class(self):
        with mock.patch.dict(sys.modules):
            del sys.modules["Foo"]
            self.assertIs(importlib.import_module("Foo").Foo, Foo)

    def test_the_module_and_each_property_are_documented(self):
        self.assertIn("f.start()", sys.modules["Foo"].__doc__)
        for name in ("running", "interval", "messages", "error"):
            self.assertTrue(inspect.getdoc(getattr(Foo, name)), name)


class Subclass(unittest.TestCase):
    def test_adds_state_and_methods(self):
        class Sum(Foo):
            def __init__(self, name):
                super().__init__(0.001, None)
                self.name = name

            def stop(self):
                super().stop()
                return sum(self.messages)

        f = Sum("mine")
        f.start()
        self.assertTrue(f.wait(4, PATIENCE))
        self.assertEqual(f.stop(), sum(range(len(f))))
        self.assertEqual(f.name, "mine")

    def test_a_method_may_be_the_callback(self):
        class Doubles(Foo):
            def __init__(self):
                super().__init__(0.001, self.on_message)
                self.doubles = []

            def on_message(self, n):
                self.doubles.append(2 * n)

        with Doubles() as f:
            self.assertTrue(f.wait(3, PATIENCE))
        self.assertEqual(f.doubles, [2 * n for n in f.messages])

    def test_repr_names_it(self):
        class Named(Foo):
            pass

        self.assertIn("Named interval=0.5 stopped", repr(Named(0.5)))


class Errors(unittest.TestCase):
    def test_end_the_foo_after_the_message(self):
        f = Foo(1e-6, raise_at(3))
        with caught_hooks():
            f.start()
            self.assertFalse(f.wait(100, PATIENCE))
        self.assertFalse(f.running)
        self.assertEqual(f.messages, numbers(4))

    def test_do_not_end_other_foos(self):
        with caught_hooks(), Foo(0.001, None) as other, Foo(0.001, raise_at(0)) as f:
            self.assertFalse(f.wait(2, PATIENCE))
            self.assertTrue(other.wait(len(other) + 5, PATIENCE))
            self.assertTrue(other.running)
        self.assertEqual(other.messages, numbers(len(other)))

    def test_go_to_threading_excepthook_at_once(self):
        called = threading.Event()

        def hook(arguments):
            calls.append((*arguments, f.running, f.error, threading.current_thread()))
            called.set()

        calls = []
        with mock.patch.object(threading, "excepthook", hook):
            f = Foo(ONCE, raise_at(0))
            f.start()
            self.assertTrue(called.wait(PATIENCE))
            f.stop()
        ((kind, value, trace, thread, running, error, caller),) = calls
        self.assertIs(kind, ValueError)
        self.assertEqual(str(value), "no more than 0")
        self.assertIs(trace, value.__traceback__)
        self.assertIsNone(thread)
        self.assertFalse(running)
        self.assertIs(error, value)
        self.assertIsNot(caller, threading.main_thread())

    def test_are_kept_with_their_traceback(self):
        f = Foo(ONCE, raise_at(0))
        with caught_hooks():
            f.start()
            f.stop()
        self.assertIsInstance(f.error, ValueError)
        frames = traceback.extract_tb(f.error.__traceback__)
        self.assertEqual((frames[-1].name, frames[-1].filename), ("on_message", __file__))

    def test_are_printed_by_default(self):
        f = Foo(ONCE, raise_at(0))
        with contextlib.redirect_stderr(io.StringIO()) as err:
            f.start()
            f.stop()
        self.assertIn("Traceback (most recent call last)", err.getvalue())
        self.assertIn("ValueError: no more than 0", err.getvalue())

    def test_restart_clears_them(self):
        f = Foo(ONCE, raise_at(0))
        with caught_hooks() as calls:
            f.start()
            f.stop()
            self.assertIsNotNone(f.error)
            f.start()
            self.assertIsNone(f.error)
            self.assertTrue(f.wait(2, PATIENCE))
            f.stop()
        self.assertIsNone(f.error)
        self.assertEqual(f.messages, [0, 1])
        self.assertEqual(len(calls), 1)

    def test_after_stop_in_the_same_callback_are_kept(self):
        def on_message(n):
            f.stop()
            raise ValueError(n)

        f = Foo(ONCE, on_message)
        with caught_hooks() as calls:
            f.start()
            f.stop()
        self.assertEqual([call.exc_value for call in calls], [f.error])

    def test_of_the_hook_itself_go_to_unraisablehook(self):
        def hook(arguments):
            raise LookupError("in the hook")

        unraisable = []
        f = Foo(ONCE, raise_at(0))
        with (
            mock.patch.object(threading, "excepthook", hook),
            mock.patch.object(sys, "unraisablehook", lambda it: unraisable.append(it.exc_value)),
            Foo(0.001, None) as other,
        ):
            f.start()
            f.stop()
            self.assertTrue(other.wait(len(other) + 3, PATIENCE))
        self.assertEqual([str(each) for each in unraisable], ["in the hook"])
        self.assertIsInstance(f.error, ValueError)

    def test_system_exit_is_silent(self):
        f = Foo(ONCE, lambda n: sys.exit(3))
        with contextlib.redirect_stderr(io.StringIO()) as err:
            f.start()
            f.stop()
        self.assertEqual(err.getvalue(), "")
        self.assertIsInstance(f.error, SystemExit)
        self.assertEqual(f.error.code, 3)
        self.assertFalse(f.running)

    def test_keyboard_interrupt_ends_that_foo_only(self):
        def on_message(n):
            raise KeyboardInterrupt

        with caught_hooks() as calls, Foo(0.001, None) as other:
            f = Foo(ONCE, on_message)
            f.start()
            f.stop()
            self.assertTrue(other.wait(len(other) + 3, PATIENCE))
        self.assertIs(calls[0].exc_type, KeyboardInterrupt)
        self.assertIsInstance(f.error, KeyboardInterrupt)

    def test_the_hook_may_restart_the_foo(self):
        f = Foo(0.001, raise_at(2))
        with mock.patch.object(threading, "excepthook", lambda arguments: f.start()):
            f.start()
            while not f.wait(6, PATIENCE):
                self.assertIsNone(f.error)  # the wait was for the run that failed
            self.assertTrue(f.running)
            f.stop()
        self.assertEqual(f.messages, numbers(len(f)))

    def test_the_hook_may_wait_for_another_foo(self):
        results = []

        def hook(arguments):
            results.append(other.wait(len(other) + 10, PATIENCE))

        with (
            mock.patch.object(threading, "excepthook", hook),
            Foo(0.001, None) as other,
            Foo(ONCE, raise_at(0)) as f,
        ):
            f.stop()
        self.assertEqual(results, [True])


class Independence(unittest.TestCase):
    def test_a_callback_that_blocks_does_not_hold_up_another_foo(self):
        ticked, results = threading.Event(), []
        with Foo(ONCE, lambda n: results.append(ticked.wait(PATIENCE))) as blocked:
            other = Foo(0.001, lambda n: ticked.set() if n == 20 else None)
            other.start()
            self.assertTrue(blocked.wait(1, PATIENCE))
            other.stop()
        self.assertEqual(results, [True])

    def test_callbacks_that_block_do_not_hold_up_many_foos(self):
        ticked, results = threading.Event(), []
        blocked = [Foo(ONCE, lambda n: results.append(ticked.wait(PATIENCE))) for _ in range(8)]
        others = [Foo(0.005, None) for _ in range(200)]
        for f in blocked + others:
            f.start()
        self.assertTrue(all(f.wait(10, PATIENCE) for f in others))
        self.assertEqual(results, [])
        ticked.set()
        for f in blocked + others:
            f.stop()
        self.assertEqual(results, [True] * len(blocked))
        for f in others:
            self.assertEqual(f.messages, numbers(len(f)))

    def test_a_foo_whose_callback_blocks_delivers_what_fell_due_meanwhile(self):
        leave = threading.Event()
        f = Foo(0.001, lambda n: leave.wait(PATIENCE))
        before = time.monotonic_ns()
        f.start()
        after = time.monotonic_ns()
        let_pass(50)
        leave.set()
        before_stop = time.monotonic_ns()
        f.stop()
        self.assertGreaterEqual(len(f), (before_stop - after - 10_000) // 1_000_000 + 1)
        self.assertLessEqual(len(f), (time.monotonic_ns() - before) // 1_000_000 + 1)

    def test_a_finalizer_that_blocks_does_not_hold_up_another_foo(self):
        class Callback:
            def __call__(self, n):
                started.wait(PATIENCE)
                holder.clear()

            def __del__(self):
                results.append(ticked.wait(1))
                ended.set()

        started, ticked, ended, results = *(threading.Event() for _ in range(3)), []
        holder = [Foo(ONCE, Callback())]
        with Foo(0.001, lambda n: ticked.set() if not holder else None):
            holder[0].start()
            started.set()
            self.assertTrue(ended.wait(PATIENCE))
        self.assertEqual(results, [True])


class Dropping(unittest.TestCase):
    def test_the_last_reference_stops_it_and_frees_what_it_held(self):
        calls = []
        callback = Called(lambda: calls.append(1))
        f = Foo(0.0001, callback)
        f.messages.append(Called())
        freed = [weakref.ref(f), weakref.ref(callback), weakref.ref(f.messages[0])]
        f.start()
        self.assertTrue(f.wait(4, PATIENCE))
        del f, callback
        count = len(calls)
        self.assertEqual([each() for each in freed], [None] * 3)
        let_pass(20)
        self.assertEqual(len(calls), count)

    def test_one_that_was_never_started(self):
        callback = Called()
        freed = weakref.ref(callback)
        Foo(ONCE, callback)
        del callback
        self.assertIsNone(freed())

    def test_in_its_own_callback(self):
        calls, started, freed = [], threading.Event(), threading.Event()

        def drop():
            calls.append(started.wait(PATIENCE))
            holder.clear()

        callback = Called(drop)
        weakref.finalize(callback, freed.set)
        holder = [Foo(1e-6, callback)]
        del callback
        holder[0].start()
        started.set()  # the call's own reference is gone
        self.assertTrue(freed.wait(PATIENCE))
        self.assertEqual(calls, [True])

    def test_in_another_foos_callback(self):
        callback = Called()
        freed = weakref.ref(callback)
        holder = [Foo(0.001, callback)]
        del callback
        holder[0].start()
        with Foo(ONCE, lambda n: holder.clear()) as other:
            self.assertTrue(other.wait(1, PATIENCE))
        self.assertIsNone(other.error)
        self.assertIsNone(freed())

    def test_does_not_wait_for_its_callback_in_another_thread(self):
        entered, dropped, overtaken = threading.Event(), threading.Event(), []
        left = threading.Event()

        def on_message(n):
            entered.set()
            overtaken.append(dropped.wait(PATIENCE))
            left.set()

        f = Foo(ONCE, on_message)
        f.start()
        self.assertTrue(entered.wait(PATIENCE))
        del f
        dropped.set()
        self.assertTrue(left.wait(PATIENCE))
        self.assertEqual(overtaken, [True])

    def test_what_it_owes_is_not_delivered(self):
        calls = []
        f = Foo(0.001, calls.append)
        f.start()
        self.assertTrue(f.wait(1, PATIENCE))
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(PATIENCE)  # so that nobody else gets the GIL
        count, end = len(calls), time.monotonic() + 0.02
        while time.monotonic() < end:
            pass
        del f
        sys.setswitchinterval(1e-6)
        let_pass(20)
        self.assertEqual(len(calls), count)

    def test_two_foos_drop_each_other_in_their_callbacks(self):
        started, freed = threading.Barrier(3), threading.Semaphore(0)

        def callback(other):
            def drop():
                started.wait(PATIENCE)
                holders[other].clear()

            made = Called(drop)
            weakref.finalize(made, freed.release)
            return made

        holders = [[Foo(ONCE, callback(1))], [Foo(ONCE, callback(0))]]
        for holder in holders:
            holder[0].start()
        started.wait(PATIENCE)
        for _ in holders:
            self.assertTrue(freed.acquire(timeout=PATIENCE))

    def test_a_waiting_thread_keeps_it(self):
        in_wait, results = Announced(), []
        holder = [Foo(0.001, None)]
        holder[0].start()
        waiter = threading.Thread(target=lambda: results.append(holder[0].wait(50, in_wait)))
        waiter.start()
        self.assertTrue(in_wait.taken.wait(PATIENCE))
        holder.clear()
        waiter.join(PATIENCE)
        self.assertEqual(results, [True])


class Collection(unittest.TestCase):
    """A Foo that only a reference cycle refers to goes when Python's collector finds it."""

    def is_collected(self, made):
        """Whether the cycle goes that made() returns an object of.

        A weak reference does not tell: the collector clears it before it takes anything apart.
        """

        def foos():
            return sum(issubclass(type(each), Foo) for each in gc.get_objects())

        before = foos()
        known = made()
        self.assertEqual(foos(), before + 1)
        del known
        self.assertEqual(foos(), before + 1)
        gc.collect()
        self.assertEqual(foos(), before)

    def setUp(self):
        gc.disable()
        self.addCleanup(gc.enable)
        gc.collect()

    def test_that_was_never_started(self):
        self.is_collected(Holder)

    def test_that_has_stopped(self):
        def made():
            holder = Holder()
            with holder.foo:
                self.assertTrue(holder.foo.wait(1, PATIENCE))
            return holder

        self.is_collected(made)

    def test_that_runs_is_stopped_first(self):
        calls = []

        def made():
            holder = Holder(calls)
            holder.foo.start()
            self.assertTrue(holder.foo.wait(3, PATIENCE))
            return holder

        self.is_collected(made)
        self.assertEqual(calls, numbers(len(calls)))  # never called while it was taken apart
        count = len(calls)
        let_pass(20)
        self.assertEqual(len(calls), count)

    def test_through_its_messages(self):
        def made():
            holder = Holder()
            holder.foo = Foo(ONCE, None)
            holder.foo.messages.append(holder)
            return holder

        self.is_collected(made)

    def test_through_its_error(self):
        def made():
            holder = Holder()

            def fail(n):
                error = ValueError(n)
                error.holder = holder
                raise error

            holder.foo = Foo(ONCE, fail)
            with mock.patch.object(threading, "excepthook"):
                holder.foo.start()
                self.assertFalse(holder.foo.wait(2, PATIENCE))
            self.assertIsInstance(holder.foo.error, ValueError)
            return holder

        self.is_collected(made)

    def test_through_its_attributes(self):
        class Named(Foo):
            pass

        def made():
            foo = Named(ONCE, None)
            foo.itself = foo
            return foo

        self.is_collected(made)

    def test_through_its_own_method(self):
        class Counting(Foo):
            def __init__(self):
                super().__init__(ONCE, self.count)

            def count(self, n):
                pass

        self.is_collected(Counting)

    def test_that_is_behind_is_not_served_any_more(self):
        holder, calls = Holder(), []
        holder.calls = calls
        with mock.patch.object(threading, "excepthook") as excepthook:
            holder.foo.start()
            self.assertTrue(holder.foo.wait(1, PATIENCE))
            self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(PATIENCE)
            count, end = len(calls), time.monotonic() + 0.02
            while time.monotonic() < end:
                pass
            del holder
            gc.collect()
            sys.setswitchinterval(1e-6)
            let_pass(20)
        excepthook.assert_not_called()
        self.assertEqual(len(calls), count)

    def test_of_a_subclass_with_a_finalizer_cuts_it_before_anything_is_cleared(self):
        calls, seen = [], []

        class Sub(Foo):
            def __del__(self):
                seen.append(self.holder.name)

        class Holds:
            name = "class"

            def __init__(self):
                self.name = "own"
                self.foo = Sub(0.0001, self.call)
                self.foo.holder = self

            def call(self, n):
                calls.append(self.name)

        with mock.patch.object(threading, "excepthook") as excepthook:
            for _ in range(50):
                holder = Holds()
                holder.foo.start()
                self.assertTrue(holder.foo.wait(1, PATIENCE))
                del holder
                gc.collect()
                count = len(calls)
                let_pass(1)
                self.assertEqual(len(calls), count)
        excepthook.assert_not_called()
        self.assertEqual(set(calls), {"own"})
        self.assertEqual(seen, ["own"] * 50)

    def test_does_not_wait_for_a_callback_that_wants_a_lock_which_is_held(self):
        lock = threading.Lock()

        class Locks:
            def __init__(self):
                self.foo = Foo(0.001, self.take)
                self.foo.start()

            def take(self, n):
                with lock:
                    pass

        for _ in range(20):
            holder = Locks()
            self.assertTrue(holder.foo.wait(1, PATIENCE))
            known = weakref.ref(holder)
            self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(PATIENCE)
            with lock:
                end = time.monotonic() + 0.005  # so that messages are owed
                while time.monotonic() < end:
                    pass
                del holder
                gc.collect()
                self.assertIsNone(known())

    def test_is_told_of_again_after_a_finalizer_has_kept_it_alive(self):
        kept = []

        class Sub(Foo):
            def __del__(self):
                kept.append(self)

        class Holds:
            def __init__(self):
                self.foo = Sub(0.001, self.call)
                self.foo.holder = self
                self.calls = 0

            def call(self, n):
                self.calls += 1

        holder = Holds()
        holder.foo.start()
        self.assertTrue(holder.foo.wait(1, PATIENCE))
        known = weakref.ref(holder)
        del holder
        gc.collect()
        self.assertFalse(kept[0].running)
        kept[0].start()
        self.assertTrue(kept[0].wait(len(kept[0]) + 3, PATIENCE))
        with mock.patch.object(threading, "excepthook") as excepthook:
            kept.clear()
            gc.collect()
            let_pass(20)
        excepthook.assert_not_called()
        self.assertIsNone(known())

    def test_is_not_of_one_that_somebody_knows(self):
        holder = Holder()
        foo = holder.foo
        del holder
        with foo:
            gc.collect()
            self.assertTrue(foo.wait(1, PATIENCE))
        self.assertIsNone(foo.error)


class CtrlC(unittest.TestCase):
    """It ends a wait for an on_message that does not return; the Foo ends when that does."""

    def setUp(self):
        self.entered, self.leave = threading.Event(), threading.Event()
        self.addCleanup(self.leave.set)
        self.left = []
        self.foo = Foo(ONCE, self.block)
        self.foo.start()
        self.assertTrue(self.entered.wait(PATIENCE))

    def block(self, n):
        self.entered.set()
        self.left.append(self.leave.wait(PATIENCE))

    def interrupt_once_stopping(self):
        def interrupt():
            while self.foo.running:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()

    def ends(self):
        self.assertEqual(self.left, [])
        self.assertFalse(self.foo.running)
        self.leave.set()
        self.foo.stop()
        self.assertEqual((self.left, self.foo.messages), ([True], [0]))

    def test_of_stop(self):
        self.interrupt_once_stopping()
        with self.assertRaises(KeyboardInterrupt):
            self.foo.stop()
        self.ends()

    def test_at_the_end_of_a_with_statement(self):
        foo, self.foo = self.foo, Foo(ONCE, self.block)
        self.leave.set()
        foo.stop()
        self.leave.clear()
        self.entered.clear()
        self.left.clear()
        with self.assertRaises(KeyboardInterrupt), self.foo:
            self.assertTrue(self.entered.wait(PATIENCE))
            self.interrupt_once_stopping()
        self.ends()

    def test_of_a_drop_is_for_what_comes_after_it(self):
        with self.assertRaises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
            del self.foo
            self.leave.wait(0)  # the interpreter looks for signals after a call
        self.assertEqual(self.left, [])


if __name__ == "__main__":
    unittest.main()
