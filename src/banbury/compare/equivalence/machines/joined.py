"""Stretches of code that are parts of one function, because one jumps into the other.

GCC puts what is seldom run far away, under a name and an unwinding record of its own
(``-freorder-blocks-and-partition``; LLVM splits functions likewise). A conditional jump into another stretch, or any
direct jump to a place within it, joins the two, and so does a landing pad. One to its beginning may be a call at the
end of a function; it joins the two where nothing else leads to that beginning: no call, no address that code makes or
data hold, and no jump of a third stretch.

Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, Jcc and JMP; Arm ARM DDI 0487, C4.1.93;
MIPS MD00086; Power ISA 2.07, Book I, 2.4.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import table
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.contract import U8, Mask
from banbury.formats import _elf_types as t

_BEFORE: Final = table((0xF2, 0x2E, 0x3E))  # of x86-64 before a jump: BND, and hints
#: Stretches that one function may have; those of more are not followed further.
_MOST: Final = 256
_MOST_STEPS: Final = 64  # from one part of a function to another
Bounds = tuple[int, int]


class Leads(NamedTuple):
    """Direct jumps within a section: where they stand and lead to (offsets), whether on a condition, and where their
    operands stand."""

    source: Ints
    target: Ints
    conditional: Mask
    field: Ints


class Jumps:
    """The direct jumps within a section of ``size`` bytes. ``pads``: call sites and landing pads (offsets). ``own``:
    the beginnings of functions: where calls lead, or addresses that code makes or data hold. ``stretches``: where each
    stretch begins that will be asked for (none: not known)."""

    def __init__(
        self,
        found: Leads,
        size: int,
        pads: Iterable[tuple[int, int]] = (),
        own: Ints | None = None,
        stretches: Ints | None = None,
    ) -> None:
        sites, landing = np.array(list(pads), np.int64).reshape(-1, 2).T
        source, target = np.concatenate((found.source, sites)), np.concatenate((found.target, landing))
        conditional = np.concatenate((found.conditional, np.ones(len(sites), bool)))
        inside = (target >= 0) & (target < size) & (source >= 0) & (source < size)
        if stretches is not None:  # those within one say nothing
            inside &= np.searchsorted(stretches, source, "right") != np.searchsorted(stretches, target, "right")
        order = np.argsort(source[inside], kind="stable")
        self.going = tuple(x[inside][order].data for x in (source, target, conditional))
        order = order[np.argsort(target[inside][order], kind="stable")]
        self.coming = tuple(x[inside][order].data for x in (source, target, conditional))
        self._sources: dict[int, Bounds | None] = {}  # the one stretch that leads to a beginning, if there is one
        self.cut = False
        self.own = None if own is None else frozenset(own.tolist())

    def joined(self, bounds: Bounds, around: Callable[[int], Bounds]) -> list[Bounds]:
        """The stretches of the function that one is a part of. ``around``: the stretch that an offset is in. Sets
        ``cut`` where there are more."""
        out, waiting = {bounds}, [bounds]
        self.cut = False
        while waiting:
            if len(out) >= _MOST:
                self.cut = True
                break
            low, high = waiting.pop()
            going = [x for x in self._rows(self.going, 0, low, high) if not low <= x[1] < high]
            to = [(around(target), target, sure) for _, target, sure in going]
            joined = [
                found
                for found, target, sure in to
                if sure or target != found[0] or self._only_from(target, (low, high), around)
            ]
            coming = [x for x in self._rows(self.coming, 1, low, high) if not low <= x[0] < high]
            joined += [
                found
                for found, target, sure in ((around(source), target, sure) for source, target, sure in coming)
                if sure or target != low or self._only_from(low, found, around)
            ]
            for found in joined:
                if found not in out:
                    out.add(found)
                    waiting.append(found)
        return sorted(out)

    def _only_from(self, place: int, bounds: Bounds, around: Callable[[int], Bounds]) -> bool:
        """Whether nothing but one stretch leads to a place, which begins another, so that this is no function."""
        if self.own is None or place in self.own:
            return False
        if place not in self._sources:
            here, found = around(place), set[Bounds]()
            for source, _, _ in self._rows(self.coming, 1, place, place + 1):
                found |= {around(source)} - {here}
                if len(found) > 1:
                    break
            self._sources[place] = next(iter(found)) if len(found) == 1 else None
        return self._sources[place] == bounds

    @staticmethod
    def _rows(columns: tuple[memoryview, ...], by: int, low: int, high: int) -> Iterator[tuple[int, int, bool]]:
        """Sources, targets and conditions of the jumps of which one of these, by which they are in order, lies between
        two offsets."""
        begin, end = bisect_left(columns[by], low), bisect_left(columns[by], high)
        return zip(*(column[begin:end].tolist() for column in columns), strict=True)


def leads(machine: int, big: bool, raw: U8, address: int, entries: Mask) -> Leads:
    """The direct jumps of the section ``raw`` at an address; ``entries``: where its instructions begin. Not of 32-bit
    Arm."""
    if machine == t.EM_X86_64:
        return _x86(raw, entries)
    words = raw[: len(raw) // 4 * 4].view(">u4" if big else "<u4").astype(np.int64)
    found = {t.EM_AARCH64: _a64, t.EM_MIPS: _mips, t.EM_PPC: _powerpc}[machine](words, address)
    rows, target, conditional = (np.concatenate(x) for x in zip(*found, strict=True))
    return Leads(4 * rows, target, conditional == 1, 4 * rows)


def _x86(raw: U8, entries: Mask) -> Leads:
    at = np.flatnonzero(entries[: len(raw)])
    at = at + _BEFORE[raw[at]]
    at = at[at < len(raw)]
    one, two = raw[at], np.append(raw, np.uint8(0))[at + 1]
    far = (one == 0x0F) & (two & 0xF0 == 0x80)
    near = (one & 0xF0 == 0x70) | (one & 0xFC == 0xE0)  # LOOP and JRCXZ
    plain, short = one == 0xE9, one == 0xEB
    found = [
        _x86_of(raw, at[some], behind, width, condition)
        for some, behind, width, condition in (
            (far, 2, 4, True), (near, 1, 1, True), (plain, 1, 4, False), (short, 1, 1, False)
        )
    ]  # fmt: skip
    return Leads(*(np.concatenate(x) for x in zip(*found, strict=True)))


def _x86_of(raw: U8, at: Ints, behind: int, width: int, condition: bool) -> Leads:
    at = at[at + behind + width <= len(raw)]
    distance = np.zeros(len(at), np.int64)
    for k in range(width):
        distance |= raw[at + behind + k].astype(np.int64) << 8 * k
    distance -= distance >> (8 * width - 1) << (8 * width)
    return Leads(at, at + behind + width + distance, np.full(len(at), condition), at + behind)


_Rows = list[tuple[Ints, Ints, Ints]]  # rows, offsets that they lead to, whether on a condition (1)


def _of(words: Ints, some: Mask, shift: int, bits: int, ahead: int, condition: int) -> tuple[Ints, Ints, Ints]:
    """Jumps whose distance is in ``bits`` from ``shift`` on, in words from ``ahead`` bytes behind themselves."""
    rows = np.flatnonzero(some)
    distance = (words[rows] >> shift & (1 << bits) - 1) << (64 - bits) >> (64 - bits)
    return rows, 4 * rows + ahead + 4 * distance, np.full(len(rows), condition)


def _a64(words: Ints, address: int) -> _Rows:
    compared = (words & 0xFF000000 == 0x54000000) | (words & 0x7E000000 == 0x34000000)
    return [
        _of(words, words & 0xFC000000 == 0x14000000, 0, 26, 0, 0),
        _of(words, compared, 5, 19, 0, 1),
        _of(words, words & 0x7E000000 == 0x36000000, 5, 14, 0, 1),
    ]


def _mips(words: Ints, address: int) -> _Rows:
    top, source, second = words >> 26, words >> 21 & 31, words >> 16 & 31
    certain = ((top == 4) & (source == second)) | ((top == 1) & (second == 1) & (source == 0))
    relative = np.isin(top, (4, 5, 6, 7, 20, 21, 22, 23)) | ((top == 1) & (second < 4)) | ((top == 17) & (source == 8))
    rows = np.flatnonzero(top == 2)
    target = (address + 4 * rows + 4 & ~0xFFFFFFF | (words[rows] & 0x3FFFFFF) << 2) - address
    return [
        _of(words, certain, 0, 16, 4, 0),
        _of(words, relative & ~certain, 0, 16, 4, 1),
        (rows, target, np.zeros(len(rows), np.int64)),
    ]


def _powerpc(words: Ints, address: int) -> _Rows:
    always = words >> 21 & 20 == 20
    near = words & 0xFC000003 == 0x40000000
    return [
        _of(words, words & 0xFC000003 == 0x48000000, 2, 24, 0, 0),
        _of(words, near & always, 2, 14, 0, 0),
        _of(words, near & ~always, 2, 14, 0, 1),
    ]


def called(machine: int, words: Ints, base: int) -> list[Ints]:
    """Where the direct calls of code of whole words at an address lead, one array for each kind of call; those of the
    next instruction only tell where they are."""
    out = []
    for mask, value, bits, shift, ahead in _CALLS.get(machine, ()):
        at = np.flatnonzero(words & mask == value)
        distance = (words[at] & (1 << bits) - 1) << (64 - bits) >> (64 - bits)
        target = base + 4 * at + (distance << shift) + ahead
        out.append(target[target != base + 4 * at + 4])
    if machine == t.EM_MIPS:
        at = np.flatnonzero(words >> 26 == 3)
        out.append(base + 4 * at + 4 & ~0xFFFFFFF | (words[at] & 0x3FFFFFF) << 2)
    return out


def called_x86(raw: U8, entries: Mask) -> Ints:
    """Where the direct calls of x86-64 code lead, as offsets; not those of what stands close by: they tell a place, or
    are a part of an indirect branch (GCC, -mindirect-branch=thunk-inline)."""
    at = np.flatnonzero(entries[:-1] & (raw == 0xE8))
    at = at[at + 5 <= len(raw)]
    distance = sum((raw[at + 1 + k].astype(np.int64) << 8 * k for k in range(4)), np.zeros(len(at), np.int64))
    distance -= distance >> 31 << 32
    target: Ints = (at + 5 + distance)[np.abs(distance) > _THUNK]
    return target


_THUNK: Final = 64  # bytes around a call within which what it leads to may belong to it
#: Direct calls: the bits that say so, their value, how many low bits are the distance, by how much it is shifted, and
#: from where it counts.
_CALLS: Final = {
    t.EM_AARCH64: ((0xFC000000, 0x94000000, 26, 2, 0),),
    t.EM_PPC: ((0xFC000003, 0x48000001, 26, 0, -1),),
    t.EM_MIPS: ((0xFFFF0000, 0x04110000, 16, 2, 4),),
}


def numbered(begin: Ints, rows: Ints, to: Ints) -> Ints:
    """By stretch from one of ``begin`` to the next, the first of those that branches from ``rows`` to others join."""
    one, other = (np.searchsorted(begin, x, "right") - 1 for x in (rows, to))
    whose = np.arange(len(begin))
    for _ in range(_MOST_STEPS):
        first, second = whose[one], whose[other]
        if (first == second).all():
            return whose
        np.minimum.at(whose, np.maximum(first, second), np.minimum(first, second))
        while (whose[whose] != whose).any():
            whose = whose[whose]
    raise Refused("code", "its functions have too many parts to follow")
