"""Absolute addresses in x86-64 code: 32-bit immediates and displacements, 64-bit immediates and memory offsets.

Instructions are those that :mod:`x86_64` found; here only the places of the fields within them are worked out.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2 and appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import table
from banbury.compare.equivalence.code import Code, Ints

U8 = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
PREFIXES = [0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF0]
_PREFIX = table(PREFIXES)
#: One-byte opcodes with an immediate of the operand's size (F7 has one for the first two operations).
_SIZED = [
    0x05, 0x0D, 0x15, 0x1D, 0x25, 0x2D, 0x35, 0x3D, 0x68, 0x69, 0x81, 0xA9, 0xC7, *range(0xB8, 0xC0)
]  # fmt: skip
_ONE = np.zeros(256, bool)
for _low, _high in (
    (0x00, 0x03), (0x08, 0x0B), (0x10, 0x13), (0x18, 0x1B), (0x20, 0x23), (0x28, 0x2B), (0x30, 0x33), (0x38, 0x3B),
    (0x63, 0x63), (0x69, 0x69), (0x6B, 0x6B), (0x80, 0x81), (0x83, 0x8F), (0xC0, 0xC1), (0xC6, 0xC7), (0xD0, 0xD3),
    (0xD8, 0xDF), (0xF6, 0xF7), (0xFE, 0xFF),
):  # fmt: skip
    _ONE[_low : _high + 1] = True
#: Two-byte opcodes without a ModRM byte.
_BARE = np.zeros(256, bool)
for _low, _high in ((0x05, 0x09), (0x0B, 0x0B), (0x30, 0x37), (0x77, 0x77), (0x80, 0x8F), (0xA0, 0xA2), (0xA8, 0xAA),
                    (0xC8, 0xCF)):  # fmt: skip
    _BARE[_low : _high + 1] = True
#: XOR, SUB and SBB, which leave nothing of a register's value where they have it twice.
_SELF: Final = table((0x19, 0x1B, 0x29, 0x2B, 0x31, 0x33))


@dataclass(frozen=True)
class Absolute:
    """Offsets of the fields: 32-bit displacements, 32-bit immediates, 64-bit words."""

    displacements: Ints
    immediates: Ints
    wide: Ints


@dataclass(frozen=True)
class Operands:
    """By instruction: its ``opcode`` (the first byte of it), the register in the opcode's ``low`` bits; of its ModRM
    byte the ``register``, the ``base`` and the ``index`` (if it is not scaled; else that is ``scaled``) of memory, -1
    for none, and their ``distance``; whether it is ``relative`` to the instruction pointer, by the ``displacement`` at
    an offset. ``adds``: it adds the distance to the register ``base``. ``into``: the register that it sets whatever was
    in it.

    ``at``: where the opcode stands, behind prefixes, among which are 66 (``half``) and 67 (``short``), and whether
    REX says that it has 64 bits (``whole``); how many bytes it has (``skip``), and whether it ``has`` a ModRM byte."""

    opcode: U8
    low: Ints
    register: Ints
    base: Ints
    index: Ints
    scaled: Ints
    distance: Ints
    relative: Flags
    displacement: Ints
    adds: Flags
    into: Ints
    at: Ints
    half: Flags
    short: Flags
    whole: Flags
    skip: Ints
    has: Flags


def operands(data: U8, code: Code) -> Operands:
    """What the instructions of a section have for operands in memory."""
    c = np.concatenate((data, np.zeros(32, np.uint8)))
    end = np.append(code.starts[1:], len(data))[: len(code.starts)]
    at, half, short = _prefixes(c, code.starts)
    rex = (c[at] & 0xF0) == 0x40
    high = np.where(rex, c[at], np.uint8(0))
    at = at + rex
    first = c[at]
    skip, has = shape(c, at)
    for lead, kept in ((0xC5, 4), (0xC4, 7), (0x62, 7)):
        vector = np.flatnonzero(first == lead)
        high[vector] = ~c[at[vector] + 1] >> 5 & kept
    place = at + skip
    modrm, sib = c[place], c[place + 1]
    mod, rm = modrm >> 6, modrm & 7
    memory = has & (mod != 3)
    indexed = memory & (rm == 4)
    low, upper = np.where(indexed, sib & 7, rm), (high & 1) << 3
    none = memory & (mod == 0) & (low == 5)
    base = _numbers(memory & ~none, low + upper)
    both = _numbers(indexed, (sib >> 3 & 7) + ((high & 2) << 2))
    both[both == 4] = -1
    index, scaled = (np.where(some, both, -1) for some in (sib < 64, sib >= 64))
    here = place + 1 + indexed
    distance = np.zeros(len(at), np.int64)
    for rows, width in ((memory & ((mod == 2) | (none & indexed)), 4), (memory & (mod == 1), 1)):
        distance[rows] = _signed(c, here[rows], width)
    kind = modrm >> 3 & 7
    group = ((first == 0x81) | (first == 0x83)) & (mod == 3) & ((kind == 0) | (kind == 5))
    plain = (first == 0x05) | (first == 0x2D)
    sums = np.flatnonzero(group | plain)
    last = end[sums]
    value = np.where(first[sums] == 0x83, _signed(c, last - 1, 1), _signed(c, np.maximum(last - 4, 0), 4))
    distance[sums] = np.where(((group & (kind == 5)) | (first == 0x2D))[sums], -value, value)
    base[plain] = 0
    rows = np.flatnonzero(group)
    base[rows] = (rm + upper)[rows]
    register, number = kind + ((high & 4) << 1), (first & 7) + upper
    zero = _SELF[first] & (mod == 3) & (register == rm + upper)
    into = _numbers((first == 0x8B) | (first == 0x8D) | zero, register)
    rows = np.flatnonzero((first == 0x89) & (mod == 3))
    into[rows] = (rm + upper)[rows]
    rows = np.flatnonzero(((first >= 0xB8) & (first < 0xC0)) | ((first >= 0x58) & (first < 0x60)))
    into[rows] = number[rows]
    into[half & (high & 8 == 0)] = -1  # of 16 bits: the others stay
    number, register = number.astype(np.int64), register.astype(np.int64)
    return Operands(
        first, number, register, base, index, scaled, distance, none & ~indexed, place + 1, group | plain, into,
        at, half, short, high & 8 != 0, skip, has,
    )  # fmt: skip


def _numbers(some: Flags, register: U8) -> Ints:
    """The registers of some instructions; -1 for the others."""
    out: Ints = np.where(some, register, np.uint8(255)).view(np.int8).astype(np.int64)
    return out


def shape(c: U8, at: Ints) -> tuple[Ints, Flags]:
    """How many bytes the opcode at each place has, and whether a ModRM byte follows."""
    first, second = c[at], c[at + 1]
    skip = np.ones(len(at), np.int64)
    has = _ONE[first]
    two = np.flatnonzero(first == 0x0F)
    skip[two] = np.where((second[two] == 0x38) | (second[two] == 0x3A), 3, 2)
    has[two] = ~_BARE[second[two]]
    for lead, total in ((0xC5, 3), (0xC4, 4), (0x62, 5)):
        vector = np.flatnonzero(first == lead)
        skip[vector], has[vector] = total, True
        if lead == 0xC5:
            has[vector[c[at[vector] + 2] == 0x77]] = False
    return skip, has


def _signed(c: U8, at: Ints, width: int) -> Ints:
    out = np.zeros(len(at), np.int64)
    for k in range(width):
        out |= c[at + k].astype(np.int64) << (8 * k)
    return out - (out >> (8 * width - 1) << (8 * width))


def absolute(data: U8, code: Code, found: Operands) -> Absolute:
    """The fields of all instructions of a section that can hold an absolute address."""
    c = np.concatenate((data, np.zeros(32, np.uint8)))
    start = code.starts
    end = np.append(start[1:], len(data))[: len(start)]
    at, first, skip, has, half, short = found.at, found.opcode, found.skip, found.has, found.half, found.short
    full = (at > start) & (c[at - 1] & 0xF8 == 0x48)  # REX.W
    modrm, sib = c[at + skip], c[at + skip + 1]
    mod, rm = modrm >> 6, modrm & 7
    indexed = has & (mod != 3) & (rm == 4)
    far = has & ((mod == 2) | (indexed & (mod == 0) & (sib & 7 == 5)))
    place = (at + skip + 1 + indexed)[far]
    sized = np.isin(first, _SIZED) | ((first == 0xF7) & (modrm & 0x38 <= 8))
    sized &= ~((first == 0xC7) & (modrm == 0xF8))  # xbegin is relative
    wide = full & (first >= 0xB8) & (first <= 0xBF)
    moffs = (first >= 0xA0) & (first <= 0xA3)
    narrow = (sized & ~wide & ~(half & ~full)) | (moffs & short)
    return Absolute(place, (end - 4)[narrow], (end - 8)[wide | (moffs & ~short)])


def behind_prefixes(c: U8, start: Ints) -> Ints:
    """Where the opcode of each instruction at ``start`` stands, behind legacy and REX prefixes."""
    at = _prefixes(c, start)[0]
    out: Ints = at + ((c[at] & 0xF0) == 0x40)
    return out


def _prefixes(c: U8, start: Ints) -> tuple[Ints, Flags, Flags]:
    """Behind the legacy prefixes of each instruction, and whether 66 or 67 is among them."""
    at = start.copy()
    half, short = np.zeros(len(at), bool), np.zeros(len(at), bool)
    rows = np.flatnonzero(_PREFIX[c[at]])
    while len(rows):
        byte = c[at[rows]]
        half[rows] |= byte == 0x66
        short[rows] |= byte == 0x67
        at[rows] += 1
        rows = rows[_PREFIX[c[at[rows]]] & (at[rows] - start[rows] < 15)]
    return at, half, short


def among(c: U8, start: Ints, at: Ints, value: int) -> Flags:
    """Whether a byte is among the first 14 of each instruction that stand before its opcode at ``at``."""
    out = np.zeros(len(at), bool)
    rows = np.flatnonzero(start < at)
    for k in range(14):
        rows = rows[start[rows] + k < at[rows]]
        out[rows] |= c[start[rows] + k] == value
    return out
