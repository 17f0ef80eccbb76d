"""Instructions of 32-bit PowerPC (user mode, floating point): what the flow analysis needs to know of each.

Source: Power ISA 2.07, book I, chapters 2 to 4, and its appendices of instructions by opcode; AltiVec, SPE, VLE and
instructions for the kernel are not known and stop the decoding.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints, NotDecoded
from banbury.compare.equivalence.machines.operations import (
    ADD,
    ADDI,
    COUNT,
    FETCH,
    LINK,
    LOAD,
    MOVE,
    OTHER,
    SHIFTED,
    STORE,
    Flags,
    Ops,
    Words,
)

SP, SMALL, PIC, FRAME = 1, 13, 30, 31
_ONE: Final = np.uint64(1)
_LOADS = {32, 33, 34, 35, 40, 41, 42, 43, 46}
_STORES = {36, 37, 38, 39, 44, 45, 47}
_FLOATS = set(range(48, 56))
_UPDATES = {33, 35, 37, 39, 41, 43, 45, 49, 51, 53, 55}
#: Extended opcodes under 31: rD <- rA, rB; rA <- rS, rB; reads only; and what has no register of these.
_SUMS = {8, 10, 11, 40, 75, 104, 136, 138, 200, 202, 232, 234, 235, 266, 459, 491}
_LOGICS = {24, 26, 28, 60, 124, 284, 316, 412, 444, 476, 536, 792, 824, 922, 954}
_INDEXED_LOADS = {20, 23, 55, 87, 119, 279, 311, 343, 375, 534, 790}
_INDEXED_STORES = {150, 151, 183, 215, 247, 407, 439, 662, 918}
_INDEXED_FLOATS = {535, 567, 599, 631, 663, 695, 727, 759, 855, 887, 983}
_INDEXED_UPDATES = {55, 119, 183, 247, 311, 375, 439, 567, 631, 695, 759}
_CACHE = {54, 86, 246, 278, 470, 982, 1014}
_COMPARE = {0, 4, 32}
_PLAIN = {512, 598, 854}
_CONDITIONS = {0, 33, 129, 150, 193, 225, 257, 289, 417, 449}


def _in(values: npt.NDArray[np.uint32] | Ints, wanted: set[int]) -> Flags:
    table = np.zeros(1024, bool)
    table[list(wanted)] = True
    out: Flags = table[values]
    return out


def _bits(register: Ints) -> npt.NDArray[np.uint64]:
    return np.where(register >= 0, _ONE << np.maximum(register, 0).astype(np.uint64), np.uint64(0)).astype(np.uint64)


class Fields:
    """The fields of all words of a section, of the first file."""

    def __init__(self, words: Words) -> None:
        self.op = (words >> 26).astype(np.int64)
        self.d, self.a, self.b = (((words >> s) & 31).astype(np.int64) for s in (21, 16, 11))
        self.base = np.where(self.a == 0, -1, self.a)  # where register 0 stands for no register
        self.extended = ((words >> 1) & 1023).astype(np.int64)
        self.imm = _signed(words)
        self.link, self.absolute = (words & 1) != 0, (words & 2) != 0


def _signed(words: Words) -> Ints:
    return (words & 0xFFFF).astype(np.uint16).astype(np.int16).astype(np.int64)


def both(words: Words, other: Words, address: int, address_b: int) -> tuple[Ops, Ints, Ints, Ints]:
    """The instructions of a section of both files, the rows with targets, and the targets in each. Raises
    :class:`NotDecoded`."""
    ops, rows, targets = decode(words, other, address)
    _, rows_b, targets_b = decode(other, words, address_b)
    if not np.array_equal(rows, rows_b):
        raise NotDecoded(0, "branches are not the same")
    return ops, rows, targets, targets_b


def decode(words: Words, other: Words, address: int) -> tuple[Ops, Ints, Ints]:
    """The instructions of a section at ``address``, with the immediates of ``other`` too; the rows of branches, and
    where these lead. Raises :class:`NotDecoded`."""
    f, ops = Fields(words), Ops(len(words))
    ops.stack, ops.frame, ops.through = SP, FRAME, PIC
    ops.volatile = np.uint64(sum(1 << r for r in (0, *range(3, 13), COUNT)))
    ops.idle = words == 0x60000000
    ops.arguments = np.uint64(sum(1 << r for r in (*range(3, 13), PIC)))
    ops.results = np.uint64(sum(1 << r for r in (3, 4, *range(14, 32))))
    ops.imm[:] = f.imm, _signed(other)
    known = _immediates(f, ops)
    known |= _memory(f, ops)
    known |= _extended(f, ops)
    rows, targets, flow = _control(f, ops, words, address)
    known |= flow | (words == 0)  # a word of zeros is no instruction anywhere: it traps
    if not known.all():
        raise NotDecoded(4 * int(np.flatnonzero(~known)[0]), "an instruction that is not known")
    return ops, rows, targets


def _use(ops: Ops, rows: Flags, written: Ints | None, *read: Ints) -> None:
    if written is not None:
        ops.writes[rows] |= _bits(written[rows])
    for register in read:
        ops.reads[rows] |= _bits(register[rows])


def _set(ops: Ops, rows: Flags, kind: int, rd: Ints, rs: Ints, rt: Ints | None = None) -> None:
    ops.kind[rows] = kind
    ops.rd[rows], ops.rs[rows] = rd[rows], rs[rows]
    _use(ops, rows, rd, rs)
    if rt is not None:
        ops.rt[rows] = rt[rows]
        _use(ops, rows, None, rt)


def _immediates(f: Fields, ops: Ops) -> Flags:
    numbers = ((f.op == 14) | (f.op == 15)) & (f.a == 0)
    _use(ops, numbers, f.d)
    added, shifted = (f.op == 14) & (f.a != 0), (f.op == 15) & (f.a != 0)
    _set(ops, added, ADDI, f.d, f.a)
    _set(ops, shifted, SHIFTED, f.d, f.a)
    ops.imm[:, shifted] <<= 16
    sums = _in(f.op, {7, 8, 12, 13})
    _use(ops, sums, f.d, f.a)
    compared = _in(f.op, {3, 10, 11})
    _use(ops, compared, None, f.a)
    logics = _in(f.op, {20, 21, 24, 25, 26, 27, 28, 29})
    _use(ops, logics, f.a, f.d)
    _use(ops, f.op == 20, None, f.a)
    rotated = f.op == 23
    _use(ops, rotated, f.a, f.d, f.b)
    ops.field[added | shifted] = 0xFFFF
    out: Flags = numbers | added | shifted | sums | compared | logics | rotated
    return out


def _memory(f: Fields, ops: Ops) -> Flags:
    loads, stores, floats = _in(f.op, _LOADS), _in(f.op, _STORES), _in(f.op, _FLOATS)
    none = np.full_like(f.d, -1)
    _set(ops, loads, LOAD, f.d, f.base)
    _set(ops, stores, STORE, none, f.base, f.d)
    _set(ops, floats, STORE, none, f.base)
    updates = _in(f.op, _UPDATES)
    ops.update[updates] = True
    _use(ops, updates, f.a)
    many = (_ONE << np.uint64(32)) - (_ONE << f.d.astype(np.uint64))
    ops.writes[f.op == 46] |= many[f.op == 46]
    ops.reads[f.op == 47] |= many[f.op == 47]
    ops.word |= _in(f.op, {32, 33, 36, 37})
    ops.field[loads | stores | floats] = 0xFFFF
    out: Flags = loads | stores | floats | (f.op == 59) | (f.op == 63)
    return out


def _extended(f: Fields, ops: Ops) -> Flags:
    extended = f.op == 31
    number = np.where(extended, f.extended, 1023)
    short = number & 511
    sums = extended & _in(short, _SUMS) & ~_in(number, {523, 587})  # the two that have no form with overflow
    logics = extended & _in(number, _LOGICS)
    _use(ops, sums, f.d, f.a, f.b)
    added = sums & (short == 266)
    _set(ops, added, ADD, f.d, f.a, f.b)
    _use(ops, logics, f.a, f.d, f.b * (number != 824))
    copied = logics & (number == 444) & (f.d == f.b)
    _set(ops, copied, MOVE, f.a, f.d)
    chosen = extended & ((f.extended & 31) == 15)
    _use(ops, chosen, f.d, f.base, f.b)
    loads, stores = extended & _in(number, _INDEXED_LOADS), extended & _in(number, _INDEXED_STORES)
    _use(ops, loads, f.d, f.base, f.b)
    words = loads & (number == 23)
    _set(ops, words, FETCH, f.d, f.base, f.b)
    ops.word |= words
    floats, cache = extended & _in(number, _INDEXED_FLOATS), extended & _in(number, _CACHE)
    _use(ops, stores, None, f.base, f.b, f.d)
    ops.put[stores] = f.d[stores]
    _use(ops, floats | cache, None, f.base, f.b)
    _use(ops, extended & _in(number, _INDEXED_UPDATES), f.a)
    compared, plain = extended & _in(number, _COMPARE), extended & _in(number, _PLAIN)
    _use(ops, compared, None, f.a, f.b)
    out: Flags = sums | logics | chosen | loads | stores | floats | cache | compared | plain
    return out | _special(f, ops, number)


def _special(f: Fields, ops: Ops, number: Ints) -> Flags:
    """Moves from and to CTR, LR and other special registers."""
    register = f.a | f.b << 5
    out, into = number == 339, number == 467
    others = (number == 19) | (number == 371)  # condition register and time
    link, count = np.full_like(f.d, LINK), np.full_like(f.d, COUNT)
    for which, named in ((8, link), (9, count)):
        _set(ops, out & (register == which), MOVE, f.d, named)
        _set(ops, into & (register == which), MOVE, named, f.d)
    user = _in(np.minimum(register, 1023), {1, 8, 9, 256, 268, 269, 512})
    _use(ops, (out | others) & (ops.kind == OTHER), f.d)
    _use(ops, (into & (ops.kind == OTHER)) | (number == 144), None, f.d)
    good: Flags = out | (into & user) | others | (number == 144)
    return good


def _control(f: Fields, ops: Ops, words: Words, address: int) -> tuple[Ints, Ints, Flags]:
    here = address + 4 * np.arange(len(words), dtype=np.int64)
    far, near = f.op == 18, f.op == 16
    long = (words & 0x3FFFFFC).astype(np.int64)
    long -= (long & 0x2000000) << 1
    target = here + np.where(far, long, _signed(words) & ~3)
    registers = f.op == 19
    to_link, to_count = registers & (f.extended == 16), registers & (f.extended == 528)
    conditions = registers & _in(f.extended, _CONDITIONS)
    system = f.op == 17
    always = (f.d & 20) == 20
    if ((far | near) & f.absolute).any():
        raise NotDecoded(4 * int(np.flatnonzero((far | near) & f.absolute)[0]), "a branch to a fixed address")
    own = (far | (near & always)) & f.link & (target == here + 4)  # what asks for its own address
    calls = (far | near | to_link | to_count) & f.link & ~own
    inside = (far | near) & (target >= address) & (target < address + 4 * len(words))
    leads = np.where(inside, (target - address) // 4, -1)
    ends = (far & ~f.link) | ((near | to_link | to_count) & always & ~f.link)
    ops.next[0, ends] = -1
    ops.next[1] = np.where(calls | own, -1, leads)
    ops.call[:] = calls | system
    ops.callee[:] = np.where(calls, leads, -1)
    ops.maybe = ((near & f.link) | to_link | to_count) & ~always
    ops.entry[leads[calls & (leads >= 0)]] = True
    ops.via[to_count & f.link] = COUNT
    bound = calls & (leads >= 0)  # calls of stubs, which read the linkage table by register 30 and jump
    at = np.where(bound, leads, 0)
    stub = ((f.op[at] == 32) | (f.op[at] == 15)) & (f.d[at] == 11) & (f.a[at] == PIC)
    ops.foreign[bound & (stub | _absolute(words)[at])] = True
    ops.returns = to_link & always & ~f.link
    ops.leaves = (far | near) & ~inside & ~calls
    jumps = to_count & ~f.link
    ops.jump[jumps] = COUNT
    _use(ops, calls | own, np.full_like(f.d, LINK))
    _use(ops, to_count, None, np.full_like(f.d, COUNT))
    _use(ops, to_link, None, np.full_like(f.d, LINK))
    ops.reads[system] |= np.uint64(0x7F9)  # r0 and r3 to r10
    counted = near & ((f.d & 4) == 0)
    _use(ops, counted, np.full_like(f.d, COUNT), np.full_like(f.d, COUNT))
    ops.field[far], ops.field[near] = 0x3FFFFFC, 0xFFFC
    rows = np.flatnonzero((far | near) & ~own)
    return rows, target[rows], far | near | to_link | to_count | conditions | system


def _absolute(words: Words) -> Flags:
    """Rows of stubs of files for a fixed address: "lis r11; lwz r11; mtctr r11; bctr"."""
    behind = np.append(words, np.zeros(3, np.uint32))
    out: Flags = (words >> 16 == 0x3D60) & (behind[1:-2] >> 16 == 0x816B)
    out &= (behind[2:-1] == 0x7D6903A6) & (behind[3:] == 0x4E800420)
    return out


def asks(words: Words) -> Ints:
    """Rows that put the address of the next row into LR and do nothing else (``bcl 20,31,$+4``, ``bl $+4``)."""
    out: Ints = np.flatnonzero(((words & 0xFFE0FFFF) == 0x42800005) | (words == 0x48000005))
    return out
