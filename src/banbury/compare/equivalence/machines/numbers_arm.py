"""The numbers that instructions of 32-bit Arm hold, for :mod:`numbers`.

Source: Arm ARM DDI 0406C, A5, A6 and A8.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.contract import Mask

Image = tuple[int, int] | None
_TABLE: Final = 1024  # entries of a table of branches of T32 code
_NOP: Final = 0xBF00


def arm(halves: Ints, words: Ints, thumb: bool | None, image: Image) -> Ints:
    """The numbers of a stretch of code, which begins a function where it is known to be T32 code (``thumb``)."""
    literals = halves[:-1] | halves[1:] << 16  # of words that stand among the code
    places = _literals(halves, words, thumb)
    low, high = image or (0, 0)
    held = literals[places]
    apart = held[~np.isin(held >> 24, (0, 0xFF)) & ~((held >= low) & (held < high))]  # neither address nor distance
    found = [literals, held & 0xFFFF, held >> 16, *(apart >> 8 * k & 0xFF for k in range(4))]
    if thumb is not False:
        found.append(_t32(_bare(halves), np.concatenate((places, places + 1)) if thumb else None, image))
    if not thumb:
        found.append(_a32(words, image))
    return np.concatenate(found)


def _starts(halves: Ints, pools: Ints) -> Mask:
    """Which half-words begin an instruction, or may: those of literals do, and the code behind them begins anew."""
    wide = (halves >= 0xE800).tolist()
    literal = np.zeros(len(halves), bool)
    literal[pools[pools < len(halves)]] = True
    out = np.ones(len(halves), bool)
    second = False
    for row, is_literal in enumerate(literal.tolist()):
        out[row] = not second
        second = wide[row] and not second and not is_literal
    return out


def _a32(words: Ints, image: Image) -> Ints:
    kind, source, immediate = words >> 21 & 15, words >> 16 & 15, words & 0x0E000000 == 0x02000000
    apart = (source != 13) & (source != 15)
    moves = immediate & np.isin(kind, (13, 15))  # MOV, MVN
    counts = immediate & (np.isin(kind, (2, 3, 4)) & apart | np.isin(kind, (10, 11)) & (words >> 20 & 1 == 1))
    halves = words & 0x0FB00000 == 0x03000000  # MOVW, MOVT
    byte = (words & 0x0E400000 == 0x04400000) & apart
    more = (words & 0x0E400000 == 0x04000000) & apart & (words & 3 != 0)
    half = (words & 0x0E4000F0 == 0x004000B0) & apart
    compared = immediate & (np.isin(kind, (2, 3)) & apart | np.isin(kind, (10, 11))) & (words >> 20 & 1 == 1)
    turned = [_turned(words[some] & 0xFF, (words[some] >> 8 & 15) * 2) for some in (moves | counts, compared)]
    return np.concatenate(
        (
            *_whole(turned[0]),
            turned[0][(words >> 21 & 15)[moves | counts] == 15] + 1,
            *_nearly(turned[1]),
            *_sixteen(words >> 4 & 0xF000 | words & 0xFFF, words >> 12 & 15, halves, words >> 22 & 1 == 1, image),
            words[byte | more] & 0xFFF,
            words[half] >> 4 & 0xF0 | words[half] & 0xF,
        )
    )


def _literals(halves: Ints, words: Ints, thumb: bool | None) -> Ints:
    """The places, in half-words, of what loads of the code read from among it. (A function of T32 code may begin at any
    half-word: both are tried.)"""
    at, here = np.arange(len(halves)), 4 * np.arange(len(words)) + 8
    found = []
    if thumb is not False:
        one, two = halves, np.append(halves[1:], 0)
        short, wide = one & 0xF800 == 0x4800, one & 0xFF7F == 0xF85F
        for turn in (0, 2):
            base = (2 * at + turn & ~3) + 4 - turn
            found.append((base + (one & 0xFF) * 4)[short])
            found.append((base + np.where(one & 0x80 != 0, two & 0xFFF, -(two & 0xFFF)))[wide])
    if not thumb:
        load = words & 0x0F7F0000 == 0x051F0000
        found.append((here + np.where(words & 0x00800000 != 0, words & 0xFFF, -(words & 0xFFF)))[load])
    places = distinct(np.concatenate(found)) // 2
    out: Ints = places[(places >= 0) & (places < len(halves) - 1)]
    return out


def _bare(halves: Ints) -> Ints:
    """Half-words of T32 code without those of tables of branches (TBB, TBH), which stand behind their instruction and
    end at the first place that they lead to (DDI 0406C, A8.8.235)."""
    out = halves.copy()
    for row in np.flatnonzero((halves[:-1] & 0xFFF0 == 0xE8D0) & (halves[1:] & 0xFFE0 == 0xF000)).tolist():
        table, wide = halves[row + 2 : row + 2 + _TABLE], int(halves[row + 1]) & 0x10
        if not wide:
            table = np.stack((table & 0xFF, table >> 8), axis=1).ravel()
        nearest = np.append(np.minimum.accumulate(table) * (1 if wide else 2), 0)
        entries = int(np.argmax(nearest <= np.arange(len(nearest))))
        out[row + 2 : row + 2 + (entries if wide else (entries + 1) // 2)] = _NOP
    return out


def _t32(halves: Ints, pools: Ints | None, image: Image) -> Ints:
    """``pools``: half-words that may be no code; ``None`` where it is not known what is code at all."""
    starts = np.ones(len(halves), bool) if pools is None else _starts(halves, pools)
    one, two = halves[:-1][starts[:-1]], halves[1:][starts[:-1]]
    halves = halves[starts]
    narrow = halves[(halves >= 0x2000) & (halves < 0x4000)] & 0xFF  # MOVS, CMP, ADDS, SUBS
    three = halves[(halves >= 0x1C00) & (halves < 0x2000)] >> 6 & 7
    byte = halves[(halves >= 0x7000) & (halves < 0x8000)] >> 6 & 31
    half = (halves[(halves >= 0x8000) & (halves < 0x9000)] >> 6 & 31) * 2
    source = one & 15
    number = (one >> 10 & 1) << 11 | (two >> 12 & 7) << 8 | two & 0xFF
    apart = (source != 13) & (source != 15)
    expanded = (one & 0xFA00 == 0xF000) & (two & 0x8000 == 0)
    plain = (one & 0xFB5F == 0xF200) | ((one & 0xFB50 == 0xF200) & apart) & (two & 0x8000 == 0)  # ADDW, SUBW
    halved = (one & 0xFB70 == 0xF240) & (two & 0x8000 == 0)  # MOVW, MOVT
    compares = expanded & np.isin(one >> 5 & 15, (8, 13)) & (one >> 4 & 1 == 1)  # ADDS, CMN, SUBS, CMP
    inverse = expanded & (one & 0xFBEF == 0xF06F)  # MVN
    compared = halves[(halves >= 0x2800) & (halves < 0x3000)] & 0xFF
    word = np.isin(one & 0xFFF0, (0xF8C0, 0xF8D0)) & (two & 3 != 0)
    wide = (np.isin(one & 0xFFF0, (0xF880, 0xF890, 0xF990, 0xF8A0, 0xF8B0, 0xF9B0)) | word) & apart
    near = np.isin(one & 0xFFF0, (0xF800, 0xF810, 0xF910, 0xF820, 0xF830, 0xF930)) & (two & 0x0800 != 0) & apart
    return np.concatenate(
        (
            narrow,
            *_nearly(compared),
            three,
            byte,
            half,
            *_whole(_expanded(number[expanded])),
            _expanded(number[inverse]) + 1,
            *_nearly(_expanded(number[compares])),
            number[plain],
            *_sixteen(source << 12 | number, two >> 8 & 15, halved, one & 0x80 != 0, image),
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


def _nearly(number: Ints) -> tuple[Ints, Ints]:
    """The numbers beside those that something is compared with."""
    return number - 1, number + 1


def _whole(number: Ints) -> list[Ints]:
    """A number of 32 bits with its halves and bytes."""
    return [number, *(number >> 8 * k & (1 << 8 * n) - 1 for n in (2, 1) for k in range(0, 4, n))]


def _sixteen(number: Ints, register: Ints, some: Mask, upper: Mask, image: Image) -> list[Ints]:
    """What MOVW and MOVT (``upper``) put into a register; and its bytes where the whole is no address."""
    low, high = (image[0] >> 16, image[1] >> 16) if image else (0, -1)
    address = register[some & upper & (number >= low) & (number <= high)]
    single = some & ~np.isin(register, address)
    return [number[some], number[single] >> 8, number[single] & 0xFF]
