"""Storms, cycles, drops, exits and first uses, side by side, for so long; counts what goes wrong.

Usage: stress MINUTES [SEED]. HANDOFF_HOST names the host. The seed decides what is done, not how it
interleaves.
"""

import collections
import json
import os
import random
import select
import signal
import statistics
import sys
import threading
import time
from pathlib import Path

from host import HOST, CrashError, HangError, finish, stacks, start

HERE = Path(__file__).parent
PATIENCE = 60  # seconds without progress, until a process counts as deadlocked
CYCLES = 10_000
DROPPING = 2  # seconds of one process that drops Foos
WARM_UP = 0.1  # of the time: memory is measured from then on
GROWTH = 0.02  # of memory, from the first third to the last, that is no leak
TELLING = 20  # minutes: before, the allocator's own needs have not settled
FIGURES = ("runs", "messages", "cycles", "drops", "first uses", "exits", "given up")
BAD = ("deadlocks", "crashes", "lost", "doubled", "otherwise wrong")

total, counting = collections.Counter(), threading.Lock()
begun = set()  # processes, until they have ended


def count(**times):
    with counting:
        total.update({name.replace("_", " "): n for name, n in times.items()})


def tell(*lines):
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def begin(script, *arguments, python=(), **options):
    """Starts a script of ours in the host, whose own options are `python`."""
    process = start(HOST, *python, HERE / script, *arguments, **options)
    begun.add(process)
    return process


def end(process):
    """Its outcome, or None after a hang or a crash, which is counted."""
    try:
        return finish(process)
    except (HangError, CrashError) as error:
        tell(error)
        count(**{"deadlocks" if isinstance(error, HangError) else "crashes": 1})
        return None
    finally:
        begun.discard(process)


def watch(name, process):
    """What a process that lives long says, until it ends or one of its threads stands still."""
    said, unread = [], b""
    seen, moved = [], {}
    while True:
        now = time.monotonic()
        stuck = [n for n, when in moved.items() if now - when > PATIENCE]
        if stuck or not select.select([process.stdout], [], [], PATIENCE)[0]:
            tell(f"{name}: deadlock (threads {stuck})", stacks(process))
            count(deadlocks=1)
            process.kill()
            break
        read = os.read(process.stdout.fileno(), 65536)
        if not read:
            break
        *lines, unread = (unread + read).split(b"\n")
        for each in lines:
            said.append(json.loads(each))
            rounds = said[-1].get("rounds", [])
            for n, round_ in enumerate(rounds):
                if n >= len(seen) or seen[n] != round_:
                    moved[n] = time.monotonic()
            seen = rounds
    return said


def long_lived(script, *arguments):
    """What a script said, to its end."""
    process = begin(script, *arguments, stderr=None)
    said = watch(script, process)
    ended = end(process)
    if ended and ended.code != -signal.SIGKILL and (ended.code or "done" not in said[-1]):
        tell(f"{script} ended with {ended.code}")
        count(otherwise_wrong=1)
    return said


def counts(said):
    last = said[-1] if said else {}
    count(**{name: last.get(name, 0) for name in (*FIGURES, *BAD)})


def storms(until, seed, resident):
    for number in range(10**9):
        if (left := until - time.monotonic()) < 1:
            return
        said = long_lived("storm.py", str(left), f"{seed}.{number}")
        counts(said)
        resident.append([each["resident"] for each in said])


def cycles(until):
    while True:
        counts(long_lived("cycles.py", str(CYCLES)))
        if time.monotonic() >= until:
            return


def leave(seed):
    """One process that ends at a random moment."""
    process = begin("leave.py", seed)
    way, _, code = process.stdout.readline().decode().strip().partition(" ")
    if way in ("wait", "busy"):
        chosen = random.Random(seed)
        time.sleep(chosen.uniform(0, 0.05))
        code = -chosen.choice((signal.SIGINT, signal.SIGINT, signal.SIGTERM))
        process.send_signal(-code)
    count(exits=1)
    ended = end(process)
    if ended is None:
        return
    told = "given up" in ended.stderr
    reported = ended.stdout.startswith("[")
    hooks_run = way != "os_exit" and code != -signal.SIGTERM
    wrong = ended.code != int(code) or reported != hooks_run
    lost = doubled = 0
    for least, delivered, most, in_order in json.loads(ended.stdout) if reported else []:
        lost += delivered < least and not told
        doubled += delivered > most
        wrong |= not in_order
    if lost or doubled or wrong:
        tell(f"leave.py {seed}, {way} {code}: {ended}")
    count(lost=lost, doubled=doubled, otherwise_wrong=int(wrong), given_up=int(told))


def drop(seed):
    """One process that drops Foos in one of the storms that drop.py knows."""
    ended = end(begin("drop.py", str(DROPPING), seed))
    if ended is None:
        return
    storm, _, figures = ended.stdout.partition("\n")
    if ended.code or not figures:
        tell(f"drop.py {seed}: {ended}")
        count(otherwise_wrong=1)
        return
    figures = json.loads(figures)
    if figures.get("otherwise wrong"):
        tell(f"drop.py {seed}, {storm}: {figures}\n{ended.stderr}")
    count(drops=figures["drops"], otherwise_wrong=figures.get("otherwise wrong", 0))


def first_use(seed):
    """One process that uses Foo for the first time from several threads at once."""
    warnings = () if random.Random(seed).random() < 0.5 else ("-W", "error")
    ended = end(begin("first.py", seed, python=warnings))
    if ended is None:
        return
    succeeded, _, threads = ended.stdout.strip().partition(" ")
    wrong = ended.code != 0 or ended.stderr != "" or succeeded != threads
    if wrong:
        tell(f"first.py {seed}: {ended}")
    count(first_uses=int(threads or 0), otherwise_wrong=int(wrong))


def repeated(once, until, seed):
    """A process after another, each with a seed of its own."""
    for number in range(10**9):
        if time.monotonic() >= until:
            return
        once(f"{seed}.{number}")


def growth(resident):
    """Of the storm that lasted longest: the mean of the last third against the first's."""
    longest = max(resident, key=len)
    warm = longest[int(len(longest) * WARM_UP) :]
    third = len(warm) // 3
    if third == 0:
        return 0.0
    return statistics.fmean(warm[-third:]) / statistics.fmean(warm[:third]) - 1


def main(minutes, seed=None):
    seed = seed or str(random.randrange(10**6))
    tell(f"stress for {minutes:g} min; SEED={seed}")
    until, resident = time.monotonic() + minutes * 60, []
    parts = [
        (storms, until, seed, resident),
        (cycles, until),
        (repeated, leave, until, f"{seed}.0"),
        (repeated, leave, until, f"{seed}.1"),
        (repeated, drop, until, f"{seed}.2"),
        (repeated, first_use, until, f"{seed}.3"),
    ]
    threads = [
        threading.Thread(target=part, args=arguments, daemon=True) for part, *arguments in parts
    ]
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        for process in list(begun):  # at Ctrl-C
            process.kill()
    grown = growth(resident)
    figures = ", ".join(f"{total[name]:,} {name}" for name in FIGURES)
    bad = ", ".join(f"{total[name]} {name}" for name in BAD)
    too_short = minutes < TELLING
    memory = f"memory {grown:+.1%}" + too_short * " (too short a time to tell)"
    print(f"{minutes:g} min, SEED={seed}: {figures}; {bad}; {memory}")
    return any(total[name] for name in BAD) or (grown > GROWTH and not too_short)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *sys.argv[2:3]))
