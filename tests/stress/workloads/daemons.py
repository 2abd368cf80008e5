"""Leaves while daemon threads wait for the GIL, hold it, and are in C without it."""

import queue
import threading
import time
import zlib

begun = threading.Barrier(9)
never = queue.SimpleQueue()
lock = threading.Lock()


def spin():
    while True:
        sum(range(1000))


def compress():
    while True:
        zlib.compress(bytes(1_000_000))


def sleep():
    while True:
        time.sleep(0.0001)


def for_ever(work):
    begun.wait()
    work()


with lock:
    for work in (spin, spin, compress, compress, sleep, sleep, never.get, lock.acquire):
        threading.Thread(target=for_ever, args=(work,), daemon=True).start()
    begun.wait()
    sum(range(1_000_000))
    print("leaves")
