"""What the GIL checker and the GIL timeline cost, in the host.

What: programs of one thread, each without a diagnostic tool (twice), with -X gilcheck, with
-X gilcheck=deadlocks and with -X giltrace: Python alone; 300,000 calls of a Boost.Python function;
300,000 empty handoffs: by a C function that makes one, by ctypes, and in a loop in C; 3,000,000
times a std::mutex locked and unlocked: with nothing else held, with the GIL, and with another mutex
held; and SQLite, 30,000 rows inserted and selected one at a time.

How: rounds, in which each way is a process of its own, in turn; seconds are processor time of the
thread, without the start and without what writes the trace. A ratio is of one round: to the first
of the two without a tool, and the second's says how far chance goes.
"""

import tempfile
from pathlib import Path

import process
from process import Figures

WORKS = ("pure_python", "boost_calls", "handoffs", "ctypes_calls", "handoffs_in_c")
LOCKS = ("locks_alone", "locks_with_gil", "locks_nested", "sqlite")
PROGRAM = process.MEASURED / "under_diagnostics.py"


def measure(figures: Figures, arguments) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "off": (),
            "off_again": (),
            "gilcheck": ("-X", "gilcheck"),
            "deadlocks": ("-X", "gilcheck=deadlocks"),
            "giltrace": ("-X", f"giltrace={Path(folder, 'trace.svg')}"),
        }
        for _ in range(3 if arguments.quick else 15):
            for work in (*WORKS, *LOCKS):
                took = {
                    way: process.run(
                        arguments.host, *options, PROGRAM, work, path=arguments.peers
                    ).said
                    for way, options in ways.items()
                }
                for way, seconds in took.items():
                    figures.add(f"diagnostics.{work}.{way}", "s", seconds)
                    if way != "off":
                        ratio = seconds / took["off"]
                        figures.add(f"diagnostics.ratio.{work}.{way}", "ratio", ratio)


if __name__ == "__main__":
    process.main(measure, __doc__)
