"""A section of Arm code taken apart without symbols: what is reached, in which instruction set, and what is data.

Code is what a path from a known entry reaches; data are the literals that reached code loads and the tables that its
branches go by. Nothing may be both, and what is neither must be padding.

Source: Arm ARM DDI 0406C, A4.2 (changing between the instruction sets), A8 (LDR literal, TBB).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.a32 import Decoded, decode_a32
from banbury.compare.equivalence.machines.arm_nodes import Nodes
from banbury.compare.equivalence.machines.calls import NARROW
from banbury.compare.equivalence.machines.flow import spread
from banbury.compare.equivalence.machines.t32 import decode_t32, under_condition
from banbury.compare.equivalence.model import Range

U8 = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
_MOST_ROUNDS = 12
_MOST_STEPS = 50_000
_MOST_ENTRIES = 4096
_PADDING = (0, 0xBF00, 0x46C0)
_A32_PADDING = (0xE1A00000, 0xE320F000)


class Body:
    """The code of a section. Places are bytes from its start; a *node* is a place of T32 code (its half-word's number)
    or of A32 code (its word's number behind all half-words)."""

    def __init__(self, part: Part, raw: U8, *, fixed: bool = False) -> None:
        self.part, self.fixed = part, fixed
        data = np.concatenate((raw, np.zeros(-len(raw) % 4 + 4, np.uint8)))
        self.halves = data.view("<u2").astype(np.uint32)
        self.words = data.view("<u4").astype(np.uint32)
        self.count = len(self.halves)
        self.size = len(raw)
        parts = decode_t32(self.halves), decode_a32(self.words)
        self.all = Decoded(**{
            name: np.concatenate([getattr(p, name) for p in parts]) for name in vars(parts[0])
        })  # fmt: skip
        self.place = np.concatenate((np.arange(self.count) * 2, np.arange(len(self.words)) * 4))
        self.thumb = np.arange(len(self.place)) < self.count
        self.counter = self.place + np.where(self.thumb, 4, 8)
        self._added()
        self.reached = np.zeros(len(self.place), bool)
        self.closed = np.zeros(0, np.int64)
        self.dead = np.zeros(0, np.int64)  # what :meth:`behind` has found
        self.thrown = np.zeros(0, np.int64), np.zeros(0, np.int64)  # calls, and the landing pads that they may enter
        self.absolute: dict[int, tuple[int, int]] = {}  # a branch: its table of absolute addresses
        self.tables: dict[int, tuple[Ints, int, int]] = {}  # a branch: where it leads (nodes), its table's place, end
        self.under = np.concatenate((under_condition(self.halves), np.zeros(len(self.words), np.int64)))
        self.falls, self.writes = self.all.falls.copy(), self.all.writes.copy()
        self.leads = self._leads()
        after = self.place + np.where(self.thumb, self.all.sizes, 4)
        self.next = self.node(np.where(after < self.size, after, -1), self.thumb)

    def _added(self) -> None:
        """An address within the section that the next instruction adds to a register, as C libraries' start files do:
        as good as the program counter there. All other ``ADR`` are in ``near``."""
        h = self.halves
        self.counted = self._counted()
        adr = (h >> 11) == 0x14
        add = np.append((h[1:] >> 8 == 0x44) & (h[1:] >> 3 & 15 == (h >> 8 & 7)[:-1]), False)
        at = np.flatnonzero(adr & add & ((np.append(h[1:], 0) & 0x87) != 0x87))
        number = h[at + 1] & 7 | h[at + 1] >> 4 & 8
        self.all.joins[at + 1] = number
        self.counter[at + 1] = (2 * at + 4) // 4 * 4 + 4 * (h[at] & 0xFF)
        words = self._added_words()
        self.summed = np.isin(np.arange(len(self.place)), np.concatenate((at + 1, words)))
        w = h << np.uint32(16) | np.append(h[1:], np.uint32(0)).astype(np.uint32)
        a = self.words
        into = np.full(len(self.place), -1, np.int64)
        into[: self.count][adr] = (h >> 8 & 7)[adr]
        long = np.isin(w & np.uint32(0xFBFF8000), (0xF20F0000, 0xF2AF0000))
        into[: self.count][long] = (w >> 8 & 15)[long]
        wide = np.isin(a & np.uint32(0x0FFF0000), (0x028F0000, 0x024F0000)) & (a >> 28 < 15)
        into[self.count :][wide] = (a >> 12 & 15)[wide]
        self.near = into
        self._sums_of_tables()
        self._held()
        self._pooled()
        self._divided()

    def _added_words(self) -> Ints:
        """The same in A32 code: the nodes that add."""
        a = self.words
        adr = np.isin(a & np.uint32(0x0FFF0000), (0x028F0000, 0x024F0000)) & (a >> 28 == 14)
        add = np.append((a[1:] & 0xFFF00FF0 == 0xE0800000), False)
        after = np.append(a[1:], np.uint32(0))
        d, near, far = a >> 12 & 15, after & 15, after >> 16 & 15
        add &= (near < 15) & (far < 15) & (after >> 12 & 15 < 15)
        at = np.flatnonzero(adr & add & ((near == d) != (far == d)))
        self.all.joins[self.count + at + 1] = np.where(near == d, far, near)[at]
        self.counter[self.count + at + 1] = self.counted[self.count + at]
        out: Ints = self.count + at + 1
        return out

    def _counted(self) -> Ints:
        """The place that each ``ADR`` makes the address of; -1 where it is outside the section."""
        h, second = self.halves.astype(np.int64), np.append(self.halves[1:], 0).astype(np.int64)
        at = np.arange(self.count) * 2
        wide = (h >> 10 & 1) << 11 | (second >> 12 & 7) << 8 | second & 0xFF
        short = (at + 4) // 4 * 4 + 4 * (h & 0xFF)
        thumb = np.where(h >> 11 == 0x14, short, (at + 4) // 4 * 4 + np.where(h & 0xA0 == 0xA0, -wide, wide))
        a = self.words.astype(np.int64)
        turn = 2 * (a >> 8 & 15)
        value = ((a & 0xFF) >> turn | (a & 0xFF) << (32 - turn)) & 0xFFFFFFFF
        words = np.arange(len(a)) * 4 + 8 + np.where(a >> 23 & 1 == 1, value, -value)
        out = np.concatenate((thumb, words))
        return np.where((out >= 0) & (out < self.size), out, -1)

    def known(self) -> Flags:
        """Which half-words are literals or tables of what is reached."""
        return self._literals()

    def loads(self) -> Flags:
        """Which nodes load words at a fixed distance from a register."""
        h, second = self.halves, np.append(self.halves[1:], np.uint32(0))
        thumb = (h >> 11 == 0x0D) | (h >> 11 == 0x0F) | (h >> 11 == 0x11) | (h >> 11 == 0x19)
        wide = (h & 0xFE50 == 0xE850) | (h & 0xFE10 == 0xE810) | (h & 0xFE10 == 0xEC10)
        thumb |= wide | (h & 0xFE90 == 0xF890) | ((h & 0xFE90 == 0xF810) & (second & 0x800 != 0))
        a = self.words
        kind, load = a >> 25 & 7, (a >> 20 & 1) == 1
        words = load & ((kind == 2) | (kind == 4) | (kind == 6))
        half = (kind == 0) & (a >> 22 & 1 == 1) & (a & 0x90 == 0x90) & (a & 0x60 != 0)
        words |= half & (load | (a & 0xF0 == 0xD0))
        return np.concatenate((thumb, words))

    def _sums_of_tables(self) -> None:
        """``adr n; ldr m, [n, i, lsl #2]; add n, m; bx n``: a table of distances from itself, as GCC writes a
        ``switch`` whose cases stand on both sides. ``sized`` gives the register and the table of each such branch."""
        h = self.halves
        self.sized: dict[int, tuple[int, int]] = {}
        for at in np.flatnonzero((h & 0xFFC7) == 0x4700).tolist():
            n = int(h[at]) >> 3 & 7
            if at < 12:
                continue
            adr, load, index, add = (int(x) for x in h[at - 4 : at])
            m = index >> 12
            if (
                adr >> 8 == 0xA0 + n
                and load == 0xF850 + n
                and index & 0x0FF0 == 0x0020
                and m < 13
                and add == 0x4400 + 8 * m + n
            ):
                table = (2 * (at - 4) + 4) // 4 * 4 + 4 * (adr & 0xFF)
                self.sized[at] = index & 15, table
                self.near[at - 4] = -1
                self.all.jumps[at] = True

    def _held(self) -> None:
        """``adr n; ldr pc, [n, i, lsl #2]``: a table of addresses. ``held`` gives the register and the table."""
        h = self.halves
        self.held: dict[int, tuple[int, int]] = {}
        for at in np.flatnonzero((h[:-1] & 0xFFF0 == 0xF850) & (h[1:] & 0xFFF0 == 0xF020)).tolist():
            n, i = int(h[at]) & 15, int(h[at + 1]) & 15
            for back in (1, 2):
                node = at - back
                wide = node >= 12 and h[node] >= 0xE800
                if node >= 12 and self.near[node] == n and self.counted[node] >= 0 and (back == 2) == wide:
                    self.held[at] = i, int(self.counted[node])
                    self.near[node] = -1
                    self.all.jumps[at] = True

    def _pooled(self) -> None:
        """``adr n; ldrd x, y, [n]``: a constant of eight bytes beside the code, as GCC loads one."""
        h = self.halves
        short = np.flatnonzero((h[:-2] >> 11 == 0x14) & (h[1:-1] == 0xE9D0 + (h[:-2] >> 8 & 7)) & (h[2:] & 0xFF == 0))
        kinds = (0xF20F, 1), (0xF2AF, -1)
        self.all.literal[short] = (2 * short + 4) // 4 * 4 + 4 * (h[short] & 0xFF)
        found = [short]
        for kind, sign in kinds:
            at = np.flatnonzero((h[:-3] == kind) & (h[1:-2] >> 15 == 0) & (h[3:] & 0xFF == 0))
            at = at[h[at + 2] == 0xE9D0 + (h[at + 1] >> 8 & 15)]
            self.all.literal[at] = (2 * at + 4) // 4 * 4 + sign * (h[at + 1] >> 12 << 8 | h[at + 1] & 0xFF).astype(
                np.int64
            )
            found.append(at)
        self.all.length[np.concatenate(found)] = 8

    def _divided(self) -> None:
        """``adr n; add d, n, d, lsl #4; mov n, #0; mov pc, d``: where a division begins among 32 steps of 16 bytes each
        (libgcc, ``lib1funcs.S``). ``steps`` gives the first of them."""
        h = self.halves
        self.steps: dict[int, int] = {}
        for at in np.flatnonzero(h & 0xFF87 == 0x4687).tolist():
            d, adr = int(h[at]) >> 3 & 15, int(h[at - 5]) if at >= 17 else 0
            n = adr >> 8 & 7
            made = [0xEB00 | n, 0x1000 | d << 8 | d, 0xF04F, n << 8]
            if adr >> 11 == 0x14 and h[at - 4 : at].tolist() == made:
                self.steps[at] = (2 * (at - 5) + 4) // 4 * 4 + 4 * (adr & 0xFF)
                self.near[at - 5] = -1
                self.all.jumps[at] = True

    def node(self, places: Ints, thumb: Flags) -> Ints:
        """The node of each place; -1 outside the section or not aligned."""
        good = (places >= 0) & (places < self.size) & (places % np.where(thumb, 2, 4) == 0)
        out: Ints = np.where(good, np.where(thumb, places // 2, self.count + places // 4), -1)
        return out

    def _leads(self) -> Ints:
        """The node that each direct branch leads to; -1 for none in this section."""
        has = self.all.target >= 0
        return np.where(has, self.node(self.all.target, self.thumb ^ self.all.exchanges), -1)

    def follow(self, roots: Ints) -> None:
        """Find all that is reached from some nodes. Raises ``Refused``."""
        roots = distinct(roots[roots >= 0])
        literals = np.zeros(self.count, bool)
        self.settled = False
        for _ in range(_MOST_ROUNDS):
            self.reached[:] = False
            self.all.falls[:], self.all.writes[:] = self.falls, self.writes
            self._reach(roots, literals)
            now = self._literals()
            self.settled = bool((now == literals).all())
            if self.settled:
                return
            literals = now

    def _literals(self) -> Flags:
        """Which half-words are literals or tables of what is reached."""
        out = np.zeros(self.count + 8, bool)
        at = np.flatnonzero(self.reached & (self.all.literal >= 0))
        for k in range(4):
            some = self.all.length[at] > 2 * k
            out[np.minimum(self.all.literal[at[some]] // 2 + k, self.count)] = True
        for branch, (_, start, end) in self.tables.items():
            if self.reached[branch]:
                out[start // 2 : -(-end // 2)] = True
        return out[: self.count]

    def _reach(self, roots: Ints, literals: Flags) -> None:
        """Find what is reached, in waves: wide ones by array operations, narrow ones node by node."""
        at, few = roots.tolist(), self._nodes(literals)
        for _ in range(_MOST_STEPS):
            if len(at) < NARROW:
                at, more, branches = few.step(at)
            else:
                at, more, branches = self._step(np.array(at, np.int64), literals)
            if not at:
                return
            for branch in branches:
                if branch < 12 and self.thumb[branch]:
                    raise self.refuse("a table of branches whose size is not known", np.array(at[:1]))
                if branch not in self.tables:
                    self.tables[branch] = self._table(branch)
                more += self.tables[branch][0].tolist()
            at = more
        raise Refused(self.part.name, "its paths are too long to follow")

    def _step(self, at: Ints, literals: Flags) -> tuple[list[int], list[int], list[int]]:
        """See :meth:`Nodes.step`."""
        at = at[(at >= 0) & (self.place[at] < self.size)]
        at = distinct(at[~self.reached[at] & ~literals[self.place[at] // 2]])
        self.reached[at] = True
        self._condition(at)
        more = self.next[at[self.all.falls[at]]], self.leads[at], spread(*self.thrown, at)[1]
        branches = at[self.all.jumps[at] | (self.all.tables[at] > 0)]
        return at.tolist(), np.concatenate(more).tolist(), branches.tolist()

    def _nodes(self, literals: Flags) -> Nodes:
        return Nodes(
            self.size, self.place, literals, self.reached, self.under, self.next, self.leads,
            (self.all.falls, self.all.writes, self.all.jumps, self.all.tables), self.thrown,
        )  # fmt: skip

    def throw(self, sites: list[tuple[int, int, int]]) -> None:
        """Calls within some places may go on at a landing pad, in their own instruction set. ``sites``: where each
        begins and ends, and its pad; the last byte of a call decides (it is what the unwinder looks up)."""
        inside = sorted(site for site in sites if 0 <= site[0] < self.size)
        if not inside:
            return
        start, stop, pad = np.array(inside, np.int64).T
        if (start[1:] < stop[:-1]).any() or (pad >= self.size).any():
            raise Refused(self.part.name, "call sites of exceptions overlap, or a landing pad is elsewhere")
        calls = np.flatnonzero(self.all.calls)
        last = self.place[calls] + np.where(self.thumb[calls], self.all.sizes[calls], 4) - 1
        index = np.maximum(np.searchsorted(start, last, "right") - 1, 0)
        good = (start[index] <= last) & (last < stop[index])
        self.thrown = calls[good], self.node(pad[index[good]], self.thumb[calls[good]])

    def close(self, calls: Ints) -> None:
        """Calls (nodes) that do not return."""
        self.falls[calls] = False
        self.closed = np.union1d(self.closed, calls)

    def behind(self, left: Ints) -> Ints:
        """The nodes among the places ``left`` that stand behind a call that does not return: code that never runs."""
        after = self.next[self.closed[self.reached[self.closed]]]
        after = after[after >= 0]
        after = after[np.isin(self.place[after], left)]
        self.dead = np.union1d(self.dead, after)
        return after

    def _condition(self, at: Ints) -> None:
        """What follows IT is done on a condition: it may fall through, and does not certainly write."""
        at = at[self.under[at] > 0]
        left = self.under[at]
        while len(at):
            at = self.next[at]
            some = (at >= 0) & (left > 0)
            at, left = at[some], left[some] - 1
            self.all.falls[at] = True
            self.all.writes[at] = 0

    def _table(self, branch: int) -> tuple[Ints, int, int]:
        """Where a branch by a table leads, and where the table stands."""
        place = int(self.place[branch])
        if not self.thumb[branch] and self.words[place // 4] & 0x0FFFFFF0 == 0x079FF100:
            return self._addresses(branch, place + 8, self._compared(place // 4))
        if branch in self.held:
            return self._addresses(branch, self.held[branch][1], self._entries(branch - 1, self.held[branch][0]))
        if not self.thumb[branch]:  # branches one after another
            word = first = place // 4 + 2
            while word < len(self.words) and self.words[word] >> 24 == 0xEA and word - first < _MOST_ENTRIES:
                word += 1
            return self.count + np.arange(first, min(word, self.size // 4)), 0, 0
        if branch in self.steps:
            start = self.steps[branch]
            return self.node(start + 16 * np.arange(32), np.ones(32, bool)), 0, 0
        if branch in self.sized:
            index, start = self.sized[branch]
            end = start + 4 * self._entries(branch - 4, index)
            words = self.words[start // 4 : end // 4].astype(np.int64)
            target = start + words - (words >> 31 << 32)
            good = (target > 0) & (target < self.size) & (target & 1 == 1)
            if not good.all():
                raise self.refuse("a table of branches that leads elsewhere", self.place[branch : branch + 1])
            return target // 2, start, end
        width, start = int(self.all.tables[branch]), place + 4
        count = self._entries(branch, int(self.halves[branch + 1]) & 15)
        data = self.halves.astype("<u2").view(np.uint8)[start : start + count * width]
        target = start + 2 * np.frombuffer(data.tobytes()[: len(data) // width * width], f"<u{width}").astype(np.int64)
        return target[target < self.size] // 2, start, start + count * width

    def _addresses(self, branch: int, start: int, count: int) -> tuple[Ints, int, int]:
        """A table of addresses, in a file for a fixed address."""
        end = start + 4 * count
        target = self.words[start // 4 : end // 4].astype(np.int64) - self.part.addr
        odd = int(self.thumb[branch])
        good = (target >= 0) & (target < self.size) & (target % (4 - 3 * odd) == 0) & (target & 1 == odd)
        if not self.fixed or start % 4 or start < 0 or end > self.size or not good.all():
            raise self.refuse("a table of addresses that lead elsewhere", self.place[branch : branch + 1])
        self.absolute[branch] = start, end
        return self.node(target & ~1, np.full(len(target), odd == 1)), start, end

    def _compared(self, word: int) -> int:
        """How many entries the table of an A32 branch has: what the register is compared with just before."""
        register = int(self.words[word]) & 15
        for back in range(1, 4):
            before = int(self.words[word - back]) if word >= back else 0
            if before & 0xFFFFF000 == 0xE3500000 | register << 16:
                turn = 2 * (before >> 8 & 15)
                limit = ((before & 0xFF) >> turn | (before & 0xFF) << (32 - turn)) & 0xFFFFFFFF
                return limit + 1 if limit < _MOST_ENTRIES else 0
        raise self.refuse("a table of branches whose size is not known", np.array([4 * word]))

    def _entries(self, branch: int, index: int) -> int:
        """How many entries a table of branches has: what the register is compared with just before."""
        for back in range(2, 8):
            here, behind = int(self.halves[branch - back]), int(self.halves[branch - back + 1])
            if here >> 8 == 0x28 + index and index < 8:
                return (here & 0xFF) + 1
            if here & 0xFBFF == 0xF1B0 + index and behind & 0x8F00 == 0x0F00:
                limit = _expanded(here >> 10 & 1, behind)
                if limit < _MOST_ENTRIES:
                    return limit + 1
            if here >> 6 == 0x10A and here & 7 == index:
                return self._constant(branch - back, here >> 3 & 7) + 1
        raise self.refuse("a table of branches whose size is not known", self.place[branch : branch + 1])

    def _constant(self, node: int, register: int) -> int:
        """The number that the instruction before ``node`` puts into a register (MOVW)."""
        high, low = int(self.halves[node - 2]), int(self.halves[node - 1])
        if high & 0xFBF0 != 0xF240 or low >> 8 & 0x8F != register:
            raise self.refuse("a table of branches whose size is not known", self.place[node : node + 1])
        return (high & 15) << 12 | (high >> 10 & 1) << 11 | (low >> 12 & 7) << 8 | low & 0xFF

    # What was found

    def order(self) -> Ints:
        """The nodes that are reached, in order of place."""
        nodes = np.flatnonzero(self.reached)
        return nodes[np.argsort(self.place[nodes], kind="stable")]

    def check(self, nodes: Ints) -> None:
        """Raise ``Refused`` where code and data, or two readings of the code, overlap."""
        if not self.settled:
            raise Refused(self.part.name, "code and data cannot be told apart")
        start = self.place[nodes]
        end = start + np.where(self.thumb[nodes], self.all.sizes[nodes], 4)
        if (end[:-1] > start[1:]).any() or (len(end) and end[-1] > self.size):
            raise Refused(self.part.name, "two readings of its code overlap")
        self._check_targets(nodes)

    def _check_targets(self, nodes: Ints) -> None:
        """Every branch, table and landing pad leads to code: none into what other instructions load as literals."""
        to = [self.leads[nodes], spread(*self.thrown, nodes)[1]]
        to += [targets for branch, (targets, _, _) in self.tables.items() if self.reached[branch]]
        target = np.concatenate(to)
        target = target[(target >= 0) & (target < len(self.place))]
        lost = target[~self.reached[target]]
        if len(lost):
            raise self.refuse("a branch leads into what is data", distinct(self.place[lost]))

    def taken(self, nodes: Ints) -> Flags:
        """Which half-words are reached, literals or tables."""
        used = self._literals()
        here = self.place[nodes] // 2
        used[here] = True
        wide = (self.all.sizes[nodes] == 4) | ~self.thumb[nodes]
        used[here[wide] + 1] = True
        return used

    def left(self, nodes: Ints) -> Ints:
        """Places of half-words that are neither reached, nor literals or tables, nor padding."""
        used = self.taken(nodes)
        empty = np.isin(self.halves, _PADDING)
        wide_nop = np.flatnonzero((self.halves[:-1] == 0xF3AF) & (self.halves[1:] == 0x8000))
        empty[wide_nop] = empty[wide_nop + 1] = True
        a32 = np.flatnonzero(np.isin(self.words, _A32_PADDING))
        empty[2 * a32] = empty[2 * a32 + 1] = True
        inside = np.arange(self.count) * 2 < self.size
        return np.flatnonzero(~used & ~empty & inside) * 2

    def stretches(self, nodes: Ints) -> Ints:
        """Where each stretch begins of what :meth:`left` finds, padding within it left out."""
        places = self.left(nodes)
        out: Ints = places[np.append(True, np.diff(places) != 2)[: len(places)]]
        return out

    def idle(self, nodes: Ints) -> Flags:
        """Which nodes are instructions that do nothing, as compilers align with."""
        half = self.halves[np.minimum(self.place[nodes] // 2, self.count - 1)]
        wide = (half == 0xF3AF) & (self.halves[np.minimum(self.place[nodes] // 2 + 1, self.count - 1)] == 0x8000)
        word = self.words[np.minimum(self.place[nodes] // 4, len(self.words) - 1)]
        out: Flags = np.where(
            self.thumb[nodes], (half == 0xBF00) | (half == 0x46C0) | wide, np.isin(word, _A32_PADDING)
        )
        return out

    def refuse(self, why: str, places: Ints) -> Refused:
        base = self.part.offset
        return Refused(self.part.name, why, [Range(int(p) + base, int(p) + base + 2) for p in places[:16]])


def _expanded(top: int, second: int) -> int:
    """The number that a T32 instruction has in 12 bits, the ``top`` one and those of its second half-word (DDI 0406C,
    A6.3.2)."""
    turn, byte = top << 4 | second >> 11 & 14 | second >> 7 & 1, second & 0xFF
    if turn < 8:
        return byte * (0x1, 0x10001, 0x1000100, 0x1010101)[turn >> 1]
    value = 0x80 | byte & 0x7F
    return (value >> turn | value << (32 - turn)) & 0xFFFFFFFF
