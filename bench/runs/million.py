"""A million Foos in one process: memory, times, lateness, the processor's time, and the exit.

What: 1,000,000 Foos of one message a second without a callback, for 60 s; then 1,000,000 of ten
messages a second, for 10 s, which is 10,000,000 messages a second. With --quick 100,000 Foos for
5 s and for 3 s, and the names begin with hundred_thousand.

How: one program in the host, measured/many_foos.py, which makes them, starts them, looks at them
for so long, stops them and ends.

- bytes_a_foo: resident memory (Rss of smaps_rollup) that construction adds, without the script's
  list of them. start() delivers the first message at once, so before the first message means
  before start(); bytes_a_foo_started is after all were started, with about one message each.
- construction, start, stop: of all, in a for loop of Python. exit: from the script's last line
  until the process is gone, with all stopped; exit_running: with all running.
- cpu_share_foos: processor time of the process over elapsed time, without the main thread's own,
  which is that of the measuring; cpu_share includes it.
- on_time: of the messages of every thousandth Foo, those that the main thread, which looks each
  millisecond, has seen within the leeway (a hundredth of the interval, at most 10 ms) and a switch
  interval of their due time. lateness: the same, in seconds after the due time, up to 1 ms too
  much.
- complete: of all Foos, those that in the end have as many messages as their starting and stopping
  demand, within the uncertainty of these times (those of a group of a thousand are known).
- gil_wait_max: the longest of some ten thousand waits of the main thread for the GIL, by a native
  clock.
- messages_per_second: arrived during the observation, by every thousandth Foo. behind: how late
  the next message was when the observation ended.
- peak: of resident memory, as the kernel counted it.

Limits: one repetition. A process may have half of the machine's memory and a few minutes: when
it takes more, as Foos do that are asked for more than the machine can do, a note says so.
"""

import process
from process import MEASURED, Figures, tell

UNITS = {
    "construction": "s",
    "start": "s",
    "stop": "s",
    "lateness_p50": "s",
    "lateness_p99": "s",
    "lateness_max": "s",
    "gil_wait_p99": "s",
    "gil_wait_max": "s",
    "behind": "s",
    "bytes_a_foo": "B",
    "bytes_a_foo_started": "B",
    "cpu_share": "share",
    "cpu_share_foos": "share",
    "on_time": "share",
    "complete": "share",
    "messages_per_second": "1/s",
    "cpu_a_message": "s",
}


def many_foos(arguments, count: int, interval: float, seconds: float, at_the_end: str):
    tell(f"{count:,} Foos of {interval:g} s for {seconds:g} s")
    command = arguments.host, MEASURED / "many_foos.py", count, interval, seconds, at_the_end
    return process.run(*command, path=arguments.peers, timeout=150)


def measure(figures: Figures, arguments) -> None:
    count, prefix = (100_000, "hundred_thousand") if arguments.quick else (1_000_000, "million")
    ended = many_foos(arguments, count, 1.0, 5 if arguments.quick else 60, "stopped")
    for name, unit in UNITS.items():
        figures.add(f"{prefix}.{name}", unit, ended.said[name])
    figures.add(f"{prefix}.exit", "s", ended.end - ended.said["last_line"])
    figures.add(f"{prefix}.peak", "B", ended.peak)

    try:
        measure_often(figures, f"{prefix}_at_100ms", arguments, count)
    except process.MeasuringError as error:
        figures.note(f"{prefix}_at_100ms", f"not carried: {error}")


def measure_often(figures: Figures, prefix: str, arguments, count: int) -> None:
    ended = many_foos(arguments, count, 0.1, 3 if arguments.quick else 10, "running")
    for name in (
        "start",
        "stop",
        "messages_per_second",
        "cpu_share_foos",
        "cpu_a_message",
        "on_time",
        "complete",
        "behind",
        "lateness_p99",
        "lateness_max",
        "gil_wait_max",
    ):
        figures.add(f"{prefix}.{name}", UNITS[name], ended.said[name])
    figures.add(f"{prefix}.exit_running", "s", ended.end - ended.said["last_line"])
    figures.add(f"{prefix}.peak", "B", ended.peak)


if __name__ == "__main__":
    process.main(measure, __doc__)
