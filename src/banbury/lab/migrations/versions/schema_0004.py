"""Inventories of releases, what was last matched against them, and analysts' decisions, which are append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_SQLITE = (
    (
        "CREATE TRIGGER decision_no_update BEFORE UPDATE ON decision "
        "BEGIN SELECT RAISE(ABORT, 'decision is append-only'); END"
    ),
    (
        "CREATE TRIGGER decision_no_delete BEFORE DELETE ON decision "
        "BEGIN SELECT RAISE(ABORT, 'decision is append-only'); END"
    ),
)
_POSTGRES = (
    (
        "CREATE FUNCTION decision_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'decision is append-only'; END $$"
    ),
    (
        "CREATE TRIGGER decision_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON decision "
        "FOR EACH STATEMENT EXECUTE FUNCTION decision_is_append_only()"
    ),
)


def upgrade() -> None:
    """From schema 3 to schema 4."""
    op.create_table(
        "inventory",
        sa.Column("release", sa.String(64), primary_key=True),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("matched", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "decision",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("vulnerability", sa.String(80), nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_decision_vulnerability", "decision", ["vulnerability"])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRES:
        op.get_bind().exec_driver_sql(statement)
