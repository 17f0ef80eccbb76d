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
_WINDOW: Final = 24  # instructions behind one that makes the address
_KEPT: Final = (3, 5, 12, 13, 14, 15)  # registers that a call leaves as they were (AMD64 supplement, 3.2.1)
_COMPARE: Final = (0x39, 0x3B)
_NAMED: Final = (*range(0x50, 0x60), *range(0x90, 0x98), *range(0xB0, 0xC0))  # opcodes with a register in them
_HIDDEN: Final = (0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF, 0x98, 0x99, 0xC8, 0xC9, 0xF6, 0xF7, 0xD7)


class Compared:
    """The code of a proof's first file."""

    def __init__(self, sides: Sides, decoded: list[tuple[Part, U8, Code, Operands]]) -> None:
        self.sides = sides
        self._sections = [_Section(*row) for row in decoded]

    def only(self, label: int) -> bool:
        """Whether all that refers to ``label`` is code, which takes its address and compares what stands there."""
        names = {one.name for one, _, _ in self.sides.code}
        if any((old == label).any() for where, old, _ in self.sides.refs.groups() if where not in names):
            return False
        return all(section.only(label) for section in self._sections)


@dataclass
class _Section:
    one: Part
    raw: U8
    code: Code
    found: Operands

    def only(self, label: int) -> bool:
        fields = self.code.fields[self.code.targets(self.raw, self.one.addr) == label]
        rows = np.searchsorted(self.code.starts, fields, "right") - 1
        return all(self._used(int(row)) for row in rows)

    @cached_property
    def _second(self) -> Ints:
        """The register that an instruction without memory has in its ModRM byte's lower bits; -1 for none."""
        c = np.concatenate((self.raw, np.zeros(32, np.uint8)))
        at = behind_prefixes(c, self.code.starts)
        skip, has = shape(c, at)
        modrm = c[at + skip].astype(np.int64)
        before = c[np.maximum(at - 1, 0)]
        high = np.where((at > self.code.starts) & (before & 0xF0 == 0x40), before & 1, 0)
        vector = np.isin(c[at], (0xC5, 0xC4, 0x62))
        out: Ints = np.where(has & (modrm >> 6 == 3), (modrm & 7) + 8 * high, -1)
        out[vector] = -1
        return out

    def _used(self, row: int) -> bool:
        """Whether the address that the instruction of a row takes is only compared with, up to where it is lost."""
        found, register = self.found, int(self.found.register[row])
        if found.opcode[row] != 0x8D or not found.relative[row]:
            return False
        compared, furthest = False, 0
        low = int(self.code.starts[row])
        for j in range(row + 1, min(row + 1 + _WINDOW, len(found.opcode))):
            op = int(found.opcode[j])
            if op in (0xE8, 0xC3, 0xC2):
                if register in _KEPT or furthest <= int(self.code.starts[j]):
                    return compared and register not in _KEPT
                continue
            if op in _HIDDEN or (op == 0xFF and self._leaves(j)):
                return False
            target = self._target(j)
            if target is not None and target < low:
                return False
            furthest = max(furthest, target or 0)
            memory = found.base[j] == register
            others = [found.index[j], found.register[j], self._second[j], found.low[j] if op in _NAMED else -1]
            if register in others or (memory and op not in _COMPARE):
                return False
            compared |= bool(memory)
        return False

    def _leaves(self, j: int) -> bool:
        """Whether FF is a jump or a call, and neither INC nor DEC."""
        at = int(behind_prefixes(np.concatenate((self.raw, np.zeros(32, np.uint8))), self.code.starts[j : j + 1])[0])
        return int(self.raw[at + 1]) >> 3 & 7 > 1

    def _target(self, j: int) -> int | None:
        """Where a branch leads, as an offset."""
        start = int(self.code.starts[j])
        end = int(self.code.starts[j + 1]) if j + 1 < len(self.code.starts) else len(self.raw)
        op = int(self.found.opcode[j])
        at = (self.code.fields >= start) & (self.code.fields < end)
        if not at.any() or not (0x70 <= op < 0x80 or op in (0x0F, 0xE9, 0xEB) or 0xE0 <= op < 0xE4):
            return None
        return int(self.code.targets(self.raw, self.one.addr)[at][0]) - self.one.addr
