"""The schema's history: one line of versions, each a module in ``versions`` that changes the schema before it.

Revisions are numbered (``0001``, ``0002``…); the number is what ``schema_info`` holds, so that a program knows without
alembic whether there is anything to do. There is no way back: an older program refuses a newer schema.
A version, once released, is never edited, and uses nothing of the rest of the program, which goes on changing.
"""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy.engine import Connection


def history() -> list[Script]:
    """Every version, oldest first."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return list(ScriptDirectory.from_config(config).walk_revisions())[::-1]


def upgrade(connection: Connection, found: int) -> None:
    """Bring a database of schema ``found`` (0: empty) up to the newest, within the connection's transaction."""
    with Operations.context(MigrationContext.configure(connection)):
        for script in history():
            if int(script.revision) > found:
                script.module.upgrade()
