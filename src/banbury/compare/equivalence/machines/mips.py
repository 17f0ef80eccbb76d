"""MIPS (O32, both byte orders) in the relayout proof: what its code, its table of addresses and its tags refer to.

Position-independent code finds everything through register 28, which holds the address of the table of addresses
(``.got``) plus 0x7ff0. Each function makes it up from its own address; addresses are read from the table and, for
what the file keeps to itself, completed by a 16-bit immediate in a later instruction, which the flow analysis finds.
The words of the table's first part are read by such instructions only. Its words that end in sixteen zero bits may
therefore differ freely: each use of one is checked as an address.

Source: System V ABI, MIPS RISC Processor Supplement (3rd edition), chapters 3 to 5; GNU binutils, ``bfd/elfxx-mips.c``
for what linkers put where (facts only).
"""

from __future__ import annotations

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.elf_pair import span
from banbury.compare.equivalence.machines import mips_code as decoder
from banbury.compare.equivalence.machines.calls import never_symbols
from banbury.compare.equivalence.machines.contract import BELOW, CodePair, Kinds, Machine, Mask, Sides
from banbury.compare.equivalence.machines.followed import Followed, Section
from banbury.compare.equivalence.machines.mips_code import FP, GP, RA, SP, T9
from banbury.compare.equivalence.machines.operations import (
    ADD,
    ADDI,
    FINAL,
    LOAD,
    NAMED,
    PART,
    RETURNS,
    STORE,
    WHOLE,
    Ops,
    Words,
)
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_data import dynamic_symbols
from banbury.compare.equivalence.relayout_map import AddressMap
from banbury.formats import _elf_types as t

_REGINFO, _ABIFLAGS = 0x70000006, 0x7000002A
_LOCAL, _SYMBOLS, _FIRST = 0x7000000A, 0x70000011, 0x70000013
_BIAS = 0x7FF0
_O32, _ABI, _UNKNOWN_FLAGS = 0x1000, 0xF000, 0x06000000  # EF_MIPS_ABI_O32; microMIPS and MIPS16
Started = tuple[Ints, Ints, Ints, Ints, Ints]  # rows, places, kinds, both numbers
_PROLOGUE = 32  # rows between the parts of what sets the global pointer

#: Functions of the C library that do not return (ISO C 7.22.4, POSIX; GNU and musl for those with two underscores).
_FINAL = frozenset({
    "abort", "exit", "_exit", "_Exit", "longjmp", "siglongjmp", "__longjmp_chk", "pthread_exit", "__assert_fail",
    "__assert", "__stack_chk_fail", "__chk_fail", "__fortify_fail", "__libc_fatal", "err", "errx", "verr", "verrx",
})  # fmt: skip


class Mips(Machine):
    """MIPS O32."""

    fixed = True
    kinds = Kinds(
        relative=frozenset(), symbolic=frozenset({0, 38, 39, 47, 126}), lazy=frozenset({127})
    )  # NONE, DTPMOD32, DTPREL32, TPREL32, COPY; JUMP_SLOT
    addresses = frozenset({0x70000016, 0x70000032, 0x70000034})
    numbers = frozenset({0x70000001, 0x70000005, 0x70000006, _LOCAL, _SYMBOLS, 0x70000012, _FIRST, 0x70000014})
    distances = frozenset({0x70000035})

    def __init__(self, sides: Sides) -> None:
        super().__init__(sides)
        flags = sides.a.header.flags
        if flags & _ABI != _O32 or flags & _UNKNOWN_FLAGS or flags >> 28 in (9, 10) or sides.a.header.bits != 32:
            raise Refused("ELF header", "of MIPS, only O32 without compressed code or release 6 is read here")
        self.followed = Followed(sides)
        never, symbols = never_symbols(sides.a.elf, _FINAL), sides.a.elf.dynamic_symbols
        held = [s.value if s.section else FINAL if k in never else RETURNS for k, s in enumerate(symbols)]
        self.named = np.array(held, np.int64)
        self.order = ">u4" if sides.big else "<u4"
        self.read: tuple[set[int], set[int]] = set(), set()  # words of the table that code reads, by number
        self.local, self.pointer = 0, (0, 0)  # without a table: register 28 may not occur
        self.free: list[int] = []  # words that differ, and need not agree with the map
        self.words = [np.zeros(0, np.int64)] * 2
        if sides.a.elf.tag(t.DT_PLTGOT) is not None or sides.a.elf.tag(_LOCAL) is not None:
            self._find_table()
        elif sides.image is not None and sides.named(".got") is not None:
            self._static_table()

    def _find_table(self) -> None:
        sides = self.sides
        found = sides.named(".got")
        if found is None:
            raise Refused("layout", "it moved, and there is no table of addresses")
        for elf, part in zip((sides.a, sides.b), found, strict=True):
            if elf.elf.tag(t.DT_PLTGOT) != part.addr:
                raise Refused(".dynamic", "the table of addresses is not where the section is")
        self.got = found
        self.pointer = (found[0].addr + _BIAS, found[1].addr + _BIAS)
        self.local = sides.a.elf.tag(_LOCAL) or 0
        self.words = [raw[: len(raw) // 4 * 4].view(self.order).astype(np.int64) for raw in sides.raw[found[0].index]]
        if not 2 <= self.local <= len(self.words[0]):
            raise Refused(".dynamic", "the table of addresses is smaller than it says")

    def _static_table(self) -> None:
        """The table of a file without dynamic linking: constants that nothing relocates. Where register 28 leads,
        ``.reginfo`` says."""
        sides = self.sides
        found = self.got = sides.named(".got") or sides.pairs[0]
        self.pointer = (found[0].addr + _BIAS, found[1].addr + _BIAS)
        self.words = [raw[: len(raw) // 4 * 4].view(self.order).astype(np.int64) for raw in sides.raw[found[0].index]]
        self.local = len(self.words[0])

    # Relocations

    def relative(self, types: Ints, symbols: Ints) -> Mask:
        """R_MIPS_REL32 without a symbol."""
        out: Mask = (types == 3) & (symbols == 0)
        return out

    def known(self, types: Ints, symbols: Ints) -> bool:
        return super().known(types[types != 3], symbols)

    # Tables

    def section(self, one: Part, other: Part) -> Mask | None:
        if one.name == ".got" and self.local:
            return self._addresses(one)
        if one.type == _REGINFO:
            return self._register_info(one)
        if one.type == t.SHT_DYNSYM:
            return self._symbols(one, other)
        return None

    def _addresses(self, one: Part) -> Mask:
        """The table: two words for the linker, the file's own addresses, those of symbols, and thread-local words."""
        sides = self.sides
        a, b = self.words
        count = (sides.a.elf.tag(_SYMBOLS) or 0) - (sides.a.elf.tag(_FIRST) or 0)
        end = self.local + count
        if count < 0 or end > len(a):
            raise Refused(one.name, "the table of addresses is smaller than it says")
        index = np.arange(len(a))
        own = (index >= 2) & (index < self.local)
        page = own & (a & 0xFFFF == 0) & (b & 0xFFFF == 0)
        if sides.image is not None:  # offsets of thread-local data
            own &= ~(sides.is_number(a) & (a == b))
        held = (own & ~page) | ((index >= self.local) & (index < end) & ((a != 0) | (b != 0)))
        sides.refs.add(f"{one.name}, words", a[held], b[held])
        self.free = np.flatnonzero(page & (a != b)).tolist()
        return np.repeat(held | page, 4)

    def _register_info(self, one: Part) -> Mask:
        """``.reginfo``: which registers are used, and last the value of register 28."""
        raw = self.sides.raw[one.index]
        if one.size != 24:
            raise Refused(one.name, "not of the size that the ABI says")
        held = tuple(int(r.view(self.order)[5]) for r in raw)
        if held != self.pointer:
            raise Refused(one.name, "the global pointer is not that of the table of addresses")
        return np.arange(24) >= 20

    def _symbols(self, one: Part, other: Part) -> Mask:
        """Every symbol of a function begins one: an undefined one's is the stub that binds it."""
        from banbury.compare.equivalence.elf_symbols import symbols_of

        out = dynamic_symbols(self.sides, one, other)
        ours = symbols_of(self.sides.a, one)
        self.followed.functions(ours["value"][(ours["info"] & 15 == 2) & (ours["value"] != 0)].astype(np.int64))
        return out

    # Code

    def code(self, one: Part, other: Part) -> CodePair:
        if one.name == ".plt":
            return self._linkage(one, other)
        words = [raw[: len(raw) // 4 * 4].view(self.order).astype(np.uint32) for raw in self.sides.raw[one.index]]
        if one.size % 4:
            raise Refused(one.name, "code that is not of whole instructions")
        try:
            ops, rows, targets, targets_b = decoder.both(words[0], words[1], one.addr, other.addr)
            ops.rd[ops.rd == GP] = -1  # the global pointer is known without being followed
            found = self.followed.section(one, other, ops)
            found.branches(rows, targets, targets_b)
            if not self.local:
                self._no_pointer(ops)
                if self.sides.image is not None:
                    started = self._halves(ops, found, *words)
                    found.run(*started)
                    self._handed(ops, found, started)
                return found.pair()
            started = self._pointer_uses(one, ops, found)
            if self.sides.image is not None:
                halves = self._halves(ops, found, *words)
                started = _both(started, halves)
            self._prologues(one, other, ops, found, words[0])
            found.run(*started, base=self.pointer)
            self._jumps(ops, found)
            self._arguments(ops, found)
            if self.sides.image is not None:
                self._handed(ops, found, halves)
        except NotDecoded as answer:
            where = Range(one.offset + answer.offset, one.offset + answer.offset + 4)
            raise Refused(one.name, f"code that cannot be decoded: {answer}", [where]) from answer
        return found.pair()

    def _halves(self, ops: Ops, found: Section, words: Words, words_b: Words) -> Started:
        """In a file for a fixed address: the upper halves (``lui``) that an address of the image may begin with."""
        low, high = self.sides.image or (0, 0)
        ops.absolute = True
        lower = words >> 26 == 13  # ori completes a number
        ops.kind[lower] = ADDI
        ops.rd[lower], ops.rs[lower] = ((words[lower] >> s) & 31 for s in (16, 21))
        ops.rd[ops.rd == 0] = -1
        ops.rs[lower & (ops.rs == 0)] = -1
        for side, held in zip(ops.imm, (words, words_b), strict=True):
            side[lower] = held[lower] & 0xFFFF
        upper = words >> 16 & 0xFFE0 == 0x3C00
        a, b = (((w & 0xFFFF).astype(np.int64) << 16) for w in (words, words_b))
        upper &= (a <= high + 0x8000) & (a + 0x10000 > low - BELOW) & ((words >> 16 & 31) != GP)
        rows = np.flatnonzero(upper)
        found.mark(rows)
        return rows, (words[rows] >> 16 & 31).astype(np.int64), np.full(len(rows), PART), a[rows], b[rows]

    @staticmethod
    def _handed(ops: Ops, found: Section, halves: Started) -> None:
        rows, _, _, a, b = halves
        found.halves(rows, a, b, (4, 5, 6, 7))
        for register in (2, 3):
            found.complete(np.flatnonzero(ops.returns), register)

    def _linkage(self, one: Part, other: Part) -> CodePair:
        """The linkage table as GNU ld writes it for programs that are not position-independent."""
        words, words_b = (
            raw[: len(raw) // 4 * 4].view(self.order).astype(np.int64) for raw in self.sides.raw[one.index]
        )
        count = len(words)
        if one.size % 16 or count < 8:
            raise Refused(one.name, "a linkage table of a form that is not known here")
        tops, bits = words >> 16, np.zeros(count, np.uint32)
        head = tops[:3].tolist() == [0x3C1C, 0x8F99, 0x279C] and words[3] == 0x031CC023
        head = (
            head
            and words[4] in (0x03E07825, 0x03E07821)
            and words[5:8].tolist() == [0x0018C082, 0x0320F809, 0x2718FFFE]
        )
        rest = np.arange(8, count, 4)
        good = (tops[rest] == 0x3C0F) & (tops[rest + 1] == 0x8DF9)
        swapped = (tops[rest + 2] == 0x25F8) & (words[rest + 3] == 0x03200008)
        good &= swapped | ((words[rest + 2] == 0x03200008) & (tops[rest + 3] == 0x25F8))
        if not head or not good.all():
            raise Refused(one.name, "a linkage table of a form that is not known here")
        last = np.where(swapped, rest + 2, rest + 3)
        upper, lower = np.concatenate(([0], rest)), np.concatenate(([1], rest + 1))
        added = np.concatenate(([2], last))
        refs = []
        for w in (words, words_b):
            low = ((w & 0xFFFF) ^ 0x8000) - 0x8000
            base = (w[upper] & 0xFFFF) << 16
            refs.append(np.concatenate((base + low[lower], base + low[added])))
        for at in (upper, lower, added):
            bits[at] = 0xFFFF
        entries = np.zeros(one.size + 1, bool)
        entries[0::16] = True
        self.sides.pair.account.explain("elf.moved-half", [span(one)], [span(other)], one.name)
        return CodePair(refs[0], refs[1], bits.astype(self.order).view(np.uint8).copy(), entries)

    def _no_pointer(self, ops: Ops) -> None:
        """Code of a file without a table of addresses: nothing in it can mean an address but branches."""
        strange = ((ops.reads | ops.writes) >> np.uint64(GP)) & np.uint64(1) != 0
        strange |= (ops.jump >= 0) & (ops.jump != T9)
        if strange.any():
            raise NotDecoded(4 * int(np.flatnonzero(strange)[0]), "the global pointer without a table of addresses")

    def _pointer_uses(self, one: Part, ops: Ops, found: Section) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        """What is read or made up from register 28: values that begin, as rows, places, kinds and both numbers."""
        based = ops.rs == GP
        memory = based & ((ops.kind == LOAD) | (ops.kind == STORE))
        made = based & (ops.kind == ADDI) & ~_sets_pointer(ops)
        first, second = (p + i for p, i in zip(self.pointer, ops.imm, strict=True))
        slots = [(x - part.addr) // 4 for x, part in zip((first, second), self.got, strict=True)]
        own = memory & (ops.kind == LOAD) & ops.word
        for slot in slots:
            own &= (slot >= 2) & (slot < self.local)
        own &= (first % 4 == 0) & (second % 4 == 0)
        rows = np.flatnonzero(own)
        for seen, slot in zip(self.read, slots, strict=True):
            seen |= set(slot[rows].tolist())
        a, b = (w[s[rows]] for w, s in zip(self.words, slots, strict=True))
        page = (a & 0xFFFF == 0) & (b & 0xFFFF == 0)
        found.mark(rows)
        found.refer(rows[~page], a[~page], b[~page])
        rest = np.flatnonzero((memory & ~own) | made)
        found.mark(rest)
        found.refer(rest, first[rest], second[rest])
        begun = np.flatnonzero(made)
        symbol = slots[0] - self.local + (self.sides.a.elf.tag(_FIRST) or 0)
        named = np.flatnonzero(
            memory & (ops.kind == LOAD) & ops.word & (slots[0] >= self.local) & (slots[0] == slots[1])
        )
        symbol = symbol[named]
        name = np.append(self.named, RETURNS)[np.minimum(symbol, len(self.named))]
        return (
            np.concatenate((rows, begun, named)),
            np.concatenate((ops.rd[rows], ops.rd[begun], ops.rd[named])),
            np.concatenate((np.where(page, PART, WHOLE), np.full(len(begun), WHOLE), np.full(len(named), NAMED))),
            np.concatenate((a, first[begun], name)),
            np.concatenate((b, second[begun], name)),
        )

    def _prologues(self, one: Part, other: Part, ops: Ops, found: Section, words: Words) -> None:
        """Register 28 is written only by what makes it up (``lui``, ``addiu``, ``addu`` with the function's own
        address) and by loads from the stack, and read only as a base."""
        bit = np.uint64(1 << GP)
        written = np.flatnonzero((ops.writes & bit) != 0)
        upper = (words[written] >> 16) == 0x3C1C
        lower = (words[written] >> 16) == 0x279C
        summed = ((words[written] & 0xFC1FFFFF) == 0x0000E021) | ((words[written] & 0xFFE0FFFF) == 0x0380E021)
        summed &= ((ops.rs[written] == GP) & np.isin(ops.rt[written], [T9, RA])) | (
            (ops.rt[written] == GP) & np.isin(ops.rs[written], [T9, RA])
        )
        given = self._given_away(ops, written)
        restored = (ops.kind[written] == LOAD) & np.isin(ops.rs[written], [SP, FP]) & ops.word[written]
        known = upper | lower | summed | restored | given
        if not known.all():
            row = int(written[np.flatnonzero(~known)[0]])
            raise NotDecoded(4 * row, "the global pointer is set in a way that is not known")
        kinds = np.where(upper, 1, np.where(lower, 2, np.where(summed, 3, 0)))
        starts = np.flatnonzero(kinds == 1)
        after = np.concatenate((kinds, [0, 0]))
        starts = starts[(after[starts + 1] == 2) & (after[starts + 2] == 3)]
        plain = np.setdiff1d(np.flatnonzero(kinds), starts[:, None] + np.arange(3))
        if (written[starts + 2] - written[starts] > _PROLOGUE).any() or (kinds[plain] == 3).any():
            raise NotDecoded(0, "the global pointer is set in a way that is not known")
        self._whole(ops, written[plain], kinds[plain] == 1)
        high, low = written[starts], written[starts + 1]
        found.mark(high)
        found.mark(low)
        found.mark(written[plain])
        values = [((i[high] & 0xFFFF) << 16) + i[low] for i in ops.imm]
        values = [((v + (1 << 31)) & 0xFFFFFFFF) - (1 << 31) for v in values]
        begin, begin_b = (p - v for p, v in zip(self.pointer, values, strict=True))
        late = (begin < one.addr) | (begin > one.addr + 4 * high) | (begin % 4 != 0)
        late |= one.addr + 4 * high - begin > 4 * _PROLOGUE
        if late.any():
            raise NotDecoded(4 * int(high[late][0]), "the global pointer is not made from the function's address")
        found.refer(high, begin, begin_b)
        self._reads(ops, words)

    def _whole(self, ops: Ops, rows: Ints, upper: Mask) -> None:
        """In a file for a fixed address: each half that is put into register 28 is the pointer's own, and the other is
        near (compilers put the upper one into the slots behind branches, more than once)."""
        high, low = rows[upper], rows[~upper]
        for side, pointer in zip(ops.imm, self.pointer, strict=True):
            halves = (pointer + 0x8000) >> 16 & 0xFFFF, ((pointer & 0xFFFF) ^ 0x8000) - 0x8000
            lost = rows[np.where(upper, (side[rows] & 0xFFFF) != halves[0], side[rows] != halves[1])]
            if len(lost) or (len(rows) and self.sides.image is None):
                raise NotDecoded(4 * int((*lost, *rows)[0]), "the global pointer is not that of the table of addresses")
        behind = np.append(low, ops.count + _PROLOGUE)[np.searchsorted(low, high)]
        before = np.append(-_PROLOGUE - 1, high)[np.searchsorted(high, low)]
        if (behind - high > _PROLOGUE).any() or (low - before > _PROLOGUE).any():
            raise NotDecoded(0, "the global pointer is set in a way that is not known")

    @staticmethod
    def _given_away(ops: Ops, written: Ints) -> Mask:
        """Loads of register 28 from elsewhere that a jump to an unknown place follows, without a use (longjmp)."""
        used = ((ops.reads >> np.uint64(GP)) & np.uint64(1) != 0) | ops.call
        out: Mask = np.zeros(len(written), bool)
        for index, row in enumerate(written.tolist()):
            if ops.kind[row] == LOAD and int(ops.rs[row]) not in (SP, FP):
                out[index] = Mips._only_leaves(ops, used, row + 1)
        return out

    @staticmethod
    def _only_leaves(ops: Ops, used: Mask, row: int) -> bool:
        """Whether what follows ends in jumps to unknown places, soon and without a use or a branch elsewhere."""
        first, furthest = row, row
        while row < min(ops.count, first + _PROLOGUE) and not used[row]:
            fall, branch = (int(x) for x in ops.next[:, row])
            if branch >= 0 and not row <= branch < first + _PROLOGUE and branch + 1 != row:
                return False
            furthest = max(furthest, branch)
            if fall < 0 and branch < 0 and row >= furthest:
                return True
            row += 1
        return False

    def _reads(self, ops: Ops, words: Words) -> None:
        bit = np.uint64(1 << GP)
        read = (ops.reads & bit) != 0
        base = (ops.rs == GP) & np.isin(ops.kind, [ADDI, LOAD, STORE]) & ~((ops.kind == STORE) & (ops.rt == GP))
        saved = (ops.kind == STORE) & (ops.rt == GP) & np.isin(ops.rs, [SP, FP])
        added = (ops.kind == ADD) & ((ops.rs == GP) | (ops.rt == GP))
        if (read & ~(base | saved | added)).any():
            row = int(np.flatnonzero(read & ~(base | saved | added))[0])
            raise NotDecoded(4 * row, "the global pointer is used in a way that is not known")

    def _jumps(self, ops: Ops, found: Section) -> None:
        """Every jump through a register other than those for calls and returns goes through a table that was found,
        whose words count from register 28."""
        lost = [row for row in np.flatnonzero((ops.jump >= 0) & (ops.jump != T9)).tolist() if row not in found.jumps]
        if lost:
            raise NotDecoded(4 * lost[0], "a jump whose table is not known")
        bit = np.uint64(1 << GP)
        added = np.flatnonzero((ops.kind == ADD) & ((ops.reads & bit) != 0) & ~_sets_pointer(ops))
        for row in added.tolist():
            if not found.is_loaded(row):
                raise NotDecoded(4 * row, "the global pointer is used in a way that is not known")

    def _arguments(self, ops: Ops, found: Section) -> None:
        """A word of sixteen zero bits that is handed to a function or returned is an address as it stands."""
        handed = [(np.flatnonzero(ops.call), (4, 5, 6, 7))]
        for rows, registers in handed:
            for register in registers:
                found.complete(rows, register)

    def finish(self, the_map: AddressMap) -> None:
        self.followed.finish(the_map)
        idle = [k for k in self.free if k not in self.read[1] and not (k in self.read[0] and self.words[1][k] == 0)]
        if idle:
            raise Refused(".got", f"word {idle[0]} differs, and no code reads it")


def _both(one: Started, other: Started) -> Started:
    a, b, c, d, e = (np.concatenate(pair) for pair in zip(one, other, strict=True))
    return a, b, c, d, e


def _sets_pointer(ops: Ops) -> Mask:
    out: Mask = (ops.writes >> np.uint64(GP)) & np.uint64(1) != 0
    return out
