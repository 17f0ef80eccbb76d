"""The cheapest schedule: equal to trying every plan, never breaking a constraint, near its bound at size, prices by
finite difference, and what cannot be is named."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banbury.decide.options.problem import Cap, Crew, Problem, VendorRule, cost_of, violations
from banbury.decide.options.schedule import plan


def every(units: int, choices: int) -> np.ndarray[Any, Any]:
    """All plans there are: one row each."""
    return np.indices((choices,) * units).reshape(units, -1).T


def cheapest(p: Problem) -> float | None:
    """The least cost over all plans, by trying them; None where none keeps every constraint. Written apart from what it
    tests: it takes the problem's numbers and nothing else."""
    years, vendors = len(p.years), len(p.vendors)
    plans = every(p.units, years * vendors + 1)
    year = np.where(plans == years * vendors, years, plans // vendors)
    who = np.where(plans == years * vendors, -1, plans % vendors)
    table = np.column_stack([p.cost[p.klass], np.zeros(p.units)])
    cost = table[np.arange(p.units)[None, :], plans].sum(axis=1)
    good = np.isfinite(cost) & (year <= p.deadline[None, :]).all(axis=1)
    for crew in p.crews:
        for g in range(len(crew.names)):
            for y in range(years):
                good &= ((year == y) & (crew.of == g)[None, :]).sum(axis=1) <= crew.capacity[g, y]
    for cap in p.caps:
        left = ((year > cap.by) * cap.weight[None, :]).sum(axis=1) + cap.fixed
        share = np.round(np.minimum(left / cap.whole, 1), 9)
        good &= (share < cap.limit) if cap.at_limit else (share <= cap.limit)
    for rule in p.rules:
        theirs = (who == rule.vendor) & rule.of[None, :]
        if rule.kind == "supply":
            for y in range(years):
                good &= (theirs & (year == y)).sum(axis=1) <= rule.bound
        elif rule.kind == "least":
            good &= (theirs & (year <= rule.by)).sum(axis=1) >= rule.bound
        else:
            swapped = ((year < years) & rule.of[None, :]).sum(axis=1)
            good &= theirs.sum(axis=1) <= rule.bound * swapped + 1 - rule.bound + 1e-9
    return float(cost[good].min()) if good.any() else None


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    years, vendors, most = draw(st.sampled_from([(2, 1, 11), (3, 1, 8), (2, 2, 6), (1, 1, 12), (3, 2, 5)]))
    n = draw(st.integers(1, most))
    classes = draw(st.integers(1, 3))
    numbers = st.integers(1, 40)
    cost = np.array([[float(draw(numbers)) for _ in range(years * vendors)] for _ in range(classes)])
    if vendors > 1 and draw(st.booleans()):
        cost[0, draw(st.integers(0, vendors - 1)) :: vendors] = np.inf
    pick = lambda low, high: np.array([draw(st.integers(low, high)) for _ in range(n)], dtype=np.int64)  # noqa: E731
    klass = pick(0, classes - 1)
    deadline = np.where(pick(0, 3) == 0, pick(0, years - 1), years).astype(np.int64)
    crews = []
    for groups in (1, 2):
        of = pick(-1 if groups == 2 else 0, groups - 1)
        capacity = np.array([[draw(st.integers(0, n)) for _ in range(years)] for _ in range(groups)], dtype=np.int64)
        crews.append(Crew("crews", [f"g{groups}-{i}" for i in range(groups)], of, capacity))
    caps = []
    for i in range(draw(st.integers(0, 2))):
        # Counts, and fractions that come to the very limit.
        weight = pick(0, 3).astype(float) / draw(st.sampled_from([1, 10, 3]))
        whole = max(float(weight.sum()), 0.1) * draw(st.sampled_from([1.0, 2.0]))
        limit = draw(st.sampled_from([0.0, 0.1, 0.25, 0.35, 0.5]))
        fixed = whole * draw(st.sampled_from([0.0, 0.0, 0.05]))
        caps.append(Cap(f"cap{i}", weight, fixed, whole, limit, draw(st.booleans()), draw(st.integers(0, years - 1))))
    rules = []
    mask = pick(0, 1).astype(bool)
    for kind in draw(st.lists(st.sampled_from(["supply", "share", "least"]), max_size=2)) if vendors > 1 else []:
        bound = 0.5 if kind == "share" else float(draw(st.integers(1, 3)))
        rules.append(VendorRule(kind, kind, mask, draw(st.integers(0, 1)), bound, draw(st.integers(0, years - 1))))
    demand = np.where(deadline < years, 0, -1).astype(np.int64)
    names = [f"v{i}" for i in range(vendors)]
    return Problem(
        list(range(2021, 2021 + years)), names, klass, cost, deadline, demand, ["deadline"], crews, caps, rules
    )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(problems())
def test_as_cheap_as_the_best_of_all_plans(p: Problem) -> None:
    best, found = cheapest(p), plan(p, 30)
    if best is None:
        assert found.state == "infeasible"
        assert found.reasons
        assert found.choice is None
        return
    assert found.state == "optimal", found
    assert found.choice is not None
    assert violations(p, found.choice) == []
    assert cost_of(p, found.choice) == pytest.approx(best, abs=1e-6)
    assert found.bound <= best + 1e-6, "a bound above the best plan is none"


def big(n: int, *, caps: bool, by: int | None = None, crew: float = 0.3, operators: int = 4, seed: int = 1) -> Problem:
    """Sites of some operators in twelve regions over seven years, with ages and traffic drawn at random."""
    rng = np.random.default_rng(seed)
    years, regions = 7, 12
    operator, region, age = rng.integers(0, operators, n), rng.integers(0, regions, n), rng.integers(0, 10, n)
    keys, klass = np.unique(np.column_stack([operator, age]), axis=0, return_inverse=True)
    lost = np.clip(keys[:, 1][:, None] - np.arange(years)[None, :], 0, 10)
    cost = 70_000 * (0.5 + 0.5 * lost / 10) * 1.035 ** -np.arange(years)[None, :]
    group = operator * regions + region

    def crews(of: np.ndarray[Any, Any]) -> Crew:
        count = np.bincount(of)
        capacity = np.repeat(np.ceil(crew * count).astype(np.int64)[:, None], years, axis=1)
        return Crew("crews", [f"{i}" for i in range(len(count))], of, capacity)

    traffic = rng.lognormal(0, 0.8, n)
    limits = []
    for o in range(operators) if caps else []:
        mine = operator == o
        for name, weight in (("traffic", np.where(mine, traffic, 0.0)), ("sites", mine.astype(float))):
            limits.append(Cap(f"{name} of {o}", weight, 0.0, float(weight.sum() / 0.6), 0.35, False, 3))
    deadline = np.full(n, years if by is None else by, dtype=np.int64)
    demand = np.full(n, -1 if by is None else 0, dtype=np.int64)
    return Problem(
        list(range(2021, 2021 + years)),
        ["nearest"],
        klass.reshape(-1).astype(np.int64),
        cost,
        deadline,
        demand,
        ["ban"],
        [crews(operator), crews(group)],
        limits,
        [],
    )


@pytest.mark.parametrize(("caps", "by"), [(True, None), (False, 6), (True, 6)])
def test_a_hundred_thousand_sites(caps: bool, by: int | None) -> None:
    p = big(100_000, caps=caps, by=by)
    start = time.monotonic()
    found = plan(p, 30)
    assert found.state == "optimal"
    assert time.monotonic() - start < 30
    assert found.choice is not None
    assert violations(p, found.choice) == []
    assert found.bound <= found.linear * (1 + 1e-9)
    assert found.gap <= 0.001


def test_a_ban_in_three_years_at_thirty_per_cent_names_the_crews() -> None:
    found = plan(big(4_000, caps=False, by=2), 30)
    assert found.state == "infeasible"
    assert len(found.reasons) == 4
    for operator, reason in enumerate(sorted(found.reasons)):
        assert reason == ("deadline: ban", *(f"crews: {operator} in {year}" for year in (2021, 2022, 2023)))
    assert all("units miss deadline: ban" in text for text in found.short)
    assert plan(big(4_000, caps=False, by=3), 30).state == "optimal"


def test_no_reason_can_be_left_out() -> None:
    p = big(600, caps=False, by=2, operators=1)
    (reason,) = plan(p, 30).reasons
    for name in reason[1:]:
        year = int(name.rpartition(" ")[2]) - 2021
        crew = p.crews[0]
        more = crew.capacity.copy()
        more[0, year] = 10_000
        freed = Crew(crew.title, crew.names, crew.of, more)
        # Without that year's limit of the country (and with regions free) the others hold together.
        other = Problem(p.years, p.vendors, p.klass, p.cost, p.deadline, p.demand, p.demands, [freed], p.caps, p.rules)
        assert plan(other, 30).state == "optimal", name


@pytest.mark.parametrize("kind", ["crew", "cap"])
def test_prices_are_what_one_more_saves(kind: str) -> None:
    p = big(400, caps=True, operators=1, crew=0.12)
    found = plan(p, 30, whole=False)
    prices = [price for price in found.prices if price.kind == kind]
    assert prices
    for price in prices[:4]:
        step = 1.0
        if kind == "crew":
            capacity = p.crews[price.which].capacity.copy()
            capacity[price.group, price.year] += 1
            crews = list(p.crews)
            old = crews[price.which]
            crews[price.which] = Crew(old.title, old.names, old.of, capacity)
            other = plan(msgspec.structs.replace(p, crews=crews), 30, whole=False)
        else:
            step = 0.01  # of the scale: a thousandth of the whole
            caps = list(p.caps)
            old_cap = caps[price.which]
            caps[price.which] = msgspec.structs.replace(old_cap, limit=old_cap.limit + step / 1000)
            other = plan(msgspec.structs.replace(p, caps=caps), 30, whole=False)
        saved = (found.linear - other.linear) / step
        # The value is convex: one more saves at most its price, and here about as much.
        assert saved <= price.value * (1 + 1e-3) + 1
        assert saved >= price.value * 0.5 - 50, price


def test_no_time_is_no_answer() -> None:
    assert plan(big(20_000, caps=True), 1e-9).state == "time"


@pytest.mark.slow
def test_the_same_twice() -> None:
    a, b = (plan(big(3_000, caps=True, by=5), 30) for _ in range(2))
    assert a.choice is not None
    assert b.choice is not None
    assert (a.choice == b.choice).all()


def test_what_a_plan_breaks_is_told() -> None:
    p = big(50, caps=True, by=6, operators=1)
    assert violations(p, np.zeros(49, dtype=np.int64))
    never = np.full(50, 7, dtype=np.int64)
    assert {"deadline: ban", "traffic of 0", "sites of 0"} <= set(violations(p, never))
    assert any(name.startswith("crews") for name in violations(p, np.zeros(50, dtype=np.int64)))
