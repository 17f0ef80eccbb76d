"""What single instructions of one function of x86-64 make of addresses, told more exactly than of all instructions at
once.

Code comes from where nothing says (a label in a table, a place that something returns to) only to functions that are
entered so; of these nothing is told. Nor is it where a function, or one that it calls, does not leave the stack as it
found it (see :mod:`x86_64_frames`).

Sources: as of :mod:`x86_64_values`; ISO C11, 7.24.5 (what is found is in the first argument).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from banbury.compare.equivalence.machines.resized import Room
from banbury.compare.equivalence.machines.x86_64_told import Told, told
from banbury.compare.equivalence.machines.x86_64_values import Come, places, values

_MOST: Final = 1 << 14  # instructions of one function that are looked at
_NONE: Final = (-1, -1)


class Exactly:
    """Of one function, whose instructions are in rows. ``place``: where a row stands."""

    def __init__(self, come: Come, place: Callable[[int], int]) -> None:
        self.come, self.place = come, place
        self.most = [_MOST]
        self._told: dict[int, Told] = {}
        self._differs: dict[int, tuple[int, int]] = {}
        self._within: dict[int, bool] = {}
        self.room, self.made = Room(0, 0), frozenset[int]()

    def ask(self, room: Room, made: Collection[int]) -> None:
        """Say of which addresses it is asked from now on: those ``made`` in rows, and which ``room`` is around them."""
        self.room, self.made = room, frozenset(made)
        self._differs.clear()
        self._within.clear()

    def told(self, row: int) -> Told:
        """What an instruction does to addresses."""
        if row not in self._told:
            self._told[row] = told(self.come.instruction(row))
        return self._told[row]

    def within(self, row: int) -> bool:
        """Whether what an instruction adds to an address certainly leads no further than there is room."""
        if row not in self._within:
            self._within[row] = self._adds_within(row)
        return self._within[row]

    def _adds_within(self, row: int) -> bool:
        said, (low, high) = self.told(row), self.room
        if said.both is None:
            return low <= said.adds <= high
        found = (values(row, x, self.come, self.most) for x in said.both)
        return any(x is not None and low <= min(x) and max(x) <= high for x in found)

    def differs(self, row: int) -> tuple[int, int]:
        """The registers of which an instruction certainly makes the difference of two addresses within one text, which
        is a number: what is subtracted, and from what, where the number goes. (-1: it makes none.)"""
        if row not in self._differs:
            less = self.told(row).less
            self._differs[row] = less if less is not None and self._near(row, less) else _NONE
        return self._differs[row]

    def _near(self, row: int, less: tuple[int, int]) -> bool:
        rows = set[int]()
        for register in less:
            found = places(row, register, self.come, self.most)
            if found is None:
                return False
            rows |= found
        targets = {x: self._target(x) for x in rows}
        own = [targets[x] for x in rows & self.made]
        return bool(own) and all(self.room.low <= x - y <= self.room.high for x in targets.values() for y in own)

    def _target(self, row: int) -> int:
        """The offset of what an instruction makes the address of, relative to its own."""
        code = self.come.instruction(row)
        return self.place(row) + len(code) + int.from_bytes(code[-4:], "little", signed=True)
