"""Whether a linked file refers to some of its own bytes, which a rule would let differ: its build-id.

Looked for are relocations and words of data that hold an address there, dynamic symbols, and the forms in which code
makes or reads one. What is found by chance costs a verdict, nothing else. Code that finds the bytes by the program
headers, as the dynamic linker's interface gives them, is not seen: the review of the source says so.

Sources: Intel SDM, volume 2 (ModRM with RIP); Arm ARM DDI 0487, C6, and DDI 0406C; MIPS MD00086; Power ISA 2.07.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence import elf_references_arm as arm
from banbury.compare.equivalence.elf_map import OwnedElf, Part
from banbury.compare.equivalence.elf_symbols import symbols_of
from banbury.formats import _elf_types as t
from banbury.model.errors import Malformed

U8 = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
_GAP: Final = 8  # bytes between two notes, for their alignment
_NOTE: Final = 16  # bytes before what a GNU note describes
_CHUNK: Final = 1 << 18
_BACK: Final = 64  # instructions between the halves of an address
_BEHIND: Final = (0, 1, 2, 4)  # bytes of an immediate behind a distance
#: Of MIPS and PowerPC: the opcode of the upper half, those that add a lower half to a register, where they hold it, and
#: where the upper half's result is.
_HALVES: Final = {
    t.EM_MIPS: (15, (9, 13, *range(32, 39), *range(40, 44), 49, 53, 57, 61), 21, 16),
    t.EM_PPC: (15, (14, 24, *range(32, 56)), 16, 21),
}


def refers(elf: OwnedElf, low: int, high: int) -> bool:
    """Whether data or code of a linked file refer to an address from ``low`` to ``high``. Of code that of x86-64,
    AArch64, 32-bit Arm, MIPS and PowerPC is known; of other machines nothing is said (``False``)."""
    try:
        return _data(elf, low, high) or any(_made(elf, raw, base, low, high) for base, raw in _codes(elf))
    except Malformed:
        return True


def read(elf: OwnedElf, note: Part) -> bool:
    """Whether data or code of a linked file refer to a note, or to one of those that stand before it without a gap:
    what reads notes goes from one to the next by their sizes."""
    first = note.addr
    for part in sorted((p for p in elf.sections if p.loaded and p.type == t.SHT_NOTE), key=lambda p: -p.addr):
        if part.addr < first <= part.addr + part.size + _GAP:
            first = part.addr
    return refers(elf, note.addr, note.addr + note.size) or (first < note.addr and refers(elf, first, note.addr))


def related(elf: OwnedElf, part: Part) -> bool:
    """Whether a relocation of an object file, but of debug data, refers to a section."""
    for table in elf.sections:
        if table.type not in (t.SHT_REL, t.SHT_RELA) or not 0 < table.link < len(elf.sections):
            continue
        if not 0 < table.info < len(elf.sections) or elf.sections[table.info].name.startswith(".debug_"):
            continue
        found = elf.elf.section_relocations(elf.elf.sections[table.index])
        symbols = symbols_of(elf, elf.sections[table.link])
        if found is None or (np.isin(found.symbols, np.flatnonzero(symbols["shndx"] == part.index))).any():
            return True
    return False


def _data(elf: OwnedElf, low: int, high: int) -> bool:
    if any(low <= s.value < high for s in elf.elf.dynamic_symbols if s.section):
        return True
    places = [np.array(elf.elf.relative_addresses, np.int64)]
    for table in elf.elf.relocations:
        if table.rela and _between(table.addends[table.symbols == 0].astype(np.int64), low, high).any():
            return True
        if not table.rela:
            places.append(table.offsets.astype(np.int64))
    width = 8 if elf.elf.is64 else 4
    relocated, fixed, header = np.concatenate(places), elf.header.type == t.ET_EXEC, elf.header
    slots = _slots(elf)
    for load in elf.elf.loads:
        raw = np.frombuffer(elf.data[load.offset : load.offset + load.filesz], np.uint8)
        own = slice(
            max(header.phoff - load.offset, 0), max(header.phoff + header.phnum * header.phentsize - load.offset, 0)
        )
        if fixed and raw[own].size:  # the program headers say where the note is
            raw = raw.copy()
            raw[own] = 0
        at = relocated[(relocated >= load.vaddr) & (relocated <= load.vaddr + load.filesz - width)] - load.vaddr
        if slots[0] < slots[1]:
            at = np.concatenate((at, np.arange(slots[0], slots[1], 4) - load.vaddr))
            at = at[(at >= 0) & (at <= len(raw) - width)]
        value = np.zeros(len(at), np.int64)
        for k in range(width):
            value |= raw[at + k].astype(np.int64) << 8 * (width - 1 - k if elf.elf.big else k)
        skip = -load.vaddr % width
        words = raw[skip : skip + max(len(raw) - skip, 0) // width * width]
        if _between(value, low, high).any():
            return True
        held = words.view(f"{'>' if elf.elf.big else '<'}u{width}")
        if fixed and any(_holds(held[k : k + _CHUNK], low, high) for k in range(0, len(held), _CHUNK)):
            return True
    return False


def _between(values: Ints, low: int, high: int) -> npt.NDArray[np.bool_]:
    out: npt.NDArray[np.bool_] = (values >= low) & (values < high)
    return out


def _holds(words: npt.NDArray[np.unsignedinteger], low: int, high: int) -> bool:
    """Whether words are an address there; of 32 bits, which are often small numbers, that of its beginning or of what a
    note there describes."""
    native = words.astype(words.dtype.newbyteorder("="))
    number = native.dtype.type
    if native.dtype.itemsize == 4:
        return bool(((native == number(low)) | (native == number(low + _NOTE))).any())
    return bool((native - number(low) < number(high - low)).any())


def _slots(elf: OwnedElf) -> tuple[int, int]:
    """MIPS' table of addresses, of which no relocation tells."""
    start = elf.elf.tag(t.DT_PLTGOT)
    if elf.header.machine != t.EM_MIPS or start is None:
        return 0, 0
    return start, start + 4 * min(elf.elf.tag(0x7000000A) or 0, elf.size // 4)


def _codes(elf: OwnedElf) -> list[tuple[int, U8]]:
    """Sections of code or, where there are none, segments; with their addresses."""
    parts = [p for p in elf.sections if p.loaded and p.code and p.end > p.offset]
    if parts:
        return [(p.addr, np.frombuffer(elf.data[p.offset : p.end], np.uint8)) for p in parts]
    return [
        (load.vaddr, np.frombuffer(elf.data[load.offset : load.offset + load.filesz], np.uint8))
        for load in elf.elf.loads
        if load.flags & t.PF_X
    ]


def _made(elf: OwnedElf, raw: U8, base: int, low: int, high: int) -> bool:
    machine, fixed = elf.header.machine, elf.header.type == t.ET_EXEC
    if machine == t.EM_X86_64:
        return _x86(raw, base, low, high, fixed=fixed)
    skip = -base % 4
    if machine == t.EM_ARM:
        where = (low, low + _NOTE)
        return any(arm.made(raw[skip:], base + skip, address, fixed=fixed) is not None for address in where)
    words = raw[skip : skip + max(len(raw) - skip, 0) // 4 * 4].view(">u4" if elf.elf.big else "<u4").astype(np.uint32)
    if machine == t.EM_AARCH64:
        return _a64(words, base + skip, low, high)
    return machine in _HALVES and _halves(machine, words, (low, high), _upper_slots(elf, words), fixed=fixed)


def _x86(raw: U8, base: int, low: int, high: int, *, fixed: bool) -> bool:
    """A distance from the program counter at any byte, behind a ModRM byte that says so; in a program for a fixed
    address also the address itself."""
    span = np.uint32(high - low + max(_BEHIND))
    for turn in range(4):
        words = raw[turn : turn + max(len(raw) - turn, 0) // 4 * 4].view("<u4")
        for start in range(0, len(words), _CHUNK):
            piece = words[start : start + _CHUNK]
            here = (base + turn + 4 * start + 4 + max(_BEHIND) - low) & 0xFFFFFFFF
            counted = np.arange(here, here + 4 * len(piece), 4, dtype=np.uint64).astype(np.uint32)
            counted += piece
            for row in np.flatnonzero(counted < span).tolist():
                at = turn + 4 * (start + row)
                value = int(piece[row]) - (int(piece[row]) >> 31 << 32)
                if at and raw[at - 1] & 0xC7 == 5 and any(low <= base + at + 4 + k + value < high for k in _BEHIND):
                    return True
            held: Ints = np.flatnonzero(fixed & (piece - np.uint32(low & 0xFFFFFFFF) < np.uint32(high - low)))
            if any(_may_hold(raw, turn + 4 * (start + row)) for row in held.tolist()):
                return True
    return False


def _may_hold(raw: U8, at: int) -> bool:
    """Whether the byte before a number of 32 bits may be that of an instruction that holds one."""
    before, one, two = (int(raw[at - k]) if at >= k else 0 for k in (1, 2, 3))
    immediate = 0xB8 <= before <= 0xBF or before in (0x68, 0x3D, 0x05, 0x2D, 0x25)  # or SIB without a base
    return immediate or (before >> 6 == 2 and before & 7 != 4) or one in (0xC7, 0x81) or two == 0xC7


def _a64(words: npt.NDArray[np.uint32], base: int, low: int, high: int) -> bool:
    """``adr``, and ``adrp`` with what is added to it or loaded by it."""
    rows = np.flatnonzero(words & np.uint32(0x1F000000) == 0x10000000)
    word = words[rows].astype(np.int64)
    distance = (word >> 3 & 0x1FFFFC | word >> 29 & 3) << 43 >> 43
    pages = word >> 31 == 1
    here = base + 4 * rows
    if _between((here + distance)[~pages], low, high).any():
        return True
    page = (here & ~0xFFF) + (distance << 12)
    for row in rows[pages & (page >= low & ~0xFFF) & (page < high)].tolist():
        register = int(words[row]) & 31
        own = (base + 4 * row & ~0xFFF) + (int(distance[np.searchsorted(rows, row)]) << 12)
        ahead = words[row + 1 : row + 1 + _BACK].astype(np.int64)
        ahead = ahead[ahead >> 5 & 31 == register]
        added = ahead[ahead & 0x7F800000 == 0x11000000]
        loads = ahead[ahead & 0x3B000000 == 0x39000000]
        size = np.where(loads & 0x04800000 == 0x04800000, 4, loads >> 30)
        made = np.concatenate((own + (added >> 10 & 0xFFF), own + ((loads >> 10 & 0xFFF) << size)))
        if _between(made, low, high).any():
            return True
    return False


def _upper_slots(elf: OwnedElf, words: npt.NDArray[np.uint32]) -> Ints:
    """What MIPS code loads from its table of addresses; -1: nothing."""
    out = np.full(len(words), -1, np.int64)
    start, end = _slots(elf)
    load = next((x for x in elf.elf.loads if x.vaddr <= start < end <= x.vaddr + x.filesz), None)
    if load is None:
        return out
    at = start - load.vaddr + load.offset
    order = ">u4" if elf.elf.big else "<u4"
    slots = np.frombuffer(elf.data[at : at + end - start], order).astype(np.int64)
    word = words.astype(np.int64)
    slot = (((word & 0xFFFF) ^ 0x8000) - 0x8000 + 0x7FF0) // 4
    read = (word >> 26 == 35) & (word >> 21 & 31 == 28) & (slot > 1) & (slot < len(slots))  # two are the linker's
    out[read] = slots[slot[read]]
    return out


def _halves(machine: int, words: npt.NDArray[np.uint32], where: tuple[int, int], upper: Ints, *, fixed: bool) -> bool:
    """An upper half (only in a program for a ``fixed`` address one of an address), and what adds a lower one to it."""
    lead, adds, base, result = _HALVES[machine]
    (low, high), word = where, words.astype(np.int64)
    half = fixed & (word >> 26 == lead) & ((word >> 21 & 31 == 0) if machine == t.EM_MIPS else (word >> 16 & 31 == 0))
    upper = np.where(half, (word & 0xFFFF) << 16, upper)
    near = (upper >= max(low - 0x10000, 0)) & (upper < high + 0x10000)
    register = word >> result & 31
    for row in np.flatnonzero(near).tolist():
        ahead = word[row + 1 : row + 1 + _BACK]
        lost = np.flatnonzero(_written(machine, ahead) == register[row])
        ahead = ahead[: lost[0] + 1 if len(lost) else None]
        ahead = ahead[np.isin(ahead >> 26, adds) & (ahead >> base & 31 == register[row])]
        number = ((ahead & 0xFFFF) ^ 0x8000) - 0x8000
        ors = ahead >> 26 == (13 if machine == t.EM_MIPS else 24)
        made = (int(upper[row]) + np.where(ors, ahead & 0xFFFF, number)) & 0xFFFFFFFF
        if _between(made, low, high).any():
            return True
    return False


def _written(machine: int, words: Ints) -> Ints:
    """The register that an instruction may write; -1: none."""
    top = words >> 26
    if machine == t.EM_MIPS:
        plain = (top == 0) | (top == 28)
        some = (top >= 8) & (top < 39) | plain
        return np.where(some, words >> np.where(plain, 11, 16) & 31, -1)
    some = (
        ((top >= 7) & (top < 16)) | ((top >= 32) & (top < 36)) | (top == 40) | (top == 41) | (top == 42) | (top == 43)
    )
    return np.where(some, words >> 21 & 31, -1)
