"""What the benchmarks are to reach, row by row, and the verdict on what was measured.

A row compares medians: within one run of the benchmarks, the median of the repetitions of what is
measured with that of its peer, or with a figure. When there were several runs all must agree.
"""

from statistics import median
from typing import NamedTuple

UNKNOWN_CAUSE = "cause not yet known"


class Row(NamedTuple):
    """One thing to reach; a row without a bound informs.

    With a peer, at_most bounds measured / peer, and at_least bounds peer / measured: so many times
    faster. Without, they bound what is measured. The cause of a miss is written by hand, after
    looking for it.
    """

    what: str
    measured: str
    peer: str = ""
    at_most: float | None = None
    at_least: float | None = None
    cause: str = ""

    @property
    def parts(self):
        """Which parts of the benchmarks measure it."""
        return {name.partition(".")[0] for name in (self.measured, self.peer) if name}

    @property
    def names(self):
        return [name for name in (self.measured, self.peer) if name]

    def figure(self, measurements):
        """What the bound applies to, in one run. KeyError: it was not measured."""
        own, *other = (median(measurements[name]["values"]) for name in self.names)
        if not other:
            return own
        return other[0] / own if self.at_least is not None else own / other[0]

    def reached(self, figure):
        low = self.at_least is not None and figure < self.at_least
        high = self.at_most is not None and figure > self.at_most
        return not low and not high


class Verdict(NamedTuple):
    """What became of a row: its figure in each run, and the sentence."""

    figures: list[float]
    text: str


def judge(row, runs):
    """The verdict on a row, from what each run has measured and what has failed in it."""
    try:
        figures = [row.figure(run["measurements"]) for run in runs]
    except KeyError as missing:
        failed = [
            part for part in sorted(row.parts) if any(part in run["failures"] for run in runs)
        ]
        reason = f"{', '.join(failed)} failed" if failed else f"there is no {missing.args[0]}"
        return Verdict([], f"not measured: {reason}")
    if row.at_most is None and row.at_least is None:
        return Verdict(figures, "")
    agreeing = sum(row.reached(figure) for figure in figures)
    if agreeing == len(figures):
        return Verdict(figures, "reached")
    if agreeing == 0:
        return Verdict(figures, f"missed: {row.cause or UNKNOWN_CAUSE}")
    return Verdict(figures, f"runs disagree: reached in {agreeing} of {len(figures)}")


ROWS = (
    # ---- the GIL's guards
    Row(
        "acquire and release, on an attached native thread",
        "guards.acquire_release.handoff",
        "guards.acquire_release.raw",
        at_most=1.05,
    ),
    Row(
        "… beside pybind11's guard",
        "guards.acquire_release.handoff",
        "guards.plain.pybind11",
        at_least=8,
    ),
    Row(
        "… beside nanobind's guard",
        "guards.acquire_release.handoff",
        "guards.plain.nanobind",
        at_least=8,
    ),
    Row(
        "… beside the seed's guard",
        "guards.acquire_release.handoff",
        "guards.plain.seed",
        at_least=8,
    ),
    Row(
        "… beside pybind11's, where an outer one keeps the thread's state",
        "guards.acquire_release.handoff",
        "guards.kept.pybind11",
    ),
    Row(
        "… beside nanobind's, where an outer one keeps the thread's state",
        "guards.acquire_release.handoff",
        "guards.kept.nanobind",
    ),
    Row(
        "nested acquire, beside PyGILState_Check()",
        "guards.nested.handoff",
        "guards.nested.raw",
        at_most=2,
    ),
    Row(
        "acquire and release, on a native thread that never attached by hand",
        "guards.plain.handoff",
        "guards.acquire_release.raw",
        at_most=1.3,
    ),
    Row(
        "the gate's acquire (gil_try_acquire)",
        "guards.try_acquire.handoff",
        "guards.acquire_release.raw",
    ),
    # ---- calls and deliveries
    Row(
        "a Python call of a C++ function that releases the GIL",
        "calls.released_call.handoff",
        "calls.released_call.raw",
    ),
    Row("… beside pybind11's", "calls.released_call.handoff", "calls.released_call.pybind11"),
    Row("… beside nanobind's", "calls.released_call.handoff", "calls.released_call.nanobind"),
    Row(
        "a Foo's message at saturation, beside a loop in C that holds the GIL",
        "deliveries.append.foo",
        "deliveries.append.loop",
        at_most=1.1,
    ),
    Row(
        "… beside the seed's tick",
        "deliveries.append.foo",
        "deliveries.append.seed",
        at_least=12,
    ),
    Row(
        "a message with a Python on_message, beside a loop in C that holds the GIL",
        "deliveries.call.foo",
        "deliveries.call.loop",
        at_most=1.2,
    ),
    # ---- messages on time
    Row(
        "a 1 ms Foo beside a busy main thread: messages within a switch interval of due",
        "ticks.on_time.foo",
        at_least=1,
    ),
    Row("… of a threading.Thread", "ticks.on_time.thread"),
    Row("… of the seed's", "ticks.on_time.seed"),
    Row("… the main thread's slowdown meanwhile", "ticks.slowdown.foo", at_most=1.02),
)
