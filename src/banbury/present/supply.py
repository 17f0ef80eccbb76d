"""The supply chain as reports show it: for a manager in a few figures, for an analyst down to the bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from banbury.judge._supply import effective
from banbury.model.evaluation import Evaluation, Node
from banbury.model.supply import (
    Claim,
    Component,
    Discrepancy,
    FeedKind,
    Identity,
    Match,
    Snapshot,
    Standing,
    State,
    SupplyChain,
    Support,
)
from banbury.present.text import counted, grouped
from banbury.supply.feeds.status import Feed, ages, days
from banbury.supply.match.reasons import reasons
from banbury.supply.reach import CONDITIONS

#: Which states leave something to do, the most pressing first.
OPEN: Final = (State.AFFECTED, State.CANDIDATE, State.ANALYST)
SETTLED: Final = (State.NOT_AFFECTED, State.FIXED)
_VERSIONS: Final = frozenset({"version-in-range", "version-exact", "version-every", "version-not-stated"})
_WARNED: Final = 6
_SHORT: Final = {
    "listens": "listens",
    "started": "started",
    "loaded-by-listening": "loaded by a listener",
    "loaded-by-started": "loaded at start",
    "webroot": "web root",
    "setuid": "setuid",
}


class FeedLine(Struct, frozen=True, kw_only=True):
    """A file that was imported. ``age``: days from its newest record to the evaluation's date, -1 where not dated."""

    feed: Snapshot
    age: int


class Evidence(Struct, frozen=True, kw_only=True):
    """One identity with its place, where the tree has it."""

    identity: Identity
    node: Node | None


class ComponentRow(Struct, frozen=True, kw_only=True):
    """A component: how it was identified, how it runs, what is known against it. ``counts`` are matches by state;
    ``anchor`` is unique in the page."""

    component: Component
    anchor: str
    name: str
    grade: str
    techniques: str
    conditions: list[tuple[str, str]]
    counts: dict[str, int]
    exploited: int
    ended: str
    evidence: list[Evidence]


class MatchRow(Struct, frozen=True, kw_only=True):
    """A match: ``state`` with an analyst's decision counted in, ``why`` what decides it, in words."""

    match: Match
    row: ComponentRow
    state: State
    why: str
    open: bool


class SupportRow(Struct, frozen=True, kw_only=True):
    """A claim on the end of support, with its component; ``says`` is when, in words."""

    claim: Support
    row: ComponentRow
    says: str
    pressing: bool


class SupplyView(Struct, frozen=True, kw_only=True):
    """Everything that the section shows. ``tiles``: number, text, anchor, whether it is a lack."""

    chain: SupplyChain
    matched: bool
    sentences: list[str]
    lacking: bool
    tiles: list[tuple[int, str, str, bool]]
    feeds: list[Feed]
    files: list[FeedLine]
    components: list[ComponentRow]
    matches: list[MatchRow]
    settled: list[MatchRow]
    support: list[SupportRow]
    discrepancies: list[tuple[Discrepancy, ComponentRow | None]]
    loose: list[tuple[str, list[Evidence]]]


def supply_view(evaluation: Evaluation) -> SupplyView | None:
    """The view of an evaluation's supply chain, ``None`` for an evaluation that has none."""
    chain = evaluation.supply
    if chain is None:
        return None
    places = {node.where: node for node in reversed(evaluation.nodes)}
    rows = _components(chain, places)
    by_id = {row.component.id: row for row in rows}
    matches = [_match(match, by_id[match.component]) for match in chain.matches if match.component in by_id]
    claims = [_support(claim, by_id[claim.component]) for claim in chain.support if claim.component in by_id]
    claims.sort(key=lambda c: (not c.pressing, c.claim.ended is not False, c.claim.end or "9"))
    open_ = [m for m in matches if m.open]
    feeds = ages(chain.feeds, evaluation.as_of)
    ended = {c.claim.component for c in claims if c.pressing}
    return SupplyView(
        chain=chain,
        matched=chain.matched,
        sentences=_sentences(chain, open_, rows, feeds),
        lacking=not chain.matched or bool(open_ or ended or chain.discrepancies),
        tiles=_tiles(chain, rows, open_, len(ended)),
        feeds=feeds,
        files=[FeedLine(feed=feed, age=days(feed.newest, evaluation.as_of)) for feed in chain.feeds],
        components=sorted(rows, key=_pressing),
        matches=open_,
        settled=[m for m in matches if not m.open],
        support=claims,
        discrepancies=[(d, by_id.get(d.component)) for d in chain.discrepancies],
        loose=_loose(chain, places),
    )


def open_states(chain: SupplyChain) -> dict[State, int]:
    """How many matches are in each state that leaves something to do, analysts' decisions counted in."""
    states = [effective(match) for match in chain.matches]
    return {state: states.count(state) for state in OPEN}


def _components(chain: SupplyChain, places: dict[str, Node]) -> list[ComponentRow]:
    by_component: dict[str, list[Match]] = {}
    for match in chain.matches:
        by_component.setdefault(match.component, []).append(match)
    ended = {s.component: _ended(s) for s in reversed(chain.support) if s.ended}
    maintained = {s.component for s in chain.support if s.ended is False}
    return [
        _component(
            component,
            f"c{number}",
            by_component.get(component.id, []),
            "" if component.id in maintained else ended.get(component.id, ""),
            places,
        )
        for number, component in enumerate(chain.inventory.components)
    ]


#: What is said of a component's support in one word, by the kind of claim.
_ENDED: Final = {
    Claim.ANNOUNCED: "ended",
    Claim.DEAD: "project dead",
    Claim.SUPERSEDED: "superseded",
    Claim.OLDER: "older than listed",
    Claim.DISTRIBUTION: "distribution ended",
    Claim.CONTRACT: "contract ended",
}


def _ended(claim: Support) -> str:
    return f"{_ENDED[claim.claim]} {claim.end}".strip()


def _component(
    component: Component, anchor: str, matches: list[Match], ended: str, places: dict[str, Node]
) -> ComponentRow:
    states = [effective(match) for match in matches]
    order = list(Standing)
    standing = min((i.standing for i in component.identities), key=order.index, default=Standing.HINT)
    return ComponentRow(
        component=component,
        anchor=anchor,
        name=_named(component),
        grade=str(standing) if component.version or standing is not Standing.ASSERTED else "present",
        techniques=", ".join(dict.fromkeys(str(i.technique) for i in component.identities)),
        conditions=[(_SHORT[fact], CONDITIONS[fact]) for fact in component.facts if fact in _SHORT],
        counts={str(state): states.count(state) for state in State},
        exploited=sum(bool(m.exploited) and s in OPEN for m, s in zip(matches, states, strict=True)),
        ended=ended,
        evidence=[Evidence(identity=i, node=places.get(i.where)) for i in component.identities],
    )


def _named(component: Component) -> str:
    if component.version:
        return f"{component.product} {component.version}"
    if any(i.snapshot for i in component.identities):
        return f"{component.product}, a snapshot between releases"
    versions = sorted({v for i in component.identities for v in i.versions})
    bounds = [i for i in component.identities if i.low or i.high]
    if bounds:
        return f"{component.product}, from {bounds[0].low or '?'} to below {bounds[0].high or '?'}"
    return (
        f"{component.product}, one of {', '.join(versions[:6])}"
        if versions
        else f"{component.product}, version not known"
    )


def _pressing(row: ComponentRow) -> tuple[int, int, int, int, str]:
    counts = row.counts
    return (
        -row.exploited,
        -counts[State.AFFECTED],
        -counts[State.CANDIDATE] - counts[State.ANALYST],
        not row.ended,
        row.component.id,
    )


def _match(match: Match, row: ComponentRow) -> MatchRow:
    state = effective(match)
    return MatchRow(match=match, row=row, state=state, why=_why(match, state), open=state in OPEN)


def _why(match: Match, state: State) -> str:
    """What decides a match's state, in words: an analyst, the reasons that make it so, or that there is none."""
    decision = match.decision
    if decision is not None and not decision.stale:
        return f"{decision.who}, {decision.when}: {decision.why}"
    table = reasons()
    made = [r.says for r in match.reasons if r.kind in table and table[r.kind].state is state]
    if state is State.AFFECTED:
        made = [r.says for r in match.reasons if r.kind not in _VERSIONS and r.kind not in ("started", "listens")]
    if made:
        return "; ".join(made)
    versions = [r.says for r in match.reasons if r.kind in _VERSIONS]
    return f"by its version alone ({versions[0]})" if versions else match.why


def _support(claim: Support, row: ComponentRow) -> SupportRow:
    pressing = (claim.ended is True and bool(row.ended)) or claim.within
    return SupportRow(claim=claim, row=row, says=_when(claim), pressing=pressing)


def _when(claim: Support) -> str:
    if claim.ended:
        return _ended(claim) if claim.claim is not Claim.OLDER else "older than what is listed, which has ended"
    if claim.within:
        return f"ends {claim.end}, before the product's support does"
    if claim.claim is Claim.CONTRACT:
        latest = f", until {claim.end} at the latest" if claim.end else ""
        return f"depends on the contract{latest}: ask for proof"
    if claim.end:
        return f"ends {claim.end}"
    return "goes on, no end given" if claim.ended is False else "cannot tell"


def _sentences(chain: SupplyChain, open_: list[MatchRow], rows: list[ComponentRow], feeds: list[Feed]) -> list[str]:
    if not chain.matched:
        nothing = "No vulnerability feed was loaded. Nothing in this report says anything about known vulnerabilities"
        return [f"{nothing} of the {counted(len(rows), 'component')} that were identified."]
    affected = sum(m.state is State.AFFECTED for m in open_)
    others = len(open_) - affected
    exploited = len({m.match.vulnerability for m in open_ if m.match.exploited})
    if not open_:
        first = "The feeds that were asked know of no open vulnerability in what was identified."
    else:
        shown = counted(affected, "known vulnerability is", "known vulnerabilities are")
        some = counted(others, "is a candidate", "are candidates")
        worst = counted(exploited, "is", "are") if exploited else "None is"
        first = (
            f"{shown if affected else 'No known vulnerability is'} shown to affect a component; "
            f"{some} by version that nothing here settles. {worst} known to be exploited."
        )
    told = len(rows) - len(chain.unmatched)
    asked = f"Of {counted(len(rows), 'component')}, {grouped(told)} are known to the feeds that were asked."
    return [first, f"{asked} {_ages(feeds)}"]


def _ages(feeds: list[Feed]) -> str:
    """How fresh the feeds are: each old one with its newest record, since one new feed hides no old one."""
    old = [feed for feed in feeds if feed.old]
    if old:
        told = ", ".join(f"{feed.feed} ({feed.newest})" for feed in old[:_WARNED])
        told += f" and {len(old) - _WARNED} more" if len(old) > _WARNED else ""
        are = "1 feed is old" if len(old) == 1 else f"{len(old)} feeds are old"
        return f"{are}, and what became known since is missing: {told}."
    dated = [feed.newest for feed in feeds if feed.newest and feed.kind is FeedKind.VULNERABILITIES]
    if not dated:
        return "None of them says how old it is."
    return f"No feed is old: the newest record of each on vulnerabilities is of {min(dated)} or later."


def _tiles(
    chain: SupplyChain, rows: list[ComponentRow], open_: list[MatchRow], ended: int
) -> list[tuple[int, str, str, bool]]:
    tiles = [(len(rows), "components identified", "components", False)]
    if chain.matched:
        tiles += [
            (sum(bool(m.match.exploited) for m in open_), "open and known to be exploited", "vulnerabilities", True),
            (sum(m.state is State.AFFECTED for m in open_), "shown to affect", "vulnerabilities", True),
            (sum(m.state is not State.AFFECTED for m in open_), "candidates, not settled", "vulnerabilities", False),
        ]
    tiles.append((ended, "out of support, or soon to be", "support", True))
    if chain.bills:
        tiles.append((len(chain.discrepancies), "declared otherwise than found", "declared", True))
    disagreeing = sum(bool(row.component.disagreements) for row in rows)
    return [*tiles, (disagreeing, "with versions that disagree", "components", True)]


def _loose(chain: SupplyChain, places: dict[str, Node]) -> list[tuple[str, list[Evidence]]]:
    titles = {
        Standing.DEPENDENCY: "What files were built against (no components by that)",
        Standing.HINT: "Hints, for a person",
        Standing.CANDIDATE: "Versions that fit no component",
    }
    found = []
    for standing, title in titles.items():
        listed = [
            Evidence(identity=i, node=places.get(i.where)) for i in chain.inventory.loose if i.standing is standing
        ]
        if listed:
            found.append((title, listed))
    return found


def bill_lines(chain: SupplyChain) -> Iterable[str]:
    """What was made of each bill of materials that was handed in."""
    for bill in chain.bills:
        if bill.refused:
            yield f"{bill.name} could not be read ({bill.refused}): nothing was compared with it"
        else:
            odd = f"; {'; '.join(bill.remarks[:5])}" if bill.remarks else ""
            yield f"{bill.name} ({bill.format}) declares {counted(bill.listed, 'component')}{odd}"
