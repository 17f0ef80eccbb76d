"""Finds every place where some reader's magic stands, in one pass whose cost does not grow with the readers.

Each magic is anchored on its two rarest adjacent bytes. A table of 65,536 booleans says which pairs are anchors; numpy
looks every pair of a window up in it (about 1 ns a byte). The few survivors (0.1 % of random bytes) are thinned by a
second table, hashed on three or four bytes, and what is left is compared in Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from banbury.formats.contract import Magic, Reader
from banbury.formats.view import View

WINDOW = 1 << 18
_COMMON = frozenset(b"\x00\xff\x20\x01eatno")
_MULTIPLIER = np.uint32(2654435761)  # Knuth's multiplicative hash (TAOCP 3, 6.4)


class Hit(Struct, frozen=True, array_like=True, order=True):
    """Reader number ``order``'s magic (``length`` bytes) stands where it should if the format began at ``start``."""

    start: int
    length: int
    order: int


class _Anchor(Struct, frozen=True, array_like=True):
    """``pattern[skip:skip + 2]`` is the pair looked for; the format starts ``back`` bytes before that pair."""

    pattern: bytes
    skip: int
    back: int
    order: int


def _anchor(magic: Magic, order: int) -> _Anchor:
    """The rarest pair of the pattern, preferring one with two more bytes behind it (for the second table)."""
    pattern = magic.pattern

    def cost(skip: int) -> tuple[int, bool, int]:
        pair = pattern[skip : skip + 2]
        common = (pair[0] in _COMMON) + (pair[1] in _COMMON)
        return common + 2 * (pair in (b"\0\0", b"\xff\xff")), len(pattern) - skip < min(4, len(pattern)), skip

    skip = min(range(len(pattern) - 1), key=cost)
    return _Anchor(pattern, skip, magic.at + skip, order)


class Scanner:
    """Looks for the magics of ``readers``. Patterns shorter than two bytes, or all fill, are left out."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.readers = list(readers)
        self._pairs = np.zeros(1 << 16, np.bool_)
        self._wide: dict[int, NDArray[np.bool_]] = {}  # mask -> hash table of the bytes that follow
        self._short = np.zeros(1 << 16, np.bool_)
        self._at: dict[int, list[_Anchor]] = {}
        self.reach = 0  # bytes from a format's start to the end of its farthest magic, at most
        self._margin = 0
        for order, reader in enumerate(self.readers):
            for magic in reader.magics:
                if len(magic.pattern) > 1 and magic.pattern.strip(b"\0") and magic.pattern.strip(b"\xff"):
                    self._add(_anchor(magic, order))

    def _add(self, anchor: _Anchor) -> None:
        tail = anchor.pattern[anchor.skip :]
        pair = tail[0] | tail[1] << 8
        self._pairs[pair] = True
        self._at.setdefault(pair, []).append(anchor)
        self.reach = max(self.reach, anchor.back + len(tail))
        self._margin = max(self._margin, len(anchor.pattern))
        if len(tail) == 2:
            self._short[pair] = True
            return
        mask = 0xFFFFFF if len(tail) == 3 else 0xFFFFFFFF
        table = self._wide.setdefault(mask, np.zeros(1 << 16, np.bool_))
        value = np.array([int.from_bytes(tail[:4], "little") & mask], np.uint32)
        table[_hash(value)] = True

    def hits(self, view: View, start: int, end: int) -> Iterator[Hit]:
        """Every magic whose anchor lies in ``start`` to ``end``, in order of the anchor. ``start`` of a hit is >= 0."""
        low, high = max(0, start - self._margin), min(len(view), end + self._margin)
        data = view.take(low, high - low)
        for place in self._places(data, start - low, end - low):
            for anchor in self._at[data[place] | data[place + 1] << 8]:
                begin = place - anchor.skip
                if begin >= 0 and data.startswith(anchor.pattern, begin):
                    origin = low + place - anchor.back
                    if origin >= 0:
                        yield Hit(origin, len(anchor.pattern), anchor.order)

    def _places(self, data: bytes, start: int, end: int) -> list[int]:
        """Offsets in ``data`` that may be anchors, ascending."""
        end = min(end, len(data) - 1)
        if end <= start or (data.count(data[:1], start, start + 16) == 16 and _constant(data, start, end)):
            return []
        found: list[NDArray[np.int64]] = []
        for odd in (0, 1):
            count = (end - start - odd + 1) // 2
            if count > 0:
                pairs = np.frombuffer(data, "<u2", count, start + odd)
                found.append(np.flatnonzero(self._pairs.take(pairs)) * 2 + (start + odd))
        places = np.concatenate(found) if found else np.zeros(0, np.int64)
        places.sort()
        return [int(p) for p in places[self._thin(data, places)]]

    def _thin(self, data: bytes, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        padded = np.frombuffer(data + b"\0\0\0", np.uint8)
        value = np.zeros(len(places), np.uint32)
        for i in range(4):
            value |= padded[places + i].astype(np.uint32) << np.uint32(8 * i)
        keep = self._short.take(value & np.uint32(0xFFFF))
        for mask, table in self._wide.items():
            keep |= table.take(_hash(value & np.uint32(mask)))
        return keep


def _hash(value: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return (value * _MULTIPLIER) >> np.uint32(16)


def _constant(data: bytes, start: int, end: int) -> bool:
    return data[start:end] == data[start : start + 1] * (end - start)
