"""The problem as a linear program over bins, its bound for whole units, and what makes it infeasible (HiGHS)."""

from __future__ import annotations

import time
from typing import Any

import highspy
import msgspec
import numpy as np

from banbury.decide.options.clusters import weights
from banbury.decide.options.problem import Floats, Ints, Problem

#: Caps are put as parts in this many of the whole: HiGHS's tolerances are absolute.
SCALE = 1000.0
INF = float(highspy.kHighsInf)


class Row(msgspec.Struct, frozen=True):
    """A constraint: ``kind`` (units, crew, cap, vendor), which one, the year's position, its name."""

    kind: str
    which: int
    group: int
    year: int
    name: str


class Model(msgspec.Struct):
    """A linear program. Columns: (bin, choice), in that order; ``slack`` more at the end where it is elastic."""

    bin: Ints
    choice: Ints
    size: Ints
    cost: Floats
    rows: list[Row]
    low: Floats
    high: Floats
    start: Ints
    index: Ints
    value: Floats
    integer: bool = False


class Found(msgspec.Struct, frozen=True):
    """What HiGHS answered. ``state``: optimal, infeasible, or time (stopped: then there is no answer)."""

    state: str
    value: float = np.inf
    x: Any = None
    dual: Any = None


class _Rows:
    """Rows being collected, as triplets."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.low: list[float] = []
        self.high: list[float] = []
        self.parts: list[tuple[Ints, Ints, Floats]] = []

    def add(self, row: Row, columns: Ints, values: Floats, low: float, high: float) -> None:
        number = np.full(len(columns), len(self.rows), dtype=np.int64)
        self.parts.append((number, columns.astype(np.int64), values.astype(np.float64)))
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)


def build(problem: Problem, of: Ints, *, late: bool = False) -> Model:
    """The model over bins ``of``. ``late``: the first phase, in which a unit may miss its deadline and a cap may be
    broken, and that is all that costs: its optimum is 0 exactly where the problem is feasible.
    """
    count = int(of.max()) + 1 if len(of) else 0
    size = np.bincount(of, minlength=count).astype(np.int64)
    first = np.zeros(count, dtype=np.int64)
    first[of[::-1]] = np.arange(problem.units)[::-1]
    year = problem.year_of()
    cost = np.column_stack([problem.cost[problem.klass[first]], np.zeros(count)])
    possible = np.isfinite(cost) & (year[None, :] <= problem.deadline[first][:, None])
    forced = ~possible[:, -1]
    if late:
        cost = np.zeros_like(cost)
        cost[forced, -1] = 1.0
        possible[:, -1] = True
    bin_, choice = np.nonzero(possible)
    got = _Rows()
    _bins(got, problem, bin_, size, first)
    _crews(got, problem, bin_, year[choice], size, first)
    _caps(got, problem, bin_, year[choice], of, size)
    _vendors(got, problem, bin_, choice, first)
    columns = cost[bin_, choice]
    if late:
        columns = np.concatenate([columns, _slacks(got, len(columns))])
    return _model(got, bin_, choice, size, columns)


def _bins(got: _Rows, problem: Problem, bin_: Ints, size: Ints, first: Ints) -> None:
    starts = np.searchsorted(bin_, np.arange(len(size) + 1))
    for b, n in enumerate(size):
        at = np.arange(starts[b], starts[b + 1])
        demand = int(problem.demand[first[b]])
        name = f"deadline: {problem.demands[demand]}" if demand >= 0 else ""
        got.add(Row("units", demand, b, -1, name), at, np.ones(len(at)), float(n), float(n))


def _crews(got: _Rows, problem: Problem, bin_: Ints, year: Ints, size: Ints, first: Ints) -> None:
    last = len(problem.years)
    for which, crew in enumerate(problem.crews):
        group = crew.of[first[bin_]]
        mine = crew.of[first]
        members = np.bincount(mine[mine >= 0], weights=size[mine >= 0])
        key = np.where((group >= 0) & (year < last), group * last + year, -1)
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        for g in np.unique(mine[mine >= 0]):
            # A crew that could do all of its group in one year binds nothing.
            for y in np.flatnonzero(members[g] > crew.capacity[g]):
                a, b = np.searchsorted(ordered, [g * last + y, g * last + y + 1])
                name = f"{crew.title}: {crew.names[g]} in {problem.years[y]}"
                row = Row("crew", which, int(g), int(y), name)
                got.add(row, np.sort(order[a:b]), np.ones(b - a), -INF, float(crew.capacity[g, y]))


def _caps(got: _Rows, problem: Problem, bin_: Ints, year: Ints, of: Ints, size: Ints) -> None:
    for which, cap in enumerate(problem.caps):
        mean = np.bincount(of, weights=cap.weight, minlength=len(size)) / size
        at = np.flatnonzero((year > cap.by) & (mean[bin_] > 0))
        row = Row("cap", which, 0, cap.by, cap.name)
        scale = SCALE / cap.whole
        got.add(row, at, mean[bin_[at]] * scale, -INF, cap.allowed() * scale)


def _vendors(got: _Rows, problem: Problem, bin_: Ints, choice: Ints, first: Ints) -> None:
    number, last = len(problem.vendors), len(problem.years)
    year = problem.year_of()[choice]
    for which, rule in enumerate(problem.rules):
        inside = rule.of[first[bin_]] & (year < last)
        theirs = inside & (choice % number == rule.vendor)
        if rule.kind == "supply":
            for y in range(last):
                at = np.flatnonzero(theirs & (year == y))
                name = f"{rule.name} in {problem.years[y]}"
                got.add(Row("vendor", which, 0, y, name), at, np.ones(len(at)), -INF, rule.bound)
        elif rule.kind == "share":
            at = np.flatnonzero(inside)
            value = np.where(theirs[at], 1.0, 0.0) - rule.bound
            got.add(Row("vendor", which, 0, -1, rule.name), at, value, -INF, 1.0 - rule.bound)
        else:
            at = np.flatnonzero(theirs & (year <= rule.by))
            got.add(Row("vendor", which, 0, rule.by, rule.name), at, np.ones(len(at)), rule.bound, INF)


def _slacks(got: _Rows, columns: int) -> Floats:
    """A slack for each cap and each least number of a vendor. Returns their costs."""
    cost: list[float] = []
    for number, row in enumerate(got.rows):
        if row.kind == "cap" or (row.kind == "vendor" and np.isfinite(got.low[number]) and got.low[number] > 0):
            sign = -1.0 if row.kind == "cap" else 1.0
            at = np.array([columns + len(cost)], dtype=np.int64)
            got.parts.append((np.array([number], dtype=np.int64), at, np.array([sign])))
            cost.append(1.0)
    return np.array(cost)


def _model(got: _Rows, bin_: Ints, choice: Ints, size: Ints, cost: Floats) -> Model:
    number = np.concatenate([p[0] for p in got.parts]) if got.parts else np.zeros(0, dtype=np.int64)
    column = np.concatenate([p[1] for p in got.parts]) if got.parts else np.zeros(0, dtype=np.int64)
    value = np.concatenate([p[2] for p in got.parts]) if got.parts else np.zeros(0)
    order = np.lexsort((number, column))
    start = np.searchsorted(column[order], np.arange(len(cost) + 1))
    return Model(
        bin_, choice, size, cost, got.rows, np.array(got.low), np.array(got.high), start, number[order], value[order]
    )


def solver(model: Model, seconds: float) -> Any:
    """A HiGHS object that holds the model, one thread, fixed seed."""
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(model.cost), len(model.rows)
    lp.col_cost_ = model.cost
    lp.col_lower_ = np.zeros(len(model.cost))
    lp.col_upper_ = np.full(len(model.cost), INF)
    lp.row_lower_, lp.row_upper_ = model.low, model.high
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = model.start.astype(np.int32)
    lp.a_matrix_.index_ = model.index.astype(np.int32)
    lp.a_matrix_.value_ = model.value
    if model.integer:
        lp.integrality_ = [highspy.HighsVarType.kInteger] * len(model.cost)
    h: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    for key, value in (("output_flag", False), ("threads", 1), ("random_seed", 0), ("time_limit", max(seconds, 0.05))):
        h.setOptionValue(key, value)
    if model.integer:
        h.setOptionValue("mip_rel_gap", 0.0)
        h.setOptionValue("mip_abs_gap", 1e-9)
        h.setOptionValue("mip_feasibility_tolerance", 1e-9)
    h.passModel(lp)
    return h


def solve(model: Model, seconds: float) -> Found:
    """The optimum, within so many seconds."""
    if seconds <= 0:
        return Found("time")
    if not len(model.cost):
        if (model.low > 1e-9).any() or (model.high < -1e-9).any():
            return Found("infeasible")
        return Found("optimal", 0.0, np.zeros(0), np.zeros(len(model.rows)))
    return answer(solver(model, seconds))


def answer(h: Any) -> Found:
    """Run HiGHS, and read what it found."""
    h.run()
    status = h.getModelStatus()
    if status == highspy.HighsModelStatus.kOptimal:
        got = h.getSolution()
        return Found("optimal", float(h.getObjectiveValue()), np.array(got.col_value), np.array(got.row_dual))
    if status in {highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible}:
        return Found("infeasible")
    return Found("time")


def bound(problem: Problem, of: Ints, model: Model, dual: Floats, *, late: bool = False) -> tuple[float, Ints]:
    """A lower bound on what any plan of whole units costs, by weak duality from the prices ``dual`` of the rows, and
    for each unit the choice that is best at those prices.

    It holds for any prices of the right sign, however they were found; prices of the wrong sign are set to 0.
    """
    year = problem.year_of()
    first = np.zeros(len(model.size), dtype=np.int64)
    first[of[::-1]] = np.arange(problem.units)[::-1]
    kinds = np.array([r.kind for r in model.rows])
    price = np.where(np.isinf(model.low), np.minimum(dual, 0.0), np.where(np.isinf(model.high), np.maximum(dual, 0), 0))
    slack = late & ((kinds == "cap") | ((kinds == "vendor") & (model.low > 0)))
    price = np.where(slack, np.clip(price, -1.0, 1.0), price)
    rhs = np.where(np.isinf(model.low), model.high, model.low)
    total = float((price * np.where(price != 0, rhs, 0.0)).sum())
    # What all units of a bin share: costs, crews, vendors.
    shared = price.copy()
    shared[kinds == "cap"] = 0.0
    columns = len(model.bin)
    entries = np.repeat(np.arange(len(model.cost)), np.diff(model.start))
    paid = np.bincount(entries, weights=model.value * shared[model.index], minlength=len(model.cost))
    table = np.full((len(model.size), problem.choices), np.inf)
    table[model.bin, model.choice] = model.cost[:columns] - paid[:columns]
    reduced = table[of]
    weight = weights(problem)
    for number, row in enumerate(model.rows):
        if row.kind == "cap" and price[number] != 0:
            late_ones = year > problem.caps[row.which].by
            reduced[:, late_ones] -= price[number] * SCALE * weight[:, row.which][:, None]
    best = np.argmin(reduced, axis=1).astype(np.int64)
    return total + float(reduced[np.arange(len(best)), best].sum()), best


def irreducible(model: Model, seconds: float = 20.0) -> list[str]:
    """The names of the rows of an irreducible infeasible subsystem, each once, in the order of the rows.

    There are many such systems; the one told is of the first levels of crews (a country's before its regions') where
    they suffice, since that is the shorter.
    """
    until = clock() + seconds
    levels = max([r.which for r in model.rows if r.kind == "crew"], default=0)
    for level in range(levels + 1):
        some = without(model, level)
        if level == levels or solve(some, until - clock()).state == "infeasible":
            return _irreducible(some, until)
    return []


def without(model: Model, level: int) -> Model:
    """The model with the crews up to ``level`` alone."""
    keep = np.array([r.kind != "crew" or r.which <= level for r in model.rows], dtype=bool)
    return msgspec.structs.replace(model, low=np.where(keep, model.low, -INF), high=np.where(keep, model.high, INF))


def _irreducible(model: Model, until: float) -> list[str]:
    h = solver(model, until - clock())
    h.run()
    h.setOptionValue("iis_strategy", 2)
    h.setOptionValue("time_limit", float(h.getRunTime()) + max(until - clock(), 1.0))
    _, found = h.getIis()
    names = [model.rows[r].name for r in sorted(found.row_index_)]
    return list(dict.fromkeys(name for name in names if name))


def clock() -> float:
    """Seconds, from a clock that only goes forward."""
    return time.monotonic()
