"""What the statements that hold for a component say, whatever the vulnerability is: reasons in versions and names, and
reasons in configurations.

Many vulnerabilities of a component rest on the same statements: what they come to is made once.
"""

from __future__ import annotations

from functools import cache

from banbury.model.supply import Component, Reason
from banbury.supply import versions
from banbury.supply.feeds.query import Hit, Leaf, Stated
from banbury.supply.match.conditions import Known, holds, target
from banbury.supply.match.reasons import reason
from banbury.supply.match.voices import voice_of
from banbury.supply.products import products

_KINDS = {
    Stated.RANGE: "version-in-range",
    Stated.EXACT: "version-exact",
    Stated.EVERY: "version-every",
    Stated.NOT_STATED: "version-not-stated",
}
#: Statements that hold for a component whatever its version.
LOOSE = frozenset({Stated.EVERY, Stated.NOT_STATED})


def possible(component: Component, hit: Hit) -> bool:
    """Whether a statement can hold for a component of which no version is known, only bounds or candidates."""
    if hit.wanted.key or hit.leaf.stated in LOOSE:
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


def begun(hits: list[Hit]) -> bool:
    """Whether a range with a beginning, or a version by itself, holds for a component. A range without a beginning is
    what remains where nobody found out when a flaw came in: the code may be younger than the component."""
    return any(hit.leaf.stated == Stated.EXACT or (hit.leaf.stated == Stated.RANGE and hit.leaf.low) for hit in hits)


def said(hit: Hit) -> str:
    """A statement as a sentence: who says it, of what name, in what bounds."""
    return f"{voice_of(hit)}: {hit.leaf.name} {hit.leaf.says}".strip()


def version_reasons(component: Component, hits: list[Hit]) -> list[Reason]:
    """The reasons that lie in versions and names."""
    found: dict[tuple[str, str], Reason] = {}
    for hit in hits:
        kind, says = _KINDS[Stated(hit.leaf.stated)], said(hit)
        if (kind, says) not in found:
            found[kind, says] = reason(kind, says, source=voice_of(hit), name=hit.leaf.name, range=hit.leaf.says)
    reasons = list(found.values())
    if not any(hit.wanted.key for hit in hits):
        bounded = any(item.low or item.versions for item in component.identities)
        kind = "component-version-bracket" if bounded else "component-version-unknown"
        reasons.append(reason(kind, "no version of it is known for sure"))
    pairs = {hit.leaf.name for hit in hits if hit.leaf.name.startswith("cpe:")}
    first = f"cpe:{component.cpes[0]}" if component.cpes else _first(component.product)
    if pairs and first not in pairs:
        name = min(pairs)
        reasons.append(reason("alias", f"known there as {name}", name=name))
    return reasons


@cache
def _first(product: str) -> str:
    """The first of a product's CPE names: its usual one."""
    row = products().get(product)
    return next((f"cpe:{pair}" for pair in row.cpes), "") if row else ""


def condition_reasons(hits: list[Hit], known: Known) -> list[Reason]:
    """What the configurations say. One that holds without doubt settles it; then one that cannot be told."""
    judged = [_condition(hit, known) for hit in hits]
    for wish in (True, None, False):
        chosen = [reasons for value, reasons in judged if value is wish]
        if chosen:
            unique = {(item.kind, item.says): item for reasons in chosen for item in reasons}
            return [*unique.values(), *_elsewhere(hits, [value for value, _ in judged])]
    return []


def _elsewhere(hits: list[Hit], values: list[bool | None]) -> list[Reason]:
    """Where a source says that it is only on something that is not there, and another does not."""
    denying = {voice_of(hit): hit.leaf.narrowed for hit, value in zip(hits, values, strict=True) if value is False}
    counting = sorted({voice_of(hit) for hit, value in zip(hits, values, strict=True) if value is not False})
    denying = {voice: only for voice, only in sorted(denying.items()) if voice not in counting}
    if not denying or not counting:
        return []
    told = "; ".join(f"{voice}: only where {only or 'something else is there'}" for voice, only in denying.items())
    says = f"{', '.join(counting)} counts it without the condition that another has, which decided; {told}"
    words = {"count": " ".join(counting), "deny": " ".join(denying), "decided": " ".join(counting)}
    return [reason("sources-disagree", says, **words)]


def _condition(hit: Hit, known: Known) -> tuple[bool | None, list[Reason]]:
    narrowed = target(hit.leaf.narrowed, known) if hit.leaf.narrowed else True
    if narrowed is False:
        return False, [reason("narrowed-absent", f"only where {hit.leaf.narrowed}", needs=hit.leaf.narrowed)]
    reasons = []
    if narrowed is None:
        reasons.append(reason("narrowed-unknown", f"only where {hit.leaf.narrowed}", needs=hit.leaf.narrowed))
    if hit.tree is None or (tree := hit.configuration) is None:
        return narrowed, reasons
    value, unknown = holds(tree, hit.leaf, known)
    needs = ", ".join(unknown[:6]) + (f" and {len(unknown) - 6} more" if len(unknown) > 6 else "")
    if value is False:
        return False, [reason("running-on-absent", "what it must run on or with is not in the release")]
    if value is None:
        reasons.append(reason("running-on-unknown", f"not known to be there: {needs}", needs=needs))
        return None, reasons
    reasons.append(reason("running-on-present", "what it must run on or with is in the release"))
    return narrowed, reasons
