"""The main job: a Foo counts once a second while the main thread goes on with its own work.

Look at: 0, 1, 2 arrive on time; the main thread makes about as many steps in each second as when
it is alone, and never waits long for one; stop() takes a fraction of a millisecond, not the rest
of the second.
"""

import sys
import time
from collections.abc import Iterator

from Foo import Foo  # the host has it: build/Release/bin/handoff; or `pip install .`

STEP = 0.001  # seconds of pure Python that the main thread takes as one step of its work


def step() -> None:
    end = time.perf_counter() + STEP
    while time.perf_counter() < end:
        pass


def steps_until(end: float) -> Iterator[float]:
    """Takes steps until then. How long each took, in seconds."""
    while (begin := time.perf_counter()) < end:
        step()
        yield time.perf_counter() - begin


def main() -> None:
    alone = sum(1 for _ in steps_until(time.perf_counter() + 1.0))

    start = time.perf_counter()
    arrivals: list[float] = []

    def on_message(n: int) -> None:
        arrivals.append(time.perf_counter() - start)
        print(f"{n}    at {arrivals[-1]:.3f} s", flush=True)

    print(f"Python {sys.version.split()[0]} in {sys.executable}")
    print("A Foo sends a number a second; the main thread computes meanwhile.")
    f = Foo(interval=1.0, on_message=on_message)
    f.start()
    steps, longest = 0, 0.0
    while not f.wait(3, timeout=0):
        begin = time.perf_counter()
        step()
        longest = max(longest, time.perf_counter() - begin)
        steps += 1
    elapsed = time.perf_counter() - start

    begin = time.perf_counter()
    f.stop()
    stopping = time.perf_counter() - begin
    print(f"messages              {f.messages}")
    print(f"main thread           {steps / elapsed:.0f} steps of {STEP * 1e3:.0f} ms a second")
    print(f"when it is alone      {alone}")
    print(f"its longest step      {longest * 1e3:.1f} ms")
    print(f"stop() took           {stopping * 1e3:.3f} ms")


if __name__ == "__main__":
    main()
