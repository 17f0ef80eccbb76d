"""Which words of the stack a section of code keeps values in: each is a place of its own to the flow of addresses.

A word is known by its distance from the stack pointer, or from the frame pointer where that was made of the stack
pointer (in functions that allocate on the stack, and where compilers are told to keep it). The words next to the stack
pointer are places from the outset; of the others those become places in which the flow finds that values are kept.

Sources: System V ABI, MIPS and PowerPC supplements, "Function Calling Sequence" (frame pointer: registers 30 and 31).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.operations import LOAD, MOVE, SLOTS, STORE, Flags, Ops

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
        self.extra = -1  # rows of tables of jumps that were known when the frames were looked for

    def enter(self, extra: dict[int, Ints]) -> None:
        """Number the places. ``extra``: rows that tables of jumps lead to."""
        ops = self.ops
        self._find(extra)
        places = np.searchsorted(self.known, self.words)
        found = (self.words >= 0) & (np.append(self.known, -1)[places] == self.words)
        ops.slots = np.where(found, SLOTS + places, -1)
        ops.places = SLOTS + len(self.known)
        ops.far = np.concatenate((np.zeros(SLOTS, bool), self.known >= _NEAR))
        ops.framed = np.concatenate((np.zeros(SLOTS, bool), self.known >= _BY_FRAME))

    def more(self, rows: Ints) -> bool:
        """Whether values that are stored at some rows go to words that are no places yet; these become some."""
        wanted = np.union1d(self.known, self.words[rows][self.words[rows] >= 0])
        if len(wanted) > self.most or len(wanted) == len(self.known):
            return False
        self.known = wanted
        return True

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
