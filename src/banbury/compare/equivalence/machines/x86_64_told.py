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


class Told(NamedTuple):
    """``lost``: registers (as bits) of which it loads 8 or 16 bits: what they held is no address any more. ``less``:
    the register that it subtracts, and the one that it subtracts it from. ``adds``: the number that it adds to the one
    register that it adds to (:data:`OPEN`: none, or no number), which is ``base``. ``both``: the two registers of
    which it makes the sum, and of nothing else."""

    lost: int = 0
    less: tuple[int, int] | None = None
    adds: int = OPEN
    base: int = -1
    both: tuple[int, int] | None = None


@lru_cache(maxsize=4096)
def told(code: bytes) -> Told:
    """What the one instruction ``code`` does to addresses."""
    one = parsed(code)
    if one is None:
        return Told()
    if one.second < 0 and (one.opcode == 0x8A or (one.opcode == 0x8B and one.half and not one.rex & 8)):
        high = one.opcode == 0x8A and not one.rex and one.register > 3  # AH, CH, DH, BH
        return Told(1 << one.register - 4 * high)
    if not one.rex & 8:
        return Told()
    less = None
    if one.opcode in _SUB and one.second >= 0 and one.second != one.register:
        less = (one.register, one.second) if one.opcode == _SUB[0] else (one.second, one.register)
    adds, base = _added(one)
    return Told(0, less, adds, base, _two(one))


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


def begins(code: bytes) -> tuple[bytes, int, int]:
    """What an instruction begins with: its prefixes, that of registers (REX; 0: none), and where its opcode is."""
    at = 0
    while at < len(code) and code[at] in PREFIXES:
        at += 1
    rex = code[at] if at < len(code) and code[at] & 0xF0 == 0x40 else 0
    return code[:at], rex, at + bool(rex)


def parsed(code: bytes) -> Parsed | None:
    """The parts of the instruction ``code``; ``None``: of one with prefixes that are not read here."""
    prefixes, rex, at = begins(code)
    half = 0x66 in prefixes
    if any(x in (0x67, 0xF0, 0x64, 0x65) for x in prefixes) or at >= len(code):
        return None
    opcode, at = code[at], at + 1
    if opcode == 0x0F and at < len(code):
        opcode, at = 0x0F00 | code[at], at + 1
    return Parsed(half, rex, opcode, code[at] if at < len(code) else 0, code[at + 1 :])


def _added(one: Parsed) -> tuple[int, int]:
    """The number that an instruction of 64 bits adds to a register, and that register."""
    kind, low = one.modrm >> 3 & 7, one.modrm & 7
    if one.opcode == _LEA and 0x40 <= one.modrm < 0xC0:
        rest = one.rest
        if low == 4:  # a SIB byte: without an index, or no sum of one register
            if not rest or rest[0] >> 3 & 7 != 4 or one.rex & 2:
                return OPEN, -1
            low, rest = rest[0] & 7, rest[1:]
        number = int.from_bytes(rest[: 1 if one.modrm < 0x80 else 4], "little", signed=True)
        return number, low | (one.rex & 1) << 3
    if one.opcode in (0x81, 0x83) and one.second >= 0 and kind in (0, 5):
        number = int.from_bytes(one.rest[: 1 if one.opcode == 0x83 else 4], "little", signed=True)
        return number if kind == 0 else -number, one.second
    if one.opcode == 0xFF and one.second >= 0 and kind < 2:
        return 1 - 2 * kind, one.second
    return OPEN, -1


def _two(one: Parsed) -> tuple[int, int] | None:
    """The two registers of which an instruction of 64 bits makes the sum."""
    if one.opcode in (0x01, 0x03) and one.second >= 0:
        return one.register, one.second
    sib = one.rest[0] if one.rest else 0
    if one.opcode != _LEA or one.modrm >= 0x40 or one.modrm & 7 != 4 or sib >= 0x40 or sib & 7 == 5:
        return None
    index = sib >> 3 & 7 | (one.rex & 2) << 2
    return None if index == 4 else (index, sib & 7 | (one.rex & 1) << 3)
