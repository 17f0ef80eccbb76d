"""What instructions of x86-64 do with the stack: with its pointer, with the registers that functions keep, and with
memory that they find by the stack pointer or by that of a frame.

Sources: Intel SDM, volume 1, chapter 6, and volume 2, chapters 2 and 3 and appendix A; System V ABI, AMD64 supplement,
3.2.
"""

from __future__ import annotations

from enum import Enum, auto
from functools import lru_cache
from typing import Final, NamedTuple

from banbury.compare.equivalence.machines.x86_64_absolute import PREFIXES
from banbury.compare.equivalence.machines.x86_64_told import begins
from banbury.compare.equivalence.machines.x86_64_values import sets

WORD: Final = 8  # bytes
_VECTOR, _STATE = 16, 1 << 14  # bytes of one register, and at most of all (FXSAVE, XSAVE, FNSAVE)
RSP, RBP = 4, 5
#: Registers that functions leave as they were (AMD64 supplement, figure 3.4), and as bits.
OWN: Final = (3, RBP, 12, 13, 14, 15)
ALL: Final = sum(1 << x for x in OWN)
#: Opcodes without a ModRM byte, and of x87, that write none of these, but for those that are told apart before.
_PLAIN: Final = frozenset((
    *range(0x70, 0x80), 0x98, 0x99, 0x9B, 0x9E, 0x9F, *range(0xA0, 0xB0), 0xD7, *range(0xE0, 0xE4), 0xE9, 0xEB,
    0xF4, 0xF5, 0xF8, 0xF9, 0xFC, 0xFD, 0x0F0B, 0x0F31, 0x0F77, *range(0x0F80, 0x0F90),
    *(x + k for x in range(0, 0x40, 8) for k in (4, 5)), *range(0xD8, 0xE0),
))  # fmt: skip
#: Opcodes behind 0F whose ModRM byte names registers of vectors, or memory, or what they only read.
_VECTORS: Final = frozenset(
    (0x0D, *range(0x10, 0x1E), *range(0x28, 0x2C), 0x2E, 0x2F, *range(0x51, 0x77), 0x7C, 0x7D, 0x7F, 0xA3, 0xC2, 0xC4,
     0xC6, *range(0xD0, 0xD7), *range(0xD8, 0xFF))
)  # fmt: skip
#: Opcodes of one byte, and of two behind 0F, that only read memory, and those that do so of one kind.
_READS: Final = frozenset(
    (*(x + k for x in range(0, 0x40, 8) for k in (2, 3)), 0x38, 0x39, 0x63, 0x69, 0x6B, 0x84, 0x85, 0x8A, 0x8B)
)
_READS_TWO: Final = frozenset(
    (0x10, 0x12, 0x14, 0x15, 0x16, 0x18, 0x28, 0x2A, 0x2C, 0x2D, 0x2E, 0x2F, *range(0x40, 0x50), *range(0x51, 0x71),
     0x74, 0x75, 0x76, 0xA3, 0xAF, 0xB6, 0xB7, 0xB8, 0xBC, 0xBD, 0xBE, 0xBF, 0xC2, 0xC6, *range(0xD4, 0xD6),
     *range(0xD8, 0xE7), *range(0xE8, 0xF7), *range(0xF8, 0xFF))
)  # fmt: skip
_TESTS: Final = {0x80: 7, 0x81: 7, 0x83: 7, 0xF6: 0, 0xF7: 0}
_MOVES: Final = (b"\xb6", b"\xb7", b"\xbe", b"\xbf", b"\xaf")  # behind 0F: of a word at most, as CMOVcc
#: The others that are known here.
_GENERAL: Final = frozenset(
    (0x1E, 0x1F, *range(0x40, 0x51), 0x7E, *range(0x90, 0xA0), 0xA4, 0xA5, *range(0xAB, 0xB9), *range(0xBB, 0xC4), 0xC5,
     0xC7, 0xD7)
)  # fmt: skip


class Kind(Enum):
    """What an instruction does with the stack pointer, and with registers that functions keep."""

    NOTHING = auto()
    PUSHES = auto()  # a word; of the register ``number``, or -1
    POPS = auto()
    ADDS = auto()  # a number
    FRAME = auto()  # rbp becomes rsp and a number
    BACK = auto()  # rsp becomes rbp and a number
    LEAVES = auto()
    GROWS = auto()  # the stack, by a register
    WRITES = auto()  # of registers that functions keep those that ``number`` has as bits
    RETURNS = auto()
    STRANGE = auto()  # what is not known here


class Effect(NamedTuple):
    """See :class:`Kind`."""

    kind: Kind
    number: int = 0


_NOTHING: Final = Effect(Kind.NOTHING)
_STRANGE: Final = Effect(Kind.STRANGE)


#: Opcodes of one byte and two that find no memory by a ModRM byte (LEA and NOP have one).
_BARE: Final = frozenset((
    *(x for x in _PLAIN if x < 0x100 and not 0xD8 <= x < 0xE0), *range(0x50, 0x60), *range(0xB0, 0xC0), 0x68, 0x6A,
    0x8D, 0x9C, 0x9D, 0xC3, 0xC9, 0xE8,
))  # fmt: skip
_BARE_TWO: Final = frozenset((*(x & 0xFF for x in _PLAIN if x > 0xFF), 0xA2, *range(0xC8, 0xD0), 0x1F))
_SIMPLE: Final = {
    0x68: Effect(Kind.PUSHES, -1), 0x6A: Effect(Kind.PUSHES, -1), 0x9C: Effect(Kind.PUSHES, -1), 0xE8: _NOTHING,
    0x9D: Effect(Kind.POPS, -1), 0xC9: Effect(Kind.LEAVES), 0xC3: Effect(Kind.RETURNS),
    **dict.fromkeys((0xC2, 0xC8, 0xCA, 0xCB, 0xCC, 0xCD, 0xCF, 0xF1, 0xFA, 0xFB), _STRANGE),
}  # fmt: skip
#: By the three bits of the ModRM byte: calls, jumps and PUSH.
_FF: Final = {2: _NOTHING, 3: _STRANGE, 4: _NOTHING, 5: _STRANGE, 6: Effect(Kind.PUSHES, -1), 7: _STRANGE}


def effect(code: bytes) -> Effect:
    """What the one instruction ``code`` does with rsp, and with registers that functions keep."""
    prefixes, rex, at = begins(code)
    odd = 0x66 in prefixes or 0x67 in prefixes
    if at >= len(code) or code[at] in PREFIXES or code[at] & 0xF0 == 0x40:  # REX that stands elsewhere has no effect
        return _STRANGE
    opcode, rest = code[at], code[at + 1 :].ljust(8, b"\0")
    if opcode in (0xC4, 0xC5, 0x62):
        return _led(opcode, rest)
    if opcode == 0x0F:
        return _two(code, rex, rest)
    found = _stack(opcode, rex, rest) or _direct(opcode, rex, rest)
    if found is None:
        return _other(code, opcode, rex, rest)
    return _STRANGE if odd and found.kind not in (Kind.NOTHING, Kind.WRITES) else found


@lru_cache(maxsize=8192)
def does(code: bytes) -> tuple[Effect, Memory | None]:
    return effect(code), finds(code)


class Memory(NamedTuple):
    """Memory that is found by ``base`` (rsp or rbp) and a distance alone, how many bytes at most, and whether they may
    be ``written``."""

    base: int
    distance: int
    width: int
    written: bool


def finds(code: bytes) -> Memory | None:
    """What memory the one instruction ``code`` finds by rsp or rbp; ``None``: none by one of the two alone."""
    _, rex, at = begins(code)
    opcode, width = code[at] if at < len(code) else 0, WORD
    if opcode == 0x0F:
        at += 1 + (code[at + 1 : at + 2] in (b"\x38", b"\x3a"))
        width = _STATE if code[at : at + 1] in (b"\xae", b"\xc7") else _VECTOR
        width = WORD if 0x40 <= int.from_bytes(code[at : at + 1]) < 0x50 or code[at : at + 1] in _MOVES else width
        nothing = code[at : at + 1] == b"" or code[at] in _BARE_TWO
    elif opcode in (0xC4, 0xC5, 0x62):
        at, width, nothing = at + {0xC5: 2, 0xC4: 3, 0x62: 4}[opcode], 4 * _VECTOR, False
        rex = 0  # as if it found what it may find by another register
    else:
        width, nothing = _width(opcode, rex), opcode in _BARE
    found = None if nothing else _found(code[at + 1 :].ljust(8, b"\0"), rex)
    if found is None:
        return None
    kind = code[at + 1] >> 3 & 7
    read = opcode in _READS or _TESTS.get(opcode) == kind or (opcode == 0xFF and kind in (2, 4, 6))
    read = read or (opcode == 0x0F and code[at - 1] == 0x0F and code[at] in _READS_TWO)
    return Memory(*found, 1 << 40 if opcode == 0x62 else width, not read)  # EVEX: the distance may be counted otherwise


def _width(opcode: int, rex: int) -> int:
    """How many bytes of memory an instruction of one byte finds at most."""
    if 0xD8 <= opcode < 0xE0:
        return _STATE
    if opcode in (0x8F, 0xFF) or rex & 8:
        return WORD
    one = not opcode & 1 and (opcode < 0x40 or 0x80 <= opcode < 0x8B or opcode in (0xC0, 0xC6, 0xD0, 0xD2, 0xF6, 0xFE))
    return 1 if one else WORD // 2


def _found(rest: bytes, rex: int) -> tuple[int, int] | None:
    """The base and the distance that a ModRM byte and what follows say."""
    mode, base, begin = rest[0] >> 6, rest[0] & 7, 1
    if mode == 3 or (base == RBP and mode == 0):
        return None
    if base == 4:  # a SIB byte
        if rest[1] & 0x38 != 0x20 or rex & 2 or (rest[1] & 7 == RBP and mode == 0):
            return None
        base, begin = rest[1] & 7, 2
    if rex & 1 or base not in (RSP, RBP):
        return None
    size = (0, 1, 4)[mode]
    return base, int.from_bytes(rest[begin : begin + size], "little", signed=True)


def _other(code: bytes, opcode: int, rex: int, rest: bytes) -> Effect:
    """Of an instruction of one byte that does nothing special with rsp."""
    if opcode & 0xF8 == 0x90 or opcode & 0xF0 == 0xB0:  # XCHG with the first register, MOV of a number
        number = opcode & 7 | (rex & 1) << 3
        high = opcode & 0xF8 == 0xB0 and not rex and number > 3  # AH, CH, DH, BH
        return _of(1 << number - 4 * high | 1)
    if opcode in (0xC6, 0xC7) and rest[0] == 0xF8:  # XABORT, XBEGIN
        return _STRANGE
    divides = opcode | 1 == 0xF7 and rest[0] & 0x20  # MUL, DIV
    return _NOTHING if opcode in _PLAIN or divides else _written(code, rex, rest[0])


def _stack(opcode: int, rex: int, rest: bytes) -> Effect | None:
    """Of an instruction that pushes, pops, calls or returns."""
    kind, number = rest[0] >> 3 & 7, opcode & 7 | (rex & 1) << 3
    if opcode & 0xF8 == 0x50:
        return Effect(Kind.PUSHES, number)
    if opcode & 0xF8 == 0x58:
        return Effect(Kind.POPS, number) if number != RSP else _STRANGE
    if opcode == 0x8F:
        return Effect(Kind.POPS, -1) if kind == 0 and rest[0] < 0xC0 and rest[0] & 7 != RSP else _STRANGE
    return _FF.get(kind) if opcode == 0xFF else _SIMPLE.get(opcode)


def _direct(opcode: int, rex: int, rest: bytes) -> Effect | None:
    """Of an instruction that adds to rsp, or makes one of rsp and rbp of the other."""
    modrm, kind, whole = rest[0], rest[0] >> 3 & 7, bool(rex & 8)
    register, second = kind | (rex & 4) << 1, modrm & 7 | (rex & 1) << 3 if modrm >= 0xC0 else -1
    found = None
    if opcode in (0x81, 0x83) and second == RSP and kind != 7:
        found = _number(kind, int.from_bytes(rest[1 : 2 if opcode == 0x83 else 5], "little", signed=True))
    elif (opcode, second) == (0x29, RSP) or ((opcode, register) == (0x2B, RSP) and modrm >= 0xC0):
        found = Effect(Kind.GROWS)
    elif opcode == 0x8D and register in (RSP, RBP):
        return _address(register, rex, rest)
    elif opcode in (0x89, 0x8B):
        to, of = (second, register) if opcode == 0x89 else (register, second)
        made = {(RSP, RBP): Kind.BACK, (RBP, RSP): Kind.FRAME}.get((to, of))
        return Effect(made) if made is not None and whole else _of(1 << to if to >= 0 else 0)
    return found if whole or found is None else _STRANGE


def _number(kind: int, number: int) -> Effect:
    """Of ADD or SUB of rsp and a number, or another such instruction."""
    return Effect(Kind.ADDS, -number if kind else number) if kind in (0, 5) else _STRANGE


def _address(register: int, rex: int, rest: bytes) -> Effect:
    """Of LEA into one of the two registers."""
    modrm, based = rest[0], rest[0] & 7
    strange = _of(1 << register)
    if rex & 0xB != 8 or not 0x40 <= modrm < 0xC0 or (based == RSP and rest[1] != 0x24) or based not in (RSP, RBP):
        return strange
    begin, size = 1 + (based == RSP), 1 if modrm < 0x80 else 4
    number = int.from_bytes(rest[begin : begin + size], "little", signed=True)
    pair = register, based
    made = {(RSP, RSP): Kind.ADDS, (RSP, RBP): Kind.BACK, (RBP, RSP): Kind.FRAME}.get(pair)
    return strange if made is None else Effect(made, number)


def _two(code: bytes, rex: int, rest: bytes) -> Effect:
    """Of an instruction whose opcode begins with 0F."""
    opcode = rest[0]
    if opcode == 0xA2:  # CPUID
        return _of(1 << 3)
    if opcode in _VECTORS or 0x0F00 | opcode in _PLAIN:
        return _NOTHING
    if opcode in (0x38, 0x3A):
        general = rest[1] >= 0xF0 if opcode == 0x38 else rest[1] in range(0x14, 0x18) or rest[1] >= 0xF0
        return _written(code, rex, rest[2]) if general else _NOTHING
    if 0xC8 <= opcode < 0xD0:
        return _of(1 << (opcode & 7 | (rex & 1) << 3))
    if opcode == 0xBA:  # BT, and those that write
        return _NOTHING if rest[1] >> 3 & 7 == 4 else _written(code, rex, rest[1] & 0xC7)
    return _written(code, rex, rest[1]) if opcode in _GENERAL else _STRANGE


def _led(opcode: int, rest: bytes) -> Effect:
    """Of an instruction with a prefix of vectors: one that may write general registers is held to write all that it
    names."""
    size = {0xC5: 1, 0xC4: 2, 0x62: 3}[opcode]
    last, modrm = rest[size], rest[size + 1]
    general = (0x14, 0x15, 0x16, 0x17, 0x2C, 0x2D, 0x50, 0x78, 0x79, 0x7E, 0x92, 0x93, 0xC5, 0xD7)
    if last not in general and not 0xE0 <= last < 0xF8:
        return _NOTHING
    named = (modrm >> 3 & 7, modrm & 7 if modrm >= 0xC0 else 0, ~rest[opcode != 0xC5] >> 3 & 7)
    return _of(sum(0x101 << x for x in set(named)))


def _written(code: bytes, rex: int, modrm: int) -> Effect:
    """Of an instruction that may write what its ModRM byte names."""
    known = sets(code)
    if known is not None:
        return _of(known.registers)
    second = 1 << (modrm & 7 | (rex & 1) << 3) if modrm >= 0xC0 else 0
    named = 1 << (modrm >> 3 & 7 | (rex & 4) << 1) | second
    return _of(named | (named & 0xF0) >> 4)  # AH, CH, DH, BH


def _of(registers: int) -> Effect:
    if registers >> RSP & 1:
        return _STRANGE
    return Effect(Kind.WRITES, registers & ALL) if registers & ALL else _NOTHING
