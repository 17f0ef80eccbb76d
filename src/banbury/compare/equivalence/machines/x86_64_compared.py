"""Tables of x86-64 code that are lists of numbers: what the code does with them is to compare what they hold.

A word that is a distance is loaded and added to an address. So words that code only compares are none, whatever they
would lead to.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines.contract import Sides
from banbury.compare.equivalence.machines.x86_64_absolute import Operands, behind_prefixes, shape

U8 = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
_MOST: Final = 256  # instructions behind one that makes the address
_KEPT: Final = (3, 5, 12, 13, 14, 15)  # registers that a call leaves as they were (AMD64 supplement, 3.2.1)
_RETURNED: Final = (0, 2)
#: Opcodes whose ModRM byte has no register in its middle bits.
GROUPS: Final = (0x80, 0x81, 0x83, 0xC0, 0xC1, 0xC6, 0xC7, *range(0xD0, 0xD4), 0xFF)
_COMPARE: Final = (0x39, 0x3B)
NAMED: Final = (*range(0x50, 0x60), *range(0x90, 0x98), *range(0xB0, 0xC0))  # opcodes with a register in them
#: Opcodes that have RAX without naming it (but those in _HIDDEN).
_ACCUMULATOR: Final = (
    *range(0x90, 0x98), *range(0xA0, 0xA4), 0xA8, 0xA9, *(k + 8 * n for n in range(8) for k in (4, 5)),
    *range(0xE4, 0xE8), *range(0xEC, 0xF0),
)  # fmt: skip
_EXCHANGED: Final = (0xB0, 0xB1, 0xC7, 0xA2, 0x01, 0x30, 0x32, 0x33)  # behind 0F: the same
_VECTOR: Final = (0xC5, 0xC4, 0x62, 0x8F)  # VEX, EVEX, XOP: registers stand elsewhere
_HIDDEN: Final = (
    *range(0x6C, 0x70), *range(0xA4, 0xA8), *range(0xAA, 0xB0), 0x98, 0x99, 0xC8, 0xC9, 0xCC, 0xCD, 0xD7, 0xF6, 0xF7,
)  # fmt: skip
_SYSTEM: Final = (0x05, 0x34)  # behind 0F: the system's calls, which take registers
_SHIFTS: Final = (0xD2, 0xD3)  # by CL


class Compared:
    """The code of a proof's first file."""

    def __init__(self, sides: Sides, decoded: list[tuple[Part, U8, Code, Operands]]) -> None:
        self.sides = sides
        self._sections = [Section(*row) for row in decoded]

    def only(self, label: int) -> bool:
        """Whether all that refers to ``label`` is code, which takes its address and compares what stands there."""
        names = {one.name for one, _, _ in self.sides.code}
        if any((old == label).any() for where, old, _ in self.sides.refs.groups() if where not in names):
            return False
        return all(section.only(label) for section in self._sections)


@dataclass
class Section:
    """A section of code: what its instructions do with a register that holds an address."""

    one: Part
    raw: U8
    code: Code
    found: Operands

    def only(self, label: int) -> bool:
        fields = self.code.fields[self._targets == label]
        rows = np.searchsorted(self.code.starts, fields, "right") - 1
        return all(self._used(int(row)) for row in rows)

    @cached_property
    def _operands(self) -> tuple[Ints, Flags]:
        """The register that an instruction without memory has in its ModRM byte's lower bits (-1 for none), and whether
        it has a ModRM byte."""
        c = self._padded
        at = behind_prefixes(c, self.code.starts)
        skip, has = shape(c, at)
        modrm = c[at + skip].astype(np.int64)
        before = c[np.maximum(at - 1, 0)]
        high = np.where((at > self.code.starts) & (before & 0xF0 == 0x40), before & 1, 0)
        return np.where(has & (modrm >> 6 == 3), (modrm & 7) + 8 * high, -1), has

    @property
    def _second(self) -> Ints:
        return self._operands[0]

    def _used(self, row: int) -> bool:
        """Whether the address that the instruction of a row takes is only compared with, on all paths behind it, into
        functions that are called too (which may leave any register as it was), up to where it is lost."""
        found, register = self.found, int(self.found.register[row])
        if found.opcode[row] != 0x8D or not found.relative[row]:
            return False
        compared, work, known = False, [(row + 1, False)], set()
        while work:
            place = work.pop()
            if place in known:
                continue
            known.add(place)
            j, inner = place
            if len(known) > _MOST or j >= len(found.opcode):
                return False
            if self._kills(j, register):
                continue
            onward = self._onward(j, register, inner)
            if onward is None or self._unseen(j, register) or self._names(j, register):
                return False
            compared |= bool(found.base[j] == register)
            work += onward
        return compared

    def _kills(self, j: int, register: int) -> bool:
        """Whether an instruction sets the register and does not read it."""
        found, op = self.found, int(self.found.opcode[j])
        if found.into[j] != register or register in (found.base[j], found.index[j]):
            return False
        same = bool(self._second[j] == register and found.register[j] == register)
        return (
            op in (*range(0x58, 0x60), *range(0xB8, 0xC0))
            or (op in (0x31, 0x33) and same)
            or ((op in (0x8B, 0x8D) and self._second[j] != register) or (op == 0x89 and found.register[j] != register))
        )

    def _names(self, j: int, register: int) -> bool:
        """Whether an instruction has the register otherwise than to compare what stands there."""
        found, op = self.found, int(self.found.opcode[j])
        own = found.register[j] if self._operands[1][j] and op not in GROUPS else -1
        others = [found.index[j], own, self._second[j], found.low[j] if op in NAMED else -1]
        return register in others or bool(found.base[j] == register and op not in _COMPARE)

    def _onward(self, j: int, register: int, inner: bool) -> list[tuple[int, bool]] | None:
        """Where code goes from an instruction with the register as it is, and whether in a function that was called;
        ``None`` where it takes the register out of sight."""
        op, behind = int(self.found.opcode[j]), (j + 1, inner)
        if op in (0xC3, 0xC2):
            return [] if inner or register not in (*_KEPT, *_RETURNED) else None
        if op == 0x0F:
            at = int(behind_prefixes(self._padded, self.code.starts[j : j + 1])[0])
            branch = 0x80 <= int(self._padded[at + 1]) < 0x90
        else:
            branch = 0x70 <= op < 0x80 or 0xE0 <= op < 0xE4
        if not branch and op not in (0xE8, 0xE9, 0xEB):
            return [behind]
        target = self._target(j)
        if target is None:  # of another file: it changes all but a few registers, and may take this one
            lost = [behind] if register in _KEPT else [] if inner else None
            return lost if op in (0xE8, 0xE9) and not (op == 0xE9 and register in _KEPT) else None
        return [(target, inner or op == 0xE8)] + ([behind] if branch or op == 0xE8 else [])

    def _unseen(self, j: int, register: int) -> bool:
        """Whether an instruction may have the register without naming it, or goes elsewhere."""
        op = int(self.found.opcode[j])
        if op in _HIDDEN or op in _VECTOR or (op == 0xFF and self._leaves(j)):
            return True
        if op == 0x0F:
            at = int(behind_prefixes(self._padded, self.code.starts[j : j + 1])[0]) + 1
            second = int(self._padded[at])
            named = second in range(0xC8, 0xD0) and int(self._padded[at]) & 7 == register & 7
            shifted = register == 1 and second in (0xA5, 0xAD)
            hidden = second in (0x38, 0x3A, *_SYSTEM) or (register in range(4) and second in _EXCHANGED)
            return named or shifted or hidden
        return (register == 0 and op in _ACCUMULATOR) or (register == 1 and op in _SHIFTS)

    @cached_property
    def _padded(self) -> U8:
        return np.concatenate((self.raw, np.zeros(32, np.uint8)))

    def _leaves(self, j: int) -> bool:
        """Whether FF is a jump or a call, and neither INC nor DEC."""
        at = int(behind_prefixes(self._padded, self.code.starts[j : j + 1])[0])
        return int(self._padded[at + 1]) >> 3 & 7 > 1

    def _target(self, j: int) -> int | None:
        """The row that a branch leads to, in this section."""
        start = int(self.code.starts[j])
        number = int(np.searchsorted(self.code.fields, start))
        target = int(self._targets[number]) - self.one.addr if number < len(self.code.fields) else -1
        row = int(np.searchsorted(self.code.starts, target))
        return row if row < len(self.code.starts) and int(self.code.starts[row]) == target else None

    @cached_property
    def _targets(self) -> Ints:
        return self.code.targets(self.raw, self.one.addr)
