"""Line number programs of .debug_line. Sources: DWARF 5, chapter 6.2; DWARF 4 and 2, the same chapter."""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.dwarf.reader import after_leb, number, text_end, uleb, unit
from banbury.compare.equivalence.dwarf.shape import ADDRESS, LENGTH, LINE_STRING, STRING, TEXT, Malformed, Walk

_SIZES: Final = {0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x1E: 16}


class LineWalker:
    """Walks one side's section. ``moved``: whether the addresses that programs set are to be found too."""

    def __init__(self, order: str, *, moved: bool) -> None:
        self.order, self.moved = order, moved

    def __call__(self, raw: bytes) -> Walk:
        walk = Walk(raw, self.order)
        units = []
        at = 0
        while at < len(raw):
            units.append(at)
            at = self._program(walk, at)
        walk.units = walk.entries = np.array(units, np.int64)
        return walk.done()

    def _program(self, walk: Walk, at: int) -> int:
        raw = walk.raw
        at, end, offset = unit(walk, at)
        version = number(raw, at, 2, self.order)
        if not 2 <= version <= 5:
            raise Malformed(f"a line program of version {version}", at)
        at += 2 + (2 if version == 5 else 0)
        code = at + offset + number(raw, at, offset, self.order)
        walk.add(at, offset, LENGTH)
        at += offset + (6 if version >= 4 else 5)  # to opcode_base and behind it
        base = raw[at - 1]
        at += base - 1 if base else 0
        lengths = raw[at - base + 1 : at] if base else b""
        at = self._tables5(walk, at, end, offset) if version == 5 else self._tables(walk, at, end)
        if at != code or code > end:
            raise Malformed("its header is of another size than it states", at)
        if self.moved:
            self._opcodes(walk, at, end, base, lengths)
        return end

    def _tables(self, walk: Walk, at: int, end: int) -> int:
        """Directories and files up to version 4."""
        raw = walk.raw
        for more in (0, 3):
            while raw[at]:
                stop = text_end(raw, at, end)
                walk.add(at, stop - at, TEXT)
                at = stop
                for _ in range(more):
                    at = after_leb(raw, at)
            at += 1
        return at

    def _tables5(self, walk: Walk, at: int, end: int, offset: int) -> int:
        raw = walk.raw
        for _ in range(2):
            forms = []
            count, at = raw[at], at + 1
            for _ in range(count):
                at = after_leb(raw, at)
                form, at = uleb(raw, at)
                forms.append(form)
            entries, at = uleb(raw, at)
            if entries and not forms:
                raise Malformed("entries of no form", at)
            for _ in range(entries):
                for form in forms:
                    at = self._value(walk, at, end, form, offset)
                if at > end:
                    raise Malformed("its tables run out of it", at)
        return at

    def _value(self, walk: Walk, at: int, end: int, form: int, offset: int) -> int:
        raw = walk.raw
        if form in (0x0E, 0x1F):
            walk.add(at, offset, STRING if form == 0x0E else LINE_STRING)
            return at + offset
        if form == 0x08:
            stop = text_end(raw, at, end)
            walk.add(at, stop - at, TEXT)
            return stop
        if form in (0x0F, 0x0D):
            return after_leb(raw, at)
        if form == 0x09:
            size, at = uleb(raw, at)
            return at + size
        if form not in _SIZES:
            raise Malformed(f"the form {form:#x} in a line program", at)
        return at + _SIZES[form]

    def _opcodes(self, walk: Walk, at: int, end: int, base: int, lengths: bytes) -> None:
        raw = walk.raw
        while at < end:
            op = raw[at]
            at += 1
            if op >= base:
                continue
            if op == 0:
                size, at = uleb(raw, at)
                if not size:
                    raise Malformed("an extended operation of no size", at)
                if raw[at] == 2:
                    if size not in (5, 9):
                        raise Malformed("an address of another size", at)
                    walk.add(at + 1, size - 1, ADDRESS)
                at += size
            elif op == 9:
                at += 2
            else:
                for _ in range(lengths[op - 1]):
                    at = after_leb(raw, at)
        if at != end:
            raise Malformed("an operation runs out of its program", at)
