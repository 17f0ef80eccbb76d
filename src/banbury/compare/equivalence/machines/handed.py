"""Texts that code hands at once to the C library's function for an assertion that failed, as the name of a file.

``assert`` gives that function the name of the source's file (``__FILE__``), up to its NUL; it writes a line and ends
the program. From the instruction that makes the address to the call all instructions are in a row, and none but the
call reads the register that it is in, which is that of the second argument. What cannot be read so is no such call.

Sources: ISO C11, 7.2.1.1; LSB Core 5.0, 13.5 (__assert_fail); System V ABI, AMD64 supplement, 3.2.3; AAPCS64, 6.4;
AAPCS32, 6.1.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.machines import a64
from banbury.compare.equivalence.machines.a32 import Decoded, decode_a32
from banbury.compare.equivalence.machines.a64_linkage import stubs
from banbury.compare.equivalence.machines.calls import never_symbols
from banbury.compare.equivalence.machines.contract import LINKAGE, U8, Mask, Sides
from banbury.compare.equivalence.machines.t32 import decode_t32, under_condition
from banbury.compare.equivalence.machines.word_loads import loaded
from banbury.compare.equivalence.machines.x86_64_carried import taken
from banbury.formats import _elf_types as t

FAILS: Final = frozenset({"__assert_fail", "__assert"})
_ROW: Final = 24  # instructions up to the call
_BEFORE: Final = 12  # those before that may make other arguments
#: x86-64: jumps, calls and returns.
_BRANCH: Final = re.compile(
    rb"[\x66\x67\xf2\xf3\x2e\x36\x3e\x40-\x4f]*(?:[\x70-\x7f\xe0-\xe3\xe8-\xeb\xc2\xc3]|\x0f[\x80-\x8f]|\xff[\x10-\x2f\x50-\x6f\x90-\xaf\xd0-\xef])"
)
#: The register of the second argument.
_FILE: Final = {t.EM_X86_64: 6, t.EM_AARCH64: 1, t.EM_ARM: 1}
_PLAIN: Final = (0x31, 0x33, 0x89, 0x8B, 0x8D, 0x63, 0xC7)  # XOR, MOV, LEA, MOVSXD, MOV of a number
_WIDENED: Final = (0xB6, 0xB7, 0xBE, 0xBF)  # behind 0F
#: Stubs of x86-64: JMP through the slot; behind ENDBR64, and with BND.
_STUBS: Final = (b"\xff\x25", b"\xf3\x0f\x1e\xfa\xff\x25", b"\xf3\x0f\x1e\xfa\xf2\xff")


class Failures:
    """Of one proof."""

    def __init__(self, sides: Sides) -> None:
        self.sides, self.machine = sides, sides.a.header.machine
        elf = sides.a.elf
        self.symbols = never_symbols(elf, FAILS)
        self.slots = set[int]()
        for table in elf.sections:
            rows = elf.section_relocations(table)
            if rows is not None:
                some = np.isin(rows.symbols.astype(np.int64), list(self.symbols))
                self.slots |= set(rows.offsets[some].tolist())
        self.stubs: set[int] | None = None

    def call(self, raw: U8, base: int, at: int, *, loads: bool, thumb: bool | None, code: Code | None) -> int | None:
        """Where the call ends (an offset in the section ``raw``, which is at the address ``base``) to which the address
        that the instruction at the offset ``at`` makes (or ``loads``) is handed; ``None``: it may be used otherwise.
        ``thumb``: of 32-bit Arm; ``code``: of x86-64."""
        if not self.symbols or self.machine not in _FILE:
            return None
        if self.machine == t.EM_X86_64:
            return None if code is None else self._x86(raw, base, at, code, loads=loads)
        if self.machine == t.EM_ARM:
            return None if loads or thumb is None else self._arm(raw, base, at, thumb=thumb)
        return self._a64(raw, base, at, loads=loads)

    def before(self, raw: U8, at: int, low: int, code: Code | None, *, thumb: bool | None) -> int:
        """From where on what stands before the offset ``at`` may make the arguments of the same call: behind the last
        branch or call, not before ``low`` and no more than some instructions. ``code``: of x86-64; ``thumb``: of 32-bit
        Arm."""
        if self.machine == t.EM_X86_64 and code is not None:
            row = bisect_right(code.starts.data, at) - 1
            first = max(bisect_left(code.starts.data, low), row - _BEFORE)
            while row > first and not _BRANCH.match(raw[code.starts[row - 1] : code.starts[row]].tobytes()):
                row -= 1
            return int(code.starts[row])
        place = at // 4 * 4
        first = max(low, place - 4 * _BEFORE)
        while self.machine == t.EM_AARCH64 and place > first and raw[place - 1] >> 1 & 14 != 10:
            place -= 4
        return place if self.machine == t.EM_AARCH64 else self._arm_before(raw, at, first) if thumb else first

    @staticmethod
    def _arm_before(raw: U8, at: int, low: int) -> int:
        """The same of T32 code, whose instructions begin at ``low`` or two bytes further on."""
        units = raw[low : at + 4]
        found = decode_t32(units[: len(units) // 2 * 2].view("<u2").astype(np.uint32))
        out = at
        for start in (0, 1):
            row, last = start, start
            while low + 2 * row < at:
                goes = found.calls[row] or found.target[row] != -1 or not found.falls[row]
                row += int(found.sizes[row]) // 2
                last = row if goes else last
            if low + 2 * row == at:
                out = min(out, low + 2 * last)
        return out if out < at else low

    def _fails(self, address: int) -> bool:
        """Whether a stub of a linkage table is of that function."""
        if self.stubs is None:
            self.stubs = set()
            for part, _, _ in self.sides.code:
                if part.name in LINKAGE:
                    self.stubs |= self._linkage(self.sides.raw[part.index][0], part.addr)
        return address in self.stubs

    def _linkage(self, raw: U8, base: int) -> set[int]:
        if self.machine == t.EM_AARCH64:
            return stubs(raw[: len(raw) // 4 * 4].view("<u4").astype(np.uint32), base, self.slots)
        if self.machine == t.EM_ARM:
            words = raw[: len(raw) // 4 * 4].view("<u4").astype(np.int64)
            found = (words[:-2] & 0xFFFFFF00 == 0xE28FC600) & (words[1:-1] & 0xFFFFFF00 == 0xE28CCA00)
            at = np.flatnonzero(found & (words[2:] & 0xFFFFF000 == 0xE5BCF000))
            to = 4 * at + 8 + base + ((words[at] & 255) << 20) + ((words[at + 1] & 255) << 12) + (words[at + 2] & 4095)
            begin = 4 * at[np.isin(to, list(self.slots))] + base
            return {*begin.tolist(), *(begin - 4).tolist()}
        whole = raw.tobytes()
        out, here = set[int](), whole.find(b"\xff\x25")
        while here >= 0 and here + 6 <= len(whole):
            slot = int.from_bytes(whole[here + 2 : here + 6], "little", signed=True) + base + here + 6
            if slot in self.slots:
                out |= {base + here, base + here - 4, base + here - 5}  # behind ENDBR64 and BND, where these are
            here = whole.find(b"\xff\x25", here + 1)
        return {x for x in out if self._begins(whole, x - base)}

    @staticmethod
    def _begins(raw: bytes, at: int) -> bool:
        """Whether a stub of x86-64 begins at an offset of its table."""
        return at >= 0 and raw[at : at + 6].startswith(_STUBS)

    def _x86(self, raw: U8, base: int, at: int, code: Code, *, loads: bool) -> int | None:
        row = bisect_right(code.starts.data, at) - 1
        places: list[int] = np.append(code.starts[row : row + _ROW + 1], len(raw)).tolist()
        first = raw[places[0] : places[0] + 15].tobytes()
        register = loaded(self.machine, False, first) if loads else taken(first)
        if register != _FILE[self.machine]:
            return None
        for start, end in pairwise(places[1:]):
            one = raw[start:end].tobytes()
            if one[0] == 0xE8 and len(one) == 5:
                return end if self._fails(base + end + int.from_bytes(one[1:], "little", signed=True)) else None
            if one[:2] == b"\xff\x15" and len(one) == 6:
                slot = base + end + int.from_bytes(one[2:6], "little", signed=True)
                return end if slot in self.slots else None
            if not _leaves(one, register):
                return None
        return None

    def _a64(self, raw: U8, base: int, at: int, *, loads: bool) -> int | None:
        words = raw[at // 4 * 4 : at // 4 * 4 + 4 * _ROW].view("<u4").astype(np.uint32)
        if len(words) < 2 or (loads and int(words[0]) & 0xFFC00000 != 0xF9400000):
            return None
        found = a64.decode(words)
        return self._followed(
            int(words[0]) & 31, found.reads, found.writes, lambda row: int(words[row]) >> 26 == 0x25,
            found.branches | found.indirect | found.calls | ~found.falls,
            lambda row: base + at // 4 * 4 + 4 * row + int(a64.displacement(words[row : row + 1])[0]),
            at // 4 * 4, 4 * np.arange(len(words)) + 4,
        )  # fmt: skip

    def _arm(self, raw: U8, base: int, at: int, *, thumb: bool) -> int | None:
        size, low = 2 if thumb else 4, at // 4 * 4
        some = raw[low : low + 4 * _ROW]
        units = some[: len(some) // 4 * 4].view("<u2" if thumb else "<u4").astype(np.uint32)
        found: Decoded = decode_t32(units) if thumb else decode_a32(units)
        rows, row = list[int](), (at - low) // size
        while row + int(found.sizes[min(row, len(units) - 1)]) // size <= len(units):
            rows.append(row)
            row += int(found.sizes[row]) // size
        if not rows:
            return None
        k = np.array(rows, np.int64)
        under = under_condition(units)[k] > 0 if thumb else ~np.isin(units[k] >> 28, (14, 15))
        calls, target, writes = found.calls[k], found.target[k], int(found.writes[rows[0]])
        register = writes.bit_length() - 1 if writes and not writes & (writes - 1) else -1
        return self._followed(
            register, found.reads[k], found.writes[k], lambda n: bool(calls[n] and target[n] != -1 and not under[n]),
            calls | (target != -1) | ~found.falls[k] | under | found.odd[k] | found.jumps[k],
            lambda n: base + low + int(target[n]),
            low, size * k + found.sizes[k],
        )  # fmt: skip

    def _followed(
        self,
        register: int,
        reads: a64.W,
        writes: a64.W,
        is_call: Callable[[int], bool],
        leaves: Mask,
        leads: Callable[[int], int],
        at: int,
        ends: Ints,
    ) -> int | None:
        """The end of the call in a row of instructions, of which the first makes the address."""
        if register != _FILE[self.machine]:
            return None
        for row in range(1, len(reads)):
            if is_call(row):
                return at + int(ends[row]) if self._fails(leads(row)) else None
            if leaves[row] or (int(reads[row]) | int(writes[row])) >> register & 1:
                return None
        return None


def _leaves(one: bytes, register: int) -> bool:
    """Whether an instruction of x86-64 is one of a few that go on behind them, and does not name a register."""
    rex = one[0] if one[0] & 0xF0 == 0x40 else 0
    at = 1 if rex else 0
    opcode = one[at]
    if 0xB8 <= opcode < 0xC0 or 0x50 <= opcode < 0x58:
        return (opcode & 7 | (rex & 1) << 3) != register
    if opcode in (0x68, 0x6A, 0x90):
        return True
    wide = opcode == 0x0F and at + 1 < len(one) and one[at + 1] in _WIDENED
    at += 2 if wide else 1
    if not (wide or opcode in _PLAIN) or at >= len(one):
        return False
    modrm = one[at]
    named = {modrm & 7 | (rex & 1) << 3}
    if modrm < 0xC0 and modrm & 7 == 4:
        named = {one[at + 1] & 7 | (rex & 1) << 3, one[at + 1] >> 3 & 7 | (rex & 2) << 2}
    if wide:
        named.add(modrm & 3)  # the second byte of a register
    if opcode != 0xC7:
        named.add(modrm >> 3 & 7 | (rex & 4) << 1)
    elif modrm >> 3 & 7:
        return False
    return register not in named
