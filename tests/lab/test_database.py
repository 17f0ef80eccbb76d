"""The same statements on SQLite and on Postgres; every schema that was ever released still opens."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from banbury.lab import database as module
from banbury.lab import migrations
from banbury.lab.database import SCHEMA_VERSION, Database, metadata
from banbury.lab.workspace import Workspace
from banbury.model.errors import InputError, StoreError
from tests.lab.postgres import running_postgres

FIXTURES = Path(__file__).parent / "fixtures"
A, B = "a" * 64, "b" * 64
TABLES = ("custody", "dissection", "examination", "release")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.sqlite'}"
    server = str(request.getfixturevalue("postgres"))
    schema = f"test_{abs(hash(request.node.name))}"
    with connected(server) as connection:
        connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
        connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
    return f"{server}&options=-csearch_path%3D{schema}"


def connected(url: str) -> Any:
    return module._connect(url).begin()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.close()


def dissected(
    blob: str, method: str = "m", outcome: str = "done", why: str = "", record: bytes = b"x"
) -> dict[str, Any]:
    return {"blob": blob, "method": method, "outcome": outcome, "why": why, "record": record}


def rows_of(url: str) -> dict[str, list[Any]]:
    with connected(url) as connection:
        return {t: [tuple(r) for r in connection.execute(sa.text(f"SELECT * FROM {t} ORDER BY 1, 2"))] for t in TABLES}


def differences(url: str) -> list[Any]:
    with connected(url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))


def test_rows_come_back_by_their_key(database: Database) -> None:
    every_byte = bytes(range(256))
    database.save(
        [dissected(A, record=every_byte), dissected(B, method="other")], [{"blob": A, "place": "", "record": b""}]
    )

    assert database.dissections([A, B], "m") == {A: ("done", "", every_byte)}
    assert database.dissections([A, B], "other") == {B: ("done", "", b"x")}
    assert database.examinations([A]) == {(A, ""): b""}
    assert database.dissections([], "m") == {}


def test_the_same_key_again_replaces(database: Database) -> None:
    database.save([dissected(A)], [{"blob": A, "place": "p", "record": b"1"}])
    database.save([dissected(A, record=b"y")], [{"blob": A, "place": "p", "record": b"2"}])

    assert database.dissections([A], "m")[A][2] == b"y"
    assert database.examinations([A]) == {(A, "p"): b"2"}


def test_more_rows_than_one_statement_takes(database: Database) -> None:
    blobs = [f"{i:064x}" for i in range(1300)]
    database.save([dissected(b) for b in blobs], [{"blob": b, "place": "", "record": b"r"} for b in blobs])

    assert len(database.dissections(blobs, "m")) == len(database.examinations(blobs)) == 1300


def test_rows_are_written_together_or_not_at_all(database: Database) -> None:
    with pytest.raises(StoreError, match="database cannot be used"):
        database.save([dissected(A)], [{"blob": B, "place": "", "record": None}])

    assert database.dissections([A], "m") == {}


def test_failures_are_forgotten_and_nothing_else(database: Database) -> None:
    database.save([dissected(A), dissected(B, outcome="failed", why="killed")], [])

    assert database.forget_failures() == 1
    assert set(database.dissections([A, B], "m")) == {A}


def test_text_that_no_database_takes_is_kept_readable(database: Database) -> None:
    database.save([dissected(A, why="step \0 of \udc80")], [])
    database.add_custody("r", "received", "name \udcff\0")

    assert database.dissections([A], "m")[A][1] == "step \\x00 of \\udc80"
    assert [e["detail"] for e in database.custody_of("r")] == ["name \\udcff\\x00"]


def test_a_release_is_new_once(database: Database) -> None:
    assert [database.save_release("r", "label", b"{}") for _ in range(2)] == [True, False]


def test_custody_is_in_order_and_nobody_changes_it(database: Database, url: str) -> None:
    for event in ("received", "evaluated", "evaluated"):
        database.add_custody("r", event, "{}")
    for statement in ("UPDATE custody SET event = 'x'", "DELETE FROM custody"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), connected(url) as connection:
            connection.execute(sa.text(statement))

    assert [e["event"] for e in database.custody_of("r")] == ["received", "evaluated", "evaluated"]
    assert database.custody_of("other") == []


def test_inventories_keep_their_order_and_what_was_matched(database: Database) -> None:
    for release, record in (("r2", b"2"), ("r1", b"1"), ("r2", b"3")):
        database.save_inventory(release, "label \0", record)
    database.save_first_matched("r1", b"first")
    database.save_first_matched("r1", b"later")
    database.save_matched({"r2": b"x"})

    assert [(r, record, matched) for r, _, record, matched in database.inventories()] == [
        ("r2", b"3", b"x"),
        ("r1", b"1", b"first"),
    ]


def test_decisions_are_in_order_and_nobody_changes_them(database: Database, url: str) -> None:
    for record in (b"1", b"2"):
        database.add_decision("CVE-2030-0001", "curl", record)
    for statement in ("UPDATE decision SET product = 'x'", "DELETE FROM decision"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), connected(url) as connection:
            connection.execute(sa.text(statement))

    assert database.decisions() == [b"1", b"2"]


def test_one_writer_in_postgres(postgres: str) -> None:
    first = Database(postgres)
    with pytest.raises(StoreError, match="in use by another run"):
        Database(postgres)
    first.close()
    Database(postgres).close()


def test_the_history_is_one_line_and_ends_at_this_schema() -> None:
    assert [s.revision for s in migrations.history()] == [f"{n:04}" for n in range(1, SCHEMA_VERSION + 1)]


def test_models_and_migrations_make_the_same_tables(url: str) -> None:
    with connected(url) as connection:
        migrations.upgrade(connection, 0)

    assert differences(url) == []


def test_a_fresh_database_is_of_this_schema(url: str) -> None:
    Database(url).close()
    Database(url).close()

    assert differences(url) == []
    with connected(url) as connection:
        assert connection.execute(sa.text("SELECT version FROM schema_info")).all() == [(SCHEMA_VERSION,)]


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("schema-*.sql")), ids=lambda p: p.stem)
def test_every_released_schema_is_brought_up_to_date(path: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    with sqlite3.connect(tmp_path / "old.sqlite") as old:
        old.executescript(path.read_text())
    before = rows_of(url)
    opened = Database(url)
    known = opened.dissections([A, B], "m" * 64)
    events = [e["event"] for e in opened.custody_of("r" * 64)]
    opened.close()

    assert known[B][:2] == ("failed", "killed by SIGSEGV")
    assert events == ["received", "evaluated"]
    assert rows_of(url) == before
    assert_current(url)


def assert_current(url: str) -> None:
    assert differences(url) == []
    with connected(url) as connection:
        assert connection.execute(sa.text("SELECT version FROM schema_info")).scalar() == SCHEMA_VERSION
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), connected(url) as connection:
        connection.execute(sa.text("DELETE FROM custody"))


def make_schema_1(url: str) -> None:
    with connected(url) as connection, migrations.Operations.context(MigrationContext.configure(connection)):
        migrations.history()[0].module.upgrade()
        connection.execute(module.schema_info.insert().values(version=1))
        connection.execute(
            module.custody.insert().values(release="r", at="2026-01-01T00:00:00Z", event="received", detail="{}")
        )


def test_the_first_schema_is_brought_up_to_date_anywhere(url: str) -> None:
    make_schema_1(url)
    before = rows_of(url)
    Database(url).close()

    assert rows_of(url) == before
    assert_current(url)


def test_a_migration_that_fails_changes_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def upgrade(connection: sa.Connection, found: int) -> None:
        connection.exec_driver_sql("ALTER TABLE custody ADD COLUMN more TEXT")
        connection.exec_driver_sql("DROP TABLE dissection")
        connection.exec_driver_sql("SELECT nothing FROM nowhere")

    make_schema_1(url)
    before = rows_of(url)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "upgrade", upgrade)
        with pytest.raises(StoreError, match="cannot be used"):
            Database(url)

    assert rows_of(url) == before
    Database(url).close()
    assert_current(url)


def test_a_newer_schema_is_refused(url: str) -> None:
    Database(url).close()
    with connected(url) as connection:
        connection.execute(sa.text(f"UPDATE schema_info SET version = {SCHEMA_VERSION + 1}"))

    with pytest.raises(StoreError, match=f"schema {SCHEMA_VERSION + 1}, this program knows {SCHEMA_VERSION}"):
        Database(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "cannot be read"),
        ("nosuch://host/x", "cannot be read"),
        ("mysql+pymysql://u:secret@h/d", "pymysql"),
    ],
)
def test_a_url_that_names_no_database_is_one_line(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"no database at all" * 100)

    with pytest.raises(StoreError, match="not a database"):
        Database(f"sqlite:///{tmp_path / 'x.sqlite'}")


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed (banbury[scale])")

    with pytest.raises(StoreError, match="cannot be used") as caught:
        Database(f"postgresql://user:secret@/x?host={tmp_path}")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_was_committed_survives_a_power_cut(tmp_path: Path) -> None:
    """Blobs are flushed before the rows that name them, and a commit waits for the disk."""
    opened = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    with opened._begin() as connection:
        settings = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    opened.close()

    assert settings == ["wal", 2]


def test_an_ordinary_run_does_not_import_alembic(tmp_path: Path) -> None:
    text = f"""
import sys
from pathlib import Path
from banbury.lab.workspace import Workspace
for _ in range(2):
    with Workspace(Path({str(tmp_path / "w")!r})):
        pass
print(sorted(m for m in ("alembic", "psycopg", "obstore", "distributed") if m in sys.modules))
"""
    ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)

    assert ran.stdout == "[]\n"


def test_a_workspace_keeps_its_rows_where_it_is_told_to(postgres: str, tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(f'database = "{postgres}"\n')
    with Workspace(tmp_path) as workspace:
        workspace.database.add_custody("w", "received", "{}")
    with Workspace(tmp_path) as workspace:
        assert [e["event"] for e in workspace.database.custody_of("w")] == ["received"]
    assert not (tmp_path / "banbury.sqlite").exists()
