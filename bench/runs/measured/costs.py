"""What a message costs when COUNT workers share a rate: processor time of the process.

Usage: costs.py SIDE COUNT RATE SECONDS. The interval of each is COUNT / RATE.
"""

import json
import os
import sys
import time

from workers import worker

side, count = sys.argv[1], int(sys.argv[2])
interval, seconds = count / float(sys.argv[3]), float(sys.argv[4])

workers = [worker(side, interval) for _ in range(count)]
lists = [each.messages for each in workers]
start = time.monotonic()
spread = interval / count  # their phases, so that the rate is even
for number, each in enumerate(workers):
    each.start()
    if count <= 1000 and spread > 1e-4:
        time.sleep(max(0.0, start + (number + 1) * spread - time.monotonic()))
for messages in lists:
    messages.clear()
begin, cpu = time.monotonic(), time.process_time()
time.sleep(seconds)
cpu, elapsed = time.process_time() - cpu, time.monotonic() - begin
arrived = sum(map(len, lists))
print(json.dumps({"cpu": cpu, "messages": arrived, "elapsed": elapsed}), flush=True)
os._exit(0)  # a thousand threads would take an interval each to stop
