"""What a check found wrong with an inventory: listed up to a bound, counted whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

#: How many rows are named for one kind of problem of one column; the rest is only counted.
LISTED = 20


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong. ``row`` counts from 1, the header's row (in Parquet as well, so that the first record is row
    2); 0 where it concerns the whole file. ``note``: worth knowing and no ground to refuse the inventory.
    """

    check: str
    table: str
    file: str
    row: int
    column: str
    text: str
    note: bool = False

    def line(self) -> str:
        """``elements.csv, row 7, column function: …``."""
        where = f"{self.file or self.table}" + (f", row {self.row}" if self.row else "")
        return f"{where}{f', column {self.column}' if self.column else ''}: {self.text}"


class Problems:
    """Problems, and for each (check, table, column) how many there are in all."""

    def __init__(self) -> None:
        self._listed: list[Problem] = []
        self.totals: dict[tuple[str, str, str, bool], int] = {}

    def add(self, problem: Problem) -> None:
        """Enter one problem."""
        self.enter([problem], 1)

    def enter(self, some: Iterable[Problem], total: int) -> None:
        """Enter ``total`` problems of one check and column, of which ``some`` are named; not more than ``LISTED``."""
        named = list(some)[:LISTED]
        if total and not named:
            raise ValueError("problems without one that is named")
        if named:
            first = named[0]
            key = (first.check, first.table, first.column, first.note)
            room = max(LISTED - self.totals.get(key, 0), 0)
            self._listed += named[:room]
            self.totals[key] = self.totals.get(key, 0) + total

    def __iter__(self) -> Iterator[Problem]:
        """The named ones, in the order of the tables' checks."""
        return iter(self._listed)

    def __len__(self) -> int:
        """All of them, notes not counted."""
        return sum(n for (_, _, _, note), n in self.totals.items() if not note)

    def of(self, check: str) -> int:
        """How many there are of one check."""
        return sum(n for (kind, _, _, _), n in self.totals.items() if kind == check)

    @property
    def notes(self) -> int:
        """How many notes there are."""
        return sum(n for (_, _, _, note), n in self.totals.items() if note)

    def unlisted(self) -> list[tuple[str, str, str, int]]:
        """(check, table, column, how many more) where not all are named."""
        shown: dict[tuple[str, str, str, bool], int] = {}
        for p in self._listed:
            key = (p.check, p.table, p.column, p.note)
            shown[key] = shown.get(key, 0) + 1
        return [(*key[:3], n - shown.get(key, 0)) for key, n in self.totals.items() if n > shown.get(key, 0)]
