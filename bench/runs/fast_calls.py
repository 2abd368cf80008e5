"""The time of a Python call of a small C++ function, as bound by several libraries.

What: the same functions and class, bound by Boost.Python as it is (plain), with handoff::fast()
(fast), by pybind11 and nanobind, and by hand with METH_FASTCALL (raw); in the distribution's
Python. `derived` calls a method of a base class, and has no raw side. `bound_…` calls a bound
method, which was looked up before.

How: twenty calls in the body of a loop of 200, the same loop with `pass` subtracted. A repetition
measures the loops of all sides in turn, several times, and keeps the least of each: what else runs
on the machine only adds. Ratios are of one repetition.

Limits: a result of a few nanoseconds has an error of about one.
"""

import process
from process import MEASURED, Figures

SIDES = ("plain", "fast", "pybind11", "nanobind", "raw")


def measure(figures: Figures, arguments) -> None:
    repetitions, rounds = (3, 10) if arguments.quick else (15, 40)
    command = arguments.python, MEASURED / "bound_calls.py", repetitions, rounds, *SIDES
    said = process.run(*command, path=arguments.peers, timeout=800).said
    for call, sides in said.items():
        for side, seconds in sides.items():
            figures.add(f"fast_calls.{call}.{side}", "s", *seconds, in_turn=True)


if __name__ == "__main__":
    process.main(measure, __doc__)
