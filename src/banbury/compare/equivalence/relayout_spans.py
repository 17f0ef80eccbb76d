"""Sizes of sections that the linker's script makes: an absolute symbol of the rebuilt file (``SIZEOF``, a difference of
two addresses) whose value code and data hold as a number, that nothing tells from others. Start-up code of firmware
copies as many bytes, and checks of its own read them.

Sources: GNU ld manual, "Builtin Functions"; gABI (2013 draft), chapter 4, SHN_ABS.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import SHT_SYMTAB, Part
from banbury.compare.equivalence.elf_symbols import check_symbols, symbols_of
from banbury.compare.equivalence.machines.contract import Sides

_ABSOLUTE: Final = 0xFFF1  # SHN_ABS
_FILE: Final = 4  # STT_FILE
#: Addresses, which linkers of Arm and AArch64 leave without a section, a flag of MIPS, and those of glibc
#: (locale/localeinfo.h, _NL_CURRENT_DEFINE).
_KNOWN: Final = re.compile(rb"_DYNAMIC|_GLOBAL_OFFSET_TABLE_|_DYNAMIC_LINKING|_nl_current_LC_[A-Z]+_used")
_MOST: Final = 1 << 9  # sections
_UNITS: Final = (1, 2, 4, 8, 16, 32, 64, 4096)  # bytes that sizes are rounded up to, or counted in
_LARGEST: Final = 1 << 62


def check_spans(sides: Sides) -> None:
    """Raises :class:`Refused` where an absolute symbol is the distance between two borders of sections, rounded up or
    counted in units as linkers' scripts do, and that is another one in the second file."""
    tables = [part for part in sides.a.sections if part.type == SHT_SYMTAB and not check_symbols(sides.a, part)]
    sizes = sorted({size for part in tables for size in _absolute(sides, part)})
    if not sizes:
        return
    if len(sides.pairs) > _MOST:
        raise Refused(".symtab", "absolute symbols in a file of many sections")
    borders = [
        (at, to) for p, q in sides.pairs if p.size for at, to in ((p.addr, q.addr), (p.addr + p.size, q.addr + q.size))
    ]
    places = np.array(sorted(set(borders)), np.int64).reshape(-1, 2).T
    first, second = (side[:, None] - side[None, :] for side in places)
    changed = (first != second) & (first > 0)
    first, second = first[changed], second[changed]
    for unit in _UNITS:
        counted = [((n + unit - 1) // unit * unit, n // unit, (n + unit - 1) // unit) for n in (first, second)]
        for a, b in zip(*counted, strict=True):
            if (np.isin(a, sizes) & (a != b)).any():
                raise Refused(".symtab", "an absolute symbol may be the size of sections that changed")


def _absolute(sides: Sides, part: Part) -> set[int]:
    """The values of absolute symbols, but for those that linkers make."""
    table, strings = symbols_of(sides.a, part), sides.a.bytes(sides.a.sections[part.link])
    some = (table["shndx"] == _ABSOLUTE) & (table["info"] & 15 != _FILE) & (table["value"] > 0)
    rows = zip(*(table[column][some].tolist() for column in ("name", "value")), strict=True)
    named = ((strings[name : strings.index(b"\0", name)], value) for name, value in rows)
    return {value for name, value in named if not _KNOWN.fullmatch(name) and value < _LARGEST}
