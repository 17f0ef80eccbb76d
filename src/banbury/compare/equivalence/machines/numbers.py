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

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Code, Ints, NotDecoded
from banbury.compare.equivalence.machines.contract import U8, Mask
from banbury.compare.equivalence.machines.numbers_arm import arm
from banbury.compare.equivalence.machines.x86_64_absolute import Operands, absolute, operands
from banbury.compare.equivalence.machines.x86_64_decoded import decode
from banbury.formats import _elf_types as t

Image = tuple[int, int] | None
#: x86-64: opcodes with an immediate of a byte; with one of the operand's size; those that load or store one byte; those
#: that load or store as many as the operand has (and so do those of 0F).
_BYTES: Final = (0x04, 0x2C, 0x3C, 0x6A, 0x6B, 0x80, 0x83, 0xC6, *range(0xB0, 0xB8))
_SIZED: Final = (0x05, 0x2D, 0x3D, 0x68, 0x69, 0x81, 0xC7, *range(0xB8, 0xC0))
_OF_A_BYTE: Final = (0x00, 0x02, 0x08, 0x0A, 0x20, 0x22, 0x28, 0x2A, 0x30, 0x32, 0x38, 0x3A, 0x80, 0x84, 0x86, 0x88,
                     0x8A, 0xC6, 0xF6, 0xFE)  # fmt: skip
_OF_MORE: Final = (0x01, 0x03, 0x09, 0x0B, 0x21, 0x23, 0x29, 0x2B, 0x31, 0x33, 0x39, 0x3B, 0x81, 0x83, 0x85, 0x87, 0x89,
                   0x8B, 0xC7, 0xF7)  # fmt: skip
_VECTORS: Final = (0xC4, 0xC5)
_COMPARE: Final = (0x2D, 0x3D)  # SUB and CMP of the first register
_EXTENDED: Final = (0xB6, 0xB7, 0xBE, 0xBF)  # behind 0F: MOVZX and MOVSX, of one byte and of two
_LEA: Final = 0x8D
_RSP: Final = 4


def numbers(machine: int, big: bool, raw: U8, image: Image = None, *, thumb: bool | None = None) -> Ints:
    """The numbers of a stretch of code. ``thumb``: of 32-bit Arm, whether it is T32 code (``None``: not known).
    ``image``: from where to where the addresses of a file for a fixed place are, the parts of which are no numbers.
    Raises :class:`~banbury.compare.equivalence.code.NotDecoded`."""
    if machine == t.EM_ARM:
        words = raw[: len(raw) // 4 * 4].view("<u4").astype(np.int64)
        return distinct(arm(raw[: len(raw) // 2 * 2].view("<u2").astype(np.int64), words, thumb, image))
    return distinct(placed(machine, big, raw, image)[1])


def placed(
    machine: int, big: bool, raw: U8, image: Image, decoded: tuple[Code, Operands] | None = None
) -> tuple[Ints, Ints]:
    """For each number of a stretch of code a place in the instruction that holds it, and the number; not of 32-bit Arm,
    whose numbers depend on where functions begin. ``decoded``: its instructions, if they are known (x86-64). Raises
    :class:`NotDecoded`."""
    if machine == t.EM_X86_64:
        return _x86(raw, *(decoded or taken_apart(raw)), image)
    words = raw[: len(raw) // 4 * 4].view(">u4" if big else "<u4").astype(np.int64)
    if machine == t.EM_AARCH64:
        return _aarch64(words)
    if machine not in _RISC:
        raise NotDecoded(0, f"code of machine {machine}")
    return _risc(machine, words, image)


def taken_apart(raw: U8) -> tuple[Code, Operands]:
    """The instructions of x86-64 code. Raises :class:`NotDecoded`."""
    code = decode(raw.data, 0)
    return code, operands(raw, code)


def _x86(raw: U8, code: Code, has: Operands, image: Image) -> tuple[Ints, Ints]:
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    ends = np.append(code.starts[1:], len(raw))[: len(code.starts)]
    at, first, second = has.at, has.opcode, c[has.at + 1]
    short = np.isin(first, _BYTES) & ~((first == 0x83) & np.isin(second, (0xEC, 0xC4, 0xE4)))  # not of rsp
    halved = _halved(c, code.starts, at)
    half = np.isin(first, _SIZED) & halved
    fields = absolute(raw, code, has)
    moves = (first == 0xC7) | ((first >= 0xB8) & (first < 0xC0))
    held, less = (ends - 4)[moves & ~half & ~np.isin(ends - 8, fields.wide)], (ends - 2)[moves & half]
    held = held[~_inside(_little(c, held, 4), image)]
    wide, byte = _little(c, fields.wide, 8), c[ends[short] - 1].astype(np.int64)
    whole, two = _little(c, fields.immediates, 4), _little(c, (ends - 2)[half], 2)
    rows, distances = _distances(has, second, halved)
    places, values = _together(
        (fields.immediates, whole),
        (fields.immediates, _negative(whole, 32)),
        ((ends - 2)[half], two),
        ((ends - 2)[half], _negative(two, 16)),
        (ends[short] - 1, byte),
        (ends[short] - 1, _negative(byte, 8)),
        (fields.wide, wide),
        (fields.wide, -wide),
        *((held, piece) for piece in _pieces(_little(c, held, 4), 4)),
        *((less, piece) for piece in _pieces(_little(c, less, 2), 2)),
        *((fields.wide, piece) for piece in _pieces(wide, 8)),
        (code.starts[rows], np.abs(distances)),
    )
    kind = second >> 3 & 7
    compares = np.isin(first, _COMPARE) | (np.isin(first, (0x81, 0x83)) & ((kind == 5) | (kind == 7)))
    return _nearly(places, values, compares[np.searchsorted(code.starts, places, "right") - 1])


def _nearly(places: Ints, values: Ints, compares: Mask) -> tuple[Ints, Ints]:
    """With the numbers beside those that something is compared with: ``x < 5`` and ``x <= 4`` say the same. (Of x86-64
    not those that bytes are compared with: they are characters.)"""
    near, number = places[compares], values[compares]
    return _together((places, values), (near, number - 1), (near, number + 1))


def _together(*pairs: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    places, values = zip(*pairs, strict=True)
    return np.concatenate(places), np.concatenate(values)


def _inside(value: Ints, image: Image) -> Mask:
    """Which numbers may be addresses of a file for a fixed place."""
    low, high = image or (0, 0)
    return (value >= low) & (value < high)


def _negative(value: Ints, bits: int) -> Ints:
    """What is subtracted where a number of so many bits has a sign; else the number."""
    out: Ints = np.where(value >> (bits - 1) & 1 == 1, (1 << bits) - value, value)
    return out


def _pieces(value: Ints, size: int) -> list[Ints]:
    """The words of 32 bits, the halves and the bytes of numbers of ``size`` bytes."""
    return [value >> 8 * k & (1 << 8 * n) - 1 for n in (4, 2, 1) for k in range(0, size, n) if n < size]


def _halved(c: U8, start: Ints, at: Ints) -> Mask:
    """Whether an instruction's prefixes make its operands 16 bits wide."""
    found = np.zeros(len(start), bool)
    for k in range(4):
        found |= (start + k < at) & (c[start + k] == 0x66)
    out: Mask = found & ~((c[at - 1] & 0xF8 == 0x48) & (at > start))  # REX.W prevails
    return out


def _distances(has: Operands, second: U8, half: Mask) -> tuple[Ints, Ints]:
    first = has.opcode
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
    inverted = words >> 23 & 0xFF == 0x25  # MOVN
    added = (words & 0x1F000000 == 0x11000000) & (base != 31)
    compared = words & 0x3FE00800 == 0x3A400800  # CCMP and CCMN with a number
    byte = words & 0xFF000000 == 0x39000000  # LDRB, STRB, LDRSB with a distance
    half = words & 0xFF000000 == 0x79000000
    near = words & 0x3B200000 == 0x38000000  # of any size, not scaled, or that count
    ring, ringed = _ring(words)
    vector, element = _vector(words)
    here, sixteen = 4 * np.arange(len(words)), words >> 5 & 0xFFFF
    places, values = _together(
        *(
            (here[some], number[some])
            for some, number in (
                (moved, sixteen),
                (moved, sixteen >> 8),
                (moved, sixteen & 0xFF),
                (inverted, sixteen),
                (inverted, sixteen + 1),
                (added, words >> 10 & 0xFFF),
                (compared, words >> 16 & 31),
                (byte & (base != 31), words >> 10 & 0xFFF),
                (half & (base != 31), (words >> 10 & 0xFFF) * 2),
                (near & (base != 31), _negative(words >> 12 & 0x1FF, 9)),
            )
        ),
        (here[ring], ringed),
        *((here[ring], piece) for piece in _pieces(ringed, 8)),
        (here[vector], element),
        *((here[vector], piece) for piece in _pieces(element, 4)),
    )
    compares = (words & 0x3F000000 == 0x31000000) | compared  # ADDS, SUBS
    return _nearly(places, values, compares[places // 4])


def _ring(words: Ints) -> tuple[Ints, Ints]:
    """Rows of MOV with a pattern of bits (ORR of the zero register), and the pattern (DDI 0487, DecodeBitMasks)."""
    rows = np.flatnonzero((words & 0x7F800000 == 0x32000000) & (words >> 5 & 31 == 31))
    out = []
    for word in words[rows].tolist():
        n, turn, ones = word >> 22 & 1, word >> 16 & 63, word >> 10 & 63
        size = 1 << max((n << 6 | ~ones & 63).bit_length() - 1, 0)
        run = (1 << (ones & size - 1) + 1) - 1
        turn &= size - 1
        run = (run >> turn | run << (size - turn)) & (1 << size) - 1
        value = sum(run << k for k in range(0, 64, size))
        out.append(value - (value >> 63 << 64))
    return rows, np.array(out, np.int64)


def _vector(words: Ints) -> tuple[Ints, Ints]:
    """Rows of MOVI and MVNI, and the number of 32 bits that they repeat (DDI 0487, AdvSIMDExpandImm)."""
    rows = np.flatnonzero(words & 0x9FF80C00 == 0x0F000400)
    word = words[rows]
    low, kind = word >> 11 & 0xE0 | word >> 5 & 31, word >> 12 & 15
    number = np.select(
        [kind < 8, kind < 12, kind < 14, kind == 14],
        [
            low << 8 * (kind >> 1 & 3),
            (low << 8 * (kind >> 1 & 1)) * 0x10001,
            low << 8 * ((kind & 1) + 1),
            low * 0x01010101,
        ],
        0,
    )
    inverse = (word >> 29 & 1 == 1) & (kind < 14)
    return rows, np.where(inverse, ~number & 0xFFFFFFFF, number)


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

#: Those that compare with a number, or subtract one to compare.
_COMPARES: Final = {t.EM_MIPS: (10, 11), t.EM_PPC: (8, 10, 11, 12, 13)}
#: Those that put a number into a register, without another register, with OR, and as its upper half.
_MOVES: Final = {t.EM_MIPS: ((8, 9), 13, 15), t.EM_PPC: ((14,), 24, 15)}


def _risc(machine: int, words: Ints, image: Image) -> tuple[Ints, Ints]:
    means, near, more, stack, shift = _RISC[machine]
    top, register = words >> 26, words >> shift & 31
    sums = np.isin(top, (8, 9) if machine == t.EM_MIPS else (14, 15)) & (register == stack)
    some = np.isin(top, means) & ~sums
    reads = (np.isin(top, near) | (np.isin(top, more) & (words & 3 != 0))) & (register != stack)
    rows = np.flatnonzero(some | reads)
    number = words[rows] & 0xFFFF
    alone, ors, upper = _MOVES[machine]
    parts = (np.isin(top, alone) & (words >> (21 if machine == t.EM_MIPS else 16) & 31 == 0)) | (top == ors)
    parts |= (top == upper) & ~_inside((words & 0xFFFF) << 16, image and (image[0] & ~0xFFFF, image[1]))
    made = np.flatnonzero(parts)
    places, values = _together(
        (4 * rows, number),
        (4 * rows, _negative(number, 16)),
        *((4 * made, piece) for piece in _pieces(words[made] & 0xFFFF, 2)),
    )
    return _nearly(places, values, np.isin(top, _COMPARES[machine])[places // 4])
