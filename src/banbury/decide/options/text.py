"""Options as lines of text, bounded."""

from __future__ import annotations

from collections.abc import Iterator

from banbury.decide.options.record import Cell, Flip, Option, Options, Range
from banbury.decide.policy.text import resting

#: How many reasons, names, prices and conditions are shown of each.
SHOWN = 4
#: Characters of a line at most.
LONGEST = 400


def money(amount: float) -> str:
    """An amount in millions, to about three figures."""
    return f"{amount / 1e6:,.{0 if amount >= 1e9 else 1 if amount >= 1e7 else 2 if amount >= 1e6 else 3}f}"


def span(r: Range | None) -> str:
    """A range in millions; a dash for none."""
    return "-" if r is None else money(r.low) if r.low == r.high else f"{money(r.low)} to {money(r.high)}"


def doubt(elements: int) -> str:
    """That nothing here counts elements of which no policy can tell whether it covers them."""
    return (
        f"of {elements:,} element{'s' * (elements != 1)} the inventory does not say whether a policy covers "
        f"{'them' if elements != 1 else 'it'}: in no option, no cost and no exposure here"
    )


def lines(found: Options) -> Iterator[str]:
    """The options side by side, then each with its reasons, then the frontier and what flips; no line without end."""
    for line in _lines(found):
        yield line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _lines(found: Options) -> Iterator[str]:
    made_up = ", an inventory that was made up" if found.made_up else ""
    yield f"{found.first} to {found.last}, inventory {found.inventory[:16]} as of {found.as_of}{made_up}"
    if found.problems:
        yield resting(found.problems)
    if found.disagreements:
        yield f"the policies and the schedules disagree {len(found.disagreements):,} times: {found.disagreements[0]}"
    yield f"policies: {', '.join(p.id for p in found.policies)}; vendors: {', '.join(found.vendors) or 'none'}"
    if found.doubtful:
        yield doubt(found.doubtful)
    money_of = f"million {found.currency} of {found.price_year}"
    yield f"amounts in {money_of}, discounted at {found.discount:.1%} to {found.first}"
    yield ""
    head = f"{'option':34} {'state':14} {'cost':>20} {'units':>7} {'U-years':>8} {'K-years':>8} {'outage':>7}"
    yield f"{head}  policies at the end"
    for o in found.options:
        yield _row(o)
    for o in found.options:
        yield from _more(o)
    yield from _frontier(found.frontier)
    yield from _flips(found.flips)
    yield ""
    yield f"compared by: {'; '.join(found.compared)}; no score is made of them"
    for line in found.limits:
        yield f"  {line}"


def _row(o: Option) -> str:
    years = {e.data: f"{e.years:.2f}" for e in o.exposure}
    outage = f"{o.outage[-1].low:.0%}" if o.outage else "-"
    said = ", ".join(f"{v.policy} {v.years[-1].status}" for v in o.verdicts if v.years)
    head = f"{o.title[:34]:34} {o.state:14} {span(o.cost):>20} {o.units:>7,}"
    return f"{head} {years.get('U', '-'):>8} {years.get('K', '-'):>8} {outage:>7}  {said[:120]}".rstrip()


def _more(o: Option) -> Iterator[str]:
    yield ""
    yield f"{o.title}: {o.text}"
    for reason in o.reasons[:SHOWN]:
        more = f"; and {len(reason) - 8} more" if len(reason) > 8 else ""
        yield f"  cannot hold together: {'; '.join(reason[:8])}{more}"
    if len(o.reasons) > SHOWN:
        yield f"  and {len(o.reasons) - SHOWN:,} more sets of constraints"
    for text in o.short[:SHOWN]:
        yield f"  at least: {text}"
    if o.earliest is not None:
        yield f"  can be done by the end of {o.earliest}"
    for line in o.costs:
        mark = "" if line.read == "secondary" else f", {line.read}"
        yield f"  {line.kind} by {line.anchor}: {span(line.npv)} ({line.sponsor}, {line.date}{mark})"
    if o.gap is not None and o.units:
        yield f"  whole units cost at most {o.gap:.4%} more than the least possible"
    for v in o.verdicts:
        yield f"  {v.policy}: {_standings(o, v.policy)}"
    if o.dominated_by:
        yield f"  dominated by {', '.join(o.dominated_by[:SHOWN])}"
    for price in o.prices[:SHOWN]:
        yield f"  {price.what}: saves {money(price.value)} ({price.how})"
    for text in o.must_be_true[:SHOWN]:
        yield f"  must be true: {text}"
    if len(o.must_be_true) > SHOWN:
        yield f"  and {len(o.must_be_true) - SHOWN:,} more that must be true"


def _standings(o: Option, policy: str) -> str:
    """Years with one status together; of the last, the rules that are not kept."""
    years = next(v.years for v in o.verdicts if v.policy == policy)
    parts: list[tuple[int, int, str]] = []
    for s in years:
        if parts and parts[-1][2] == s.status:
            parts[-1] = (parts[-1][0], s.year, s.status)
        else:
            parts.append((s.year, s.year, s.status))
    said = "; ".join(f"{a if a == b else f'{a} to {b}'} {status}" for a, b, status in parts)
    broken = sorted(rule for rule, status in years[-1].rules.items() if status == "violation") if years else []
    return said + (f" ({', '.join(broken[:SHOWN])})" if broken else "")


def _frontier(cells: list[Cell]) -> Iterator[str]:
    if not cells:
        return
    years = sorted({c.by for c in cells})
    yield ""
    yield "cap on every access network, by year: cost (their traffic-years left)"
    yield f"{'':8}" + "".join(f"{year:>26}" for year in years)
    for cap in dict.fromkeys(c.cap for c in cells):
        row = {c.by: c for c in cells if c.cap == cap}
        yield f"{cap:7.0%} " + "".join(f"{_cell(row[year]):>26}" for year in years)


def _cell(c: Cell) -> str:
    return f"{span(c.cost)} ({c.theirs:.2f})" if c.cost is not None else c.state


def _flips(flips: list[Flip]) -> Iterator[str]:
    if not flips:
        return
    yield ""
    yield "what turns an order"
    for f in flips[:12]:
        mark = "within the sources' range" if f.inside else "outside the sources' range" if f.at is not None else ""
        yield f"  {f.what} ({', '.join(f.options)}): {f.text}{f'; {mark}' if mark else ''}"
    if len(flips) > 12:
        yield f"  and {len(flips) - 12:,} more"
