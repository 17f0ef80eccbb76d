"""Where the addresses of many functions go, followed all at once: one step of every function instead of one of each.

It says of some functions that no instruction of a kind is met by what they hold (one that reads memory through it, or
makes something of it), and nothing of the others, which are followed one by one (:mod:`carried`): those with code that
is entered in ways nobody sees, those that hold something at an indirect jump or where a landing pad may go on, and
those that take more steps than the others.

Source: as of :mod:`carried`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Final

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.carried import HELD, LENT, Function
from banbury.compare.equivalence.machines.contract import U8, Mask
from banbury.compare.equivalence.machines.entered import may_jump
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE
from banbury.formats import _elf_types as t

_FEW: Final = 16  # rows in one step; fewer are followed faster one by one
_NONE: Final = -1  # no row, no function


def unmet(
    functions: Sequence[Function], held: Sequence[dict[int, int]], columns: Sequence[str], *, direct: bool = False
) -> list[bool]:
    """For each of some functions (of the same rows, with the same calls) whether it is shown that what it has ``held``
    in registers before some of its rows is in none of those that ``columns`` of :class:`carried.Rows` name, where they
    say so; ``False``: it is not known here. ``direct``: by direct branches alone."""
    if not functions or not any(held):
        return [True] * len(functions)
    wanted = reduce(np.bitwise_or, (np.asarray(getattr(functions[0].rows, column)) for column in columns))
    found = _Together(functions, held, wanted, direct=direct).run()
    return [answer or not begun for answer, begun in zip(found, held, strict=True)]


class _Together:
    def __init__(
        self, functions: Sequence[Function], held: Sequence[dict[int, int]], wanted: Ints, *, direct: bool
    ) -> None:
        rows = self.rows = functions[0].rows
        self.calls, self.volatile, self.wanted, self.direct = functions[0].calls, rows.volatile, wanted, direct
        columns = (rows.kills, rows.parts, rows.into, rows.starts, rows.leads)
        self.kills, self.parts, self.into, self.starts, self.leads = (np.asarray(x) for x in columns)
        self.call: Mask = np.asarray(rows.calls)
        count = len(self.kills)
        self.clear = np.array(
            [direct or not begun or not one.hidden for one, begun in zip(functions, held, strict=True)]
        )
        self.owner, self.piece, self.falls = (np.full(count, _NONE, np.int64) for _ in range(3))
        self.shift = np.zeros(count, np.int64)  # what makes the places of rows those of the section
        self._own(functions)
        self.to, self.odd = self._leads(functions, functions[0].machine, functions[0].raw)
        self.sure, self.lent = np.zeros(count, np.int64), np.zeros(count, np.int64)
        begun = set[int]()
        for number in np.flatnonzero(self.clear).tolist():
            for row, mask in held[number].items():
                self.sure[row], self.lent[row] = mask & HELD, mask >> LENT
                begun.add(row)
        self.begun = np.array(sorted(begun), np.int64)
        self.known: dict[int, tuple[int, int, bool]] = {}  # what calls leave and lend, and whether they have pads

    def run(self) -> list[bool]:
        rows = self.begun
        while len(rows) >= _FEW:
            rows = self._step(rows)
        self.clear[self.owner[rows]] = False
        return [bool(x) for x in self.clear]

    def _own(self, functions: Sequence[Function]) -> None:
        """Whose each row is, and which one it falls into. Functions that share rows are not looked at here."""
        parts = [
            (begin, end, number, high + shift, shift)
            for number, one in enumerate(functions)
            for (begin, end), (_, high, shift) in zip(one.pieces, one.stretches, strict=True)
            if begin < end
        ]
        begin, end, number, stop, shift = np.array(sorted(parts), np.int64).reshape(-1, 5).T
        shared = np.flatnonzero(begin[1:] < np.maximum.accumulate(end)[:-1]) + 1
        for one in shared.tolist():
            self.clear[number[(begin < end[one]) & (end > begin[one])]] = False
        some = self.clear[number]
        for low, high, *rest in zip(*(x[some].tolist() for x in (begin, end, number, shift)), strict=True):
            self.owner[low:high], self.shift[low:high] = rest
        self.piece[begin] = begin
        self.piece = np.where(self.owner != _NONE, np.maximum.accumulate(self.piece), _NONE)
        falls = np.append(np.asarray(self.rows.falls)[:-1] & (self.piece[1:] == self.piece[:-1]), False)
        self.falls = np.where(falls & (self.owner != _NONE), np.arange(len(falls)) + 1, _NONE)
        for row, one, place in zip(*(x[some].tolist() for x in (end - 1, number, stop)), strict=True):
            if len(functions[one].pieces) > 1 and self.rows.falls[row]:
                beyond = functions[one].beyond(place)
                self.falls[row] = beyond[0] if beyond else _NONE

    def _leads(self, functions: Sequence[Function], machine: int, raw: U8) -> tuple[Ints, Mask]:
        """The row that each leads to, if it is of the same function, and whether it may jump to where nothing says."""
        some = (self.leads != NOWHERE) & (self.owner != _NONE)
        to = np.minimum(np.searchsorted(self.starts, self.leads), len(self.starts) - 1)
        own = some & (self.starts[to] == self.leads) & (self.piece[to] == self.piece)
        to = np.where(own, to, _NONE)
        several = np.array([len(one.pieces) > 1 for one in functions])
        out = np.flatnonzero(some & ~own)
        places = self.leads[out] + self.shift[out]
        for row, place in zip(*(x[several[self.owner[out]]].tolist() for x in (out, places)), strict=True):
            for found in functions[int(self.owner[row])].beyond(place):
                to[row] = found
        odd: Mask = np.asarray(self.rows.leaps).copy()
        if self.direct:
            odd[:] = False
        elif machine == t.EM_X86_64:
            call = np.flatnonzero(self.call & (self.owner != _NONE))
            odd[call] |= may_jump(raw, self.starts[call] + self.shift[call])
            odd[out] |= may_jump(raw, places)
        return to, odd

    def _step(self, rows: Ints) -> Ints:
        """Go on from some rows to those that follow; returns the ones before which more is held than was known."""
        sure, lent, kills = self.sure[rows], self.lent[rows], self.kills[rows]
        stop = self.odd[rows] | ((sure | lent) & self.wanted[rows] != 0)
        left, lends = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        saved, lost = sure & ~self.volatile, (sure | lent) & kills & self.volatile
        for k in np.flatnonzero(self.call[rows]).tolist() if self.calls is not None else ():
            if lost[k] or (saved[k] and not self.direct):
                left[k], lends[k], pads = self._call(int(rows[k]))
                stop[k] |= pads and bool(saved[k]) and not self.direct
        self.clear[self.owner[rows[stop]]] = False
        into, parts = 1 << self.into[rows], self.parts[rows]
        kept = sure & (~kills | left & self.volatile) | np.where(sure & parts != 0, into, 0)
        late = lost & lends | lent & ~kills | np.where(lent & parts != 0, into, 0)
        going = np.flatnonzero(self.clear[self.owner[rows]] & (kept | late != 0))
        to = np.concatenate((self.falls[rows[going]], self.to[rows[going]]))
        kept, late = np.tile(kept[going], 2), np.tile(late[going], 2)
        more = (to != _NONE) & (kept & ~self.sure[to] | late & ~self.lent[to] != 0)
        to = to[more]
        np.bitwise_or.at(self.sure, to, kept[more])
        np.bitwise_or.at(self.lent, to, late[more])
        return distinct(to)

    def _call(self, row: int) -> tuple[int, int, bool]:
        """What a call leaves and lends at most, and whether what it keeps may go on elsewhere than behind it."""
        if row not in self.known and self.calls is not None:
            callee, shift = self.rows.callee[row], int(self.shift[row])
            left = self.calls.bound(callee + shift if callee != NOWHERE else NOWHERE)
            pads = self.calls.anywhere or bool(self.calls.pads(int(self.starts[row]) + shift))
            self.known[row] = left & HELD, left >> LENT, pads
        return self.known[row]
