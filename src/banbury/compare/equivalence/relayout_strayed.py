"""Texts with a declared value that stand elsewhere among the data of their section.

Linkers put texts in another order when one of them changes: GCC keeps those of 32 bytes and more in a pool of their own
(x86-64), LLVM's linker sorts what it merges by a digest of the content. Such a text is found by its references and by
nothing else; it is taken out of both files before what is left is compared in its order.

Sources: GCC, ``varasm.c`` and ``i386.cc`` (alignment of constants); LLVM, ``lld/ELF/SyntheticSections.cpp``
(MergeNoTailSection); GNU ld manual, section merging (facts only).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_map import AddressMap, Piece

U8 = npt.NDArray[np.uint8]
_LONGEST: Final = 65536  # bytes of one text
_MOST: Final = 4096  # texts of one section
_GAP: Final = 64  # bytes of zeros that an alignment makes


class Strayed(NamedTuple):
    """A text with its NUL: offsets in its section, in both files."""

    start: int
    end: int
    start_b: int
    end_b: int


def strayed(pair: Pair, one: Part, other: Part, raw: tuple[U8, U8], old: Ints, new: Ints) -> list[Strayed]:
    """The texts with declared values that break the order of a section's labels. ``old``, ``new``: all references.
    Raises :class:`Refused` where such a text is not found by its beginning alone."""
    inside = (old >= one.addr) & (old < one.addr + one.size)
    rows = np.unique(np.stack((old[inside] - one.addr, new[inside] - other.addr), axis=1), axis=0)
    if not pair.declared.differ or not len(rows) or (np.diff(rows[:, 1]) > 0).all():
        return []
    whole = raw[0].tobytes(), raw[1].tobytes()
    begins = {whole[0].rfind(b"\0", 0, start) + 1 for start, _ in pair.declared.places(whole[0])}
    may = np.isin(rows[:, 0], list(begins))
    out = []
    for start, start_b in _disordered(rows, may)[: _MOST + 1]:
        if not 0 <= start_b < other.size:
            _refuse(one, start, start + 1, "a text that stands elsewhere is in another section")
        ends = [side.find(b"\0", at, at + _LONGEST) + 1 for side, at in zip(whole, (start, start_b), strict=True)]
        alone = all(at == 0 or side[at - 1] == 0 for side, at in zip(whole, (start, start_b), strict=True))
        if not alone or min(ends) == 0:
            _refuse(one, start, ends[0], "a text that stands elsewhere is no whole text")
        out.append(Strayed(start, ends[0], start_b, ends[1]))
    if len(out) > _MOST:
        raise Refused(one.name, "too many texts stand elsewhere")
    for column in (0, 1):
        spans = sorted((x[2 * column], x[2 * column + 1]) for x in out)
        at = np.array([x for pair_ in spans for x in (pair_[0] + 1, pair_[1])], np.int64)
        held = np.searchsorted(np.sort(rows[:, column]), at).reshape(-1, 2)
        if (held[:, 0] != held[:, 1]).any():
            raise Refused(one.name, "a text that stands elsewhere is referred to in its middle")
    return out


def _disordered(rows: Ints, may: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Of the labels that ``may`` stand elsewhere, the fewest without which all others are in order."""
    fixed = rows[~may]
    highest = np.maximum.accumulate(fixed[:, 1]) if len(fixed) else np.zeros(0, np.int64)
    lowest = np.minimum.accumulate(fixed[::-1, 1])[::-1] if len(fixed) else np.zeros(0, np.int64)
    out, run = [], []
    for start, start_b in rows[may].tolist():
        at = int(np.searchsorted(fixed[:, 0], start))
        if (at and start_b <= highest[at - 1]) or (at < len(fixed) and start_b >= lowest[at]):
            out.append((start, start_b))
        else:
            run.append((start, start_b))
    keep = _increasing([x for _, x in run])
    return sorted([*out, *(x for index, x in enumerate(run) if index not in keep)])


def _increasing(values: list[int]) -> set[int]:
    """The places of a longest run of values that increase (patience sorting)."""
    tails: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        at = bisect_left(tails, value)
        tails[at : at + 1] = [value]
        before.append(last[at - 1] if at else -1)
        last[at : at + 1] = [index]
    out = set()
    index = last[-1] if last else -1
    while index >= 0:
        out.add(index)
        index = before[index]
    return out


def without(one: Part, other: Part, texts: list[Strayed], old: Ints, new: Ints) -> tuple[Ints, Ints]:
    """References but for those that lead to texts which stand elsewhere."""
    if not texts:
        return old, new
    places = dict(sorted((x.start + one.addr, x.start_b + other.addr) for x in texts))
    begins, begins_b = (np.array(list(x), np.int64) for x in (places.keys(), places.values()))
    at = np.minimum(np.searchsorted(begins, old), len(begins) - 1)
    left = (begins[at] != old) | (begins_b[at] != new)
    return old[left], new[left]


def whole(one: Part, other: Part, texts: list[Strayed], split: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """The labels of a section together with those of its texts that stand elsewhere, in the first file's order."""
    if not texts:
        return split
    old = np.append(split[0], [x.start + one.addr for x in texts])
    new = np.append(split[1], [x.start_b + other.addr for x in texts])
    order = np.argsort(old, kind="stable")
    return old[order], new[order]


def carved(pieces: list[Piece], one: Part, other: Part, texts: list[Strayed]) -> tuple[list[Piece], list[Piece]]:
    """The pieces of a section without what belongs to texts that stand elsewhere, and the pieces that these are."""
    out = _cut(pieces, [(x.start + one.addr, x.end + one.addr) for x in texts], moved=False)
    out = _cut(out, [(x.start_b + other.addr, x.end_b + other.addr) for x in texts], moved=True)
    own = [
        Piece(x.start + one.addr, min(x.end, x.start + x.end_b - x.start_b) + one.addr, _shift(one, other, x))
        for x in texts
    ]
    return out, own


def _shift(one: Part, other: Part, text: Strayed) -> int:
    return text.start_b + other.addr - text.start - one.addr


def _cut(pieces: list[Piece], holes: Iterable[tuple[int, int]], *, moved: bool) -> list[Piece]:
    """Pieces, which are in order, without some stretches of the first file, or (``moved``) of the second."""
    left, out = sorted(holes), list[Piece]()
    at = 0
    for piece in pieces:
        shift, start = piece.shift if moved else 0, piece.start
        while at and left[at - 1][1] > start + shift:
            at -= 1
        while at < len(left) and left[at][0] < piece.end + shift:
            low, high = (x - shift for x in left[at])
            if low > start:
                out.append(Piece(start, low, piece.shift))
            start = max(start, high)
            at += 1
        if start < piece.end:
            out.append(Piece(start, piece.end, piece.shift))
    return out


class Gone:
    """What is taken out of a section before its items are compared."""

    def __init__(self, one: Part, texts: list[Strayed]) -> None:
        self.one, self.texts = one, texts
        self.spans = sorted((x.start, x.end) for x in texts), sorted((x.start_b, x.end_b) for x in texts)
        self._starts = tuple([start for start, _ in spans] for spans in self.spans)

    def within(self, side: int, start: int, end: int) -> list[tuple[int, int]]:
        """The texts of one file that begin between two offsets."""
        starts = self._starts[side]
        return self.spans[side][bisect_left(starts, start) : bisect_left(starts, end)]

    def items(self, begin: tuple[Ints, Ints]) -> set[int]:
        """The items that lose or gain a text, by their labels in both files."""
        out = set[int]()
        for side in (0, 1):
            labels = begin[side].tolist()
            out |= {bisect_right(labels, start) - 1 for start in self._starts[side]}
        return out

    def cut(self, side: int, raw: U8, start: int, end: int) -> bytes:
        """An item without such texts, behind which nothing but zeros may stand up to its end. Raises
        :class:`Refused`."""
        spans = self.within(side, start, end)
        if not spans:
            return raw[start:end].tobytes()
        for (_, low), (high, _) in pairwise([*spans, (end, end)]):
            if low > high or raw[low:high].any():
                _refuse(self.one, start, end, "data without a label stands behind a text that stands elsewhere")
        rest = end - spans[-1][1] + sum(high - low for (_, low), (high, _) in pairwise(spans))
        return raw[start : spans[0][0]].tobytes() + bytes(rest)

    def check_gap(self, item: tuple[int, int, int, int], change: int) -> None:
        """Whether an item (its offsets in both files) has as many bytes as before, but for its texts that stand
        elsewhere and what an alignment makes. ``change``: by how many its content is longer. Raises
        :class:`Refused`."""
        x1, x2, y1, y2 = item
        here, there = self.within(0, x1, x2), self.within(1, y1, y2)
        sizes = [sum(end - start for start, end in spans) for spans in (here, there)]
        zeros = (y2 - y1 - sizes[1]) - (x2 - x1 - sizes[0]) - change
        if abs(zeros) >= _GAP * (1 + len(here) + len(there)):
            _refuse(self.one, x1, x2, "more zeros beside a text that stands elsewhere than an alignment makes")


def compare_strayed(
    pair: Pair, one: Part, other: Part, raw: tuple[U8, U8], text: Strayed, words: npt.NDArray[np.bool_]
) -> None:
    """Compare a text that stands elsewhere. ``words``: which bytes of the first file are references. Raises
    :class:`Refused`."""
    a, b = raw[0][text.start : text.end - 1].tobytes(), raw[1][text.start_b : text.end_b - 1].tobytes()
    made, names = pair.declared.apply(a)
    if made != b or a == b or not is_text(a) or not is_text(b) or words[text.start : text.end].any():
        _refuse(one, text.start, text.end, "a text stands elsewhere, and not because of a declared value")
    here, there = (
        Range(text.start + one.offset, text.end + one.offset),
        Range(text.start_b + other.offset, text.end_b + other.offset),
    )
    pair.account.explain("elf.moved-order", [here], [there], ", ".join(sorted(set(names))))


def check_ends(one: Part, begin: Ints, begin_b: Ints, text: Strayed, references: Ints, raw: U8) -> None:
    """No label beside a text that stands elsewhere, where it was and where it came to, may mean the end of what stands
    before it: it is referred to once (for what stands there: else that would not be in the file), or zeros stand
    between it and a text. ``begin``, ``begin_b``: the labels and the ends; ``references``: all, sorted; ``raw``: the
    first file's bytes. Raises :class:`Refused`."""
    came = int(np.searchsorted(begin_b, text.start_b, "right"))
    behind = int(begin[min(int(np.searchsorted(begin, text.end)), len(begin) - 1)])
    borders = {text.start, behind, int(begin[min(came, len(begin) - 1)])} - {len(raw)}
    for place in sorted(borders):
        before = raw[max(place - _GAP, 0) : place].tobytes()
        content = before.rstrip(b"\0")
        apart = len(before) - len(content) > 1 and is_text(content[-1:]) and content != b""
        count = np.searchsorted(references, place + one.addr, "right") - np.searchsorted(references, place + one.addr)
        if count > 1 and not apart:
            _refuse(
                one, place, place + 1, "a label beside a text that stands elsewhere may mean the end of another one"
            )


def check_steady(the_map: AddressMap, one: Part, added: tuple[Ints, Ints], kept: int) -> None:
    """What code finds by a distance from an address of the section has moved as that did. Raises :class:`Refused`."""
    base, total = added
    inside = (base >= one.addr) & (base < one.addr + one.size)
    base, total = base[inside], total[inside]
    wrong = (total == kept) | (the_map.many(total) - total != the_map.many(base) - base)
    if wrong.any():
        _refuse(one, int(base[wrong][0]) - one.addr, 0, "something is found by a distance, and a text stands elsewhere")


def _refuse(one: Part, start: int, end: int, why: str) -> None:
    raise Refused(one.name, why, [Range(start + one.offset, max(end, start + 1) + one.offset)])
