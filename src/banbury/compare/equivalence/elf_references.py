"""Where code makes the address of a text, in a file without sections: for the proof that the text is one.

What is searched for are the forms in which compilers make an address. One that is missed makes a text be refused; one
that is found by chance is found in the rebuilt file's own bytes, which nobody but its compiler chose.

Sources: Intel SDM, volume 2; Arm ARM DDI 0487, C6; MIPS MD00086 and MD00076 (MIPS16e); System V ABI, MIPS supplement;
Power ISA 2.07, book I.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence import elf_references_arm as arm
from banbury.compare.equivalence.elf_map import OwnedElf
from banbury.compare.equivalence.machines.displaced import a64
from banbury.formats import _elf_types as t

Ints = npt.NDArray[np.int64]
_AHEAD: Final = 24  # bytes behind an instruction that makes an address, in which nothing calls it
_BACK: Final = 64  # instructions between the halves of an address
_MIPS16: Final = 0x04000000  # EF_MIPS_ARCH_ASE_M16
_MICROMIPS: Final = 0x02000000  # EF_MIPS_MICROMIPS
_T9: Final = 25


def known_machine(elf: OwnedElf) -> bool:
    """Whether the forms of the machine's code are known here: x86-64, AArch64, 32-bit Arm and PowerPC, and MIPS (O32)
    without microMIPS."""
    header = elf.header
    if header.machine in (t.EM_ARM, t.EM_PPC):
        return header.bits == 32 and header.big == (header.machine == t.EM_PPC)
    if header.machine == t.EM_MIPS:
        return header.bits == 32 and header.flags & 0xF000 == 0x1000 and not header.flags & _MICROMIPS
    return header.machine in (t.EM_X86_64, t.EM_AARCH64) and header.bits == 64 and not header.big


def taken(elf: OwnedElf, code: tuple[int, int], address: int) -> str:
    """Why it is not shown that the code between the addresses ``code`` makes ``address`` as that of data; ``""``: it
    is."""
    machine = elf.header.machine
    why = "no code is known that refers to its first byte"
    find = {t.EM_X86_64: _x86, t.EM_MIPS: _mips, t.EM_AARCH64: _a64, t.EM_ARM: _arm, t.EM_PPC: _powerpc}[machine]
    for low, raw in _stretches(elf, code):
        found = find(elf, raw, low, address)
        if found == "":
            why = ""
        elif found:
            return found
    return why


def pointed(elf: OwnedElf, code: tuple[int, int], address: int) -> bool:
    """Whether data hold ``address`` (or, as a function's of compressed code, one more), or a relocation makes it. Of
    all aligned words, those of the code between the addresses ``code`` and of its table of addresses are no data."""
    width = 8 if elf.elf.is64 else 4
    wanted = [address, address + 1]
    for table in elf.elf.relocations:
        if table.rela and np.isin(table.addends, wanted).any():
            return True
    apart = [_slots(elf), code]
    for load in elf.elf.loads:
        start = -(-load.vaddr // width) * width
        at = start - load.vaddr + load.offset
        raw = elf.data[at : at + max(load.vaddr + load.filesz - start, 0) // width * width]
        words = np.frombuffer(raw, f"{'>' if elf.elf.big else '<'}u{width}").astype(np.int64)
        places = np.flatnonzero(np.isin(words, wanted)) * width + start
        for low, high in apart:
            places = places[(places < low) | (places >= high)]
        if len(places):
            return True
    return False


def calls_into(elf: OwnedElf, low: int, high: int, start: int, stop: int) -> bool:
    """Whether a direct jump or call of the code between two addresses may lead to ``start`` to ``stop``. (On MIPS with
    compressed code and on Arm, branches of limited range are not told from its words.)"""
    for base, raw in _stretches(elf, (low, high)):
        targets = _targets(elf, raw, base)
        if ((targets >= start) & (targets < stop)).any():
            return True
    return False


def _stretches(elf: OwnedElf, code: tuple[int, int]) -> list[tuple[int, npt.NDArray[np.uint8]]]:
    """The code between two addresses in each segment that maps code."""
    out = []
    for load in elf.elf.loads:
        low, high = (
            max(code[0], load.vaddr),
            min(code[1], load.vaddr + load.filesz),
        )
        if load.flags & t.PF_X and low < high:
            low = -(-low // 4) * 4
            at = low - load.vaddr + load.offset
            out.append((low, np.frombuffer(elf.data[at : at + high - low], np.uint8)))
    return out


def _words(elf: OwnedElf, raw: npt.NDArray[np.uint8]) -> Ints:
    return raw[: len(raw) // 4 * 4].view(">u4" if elf.elf.big else "<u4").astype(np.int64)


def _signed(value: Ints, bits: int) -> Ints:
    return (value & (1 << bits) - 1) << 64 - bits >> 64 - bits


def _targets(elf: OwnedElf, raw: npt.NDArray[np.uint8], base: int) -> Ints:
    machine = elf.header.machine
    if machine == t.EM_X86_64:
        return _x86_targets(raw, base)
    if machine == t.EM_ARM:
        return arm.targets(raw, base)
    words = _words(elf, raw)
    at = base + 4 * np.arange(len(words))
    top = words >> 26
    if machine == t.EM_MIPS:
        jumps = (top == 2) | (top == 3) | (top == 29)
        out = [(at[jumps] + 4 & ~0xFFFFFFF) | (words[jumps] & 0x3FFFFFF) << 2]
        if not elf.header.flags & _MIPS16:
            near = np.isin(top, [1, 4, 5, 6, 7, 20, 21, 22, 23])
            out.append(at[near] + 4 + (_signed(words[near], 16) << 2))
        else:
            out.append(_compressed(elf, raw, base))
        return np.concatenate(out)
    if machine == t.EM_PPC:
        far, near = top == 18, top == 16
        out = [((words[far] & 0x3FFFFFC) ^ 0x2000000) - 0x2000000, _signed(words[near] & 0xFFFC, 16)]
        place = np.concatenate((at[far], at[near])) * (np.concatenate((words[far], words[near])) & 2 == 0)
        led: Ints = place + np.concatenate(out)
        return led
    far = words & 0x7C000000 == 0x14000000
    near = (words & 0xFF000000 == 0x54000000) | (words & 0x7E000000 == 0x34000000)
    return np.concatenate((at[far] + (_signed(words[far], 26) << 2), at[near] + (_signed(words[near] >> 5, 19) << 2)))


def _compressed(elf: OwnedElf, raw: npt.NDArray[np.uint8], base: int) -> Ints:
    """Calls of MIPS16 code (JAL and JALX), at each half of a word."""
    halves = raw[: len(raw) // 2 * 2].view(">u2" if elf.elf.big else "<u2").astype(np.int64)
    call = np.flatnonzero(halves[:-1] >> 11 == 3)
    first, second = halves[call], halves[call + 1]
    target = ((first & 31) << 21 | (first >> 5 & 31) << 16 | second) << 2
    return (base + 2 * call & ~0xFFFFFFF) | target


def _x86_targets(raw: npt.NDArray[np.uint8], base: int) -> Ints:
    """Relative jumps and calls, at each byte."""
    size = max(len(raw) - 6, 0)
    first, second = raw[:size], raw[1 : size + 1]
    near = np.flatnonzero((first == 0xE8) | (first == 0xE9))
    far = np.flatnonzero((first == 0x0F) & (second & 0xF0 == 0x80))
    short = np.flatnonzero((first == 0xEB) | (first & 0xF0 == 0x70))
    out = [base + x + n + 4 + _number(raw, x + n) for x, n in ((near, 1), (far, 2))]
    out.append(base + short + 2 + raw[short + 1].astype(np.int8).astype(np.int64))
    return np.concatenate(out)


def _number(raw: npt.NDArray[np.uint8], at: Ints) -> Ints:
    value = np.zeros(len(at), np.int64)
    for k in range(4):
        value |= raw[at + k].astype(np.int64) << (8 * k)
    return _signed(value, 32)


def _x86(elf: OwnedElf, raw: npt.NDArray[np.uint8], base: int, address: int) -> str | None:
    """``lea`` from the program counter and, in a program for a fixed address, ``mov`` of the address."""
    size = max(len(raw) - 7, 0)
    one, two, three = raw[:size], raw[1 : size + 1], raw[2 : size + 2]
    at = np.flatnonzero((one & 0xFB == 0x48) & (two == 0x8D) & (three & 0xC7 == 5))
    at = at[base + at + 7 + _number(raw, at + 3) == address]
    found = [(x + 7, (int(raw[x + 2]) >> 3 & 7) + (8 if raw[x] & 4 else 0)) for x in at.tolist()]
    if elf.header.type == t.ET_EXEC:
        at = np.flatnonzero(one & 0xF8 == 0xB8)
        at = at[_number(raw, at + 1) == address]
        found += [(x + 5, int(raw[x]) & 7) for x in at.tolist()]
    for behind, register in found:
        ahead = raw[behind : behind + _AHEAD].tobytes()
        if any(bytes((0xFF, form + (register & 7))) in ahead for form in (0xD0, 0xE0)):
            return "code may call it"
    return "" if found else None


def _a64(elf: OwnedElf, raw: npt.NDArray[np.uint8], base: int, address: int) -> str | None:
    """``adrp`` and ``add``."""
    words = _words(elf, raw)
    added = np.flatnonzero(words & 0xFFC00000 == 0x91000000)
    added = added[words[added] >> 10 & 0xFFF == address & 0xFFF]
    found = None
    for row in added.tolist():
        register, made = words[row] >> 5 & 31, int(words[row]) & 31
        near = np.arange(max(row - _BACK, 0), row)
        pages = near[(words[near] & 0x9F000000 == 0x90000000) & (words[near] & 31 == register)]
        if not len(pages):
            continue
        page = int(pages[-1])
        distance = int(_signed(np.array([words[page] >> 3 & 0x1FFFFC | words[page] >> 29 & 3]), 21)[0]) << 12
        if (base + 4 * page & ~0xFFF) + distance != address & ~0xFFF:
            continue
        ahead = words[row + 1 : row + 1 + _AHEAD // 4]
        copied = ahead[ahead & 0xFFFFFFE0 == 0xAA0003E0 | made << 16] & 31
        if ((ahead & 0xFFDFFC1F == 0xD61F0000) & np.isin(ahead >> 5 & 31, [made, *copied])).any():
            return "code may call it"
        ends = (ahead & 0x7C000000 == 0x14000000) | (ahead & 0xFE000000 == 0xD6000000)  # BL, B; BR, BLR, RET
        ends |= ahead & 0x9F00001F == 0x90000000 | made  # ADRP
        further = a64(ahead.astype(np.uint32))
        if ((further.base == made) & (further.distance != 0) & ~np.logical_or.accumulate(ends)).any():
            return "code finds other data from its address"
        found = ""
    return found


def _pool(elf: OwnedElf, raw: npt.NDArray[np.uint8], base: int, address: int) -> str | None:
    """A word among the code of a program for a fixed address."""
    if elf.header.type != t.ET_EXEC:
        return None
    words = _words(elf, raw)
    return "" if (words == address).any() else None


def _arm(elf: OwnedElf, raw: npt.NDArray[np.uint8], base: int, address: int) -> str | None:
    return arm.made(raw, base, address, fixed=elf.header.type == t.ET_EXEC)


def _powerpc(elf: OwnedElf, raw: npt.NDArray[np.uint8], base: int, address: int) -> str | None:
    """``lis`` and ``addi``, in a program for a fixed address."""
    if elf.header.type != t.ET_EXEC:
        return None
    words = _words(elf, raw)
    rd, ra, low = words >> 21 & 31, words >> 16 & 31, words & 0xFFFF
    upper = (words >> 26 == 15) & (ra == 0)
    found = None
    for row in np.flatnonzero((words >> 26 == 14) & (ra != 0) & (low == address & 0xFFFF)).tolist():
        near = np.arange(max(row - _BACK, 0), row)
        near = near[upper[near] & (rd[near] == ra[row])]
        if not len(near) or (low[near[-1]] << 16) + _signed(low[row : row + 1], 16)[0] != address:
            continue
        if (words[row + 1 : row + 1 + _AHEAD // 4] == 0x7C0903A6 | rd[row] << 21).any():  # mtctr
            return "code may call it"
        found = ""
    return found


def _slots(elf: OwnedElf) -> tuple[int, int]:
    """Where the words of the table of addresses stand that MIPS code reads (0 to 0: there is none)."""
    start = elf.elf.tag(t.DT_PLTGOT)
    if elf.header.machine != t.EM_MIPS or start is None:
        return 0, 0
    count = elf.elf.tag(0x7000000A) or 0
    return start, start + 4 * min(count, elf.size)


def _mips(elf: OwnedElf, raw: npt.NDArray[np.uint8], base: int, address: int) -> str | None:
    """``lui`` and ``addiu``; a word of the table of addresses, and ``addiu``; a word among MIPS16 code."""
    words = _words(elf, raw)
    found = _pool(elf, raw, base, address) if elf.header.flags & _MIPS16 else None
    start, end = _slots(elf)
    load = next((x for x in elf.elf.loads if x.vaddr <= start < end <= x.vaddr + x.filesz), None)
    slots = np.zeros(0, np.int64)
    if load is not None:
        at = start - load.vaddr + load.offset
        slots = _words(elf, np.frombuffer(elf.data[at : at + end - start], np.uint8))
    top, rs, rt, low = words >> 26, words >> 21 & 31, words >> 16 & 31, words & 0xFFFF
    slot = (_signed(low, 16) + 0x7FF0) // 4
    read = (top == 35) & (rs == 28) & (slot >= 0) & (slot < len(slots))
    upper = np.full(len(words), -1)
    upper[read] = slots[slot[read]]
    for row in np.flatnonzero(upper == address).tolist():
        if rt[row] == _T9:
            return "code may call it"
        found = ""
    half = top == 15
    upper[half] = low[half] << 16
    for row in np.flatnonzero((top == 9) & (low == address & 0xFFFF)).tolist():
        first = max(row - _BACK, 0)
        made = np.flatnonzero((upper[first:row] >= 0) & (rt[first:row] == rs[row])) + first
        if not len(made) or (int(upper[made[-1]]) + int(_signed(low[row : row + 1], 16)[0])) & 0xFFFFFFFF != address:
            continue
        ahead = words[row + 1 : row + 1 + _AHEAD // 4]
        if rt[row] == _T9 or ((ahead & 0xFC00003E == 0x8) & (ahead >> 21 & 31 == rt[row])).any():
            return "code may call it"
        found = ""
    return found
