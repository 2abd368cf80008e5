"""Results of a native thread that a coroutine awaits: from when one is there to when it goes on.

Usage: awaited.py promise|by_hand|executor COUNT idle|busy. With busy another thread computes.
"""

import asyncio
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import native_results

side, count, is_busy = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "busy"


def compute():
    while True:
        sum(range(100))


async def promise():
    return await native_results.by_promise()


async def by_hand():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    native_results.by_hand(loop.call_soon_threadsafe, future.set_result)
    return await future


async def executor():
    return await asyncio.get_running_loop().run_in_executor(pool, native_results.in_executor)


async def main():
    ask = {"promise": promise, "by_hand": by_hand, "executor": executor}[side]
    for each in range(-20, count):  # the first are to warm it
        there = await ask()
        latency = time.monotonic_ns() - there
        if each >= 0:
            latencies.append(latency / 1e9)
            if side != "executor":
                spent.append(native_results.producer_spent() / 1e9)


latencies, spent = [], []
pool = ThreadPoolExecutor(1)
if is_busy:
    threading.Thread(target=compute, daemon=True).start()
asyncio.run(main())
print(json.dumps({"latencies": latencies, "spent": spent}), flush=True)
