"""Results of native threads that Python awaits, and coroutines that native threads ask a loop for.

Run by the host and by the stock interpreter.
"""

import asyncio
import concurrent.futures
import errno
import functools
import gc
import os
import queue
import sys
import threading
import traceback
import unittest
import weakref

import awaitables
import event_loops
from event_loops import descriptors, until, uvloop
from host import environment, finish, start

PATIENCE = 20.0 * int(os.environ.get("HANDOFF_PATIENCE", "1"))  # until a test that hangs fails


def wait_until(condition):
    event_loops.wait_until(condition, PATIENCE)


class BesideBusyPython(event_loops.BesideBusyPython):
    patience = PATIENCE


class InALoop(BesideBusyPython):
    def test_a_result_is_an_asyncio_future(self):
        async def main():
            future = awaitables.square(7)
            self.assertIsInstance(future, asyncio.Future)
            self.assertIs(future.get_loop(), asyncio.get_running_loop())
            return await future, await awaitables.nothing()

        self.assertEqual(self.within(main()), (49, None))

    def test_is_converted_with_the_gil_in_the_thread_of_the_loop(self):
        async def main():
            return await awaitables.converted()

        self.assertEqual(self.within(main()), threading.get_ident())

    def test_what_cannot_be_converted_is_an_error_and_others_come(self):
        async def main():
            futures = awaitables.not_converted(), awaitables.square(2)
            return await asyncio.gather(*futures, return_exceptions=True)

        error, four = self.within(main())
        self.assertIsInstance(error, TypeError)
        self.assertIn("unconvertible", str(error))
        self.assertEqual(four, 4)

    def test_gather_of_a_thousand(self):
        async def main():
            return await asyncio.gather(*awaitables.many(1000))

        self.assertEqual(self.within(main()), [*range(1000)])

    def test_a_task_group(self):
        async def square(of):
            return await awaitables.square(of)

        async def main():
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(square(each)) for each in range(10)]
            return [each.result() for each in tasks]

        self.assertEqual(self.within(main()), [each * each for each in range(10)])

    def test_a_timeout_asks_the_native_thread_to_stop(self):
        async def main():
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await awaitables.until_stopped()
            await until(lambda: awaitables.running() == 0)

        self.within(main())

    def test_a_failing_task_group_asks_the_others_to_stop(self):
        async def stopped():
            return await awaitables.until_stopped()

        async def main():
            with self.assertRaises(ExceptionGroup) as raised:
                async with asyncio.TaskGroup() as group:
                    for _ in range(3):
                        group.create_task(stopped())
                    group.create_task(self.fail_awaiting())
            self.assertEqual([type(each) for each in raised.exception.exceptions], [ValueError])
            await until(lambda: awaitables.running() == 0)

        self.within(main())

    async def fail_awaiting(self):
        await awaitables.fail()

    def test_what_is_cancelled_in_the_middle_takes_nothing_from_the_others(self):
        hands = awaitables.Hands()

        async def main():
            futures = [hands.ask() for _ in range(100)]
            for each in futures[::2]:
                each.cancel()
            await until(lambda: hands.asked_to_stop() == 50)
            hands.give(5)
            return await asyncio.gather(*futures, return_exceptions=True)

        results = self.within(main())
        self.assertTrue(all(isinstance(each, asyncio.CancelledError) for each in results[::2]))
        self.assertEqual(results[1::2], [5] * 50)

    def test_two_futures_of_one_result_stop_it_when_both_are_cancelled(self):
        async def main():
            one, other = awaitables.twice()
            one.cancel()
            return await other

        self.assertEqual(self.within(main()), 1)

    def test_exceptions_are_what_boost_python_makes_of_them(self):
        async def main():
            with self.assertRaisesRegex(ValueError, "no such frequency: -1 Hz"):
                await awaitables.fail()
            with self.assertRaisesRegex(LookupError, "there is no such item"):
                await awaitables.fail_as_translated()

        self.within(main())

    def test_an_exception_of_python_is_the_same_with_its_traceback(self):
        error = KeyError("mine")

        def raise_it():
            raise error

        async def main():
            try:
                await awaitables.raised(raise_it)
            except KeyError as raised:
                self.assertIs(raised, error)
                frames = traceback.extract_tb(raised.__traceback__)
            self.assertIn("raise_it", [each.name for each in frames])
            self.assertNotIn("event_loop", "".join(each.filename for each in frames))

        self.within(main())

    def test_exceptions_that_a_future_cannot_hold(self):
        def stop():
            raise StopIteration(1)

        def cancel():
            raise asyncio.CancelledError

        async def main():
            with self.assertRaisesRegex(RuntimeError, r"raised StopIteration\(1\)"):
                await awaitables.raised(stop)
            with self.assertRaises(asyncio.CancelledError):
                await awaitables.raised(cancel)

        self.within(main())

    def test_a_broken_promise(self):
        hands = awaitables.Hands()

        async def main():
            future = hands.ask()
            hands.drop()
            with self.assertRaisesRegex(RuntimeError, "python_promise was destroyed"):
                await future
            with self.assertRaisesRegex(RuntimeError, "nobody will make this result"):
                await awaitables.by_handler_that_is_dropped()

        self.within(main())

    def test_a_completion_handler(self):
        async def main():
            self.assertEqual(await awaitables.by_handler(0), 7)
            with self.assertRaisesRegex(FileNotFoundError, os.strerror(errno.ENOENT)) as caught:
                await awaitables.by_handler(errno.ENOENT)
            self.assertEqual(caught.exception.errno, errno.ENOENT)

        self.within(main())

    def test_a_python_object_that_a_native_thread_holds(self):
        async def main():
            given = object()
            self.assertIs(await awaitables.the_same(given), given)

        self.within(main())

    def test_a_value_that_is_made_of_what_is_in_braces(self):
        async def main():
            return await awaitables.of_braces()

        self.assertEqual(self.within(main()), "ab")

    def test_what_a_debugger_shows_of_a_future_names_who_will_settle_it(self):
        async def main():
            future = awaitables.square(7)
            shown = repr(future)
            await future
            return shown

        self.assertRegex(self.within(main()), r"forget\(\) at <handoff>:\d+")

    def test_a_null_exception_is_a_success_only_where_there_is_no_value(self):
        async def main():
            self.assertIsNone(await awaitables.by_handler_of_success())
            with self.assertRaisesRegex(ValueError, "null std::exception_ptr: use set_value"):
                await awaitables.of_null_exception()

        self.within(main())

    def test_std_futures(self):
        async def main():
            self.assertEqual(await awaitables.from_future(), "from a future")
            self.assertIsNone(await awaitables.from_shared_future())
            with self.assertRaisesRegex(ValueError, "no such frequency"):
                await awaitables.from_failing_future()
            futures = awaitables.from_futures(200)
            self.assertEqual(await asyncio.gather(*futures), [*range(200)])

        self.within(main())

    def test_std_futures_that_never_would_be_ready_are_refused(self):
        with self.assertRaisesRegex(ValueError, "deferred std::future.*use std::launch::async"):
            awaitables.from_deferred_future()
        with self.assertRaisesRegex(RuntimeError, "No associated state"):
            awaitables.from_empty_future()

    def test_two_loops_at_once(self):
        def run(results):
            async def main():
                return await asyncio.gather(*(awaitables.square(each) for each in range(50)))

            results.append(self.within(main()))

        results = []
        threads = [threading.Thread(target=run, args=(results,)) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        self.assertEqual(results, [[each * each for each in range(50)]] * 2)

    def test_a_loop_that_is_closed_while_a_result_is_awaited(self):
        hands = awaitables.Hands()
        loop = self.new_loop()

        async def ask():
            return hands.ask()

        class Kept:
            pass

        kept = Kept()
        future = loop.run_until_complete(ask())
        future.add_done_callback(lambda _, kept=kept: None)
        loop.close()
        wait_until(lambda: hands.asked_to_stop() == 1)
        hands.give(1)  # nobody hears it
        self.assertFalse(future.done())
        gone = weakref.ref(kept)
        del future, kept
        gc.collect()
        self.assertIsNone(gone())

    def test_leaves_no_descriptor_and_no_future(self):
        def run():
            async def main():
                await awaitables.square(2)
                cancelled = awaitables.square(3)
                cancelled.cancel()

            self.within(main())

        run()
        gc.collect()
        before = descriptors()
        for _ in range(5):
            run()
        gc.collect()
        self.assertLessEqual(descriptors(), before)

    def test_what_is_awaited_is_dropped_when_it_is_there(self):
        class Kept:
            pass

        async def main():
            kept = Kept()
            gone = weakref.ref(kept)
            future = awaitables.square(2)
            future.add_done_callback(lambda _, kept=kept: None)
            del kept
            await future
            del future
            await asyncio.sleep(0)
            gc.disable()
            try:
                return gone() is None
            finally:
                gc.enable()

        self.assertTrue(self.within(main()))


@unittest.skipUnless(uvloop, "uvloop is not installed")
class InUvloop(InALoop):
    new_loop = staticmethod(uvloop.new_event_loop) if uvloop else None


class WithoutALoop(BesideBusyPython):
    def test_a_result_is_a_concurrent_future(self):
        future = awaitables.square(3)
        self.assertIsInstance(future, concurrent.futures.Future)
        self.assertEqual(future.result(PATIENCE), 9)
        self.assertIsNone(awaitables.nothing().result(PATIENCE))

    def test_is_converted_by_neither_this_nor_the_native_thread(self):
        by = {awaitables.converted().result(PATIENCE) for _ in range(3)}
        self.assertEqual(len(by), 1)
        self.assertNotIn(threading.get_ident(), by)

    def test_a_thousand(self):
        futures = awaitables.many(1000)
        done, pending = concurrent.futures.wait(futures, PATIENCE)
        self.assertEqual((len(done), len(pending)), (1000, 0))
        self.assertEqual([each.result() for each in futures], [*range(1000)])

    def test_exceptions(self):
        with self.assertRaisesRegex(ValueError, "no such frequency: -1 Hz"):
            awaitables.fail().result(PATIENCE)
        self.assertIsInstance(awaitables.fail_as_translated().exception(PATIENCE), LookupError)

    def test_cancelled(self):
        future = awaitables.until_stopped()
        self.assertTrue(future.cancel())
        wait_until(lambda: awaitables.running() == 0)
        self.assertTrue(future.cancelled())

    def test_a_callback_that_raises_does_not_stop_the_others(self):
        hands = awaitables.Hands()
        first, second = hands.ask(), hands.ask()
        called = []
        with self.assertLogs("concurrent.futures", "ERROR"):  # as concurrent.futures itself
            first.add_done_callback(lambda _: called.append(1) or 1 / 0)
            hands.give(1)
            self.assertEqual(second.result(PATIENCE), 1)
        self.assertEqual(called, [1])

    def test_is_awaited_in_a_loop_later(self):
        future = awaitables.square(4)

        async def main():
            return await asyncio.wrap_future(future)

        self.assertEqual(self.within(main()), 16)


class RunningCoroutines(BesideBusyPython):
    def told(self, begin, *arguments):
        """What a native thread tells, as a coroutine."""
        said = asyncio.get_running_loop().create_future()

        def tell(text):
            said.get_loop().call_soon_threadsafe(said.set_result, text)

        begin(asyncio.get_running_loop(), *arguments, tell)
        return said

    def test_a_native_thread_gets_the_result(self):
        async def double(of):
            await asyncio.sleep(0)
            return 2 * of

        async def main():
            self.assertEqual(await self.told(awaitables.run_int, double, 21), "42")
            self.assertEqual(await self.told(awaitables.run_void, double(1)), "nothing")

        self.within(main())

    def test_a_native_thread_gets_the_exception(self):
        async def fail(of):
            raise ValueError(f"no {of}")

        async def text(_):
            return "text"

        async def large(_):
            return 1 << 40

        def no_coroutine(_):
            return 5

        async def main():
            run = functools.partial(self.told, awaitables.run_int)
            self.assertEqual(await run(fail, 3), "ValueError: no 3")
            self.assertRegex(await run(text, 1), "^TypeError: .* int .* str")
            self.assertRegex(await run(large, 1), "^OverflowError|bad numeric|overflow")
            self.assertRegex(await run(no_coroutine, 1), "^TypeError: ")
            self.assertRegex(await run(fail.__name__, 1), "^TypeError: ")

        self.within(main())

    def test_a_thousand_from_many_threads(self):
        async def double(of):
            return 2 * of

        async def main():
            runs = (self.told(awaitables.run_int, double, each) for each in range(200))
            return await asyncio.gather(*runs)

        self.assertEqual(self.within(main()), [str(2 * each) for each in range(200)])

    def test_the_coroutine_is_cancelled_in_python(self):
        async def wait(_):
            tasks.append(asyncio.current_task())
            await asyncio.Event().wait()

        async def main():
            said = self.told(awaitables.run_int, wait, 1)
            await until(lambda: tasks)
            tasks[0].cancel()
            return await said

        tasks = []
        self.assertRegex(self.within(main()), "CancelledError")

    def test_the_coroutine_is_cancelled_by_a_stop_token(self):
        async def wait():
            started.append(1)
            try:
                await asyncio.Event().wait()
            finally:
                started.append(2)

        async def main():
            loop = awaitables.Loop(asyncio.get_running_loop())
            said = asyncio.get_running_loop().create_future()
            set_result = functools.partial(
                asyncio.get_running_loop().call_soon_threadsafe, said.set_result
            )
            loop.start(wait, set_result)
            await until(lambda: started)
            loop.stop()
            return await said

        started = []
        self.assertRegex(self.within(main()), "CancelledError")
        self.assertEqual(started, [1, 2])

    def test_in_a_loop_of_another_thread_before_it_runs(self):
        async def here():
            return threading.get_ident()

        async def main():
            await over.wait()

        async def say():
            over.set()

        async def small():
            return 1 + (await here() == thread.ident)

        loop = self.new_loop()
        over = asyncio.Event()
        kept = awaitables.Loop(loop)
        thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
        thread.start()
        self.assertEqual(kept.run(small), "2")
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
        self.assertRegex(kept.run(small), "loop of Python .* is closed")

    def test_a_loop_that_is_closed_while_the_coroutine_runs(self):
        async def wait():
            started.set()
            await asyncio.Event().wait()

        async def main():
            kept.start(wait, said.put)
            await until(started.is_set)

        started, said = threading.Event(), queue.Queue()
        loop = self.new_loop()
        kept = awaitables.Loop(loop)
        loop.set_exception_handler(lambda *_: None)  # the task is destroyed while it is pending
        loop.run_until_complete(main())
        loop.close()
        gc.collect()
        self.assertRegex(said.get(timeout=PATIENCE), "is closed")

    def test_a_loop_that_is_closed_after_a_coroutine_could_not_be_started(self):
        """Its error, which the native thread may keep, leads to nothing that the loop has."""

        def fail():
            raise ValueError("not today")

        async def main():
            for unfit in fail, lambda: None:
                kept.start(unfit, said.put)
                await until(lambda: not said.empty())
                said.get()
            kept.start(wait, ended.put)
            await until(started.is_set)

        async def wait():
            started.set()
            await asyncio.Event().wait()

        started, said, ended = threading.Event(), queue.Queue(), queue.Queue()
        loop = self.new_loop()
        kept = awaitables.Loop(loop)
        loop.set_exception_handler(lambda *_: None)  # the task is destroyed while it is pending
        loop.run_until_complete(main())
        loop.close()
        gc.collect()
        self.assertRegex(ended.get(timeout=PATIENCE), "is closed")

    def test_what_is_no_loop_is_refused(self):
        with self.assertRaisesRegex(TypeError, "not an event loop of asyncio: 5"):
            awaitables.Loop(5)
        loop = self.new_loop()
        loop.close()
        with self.assertRaisesRegex(RuntimeError, "closed"):
            awaitables.Loop(loop)

    def test_a_coroutine_of_cpp_awaits_two(self):
        async def double(of):
            return 2 * of

        async def main():
            return await self.told(awaitables.co_await_sum, double)

        self.assertEqual(self.within(main()), "6 without elsewhere")

    def test_a_coroutine_of_cpp_goes_on_when_the_loop_is_closed(self):
        async def wait():
            started.set()
            await asyncio.Event().wait()

        async def main():
            awaitables.co_await_one(asyncio.get_running_loop(), wait, said.put)
            await until(started.is_set)

        started, said = threading.Event(), queue.Queue()
        loop = self.new_loop()
        loop.set_exception_handler(lambda *_: None)
        loop.run_until_complete(main())
        loop.close()
        gc.collect()
        self.assertEqual(said.get(timeout=PATIENCE), "closed")


@unittest.skipUnless(uvloop, "uvloop is not installed")
class RunningCoroutinesInUvloop(RunningCoroutines):
    new_loop = staticmethod(uvloop.new_event_loop) if uvloop else None


class Processes(unittest.TestCase):
    """What ends the process, or forks it."""

    def outcome(self, script):
        path = os.pathsep.join(sys.path)
        return finish(start(sys.executable, "-c", script, env=environment(PYTHONPATH=path)))

    def test_exit_while_results_are_awaited(self):
        for loop in (True, False):
            script = f"""
import asyncio, awaitables, sys

async def main():
    global kept
    kept = [awaitables.until_stopped() for _ in range(5)] + awaitables.many(50)
    await asyncio.sleep(0.01)
    sys.exit(3)

def without():
    global kept
    kept = [awaitables.until_stopped() for _ in range(5)] + awaitables.many(50)
    sys.exit(3)

asyncio.run(main()) if {loop} else without()
"""
            with self.subTest(loop=loop):
                self.assertEqual(self.outcome(script), (3, "", ""))

    def test_exit_with_a_loop_that_goes_on_settles_a_coroutine_once(self):
        """An atexit function has its task end when it was said already that it will not."""
        script = """
import asyncio, atexit

def finish():
    loop.run_until_complete(asyncio.sleep(0.2))
    print(told)

atexit.register(finish)  # called after what was registered later: what event_loop.py registers
import awaitables
told = []

async def work(number):
    await asyncio.sleep(0.1)
    return number

async def begin():
    awaitables.run_int(loop, work, 7, told.append)
    await asyncio.sleep(0.03)

loop = asyncio.new_event_loop()
loop.run_until_complete(begin())
"""
        outcome = self.outcome(script)
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))
        # The callback may find Python's gate closed.
        self.assertRegex(outcome.stdout, r"^\[('the event loop [^']*')?\]\n$")

    def test_exit_asks_the_threads_of_all_who_were_first_to_stop(self):
        """Threads that come at the same moment share one reader, which is asked at exit."""
        script = """
import atexit, awaitables, threading, time

def look():
    while awaitables.running(): time.sleep(0.001)
    print("stopped")

atexit.register(look)
together, kept = threading.Barrier(8), []

def begin():
    together.wait()
    kept.append(awaitables.until_stopped())

threads = [threading.Thread(target=begin) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
"""
        for run in range(5):
            with self.subTest(run=run):
                self.assertEqual(self.outcome(script), (0, "stopped\n", ""))

    def test_exit_with_a_loop_that_is_not_closed_asks_the_threads_to_stop(self):
        script = """
import asyncio, atexit, awaitables, time

def look():
    while awaitables.running(): time.sleep(0.001)
    print("stopped")

atexit.register(look)  # called after what was registered later: what event_loop.py registers

async def main():
    return awaitables.until_stopped()

loop = asyncio.new_event_loop()
kept = loop.run_until_complete(main())
"""
        self.assertEqual(self.outcome(script), (0, "stopped\n", ""))

    def test_a_child_of_fork(self):
        script = """
import asyncio, awaitables, concurrent.futures, os, warnings
warnings.simplefilter("ignore", DeprecationWarning)

async def squares():
    return await asyncio.gather(*(awaitables.square(each) for each in range(5)))

hands = awaitables.Hands()
old = hands.ask()
assert awaitables.square(2).result(20) == 4

async def main():
    in_loop = hands.ask()
    child = os.fork()
    if child == 0:
        old.cancel()
        in_loop.cancel()
        del in_loop
        asyncio._set_running_loop(None)
        assert awaitables.square(3).result(20) == 9
        assert asyncio.run(squares()) == [0, 1, 4, 9, 16]
        assert awaitables.from_future().result(20) == "from a future"
        hands.give(1)  # to nobody
        assert hands.ask().cancel()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    hands.give(6)
    return await in_loop

assert asyncio.run(main()) == 6
assert old.result(20) == 6
print("both")
"""
        self.assertEqual(self.outcome(script), (0, "both\n", ""))

    def test_native_threads_go_on_after_the_end_of_python(self):
        script = """
import awaitables
hands = awaitables.Hands()
kept = [hands.ask() for _ in range(3)]  # broken, when Python ends and destroys hands
print("end")
"""
        self.assertEqual(self.outcome(script), (0, "end\n", ""))


if __name__ == "__main__":
    unittest.main()
