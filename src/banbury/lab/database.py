"""The laboratory's tables, through SQLAlchemy Core: SQLite in a workspace, Postgres at scale by the same statements.

Analysis results are a cache that also is the run's durable ledger: a row says what one tool made of one blob, and a
run that was killed goes on from the rows that it committed. Custody is append-only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from banbury.model.errors import StoreError

SCHEMA_VERSION = 1

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


class Database:
    """One workspace's tables. A single process writes; that is what keeps SQLite fast and simple."""

    def __init__(self, url: str) -> None:
        self._engine: Engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _tune_sqlite)
        self._open()

    def _open(self) -> None:
        try:
            metadata.create_all(self._engine)
            with self._engine.begin() as connection:
                found = connection.execute(sa.select(schema_info.c.version)).scalar()
                if found is None:
                    connection.execute(schema_info.insert().values(version=SCHEMA_VERSION))
        except sa.exc.DatabaseError as problem:
            raise StoreError(f"the workspace's database cannot be used: {problem.orig}") from problem
        if found is not None and found != SCHEMA_VERSION:
            raise StoreError(
                f"the workspace has schema {found}, this program needs {SCHEMA_VERSION}",
                hint="evaluate into a new workspace, or use the program version that made this one",
            )

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

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
        with self._engine.begin() as connection:
            _replace(connection, dissection, list(dissections))
            _replace(connection, examination, list(examinations))

    def forget_failures(self) -> int:
        """Remove dissections that failed, so that they are tried again; returns how many."""
        with self._engine.begin() as connection:
            return connection.execute(dissection.delete().where(dissection.c.outcome != "done")).rowcount

    def save_release(self, release_id: str, label: str, record: bytes) -> bool:
        """Record a release; returns whether it is new."""
        with self._engine.begin() as connection:
            known = connection.execute(sa.select(release.c.id).where(release.c.id == release_id)).scalar()
            if known is None:
                connection.execute(release.insert().values(id=release_id, label=label, record=record))
        return known is None

    def add_custody(self, release_id: str, event: str, detail: str) -> None:
        """Append one event with the time now (UTC)."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._engine.begin() as connection:
            connection.execute(custody.insert().values(release=release_id, at=at, event=event, detail=detail))

    def custody_of(self, release_id: str) -> list[dict[str, Any]]:
        """Every event of a release, oldest first."""
        table = custody.c
        query = sa.select(table.at, table.event, table.detail).where(table.release == release_id)
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query.order_by(table.sequence))]

    def _in_parts(self, query: sa.Select[Any], column: sa.Column[Any], values: Sequence[str]) -> list[Any]:
        rows: list[Any] = []
        with self._engine.connect() as connection:
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


def _tune_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
