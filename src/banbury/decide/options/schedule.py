"""The cheapest schedule: block by block, linear program, whole units, and how far that is from the bound."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from banbury.decide.options import linear, repair
from banbury.decide.options.clusters import bins, split
from banbury.decide.options.linear import Found, Model
from banbury.decide.options.problem import Cap, Ints, Problem, VendorRule, cost_of, violations

#: Rounds of splitting bins, and the part of the bound at which it stops.
ROUNDS, CLOSE = 10, 1e-5
#: First-phase values above this are a proof that there is no plan.
LATE = 1e-6


class Price(msgspec.Struct, frozen=True):
    """What one more unit of a constraint's right-hand side saves: ``row`` it is, and ``value`` (0 or above)."""

    kind: str
    which: int
    group: int
    year: int
    name: str
    value: float


class Plan(msgspec.Struct, frozen=True):
    """What came out. ``state``: optimal (``choice`` keeps everything), infeasible (``reasons``: the constraints that
    cannot hold together; ``short``: by how much, at least), or time (nothing is known).

    ``cost``: of the whole units; ``bound``: no plan costs less; ``gap``: (cost - bound) / bound.
    """

    state: str
    choice: Ints | None = None
    cost: float = 0.0
    bound: float = 0.0
    linear: float = 0.0
    reasons: tuple[tuple[str, ...], ...] = ()
    short: tuple[str, ...] = ()
    prices: tuple[Price, ...] = ()

    @property
    def gap(self) -> float:
        """How much of the bound the plan is above it."""
        return max(self.cost - self.bound, 0.0) / self.bound if self.bound > 1e-9 else 0.0


#: Blocks that were solved, by what they are.
Memo = dict[bytes, Plan]


def blocks(problem: Problem) -> list[Ints]:
    """The units in groups that no constraint joins."""
    groups: list[tuple[Ints, Ints]] = []
    base = problem.units
    everyone = np.arange(problem.units)
    for crew in problem.crews:
        some = crew.of >= 0
        groups.append((everyone[some], base + crew.of[some]))
        base += len(crew.names)
    for part in [c.weight > 0 for c in problem.caps] + [r.of for r in problem.rules]:
        groups.append((everyone[part], np.full(int(part.sum()), base)))
        base += 1
    if not problem.units:
        return []
    a = np.concatenate([g[0] for g in groups]) if groups else np.zeros(0, dtype=np.int64)
    b = np.concatenate([g[1] for g in groups]) if groups else np.zeros(0, dtype=np.int64)
    graph = coo_matrix((np.ones(len(a), dtype=np.int8), (a, b)), shape=(base, base))
    label = connected_components(graph, directed=False)[1][: problem.units]
    order = np.argsort(label, kind="stable")
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    found = [part.astype(np.int64) for part in np.split(order, cuts)]
    return sorted(found, key=lambda part: int(part[0]))


def divided(problem: Problem) -> Iterator[tuple[Ints, Problem]]:
    """The blocks, and the problem of each alone. A cap or rule is about the block of its first unit, since it joins
    all."""
    some = blocks(problem)
    label = np.zeros(problem.units, dtype=np.int64)
    for number, block in enumerate(some):
        label[block] = number
    caps: dict[int, list[Cap]] = {}
    for cap in problem.caps:
        if (cap.weight > 0).any():
            caps.setdefault(int(label[np.argmax(cap.weight > 0)]), []).append(cap)
    rules: dict[int, list[VendorRule]] = {}
    for rule in problem.rules:
        if rule.of.any():
            rules.setdefault(int(label[np.argmax(rule.of)]), []).append(rule)
    for number, block in enumerate(some):
        yield block, problem.subset(block, caps.get(number, []), rules.get(number, []))


def plan(problem: Problem, seconds: float = 60.0, *, whole: bool = True, memo: Memo | None = None) -> Plan:
    """The cheapest plan of ``problem``, within so many seconds. ``whole``: in whole units; else the bound and prices
    alone. What is not solved in time is said to be so, and has no plan.
    """
    until = linear.clock() + seconds
    choice = np.full(problem.units, problem.choices - 1, dtype=np.int64)
    parts = []
    for block, alone in divided(problem):
        part = _remembered(alone, until, whole, memo)
        parts.append(part)
        if part.choice is not None:
            choice[block] = part.choice
    reasons = [r for part in parts for r in part.reasons]
    empty = [c.name for c in problem.caps if c.breached(0.0)]
    empty += [r.name for r in problem.rules if _too_few(r)]
    reasons = [r for r in reasons if not set(r) & set(empty)]
    reasons += [(name, "nothing that is swapped changes it") for name in empty]
    short = [s for part in parts for s in part.short]
    if reasons:
        return Plan("infeasible", reasons=tuple(dict.fromkeys(reasons)), short=tuple(short))
    if any(part.state == "time" for part in parts):
        return Plan("time")
    total = Plan(
        "optimal",
        choice if whole else None,
        sum(part.cost for part in parts),
        sum(part.bound for part in parts),
        sum(part.linear for part in parts),
        prices=tuple(price for part in parts for price in part.prices),
    )
    if whole and (broken := violations(problem, choice)):
        raise AssertionError(f"a plan that breaks {broken[:3]}")
    return total


def _too_few(rule: VendorRule) -> bool:
    """Whether a rule asks for more units than it is about."""
    return rule.kind == "least" and bool(rule.of.sum() < rule.bound)


def _remembered(problem: Problem, until: float, whole: bool, memo: Memo | None) -> Plan:
    """The block's plan, from ``memo`` where the same block was solved before; what ran out of time is not kept."""
    if memo is None:
        return _block(problem, until, whole)
    key = _digest(problem, whole)
    if key not in memo:
        found = _block(problem, until, whole)
        if found.state == "time":
            return found
        memo[key] = found
    return memo[key]


def _digest(problem: Problem, whole: bool) -> bytes:
    """SHA-256 over all that a block's plan follows from."""
    said: list[object] = [whole, problem.years, problem.vendors, problem.demands]
    arrays: list[Any] = [problem.klass, problem.cost, problem.deadline, problem.demand]
    for crew in problem.crews:
        said += [crew.title, crew.names]
        arrays += [crew.of, crew.capacity]
    for cap in problem.caps:
        said += [cap.name, cap.fixed, cap.whole, cap.limit, cap.at_limit, cap.by]
        arrays.append(cap.weight)
    for rule in problem.rules:
        said += [rule.name, rule.kind, rule.vendor, rule.bound, rule.by]
        arrays.append(rule.of)
    hasher = hashlib.sha256(repr([*said, *(a.shape for a in arrays)]).encode())
    for array in arrays:
        hasher.update(np.ascontiguousarray(array).tobytes())
    return hasher.digest()


def feasible(problem: Problem, seconds: float) -> bool | None:
    """Whether there is a plan (in parts of units); None where there was no time to tell."""
    until = linear.clock() + seconds
    if any(cap.breached(0.0) for cap in problem.caps) or any(_too_few(rule) for rule in problem.rules):
        return False
    for _, part in divided(problem):
        of = bins(part)
        model = linear.build(part, of)
        state = linear.solve(model, until - linear.clock()).state
        if state == "infeasible":
            got = _infeasible(part, of, model, until, named=False)
            while not isinstance(got, Plan):
                finer = linear.build(part, got)
                state = linear.solve(finer, until - linear.clock()).state
                got = Plan(state) if state != "infeasible" else _infeasible(part, got, finer, until, named=False)
            state = got.state
        if state != "optimal":
            return None if state == "time" else False
    return True


def _block(problem: Problem, until: float, whole: bool) -> Plan:
    solved = relaxed(problem, until)
    if isinstance(solved, Plan):
        return solved
    of, model, found, least = solved
    prices = _prices(model, found)
    if not whole:
        return Plan("optimal", None, found.value, least, found.value, prices=prices)
    left = until - linear.clock()
    choice = repair.whole(problem, of, model, found, left)
    if choice is None or cost_of(problem, choice) > least * (1 + 1e-9) + 1e-9:
        best = repair.exact(problem, min(max(until - linear.clock(), 0.1), 10.0))
        # Proved to be the best by branch and bound: to HiGHS's tolerance it is its own bound.
        least = least if best is None else max(least, cost_of(problem, best) * (1 - 1e-9))
        choice = repair.better(problem, choice, best)
    if choice is None:
        return _no_whole(problem, until)
    return Plan("optimal", choice, cost_of(problem, choice), least, found.value, prices=prices)


def _no_whole(problem: Problem, until: float) -> Plan:
    """Parts of units fit, and no whole ones were found: a proof that there are none, or no answer."""
    if problem.units * problem.choices <= repair.SMALL:
        model = linear.build(problem, np.arange(problem.units, dtype=np.int64))
        model.integer = True
        if linear.solve(model, max(until - linear.clock(), 0.1)).state == "infeasible":
            names = dict.fromkeys(r.name for r in model.rows if r.name and r.kind != "units")
            return Plan("infeasible", reasons=(("whole units do not fit, parts of them would", *names),))
    return Plan("time")


def relaxed(problem: Problem, until: float) -> tuple[Ints, Model, Found, float] | Plan:
    """The linear program over bins fine enough: (bins, model, answer, lower bound), or that there is none."""
    of = bins(problem)
    for _ in range(ROUNDS):
        model = linear.build(problem, of)
        found = linear.solve(model, until - linear.clock())
        if found.state == "time":
            return Plan("time")
        if found.state == "infeasible":
            finer = _infeasible(problem, of, model, until)
            if isinstance(finer, Plan):
                return finer
            of = finer
            continue
        least, best = linear.bound(problem, of, model, found.dual)
        finer = split(of, best)
        if found.value - least <= CLOSE * abs(least) + 1e-9 or finer.max() == of.max():
            break
        of = finer
    else:
        if found.state != "optimal":
            return Plan("time")
    return of, model, found, max(least, 0.0)


def _infeasible(problem: Problem, of: Ints, model: Model, until: float, *, named: bool = True) -> Plan | Ints:
    """Is there no plan at all, or are the bins too coarse? The proof and its reasons (``named``), or finer bins."""
    first = linear.build(problem, of, late=True)
    found = linear.solve(first, until - linear.clock())
    if found.state != "optimal":
        return Plan("time")
    least, best = linear.bound(problem, of, first, found.dual, late=True)
    if least > LATE:
        reasons = tuple(linear.irreducible(model)) if named else ()
        return Plan("infeasible", reasons=(reasons or ("not named",),), short=_short(problem, first, found))
    finer = split(of, best)
    if finer.max() == of.max():
        finer = np.arange(problem.units, dtype=np.int64)
    return finer


def _short(problem: Problem, first: Model, found: Found) -> tuple[str, ...]:
    """By how much deadlines and caps are missed at least, all of them together."""
    names: dict[str, float] = {}
    columns = len(first.bin)
    names_of = {r.group: r.name for r in first.rows if r.kind == "units"}
    for column in np.flatnonzero((first.cost[:columns] > 0) & (found.x[:columns] > 1e-6)):
        name = names_of[int(first.bin[column])]
        names[name] = names.get(name, 0.0) + float(found.x[column])
    said = [f"{math.ceil(n - 1e-6):,} units miss {name}" for name, n in names.items()]
    rows = [r for k, r in enumerate(first.rows) if r.kind == "cap" or (r.kind == "vendor" and first.low[k] > 0)]
    for row, over in zip(rows, found.x[columns:], strict=True):
        if over > 1e-6 and row.kind == "cap":
            said.append(f"{over / linear.SCALE:.1%} over {row.name}")
        elif over > 1e-6:
            said.append(f"{math.ceil(over - 1e-6):,} units short of {row.name}")
    return tuple(said)


def _prices(model: Model, found: Found) -> tuple[Price, ...]:
    some = []
    for number, row in enumerate(model.rows):
        if row.kind in {"crew", "cap", "vendor"} and abs(found.dual[number]) > 1e-9:
            some.append(Price(row.kind, row.which, row.group, row.year, row.name, abs(float(found.dual[number]))))
    return tuple(some)
