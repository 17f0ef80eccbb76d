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
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.contract import U8, Mask, Sides
from banbury.compare.equivalence.machines.numbers import numbers
from banbury.compare.equivalence.machines.stretches import Bounds, Stretches
from banbury.compare.equivalence.machines.x86_64_joined import Jumps
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_fields import fields
from banbury.compare.equivalence.relayout_objects import Objects
from banbury.compare.equivalence.relayout_uses import Element, Extents, constants, holders, pointers
from banbury.compare.equivalence.text_measures import parts, whole
from banbury.formats import _elf_types as t

_NEAR: Final = 512  # bytes looked at on both sides where no symbol says which function it is
_MOST: Final = 1 << 20  # uses of tables that hold texts, and elements of tables, that are looked at
_AT_ONCE: Final = 1 << 18  # bytes of code that are looked at together
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
    if texts:
        _Check(sides, objects, texts, added()).run()


@dataclass
class _Function:
    """One that uses texts: those ``made`` and those ``loaded`` by a pointer (offsets in it), each text's number with
    where it is used, and which elements of tables hold one."""

    made: list[int] = field(default_factory=list)
    loaded: list[int] = field(default_factory=list)
    texts: dict[int, int] = field(default_factory=dict)
    elements: set[Element] = field(default_factory=set)


class _Check:
    def __init__(
        self, sides: Sides, objects: Objects, texts: list[tuple[int, int, int]], added: tuple[Ints, Ints, Mask]
    ) -> None:
        self.sides, self.objects = sides, objects
        self.starts, self.sizes, _ = np.array(sorted(set(texts)), np.int64).T
        self.addresses = frozenset(self.starts.tolist())
        self.begins = None if objects.known else _begins(sides)
        self.lengths = [self._measures(*text) for text in sorted(set(texts))]
        self.made = [*sides.at, *_sums(sides, added)]
        self.extents = Extents(sides, objects)
        self.sorted: dict[int, tuple[Ints, Ints, Mask]] = {}  # what each section makes, by its places
        self.functions: dict[tuple[int, int, int], _Function] = {}
        self.jumps: dict[int, Jumps] = {}

    def _measures(self, address: int, size: int, size_b: int) -> set[int]:
        part = self.sides.a.section_at(address)
        old = b""
        if part is not None and part.index in self.sides.raw:
            at = address - part.addr
            old = self.sides.raw[part.index][0][at : at + size - 1].tobytes()
        new = self.sides.pair.declared.apply(old)[0]
        return whole(size, size_b) | parts(old, new) | (parts(new, old) if size_b < size else set())

    def run(self) -> None:
        for one, places, targets, reads in self.made:
            index, found = _of(self.starts, self.sizes, targets)
            if reads[found].any():
                where = [Range(int(x) + one.offset, int(x) + one.offset + 1) for x in places[found][reads[found]][:16]]
                raise Refused(
                    one.name, "a text that changed its length is read by itself, perhaps copied in part", where
                )
            for text, at in zip(index.tolist(), places[found].tolist(), strict=True):
                function = self._function(one, at)
                function.made.append(at)
                function.texts[text] = at
        words, addresses = pointers(self.sides)
        index, found = _of(self.starts, self.sizes, addresses)
        if len(found):
            self._held(words[found], index)
            _beside(self.sides, words, (index, found), self.lengths)
        parts = {one.index: one for one, _, _, _ in self.made}
        for number, group in groupby(sorted(self.functions), key=lambda x: x[0]):
            self._section(parts[number], [(low, high) for _, low, high in group])

    def _held(self, words: Ints, texts: Ints) -> None:
        """Functions that use a text by a word that holds its address."""
        targets = np.concatenate([x for _, _, x, _ in self.made])
        order = np.argsort(targets, kind="stable")
        targets = targets[order]
        begin = np.cumsum([0, *(len(x) for _, _, x, _ in self.made)])
        left = _MOST
        for holder in holders(self.sides, self.extents, words, texts):
            count = (holder.high - holder.low) // self.sides.word
            element = Element((holder.place - holder.low) // self.sides.word, count)
            low, high = np.searchsorted(targets, (holder.low, holder.high))
            left -= int(high - low)
            if left < 0:
                raise Refused("code", "texts that changed their length are used in too many places to look at")
            for number in order[low:high].tolist():
                which = int(np.searchsorted(begin, number, "right")) - 1
                one, places, made, reads = self.made[which]
                row = number - int(begin[which])
                at = int(places[row])
                function = self._function(one, at)
                function.texts[holder.text] = at
                function.elements.add(element)
                if made[row] == holder.place and reads[row]:
                    function.loaded.append(at)

    def _function(self, one: Part, at: int) -> _Function:
        return self.functions.setdefault((one.index, *self._bounds(one, at)), _Function())

    def _section(self, one: Part, functions: list[Bounds]) -> None:
        """Look at the functions of a section, so many at a time."""
        wanted = np.array(sorted(set().union(*self.lengths)), np.int64)
        arm = self.sides.a.header.machine == t.EM_ARM
        left = [(bounds, self._stretches(one, bounds)) for bounds in functions]
        while left:
            sizes = np.cumsum([sum(high - low for low, high in stretches) for _, stretches in left])
            some = max(1, int(np.searchsorted(sizes, _AT_ONCE)))
            code = None if arm else self._decoded(one, {x for _, stretches in left[:some] for x in stretches}, wanted)
            for bounds, stretches in left[:some]:
                self._check(one, bounds, stretches, code)
            left = left[some:]

    def _decoded(self, one: Part, stretches: set[Bounds], wanted: Ints) -> Stretches:
        raw = self.sides.raw[one.index][0]
        try:
            return Stretches(
                self.sides.a.header.machine, self.sides.big, raw, one.addr, stretches, wanted, self.sides.image
            )
        except NotDecoded as answer:
            raise _unknown(one, min(stretches)) from answer

    def _check(self, one: Part, bounds: Bounds, stretches: list[Bounds], code: Stretches | None) -> None:
        function = self.functions[one.index, *bounds]
        known: set[int] = set()
        for stretch in stretches:
            known |= _numbers(self.sides, one, stretch, code, self.objects.is_thumb(one.addr + stretch[0]))
        addresses = self._addresses(one, bounds)
        if len(addresses[0]) * len(function.elements) > _MOST:
            raise Refused(one.name, "texts that changed their length are in too many tables to look at")
        known |= constants(self.sides, self.extents, addresses, function.elements, self.addresses)
        for text, at in function.texts.items():
            if known & self.lengths[text]:
                where = [Range(at + one.offset, at + one.offset + 1)]
                raise Refused(one.name, "the length of a text that changed may be a number of this function", where)
        if code is None or not (function.made or function.loaded):
            return
        try:
            read = code.function(stretches).read(function.made, function.loaded)
        except NotDecoded:
            read = True
        if read:
            where = [Range(bounds[0] + one.offset, bounds[1] + one.offset)]
            raise Refused(one.name, "a text that changed its length is read through a register of this function", where)

    def _stretches(self, one: Part, bounds: Bounds) -> list[Bounds]:
        """The function at ``bounds`` with what a compiler has put elsewhere of it."""
        entries = next((x for part, _, x in self.sides.code if part.index == one.index), None)
        if self.sides.a.header.machine != t.EM_X86_64 or entries is None:
            return [bounds]
        if one.index not in self.jumps:
            self.jumps[one.index] = Jumps(self.sides.raw[one.index][0], entries)
        joined = self.jumps[one.index].joined(bounds, lambda at: self._known(one, at))
        return [stretch for stretch in joined if stretch[0] < stretch[1]]

    def _known(self, one: Part, at: int) -> tuple[int, int]:
        """The function that an offset is in; nothing of what no symbol or record says is one (a linkage table)."""
        if self.begins is not None or self.objects.around(at + one.addr) is not None:
            return self._bounds(one, at)
        return at, at

    def _bounds(self, one: Part, at: int) -> tuple[int, int]:
        return _function(self.objects, one, at) if self.begins is None else _between(self.begins, one, at)

    def _addresses(self, one: Part, bounds: tuple[int, int]) -> tuple[Ints, Mask]:
        """The addresses that the code of a function makes, and whether it reads there."""
        if one.index not in self.sorted:
            own = [(places, targets, reads) for part, places, targets, reads in self.made if part is one]
            places, targets, reads = (np.concatenate(x) for x in zip(*own, strict=True))
            order = np.argsort(places, kind="stable")
            self.sorted[one.index] = places[order], targets[order], reads[order]
        places, targets, reads = self.sorted[one.index]
        low, high = np.searchsorted(places, bounds)
        return targets[low:high], reads[low:high]


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


def _numbers(sides: Sides, one: Part, where: Bounds, code: Stretches | None, thumb: bool | None) -> set[int]:
    """The numbers of a stretch, of those that are looked for; of 32-bit Arm (without ``code``) all."""
    raw = sides.raw[one.index][0]
    try:
        if code is None:
            found = numbers(sides.a.header.machine, sides.big, raw[where[0] : where[1]], sides.image, thumb=thumb)
            return set(found.tolist())
        places, values = code.numbers(where)
    except NotDecoded as answer:
        raise _unknown(one, where) from answer
    if sides.strides is None or not len(values):
        return set(values.tolist())
    sizes = np.concatenate([sides.strides(one, number) for number in np.unique(values).tolist()])
    return set(values[~np.isin(places, sizes)].tolist())


def _unknown(one: Part, where: Bounds) -> Refused:
    why = "a text that changed its length is used where no function's beginning is known"
    return Refused(one.name, why, [Range(where[0] + one.offset, where[1] + one.offset)])


def _beside(sides: Sides, places: Ints, texts: tuple[Ints, Ints], lengths: list[set[int]]) -> None:
    """Fields of data beside a word that holds a text's address. ``places``: of words that hold addresses; ``texts``:
    numbers of texts, and of the words that hold their addresses."""
    index, found = texts
    held: dict[int, set[int]] = {}
    for text, place in zip(index.tolist(), places[found].tolist(), strict=True):
        part = sides.a.section_at(place)
        if part is None or part.index not in sides.raw or part.name.startswith(".got"):
            continue
        if part.index not in held:
            own = places[(places >= part.addr) & (places < part.addr + part.size)]
            held[part.index] = set((own - part.addr).tolist())
        at = place - part.addr
        if fields(sides.raw[part.index][0], at, sides.word, sides.big, held[part.index]) & lengths[text]:
            where = [Range(at + part.offset, at + part.offset + sides.word)]
            raise Refused(part.name, "the length of a text that changed may stand beside its address", where)
