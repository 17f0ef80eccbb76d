"""The planning problem as arrays: units that may be swapped, in which year, for which vendor, and what binds.

A unit is what one visit swaps (a radio site; a core function). Choice ``y * V + v`` of a unit is "in year ``y``, for
vendor ``v``"; the last choice is "not within the horizon". Everything else is a constraint with a name, so that what
makes a plan impossible can be named too.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

#: Decimal places to which a share is held against a cap: those of :mod:`banbury.decide.policy.groups`.
PLACES = 9


class Cap(msgspec.Struct, frozen=True):
    """A cap on a share. ``weight``: what each unit takes from the share when it is swapped (in the share's own unit);
    ``fixed``: what is left whatever is swapped; ``whole``: what is divided by. From the end of year ``by`` on,
    (what is left) / ``whole`` may not be above ``limit``, or not at it where ``at_limit``.
    """

    name: str
    weight: Floats
    fixed: float
    whole: float
    limit: float
    at_limit: bool
    by: int

    def allowed(self) -> float:
        """How much weight may be left among the units, to the policies' rounding."""
        edge = self.limit + (-0.6 if self.at_limit else 0.4) * 10.0**-PLACES
        return edge * self.whole - self.fixed

    def breached(self, left: float) -> bool:
        """Whether the policy's own comparison calls it a breach, where ``left`` of the units' weight is left."""
        share = round(min((left + self.fixed) / self.whole, 1.0), PLACES)
        return share >= self.limit if self.at_limit else share > self.limit


class Crew(msgspec.Struct, frozen=True):
    """Crews of groups of units. ``of``: each unit's group, -1 none; ``capacity``: units a year, group by year.
    ``keys``: what each name was made of (operator, kind, and region where there is one).
    """

    title: str
    names: list[str]
    of: Ints
    capacity: Ints
    keys: list[tuple[str, ...]] = []


class VendorRule(msgspec.Struct, frozen=True):
    """A bound on new vendors among the units ``of``. ``kind``: ``supply`` (at most ``bound`` units a year of vendor),
    ``share`` (at most ``bound`` of all swapped units) or ``least`` (at least ``bound`` units by the end of year
    ``by``).
    """

    name: str
    kind: str
    of: Bools
    vendor: int
    bound: float
    by: int = 0


class Problem(msgspec.Struct, frozen=True):
    """``klass``: each unit's class; ``cost``: class by choice without the last (inf: not possible). ``deadline``: the
    last year (its position) in which a unit may be swapped; the number of years: it need not be. ``demand``: which of
    ``demands`` set that deadline, -1 none.
    """

    years: list[int]
    vendors: list[str]
    klass: Ints
    cost: Floats
    deadline: Ints
    demand: Ints
    demands: list[str]
    crews: list[Crew]
    caps: list[Cap]
    rules: list[VendorRule]

    @property
    def units(self) -> int:
        """How many units there are."""
        return len(self.klass)

    @property
    def choices(self) -> int:
        """How many choices a unit has, the last included."""
        return len(self.years) * len(self.vendors) + 1

    def year_of(self) -> Ints:
        """The year's position of each choice; of the last, the number of years."""
        return np.append(np.repeat(np.arange(len(self.years)), len(self.vendors)), len(self.years)).astype(np.int64)

    def subset(self, keep: Ints, caps: list[Cap], rules: list[VendorRule]) -> Problem:
        """The problem of some units alone, with those of the caps and rules that are about them and no others."""
        caps = [msgspec.structs.replace(c, weight=c.weight[keep]) for c in caps]
        crews = [msgspec.structs.replace(c, of=c.of[keep]) for c in self.crews]
        rules = [msgspec.structs.replace(r, of=r.of[keep]) for r in rules]
        return msgspec.structs.replace(
            self,
            klass=self.klass[keep],
            deadline=self.deadline[keep],
            demand=self.demand[keep],
            caps=caps,
            crews=crews,
            rules=rules,
        )


def cost_of(problem: Problem, choice: Ints) -> float:
    """What a plan costs: ``choice`` of every unit."""
    some = choice < problem.choices - 1
    return float(problem.cost[problem.klass[some], choice[some]].sum())


def violations(problem: Problem, choice: Ints) -> list[str]:
    """What a plan breaks, by name; empty where it keeps everything. Caps by the policies' own comparison.

    This reads the plan and the problem alone, and nothing that made the plan.
    """
    year = problem.year_of()[choice]
    last, broken = len(problem.years), []
    if len(choice) != problem.units or ((choice < 0) | (choice >= problem.choices)).any():
        return ["a choice that there is not"]
    swapped = year < last
    if not np.isfinite(problem.cost[problem.klass[swapped], choice[swapped]]).all():
        broken.append("a vendor that makes no such thing")
    for number in np.unique(problem.demand[(year > problem.deadline)]):
        broken.append(f"deadline: {problem.demands[number] if number >= 0 else 'unnamed'}")
    for crew in problem.crews:
        used = np.zeros(crew.capacity.shape, dtype=np.int64)
        busy = swapped & (crew.of >= 0)
        np.add.at(used, (crew.of[busy], year[busy]), 1)
        broken += [f"{crew.title}: {crew.names[g]} in {problem.years[y]}" for g, y in np.argwhere(used > crew.capacity)]
    for cap in problem.caps:
        if cap.breached(float(cap.weight[year > cap.by].sum())):
            broken.append(cap.name)
    for rule in problem.rules:
        broken += _broken(problem, rule, choice, year)
    return broken


def _broken(problem: Problem, rule: VendorRule, choice: Ints, year: Ints) -> list[str]:
    last, number = len(problem.years), len(problem.vendors)
    swapped = rule.of & (year < last)
    theirs = swapped & (choice % number == rule.vendor)
    if rule.kind == "supply":
        counts = np.bincount(year[theirs], minlength=last)
        return [f"{rule.name} in {problem.years[y]}" for y in np.flatnonzero(counts > rule.bound)]
    if rule.kind == "share":
        # (1 - bound) more, so that of one unit or two one can be theirs.
        over = theirs.sum() > rule.bound * swapped.sum() + (1 - rule.bound) + 1e-9
        return [rule.name] if over else []
    return [rule.name] if (theirs & (year <= rule.by)).sum() < rule.bound else []
