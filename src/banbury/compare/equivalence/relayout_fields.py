"""What stands beside an address in data: the numbers that members of the same structure may hold.

Where the structure ends is not known without symbols of types. Members of one and two bytes are looked at close by, and
those of a word further on; a structure in between is wider than any that a table of texts has been seen to have. Where
symbols give the objects of the rebuilt file, the structure is in the object that holds the address, and a number by
itself in a small one beside it; a larger one is another table or structure, which code finds by its own address.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.contract import U8

_CLOSE: Final = 4  # words on both sides in which members of any size are looked at
_FAR: Final = 16  # words on both sides in which those of four bytes and of a word are
_NUMBER: Final = 16  # bytes of the largest object that is a number by itself


def fields(raw: U8, at: int, width: int, big: bool, held: Collection[int]) -> set[int]:
    """The numbers around the address at offset ``at`` of a section. ``width``: bytes of an address; ``held``: offsets
    of words that hold addresses, which are no numbers, and of all that belongs to something else."""
    order: Final = "big" if big else "little"
    out: set[int] = set()
    for size, reach in ((1, _CLOSE), (2, _CLOSE), (4, _FAR), (width, _FAR)):
        for start in range(at - reach * width, at + (reach + 1) * width, size):
            word = at + (start - at) // width * width  # the word that the field is a part of
            if start >= 0 and start + size <= len(raw) and word != at and word not in held:
                out.add(int.from_bytes(raw[start : start + size].tobytes(), order))
    return out


class Apart:
    """What lies around a word in other objects than that which it is in, and in none that is a number by itself."""

    def __init__(self, starts: Ints, ends: Ints, width: int) -> None:
        """``starts`` and ``ends``: of the objects that symbols say, in order; ``width``: bytes of an address."""
        self.starts, self.ends, self.width = starts, ends, width
        self.last = np.maximum.accumulate(ends)

    def around(self, place: int) -> set[int]:
        """The addresses of words, at distances of whole words from ``place``, that lie there."""
        low, high = place - _FAR * self.width, place + (_FAR + 1) * self.width
        rows = slice(int(np.searchsorted(self.last, low, "right")), int(np.searchsorted(self.starts, high)))
        starts, ends = self.starts[rows], self.ends[rows]
        known = np.zeros(high - low, np.int8)
        near = ends > low
        for start, end in zip(starts[near].tolist(), ends[near].tolist(), strict=True):
            inside = known[max(start - low, 0) : end - low]
            own = start <= place < end
            np.maximum(inside, 2 if own else int(end - start > _NUMBER), out=inside)
        words = np.flatnonzero((known == 1).reshape(-1, self.width).all(axis=1))
        return set((words * self.width + low).tolist())
