"""Distances that A64, A32 and T32 code adds to an address that it has made: compilers find several objects of a section
from the address of one (GCC manual, -fsection-anchors).

Sources: Arm ARM DDI 0487, C4 and C6 (A64); DDI 0406C, A5, A6 and A8 (A32, T32).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.a64 import field, is_, signed
from banbury.compare.equivalence.machines.flow import Graph, follow

W = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]
_ROUNDS: Final = 6  # distances added one after another, and copies
_NONE: Final = 255
KEPT: Final = -1  # in place of a sum: the address is kept in the stack frame, where it is not followed


class Added(NamedTuple):
    """By instruction. The ``distance`` from the address in register ``base`` that it makes or goes to, and the register
    ``into`` which a sum is put; a sum or copy of registers, any of which may hold the address: these as bits
    (``parts``) and the register ``whole`` which it is put into (:data:`_NONE`: it reads or writes memory there); the
    register of an address in memory that is changed by a ``step`` (``back``); and the registers, as bits, that are
    ``kept`` in the stack frame. :data:`_NONE` for no register."""

    distance: Ints
    base: Ints
    into: Ints
    parts: W
    whole: Ints
    step: Ints
    back: Ints
    kept: W


def distances(graph: Graph, added: Added, at: Ints, registers: Ints, made: Ints) -> tuple[Ints, Ints, Flags]:
    """What is added to the addresses ``made``, which are in ``registers`` before the instructions ``at``: an address,
    what becomes of it (:data:`KEPT`: it is kept in the stack frame), and whether memory is read or written there.
    Raises :class:`accounting.Refused`."""
    graph = replace(graph, reads=_bit(added.base) | added.parts | _bit(added.back) | added.kept)
    out: list[tuple[Ints, Ints, Ints]] = []
    first = made
    for _ in range(_ROUNDS):
        if not len(at):
            break
        kinds, label = np.unique(np.stack((first, made)), axis=1, return_inverse=True)
        found = follow(graph, at, registers, label.reshape(-1).astype(np.int64))
        sure = found.escaped >= 0
        rows, origin = found.escapes[sure], kinds[:, found.escaped[sure]]
        kept = distinct(origin[0][added.kept[rows] != 0])
        out.append((kept, np.full(len(kept), KEPT), kept * 0))
        more = []
        for distance, some, into in (
            (added.distance, added.base < 31, added.into),
            (added.distance * 0, added.parts != 0, added.whole),
            (added.step, added.back < 31, added.back),
        ):
            hit = some[rows]
            row, base, total = rows[hit], origin[0][hit], origin[1][hit] + distance[rows[hit]]
            sums = into[row] < 31
            out.append((base, total, (~sums).astype(np.int64)))
            more.append((row[sums] + 1, into[row][sums], base[sums], total[sums]))
        at, registers, first, made = (np.concatenate(x) for x in zip(*more, strict=True))
    empty = np.zeros(0, np.int64)
    old, new, reads = (np.concatenate([x[k] for x in out] or [empty]) for k in (0, 1, 2))
    return old, new, reads == 1


def _bit(register: Ints) -> W:
    return np.where(register < 31, 1 << np.minimum(register, 30), 0).astype(np.uint32)


def _empty(count: int) -> Added:
    nothing, none = np.zeros(count, np.int64), np.zeros(count, np.uint32)
    distance, base, into, whole, step, back = (nothing + x for x in (0, _NONE, _NONE, _NONE, 0, _NONE))
    return Added(distance, base, into, none.copy(), whole, step, back, none.copy())


def _put(added: Added, some: Flags, distance: Ints, base: W, into: W | None = None) -> None:
    added.distance[some] = distance[some]
    added.base[some] = base[some]
    if into is not None:
        added.into[some] = into[some]


def _sum(added: Added, some: Flags, into: W | None, *parts: W) -> None:
    """Registers of which any may hold an address; from 31 on they are none."""
    bits = np.zeros(len(some), np.uint32)
    for part in parts:
        bits |= _bit(part.astype(np.int64))
    added.parts[some] = bits[some]
    if into is not None:
        added.whole[some] = into[some]


def _back(added: Added, some: Flags, step: Ints, base: W) -> None:
    added.step[some] = step[some]
    added.back[some] = base[some]


def a64(w: W) -> Added:
    """A64, by word: additions of immediates, loads and stores."""
    out = _empty(len(w))
    d, n, size = field(w, 0, 5), field(w, 5, 5), field(w, 30, 2).astype(np.int64)
    vector = is_(w, 0x04000000, 0x04000000)
    low = field(w, 10, 12).astype(np.int64)
    add = is_(w, 0x1F800000, 0x11000000) & ~((d == 31) & is_(w, 0x20000000, 0x20000000))
    value = np.where(is_(w, 0x00400000, 0x00400000), low << 12, low)
    _put(out, add, np.where(is_(w, 0x40000000, 0x40000000), -value, value), n, d)
    scale = np.where(vector & is_(w, 0x00800000, 0x00800000) & (size == 0), 4, size)
    _put(out, is_(w, 0x3B000000, 0x39000000), low << scale, n)
    _put(out, is_(w, 0x3B200000, 0x38000000), signed(w, 12, 9).astype(np.int64), n)
    pair = np.where(vector, 2 + size, 2 + (size >> 1))
    _put(out, is_(w, 0x3A000000, 0x28000000), signed(w, 15, 7).astype(np.int64) << pair, n)
    _a64_registers(out, w)
    _back(out, is_(w, 0x3B200400, 0x38000400), signed(w, 12, 9).astype(np.int64), n)
    _back(out, is_(w, 0x3A800000, 0x28800000), signed(w, 15, 7).astype(np.int64) << pair, n)
    frame = np.isin(n, (29, 31))
    one, two = is_(w, 0xFFC00000, 0xF9000000), is_(w, 0xFE400000, 0xA8000000)
    second = np.where(two, _bit(field(w, 10, 5).astype(np.int64)), 0)
    out.kept[:] = np.where(frame & (one | two), _bit(d.astype(np.int64)) | second, 0)
    return out


def _a64_registers(out: Added, w: W) -> None:
    """Sums, products that are added, choices, and memory at a sum."""
    d, n, m, a = (field(w, at, 5) for at in (0, 5, 16, 10))
    none = np.full(len(w), _NONE, np.uint32)
    minus, extended = is_(w, 0x40000000, 0x40000000), is_(w, 0x200000, 0x200000)
    # of 32 bits, or extended from them: half an address may be added to what the other half is
    plain = np.where(extended, is_(w, 0x1C00, 0), is_(w, 0xFC00, 0))
    _sum(out, is_(w, 0x1F000000, 0x0B000000), d, n, np.where(plain & ~minus, m, none))
    _sum(out, is_(w, 0x1F000000, 0x1B000000), d, a)
    _sum(out, is_(w, 0x1FE00000, 0x1A800000), d, n, m)
    _sum(out, is_(w, 0x3B200C00, 0x38200800), None, n, m)  # however the index is extended or shifted
    _sum(out, is_(w, 0x3F000000, 0x08000000), None, n)
    _sum(out, is_(w, 0xBE000000, 0x0C000000), None, n, np.where(is_(w, 0x00800000, 0x00800000), m, none))


def _no_stack(out: Added) -> None:
    """The stack pointer holds no address of the image."""
    out.base[out.base == 13] = _NONE


def a32(w: W) -> Added:
    """A32, by word; a condition changes nothing."""
    out = _empty(len(w))
    d, n = field(w, 12, 4), field(w, 16, 4)
    up = np.where(is_(w, 0x00800000, 0x00800000), 1, -1)
    turn = 2 * field(w, 8, 4).astype(np.int64)
    byte = field(w, 0, 8).astype(np.int64)
    value = (byte >> turn | byte << (32 - turn)) & 0xFFFFFFFF
    for op, sign in ((0x02800000, 1), (0x02400000, -1)):
        _put(out, is_(w, 0x0FE00000, op), sign * value, n, d)
    _put(out, is_(w, 0x0E000000, 0x04000000), up * field(w, 0, 12).astype(np.int64), n)
    half = is_(w, 0x0E400090, 0x00400090) & ~is_(w, 0x60, 0)
    _put(out, half, up * (field(w, 8, 4) << np.uint32(4) | field(w, 0, 4)).astype(np.int64), n)
    _put(out, is_(w, 0x0E000000, 0x0C000000), up * 4 * byte, n)
    _put(out, is_(w, 0x0E000000, 0x08000000), np.full(len(w), 4, np.int64), n)  # several words, one behind another
    _a32_registers(out, w)
    _no_stack(out)
    back = ~is_(w, 0x01000000, 0x01000000) | is_(w, 0x00200000, 0x00200000)
    _back(out, is_(w, 0x0E000000, 0x04000000) & back, up * field(w, 0, 12).astype(np.int64), n)
    frame = np.isin(n, (7, 11, 13))
    one, two = is_(w, 0x0C500000, 0x04000000), is_(w, 0x0E1000F0, 0x000000F0)
    several = is_(w, 0x0E100000, 0x08000000)
    bits = np.where(one, _bit(d.astype(np.int64)), 0) | np.where(two, _bit(d.astype(np.int64)) * 3, 0)
    out.kept[:] = np.where(frame, np.where(several, field(w, 0, 16), bits), 0)
    return out


def _a32_registers(out: Added, w: W) -> None:
    d, n, a, m = (field(w, at, 4) for at in (12, 16, 12, 0))
    none = np.full(len(w), _NONE, np.uint32)
    straight = np.where(is_(w, 0xFF0, 0), m, none)
    by_register = is_(w, 0x10, 0x10) & ~is_(w, 0x80, 0)
    _sum(out, is_(w, 0x0FE00000, 0x00800000) & ~by_register, d, n, straight)
    _sum(out, is_(w, 0x0FE00000, 0x00400000) & ~by_register, d, n)
    _sum(out, is_(w, 0x0FEF0FF0, 0x01A00000), d, m)
    _sum(out, is_(w, 0x0FE000F0, 0x00200090) | is_(w, 0x0FF00090, 0x01000080), n, a)
    _sum(out, is_(w, 0x0E000010, 0x06000000), None, n, m)
    _sum(out, is_(w, 0x0E400090, 0x00000090) & ~is_(w, 0x60, 0), None, n, m)


def t32(h: W) -> Added:
    """T32, by half-word."""
    out = _empty(len(h))
    second = np.append(h[1:], np.uint32(0)).astype(np.uint32)
    w = h << np.uint32(16) | second
    low, middle, top = h & np.uint32(7), h >> np.uint32(3) & np.uint32(7), h >> np.uint32(8) & np.uint32(7)
    five = (h >> np.uint32(6) & np.uint32(31)).astype(np.int64)
    for lead, sign in ((0x0E, 1), (0x0F, -1)):
        _put(out, h >> 9 == lead, sign * (five & 7), middle, low)
    for lead, sign in ((6, 1), (7, -1)):
        _put(out, h >> 11 == lead, sign * (h & np.uint32(0xFF)).astype(np.int64), top, top)
    for lead, size in ((6, 4), (7, 1), (8, 2)):
        _put(out, h >> 12 == lead, five * size, middle)
    _put(out, h >> 12 == 12, np.full(len(h), 4, np.int64), top)
    third = h >> np.uint32(6) & np.uint32(7)
    _sum(out, h >> 9 == 0x0C, low, middle, third)
    _sum(out, h >> 9 == 0x0D, low, middle)
    high, source = low | h >> np.uint32(4) & np.uint32(8), h >> np.uint32(3) & np.uint32(15)
    _sum(out, h >> 8 == 0x44, high, high, source)
    _sum(out, h >> 8 == 0x46, high, source)
    _sum(out, h >> 6 == 0, low, middle)
    _sum(out, h >> 12 == 5, None, middle, third)
    out.kept[:] = np.where(h >> 11 == 0x12, _bit(top.astype(np.int64)), 0)
    out.kept[:] |= np.where(h >> 9 == 0x5A, h & np.uint32(0xFF), 0).astype(np.uint32)
    _t32_wide(out, w)
    _no_stack(out)
    _t32_registers(out, w)
    return out


def _t32_registers(out: Added, w: W) -> None:
    """What :func:`_a32_registers` says, in the wide instructions."""
    t, a, n, d, m = field(w, 12, 4), field(w, 12, 4), field(w, 16, 4), field(w, 8, 4), field(w, 0, 4)
    none = np.full(len(w), _NONE, np.uint32)
    straight = np.where(is_(w, 0x70F0, 0), m, none)
    _sum(out, is_(w, 0xFFE00000, 0xEB000000), d, n, straight)
    _sum(out, is_(w, 0xFFE00000, 0xEBA00000), d, n)
    _sum(out, is_(w, 0xFFEFF0F0, 0xEA4F0000), d, m)
    _sum(out, is_(w, 0xFFF000F0, 0xFB000000) | is_(w, 0xFFF000C0, 0xFB100000), d, a)
    single, vectors = is_(w, 0xFE800000, 0xF8000000), is_(w, 0xFF100000, 0xF9000000)
    single &= ~vectors
    _sum(out, single & is_(w, 0xFC0, 0), None, n, m)
    _sum(out, vectors, None, n, m)
    byte = field(w, 0, 8).astype(np.int64)
    _back(out, single & is_(w, 0x900, 0x900), np.where(is_(w, 0x200, 0x200), byte, -byte), n)
    pair = is_(w, 0xFE500000, 0xE8400000)
    _back(out, is_(w, 0xFE600000, 0xE8600000), np.where(is_(w, 0x00800000, 0x00800000), 4, -4) * byte, n)
    frame = np.isin(n, (7, 11, 13))
    one = is_(w, 0xFF700000, 0xF8400000)
    several = is_(w, 0xFE500000, 0xE8000000) | is_(w, 0xFE500000, 0xE9000000)
    bits = np.where(one | pair, _bit(t.astype(np.int64)), 0) | np.where(pair, _bit(d.astype(np.int64)), 0)
    out.kept[:] |= np.where(frame, np.where(several, field(w, 0, 16), bits), 0).astype(np.uint32)


def _t32_wide(out: Added, w: W) -> None:
    d, n = field(w, 8, 4), field(w, 16, 4)
    byte, up = field(w, 0, 8).astype(np.int64), np.where(is_(w, 0x00800000, 0x00800000), 1, -1)
    plain = byte | field(w, 12, 3).astype(np.int64) << 8 | field(w, 26, 1).astype(np.int64) << 11
    turn = plain >> 7
    wide = 0x80 | byte & 0x7F
    turned = (wide >> np.minimum(turn, 32) | wide << (32 - np.minimum(turn, 32))) & 0xFFFFFFFF
    copies = np.select(
        [plain >> 8 == k for k in range(4)],
        [byte, byte | byte << 16, byte << 8 | byte << 24, byte * 0x01010101],
        turned,
    )
    for op, sign in ((0xF1000000, 1), (0xF1A00000, -1)):
        _put(out, is_(w, 0xFBE08000, op), sign * copies, n, d)
    for op, sign in ((0xF2000000, 1), (0xF2A00000, -1)):
        _put(out, is_(w, 0xFBF08000, op), sign * plain, n, d)
    single = is_(w, 0xFE000000, 0xF8000000) & ~is_(w, 0xFF100000, 0xF9000000)  # not of vectors
    _put(out, single & is_(w, 0x00800000, 0x00800000), field(w, 0, 12).astype(np.int64), n)
    near = np.where(is_(w, 0x200, 0x200), byte, -byte)
    _put(out, single & is_(w, 0x00800800, 0x00000800), near, n)
    _put(out, is_(w, 0xFE400000, 0xE8400000) | is_(w, 0xEE000000, 0xEC000000), up * 4 * byte, n)
    _put(out, is_(w, 0xFFE00000, 0xE8C00000), np.zeros(len(w), np.int64), n)  # LDREXB and the like
    _put(out, is_(w, 0xFFE00000, 0xE8400000), 4 * byte, n)  # LDREX, STREX
    _put(out, is_(w, 0xFE400000, 0xE8000000), np.full(len(w), 4, np.int64), n)
