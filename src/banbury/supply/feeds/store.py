"""The feed store: snapshots, vulnerabilities, ranges, exploitation and support, in one SQLite file of its own.

Reading only; :mod:`banbury.supply.feeds.importing` writes.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import sqlalchemy as sa
import zstandard
from sqlalchemy.engine import Connection

from banbury.model.errors import InputError, StoreError
from banbury.model.supply import FeedKind, FeedPart, Snapshot
from banbury.supply.feeds import schema
from banbury.supply.feeds.items import CycleRow
from banbury.supply.feeds.query import (
    Advisory,
    Change,
    Cycle,
    Exploited,
    Hit,
    Leaf,
    Probability,
    Release,
    Said,
    Wanted,
)

_RAW: Final = 64 << 20
_FIND: Final = """
SELECT w.place, r.record, r.low, r.high, r.stated, r.part, r.says, r.narrowed, r.voice, t.data
FROM temp.wanted AS w CROSS JOIN leaf AS r INDEXED BY leaf_by_product
LEFT JOIN tree AS t ON r.tree >= 0 AND t.record = r.record AND t.place = r.tree
WHERE r.product = w.product AND r.low <= w.above AND r.high > w.version
"""
_EXPLOITED: Final = (
    "SELECT e.id, e.added, e.due, e.ransomware, e.name, s.sha256 FROM exploited AS e "
    "JOIN snapshot AS s ON s.number = e.snapshot WHERE e.id IN"
)
_SAID_EXPLOITED: Final = (
    "SELECT r.id, r.exploited, s.sha256 FROM record AS r JOIN snapshot AS s ON s.number = r.snapshot "
    "WHERE r.exploited != '' AND r.id IN"
)
_PROBABLE: Final = (
    "SELECT p.id, p.score, p.percentile, p.day, s.sha256 FROM probability AS p "
    "JOIN snapshot AS s ON s.number = p.snapshot WHERE p.id IN"
)
_FILES: Final = "SELECT r.id, f.path FROM record AS r JOIN file AS f ON f.record = r.number WHERE r.id IN"
_ROUTINES: Final = "SELECT r.id, f.name FROM record AS r JOIN routine AS f ON f.record = r.number WHERE r.id IN"
_SAID: Final = (
    "SELECT r.id, l.low, l.high, l.stated, l.part, l.says, l.narrowed, l.voice FROM record AS r "
    "JOIN leaf AS l ON l.record = r.number WHERE r.source = ? AND l.product = ? AND l.voice = '' AND r.id IN"
)
_VOICES: Final = (
    "SELECT r.number, r.source, r.flags, s.sha256 FROM record AS r JOIN snapshot AS s ON s.number = r.snapshot "
    "WHERE r.number IN"
)
_BESIDE: Final = "SELECT record, product, low, high, stated, part, says, narrowed, voice FROM leaf WHERE record IN"
#: Reading many scattered rows is twice as quick from a mapping; an import has no use for it. What is mapped counts as
#: memory of the process, so it is bounded.
_MAPPED: Final = f"PRAGMA mmap_size = {256 << 20}"
#: What a wanted product without a version is compared with: above every low end.
_ANY: Final = b"\xff\xff"


class FeedStore:
    """An open feed store. Each method is one transaction, so that an import beside it is seen whole or not at all."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open the file; :class:`banbury.model.errors.InputError` where it is none (or is absent, without ``create``),
        :class:`banbury.model.errors.StoreError` where its schema is newer than this program."""
        self.path = path
        self._engine = schema.connect(path, create=create)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file. The store is also a context manager."""
        self._engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction; whatever the database refuses is one :class:`banbury.model.errors.StoreError`."""
        with schema.errors(self.path), self._engine.begin() as connection:
            yield connection

    def snapshots(self) -> list[Snapshot]:
        """Every imported file, in the order of its import. Empty: no feed was loaded, and no match means anything."""
        with self.begin() as connection:
            rows = connection.execute(sa.select(schema.snapshot).order_by(schema.snapshot.c.number)).mappings().all()
        return [_snapshot(row) for row in rows]

    def remarks(self) -> dict[tuple[str, str], list[str]]:
        """For each snapshot (SHA-256, format), what was said of it at its import: reasons of refusals, notes."""
        table = schema.snapshot.c
        with self.begin() as connection:
            rows = connection.execute(sa.select(table.sha256, table.format, table.remarks)).all()
        return {(row[0], row[1]): _lines(row[2]) for row in rows}

    def candidates(self, wanted: Sequence[Wanted]) -> list[Hit]:
        """Every statement that speaks of a wanted name with that version in its bounds (or with none stated), and is
        marked vulnerable. Rejected advisories are left out; disputed ones are kept, with the flag. In no order, save
        that statements of one record on one product stand as their bounds do. Statements and configurations that are
        the same are one object. Configurations are *not* evaluated here: see
        :class:`banbury.supply.feeds.query.Hit`."""
        with self.begin() as connection:
            connection.exec_driver_sql(_MAPPED)
            products = _numbers(connection, {one.name for one in wanted})
            rows = sorted(  # by product: what is read then lies together
                (
                    (place, products[one.name], one.key, one.key or _ANY)
                    for place, one in enumerate(wanted)
                    if one.name in products
                ),
                key=lambda row: row[1],
            )
            connection.exec_driver_sql(
                "CREATE TEMP TABLE IF NOT EXISTS wanted (place INTEGER, product INTEGER, version BLOB, above BLOB)"
            )
            connection.exec_driver_sql("DELETE FROM temp.wanted")
            if not rows:
                return []
            connection.exec_driver_sql("INSERT INTO temp.wanted VALUES (?, ?, ?, ?)", rows)
            found = _fetched(connection, _FIND)
            heads = _heads(connection, {row[1] for row in found})
        return _hits(wanted, found, heads)

    def names(self, names: Iterable[str]) -> set[str]:
        """Those of the names that any feed speaks of: a component with none of its names known was not matched."""
        with self.begin() as connection:
            return set(_numbers(connection, set(names)))

    def advisories(self, ids: Iterable[str]) -> dict[str, list[Advisory]]:
        """What each source says of each id (or of a record that has it as an alias), rejected ones too."""
        asked = set(ids)
        with self.begin() as connection:
            pairs = {*_fetched(connection, "SELECT id, number FROM record WHERE id IN", asked)}
            pairs.update(_fetched(connection, "SELECT alias, record FROM alias WHERE alias IN", asked))
            heads = _heads(connection, {number for _, number in pairs})
        found: dict[str, list[Advisory]] = defaultdict(list)
        for id_, number in sorted(pairs):
            found[id_].append(heads[number])
        return {id_: sorted(heads, key=lambda head: (head.id != id_, head.source)) for id_, heads in found.items()}

    def record(self, number: int) -> bytes:
        """The raw record of an advisory (:attr:`Advisory.number`) as the feed had it: JSON or a line of text."""
        table, blocks = schema.record.c, schema.block.c
        query = sa.select(table.place, blocks.ends, blocks.data).where(
            table.number == number, blocks.number == table.block
        )
        with self.begin() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise StoreError(f"{self.path}: no raw record {number}")
        try:
            data = zstandard.ZstdDecompressor().decompress(row[2], max_output_size=_RAW)
            ends = (0, *struct.unpack(f"<{len(row[1]) // 4}I", row[1]))
            return data[ends[row[0]] : ends[row[0] + 1]]
        except (zstandard.ZstdError, struct.error, IndexError) as problem:
            raise StoreError(f"{self.path}: the raw record {number} cannot be read") from problem

    def kev(self, ids: Iterable[str]) -> dict[str, Exploited]:
        """The rows of the KEV catalogue for the ids; where there is none, the day that a CVE record names."""
        asked = set(ids)
        with self.begin() as connection:
            rows = _fetched(connection, _EXPLOITED, asked)
            said = _fetched(connection, _SAID_EXPLOITED, asked)
        found = {
            row[0]: Exploited(id=row[0], added=row[1], due="", ransomware=False, name="", snapshot=row[2])
            for row in sorted(said, reverse=True)
        }
        return found | {
            row[0]: Exploited(
                id=row[0], added=row[1], due=row[2], ransomware=bool(row[3]), name=row[4], snapshot=row[5]
            )
            for row in rows
        }

    def epss(self, ids: Iterable[str]) -> dict[str, Probability]:
        """The rows of EPSS for the ids."""
        with self.begin() as connection:
            rows = _fetched(connection, _PROBABLE, set(ids))
        return {
            row[0]: Probability(id=row[0], score=row[1], percentile=row[2], day=row[3], snapshot=row[4]) for row in rows
        }

    def files(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """For each id, the source files that the CVE record names (``programFiles``): for the kernel, nearly always."""
        with self.begin() as connection:
            rows = _fetched(connection, _FILES, set(ids))
        found: dict[str, list[str]] = defaultdict(list)
        for id_, path in sorted(rows):
            found[id_].append(path)
        return dict(found)

    def routines(self, ids: Iterable[str]) -> dict[str, list[str]]:
        """For each id, the functions that the CVE record names (``programRoutines``): few records do."""
        with self.begin() as connection:
            rows = _fetched(connection, _ROUTINES, set(ids))
        found: dict[str, list[str]] = defaultdict(list)
        for id_, name in sorted(rows):
            found[id_].append(name)
        return dict(found)

    def said(self, source: str, name: str, ids: Iterable[str]) -> dict[str, list[Leaf]]:
        """For each id, every statement of a source itself on a name, whatever the versions are."""
        with self.begin() as connection:
            number = _numbers(connection, {name}).get(name)
            rows = [] if number is None else _fetched(connection, _SAID, set(ids), (source, number))
        found: dict[str, list[Leaf]] = defaultdict(list)
        for id_, low, high, stated, *words in rows:
            found[id_].append(Leaf(name, low, high, stated, True, *words))
        return dict(found)

    def beside(self, ids: Iterable[str], known: Container[int], names: Iterable[str]) -> dict[str, list[Said]]:
        """For each id, what further records on it say of these names, whatever the versions, and which of them are
        rejected. Records whose numbers are ``known`` are left out."""
        with self.begin() as connection:
            rows = _fetched(connection, "SELECT id, number FROM record WHERE id IN", asked := set(ids))
            if _fetched(connection, "SELECT 1 FROM alias LIMIT 1"):
                rows += _fetched(connection, "SELECT alias, record FROM alias WHERE alias IN", asked)
            of: dict[int, list[str]] = {}
            for id_, number in rows:
                if number not in known:
                    of.setdefault(number, []).append(id_)
            if not of:
                return {}
            heads = {row[0]: row[1:] for row in _fetched(connection, _VOICES, of)}
            numbers = {number: name for name, number in _numbers(connection, set(names)).items()}
            leaves = _fetched(connection, _BESIDE, of)
        found: dict[str, list[Said]] = {}
        for number, (source, flags, snapshot) in heads.items():
            if "rejected" in flags.split("\n"):
                for id_ in of[number]:
                    found.setdefault(id_, []).append(Said(source, snapshot, None))
        for record, product, low, high, stated, *words in leaves:
            if product in numbers:
                leaf = Leaf(numbers[product], low, high, stated, True, *words)
                source, _, snapshot = heads[record]
                for id_ in of[record]:
                    found.setdefault(id_, []).append(Said(source, snapshot, leaf))
        return found

    def cycles(self, product: str) -> list[Cycle]:
        """The release cycles of a product under a feed's own name, as the feed orders them (newest first).
        distro-info's names are ``distro-info:debian`` and ``distro-info:ubuntu``."""
        table = schema.cycle.c
        query = sa.select(table.source, table.data, schema.snapshot.c.sha256).where(table.product == product)
        query = query.join_from(schema.cycle, schema.snapshot, table.snapshot == schema.snapshot.c.number)
        with self.begin() as connection:
            rows = connection.execute(query.order_by(table.at)).all()
        return list(starmap(_cycle, rows))

    def products(self, kind: str = "", identifier: str = "") -> list[str]:
        """Names of products with cycles that carry an identifier: kind ``cpe`` (``vendor:product``), ``purl``,
        ``repology``, ``name``. Without a kind: every product with cycles."""
        table = schema.identifier.c
        if kind:
            query = sa.select(table.product).where(table.kind == kind, table.text == identifier)
        else:
            query = sa.select(schema.cycle.c.product).distinct()
        with self.begin() as connection:
            return sorted(row[0] for row in connection.execute(query))

    def releases(self, product: str) -> list[Release]:
        """Versions of a product with their days, under endoflife.date's name, newest first."""
        table = schema.release.c
        query = sa.select(table.version, table.day, schema.snapshot.c.sha256).where(table.product == product)
        query = query.join_from(schema.release, schema.snapshot, table.snapshot == schema.snapshot.c.number)
        with self.begin() as connection:
            rows = connection.execute(query.order_by(table.day.desc(), table.version.desc())).all()
        return [Release(product=product, version=row[0], day=row[1], snapshot=row[2]) for row in rows]

    def changed_since(self, snapshot: str) -> list[Change]:
        """What imports after that of the snapshot (SHA-256) brought, changed or withdrew. Unknown snapshot:
        :class:`banbury.model.errors.InputError`."""
        table = schema.record.c
        with self.begin() as connection:
            query = sa.select(sa.func.max(schema.snapshot.c.number)).where(schema.snapshot.c.sha256 == snapshot)
            number = connection.execute(query).scalar()
            if number is None:
                raise InputError(f"no snapshot {snapshot[:64]} in {self.path}")
            changed = sa.select(table.source, table.id, table.first, table.flags).where(table.snapshot > number)
            rows = connection.execute(changed.order_by(table.id, table.source)).all()
        return [
            Change(
                source=row[0],
                id=row[1],
                what="withdrawn" if "rejected" in _lines(row[3]) else "new" if row[2] > number else "changed",
            )
            for row in rows
        ]


def _snapshot(row: Any) -> Snapshot:
    names = Snapshot.__struct_fields__
    parts = msgspec.msgpack.decode(row["parts"], type=list[FeedPart]) if row["parts"] else []
    return Snapshot(**{name: row[name] for name in names} | {"kind": FeedKind(row["kind"]), "parts": parts})


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _cycle(source: str, data: bytes, snapshot: str) -> Cycle:
    row = msgspec.msgpack.decode(data, type=CycleRow)
    fields = {name: getattr(row, name) for name in CycleRow.__struct_fields__ if name != "at"}
    return Cycle(**fields, source=source, snapshot=snapshot)


def _fetched(
    connection: Connection,
    statement: str,
    among: Iterable[str | int] | None = None,
    before: tuple[str | int, ...] = (),
) -> list[Any]:
    """Rows as the driver gives them: for the statements that return tens of thousands. Where ``among`` is given, the
    statement ends with ``IN`` and what it holds: in one list, since SQLite limits the number of bound values.
    ``before`` are the values that come before it."""
    driver: Any = connection.connection.dbapi_connection
    if among is None:
        rows: list[Any] = driver.execute(statement).fetchall()
    else:
        values = msgspec.json.encode(list(among)).decode()
        rows = driver.execute(statement + " (SELECT value FROM json_each(?))", (*before, values)).fetchall()  # noqa: S608
    return rows


def _numbers(connection: Connection, names: set[str]) -> dict[str, int]:
    return dict(_fetched(connection, "SELECT name, number FROM product WHERE name IN", names))


def _hits(wanted: Sequence[Wanted], found: list[Any], heads: dict[int, Advisory]) -> list[Hit]:
    leaves: dict[tuple[Any, ...], Leaf] = {}
    trees: dict[bytes, bytes] = {}
    hits = []
    for at, record, *span, tree in found:
        asked = wanted[at]
        key = (asked.name, *span)
        leaf = leaves.get(key)
        if leaf is None:
            low, high, stated, *words = span
            leaf = leaves[key] = Leaf(asked.name, low, high, stated, True, *words)
        hits.append(Hit(asked, leaf, heads[record], trees.setdefault(tree, tree) if tree is not None else None))
    return hits


_HEADS: Final = (
    "SELECT number, source, id, modified, published, summary, cvss, vector, flags, aliases, ssvc, weaknesses, snapshot "
    "FROM record WHERE number IN"
)


#: Shared by the many records that have none.
_NONE: Final[list[str]] = []


def _heads(connection: Connection, numbers: Iterable[int]) -> dict[int, Advisory]:
    digests = dict(_fetched(connection, "SELECT number, sha256 FROM snapshot"))
    found: dict[int, Advisory] = {}
    for row in _fetched(connection, _HEADS, sorted(numbers)):
        flags, aliases, ssvc, weaknesses = (many.split("\n") if many else _NONE for many in row[8:12])
        found[row[0]] = Advisory(
            number=row[0], source=row[1], id=row[2], modified=row[3], published=row[4], summary=row[5], cvss=row[6],
            vector=row[7], flags=flags, aliases=aliases, ssvc=ssvc, weaknesses=weaknesses, snapshot=digests[row[12]],
        )  # fmt: skip
    return found
