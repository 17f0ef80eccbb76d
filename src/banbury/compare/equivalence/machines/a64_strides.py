"""Numbers of A64 code that are the size of an element: what is added to the address of a table, or multiplied for it.

A number that is the length of a text by chance is none where the code only goes from one element of a table to the next
by it, and the table's own content shows that its elements are of that size: pointers stand at the same places of the
first two. Every way to such an addition has to bring an address in the table (:func:`flow.unproved`).

Source: Arm ARM DDI 0487, C6 (ADD immediate, MADD, MOVZ).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from banbury.compare.equivalence.arrays import distinct
from banbury.compare.equivalence.code import Ints
from banbury.compare.equivalence.machines.a64 import CALLER_SAVED, Decoded, field, is_
from banbury.compare.equivalence.machines.contract import Mask
from banbury.compare.equivalence.machines.flow import Graph, follow, unproved

_ROUNDS: Final = 4
_LARGEST: Final = 4095  # bytes of one element: what an addition holds
_PASSED: Final = 0x3FF  # registers that a function is called with, or returns; those a call may read


class Made(NamedTuple):
    """Of a section: its instructions, its paths, where code has completed an address (``rows``) in a ``register``, the
    ``address``, and where functions may be entered."""

    all: Decoded
    graph: Graph
    rows: Ints
    register: Ints
    address: Ints
    entered: Mask


def strides(made: Made, number: int, pointers: Ints) -> Ints:
    """The rows whose immediate is ``number`` only as the size of a table's element. ``pointers``: the places of data
    that hold addresses, sorted."""
    words, graph = made.all.words, made.graph
    if not 4 <= number <= _LARGEST:
        return np.zeros(0, np.int64)
    tables = np.array([a for a in distinct(made.address).tolist() if _is_table(a, number, pointers)], np.int64)
    some = np.isin(made.address, tables)
    if not some.any():
        return np.zeros(0, np.int64)
    d, n, a = (field(words, at, 5).astype(np.int64) for at in (0, 5, 10))
    steps = is_(words, 0xFFC00000, 0x91000000) & (field(words, 10, 12) == number) & (n < 31) & (d < 31)
    sums = is_(words, 0xFFE08000, 0x9B000000) & (a < 31)
    base = np.where(steps, n, np.where(sums, a, 31))
    wanted = replace(graph, reads=np.where(base < 31, 1 << np.minimum(base, 30), 0).astype(np.uint32))
    label = np.searchsorted(tables, made.address[some])
    defines = np.full(len(words), -1, np.int64)
    defines[made.rows[some]] = label
    at, register, found = made.rows[some] + 1, made.register[some], dict[int, int]()
    for _ in range(_ROUNDS):
        seen = follow(wanted, at, register, label)
        new = [(r, x) for r, x in zip(seen.escapes.tolist(), seen.escaped.tolist(), strict=True) if r not in found]
        found |= dict(new)
        going = [(r, x) for r, x in new if x >= 0 and steps[r]]
        if not going:
            break
        at, label = (np.array(x, np.int64) for x in zip(*going, strict=True))
        defines[at] = label
        at, register = at + 1, d[at]
    sure = {r: x for r, x in found.items() if x >= 0}
    rows = np.array(sorted(sure), np.int64)
    labels = np.array([sure[r] for r in rows.tolist()], np.int64)
    lost = np.where(made.all.calls, CALLER_SAVED, graph.writes).astype(np.uint32)
    if len(unproved(replace(graph, writes=lost), rows, base[rows], labels, defines, made.entered)):
        return np.zeros(0, np.int64)
    return np.concatenate((rows[steps[rows]], _factors(made, number, rows[sums[rows]])))


def _is_table(address: int, size: int, pointers: Ints) -> bool:
    """Whether pointers stand at the same places of the first two elements of ``size`` bytes."""
    low, middle, high = np.searchsorted(pointers, (address, address + size, address + 2 * size))
    first, second = pointers[low:middle] - address, pointers[middle:high] - address - size
    return len(first) > 0 and np.array_equal(first, second)


def _factors(made: Made, number: int, sums: Ints) -> Ints:
    """The moves of ``number`` that only the multiplications at the rows ``sums`` read, as a factor."""
    words, graph = made.all.words, made.graph
    moves = np.flatnonzero(is_(words, 0x7FE00000, 0x52800000) & (field(words, 5, 16) == number))
    moves = moves[field(words[moves], 0, 5) < 31]
    base = made.all.base.astype(np.int64)
    reads = made.all.reads | np.where(base < 31, 1 << np.minimum(base, 30), 0).astype(np.uint32)
    away = made.all.calls | made.all.indirect | ~made.all.falls
    reads = np.where(away, reads | np.uint32(_PASSED), reads).astype(np.uint32)
    register = field(words[moves], 0, 5).astype(np.int64)
    seen = follow(replace(graph, reads=reads), moves + 1, register, np.arange(len(moves)))
    factor = np.isin(seen.escapes, sums) & (seen.escaped >= 0)
    held = register[np.maximum(seen.escaped, 0)] if len(moves) else seen.escaped
    one, two, three = (field(words[seen.escapes], k, 5).astype(np.int64) for k in (5, 16, 10))
    factor &= ((one == held) | (two == held)) & (three != held)
    lost = seen.escaped[~factor]
    good = np.setdiff1d(seen.escaped[factor], lost) if (lost >= 0).all() else np.zeros(0, np.int64)
    return moves[good]
