"""Where an address goes in the registers of one function, and whether memory is read through it: a text that code reads
by itself may be copied in part, by as many loads as its old length takes.

Every instruction of the function is looked at, along all direct branches; behind an indirect jump all of them, behind
what traps the next one. Code that no path reaches is entered in a way that nobody sees (see :mod:`entered`), with all
that is held anywhere. A register holds the address until it is certainly written, or a call may have changed it (see
:mod:`called`). Reading one byte where the register points is no copy of a known length: loops that look for the end of
a text do that. What code keeps in memory is not followed, but for words that are loaded through the address of a table
which holds the text. An instruction that makes the address in a way that is not known here counts as reading.

Sources: Intel SDM, volume 2; Arm ARM DDI 0487; MIPS MD00086; Power ISA 2.07; the calling conventions of these
processors (System V ABI supplements, AAPCS64).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import Final, Protocol

import numpy as np

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines import entered
from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.register_steps import Steps
from banbury.compare.equivalence.machines.resized import Places, Room
from banbury.compare.equivalence.machines.word_loads import loaded as loaded_word
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE, UNKNOWN
from banbury.compare.equivalence.machines.x86_64_carried import taken as x86_taken
from banbury.compare.equivalence.machines.x86_64_exactly import Exactly
from banbury.formats import _elf_types as t

LENT: Final = 32  #: bits from here on: registers that another file's function may have left as they were
HELD: Final = (1 << LENT) - 1
_LONGEST: Final = 15  # bytes of an instruction of x86-64
#: Opcodes that put an address into a register (also from the table of addresses).
_PUTS: Final = {t.EM_MIPS: (8, 9, 13, 35), t.EM_PPC: (12, 13, 14, 15, 24, 32)}
#: The registers of arguments (also of the place for a result, and of a nested function's frame), and of results.
_HANDED: Final = {
    t.EM_X86_64: (0x7C6, 0x5), t.EM_AARCH64: (0x1FF, 0xFF), t.EM_MIPS: (0xF0, 0xC), t.EM_PPC: (0x7F8, 0x18),
    t.EM_ARM: (0x100F, 0xF),
}  # fmt: skip
_ORI: Final = 24  # of PowerPC, which has the register elsewhere


class Calls(Protocol):
    """What :class:`called.Called` says of a call at an offset of the section."""

    @property
    def anywhere(self) -> bool: ...

    def bound(self, callee: int) -> int: ...

    def left(self, place: int, callee: int) -> int: ...

    def never(self, place: int, callee: int) -> frozenset[int] | None: ...

    def kept(self, place: int) -> bool: ...

    def foreign(self, callee: int) -> bool: ...

    def finds(self, callee: int) -> bool: ...

    def pads(self, place: int) -> list[int]: ...


class Rows:
    """What :class:`Steps` says, for looking at single rows, of which most are never looked at."""

    def __init__(self, found: Steps, doubt: Ints) -> None:
        self.doubt = doubt.data
        self.reads, self.kills, self.parts, self.into, self.falls, self.leads, self.leaps, self.starts = (
            np.ascontiguousarray(column).data
            for column in (
                found.reads, found.kills, found.parts, found.into, found.falls, found.leads, found.leaps, found.starts
            )
        )  # fmt: skip
        self.fetches, self.gets, self.calls, self.callee = (
            np.ascontiguousarray(column).data for column in (found.fetches, found.gets, found.calls, found.callee)
        )
        self.joins, self.wide, self.indexed, self.stepped, self.hands, self.parted = (
            np.ascontiguousarray(column).data
            for column in (found.joins, found.wide, found.indexed, found.stepped, found.hands, found.parted)
        )
        self.volatile = found.volatile
        cuts = (found.leads != NOWHERE) | ~found.falls | found.leaps | found.calls
        self.cuts = np.flatnonzero(cuts).data  # rows behind which not only the next one follows


class Function:
    """One function's code, of the section ``raw``: of ``rows`` those from and to the offsets of its ``stretches``
    (several where a compiler has put parts elsewhere), whose third number added makes them offsets of the section.
    ``calls``: what its calls leave; nothing but what the conventions say, if that is not known. ``ways``: where it is
    entered in ways that its code does not show (offsets of the section, from and to); ``begun``: where what is looked
    at as one function may begin another; ``labels``: places that something has the addresses of, or calls, if they are
    known."""

    def __init__(
        self,
        machine: int,
        big: bool,
        raw: U8,
        rows: Rows,
        stretches: Sequence[tuple[int, int, int]],
        calls: Calls | None = None,
        ways: Sequence[tuple[int, int]] = (),
        begun: Sequence[int] = (),
        labels: Sequence[int] | None = None,
    ) -> None:
        self.machine, self.big, self.raw, self.rows, self.stretches = machine, big, raw, rows, stretches
        self.calls, self.ways, self.begun, self.labels = calls, ways, begun, labels
        self.exactly = Exactly(self, self._place)
        self._never: dict[int, bool] = {}  # what was asked of rows
        self._leaves: dict[int, int] = {}
        starts = rows.starts
        self.pieces = [(bisect_left(starts, low), bisect_left(starts, high)) for low, high, _ in stretches]

    def read(self, uses: Places) -> bool:
        """Whether memory is read through one of the addresses, also where it is loaded by that of a table; or what is
        done with the word that holds one is not known here, or parts of that word are loaded."""
        held = self.held(uses)
        return held is None or bool(self._followed(held, self.rows.reads, first=True))

    def held(self, uses: Places) -> dict[int, int] | None:
        """The registers (as bits) that hold one of the addresses first, before which rows; ``None``: memory is read
        through one, or it is not known."""
        held: dict[int, int] = {}
        rows = self.rows
        strange = [at for row, at in map(self._row, uses.words) if row >= 0 and self._taken(at, loads=True) == UNKNOWN]
        if any(self._taken(at, loads=False) == UNKNOWN for at in strange):
            return None
        if (begun := self._started([*strange, *uses.beside], loads=False, held={})) and self._followed(
            begun, rows.parted, first=True
        ):
            return None
        begun = self._started(uses.tables, loads=False, held={})
        for row in self._followed(begun, rows.fetches) if begun else []:
            for to in self._next(row):
                held[to] = held.get(to, 0) | rows.gets[row]
        made = self.put(uses.made, held)
        return None if made is None else self._started(uses.loaded, loads=True, held=made)

    def put(self, made: Iterable[int], held: dict[int, int] | None = None) -> dict[int, int] | None:
        """The registers (as bits) that the instructions at the places ``made`` put addresses into, before which rows,
        with those that are ``held``; ``None``: it is not known of one."""
        if any(row < 0 or self._taken(at, loads=False) == UNKNOWN for row, at in map(self._row, made)):
            return None
        return self._started(made, loads=False, held={} if held is None else held)

    def joined(self, made: Collection[int], *, room: Room | None = None) -> bool:
        """Whether more than a byte of memory is read or written where an address that the instructions at the places
        ``made`` put into a register, and another register or a number, lead, or their sum may be handed to another
        function or the kernel, or something is done with either that is not known here. ``room``: by direct branches
        alone, not on behind calls that never return (see :mod:`never`), but for a number once that leads no further
        than that."""
        held, sums, near = self.put(made), dict[int, int](), dict[int, int]()
        if room is not None and self.machine == t.EM_X86_64:
            self.exactly.ask(room, [self._row(place)[0] for place in made])
        if held is None or self._summed(held, sums, room, near) or self._summed(near, sums, room):
            return True
        # what is added to an address by an instruction that reads there is not seen where a register has a part of it
        if near and self._followed(near, self.rows.reads, self.rows.wide, first=True, room=room):
            return True
        return bool(self._followed(sums, self.rows.wide, first=True, room=room, handed=True))

    def _summed(
        self, held: dict[int, int], sums: dict[int, int], room: Room | None, near: dict[int, int] | None = None
    ) -> bool:
        """Enter the sums of what is ``held``, those of a number that leads no further than there is ``room`` as what is
        ``near``; whether memory is found by one, or is handed on at once (in the delay slot of what does that)."""
        rows, found = self.rows, list[tuple[int, int]]()
        for row, met in self._followed(held, rows.indexed, rows.joins, rows.stepped, room=room).items():
            if met & rows.indexed[row]:
                return True
            found += [(row, 1 << rows.into[row])] if met & rows.joins[row] else []
            found += [(row, rows.stepped[row])] if met & rows.stepped[row] else []
        for row, register in found:
            out = sums if near is None or room is None or not self._within(row) else near
            if out is sums and register & self._handed(row):
                return True
            for to in self._next(row):
                out[to] = out.get(to, 0) | register
        return False

    def _within(self, row: int) -> bool:
        return self.machine == t.EM_X86_64 and self.exactly.within(row)

    # What is asked of one row after another (:class:`x86_64_values.Come`)

    def instruction(self, row: int) -> bytes:
        """The bytes of a row."""
        place, starts = self._place(row), self.rows.starts
        size = starts[row + 1] - starts[row] if row + 1 < len(starts) else _LONGEST
        return self.raw[place : place + size].tobytes()

    def spares(self, row: int) -> int | None:
        """The registers that a call certainly leaves; ``None``: the row is none."""
        if not self.rows.calls[row]:
            return None
        callee = self._callee(row)
        known = self.calls is not None and callee != NOWHERE and (self.calls.foreign(callee) or self.calls.kept(callee))
        return ~self.rows.volatile if known else 0

    def finds(self, row: int) -> bool:
        """Whether what a call returns is in what its first argument points to, or nothing."""
        return self.calls is not None and self.calls.finds(self._callee(row))

    def before(self, row: int) -> list[int] | None:
        """The rows from which code comes to one; ``None``: they are not known."""
        return self._origins.get(row)

    @cached_property
    def _origins(self) -> dict[int, list[int]]:
        """For each row at which code is not entered the rows that it may follow; but for rows of functions that go on,
        or are entered, where nothing says, or do not leave the stack as they found it."""
        calls = self.calls
        if calls is None or calls.anywhere or self.labels is None or self.hidden:
            return {}
        out, odd = dict[int, list[int]](), list[int]()
        for row in self._blocks():
            if self._leaps(row) or (self.rows.calls[row] and calls.pads(self._place(row))):
                odd.append(row)
            for to in self._after(row):
                out.setdefault(to, []).append(row)
        entries = {begin for begin, _ in self.pieces}
        entries |= {row for place in (*self.begun, *self.labels) for row in self._at(place)}
        strange = _reached(odd, lambda row: out.get(row, []))
        wrong = [row for row in entries if row in strange or not calls.kept(self._place(row))]
        unknown = entries | _reached(wrong, self._after)
        return {row: before for row, before in out.items() if row not in unknown}

    def _started(self, places: Iterable[int], *, loads: bool, held: dict[int, int]) -> dict[int, int]:
        """The registers that some instructions put an address into, added to what is ``held`` before rows."""
        for place in places:
            row, at = self._row(place)
            register = self._taken(at, loads=loads) if row >= 0 else -1
            for to in self._next(row) if register >= 0 else []:
                held[to] = held.get(to, 0) | 1 << register
        return held

    def _next(self, row: int) -> list[int]:
        after = self._after(row)
        return after + (self._blocks() if after and self._leaps(row) else [])

    def _row(self, place: int) -> tuple[int, int]:
        """The row of the instruction that has the byte at an offset of the section, and where it begins; -1: none."""
        starts = self.rows.starts
        for number, (low, high, shift) in enumerate(self.stretches):
            if low <= place - shift < high:
                begin, end = self.pieces[number]
                if begin < end:
                    row = max(bisect_right(starts, place - shift, begin, end) - 1, begin)
                    return row, starts[row] + shift
        return -1, -1

    def _taken(self, at: int, *, loads: bool) -> int:
        """The register into which an instruction puts an address or, if it ``loads``, what it loads; -1: none;
        :data:`UNKNOWN`."""
        code = self.raw[at : at + _LONGEST].tobytes()
        if loads:
            return loaded_word(self.machine, self.big, code)
        if self.machine == t.EM_X86_64:
            return x86_taken(code)
        word = int.from_bytes(code[:4], "big" if self.big else "little")
        if self.machine == t.EM_AARCH64:
            return _a64_taken(word)
        top = word >> 26
        if top not in _PUTS[self.machine]:
            return UNKNOWN
        return word >> (16 if self.machine == t.EM_MIPS or top == _ORI else 21) & 31

    def _followed(
        self, held: dict[int, int], *wanted: Sequence[int], first: bool = False, room: Room | None = None,
        handed: bool = False,
    ) -> dict[int, int]:  # fmt: skip
        """Follow registers (as bits) from before some rows: each bit reaches each row at most once. Returns the rows at
        which any of those ``wanted`` of a row is held, with what is; only the ``first`` that is found. ``room``: by
        direct branches alone, not behind calls that never return, and not what is no address any more. ``handed``: also
        the rows at which one may be an argument of another function, or a result."""
        if not held:
            return {}
        direct = room is not None
        state, common, waiting, rows = dict(held), 0, list(held), self.rows  # common: carried on by indirect jumps
        hidden, anywhere = list[int]() if direct else self.hidden, 0
        out: dict[int, int] = {}
        while waiting:
            row = waiting.pop()
            now = state[row]
            sure, lent = now & HELD, now >> LENT
            lost, numbers = self._lost(row, sure | lent) if direct else (0, 0)
            met = (sure | lent) & ~numbers
            if any(met & column[row] for column in wanted) or (handed and sure & self._handed(row)):
                out[row] = out.get(row, 0) | met
                if first:
                    break
            if direct and self._ends(row):
                continue
            kept = self._kept(row, sure, lent, lost, numbers)
            going = [(to, kept) for to in self._after(row)]
            if hidden and sure & ~anywhere:
                anywhere |= sure
                going += [(to, anywhere) for to in hidden]
            jumping = sure if rows.calls[row] else kept & HELD  # the call of a thunk calls no function
            if jumping & ~common and not direct and self._leaps(row):
                common |= jumping
                going += [(to, jumping) for to in self._blocks()]
            if rows.calls[row] and self.calls is not None and not direct:
                saved = sure & ~rows.volatile
                pads = [to for pad in self.calls.pads(self._place(row)) for to in self._at(pad)]
                if self.calls.anywhere and saved & ~common:
                    common |= saved
                    pads += self._blocks()
                going += [(to, saved) for to in pads]
            for to, mask in going:
                if mask & ~state.get(to, 0):
                    state[to] = state.get(to, 0) | mask
                    waiting.append(to)
        return out

    def _handed(self, row: int) -> int:
        """The registers in which a row hands something to another function or the kernel: at a call, a jump to one (any
        that a register says may be one) and a return."""
        rows = self.rows
        arguments, results = _HANDED[self.machine]
        if rows.calls[row] or rows.leaps[row]:
            return arguments
        if rows.leads[row] != NOWHERE:
            return 0 if self._at(rows.leads[row] + self.stretches[self._piece(row)][2]) else arguments
        own: int = rows.hands[row]
        return own if rows.falls[row] else results | arguments

    def _lost(self, row: int, held: int) -> tuple[int, int]:
        """The registers in which a row leaves no address of what they held; and those that are no addresses where it
        makes something of them."""
        if self.machine != t.EM_X86_64:
            return 0, 0
        said = self.exactly.told(row)
        if said.less is None or not held & (1 << said.less[0] | 1 << said.less[1]):
            return said.lost, 0
        less, of = self.exactly.differs(row)
        return (1 << of, 1 << less | 1 << of) if of >= 0 else (0, 0)

    def _kept(self, row: int, sure: int, lent: int, lost: int, numbers: int) -> int:
        """The registers that hold behind a row what some held before it, with those that they were ``lent``; see
        :meth:`_lost`."""
        kills: int = self.rows.kills[row] | lost
        parts, into = self.rows.parts[row] & ~numbers, 1 << self.rows.into[row] & ~lost
        left = 0
        if self.rows.calls[row] and self.calls is not None and (sure | lent) & kills & self.rows.volatile:
            if row not in self._leaves:
                self._leaves[row] = self.calls.left(self._place(row), self._callee(row))
            left = self._leaves[row]
        kept = sure & (~kills | left & self.rows.volatile) | (into if sure & parts else 0)
        late = (sure | lent) & kills & self.rows.volatile & left >> LENT | lent & ~kills | (into if lent & parts else 0)
        return kept | late << LENT

    def _ends(self, row: int) -> bool:
        """Whether a row is a call that certainly never returns."""
        if self.calls is None or not self.rows.calls[row]:
            return False
        if row not in self._never:
            beyond = self.calls.never(self._place(row), self._callee(row))
            own = [(low + shift, high + shift) for low, high, shift in self.stretches]
            self._never[row] = beyond is not None and not any(low <= x < high for x in beyond for low, high in own)
        return self._never[row]

    def _callee(self, row: int) -> int:
        """The offset of the section that a row calls; :data:`NOWHERE`."""
        callee: int = self.rows.callee[row]
        return callee + self._place(row) - self.rows.starts[row] if callee != NOWHERE else NOWHERE

    def _place(self, row: int) -> int:
        """Where a row stands in the section."""
        place: int = self.rows.starts[row] + self.stretches[self._piece(row)][2]
        return place

    def _piece(self, row: int) -> int:
        """The stretch that has a row."""
        if len(self.pieces) == 1:
            return 0
        return next(n for n, (begin, end) in enumerate(self.pieces) if begin <= row < end)

    def _after(self, row: int) -> list[int]:
        """Rows that may follow, but for indirect jumps."""
        number = self._piece(row)
        begin, end = self.pieces[number]
        after = []
        if self.rows.falls[row]:
            after += [row + 1] if row + 1 < end else self.beyond(self.stretches[number][1] + self.stretches[number][2])
        leads, starts = self.rows.leads[row], self.rows.starts
        if leads != NOWHERE:
            to = bisect_left(starts, leads, begin, end)
            here = to < end and starts[to] == leads
            after += [to] if here else self.beyond(leads + self.stretches[number][2])
        return after

    def _blocks(self) -> list[int]:
        """Rows to which an indirect jump may lead: all, for what is jumped to may also be fallen into (a case without a
        break), and which tables an object's code jumps by is not known."""
        return [row for begin, end in self.pieces for row in range(begin, end)]

    def _leaps(self, row: int) -> bool:
        """Whether a row jumps to where nothing says; in a function that is entered in ways nobody sees, also where it
        jumps out of the function: there may be what jumps back."""
        leads = self.rows.leads[row] != NOWHERE
        if self.rows.leaps[row] or self.machine != t.EM_X86_64 or not (leads or self.rows.calls[row]):
            return bool(self.rows.leaps[row])
        place = self._place(row)
        last = max(row - 1, self.pieces[self._piece(row)][0])
        before = self.raw[place + self.rows.starts[last] - self.rows.starts[row] : place].tobytes()
        if not leads:
            return entered.jumps(self.raw[place : place + entered.THUNK].tobytes(), before)
        place += self.rows.leads[row] - self.rows.starts[row]
        if self._row(place)[0] >= 0:
            return False
        inside = 0 <= place < len(self.raw)
        thunk = inside and entered.jumps(self.raw[place : place + entered.THUNK].tobytes(), before)
        return thunk or bool(self.__dict__.get("hidden"))

    @cached_property
    def hidden(self) -> list[int]:
        """The rows that are entered in ways that the function's code does not show."""
        out: dict[int, None] = {}
        for low, high in self.ways:
            for (start, stop, shift), (begin, end) in zip(self.stretches, self.pieces, strict=True):
                if low - shift < stop and high - shift > start:
                    first = bisect_left(self.rows.starts, low - shift, begin, end)
                    out |= dict.fromkeys(range(first, bisect_left(self.rows.starts, high - shift, begin, end)))
        if self._goes_forward():
            return list(out)
        begun = [row for place in self.begun for row in self._at(place)]
        found = entered.unreached(self.rows.cuts, self.pieces, self._seen, begun)
        return list(out | dict.fromkeys(row for row in found if not self._idle(row)))

    def _goes_forward(self) -> bool:
        """Whether all rows that do something are reached by going forward alone, see :mod:`forward`."""
        doubt = self.rows.doubt
        some = [row for begin, end in self.pieces for row in doubt[bisect_left(doubt, begin) : bisect_left(doubt, end)]]
        return all(self._idle(row) for row in some)

    def _seen(self, row: int) -> list[int] | None:
        """The rows that may follow one, also by exceptions; ``None``: any."""
        if self._leaps(row):
            return None
        if not self.rows.calls[row] or self.calls is None:
            return self._after(row)
        if self.calls.anywhere:
            return None
        return self._after(row) + [to for pad in self.calls.pads(self._place(row)) for to in self._at(pad)]

    def _idle(self, row: int) -> bool:
        """Whether a row does nothing."""
        _, stop, shift = self.stretches[self._piece(row)]
        start = self.rows.starts[row]
        end = self.rows.starts[row + 1] if row + 1 < len(self.rows.starts) else stop
        return entered.is_idle(self.machine, self.big, self.raw[start + shift : min(end, stop) + shift].tobytes())

    def beyond(self, place: int) -> list[int]:
        """The row of another stretch that begins at an offset of the section."""
        return self._at(place) if len(self.pieces) > 1 else []

    def _at(self, place: int) -> list[int]:
        row, at = self._row(place)
        return [row] if row >= 0 and at == place else []


def _reached(rows: Iterable[int], after: Callable[[int], Iterable[int]]) -> set[int]:
    """All rows that are reached from some."""
    seen = set(rows)
    waiting = list(seen)
    while waiting:
        for to in after(waiting.pop()):
            if to not in seen:
                seen.add(to)
                waiting.append(to)
    return seen


def _a64_taken(word: int) -> int:
    added, page = word & 0x7F800000 == 0x11000000, word & 0x1F000000 == 0x10000000  # ADD of a number, ADR and ADRP
    if not added and not page:
        return UNKNOWN
    return word & 31 if word & 31 < 31 else -1
