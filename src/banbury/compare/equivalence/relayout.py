"""Two ELF files whose loaded parts stand at other addresses: every reference agrees with one address map.

All references of the first file are enumerated, in code by decoding it and elsewhere by the tables' own grammar; the
same places of the second file give what they mean there. The map is made of the sections' places, and of the
places within data where declared texts changed length. Bytes that are no reference are equal. A reference that
cannot be enumerated stops the proof; none is left out because its bytes happen to be equal.

Proved here: position-independent programs and shared objects for x86-64. Refused: programs at a fixed address (an
address in them cannot be told from a number), other machines, and what the decoder or the tables' readers do not
know. Assumed (as a rule that is listed where it is used): see ``rules/relayout.toml``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence import relayout_data as data
from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Code, Ints, NotDecoded
from banbury.compare.equivalence.elf_map import SHT_DYNAMIC, SHT_NOBITS, Part
from banbury.compare.equivalence.elf_meta import compare_build_id, compare_unloaded
from banbury.compare.equivalence.elf_same import Pair, compare_header, compare_links, may_hold_literals, span
from banbury.compare.equivalence.literals import runs
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_headers import check_headers
from banbury.compare.equivalence.relayout_items import compare_items, constant, labels, pieces_of
from banbury.compare.equivalence.relayout_map import AddressMap, Piece, References, is_template, paired
from banbury.compare.equivalence.relayout_tables import jump_tables
from banbury.compare.equivalence.x86_64 import decode
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
        if header.machine != t.EM_X86_64 or header.bits != 64:
            raise Refused("layout", "it moved, and references of this machine's code are not enumerated here")
        if header.type != t.ET_DYN:
            raise Refused("layout", "it moved, and addresses in a file for a fixed place cannot be told from numbers")
        if not self.a.sections or not self.b.sections:
            raise Refused("layout", "it moved, and there is no table of sections")
        if any(load.vaddr + load.memsz > 1 << 62 for elf in (self.a, self.b) for load in elf.elf.loads):
            raise Refused("program headers", "addresses beyond reason")
        self.pairs = paired(self.a, self.b)
        self.refs = References()
        self.words = data.Words()
        self.masks: dict[int, npt.NDArray[np.bool_]] = {}
        self.code: list[tuple[Part, Part, npt.NDArray[np.bool_]]] = []
        self.raw = {one.index: (self._bytes(self.a, one), self._bytes(self.b, other)) for one, other in self.pairs}

    @staticmethod
    def _bytes(elf: object, part: Part) -> U8:
        return np.frombuffer(elf.data[part.offset : part.end], np.uint8)  # type: ignore[attr-defined]

    def run(self) -> None:
        for one, other in self.pairs:
            if one.size != other.size and not (may_hold_literals(one) and may_hold_literals(other)):
                raise Refused(one.name, "its size differs", [span(one)], [span(other)])
            compare_links(self.pair, one, other)
            self._collect(one, other)
        self._stored_words()
        self.refs.one("entry", self.a.header.entry, self.b.header.entry)
        old, new = self.refs.old, self.refs.new
        split = {one.index: self._labels(one, other, old, new) for one, other in self.pairs if may_hold_literals(one)}
        for one, other in self.pairs:
            if one.index in split:
                self._tables(one, other, *split[one.index])
        the_map = self._map(split)
        the_map.check(self.refs)
        self._boundaries()
        for one, other in self.pairs:
            self._contents(one, other, split.get(one.index))
        check_headers(self.pair, self.pairs, the_map)
        compare_header(self.pair, loaded=False)
        compare_unloaded(self.pair, the_map.one)
        self._enter()

    # What refers to what

    def _collect(self, one: Part, other: Part) -> None:
        a, b, refs = self.a, self.b, self.refs
        if one.type == SHT_NOBITS or not one.size:
            return
        if one.code:
            self._code(one, other)
        elif one.type == SHT_DYNAMIC:
            self.masks[one.index] = data.dynamic_table(a, b, one, other, refs)
        elif one.type == t.SHT_DYNSYM:
            self.masks[one.index] = data.dynamic_symbols(a, b, one, other, refs)
        elif one.type in (t.SHT_RELA, t.SHT_REL):
            self.masks[one.index] = data.relocations(a, b, one, other, refs, self.words)
        elif one.type == _RELR:
            raise Refused(one.name, "packed relative relocations are not enumerated here")
        elif one.name == ".eh_frame":
            self.masks[one.index] = data.frames(a, b, one, other, refs)
        elif one.name == ".eh_frame_hdr":
            self.masks[one.index] = data.frame_header(a, b, one, other, refs)
        elif one.type not in _FIXED and one.type != _NOTES:
            self.masks[one.index] = np.zeros(one.size, bool)
            self._first_word(one, other)

    def _code(self, one: Part, other: Part) -> None:
        raw, raw_b = self.raw[one.index]
        try:
            code = decode(raw.data, one.addr)
        except NotDecoded as answer:
            where = Range(one.offset + answer.offset, one.offset + answer.offset + 1)
            raise Refused(one.name, f"code that cannot be decoded: {answer}", [where]) from answer
        self.refs.add(one.name, code.targets(raw, one.addr), code.targets(raw_b, other.addr))
        self.masks[one.index] = code.mask()
        self.code.append((one, other, code.boundaries()))

    def _first_word(self, one: Part, other: Part) -> None:
        """The first word of the global offset table: the address of the dynamic table (AMD64 supplement, 5.2)."""
        dynamic = self.a.elf.segment(t.PT_DYNAMIC)
        if one.name not in (".got", ".got.plt") or dynamic is None or one.size < 8:
            return
        value, value_b = (int.from_bytes(r[:8].tobytes(), "little") for r in self.raw[one.index])
        if value == dynamic.vaddr:
            self.refs.one(one.name, value, value_b)
            self.masks[one.index][:8] = True

    def _stored_words(self) -> None:
        """The words that relocations apply to: a stored address is a reference, no address is equal."""
        held: dict[int, list[tuple[int, int]]] = {}
        for place, place_b in self.words.held:
            part, part_b = self.a.section_at(place), self.b.section_at(place_b)
            if part is None or part_b is None or part.name != part_b.name or part.code:
                raise Refused("relocations", f"the place {place:#x} is not in a section of data in both files")
            if part.type == SHT_NOBITS or place + 8 > part.addr + part.size or place_b + 8 > part_b.addr + part_b.size:
                raise Refused("relocations", f"the place {place:#x} is not stored in the file")
            held.setdefault(part.index, []).append((place - part.addr, place_b - part_b.addr))
        for index, places in held.items():
            raw, raw_b = self.raw[index]
            at, at_b = np.array(places, np.int64).T
            old = data.same_words(raw, raw, at, 8, False)[0]
            new = data.same_words(raw_b, raw_b, at_b, 8, False)[0]
            if ((old == 0) != (new == 0)).any():
                raise Refused(self.a.sections[index].name, "a relocated word is stored in one file only")
            some = old != 0
            self.refs.add(f"{self.a.sections[index].name}, stored words", old[some], new[some])
            mask = self.masks.get(index)
            if mask is None:
                raise Refused(self.a.sections[index].name, "a table that is relocated")
            for k in range(8):
                mask[at[some] + k] = True

    # The map

    def _labels(self, one: Part, other: Part, old: Ints, new: Ints) -> tuple[Ints, Ints]:
        return labels(one, other, old, new)

    def _tables(self, one: Part, other: Part, old: Ints, new: Ints) -> None:
        raw, raw_b = self.raw[one.index]
        jump_tables(self.pair, one, other, raw, raw_b, old, new, self.code, self.refs, self.masks[one.index])

    def _map(self, split: dict[int, tuple[Ints, Ints]]) -> AddressMap:
        pieces: list[Piece] = []
        ends: dict[int, int] = {}
        for one, other in self.pairs:
            if is_template(one) or not one.size:
                continue
            if one.index in split and not constant(one, other, *split[one.index]):
                pieces += pieces_of(one, other, *split[one.index])
            else:
                pieces.append(Piece(one.addr, one.addr + one.size, other.addr - one.addr))
            if one.size == other.size or not may_hold_literals(one):  # else its end may lie behind more zeros
                ends[one.addr + one.size] = other.addr + other.size
        self._exceptions(pieces)
        base, base_b = self.a.elf.loads[0].vaddr, self.b.elf.loads[0].vaddr
        headers = min(p.start for p in pieces), min(p.start + p.shift for p in pieces)
        if base != base_b or min(headers) < base:
            raise Refused("program headers", "the image does not begin at the same address")
        pieces.append(Piece(base, min(headers), 0))
        return AddressMap(pieces, ends)

    def _exceptions(self, pieces: list[Piece]) -> None:
        """Tables of exception types hold differences of addresses that are not enumerated: then data moves as one."""
        table = next((p for p, _ in self.pairs if p.name == ".gcc_except_table"), None)
        if table is None:
            return
        code = {one.addr for one, _, _ in self.code}
        if len({p.shift for p in pieces if p.start not in code and p.start >= table.addr}) > 1:
            raise Refused(table.name, "types of exceptions are referred to in a way that is not enumerated here")

    def _boundaries(self) -> None:
        """Every reference into code leads to an instruction (or behind its lock prefix): no code hides in operands."""
        old = self.refs.old
        for one, _, starts in self.code:
            inside = old[(old >= one.addr) & (old < one.addr + one.size)] - one.addr
            raw = self.raw[one.index][0]
            off = inside[~starts[inside]]
            if len(off) and not ((off > 0) & starts[off - 1] & (raw[off - 1] == 0xF0)).all():
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
        if split is not None:
            self._items(one, other, raw, raw_b, split)
            return
        wrong = raw != raw_b
        mask = self.masks.get(one.index)
        if mask is not None:
            wrong &= ~mask
        at = np.flatnonzero(wrong)
        if len(at):
            why = "bytes differ that are no reference"
            raise Refused(one.name, why, runs(at, one.offset), runs(at, other.offset))

    def _items(self, one: Part, other: Part, raw: U8, raw_b: U8, split: tuple[Ints, Ints]) -> None:
        fixed = raw.copy()
        at = np.flatnonzero(self.masks[one.index])
        old, new = split
        shifts = (new - old)[np.searchsorted(old, at + one.addr, "right") - 1] + one.addr - other.addr
        fixed[at] = raw_b[np.minimum(at + shifts, len(raw_b) - 1)]
        compare_items(self.pair, one, other, fixed, raw_b, old, new)

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
        changed = [(x, y) for x, y in self.pairs if x.index in self.masks and self.masks[x.index].any()]
        count = len(self.refs.old)
        self.pair.account.explain(
            "elf.moved-reference", [span(x) for x, _ in changed], [span(y) for _, y in changed], f"{count} references"
        )
        self.pair.account.notes.append(f"{count} references were checked against one address map")


__all__ = ["Code", "compare_moved"]
