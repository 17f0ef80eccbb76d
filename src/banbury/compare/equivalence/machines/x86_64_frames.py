"""Which functions of x86-64 leave the stack as they found it, and so return to where they were called from, by what
their code does with the stack pointer: what is on the stack is counted on every path; a return finds nothing there but
what the call has put there, and the registers that functions keep as they were.

What memory holds is not followed: a function may write by a pointer over the place that it returns to, and what is
called or jumped to by a pointer (or a table of jumps) may be any. What is not known here leaves the stack otherwise:
alignment but under a frame, far calls and returns, transactions.

Sources: Intel SDM, volume 1, chapter 6, and volume 2; System V ABI, AMD64 supplement, 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache
from typing import Final, NamedTuple

from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.piecewise import Piecewise
from banbury.compare.equivalence.machines.x86_64_absolute import PREFIXES
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE
from banbury.compare.equivalence.machines.x86_64_values import sets

_MOST: Final = 1 << 18  # instructions that are looked at
_LONGEST: Final = 15  # bytes of an instruction
_WORD: Final = 8
_RSP, _RBP = 4, 5
#: Registers that functions leave as they were (AMD64 supplement, figure 3.4), and as bits.
_OWN: Final = (3, _RBP, 12, 13, 14, 15)
_ALL: Final = sum(1 << x for x in _OWN)
#: Jumps by a pointer.
_ENDS: Final = re.compile(rb"[\x3e\xf2\x40-\x4f]*\xff[\x20-\x27\x60-\x67\xa0-\xa7\xe0-\xe7]")
#: Opcodes without a ModRM byte that write neither register, but for those that are told apart before.
_PLAIN: Final = frozenset((
    *range(0x70, 0x80), 0x98, 0x99, 0x9B, 0x9E, 0x9F, *range(0xA0, 0xB0), 0xD7, *range(0xE0, 0xE4), 0xE9, 0xEB,
    0xF4, 0xF5, 0xF8, 0xF9, 0xFC, 0xFD, 0x0F05, 0x0F0B, 0x0F31, 0x0F77, *range(0x0F80, 0x0F90), 0x0FA2, 0x0FA3,
    *(x + k for x in range(0, 0x40, 8) for k in (4, 5)), *range(0xD8, 0xE0),
))  # fmt: skip
#: Opcodes behind 0F whose ModRM byte names registers of vectors, or memory, or what they only read.
_VECTORS: Final = frozenset(
    (0x0D, *range(0x10, 0x1E), *range(0x28, 0x2C), 0x2E, 0x2F, *range(0x51, 0x77), 0x7C, 0x7D, 0x7F, 0xC2, 0xC4, 0xC6,
     *range(0xD0, 0xD7), *range(0xD8, 0xFF))
)  # fmt: skip
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
    GROWS = auto()  # the stack, by what is not known
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
_BARE_TWO: Final = frozenset((*(x & 0xFF for x in _PLAIN if x > 0xFF and x != 0x0FA3), *range(0xC8, 0xD0), 0x1F))
_SIMPLE: Final = {
    0x68: Effect(Kind.PUSHES, -1), 0x6A: Effect(Kind.PUSHES, -1), 0x9C: Effect(Kind.PUSHES, -1), 0xE8: _NOTHING,
    0x9D: Effect(Kind.POPS, -1), 0xC9: Effect(Kind.LEAVES), 0xC3: Effect(Kind.RETURNS),
    **dict.fromkeys((0xC2, 0xC8, 0xCA, 0xCB, 0xCC, 0xCD, 0xCF, 0xF1, 0xFA, 0xFB), _STRANGE),
}  # fmt: skip
#: By the three bits of the ModRM byte: calls, jumps and PUSH.
_FF: Final = {2: _NOTHING, 3: _STRANGE, 4: _NOTHING, 5: _STRANGE, 6: Effect(Kind.PUSHES, -1), 7: _STRANGE}


def effect(code: bytes) -> Effect:
    """What the one instruction ``code`` does with rsp, and with registers that functions keep."""
    at = 0
    while at < len(code) and code[at] in PREFIXES:
        at += 1
    odd = any(x in (0x66, 0x67) for x in code[:at])
    rex = code[at] if at < len(code) and code[at] & 0xF0 == 0x40 else 0
    at += bool(rex)
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
def _does(code: bytes) -> tuple[Effect, tuple[int, int] | None]:
    return effect(code), finds(code)


def finds(code: bytes) -> tuple[int, int] | None:
    """The register, rsp or rbp, by which the one instruction ``code`` finds memory, and the distance from it; ``None``:
    by none of the two alone."""
    at = 0
    while at < len(code) and code[at] in PREFIXES:
        at += 1
    rex = code[at] if at < len(code) and code[at] & 0xF0 == 0x40 else 0
    at += bool(rex)
    two = code[at : at + 1] == b"\x0f"
    opcode, rest = code[at + two : at + two + 1], code[at + two + 1 :].ljust(8, b"\0")
    based, mode = rest[0] & 7, rest[0] >> 6
    nothing = not opcode or opcode[0] in (_BARE_TWO if two else _BARE)
    if nothing or mode == 3 or rex & 1 or based not in (_RSP, _RBP) or (based == _RSP and rest[1] != 0x24):
        return None
    begin, size = 1 + (based == _RSP), (0, 1, 4)[mode]
    if based == _RBP and mode == 0:  # relative to the instruction
        return None
    return based, int.from_bytes(rest[begin : begin + size], "little", signed=True)


def _other(code: bytes, opcode: int, rex: int, rest: bytes) -> Effect:
    """Of an instruction of one byte that does nothing special with rsp."""
    if opcode & 0xF8 == 0x90 or opcode & 0xF0 == 0xB0:  # XCHG with the first register, MOV of a number
        number = opcode & 7 | (rex & 1) << 3
        high = opcode & 0xF8 == 0xB0 and not rex and number > 3  # AH, CH, DH, BH
        return _of(1 << number - 4 * high | 1)
    divides = opcode | 1 == 0xF7 and rest[0] & 0x20  # MUL, DIV
    return _NOTHING if opcode in _PLAIN or divides else _written(code, rex, rest[0])


def _stack(opcode: int, rex: int, rest: bytes) -> Effect | None:
    """Of an instruction that pushes, pops, calls or returns."""
    kind, number = rest[0] >> 3 & 7, opcode & 7 | (rex & 1) << 3
    if opcode & 0xF8 == 0x50:
        return Effect(Kind.PUSHES, number)
    if opcode & 0xF8 == 0x58:
        return Effect(Kind.POPS, number) if number != _RSP else _STRANGE
    if opcode == 0x8F:
        return Effect(Kind.POPS, -1) if kind == 0 and rest[0] < 0xC0 else _STRANGE
    return _FF.get(kind) if opcode == 0xFF else _SIMPLE.get(opcode)


def _direct(opcode: int, rex: int, rest: bytes) -> Effect | None:
    """Of an instruction that adds to rsp, or makes one of rsp and rbp of the other."""
    modrm, kind, whole = rest[0], rest[0] >> 3 & 7, bool(rex & 8)
    register, second = kind | (rex & 4) << 1, modrm & 7 | (rex & 1) << 3 if modrm >= 0xC0 else -1
    found = None
    if opcode in (0x81, 0x83) and second == _RSP and kind != 7:
        found = _number(kind, int.from_bytes(rest[1 : 2 if opcode == 0x83 else 5], "little", signed=True))
    elif (opcode, second) == (0x29, _RSP) or (opcode, register) == (0x2B, _RSP):
        found = Effect(Kind.GROWS)
    elif opcode == 0x8D and register in (_RSP, _RBP):
        return _address(register, rex, rest)
    elif opcode in (0x89, 0x8B):
        to, of = (second, register) if opcode == 0x89 else (register, second)
        made = {(_RSP, _RBP): Kind.BACK, (_RBP, _RSP): Kind.FRAME}.get((to, of))
        return Effect(made) if made is not None and whole else _of(1 << to if to >= 0 else 0)
    return found if whole or found is None else _STRANGE


def _number(kind: int, number: int) -> Effect:
    """Of ADD, SUB or AND of rsp and a number, or another such instruction."""
    if kind == 4:
        return Effect(Kind.GROWS) if number < 0 else _STRANGE
    return Effect(Kind.ADDS, -number if kind else number) if kind in (0, 5) else _STRANGE


def _address(register: int, rex: int, rest: bytes) -> Effect:
    """Of LEA into one of the two registers."""
    modrm, based = rest[0], rest[0] & 7
    strange = _of(1 << register)
    if rex & 0xB != 8 or not 0x40 <= modrm < 0xC0 or (based == _RSP and rest[1] != 0x24) or based not in (_RSP, _RBP):
        return strange
    begin, size = 1 + (based == _RSP), 1 if modrm < 0x80 else 4
    number = int.from_bytes(rest[begin : begin + size], "little", signed=True)
    pair = register, based
    made = {(_RSP, _RSP): Kind.ADDS, (_RSP, _RBP): Kind.BACK, (_RBP, _RSP): Kind.FRAME}.get(pair)
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
    """Of an instruction with a prefix of vectors: none of those that is known to write general registers may name one
    of the two at all."""
    size = {0xC5: 1, 0xC4: 2, 0x62: 3}[opcode]
    last, modrm = rest[size], rest[size + 1]
    general = (0x14, 0x15, 0x16, 0x17, 0x2C, 0x2D, 0x50, 0x78, 0x79, 0x7E, 0x92, 0x93, 0xC5, 0xD7)
    if last not in general and not 0xF0 <= last < 0xF8:
        return _NOTHING
    named = (modrm >> 3 & 7, modrm & 7 if modrm >= 0xC0 else 0, ~rest[opcode != 0xC5] >> 3 & 7)
    return _of(sum(0x101 << x for x in set(named)))


def _written(code: bytes, rex: int, modrm: int) -> Effect:
    """Of an instruction that may write what its ModRM byte names."""
    known = sets(code)
    if known is not None:
        return _of(known.registers)
    if code[:1] in (b"\xc6", b"\xc7") and modrm == 0xF8:  # XABORT, XBEGIN
        return _STRANGE
    second = 1 << (modrm & 7 | (rex & 1) << 3) if modrm >= 0xC0 else 0
    named = 1 << (modrm >> 3 & 7 | (rex & 4) << 1) | second
    return _of(named | (named & 0xF0) >> 4)  # AH, CH, DH, BH


def _of(registers: int) -> Effect:
    if registers >> _RSP & 1:
        return _STRANGE
    return Effect(Kind.WRITES, registers & _ALL) if registers & _ALL else _NOTHING


@dataclass(frozen=True)
class _State:
    """Bytes on the stack (-1: not known), where rbp points on it (-1: elsewhere); of the registers that functions keep
    where each was put on the stack as it was at the beginning (0: nowhere), and those (as bits) that are so."""

    depth: int = 0
    frame: int = -1
    saved: tuple[int, ...] = (0,) * len(_OWN)
    own: int = _ALL

    def meets(self, memory: tuple[int, int]) -> bool:
        """Whether what an instruction finds (see :func:`finds`) is what the call put on the stack."""
        base = self.depth if memory[0] == _RSP else self.frame
        return base >= 0 and abs(memory[1] - base) < _WORD

    @property
    def left(self) -> bool:
        """Whether all is as it was at the beginning."""
        return self.depth == 0 and self.own == _ALL

    def after(self, what: Effect) -> _State | None:
        """How it is behind an instruction; ``None``: not known, or what the call put on the stack is taken off it."""
        number, out = what.number, None
        match what.kind:
            case Kind.NOTHING:
                out = self
            case Kind.RETURNS:
                out = self if self.left else None
            case Kind.WRITES:
                out = self._written(number)
            case Kind.PUSHES:
                out = self._pushed(number)
            case Kind.POPS:
                out = self._popped(number)
            case Kind.ADDS:
                out = self._at(self.depth - number) if self.depth >= 0 else None
            case Kind.FRAME:
                frame = self.depth - number if self.depth >= number else -1
                out = replace(self._written(1 << _RBP), frame=frame)
            case Kind.BACK:
                out = self._back(number)
            case Kind.LEAVES:
                back = self._back(0)
                out = back._popped(_RBP) if back is not None else None
            case Kind.GROWS:
                out = replace(self, depth=-1)
        return out

    def _written(self, registers: int) -> _State:
        frame = -1 if registers >> _RBP & 1 else self.frame
        return replace(self, frame=frame, own=self.own & ~registers)

    def _pushed(self, number: int) -> _State:
        depth, saved = self.depth + _WORD if self.depth >= 0 else -1, list(self.saved)
        if number in _OWN and self.own >> number & 1 and depth > 0 and not saved[_OWN.index(number)]:
            saved[_OWN.index(number)] = depth
        return replace(self, depth=depth, saved=tuple(saved))

    def _popped(self, number: int) -> _State | None:
        if self.depth < 0:
            return None
        state = self._written(1 << number) if number in _OWN else self
        if number in _OWN and 0 < self.depth == self.saved[_OWN.index(number)]:
            state = replace(state, own=state.own | 1 << number)
        return state._at(self.depth - _WORD)

    def _back(self, number: int) -> _State | None:
        return self._at(self.frame - number) if self.frame >= 0 else None

    def common(self, other: _State) -> _State | None:
        """What is so of either; ``None``: there is not as much on the stack."""
        frame = self.frame if self.frame == other.frame else -1
        saved = tuple(x if x == y else 0 for x, y in zip(self.saved, other.saved, strict=True))
        return None if self.depth != other.depth else _State(self.depth, frame, saved, self.own & other.own)

    def _at(self, depth: int) -> _State | None:
        saved = tuple(x if x <= depth else 0 for x in self.saved)
        return None if depth < 0 else replace(self, depth=depth, saved=saved)


class Frames:
    """The functions of the section ``raw``, whose instructions are ``steps``. ``place``: the offset that a branch to an
    address leads to (-1: other code of the file; ``None``: another file's function); ``never``: whether the call at an
    offset, which leads to another (or nowhere known), never returns; ``address``: of the section."""

    def __init__(
        self,
        steps: Piecewise,
        raw: U8,
        address: int,
        place: Callable[[int], int | None],
        never: Callable[[int, int], bool],
    ) -> None:
        self.steps, self.raw, self.address, self.place, self.never = steps, raw, address, place, never
        self.most = _MOST
        self._functions: dict[int, frozenset[int] | None] = {}
        self._kept: dict[int, bool] = {}

    def kept(self, entry: int) -> bool:
        """Whether the function that an instruction begins, and all that it calls, leave the stack as they found it."""
        if entry not in self._kept:
            seen, waiting = {entry}, [entry]
            while waiting:
                calls = self._function(waiting.pop())
                if calls is None:
                    break
                waiting += calls - seen
                seen |= calls
            else:
                self._kept |= dict.fromkeys(seen, True)
        return self._kept.setdefault(entry, False)

    def _function(self, entry: int) -> frozenset[int] | None:
        """The functions that one calls; ``None``: it does not leave the stack as it found it, or that is not known, as
        of what is looked at now."""
        if entry not in self._functions:
            self._functions[entry] = None
            self._functions[entry] = self._walked(entry)
        return self._functions[entry]

    def _walked(self, entry: int) -> frozenset[int] | None:
        states, waiting, calls = {entry: _State()}, [entry], set[int]()
        while waiting:
            row = waiting.pop()
            self.most -= 1
            start = self.steps.start(row)
            (what, memory), before = _does(self._code(row, start)), states[row]
            state = before if what.kind is Kind.NOTHING else before.after(what)
            state = None if self.most < 0 or (memory is not None and before.meets(memory)) else state
            after = None if state is None else self._after(row, start, state, calls)
            if state is None or after is None:
                return None
            for to in after:
                common = states[to].common(state) if to in states else state
                if common is None:
                    return None
                if states.get(to) != common:
                    states[to] = common
                    waiting.append(to)
        return frozenset(calls)

    def _code(self, row: int, start: int) -> bytes:
        end = self.steps.start(row + 1) if row + 1 < self.steps.count else start + _LONGEST
        return bytes(self.raw.data[start:end])

    def _after(self, row: int, start: int, state: _State, callees: set[int]) -> list[int] | None:
        """The instructions that may follow one; ``None``: that is not known, or the function is left with something on
        the stack. Enters ``callees``."""
        falls, leads, calls, callee = self.steps.goes(row)
        if not falls and leads == NOWHERE:
            code = self._code(row, start)
            return [] if effect(code).kind is Kind.RETURNS or _ENDS.match(code) else None
        if calls and self.never(start, callee):
            return []
        if callee != NOWHERE:
            to = self._to(callee)
            if to == -1:
                return None
            callees |= {to} if to is not None else set()
        after = []
        if leads != NOWHERE:
            to = self._to(leads)
            if to == -1 or (to is None and not state.left):
                return None
            after += [to] if to is not None else []
        if falls:
            after.append(row + 1)
        return None if row + 1 >= self.steps.count and falls else after

    def _to(self, offset: int) -> int | None:
        """The instruction at which a branch goes on; ``None``: in another file; -1: it is not known."""
        place = self.place(offset + self.address)
        return None if place is None else self.steps.row(place) if place >= 0 else -1
