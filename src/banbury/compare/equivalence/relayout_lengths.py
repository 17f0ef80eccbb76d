"""The length of a text that changed, as a number of the program: ``sizeof``, ``strlen`` and copies of so many bytes.

A compiler writes the length of a text beside its address (``fwrite``, ``memcpy``) or copies it by loads of fixed size.
Where the text became longer, such a number has to change; one that did not would cut the text, or read beyond it. What
the number belongs to cannot be told, so a text is refused whose length (in the rebuilt file, whose numbers are its
compiler's; of a text that became shorter also the other one) stands as an immediate in a function that makes its
address, or in a field beside a word that holds it, and one that is read in any other way than by its address.

Sources: GCC manual, -fbuiltin; Intel SDM, volume 2; Arm ARM DDI 0487 and DDI 0406C; MIPS MD00086; Power ISA 2.07.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.contract import U8, Mask, Sides
from banbury.compare.equivalence.machines.numbers import numbers
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_fields import fields
from banbury.compare.equivalence.relayout_objects import Objects
from banbury.formats import _elf_types as t

_NEAR: Final = 512  # bytes looked at on both sides where no symbol says which function it is
_THUNK: Final = 64  # bytes around a call within which what it leads to may belong to it
#: Direct calls: the bits that say so, their value, how many low bits are the distance, by how much it is shifted, and
#: from where it counts.
_CALLS: Final = {
    t.EM_AARCH64: ((0xFC000000, 0x94000000, 26, 2, 0),),
    t.EM_PPC: ((0xFC000003, 0x48000001, 26, 0, -1),),
    t.EM_MIPS: ((0xFFFF0000, 0x04110000, 16, 2, 4),),
}


def check_lengths(
    sides: Sides, objects: Objects, texts: list[tuple[int, int, int]], added: Callable[[], tuple[Ints, Ints, Mask]]
) -> None:
    """Raises :class:`Refused` for a text (its address, and its lengths with the NUL) whose length may be a number of
    the program. ``sides.at`` and ``sides.pointers`` say where addresses stand, ``added`` what is made of them."""
    if not texts:
        return
    starts, sizes, sizes_b = np.array(sorted(set(texts)), np.int64).T
    begins = None if objects.known else _begins(sides)
    lengths = [
        {size - k for size in {one, min(one, other)} for k in (0, 1)}
        for one, other in zip(sizes.tolist(), sizes_b.tolist(), strict=True)
    ]
    for one, places, targets, reads in (*sides.at, *_sums(sides, added())):
        index, found = _of(starts, sizes, targets)
        if reads[found].any():
            where = [Range(int(x) + one.offset, int(x) + one.offset + 1) for x in places[found][reads[found]][:16]]
            raise Refused(one.name, "a text that changed its length is read by itself, perhaps copied in part", where)
        raw = sides.raw[one.index][0]
        known: dict[tuple[int, int], set[int]] = {}
        for text, at in zip(index.tolist(), places[found].tolist(), strict=True):
            low, high = _function(objects, one, at) if begins is None else _between(begins, one, at)
            if (low, high) not in known:
                known[low, high] = _numbers(sides, one, raw, (low, high), objects.is_thumb(one.addr + low))
            if known[low, high] & lengths[text]:
                where = [Range(at + one.offset, at + one.offset + 1)]
                raise Refused(one.name, "the length of a text that changed may be a number of this function", where)
    if sides.pointers:
        _beside(sides, starts, sizes, lengths)


def _sums(sides: Sides, added: tuple[Ints, Ints, Mask]) -> Iterator[tuple[Part, Ints, Ints, Mask]]:
    """What code makes of addresses by adding to them, in the places where it makes these."""
    base, total, reads = added
    order = np.argsort(base, kind="stable")
    base, total, reads = base[order], total[order], reads[order]
    for one, places, targets, _ in sides.at:
        low, high = np.searchsorted(base, targets, "left"), np.searchsorted(base, targets, "right")
        count = high - low
        at = np.repeat(low - (np.cumsum(count) - count), count) + np.arange(int(count.sum()))
        yield one, np.repeat(places, count), total[at], reads[at]


def _of(starts: Ints, sizes: Ints, targets: Ints) -> tuple[Ints, Ints]:
    """For each target that lies in a text: the text's number and the target's."""
    index = np.searchsorted(starts, targets, "right") - 1
    safe = np.maximum(index, 0)
    found = np.flatnonzero((index >= 0) & (targets < starts[safe] + sizes[safe]))
    return index[found], found


def _begins(sides: Sides) -> Ints:
    """Where functions begin in a file without symbols: what tables of unwinding and symbols say, and direct calls. One
    that neither says belongs to the one before."""
    tables = (".eh_frame", ".ARM.exidx", ".dynsym")
    found = [old for where, old, _ in sides.refs.groups() if where in tables]
    for part, _, entries in sides.code:
        raw = sides.raw[part.index][0]
        if sides.a.header.machine == t.EM_X86_64:
            found.append(_called_x86(raw, entries) + part.addr)
            continue
        words = raw[: len(raw) // 4 * 4].view(">u4" if sides.big else "<u4").astype(np.int64)
        found += _called(sides.a.header.machine, words, part.addr)
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)


def _called_x86(raw: U8, entries: Mask) -> Ints:
    """Where the direct calls of x86-64 code lead, as offsets; not those of what stands close by: they tell a place, or
    are a part of an indirect branch (GCC, -mindirect-branch=thunk-inline)."""
    at = np.flatnonzero(entries[:-1] & (raw == 0xE8))
    at = at[at + 5 <= len(raw)]
    distance = sum((raw[at + 1 + k].astype(np.int64) << 8 * k for k in range(4)), np.zeros(len(at), np.int64))
    distance -= distance >> 31 << 32
    target: Ints = (at + 5 + distance)[np.abs(distance) > _THUNK]
    return target


def _called(machine: int, words: Ints, base: int) -> list[Ints]:
    """Where the direct calls of code of whole words lead; those of the next instruction only tell where they are."""
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


def _between(begins: Ints, one: Part, at: int) -> tuple[int, int]:
    index = int(np.searchsorted(begins, at + one.addr, "right"))
    low = int(begins[index - 1]) if index else 0
    high = int(begins[index]) if index < len(begins) else one.addr + one.size
    return max(low - one.addr, 0), min(high - one.addr, one.size)


def _function(objects: Objects, one: Part, at: int) -> tuple[int, int]:
    known = objects.around(at + one.addr)
    if known is not None and known[0] >= one.addr and known[1] <= one.addr + one.size:
        return known[0] - one.addr, known[1] - one.addr
    return max(at - _NEAR, 0), min(at + _NEAR, one.size)


def _numbers(sides: Sides, one: Part, raw: U8, where: tuple[int, int], thumb: bool | None) -> set[int]:
    low, high = where
    try:
        found = set(numbers(sides.a.header.machine, sides.big, raw[low:high], thumb=thumb).tolist())
        if sides.strides is None:
            return found
        rest = raw[low:high].copy()
        for number in found:
            at = sides.strides(one, number) - low
            for k in at[(at >= 0) & (at < high - low)].tolist():
                rest[k : k + 4] = 0
        return set(numbers(sides.a.header.machine, sides.big, rest, thumb=thumb).tolist())
    except NotDecoded as answer:
        why = "a text that changed its length is used where no function's beginning is known"
        raise Refused(one.name, why, [Range(low + one.offset, high + one.offset)]) from answer


def _beside(sides: Sides, starts: Ints, sizes: Ints, lengths: list[set[int]]) -> None:
    """Fields of data beside a word that holds a text's address."""
    places, targets = np.array(sides.pointers, np.int64).T
    index, found = _of(starts, sizes, targets)
    held: dict[int, set[int]] = {}
    for text, place in zip(index.tolist(), places[found].tolist(), strict=True):
        part = sides.a.section_at(place)
        if part is None or part.index not in sides.raw:
            continue
        if part.index not in held:
            own = places[(places >= part.addr) & (places < part.addr + part.size)]
            held[part.index] = set((own - part.addr).tolist())
        at = place - part.addr
        if fields(sides.raw[part.index][0], at, sides.word, sides.big, held[part.index]) & lengths[text]:
            where = [Range(at + part.offset, at + part.offset + sides.word)]
            raise Refused(part.name, "the length of a text that changed may stand beside its address", where)
