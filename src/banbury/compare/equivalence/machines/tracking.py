"""Which registers hold an address, or a part of one, that the code makes up from immediates: a flow analysis.

A processor with fixed instruction words makes an address in two steps or more (an upper half and a lower half, a
place in the table of addresses and an offset into what stands there). This module follows each such value from where
it begins, through copies, the stack and every branch, to all instructions that add an immediate to it. Both files
are followed at once: a value is a pair of numbers, one for each file.

A value that may have been lost on the way (a call may change the register; another path brings none) is *doubtful*: an
immediate that is added to it must then be right under both readings, as part of an address and as a number. Two
values that meet in one register are no value any more, and an immediate there is only a number; where one of them was
an incomplete address the file is refused.

The analysis runs on whole arrays: one step moves every value on by one instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import distinct, runs
from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.machines.callees import unreached
from banbury.compare.equivalence.machines.operations import (
    ADD,
    ADDI,
    BASED,
    FETCH,
    INDEXED,
    LOAD,
    LOADED,
    MERGE,
    MIXED,
    MIXED_PART,
    MOVE,
    PART,
    SHIFTED,
    SLOTS,
    STALE,
    STORE,
    WHOLE,
    Flags,
    Ops,
    Values,
    is_half,
)  # fmt: skip

Triple = tuple[Ints, Ints, Ints]
_STEPS: Final = 1 << 17
_ONE: Final = np.uint64(1)


def has(bits: npt.NDArray[np.uint64], place: Ints) -> Flags:
    """Whether a register is in a set; words on the stack never are."""
    out: Flags = (((bits >> np.minimum(place, 63).astype(np.uint64)) & _ONE) != 0) & (place < SLOTS)
    return out


class Tracking:
    """The analysis. ``load`` gives what is stored at constant addresses (kind -1: not known), ``targets`` the rows that
    a table of jumps leads to. Raises :class:`NotDecoded` where it does not end."""

    def __init__(
        self,
        ops: Ops,
        load: Callable[[Ints, Ints], Triple],
        targets: Callable[[int], Ints],
        live: npt.NDArray[np.uint64],
    ) -> None:
        self.ops, self.load, self.targets, self.live = ops, load, targets, live
        self.values = Values()
        self.places = ops.places
        self.state = np.full(ops.count * self.places, -1, np.int32)
        self.extra: dict[int, Ints] = {}  # rows that a jump through a table leads to
        self.labels: set[tuple[int, int]] = set()  # of the tables
        self.jumps: set[int] = set()  # rows of jumps whose table is known
        self.absolute: set[int] = set()  # labels of tables that hold addresses, and no distances
        self._edges: list[Ints] = []  # (row it comes from, place it arrives at, after a call)
        self.doubt = np.zeros(0, bool)

    def start(self, rows: Ints, places: Ints, kind: Ints, a: Ints, b: Ints) -> None:
        """Values that begin at some rows: afterwards the place holds them. Then everything is followed."""
        frontier = self._arrive(rows, places, self.values.of(kind, a, b))
        steps = 0
        while len(frontier):
            steps += 1
            if steps > _STEPS:
                raise NotDecoded(0, "the flow of addresses does not end")
            row, place = np.divmod(frontier, self.places)
            frontier = self._arrive(*self._step(row, place, self.state[frontier].astype(np.int64)))
        self._doubts()

    # One step

    def _step(self, row: Ints, place: Ints, value: Ints) -> Triple:
        ops = self.ops
        kind = ops.kind[row]
        slot = ops.slots[row]
        on_stack = place >= SLOTS
        stays = ~has(ops.writes[row], place)
        stays &= ~(ops.loses(row, place) | (on_stack & (kind == STORE) & (slot == place)))
        merged = (kind == MERGE) & (place == ops.rd[row])
        stays &= ~merged
        based = (place == ops.rs[row]) & ~on_stack
        either = based | ((place == ops.rt[row]) & ~on_stack)
        out = [(row[stays], place[stays], value[stays])]
        for mask, produced in (
            (based & (kind == ADDI), self._added),
            (based & (kind == SHIFTED), self._shifted),
            (either & (kind == ADD), self._indexed),
            (based & (kind == LOAD), self._loaded),
            (either & (kind == FETCH), self._fetched),
            (merged | (based & (kind == MERGE)), self._mixed),
        ):
            out += self._produced(row, value, mask, ops.rd, produced)
        out += self._produced(row, value, based & ops.update[row], ops.rs, self._added)
        same = based & (kind == MOVE)
        spilled = (kind == STORE) & (place == ops.rt[row]) & (slot >= 0) & ~on_stack
        spilled[spilled] &= ~ops.far[slot[spilled]] | is_half(*self.values.table[value[spilled]].T)
        filled = (kind == LOAD) & (place == slot) & on_stack
        out += [(row[m], to[m], value[m]) for m, to in ((same, ops.rd[row]), (spilled, slot), (filled, ops.rd[row]))]
        jumps = np.flatnonzero(ops.jump[row] == place)
        out += [self._jump(int(row[at]), int(value[at])) for at in jumps]
        rows, places, values = (np.concatenate([o[k] for o in out]) for k in range(3))
        keep = places >= 0
        return rows[keep], places[keep], values[keep]

    @staticmethod
    def _produced(
        row: Ints, value: Ints, mask: Flags, into: Ints, produced: Callable[[Ints, Ints], tuple[Ints, Flags]]
    ) -> list[Triple]:
        at = np.flatnonzero(mask)
        if not len(at):
            return []
        fresh, good = produced(row[at], value[at])
        return [(row[at][good], into[row[at]][good], fresh[good])]

    def _added(self, row: Ints, value: Ints) -> tuple[Ints, Flags]:
        return self._plus(row, value, [WHOLE, WHOLE, INDEXED, -1, -1, MIXED, MIXED_PART])

    def _shifted(self, row: Ints, value: Ints) -> tuple[Ints, Flags]:
        """An upper half added: an address becomes incomplete."""
        return self._plus(row, value, [PART, PART, MIXED_PART, -1, -1, MIXED_PART, MIXED_PART])

    def _plus(self, row: Ints, value: Ints, kinds: list[int]) -> tuple[Ints, Flags]:
        kind, a, b, stale = self._known(value)
        after = np.array([*kinds, -1], np.int64)[kind]
        first, second = self.ops.imm[:, row]
        mixed = after >= MIXED
        x, y = np.where(mixed, 0, a + first), np.where(mixed, 0, b + second)
        return self.values.of(np.maximum(after, 0) + stale, x, y), after >= 0

    def _known(self, value: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """Kinds, both numbers, and what marks a stale one."""
        kind, a, b = self.values.table[value].T
        return kind % STALE, a, b, kind // STALE * STALE

    def _indexed(self, row: Ints, value: Ints) -> tuple[Ints, Flags]:
        kind, a, b, stale = self._known(value)
        after = np.array([INDEXED, INDEXED, INDEXED, BASED, BASED, MIXED, MIXED_PART, -1], np.int64)[kind]
        return self.values.of(np.maximum(after, 0) + stale, a, b), after >= 0

    def _fetched(self, row: Ints, value: Ints) -> tuple[Ints, Flags]:
        """A load from an address and an index."""
        kind, a, b, stale = self._known(value)
        return self.values.of(LOADED + stale, a, b), (kind <= INDEXED) & self.ops.word[row]

    def _loaded(self, row: Ints, value: Ints) -> tuple[Ints, Flags]:
        kind, a, b, stale = self._known(value)
        first, second = self.ops.imm[:, row]
        known = ((kind == PART) | (kind == WHOLE)) & self.ops.word[row]
        got, x, y = self.load(a + first, b + second)
        table = (kind <= INDEXED) & self.ops.word[row]
        after = np.where(known & (got >= 0), got, np.where(table, LOADED, -1))
        x, y = (np.where(after == LOADED, v + i, w) for v, i, w in ((a, first, x), (b, second, y)))
        return self.values.of(np.maximum(after, 0) + stale, x, y), after >= 0

    def _mixed(self, row: Ints, value: Ints) -> tuple[Ints, Flags]:
        kind, _, _, stale = self._known(value)
        zero = np.zeros(len(value), np.int64)
        mixed = np.where((kind == PART) | (kind == MIXED_PART), MIXED_PART, MIXED)
        return self.values.of(mixed + stale, zero, zero), np.ones(len(row), bool)

    def _jump(self, row: int, number: int) -> Triple:
        """A jump through a table: what has arrived before goes to its rows too."""
        none = np.zeros(0, np.int64)
        kind, *labels = self.values.table[number].tolist()
        source = row + self.ops.delayed
        absolute = self.ops.absolute and kind == LOADED
        if (kind != self.ops.tabled and not absolute) or source >= self.ops.count:
            return none, none, none
        if absolute:
            self.absolute.add(labels[0])
            if self.ops.jump[row] == self.ops.linked and not len(self.targets(labels[0])):
                return none, none, none  # a pointer to a function elsewhere
        self.labels.add((labels[0], labels[1]))
        self.jumps.add(row)
        known = self.extra.get(source, none)
        fresh = np.setdiff1d(self.targets(labels[0]), known)
        if not len(fresh):
            return none, none, none
        self.extra[source] = np.concatenate((known, fresh))
        here = np.flatnonzero(self.state[source * self.places : (source + 1) * self.places] >= 0)
        held = self.state[source * self.places + here].astype(np.int64)
        return self._step(np.full(len(here), source, np.int64), here, held)

    # Where values arrive

    def _arrive(self, row: Ints, place: Ints, value: Ints) -> Ints:
        """Send values from their rows to all rows that follow; returns the places that changed."""
        ops = self.ops
        keys, values, froms, calls = [], [], [], []
        volatile, (lost, spared) = (
            has(np.full(len(place), ops.volatile), place),
            (has(sets[row], place) for sets in (ops.lost, ops.spared)),
        )
        for branch, follow in enumerate(ops.next):
            to = follow[row]
            good = to >= 0
            good &= ~ops.entry[np.maximum(to, 0)] | ((place == ops.through) & bool(branch))
            good &= ~(lost & (ops.foreign[row] | (branch == 0)))
            keys.append(to[good] * self.places + place[good])
            values.append(value[good])
            froms.append(row[good])
            calls.append((ops.call[row] & volatile & ~(spared & (branch == 0)))[good])
        if ops.through >= 0:
            good = (ops.callee[row] >= 0) & (place == ops.through)
            keys.append(ops.callee[row[good]] * self.places + place[good])
            values.append(value[good])
            froms.append(row[good])
            calls.append(np.zeros(int(good.sum()), bool))
        for source in set(row.tolist()) & self.extra.keys() if self.extra else ():
            here = np.flatnonzero(row == source)
            to = self.extra[source]
            keys.append((to[:, None] * self.places + place[here]).ravel())
            values.append(np.broadcast_to(value[here], (len(to), len(here))).ravel())
            froms.append(np.full(len(to) * len(here), source, np.int64))
            calls.append(np.zeros(len(to) * len(here), bool))
        values = [self._aged(v, c) for v, c in zip(values, calls, strict=True)]
        key, new, source_row, called = (np.concatenate(x) for x in (keys, values, froms, calls))
        to_row, to_place = np.divmod(key, self.places)
        alive = (to_place >= SLOTS) | has(self.live[to_row], to_place)
        key, new, source_row, called = (x[alive] for x in (key, new, source_row, called))
        self._edges.append(np.stack((source_row, key, called.astype(np.int64))))
        return self._enter(key, new)

    def _aged(self, value: Ints, called: Flags) -> Ints:
        """Values after calls that may have changed where they are."""
        if not called.any():
            return value
        out = value.copy()
        kind, a, b, _ = self._known(value[called])
        out[called] = self.values.of(kind + STALE, a, b)
        return out

    def _enter(self, key: Ints, new: Ints) -> Ints:
        """Enter values into places, those of one place one after the other; returns the places that changed."""
        changed = []
        order = np.argsort(key, kind="stable")
        key, new = key[order], new[order]
        at, stop = runs(key)
        begins, ends = runs(key, new)
        after = np.repeat(ends, ends - begins)  # behind equal values in one place
        while len(at):
            here, value = key[at], new[at]
            old = self.state[here].astype(np.int64)
            clash = (old >= 0) & (old != value)
            if clash.any():
                value = value.copy()
                value[clash] = self._meet(old[clash], value[clash])
            different = value != old
            self.state[here[different]] = value[different]
            changed.append(here[different])
            at = np.where(value == new[at], after[at], at + 1)  # what is there already changes nothing
            at, stop = at[at < stop], stop[at < stop]
        return distinct(np.concatenate(changed)) if changed else np.zeros(0, np.int64)

    def _meet(self, old: Ints, new: Ints) -> Ints:
        """Two values in one place. What was loaded from a table and the table's own address, added, are the former; an
        address that a loop adds to is one with an index."""
        known = self._known(old), self._known(new)
        kinds = known[0][0], known[1][0]
        part = np.zeros(len(old), bool)
        for kind in kinds:
            part |= (kind == PART) | (kind == MIXED_PART)
        zero = np.zeros(len(old), np.int64)
        both = np.minimum(known[0][3], known[1][3])
        sets = zero.copy()
        for at in np.flatnonzero(~part & (both == 0)).tolist():
            sets[at] = self.values.either(int(old[at]), int(new[at]))
        out = self.values.of(np.where(part, MIXED_PART, MIXED) + both, sets, zero)
        same = (known[0][1] == known[1][1]) & (known[0][2] == known[1][2])
        for one, other, chosen in ((0, 1, old), (1, 0, new)):
            out = np.where((kinds[one] == BASED) & (kinds[other] == INDEXED), chosen, out)
            out = np.where(same & (kinds[one] == INDEXED) & (kinds[other] == WHOLE), chosen, out)
        for one, other, fresh in ((0, 1, new), (1, 0, old)):  # what a call left behind is read by nobody
            out = np.where((known[one][3] > 0) & (known[other][3] == 0), fresh, out)
        return out

    # What is certain

    def _doubts(self) -> None:
        """Mark the places to which some way brings no value, and all that follows from them."""
        ops = self.ops
        size = max(len(self.state), 1)
        edges = np.concatenate(self._edges, axis=1) if self._edges else np.zeros((3, 0), np.int64)
        packed = distinct(edges[0] * size + edges[1])
        rows, keys = packed // size, packed % size
        into = np.zeros(ops.count, np.int64)
        alive, dead = ~self._padding(), unreached(ops, self.extra)
        for follow in ops.next:
            into += np.bincount(follow[(follow >= 0) & alive & ~(dead & ~dead[follow])], minlength=ops.count)
        for targets in self.extra.values():
            into[targets] += 1
        arrived = np.sort(keys[~(dead[rows] & ~dead[keys // self.places])])
        first, end = runs(arrived)
        self.doubt = np.zeros(len(self.state), bool)
        self.doubt[arrived[first][end - first < into[arrived[first] // self.places]]] = True
        if ops.through >= 0:
            self.doubt[np.flatnonzero(ops.entry) * self.places + ops.through] = False
        held = np.flatnonzero(self.state >= 0)
        stale = self.values.table[self.state[held].astype(np.int64), 0] >= STALE if len(held) else held > 0
        self.doubt[held[stale]] = True
        self._spread(rows, keys)

    def _padding(self) -> Flags:
        """Rows that do nothing, behind a jump, and that nothing leads to."""
        ops = self.ops
        led = ops.entry.copy()
        other = ops.next[0] != np.arange(1, ops.count + 1)
        led[ops.next[1][ops.next[1] >= 0]] = True
        led[ops.next[0][other & (ops.next[0] >= 0)]] = True
        for rows in self.extra.values():
            led[rows] = True
        idle = ops.idle & ~led
        first = np.zeros(1, bool)
        dead: Flags = idle & np.concatenate((first, other[:-1]))
        for _ in range(64):
            more = idle & np.concatenate((first, dead[:-1])) & ~dead
            if not more.any():
                break
            dead |= more
        return dead

    def _spread(self, rows: Ints, keys: Ints) -> None:
        """Doubt goes on with what it stands in: the same place of the next row, or the one it was copied to."""
        begin = np.searchsorted(rows, np.arange(self.ops.count + 1))
        frontier = np.flatnonzero(self.doubt)
        while len(frontier):
            row, place = np.divmod(frontier, self.places)
            count = begin[row + 1] - begin[row]
            owner = np.repeat(np.arange(len(row)), count)
            at = np.repeat(begin[row] - (np.cumsum(count) - count), count) + np.arange(len(owner))
            to = keys[at]
            heir = self._inherited(row[owner], place[owner], to % self.places)
            fresh = distinct(to[heir])
            fresh = fresh[~self.doubt[fresh]]
            self.doubt[fresh] = True
            frontier = fresh

    def _inherited(self, row: Ints, place: Ints, to: Ints) -> Flags:
        """Whether what is in one place before a row is what is in another behind it, or goes into that."""
        ops = self.ops
        kind, slot = ops.kind[row], ops.slots[row]
        kept = (to == place) & ~has(ops.writes[row], place) & ~((kind == STORE) & (place == slot))
        made = ((place == ops.rs[row]) | (place == ops.rt[row])) & (
            (to == ops.rd[row]) | (ops.update[row] & (to == ops.rs[row]))
        )
        stored = (kind == STORE) & (place == ops.rt[row]) & (to == slot)
        out: Flags = kept | made | stored | ((kind == LOAD) & (place == slot) & (to == ops.rd[row]))
        return out

    # What was found

    def crossed(self) -> Ints:
        """Rows of calls over which something is in a register that they may change."""
        edges = np.concatenate(self._edges, axis=1) if self._edges else np.zeros((3, 0), np.int64)
        return distinct(edges[0][edges[2] > 0])

    def held(self) -> tuple[Ints, Ints, Ints, Flags]:
        """Rows, places, values and doubts of everything that is known."""
        at = np.flatnonzero(self.state >= 0)
        row, place = np.divmod(at, self.places)
        return row, place, self.state[at].astype(np.int64), self.doubt[at]
