"""What calls leave in registers that a function may change, and which of them return, for processors with fixed
instruction words.

A function of the section certainly overwrites a register if every path from its beginning to a return does: nothing
that stood there before a call of it is there behind it. One from which no path leads to a return (``usage``, which ends
in ``exit``) is followed by nothing. Both are read from the code itself: every way out of a function that is not known
(a branch elsewhere, a jump by a register whose table is not known, a call that is made on a condition) leaves all
registers and counts as a return. Of calls by a register:

- of an address that is known on every way: that function of this section; of one of several such addresses: one of
  these functions;
- of what was loaded from memory, or of no address that is known: a pointer of the source, of which the compiler knew
  nothing. (Words of the stack in which addresses of functions are kept are followed.)
- of an address that some way does not bring: that function, or such a pointer. Where a compiler shares one call between
  two places, both are called by the same rule (GCC, ``old_insns_match_p``: the registers that the calls change are the
  same), so that both overwrite what the function does; it returns.
- of a symbol that another file defines: the same; of one that this file defines: that function. Where that is a
  library, another file may define the symbol as well (gABI, chapter 5, "Shared Object Dependencies"): a call by it
  returns, whatever the function does. The compiler knew either nothing of it, or that it does not return.

Sources: GCC manual, -fipa-ra; GCC ``cfgcleanup.c``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.calls import ALL, Paths, kept
from banbury.compare.equivalence.machines.operations import Flags, Ops

_RETURNS: Final = 31  # the bit that says that a return can be reached
_ROUNDS: Final = 3
_MOST: Final = 1 << 10  # rows of a function and those it calls, from which on it may write everything
_LOW: Final = np.uint64((1 << _RETURNS) - 1)


@dataclass(frozen=True)
class Calls:
    """Calls, by the rows behind which another function has run. ``callee``: the row of a function (-1: not known);
    ``either``: rows of several functions, one of which it is; ``foreign``: of what the compiler knew nothing;
    ``final``: of another file's that does not return; ``replaced``: by a name that another file may define;
    ``doubt``: by an address that some way does not bring."""

    callee: Ints
    foreign: Flags
    final: Flags
    either: dict[int, list[int]]
    replaced: Flags
    doubt: Flags

    @property
    def own(self) -> Ints:
        """Of calls of what is certainly a function of the section: its row (-1: of any other)."""
        return np.where(self.foreign | self.replaced | self.doubt, -1, self.callee)


def after(ops: Ops, falls: Ints, extra: dict[int, Ints], calls: Calls) -> tuple[npt.NDArray[np.uint64], Flags]:
    """For each row the registers that are certainly lost behind its call, and whether nothing follows it. ``falls``:
    the rows that follow, before any was found to be followed by nothing; ``extra``: rows that tables of jumps lead to.
    """
    certain = ops.call & ~ops.maybe
    final, foreign = calls.final & certain, calls.foreign & certain
    callee = np.where(certain & ~foreign & ~final, calls.callee, -1)
    several = {row: rows for row, rows in calls.either.items() if certain[row] and not foreign[row]}
    passing = np.uint32(ALL & ~(int(ops.volatile) & int(_LOW)))
    unsure = (calls.replaced | calls.doubt) & certain
    found = Calls(callee, foreign, final, several, unsure, unsure)
    paths = _paths(ops, np.where(final, -1, falls), extra, found)
    leave = _left(paths, found, passing)
    ends = found.replaced & (leave >> np.uint32(_RETURNS) == 0)
    if ends.any():  # each is a way to a return for those that call it, too
        several = {row: rows for row, rows in several.items() if not ends[row]}
        found = replace(found, callee=np.where(ends, -1, callee), foreign=foreign | ends, either=several)
        foreign = found.foreign
        leave = _left(replace(paths, called=np.append(found.callee, -1)), found, passing)
    lost = np.where(foreign, ops.volatile, ops.volatile & ~leave.astype(np.uint64) & _LOW).astype(np.uint64)
    over: Flags = final | (certain & (leave >> np.uint32(_RETURNS) == 0))
    return lost, over


def _left(paths: Paths, calls: Calls, passing: np.uint32) -> npt.NDArray[np.uint32]:
    """For each row the registers that its call may leave as they are, and whether it may return. ``passing``: what one
    leaves of which the compiler knew nothing."""
    leave = np.where(calls.foreign, passing, np.uint32(ALL)).astype(np.uint32)
    for _ in range(_ROUNDS if calls.either else 1):
        left = kept(replace(paths, after=np.append(leave, np.uint32(ALL))))
        for row, rows in calls.either.items():
            leave[row] = np.bitwise_or.reduce(left[rows])
    return np.where(calls.callee >= 0, left[np.maximum(calls.callee, 0)], leave).astype(np.uint32)


def untouched(ops: Ops, extra: dict[int, Ints], calls: Calls, rows: Ints) -> npt.NDArray[np.uint64]:
    """For each row the registers that its call, if it is one of ``rows``, certainly leaves as they are: those that
    nothing writes that can be reached from where the function begins, functions that it calls included."""
    reach = _Reach(ops, extra, calls)
    out = np.zeros(ops.count, np.uint64)
    for row in rows[(calls.callee[rows] >= 0) & ~calls.foreign[rows] & ~calls.doubt[rows]].tolist():
        out[row] = int(ops.volatile) & int(_LOW) & ~reach.writes(int(calls.callee[row]))
    return out


class _Reach:
    """What may be reached from some rows."""

    def __init__(self, ops: Ops, extra: dict[int, Ints], calls: Calls) -> None:
        self.extra = extra
        self.known: dict[int, int] = {}
        jumps = np.flatnonzero(ops.jump >= 0)
        jumps = jumps[jumps + ops.delayed < ops.count]
        tables = np.isin(jumps + ops.delayed, list(extra)) & (ops.jump[jumps] != ops.linked)
        ends = (ops.next[0] < 0) & (ops.next[1] < 0) & ~ops.returns & ~ops.call
        ends[jumps[tables] + ops.delayed] = False
        away = ops.leaves | ends | calls.foreign | calls.doubt | (ops.call & (calls.callee < 0) & ~calls.final)
        away[jumps[~tables] + ops.delayed] = True
        #: Rows that go on where it is not known, or where everything may be written.
        self.away: list[bool] = away.tolist()
        self.called: list[int] = np.where(ops.call, calls.callee, -1).tolist()
        self.written: list[int] = ops.writes.tolist()
        self.follow: list[list[int]] = ops.next.T.tolist()
        self.volatile = int(ops.volatile) & int(_LOW)

    def writes(self, entry: int) -> int:
        """The registers that may be written from a row on; all of them where that is not known."""
        found = self.known.get(entry)
        if found is None:
            found = self.known[entry] = self._writes(entry)
        return found

    def _writes(self, entry: int) -> int:
        out, seen, todo = 0, {entry}, [entry]
        while todo:
            row = todo.pop()
            if self.away[row] or len(seen) > _MOST:
                return ALL
            out |= self.written[row]
            if out & self.volatile == self.volatile:
                return ALL
            more = [*self.follow[row], *(self.extra[row].tolist() if row in self.extra else ())]
            called = self.called[row]
            if called in self.known:
                out |= self.known[called]
            else:
                more.append(called)
            more = [to for to in set(more) if to >= 0 and to not in seen]
            seen.update(more)
            todo += more
        return out


def unreached(ops: Ops, extra: dict[int, Ints]) -> Flags:
    """Rows behind calls that do not return to which nothing leads, and those to which only such rows lead."""
    dead = np.zeros(ops.count, bool)
    seeds = np.flatnonzero(ops.call & (ops.next[0] < 0)) + 1
    seeds = seeds[seeds < ops.count]
    if not len(seeds):
        return dead
    ways = np.zeros(ops.count, np.int64)
    for follow in (*ops.next, *extra.values()):
        ways += np.bincount(follow[follow >= 0], minlength=ops.count)
    ways[ops.entry] += 1
    todo = seeds[ways[seeds] == 0].tolist()
    while todo:
        row = todo.pop()
        dead[row] = True
        for to in ops.next[:, row].tolist():
            if to >= 0:
                ways[to] -= 1
                if not ways[to]:
                    todo.append(to)
    return dead


def _paths(ops: Ops, falls: Ints, extra: dict[int, Ints], calls: Calls) -> Paths:
    """The graph of :mod:`calls`, without what calls elsewhere leave. A last row stands for all ways out on a condition;
    that it leads to functions makes these be looked at."""
    size = ops.count
    known = np.zeros(size, bool)
    known[list(extra)] = True
    jumps = np.flatnonzero(ops.jump >= 0) + ops.delayed
    jumps = jumps[jumps < size]
    out = ops.returns | ops.leaves | ops.maybe
    out[jumps[~known[jumps]]] = True
    if ops.linked >= 0:  # the words may be pointers, which a program changes
        out[jumps[ops.jump[jumps - ops.delayed] == ops.linked]] = True
    falling = falls >= 0
    branch = np.flatnonzero(ops.next[1] >= 0)
    ways = np.flatnonzero(out & (falling | known | (ops.next[1] >= 0)))
    several = np.array([row for rows in calls.either.values() for row in rows], np.int64)
    source = np.concatenate(
        (branch, ways, np.full(len(several), size), *(np.full(len(to), row) for row, to in extra.items()))
    )
    target = np.concatenate((ops.next[1][branch], np.full(len(ways), size), several, *extra.values()))
    order = np.argsort(source, kind="stable")
    inside = known | (ops.next[1] >= 0) | calls.final
    return Paths(
        np.append((ops.writes & _LOW).astype(np.uint32), np.uint32(0)),
        np.append(falling, False),
        source[order],
        target[order],
        np.append(calls.callee, -1),
        np.full(size + 1, ALL, np.uint32),
        np.append(np.where(inside, 0, ALL), ALL).astype(np.uint32),
    )
