"""What is loaded, and how old it is."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from banbury.model.errors import InputError
from banbury.model.supply import FeedKind, FeedPart, Snapshot
from banbury.supply.feeds.registry import outdated
from banbury.supply.feeds.store import FeedStore

#: Days after which a kind of feed is called old: a person is told, nothing is refused.
OLD: Final = {
    FeedKind.VULNERABILITIES: 30,
    FeedKind.EXPLOITED: 14,
    FeedKind.PROBABILITY: 30,
    FeedKind.SUPPORT: 180,
}
#: Feeds that get a record so seldom that a copy of today has an old newest one: a project's own list, and releases of
#: distributions (Debian's every two years, Ubuntu's every half year).
SELDOM: Final = {"curl": 180, "openssl": 180, "retire.js": 180, "distro-info debian": 800, "distro-info ubuntu": 210}


class Loaded(Struct, frozen=True, kw_only=True):
    """A snapshot, with its age in days (-1 where it is not dated) and what was said of it at its import. ``old``: the
    snapshot holds the newest record of a feed that is old. ``outdated``: another version of the importer wrote it, and
    the file should be imported again."""

    snapshot: Snapshot
    age: int
    old: bool
    outdated: bool
    remarks: list[str]


class Feed(Struct, frozen=True, kw_only=True):
    """One feed, of which several files may have been imported. ``newest``: the date of its newest record (``""``: none
    has one), ``age`` the days since (-1), ``limit`` the days after which it is ``old``. ``since``: where its files end
    on different days, the earliest of them: what came between may be in none of them."""

    feed: str
    kind: FeedKind
    files: int
    records: int
    newest: str
    since: str
    age: int
    limit: int
    old: bool


class Status(Struct, frozen=True, kw_only=True):
    """What is loaded on a day. ``missing``: kinds of feed of which there is none."""

    as_of: str
    store: str
    feeds: list[Feed]
    loaded: list[Loaded]
    missing: list[FeedKind]


def read(path: Path, as_of: str = "") -> Status:
    """The status on a day (today, without one); :class:`InputError` where there is no store, or nothing in it."""
    day = as_of or today()
    with FeedStore(path) as store:
        snapshots, remarks = store.snapshots(), store.remarks()
    if not snapshots:
        raise InputError(f"{path}: no feed was ever imported", hint="banbury feeds import FILE…")
    found = ages(snapshots, day)
    old = {(one.feed, one.newest) for one in found if one.old}
    loaded = []
    for one in snapshots:
        said = remarks[one.sha256, one.format]
        stale = outdated(one.format, one.importer)
        aged = any((part.feed, part.newest) in old for part in parts(one))
        loaded.append(Loaded(snapshot=one, age=days(one.newest, day), old=aged, outdated=stale, remarks=said))
    missing = [kind for kind in FeedKind if all(one.kind is not kind for one in snapshots)]
    return Status(as_of=day, store=str(path), feeds=found, loaded=loaded, missing=missing)


def today() -> str:
    """The day of the clock."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def parts(snapshot: Snapshot) -> list[FeedPart]:
    """What a snapshot holds of each feed; of one that does not say so, all of it is of its format."""
    alone = FeedPart(feed=snapshot.format, records=snapshot.records, newest=snapshot.newest[:10])
    return snapshot.parts or [alone]


def ages(snapshots: Iterable[Snapshot], as_of: str) -> list[Feed]:
    """Each feed with its age on a day, the kinds in their order, the oldest first: one new feed hides no old one."""
    held: dict[tuple[FeedKind, str], list[FeedPart]] = {}
    for one in snapshots:
        for part in parts(one):
            held.setdefault((one.kind, part.feed), []).append(part)
    found = [_feed(kind, name, files, as_of) for (kind, name), files in held.items()]
    order = list(FeedKind)
    return sorted(found, key=lambda one: (order.index(one.kind), -one.age if one.newest else 1, one.feed))


def _feed(kind: FeedKind, name: str, files: list[FeedPart], as_of: str) -> Feed:
    newest = max(part.newest for part in files)
    since = min(part.newest for part in files)
    age, limit = days(newest, as_of), SELDOM.get(name, OLD[kind])
    return Feed(
        feed=name,
        kind=kind,
        files=len(files),
        records=sum(part.records for part in files),
        newest=newest,
        since=since if since != newest else "",
        age=age,
        limit=limit,
        old=age > limit,
    )


def days(newest: str, as_of: str) -> int:
    """Days from a record's date to a day; -1 where it has none."""
    try:
        return max((date.fromisoformat(as_of[:10]) - date.fromisoformat(newest[:10])).days, 0)
    except ValueError:
        return -1


def warnings(feeds: Iterable[Feed]) -> list[str]:
    """A sentence for each feed that is old, and one for those of which nothing says how old they are."""
    listed = list(feeds)
    found = [
        f"{one.feed} ({one.kind.value}): its newest record is {one.age} days old ({one.newest})"
        for one in listed
        if one.old
    ]
    undated = [one.feed for one in listed if one.age < 0]
    return found + ([f"{', '.join(undated)}: no record is dated, so nothing says how old"] if undated else [])


def encode(status: Status) -> bytes:
    """The status as JSON."""
    return msgspec.json.format(msgspec.json.encode(status)) + b"\n"


def lines(status: Status) -> list[str]:
    """The status in lines of text: each feed with its newest record, then each file that was imported."""
    found = [_line(one) for one in status.feeds]
    found += [f"no feed on {kind.value} is loaded" for kind in status.missing]
    found.append("")
    for one in status.loaded:
        snap = one.snapshot
        age = f"{one.age} days old" if one.age >= 0 else "not dated"
        counts = f"{snap.records} records" + (f", {snap.ranges} ranges" if snap.ranges else "")
        counts += f", {snap.refused} refused" if snap.refused else ""
        found.append(f"{snap.name}: {snap.kind.value}, {snap.format}")
        found.append(f"  {counts}; newest {snap.newest[:10] or '-'}, {age}")
        found.append(f"  sha256 {snap.sha256}, imported {snap.imported}, licence: {snap.licence or 'not noted'}")
        if one.outdated:
            found.append("  read by another version of this program: import the file again")
        found += [f"  {says}" for says in one.remarks]
    return found


def _line(one: Feed) -> str:
    age = f"newest record {one.newest}, {one.age} days old" if one.age >= 0 else "not dated"
    age += f" (OLD: more than {one.limit})" if one.old else ""
    several = f" in {one.files} files" if one.files > 1 else ""
    since = f"; the oldest of the files ends on {one.since}" if one.since else ""
    return f"{one.feed}: {one.kind.value}, {one.records} records{several}; {age}{since}"
