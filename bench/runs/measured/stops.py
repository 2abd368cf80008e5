"""How long stop() takes, again and again, idle or beside Python that computes.

Usage: stops.py SIDE INTERVAL TIMES idle|busy_thread|busy_caller. Times are in seconds.
"""

import json
import sys
import threading
import time
from time import perf_counter

from workers import worker

side, interval, times, where = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
BETWEEN = 0.002  # seconds from the first message to stop()

ended = False


def compute() -> None:
    while not ended:
        pass


def compute_for(seconds: float) -> None:
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


if where == "busy_thread":
    threading.Thread(target=compute).start()
took = []
for _ in range(times):
    stopped = worker(side, interval)
    stopped.start()
    while not stopped.messages:  # it is under way
        time.sleep(0.001)
    (compute_for if where == "busy_caller" else time.sleep)(BETWEEN)
    begin = perf_counter()
    stopped.stop()
    took.append(perf_counter() - begin)
ended = True
print(json.dumps({"took": took}))
