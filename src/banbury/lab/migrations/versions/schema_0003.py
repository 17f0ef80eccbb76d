"""What was shown of two contents is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """From schema 2 to schema 3."""
    op.create_table(
        "comparison",
        sa.Column("rebuilt", sa.String(64), primary_key=True),
        sa.Column("shipped", sa.String(64), primary_key=True),
        sa.Column("method", sa.String(64), primary_key=True),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
