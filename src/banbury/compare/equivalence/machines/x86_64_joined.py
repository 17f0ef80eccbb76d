"""x86-64: stretches of code that are parts of one function, because one jumps into the other.

GCC puts what is seldom run far away, under a name and an unwinding record of its own
(``-freorder-blocks-and-partition``; LLVM splits functions likewise). A conditional jump into another stretch, or any
direct jump to a place within it, joins the two; one to its beginning may be a call at the end of a function.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, Jcc and JMP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.contract import U8, Mask

#: Stretches that one function may have; those of more are not followed further.
_MOST: Final = 256
Bounds = tuple[int, int]


class Jumps:
    """The direct jumps within a section: where they stand and lead to (offsets), and whether on a condition."""

    def __init__(self, raw: U8, entries: Mask) -> None:
        first = raw
        second = np.append(raw[1:], np.uint8(0))
        starts = entries[: len(raw)]
        prefixed = starts & np.isin(first, (0xF2, 0x2E, 0x3E))  # BND, and hints
        at = np.concatenate((np.flatnonzero(starts & ~prefixed), np.flatnonzero(prefixed) + 1))
        at = at[at < len(raw)]
        one, two = first[at], second[at]
        far = (one == 0x0F) & (two & 0xF0 == 0x80)
        near = one & 0xF0 == 0x70
        plain, short = one == 0xE9, one == 0xEB
        found = [
            self._of(raw, at[some], behind, width, condition)
            for some, behind, width, condition in (
                (far, 2, 4, True), (near, 1, 1, True), (plain, 1, 4, False), (short, 1, 1, False)
            )
        ]  # fmt: skip
        source, target, conditional = (np.concatenate(x) for x in zip(*found, strict=True))
        own = (target >= 0) & (target < len(raw))
        order = np.argsort(source[own], kind="stable")
        self.source, self.target, self.conditional = (x[own][order] for x in (source, target, conditional))
        self.by_target = np.argsort(self.target, kind="stable")
        self.targets = self.target[self.by_target]

    @staticmethod
    def _of(raw: U8, at: Ints, behind: int, width: int, condition: bool) -> tuple[Ints, Ints, Mask]:
        at = at[at + behind + width <= len(raw)]
        distance = np.zeros(len(at), np.int64)
        for k in range(width):
            distance |= raw[at + behind + k].astype(np.int64) << 8 * k
        distance -= distance >> (8 * width - 1) << (8 * width)
        return at, at + behind + width + distance, np.full(len(at), condition)

    def joined(self, bounds: Bounds, around: Callable[[int], Bounds]) -> list[Bounds]:
        """The stretches of the function that one is a part of. ``around``: the stretch that an offset is in."""
        out, waiting = {bounds}, [bounds]
        while waiting and len(out) < _MOST:
            low, high = waiting.pop()
            begin, end = np.searchsorted(self.source, (low, high))
            going = [x for x in self._rows(np.arange(begin, end)) if not low <= x[1] < high]
            to = [(around(target), target, sure) for _, target, sure in going]
            joined = [found for found, target, sure in to if sure or target != found[0]]
            begin, end = np.searchsorted(self.targets, (low, high))
            coming = [x for x in self._rows(self.by_target[begin:end]) if not low <= x[0] < high]
            joined += [around(source) for source, target, sure in coming if sure or target != low]
            for found in joined:
                if found not in out:
                    out.add(found)
                    waiting.append(found)
        return sorted(out)

    def _rows(self, some: Ints) -> list[tuple[int, int, bool]]:
        rows = self.source[some].tolist(), self.target[some].tolist(), self.conditional[some].tolist()
        return list(zip(*rows, strict=True))
