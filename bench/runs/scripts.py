"""Scripts in the host beside the distribution's python3: a dozen of pyperformance's benchmarks.

What: benchmarks of pyperformance that need nothing but Python, each run by pyperf in the
distribution's python3, in the host, and, when it is given, in a host with the shared libpython.

How: three rounds; in each, every benchmark runs in every interpreter in turn, in a process of its
own: as many loops as take 0.1 s, once to warm up and three times measured. A value is the least of
the three, as what else the machine does only adds, in seconds a loop.

Of each round and benchmark, scripts.ratio.* is the host's over the distribution's, and
scripts.shared_over_host.* the shared host's over the host's; scripts.ratio.geometric_mean and its
like are over all benchmarks, of the least values of all rounds.

Limits: of a benchmark's own randomness (hash seeds, addresses) three processes see little: a ratio
of one benchmark is good to about 2%. pyperf and pyperformance must be installed beside the Python
that runs this; every interpreter imports the same.
"""

import importlib.util
import json
import math
import os
import statistics
import tempfile
from pathlib import Path

import process
from process import Figures

BENCHMARKS = {
    "chaos": ["bm_chaos"],
    "deltablue": ["bm_deltablue"],
    "fannkuch": ["bm_fannkuch"],
    "float": ["bm_float"],
    "go": ["bm_go"],
    "json_dumps": ["bm_json_dumps"],
    "json_loads": ["bm_json_loads"],
    "nbody": ["bm_nbody"],
    "nqueens": ["bm_nqueens"],
    "pickle_pure_python": ["bm_pickle", "--pure-python", "pickle"],
    "pidigits": ["bm_pidigits"],
    "raytrace": ["bm_raytrace"],
    "regex_compile": ["bm_regex_compile"],
    "richards": ["bm_richards"],
    "spectral_norm": ["bm_spectral_norm"],
}
QUICK = ("float", "json_loads", "richards")
SHORTEST = 0.1  # seconds, of a value


def packages() -> tuple[str, Path]:
    """Where pyperf and its like can be imported from, and where the benchmarks are."""
    found = [importlib.util.find_spec(name) for name in ("pyperf", "pyperformance")]
    if not all(found):
        raise process.MeasuringError(
            "pyperf and pyperformance are not installed: pip install pyperf pyperformance"
        )
    folders = {str(Path(spec.origin).parent.parent) for spec in found}
    return os.pathsep.join(folders), Path(found[1].origin).parent / "data-files" / "benchmarks"


def run_benchmark(interpreter: Path, name: str, loops: int = 1, warmups: int = 0, values: int = 1):
    """What one process of pyperf's measured: the least of its values, and the inner loops of each.

    A value is seconds a loop, and within that, an inner loop.
    """
    path, benchmarks = packages()
    folder, *options = BENCHMARKS[name]
    script = benchmarks / folder / "run_benchmark.py"
    with tempfile.TemporaryDirectory() as kept:
        result = Path(kept, "result.json")
        options += ["--worker", "--worker-task=0", f"--loops={loops}", f"--warmups={warmups}"]
        options += [f"--values={values}", f"--output={result}", "--quiet"]
        process.run(interpreter, script, *options, path=path)
        said = json.loads(result.read_text())
    (benchmark,) = said["benchmarks"]
    least = min(value for run in benchmark["runs"] for value in run["values"])
    return least, said["metadata"].get("inner_loops", 1)


def loops_of(interpreter: Path, name: str) -> int:
    """How many of its loops take long enough."""
    seconds, inner_loops = run_benchmark(interpreter, name)
    return math.ceil(SHORTEST / (seconds * inner_loops))


def measure(figures: Figures, arguments) -> None:
    sides = {"python": arguments.python, "host": arguments.host}
    if arguments.shared_host:
        sides["shared_host"] = arguments.shared_host
    names = QUICK if arguments.quick else tuple(BENCHMARKS)
    loops = {name: loops_of(arguments.python, name) for name in names}
    ratios = {"ratio": ("host", "python"), "shared_over_host": ("shared_host", "host")}
    ratios = {what: pair for what, pair in ratios.items() if sides.keys() >= set(pair)}
    least = {}
    for _ in range(1 if arguments.quick else 3):
        for name in names:
            took = {
                side: run_benchmark(program, name, loops[name], warmups=1, values=3)[0]
                for side, program in sides.items()
            }
            for side, seconds in took.items():
                figures.add(f"scripts.{name}.{side}", "s", seconds)
                least[name, side] = min(seconds, least.get((name, side), math.inf))
            for what, (one, another) in ratios.items():
                figures.add(f"scripts.{what}.{name}", "ratio", took[one] / took[another])
    for what, (one, another) in ratios.items():
        mean = statistics.geometric_mean(least[name, one] / least[name, another] for name in names)
        figures.add(f"scripts.{what}.geometric_mean", "ratio", mean)


if __name__ == "__main__":
    process.main(measure, __doc__)
