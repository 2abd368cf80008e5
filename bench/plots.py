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
    "axes.facecolor": "none",
    "figure.facecolor": "none",
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
CHANNEL = (
    ("the seed's tick", "channel.objects.seed", SEED),
    ("SimpleQueue, one thread", "channel.objects.simple_queue.threads:1", PEER),
    ("SimpleQueue, four threads", "channel.objects.simple_queue.threads:4", PEER),
    ("a loop in C", "channel.objects.loop", LIMIT),
    ("channel, get(), one producer", "channel.objects.get.threads:1", OURS),
    ("channel, get_many(), one producer", "channel.objects.get_many.threads:1", OURS),
    ("channel, get_many(), four producers", "channel.objects.get_many.threads:4", OURS),
    ("channel, numpy, one producer", "channel.numpy.get_batch.threads:1", OURS),
    ("channel, numpy, four producers", "channel.numpy.get_batch.threads:4", OURS),
)
TICKS = (
    ("Foo", "ticks.on_time.foo", OURS),
    ("threading.Thread", "ticks.on_time.thread", PEER),
    ("threading.Thread that catches up", "ticks.on_time.catching_up_thread", PEER),
    ("the seed", "ticks.on_time.seed", SEED),
)
LATENESS = (
    ("Foo", "foo", OURS),
    ("threading.Thread", "thread", PEER),
    ("threading.Thread that catches up", "catching_up_thread", PEER),
    ("the seed", "seed", SEED),
)
WORKERS = (("Foo", "foo", OURS), ("threading.Thread", "thread", PEER), ("the seed", "seed", SEED))
RATES = (("1,000 messages a second", "1k_per_s", "--"), ("1,000,000", "1M_per_s", "-"))


def text(value, unit):
    """A quantity as people write it: 49.2 ns, 18.3%, 238 B."""
    if unit == "share":
        return f"{100 * value:.3g}%"
    if unit == "ratio":
        return f"{value:.3g} ×"
    return EngFormatter(unit=unit.removeprefix("1"))(float(f"{value:.3g}"))  # 1/s: 9.81 M/s


def gathered(runs, name):
    """A measurement's values of all runs together."""
    return [
        value
        for run in runs
        if name in run["measurements"]
        for value in run["measurements"][name]["values"]
    ]


def save(figure, path):
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def bars(runs, title, wanted, unit, path):
    """A bar for each measurement, its median written beside it; the line spans all values.

    With the unit /s, of what was measured in seconds a message.
    """
    shown = []
    for label, name, colour in wanted:
        if values := gathered(runs, name):
            shown.append(
                (label, [1 / value for value in values] if unit == "/s" else values, colour)
            )
    if not shown:
        return
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


def lateness(runs, path):
    """A line from the median to the latest for each worker, with a mark at 99 of a hundred."""
    figure = Figure(figsize=(7, 0.8 + 0.32 * len(LATENESS)))
    axes = figure.subplots()
    for place, (_, worker, colour) in enumerate(LATENESS):
        marks = [
            gathered(runs, f"ticks.lateness_{mark}.{worker}") for mark in ("p50", "p99", "max")
        ]
        if all(marks):
            middle, late, latest = (median(mark) for mark in marks)
            axes.hlines(place, middle, latest, color=colour, linewidth=3)
            axes.plot(late, place, "|", color=colour, markersize=14, markeredgewidth=3)
    axes.set_yticks(range(len(LATENESS)), [label for label, _, _ in LATENESS])
    axes.set_ylim(len(LATENESS) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(EngFormatter("s"))
    axes.grid(axis="x")
    title = "How late: from the median to the latest message, and 99 of a hundred"
    axes.set_title(title, loc="left", color=INK, fontsize=10)
    save(figure, path)


def scaling(runs, path):
    """What a message costs as workers share a rate of messages."""
    figure = Figure(figsize=(5, 3.5))
    axes = figure.subplots()
    for rate_label, rate, line in RATES:
        for label, worker, colour in WORKERS:
            name = f"scaling.{rate}.cpu_a_message.{worker}"
            costs = {10**n: gathered(runs, f"{name}.{10**n}") for n in range(7)}
            known = {count: median(values) for count, values in costs.items() if values}
            if known:
                axes.plot(
                    known.keys(),
                    known.values(),
                    line,
                    marker="o",
                    markersize=4,
                    color=colour,
                    label=f"{label}, {rate_label}",
                )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("workers that share them")
    axes.xaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    axes.yaxis.set_major_formatter(EngFormatter("s"))
    axes.grid()
    axes.legend(fontsize=9, labelcolor=INK, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set_title("Processor time a message", loc="left", color=INK, fontsize=10)
    save(figure, path)


def draw(runs, folder):
    """Draws every plot of which there are figures."""
    folder.mkdir(exist_ok=True)
    with matplotlib.rc_context(STYLE):
        bars(runs, "To take the GIL and release it", GUARDS, "s", folder / "guards.svg")
        bars(runs, "A message at saturation", DELIVERIES, "s", folder / "deliveries.svg")
        title = "Messages from native threads to Python"
        bars(runs, title, CHANNEL, "/s", folder / "channel.svg")
        title = "A message a millisecond beside a busy main thread: within 6 ms of due"
        bars(runs, title, TICKS, "share", folder / "ticks.svg")
        lateness(runs, folder / "lateness.svg")
        scaling(runs, folder / "scaling.svg")
