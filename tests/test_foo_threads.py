"""Foo and the GIL, from Python: storms of threads, busy interpreters, garbage and forks."""

import contextlib
import gc
import random
import resource
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
import unittest
import weakref
from unittest import mock

from event_loops import wait_until
from Foo import Foo

PATIENCE = 10.0  # seconds until a test that hangs fails


def numbers(count):
    return list(range(count))


def keep_busy(seconds):
    """Runs Python code, and counts its rounds."""
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        rounds += 1
    return rounds


def all_at_once(*functions):
    """Calls each in a thread of its own, begun together; raises the first error of any."""
    errors = []
    together = threading.Barrier(len(functions))

    def run(function):
        try:
            together.wait(PATIENCE)
            function()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class Ticks:
    """A Foo of 1 ms that knows how many messages the clock allows and demands of it."""

    def __init__(self, on_message=None):
        self.foo = Foo(0.001, on_message)
        self.before_start = time.monotonic_ns()
        self.foo.start()
        self.after_start = time.monotonic_ns()

    def stop(self):
        """Returns (least, count, most)."""
        interval, leeway = 1_000_000, 10_000  # nanoseconds
        before_stop = time.monotonic_ns()
        self.foo.stop()
        return (
            (before_stop - self.after_start - leeway) // interval + 1,
            len(self.foo),
            (time.monotonic_ns() - self.before_start) // interval + 1,
        )


class BusyPython(unittest.TestCase):
    def test_two_hundred_stops_after_a_busy_spell(self):
        for _ in range(200):
            ticks = Ticks()
            keep_busy(0.02)
            least, count, most = ticks.stop()
            self.assertTrue(least <= count <= most, (least, count, most))
            self.assertEqual(ticks.foo.messages, numbers(count))

    def test_two_hundred_stops_after_a_busy_spell_with_a_callback(self):
        for _ in range(200):
            calls = []
            with Foo(0.001, calls.append) as f:
                keep_busy(0.02)
            self.assertEqual(f.messages, numbers(len(f)))
            self.assertEqual(calls, f.messages)
            self.assertGreaterEqual(len(f), 20)

    def test_a_busy_main_thread_costs_no_message(self):
        ticks = Ticks()
        keep_busy(0.5)
        least, count, most = ticks.stop()
        self.assertGreaterEqual(count, least)
        self.assertLessEqual(count, most)

    def test_a_busy_main_thread_does_not_keep_messages_out(self):
        with Foo(0.001, None) as f:
            end = time.monotonic() + PATIENCE
            while len(f) < 200:
                self.assertLess(time.monotonic(), end)

    def test_busy_python_threads_cost_no_message(self):
        ticks = Ticks(lambda n: None)
        all_at_once(*[lambda: keep_busy(0.5)] * 3)
        least, count, most = ticks.stop()
        self.assertGreaterEqual(count, least)
        self.assertLessEqual(count, most)

    def test_a_long_hold_of_the_gil_costs_no_message(self):
        old = sys.getswitchinterval()
        self.addCleanup(sys.setswitchinterval, old)
        sys.setswitchinterval(PATIENCE)
        ticks = Ticks()
        keep_busy(0.2)
        sys.setswitchinterval(old)
        least, count, most = ticks.stop()
        self.assertGreaterEqual(count, least)
        self.assertLessEqual(count, most)

    def test_the_main_thread_makes_progress_beside_a_foo_that_is_always_due(self):
        for on_message in (None, lambda n: None):
            f = Foo(1e-9, on_message)
            f.start()
            for _ in range(100_000):
                if len(f.messages) > 100_000:
                    f.messages.clear()
            self.assertTrue(f.running)
            f.stop()
            self.assertEqual(f.messages, numbers(len(f)))

    def test_a_foo_that_is_always_due_takes_bounded_memory_when_cleared(self):
        f = Foo(1e-9, None)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        end = time.monotonic() + 0.5
        f.start()
        while time.monotonic() < end:
            f.messages.clear()
        f.stop()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        self.assertLess(grown, 512 * 1024)  # kilobytes

    def test_other_foos_are_served_beside_one_that_is_always_due(self):
        f = Foo(1e-9, lambda n: f.messages.clear())
        with f, Foo(0.001, None) as other:
            self.assertTrue(other.wait(50, PATIENCE))
        self.assertEqual(other.messages, numbers(len(other)))

    def test_a_switch_at_every_chance(self):
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1e-6)
        calls = []
        with Foo(0.0001, calls.append) as f:
            keep_busy(0.2)
        self.assertEqual(f.messages, numbers(len(f)))
        self.assertEqual(calls, f.messages)


class Storms(unittest.TestCase):
    def test_start_and_stop_of_one_foo_from_several_threads(self):
        for on_message in (None, lambda n: None):
            f = Foo(0.0001, on_message)

            def start_and_stop(f=f):
                for _ in range(200):
                    try:
                        f.start()
                    except RuntimeError as error:
                        if "running" not in str(error):
                            raise
                    f.stop()

            all_at_once(*[start_and_stop] * 4)
            self.assertFalse(f.running)
            self.assertIsNone(f.error)
            self.assertGreaterEqual(len(f), 1)
            self.assertEqual(f.messages, numbers(len(f)))

    def test_each_start_that_succeeds_delivers_one_message_at_most(self):
        f = Foo(3600.0, None)  # a run that is stopped before the last one's end delivers none
        successes = []

        def start_and_stop():
            for _ in range(200):
                try:
                    f.start()
                except RuntimeError:
                    continue
                successes.append(1)
                f.stop()

        all_at_once(*[start_and_stop] * 4)
        self.assertTrue(1 <= len(f) <= len(successes), (len(f), len(successes)))
        self.assertEqual(f.messages, numbers(len(f)))

    def test_start_and_stop_of_many_foos_from_several_threads(self):
        calls = [[] for _ in range(50)]
        foos = [Foo(0.0005, each.append) for each in calls]

        def start_and_stop(seed):
            shuffled = random.Random(seed)
            for _ in range(300):
                f = shuffled.choice(foos)
                try:
                    f.start()
                except RuntimeError:
                    f.stop()

        all_at_once(*[lambda seed=seed: start_and_stop(seed) for seed in range(4)])
        for f, seen in zip(foos, calls, strict=True):
            f.stop()
            self.assertFalse(f.running)
            self.assertEqual(f.messages, numbers(len(f)))
            self.assertEqual(seen, f.messages)

    def test_stop_while_another_thread_waits(self):
        for _ in range(100):
            f = Foo(0.001, None)
            f.start()
            results = []
            all_at_once(lambda f=f, results=results: results.append(f.wait(10**9)), f.stop)
            self.assertEqual(results, [False])

    def test_a_start_that_is_refused_does_not_lose_the_error(self):
        def on_message(n):
            raise ValueError(n)

        with mock.patch.object(threading, "excepthook", lambda arguments: None):
            for _ in range(1000):
                f = Foo(1e-6, on_message)
                f.start()
                while f.running:
                    with contextlib.suppress(RuntimeError):
                        f.start()
                f.stop()
                self.assertIsInstance(f.error, ValueError)

    def test_reading_from_several_threads_while_it_ticks(self):
        with Foo(1e-5, lambda n: None) as f:

            def read():
                for _ in range(500):
                    count = len(f)
                    self.assertTrue(f.running)
                    self.assertRegex(repr(f), r"^<Foo\.Foo interval=1e-05 running messages=\d+>$")
                    if count > 0:
                        self.assertEqual(f.messages[count - 1], count - 1)

            all_at_once(*[read] * 4)
            self.assertIsNone(f.error)

    def test_foos_are_made_run_and_dropped_in_several_threads(self):
        callbacks = weakref.WeakSet()

        class Callback:
            def __call__(self, n):
                pass

        def make_and_drop():
            for _ in range(50):
                callback = Callback()
                callbacks.add(callback)
                f = Foo(0.0005, callback)
                f.start()
                f.wait(2, PATIENCE)

        all_at_once(*[make_and_drop] * 4)
        if sysconfig.get_config_var("Py_GIL_DISABLED"):  # a callback that has begun goes on
            wait_until(lambda: not callbacks, PATIENCE)
        self.assertEqual(len(callbacks), 0)

    def test_callbacks_that_raise_end_their_own_foos_only(self):
        called = threading.Semaphore(0)

        def on_message(n):
            if n == 3:
                raise ValueError(n)

        with (
            mock.patch.object(threading, "excepthook", lambda arguments: called.release()),
            Foo(0.001, None) as other,
        ):
            foos = [Foo(0.001, on_message) for _ in range(200)]
            for f in foos:
                f.start()
            for _ in foos:
                self.assertTrue(called.acquire(timeout=PATIENCE))
            self.assertTrue(other.wait(len(other) + 10, PATIENCE))
        for f in foos:
            f.stop()
            self.assertEqual(f.messages, numbers(4))
            self.assertIsInstance(f.error, ValueError)
        self.assertEqual(other.messages, numbers(len(other)))

    def test_callbacks_start_and_stop_each_others_foos(self):
        chosen, over, foos = random.Random(0), threading.Event(), []

        def start_or_stop(f):
            try:
                f.start()
            except RuntimeError:
                f.stop()

        def on_message(n):
            if not over.is_set():
                start_or_stop(chosen.choice(foos))

        foos += [Foo(0.001, on_message) for _ in range(20)]
        with Foo(0.001, None) as clock:
            for tick in range(300):
                start_or_stop(foos[tick % len(foos)])
                self.assertTrue(clock.wait(tick, PATIENCE))
        over.set()
        for f in (
            foos * 2
        ):  # a callback that was in progress in the first round may have started one
            f.stop()
        for f in foos:
            self.assertIsNone(f.error)
            self.assertEqual(f.messages, numbers(len(f)))


def start_in_cycles(count):
    """Running Foos to which only cycles of their own refer; their callbacks, weakly."""

    class Callback:
        def __call__(self, n):
            pass

    callbacks = weakref.WeakSet()
    for _ in range(count):
        callback = Callback()
        callbacks.add(callback)
        cycle = [Foo(0.0005, callback)]
        cycle.append(cycle)
        cycle[0].start()
    return callbacks


class Garbage(unittest.TestCase):
    def test_collecting_while_foos_run(self):
        def on_message(n):
            cycle = [n]
            cycle.append(cycle)

        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(10)
        foos = [Foo(0.001, on_message) for _ in range(50)]
        for f in foos:
            f.start()
        for _ in range(30):
            gc.collect()
        for f in foos:
            self.assertTrue(f.wait(5, PATIENCE))
            f.stop()
            self.assertIsNone(f.error)
            self.assertEqual(f.messages, numbers(len(f)))

    def test_running_foos_are_stopped_by_the_collector(self):
        gc.disable()
        self.addCleanup(gc.enable)
        callbacks = start_in_cycles(100)
        self.assertEqual(len(callbacks), 100)
        gc.collect()
        self.assertEqual(len(callbacks), 0)

    def test_running_foos_are_stopped_by_a_collection_in_a_callback(self):
        gc.disable()
        self.addCleanup(gc.enable)
        callbacks = start_in_cycles(20)
        with Foo(3600.0, lambda n: gc.collect()) as f:
            self.assertTrue(f.wait(1, PATIENCE))
        self.assertIsNone(f.error)
        self.assertEqual(len(callbacks), 0)


class FirstUse(unittest.TestCase):
    """What is made at the first use is made once, by whichever thread, and not by halves."""

    def succeeds(self, script, *options, times=3):
        """In processes of its own, as a first use comes once in each."""
        for _ in range(times):
            done = subprocess.run(
                [sys.executable, *options, "-c", textwrap.dedent(script)],
                capture_output=True,
                text=True,
                timeout=4 * PATIENCE,
                check=False,
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_of_asyncio_from_several_threads_at_once(self):
        """One imports asyncio, which releases the GIL; the others wait for it without the GIL."""
        for options in (), ("-W", "error"):
            self.succeeds(
                """
                import threading
                from Foo import Foo
                foo, together, done = Foo(3600, None), threading.Barrier(4), []
                def use(first):
                    together.wait()
                    try:
                        first()
                    except RuntimeError as error:
                        assert "event loop" in str(error), error
                    done.append(first)
                ways = [foo.__aiter__, lambda: foo.wait_async(1)] * 2
                threads = [threading.Thread(target=use, args=[way]) for way in ways]
                for each in threads: each.start()
                for each in threads: each.join()
                assert len(done) == 4
                """,
                *options,
            )

    def test_of_asyncio_that_failed_may_be_tried_again(self):
        """Nothing of the first attempt is in the way of the second, also where warnings raise."""
        for options in (), ("-W", "error"):
            self.succeeds(
                """
                import sys
                from Foo import Foo
                foo = Foo(0.001, None)
                sys.modules["asyncio"] = None
                for _ in range(2):
                    try:
                        foo.__aiter__()
                    except ImportError:
                        continue
                    raise AssertionError("asyncio was not needed")
                del sys.modules["asyncio"]
                import asyncio
                async def main():
                    with foo:
                        assert await foo.wait_async(2)
                        async for n in foo: break
                asyncio.run(main())
                """,
                *options,
            )

    def test_of_the_module_from_several_threads_at_once(self):
        """All get the same class, and it works."""
        self.succeeds(
            """
            import threading
            together, classes = threading.Barrier(8), []
            def use():
                together.wait()
                from Foo import Foo
                with Foo(0.001, None) as foo: assert foo.wait(2, 20)
                classes.append(Foo)
            threads = [threading.Thread(target=use) for _ in range(8)]
            for each in threads: each.start()
            for each in threads: each.join()
            assert len(classes) == 8 and len(set(classes)) == 1, classes
            """
        )


class Forks(unittest.TestCase):
    def test_beside_fork_hooks_that_were_there_before_foo(self):
        script = (
            "import logging, os, time, warnings\n"  # logging's hooks are Python code
            "from Foo import Foo\n"
            "warnings.simplefilter('ignore', DeprecationWarning)\n"
            "foos = [Foo(0.001, lambda n: None) for _ in range(4)]\n"
            "for f in foos:\n"
            "    f.start()\n"
            "for _ in range(200):\n"
            "    end = time.monotonic() + 0.006\n"  # longer than the switch interval
            "    while time.monotonic() < end:\n"
            "        pass\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        os._exit(0)\n"
            "    os.waitpid(child, 0)\n"
            "for f in foos:\n"
            "    f.stop()\n"
            "    assert f.messages == list(range(len(f)))\n"
        )
        done = subprocess.run([sys.executable, "-c", script], timeout=2 * PATIENCE, check=False)
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    unittest.main()
