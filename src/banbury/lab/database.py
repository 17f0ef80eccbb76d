"""The laboratory's tables, through SQLAlchemy Core: SQLite in a workspace, Postgres at scale by the same statements.

Analysis results are a cache that also is the run's durable ledger: a row says what one tool made of one blob, and a
run that was killed goes on from the rows that it committed. Custody is append-only, and the database sees to that.

The tables below are the schema that this program speaks. A database of an older one is brought up to it by
:mod:`banbury.lab.migrations`, in one transaction; a newer one is refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from banbury.model.errors import InputError, StoreError

SCHEMA_VERSION = 4
_HINT = "make room, or mend it; the next run goes on from what was done"
#: The first half of the key of Postgres' advisory lock (the second is the schema's name): "bnby".
_LOCK = 0x626E6279

metadata = sa.MetaData()

schema_info = sa.Table("schema_info", metadata, sa.Column("version", sa.Integer, primary_key=True))

#: What the readers made of a blob. ``method`` is a digest of every reader's name and version and of the budgets.
dissection = sa.Table(
    "dissection",
    metadata,
    sa.Column("blob", sa.String(64), primary_key=True),
    sa.Column("method", sa.String(64), primary_key=True),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
)

#: What inspectors made of a blob: one row per blob (``place`` empty) and one per blob and path for those that use it.
examination = sa.Table(
    "examination",
    metadata,
    sa.Column("blob", sa.String(64), primary_key=True),
    sa.Column("place", sa.String(64), primary_key=True),
    sa.Column("record", sa.LargeBinary, nullable=False),
)

#: What was shown of two contents. ``method`` is a digest of the code and rules that compared them and of the build
#: records that were used.
comparison = sa.Table(
    "comparison",
    metadata,
    sa.Column("rebuilt", sa.String(64), primary_key=True),
    sa.Column("shipped", sa.String(64), primary_key=True),
    sa.Column("method", sa.String(64), primary_key=True),
    sa.Column("record", sa.LargeBinary, nullable=False),
)

#: A release as it was handed over: the digest of its manifest and artefacts.
release = sa.Table(
    "release",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
)

#: What happened to a release's bytes and when; rows are only ever added.
custody = sa.Table(
    "custody",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("release", sa.String(64), nullable=False, index=True),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("event", sa.String(32), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)

#: What a release is made of, and what was last matched against it (``b""``: nothing yet). ``sequence`` counts the
#: inventories as they were first kept.
inventory = sa.Table(
    "inventory",
    metadata,
    sa.Column("release", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
    sa.Column("matched", sa.LargeBinary, nullable=False),
)

#: Analysts' decisions on vulnerabilities; rows are only ever added.
decision = sa.Table(
    "decision",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("vulnerability", sa.String(80), nullable=False, index=True),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
)

_KEPT = ("custody", "decision")

#: What refuses to change or remove custody and decisions, by dialect.
APPEND_ONLY: dict[str, tuple[str, ...]] = {
    "sqlite": tuple(
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in _KEPT
        for verb in ("UPDATE", "DELETE")
    ),
    "postgresql": tuple(
        statement
        for table in _KEPT
        for statement in (
            (
                f"CREATE FUNCTION {table}_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
            ),
            (
                f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_is_append_only()"
            ),
        )
    ),
}


class Database:
    """One workspace's tables. A single process writes; that is what keeps SQLite fast and simple."""

    def __init__(self, url: str) -> None:
        self._engine = _connect(url)
        self._held: Connection | None = None
        try:
            with _errors():
                self._hold()
                self._open()
        except BaseException:
            self.close()
            raise

    def _hold(self) -> None:
        """Be the only writer: a workspace's own SQLite file is guarded by the workspace's lock, Postgres by its own."""
        if self._engine.dialect.name != "postgresql":
            return
        self._held = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        query = sa.text("SELECT pg_try_advisory_lock(:key, hashtext(current_schema()))")
        if not self._held.execute(query, {"key": _LOCK}).scalar():
            raise StoreError("the database is in use by another run", hint="wait for it, or use another database")

    def _open(self) -> None:
        """Make the tables, or bring those of an older schema up to date."""
        with self._engine.begin() as connection:
            if not sa.inspect(connection).has_table(schema_info.name):
                metadata.create_all(connection)
                for statement in APPEND_ONLY.get(self._engine.dialect.name, ()):
                    connection.exec_driver_sql(statement)
                connection.execute(schema_info.insert().values(version=SCHEMA_VERSION))
                return
            found = connection.execute(sa.select(sa.func.max(schema_info.c.version))).scalar()
            if found is None:
                raise StoreError("the database does not say which schema it has", hint="use a new workspace")
            if found > SCHEMA_VERSION:
                raise StoreError(
                    f"the database has schema {found}, this program knows {SCHEMA_VERSION}",
                    hint="use the program version that made this workspace, or a new workspace",
                )
            if found < SCHEMA_VERSION:
                from banbury.lab.migrations import upgrade

                upgrade(connection, found)
                connection.execute(schema_info.update().values(version=SCHEMA_VERSION))

    def close(self) -> None:
        """Release the connections, and with them the lock."""
        if self._held is not None:
            self._held.close()
            self._held = None
        self._engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        """A transaction; whatever the database refuses is one :class:`StoreError`."""
        with _errors(), self._engine.begin() as connection:
            yield connection

    def dissections(self, blobs: Sequence[str], method: str) -> dict[str, tuple[str, str, bytes]]:
        """(outcome, why, record) of every blob among ``blobs`` that was dissected by ``method``."""
        table = dissection.c
        query = sa.select(table.blob, table.outcome, table.why, table.record).where(table.method == method)
        return {row[0]: (row[1], row[2], row[3]) for row in self._in_parts(query, table.blob, blobs)}

    def examinations(self, blobs: Sequence[str]) -> dict[tuple[str, str], bytes]:
        """The record of every (blob, place) with a blob among ``blobs``."""
        table = examination.c
        query = sa.select(table.blob, table.place, table.record)
        return {(row[0], row[1]): row[2] for row in self._in_parts(query, table.blob, blobs)}

    def save(self, dissections: Iterable[dict[str, Any]], examinations: Iterable[dict[str, Any]]) -> None:
        """Write rows of both tables in one transaction, replacing those with the same key."""
        with self._begin() as connection:
            _replace(connection, dissection, [{**row, "why": _storable(row["why"])} for row in dissections])
            _replace(connection, examination, list(examinations))

    def comparisons(self, shipped: Sequence[str], method: str) -> dict[tuple[str, str], bytes]:
        """The record of every (rebuilt, shipped) pair with a content among ``shipped`` that ``method`` compared."""
        table = comparison.c
        query = sa.select(table.rebuilt, table.shipped, table.record).where(table.method == method)
        return {(row[0], row[1]): row[2] for row in self._in_parts(query, table.shipped, shipped)}

    def save_comparisons(self, rows: list[dict[str, Any]]) -> None:
        """Write rows of comparisons in one transaction, replacing those with the same key."""
        with self._begin() as connection:
            _replace(connection, comparison, rows)

    def forget_failures(self) -> int:
        """Remove dissections that failed, so that they are tried again; returns how many."""
        with self._begin() as connection:
            return connection.execute(dissection.delete().where(dissection.c.outcome != "done")).rowcount

    def save_release(self, release_id: str, label: str, record: bytes) -> bool:
        """Record a release; returns whether it is new."""
        with self._begin() as connection:
            known = connection.execute(sa.select(release.c.id).where(release.c.id == release_id)).scalar()
            if known is None:
                connection.execute(release.insert().values(id=release_id, label=_storable(label), record=record))
        return known is None

    def save_inventory(self, release_id: str, label: str, record: bytes) -> None:
        """Keep a release's inventory. What was last matched against it stays: the next matching says what changed."""
        table = inventory.c
        with self._begin() as connection:
            held = connection.execute(sa.select(table.record).where(table.release == release_id)).scalar()
            if held == record:
                return
            if held is not None:
                change = inventory.update().where(table.release == release_id)
                connection.execute(change.values(record=record, label=_storable(label)))
                return
            last = connection.execute(sa.select(sa.func.max(table.sequence))).scalar() or 0
            row = {"release": release_id, "sequence": last + 1, "label": _storable(label), "record": record}
            connection.execute(inventory.insert().values(**row, matched=b""))

    def inventories(self) -> list[tuple[str, str, bytes, bytes]]:
        """(release, label, record, matched) of every inventory, in the order in which they were first kept."""
        table = inventory.c
        query = sa.select(table.release, table.label, table.record, table.matched).order_by(table.sequence)
        with self._begin() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]

    def save_matched(self, rows: dict[str, bytes]) -> None:
        """Keep what was matched against each release, in one transaction."""
        with self._begin() as connection:
            for release_id, matched in rows.items():
                change = inventory.update().where(inventory.c.release == release_id)
                connection.execute(change.values(matched=matched))

    def save_first_matched(self, release_id: str, matched: bytes) -> None:
        """Keep what was matched against a release where nothing was kept yet."""
        table = inventory.c
        change = inventory.update().where(table.release == release_id, table.matched == b"")
        with self._begin() as connection:
            connection.execute(change.values(matched=matched))

    def add_decision(self, vulnerability: str, product: str, record: bytes) -> None:
        """Append one decision."""
        row = {"vulnerability": _storable(vulnerability)[:80], "product": _storable(product), "record": record}
        with self._begin() as connection:
            connection.execute(decision.insert().values(row))

    def decisions(self) -> list[bytes]:
        """The record of every decision, oldest first."""
        with self._begin() as connection:
            rows = connection.execute(sa.select(decision.c.record).order_by(decision.c.sequence))
            return [row[0] for row in rows]

    def add_custody(self, release_id: str, event: str, detail: str) -> None:
        """Append one event with the time now (UTC)."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._begin() as connection:
            values = {"release": release_id, "at": at, "event": event, "detail": _storable(detail)}
            connection.execute(custody.insert().values(values))

    def custody_of(self, release_id: str) -> list[dict[str, Any]]:
        """Every event of a release, oldest first."""
        table = custody.c
        query = sa.select(table.at, table.event, table.detail).where(table.release == release_id)
        with self._begin() as connection:
            return [dict(row._mapping) for row in connection.execute(query.order_by(table.sequence))]

    def _in_parts(self, query: sa.Select[Any], column: sa.Column[Any], values: Sequence[str]) -> list[Any]:
        rows: list[Any] = []
        with self._begin() as connection:
            for at in range(0, len(values), 500):  # SQLite limits the number of bound values
                rows += connection.execute(query.where(column.in_(values[at : at + 500]))).all()
        return rows


def _replace(connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    keys = [c.name for c in table.primary_key.columns]
    where = sa.and_(*(table.c[k] == sa.bindparam(f"key_{k}") for k in keys))
    connection.execute(table.delete().where(where), [{f"key_{k}": row[k] for k in keys} for row in rows])
    connection.execute(table.insert(), rows)


def _storable(text: str) -> str:
    """Text as every database takes it: no NUL, no lone surrogates (from names that are not UTF-8)."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _connect(url: str) -> Engine:
    """SQLAlchemy's engine for a URL; :class:`InputError` where it names none."""
    try:
        parsed = sa.make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = sa.create_engine(parsed)
    except sa.exc.ArgumentError as problem:
        raise InputError("the database URL cannot be read", hint="use postgresql://user@host/database") from problem
    except ImportError as problem:
        raise InputError(f"the database needs {problem.name}", hint="install banbury[scale]") from problem
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _tune_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def _errors() -> Iterator[None]:
    """What the database refuses, in one line."""
    try:
        yield
    except sa.exc.DBAPIError as problem:
        line = " ".join(str(problem.orig).split())[:300]
        raise StoreError(f"the workspace's database cannot be used: {line}", hint=_HINT) from problem


def _tune_sqlite(connection: Any, _: object) -> None:
    """Write-ahead log, every commit on the disk before it counts (custody is evidence), transactions begun by us: the
    driver would begin none before a change of the schema."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
