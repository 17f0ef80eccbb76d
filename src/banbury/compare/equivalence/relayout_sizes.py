"""Symbols of texts whose length is declared to differ: their stated sizes follow."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import OwnedElf, Part
from banbury.compare.equivalence.elf_pair import Pair, may_hold_literals
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.model import Range
from banbury.formats import _elf_types as t

_MOST = 65536  # bytes of one text
_PIE = 0x08000000  # DF_1_PIE


def grown(pair: Pair, one: Part, other: Part, ours: npt.NDArray[np.void], theirs: npt.NDArray[np.void]) -> list[int]:
    """The rows of two symbol tables whose sizes differ, each because the symbol is a text with a declared value of
    another length: exactly the NUL-terminated text that the size states, in both files. Where one of a library is
    longer in the second file, a program may hold a copy of it that is as large as it was: that none does is assumed.
    Raises :class:`Refused`."""
    rows = np.flatnonzero(ours["size"] != theirs["size"]).tolist()
    entry = ours.dtype.itemsize
    where = defaultdict[str, list[list[Range]]](list)
    library = not is_program(pair.a)
    for row in rows:
        copied = library and ours["size"][row] < theirs["size"][row]
        text, text_b = (_text(elf, table[row]) for elf, table in ((pair.a, ours), (pair.b, theirs)))
        if text is None or text_b is None or pair.declared.apply(text)[0] != text_b:
            raise Refused(one.name, "the size of a symbol differs, and it is no declared text")
        where["elf.moved-copied-size" if copied else "elf.moved-symbol-size"].append(
            [Range(p.offset + entry * row, p.offset + entry * (row + 1)) for p in (one, other)]
        )
    for rule, places in where.items():
        pair.account.explain(rule, [x for x, _ in places], [y for _, y in places])
    return rows


def is_program(elf: OwnedElf) -> bool:
    """Whether nothing is linked with the file: it is for a fixed address, says that it is a program, or names an
    interpreter and no name of its own. (The C library names one, and its own name.)"""
    named = elf.elf.segment(t.PT_INTERP) is not None and elf.elf.tag(t.DT_SONAME) is None
    return named or says_program(elf)


def says_program(elf: OwnedElf) -> bool:
    """Whether the file is for a fixed address or says that it is a program. (Linkers let PIEs say so since 2016; a
    library that can also be run names an interpreter too.)"""
    flags = elf.elf.tag(t.DT_FLAGS_1) or 0
    return elf.header.type == t.ET_EXEC or bool(flags & _PIE)


def _text(elf: OwnedElf, symbol: np.void) -> bytes | None:
    """The text that a symbol of an object states: its size is that of the text and its NUL."""
    part = elf.section_at(int(symbol["value"]))
    size = int(symbol["size"])
    if part is None or not may_hold_literals(part) or symbol["info"] & 15 != 1 or not 0 < size <= _MOST:
        return None
    at = int(symbol["value"]) - part.addr + part.offset
    raw = bytes(elf.data[at : min(at + size, part.end)])
    return raw[:-1] if len(raw) == size and raw[-1] == 0 and is_text(raw[:-1]) else None
