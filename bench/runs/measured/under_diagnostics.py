"""Usage: under_diagnostics.py WORK: prints how many seconds of processor time it took."""

import ctypes
import json
import sqlite3
import sys
import time

import gil_probe
import seed

TIMES = 300_000
foo = seed.Foo(1.0)
getppid = ctypes.CDLL(None).getppid  # which ctypes calls without the GIL


def pure_python():
    numbers = {}
    for n in range(4 * TIMES):
        numbers[n % 1000] = numbers.get(n % 1000, 0) + len(str(n))


def boost_calls():
    stop = foo.stop  # it does not run: the call alone
    for _ in range(TIMES):
        stop()


def handoffs():
    hand_over = gil_probe.hand_over
    for _ in range(TIMES):
        hand_over()


def ctypes_calls():
    for _ in range(TIMES):
        getppid()


def handoffs_in_c():
    gil_probe.hand_over_often(TIMES)


def locks_alone():
    gil_probe.lock_often_alone(10 * TIMES)


def locks_with_gil():
    gil_probe.lock_often(10 * TIMES)


def locks_nested():
    gil_probe.lock_often_nested(10 * TIMES)


def sqlite():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table numbers (n)")
    for n in range(TIMES // 10):
        connection.execute("insert into numbers values (?)", (n,))
        connection.execute("select n from numbers where rowid = ?", (n,)).fetchone()


work = globals()[sys.argv[1]]
begin = time.thread_time()
work()
print(json.dumps(time.thread_time() - begin))
