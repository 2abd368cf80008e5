"""Results of a native thread that a coroutine awaits, in three ways: how late they are.

What: a coroutine in asyncio awaits one result after the other, which is there after 0.2 ms; in the
host, idle, and beside a thread of Python that computes.

- promise: the native thread sets the value of a handoff::python_promise, without the GIL.
- by_hand: it takes the GIL, through the gate, and calls
  loop.call_soon_threadsafe(set_result, value).
- executor: run_in_executor() of a pool of one thread calls a function that releases the GIL.

How: latency is from the clock's reading in the native thread, just before it brings the result, to
the one in the coroutine that goes on with it. spent is how long the native thread took to bring it,
read by the coroutine just after that.

Limits: beside a thread that computes, each take of the GIL waits up to the switch interval, 5 ms.
by_hand and executor take it once more than promise.
"""

import process
from process import MEASURED, Figures, percentile

SIDES = ("promise", "by_hand", "executor")


def measure(figures: Figures, arguments) -> None:
    for _ in range(1 if arguments.quick else 3):
        for load in ("idle", "busy"):
            count = (200 if arguments.quick else 1000) if load == "busy" else 2000
            p99 = {}
            for side in SIDES:
                command = arguments.host, MEASURED / "awaited.py", side, count, load
                said = process.run(*command, path=arguments.peers).said
                name = f"awaiting.{load}"
                p99[side] = percentile(said["latencies"], 0.99)
                figures.add(f"{name}.latency_p50.{side}", "s", percentile(said["latencies"], 0.5))
                figures.add(f"{name}.latency_p99.{side}", "s", p99[side])
                if said["spent"]:
                    figures.add(f"{name}.spent.{side}", "s", percentile(said["spent"], 0.5))
            for side in SIDES[1:]:
                figures.add(
                    f"awaiting.{load}.ratio_p99.{side}", "ratio", p99["promise"] / p99[side]
                )


if __name__ == "__main__":
    process.main(measure, __doc__)
