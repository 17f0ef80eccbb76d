"""Reads the parts of an ELF file that tampering needs to find, of either class and byte order.

Written from the System V ABI (gABI, chapters 4 and 5). It trusts its input: that is what our own compilers just wrote.
"""

from __future__ import annotations

import struct
from functools import cached_property
from typing import NamedTuple

from banbury.compare.corpus.pairs import Missing


class Section(NamedTuple):
    """One section header; ``header`` is its offset in the file."""

    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    entsize: int
    header: int


class Segment(NamedTuple):
    """One program header; ``header`` is its offset in the file."""

    type: int
    flags: int
    offset: int
    address: int
    size: int
    memory: int
    align: int
    header: int


class Symbol(NamedTuple):
    """One symbol; ``at`` is the offset of its record in the file."""

    name: str
    value: int
    size: int
    info: int
    other: int
    section: int
    at: int


class Elf:
    """A parsed file. Offsets are in bytes from the file's start."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.wide = data[4] == 2
        self.order = ">" if data[5] == 2 else "<"
        self.width = 8 if self.wide else 4
        self.machine = self.unpack("H", 18)[0]
        self.entry = self.word(24)
        at = 40 if self.wide else 32
        self.phoff, self.shoff = self.word(32 if self.wide else 28), self.word(at)
        tail = 52 if self.wide else 40
        _, self.phentsize, self.phnum, self.shentsize, self.shnum, self.shstrndx = self.unpack("HHHHHH", tail)

    def unpack(self, layout: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + layout, self.data, at)

    def pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.order + layout, *values)

    def word(self, at: int) -> int:
        """An address-sized number."""
        return self.unpack("Q" if self.wide else "I", at)[0]

    def pack_word(self, value: int) -> bytes:
        return self.pack("Q", value & (1 << 64) - 1) if self.wide else self.pack("I", value & 0xFFFFFFFF)

    @cached_property
    def segments(self) -> list[Segment]:
        found = []
        for i in range(self.phnum):
            at = self.phoff + i * self.phentsize
            if self.wide:
                kind, flags, offset, address, _, size, memory, align = self.unpack("IIQQQQQQ", at)
            else:
                kind, offset, address, _, size, memory, flags, align = self.unpack("IIIIIIII", at)
            found.append(Segment(kind, flags, offset, address, size, memory, align, at))
        return found

    @cached_property
    def sections(self) -> list[Section]:
        rows = []
        for i in range(self.shnum):
            at = self.shoff + i * self.shentsize
            rows.append((*self.unpack("IIQQQQIIQQ" if self.wide else "IIIIIIIIII", at), at))
        names = rows[self.shstrndx][4] if rows else 0
        return [Section(self.string(names + r[0]), r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[9], r[10]) for r in rows]

    def string(self, at: int) -> str:
        return self.data[at : self.data.index(b"\0", at)].decode()

    def section(self, name: str) -> Section:
        for section in self.sections:
            if section.name == name:
                return section
        raise Missing(f"the compiler wrote no {name}")

    def has(self, name: str) -> bool:
        return any(section.name == name for section in self.sections)

    def content(self, name: str) -> bytes:
        s = self.section(name)
        return self.data[s.offset : s.offset + s.size]

    def symbols(self, table: str = ".symtab") -> list[Symbol]:
        s = self.section(table)
        names = self.sections[s.link].offset
        found = []
        for at in range(s.offset, s.offset + s.size, s.entsize):
            if self.wide:
                name, info, other, section, value, size = self.unpack("IBBHQQ", at)
            else:
                name, value, size, info, other, section = self.unpack("IIIBBH", at)
            found.append(Symbol(self.string(names + name), value, size, info, other, section, at))
        return found

    def symbol(self, name: str, table: str = ".symtab") -> Symbol:
        for symbol in self.symbols(table):
            if symbol.name == name:
                return symbol
        raise Missing(f"no symbol {name} in {table}")

    def offset(self, address: int) -> int:
        """The file offset that is loaded at ``address``."""
        for s in self.segments:
            if s.type == 1 and s.address <= address < s.address + s.size:
                return address - s.address + s.offset
        raise Missing(f"no segment is loaded at {address:#x}")

    def address(self, offset: int) -> int:
        for s in self.segments:
            if s.type == 1 and s.offset <= offset < s.offset + s.size:
                return offset - s.offset + s.address
        raise Missing(f"no segment holds offset {offset:#x}")

    def segment(self, kind: int) -> Segment:
        for s in self.segments:
            if s.type == kind:
                return s
        raise Missing(f"no program header of type {kind:#x}")

    def dynamic(self) -> list[tuple[int, int, int]]:
        """(tag, value, file offset of the value)."""
        s = self.segment(2)
        found = []
        for at in range(s.offset, s.offset + s.size, 2 * self.width):
            found.append((self.word(at), self.word(at + self.width), at + self.width))
            if not found[-1][0]:
                break
        return found

    def tag(self, tag: int) -> tuple[int, int]:
        """Value of a dynamic tag and the file offset of that value."""
        for number, value, at in self.dynamic():
            if number == tag:
                return value, at
        raise Missing(f"no dynamic tag {tag:#x}")

    def relocations(self, name: str) -> list[tuple[int, int, int, int, int]]:
        """(address, symbol, type, addend, offset of the record) of a relocation section."""
        s = self.section(name)
        found = []
        for at in range(s.offset, s.offset + s.size, s.entsize):
            where, info = self.word(at), self.word(at + self.width)
            addend = self.word(at + 2 * self.width) if s.type == 4 else 0
            symbol, kind = (info >> 32, info & 0xFFFFFFFF) if self.wide else (info >> 8, info & 0xFF)
            found.append((where, symbol, kind, addend, at))
        return found

    def field(self, segment: Segment, name: str) -> int:
        """File offset of a field of a program header."""
        wide = {
            "type": 0,
            "flags": 4,
            "offset": 8,
            "address": 16,
            "physical": 24,
            "size": 32,
            "memory": 40,
            "align": 48,
        }
        slim = {
            "type": 0,
            "offset": 4,
            "address": 8,
            "physical": 12,
            "size": 16,
            "memory": 20,
            "flags": 24,
            "align": 28,
        }
        return segment.header + (wide if self.wide else slim)[name]
