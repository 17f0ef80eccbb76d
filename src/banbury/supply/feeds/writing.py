"""Writes the items of one feed's file to the store, within one transaction."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy.engine import Connection

from banbury.model.supply import FeedKind, FeedPart, Snapshot
from banbury.supply.feeds import items, schema
from banbury.supply.feeds.contract import Importer
from banbury.supply.feeds.items import (
    Begin,
    Block,
    CycleRow,
    ExploitedRow,
    Item,
    Note,
    Passed,
    ProbabilityRow,
    ProductRow,
    Refused,
    ReleaseRow,
    Vulnerability,
)
from banbury.supply.feeds.registry import importers, outdated, version_of
from banbury.supply.feeds.store import FeedStore

#: Reasons of refusal and other remarks that are kept for each snapshot.
_REMARKS: Final = 20
#: Records from which on a file is judged as a whole: where all that should state versions are silent, or most cannot be
#: read, its form is another than the one that is known, and what it would take the place of is better.
_JUDGED: Final = 20
#: Feeds that are told apart in one file (an archive of OSV's has some forty ecosystems).
_FEEDS: Final = 200
#: Bytes of two keys: 128 characters of text give no more.
_KEY: Final = 2048
_RECORD: Final = (
    "INSERT OR REPLACE INTO record (number, id, source, modified, published, summary, cvss, vector, flags, aliases, "
    "ssvc, weaknesses, exploited, digest, block, place, snapshot, first) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_LEAF: Final = "INSERT INTO leaf VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Totals(Struct):
    """What an import came to."""

    snapshots: list[Snapshot]
    stored: int = 0
    older: int = 0
    withdrawn: int = 0
    passed: int = 0
    remarks: list[str] = []


class _Dated(Struct):
    """The records of one feed in a file. ``later``: the newest date that is after the import."""

    records: int = 0
    newest: str = ""
    later: str = ""


def feed_of(one: Vulnerability) -> str:
    """The feed that a record is of: its source, and of OSV's the ecosystem, since each is an export of its own."""
    if one.source == "osv":
        ecosystem = one.ranges[0].leaf.name.split(":", 2)[1] if one.ranges else ""
        return f"osv {ecosystem}".strip()
    return "kernel-streams" if one.source.startswith("kernel-") else one.source


class _Part(Struct):
    """What one importer found in the file."""

    importer: Importer
    number: int
    records: int = 0
    ranges: int = 0
    refused: int = 0
    silent: int = 0
    told: int = 0
    claimed: int = -1
    day: str = ""
    remarks: list[str] = []
    refusals: dict[str, int] = {}
    feeds: dict[str, _Dated] = {}

    def saw(self, feed: str, day: str, until: str) -> None:
        """Count a record of a feed. A date after ``until`` is an error, or a plan: it would make any feed look new, and
        counts only where there is no other."""
        own = self.feeds.get(feed)
        if own is None:
            own = self.feeds.setdefault(feed if len(self.feeds) < _FEEDS else "others", _Dated())
        own.records += 1
        if own.newest < day <= until:
            own.newest = day
        elif own.later < day and day > until:
            own.later = day

    def newest(self) -> str:
        """The date of the newest record of the file; of a catalogue, its own where that is later."""
        dated = max((one.newest for one in self.feeds.values()), default="")
        dated = dated or max((one.later for one in self.feeds.values()), default="") or self.day
        return max(dated, self.day) if self.importer.kind is FeedKind.EXPLOITED else dated

    def parts(self) -> list[FeedPart]:
        """What the file holds of each feed. One that is dated as a whole dates its only feed."""
        whole = self.day if len(self.feeds) == 1 else ""
        exploited = whole if self.importer.kind is FeedKind.EXPLOITED else ""
        return [
            FeedPart(feed=name, records=one.records, newest=max(one.newest or one.later or whole, exploited)[:10])
            for name, one in sorted(self.feeds.items())
        ]

    def remark(self, says: str) -> None:
        if len(self.remarks) < _REMARKS:
            self.remarks.append(says)

    def refuse(self, why: str) -> None:
        self.refused += 1
        if why in self.refusals or len(self.refusals) < _REMARKS:
            self.refusals[why] = self.refusals.get(why, 0) + 1

    def unsound(self) -> str:
        """Why the file cannot be relied on as a whole, ``""`` where it can."""
        if self.refused >= _JUDGED and self.refused > self.records:
            first = max(self.refusals, key=lambda why: self.refusals[why], default="")
            return f"most of its records cannot be read ({self.refused} of {self.refused + self.records}: {first})"
        if self.silent >= _JUDGED and not self.told:
            return (
                f"none of its {self.records} records states which versions are affected: its form is not the known one"
            )
        return ""


def known_snapshots(store: FeedStore, sha256: str) -> list[Snapshot]:
    """The snapshots of a file that was imported before by the importers that there are now; empty where one of them has
    another version since, or the file is new."""
    known = [one for one in store.snapshots() if one.sha256 == sha256]
    return [] if any(outdated(one.format, one.importer) for one in known) else known


def _check(one: Vulnerability) -> None:
    """``ValueError`` where a record is out of the bounds that an honest worker keeps."""
    texts = (one.source, one.modified, one.published, one.vector, one.exploited)
    lists = (one.flags, one.aliases, one.ssvc, one.weaknesses, one.files, one.routines)
    if (
        len(one.summary) > items.SUMMARY
        or any(len(text) > items.TEXT for text in texts)
        or any(len(many) > items.LIST or any(len(text) > items.TEXT for text in many) for many in lists)
        or len(one.ranges) > items.LEAVES
        or not 0 <= one.block < 1 << 40
        or not 0 <= one.index < 1 << 32
    ):
        raise ValueError(f"a record out of bounds: {items.text(one.id, 40)}")
    for span in one.ranges:
        leaf = span.leaf
        words = (leaf.name, leaf.says, leaf.part, leaf.narrowed, leaf.voice)
        if any(len(word) > items.TEXT for word in words) or len(leaf.low) + len(leaf.high) > _KEY:
            raise ValueError(f"a range out of bounds: {items.text(one.id, 40)}")


class Writer:
    """Takes batches of items in the order of the file."""

    def __init__(self, connection: Connection, *, sha256: str, name: str, licence: str, imported: str) -> None:
        self._connection = connection
        self._meta = {"sha256": sha256, "name": items.text(name), "imported": imported}
        self._licence = licence
        self._parts: dict[str, _Part] = {}
        self._part: _Part | None = None
        self._totals = Totals(snapshots=[])
        self._run = connection.exec_driver_sql
        self._next_snapshot = self._first("snapshot")
        self._next_record = self._first("record")
        self._next_product = self._first("product")
        self._base_block = self._first("block")
        self._products: dict[str, int] = {
            str(row[0]): int(row[1]) for row in self._run("SELECT name, number FROM product")
        }
        self._bulk = self._next_record == 1
        if self._bulk:  # building the index at the end is much quicker than keeping it up
            schema.BY_PRODUCT.drop(connection)
        self._do: dict[type, Callable[[list[Any]], None]] = {
            Vulnerability: self._vulnerabilities, ExploitedRow: self._exploited, ProbabilityRow: self._probabilities,
            CycleRow: self._cycles, ProductRow: self._product_rows, ReleaseRow: self._releases, Block: self._blocks,
        }  # fmt: skip

    def _first(self, table: str) -> int:
        return int(self._run(f"SELECT coalesce(max(number), 0) + 1 FROM {table}").scalar() or 1)  # noqa: S608

    def add(self, batch: list[Item]) -> None:
        """Store a batch. ``ValueError`` where it is none that an honest worker writes."""
        run: list[Item] = []
        for item in batch:
            if run and type(item) is not type(run[-1]):
                self._store(run)
                run = []
            run.append(item)
        self._store(run)

    def _store(self, run: list[Item]) -> None:
        if not run:
            return
        kind = type(run[0])
        if kind is Begin:
            self._begin(run[-1])
            return
        if kind is Passed:
            self._totals.passed += len(run)
            return
        if self._part is None:
            raise ValueError("items of no importer")
        if kind is Refused:
            for one in run:
                self._part.refuse(items.text(one.why) if isinstance(one, Refused) else "")
        elif kind is Note:
            self._notes(run)
        else:
            self._do[kind](run)

    def _begin(self, item: Item) -> None:
        name = item.importer if isinstance(item, Begin) else ""
        if name not in self._parts:
            if name not in importers():
                raise ValueError(f"no importer {items.text(name, 40)!r}")
            row = self._run(
                "SELECT number FROM snapshot WHERE sha256 = ? AND format = ?", (self._meta["sha256"], name)
            ).one_or_none()
            if row is not None:  # an older importer's snapshot of the same file: this one takes its place
                self._run("DELETE FROM snapshot WHERE number = ?", (row[0],))
            number = row[0] if row is not None else self._next_snapshot
            self._next_snapshot += row is None
            self._parts[name] = _Part(importers()[name], number)
        self._part = self._parts[name]

    def _notes(self, run: Sequence[Item]) -> None:
        part = self._now()
        for one in run:
            if not isinstance(one, Note):
                continue
            part.day = max(part.day, items.day(one.day))
            if one.says:
                part.remark(items.text(one.says))
            if one.claimed >= 0:
                part.claimed = max(part.claimed, 0) + one.claimed

    def _now(self) -> _Part:
        if self._part is None:
            raise ValueError("items of no importer")
        return self._part

    def _blocks(self, run: list[Block]) -> None:
        rows = [
            (self._base_block + one.number, struct.pack(f"<{len(one.ends)}I", *one.ends), one.data)
            for one in run
            if 0 <= one.number < 1 << 40 and all(0 <= end < 1 << 32 for end in one.ends)
        ]
        if len(rows) != len(run):
            raise ValueError("a block out of bounds")
        self._run("INSERT INTO block VALUES (?, ?, ?)", rows)

    def _vulnerabilities(self, run: list[Vulnerability]) -> None:
        part = self._now()
        part.records += len(run)
        part.ranges += sum(one.stated for one in run)
        part.silent += sum(one.silent for one in run)
        part.told += sum(one.stated > 0 for one in run)
        until = self._meta["imported"]
        for one in run:
            part.saw(feed_of(one), one.modified or one.published, until)
        version = struct.pack("<I", version_of(part.importer))
        there = self._there({one.id for one in run})
        latest: dict[tuple[str, str], Vulnerability] = {}
        for one in run:
            items.identifier(one.id)
            previous = latest.get((one.id, one.source))
            if previous is None or one.modified >= previous.modified:
                latest[one.id, one.source] = one
            else:
                self._totals.older += 1
        fresh: list[tuple[int, int, Vulnerability]] = []
        for key, one in latest.items():
            old = there.get(key)
            one.digest = one.digest[:32] + version
            if old is None:
                fresh.append((self._next_record, part.number, one))
                self._next_record += 1
            elif old[1] and one.modified < old[1]:
                self._totals.older += 1
            elif bytes(old[2]) != one.digest:
                fresh.append((old[0], old[3], one))
                self._withdraw(old[0])
                self._totals.withdrawn += "rejected" in one.flags and "rejected" not in old[4].split("\n")
        self._totals.stored += len(fresh)
        self._write(fresh, part.number)

    def _there(self, ids: set[str]) -> dict[tuple[str, str], tuple[int, str, bytes, int, str]]:
        found: dict[tuple[str, str], tuple[int, str, bytes, int, str]] = {}
        asked = sorted(ids)
        for at in range(0, len(asked), 500):
            some = asked[at : at + 500]
            marks = ",".join("?" * len(some))
            query = f"SELECT id, source, number, modified, digest, first, flags FROM record WHERE id IN ({marks})"  # noqa: S608
            found |= {
                (row[0], row[1]): (row[2], row[3], row[4], row[5], row[6]) for row in self._run(query, tuple(some))
            }
        return found

    def _withdraw(self, number: int) -> None:
        """Take away all that hangs on a record."""
        for table in ("leaf", "tree", "file", "routine", "alias"):
            self._run(f"DELETE FROM {table} WHERE record = ?", (number,))  # noqa: S608

    def _write(self, fresh: list[tuple[int, int, Vulnerability]], snapshot: int) -> None:
        if not fresh:
            return
        records, leaves, trees, files, aliases, routines = [], [], [], [], [], []
        for number, first, one in fresh:
            _check(one)
            records.append(
                (
                    number, one.id, items.text(one.source, 40), one.modified, one.published, one.summary, one.cvss,
                    one.vector, "\n".join(one.flags), "\n".join(one.aliases), "\n".join(one.ssvc),
                    "\n".join(one.weaknesses), one.exploited, one.digest, self._base_block + one.block, one.index,
                    snapshot, first,
                )
            )  # fmt: skip
            for place, span in enumerate(one.ranges):
                leaf = span.leaf
                leaves.append(
                    (
                        number, place, self._product(leaf.name), leaf.low, leaf.high, leaf.stated, span.configuration,
                        leaf.part, leaf.says, leaf.narrowed, leaf.voice,
                    )
                )  # fmt: skip
                if span.configuration >= len(one.trees):
                    raise ValueError("a configuration that is not there")
            trees += [(number, place, msgspec.msgpack.encode(tree)) for place, tree in enumerate(one.trees)]
            files += [(number, path) for path in dict.fromkeys(one.files)]
            routines += [(number, name) for name in dict.fromkeys(one.routines)]
            aliases += [(name, number) for name in dict.fromkeys(one.aliases)]
        self._run(_RECORD, records)
        for statement, rows in (
            (_LEAF, leaves),
            ("INSERT INTO tree VALUES (?, ?, ?)", trees),
            ("INSERT INTO file VALUES (?, ?)", files),
            ("INSERT INTO routine VALUES (?, ?)", routines),
            ("INSERT INTO alias VALUES (?, ?)", aliases),
        ):
            if rows:
                self._run(statement, rows)

    def _product(self, name: str) -> int:
        number = self._products.get(name)
        if number is None:
            number = self._products[name] = self._next_product
            self._next_product += 1
            self._run("INSERT INTO product VALUES (?, ?)", (number, name))
        return number

    def _exploited(self, run: list[ExploitedRow]) -> None:
        part = self._now()
        part.records += len(run)
        for one in run:
            part.saw("kev", one.added, self._meta["imported"])
        rows = [(one.id, one.added, one.due, one.ransomware, one.name, part.number) for one in run]
        self._run("CREATE TEMP TABLE IF NOT EXISTS catalogue AS SELECT * FROM exploited WHERE 0")
        self._run("INSERT INTO temp.catalogue VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _catalogue(self, part: _Part) -> None:
        """Put a whole catalogue in the place of the one that is there, unless that is newer."""
        self._run("CREATE TEMP TABLE IF NOT EXISTS catalogue AS SELECT * FROM exploited WHERE 0")
        loaded = self._run(
            "SELECT coalesce(max(newest), '') FROM snapshot WHERE kind = ?", (FeedKind.EXPLOITED.value,)
        ).scalar()
        if loaded and part.newest()[:10] < str(loaded)[:10]:
            part.remark(f"older than the catalogue that is loaded ({str(loaded)[:10]}): kept as a snapshot, not used")
        else:
            gone = self._run("SELECT count(*) FROM exploited WHERE id NOT IN (SELECT id FROM temp.catalogue)").scalar()
            self._totals.withdrawn += int(gone or 0)
            self._run("DELETE FROM exploited")
            self._run("INSERT OR REPLACE INTO exploited SELECT * FROM temp.catalogue")
            self._totals.stored += part.records
        self._run("DROP TABLE temp.catalogue")

    def _probabilities(self, run: list[ProbabilityRow]) -> None:
        part = self._now()
        part.records += len(run)
        for one in run:
            part.saw("epss", one.day, self._meta["imported"])
        rows = [(one.id, one.score, one.percentile, one.day, part.number) for one in run]
        self._run(
            "INSERT INTO probability VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET score = excluded.score, "
            "percentile = excluded.percentile, day = excluded.day, snapshot = excluded.snapshot "
            "WHERE excluded.day >= probability.day",
            rows,
        )
        self._totals.stored += len(rows)

    def _product_rows(self, run: list[ProductRow]) -> None:
        for one in run:
            self._run("DELETE FROM cycle WHERE product = ?", (one.product,))
            self._run("DELETE FROM identifier WHERE product = ?", (one.product,))
            rows = [(kind, text, one.product) for kind, text in [*one.identifiers, ("name", one.product)]]
            self._run("INSERT OR IGNORE INTO identifier VALUES (?, ?, ?)", rows)

    def _cycles(self, run: list[CycleRow]) -> None:
        part = self._now()
        part.records += len(run)
        name, until = part.importer.name, self._meta["imported"]
        for one in run:
            feed = one.product.replace(":", " ") if name == "distro-info" else name
            part.saw(feed, max((day for day in (one.released, one.latest_released) if day <= until), default=""), until)
        rows = [(one.product, one.at, name, msgspec.msgpack.encode(one), part.number) for one in run]
        self._run("INSERT OR REPLACE INTO cycle VALUES (?, ?, ?, ?, ?)", rows)
        self._totals.stored += len(rows)

    def _releases(self, run: list[ReleaseRow]) -> None:
        part = self._now()
        part.records += len(run)
        for one in run:
            part.saw(part.importer.name, one.day, self._meta["imported"])
        rows = [(one.product, one.version, one.day, part.number) for one in run]
        self._run("INSERT OR REPLACE INTO release VALUES (?, ?, ?, ?)", rows)
        self._totals.stored += len(rows)

    def end(self) -> Totals:
        """Write the snapshots, and what must come last."""
        for part in self._parts.values():
            part.remarks += [
                f"refused: {why}" + (f" ({count} times)" if count > 1 else "") for why, count in part.refusals.items()
            ]
            if part.importer.kind is FeedKind.EXPLOITED and part.records:
                self._catalogue(part)
            self._snapshot(part)
        if self._bulk:
            schema.BY_PRODUCT.create(self._connection)
        self._totals.remarks = [says for part in self._parts.values() for says in part.remarks]
        return self._totals

    def unsound(self) -> str:
        """Why the file cannot be relied on as a whole, ``""`` where it can."""
        return next((why for part in self._parts.values() if (why := part.unsound())), "")

    def _snapshot(self, part: _Part) -> None:
        if part.claimed >= 0 and part.claimed != part.records + part.refused:
            found = part.records + part.refused
            part.remarks.insert(0, f"it says that it has {part.claimed} records, and has {found}")
        one = Snapshot(
            sha256=self._meta["sha256"], name=self._meta["name"], kind=part.importer.kind, format=part.importer.name,
            importer=version_of(part.importer), records=part.records, ranges=part.ranges, refused=part.refused,
            newest=part.newest(), imported=self._meta["imported"],
            licence=self._licence or part.importer.licence, parts=part.parts(),
        )  # fmt: skip
        self._totals.snapshots.append(one)
        self._run(
            "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                part.number, one.sha256, one.name, one.kind.value, one.format, one.importer, one.records, one.ranges,
                one.refused, one.newest, one.imported, one.licence, "\n".join(part.remarks),
                msgspec.msgpack.encode(one.parts),
            ),
        )  # fmt: skip
