"""Sizes of sections that the linker's script makes: an absolute symbol of the rebuilt file (``SIZEOF``, a difference of
two addresses) whose value code and data hold as a number, that nothing tells from others. Start-up code of firmware
copies as many bytes, and checks of its own read them.

Sources: GNU ld manual, "Builtin Functions"; gABI (2013 draft), chapter 4, SHN_ABS.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import SHT_SYMTAB, Part
from banbury.compare.equivalence.elf_symbols import check_symbols, symbols_of
from banbury.compare.equivalence.machines.contract import Sides

_ABSOLUTE: Final = 0xFFF1  # SHN_ABS
_FILE: Final = 4  # STT_FILE
#: Addresses, which linkers of Arm and AArch64 leave without a section, and a flag of MIPS.
_LINKERS: Final = (b"_DYNAMIC", b"_GLOBAL_OFFSET_TABLE_", b"_DYNAMIC_LINKING")
_MOST: Final = 1 << 12  # sections
_LARGEST: Final = 1 << 62


def check_spans(sides: Sides) -> None:
    """Raises :class:`Refused` where an absolute symbol is the distance from where one section begins to where it or
    another ends, and that is another one in the second file."""
    tables = [part for part in sides.a.sections if part.type == SHT_SYMTAB and not check_symbols(sides.a, part)]
    sizes = sorted({size for part in tables for size in _absolute(sides, part)})
    if not sizes or len(sides.pairs) > _MOST:
        return
    begin = {p.addr: q.addr for p, q in sides.pairs if p.size}
    ends = np.array([(p.addr + p.size, q.addr + q.size) for p, q in sides.pairs if p.size], np.int64).reshape(-1, 2)
    for low, other in begin.items():
        span = ends[np.isin(ends[:, 0] - low, sizes)]
        if (span[:, 1] - other != span[:, 0] - low).any():
            raise Refused(".symtab", "an absolute symbol may be the size of sections that changed")


def _absolute(sides: Sides, part: Part) -> set[int]:
    """The values of absolute symbols, but for those that linkers make."""
    table, strings = symbols_of(sides.a, part), sides.a.bytes(sides.a.sections[part.link])
    some = (table["shndx"] == _ABSOLUTE) & (table["info"] & 15 != _FILE) & (table["value"] > 0)
    rows = zip(*(table[column][some].tolist() for column in ("name", "value")), strict=True)
    named = ((strings[name : strings.index(b"\0", name)], value) for name, value in rows)
    return {value for name, value in named if name not in _LINKERS and value < _LARGEST}
