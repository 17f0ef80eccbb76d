"""Where the sections of a rebuilt file may stand in a shipped file that has no section table and another layout.

A guess, as a linker would have placed them: each segment begins with the same section at the same distance; one section
of data may have another size, and what follows it stands at the next places of its alignment. Nothing rests on the
guess: what comes of it is held to the file's segments and tables, and to the proof of the moved layout, as a section
table would be that a vendor shipped.

Source: GNU ld manual, "Output Section Address".
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from banbury.compare.equivalence.elf_lent import Places
from banbury.compare.equivalence.elf_map import SHF_TLS, SHT_NOBITS, OwnedElf, Part
from banbury.compare.equivalence.elf_pair import may_hold_literals
from banbury.formats import _elf_types as t

_MOST: Final = 2  # guesses
_LOADS: Final = 6  # segments
_SECTIONS: Final = 64  # of one segment
_TAIL: Final = 4096
_AROUND: Final = 64  # bytes of padding that a change of size may have made or taken up
_TAGS: Final = (
    t.DT_HASH, t.DT_STRTAB, t.DT_SYMTAB, t.DT_RELA, t.DT_REL, t.DT_JMPREL, t.DT_GNU_HASH, t.DT_VERSYM, t.DT_VERNEED,
    t.DT_PLTGOT, 25, 26, 12, 13,
)  # fmt: skip


def placements(a: OwnedElf, b: OwnedElf) -> Iterator[Places]:
    """A few guesses of where the loaded sections of ``a`` stand in ``b``, the likeliest first; none where their
    segments are not of the same kinds. That nothing moved is no guess."""
    loads = list(zip(a.elf.loads, b.elf.loads, strict=False))
    kinds = [[(s.type, s.flags) for s in elf.segments] for elf in (a, b)]
    if kinds[0] != kinds[1] or not loads:
        return
    known = _anchors(a, b)
    options = [_options(a, b, x, y, known) for x, y in loads[:_LOADS]]
    if len(loads) > _LOADS or not all(options):
        return
    parts = [p for p in a.sections if any(p.index in each[0] for each in options)]
    ranks = sorted(product(*(range(len(each)) for each in options)), key=sum)
    for chosen in ranks[:_MOST]:
        picked = [each[rank] for each, rank in zip(options, chosen, strict=True)]
        places = {index: place for each in picked for index, place in each.items()}
        if a.segments != b.segments or any(places[p.index] != (p.addr, p.offset, p.size) for p in parts):
            yield places


def _anchors(a: OwnedElf, b: OwnedElf) -> dict[int, int]:
    """Addresses of the first file that the dynamic table or a segment says, with the second's."""
    out = {}
    for tag in _TAGS:
        x, y = a.elf.tag(tag), b.elf.tag(tag)
        if x is not None and y is not None:
            out[x] = y
    for x_segment, y_segment in zip(a.segments, b.segments, strict=True):
        if x_segment.filesz and x_segment.type != t.PT_LOAD:
            out[x_segment.vaddr] = y_segment.vaddr
    return out


def _options(a: OwnedElf, b: OwnedElf, x: t.Segment, y: t.Segment, known: dict[int, int]) -> list[Places]:
    """Where the sections of one segment may stand."""
    parts = sorted((p for p in a.sections if p.loaded and _inside(p, x)), key=lambda p: (p.addr, p.addr + p.size))
    if len(parts) > _SECTIONS:
        return []
    places = [(x.vaddr, x.offset), (y.vaddr, y.offset)]
    out: list[tuple[tuple[bool, int], Places]] = []
    whole_move = [p.addr - x.vaddr + y.vaddr for p in parts]
    if (x.filesz, x.memsz) == (y.filesz, y.memsz):
        held = [p for p in parts if may_hold_literals(p)]
        kept = all(_zeros(a, p.end, p.size) == _zeros(b, p.end - x.offset + y.offset, p.size) for p in held)
        out.append(((not kept, 0), _placed(parts, whole_move, [p.size for p in parts], places)))
    for row, part in enumerate(parts):
        if not may_hold_literals(part) or len(out) > _MOST * _AROUND:
            continue
        zeros, start = _zeros(a, part.end, part.size), part.offset - x.offset + y.offset
        middle = part.size + y.filesz - x.filesz
        for size in range(max(middle - _AROUND, 1), middle + _AROUND + 1):
            chain = _chain(parts, row, size, x, y)
            if chain is None or any(known.get(p.addr, at) != at for p, at in zip(parts, chain, strict=True) if p.size):
                continue
            if size == part.size and chain == whole_move:
                continue
            sizes = [p.size for p in parts]
            sizes[row] = size
            likely = _zeros(b, start + size, size) == zeros
            out.append(((not likely, abs(size - middle)), _placed(parts, chain, sizes, places)))
    out.sort(key=lambda row: row[0])
    return [place for _, place in out[:_MOST]]


def _inside(part: Part, load: t.Segment) -> bool:
    return load.vaddr <= part.addr < load.vaddr + load.memsz or (not part.size and part.addr == load.vaddr + load.memsz)


def _zeros(elf: OwnedElf, end: int, size: int) -> int:
    """How many of the (at most so many) bytes before an offset of the file are zero at the end."""
    tail = bytes(elf.data[end - min(size, _TAIL, end) : end])
    return len(tail) - len(tail.rstrip(b"\0"))


def _chain(parts: list[Part], row: int, size: int, x: t.Segment, y: t.Segment) -> list[int] | None:
    """The addresses of sections where that of number ``row`` has another size; ``None`` where they do not
    end as the segment does."""
    out = [p.addr - x.vaddr + y.vaddr for p in parts[: row + 1]]
    at = out[-1] + size
    end = at
    for part in parts[row + 1 :]:
        at = -(-at // max(part.align, 1)) * max(part.align, 1)
        out.append(at)
        if part.type == SHT_NOBITS and part.flags & SHF_TLS:
            continue
        at += part.size
        if part.type != SHT_NOBITS and part.size:
            end = at
    return out if end == y.vaddr + y.filesz and at == y.vaddr + y.memsz else None


def _placed(parts: list[Part], found: list[int], sizes: list[int], places: list[tuple[int, int]]) -> Places:
    (base, offset), (base_b, offset_b) = places
    out = {}
    for part, at, size in zip(parts, found, sizes, strict=True):
        moved = (at - base_b) - (part.addr - base)
        out[part.index] = at, part.offset - offset + offset_b + moved, size
    return out
