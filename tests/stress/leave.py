"""Runs a few Foos, of whatever kind the seed says, and leaves at a random moment in a random way.

Usage: handoff leave.py SEED. Prints the way and the exit code when all is set up; the last line,
of JSON, is what was delivered, and what the clock demands.
"""

import atexit
import json
import os
import random
import sys
import threading
import time

# And its exit code; the last two wait to be interrupted.
WAYS = {"script": 0, "thread": 0, "error": 1, "exit": 3, "os_exit": 4, "wait": None, "busy": None}

chosen = random.Random(sys.argv[1])
way = chosen.choice(list(WAYS))
end, foos = None, []


@atexit.register  # before Foo is imported: called after Foo's own hook, when all is final
def report():
    now = time.monotonic_ns()
    rows = []
    for foo, interval, called, before, after in foos:
        messages = foo.messages
        in_order = messages == list(range(len(messages))) and called in (None, messages)
        least = 0 if foo.error else max(0, end - after) // interval + 1
        most = (now - before) // interval + 1
        rows.append((least, len(messages), most, in_order and not foo.running))
    print(json.dumps(rows), flush=True)


from Foo import Foo  # noqa: E402


def on_message(called, raises_at):
    def collect(n):
        called.append(n)
        garbage = [bytearray(n % 500)]
        garbage.append(garbage)
        if n == raises_at:
            sys.exit()  # ends that Foo, silently

    return collect


def start_and_stop():
    try:
        while True:
            with Foo(1e-5, lambda n: None) as foo:
                foo.wait(3)
    except RuntimeError:
        pass  # Python is shutting down


def run_one():
    interval = chosen.choice((10_000, 100_000, 1_000_000, 10_000_000))  # nanoseconds
    called = [] if chosen.random() < 0.6 else None
    raises_at = chosen.choice((None, None, 0, 5))
    foo = Foo(interval / 1e9, None if called is None else on_message(called, raises_at))
    before = time.monotonic_ns()
    foo.start()
    foos.append((foo, interval, called, before, time.monotonic_ns()))


try:
    for _ in range(chosen.randrange(3)):
        threading.Thread(target=start_and_stop, daemon=True).start()
    for _ in range(chosen.randrange(1, 10)):
        run_one()
    print(way, WAYS[way], flush=True)
    moment = time.monotonic() + chosen.uniform(0, 0.05)
    if way == "wait":
        while True:
            foos[0][0].wait(10**9, 0.05)
    while way == "busy":
        pass
    if chosen.random() < 0.5:
        time.sleep(max(0, moment - time.monotonic()))
    while time.monotonic() < moment:
        pass
    if way == "exit":
        sys.exit(3)
    if way == "error":
        raise ValueError
    if way == "os_exit":
        os._exit(4)
    if way == "thread":
        threading.Thread(target=foos[0][0].wait, args=[5, 0.01]).start()
finally:
    end = time.monotonic_ns()
