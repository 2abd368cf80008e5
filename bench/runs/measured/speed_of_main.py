"""How fast the main thread computes, alone and beside a worker, in turns.

Usage: speed_of_main.py SIDE INTERVAL PAIRS. Speeds are rounds a second.
"""

import json
import sys
import time

from workers import worker

side, interval, pairs = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
SLICE = 0.5  # seconds


def speed() -> float:
    begin = now = time.perf_counter()
    rounds = 0
    while now < begin + SLICE:
        for _ in range(1000):
            pass
        rounds += 1
        now = time.perf_counter()
    return rounds / (now - begin)


def speed_beside() -> float:
    beside = worker(side, interval)
    beside.start()
    try:
        return speed()
    finally:
        beside.stop()


speed()
alone, beside = [], []
for pair in range(pairs):
    order = [(speed, alone), (speed_beside, beside)]
    for measured, speeds in order if pair % 2 == 0 else reversed(order):
        speeds.append(measured())
print(json.dumps({"alone": alone, "beside": beside}))
