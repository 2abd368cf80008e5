"""Run by gdb, inside it: has the process that it traces make a call of Python's.

The call comes from Python's evaluation loop, between two instructions, where neither malloc's nor
the loader's lock is held; or, where the main thread waits in the system, from a new thread, which
takes the GIL as every other does. On a thread that was stopped anywhere, only mmap() is called,
which takes no lock, and Py_AddPendingCall(), which needs neither the GIL nor a thread state; it
takes a lock for a few instructions, and CPython's own signal handlers call it as well.
pthread_create() is called on a thread that waits in one of the system's calls: libc holds no lock
of its own there.

HANDOFF_ASKED names a file with what queued_call.py asks for; without contents, nothing is called.
The last line that it writes is "handoff-attach: " and JSON: {"result": NUMBER}, or {"thread": TID,
"inside": NAME} where a thread sleeps within what holds a lock that all need.
"""

from __future__ import annotations

import bisect
import importlib
import itertools
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

gdb: Any = importlib.import_module("gdb")

# A thread that sleeps within these may hold malloc's lock, or be in the middle of a fork().
# (starter.py checks the loader's lock.)
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
# The functions of libc that wait for others without one of libc's locks.
WAITS = {
    *("clock_nanosleep", "nanosleep", "sleep", "usleep", "pause"),
    *("select", "pselect", "poll", "ppoll", "epoll_wait", "epoll_pwait"),
    *("read", "readv", "recv", "recvfrom", "recvmsg", "write", "writev", "send", "sendto"),
    *("sendmsg", "accept", "accept4", "connect", "flock"),
    *("wait4", "waitpid", "waitid", "sigwait", "sigwaitinfo", "sigtimedwait"),
    *("sem_wait", "sem_timedwait", "sem_clockwait", "pthread_cond_wait"),
    *("pthread_cond_timedwait", "pthread_cond_clockwait", "pthread_join"),
    *("pthread_clockjoin_np", "pthread_timedjoin_np"),
}
# How Python waits for its own locks: up to 3.12; from 3.13 on.
WAITS_OF_PYTHON = {"PyThread_acquire_lock_timed", "_PySemaphore_Wait"}
LIBC = ("libc.so", "libc-2", "libpthread", "ld-linux", "ld-2")  # how its files' names begin
DEEP = 300  # frames


class Frame(NamedTuple):
    function: str
    instruction: int
    is_of_signal: bool  # between a signal's handler and what it has interrupted


def frames_of(thread: Any) -> list[Frame]:
    """The innermost first."""
    thread.switch()
    frames: list[Frame] = []
    try:
        frame = gdb.newest_frame()
        while frame is not None and len(frames) < DEEP:
            name = (frame.name() or "").partition("@")[0]
            frames.append(Frame(name, int(frame.pc()), frame.type() == gdb.SIGTRAMP_FRAME))
            frame = frame.older()
    except gdb.error:  # the frames further out are unknown, too
        pass
    return frames


def call(function: int, kind: str, *arguments: int) -> int:
    """kind: of function, as C has it."""
    return int(gdb.parse_and_eval(f"(({kind}){function})({', '.join(map(str, arguments))})"))


class Memory:
    """What the process's memory contains, and where."""

    def __init__(self, pid: int) -> None:
        self._begins: list[int] = []  # in their order
        self._regions: list[tuple[int, str]] = []  # where each ends, and its file
        for line in Path(f"/proc/{pid}/maps").read_text(errors="surrogateescape").splitlines():
            words = line.split(maxsplit=5)
            begin, _, end = words[0].partition("-")
            self._begins.append(int(begin, 16))
            self._regions.append((int(end, 16), words[5] if len(words) == 6 else ""))

    def file_at(self, address: int) -> str:
        end, file = self._region(address)
        return file if address < end else ""

    def is_mapped(self, address: int) -> bool:
        return address < self._region(address)[0]

    def _region(self, address: int) -> tuple[int, str]:
        at = bisect.bisect_right(self._begins, address) - 1
        return self._regions[at] if at >= 0 else (0, "")

    def is_of_libc(self, frame: Frame) -> bool:
        return self.file_at(frame.instruction).rpartition("/")[2].startswith(LIBC)


def is_in_wait(stack: list[Frame], memory: Memory) -> bool:
    """Whether the caller of libc is in a wait of the system's, and not in a signal's handler."""
    in_libc = list(itertools.takewhile(memory.is_of_libc, stack))
    if not 0 < len(in_libc) < len(stack) or any(frame.is_of_signal for frame in stack):
        return False
    # sem_wait() leaves no frame: it ends with a jump to a function that may have no name.
    called, caller = in_libc[-1], stack[len(in_libc)]
    return bare(called.function) in WAITS or caller.function in WAITS_OF_PYTHON


def bare(function: str) -> str:
    """Of libc's names: __GI___libc_read, ___pthread_cond_timedwait64 and the like."""
    name = function.lstrip("_")
    for prefix in ("GI_", "libc_", "new_"):
        name = name.removeprefix(prefix).lstrip("_")
    return name.removesuffix("64")


def work() -> dict[str, Any]:
    parameters = json.loads(Path(os.environ["HANDOFF_ASKED"]).read_text())
    main = parameters["main"]
    program = Path(f"/proc/{main}/auxv").read_bytes().hex()
    if program != parameters["program"]:  # exec(): there is something else at those addresses
        return {"result": -4}
    asleep = set(parameters["asleep"])
    threads = {thread.ptid[1]: thread for thread in gdb.selected_inferior().threads()}
    stacks = {number: frames_of(thread) for number, thread in threads.items()}
    functions = {number: {each.function for each in stack} for number, stack in stacks.items()}
    for number in asleep & set(stacks):
        inside = next((each.function for each in stacks[number] if each.function in HOLD_LOCKS), "")
        if inside:
            return {"thread": number, "inside": inside}
    if not parameters["contents"]:
        return {"result": 0}
    memory = Memory(main)
    waiting = [
        number
        for number in (main, *sorted(asleep))
        if number in threads and is_in_wait(stacks[number], memory)
    ]
    # A sleeping thread does not hold that lock. Python 3.11 sees the call at once only if the main
    # thread queues it.
    candidates = [main, *sorted(asleep), *sorted(threads)] if parameters["interpreter"] else [main]
    candidates.sort(key=lambda number: number not in asleep)
    caller = next(
        (each for each in candidates if each in threads and not PENDING & functions[each]), None
    )
    if caller is None:
        return {"thread": main, "inside": "Py_MakePendingCalls"}
    print("handoff-attach: calls", flush=True)
    gdb.execute("set scheduler-locking on")
    threads[caller].switch()
    if not call(parameters["initialized"], "int(*)()"):
        return {"result": -3}
    readable_and_writable = 3
    if not parameters["is_there"] and not map_page(
        parameters["mmap"], parameters["page"], readable_and_writable
    ):
        return {"result": -2}
    code = parameters["code"]
    has_code = code is not None and write_code(code, parameters["mmap"], memory)
    write(parameters["page"], parameters["contents"][has_code])
    if has_code and main in asleep and waiting:
        may_hold = [
            threads[number]
            for number in sorted(asleep & set(threads))
            if is_in_python(stacks[number], parameters["python"], memory)
        ]
        if not is_held(may_hold, code) and begin_thread(threads[waiting[0]], parameters):
            return {"result": 0}
        threads[caller].switch()
    if parameters["is_queued"]:
        return {"result": 0}
    gdb.execute("set scheduler-locking off")  # the lock's holder continues, and releases it
    arguments = (code["call"] if has_code else parameters["run"], parameters["page"])
    if parameters["interpreter"]:  # from 3.12 on: whichever thread runs Python's code
        interpreter = call(parameters["interpreter"], "long(*)()")
        kind = "int(*)(long,long,long,int)"
        return {"result": call(parameters["add"], kind, interpreter, *arguments, 0)}
    return {"result": call(parameters["add"], "int(*)(long,long)", *arguments)}


def map_page(mmap: int, page: int, protection: int) -> bool:
    private_anonymous_fixed_noreplace = 0x100022
    how = (page, 4096, protection, private_anonymous_fixed_noreplace, -1, 0)
    return call(mmap, "long(*)(long,long,int,int,int,long)", *how) == page


def write(where: int, content: str) -> None:
    gdb.selected_inferior().write_memory(where, bytes.fromhex(content))


def is_in_python(stack: list[Frame], python: str, memory: Memory) -> bool:
    """Whether it may have the GIL: in a function of Python's, but not in a wait for Python's locks,
    for which hardly any thread keeps it."""
    return any(memory.file_at(each.instruction) == python for each in stack) and not any(
        each.function in WAITS_OF_PYTHON for each in stack
    )


def is_held(asleep: list[Any], functions: dict[str, int]) -> bool:
    """Whether a thread sleeps with the GIL: the process hangs, and another thread would wait.

    asleep: threads that have Python's functions on their stacks, so what these look up is there.
    """
    current = functions["current"]
    if not functions["is_of_process"]:
        return any(call_on(thread, current) != 0 for thread in asleep)
    holder = call(current, "long(*)()")
    return holder != 0 and any(call_on(thread, functions["own"]) == holder for thread in asleep)


def call_on(thread: Any, function: int) -> int:
    thread.switch()
    return call(function, "long(*)()")


def write_code(code: dict[str, Any], mmap: int, memory: Memory) -> bool:
    """Whether it is there now."""
    page, content = code["page"], bytes.fromhex(code["content"])
    if memory.is_mapped(page):  # since the last time; or the program uses it
        return bytes(gdb.selected_inferior().read_memory(page, len(content))) == content
    readable_and_executable = 5
    if not map_page(mmap, page, readable_and_executable):
        return False
    write(page, code["content"])
    return True


def begin_thread(caller: Any, parameters: dict[str, Any]) -> bool:
    """Whether there is a thread that runs the call, as soon as it has the GIL."""
    code = parameters["code"]
    caller.switch()
    if call(code["finalizing"], "int(*)()"):
        return False
    write(parameters["state"], code["on_thread"])
    gdb.execute("set scheduler-locking off")  # others may hold locks that it needs
    kind = "int(*)(long,long,long,long)"
    if call(code["create"], kind, code["handle"], 0, code["thread"], 0) == 0:
        return True
    write(parameters["state"], parameters["queued"])
    return False


for setting in (
    "set pagination off",
    "set unwindonsignal on",
    "handle all nostop noprint pass",
    "handle SIGINT nostop noprint pass",
):
    gdb.execute(setting, to_string=True)
print("handoff-attach: " + json.dumps(work()), flush=True)
