"""The table of what was measured, on the terminal and, with the plots, in the documentation.

Run by itself, it makes both anew of the results that are kept.
"""

import json
import re
from pathlib import Path
from statistics import median, quantiles

import plots
from rows import QUICK_ROWS, ROWS, judge
from tabulate import tabulate

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
DOCS = HERE.parent / "docs"
PAGE = DOCS / "benchmarks.md"
COLUMNS = ("what", "measured", "limit or peer", "ratio", "to reach", "verdict")
# What a reader in a hurry is shown: what, and beside what; the measurements of both.
SUMMARY = (
    (
        "acquire and release the GIL on a native thread",
        "guards.acquire_release.handoff",
        "pybind11's guard",
        "guards.plain.pybind11",
    ),
    (
        "a message that a native thread appends to a list",
        "deliveries.append.foo",
        "a thread per object",
        "deliveries.append.seed",
    ),
    (
        "a message through a channel, as a Python object",
        "channel.objects.get_many.threads:1",
        "`queue.SimpleQueue`",
        "channel.objects.simple_queue.threads:1",
    ),
    (
        "messages of a 1 ms timer within 6 ms, beside busy Python",
        "ticks.on_time.foo",
        "`threading.Thread`",
        "ticks.on_time.thread",
    ),
    (
        "`stop()` of a worker: 99th percentile",
        "stop.idle.foo.p99",
        "`threading.Thread` of 1 s",
        "stop.idle.thread.p99",
    ),
    (
        "pyperformance's scripts in the host, geometric mean",
        "scripts.ratio.geometric_mean",
        "`python3`, which is 1",
        "",
    ),
)
WIDTHS = (34, 16, 16, 13, 9, 34)  # on a terminal
BUSY = 0.05  # of all processors: what else ran when a run began, and may have disturbed it


def spread(values, show):
    """A median and, in brackets, between what the middle half of the values lies."""
    shown = show(median(values))
    if len(values) < 2:
        return shown
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{shown} [{show(low)} – {show(high)}]"


def quantity(runs, name):
    """A measurement of all runs together, for people."""
    measured = [run["measurements"][name] for run in runs if name in run["measurements"]]
    if not measured:
        return ""
    unit = measured[0]["unit"]
    values = [value for each in measured for value in each["values"]]
    return spread(values, lambda value: plots.text(value, unit))


def bound(row, unit):
    """What is to be reached, for people; without a unit, of something that was not measured."""
    if row.at_most is None and row.at_least is None:
        return ""
    sign, limit = ("≥", row.at_least) if row.at_most is None else ("≤", row.at_most)
    if row.peer:
        return f"≤ {limit if row.at_least is None else 1 / limit:.3g} ×"
    return f"{sign} {plots.text(limit, unit) if unit else format(limit, 'g')}"


def cells(row, runs):
    """What the table shows of a row."""
    verdict = judge(row, runs)
    known = [run["measurements"].get(row.measured, {}) for run in runs]
    # One direction for all: ours through the peer's, where the verdict may be on the reverse.
    figures = [1 / each if row.at_least is not None else each for each in verdict.figures]
    ends = dict.fromkeys(f"{end(figures):.3g}" for end in (min, max) if figures)
    return (
        row.what,
        quantity(runs, row.measured),
        quantity(runs, row.peer) if row.peer else "",
        f"{' – '.join(ends)} ×" if row.peer and ends else "",
        bound(row, known[0].get("unit")),
        verdict.text,
    )


def lines(results):
    """The table's rows: of the parts that were to be measured."""
    rows = QUICK_ROWS if results["quick"] else ROWS
    return [cells(row, results["runs"]) for part in results["parts"] for row in rows[part]]


def summary(results):
    """The rows for a reader in a hurry."""
    for what, ours, beside, peers in SUMMARY:
        values = [quantity(results["runs"], name).partition(" [")[0] for name in (ours, peers)]
        yield what, f"**{values[0]}**", f"{beside}: {values[1]}".removesuffix(": ")


def circumstances(results):
    """When and on what it was measured, in a few lines."""
    machine, versions, runs = results["machine"], results["versions"], results["runs"]
    yield (
        f"{machine['cores']} cores of {machine['processor']}, {machine['system']}, "
        f"Linux {machine['kernel']}"
    )
    yield ", ".join(f"{name} {version}" for name, version in versions.items())
    dates = " and ".join(dict.fromkeys(run["date"][:10] for run in (runs[0], runs[-1])))
    yield f"{len(runs)} run{'s'[: len(runs) > 1]} on {dates}"
    busy = [run["busy"] for run in runs if run["busy"] > BUSY]
    if busy:
        yield (
            f"**As {len(busy)} of {len(runs)} runs began, something else took {max(busy):.0%} of "
            "the machine: compare the runs.**"
        )


def between(text, name, new):
    """The text with what is between a pair of markers replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    replaced, times = re.subn(
        pattern, lambda found: found[1] + new + found[2], text, flags=re.DOTALL
    )
    if times != 1:
        raise ValueError(f"{PAGE} has {times} pairs of markers named {name}; it needs one")
    return replaced


def document(results):
    """Writes the documentation's table and plots anew."""
    text = PAGE.read_text()
    known = [row for row in lines(results) if not row[-1].startswith("not measured")]
    table = tabulate(known, COLUMNS, tablefmt="github", disable_numparse=True)
    text = between(text, "circumstances", "".join(f"- {line}\n" for line in circumstances(results)))
    text = between(text, "table", f"\n{table}\n\n")
    short = tabulate(
        summary(results), ("", "Handoff", "beside"), tablefmt="github", disable_numparse=True
    )
    text = between(text, "summary", f"\n{short}\n\n")
    PAGE.write_text(text)
    plots.draw(results["runs"], DOCS / "plots")


def show(results):
    """Prints the table."""
    print(
        tabulate(
            lines(results),
            COLUMNS,
            tablefmt="simple_grid",
            maxcolwidths=list(WIDTHS),
            disable_numparse=True,
        )
    )
    print(*circumstances(results), sep="\n")


def main():
    results = json.loads(RESULTS.read_text())
    show(results)
    document(results)


if __name__ == "__main__":
    main()
