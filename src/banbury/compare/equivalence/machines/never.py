"""Which calls of x86-64 certainly never return: what stands behind such a call is reached in another way, or not at
all, and where nothing says where functions begin it is the beginning of another one.

A function of another file is known by its name. One of the section itself is followed: every path from its beginning
ends in a call that never returns, in a jump to a function that never does, or goes round for ever, and what it calls on
the way leaves the stack as it found it (see :mod:`x86_64_frames`), or is called by a pointer or is another file's. One
that meets a return, an indirect jump, a jump elsewhere, or an instruction that goes on where it does not say may
return, and so may one that is too deep or too long to follow, or calls itself. It is only taken for what a direct call
leads to: a word of memory may hold another function by the time, and a linkage table may lead to another file's of the
same name.

Sources: ISO C11, 7.13.2.1, 7.22.4 and 7.26.5.5; POSIX.1-2017, exit, _exit, abort, longjmp, siglongjmp and pthread_exit;
LSB Core 5.0, __assert_fail, __chk_fail, __stack_chk_fail and __libc_start_main; glibc 2.36 and musl 1.2 (attribute
noreturn, or what they do); Intel SDM, volume 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from banbury.compare.equivalence.machines.contract import U8
from banbury.compare.equivalence.machines.piecewise import Piecewise
from banbury.compare.equivalence.machines.x86_64_carried import NOWHERE
from banbury.compare.equivalence.machines.x86_64_frames import Frames

#: Functions of C libraries that return to nobody (sources: above). Not those that throw, which landing pads go on from.
#: __fortify_fail, __longjmp_chk: glibc, debug/fortify_fail.c and debug/longjmp_chk.c; __assert: assert/__assert.c;
#: __libc_start_main: csu/libc-start.c, musl src/env/__libc_start_main.c (it hands the result of main to exit).
NAMES: Final = frozenset({
    "exit", "_exit", "_Exit", "quick_exit", "abort", "__stack_chk_fail", "__assert_fail", "__assert", "__fortify_fail",
    "__chk_fail", "longjmp", "_longjmp", "siglongjmp", "__longjmp_chk", "pthread_exit", "__libc_start_main",
})  # fmt: skip
#: Functions that return where in their first argument something stands, or nothing (ISO C11, 7.24.5; POSIX.1-2001,
#: index and rindex; GNU C library manual, Search Functions).
FINDS: Final = frozenset({
    "strchr", "strrchr", "strchrnul", "strstr", "strcasestr", "strpbrk", "memchr", "memrchr", "rawmemchr", "index",
    "rindex",
})  # fmt: skip
_NOWHERE: Final = frozenset[int]()
_MOST: Final = 1 << 20  # instructions that are looked at
_DEEP: Final = 24  # calls within calls
_LONGEST: Final = 15  # bytes of an instruction
_WORD: Final = re.compile(rb"\xff\x15(.{4})", re.DOTALL)  # a call by a word whose place is relative to the instruction
#: The first instruction of a linkage table's stub, also behind ENDBR64: a jump by such a word.
_STUB: Final = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?[\xf2\x3e]?\xff\x25(.{4})", re.DOTALL)
_PREFIXES: Final = rb"[\x26\x2e\x36\x3e\x64-\x67\xf0\xf2\xf3]*[\x40-\x4f]?"
#: Far calls and returns, those to less privileged code and from interrupts (SYSRET, SYSENTER, SYSEXIT, IRET, UIRET),
#: calls of the kernel (which may return from a signal), and XBEGIN.
_ELSEWHERE: Final = re.compile(
    _PREFIXES
    + rb"(?:[\xca\xcb\xcd\xcf]|\xff[\x18-\x1f\x58-\x5f\x98-\x9f]|\x0f[\x05\x07\x34\x35]|\x0f\x01\xec|\xc7\xf8)",
    re.DOTALL,
)


class Never:
    """The calls of the section ``raw`` at an address, whose instructions are ``steps``. ``names``: the name of another
    file's function that a stub or a word of the table of addresses stands for; ``follows``: functions of the section
    itself are followed; ``place``: as of :class:`x86_64_frames.Frames`."""

    def __init__(
        self,
        steps: Piecewise,
        raw: U8,
        address: int,
        names: Callable[[int], str | None],
        place: Callable[[int], int | None],
        *,
        follows: bool,
    ) -> None:
        self.steps, self.raw, self.address, self.names = steps, raw, address, names
        self.place, self.follows = place, follows
        self.frames = Frames(steps, raw, address, place, lambda at, callee: self.call(at, callee) is not None)
        self.most = _MOST
        self._depth = 0  # calls within the one that is asked for
        self._known: dict[int, frozenset[int] | None] = {}  # by the instruction that a function begins with

    def call(self, place: int, callee: int) -> frozenset[int] | None:
        """Where code goes on from the call at an offset, which certainly never returns: offsets of the section.
        ``None``: it may return. ``callee``: the offset that it leads to, if it is a direct one."""
        if callee == NOWHERE:
            word = _WORD.match(self.raw[place : place + _LONGEST].tobytes())
            return _NOWHERE if word is not None and self._named(place + self.address + _ahead(word)) else None
        if not 0 <= callee < len(self.raw):
            return _NOWHERE if self._named(callee + self.address) else None
        entry = self.steps.row(callee) if self.follows else -1
        return self._function(entry) if entry >= 0 else None

    def _named(self, address: int) -> bool:
        return self.names(address) in NAMES

    def _function(self, entry: int) -> frozenset[int] | None:
        """The same of the function that an instruction begins. ``None``, which is safe, of what is worked out now."""
        if entry in self._known or self._depth > _DEEP:
            return self._known.get(entry)
        self._known[entry] = None
        self._depth += 1
        self._known[entry] = self._followed(entry)
        self._depth -= 1
        return self._known[entry]

    def _followed(self, entry: int) -> frozenset[int] | None:
        seen, waiting, out = {entry}, [entry], set[int]()
        while waiting:
            self.most -= 1
            row = waiting.pop()
            out.add(self.steps.start(row))
            after = self._after(row, out) if self.most >= 0 else None
            if after is None:
                return None
            waiting += after - seen
            seen |= after
        return frozenset(out)

    def _after(self, row: int, out: set[int]) -> set[int] | None:
        """The instructions that may follow; ``None``: the function may be left, or go on where nothing says. Enters
        where code goes on from calls that never return."""
        steps = self.steps
        start, (falls, leads, calls, callee) = steps.start(row), steps.goes(row)
        code = self.raw[start : start + _LONGEST].tobytes()
        if _ELSEWHERE.match(code) or (not falls and leads == NOWHERE):
            return None
        after = set[int]()
        beyond = self.call(start, callee) if calls else None
        if beyond is not None:
            out |= beyond
        elif falls:
            after.add(row + 1 if row + 1 < steps.count and (not calls or self._comes_back(callee)) else -1)
        if leads != NOWHERE and 0 <= leads < len(self.raw):
            after.add(steps.row(leads))
        elif leads != NOWHERE and not self._named(leads + self.address):
            after.add(-1)
        return None if -1 in after else after

    def _comes_back(self, callee: int) -> bool:
        """Whether what a call leads to certainly returns behind it, if it does and is of this section."""
        place = None if callee == NOWHERE else self.place(callee + self.address)
        if place is None:
            return True
        entry = self.steps.row(place) if place >= 0 else -1
        return entry >= 0 and self.frames.kept(entry)


def word(code: bytes, address: int) -> int | None:
    """The word that a stub of a linkage table at an address jumps by; ``None``: it is no such stub."""
    found = _STUB.match(code)
    return None if found is None else address + _ahead(found)


def _ahead(found: re.Match[bytes]) -> int:
    """How far behind the beginning of an instruction the word is that its end tells the distance of."""
    return found.end() + int.from_bytes(found[1], "little", signed=True)
