"""Where the objects of the rebuilt file are, which its table of symbols says: a text may change its length only where
it is an object of its own.

In a linked file nothing shows that a text does not lie in a structure, whose other members are found by their
distance, and that zeros behind it are the linker's and no member. The symbols show it: compilers give every object of
a source one with its size, and none to a text that is only written where it is used.

Sources: gABI (2013 draft), chapter 4, symbol table; GCC manual, -fsection-anchors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import SHT_SYMTAB, OwnedElf, Part
from banbury.compare.equivalence.elf_symbols import check_symbols, symbols_of
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.machines.displaced import KEPT
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.relayout_map import AddressMap, is_template
from banbury.compare.equivalence.relayout_strayed import Strayed
from banbury.formats import _elf_types as t

#: Objects without a size in the code that GCC links to the beginning and the end of every program (crtstuff.c, Arm's
#: ieee754 routines), and what GNU ld's script for MIPS names the beginning of the code.
_START: Final = (b"all_implied_fbits", b"__dso_handle", b"__TMC_END__", b"data_start", b"__data_start", b"_ftext")
_PARTS: Final = (b".cold", b".__part.")  # in names of parts of functions (GCC, LLVM)
_ELEMENT: Final = 64  # bytes of one element of an array, of which a compiler may point before the first
_NOTYPE, _OBJECT, _FUNCTION, _COMMON = 0, 1, 2, 5
_ABSOLUTE: Final = 0xFFF1
#: Processors for which compilers find several objects from the address of one, by distances in the code.
_ANCHORED: Final = (t.EM_AARCH64, t.EM_ARM)


class Objects:
    """The objects of one file, and its functions, by address."""

    def __init__(self, elf: OwnedElf) -> None:
        self.anchored = elf.header.machine in _ANCHORED
        #: What code adds to addresses: see :attr:`contract.Sides.added`.
        self.added: Callable[[], tuple[Ints, Ints]] = lambda: (np.zeros(0, np.int64), np.zeros(0, np.int64))
        self.known = False
        self.starts, self.ends, self.bare = (np.zeros(0, np.int64) for _ in range(3))
        self.marks = self.bare  # as ``bare``, with those where a section begins, and absolute ones
        self.functions = np.zeros((2, 0), np.int64)
        self.parts: set[int] = set()  # what compilers have put apart of functions
        self.thumb: dict[int, bool] = {}
        tables = [p for p in elf.sections if p.type == SHT_SYMTAB]
        if len(tables) == 1 and not check_symbols(elf, tables[0]):
            self._read(elf, tables[0])

    def _read(self, elf: OwnedElf, part: Part) -> None:
        table, strings = symbols_of(elf, part), elf.bytes(elf.sections[part.link])
        kinds, local = table["info"] & 15, table["info"] >> 4 == 0
        # a table without local symbols was cut (ld -x): it does not say where a source's own objects are
        self.known = bool((local & ((kinds == _OBJECT) | (kinds == _FUNCTION)) & (table["size"] > 0)).any())
        loaded = np.array([p.loaded for p in elf.sections], bool)
        index = table["shndx"].astype(np.int64)
        inside = (index > 0) & (index < len(loaded))
        inside[inside] = loaded[index[inside]]
        value, size = table["value"].astype(np.int64), table["size"].astype(np.int64)
        data = inside & np.isin(kinds, [_NOTYPE, _OBJECT, _COMMON])
        order = np.argsort(value[data & (size > 0)], kind="stable")
        self.starts, self.ends = (x[data & (size > 0)][order] for x in (value, value + size))
        bare = np.flatnonzero(data & (size == 0))
        names = {row: strings[(at := int(table["name"][row])) : strings.index(b"\0", at)] for row in bare.tolist()}
        marks = [row for row, name in names.items() if name[:1] == b"$" or name in _START]
        begins = [p.addr for p in elf.sections if p.loaded]
        bare = np.setdiff1d(bare, marks)
        absolute = (index == _ABSOLUTE) & np.isin(kinds, [_NOTYPE, _OBJECT])
        self.marks = np.unique(np.concatenate((value[bare], value[absolute])))
        self.bare = np.unique(value[bare][~np.isin(value[bare], begins)])
        code = inside & (kinds == _FUNCTION) & (size > 0)
        order = np.argsort(value[code] & ~1, kind="stable") if self.anchored else np.argsort(value[code], kind="stable")
        odd = 1 if elf.header.machine == t.EM_ARM else 0
        called = (strings[at : strings.index(b"\0", at)] for at in table["name"][code].tolist())
        cold = [any(mark in name for mark in _PARTS) for name in called]
        self.parts = set(value[code][np.array(cold, bool)].tolist())
        self.thumb = {x & ~odd: bool(x & odd) for x in value[code].tolist()}
        self.functions = np.stack((value[code] & ~odd, (value[code] & ~odd) + size[code]))[:, order]

    @cached_property
    def furthest(self) -> Ints:
        """Where the last of the objects up to each ends."""
        out: Ints = np.maximum.accumulate(self.ends)
        return out

    @cached_property
    def begun(self) -> frozenset[int]:
        """Where objects begin."""
        return frozenset(self.starts.tolist())

    def surrounded(self, addresses: Ints) -> npt.NDArray[np.bool_]:
        """Which addresses lie within an object."""
        if not len(self.starts):
            return np.zeros(len(addresses), bool)
        last = np.searchsorted(self.starts, addresses, "left") - 1  # of those that begin before
        out: npt.NDArray[np.bool_] = (last >= 0) & (addresses < self.furthest[np.maximum(last, 0)])
        return out

    def alone(self, one: Part, start: int, length: int, behind: int) -> None:
        """Whether a text of ``length`` bytes (with its NUL) at ``start`` is an object of its own, and what lies between
        it and ``behind`` is none. Raises :class:`Refused`."""
        where = [Range(start - one.addr + one.offset, start - one.addr + one.offset + length)]
        if not self.known:
            why = "a text changed its length, and the rebuilt file has no symbols that say what it is a part of"
            raise Refused(one.name, why, where)
        some = (self.starts < behind) & (self.ends > start)
        exact = (self.starts == start) & (self.ends == start + length)
        if (some & ~exact).any():
            raise Refused(one.name, "a text that changed its length is a part of an object, or of several", where)
        if exact.any() and self._found_from_afar(one, start + 1, behind):
            raise Refused(one.name, "an object may be found by its distance from beyond a text that changed", where)
        before = np.concatenate((self.starts[self.starts <= start], self.bare[self.bare <= start]))
        last = int(before.max()) if len(before) else -1
        if (last >= one.addr and last in self.bare and not exact.any()) or (
            (self.bare > start) & (self.bare < behind)
        ).any():
            raise Refused(one.name, "a text that changed its length is behind a symbol without a size", where)

    def strayed(self, one: Part, text: Strayed) -> None:
        """Whether a text that stands elsewhere is an object of its own, and none ends where it begins. Raises
        :class:`Refused`."""
        start = text.start + one.addr
        self.alone(one, start, text.end - text.start, text.end + one.addr)
        if (self.ends == start).any():
            where = [Range(text.start + one.offset, text.end + one.offset)]
            raise Refused(one.name, "a text that stands elsewhere was behind an object, whose end may be meant", where)

    def apart(self, one: Part, start: int, label: int) -> None:
        """Whether padding before ``label`` may have changed its size: no object ends there, which an address of its end
        would then take in; nor is one before it found by its distance. ``start``: where the item before begins. Raises
        :class:`Refused`."""
        where = [Range(start - one.addr + one.offset, label - one.addr + one.offset)]
        within = (self.starts < label) & (self.ends > start)
        if within.any() and self._found_from_afar(one, label, label):
            raise Refused(one.name, "an object may be found by its distance from beyond padding that changed", where)
        if (self.ends == label).any() or not self.known:
            raise Refused(one.name, "padding changed behind an object, whose end may be meant", where)

    def ended(self, one: Part, item: tuple[int, int], raw: bytes, table: bytes | None = None) -> None:
        """Whether padding behind an item (its addresses, up to the next label, and its bytes) may have become smaller:
        symbols say where the object ends that it is of, or of which its last byte is that is not zero (see
        :meth:`unbroken`), or it is a text with its NUL and less than an
        alignment's zeros behind, or a table of jumps (distances from its own label to code, of which none is zero) and
        nothing but such zeros behind that (``table``). Raises :class:`Refused`."""
        start, label = item
        content = raw.rstrip(b"\0")
        last = start + max(len(content) - 1, 0)
        named = any(((self.starts <= x) & (self.ends > x)).any() for x in (start, last))
        zeros = -1
        if is_text(content[content.rfind(b"\0") + 1 :]):
            zeros = len(raw) - len(content) - 1
        elif table is not None and not any(table):
            zeros = len(table)
        if not named and not 0 <= zeros < min(label & -label, max(one.align, 1)):
            where = [Range(start - one.addr + one.offset, label - one.addr + one.offset)]
            raise Refused(one.name, "padding became smaller behind what has no symbol that says where it ends", where)

    def _found_from_afar(self, one: Part, border: int, stop: int) -> bool:
        """Whether code adds a distance to an address of the section that leads past ``border``, or may do so: it keeps
        an object's address in its stack frame, where it is not followed, or makes an address close before ``stop``
        that is no object's and may be one of an element before the next."""
        if not self.anchored:
            return False
        base, total = self.added()
        inside = (base >= one.addr) & (base < one.addr + one.size)
        base, total = base[inside], total[inside]
        kept = base[total == KEPT]
        index = np.searchsorted(self.starts, kept, "right") - 1
        held = (index >= 0) & (kept < np.append(self.ends, 0)[index])
        base, total = base[total != KEPT], total[total != KEPT]
        near = (total >= stop - _ELEMENT) & (total < stop) & (total != base) & ~np.isin(total, self.starts)
        return bool(held.any() or near.any() or ((base < border) != (total < border)).any())

    def unbroken(self, the_map: AddressMap, one: Part, texts: set[int]) -> None:
        """Whether each object of a section keeps all its bytes, also the zeros at its end, which padding that became
        smaller would take away: it lies in one piece of the map, but for the ``texts`` that changed their length.
        Raises :class:`Refused`."""
        inside = np.flatnonzero((self.starts >= one.addr) & (self.ends <= one.addr + one.size))
        for row in inside[~the_map.holds(self.starts[inside], self.ends[inside])].tolist():
            start, end = int(self.starts[row]), int(self.ends[row])
            if start not in texts:
                where = [Range(start - one.addr + one.offset, end - one.addr + one.offset)]
                raise Refused(one.name, "the end of an object is where something else stands now", where)

    def in_reach(self, address: int, distance: int) -> bool:
        """Whether an object that begins within ``distance`` behind an address is so large that the address may be that
        of one element before it (a symbol without a size says nothing of that), or one that begins before it holds
        it."""
        low, high = np.searchsorted(self.starts, (address + 1, address + distance + 1))
        behind, bare = self.starts[low:high], np.searchsorted(self.bare, (address + 1, address + distance + 1))
        before = int(np.searchsorted(self.starts, address))
        return bool(
            (self.ends[low:high] - behind >= behind - address).any()
            or bare[0] != bare[1]
            or (before and self.furthest[before - 1] > address)
        )

    def is_function(self, end: int, start: int) -> bool:
        """Whether symbols say that an address is the beginning of a function and nothing else, from the ``end`` of what
        stands before it on."""
        marks = np.searchsorted(self.marks, (end, start + 1))
        return self.known and marks[0] == marks[1] and bool((self.functions[0] == start).any())

    def is_thumb(self, start: int) -> bool | None:
        """Whether the function at ``start`` is T32 code (32-bit Arm); ``None`` where none starts there."""
        return self.thumb.get(start)

    def around(self, address: int) -> tuple[int, int] | None:
        """The function that an address of code is in."""
        at = int(np.searchsorted(self.functions[0], address, "right")) - 1
        if at < 0 or address >= self.functions[1, at]:
            return None
        return int(self.functions[0, at]), int(self.functions[1, at])


def boundary(pairs: list[tuple[Part, Part]], held: Ints, objects: Objects) -> None:
    """Whether an address of ``held`` means the end of one section or the beginning of the next, where they meet in one
    of the files only, or are apart by just what aligns the second in one of them only; but for the beginning of a
    function, if symbols say so: what is no object's end has a symbol of its own. Raises :class:`Refused`."""
    sized = sorted((p for p in pairs if p[0].size and not is_template(p[0])), key=lambda p: p[0].addr)
    for (one, other), (after, after_b) in pairwise(sized):
        kinds = [_apart(x, y) for x, y in ((one, after), (other, after_b))]
        if kinds[0] == kinds[1] or not (held == after.addr).any():
            continue
        if not (one.code and after.code and objects.is_function(one.addr + one.size, after.addr)):
            raise Refused(after.name, f"an address that may be the end of {one.name}, which stands elsewhere now")


def _apart(one: Part, after: Part) -> int:
    """0: one section begins where the other ends; 1: at the next place of its alignment; 2: further on."""
    end, align = one.addr + one.size, max(after.align, 1)
    return 0 if after.addr == end else 1 if after.addr == -(-end // align) * align else 2
