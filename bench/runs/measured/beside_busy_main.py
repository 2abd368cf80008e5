"""A worker beside a main thread that computes: when the main thread saw how many messages.

Usage: beside_busy_main.py SIDE INTERVAL SECONDS. Times are seconds since just before start().
"""

import json
import sys
import time

from workers import worker

side, interval, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
patience = 0.1  # for the last messages

warm_up = worker(side, interval)  # the first one makes threads, and imports
warm_up.start()
warm_up.stop()

measured = worker(side, interval)
messages = measured.messages
seen, known = [], 0
begin = now = time.monotonic()
measured.start()
while now < begin + seconds + patience:
    count = len(messages)
    now = time.monotonic()  # after the count: what it says was there by then
    if count != known:
        seen.append((now - begin, count))
        known = count
measured.stop()
print(json.dumps({"seen": seen}))
