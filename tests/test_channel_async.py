"""A channel in event loops: await, async for, cancellation, and whatever ends too early."""

import asyncio
import contextlib
import gc
import importlib.util
import itertools
import logging
import os
import random
import subprocess
import sys
import textwrap
import threading
import unittest
import warnings
import weakref

import channels
import event_loops
from event_loops import descriptors, in_each_loop, uvloop

PATIENCE = 30.0 * int(os.environ.get("HANDOFF_PATIENCE", "1"))  # seconds until what hangs fails


class InALoop(event_loops.InALoop):
    patience = PATIENCE


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


class Awaiting(InALoop):
    @in_each_loop
    def test_what_is_there_and_what_comes(self):
        async def main():
            numbers = channels.Numbers(10)
            channels.push_range(numbers, 0, 8)
            there = await numbers.get_async(), await numbers.get_many_async(3)
            rest = await numbers.get_many_async(max=100)
            coming = asyncio.create_task(numbers.get_async())
            await turns(3)
            self.assertFalse(coming.done())
            pushing = channels.start(numbers, 1, 1)
            came = await coming
            pushing.join()
            return *there, rest, came

        self.assertEqual(self.within(main()), (0, [1, 2, 3], [4, 5, 6, 7], 0))

    @in_each_loop
    def test_iteration_gives_all_in_order_until_the_end(self):
        async def main():
            numbers = channels.Numbers(100)
            pushing = channels.start(numbers, 1, 20_000)
            threading.Thread(target=lambda: (pushing.join(), numbers.close())).start()
            return [n async for n in numbers]

        self.assertEqual(self.within(main()), [*range(20_000)])

    @in_each_loop
    def test_batches(self):
        async def main():
            readings, doubles = channels.Readings(100), channels.Doubles(100)
            channels.push_range(readings, 3, 5)
            batch = await readings.get_batch_async(10)
            self.assertEqual((len(batch), batch.names[:2]), (2, ("sensor", "time")))
            pushing = channels.start(doubles, 1, 20_000)
            threading.Thread(target=lambda: (pushing.join(), doubles.close())).start()
            seen = []
            async for batch in doubles.batches_async(64):
                self.assertLessEqual(len(batch), 64)
                seen += memoryview(batch).tolist()
            with self.assertRaises(doubles.ShutDown):
                await doubles.get_batch_async(1)
            return seen, [b async for b in doubles.batches_async()]

        self.assertEqual(self.within(main()), ([*map(float, range(20_000))], []))

    @in_each_loop
    def test_values_of_all_kinds(self):
        async def main():
            seen = []
            for kind in channels.Doubles, channels.Strings, channels.Texts:
                channel = kind(10)
                asking = asyncio.create_task(channel.get_many_async(5))
                await turns(2)
                channels.push_range(channel, 0, 2)
                seen.append(await asking)
                self.assertEqual(hasattr(channel, "batches_async"), kind is channels.Doubles)
            return seen

        self.assertEqual(self.within(main()), [[0.0, 1.0], ["0", "1"], ["0", "1"]])

    @in_each_loop
    def test_who_waits_is_served_in_order_and_before_who_comes_later(self):
        async def main():
            numbers = channels.Numbers(1000)
            waiting = [asyncio.create_task(numbers.get_async()) for _ in range(100)]
            await turns(3)
            channels.push_range(numbers, 0, 150)
            later = asyncio.create_task(numbers.get_async())
            self.assertEqual(await asyncio.gather(*waiting), [*range(100)])
            return await later

        self.assertEqual(self.within(main()), 100)

    @in_each_loop
    def test_who_asks_is_served_in_order_where_all_is_there(self):
        async def main():
            numbers = channels.Numbers(1000)
            channels.push_range(numbers, 0, 1000)
            asking = [asyncio.create_task(numbers.get_async()) for _ in range(300)]
            return await asyncio.gather(*asking)

        self.assertEqual(self.within(main()), [*range(300)])

    @in_each_loop
    def test_thousands_wait_with_one_descriptor(self):
        async def main():
            many = [channels.Numbers(2) for _ in range(2000)]
            before = descriptors()
            waiting = [asyncio.create_task(each.get_async()) for each in many]
            await turns(3)
            self.assertLessEqual(descriptors(), before + 1)
            for n, each in enumerate(many):
                channels.push_range(each, n, n + 1)
            return await asyncio.gather(*waiting)

        self.assertEqual(self.within(main()), [*range(2000)])

    @in_each_loop
    def test_others_have_their_turn_beside_a_producer_that_never_stops(self):
        async def consume(ask, *arguments):
            while True:
                await ask(*arguments)

        async def main():
            numbers = channels.Numbers(1 << 16, "drop_oldest")
            channels.push_for_ever(numbers)
            await numbers.get_async()
            for ask in (
                consume(numbers.get_async),
                consume(numbers.get_many_async, 10),
                consume(numbers.get_batch_async, 10),
            ):
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await ask
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.02):
                    async for _ in numbers:
                        pass
            numbers.close()

        self.within(main())

    @in_each_loop
    def test_two_loops_and_a_thread_share_a_channel(self):
        numbers = channels.Numbers(50)
        seen = [[], [], []]

        async def main(into):
            async for n in numbers:
                into.append(n)

        consumers = [
            *(threading.Thread(target=self.within, args=(main(into),)) for into in seen[:2]),
            threading.Thread(target=lambda: seen[2].extend(numbers)),
        ]
        for each in consumers:
            each.start()
        pushing = channels.start(numbers, 1, 20_000)
        pushing.join()
        numbers.close()
        for each in consumers:
            each.join(PATIENCE)
        self.assertEqual(sorted(itertools.chain(*seen)), [*range(20_000)])
        self.assertEqual(seen, [sorted(each) for each in seen])

    @in_each_loop
    def test_several_objects_of_one_channel_have_one_order(self):
        """As a property that returns a std::shared_ptr makes one each time."""

        async def main():
            owner = channels.Owner()
            numbers, same = owner.numbers, owner.numbers
            self.assertIsNot(numbers, same)
            waiting = [
                asyncio.create_task(each.get_async()) for each in (numbers, same, numbers, same)
            ]
            await turns(3)
            channels.push_range(numbers, 0, 4)
            return await asyncio.gather(*waiting)

        self.assertEqual(self.within(main()), [0, 1, 2, 3])


class Cancelling(InALoop):
    @in_each_loop
    def test_loses_nothing_at_whichever_moment(self):
        async def main():
            for moment in range(8):
                numbers = channels.Numbers(10)
                first = asyncio.create_task(numbers.get_async())
                second = asyncio.create_task(numbers.get_many_async(2))
                await turns(3)
                channels.push_range(numbers, 0, 1)
                await turns(moment)
                first.cancel()
                [outcome] = await asyncio.gather(first, return_exceptions=True)
                if outcome != 0:
                    self.assertIsInstance(outcome, asyncio.CancelledError)
                    self.assertEqual(await second, [0])
                else:
                    channels.push_range(numbers, 1, 2)
                    self.assertEqual(await second, [1])
                self.assertEqual(len(numbers), 0)

        self.within(main())

    @in_each_loop
    def test_of_one_in_the_middle_leaves_the_order(self):
        async def main():
            numbers = channels.Numbers(10)
            waiting = [asyncio.create_task(numbers.get_async()) for _ in range(5)]
            await turns(2)
            waiting[2].cancel()
            waiting[0].cancel()
            channels.push_range(numbers, 0, 3)
            got = await asyncio.gather(*waiting, return_exceptions=True)
            self.assertIsInstance(got.pop(2), asyncio.CancelledError)
            self.assertIsInstance(got.pop(0), asyncio.CancelledError)
            return got

        self.assertEqual(self.within(main()), [0, 1, 2])

    @in_each_loop
    def test_200_times_at_random_beside_a_producer(self):
        rounds, each = 200, 40
        chance = random.Random(1)

        async def consume(numbers, seen):
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.choice((0, 1e-5, 1e-4, 1e-3))):
                        if chance.random() < 0.5:
                            seen.append(await numbers.get_async())
                        else:
                            seen.extend(await numbers.get_many_async(3))
                await asyncio.sleep(0)

        async def again(numbers, seen):
            """A consumer that somebody cancels, and starts again."""
            while not numbers.closed or len(numbers):
                consumer = asyncio.create_task(consume(numbers, seen))
                await turns(chance.randrange(6))
                consumer.cancel()
                with contextlib.suppress(asyncio.CancelledError, numbers.ShutDown):
                    await consumer

        async def main():
            for _ in range(rounds):
                numbers = channels.Numbers(8)
                pushing = channels.start(numbers, 1, each)
                closing = asyncio.create_task(asyncio.to_thread(pushing.join))
                closing.add_done_callback(lambda _, numbers=numbers: numbers.close())
                seen = [[], [], []]
                await asyncio.gather(*(again(numbers, into) for into in seen))
                await closing
                self.assertEqual(sorted(itertools.chain(*seen)), [*range(each)])
                self.assertEqual(seen, [sorted(into) for into in seen])
                counts = {"pushed": each, "delivered": each, "dropped": 0, "refused": 0}
                self.assertEqual(numbers.counts, counts)

        self.within(main())

    @in_each_loop
    def test_by_a_task_group_whose_other_task_fails(self):
        async def fail():
            await turns(5)
            raise ZeroDivisionError

        async def main():
            numbers = channels.Numbers(10)
            with self.assertRaises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    waiting = [group.create_task(numbers.get_async()) for _ in range(3)]
                    group.create_task(fail())
            self.assertTrue(all(each.cancelled() for each in waiting))
            channels.push_range(numbers, 0, 1)
            return await numbers.get_async()

        self.assertEqual(self.within(main()), 0)

    @in_each_loop
    def test_leaves_nothing_behind(self):
        async def main():
            numbers = channels.Numbers(10)
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await numbers.get_async()
            by_hand = numbers.get_async()
            by_hand.send(None)
            by_hand.close()
            gone = weakref.ref(numbers)
            del numbers, by_hand
            await turns(3)
            gc.collect()
            return gone()

        self.assertIsNone(self.within(main()))


class Ending(InALoop):
    @in_each_loop
    def test_close_ends_each_wait(self):
        async def main():
            numbers = channels.Numbers(10)
            waiting = [
                asyncio.create_task(ask)
                for ask in (
                    numbers.get_async(),
                    numbers.get_many_async(2),
                    numbers.get_batch_async(2),
                    list_of(numbers),
                    list_of(numbers.batches_async()),
                )
            ]
            await turns(3)
            threading.Thread(target=numbers.close).start()
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            return [type(each) for each in outcomes[:3]], outcomes[3:]

        self.assertEqual(self.within(main()), ([channels.Numbers.ShutDown] * 3, [[], []]))

    @in_each_loop
    def test_an_error_comes_behind_the_values_and_again(self):
        async def main():
            numbers = channels.Numbers(10)
            channels.push_range(numbers, 0, 2)
            seen = []
            waiting = asyncio.create_task(append_each(numbers, seen))
            await turns(5)
            channels.close_with(numbers, "the device is gone")
            for ask in waiting, numbers.get_async(), list_of(numbers.batches_async()):
                with self.assertRaisesRegex(IndexError, "the device is gone"):
                    await ask
            return seen

        self.assertEqual(self.within(main()), [0, 1])

    @in_each_loop
    def test_a_conversion_that_fails(self):
        async def main():
            evens = channels.Evens(10)
            for n in 0, 2, 3, 4:
                channels.push_range(evens, n, n + 1)
            seen = [await evens.get_many_async(9)]
            with self.assertRaisesRegex(RuntimeError, "3 is odd"):
                await evens.get_many_async(9)
            return [*seen, await evens.get_async()]

        self.assertEqual(self.within(main()), [[0, 2], 4])

    @in_each_loop
    def test_a_conversion_that_is_interrupted_loses_nothing(self):
        def handle(value):
            if interrupts.pop() if interrupts else False:
                raise asyncio.CancelledError
            return value

        async def main():
            channels.handle = handle
            handled = channels.Handled(10)
            channels.push_range(handled, 0, 3)
            with self.assertRaises(asyncio.CancelledError):
                await asyncio.create_task(handled.get_many_async(3))
            return await handled.get_many_async(3)

        interrupts = [True, False]  # from the end: at the second value
        self.assertEqual(self.within(main()), [0, 1, 2])

    @in_each_loop
    def test_a_conversion_that_awaits_its_own_closed_channel(self):
        handled = channels.Handled(10)

        def handle(value):
            other = self.new_loop()
            try:
                return other.run_until_complete(ask())
            finally:
                other.close()

        async def ask():
            return await handled.get_async()

        channels.handle = handle
        channels.push_range(handled, 0, 1)
        handled.close()
        with self.assertRaisesRegex(RuntimeError, "waits for the end of the channel"):
            handled.get()

    @in_each_loop
    def test_a_loop_that_is_closed_meanwhile_leaves_nothing_behind(self):
        gc.collect()
        before, noise = descriptors(), []
        numbers = channels.Numbers(10)

        async def begin(numbers):
            tasks = [asyncio.create_task(numbers.get_async()) for _ in range(3)]
            await turns(3)
            return tasks

        hook, sys.unraisablehook = sys.unraisablehook, noise.append
        logging.disable(logging.CRITICAL)  # "Task was destroyed but it is pending!"
        try:
            for _ in range(10):
                loop = self.new_loop()
                tasks = loop.run_until_complete(begin(numbers))
                loop.close()
                channels.push_range(numbers, 0, 1)
                self.assertEqual(numbers.get(0), 0)
                del loop, tasks
                gc.collect()
        finally:
            logging.disable(logging.NOTSET)
            sys.unraisablehook = hook
        self.assertEqual(noise, [])
        self.assertEqual(descriptors(), before)
        gone = weakref.ref(numbers)
        del numbers
        gc.collect()
        self.assertIsNone(gone())

    @in_each_loop
    def test_a_wait_keeps_its_channel(self):
        async def main():
            numbers = channels.Numbers(10)
            out = channels.Producer(numbers)
            waiting = asyncio.create_task(numbers.get_async())
            del numbers
            await turns(3)
            gc.collect()
            self.assertFalse(out.closed)
            out.push(5)
            self.assertEqual(await waiting, 5)
            del waiting
            gc.collect()
            return out.closed

        self.assertTrue(self.within(main()))

    @in_each_loop
    def test_a_channel_that_refers_to_its_iteration_is_collected(self):
        async def main():
            numbers = channels.Numbers(10)
            numbers.mine = aiter(numbers), numbers.batches_async()
            gone = weakref.ref(numbers)
            del numbers
            gc.collect()
            return gone()

        self.assertIsNone(self.within(main()))


async def list_of(iterable):
    return [each async for each in iterable]


async def append_each(iterable, to):
    async for each in iterable:
        to.append(each)


class OfItsOwn(unittest.TestCase):
    """Processes that end, or fork, while somebody waits."""

    def prints(self, script, expected):
        # Since 3.12 a fork() beside threads warns.
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c"]
        script = "import asyncio, channels, threading\n" + textwrap.dedent(script)
        ended = subprocess.run(
            [*command, script], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        self.assertEqual((ended.stdout, ended.stderr, ended.returncode), (expected, "", 0))

    def test_exit_in_the_middle(self):
        for policy in "block", "drop_oldest", "refuse":
            self.prints(
                f"""
                import sys
                numbers = channels.Numbers(100, {policy!r})
                channels.push_for_ever(numbers)
                seen = threading.Event()

                async def consume():
                    async for _ in numbers:
                        seen.set()

                async def main():
                    consumers = [asyncio.create_task(consume()) for _ in range(3)]
                    while not seen.is_set():
                        await asyncio.sleep(0)
                    print("leaving")
                    sys.exit()

                asyncio.run(main())
                """,
                "leaving\n",
            )

    def test_exit_while_a_daemon_threads_loop_waits(self):
        self.prints(
            """
            numbers, others = channels.Numbers(2), channels.Numbers(2, "drop_oldest")
            waits = threading.Event()

            async def main():
                consuming = asyncio.create_task(append(others))
                asyncio.get_running_loop().call_later(0.01, waits.set)
                await numbers.get_async()

            async def append(numbers):
                async for _ in numbers:
                    pass

            channels.push_for_ever(others)
            threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
            waits.wait()
            print("leaving")
            """,
            "leaving\n",
        )

    def test_the_child_of_a_fork_finds_it_closed_and_empty(self):
        self.prints(
            """
            import gc, logging, os, sys
            logging.disable()

            # Of a loop that nobody closes, the collector may finalize the sockets first, before
            # asyncio closes it: seen with CPython 3.12.
            def hook(it):
                if "Invalid file descriptor" not in str(it.exc_value):
                    sys.__unraisablehook__(it)

            sys.unraisablehook = hook
            numbers, busy = channels.Numbers(100), channels.Numbers(100, "drop_oldest")
            channels.push_for_ever(busy)

            async def begin():
                tasks.append(asyncio.create_task(numbers.get_async()))
                tasks.append(asyncio.create_task(append(busy)))
                await asyncio.sleep(0.01)

            async def append(busy):
                async for _ in busy:
                    pass

            async def in_child():
                for channel in numbers, busy:
                    try:
                        await channel.get_async()
                    except channel.ShutDown:
                        print("ended", flush=True)
                    print([n async for n in channel], flush=True)

            tasks = []
            loop = asyncio.new_event_loop()
            loop.run_until_complete(begin())
            for _ in range(10):
                child = os.fork()
                if child == 0:
                    asyncio.run(in_child())
                    tasks.clear()
                    loop = None
                    gc.collect()
                    os._exit(5)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
            channels.push_range(numbers, 7, 8)
            print(loop.run_until_complete(tasks[0]))
            tasks.pop().cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            """,
            "ended\n[]\n" * 20 + "7\n",
        )


class Refused(unittest.TestCase):
    def test_without_a_running_loop(self):
        numbers = channels.Numbers(1)
        for ask, said in (
            (numbers.get_async, r"get_async\(\) needs a running event loop.*get\(\) waits"),
            (lambda: numbers.get_many_async(2), r"get_many_async\(\) needs .*get_many\(\) waits"),
            (lambda: numbers.get_batch_async(2), r"get_batch_async\(\) needs"),
            (numbers.batches_async, r"batches_async\(\) needs a running .*batches\(\) waits"),
            (lambda: aiter(numbers), r"`async for` of a channel needs"),
        ):
            with self.subTest(said), self.assertRaisesRegex(RuntimeError, said):
                ask()

    def test_bad_arguments(self):
        async def main():
            numbers = channels.Numbers(1)
            for ask in numbers.get_many_async, numbers.get_batch_async, numbers.batches_async:
                for most, error in ((0, ValueError), ("3", TypeError), (1 << 80, OverflowError)):
                    with self.subTest(most), self.assertRaisesRegex(error, "max"):
                        ask(most)

        asyncio.run(main())

    def test_what_python_has_no_object_for(self):
        async def main():
            secrets = channels.Secrets(1)
            for ask in secrets.get_async, lambda: secrets.get_many_async(2), lambda: aiter(secrets):
                with self.assertRaisesRegex(
                    TypeError, "Python has no object for a C\\+\\+ .*secret"
                ):
                    ask()

        asyncio.run(main())

    def test_a_coroutine_that_is_never_awaited_takes_nothing(self):
        async def main():
            numbers = channels.Numbers(1)
            channels.push_range(numbers, 0, 1)
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                numbers.get_async()
                gc.collect()
            self.assertEqual(len(numbers), 1)
            self.assertIn("never awaited", str(warned[0].message))

        asyncio.run(main())


@unittest.skipUnless(importlib.util.find_spec("anyio"), "anyio is not installed: `make test-all`")
class Anyio(unittest.TestCase):
    def test_works_on_asyncio(self):
        import anyio

        async def main():
            numbers = channels.Numbers(100)
            with anyio.move_on_after(0.01) as scope:
                await numbers.get_async()
            self.assertTrue(scope.cancelled_caught)
            seen = []
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    group.start_soon(append_each, numbers, seen)
                    pushing = channels.start(numbers, 1, 2000)
                    await anyio.to_thread.run_sync(pushing.join)
                    numbers.close()
            return seen

        for loop in False, *([True] if uvloop else []):
            seen = anyio.run(main, backend="asyncio", backend_options={"use_uvloop": loop})
            self.assertEqual(seen, [*range(2000)])

    def test_a_cancelled_scope_loses_nothing(self):
        import anyio

        async def main():
            numbers = channels.Numbers(4)
            pushing = channels.start(numbers, 1, 500)
            seen = []
            while len(seen) < 500:
                with anyio.move_on_after(1e-4):
                    while True:
                        seen.append(await numbers.get_async())
            pushing.join()
            return seen

        self.assertEqual(anyio.run(main, backend="asyncio"), [*range(500)])


@unittest.skipUnless(importlib.util.find_spec("trio"), "trio is not installed: `make test-all`")
class Trio(unittest.TestCase):
    def test_is_told_what_to_do_and_that_works(self):
        import trio

        async def main():
            numbers = channels.Numbers(4)
            with self.assertRaisesRegex(RuntimeError, r"get_async\(\) needs .* trio.to_thread"):
                await numbers.get_async()
            with self.assertRaisesRegex(RuntimeError, r"`async for` .* trio.to_thread"):
                async for _ in numbers:
                    pass
            with self.assertRaises(numbers.Empty):
                await trio.to_thread.run_sync(numbers.get, 0.01)
            channels.push_range(numbers, 0, 1)
            return await trio.to_thread.run_sync(numbers.get, 0.1)

        self.assertEqual(trio.run(main), 0)


if __name__ == "__main__":
    unittest.main()
