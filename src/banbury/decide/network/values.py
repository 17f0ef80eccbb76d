"""Each cell for itself: is it of its column's type, within its bounds, one of its values; then the typed tables."""

# ruff: noqa: S608 - the names in these queries are those of our own tables; an inventory's text is never among them
from __future__ import annotations

from typing import Any

import duckdb

from banbury.decide.network.problems import LISTED, Problem, Problems
from banbury.decide.network.tables import LONGEST, SQL, Column, quoted, tables

#: Dates outside these years are mistakes in an inventory of equipment.
YEARS = (1950, 2150)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _typed(key: str, column: Column) -> str:
    """The SQL of a cell's value, null where it has none of its type."""
    name = quoted(key)
    if column.type == "date":
        return (
            f"CASE WHEN length({name}) = 10 AND {name}[5] = '-' AND {name}[8] = '-' THEN try_cast({name} AS DATE) END"
        )
    if column.type == "number":
        number = f"CASE WHEN NOT contains({name}, '_') THEN try_cast({name} AS DOUBLE) END"
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    if column.type == "integer":
        return f"CASE WHEN NOT contains({name}, '_') THEN try_cast({name} AS BIGINT) END"
    return name


def _conditions(key: str, column: Column) -> list[tuple[str, str, str]]:
    """(check, SQL that is true where the cell is wrong, what is wrong with it)."""
    name, typed = quoted(key), _typed(key, column)
    found = []
    if column.required:
        found.append((f"{'asserted' if key == 'asserted_by' else 'required'}", f"{name} IS NULL", "empty"))
    if column.type in {"number", "integer", "date"}:
        kind = "a date (YYYY-MM-DD)" if column.type == "date" else "a number"
        found.append(("type", f"{name} IS NOT NULL AND {typed} IS NULL", f"not {kind}"))
    else:
        found += [
            ("length", f"length({name}) > {LONGEST}", f"longer than {LONGEST:,} characters"),
            ("control", f"regexp_matches({name}, '[\\p{{Cc}}\\p{{Cf}}]')", "holds control characters"),
            ("formula", f"{name}[1] IN ('=', '+', '-', '@')", "a spreadsheet would run it as a formula"),
        ]
    if column.type == "date":
        found.append(("range", f"year({typed}) NOT BETWEEN {YEARS[0]} AND {YEARS[1]}", "no likely year"))
    if column.type == "country":
        found.append(("type", f"NOT regexp_full_match({name}, '[A-Z]{{2}}')", "no ISO 3166-1 code of two letters"))
    if column.min is not None:
        text = "negative" if column.min == 0 else f"below {column.min:g}"
        found.append(("range", f"{typed} < {column.min}", text))
    if column.max is not None:
        found.append(("range", f"{typed} > {column.max}", f"above {column.max:g}"))
    if column.values:
        among = ", ".join(_text(value) for value in column.values)
        found.append(("value", f"{name} NOT IN ({among})", f"none of {', '.join(column.values)}"))
    if column.pattern:
        found.append(("value", f"NOT regexp_matches({name}, {_text(column.pattern)})", "not of the form that is asked"))
    return found


def shown(value: Any) -> str:
    """A cell in a message: cut, on one line, and in quotation marks."""
    if value is None:
        return ""
    text = str(value)
    return f"{text[:60]!r}{'…' if len(text) > 60 else ''}"


def check(connection: duckdb.DuckDBPyConnection, name: str, file: str, problems: Problems) -> None:
    """Enter every wrong cell of the table ``raw_{name}``. One scan counts; only what is wrong is looked for again."""
    conditions = [(key, *c) for key, column in tables()[name].columns.items() for c in _conditions(key, column)]
    counts = connection.execute(
        "SELECT " + ", ".join(f"count(*) FILTER (WHERE {sql})" for _, _, sql, _ in conditions) + f" FROM raw_{name}"
    ).fetchone()
    assert counts is not None
    for (key, kind, sql, text), total in zip(conditions, counts, strict=True):
        if total:
            rows = connection.execute(
                f"SELECT row, {quoted(key)} FROM raw_{name} WHERE {sql} ORDER BY row LIMIT {LISTED}"
            ).fetchall()
            said = [
                Problem(kind, name, file, row, key, f"{shown(cell)} {text}".strip() if cell is not None else text)
                for row, cell in rows
            ]
            problems.enter(said, total)


def convert(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Make the typed table ``data_{name}``; a cell that is none of its type is null there."""
    columns = ", ".join(
        f"CAST({_typed(key, column)} AS {SQL[column.type]}) AS {quoted(key)}"
        for key, column in tables()[name].columns.items()
    )
    connection.execute(f"CREATE TABLE data_{name} AS SELECT row, {columns} FROM raw_{name}")
    connection.execute(f"DROP TABLE raw_{name}")
