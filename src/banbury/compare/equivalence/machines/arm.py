"""32-bit Arm in the proof: A32 and T32 code, literal pools, linkage tables and the unwinding table.

Position-independent code for Arm forms an address from a literal, which holds a distance, and the program counter. The
proof goes by the second: every instruction that takes the program counter into arithmetic must be one that adds it to
a register, and that register must hold one literal, on all paths. The literal and the instruction's address are one
reference; all other literals are numbers and must be equal. Everything within a section of code moves as one.

Sources: Arm ARM DDI 0406C; ELF for the Arm Architecture (AAELF32) 4.6; Exception Handling ABI for the Arm Architecture
(EHABI32) 5 and 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines import arm_absolute, arm_attributes, arm_roots, returned
from banbury.compare.equivalence.machines.a32 import NONE, NOWHERE
from banbury.compare.equivalence.machines.arm_code import Body
from banbury.compare.equivalence.machines.arm_exceptions import EXIDX, INDEX, TABLE, Unwinding, unwinding
from banbury.compare.equivalence.machines.arm_followed import Code
from banbury.compare.equivalence.machines.arm_linkage import linkage
from banbury.compare.equivalence.machines.calls import ALL, Paths, kept
from banbury.compare.equivalence.machines.contract import U8, CodePair, Kinds, Machine, Mask, Sides
from banbury.compare.equivalence.machines.displaced import Added, a32, distances, t32
from banbury.compare.equivalence.machines.flow import Found, Graph, follow, spread, unproved
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_exceptions import PADS
from banbury.compare.equivalence.relayout_map import AddressMap

_WRAP = 1 << 32
_MOST_ROUNDS = 24
_LOST, _LINK = 0x500F, 0x4000  # what a call may not leave as it was (AAPCS32, 6.1.1); the link register
_PASSED = 0xF  # registers that a function is called with, and returns
_MOST_PADDING = 8  # instructions that do nothing between a call and the end of code


U32 = npt.NDArray[np.uint32]
#: An entry of ``Sides.at`` by number, and what says which of its addresses are read.
Reading = tuple[int, Callable[[], tuple[Ints, Ints, Mask]]]


def _signed(value: Ints) -> Ints:
    out: Ints = value - (value >> 31 << 32)
    return out


def _words(raw: U8, at: Ints) -> Ints:
    out = np.zeros(len(at), np.int64)
    for k in range(4):
        out |= raw[at + k].astype(np.int64) << (8 * k)
    return out


class Arm(Machine):
    """Little-endian Arm with the EABI."""

    fixed = True
    kinds = Kinds(
        relative=frozenset({23}),
        resolver=frozenset({160}),
        lazy=frozenset({22}),
        symbolic=frozenset({2, 13, 17, 18, 19, 20, 21}),
    )

    def __init__(self, sides: Sides) -> None:
        super().__init__(sides)
        for elf in (sides.pair.a, sides.pair.b):
            arm_attributes.check(elf)
        self.numbers_loaded: list[tuple[Part, Ints]] = []
        self.returned: list[tuple[Part, Ints, Ints]] = []  # places behind calls, and words that may be distances
        self.never: list[int] = []  # stubs of functions that do not return
        self.reading: list[Reading] = []
        self.doubtful: list[tuple[Part, Ints, Ints]] = []  # numbers and upper halves that may be of addresses
        self.unwinding: Unwinding | None = None

    @cached_property
    def stored(self) -> Ints:
        """In a file for a fixed address: what the words of data hold that lies in code."""
        found = [np.zeros(0, np.int64)]
        code = [p for p, _ in self.sides.pairs if p.code]
        for one, _ in self.sides.pairs if self.sides.image is not None else ():
            if not one.code and one.index in self.sides.masks and self.sides.masks[one.index].size == one.size:
                raw = self.sides.raw[one.index][0][-one.addr % 4 :]
                words = distinct(raw[: len(raw) // 4 * 4].view("<u4").astype(np.int64))
                found += [words[(words >= p.addr) & (words < p.addr + p.size)] for p in code]
        return distinct(np.concatenate(found))

    # Unwinding

    def section(self, one: Part, other: Part) -> Mask | None:
        if one.type != EXIDX and not one.name.startswith(TABLE):
            return None
        if self.unwinding is None:
            self.unwinding = unwinding(self.sides)
        return self.unwinding.masks.get(one.index, np.zeros(one.size, bool))

    # Code

    def code(self, one: Part, other: Part) -> CodePair:
        if (other.addr - one.addr) % 4 or one.addr % 4:
            raise Refused(one.name, "it moved by no whole number of words")
        if one.name in (".plt", ".iplt"):
            pair, stubs = linkage(self.sides, one, other)
            self.never += stubs
            return pair
        section = _Section(self.sides, one, other, self.never, self.stored)
        self.doubtful.append((one, section.doubtful, section.halves))
        self.reading += section.reading
        self.numbers_loaded.append((one, section.numbers))
        self.returned.append((one, *section.returned()))
        return CodePair(section.old, section.new, section.bits.view(np.uint8)[: one.size], section.entries)

    def finish(self, the_map: AddressMap) -> None:
        """A literal that is a number may not be a distance from the global offset table to what moved against it."""
        for one, places, words in self.returned:
            if returned.any_apart(the_map, one, places, words):
                raise Refused(one.name, "a literal may be the distance of something that moved from a call")
        self._read(the_map)
        for one, values, halves in self.doubtful:
            made = the_map.many(values)
            lost = any(((halves < p.end) & (halves + 0x10000 > p.start)).any() for p in the_map.pieces if p.shift)
            if lost or ((made >= 0) & (made != values)).any():
                raise Refused(one.name, "a number may be an address that moved")
        table = self.sides.named(".got")
        if table is None:
            return
        shift = table[1].addr - table[0].addr
        for one, numbers in self.numbers_loaded:
            place = (numbers + table[0].addr) % _WRAP
            made = the_map.many(place)
            if ((made >= 0) & (made != place + shift)).any():
                raise Refused(one.name, "a literal may be the distance of something that moved from the offset table")

    def _read(self, the_map: AddressMap) -> None:
        """Where something within a section moved against the rest: which addresses the code reads at once."""
        parts = [p for p, _ in self.sides.pairs]
        shifts = [{x.shift for x in the_map.pieces if p.addr <= x.start < p.addr + p.size} for p in parts if p.size]
        if not any(len(x) > 1 for x in shifts):
            return
        for number, added in self.reading:
            part, places, addresses, _ = self.sides.at[number]
            first, _, reads = added()
            self.sides.at[number] = part, places, addresses, np.isin(addresses, first[reads])


class _Section:
    def __init__(self, sides: Sides, one: Part, other: Part, never: list[int], stored: Ints) -> None:
        self.sides, self.one, self.other, self.stored = sides, one, other, stored
        self.reading: list[Reading] = []
        self.made: list[tuple[Ints, Ints, Ints]] = []
        self.raw, self.raw_b = sides.raw[one.index]
        self.fixed = sides.image is not None
        self.body = Body(one, self.raw, fixed=self.fixed)
        self.other_body = Body(other, self.raw_b, fixed=self.fixed)
        self.marks = arm_roots.Marks(sides.a, self.body)
        al = self.body.all
        self.body.close(np.flatnonzero(al.calls & (al.target != -1) & np.isin(al.target + one.addr, never)))
        self.body.throw([(start - one.addr, stop - one.addr, pad - one.addr) for start, stop, pad in sides.pads])
        self._take_apart()
        self.bits = np.zeros(self.body.count, "<u2")
        self.old: Ints
        self.new: Ints
        self._branches()
        self._references()
        self.doubtful, self.halves = np.zeros(0, np.int64), np.zeros(0, np.int64)
        if self.fixed:
            self._absolute()
        self.entries = np.zeros(one.size + 2, bool)
        places = self.body.place[self.nodes]
        self.entries[places] = True
        self.entries[places[self.body.thumb[self.nodes]] + 1] = True
        self.entries = self.entries[: one.size + 1]
        code = Code(self.raw, self.body, self.nodes, self.graph, self.roots)
        for found in self.made:
            code.puts(*found)
        code.gets(self.straight)
        sides.functions[one.index] = code.function

    def _take_apart(self) -> None:
        """Find all code: from what other sections refer to, and from the functions whose addresses the code forms."""
        roots, guesses = self._entries()
        for _ in range(_MOST_ROUNDS):
            self.body.follow(roots)
            self.nodes = self.body.order()
            if not len(self.nodes) and self.fixed and not len(roots):
                self.runs = np.zeros(0, np.int64)
                roots = self._guess(np.zeros(1, np.int64))
                continue
            self.found = self._literals()
            if self._close() or self._end():
                continue
            more = np.union1d(roots, self._pointers())
            if self.fixed and not self.described:
                more = np.union1d(more, arm_roots.named(self.body, self.nodes, arm_roots.made(self.body, self.nodes)))
            if len(more) == len(roots) and self.fixed and not self.described:
                more = np.union1d(more, arm_roots.named(self.body, self.nodes, self.stored))
            if len(more) == len(roots):
                missing = guesses[~np.isin(guesses, self.body.place[self.nodes])]
                more = np.union1d(roots, self.body.behind(self.body.left(self.nodes)))
                if len(missing):
                    more = np.union1d(more, self._guess(missing))
                if len(more) == len(roots) and not len(self.runs):
                    more = np.union1d(more, self._guess(self.body.stretches(self.nodes)))
                if len(more) == len(roots) and not self._refined():
                    break
            roots = more
        self.roots = roots
        self.body.check(self.nodes)
        self._runs()
        left = self.body.left(self.nodes)
        if len(left):
            raise self.body.refuse("code to which nothing is known to lead", left)

    def _entries(self) -> tuple[Ints, Ints]:
        roots, guesses = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for where, old, _ in self.sides.refs.groups():
            inside = old[(old >= self.one.addr) & (old < self.one.addr + self.one.size)] - self.one.addr
            if where == INDEX:
                guesses.append(inside)
            elif where != PADS:  # pads are of the calls' instruction set
                roots.append(self.body.node(inside & ~1, self.marks.thumb(inside)))
        known = arm_roots.described(self.sides.a, self.body) if self.fixed else np.zeros(0, np.int64)
        self.described = bool(len(known))
        roots.append(known)
        return distinct(np.concatenate(roots)), distinct(np.concatenate(guesses))

    def _guess(self, places: Ints) -> Ints:
        entry = self.sides.a.header.entry & 1 == 1
        return arm_roots.guessed(self.body, self.nodes, places, entry, self.marks)

    # Literals and the program counter

    def _literals(self) -> Found:
        body, nodes = self.body, self.nodes
        al = body.all
        size = np.where(body.thumb[nodes], al.sizes[nodes], 4)
        place = body.place[nodes]
        number = np.full(len(body.place) + 1, -1, np.int64)
        number[nodes] = np.arange(len(nodes))
        falls = al.falls[nodes].copy()
        follows = np.append(place[1:] == (place + size)[:-1], False)
        follows &= np.append(body.thumb[nodes][1:] == body.thumb[nodes][:-1], False)
        stays = ~al.calls[nodes] | (body.leads[nodes] >= 0)  # of calls out of the section nothing says that they return
        self.runs = place[falls & ~follows & stays]
        falls &= follows
        leads = np.where(al.calls[nodes], -1, body.leads[nodes])
        some = np.flatnonzero(leads >= 0)
        sources, targets = [some], [number[leads[some]]]
        for branch, (to, _, _) in body.tables.items():
            if body.reached[branch]:
                good = to[(to < len(body.place)) & body.reached[np.minimum(to, len(body.place) - 1)]]
                sources.append(np.full(len(good), number[branch]))
                targets.append(number[good])
        index, thrown = spread(*body.thrown, nodes)
        sources.append(index)
        targets.append(number[thrown])
        source, target = np.concatenate(sources), np.concatenate(targets)
        source, target = source[target >= 0], target[target >= 0]
        order = np.argsort(source, kind="stable")
        self.graph = Graph(al.reads[nodes], al.writes[nodes], al.joins[nodes], falls, source[order], target[order])
        loads = np.flatnonzero(al.into[nodes] != NONE)
        self.loads = loads
        self.pools = al.literal[nodes[loads]]
        return self._paired(follow(self.graph, loads + 1, al.into[nodes[loads]].astype(np.int64), self.pools))

    def _paired(self, found: Found) -> Found:
        """What is loaded under a condition by one A32 instruction, and added to the program counter by the next one
        under the same condition, is just that: nothing else comes to it, for a load changes no flags."""
        body, nodes, al = self.body, self.nodes, self.body.all
        row = np.maximum(found.users, 1)
        here, before = nodes[row], nodes[row - 1]
        good = ~body.thumb[here] & ~body.thumb[before] & (body.place[here] == body.place[before] + 4)
        good &= (al.joins[here] != NONE) & (al.into[before] == al.joins[here]) & ~np.isin(row, self.graph.targets)
        condition = [
            body.words[np.minimum(body.place[x] // 4, len(body.words) - 1)] >> np.uint32(28) for x in (here, before)
        ]
        good &= (condition[0] == condition[1]) & (condition[0] < 14) & (found.users > 0)
        self.paired = found.users[good]
        labels = np.where(good, al.literal[before], found.labels)
        return replace(found, labels=labels)

    def _runs(self) -> None:
        if len(self.runs):
            raise self.body.refuse("code runs into what is no code", self.runs)

    def _close(self) -> bool:
        """Mark calls to functions of this section that do not return; whether there are more of them now."""
        body, nodes = self.body, self.nodes
        _, called, masks = self._called()
        ends = nodes[called[masks[called] >> np.uint32(31) == 0]]
        shut = np.flatnonzero(body.all.calls & body.falls & np.isin(body.leads, ends))  # reached or not yet
        body.close(shut)
        return bool(len(shut))

    def _refined(self) -> bool:
        """Take registers that a function of this section may leave as they were for kept by its calls, as GCC does
        (``-fipa-ra``); whether there are more of them now."""
        local, called, masks = self._called()
        calls = self.nodes[local]
        lost = (~masks[called] & np.uint32(_LOST) | np.uint32(_LINK)) & self.body.writes[calls]
        changed = bool((lost != self.body.writes[calls]).any())
        self.body.writes[calls] = lost
        return changed

    def _called(self) -> tuple[Ints, Ints, U32]:
        """Calls to functions of this section, where these begin (both as rows), and what each row leaves as it was."""
        body, nodes, graph = self.body, self.nodes, self.graph
        al = body.all
        number = np.full(len(body.place) + 1, -1, np.int64)
        number[nodes] = np.arange(len(nodes))
        called = np.where(al.calls[nodes] & (body.leads[nodes] >= 0), number[body.leads[nodes]], -1)
        outside = al.calls[nodes] & (called < 0)
        away = ~graph.falls & (al.target[nodes] == -1) & ~al.calls[nodes]
        away |= ~al.calls[nodes] & (al.target[nodes] != -1) & (body.leads[nodes] < 0)
        away |= al.jumps[nodes]
        ends = np.where(away, ALL, 0).astype(np.uint32)
        after = np.where(outside, 0x80000FF0, ALL).astype(np.uint32)
        writes = np.where(called >= 0, np.uint32(_LINK), graph.writes & np.uint32(0x7FFFFFFF)).astype(np.uint32)
        masks = kept(Paths(writes, graph.falls, graph.sources, graph.targets, called, after, ends))
        local = np.flatnonzero(called >= 0)
        return local, called[local], masks

    def _end(self) -> bool:
        """Mark calls out of the section behind which nothing stands but padding and then what is no code: compilers
        write nothing else after a function that does not return. Whether there were any."""
        body, nodes = self.body, self.nodes
        index = np.searchsorted(body.place[nodes], self.runs)
        shut = []
        for _ in range(_MOST_PADDING):
            index = index[(index > 0) & body.idle(nodes[index])] - 1
            calls = body.all.calls[nodes[index]] & body.all.falls[nodes[index]]
            away = body.leads[nodes[index]] < 0  # of functions of this section it is known whether they return
            shut.append(nodes[index[calls & away]])
            index = index[~calls]
        closed = np.concatenate(shut)
        body.close(closed)
        return bool(len(closed))

    def _joined(self) -> tuple[Ints, Ints, Ints]:
        """For each use of the program counter whose literal is known: its number, the literal, the counter's value."""
        good = (self.found.labels >= 0) & (self.found.labels + 4 <= self.one.size)
        users, labels = self.found.users[good], self.found.labels[good]
        return users, labels, self.body.counter[self.nodes[users]]

    def _pointers(self) -> Ints:
        """Functions of this section whose addresses the code forms."""
        _, labels, counter = self._joined()
        to = (_words(self.raw, labels) + counter) % _WRAP
        inside = to < self.one.size
        to = to[inside]
        return self.body.node(to & ~1, to & 1 == 1)

    def _references(self) -> None:
        al = self.body.all
        strange = np.flatnonzero(al.odd[self.nodes])
        if len(strange):
            why = "the program counter is used in a way that is not known here"
            raise self.body.refuse(why, self.body.place[self.nodes[strange]])
        place, end = al.literal[self.nodes], al.literal[self.nodes] + al.length[self.nodes]
        far = np.flatnonzero((place != NOWHERE) & ((place < 0) | (place >= self.one.size) | (end > self.one.size + 3)))
        if len(far):
            raise self.body.refuse("code reads data outside of its section", self.body.place[self.nodes[far]])
        self._near()
        users, labels, counter = self._joined()
        joins = np.flatnonzero(al.joins[self.nodes] != NONE)
        open_ = np.setdiff1d(joins, users)
        if len(open_):
            why = "the program counter is added to something that cannot be followed"
            raise self.body.refuse(why, self.body.place[self.nodes[open_]])
        value, value_b = _words(self.raw, labels), _words(self.raw_b, labels)
        made = (value + counter + self.one.addr) % _WRAP
        self._used(users, made)
        self.old = np.concatenate((self.old, made))
        self.new = np.concatenate((self.new, (value_b + counter + self.other.addr) % _WRAP))
        self.bits[labels // 2] = self.bits[labels // 2 + 1] = 0xFFFF
        number = np.setdiff1d(al.literal[self.nodes[al.literal[self.nodes] >= 0]], labels)
        number = number[number + 4 <= self.one.size]
        self.numbers = _signed(_words(self.raw, number))
        changed = value != value_b
        defines = np.full(len(self.nodes), -1, np.int64)
        defines[self.loads] = self.pools
        unknown = np.zeros(len(self.nodes) + 1, bool)
        unknown[:-1] = np.isin(self.nodes, self.roots)
        registers = al.joins[self.nodes[users]].astype(np.int64)
        asked = changed & (~np.isin(users, self.paired) | unknown[users])
        bad = unproved(self.graph, users[asked], registers[asked], labels[asked], defines, unknown)
        if len(bad):
            raise self.body.refuse("a literal changed that may be a number", self.body.place[self.nodes[bad]])
        if changed.any():
            here, there = (
                [Range(x + p.offset, x + p.offset + 4) for x in labels[changed].tolist()]
                for p in (self.one, self.other)
            )
            self.sides.pair.account.explain("elf.moved-literal-pool", here, there, self.one.name)

    def _near(self) -> None:
        """An address in the code is that of a literal, from which only words are loaded. Raises :class:`Refused`."""
        body, nodes = self.body, self.nodes
        near = np.flatnonzero(body.near[nodes] >= 0)
        if not len(near):
            return
        literal = body.known()[np.minimum(body.counted[nodes[near]] // 2, body.count - 1)]
        reads = np.where(body.all.calls[nodes] | ~body.all.falls[nodes], _PASSED, 0).astype(np.uint32)
        graph = replace(self.graph, reads=self.graph.reads | reads)
        read = follow(graph, near + 1, body.near[nodes[near]], near).escapes
        taken = body.loads() | body.summed
        strange = np.concatenate((near[~literal], read[~taken[nodes[read]]]))
        if len(strange):
            raise body.refuse("an address in the code is used as more than a literal's", body.place[nodes[strange]])

    def returned(self) -> tuple[Ints, Ints]:
        """Places behind calls from which distances may count, and all words that may be one."""
        used = np.zeros(self.body.count + 1, bool)
        here = self.body.place[self.nodes] // 2
        used[here] = True
        used[here + 1] |= (self.body.all.sizes[self.nodes] == 4) | ~self.body.thumb[self.nodes]
        count = self.body.count // 2 * 2
        at = 2 * np.flatnonzero(~used[:count].reshape(-1, 2).any(axis=1)) * 2
        places, at = returned.arm(self.body, self.nodes, at.astype(np.int64))
        return places + self.one.addr, distinct(_signed(self.body.words[at // 4].astype(np.int64)))

    def _used(self, users: Ints, made: Ints) -> None:
        """Enter the addresses that the code makes, and what it adds to them."""
        body, nodes = self.body, self.nodes[users]
        place = body.place[nodes]
        word = body.words[np.minimum(place // 4, len(body.words) - 1)]
        loads = ~body.thumb[nodes] & ((word >> 26 & 3) == 1)
        self.sides.at.append((self.one, place[loads], made[loads], np.ones(int(loads.sum()), bool)))
        self.sides.straight.append((self.one, made[loads]))
        self.straight = place[loads]
        register = np.where(body.thumb[nodes], body.all.joins[nodes], word >> 12 & 15).astype(np.int64)
        self._reading(arm_absolute.Made(users[~loads] + 1, register[~loads], made[~loads], made[~loads]))

    def _reading(self, made: arm_absolute.Made) -> None:
        """Enter what code adds to addresses that it has made, and which of them it reads or writes."""
        graph, body = self.graph, self.body

        @cache
        def added() -> tuple[Ints, Ints, Mask]:
            parts: tuple[Any, Any] = (t32(body.halves), a32(body.words))
            by_node = Added._make(np.concatenate(x)[self.nodes] for x in zip(*parts, strict=True))
            return distances(graph, by_node, made.rows, made.registers, made.old)

        place = self.body.place[self.nodes[made.rows - 1]]
        self.made.append((place, made.registers, made.old))
        self.reading.append((len(self.sides.at), added))
        self.sides.at.append((self.one, place, made.old, np.zeros(len(place), bool)))
        self.sides.added.append(added)

    def _absolute(self) -> None:
        """Enter the absolute addresses of the section."""
        _, joined, _ = self._joined()
        code = arm_absolute.Code(
            self.sides, self.one, self.other, (self.body, self.other_body), self.nodes, self.graph, self.loads
        )
        made, self.doubtful, self.halves = arm_absolute.enter(code, joined)
        self._reading(made)
        tables = [np.arange(x, y, 4) for branch, (x, y) in self.body.absolute.items() if self.body.reached[branch]]
        if tables:
            at = distinct(np.concatenate(tables))
            old, new = code.words(at)
            self.old, self.new = np.concatenate((self.old, old)), np.concatenate((self.new, new))
            self.bits[at // 2] = self.bits[at // 2 + 1] = 0xFFFF
            if (old != new).any():
                where = [[Range(int(x) + p.offset, int(x) + p.offset + 4) for x in at] for p in (self.one, self.other)]
                self.sides.pair.account.explain("elf.moved-word", where[0], where[1], self.one.name)

    # Branches out of the section

    def _branches(self) -> None:
        body, nodes = self.body, self.nodes
        al, al_b = body.all, self.other_body.all
        branch = nodes[(al.target[nodes] != -1) & (body.leads[nodes] < 0)]
        thumb = body.thumb[branch] ^ al.exchanges[branch]
        self.old = (al.target[branch] + self.one.addr) | thumb
        self.new = (al_b.target[branch] + self.other.addr) | thumb
        place = body.place[branch] // 2
        wide = body.thumb[branch] & (al.sizes[branch] == 4)
        if (body.thumb[branch] & ~wide).any():
            raise body.refuse("a short branch out of the section", body.place[branch])
        a32 = place[~wide]
        self.bits[a32] = 0xFFFF
        self.bits[a32 + 1] = np.where(al.exchanges[branch[~wide]], 0x01FF, 0x00FF)
        calls = al.calls[branch[wide]] | ~al.falls[branch[wide]]
        t32 = place[wide]
        self.bits[t32] = np.where(calls, 0x07FF, 0x043F)
        self.bits[t32 + 1] = 0x2FFF
