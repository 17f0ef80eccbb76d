"""Files into tables of text: which files there are, their digests, and every cell as it stands.

A table's cells come in as text, so that what a column's type refuses can be named by row and column
(:mod:`banbury.decide.network.values`). DuckDB reads the files through links in a folder of ours: a name with a
wildcard, or one that looks like an address, is never seen by it.
"""

# ruff: noqa: S608 - the names in these queries are those of our own tables; an inventory's text is never among them
from __future__ import annotations

import csv
import io
import mmap
import re
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from banbury.decide.network import quick
from banbury.decide.network.problems import Problem, Problems
from banbury.decide.network.tables import SQL, Table, quoted, tables
from banbury.model.errors import InputError

#: The longest line of a CSV file, in bytes, and the most columns of one.
LINE = 1_000_000
COLUMNS = 200
#: The largest file, in bytes.
FILE = 8 << 30
MANIFEST = "network.toml"
#: Columns whose names begin with this are the inventory's own, and not read.
OWN = "x_"


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that fetches and loads no extension, and spills to no file."""
    return duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": "6GB",
            "temp_directory": "",
        },
    )


def seal(connection: duckdb.DuckDBPyConnection) -> None:
    """From here on the database opens no file, and no query can change that."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def find(folder: Path, problems: Problems) -> dict[str, Path]:
    """The file of each table in ``folder``. Raises :class:`InputError` where a table that must be there is missing."""
    try:
        present = sorted(p for p in folder.iterdir() if p.suffix in {".csv", ".parquet"})
    except OSError as problem:
        raise InputError(f"{folder}: {problem.strerror}") from problem
    found: dict[str, Path] = {}
    for path in present:
        if path.stem not in tables():
            text = f"is no table of an inventory; those are {', '.join(tables())}"
            problems.add(Problem("file", path.stem[:100], path.name[:100], 0, "", text))
        elif path.stem in found:
            raise InputError(f"{path.stem}: there are {found[path.stem].name} and {path.name}; which one is meant?")
        elif not path.is_file() or path.stat().st_size > FILE:
            raise InputError(f"{path.name}: not a regular file, or larger than {FILE >> 30} GiB")
        else:
            found[path.stem] = path
    missing = [name for name, table in tables().items() if table.required and name not in found]
    if missing:
        raise InputError(
            f"{folder}: no {' and no '.join(f'{name}.csv' for name in missing)}",
            hint="an inventory is a folder of tables, docs/network.md says which",
        )
    return found


def manifest(folder: Path) -> dict[str, Any]:
    """What ``network.toml`` says (``name``, ``country``, ``made_up``, …); empty where there is none."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        if path.stat().st_size > 1 << 20:
            raise InputError(f"{MANIFEST}: larger than 1 MiB")
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as problem:
        raise InputError(f"{MANIFEST}: {problem}") from problem


def _header(path: Path) -> list[str]:
    with path.open("rb") as file:
        line = file.readline(LINE)
    try:
        text = line.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text), strict=True))
    except (UnicodeDecodeError, csv.Error) as problem:
        raise InputError(f"{path.name}: its first line is no header of comma-separated UTF-8 text") from problem
    names = [name.strip() for name in rows[0]] if rows else []
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise InputError(f"{path.name}: the columns are not separated by commas")
    return names


def _columns(path: Path, name: str, table: Table, names: list[str], problems: Problems) -> None:
    """Check a file's column names; raises :class:`InputError` where a required one is missing."""
    if len(names) > COLUMNS:
        raise InputError(f"{path.name}: {len(names)} columns")
    missing = [key for key, column in table.columns.items() if column.required and key not in names]
    if missing:
        raise InputError(f"{path.name}: no column {', '.join(missing)}")
    unknown = [n for n in names if n not in table.columns and not n.startswith(OWN)]
    for other in unknown:
        text = f"no column of {name}; a column of your own begins with {OWN}"
        problems.add(Problem("column", name, path.name, 0, other[:100], text))


def _select(table: Table, names: list[str]) -> str:
    """The table's columns as text: trimmed, empty as null, cut to a length that is still seen to be too long."""
    return ", ".join(
        f"left(nullif(trim(CAST({quoted(key)} AS VARCHAR)), ''), 1001) AS {quoted(key)}"
        if key in names
        else f"CAST(NULL AS VARCHAR) AS {quoted(key)}"
        for key in table.columns
    )


def _rejected(connection: duckdb.DuckDBPyConnection, path: Path, name: str, problems: Problems) -> None:
    """Enter what the CSV reader refused, and give every row that it took its number in the file."""
    rows = connection.execute(
        """SELECT line, min(error_type::VARCHAR), coalesce(min(column_name), '') FROM reject_errors
        GROUP BY line ORDER BY line"""
    ).fetchall()
    if not rows:
        connection.execute(f"CREATE TABLE raw_{name} AS SELECT rowid + 2 AS row, * FROM read_{name}")
        return
    for kind in sorted({kind for _, kind, _ in rows}):
        of_kind = [(line, column) for line, k, column in rows if k == kind]
        listed = [
            Problem("csv", name, path.name, line, column, f"not read: {kind.lower()}") for line, column in of_kind[:20]
        ]
        problems.enter(listed, len(of_kind))
    connection.execute(
        f"""CREATE TABLE raw_{name} AS
        SELECT n.row, r.* FROM read_{name} r JOIN (
            SELECT row, row_number() OVER (ORDER BY row) - 1 AS id FROM (
                SELECT range AS row FROM range(2, (SELECT count(*) FROM read_{name}) + {len(rows)} + 2)
            ) ANTI JOIN reject_errors ON row = line
        ) n ON n.id = r.rowid"""
    )


def _no_blank_lines(path: Path, name: str) -> None:
    """Refuse an empty line between records: the CSV reader passes over it, and later rows could not be named.

    Lines at the file's end do no harm. (A cell with an empty line in it is refused as well; it would be for its control
    characters.)
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = len(data)
            while end and data[end - 1] in b"\r\n":
                tail = data[max(end - 65536, 0) : end]
                end -= len(tail) - len(tail.rstrip(b"\r\n"))
            found = re.compile(rb"\n\r?\n|\r\r").search(data, 0, end)
            if found:
                line = sum(1 for _ in re.compile(rb"\n").finditer(data, 0, found.start() + 1)) + 1
                raise InputError(f"{name}: line {line:,} is empty, so that the rows after it cannot be named")


def _names(connection: duckdb.DuckDBPyConnection, link: Path, path: Path, name: str) -> dict[str, str]:
    """The columns of a file with the types that they come in."""
    if path.suffix == ".parquet":
        described = connection.execute("DESCRIBE SELECT * FROM read_parquet($path)", {"path": str(link)}).fetchall()
        return {str(row[0]): str(row[1]) for row in described}
    names = _header(link)
    if not names:
        raise InputError(f"{path.name}: empty")
    if len(set(names)) != len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise InputError(f"{path.name}: the column {twice[:100]!r} is there twice")
    return dict.fromkeys(names, "VARCHAR")


def _reader(path: Path, names: dict[str, str], rejects: str = "") -> str:
    if path.suffix == ".parquet":
        return "read_parquet($path)"
    return f"""read_csv($path, columns = {_struct(names)}, header = true, auto_detect = false, delim = ',', quote = '"',
        escape = '"', strict_mode = true, max_line_size = {LINE}{rejects})"""


def _quickly(
    connection: duckdb.DuckDBPyConnection, link: Path, path: Path, name: str, names: dict[str, str], plain: bool
) -> bool:
    """Try to fill ``read_{name}`` with typed columns; whether that worked and no cell is wrong."""
    try:
        connection.execute(
            f"CREATE TABLE read_{name} AS SELECT {quick.select(tables()[name], names)} FROM {_reader(path, names)}",
            {"path": str(link)},
        )
        if quick.cells(connection, name, plain):
            return True
    except duckdb.Error:
        pass  # the slow way finds out what it was
    connection.execute(f"DROP TABLE IF EXISTS read_{name}")
    return False


def _as_text(
    connection: duckdb.DuckDBPyConnection, link: Path, path: Path, name: str, names: dict[str, str], problems: Problems
) -> None:
    """Fill ``raw_{name}`` with the cells as text, and enter the lines that are none of a table."""
    rejects = ", store_rejects = true, rejects_limit = 0"
    connection.execute(
        f"CREATE TABLE read_{name} AS SELECT {_select(tables()[name], list(names))} "
        f"FROM {_reader(path, names, rejects)}",
        {"path": str(link)},
    )
    if path.suffix == ".csv":
        _rejected(connection, path, name, problems)
        connection.execute("DROP TABLE IF EXISTS reject_errors")
        connection.execute("DROP TABLE IF EXISTS reject_scans")
    else:
        connection.execute(f"CREATE TABLE raw_{name} AS SELECT rowid + 2 AS row, * FROM read_{name}")
    connection.execute(f"DROP TABLE read_{name}")


def _struct(columns: dict[str, str]) -> str:
    return "{" + ", ".join(f"{quoted(n)}: '{kind}'" for n, kind in columns.items()) + "}"


class Loaded(msgspec.Struct):
    """``digests``: SHA-256 of each file; ``sound``: the tables whose cells and references are known to be right."""

    digests: dict[str, str]
    sound: set[str]


def load(
    connection: duckdb.DuckDBPyConnection, found: dict[str, Path], problems: Problems, *, thorough: bool = False
) -> Loaded:
    """Fill ``data_NAME`` (``row`` and the typed columns) for every table that is sound; for the others ``raw_NAME``
    (``row`` and the columns as text). A table without file is empty. ``thorough``: all as text.

    Raises :class:`InputError` where a file cannot be read as a table at all.
    """
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="banbury-network-") as scratch:
        links = {name: Path(scratch) / f"{name}{path.suffix}" for name, path in found.items()}
        names: dict[str, dict[str, str]] = {}
        quickly: set[str] = set()
        for name, table in tables().items():
            if name not in found:
                none = ", ".join(f"CAST(NULL AS {SQL[c.type]}) AS {quoted(key)}" for key, c in table.columns.items())
                connection.execute(f"CREATE TABLE read_{name} AS SELECT {none} LIMIT 0")
                quickly.add(name)
                continue
            with _told(found[name], links[name]):
                links[name].symlink_to(found[name].resolve())
                seen = quick.look(links[name])
                digests[name] = seen.digest
                names[name] = _names(connection, links[name], found[name], name)
                _columns(found[name], name, table, list(names[name]), problems)
                is_csv = found[name].suffix == ".csv"
                if is_csv and seen.blank:
                    _no_blank_lines(links[name], found[name].name)
                args = (links[name], found[name], name, names[name], seen.plain and is_csv)
                if not thorough and _quickly(connection, *args):
                    quickly.add(name)
        # An empty table is sound whatever the others are.
        sound = _sound(connection, quickly) | (set(tables()) - set(found))
        for name in tables():
            if name in sound:
                connection.execute(f"CREATE VIEW data_{name} AS SELECT rowid + 2 AS row, * FROM read_{name}")
            else:
                connection.execute(f"DROP TABLE IF EXISTS read_{name}")
        for name, path in found.items():
            if name not in sound:
                with _told(path, links[name]):
                    _as_text(connection, links[name], path, name, names[name], problems)
    return Loaded(digests, sound)


def _sound(connection: duckdb.DuckDBPyConnection, quickly: set[str]) -> set[str]:
    """The tables among ``quickly`` that refer only to what is there; a table that cannot be asked is none of them."""
    sound = set()
    for name in sorted(quickly):
        others = {c.references.partition(".")[0] for c in tables()[name].columns.values() if c.references}
        if others - {"functions"} <= quickly and quick.references(connection, name):
            sound.add(name)
    return sound


@contextmanager
def _told(path: Path, link: Path) -> Iterator[None]:
    """Errors of reading a file as one line that names it."""
    try:
        yield
    except (duckdb.Error, OSError) as problem:
        text = str(problem).partition("\n")[0].replace(str(link), path.name)[:300]
        raise InputError(f"{path.name}: cannot be read: {text}") from problem
