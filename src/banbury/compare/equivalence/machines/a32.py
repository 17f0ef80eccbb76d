"""What each A32 and each T32 instruction reads, writes and where it goes on, for a whole section at once.

As for :mod:`a64`: what is not certainly written is not in ``writes`` (so nothing that a condition may skip), what may
be read is in ``reads``. Besides, every instruction that takes the program counter into arithmetic is marked: with the
register that it is added to (``joins``), or as ``odd`` where that is not followed.

Source: Arm Architecture Reference Manual, ARMv7-A and ARMv7-R edition, DDI 0406C, A5 (A32), A6 (T32), A7 (vectors).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.a64 import field, is_, signed

W = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]
NONE = 255
NOWHERE = -(1 << 40)
_BIT = np.array([1 << r if r < 15 else 0 for r in range(16)], np.uint32)
PC = 15


@dataclass
class Decoded:
    """By place (of a word or of a half-word). ``target``: where a direct branch leads (-1: none), in the other
    instruction set where ``exchanges``; ``literal``: the place in bytes of a literal that is loaded into ``into``
    (``NONE``: not a core register), ``length`` bytes long; ``sizes``: bytes of the instruction."""

    reads: W
    writes: W
    falls: Flags
    target: Ints
    calls: Flags
    exchanges: Flags
    literal: Ints
    length: Ints
    into: npt.NDArray[np.uint8]
    joins: npt.NDArray[np.uint8]
    odd: Flags
    jumps: Flags  # indirect, within a table
    tables: Ints  # T32: 1 or 2, the width of a table of branches that follows
    sizes: Ints
    conditional: Flags

    @classmethod
    def empty(cls, count: int, size: int) -> Decoded:
        def zeros() -> W:
            return np.zeros(count, np.uint32)

        def no() -> Flags:
            return np.zeros(count, bool)

        def none() -> npt.NDArray[np.uint8]:
            return np.full(count, NONE, np.uint8)

        return cls(
            zeros(), zeros(), np.ones(count, bool), np.full(count, -1, np.int64), no(), no(),
            np.full(count, NOWHERE, np.int64), np.full(count, 4, np.int64), none(), none(), no(), no(),
            np.zeros(count, np.int64), np.full(count, size, np.int64), no(),
        )  # fmt: skip


def _list(w: W) -> W:
    return w & np.uint32(0x7FFF)


def _put(out: npt.NDArray[np.uint32], where: Flags, value: npt.NDArray[Any] | int) -> None:
    np.copyto(out, np.asarray(value, np.uint32), where=where)


def decode_a32(w: W) -> Decoded:
    """A32, by word."""
    o = Decoded.empty(len(w), 4)
    here = np.arange(len(w), dtype=np.int64) * 4
    n, d, s, m = (field(w, at, 4) for at in (16, 12, 8, 0))
    bn, bd, bs, bm = _BIT[n], _BIT[d], _BIT[s], _BIT[m]
    cond = field(w, 28, 4)
    o.conditional[:] = cond < 14
    o.reads[:] = bn | bd | bs | bm
    special = cond == 15
    _a32_data(w, o, n, d, m, (bn, bd, bs, bm))
    _a32_memory(w, o, here, n, d, m, (bn, bd, bs, bm))
    branch = is_(w, 0x0E000000, 0x0A000000)
    o.target[branch] = (here + 8 + 4 * signed(w, 0, 24))[branch]
    _put(o.reads, branch, 0)
    exchange = branch & special
    o.target[exchange] += 2 * field(w, 24, 1).astype(np.int64)[exchange]
    o.exchanges[exchange] = True
    o.calls |= (branch & is_(w, 0x01000000, 0x01000000)) | exchange
    o.falls[branch & ~o.calls & (cond == 14)] = False
    other = special & ~branch
    _put(o.reads, other, 0)
    _put(o.writes, other, 0)
    o.literal[other], o.joins[other], o.odd[other] = NOWHERE, NONE, False
    o.falls[other] = True
    vector_memory = other & is_(w, 0x0F000000, 0x04000000)
    _put(o.reads, vector_memory, bn | bm)
    undefined = is_(w, 0xFFF000F0, 0xE7F000F0)
    o.falls[undefined] = False
    _put(o.writes, o.conditional, 0)
    _put(o.writes, o.calls, 0x500F)
    o.falls[o.conditional] = True
    return o


def _a32_data(w: W, o: Decoded, n: W, d: W, m: W, bits: tuple[W, W, W, W]) -> None:
    bn, bd, bs, bm = bits
    here = is_(w, 0x0C000000, 0)
    immediate = is_(w, 0x02000000, 0x02000000)
    op = field(w, 21, 4)
    misc = here & ((op & 12) == 8) & is_(w, 0x00100000, 0)
    strange = here & ~immediate & is_(w, 0x90, 0x90)  # multiplies, and loads and stores of half-words
    plain = here & ~misc & ~strange
    shifted = np.where(is_(w, 0x10, 0x10), bs, np.uint32(0))
    move = (op == 13) | (op == 15)
    test = (op & 12) == 8
    zero = np.uint32(0)
    _put(o.reads, plain, np.where(move, zero, bn) | np.where(immediate, zero, bm | shifted))
    _put(o.writes, plain & ~test, bd)
    pc = plain & (((n == PC) & ~move) | ((m == PC) & ~immediate))
    add = plain & (op == 4) & ~immediate & is_(w, 0xFF0, 0)
    join = add & (d != PC) & ((n == PC) != (m == PC))
    o.joins[join] = np.where(n == PC, m, n)[join]
    adr = plain & immediate & ((op == 4) | (op == 2)) & (n == PC)
    saved = plain & (op == 13) & (m == PC) & (d == 14)  # a return address
    jump = plain & (d == PC) & ~test
    table = is_(w, 0x0FFFFFF0, 0x008FF100)  # add pc, pc, r, lsl #2
    o.jumps |= table
    o.odd |= pc & ~join & ~adr & ~saved & ~table
    o.falls[jump] = False
    pairs = is_(w, 0x0FB00000, 0x03000000)  # MOVW, MOVT
    _put(o.reads, pairs, np.where(is_(w, 0x00400000, 0x00400000), bd, zero))
    _put(o.writes, pairs, bd)
    multiply = strange & is_(w, 0x0F000060, 0)
    _put(o.writes, multiply & is_(w, 0x00800000, 0), bn)
    _put(o.writes, multiply & is_(w, 0x00800000, 0x00800000), bn | bd)
    go = is_(w, 0x0FFFFFD0, 0x012FFF10)
    _put(o.reads, go, bm)
    call = is_(w, 0x0FFFFFF0, 0x012FFF30)
    o.calls |= call
    o.falls[go & ~call] = False
    _put(o.writes, is_(w, 0x0FFF0FF0, 0x016F0F10), bd)


def _a32_memory(w: W, o: Decoded, here: Ints, n: W, d: W, m: W, bits: tuple[W, W, W, W]) -> None:
    bn, bd, _, bm = bits
    zero = np.uint32(0)
    media = is_(w, 0x0E000010, 0x06000010)
    single = is_(w, 0x0C000000, 0x04000000) & ~media
    load, byte = is_(w, 0x00100000, 0x00100000), is_(w, 0x00400000, 0x00400000)
    register = is_(w, 0x02000000, 0x02000000)
    back = ~is_(w, 0x01200000, 0x01000000)
    _put(o.reads, single, bn | np.where(register, bm, zero) | np.where(load, zero, bd))
    _put(o.writes, single, np.where(load, bd, zero) | np.where(back, bn, zero))
    _put(o.writes, is_(w, 0x0F8000F0, 0x06800070) | is_(w, 0x0FA00070, 0x07A00050), bd)  # extensions, fields
    literal = single & load & ~register & (n == PC)
    up = np.where(is_(w, 0x00800000, 0x00800000), 1, -1)
    o.literal[literal] = (here + 8 + up * field(w, 0, 12).astype(np.int64))[literal]
    o.into[literal & ~byte & (d != PC)] = d[literal & ~byte & (d != PC)]
    o.odd |= single & ~load & (n == PC) | (single & (register & (m == PC)))
    joined = single & load & register & (n == PC) & is_(w, 0x00800FF0, 0x00800000)
    o.joins[joined] = m[joined]
    table = is_(w, 0x0FFFFFF0, 0x079FF100)  # ldr pc, [pc, r, lsl #2]
    o.jumps |= table
    o.odd |= single & register & (n == PC) & ~joined & ~table
    o.falls[single & load & (d == PC)] = False
    half = is_(w, 0x0E000090, 0x90) & ~is_(w, 0x60, 0)
    by_register = is_(w, 0x00400000, 0)
    loads = load | is_(w, 0x60, 0x40)
    double = ~load & is_(w, 0x40, 0x40)
    pair = np.where(double, bd << np.uint32(1), zero)
    _put(
        o.reads,
        half,
        bn | np.where(by_register, bm, zero) | np.where(loads & ~(double & is_(w, 0x20, 0x20)), zero, bd | pair),
    )
    _put(o.writes, half, np.where(loads & ~(double & is_(w, 0x20, 0x20)), bd | pair, zero) | np.where(back, bn, zero))
    from_pc = half & (n == PC)
    distance = up * (field(w, 8, 4) << np.uint32(4) | field(w, 0, 4)).astype(np.int64)
    o.literal[from_pc] = (here + 8 + distance)[from_pc]
    o.length[from_pc] = 8
    o.odd |= from_pc & by_register
    block = is_(w, 0x0E000000, 0x08000000)
    written = np.where(is_(w, 0x00200000, 0x00200000), bn, zero)
    _put(o.reads, block, bn | np.where(load, zero, _list(w)))
    _put(o.writes, block, np.where(load, _list(w), zero) | written)
    o.falls[block & load & is_(w, 0x8000, 0x8000)] = False
    coprocessor(w, o, here + 8, n, d)


def coprocessor(w: W, o: Decoded, base: Ints, n: W, d: W) -> None:
    """Floating point and other coprocessors, the same in both instruction sets."""
    zero = np.uint32(0)
    memory = is_(w, 0x0E000000, 0x0C000000)
    load = is_(w, 0x00100000, 0x00100000)
    two = memory & is_(w, 0x0FE00000, 0x0C400000)
    both = _BIT[d] | _BIT[n]
    _put(o.reads, memory, _BIT[n])
    _put(o.writes, memory, np.where(is_(w, 0x00200000, 0x00200000), _BIT[n], zero))
    _put(o.reads, two, np.where(load, zero, both))
    _put(o.writes, two, np.where(load, both, zero))
    literal = memory & ~two & (n == PC)
    up = np.where(is_(w, 0x00800000, 0x00800000), 4, -4)
    o.literal[literal] = (base + up * field(w, 0, 8).astype(np.int64))[literal]
    o.length[literal] = np.where(field(w, 8, 4) == 10, 4, 8)[literal]  # VLDR of a single or of a double
    data = is_(w, 0x0F000000, 0x0E000000)
    move = data & is_(w, 0x10, 0x10)
    _put(o.reads, data, np.where(move & ~load, _BIT[d], zero))
    _put(o.writes, data, np.where(move & load, _BIT[d], zero))
    call = is_(w, 0x0F000000, 0x0F000000)
    _put(o.reads, call, 0)
