"""The code of an object as a linker would put it together: jumps and calls between its sections lead where relocations
say, so that what a compiler has put into another section of a function (``.text.unlikely``) is found and followed.

What leads out of the object's code leads beyond its end. Of jumps within a section those are found that a relocation
stands for.

Sources: gABI (2013 draft), chapter 4; AMD64 supplement, 4.4; AAELF64, 5.7; Power Architecture 32-bit ABI supplement,
4.13; GCC manual, -freorder-blocks-and-partition.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.dwarf.sections import relocation_rows
from banbury.compare.equivalence.elf_debug_names import is_debug
from banbury.compare.equivalence.elf_map import SHT_NOBITS, OwnedElf, Part
from banbury.compare.equivalence.elf_symbols import symbols_of
from banbury.compare.equivalence.machines.called import Called
from banbury.compare.equivalence.machines.carried import Function
from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.joined import Bounds, Jumps, Leads
from banbury.compare.equivalence.machines.stretches import Stretches
from banbury.formats import _elf_types as t

_FUNCTION, _GROUP_APART = 2, 16
_COLD: Final = re.compile(rb"(.*)\.cold(\.\d+)?\Z", re.DOTALL)
#: Sections that say something of functions without leading there.
_BESIDE: Final = (".eh_frame", ".orc_unwind", ".discard", ".gcc_except_table", "__mcount_loc", "__patchable_function")
#: Those, tables of jumps, and what names places of code but no way there (Linux).
_NO_WAYS: Final = (
    *_BESIDE, ".rodata", ".data.rel.ro", ".init_array", ".fini_array", ".altinstructions", ".smp_locks",
    ".return_sites", ".retpoline_sites", ".call_sites", ".ibt_endbr_seal", ".static_call_sites", ".parainstructions",
    ".kcfi_traps", ".sframe", "__bug_table", "__ftr_fixup", "__lwsync_fixup", "__mmu_ftr_fixup", "__fw_ftr_fixup",
)  # fmt: skip


class _Kind(NamedTuple):
    """Relocations of branches: how many bits of the word are the distance, from which on, and how many bytes behind the
    relocated place it counts from (x86-64: from the end of the field)."""

    bits: int
    shift: int
    ahead: int


_X86: Final = _Kind(32, 0, 4)
_KINDS: Final = {
    t.EM_X86_64: {2: _X86, 4: _X86},
    t.EM_AARCH64: {282: _Kind(26, 0, 0), 283: _Kind(26, 0, 0), 280: _Kind(19, 5, 0), 279: _Kind(14, 5, 0)},
    t.EM_PPC: {
        **{kind: _Kind(24, 2, 0) for kind in (10, 18, 23)},
        **{kind: _Kind(14, 2, 0) for kind in (11, 12, 13)},
    },
}


class Branch(NamedTuple):
    """A direct branch: the place of its operand and what it leads to, in the code put together (-1: elsewhere), whether
    it is a call and whether on a condition."""

    place: int
    target: int
    call: bool
    conditional: bool
    kind: _Kind


class ObjectCode:
    """All code of an object in one piece; places are those of this piece. ``thrown``: whether exceptions enter it."""

    def __init__(self, elf: OwnedElf, table: Part) -> None:
        self.elf, self.machine, self.big = elf, elf.header.machine, elf.elf.big
        self.symbols, self.names = symbols_of(elf, table), elf.bytes(elf.sections[table.link])
        self.base: dict[int, int] = {}
        pieces: list[U8] = []
        place = 0
        gap = np.full(_GROUP_APART, 0x90 if self.machine == t.EM_X86_64 else 0, np.uint8)
        for part in elf.sections:
            if part.code and part.size and part.type != SHT_NOBITS and part.loaded:
                self.base[part.index] = place
                raw = np.frombuffer(elf.data[part.offset : part.end], np.uint8)
                pieces += [raw, np.zeros(-len(raw) % 4, np.uint8) | gap[0], gap]
                place += len(raw) + -len(raw) % 4 + len(gap)
        self.raw: U8 = np.concatenate(pieces) if pieces else np.zeros(0, np.uint8)
        self.functions, self.named = self._functions()
        self.begins = self.functions[:, 0]
        self._beginnings = frozenset(self.begins.tolist())
        told: set[int] = set()  # places that data name
        self.branches, self.own = self._branches(told)
        self.told = sorted(told - self._beginnings)
        self.broken = [x.place for x in self.branches if not self._led(x)]
        self.thrown = any(part.name.startswith(".gcc_except_table") and part.size for part in elf.sections)
        self._stretches: dict[Bounds, list[Bounds]] = {}

    def around(self, place: int) -> Bounds:
        """The function around a place; all of its section where no symbol says."""
        index = int(np.searchsorted(self.begins, place, "right")) - 1
        for low, high in self.functions[max(index - 1, 0) : index + 1].tolist()[::-1]:
            if low <= place < high:
                return low, high
        for index, base in self.base.items():
            if base <= place < base + self.elf.sections[index].size:
                return base, base + self.elf.sections[index].size
        return place, place

    def stretches(self, place: int) -> list[Bounds]:
        """The stretches of the function around a place. Raises :class:`NotDecoded` where they are too far apart."""
        bounds = self.around(place)
        if bounds not in self._stretches:
            self._stretches[bounds] = [x for x in self._jumps.joined(bounds, self.around) if x[0] < x[1]]
        for low, high in self._stretches[bounds]:
            if any(low <= x < high for x in self.broken):
                raise NotDecoded(low, "a branch that leads further than it can")
        return self._stretches[bounds]

    def decoded(self, stretches: list[Bounds], wanted: Ints) -> tuple[set[int], Function]:
        """The numbers of some stretches, of those ``wanted``, and the function that has these. Raises
        :class:`NotDecoded`."""
        code = Stretches(self.machine, self.big, self.raw, 0, stretches, wanted)
        found = {x for stretch in stretches for x in code.numbers(stretch)[1].tolist()}
        return found, code.function(stretches, self._called, self._ways(stretches))

    def _ways(self, stretches: list[Bounds]) -> list[Bounds]:
        """Where stretches are entered in ways that only tables tell: static keys, fixups; and, all of it, code beside
        a function that is none itself."""
        out = [x for x in stretches if len(stretches) > 1 and x[0] not in self._beginnings]
        for low, high in stretches:
            out += [(x, x + 1) for x in self.told[bisect_left(self.told, low) : bisect_left(self.told, high)]]
        return out

    # Functions

    def _functions(self) -> tuple[Ints, dict[bytes, list[int]]]:
        """Where functions begin and end, in order, one row each; and those of each name."""
        rows: set[tuple[int, int]] = set()
        named: dict[bytes, list[int]] = {}
        some = np.flatnonzero((self.symbols["info"] & 15 == _FUNCTION) & (self.symbols["size"] > 0))
        columns = (self.symbols[some][name].tolist() for name in ("name", "shndx", "value", "size"))
        for name, index, value, size in zip(*columns, strict=True):
            if index in self.base and value + size <= self.elf.sections[index].size:
                begin = self.base[index] + value
                rows.add((begin, begin + size))
                named.setdefault(self.names[name : self.names.index(b"\0", name)], []).append(begin)
        return np.array(sorted(rows), np.int64).reshape(-1, 2), named

    # Branches

    def _branches(self, told: set[int]) -> tuple[list[Branch], set[int]]:
        """The branches that relocations stand for, and the places that calls lead to, code makes or data hold. Those
        that tables of ways name are added to those ``told``."""
        out: list[Branch] = []
        own: set[int] = set()
        for table in self.elf.sections:
            held = self.elf.sections[table.info] if table.info < len(self.elf.sections) else None
            if held is None or table.type not in (t.SHT_RELA, t.SHT_REL) or is_debug(held.name):
                continue
            for place, kind, symbol, addend in relocation_rows(self.elf, table).tolist():
                target = self._target(symbol, addend)
                found = self._branch(held, place, kind, target) if held.index in self.base else None
                if found is not None:
                    out.append(found)
                if target >= 0 and held.index not in self.base and not held.name.startswith(_NO_WAYS):
                    told.add(target)
                if target >= 0 and (found is None or found.call) and not held.name.startswith(_BESIDE):
                    ends = self.machine == t.EM_X86_64 and kind in _KINDS[self.machine]  # at the instruction's end
                    own.add(found.target if found is not None else target + 4 * ends)
        return out, own

    def _target(self, symbol: int, addend: int) -> int:
        if symbol >= len(self.symbols):
            return -1
        index = int(self.symbols[symbol]["shndx"])
        return self.base[index] + int(self.symbols[symbol]["value"]) + addend if index in self.base else -1

    def _branch(self, held: Part, place: int, kind: int, target: int) -> Branch | None:
        known = _KINDS.get(self.machine, {}).get(kind)
        if known is None or not 0 <= place <= held.size - 4:
            return None
        at = self.base[held.index] + place
        word = int.from_bytes(self.raw[at : at + 4].tobytes(), "big" if self.big else "little")
        if self.machine == t.EM_X86_64:
            before, last = (int(self.raw[at - k]) if place >= k else 0 for k in (2, 1))
            conditional = before == 0x0F and last & 0xF0 == 0x80
            if not conditional and last not in (0xE8, 0xE9):
                return None
            return Branch(at, target + known.ahead if target >= 0 else -1, last == 0xE8, conditional, known)
        if self.machine == t.EM_AARCH64:
            return Branch(at, target, kind == 283, known.bits < 26, known)
        always = known.bits == 24 or word >> 21 & 20 == 20
        return Branch(at, target, bool(word & 1), not always, known)

    def _led(self, one: Branch) -> bool:
        """Let a branch lead where it does; ``False``: it cannot lead so far."""
        unit = 1 if self.machine == t.EM_X86_64 else 4
        most = unit * ((1 << (one.kind.bits - 1)) - 1)
        distance = one.target - one.place - one.kind.ahead if one.target >= 0 else most
        good = abs(distance) <= most and distance % unit == 0
        order = ">u4" if self.big else "<u4"
        field = self.raw[one.place : one.place + 4].view(order)
        mask = (1 << one.kind.bits) - 1 << one.kind.shift
        field[0] = int(field[0]) & ~mask | (distance // unit << one.kind.shift) & mask
        return good

    @cached_property
    def _jumps(self) -> Jumps:
        rows = [(x.place, x.target, x.conditional) for x in self.branches if not x.call and x.target >= 0]
        rows += self._cold()
        source, target, conditional = np.array(rows, np.int64).reshape(-1, 3).T
        found = Leads(source, target, conditional == 1, source)
        return Jumps(found, len(self.raw), (), np.array(sorted(self.own), np.int64))

    def _cold(self) -> list[tuple[int, int, bool]]:
        """What a compiler calls a cold part belongs to the function whose name it has."""
        out = []
        for name, places in self.named.items():
            if found := _COLD.match(name):
                out += [(one, place, True) for one in self.named.get(found[1], [])[:16] for place in places[:16]]
        return out

    @cached_property
    def _called(self) -> Called:
        return Called(self.machine, self.big, self.raw, anywhere=self.thrown, thunks=self.machine == t.EM_X86_64)
