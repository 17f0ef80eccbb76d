"""Units with one cost row and one set of crews are planned together, in bins that differ in what they weigh.

Within a cluster the units that weigh more in a cap are swapped earlier, so a bin's mean weight loses little, and
what it loses is measured (:func:`banbury.decide.options.linear.bound`) and won back by splitting bins.
"""

from __future__ import annotations

import numpy as np

from banbury.decide.options.problem import Floats, Ints, Problem

#: Into how many bins a cluster is cut at first.
FIRST = 6


def clusters(problem: Problem) -> Ints:
    """The cluster of each unit: class, deadline, crews, vendor rules and which caps it weighs in."""
    keys = [problem.klass, problem.deadline, *(c.of for c in problem.crews)]
    keys += [(c.weight > 0).astype(np.int64) for c in problem.caps]
    keys += [r.of.astype(np.int64) for r in problem.rules]
    return np.unique(np.column_stack(keys), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def weights(problem: Problem) -> Floats:
    """Units by caps, each as a part of the cap's whole."""
    if not problem.caps:
        return np.zeros((problem.units, 0))
    return np.column_stack([c.weight / c.whole for c in problem.caps])


def bins(problem: Problem, count: int = FIRST) -> Ints:
    """The bin of each unit: every cluster cut into ``count`` parts by what its units weigh, alike units together."""
    of = clusters(problem)
    weight = weights(problem)
    if not weight.shape[1]:
        return of
    # Alike to twelve places: sums of fractions carry rounding.
    level = np.unique(np.round(weight, 12), axis=0, return_inverse=True)[1].reshape(-1)
    total = weight.sum(axis=1)
    order = np.lexsort((level, -total, of))
    sorted_of = of[order]
    start = np.r_[0, np.flatnonzero(np.diff(sorted_of)) + 1]
    size = np.diff(np.r_[start, len(order)])
    which = np.repeat(np.arange(len(start)), size)
    rank = np.arange(len(order)) - start[which]
    part = np.empty(len(order), dtype=np.int64)
    part[order] = rank * np.minimum(count, size[which]) // size[which]
    # A bin of its own for units that are alike all through the cluster.
    alike = np.zeros(len(start), dtype=bool)
    first_level, last_level = np.full(len(start), len(order)), np.full(len(start), -1)
    np.minimum.at(first_level, which, level[order])
    np.maximum.at(last_level, which, level[order])
    alike = first_level == last_level
    part[order[alike[which]]] = 0
    found: Ints = np.unique(of * count + part, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return found


def split(of: Ints, by: Ints) -> Ints:
    """Bins cut further where their units differ in ``by``."""
    found: Ints = np.unique(np.column_stack([of, by]), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return found
