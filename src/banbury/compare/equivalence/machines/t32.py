"""What each T32 (Thumb) instruction reads, writes and where it goes on, at every half-word of a section at once.

Source: Arm Architecture Reference Manual, ARMv7-A and ARMv7-R edition, DDI 0406C, A6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.a32 import _BIT, NONE, PC, Decoded, Flags, W, _list, _put, coprocessor
from banbury.compare.equivalence.machines.a64 import field, is_, signed

_ZERO = np.uint32(0)


def decode_t32(halves: W) -> Decoded:
    """T32, by half-word."""
    o = Decoded.empty(len(halves), 2)
    wide = halves >= 0xE800
    o.sizes[wide] = 4
    here = np.arange(len(halves), dtype=np.int64) * 2
    w = halves << np.uint32(16) | np.append(halves[1:], np.uint32(0)).astype(np.uint32)
    long = _long(w, here)
    short = _short(halves, here)
    for name, value in vars(short).items():
        if name != "sizes":
            setattr(o, name, np.where(wide, getattr(long, name), value).astype(value.dtype))
    _put(o.writes, o.calls, 0x500F)
    return o


def under_condition(h: W) -> Ints:
    """How many instructions each half-word puts under a condition, taken as IT (A8.8.54); 0 where it is none."""
    mask = h & np.uint32(15)
    it = is_(h, 0xFF00, 0xBF00) & (mask != 0)
    count = np.select([(mask & 1) != 0, (mask & 2) != 0, (mask & 4) != 0], [4, 3, 2], 1)
    out: Ints = np.where(it, count, 0).astype(np.int64)
    return out


def _short(h: W, here: Ints) -> Decoded:
    """16-bit instructions (A6.2)."""
    o = Decoded.empty(len(h), 2)
    r0, r3, r6, r8 = (_BIT[field(h, at, 3)] for at in (0, 3, 6, 8))

    def put(where: Flags, reads: npt.NDArray[Any] | int, writes: npt.NDArray[Any] | int) -> None:
        _put(o.reads, where, reads)
        _put(o.writes, where, writes)

    put(h < 0x1800, r3, r0)
    put(is_(h, 0xFC00, 0x1800), r3 | r6, r0)
    put(is_(h, 0xFC00, 0x1C00), r3, r0)
    put(is_(h, 0xF800, 0x2000), 0, r8)
    put(is_(h, 0xF800, 0x2800), r8, 0)
    put(is_(h, 0xF000, 0x3000), r8, r8)
    op = field(h, 6, 4)
    test = (op == 8) | (op == 10) | (op == 11)
    put(is_(h, 0xFC00, 0x4000), np.where(op == 15, _ZERO, r0) | r3, np.where(test, _ZERO, r0))
    _high(h, o, here)
    literal = is_(h, 0xF800, 0x4800)
    put(literal, 0, r8)
    o.literal[literal] = ((here + 4) // 4 * 4 + 4 * field(h, 0, 8).astype(np.int64))[literal]
    o.into[literal] = field(h, 8, 3)[literal]
    stores = field(h, 9, 3) < 3
    put(is_(h, 0xF000, 0x5000), r3 | r6 | np.where(stores, r0, _ZERO), np.where(stores, _ZERO, r0))
    load = is_(h, 0x0800, 0x0800)
    based = is_(h, 0xE000, 0x6000) | is_(h, 0xF000, 0x8000)
    put(based, r3 | np.where(load, _ZERO, r0), np.where(load, r0, _ZERO))
    put(is_(h, 0xF000, 0x9000), np.where(load, _ZERO, r8), np.where(load, r8, _ZERO))
    put(is_(h, 0xF000, 0xA000), 0, r8)
    _other(h, o, here)
    several = field(h, 0, 8)
    put(is_(h, 0xF800, 0xC000), r8 | several, r8)
    put(is_(h, 0xF800, 0xC800), r8, several | r8)
    branch = is_(h, 0xF000, 0xD000) & (field(h, 8, 4) < 14)
    put(is_(h, 0xF000, 0xD000), 0, 0)
    o.target[branch] = (here + 4 + 2 * signed(h, 0, 8))[branch]
    o.falls[is_(h, 0xFF00, 0xDE00)] = False
    always = is_(h, 0xF800, 0xE000)
    o.target[always] = (here + 4 + 2 * signed(h, 0, 11))[always]
    o.falls[always] = False
    return o


def _high(h: W, o: Decoded, here: Ints) -> None:
    """Operations on high registers, and BX (A6.2.3)."""
    d, m = field(h, 0, 3) | field(h, 4, 4) & np.uint32(8), field(h, 3, 4)
    bd, bm = _BIT[d], _BIT[m]
    add, compare, move = is_(h, 0xFF00, 0x4400), is_(h, 0xFF00, 0x4500), is_(h, 0xFF00, 0x4600)
    _put(o.reads, add | compare, bd | bm)
    _put(o.writes, add | move, bd)
    _put(o.reads, move, bm)
    join = add & (m == PC) & (d != PC)
    o.joins[join] = d[join]
    o.odd |= (add | move) & ~join & ((m == PC) | (add & (d == PC)))
    o.falls[move & (d == PC)] = False
    go = is_(h, 0xFF00, 0x4700)
    _put(o.reads, go, bm)
    call = go & is_(h, 0x80, 0x80)
    o.calls |= call
    o.falls[go & ~call] = False
    stub = is_(h, 0xFFFF, 0x4778)  # bx pc: on to A32
    o.target[stub] = ((here + 4) // 4 * 4)[stub]
    o.exchanges |= stub


def _other(h: W, o: Decoded, here: Ints) -> None:
    """Miscellaneous instructions (A6.2.5)."""
    r0, r3 = _BIT[field(h, 0, 3)], _BIT[field(h, 3, 3)]
    _put(o.reads, is_(h, 0xF000, 0xB000), 0)
    compare = is_(h, 0xF500, 0xB100)
    _put(o.reads, compare, r0)
    distance = 4 + 2 * (field(h, 3, 5) | field(h, 9, 1) << np.uint32(5)).astype(np.int64)
    o.target[compare] = (here + distance)[compare]
    extend = is_(h, 0xFF00, 0xB200) | is_(h, 0xFF00, 0xBA00)
    _put(o.reads, extend, r3)
    _put(o.writes, extend, r0)
    push, pop = is_(h, 0xFE00, 0xB400), is_(h, 0xFE00, 0xBC00)
    _put(o.reads, push, field(h, 0, 8) | field(h, 8, 1) << np.uint32(14))
    _put(o.writes, pop, field(h, 0, 8))
    o.falls[pop & is_(h, 0x100, 0x100)] = False


def _long(w: W, here: Ints) -> Decoded:
    """32-bit instructions (A6.3)."""
    o = Decoded.empty(len(w), 4)
    n, t, d, m = (field(w, at, 4) for at in (16, 12, 8, 0))
    bn, bt, bd, bm = _BIT[n], _BIT[t], _BIT[d], _BIT[m]
    o.reads[:] = bn | bt | bd | bm

    def put(where: Flags, reads: npt.NDArray[Any], writes: npt.NDArray[Any]) -> None:
        _put(o.reads, where, reads)
        _put(o.writes, where, writes)

    base = (here + 4) // 4 * 4
    load = is_(w, 0x00100000, 0x00100000)
    block = is_(w, 0xFE400000, 0xE8000000)
    back = np.where(is_(w, 0x00200000, 0x00200000), bn, _ZERO)
    put(block, bn | np.where(load, _ZERO, _list(w)), np.where(load, _list(w), _ZERO) | back)
    o.falls[block & load & is_(w, 0x8000, 0x8000)] = False
    double = is_(w, 0xFE400000, 0xE8400000) & ~is_(w, 0x01200000, 0)
    put(double, bn | np.where(load, _ZERO, bt | bd), np.where(load, bt | bd, _ZERO) | back)
    pooled = double & load & (n == PC)
    up = np.where(is_(w, 0x00800000, 0x00800000), 1, -1)
    o.literal[pooled] = (base + 4 * up * field(w, 0, 8).astype(np.int64))[pooled]
    o.length[pooled] = 8
    table = is_(w, 0xFFF0FFE0, 0xE8D0F000)
    put(table, bn | bm, np.zeros_like(w))
    o.tables[table] = np.where(is_(w, 0x10, 0x10), 2, 1)[table]
    o.odd |= table & (n != PC)
    o.falls[table] = False
    exclusive = is_(w, 0xFFF00000, 0xE8500000)
    put(exclusive, bn, bt)
    _data(w, o, (n, t, d, m), (bn, bt, bd, bm))
    _single(w, o, base, (n, t, d, m), (bn, bt, bd, bm))
    _branches(w, o, here)
    vector = is_(w, 0xEC000000, 0xEC000000)
    extension = Decoded.empty(len(w), 4)
    coprocessor(w, extension, base, n, t)
    extension.writes[is_(w, 0xFC000000, 0xFC000000)] = 0  # vectors alone, of what processors have now
    for name in ("reads", "writes", "literal", "length"):
        np.copyto(getattr(o, name), getattr(extension, name), where=vector)
    return o


def _data(w: W, o: Decoded, numbers: tuple[W, W, W, W], bits: tuple[W, W, W, W]) -> None:
    _n, _t, _d, m = numbers
    bn, bt, bd, bm = bits

    def put(where: Flags, reads: npt.NDArray[Any], writes: npt.NDArray[Any]) -> None:
        _put(o.reads, where, reads)
        _put(o.writes, where, writes)

    shifted = is_(w, 0xFE000000, 0xEA000000)
    put(shifted, bn | bm, bd)
    immediate = is_(w, 0xFA008000, 0xF0000000)
    put(immediate, bn, bd)
    plain = is_(w, 0xFA008000, 0xF2000000)
    op = field(w, 20, 5)
    keeps = (op == 12) | (op == 22)  # MOVT, BFI
    put(plain, np.where(op == 4, _ZERO, np.where(op == 12, _ZERO, bn)) | np.where(keeps, bd, _ZERO), bd)
    register = is_(w, 0xFF000000, 0xFA000000)
    put(register, bn | bm, bd)
    multiply = is_(w, 0xFF800000, 0xFB000000)
    put(multiply, bn | bm | bt, bd)
    long = is_(w, 0xFF800000, 0xFB800000)
    put(long, bn | bm | bt | bd, bd | bt)
    o.odd |= (shifted | register) & (m == PC)


def _single(w: W, o: Decoded, base: Ints, numbers: tuple[W, W, W, W], bits: tuple[W, W, W, W]) -> None:
    """Loads and stores of one register (A6.3.7 to A6.3.10)."""
    n, t, _, _m = numbers
    bn, bt, _, bm = bits
    single = is_(w, 0xFE000000, 0xF8000000)
    structures = is_(w, 0xFF100000, 0xF9000000)  # of vectors
    load = is_(w, 0x00100000, 0x00100000)
    wide = is_(w, 0x00800000, 0x00800000)
    register = ~wide & is_(w, 0x0FC0, 0)
    index = single & ~wide & is_(w, 0x0900, 0x0900)  # with a base that is written
    literal = single & load & (n == PC)
    _put(o.reads, single, bn | np.where(load, _ZERO, bt) | np.where(register & ~literal, bm, _ZERO))
    _put(o.writes, single, np.where(load, bt, _ZERO) | np.where(index & ~literal, bn, _ZERO))
    word = is_(w, 0x00600000, 0x00400000)
    up = np.where(wide, 1, -1)
    real = literal & ((t != PC) | word)
    o.literal[real] = (base + up * field(w, 0, 12).astype(np.int64))[real]
    core = real & word & (t != PC)
    o.into[core] = t[core]
    o.falls[single & load & word & (t == PC)] = False
    _put(o.reads, structures, bn | bm)
    _put(o.writes, structures, 0)


def _branches(w: W, o: Decoded, here: Ints) -> None:
    """Branches and control (A6.3.4)."""
    control = is_(w, 0xF8008000, 0xF0008000)
    sign, j1, j2 = (field(w, at, 1) for at in (26, 13, 11))
    i1, i2 = (j ^ sign ^ np.uint32(1) for j in (j1, j2))
    high = (
        i1 << np.uint32(23) | i2 << np.uint32(22) | field(w, 16, 10) << np.uint32(12) | field(w, 0, 11) << np.uint32(1)
    )
    far = high.astype(np.int64) - (sign.astype(np.int64) << 24)
    low = j2 << np.uint32(19) | j1 << np.uint32(18) | field(w, 16, 6) << np.uint32(12) | field(w, 0, 11) << np.uint32(1)
    near = low.astype(np.int64) - (sign.astype(np.int64) << 20)
    call, exchange = is_(w, 0xF800D000, 0xF000D000), is_(w, 0xF800D001, 0xF000C000)
    always = is_(w, 0xF800D000, 0xF0009000)
    conditional = is_(w, 0xF800D000, 0xF0008000) & (field(w, 23, 3) != 7)
    direct = call | exchange | always | conditional
    system = control & ~direct
    moves = system & is_(w, 0xFFE0D000, 0xF3E08000)
    _put(o.reads, direct | system, 0)
    _put(o.writes, direct | system, 0)
    _put(o.writes, moves, _BIT[field(w, 8, 4)])
    _put(o.reads, system & is_(w, 0xFFE00000, 0xF3800000), _BIT[field(w, 16, 4)])
    o.target[call | always] = (here + 4 + far)[call | always]
    o.target[exchange] = ((here + 4) // 4 * 4 + far)[exchange]
    o.target[conditional] = (here + 4 + near)[conditional]
    o.calls |= call | exchange
    o.exchanges |= exchange
    o.falls[always | is_(w, 0xFFF0F000, 0xF7F0A000)] = False


__all__ = ["NONE", "decode_t32", "under_condition"]
