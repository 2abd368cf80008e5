"""Drops Foos for SECONDS, in one of the storms that the seed chooses, and leaves.

Usage: handoff drop.py SECONDS SEED. Prints the storm's name, and at the end a line of JSON: what
was counted. A drop waits for nobody, no callback begins after it, and what the run referred to goes
soon after.
"""

import _thread
import collections
import contextlib
import functools
import gc
import json
import logging
import os
import random
import signal
import sys
import threading
import time
import weakref

from Foo import Foo

SOON = 20  # seconds, until what a dropped run refers to counts as kept for ever
INTERVALS = (1e-6, 1e-5, 1e-4, 1e-3)

counted, counting = collections.Counter(), threading.Lock()
chosen = random.Random(sys.argv[2])
kept = weakref.WeakSet()  # what the runs refer to
over = time.monotonic() + float(sys.argv[1])


def wrong(*seen):
    with counting:
        counted["otherwise wrong"] += 1
        first = counted["otherwise wrong"] == 1
    if first:
        print(*seen, file=sys.stderr, flush=True)


def report(error):
    """For threading.excepthook: no callback of a storm's raises, while its objects are whole."""
    wrong("an on_message raised", repr(error.exc_value))


class Calls(list):
    """What on_message appends to, by a method of C's: it is called within one hold of the GIL."""

    __hash__ = object.__hash__

    def __init__(self):
        kept.add(self)


def pass_time(at_most):
    """In one of the ways in which a thread may be when others want the GIL."""
    if chosen.random() < 0.5:
        threading.Event().wait(chosen.uniform(0, at_most))
    else:
        end = time.monotonic() + chosen.uniform(0, at_most)
        while time.monotonic() < end:
            pass


def started(on_message, foo_class=Foo):
    foo = foo_class(chosen.choice(INTERVALS), on_message)
    foo.start()
    return foo


class Interrupts:
    """SIGINT at random moments, from a thread; it raises where it is allowed to."""

    def __init__(self):
        self.armed, self.over = False, False
        signal.signal(signal.SIGINT, self.handle)
        self.thread = threading.Thread(target=self.send)
        self.thread.start()

    def send(self):
        moments = random.Random(sys.argv[2])
        send = functools.partial(os.kill, os.getpid(), signal.SIGINT)
        while not self.over:
            threading.Event().wait(moments.uniform(0, 0.002))
            moments.choice((send, _thread.interrupt_main))()

    def handle(self, *_):
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt

    def interrupted(self, call):
        """Calls it, and is interrupted before, within or after that, or not at all."""
        try:
            self.armed = True
            call()
            self.armed = False
        except KeyboardInterrupt:
            counted["interrupts"] += 1

    def end(self):
        self.over = True
        self.thread.join()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupted_drops():
    """Foos that owe messages, or whose callback runs, are dropped under random Ctrl-C."""
    interrupts, final = Interrupts(), []
    while time.monotonic() < over:
        foos, calls = [], [Calls() for _ in range(5)]
        begun, may_end = threading.Event(), threading.Event()

        def block(_, begun=begun, may_end=may_end):
            begun.set()
            may_end.wait()

        foos += [started(each.append) for each in calls]
        if chosen.random() < 0.5:
            foos.append(started(block))
            begun.wait()
        if chosen.random() < 0.5:
            foos.append(foos)
        pass_time(0.002)
        counted["drops"] += len(calls)
        if foos[-1] is foos:
            alive = [weakref.ref(foo) for foo in foos[:-1]]
            del foos
            interrupts.interrupted(gc.collect)
            gc.collect()  # if the first was interrupted before it began
            if any(each() is not None for each in alive):
                wrong("a collection did not drop", alive)
        else:
            interrupts.interrupted(foos.clear)
            foos.clear()
        final.append((calls, list(map(len, calls))))
        may_end.set()
        if len(final) > 10:
            check_final(final)
    interrupts.end()
    check_final(final)


def check_final(final):
    """None of the callbacks has begun since its Foo was dropped.

    Without a GIL one may have begun before, and be counted after.
    """
    on_their_way = 0 if getattr(sys, "_is_gil_enabled", lambda: True)() else 1
    with Foo(0.001, None) as clock:
        clock.wait(3)
    for calls, at_the_drop in final:
        if any(
            len(now) - then > on_their_way for now, then in zip(calls, at_the_drop, strict=True)
        ):
            wrong("called after the drop", list(map(len, calls)), at_the_drop)
    final.clear()


class CollectsWhereItLogs(logging.Handler):
    """Collects while it holds its lock, which a callback wants that logs."""

    def emit(self, record):
        if record.name == "collects":
            gc.collect()


class Holder:
    """Its Foo and its callback refer to it: a cycle."""

    def __init__(self, *locks):
        self.locks, self.calls = locks, Calls()
        self.foo = started(self.handle)

    def handle(self, n):
        chosen_lock = self.locks[n % len(self.locks)]
        with chosen_lock:
            self.calls.append(n)
        logging.getLogger("callback").error(n)


def collections_within_locks():
    """Cycles with running Foos are collected where locks are held that their callbacks want."""
    gc.set_threshold(100)
    logging.getLogger().addHandler(CollectsWhereItLogs())
    locks = [threading.Lock(), threading.RLock()]

    def storm(seed):
        moments = random.Random(f"{sys.argv[2]} {seed}")
        while time.monotonic() < over:
            holders = [Holder(*locks) for _ in range(3)]
            holders[0].foo.wait(moments.randrange(5), 0.01)
            del holders
            match moments.randrange(3):
                case 0:
                    with moments.choice(locks):
                        gc.collect()
                case 1:
                    logging.getLogger("collects").error("collect")
                case 2:
                    with moments.choice(locks):
                        garbage = [[] for _ in range(200)]
                        for each in garbage:
                            each.append(each)
                        del garbage, each
            with counting:
                counted["drops"] += 3

    threads = [threading.Thread(target=storm, args=[n]) for n in range(2)]
    for each in threads:
        each.start()
    storm("main")
    for each in threads:
        each.join()


class LetsOthersIn:
    """Hands the GIL over while what refers to it is being cleared; the collector knows it not."""

    __slots__ = ()
    clock = Foo(0.001, None)

    def __del__(self, clock=clock):
        clock.wait(len(clock) + 2, 1)


class Plain(Foo):
    """Its own method is its callback. Each subclass has another __del__."""

    def __init__(self, restarts):
        self.lets_others_in, self.whole, self.restarts = LetsOthersIn(), Calls(), restarts
        super().__init__(chosen.choice(INTERVALS), self.handle)

    def handle(self, n):
        self.whole.append(n)
        if self.restarts:
            self.stop()
            with contextlib.suppress(RuntimeError):  # it was dropped
                self.start()


class Idle(Plain):
    def __del__(self):
        self.interval  # noqa: B018


class Stops(Plain):
    def __del__(self):
        self.stop()


class Rises(Plain):
    risen = 0

    def __del__(self):
        if chosen.random() < 0.3:
            Rises.last = self
            Rises.risen += 1


def subclasses():
    """Foos whose class has a __del__, in cycles, whose callbacks may stop and start them."""
    gc.disable()
    while time.monotonic() < over:
        foos = [
            foo_class(restarts) for foo_class in (Plain, Idle, Stops, Rises) for restarts in (0, 1)
        ]
        for foo in foos:
            foo.start()
        foos[0].wait(1, 0.01)
        pass_time(0.002)
        counted["drops"] += len(foos)
        del foos, foo
        gc.collect()
    if Rises.risen:
        del Rises.last


def main():
    threading.excepthook = report
    LetsOthersIn.clock.start()
    storm = chosen.choice((interrupted_drops, collections_within_locks, subclasses))
    print(storm.__name__, flush=True)
    storm()
    soon = time.monotonic() + SOON
    while kept and time.monotonic() < soon:
        gc.collect()
        threading.Event().wait(0.001)
    if kept:
        wrong(len(kept), "callbacks are still referred to", SOON, "s after the drop")
    LetsOthersIn.clock.stop()
    print(json.dumps(counted), flush=True)


main()
