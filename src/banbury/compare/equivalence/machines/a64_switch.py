"""Where indirect branches of A64 code lead: tables of a ``switch``, and labels whose addresses are data.

A compiler's ``switch`` loads an entry of 1, 2 or 4 bytes from a table, adds it four-fold (or, 4 bytes wide, as it is)
to an address in the code, and branches there. What is found here only adds paths, so that a value in a register is
followed into every case; entries behind the table's end are taken too, as far as the next thing that is referred to.
An indirect branch that is not understood reads every register: a value that is alive there cannot be followed.

Sources: GCC, aarch64_output_casesi; LLVM, AArch64AsmPrinter (JumpTableDest8, 16, 32).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines import a64
from banbury.compare.equivalence.machines.contract import U8, Mask

_NEAR = 24
_MOST_ENTRIES = 1 << 16

#: Reads ``count`` entries of ``width`` bytes at an address of constant data, as many as are there.
Reader = Callable[[int, int], U8]


def written_before(all_: a64.Decoded, lead: Mask, at: Ints, registers: Ints) -> Ints:
    """The instruction in the same block that last writes a register before each of ``at``; -1 where there is none
    near."""
    out = np.full(len(at), -1, np.int64)
    place, left = at.copy(), np.ones(len(at), bool)
    for _ in range(_NEAR):
        left &= (place > 0) & ~lead[place]
        place = np.where(left, place - 1, place)
        left &= all_.falls[place]
        hit = left & ((all_.writes[place] >> registers.astype(np.uint32)) & np.uint32(1) == 1)
        out[hit] = place[hit]
        left &= ~hit & ~all_.calls[place]
    return out


class Switches:
    """The indirect branches of a section: ``branches`` that are tables, with the ``loads`` of their entries and the
    table's register; ``plain`` ones (a pointer that was loaded or moved); all others are not ``understood``."""

    def __init__(self, all_: a64.Decoded, lead: Mask, displacement: Ints) -> None:
        w = all_.words
        at = np.flatnonzero(all_.indirect)
        by = written_before(all_, lead, at, a64.field(w[at], 5, 5).astype(np.int64))
        found = by >= 0
        add = found & (a64.is_(w[by], 0xFFE00000, 0x8B200000) | a64.is_(w[by], 0xFF200000, 0x8B000000))
        load = found & (a64.is_(w[by], 0x3A000000, 0x38000000) | a64.is_(w[by], 0x3A000000, 0x28000000))
        move = found & a64.is_(w[by], 0xFFE0FFE0, 0xAA0003E0)
        self.plain = at[load | move]
        back = a64.field(w[at], 5, 5) == 30  # a return by another name
        self.left = at[~(add | load | move | back)]
        at, by = at[add], by[add]
        base = written_before(all_, lead, by, a64.field(w[by], 5, 5).astype(np.int64))
        entry = written_before(all_, lead, by, a64.field(w[by], 16, 5).astype(np.int64))
        good = (base >= 0) & (entry >= 0)
        good &= a64.is_(w[base], 0x9F000000, 0x10000000)  # ADR
        good &= a64.is_(w[entry], 0x3F200C00, 0x38200800)  # a load with a register for its offset
        good &= a64.field(w[entry], 22, 2) != 0
        self.left = np.concatenate((self.left, at[~good]))
        self.branches, self.loads = at[good], entry[good]
        adr = base[good]
        self.bases = adr + displacement[adr] // 4
        extend = a64.is_(w[by[good]], 0xFFE00000, 0x8B200000)
        option, amount = (
            a64.field(w[by[good]], 13, 3),
            np.where(extend, a64.field(w[by[good]], 10, 3), a64.field(w[by[good]], 10, 6)),
        )
        self.widths = 1 << a64.field(w[self.loads], 30, 2).astype(np.int64)
        self.signed = (extend & (option >= 4)) | (a64.field(w[self.loads], 22, 2) >= 2)
        self.shifts = amount.astype(np.int64)
        self.registers = a64.field(w[self.loads], 5, 5).astype(np.int64)
        strange = (self.shifts > 2) | (self.widths > 4)
        self.left = np.concatenate((self.left, self.branches[strange]))
        self.shifts = np.minimum(self.shifts, 2)

    def edges(self, tables: Ints, ends: Ints, read: Reader, low: Ints, high: Ints) -> tuple[Ints, Ints]:
        """The paths of each branch: its table stands at an address of ``tables`` (-1: not known, then it has none) and
        ends before ``ends``; places lie within its function, ``low`` to ``high``."""
        sources, targets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for k in np.flatnonzero(tables >= 0).tolist():
            width = int(self.widths[k])
            raw = read(int(tables[k]), min(int(ends[k] - tables[k]), _MOST_ENTRIES * width))
            kind = f"<{'i' if self.signed[k] else 'u'}{width}"
            values = np.frombuffer(raw[: len(raw) // width * width].tobytes(), kind).astype(np.int64)
            to = self.bases[k] + (values << int(self.shifts[k])) // 4
            inside = (to >= low[k]) & (to < high[k])
            to = distinct(to[: len(to) if inside.all() else int(np.argmin(inside))])
            sources.append(np.full(len(to), self.branches[k]))
            targets.append(to)
        return np.concatenate(sources), np.concatenate(targets)
