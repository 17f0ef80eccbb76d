"""One address map from the first file to the second, and the references that must agree with it.

The map is injective and made of pieces: a loaded section, or a stretch of one between two places where a declared
text changed its length. Each piece has one shift. A reference says "the first file means address x here, and
the second means y in the same place"; it agrees where y is what the map makes of x.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import SHF_TLS, SHF_WRITE, SHT_NOBITS, OwnedElf, Part
from banbury.compare.equivalence.elf_pair import may_hold_literals
from banbury.compare.equivalence.model import Range

_TEXTS = (1, 2, 4, 8, 16, 32)  # bytes that compilers align texts to, and data among them


class Piece(Struct, frozen=True, gc=False):
    """Addresses ``start`` to ``end`` of the first file stand ``shift`` further on in the second."""

    start: int
    end: int
    shift: int


class References:
    """Pairs of addresses that the two files hold in the same place, with where that is."""

    def __init__(self) -> None:
        self._where: list[str] = []
        self._old: list[Ints] = []
        self._new: list[Ints] = []

    def add(self, where: str, old: Ints, new: Ints) -> None:
        self._where.append(where)
        self._old.append(old)
        self._new.append(new)

    def one(self, where: str, old: int, new: int) -> None:
        self.add(where, np.array([_signed(old)], np.int64), np.array([_signed(new)], np.int64))

    @property
    def old(self) -> Ints:
        return np.concatenate(self._old) if self._old else np.zeros(0, np.int64)

    @property
    def new(self) -> Ints:
        return np.concatenate(self._new) if self._new else np.zeros(0, np.int64)

    def groups(self) -> list[tuple[str, Ints, Ints]]:
        return list(zip(self._where, self._old, self._new, strict=True))


def _signed(value: int) -> int:
    """A 64-bit number as an array holds it; what is no address of the file becomes negative or stays out of range."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


class AddressMap:
    """The map. ``ends`` gives where each section ends, for the addresses that mean just that."""

    def __init__(self, pieces: list[Piece], ends: dict[int, int], strayed: list[Piece] | None = None) -> None:
        """``strayed``: what need not be in the same order in both files."""
        for one, other in pairwise(sorted(pieces, key=lambda p: p.start)):
            if one.end > other.start or one.end + one.shift > other.start + other.shift:
                raise Refused("layout", "the order of what is loaded is not the same, or it overlaps")
        self.pieces: list[Piece] = sorted([*pieces, *(strayed or ())], key=lambda p: p.start)
        moved = sorted(self.pieces, key=lambda p: p.start + p.shift) if strayed else []
        if any(x.end > y.start for x, y in pairwise(self.pieces)) or any(
            x.end + x.shift > y.start + y.shift for x, y in pairwise(moved)
        ):
            raise Refused("layout", "what is loaded overlaps")
        self._starts = np.array([p.start for p in self.pieces], np.int64)
        self._stops = np.array([p.end for p in self.pieces], np.int64)
        self._shifts = np.array([p.shift for p in self.pieces], np.int64)
        self._begin: list[int] = self._starts.tolist()
        self.ends = ends
        self._ends = np.array(sorted(ends.items()), np.int64).reshape(-1, 2).T

    def one(self, address: int) -> int | None:
        """What ``address`` becomes; ``None`` for one that is nothing of the first file's."""
        made = self.within(address)
        return self.ends.get(address) if made is None else made

    def within(self, address: int) -> int | None:
        """What the byte at ``address`` becomes; ``None`` where there is none that the map moves."""
        index = bisect_right(self._begin, address) - 1
        if index < 0 or address >= self.pieces[index].end:
            return None
        return address + self.pieces[index].shift

    def many(self, addresses: Ints) -> Ints:
        """The same for an array; -1 where there is nothing."""
        index = np.searchsorted(self._starts, addresses, "right") - 1
        safe = np.maximum(index, 0)
        good = (index >= 0) & (addresses < self._stops[safe])
        out = addresses + self._shifts[safe]
        left = np.flatnonzero(~good)
        if len(left):
            places, made = self._ends
            index = np.minimum(np.searchsorted(places, addresses[left]), len(places) - 1)
            out[left] = np.where(places[index] == addresses[left], made[index], -1) if len(places) else -1
        return out

    def holds(self, starts: Ints, ends: Ints) -> npt.NDArray[np.bool_]:
        """Which stretches lie in one piece."""
        index = np.searchsorted(self._starts, starts, "right") - 1
        out: npt.NDArray[np.bool_] = (index >= 0) & (ends <= self._stops[np.maximum(index, 0)])
        return out

    def check(self, references: References) -> None:
        """Raise :class:`Refused` for the first group of references that does not agree with the map."""
        for where, old, new in references.groups():
            made = self.many(old)
            wrong = np.flatnonzero((made != new) | (made < 0))
            if len(wrong):
                first = int(wrong[0])
                raise Refused(
                    where,
                    f"{len(wrong)} references do not agree with the address map; the first means {int(old[first]):#x} "
                    f"in one file and {int(new[first]):#x} in the other",
                )


def paired(a: OwnedElf, b: OwnedElf) -> list[tuple[Part, Part]]:
    """The loaded sections of both, in order, which must be of the same kinds. Raises :class:`Refused`. (The alignment
    of read-only data follows from the longest text in it, and only linkers read it.)"""
    ours, theirs = ([p for p in e.sections if p.loaded] for e in (a, b))
    kinds = [[(p.name, p.type, p.flags, _align(p), p.entsize) for p in parts] for parts in (ours, theirs)]
    if kinds[0] != kinds[1]:
        raise Refused("section headers", "the loaded sections are not of the same kinds")
    return list(zip(ours, theirs, strict=True))


def _align(part: Part) -> int:
    free = (
        may_hold_literals(part) and not part.flags & SHF_WRITE and part.align in _TEXTS and not part.addr % part.align
    )
    return 0 if free else part.align


def is_template(part: Part) -> bool:
    """Whether a section only describes thread-local memory and occupies none of the image."""
    return part.type == SHT_NOBITS and bool(part.flags & SHF_TLS)


def in_file(elf: OwnedElf, address: int) -> Range:
    part = elf.section_at(address)
    at = address - part.addr + part.offset if part else 0
    return Range(at, at + 1)
