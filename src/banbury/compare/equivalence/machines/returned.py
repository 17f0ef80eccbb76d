"""Places that calls return to, where the function called reads them as addresses: a distance from there to data may
stand behind the call, or in a literal.

Compilers read the link register to keep it, to return, and where a source asks for the caller's place. Code written by
hand finds data by it. So a function that reads it otherwise within its first instructions makes the places behind all
direct calls of it addresses from which every word behind the call, and every literal, may count.

Sources: Arm ARM DDI 0406C, A2.3; DDI 0487, B1.2.1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.arm_code import Body
from banbury.compare.equivalence.relayout_map import AddressMap

W = npt.NDArray[np.uint32]
U8 = npt.NDArray[np.uint8]
_AHEAD: Final = 16  # instructions of a function that are looked at
_BEHIND: Final = 4  # words behind a call
_LR: Final = 1 << 14


def a64(words: W, address: int) -> tuple[Ints, Ints]:
    """Of a section of A64 code: places from which distances may count, and what these may lead to."""
    word = words.astype(np.int64)
    at = np.flatnonzero(word & 0xFC000000 == 0x94000000)
    distance = (word[at] & 0x3FFFFFF) - ((word[at] & 0x2000000) << 1)
    good = (at + distance >= 0) & (at + distance < len(word))
    at, target = at[good], (at + distance)[good]
    ends = (word & 0xFE000000 == 0xD6000000) | (word & 0x7C000000 == 0x14000000)  # BR, RET; B, BL
    near, far = word >> 5 & 31 == 30, word >> 16 & 31 == 30
    memory, register = word & 0x0A000000 == 0x08000000, word & 0x0E000000 == 0x0A000000
    reads = (near & (memory | (word & 0x1F000000 == 0x11000000))) | ((near | far) & register)
    reads |= memory & far & (word & 0x3B200C00 == 0x38200800)
    return _from(words, address, at[_strange(target, reads, ends)] * 4 + 4)


def _strange(target: Ints, reads: npt.NDArray[np.bool_], ends: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which of the rows that calls lead to begin a function that reads the link register soon."""
    out, live, row = np.zeros(len(target), bool), np.ones(len(target), bool), target
    for _ in range(_AHEAD):
        here = np.minimum(row, len(reads) - 1)
        out |= live & reads[here] & (row < len(reads))
        live &= ~ends[here]
        row = row + 1
    return out


def _from(words: W, address: int, places: Ints) -> tuple[Ints, Ints]:
    """What words behind some places of code may be distances to: from themselves and from the place."""
    base, total = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    signed = words.astype(np.int64)
    signed -= signed >> 31 << 32
    for k in range(_BEHIND):
        at = places + 4 * k
        at = at[at // 4 < len(words)]
        base.append(at + address)
        total.append(at + address + signed[at // 4])
    return np.concatenate(base), np.concatenate(total)


def arm(body: Body, nodes: Ints, literals: Ints) -> tuple[Ints, Ints]:
    """Of 32-bit Arm code: as :func:`a64`; ``nodes``: what is reached; ``literals``: offsets of words that are no
    code. The places come with the offsets of all words that may be a distance from any of them."""
    calls = nodes[body.all.calls[nodes] & (body.leads[nodes] >= 0)]
    reads = (body.all.reads & np.uint32(_LR)) != 0
    reads &= ~_keeps(body)
    writes = (body.all.writes & np.uint32(_LR)) != 0
    out, live, node = np.zeros(len(calls), bool), np.ones(len(calls), bool), body.leads[calls]
    for _ in range(_AHEAD):
        live &= node >= 0
        here = np.maximum(node, 0)
        out |= live & reads[here]
        live &= ~writes[here] & ~body.all.calls[here] & body.all.falls[here]
        node = body.next[here]
    places = body.place[calls[out]] + np.where(body.thumb[calls[out]], body.all.sizes[calls[out]], 4)
    near = np.concatenate([places // 4 * 4 + 4 * k for k in range(_BEHIND)]) if len(places) else places
    at = np.union1d(literals, near)
    return distinct(places), at[at // 4 < len(body.words)]


def _keeps(body: Body) -> npt.NDArray[np.bool_]:
    """Instructions that keep the link register on the stack, or return by it."""
    h, w = body.halves, body.words
    second = np.append(h[1:], np.uint32(0))
    thumb = (h == 0x4770) | (h >> 9 == 0x5A) | (h == 0x46F7)
    thumb |= (h == 0xE92D) | ((h == 0xF84D) & (second >> 12 == 14)) | (h & 0xFE40 == 0xE840) & (h & 15 == 13)
    plain = w & 0x0FFFFFFF
    words = np.isin(plain, (0x012FFF1E, 0x01A0F00E)) | (plain >> 16 == 0x92D)
    words |= (plain & 0x0C00F000 == 0x0400E000) & (w >> 16 & 15 == 13)
    out: npt.NDArray[np.bool_] = np.concatenate((thumb, words))
    return out


def moved_apart(the_map: AddressMap, base: Ints, total: Ints) -> bool:
    """Whether one of the places ``total`` is another distance from its base in the second file."""
    made, there = the_map.many(base), the_map.many(total)
    return bool(((made >= 0) & (there >= 0) & (made - base != there - total)).any())


def any_apart(the_map: AddressMap, one: Part, places: Ints, distances: Ints) -> bool:
    """Whether any of ``distances`` leads from any of ``places``, which are sorted and in ``one``, to what moved against
    it."""
    if not len(places):
        return False
    shift = int(the_map.many(places[:1])[0]) - int(places[0])
    spans: list[list[int]] = []
    for piece in sorted(the_map.pieces, key=lambda p: p.start):
        if piece.shift != shift and not one.addr <= piece.start < one.addr + one.size:
            if spans and spans[-1][1] == piece.start:
                spans[-1][1] = piece.end
            else:
                spans.append([piece.start, piece.end])
    for start, end in spans:
        low, high = (np.searchsorted(places, edge - distances, "left") for edge in (start, end))
        if (high > low).any():
            return True
    return False
