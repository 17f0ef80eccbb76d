"""The tree of UBIFS in which each eraseblock of the main area states how much of it is free and dirty.

Its nodes are packed to the bit; what they state is checked against the eraseblocks.

Source: Linux ``fs/ubifs/lpt.c`` (``do_calc_lpt_geom``, ``ubifs_pack_pnode``, ``ubifs_pack_nnode``,
``ubifs_pack_ltab``).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.formats.readers._crc import crc16
from banbury.formats.view import View

_FANOUT: Final = 4
_PNODE, _NNODE, _LTAB, _LSAVE = range(4)
_HEAD: Final = 20  # bits: checksum and type


class Properties(Struct, frozen=True):
    """What an eraseblock of the main area states of itself, in bytes."""

    free: int
    dirty: int
    index: bool


class Geometry(Struct, frozen=True, kw_only=True):
    """What the superblock and the master node say of the tree's place. ``first``: the first eraseblock of the area."""

    leb: int
    lebs: int
    most: int
    main: int
    first: int
    count: int
    big: bool
    saved: int

    @property
    def height(self) -> int:
        pnodes = -(-(self.main + self.most - self.lebs) // _FANOUT)
        height, reach = 1, _FANOUT
        while reach < pnodes:
            height, reach = height + 1, reach * _FANOUT
        return height


class Tree:
    """Reads the tree below its root. ``owned`` are the spans of its nodes, as (eraseblock, start, end)."""

    def __init__(self, view: View, geometry: Geometry) -> None:
        self.view, self.g = view, geometry
        self.owned: list[tuple[int, int, int]] = []
        self.found: list[Properties] = []
        g = geometry
        self.space = g.leb.bit_length() - 3
        self.places = g.count.bit_length(), (g.leb - 1).bit_length()
        self.numbers = (-(-g.most // _FANOUT) - 1).bit_length() if g.big else 0

    def read(self, lnum: int, offset: int) -> list[Properties]:
        """Properties of all eraseblocks of the main area, in order."""
        self._node(lnum, offset, self.g.height, 0)
        rest = self.found[self.g.main :]
        if len(self.found) < self.g.main or any(p != Properties(self.g.leb, 0, False) for p in rest):
            raise Refused("space tree", "another number of eraseblocks than there is")
        return self.found[: self.g.main]

    def _bits(self, lnum: int, offset: int, bits: int, kind: int) -> int:
        """The bits of a node behind its checksum and type, which are checked."""
        size = (_HEAD + bits + 7) // 8
        if not self.g.first <= lnum < self.g.first + self.g.count or offset + size > self.g.leb:
            raise Refused("space tree", "a node outside of its area")
        raw = self.view.take(lnum * self.g.leb + offset, size)
        self.owned.append((lnum, offset, offset + size))
        value = int.from_bytes(raw, "little")
        if crc16(0xFFFF, raw[2:]) != value & 0xFFFF or value >> 16 & 15 != kind or value >> _HEAD + bits:
            raise Refused("space tree", "a node that is none, or with a wrong checksum")
        return value >> _HEAD

    def _node(self, lnum: int, offset: int, height: int, number: int) -> None:
        """A node and what is below it, to ``height`` levels (at most 16: four eraseblocks and more for each)."""
        lbits, obits = self.places
        value = self._bits(lnum, offset, self.numbers + (lbits + obits) * _FANOUT, _NNODE)
        value >>= self.numbers
        ended = False
        for _ in range(_FANOUT):
            child, value = value & (1 << lbits) - 1, value >> lbits
            place, value = value & (1 << obits) - 1, value >> obits
            if child == self.g.count:
                ended = True
                if place:
                    raise Refused("space tree", "an absent branch that leads somewhere")
            elif ended or len(self.found) >= self.g.main:
                raise Refused("space tree", "branches behind its end")
            elif height == 1:
                self._leaf(self.g.first + child, place)
            else:
                self._node(self.g.first + child, place, height - 1, number)

    def _leaf(self, lnum: int, offset: int) -> None:
        value = self._bits(lnum, offset, self.numbers + (2 * self.space + 1) * _FANOUT, _PNODE) >> self.numbers
        mask = (1 << self.space) - 1
        for _ in range(_FANOUT):
            self.found.append(
                Properties((value & mask) << 3, (value >> self.space & mask) << 3, bool(value >> 2 * self.space & 1))
            )
            value >>= 2 * self.space + 1

    def table(self, lnum: int, offset: int) -> list[tuple[int, int]]:
        """Free and dirty bytes of each eraseblock of the tree's own area."""
        width = self.g.leb.bit_length()
        value = self._bits(lnum, offset, 2 * width * self.g.count, _LTAB)
        mask = (1 << width) - 1
        return [(value >> 2 * width * i & mask, value >> 2 * width * i + width & mask) for i in range(self.g.count)]

    def saved(self, lnum: int, offset: int) -> None:
        """The list of eraseblocks to look at first: numbers of the main area."""
        width = (self.g.most - 1).bit_length()
        value = self._bits(lnum, offset, width * self.g.saved, _LSAVE)
        low = self.g.lebs - self.g.main
        if any(not low <= value >> width * i & (1 << width) - 1 < self.g.lebs for i in range(self.g.saved)):
            raise Refused("space tree", "a list of eraseblocks that are none")
