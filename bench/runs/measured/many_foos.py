"""Many Foos without a callback, from the first to the exit: memory, times, lateness, counts.

Usage: many_foos.py COUNT INTERVAL SECONDS stopped|running: how they are when the script ends.
"""

import json
import os
import sys
import time
from collections import deque
from pathlib import Path
from time import monotonic

import gil_probe
from Foo import Foo

count, interval, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
GROUP = 1000  # Foos; of each group the first is watched, and the time of starting it is known
LEEWAY = min(interval / 100, 0.010)
PATIENCE = 20  # seconds, for what should take one


def resident() -> int:
    """Bytes."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:"))


def for_each(act) -> list[float]:
    """When each group began, and the end. What takes too long ends the program."""
    times = [monotonic()]
    for first in range(0, count, GROUP):
        for foo in foos[first : first + GROUP]:
            act(foo)
        times.append(monotonic())
        if times[-1] - times[0] > PATIENCE:
            took = f"{times[-1] - times[0]:.0f} s"
            end_early(f"{act.__name__}() of {first + GROUP:,} of {count:,} Foos took {took}")
    said[act.__name__] = times[-1] - times[0]
    return times


def end_early(reason: str) -> None:
    """Says what is known so far: Foos that the machine cannot carry fill its memory."""
    print(json.dumps(said | {"ended_early": reason}), flush=True)
    os._exit(0)


said = {}
foos = [None] * count  # the user's list is not Foo's memory
Foo(interval, None)
before, begin = resident(), monotonic()
for n in range(count):
    foos[n] = Foo(interval, None)
said["construction"] = monotonic() - begin
said["bytes_a_foo"] = (resident() - before) / count

started = for_each(Foo.start)
said["bytes_a_foo_started"] = (resident() - before) / count

# The main thread now sleeps a millisecond at a time, looks at what fell due in the watched Foos,
# and notes how long it waited for the GIL. What that costs is taken off the processor's time.
watched = [foo.messages for foo in foos[::GROUP]]
now = monotonic()
pending = deque()
for which, messages in enumerate(watched):
    known = len(messages)
    pending.append((started[which] + known * interval, which, known))
pending = deque(sorted(pending))
waits, lateness = [], []
arrived = -sum(map(len, watched))
begin, cpu, own = now, time.process_time(), time.thread_time()
while now < begin + seconds:
    waits.append(gil_probe.sleep(0.001))
    now = monotonic()
    while pending[0][0] <= now and len(watched[pending[0][1]]) > pending[0][2]:
        due, which, number = pending.popleft()
        lateness.append(now - due)
        pending.append((due + interval, which, number + 1))
elapsed = monotonic() - begin
cpu, own = time.process_time() - cpu, time.thread_time() - own
arrived += sum(map(len, watched))

lateness.sort()
said |= {
    "cpu_share": cpu / elapsed,
    "cpu_share_foos": (cpu - own) / elapsed,
    "messages_per_second": arrived * GROUP / elapsed,
    "cpu_a_message": (cpu - own) / (arrived * GROUP),
    "behind": max(0.0, now - pending[0][0]),
    "on_time": sum(1 for each in lateness if each <= LEEWAY + sys.getswitchinterval())
    / len(lateness),
    "lateness_p50": lateness[len(lateness) // 2],
    "lateness_p99": lateness[int(len(lateness) * 0.99)],
    "lateness_max": lateness[-1],
    "gil_wait_p99": sorted(waits)[int(len(waits) * 0.99)],
    "gil_wait_max": max(waits),
}

stopped = for_each(Foo.stop)
held = list(map(len, foos))
complete = 0
for which in range(len(watched)):
    least = (stopped[which] - LEEWAY - started[which + 1]) // interval + 1
    most = (stopped[which + 1] - started[which]) // interval + 1
    group = held[which * GROUP : (which + 1) * GROUP]
    complete += sum(1 for each in group if least <= each <= most)
said["complete"] = complete / count

if sys.argv[4] == "running":
    for foo in foos:
        foo.start()
said["last_line"] = monotonic()
print(json.dumps(said), flush=True)
