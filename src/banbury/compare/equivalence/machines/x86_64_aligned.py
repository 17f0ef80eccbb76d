"""Which data x86-64 code reads or writes by instructions that fault where an address is no multiple of 16 or more.

All other accesses may stand anywhere (Intel SDM, volume 1, 4.1.1; volume 2, table 2-18 on exceptions). An aligned one
through a register may go anywhere, so that nothing is said then; one in the stack frame goes to no data, and one that
only writes goes to none that is loaded read-only, for which alone this is asked.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volumes 1 and 2.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.x86_64_absolute import Operands, among

U8 = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
_SP, _BP = 4, 5
#: Two-byte opcodes that take memory as it stands, or have none: all others are held to fault.
_ANYWHERE: Final = (
    *range(0x04), 0x0D, *range(0x10, 0x14), 0x16, 0x17, *range(0x18, 0x20), 0x2A, 0x2C, 0x2D, 0x2E, 0x2F,
    *range(0x40, 0x50), 0x6E, 0x7E, *range(0x90, 0xA0), 0xA3, 0xA4, 0xA5, 0xAB, 0xAC, 0xAD, *range(0xAF, 0xC2),
    0xC3, 0xC4, 0xD6,
)  # fmt: skip
#: Those that do so with F2 or F3 (of one element, MOVDQU, LDDQU), and those that fault with F3 (MOVSLDUP, MOVSHDUP).
_REPEATED: Final = (0x51, 0x52, 0x53, 0x58, 0x59, 0x5A, 0x5C, 0x5D, 0x5E, 0x5F, 0x6F, 0x7F, 0xC2, 0xF0)
_DOUBLED: Final = (0x12, 0x16)
#: With VEX and EVEX: aligned moves, and those past the caches (SDM, volume 1, table 14-22).
_MOVES: Final = (0x28, 0x29, 0x2A, 0x2B, 0x6F, 0x7F, 0xE7)
_STATE: Final = (0xAE, 0xC7)  # XSAVE and its like, which need 64 bytes
#: Aligned moves that write memory, and do not read it: MOVAPS, MOVAPD; MOVNTPS; MOVDQA; MOVNTDQ (behind 0F, and VEX).
_WRITES: Final = (0x29, 0x2B, 0x7F, 0xE7)


def aligned(decoded: list[tuple[Part, U8, Code, Operands]]) -> tuple[Ints, Ints] | None:
    """The addresses of the first file that such instructions name, and the alignment in bytes that each needs; ``None``
    where one may go anywhere."""
    none = np.zeros(0, np.int64)
    out = [(none, none)]
    for one, raw, code, found in decoded:
        width = _needs(raw, code, found)
        need = width > 1
        placed = found.relative | ((found.base < 0) & (found.index < 0))
        if (need & ~placed & ~_framed(found) & ~_writes(raw, found)).any():
            return None
        if (need & placed & ~found.relative).any():
            return None  # by an absolute address, or a scaled index alone
        fields = np.full(len(raw) + 1, -1, np.int64)
        fields[code.fields] = np.arange(len(code.fields))
        rows = np.flatnonzero(need & found.relative)
        number = fields[found.displacement[rows]]
        if (number < 0).any():
            return None
        out.append((code.targets(raw, one.addr)[number], width[rows]))
    return np.concatenate([x for x, _ in out]), np.concatenate([y for _, y in out])


def _needs(raw: U8, code: Code, found: Operands) -> Ints:
    """The alignment in bytes that each instruction needs of what it has in memory; 1 where it needs none."""
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    at = found.at
    twice, thrice = among(c, code.starts, at, 0xF2), among(c, code.starts, at, 0xF3)
    first, second = found.opcode, c[at + 1]
    free = np.isin(second, _ANYWHERE) | ((twice | thrice) & np.isin(second, _REPEATED))
    old = (first == 0x0F) & ~(free & ~(thrice & np.isin(second, _DOUBLED)))
    memory = found.has & (c[at + found.skip] >> 6 != 3)
    out = np.where(old & memory, np.where(np.isin(second, _STATE), 64, 16), 1)
    for lead, behind, length in (
        (0xC5, 2, c[at + 1] >> 2 & 1),
        (0xC4, 3, c[at + 2] >> 2 & 1),
        (0x62, 4, c[at + 3] >> 5),
    ):
        wide = memory & (first == lead) & np.isin(c[at + behind], _MOVES)
        out = np.where(wide, 16 << np.minimum(length & 3, 2).astype(np.int64), out)
    return out


def _writes(raw: U8, found: Operands) -> Flags:
    """Which instructions are aligned moves that only write."""
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    out = np.zeros(len(found.at), bool)
    for lead, behind in ((0x0F, 1), (0xC5, 2), (0xC4, 3), (0x62, 4)):
        out |= (found.opcode == lead) & np.isin(c[found.at + behind], _WRITES)
    return out


def _framed(found: Operands) -> Flags:
    """Accesses by the stack pointer, and by the frame's where that was set from it last."""
    rows = np.arange(len(found.opcode))
    sets = (found.into == _BP) | (found.opcode == 0xC9)
    last = np.maximum.accumulate(np.where(sets, rows, -1))
    copied = (found.opcode == 0x89) & (found.register == _SP) & (found.into == _BP)
    frame = (found.base == _BP) & (last >= 0) & copied[np.maximum(last, 0)]
    out: Flags = ((found.base == _SP) | frame) & (found.index < 0)
    return out
