"""Arm's linkage table as GNU ld writes it: a header, and stubs that load a slot at a distance in three parts.

Source: ELF for the Arm Architecture (AAELF32), appendix A (PLT sequences); GNU binutils, ``bfd/elf32-arm.c`` (facts).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.calls import never_slots
from banbury.compare.equivalence.machines.contract import CodePair, Sides
from banbury.formats import _elf_types as t

_WRAP: Final = 1 << 32
_HEAD: Final = [0xE52DE004, 0xE59FE004, 0xE08FE00E, 0xE5BEF008]
#: The three instructions of a stub, and what stands before one that T32 code calls: ``bx pc`` and what never runs.
_PADS: Final = (0x46C04778, 0xE7FD4778)
_STUB: Final = ((0xFFFFFF00, 0xE28FC600), (0xFFFFFF00, 0xE28CCA00), (0xFFFFF000, 0xE5BCF000), (0x0000FFFF, 0x4778))


def linkage(sides: Sides, one: Part, other: Part) -> tuple[CodePair, list[int]]:
    """The table in both files, and the addresses of stubs of functions that do not return. Raises :class:`Refused`."""
    words, words_b = (r[: len(r) // 4 * 4].view("<u4").astype(np.int64) for r in sides.raw[one.index])
    head = words[:4].tolist() == _HEAD and len(words) > 4
    first = 5 if head else 0  # without dynamic linking there are stubs alone
    if one.size % 4 or not (head or sides.a.elf.segment(t.PT_DYNAMIC) is None):
        raise Refused(one.name, "a linkage table of a form that is not known here")
    kind = np.full(len(words), -1)
    for number, (mask, value) in enumerate(_STUB):
        kind[words & mask == value] = number
    kind[(kind == 3) & ~np.isin(words, _PADS)] = -1
    kind[:first] = 4
    at = np.flatnonzero(kind == 0)
    at = at[at + 2 < len(words)]
    at = at[(kind[at + 1] == 1) & (kind[at + 2] == 2)]
    covered = np.isin(np.arange(len(words)), np.concatenate([np.arange(first), *(at + k for k in range(3))]))
    if not (covered | (kind == 3)).all():
        raise Refused(one.name, "a linkage table of a form that is not known here")
    bits = np.zeros(len(words), np.uint32)
    bits[4:first] = 0xFFFFFFFF
    refs = []
    for w, section in ((words, one), (words_b, other)):
        held = w[4:first]
        header = (16 + held - (held >> 31 << 32) + section.addr) % _WRAP
        refs.append(np.concatenate((header, _slots(w, at, section))))
    bits[at], bits[at + 1], bits[at + 2] = 0xFF, 0xFF, 0xFFF
    entries = np.zeros(one.size + 1, bool)
    entries[:first] = np.arange(first) == 0
    entries[4 * at] = True
    thumb = 4 * np.flatnonzero(kind == 3)
    entries[thumb] = entries[thumb + 1] = True
    return CodePair(refs[0], refs[1], bits.view(np.uint8), entries), _never(sides, one, words, at)


def _never(sides: Sides, one: Part, words: Ints, at: Ints) -> list[int]:
    slots, out = never_slots(sides.a.elf), list[int]()
    for index, slot in zip(at.tolist(), _slots(words, at, one).tolist(), strict=True):
        if slot in slots:
            out += [one.addr + 4 * index, one.addr + 4 * index - 4]
    return out


def _slots(words: Ints, at: Ints, part: Part) -> Ints:
    """The slots that stubs load."""
    parts = ((words[at] & 0xFF) << 20) + ((words[at + 1] & 0xFF) << 12) + (words[at + 2] & 0xFFF)
    out: Ints = (4 * at + 8 + parts + part.addr) % _WRAP
    return out
