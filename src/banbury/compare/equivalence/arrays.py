"""Operations on arrays of numbers that are needed often.

NumPy's ``unique`` of integers goes by their hashes (NumPy 2.3.0 release notes), which takes several times as long as
sorting the thousands of addresses that a program has.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.code import Ints


def distinct(values: npt.NDArray[np.int64]) -> Ints:
    """The numbers of an array in order, each once, as ``numpy.unique`` returns them."""
    order = np.sort(values, axis=None)
    if len(order) < 2:
        return order
    first = np.empty(len(order), bool)
    first[0] = True
    np.not_equal(order[1:], order[:-1], out=first[1:])
    out: Ints = order[first]
    return out


def runs(*columns: Ints) -> tuple[Ints, Ints]:
    """Where equal rows begin and end that stand one behind the other."""
    other = np.zeros(max(len(columns[0]) - 1, 0), bool)
    for column in columns:
        other |= column[1:] != column[:-1]
    edges = np.flatnonzero(other) + 1
    if not len(columns[0]):
        return edges, edges
    return np.append(0, edges), np.append(edges, len(columns[0]))


def table(numbers: Iterable[int] | Ints, size: int = 256) -> npt.NDArray[np.bool_]:
    """For each number below ``size`` whether it is one of ``numbers``: ``table(...)[values]`` tells it of many."""
    out = np.zeros(size, bool)
    out[numbers if isinstance(numbers, np.ndarray) else list(numbers)] = True
    return out
