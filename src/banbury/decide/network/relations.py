"""What rows must be to each other: keys that are unique, names that exist, no circles, shares that fit in a whole."""

# ruff: noqa: S608 - the names in these queries are those of our own tables; an inventory's text is never among them
from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import duckdb
import numpy as np

from banbury.decide.network.problems import LISTED, Problem, Problems
from banbury.decide.network.tables import quoted, tables
from banbury.decide.network.values import shown

#: The longest chain of owners that is followed.
OWNERS = 32
#: Rounding that a sum of fractions may show.
SLACK = 1e-6


class Checker:
    """The checks of one inventory: typed tables ``data_NAME`` in, problems out."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, files: dict[str, str], problems: Problems, sound: Collection[str]
    ) -> None:
        self.connection = connection
        self.files = files
        self.problems = problems
        #: The tables of which it is known that their names lead somewhere.
        self.sound = sound

    def rows(
        self, check: str, table: str, column: str, query: str, say: Callable[..., str], *, note: bool = False
    ) -> None:
        """Enter what ``query`` gives: rows of (row, whatever ``say`` takes). Its text may name only our own tables."""
        found = self.connection.execute(f"SELECT * FROM ({query}) ORDER BY 1 LIMIT {LISTED + 1}").fetchall()
        if not found:
            return
        total = len(found)
        if total > LISTED:
            counted = self.connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
            total = counted[0] if counted else total
        file = self.files.get(table, table)
        self.problems.enter([Problem(check, table, file, r[0], column, say(*r[1:]), note) for r in found], total)

    def keys(self, table: str) -> None:
        """No two rows with the same key. Two that differ in the vendor claim two vendors for one element."""
        key = ", ".join(quoted(k) for k in tables()[table].key)
        if not self._repeated(table, key):
            return
        if table == "elements":
            self.rows(
                "claims",
                table,
                "vendor",
                """SELECT e.row, e.id, e.vendor, f.vendor, f.row FROM data_elements e
                JOIN (SELECT id, min(row) AS row, arg_min(vendor, row) AS vendor FROM data_elements GROUP BY id
                      HAVING count(*) > 1) f
                ON e.id = f.id AND e.row > f.row AND e.vendor <> f.vendor""",
                lambda i, a, b, row: f"{shown(i)} is said to be of {shown(a)}, and of {shown(b)} in row {row}",
            )
        self.rows(
            "duplicate",
            table,
            ", ".join(tables()[table].key),
            f"""SELECT row, first, {quoted(tables()[table].key[0])} FROM (
                SELECT *, min(row) OVER (PARTITION BY {key}) AS first FROM data_{table}
                WHERE {quoted(tables()[table].key[0])} IS NOT NULL) WHERE row > first""",
            lambda first, i: f"{shown(i)} is there already, in row {first}",
        )

    def _repeated(self, table: str, key: str) -> bool:
        found = self.connection.execute(
            f"""SELECT (SELECT count(*) FROM data_{table})
            - (SELECT count(*) FROM (SELECT DISTINCT {key} FROM data_{table}))"""
        ).fetchone()
        return bool(found and found[0])

    def references(self, table: str) -> None:
        """Every name of another row is that of one that exists."""
        if table in self.sound:
            return
        for key, column in tables()[table].columns.items():
            if not column.references:
                continue
            other, field = column.references.split(".")
            relation = "functions" if other == "functions" else f"data_{other}"
            query = f"""SELECT row, {quoted(key)} FROM data_{table} WHERE {quoted(key)} IS NOT NULL
                AND {quoted(key)} NOT IN (SELECT {quoted(field)} FROM {relation} WHERE {quoted(field)} IS NOT NULL)"""
            if other == "functions":
                self.rows("function", table, key, query, self._unknown_function)
            else:
                self.rows("dangling", table, key, query, lambda v, o=other: f"{shown(v)} is not in {o}")

    def _unknown_function(self, value: str) -> str:
        near = self.connection.execute(
            "SELECT id FROM functions ORDER BY jaro_winkler_similarity(upper(id), upper($v)) DESC, id LIMIT 1",
            {"v": value[:60]},
        ).fetchone()
        return f"{shown(value)} is no function of the catalogue" + (f"; is {near[0]} meant?" if near else "")

    def circles(self, table: str, column: str) -> None:
        """No row is its own manager, host or owner, over however many steps."""
        # Who is on a circle is named by somebody, and names somebody: only those rows are walked.
        among = f"""SELECT row, id, {quoted(column)} AS up, row_number() OVER (ORDER BY row) - 1 AS rank
            FROM data_{table}"""
        if table != "vendors":
            among += f""" WHERE {quoted(column)} IS NOT NULL
                AND id IN (SELECT DISTINCT {quoted(column)} FROM data_{table})"""
        found = self.connection.execute(
            f"""WITH walked AS ({among})
            SELECT a.row AS row, a.rank AS rank, coalesce(b.rank, -1) AS up FROM walked a
            LEFT JOIN (SELECT id, min(rank) AS rank FROM walked GROUP BY id) b ON a.up = b.id ORDER BY a.rank"""
        ).fetchnumpy()
        rows = np.asarray(found["row"], dtype=np.int64)
        up = np.asarray(found["up"], dtype=np.int64)
        hit = rows[on_circles(up)]
        file = self.files.get(table, table)
        if table == "vendors" and not len(hit) and (deep := rows[still_below(up, OWNERS)]).size:
            text = f"more than {OWNERS} owners, one above the other"
            some = [Problem("owners", table, file, int(r), column, text) for r in deep[:LISTED]]
            self.problems.enter(some, len(deep))
        if len(hit):
            names = dict(
                self.connection.execute(
                    f"SELECT row, {quoted(column)} FROM data_{table} WHERE row IN (SELECT unnest($r))",
                    {"r": hit[:LISTED].tolist()},
                ).fetchall()
            )
            self.problems.enter(
                [
                    Problem("circle", table, file, int(r), column, f"leads over {shown(names[int(r)])} back to itself")
                    for r in hit[:LISTED]
                ],
                len(hit),
            )

    def shares(self) -> None:
        """Within an operator's network, metric and period the fractions stay within the whole, in one kind of unit."""
        group = "operator, network, metric, period"
        said = f"SELECT {group}, min(row) AS row, count(*) AS n"
        fraction = "CASE unit WHEN 'percent' THEN value / 100 ELSE value END"
        self.rows(
            "shares",
            "shares",
            "value",
            f"""SELECT row, {group}, total, n FROM ({said}, sum({fraction}) AS total FROM data_shares
            WHERE unit IN ('fraction', 'percent') GROUP BY {group}) WHERE total > 1 + {SLACK}""",
            lambda o, n, m, p, total, rows: f"{shown(o)}, {n}, {m}, {p}: {rows:,} rows make {total:.4%} of the network",
        )
        self.rows(
            "units",
            "shares",
            "unit",
            f"""SELECT row, {group}, kinds FROM ({said}, count(DISTINCT
            CASE unit WHEN 'percent' THEN 'fraction' ELSE unit END) AS kinds
            FROM data_shares GROUP BY {group}) WHERE kinds > 1""",
            lambda o, n, m, p, k: f"{shown(o)}, {n}, {m}, {p}: {k} kinds of unit that cannot be added",
        )
        self.rows(
            "partial",
            "shares",
            "value",
            f"""SELECT row, {group}, total FROM ({said}, sum({fraction}) AS total FROM data_shares
            WHERE unit IN ('fraction', 'percent') GROUP BY {group}) WHERE total < 1 - 0.005""",
            lambda o, n, m, p, total: f"{shown(o)}, {n}, {m}, {p}: only {total:.1%} of the network is accounted for",
            note=True,
        )

    def dates(self) -> None:
        """What ends does not end before it began."""
        for table, first, last in (
            ("elements", "installed", "planned_removal"),
            ("elements", "purchased", "installed"),
            ("vendors", "valid_from", "valid_to"),
            ("assurance", "date", "expires"),
        ):
            wrong = "<=" if table == "vendors" else "<"
            self.rows(
                "dates",
                table,
                last,
                f"SELECT row, {first}, {last} FROM data_{table} WHERE {last} {wrong} {first}",
                lambda a, b, f=first: f"{b} is before {f} {a}",
            )

    def places(self) -> None:
        """Coordinates come in pairs, and a sensitive place is somewhere."""
        for table in ("sites", "sensitive"):
            self.rows(
                "coordinates",
                table,
                "lat, lon",
                f"SELECT row, id FROM data_{table} WHERE (lat IS NULL) <> (lon IS NULL)",
                lambda i: f"{shown(i)} has one coordinate without the other",
            )
        self.rows(
            "coordinates",
            "sensitive",
            "site",
            "SELECT row, id FROM data_sensitive WHERE site IS NULL AND lat IS NULL AND lon IS NULL",
            lambda i: f"{shown(i)} has neither site nor coordinates",
        )
        self.rows(
            "coordinates",
            "sites",
            "lat, lon",
            "SELECT row, id FROM data_sites WHERE lat IS NULL AND lon IS NULL",
            lambda i: f"{shown(i)} has no coordinates: no distance can be told",
            note=True,
        )

    def vendors(self) -> None:
        """One legal entity has one owner at a time."""
        self.rows(
            "claims",
            "vendors",
            "parent",
            """SELECT * FROM (SELECT row, id,
            lag(row) OVER (PARTITION BY id ORDER BY valid_from NULLS FIRST, row) AS before,
            coalesce(valid_from, DATE '0001-01-01') < max(coalesce(valid_to, DATE '9999-12-31')) OVER
            (PARTITION BY id ORDER BY valid_from NULLS FIRST, row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            AS clash FROM data_vendors WHERE id IS NOT NULL) WHERE clash""",
            lambda i, before, _: f"{shown(i)} holds for days for which row {before} says what it is",
        )
        self.rows(
            "jurisdiction",
            "vendors",
            "jurisdiction",
            "SELECT row, id FROM data_vendors WHERE jurisdiction IS NULL",
            lambda i: f"{shown(i)}: where it is established is not said",
            note=True,
        )

    def links(self) -> None:
        """No element does something for itself."""
        self.rows(
            "circle",
            "links",
            "b",
            "SELECT row, a FROM data_links WHERE a = b",
            lambda a: f"{shown(a)} is linked with itself",
        )

    def all(self) -> None:
        """Every check."""
        for table in tables():
            self.keys(table)
            self.references(table)
        for table, column in (("elements", "hosted_on"), ("elements", "managed_by"), ("vendors", "parent")):
            self.circles(table, column)
        self.shares()
        self.dates()
        self.places()
        self.vendors()
        self.links()


def on_circles(up: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The nodes that lie on a circle, where ``up[i]`` is the one node that ``i`` leads to (-1: none).

    After as many steps as there are nodes, whoever is still on the way is on a circle, and every node of a circle is
    reached by another of it. Steps are doubled, so n nodes take log n passes.
    """
    n = len(up)
    step = np.append(np.where(up < 0, n, up), n)
    for _ in range(max(n, 1).bit_length()):
        step = step[step]
    return np.unique(step[step < n])


def still_below(up: np.ndarray[Any, np.dtype[np.int64]], steps: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The nodes that have another above them after ``steps`` steps."""
    n = len(up)
    step = np.append(np.where(up < 0, n, up), n)
    at = np.arange(n)
    for _ in range(steps):
        at = step[at]
    return np.flatnonzero(at < n)
