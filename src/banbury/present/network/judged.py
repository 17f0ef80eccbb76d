"""A network held against policies, for the page: the rows that decide each policy, and its pictures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from markupsafe import Markup

from banbury.decide.network import Network
from banbury.decide.policy.assess import LISTED, stated
from banbury.decide.policy.geography import areas, ground, regional
from banbury.decide.policy.pack import Pack
from banbury.decide.policy.timeline import timeline
from banbury.decide.policy.verdict import ORDER, Assessment, Overall, Verdict
from banbury.present.network import charts

#: Rows that decide a policy, rows of a policy in the page, and names in a row.
DECIDING: Final = 5
ROWS: Final = 400
NAMES: Final = 12


class Caps(msgspec.Struct, frozen=True):
    """The pictures of one cap of one policy."""

    policy: str
    rule: str
    title: str
    limit: float
    heat: Markup | None
    time: Markup | None


class Policy(msgspec.Struct, frozen=True):
    """One policy on the page: its line, the rows that decide it, all its rows, its text and rules by id, and the
    sources of the rows, each once."""

    line: Overall
    deciding: list[Verdict]
    rows: list[Verdict]
    left_out: int
    pack: Pack | None
    sources: list[str]


class Judged(msgspec.Struct, frozen=True):
    """What the page shows of an assessment. ``mapped``: the policy and rule that the map is of."""

    assessment: Assessment
    policies: list[Policy]
    caps: list[Caps]
    map: Markup | None
    mapped: str


def judged(network: Network, packs: Sequence[Pack], listed: int | None = LISTED) -> Judged:
    """``network`` held against ``packs``, with pictures. Raises :class:`InputError` as :func:`assess` does."""
    found = stated(network, packs, listed=listed)
    picture, mapped = _map(network, packs)
    return Judged(found, _policies(found, packs), list(_caps(network, packs)), picture, mapped)


def decides(rows: Iterable[Verdict]) -> list[Verdict]:
    """The rows that decide a policy: the worst first, one of each rule before a second, furthest over its limit first.

    Rows that are met decide only where all are.
    """
    ranked = sorted(rows, key=lambda v: (ORDER.index(v.status), -_over(v), v.due or dt.date.max, v.rule, v.subject))
    if any(row.status != "met" for row in ranked):
        ranked = [row for row in ranked if row.status != "met"]
    seen: set[tuple[str, str]] = set()
    first: list[Verdict] = []
    second: list[Verdict] = []
    for row in ranked:
        (second if (row.status, row.rule) in seen else first).append(row)
        seen.add((row.status, row.rule))
    return sorted((first + second)[:DECIDING], key=lambda v: ORDER.index(v.status))


def _over(row: Verdict) -> float:
    if row.measured is None or row.limit is None:
        return 0.0
    # What may not be there at all counts as far over, and by how many.
    return row.measured - row.limit if row.unit.startswith("share") else 1.0 + row.measured / 1e9


def _policies(found: Assessment, packs: Sequence[Pack]) -> list[Policy]:
    made = []
    known = {pack.id: pack for pack in packs}
    for line in found.policies:
        own = [row for row in found.verdicts if row.policy == line.policy]
        own.sort(key=lambda row: ORDER.index(row.status))
        sources = list(dict.fromkeys(row.source for row in own[:ROWS]))
        made.append(Policy(line, decides(own), own[:ROWS], max(0, len(own) - ROWS), known.get(line.policy), sources))
    return made


def _caps(network: Network, packs: Sequence[Pack]) -> Iterable[Caps]:
    by_region = regional(network, packs)
    over_years = timeline(network, packs)
    for pack in packs:
        for rule in pack.rules:
            here = [s for s in by_region if (s.policy, s.rule) == (pack.id, rule.id)]
            then = [p for p in over_years if (p.policy, p.rule) == (pack.id, rule.id)]
            heat = charts.heat(here) if any(s.high > 0 for s in here) else None
            lines = charts.over_time(then)
            if heat or lines:
                limit = here[0].limit if here else then[0].limit
                yield Caps(pack.id, rule.id, rule.title, limit, heat, lines)


def _map(network: Network, packs: Sequence[Pack]) -> tuple[Markup | None, str]:
    for pack in packs:
        rule, cells = areas(network, pack)
        if rule is not None and (picture := charts.cells(cells, ground(network), rule.max)) is not None:
            return picture, f"{rule.title} ({pack.id}, {rule.id})"
    return None, ""
