"""The addresses that a file's code makes, keeps and reads at, and that its data hold, from the references of one proof.

What an address means, and what alignment it needs, is asked of these (see :mod:`relayout_before`,
:mod:`relayout_objects` and :mod:`relayout_aligned`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.contract import LINKAGE, Machine, Mask, Sides
from banbury.compare.equivalence.machines.x86_64 import X86
from banbury.compare.equivalence.machines.x86_64_aligned import aligned
from banbury.compare.equivalence.machines.x86_64_seen import seen
from banbury.compare.equivalence.relayout_aligned import Wanted
from banbury.formats import _elf_types as t


class Addresses:
    """Of the first file, once all references are known. ``fixed``: it is for a fixed place."""

    def __init__(self, sides: Sides, machine: Machine, *, fixed: bool) -> None:
        self.sides, self.machine, self.fixed = sides, machine, fixed

    def taken(self, old: Ints) -> Ints:
        """What is referred to otherwise than by instructions of x86-64 that read or write there at once: distances
        count from an address that stands in a register."""
        if not isinstance(self.machine, X86):
            return old
        names = {part.name for part, _, _ in self.sides.code}
        held = [targets[~reads] for _, _, targets, reads in self.sides.at]
        held += [refs for where, refs, _ in self.sides.refs.groups() if where not in names]
        read = [targets[reads] for _, _, targets, reads in self.sides.at]
        out: Ints = old[~np.isin(old, np.setdiff1d(np.concatenate(read), np.concatenate(held)))]
        return out

    @cached_property
    def wanted(self) -> Wanted | None:
        """What code wants of addresses; ``None``: anything."""
        faults = aligned(self.machine.decoded) if isinstance(self.machine, X86) else None
        if faults is None or not isinstance(self.machine, X86):
            return None
        names = {part.name for part, _, _ in self.sides.code}
        groups = self.sides.refs.groups()
        none = np.zeros(0, np.int64)
        symbols = {one.name for one, _ in self.sides.pairs if one.type == t.SHT_DYNSYM}
        exported = np.concatenate([none, *(old for where, old, _ in groups if where in symbols)])
        held = [old for where, old, _ in groups if where not in names]
        taken = np.concatenate([none, *held, *(targets[~reads] for _, _, targets, reads in self.sides.at)])
        return Wanted(faults, exported, distinct(taken), seen(self.machine.decoded))

    @cached_property
    def read(self) -> Ints:
        """The addresses at which code reads or writes at once."""
        return np.concatenate([np.zeros(0, np.int64), *(x[reads] for _, _, x, reads in self.sides.at)])

    @cached_property
    def added(self) -> tuple[Ints, Ints, Mask]:
        """What code adds to addresses that it has made: see :attr:`Sides.added`."""
        none = np.zeros(0, np.int64)
        found = [(none, none, none == 1), *(more() for more in self.sides.added)]
        old, new, reads = (np.concatenate([x[k] for x in found]) for k in (0, 1, 2))
        return old, new, reads == 1

    def put(self) -> Ints:
        """The addresses that code has in registers, not only in instructions that read or write just there."""
        none = np.zeros(0, np.int64)
        own = [none, *(targets for part, _, targets, _ in self.sides.at if part.name not in LINKAGE)]
        less = [none, *(targets for part, targets in self.sides.straight if part.name not in LINKAGE)]
        found, count = np.unique(np.concatenate(own), return_counts=True)
        straight, times = np.unique(np.concatenate(less), return_counts=True)
        count[np.searchsorted(found, straight)] -= times
        data = [x for x, _ in self.sides.pairs if x.loaded and not x.code]
        more = np.setdiff1d(
            self.made(stored=False), np.concatenate([none, *(targets for _, _, targets, _ in self.sides.at)])
        )
        kept = [more[(more >= x.addr) & (more < x.addr + x.size)] for x in data]  # what code branches to is none
        return distinct(np.concatenate([found[count > 0], *kept]))

    def made(self, *, stored: bool = True) -> Ints:
        """All addresses that code makes, or, if they are wanted, that compilers store for it (PowerPC's ``.got2``)."""
        names = {part.name for part, _, _ in self.sides.code}
        names |= {f"{name}, immediates" for name in names}
        stored = stored and self.sides.a.header.machine == t.EM_PPC
        kept = (", addends", ".got2, words")
        held = [old for w, old, _ in self.sides.refs.groups() if w in names or (stored and w.endswith(kept))]
        return np.concatenate(held) if held else np.zeros(0, np.int64)

    def held(self) -> Ints:
        """All addresses that code makes (of position-independent 32-bit Arm code not those that it branches to) or
        data hold: not those of the loader's own tables, nor of the linkage table in words of slots that are bound when
        they are first used (System V ABI supplements, procedure linkage table)."""
        names = {part.name for part, _, _ in self.sides.code}
        arm = self.sides.a.header.machine == t.EM_ARM and not self.fixed
        held = [targets for _, _, targets, _ in self.sides.at] if arm else [self.made()]
        linkage = [part.addr for part, _, _ in self.sides.code if part.name in LINKAGE]
        for where, old, _ in self.sides.refs.groups():
            if where not in names and where.endswith((", addends", ", stored words", ", words", ".dynsym")):
                held.append(old[~np.isin(old, linkage)] if where == ".got.plt, stored words" else old)
        return np.concatenate(held) if held else np.zeros(0, np.int64)
