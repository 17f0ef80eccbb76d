"""Where the code of a linked ELF file calls an imported function, for the machines on which that can be seen
without disassembly: x86-64, AArch64, ARM and MIPS.

A call goes to a stub that jumps through the function's slot in the global offset table (or, on MIPS, loads that slot
relative to gp). Stubs are known by their instructions, slots by the relocations; nothing depends on sections.
Sources: the procedure linkage tables in the x86-64, AArch64, ARM and MIPS ABI supplements; the instruction encodings in
the manufacturers' architecture manuals (named at each function).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.formats import _elf_types as t
from banbury.formats.elf import ElfFile
from banbury.model.errors import Malformed

Addresses = npt.NDArray[np.int64]
_NONE: Final[Addresses] = np.zeros(0, np.int64)
_MOST_CODE = 64 << 20
_MOST_RUNS = 64
_MICRO = 0x06000000  # EF_MIPS_MICROMIPS, EF_MIPS_ARCH_ASE_M16: instructions of 16 bits


def call_sites(elf: ElfFile, name: str) -> Addresses | None:
    """Addresses, ascending, of the instructions that call (or load, on MIPS) the function ``name``, imported or
    defined in this file. ``None`` where this machine's calls cannot be told, or the file is laid out otherwise."""
    find = _FINDERS.get(elf.header.machine)
    if find is None:
        return None
    try:
        return find(elf, name)
    except Malformed:
        return None


def _slots(elf: ElfFile, name: str) -> Addresses:
    """Addresses of the slots that the dynamic linker fills with the address of ``name``."""
    indices = [i for i, s in enumerate(elf.dynamic_symbols) if s.name == name]
    out = [table.offsets[np.isin(table.symbols, indices)] for table in elf.relocations if table.count]
    return np.unique(np.concatenate(out)).astype(np.int64) if out and indices else _NONE


def _bodies(elf: ElfFile, name: str) -> Addresses:
    """Addresses at which the file itself defines the function."""
    found = {s.value for s in (*elf.symbols, *elf.dynamic_symbols) if s.name == name and s.section and s.value}
    return np.array(sorted(v for v in found if v < 1 << 62), np.int64)


def code_runs(elf: ElfFile) -> list[tuple[int, memoryview]]:
    """(address, bytes) of each executable segment. Raises ``Malformed`` where they are cut off, or are more than 64,
    or hold more than 64 MiB, or more than the file: then nothing can be said of all code."""
    segments = [s for s in elf.loads if s.flags & t.PF_X and s.filesz]
    total = sum(s.filesz for s in segments)
    if len(segments) > _MOST_RUNS or total > min(_MOST_CODE, len(elf.view)) or any(s.vaddr >> 62 for s in segments):
        raise Malformed("there is more code than is searched")
    return [(s.vaddr, elf.view.mem(s.offset, s.filesz)) for s in segments]


def _sites(found: list[Addresses]) -> Addresses:
    return np.unique(np.concatenate(found)) if found else _NONE


def _pc_relative(code: npt.NDArray[np.uint8], at: Addresses, base: int) -> Addresses:
    """What the signed 32-bit displacement at ``at`` points to, counted from its end."""
    value = np.zeros(len(at), np.int64)
    for i in range(4):
        value |= code[at + i].astype(np.int64) << (8 * i)
    value -= (value & 0x80000000) << 1
    return value + at + 4 + base


def _x86_64(elf: ElfFile, name: str) -> Addresses:
    """``call rel32`` (E8) to a stub or body, or ``call *slot(%rip)`` (FF 15); a stub is ``jmp *slot(%rip)`` (FF 25)
    with an optional BND prefix (F2) and ENDBR64. Intel SDM, volume 2."""
    runs = [(base, np.frombuffer(raw, np.uint8)) for base, raw in code_runs(elf) if len(raw) > 16]
    slots, targets, found = _slots(elf, name), [_bodies(elf, name)], list[Addresses]()
    for base, code in runs:
        at = np.flatnonzero(code[:-6] == 0xFF).astype(np.int64)
        for second in (0x25, 0x15):
            here = at[code[at + 1] == second]
            here = here[np.isin(_pc_relative(code, here + 2, base), slots)]
            if second == 0x15:
                found.append(here + base)
            else:
                targets += [here + base - back for back in (0, 1, 4, 5)]
    wanted = np.unique(np.concatenate(targets))
    for base, code in runs:
        at = np.flatnonzero(code[:-5] == 0xE8).astype(np.int64)
        found.append(at[np.isin(_pc_relative(code, at + 1, base), wanted)] + base)
    return _sites(found)


def _aarch64(elf: ElfFile, name: str) -> Addresses:
    """``BL`` to a body or to a stub ``ADRP x16; LDR x17, [x16, #n]``, which may start with ``BTI c``. Arm ARM, C6.2."""
    runs = [(base, np.frombuffer(raw[: len(raw) & ~3], "<u4").astype(np.int64)) for base, raw in code_runs(elf)]
    slots, targets, found = _slots(elf, name), [_bodies(elf, name)], list[Addresses]()
    for base, words in runs:
        at = np.flatnonzero((words[:-1] & 0x9F00001F) == 0x90000010)
        at = at[(words[at + 1] & 0xFFC003FF) == 0xF9400211]
        page = (words[at] >> 29 & 3) | (words[at] >> 5 & 0x7FFFF) << 2
        page -= (page & 1 << 20) << 1
        address = (at * 4 + base & ~0xFFF) + (page << 12) + (words[at + 1] >> 10 & 0xFFF) * 8
        stubs = at[np.isin(address, slots)] * 4 + base
        targets += [stubs, stubs - 4]
    wanted = np.unique(np.concatenate(targets))
    for base, words in runs:
        at = np.flatnonzero(words >> 26 == 0x25)
        offset = words[at] & 0x3FFFFFF
        offset -= (offset & 1 << 25) << 1
        found.append(at[np.isin(at * 4 + base + offset * 4, wanted)] * 4 + base)
    return _sites(found)


def _arm(elf: ElfFile, name: str) -> Addresses | None:
    """``BL`` and ``BLX`` in A32 and T32 to a body or to a stub ``ADD ip, pc, #a; ADD ip, ip, #b; LDR pc, [ip, #c]!``,
    which may start with the T32 pair ``BX pc; NOP``. Arm ARM (v7-A), A8.8.25; ELF for the Arm Architecture. Code is
    little-endian except in big-endian files without EF_ARM_BE8."""
    order = ">" if elf.big and not elf.header.flags & 0x00800000 else "<"
    slots, targets, found = _slots(elf, name), [_bodies(elf, name) & ~1], list[Addresses]()
    runs = code_runs(elf)
    if any(base & 3 for base, _ in runs):
        return None
    for base, raw in runs:
        words = np.frombuffer(raw[: len(raw) & ~3], order + "u4").astype(np.int64)
        stubs = _arm_stubs(words, base, slots)
        targets += [stubs, stubs - 4]
    wanted = np.unique(np.concatenate(targets))
    for base, raw in runs:
        words = np.frombuffer(raw[: len(raw) & ~3], order + "u4").astype(np.int64)
        at = np.flatnonzero((words & 0x0F000000) == 0x0B000000)
        offset = words[at] & 0xFFFFFF
        offset -= (offset & 1 << 23) << 1
        found.append(at[np.isin(at * 4 + base + 8 + offset * 4, wanted)] * 4 + base)
        found.append(_thumb_sites(np.frombuffer(raw[: len(raw) & ~1], order + "u2"), base, wanted))
    return _sites(found)


def _arm_stubs(words: Addresses, base: int, slots: Addresses) -> Addresses:
    at = np.flatnonzero((words[:-2] & 0xFFFFF000) == 0xE28FC000)
    at = at[((words[at + 1] & 0xFFFFFF00) == 0xE28CCA00) & ((words[at + 2] & 0xFFFFF000) == 0xE5BCF000)]
    turn = (words[at] >> 8 & 0xF) * 2
    first = words[at] & 0xFF
    high = np.where(turn == 0, first, (first << (32 - turn)) & 0xFFFFFFFF)
    slot = at * 4 + base + 8 + high + ((words[at + 1] & 0xFF) << 12) + (words[at + 2] & 0xFFF)
    stubs: Addresses = at[np.isin(slot & 0xFFFFFFFF, slots)] * 4 + base
    return stubs


def _thumb_sites(halves: npt.NDArray[np.uint16], base: int, wanted: Addresses) -> Addresses:
    at = np.flatnonzero((halves[:-1] & 0xF800) == 0xF000)
    at = at[(halves[at + 1] & 0xC000) == 0xC000].astype(np.int64)
    first, second = halves[at].astype(np.int64), halves[at + 1].astype(np.int64)
    sign = first >> 10 & 1
    i1, i2 = ~((second >> 13 & 1) ^ sign) & 1, ~((second >> 11 & 1) ^ sign) & 1
    offset = sign << 24 | i1 << 23 | i2 << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1
    offset -= (offset & 1 << 24) << 1
    exchange = (second & 0x1000) == 0
    start = at * 2 + base + 4
    target = np.where(exchange, (start & ~3) + (offset & ~3), start + offset)
    sites: Addresses = at[np.isin(target, wanted)] * 2 + base
    return sites


def _mips(elf: ElfFile, name: str) -> Addresses | None:
    """``lw`` (``ld`` in n64) of the function's slot, relative to gp, which is 0x7ff0 past the start of the global
    offset table. MIPS ABI supplement, chapter 5. ``None`` where the table is split, or 16-bit instructions occur."""
    name_indices = [i for i, s in enumerate(elf.dynamic_symbols) if s.name == name]
    tags = [elf.tag(x) for x in (t.DT_PLTGOT, t.DT_MIPS_LOCAL_GOTNO, t.DT_MIPS_GOTSYM)]
    if len(name_indices) != 1 or None in tags or len(_slots(elf, name)) or elf.header.flags & _MICRO:
        return None
    got, local, first = (x or 0 for x in tags)
    index, width = name_indices[0], 8 if elf.is64 else 4
    offset = width * (local + index - first) - 0x7FF0
    if index < first or not -0x8000 <= offset < 0x8000 or got >= 1 << 62:
        return None
    opcode = 0xDF800000 if elf.is64 else 0x8F800000
    order = ">u4" if elf.big else "<u4"
    found = list[Addresses]()
    for base, raw in code_runs(elf):
        words = np.frombuffer(raw[: len(raw) & ~3], order)
        at = np.flatnonzero((words & 0xFFE0FFFF) == (opcode | (offset & 0xFFFF)))
        found.append(at.astype(np.int64) * 4 + base)
    return _sites(found)


_FINDERS: Final[dict[int, Callable[[ElfFile, str], Addresses | None]]] = {
    t.EM_X86_64: _x86_64,
    t.EM_AARCH64: _aarch64,
    t.EM_ARM: _arm,
    t.EM_MIPS: _mips,
}
