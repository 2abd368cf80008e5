"""Runs inside the process that was attached to, between two instructions, or on a new thread.

It leaves the work to its own thread at once: what that may wait for (another thread's import, the
loader) blocks no other thread. Until it knows that the loader's lock is free, it imports only what
is built into every Python, because a thread that loads a library holds the GIL.

Lines that the attaching process reads: begun; loaded; started; stopped; loader TID; failed WHY.
It does nothing once no process reads them. A call of main() follows this text.
"""

from __future__ import annotations

import _thread
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import types
else:
    import _signal as signal  # which every Python has built in


def main(
    pid: int,
    answer: str,  # pipes: to the attaching process,
    end: str,  # and from it; empty: the tool goes on without it
    tool: str,
    needs: list[str],  # packages that the tool imports
    folder: str,  # where they all are
    arguments: tuple[object, ...],
    keywords: dict[str, object],
    loader_locks: list[int],  # addresses
) -> None:
    if posix.getpid() != pid:
        return  # a child of fork(), which inherited the request
    try:
        to_attaching = open_apart(answer, posix.O_WRONLY | posix.O_NONBLOCK)
    except OSError:
        return  # nobody waits for it any more

    def work() -> None:
        holder = loader_holder(loader_locks)
        if holder:
            tell(to_attaching, f"loader {holder}")
            return
        for package in needs:
            load(package, folder)
        start_and_stop(to_attaching, end, load(tool, folder), arguments, keywords)

    def in_own_thread() -> None:
        # Signals are for the program's own threads; SIGPIPE may end a program that embeds Python.
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        try:
            name_thread(f"{tool}-thread")  # which no command is called, as a process is by its
            tell(to_attaching, "begun")
            try:
                work()
            except BrokenPipeError:
                raise
            except BaseException as failure:
                why = str(failure) if isinstance(failure, RuntimeError) else repr(failure)
                tell(to_attaching, f"failed {why}")
        except OSError:  # nobody waits for it any more
            pass
        finally:
            posix.close(to_attaching)

    try:
        _thread.start_new_thread(in_own_thread, ())
    except RuntimeError as failure:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])
        try:
            tell(to_attaching, f"failed {failure}")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            posix.close(to_attaching)


def open_apart(path: str, flags: int) -> int:
    """If the program has closed its stderr, what it writes there must not reach this file."""
    descriptor = posix.open(path, flags | posix.O_CLOEXEC)
    low: list[int] = []
    while descriptor < 3:
        low.append(descriptor)
        descriptor = posix.dup(descriptor)
    for each in low:
        posix.close(each)
    return descriptor


def name_thread(name: str) -> None:
    """For tools that list the process's threads, and for giltrace, which leaves out its own.

    A native thread has its creator's name, and the process has its command's.
    """
    try:
        file = open_apart(f"/proc/self/task/{_thread.get_native_id()}/comm", posix.O_WRONLY)
    except OSError:
        return
    try:
        posix.write(file, name.encode())
    finally:
        posix.close(file)


def tell(pipe: int, line: str) -> None:
    posix.write(pipe, line.replace("\n", " ").encode("utf-8", "backslashreplace")[:4000] + b"\n")


def loader_holder(loader_locks: list[int]) -> int:
    """The thread that holds one of the loader's locks; 0: none does."""
    memory = open_apart("/proc/self/mem", posix.O_RDONLY)
    try:
        for address in loader_locks:
            owner = int.from_bytes(posix.pread(memory, 4, address + 8), "little")
            if owner:
                return owner
    finally:
        posix.close(memory)
    return 0


def load(package: str, folder: str) -> types.ModuleType:
    import sys

    if package in sys.modules:
        if not hasattr(sys.modules[package], "LIBRARY"):
            raise RuntimeError(
                f"the program has a module of its own that is called {package}, as the tool is"
            )
        return sys.modules[package]
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        package,
        f"{folder}/{package}/__init__.py",
        submodule_search_locations=[f"{folder}/{package}"],
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no {folder}/{package}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[package] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[package]
        raise
    return module


def start_and_stop(
    to_attaching: int,
    end: str,
    tool: types.ModuleType,
    arguments: tuple[object, ...],
    keywords: dict[str, object],
) -> None:
    tell(to_attaching, "loaded")  # and somebody still waits for it
    if not end:
        tool.start(*arguments, **keywords)
        tell(to_attaching, "started")
        return
    from_attaching = open_apart(end, posix.O_RDONLY | posix.O_NONBLOCK)
    try:
        tool.start(*arguments, **keywords)
        try:
            tell(to_attaching, "started")
            posix.set_blocking(from_attaching, True)
            posix.read(from_attaching, 1)  # until the attaching process closes it, or has ended
        finally:
            tool.stop(summary=False)
    finally:
        posix.close(from_attaching)
    tell(to_attaching, "stopped")
