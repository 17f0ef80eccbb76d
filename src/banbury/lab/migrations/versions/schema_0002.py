"""Custody is append-only in the database too: it refuses to change or remove a row."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_SQLITE = (
    (
        "CREATE TRIGGER custody_no_update BEFORE UPDATE ON custody "
        "BEGIN SELECT RAISE(ABORT, 'custody is append-only'); END"
    ),
    (
        "CREATE TRIGGER custody_no_delete BEFORE DELETE ON custody "
        "BEGIN SELECT RAISE(ABORT, 'custody is append-only'); END"
    ),
)
_POSTGRES = (
    (
        "CREATE FUNCTION custody_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'custody is append-only'; END $$"
    ),
    (
        "CREATE TRIGGER custody_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON custody "
        "FOR EACH STATEMENT EXECUTE FUNCTION custody_is_append_only()"
    ),
)


def upgrade() -> None:
    """From schema 1 to schema 2."""
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRES:
        op.get_bind().exec_driver_sql(statement)
