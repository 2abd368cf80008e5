"""Subinterpreters in several threads: with the main one's GIL, and from 3.12 on with their own."""

import os
import sys
import threading

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

CODE = """
import os, threading, time, zlib
def work():
    for _ in range(20):
        zlib.compress(bytes(100_000))
        time.sleep(0.0001)
threads = [threading.Thread(target=work) for _ in range(3)]
for each in threads: each.start()
for each in threads: each.join()
os.write({written}, b"x")
"""


def create(own_gil):
    if sys.version_info >= (3, 13):
        return interpreters.create("isolated" if own_gil else "legacy")
    return interpreters.create(isolated=own_gil)


def work(own_gil, written):
    for _ in range(3):
        made = create(own_gil)
        interpreters.run_string(made, CODE.format(written=written))
        interpreters.destroy(made)


def main():
    for own_gil in (False, True) if sys.version_info >= (3, 12) else (False,):
        read, written = os.pipe()
        threads = [threading.Thread(target=work, args=(own_gil, written)) for _ in range(3)]
        for each in threads:
            each.start()
        work(own_gil, written)
        for each in threads:
            each.join()
        os.close(written)
        print(own_gil, len(os.read(read, 100)))
        os.close(read)


main()
