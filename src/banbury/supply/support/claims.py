"""What is claimed of the support of each component, on a day.

Two sources: the laboratory's own table, and the release cycles of the feeds (endoflife.date, distro-info). Each claim
stays a record of its own with its source; what contradicts another is not settled here. The day of an end is the last
day of support: on that day it has not ended, on the next it has.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Protocol

from banbury.model.errors import InputError
from banbury.model.supply import Claim, Component, Support
from banbury.supply.feeds.query import Cycle, Release
from banbury.supply.products import products
from banbury.supply.support.table import STATED, UNVERIFIED, Row, days, in_branch, rows
from banbury.supply.versions import key, scheme_of

#: endoflife.date keeps the days of releases under a file's name, which is not always the product's.
_FILES: Final = {"linux": "linux-kernel"}
#: Distributions whose support covers their packages, by the namespace in a package URL: product in the inventory.
_DISTRIBUTIONS: Final = {"debian": "debian", "ubuntu": "ubuntu", "alpine": "alpine-linux"}


class Cycles(Protocol):
    """What is asked of the feed store (:class:`banbury.supply.feeds.store.FeedStore`)."""

    def cycles(self, product: str) -> list[Cycle]: ...
    def products(self, kind: str, identifier: str) -> list[str]: ...
    def releases(self, product: str) -> list[Release]: ...


def support(
    components: Sequence[Component], as_of: str, *, store: Cycles | None = None, until: str = ""
) -> list[Support]:
    """Every claim on every component, in the components' order.

    ``as_of`` and ``until`` (the end of the product's declared support period, or ``""``) are ISO 8601 days; raises
    :class:`InputError` for anything else. A component without a claim is not in the answer: nothing is known of it.
    """
    day, last = _day(as_of), _day(until) if until else None
    feeds = _Feeds(store, as_of)
    hosts: dict[str, set[str]] = {}
    for component in components:
        if component.version:
            hosts.setdefault(component.product, set()).add(component.version)
    found: list[Support] = []
    for component in components:
        own = [row for row in rows(component.product) if _covers(row, component)]
        claims = [_from_row(row, component, day) for row in own]
        listed = feeds.claim(component, day)
        # The table says more of what is older than a feed lists than that it is older; a feed that says the same as the
        # table is the newer source.
        if listed is not None and not (listed.claim is Claim.OLDER and claims):
            same = (listed.claim, listed.end)
            claims = [*(c for c in claims if not c.end or (c.claim, c.end) != same), listed]
        claims += _by_distribution(component, hosts, feeds, day)
        found += [_dated(claim, feeds.age(component, claim.branch), day, last) for claim in claims]
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


def _scheme(component: Component) -> str:
    named = (scheme_of(f"cpe:{pair}") for pair in component.cpes)
    return next((scheme for scheme in named if scheme), "")


def _covers(row: Row, component: Component) -> bool:
    return row.covers(component.version, component.package_version, _scheme(component))


def _from_row(row: Row, component: Component, day: dt.date) -> Support:
    """What a row says on a day. One that is unverified asserts nothing; one that says only that support has ended says
    so from the date of its document on, and nothing of the days before."""
    ended: bool | None = None
    if row.confidence != UNVERIFIED:
        if row.end:
            ended = day.isoformat() > row.end
        elif row.ended and _written(row.source_date) <= day.isoformat():
            ended = True
    return Support(
        component=component.id,
        claim=row.claim,
        ended=ended,
        end=row.end,
        branch=row.branch or _range(row),
        successor=row.successor,
        source=f"{row.source}: {row.says}",
        source_date=row.source_date,
        confidence=row.confidence,
    )


def _written(date: str) -> str:
    """The last day on which a document of this date can have been written: some have a year only."""
    return f"{date}-12-31" if len(date) == 4 else date


def _range(row: Row) -> str:
    return " ".join(filter(None, (f">={row.low}" if row.low else "", f"<{row.high}" if row.high else "")))


def _dated(claim: Support, age: tuple[str, int], day: dt.date, last: dt.date | None) -> Support:
    """The claim with the version's age, and whether it ends within the declared support period."""
    values = {field: getattr(claim, field) for field in claim.__struct_fields__}
    values["released"], values["behind"] = age
    values["within"] = bool(last and claim.end and day.isoformat() <= claim.end < last.isoformat())
    return Support(**values)


def _ended(cycle: Cycle, end: str, flag: bool | None, day: dt.date) -> bool | None:
    if end:
        return day.isoformat() > end
    return flag


def _by_distribution(component: Component, hosts: dict[str, set[str]], feeds: _Feeds, day: dt.date) -> list[Support]:
    """What the distribution that a package is from promises for its release."""
    namespace = component.purl.removeprefix("pkg:").split("/")[1:2]
    product = _DISTRIBUTIONS.get(namespace[0] if namespace else "")
    if product is None:
        return []
    claims = []
    for version in sorted(hosts.get(product, set()) | hosts.get(namespace[0], set())):
        cycle = feeds.cycle(product, version)
        if cycle is not None:
            end = cycle.extended or cycle.eol
            flag = cycle.extended_ended if cycle.extended_ended is not None else cycle.ended
            claim = _from_cycle(component, cycle, Claim.DISTRIBUTION, end, _ended(cycle, end, flag, day))
            claims.append(claim)
    return claims


def _from_cycle(component: Component, cycle: Cycle, claim: Claim, end: str, ended: bool | None) -> Support:
    return Support(
        component=component.id,
        claim=claim,
        ended=ended,
        end=end,
        branch=cycle.cycle,
        successor=cycle.latest if claim is Claim.ANNOUNCED else "",
        source=f"{cycle.source}: {cycle.product} {cycle.cycle}{_extended(cycle)} (snapshot sha256:{cycle.snapshot})",
        source_date=cycle.latest_released,
        confidence=STATED,
    )


def _extended(cycle: Cycle) -> str:
    return f", extended support until {cycle.extended}" if cycle.extended else ""


class _Feeds:
    """The store's answers, each asked for once."""

    def __init__(self, store: Cycles | None, as_of: str) -> None:
        self.store, self.as_of = store, as_of
        self.cycles = lru_cache(4096)(self._cycles)
        self.days = lru_cache(4096)(self._days)
        self.names = lru_cache(1 << 16)(self._names)
        self.order = lru_cache(4096)(self._order)

    def _cycles(self, name: str) -> list[Cycle]:
        return self.store.cycles(name) if self.store else []

    def _names(self, product: str, cpes: tuple[str, ...]) -> tuple[str, ...]:
        """The feeds' names of a product: by CPE, else by package URL, else the same name."""
        if self.store is None:
            return ()
        row = products().get(product)
        asked = [("cpe", pair) for pair in cpes]
        asked += [("purl", row.purl)] if row and row.purl else []
        asked += [("repology", product), ("name", product)]
        for kind, identifier in asked:
            if found := self.store.products(kind, identifier):
                return tuple(dict.fromkeys(found))
        return ()

    def _days(self, name: str, product: str) -> dict[str, str]:
        """Versions released by the day, with theirs, from the feed and from the laboratory's table."""
        listed = self.store.releases(name) or self.store.releases(_FILES.get(name, name)) if self.store and name else []
        known = days(product) | {release.version: release.day for release in listed}
        return {version: day for version, day in known.items() if day <= self.as_of}

    def _name(self, component: Component) -> str:
        return next(iter(self.names(component.product, tuple(component.cpes))), "")

    def cycle(self, name: str, version: str) -> Cycle | None:
        """The cycle that a version belongs to: the one whose name is the longest beginning of it."""
        held = [cycle for cycle in self.cycles(name) if cycle.cycle and in_branch(version, cycle.cycle)]
        return max(held, key=lambda cycle: len(cycle.cycle), default=None)

    def claim(self, component: Component, day: dt.date) -> Support | None:
        """What the feeds say of the component's cycle, or that it is older than every cycle that they list."""
        name = self._name(component)
        if not name or not component.version:
            return None
        cycle = self.cycle(name, component.version)
        if cycle is not None:
            ended = _ended(cycle, cycle.eol, cycle.ended, day)
            return _from_cycle(component, cycle, Claim.ANNOUNCED, cycle.eol, ended)
        return self._older(component, name, day)

    def _older(self, component: Component, name: str, day: dt.date) -> Support | None:
        scheme = _scheme(component)
        try:
            own = key(component.version, scheme)
            listed = sorted((key(cycle.cycle, scheme), number) for number, cycle in enumerate(self.cycles(name)))
        except ValueError:
            return None  # it has no order: nothing can be said
        if not listed or own >= listed[0][0]:
            return None
        oldest = self.cycles(name)[listed[0][1]]
        # It ended no later than the oldest that is listed; before that day nothing is known.
        ended = True if _ended(oldest, oldest.eol, oldest.ended, day) else None
        return _from_cycle(component, oldest, Claim.OLDER, "", ended)

    def age(self, component: Component, branch: str) -> tuple[str, int]:
        """The version's own day, ``""`` where unknown, and how many known releases of the branch are newer (of all,
        where the version is in no branch of that name), -1 where unknown."""
        name = self._name(component)
        known = self.days(name, component.product)
        released = known.get(component.version, "")
        if not component.version or not known:
            return released, -1
        scheme = _scheme(component)
        try:
            own = key(component.version, scheme)
        except ValueError:
            return released, -1
        within = branch if branch and in_branch(component.version, branch) else ""
        keys = self.order(name, component.product, scheme, within)
        return released, len(keys) - bisect_right(keys, own)

    def _order(self, name: str, product: str, scheme: str, branch: str) -> list[bytes]:
        """The keys of a branch's versions, sorted; those without one are left out."""
        keys = []
        for version in self.days(name, product):
            if branch and not in_branch(version, branch):
                continue
            try:
                keys.append(key(version, scheme))
            except ValueError:
                continue
        return sorted(keys)
