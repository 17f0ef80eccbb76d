"""AArch64: code that goes by words of the table of addresses: stubs of a linkage table, and calls of the descriptors of
thread-local variables.

Sources: System V ABI for the Arm 64-bit Architecture, 9 (procedure linkage table); ELF for the Arm 64-bit Architecture
(AAELF64), 5.7.11.6; GCC, gcc/config/aarch64/aarch64.md (tlsdesc_small).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.machines import a64
from banbury.formats.elf import ElfFile

_DESCRIPTOR: Final = 1031  # R_AARCH64_TLSDESC
_PAGE: Final = 4096


def _targets(words: a64.W, at: Ints, addr: int) -> Ints:
    """What a page, and the load behind it, mean together."""
    page = ((4 * at + addr) // _PAGE + a64.displacement(words[at])) * _PAGE
    return page + (a64.field(words[at + 1], 10, 12).astype(np.int64) << 3)


def descriptor_calls(words: a64.W, addr: int, elf: ElfFile) -> a64.Flags:
    """The calls of a section at an address by words of the table that relocations say are descriptors, as compilers
    write them (linkers rewrite them as a whole): ADRP x0; LDR Xt, [x0]; ADD x0, x0; BLR Xt, with any register for Xt.
    Raises :class:`NotDecoded` where a descriptor is loaded otherwise."""
    out = np.zeros(len(words), bool)
    tables = (elf.section_relocations(table) for table in elf.sections)
    slots = [x for rows in tables if rows is not None for x in rows.offsets[rows.types == _DESCRIPTOR].tolist()]
    if slots and len(words) > 3:
        page = a64.is_(words[:-3], 0x9F000000, 0x90000000) & a64.is_(words[1:-2], 0xFFC00000, 0xF9400000)
        page &= a64.field(words[:-3], 0, 5) == a64.field(words[1:-2], 5, 5)
        at = np.flatnonzero(page)
        at = at[np.isin(_targets(words, at, addr), slots)]
        known = a64.is_(words[at], 0x1F, 0) & a64.is_(words[at + 2], 0xFFC003FF, 0x91000000)
        known &= words[at + 3] == 0xD63F0000 | a64.field(words[at + 1], 0, 5).astype(np.uint32) << np.uint32(5)
        if not known.all():
            raise NotDecoded(4 * int(at[~known][0]), "the descriptor of a thread-local variable is used otherwise")
        out[at + 3] = True
    return out


def stubs(words: a64.W, addr: int, slots: set[int]) -> set[int]:
    """The addresses of the stubs of a linkage table at an address that load one of ``slots``: where each begins (a
    landing pad before it counts)."""
    at = np.flatnonzero(a64.is_(words[:-1], 0x9F000000, 0x90000000) & a64.is_(words[1:], 0xFFC003FF, 0xF9400211))
    begin = 4 * at[np.isin(_targets(words, at, addr), list(slots))] + addr
    return {*begin.tolist(), *(begin - 4).tolist()}
