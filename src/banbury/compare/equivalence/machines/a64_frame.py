"""Registers copied into others, and kept in the stack frame: what a compiler does with an address that it has no
register for. Only whole words at fixed distances from the stack pointer are followed; any other store reads.

Source: Arm ARM DDI 0487, C6 (LDR, LDP, STR, STP, MOV); AAPCS64, 6.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines import a64
from banbury.compare.equivalence.machines.contract import Mask
from banbury.compare.equivalence.machines.flow import SLOTS, Found, Graph, key

_MOST_SLOTS = 96
_MOST_ROUNDS = 4


@dataclass(frozen=True)
class Frame:
    """``saves`` and ``loads``: (instruction, register, offset from the stack pointer) of whole words; ``stores``:
    (instruction, offset of a word that is written); ``copies``: (instruction, from, to)."""

    saves: tuple[Ints, Ints, Ints]
    loads: tuple[Ints, Ints, Ints]
    stores: tuple[Ints, Ints]
    copies: tuple[Ints, Ints, Ints]
    frames: Mask

    def slots_at(self, places: Ints) -> Ints:
        """The offsets of the words that are saved at some places."""
        return distinct(self.saves[2][np.isin(self.saves[0], places)])

    def saved(self, size: int) -> a64.W:
        """The registers that each instruction saves."""
        out = np.zeros(size, np.uint32)
        np.bitwise_or.at(out, self.saves[0], np.uint32(1) << self.saves[1].astype(np.uint32))
        return out

    def settled(self, graph: Graph, search: Callable[[Graph], Found]) -> tuple[Graph, Found]:
        """``graph`` with the words of stack frames in which ``search`` finds that values are kept, and its answer."""
        slots = np.zeros(0, np.int64)
        for _ in range(_MOST_ROUNDS):
            framed = self.graph(graph, slots)
            found = search(framed)
            more = more_slots(self, slots, found)
            if len(more) == len(slots):
                break
            slots = more
        return framed, found

    def graph(self, graph: Graph, slots: Ints) -> Graph:
        """``graph`` with copies, and with the words at the offsets ``slots`` followed too."""
        at, source, to = ([x] for x in self.copies)
        reads = graph.reads.copy()
        reads[self.copies[0]] = 0
        for places, registers, offsets, save in ((*self.saves, True), (*self.loads, False)):
            some = np.isin(offsets, slots)
            slot = SLOTS + np.searchsorted(slots, offsets[some])
            at.append(places[some])
            source.append(registers[some] if save else slot)
            to.append(slot if save else registers[some])
            if save:
                np.bitwise_and.at(reads, places[some], ~(np.uint32(1) << registers[some].astype(np.uint32)))
        keys = key(np.concatenate(at), np.concatenate(source))
        order = np.argsort(keys, kind="stable")
        some = np.isin(self.stores[1], slots)
        kills = distinct(key(self.stores[0][some], SLOTS + np.searchsorted(slots, self.stores[1][some])))
        return replace(
            graph,
            reads=reads,
            moves=(keys[order], np.concatenate(to)[order]),
            kills=kills,
            frames=self.frames,
            slots=len(slots),
        )


def more_slots(frame: Frame, slots: Ints, found: Found) -> Ints:
    """``slots`` and the words in which ``found`` says that values are saved; the same where there are too many."""
    wanted = np.union1d(slots, frame.slots_at(found.escapes))
    return wanted if len(wanted) <= _MOST_SLOTS else slots


def frame_of(w: a64.W) -> Frame:
    """The copies and the accesses to the stack frame of a section's words."""
    d, second = a64.field(w, 0, 5).astype(np.int64), a64.field(w, 10, 5).astype(np.int64)
    single, pair = a64.field(w, 10, 12).astype(np.int64) * 8, a64.signed(w, 15, 7) * 8

    def whole(one: int, two: int) -> tuple[Ints, Ints, Ints]:
        at, pairs = np.flatnonzero(a64.is_(w, 0xFFC003E0, one)), np.flatnonzero(a64.is_(w, 0xFFC003E0, two))
        places = np.concatenate((at, pairs, pairs))
        registers = np.concatenate((d[at], d[pairs], second[pairs]))
        offsets = np.concatenate((single[at], pair[pairs], pair[pairs] + 8))
        real = registers < 31
        return places[real], registers[real], offsets[real]

    moves = np.flatnonzero(a64.is_(w, 0xFFE0FFE0, 0xAA0003E0) & (d < 31) & (a64.field(w, 16, 5) < 31))
    base = a64.field(w, 5, 5) == 31
    frames = a64.is_(w, 0x3F80001F, 0x1100001F) | a64.is_(w, 0x3FE0001F, 0x0B20001F)
    frames |= base & a64.is_(w, 0x3A800000, 0x28800000)
    frames |= base & a64.is_(w, 0x3B200400, 0x38000400)
    copies = moves, a64.field(w[moves], 16, 5).astype(np.int64), d[moves]
    return Frame(whole(0xF90003E0, 0xA90003E0), whole(0xF94003E0, 0xA94003E0), _stores(w, base), copies, frames)


def _stores(w: a64.W, base: Mask) -> tuple[Ints, Ints]:
    """Every word of eight bytes that a store at a fixed distance from the stack pointer writes to, if partly."""
    size = a64.field(w, 30, 2).astype(np.int64)
    vector = a64.field(w, 26, 1).astype(np.int64)
    wide = (vector == 1) & (size == 0) & (a64.field(w, 22, 2) == 2)
    one = np.flatnonzero(base & a64.is_(w, 0x3B400000, 0x39000000))
    scale = np.where(wide, 4, size)[one]
    start, length = a64.field(w[one], 10, 12).astype(np.int64) << scale, np.int64(1) << scale
    two = np.flatnonzero(base & a64.is_(w, 0x3BC00000, 0x29000000))
    width = np.where(vector[two] == 1, np.int64(4) << size[two], np.where(size[two] == 2, 8, 4))
    at = np.concatenate((one, two))
    begin = np.concatenate((start, a64.signed(w[two], 15, 7) * width))
    end = begin + np.concatenate((length, 2 * width))
    places, words = [], []
    for k in range(5):
        word = begin // 8 * 8 + 8 * k
        some = word < end
        places.append(at[some])
        words.append(word[some])
    return np.concatenate(places), np.concatenate(words)
