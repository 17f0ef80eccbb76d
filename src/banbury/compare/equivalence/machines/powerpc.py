"""32-bit PowerPC, position-independent with a secure linkage table, in the relayout proof.

A function asks for its own address (``bcl 20,31``), adds the distance to its table of addresses (``.got2`` plus
0x8000, or ``.got``), keeps that in register 30 and reads addresses from the table by immediates; functions that bind
calls (the linkage table's stubs) are entered with it. All of these values are followed (see :mod:`tracking`): the words
of ``.got`` and ``.got2`` that relocations make addresses are read as constants, for compilers make other addresses from
them by immediates ("anchors").

Source: System V ABI, PowerPC Processor Supplement (1995), chapters 3 to 5; Power Architecture 32-bit ABI Supplement 1.0
(2011), 4 and 5 (secure PLT); GNU binutils, ``bfd/elf32-ppc.c`` for what linkers write (facts only).
"""

from __future__ import annotations

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.elf_map import OwnedElf, Part
from banbury.compare.equivalence.machines import powerpc_code as decoder
from banbury.compare.equivalence.machines.calls import never_slots
from banbury.compare.equivalence.machines.contract import BELOW, CodePair, Kinds, Machine, Mask, Sides
from banbury.compare.equivalence.machines.followed import Followed, Section
from banbury.compare.equivalence.machines.joined import numbered
from banbury.compare.equivalence.machines.operations import (
    ADDI,
    COUNT,
    LINK,
    LOAD,
    OTHER,
    PART,
    SHIFTED,
    STORE,
    WHOLE,
    Ops,
    Words,
)
from banbury.compare.equivalence.machines.powerpc_code import PIC, SMALL
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_map import AddressMap
from banbury.formats import _elf_types as t

_GOT, _OPTIONS = 0x70000000, 0x70000001
_RELATIVE = 22
_FUNCTION = 2  # a symbol's kind
_TABLES = (".got", ".got2")
_NOP, _BCTR, _STUB = 0x60000000, 0x4E800420, 0x817E  # the last: lwz r11 from register 30


class PowerPc(Machine):
    """PowerPC, 32 bits, big-endian."""

    fixed = True
    kinds = Kinds(
        relative=frozenset({_RELATIVE}),
        resolver=frozenset({248}),
        lazy=frozenset({21}),
        symbolic=frozenset({1, 19, 20, 68, 73, 78}),  # ADDR32, COPY, GLOB_DAT, DTPMOD32, TPREL32, DTPREL32
    )
    addresses = frozenset({_GOT})
    numbers = frozenset({_OPTIONS})

    def __init__(self, sides: Sides) -> None:
        super().__init__(sides)
        if sides.a.header.flags & 0x80000000:
            raise Refused("ELF header", "of PowerPC, the embedded interface is not read here")
        self.followed = Followed(sides, self._stored)
        self.followed.never = never_slots(sides.a.elf)
        self.constants = tuple(self._constants(elf) for elf in (sides.a, sides.b))
        self.labels: set[int] = set()
        symbols = [s for s in sides.a.elf.dynamic_symbols if s.info & 15 == 2 and s.section and s.value]
        self.followed.functions(np.array([s.value for s in symbols], np.int64))

    @staticmethod
    def _constants(elf: OwnedElf) -> tuple[Ints, Ints]:
        """Places in the tables of addresses that hold the load address and an addend, and the addends."""
        places, addends = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        tables = [p for p in elf.sections if p.loaded and p.name in _TABLES]
        for part in elf.sections:
            found = elf.elf.section_relocations(elf.elf.sections[part.index]) if part.type == t.SHT_RELA else None
            if found is None or not part.loaded:
                continue
            at = found.offsets.astype(np.int64)
            good = np.zeros(len(at), bool)
            for table in tables:
                good |= (at >= table.addr) & (at < table.addr + table.size)
            good &= found.types == _RELATIVE
            places.append(at[good])
            addends.append(found.addends[good].astype(np.int64))
        place, addend = np.concatenate(places), np.concatenate(addends)
        order = np.argsort(place, kind="stable")
        return place[order], addend[order]

    def _stored(self, a: Ints, b: Ints) -> tuple[Ints, Ints, Ints]:
        """What stands at places of both files, where that is an address that no program changes."""
        known, out = np.ones(len(a), bool), []
        for at, (places, addends) in zip((a, b), self.constants, strict=True):
            index = np.minimum(np.searchsorted(places, at), max(len(places) - 1, 0))
            good = places[index] == at if len(places) else np.zeros(len(at), bool)
            known &= good
            out.append(np.where(good, addends[index], 0) if len(places) else np.zeros(len(at), np.int64))
        return np.where(known, WHOLE, -1).astype(np.int64), out[0], out[1]

    def section(self, one: Part, other: Part) -> Mask | None:
        """``.got`` holds the address of the dynamic table where DT_PPC_GOT says."""
        sides = self.sides
        at, dynamic = sides.a.elf.tag(_GOT), sides.a.elf.segment(t.PT_DYNAMIC)
        if one.name != ".got" or at is None or dynamic is None:
            return None
        place = at - one.addr
        mask = np.zeros(one.size, bool)
        if place < 0 or place + 4 > one.size or place % 4:
            raise Refused(one.name, "its own address is not where the dynamic table says")
        old, new = (int(r[place : place + 4].view(">u4")[0]) for r in sides.raw[one.index])
        if old == dynamic.vaddr:
            sides.refs.one(one.name, old, new)
            mask[place : place + 4] = True
        return mask

    # Code

    def code(self, one: Part, other: Part) -> CodePair:
        words = [raw[: len(raw) // 4 * 4].view(">u4").astype(np.uint32) for raw in self.sides.raw[one.index]]
        if one.size % 4:
            raise Refused(one.name, "code that is not of whole instructions")
        try:
            ops, rows, targets, targets_b = decoder.both(words[0], words[1], one.addr, other.addr)
            self._calls_lead_to_code(rows, targets)
            found = self.followed.section(one, other, ops)
            found.branches(rows, targets, targets_b)
            asked = decoder.asks(words[0])
            places, kinds = np.full(len(asked), LINK), np.full(len(asked), WHOLE)
            started = asked, places, kinds, one.addr + 4 * asked + 4, other.addr + 4 * asked + 4
            if self.sides.image is not None:
                self._negated(ops, found, *words)
                halves = self._halves(ops, found, *words)
                a, b, c, d, e = (np.concatenate(x) for x in zip(started, halves, strict=True))
                started = a, b, c, d, e
            before = len(self.sides.at)
            found.run(*started)
            self._labels_lead_nowhere(ops, found, self.sides.at[before:])
            self._pointers(ops, found)
            if self.sides.image is not None:
                found.halves(halves[0], halves[3], halves[4], tuple(range(3, 13)))
                self._handed(ops, found, words[0])
            self.labels |= {label for label, _ in found.flow.labels}
        except NotDecoded as answer:
            where = Range(one.offset + answer.offset, one.offset + answer.offset + 4)
            raise Refused(one.name, f"code that cannot be decoded: {answer}", [where]) from answer
        return found.pair()

    def _labels_lead_nowhere(self, ops: Ops, found: Section, made: list[tuple[Part, Ints, Ints, Mask]]) -> None:
        """A function that makes the address of a place within one ("labels as values") has no jump whose table is not
        known. ``made``: the addresses that its section makes."""
        one = found.one
        jumps = np.setdiff1d(np.flatnonzero(ops.jump >= 0), np.array(sorted(found.jumps), np.int64))
        at, to = (np.concatenate([np.zeros(0, np.int64), *(x[k] for x in made)]) for k in (1, 2))
        inside = (to >= one.addr) & (to < one.addr + one.size) & (to % 4 == 0)
        at, to = at[inside] // 4, (to[inside] - one.addr) // 4
        own = (at == to) & (ops.kind[at] != ADDI)  # what a table of jumps leads to stands for itself
        at, to = at[~own], to[~own]
        if not (len(jumps) and len(to)):
            return
        starts = self._begun(ops, one)
        inner = ~starts[to]
        begin = np.union1d(np.zeros(1, np.int64), np.flatnonzero(starts))
        rows = np.flatnonzero((ops.next[1] >= 0) & ~ops.call)
        rows = rows[(ops.next[0][rows] >= 0) | ~starts[ops.next[1][rows]]]
        whose = numbered(begin, rows, ops.next[1][rows])
        owner, maker, label = (whose[np.searchsorted(begin, x, "right") - 1] for x in (jumps, at[inner], to[inner]))
        lost = jumps[np.isin(owner, np.concatenate((maker, label)))]
        if len(lost):
            raise NotDecoded(4 * int(lost[0]), "a jump whose table is not known, in a function that makes labels")

    def _begun(self, ops: Ops, one: Part) -> Mask:
        """Where functions begin: called, of symbols, or what the table of unwinding says; without these two, what data
        refer to."""
        groups = {where: old for where, old, _ in self.sides.refs.groups()}
        values = (s.value for s in self.sides.a.elf.symbols if s.info & 15 == _FUNCTION and s.section)
        symbols = [x for x in values if one.addr <= x < one.addr + one.size]
        found = [groups[".eh_frame"]] if ".eh_frame" in groups else []
        found += [np.array(symbols, np.int64)] if symbols else []
        codes = {part.name for part, _ in self.sides.pairs if part.code}
        every = np.concatenate(
            found or [np.zeros(0, np.int64), *(x for name, x in groups.items() if name not in codes)]
        )
        every = every[(every >= one.addr) & (every < one.addr + one.size)] - one.addr
        out = ops.entry.copy()
        out[every // 4] = True
        return out

    # Files for a fixed address

    def _halves(self, ops: Ops, found: Section, words: Words, words_b: Words) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """The upper halves (``lis``) that an address of the image may begin with, where register 30 is as any other."""
        low, high = self.sides.image or (0, 0)
        ops.absolute, ops.linked, ops.through = True, COUNT, -1
        lower = (words >> 26 == 24) & (words != _NOP)  # ori completes a number
        ops.kind[lower] = ADDI
        ops.rd[lower], ops.rs[lower] = ((words[lower] >> s) & 31 for s in (16, 21))
        for side, held in zip(ops.imm, (words, words_b), strict=True):
            side[lower] = held[lower] & 0xFFFF
        a, b = (((w & 0xFFFF).astype(np.int64) << 16) for w in (words, words_b))
        upper = (words & 0xFC1F0000 == 0x3C000000) & (a <= high + 0x8000) & (a + 0x10000 > low - BELOW)
        rows = np.flatnonzero(upper)
        ops.field[upper | lower] = 0xFFFF
        found.mark(rows)
        return rows, (words[rows] >> 21 & 31).astype(np.int64), np.full(len(rows), PART), a[rows], b[rows]

    def _negated(self, ops: Ops, found: Section, words: Words, words_b: Words) -> None:
        """Addresses that are subtracted (by the code that binds lazily): in two halves, close together."""
        low, high = self.sides.image or (0, 0)
        value = -ops.imm[0]
        rows = np.flatnonzero((ops.kind == SHIFTED) & (value + 0x8000 >= low) & (value - 0x8000 <= high))
        for row in rows.tolist():
            same = np.flatnonzero((ops.kind == ADDI) & (ops.rd == ops.rd[row]) & (ops.rs == ops.rd[row]))
            after = same[(same > row) & (same <= row + 4)]
            if not len(after):
                raise NotDecoded(4 * row, "what may be an address is subtracted in a way that is not known")
            pair = np.array([row, int(after[0])])
            a, b = (-int(i[pair].sum()) for i in ops.imm)
            found.mark(pair)
            found.refer(pair[:1], np.array([a]), np.array([b]))
            ops.kind[pair] = OTHER  # what is left is no address

    def _handed(self, ops: Ops, found: Section, words: Words) -> None:
        """Upper halves that are handed to functions or returned, and stubs entered with register 30."""
        for register in (3, 4):
            found.complete(np.flatnonzero(ops.returns), register)
        for row in np.flatnonzero(words >> 16 == _STUB).tolist():
            if row + 2 < len(words) and int(words[row + 2]) == _BCTR and not found.is_known(row, PIC):
                raise NotDecoded(4 * row, "a stub that is entered with the address of a table")

    def _calls_lead_to_code(self, rows: Ints, targets: Ints) -> None:
        # a weak function that is nowhere is called at the file's own header
        inside = targets == self.sides.image[0] if self.sides.image else np.zeros(len(rows), bool)
        for part, _ in self.sides.pairs:
            if part.code:
                inside |= (targets >= part.addr) & (targets < part.addr + part.size)
        if not inside.all():
            raise NotDecoded(4 * int(rows[~inside][0]), "a branch that leads to no code")

    def _pointers(self, ops: Ops, found: Section) -> None:
        """The small data pointer is not used but where it is known; register 30 is one value or unknown."""
        based = np.isin(ops.kind, [ADDI, LOAD, STORE])
        for row in np.flatnonzero(based & (ops.rs == SMALL)).tolist():
            if not found.is_known(row, SMALL):
                raise NotDecoded(4 * row, "small data, whose pointer is not known")
        for row in np.flatnonzero(based & (ops.rs == PIC)).tolist():
            if found.is_mixed(row, PIC):
                raise NotDecoded(4 * row, "a register with two tables of addresses")

    # Data

    def tables(self, one: Part, other: Part, old: Ints, new: Ints) -> None:
        """Every table of jumps in a section was found by the jump that reads it."""
        raw = self.sides.raw[one.index][0]
        held = old[(old % 4 == 0) & (old - one.addr + 8 <= len(raw))]
        at = held - one.addr
        likely = np.ones(len(at), bool)
        for k in range(2):
            value = np.zeros(len(at), np.int64)
            for byte in range(4):
                value = value << 8 | raw[at + 4 * k + byte].astype(np.int64)
            target = (value + held) & 0xFFFFFFFF
            inside = np.zeros(len(at), bool)
            for part, _, entries in self.sides.code:
                some = (target >= part.addr) & (target < part.addr + part.size)
                inside[some] = entries[target[some] - part.addr]
            likely &= inside & (value != 0)
        lost = set(held[likely].tolist()) - self.labels
        if lost:
            raise Refused(one.name, f"a table of jumps at {min(lost):#x} that no known jump reads")

    def finish(self, the_map: AddressMap) -> None:
        self.followed.finish(the_map)
