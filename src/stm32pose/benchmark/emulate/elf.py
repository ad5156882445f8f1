"""What an ELF file of 32 bits, little-endian, says of itself: sections, symbols, what is loaded where."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from stm32pose.errors import UserError

_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_SECTION = struct.Struct("<10I")
_SEGMENT = struct.Struct("<8I")
_SYMBOL = struct.Struct("<IIIBBH")
_SYMTAB, _NOBITS, _LOAD = 2, 8, 1
_ALLOCATED = 2


@dataclass(frozen=True)
class Section:
    """A section: name, address, size, whether it is part of the running program and whether the file has its bytes."""

    name: str
    address: int
    bytes: int
    allocated: bool
    stored: bool


@dataclass(frozen=True)
class Symbol:
    """A symbol: name, address, bytes."""

    name: str
    address: int
    bytes: int


@dataclass(frozen=True)
class Elf:
    """An ELF file: sections, symbols in order of address, and the loaded bytes as (physical address, bytes)."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]
    loaded: tuple[tuple[int, bytes], ...]

    def section_bytes(self, prefix: str) -> int:
        """Bytes of all sections whose name begins so."""
        return sum(section.bytes for section in self.sections if section.allocated and section.name.startswith(prefix))

    def symbol(self, name: str) -> int:
        """Address of a symbol. KeyError: there is none."""
        return next(symbol.address for symbol in self.symbols if symbol.name == name)

    def around(self, address: int) -> str:
        """The function that holds an address, or an empty text."""
        for symbol in self.symbols:
            if symbol.address & ~1 <= address < (symbol.address & ~1) + symbol.bytes:
                return symbol.name
        return ""


def read_elf(path: Path) -> Elf:
    """Read an object file or a program. UserError: it is no ELF of 32 bits."""
    data = path.read_bytes()
    try:
        return _parse(data)
    except (struct.error, IndexError, ValueError) as error:
        raise UserError(f"{path}: not an ELF file of 32 bits ({error})") from error


def _parse(data: bytes) -> Elf:
    header = _HEADER.unpack_from(data)
    if header[0][:6] != b"\x7fELF\x01\x01":
        raise ValueError("its first bytes are not ELF's")
    program_offset, section_offset = header[5], header[6]
    program_count, section_count, names_index = header[10], header[12], header[13]
    raw = [_SECTION.unpack_from(data, section_offset + i * _SECTION.size) for i in range(section_count)]
    names = raw[names_index][4] if raw else 0
    sections = tuple(
        Section(_text(data, names + row[0]), row[3], row[5], bool(row[2] & _ALLOCATED), row[1] != _NOBITS)
        for row in raw
    )
    symbols: list[Symbol] = []
    for row in raw:
        if row[1] != _SYMTAB:
            continue
        strings = raw[row[6]][4]
        for offset in range(row[4], row[4] + row[5], _SYMBOL.size):
            name, value, size, _, _, _ = _SYMBOL.unpack_from(data, offset)
            symbols.append(Symbol(_text(data, strings + name), value, size))
    loaded = []
    for i in range(program_count):
        kind, offset, _, physical, stored, _, _, _ = _SEGMENT.unpack_from(data, program_offset + i * _SEGMENT.size)
        if kind == _LOAD and stored:
            loaded.append((physical, data[offset : offset + stored]))
    return Elf(sections, tuple(sorted(symbols, key=lambda symbol: symbol.address)), tuple(loaded))


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode("utf-8", "replace")
