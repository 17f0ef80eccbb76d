"""What the instructions of a section do with registers, worked out where it is asked for: a whole section has many that
nobody looks at.

Instructions are looked at some hundreds at a time, with one before and behind them, so that where each ends is seen; if
many are asked for, all at once. So are those of processors with delay slots, and those that may turn out not to be
known, so that a section is refused whatever is asked for.

Sources: as of :mod:`carried`.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.register_steps import Steps, steps
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE
from banbury.compare.equivalence.machines.x86_64_decoded import decode
from banbury.formats import _elf_types as t

_PIECE: Final = 512  # instructions
_PIECES: Final = 16  # that are looked at one by one
_AROUND: Final = 1  # instructions before and behind a piece
_BEYOND: Final = 32  # bytes behind instructions of x86-64 that are looked at with them
_APART: Final = frozenset({t.EM_X86_64, t.EM_AARCH64})  # whose instructions are looked at in pieces
_ALL: Final = 1 << 62  # instructions


class Does(NamedTuple):
    """What :class:`carried.Steps` says of some instructions, in its words."""

    kills: list[int]
    falls: list[bool]
    leads: list[int]
    calls: list[bool]
    callee: list[int]


class Piecewise:
    """The instructions of the section ``raw`` at an address. ``code``: as of :func:`carried.steps`. Methods raise
    :class:`NotDecoded`."""

    def __init__(self, machine: int, big: bool, raw: U8, address: int, code: Code | None) -> None:
        self.machine, self.big, self.raw, self.address = machine, big, raw, address
        self.code = decode(raw.data, 0) if machine == t.EM_X86_64 and code is None else code
        self._pieces: dict[int, Does] = {}
        self._size = _PIECE if machine in _APART else _ALL

    @cached_property
    def count(self) -> int:
        return len(self.raw) // 4 if self.code is None else len(self.code.starts)

    @cached_property
    def whole(self) -> Steps:
        """The same of all instructions."""
        return steps(self.machine, self.big, self.raw, self.address, self.code)

    @cached_property
    def volatile(self) -> int:
        """The registers that functions may change."""
        return steps(self.machine, self.big, self.raw[:0], self.address).volatile

    @cached_property
    def _starts(self) -> memoryview:
        return (np.zeros(0, np.int64) if self.code is None else self.code.starts).data

    def row(self, place: int) -> int:
        """The instruction that begins at an offset; -1: none."""
        if self.code is None:
            return place // 4 if place % 4 == 0 and 0 <= place // 4 < self.count else -1
        row = bisect_left(self._starts, place)
        return row if row < self.count and self._starts[row] == place else -1

    def start(self, row: int) -> int:
        """The offset at which an instruction begins."""
        return 4 * row if self.code is None else int(self._starts[row])

    def kills(self, row: int) -> int:
        """The registers that an instruction certainly writes."""
        piece, at = self._of(row)
        return piece.kills[at]

    def falls(self, row: int) -> bool:
        """Whether the next instruction follows."""
        piece, at = self._of(row)
        return piece.falls[at]

    def leads(self, row: int) -> int:
        """The offset that a branch leads to; :data:`NOWHERE`."""
        piece, at = self._of(row)
        return piece.leads[at]

    def calls(self, row: int) -> bool:
        """Whether an instruction calls."""
        piece, at = self._of(row)
        return piece.calls[at]

    def callee(self, row: int) -> int:
        """The offset of what an instruction calls; :data:`NOWHERE`."""
        piece, at = self._of(row)
        return piece.callee[at]

    def goes(self, row: int) -> tuple[bool, int, bool, int]:
        """Of an instruction what :meth:`falls`, :meth:`leads`, :meth:`calls` and :meth:`callee` say."""
        piece, at = self._of(row)
        return piece.falls[at], piece.leads[at], piece.calls[at], piece.callee[at]

    def _of(self, row: int) -> tuple[Does, int]:
        """The piece that has an instruction, and which of that it is."""
        number, at = divmod(row, self._size)
        piece = self._pieces.get(number)
        if piece is None:
            if self._size == _PIECE and len(self._pieces) >= _PIECES:
                self._size, self._pieces = _ALL, {}
                number, at = 0, row
            low, high = (0, self.count) if self._size != _PIECE else (row - at, min(row - at + _PIECE, self.count))
            piece = self._pieces[number] = self._look(low, high)
        return piece, at

    def _look(self, low: int, high: int) -> Does:
        """What the instructions from one to another do."""
        if (low, high) == (0, self.count):
            found, first, begin = self.whole, 0, 0
        else:
            first, last = max(low - _AROUND, 0), min(high + _AROUND, self.count)
            begin = self.start(first)
            found = self._steps(first, last, begin)
        some = slice(low - first, high - first)
        leads, callee = (
            np.where(column == NOWHERE, NOWHERE, column + begin)[some].tolist()
            for column in (found.leads, found.callee)
        )
        kills, falls, calls = (column[some].tolist() for column in (found.kills, found.falls, found.calls))
        return Does(kills, falls, leads, calls, callee)

    def _steps(self, first: int, last: int, begin: int) -> Steps:
        """:func:`carried.steps` of the instructions from one to another, the first of which begins at an offset."""
        if self.code is None:
            return steps(self.machine, self.big, self.raw[begin : 4 * last], self.address + begin)
        end = self.start(last) if last < self.count else len(self.raw)
        raw = self.raw[begin : end + _BEYOND]
        code = self.code
        low, high = np.searchsorted(code.fields, (begin, end))
        fields, widths, ends = (column[low:high] for column in (code.fields, code.widths, code.ends))
        starts: Ints = code.starts[first:last] - begin
        return steps(self.machine, self.big, raw, 0, Code(0, len(raw), starts, fields - begin, widths, ends - begin))
