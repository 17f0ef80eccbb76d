"""What a section of debug information is made of: bytes that must be equal, and fields that must correspond.

A walk of a section depends on nothing but its bytes outside fields, and its inline texts. Where two sections have
the same fields in the same order with the same bytes between them, they have the same structure; what is left is
to compare the fields' values, each by its kind.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

#: Kinds of fields. LENGTH is derived (its walk has checked it); UNIT and ENTRY lead into .debug_info; LIST is the place
#: of a list of locations, the same in both files.
LENGTH, STRING, LINE_STRING, TEXT, ADDRESS, ENTRY, LOCAL, LINES, LIST = range(9)
NAMES: Final = (
    "length",
    "string",
    "line string",
    "text",
    "address",
    "reference",
    "reference",
    "line program",
    "list of locations",
)
_SIZES: Final = (1, 2, 3, 4, 8, 16)


class Malformed(Exception):  # noqa: N818 - it is an answer
    """A section that is not of its grammar: the text says what, ``at`` where."""

    def __init__(self, why: str, at: int = -1) -> None:
        super().__init__(why)
        self.at = at


class Walk:
    """The fields of one section, found in any order and then :meth:`done`.

    ``at``, ``size``, ``kind``: sorted by place, disjoint. ``value``: the number stored there (-1 for texts), for
    LOCAL with the place of its unit added. ``units`` and ``entries``: where units (of .debug_info, or line programs)
    and entries begin.
    """

    def __init__(self, raw: bytes, order: str) -> None:
        self.raw, self.order = raw, order
        self.bytes: U8 = np.frombuffer(raw, np.uint8)
        self._found: list[tuple[I64, I64, I64, I64]] = []
        self._single = array("q")
        self.units = self.entries = np.zeros(0, np.int64)
        self.at = self.size = self.kind = self.base = self.value = np.zeros(0, np.int64)

    def add(self, at: int, size: int, kind: int, base: int = 0) -> None:
        """One field."""
        self._single.extend((at, size, kind, base))

    def many(self, at: I64, size: I64 | int, kind: int, base: int = 0) -> None:
        """Fields of one kind."""
        ones = np.ones(len(at), np.int64)
        self._found.append((at, ones * size, ones * kind, ones * base))

    def done(self) -> Walk:
        """Sort the fields and read their values. Raises :class:`Malformed` where two overlap or one runs out."""
        single = np.frombuffer(self._single, np.int64).reshape(-1, 4).T
        columns = [np.concatenate([single[n], *(f[n] for f in self._found)]) for n in range(4)]
        order = np.argsort(columns[0], kind="stable")
        self.at, self.size, self.kind, self.base = (c[order] for c in columns)
        self._found, self._single = [], array("q")
        ends = self.at + self.size
        if len(self.at) and ((self.at[1:] < ends[:-1]).any() or self.at[0] < 0 or ends[-1] > len(self.raw)):
            raise Malformed("two fields overlap, or one runs out of its section")
        self.value = self.values(self.bytes)
        return self

    def values(self, raw: U8) -> I64:
        """The numbers that ``raw``, of the same structure, stores in the fields."""
        out = np.full(len(self.at), -1, np.int64)
        for size in _SIZES[:5]:
            rows = np.flatnonzero((self.size == size) & (self.kind != TEXT))
            if not len(rows):
                continue
            total = np.zeros(len(rows), np.uint64)
            for n in range(size):
                shift = np.uint64(8 * (n if self.order == "<" else size - 1 - n))
                total |= raw[self.at[rows] + n].astype(np.uint64) << shift
            out[rows] = total.view(np.int64)
        local = self.kind == LOCAL
        out[local] += self.base[local]
        return out

    @property
    def fixed(self) -> npt.NDArray[np.bool_]:
        """Which bytes are in no field."""
        edges = np.zeros(len(self.raw) + 1, np.int8)
        edges[self.at] += 1  # fields are disjoint and none is empty: no place occurs twice
        edges[self.at + self.size] -= 1
        covered: npt.NDArray[np.bool_] = np.cumsum(edges[:-1], dtype=np.int8) == 0
        return covered


def walked(name: str, walk: Callable[[bytes], Walk], a: bytes, b: bytes) -> tuple[Walk, Walk]:
    """The walks of two sections, which have the same structure. Raises :class:`Refused`."""
    try:
        one = walk(a)
        other = _transferred(one, a, b) or walk(b)
    except Malformed as answer:
        raise Refused(name, f"not as DWARF says: {answer}") from answer
    except (IndexError, KeyError, OverflowError, ValueError) as answer:
        raise Refused(name, "not as DWARF says: a record runs out of its section") from answer
    if len(one.at) != len(other.at) or not np.array_equal(one.kind, other.kind):
        raise Refused(name, "its records are not the same")
    sized = one.kind != TEXT
    gaps = [w.at - np.concatenate((np.zeros(1, np.int64), (w.at + w.size)[:-1])) for w in (one, other) if len(w.at)]
    same = not gaps or (np.array_equal(gaps[0], gaps[1]) and np.array_equal(one.size[sized], other.size[sized]))
    if not same or not np.array_equal(one.bytes[one.fixed], other.bytes[other.fixed]):
        raise Refused(name, "its records are not the same")
    return one, other


def _transferred(one: Walk, a: bytes, b: bytes) -> Walk | None:
    """The walk of ``b`` where it has the structure of ``a`` at the same places, without walking it."""
    if len(a) != len(b):
        return None
    raw = np.frombuffer(b, np.uint8)
    keep = one.kind == LENGTH
    fixed = one.fixed
    for at, size in zip(one.at[keep].tolist(), one.size[keep].tolist(), strict=True):
        fixed[at : at + size] = True
    if (raw[fixed] != one.bytes[fixed]).any():
        return None
    text = one.kind == TEXT
    ends = one.at[text] + one.size[text] - 1
    zeros = np.cumsum(raw == 0)
    if text.any() and (raw[ends].any() or (zeros[ends] - zeros[one.at[text]] + (raw[one.at[text]] == 0) != 1).any()):
        return None
    other = Walk(b, one.order)
    other.at, other.size, other.kind, other.base = one.at, one.size, one.kind, one.base
    other.units, other.entries = one.units, one.entries
    other.value = other.values(raw)
    return other
