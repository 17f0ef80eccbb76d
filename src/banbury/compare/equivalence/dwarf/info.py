"""Units and entries of .debug_info and .debug_types.

Sources: DWARF 5, chapter 7.5 (forms: table 7.6; classes of attributes: table 7.5); DWARF 4 and 2, the same chapter;
GCC's extensions as ``include/dwarf2.def`` lists their numbers.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct

from banbury.compare.equivalence.dwarf.expression import addresses
from banbury.compare.equivalence.dwarf.reader import after_leb, number, text_end, uleb, unit
from banbury.compare.equivalence.dwarf.shape import (
    ADDRESS,
    ENTRY,
    I64,
    LINE_STRING,
    LINES,
    LIST,
    LOCAL,
    STRING,
    TEXT,
    Malformed,
    Walk,
)  # fmt: skip

#: Entries in one side's debug information that are walked at most (some five seconds).
MOST_ENTRIES: Final = 12_000_000
_LEB, _TEXT, _BLOCK1, _BLOCK2, _BLOCK4, _BLOCK, _EXPRESSION = range(7)
_STMT_LIST: Final = 0x10
#: Attributes whose value may be a list of locations (DWARF 5, table 7.5, class loclist).
_LOCATED: Final = frozenset((0x02, 0x19, 0x2A, 0x38, 0x40, 0x46, 0x48, 0x4A, 0x4D))
#: Forms of a size of their own, in bytes, whose bytes are compared as they stand.
_PLAIN: Final = {0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x1E: 16, 0x0C: 1, 0x19: 0, 0x21: 0, 0x20: 8,
                 0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4, 0x29: 1, 0x2A: 2, 0x2B: 3, 0x2C: 4, 0x1C: 4, 0x24: 8}  # fmt: skip
_VARIABLE: Final = {0x0D: _LEB, 0x0F: _LEB, 0x1A: _LEB, 0x1B: _LEB, 0x22: _LEB, 0x23: _LEB, 0x1F01: _LEB,
                    0x1F02: _LEB, 0x08: _TEXT, 0x0A: _BLOCK1, 0x03: _BLOCK2, 0x04: _BLOCK4, 0x09: _BLOCK,
                    0x18: _EXPRESSION, 0x15: _LEB}  # fmt: skip
_LOCALS: Final = {0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8}

#: A fixed stretch: its fields (place within it, size, kind), its size, and the variable form behind it (-1: none).
Stretch = tuple[tuple[tuple[int, int, int], ...], int, int]


class Head(Struct, frozen=True):
    """What an entry's layout depends on."""

    version: int
    offset: int
    address: int
    lists: bool = False  # whether lists of locations are to be found


def abbreviations(raw: bytes, at: int, head: Head) -> tuple[dict[int, tuple[Stretch, ...]], int]:
    """The table of abbreviations at ``at``: each code with its plan; and its end. Raises :class:`Malformed`."""
    out: dict[int, tuple[Stretch, ...]] = {}
    while True:
        code, at = uleb(raw, at)
        if not code:
            return out, at
        _, at = uleb(raw, at)
        at += 1
        forms = []
        while True:
            name, at = uleb(raw, at)
            form, at = uleb(raw, at)
            if form == 0x21:
                at = after_leb(raw, at)
            if not name and not form:
                break
            forms.append((name, form))
        if code in out:
            raise Malformed("a code that two abbreviations have", at)
        out[code] = _plan(forms, head)


def _plan(forms: list[tuple[int, int]], head: Head) -> tuple[Stretch, ...]:
    out: list[Stretch] = []
    fields: list[tuple[int, int, int]] = []
    size = 0
    for name, form in forms:
        if form in _VARIABLE:
            out.append((tuple(fields), size, _VARIABLE[form]))
            fields, size = [], 0
            continue
        kind, width = _fixed(name, form, head)
        if kind >= 0:
            fields.append((size, width, kind))
        size += width
    out.append((tuple(fields), size, -1))
    return tuple(out)


def _fixed(name: int, form: int, head: Head) -> tuple[int, int]:
    """(kind or -1, size) of an attribute of fixed size."""
    if form in (0x0E, 0x1F):
        return (STRING if form == 0x0E else LINE_STRING), head.offset
    if form == 0x01:
        return ADDRESS, head.address
    if form == 0x10:
        return ENTRY, head.address if head.version == 2 else head.offset
    if form in _LOCALS:
        return LOCAL, _LOCALS[form]
    if head.lists and head.version == 5 and form == 0x17 and name in _LOCATED:
        return LIST, head.offset
    lines = name == _STMT_LIST and (form == 0x17 or (form in (0x06, 0x07) and head.version < 4))
    size = head.offset if form in (0x17, 0x1D, 0x1F20, 0x1F21) else _PLAIN.get(form, -1)
    if size >= 0:
        return (LINES if lines else -1), size
    raise Malformed(f"the form {form:#x} is not known")


def _enter(walk: Walk, begin: int, bases: list[int], fields: tuple[tuple[int, int, int], ...]) -> None:
    """The fields of all entries of one fixed stretch, which begin (behind their codes) at ``bases``."""
    if len(bases) < 8:
        for base in bases:
            for rel, size, kind in fields:
                walk.add(base + rel, size, kind, begin if kind == LOCAL else 0)
        return
    places = np.array(bases, np.int64)
    for rel, size, kind in fields:
        walk.many(places + rel, size, kind, begin if kind == LOCAL else 0)


class InfoWalker:
    """Walks one side's section. ``moved``: whether addresses in expressions, and lists of locations, are to be found
    too."""

    def __init__(self, abbrev: bytes, order: str, *, types: bool, moved: bool) -> None:
        self.abbrev, self.order, self.types, self.moved = abbrev, order, types, moved
        self._tables: dict[tuple[int, Head], dict[int, tuple[Stretch, ...]]] = {}
        self.entries = self._address = self._read = 0

    def __call__(self, raw: bytes) -> Walk:
        walk = Walk(raw, self.order)
        units: list[int] = []
        starts: list[I64] = []
        at = 0
        self.entries = 0
        while at < len(raw):
            units.append(at)
            at, found = self._unit(walk, at)
            starts.append(found)
        walk.units = np.array(units, np.int64)
        walk.entries = np.concatenate(starts) if starts else np.zeros(0, np.int64)
        return walk.done()

    def _unit(self, walk: Walk, begin: int) -> tuple[int, I64]:
        raw, order = walk.raw, self.order
        at, end, offset = unit(walk, begin)
        version = number(raw, at, 2, order)
        if not 2 <= version <= 5:
            raise Malformed(f"a unit of version {version}", at)
        kind = 2 if self.types else 1
        if version == 5:
            kind, address = raw[at + 2], raw[at + 3]
            table = number(raw, at + 4, offset, order)
            at += 4 + offset
        else:
            table, address = number(raw, at + 2, offset, order), raw[at + 2 + offset]
            at += 3 + offset
        if address not in (4, 8) or kind not in (1, 2, 3, 4, 5, 6):
            raise Malformed("a unit of an unknown kind or size of address", at)
        if kind in (4, 5):
            at += 8  # the identity of a split unit
        elif kind in (2, 6):
            walk.add(at + 8, offset, LOCAL, begin)
            at += 8 + offset
        head = Head(version, offset, address, self.moved)
        self._address = address
        plans = self._tables.get((table, head))
        if plans is None:
            plans, stop = abbreviations(self.abbrev, table, head)
            self._tables[table, head] = plans
            self._read += stop - table
            if self._read > 4 * len(self.abbrev):  # tables that overlap would be read again and again
                raise Malformed("more abbreviations than are read here", at)
        return end, self._entries(walk, begin, at, end, plans)

    def _entries(self, walk: Walk, begin: int, at: int, end: int, plans: dict[int, tuple[Stretch, ...]]) -> I64:
        """Every entry of one unit. Entries of one fixed stretch are only counted here, and their fields found later."""
        raw = walk.raw
        simple = {c: p[0][1] for c, p in plans.items() if len(p) == 1 and c < 128}
        found: dict[int, list[int]] = {c: [] for c in simple if plans[c][0][0]}
        starts: list[int] = []
        push = starts.append
        room = MOST_ENTRIES - self.entries
        while at < end:
            push(at)
            code = raw[at]
            if code in simple:
                if code in found:
                    found[code].append(at + 1)
                at += 1 + simple[code]
            elif not code:
                at += 1
            else:
                if code >= 128:
                    code, at = uleb(raw, at)
                else:
                    at += 1
                at = self._long(walk, begin, at, end, plans[code])
            if len(starts) > room:
                raise Malformed("more entries than are walked here", at)
        if at != end:
            raise Malformed("an entry runs out of its unit", at)
        self.entries += len(starts)
        for code, bases in found.items():
            _enter(walk, begin, bases, plans[code][0][0])
        return np.array(starts, np.int64)

    def _long(self, walk: Walk, begin: int, at: int, end: int, plan: tuple[Stretch, ...]) -> int:
        """An entry with attributes of variable size; returns its end."""
        raw = walk.raw
        for fields, size, form in plan:
            for rel, width, kind in fields:
                walk.add(at + rel, width, kind, begin if kind == LOCAL else 0)
            at += size
            if form == _LEB:
                while raw[at] >= 0x80:
                    at += 1
                at += 1
            elif form == _TEXT:
                stop = text_end(raw, at, end)
                walk.add(at, stop - at, TEXT)
                at = stop
            elif form >= 0:
                at = self._block(walk, at, form)
        return at

    def _block(self, walk: Walk, at: int, form: int) -> int:
        raw = walk.raw
        if form in (_BLOCK, _EXPRESSION):
            size, at = uleb(raw, at)
        else:
            width = {_BLOCK1: 1, _BLOCK2: 2, _BLOCK4: 4}[form]
            size, at = number(raw, at, width, self.order), at + width
        if at + size > len(raw):
            raise IndexError(at)
        if self.moved and raw.find(b"\x03", at, at + size) >= 0:
            for place, width in addresses(raw, at, at + size, self._address):
                walk.add(place, width, ADDRESS)
        return at + size
