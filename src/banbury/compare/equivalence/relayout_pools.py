"""Texts that changed their length in a file without symbols: those of a compiler's pool of texts.

A compiler keeps the texts that a source only writes where it uses them in pools, which a linker packs: text behind
text, each with a reference of its own and nothing between them but the alignment of the pool. What stands in no
such pool may be a part of an object, whose other members are found by their distance: without symbols it may not change
its length. What cannot be told apart from a pool even so is the assumption of the rule ``elf.moved-pool``.

Sources: gABI (2013 draft), chapter 4, SHF_MERGE and SHF_STRINGS; GCC, ``varasm.c`` (mergeable_string_section), GNU ld
manual, section merging (facts only).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import SHF_WRITE, Part
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_strayed import Strayed

Mask = npt.NDArray[np.bool_]
_FOLLOW: Final = 3  # texts that must follow in the pool
_PERIOD: Final = 3  # texts of one element of an array of structures
_ALIGN: Final = 8  # bytes: the most that a pool is aligned to
_EMPTY: Final = (4, 8)  # bytes that an empty text takes up where texts are aligned
_MOST: Final = 65536  # bytes of one text
_END: Final = 64  # bytes of zeros at the end of a section
_USED: Final = (b"\x01\0\x02\0", b"\0\x02\0\x01")  # _IO_stdin_used, which the C library puts first in every program
_TEXT: Final = re.compile(rb"[\t\n\v\f\r\a\b\x1b\x20-\x7e\x80-\xff]+")


class _Text(NamedTuple):
    """A text with its NUL: offsets in its section."""

    start: int
    end: int


class Pool:
    """The texts of one section of data in both files. ``raw``: its contents; ``begin``: the offsets of its labels and
    its end, in both files; ``words``: which bytes of the first file are references; ``read``: the addresses of the
    first file that code reads by itself; ``added``: addresses that code adds a distance to, and what it makes;
    ``strayed``: texts that stand elsewhere, whose labels are not among ``begin``."""

    def __init__(
        self,
        pair: Pair,
        parts: tuple[Part, Part],
        raw: tuple[bytes, bytes],
        begin: tuple[Ints, Ints],
        words: Mask,
        read: Ints,
        added: tuple[Ints, Ints],
        strayed: list[Strayed],
    ) -> None:
        self.pair, self.parts, self.raw, self.begin, self.words, self.read = pair, parts, raw, begin, words, read
        low, high = parts[0].addr, parts[0].addr + parts[0].size
        inside = (added[0] >= low) & (added[0] < high)
        self.added = added[0][inside] - low, added[1][inside] - low
        more = [x.start for x in strayed], [x.start_b for x in strayed]
        self.labels = tuple(np.sort(np.append(x, y).astype(np.int64)) for x, y in zip(begin, more, strict=True))

    def member(self, start: int) -> None:
        """Whether the text at the label at offset ``start`` of the first file is one of a pool. Raises
        :class:`Refused`."""
        index = int(np.searchsorted(self.begin[0], start))
        if (self.parts[0].flags | self.parts[1].flags) & SHF_WRITE or int(self.begin[0][index]) != start:
            self._refuse(start, start + 1)
        found = []
        for side in (0, 1):
            texts = [_text(self.raw[side], int(self.begin[side][index]))]
            self._before(side, texts[0])
            while len(texts) <= _FOLLOW + _PERIOD:
                after = self._after(side, texts[-1])
                if after is None:
                    break
                texts.append(after)
            if len(texts) <= _FOLLOW and not self._ends(side, texts[-1]):
                self._refuse(start, start + 1)
            found.append(texts)
        ours, theirs = found
        if len(ours) != len(theirs):
            self._refuse(start, start + 1)
        for one, other in zip(ours, theirs, strict=True):
            at = int(np.searchsorted(self.begin[0], one.start))
            if int(self.begin[1][at]) != other.start:
                self._refuse(start, start + 1)
        self._unread(ours[0].start, ours[min(_FOLLOW, len(ours) - 1)].end)
        if ((self.added[0] <= start) != (self.added[1] <= start)).any():
            self._refuse(start, ours[0].end, "what stands behind a text that changed its length is found by a distance")
        for side in (0, 1):
            self._no_array(side, found[side], aligned=self._aligned(found))
        here, there = (
            [Range(t.start + p.offset, t.end + p.offset)] for t, p in zip((ours[0], theirs[0]), self.parts, strict=True)
        )
        self.pair.account.explain("elf.moved-pool", here, there)

    def strayed(self, text: Strayed) -> None:
        """Whether a text that stands elsewhere is one of a pool in the first file, and stands behind one in the second.
        Raises :class:`Refused`."""
        texts = self._row(_Text(text.start, text.end))
        if (self.parts[0].flags | self.parts[1].flags) & SHF_WRITE or texts is None:
            self._refuse(text.start, text.end)
        self._before(0, texts[0])
        self._before(1, _Text(text.start_b, text.end_b))
        self._unread(text.start, texts[-1].end)
        self._no_array(0, texts, aligned=all((x.start + self.parts[0].addr) % 4 == 0 for x in texts))

    def border(self, index: int) -> None:
        """Whether a text may have come behind the item of that number: a text of a pool is there. Raises
        :class:`Refused`."""
        label = int(self.begin[0][index + 1])
        raw = self.raw[0][max(label - _END, 0) : label]
        end = label - len(raw) + len(raw.rstrip(b"\0")) + 1
        text = self._last(0, end) if end <= label else None
        pooled = text is not None and self._last(0, self._packed(0, text.start)) is not None
        if text is None or not pooled or (end == label and self._row(text) is None):
            self._refuse(int(self.begin[0][index]), label, "a text came to what is in no pool of texts")

    def _row(self, text: _Text) -> list[_Text] | None:
        """The texts of the first file's pool from one on, if enough follow."""
        texts = [text]
        while len(texts) <= _FOLLOW + _PERIOD:
            after = self._after(0, texts[-1])
            if after is None:
                break
            texts.append(after)
        return texts if len(texts) > _FOLLOW or self._ends(0, texts[-1]) else None

    def apart(self, index: int) -> None:
        """Whether padding behind the item of that number may have changed its size: what stands before it is a text of
        a pool, and zeros stand behind its NUL in both files, so that the next label is not its end. Raises
        :class:`Refused`."""
        label = int(self.begin[0][index + 1])
        for side in (0, 1):
            raw, stop = self.raw[side], int(self.begin[side][index + 1])
            zeros = stop - len(raw[:stop][-_END:].rstrip(b"\0")) - max(stop - _END, 0)
            text = self._last(side, stop - zeros + 1) if 1 < zeros < _END else None
            if text is None or self._last(side, self._packed(side, text.start)) is None:
                self._refuse(int(self.begin[0][index]), label, "padding changed behind what is in no pool of texts")
        if self.parts[0].flags & SHF_WRITE:
            self._refuse(int(self.begin[0][index]), label, "padding changed behind what is in no pool of texts")

    # One side

    def _before(self, side: int, text: _Text) -> None:
        """A text, the beginning of the section or the C library's mark ends where ``text`` begins; an empty text, at a
        label of its own, may stand between."""
        raw, start = self.raw[side], text.start
        at = int(np.searchsorted(self.labels[side], start))
        before = int(self.labels[side][at - 1]) if at else start
        if start - _ALIGN <= before < start and not any(raw[before:start]) and self._minimal(side, before + 1, start):
            start = before
        first = start == 0 or (raw[:4] in _USED and not any(raw[4:start]) and start <= 4 + _ALIGN)
        if not first and self._last(side, self._packed(side, start)) is None:
            self._refuse(start if side == 0 else 0, 0)

    def _packed(self, side: int, start: int) -> int:
        """Where what stands before ``start`` ends (behind its NUL), with no more zeros between than an alignment's; -1
        where there are more."""
        raw, low = self.raw[side], max(start - _ALIGN - 1, 0)
        end = low + len(raw[low:start].rstrip(b"\0")) + 1
        return end if end <= start and self._minimal(side, end, start) else -1

    def _minimal(self, side: int, end: int, start: int) -> bool:
        address = start + self.parts[side].addr
        return end == start or any(address % k == 0 and start - end < k for k in (2, 4, _ALIGN))

    def _last(self, side: int, end: int) -> _Text | None:
        """The text that ends (with its NUL) at ``end``."""
        if end < 2:
            return None
        start = self.raw[side].rfind(b"\0", max(end - 1 - _MOST, 0), end - 1) + 1
        good = _TEXT.fullmatch(self.raw[side], start, end - 1) is not None
        return _Text(start, end) if good and (start > 0 or end <= _MOST) else None

    def _after(self, side: int, text: _Text) -> _Text | None:
        """The text that follows in the pool, at a label of its own; an empty text of a pool whose texts are aligned may
        stand between."""
        raw = self.raw[side]
        rest = raw[text.end : text.end + _ALIGN]
        start = text.end + len(rest) - len(rest.lstrip(b"\0"))
        label = self._label(side, text.end)
        if label is not None and start != label:
            start = self._behind_empty(side, text, label)
        if start >= len(raw) or label is None or self._label(side, start) != start:
            return None
        if label == start and not self._minimal(side, text.end, start):
            return None
        found = _text(raw, start)
        good = found.end > found.start + 1 and _TEXT.fullmatch(raw, found.start, found.end - 1) is not None
        if side == 0 and good and self.words[found.start : found.end].any():
            return None
        return found if good else None

    def _label(self, side: int, place: int) -> int | None:
        """The first label from a place on."""
        labels = self.labels[side][:-1]
        at = int(np.searchsorted(labels, place))
        return int(labels[at]) if at < len(labels) else None

    def _behind_empty(self, side: int, text: _Text, label: int) -> int:
        """The place behind an empty text at ``label``, which takes up as many zeros as the texts around it are aligned
        to, and no more; behind everything where there is none."""
        raw, base = self.raw[side], self.parts[side].addr
        stop = self._label(side, label + 1)
        size = 0 if stop is None else stop - label
        zeros = size in _EMPTY and not any(raw[text.end : label + size])
        aligned = zeros and all((place + base) % size == 0 for place in (text.start, label))
        return label + size if aligned and self._minimal(side, text.end, label) else len(raw)

    def _ends(self, side: int, text: _Text) -> bool:
        rest = self.raw[side][text.end :]
        return len(rest) < _END and not any(rest)

    # Both sides

    def _unread(self, start: int, end: int) -> None:
        """None of these texts is read by its address: it would be a variable, or copied in part."""
        base = self.parts[0].addr
        low, high = np.searchsorted(self.read, [start + base, end + base])
        if low != high:
            self._refuse(start, end, "what stands beside a text that changed its length is read as a variable")

    def _aligned(self, found: list[list[_Text]]) -> bool:
        """Whether all texts of both files begin at multiples of four, as in the pools of most processors."""
        return all((t.start + p.addr) % 4 == 0 for texts, p in zip(found, self.parts, strict=True) for t in texts)

    def _no_array(self, side: int, texts: list[_Text], *, aligned: bool) -> None:
        """The text does not repeat the sizes of those beside it, as the elements of an array would. In a pool that is
        aligned sizes are often the same by chance: there four in a row are."""
        before = []
        start = texts[0].start
        for _ in range(2 * _PERIOD):
            text = self._last(side, self._packed(side, start))
            if text is None:
                break
            before.append(text.start)
            start = text.start
        starts = [*before[::-1], *(t.start for t in texts), texts[-1].end]
        sizes, me = [y - x for x, y in pairwise(starts)], len(before)
        for period, times in ((1, 4), (2, 3), (3, 2)) if aligned else ((1, 3), (2, 2), (3, 2)):
            for low in range(max(me - times * period + 1, 0), min(me + 1, len(sizes) - times * period + 1)):
                run = sizes[low : low + times * period]
                if run == run[:period] * times:
                    self._refuse(0, 0, "a text that changed its length may be one of an array")

    def _refuse(self, start: int, end: int, why: str = "") -> NoReturn:
        part = self.parts[0]
        why = why or (
            "a text changed its length, is in no pool of texts, and the rebuilt file has no symbols that say what "
            "it is a part of"
        )
        raise Refused(part.name, why, [Range(start + part.offset, max(end, start + 1) + part.offset)])


def _text(raw: bytes, start: int) -> _Text:
    """The text at ``start``, of a limited length."""
    end = raw.find(b"\0", start, start + _MOST)
    return _Text(start, end + 1 if end >= 0 else start)
