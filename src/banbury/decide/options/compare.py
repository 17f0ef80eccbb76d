"""Options against each other: which is nowhere better than another, what would turn an order, and cap by deadline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import msgspec
import numpy as np

from banbury.decide.options import linear, money, schedule
from banbury.decide.options.build import Built, Shop
from banbury.decide.options.costs import Costs
from banbury.decide.options.problem import Ints
from banbury.decide.options.record import Cell, Flip, Option
from banbury.decide.options.shares import Share
from banbury.decide.options.specs import Spec, plain_cap

#: What dominance is told by. An option is dominated where another is nowhere worse on these, and somewhere better.
COMPARED = [
    "cost at the lowest and at the highest anchors",
    "exposure-years of each class of data",
    "outage-years, least and most",
    "years in violation of each policy",
    "concentration of supply left (mean of squares' sums over access networks)",
]
#: Caps of the frontier, and how many of the horizon's years.
CAPS, YEARS = (0.5, 0.35, 0.2, 0.1, 0.0), 4
#: Steps in which crews are tried, as a part of the units; and how many rows of flips there are at most.
CREW, FLIPS = 0.01, 24


def measures(o: Option) -> list[float] | None:
    """What is compared; lower is better. None where the option is no plan."""
    if o.cost is None or o.state not in {"plan", "nothing to do"}:
        return None
    hhi = [s.hhi for s in o.supply]
    return [
        o.cost.low,
        o.cost.high,
        *(e.years for e in o.exposure),
        sum(r.low for r in o.outage),
        sum(r.high for r in o.outage),
        *(float(sum(s.status == "violation" for s in v.years)) for v in o.verdicts),
        sum(hhi) / len(hhi) if hhi else 0.0,
    ]


def dominated(options: Sequence[Option]) -> list[Option]:
    """The options, each with those that dominate it. Of two that are the same, neither does."""
    rows = [measures(o) for o in options]
    found = []
    for o, mine in zip(options, rows, strict=True):
        by = []
        for other, theirs in zip(options, rows, strict=True):
            if mine is None or theirs is None or other is o:
                continue
            a, b = np.round(mine, 6), np.round(theirs, 6)
            if (b <= a).all() and (b < a).any():
                by.append(other.id)
        found.append(msgspec.structs.replace(o, dominated_by=by))
    return found


class Comparison:
    """The frontier and what flips, of one estate. ``seconds``: how long the frontier may take."""

    def __init__(self, shop: Shop, shares: Sequence[Share], seconds: float, memo: schedule.Memo) -> None:
        self.memo = memo
        self.shop = shop
        self.shares = [s for s in shares if s.about[1] in {"traffic", "premises", "sites"}]
        self.until = linear.clock() + seconds

    def frontier(self) -> list[Cell]:
        """Cap by year. Later years and higher caps first: they cost least, and bound the others."""
        if not self.shares:
            return []
        years = self.shop.horizon.years
        picks = sorted({round(i * (len(years) - 1) / max(YEARS - 1, 1)) for i in range(YEARS)})
        return [self._cell(cap, by) for cap in CAPS for by in picks]

    def _cell(self, cap: float, by: int) -> Cell:
        year = self.shop.horizon.first + by
        spec = plain_cap(self.shares, cap, by, self.shop.horizon)
        built = self.shop.build(spec.asked)
        if built.blocked:
            return Cell(cap, year, "infeasible", None, None, [x for r in built.blocked for x in r])
        plan = schedule.plan(built.problem, self.until - linear.clock(), memo=self.memo)
        if plan.state == "infeasible":
            return Cell(cap, year, "infeasible", None, None, list(plan.reasons[0]))
        if plan.choice is None:
            return Cell(cap, year, "no answer", None, None, [])
        npv, _ = money.spans(self.shop.costs, money.amounts(self.shop, built, plan.choice))
        return Cell(cap, year, "plan", npv, round(self._theirs(built, plan.choice), 6), [])

    def _theirs(self, built: Built, choice: Ints) -> float:
        """Their part of the access networks at each year's end, added over the years; networks alike. By traffic, else
        premises, else sites."""
        order = {"traffic": 0, "premises": 1, "sites": 2}
        best: dict[str, int] = {}
        for share in self.shares:
            key = share.label.partition(": ")[2] + "/" + share.about[0]
            best[key] = min(best.get(key, 9), order[share.about[1]])
        year = built.problem.year_of()[choice]
        total = 0.0
        for cap, share in zip(built.problem.caps, self.shares, strict=True):
            key = share.label.partition(": ")[2] + "/" + share.about[0]
            if order[share.about[1]] == best[key]:
                for y in range(len(built.problem.years)):
                    total += (float(cap.weight[year > y].sum()) + cap.fixed) / cap.whole
        return total / len(best)

    def flips(self, options: Sequence[Option], specs: Mapping[str, Spec], seconds: float) -> list[Flip]:
        """What turns an order: anchors, the worth of what is no longer exposed, crews."""
        until = linear.clock() + seconds
        found = [*self._anchors(options), *_worths(options)]
        for o in options:
            if o.family in {"policy", "cap", "ban"} and o.state in {"plan", "infeasible"} and o.id in specs:
                found += self._crews(o, specs[o.id], until)
        return sorted(found, key=lambda f: (not f.inside, f.what.partition(" ")[0]))[:FLIPS]

    def _anchors(self, options: Sequence[Option]) -> list[Flip]:
        """The value of one kind's anchor at which two neighbours in cost cost the same, the others at their
        reference."""
        costs = self.shop.costs
        rows = [(o, _quantities(o, costs)) for o in options if o.cost is not None and o.state == "plan"]
        rows.sort(key=lambda r: sum(q * v for q, v in r[1].values()))
        found = []
        for (a, mine), (b, theirs) in pairwise(rows):
            for kind in sorted(({*mine, *theirs}) - {"precaution"}):
                slope = mine.get(kind, (0.0, 0.0))[0] - theirs.get(kind, (0.0, 0.0))[0]
                rest = sum(q * v for k, (q, v) in theirs.items() if k != kind)
                rest -= sum(q * v for k, (q, v) in mine.items() if k != kind)
                low, high = costs.span(kind)
                at = rest / slope if abs(slope) > 1e-9 else -1.0
                if at <= 0:
                    continue
                inside = low <= at <= high
                text = f"at {costs.currency} {at:,.0f} for one {costs.kinds[kind].title} they cost the same"
                found.append(Flip(f"cost of {kind}", [a.id, b.id], round(at, 2), low, high, inside, text))
        return found

    def _crews(self, o: Option, spec: Spec, until: float) -> list[Flip]:
        """The least crews, as a part of the units, with which an option can be done."""

        def works(part: float) -> bool | None:
            if linear.clock() > until:
                return None
            shop = Shop(self.shop.estate, self.shop.costs, self.shop.horizon, part)
            built = shop.build(spec.asked)
            if built.blocked:
                return False
            return schedule.feasible(built.problem, until - linear.clock())

        at = least(works, round(1 / CREW))
        kinds = {s.kind for s in o.schedule} or {u.kind for u in self.shop.estate.units}
        some = [self.shop.costs.kinds[k] for k in sorted(kinds)]
        low, high = min(k.crew_low for k in some), max(k.crew_high for k in some)
        if at is None:
            return []
        if at > round(1 / CREW):
            text = f"{o.title} cannot be done with any crews"
            return [Flip("crews", [o.id], None, low, high, False, text)]
        part = at * CREW
        inside = low <= part <= high
        text = f"{o.title} can be done from crews for {part:.0%} of an operator's units of every kind a year"
        return [Flip("crews", [o.id], round(part, 4), low, high, inside, text)]


def least(works: Callable[[float], bool | None], steps: int) -> int | None:
    """The least number of steps of :data:`CREW` with which something works; one more than ``steps`` where none does;
    None where there was no time."""
    below, above = 0, steps + 1
    while above - below > 1:
        middle = (below + above) // 2
        got = works(middle * CREW)
        if got is None:
            return None
        below, above = (below, middle) if got else (middle, above)
    return above


def _quantities(o: Option, costs: Costs) -> dict[str, tuple[float, float]]:
    """By kind, whole anchors (discounted) and what one costs; precautions as one of their mean cost."""
    found: dict[str, tuple[float, float]] = {}
    fixed = 0.0
    for line in o.costs:
        if line.kind == "precaution":
            fixed += (line.npv.low + line.npv.high) / 2
    for kind, (anchors, low) in _first(o, {a.id: a.low for a in costs.anchors}).items():
        found[kind] = (low / anchors, costs.reference(kind))
    if fixed:
        found["precaution"] = (1.0, fixed)
    return found


def _first(o: Option, anchors: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """By kind, the first anchor's low value for one unit, and what the option costs by it."""
    found: dict[str, tuple[float, float]] = {}
    for line in o.costs:
        if line.kind != "precaution":
            found.setdefault(line.kind, (anchors[line.anchor], line.npv.low))
    return found


def _worths(options: Sequence[Option]) -> list[Flip]:
    """At what worth of a year of all user content exposed the dearer of two neighbours is worth its cost."""
    rows = []
    for o in options:
        user = next((e for e in o.exposure if e.data == "U"), None)
        if o.cost is not None and user is not None and o.state in {"plan", "nothing to do"}:
            rows.append((o.cost, user.years, o))
    rows.sort(key=lambda r: (r[0].low, r[0].high))
    found = []
    for (cost, years, a), (more, fewer, b) in pairwise(rows):
        if years - fewer > 1e-6:
            low, high = sorted(((more.low - cost.low) / (years - fewer), (more.high - cost.high) / (years - fewer)))
            text = (
                f"{b.title} instead of {a.title}: a year of all user content exposed must be worth "
                f"{low / 1e6:,.1f} to {high / 1e6:,.1f} million"
            )
            found.append(
                Flip("worth of a year of user content", [a.id, b.id], None, round(low, 2), round(high, 2), False, text)
            )
    return found
