"""What instructions of A32 and T32 do with registers, for :mod:`arm_followed`.

What is not known here to be harmless counts as reading: copies, sums and other operations whose result goes into one
register are followed; comparisons, branches, stores and loads of one byte at the address do nothing.

Source: Arm ARM DDI 0406C, A5 (A32), A6 (T32), A8.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines import displaced
from banbury.compare.equivalence.machines.a64 import field, is_
from banbury.compare.equivalence.machines.arm_code import Body
from banbury.compare.equivalence.machines.contract import Mask
from banbury.compare.equivalence.machines.flow import Graph
from banbury.compare.equivalence.machines.register_steps import Steps
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE

W = npt.NDArray[np.uint32]
_CORE: Final = 0x7FFF
_SP, _LR, _PC = 13, 14, 15
_VOLATILE: Final = 0x500F  # AAPCS32, 6.1.1
_SMALL: Final = 1 << 24
MOST: Final = 64  #: bytes that one instruction reads or writes, of several registers


@dataclass(frozen=True)
class Uses:
    """By node. ``made``: the register into which an instruction puts what it makes of all that it reads (-1: none);
    ``loads``, ``stores``: it reads or writes memory through ``base`` and ``index`` (registers as bits); ``word``: loads
    words alone; ``byte``: one byte; ``near``: at the base itself, or at a register added to it; ``stepped``: the base
    is changed; ``idle``: what it does with registers is harmless; ``copies``; ``asks``: it calls the kernel; ``width``:
    bytes of an access, or more; ``gets``: the registers that it loads, whatever a condition says (as bits); ``apart``:
    memory is read not at the distance from the base that the instruction says, but at the base (1), or it is not known
    where (2); ``leaps``: a branch to where a register or memory says, but for how functions return; ``first``,
    ``second``: what a sum is made of (-1: it is no sum), the second ``shifted`` left by so many bits; ``most``: the
    largest number that it may put into ``made`` or load, where that is small and no negative one (-1)."""

    made: Ints
    loads: Mask
    stores: Mask
    base: Ints
    index: Ints
    word: Mask
    byte: Mask
    near: Mask
    stepped: Mask
    idle: Mask
    copies: Mask
    asks: Mask
    width: Ints
    gets: Ints
    apart: Ints
    leaps: Mask
    first: Ints
    second: Ints
    shifted: Ints
    most: Ints


def a32(w: W) -> Uses:
    """A32, by word."""
    d, n, m = (field(w, at, 4).astype(np.int64) for at in (12, 16, 0))
    load = is_(w, 0x00100000, 0x00100000)
    plain_ = is_(w, 0xF0000000, 0xF0000000)
    op = field(w, 21, 4)
    shifts = is_(w, 0x0E000090, 0x90)  # multiplies, half-words
    data = is_(w, 0x0C000000, 0) & ~shifts & ~plain_
    test = data & ((op & 12) == 8)
    compare, misc = test & load, test & ~load
    moves = is_(w, 0x0FB00000, 0x03000000)  # MOVW, MOVT
    fields_ = is_(w, 0x0F8000F0, 0x06800070) | is_(w, 0x0FA00070, 0x07A00050) | is_(w, 0x0FE00070, 0x07C00010)
    fields_ |= is_(w, 0x0FB00F70, 0x06B00F30) | is_(w, 0x0FFF0FF0, 0x016F0F10)  # REV, RBIT; CLZ
    made = np.where((data & ~test) | moves | (fields_ & ~plain_), d, -1)
    single = is_(w, 0x0C000000, 0x04000000) & ~is_(w, 0x0E000010, 0x06000010) & ~plain_
    half = shifts & ~is_(w, 0x60, 0) & ~plain_
    double = half & ~load & is_(w, 0x40, 0x40)
    several = is_(w, 0x0E000000, 0x08000000) & ~plain_
    vector = is_(w, 0x0E000000, 0x0C000000) & ~is_(w, 0x0FE00000, 0x0C400000) & ~plain_
    alone = is_(w, 0x0F800FF0, 0x01800F90)  # LDREX, STREX and the like
    memory = single | half | several | vector | alone
    stores = memory & np.where(half, ~load & ~(double & is_(w, 0x20, 0)), ~load)
    back = (single | half) & (~is_(w, 0x01000000, 0x01000000) | is_(w, 0x00200000, 0x00200000))
    back |= (several | vector) & is_(w, 0x00200000, 0x00200000)
    indexed = (single & is_(w, 0x02000000, 0x02000000)) | (half & ~is_(w, 0x00400000, 0x00400000))
    byte = (single & is_(w, 0x00400000, 0x00400000)) | (half & load & is_(w, 0x60, 0x40))
    here = np.where(half, w & 0xF0F, w & 0xFFF) == 0
    word = (single & ~byte) | several | (alone & is_(w, 0x00600000, 0)) | (double & ~is_(w, 0x20, 0x20))
    hint, go = is_(w, 0x0FFFFF00, 0x0320F000), is_(w, 0x0FFFFFD0, 0x012FFF10)
    asks = is_(w, 0x0F000000, 0x0F000000)
    sums = is_(w, 0x0FE00070, 0x00800000) & ~plain_
    turn, number = 2 * field(w, 8, 4).astype(np.int64), field(w, 0, 8).astype(np.int64)
    number = (number >> turn | number << (32 - turn)) & 0xFFFFFFFF
    most = np.where(is_(w, 0x0FE00000, 0x02000000) & (number < _SMALL), number, -1)
    most = np.where(load & byte & single, 0xFF, np.where(load & half & is_(w, 0x60, 0x20), 0xFFFF, most))
    most = np.where(is_(w, 0xF0000000, 0xE0000000), most, -1)  # on no condition
    gets = np.where(several, w & 0x7FFF, _bit(d) | np.where(double | is_(w, 0x0FF000F0, 0x01B00090), _bit(d + 1), 0))
    behind = (single | half) & ~is_(w, 0x01000000, 0x01000000)
    blocks = vector & ~(is_(w, 0x01000000, 0x01000000) & ~is_(w, 0x00200000, 0x00200000))
    leaps = (is_(w, 0x0FFFFFF0, 0x012FFF10) & (m != _LR)) | (single & load & (d == _PC) & (n != _SP))
    leaps |= is_(w, 0x0FFFFFF0, 0x012FFF20) | (several & load & is_(w, 0x8000, 0x8000) & (n != _SP))  # BXJ, LDM
    leaps |= data & ~test & (d == _PC) & ~is_(w, 0x0FFFFFFF, 0x01A0F00E)
    return Uses(
        made, memory & ~stores, stores, _bit(n), np.where(indexed, _bit(m), 0), word, byte, here | indexed | back,
        back, compare | (misc & (hint | go)), is_(w, 0x0FEF0FF0, 0x01A00000), asks,
        np.where(byte, 1, np.where(several | vector, MOST, np.where(single, 4, 8))), gets,
        np.where(blocks, 2, np.where(behind | several, 1, 0)), leaps & ~plain_,
        np.where(sums, n, -1), np.where(sums, m, -1), field(w, 7, 5).astype(np.int64), most,
    )  # fmt: skip


def t32(h: W) -> Uses:
    """T32, by half-word."""
    second = np.append(h[1:], np.uint32(0)).astype(np.uint32)
    short, long, wide = _short(h), _long(h << np.uint32(16) | second), h >= 0xE800
    return Uses(**{name: np.where(wide, getattr(long, name), value) for name, value in vars(short).items()})


def _short(h: W) -> Uses:
    low, middle, third, top = (field(h, at, 3).astype(np.int64) for at in (0, 3, 6, 8))
    lead, five = h >> 11, field(h, 6, 5)
    op = field(h, 6, 4)
    bits = is_(h, 0xFC00, 0x4000)
    compare = (lead == 5) | (bits & ((op == 8) | (op == 10) | (op == 11))) | (h >> 8 == 0x45)
    made = np.where((h < 0x2000) | bits, low, -1)
    made = np.where((h >> 8 == 0xB2) | (h >> 8 == 0xBA), low, made)
    made = np.where((lead == 6) | (lead == 7) | (lead == 4), top, made)
    made = np.where((h >> 8 == 0x44) | (h >> 8 == 0x46), low | (h >> 4 & 8).astype(np.int64), made)
    made = np.where(compare, -1, made)
    by_register, by_number = h >> 12 == 5, (lead >= 12) & (lead <= 17)
    several = h >> 12 == 12
    kind = field(h, 9, 3)
    memory = by_register | by_number | several
    load = np.where(by_register, kind > 2, is_(h, 0x800, 0x800))
    byte = np.where(by_register, (kind == 2) | (kind == 3) | (kind == 6), (lead == 14) | (lead == 15))
    word = np.where(by_register, (kind == 0) | (kind == 4), (lead == 12) | (lead == 13) | several)
    base = np.where(several, _bit(top), _bit(middle))
    stack = (h >> 12 == 9) | (h >> 12 == 10) | (h >> 12 == 11) & (made < 0) & (h >> 8 != 0xBA)
    source, into = (h >> 3 & 15).astype(np.int64), low | (h >> 4 & 8).astype(np.int64)
    first = np.where(h >> 9 == 0x0C, middle, np.where(h >> 8 == 0x44, into, -1))
    second = np.where(h >> 9 == 0x0C, third, np.where(h >> 8 == 0x44, source, -1))
    most = np.where(h >> 6 == 0x2CB, 0xFF, np.where(h >> 6 == 0x2CA, 0xFFFF, -1))  # UXTB, UXTH
    most = np.where((lead == 15) | (by_register & (kind == 6)), 0xFF, most)
    most = np.where((lead == 17) | (by_register & (kind == 5)), 0xFFFF, np.where(lead == 4, h & 0xFF, most))
    leaps = ((h & 0xFF80 == 0x4700) | ((h >> 8 == 0x46) & (made == _PC))) & (source != _LR)
    idle = compare | stack | (h >> 8 == 0x47) | (h >> 12 >= 13)
    return Uses(
        made, memory & load, memory & ~load, base, np.where(by_register, _bit(third), 0), word, byte,
        by_register | (five == 0), several, idle, (h >> 8 == 0x46) | (h >> 6 == 0), h >> 8 == 0xDF,
        np.where(byte, 1, np.where(several, MOST, 4)), np.where(several, h & 0xFF, _bit(low)),
        several.astype(np.int64), leaps, first, second, low * 0, most,
    )  # fmt: skip


def _long(w: W) -> Uses:
    s, d, n, m = (field(w, at, 4).astype(np.int64) for at in (12, 8, 16, 0))
    load = is_(w, 0x00100000, 0x00100000)
    numbered = is_(w, 0xFA008000, 0xF0000000)
    op = field(w, 21, 4)
    bits = is_(w, 0xFE000000, 0xEA000000) | numbered
    compare = bits & (d == _PC) & load & np.isin(op, (0, 4, 8, 13))
    data = bits | is_(w, 0xFA008000, 0xF2000000) | is_(w, 0xFF000000, 0xFA000000) | is_(w, 0xFF800000, 0xFB000000)
    several = is_(w, 0xFE400000, 0xE8000000)
    pair = is_(w, 0xFE400000, 0xE8400000)
    alone = pair & is_(w, 0x01200000, 0)  # LDREX, STREX, and tables of branches
    switch = is_(w, 0xFFF0FFE0, 0xE8D0F000)
    single = is_(w, 0xFE000000, 0xF8000000) & ~is_(w, 0xFF100000, 0xF9000000)
    vector = is_(w, 0xEE000000, 0xEC000000) & ~is_(w, 0xEFE00000, 0xEC400000)
    structures = is_(w, 0xFF100000, 0xF9000000)
    memory = several | pair | single | vector | structures
    size = field(w, 21, 2)
    hint = single & load & (s == _PC) & (size < 2)  # PLD, PLI
    number = is_(w, 0x00800000, 0x00800000)
    register = single & ~number & is_(w, 0xFC0, 0)
    back = single & ~number & is_(w, 0x900, 0x900) | (several | (pair & ~alone) | vector) & is_(
        w, 0x00200000, 0x00200000
    )
    back |= pair & ~alone & ~is_(w, 0x01000000, 0x01000000)
    stepping = structures & (m != _PC)
    back |= stepping
    loads = memory & np.where(structures, True, load) & ~hint
    near = register | back | (np.where(number, w & 0xFFF, w & 0xFF) == 0)
    word = (single & (size == 2)) | several | (pair & ~alone) | (alone & is_(w, 0x01F00000, 0x00500000))
    sums = is_(w, 0xFFE08030, 0xEB000000)
    most = np.where(is_(w, 0xFFE0F000, 0xF0000000), w & 0xFF, -1)  # AND, with a number of one byte
    most = np.where(
        single & load & ~is_(w, 0x01000000, 0x01000000) & (size < 2), np.where(size == 0, 0xFF, 0xFFFF), most
    )
    behind = several | (pair & ~alone & ~is_(w, 0x01000000, 0x01000000))
    behind |= single & ~number & is_(w, 0x800, 0x800) & ~is_(w, 0x400, 0x400)
    blocks = vector & ~(is_(w, 0x01000000, 0x01000000) & ~is_(w, 0x00200000, 0x00200000))
    branch = is_(w, 0xF8008000, 0xF0008000) & ~is_(w, 0xFFE00000, 0xF3800000)  # not MSR
    leaps = (single & load & (size == 2) & (s == _PC) & (n != _SP)) | is_(w, 0xFFF0D000, 0xF3C08000)  # BXJ
    leaps |= several & load & is_(w, 0x8000, 0x8000) & (n != _SP)
    return Uses(
        np.where(data & ~compare, d, -1), loads, memory & ~loads & ~hint, _bit(n),
        np.where(register | switch | (stepping & (m != _SP)), _bit(m), 0), word, single & (size == 0), near, back,
        compare | hint | branch, is_(w, 0xFFEFF0F0, 0xEA4F0000), np.zeros(len(w), bool),
        np.where(single & (size == 0), 1, np.where(single, 4, np.where(pair, 8, MOST))),
        np.where(several, w & 0x7FFF, _bit(s) | np.where(pair, _bit(d), 0)),
        np.where(blocks, 2, np.where(behind, 1, 0)),
        leaps, np.where(sums, n, -1), np.where(sums, m, -1),
        field(w, 6, 2).astype(np.int64) | field(w, 12, 3).astype(np.int64) << 2, most,
    )  # fmt: skip


def _bit(register: Ints) -> Ints:
    out: Ints = np.where((register >= 0) & (register < _PC), 1 << np.clip(register, 0, 14), 0)
    return out


@dataclass(frozen=True)
class Rows:
    """By row of a graph, beside what :class:`Steps` has: what is ``added`` to what, and the registers whose use is not
    known (``odd``)."""

    steps: Steps
    use: Uses
    added: displaced.Added
    odd: Ints


def rows_of(body: Body, nodes: Ints, graph: Graph) -> Rows:
    """What the code of a section does with registers: its ``nodes`` in the order of their places."""
    al = body.all
    thumb, words = t32(body.halves), a32(body.words)
    use = Uses(**{x.name: np.concatenate([getattr(y, x.name) for y in (thumb, words)])[nodes] for x in fields(Uses)})
    sums: tuple[Any, Any] = displaced.t32(body.halves), displaced.a32(body.words)
    added = displaced.Added._make(np.concatenate(pair)[nodes] for pair in zip(*sums, strict=True))
    reads, calls = al.reads[nodes].astype(np.int64) & _CORE, al.calls[nodes]
    memory = use.loads | use.stores
    made = (use.made >= 0) & (use.made != _SP) & (use.made != _PC) & ~memory
    odd: Ints = np.where(~made & ~memory & ~use.idle & ~calls & (al.target[nodes] == -1), reads, 0)
    through = use.base | use.index
    back = np.where(use.stepped & memory, use.base, 0)
    branch = np.where(al.target[nodes] != -1, al.target[nodes], NOWHERE)
    kills: Ints = np.where(calls & al.conditional[nodes], 0, graph.writes.astype(np.int64) & _CORE)
    word, looked = use.loads & use.word, use.loads & use.byte
    gets = np.where(word, use.gets & _CORE, 0)
    summed = memory & use.stepped & (use.index != 0)  # the base takes the sum of both
    parts = np.where(made, reads, np.where(summed, use.index, 0))
    into = np.where(made, use.made, np.where(summed, np.log2(np.maximum(use.base, 1)).astype(np.int64), 0))
    indexed: Ints = np.where(memory & (use.index != 0) & ~looked, through, 0)
    wide: Ints = np.where(memory & ~looked, through, 0)
    bits: Ints = np.where(use.loads & ~(use.byte & use.near), through, 0)
    steps = Steps(
        bits | odd, kills & ~back, parts, into, graph.falls,
        np.where(calls, NOWHERE, branch), al.jumps[nodes] | (al.tables[nodes] > 0) | use.leaps, body.place[nodes],
        np.where(word, through, 0), gets, calls, np.where(calls, branch, NOWHERE),
        np.where(made & ~use.copies, reads, 0), wide | odd, indexed | odd, back, np.where(use.asks, _CORE, 0), back * 0,
        _VOLATILE,
    )  # fmt: skip
    return Rows(steps, use, added, odd)
