"""From the flow of addresses in a section of code to references: what processors with fixed instruction words share.

An immediate that is added to an address, or completes one, is a reference to what it makes. Where the address is
doubtful (see :mod:`tracking`), its bytes must be equal besides. An incomplete address that is used as it stands must be
one that did not move, or moved under the map. Jump tables are found by the jumps that read them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.elf_map import SHF_WRITE, Part
from banbury.compare.equivalence.elf_pair import span
from banbury.compare.equivalence.machines.callees import Calls, after, untouched
from banbury.compare.equivalence.machines.contract import CodePair, Mask, Sides
from banbury.compare.equivalence.machines.framed import Framed
from banbury.compare.equivalence.machines.liveness import live
from banbury.compare.equivalence.machines.operations import (
    ADDI,
    FETCH,
    FINAL,
    INDEXED,
    LOAD,
    LOADED,
    MERGE,
    MIXED,
    MIXED_PART,
    MOVE,
    NAMED,
    OTHER,
    PART,
    SHIFTED,
    SLOTS,
    STALE,
    STORE,
    WHOLE,
    Ops,
    is_half,
)  # fmt: skip
from banbury.compare.equivalence.machines.tracking import Tracking, has
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_exceptions import rows_of_pads
from banbury.compare.equivalence.relayout_map import AddressMap
from banbury.compare.equivalence.relayout_sizes import says_program

Load = Callable[[Ints, Ints], tuple[Ints, Ints, Ints]]
_ROUNDS = 8
_BEYOND = 3  # words of a table of jumps behind an address within it: as many as make no table of their own
_REACH = (0x8000, 0xFFFF)  # bytes before and behind a part of an address that an immediate completes it to


def nothing(a: Ints, b: Ints) -> tuple[Ints, Ints, Ints]:
    """No constant is known."""
    return np.full(len(a), -1, np.int64), a, b


class Followed:
    """What is common to all sections of code of one proof."""

    def __init__(self, sides: Sides, load: Load = nothing) -> None:
        self.sides, self.load = sides, load
        self.starts = np.zeros(0, np.int64)  # of functions, by address
        self.program = says_program(sides.a)  # else another file may replace what it exports
        self.never: set[int] = set()  # words that hold functions of other files that do not return
        self.bare: list[tuple[str, int, int, bool]] = []  # incomplete addresses that are used as they stand
        #: Addresses with an index, and what is so far from them: compilers find other objects so, and parts of one.
        self.apart: list[tuple[str, Ints, Ints]] = []
        self.kept: list[tuple[str, int, int, int]] = []  # those kept where they are not followed, with where

    def functions(self, addresses: Ints) -> None:
        """Addresses at which functions begin."""
        self.starts = np.union1d(self.starts, addresses)

    def section(self, one: Part, other: Part, ops: Ops) -> Section:
        inside = self.starts[(self.starts >= one.addr) & (self.starts < one.addr + one.size)]
        ops.entry[(inside - one.addr) // 4] = True
        return Section(self, one, other, ops)

    def finish(self, the_map: AddressMap) -> None:
        """Check the incomplete addresses that are used as they stand. Raises :class:`Refused`."""
        fixed = self.sides.image is not None  # then an upper half alone is a number: compilers complete all others
        for name, a, b, only in self.bare:
            if fixed and a == b:
                continue
            made = the_map.one(a)
            if fixed or (made != b and (made is not None or (a != b and not only))):
                raise Refused(name, f"a part of an address, {a:#x}, is used in a way that is not known")
        for name, bases, totals in self.apart:
            if not np.array_equal(the_map.many(bases) - bases, the_map.many(totals) - totals):
                raise Refused(name, "an address with an index, and so far from it what moved otherwise")
        for name, row, a, b in self.kept:  # whatever reads it again may complete it
            near = (p for p in the_map.pieces if p.start <= a + _REACH[1] and p.end > a - _REACH[0])
            if any(p.shift != b - a for p in near):
                raise Refused(name, f"at {row:#x}, a part of an address, {a:#x}, is kept where it is not followed")


class Section:
    """References of one section of code, as they are found."""

    def __init__(self, shared: Followed, one: Part, other: Part, ops: Ops) -> None:
        self.shared, self.one, self.other, self.ops = shared, one, other, ops
        self.marked = np.zeros(ops.count, bool)
        self._old: list[Ints] = []
        self._new: list[Ints] = []
        everything = np.zeros(ops.count, np.uint64)
        self.flow = Tracking(ops, shared.load, self._targets, everything)
        self.crossed = np.zeros(0, np.int64)  # calls over which something is kept in a register that they may change
        self._bounds = self._begun = np.zeros(0, np.int64)  # all labels, and those of tables
        self._absolute: set[int] = set()  # labels of tables of addresses
        self._base: tuple[int, int] | None = None
        self._order = ">u4" if shared.sides.big else "<u4"

    @property
    def jumps(self) -> set[int]:
        """Rows of jumps whose table is known."""
        return self.flow.jumps

    def mark(self, rows: Ints) -> None:
        """The immediates of these rows are parts of references."""
        self.marked[rows] = True

    def refer(self, rows: Ints, a: Ints, b: Ints, *, based: bool = False) -> None:
        """These rows make addresses; ``based``: loads and stores among them go there."""
        reads = np.isin(self.ops.kind[rows], [LOAD, STORE]) & based
        self.shared.sides.at.append((self.one, 4 * rows.astype(np.int64), a, reads))
        self._old.append(a)
        self._new.append(b)

    def branches(self, rows: Ints, a: Ints, b: Ints) -> None:
        self.mark(rows)
        self.refer(rows, a, b)

    # The flow

    def run(
        self, rows: Ints, places: Ints, kinds: Ints, a: Ints, b: Ints, *, base: tuple[int, int] | None = None
    ) -> None:
        """Follow values from where they begin. ``base``: from where the words of jump tables count (none: from the
        table). Raises :class:`NotDecoded`."""
        self._base = base
        for row, pad in rows_of_pads(self.shared.sides, self.one, np.flatnonzero(self.ops.call)):
            if self.ops.next[1, row] not in (-1, pad):
                raise NotDecoded(4 * row, "a call with two landing pads")
            self.ops.next[1, row] = pad
        self.ops.writes[rows] |= np.uint64(1) << np.maximum(places, 0).astype(np.uint64)
        good = places >= 0
        self.begun = rows, places, kinds, a, b
        known: dict[int, Ints] = {}
        falls, stubs = self.ops.next[0].copy(), self.ops.foreign.copy()
        self.ops.lost[stubs] = self.ops.volatile
        self.frames = Framed(self.ops)
        steady = False  # what the turn before found is what it was done with
        everything = np.full(self.ops.count, (1 << SLOTS) - 1, np.uint64)
        for turn in range(_ROUNDS):
            self.frames.enter(known)
            alive, told = everything, steady
            if turn:  # first all tables are found
                alive = live(self.ops, known, self._read(self.flow.live if steady else everything))
            self.flow = Tracking(self.ops, self.shared.load, self._targets, alive)
            self.flow.absolute = self._absolute
            self.flow.start(rows[good], places[good], kinds[good], a[good], b[good])
            bounds = self._labels()
            calls = self.calls = self._calls(stubs)
            lost, over = after(self.ops, falls, self.flow.extra, calls)
            followed = np.where(over, -1, falls)
            steady = not self.frames.more(*self._stored()) and _same(self.flow.extra, known)
            steady &= turn > 0 and not len(np.setdiff1d(bounds, self._bounds))
            spared = self._spared(calls)
            steady &= np.array_equal(spared, self.ops.spared)
            steady &= np.array_equal(lost, self.ops.lost) and np.array_equal(followed, self.ops.next[0])
            if steady and told:
                break
            known = self.flow.extra
            self.ops.foreign, self.ops.lost, self.ops.spared, self.ops.next[0] = calls.foreign, lost, spared, followed
            self._bounds = np.union1d(bounds, self._bounds)
            tables = [label for label, _ in self.flow.labels]
            self._begun = np.union1d(np.array(tables, np.int64), self._begun)
        else:
            raise NotDecoded(0, "tables of jumps that lead to ever more tables")
        self._uses()
        self._tables()

    def _spared(self, calls: Calls) -> npt.NDArray[np.uint64]:
        """For each row the registers that its call leaves as they are, where something is kept in one over it."""
        self.crossed = np.union1d(self.crossed, self.flow.crossed())
        return untouched(self.ops, self.flow.extra, calls, self.crossed)

    def _read(self, live: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """For each row what its call may read: of a function of this section, the arguments that this reads."""
        ops, own = self.ops, self.calls.own
        args = np.where(own >= 0, ops.arguments & live[np.maximum(own, 0)], ops.arguments)
        return np.where(ops.call, args, np.uint64(0)).astype(np.uint64)

    def _stored(self) -> tuple[Ints, Ints]:
        """Stores of parts of addresses to what is no known place, of addresses too where a jump has no table yet; and
        of what may be the address of a function, to the stack."""
        ops = self.ops
        jumps = np.flatnonzero((ops.jump >= 0) & (ops.jump != ops.linked) & (ops.linked >= 0))
        self.frames.whole |= bool(np.setdiff1d(jumps, list(self.flow.jumps)).size)
        rows = np.flatnonzero((ops.kind == STORE) & (ops.rt >= 0))
        state = self.flow.state[rows * self.flow.places + ops.rt[rows]]
        rows, state = rows[state >= 0], state[state >= 0].astype(np.int64)
        kind, a, b = self.flow.values.table[state].T
        some = is_half(kind, a, b) | (self.frames.whole & (kind == WHOLE))
        kind = kind % STALE
        function = (kind == MIXED) & (a > 0)
        for part in (x for x, _ in self.shared.sides.pairs if x.code):
            function |= ((kind == WHOLE) | (kind == NAMED)) & (a >= part.addr) & (a < part.addr + part.size)
        self.frames.note(rows[function])
        return rows[some & (ops.slots[rows] < 0)], rows[function]

    def _labels(self) -> Ints:
        """All addresses that the code makes up, if it reads tables of jumps: no table goes on behind another label."""
        table = self.flow.values.table
        if not self.flow.labels:
            return np.zeros(0, np.int64)
        kind = table[:, 0] % STALE
        made = table[kind == WHOLE, 1]
        return np.union1d(made, np.array([label for label, _ in self.flow.labels], np.int64))

    def _calls(self, stubs: Mask) -> Calls:
        """What is called, as :mod:`callees` takes it. ``stubs``: direct calls of what binds other files' functions."""
        ops, one = self.ops, self.one
        rows = np.flatnonzero(ops.via >= 0)
        at = rows * self.flow.places + ops.via[rows]
        state, rows = self.flow.state[at].astype(np.int64), rows + ops.delayed
        kind, to = np.full(len(rows), LOADED, np.int64), np.full(len(rows), -1, np.int64)
        kind[state >= 0], to[state >= 0] = self.flow.values.table[state[state >= 0]].T[:2]
        callee, foreign, final = ops.callee.copy(), stubs.copy(), self._final(stubs)
        doubt = np.zeros(ops.count, bool)
        doubt[rows] = self.flow.doubt[at] | (kind >= STALE)
        kind = kind % STALE
        final[rows] = (kind == NAMED) & (to == FINAL) & ~doubt[rows]
        foreign[rows] = ((kind == LOADED) & (not self.frames.short)) | ((kind == NAMED) & (to <= FINAL))
        inside = ((kind == WHOLE) | (kind == NAMED)) & (to >= one.addr) & (to < one.addr + one.size) & (to % 4 == 0)
        callee[rows[inside]] = (to[inside] - one.addr) // 4
        replaced = np.zeros(ops.count, bool)
        replaced[rows] = (kind == NAMED) & (to > FINAL)
        either = dict[int, list[int]]()
        for row, number in zip(*(x[(kind == MIXED) & (to > 0)].tolist() for x in (rows, to)), strict=True):
            members = self.flow.values.members(number)
            found = [a for _, a, _ in members]
            replaced[row] = any(k == NAMED and a > FINAL for k, a, _ in members)
            final[row] = set(found) == {FINAL} and not doubt[row]
            foreign[row] |= min(found) <= FINAL
            if all(one.addr <= a < one.addr + one.size and a % 4 == 0 for a in found):
                either[row] = [(a - one.addr) // 4 for a in found]
        return Calls(callee, foreign, final, either, replaced & (not self.shared.program), doubt & ~foreign)

    def _final(self, stubs: Mask) -> Mask:
        """Direct calls of what binds a function of another file that does not return: by the word that it reads."""
        ops, out = self.ops, np.zeros(self.ops.count, bool)
        calls = np.flatnonzero(stubs & (ops.callee >= 0)) if self.shared.never else np.zeros(0, np.int64)
        at = ops.callee[calls]
        row = np.where(ops.kind[at] == LOAD, at, np.minimum(at + 1, ops.count - 1))
        base = row * self.flow.places + np.maximum(ops.rs[row], 0)
        state = self.flow.state[base].astype(np.int64)
        known = (state >= 0) & (ops.kind[row] == LOAD) & (ops.rs[row] >= 0)
        kind, a, _ = self.flow.values.table[state[known]].T if known.any() else np.zeros((3, 0), np.int64)
        read = (a + ops.imm[0][row[known]]) & 0xFFFFFFFF
        out[calls[known]] = (kind <= WHOLE) & ~self.flow.doubt[base[known]] & np.isin(read, list(self.shared.never))
        return out

    def _uses(self) -> None:
        ops, name = self.ops, self.one.name
        row, place, value, doubt = self.flow.held()
        kind, a, b = self.flow.values.table[value].T if len(value) else np.zeros((3, 0), np.int64)
        half, kind = is_half(kind, a, b), kind % STALE
        does = ops.kind[row]
        based = (place == ops.rs[row]) & np.isin(does, [ADDI, LOAD, STORE])
        lost = np.flatnonzero(based & (kind == MIXED_PART))
        if len(lost):
            raise NotDecoded(4 * int(row[lost[0]]), "an address of two possible upper halves")
        used = based & (kind <= INDEXED)
        first, second = a + ops.imm[0][row], b + ops.imm[1][row]
        fetched = np.flatnonzero(used & (does == LOAD) & (kind <= WHOLE))
        got, address, _ = self.shared.load(first[fetched], second[fetched])
        held = fetched[got >= 0]
        nothing = np.zeros(len(held), bool)
        self.shared.sides.at.append((self.one, 4 * row[held].astype(np.int64), address[got >= 0], nothing))
        hidden = used & (does == ADDI) & (ops.rd[row] == ops.through) & (ops.through >= 0)
        told = used & ~hidden
        self.refer(row[told], first[told], second[told], based=True)
        self._before(row, first, told & (kind == INDEXED))
        apart = told & (kind == INDEXED) & ~half
        self.shared.apart.append((name, a[apart], first[apart]))
        direct = told & (kind <= WHOLE) & np.isin(does, [LOAD, STORE])
        self.shared.sides.straight.append((self.one, first[direct | apart]))
        self.mark(row[used & ~doubt])
        self.mark(row[(place == ops.rs[row]) & (does == SHIFTED) & (kind <= WHOLE) & ~doubt])
        bits = (ops.reads[row] >> np.minimum(place, 63).astype(np.uint64)) & np.uint64(1)
        if self.shared.sides.image is not None:
            read = (place < SLOTS) & (bits != 0) & np.isin(does, [OTHER, MERGE, FETCH])
            lost = np.flatnonzero(_halved(kind, a, b) & (read | ((does == STORE) & (place == ops.rt[row]))))
            if len(lost):
                raise NotDecoded(4 * int(row[lost[0]]), "an upper half that changed is used alone")
        escaped = (place < SLOTS) & (bits != 0) & (kind == PART) & np.isin(does, [OTHER, MERGE])
        stored = (does == STORE) & (place == ops.rt[row]) & ((ops.slots[row] < 0) | self.frames.mixed[row])
        for at in np.flatnonzero(escaped | (stored & (kind == PART))).tolist():
            self.shared.bare.append((name, int(a[at]), int(b[at]), False))
        for at in np.flatnonzero((stored | (place == ops.put[row])) & half).tolist():
            if kind[at] == MIXED_PART:
                raise NotDecoded(4 * int(row[at]), "an address of two possible upper halves is kept")
            self.shared.kept.append((name, self.one.addr + 4 * int(row[at]), int(a[at]), int(b[at])))

    def _before(self, row: Ints, value: Ints, indexed: Mask) -> None:
        """In a file for a fixed address, an address with an index that lies in code is one before its object."""
        if self.shared.sides.image is None:
            return
        for part, _ in self.shared.sides.pairs:
            if part.code:
                lost = np.flatnonzero(indexed & (value >= part.addr) & (value < part.addr + part.size))
                if len(lost):
                    raise NotDecoded(4 * int(row[lost[0]]), "an address that may lie before its object")

    def complete(self, rows: Ints, place: int) -> None:
        """Behind these rows a register is read by somebody else, unless a function of this section is called that does
        not: what is in it is complete, if it can be an address."""
        callee = self.calls.own[rows]
        rows = rows[~((callee >= 0) & ~has(self.flow.live[np.maximum(callee, 0)], np.full(len(rows), place)))]
        held = [self._at(rows[~has(self.ops.writes[rows], np.full(len(rows), place))], place)]
        into = rows[self.ops.rd[rows] == place]  # the row of a call or return may itself fill the register
        for row in into[np.isin(self.ops.kind[into], [MOVE, LOAD])].tolist():
            there = self.ops.rs[row] if self.ops.kind[row] == MOVE else self.ops.slots[row]
            held.append(self._at(np.array([row]), int(there)) if there >= 0 else [])
        found = [self.flow.values.table[value].tolist() for value in sorted(set(chain(*held)))]
        begun = np.isin(self.begun[0], rows) & (self.begun[1] == place)
        for kind, a, b in chain(found, zip(*(column[begun].tolist() for column in self.begun[2:]), strict=True)):
            if kind == PART or (self.shared.sides.image is not None and _halved(kind % STALE, a, b)):
                self.shared.bare.append((self.one.name, a, b, True))

    def _at(self, rows: Ints, place: int) -> list[int]:
        """The values that a place has at some rows."""
        state = self.flow.state[rows * self.flow.places + place]
        return list(state[state >= 0].tolist())

    def halves(self, rows: Ints, a: Ints, b: Ints, registers: tuple[int, ...]) -> None:
        """In a file for a fixed address: upper halves (made at ``rows``) that changed are not handed on as they stand,
        neither by what runs with a jump nor in ``registers`` where other functions go on. Raises
        :class:`NotDecoded`."""
        ops = self.ops
        away = ops.call | ops.returns | ops.leaves | (ops.jump >= 0)
        led = ops.next[1]
        away |= (led >= 0) & ops.entry[np.maximum(led, 0)]
        if ops.delayed:
            away[1:] |= ops.jump[:-1] >= 0
            lost = rows[(a != b) & away[rows]]
            if len(lost):
                raise NotDecoded(4 * int(lost[0]), "an upper half that changed is handed on")
        for register in registers:
            self.complete(np.flatnonzero(away), register)

    def is_loaded(self, row: int) -> bool:
        """Whether a row adds something to what was loaded from a table."""
        for place in (int(self.ops.rs[row]), int(self.ops.rt[row])):
            if place >= 0:
                held = self._at(np.array([row]), place)
                if held and self.flow.values.table[held[0], 0] % STALE == LOADED:
                    return True
        return False

    def is_known(self, row: int, place: int) -> bool:
        """Whether a register holds an address at a row."""
        held = self._at(np.array([row]), place)
        return bool(held) and int(self.flow.values.table[held[0], 0]) % STALE <= INDEXED

    def is_mixed(self, row: int, place: int) -> bool:
        """Whether a register holds one of two values at a row."""
        held = self._at(np.array([row]), place)
        return bool(held) and int(self.flow.values.table[held[0], 0]) % STALE in (MIXED, MIXED_PART)

    # Jump tables

    def _words(self, label: int) -> tuple[Part, Part, Ints] | None:
        """The section that a table stands in, which nothing writes, and its words up to the next table, or up to
        another label: not one with few words behind it that lead to where the table's own do, for code makes addresses
        before objects too."""
        for one, other in self.shared.sides.pairs:
            inside = one.addr <= label < one.addr + one.size
            if one.index in self.shared.sides.masks and inside and not one.code and not one.flags & SHF_WRITE:
                after = self._begun[self._begun > label]
                end = min(int(after[0]) if len(after) else one.addr + one.size, one.addr + one.size)
                raw = self.shared.sides.raw[one.index][0][label - one.addr : end - one.addr]
                words = raw[: len(raw) // 4 * 4].view(self._order).astype(np.int64)
                return one, other, words[: self._length(label, words)]
        return None

    def _length(self, label: int, words: Ints) -> int:
        """How many of the words behind a label may be the table's."""
        after = self._bounds[self._bounds > label]
        least = min(-(-(int(after[0]) - label) // 4), len(words)) if len(after) else len(words)
        rows = self._rows(words[: least + _BEYOND + 1], self._from(label, label)[0])
        if len(rows) <= least:
            return least
        owner = np.searchsorted(np.flatnonzero(self.ops.entry), rows, "right")
        other = ~np.isin(owner[least:], owner[:least]) | self.ops.entry[rows[least:]]
        more = int(np.argmax(other)) if other.any() else len(other)
        return least + more if more <= _BEYOND else least

    def _targets(self, label: int) -> Ints:
        """The rows that a table's words lead to: as many as lead to an instruction of this section."""
        found = self._words(label)
        if found is None or label % 4:
            return np.zeros(0, np.int64)
        return self._rows(found[2], self._from(label, label)[0])

    def _from(self, label: int, label_b: int) -> tuple[int, int]:
        """From where the words of a table count, in both files."""
        if label in self._absolute:
            return 0, 0
        return (label, label_b) if self._base is None else self._base

    def _rows(self, words: Ints, base: int) -> Ints:
        offset = ((words + base) & 0xFFFFFFFF) - self.one.addr
        bad = np.flatnonzero((offset < 0) | (offset >= self.one.size) | (offset % 4 != 0))
        return offset[: bad[0] if len(bad) else len(offset)] // 4

    def _tables(self) -> None:
        """Enter the words of all tables as references. Raises :class:`Refused`."""
        sides = self.shared.sides
        for label, label_b in sorted(self.flow.labels):
            found = self._words(label)
            rows = self._targets(label)
            if found is None or not len(rows):
                raise NotDecoded(0, f"no table of jumps stands at {label:#x}")
            one, other, words = found
            base, base_b = self._from(label, label_b)
            at, at_b = label - one.addr, label_b - other.addr
            raw_b = sides.raw[one.index][1]
            size = 4 * len(rows)
            if at_b < 0 or at_b + size > len(raw_b):
                raise Refused(one.name, "a jump table runs out of its section")
            there = raw_b[at_b : at_b + size].view(self._order).astype(np.int64)
            self.refer(rows, (words[: len(rows)] + base) & 0xFFFFFFFF, (there + base_b) & 0xFFFFFFFF)
            sides.masks[one.index][at : at + size] = True
            if not np.array_equal(words[: len(rows)], there):
                here = [Range(at + one.offset, at + one.offset + size)]
                sides.pair.account.explain(
                    "elf.moved-table", here, [Range(at_b + other.offset, at_b + other.offset + size)]
                )

    # The result

    def pair(self) -> CodePair:
        """The section as the proof takes it."""
        if not self.ops.field[self.marked].any():
            return self._result()
        self.shared.sides.pair.account.explain("elf.moved-half", [span(self.one)], [span(self.other)], self.one.name)
        return self._result()

    def _result(self) -> CodePair:
        bits = np.where(self.marked, self.ops.field, 0).astype(self._order).view(np.uint8)
        entries: Mask = np.zeros(self.one.size + 1, bool)
        entries[::4] = True
        old, new = (np.concatenate(x) if x else np.zeros(0, np.int64) for x in (self._old, self._new))
        if self.shared.sides.image is not None:
            kept = ~((old == new) & self.shared.sides.is_number(old))
            old, new = old[kept], new[kept]
        return CodePair(old, new, bits.copy(), entries)


def _halved(kind: Ints, a: Ints, b: Ints) -> Mask:
    """Whether values are upper halves that changed, perhaps with an index."""
    out: Mask = ((kind == PART) | (kind == INDEXED)) & (a & 0xFFFF == 0) & (b & 0xFFFF == 0) & (a != b)
    return out


def _same(one: dict[int, Ints], other: dict[int, Ints]) -> bool:
    """Whether two sets of jumps lead to the same rows."""
    return one.keys() == other.keys() and all(np.array_equal(np.sort(one[k]), np.sort(other[k])) for k in one)
