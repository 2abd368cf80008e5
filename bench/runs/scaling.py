"""What a message costs as the number of workers goes 1, 10, 100 ... 1,000,000: processor time.

What: so many workers share one rate of messages, so the interval of each is their number over the
rate. Two rates, for two different costs:

- 1k_per_s: a thousand messages a second. Each is a wake-up of its own, until there are so many
  Foos that their leeway (a hundredth of the interval) lets them share one.
- 1M_per_s: a million a second, which only Foos deliver. A thread that cannot keep up goes as fast
  as it can; its processor time is over what it did deliver, and delivered.* is the share of the
  rate that it did.

Workers: Foos, up to 1,000,000; threads of Python, and the seed's, up to 1,000, and up to 100 where
each asks for the GIL as often as it can: more only get in each other's way. All in the host.

How: time.process_time() of the process over the messages that its lists then hold, while the main
thread sleeps. Rounds of all sides follow each other.

Limits: of few workers the integers go beyond 256, which Python allocates one by one; those of many
workers are small, which it has ready. That is about 20 ns a message, to the disadvantage of few.
"""

import process
from process import MEASURED, Figures

RATES = {"1k_per_s": 1_000, "1M_per_s": 1_000_000}
MOST_THREADS = {"1k_per_s": 1_000, "1M_per_s": 100}
LONGEST_INTERVAL = 1.0


def measure(figures: Figures, arguments) -> None:
    counts = (1, 100, 10_000) if arguments.quick else tuple(10**power for power in range(7))
    for _ in range(1 if arguments.quick else 2):
        for rate_name, rate in RATES.items():
            for count in (count for count in counts if count / rate <= LONGEST_INTERVAL):
                threads = ("thread", "seed") if count <= MOST_THREADS[rate_name] else ()
                for side in ("foo", *threads):
                    measure_one(figures, arguments, f"scaling.{rate_name}", side, count, rate)


def measure_one(figures: Figures, arguments, name: str, side: str, count: int, rate: int) -> None:
    seconds = 1 if arguments.quick else 2
    command = arguments.host, MEASURED / "costs.py", side, count, rate, seconds
    try:
        said = process.run(*command, path=arguments.peers, timeout=60).said
    except process.MeasuringError as error:
        figures.note(f"{name}.{side}.{count}", f"not carried: {error}")
        return
    figures.add(f"{name}.cpu_a_message.{side}.{count}", "s", said["cpu"] / said["messages"])
    delivered = said["messages"] / said["elapsed"] / rate
    figures.add(f"{name}.delivered.{side}.{count}", "share", delivered)


if __name__ == "__main__":
    process.main(measure, __doc__)
