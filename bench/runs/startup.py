"""Start and end of the host beside the distribution's python3: instructions, time and memory.

What: `-c pass`, and `-I -S -c pass`, in copies of both in one folder: Python looks for its library
in every folder above the executable, and a page of an executable that others run is shared.

- instructions: of the process, counted by valgrind's callgrind; the same program takes the same
  number but for hash seeds and addresses (0.1%). Without valgrind there is a note instead.
- cpu, wall: of processes that are started and waited for in turns, A B A B: processor time as the
  kernel counted it for the ended process, and elapsed time from posix_spawn() to wait4().
- rss, pss: resident memory of a program that reads its own /proc/self/smaps_rollup, after start.
  Rss counts every resident page; Pss divides a page of a library by the processes that use it, so
  it depends on who else runs. anonymous is what is not a file's page: heap, stack, changed data.
- ratio.*: the host's median over the distribution's.

Limits: callgrind counts user space only, and no cache misses.
"""

import os
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import process
from process import Figures

COMMANDS = {"c_pass": ["-c", "pass"], "isolated_c_pass": ["-I", "-S", "-c", "pass"]}
MEMORY = "print(open('/proc/self/smaps_rollup').read())"


def instructions(*command: object) -> int:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        counted = "--tool=callgrind", f"--callgrind-out-file={folder}/out", f"--log-file={log}"
        process.run("valgrind", *counted, *command)
        return int(re.search(r"Collected : (\d+)", log.read_text())[1])


def times(*command: object) -> tuple[float, float]:
    """Elapsed and processor time of one start and end, in seconds."""
    words = [str(word) for word in command]
    begin = time.perf_counter()
    started = os.posix_spawn(words[0], words, {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"})
    _, status, used = os.wait4(started, 0)
    elapsed = time.perf_counter() - begin
    if status != 0:
        raise process.MeasuringError(f"exit code {status} of: {' '.join(words)}")
    return elapsed, used.ru_utime + used.ru_stime


def memory(*command: object) -> dict[str, int]:
    """Bytes."""
    said = process.run(*command, "-c", MEMORY).output
    return {name: int(kib) * 1024 for name, kib in re.findall(r"(\w+): +(\d+) kB", said)}


def measure(figures: Figures, arguments) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sides = {"python": arguments.python, "host": arguments.host}
        measure_sides(
            figures,
            {side: shutil.copy(program, Path(folder, side)) for side, program in sides.items()},
            arguments.quick,
        )


def measure_sides(figures: Figures, sides: dict[str, Path], quick: bool) -> None:
    def add(name: str, unit: str, side: str, value: float) -> None:
        figures.add(f"startup.{name}.{side}", unit, value)

    for what, flags in COMMANDS.items():
        if shutil.which("valgrind"):
            for _ in range(1 if quick else 3):
                for side, program in sides.items():
                    add(f"instructions.{what}", "", side, instructions(program, *flags))
        for _ in range(15 if quick else 60):
            for side, program in sides.items():
                elapsed, cpu = times(program, *flags)
                add(f"wall.{what}", "s", side, elapsed)
                add(f"cpu.{what}", "s", side, cpu)
    for _ in range(3 if quick else 9):
        for side, program in sides.items():
            used = memory(program)
            add("rss", "B", side, used["Rss"])
            add("pss", "B", side, used["Pss"])
            add("anonymous", "B", side, used["Anonymous"])
    if not shutil.which("valgrind"):
        figures.note("startup.instructions", "not counted: valgrind is not installed")

    for name in [name for name in figures.measurements if name.endswith(".host")]:
        both = [figures.measurements[f"{name[:-5]}.{side}"]["values"] for side in sides]
        python, host = map(statistics.median, both)
        figures.add(f"startup.ratio.{name[8:-5]}", "ratio", host / python)


if __name__ == "__main__":
    process.main(measure, __doc__)
