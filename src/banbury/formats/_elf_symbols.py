"""Symbols of an ELF file, and how many dynamic ones there are where no section header says so.

Sources: gABI chapter 4 (symbol table) and 5 (hash table); "GNU Hash ELF Sections" (A. Roenigk, 2006);
MIPS ABI supplement, chapter 5 (DT_MIPS_SYMTABNO and the global offset table).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banbury.formats import _elf_types as t
from banbury.formats._elf_types import StringTable, Symbol, SymbolCount
from banbury.model.errors import Malformed

if TYPE_CHECKING:
    from banbury.formats.elf import ElfFile

EMPTY = "DT_GNU_HASH, empty"


def read_symbols(elf: ElfFile, offset: int, count: int, strings: StringTable) -> list[Symbol]:
    """``count`` symbols at ``offset`` of the file; a name outside ``strings`` is ``""``."""
    layout = t.SYM[elf.key]
    raw = elf.view.mem(offset, count * layout.size)
    at = strings.at
    if elf.is64:
        return [Symbol(at(n), v, s, i, o, x) for n, i, o, x, v, s in layout.iter_unpack(raw)]
    return [Symbol(at(n), v, s, i, o, x) for n, v, s, i, o, x in layout.iter_unpack(raw)]


def exported_names(elf: ElfFile, offset: int, count: int, strings: StringTable) -> list[str]:
    """The names of the global and weak symbols among ``count`` at ``offset`` that the file provides, sorted, each once:
    what :func:`read_symbols` would give, without the rest."""
    order = ">" if elf.big else "<"
    wide = [("name", "u4"), ("info", "u1"), ("other", "u1"), ("section", "u2"), ("value", "u8"), ("size", "u8")]
    narrow = [("name", "u4"), ("value", "u4"), ("size", "u4"), ("info", "u1"), ("other", "u1"), ("section", "u2")]
    layout = np.dtype([(name, order + sort) for name, sort in (wide if elf.is64 else narrow)])
    table = np.frombuffer(elf.view.mem(offset, count * layout.itemsize), dtype=layout)
    own = table["name"][(table["section"] != 0) & (table["info"] >> 4 != 0)]
    return sorted(set(_texts(strings, np.sort(own).astype(np.int64))) - {""})


def _texts(strings: StringTable, offsets: NDArray[np.int64]) -> list[str]:
    """What ``strings.at`` gives for each of some rising offsets: at once, where all end in the table and overlap within
    reason."""
    data = strings.data
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 0)
    if len(offsets) and len(ends) and int(offsets[-1]) <= int(ends[-1]):
        stops = ends[np.searchsorted(ends, offsets)]
        lengths = stops - offsets
        if int(lengths.max()) < strings.LONGEST and int(lengths.sum()) <= len(data):
            pairs = zip(offsets.tolist(), stops.tolist(), strict=True)
            return [data[start:stop].decode("utf-8", "backslashreplace") for start, stop in pairs]
    return [strings.at(offset) for offset in offsets.tolist()]


def count_dynamic(elf: ElfFile) -> SymbolCount:
    """How many symbols stand at DT_SYMTAB: by DT_HASH, DT_MIPS_SYMTABNO or DT_GNU_HASH, but never fewer than the
    relocations refer to; else up to the table that follows in memory. Raises ``Malformed`` where DT_SYMTAB is not
    in the file."""
    symtab = elf.tag(t.DT_SYMTAB)
    if symtab is None:
        return SymbolCount(0, True, "none")
    _, room = elf.span_of(symtab)
    size = t.SYM[elf.key].size
    room //= size
    count, source = _hashed(elf)
    complete = count is not None
    try:
        referenced = _referenced(elf)
    except Malformed:
        referenced, complete = 0, False
    if source == EMPTY or count is None:
        # An empty GNU hash table says nothing of undefined symbols; those are reached by relocations alone.
        after = _room_before_next(elf, symtab, size)
        if count is None:
            source = "next table" if after is not None else "relocations"
        if after is not None and after >= max(count or 0, referenced):
            count = after
    wanted = max(count or 0, referenced)
    if wanted > room:
        wanted, complete = room, False
    return SymbolCount(wanted, complete, source)


def _hashed(elf: ElfFile) -> tuple[int | None, str]:
    number = elf.tag(t.DT_MIPS_SYMTABNO) if elf.header.machine == t.EM_MIPS else None
    if number is not None:
        return number, "DT_MIPS_SYMTABNO"
    for tag, read, source in ((t.DT_HASH, _sysv_hash, "DT_HASH"), (t.DT_GNU_HASH, _gnu_hash, "DT_GNU_HASH")):
        address = elf.tag(tag)
        if address is not None:
            try:
                number = read(elf, *elf.span_of(address))
            except Malformed:
                continue
            return (-number, EMPTY) if number < 0 else (number, source)
    return None, ""


def _sysv_hash(elf: ElfFile, offset: int, room: int) -> int:
    """nchain, which equals the number of symbols. Entries are 64 bits wide on Alpha and 64-bit S/390."""
    wide = elf.is64 and elf.header.machine in (t.EM_ALPHA, t.EM_S390)
    width = 8 if wide else 4
    view, big = elf.view, elf.big
    read = view.u64 if wide else view.u32
    buckets, chains = read(offset, big), read(offset + width, big)
    if (2 + buckets + chains) * width > room:
        raise Malformed("a symbol hash table runs out of its segment", offset=offset)
    return chains


def _gnu_hash(elf: ElfFile, offset: int, room: int) -> int:
    """One more than the last hashed symbol; minus the first index to hash where no bucket is in use."""
    view, big = elf.view, elf.big
    buckets, first, bloom = view.u32(offset, big), view.u32(offset + 4, big), view.u32(offset + 8, big)
    start = 16 + bloom * (8 if elf.is64 else 4)
    chain = start + 4 * buckets
    if chain > room:
        raise Malformed("a GNU hash table runs out of its segment", offset=offset)
    word = ">u4" if big else "<u4"
    last = int(np.frombuffer(view.mem(offset + start, 4 * buckets), word).max()) if buckets else 0
    if last == 0:
        return -max(first, 1)
    if last < first:
        raise Malformed("a GNU hash bucket lies before the table's first symbol", offset=offset)
    at = chain + 4 * (last - first)
    step = 256
    while at + 4 <= room:
        ends = np.frombuffer(view.mem(offset + at, min(step, (room - at) // 4) * 4), word) & 1
        stop = int(ends.argmax())
        if ends[stop]:
            return first + (at - chain) // 4 + stop + 1
        at += 4 * len(ends)
        step = 1 << 16
    raise Malformed("a GNU hash chain has no end", offset=offset)


def _referenced(elf: ElfFile) -> int:
    """One more than the highest symbol index that a dynamic relocation names."""
    highest = 0
    for table in elf.relocations:
        if table.count:
            highest = max(highest, int(table.symbols.max()) + 1)
    return highest


def _room_before_next(elf: ElfFile, symtab: int, size: int) -> int | None:
    """How many symbols fit between DT_SYMTAB and the next table that the dynamic section names."""
    later = [value for tag, value in elf.dynamic if tag in t.ADDRESS_TAGS and value > symtab]
    return (min(later) - symtab) // size if later else None
