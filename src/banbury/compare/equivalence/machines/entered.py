"""Ways into a function's code that nothing in it shows: at a label that a table of the program's own names (static keys
and fixups of kernels), or through a thunk that returns to where it was told.

Code that no path reaches is entered in such a way; padding is not.

Sources: Linux ``include/linux/jump_label.h``, ``Documentation/admin-guide/hw-vuln/spectre.rst``; GCC manual,
-mindirect-branch and -mfunction-return; Intel SDM, volume 2, NOP; Arm ARM DDI 0487, C6; MIPS MD00086; Power ISA 2.07.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.contract import U8, Mask
from banbury.formats import _elf_types as t

_NEAR: Final = 64  # bytes between a thunk's call and where that leads
_CALL: Final = b"\xe8"
#: Where the call within a thunk leads: the place to return to is replaced by a register, or taken from the stack.
_JUMPS: Final = re.compile(rb"[\x48\x4c]\x89[\x04\x0c\x14\x1c\x24\x2c\x34\x3c]\x24(?:\x0f\xae\xe8)?\xc3", re.DOTALL)
_RETURNS: Final = re.compile(rb"(?:\x48\x8d\x64\x24\x08|\x48\x83\xc4\x08)(?:\x0f\xae\xe8)?\xc3", re.DOTALL)
_PUSHES: Final = re.compile(
    rb"[\x40-\x4f\x2e\x3e\x64-\x66]*(?:[\x50-\x57\x68\x6a]|\xff[\x30-\x37\x70-\x77\xb0-\xb7\xf0-\xf7])", re.DOTALL
)
#: x86-64: NOP, also of several bytes, ENDBR64, INT3, and LEA of a register and nothing into itself.
_IDLE: Final = re.compile(
    rb"[\x66\x2e\x3e\x36\xf3]*\x48?(?:\x90|\x0f[\x1e\x1f].*|\xcc)|\x48\x8d(?:\x76\x00|\x7f\x00|\x74\x26\x00|\x7c\x27\x00"
    rb"|\xb6\0{4}|\xbf\0{4}|\xb4\x26\0{4}|\xbc\x27\0{4})",
    re.DOTALL,
)
_WORDS: Final = {
    t.EM_AARCH64: frozenset({0xD503201F, 0, 0xD503241F, 0xD503245F, 0xD503249F, 0xD50324DF}),  # NOP, UDF, BTI
    t.EM_PPC: frozenset({0x60000000, 0}),
    t.EM_MIPS: frozenset({0}),
}


def unreached(
    cuts: memoryview,
    pieces: Sequence[tuple[int, int]],
    after: Callable[[int], list[int] | None],
    begun: Sequence[int] = (),
) -> list[int]:
    """The rows of ``pieces`` that no path from the beginning of one reaches, or from the rows ``begun``. ``cuts``:
    rows, in order, behind which not only the next one follows; ``after``: what follows one, ``None`` for all."""
    seen = [bytearray(end - begin) for begin, end in pieces]
    waiting = [*begun, *(begin for begin, end in pieces if begin < end)]
    while waiting:
        row = waiting.pop()
        number = next(n for n, (begin, end) in enumerate(pieces) if begin <= row < end)
        begin, end = pieces[number]
        if seen[number][row - begin]:
            continue
        cut = bisect_left(cuts, row)
        last = min(cuts[cut], end - 1) if cut < len(cuts) else end - 1
        met = seen[number].find(1, row - begin, last + 1 - begin)
        stop = begin + met if met >= 0 else last + 1
        seen[number][row - begin : stop - begin] = b"\1" * (stop - row)
        if met < 0:
            to = after(last)
            if to is None:
                return []
            waiting += to
    return [begin + k for (begin, _), row in zip(pieces, seen, strict=True) for k, x in enumerate(row) if not x]


@lru_cache(maxsize=1024)
def is_idle(machine: int, big: bool, code: bytes) -> bool:
    """Whether one instruction does nothing."""
    if machine == t.EM_X86_64:
        return _IDLE.fullmatch(code) is not None
    return int.from_bytes(code[:4], "big" if big else "little") in _WORDS.get(machine, ())


def jumps(code: bytes, before: bytes) -> bool:
    """Whether code of x86-64 begins with the call of a thunk that jumps to where a register says, or what the
    instruction ``before`` has put on the stack."""
    to = 5 + _distance(code)
    if code[:1] != _CALL:
        return False
    return bool(_JUMPS.match(code, to) or (_PUSHES.match(before) and _RETURNS.match(code, to)))


def may_jump(raw: U8, places: Ints) -> Mask:
    """Of many offsets in ``raw`` whether :func:`jumps` may say so of the code there, whatever is before it."""
    inside = (places >= 0) & (places <= len(raw) - 5)
    at = np.where(inside, places, 0)
    out: Mask = inside.copy()
    for k, low, high in ((0, _CALL[0], _CALL[0]), (1, 0, _NEAR), (2, 0, 0), (3, 0, 0), (4, 0, 0)):
        some = at[out] + k
        out[out] = (raw[some] >= low) & (raw[some] <= high)
    return out


def returns(code: bytes) -> bool:
    """Whether a call of x86-64 is that of a thunk, which returns elsewhere than behind the call."""
    to = 5 + _distance(code)
    return code[:1] == _CALL and (_RETURNS.match(code, to) or _JUMPS.match(code, to)) is not None


THUNK: Final = 5 + _NEAR + 16  # bytes of one that are looked at


def _distance(code: bytes) -> int:
    distance = int.from_bytes(code[1:5], "little")
    return distance if distance <= _NEAR else len(code)
