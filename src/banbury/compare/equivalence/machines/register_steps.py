"""What instructions do with registers, for :mod:`carried`: what they read memory through, write, add and hand on.

Sources: Intel SDM, volume 2; Arm ARM DDI 0487; MIPS MD00086; Power ISA 2.07.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Code, Ints, NotDecoded
from banbury.compare.equivalence.machines import a64, displaced, mips_code, powerpc_code
from banbury.compare.equivalence.machines.contract import U8, Mask
from banbury.compare.equivalence.machines.operations import (
    ADD,
    ADDI,
    FETCH,
    LOAD,
    MERGE,
    MOVE,
    OTHER,
    SHIFTED,
    STORE,
    Ops,
)
from banbury.compare.equivalence.machines.x86_64_absolute import Operands
from banbury.compare.equivalence.machines.x86_64_carried import CALLER_SAVED, NOWHERE
from banbury.compare.equivalence.machines.x86_64_carried import steps as x86_steps
from banbury.compare.equivalence.machines.x86_64_decoded import decode as x86_decode
from banbury.formats import _elf_types as t

_REGISTERS: Final = (1 << 32) - 1  # as bits
_FEW_BITS: Final = 12  # of a number that is an index of a table
_SOON_USED: Final = 5  # instructions within which it is
_NONE: Final = 255
_RISC: Final = {
    t.EM_MIPS: (mips_code.decode, (32, 36)),  # LB, LBU
    t.EM_PPC: (powerpc_code.decode, (34, 35)),  # LBZ, LBZU
}
_T9: Final = 25  # the register through which functions of MIPS are called
_SOON: Final = 16  # instructions before a jump
_FUNCTION: Final = (0x8F99, 0x2739)  # lw $t9, n($gp) and addiu $t9, $t9, n
_BYTES_INDEXED: Final = (0x7C0000AE, 0x7C0000EE)  # LBZX, LBZUX
#: Extended opcodes of PowerPC: STWX and the like, LWARX and the like, and what puts the sum into the first register.
_STORES_INDEXED: Final = (150, 151, 183, 215, 247, 407, 439, 662, 663, 695, 727, 759, 918, 983)
_LOADS_INDEXED: Final = (20, 23, 55, 87, 119, 279, 311, 343, 375, 534, 535, 567, 599, 631, 790, 855, 887)
_STEPS_INDEXED: Final = (55, 119, 183, 247, 311, 375, 439, 567, 631, 695, 759)


#: Comparisons of A64 (SUBS and ANDS into nothing, CCMP), as masks and words.
_A64_COMPARED: Final = (
    (0x7F20001F, 0x6B00001F), (0x7FE0001F, 0x6B20001F), (0x7F00001F, 0x6A00001F), (0x7F80001F, 0x7100001F),
    (0x7F80001F, 0x7200001F), (0x7FE00410, 0x7A400000),
)  # fmt: skip


@dataclass(frozen=True)
class Steps:
    """By instruction, registers as bits: what it ``reads`` memory through, what it certainly writes (``kills``), and of
    which ``parts`` it makes what it puts ``into`` a register; whether the next one follows (``falls``), the offset that
    a branch ``leads`` to (or ``NOWHERE``), whether it ``leaps`` to where nothing says, where it stands (``starts``);
    what words it ``fetches`` through which registers, and ``gets`` into which; whether it ``calls``, and the offset of
    the ``callee`` (or ``NOWHERE``); what it ``joins`` with another register, which it puts ``into`` one, through what
    it reads or writes more than a byte (``wide``), and what it finds that by with another (``indexed``); what
    it adds a number to where it is (``stepped``), and what it ``hands`` to the kernel, or on a condition; through what
    it loads parts of the word that is there (``parted``), but for single bytes. ``volatile``: registers that functions
    may change."""

    reads: Ints
    kills: Ints
    parts: Ints
    into: Ints
    falls: Mask
    leads: Ints
    leaps: Mask
    starts: Ints
    fetches: Ints
    gets: Ints
    calls: Mask
    callee: Ints
    joins: Ints
    wide: Ints
    indexed: Ints
    stepped: Ints
    hands: Ints
    parted: Ints
    volatile: int


def steps(
    machine: int, big: bool, raw: U8, address: int = 0, code: Code | None = None, has: Operands | None = None
) -> Steps:
    """What the code ``raw`` at an address does with registers. ``code``, ``has``: its instructions and their operands,
    if they are known (x86-64). Raises :class:`NotDecoded`."""
    if machine == t.EM_X86_64:
        return Steps(*x86_steps(raw, code or x86_decode(raw.data, 0), has), CALLER_SAVED)
    words = raw[: len(raw) // 4 * 4].view(">u4" if big else "<u4").astype(np.uint32)
    return _a64(words) if machine == t.EM_AARCH64 else _risc(machine, words, address)


def _a64(words: npt.NDArray[np.uint32]) -> Steps:
    all_, added = a64.decode(words), displaced.a64(words)
    rows = np.arange(len(words))
    single = a64.is_(words, 0x3A000000, 0x38000000)
    byte = single & a64.is_(words, 0xC4000000, 0)
    other = single & a64.is_(words, 0x00200000, 0x00200000) & ~a64.is_(words, 0x00000C00, 0x00000800)  # LSE, LDRAA
    store = (single & a64.is_(words, 0x00C00000, 0) & ~other) | (a64.is_(words, 0x3A400000, 0x28000000))
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
    data = (a64.is_(words, 0x1C000000, 0x10000000) | a64.is_(words, 0x0E000000, 0x0A000000)) & (all_.writes != 0)
    pieces = _a64_pieces(words, all_)
    data &= ~pieces
    parts |= np.where(data, all_.reads.astype(np.int64), 0)  # what is made of an address is followed as one
    into = np.where(data, a64.field(words, 0, 5).astype(np.int64), into)
    kills = np.where(all_.calls, a64.CALLER_SAVED, all_.writes).astype(np.int64)
    back = _bit(added.back)  # a register that a load or store moves on keeps its text
    to = np.where(all_.branches, 4 * rows + a64.displacement(words), NOWHERE)
    falls = all_.falls | a64.is_(words, 0xFF000000, 0xD4000000)  # behind BRK and HLT too: who handles them may go on
    chosen = a64.is_(words, 0x1FE00000, 0x1A800000)  # CSEL and the like
    every, found = added.parts.astype(np.int64), added.whole == _NONE
    two = data & a64.is_(words, 0x0E000000, 0x0A000000) & (source < 31) & (a64.field(words, 5, 5) < 31) & ~chosen
    joins: Ints = np.asarray(np.where(chosen | found, 0, every), np.int64) | np.where(sums, _bit(added.base), 0)
    joins = joins | np.where(two, all_.reads.astype(np.int64), 0)
    known = memory | (found & (every != 0)) | sums | whole | move | (added.back < 31) | pieces
    known |= all_.branches | all_.calls | all_.indirect
    known |= a64.is_(words, 0xFF000000, 0xD5000000) | ~all_.falls  # hints, barriers; returns
    # loads and stores at a distance from a register, of one register or two: what is stored is in memory then
    known |= a64.is_(words, 0x3B000000, 0x39000000) | a64.is_(words, 0x3B200000, 0x38000000) | store
    known |= a64.is_(words, 0x3A000000, 0x28000000)
    for mask, form in _A64_COMPARED:
        known |= a64.is_(words, mask, form)
    odd: Ints = np.where(known & ~other, 0, all_.reads.astype(np.int64))
    system = a64.is_(words, 0xFFF80000, 0xD5080000) | a64.is_(words, 0xFFF00000, 0xD5100000)  # SYS (DC ZVA), MSR
    odd |= np.where(system, _bit(a64.field(words, 0, 5)), 0)
    reads: Ints = np.where(store | near, 0, bits)
    reads = reads | np.where(data, 0, odd) | _a64_stack(words)
    looked = byte & ~store  # one byte that is read
    indexed: Ints = np.where(found & ~looked, every, 0) | odd
    asks = np.where(a64.is_(words, 0xFFE0001C, 0xD4000000) & ~a64.is_(words, 3, 0), _REGISTERS >> 1, 0)  # SVC, HVC, SMC
    wide = np.where(looked, 0, np.where(memory, _bit(added.base), 0) | _bit(added.back) | indexed)
    called = np.where(a64.is_(words, 0xFC000000, 0x94000000), 4 * rows + a64.displacement(words), NOWHERE)
    return Steps(
        reads, kills & ~back, parts, np.minimum(into, 31), falls, to, all_.indirect, 4 * rows,
        *_a64_fetched(words), all_.calls, called, joins, wide, indexed, back, asks, _a64_parted(words),
        a64.CALLER_SAVED,
    )  # fmt: skip


def _a64_pieces(words: npt.NDArray[np.uint32], all_: a64.Decoded) -> Mask:
    """AND with a small mask whose result is but the index of a load soon behind it, which is put into the same
    register: some bits of what may be an address say which element of a table is loaded, and are gone then."""
    d, n, m = (a64.field(words, at, 5) for at in (0, 5, 16))
    wide, narrow = (a64.is_(words, 0xFFFF0000, kind) for kind in (0x92400000, 0x12000000))
    waits = (wide | narrow) & (a64.field(words, 10, 6) < _FEW_BITS) & (d < 31)
    load = a64.is_(words, 0x3F200C00, 0x38200800) & (all_.writes != 0) & (m == d) & (n != d)
    goes_on = all_.falls & ~all_.branches & ~all_.calls
    used = all_.reads | all_.writes
    out: Mask = np.zeros(len(words), bool)
    for behind in range(1, min(_SOON_USED, len(words))):
        row = np.flatnonzero(waits[:-behind])
        after, register = row + behind, d[row]
        out[row[load[after] & (d[after] == register)]] = True
        waits[row[(used[after] >> register & 1 == 1) | ~goes_on[after]]] = False
    return out


def _a64_stack(words: npt.NDArray[np.uint32]) -> Ints:
    """The registers whose address goes into the stack pointer, which is not followed."""
    sums = a64.is_(words, 0x3F800000, 0x11000000) | a64.is_(words, 0x3FE00000, 0x0B200000)
    bits = a64.is_(words, 0x1F800000, 0x12000000) & ~a64.is_(words, 0x60000000, 0x60000000)
    into = (sums | bits) & a64.is_(words, 0x1F, 0x1F)
    second = np.where(a64.is_(words, 0x1FE00000, 0x0B200000), _bit(a64.field(words, 16, 5)), 0)
    return np.where(into, (_bit(a64.field(words, 5, 5)) | second) & (_REGISTERS >> 1), 0)


def _a64_fetched(words: npt.NDArray[np.uint32]) -> tuple[Ints, Ints]:
    """Loads of whole registers: the registers that say where from (as bits), and those that are loaded."""
    d, n, a, m = (_bit(a64.field(words, at, 5).astype(np.int64)) & 0x7FFFFFFF for at in (0, 5, 10, 16))
    alone: Mask = a64.is_(words, 0xFFC00000, 0xF9400000) | a64.is_(words, 0xFFC00000, 0xF8400000)
    indexed = a64.is_(words, 0xFFE00C00, 0xF8600800)
    pair = a64.is_(words, 0xFE400000, 0xA8400000)
    exclusive = a64.is_(words, 0xBF400000, 0x88400000) & a64.is_(words, 0x40000000, 0x40000000)  # LDXR, LDAR, LDXP
    atomic = a64.is_(words, 0xFF200C00, 0xF8200000) | a64.is_(words, 0xFFBFFC00, 0xF8BFC000)  # LDADD, SWP; LDAPR
    swaps = a64.is_(words, 0xFFA07C00, 0xC8A07C00)  # CAS
    some = alone | pair | exclusive | atomic | swaps
    fetches: Ints = np.asarray(np.where(some, n, 0), np.int64) | np.asarray(np.where(indexed, m, 0), np.int64)
    gets: Ints = np.where(alone | atomic, d, np.where(pair | exclusive, d | a, np.where(swaps, m, 0)))
    return fetches, gets


def _risc(machine: int, words: npt.NDArray[np.uint32], address: int) -> Steps:
    if machine not in _RISC:
        raise NotDecoded(0, f"code of machine {machine}")
    decode, bytes_ = _RISC[machine]
    found: tuple[Ops, Ints, Ints] = decode(words, words, address)
    ops, branches, targets = found
    rows = np.arange(ops.count)
    near = np.isin(words >> 26, bytes_) & ((words & 0xFFFF == 0) | ops.update)
    odd, aside = _odd(machine, words, ops), np.isin(ops.kind, (MOVE, ADDI, ADD)) & (ops.rd >= 32)  # into LR or CTR
    reads, parts, into, back = _made(machine, words, ops, odd, near)
    reads |= np.where(aside, ops.reads.astype(np.int64) & _REGISTERS, 0)
    writes = ops.writes.astype(np.int64) & ~back
    kills = np.where(ops.call, writes | int(ops.volatile) & 0xFFFFFFFF, writes)
    leads: Ints = np.where(ops.next[1] >= 0, 4 * ops.next[1], NOWHERE)
    callee = np.full(ops.count, NOWHERE, np.int64)
    at = np.minimum(branches + ops.delayed, ops.count - 1)  # where a branch takes effect
    calls = ops.call[at]
    callee[at[calls]] = targets[calls] - address
    leads[at[~calls]] = targets[~calls] - address
    leaps = np.zeros(ops.count, bool)
    jumps = rows[ops.jump >= 0]
    if machine == t.EM_MIPS:
        jumps = jumps[~_tail_calls(words, jumps)]
    leaps[np.minimum(jumps + ops.delayed, ops.count - 1)] = True
    whole = ((ops.kind == LOAD) & ops.word) | (ops.kind == FETCH)
    fetches: Ints = np.asarray(np.where(whole, _bit(ops.rs), 0), np.int64)
    fetches[ops.kind == FETCH] |= _bit(ops.rt)[ops.kind == FETCH]
    linked, through, gets = _linked(machine, words)
    fetches |= through
    gets = np.where(linked, gets, np.where(whole, _bit(ops.rd), 0))
    joins: Ints = np.asarray(np.where(ops.kind == ADD, _bit(ops.rs) | _bit(ops.rt), 0), np.int64)
    joins |= np.where((ops.kind == ADDI) & (ops.imm[0] != 0), _bit(ops.rs), 0)
    alone = np.isin(words >> 26, bytes_) | ((machine == t.EM_PPC) & np.isin(words & 0xFC0007FE, _BYTES_INDEXED))
    indexed: Ints = np.asarray(np.where((ops.kind == FETCH) & ~alone, _bit(ops.rs) | _bit(ops.rt), 0), np.int64)
    indexed |= np.where(odd | aside, ops.reads.astype(np.int64) & _REGISTERS, 0)
    stepped = np.where(ops.update, _bit(ops.rs), 0)
    if machine == t.EM_PPC:
        stepped = np.where(words & 0xFC0007FE == _BYTES_INDEXED[1], _bit(words >> 16 & 31), stepped)
    access = np.isin(ops.kind, (LOAD, STORE)) & ~alone
    wide: Ints = np.asarray(np.where(access, _bit(ops.rs), 0), np.int64) | indexed
    return Steps(
        reads, kills, parts, into, ops.next[0] >= 0, leads, leaps, 4 * rows,
        fetches, gets, ops.call, callee, joins, wide, indexed,
        stepped, _hands(machine, words), _parted(machine, words), int(ops.volatile) & 0xFFFFFFFF,
    )  # fmt: skip


def _made(
    machine: int, words: npt.NDArray[np.uint32], ops: Ops, odd: Mask, near: Mask
) -> tuple[Ints, Ints, Ints, Ints]:
    """The registers that instructions read memory through, those of which they make something and which that is put
    into, and those that they step; ``odd``: whose use is not known, ``near``: that look at one byte. What is made of
    an address is followed as one, and where it goes elsewhere than into one register it counts as reading."""
    loads, fetches = (ops.kind == LOAD) | _float_loads(machine, words), ops.kind == FETCH
    reads: Ints = np.where((loads | fetches) & ~near, _bit(ops.rs), 0)
    reads = reads | np.where(fetches, _bit(ops.rt), 0)
    made = np.isin(ops.kind, (MOVE, ADDI, ADD, MERGE, SHIFTED)) & (ops.rd < 32)
    parts = np.where(made, _bit(ops.rs) | np.where(ops.kind == ADD, _bit(ops.rt), 0), 0)
    parts |= np.where(ops.kind == MERGE, _bit(ops.rd), 0)
    used, written = ops.reads.astype(np.int64) & _REGISTERS, ops.writes.astype(np.int64) & _REGISTERS
    stores, indexed, steps = _indexed(machine, words)
    alone = odd & (written != 0) & (written & (written - 1) == 0) & ~indexed
    base, second = (words >> at & 31 for at in (16, 11))
    parts = np.where(alone, used, np.where(steps, _bit(second), parts))
    into = np.where(alone, np.log2(np.maximum(written, 1)).astype(np.int64), np.maximum(ops.rd, 0))
    reads |= np.where(odd & ~alone & ~stores, used, 0)
    return reads, parts, np.where(steps, base, into), np.where(ops.update, _bit(ops.rs), np.where(steps, _bit(base), 0))


def _a64_parted(words: npt.NDArray[np.uint32]) -> Ints:
    """See :class:`Steps`: LDRH, LDR of 32 bits and the like, also of vectors, at less than a word from the register."""
    size, low = a64.field(words, 30, 2).astype(np.int64), a64.field(words, 10, 12).astype(np.int64)
    vector, load = a64.is_(words, 0x04000000, 0x04000000), ~a64.is_(words, 0x00C00000, 0)
    near = a64.is_(words, 0x3B000000, 0x39000000) & (low << size < 8)
    near |= a64.is_(words, 0x3B200C00, 0x38000000) & (a64.field(words, 12, 9) < 8)
    some = near & load & (((size > 0) & (size < 3) & ~vector) | (vector & a64.is_(words, 0x00400000, 0x00400000)))
    some |= a64.is_(words, 0xBE400000, 0x28400000) & (a64.field(words, 15, 7) < 2)  # LDP, LDPSW
    far = a64.is_(words, 0x3B200C00, 0x38200800) & load & (((size > 0) & (size < 3)) | vector)  # at an index
    base, index = (_bit(a64.field(words, at, 5)) & (_REGISTERS >> 1) for at in (5, 16))
    out: Ints = np.where(some | (far & (index == 0)), base, 0)
    return out | np.where(far, index, 0)


def _parted(machine: int, words: npt.NDArray[np.uint32]) -> Ints:
    """See :class:`Steps`: LH, LHU, LWL, LWR; LHZ, LHA."""
    mips = machine == t.EM_MIPS
    some = np.isin(words >> 26, (33, 34, 37, 38) if mips else (40, 42)) & (words & 0xFFFF < 4)
    return np.where(some, _bit(words >> (21 if mips else 16) & 31), 0)


def _linked(machine: int, words: npt.NDArray[np.uint32]) -> tuple[Mask, Ints, Ints]:
    """LL; LWARX, LWBRX: which these are, the registers that they read memory through, and which they load."""
    third, second, first = (_bit(words >> at & 31) for at in (21, 16, 11))
    if machine == t.EM_MIPS:
        linked: Mask = words >> 26 == 48
        return linked, np.where(linked, third, 0), np.where(linked, second, 0)
    linked = (words >> 26 == 31) & np.isin(words >> 1 & 1023, (20, 534))
    return linked, np.where(linked, second | first, 0), np.where(linked, third, 0)


def _float_loads(machine: int, words: npt.NDArray[np.uint32]) -> Mask:
    """Loads of floating-point registers: LWC1, LDC1; LFS to LFDU."""
    out: Mask = np.isin(words >> 26, (49, 53) if machine == t.EM_MIPS else (48, 49, 50, 51))
    return out


def _indexed(machine: int, words: npt.NDArray[np.uint32]) -> tuple[Mask, Mask, Mask]:
    """Stores to a sum of two registers, all accesses there, and which of these put the sum into the first (PowerPC)."""
    number = np.where((machine == t.EM_PPC) & (words >> 26 == 31), words >> 1 & 1023, 1023)
    stores, steps = np.isin(number, _STORES_INDEXED), np.isin(number, _STEPS_INDEXED)
    return stores, stores | steps | np.isin(number, _LOADS_INDEXED), steps


def _hands(machine: int, words: npt.NDArray[np.uint32]) -> Ints:
    """The registers that the kernel is called with; of PowerPC those of branches to LR and CTR on a condition."""
    if machine == t.EM_MIPS:
        asks = (words >> 26 == 0) & (words & 63 == 12)
    else:
        asks = (words >> 26 == 17) | np.isin(words & 0xFC0007FE, (0x4C000020, 0x4C000420))
    return np.where(asks, _REGISTERS, 0).astype(np.int64)


def _odd(machine: int, words: npt.NDArray[np.uint32], ops: Ops) -> Mask:
    """Instructions that do with their registers what is not known here; comparisons, branches and byte loads do not."""
    top, function = words >> 26, words & 63
    if machine == t.EM_MIPS:
        idle = (top == 0) & np.isin(function, [8, 9, 12, 13, 15, 42, 43, 48, 49, 50, 51, 52, 54]) | np.isin(
            top, [10, 11]
        )
        idle |= (top >= 1) & (top <= 7) | (top >= 20) & (top <= 23) | (top == 51)
    else:
        number = words >> 1 & 1023
        idle = np.isin(top, [3, 10, 11, 16, 17, 18, 19]) | (top == 31) & np.isin(number, [0, 4, 32, 87, 119])
    out: Mask = (ops.kind == OTHER) & ~idle
    return out


def _tail_calls(words: npt.NDArray[np.uint32], jumps: Ints) -> Mask:
    """Which jumps of MIPS by $t9 lead to a function: the table of addresses has set it, and no table of jumps, whose
    distance is added to the address of the file's table."""
    out = np.zeros(len(jumps), bool)
    for number, row in enumerate(jumps.tolist()):
        before = words[max(row - _SOON, 0) : row + 1]
        tops, second, third = before >> 26, before >> 16 & 31, before >> 11 & 31
        sets = np.where(tops == 0, third, second) == _T9  # a store or a branch may look so, and then it is none
        last = int(before[np.flatnonzero(sets)[-1]]) if sets[:-1].any() else 0
        out[number] = int(before[-1]) >> 21 & 31 == _T9 and last >> 16 in _FUNCTION
    return out


def _bit(register: npt.NDArray[Any]) -> Ints:
    """A register as a bit; none for 31 of A64 and what is no register."""
    number = register.astype(np.int64)
    out: Ints = np.where((number >= 0) & (number < 32), 1 << np.clip(number, 0, 40), 0)
    return out
