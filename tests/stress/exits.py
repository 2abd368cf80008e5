"""Leaves the program in every way that the tests name, again and again, under load; counts.

Usage: exits.py TIMES [SEED [PATTERN ...]]: the tests whose name contains a pattern, else those of
test_exits. What a test repeats counts as an exit, also where it forks. SEED may be "-".
"""

import collections
import concurrent.futures
import multiprocessing
import os
import random
import sys
import time
import unittest

from host import CrashError, HangError, LossError

MODULES = "test_exits", "test_ownership", "test_fork", "test_subinterpreters"
CHUNK = 20  # a test that compares with the stock interpreter runs that once a chunk
CORES = os.cpu_count() or 1
AT_ONCE = 6 * CORES  # most wait for something, most of the time
KINDS = {HangError: "hangs", CrashError: "crashes", LossError: "messages lost"}
BAD = (*KINDS.values(), "otherwise wrong")


def names(patterns):
    """The tests to repeat: module.Class.test_name."""

    def flat(suite):
        for each in suite:
            yield from flat(each) if isinstance(each, unittest.TestSuite) else [each.id()]

    modules = MODULES if patterns else MODULES[:1]
    every = flat(unittest.defaultTestLoader.loadTestsFromNames(modules))
    return [name for name in every if not patterns or any(each in name for each in patterns)]


def repeat(name, times):
    """One test, so many times. What was counted, and what the first failure of each kind says."""
    (test,) = unittest.defaultTestLoader.loadTestsFromName(name)
    counted, said = collections.Counter(), {}

    def failed(kind, error):
        counted[kind] += 1
        said.setdefault(kind, str(error))

    def again(once, **_):
        for _ in range(times):
            counted["exits"] += 1
            try:
                once()
            except Exception as error:
                failed(KINDS.get(type(error), BAD[-1]), error)

    test.again = again
    result = unittest.TestResult()
    test.run(result)
    for _, traceback in (
        result.failures + result.errors
    ):  # not of a repetition: of what surrounds it
        failed(BAD[-1], traceback)
    if not counted["exits"] and not result.skipped:
        failed(BAD[-1], f"{name} repeats nothing")
    return name, counted, said


def spin():
    while True:
        sum(range(1000))


def line(name, counted):
    return f"{name}: {counted['exits']} exits, " + ", ".join(f"{counted[bad]} {bad}" for bad in BAD)


def main(times, seed="-", *patterns):
    if seed == "-":
        seed = str(random.randrange(10**6))
    chosen = names(patterns)
    chunks = [
        (name, min(CHUNK, times - begun)) for name in chosen for begun in range(0, times, CHUNK)
    ]
    random.Random(seed).shuffle(chunks)
    load = [multiprocessing.Process(target=spin, daemon=True) for _ in range(CORES)]
    for each in load:
        each.start()
    print(
        f"{len(chosen)} kinds of end, {times} times each, {AT_ONCE} at once beside {CORES} busy "
        f"processes; SEED={seed}",
        flush=True,
    )
    begin = time.monotonic()
    of_each, left = collections.defaultdict(collections.Counter), collections.Counter()
    for name, _ in chunks:
        left[name] += 1
    try:
        with concurrent.futures.ProcessPoolExecutor(AT_ONCE) as pool:
            running = [pool.submit(repeat, *chunk) for chunk in chunks]
            for ended in concurrent.futures.as_completed(running):
                name, counted, said = ended.result()
                of_each[name] += counted
                for kind, text in said.items():
                    print(f"{kind} of {name}:\n{text}", file=sys.stderr, flush=True)
                left[name] -= 1
                if left[name] == 0:
                    print(line(name, of_each[name]), flush=True)
    finally:
        for each in load:
            each.kill()
    total = sum(of_each.values(), collections.Counter())
    print(line(f"in all, in {(time.monotonic() - begin) / 60:.1f} min", total))
    return any(total[bad] for bad in BAD) or not total["exits"]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
