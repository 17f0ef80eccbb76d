"""Nodes of 32-bit Arm code that are reached a few at a time: the arrays of :mod:`arm_code` are looked at, and written,
one element at a time.

Source: Arm ARM DDI 0406C, A8.3 (conditional execution).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints

Flags = npt.NDArray[np.bool_]


class Nodes:
    """``flows``: whether a node falls through, what it writes, whether it jumps by a register, and by a table.
    ``thrown``: calls, in order, and the landing pads that they may enter. The rest as in :class:`arm_code.Body`."""

    def __init__(
        self,
        size: int,
        place: Ints,
        literals: Flags,
        reached: Flags,
        under: Ints,
        after: Ints,
        leads: Ints,
        flows: tuple[Flags, npt.NDArray[np.uint32], Flags, Ints],
        thrown: tuple[Ints, Ints],
    ) -> None:
        self.size = size
        self.place, self.literals, self.reached, self.under = place.data, literals.data, reached.data, under.data
        self.after, self.leads = after.data, leads.data
        self.falls, self.writes, self.jumps, self.tables = (x.data for x in flows)
        self.calls, self.pads = (x.data for x in thrown)

    def step(self, at: list[int]) -> tuple[list[int], list[int], list[int]]:
        """Of some nodes those that are reached for the first time, what is reached from them, but by tables, and those
        that jump by a register or a table."""
        place, size, reached, literals = self.place, self.size, self.reached, self.literals
        some = {n for n in at if n >= 0 and place[n] < size and not reached[n] and not literals[place[n] // 2]}
        fresh = sorted(some)
        for node in fresh:
            reached[node] = True
            if self.under[node] > 0:
                self._condition(node)
        more = [self.after[node] for node in fresh if self.falls[node]] + [self.leads[node] for node in fresh]
        if len(self.calls):
            more += [pad for node in fresh for pad in self._pads(node)]
        return fresh, more, [node for node in fresh if self.jumps[node] or self.tables[node] > 0]

    def _condition(self, node: int) -> None:
        """What follows IT is done on a condition: it may fall through, and does not certainly write."""
        left = self.under[node]
        node = self.after[node]
        while node >= 0 and left > 0:
            self.falls[node], self.writes[node] = True, 0
            node, left = self.after[node], left - 1

    def _pads(self, node: int) -> list[int]:
        return self.pads[bisect_left(self.calls, node) : bisect_right(self.calls, node)].tolist()
