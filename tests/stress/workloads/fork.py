"""Forks while other threads wait for the GIL and hold it, from a thread, and in a child."""

import os
import sys
import threading
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads: that is the point
over = threading.Event()


def spin():
    while not over.is_set():
        sum(range(1000))


def child(ends):
    threads = [threading.Thread(target=sum, args=(range(100_000),)) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if ends:
        sys.exit(7)  # as a program does
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(3)
    os._exit(4 + os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))


def fork(codes, ends):
    for _ in range(5):
        process = os.fork()
        if process == 0:
            over.set()
            child(ends)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


codes = []
spinners = [threading.Thread(target=spin) for _ in range(3)]
forks = threading.Thread(target=fork, args=(codes, False))
for each in (*spinners, forks):
    each.start()
fork(codes, True)
forks.join()
over.set()
for each in spinners:
    each.join()
print(codes)
