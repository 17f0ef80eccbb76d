"""Symbols of texts whose length is declared to differ: their stated sizes follow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.elf_map import OwnedElf, Part
from banbury.compare.equivalence.elf_same import Pair, may_hold_literals
from banbury.compare.equivalence.literals import is_text
from banbury.compare.equivalence.model import Range

_MOST = 65536  # bytes of one text


def grown(pair: Pair, one: Part, other: Part, ours: npt.NDArray[np.void], theirs: npt.NDArray[np.void]) -> list[int]:
    """The rows of two symbol tables whose sizes differ, each because the symbol is a text with a declared value of
    another length: exactly the NUL-terminated text that the size states, in both files. Raises :class:`Refused`."""
    rows = np.flatnonzero(ours["size"] != theirs["size"]).tolist()
    entry = ours.dtype.itemsize
    where = []
    for row in rows:
        text, text_b = (_text(elf, table[row]) for elf, table in ((pair.a, ours), (pair.b, theirs)))
        if text is None or text_b is None or pair.declared.apply(text)[0] != text_b:
            raise Refused(one.name, "the size of a symbol differs, and it is no declared text")
        where.append([Range(p.offset + entry * row, p.offset + entry * (row + 1)) for p in (one, other)])
    if rows:
        pair.account.explain("elf.moved-symbol-size", [x for x, _ in where], [y for _, y in where])
    return rows


def _text(elf: OwnedElf, symbol: np.void) -> bytes | None:
    """The text that a symbol of an object states: its size is that of the text and its NUL."""
    part = elf.section_at(int(symbol["value"]))
    size = int(symbol["size"])
    if part is None or not may_hold_literals(part) or symbol["info"] & 15 != 1 or not 0 < size <= _MOST:
        return None
    at = int(symbol["value"]) - part.addr + part.offset
    raw = bytes(elf.data[at : min(at + size, part.end)])
    return raw[:-1] if len(raw) == size and raw[-1] == 0 and is_text(raw[:-1]) else None
