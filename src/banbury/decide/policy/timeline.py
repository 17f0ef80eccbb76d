"""Capped shares over the years, as the inventory plans them, against what each cap allows and by when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from banbury.decide.network import Network
from banbury.decide.policy import pack as model
from banbury.decide.policy.assess import assess
from banbury.decide.policy.pack import Pack

#: Years shown before the date, after the last deadline, and at most.
BEFORE, AFTER, MOST = 2, 1, 16


class Point(msgspec.Struct, frozen=True):
    """A capped share (0 to 1) on a day. ``due``: the last day on which more than ``limit`` is no breach."""

    policy: str
    rule: str
    subject: str
    day: dt.date
    share: float
    limit: float
    due: dt.date | None


def timeline(network: Network, packs: Sequence[Pack]) -> list[Point]:
    """The shares on the network's date and at the ends of the years around it; the network keeps its date.

    A projection of what the inventory says is installed and planned: nothing that it does not say is assumed.
    """
    capped = [
        msgspec.structs.replace(pack, rules=tuple(r for r in pack.rules if isinstance(r, model.ShareCap)))
        for pack in packs
    ]
    capped = [pack for pack in capped if pack.rules]
    if not capped:
        return []
    today = network.as_of
    dues = [rule.due.year for pack in capped for rule in pack.rules if rule.due]
    last = min(max([today.year + AFTER, *(year + AFTER for year in dues)]), today.year - BEFORE + MOST)
    days = sorted({today, *(dt.date(year, 12, 31) for year in range(today.year - BEFORE, last + 1))})
    found: list[Point] = []
    try:
        for day in days:
            network.at(day)
            always = [msgspec.structs.replace(p, dates=msgspec.structs.replace(p.dates, in_force=day)) for p in capped]
            found += [
                Point(row.policy, row.rule, row.subject, day, row.measured, row.limit, row.due)
                for row in assess(network, always).verdicts
                if row.measured is not None and row.limit is not None
            ]
    finally:
        network.at(today)
    return found
