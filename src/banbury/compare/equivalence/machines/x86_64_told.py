"""What one instruction of x86-64 does to an address, told more exactly than of all instructions at once: for searches
that look at few of them.

Sources: Intel SDM, volume 2, chapters 2 and 3, appendix A.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from banbury.compare.equivalence.machines.x86_64_absolute import PREFIXES

#: No constant.
OPEN: Final = 1 << 62
_LEA: Final = 0x8D
_SUB: Final = (0x29, 0x2B)
#: Moves and extensions.
_INDEXED: Final = (0x88, 0x89, 0x8A, 0x8B, 0x0FB6, 0x0FB7, 0x0FBE, 0x0FBF, 0x63)


class Told(NamedTuple):
    """``lost``: registers (as bits) of which it writes 8 or 16 bits by what was elsewhere: what they held is no address
    any more. ``less``: those that it subtracts from another, or reads or writes memory at a multiple of. ``adds``: the
    number that it adds to the one register that it adds to (:data:`OPEN`: none, or no number). ``both``: the two
    registers of which it makes the sum, and of nothing else."""

    lost: int = 0
    less: int = 0
    adds: int = OPEN
    both: tuple[int, int] | None = None


@lru_cache(maxsize=4096)
def told(code: bytes) -> Told:
    """What the one instruction ``code`` does to addresses."""
    one = parsed(code)
    if one is None:
        return Told()
    small, less = _small(one), _multiplied(one)
    if one.opcode in _SUB and one.rex & 8 and one.second >= 0 and one.second != one.register:
        less = 1 << (one.register if one.opcode == 0x29 else one.second)
    if small >= 0 or not one.rex & 8:
        return Told(1 << small if small >= 0 else 0, less)
    return Told(0, less, _added(one), _two(one))


class Parsed(NamedTuple):
    """The parts of an instruction. ``half``: its operands are of 16 bits (without REX.W); ``opcode``: of two bytes from
    0F00 on; ``rest``: what is behind the ModRM byte."""

    half: bool
    rex: int
    opcode: int
    modrm: int
    rest: bytes

    @property
    def register(self) -> int:
        return self.modrm >> 3 & 7 | (self.rex & 4) << 1

    @property
    def second(self) -> int:
        """The register in the lower bits of the ModRM byte; -1: memory."""
        return self.modrm & 7 | (self.rex & 1) << 3 if self.modrm >= 0xC0 else -1


def parsed(code: bytes) -> Parsed | None:
    """The parts of the instruction ``code``; ``None``: of one with prefixes that are not read here."""
    at = 0
    while at < len(code) and code[at] in PREFIXES:
        at += 1
    half = 0x66 in code[:at]
    rex = code[at] if at < len(code) and code[at] & 0xF0 == 0x40 else 0
    at += bool(rex)
    if any(x in (0x67, 0xF0, 0x64, 0x65) for x in code[:at]) or at >= len(code):
        return None
    opcode, at = code[at], at + 1
    if opcode == 0x0F and at < len(code):
        opcode, at = 0x0F00 | code[at], at + 1
    return Parsed(half, rex, opcode, code[at] if at < len(code) else 0, code[at + 1 :])


def _small(one: Parsed) -> int:
    """The register that a move of 8 or 16 bits, but of a number, puts a part into; -1: it is none."""
    plain, number = one.opcode, -1
    if plain == 0x8A:
        number = one.register
    elif plain == 0x88 or 0x0F90 <= plain < 0x0FA0:
        number = one.second
    if number >= 0:
        return number - 4 if not one.rex and number > 3 else number  # AH, CH, DH, BH
    if not one.half or one.rex & 8:
        return -1
    if plain in (0x8B, 0x0FB6, 0x0FBE):
        return one.register
    return one.second if plain == 0x89 else -1


def _multiplied(one: Parsed) -> int:
    """The register of which a multiple is the index of a load or an arithmetic instruction."""
    sib = one.rest[0] if one.rest else 0
    if one.opcode not in _INDEXED or one.modrm >= 0xC0 or one.modrm & 7 != 4 or sib < 0x40:
        return 0
    index, base = sib >> 3 & 7 | (one.rex & 2) << 2, sib & 7 | (one.rex & 1) << 3
    return 1 << index if index not in (4, base) else 0


def _added(one: Parsed) -> int:
    """The number that an instruction of 64 bits adds to a register."""
    kind, low = one.modrm >> 3 & 7, one.modrm & 7
    if one.opcode == _LEA and 0x40 <= one.modrm < 0xC0:
        rest = one.rest
        if low == 4:  # a SIB byte: without an index, or no sum of one register
            if not rest or rest[0] >> 3 & 7 != 4 or one.rex & 2:
                return OPEN
            rest = rest[1:]
        return int.from_bytes(rest[: 1 if one.modrm < 0x80 else 4], "little", signed=True)
    if one.opcode in (0x81, 0x83) and one.second >= 0 and kind in (0, 5):
        number = int.from_bytes(one.rest[: 1 if one.opcode == 0x83 else 4], "little", signed=True)
        return number if kind == 0 else -number
    if one.opcode == 0xFF and one.second >= 0 and kind < 2:
        return 1 - 2 * kind
    return OPEN


def _two(one: Parsed) -> tuple[int, int] | None:
    """The two registers of which an instruction of 64 bits makes the sum."""
    if one.opcode in (0x01, 0x03) and one.second >= 0:
        return one.register, one.second
    sib = one.rest[0] if one.rest else 0
    if one.opcode != _LEA or one.modrm >= 0x40 or one.modrm & 7 != 4 or sib >= 0x40 or sib & 7 == 5:
        return None
    index = sib >> 3 & 7 | (one.rex & 2) << 2
    return None if index == 4 else (index, sib & 7 | (one.rex & 1) << 3)
