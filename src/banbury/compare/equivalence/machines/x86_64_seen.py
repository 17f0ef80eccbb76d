"""What x86-64 code is seen to do with addresses that it makes: how wide it reads there, and whether it uses their bits.

A search, not a proof: the instructions behind one that makes an address are looked at in order, up to a jump, a call or
:data:`_WINDOW` of them. What lies beyond is assumed (elf.moved-alignment).

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.x86_64_absolute import Operands, among

U8 = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
_WINDOW: Final = 24  # instructions
_ENDS: Final = (0xC2, 0xC3, 0xCC, 0xE9, 0xEB, 0xF4)
#: Opcodes of one byte whose memory is a byte; those behind 0F, of one byte and of two.
_BYTE: Final = (*range(0x00, 0x40, 8), *range(0x02, 0x40, 8), 0x80, 0x84, 0x86, 0x88, 0x8A, 0xC0, 0xC6, 0xD0, 0xD2,
                0xF6, 0xFE)  # fmt: skip
_BYTES: Final = (*range(0x90, 0xA0), 0xB0, 0xB6, 0xBE, 0xC0)
_PAIRS: Final = (0xB7, 0xBF, 0xC4)
_PLAIN: Final = (*range(0x40, 0x50), 0xA3, 0xAB, 0xAF, 0xB1, 0xB3, 0xB8, 0xBA, 0xBB, 0xBC, 0xBD, 0xC1, 0xC3)
#: Opcodes behind 0F of one floating-point number, which F3 (4 bytes) and F2 (8) say: MOVSS and MOVSD, arithmetic,
#: CVTSS2SI and CVTSD2SI, CMPSS and CMPSD; and those of reciprocals, which only F3 has.
_SCALAR: Final = (0x10, 0x11, 0x2C, 0x2D, 0x51, 0x58, 0x59, 0x5A, 0x5C, 0x5D, 0x5E, 0x5F, 0xC2)
_RECIPROCAL: Final = (0x52, 0x53)
_INTEGER: Final = 0x2A  # with either: CVTSI2SS, CVTSI2SD
_ORDERED: Final = (0x2E, 0x2F)  # UCOMISS, COMISS; with 66: UCOMISD, COMISD
#: Opcodes that use the bits of a register: OR, AND, XOR, TEST with one; shifts, and with a number, are groups.
_BITS: Final = (*range(0x08, 0x0C), *range(0x20, 0x24), *range(0x30, 0x34), 0x84, 0x85)
_BITS_RAX: Final = (0x0C, 0x0D, 0x24, 0x25, 0x34, 0x35, 0xA8, 0xA9)
#: Opcodes that set the register of the middle bits to what is no address (SUB: a distance); those behind 0F; and those
#: that set that of the lower bits.
_SETS: Final = (0x2A, 0x2B, 0x63, 0x69, 0x6B, 0x8A)
_SETS_TWO: Final = (0xAF, 0xB6, 0xB7, 0xBC, 0xBD, 0xBE, 0xBF)
_SETS_LOWER: Final = (0x28, 0x29, 0x88)
_SHIFTS: Final = (0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3)


@dataclass(frozen=True)
class Seen:
    """Addresses of the first file, with the bytes that are read there at once; and those whose bits are used."""

    read: Ints
    width: Ints
    asked: Ints


def seen(decoded: list[tuple[Part, U8, Code, Operands]]) -> Seen:
    """What all code of the first file is seen to do."""
    none = np.zeros(0, np.int64)
    read, width, asked = [none], [none], [none]
    for row in decoded:
        for x, y, z in _section(*row):
            read.append(x)
            width.append(y)
            asked.append(z)
    return Seen(np.concatenate(read), np.concatenate(width), distinct(np.concatenate(asked)))


def _section(one: Part, raw: U8, code: Code, found: Operands) -> list[tuple[Ints, Ints, Ints]]:
    fields = code.fields[code.widths == 4]
    targets = code.targets(raw, one.addr)[code.widths == 4]
    rows = np.searchsorted(code.starts, fields, "right") - 1
    named = found.relative[rows]
    rows, targets = rows[named], targets[named]
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    wide = _widths(c, code.starts, found.at)
    lea = found.opcode[rows] == 0x8D
    none = np.zeros(0, np.int64)
    out = [(targets[~lea], wide[rows[~lea]], none)]
    return out + _followed(found, _Shapes.of(c, code.starts, found), wide, rows[lea], targets[lea])


def _widths(c: U8, starts: Ints, at: Ints) -> Ints:
    """How many bytes an instruction has in memory, if it has any; 16 where this is not worked out."""
    half = among(c, starts, at, 0x66)
    before = c[np.maximum(at - 1, 0)]
    full = (at > starts) & (before & 0xF8 == 0x48)
    first, second = c[at], c[at + 1]
    sized = np.where(full, 8, np.where(half, 2, 4))
    out = np.where(np.isin(first, _BYTE), 1, sized)
    two = first == 0x0F
    number = _scalar(second, full, (half, among(c, starts, at, 0xF2), among(c, starts, at, 0xF3)))
    out = np.where(two, np.where(np.isin(second, _PLAIN), sized, number), out)
    out = np.where(two & np.isin(second, _BYTES), 1, out)
    out = np.where(two & np.isin(second, _PAIRS), 2, out)
    out = np.where(first == 0x63, 4, out)
    out = np.where((first >= 0xD8) & (first <= 0xDF), 8, out)
    out = np.where((first == 0xFF) & (c[at + 1] >> 3 & 7 > 1), 8, out)
    other: Ints = np.where(np.isin(first, (0xC4, 0xC5, 0x62)), 16, out)
    return other


def _scalar(second: U8, full: Flags, prefixes: tuple[Flags, Flags, Flags]) -> Ints:
    """How many bytes an instruction behind 0F that has one number, no vector, has in memory; 16 for all others.
    ``full``: it has REX.W; ``prefixes``: 66, F2, F3, of which only one says it."""
    half, double, single = prefixes
    one = half.astype(np.int64) + double + single == 1
    narrow, wide = single & one, double & one
    number = np.isin(second, _SCALAR)
    out = np.where(narrow & (number | np.isin(second, _RECIPROCAL)), 4, 16)
    out = np.where(wide & number, 8, out)
    out = np.where((narrow | wide) & (second == _INTEGER), np.where(full, 8, 4), out)
    ordered: Ints = np.where(np.isin(second, _ORDERED) & ~(double | single), np.where(half, 8, 4), out)
    return ordered


@dataclass(frozen=True)
class _Shapes:
    """By instruction: the register in its ModRM byte's lower bits where it has no memory (-1: none), the operation in
    the middle bits, and the registers (as a mask) that hold no address behind it."""

    second: Ints
    kind: Ints
    lost: Ints

    @classmethod
    def of(cls, c: U8, starts: Ints, found: Operands) -> _Shapes:
        at, skip, has = found.at, found.skip, found.has
        modrm = c[at + skip].astype(np.int64)
        before = c[np.maximum(at - 1, 0)]
        high = np.where((at > starts) & (before & 0xF0 == 0x40), before & 1, 0)
        second = np.where(has & (modrm >> 6 == 3), (modrm & 7) + 8 * high, -1)
        first, kind = c[at], modrm >> 3 & 7
        rex = np.where((at > starts) & (before & 0xF0 == 0x40), before, 0).astype(np.int64)
        lost = np.isin(first, _SETS) | ((first == 0x0F) & np.isin(c[at + 1], _SETS_TWO))
        mask = np.where(lost, 1 << (kind + 2 * (rex & 4)), 0)
        ones = (first == 0x83) & (kind == 1) & (c[at + skip + 1] == 0xFF)
        lower = (np.isin(first, _SETS_LOWER) | ones) & (second >= 0)
        mask |= np.where(lower, 1 << np.maximum(second, 0), 0)
        widened: Ints = np.isin(first, (0x98, 0x99)).astype(np.int64)  # RAX
        return cls(second, kind, np.asarray(mask | widened, np.int64))


def _held(mask: Ints, register: Ints) -> Flags:
    out: Flags = (register >= 0) & (mask >> np.maximum(register, 0) & 1 == 1)
    return out


def _followed(found: Operands, shapes: _Shapes, wide: Ints, rows: Ints, targets: Ints) -> list[tuple[Ints, Ints, Ints]]:
    """Follow addresses from the rows that make them, with all registers that hold one or what was made of it."""
    out: list[tuple[Ints, Ints, Ints]] = []
    mask = 1 << found.register[rows]
    rows = rows + 1
    none = np.zeros(0, np.int64)
    for _ in range(_WINDOW):
        keep = (rows < len(found.opcode)) & (mask > 0)
        rows, targets, mask = rows[keep], targets[keep], mask[keep]
        if not len(rows):
            break
        op, second, kind = found.opcode[rows], shapes.second[rows], shapes.kind[rows]
        register, into = found.register[rows], found.into[rows]
        based = (second < 0) & (_held(mask, found.base[rows]) | _held(mask, found.index[rows])) & ~found.adds[rows]
        read = based & (op != 0x8D)
        out.append((targets[read], wide[rows[read]], none))
        own = _held(mask, second)
        bits = np.isin(op, _BITS) & (own | _held(mask, register))
        bits &= ~(np.isin(op, (*range(0x30, 0x34), 0x84, 0x85)) & (second == register))  # zero, or whether it is null
        bits |= np.isin(op, _BITS_RAX) & (mask & 1 == 1)
        bits |= np.isin(op, (0x80, 0x81, 0x83)) & np.isin(kind, (1, 4, 6)) & own & (shapes.lost[rows] == 0)
        bits |= np.isin(op, (0xF6, 0xF7)) & (kind < 2) & own
        bits |= np.isin(op, _SHIFTS) & own
        out.append((none, none, targets[bits]))
        made = (np.isin(op, (0x89, 0x8B)) & (own | ((second >= 0) & _held(mask, register)))) & (into >= 0)
        made = np.where(op == 0x8B, own, made & _held(mask, register)) | (based & (op == 0x8D))
        here = 1 << np.maximum(into, 0)
        mask = mask & ~shapes.lost[rows]
        mask = np.where(into < 0, mask, np.where(made, mask | here, mask & ~here))
        mask = np.where(op == 0xE8, mask & 0xF028, mask)
        mask = np.where(np.isin(op, _ENDS) | ((op == 0xFF) & (kind == 4)), 0, mask)
        rows = rows + 1
    return out
