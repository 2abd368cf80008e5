"""A Python process, seen from outside, and why it cannot be attached to, in one sentence.

Source: proc(5), ptrace(2) with its "Ptrace access mode checking", Linux's
Documentation/admin-guide/LSM/Yama.rst.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import signal
import struct
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from .elf_symbols import exported, is_of_32_bits
from .thread_code import Functions, Python

OLDEST = (3, 11)  # whose frames and GIL the tools know

_IN_PYTHON = frozenset(
    {
        *("Py_Version", "Py_GetVersion", "PyRun_SimpleString", "PyInterpreterState_Main"),
        *("Py_AddPendingCall", "_PyEval_AddPendingCall", "Py_IsInitialized", "_PyRuntime"),
        *Python._fields,
        "PyGILState_GetThisThreadState",
        # From 3.13 on, and before.
        *("PyThreadState_GetUnchecked", "_PyThreadState_UncheckedGet"),
        *("Py_IsFinalizing", "_Py_IsFinalizing"),
    }
)
_IN_LIBC = frozenset({"mmap", "gnu_get_libc_version"})
_OF_THREADS = frozenset(Functions._fields)
_IN_LOADER = frozenset({"_rtld_global"})


class RefusedError(Exception):
    """Why nothing was done, and what to do: one sentence."""


class Mapped(NamedTuple):
    """A file in the memory of a process."""

    file: Path
    begin: int  # its lowest address
    which: tuple[str, str]  # device and inode


class Loader(NamedTuple):
    """What loads libraries into a process, and where it keeps what it knows: _rtld_global."""

    file: Path
    which: tuple[str, str]
    address: int
    size: int  # bytes


class Process:
    """This process alone, even if its number is reused after its end. Close it, or use `with`.

    Raises RefusedError for one that cannot be attached to without harm, or at all.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._folder = Path(f"/proc/{pid}")
        if pid <= 0:
            raise RefusedError(
                f"a process has a positive number, not {pid}: `pgrep -a python` shows them"
            )
        try:
            self.descriptor = os.pidfd_open(pid)
        except OSError:
            if (self._folder / "status").exists():
                raise RefusedError(
                    f"{pid} is a thread of process {self._status('Tgid')}: attach to that"
                ) from None
            raise RefusedError(
                f"there is no process {pid}: `pgrep -a python` shows those that run"
            ) from None
        self.program = self._program()

    def _program(self) -> str:
        """What exec() changes: where the kernel has put the program, and what it gave it."""
        try:
            return (self._folder / "auxv").read_bytes().hex()
        except OSError:
            return ""

    def require_same_program(self) -> None:
        """Raises RefusedError if it has called exec(): what is known of it is then of no use."""
        if self._program() != self.program:
            raise self.has_become_another()

    def has_ended_program(self) -> bool:
        """Whether the process has ended, or has become another program."""
        try:
            self.require_same_program()
        except RefusedError:
            return True
        return False

    def has_become_another(self) -> RefusedError:
        return RefusedError(
            f"process {self.pid} has ended, or started another program (exec): attach to what it is"
        )

    def close(self) -> None:
        os.close(self.descriptor)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _gone(self) -> RefusedError:
        return RefusedError(f"process {self.pid} has ended")

    def _status(self, field: str) -> str:
        """A field of /proc/PID/status. Raises RefusedError if the process has ended."""
        try:
            lines = (self._folder / "status").read_text().splitlines()
        except OSError:
            raise self._gone() from None
        return next(
            (line.partition(":")[2].strip() for line in lines if line.startswith(field)), ""
        )

    @property
    def name(self) -> str:
        return self._status("Name")

    @property
    def user(self) -> int:
        """The effective user's number."""
        return int(self._status("Uid").split()[1])

    @property
    def group(self) -> int:
        return int(self._status("Gid").split()[1])

    def require_reachable(self) -> None:
        """Checks that it runs here, and that this user may trace it. Changes and stops nothing."""
        if self.pid == os.getpid():
            raise RefusedError(
                f"process {self.pid} is the one that attaches: in a script, call the tool's start()"
            )
        self.require_running()
        self._require_permission()
        self._require_same_view()
        try:
            if is_of_32_bits(self._folder / "exe"):
                raise RefusedError(
                    f"process {self.pid} ({self.name}) is a program of 32 bits, and the tools are "
                    "libraries of 64: run a Python of 64 bits"
                )
        except OSError:
            raise self._gone() from None

    def require_running(self) -> None:
        """Raises RefusedError for one that has ended, is stopped, or is traced."""
        state = self._status("State")
        ended = select.poll()
        ended.register(self.descriptor, select.POLLIN)
        if state.startswith(("Z", "X")) or ended.poll(0):
            raise RefusedError(f"process {self.pid} has ended, and waits for its parent to see it")
        if state.startswith("T"):
            raise RefusedError(
                f"process {self.pid} is stopped (Ctrl-Z, SIGSTOP): `kill -CONT {self.pid}` lets it "
                "go on; attach then"
            )
        if tracer := int(self._status("TracerPid") or 0):
            raise RefusedError(
                f"process {self.pid} is traced by process {tracer}, a debugger or strace, and only "
                "one may trace it: detach that first"
            )

    def _require_permission(self) -> None:
        """Asks the kernel what ptrace asks it: /proc/PID/mem needs the same."""
        try:
            with (self._folder / "mem").open("rb"):
                return
        except FileNotFoundError:
            raise self._gone() from None
        except OSError:
            pass
        user = self.user
        if os.geteuid() not in (0, user):
            name = user_name(user)
            raise RefusedError(
                f"process {self.pid} belongs to {name}, and you are {user_name(os.geteuid())}: "
                f"run this as {' or as '.join(dict.fromkeys((name, 'root')))} (`sudo`)"
            )
        raise RefusedError(f"this process may not trace process {self.pid}: {what_allows_ptrace()}")

    def _require_same_view(self) -> None:
        """Checks that file names and process numbers mean the same there as here."""
        for kind, inside in (("pid", f"nsenter -t {self.pid} -m -p"), ("mnt", "")):
            theirs = (self._folder / "ns" / kind).readlink()
            if theirs != Path(f"/proc/self/ns/{kind}").readlink():
                raise RefusedError(
                    f"process {self.pid} runs in a container (its {kind} namespace is another): "
                    "install the tools in the container and run this there (`docker exec`, "
                    f"`kubectl exec`, or {inside or f'nsenter -t {self.pid} -m'})"
                )
        theirs_root, ours = (self._folder / "root").stat(), Path("/").stat()
        if (theirs_root.st_dev, theirs_root.st_ino) != (ours.st_dev, ours.st_ino):
            raise RefusedError(
                f"process {self.pid} has another root folder, "
                f"{(self._folder / 'root').readlink()}: run this inside it (`chroot`)"
            )

    @cached_property
    def mapped(self) -> list[Mapped]:
        """The files in its memory, in the order of their addresses."""
        files: dict[Path, Mapped] = {}
        for line in self.maps():
            words = line.split(maxsplit=5)
            if len(words) == 6 and words[5].startswith("/"):
                file = Path(words[5].rstrip("\n"))
                begin = int(words[0].partition("-")[0], 16)
                files.setdefault(file, Mapped(file, begin, (words[3], words[4])))
        return list(files.values())

    def maps(self) -> list[str]:
        try:
            return (self._folder / "maps").read_text(errors="surrogateescape").splitlines()
        except OSError:
            raise self._gone() from None

    def _addresses(self, names: frozenset[str], mapped: Mapped) -> dict[str, tuple[int, int]]:
        """(Where in its memory each is, and its size) of the names that the file exports."""
        file = mapped.file
        if not file.exists():  # replaced by an update, perhaps; the process still has the old one
            file = self._folder / "exe" if str(mapped.file).endswith(" (deleted)") else file
        try:
            found = exported(file, names)
        except (OSError, ValueError):
            return {}
        return {
            name: (mapped.begin + address - found.loaded_from, size)
            for name, (address, size) in found.symbols.items()
        }

    @cached_property
    def python(self) -> Mapped:
        """The file that contains the interpreter. RefusedError: none, or too old."""
        for mapped in self.mapped:
            if not mapped.file.name.endswith((".py", ".pyc", "-archive")):
                found = self._addresses(_IN_PYTHON, mapped)
                if "Py_Version" in found and "PyRun_SimpleString" in found:
                    self._python_symbols = found
                    return mapped
                if "Py_GetVersion" in found and "PyRun_SimpleString" in found:
                    raise RefusedError(
                        f"process {self.pid} runs a Python older than 3.11, which the tools do not "
                        f"know ({mapped.file}): run the program with a newer one"
                    )
        deleted = next(
            (str(each.file) for each in self.mapped if "(deleted)" in str(each.file)), ""
        )
        if "python" in deleted:
            raise RefusedError(
                f"process {self.pid} runs a Python whose file was replaced ({deleted}), by an "
                "update perhaps: restart the program"
            )
        raise RefusedError(
            f"process {self.pid} ({self.name}) does not run Python: none of its files exports "
            "Py_Version (`pgrep -a python` shows those that do)"
        )

    def python_symbol(self, name: str) -> int:
        """The address of what the interpreter exports. Raises RefusedError."""
        file = self.python.file
        if name not in self._python_symbols:
            raise RefusedError(
                f"process {self.pid} runs a Python of another build, which has no {name} "
                f"({file}): start the tool with the program instead"
            )
        return self._python_symbols[name][0]

    @property
    def runtime(self) -> tuple[int, int]:
        """Where the interpreter's global state is, and its size in bytes. Raises RefusedError."""
        address = self.python_symbol("_PyRuntime")
        return address, self._python_symbols["_PyRuntime"][1]

    def require_python(self) -> None:
        """Checks that it runs a Python that the tools know, or has loaded one."""
        _ = self.version

    @cached_property
    def version(self) -> tuple[int, int]:
        """Of its Python: (3, 14). Raises RefusedError."""
        number = struct.unpack("<Q", self.read(self.python_symbol("Py_Version"), 8))[0]
        return (number >> 24) & 0xFF, (number >> 16) & 0xFF

    @cached_property
    def mmap(self) -> int:
        """The address of libc's mmap(), which takes no lock. Raises RefusedError without glibc."""
        for mapped in self.mapped:
            found = self._addresses(_IN_LIBC, mapped)
            if len(found) == len(_IN_LIBC):
                return found["mmap"][0]
        raise RefusedError(
            f"process {self.pid} has no glibc to attach by (musl, or linked statically): "
            "start the tool with the program instead"
        )

    @cached_property
    def of_threads(self) -> Functions | None:
        """None: the program has a pthread_create() of its own, a sanitizer's perhaps."""
        found = [self._addresses(_OF_THREADS, mapped) for mapped in self.mapped]
        found = [each for each in found if "pthread_create" in each]
        if len(found) != 1 or len(found[0]) != len(_OF_THREADS):
            return None
        return Functions(**{name: address for name, (address, _) in found[0].items()})

    @cached_property
    def loader(self) -> Loader | None:
        """None: it is not glibc's, or there is none."""
        for mapped in self.mapped:
            if mapped.file.name.startswith("ld-"):
                found = self._addresses(_IN_LOADER, mapped)
                if found:
                    return Loader(mapped.file, mapped.which, *found["_rtld_global"])
        return None

    def read(self, address: int, size: int) -> bytes:
        """Reads its memory, while it goes on. Raises RefusedError if it has ended."""
        try:
            with (self._folder / "mem").open("rb", buffering=0) as memory:
                memory.seek(address)
                return memory.read(size)
        except OSError:
            raise self._gone() from None

    def write(self, address: int, content: bytes) -> None:
        try:
            with (self._folder / "mem").open("r+b", buffering=0) as memory:
                memory.seek(address)
                memory.write(content)
        except OSError:
            raise self._gone() from None

    def go_on(self) -> None:
        """Takes back the request to stop of a debugger that was ended while it attached."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGCONT)

    def threads(self) -> list[int]:
        try:
            return sorted(int(each.name) for each in (self._folder / "task").iterdir())
        except OSError:
            raise self._gone() from None

    def state_of(self, thread: int) -> str:
        """As ps shows it: R runs, S sleeps, D as well, uninterruptibly. Empty: it has ended."""
        try:
            stat = (self._folder / "task" / str(thread) / "stat").read_text()
        except OSError:
            return ""
        return stat.rpartition(")")[2].split()[0]

    def name_of(self, thread: int) -> str:
        try:
            return (self._folder / "task" / str(thread) / "comm").read_text().rstrip("\n")
        except OSError:
            return str(thread)


def user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def what_allows_ptrace(scope: Path = Path("/proc/sys/kernel/yama/ptrace_scope")) -> str:
    """What to do if the kernel forbids it for a process of the same user."""
    try:
        restricted = scope.read_text().strip()
    except OSError:
        restricted = "0"
    if restricted == "1":
        return (
            "/proc/sys/kernel/yama/ptrace_scope is 1, by which only parents may: "
            f"{_with_rights()}, or `echo 0 | sudo tee /proc/sys/kernel/yama/ptrace_scope`, or "
            "start the program with `setpriv --ptracer any`"
        )
    if restricted == "2":
        return f"/proc/sys/kernel/yama/ptrace_scope is 2, by which only root may: {_with_rights()}"
    if restricted == "3":
        return (
            "/proc/sys/kernel/yama/ptrace_scope is 3, by which nobody may until the next boot: "
            "start the tool with the program instead"
        )
    return (
        "it has changed its user, or forbids it (prctl(PR_SET_DUMPABLE)), or this container does: "
        + _with_rights()
    )


def _with_rights() -> str:
    """How to run with root's rights."""
    root = "run this " if os.geteuid() == 0 else "run this as root (`sudo`), in a container "
    return root + "with CAP_SYS_PTRACE (`docker run --cap-add=SYS_PTRACE`)"


def cannot_write(failure: OSError) -> RefusedError:
    where = os.environ.get("TMPDIR", "/tmp")
    return RefusedError(
        f"what the process shall run cannot be written below {where}: {failure.strerror}; make "
        "room there, or set TMPDIR to another folder"
    )
