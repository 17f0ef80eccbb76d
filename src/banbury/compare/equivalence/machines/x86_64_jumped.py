"""Jumps of x86-64 code to a place that it works out from an address among the code: where no instruction begins.

Code is read in one sweep from the beginning of its section. Code written by hand may jump into what the sweep reads as
an operand, and what is there is seen by nobody. No compiler makes such a jump.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.machines.x86_64_absolute import Operands

U8 = npt.NDArray[np.uint8]
_WINDOW: Final = 24  # instructions that are looked at behind one that makes an address
_ENDS: Final = (0xC3, 0xC2, 0xE9, 0xEB, 0xE8, 0xFF)


def jumped(raw: U8, code: Code, address: int, found: Operands, made: tuple[Ints, Ints, Ints]) -> Ints:
    """Offsets within a section of code at ``address`` that it jumps to, calls or returns to by a register, and at which
    no instruction begins. ``made``: rows, the register of each, and the address that it has in it."""
    row, register, value = made
    inside = (value >= address) & (value < address + len(raw))
    row, register, value = row[inside], register[inside], value[inside] - address
    ends = np.append(code.starts[1:], len(raw))[: len(code.starts)]
    last = raw[ends - 1].astype(np.int64) if len(ends) else ends
    rex = _extended(raw, code.starts, ends)
    starts = np.zeros(len(raw) + 1, bool)
    starts[code.starts] = True
    out = [np.zeros(0, np.int64)]
    for _ in range(_WINDOW):
        row = row + 1
        live = row < len(ends)
        row, register, value = row[live], register[live], value[live]
        if not len(row):
            break
        opcode, own = found.opcode[row], (last[row] & 7) + 8 * (rex[row] & 1)
        straight = last[row] >= 0xC0
        leaves = (opcode == 0xFF) & np.isin(last[row] & 0xF8, (0xD0, 0xE0)) & (own == register)
        behind = found.opcode[np.minimum(row + 1, len(ends) - 1)]
        leaves |= (opcode >= 0x50) & (opcode < 0x58) & (found.low[row] == register) & (behind == 0xC3)
        out.append(value[leaves])
        changed = (found.base[row] == register) & (found.index[row] == -1)
        derived = changed & (opcode == 0x8D)
        copied = (opcode == 0x8B) & straight & (own == register)
        stored = (opcode == 0x89) & straight & (found.register[row] == register)
        more = derived | copied | stored
        total = value + np.where(changed & (derived | found.adds[row]), found.distance[row], 0)
        into = np.where(stored, own, found.register[row])
        value = np.where(found.adds[row], total, value)
        stop = (np.isin(opcode, _ENDS) & ~leaves) | (found.into[row] == register)
        row, register, value = (
            np.concatenate((x[~stop], y[more])) for x, y in ((row, row), (register, into), (value, total))
        )
    every = distinct(np.concatenate(out))
    every = every[(every >= 0) & (every < len(raw))]
    return every[~starts[every]]


def _extended(raw: U8, starts: Ints, ends: Ints) -> Ints:
    """The REX byte of each instruction of two bytes and it, or 0."""
    at = np.maximum(ends - 3, 0)
    byte = raw[at].astype(np.int64) if len(at) else at
    return np.where((ends - starts >= 3) & (byte & 0xF0 == 0x40), byte, 0)
