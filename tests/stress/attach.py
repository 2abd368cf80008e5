"""Attaches to processes that compute, that wait and that hang, again and again; counts harm.

Usage: attach.py TIMES [PYTHON [ATTACHING_PYTHON]]: the target's Python, and the one that attaches,
which needs pystack. A target is harmed if it is stopped or traced afterwards, computes no further,
has another descriptor or thread than before, does not end as it should, with the right result; or
if a file is left. PYTHON_PACKAGES: where gilcheck, giltrace and gilwatch are.
"""

import collections
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGES = os.environ["PYTHON_PACKAGES"]
TIMEOUT = 60 * int(os.environ.get("HANDOFF_PATIENCE", "1"))  # seconds

# What each has computed can be computed again: x is a power of 3, modulo a prime.
BUSY = """
import ctypes, os, sys, threading  # libffi keeps a descriptor, once ctypes is imported
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
print("ready", flush=True)
n, x = 0, 1
while not ended.is_set():
    for _ in range(1000):
        n, x = n + 1, x * 3 % 2147483647
    os.pwrite(3, n.to_bytes(8, "little"), 0)
print(n, x)
"""
# Holds the GIL in read(), while another thread wants it; a byte cures it.
HUNG = """
import ctypes, os, sys, threading, time
begun = threading.Event()
def work():
    begun.set()
    n, x = 0, 1
    for _ in range(1000):
        time.sleep(0)
        n, x = n + 1, x * 3 % 2147483647
    print(n, x)
worker = threading.Thread(target=work)
worker.start()
begun.wait()
print("ready", flush=True)
ctypes.PyDLL(None).read(0, bytes(1), 1)
worker.join()
"""
# Sleeps, and waits for input or output: nobody runs Python. A byte wakes it.
ASLEEP = """
import ctypes, os, signal, sys, threading, time
class Woken(Exception): pass
def wake(*_): raise Woken
signal.signal(signal.SIGUSR1, wake)
main = threading.main_thread().ident
def read():
    os.read(0, 1)
    signal.pthread_kill(main, signal.SIGUSR1)
threading.Thread(target=read, daemon=True).start()
print("ready", flush=True)
try:
    time.sleep(3600)
    print("woken early")
except Woken:
    pass
n, x = 0, 1
for _ in range(1000):
    n, x = n + 1, x * 3 % 2147483647
print(n, x)
"""
SELECTING = """
import ctypes, os, select
print("ready", flush=True)
if select.select([0], [], [], 3600) != ([0], [], []): print("woken early")
n, x = 0, 1
for _ in range(1000):
    n, x = n + 1, x * 3 % 2147483647
print(n, x)
"""
PROGRAMS = {"busy": BUSY, "asleep": ASLEEP, "selecting": SELECTING, "hung": HUNG}
KINDS = {
    "gilwatch": ("gilwatch",),
    "gilcheck": ("gilcheck", "--within", "{within}"),
    "gilwatch --watch": ("gilwatch", "--watch", "--after", "600", "--within", "{within}"),
    "giltrace": (*["giltrace", "--seconds", "0.05", "--within", "{within}", "-o", "{output}"],),
}


def state_of(pid):
    """What attaching must not change: stopped or traced, its descriptors, how many threads."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    files = {each.name: str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
    return {
        "is stopped": status["State"][0] in "tT",
        "is traced": status["TracerPid"] != "0",
        "descriptors": files,
    }


def threads_of(pid):
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def settled(look, wanted, within=5.0):
    """The first look that is as wanted, or the last."""
    deadline = time.monotonic() + within
    while not wanted(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return seen


class Target:
    def __init__(self, python, program, progress):
        self.progress = progress
        self.hangs = program is HUNG
        self.computes = program is BUSY
        progress.write_bytes(bytes(8))
        shared = os.open(progress, os.O_RDWR)
        os.dup2(shared, 3)
        self.process = subprocess.Popen(
            [python, "-u", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[3],
        )
        os.close(3)
        if shared != 3:
            os.close(shared)
        assert self.process.stdout.readline() == b"ready\n"
        self.pid = self.process.pid

    def count(self):
        return int.from_bytes(self.progress.read_bytes(), "little")

    def harm(self, before, threads):
        """In words; empty: none."""
        if self.process.poll() is not None:
            return f"ended with {self.process.returncode}: {self.process.stderr.read()[-300:]!r}"
        after = settled(lambda: state_of(self.pid), lambda seen: seen == before)
        for what, value in after.items():
            if value != before[what]:
                return f"{what}: {before[what]} became {value}"
        # gilwatch has one thread, from when it began to watch.
        count = settled(lambda: threads_of(self.pid), lambda seen: seen <= threads + 1)
        if count > threads + 1:
            return f"has {count} threads, not {threads}"
        if self.computes:
            seen = self.count()
            if settled(self.count, lambda count: count > seen, TIMEOUT) <= seen:
                return "computes no further"
        return ""

    def harm_at_end(self):
        try:
            output, errors = self.process.communicate(b"x", TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return f"does not end: {self.process.communicate()[1][-300:]!r}"
        numbers = output.split()
        if self.process.returncode != 0 or len(numbers) != 2:
            return f"ended with {self.process.returncode}, {output!r}, {errors[-300:]!r}"
        if pow(3, int(numbers[0]), 2147483647) != int(numbers[1]):
            return f"has computed wrong: {output!r}"
        return ""


def expected(kind, hangs):
    """Of the exit code: only from outside something is said of a process that hangs."""
    return 2 if hangs and kind != "gilwatch" else 0


def attach(target, kind, attaching, folder):
    """What went otherwise than it should; empty: nothing."""
    output = folder / "trace.json"
    words = [
        each.format(within="0.3" if target.hangs else "30", output=output) for each in KINDS[kind]
    ]
    environment = {**os.environ, "PYTHONPATH": PACKAGES, "TMPDIR": str(folder / "tmp")}
    try:
        ended = subprocess.run(
            [attaching, "-m", words[0], "--pid", str(target.pid), *words[1:]],
            env=environment,
            capture_output=True,
            timeout=5 * TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"goes on after {5 * TIMEOUT} s"
    if ended.returncode != expected(kind, target.hangs) or ended.stderr.count(b"Traceback"):
        return f"exited with {ended.returncode}: {ended.stderr.decode()[-500:]}"
    if kind == "giltrace" and not target.hangs and not output.exists():
        return "has written no recording"
    output.unlink(missing_ok=True)
    return ""


def main(times, python=sys.executable, attaching=None):
    attaching = attaching or python
    counted = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        for what, program in PROGRAMS.items():
            target = Target(python, program, folder / "progress")
            before, threads = state_of(target.pid), threads_of(target.pid)
            begin = time.monotonic()
            for turn in range(int(times)):
                kind = list(KINDS)[turn % len(KINDS)]
                problem = attach(target, kind, attaching, folder)
                counted["attached"] += 1
                if problem:
                    counted["otherwise wrong"] += 1
                    print(f"{kind}, {what}, turn {turn}: {problem}", file=sys.stderr, flush=True)
                harm = target.harm(before, threads)
                left = list((folder / "tmp").iterdir())
                if harm or left:
                    counted["harmed"] += 1
                    said = harm or f"left {left}"
                    print(
                        f"{kind}, {what}, turn {turn}: target {said}", file=sys.stderr, flush=True
                    )
                if target.process.poll() is not None:
                    target = Target(python, program, folder / "progress")
                    before, threads = state_of(target.pid), threads_of(target.pid)
            if harm := target.harm_at_end():
                counted["harmed"] += 1
                print(f"{what}: target {harm}", file=sys.stderr, flush=True)
            mean = (time.monotonic() - begin) / int(times)
            print(f"{what}: attached {times} times, {mean:.1f} s each", flush=True)
    version = subprocess.check_output([python, "--version"], text=True).strip()
    print(
        f"{version}: attached {counted['attached']} times, {counted['harmed']} targets harmed, "
        f"{counted['otherwise wrong']} otherwise wrong"
    )
    return counted["harmed"] + counted["otherwise wrong"] > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
