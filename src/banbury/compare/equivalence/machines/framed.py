"""Which words of the stack a section of code keeps values in: each is a place of its own to the flow of addresses.

A word is known by its distance from the stack pointer, or from the frame pointer where that was made of the stack
pointer (in functions that allocate on the stack, and where compilers are told to keep it). The words next to the stack
pointer are places from the outset; of the others those become places in which the flow finds that values are kept:
parts of addresses, addresses of functions, and any whole ones as well where a jump is found whose table is not known.

Sources: System V ABI, MIPS and PowerPC supplements, "Function Calling Sequence" (frame pointer: registers 30 and 31).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.operations import ADD, LOAD, MOVE, SHIFTED, SLOTS, STORE, Flags, Ops

_NEAR: Final = 248  # bytes
_MOST: Final = 1 << 25  # places of all rows together, from which on there are no more than
_FEW: Final = 62
_BY_FRAME: Final = 1 << 20  # marks a distance from the frame pointer


class Framed:
    """The places of the words on the stack, which are entered in ``ops``."""

    def __init__(self, ops: Ops) -> None:
        self.ops = ops
        self.most = max(_FEW, _MOST // max(ops.count, 1) - SLOTS)
        offset = ops.imm[0]
        word = ops.word & ((ops.kind == LOAD) | (ops.kind == STORE)) & ~ops.update
        word &= (offset % 4 == 0) & (offset == ops.imm[1])
        own = ops.frame if ops.frame >= 0 else -2
        self.by_frame = word & (ops.rs == own)
        self.begins = np.flatnonzero((ops.kind == MOVE) & (ops.rd == own) & (ops.rs == ops.stack))
        self.words = np.where(word & (ops.rs == ops.stack) & (offset >= 0), offset, -1)
        self.mixed: Flags = np.zeros(ops.count, bool)  # stores by the stack pointer where there is a frame pointer
        stored = distinct(self.words[(ops.kind == STORE) & (self.words >= 0)])
        self.known: Ints = stored[stored < _NEAR]
        self.whole = False  # whether whole addresses are kept too in words far from the stack pointer
        self.full = np.zeros(0, np.int64)  # words that functions' addresses are kept in
        self.short = False  # whether there are such words that are no places
        self.extra = -1  # rows of tables of jumps that were known when the frames were looked for

    def enter(self, extra: dict[int, Ints]) -> None:
        """Number the places. ``extra``: rows that tables of jumps lead to."""
        ops = self.ops
        self._find(extra)
        places = np.searchsorted(self.known, self.words)
        found = (self.words >= 0) & (np.append(self.known, -1)[places] == self.words)
        ops.slots = np.where(found, SLOTS + places, -1)
        ops.places = SLOTS + len(self.known)
        far = (self.known >= _NEAR) & ~np.isin(self.known, self.full) & (not self.whole)
        ops.far = np.concatenate((np.zeros(SLOTS, bool), far))
        ops.framed = np.concatenate((np.zeros(SLOTS, bool), self.known >= _BY_FRAME))

    def more(self, rows: Ints, functions: Ints) -> bool:
        """Whether values that are stored at some rows, or addresses of functions at others, go to words that are no
        places for them yet; these become some."""
        full = np.setdiff1d(self.words[functions][self.words[functions] >= _NEAR], self.full)
        wanted = np.union1d(self.known, np.append(self.words[rows][self.words[rows] >= 0], full))
        if len(wanted) > self.most:
            self.short |= bool(len(full))
            return False
        if len(wanted) == len(self.known) and not len(full):
            return False
        self.known, self.full = wanted, np.union1d(self.full, full)
        return True

    def note(self, functions: Ints) -> None:
        """Addresses of functions that are stored at some rows: one whose place is worked out by adding something to the
        stack pointer (as compilers do in frames of more than 32 KiB) is not followed."""
        ops = self.ops
        rows = functions[(self.words[functions] < 0) & (ops.rs[functions] >= 0)]
        added = (ops.kind == SHIFTED) & (ops.rs == ops.stack)
        added |= (ops.kind == ADD) & ((ops.rs == ops.stack) | (ops.rt == ops.stack))
        for register in set(ops.rs[rows].tolist()):
            writes = np.flatnonzero((ops.writes >> np.uint64(register)) & np.uint64(1))
            before = np.searchsorted(writes, rows[ops.rs[rows] == register]) - 1
            self.short |= bool(added[writes[before[before >= 0]]].any())

    def _find(self, extra: dict[int, Ints]) -> None:
        """The rows at which the frame pointer holds what the stack pointer was."""
        count = sum(map(len, extra.values()))
        if not len(self.begins) or count == self.extra:
            return
        self.extra = count
        ops = self.ops
        written = (ops.writes >> np.uint64(ops.frame)) & np.uint64(1) != 0
        cut = (ops.next[0] != np.arange(1, ops.count + 1)) | (ops.next[1] >= 0) | written
        cut[list(extra)] = True
        cut[:-1] |= ops.entry[1:]
        cut[-1:] = True
        cuts = np.flatnonzero(cut)
        seen = np.zeros(ops.count, bool)
        marks = np.zeros(ops.count + 1, np.int64)
        start = self._after(self.begins, extra)
        while len(start):
            seen[start] = True
            end = cuts[np.searchsorted(cuts, start)]
            np.add.at(marks, start, 1)
            np.add.at(marks, end + 1, -1)
            start = self._after(distinct(end[~written[end]]), extra)
            start = start[~seen[start]]
        inside = np.cumsum(marks[:-1]) > 0
        self.mixed = inside & (ops.kind == STORE) & (ops.rs == ops.stack)
        here = self.by_frame & inside
        self.words[here] = ops.imm[0][here] + 2 * _BY_FRAME

    def _after(self, rows: Ints, extra: dict[int, Ints]) -> Ints:
        more = [extra[row] for row in rows.tolist() if row in extra] if extra else []
        to = distinct(np.concatenate((*(follow[rows] for follow in self.ops.next), *more)))
        out: Ints = to[(to >= 0) & ~self.ops.entry[to]]
        return out
