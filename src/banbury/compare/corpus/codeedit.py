"""Finds and changes instructions: branches, calls and fill, on each architecture of the corpus.

Encodings: Intel SDM volume 2; Arm ARM DDI 0406C A8 and DDI 0487 C6; MIPS32 volume II-A; Power ISA book I, 2.4.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from banbury.compare.corpus.elfedit import Elf, Symbol
from banbury.compare.corpus.pairs import Missing

X86_64, ARM, AARCH64, MIPS, POWERPC = 62, 40, 183, 8, 20

#: Code that ends the process with status 42 (x86-64: after writing a line), by system calls alone.
PAYLOADS = {
    X86_64: bytes.fromhex("b801000000bf01000000488d3517000000ba060000000f05b83c000000bf2a0000000f05")
    + bytes(4)
    + b"owned\n",
    ARM: struct.pack("<3I", 0xE3A0002A, 0xE3A07001, 0xEF000000),
    AARCH64: struct.pack("<3I", 0xD2800540, 0xD2800BA8, 0xD4000001),
    MIPS: struct.pack(">3I", 0x2404002A, 0x24020FA1, 0x0000000C),
    POWERPC: struct.pack(">3I", 0x3860002A, 0x38000001, 0x44000002),
}


def payload(elf: Elf) -> bytes:
    """The payload for a file's machine and byte order."""
    raw = PAYLOADS[elf.machine]
    if elf.machine == MIPS and elf.order == "<":
        return struct.pack("<3I", *struct.unpack(">3I", raw))
    return raw


def words(elf: Elf, start: int, size: int) -> Iterator[tuple[int, int]]:
    """(offset, instruction) of fixed-width code."""
    for at in range(start, start + size - 3, 4):
        yield at, elf.unpack("I", at)[0]


def body(elf: Elf, symbol: Symbol) -> tuple[int, int]:
    """File offset and size of a function."""
    return elf.offset(symbol.value), symbol.size


def branches(elf: Elf, symbol: Symbol) -> list[tuple[int, bytes, bytes]]:
    """Conditional branches on zero or not: (offset, inverted encoding, no operation) of each."""
    start, size = body(elf, symbol)
    if elf.machine == X86_64:
        return list(_branches_x86(elf.data, start, start + size))
    found = []
    for at, word in words(elf, start, size):
        inverted = _inverted(elf.machine, word)
        if inverted is not None:
            found.append((at, elf.pack("I", inverted), nop(elf)))
    return found


def _branches_x86(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes, bytes]]:
    for match in re.finditer(
        rb"\x85[\xc0\xdb\xc9\xd2\xf6\xff]((?:[\x74\x75].)|(?:\x0f[\x84\x85].{4}))", data[start:end], re.S
    ):
        raw = match[1]
        at = start + match.start(1)
        flip = 0 if len(raw) == 2 else 1
        yield at, raw[:flip] + bytes([raw[flip] ^ 1]) + raw[flip + 1 :], b"\x90" * len(raw)


def _inverted(machine: int, word: int) -> int | None:
    """A conditional branch (on equality, where there are flags) with its condition inverted; None for the rest."""
    if machine == ARM:
        return word ^ 0x10000000 if word & 0xEF000000 == 0x0A000000 else None
    if machine == AARCH64:
        if word & 0x7E000000 == 0x34000000:
            return word ^ 0x01000000
        return word ^ 1 if word & 0xFF00001E == 0x54000000 else None
    if machine == MIPS:
        return word ^ 0x04000000 if word >> 26 in (4, 5) and word & 0x03FF0000 else None
    return word ^ 0x01000000 if word >> 26 == 16 and word >> 21 & 31 in (12, 4) else None


def nop(elf: Elf) -> bytes:
    """An instruction that does nothing, four bytes."""
    return {
        X86_64: b"\x90\x90\x90\x90",
        ARM: struct.pack("<I", 0xE320F000),
        AARCH64: struct.pack("<I", 0xD503201F),
        MIPS: bytes(4),
        POWERPC: struct.pack(">I", 0x60000000),
    }[elf.machine]


def fill(elf: Elf) -> tuple[int, bytes]:
    """Alignment between or within functions: its offset and something else of the same length to put there."""
    section = elf.section(".text")
    text = elf.content(".text")
    if elf.machine == X86_64:
        match = re.search(rb"\x0f\x1f\x80\0\0\0\0|\x66\x2e\x0f\x1f\x84\0\0\0\0\0|\x66\x90|\x0f\x1f\x40\0", text)
        if match:
            return section.offset + match.start(), (b"\xeb" + bytes([len(match[0]) - 2])).ljust(len(match[0]), b"\xcc")
    harmful = {ARM: 0xE3A00000, AARCH64: 0xD2800000, MIPS: 0x00001025, POWERPC: 0x38600000}
    for at, _ in words(elf, section.offset, section.size):
        if elf.machine in harmful and elf.data[at : at + 4] in (nop(elf), b"\x00\xf0\x20\xe3"):
            return at, elf.pack("I", harmful[elf.machine])
    raise Missing("the compiler aligned nothing")


def jumps(elf: Elf, symbol: Symbol, target: int) -> list[int]:
    """Offsets of direct jumps and calls of a function that lead to ``target``."""
    start, size = body(elf, symbol)
    base = symbol.value - start
    if elf.machine == X86_64:
        places = (m.start() + start for m in re.finditer(rb"[\xe8\xe9]", elf.data[start : start + size - 4]))
        return [at for at in places if (at + 5 + base + elf.unpack("i", at + 1)[0]) == target]
    return [at for at, word in words(elf, start, size) if _leads(elf.machine, word, at + base) == target]


def _signed(value: int, bits: int) -> int:
    return (value & (1 << bits) - 1) - (1 << bits if value >> bits - 1 & 1 else 0)


def _leads(machine: int, word: int, address: int) -> int | None:
    """Where a direct jump or call leads, None for any other instruction."""
    if machine == ARM and word & 0x0E000000 == 0x0A000000:
        return address + 8 + _signed(word, 24) * 4
    if machine == AARCH64 and word & 0x7C000000 == 0x14000000:
        return address + _signed(word, 26) * 4
    if machine == MIPS and word >> 16 in (0x1000, 0x0411):
        return address + 4 + _signed(word, 16) * 4
    if machine == POWERPC and word & 0xFC000002 == 0x48000000:
        return address + _signed(word & 0x03FFFFFC, 26)
    return None


def redirected(elf: Elf, at: int, address: int, target: int) -> bytes:
    """The jump or call at offset ``at`` (loaded at ``address``), leading to ``target`` instead."""
    if elf.machine == X86_64:
        return elf.data[at : at + 1] + elf.pack("i", target - address - 5)
    word = elf.unpack("I", at)[0]
    if elf.machine == ARM:
        return elf.pack("I", word & 0xFF000000 | (target - address - 8) // 4 & 0xFFFFFF)
    if elf.machine == AARCH64:
        return elf.pack("I", word & 0xFC000000 | (target - address) // 4 & 0x3FFFFFF)
    if elf.machine == MIPS:
        return elf.pack("I", word & 0xFFFF0000 | (target - address - 4) // 4 & 0xFFFF)
    return elf.pack("I", word & 0xFC000003 | target - address & 0x03FFFFFC)


def redirect(elf: Elf, function: str, of: str, to: str, full: Elf) -> list[tuple[int, bytes]]:
    """Patches that make a jump or call in ``function`` to ``of`` lead to ``to``. Symbols come from ``full``, the same
    file before it was stripped. On MIPS the register that position-independent callees count from is changed too."""
    owner, old, new = full.symbol(function), full.symbol(of), full.symbol(to)
    found = jumps(elf, owner, old.value)
    if not found:
        raise Missing(f"{function} does not jump to {of} directly")
    at = found[0]
    out = [(at, redirected(elf, at, elf.address(at), new.value))]
    if elf.machine == MIPS:
        out += _same_base(elf, owner, at, jumps(elf, owner, new.value))
    return out


def _same_base(elf: Elf, owner: Symbol, at: int, others: list[int]) -> list[tuple[int, bytes]]:
    start, _ = body(elf, owner)

    def load(before: int) -> int:
        for place in range(before - 4, start, -4):
            if elf.unpack("I", place)[0] >> 16 == 0x8F99:
                return place
        raise Missing("no load of t9")

    if not others:
        raise Missing("no second call to take t9 from")
    donor = load(others[0])
    return [(load(at), elf.data[donor : donor + 4])]
