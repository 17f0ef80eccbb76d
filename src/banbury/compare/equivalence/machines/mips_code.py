"""Instructions of MIPS32 (releases 1 to 5, both byte orders): what the flow analysis needs to know of each.

Source: MIPS Architecture for Programmers, volume II-A (MD00086); instructions of the DSP, MSA, MIPS16 and microMIPS
extensions, of release 6 and of coprocessors 0 and 2 are not known and stop the decoding.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.machines.operations import (
    ADD,
    ADDI,
    FETCH,
    LOAD,
    MERGE,
    MOVE,
    STORE,
    Flags,
    Ops,
    Words,
)

GP, SP, FP, T9, RA = 28, 29, 30, 25, 31
_ONE: Final = np.uint64(1)
#: Functions of SPECIAL by what they read and write.
_SHIFTS = {0, 2, 3}  # rd <- rt
_BOTH = {4, 6, 7, 32, 33, 34, 35, 36, 37, 38, 39, 42, 43}  # rd <- rs, rt
_MOVES = {1, 10, 11}  # rd <- rs, or rd stays
_READS = {17, 19, 24, 25, 26, 27, 48, 49, 50, 51, 52, 54}
_PLAIN = {12, 13, 15}
_LOADS = {32, 33, 34, 35, 36, 37, 38, 48}
_STORES = {40, 41, 42, 43, 46, 56}
_FLOATS = {49, 51, 53, 57, 61}  # with a base register, and no other
_BRANCHES = {4, 5, 6, 7, 20, 21, 22, 23}


def _in(values: npt.NDArray[np.uint32] | Ints, wanted: set[int]) -> Flags:
    table = np.zeros(64, bool)
    table[list(wanted)] = True
    out: Flags = table[values]
    return out


def _any(*flags: Flags) -> Flags:
    out = flags[0].copy()
    for one in flags[1:]:
        out |= one
    return out


def _bits(register: Ints) -> npt.NDArray[np.uint64]:
    """A register as a set; register 0 is none."""
    return np.where(register > 0, _ONE << register.astype(np.uint64), np.uint64(0)).astype(np.uint64)


class Fields:
    """The fields of all words of a section, of the first file."""

    def __init__(self, words: Words) -> None:
        self.op = words >> 26
        self.rs, self.rt, self.rd = (((words >> s) & 31).astype(np.int64) for s in (21, 16, 11))
        self.shamt, self.function = (words >> 6) & 31, words & 63
        self.imm = (words & 0xFFFF).astype(np.uint16).astype(np.int16).astype(np.int64)


def both(words: Words, other: Words, address: int, address_b: int) -> tuple[Ops, Ints, Ints, Ints]:
    """The instructions of a section of both files, the rows with targets, and the targets in each. Raises
    :class:`NotDecoded`."""
    ops, rows, targets = decode(words, other, address)
    _, rows_b, targets_b = decode(other, words, address_b)
    if not np.array_equal(rows, rows_b):
        raise NotDecoded(0, "branches are not the same")
    return ops, rows, targets, targets_b


def decode(words: Words, other: Words, address: int) -> tuple[Ops, Ints, Ints]:
    """The instructions of a section at ``address``, with the immediates of ``other`` too; the rows of instructions
    with a relative or absolute target, and these targets. Raises :class:`NotDecoded`."""
    f, ops = Fields(words), Ops(len(words))
    known = np.zeros(len(words), bool)
    ops.stack, ops.frame, ops.delayed, ops.linked = SP, FP, 1, T9
    ops.volatile = np.uint64(sum(1 << r for r in (*range(1, 16), 24, 25)))
    ops.idle = words == 0
    ops.arguments = np.uint64(sum(1 << r for r in (2, 3, 4, 5, 6, 7, 15, 25)))
    ops.results = np.uint64(sum(1 << r for r in (2, 3, *range(16, 24), 30)))
    second = (other & 0xFFFF).astype(np.uint16).astype(np.int16).astype(np.int64)
    ops.imm[:] = f.imm, second
    known |= _special(f, ops)
    known |= _immediates(f, ops)
    known |= _memory(f, ops)
    known |= _extended(f, ops)
    rows, targets, flow = _control(f, ops, words, address)
    known |= flow
    if not known.all():
        raise NotDecoded(4 * int(np.flatnonzero(~known)[0]), "an instruction that is not known")
    for name in ("rd", "rs", "rt"):
        column = getattr(ops, name)
        column[column == 0] = -1
    return ops, rows, targets


def _set(ops: Ops, rows: Flags, kind: int, rd: Ints, rs: Ints, rt: Ints | None = None) -> None:
    ops.kind[rows] = kind
    ops.rd[rows], ops.rs[rows] = rd[rows], rs[rows]
    ops.reads[rows] |= _bits(rs[rows])
    ops.writes[rows] |= _bits(rd[rows])
    if rt is not None:
        ops.rt[rows] = rt[rows]
        ops.reads[rows] |= _bits(rt[rows])


def _special(f: Fields, ops: Ops) -> Flags:
    special = f.op == 0
    shifts, both, reads = (special & _in(f.function, wanted) for wanted in (_SHIFTS, _BOTH, _READS))
    moves, plain = special & _in(f.function, _MOVES), special & _in(f.function, _PLAIN)
    _use(ops, shifts, f.rd, f.rt)
    _use(ops, both, f.rd, f.rs, f.rt)
    _use(ops, reads, None, f.rs, f.rt)
    results = special & ((f.function == 16) | (f.function == 18))
    _use(ops, results, f.rd)
    sums = both & ((f.function == 33) | (f.function == 37))
    copies, copies_b = sums & (f.rt == 0), sums & (f.rs == 0) & (f.rt != 0)
    _set(ops, copies, MOVE, f.rd, f.rs)
    _set(ops, copies_b, MOVE, f.rd, f.rt)
    added = both & (f.function == 33) & (f.rs != 0) & (f.rt != 0)
    _set(ops, added, ADD, f.rd, f.rs, f.rt)
    ops.kind[moves] = MERGE
    ops.rd[moves], ops.rs[moves] = f.rd[moves], f.rs[moves]
    ops.reads[moves] |= _bits(f.rs[moves]) | _bits(f.rd[moves])
    _use(ops, moves & (f.function != 1), None, f.rt)
    system = special & (f.function == 12)
    ops.reads[system] |= np.uint64(0x3F4)  # v0, a0 to a3, and two more
    ops.writes[system] |= np.uint64(1 << 2 | 1 << 7)
    return _any(shifts, both, reads, moves, plain, results)


def _use(ops: Ops, rows: Flags, written: Ints | None, *read: Ints) -> None:
    if written is not None:
        ops.writes[rows] |= _bits(written[rows])
    for register in read:
        ops.reads[rows] |= _bits(register[rows])


def _immediates(f: Fields, ops: Ops) -> Flags:
    added = (f.op == 8) | (f.op == 9)
    _set(ops, added, ADDI, f.rt, f.rs)
    others = (f.op >= 10) & (f.op <= 15) & ~((f.op == 15) & (f.rs != 0))
    _use(ops, others, f.rt, f.rs)
    return _any(added, others)


def _memory(f: Fields, ops: Ops) -> Flags:
    loads, stores, floats = _in(f.op, _LOADS), _in(f.op, _STORES), _in(f.op, _FLOATS)
    _set(ops, loads, LOAD, f.rt, f.rs)
    _set(ops, stores, STORE, np.full_like(f.rt, -1), f.rs, f.rt)
    _set(ops, floats, STORE, np.full_like(f.rt, -1), f.rs)
    partial = (f.op == 34) | (f.op == 38)
    ops.reads[partial] |= _bits(f.rt[partial])
    conditional = f.op == 56
    ops.writes[conditional] |= _bits(f.rt[conditional])
    ops.word |= (f.op == 35) | (f.op == 43)
    indexed = f.op == 19
    moved = indexed & _in(f.function, {0, 1, 5, 8, 9, 13, 15})
    _use(ops, moved, None, f.rs, f.rt)
    sums = indexed & (f.function >= 32) & (f.function <= 62)
    return _any(loads, stores, floats, moved, sums)


def _extended(f: Fields, ops: Ops) -> Flags:
    second, third, floats = f.op == 28, f.op == 31, f.op == 17
    product = second & _in(f.function, {0, 1, 4, 5})
    _use(ops, product, None, f.rs, f.rt)
    made = second & _in(f.function, {2, 32, 33})
    _use(ops, made, f.rd, f.rs, f.rt)
    fields = third & _in(f.function, {0, 4})
    _use(ops, fields, f.rt, f.rs, f.rt)
    swapped = third & (f.function == 32) & np.isin(f.shamt, [2, 16, 24])
    _use(ops, swapped, f.rd, f.rt)
    hardware = third & (f.function == 59)
    _use(ops, hardware, f.rt)
    fetched = third & (f.function == 10) & np.isin(f.shamt, [0, 4, 6])
    _set(ops, fetched, FETCH, f.rd, f.rs, f.rt)
    ops.word |= fetched & (f.shamt == 0)
    to_core = floats & np.isin(f.rs, [0, 2, 3])
    _use(ops, to_core, f.rt)
    from_core = floats & np.isin(f.rs, [4, 6, 7])
    _use(ops, from_core, None, f.rt)
    sums = floats & np.isin(f.rs, [16, 17, 20, 21, 22])
    chosen = sums & _in(f.function, {18, 19})
    _use(ops, chosen, None, f.rt)
    return _any(product, made, fields, swapped, hardware, fetched, to_core, from_core, sums)


def _control(f: Fields, ops: Ops, words: Words, address: int) -> tuple[Ints, Ints, Flags]:
    """Branches and jumps. The row behind one runs before the jump does; the row decides nothing itself."""
    here = np.arange(len(words), dtype=np.int64)
    first = f.op == 1
    traps = first & _in(f.rt, {8, 9, 10, 11, 12, 14, 31})
    linked = first & _in(f.rt, {16, 17, 18, 19})
    compared = first & _in(f.rt, {0, 1, 2, 3}) | linked
    floats = (f.op == 17) & (f.rs == 8)
    relative = compared | floats | _in(f.op, _BRANCHES)
    absolute = (f.op == 2) | (f.op == 3)
    register = (f.op == 0) & ((f.function == 8) | (f.function == 9))
    any_of = relative | absolute | register
    target = address + 4 * here + 4 + 4 * f.imm
    region = (address + 4 * here + 4) & ~0xFFFFFFF
    target = np.where(absolute, region | ((words & 0x3FFFFFF).astype(np.int64) << 2), target)
    own = (linked | (f.op == 3)) & (target == address + 4 * here + 8)  # what asks for its own address
    calls = (linked | (f.op == 3) | (register & (f.function == 9))) & ~own
    likely = (f.op >= 20) & (f.op <= 23) | (first & _in(f.rt, {2, 3, 18, 19}))
    likely |= floats & ((f.rt & 2) != 0)
    certain = (f.op == 4) & (f.rs == f.rt) | (first & (f.rt == 1) & (f.rs == 0)) | (f.op == 2)
    certain |= register & (f.function == 8)
    _use(ops, relative & ~floats, None, f.rs, f.rt * (f.op != 1))
    _use(ops, register, None, f.rs)
    _use(ops, traps & (f.rt == 31), None, f.rs)
    _use(ops, register & (f.function == 9), f.rd)
    ops.writes[linked | (f.op == 3)] |= _bits(np.array([RA]))[0]
    at = np.flatnonzero(any_of)
    if len(at) and (at[-1] + 1 >= len(words) or any_of[at + 1].any()):
        raise NotDecoded(4 * int(at[-1]), "a jump behind a jump, or at the end")
    inside = (relative | absolute) & (target >= address) & (target < address + 4 * len(words))
    leads = np.where(inside, (target - address) // 4, -1)
    slot = at + 1
    behind = np.where(slot + 1 < len(words), slot + 1, -1)
    ops.next[0, slot] = np.where((certain[at] | likely[at] & ~calls[at]) & ~own[at], -1, behind)
    ops.next[1, slot] = np.where(calls[at] | own[at], -1, leads[at])
    skips = at[likely[at] & ~calls[at] & ~own[at]]
    ops.next[1, skips] = np.where(skips + 2 < len(words), skips + 2, -1)
    ops.call[slot] = calls[at]
    ops.callee[slot] = np.where(calls[at], leads[at], -1)
    ops.maybe[slot] = (linked & ~(((f.rt == 17) | (f.rt == 19)) & (f.rs == 0)))[at]
    called = leads[calls & (leads >= 0)]
    ops.entry[called] = True
    out = register & (f.function == 8) & (f.rs != RA)
    ops.jump[out] = f.rs[out]
    ops.returns[slot] = (register & (f.function == 8) & (f.rs == RA))[at]
    ops.leaves[slot] = ((relative | absolute) & ~inside & ~calls)[at]
    called = register & (f.function == 9)
    ops.via[called] = f.rs[called]
    rows = np.flatnonzero(relative | absolute)
    ops.field[relative | (f.op >= 8)], ops.field[absolute] = 0xFFFF, 0x3FFFFFF
    return rows, target[rows], relative | absolute | register | traps
