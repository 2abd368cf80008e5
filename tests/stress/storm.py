"""Threads start, stop and drop Foos for SECONDS, at up to 1 us, beside a busy main thread.

Usage: handoff storm.py SECONDS SEED. Prints a line of JSON a second: what was counted so far, how
often each thread has gone round, and the resident memory. Only what is bounded is kept.
"""

import collections
import contextlib
import ctypes
import gc
import json
import random
import resource
import sys
import threading
import time
from pathlib import Path

from Foo import Foo

THREADS = 4
GRACE = 90_000_000  # nanoseconds: a little less than what a stop() gives itself to deliver
KEPT = 200  # messages, until on_message clears them

counted, counting = collections.Counter(), threading.Lock()
rounds = [0] * THREADS
over = threading.Event()
threading.excepthook = lambda arguments: None  # each error is looked at where it was caused


def count(what, times=1):
    """Callbacks of several Foos and several threads count at once."""
    with counting:
        counted[what] += times


def expect(holds, otherwise, *seen):
    """Counts what is not as it must be, and shows what was seen."""
    if not holds:
        count(otherwise)
        print(otherwise, *seen, file=sys.stderr, flush=True)


class Order:
    """An on_message that allocates, makes garbage, may raise, and knows what comes next."""

    def __init__(self, raises_at=None):
        self.expected = self.called = 0
        self.raises_at = raises_at
        self.messages = None

    def __call__(self, n):
        expect(n <= self.expected, "lost", n, self.expected)
        expect(n >= self.expected, "doubled", n, self.expected)
        self.expected = n + 1
        self.called += 1
        garbage = [n, bytearray(n % 500)]
        # A collection that stops Foos waits for them, and none other begins meanwhile.
        if n % 100 == 0 and gc.get_count()[0] < 10 * gc.get_threshold()[0]:
            garbage.append(garbage)
        if self.raises_at is not None and self.called >= self.raises_at:
            raise ValueError(n)
        if self.expected >= KEPT:
            self.messages.clear()
            self.expected = 0


def make(chosen):
    """A Foo, its interval in nanoseconds and its on_message; a fast one clears its list itself.

    How much is kept at once is bounded, and the bound soon met: else chance alone would let the
    resident memory grow, as the allocator never gives back all that it needed once.
    """
    interval = chosen.choice((1_000, 10_000, 100_000, 1_000_000))
    order = None
    if interval < 1_000_000 or chosen.random() < 0.5:
        order = Order(chosen.choice((None, None, 1, 10)))
    foo = Foo(interval / 1e9, order)
    if order:
        order.messages = foo.messages
    return foo, interval, order


def pass_time(chosen, foo):
    """For up to 3 ms, in one of the ways in which a thread may be when others want the GIL."""
    at_most = chosen.uniform(0, 0.003)
    match chosen.randrange(3):
        case 0:
            time.sleep(at_most)
        case 1:
            foo.wait(chosen.randrange(20), at_most)
        case 2:
            end = time.monotonic() + at_most
            while time.monotonic() < end:
                pass


def one_run(chosen):
    """A Foo of its own: what it delivered is held against the clock."""
    foo, interval, order = make(chosen)
    before_start = time.monotonic_ns()
    foo.start()
    after_start = time.monotonic_ns()
    count("runs")
    pass_time(chosen, foo)
    before_stop = time.monotonic_ns()
    foo.stop()
    after_stop = time.monotonic_ns()
    messages, error = foo.messages, foo.error
    delivered = order.called if order else len(messages)
    count("messages", delivered)
    least = (before_stop - after_start - interval // 100) // interval + 1
    most = (after_stop - before_start) // interval + 1
    lasted = after_stop - before_stop
    seen = (interval, order and vars(order), error, lasted, least, delivered, most)
    if error is not None:
        expect(order and delivered == order.raises_at, "otherwise wrong", *seen)
    elif lasted < GRACE:
        expect(delivered >= least, "lost", *seen)
    elif delivered < least:
        count("given up")
    expect(delivered <= most, "doubled", *seen)
    kept = delivered % KEPT if order else delivered
    expect(messages == list(range(kept)), "otherwise wrong", messages, *seen)
    expect(not foo.running, "otherwise wrong", *seen)


def with_another(chosen, shared):
    """A Foo that every thread starts, stops and waits for; its callback sees to the order."""
    foo = chosen.choice(shared)
    match chosen.randrange(3):
        case 0:
            with contextlib.suppress(RuntimeError):  # it is running
                foo.start()
                count("runs")
        case 1:
            foo.stop()
        case 2:
            pass_time(chosen, foo)


def collect(chosen):
    """Foos that run until the collector finds the cycle that refers to them."""
    garbage = [make(chosen)[0] for _ in range(5)]
    for foo in garbage:
        foo.start()
    garbage.append(garbage)
    del foo, garbage
    gc.collect()


def storm(number, seed, shared):
    chosen = random.Random(f"{seed} {number}")
    while not over.is_set():
        rounds[number] += 1
        match chosen.randrange(100):
            case 0:
                gc.collect()
            case 1:
                collect(chosen)
            case choice if choice < 50:
                one_run(chosen)
            case _:
                with_another(chosen, shared)


def tell(**more):
    ctypes.CDLL(None).malloc_trim(0)  # what chance made each thread's arena need, and is free
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    resident = pages * resource.getpagesize()
    print(json.dumps({**counted, "rounds": rounds, "resident": resident, **more}), flush=True)


def main(seconds, seed):
    gc.set_threshold(100)
    sys.setswitchinterval(1e-4)  # more happens, than at 5 ms, in a second
    shared = []
    for number in range(8):
        order = Order()
        shared.append(Foo(10.0 ** -(3 + number % 4), order))
        order.messages = shared[-1].messages
    threads = [threading.Thread(target=storm, args=(n, seed, shared)) for n in range(THREADS)]
    for each in threads:
        each.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        second = time.monotonic() + 1
        while time.monotonic() < second:
            pass  # never pauses, as a computation does not
        tell()
    over.set()
    for each in threads:
        each.join()
    for foo in shared:
        foo.stop()
    tell(done=True)


main(float(sys.argv[1]), sys.argv[2])
