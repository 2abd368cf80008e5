"""The event loops that asyncio's tests run in, and what a test does in each."""

import asyncio
import functools
import threading
import unittest
from pathlib import Path

try:
    import uvloop  # in an environment that has it, as test_venv.py's
except ImportError:
    uvloop = None

LOOPS = [asyncio.new_event_loop, *([uvloop.new_event_loop] if uvloop else [])]


def descriptors():
    """How many this process has open."""
    return len([*Path("/proc/self/fd").iterdir()])


class InALoop(unittest.TestCase):
    """Runs coroutines in a loop that `new_loop` makes, for `patience` seconds at most."""

    new_loop = staticmethod(asyncio.new_event_loop)
    patience = 10.0

    def within(self, coroutine):
        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            return runner.run(asyncio.wait_for(coroutine, self.patience))


class BesideBusyPython(InALoop):
    """Each test runs beside a thread that always wants the GIL."""

    @classmethod
    def setUpClass(cls):
        cls.over = threading.Event()
        cls.busy = threading.Thread(target=cls.be_busy)
        cls.busy.start()

    @classmethod
    def be_busy(cls):
        while not cls.over.is_set():
            sum(range(100))

    @classmethod
    def tearDownClass(cls):
        cls.over.set()
        cls.busy.join()


async def until(condition):
    """Other tasks and threads go on until it is so."""
    while not condition():  # a native thread changes it, and tells nobody
        await asyncio.sleep(0.001)


def wait_until(condition, patience):
    with asyncio.Runner() as runner:
        runner.run(asyncio.wait_for(until(condition), patience))


def in_each_loop(test):
    @functools.wraps(test)
    def tests(self):
        for new_loop in LOOPS:
            with self.subTest(new_loop.__module__):
                self.new_loop = new_loop
                test(self)

    return tests
