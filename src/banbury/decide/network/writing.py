"""Tables out: rows collected by column, then written as CSV or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from banbury.decide.network import load
from banbury.decide.network.tables import SQL, quoted, tables
from banbury.model.errors import InputError

# ruff: noqa: S608 - the names in these queries are those of our own tables


class Draft:
    """An inventory that is being put together. ``asserted_by`` and ``as_of`` go to every row that names none."""

    def __init__(self, asserted_by: str, as_of: str) -> None:
        self.common = {"asserted_by": asserted_by, "as_of": as_of}
        self._parts: dict[str, list[dict[str, Any]]] = {name: [] for name in tables()}

    def add(self, table: str, **columns: Any) -> None:
        """Rows of a table: each column an array or list of one length, or one value for all of them."""
        if unknown := set(columns) - set(tables()[table].columns):
            raise ValueError(f"{table}: {sorted(unknown)}")
        lengths = {len(v) for v in columns.values() if isinstance(v, list | np.ndarray)} or {1}
        if len(lengths) != 1:
            raise ValueError(f"{table}: columns of different lengths")
        n = lengths.pop()
        part = {}
        for key, value in {**self.common, **columns}.items():
            array = np.asarray(value, dtype=None if isinstance(value, np.ndarray) else object)
            part[key] = np.broadcast_to(array, (n,))
        self._parts[table].append(part)

    def count(self, table: str) -> int:
        """How many rows the table has."""
        return sum(len(part["as_of"]) for part in self._parts[table])

    def distinct(self, table: str, columns: tuple[str, ...]) -> set[tuple[Any, ...]]:
        """The different combinations of some columns of a table."""
        found: set[tuple[Any, ...]] = set()
        for part in self._parts[table]:
            if all(key in part for key in columns):
                found |= set(zip(*(part[key].tolist() for key in columns), strict=True))
        return found

    def tables(self) -> list[str]:
        """The tables that have rows."""
        return [name for name in tables() if self.count(name)]

    def arrays(self, table: str) -> dict[str, np.ndarray[Any, Any]]:
        """The table's columns, as objects; None where a row has no value."""
        return {
            key: np.concatenate(
                [
                    np.asarray(part[key], dtype=object) if key in part else np.full(len(part["as_of"]), None)
                    for part in self._parts[table]
                ]
            )
            for key in tables()[table].columns
        }

    def write(self, folder: Path, kind: str = "csv", manifest: str = "", *, as_text: bool = False) -> list[Path]:
        """Write every table that has rows, and ``network.toml``, into ``folder``, which must be new or empty.

        ``as_text``: values as they are, right or wrong, so that a check can name what is wrong with them.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"{folder}: is not empty")
        written = []
        connection = load.connect()
        try:
            for name in self.tables():
                out = folder / f"{name}.{kind}"
                connection.register("draft", self.arrays(name))
                columns = ", ".join(
                    f"CAST({quoted(key)} AS {'VARCHAR' if as_text else SQL[column.type]}) AS {quoted(key)}"
                    for key, column in tables()[name].columns.items()
                )
                form = "FORMAT parquet, COMPRESSION zstd" if kind == "parquet" else "FORMAT csv, HEADER"
                path = str(out).replace("'", "''")
                connection.execute(f"COPY (SELECT {columns} FROM draft) TO '{path}' ({form})")
                connection.unregister("draft")
                written.append(out)
        finally:
            connection.close()
        if manifest:
            (folder / load.MANIFEST).write_text(manifest, "utf-8")
        return written
