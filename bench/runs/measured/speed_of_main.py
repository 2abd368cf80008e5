"""How fast the main thread computes, alone and beside a worker, in turns.

Usage: speed_of_main.py SIDE INTERVAL PAIRS. Speeds are rounds a second, without the time in which
the thread could have run but had no processor; queued is the share that this was.
"""

import json
import sys
import time
from pathlib import Path

from workers import worker

side, interval, pairs = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
SLICE = 0.1  # seconds: what neighbours of the machine do lasts longer


def queued() -> float:
    """How long this thread, the main one, has waited for a processor so far, in seconds."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


def speed() -> float:
    waited = queued()
    begin = now = time.perf_counter()
    rounds = 0
    while now < begin + SLICE:
        for _ in range(1000):
            pass
        rounds += 1
        now = time.perf_counter()
    waited = queued() - waited
    shares.append(waited / (now - begin))
    return rounds / (now - begin - waited)


def speed_beside() -> float:
    beside = worker(side, interval)
    beside.start()
    try:
        return speed()
    finally:
        beside.stop()


shares = []
speed()
alone, beside = [], []
for pair in range(pairs):
    order = [(speed, alone), (speed_beside, beside)]
    for measured, speeds in order if pair % 2 == 0 else reversed(order):
        speeds.append(measured())
print(json.dumps({"alone": alone, "beside": beside, "queued": shares}))
