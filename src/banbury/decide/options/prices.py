"""What a constraint costs: its price at the margin, and what one more crew or one point of a cap saves, solved
again."""

from __future__ import annotations

import msgspec
import numpy as np

from banbury.decide.options import linear, schedule
from banbury.decide.options.build import Built
from banbury.decide.options.costs import Costs
from banbury.decide.options.problem import Problem
from banbury.decide.options.record import Worth
from banbury.decide.options.schedule import Plan, Price

#: Prices that are told, and how many crews and caps are solved again.
TOLD, AGAIN = 8, 3


def worths(costs: Costs, built: Built, plan: Plan, until: float, memo: schedule.Memo) -> list[Worth]:
    """What one more of each scarce thing saves, at the reference anchors; what saves most first."""
    problem = built.problem
    prices = sorted((p for p in plan.prices if p.value >= 0.01), key=lambda p: (-_value(p), p.name))
    found = [_margin(problem, p) for p in prices[:TOLD]]
    crews: dict[tuple[str, ...], None] = {}
    for p in prices:
        if p.kind == "crew":
            crews.setdefault(problem.crews[p.which].keys[p.group][:2])
    for key in list(crews)[:AGAIN]:
        units = costs.kinds[key[1]].crew_units
        other = _more_crews(problem, key, int(units))
        saved = _saved(problem, other, until, memo)
        if saved is not None:
            what = f"one crew more for {' / '.join(key)} in every year ({units:g} units a year, in any region)"
            found.append(Worth(what, None, round(saved, 2), "solved again"))
    for p in [p for p in prices if p.kind == "cap"][:AGAIN]:
        caps = list(problem.caps)
        # Which cap of a block it was is told by its name.
        which = next(i for i, c in enumerate(caps) if c.name == p.name)
        caps[which] = msgspec.structs.replace(caps[which], limit=min(caps[which].limit + 0.01, 1.0))
        saved = _saved(problem, msgspec.structs.replace(problem, caps=caps), until, memo)
        if saved is not None:
            found.append(Worth(f"one point more: {p.name}", None, round(saved, 2), "solved again"))
    return found


def _value(p: Price) -> float:
    """A price for one more unit a year, or one point of a cap."""
    return p.value * linear.SCALE / 100 if p.kind == "cap" else p.value


def _margin(problem: Problem, p: Price) -> Worth:
    year = None if p.year < 0 else problem.years[p.year]
    what = {"crew": "one unit more a year", "cap": "one point more", "vendor": "one unit"}[p.kind]
    return Worth(f"{what}: {p.name}", year, round(_value(p), 2), "price at the margin")


def _more_crews(problem: Problem, key: tuple[str, ...], units: int) -> Problem:
    """The problem with so many units more a year for an operator and kind, in the country and each of its regions."""
    crews = []
    for crew in problem.crews:
        mine = np.array([k[:2] == key for k in crew.keys], dtype=bool)
        crews.append(msgspec.structs.replace(crew, capacity=crew.capacity + units * mine[:, None].astype(np.int64)))
    return msgspec.structs.replace(problem, crews=crews)


def _saved(problem: Problem, other: Problem, until: float, memo: schedule.Memo) -> float | None:
    """How much less the blocks that differ cost, in parts of units; None where there was no time."""
    a = schedule.plan(problem, until - linear.clock(), whole=False, memo=memo)
    b = schedule.plan(other, until - linear.clock(), whole=False, memo=memo)
    return max(a.linear - b.linear, 0.0) if a.state == b.state == "optimal" else None
