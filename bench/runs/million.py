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

Limits: one repetition. Where the second part asks for more than the machine can do, starting and
stopping all may take for ever: after 20 s a note says how far it came, and the figures after it
are missing.
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


def measure_foos(
    figures: Figures,
    arguments,
    prefix: str,
    count: int,
    interval: float,
    seconds: float,
    leave: str,
) -> None:
    tell(f"{count:,} Foos of {interval:g} s for {seconds:g} s")
    command = arguments.host, MEASURED / "many_foos.py", count, interval, seconds, leave
    ended = process.run(*command, path=arguments.peers, timeout=200)
    for name, unit in UNITS.items():
        if name in ended.said:
            figures.add(f"{prefix}.{name}", unit, ended.said[name])
    figures.add(f"{prefix}.peak", "B", ended.peak)
    if "ended_early" in ended.said:
        figures.note(prefix, f"ended early: {ended.said['ended_early']}")
    else:
        name = "exit_running" if leave == "running" else "exit"
        figures.add(f"{prefix}.{name}", "s", ended.end - ended.said["last_line"])


def measure(figures: Figures, arguments) -> None:
    count, prefix = (100_000, "hundred_thousand") if arguments.quick else (1_000_000, "million")
    seconds, often = (5, 3) if arguments.quick else (60, 10)
    measure_foos(figures, arguments, prefix, count, 1.0, seconds, "stopped")
    measure_foos(figures, arguments, f"{prefix}_at_100ms", count, 0.1, often, "running")


if __name__ == "__main__":
    process.main(measure, __doc__)
