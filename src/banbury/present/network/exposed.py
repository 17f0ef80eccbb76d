"""A vendor's exposure for the page: what it could do before and after, drawn and in tables."""

from __future__ import annotations

from typing import Final

import msgspec
from markupsafe import Markup

from banbury.decide.exposure.record import CLASSES, Area, Change, Claim, Exposure, Loss, Outage, Step
from banbury.present.network import charts, paths
from banbury.present.text import clip

#: Rows of the page's tables.
CLAIMS: Final = 200
LOSSES: Final = 24


class Row(msgspec.Struct, frozen=True):
    """A claim before, and what became of it."""

    claim: Claim
    change: Change | None


class Lost(msgspec.Struct, frozen=True):
    """One network's loss before, and after where there is an after. ``hit``: regions in which something is lost, where
    that is what tells; ``gone``: parts of the core of which nothing is left, and with them the network everywhere."""

    before: Loss
    after: Loss | None
    hit: list[Area]
    gone: list[str]


class Off(msgspec.Struct, frozen=True):
    """One case of an outage, before and after."""

    before: Outage
    after: Outage | None
    losses: list[Lost]


class Exposed(msgspec.Struct, frozen=True):
    """What the page shows of an exposure."""

    exposure: Exposure
    drawn: list[paths.Drawn]
    readable: Markup | None
    rows: list[Row]
    left_out: int
    outages: list[Off]


def exposed(found: Exposure) -> Exposed:
    """The pictures and tables of ``found``."""
    changes = {change.claim: change for change in found.changes}
    rows = [Row(claim, changes.get(claim.id)) for claim in found.before.claims]
    after = found.after
    later = {outage.case: outage for outage in after.outages} if after else {}
    return Exposed(
        found,
        paths.pictures(found.before, after),
        charts.readable(found.before.readable, after.readable if after else None),
        rows[:CLAIMS],
        len(rows) - len(rows[:CLAIMS]) + found.before.claims_more,
        [_off(outage, later.get(outage.case)) for outage in found.before.outages],
    )


def _off(before: Outage, after: Outage | None) -> Off:
    later = {(x.operator, x.network, x.metric): x for x in after.losses} if after else {}
    losses = [_lost(x, later.get((x.operator, x.network, x.metric))) for x in before.losses[:LOSSES]]
    return Off(before, after, losses)


def _lost(before: Loss, after: Loss | None) -> Lost:
    if before.core > 0:
        return Lost(
            before, after, [], [f"{name} {bad:,} of {all_:,}" for name, bad, all_ in before.pools if bad == all_]
        )
    return Lost(before, after, [a for a in before.areas if a.lost > 0 and a.share > 0], [])


def way(path: list[Step]) -> str:
    """A path in words: names and relations, the last a class of data; a star marks a step that needs a weakness."""
    parts = [clip(path[0].source, 60)] if path else []
    for step in path:
        target = CLASSES.get(step.target, step.target) if step.kind == "holds" else step.target
        parts.append(f"→ {step.kind}{'*' if step.attack else ''} → {clip(target, 60)}")
    return " ".join(parts)
