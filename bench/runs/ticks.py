"""Messages on time beside a main thread that computes, and what that costs the main thread.

What: a worker of one message a millisecond, while the main thread runs pure Python for 3 s: of the
messages due, the share that is delivered at all, and the share that is delivered on time; and how
late they are. Workers: a Foo; a threading.Thread that sleeps a millisecond between two messages,
as it is usually written; one that keeps the rate and catches up in a loop; the seed's. All in the
host.

On time is what one wait for the GIL allows: who asks is let in after a switch interval, 5 ms, and
must then wake up; 1 ms is given for that. How long that wait really is on this machine is measured
beside it (ticks.gil_wait), on a thread that does nothing else.

How: the main thread's work is to look at the clock and at the length of the list, over and over. A
message counts as delivered when the main thread first sees it, so its lateness is too large by
what the worker delivers after it within one hold of the GIL, and by one round of that loop.

The main thread's slowdown is its speed without the worker over its speed with it, in slices of a
tenth of a second, in the order A B B A; ticks.slowdown.none is the same with no worker in either:
the noise. Waiting for the GIL counts, waiting for a processor does not: ticks.queued.* is the share
of the time that this was, a thousandth on a quiet machine.

Limits: with other load on the machine the lateness includes what a thread that wakes up waits for
a processor.
"""

import process
from process import MEASURED, Figures, percentile

INTERVAL, SECONDS = 0.001, 3.0
SWITCH_INTERVAL, WAKING = 0.005, 0.001
SIDES = ("foo", "thread", "catching_up_thread", "seed")


def lateness(seen: list[tuple[float, int]], due: int) -> list[float]:
    """Of each message that came, how long after its due time it was seen."""
    late, known = [], 0
    for when, count in seen:
        late += [when - n * INTERVAL for n in range(known, min(count, due))]
        known = max(known, count)
    return late


def measure(figures: Figures, arguments) -> None:
    seconds = 1.5 if arguments.quick else SECONDS
    due = round(seconds / INTERVAL)
    for _ in range(1 if arguments.quick else 2):
        for side in SIDES:
            command = arguments.host, MEASURED / "beside_busy_main.py", side, INTERVAL, seconds
            said = process.run(*command, path=arguments.peers).said
            late = lateness(said["seen"], due)
            in_time = sum(1 for n, each in enumerate(late) if n * INTERVAL + each <= seconds)
            on_time = sum(1 for each in late if each <= SWITCH_INTERVAL + WAKING)
            strictly = sum(1 for each in late if each <= SWITCH_INTERVAL)
            figures.add(f"ticks.delivered.{side}", "share", in_time / due)
            figures.add(f"ticks.on_time.{side}", "share", on_time / due)
            figures.add(f"ticks.within_5ms.{side}", "share", strictly / due)
            figures.add(f"ticks.lateness_p50.{side}", "s", percentile(late, 0.5))
            figures.add(f"ticks.lateness_p99.{side}", "s", percentile(late, 0.99))
            figures.add(f"ticks.lateness_max.{side}", "s", max(late))
        command = arguments.host, MEASURED / "gil_wait.py", 1 if arguments.quick else SECONDS
        waits = process.run(*command, path=arguments.peers).said["waits"]
        figures.add("ticks.gil_wait_p50", "s", percentile(waits, 0.5))
        figures.add("ticks.gil_wait_p99", "s", percentile(waits, 0.99))
        figures.add("ticks.gil_wait_max", "s", max(waits))

    pairs = 10 if arguments.quick else 60
    for side in ("foo", "none", "seed"):
        command = arguments.host, MEASURED / "speed_of_main.py", side, INTERVAL, pairs
        said = process.run(*command, path=arguments.peers).said
        figures.add(
            f"ticks.slowdown.{side}",
            "ratio",
            *(alone / beside for alone, beside in zip(said["alone"], said["beside"], strict=True)),
        )
        figures.add(f"ticks.queued.{side}", "share", *said["queued"])


if __name__ == "__main__":
    process.main(measure, __doc__)
