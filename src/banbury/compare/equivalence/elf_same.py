"""Two ELF files of one layout: what is loaded is the same byte for byte, but for named fields.

The comparison is subtractive. Each field of one file meets the field of the same name in the other; fields that
differ are looked up under a rule of :mod:`elf_meta`, and what no rule takes is unexplained. Nothing is masked.
"""

from __future__ import annotations

from banbury.compare.equivalence.elf_map import SHT_DYNAMIC, OwnedElf, Part
from banbury.compare.equivalence.elf_pair import (
    Pair,
    compare_links,
    may_hold_literals,
    refuse_difference,
)
from banbury.compare.equivalence.literals import declared_texts, differences, runs
from banbury.compare.equivalence.model import Range
from banbury.formats import _elf_types as t

SHT_NOTE = 7


def same_layout(a: OwnedElf, b: OwnedElf) -> bool:
    """Whether the two map the same sections to the same places, by the same program headers."""
    ha, hb = a.header, b.header
    if bytes(a.data[: ha.ehsize])[:20] != bytes(b.data[: hb.ehsize])[:20] or ha.phoff != hb.phoff:
        return False
    if ha.phnum != hb.phnum or a.segments != b.segments:
        return False
    return [_placed(p) for p in a.sections if p.loaded] == [_placed(p) for p in b.sections if p.loaded]


def _placed(part: Part) -> tuple[object, ...]:
    return part.name, part.type, part.flags, part.addr, part.offset, part.size, part.align, part.entsize


def compare_same(pair: Pair) -> None:
    """Compare two files of the same layout; every difference goes into the account."""
    compare_header(pair, loaded=True)
    compare_sections_absent(pair)
    compare_loaded(pair)
    from banbury.compare.equivalence.elf_meta import compare_unloaded

    compare_unloaded(pair)


def compare_header(pair: Pair, *, loaded: bool) -> None:
    """The ELF header. Where the section table is kept is free (the partition has checked it); with ``loaded`` every
    other byte, and every byte of the program headers, must be equal."""
    a, b = pair.a, pair.b
    if b.lent:
        if loaded:
            from banbury.compare.equivalence.elf_lent import compare_bare_header

            compare_bare_header(pair)
        return
    word = 8 if a.elf.is64 else 4
    at = 0x28 if a.elf.is64 else 0x20
    tail = 0x3C if a.elf.is64 else 0x30  # e_shnum, e_shstrndx
    free = set(range(at, at + word)) | set(range(tail, tail + 4))
    if bool(a.sections) != bool(b.sections):
        free = set()
    positions = differences(a.data[: a.header.ehsize], b.data[: b.header.ehsize]).tolist()
    table = [Range(p, p + 1) for p in positions if p in free]
    other = [Range(p, p + 1) for p in positions if p not in free]
    if table:
        pair.account.explain("elf.section-table", table, table)
    if other and loaded:
        pair.account.refuse("ELF header", "no field of the header may differ", other, other)
    if loaded and a.header.phnum:
        start, size = a.header.phoff, a.header.phnum * a.header.phentsize
        where = (start, start + size)
        refuse_difference(pair, "program headers", "no field of them may differ", where, where)


def compare_sections_absent(pair: Pair) -> None:
    """Files without a section table: what each segment maps, whole."""
    if pair.a.sections and pair.b.sections:
        return
    if pair.a.sections or pair.b.sections:
        pair.account.refuse("section headers", "one file has them and the other has not")
        return
    others = {f.key: f for f in pair.b.fields if f.kind == "section"}
    for field in pair.a.fields:
        if field.kind != "section":
            continue
        other = others.pop(field.key)
        if pair.a.data[field.start : field.end] != pair.b.data[other.start : other.end]:
            _compare_with_notes(pair, field.key, field.start, field.end)


def _compare_with_notes(pair: Pair, key: str, start: int, end: int) -> None:
    """A segment of a file without sections: only the build-id in a PT_NOTE may differ."""
    from banbury.compare.equivalence.elf_bare import explain_texts
    from banbury.compare.equivalence.elf_meta import build_id_of_note
    from banbury.compare.equivalence.elf_mips_count import explain_count
    from banbury.compare.equivalence.elf_noted import refers

    free: set[int] = set()
    for segment in pair.a.segments:
        if segment.type == t.PT_NOTE and segment.filesz <= 4096:
            where = segment.offset, segment.offset + segment.filesz
            found = [
                build_id_of_note(bytes(x.data[where[0] : where[1]]), x.elf.big, first=False) for x in (pair.a, pair.b)
            ]
            noted = segment.vaddr, segment.vaddr + segment.filesz
            named = pair.a.view.find(b"note.gnu.build-id", 0, pair.a.size) >= 0
            if found[0] and found[0] == found[1] and not named and not refers(pair.a, *noted):
                free |= set(range(where[0] + found[0][0], where[0] + found[0][1]))
    positions = differences(pair.a.data[start:end], pair.b.data[start:end]) + start
    count = explain_count(pair, start, end)
    if count is not None:
        positions = positions[(positions < count.start) | (positions >= count.end)]
    taken = [Range(p, p + 1) for p in positions.tolist() if p in free]
    left = [Range(p, p + 1) for p in positions.tolist() if p not in free] if len(positions) < 4096 else runs(positions)
    if taken:
        pair.account.explain("elf.build-id", taken, taken)
    left = explain_texts(pair, start, end, left)
    if left:
        pair.account.refuse(key, "loaded bytes differ", left, left)


def compare_loaded(pair: Pair) -> None:
    """Every loaded section, in order: equal, or a build-id, or declared texts."""
    from banbury.compare.equivalence.elf_meta import compare_build_id

    loaded = [(x, y) for x, y in zip(_loaded(pair.a), _loaded(pair.b), strict=True)]
    for one, other in loaded:
        compare_links(pair, one, other)
        if pair.a.data[one.offset : one.end] == pair.b.data[other.offset : other.end]:
            continue
        if one.type == SHT_NOTE and compare_build_id(pair, one, other):
            continue
        if one.type == SHT_DYNAMIC and _only_count(pair, one, other):
            continue
        _compare_texts(pair, one, other)


def _only_count(pair: Pair, one: Part, other: Part) -> bool:
    """Whether two dynamic tables differ in the number of sections alone, which is then entered."""
    from banbury.compare.equivalence.elf_mips_count import explain_count

    where = explain_count(pair, one.offset, one.end)
    if where is None:
        return False
    for edge in ((one.offset, where.start), (where.end, one.end)):
        refuse_difference(pair, one.name, "loaded bytes differ", edge, edge)
    return True


def _loaded(elf: OwnedElf) -> list[Part]:
    return [p for p in elf.sections if p.loaded]


def _compare_texts(pair: Pair, one: Part, other: Part) -> None:
    if not may_hold_literals(one) or not pair.declared.differ:
        refuse_difference(pair, one.name, "loaded bytes differ", (one.offset, one.end), (other.offset, other.end))
        return
    explained, left = declared_texts(pair.a.bytes(one), pair.b.bytes(other), pair.declared)
    for found, names in explained:
        pair.account.explain(
            "elf.declared-literal",
            [Range(found.start + one.offset, found.end + one.offset)],
            [Range(found.start + other.offset, found.end + other.offset)],
            ", ".join(sorted(set(names))),
        )
    if left:
        here = [Range(r.start + one.offset, r.end + one.offset) for r in left]
        there = [Range(r.start + other.offset, r.end + other.offset) for r in left]
        pair.account.refuse(one.name, "loaded bytes differ and are no declared text", here, there)
