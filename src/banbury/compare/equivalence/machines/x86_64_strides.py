"""Numbers of x86-64 code that are the size of an element: added to the address of a table, or multiplied for it.

A number that is the length of a text by chance is none where the code only goes from one element of a table to the next
by it, and the table's own content shows that its elements are of that size: pointers stand at the same places of the
first two. Every way to such an addition has to bring an address in the table; every way on from such a product has to
add it to one, or lose it.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2; AMD64 supplement, 3.2.1.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.contract import Sides
from banbury.compare.equivalence.machines.x86_64 import X86
from banbury.compare.equivalence.machines.x86_64_absolute import behind_prefixes
from banbury.compare.equivalence.machines.x86_64_carried import CALLER_SAVED, NOWHERE, steps
from banbury.compare.equivalence.machines.x86_64_compared import GROUPS, NAMED, Section

_MOST: Final = 4096  # places that are looked at for one instruction
_LARGEST: Final = 1 << 16  # bytes of one element
_UNPASSED: Final = (1 << 0) | (1 << 11)  # registers that no function is called with, and that one may leave alone
_SUM, _PRODUCT = (0x81, 0x83), (0x69, 0x6B)
_LOOKS: Final = (0x39, 0x3B, 0x85)  # CMP, TEST
_PUSH: Final = range(0x50, 0x58)


class Strides:
    """The sections of code of a proof's first file, which ``machine`` has decoded."""

    def __init__(self, sides: Sides, machine: X86) -> None:
        self.sides, self.machine = sides, machine
        self.sections: dict[int, _Strides] = {}

    def __call__(self, one: object, number: int) -> Ints:
        """The offsets of all bytes of the instructions of a section that have ``number`` as the size of an element."""
        row = next((row for row in self.machine.decoded if row[0] is one), None)
        if row is None or not 4 <= number <= _LARGEST:
            return np.zeros(0, np.int64)
        index = row[0].index
        if index not in self.sections:
            self.sections[index] = _Strides(*row)
            self.sections[index].outside(self.sides)
        return self.sections[index].sizes(number)


@dataclass
class _Strides(Section):
    def outside(self, sides: Sides) -> None:
        """Note where the section is entered otherwise than by its own branches, and which places hold addresses."""
        own, base = self.one.name, self.one.addr
        entered = {x - base for where, old, _ in sides.refs.groups() if where != own for x in old.tolist()}
        fields = np.searchsorted(self.code.starts, self.code.fields, "right") - 1
        leads = self._leads[fields]
        entered |= set((self._targets[leads == NOWHERE] - base).tolist())  # calls, and addresses that code makes
        entered |= {pad - base for _, _, pad in sides.pads}
        self.entered, self.thrown = entered, bool(sides.pads)
        self.pointers = np.array(sorted(place for place, _ in sides.pointers), np.int64)

    @cached_property
    def _flow(self) -> tuple[npt.NDArray[Any], ...]:
        return steps(self.raw, self.code)

    @cached_property
    def _leads(self) -> Ints:
        leads: Ints = self._flow[5]
        return leads

    @cached_property
    def _into(self) -> dict[int, list[int]]:
        """The rows of the branches that lead to each row."""
        out: dict[int, list[int]] = {}
        rows = np.flatnonzero(self._leads != NOWHERE)
        to = np.searchsorted(self.code.starts, self._leads[rows])
        for row, target in zip(rows.tolist(), to.tolist(), strict=True):
            out.setdefault(target, []).append(row)
        return out

    def sizes(self, number: int) -> Ints:
        out = list[Ints]()
        self.number = number
        for row in np.flatnonzero(self._immediates == number).tolist():
            if self._steps(row) or self._scales(row):
                end = self.code.starts[row + 1] if row + 1 < len(self.code.starts) else len(self.raw)
                out.append(np.arange(self.code.starts[row], end))
        return np.concatenate(out) if out else np.zeros(0, np.int64)

    @cached_property
    def _immediates(self) -> Ints:
        """By row: the number of an addition or product of 64 bits; -1 for other instructions."""
        found, starts, c = self.found, self.code.starts, self._padded
        ends = np.append(starts[1:], len(self.raw))[: len(starts)]
        at = behind_prefixes(c, starts)
        sums = np.isin(found.opcode, _SUM) & found.adds & (c[at + 1] >> 3 & 7 == 0)
        wide = (at > starts) & (c[np.maximum(at - 1, 0)] & 0xF8 == 0x48) & (self._second >= 0)
        whole = np.zeros(len(starts), np.int64)
        for k in range(4):
            whole |= c[np.maximum(ends - 4 + k, 0)].astype(np.int64) << 8 * k
        whole -= whole >> 31 << 32
        short = c[np.maximum(ends - 1, 0)].astype(np.int8).astype(np.int64)
        value = np.where(np.isin(found.opcode, (0x83, 0x6B)), short, whole)
        out: Ints = np.where(wide & (sums | np.isin(found.opcode, _PRODUCT)), value, -1)
        return out

    # Addition

    def _steps(self, row: int) -> bool:
        """Whether the instruction of a row adds the number to what is an address in a table on every way to it."""
        return int(self.found.opcode[row]) in _SUM and self._holds(row, int(self.found.base[row]))

    def _holds(self, row: int, register: int) -> bool:
        """Whether a register holds an address in a table of elements of the size, on every way to a row."""
        work, known, defined = [(row, register)], set[tuple[int, int]](), False
        while work:
            place = work.pop()
            if place in known:
                continue
            known.add(place)
            j, held = place
            if len(known) > _MOST or int(self.code.starts[j]) in self.entered:
                return False
            before = [*self._into.get(j, ())]
            if j and self._flow[4][j - 1]:
                before.append(j - 1)
            if not before and not self._pads(j):
                return False
            for p in before:
                source = self._source(p, held)
                if source is None:
                    return False
                if source < 0:
                    defined = True
                else:
                    work.append((p, source))
        return defined

    def _pads(self, j: int) -> bool:
        """Whether nothing but padding stands in a row to which nothing leads."""
        at = int(behind_prefixes(self._padded, self.code.starts[j : j + 1])[0])
        return self.raw[at] == 0x90 or self._padded[at : at + 2].tobytes() == b"\x0f\x1f"

    def _source(self, p: int, register: int) -> int | None:
        """The register that held, before an instruction, what ``register`` holds behind it; -1: the address of a table,
        which it makes; ``None``: it may be anything."""
        found, op = self.found, int(self.found.opcode[p])
        own, second, wide = int(found.register[p]), int(self._second[p]), self._wide(p)
        if op == 0x8D and own == register:
            return -1 if found.relative[p] and wide and self._is_table(p) else None
        if op == 0x8B and own == register:
            return second if second >= 0 and wide else None
        if op == 0x89 and second == register:
            return own if wide else None
        if op in _SUM and found.adds[p] and found.base[p] == register:
            return register if self._immediates[p] == self.number else None
        if self._flow[10][p]:  # a call
            return None if CALLER_SAVED >> register & 1 else register
        return None if self._touches(p, register) else register

    def _touches(self, j: int, register: int) -> bool:
        """Whether an instruction, which is no call, may write the register: it has it otherwise than to read memory by
        it, to keep it, or to compare it."""
        op = int(self.found.opcode[j])
        if self._unseen(j, register):
            return True
        if op in _LOOKS or op in _PUSH or (op == 0x89 and self._second[j] != register):
            return False
        if op in range(0x70, 0x80) or op in (0xE9, 0xEB):
            return False
        if op in range(0xE0, 0xE4):
            return register == 1  # LOOP
        own = self.found.register[j] if self._operands[1][j] and op not in GROUPS else -1
        return register in (own, self._second[j], self.found.low[j] if op in NAMED else -1)

    def _wide(self, row: int) -> bool:
        start = self.code.starts[row : row + 1]
        at = int(behind_prefixes(self._padded, start)[0])
        return at > int(start[0]) and int(self.raw[at - 1]) & 0xF8 == 0x48

    def _is_table(self, row: int) -> bool:
        """Whether the address that LEA makes is that of a table whose first two elements have pointers at the same
        places."""
        number = bisect_left(self.code.fields.data, int(self.found.displacement[row]))
        if number >= len(self.code.fields) or self.code.fields[number] != self.found.displacement[row]:
            return False
        address, size = int(self._targets[number]), self.number
        low, middle, high = np.searchsorted(self.pointers, (address, address + size, address + 2 * size))
        first, second = self.pointers[low:middle] - address, self.pointers[middle:high] - address - size
        return len(first) > 0 and np.array_equal(first, second)

    # Product

    def _scales(self, row: int) -> bool:
        """Whether the instruction of a row multiplies by the number what is then added to an address in a table, or
        lost, on every way on from it."""
        if int(self.found.opcode[row]) not in _PRODUCT:
            return False
        register = int(self.found.register[row])
        work, known, added = [row + 1], set[int](), False
        while work:
            j = work.pop()
            if j in known:
                continue
            known.add(j)
            if len(known) > _MOST or j >= len(self.code.starts) or self._unseen(j, register):
                return False
            use = self._use(j, register)
            if use is None:
                return False
            added |= use
            if self._kills(j, register) or (use and self._summed(j, register)):
                continue
            onward = self._further(j, register)
            if onward is None:
                return False
            work += onward
        return added

    def _use(self, j: int, register: int) -> bool | None:
        """Whether an instruction adds the product to an address in a table; ``None``: it does something else."""
        found, op = self.found, int(self.found.opcode[j])
        base, index = int(found.base[j]), int(found.index[j])
        if self._kills(j, register):
            return False
        own = int(found.register[j]) if self._operands[1][j] else -1
        if op == 0x01 and self._second[j] == register and own != register and self._wide(j):
            return True if self._holds(j, own) else None
        named = register in (own, self._second[j]) or (op in _PUSH and found.low[j] == register)
        if named and not (own == register and register in (base, index) and op in (0x8B, 0x8D)):
            return None
        if register not in (base, index):
            return False
        other = index if base == register else base
        return True if other >= 0 and other != register and self._holds(j, other) else None

    def _summed(self, j: int, register: int) -> bool:
        """Whether the register holds no product any more behind an instruction that adds it."""
        op = int(self.found.opcode[j])
        return (op == 0x01 and self._second[j] == register) or (
            op in (0x8B, 0x8D) and self.found.register[j] == register
        )

    def _further(self, j: int, register: int) -> list[int] | None:
        """The rows that follow one; ``None`` where the product gets out of sight."""
        falls, leads, leaps, call = (self._flow[k][j] for k in (4, 5, 6, 10))
        if leaps or (call and (self.thrown or (CALLER_SAVED & ~_UNPASSED) >> register & 1)):
            return None
        callee = int(self._flow[11][j])
        if call and CALLER_SAVED >> register & 1 and callee != NOWHERE and not 0 <= callee < len(self.raw):
            return []  # a function of another file, which is not known to leave it alone
        if not falls and leads == NOWHERE:
            return None  # a return: what the register holds is the caller's
        out = [j + 1] if falls else []
        if leads != NOWHERE:
            row = int(np.searchsorted(self.code.starts, leads))
            if row >= len(self.code.starts) or self.code.starts[row] != leads:
                return None
            out.append(row)
        return out
