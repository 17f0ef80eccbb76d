"""The quick way of loading: files straight into typed tables, and a yes or no on whether any cell is wrong.

What is sound loads at the speed of the reader. A table about which there is any doubt - a cell that cannot be
converted, one that a check would name, a name that leads nowhere - is read again as text
(:mod:`banbury.decide.network.load`, :mod:`banbury.decide.network.values`), where every wrong cell is named by row. So
this may say no to a sound table, and must not say yes to one that the slow way would find fault with.
"""

# ruff: noqa: S608 - the names in these queries are those of our own tables; an inventory's text is never among them
from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import msgspec

from banbury.decide.network.tables import LONGEST, SQL, Column, Table, quoted, tables
from banbury.decide.network.values import YEARS

#: How much of a file is looked at at a time, in bytes.
PIECE = 1 << 20
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\r\n"


class Look(msgspec.Struct, frozen=True):
    """What the bytes of a file say. ``plain``: printable ASCII and line ends alone, without quotation marks, so that no
    cell holds a control character; ``blank``: there may be an empty line.
    """

    digest: str
    plain: bool
    blank: bool


def look(path: Path) -> Look:
    """SHA-256 of a file and what its bytes say, in one pass. Raises :class:`OSError`."""
    digest, plain, blank, last = hashlib.sha256(), True, False, b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            plain = plain and b'"' not in piece and not piece.translate(None, _PRINTABLE)
            seen = last + piece
            blank = blank or any(ends in seen for ends in (b"\n\n", b"\n\r\n", b"\r\r"))
            plain = plain and (b"\r" not in seen or seen.count(b"\r") - seen.endswith(b"\r") == seen.count(b"\r\n"))
            last = piece[-2:]
    return Look(digest.hexdigest(), plain, blank)


def _converted(key: str, column: Column, kind: str) -> str:
    """The SQL of a cell's value from one of type ``kind``; fails where it has none. Text stays as it is."""
    name, wanted = quoted(key), SQL[column.type]
    if kind == wanted:
        return name
    text = name if kind == "VARCHAR" else f"CAST({name} AS VARCHAR)"
    if wanted == "VARCHAR":
        return text
    failed = f"CAST(error('{key}') AS {wanted})"
    if wanted == "DATE":
        fits = f"length({text}) = 10 AND {text}[5] = '-' AND {text}[8] = '-'"
        return f"CASE WHEN {name} IS NULL THEN NULL WHEN {fits} THEN CAST({text} AS DATE) ELSE {failed} END"
    return f"CASE WHEN contains({text}, '_') THEN {failed} ELSE CAST({text} AS {wanted}) END"


def select(table: Table, kinds: dict[str, str]) -> str:
    """The table's columns, typed, from columns of the types ``kinds``; null where the file has no such column."""
    return ", ".join(
        f"{_converted(key, column, kinds[key])} AS {quoted(key)}"
        if key in kinds
        else f"CAST(NULL AS {SQL[column.type]}) AS {quoted(key)}"
        for key, column in table.columns.items()
    )


#: Characters that no cell may hold.
_CONTROL = "[\\p{Cc}\\p{Cf}]"


def _bad(key: str, column: Column, pattern: str) -> str:
    """SQL: is the typed cell wrong, or may be? Null cells are looked at elsewhere."""
    x = quoted(key)
    parts = []
    if SQL[column.type] == "VARCHAR":
        starts = " OR ".join(f"prefix({x}, '{c}')" for c in " =+-@")
        # Bytes, of which there are as many as characters or more.
        parts += [f"strlen({x}) > {LONGEST}", f"{x} = ''", starts, f"suffix({x}, ' ')"]
        if pattern:
            # Spaces of other kinds are trimmed as well.
            parts.append(f"regexp_matches({x}, '{pattern}') OR {x} <> trim({x})")
    elif column.type == "date":
        parts.append(f"({x} IS NOT NULL AND NOT coalesce(year({x}) BETWEEN {YEARS[0]} AND {YEARS[1]}, false))")
    elif column.type == "number":
        parts.append(f"NOT isfinite({x})")
    if column.type == "country":
        parts.append(f"NOT regexp_full_match({x}, '[A-Z]{{2}}')")
    if column.min is not None:
        parts.append(f"{x} < {column.min}")
    if column.max is not None:
        parts.append(f"{x} > {column.max}")
    if column.values:
        parts.append(f"{x} NOT IN ({', '.join(_text(v) for v in column.values)})")
    if column.pattern:
        parts.append(f"NOT regexp_matches({x}, {_text(column.pattern)})")
    return " OR ".join(parts) or "false"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _missing(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    needed = [quoted(k) for k, c in tables()[name].columns.items() if c.required]
    found = connection.execute(f"SELECT count(*), {', '.join(f'count({k})' for k in needed)} FROM read_{name}")
    counts = found.fetchone() or (0,)
    return any(n != counts[0] for n in counts)


def _any(connection: duckdb.DuckDBPyConnection, query: str) -> bool:
    return connection.execute(f"{query} LIMIT 1").fetchone() is not None


def cells(connection: duckdb.DuckDBPyConnection, name: str, plain: bool) -> bool:
    """Whether every cell of the typed table ``read_{name}`` is sound by itself, columns of references left out."""
    if _missing(connection, name):
        return False
    table = tables()[name]
    for key, column in table.columns.items():
        if column.references and not column.values:
            continue
        rows = f"read_{name}"
        if column.type not in {"number", "integer"} and table.key != (key,):
            # Materialised, so that the conditions are not pushed below it and asked of every row.
            rows = f"(WITH d AS MATERIALIZED (SELECT DISTINCT {quoted(key)} FROM {rows}) SELECT * FROM d)"
        if _any(connection, f"SELECT 1 FROM {rows} WHERE {_bad(key, column, '' if plain else _CONTROL)}"):
            return False
    return True


def references(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether every name in ``read_{name}`` is that of a row of a table in ``read_…``: then it is as sound as that."""
    for key, column in tables()[name].columns.items():
        if column.references:
            other, field = column.references.split(".")
            relation = "functions" if other == "functions" else f"read_{other}"
            if _any(
                connection,
                f"""SELECT 1 FROM (SELECT DISTINCT {quoted(key)} AS x FROM read_{name}) a
                ANTI JOIN {relation} b ON a.x = b.{quoted(field)} WHERE a.x IS NOT NULL""",
            ):
                return False
    return True
