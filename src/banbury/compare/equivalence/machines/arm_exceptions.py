"""Arm's unwinding tables (``.ARM.exidx``, ``.ARM.extab``): functions, handlers, and tables of exceptions behind them.

The index is searched by halves, so its functions stand in order. An entry says in place how to unwind, or that nothing
can, or leads to an entry of the other table: a compact one, or a handler's place, instructions for it, and the
language's table, which compilers write as in ``.gcc_except_table``. Entries fill their section without a gap. All that
is no reference is equal.

Sources: Exception Handling ABI for the Arm Architecture (EHABI32, IHI 0038), 5, 6 and 7; GCC, ``libsupc++``
(eh_personality.cc: on this processor types are always relative and indirect).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import OwnedElf, Part
from banbury.compare.equivalence.machines.contract import Mask, Sides
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_exceptions import PADS, parse

EXIDX = 0x70000001
INDEX, TABLE = ".ARM.exidx", ".ARM.extab"
HANDLERS = f"{TABLE}, handlers"
_OMIT, _INDIRECT = 0xFF, (0x00, 0x90)
_CANNOT = 1


@dataclass
class Unwinding:
    """What the tables of both files refer to. ``masks``: of each section of theirs, by the first file's index."""

    masks: dict[int, Mask] = field(default_factory=dict)


def _relative(words: Ints) -> Ints:
    """The signed distances in the low 31 bits of words (EHABI32, 5: prel31)."""
    out: Ints = (words & 0x7FFFFFFF) - ((words >> 30 & 1) << 31)
    return out


def _words(elf: OwnedElf, part: Part) -> Ints:
    return np.frombuffer(elf.bytes(part), "<u4").astype(np.int64)


def unwinding(sides: Sides) -> Unwinding:
    """Read the tables of both files: references and landing pads go into ``sides``. Raises :class:`Refused`."""
    out = Unwinding()
    found = [(x, y) for x, y in sides.pairs if x.type == EXIDX]
    tables = [(x, y) for x, y in sides.pairs if x.name.startswith(TABLE) and x.size]
    if len(found) > 1 or len(tables) > 1 or (tables and not found):
        raise Refused(INDEX, "several unwinding tables")
    if not found:
        return out
    one, other = found[0]
    for elf, part in ((sides.a, one), (sides.b, other)):
        segment = elf.elf.segment(EXIDX)  # PT_ARM_EXIDX is the same number
        if segment is not None and (segment.vaddr, segment.memsz) != (part.addr, part.size):
            raise Refused(INDEX, "the segment and the section of the index are not the same")
    table = tables[0] if tables else None
    _index(sides, one, other, table, out)
    return out


def _index(sides: Sides, one: Part, other: Part, table: tuple[Part, Part] | None, out: Unwinding) -> None:
    if one.size % 8 or one.addr % 4 or other.addr % 4:
        raise Refused(one.name, "its size is no number of entries")
    words, words_b = _words(sides.a, one), _words(sides.b, other)
    first, second, second_b = words[::2], words[1::2], words_b[1::2]
    if ((first | words_b[::2]) >> 31).any():
        raise Refused(one.name, "an entry that is not known")
    at = np.arange(0, one.size, 8)
    old, new = _relative(first) + at + one.addr, _relative(words_b[::2]) + at + other.addr
    if (np.diff(old) <= 0).any():
        raise Refused(one.name, "its functions are not in order")
    sides.refs.add(one.name, old, new)
    leads = (second >> 31 == 0) & (second != _CANNOT)
    if (leads != ((second_b >> 31 == 0) & (second_b != _CANNOT))).any():
        raise Refused(one.name, "an entry leads to a table in one file only")
    mask = np.zeros(one.size, bool)
    for k in range(4):
        mask[at + k] = True
        mask[at[leads] + 4 + k] = True
    out.masks[one.index] = mask
    if not leads.any():
        if table is not None:
            raise Refused(TABLE, "entries that nothing leads to", [Range(table[0].offset, table[0].end)])
        return
    if table is None:
        raise Refused(one.name, "an entry leads to no table")
    places = _relative(second[leads]) + at[leads] + 4 + one.addr
    places_b = _relative(second_b[leads]) + at[leads] + 4 + other.addr
    sides.refs.add(f"{one.name}, entries", places, places_b)
    after = np.append(old[1:], np.int64(1) << 32)
    rows = np.stack((places, old[leads], new[leads], after[leads]), axis=1)
    _Entries(sides, *table).read(rows[np.argsort(places, kind="stable")], out)


class _Entries:
    """The entries that the index leads to, in order of place."""

    def __init__(self, sides: Sides, one: Part, other: Part) -> None:
        if one.size != other.size or one.addr % 4 or other.addr % 4:
            raise Refused(TABLE, "its size differs, or it begins with no word")
        self.sides, self.one, self.other = sides, one, other
        self.raw, self.raw_b = sides.a.bytes(one), sides.b.bytes(other)
        self.mask = np.zeros(one.size, bool)
        self.handlers: list[tuple[int, int]] = []
        self.types: list[tuple[int, int]] = []
        self.pads: list[tuple[int, int]] = []

    def read(self, rows: Ints, out: Unwinding) -> None:
        """``rows``: the place of each entry, its function in both files, and the function behind in the first."""
        end = 0
        for place, function, function_b, after in rows.tolist():
            if place - self.one.addr != end:
                raise self._refuse("an entry that nothing leads to, or that two functions have", end)
            end = self._entry(end, function, function_b, after)
        if end != self.one.size:
            raise self._refuse("an entry that nothing leads to", end)
        for where, pairs in ((HANDLERS, self.handlers), (f"{TABLE}, types", self.types), (PADS, self.pads)):
            old, new = np.array(pairs, np.int64).reshape(-1, 2).T
            self.sides.refs.add(where, old, new)
        out.masks[self.one.index] = self.mask

    def _refuse(self, why: str, at: int) -> Refused:
        return Refused(TABLE, why, [Range(self.one.offset + at, self.one.offset + min(at + 4, self.one.size))])

    def _word(self, at: int) -> int:
        if at + 4 > len(self.raw):
            raise self._refuse("an entry that runs out of the section", min(at, len(self.raw)))
        return int.from_bytes(self.raw[at : at + 4], "little")

    def _entry(self, at: int, function: int, function_b: int, after: int) -> int:
        """Read the entry at offset ``at``; returns where it ends."""
        word = self._word(at)
        if word >> 31:  # compact: unwinding instructions, and a list of descriptors, which is empty
            more = word >> 16 & 0xFF if word >> 24 in (0x81, 0x82) else 0
            stop = at + 4 + 4 * more
            if word >> 24 not in (0x80, 0x81, 0x82) or self._word(stop):
                raise self._refuse("a compact entry that is not known", at)
            return stop + 4
        self.handlers.append(self._prel31(at))
        start = at + 8 + 4 * (self._word(at + 4) >> 24)
        return self._language(start, function, function_b, after)

    def _prel31(self, at: int) -> tuple[int, int]:
        """The address in the word at ``at`` of both files, which is then a reference."""
        held = [int.from_bytes(raw[at : at + 4], "little") for raw in (self.raw, self.raw_b)]
        if any(word >> 31 for word in held):
            raise self._refuse("an entry of another kind in one file", at)
        self.mask[at : at + 4] = True
        old, new = (
            (word - ((word >> 30 & 1) << 31) + part.addr + at) & 0xFFFFFFFF
            for word, part in zip(held, (self.one, self.other), strict=True)
        )
        return old, new

    def _language(self, at: int, function: int, function_b: int, after: int) -> int:
        """The language's table at ``at``: its landing pads and types; returns where the next entry may begin."""
        table = parse(self.raw, at, 4, "little", listed=True)
        if table.types and table.encoding not in _INDIRECT:
            raise self._refuse("an encoding of types that is not known here", at)
        before = 0
        for start, stop, pad in table.sites:
            if not before <= start < stop <= after - function:
                raise self._refuse("call sites that are not in order", at)
            before = stop
            self.pads.append((function + pad, function_b + pad))
            self.sides.pads.append((function + start, function + stop, function + pad))
        for place in sorted(table.types):
            self._type(place)
        end = min(-(-table.end // 4) * 4, len(self.raw))
        if any(self.raw[table.end : end]):
            raise self._refuse("bytes behind a table of exceptions", table.end)
        return end

    def _type(self, at: int) -> None:
        held = [int.from_bytes(raw[at : at + 4], "little", signed=True) for raw in (self.raw, self.raw_b)]
        if not any(held):
            return
        if not all(held):
            raise self._refuse("a type is caught in one file, and everything in the other", at)
        self.types.append((held[0] + self.one.addr + at, held[1] + self.other.addr + at))
        self.mask[at : at + 4] = True
