"""A Foo beside CPU-bound Python.

Look at: the main thread never sleeps and never calls anything that releases the GIL on purpose,
yet a Foo of one message a millisecond misses none: what falls due while it waits for the GIL is
delivered when it gets it. A threading.Thread that does the same is shown beside it.
"""

import threading
import time

from Foo import Foo  # the host has it: build/Release/bin/handoff; or `pip install .`

INTERVAL, SECONDS = 0.001, 2.0


def compute_until(end: float) -> int:
    rounds = 0
    while time.perf_counter() < end:
        rounds += 1
    return rounds


def main() -> None:
    begin = time.perf_counter()
    alone = compute_until(begin + SECONDS)

    f = Foo(INTERVAL, on_message=None)
    f.start()
    begin = time.perf_counter()
    beside_foo = compute_until(begin + SECONDS)
    f.stop()

    messages: list[int] = []
    stopped = threading.Event()

    def tick() -> None:
        while not stopped.wait(INTERVAL):
            messages.append(len(messages))

    thread = threading.Thread(target=tick)
    thread.start()
    begin = time.perf_counter()
    compute_until(begin + SECONDS)
    stopped.set()
    thread.join()

    due = round(SECONDS / INTERVAL)
    print(f"due                   {due} messages")
    print(f"Foo                   {len(f)}")
    print(f"threading.Thread      {len(messages)}")
    print(f"main thread's speed   {beside_foo / alone:.2f} of what it does alone")


if __name__ == "__main__":
    main()
