"""Where 32-bit Arm code makes the address of a text, in a file without sections: see :mod:`elf_references`.

Both instruction sets are looked for everywhere, for nothing says which of them a place is in.

Source: Arm ARM DDI 0406C, A8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.arrays import table
from banbury.compare.equivalence.machines.displaced import a32, t32

Ints = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Code = npt.NDArray[np.integer]  # as it stands in the file: whole sections are looked at without copying them
_BACK: Final = 64  # instructions between a literal's load, or the first half of an address, and what completes it
_AHEAD: Final = 24  # bytes behind an instruction that makes an address, in which nothing calls it
_CALLED: Final = "code may call it"
_REACH: Final = 4104  # bytes between a load and its literal
_MOST: Final = 256  # places that may make one address


def targets(raw: U8, base: int) -> Ints:
    """Where direct branches and calls lead, but for those of T32 code that go no further than 2 KiB."""
    words, halves = _words(raw), _halves(raw)
    far = np.flatnonzero(words >> 25 & 7 == 5)
    out = [base + 4 * far + 8 + ((words[far].astype(np.int64) & 0xFFFFFF) << 40 >> 38)]
    first, second = halves[:-1], halves[1:]
    wide = np.flatnonzero((first & 0xF800 == 0xF000) & (second & 0x8000 != 0))
    x, y = first[wide].astype(np.int64), second[wide].astype(np.int64)
    sign = x >> 10 & 1
    one, two = ((y >> k & 1) ^ sign ^ 1 for k in (13, 11))
    distance = one << 23 | two << 22 | (x & 0x3FF) << 12 | (y & 0x7FF) << 1
    out.append((base + 2 * wide + 4) // 4 * 4 + distance - (sign << 24))
    out.append(base + 2 * wide + 4 + distance - (sign << 24))
    return np.concatenate(out)


def made(raw: U8, base: int, address: int, *, fixed: bool) -> str | None:
    """``""`` where the code makes ``address`` as that of data, why not where it may be called, ``None`` if nowhere."""
    words, halves = _words(raw), _halves(raw)
    added = _added(words, halves, base, address)
    held = np.flatnonzero(words == address) if fixed else np.zeros(0, np.int64)
    lower = _moves(words, halves, address) if fixed else []
    if len(added[0]) + len(added[1]) + len(held) + sum(len(rows) for _, rows, _ in lower) > _MOST:
        return "too many places may make its address"
    places = _relative(raw, base, address, added)
    if fixed:
        places += [*_stored(raw, address, held), *_halved(lower, address)]
    for thumb, place, register in places:
        if _calls(raw, thumb, place, register):
            return _CALLED
        if _passes(raw, thumb, place, register):
            return "code finds other data from its address"
    return "" if places else None


def _words(raw: U8) -> Code:
    return raw[: len(raw) // 4 * 4].view("<u4")


def _halves(raw: U8) -> Code:
    return raw[: len(raw) // 2 * 2].view("<u2")


def _added(words: Code, halves: Code, base: int, address: int) -> tuple[Ints, Ints]:
    """Where A32 and T32 code adds the program counter to what may be a literal that there is."""
    one = np.flatnonzero(words & 0x0FFF0FF0 == 0x008F0000)
    one = one[words[one] >> 28 < 15]
    two = np.flatnonzero(halves & 0xFF78 == 0x4478)
    literals = address - (base + 4 * one + 8) & 0xFFFFFFFF, address - (base + 2 * two + 4) & 0xFFFFFFFF
    found = _held(words, np.concatenate(literals))
    return one[found[: len(one)]], two[found[len(one) :]]


def _held(words: Code, values: Ints) -> npt.NDArray[np.bool_]:
    """Which values of 32 bits are among the words, few of which have halves that some of them have."""
    likely = words
    for shift in (0, 16):
        halves = table(values >> shift & 0xFFFF, 1 << 16)
        likely = likely[halves[likely >> shift & 0xFFFF]]
    return np.isin(values, likely.astype(np.int64))


def _relative(raw: U8, base: int, address: int, added: tuple[Ints, Ints]) -> list[tuple[bool, int, int]]:
    """Literals that are added to the program counter: instruction set, offset behind the addition, register."""
    words, halves = _words(raw), _halves(raw)
    out = []
    for row in added[0].tolist():
        if _loaded(raw, False, row, int(words[row]) & 15, address - (base + 4 * row + 8) & 0xFFFFFFFF):
            out.append((False, 4 * row + 4, int(words[row]) >> 12 & 15))
    for row in added[1].tolist():
        register = int(halves[row]) & 7 | int(halves[row]) >> 4 & 8
        if _loaded(raw, True, row, register, address - (base + 2 * row + 4) & 0xFFFFFFFF):
            out.append((True, 2 * row + 2, register))
    return out


def _loaded(raw: U8, thumb: bool, row: int, register: int, value: int) -> bool:
    """Whether an instruction before loads a literal of this value into the register."""
    return any(r == register and v == value for _, r, v in _literals(raw, thumb, max(row - _BACK, 0), row))


def _literals(raw: U8, thumb: bool, first: int, end: int) -> list[tuple[int, int, int]]:
    """Loads of literals among some instructions (half-words of T32 code): offset behind, register and value."""
    words, halves = _words(raw), _halves(raw)
    out = []
    for row in range(first, end):
        if not thumb:
            word = int(words[row])
            if word & 0x0F7F0000 != 0x051F0000:
                continue
            place = 4 * row + 8 + (word & 0xFFF) * (1 if word >> 23 & 1 else -1)
            behind, register = 4 * row + 4, word >> 12 & 15
        else:
            half, after = int(halves[row]), int(halves[row + 1]) if row + 1 < len(halves) else 0
            if half >> 11 == 9:
                place, behind, register = (2 * row + 4) // 4 * 4 + 4 * (half & 0xFF), 2 * row + 2, half >> 8 & 7
            elif half & 0xFF7F == 0xF85F:
                place = (2 * row + 4) // 4 * 4 + (after & 0xFFF) * (1 if half & 0x80 else -1)
                behind, register = 2 * row + 4, after >> 12
            else:
                continue
        if place % 4 == 0 and 0 <= place // 4 < len(words):
            out.append((behind, register, int(words[place // 4])))
    return out


def _stored(raw: U8, address: int, held: Ints) -> list[tuple[bool, int, int]]:
    """Loads of literals that hold the address, which are at the words ``held``."""
    out = []
    for place in (4 * held).tolist():
        low, high = max(place - _REACH, 0), min(place + _REACH, len(raw))
        for thumb, step in ((False, 4), (True, 2)):
            found = _literals(raw, thumb, low // step, high // step)
            out += [(thumb, behind, register) for behind, register, value in found if value == address]
    return out


@dataclass(frozen=True)
class _Moves:
    """Moves of halves: which form of instruction, what half, and which register, by instruction."""

    form: Code
    half: Code
    register: Code
    upper: int


def _moves(words: Code, halves: Code, address: int) -> list[tuple[bool, Ints, _Moves]]:
    """Of both instruction sets: the rows of moves of the lower half of the address, among all."""
    after = np.append(halves[1:], np.zeros(1, halves.dtype))
    kind = np.where(after & 0x8000 == 0, halves & 0xFBF0, np.uint16(0))
    half = (halves & 15) << 12 | (halves >> 10 & 1) << 11 | (after >> 12 & 7) << 8 | after & 0xFF
    narrow = _Moves(kind, half, after >> 8 & 15, 0xF2C0)
    wide = _Moves(words & 0x0FF00000, (words >> 16 & 15) << 12 | words & 0xFFF, words >> 12 & 15, 0x03400000)
    sets = (False, wide, 0x03000000), (True, narrow, 0xF240)
    return [(thumb, np.flatnonzero((m.form == code) & (m.half == address & 0xFFFF)), m) for thumb, m, code in sets]


def _halved(lower: list[tuple[bool, Ints, _Moves]], address: int) -> list[tuple[bool, int, int]]:
    """The first move of the upper half behind each move of the lower half, into the same register."""
    out = []
    for thumb, rows, moves in lower:
        for row in rows.tolist():
            near = np.arange(row + 1, min(row + _BACK, len(moves.form)))
            near = near[(moves.form[near] == moves.upper) & (moves.half[near] == address >> 16)]
            near = near[moves.register[near] == moves.register[row]]
            out += [(thumb, (2 if thumb else 4) * x + 4, int(moves.register[row])) for x in near[:1].tolist()]
    return out


def _passes(raw: U8, thumb: bool, place: int, register: int) -> bool:
    """Whether a distance is soon added to what is in a register at an offset, as from the address of one object that
    others of its section are found by."""
    if thumb:
        found = t32(_halves(raw)[place // 2 : (place + _AHEAD) // 2].astype(np.uint32))
    else:
        found = a32(_words(raw)[place // 4 : (place + _AHEAD) // 4].astype(np.uint32))
    return bool(((found.base == register) & (found.distance != 0)).any())


def _calls(raw: U8, thumb: bool, place: int, register: int) -> bool:
    """Whether what is in a register at an offset is soon jumped to."""
    if thumb:
        ahead = _halves(raw)[place // 2 : (place + _AHEAD) // 2]
        found = (ahead & 0xFF78 == 0x4700 | register << 3) | (ahead & 0xFFFF == 0x4687 | register << 3)
    else:
        ahead = _words(raw)[place // 4 : (place + _AHEAD) // 4]
        found = (ahead & 0x0FFFFFDF == 0x012FFF10 | register) | (ahead & 0x0FFFFFFF == 0x01A0F000 | register)
    return bool(found.any())
