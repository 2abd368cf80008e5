"""A native thread's samples, awaited in asyncio while another task runs.

Look at: the event loop turns thousands of times a second while a million samples a second arrive.
No thread waits: the native one wakes the loop. Nothing is lost when the timeout ends the reading.
"""

import asyncio
import sys
from pathlib import Path

# The build puts the module beside the host, to which an environment's Python is a link.
sys.path.append(str(Path(sys.executable).resolve().parent))
try:
    from sensor import Sensor
except ImportError:
    sys.exit(
        "await_samples.py needs its module sensor, which is not installed with the host: run `make "
        "build` in a clone of Handoff, then build/Release/bin/handoff scripts/await_samples.py"
    )


async def count_turns(turns: list[int]) -> None:
    while True:
        turns[0] += 1
        await asyncio.sleep(0)


async def main() -> None:
    sensor, turns, seen = Sensor(1e6), [0], 0
    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count_turns(turns))
        try:
            async with asyncio.timeout(1):
                async for batch in sensor.samples.batches_async():
                    seen += len(batch)
        except TimeoutError:
            sensor.stop()
        async for batch in sensor.samples.batches_async():  # what is still there
            seen += len(batch)
        counting.cancel()
    counts = sensor.samples.counts
    print(
        f"samples        {seen}; every one arrived: {seen == counts['pushed'] - counts['dropped']}"
    )
    print(f"turns          {turns[0]} of the event loop")


if __name__ == "__main__":
    asyncio.run(main())
