"""From the linear program's parts of units to whole units, without breaking a constraint.

The whole parts stay as they are; the units that are left over (no more than there are binding rows) are placed by a
small integer program with what is left of every constraint. Where that has no room, one unit, then two, four … of every
bin and choice are given back and placed anew. The plan is then held against :func:`problem.violations`, which knows
nothing of this.
"""

from __future__ import annotations

import msgspec
import numpy as np

from banbury.decide.options import linear
from banbury.decide.options.clusters import weights
from banbury.decide.options.linear import Found, Model
from banbury.decide.options.problem import Floats, Ints, Problem, cost_of, violations

#: How many units of each bin and choice are given back, from round to round.
BACK = (0, 1, 3, 15, 1 << 40)
#: How often a cap is drawn tighter, where whole units weigh a little less than their bin's mean says.
TIGHTER = 6
#: Units times choices up to which the whole problem is put as an integer program too.
SMALL = 8000


def whole(problem: Problem, of: Ints, model: Model, found: Found, seconds: float) -> Ints | None:
    """A plan of whole units that keeps everything, near the linear optimum; None where none was found in time."""
    until = linear.clock() + seconds
    order = _order(problem, of, model, found.dual)
    tight = model
    for _ in range(TIGHTER):
        count = _place(tight, found, until)
        if count is None:
            return None
        choice = _units(problem, of, model, count, order)
        broken = violations(problem, choice)
        if not broken:
            return choice
        if set(broken) - {cap.name for cap in problem.caps}:
            return None
        tight = _tighter(problem, tight, choice)
    return None


def exact(problem: Problem, seconds: float) -> Ints | None:
    """The best plan of a small problem, proved so; None where it is not small, or there was no time for a proof."""
    if problem.units * problem.choices > SMALL:
        return None
    of = np.arange(problem.units, dtype=np.int64)
    model = linear.build(problem, of)
    for _ in range(TIGHTER):
        found = linear.solve(_integer(model), seconds)
        if found.state != "optimal":
            return None
        count = np.rint(found.x).astype(np.int64)
        choice = _units(problem, of, model, count, np.arange(problem.units))
        if not violations(problem, choice):
            return choice
        model = _tighter(problem, model, choice)
    return None


def better(problem: Problem, a: Ints | None, b: Ints | None) -> Ints | None:
    """The cheaper of two plans."""
    if a is None or b is None:
        return b if a is None else a
    return b if cost_of(problem, b) < cost_of(problem, a) - 1e-9 else a


def _integer(model: Model) -> Model:
    return msgspec.structs.replace(model, integer=True)


def _place(model: Model, found: Found, until: float) -> Ints | None:
    """Whole numbers of units for each column."""
    base: Ints = np.floor(found.x + 1e-7).astype(np.int64)
    for back in BACK:
        kept: Ints = np.maximum(base - back, 0)
        left = model.size - np.bincount(model.bin, weights=kept, minlength=len(model.size)).astype(np.int64)
        open_ = left[model.bin] > 0
        if not open_.any():
            return kept
        seconds = until - linear.clock()
        if seconds <= 0:
            return None
        small = _residual(model, kept, open_)
        if small is None:
            continue
        part = linear.solve(small, min(seconds, 15.0))
        if part.state == "optimal":
            kept[open_] += np.rint(part.x).astype(np.int64)
            return kept
    return None


def _residual(model: Model, kept: Ints, open_: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Model | None:
    """The integer program of the columns that are open, with what the kept ones leave of every row; None where they
    alone break a row that no open column is in."""
    entry = np.repeat(np.arange(len(model.cost)), np.diff(model.start))
    used = np.bincount(model.index, weights=model.value * kept[entry], minlength=len(model.rows))
    mine = open_[entry]
    rows = np.unique(model.index[mine])
    rest = np.setdiff1d(np.arange(len(model.rows)), rows)
    if (used[rest] < model.low[rest] - 1e-6).any() or (used[rest] > model.high[rest] + 1e-6).any():
        return None
    number = np.full(len(model.rows), -1)
    number[rows] = np.arange(len(rows))
    columns = np.flatnonzero(open_)
    start = np.r_[0, np.cumsum(np.diff(model.start)[columns])]
    return Model(
        model.bin[columns],
        model.choice[columns],
        model.size,
        model.cost[columns],
        [model.rows[r] for r in rows],
        model.low[rows] - used[rows],
        model.high[rows] - used[rows],
        start,
        number[model.index[mine]],
        model.value[mine],
        integer=True,
    )


def _order(problem: Problem, of: Ints, model: Model, dual: Floats) -> Ints:
    """The units, bin by bin, within a bin those first that weigh most in the caps that have a price."""
    weight = weights(problem)
    price = np.full(weight.shape[1], 1e-9)
    for number, row in enumerate(model.rows):
        if row.kind == "cap":
            price[row.which] += abs(float(dual[number]))
    score = weight @ price
    return np.lexsort((np.arange(problem.units), -score, of)).astype(np.int64)


def _units(problem: Problem, of: Ints, model: Model, count: Ints, order: Ints) -> Ints:
    """The choice of every unit: in each bin the earlier choices to the units that come first in ``order``."""
    # Columns are sorted by bin and choice, and choices by year; units in order are sorted by bin.
    choice = np.empty(problem.units, dtype=np.int64)
    choice[order] = np.repeat(model.choice, count[: len(model.choice)])
    return choice


def _tighter(problem: Problem, model: Model, choice: Ints) -> Model:
    """The model with a cap drawn by as much as the plan was over it, and a little."""
    year = problem.year_of()[choice]
    high = model.high.copy()
    for number, row in enumerate(model.rows):
        if row.kind != "cap":
            continue
        cap = problem.caps[row.which]
        left = float(cap.weight[year > cap.by].sum())
        if cap.breached(left):
            high[number] -= (max(left - cap.allowed(), 0.0) / cap.whole + 1e-9) * linear.SCALE
    return msgspec.structs.replace(model, high=high)
