"""What the feeds say of a product's releases: its cycles, the cycle of a version, the days of its releases.

Feeds are endoflife.date's product files and release data. The laboratory's table adds days of releases that feeds lack.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Final, Protocol

from banbury.model.supply import Claim, Component, Snapshot, Support
from banbury.supply.feeds.query import Cycle, Release
from banbury.supply.products import products
from banbury.supply.support.lines import Releases
from banbury.supply.support.table import STATED, in_branch, listed
from banbury.supply.versions import key, scheme_of

#: endoflife.date keeps the days of releases under a file's name, which is not always the product's.
_FILES: Final = {"linux": "linux-kernel"}
#: A feed that says "no end yet" says so of its own day. For so many days after it that is taken to hold still: a feed
#: counts as current for a month.
CURRENT: Final = 30


class Store(Protocol):
    """What is asked of the feed store (:class:`banbury.supply.feeds.store.FeedStore`)."""

    def cycles(self, product: str) -> list[Cycle]: ...
    def products(self, kind: str, identifier: str) -> list[str]: ...
    def releases(self, product: str) -> list[Release]: ...
    def snapshots(self) -> list[Snapshot]: ...


def scheme(component: Component) -> str:
    """The order of the component's versions, by its CPE names."""
    named = (scheme_of(f"cpe:{pair}") for pair in component.cpes)
    return next((one for one in named if one), "")


class Feeds:
    """The store's answers, each asked for once; of no store, what the laboratory's table has."""

    def __init__(self, store: Store | None) -> None:
        self.store = store
        self.written = {one.sha256: one.newest[:10] for one in store.snapshots()} if store else {}
        self.cycles = lru_cache(4096)(self._cycles)
        self.names = lru_cache(1 << 16)(self._names)
        self.known = lru_cache(4096)(self._known)

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

    def name(self, component: Component) -> str:
        """The feeds' name of the component's product, ``""`` where they have none."""
        return next(iter(self.names(component.product, tuple(component.cpes))), "")

    def releases(self, component: Component) -> Releases:
        """The releases of the component's product that are known, from the feeds and from the table."""
        return self.known(self.name(component), component.product, scheme(component))

    def _known(self, name: str, product: str, order: str) -> Releases:
        own = listed(product)
        days, until = (own.days, own.source_date) if own else ({}, "")
        if self.store and name:
            found = self.store.releases(name) or self.store.releases(_FILES.get(name, name))
            days = days | {one.version: one.day for one in found}
            until = max([until, *(one.day for one in found)])
        return Releases(days, until, order)

    def cycle(self, name: str, version: str) -> Cycle | None:
        """The cycle that a version belongs to: the one whose name is the longest beginning of it."""
        held = [cycle for cycle in self.cycles(name) if cycle.cycle and in_branch(version, cycle.cycle)]
        return max(held, key=lambda cycle: len(cycle.cycle), default=None)

    def claim(self, component: Component, day: dt.date) -> Support | None:
        """What the feeds say of the component's cycle, or that it is older than every cycle that they list."""
        name = self.name(component)
        if not name or not component.version:
            return None
        cycle = self.cycle(name, component.version)
        if cycle is not None:
            ended = self.ended(cycle, cycle.eol, cycle.ended, day)
            return self.said(component, cycle, Claim.ANNOUNCED, cycle.eol, ended)
        return self._older(component, name, day)

    def _older(self, component: Component, name: str, day: dt.date) -> Support | None:
        order = scheme(component)
        try:
            own = key(component.version, order)
            found = sorted((key(cycle.cycle, order), number) for number, cycle in enumerate(self.cycles(name)))
        except ValueError:
            return None  # it has no order: nothing can be said
        if not found or own >= found[0][0]:
            return None
        oldest = self.cycles(name)[found[0][1]]
        # It ended no later than the oldest that is listed; before that day nothing is known.
        ended = True if self.ended(oldest, oldest.eol, oldest.ended, day) else None
        return self.said(component, oldest, Claim.OLDER, "", ended)

    def ended(self, cycle: Cycle, end: str, flag: bool | None, day: dt.date) -> bool | None:
        """Whether support has ended on a day, by its last day, else by a flag, which is of the feed's own day: that it
        has ended holds from then on, that it has not until then, and as long as the feed is current."""
        if end:
            return day.isoformat() > end
        written = self.written.get(cycle.snapshot, "")
        if flag is None or not written:
            return None
        if flag:
            return True if day.isoformat() >= written else None
        until = dt.date.fromisoformat(written) + dt.timedelta(CURRENT)
        return False if day <= until else None

    def said(self, component: Component, cycle: Cycle, claim: Claim, end: str, ended: bool | None) -> Support:
        """A claim that rests on a cycle of a feed."""
        extended = f", extended support until {cycle.extended}" if cycle.extended else ""
        return Support(
            component=component.id,
            claim=claim,
            ended=ended,
            end=end,
            branch=cycle.cycle,
            successor=cycle.latest if claim is Claim.ANNOUNCED else "",
            source=f"{cycle.source}: {cycle.product} {cycle.cycle}{extended} (snapshot sha256:{cycle.snapshot})",
            source_date=self.written.get(cycle.snapshot, ""),
            confidence=STATED,
        )
