"""What is loaded, and how old it is."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from banbury.model.errors import InputError
from banbury.model.supply import FeedKind, Snapshot
from banbury.supply.feeds.registry import outdated
from banbury.supply.feeds.store import FeedStore

#: Days after which a kind of feed is called old: a person is told, nothing is refused.
OLD: Final = {
    FeedKind.VULNERABILITIES: 30,
    FeedKind.EXPLOITED: 14,
    FeedKind.PROBABILITY: 30,
    FeedKind.SUPPORT: 180,
}


class Loaded(Struct, frozen=True, kw_only=True):
    """A snapshot, with its age in days (-1 where it is not dated) and what was said of it at its import. ``outdated``:
    another version of the importer wrote it, and the file should be imported again."""

    snapshot: Snapshot
    age: int
    old: bool
    outdated: bool
    remarks: list[str]


class Status(Struct, frozen=True, kw_only=True):
    """What is loaded on a day. ``missing``: kinds of feed of which there is none."""

    as_of: str
    store: str
    loaded: list[Loaded]
    missing: list[FeedKind]


def read(path: Path, as_of: str = "") -> Status:
    """The status on a day (today, without one); :class:`InputError` where there is no store, or nothing in it."""
    day = as_of or time.strftime("%Y-%m-%d", time.gmtime())
    with FeedStore(path) as store:
        snapshots, remarks = store.snapshots(), store.remarks()
    if not snapshots:
        raise InputError(f"{path}: no feed was ever imported", hint="banbury feeds import FILE…")
    loaded = []
    for one in snapshots:
        age = days(one.newest, day)
        old = age > OLD[one.kind]
        said = remarks[one.sha256, one.format]
        stale = outdated(one.format, one.importer)
        loaded.append(Loaded(snapshot=one, age=age, old=old, outdated=stale, remarks=said))
    missing = [kind for kind in FeedKind if all(one.kind is not kind for one in snapshots)]
    return Status(as_of=day, store=str(path), loaded=loaded, missing=missing)


def days(newest: str, as_of: str) -> int:
    """Days from a record's date to a day; -1 where it has none."""
    try:
        return max((date.fromisoformat(as_of[:10]) - date.fromisoformat(newest[:10])).days, 0)
    except ValueError:
        return -1


def encode(status: Status) -> bytes:
    """The status as JSON."""
    return msgspec.json.format(msgspec.json.encode(status)) + b"\n"


def lines(status: Status) -> list[str]:
    """The status in lines of text."""
    found = []
    for one in status.loaded:
        snap = one.snapshot
        age = f"{one.age} days old" if one.age >= 0 else "not dated"
        counts = f"{snap.records} records" + (f", {snap.ranges} ranges" if snap.ranges else "")
        counts += f", {snap.refused} refused" if snap.refused else ""
        found.append(f"{snap.name}: {snap.kind.value}, {snap.format}")
        found.append(f"  {counts}; newest {snap.newest[:10] or '-'}, {age}{' (OLD)' if one.old else ''}")
        found.append(f"  sha256 {snap.sha256}, imported {snap.imported}, licence: {snap.licence or 'not noted'}")
        if one.outdated:
            found.append("  read by another version of this program: import the file again")
        found += [f"  {says}" for says in one.remarks]
    found += [f"no feed on {kind.value} is loaded" for kind in status.missing]
    return found
