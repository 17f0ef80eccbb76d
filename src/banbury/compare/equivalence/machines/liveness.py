"""Which registers some later instruction may still read: what is in the others is of no account.

Compilers leave parts of addresses behind in registers that nothing reads any more; where two ways meet, these would
look like one register with two values. The analysis goes backwards over the blocks of a section, until nothing changes.
A jump to an unknown place, or out of the section, reads everything.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.operations import SLOTS, Ops

_ALL = (1 << SLOTS) - 1


def live(ops: Ops, extra: dict[int, Ints], calls: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """For each row the registers that may be read from there on; exact where a block begins, all within a block.
    ``extra``: rows that tables of jumps lead to; ``calls``: for each row what its call may read."""
    if not ops.count:
        return np.zeros(0, np.uint64)
    starts = _starts(ops, extra)
    reads, writes = _summaries(ops, starts, calls)
    follows, open_ends = _edges(ops, extra, starts)
    ends = np.append(starts[1:], ops.count) - 1
    leaves = [_leaving(ops, int(end), opened) for end, opened in zip(ends.tolist(), open_ends, strict=True)]
    before: list[list[int]] = [[] for _ in follows]
    for block, nexts in enumerate(follows):
        for after in nexts:
            before[after].append(block)
    result = [0] * len(starts)
    todo = list(range(len(starts)))
    waiting = [True] * len(starts)
    while todo:
        block = todo.pop()
        waiting[block] = False
        out = leaves[block]
        for after in follows[block]:
            out |= result[after]
        fresh = reads[block] | (out & ~writes[block])
        if fresh != result[block]:
            result[block] = fresh
            for one in before[block]:
                if not waiting[one]:
                    waiting[one] = True
                    todo.append(one)
    rows = np.full(ops.count, _ALL, np.uint64)
    rows[starts] = np.array(result, np.uint64)
    return rows


def _starts(ops: Ops, extra: dict[int, Ints]) -> Ints:
    """Rows at which blocks begin: what jumps lead to, and what stands behind them."""
    begins = ops.entry.copy()
    begins[0] = True
    plain = ops.next[0] == np.arange(1, ops.count + 1)
    cut = ~plain | (ops.next[1] >= 0) | ops.call
    begins[1:] |= cut[:-1]
    for follow in ops.next:
        begins[follow[(follow >= 0) & cut]] = True
    for rows in extra.values():
        begins[rows] = True
    for source in extra:
        if source + 1 < ops.count:
            begins[source + 1] = True
    out: Ints = np.flatnonzero(begins)
    return out


def _summaries(ops: Ops, starts: Ints, called: npt.NDArray[np.uint64]) -> tuple[list[int], list[int]]:
    """For each block what it reads before writing it, and what it writes."""
    reads, writes = ops.reads.tolist(), ops.writes.tolist()
    calls = called.tolist()
    first, last = [], []
    bounds = [*starts.tolist(), ops.count]
    for begin, end in pairwise(bounds):
        read = written = 0
        for row in range(end - 1, begin - 1, -1):
            # a call reads its arguments behind its row
            read = reads[row] | ((read | calls[row]) & ~writes[row])
            written |= writes[row]
        first.append(read)
        last.append(written)
    return first, last


def _edges(ops: Ops, extra: dict[int, Ints], starts: Ints) -> tuple[list[list[int]], list[bool]]:
    """Blocks that may follow each block, and whether it may also lead elsewhere. A function does not run on into the
    next one: what seems to do so calls something that does not return."""
    number = np.full(ops.count, -1, np.int64)
    number[starts] = np.arange(len(starts))
    ends = (np.append(starts[1:], ops.count) - 1).tolist()
    follows: list[list[int]] = []
    opened: list[bool] = []
    for end in ends:
        nexts = []
        for branch in (0, 1):
            row = int(ops.next[branch, end])
            if row >= 0 and not (branch == 0 and ops.entry[row]):
                nexts.append(int(number[row]))
        found = extra.get(end)
        if found is not None:
            nexts += number[found].tolist()
        follows.append(nexts)
        opened.append(not nexts)
    return follows, opened


def _leaving(ops: Ops, end: int, opened: bool) -> int:
    """What is read behind a block that leaves the section or the function, or branches to a function."""
    if ops.returns[end]:
        return int(ops.results)
    branch = int(ops.next[1, end])
    if ops.leaves[end] or (branch >= 0 and ops.entry[branch]) or (opened and not ops.call[end]):
        return _ALL
    return 0
