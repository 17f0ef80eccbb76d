"""The functions of the rebuilt file: where they begin and end, which stretches belong to one, and what calls leave.

Sources: GCC manual, -freorder-blocks-and-partition and -fipa-ra; gABI (2013 draft), chapter 4, symbol table.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import Final, Literal

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.elf_map import Part
from banbury.compare.equivalence.machines import never
from banbury.compare.equivalence.machines.called import Called
from banbury.compare.equivalence.machines.calls import never_symbols
from banbury.compare.equivalence.machines.contract import LINKAGE, Mask, Sides
from banbury.compare.equivalence.machines.joined import Bounds, Jumps, called, called_x86, leads
from banbury.compare.equivalence.relayout_exceptions import PADS
from banbury.compare.equivalence.relayout_objects import Objects
from banbury.compare.equivalence.relayout_uses import pointers
from banbury.formats import _elf_types as t

_NEAR: Final = 512  # bytes looked at on both sides where no symbol says which function it is
_CALL, _DISTANCE = 0xE8, 4  # the opcode of x86-64, and how many bytes follow it
_STUB: Final = 16  # bytes of an entry of a linkage table
_FILLS: Final = (6, 7)  # R_X86_64_GLOB_DAT and R_X86_64_JUMP_SLOT (AMD64 supplement, 4.4.1)
#: R_*_IRELATIVE (supplements of the processors; GNU's gABI extensions).
_CHOOSES: Final = {t.EM_X86_64: 37, t.EM_AARCH64: 1032, t.EM_ARM: 160, t.EM_PPC: 248}
_ADVANCES: Final = (1, 2, 3, 4)  # DW_CFA_set_loc and DW_CFA_advance_loc1 to 4 (DWARF 5, 6.4.2.1)
_UNWINDING: Final = (".eh_frame", ".eh_frame_hdr", ".ARM.exidx", PADS)


class Functions:
    """Those of one proof. ``sides.at`` and ``sides.pointers`` say where addresses stand."""

    def __init__(self, sides: Sides, objects: Objects) -> None:
        self.sides, self.objects = sides, objects
        self.machine = sides.a.header.machine
        self.begins = None if objects.known else self._begins().data
        self._jumps: dict[int, Jumps | None] = {}
        self._called: dict[int, Called] = {}
        self._apart: dict[int, list[tuple[int, int]]] = {}
        self._known_own: dict[tuple[int, int], int | None] = {}
        self._begun_at: dict[int, list[int]] = {}
        self._labels: dict[int, list[int]] = {}
        self._cut: set[tuple[object, ...]] = set()  # functions of which not all stretches are known

    def bounds(self, one: Part, at: int) -> Bounds:
        """The function around an offset of a section, or the stretch that is looked at in its stead."""
        return _function(self.objects, one, at) if self.begins is None else _between(self.begins, one, at)

    def stretches(self, one: Part, bounds: Bounds) -> list[Bounds]:
        """The function at ``bounds`` with what a compiler has put elsewhere of it."""
        if one.index not in self._jumps:
            self._jumps[one.index] = self._jumps_of(one)
        jumps = self._jumps[one.index]
        if jumps is None:
            return [bounds]
        joined = jumps.joined(bounds, lambda at: self._known(one, at))
        out = [stretch for stretch in joined if stretch[0] < stretch[1]]
        self._cut |= {(one.index, *out)} if jumps.cut else set()
        return out

    def called(self, one: Part) -> Called:
        """What the calls of a section leave; not of 32-bit Arm."""
        if one.index not in self._called:
            own = [(places, targets) for part, places, targets, _ in self.sides.at if part is one]
            places, targets = (
                (np.concatenate(x) for x in zip(*own, strict=True)) if own else (np.zeros(0, np.int64),) * 2
            )
            self._called[one.index] = Called(
                self.machine,
                self.sides.big,
                self.sides.raw[one.index][0],
                one.addr,
                self.sides.instructions.get(one.index),
                (places, targets),
                lambda address: self._own(one, address),
                self.sides.pads,
                self._name,
            )
        return self._called[one.index]

    def begun(self, one: Part, stretches: list[Bounds]) -> list[int]:
        """Where functions may begin in stretches of which no symbol says that they are one."""
        jumps, out = self._jumps.get(one.index), list[int]()
        if jumps is None or jumps.own is None:
            return out
        if one.index not in self._begun_at:
            self._begun_at[one.index] = sorted(jumps.own)
        for low, high in stretches:
            known = None if self.begins is not None else self.objects.around(low + one.addr)
            if known != (low + one.addr, high + one.addr):
                out += _between_of(self._begun_at[one.index], low, high)
        return out

    def labels(self, one: Part, stretches: list[Bounds]) -> list[int] | None:
        """Places in stretches of x86-64 that any calls lead to, or that code, data or symbols have the addresses of;
        ``None``: it is not known from where code comes to these."""
        jumps, code = self._jumps.get(one.index), self.sides.instructions.get(one.index)
        if self.machine != t.EM_X86_64 or (one.index, *stretches) in self._cut:
            return None
        if jumps is None or jumps.own is None or code is None:
            return None
        if one.index not in self._labels:
            raw = self.sides.raw[one.index][0]
            calls = (raw[np.maximum(code.fields - 1, 0)] == _CALL) & (code.widths == _DISTANCE)
            led = code.targets(raw, 0)[calls]
            self._labels[one.index] = sorted(jumps.own | set(led.tolist()))
        return [x for low, high in stretches for x in _between_of(self._labels[one.index], low, high)]

    def _known(self, one: Part, at: int) -> Bounds:
        """The function that an offset is in; nothing of what no symbol or record says is one (a linkage table)."""
        if self.begins is not None or self.objects.around(at + one.addr) is not None:
            return self.bounds(one, at)
        return at, at

    # Jumps

    def _jumps_of(self, one: Part) -> Jumps | None:
        entries = next((x for part, _, x in self.sides.code if part.index == one.index), None)
        if self.machine == t.EM_ARM or entries is None:
            return None
        raw = self.sides.raw[one.index][0]
        found = leads(self.machine, self.sides.big, raw, one.addr, entries)
        pads = [(start - one.addr, pad - one.addr) for start, _, pad in self.sides.pads]
        begins = None if self.begins is None else np.asarray(self.begins) - one.addr
        return Jumps(found, one.size, pads, self._own_begins(one, entries, found.field), begins)

    def _own_begins(self, one: Part, entries: Mask, jumps: Ints) -> Ints:
        """Offsets of a section that calls lead to, whose address code makes otherwise than by ``jumps`` (places of
        their operands), or that data hold."""
        names = {part.name for part, _, _ in self.sides.code}
        found = [old for where, old, _ in self.sides.refs.groups() if where not in names and where not in _UNWINDING]
        for part, places, targets, _ in self.sides.at:
            found.append(targets[~np.isin(places, jumps)] if part is one else targets)
        raw = self.sides.raw[one.index][0]
        if self.machine == t.EM_X86_64:
            found.append(called_x86(raw, entries) + one.addr)
        else:
            words = raw[: len(raw) // 4 * 4].view(">u4" if self.sides.big else "<u4").astype(np.int64)
            found += called(self.machine, words, one.addr)
        found.append(self._entries)
        every = distinct(np.concatenate(found)) - one.addr
        out: Ints = every[(every >= 0) & (every < one.size)]
        return out

    @cached_property
    def _entries(self) -> Ints:
        """Where functions begin that symbols say, but for parts of others; without symbols those of which the table of
        unwinding says that nothing is on the stack there but what a call puts there."""
        if self.objects.known:
            return np.setdiff1d(self.objects.functions[0], np.array(sorted(self.objects.parts), np.int64))
        frames = self.sides.named(".eh_frame")
        return _untouched(self.sides, frames[0]) if frames is not None else np.zeros(0, np.int64)

    # Calls

    @cached_property
    def _slots(self) -> dict[int, int]:
        """Words of data that hold addresses."""
        words, addresses = pointers(self.sides)
        return dict(zip(words.tolist(), addresses.tolist(), strict=True))

    @cached_property
    def _linkage(self) -> list[tuple[Part, Ints, Ints]]:
        """What the stubs of linkage tables load, by their places."""
        found = [(part, places, targets) for part, places, targets, _ in self.sides.at if part.name in LINKAGE]
        orders = [np.argsort(places, kind="stable") for _, places, _ in found]
        return [(part, x[order], y[order]) for (part, x, y), order in zip(found, orders, strict=True)]

    def _own(self, one: Part, address: int) -> int | None:
        """The function of a section that an address is the beginning of, a word that holds it, or a stub's that loads
        that word: an offset."""
        if one.addr <= address < one.addr + one.size:
            return address - one.addr
        if (one.index, address) not in self._known_own:
            self._known_own[one.index, address] = self._linked(one, address)
        return self._known_own[one.index, address]

    def _linked(self, one: Part, address: int) -> int | None:
        """See :meth:`_own`: of an address outside of the section. -1: it is a function of another section, or one that
        another chooses, of which nothing is known."""
        if self._elsewhere(one, address):
            return -1
        for part, places, targets in self._linkage:
            if part.addr <= address < part.addr + part.size:
                low, high = np.searchsorted(places, (address - part.addr, address - part.addr + _STUB))
                if self._resolved.intersection(targets[low:high].tolist()):
                    return -1
                found = [self._slots.get(x) for x in targets[low:high].tolist()]
                return next((self._begun(one, x) for x in found if x and self._begun(one, x) is not None), None)
        if address in self._resolved:
            return -1
        held = self._slots.get(address)
        return self._begun(one, held) if held is not None else None

    @cached_property
    def _resolved(self) -> set[int]:
        """Words that hold what a function of the file returns (GNU's indirect functions)."""
        elf, wanted, out = self.sides.a.elf, _CHOOSES.get(self.machine), set[int]()
        for part in self.sides.a.sections:
            found = elf.section_relocations(elf.sections[part.index]) if part.loaded and wanted else None
            if found is not None:
                out |= set(found.offsets[found.types == wanted].tolist())
        return out

    def _name(self, address: int) -> str | None:
        """The name of another file's function, of which a stub, or a word of the table of addresses, is at an address:
        nothing for one of which nothing is known by its name (see :mod:`never`)."""
        part = self.sides.a.section_at(address)
        if part is not None and part.name in LINKAGE and part.index in self.sides.raw:
            at = address - part.addr
            word = never.word(self.sides.raw[part.index][0][at : at + _STUB].tobytes(), address)
            return None if word is None else self._foreign.get(word)
        return self._foreign.get(address)

    @cached_property
    def _foreign(self) -> dict[int, str]:
        """Words that the dynamic linker fills with nothing but functions of other files, by their names as of
        :meth:`_name`. (Until then they may lead into the table of stubs.)"""
        elf, out = self.sides.a.elf, dict[int, str]()
        symbols, known_names = elf.dynamic_symbols, never_symbols(elf, never.NAMES | never.FINDS)
        stubs = [x for x in self.sides.a.sections if x.name in LINKAGE]
        known = {at for at, x in self._slots.items() if not any(y.addr <= x < y.addr + y.size for y in stubs)}
        for part in self.sides.a.sections:
            found = elf.section_relocations(elf.sections[part.index]) if part.loaded else None
            if found is None:
                continue
            columns = (found.offsets, found.types, found.symbols, found.addends)
            for place, kind, symbol, addend in zip(*(x.tolist() for x in columns), strict=True):
                out.pop(place, None)
                other = kind in _FILLS and not addend and 0 < symbol < len(symbols) and not symbols[symbol].section
                if other and place not in known and self._is_got(place):
                    out[place] = symbols[symbol].name if symbol in known_names else ""
                known.add(place)
        return out

    def _is_got(self, place: int) -> bool:
        part = self.sides.a.section_at(place)
        return part is not None and part.name.startswith(".got")

    def _begun(self, one: Part, address: int) -> int | None:
        """The offset of a function of the section; -1 of another section of code; ``None``: it is of another file."""
        if one.addr <= address < one.addr + one.size:
            return address - one.addr
        return -1 if self._elsewhere(one, address) else None

    def _elsewhere(self, one: Part, address: int) -> bool:
        if one.index not in self._apart:
            self._apart[one.index] = self.sides.apart(one)
        return any(low <= address < high for low, high in self._apart[one.index])

    # Without symbols

    def _begins(self) -> Ints:
        """Where functions begin in a file without symbols: what tables of unwinding and symbols say, and direct calls.
        One that neither says belongs to the one before."""
        tables = (".eh_frame", ".ARM.exidx", ".dynsym")
        found = [old for where, old, _ in self.sides.refs.groups() if where in tables]
        for part, _, entries in self.sides.code:
            raw = self.sides.raw[part.index][0]
            if self.machine == t.EM_X86_64:
                found.append(called_x86(raw, entries) + part.addr)
                continue
            words = raw[: len(raw) // 4 * 4].view(">u4" if self.sides.big else "<u4").astype(np.int64)
            found += called(self.machine, words, part.addr)
        return distinct(np.concatenate(found)) if found else np.zeros(0, np.int64)


def _untouched(sides: Sides, frames: Part) -> Ints:
    """Code at whose beginning an entry of the table of unwinding changes nothing of what its common entry says."""
    raw = sides.raw[frames.index][0].tobytes()
    order: Literal["big", "little"] = "big" if sides.big else "little"
    out: list[int] = []
    plain: dict[int, bool] = {}  # common entries whose addresses are relative to their place
    at = 0
    while at + 4 <= len(raw):
        length, back = (int.from_bytes(raw[at + k : at + k + 4], order) for k in (0, 4))
        end = at + 4 + length
        if length == 0 or back == 0:
            plain[at] = raw[at + 9 : at + 12] == b"zR\0" and raw[at + 15 : at + 17] == b"\x01\x1b"
        elif plain.get(at + 4 - back) and end <= len(raw) and raw[at + 16 : at + 17] == b"\0":
            first = raw[at + 17] if at + 17 < end else 0
            if first in _ADVANCES or first >> 6 == 1 or not any(raw[at + 17 : end]):
                distance = int.from_bytes(raw[at + 8 : at + 12], order, signed=True)
                out.append(distance + frames.addr + at + 8)
        at = end
    return np.array(out, np.int64)


def _between_of(places: list[int], low: int, high: int) -> list[int]:
    return places[bisect_left(places, low) : bisect_left(places, high)]


def _between(begins: memoryview, one: Part, at: int) -> Bounds:
    index = bisect_right(begins, at + one.addr)
    low = begins[index - 1] if index else 0
    high = begins[index] if index < len(begins) else one.addr + one.size
    return max(low - one.addr, 0), min(high - one.addr, one.size)


def _function(objects: Objects, one: Part, at: int) -> Bounds:
    known = objects.around(at + one.addr)
    if known is not None and known[0] >= one.addr and known[1] <= one.addr + one.size:
        return known[0] - one.addr, known[1] - one.addr
    return max(at - _NEAR, 0), min(at + _NEAR, one.size)
