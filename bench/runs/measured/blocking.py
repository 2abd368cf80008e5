"""Foos whose on_message blocks, with the GIL released, beside a thousand others that only count.

Usage: blocking.py BLOCKING SECONDS: how many block, a second at a time. The others' interval is
100 ms, and their starts are spread over it.
"""

import json
import os
import sys
import time
from pathlib import Path
from time import monotonic

from Foo import Foo

blocking, seconds = int(sys.argv[1]), float(sys.argv[2])
OTHERS, INTERVAL, BLOCK = 1000, 0.1, 1.0

others = [Foo(INTERVAL, on_message=None) for _ in range(OTHERS)]
lists = [foo.messages for foo in others]
start, due = monotonic(), []
for number, foo in enumerate(others):
    time.sleep(max(0.0, start + number * INTERVAL / OTHERS - monotonic()))
    due.append(monotonic())
    foo.start()
blockers = [Foo(BLOCK, on_message=lambda n: time.sleep(BLOCK)) for _ in range(blocking)]
for foo in blockers:
    foo.start()
time.sleep(0.2)  # until all of them block

known = list(map(len, lists))
due = [begin + count * INTERVAL for begin, count in zip(due, known, strict=True)]
lateness, threads, pause = [], 0, 0.0
now = begin = monotonic()
while now < begin + seconds:
    time.sleep(0.001)
    pause = max(pause, monotonic() - now)
    for which, messages in enumerate(lists):
        if len(messages) > known[which]:
            now = monotonic()
            for _ in range(known[which], len(messages)):
                lateness.append(now - due[which])
                due[which] += INTERVAL
            known[which] = len(messages)
    now = monotonic()
    threads = max(threads, len(list(Path("/proc/self/task").iterdir())))
overdue = max(0.0, max(now - each for each in due))
said = {"lateness": lateness, "overdue": overdue, "threads": threads, "pause": pause}
print(json.dumps(said), flush=True)
os._exit(0)  # rather than wait for what blocks
