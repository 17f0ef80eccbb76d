"""Matching again what is already inventoried, and what changed since last time.

Inventories are kept in the workspace, so that new feeds are held against every known release without a byte of firmware
being read. What each release was matched to last is kept beside its inventory; the difference names the feeds that came
in between.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from banbury.lab.database import Database
from banbury.model.errors import StoreError
from banbury.model.supply import Decision, Inventory, Match, Snapshot, State, SupplyChain
from banbury.supply.feeds.store import FeedStore
from banbury.supply.match.engine import VERSION, Matched, product_of, run

_LEVEL: Final = 6
_MOST: Final = 512 << 20


class Held(Struct, frozen=True, array_like=True):
    """One match as it is kept: what a difference is made of."""

    vulnerability: str
    component: str
    state: State
    evidence: str


class Last(Struct, frozen=True, kw_only=True):
    """What a release was matched to: the feeds, the engine's version, the matches."""

    snapshots: list[str]
    engine: int
    held: list[Held]


class Changed(Struct, frozen=True, kw_only=True):
    """A match that is in another state than before, or in the same for other reasons."""

    vulnerability: str
    component: str
    before: State
    after: State


class Difference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What changed since a release was last matched. ``by``: the feeds that came since, as ``name sha256``;
    ``without``: digests of those that are gone. ``first``: nothing was matched before, so nothing is called new."""

    first: bool = False
    new: list[tuple[str, str]] = []
    gone: list[tuple[str, str]] = []
    changed: list[Changed] = []
    by: list[str] = []
    without: list[str] = []
    engine: bool = False


class Rematched(Struct, frozen=True, kw_only=True):
    """One release, matched again."""

    inventory: Inventory
    matched: Matched
    difference: Difference


def keep(database: Database, inventory: Inventory) -> None:
    """Keep the inventory of a release, to be matched again later."""
    database.save_inventory(inventory.release, inventory.label, _packed(inventory))


def decisions(database: Database) -> list[Decision]:
    """Every analyst's decision, oldest first."""
    return [msgspec.json.decode(record, type=Decision) for record in database.decisions()]


def decide(database: Database, decision: Decision) -> None:
    """Keep a decision. None is ever changed or removed; the newest on a product and vulnerability counts."""
    database.add_decision(decision.vulnerability, product_of(decision.component), msgspec.json.encode(decision))


def inventories(database: Database) -> list[Inventory]:
    """Every inventory that is kept, in the order in which they came."""
    return [_inventory(record) for _, _, record, _ in database.inventories()]


def find(database: Database, name: str) -> list[Inventory]:
    """The inventories that a name means: a release's id, the beginning of one (8 characters or more), or a label."""
    rows = database.inventories()
    for test in (
        lambda release, _: release == name,
        lambda _, label: label == name,
        lambda release, label: (len(name) >= 8 and release.startswith(name)) or label.lower() == name.lower(),
    ):
        found = [_inventory(record) for release, label, record, _ in rows if test(release, label)]
        if found:
            return found
    return []


def rematch(database: Database, store: FeedStore, releases: Iterable[str] | None = None) -> list[Rematched]:
    """Match kept inventories again (all, or those of the releases), keep the result, and say what changed."""
    chosen = None if releases is None else set(releases)
    words = decisions(database)
    found: list[Rematched] = []
    kept: dict[str, bytes] = {}
    for release, _, record, before in database.inventories():
        if chosen is not None and release not in chosen:
            continue
        inventory = _inventory(record)
        matched = run(inventory, store, words)
        last = _unpacked(before, Last) if before else None
        found.append(Rematched(inventory=inventory, matched=matched, difference=difference(last, matched)))
        kept[release] = _packed(held(matched))
    database.save_matched(kept)
    return found


def held(matched: Matched) -> Last:
    """What is kept of a matching."""
    return _last(matched.snapshots, matched.matches, matched.engine)


def _last(snapshots: Iterable[Snapshot], matches: Iterable[Match], engine: int) -> Last:
    return Last(
        snapshots=sorted({item.sha256 for item in snapshots}),
        engine=engine,
        held=[Held(item.vulnerability, item.component, item.state, item.evidence) for item in matches],
    )


def remember(database: Database, chain: SupplyChain) -> None:
    """Keep what an evaluation matched a release to as what the next matching is compared with. Where something is kept
    already it stays: what came since then was in a report, and nobody was told that it is new."""
    if chain.matched:
        last = _last(chain.feeds, chain.matches, VERSION)
        database.save_first_matched(chain.inventory.release, _packed(last))


def difference(last: Last | None, matched: Matched) -> Difference:
    """What a matching says that the last did not."""
    if last is None:
        return Difference(first=True)
    before = {(item.vulnerability, item.component): item for item in last.held}
    after: dict[tuple[str, str], Match] = {(item.vulnerability, item.component): item for item in matched.matches}
    names = {item.sha256: item.name for item in matched.snapshots}
    return Difference(
        new=sorted(after.keys() - before.keys()),
        gone=sorted(before.keys() - after.keys()),
        changed=[
            Changed(vulnerability=key[0], component=key[1], before=before[key].state, after=after[key].state)
            for key in sorted(before.keys() & after.keys())
            if (before[key].state, before[key].evidence) != (after[key].state, after[key].evidence)
        ],
        by=[f"{name} {digest}" for digest, name in names.items() if digest not in last.snapshots],
        without=[digest for digest in last.snapshots if digest not in names],
        engine=last.engine != VERSION,
    )


def _packed(record: Struct) -> bytes:
    return zlib.compress(msgspec.json.encode(record), _LEVEL)


def _unpacked(data: bytes, kind: type[Last]) -> Last:
    return msgspec.json.decode(_raw(data), type=kind)


def _inventory(data: bytes) -> Inventory:
    return msgspec.json.decode(_raw(data), type=Inventory)


def _raw(data: bytes) -> bytes:
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(data, _MOST)
    except zlib.error as problem:
        raise StoreError(f"the database holds an inventory that cannot be read: {problem}") from problem
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise StoreError("the database holds an inventory that is cut off or too large")
    return raw
