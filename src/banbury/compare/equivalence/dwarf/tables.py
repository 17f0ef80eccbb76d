"""The smaller tables of debug information: who holds addresses, offsets and names where.

Sources: DWARF 5, chapters 6.1 (names, address ranges), 6.3 (macros), 6.4 (frames), 7.25 to 7.29 (lists); DWARF 4, 2.6.2
and 2.17.3 (lists without headers).
"""

from __future__ import annotations

import numpy as np

from banbury.compare.equivalence.dwarf.expression import addresses
from banbury.compare.equivalence.dwarf.reader import after_leb, number, text_end, uleb, unit
from banbury.compare.equivalence.dwarf.shape import (
    ADDRESS,
    ENTRY,
    I64,
    LINES,
    STRING,
    TEXT,
    Malformed,
    Walk,
)  # fmt: skip


class Tables:
    """Walkers of one side's tables. ``order``: byte order; ``width``: size of an address; ``moved``: whether addresses
    are to be found. ``located``: where .debug_info says that lists of locations begin."""

    def __init__(self, order: str, width: int, *, moved: bool) -> None:
        self.order, self.width, self.moved = order, width, moved
        self.located: I64 = np.zeros(0, np.int64)

    def plain(self, raw: bytes) -> Walk:
        """A section whose bytes are compared as they stand."""
        return Walk(raw, self.order).done()

    def aranges(self, raw: bytes) -> Walk:
        walk = Walk(raw, self.order)
        at = 0
        while at < len(raw):
            begin = at
            at, end, offset = unit(walk, at)
            walk.add(at + 2, offset, ENTRY)
            width = raw[at + 2 + offset]
            at += 4 + offset
            if width not in (4, 8) or raw[at - 1]:
                raise Malformed("ranges of another size of address, or of segments", at)
            at = begin + -(-(at - begin) // (2 * width)) * 2 * width
            self._pairs(walk, at, end, width, 1)
            at = end
        return walk.done()

    def _pairs(self, walk: Walk, at: int, end: int, width: int, which: int) -> None:
        """Tuples of two words, the first ``which`` of which are addresses."""
        if end < at or (end - at) % (2 * width):
            raise Malformed("it ends within a pair", at)
        if self.moved:
            for n in range(which):
                walk.many(np.arange(at + n * width, end, 2 * width, dtype=np.int64), width, ADDRESS)

    def ranges(self, raw: bytes) -> Walk:
        """Before version 5: pairs of offsets from a base, or a mark and a base, or two addresses."""
        walk = Walk(raw, self.order)
        self._pairs(walk, 0, len(raw), self.width, 2)
        return walk.done()

    def addr(self, raw: bytes) -> Walk:
        walk = Walk(raw, self.order)
        at = 0
        while at < len(raw):
            at, end, _ = unit(walk, at)
            width = raw[at + 2]
            at += 4
            if width not in (4, 8) or (end - at) % width:
                raise Malformed("addresses of another size", at)
            if self.moved:
                walk.many(np.arange(at, end, width, dtype=np.int64), width, ADDRESS)
            at = end
        return walk.done()

    def offsets(self, raw: bytes) -> Walk:
        """Offsets of strings, by their number."""
        walk = Walk(raw, self.order)
        at = 0
        while at < len(raw):
            at, end, offset = unit(walk, at)
            if number(raw, at, 2, self.order) != 5 or (end - at - 4) % offset:
                raise Malformed("no table of version 5", at)
            walk.many(np.arange(at + 4, end, offset, dtype=np.int64), offset, STRING)
            at = end
        return walk.done()

    def names(self, raw: bytes) -> Walk:
        """.debug_pubnames and its like, also GNU's (which have a byte of flags): the unit, and names of entries."""
        return self._names(raw, 0)

    def gnu_names(self, raw: bytes) -> Walk:
        return self._names(raw, 1)

    def _names(self, raw: bytes, flags: int) -> Walk:
        walk = Walk(raw, self.order)
        at = 0
        while at < len(raw):
            at, end, offset = unit(walk, at)
            walk.add(at + 2, offset, ENTRY)
            at += 2 + 2 * offset
            while number(raw, at, offset, self.order):
                at += offset + flags
                stop = text_end(raw, at, end)
                walk.add(at, stop - at, TEXT)
                at = stop
            if at + offset != end:
                raise Malformed("names run out of their unit, or something follows them", at)
            at = end
        return walk.done()

    def macro(self, raw: bytes) -> Walk:
        walk = Walk(raw, self.order)
        at = 0
        while at < len(raw):
            version, flags = number(raw, at, 2, self.order), raw[at + 2]
            if version not in (4, 5) or flags & ~3:
                raise Malformed("macros of another version, or with operations of their own", at)
            offset = 8 if flags & 1 else 4
            at += 3
            if flags & 2:
                walk.add(at, offset, LINES)
                at += offset
            at = self._macros(walk, at, offset)
        return walk.done()

    def _macros(self, walk: Walk, at: int, offset: int) -> int:
        raw = walk.raw
        while op := raw[at]:
            at += 1
            if op in (1, 2):
                at = after_leb(raw, at)
                stop = text_end(raw, at, len(raw))
                walk.add(at, stop - at, TEXT)
                at = stop
            elif op == 3:
                at = after_leb(raw, after_leb(raw, at))
            elif op in (5, 6):
                at = after_leb(raw, at)
                walk.add(at, offset, STRING)
                at += offset
            elif op in (11, 12):
                at = after_leb(raw, after_leb(raw, at))
            elif op == 7:
                at += offset
            elif op != 4:
                raise Malformed(f"the macro operation {op}", at)
        return at + 1

    def frame(self, raw: bytes) -> Walk:
        walk = Walk(raw, self.order)
        at = 0
        while at < len(raw) and self.moved:
            begin = at
            at, end, offset = unit(walk, at)
            del begin
            if number(raw, at, offset, self.order) != (1 << 8 * offset) - 1:
                walk.add(at + offset, self.width, ADDRESS)
            at = end
        return walk.done()

    def lists(self, raw: bytes) -> Walk:
        """.debug_rnglists: the operands of each entry."""
        walk = Walk(raw, self.order)
        forms = {1: "u", 2: "uu", 3: "uu", 4: "uu", 5: "a", 6: "aa", 7: "au"}
        at = 0
        while at < len(raw) and self.moved:
            at, end, offset = unit(walk, at)
            width = raw[at + 2]
            count = number(raw, at + 4, 4, self.order)
            at += 8 + count * offset
            while at < end:
                at = self._entry(walk, at, width, forms, frozenset())
            if at != end or width not in (4, 8):
                raise Malformed("a list runs out of its unit", at)
        return walk.done()

    def locations(self, raw: bytes) -> Walk:
        """.debug_loclists: the operands of each entry of the lists that .debug_info or the unit's own table of offsets
        lead to. What stands between lists is compared as it stands: before one of its own GCC puts a pair of numbers
        (views) for each entry, to which DW_AT_GNU_locviews leads."""
        walk = Walk(raw, self.order)
        forms = {1: "u", 2: "uu", 3: "uu", 4: "uu", 5: "", 6: "a", 7: "aa", 8: "au", 9: "uu"}
        known = np.unique(self.located)
        at = 0
        while at < len(raw) and self.moved:
            at, end, offset = unit(walk, at)
            width = raw[at + 2]
            base = at + 8
            at = base + number(raw, at + 4, 4, self.order) * offset
            own = [base + number(raw, place, offset, self.order) for place in range(base, min(at, end), offset)]
            first, last = np.searchsorted(known, (at, end)).tolist()
            for start in sorted({*own, *known[first:last].tolist()}):
                if start < at or width not in (4, 8):
                    raise Malformed("two lists overlap, or addresses are of another size", at)
                at = start
                while at < end and raw[at]:
                    at = self._entry(walk, at, width, forms, frozenset((2, 3, 4, 5, 7, 8)))
                at += 1
                if at > end:
                    raise Malformed("a list runs out of its unit", at)
            at = end
        return walk.done()

    def _entry(self, walk: Walk, at: int, width: int, forms: dict[int, str], located: frozenset[int]) -> int:
        raw = walk.raw
        op = raw[at]
        at += 1
        if op and op not in forms:
            raise Malformed(f"the list entry {op}", at)
        for operand in forms[op] if op else "":
            if operand == "a":
                walk.add(at, width, ADDRESS)
                at += width
            else:
                at = after_leb(raw, at)
        if op in located:
            size, at = uleb(raw, at)
            for place, wide in addresses(raw, at, at + size, width):
                walk.add(place, wide, ADDRESS)
            at += size
        return at
