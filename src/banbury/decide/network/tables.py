"""The tables of an inventory as data: ``data/tables.toml``."""

from __future__ import annotations

import json
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

#: DuckDB's type for each of ours.
SQL = {
    "id": "VARCHAR",
    "text": "VARCHAR",
    "country": "VARCHAR",
    "number": "DOUBLE",
    "integer": "BIGINT",
    "date": "DATE",
}
#: The longest cell, in characters: names are short, and a report must be able to show them.
LONGEST = 1000


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column. ``references``: ``table.column`` in which a value must exist."""

    type: str
    text: str
    required: bool = False
    unit: str = ""
    min: float | None = None
    max: float | None = None
    values: tuple[str, ...] = ()
    pattern: str = ""
    references: str = ""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table; ``key``: columns that name a row."""

    required: bool
    key: tuple[str, ...]
    text: str
    columns: dict[str, Column]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    common: dict[str, Column]
    tables: dict[str, Table]


def parse(text: str) -> dict[str, Table]:
    """The tables in TOML ``text``, by name, each with the common columns at its end. Raises :class:`ValueError`."""
    file = msgspec.convert(tomllib.loads(text), _File)
    result = {
        name: msgspec.structs.replace(table, columns={**table.columns, **file.common})
        for name, table in file.tables.items()
    }
    for name, table in result.items():
        for key, column in table.columns.items():
            if column.type not in SQL or not set(table.key) <= set(table.columns):
                raise ValueError(f"table {name}, column {key}")
            other, _, field = column.references.partition(".")
            if other and other != "functions" and field not in result[other].columns:
                raise ValueError(f"table {name}, column {key}: references {column.references}")
    return result


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@cache
def tables() -> dict[str, Table]:
    """The tables that are shipped, by name."""
    return parse((files("banbury.decide") / "data" / "tables.toml").read_text("utf-8"))


def _property(column: Column) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {
        "id": {"type": "string", "minLength": 1, "maxLength": LONGEST},
        "text": {"type": "string", "maxLength": LONGEST},
        "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "number": {"type": "number"},
        "integer": {"type": "integer"},
        "date": {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    }
    found = dict(kinds[column.type])
    found["description"] = column.text + (f" (unit: {column.unit})" if column.unit else "")
    if column.values:
        found["enum"] = list(column.values)
    if column.pattern:
        found["pattern"] = column.pattern
    if column.min is not None:
        found["minimum"] = column.min
    if column.max is not None:
        found["maximum"] = column.max
    if column.references:
        found["x-references"] = column.references
    return found


#: The schema's file below ``docs/schema``.
NAME = "network-v1.json"


def published() -> str:
    """JSON Schema (draft 2020-12) of an inventory whose tables are arrays of records; ends with a line feed."""
    definitions = {
        name: {
            "type": "object",
            "description": table.text,
            "properties": {key: _property(column) for key, column in table.columns.items()},
            "patternProperties": {"^x_": {}},
            "required": [key for key, column in table.columns.items() if column.required],
            "additionalProperties": False,
            "x-key": list(table.key),
        }
        for name, table in tables().items()
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Banbury network inventory, version 1",
        "description": "Each property is a table: the file NAME.csv or NAME.parquet of an inventory's folder.",
        "type": "object",
        "properties": {name: {"type": "array", "items": {"$ref": f"#/$defs/{name}"}} for name in definitions},
        "required": [name for name, table in tables().items() if table.required],
        "additionalProperties": False,
        "$defs": definitions,
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
