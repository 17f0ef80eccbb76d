"""The feed store's tables, through SQLAlchemy Core. ``PRAGMA user_version`` is the schema's number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from banbury.model.errors import InputError, StoreError

SCHEMA_VERSION: Final = 5
#: Tells a feed store from any other SQLite file: "bnbF".
APPLICATION: Final = 0x626E6246

metadata = sa.MetaData()

snapshot = sa.Table(
    "snapshot",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("sha256", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("format", sa.String, nullable=False),
    sa.Column("importer", sa.Integer, nullable=False),
    sa.Column("records", sa.Integer, nullable=False),
    sa.Column("ranges", sa.Integer, nullable=False),
    sa.Column("refused", sa.Integer, nullable=False),
    sa.Column("newest", sa.String, nullable=False),
    sa.Column("imported", sa.String, nullable=False),
    sa.Column("licence", sa.String, nullable=False),
    sa.Column("remarks", sa.String, nullable=False),
    sa.Column("parts", sa.LargeBinary, nullable=False, server_default=""),
    sa.UniqueConstraint("sha256", "format"),
)

product = sa.Table(
    "product",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
)

#: Raw records, many to a Zstandard frame; ``ends`` are where each ends, as 32-bit little-endian numbers.
block = sa.Table(
    "block",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("ends", sa.LargeBinary, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

#: What a source says of a vulnerability. Lists are joined by line feeds. ``snapshot`` supplied it, ``first`` was the
#: first to name it.
record = sa.Table(
    "record",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("id", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("modified", sa.String, nullable=False),
    sa.Column("published", sa.String, nullable=False),
    sa.Column("summary", sa.String, nullable=False),
    sa.Column("cvss", sa.Float, nullable=False),
    sa.Column("vector", sa.String, nullable=False),
    sa.Column("flags", sa.String, nullable=False),
    sa.Column("aliases", sa.String, nullable=False),
    sa.Column("ssvc", sa.String, nullable=False),
    sa.Column("weaknesses", sa.String, nullable=False),
    sa.Column("exploited", sa.String, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("block", sa.Integer, nullable=False),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sa.Column("first", sa.Integer, nullable=False),
    sa.UniqueConstraint("id", "source"),
)
sa.Index("record_by_snapshot", record.c.snapshot)
#: Few records say that their vulnerability is exploited: they are found without a look at the others.
sa.Index("record_exploited", record.c.id, sqlite_where=record.c.exploited != "")

alias = sa.Table(
    "alias",
    metadata,
    sa.Column("alias", sa.String, primary_key=True),
    sa.Column("record", sa.Integer, primary_key=True),
    sqlite_with_rowid=False,
)
sa.Index("alias_by_record", alias.c.record)

tree = sa.Table(
    "tree",
    metadata,
    sa.Column("record", sa.Integer, primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

#: Vulnerable leaves. ``tree`` is a place in ``tree``, -1 where the leaf decides alone.
leaf = sa.Table(
    "leaf",
    metadata,
    sa.Column("record", sa.Integer, primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("product", sa.Integer, nullable=False),
    sa.Column("low", sa.LargeBinary, nullable=False),
    sa.Column("high", sa.LargeBinary, nullable=False),
    sa.Column("stated", sa.Integer, nullable=False),
    sa.Column("tree", sa.Integer, nullable=False),
    sa.Column("part", sa.String, nullable=False),
    sa.Column("says", sa.String, nullable=False),
    sa.Column("narrowed", sa.String, nullable=False),
    sa.Column("voice", sa.String, nullable=False, server_default=""),
    sqlite_with_rowid=False,
)
BY_PRODUCT = sa.Index("leaf_by_product", leaf.c.product, leaf.c.low, leaf.c.high)

file = sa.Table(
    "file",
    metadata,
    sa.Column("record", sa.Integer, primary_key=True),
    sa.Column("path", sa.String, primary_key=True),
    sqlite_with_rowid=False,
)

#: Functions that a record names (``programRoutines``).
routine = sa.Table(
    "routine",
    metadata,
    sa.Column("record", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sqlite_with_rowid=False,
)

exploited = sa.Table(
    "exploited",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("added", sa.String, nullable=False),
    sa.Column("due", sa.String, nullable=False),
    sa.Column("ransomware", sa.Boolean, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)

probability = sa.Table(
    "probability",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("percentile", sa.Float, nullable=False),
    sa.Column("day", sa.String, nullable=False),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)

cycle = sa.Table(
    "cycle",
    metadata,
    sa.Column("product", sa.String, primary_key=True),
    sa.Column("at", sa.Integer, primary_key=True),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("snapshot", sa.Integer, nullable=False),
)

identifier = sa.Table(
    "identifier",
    metadata,
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("text", sa.String, primary_key=True),
    sa.Column("product", sa.String, primary_key=True),
    sqlite_with_rowid=False,
)

release = sa.Table(
    "release",
    metadata,
    sa.Column("product", sa.String, primary_key=True),
    sa.Column("version", sa.String, primary_key=True),
    sa.Column("day", sa.String, nullable=False),
    sa.Column("snapshot", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)

#: What brings an older schema up by one; the key is the version that it starts from.
MIGRATIONS: Final[dict[int, tuple[str, ...]]] = {
    1: ("CREATE INDEX record_exploited ON record (id) WHERE exploited != ''",),
    2: ("CREATE TABLE routine (record INTEGER NOT NULL, name VARCHAR NOT NULL, PRIMARY KEY (record, name))",),
    3: ("ALTER TABLE snapshot ADD COLUMN parts BLOB NOT NULL DEFAULT ''",),
    4: ("ALTER TABLE leaf ADD COLUMN voice VARCHAR NOT NULL DEFAULT ''",),
}


def connect(path: Path, *, create: bool) -> Engine:
    """The engine for a feed store's file, its schema up to date.

    :class:`InputError` where the file is absent (without ``create``) or is no feed store, :class:`StoreError` where its
    schema is newer than this program.
    """
    if not path.exists() and not create:
        raise InputError(f"{path}: no feed store", hint="import feeds first: banbury feeds import FILE…")
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)))
    sa.event.listen(engine, "connect", _tune)
    sa.event.listen(engine, "begin", _begin)
    try:
        with errors(path), engine.begin() as connection:
            _open(connection, path)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _open(connection: Connection, path: Path) -> None:
    version = connection.exec_driver_sql("PRAGMA user_version").scalar() or 0
    application = connection.exec_driver_sql("PRAGMA application_id").scalar() or 0
    if not version and not application and not sa.inspect(connection).get_table_names():
        metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
    elif application != APPLICATION:
        raise InputError(f"{path}: no feed store")
    elif version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} has schema {version}, this program knows {SCHEMA_VERSION}",
            hint="use the program version that made it, or import the feeds into a new one",
        )
    else:
        for step in range(version, SCHEMA_VERSION):
            for statement in MIGRATIONS[step]:
                connection.exec_driver_sql(statement)
    if version != SCHEMA_VERSION:
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def errors(path: Path) -> Iterator[None]:
    """What the database refuses, in one line."""
    try:
        yield
    except sa.exc.DBAPIError as problem:
        line = " ".join(str(problem.orig).split())[:300]
        if "not a database" in line:
            raise InputError(f"{path}: no feed store") from problem
        raise StoreError(f"{path}: the feed store cannot be used: {line}") from problem


def _tune(connection: Any, _: object) -> None:
    """A rollback journal: an import is one transaction, and a write-ahead log would hold all of it twice."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("synchronous=FULL", "busy_timeout=120000", "cache_size=-65536", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
