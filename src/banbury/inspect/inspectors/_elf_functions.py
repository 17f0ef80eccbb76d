"""Where the functions of an ELF file start: by its symbol table, or by its unwind table.

Sources: gABI chapter 4; Linux Standard Base Core, section 10.6.2 (.eh_frame_hdr).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.model.errors import Malformed

Addresses = npt.NDArray[np.int64]
STT_FUNC: Final = 2


def function_starts(elf: ElfFile) -> tuple[Addresses, str]:
    """(start addresses, ascending; ``symbol table`` or ``unwind table``); an empty array and ``""`` where neither is
    there. The unwind table counts a function once for each part that it was split into."""
    mask = ~1 if elf.header.machine == t.EM_ARM else ~0
    starts = {
        s.value & mask for s in elf.symbols if s.info & 15 == STT_FUNC and s.section and s.size and s.value < 1 << 62
    }
    if starts:
        return np.array(sorted(starts), np.int64), "symbol table"
    try:
        table = _unwind_starts(elf)
    except Malformed:
        table = None
    return (table, "unwind table") if table is not None else (np.zeros(0, np.int64), "")


def _unwind_starts(elf: ElfFile) -> Addresses | None:
    """The sorted table of .eh_frame_hdr, in its only common form: version 1, a 32-bit pointer to .eh_frame, a 32-bit
    count, and pairs of 32-bit offsets from the header's own address."""
    segment = elf.segment(t.PT_GNU_EH_FRAME)
    if segment is None:
        return None
    view, at = elf.view, segment.offset
    version, _, count_encoding, table_encoding = view.take(at, 4)
    if version != 1 or count_encoding != 0x03 or table_encoding != 0x3B or segment.vaddr >= 1 << 62:
        return None
    count = view.u32(at + 8, elf.big)
    if 12 + count * 8 > segment.filesz:
        raise Malformed("the unwind table runs out of its segment", offset=at)
    pairs = np.frombuffer(view.mem(at + 12, count * 8), ">i4" if elf.big else "<i4")
    return np.unique(pairs[::2].astype(np.int64) + segment.vaddr)


def functions_holding(starts: Addresses, sites: Addresses) -> int:
    """How many of the functions that begin at ``starts`` hold at least one of ``sites``."""
    index = np.searchsorted(starts, sites, "right") - 1
    return len(np.unique(index[index >= 0]))


def object_share(elf: ElfFile, name: str) -> tuple[int, int]:
    """(functions that refer to ``name``, functions) of a relocatable object, by its relocations. A part that the
    compiler split off (``f.cold``) counts with its function. Raises ``Malformed`` where relocation tables overlap."""
    parts: dict[int, list[tuple[int, int]]] = {}  # by section: (offset, identity)
    homes: dict[str, int] = {}
    functions = [s for s in elf.symbols if s.info & 15 == STT_FUNC and s.section and s.size and s.value < 1 << 62]
    for number, s in enumerate(functions):
        base, split, _ = s.name.partition(".cold")
        if not split:
            homes[base] = number
    for number, s in enumerate(functions):
        base, split, _ = s.name.partition(".cold")
        parts.setdefault(s.section, []).append((s.value, homes.get(base, number) if split else number))
    arrays = {index: np.array(sorted(p), np.int64).T for index, p in parts.items()}
    wanted = [i for i, s in enumerate(elf.symbols) if s.name == name]
    holding: set[int] = set()
    room = len(elf.view)
    for section in elf.sections:
        table = elf.section_relocations(section) if section.info in arrays and wanted else None
        if table is None or not table.count:
            continue
        room -= section.size
        if room < 0:
            raise Malformed("relocation sections overlap", offset=section.offset)
        starts, numbers = arrays[section.info]
        sites = table.offsets[np.isin(table.symbols, wanted)].astype(np.int64)
        index = np.searchsorted(starts, sites, "right") - 1
        holding.update(numbers[index[index >= 0]].tolist())
    distinct = {(s.section, s.value) for s in functions if ".cold" not in s.name}
    return len(holding), len(distinct)
