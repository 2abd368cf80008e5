"""The documentation's plots, as SVG that is readable on a light and on a dark page."""

from statistics import median

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

# Okabe and Ito's colours, which the colour-blind can tell apart; of those, what both pages bear.
OURS, LIMIT, PEER, SEED = "#0072B2", "#009E73", "#E69F00", "#D55E00"
INK = "#808080"
STYLE = {
    "svg.hashsalt": "handoff",  # the same figures make the same file
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


GUARDS = (
    ("PyEval_RestoreThread, SaveThread", "guards.acquire_release.raw", LIMIT),
    ("gil_acquire, attached", "guards.acquire_release.handoff", OURS),
    ("gil_acquire, never attached by hand", "guards.plain.handoff", OURS),
    ("gil_try_acquire, through the gate", "guards.try_acquire.handoff", OURS),
    ("pybind11's within an outer one", "guards.kept.pybind11", PEER),
    ("nanobind's within an outer one", "guards.kept.nanobind", PEER),
    ("pybind11's", "guards.plain.pybind11", PEER),
    ("nanobind's", "guards.plain.nanobind", PEER),
    ("the seed's (PyGILState_Ensure)", "guards.plain.seed", SEED),
)
DELIVERIES = (
    ("a loop in C", "deliveries.append.loop", LIMIT),
    ("Foo", "deliveries.append.foo", OURS),
    ("the seed's tick", "deliveries.append.seed", SEED),
    ("a loop in C, with a callback", "deliveries.call.loop", LIMIT),
    ("Foo, with a callback", "deliveries.call.foo", OURS),
)
TICKS = (
    ("Foo", "ticks.on_time.foo", OURS),
    ("threading.Thread", "ticks.on_time.thread", PEER),
    ("threading.Thread that catches up", "ticks.on_time.catching_up_thread", PEER),
    ("the seed", "ticks.on_time.seed", SEED),
)


def text(value, unit):
    """A quantity as people write it: 49.2 ns, 18.3%, 238 B."""
    if unit == "share":
        return f"{100 * value:.3g}%"
    if unit == "ratio":
        return f"{value:.3g} ×"
    return EngFormatter(unit=unit)(float(f"{value:.3g}"))


def gathered(runs, name):
    """A measurement's values of all runs together."""
    return [
        value
        for run in runs
        if name in run["measurements"]
        for value in run["measurements"][name]["values"]
    ]


def save(figure, path):
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})


def bars(runs, title, wanted, path):
    """A bar for each measurement, its median written beside it; the line spans all values."""
    shown = [
        (label, gathered(runs, name), colour)
        for label, name, colour in wanted
        if gathered(runs, name)
    ]
    if not shown:
        return
    unit = next(
        run["measurements"][name]["unit"]
        for _, name, _ in wanted
        for run in runs
        if name in run["measurements"]
    )
    figure = Figure(figsize=(7, 0.6 + 0.32 * len(shown)))
    axes = figure.subplots()
    for place, (_, values, colour) in enumerate(shown):
        centre, least, most = median(values), min(values), max(values)
        axes.barh(place, centre, color=colour, height=0.7)
        axes.hlines(place, least, most, color=INK, linewidth=1.5)
        axes.annotate(
            text(centre, unit), (most, place), (4, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(shown)), [label for label, _, _ in shown])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(lambda value, _: text(value, unit))
    axes.set_title(title, loc="left", color=INK, fontsize=10)
    save(figure, path)


def draw(runs, folder):
    """Draws every plot of which there are figures."""
    folder.mkdir(exist_ok=True)
    with matplotlib.rc_context(STYLE):
        bars(runs, "To take the GIL and release it", GUARDS, folder / "guards.svg")
        bars(runs, "A message at saturation", DELIVERIES, folder / "deliveries.svg")
        bars(
            runs,
            "A message a millisecond beside a busy main thread: on time",
            TICKS,
            folder / "ticks.svg",
        )
