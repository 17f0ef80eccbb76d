"""Where an address goes in the registers of one function, and whether memory is read through it: a text that code reads
by itself may be copied in part, by as many loads as its old length takes.

Every instruction of the function is looked at, along all direct branches; behind an indirect jump wherever a block of
code begins. A register holds the address until it is certainly written, or a call may have changed it. Reading one byte
where the register points is no copy of a known length: loops that look for the end of a text do that. What code keeps
in memory is not followed.

Sources: Intel SDM, volume 2; Arm ARM DDI 0487; MIPS MD00086; Power ISA 2.07; the calling conventions of these
processors (System V ABI supplements, AAPCS64).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Code, Ints, NotDecoded
from banbury.compare.equivalence.machines import a64, displaced, mips_code, powerpc_code
from banbury.compare.equivalence.machines.contract import U8, Mask
from banbury.compare.equivalence.machines.operations import ADD, ADDI, FETCH, LOAD, MOVE, Ops
from banbury.compare.equivalence.machines.x86_64 import decode as x86_decode
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE
from banbury.compare.equivalence.machines.x86_64_carried import steps as x86_steps
from banbury.compare.equivalence.machines.x86_64_carried import taken as x86_taken
from banbury.formats import _elf_types as t

_LONGEST: Final = 15  # bytes of an instruction of x86-64
_NONE: Final = 255
_RISC: Final = {
    t.EM_MIPS: (mips_code.decode, (32, 36)),  # LB, LBU
    t.EM_PPC: (powerpc_code.decode, (34, 35)),  # LBZ, LBZU
}


@dataclass(frozen=True)
class Steps:
    """By instruction, registers as bits: what it ``reads`` memory through, what it certainly writes (``kills``), and of
    which ``parts`` it makes what it puts ``into`` a register; whether the next one follows (``falls``), the offset that
    a branch ``leads`` to (or ``NOWHERE``), whether it ``leaps`` to where nothing says, where it stands (``starts``)."""

    reads: Ints
    kills: Ints
    parts: Ints
    into: Ints
    falls: Mask
    leads: Ints
    leaps: Mask
    starts: Ints


def steps(machine: int, big: bool, raw: U8, address: int = 0, code: Code | None = None) -> Steps:
    """What the code ``raw`` at an address does with registers. ``code``: its instructions, if they are known (x86-64).
    Raises :class:`NotDecoded`."""
    if machine == t.EM_X86_64:
        return Steps(*x86_steps(raw, code or x86_decode(raw.data, 0)))
    words = raw[: len(raw) // 4 * 4].view(">u4" if big else "<u4").astype(np.uint32)
    return _a64(words) if machine == t.EM_AARCH64 else _risc(machine, words, address)


class Rows:
    """What :class:`Steps` says, for looking at single rows."""

    def __init__(self, found: Steps) -> None:
        index = np.searchsorted(found.starts, found.leads)
        known = index < len(found.starts)
        known[known] = found.starts[index[known]] == found.leads[known]
        self.branches = np.where(known, index, -1).tolist()
        self.reads, self.kills, self.parts, self.into, self.falls, self.leads, self.leaps, self.starts = (
            column.tolist()
            for column in (
                found.reads, found.kills, found.parts, found.into, found.falls, found.leads, found.leaps, found.starts
            )
        )  # fmt: skip


class Function:
    """One function's code, of the section ``raw``: of ``rows`` those from and to the offsets of its ``stretches``
    (several where a compiler has put parts elsewhere), whose third number added makes them offsets of the section."""

    def __init__(self, machine: int, big: bool, raw: U8, rows: Rows, stretches: Sequence[tuple[int, int, int]]) -> None:
        self.machine, self.big, self.raw, self.rows, self.stretches = machine, big, raw, rows, stretches
        starts = rows.starts
        self.pieces = [(bisect_left(starts, low), bisect_left(starts, high)) for low, high, _ in stretches]

    def read(self, made: Iterable[int], loaded: Iterable[int]) -> bool:
        """Whether memory is read through an address that the instructions at the places ``made`` put into a register,
        or that those at ``loaded`` load (offsets in the section, of any of their bytes)."""
        held: dict[int, int] = {}
        for places, loads in ((made, False), (loaded, True)):
            for place in places:
                row, at = self._row(place)
                register = self._taken(at, loads) if row >= 0 else -1
                after = self._after(row) if register >= 0 else []
                for to in after + (self._blocks() if after and self.rows.leaps[row] else []):
                    held[to] = held.get(to, 0) | 1 << register
        return self._followed(held)

    def _row(self, place: int) -> tuple[int, int]:
        """The row of the instruction that has the byte at an offset of the section, and where it begins; -1: none."""
        for (low, high, shift), (begin, end) in zip(self.stretches, self.pieces, strict=True):
            if low <= place - shift < high and begin < end:
                row = max(bisect_right(self.rows.starts, place - shift, begin, end) - 1, begin)
                return row, self.rows.starts[row] + shift
        return -1, -1

    def _taken(self, at: int, loads: bool) -> int:
        """The register into which an instruction puts an address or, if it ``loads``, what it loads; -1: none."""
        if self.machine == t.EM_X86_64:
            return x86_taken(self.raw[at : at + _LONGEST].tobytes(), loads)
        word = int.from_bytes(self.raw[at : at + 4].tobytes(), "big" if self.big else "little")
        if self.machine == t.EM_AARCH64:
            good = word & 0xFFC00000 == 0xF9400000 if loads else word & 0x7F800000 == 0x11000000
            return word & 31 if good and word & 31 < 31 else -1
        if self.machine == t.EM_MIPS:
            return word >> 16 & 31 if word >> 26 == (35 if loads else 9) else -1
        return word >> 21 & 31 if word >> 26 == (32 if loads else 14) else -1

    def _followed(self, held: dict[int, int]) -> bool:
        """Follow registers (as bits) from before some rows: each bit reaches each row at most once."""
        state, common, waiting, rows = dict(held), 0, list(held), self.rows  # common: carried on by indirect jumps
        while waiting:
            row = waiting.pop()
            now = state[row]
            if now & rows.reads[row]:
                return True
            out = now & ~rows.kills[row] | (1 << rows.into[row] if now & rows.parts[row] else 0)
            after = self._after(row)
            if rows.leaps[row] and out & ~common:
                common |= out
                after += self._blocks()
            for to in after:
                if out & ~state.get(to, 0):
                    state[to] = state.get(to, 0) | out
                    waiting.append(to)
        return False

    def _after(self, row: int) -> list[int]:
        """Rows that may follow, but for indirect jumps."""
        number = next(n for n, (begin, end) in enumerate(self.pieces) if begin <= row < end)
        begin, end = self.pieces[number]
        after = []
        if self.rows.falls[row]:
            after += [row + 1] if row + 1 < end else self._beyond(self.stretches[number][1] + self.stretches[number][2])
        if self.rows.leads[row] != NOWHERE:
            to = self.rows.branches[row]
            after += [to] if begin <= to < end else self._beyond(self.rows.leads[row] + self.stretches[number][2])
        return after

    def _blocks(self) -> list[int]:
        """Rows at which blocks of code begin that nothing falls into: an indirect jump may lead there."""
        falls = self.rows.falls
        return [k for begin, end in self.pieces for k in range(begin, end) if k == begin or not falls[k - 1]]

    def _beyond(self, place: int) -> list[int]:
        """The row of another stretch that begins at an offset of the section."""
        row, at = self._row(place) if len(self.pieces) > 1 else (-1, -1)
        return [row] if row >= 0 and at == place else []


def _a64(words: npt.NDArray[np.uint32]) -> Steps:
    all_, added = a64.decode(words), displaced.a64(words)
    rows = np.arange(len(words))
    single = a64.is_(words, 0x3A000000, 0x38000000)
    byte = single & a64.is_(words, 0xC4000000, 0)
    store = (single & a64.is_(words, 0x00C00000, 0)) | (a64.is_(words, 0x3A400000, 0x28000000))
    stepping = a64.is_(words, 0x3B200400, 0x38000400)  # before the access or after it
    near = byte & ((added.distance == 0) | stepping | a64.is_(words, 0x3B200C00, 0x38200800))
    memory = (added.base < 31) & (added.into == _NONE)
    bits = np.where(memory, _bit(added.base), 0)
    bits |= np.where((added.parts != 0) & (added.whole == _NONE), added.parts.astype(np.int64), 0)
    bits |= _bit(added.back)
    sums = (added.base < 31) & (added.into < 31)
    move = a64.is_(words, 0xFFE0FFE0, 0xAA0003E0)
    whole = (added.parts != 0) & (added.whole < 31)
    source = a64.field(words, 16, 5).astype(np.int64)
    parts = np.where(sums, _bit(added.base), np.where(whole, added.parts.astype(np.int64), 0))
    parts = np.where(move, _bit(source), parts)
    into = np.where(sums, added.into, np.where(whole, added.whole, 0))
    into = np.where(move, a64.field(words, 0, 5).astype(np.int64), into)
    kills = np.where(all_.calls, a64.CALLER_SAVED, all_.writes).astype(np.int64)
    back = _bit(added.back)  # a register that a load or store moves on keeps its text
    to = np.where(all_.branches, 4 * rows + a64.displacement(words), NOWHERE)
    reads: Ints = np.where(store | near, 0, bits)
    return Steps(reads, kills & ~back, parts, np.minimum(into, 31), all_.falls, to, all_.indirect, 4 * rows)


def _risc(machine: int, words: npt.NDArray[np.uint32], address: int) -> Steps:
    if machine not in _RISC:
        raise NotDecoded(0, f"code of machine {machine}")
    decode, bytes_ = _RISC[machine]
    ops: Ops = decode(words, words, address)[0]
    rows = np.arange(ops.count)
    near = np.isin(words >> 26, bytes_) & ((words & 0xFFFF == 0) | ops.update)
    memory = ((ops.kind == LOAD) | (ops.kind == FETCH)) & ~near
    reads = np.where(memory, _bit(ops.rs), 0)
    reads[ops.kind == FETCH] |= _bit(ops.rt)[ops.kind == FETCH]
    made = np.isin(ops.kind, (MOVE, ADDI, ADD)) & (ops.rd < 32)
    parts = np.where(made, _bit(ops.rs) | np.where(ops.kind == ADD, _bit(ops.rt), 0), 0)
    writes = ops.writes.astype(np.int64) & ~np.where(ops.update, _bit(ops.rs), 0)
    kills = np.where(ops.call, writes | int(ops.volatile), writes)
    leads: Ints = np.where(ops.next[1] >= 0, 4 * ops.next[1], NOWHERE)
    leaps = np.zeros(ops.count, bool)
    leaps[np.minimum(rows[ops.jump >= 0] + ops.delayed, ops.count - 1)] = True
    return Steps(reads, kills, parts, np.maximum(ops.rd, 0), ops.next[0] >= 0, leads, leaps, 4 * rows)


def _bit(register: npt.NDArray[Any]) -> Ints:
    """A register as a bit; none for 31 of A64 and what is no register."""
    number = register.astype(np.int64)
    out: Ints = np.where((number >= 0) & (number < 32), 1 << np.clip(number, 0, 40), 0)
    return out
