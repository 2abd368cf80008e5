"""A live view of many Foos: how many messages come, how late, and which threads hold the GIL.

Look at: beside a thread that computes, all messages that are due arrive, late by one or two
switch intervals (5 ms). Foo takes the GIL once for all of them, and holds it for a small part of
the time. With `--busy 0` no thread holds the GIL most of the time, and messages are late only by
their leeway.

It draws slices of the GIL timeline. Ctrl-C ends it. Without a terminal it prints a line for each
slice.
"""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

try:
    import giltrace
    from Foo import Foo
    from rich.bar import Bar
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
except ImportError as missing:
    if missing.name in ("Foo", "giltrace"):
        sys.exit(
            f"watch.py needs {missing.name}, which {sys.executable} does not find: "
            "run it by build/Release/bin/handoff, or `pip install .` in a virtual environment"
        )
    sys.exit(
        f"watch.py needs {missing.name}: {sys.executable} -m venv env &&"
        f" env/bin/pip install rich && env/bin/python {sys.argv[0]}"
    )

SLICE = 0.5  # seconds from one view to the next


@dataclass
class Thread:
    """What one did with the GIL in a slice; seconds."""

    takes: int = 0
    held: float = 0.0
    longest: float = 0.0
    waited: float = 0.0
    functions: Counter[str] = field(default_factory=Counter)

    def add(self, event: dict[str, Any]) -> None:
        seconds = event["dur"] / 1e6
        if event["cat"] == "wait":
            self.waited += seconds
            return
        self.takes += 1
        self.held += seconds
        self.longest = max(self.longest, seconds)
        self.functions[event["name"]] += event["dur"]


class Slice:
    """What a recording in Chrome's Trace Event Format tells."""

    def __init__(self, trace: Path) -> None:
        events = json.loads(trace.read_text())["traceEvents"]
        known = {thread.native_id: thread.name for thread in threading.enumerate()}
        names = {}
        for event in events:
            if event["name"] == "thread_name":
                name, _, number = event["args"]["name"].rpartition(" ")  # 'Foo' 4711
                names[event["tid"]] = known.get(int(number), name.strip("'"))
        intervals = [event for event in events if event.get("cat") in ("hold", "wait")]
        begin = min(event["ts"] for event in intervals)
        self.seconds = (max(event["ts"] + event["dur"] for event in intervals) - begin) / 1e6
        threads: defaultdict[str, Thread] = defaultdict(Thread)
        for event in intervals:
            threads[names[event["tid"]]].add(event)
        self.threads = dict(sorted(threads.items(), key=lambda each: -each[1].held))

    def shares(self) -> Iterator[tuple[str, float]]:
        """Of the time for which each thread held the GIL, who held it longest first; and nobody."""
        for name, thread in self.threads.items():
            yield name, thread.held / self.seconds
        held = sum(thread.held for thread in self.threads.values())
        yield "nobody", max(0.0, 1 - held / self.seconds)


@dataclass
class View:
    at: float  # seconds since the start
    rate: float  # messages a second since the last view
    late: list[float]  # by how much each of them was, in seconds, sorted
    gil: Slice

    def lateness(self) -> str:
        if not self.late:
            return "no message"
        shares = {"median": 0.5, "99%": 0.99, "longest": 1}
        late = {of: self.late[round(share * (len(self.late) - 1))] for of, share in shares.items()}
        said = ", ".join(f"{seconds * 1e3:.2f} ms {of}" for of, seconds in late.items())
        return f"{self.rate:,.0f} messages/s, late by {said}"

    def line(self) -> str:
        held = ", ".join(f"{name} {share:.1%}" for name, share in self.gil.shares())
        return f"{self.at:6.1f} s  {self.lateness()}; GIL: {held}"

    def table(self, title: str) -> Table:
        drawn = Table(title=f"{title}; {self.at:.1f} s", caption=self.lateness())
        drawn.add_column("thread", no_wrap=True)
        drawn.add_column("holds", justify="right", no_wrap=True)
        drawn.add_column("", width=10)
        for name in ("takes/s", "longest", "waits"):
            drawn.add_column(name, justify="right", no_wrap=True)
        drawn.add_column("mostly in", overflow="fold")
        for name, share in self.gil.shares():
            cells: list[str | Bar] = [f"{share:.1%}", Bar(1, 0, share)]
            if thread := self.gil.threads.get(name):
                cells += [
                    f"{thread.takes / self.gil.seconds:,.0f}",
                    f"{thread.longest * 1e3:.2f} ms",
                    f"{thread.waited / self.gil.seconds:.1%}",
                    *(function for function, _ in thread.functions.most_common(1)),
                ]
            drawn.add_row(name, *cells)
        return drawn


def start_foo(interval: float, late: list[float]) -> Foo:
    def on_message(n: int) -> None:
        late.append(time.monotonic() - (begin + n * interval))

    foo = Foo(interval, on_message)
    begin = time.monotonic()
    foo.start()
    return foo


def compute(over: threading.Event) -> None:
    while not over.is_set():
        sum(range(1000))


@contextlib.contextmanager
def running(asked: argparse.Namespace, late: list[float]) -> Iterator[list[Foo]]:
    """The Foos, and threads that compute beside them."""
    over = threading.Event()
    with contextlib.ExitStack() as at_the_end:
        foos = []
        for _ in range(asked.foos):
            foos.append(start_foo(asked.interval, late))
            at_the_end.callback(foos[-1].stop)
        for n in range(asked.busy):
            thread = threading.Thread(target=compute, args=[over], name=f"busy {n + 1}")
            thread.start()
            at_the_end.callback(thread.join)
        at_the_end.callback(over.set)  # the first to be called
        yield foos


def views(seconds: float, late: list[float]) -> Iterator[View]:
    """One a slice, for that long or until Ctrl-C."""
    over = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: over.set())
    begin = last = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "slice.json"
        while not over.is_set():
            with giltrace.record(trace, summary=False):
                over.wait(min(SLICE, max(0.0, begin + seconds - time.monotonic())))
            now, came = time.monotonic(), len(late)
            yield View(now - begin, came / (now - last), sorted(late[:came]), Slice(trace))
            del late[:came]
            last = now
            if now >= begin + seconds:
                over.set()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--foos", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=0.1, help="seconds, of each Foo")
    parser.add_argument("--busy", type=int, default=1, help="threads that compute beside them")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="else until Ctrl-C")
    asked = parser.parse_args()
    title = f"{asked.foos:,} Foos, a message each {asked.interval:g} s, busy threads: {asked.busy}"

    console = Console()
    late: list[float] = []
    with running(asked, late) as foos:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False) as live:
                for view in views(asked.seconds, late):
                    live.update(view.table(title), refresh=True)
        else:
            print(title, flush=True)
            for view in views(asked.seconds, late):
                print(view.line(), flush=True)
    in_order = all(foo.messages == list(range(len(foo))) for foo in foos)
    print(f"{sum(map(len, foos)):,} messages, in order: {in_order}")


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, ValueError) as refused:  # giltrace's, and Foo's, which say what to do
        sys.exit(f"watch.py: {refused}")
