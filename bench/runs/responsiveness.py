"""Whether callbacks that block delay the other Foos: how late these are, and on how many threads.

What: 1,000 Foos of 100 ms without a callback, alone, and beside 1, 4 and 15 Foos of a second whose
on_message sleeps a second, which is as many as may block at once.

How: the main thread looks at every list each millisecond, for 5 s. lateness is how long after its
due time a message was seen, so it includes the leeway (1 ms), the main thread's sleep (1 ms) and
its look at all lists (0.1 ms); lateness_max includes a message that is overdue at the end. delayed
is that less the same without any blocking Foo. pause is the main thread's own longest millisecond
of sleep: how long the machine, or a turn of the Foos, kept it from looking. threads is the most
that /proc/self/task showed, the main thread included.

Limits: with other load on the machine a thread that wakes up may wait for a processor.
"""

import process
from process import MEASURED, Figures, percentile

BLOCKING = (0, 1, 4, 15)


def measure(figures: Figures, arguments) -> None:
    for _ in range(1 if arguments.quick else 2):
        worst_alone = None
        for blocking in BLOCKING:
            command = arguments.host, MEASURED / "blocking.py", blocking
            said = process.run(*command, 2 if arguments.quick else 5).said
            worst = max(*said["lateness"], said["overdue"])
            name = f"responsiveness.{blocking}_block"
            figures.add(f"{name}.lateness_p50", "s", percentile(said["lateness"], 0.5))
            figures.add(f"{name}.lateness_p99", "s", percentile(said["lateness"], 0.99))
            figures.add(f"{name}.lateness_max", "s", worst)
            figures.add(f"{name}.pause", "s", said["pause"])
            figures.add(f"{name}.threads", "", said["threads"])
            if worst_alone is None:
                worst_alone = worst
            else:
                figures.add(f"{name}.delayed", "s", worst - worst_alone)


if __name__ == "__main__":
    process.main(measure, __doc__)
