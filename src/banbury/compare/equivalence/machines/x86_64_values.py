"""What registers of x86-64 hold wherever code comes from: one of a few small numbers, as an index that a compiler has
made of a condition (``" %u" + first``); or an address that is made in one of a few places, and what was added to it.

It is asked backwards, by direct branches, up to the instructions that put a number or an address there; where anything
on the way is not known here, or code begins, there is no answer.

Sources: Intel SDM, volume 2, chapter 3, appendix A; System V ABI, AMD64 supplement, 3.2.1 (registers that calls leave).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from banbury.compare.equivalence.machines.x86_64_told import OPEN, Parsed, parsed, told

_ENDS: Final = -2
_RESULT, _FIRST_ARGUMENT = 0, 7  # registers (AMD64 supplement, 3.2.3)
_SMALL: Final = 1 << 31  # what a copy of 32 bits leaves as it is
#: Sums, differences and bits of a register and what the ModRM byte names.
_ARITHMETIC: Final = (0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30)
_FIRST: Final = frozenset(
    (*(x + k for x in _ARITHMETIC for k in (2, 3)), 0x8A, 0x8B, 0x8D, 0x63, 0x69, 0x6B, *range(0x0F40, 0x0F50), 0x0FAF,
     0x0FB6, 0x0FB7, 0x0FBE, 0x0FBF)
)  # fmt: skip
_SECOND: Final = frozenset(
    (*(x + k for x in _ARITHMETIC for k in (0, 1)), 0x88, 0x89, 0xC0, 0xC1, *range(0xD0, 0xD4), *range(0x0F90, 0x0FA0))
)
_ACCUMULATOR: Final = frozenset((*(x + k for x in _ARITHMETIC for k in (4, 5)), 0x98))
#: CMP, TEST, PUSH, jumps, NOP.
_NOTHING: Final = frozenset(
    (*range(0x38, 0x3E), 0x84, 0x85, 0xA8, 0xA9, *range(0x50, 0x58), 0x68, 0x6A, *range(0x70, 0x80), 0xE9, 0xEB, 0x90,
     0x0F1F, *range(0x0F80, 0x0F90))
)  # fmt: skip
#: Opcodes of several instructions: which one writes nothing (CMP, TEST, PUSH), and how many write what the ModRM byte
#: names.
_TESTS: Final = {0x80: 7, 0x81: 7, 0x83: 7, 0xF6: 0, 0xF7: 0, 0xFF: 6}
_ONES: Final = {0x80: 7, 0x81: 7, 0x83: 7, 0xC6: 1, 0xC7: 1, 0xF6: 4, 0xF7: 4, 0xFE: 2, 0xFF: 2}


class Sets(NamedTuple):
    """The general registers (as bits) that an instruction may write; where it is one, the ``value`` that it puts there,
    or the register ``source`` that it copies (-1: neither)."""

    registers: int
    value: int = -1
    source: int = -1


class Come(Protocol):
    """The code of a function. ``before``: the rows from which code comes to one (``None``: from where, is not known);
    ``instruction``: its bytes; ``spares``: of a call the registers that it certainly leaves as they were (``None``: it
    is none); ``finds``: whether what it returns is in what its first argument points to, or nothing."""

    def before(self, row: int) -> Iterable[int] | None: ...

    def instruction(self, row: int) -> bytes: ...

    def spares(self, row: int) -> int | None: ...

    def finds(self, row: int) -> bool: ...


def values(row: int, register: int, come: Come, most: list[int]) -> frozenset[int] | None:
    """The numbers that a register may hold before a row; ``None``: it is not known. ``most``: how many instructions are
    looked at yet."""
    out = set[int]()

    def follow(earlier: int, asked: int, known: Sets) -> int:
        if known.value >= 0:
            out.add(known.value)
            return _ENDS
        return known.source

    return frozenset(out) or None if _walked(row, register, come, follow, most) else None


def places(row: int, register: int, come: Come, most: list[int]) -> frozenset[int] | None:
    """The rows of the instructions that make the address (relative to their own) that a register holds before a row, or
    to which something was added, or in what stands there something was found; ``None``: it is not known. ``most``: as
    of :func:`values`."""
    out = set[int]()

    def follow(earlier: int, asked: int, known: Sets) -> int:
        if come.spares(earlier) is not None:
            return _FIRST_ARGUMENT if asked == _RESULT and come.finds(earlier) else -1
        code = come.instruction(earlier)
        one, said = parsed(code), told(code)
        if one is None or not one.rex & 8:
            return -1
        if one.opcode == 0x8D and one.modrm & 0xC7 == 5:
            out.add(earlier)
            return _ENDS
        return said.base if said.adds != OPEN else known.source

    return frozenset(out) or None if _walked(row, register, come, follow, most) else None


def _walked(row: int, register: int, come: Come, follow: Callable[[int, int, Sets], int], most: list[int]) -> bool:
    """Go back from a row by what writes a register: ``follow`` says of an instruction that does which register it has
    that of (:data:`_ENDS`: none more; -1: not known). Whether all was known."""
    seen, waiting = {(row, register)}, [(row, register)]
    while waiting:
        at, asked = waiting.pop()
        come_from = come.before(at)
        if not come_from:
            return False
        for earlier in come_from:
            most[0] -= 1
            left = come.spares(earlier)
            known = sets(come.instruction(earlier)) if left is None else Sets(~left)
            if known is None or most[0] < 0:
                return False
            source = follow(earlier, asked, known) if known.registers >> asked & 1 else asked
            if source == -1:
                return False
            if source >= 0 and (earlier, source) not in seen:
                seen.add((earlier, source))
                waiting.append((earlier, source))
    return True


@lru_cache(maxsize=4096)
def sets(code: bytes) -> Sets | None:
    """What the one instruction ``code`` writes; ``None``: not known here."""
    one = parsed(code)
    if one is None:
        return None
    opcode, kind = one.opcode, one.modrm >> 3 & 7
    if opcode in _NOTHING or _TESTS.get(opcode) == kind or (opcode == 0x0F1E and one.modrm == 0xFA):  # ENDBR64
        return Sets(0) if opcode != 0x90 or not one.rex & 1 else None  # XCHG
    if opcode in _ACCUMULATOR:
        return Sets(1)
    if opcode in _FIRST or opcode in _SECOND or kind < _ONES.get(opcode, 0):
        return _named(one)
    return _numbered(code, one)


def _named(one: Parsed) -> Sets:
    """Of an instruction that writes what its ModRM byte names."""
    opcode, first = one.opcode, one.opcode in _FIRST
    to, other = (one.register, one.second) if first else (one.second, one.register)
    if to < 0:
        return Sets(0)
    cleared = opcode in (0x29, 0x2B, 0x31, 0x33) and to == other and not one.half
    copied = other if opcode in (0x89, 0x8B) and not one.half else -1
    small = opcode in (0x0FB6, 0x0FB7, 0x0FBE, 0x0FBF, 0x0FAF) or 0x0F40 <= opcode < 0x0F50
    small = small or (opcode < 0x0F00 and opcode & 1 == 1)
    return Sets(1 << to if small else _bytes(to, one.rex), 0 if cleared else -1, copied)


def _numbered(code: bytes, one: Parsed) -> Sets | None:
    """Of an instruction whose opcode says which register it writes: a number, or what was on the stack."""
    opcode, to = one.opcode, one.opcode & 7 | (one.rex & 1) << 3
    if 0xB8 <= opcode < 0xC0:
        value = int.from_bytes(code[-4:], "little") if not one.half and not one.rex & 8 else -1
        return Sets(1 << to, value if value < _SMALL else -1)
    if 0xB0 <= opcode < 0xB8:
        return Sets(_bytes(to, one.rex))
    return Sets(1 << to) if 0x58 <= opcode < 0x60 else None


def _bytes(number: int, rex: int) -> int:
    """The register that one of a byte is of (AH, CH, DH, BH without REX)."""
    return 1 << (number - 4 if not rex and 3 < number < 8 else number)
