"""What calls leave in the registers of the function that makes them, and where else these may go on: a compiler that
knows a function keeps values across its calls in registers that the conventions let it change, where it does not (GCC
manual, -fipa-ra; LLVM's regmask of known functions).

A call of a function of the section leaves what some path through that may leave; one of another section's function all.
One by a register may be of a function that the compiler knows (a long call): it leaves all but the registers that
results are in. One of another file's function, or by a word of memory that holds none of this file, may stand in inline
assembly that says what it changes (``get_user`` of Linux, descriptors of thread-local variables): it lends (bits from
:data:`LENT` on) all but the register that its result is in, to where branches lead, which is nothing that a compiler
reads without writing it before. A function that is never seen to return leaves all, and so does a thunk through which
one returns. A call within a site of the tables of exceptions may go on at its landing pad.

Sources: GCC manual, -fipa-ra; the calling conventions (System V ABI supplements, AAPCS64).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Code, Ints, NotDecoded
from banbury.compare.equivalence.machines import entered
from banbury.compare.equivalence.machines.carried import HELD, LENT
from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.never import FINDS, Never
from banbury.compare.equivalence.machines.piecewise import Piecewise
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE
from banbury.formats import _elf_types as t

_DELAYED: Final = 4  # bytes by which what a call of MIPS does stands behind it
_T9: Final = 25  # the register of MIPS that holds the function that is called
_MOST: Final = 1 << 20  # instructions of called functions that are looked at
_DEEP: Final = 24  # calls within calls
_FOREIGN: Final = -2
_BY_REGISTER: Final = -3
#: Registers (as bits) in which functions return something.
_RESULTS: Final = {t.EM_X86_64: 0b101, t.EM_AARCH64: 0b11, t.EM_PPC: 0b11000, t.EM_MIPS: 0b1100}
_RESULT: Final = {t.EM_X86_64: 0b1, t.EM_AARCH64: 0b1, t.EM_PPC: 0b1000, t.EM_MIPS: 0b100}
_RETURNS: Final = (0xFC0003FF, 0x4C000020)  # PowerPC: blr and bctr, on a condition too
_RELATIVE: Final = b"\xff\x15"  # x86-64: a call by a word whose place is relative to the instruction
_STUB: Final = (0x4E800420, 11)  # PowerPC: bctr, and the register of a stub of the linkage table
_NOTHING: Final = np.zeros(0, np.int64)


def is_stub(words: Sequence[int]) -> bool:
    """Whether four words of PowerPC code begin a stub of the linkage table, which stand among the code."""
    jump, register = _STUB
    return words[0] >> 26 in (15, 32) and words[0] >> 21 & 31 == register and jump in words[2:4]


class Called:
    """The calls of the section ``raw`` at an address. ``code``: its instructions, if they are known (x86-64).
    ``made``: where it makes addresses (offsets), and which, in two rows; ``own``: what function of the section an
    address stands for (its offset), if it does: that of the function itself, of a stub, or of what holds it. ``pads``:
    call sites and landing pads (addresses: start, end, pad); ``anywhere``: there are some, and they are not known.
    ``names``: the name of another file's function that an address (of a stub, of a word that is called by) stands for,
    or nothing if its name says nothing of it.
    ``thunks``: what jumps lead to out of the section may be thunks through which functions return."""

    def __init__(
        self,
        machine: int,
        big: bool,
        raw: U8,
        address: int = 0,
        code: Code | None = None,
        made: tuple[Ints, Ints] = (_NOTHING, _NOTHING),
        own: Callable[[int], int | None] = lambda target: None,
        pads: Sequence[tuple[int, int, int]] = (),
        names: Callable[[int], str | None] = lambda address: None,
        *,
        anywhere: bool = False,
        thunks: bool = False,
    ) -> None:
        self.anywhere, self.thunks = anywhere, thunks
        self.machine, self.big, self.raw, self.address, self.code = machine, big, raw, address, code
        self.made, self.own, self.names = made, own, names
        delay = _DELAYED if machine == t.EM_MIPS else 0
        inside = [(x - address, y - address, pad - address) for x, y, pad in sorted(pads)]
        self.sites = [(x + delay, y + delay, pad) for x, y, pad in inside if 0 <= pad < len(raw)]
        self.begins = [x for x, _, _ in self.sites]
        self.most = _MOST
        self._known: dict[int, int] = {}  # what functions leave, by where they begin
        self._callees: dict[int, int] = {}

    def pads(self, place: int) -> list[int]:
        """The landing pads of a call at an offset."""
        index = bisect_right(self.begins, place)
        return [pad for start, end, pad in self.sites[max(index - 2, 0) : index] if start <= place < end]

    def bound(self, callee: int) -> int:
        """What a call leaves (see :meth:`left`), or more, as is told without looking at what it leads to."""
        foreign = callee != NOWHERE and self._place(callee + self.address) is None
        return self._lends if foreign else self._everything

    def finds(self, callee: int) -> bool:
        """Whether what another file's function returns, to which a direct call leads, is in what its first argument
        points to, or nothing."""
        return callee != NOWHERE and self.foreign(callee) and self.names(callee + self.address) in FINDS

    def left(self, place: int, callee: int) -> int:
        """The registers (as bits) that the call at an offset may leave as they were, besides those that all do.
        ``callee``: the offset that it leads to, if it is a direct one (``NOWHERE``: it may be none)."""
        if callee != NOWHERE and self._place(callee + self.address) is None:
            return self._lends
        row = self._steps.row(place)
        return self._left(row, 0) if row >= 0 else self._everything

    def never(self, place: int, callee: int) -> frozenset[int] | None:
        """Where code goes on from the call at an offset, which certainly never returns; ``None``: it may. See
        :meth:`left`, and :mod:`never`."""
        return self._never.call(place, callee) if self._never is not None else None

    def kept(self, place: int) -> bool:
        """Whether the function that begins at an offset, and all that it calls, leave the stack as they found it (see
        :mod:`x86_64_frames`)."""
        row = self._steps.row(place) if self._never is not None else -1
        return row >= 0 and self._never is not None and self._never.frames.kept(row)

    def foreign(self, callee: int) -> bool:
        """Whether what a direct call leads to (an offset) is certainly another file's function."""
        return callee != NOWHERE and self._certain(callee + self.address) is None

    @cached_property
    def _never(self) -> Never | None:
        try:
            steps = self._steps if self.machine == t.EM_X86_64 else None
        except NotDecoded:
            return None
        follows = not self.sites and not self.anywhere
        return (
            None if steps is None else Never(steps, self.raw, self.address, self.names, self._certain, follows=follows)
        )

    @cached_property
    def _steps(self) -> Piecewise:
        return Piecewise(self.machine, self.big, self.raw, self.address, self.code)

    @cached_property
    def _everything(self) -> int:
        return self._steps.volatile | self._steps.volatile << LENT

    @cached_property
    def _lends(self) -> int:
        """What a call of another file's function lends."""
        return (self._steps.volatile & ~_RESULT.get(self.machine, 0)) << LENT

    def _left(self, row: int, depth: int) -> int:
        """The registers of those that functions may change that the call in an instruction may leave as they were."""
        if row not in self._callees:
            self._callees[row] = self._callee(row)
        callee = self._callees[row]
        if callee == _FOREIGN:
            return self._lends
        if callee == _BY_REGISTER:
            return self._steps.volatile & ~_RESULTS.get(self.machine, 0) | self._lends
        return self._kept(callee, depth) if callee >= 0 else self._everything

    def _kept(self, entry: int, depth: int) -> int:
        """The same of the function that an instruction begins: what some path from there to a return leaves. What is
        too deep or too long to follow leaves all."""
        everything = self._everything
        if entry in self._known or depth > _DEEP:
            return self._known.get(entry, everything)
        self._known[entry] = everything  # one that calls itself
        state, waiting, out, ends = {entry: everything}, [entry], 0, False
        while waiting and out != everything:
            self.most -= 1
            if self.most < 0:
                return everything
            row = waiting.pop()
            now = state[row] & self._through(row, depth)
            after, leaves = self._after(row)
            out |= now if leaves else 0 if after else now & self._lends  # the last: another file's function goes on
            ends |= leaves or not now & HELD or not after
            for to in after if now else []:
                if now & ~state.get(to, 0):
                    state[to] = state.get(to, 0) | now
                    waiting.append(to)
        self._known[entry] = out = out if ends else everything
        return out

    def _through(self, row: int, depth: int) -> int:
        """The registers that an instruction leaves as they were."""
        kills = self._steps.kills(row)
        return self._left(row, depth + 1) if self._steps.calls(row) else ~(kills | kills << LENT)

    def _after(self, row: int) -> tuple[list[int], bool]:
        """The instructions that may follow, and whether the function may be left, or go on where nothing says."""
        falls, leads = self._steps.falls(row), self._steps.leads(row)
        after = [row + 1] if falls and row + 1 < self._steps.count else []
        leaves = (not falls and leads == NOWHERE) or self._returns(row)
        if self.machine == t.EM_PPC:
            leaves |= self._word(row) & _RETURNS[0] == _RETURNS[1]
        if leads != NOWHERE:
            place = self._place(leads + self.address)
            to = -1 if place is None else self._steps.row(place)
            leaves |= to < 0 if place is not None else self.thunks
            after += [to] if to >= 0 and not self._stub(to) else []
        return after, leaves

    def _returns(self, row: int) -> bool:
        """Whether a call is that of a thunk, which returns elsewhere than behind the call."""
        if self.machine != t.EM_X86_64 or not self._steps.calls(row):
            return False
        start = self._steps.start(row)
        return entered.returns(self.raw[start : start + entered.THUNK].tobytes())

    def _place(self, address: int) -> int | None:
        """The offset that a branch or call to an address leads to in this section; ``None``: elsewhere."""
        inside = self.address <= address < self.address + len(self.raw)
        return address - self.address if inside else self.own(address)

    def _certain(self, address: int) -> int | None:
        """The same; -1 where nothing says that it is another file's function."""
        place = self._place(address)
        return -1 if place is None and self.names(address) is None else place

    def _callee(self, row: int) -> int:
        """The instruction that the call in one leads to; :data:`_FOREIGN`, or -1 where none begins there."""
        callee = self._steps.callee(row)
        place = self._place(callee + self.address) if callee != NOWHERE else self._held(row)
        if place is None and callee == NOWHERE and self._by_register(row):
            return _BY_REGISTER
        to = _FOREIGN if place is None else self._steps.row(place)
        return _FOREIGN if to >= 0 and self._stub(to) else to

    def _by_register(self, row: int) -> bool:
        """Whether a call that is no direct one is by a register. Not of MIPS, where those of other files are too."""
        if self.machine != t.EM_X86_64:
            return self.machine != t.EM_MIPS
        start = self._steps.start(row)
        code = self.raw[start : start + 4].tobytes().lstrip(b"\x3e\xf2\x40\x41\x42\x43\x44\x45\x46\x47\x48\x49")
        return code[:1] == b"\xff" and len(code) > 1 and code[1] >= 0xC0

    def _word(self, row: int) -> int:
        return int.from_bytes(self.raw[4 * row : 4 * row + 4].tobytes(), "big" if self.big else "little")

    def _stub(self, row: int) -> bool:
        return self.machine == t.EM_PPC and is_stub([self._word(row + k) for k in range(4)])

    @cached_property
    def _made(self) -> dict[int, int]:
        places, targets = self.made
        return dict(zip(places.tolist(), targets.tolist(), strict=True))

    def _held(self, row: int) -> int | None:
        """The function of the section that a call leads to by a word of memory, or by a register (MIPS) that was set
        for it before."""
        if self.machine == t.EM_MIPS:
            before = int(self._sets[max(row - 1, 0)])
            found = self._made.get(4 * before) if before >= 0 else None
            return None if found is None else self.own(found)
        place = self._steps.start(row) + 2
        if self.machine != t.EM_X86_64 or self.raw[place - 2 : place].tobytes() != _RELATIVE:
            return None
        return self.own(self._made[place]) if place in self._made else None

    @cached_property
    def _sets(self) -> Ints:
        """MIPS: the last instruction up to each that sets the register through which functions are called."""
        found = self._steps.whole
        rows = np.arange(self._steps.count)
        sets = (found.kills >> _T9 & 1 == 1) & ~found.calls
        return np.maximum.accumulate(np.where(sets, rows, -1))
