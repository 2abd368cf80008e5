"""Run by gdb, inside it: has the process that it traces queue a call of Python's.

The call itself comes from Python's evaluation loop, between two instructions, where neither
malloc's nor the loader's lock is held. What is called here, on a thread that was stopped anywhere,
are mmap(), which takes no lock, and Py_AddPendingCall(), which needs neither the GIL nor a thread
state; it takes a lock for a few instructions, and CPython's own signal handlers call it as well.

HANDOFF_ASKED names a file with what queued_call.py asks for; without content, nothing is called.
The last line that it writes is "handoff-attach: " and JSON: {"result": NUMBER}, or {"thread": TID,
"inside": NAME} where a thread sleeps within what holds a lock that all need.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

gdb: Any = importlib.import_module("gdb")

# Who sleeps within these may hold malloc's lock, or is between fork()'s halves. (Who holds the
# loader's lock, starter.py sees.)
HOLD_LOCKS = {
    *("malloc", "calloc", "realloc", "free", "memalign", "posix_memalign", "aligned_alloc"),
    *("__libc_malloc", "__libc_calloc", "__libc_realloc", "__libc_free", "_int_malloc"),
    *("_int_free", "_int_realloc", "malloc_consolidate", "sysmalloc", "arena_get2"),
    *("fork", "__libc_fork", "_Fork", "vfork"),
}
# A thread within these may hold the lock that Py_AddPendingCall() takes.
PENDING = {
    *("Py_AddPendingCall", "_PyEval_AddPendingCall", "Py_MakePendingCalls"),
    *("make_pending_calls", "_make_pending_calls", "_push_pending_call", "_pop_pending_call"),
}
# How Python waits for its own locks: up to 3.12; from 3.13 on.
WAITS = {"PyThread_acquire_lock_timed", "_PySemaphore_Wait"}
DEEP = 300  # frames
FUTEX = 202  # x86-64's number of the system call
EINTR = 4


def functions(thread: Any) -> list[str]:
    """The names on a thread's stack, the innermost first."""
    thread.switch()
    names: list[str] = []
    try:
        frame = gdb.newest_frame()
        while frame is not None and len(names) < DEEP:
            names.append((frame.name() or "").partition("@")[0])
            frame = frame.older()
    except gdb.error:  # nor is it known further out
        pass
    return names


def call(function: int, kind: str, *arguments: int) -> int:
    """kind: of function, as C has it."""
    return int(gdb.parse_and_eval(f"(({kind}){function})({', '.join(map(str, arguments))})"))


def work() -> dict[str, Any]:
    parameters = json.loads(Path(os.environ["HANDOFF_ASKED"]).read_text())
    program = Path(f"/proc/{parameters['main']}/auxv").read_bytes().hex()
    if program != parameters["program"]:  # exec(): there is something else at those addresses
        return {"result": -4}
    asleep = set(parameters["asleep"])
    threads = {thread.ptid[1]: thread for thread in gdb.selected_inferior().threads()}
    stacks = {number: functions(thread) for number, thread in threads.items()}
    for number in asleep & set(stacks):
        inside = next((name for name in stacks[number] if name in HOLD_LOCKS), None)
        if inside:
            return {"thread": number, "inside": inside}
    if not parameters["content"]:
        return {"result": 0}
    main = parameters["main"]
    # One that sleeps does not hold that lock. Python 3.11 sees the call at once only if it is the
    # main thread that queues it.
    candidates = [main, *sorted(asleep), *sorted(threads)] if parameters["interpreter"] else [main]
    candidates.sort(key=lambda number: number not in asleep)
    for number in candidates:
        if number in threads and not PENDING & set(stacks[number]):
            threads[number].switch()
            break
    else:
        return {"thread": main, "inside": "Py_MakePendingCalls"}
    print("handoff-attach: calls", flush=True)
    gdb.execute("set scheduler-locking on")
    if not call(parameters["initialized"], "int(*)()"):
        return {"result": -3}
    if parameters["mmap"]:
        # PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
        how = (parameters["page"], 4096, 3, 0x100022, -1, 0)
        if call(parameters["mmap"], "long(*)(long,long,int,int,int,long)", *how) != how[0]:
            return {"result": -2}
    gdb.selected_inferior().write_memory(parameters["page"], bytes.fromhex(parameters["content"]))
    gdb.execute("set scheduler-locking off")  # who holds that lock goes on, and gives it up
    arguments = (parameters["run"], parameters["page"])
    if parameters["interpreter"]:  # from 3.12 on: whichever thread runs Python's code
        interpreter = call(parameters["interpreter"], "long(*)()")
        kind = "int(*)(long,long,long,int)"
        result = call(parameters["add"], kind, interpreter, *arguments, 0)
    else:
        result = call(parameters["add"], "int(*)(long,long)", *arguments)
    if result == 0 and WAITS & set(stacks.get(main, [])[:8]):
        wake(threads[main])
    return {"result": result}


def wake(thread: Any) -> None:
    """Its wait for a lock of Python's returns as if a signal had come.

    Python runs the queued calls then, and waits on (PEP 475).
    """
    thread.switch()
    number, result = (int(gdb.parse_and_eval(f"(long)${name}")) for name in ("orig_rax", "rax"))
    if (
        number == FUTEX and -516 <= result <= -512
    ):  # it would be begun again: ERESTARTSYS and others
        gdb.execute(f"set $rax = -{EINTR}")
        gdb.execute("set $orig_rax = -1")


for setting in (
    "set pagination off",
    "set unwindonsignal on",
    "handle all nostop noprint pass",
    "handle SIGINT nostop noprint pass",
):
    gdb.execute(setting, to_string=True)
print("handoff-attach: " + json.dumps(work()), flush=True)
