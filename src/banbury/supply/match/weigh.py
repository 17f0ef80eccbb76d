"""One vulnerability against one component: everything that speaks for or against it, as reasons."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from banbury.model.supply import Component, KernelParts, Match, Parts, Reason, State
from banbury.supply import versions
from banbury.supply.feeds.query import Advisory, Exploited, Hit, Leaf, Probability, Stated
from banbury.supply.match import rank
from banbury.supply.match.code import applet_reason, function_reason, kernel_reason
from banbury.supply.match.conditions import Known, holds, target
from banbury.supply.match.reasons import reason, settled
from banbury.supply.products import products

#: The projects that publish a list of their own, by product: where it speaks, it is preferred.
VENDORS: Final = {"openssl": "openssl", "curl": "curl"}
#: Package managers of distributions that patch without changing the upstream version.
_DISTRIBUTIONS: Final = frozenset({"dpkg", "rpm", "apk"})
_KINDS: Final = {
    Stated.RANGE: "version-in-range",
    Stated.EXACT: "version-exact",
    Stated.EVERY: "version-every",
    Stated.NOT_STATED: "version-not-stated",
}
#: Reasons that show the vulnerable code to be there. A function that is there is not one: records also name what the
#: vulnerable code merely calls, which every program has.
_CODE_THERE: Final = frozenset({"applet-present", "kernel-file-built"})
_DOUBTS: Final = frozenset({"distribution-revision", "sources-disagree", "component-version-bracket"})


class Facts(Struct, frozen=True, kw_only=True):
    """All that is asked while one group of hits is weighed."""

    known: Known
    parts: Mapping[str, Parts]
    kernels: Mapping[str, KernelParts]
    files: Mapping[str, list[str]]
    spoken: Mapping[str, list[Advisory]]
    exploited: Mapping[str, Exploited]
    probable: Mapping[str, Probability]


def weigh(component: Component, vulnerability: str, hits: list[Hit], facts: Facts) -> Match | None:
    """One vulnerability against one component; ``None`` where what is known of its version excludes every hit."""
    hits = [hit for hit in hits if _possible(component, hit)]
    if not hits:
        return None
    reasons, conditional = _versions(component, hits, facts)
    reasons += conditional
    reasons += _vendor(component, vulnerability, hits, facts)
    text = max((hit.advisory.summary for hit in hits), key=len, default="")
    reasons += _package(component, vulnerability, hits)
    reasons += _code(component, vulnerability, text, facts)
    flags = sorted({flag for hit in hits for flag in hit.advisory.flags} | _version_flags(hits))
    reasons += [
        reason(flag, f"{flag}, says {_sources(hits, flag)}") for flag in ("disputed", "deferred") if flag in flags
    ]
    reasons += [
        reason(fact, f"{fact}, by the start-up files") for fact in ("started", "listens") if fact in component.facts
    ]
    state, justification = settled(reasons)
    if state is State.CANDIDATE and _shown(reasons, flags):
        state = State.AFFECTED
    made = Match(
        vulnerability=vulnerability,
        component=component.id,
        state=state,
        justification=justification,
        reasons=reasons,
        snapshots=sorted(
            {(hit.advisory.snapshot, f"{hit.advisory.source}: {hit.leaf.name} {hit.leaf.says}") for hit in hits}
        ),
        why="; ".join(dict.fromkeys(f"{hit.leaf.name} {hit.leaf.says}".strip() for hit in hits))[:400],
        aliases=sorted({a for hit in hits for a in (hit.advisory.id, *hit.advisory.aliases)} - {vulnerability}),
        summary=text,
        flags=flags,
        **_scores(vulnerability, hits, facts),  # type: ignore[arg-type]
    )
    return msgspec.structs.replace(made, rank=rank.rank(made, component), evidence=evidence(component, made))


def _possible(component: Component, hit: Hit) -> bool:
    """Whether a statement can hold for a component of which no version is known, only bounds or candidates."""
    if hit.wanted.key or hit.leaf.stated in (Stated.EVERY, Stated.NOT_STATED):
        return True
    bounds = [bound for item in component.identities if (bound := _bounds(item.low, item.high, hit.leaf))]
    if not bounds:
        return True
    return any(low < hit.leaf.high and hit.leaf.low < high for low, high in bounds)


def _bounds(low: str, high: str, leaf: Leaf) -> tuple[bytes, bytes] | None:
    scheme = versions.scheme_of(leaf.name)
    try:
        return (versions.key(low, scheme), versions.key(high, scheme)) if low and high else None
    except ValueError:
        return None


def _versions(component: Component, hits: list[Hit], facts: Facts) -> tuple[list[Reason], list[Reason]]:
    """The reasons that lie in versions and names, and those that lie in the configurations of the best hits."""
    found: dict[tuple[str, str], Reason] = {}
    for hit in hits:
        kind = _KINDS[Stated(hit.leaf.stated)]
        says = f"{hit.advisory.source}: {hit.leaf.name} {hit.leaf.says}".strip()
        found.setdefault(
            (kind, says),
            reason(kind, says, source=hit.advisory.source, name=hit.leaf.name, range=hit.leaf.says),
        )
    reasons = list(found.values())
    if not component.version:
        bounded = any(item.low or item.versions for item in component.identities)
        kind = "component-version-bracket" if bounded else "component-version-unknown"
        reasons.append(reason(kind, "no version of it is known for sure"))
    pairs = {hit.leaf.name for hit in hits if hit.leaf.name.startswith("cpe:")}
    first = f"cpe:{component.cpes[0]}" if component.cpes else _first(component.product)
    if pairs and first not in pairs:
        name = min(pairs)
        reasons.append(reason("alias", f"known there as {name}", name=name))
    return reasons, _conditions(hits, facts)


@cache
def _first(product: str) -> str:
    """The first of a product's CPE names: its usual one."""
    row = products().get(product)
    return next((f"cpe:{pair}" for pair in row.cpes), "") if row else ""


def _conditions(hits: list[Hit], facts: Facts) -> list[Reason]:
    """What the configurations say. One that holds without doubt settles it; then one that cannot be told."""
    judged = [_condition(hit, facts) for hit in hits]
    for wish in (True, None, False):
        chosen = [reasons for value, reasons in judged if value is wish]
        if chosen:
            unique = {(item.kind, item.says): item for reasons in chosen for item in reasons}
            return list(unique.values())
    return []


def _condition(hit: Hit, facts: Facts) -> tuple[bool | None, list[Reason]]:
    narrowed = target(hit.leaf.narrowed, facts.known) if hit.leaf.narrowed else True
    if narrowed is False:
        return False, [reason("narrowed-absent", f"only where {hit.leaf.narrowed}", needs=hit.leaf.narrowed)]
    reasons = []
    if narrowed is None:
        reasons.append(reason("narrowed-unknown", f"only where {hit.leaf.narrowed}", needs=hit.leaf.narrowed))
    if hit.configuration is None:
        return narrowed, reasons
    value, unknown = holds(hit.configuration, hit.leaf, facts.known)
    needs = ", ".join(unknown[:6]) + (f" and {len(unknown) - 6} more" if len(unknown) > 6 else "")
    if value is False:
        return False, [reason("running-on-absent", "what it must run on or with is not in the release")]
    if value is None:
        reasons.append(reason("running-on-unknown", f"not known to be there: {needs}", needs=needs))
        return None, reasons
    reasons.append(reason("running-on-present", "what it must run on or with is in the release"))
    return narrowed, reasons


def _vendor(component: Component, vulnerability: str, hits: list[Hit], facts: Facts) -> list[Reason]:
    """The project's own list against the others', where both speak of the vulnerability."""
    vendor = VENDORS.get(component.product)
    speaking = {item.source for item in facts.spoken.get(vulnerability, ()) if "rejected" not in item.flags}
    if vendor is None or vendor not in speaking or not component.version:
        return []
    counted = {hit.advisory.source for hit in hits}
    others = sorted(counted - {vendor})
    if vendor not in counted:
        says = f"{vendor}'s own list does not count {component.version} among the affected; {', '.join(others)} does"
        return [
            reason("vendor-excludes", says, vendor=vendor, version=component.version),
            reason("sources-disagree", says, count=" ".join(others), deny=vendor),
        ]
    return []


def _package(component: Component, vulnerability: str, hits: list[Hit]) -> list[Reason]:
    names = {vulnerability} | {hit.advisory.id for hit in hits} | {a for hit in hits for a in hit.advisory.aliases}
    named = sorted(names & set(component.patched))
    if named:
        says = f"package data of {component.manager or 'the component'} name {named[0]} as fixed"
        return [reason("backported-patch", says, package=component.package_version, named=named[0])]
    if component.manager in _DISTRIBUTIONS:
        says = f"{component.package_version or component.version} is the distribution's own revision"
        return [reason("distribution-revision", says, manager=component.manager, version=component.package_version)]
    return []


def _code(component: Component, vulnerability: str, text: str, facts: Facts) -> list[Reason]:
    found: list[Reason | None] = []
    if component.id in facts.kernels:
        kernel = facts.kernels[component.id]
        found.append(kernel_reason(facts.files.get(vulnerability, []), kernel))
        found.append(function_reason(text, kernel))
    elif component.id in facts.parts:
        parts = facts.parts[component.id]
        if component.product == "busybox":
            found.append(applet_reason(text, parts))
        found.append(function_reason(text, parts))
    return [item for item in found if item is not None]


def _version_flags(hits: list[Hit]) -> set[str]:
    loose = all(hit.leaf.stated in (Stated.EVERY, Stated.NOT_STATED) for hit in hits)
    return {"no version stated"} if loose else set()


def _sources(hits: list[Hit], flag: str) -> str:
    return ", ".join(sorted({hit.advisory.source for hit in hits if flag in hit.advisory.flags}))


def _shown(reasons: list[Reason], flags: list[str]) -> bool:
    """Whether a candidate is affected: its version is in a range, the vulnerable code is seen, nothing is in doubt."""
    kinds = {item.kind for item in reasons}
    stated = bool(kinds & {"version-in-range", "version-exact"})
    return stated and bool(kinds & _CODE_THERE) and not kinds & _DOUBTS and "disputed" not in flags


def _scores(vulnerability: str, hits: list[Hit], facts: Facts) -> dict[str, object]:
    scored = max((hit.advisory for hit in hits), key=lambda item: (item.cvss, item.source == "nvd", item.number))
    listed, probable = facts.exploited.get(vulnerability), facts.probable.get(vulnerability)
    return {
        "published": min((hit.advisory.published for hit in hits if hit.advisory.published), default=""),
        "cvss": scored.cvss,
        "vector": scored.vector,
        "network": rank.networked(scored.vector),
        "epss": probable.score if probable else -1.0,
        "exploited": listed.added if listed else "",
    }


def evidence(component: Component, made: Match) -> str:
    """The digest that a decision is bound to: product, versions, vulnerability, state and the reasons' evidence. No
    snapshot is in it: a new feed that says the same changes nothing."""
    parts: list[object] = [component.product, component.version, component.package_version, made.vulnerability]
    parts += [str(made.state), sorted((item.kind, sorted(item.evidence.items())) for item in made.reasons)]
    return sha256(msgspec.json.encode(parts)).hexdigest()
