"""Which functions of x86-64 leave the stack as they found it, and so return to where they were called from, by what
their code does with the stack pointer: what is on the stack is counted on every path; a return finds nothing there but
what the call has put there, and the registers that functions keep as they were.

What memory holds is not followed: a function may write by a pointer over the place that it returns to, and what is
called by a pointer, or jumped to by one in the end or by a table, may be any. What is not known here leaves the stack
otherwise: alignment, far calls and returns, transactions, calls of the kernel.

Sources: Intel SDM, volume 1, chapter 6, and volume 2; System V ABI, AMD64 supplement, 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.piecewise import Piecewise
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE
from banbury.compare.equivalence.machines.x86_64_stack import (
    ALL,
    OWN,
    RBP,
    RSP,
    WORD,
    Effect,
    Kind,
    Memory,
    does,
    effect,
)

_MOST: Final = 1 << 18  # instructions that are looked at
_LONGEST: Final = 15  # bytes of an instruction
#: Jumps by a pointer; those by a table of jumps, whose words are addresses, or distances that were added right before.
_ENDS: Final = re.compile(rb"[\x3e\xf2\x40-\x4f]*\xff[\x20-\x27\x60-\x67\xa0-\xa7\xe0-\xe7]")
_TABLE: Final = re.compile(rb"\x3e?[\x42\x43]?\xff\x24[\xc5\xcd\xd5\xdd\xe5\xed\xf5\xfd]")
_ADDED: Final = re.compile(rb"[\x48-\x4f](?:\x01|\x03)[\xc0-\xff]\x3e?\x41?\xff[\xe0-\xe7]", re.DOTALL)
_BEFORE: Final = 3  # bytes of such a sum


@dataclass(frozen=True)
class _State:
    """Bytes on the stack (-1: not known), where rbp points on it (-1: elsewhere); of the registers that functions keep
    where each was put on the stack as it was at the beginning (0: nowhere), and those (as bits) that are so."""

    depth: int = 0
    frame: int = -1
    saved: tuple[int, ...] = (0,) * len(OWN)
    own: int = ALL

    def met(self, memory: Memory) -> _State | None:
        """How it is where an instruction finds memory: what is saved there is so no more; ``None``: it finds what the
        call put on the stack."""
        base = self.depth if memory.base == RSP else self.frame
        if base < 0:
            return None if memory.written and memory.base == RSP else self
        begin = memory.distance - base  # from where the stack pointer was at the beginning
        if begin + memory.width > 0 and (begin < WORD or memory.written):  # its caller's are behind that
            return None
        lost = [x > 0 and begin < WORD - x and begin + memory.width > -x for x in self.saved]
        saved = tuple(0 if gone else x for x, gone in zip(self.saved, lost, strict=True))
        return replace(self, saved=saved) if any(lost) else self

    @property
    def left(self) -> bool:
        """Whether all is as it was at the beginning."""
        return self.depth == 0 and self.own == ALL

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
                frame = self.depth - number if self.depth >= max(number, 0) else -1
                out = replace(self._written(1 << RBP), frame=frame)
            case Kind.BACK:
                out = self._back(number)
            case Kind.LEAVES:
                back = self._back(0)
                out = back._popped(RBP) if back is not None else None
            case Kind.GROWS:
                out = replace(self, depth=-1)
        return out

    def _written(self, registers: int) -> _State:
        frame = -1 if registers >> RBP & 1 else self.frame
        return replace(self, frame=frame, own=self.own & ~registers)

    def _pushed(self, number: int) -> _State | None:
        if self.depth < 0:  # perhaps over what is saved
            return None
        depth, saved = self.depth + WORD, list(self.saved)
        if number in OWN and self.own >> number & 1 and not saved[OWN.index(number)]:
            saved[OWN.index(number)] = depth
        return replace(self, depth=depth, saved=tuple(saved))

    def _popped(self, number: int) -> _State | None:
        if self.depth < 0:
            return None
        state = self._written(1 << number) if number in OWN else self
        if number in OWN and 0 < self.depth == self.saved[OWN.index(number)]:
            state = replace(state, own=state.own | 1 << number)
        return state._at(self.depth - WORD)

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
            (what, memory), before = does(self._code(row, start)), states[row]
            state = before if memory is None else before.met(memory)
            if state is not None and what.kind is not Kind.NOTHING:
                state = state.after(what)
            after = None if state is None or self.most < 0 else self._after(row, start, state, calls)
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
            table = _TABLE.match(code) or _ADDED.fullmatch(bytes(self.raw.data[max(start - _BEFORE, 0) : start]) + code)
            kept = effect(code).kind is Kind.RETURNS or (_ENDS.match(code) and (state.left or table))
            return [] if kept else None
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
