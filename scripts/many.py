"""Many Foos at once, on one scheduler.

Look at: ten thousand workers, ten messages a second each, and the process has a handful of
threads; all messages of a moment are delivered in one hold of the GIL, and none is missing.
"""

import sys
import time

from Foo import Foo  # the host has it: build/Release/bin/handoff; or `pip install .`

INTERVAL = 0.1


def main(workers: int = 10_000, seconds: float = 2.0) -> None:
    foos = [Foo(INTERVAL, on_message=None) for _ in range(workers)]
    begin, cpu = time.perf_counter(), time.process_time()
    for f in foos:
        f.start()
    print(f"started               {workers:,} Foos in {time.perf_counter() - begin:.3f} s")
    foos[-1].wait(round(seconds / INTERVAL))
    elapsed, cpu = time.perf_counter() - begin, time.process_time() - cpu

    begin = time.perf_counter()
    for f in foos:
        f.stop()
    print(f"stopped               in {time.perf_counter() - begin:.3f} s")
    delivered = sum(map(len, foos))
    in_order = all(f.messages == list(range(len(f))) for f in foos)
    print(f"delivered             {delivered:,} messages in {elapsed:.3f} s")
    print(f"every Foo             at least {min(map(len, foos))}, in order: {in_order}")
    print(f"processor time        {cpu:.3f} s, {cpu / delivered * 1e6:.2f} us a message")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
