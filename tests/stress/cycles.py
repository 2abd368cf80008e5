"""Starts and stops a Foo of 1 us, CYCLES times, beside a main thread that never pauses.

Usage: handoff cycles.py CYCLES. Prints a line of JSON a second: how many are done so far.
"""

import json
import sys
import threading
import time

from Foo import Foo

GRACE = 0.09  # seconds: a little less than what a stop() gives itself to deliver

done = wrong = given_up = 0


def cycle(times):
    global done, wrong, given_up
    calls = []
    foos = Foo(1e-6, None), Foo(1e-6, calls.append)
    for n in range(times):
        foo = foos[n % 2]
        foo.start()
        before = time.monotonic()
        foo.stop()
        lasted = time.monotonic() - before
        messages = foo.messages
        in_order = messages == list(range(len(messages))) and calls in ([], messages)
        if foo.running or not in_order or (not messages and lasted < GRACE):
            print("otherwise wrong", foo, lasted, messages, calls, file=sys.stderr, flush=True)
            wrong += 1
        given_up += not messages
        messages.clear()
        calls.clear()
        done += 1


cycling = threading.Thread(target=cycle, args=[int(sys.argv[1])])
cycling.start()
while cycling.is_alive():
    second = time.monotonic() + 1
    while cycling.is_alive() and time.monotonic() < second:
        pass
    print(json.dumps({"cycles": done, "rounds": [done]}), flush=True)
print(json.dumps({"cycles": done, "otherwise wrong": wrong, "given up": given_up, "done": True}))
