"""AArch64: code that goes by words of the table of addresses: stubs of a linkage table, and calls of the descriptors of
thread-local variables, which change the first two registers and the link register alone.

Sources: System V ABI for the Arm 64-bit Architecture, 9 (procedure linkage table); ELF for the Arm 64-bit Architecture
(AAELF64), 5.7.11.6; GCC, gcc/config/aarch64/aarch64.md (tlsdesc_small).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines import a64
from banbury.compare.equivalence.machines.contract import Mask
from banbury.formats.elf import ElfFile

#: What a call of a descriptor may change: x0, x1 and the link register.
CHANGED: Final = 0x40000003
_DESCRIPTOR: Final = 1031  # R_AARCH64_TLSDESC
_PAGE: Final = 4096


def descriptors(elf: ElfFile) -> list[int]:
    """The places of the table of addresses that hold descriptors."""
    out: list[int] = []
    for table in elf.sections:
        rows = elf.section_relocations(table)
        if rows is not None:
            out += rows.offsets[rows.types == _DESCRIPTOR].tolist()
    return out


def _targets(words: a64.W, at: Ints, addr: int) -> Ints:
    """What a page, and the load behind it, mean together."""
    page = ((4 * at + addr) // _PAGE + a64.displacement(words[at])) * _PAGE
    return page + (a64.field(words[at + 1], 10, 12).astype(np.int64) << 3)


def descriptor_calls(words: a64.W, addr: int, slots: list[int]) -> Mask:
    """The calls of descriptors of a section at an address, as compilers write them (linkers rewrite them as a whole):
    ADRP x0; LDR x1, [x0]; ADD x0, x0; BLR x1."""
    out = np.zeros(len(words), bool)
    if slots and len(words) > 3:
        found = a64.is_(words[:-3], 0x9F00001F, 0x90000000) & a64.is_(words[1:-2], 0xFFC003FF, 0xF9400001)
        found &= a64.is_(words[2:-1], 0xFFC003FF, 0x91000000) & (words[3:] == 0xD63F0020)
        at = np.flatnonzero(found)
        out[at[np.isin(_targets(words, at, addr), slots)] + 3] = True
    return out


def stubs(words: a64.W, addr: int, slots: set[int]) -> set[int]:
    """The addresses of the stubs of a linkage table that load one of ``slots``: where each begins (a landing pad before
    it counts)."""
    at = np.flatnonzero(a64.is_(words[:-1], 0x9F000000, 0x90000000) & a64.is_(words[1:], 0xFFC003FF, 0xF9400211))
    begin = 4 * at[np.isin(_targets(words, at, addr), list(slots))] + addr
    return {*begin.tolist(), *(begin - 4).tolist()}
