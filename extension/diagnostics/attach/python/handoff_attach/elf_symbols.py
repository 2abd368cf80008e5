"""The addresses of what an ELF file of 64 bits exports, by name.

Source: elf(5): Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr, Elf64_Sym.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

_PT_LOAD = 1
_ET_EXEC = 2
_SHT_DYNSYM = 11
_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size


class Exported(NamedTuple):
    """Addresses as the file has them, to which where it is loaded is added; sizes in bytes."""

    symbols: dict[str, tuple[int, int]]  # the address and the size of each that was found
    loaded_from: int  # the address of the first segment: 0 but in a program that is not PIE


def is_of_32_bits(file: Path) -> bool:
    """Raises OSError."""
    with file.open("rb") as opened:
        return opened.read(5) == b"\x7fELF\x01"


def exported(file: Path, names: frozenset[str]) -> Exported:
    """Which of these names the file exports. Raises OSError; a file that is not ELF has none."""
    with file.open("rb") as opened:
        if opened.read(5) != b"\x7fELF\x02":
            return Exported({}, 0)
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                return _exported(content, {name.encode(): name for name in names})
            except (struct.error, IndexError):  # cut short
                return Exported({}, 0)


def _exported(content: mmap.mmap, names: dict[bytes, str]) -> Exported:
    of_segments, of_sections = struct.unpack_from("<QQ", content, 32)
    segment_size, segments, section_size, sections = struct.unpack_from("<HHHH", content, 54)
    loaded_from = min(
        (
            struct.unpack_from("<Q", content, at + 16)[0]
            for at in range(of_segments, of_segments + segments * segment_size, segment_size)
            if struct.unpack_from("<I", content, at)[0] == _PT_LOAD
        ),
        default=0,
    )
    headers = [
        struct.unpack_from("<IIQQQQIIQQ", content, of_sections + each * section_size)
        for each in range(sections)
    ]
    found = {}
    for _, kind, _, _, begin, size, strings, _, _, _ in headers:
        if kind != _SHT_DYNSYM:
            continue
        texts, length = headers[strings][4:6]
        wanted = {}  # by where the name is
        for text, name in names.items():
            at = content.find(text + b"\0", texts, texts + length)
            while at >= 0:  # each may be the end of a longer name, which the linker keeps once
                wanted[at - texts] = name
                at = content.find(text + b"\0", at + 1, texts + length)
        if not wanted:
            continue
        table = content[begin : begin + size - size % _SYMBOL.size]
        for where, _, _, section, address, extent in _SYMBOL.iter_unpack(table):
            if section != 0 and where in wanted:  # 0: it is another file's
                found[wanted[where]] = (address, extent)
    return Exported(found, loaded_from)
