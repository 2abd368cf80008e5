"""A machine that does anything with some Foos, in any order, and knows what must hold (Hypothesis).

The model of a Foo is whether it may be running and may be stopped; what it has called and raised
is written down by its callback. While it may be either, only what always holds is checked.
"""

import contextlib
import gc
import os
import select
import threading
import time
import traceback
import warnings
import weakref

from Foo import Foo
from hypothesis import strategies
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

ONCE = 3600.0  # an interval of which only the first message comes
PATIENCE = 10.0  # seconds until what hangs is a failure


class TroubleError(Exception):
    """What a callback raises."""


# Habits of a callback: those that raise, those that end its Foo, and all.
RAISED = {"raises": TroubleError, "interrupts": KeyboardInterrupt, "exits": SystemExit}
ENDING = (*RAISED, "stops", "drops")
HABITS = (
    None,
    "none",
    *ENDING,
    "dawdles",
    "restarts",
    "collects garbage",
    "forks",
    "starts another",
    "stops another",
)


class Subject:
    """A Foo, its callback, and what is known of it."""

    def __init__(self, interval, habit, period, other):
        self.interval = interval
        self.habit = habit
        self.period = period  # of messages from one misdeed to the next
        self.other = other
        self.calls = []
        self.in_progress = 0
        self.raised = []
        self.starts = 0
        self.stops = 0  # by its callback
        self.children = []
        self.states = {False}  # those that `running` may have
        self.raised_before = 0  # this run; None: unknown
        self.silent_since = 0  # the number of calls after which none may follow; None: unknown
        self.whole_list = True  # nobody has cleared it
        self.meddled_with = False  # by the callback of another
        self.reformed = False  # it misbehaves no more
        self.foo = Foo(interval, None if habit is None else self.on_message)
        if habit in ("starts another", "stops another"):
            other.meddled_with = True
            other.states = {False, True}
            other.silent_since = other.raised_before = None

    def __repr__(self):
        return f"<{self.habit} every {self.period}, {self.foo!r}>"

    def on_message(self, n):
        self.calls.append(n)
        self.in_progress += 1
        try:
            if n % self.period == self.period - 1 and self.foo is not None and not self.reformed:
                if self.habit in RAISED:
                    self.raised.append(RAISED[self.habit](n))
                    raise self.raised[-1]
                self.misbehave(self.foo)
        finally:
            self.in_progress -= 1

    def misbehave(self, foo):
        match self.habit:
            case "stops":
                foo.stop()
                self.stops += 1
            case "dawdles":
                time.sleep(0.005)
            case "restarts":
                foo.stop()
                with contextlib.suppress(RuntimeError):
                    foo.start()
            case "drops":
                self.foo = None
            case "collects garbage":
                gc.collect()
            case "forks" if len(self.children) < 3:
                child = os.fork()
                if child == 0:
                    os._exit(1 if foo.running else 0)
                self.children.append(child)
            case "starts another" if self.other.foo is not None:
                with contextlib.suppress(RuntimeError):
                    self.other.foo.start()
            case "stops another" if self.other.foo is not None:
                self.other.foo.stop()

    @property
    def strict(self):
        """Whether nobody but the machine starts it."""
        return not self.meddled_with and self.habit != "restarts"

    def has_started(self, raised_before):
        self.starts += 1
        self.raised_before = raised_before if self.states == {False} else None
        self.states = {True}
        if not self.strict or self.habit in ENDING:
            self.states = {False, True}
        self.silent_since = None

    def has_stopped(self):
        if self.strict:
            self.states = {False}
            self.silent_since = len(self.calls)

    def check(self, foo):
        """What holds at any time."""
        running = foo.running
        assert running in self.states, (running, self.states)
        if self.silent_since is not None:
            assert len(self.calls) == self.silent_since, (len(self.calls), self.silent_since)
        if self.states == {False}:
            self.check_at_rest(foo)

    def check_at_rest(self, foo):
        assert self.in_progress == 0
        if self.strict:
            assert len(self.raised) + self.stops <= self.starts  # each ends a run
        assert foo.messages == list(range(len(foo)))
        if self.habit is not None and self.whole_list:
            assert self.calls == foo.messages
        if self.raised_before is not None:
            raised = self.raised[self.raised_before :]
            assert foo.error is (raised[-1] if raised else None), (foo.error, raised)
        else:
            assert foo.error is None or foo.error is self.raised[-1]


def ends_well(child):
    """Whether it ends within PATIENCE, with code 0."""
    descriptor = os.pidfd_open(child)
    try:
        if select.select([descriptor], [], [], PATIENCE)[0] == []:
            os.kill(child, 9)
        return os.waitpid(child, 0)[1] == 0
    finally:
        os.close(descriptor)


PLANS = strategies.fixed_dictionaries(
    {
        "interval": strategies.sampled_from([1e-5, 0.001, ONCE]),
        "habit": strategies.sampled_from(HABITS),
        "period": strategies.sampled_from([1, 2, 20]),
        "other": strategies.integers(0, 5),
    }
)


class FooMachine(RuleBasedStateMachine):
    subjects = Bundle("subjects")

    def __init__(self):
        super().__init__()
        self.known = []
        self.reported = []
        self.gone = []  # (subject, its calls when it went)
        self.hook, threading.excepthook = threading.excepthook, self.report
        warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads

    def report(self, arguments):
        self.reported.append(arguments.exc_value)

    @initialize(target=subjects, plans=strategies.tuples(PLANS, PLANS, PLANS))
    def begin(self, plans):
        return multiple(*(self.make_one(**plan) for plan in plans))

    @rule(target=subjects, plan=PLANS)
    def make(self, plan):
        return self.make_one(**plan)

    def make_one(self, interval, habit, period, other):
        candidates = [each for each in self.known if each.foo is not None]
        if habit in ("starts another", "stops another") and not candidates:
            habit = "none"
        other = candidates[other % len(candidates)] if candidates else None
        self.known.append(Subject(interval, habit, period, other))
        return self.known[-1]

    @rule(subject=subjects)
    def start(self, subject):
        foo = subject.foo
        if foo is None:
            return
        raised_before = len(subject.raised)
        try:
            foo.start()
        except RuntimeError as refusal:
            assert "running already" in str(refusal)
            assert True in subject.states
        else:
            assert False in subject.states
            subject.has_started(raised_before)

    @rule(subject=subjects)
    def stop(self, subject):
        foo = subject.foo
        if foo is None:
            return
        foo.stop()
        subject.has_stopped()

    @rule(subject=subjects, times=strategies.integers(1, 4))
    def run(self, subject, times):
        """To the first message and no further, again and again."""
        for _ in range(times):
            foo = subject.foo
            if foo is None or subject.states != {False}:
                return
            count = len(foo) + 1
            self.start(subject)
            foo.wait(count, PATIENCE)
            foo.stop()
            subject.has_stopped()
            subject.check(foo)
            assert len(foo) >= count

    @rule(subject=subjects)
    def stop_while_a_thread_waits(self, subject):
        foo = subject.foo
        if foo is None or not subject.strict:
            return
        results = []
        waiter = threading.Thread(target=lambda: results.append(foo.wait(10**9, PATIENCE)))
        before = time.monotonic()
        waiter.start()
        foo.stop()
        subject.has_stopped()
        waiter.join()
        assert results == [False]
        assert time.monotonic() - before < PATIENCE

    @rule(subject=subjects, more=strategies.integers(1, 30))
    def wait(self, subject, more):
        foo = subject.foo
        if foo is None:
            return
        assert foo.wait(0, 0)
        if subject.states == {False}:
            assert not foo.wait(len(foo) + more)
        elif subject.interval != ONCE:
            delivered = foo.wait(len(foo) + more, PATIENCE)
            assert delivered or False in subject.states
            if not delivered and subject.strict:
                subject.states = {False}
                foo.stop()  # returns when the report of the error has
                subject.has_stopped()

    @rule(subject=subjects)
    def clear_the_list(self, subject):
        if subject.foo is not None:
            subject.foo.messages.clear()
            subject.whole_list = False

    @rule(subject=consumes(subjects))
    def drop(self, subject):
        self.let_go(subject, lambda: None)

    @rule(subject=consumes(subjects))
    def drop_in_a_cycle(self, subject):
        cycle = [subject.foo]
        cycle.append(cycle)
        del cycle
        self.let_go(subject, gc.collect)

    def let_go(self, subject, collect):
        foo, subject.foo = subject.foo, None
        if foo is None:
            return
        freed = weakref.ref(foo)
        del foo
        end = time.monotonic() + PATIENCE
        collect()
        while freed() is not None:  # in a callback of its own, or of another, that uses it now
            assert time.monotonic() < end
            collect()
        if subject.strict:
            self.gone.append((subject, len(subject.calls)))

    @rule()
    def collect_garbage(self):
        gc.collect()

    @rule()
    def fork(self):
        """In the child every Foo is stopped, with its messages, and can be started again."""
        child = os.fork()
        if child == 0:
            try:
                for subject in self.known:
                    foo = subject.foo
                    if foo is None:
                        continue
                    assert not foo.running
                    assert foo.messages == list(range(len(foo)))
                    count = len(foo)
                    subject.reformed = True
                    foo.start()
                    assert foo.wait(count + 1, PATIENCE)
                    foo.stop()
                    assert foo.messages == list(range(len(foo)))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert ends_well(child)

    @invariant()
    def nothing_is_amiss(self):
        for subject in self.known:
            foo = subject.foo
            if foo is not None:
                subject.check(foo)
        for subject, calls in self.gone:
            assert len(subject.calls) == calls

    def teardown(self):
        try:
            running = True
            while running:  # until no callback starts another any more
                running = False
                for subject in self.known:
                    foo = subject.foo
                    if foo is not None:
                        subject.reformed = True
                        foo.stop()
                        running = running or foo.running
            for subject in self.known:
                foo = subject.foo
                if foo is not None:
                    subject.check_at_rest(foo)
                assert all(ends_well(child) for child in subject.children)
            raised = [each for subject in self.known for each in subject.raised]
            assert {id(each) for each in raised} == {id(each) for each in self.reported}
            assert len(raised) == len(self.reported)
        finally:
            threading.excepthook = self.hook
