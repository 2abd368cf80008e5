"""A Foo in an event loop: await, async for, cancellation, and loops that end early."""

import asyncio
import contextlib
import errno
import gc
import os
import resource
import tempfile
import threading
import unittest
import weakref
from pathlib import Path

from event_loops import InALoop, descriptors, in_each_loop
from Foo import Foo

ONCE = 3600.0  # an interval of which a test sees the first message only
PATIENCE = 10.0  # seconds until a test that hangs fails


class Waiting(InALoop):
    @in_each_loop
    def test_await_returns_when_the_messages_are_there(self):
        async def main():
            with Foo(0.001, None) as foo:
                return await foo.wait_async(5), len(foo) >= 5

        self.assertEqual(self.within(main()), (True, True))

    @in_each_loop
    def test_other_tasks_go_on_meanwhile(self):
        async def main():
            turns = []

            async def turn():
                while len(turns) < 1000:
                    turns.append(len(foo))
                    await asyncio.sleep(0)
                foo.stop()

            with Foo(ONCE, None) as foo:
                waited, _ = await asyncio.gather(foo.wait_async(2), turn())
            return waited, len(turns)

        self.assertEqual(self.within(main()), (False, 1000))

    @in_each_loop
    def test_await_of_what_is_there_or_never_will_be(self):
        async def main():
            foo = Foo(ONCE, None)
            before = await foo.wait_async(0), await foo.wait_async(1)
            with foo:
                during = await foo.wait_async(1)
            return *before, during, await foo.wait_async(1), await foo.wait_async(2)

        self.assertEqual(self.within(main()), (True, False, True, True, False))

    @in_each_loop
    def test_await_ends_when_another_thread_stops_the_foo(self):
        async def main():
            with Foo(ONCE, None) as foo:
                waiting = foo.wait_async(2)
                threading.Thread(target=foo.stop).start()
                return await waiting

        self.assertFalse(self.within(main()))

    @in_each_loop
    def test_await_ends_with_an_error_in_on_message(self):
        async def main():
            with contextlib.redirect_stderr(None), Foo(0.001, lambda n: 1 // (3 - n)) as foo:
                hook, threading.excepthook = threading.excepthook, lambda _: None
                try:
                    return await foo.wait_async(10), foo.error
                finally:
                    threading.excepthook = hook

        reached, error = self.within(main())
        self.assertFalse(reached)
        self.assertIsInstance(error, ZeroDivisionError)

    @in_each_loop
    def test_await_keeps_the_foo(self):
        async def main():
            foo = Foo(0.001, None)
            foo.start()
            waiting = foo.wait_async(20)
            del foo
            gc.collect()
            return await waiting

        self.assertTrue(self.within(main()))

    @in_each_loop
    def test_many_foos_need_one_descriptor(self):
        async def main():
            foos = [Foo(0.01, None) for _ in range(2000)]
            before = descriptors()
            for foo in foos:
                foo.start()
            waits = [foo.wait_async(3) for foo in foos]
            self.assertLessEqual(descriptors(), before + 1)
            reached = await asyncio.gather(*waits)
            for foo in foos:
                foo.stop()
            return set(reached)

        self.assertEqual(self.within(main()), {True})

    @in_each_loop
    def test_no_descriptor_left_is_an_os_error_and_the_next_wait_works(self):
        async def main():
            with Foo(0.001, None) as foo:
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                taken = []
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(64, descriptors() + 8), hard))
                try:
                    with self.assertRaises(OSError):
                        while True:
                            taken.append(os.open(os.devnull, os.O_RDONLY))
                    with self.assertRaises(OSError) as caught:
                        foo.wait_async(1)
                    self.assertEqual(caught.exception.errno, errno.EMFILE)
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                    for each in taken:
                        os.close(each)
                return await foo.wait_async(2)

        self.assertTrue(self.within(main()))

    @in_each_loop
    def test_cancellation_leaves_the_foo_running_and_nothing_behind(self):
        async def main():
            with Foo(0.001, None) as foo:
                task = asyncio.create_task(foo_waits(foo, 10**9))
                await foo.wait_async(1)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await foo.wait_async(10**9)
                self.assertTrue(await foo.wait_async(len(foo) + 2))
                gone = weakref.ref(foo)
            del foo, task
            await asyncio.sleep(0)
            gc.collect()
            return gone()

        self.assertIsNone(self.within(main()))

    @in_each_loop
    def test_a_loop_that_is_closed_meanwhile_leaves_nothing_behind(self):
        gc.collect()
        before = descriptors()
        foo = Foo(0.001, None)
        foo.start()

        async def main():
            forgotten.append(foo.wait_async(len(foo) + 20))

        forgotten = []
        for _ in range(10):
            self.within(main())
        self.assertTrue(foo.wait(len(foo) + 50, PATIENCE))
        foo.stop()
        forgotten.clear()
        gc.collect()
        self.assertEqual(descriptors(), before)

    @in_each_loop
    def test_two_loops_wait_for_one_foo(self):
        async def main():
            return [n async for n in foo]

        results = []
        with Foo(0.001, None) as foo:
            threads = [
                threading.Thread(target=lambda: results.append(self.within(main())))
                for _ in range(2)
            ]
            for each in threads:
                each.start()
            self.assertTrue(foo.wait(50, PATIENCE))
        for each in threads:
            each.join(PATIENCE)
        self.assertEqual(results, [foo.messages] * 2)


async def foo_waits(foo, count):
    return await foo.wait_async(count)


class Iterating(InALoop):
    @in_each_loop
    def test_gives_each_message_from_the_first_on_until_the_foo_has_stopped(self):
        async def main():
            got = []
            with Foo(0.001, None) as foo:
                await foo.wait_async(10)
                async for n in foo:
                    got.append(n)
                    if n == 50:
                        foo.stop()
            return got, foo.messages

        got, messages = self.within(main())
        self.assertGreater(len(got), 50)
        self.assertEqual(got, messages)

    @in_each_loop
    def test_that_is_left_and_begun_again(self):
        async def main():
            with Foo(0.001, None) as foo:
                async for n in foo:
                    if n == 3:
                        break
                return [n async for n in foo if n < 5 or foo.stop()]

        self.assertEqual(self.within(main()), [0, 1, 2, 3, 4])

    @in_each_loop
    def test_goes_on_when_the_list_is_cleared(self):
        async def main():
            got = []
            with Foo(0.001, None) as foo:
                async for n in foo:
                    got.append(n)
                    if len(got) == 3:
                        foo.messages.clear()
                    if n == 10:
                        foo.stop()
            return got

        got = self.within(main())
        self.assertEqual(got[:3], [0, 1, 2])
        self.assertEqual(got[3:], list(range(got[3], got[-1] + 1)))


class ClosedDescriptors(unittest.TestCase):
    def test_are_not_taken_for_the_loops(self):
        """A daemon closes all that it does not know; its own files have these numbers then."""

        async def main():
            foo = Foo(0.1, None)
            foo.start()
            waiting = foo.wait_async(len(foo) + 1)
            number = max(
                int(each.name)
                for each in Path("/proc/self/fd").iterdir()
                if os.path.realpath(each).endswith("anon_inode:[eventfd]")
            )
            with tempfile.TemporaryFile() as mine:
                kept = os.dup(number)
                os.dup2(mine.fileno(), number)
                self.assertFalse(waiting.done())
                self.assertTrue(foo.wait(len(foo) + 1, PATIENCE))  # and so has the other ended
                self.assertEqual(os.fstat(number).st_size, 0)
                os.dup2(kept, number)
                os.close(kept)
            foo.stop()

        asyncio.run(asyncio.wait_for(main(), PATIENCE))


class Refused(unittest.TestCase):
    def test_without_a_running_loop(self):
        with self.assertRaisesRegex(
            RuntimeError, r"wait_async\(3\) must be awaited in a coroutine"
        ):
            Foo().wait_async(3)

    def test_bad_counts(self):
        for count, error in (("3", TypeError), (-1, ValueError), (1 << 80, OverflowError)):
            with self.subTest(count), self.assertRaisesRegex(error, "count"):
                Foo().wait_async(count)

    def test_within_its_own_on_message(self):
        said = []

        async def wait(n):
            await foo.wait_async(n + 1)

        def on_message(n):
            try:
                asyncio.run(wait(n))
            except RuntimeError as error:
                said.append(str(error))

        with Foo(ONCE, on_message) as foo:
            self.assertTrue(foo.wait(1, PATIENCE))
        self.assertRegex(said[0], "own on_message would wait for itself")


if __name__ == "__main__":
    unittest.main()
