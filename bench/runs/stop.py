"""How long stop() takes: p50, p99 and the longest.

What: a Foo of a second (idle: it waits for its next message) and one of a millisecond (it has
something due about as often as it is stopped) are made, started, left alone for 2 ms after
their first message, and stopped, a thousand times each:

- idle: the main thread sleeps in between, and nothing else runs.
- busy_thread: another Python thread computes all the while. stop() releases the GIL while it
  waits, and taking it back costs a switch interval, 5 ms, as for any call that releases it.
- busy_caller: the thread that calls stop() computes in between, and no other does.

Peers: a threading.Thread with a flag and a join, and the seed's class, both of a second: they take
what is left of the interval, so a few times tell. (The seed's own join holds the GIL and can
deadlock; bench/peers/seed.cpp releases it.)

Limits: what the caller's thread waits for a processor counts as stop()'s time.
"""

import process
from process import MEASURED, Figures, percentile

SECOND, MILLISECOND = 1.0, 0.001


def measure(figures: Figures, arguments) -> None:
    def measure_stops(name: str, side: str, interval: float, times: int, where: str) -> None:
        command = arguments.host, MEASURED / "stops.py", side, interval, times, where
        took = process.run(*command, path=arguments.peers).said["took"]
        figures.add(f"stop.{name}.p50", "s", percentile(took, 0.5))
        figures.add(f"stop.{name}.p99", "s", percentile(took, 0.99))
        figures.add(f"stop.{name}.max", "s", max(took))

    times = 100 if arguments.quick else 1000
    for _ in range(1 if arguments.quick else 2):
        for where in ("idle", "busy_thread", "busy_caller"):
            measure_stops(f"{where}.foo", "foo", SECOND, times, where)
            measure_stops(f"{where}.foo_1ms", "foo", MILLISECOND, times, where)
    for side in ("thread", "seed"):
        measure_stops(f"idle.{side}", side, SECOND, 2 if arguments.quick else 5, "idle")


if __name__ == "__main__":
    process.main(measure, __doc__)
