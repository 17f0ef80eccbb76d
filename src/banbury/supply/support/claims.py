"""What is claimed of the support of each component, on a day.

Two sources: the laboratory's own table, and the release cycles of the feeds (endoflife.date). Each claim stays a record
of its own with its source; what contradicts another is not settled here. The day of an end is the last day of support:
on that day it has not ended, on the next it has.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from msgspec import structs

from banbury.model.errors import InputError
from banbury.model.supply import Claim, Component, Support
from banbury.supply.support.cycles import Feeds, Store, scheme
from banbury.supply.support.distributed import by_distribution
from banbury.supply.support.lines import End, Releases, end_of
from banbury.supply.support.origin import hosts
from banbury.supply.support.table import STATED, UNVERIFIED, Row, rows


def support(
    components: Sequence[Component], as_of: str, *, store: Store | None = None, until: str = ""
) -> list[Support]:
    """Every claim on every component, in the components' order.

    ``as_of`` and ``until`` (the end of the product's declared support period, or ``""``) are ISO 8601 days; raises
    :class:`InputError` for anything else. A component without a claim is not in the answer: nothing is known of it.
    """
    day, last = _day(as_of), _day(until) if until else None
    feeds = Feeds(store)
    known = hosts(components)
    found: list[Support] = []
    for component in components:
        releases = feeds.releases(component)
        own = [row for row in rows(component.product) if _covers(row, component)]
        claims = [_from_row(row, component, releases, day) for row in own]
        claims = _told(_with_feed(claims, own, feeds.claim(component, day)))
        claims += by_distribution(component, known, feeds, day)
        found += [_dated(claim, component, releases, day, last) for claim in claims]
    return found


def unclaimed(components: Iterable[Component], claims: Iterable[Support]) -> list[str]:
    """The ids of components on whose support nothing is known."""
    known = {claim.component for claim in claims}
    return [component.id for component in components if component.id not in known]


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text[:40]!r} is not a date (write it as 2026-01-31)") from None


def _covers(row: Row, component: Component) -> bool:
    texts = [identity.matched for identity in component.identities] if row.seen else []
    return row.covers(component.version, component.package_version, scheme(component), texts)


def _with_feed(claims: list[Support], own: list[Row], listed: Support | None) -> list[Support]:
    """The table's claims and the feed's.

    A table that can tell says more of what is older than a feed lists than that it is older. A feed that says the same
    as the table is the newer source. Where the project's own words are that it mends its newest release alone, a cycle
    that goes on (SQLite's "3") says nothing of an older release in it.
    """
    told = any(claim.ended is not None for claim in claims)
    if listed is None or (listed.claim is Claim.OLDER and told):
        return claims
    passed = any(row.lines and row.confidence == STATED and claim.ended for row, claim in zip(own, claims, strict=True))
    if passed and listed.ended is False:
        return claims
    same = (listed.claim, listed.end)
    return [*(claim for claim in claims if not claim.end or (claim.claim, claim.end) != same), listed]


def _told(claims: list[Support]) -> list[Support]:
    """Without what says only that something newer exists, where another claim says when it took the version's place."""
    dated = any(claim.claim is Claim.SUPERSEDED and claim.end for claim in claims)
    return [
        claim
        for claim in claims
        if not (dated and claim.claim is Claim.SUPERSEDED and claim.ended is None and not claim.end)
    ]


def _from_row(row: Row, component: Component, releases: Releases, day: dt.date) -> Support:
    """What a row says on a day. One that is unverified asserts nothing."""
    ruled = bool(row.lines or row.months)
    end = end_of(row, component.version, releases, day.isoformat()) if ruled else _end(row, day)
    where = f" ({row.address}, read {row.read})" if row.read else ""
    since = f" The day in question was {end.since}; whether support ended then cannot be told." if end.since else ""
    return Support(
        component=component.id,
        claim=row.claim,
        ended=end.ended,
        end=end.end,
        branch=row.branch or _range(row),
        successor=row.successor or end.successor,
        source=f"{row.source}: {row.says}{since}{where}",
        source_date=row.source_date,
        confidence=row.confidence,
    )


def _end(row: Row, day: dt.date) -> End:
    """By the last day of support; one that says only that support has ended says so from the date of its document on,
    and nothing of the days before."""
    if row.end:
        ended = day.isoformat() > row.end
        if ended and row.minimum:
            return End(since=row.end)
        return End(ended=None if row.confidence == UNVERIFIED else ended, end=row.end)
    told = row.confidence != UNVERIFIED and bool(row.ended) and _written(row.source_date) <= day.isoformat()
    return End(ended=True if told else None)


def _written(date: str) -> str:
    """The last day on which a document of this date can have been written: some have a year only."""
    return f"{date}-12-31" if len(date) == 4 else date


def _range(row: Row) -> str:
    return " ".join(filter(None, (f">={row.low}" if row.low else "", f"<{row.high}" if row.high else "")))


def _dated(claim: Support, component: Component, releases: Releases, day: dt.date, last: dt.date | None) -> Support:
    """The claim with the version's age, and whether support ends within the declared support period: of one that has
    ended, or of which that cannot be told, this is not said."""
    branch = claim.branch if component.version.startswith(claim.branch) else ""
    ends = bool(last and claim.ended is False and claim.end and claim.end < last.isoformat())
    return structs.replace(
        claim,
        released=releases.day(component.version) if component.version else "",
        behind=releases.newer(component.version, day.isoformat(), branch) if component.version else -1,
        within=ends,
    )
