"""Two ELF files whose loaded parts stand at other addresses: every reference agrees with one address map.

All references of the first file are enumerated, in code by decoding it and elsewhere by the tables' own grammar; the
same places of the second file give what they mean there. The map is made of the sections' places, and of the
places within data where declared texts changed length. Bytes that are no reference are equal. A reference that
cannot be enumerated stops the proof; none is left out because its bytes happen to be equal.

Proved here: position-independent programs and shared objects for the processors of :mod:`machines`, and programs for a
fixed address where the processor's module enumerates them (see :mod:`relayout_fixed`). Refused:
other processors, and what the decoder or the tables' readers do not know. Assumed (as a rule that is listed where it is
used): see ``rules/relayout.toml``.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence import relayout_data as data
from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import SHF_WRITE, SHT_DYNAMIC, SHT_NOBITS, OwnedElf, Part
from banbury.compare.equivalence.elf_meta import compare_build_id, compare_unloaded
from banbury.compare.equivalence.elf_mips_count import explain_count
from banbury.compare.equivalence.elf_pair import SHT_PROGBITS, Pair, compare_links, may_hold_literals, span
from banbury.compare.equivalence.elf_same import compare_header
from banbury.compare.equivalence.literals import runs
from banbury.compare.equivalence.machines import machine_of
from banbury.compare.equivalence.machines.contract import Mask, Sides
from banbury.compare.equivalence.machines.displaced import KEPT
from banbury.compare.equivalence.machines.x86_64 import X86
from banbury.compare.equivalence.machines.x86_64_compared import Compared
from banbury.compare.equivalence.machines.x86_64_strides import Strides
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_addresses import Addresses
from banbury.compare.equivalence.relayout_aligned import check_aligned
from banbury.compare.equivalence.relayout_apart import check_apart, check_entered
from banbury.compare.equivalence.relayout_before import Before
from banbury.compare.equivalence.relayout_exceptions import exceptions
from banbury.compare.equivalence.relayout_fixed import Fixed
from banbury.compare.equivalence.relayout_headers import check_headers
from banbury.compare.equivalence.relayout_items import Text, compare_items, constant, labels, pieces_of
from banbury.compare.equivalence.relayout_lengths import check_lengths
from banbury.compare.equivalence.relayout_lost import check_lost
from banbury.compare.equivalence.relayout_map import AddressMap, Piece, is_template, paired
from banbury.compare.equivalence.relayout_objects import Objects, boundary
from banbury.compare.equivalence.relayout_pools import Pool
from banbury.compare.equivalence.relayout_spans import check_spans
from banbury.compare.equivalence.relayout_strayed import (
    Gone,
    Strayed,
    carved,
    check_ends,
    check_steady,
    compare_strayed,
    strayed,
    whole,
    without,
)
from banbury.compare.equivalence.relayout_tables import check_code_distances, check_distances
from banbury.formats import _elf_types as t

U8 = npt.NDArray[np.uint8]
_NOTES, _RELR = 7, 19
_FIXED = {3, 5, 0x6FFFFFF6, 0x6FFFFFFF, 0x6FFFFFFE, 0x6FFFFFFD}  # strings, hashes, versions


def compare_moved(pair: Pair) -> None:
    """Compare two files by the address map; every difference goes into the account. Raises :class:`Refused`."""
    _Proof(pair).run()


class _Proof:
    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.a, self.b = pair.a, pair.b
        header = self.a.header
        machine = machine_of(self.a)
        if machine is None:
            kind = f"machine {header.machine}, {header.bits} bits, {'big' if self.a.elf.big else 'little'}-endian"
            raise Refused("layout", f"it moved, and references of this machine's code are not enumerated here ({kind})")
        if header.type != t.ET_DYN and not (machine.fixed and header.type == t.ET_EXEC):
            raise Refused("layout", "it moved, and addresses in a file for a fixed place cannot be told from numbers")
        if not self.a.sections or not self.b.sections:
            raise Refused("layout", "it moved, and there is no table of sections")
        if any(load.vaddr + load.memsz > 1 << 62 for elf in (self.a, self.b) for load in elf.elf.loads):
            raise Refused("program headers", "addresses beyond reason")
        self.pairs = paired(self.a, self.b)
        self.raw = {one.index: (self._bytes(self.a, one), self._bytes(self.b, other)) for one, other in self.pairs}
        self.sides = Sides(pair, self.pairs, self.raw)
        self.machine = machine(self.sides)
        if isinstance(self.machine, X86):
            self.sides.strides = Strides(self.sides, self.machine)
        self.refs, self.masks = self.sides.refs, self.sides.masks
        self.caught: list[tuple[int, int, int, int]] = []  # functions with tables of exceptions, and these
        self.tables: dict[int, Mask] = {}  # of data: the bytes of tables of jumps
        self.bits: dict[int, U8] = {}  # of code: the bits that are references
        self.addresses = Addresses(self.sides, self.machine, fixed=header.type == t.ET_EXEC)
        self.objects = Objects(self.a)
        self.objects.added = lambda: self.addresses.added[:2]
        self.texts: list[Text] = []  # that changed their length
        self.apart: set[int] = set()  # sections whose parts moved otherwise, by number
        self.strayed: dict[int, list[Strayed]] = {}  # texts that stand elsewhere, by the section's number
        self.fixed = Fixed(self.sides, self.machine.entered) if header.type == t.ET_EXEC else None

    @staticmethod
    def _bytes(elf: OwnedElf, part: Part) -> U8:
        return np.frombuffer(elf.data[part.offset : part.end], np.uint8)

    def run(self) -> None:
        for one, other in self.pairs:
            texts = may_hold_literals(one) and may_hold_literals(other)
            if one.size != other.size and not texts and one.type != _NOTES:  # notes: see _note
                raise Refused(one.name, "its size differs", [span(one)], [span(other)])
            compare_links(self.pair, one, other)
            self._collect(one, other)
        self._stored_words()
        self._exceptions()
        self.refs.one("entry", self.a.header.entry, self.b.header.entry)
        for one, other in self.pairs:
            if one.code and one.size and one.type != SHT_NOBITS:
                self._code(one, other)
        check_apart(self.sides, self.objects)
        if self.fixed is not None:
            self.fixed.immediates(self.bits)
            self.fixed.words()
        old, new = self.refs.old, self.refs.new
        split = {one.index: self._labels(one, other, old, new) for one, other in self.pairs if may_hold_literals(one)}
        for one, other in self.pairs:
            if one.index in split:
                known = self.masks[one.index].copy() if one.index in self.masks else None
                self.machine.tables(one, other, *whole(one, other, self.strayed[one.index], split[one.index]))
                if known is not None:
                    self.tables[one.index] = self.masks[one.index] & ~known
        check_entered(self.sides, self.objects)
        the_map = self._map(split)
        the_map.check(self.refs)
        self.machine.finish(the_map)
        check_spans(self.sides)
        if self.fixed is not None:
            self.fixed.finish(the_map)
            check_lost(self.sides, self.fixed.plain, self.bits, self.objects, the_map)
        self._boundaries()
        boundary(self.pairs, self.addresses.held(), self.objects)
        for one, other in self.pairs:
            self._contents(one, other, split.get(one.index))
        self._objects(the_map, split)
        self._beside()
        check_lengths(self.sides, self.objects, self.texts, self._before, lambda: self.addresses.added)
        self._distances(the_map)
        check_headers(self.pair, self.pairs, the_map)
        compare_header(self.pair, loaded=False)
        compare_unloaded(self.pair, the_map.one)
        self._enter()

    # What refers to what

    def _collect(self, one: Part, other: Part) -> None:
        """Everything but code."""
        a, b, refs = self.a, self.b, self.refs
        if one.type == SHT_NOBITS or not one.size or one.code:
            return
        mask = self.machine.section(one, other)
        if mask is not None:
            self.masks[one.index] = mask
        elif one.type == SHT_DYNAMIC:
            self.masks[one.index] = data.dynamic_table(self.sides, self.machine, one, other)
        elif one.type == t.SHT_DYNSYM:
            self.masks[one.index] = data.dynamic_symbols(self.sides, one, other)
        elif one.type in (t.SHT_RELA, t.SHT_REL):
            self.masks[one.index] = data.relocations(self.sides, self.machine, one, other)
        elif one.type == _RELR:
            self.masks[one.index] = data.packed(self.sides, one, other)
        elif one.name == ".eh_frame":
            self.masks[one.index] = data.frames(self.sides, one, other, self.caught)
        elif one.name == ".eh_frame_hdr":
            self.masks[one.index] = data.frame_header(a, b, one, other, refs)
        elif one.type not in _FIXED and one.type != _NOTES:
            self.masks[one.index] = np.zeros(one.size, bool)
            self._first_word(one, other)
            if self.fixed is not None:
                self.fixed.plain.append((one, other))

    def _code(self, one: Part, other: Part) -> None:
        found = self.machine.code(one, other)
        self.refs.add(one.name, found.old, found.new)
        self.bits[one.index] = found.bits
        self.sides.code.append((one, other, found.entries))

    def _first_word(self, one: Part, other: Part) -> None:
        """The first word of the global offset table: the address of the dynamic table (AMD64 supplement, 5.2)."""
        dynamic, width = self.a.elf.segment(t.PT_DYNAMIC), self.sides.word
        if one.name not in (".got", ".got.plt") or dynamic is None or one.size < width:
            return
        order: Literal["big", "little"] = "big" if self.sides.big else "little"
        value, value_b = (int.from_bytes(r[:width].tobytes(), order) for r in self.raw[one.index])
        if value == dynamic.vaddr:
            self.refs.one(one.name, value, value_b)
            self.masks[one.index][:width] = True

    def _stored_words(self) -> None:
        """The words that relocations apply to: a stored address is a reference, no address is equal."""
        held: dict[int, list[tuple[int, int]]] = {}
        width = self.sides.word
        for place, place_b in self.sides.words.held:
            part, part_b = self.a.section_at(place), self.b.section_at(place_b)
            if part is None or part_b is None or part.name != part_b.name or part.code:
                raise Refused("relocations", f"the place {place:#x} is not in a section of data in both files")
            if (
                part.type == SHT_NOBITS
                or place + width > part.addr + part.size
                or place_b + width > part_b.addr + part_b.size
            ):
                raise Refused("relocations", f"the place {place:#x} is not stored in the file")
            held.setdefault(part.index, []).append((place - part.addr, place_b - part_b.addr))
        for index, rows in held.items():
            raw, raw_b = self.raw[index]
            at, at_b = np.array(rows, np.int64).T
            old = data.same_words(raw, raw, at, width, self.sides.big)[0]
            new = data.same_words(raw_b, raw_b, at_b, width, self.sides.big)[0]
            if ((old == 0) != (new == 0)).any():
                raise Refused(self.a.sections[index].name, "a relocated word is stored in one file only")
            some = old != 0
            self.refs.add(f"{self.a.sections[index].name}, stored words", old[some], new[some])
            places = at[some] + self.a.sections[index].addr
            self.sides.pointers += zip(places.tolist(), old[some].tolist(), strict=True)
            mask = self.masks.get(index)
            if mask is None:
                raise Refused(self.a.sections[index].name, "a table that is relocated")
            for k in range(width):
                mask[at[some] + k] = True

    # The map

    def _labels(self, one: Part, other: Part, old: Ints, new: Ints) -> tuple[Ints, Ints]:
        """The labels of a section but for those of texts that stand elsewhere."""
        texts = list[Strayed]()
        if self.fixed is None and not (one.flags | other.flags) & SHF_WRITE:
            texts = strayed(self.pair, one, other, self.raw[one.index], old, new)
        self.strayed[one.index] = texts
        return labels(one, other, *without(one, other, texts, old, new))

    def _objects(self, the_map: AddressMap, split: dict[int, tuple[Ints, Ints]]) -> None:
        """What symbols and distances say of the sections whose parts moved."""
        changed = {start for start, _, _ in self.texts}
        for one, _ in self.pairs:
            if one.index in split:
                self.objects.unbroken(the_map, one, changed)
            if self.strayed.get(one.index):
                check_steady(the_map, one, self.addresses.added[:2], KEPT)

    def _map(self, split: dict[int, tuple[Ints, Ints]]) -> AddressMap:
        pieces, own = list[Piece](), list[Piece]()
        ends: dict[int, int] = {}
        for one, other in self.pairs:
            if is_template(one) or not one.size:
                continue
            texts = self.strayed.get(one.index, [])
            if one.index in split and (texts or not constant(one, other, *split[one.index])):
                left, apart = carved(pieces_of(one, other, *split[one.index]), one, other, texts)
                pieces += left
                own += apart
            else:
                size = min(one.size, other.size) if one.type == _NOTES else one.size  # a build-id of another length
                pieces.append(Piece(one.addr, one.addr + size, other.addr - one.addr))
            if one.size == other.size or not may_hold_literals(one):  # else its end may lie behind more zeros
                ends[one.addr + one.size] = other.addr + other.size
        pieces += self._between(pieces)
        base, base_b = self.a.elf.loads[0].vaddr, self.b.elf.loads[0].vaddr
        headers = min(p.start for p in pieces), min(p.start + p.shift for p in pieces)
        if base != base_b or min(headers) < base:
            raise Refused("program headers", "the image does not begin at the same address")
        pieces.append(Piece(base, min(headers), 0))
        if self.fixed is not None:
            ends.setdefault(0, 0)  # calls of weak functions that are nowhere
        return AddressMap(pieces, ends, own)

    def _between(self, pieces: list[Piece]) -> list[Piece]:
        """Padding between two sections of data that moved alike: whatever an address there means
        (the end of the first, aligned, as C libraries' start files have it), it moves as they do."""
        whole = {(p.start, p.end): p.shift for p in pieces}
        sized = [x for x, _ in self.pairs if x.size and not is_template(x)]
        out = []
        for one, after in pairwise(sorted(sized, key=lambda x: x.addr)):
            end = one.addr + one.size
            shifts = {whole.get((x.addr, x.addr + x.size)) for x in (one, after)}
            shift = shifts.pop()
            if (
                shift is not None
                and not shifts
                and not one.code
                and not after.code
                and 0 < after.addr - end < after.align
            ):
                out.append(Piece(end + 1, after.addr, shift))
        return [piece for piece in out if piece.end > piece.start]

    def _exceptions(self) -> None:
        """Read the tables of exceptions, which then hold no other addresses."""
        table = exceptions(self.sides, self.caught)
        if table is not None and self.a.header.machine == t.EM_ARM:  # where pads are no edges yet
            raise Refused(table.name, "code that exceptions enter is not followed on this processor")
        if self.fixed is not None:
            self.fixed.plain = [(x, y) for x, y in self.fixed.plain if x is not table]

    def _boundaries(self) -> None:
        """Every reference into code leads to where an instruction may begin: no code hides in operands. (What unwinding
        tables describe may begin before a function; nothing jumps there.)"""
        groups = [old for where, old, _ in self.refs.groups() if not where.startswith(".eh_frame")]
        old = np.concatenate(groups) if groups else np.zeros(0, np.int64)
        for one, _, entries in self.sides.code:
            inside = old[(old >= one.addr) & (old < one.addr + one.size)] - one.addr
            off = inside[~self.machine.entered(one, inside, entries)]
            if len(off):
                where = [Range(int(o) + one.offset, int(o) + one.offset + 1) for o in off[:16]]
                raise Refused(one.name, "a reference leads into the middle of an instruction", where)

    # What is not a reference

    def _contents(self, one: Part, other: Part, split: tuple[Ints, Ints] | None) -> None:
        if one.type == SHT_NOBITS or not (one.size or other.size):
            return
        raw, raw_b = self.raw[one.index]
        if one.type == _NOTES:
            self._note(one, other)
            return
        if one.type == SHT_DYNAMIC:
            explain_count(self.pair, one.offset, one.end, self.refs.old)
        if split is not None:
            self._items(one, other, raw, raw_b, split)
            return
        wrong = raw != raw_b
        mask = self.masks.get(one.index)
        if one.index in self.bits:
            wrong = ((raw ^ raw_b) & ~self.bits[one.index]) != 0
        elif mask is not None:
            wrong &= ~mask
        at = np.flatnonzero(wrong)
        if len(at):
            why = "bytes differ that are no reference"
            raise Refused(one.name, why, runs(at, one.offset), runs(at, other.offset))

    def _distances(self, the_map: AddressMap) -> None:
        """Data that the tables' readers do not know: no distances that were left behind."""
        old, machine = self.refs.old, self.a.header.machine
        for one, _, _ in self.sides.code:
            if not self.sides.big:
                check_code_distances(one, self.raw[one.index][0], machine, old, the_map)
        taken = self.addresses.taken(old)
        x86 = self.machine if isinstance(self.machine, X86) else None
        numbers = Compared(self.sides, x86.decoded).only if x86 else lambda label: False
        for one, _ in self.pairs:
            mask = self.masks.get(one.index)
            if mask is not None and one.type == SHT_PROGBITS and one.addr % 4 == 0:
                check_distances(one, self.raw[one.index][0], self.sides.big, taken, mask, the_map, numbers)

    def _items(self, one: Part, other: Part, raw: U8, raw_b: U8, split: tuple[Ints, Ints]) -> None:
        fixed = raw.copy()
        at = np.flatnonzero(self.masks[one.index])
        old, new = split
        shifts = (new - old)[np.searchsorted(old, at + one.addr, "right") - 1] + one.addr - other.addr
        fixed[at] = raw_b[np.minimum(at + shifts, len(raw_b) - 1)]
        parts, mask = (one, other), self.masks[one.index]
        objects = self.objects if self.objects.known else self._pool(parts, (fixed, raw_b), split, mask)
        gone = Gone(one, self.strayed[one.index])
        marks = mask, self.tables.get(one.index, np.zeros(len(mask), bool))
        self.texts += compare_items(self.pair, parts, (fixed, raw_b), split, self._before, marks, objects, gone)
        self._texts_elsewhere(parts, (raw, raw_b), split, objects)
        free = not (one.flags | other.flags) & SHF_WRITE  # what is written may be shared, by whole words
        free &= not any(x.flags & t.PF_W and x.vaddr <= one.addr < x.vaddr + x.memsz for x in self.a.elf.loads)
        old, new = whole(one, other, gone.texts, split)
        if not constant(one, other, old, new):
            self._before.within(one, raw, mask, (old - one.addr, new - old))
            self.apart.add(one.index)
        if (old != new).any():
            check_aligned(
                self.pair,
                parts,
                raw,
                (old, new),
                self.addresses.wanted if free else None,
                self.addresses.read,
                self.objects,
            )

    def _texts_elsewhere(
        self, parts: tuple[Part, Part], raw: tuple[U8, U8], split: tuple[Ints, Ints], objects: Objects | Pool
    ) -> None:
        """The texts of a section that stand elsewhere."""
        one, other = parts
        mask = self.masks[one.index]
        begin = np.append(split[0] - one.addr, one.size), np.append(split[1] - other.addr, other.size)
        texts = self.strayed[one.index]
        if not texts:
            return
        references = np.sort(self.refs.old)
        for text in texts:
            compare_strayed(self.pair, one, other, raw, text, mask)
            check_ends(one, *begin, text, references, raw[0])
            behind = min(int(np.searchsorted(begin[0], text.end)), len(begin[0]) - 2)
            where = text.start, int(begin[0][behind]), int(begin[0][behind + 1])
            self._before.check_meant(one, raw[0], mask, where, False)
            if isinstance(objects, Pool):
                objects.strayed(text)
            else:
                objects.strayed(one, text)
            if text.end - text.start != text.end_b - text.start_b:
                self.texts.append((one.addr + text.start, text.end - text.start, text.end_b - text.start_b))

    def _pool(self, parts: tuple[Part, Part], raw: tuple[U8, U8], split: tuple[Ints, Ints], mask: Mask) -> Pool:
        """The texts of a section of data, where no symbols say what is an object."""
        (one, other), (old, new) = parts, split
        begin = np.append(old - one.addr, one.size), np.append(new - other.addr, other.size)
        read = [np.zeros(0, np.int64), *(targets[reads] for _, _, targets, reads in self.sides.at)]
        whole = raw[0].tobytes(), raw[1].tobytes()
        base, total, reads = self.addresses.added
        read.append(total[reads])
        sums = base[total != KEPT], total[total != KEPT]
        return Pool(self.pair, parts, whole, begin, mask, distinct(np.concatenate(read)), sums, self.strayed[one.index])

    def _beside(self) -> None:
        """Addresses in sections that moved as a whole, where others moved otherwise."""
        sized = [(x, y) for x, y in self.pairs if x.size and not is_template(x)]
        if not self.apart and len({y.addr - x.addr for x, y in sized}) < 2:
            return
        plain = self.fixed is None and self.a.header.machine in (t.EM_X86_64, t.EM_AARCH64)
        if plain:
            self._before.least = min((load.vaddr for load in self.a.elf.loads), default=0)
            self._before.outside(self.sides, [x for x, _ in self.pairs if x.loaded])
        for one, _ in sized:
            if one.index not in self.apart:
                self._before.beside(one, self.raw[one.index][0], plain)

    @cached_property
    def _before(self) -> Before:
        return Before(self.objects, self.addresses.made(), self.addresses.put())

    def _note(self, one: Part, other: Part) -> None:
        if np.array_equal(*self.raw[one.index]):
            return
        old = self.refs.old
        read = ((old >= one.addr) & (old < one.addr + one.size)).any()
        if read or not compare_build_id(self.pair, one, other):
            raise Refused(one.name, "a note differs that is no build-id, or that the program refers to")

    def _enter(self) -> None:
        moved = [(x, y) for x, y in self.pairs if x.addr != y.addr or x.offset != y.offset or x.size != y.size]
        self.pair.account.explain(
            "elf.moved-section", [span(x) for x, _ in moved], [span(y) for _, y in moved], f"{len(moved)} sections"
        )
        marked = {index for marks in (self.masks, self.bits) for index, mask in marks.items() if mask.any()}
        changed = [(x, y) for x, y in self.pairs if x.index in marked]
        count = len(self.refs.old)
        self.pair.account.explain(
            "elf.moved-reference", [span(x) for x, _ in changed], [span(y) for _, y in changed], f"{count} references"
        )
        self._before.enter(self.pair.account)
        self.pair.account.notes.append(f"{count} references were checked against one address map")
