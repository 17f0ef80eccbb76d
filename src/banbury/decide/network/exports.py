"""What all importers share: reading an export, and rows on their way into the tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from banbury.decide.network.tables import LONGEST, tables
from banbury.model.errors import InputError

#: The largest export that is read, in bytes: it is held in memory whole.
LARGEST = 512 << 20


class Mapping(msgspec.Struct, forbid_unknown_fields=True):
    """``data/mapping_netbox.toml``."""

    roles: dict[str, str] = {}
    fields: dict[str, str] = {}
    site_fields: dict[str, str] = {}
    defaults: dict[str, str] = {}


class Bench:
    """Rows on their way into the tables: text by column, sites and vendors once each."""

    def __init__(self, mapping: Mapping, operator: str) -> None:
        self.mapping = mapping
        self.operator = operator
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in tables()}
        self.missing: dict[str, int] = {}
        self._known: dict[str, set[str]] = {"sites": set(), "vendors": set()}

    def miss(self, what: str) -> None:
        """Count something that the export did not say."""
        self.missing[what] = self.missing.get(what, 0) + 1

    def add(self, table: str, row: dict[str, Any]) -> None:
        """Enter a row; values become text, empty ones are left out."""
        kept = {key: text(value) for key, value in row.items() if key in tables()[table].columns}
        self.rows[table].append({key: value for key, value in kept.items() if value})

    def once(self, table: str, name: str, row: dict[str, Any]) -> None:
        """Enter a site or vendor unless it is there."""
        if name not in self._known[table]:
            self._known[table].add(name)
            self.add(table, {"id": name, **row})


def text(value: Any) -> str:
    """A value of an export as the text of a cell: one line, without control characters, of bounded length."""
    if value is None or isinstance(value, bool | list | dict):
        return "" if not isinstance(value, bool) else str(value).lower()
    line = "".join(c if c.isprintable() else " " for c in str(value)[: LONGEST + 1]).strip()
    return line[: LONGEST + 1]


def read(path: Path) -> bytes:
    """The bytes of an export. Raises :class:`InputError`."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            raise InputError(f"{path.name}: not a regular file, or larger than {LARGEST >> 20} MiB")
        return path.read_bytes()
    except OSError as problem:
        raise InputError(f"{path.name}: {problem.strerror}") from problem


def read_json(path: Path) -> Any:
    """An export's JSON. Raises :class:`InputError`, also where it is nested too deeply."""
    try:
        return json.loads(read(path))
    except (ValueError, RecursionError) as problem:
        raise InputError(f"{path.name}: no JSON: {str(problem)[:200]}") from problem
