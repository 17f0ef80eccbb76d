"""The list of well-known default passwords, read once from its data file."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Final

LIMIT: Final = 58


@cache
def default_passwords() -> tuple[str, ...]:
    """The passwords in the data file's order, each once, at most :data:`LIMIT`."""
    table = tomllib.loads((files("banbury.inspect") / "data" / "default_passwords.toml").read_text("utf-8"))
    values = dict.fromkeys(value for group in table["passwords"] for value in group["values"])
    return tuple(values)[:LIMIT]


def candidates_for(name: str) -> list[str]:
    """What to try for the account ``name``: its own name, then the list."""
    return list(dict.fromkeys([name, *default_passwords()]))
