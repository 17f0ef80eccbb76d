"""The numbers that instructions hold in themselves, of every processor: those that may be the length of a text.

A compiler writes a length as an immediate, as the halves of one that fills two fields of a structure at once, as the
distance of a ``lea`` (``strlen(s) + sizeof t``), and as that of a load or store of one byte (``b[sizeof t - 1] = 0``).
Distances from the stack pointer are places of variables, and those of larger loads members of structures: no lengths.

Sources: Intel SDM, volume 2; Arm ARM DDI 0487 and DDI 0406C; MIPS MD00086; Power ISA 2.07, Book I, chapter 3.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Code, Ints, NotDecoded
from banbury.compare.equivalence.machines.contract import U8, Mask
from banbury.compare.equivalence.machines.x86_64 import decode
from banbury.compare.equivalence.machines.x86_64_absolute import absolute, behind_prefixes, operands
from banbury.formats import _elf_types as t

#: x86-64: opcodes with an immediate of a byte; with one of the operand's size; those that load or store one byte.
_BYTES: Final = (0x04, 0x2C, 0x3C, 0x6A, 0x6B, 0x80, 0x83, 0xC6, *range(0xB0, 0xB8))
_SIZED: Final = (0x05, 0x2D, 0x3D, 0x68, 0x69, 0x81, 0xC7, *range(0xB8, 0xC0))
_OF_A_BYTE: Final = (0x00, 0x02, 0x08, 0x0A, 0x20, 0x22, 0x28, 0x2A, 0x30, 0x32, 0x38, 0x3A, 0x80, 0x84, 0x86, 0x88,
                     0x8A, 0xC6, 0xF6, 0xFE)  # fmt: skip
_LEA: Final = 0x8D
_RSP: Final = 4


def numbers(machine: int, big: bool, raw: U8, *, thumb: bool | None = None) -> Ints:
    """The numbers of a stretch of code. ``thumb``: of 32-bit Arm, whether it is T32 code (``None``: not known). Raises
    :class:`~banbury.compare.equivalence.code.NotDecoded`."""
    if machine == t.EM_X86_64:
        return np.unique(_x86(raw))
    words = raw[: len(raw) // 4 * 4].view(">u4" if big else "<u4").astype(np.int64)
    if machine == t.EM_AARCH64:
        return np.unique(_aarch64(words))
    if machine == t.EM_ARM:
        halves = raw[: len(raw) // 2 * 2].view("<u2").astype(np.int64)
        literals = halves[:-1] | halves[1:] << 16  # of words that stand among the code
        found = ([_t32(halves)] if thumb is not False else []) + ([_a32(words)] if not thumb else [])
        return np.unique(np.concatenate((*found, literals)))
    if machine not in _RISC:
        raise NotDecoded(0, f"code of machine {machine}")
    return np.unique(_risc(machine, words))


def _x86(raw: U8) -> Ints:
    code = decode(raw.data, 0)
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    ends = np.append(code.starts[1:], len(raw))[: len(code.starts)]
    at = behind_prefixes(c, code.starts)
    first, second = c[at], c[at + 1]
    short = np.isin(first, _BYTES) & ~((first == 0x83) & np.isin(second, (0xEC, 0xC4, 0xE4)))  # not of rsp
    half = np.isin(first, _SIZED) & _halved(c, code.starts, at)
    fields = absolute(raw, code)
    whole = _little(c, fields.immediates, 4)
    stored = _little(c, (ends - 4)[(first == 0xC7) & ~half], 4)
    wide = _little(c, fields.wide, 8)
    pieces = [whole, _little(c, (ends - 2)[half], 2), c[ends[short] - 1].astype(np.int64), wide]
    for value, size in ((stored, 4), (wide, 8)):
        pieces += [value >> 16 * k & 0xFFFF for k in range(size // 2)]
        pieces += [value >> 8 * k & 0xFF for k in range(size)]
    return np.concatenate((*pieces, _distances(raw, code, first, second)))


def _halved(c: U8, start: Ints, at: Ints) -> Mask:
    """Whether an instruction's prefixes make its operands 16 bits wide."""
    found = np.zeros(len(start), bool)
    for k in range(4):
        found |= (start + k < at) & (c[start + k] == 0x66)
    out: Mask = found & ~((c[at - 1] & 0xF8 == 0x48) & (at > start))  # REX.W prevails
    return out


def _distances(raw: U8, code: Code, first: U8, second: U8) -> Ints:
    has = operands(raw, code)
    byte = np.isin(first, _OF_A_BYTE) | ((first == 0x0F) & np.isin(second, (0xB6, 0xBE)))
    some = (byte | (first == _LEA)) & (has.base >= 0) & (has.base != _RSP) & ~has.relative & ~has.adds
    found: Ints = has.distance[some]
    return found


def _little(c: U8, at: Ints, width: int) -> Ints:
    value = np.zeros(len(at), np.int64)
    for k in range(width):
        value |= c[at + k].astype(np.int64) << (8 * k)
    return value


def _aarch64(words: Ints) -> Ints:
    base = words >> 5 & 31
    moved = np.isin(words >> 23 & 0xFF, (0xA5, 0xE5))  # MOVZ, MOVK, in any of their places
    added = (words & 0x1F000000 == 0x11000000) & (base != 31)
    compared = words & 0x3FE00800 == 0x3A400800  # CCMP and CCMN with a number
    byte = words & 0xFF000000 == 0x39000000  # LDRB, STRB, LDRSB with a distance, and those not scaled, or that count
    near = words & 0xFF200000 == 0x38000000
    return np.concatenate(
        (
            words[moved] >> 5 & 0xFFFF,
            words[added] >> 10 & 0xFFF,
            words[compared] >> 16 & 31,
            words[byte & (base != 31)] >> 10 & 0xFFF,
            words[near & (base != 31)] >> 12 & 0x1FF,
        )
    )


def _a32(words: Ints) -> Ints:
    kind, source, immediate = words >> 21 & 15, words >> 16 & 15, words & 0x0E000000 == 0x02000000
    apart = (source != 13) & (source != 15)
    moves = immediate & np.isin(kind, (13, 15))  # MOV, MVN
    counts = immediate & (np.isin(kind, (2, 3, 4)) & apart | np.isin(kind, (10, 11)) & (words >> 20 & 1 == 1))
    halves = words & 0x0FB00000 == 0x03000000  # MOVW, MOVT
    byte = (words & 0x0E400000 == 0x04400000) & apart
    turned = words[moves | counts]
    return np.concatenate(
        (
            _turned(turned & 0xFF, (turned >> 8 & 15) * 2),
            words[halves] >> 4 & 0xF000 | words[halves] & 0xFFF,
            words[byte] & 0xFFF,
        )
    )


def _t32(halves: Ints) -> Ints:
    narrow = halves[(halves >= 0x2000) & (halves < 0x4000)] & 0xFF  # MOVS, CMP, ADDS, SUBS
    three = halves[(halves >= 0x1C00) & (halves < 0x2000)] >> 6 & 7
    byte = halves[(halves >= 0x7000) & (halves < 0x8000)] >> 6 & 31
    one, two = halves[:-1], halves[1:]
    source = one & 15
    number = (one >> 10 & 1) << 11 | (two >> 12 & 7) << 8 | two & 0xFF
    apart = (source != 13) & (source != 15)
    expanded = (one & 0xFA00 == 0xF000) & (two & 0x8000 == 0)
    plain = (one & 0xFB5F == 0xF200) | ((one & 0xFB50 == 0xF200) & apart) & (two & 0x8000 == 0)  # ADDW, SUBW
    halved = (one & 0xFB70 == 0xF240) & (two & 0x8000 == 0)  # MOVW, MOVT
    wide = np.isin(one & 0xFFF0, (0xF880, 0xF890, 0xF990)) & apart
    near = np.isin(one & 0xFFF0, (0xF800, 0xF810, 0xF910)) & (two & 0x0800 != 0) & apart
    return np.concatenate(
        (
            narrow,
            three,
            byte,
            _expanded(number[expanded]),
            number[plain],
            source[halved] << 12 | number[halved],
            two[wide] & 0xFFF,
            two[near] & 0xFF,
        )
    )


def _expanded(number: Ints) -> Ints:
    """What twelve bits of a T32 instruction mean (DDI 0406C, A6.3.2)."""
    low, kind = number & 0xFF, number >> 8
    out: Ints = np.select(
        [kind == 0, kind == 1, kind == 2, kind == 3],
        [low, low << 16 | low, low << 24 | low << 8, low << 24 | low << 16 | low << 8 | low],
        _turned(number & 0x7F | 0x80, number >> 7),
    )
    return out


def _turned(value: Ints, by: Ints) -> Ints:
    """32-bit numbers turned to the right."""
    out: Ints = (value >> by | value << (32 - by)) & 0xFFFFFFFF
    return out


#: Of MIPS and PowerPC: opcodes with a number, those that load or store one byte, the stack pointer, and where the
#: register stands that is added to.
_RISC: Final = {
    t.EM_MIPS: ((8, 9, 10, 11, 12, 13, 14, 15), (32, 36, 40), 29, 21),
    t.EM_PPC: ((7, 8, 10, 11, 12, 13, 14, 15, 24, 25, 26, 28), (34, 35, 38, 39), 1, 16),
}


def _risc(machine: int, words: Ints) -> Ints:
    means, byte, stack, shift = _RISC[machine]
    top, register = words >> 26, words >> shift & 31
    sums = np.isin(top, (8, 9) if machine == t.EM_MIPS else (14, 15)) & (register == stack)
    some = np.isin(top, means) & ~sums
    return np.concatenate((words[some] & 0xFFFF, words[np.isin(top, byte) & (register != stack)] & 0xFFFF))
