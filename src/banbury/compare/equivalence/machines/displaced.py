"""Distances that A64, A32 and T32 code adds to an address that it has made: compilers find several objects of a section
from the address of one (GCC manual, -fsection-anchors).

Sources: Arm ARM DDI 0487, C4 and C6 (A64); DDI 0406C, A5, A6 and A8 (A32, T32).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.a64 import field, is_, signed
from banbury.compare.equivalence.machines.flow import Graph, follow

W = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]
_ROUNDS: Final = 3  # distances added one after another


class Added(NamedTuple):
    """By instruction: the distance from the address in register ``base`` (255: none) that it makes or goes to, and the
    register ``into`` which a sum is put (255: it reads or writes memory)."""

    distance: Ints
    base: Ints
    into: Ints


def distances(graph: Graph, added: Added, at: Ints, registers: Ints, made: Ints) -> tuple[Ints, Ints, Flags]:
    """What is added to the addresses ``made``, which are in ``registers`` before the instructions ``at``: an address,
    what becomes of it, and whether memory is read or written there. Raises :class:`accounting.Refused`."""
    bits = np.where(added.base < 31, 1 << np.minimum(added.base, 30), 0).astype(np.uint32)
    graph = replace(graph, reads=bits)
    out: list[tuple[Ints, Ints, Ints]] = []
    first = made
    for _ in range(_ROUNDS):
        if not len(at):
            break
        kinds, label = np.unique(np.stack((first, made)), axis=1, return_inverse=True)
        found = follow(graph, at, registers, label.reshape(-1).astype(np.int64))
        sure = found.escaped >= 0
        rows, origin = found.escapes[sure], kinds[:, found.escaped[sure]]
        made = origin[1] + added.distance[rows]
        sums = added.into[rows] < 31
        out.append((origin[0], made, (~sums).astype(np.int64)))
        at, registers, first, made = rows[sums] + 1, added.into[rows][sums], origin[0][sums], made[sums]
    empty = np.zeros(0, np.int64)
    old, new, reads = (np.concatenate([x[k] for x in out] or [empty]) for k in (0, 1, 2))
    return old, new, reads == 1


def _empty(count: int) -> Added:
    return Added(np.zeros(count, np.int64), np.full(count, 255, np.int64), np.full(count, 255, np.int64))


def _put(added: Added, some: Flags, distance: Ints, base: W, into: W | None = None) -> None:
    added.distance[some] = distance[some]
    added.base[some] = base[some]
    if into is not None:
        added.into[some] = into[some]


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
    return out


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
    return out


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
    _t32_wide(out, w)
    return out


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
    single = is_(w, 0xFE000000, 0xF8000000)
    _put(out, single & is_(w, 0x00800000, 0x00800000), field(w, 0, 12).astype(np.int64), n)
    near = np.where(is_(w, 0x200, 0x200), byte, -byte)
    _put(out, single & is_(w, 0x00800800, 0x00000800), near, n)
    _put(out, is_(w, 0xFE400000, 0xE8400000) | is_(w, 0xEE000000, 0xEC000000), up * 4 * byte, n)
    _put(out, is_(w, 0xFE400000, 0xE8000000), np.full(len(w), 4, np.int64), n)
