"""Tables of exceptions (``.gcc_except_table``): where they are entered, and the types that are caught.

Each frame that has one names its table. A table's call sites and landing pads are distances within the function, which
moves as a whole, so that their bytes are equal; each pad is a reference into code, and an edge for machines that follow
values. The types stand before the table's base, by number: each that an action or a list of types reaches is a
reference; all other bytes are equal.

Sources: LSB Core 5.0, 10.5 (encodings); Itanium C++ ABI, Exception Handling; GCC, ``libsupc++/eh_personality.cc`` and
LLVM, "Exception Handling Tables" for the table, which no standard describes (facts only).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.contract import Sides

NAME = ".gcc_except_table"
PADS = f"{NAME}, landing pads"
_ULEB, _UDATA4, _OMIT = 0x01, 0x03, 0xFF
_SIZES = {0x00: 0, 0x03: 4, 0x0B: 4, 0x04: 8, 0x0C: 8}
_PCREL, _INDIRECT = 0x10, 0x80


@dataclass
class Table:
    """One table: call sites with pads (start and end within the function, pad), the places of its types in the section
    with their encoding, and where it ends."""

    sites: list[tuple[int, int, int]] = field(default_factory=list)
    types: set[int] = field(default_factory=set)
    encoding: int = _OMIT
    end: int = 0


class _Reader:
    """A cursor that stays within the section. Raises :class:`Refused`."""

    def __init__(self, raw: bytes, at: int) -> None:
        self.raw, self.at = raw, at

    def byte(self) -> int:
        if not 0 <= self.at < len(self.raw):
            raise Refused(NAME, "a table that runs out of the section")
        self.at += 1
        return self.raw[self.at - 1]

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 63:
                raise Refused(NAME, "a number that is too long")

    def signed(self) -> int:
        before = self.at
        value = self.unsigned()
        bits = 7 * (self.at - before)
        return value - (1 << bits) if value >> (bits - 1) & 1 else value

    def word(self, order: Literal["big", "little"]) -> int:
        return int.from_bytes(bytes(self.byte() for _ in range(4)), order)


def parse(raw: bytes, at: int, word: int, order: Literal["big", "little"], *, listed: bool = False) -> Table:
    """The table at offset ``at`` of the section ``raw``. ``listed``: lists of types hold the types themselves, as words
    (Arm; GCC, ``libsupc++``, check_exception_spec). Raises :class:`Refused` for anything that is not known."""
    reader, table = _Reader(raw, at), Table()
    if reader.byte() != _OMIT:
        raise Refused(NAME, "landing pads that count from elsewhere than the function's start")
    table.encoding = reader.byte()
    base = 0
    if table.encoding != _OMIT:
        base = reader.unsigned()
        base += reader.at
    encoding = reader.byte()
    if encoding not in (_ULEB, _UDATA4):
        raise Refused(NAME, "an encoding of call sites that is not known here")
    length = reader.unsigned()
    actions = reader.at + length
    if actions > len(raw):
        raise Refused(NAME, "a table that runs out of the section")
    first = set()
    while reader.at < actions:
        start, size, pad = (reader.unsigned() if encoding == _ULEB else reader.word(order) for _ in range(3))
        action = reader.unsigned()
        if pad:
            table.sites.append((start, start + size, pad))
        if action:
            first.add(actions + action - 1)
    if reader.at != actions:
        raise Refused(NAME, "call sites that end within an entry")
    filters, table.end = _filters(raw, actions, first)
    if table.encoding != _OMIT and (filters or base > table.end):
        _types(raw, table, actions, base, filters, word, listed=listed)
    elif any(filters):
        raise Refused(NAME, "a type without a table of types")
    return table


def _filters(raw: bytes, actions: int, first: set[int]) -> tuple[set[int], int]:
    """The numbers of types and lists that the actions name, and where the actions end."""
    filters, seen, end = set[int](), set[int](), actions
    todo = list(first)
    while todo:
        at = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        reader = _Reader(raw, at)
        filters.add(reader.signed())
        place = reader.at
        step = reader.signed()
        end = max(end, reader.at)
        if step:
            todo.append(place + step)
        if todo and todo[-1] < actions:
            raise Refused(NAME, "an action outside of its table")
    return filters - {0}, end


def _types(raw: bytes, table: Table, actions: int, base: int, filters: set[int], word: int, *, listed: bool) -> None:
    """Enter the places of the types: by number before the base, or by a list behind it."""
    size = _SIZES.get(table.encoding & 0x0F)
    if size is None or table.encoding & 0x70 not in (0, _PCREL) or not table.end <= base <= len(raw):
        raise Refused(NAME, "an encoding of types that is not known here")
    size = size or word
    numbers, end = {f for f in filters if f > 0}, base
    for number in filters - numbers:
        if listed:
            end = max(end, _list(raw, table, base - 4 * (number + 1)))
            continue
        reader = _Reader(raw, base - number - 1)
        while value := reader.unsigned():
            numbers.add(value)
        end = max(end, reader.at)
    numbers |= _unused(raw, actions, base, size)
    for number in numbers:
        if base - size * number < table.end:
            raise Refused(NAME, "a type that is not in the table")
        table.types.add(base - size * number)
    table.end = end


def _list(raw: bytes, table: Table, at: int) -> int:
    """Enter the types of a list of words that ends in zero; returns where it ends (0 where that was found before)."""
    while any(word := raw[at : at + 4]):
        if at in table.types:
            return 0
        table.types.add(at)
        at += 4
    if len(word) < 4:
        raise Refused(NAME, "a table that runs out of the section")
    return at + 4


def _unused(raw: bytes, actions: int, base: int, size: int) -> set[int]:
    """Types that only actions name which no call site leads to (the other part of a function that was split)."""
    reader, most = _Reader(raw, actions), 0
    while reader.at < base - size * most:
        number = reader.signed()
        reader.signed()
        if base - size * number < reader.at:
            break
        most = max(most, number)
    return set(range(1, most + 1))


def exceptions(sides: Sides, frames: list[tuple[int, int, int, int]]) -> Part | None:
    """Read the tables that ``frames`` name (function and table, in both files): enter their types and landing pads as
    references, and the pads in ``sides.pads``. Returns the section. Raises :class:`Refused`."""
    found = [(x, y) for x, y in sides.pairs if x.name.startswith(NAME) and x.size]
    if not found:
        if frames:
            raise Refused(".eh_frame", "language data that is in no table of exceptions")
        return None
    if len(found) > 1 or found[0][0].name != NAME:
        raise Refused(NAME, "several tables of exceptions")
    one, other = found[0]
    raw = sides.a.bytes(one)
    order: Literal["big", "little"] = "big" if sides.big else "little"
    old: list[int] = []
    new: list[int] = []
    end = 0
    for function, function_b, place, place_b in sorted(frames, key=lambda f: f[2]):
        at = place - one.addr
        if not end <= at < len(raw) or place_b - place != other.addr - one.addr:
            raise Refused(NAME, "a frame's table of exceptions is in no place of its own")
        table = parse(raw, at, sides.word, order)
        end = table.end
        for start, stop, pad in table.sites:
            old.append(function + pad)
            new.append(function_b + pad)
            sides.pads.append((function + start, function + stop, function + pad))
        _enter(sides, one, other, table)
    sides.refs.add(PADS, np.array(old, np.int64), np.array(new, np.int64))
    return one


def _enter(sides: Sides, one: Part, other: Part, table: Table) -> None:
    """The types of one table. Addresses without a place (absolute) are the relocations' where there are any."""
    relative = table.encoding & 0x70 == _PCREL
    if not table.types or (not relative and sides.image is None):
        return
    size = _SIZES[table.encoding & 0x0F] or sides.word
    order: Literal["big", "little"] = "big" if sides.big else "little"
    mask = sides.masks[one.index]
    for at in sorted(table.types):
        held = [int.from_bytes(r[at : at + size].tobytes(), order, signed=relative) for r in sides.raw[one.index]]
        if not any(held):
            continue
        if not all(held):
            raise Refused(NAME, "a type is caught in one file, and everything in the other")
        base, base_b = (one.addr + at, other.addr + at) if relative else (0, 0)
        sides.refs.one(f"{NAME}, types", held[0] + base, held[1] + base_b)
        mask[at : at + size] = True


def rows_of_pads(sides: Sides, one: Part, calls: np.typing.NDArray[np.int64]) -> list[tuple[int, int]]:
    """For code of words: the rows of calls (of ``calls``, sorted) that may not return but enter a landing pad, and the
    pads' rows. Raises :class:`Refused` for a pad that no call leads to."""
    out = []
    for start, stop, pad in sides.pads:
        if one.addr <= pad < one.addr + one.size:
            low, high = np.searchsorted(calls, [-(-(start - one.addr) // 4), -(-(stop - one.addr) // 4)])
            if low == high or pad % 4:
                raise Refused(one.name, "a landing pad that no call leads to")
            out += [(row, (pad - one.addr) // 4) for row in calls[low:high].tolist()]
    return out
