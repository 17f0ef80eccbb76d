"""From what is asked and what there is to a planning problem: costs by year, crews, caps, vendors."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np

from banbury.decide.options.costs import Costs
from banbury.decide.options.demands import Horizon, Out, Vendors
from banbury.decide.options.estate import Estate, Unit
from banbury.decide.options.problem import Cap, Crew, Ints, Problem, VendorRule
from banbury.decide.options.shares import Share
from banbury.model.errors import InputError

#: How many caps times units there may be at most: each cap holds a weight for each unit.
CELLS = 50_000_000
#: What stands for "the nearest maker" where it does not matter which vendor comes.
NEAREST = "nearest"


class Asked(msgspec.Struct, frozen=True):
    """What one option asks of the schedule."""

    out: tuple[Out, ...] = ()
    share: tuple[Share, ...] = ()
    vendors: tuple[Vendors, ...] = ()


class Built(msgspec.Struct, frozen=True):
    """The problem of an option. ``maker``: the vendor of each class, where the problem leaves it at the nearest.
    ``blocked``: why there is none, where that is plain before anything is solved.
    """

    problem: Problem
    maker: list[str]
    blocked: tuple[tuple[str, ...], ...] = ()

    def vendor(self, unit: int, choice: int) -> str:
        """Whose equipment comes."""
        name = self.problem.vendors[choice % len(self.problem.vendors)]
        return self.maker[int(self.problem.klass[unit])] if name == NEAREST else name


class Shop:
    """Builds the problems of one estate and horizon. ``crew``: the part of a kind's units that can be swapped in a
    year, instead of the costs' own."""

    def __init__(self, estate: Estate, costs: Costs, horizon: Horizon, crew: float | None = None) -> None:
        self.estate = estate
        self.costs = costs
        self.horizon = horizon
        self.crew = crew
        keys = [(u.operator, u.kind, -1 if u.refresh is None else u.refresh) for u in estate.units]
        self.classes = sorted(set(keys))
        position = {key: i for i, key in enumerate(self.classes)}
        self.klass = np.array([position[key] for key in keys], dtype=np.int64)

    def build(self, asked: Asked) -> Built:
        """The problem of what is asked."""
        estate, years = self.estate, self.horizon.years
        deadline = np.full(len(estate.units), len(years), dtype=np.int64)
        demand = np.full(len(estate.units), -1, dtype=np.int64)
        for number, out in enumerate(asked.out):
            units = np.array(sorted({estate.of[i] for i in out.elements if i in estate.of}), dtype=np.int64)
            earlier = units[out.by < deadline[units]]
            deadline[earlier], demand[earlier] = out.by, number
        demands = [self._deadline(out) for out in asked.out]
        needs = [need for v in asked.vendors if (need := self._need(v, deadline)) is not None]
        new = self.costs.new_vendor
        free = new.supply >= 1 and new.max_share >= 1 and not needs
        vendors = [NEAREST] if free else sorted({v for some in estate.makers.values() for v, _ in some})
        cost, maker, blocked = self._cost(vendors, deadline)
        rules: list[VendorRule] = []
        if not free:
            rules = self._limits(vendors)
            for vendor_need in needs:
                found, reasons = self._least(vendor_need, vendors)
                rules += found
                blocked += reasons
        problem = Problem(
            years, vendors, self.klass, cost, deadline, demand, demands, self._crews(), self._caps(asked.share), rules
        )
        return Built(problem, maker, tuple(blocked))

    def _deadline(self, out: Out) -> str:
        when = (
            "has passed: at the end of the first year" if out.late else f"by the end of {self.horizon.first + out.by}"
        )
        return f"{out.name} {when}"

    def _cost(self, vendors: list[str], deadline: Ints) -> tuple[np.ndarray, list[str], list[tuple[str, ...]]]:
        years, rate = self.horizon.years, self.costs.discount.rate
        cost = np.full((len(self.classes), len(years) * len(vendors)), np.inf)
        maker, blocked = [], []
        for number, (operator, kind, refresh) in enumerate(self.classes):
            makers = self.estate.makers.get((operator, kind), [])
            maker.append(makers[0][0] if makers else "")
            if not makers and (deadline[self.klass == number] < len(years)).any():
                blocked.append((f"no other vendor of {self.costs.kinds[kind].title} is in the inventory",))
            row = [
                self.unit_cost(kind, None if refresh < 0 else refresh, y) / (1 + rate) ** n for n, y in enumerate(years)
            ]
            for vendor, there in makers[:1] if vendors == [NEAREST] else makers:
                at = 0 if vendors == [NEAREST] else vendors.index(vendor)
                factor = 1.0 if there else 1.0 + self.costs.new_vendor.premium
                cost[number, at :: len(vendors)] = np.array(row) * factor
        return cost, maker, list(dict.fromkeys(blocked))

    def unit_cost(self, kind: str, refresh: int | None, year: int) -> float:
        """What a swap in ``year`` costs at the reference anchor, before discount."""
        return self.costs.reference(kind) * self.costs.factor(kind, refresh, year)

    def _crews(self) -> list[Crew]:
        """An operator's crews of a kind in the country, and in each region."""
        found = []
        for title, key in (("crews", _country), ("crews of a region", _region)):
            keys = [key(u) for u in self.estate.units]
            names = sorted(set(keys))
            position = {k: i for i, k in enumerate(names)}
            of = np.array([position[k] for k in keys], dtype=np.int64)
            count = np.bincount(of, minlength=len(names))
            fraction = [self.crew if self.crew is not None else self.costs.kinds[k[1]].crew for k in names]
            capacity = [math.ceil(f * n - 1e-9) for f, n in zip(fraction, count, strict=True)]
            table = np.repeat(np.array(capacity, dtype=np.int64)[:, None], len(self.horizon.years), axis=1)
            found.append(Crew(title, [" / ".join(k) for k in names], of, table, names))
        return found

    def _caps(self, shares: Sequence[Share]) -> list[Cap]:
        if len(shares) * len(self.estate.units) > CELLS:
            raise InputError(
                f"{len(shares):,} caps on {len(self.estate.units):,} units are more than can be planned at once",
                hint="caps by region with very many regions; a policy of its own for fewer of them",
            )
        found = []
        for share in shares:
            weight = np.zeros(len(self.estate.units))
            fixed = share.fixed
            for id_, value in share.weight.items():
                unit = self.estate.of.get(id_)
                if unit is None:
                    fixed += value
                else:
                    weight[unit] += value
            when = (
                "has passed: at the end of the first year"
                if share.late
                else f"by the end of {self.horizon.first + share.by}"
            )
            found.append(
                Cap(f"{share.name}, {when}", weight, fixed, share.whole, share.limit, share.at_limit, share.by)
            )
        return found

    def _limits(self, vendors: list[str]) -> list[VendorRule]:
        """Supply of each vendor, and its part of what an operator swaps."""
        new = self.costs.new_vendor
        kinds = np.array([u.kind for u in self.estate.units])
        operators = np.array([u.operator for u in self.estate.units])
        found = []
        for kind in sorted(set(kinds)):
            here = kinds == kind
            for number, vendor in enumerate(vendors):
                if new.supply < 1:
                    bound = math.ceil(new.supply * int(here.sum()) - 1e-9)
                    found.append(VendorRule(f"supply of {kind} by {vendor}", "supply", here, number, float(bound)))
                for operator in sorted(set(operators[here])) if new.max_share < 1 else []:
                    name = f"at most {new.max_share:.0%} of {operator}'s new {kind} by {vendor}"
                    found.append(VendorRule(name, "share", here & (operators == operator), number, new.max_share))
        return found

    def _need(self, v: Vendors, deadline: Ints) -> tuple[Vendors, int, int] | None:
        """How many vendors more there must be, and by which year; None where there are enough."""
        units = sorted({self.estate.of[i] for i in v.elements})
        if not units:
            return None
        leave = bool((deadline[units] < len(self.horizon.years)).all())
        theirs = 0 if leave else len({self.estate.units[u].vendor for u in units})
        more = max(v.trusted - len(v.there), v.least - len(v.there) - theirs)
        by = max(v.by, min(int(deadline[units].max()), len(self.horizon.years) - 1)) if leave else v.by
        return (v, more, by) if more > 0 else None

    def _least(
        self, need: tuple[Vendors, int, int], vendors: list[str]
    ) -> tuple[list[VendorRule], list[tuple[str, ...]]]:
        v, more, by = need
        mask = np.zeros(len(self.estate.units), dtype=bool)
        mask[sorted({self.estate.of[i] for i in v.elements})] = True
        kinds: dict[str, int] = defaultdict(int)
        for u in np.flatnonzero(mask):
            kinds[self.estate.units[u].kind] += 1
        kind = max(sorted(kinds), key=lambda k: kinds[k])
        groups: dict[str, str] = {}
        for vendor, _ in self.estate.makers.get((v.operator, kind), []):
            group = self.estate.groups.get(vendor, vendor)
            if group not in v.there:
                groups.setdefault(group, vendor)
        chosen = list(groups.values())[:more]
        if len(chosen) < more:
            return [], [(f"{v.name}: {more} vendors more are needed, the inventory has {len(chosen)}",)]
        return [
            VendorRule(f"{v.name}: {c} for one at least", "least", mask, vendors.index(c), 1.0, by) for c in chosen
        ], []


def _country(unit: Unit) -> tuple[str, ...]:
    return unit.operator, unit.kind


def _region(unit: Unit) -> tuple[str, ...]:
    return unit.operator, unit.kind, unit.region
