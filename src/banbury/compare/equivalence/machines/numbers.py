"""The numbers that instructions hold in themselves, of every processor: those that may be the length of a text.

A compiler writes a length as an immediate, as the halves of one that fills two fields of a structure at once, as the
distance of a ``lea`` (``strlen(s) + sizeof t``), and as that of a load or store of one byte (``b[sizeof t - 1] = 0``)
or of two that it made one. Larger loads and stores are looked at where their distance is no multiple of their size:
else it is a member's of a structure. Distances from the stack pointer are places of variables. Neither is a length.

Sources: Intel SDM, volume 2; Arm ARM DDI 0487; MIPS MD00086; Power ISA 2.07, Book I, chapter 3.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Code, Ints, NotDecoded
from banbury.compare.equivalence.machines.contract import U8, Mask
from banbury.compare.equivalence.machines.numbers_arm import arm
from banbury.compare.equivalence.machines.x86_64 import decode
from banbury.compare.equivalence.machines.x86_64_absolute import absolute, behind_prefixes, operands
from banbury.formats import _elf_types as t

#: x86-64: opcodes with an immediate of a byte; with one of the operand's size; those that load or store one byte; those
#: that load or store as many as the operand has (and so do those of 0F).
_BYTES: Final = (0x04, 0x2C, 0x3C, 0x6A, 0x6B, 0x80, 0x83, 0xC6, *range(0xB0, 0xB8))
_SIZED: Final = (0x05, 0x2D, 0x3D, 0x68, 0x69, 0x81, 0xC7, *range(0xB8, 0xC0))
_OF_A_BYTE: Final = (0x00, 0x02, 0x08, 0x0A, 0x20, 0x22, 0x28, 0x2A, 0x30, 0x32, 0x38, 0x3A, 0x80, 0x84, 0x86, 0x88,
                     0x8A, 0xC6, 0xF6, 0xFE)  # fmt: skip
_OF_MORE: Final = (0x01, 0x03, 0x09, 0x0B, 0x21, 0x23, 0x29, 0x2B, 0x31, 0x33, 0x39, 0x3B, 0x81, 0x83, 0x85, 0x87, 0x89,
                   0x8B, 0xC7, 0xF7)  # fmt: skip
_VECTORS: Final = (0xC4, 0xC5)
_EXTENDED: Final = (0xB6, 0xB7, 0xBE, 0xBF)  # behind 0F: MOVZX and MOVSX, of one byte and of two
_LEA: Final = 0x8D
_RSP: Final = 4


def numbers(machine: int, big: bool, raw: U8, *, thumb: bool | None = None) -> Ints:
    """The numbers of a stretch of code. ``thumb``: of 32-bit Arm, whether it is T32 code (``None``: not known). Raises
    :class:`~banbury.compare.equivalence.code.NotDecoded`."""
    if machine == t.EM_ARM:
        words = raw[: len(raw) // 4 * 4].view("<u4").astype(np.int64)
        return np.unique(arm(raw[: len(raw) // 2 * 2].view("<u2").astype(np.int64), words, thumb))
    return np.unique(placed(machine, big, raw)[1])


def placed(machine: int, big: bool, raw: U8, code: Code | None = None) -> tuple[Ints, Ints]:
    """For each number of a stretch of code a place in the instruction that holds it, and the number; not of 32-bit Arm,
    whose numbers depend on where functions begin. ``code``: its instructions, if they are known (x86-64). Raises
    :class:`NotDecoded`."""
    if machine == t.EM_X86_64:
        return _x86(raw, code or decode(raw.data, 0))
    words = raw[: len(raw) // 4 * 4].view(">u4" if big else "<u4").astype(np.int64)
    if machine == t.EM_AARCH64:
        return _aarch64(words)
    if machine not in _RISC:
        raise NotDecoded(0, f"code of machine {machine}")
    return _risc(machine, words)


def _x86(raw: U8, code: Code) -> tuple[Ints, Ints]:
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    ends = np.append(code.starts[1:], len(raw))[: len(code.starts)]
    at = behind_prefixes(c, code.starts)
    first, second = c[at], c[at + 1]
    short = np.isin(first, _BYTES) & ~((first == 0x83) & np.isin(second, (0xEC, 0xC4, 0xE4)))  # not of rsp
    halved = _halved(c, code.starts, at)
    half = np.isin(first, _SIZED) & halved
    fields = absolute(raw, code)
    held = (ends - 4)[(first == 0xC7) & ~half]
    stored, wide = _little(c, held, 4), _little(c, fields.wide, 8)
    rows, distances = _distances(raw, code, first, second, halved)
    return _together(
        (fields.immediates, _little(c, fields.immediates, 4)),
        ((ends - 2)[half], _little(c, (ends - 2)[half], 2)),
        (ends[short] - 1, c[ends[short] - 1].astype(np.int64)),
        (fields.wide, wide),
        *((held, piece) for piece in _pieces(stored, 4)),
        *((fields.wide, piece) for piece in _pieces(wide, 8)),
        (code.starts[rows], distances),
    )


def _together(*pairs: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    places, values = zip(*pairs, strict=True)
    return np.concatenate(places), np.concatenate(values)


def _pieces(value: Ints, size: int) -> list[Ints]:
    """The halves and the bytes of numbers of ``size`` bytes."""
    return [*(value >> 16 * k & 0xFFFF for k in range(size // 2)), *(value >> 8 * k & 0xFF for k in range(size))]


def _halved(c: U8, start: Ints, at: Ints) -> Mask:
    """Whether an instruction's prefixes make its operands 16 bits wide."""
    found = np.zeros(len(start), bool)
    for k in range(4):
        found |= (start + k < at) & (c[start + k] == 0x66)
    out: Mask = found & ~((c[at - 1] & 0xF8 == 0x48) & (at > start))  # REX.W prevails
    return out


def _distances(raw: U8, code: Code, first: U8, second: U8, half: Mask) -> tuple[Ints, Ints]:
    has = operands(raw, code)
    near = np.isin(first, _OF_A_BYTE) | ((first == 0x0F) & np.isin(second, _EXTENDED))
    more = np.isin(first, _OF_MORE)
    odd = (more | (first == 0x0F) | np.isin(first, _VECTORS)) & (has.distance % 4 != 0)  # of words and more
    some = near | (first == _LEA) | (more & half) | odd
    rows = np.flatnonzero(some & (has.base >= 0) & (has.base != _RSP) & ~has.relative & ~has.adds)
    return rows, has.distance[rows]


def _little(c: U8, at: Ints, width: int) -> Ints:
    value = np.zeros(len(at), np.int64)
    for k in range(width):
        value |= c[at + k].astype(np.int64) << (8 * k)
    return value


def _aarch64(words: Ints) -> tuple[Ints, Ints]:
    base = words >> 5 & 31
    moved = np.isin(words >> 23 & 0xFF, (0xA5, 0xE5))  # MOVZ, MOVK, in any of their places
    added = (words & 0x1F000000 == 0x11000000) & (base != 31)
    compared = words & 0x3FE00800 == 0x3A400800  # CCMP and CCMN with a number
    byte = words & 0xFF000000 == 0x39000000  # LDRB, STRB, LDRSB with a distance
    half = words & 0xFF000000 == 0x79000000
    near = words & 0x3B200000 == 0x38000000  # of any size, not scaled, or that count
    here = 4 * np.arange(len(words))
    return _together(
        *(
            (here[some], number[some])
            for some, number in (
                (moved, words >> 5 & 0xFFFF),
                (added, words >> 10 & 0xFFF),
                (compared, words >> 16 & 31),
                (byte & (base != 31), words >> 10 & 0xFFF),
                (half & (base != 31), (words >> 10 & 0xFFF) * 2),
                (near & (base != 31), words >> 12 & 0x1FF),
            )
        )
    )


#: Of MIPS and PowerPC: opcodes with a number, those that load or store one byte or two (and MIPS' parts of words, at
#: any distance), those of words, the stack pointer, and where the register stands that is added to.
_RISC: Final = {
    t.EM_MIPS: ((8, 9, 10, 11, 12, 13, 14, 15), (32, 33, 34, 36, 37, 38, 40, 41, 42, 46), (35, 43), 29, 21),
    t.EM_PPC: (
        (7, 8, 10, 11, 12, 13, 14, 15, 24, 25, 26, 28),
        (34, 35, 38, 39, 40, 41, 42, 43, 44, 45),
        (32, 33, 36, 37),
        1,
        16,
    ),
}


def _risc(machine: int, words: Ints) -> tuple[Ints, Ints]:
    means, near, more, stack, shift = _RISC[machine]
    top, register = words >> 26, words >> shift & 31
    sums = np.isin(top, (8, 9) if machine == t.EM_MIPS else (14, 15)) & (register == stack)
    some = np.isin(top, means) & ~sums
    reads = (np.isin(top, near) | (np.isin(top, more) & (words & 3 != 0))) & (register != stack)
    rows = np.flatnonzero(some | reads)
    return 4 * rows, words[rows] & 0xFFFF
