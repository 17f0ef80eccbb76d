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

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.machines import a64, displaced, mips_code, powerpc_code
from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.operations import ADD, ADDI, FETCH, LOAD, MOVE, Ops
from banbury.compare.equivalence.machines.x86_64_carried import steps as x86_steps
from banbury.compare.equivalence.machines.x86_64_carried import taken as x86_taken
from banbury.formats import _elf_types as t

_ROUNDS: Final = 64
_NONE: Final = 255
_RISC: Final = {
    t.EM_MIPS: (mips_code.decode, (32, 36)),  # LB, LBU
    t.EM_PPC: (powerpc_code.decode, (34, 35)),  # LBZ, LBZU
}


@dataclass(frozen=True)
class Steps:
    """By instruction, registers as bits: what it ``reads`` memory through, what it certainly writes (``kills``), and of
    which ``parts`` it makes what it puts ``into`` a register; rows that may follow (``after``: -1 for none), whether it
    ``leaps`` to where nothing says, and where it stands (``starts``, offsets)."""

    reads: Ints
    kills: Ints
    parts: Ints
    into: Ints
    after: tuple[Ints, Ints]
    leaps: npt.NDArray[np.bool_]
    starts: Ints


class Function:
    """One function's code. Raises :class:`NotDecoded`."""

    def __init__(self, machine: int, big: bool, raw: U8) -> None:
        self.machine, self.raw = machine, raw
        self.words = raw[: len(raw) // 4 * 4].view(">u4" if big else "<u4").astype(np.uint32)
        if machine == t.EM_X86_64:
            self.steps = Steps(*x86_steps(raw))
        elif machine == t.EM_AARCH64:
            self.steps = _a64(self.words)
        else:
            self.steps = _risc(machine, self.words)

    def read(self, made: Iterable[int], loaded: Iterable[int]) -> bool:
        """Whether memory is read through an address that the instructions at the places ``made`` put into a register,
        or that those at ``loaded`` load (offsets in the function, of any of their bytes)."""
        held: dict[int, int] = {}
        for places, loads in ((made, False), (loaded, True)):
            for place in places:
                row = int(np.searchsorted(self.steps.starts, place, "right")) - 1
                register = self._taken(row, loads) if row >= 0 else -1
                if register >= 0:
                    held[row + 1] = held.get(row + 1, 0) | 1 << register
        return bool(held) and _read(self.steps, held)

    def _taken(self, row: int, loads: bool) -> int:
        """The register into which an instruction puts an address or, if it ``loads``, what it loads; -1: none."""
        if self.machine == t.EM_X86_64:
            return x86_taken(self.raw, int(self.steps.starts[row]), loads)
        word = int(self.words[row])
        if self.machine == t.EM_AARCH64:
            good = word & 0xFFC00000 == 0xF9400000 if loads else word & 0x7F800000 == 0x11000000
            return word & 31 if good and word & 31 < 31 else -1
        if self.machine == t.EM_MIPS:
            return word >> 16 & 31 if word >> 26 == (35 if loads else 9) else -1
        return word >> 21 & 31 if word >> 26 == (32 if loads else 14) else -1


def _read(steps: Steps, held: dict[int, int]) -> bool:
    """Follow registers (as bits) from before some rows. Where that does not end soon, the answer is yes."""
    count = len(steps.reads)
    reads, kills, parts, into = (x.tolist() for x in (steps.reads, steps.kills, steps.parts, steps.into))
    after, beside, leaps = steps.after[0].tolist(), steps.after[1].tolist(), steps.leaps.tolist()
    state, common = [0] * (count + 1), 0
    for row, bits in held.items():
        state[row] |= bits
    blocks = {0, *(row + 1 for row in range(count) if after[row] != row + 1)}
    for _ in range(_ROUNDS):
        again = False
        for row in range(count):
            now = state[row] | (common if row in blocks else 0)
            if now & reads[row]:
                return True
            if not now:
                continue
            out = now & ~kills[row] | (1 << into[row] if now & parts[row] else 0)
            if leaps[row] and out & ~common:
                common, again = common | out, True
            for to in (after[row], beside[row]):
                if to >= 0 and out & ~state[to]:
                    state[to] |= out
                    again |= to <= row
        if not again:
            return False
    return True


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
    to = np.where(all_.branches, rows + a64.displacement(words) // 4, -1)
    after = np.where(all_.falls, rows + 1, -1)
    reads: Ints = np.where(store | near, 0, bits)
    return Steps(
        reads, kills & ~back, parts, np.minimum(into, 31), (after, _inside(to, len(words))), all_.indirect, 4 * rows
    )


def _risc(machine: int, words: npt.NDArray[np.uint32]) -> Steps:
    if machine not in _RISC:
        raise NotDecoded(0, f"code of machine {machine}")
    decode, bytes_ = _RISC[machine]
    ops: Ops = decode(words, words, 0)[0]
    rows = np.arange(ops.count)
    near = np.isin(words >> 26, bytes_) & ((words & 0xFFFF == 0) | ops.update)
    memory = ((ops.kind == LOAD) | (ops.kind == FETCH)) & ~near
    reads = np.where(memory, _bit(ops.rs), 0)
    reads[ops.kind == FETCH] |= _bit(ops.rt)[ops.kind == FETCH]
    made = np.isin(ops.kind, (MOVE, ADDI, ADD)) & (ops.rd < 32)
    parts = np.where(made, _bit(ops.rs) | np.where(ops.kind == ADD, _bit(ops.rt), 0), 0)
    writes = ops.writes.astype(np.int64) & ~np.where(ops.update, _bit(ops.rs), 0)
    kills = np.where(ops.call, writes | int(ops.volatile), writes)
    after = np.minimum(ops.next, ops.count)
    leaps = np.zeros(ops.count, bool)
    leaps[np.minimum(rows[ops.jump >= 0] + ops.delayed, ops.count - 1)] = True
    return Steps(reads, kills, parts, np.maximum(ops.rd, 0), (after[0], after[1]), leaps, 4 * rows)


def _inside(to: Ints, count: int) -> Ints:
    out: Ints = np.where((to >= 0) & (to < count), to, -1)
    return out


def _bit(register: npt.NDArray[Any]) -> Ints:
    """A register as a bit; none for 31 of A64 and what is no register."""
    number = register.astype(np.int64)
    out: Ints = np.where((number >= 0) & (number < 32), 1 << np.clip(number, 0, 40), 0)
    return out
