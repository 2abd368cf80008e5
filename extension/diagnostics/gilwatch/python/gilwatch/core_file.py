"""A core, and what it says of itself: which program left it, and which thread died of which signal.

Source: core(5), elf(5), getauxval(3), sigaction(2); struct elf_prstatus and NT_FILE as Linux's
include/linux/elfcore.h and fs/binfmt_elf.c have them, the same on every machine of 64 bits but for
the registers.
"""

from __future__ import annotations

import mmap
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from handoff_attach.process import RefusedError

from .mutex_owner import SystemCall

_ET_CORE = 4
_PT_LOAD, _PT_NOTE = 1, 4
_NT_PRSTATUS, _NT_PRPSINFO, _NT_AUXV, _NT_FILE, _NT_SIGINFO = 1, 3, 6, 0x46494C45, 0x53494749
_EM_X86_64 = 62
_AT_ENTRY = 9
_OF_A_PROCESS = (0, -1, -6)  # si_code of kill(), sigqueue(), and of tgkill(), as abort() has it
_WITH_ADDRESS = (signal.SIGSEGV, signal.SIGBUS)
_OF_THE_KERNEL = 0x80  # si_code of a fault whose address the processor does not tell
_REGISTERS = 112  # bytes before them in struct elf_prstatus


class Crash(NamedTuple):
    """Why the process ended."""

    thread: int  # which got the signal
    signal: str  # "SIGSEGV"
    address: int | None  # where no memory could be read or written; None: it was not that
    sender: int | None  # the other process that sent it, 0 of one that is not seen; None: none did


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int  # bytes in the file


class Core:
    """The complete core of a program of 64 bits. Raises RefusedError for anything else."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with file.open("rb") as opened:
                header = opened.read(64)
                self._require_header(header)
                self._bytes = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as failure:
            raise RefusedError(
                f"{file} cannot be read: {failure.strerror}; name the file that `coredumpctl dump "
                "PID -o core`, or `gcore PID`, has written"
            ) from None
        (at,) = struct.unpack_from("<Q", header, 32)
        entry, count = struct.unpack_from("<HH", header, 54)
        table = self._bytes[at : at + entry * count]
        self._segments = [
            _Segment(kind, offset, address, size)
            for kind, _, offset, address, _, size in (
                struct.unpack_from("<IIQQQQ", table, begin)
                for begin in range(0, len(table) - entry + 1, entry)
            )
        ]
        needed = max((each.offset + each.size for each in self._segments), default=0)
        if needed > len(self._bytes):
            raise RefusedError(
                f"{file} is cut short: it has {len(self._bytes):,} bytes of {needed:,} (a full "
                "disk, or a limit, `ulimit -c`): have it written again where there is room"
            )
        self._is_x86_64 = struct.unpack_from("<H", header, 18)[0] == _EM_X86_64
        self._notes = list(self._read_notes())

    def _require_header(self, header: bytes) -> None:
        if len(header) < 64 or header[:4] != b"\x7fELF":
            raise RefusedError(
                f"{self.file} is not a core: `coredumpctl dump PID -o core` writes one, or "
                "`gcore PID` (package gdb)"
            )
        if header[4] != 2:
            raise RefusedError(
                f"{self.file} is of a program of 32 bits, which gilwatch cannot read"
            )
        if struct.unpack_from("<H", header, 16)[0] != _ET_CORE:
            raise RefusedError(
                f"{self.file} is a program or a library, not a core: `coredumpctl dump PID -o "
                "core` writes one, or `gcore PID`; --executable names a program"
            )

    def _read_notes(self) -> Iterator[tuple[int, bytes]]:
        """(type, content) of those of the kernel's whose types are the same everywhere."""
        for segment in self._segments:
            at, end = segment.offset, segment.offset + segment.size
            while segment.kind == _PT_NOTE and at + 12 <= end:
                name_size, size, kind = struct.unpack_from("<III", self._bytes, at)
                begin = at + 12 + (name_size + 3) // 4 * 4
                if self._bytes[at + 12 : at + 16] == b"CORE":
                    yield kind, self._bytes[begin : begin + size]
                at = begin + (size + 3) // 4 * 4

    def _contents(self, kind: int) -> list[bytes]:
        return [content for of_kind, content in self._notes if of_kind == kind]

    @property
    def executable(self) -> Path:
        """The program that left it: of a script, its interpreter. Raises RefusedError."""
        for auxiliary in self._contents(_NT_AUXV):
            pairs = struct.iter_unpack("<QQ", auxiliary[: len(auxiliary) // 16 * 16])
            entry = dict(pairs).get(_AT_ENTRY, 0)
            for file, begin, end in self._mapped_files():
                if begin <= entry < end:
                    return file
        raise RefusedError(
            f"{self.file} does not say which program left it: name that by --executable"
        )

    def _mapped_files(self) -> Iterator[tuple[Path, int, int]]:
        """(file, begin, end) of what was mapped of each."""
        for content in self._contents(_NT_FILE):
            (count,) = struct.unpack_from("<Q", content)
            names = content[16 + 24 * count :].split(b"\0")
            for each, name in zip(range(count), names, strict=False):
                begin, end = struct.unpack_from("<QQ", content, 16 + 24 * each)
                yield Path(name.decode(errors="surrogateescape")), begin, end

    @property
    def crash(self) -> Crash | None:
        """None: no signal ended it, for example if gcore has written it and it went on."""
        threads = self._contents(_NT_PRSTATUS)  # the first one got the signal
        number = struct.unpack_from("<h", threads[0], 12)[0] if threads else 0
        if number == 0:
            return None
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        process = next((_number(each, 24) for each in self._contents(_NT_PRPSINFO)), None)
        address = sender = None
        for content in self._contents(_NT_SIGINFO)[:1]:
            its_number, _, code = struct.unpack_from("<iii", content)
            if its_number == number and code in _OF_A_PROCESS and _number(content, 16) != process:
                sender = _number(content, 16)
            elif its_number == number in _WITH_ADDRESS and 0 < code < _OF_THE_KERNEL:
                (address,) = struct.unpack_from("<Q", content, 16)
        return Crash(_thread_of(threads[0]), name, address, sender)

    def system_calls(self) -> dict[int, SystemCall]:
        """What each thread was in, by its number; of a processor but x86-64 it is not known."""
        if not self._is_x86_64:
            return {}
        calls = {}
        for content in self._contents(_NT_PRSTATUS):
            second, first, number = struct.unpack_from("<3q", content, _REGISTERS + 13 * 8)
            calls[_thread_of(content)] = SystemCall(number, first, second)  # rsi, rdi, orig_rax
        return calls

    def read(self, address: int, size: int) -> bytes:
        """Reads its memory. Less, or nothing, if it is not in the core."""
        for each in self._segments:
            if each.kind == _PT_LOAD and each.address <= address < each.address + each.size:
                at = each.offset + address - each.address
                return self._bytes[at : min(at + size, each.offset + each.size)]
        return b""


def _number(content: bytes, at: int) -> int:
    number: int = struct.unpack_from("<i", content, at)[0]
    return number


def _thread_of(status: bytes) -> int:
    return _number(status, 32)
