"""Matches as lines of text and as JSON, with the digest of everything that they were made of."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec
from msgspec import structs

from banbury.model.supply import Match, State
from banbury.present.text import counted
from banbury.present.vex.assessment import state
from banbury.supply import products
from banbury.supply.feeds.status import ages, today, warnings
from banbury.supply.match.reasons import digest as reasons_digest
from banbury.supply.match.rematch import Difference, Rematched

SCHEMA: Final = "banbury/vulnerabilities/v1"
#: Matches listed for one release.
LISTED: Final = 40


def document(found: list[Rematched]) -> dict[str, object]:
    """The whole result. ``inputs`` are the SHA-256 of what it is a function of."""
    loaded = {item.sha256: item for one in found for item in one.matched.snapshots}
    # neither when nor in which order they were imported: that says nothing of what is in them
    snapshots = {digest: structs.replace(loaded[digest], imported="") for digest in sorted(loaded)}
    return {
        "schema": SCHEMA,
        "inputs": {
            "feeds": {digest: item.name for digest, item in snapshots.items()},
            "products": products.digest(),
            "reasons": reasons_digest(),
            "rules": sorted({one.inventory.rules for one in found}),
            "knowledge": sorted({one.inventory.knowledge for one in found}),
        },
        "snapshots": list(snapshots.values()),
        # how old each is depends on the day of reading; its newest record does not
        "newest": {f"{one.kind}: {one.feed}": one.newest for one in ages(snapshots.values(), "")},
        "releases": [
            {
                "release": one.inventory.release,
                "label": one.inventory.label,
                "engine": one.matched.engine,
                "components": len(one.inventory.components),
                "unmatched": one.matched.unmatched,
                "difference": one.difference,
                "matches": one.matched.matches,
            }
            for one in found
        ],
    }


def encode(found: list[Rematched]) -> bytes:
    """The result as JSON: the same inputs and decisions give the same bytes."""
    return msgspec.json.format(msgspec.json.encode(document(found)), indent=2) + b"\n"


def lines(one: Rematched, as_of: str = "") -> list[str]:
    """One release: counts, what changed, and the matches to look at first. ``as_of``: the day on which the feeds are
    called old or not, today without one."""
    matches = one.matched.matches
    counts = Counter(str(state(item)) for item in matches)  # an analyst's decision counts, as it does in the report
    told = ", ".join(f"{counts[each]} {each}" for each in State if counts[each]) or "none"
    out = [one.inventory.label, f"  {counted(len(one.inventory.components), 'component')}; {told}"]
    if one.matched.unmatched:
        number = counted(len(one.matched.unmatched), "component")
        out.append(f"  of {number} no feed speaks by any known name: nothing is said of them")
    out += [f"  OLD FEED {says}" for says in warnings(ages(one.matched.snapshots, as_of or today()))]
    out += _changes(one.difference)
    out += [_line(item) for item in matches[:LISTED]]
    if len(matches) > LISTED:
        out.append(f"  and {len(matches) - LISTED} more")
    return out


def _changes(found: Difference) -> list[str]:
    if found.first:
        return ["  matched for the first time"]
    told = f"  since last time: {len(found.new)} new, {len(found.gone)} gone, {len(found.changed)} changed"
    if found.engine:
        told += "; this version of the program matches in another way"
    if not found.by and not found.without:
        return [told + " (the feeds are the same)"]
    return [told, *(f"    by {name}" for name in found.by[:8])]


def _line(item: Match) -> str:
    marks = []
    if item.exploited:
        marks.append(f"exploited since {item.exploited}")
    if item.epss >= 0:
        marks.append(f"EPSS {item.epss:.3f}")
    if item.cvss >= 0:
        marks.append(f"CVSS {item.cvss:.1f}")
    marks += item.flags
    if item.decision is not None:
        stale = ", stale: the evidence changed" if item.decision.stale else ""
        marks.append(f"{item.decision.who} decided: {item.decision.state}{stale}")
    kinds = ", ".join(dict.fromkeys(reason.kind for reason in item.reasons))
    component = item.component.removesuffix("@")  # of no known version
    return f"  {item.vulnerability}  {component}  {item.state}  [{'; '.join(marks) or 'not scored'}]  {kinds}"
