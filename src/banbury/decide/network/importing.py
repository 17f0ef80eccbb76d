"""Exports of other systems into tables.

An importer states only what the export says. What an inventory needs and the export lacks is left out (a device whose
role means no known function keeps the role as its function, so that the check names the row) and remarked on.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Callable
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import msgspec

from banbury.decide.network.tables import LONGEST, tables
from banbury.decide.network.writing import Draft
from banbury.model.errors import InputError

#: The largest export that is read, in bytes: it is held in memory whole.
LARGEST = 512 << 20


class Mapping(msgspec.Struct, forbid_unknown_fields=True):
    """``data/mapping_netbox.toml``."""

    roles: dict[str, str] = {}
    fields: dict[str, str] = {}
    site_fields: dict[str, str] = {}
    defaults: dict[str, str] = {}


class Done(msgspec.Struct):
    """What came in: rows by table, and what could not be told."""

    rows: dict[str, int]
    remarks: list[str]


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


def _mapping(path: Path | None) -> Mapping:
    try:
        if path is None:
            said = (package_files("banbury.decide") / "data" / "mapping_netbox.toml").read_text("utf-8")
        else:
            said = read(path).decode("utf-8")
        return msgspec.convert(tomllib.loads(said), Mapping)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as problem:
        raise InputError(f"{path.name if path else 'mapping'}: {str(problem)[:200]}") from problem


def bring_in(
    paths: list[Path], form: str, out: Path, *, mapping: Path | None, operator: str, as_of: str, asserted_by: str
) -> Done:
    """Read ``paths`` as ``form`` and write tables into ``out``. Raises :class:`InputError`.

    ``as_of``: the day for which the exports speak, YYYY-MM-DD.
    """
    from banbury.decide.network import cyclonedx, netbox, nrm

    importers: dict[str, Callable[[Path, Bench], None]] = {
        "netbox-json": netbox.from_json,
        "netbox-csv": netbox.from_csv,
        "3gpp-nrm": nrm.from_file,
        "cyclonedx": cyclonedx.from_file,
    }
    try:
        dt.date.fromisoformat(as_of)
    except ValueError as problem:
        raise InputError(f"--as-of: {as_of[:40]!r} is no date (YYYY-MM-DD)") from problem
    bench = Bench(_mapping(mapping), operator)
    for path in paths:
        importers[form](path, bench)
    draft = Draft(asserted_by or f"{form}: {', '.join(p.name for p in paths)}"[:LONGEST], as_of)
    for name, rows in bench.rows.items():
        if rows:
            columns = {key: [row.get(key) for row in rows] for key in tables()[name].columns if key not in draft.common}
            draft.add(name, **columns)
    draft.write(out, as_text=True)
    remarks = [f"{count:,} × {what}" for what, count in sorted(bench.missing.items())]
    return Done({name: draft.count(name) for name in draft.tables()}, remarks)
