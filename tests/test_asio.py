"""What operations of Asio's come to in Python, by use_python_future.

Run by the host and by the stock interpreter.
"""

import asyncio
import errno
import gc
import os
import socket
import unittest

import operations
from event_loops import BesideBusyPython, until, wait_until

PATIENCE = 20.0 * int(os.environ.get("HANDOFF_PATIENCE", "1"))  # until a test that hangs fails


class Engine(BesideBusyPython):
    patience = PATIENCE

    def setUp(self):
        self.engine = operations.Engine()
        self.is_closed = False
        self.addCleanup(self.close)

    def close(self):
        if not self.is_closed:
            self.is_closed = True
            self.engine.close()

    def comes_to(self, begin, *arguments):
        """In an event loop, and without one."""

        async def main():
            return await begin(*arguments)

        there = self.within(main())
        self.assertEqual(begin(*arguments).result(PATIENCE), there)
        return there

    def fails_with(self, kind, text, begin, *arguments):
        async def main():
            with self.assertRaisesRegex(kind, text) as raised:
                await begin(*arguments)
            return raised.exception

        error = self.within(main())
        with self.assertRaisesRegex(kind, text):
            begin(*arguments).result(PATIENCE)
        return error


class Outcomes(Engine):
    def test_what_a_handler_is_called_with(self):
        for name, there in (
            ("none", None),
            ("one", 7),
            ("one_and_no_error", 7),
            ("several", (7, "seven")),
            ("several_without_an_error", (7, 0.5)),
            ("no_exception", 7),
        ):
            with self.subTest(name):
                self.assertEqual(self.comes_to(getattr(self.engine, name)), there)

    def test_an_errno_is_the_os_error_of_that_class(self):
        for number in (errno.ECONNREFUSED, errno.EPIPE, errno.EACCES, errno.ETIMEDOUT):
            kind = type(OSError(number, ""))
            self.assertIsNot(kind, OSError)
            for begin in self.engine.several_that_fail, self.engine.failed_with:
                with self.subTest(begin, number=number):
                    error = self.fails_with(kind, os.strerror(number), begin, number)
                    self.assertIs(type(error), kind)
                    self.assertEqual((error.errno, error.strerror), (number, os.strerror(number)))

    def test_the_end_of_a_stream_is_an_eof_error(self):
        self.fails_with(EOFError, "End of file", self.engine.read_the_end)

    def test_another_category_is_an_os_error_that_names_it(self):
        error = self.fails_with(OSError, "Host not found", self.engine.host_not_found)
        self.assertRegex(str(error), r"^asio.netdb 1: ")
        self.assertIs(type(error), OSError)

    def test_another_exception_is_what_boost_python_makes_of_it(self):
        self.fails_with(ValueError, "no such frequency: -1 Hz", self.engine.invalid)

    def test_what_cannot_be_converted_is_a_type_error(self):
        begin = self.engine.several_of_which_one_cannot_be_converted
        self.fails_with(TypeError, "unconvertible", begin)


@unittest.skipUnless(hasattr(operations.Engine, "add_in_coroutine"), "no coroutines of Asio's")
class Coroutines(Engine):
    def test_what_they_return(self):
        self.assertEqual(self.comes_to(self.engine.add_in_coroutine, 1), 2)

    def test_a_refused_connection(self):
        with socket.socket() as unheard:
            unheard.bind(("127.0.0.1", 0))
            begin, port = self.engine.connect_in_coroutine, unheard.getsockname()[1]
            error = self.fails_with(ConnectionRefusedError, "", begin, port)
            self.assertEqual(error.errno, errno.ECONNREFUSED)

    @unittest.skipUnless(
        hasattr(operations.Engine, "sleep_in_coroutine_until_cancelled"),
        "no slots before Boost 1.77",
    )
    def test_one_that_is_cancelled_ends(self):
        async def main():
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await self.engine.sleep_in_coroutine_until_cancelled()
            await until(lambda: self.engine.ended() == 1)

        self.within(main())
        for count in range(2, 20):
            self.assertTrue(self.engine.sleep_in_coroutine_until_cancelled().cancel())
            wait_until(lambda count=count: self.engine.ended() == count, PATIENCE)


class Ends(Engine):
    def test_what_is_cancelled_ends_where_the_token_says_so(self):
        for count, name in (1, "sleep_until_cancelled"), (3, "read_until_cancelled"):
            with self.subTest(name):

                async def main(name=name, count=count):
                    with self.assertRaises(TimeoutError):
                        async with asyncio.timeout(0.01):
                            await getattr(self.engine, name)()
                    await until(lambda: self.engine.ended() == count)

                self.within(main())
        future = self.engine.sleep_until_cancelled()
        self.assertTrue(future.cancel())
        wait_until(lambda: self.engine.ended() == 4, PATIENCE)
        self.is_closed = True
        self.engine.finish()  # nothing is pending

    def test_what_is_cancelled_just_before_the_engine_goes(self):
        futures = [self.engine.sleep_until_cancelled() for _ in range(100)]
        for each in futures:
            each.cancel()
        self.close()
        self.assertTrue(all(each.cancelled() for each in futures))
        self.assertEqual(self.engine.ended(), 100)

    def test_an_engine_that_goes_says_what_became_of_what_was_pending(self):
        async def main():
            pending = [self.engine.sleep() for _ in range(10)]
            self.close()
            return await asyncio.gather(*pending, return_exceptions=True)

        for error in self.within(main()):
            self.assertIs(type(error), RuntimeError)
            self.assertRegex(str(error), "operation of Asio's has not completed.*was destroyed")
            self.assertRegex(str(error), "Cancel what is pending, and let the context run")

    def test_an_object_that_keeps_pending_operations_may_be_dropped(self):
        async def main():
            pending = self.engine.sleep()
            self.close()
            del self.engine
            gc.collect()
            with self.assertRaises(RuntimeError):
                await pending

        self.within(main())


if __name__ == "__main__":
    unittest.main()
