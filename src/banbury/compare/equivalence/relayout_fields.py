"""What stands beside an address in data: the numbers that members of the same structure may hold.

Where the structure ends is not known without symbols of types. Members of one and two bytes are looked at close by, and
those of a word further on; a structure in between is wider than any that a table of texts has been seen to have.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from banbury.compare.equivalence.machines.contract import U8

_CLOSE: Final = 4  # words on both sides in which members of any size are looked at
_FAR: Final = 16  # words on both sides in which those of four bytes and of a word are


def fields(raw: U8, at: int, width: int, big: bool, held: Collection[int]) -> set[int]:
    """The numbers around the address at offset ``at`` of a section. ``width``: bytes of an address; ``held``: offsets
    of words that hold addresses, which are no numbers."""
    order: Final = "big" if big else "little"
    out: set[int] = set()
    for size, reach in ((1, _CLOSE), (2, _CLOSE), (4, _FAR), (width, _FAR)):
        for start in range(at - reach * width, at + (reach + 1) * width, size):
            word = at + (start - at) // width * width  # the word that the field is a part of
            if start >= 0 and start + size <= len(raw) and word != at and word not in held:
                out.add(int.from_bytes(raw[start : start + size].tobytes(), order))
    return out
