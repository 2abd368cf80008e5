"""Foos with a Python callback beside a Python loop that makes the same calls: processor time.

What: 10,000 Foos of a second whose on_message is a small Python function, for 10 s, and two loops
in Python that call that function as often, all in the host:

- heap: what Foos do, in one thread of Python: 10,000 due times in a heapq, each message appended to
  its list and given to the function; it may be as late as a Foo may.
- burst: the calls alone, 10,000 in a row once a second: no due times, no lists. No scheduler can do
  as little; it is here as the lower limit.

How: time.process_time() of the process while the calls are made, after the first of each Foo, over
the number of calls. callbacks.ratio.heap and .burst are Foo's over the loop's of the same round.
callbacks.cpu_share.* is of one core.
"""

import process
from process import MEASURED, Figures

COUNT, INTERVAL = 10_000, 1.0
SIDES = ("foo", "heap", "burst")


def measure(figures: Figures, arguments) -> None:
    for _ in range(1 if arguments.quick else 2):
        cost = {}
        for side in SIDES:
            seconds = 2 if arguments.quick else 10
            command = arguments.host, MEASURED / "calls.py", side, COUNT, INTERVAL, seconds
            said = process.run(*command).said
            cost[side] = said["cpu"] / said["calls"]
            figures.add(f"callbacks.cpu_a_call.{side}", "s", cost[side])
            figures.add(f"callbacks.cpu_share.{side}", "share", said["cpu"] / said["elapsed"])
        for loop in ("heap", "burst"):
            figures.add(f"callbacks.ratio.{loop}", "ratio", cost["foo"] / cost[loop])


if __name__ == "__main__":
    process.main(measure, __doc__)
