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
_NONE: Final[Addresses] = np.zeros(0, np.int64)


def function_starts(elf: ElfFile, sites: Addresses | None = None) -> tuple[Addresses, str]:
    """(start addresses, ascending; ``symbol table`` or ``unwind table``); an empty array and ``""`` where neither is
    there, or the unwind table leaves out code: then ``sites`` or an exported function lie outside it. The unwind table
    counts a function once for each part that it was split into."""
    mask = ~1 if elf.header.machine == t.EM_ARM else ~0
    symbols = (s for s in elf.symbols if s.info & 15 == STT_FUNC and s.section and s.size and s.value < 1 << 62)
    starts = {s.value & mask for s in symbols}
    if starts:
        return np.array(sorted(starts), np.int64), "symbol table"
    if elf.header.machine in _UNWOUND:
        try:
            found = _unwind_ranges(elf)
        except Malformed:
            found = None
        if found and _covers(elf, *found, sites):
            return found[0], "unwind table"
    return _NONE, ""


#: Machines for which compilers write an unwind entry for every function unless told not to.
_UNWOUND: Final = (t.EM_X86_64, t.EM_AARCH64)
#: Bytes that start-up code without entries may take.
_START_UP: Final = 1024


def _covers(elf: ElfFile, starts: Addresses, sizes: Addresses, sites: Addresses | None) -> bool:
    """Whether the table leaves few gaps, holds every one of ``sites``, and nearly every function that is exported."""
    if not len(starts):
        return False
    span = int(starts[-1] + sizes[-1] - starts[0])
    if span - int(sizes.sum()) > max(span // 5, _START_UP):
        return False
    functions = [s.value for s in elf.dynamic_symbols if s.info & 15 == STT_FUNC and s.section and s.value < 1 << 62]
    for addresses, share in ((np.array(functions, np.int64), 0.95), (_NONE if sites is None else sites, 1.0)):
        if len(addresses):
            index = np.searchsorted(starts, addresses, "right") - 1
            inside = (index >= 0) & (addresses < starts[index] + sizes[index])
            if inside.mean() < share:
                return False
    return True


def _unwind_ranges(elf: ElfFile) -> tuple[Addresses, Addresses] | None:
    """(start, size) of each entry of .eh_frame, by the sorted table of .eh_frame_hdr, both in their only common form:
    32-bit pairs relative to the table's own address, and 32-bit starts relative to themselves."""
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
    pairs = np.frombuffer(view.mem(at + 12, count * 8), ">i4" if elf.big else "<i4").astype(np.int64)
    starts, entries = pairs[::2], pairs[1::2] + at
    if not count or entries.min() < 0 or entries.max() + 16 > len(view):
        return None
    fields = _words(
        view.mem(int(entries.min()), int(entries.max() - entries.min()) + 16), entries - entries.min() + 8, elf
    )
    if (fields[:, 0] + entries + 8 - at != starts).any():
        return None
    return starts + segment.vaddr, fields[:, 1] & 0xFFFFFFFF


def _words(raw: memoryview, at: Addresses, elf: ElfFile) -> Addresses:
    """The two signed 32-bit words at each of ``at``."""
    piece = np.frombuffer(raw, np.uint8)[at[:, None] + np.arange(8)]
    return np.ascontiguousarray(piece).view(">i4" if elf.big else "<i4").astype(np.int64)


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
