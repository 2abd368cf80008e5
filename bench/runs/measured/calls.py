"""Calls of a Python function, 1 / INTERVAL a second for each of COUNT: by Foos, or by a loop.

Usage: calls.py foo|heap|round|burst COUNT INTERVAL SECONDS
"""

import heapq
import json
import sys
import time

side, count, interval = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
seconds = float(sys.argv[4])
calls = 0


def on_message(n: int) -> None:
    global calls
    calls += 1


class Foos:
    """COUNT Foos."""

    def __init__(self) -> None:
        from Foo import Foo

        self.foos = [Foo(interval, on_message) for _ in range(count)]

    def start(self) -> None:
        for foo in self.foos:
            foo.start()

    def run_until(self, end: float) -> None:
        time.sleep(end - time.monotonic())


class Heap:
    """What a Foo does, in Python: each of COUNT lists has a due time, and they are in a heap.

    As a Foo may be, a message may be late by a hundredth of the interval, at most 10 ms, so that
    the loop sleeps as seldom.
    """

    def __init__(self) -> None:
        self.lists = [[] for _ in range(count)]
        self.leeway = min(interval / 100, 0.010)

    def start(self) -> None:
        begin = time.monotonic()
        spread = 2e-6  # seconds from one start to the next, about as Foos are started
        self.due = [(begin + n * spread, n) for n in range(count)]

    def run_until(self, end: float) -> None:
        due, lists, leeway = self.due, self.lists, self.leeway
        while (now := time.monotonic()) < end:
            while due[0][0] <= now:
                when, which = due[0]
                messages = lists[which]
                number = len(messages)
                messages.append(number)
                on_message(number)
                heapq.heapreplace(due, (when + interval, which))
            wait = min(due[0][0] + leeway, end) - time.monotonic()
            if wait > 0:
                time.sleep(wait)


class Burst:
    """The calls alone: all of them in a row, once an interval. No lists, no due times."""

    def __init__(self) -> None:
        self.number = 0

    def start(self) -> None:
        self.due = time.monotonic()

    def run_until(self, end: float) -> None:
        while self.due < end:
            time.sleep(max(0.0, self.due - time.monotonic()))
            self.call_all()
            self.due += interval
        time.sleep(max(0.0, end - time.monotonic()))

    def call_all(self) -> None:
        for _ in range(count):
            on_message(self.number)
        self.number += 1


class Round(Burst):
    """The same with lists: the next integer is appended to each, and given to the function."""

    def __init__(self) -> None:
        self.lists = [[] for _ in range(count)]

    def call_all(self) -> None:
        for messages in self.lists:
            number = len(messages)
            messages.append(number)
            on_message(number)


called = {"foo": Foos, "heap": Heap, "round": Round, "burst": Burst}[side]()
called.start()
called.run_until(time.monotonic() + 1.5 * interval)  # warm; the first are over
before, cpu, begin = calls, time.process_time(), time.monotonic()
called.run_until(begin + seconds)
cpu = time.process_time() - cpu
print(json.dumps({"cpu": cpu, "calls": calls - before, "elapsed": time.monotonic() - begin}))
