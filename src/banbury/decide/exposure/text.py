"""An exposure as lines of text, as many as a person reads; JSON holds all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from banbury.decide.exposure.law import Jurisdiction
from banbury.decide.exposure.record import (
    Applied,
    Change,
    Claim,
    Exposure,
    Loss,
    Outage,
    Picture,
    Reach,
    Readable,
)
from banbury.decide.policy.text import resting

Row = TypeVar("Row", Readable, Loss)

#: Rows shown of each kind.
CLAIMS = 16
ROWS = 12
LAWS = 12
#: Characters of a name, and steps of a path, that are shown.
NAME = 60
STEPS = 9
READ = {"primary": "read", "secondary": "as a secondary source says", "memory": "from memory"}
WORDS = {"read": "read", "steer": "steer", "off": "switch off"}


def lines(e: Exposure) -> Iterator[str]:
    """What is exposed; what precautions change; who can compel, apart; what is not known."""
    made_up = ", an inventory that was made up" if e.made_up else ""
    yield f"as of {e.as_of}, inventory {e.inventory[:16]}{made_up}"
    if e.problems:
        yield resting(e.problems)
    v = e.vendor
    more = f" and {len(v.entities) - 6:,} more" if len(v.entities) > 6 else ""
    yield f"vendor {_cut(v.id)} ({_cut(v.name)}), counted with its group: {', '.join(map(_cut, v.entities[:6]))}{more}"
    yield ""
    yield from _reach(e.before, e.after)
    yield from _readable(e.before, e.after)
    yield from _outages(e.before, e.after)
    yield from _claims(e)
    if e.precautions:
        yield ""
        yield "precautions"
        for one in e.precautions:
            yield from _precaution(one)
    yield from _jurisdiction(e.jurisdiction)
    if e.unknown:
        yield ""
        yield "what the inventory does not say"
        for row in e.unknown:
            yield f"  {row.count:>9,}  {row.what}; taken: {row.taken}"
    yield ""
    yield from e.limits


def _cut(text: str) -> str:
    return text if len(text) <= NAME else f"{text[:NAME]}…"


def _arrow(before: str, after: str | None) -> str:
    return before if after is None else f"{before} -> {after}" if after != before else f"{before} -> same"


def _reach(before: Picture, after: Picture | None) -> Iterator[str]:
    yield "elements: made by it; over which it could hold control, or only a tap, or only a view"
    later = {r.operator: r for r in after.reach} if after else {}
    for row in before.reach[:ROWS]:
        now = later.get(row.operator)
        then = None if after is None else _figures(now) if now else "nothing"
        yield f"  {_cut(row.operator) or 'all':16} of {row.elements:,}: {_arrow(_figures(row), then)}"
    yield from _more(len(before.reach) - ROWS)


def _figures(row: Reach) -> str:
    return f"{row.supplied:,} made, {row.control:,} control, {row.tap:,} tap, {row.view:,} view"


def _more(left: int) -> Iterator[str]:
    if left > 0:
        yield f"  … {left:,} more (--json)"


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _range(low: float, high: float) -> str:
    return _percent(low) if _percent(low) == _percent(high) else f"{_percent(low)} to {_percent(high)}"


def _main(rows: list[Row]) -> list[Row]:
    """For each operator and network the rows of traffic, else of what there is; by share of what is at stake."""
    kept: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = (row.operator, row.network)
        if key not in kept or (row.metric == "traffic" and kept[key].metric != "traffic"):
            kept[key] = row
    return sorted(kept.values(), key=lambda r: (-r.high, -r.low, r.operator, r.network))


def _readable(before: Picture, after: Picture | None) -> Iterator[str]:
    rows = _main(before.readable)
    later = {(r.operator, r.network): r for r in _main(after.readable)} if after else {}
    if not rows:
        return
    yield ""
    yield "user traffic that could be read"
    for row in rows[:ROWS]:
        now = later.get((row.operator, row.network))
        then = _range(now.low, now.high) if now else None
        yield f"  {_what(row)}: {_arrow(_range(row.low, row.high), then)}{_covered(row)}"
    yield from _more(len(rows) - ROWS)


def _what(row: Readable | Loss) -> str:
    return f"{_cut(row.operator)} {row.network} {row.metric}"


def _covered(row: Readable | Loss) -> str:
    return "" if row.covered > 0.999 else f" (of the {_percent(row.covered)} accounted for)"


def _outages(before: Picture, after: Picture | None) -> Iterator[str]:
    later = {o.case: o for o in after.outages} if after else {}
    for outage in before.outages:
        now = later.get(outage.case)
        yield ""
        counts = f"{outage.elements_off:,} elements, {outage.fallen:,} more fall with them"
        then = f"{now.elements_off:,} elements, {now.fallen:,} more fall with them" if now else None
        yield f"lost if {outage.title}: {_arrow(counts, then)}"
        if _repeats(before, outage) and (now is None or after is None or _repeats(after, now)):
            yield "  as above"
            continue
        rows = _main(outage.losses)
        others = {(r.operator, r.network): r for r in _main(now.losses)} if now else {}
        for row in [r for r in rows if r.high > 0][:ROWS]:
            other = others.get((row.operator, row.network))
            then = _range(other.low, other.high) if other else None
            yield (
                f"  {_what(row)}: {_arrow(_range(row.low, row.high), then)}{_covered(row)}; "
                f"cells {row.elements_lost:,} of {row.elements:,}; "
                f"dark {row.squares_lost:,} of {row.squares:,} squares{_worst(row)}"
            )
        if not any(r.high > 0 for r in rows):
            yield "  nothing that is counted"
        yield from _more(sum(r.high > 0 for r in rows) - ROWS)


def _repeats(picture: Picture, outage: Outage) -> bool:
    return outage is not picture.outages[0] and outage.losses == picture.outages[0].losses


def _worst(row: Loss) -> str:
    if row.core > 0:
        gone = [f"{name} {bad:,} of {there:,}" for name, bad, there in row.pools if bad == there]
        return f"; no core left: {', '.join(gone[:4])}"
    named = [a for a in row.areas if a.lost > 0 and a.share > 0][:2]
    told = ", ".join(f"{_cut(a.region) or '(no region)'} {_percent(a.lost / a.share)}" for a in named)
    return f"; most in {told}" if told else ""


def _path(claim: Claim) -> str:
    steps = [f"-{s.kind}{'*' if s.attack else ''}-> {_cut(s.target)}" for s in claim.path]
    if len(steps) > STEPS:
        steps = [*steps[:4], f"… {len(steps) - STEPS + 1} steps …", *steps[-(STEPS - 5) :]]
    return f"{'… ' if claim.cut_short else ''}{_cut(claim.path[0].source)} " + " ".join(steps)


def _claims(e: Exposure) -> Iterator[str]:
    yield ""
    total = len(e.before.claims) + e.before.claims_more
    sure = sum(c.by_design > 0 for c in e.before.claims)
    yield (
        f"{total:,} claims, {sure:,} of them over some way that needs no weakness; the gravest, each with a "
        "shortest path (* needs a weakness in what it reaches)"
    )
    state = {c.claim: c for c in e.changes}
    later = {c.id: c for c in e.after.claims} if e.after else {}
    shown = _spread(e.before.claims, state)
    for claim in shown:
        ways = f", {claim.ways:,} other ways in" if claim.ways else ""
        yield (
            f"  {_cut(claim.operator)}: {WORDS[claim.capability]} {claim.data} at {claim.function} "
            f"({claim.elements:,} of {claim.of:,}{ways})"
        )
        yield f"    {_path(claim)}"
        change = state.get(claim.id)
        if change is not None:
            by = f" by {', '.join(change.by)}" if change.by else ""
            yield f"    -> {change.state}{by}" + (f", {change.after:,} of {claim.of:,} left" if change.after else "")
            if change.state in {"another way", "reduced"} and change.by and claim.id in later:
                yield f"    {_path(later[claim.id])}"
    yield from _more(total - len(shown))
    if e.changes:
        counts = {s: sum(c.state == s for c in e.changes) for s in ("cut", "reduced", "another way", "remains")}
        yield "  of all claims: " + ", ".join(f"{n:,} {s}" for s, n in counts.items())


def _spread(claims: list[Claim], state: dict[str, Change]) -> list[Claim]:
    """The gravest claim of each class, and where there are precautions of each fate that claims of the class have."""
    first: dict[tuple[str, str], Claim] = {}
    for claim in claims:
        change = state.get(claim.id)
        first.setdefault((claim.data, change.state if change else ""), claim)
    return list(first.values())[:CLAIMS]


def _precaution(one: Applied) -> Iterator[str]:
    yield f"  {one.id}: {one.state}; {one.title}"
    if one.cuts:
        yield "    cuts: " + ", ".join(f"{n:,} {what}" for what, n in one.cuts.items())
    for row in one.not_applied:
        named = ", ".join(map(_cut, row.examples[:3]))
        yield f"    not applied to {row.count:,} {row.what}: {row.why} ({named}{', …' if row.count > 3 else ''})"
    if one.cuts:
        yield "    needs: " + "; ".join(one.needs)
    yield f"    asked for by: {one.source} ({READ[one.read]})"


def _jurisdiction(j: Jurisdiction) -> Iterator[str]:
    yield ""
    yield "ownership and law, apart from all of the above"
    for owner in j.owners[:ROWS]:
        below = f", owned by {_cut(owner.parent)}" if owner.parent else ""
        yield (
            f"  {_cut(owner.id)} [{owner.role}]: {owner.country or 'country not said'}{below}; "
            f"made {owner.supplies:,}, supports {owner.supports:,} ({_cut(owner.asserted_by)}, {owner.as_of})"
        )
    yield from _more(len(j.owners) - ROWS)
    for law in j.laws[:LAWS]:
        mark = "" if law.read == "primary" else f" ({READ[law.read]})"
        yield f"  {law.country} {law.law}, {law.clause}, {law.date}: {law.by} -> {law.who}: {law.duty}{mark}"
    yield from _more(len(j.laws) - LAWS)
    for country in j.countries_without:
        yield f"  {country}: no law entered here, which does not say that there is none"
    if j.unknown:
        yield f"  country not said: {', '.join(map(_cut, j.unknown[:ROWS]))}"
