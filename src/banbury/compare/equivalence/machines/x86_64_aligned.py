"""Which data x86-64 code reads or writes by instructions that fault where an address is no multiple of 16 or more.

All other accesses may stand anywhere (Intel SDM, volume 1, 4.1.1; volume 2, table 2-18 on exceptions). An aligned one
through a register may go anywhere, so that nothing is said then; one in the stack frame goes to no data.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volumes 1 and 2.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.x86_64_absolute import Operands, behind_prefixes, shape

U8 = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
_SP, _BP = 4, 5
#: Two-byte opcodes that need alignment whatever their prefix; and those of one element with F2 or F3.
_ALIGNED: Final = (0x28, 0x29, 0x2B, *range(0x50, 0x80), 0xAE, 0xC2, 0xC6, 0xC7, *range(0xD0, 0x100))
_SCALAR: Final = (0x51, 0x52, 0x53, 0x58, 0x59, 0x5A, 0x5C, 0x5D, 0x5E, 0x5F, 0xC2)
_WORDS: Final = (0x6E, 0x7E, 0xD6)  # MOVD and MOVQ


def aligned(decoded: list[tuple[Part, U8, Code, Operands]]) -> Ints | None:
    """The addresses of the first file that such instructions name; ``None`` where one may go anywhere."""
    out = [np.zeros(0, np.int64)]
    for one, raw, code, found in decoded:
        need = _needs(raw, code)
        placed = found.relative | ((found.base < 0) & (found.index < 0))
        if (need & ~placed & ~_framed(found)).any():
            return None
        if (need & placed & ~found.relative).any():
            return None  # by an absolute address, or a scaled index alone
        fields = np.full(len(raw) + 1, -1, np.int64)
        fields[code.fields] = np.arange(len(code.fields))
        number = fields[found.displacement[need & found.relative]]
        out.append(code.targets(raw, one.addr)[number[number >= 0]])
    return np.unique(np.concatenate(out))


def _needs(raw: U8, code: Code) -> Flags:
    """Which instructions need alignment of what they have in memory."""
    c = np.concatenate((raw, np.zeros(32, np.uint8)))
    at = behind_prefixes(c, code.starts)
    half, repeated = np.zeros(len(at), bool), np.zeros(len(at), bool)
    for k in range(14):
        before = code.starts + k < at
        half |= before & (c[code.starts + k] == 0x66)
        repeated |= before & np.isin(c[code.starts + k], (0xF2, 0xF3))
    first, second = c[at], c[at + 1]
    old = (first == 0x0F) & (np.isin(second, (0x38, 0x3A)) | np.isin(second, _ALIGNED))
    old &= ~(repeated & np.isin(second, (*_SCALAR, 0x6F, 0x7F, 0xF0))) & ~np.isin(second, _WORDS)
    wide = np.zeros(len(at), bool)
    for lead, behind in ((0xC5, 2), (0xC4, 3), (0x62, 4)):
        wide |= (first == lead) & np.isin(c[at + behind], (0x28, 0x29, 0x2A, 0x2B, 0x6F, 0x7F, 0xE7))
    skip, has = shape(c, at)
    out: Flags = (old | wide) & has & (c[at + skip] >> 6 != 3)
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
