"""Functions that go on in another section of code: what registers hold is followed within one.

Linkers keep sections of code apart where their script says so, or where they are told to (lld's
``-z keep-text-section-prefix``): a function's cold part may then lie in another one. What leads there is no call, and
nobody follows it. Such a file is refused where its layout moved. Calls of functions in another section, and jumps to
their beginnings, are what compilers make of calls.

Sources: GCC manual, -freorder-blocks-and-partition; lld manual, -z keep-text-section-prefix.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.called import is_stub
from banbury.compare.equivalence.machines.contract import Sides
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_exceptions import PADS
from banbury.compare.equivalence.relayout_objects import Objects
from banbury.formats import _elf_types as t


def check_apart(sides: Sides, objects: Objects) -> None:
    """Raises :class:`Refused` where code leads into another section of code, but to where a function begins."""
    own = sides.compiled
    if len(own) < 2:
        return
    odd = 1 if sides.a.header.machine == t.EM_ARM else 0
    begins = np.setdiff1d(objects.functions[0], np.array(sorted(objects.parts), np.int64)) if objects.known else _NONE
    names = {one.name for one in own}
    for where, old, _ in sides.refs.groups():
        for one in own if where in names else ():
            inside = (old >= one.addr) & (old < one.addr + one.size) & (where != one.name)
            led = old[inside] & ~odd
            bad = led[~np.isin(led, begins)] - one.addr
            bad = bad if sides.a.header.machine != t.EM_PPC else _no_stubs(sides, one, bad)
            if len(bad):
                ranges = [Range(int(x) + one.offset, int(x) + one.offset + 1) for x in bad[:16]]
                raise Refused(one.name, f"a function of {where} may go on in this section of code", ranges)


def check_entered(sides: Sides, objects: Objects) -> None:
    """Raises :class:`Refused` where data refer to a place within a function (of which no symbol tells) that has no jump
    by a register: what goes there (a program's own table of fixups) is nothing that is followed, and what registers
    hold there is not known. In a file for a fixed address, a word that stands :func:`_alone` is a number. On x86-64,
    whose addresses are of one instruction, only a text's function is asked (:mod:`machines.carried`)."""
    jump = _JUMPS.get(sides.a.header.machine)
    if jump is None or not objects.known:
        return
    groups = sides.refs.groups()
    names = {part.name for part, _ in sides.pairs if part.code}
    held = [
        (old, where.endswith(_WORDS))
        for where, old, _ in groups
        if where not in names and not where.startswith(_TABLES)
    ]
    sure = [old for old, words in held if not words or sides.image is None]
    alone = _alone(sides) if sides.image is not None else _NONE
    every = distinct(np.concatenate([_NONE, *sure, *(np.setdiff1d(old, alone) for old, words in held if words)]))
    begins = np.array(sorted({x.value for x in sides.a.elf.symbols if x.section} - objects.parts), np.int64)
    for one in sides.compiled:
        old = every[(every >= one.addr) & (every < one.addr + one.size)]
        inner = old[~np.isin(old, begins)]
        if not len(inner):
            continue
        raw = sides.raw[one.index][0]
        words = raw[: len(raw) // 4 * 4].view(">u4" if sides.big else "<u4").astype(np.int64)
        jumps = one.addr + 4 * np.flatnonzero((words & jump[0] == jump[1]) & (words != _RETURN))
        owners, inside = (_owner(objects, x) for x in (jumps, inner))
        bad = inner[(inside >= 0) & ~np.isin(inside, owners)] - one.addr
        if len(bad):
            ranges = [Range(int(x) + one.offset, int(x) + one.offset + 1) for x in bad[:16]]
            raise Refused(one.name, "data refer to a place within a function that no jump leads to", ranges)


def _alone(sides: Sides) -> Ints:
    """Addresses within code that words of ordinary data hold, of a file for a fixed address, but none that has another
    address of code within two words beside it: short texts and small numbers have such values (the three characters of
    a text, two numbers of 16 bits). A table of fixups has pairs of addresses: of what may fail, of where to go on."""
    places, values = np.array(sorted(sides.pointers), np.int64).reshape(-1, 2).T
    inside = np.zeros(len(values), bool)
    for one, _ in sides.pairs:
        if one.code:
            inside |= (values >= one.addr) & (values < one.addr + one.size)
    places, values = places[inside], values[inside]
    near = np.diff(places) <= 2 * sides.word
    beside = np.append(near, False) | np.append(False, near)
    for one, _ in sides.pairs:
        if one.name not in _PLAIN:
            beside |= (places >= one.addr) & (places < one.addr + one.size)
    out: Ints = np.setdiff1d(values[~beside], values[beside])
    return out


def _owner(objects: Objects, places: Ints) -> Ints:
    """The number of the function that each place is in; -1: none."""
    starts, ends = objects.functions
    if not len(starts):
        return np.full(len(places), -1, np.int64)
    index = np.searchsorted(starts, places, "right") - 1
    out: Ints = np.where((index >= 0) & (places < ends[np.maximum(index, 0)]), index, -1)
    return out


#: Jumps by a register: the bits that say so, and their value (AArch64: BR, also with a key; MIPS: JR; PowerPC: BCTR).
_JUMPS: Final = {
    t.EM_AARCH64: (0xFEFFF000, 0xD61F0000),
    t.EM_MIPS: (0xFC1FF83E, 0x00000008),
    t.EM_PPC: (0xFC0007FF, 0x4C000420),
}
_RETURN: Final = 0x03E00008  # MIPS: JR $ra
#: Tables that refer to code otherwise than as something to go on at, and to functions alone.
_TABLES: Final = (".eh_frame", ".gcc_except_table", PADS, ".dynsym", ".dynamic", "entry", ".got", ".plt")


def _no_stubs(sides: Sides, one: Part, places: Ints) -> Ints:
    raw = sides.raw[one.index][0].tobytes()
    order: Literal["big", "little"] = "big" if sides.big else "little"
    words = ([int.from_bytes(raw[x + k : x + k + 4], order) for k in (0, 4, 8, 12)] for x in places.tolist())
    return places[[not is_stub(found) for found in words]]


#: Words that may be addresses, of data of a file for a fixed address; and the sections in which compilers put data.
_WORDS: Final = ", words"
_PLAIN: Final = (".rodata", ".data", ".data.rel.ro", ".sdata")
_NONE: Final[Ints] = np.zeros(0, np.int64)
