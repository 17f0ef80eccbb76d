"""What the distribution that a package is from promises for its release, whatever the project itself does.

A release's packages are mended for everybody until a day, and longer for who has a subscription: the second is a
contract, and says nothing of a product whose vendor has none.
"""

from __future__ import annotations

import datetime as dt

from msgspec import Struct, structs

from banbury.model.supply import Claim, Component, Support
from banbury.supply.support.cycles import Feeds
from banbury.supply.support.origin import NAMES, origin
from banbury.supply.support.table import STATED, Distribution, distributions, in_branch


class _Promise(Struct, frozen=True, kw_only=True):
    release: str
    end: str
    ended: bool | None
    paid: str
    source: str
    date: str


def by_distribution(component: Component, hosts: dict[str, set[str]], feeds: Feeds, day: dt.date) -> list[Support]:
    """The claims on a package. ``hosts``: the distributions in the inventory, each with its releases.

    The release is the one that the package's version names (``+deb11u4``), else the only one in the inventory. Where
    there are several, it cannot be told which one the package is from, nor whether support has ended. What is sold is
    told of where what everybody gets has ended.
    """
    name, releases = origin(component, hosts)
    found: list[Support] = []
    for release in sorted(releases):
        promise = _promise(name, release, feeds, day)
        if promise is None:
            continue
        promise = _exempted(promise, name, release, component, day)
        sure = len(releases) == 1
        found.append(_claim(component, promise, Claim.DISTRIBUTION, promise.end, promise.ended if sure else None))
        if promise.paid and promise.ended and sure:
            found.append(_claim(component, promise, Claim.CONTRACT, promise.paid, None))
    return found


def _promise(name: str, release: str, feeds: Feeds, day: dt.date) -> _Promise | None:
    """The feed's cycle, else the table's row."""
    feed, open_ = NAMES[name]
    cycle = feeds.cycle(feed, release)
    if cycle is None:
        return _row(name, release, day)
    public = open_ and bool(cycle.extended or cycle.extended_ended is not None)
    end = (cycle.extended if public else "") or ("" if public else cycle.eol)
    flag = cycle.extended_ended if public else cycle.ended
    return _Promise(
        release=cycle.cycle,
        end=end,
        ended=feeds.ended(cycle, end, flag, day),
        paid="" if public else cycle.extended,
        source=f"{cycle.source}: {cycle.product} {cycle.cycle} (snapshot sha256:{cycle.snapshot})",
        date=feeds.written.get(cycle.snapshot, ""),
    )


def _exempted(promise: _Promise, name: str, release: str, component: Component, day: dt.date) -> _Promise:
    """The promise as it is for a product that the release mends less long, or only in part."""
    rows = [row for row in distributions() if row.name == name and in_branch(release, row.release)]
    for exempt in (one for row in rows for one in row.exempt if one.product == component.product):
        if exempt.branch and not in_branch(component.version, exempt.branch):
            continue
        source = f"{exempt.source}: {exempt.says}"
        if exempt.end:
            return structs.replace(
                promise, end=exempt.end, ended=day.isoformat() > exempt.end, paid="", source=source, date=""
            )
        return structs.replace(promise, source=f"{promise.source}; {source}")
    return promise


def _row(name: str, release: str, day: dt.date) -> _Promise | None:
    held = [one for one in distributions() if one.name == name and in_branch(release, one.release)]
    one: Distribution | None = max(held, key=lambda row: len(row.release), default=None)
    if one is None:
        return None
    return _Promise(
        release=one.release,
        end=one.end,
        ended=day.isoformat() > one.end,
        paid=one.paid,
        source=f"{one.source} ({one.address}, read {one.read})",
        date=one.source_date,
    )


def _claim(component: Component, promise: _Promise, claim: Claim, end: str, ended: bool | None) -> Support:
    says = ": longer support, by subscription" if claim is Claim.CONTRACT else ""
    return Support(
        component=component.id,
        claim=claim,
        ended=ended,
        end=end,
        branch=promise.release,
        source=promise.source + says,
        source_date=promise.date,
        confidence=STATED,
    )
