"""Made feeds for the tests of matching: a store in memory that answers as the feed store does."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from banbury.model.supply import (
    Component,
    FeedKind,
    Identity,
    Inventory,
    KernelParts,
    Match,
    Parts,
    Snapshot,
    Standing,
    Technique,
)
from banbury.supply import versions
from banbury.supply.feeds.query import TOP, Advisory, Exploited, Hit, Leaf, Node, Probability, Said, Stated, Wanted
from banbury.supply.match import Matched, run
from banbury.supply.products import products

SNAPSHOT = "0" * 63 + "1"


def leaf(
    name: str, from_: str = "", below: str = "", *, at: str = "", stated: int | None = None, **rest: object
) -> Leaf:
    """A statement ``from_ <= version < below``, one version, or one without a version."""
    scheme = versions.scheme_of(name)
    if at:
        low = versions.key(at, scheme)
        return Leaf(name, low, versions.after(low), Stated.EXACT, says=at, **rest)  # type: ignore[arg-type]
    low = versions.key(from_, scheme) if from_ else b""
    high = versions.key(below, scheme) if below else TOP
    says = " ".join(filter(None, (f">={from_}" if from_ else "", f"<{below}" if below else ""))) or "*"
    kind = stated if stated is not None else Stated.RANGE if from_ or below else Stated.EVERY
    return Leaf(name, low, high, kind, says=says, **rest)  # type: ignore[arg-type]


class Feeds:
    """A feed store in memory."""

    def __init__(self) -> None:
        self.rows: list[tuple[Advisory, Leaf, Node | None]] = []
        self.listed: dict[str, Exploited] = {}
        self.scores: dict[str, Probability] = {}
        self.named: dict[str, list[str]] = {}
        self.called: dict[str, list[str]] = {}
        self.number = 0

    def say(
        self,
        id_: str,
        *leaves: Leaf,
        source: str = "nvd",
        summary: str = "",
        flags: Sequence[str] = (),
        aliases: Sequence[str] = (),
        vector: str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        cvss: float = 9.8,
        tree: Node | None = None,
        files: Sequence[str] = (),
    ) -> None:
        """Add a record."""
        self.number += 1
        head = Advisory(
            number=self.number,
            source=source,
            id=id_,
            modified="2024-01-01",
            published="2024-01-01",
            summary=summary,
            cvss=cvss,
            vector=vector,
            flags=list(flags),
            aliases=list(aliases),
            ssvc=[],
            weaknesses=[],
            snapshot=SNAPSHOT,
        )
        self.rows += [(head, item, tree) for item in leaves if item.vulnerable]
        if files:
            self.named[id_] = list(files)

    def candidates(self, wanted: Sequence[Wanted]) -> list[Hit]:
        """As the store: version in the bounds, or none stated, or none known."""
        return [
            Hit(one, item, head, tree)
            for one in wanted
            for head, item, tree in self.rows
            if item.name == one.name and "rejected" not in head.flags and (not one.key or item.holds(one.key))
        ]

    def snapshots(self) -> list[Snapshot]:
        """One."""
        return [
            Snapshot(
                sha256=SNAPSHOT,
                name="made",
                kind=FeedKind.VULNERABILITIES,
                format="made",
                importer=1,
                records=len(self.rows),
                ranges=len(self.rows),
                refused=0,
                newest="2024-01-01",
                imported="2024-01-02T00:00:00Z",
            )
        ]

    def names(self, names: Iterable[str]) -> set[str]:
        """The names that any row has."""
        return set(names) & {item.name for _, item, _ in self.rows}

    def advisories(self, ids: Iterable[str]) -> dict[str, list[Advisory]]:
        """All heads, by id and alias."""
        wanted = set(ids)
        found: dict[str, list[Advisory]] = {}
        for head, _, _ in self.rows:
            for id_ in wanted & {head.id, *head.aliases}:
                found.setdefault(id_, []).append(head)
        return found

    def kev(self, ids: Iterable[str]) -> dict[str, Exploited]:
        """The listed."""
        return {id_: self.listed[id_] for id_ in ids if id_ in self.listed}

    def epss(self, ids: Iterable[str]) -> dict[str, Probability]:
        """The scored."""
        return {id_: self.scores[id_] for id_ in ids if id_ in self.scores}

    def routines(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """The functions."""
        return {id_: self.called[id_] for id_ in ids if id_ in self.called}

    def said(self, source: str, name: str, ids: Iterable[str]) -> dict[str, list[Leaf]]:
        """The statements of a source on a name."""
        found: dict[str, list[Leaf]] = {}
        for head, item, _ in self.rows:
            if head.source == source and item.name == name and head.id in set(ids):
                found.setdefault(head.id, []).append(item)
        return found

    def beside(self, ids: Iterable[str], known: Container[int], names: Iterable[str]) -> dict[str, list[Said]]:
        """What further records say."""
        found: dict[str, list[Said]] = {}
        for id_ in ids:
            for head, item, _ in self.rows:
                if id_ in (head.id, *head.aliases) and head.number not in known:
                    rejected = "rejected" in head.flags
                    found.setdefault(id_, []).append(Said(head.source, SNAPSHOT, None if rejected else item))
        return found

    def files(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """The files."""
        return {id_: self.named[id_] for id_ in ids if id_ in self.named}


def component(product: str, version: str, **rest: object) -> Component:
    """A component as identification gives it."""
    fields: dict[str, object] = {
        "type": products()[product].type if product in products() else "library",
        "identities": [
            Identity(product=product, technique=Technique.BANNER, standing=Standing.ASSERTED, version=version)
        ],
    }
    return Component(id=f"{product}@{version}", product=product, version=version, **(fields | rest))  # type: ignore[arg-type]


def inventory(*components: Component, parts: Sequence[Parts] = (), kernels: Sequence[KernelParts] = ()) -> Inventory:
    """An inventory of a made release."""
    return Inventory(
        release="r1",
        label="made",
        rules="",
        knowledge="",
        components=list(components),
        parts=list(parts),
        kernels=list(kernels),
    )


def matched(feeds: Feeds, *components: Component, **rest: object) -> Matched:
    """All of :func:`banbury.supply.match.run`."""
    return run(inventory(*components, **rest), feeds)  # type: ignore[arg-type]


def only(feeds: Feeds, *components: Component, **rest: object) -> Match:
    """The one match that there is."""
    (found,) = matched(feeds, *components, **rest).matches
    return found
