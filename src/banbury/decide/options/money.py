"""What a plan costs: by anchor with its sponsor, and as a range from the lowest anchors to the highest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from banbury.decide.options.build import Built, Shop
from banbury.decide.options.costs import Costs
from banbury.decide.options.problem import Ints
from banbury.decide.options.record import Line, Range


class Amount(msgspec.Struct, frozen=True):
    """Units of one kind, and how many whole anchors they cost: discounted (``npv``), and not (``outlay``)."""

    units: int
    npv: float
    outlay: float


def amounts(shop: Shop, built: Built, choice: Ints) -> dict[str, Amount]:
    """How much of each kind's anchor a plan costs."""
    p, costs = built.problem, shop.costs
    found: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    year = p.year_of()
    for u, c in enumerate(choice):
        if c >= p.choices - 1:
            continue
        kind = shop.estate.units[u].kind
        npv = float(p.cost[p.klass[u], c]) / costs.reference(kind)
        row = found[kind]
        row[0] += 1
        row[1] += npv
        row[2] += npv * (1 + costs.discount.rate) ** int(year[c])
    return {k: Amount(int(r[0]), r[1], r[2]) for k, r in sorted(found.items())}


def spans(costs: Costs, some: dict[str, Amount]) -> tuple[Range, Range]:
    """The whole, from the lowest anchors to the highest: discounted, and not."""
    lows = {k: costs.span(k) for k in some}
    npv = Range(*(round(sum(a.npv * lows[k][i] for k, a in some.items()), 2) for i in (0, 1)))
    outlay = Range(*(round(sum(a.outlay * lows[k][i] for k, a in some.items()), 2) for i in (0, 1)))
    return npv, outlay


def lines(costs: Costs, some: dict[str, Amount]) -> list[Line]:
    """One line for each anchor of the kinds that are swapped."""
    found = []
    for anchor in costs.anchors:
        a = some.get(anchor.kind)
        if a is None:
            continue
        npv = Range(round(a.npv * anchor.low, 2), round(a.npv * anchor.high, 2))
        outlay = Range(round(a.outlay * anchor.low, 2), round(a.outlay * anchor.high, 2))
        found.append(
            Line(
                anchor.id,
                anchor.kind,
                a.units,
                npv,
                outlay,
                anchor.sponsor,
                anchor.date,
                anchor.source,
                anchor.read,
            )
        )
    return found


def precautions(
    costs: Costs, ids: Sequence[str], operators: int, years: int
) -> tuple[Range, Range, list[Line], list[str]]:
    """What precautions cost so many operators over so many years: discounted, not discounted, lines, and those without
    a price."""
    rate = costs.discount.rate
    factor = sum((1 + rate) ** -n for n in range(years))
    npv, outlay, found = [0.0, 0.0], [0.0, 0.0], []
    priced = {p.id: p for p in costs.precautions}
    for name in ids:
        p = priced.get(name)
        if p is None:
            continue
        a = [
            operators * (once + yearly * factor)
            for once, yearly in ((p.once_low, p.yearly_low), (p.once_high, p.yearly_high))
        ]
        b = [
            operators * (once + yearly * years)
            for once, yearly in ((p.once_low, p.yearly_low), (p.once_high, p.yearly_high))
        ]
        npv, outlay = [x + y for x, y in zip(npv, a, strict=True)], [x + y for x, y in zip(outlay, b, strict=True)]
        span = [Range(round(x[0], 2), round(x[1], 2)) for x in (a, b)]
        found.append(Line(p.id, "precaution", operators, span[0], span[1], p.sponsor, p.date, p.source, p.read))
    total = [Range(round(x[0], 2), round(x[1], 2)) for x in (npv, outlay)]
    return total[0], total[1], found, [name for name in ids if name not in priced]
