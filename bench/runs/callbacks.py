"""Foos with a Python callback beside a Python loop that makes the same calls: processor time.

What: 10,000 Foos of a second whose on_message is a small Python function, for 10 s, and three
loops in Python that call that function as often, all in the host:

- heap: what Foos do, in one thread of Python: 10,000 due times in a heapq, each message appended to
  its list and given to the function; it may be as late as a Foo may.
- round: once a second, of 10,000 lists in a row, each gets its next integer, and the function too:
  no due times, so all are due at once, and none can be stopped or have an interval of its own.
- burst: the calls alone, 10,000 in a row once a second: no lists either. It is the lower limit.

How: time.process_time() of the process while the calls are made, after the first of each Foo, over
the number of calls. callbacks.ratio.* is Foo's over the loop's of the same repetition.
callbacks.cpu_share.* is of one core.
"""

import process
from process import MEASURED, Figures

COUNT, INTERVAL = 10_000, 1.0
LOOPS = ("heap", "round", "burst")


def measure(figures: Figures, arguments) -> None:
    for _ in range(1 if arguments.quick else 2):
        cost = {}
        for side in ("foo", *LOOPS):
            seconds = 2 if arguments.quick else 10
            command = arguments.host, MEASURED / "calls.py", side, COUNT, INTERVAL, seconds
            said = process.run(*command).said
            cost[side] = said["cpu"] / said["calls"]
            figures.add(f"callbacks.cpu_a_call.{side}", "s", cost[side])
            figures.add(f"callbacks.cpu_share.{side}", "share", said["cpu"] / said["elapsed"])
        for loop in LOOPS:
            figures.add(f"callbacks.ratio.{loop}", "ratio", cost["foo"] / cost[loop])


if __name__ == "__main__":
    process.main(measure, __doc__)
