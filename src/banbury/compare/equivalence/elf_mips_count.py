"""The number of sections that MIPS linkers note down in the dynamic table, which no dynamic linker of Linux reads.

GNU ld writes one more than the output sections that it had when it laid them out, so that debug information changes the
number; stripping does not. The dynamic linkers of glibc (``l_info``), musl (``decode_vec``, ``search_vec``) and uClibc
(``ARCH_DYNAMIC_INFO``) use DT_MIPS_LOCAL_GOTNO, SYMTABNO, GOTSYM, PLTGOT and RLD_MAP alone: the tag occurs in their
sources as a name in ``elf.h`` and nowhere else.

Sources: GNU bfd ``elfxx-mips.c``, DT_MIPS_UNREFEXTNO; glibc 2.42, musl 1.2.5, uClibc 0.9.33 and uClibc-ng.
"""

from __future__ import annotations

from typing import Final

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.elf_noted import refers
from banbury.compare.equivalence.elf_pair import Pair
from banbury.compare.equivalence.model import Range
from banbury.formats import _elf_types as t

TAG: Final = 0x70000012
_MOST: Final = 255  # sections that a linker makes of a program


def explain_count(pair: Pair, start: int, end: int, references: Ints | None = None) -> Range | None:
    """Enter the number where it differs and stands between two offsets of the first file; returns where, or ``None``
    where it is not there, may not differ or does not. ``references``: addresses of the first file that it is known to
    refer to, besides those that are looked for."""
    places = places_of(pair)
    if places is None or not start <= places[0][0].start < end:
        return None
    (here, address), (there, _) = places
    if pair.a.data[here.start : here.end] == pair.b.data[there.start : there.end]:
        return None
    behind = address + here.end - here.start
    known = references is not None and ((references >= address) & (references < behind)).any()
    if known or refers(pair.a, address, behind):
        pair.account.refuse("elf.mips-section-count", "the program refers to the number: withdrawn", [here], [there])
    else:
        pair.account.explain("elf.mips-section-count", [here], [there])
    return here


def places_of(pair: Pair) -> tuple[tuple[Range, int], tuple[Range, int]] | None:
    """Where the number stands in each file and in its memory, if both have it and it may be one of sections."""
    one, other = _place(pair.a), _place(pair.b)
    return (one, other) if one and other else None


def _place(elf: OwnedElf) -> tuple[Range, int] | None:
    segment = elf.elf.segment(t.PT_DYNAMIC)
    if elf.header.machine != t.EM_MIPS or segment is None:
        return None
    layout = t.DYN[elf.elf.key]
    raw = bytes(elf.data[segment.offset : segment.offset + segment.filesz])
    rows = list(layout.iter_unpack(raw[: len(raw) // layout.size * layout.size]))
    tags = [tag for tag, _ in rows]
    tags = tags[: tags.index(0)] if 0 in tags else tags
    if tags.count(TAG) != 1 or not 0 < rows[tags.index(TAG)][1] <= _MOST:
        return None
    at = layout.size * tags.index(TAG) + layout.size // 2
    return Range(segment.offset + at, segment.offset + at + layout.size // 2), segment.vaddr + at
