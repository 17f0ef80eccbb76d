"""Addresses that were left behind where compilers put none, in files for a fixed address.

Code written by hand keeps addresses in half words of a 64-bit program, at places of no alignment, among code, and in
notes that a loader reads (Xen, PVH). They cannot be told from numbers there, and follow no map: so a number that is in
one of the files the beginning of something that moved is refused, as is any in a note that lies where something moved.

Sources: gABI (2013), chapter 5; Xen ``public/elfnote.h``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import SHT_NOBITS, Part
from banbury.compare.equivalence.elf_pair import may_hold_literals
from banbury.compare.equivalence.machines.contract import Mask, Sides
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_data import same_words
from banbury.compare.equivalence.relayout_map import AddressMap
from banbury.compare.equivalence.relayout_objects import Objects

U8 = npt.NDArray[np.uint8]
_NOTE: Final = 7
_LARGEST: Final = 1 << 20  # bytes of notes
_TOPS: Final = 4  # upper halves that addresses may have
_BUILD_ID: Final = ".note.gnu.build-id"


def check_lost(
    sides: Sides, plain: list[tuple[Part, Part]], bits: dict[int, U8], objects: Objects, the_map: AddressMap
) -> None:
    """``plain``: sections of data without a grammar of their own; ``bits``: of code, what is a reference. Raises
    :class:`Refused`."""
    moved = _moved(sides, objects, the_map)
    for one, _ in sides.pairs:
        if one.type == _NOTE and one.size and one.name != _BUILD_ID:
            _note(sides, one, the_map)
    if sides.word != 8 or not len(moved):
        return
    for one, _ in plain:
        raw, mask = sides.raw[one.index][0], sides.masks[one.index]
        _refuse(one, _halves(one, raw, mask, moved, big=sides.big), 4)
        _refuse(one, _whole(raw, mask, moved, big=sides.big), 8)
    for one, _, _ in sides.code:
        _refuse(one, _whole(sides.raw[one.index][0], bits[one.index] != 0, moved, big=sides.big), 8)


def _moved(sides: Sides, objects: Objects, the_map: AddressMap) -> Ints:
    """Where something begins (what is referred to, an object, a function, a text) that moved: in either file."""
    known = [sides.refs.old, objects.starts, objects.functions[0]]
    for one, _ in sides.pairs:
        raw = sides.raw[one.index][0]
        if may_hold_literals(one) and one.type != SHT_NOBITS and len(raw):
            known.append(np.flatnonzero((raw != 0) & (np.append(np.zeros(1, np.uint8), raw[:-1]) == 0)) + one.addr)
    out = distinct(np.concatenate(known))
    made = the_map.many(out)
    apart = (made >= 0) & (made != out)
    return np.concatenate((out[apart], made[apart]))


def _halves(one: Part, raw: U8, mask: Mask, moved: Ints, *, big: bool) -> Ints:
    """Offsets of 32-bit words, at multiples of four, that hold the address of what moved."""
    at = np.arange(-one.addr % 4, len(raw) - 3, 4, dtype=np.int64)
    at = at[~mask[at]]
    return at[np.isin(same_words(raw, raw, at, 4, big)[0], moved)]


def _whole(raw: U8, mask: Mask, moved: Ints, *, big: bool) -> Ints:
    """Offsets of 64-bit words, wherever they stand, that do. (One whose lowest byte is zero is a smaller number, seen
    from before it.)"""
    count = len(raw) - 7
    if count <= 0:
        return np.zeros(0, np.int64)
    likely = np.zeros(count, bool)
    for top in distinct(moved >> 32).tolist()[:_TOPS]:
        found = has_top(raw, top, range(3, -1, -1) if big else range(4, 8))
        low = 7 if big else 0
        likely |= found if top else found & (raw[low : low + count] != 0)
    at = np.flatnonzero(likely)
    at = at[~mask[at] & ~mask[at + 7]]
    return at[np.isin(same_words(raw, raw, at, 8, big)[0], moved)]


def has_top(raw: U8, top: int, places: Iterable[int]) -> Mask:
    """Which 64-bit words, wherever they stand, have ``top`` for their upper half, whose bytes stand at ``places`` (the
    lowest one first)."""
    count = len(raw) - 7
    out: Mask = np.ones(count, bool)
    for number, place in enumerate(places):
        out &= raw[place : place + count] == top >> 8 * number & 255
    return out


def _note(sides: Sides, one: Part, the_map: AddressMap) -> None:
    if one.size > _LARGEST:
        raise Refused(one.name, "notes of more than a mebibyte")
    raw = sides.raw[one.index][0]
    at = np.array(_described(raw.tobytes(), "big" if sides.big else "little", one.align), np.int64)
    value = same_words(raw, raw, at, 4, sides.big)[0]
    lost = np.zeros(len(at), bool)
    for part, other in sides.pairs:
        inside = np.flatnonzero((value >= part.addr) & (value < part.addr + part.size))
        lost[inside] |= the_map.many(value[inside]) != value[inside]
        if part.addr != other.addr:
            lost |= (value >= other.addr) & (value < other.addr + other.size)
    _refuse(one, at[lost], 4)


def _described(raw: bytes, order: Literal["big", "little"], align: int) -> list[int]:
    """Offsets of the words that notes say, without their headers and names (gABI, chapter 5, "Note Section"); of what
    is no note all."""
    out: list[int] = []
    at = 0
    step = 8 if align == 8 else 4
    while at + 12 <= len(raw):
        name, size = (int.from_bytes(raw[at + k : at + k + 4], order) for k in (0, 4))
        begin = at + -(-(12 + name) // step) * step
        end = begin + -(-size // step) * step
        if end > len(raw) + step:
            break
        out += range(begin, min(end, len(raw)) - 3, 4)
        at = end
    return out + list(range(at, len(raw) - 3, 4))


def _refuse(one: Part, at: Ints, width: int) -> None:
    if len(at):
        where = [Range(int(x) + one.offset, int(x) + one.offset + width) for x in at[:16]]
        raise Refused(one.name, "what may be an address that moved stands where no address is followed", where)
