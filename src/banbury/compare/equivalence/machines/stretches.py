"""The instructions of many stretches of a section, looked at together: one pass for all instead of one for each.

What is between two stretches, in what is looked at, does nothing and is long enough that the next one is decoded from
its own beginning, however the one before ends.

Sources: Intel SDM, volume 2, NOP; Arm ARM DDI 0487; MIPS MD00086; Power ISA 2.07.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.machines.carried import Calls, Function, Rows
from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.forward import doubtful
from banbury.compare.equivalence.machines.numbers import placed, taken_apart
from banbury.compare.equivalence.machines.register_steps import Steps, steps
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE
from banbury.formats import _elf_types as t

Bounds = tuple[int, int]
#: More bytes than an instruction has; of MIPS a branch first, so that a branch without its delay slot is refused.
_BETWEEN: Final = {t.EM_X86_64: b"\x90" * 16, t.EM_MIPS: b"\x10".ljust(16, b"\0")}


class Stretches:
    """Stretches of the section ``raw``, which is at the address ``base``. ``wanted``: the numbers that are looked for;
    ``image``: where the addresses of a file for a fixed place are. Not of 32-bit Arm. Raises :class:`NotDecoded`."""

    def __init__(
        self,
        machine: int,
        big: bool,
        raw: U8,
        base: int,
        bounds: Collection[Bounds],
        wanted: Ints,
        image: tuple[int, int] | None = None,
    ) -> None:
        self.machine, self.big, self.raw, self.base = machine, big, raw, base
        between = np.frombuffer(_BETWEEN.get(machine, bytes(16)), np.uint8)
        between = between if big or machine != t.EM_MIPS else between.view(">u4").astype("<u4").view(np.uint8)
        self.at: dict[Bounds, int] = {}
        pieces: list[U8] = []
        place = 0
        for low, high in sorted(bounds):
            self.at[low, high] = place
            rest = np.zeros(-(high - low) % 4 if machine != t.EM_X86_64 else 0, np.uint8)
            pieces += [raw[low:high], rest, between]
            place += high - low + len(rest) + len(between)
        self.joined: U8 = np.concatenate(pieces) if pieces else np.zeros(0, np.uint8)
        self._decoded = taken_apart(self.joined) if machine == t.EM_X86_64 else None
        self.code = None if self._decoded is None else self._decoded[0]
        places, values = placed(machine, big, self.joined, image, self._decoded)
        some = np.isin(values, wanted)
        order = np.argsort(places[some], kind="stable")
        self.places, self.values = places[some][order], values[some][order]
        self._places, self._starts = self.places.data, None if self.code is None else self.code.starts.data

    def numbers(self, bounds: Bounds) -> tuple[Ints, Ints]:
        """Of one stretch: for each wanted number a place in the section in the instruction that holds it, and it.
        Raises :class:`NotDecoded` where the last instruction runs out of the stretch."""
        at = self.at[bounds]
        end = at + bounds[1] - bounds[0]
        if self._starts is not None and not self._begins(self._starts, end):
            raise NotDecoded(bounds[0], "the last instruction runs out of the function")
        low, high = bisect_left(self._places, at), bisect_left(self._places, end)
        return self.places[low:high] - at + bounds[0], self.values[low:high]

    def function(
        self,
        stretches: Sequence[Bounds],
        calls: Calls | None = None,
        ways: Sequence[Bounds] = (),
        begun: Sequence[int] = (),
        labels: Sequence[int] | None = None,
    ) -> Function:
        """The function that has these stretches; the rest as of :class:`Function`. Raises :class:`NotDecoded`."""
        where = [(self.at[x], self.at[x] + x[1] - x[0], x[0] - self.at[x]) for x in stretches]
        return Function(self.machine, self.big, self.raw, self._rows, where, calls, ways, begun, labels)

    @cached_property
    def _rows(self) -> Rows:
        code, has = self._decoded or (None, None)
        found = steps(self.machine, self.big, self.joined, code=code, has=has)
        found = found if self.machine != t.EM_MIPS else self._jumps(found)
        begins = np.searchsorted(found.starts, np.array(sorted(self.at.values()), np.int64))
        return Rows(found, doubtful(found, begins))

    def _jumps(self, found: Steps) -> Steps:
        """With what jumps of MIPS to addresses lead to, which are not relative: behind their delay slots. Where calls
        lead is not said."""
        words = self.joined.view(">u4" if self.big else "<u4").astype(np.int64)
        rows = np.flatnonzero(words >> 26 == 2)
        low, at = (np.array(x, np.int64) for x in zip(*((low, at) for (low, _), at in self.at.items()), strict=True))
        moved = (low - at)[np.searchsorted(at, 4 * rows, "right") - 1]  # places of the section from those of joined
        here = self.base + moved + 4 * rows + 4
        leads = found.leads.copy()
        leads[rows + 1] = (here & ~0xFFFFFFF | (words[rows] & 0x3FFFFFF) << 2) - self.base - moved
        return replace(found, leads=leads, callee=np.full(len(leads), NOWHERE, np.int64))

    @staticmethod
    def _begins(starts: memoryview, place: int) -> bool:
        """Whether an instruction begins at a place of what is joined."""
        index = bisect_left(starts, place)
        return index < len(starts) and starts[index] == place
