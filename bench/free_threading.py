"""Measures Handoff on a free-threaded Python with its GIL off and on, in turn, and prints a table.

Usage: free_threading.py HOST PEERS [ROUNDS]: HOST is the host of a free-threaded Python, PEERS the
folder with module `attached`. Each figure is the median of the rounds, with the lowest and highest.

What: native threads that take and release the GIL, or call a Python function through a
handoff::callback; messages of a Foo, and how late they are, beside two threads that compute.
Limits: with the GIL on it is the same build, which pays for being able to do without.
"""

import json
import os
import statistics
import subprocess
import sys

PROGRAM = """
import json, sys, threading, time
from Foo import Foo
import attached
SECONDS = 0.5
told = {}
for threads in (1, 2):
    told[f"holds a second, {threads} native"] = attached.holds(threads, SECONDS) / SECONDS
    functions = [(lambda n: None) for _ in range(threads)]
    told[f"callbacks a second, {threads} native"] = attached.calls(functions, SECONDS) / SECONDS
ends = False
def compute():
    while not ends: sum(range(100))
busy = [threading.Thread(target=compute) for _ in range(2)]
for each in busy: each.start()
for kind, on_message in (("no callback", None), ("callback", lambda n: None)):
    foo = Foo(1e-7, on_message)
    foo.start(); time.sleep(SECONDS); delivered = len(foo); foo.stop()
    told[f"messages a second beside two busy threads, {kind}"] = delivered / SECONDS
late, begin = [], 0.0
def note(n): late.append(time.perf_counter() - begin - n * 0.001)
begin = time.perf_counter()
with Foo(0.001, note) as foo: time.sleep(2 * SECONDS)
told["lateness of a 1 ms Foo beside two busy threads, us"] = sorted(late)[len(late) // 2] * 1e6
ends = True
for each in busy: each.join()
print(json.dumps(told))
"""


def main(host, peers, rounds="5"):
    values = {}
    for _ in range(int(rounds)):
        for gil in ("0", "1"):
            variables = {**os.environ, "PYTHON_GIL": gil, "PYTHONPATH": peers}
            command = (host, "-c", PROGRAM)
            said = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE).stdout
            for name, value in json.loads(said.splitlines()[-1]).items():
                values.setdefault(name, {"0": [], "1": []})[gil].append(value)
    print("| | GIL off | GIL on | off / on |\n|---|---|---|---|")
    for name, each in values.items():
        shown = [
            f"{statistics.median(of):,.0f} ({min(of):,.0f} to {max(of):,.0f})"
            for of in (each["0"], each["1"])
        ]
        ratio = statistics.median(each["0"]) / statistics.median(each["1"])
        print(f"| {name} | {shown[0]} | {shown[1]} | {ratio:.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
