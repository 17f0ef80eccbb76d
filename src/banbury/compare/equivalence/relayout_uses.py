"""Which functions use a text by a pointer that data hold, and which constants these functions go by.

A source keeps a text's address in a variable, in a table, or exports the text, so that code finds it in the table of
addresses. The functions that load such a word, or make the address of the table that it is in, use the text as those
do that make its own address. A length that they take from data is a variable or a constant of its own, or an element of
another table, which has the same number.

Sources: gABI (2013 draft), chapter 5, relocation; System V ABI, MIPS supplement, chapter 5 (global offset table).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import SHF_WRITE, SHT_NOBITS, Part
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.machines.contract import U8, Mask, Sides
from banbury.compare.equivalence.relayout_objects import Objects
from banbury.formats import _elf_types as t

_CONSTANT: Final = 16  # bytes that one instruction reads
_TEXT: Final = 256  # bytes of a text that are looked at


class Holder(NamedTuple):
    """A word at ``place`` that holds the address of text number ``text``, in a table from ``low`` to ``high``."""

    text: int
    place: int
    low: int
    high: int


@dataclass(frozen=True)
class Element:
    """Which element of a table of ``count`` a text is."""

    index: int
    count: int


def pointers(sides: Sides) -> Ints:
    """Places of data that hold an address, and the addresses, in two rows: also those that the dynamic linker finds by
    the name of a symbol of the file itself."""
    rows = [*sides.pointers, *_named(sides)]
    if sides.a.header.machine == t.EM_MIPS and (got := sides.named(".got")) is not None:
        raw = sides.raw[got[0].index][0]
        words = raw[: len(raw) // 4 * 4].view(">u4" if sides.big else "<u4").astype(np.int64)
        rows += zip(range(got[0].addr, got[0].addr + 4 * len(words), 4), words.tolist(), strict=True)
    return np.array(rows, np.int64).reshape(-1, 2).T


def _named(sides: Sides) -> Iterable[tuple[int, int]]:
    """Relocations against symbols that the file defines."""
    own = {n: s.value for n, s in enumerate(sides.a.elf.dynamic_symbols) if s.section}
    for part in sides.a.sections:
        if not part.loaded or part.type not in (t.SHT_REL, t.SHT_RELA):
            continue
        found = sides.a.elf.section_relocations(sides.a.elf.sections[part.index])
        if found is None:
            continue
        some = np.flatnonzero(np.isin(found.symbols.astype(np.int64), list(own)))
        addends = found.addends[some].tolist() if found.rela else [0] * len(some)
        names = found.symbols[some].tolist()
        yield from ((p, own[n] + x) for p, n, x in zip(found.offsets[some].tolist(), names, addends, strict=True))


def holders(sides: Sides, extents: Extents, places: Ints, texts: Ints) -> list[Holder]:
    """The tables that words at ``places`` with the addresses of ``texts`` (by number) stand in; of the table of
    addresses each word by itself."""
    out = []
    for place, text in zip(places.tolist(), texts.tolist(), strict=True):
        part = sides.a.section_at(place)
        if part is not None:
            whole = not part.name.startswith(".got")
            out.append(Holder(text, place, *(extents.of(part, place) if whole else (place, place + sides.word))))
    return out


class Extents:
    """Where what stands at an address begins and ends: the object that the symbols say, or from label to label."""

    def __init__(self, sides: Sides, objects: Objects) -> None:
        meant = [old for where, old, _ in sides.refs.groups() if not where.endswith(", places")]
        self.labels = distinct(np.concatenate([np.zeros(0, np.int64), *meant])).data
        self.starts, self.ends = (np.ascontiguousarray(x, np.int64).data for x in (objects.starts, objects.ends))
        self.sides = sides
        self.known: dict[int, tuple[Part, int, int] | None] = {}

    def constant(self, place: int) -> tuple[Part, int, int] | None:
        """The section and the extent of what stands at an address, if its bytes are data that were compared."""
        if place not in self.known:
            part = self.sides.a.section_at(place)
            data = part is not None and not part.code and part.index in self.sides.masks and part.type != SHT_NOBITS
            self.known[place] = (part, *self.of(part, place)) if part is not None and data else None
        return self.known[place]

    def of(self, part: Part, place: int) -> tuple[int, int]:
        at = bisect_right(self.starts, place) - 1
        if at >= 0 and place < self.ends[at]:
            return self.starts[at], self.ends[at]
        index = bisect_right(self.labels, place)
        before = [part.addr, *self.labels[max(index - 1, 0) : index].tolist()]
        after = [part.addr + part.size, *self.labels[index : index + 1].tolist()]
        return max(before), min(after)


def constants(
    sides: Sides, extents: Extents, addresses: tuple[Ints, Mask], elements: Collection[Element], skip: Set[int]
) -> set[int]:
    """The numbers of data that a function may go by which makes some ``addresses`` (and reads some of them there):
    read-only constants, and of tables as long as one that holds the text the ``elements`` of the same number.
    ``skip``: addresses that are not looked at."""
    out: set[int] = set()
    targets, reads = addresses
    read = set(targets[reads].tolist())
    tables = any(x.count > 1 for x in elements)
    for target in sorted((set(targets.tolist()) if tables else read) - skip):
        if (found := extents.constant(target)) is None:
            continue
        part, low, high = found
        at, stop = target - part.addr, high - part.addr
        if low == target and target in read and high - low <= _CONSTANT and not part.flags & SHF_WRITE:
            sizes = (2, 4, 8) if _is_text(sides.raw[part.index][0], at) else (1, 2, 4, 8)
            out |= {n for size in sizes for k in range(at, stop, size) for n in _number(sides, part, k, size)}
        for element in (x for x in elements if x.count > 1):
            for size in (1, 2, 4, 8):
                if element.count * size <= high - low < element.count * size + _CONSTANT:
                    out |= _number(sides, part, low - part.addr + element.index * size, size)
    return out


def _number(sides: Sides, part: Part, at: int, size: int) -> set[int]:
    """What stands at an offset of a section, if it is no address."""
    raw: U8 = sides.raw[part.index][0]
    if not 0 <= at <= len(raw) - size or sides.masks[part.index][at : at + size].any():
        return set()
    return {int.from_bytes(raw[at : at + size].tobytes(), "big" if sides.big else "little")}


def _is_text(raw: U8, at: int) -> bool:
    """Whether a text of several characters stands there."""
    text, _, _ = raw[at : at + _TEXT].tobytes().partition(b"\0")
    return len(text) > 1 and is_text(text)
