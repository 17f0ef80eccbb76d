"""A network's inventory, loaded and checked: what the policies, the exposure and the options ask.

The tables are held by DuckDB in this process; after loading it can open no file and fetch no extension. Relations
that a query may use (columns of the tables themselves: ``data/tables.toml``, ``docs/network.md``):

``elements``  one row for each element, with what follows from other tables:
    id, row, operator (its own, else its site's), site, site_operator, region, lat, lon, site_class, sensitive (list of
    the classes of sensitive places that the site is named for; empty list where none), function, function_title,
    layer (core | access | transport | management | virtualisation | security | interconnect | interception), class_gb,
    class_eu, plane_s, plane_u, plane_k, plane_l, plane_i, plane_c, plane_a (see ``functions``), clear_unless, vendor,
    vendor_name, vendor_group (the topmost parent as of the date; itself where it has none), vendor_chain (list, from
    the entity up to the group), jurisdictions (list, of the chain), vendor_class
    (its own, but designated or high-risk where it or any of its owners is), product, release, release_sha256, tech,
    purchased, installed, planned_removal, managed_by, hosted_on, updated_by, supported_by, support_access,
    support_ends, status (planned | installed | removed, as of the date; an element without
    ``installed`` date counts as installed), projected (the date asked about is later than the
    row's ``as_of``), asserted_by, as_of.
``elements_now``  the same, those with status ``installed``.
``sites``, ``links``, ``sensitive``, ``assurance``, ``components``  the tables, typed, with ``row``.
``vendors``  one row for each legal entity as valid on the date: id, name, parent, jurisdiction, class, group_id,
    chain, jurisdictions.
``shares``  element, operator, network, metric, period, value, unit, share (fraction of its group: 0 to 1), row.
    Group = (operator, network, metric, period). A shared element has one row for each operator.
``share_groups``  operator, network, metric, period, total (in the unit), covered (0 to 1: the sum of shares; below 1
    the inventory does not account for the whole), rows.
``functions``  the catalogue: id, title, layer, class_gb (core | core-in-some-cases | access | transmission |
    unlisted), class_eu (critical | high | moderate-high), plane_s, plane_u, plane_k, plane_l, plane_i, plane_c
    (0 none, 1 partly or indirectly, 2 yes, 3 above all), plane_a (what stops with it: 1 cells or premises, 2 an area
    or a domain, 3 the network), clear_unless (protection with which U is ciphertext; empty: none), lowered_by (list),
    inherits (reads what it hosts), metric (traffic | premises | empty), source, unverified (list of fields).
"""

# ruff: noqa: S608 - the names in these queries are those of our own tables; an inventory's text is never among them
from __future__ import annotations

import datetime as dt
import hashlib
import threading
from pathlib import Path
from typing import Any

import duckdb

from banbury.decide.network import evaluated, load, values, views
from banbury.decide.network.evaluated import Evaluated
from banbury.decide.network.problems import Problems
from banbury.decide.network.relations import Checker
from banbury.decide.network.tables import tables
from banbury.model.errors import InputError


class Network:
    """An inventory, as of a date. Use as a context manager, or :meth:`close` it."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        digests: dict[str, str],
        problems: Problems,
        manifest: dict[str, Any],
        as_of: dt.date,
        rows: dict[str, int],
    ) -> None:
        self.connection = connection
        self.digests = digests
        self.problems = problems
        self.manifest = manifest
        self.as_of = as_of
        #: How many rows of each table were read.
        self.rows = rows
        #: The workspace's evaluations, with the number of elements that run what they are about; what was not used.
        self.evaluations: list[Evaluated] = []
        self.remarks: list[str] = []

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        as_of: dt.date | None = None,
        accept_problems: bool = False,
        thorough: bool = False,
        workspace: Path | None = None,
    ) -> Network:
        """Load and check the tables in folder ``path`` (``NAME.csv`` or ``NAME.parquet``).

        ``as_of``: the date asked about; the latest ``as_of`` of any row where none is given (no clock is read).
        Raises :class:`~banbury.model.errors.InputError` where the tables cannot be read at all, and where they have
        problems, unless ``accept_problems``: whoever sets that must say with every result that it rests on an inventory
        with problems. ``thorough``: read every table in the way that names wrong cells, sound or not.
        ``workspace``: a folder of ``banbury evaluate``, whose evaluations go into ``assurance`` and ``components``.
        """
        problems = Problems()
        connection = load.connect()
        try:
            found = load.find(path, problems)
            said = load.manifest(path)
            views.catalogue(connection)
            loaded = load.load(connection, found, problems, thorough=thorough)
            load.seal(connection)
            files = {name: file.name for name, file in found.items()}
            for name in tables():
                if name not in loaded.sound:
                    values.check(connection, name, files.get(name, name), problems)
                    values.convert(connection, name)
            rows = {name: _count(connection, f"data_{name}") for name in tables()}
            Checker(connection, files, problems, loaded.sound).all()
            if not accept_problems:
                _refuse(path, problems)
            date = as_of or _latest(connection)
            views.build(connection, date, single="elements" in loaded.sound and not problems.of("duplicate"))
            some, remarks = evaluated.read(workspace) if workspace is not None else ([], [])
            joined, more = evaluated.join(connection, some) if some else ([], [])
        except duckdb.Error as problem:
            connection.close()
            raise InputError(f"{path}: {str(problem).partition(chr(10))[0][:300]}") from problem
        except BaseException:
            connection.close()
            raise
        network = cls(connection, loaded.digests, problems, said, date, rows)
        network.evaluations, network.remarks = joined, remarks + more
        return network

    @property
    def digest(self) -> str:
        """SHA-256 over the tables' names and digests: names this inventory in a report."""
        text = "".join(f"{name} {digest}\n" for name, digest in sorted(self.digests.items()))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def made_up(self) -> bool:
        """Whether the inventory says of itself that it was generated."""
        return bool(self.manifest.get("made_up"))

    def at(self, as_of: dt.date) -> Network:
        """Ask about another date from now on (in place: status, vendor groups and classes follow). Returns itself."""
        views.at(self.connection, as_of)
        self.as_of = as_of
        return self

    def sql(
        self, query: str, params: dict[str, Any] | list[Any] | None = None, *, seconds: float | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of one read-only query. Values go in ``params`` (``$name`` or ``?``), never into the text. With
        ``seconds`` it is a stranger's: broken off after that time, in a transaction that may not write and is undone.

        Raises :class:`~banbury.model.errors.InputError` where it is not one ``SELECT``, fails, or takes too long.
        """
        if seconds is None:
            return self._run(query, params).fetchall()
        timer = threading.Timer(seconds, self.connection.interrupt)
        timer.daemon = True
        self.connection.execute("BEGIN TRANSACTION READ ONLY")
        timer.start()
        try:
            return self._run(query, params).fetchall()
        except duckdb.InterruptException as problem:
            raise InputError(f"query: broken off after {seconds:g} s") from problem
        finally:
            timer.cancel()
            timer.join()
            self.connection.execute("ROLLBACK")

    def columns(self, query: str, params: dict[str, Any] | list[Any] | None = None) -> dict[str, Any]:
        """The same as numpy arrays by column (masked where there are nulls): for graphs of a million nodes."""
        return self._run(query, params).fetchnumpy()

    def one_select(self, query: str) -> Any:
        """The statement in ``query``, not run. Raises :class:`InputError` where it is not one ``SELECT``."""
        try:
            statements = self.connection.extract_statements(query)
        except duckdb.Error as problem:
            raise InputError(f"query: {str(problem).partition(chr(10))[0][:300]}") from problem
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InputError("a query of the network is one SELECT")
        return statements[0]

    def _run(self, query: str, params: dict[str, Any] | list[Any] | None) -> duckdb.DuckDBPyConnection:
        statement = self.one_select(query)
        try:
            return self.connection.execute(statement, params)
        except duckdb.InterruptException:
            raise
        except duckdb.Error as problem:
            raise InputError(f"query: {str(problem).partition(chr(10))[0][:300]}") from problem

    def close(self) -> None:
        """Give the memory back."""
        self.connection.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(found[0]) if found else 0


def _latest(connection: duckdb.DuckDBPyConnection) -> dt.date:
    parts = " UNION ALL ".join(f"SELECT max(as_of) AS day FROM data_{name}" for name in tables())
    found = connection.execute(f"SELECT max(day) FROM ({parts})").fetchone()
    if found is None or found[0] is None:
        raise InputError("no row says as of which day it holds", hint="give --as-of, or the column as_of")
    date = found[0]
    assert isinstance(date, dt.date)
    return date


def _refuse(path: Path, problems: Problems) -> None:
    if problems:
        raise InputError(
            f"{path}: {len(problems):,} problem{'s' if len(problems) > 1 else ''}, the first: "
            f"{next(p for p in problems if not p.note).line()}",
            hint="banbury network check lists them; nothing is judged on half an inventory",
        )
