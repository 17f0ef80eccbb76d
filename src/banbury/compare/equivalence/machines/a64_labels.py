"""Where indirect branches of A64 code lead that go by no table: to places within their function whose addresses code
makes ("labels as values").

Such a branch may lead to every place within its own function, and to every one that its function makes. A compiler may
have put parts of a function elsewhere: a branch on a condition, or one to a place within a function, joins the two.

Sources: GCC manual, Labels as Values and -freorder-blocks-and-partition; Arm ARM DDI 0487, C4.1.93.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines import a64
from banbury.compare.equivalence.machines.contract import Mask
from banbury.compare.equivalence.machines.flow import spread
from banbury.compare.equivalence.machines.joined import numbered

_MOST_PATHS = 1 << 20  # of branches to labels


@dataclass(frozen=True)
class Labels:
    """Of one section: its instructions, where each relative operand leads (an instruction) and whether it does in this
    section, and where ``functions`` begin."""

    all_: a64.Decoded
    to: Ints
    good: Mask
    functions: Mask

    def made(self, users: Ints, offsets: Ints) -> tuple[Ints, Ints]:
        """The instructions that make the address of a place within a function, and the instructions that stand there.
        ``users``: those that complete addresses (``offsets``, of the section) whose pages stand in a register."""
        words = self.all_.words
        whole = a64.is_(words[users], 0x7F800000, 0x11000000) & (offsets % 4 == 0)
        whole &= (offsets >= 0) & (offsets < 4 * len(words))
        near = np.flatnonzero(a64.is_(words, 0x9F000000, 0x10000000) & self.good)  # ADR
        at, to = np.concatenate((users[whole], near)), np.concatenate((offsets[whole] // 4, self.to[near]))
        inner = ~self.functions[to]
        return at[inner], to[inner]

    def paths(self, sources: Ints, at: Ints, to: Ints) -> tuple[Ints, Ints]:
        """The paths of indirect branches to labels ``to``, which are made ``at`` some instructions."""
        if not (len(sources) and len(to)):
            return sources[:0], sources[:0]
        begin = np.concatenate((np.zeros(1, np.int64), np.flatnonzero(self.functions)))
        whose = self._joined(begin)
        owner, maker, label = (whose[np.searchsorted(begin, x, "right") - 1] for x in (sources, at, to))
        both = np.unique(np.stack((np.concatenate((maker, label)), np.concatenate((to, to)))), axis=1)
        low, high = (np.searchsorted(both[0], owner, side) for side in ("left", "right"))
        if int((high - low).sum()) > _MOST_PATHS:
            raise Refused("code", "its paths are too many to follow")
        index, into = spread(both[0], both[1], owner)
        return sources[index], into

    def _joined(self, begin: Ints) -> Ints:
        """By stretch from one beginning of a function to the next, the first of those that are one function's."""
        rows = np.flatnonzero(self.all_.branches & self.good)
        to = self.to[rows]
        sure = ~a64.is_(self.all_.words[rows], 0xFC000000, 0x14000000) | ~self.functions[to]
        return numbered(begin, rows[sure], to[sure])
