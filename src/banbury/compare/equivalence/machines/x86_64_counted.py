"""What x86-64 code adds to an address that it has made, or to its own place: distances that no field shows.

Compilers for x86-64 do neither beyond an object. Code written by hand may take the address of a place (``lea``, or what
a call leaves on the stack) and add to it the distance of another, which stands in an instruction or among the code.
Each such sum is returned, so that the proof can refuse those that the layout would have changed.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Code, Ints
from banbury.compare.equivalence.machines.x86_64_absolute import Operands

U8 = npt.NDArray[np.uint8]
_WINDOW: Final = 24  # instructions that are looked at behind one that makes an address
_INLINE: Final = 9  # places behind a call at which a distance may stand
_KEPT: Final = (3, 5, 12, 13, 14, 15)  # registers that a call leaves as they were (AMD64 supplement, 3.2.1)
_ENDS: Final = (0xC3, 0xC2, 0xE9, 0xEB, 0xE8)


def made(raw: U8, code: Code, address: int, found: Operands) -> tuple[tuple[Ints, Ints, Ints], Ints]:
    """Where the code of a section at ``address`` has an address in a register (rows of instructions, the registers, the
    addresses), and the offsets that calls return to whose place is read."""
    row, register, value = _loaded(raw, code, address, found)
    called, base, places = _returned(raw, code, address, found)
    rows, registers, values = (np.concatenate(x) for x in ((row, called[0]), (register, called[1]), (value, base)))
    return (rows, registers, values), places


def counted(raw: U8, address: int, found: Operands, known: tuple[Ints, Ints, Ints], places: Ints) -> tuple[Ints, Ints]:
    """Addresses that the code of a section at ``address`` makes (``known``), and sums that it may make of each."""
    inline = _inline(raw, places, address)
    sums = _sums(raw, address, found, *known)
    return np.concatenate((inline[0], sums[0])), np.concatenate((inline[1], sums[1]))


def _loaded(raw: U8, code: Code, address: int, found: Operands) -> tuple[Ints, Ints, Ints]:
    """``lea``: rows, the register of each, and the address in it."""
    fields = np.full(len(raw) + 1, -1, np.int64)
    fields[code.fields] = np.arange(len(code.fields))
    row = np.flatnonzero(found.relative & (found.opcode == 0x8D))
    number = fields[found.displacement[row]]
    row, number = row[number >= 0], number[number >= 0]
    return row, found.register[row], code.targets(raw, address)[number]


def _returned(raw: U8, code: Code, address: int, found: Operands) -> tuple[tuple[Ints, Ints], Ints, Ints]:
    """Calls whose place is read off the stack where they lead, by ``pop`` or ``mov``: the row from which on it is in a
    register, the register, and the place; and where the calls return to, as offsets."""
    starts = code.starts
    calls = np.flatnonzero(found.opcode == 0xE8)
    ends = np.append(starts[1:], len(raw))[: len(starts)][calls]
    inside = ends >= 4
    calls, ends = calls[inside], ends[inside]
    distance = _words(raw, ends - 4)
    index = np.searchsorted(starts, ends + distance)
    good = (index < len(starts)) & (ends + distance >= 0)
    good[good] = starts[index[good]] == (ends + distance)[good]
    calls, ends, index = calls[good], ends[good], index[good]
    rows, registers, places = [], [], []
    for ahead in (0, 1):  # endbr64 may stand first
        at = np.minimum(index + ahead, len(starts) - 1)
        popped = (found.opcode[at] >= 0x58) & (found.opcode[at] < 0x60)
        rows.append(at[popped])
        registers.append(found.low[at[popped]])
        places.append(ends[popped])
        copied = (found.opcode[at] == 0x8B) & (found.base[at] == 4) & (found.distance[at] == 0)
        for row in (at, calls):
            rows.append(row[copied])
            registers.append(found.register[at[copied]])
            places.append(ends[copied])
    row, register, place = (np.concatenate(x).astype(np.int64) for x in (rows, registers, places))
    return (row, register), place + address, distinct(place)


def _inline(raw: U8, places: Ints, address: int) -> tuple[Ints, Ints]:
    """Words behind calls whose place is read."""
    at = np.concatenate([places + k for k in range(_INLINE)]) if len(places) else places
    at = at[at + 4 <= len(raw)]
    return at + address, at + address + _words(raw, at)


def _sums(raw: U8, address: int, found: Operands, row: Ints, register: Ints, value: Ints) -> tuple[Ints, Ints]:
    """What is added to addresses that are in registers behind some rows, up to where these are written again."""
    bases, sums = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    count, first = len(found.opcode), value
    for _ in range(_WINDOW):
        row = row + 1
        live = row < count
        row, register, value, first = row[live], register[live], value[live], first[live]
        if not len(row):
            break
        hit = (found.base[row] == register) | (found.index[row] == register)
        made = value + found.distance[row]
        bases.append(first[hit])
        sums.append(made[hit])
        read = np.flatnonzero(hit & (found.opcode[row] != 0x8D) & ~found.adds[row])
        at = made[read] - address
        read, at = read[(at >= 0) & (at + 4 <= len(raw))], at[(at >= 0) & (at + 4 <= len(raw))]
        bases.append(first[read])  # a word among the code, which may be a distance from the address or from itself
        sums.append(first[read] + _words(raw, at))
        value = np.where(hit & found.adds[row], made, value)
        stop = np.isin(found.opcode[row], _ENDS) & ~((found.opcode[row] == 0xE8) & np.isin(register, _KEPT))
        stop |= found.into[row] == register
        row, register, value, first = row[~stop], register[~stop], value[~stop], first[~stop]
    return np.concatenate(bases), np.concatenate(sums)


def _words(raw: U8, at: Ints) -> Ints:
    out = np.zeros(len(at), np.int64)
    for k in range(4):
        out |= raw[at + k].astype(np.int64) << (8 * k)
    return out - (out >> 31 << 32)
