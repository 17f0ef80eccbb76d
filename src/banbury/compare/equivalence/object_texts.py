"""Sections of an object that hold texts, with declared values of another length: where each text went.

Only sections that are nothing but texts may change their length: a module's description (``.modinfo``) and texts of the
code that a linker may merge (``.rodata``, SHF_MERGE and SHF_STRINGS). Everything that leads into them is a symbol or a
relocation. Names by which others find something (``__ksymtab_strings``, a module's parameters) do not differ.

Sources: gABI (2013 draft), chapter 4, SHF_STRINGS; Linux ``include/linux/moduleparam.h`` (``__MODULE_INFO``); the
processor supplements for the types of relocations.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.elf_pair import Pair, may_hold_literals, span
from banbury.compare.equivalence.literals import declared_texts, is_text
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.text_measures import parts

_SECTION, _STRINGS = 3, 0x30
#: Types of relocations (with addends) whose symbol plus addend is the place meant, whatever instruction holds them.
_PLAIN: Final = {20: {1, 4, 5, 6, 24}, 62: {1, 10, 11}, 183: {257, 258, 275, 277}}

#: The same where the place itself is taken off: in the kernel's table of warnings, which holds ``file - .`` (Linux
#: include/linux/bug.h, GENERIC_BUG_RELATIVE_POINTERS), and no instruction behind whose end an address would count.
_FROM_PLACE: Final = {20: {26}, 62: {2}, 183: {261}}
WARNINGS: Final = "__bug_table"

#: What of a module's description only people read (include/linux/module.h).
_DESCRIBED: Final = (b"version=", b"description=", b"author=", b"parm=")


class Texts:
    """Where the texts of one section stand in both files. Without ``places`` nothing moved. ``raw``: both contents."""

    def __init__(
        self, name: str, raw: tuple[bytes, bytes], places: list[tuple[int, int, int, int]] | None = None
    ) -> None:
        self.name = name
        self._raw = raw
        self.shifted = places is not None
        self._places = places or []
        self._starts = [p[0] for p in self._places]

    def _item(self, place: int) -> tuple[int, int, int, int]:
        """(start, end, start in the other, end in the other) of the text at ``place``; an end is its zero byte."""
        index = bisect_right(self._starts, place) - 1
        if index < 0 or place > self._places[index][1]:
            raise Refused(self.name, "a reference leads to no text")
        return self._places[index]

    def place(self, place: int) -> int:
        """Where the text that stands at ``place`` is in the other file: its start, its end, or within an equal one."""
        if not self.shifted:
            return place
        start, end, start_b, end_b = self._item(place)
        if place == start:
            return start_b
        if end - start == end_b - start_b:
            return place - start + start_b
        raise Refused(self.name, "a reference leads into the middle of a text that differs")

    def changed(self, place: int) -> set[int] | None:
        """The numbers that a program may have for the text at ``place`` where its lengths differ in both files."""
        start, end, start_b, end_b = self._item(place)
        if end - start == end_b - start_b:
            return None
        old, new = self._raw[0][start:end], self._raw[1][start_b:end_b]
        sizes = {x + k for x in (end - start, end_b - start_b) for k in (0, 1)}
        return sizes | parts(old, new) | (parts(new, old) if len(new) < len(old) else set())

    def differs(self, place: int) -> bool:
        """Whether the text that goes on at ``place`` is another one in the other file."""
        raw, raw_b = self._raw
        if not 0 <= place < len(raw):
            return True
        if self.shifted:
            start, end, start_b, end_b = self._item(place)
            return raw[start:end] != raw_b[start_b:end_b]
        end = raw.find(b"\0", place)
        end = len(raw) if end < 0 else end
        return raw[place:end] != raw_b[place:end]

    def symbol(self, value: int) -> int:
        """The value of a symbol in this section."""
        return self.place(value)

    def size(self, value: int, size: int) -> int:
        """The size of a symbol of ``size`` bytes: of whole texts, or none."""
        if not self.shifted or not size:
            return size
        start, end, start_b, end_b = self._item(value)
        if value != start or size != end + 1 - start:
            raise Refused(self.name, "a symbol that is not one whole text")
        return end_b + 1 - start_b

    def addend(
        self, machine: int, symbol: tuple[str, int, int, object, int, int], kind: int, addend: int, *, warns: bool
    ) -> int:
        """The addend that the other file must have for the same text. ``warns``: in the kernel's table of warnings."""
        known = _PLAIN.get(machine, set()) | (_FROM_PLACE.get(machine, set()) if warns else set())
        if kind not in known:
            raise Refused(self.name, f"a text that moved is referred to by a relocation of type {kind}")
        if symbol[1] & 15 == _SECTION:
            return self.place(addend)
        old = symbol[4]
        return self.place(old + addend) - self.place(old)


def texts_of(pair: Pair, one: Part, other: Part) -> Texts:
    """Compare two sections that differ, as texts with declared values; enters the difference. Raises
    :class:`Refused`."""
    merged = one.flags & _STRINGS == _STRINGS and one.entsize == 1 and one.name.startswith(".rodata.")
    pure = one.name == ".modinfo" or merged
    raw, raw_b = pair.a.bytes(one), pair.b.bytes(other)
    where = [span(one)], [span(other)]
    if not pair.declared.differ or not (pure or may_hold_literals(one)):
        raise Refused(one.name, "its bytes differ", *where)
    if one.name == ".modinfo" and not _only_described(raw, raw_b):
        raise Refused(
            one.name, "what the kernel or its loader acts on differs (vermagic, firmware, alias, ...)", *where
        )
    if one.size == other.size:
        explained, left = declared_texts(raw, raw_b, pair.declared)
        if not left:
            for found, names in explained:
                ranges = [[Range(found.start + p.offset, found.end + p.offset)] for p in (one, other)]
                pair.account.explain("elf.declared-literal", ranges[0], ranges[1], ", ".join(sorted(set(names))))
            return Texts(one.name, (raw, raw_b))
    if not pure:
        raise Refused(one.name, "its bytes differ and are no declared texts", *where)
    places, used = _matched(pair, one, raw, raw_b)
    pair.account.explain("elf.object-texts", *where, ", ".join(sorted(used)))
    return Texts(one.name, (raw, raw_b), places)


def _only_described(raw: bytes, raw_b: bytes) -> bool:
    """Whether two descriptions of a module differ in nothing but what only people read: the kernel compares vermagic,
    and depmod, modprobe and the driver act on the rest."""
    both = (raw.split(b"\0"), raw_b.split(b"\0"))
    ours, theirs = ([text for text in side if text] for side in both)
    return len(ours) == len(theirs) and all(
        one == other or one.startswith(_DESCRIBED) for one, other in zip(ours, theirs, strict=True)
    )


def _matched(pair: Pair, one: Part, raw: bytes, raw_b: bytes) -> tuple[list[tuple[int, int, int, int]], set[str]]:
    """Each text of the first section beside the second's; what is between them are zeros for alignment."""
    places: list[tuple[int, int, int, int]] = []
    used: set[str] = set()
    items, items_b = _split(raw), _split(raw_b)
    if raw[-1:] != b"\0" or raw_b[-1:] != b"\0" or len(items) != len(items_b):
        raise Refused(one.name, "it does not hold the same number of texts")
    before = before_b = 0
    for (start, end), (start_b, end_b) in zip(items, items_b, strict=True):
        made, names = pair.declared.apply(raw[start:end])
        if made != raw_b[start_b:end_b] or (names and not is_text(made)):
            where = [[Range(s + p, e + p)] for p, s, e in ((one.offset, start, end),)]
            raise Refused(one.name, "a text differs that is not declared", *where)
        _aligned(one, start - before, start_b - before_b)
        used |= set(names)
        places.append((start, end, start_b, end_b))
        before, before_b = end + 1, end_b + 1
    _aligned(one, len(raw) - before, len(raw_b) - before_b)
    return places, used


def _aligned(one: Part, zeros: int, zeros_b: int) -> None:
    """Zeros between two texts are as many in both files, or fewer than the section's alignment."""
    if zeros != zeros_b and max(zeros, zeros_b) >= one.align:
        raise Refused(one.name, "more zeros than alignment takes")


def _split(raw: bytes) -> list[tuple[int, int]]:
    """(start, end) of each text that is not empty."""
    out = []
    at = 0
    for text in raw.split(b"\0"):
        if text:
            out.append((at, at + len(text)))
        at += len(text) + 1
    return out
