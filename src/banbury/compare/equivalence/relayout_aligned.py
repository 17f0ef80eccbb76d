"""Data that moved, and how much of their alignment they keep.

A processor faults, or reads otherwise, where data are not aligned as an instruction wants them; code may ask for the
low bits of an address, or keep something in them. Where it is not known what code wants (most processors; what is
written; what other files read), all that is no text keeps what it had. For read-only data of x86-64, whose
instructions mostly want nothing, what code is seen to want is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.machines.x86_64_seen import Seen
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_objects import Objects
from banbury.formats import _elf_types as t

U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_MOST_ALIGN = 64
_WORD = 4  # bytes of the smallest number that any processor wants aligned
_NARROW, _WIDEST = (t.EM_MIPS, t.EM_PPC), 8  # no instruction that is known there reads more bytes than these
_OUT = "data that is no text moved out of its alignment"


@dataclass(frozen=True)
class Wanted:
    """What the first file's code wants of addresses: ``faults``: those that instructions fault at, and the alignment in
    bytes that they need; ``exported``: those that the dynamic symbols have; ``taken``: those that are made or held, and
    not only read or written at once; ``seen``: see :class:`Seen`."""

    faults: tuple[Ints, Ints]
    exported: Ints
    taken: Ints
    seen: Seen


def check_aligned(
    pair: Pair,
    parts: tuple[Part, Part],
    raw: U8,
    split: tuple[Ints, Ints],
    wanted: Wanted | None,
    reads: Ints,
    objects: Objects,
) -> None:
    """What is no text keeps as much of its alignment as it may need: that of its address, its size, its section and a
    vector. ``raw``: the first file's bytes; ``split``: its labels, in both files; ``wanted``: what code wants of them,
    where that is all that anybody does (``None``: it may want anything); ``reads``: the addresses at which code reads
    at once; ``objects``: those that symbols name. Enters what loses its alignment and has its address taken. Raises
    :class:`Refused`."""
    one, (old, new) = parts[0], split
    shift = new - old
    if wanted is not None:
        _check_wanted(one, old, shift, wanted)
    ends = np.append(old[1:], one.addr + one.size)
    cuts = np.append(np.flatnonzero(np.diff(shift)), len(old) - 1)
    stretch = ends[cuts][np.searchsorted(cuts, np.arange(len(old)))]  # a label may lie within an object
    size = 1 << np.log2(np.clip(stretch - old, 1, _MOST_ALIGN)).astype(np.int64)
    kept = np.maximum(old & -old, new & -new)
    need = np.minimum.reduce([np.where(kept > 0, kept, _MOST_ALIGN), size, np.full(len(old), max(one.align, 1))])
    lost = np.flatnonzero(shift % np.minimum(need, _MOST_ALIGN))
    content = raw.tobytes()
    direct = np.isin(old[lost], reads) & (wanted is None)
    if pair.a.header.machine in _NARROW:  # a text whose words are copied
        direct &= shift[lost] % np.minimum(need[lost], _WIDEST) != 0
    sizes = {int(x): int(y - x) for x, y in zip(objects.starts, objects.ends, strict=True)} if len(lost) else {}
    texts = [
        _text(content, (one.addr, int(old[x]), int(ends[x])), sizes.get(int(old[x])), int(shift[x]), one.align)
        for x in lost
    ]
    bare = lost[~(np.array(texts, bool) & ~direct)]
    if not len(bare):
        return
    if wanted is None or np.isin(old[bare], wanted.exported).any():
        known = np.zeros(0, np.int64) if wanted is None else wanted.exported
        wrong = bare if wanted is None else bare[np.isin(old[bare], known)]
        raise Refused(one.name, _OUT, _places(one, old[wrong], ends[wrong]))
    width = _width(old[bare], wanted.seen)
    wrong = bare[shift[bare] % np.minimum(need[bare], width) != 0]
    if len(wrong):
        raise Refused(one.name, _OUT, _places(one, old[wrong], ends[wrong]))
    free = bare[np.isin(old[bare], wanted.taken)]
    if len(free):
        here = _places(one, old[free], ends[free])
        there = _places(parts[1], new[free], new[free] + ends[free] - old[free])
        pair.account.explain("elf.moved-alignment", here, there, f"{len(free)} items")


def _check_wanted(one: Part, old: Ints, shift: Ints, wanted: Wanted) -> None:
    """What instructions fault at, and addresses whose bits code uses, keep their alignment, whatever stands there."""
    asked = wanted.seen.asked
    at = np.concatenate((wanted.faults[0], asked))
    width = np.concatenate((wanted.faults[1], np.full(len(asked), _MOST_ALIGN)))
    inside = (at >= one.addr) & (at < one.addr + one.size)
    at, width = at[inside], width[inside]
    wrong = distinct(at[shift[np.searchsorted(old, at, "right") - 1] % width != 0])
    if len(wrong):
        raise Refused(one.name, "data that an instruction needs aligned moved", _places(one, wrong, wrong + 1))


def _text(raw: bytes, where: tuple[int, int, int], size: int | None, shift: int, align: int) -> bool:
    """Whether an item is texts, of which the last ends with a NUL (in the next item, if a label stands in the text).
    Zeros alone are an empty one if a symbol says so by its ``size``, or if none does and they are less than a word,
    begin with the NUL of the text before (linkers join them) and are no block of words but the padding of what follows,
    or keep the alignment of their own size in spite of the ``shift``: a block of zeros may be read by words. ``where``:
    addresses of the section ``raw``, aligned to ``align``, of the item and of its end."""
    start, end = where[1] - where[0], where[2] - where[0]
    item = raw[start:end]
    if not item.strip(b"\0"):
        if size is not None:
            return size == 1
        padding = len(item) < min(where[2] & -where[2], max(align, 1))
        joined = raw[start - 1 : start] not in (b"", b"\0") and (where[1] % _WORD or len(item) <= _WORD or padding)
        return bool(joined) or len(item) < _WORD or shift % (1 << min(len(item), _MOST_ALIGN).bit_length() - 1) == 0
    if not is_text(item.replace(b"\0", b"")):
        return False
    if item.endswith(b"\0"):
        return True
    nul = raw.find(b"\0", end, end + 65536)
    return nul >= 0 and is_text(raw[end:nul])


def _width(at: Ints, seen: Seen) -> Ints:
    """The widest access that code is seen to make to each of these addresses; 1 for none."""
    order, place = distinct(at), np.searchsorted(distinct(at), seen.read)
    known = place < len(order)
    place, width = place[known], seen.width[known]
    same = order[place] == seen.read[known]
    out = np.ones(len(order), np.int64)
    np.maximum.at(out, place[same], width[same])
    found: Ints = out[np.searchsorted(order, at)]
    return found


def _places(part: Part, starts: Ints, ends: Ints) -> list[Range]:
    rows = zip(starts.tolist(), ends.tolist(), strict=True)
    return [Range(x - part.addr + part.offset, y - part.addr + part.offset) for x, y in rows][:4096]
