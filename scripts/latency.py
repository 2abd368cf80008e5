"""A plot of how late messages come: while the main thread sleeps, and while it computes.

Look at: while it sleeps, a message is late by no more than its leeway, a hundredth of the interval,
and by how long the system takes to wake a thread; while it computes, by a switch interval too,
after which Python makes it hand the GIL over. The line is the share of messages that were less
late than that.
"""

import argparse
import sys
import time
from collections.abc import Callable

from Foo import Foo  # the host has it: build/Release/bin/handoff; or `pip install .`

try:
    from matplotlib.figure import Figure
except ImportError as missing:
    sys.exit(
        f"latency.py needs {missing.name}: {sys.executable} -m venv env &&"
        f" env/bin/pip install matplotlib && env/bin/python {sys.argv[0]}"
    )


def sleep(foo: Foo, messages: int) -> None:
    foo.wait(messages)


def compute(foo: Foo, messages: int) -> None:
    while not foo.wait(messages, timeout=0):
        sum(range(1000))


def lateness(interval: float, messages: int, until: Callable[[Foo, int], None]) -> list[float]:
    """By how much each of that many messages was late, in seconds, sorted."""
    late: list[float] = []

    def on_message(n: int) -> None:
        late.append(time.monotonic() - (begin + n * interval))

    foo = Foo(interval, on_message)
    with Foo(interval, None):  # starts the thread that delivers for all
        begin = time.monotonic()
        with foo:
            until(foo, messages)
    return sorted(late[:messages])


def plot(late: dict[str, list[float]], interval: float) -> Figure:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for meanwhile, seconds in late.items():
        axes.ecdf([each * 1e3 for each in seconds], label=f"the main thread {meanwhile}")
    for length, name in ((interval / 100, "leeway"), (sys.getswitchinterval(), "switch interval")):
        axes.axvline(length * 1e3, color="gray", linestyle=":")
        axes.text(length * 1e3, 0.5, f" {name}", rotation=90, ha="right", va="center", color="gray")
    axes.set(
        title=f"How late the messages of a Foo come that sends one each {interval * 1e3:g} ms",
        xlabel="late by (ms)",
        ylabel="share of the messages",
        xscale="log",
    )
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", nargs="?", default="latency.png", help=".png, .svg or .pdf")
    parser.add_argument("--interval", type=float, default=0.02, help="seconds, of the Foo")
    parser.add_argument("--messages", type=int, default=250, help="of each run")
    asked = parser.parse_args()
    if asked.messages < 1:
        parser.error(f"--messages must be at least 1, not {asked.messages}")

    late = {}
    for meanwhile, until in (("sleeps", sleep), ("computes", compute)):
        late[meanwhile] = seconds = lateness(asked.interval, asked.messages, until)
        median, longest = (f"{seconds[at] * 1e3:.3f} ms" for at in (len(seconds) // 2, -1))
        print(f"the main thread {meanwhile:9} late by {median} median, {longest} longest")
    plot(late, asked.interval).savefig(asked.output, dpi=150)
    print(f"written to {asked.output}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as refused:  # Foo's, and matplotlib's
        sys.exit(f"latency.py: {refused}")
