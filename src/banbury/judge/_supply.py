"""What the supply chain shows, as facts that rules read: each with the place that it is about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from banbury.model.evaluation import Fact, Node
from banbury.model.supply import Claim, Component, Decision, FeedKind, Match, State, SupplyChain, Support

#: The facts, their fields with defaults.
SUPPLY_FACTS: dict[str, dict[str, object]] = {
    "supply.feeds": {"components": 0, "vulnerabilities": 0, "exploited": 0, "newest": ""},
    "supply.match": {
        "vulnerability": "",
        "component": "",
        "product": "",
        "version": "",
        "state": "",
        "exploited": "",
        "epss": -1.0,
        "cvss": -1.0,
        "runs": "",
        "flags": [],
        "why": "",
    },
    "supply.support": {
        "component": "",
        "product": "",
        "version": "",
        "claim": "",
        "confidence": "",
        "ended": "cannot tell",
        "end": "",
        "when": "",
        "within": False,
        "maintained": False,
        "strongest": True,
        "source": "",
        "runs": "",
    },
    "supply.discrepancy": {"kind": "", "name": "", "declared": "", "found": "", "says": ""},
    "supply.disagreement": {"product": "", "says": ""},
}


def supply_facts(supply: SupplyChain, nodes: list[Node]) -> Iterator[tuple[int, Fact]]:
    """Each fact with the node that it is of: the first place where a component was seen."""
    if not nodes:
        return
    places: dict[str, int] = {}
    for node in nodes:
        places.setdefault(node.where, node.id)
    components = {c.id: c for c in supply.inventory.components}
    yield 0, _feeds(supply)
    for match in supply.matches:
        if (component := components.get(match.component)) is not None:
            yield _place(component, places), {**_match(match, component), **_shown(component)}
    for fact, component in _support(supply, components):
        yield _place(component, places), {**fact, **_shown(component)}
    for component in supply.inventory.components:
        for says in component.disagreements:
            stated: Fact = {"fact": "supply.disagreement", "product": component.product, "says": says}
            yield _place(component, places), {**stated, **_shown(component)}
    bills = {bill.sha256 for bill in supply.bills}
    declared = next((node.id for node in nodes if node.parent < 0 and node.sha256 in bills), 0)
    for found in supply.discrepancies:
        where = components.get(found.component)
        fields = {"kind": found.kind, "name": found.name, "declared": found.declared, "found": found.found}
        place = _place(where, places) if where else declared
        yield place, {"fact": "supply.discrepancy", **fields, "says": found.says, **(_shown(where) if where else {})}


def _feeds(supply: SupplyChain) -> Fact:
    records = {kind: sum(f.records for f in supply.feeds if f.kind is kind) for kind in FeedKind}
    newest = max((f.newest for f in supply.feeds if f.kind is FeedKind.VULNERABILITIES), default="")
    counts = {
        "components": len(supply.inventory.components),
        "vulnerabilities": records[FeedKind.VULNERABILITIES],
        "exploited": records[FeedKind.EXPLOITED],
    }
    return {"fact": "supply.feeds", **counts, "newest": newest}


def runs(component: Component) -> str:
    """How a component's code comes to run, as far as start-up files show: ``listens``, ``started``, or ``""``. A kernel
    always runs, and hears the network."""
    if component.type == "operating-system" and component.product == "linux":
        return "listens"
    for name in ("listens", "started"):
        if name in component.facts or f"loaded-by-{name.replace('listens', 'listening')}" in component.facts:
            return name
    return ""


def effective(match: Match) -> State:
    """A match's state, an analyst's decision that still holds before it."""
    decision: Decision | None = match.decision
    return decision.state if decision is not None and not decision.stale else match.state


def _match(match: Match, component: Component) -> Fact:
    return {
        "fact": "supply.match",
        "vulnerability": match.vulnerability,
        "component": match.component,
        "product": component.product,
        "version": component.version,
        "state": str(effective(match)),
        "exploited": match.exploited,
        "epss": match.epss,
        "cvss": match.cvss,
        "runs": runs(component),
        "flags": match.flags,
        "why": match.why,
    }


def _support(supply: SupplyChain, components: dict[str, Component]) -> Iterator[tuple[Fact, Component]]:
    maintained = {s.component for s in supply.support if s.ended is False}
    strongest: dict[str, Support] = {}
    for claim in sorted(supply.support, key=_strength):
        strongest.setdefault(claim.component, claim)
    for claim in supply.support:
        component = components.get(claim.component)
        if component is None:
            continue
        ended = {True: "yes", False: "no", None: "cannot tell"}[claim.ended]
        yield (
            {
                "fact": "supply.support",
                "component": claim.component,
                "product": component.product,
                "version": component.version,
                "claim": str(claim.claim),
                "confidence": claim.confidence,
                "ended": ended,
                "end": claim.end,
                "when": f" on {claim.end}" if claim.end else "",
                "within": claim.within,
                "maintained": claim.component in maintained,
                "strongest": strongest[claim.component] is claim,
                "source": claim.source,
                "runs": runs(component),
            },
            component,
        )


#: The claims that support has ended, the one that says most first; what is derived comes after what is stated.
_STRENGTH: Final = [Claim.ANNOUNCED, Claim.DEAD, Claim.DISTRIBUTION, Claim.SUPERSEDED, Claim.OLDER, Claim.CONTRACT]


def _strength(claim: Support) -> tuple[bool, bool, int]:
    return claim.ended is not True, claim.confidence != "stated", _STRENGTH.index(claim.claim)


def _place(component: Component, places: dict[str, int]) -> int:
    return next((places[i.where] for i in component.identities if i.where in places), 0)


def _shown(component: Component) -> Fact:
    """What shows the component: the bytes of its first identity at the place that is named."""
    first = next(iter(component.identities), None)
    if first is None:
        return {}
    at = [first.start, first.length] if first.start >= 0 else None
    return {"at": at, "text": first.matched}
