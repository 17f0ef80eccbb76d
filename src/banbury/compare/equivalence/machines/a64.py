"""What each A64 instruction reads, writes and where it goes on, for a whole section at once.

Registers are bits of a 32-bit number (bit 31, the stack pointer or zero, is never set). What is not certainly written
is not in ``writes``; what may be read is in ``reads``: an encoding that is not known reads all its register fields and
writes none.

Source: Arm Architecture Reference Manual for A-profile, DDI 0487, C4 (encodings by class) and C6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints

W = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.bool_]

#: What a call by the procedure call standard may change: x0 to x18 and the link register (AAPCS64, 6.1.1).
CALLER_SAVED = 0x4007FFFF
NONE = 255
_OWN = 0x94000001  # BL to the next instruction: it asks for its own address, and goes on


@dataclass(frozen=True)
class Decoded:
    """``target``: the place (in instructions from the section's start) to which a direct branch, call, ``ADR`` or
    literal load leads; ``falls``: whether the next instruction follows; ``base``: the register to which the
    instruction adds its low twelve bits of an address (``NONE``: it does not), scaled by ``1 << scale``."""

    words: W
    reads: W
    writes: W
    falls: Flags
    base: npt.NDArray[np.uint8]
    scale: npt.NDArray[np.uint8]
    calls: Flags  # BL and BLR, but for a BL to the next instruction
    branches: Flags  # direct, no calls
    indirect: Flags  # BR
    pages: Flags  # ADRP
    literals: Flags  # loads of a literal
    relative: Flags  # everything with an operand relative to its own address, but ADRP


def field(w: W, at: int, width: int) -> W:
    out: W = (w >> np.uint32(at)) & np.uint32((1 << width) - 1)
    return out


def signed(w: W, at: int, width: int) -> Ints:
    """A field as a signed number."""
    value = field(w, at, width).astype(np.int64)
    out: Ints = value - ((value >> (width - 1)) << width)
    return out


def is_(w: W, mask: int, value: int) -> Flags:
    out: Flags = (w & np.uint32(mask)) == np.uint32(value)
    return out


_BIT = np.array([1 << r if r < 31 else 0 for r in range(32)], np.uint32)


def displacement(w: W) -> Ints:
    """The distance in bytes of an operand relative to the instruction's own address; pages for ``ADRP``; else 0."""
    out = np.zeros(len(w), np.int64)
    for kind, at, width in (
        (is_(w, 0x7C000000, 0x14000000), 0, 26),
        (is_(w, 0xFF000000, 0x54000000) | is_(w, 0x7E000000, 0x34000000) | is_(w, 0x3B000000, 0x18000000), 5, 19),
        (is_(w, 0x7E000000, 0x36000000), 5, 14),
    ):
        out[kind] = 4 * signed(w[kind], at, width)
    adr = is_(w, 0x1F000000, 0x10000000)
    chosen = w[adr]
    low = field(chosen, 29, 2).astype(np.int64)
    out[adr] = 4 * signed(chosen, 5, 19) + low
    return out


def relative_bits(w: W) -> W:
    """The bits of each instruction that hold such a distance."""
    out = np.zeros(len(w), np.uint32)
    out[is_(w, 0x7C000000, 0x14000000)] = 0x03FFFFFF
    imm19 = is_(w, 0xFF000000, 0x54000000) | is_(w, 0x7E000000, 0x34000000) | is_(w, 0x3B000000, 0x18000000)
    out[imm19] = 0x00FFFFE0
    out[is_(w, 0x7E000000, 0x36000000)] = 0x0007FFE0
    out[is_(w, 0x1F000000, 0x10000000)] = 0x60FFFFE0
    return out


def decode(w: W, described: Flags | None = None) -> Decoded:
    """Decode a section's words. ``described``: which of them call the functions of thread-local variables' descriptors,
    which change the first register and the link register alone: such a call is none, then."""
    d, n, m, a = (_BIT[field(w, at, 5)] for at in (0, 5, 16, 10))
    reads: W = d | n | m | a
    writes = np.zeros(len(w), np.uint32)
    falls = np.ones(len(w), bool)
    _immediate(w, d, n, m, reads, writes)
    calls, indirect = _branch(w, d, n, m, reads, writes, falls)
    if described is not None:
        _put(described, writes, 1 << 30 | 1)
        calls &= ~described
    _memory(w, d, n, m, a, reads, writes)
    _register(w, d, n, m, a, reads, writes)
    _vector(w, d, n, reads, writes)
    add = is_(w, 0xFFC00000, 0x91000000)
    unsigned = is_(w, 0x3B000000, 0x39000000)
    base = np.full(len(w), NONE, np.uint8)
    folds = add | unsigned
    base[folds] = field(w, 5, 5)[folds]
    base[base == 31] = NONE
    size = field(w, 30, 2) + 4 * (is_(w, 0x04800000, 0x04800000) & (field(w, 30, 2) == 0))
    scale = np.where(unsigned, size, 0).astype(np.uint8)
    # a base register is no other read; it is one where the same register is stored too
    store = unsigned & is_(w, 0x04C00000, 0)
    reads = np.where(folds, np.where(store, d, 0), reads).astype(np.uint32)
    pages = is_(w, 0x9F000000, 0x90000000)
    literals = is_(w, 0x3B000000, 0x18000000)
    branches = (
        is_(w, 0xFC000000, 0x14000000)
        | is_(w, 0xFF000000, 0x54000000)
        | is_(w, 0x7E000000, 0x34000000)
        | is_(w, 0x7E000000, 0x36000000)
    )
    relative = branches | is_(w, 0xFC000000, 0x94000000) | literals | is_(w, 0x9F000000, 0x10000000)
    return Decoded(w, reads, writes, falls, base, scale, calls, branches, indirect, pages, literals, relative)


def _put(where: Flags, out: W, value: W | npt.NDArray[Any] | int) -> None:
    np.copyto(out, np.asarray(value, np.uint32), where=where)


def _immediate(w: W, d: W, n: W, m: W, reads: W, writes: W) -> None:
    """Data processing with an immediate (C4.1.92)."""
    here = is_(w, 0x1C000000, 0x10000000)
    _put(here, writes, d)
    _put(here, reads, n)
    _put(is_(w, 0x1F000000, 0x10000000), reads, 0)  # ADR, ADRP
    moves = is_(w, 0x1F800000, 0x12800000)
    _put(moves, reads, 0)
    _put(moves & is_(w, 0x60000000, 0x60000000), reads, d)  # MOVK
    _put(is_(w, 0x7F800000, 0x33000000), reads, n | d)  # BFM
    _put(is_(w, 0x1F800000, 0x13800000), reads, n | m)  # EXTR


def _branch(w: W, d: W, n: W, m: W, reads: W, writes: W, falls: Flags) -> tuple[Flags, Flags]:
    """Branches, exceptions and system instructions (C4.1.93)."""
    direct = is_(w, 0x7C000000, 0x14000000)
    _put(direct | is_(w, 0xFF000000, 0x54000000), reads, 0)
    _put(is_(w, 0x7C000000, 0x34000000), reads, d)  # CBZ, TBZ and their kind
    falls &= ~is_(w, 0xFC000000, 0x14000000)
    system = is_(w, 0xFF000000, 0xD5000000)
    get = system & is_(w, 0x00200000, 0x00200000)
    _put(system, reads, d)
    _put(get, reads, 0)
    _put(get, writes, d)
    _put(is_(w, 0xFFFFFF1F, 0xD503211F), reads, 3 << 16)  # authentication of x17 by x16
    trap = is_(w, 0xFF000000, 0xD4000000)
    _put(trap, reads, 0)
    falls &= ~is_(w, 0xFFE0001F, 0xD4200000)  # BRK
    register = is_(w, 0xFE000000, 0xD6000000)
    kind = field(w, 21, 4)
    _put(register, reads, n | np.where(kind >= 8, d, 0))
    blr = register & ((kind == 1) | (kind == 9))
    falls &= ~(register & ~blr)
    linked = is_(w, 0xFC000000, 0x94000000)
    _put(blr | linked, writes, 1 << 30)
    calls = blr | (linked & (w != _OWN))
    return calls, register & ((kind == 0) | (kind == 8))


def _memory(w: W, d: W, n: W, m: W, a: W, reads: W, writes: W) -> None:
    """Loads and stores (C4.1.94)."""
    general = is_(w, 0x04000000, 0)
    nothing = np.uint32(0)
    literal = is_(w, 0x3B000000, 0x18000000)
    _put(literal, reads, 0)
    _put(literal & general & ~is_(w, 0xC0000000, 0xC0000000), writes, d)
    pair = is_(w, 0x3A000000, 0x28000000)
    load = is_(w, 0x00400000, 0x00400000)
    _put(pair, reads, n | np.where(general & ~load, d | a, nothing))
    back = np.where(is_(w, 0x00800000, 0x00800000), n, nothing)
    _put(pair, writes, np.where(general & load, d | a, nothing) | back)
    single = is_(w, 0x3A000000, 0x38000000)
    stores, fetch = field(w, 22, 2) == 0, is_(w, 0xC0C00000, 0xC0800000)
    value_in = np.where(general & stores, d, nothing)
    value_out = np.where(general & ~stores & ~fetch, d, nothing)
    plain = single & (is_(w, 0x01000000, 0x01000000) | is_(w, 0x00200000, 0))
    moved = is_(w, 0x01200400, 0x00000400)  # before or after the access
    _put(plain, reads, n | value_in)
    _put(plain, writes, value_out | np.where(moved, n, nothing))
    indexed = single & is_(w, 0x01200C00, 0x00200800)
    _put(indexed, reads, n | m | value_in)
    _put(indexed, writes, value_out)
    ordered = is_(w, 0x3F200000, 0x08000000)
    _put(ordered, reads, n | np.where(load, nothing, d))
    _put(ordered, writes, np.where(load, d, np.where(is_(w, 0x00800000, 0), m, nothing)))
    several = is_(w, 0xBE000000, 0x0C000000)
    after = is_(w, 0x00800000, 0x00800000)
    _put(several, reads, n | np.where(after, m, nothing))
    _put(several, writes, np.where(after, n, nothing))


def _register(w: W, d: W, n: W, m: W, a: W, reads: W, writes: W) -> None:
    """Data processing with registers (C4.1.95)."""
    here = is_(w, 0x0E000000, 0x0A000000)
    two = here & (
        is_(w, 0x10000000, 0)  # logical, add and subtract
        | is_(w, 0x11E0FC00, 0x10000000)  # with carry
        | is_(w, 0x11E00000, 0x10800000)  # conditional select
        | is_(w, 0x51E00000, 0x10C00000)  # two sources
    )
    _put(two, reads, n | m)
    _put(two, writes, d)
    compare = here & is_(w, 0x11E00000, 0x10400000)
    _put(compare, reads, n | np.where(is_(w, 0x800, 0), m, np.uint32(0)))
    one = here & is_(w, 0x51E00000, 0x50C00000)
    _put(one, reads, n | np.where(field(w, 16, 5) == 1, d, 0).astype(np.uint32))
    _put(one, writes, d)
    three = here & is_(w, 0x11000000, 0x11000000)
    _put(three, reads, n | m | a)
    _put(three, writes, d)


def _vector(w: W, d: W, n: W, reads: W, writes: W) -> None:
    """Floating point and vectors (C4.1.96): only what crosses over to general registers."""
    _put(is_(w, 0x0E000000, 0x0E000000), reads, 0)
    opcode = field(w, 16, 3)
    crossing = is_(w, 0x5F20FC00, 0x1E200000) | is_(w, 0x5F200000, 0x1E000000)
    into = crossing & ((opcode == 2) | (opcode == 3) | (opcode == 7))
    _put(into, reads, n)
    _put(crossing & ~into, writes, d)
    copy = is_(w, 0xBFE08400, 0x0E000400)
    lane = field(w, 11, 4)
    _put(copy & ((lane == 1) | (lane == 3)), reads, n)
    _put(copy & ((lane == 5) | (lane == 7)), writes, d)
