"""Addresses that code makes in front of what moved otherwise: of what stands there, or of one element before what
follows.

A compiler writes the address of one element before data where a loop counts first, and that moves with the data. So
the beginning of what stands in front is an address that code makes once: a text is in a file because something refers
to it. A linker lets a text that ends as another does be the end of that one; such an address within a text looks as one
before the data does, as do several of one text. These are told from the other by the objects that symbols say, and by
that nothing is read through them (see :mod:`relayout_lengths`); what is left is the assumption of ``elf.moved-suffix``.
Compilers also write an address that is far from its array, where a loop begins at an index other than zero: what is
left of these is that of ``elf.moved-inside``.

Sources: C11, 6.5.6 and 6.6; GNU ld manual, section merging (facts only).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Account, Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import SHT_NOBITS, Part
from banbury.compare.equivalence.elf_pair import SHT_PROGBITS
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.machines.contract import Sides
from banbury.compare.equivalence.machines.start_files import asks_for_clones
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_objects import Objects

U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_SCALARS: Final = (1, 2, 4, 8, 16)  # bytes of one element that is no structure
_ELEMENT: Final = 64  # bytes of one element of an array, of which a compiler may point before the first
_LONGEST: Final = 65536  # bytes of one text
#: What holds a program's own data; of such sections, those that linkers and compilers fill.
_DATA: Final = (SHT_PROGBITS, SHT_NOBITS, 14, 15, 16)  # with arrays of functions to be called
#: Tables of the dynamic linker to which no symbol leads: of symbols, of their names and versions, and by which they are
#: found (gABI, chapter 5; LSB Core, 10.7).
_NAMELESS: Final = (3, 5, 11, 0x6FFFFFF6, 0x6FFFFFFE, 0x6FFFFFFF)
_TABLES: Final = (".eh_frame", ".gcc_except_table", ".interp", ".dynamic")
_WORD: Final = 8  # bytes, of the processors of 64 bits of which it is asked
_TWO: Final = 16  # bytes of code that make two addresses
_SHOWN: Final = np.isin(np.arange(256), [9, 10, 13, *range(0x20, 0x7F)])
#: Of texts, also in other alphabets, and those that C has escapes for (ISO C11, 6.4.4.4), ESC, DEL, SOH of kernels.
_CHARACTERS: Final = _SHOWN | np.isin(np.arange(256), [1, 7, 8, 11, 12, 27, 127, *range(0x80, 0x100)])
_PLAINLY: Final = range(-4, 4)  # bytes around a place, all shown, that make a text of whatever ends it
_MOST: Final = 4096  # texts of one file that are taken so


class Before:
    """What is found of one proof. ``made``: all addresses that code makes; ``held``: those that it has in registers,
    not only in an instruction that reads or writes there; ``suffixes``: those taken for texts that may end others, or
    of which code makes several, close before what moved, with their places in the file; ``far``: the same anywhere;
    ``inside``: those taken for what they lie in; ``room``: how far before and behind one of ``far`` its text begins and
    ends. ``least``: where the file begins in memory."""

    def __init__(self, objects: Objects, made: Ints, held: Ints) -> None:
        self.objects, self.made, self.held = objects, np.sort(made), held
        self.suffixes: dict[int, Range] = {}
        self.far: dict[int, Range] = {}
        self.inside: dict[int, Range] = {}
        self.room: dict[int, tuple[int, int]] = {}
        self.least = 0

    def count(self, address: int) -> int:
        """How many times code makes an address."""
        low, high = np.searchsorted(self.made, (address, address + 1))
        return int(high - low)

    def check_meant(self, one: Part, a: U8, words: Mask, where: tuple[int, int, int], inside: bool) -> None:
        """Whether the label at the item's start means the text there: ``where`` gives the offsets at which this, the
        next item and the one behind that begin. So no label within a text (``inside``: one that ends as another does),
        nor, close before what is no text, one that code makes several times: a text is in a file because something
        refers to it, so the only reference does. A source may keep a text for its own sake: so no label that code makes
        one scalar before other data. (Addresses that a source stores in data are those of objects: C has no others.)
        But for those that :meth:`_suffix` takes."""
        start, end, after = where
        if is_text(a[end:after].tobytes().replace(b"\0", b"")):
            return
        count = self.count(one.addr + start)
        within = inside and count and is_text(a[start - 1 : start].tobytes())
        near = end - start <= _ELEMENT if count > 1 else count and end - start in _SCALARS
        if not (within or near) or self._suffix(one, a, words, start, end):
            return
        why = "a text that changed its length may be one element before other data"
        if within:
            why = "a reference leads into a text in front of what moved, and may mean an element before that"
        raise Refused(one.name, why, [Range(start + one.offset, end + one.offset)])

    def check(self, one: Part, a: U8, words: Mask, item: tuple[int, int]) -> None:
        """No address that code makes lies close before a place where the shift changes, but the beginnings of texts and
        data (before what is no text, those that it makes once), and what :meth:`_suffix` takes: it might be one before
        the ``item`` behind that place."""
        label, end = item
        text = is_text(a[label - one.addr : end - one.addr].tobytes().replace(b"\0", b""))
        low, high = np.searchsorted(self.made, (max(label - _ELEMENT, one.addr), label))
        near, count = np.unique(self.made[low:high], return_counts=True)
        at = near - one.addr
        before = np.maximum(at - 1, 0)
        inside = (at > 0) & (a[before] >= 0x20) & (a[before] < 0x7F) & (a[at] >= 0x20) & (a[at] < 0x7F) & ~words[before]
        doubtful = at[inside | ((count > 1) & ~words[at] & (not text))].tolist()
        wrong = [x for x in doubtful if not self._suffix(one, a, words, x, label - one.addr)]
        if wrong:
            where = [Range(x + one.offset, x + one.offset + 1) for x in wrong[:16]]
            raise Refused(one.name, "an address in front of what moved may mean an element before it", where)

    def _suffix(self, one: Part, a: U8, words: Mask, at: int, label: int) -> bool:
        """Whether what stands at an offset is taken for a text up to its NUL, in front of ``label``: the symbols say
        what is an object, and none that begins within reach is so large that the address is that of one element before
        it, nor does one begin before the text and hold it."""
        raw = a[at : min(label, at + _LONGEST)].tobytes()
        text, nul, _ = raw.partition(b"\0")
        empty = not text and (at == 0 or words[at - 1] or not is_text(a[at - 1 : at].tobytes()))
        if not self.objects.known or not nul or not is_text(text) or empty or words[at : at + len(text) + 1].any():
            return False
        if len(self.suffixes) >= _MOST or self.objects.in_reach(one.addr + at, max(_ELEMENT, label - at)):
            return False
        self.suffixes[one.addr + at] = Range(at + one.offset, at + one.offset + len(text) + 1)
        return True

    def within(self, one: Part, a: U8, words: Mask, items: tuple[Ints, Ints]) -> None:
        """Look at all addresses that code holds of a section whose ``items`` (where they begin, as offsets, and how far
        each moved) moved otherwise. A compiler lets an address be as far before or behind an array as the index with
        which a loop begins says (GCC, tree-ssa-loop-ivopts.cc); code then adds the index. What lies within a text, or
        in nothing but zeros where no object is, is such an address, or else a text that ends another: code adds nothing
        to that but what stays within the text. What lies in other data is taken for what it lies in
        (``elf.moved-inside``)."""
        here = self.held[(self.held >= one.addr) & (self.held < one.addr + one.size)]
        at = here - one.addr
        before = np.maximum(at - 1, 0)
        known = np.isin(here, self.objects.starts) | self.objects.surrounded(here)
        shown = _SHOWN[a] & ~words
        begin, end = _runs(a, words, at)
        around = np.stack([shown[np.clip(at + k, 0, len(a) - 1)] for k in _PLAINLY])
        ends = shown[before] & shown[at] & ((end >= 0) | around.all(axis=0)) & (at > 0) & ~known
        begin, end = _parted(items, at, begin, end)
        empty = self._empty(one, a, here) & ~known & ~shown[before] & ~words[at]
        for x, low, high in zip(*(y[ends | empty].tolist() for y in (at, begin, end)), strict=True):
            self.far[one.addr + x] = Range(x + one.offset, x + one.offset + 1)
            self.room[one.addr + x] = (low - x, high - x) if low < x < high else (0, 0)
        tables = words[at] & ((at == 0) | ~words[before])
        self._listed(one, a, at[~ends & ~empty & ~tables])

    def _empty(self, one: Part, a: U8, here: Ints) -> Mask:
        """Of which addresses nothing but zeros stands up to the next one or the next object, where symbols say what is
        one: no constant without a name is so (of those that code reads by themselves, nobody has the address)."""
        if not self.objects.known or not len(here):
            return np.zeros(len(here), bool)
        borders = np.unique(np.concatenate((self.made, self.objects.starts, [one.addr + one.size])))
        end = borders[np.searchsorted(borders, here, "right")] - one.addr
        filled = np.concatenate(([0], np.cumsum(a != 0)))
        out: Mask = filled[np.minimum(end, one.size)] == filled[here - one.addr]
        return out

    def outside(self, sides: Sides, parts: list[Part]) -> None:
        """No code holds an address outside of all sections, but that of the file's beginning, what symbols name, and
        the end of data, aligned, in two registers at once: so the start files of GCC ask whether a table there is empty
        (see :mod:`start_files`)."""
        near = self.held[self.held > self.least]
        for one in parts:
            near = near[(near < one.addr) | (near > one.addr + one.size)]
        for one in parts:
            aligned = one.addr + one.size + -(one.addr + one.size) % _WORD
            if aligned in near and one.type == SHT_PROGBITS and not one.code and _twice(sides, aligned):
                near = near[near != aligned]
        if len(wrong := np.setdiff1d(near, self.objects.marks)):
            places = ", ".join(f"{x:#x}" for x in wrong[:4].tolist())
            raise Refused("headers", f"code has an address in no section, which may mean data beside it ({places})")

    def beside(self, one: Part, a: U8, plain: bool) -> None:
        """Look at all addresses that code holds of a section that moved as a whole, where others moved otherwise.
        ``plain``: nothing finds one thing by the address of another in the tables of linkers and unwinders."""
        first = one.addr + (one.type not in _NAMELESS)
        at = self.held[(self.held >= first) & (self.held < one.addr + one.size)] - one.addr
        if one.code:
            at = at[~np.isin(at + one.addr, self.objects.functions[0])] if self.objects.known else at[:0]
        elif plain and (one.type not in _DATA or one.name.startswith(_TABLES)):
            at = at[~np.isin(at + one.addr, self.objects.marks)]
            if len(at):
                where = [Range(int(x) + one.offset, int(x) + one.offset + 1) for x in at[:16]]
                raise Refused(one.name, "code has an address within a table, which may mean data beside it", where)
        self._listed(one, a if one.type != SHT_NOBITS else a[:0], at)

    def _listed(self, one: Part, a: U8, at: Ints) -> None:
        """Enter what is no beginning of an object or text: its place, or that of what stands in its section."""
        at = at[~np.isin(at + one.addr, self.objects.starts)]
        inside = self.objects.surrounded(at + one.addr)
        for x, known in zip(at.tolist(), inside.tolist(), strict=True):
            begins = not known and 0 < x < len(a) and not a[x - 1] and a[x]
            if not begins or not is_text(a[x : x + _LONGEST].tobytes().partition(b"\0")[0]):
                place = x + one.offset if x < len(a) else one.offset
                self.inside[one.addr + x] = Range(place, place + (x < len(a)))

    def enter(self, account: Account) -> None:
        """List what was taken for texts, and for what it lies in."""
        where = [self.inside[x] for x in sorted(self.inside)]
        account.explain("elf.moved-inside", where, [], f"{len(where)} addresses")
        if self.suffixes or self.far:
            found = self.far | self.suffixes
            where = [found[x] for x in sorted(found)]
            account.explain("elf.moved-suffix", where, [], f"{len(where)} texts")


def _twice(sides: Sides, address: int) -> bool:
    """Whether code never makes an address but as the start files do."""
    for one, places, targets, _ in sides.at:
        made = np.sort(places[targets == address]).tolist()
        raw, machine = sides.raw[one.index][0], sides.a.header.machine
        if len(made) % 2 or not all(asks_for_clones(machine, raw, x) for x in made[::2]):
            return False
        if any(y - x > _TWO for x, y in zip(made[::2], made[1::2], strict=True)):
            return False
    return True


def _parted(items: tuple[Ints, Ints], at: Ints, begin: Ints, end: Ints) -> tuple[Ints, Ints]:
    """What of the characters around some places, from one to another, moved as each place did: nothing of an item
    behind which another moved otherwise, as a text that changed its length."""
    starts, moved = items
    parted = np.append(moved[1:] != moved[:-1], False)
    borders = np.unique(np.concatenate((starts[parted], starts[1:][parted[:-1]])))
    index = np.searchsorted(borders, at, "right")
    low = np.concatenate(([0], borders))[index]
    high = np.append(borders, np.iinfo(np.int64).max)[index] - 1
    inside = parted[np.maximum(np.searchsorted(starts, at, "right") - 1, 0)]
    return np.where(inside, at, np.maximum(begin, low)), np.where(inside, at, np.minimum(end, high))


def _runs(a: U8, words: Mask, at: Ints) -> tuple[Ints, Ints]:
    """Where the characters around some places of a section begin, and where the NUL behind them is; -1: what ends them
    is no NUL, or no data. (Of one that is no character: itself.)"""
    stops = np.flatnonzero(~_CHARACTERS[a] | words)
    after = np.searchsorted(stops, at)
    begin = np.where(after > 0, stops[np.maximum(after - 1, 0)] + 1, 0) if len(stops) else np.zeros(len(at), np.int64)
    end = stops[np.minimum(after, len(stops) - 1)] if len(stops) else np.full(len(at), -1, np.int64)
    good = (after < len(stops)) & (end >= 0)
    good[good] = (a[end[good]] == 0) & ~words[end[good]]
    return begin.astype(np.int64), np.where(good, end, -1)
