"""AArch64: numbers that several moves make, which may be addresses in a file for a fixed address.

Source: Arm ARM DDI 0487, C6.2 (MOVZ, MOVK).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.a64 import W, field, is_
from banbury.compare.equivalence.relayout_map import AddressMap

_APART: Final = 32  # instructions between the first move and the last one


def wide_numbers(words: W) -> Ints:
    """What each MOVK makes together with the moves of the same register close before it, up to the first part of the
    number (MOVZ), in whatever order these come; of those whose lowest quarter is given."""
    at = np.flatnonzero(is_(words, 0x7F800000, 0x72800000))
    going, ended = np.ones(len(at), bool), np.zeros(len(at), bool)
    value, known = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
    for back in range(_APART):
        before = words[np.maximum(at - back, 0)]
        first, more = is_(before, 0x7F800000, 0x52800000), is_(before, 0x7F800000, 0x72800000)
        some = going & (at >= back) & (first | more) & (field(before, 0, 5) == field(words[at], 0, 5))
        quarter = field(before, 21, 2).astype(np.int64)
        fresh = some & (known >> quarter & 1 == 0)
        value |= np.where(fresh, field(before, 5, 16).astype(np.int64) << 16 * quarter, 0)
        known |= np.where(fresh, 1 << quarter, 0)
        ended |= some & first
        going &= ~(some & first)
    out: Ints = value[ended & (known & 1 == 1)]
    return out


def left_behind(the_map: AddressMap, values: Ints) -> bool:
    """Whether one of some numbers, which are the same in both files, lies where something moved, in either of them."""
    made = the_map.many(values)
    if ((made >= 0) & (made != values)).any():
        return True
    moved = (piece for piece in the_map.pieces if piece.shift)
    return any(((values >= p.start + p.shift) & (values < p.end + p.shift)).any() for p in moved)
