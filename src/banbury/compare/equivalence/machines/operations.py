"""Instructions and values as the flow analysis of :mod:`tracking` takes them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints

Words = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]

#: What an instruction does, as far as it is followed. SHIFTED adds an upper half, FETCH loads from a sum of registers,
#: MERGE may copy.
OTHER, ADDI, ADD, MOVE, LOAD, STORE, MERGE, SHIFTED, FETCH = range(9)
#: What a value is: part of an address (an immediate is missing), an address, an address with an unknown index,
#: something loaded from there, that with something added, and two values in one.
#: STALE is added to one that a call has put in doubt; NAMED is the address of a symbol: the file's own, or whether that
#: is another file's function that RETURNS or that does not (FINAL).
PART, WHOLE, INDEXED, LOADED, BASED, MIXED, MIXED_PART, NAMED = range(8)
STALE = 8
RETURNS, FINAL = 0, 1
_FEW: Final = 8  # addresses of which a value may be one

COUNT, LINK = 32, 33  # PowerPC's CTR and LR
SLOTS: Final = 34  # the first of the words on the stack


class Ops:
    """The instructions of a section, as arrays: one row each.

    ``rd``, ``rs``, ``rt``: written register, base, second operand (-1: none). ``imm``: immediates of both files.
    ``reads`` and ``writes``: registers as bits. ``next``: rows that may follow (-1: none). ``call``: behind this
    row another function has run; ``callee`` its row; ``foreign``: one whose compiler knew nothing of it; ``maybe``:
    calls, returns and jumps by a register that are made on a condition; ``lost``: registers in which a call leaves
    nothing, ``spared``: those that it leaves as they are. ``jump``: the register that a jump leads to, which takes
    effect ``delayed`` rows later; ``via``: the register that a call leads to. ``field``: the bits of the word that
    an immediate occupies. ``word``: a load or store of a whole register. ``update``: the base register takes the
    address. ``put``: the register that a store to a sum of registers stores. ``entry``: functions begin here.
    ``idle``: does nothing. ``stack``: the stack's register. ``volatile``: registers that a call may change.
    ``through``: a register that calls hand on (-1: none). ``arguments``, ``results``: registers that a function
    reads, and that its caller does; ``returns``: rows of returns, ``leaves``: of branches out of the section.
    ``tabled``: the kind of value that a jump through a table leads to. ``absolute``: tables may also hold
    addresses; ``linked``: the register that tail calls go through (-1: none). ``frame``: the register that may hold
    the frame's address (-1: none); ``slots``: the place of the word on the stack that a load or store of a whole
    register means (-1: none), ``places`` how many there are with the registers, ``framed`` those that are found by
    ``frame``, ``far`` those of which only parts of addresses are kept (see :mod:`framed`).
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.kind = np.zeros(count, np.uint8)
        self.rd, self.rs, self.rt = (np.full(count, -1, np.int64) for _ in range(3))
        self.imm = np.zeros((2, count), np.int64)
        self.reads, self.writes = (np.zeros(count, np.uint64) for _ in range(2))
        self.next = np.full((2, count), -1, np.int64)
        self.next[0, : count - 1] = np.arange(1, count)
        self.call, self.maybe, self.foreign, self.update, self.word, self.entry, self.idle = (
            np.zeros(count, bool) for _ in range(7)
        )
        self.lost, self.spared = (np.zeros(count, np.uint64) for _ in range(2))
        self.callee, self.jump, self.via, self.put = (np.full(count, -1, np.int64) for _ in range(4))
        self.field = np.zeros(count, np.uint32)
        self.delayed = 0
        self.stack = 0
        self.volatile = np.uint64(0)
        self.arguments = self.results = np.uint64(0)
        self.returns, self.leaves = (np.zeros(count, bool) for _ in range(2))
        self.through = self.linked = -1
        self.tabled = BASED
        self.absolute = False
        self.frame = -1
        self.slots = np.full(count, -1, np.int64)
        self.places = SLOTS
        self.framed = self.far = np.zeros(SLOTS, bool)

    def loses(self, row: Ints, place: Ints) -> Flags:
        """Whether a row changes the register by which a word on the stack is found."""
        base = np.where(self.framed[place], max(self.frame, 0), self.stack).astype(np.uint64)
        out: Flags = ((self.writes[row] >> base) & np.uint64(1)) != 0
        return out & (place >= SLOTS)


def is_half(kind: Ints, a: Ints, b: Ints) -> Flags:
    """Whether values are parts of addresses, perhaps with an index, which no call has put in doubt."""
    out: Flags = (kind == PART) | (kind == MIXED_PART) | ((kind == INDEXED) & (a & 0xFFFF == 0) & (b & 0xFFFF == 0))
    return out


class Values:
    """All values that occur, each once."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int, int], int] = {}
        self._list: list[tuple[int, int, int]] = []
        self._array = np.zeros((0, 3), np.int64)
        self._sets: list[frozenset[int]] = [frozenset()]
        self._numbers: dict[frozenset[int], int] = {}

    def either(self, one: int, other: int) -> int:
        """The number (0: none) of the set of what two values may be, if they are addresses, or such sets themselves."""
        found = frozenset[int]()
        for value in (one, other):
            kind, a, _ = self._list[value]
            more = self._sets[a] if kind == MIXED else frozenset({value} if kind in (WHOLE, NAMED) else ())
            if not more:
                return 0
            found |= more
        if len(found) > _FEW:
            return 0
        number = self._numbers.setdefault(found, len(self._sets))
        if number == len(self._sets):
            self._sets.append(found)
        return number

    def members(self, number: int) -> list[tuple[int, int, int]]:
        """The values of a set."""
        return [self._list[value] for value in sorted(self._sets[number])]

    def of(self, kind: Ints, a: Ints, b: Ints) -> Ints:
        """Their numbers."""
        out = np.zeros(len(a), np.int64)
        for row, key in enumerate(zip(kind.tolist(), a.tolist(), b.tolist(), strict=True)):
            number = self._rows.get(key)
            if number is None:
                number = self._rows[key] = len(self._list)
                self._list.append(key)
            out[row] = number
        return out

    @property
    def table(self) -> Ints:
        """Columns kind, first file's, second file's."""
        if len(self._array) != len(self._list):
            fresh = np.array(self._list[len(self._array) :], np.int64).reshape(-1, 3)
            self._array = np.concatenate((self._array, fresh))
        return self._array
