"""Who says what of a version: where two sources of one vulnerability do not agree, both are told, and which decided.

A *voice* is a source (``nvd``, ``nvd-overrides``, ``cve``, ``osv``…), or who speaks in a part of another's record
(CISA's container in a record of the CVE list). A voice that gives ranges of a product and none that holds the version
denies it. That alone clears nothing: a CNA that forgot a branch looks the same. What clears is a project's own list, or
the distribution that the package is from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from banbury.model.supply import Component, Reason
from banbury.supply.feeds.query import TOP, Hit, Leaf, Said, Stated
from banbury.supply.match.conditions import key_of, names_of
from banbury.supply.match.reasons import reason

_BOUNDED: Final = frozenset({Stated.RANGE, Stated.EXACT})
_TOLD: Final = 3
#: A commit in a version's place, which CISA's container copies from the kernel's records.
_COMMIT: Final = re.compile(r"-?[0-9a-f]{12,40}\Z")


def voice_of(hit: Hit) -> str:
    """Who makes a statement."""
    return hit.leaf.voice or hit.advisory.source


def ends_differ(hits: Sequence[Hit]) -> list[Reason]:
    """Where several voices count a version, and do not agree on the first that is no longer affected."""
    ends: dict[str, Leaf] = {}
    for hit in hits:
        if hit.leaf.stated == Stated.RANGE:
            voice = voice_of(hit)
            if voice not in ends or ends[voice].high < hit.leaf.high:
                ends[voice] = hit.leaf
    if len({leaf.high for leaf in ends.values()}) < 2:
        return []
    told = {voice: leaf.says or "no end" for voice, leaf in sorted(ends.items())}
    says = "they count this version alike, and differ in where it ends: "
    return [reason("ranges-differ", says + "; ".join(f"{voice}: {text}" for voice, text in told.items()), **told)]


def denied(component: Component, hits: Sequence[Hit], beside: Sequence[Said], vendor: str) -> list[Reason]:
    """What other voices say against a version that the hits count. ``vendor``: the source of the project's own list,
    whose word is a reason of its own."""
    if not component.version:
        return []
    counting = sorted({voice_of(hit) for hit in hits})
    rejecting = sorted({said.source for said in beside if said.leaf is None} - set(counting))
    denying = {
        voice: leaves
        for voice, leaves in sorted(_voices(component, beside).items())
        if voice not in counting and voice != vendor and not _holds(component, leaves)
    }
    found = []
    if rejecting:
        says = f"{', '.join(rejecting)} rejects the record as a whole; {', '.join(counting)} counts it, which decided"
        found.append(reason("source-rejects", says, rejects=" ".join(rejecting), decided=" ".join(counting)))
    if denying:
        held = "; ".join(dict.fromkeys(f"{voice_of(hit)}: {hit.leaf.says or '*'}" for hit in hits[:_TOLD]))
        against = "; ".join(f"{voice}: {_ranges(leaves)}" for voice, leaves in denying.items())
        loose = all(hit.leaf.stated not in _BOUNDED for hit in hits)
        counts = "states no version that can be ordered" if loose else f"counts {component.version}"
        says = f"{held} {counts}, which decided; {against} does not count it"
        words = {"count": " ".join(counting), "deny": " ".join(denying), "decided": " ".join(counting)}
        found.append(reason("sources-disagree", says, **words))
    return found


def _voices(component: Component, beside: Sequence[Said]) -> Mapping[str, list[Leaf]]:
    """The bounded statements of each voice on this component's names. A kernel stream's list speaks of no other."""
    stream = re.compile(re.escape("kernel-" + ".".join(component.version.split(".")[:2])) + r"(?![0-9])")
    names = names_of(component)
    found: dict[str, list[Leaf]] = {}
    for said in beside:
        leaf = said.leaf
        if (
            leaf is None
            or leaf.name not in names
            or (said.source.startswith("kernel-") and not stream.match(said.source))
        ):
            continue
        if not _COMMIT.match(leaf.says):
            found.setdefault(leaf.voice or said.source, []).append(leaf)
    return {voice: leaves for voice, leaves in found.items() if all(leaf.stated in _BOUNDED for leaf in leaves)}


def _holds(component: Component, leaves: Sequence[Leaf]) -> bool:
    """Whether any statement holds; one whose name gives the version no place in its order cannot be told."""
    keys = [(leaf, key_of(component, leaf.name)) for leaf in leaves]
    return any(not key or leaf.holds(key) for leaf, key in keys)


def _ranges(leaves: Sequence[Leaf]) -> str:
    told = list(dict.fromkeys(leaf.says or ("*" if leaf.high == TOP else "a range") for leaf in leaves))
    if len(leaves) == 1 and leaves[0].stated == Stated.EXACT:
        return f"{told[0]} alone"
    return ", ".join(told[:_TOLD]) + (f" and {len(told) - _TOLD} more" if len(told) > _TOLD else "")
