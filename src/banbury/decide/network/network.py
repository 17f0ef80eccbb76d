"""A network's inventory, loaded and checked: what the policies, the exposure and the options ask.

The tables are held by DuckDB in this process; after loading it can open no file and fetch no extension. Relations
that a query may use (columns of the tables themselves: ``data/tables.toml``, ``docs/network.md``):

``elements``  one row for each element, with what follows from other tables:
    id, row, operator (its own, else its site's), site, site_operator, region, lat, lon, site_class, sensitive (list of
    the classes of sensitive places that the site is named for; empty list where none), function, function_title,
    layer (core | access | transport | management | virtualisation | security | interconnect | other), class_gb,
    class_eu, plane_s, plane_u, plane_k, plane_l, plane_i, plane_c, plane_a (0 none, 1 some, 2 much), vendor,
    vendor_name, vendor_group (the topmost parent as of the date; itself where it has none), vendor_chain (list, from
    the entity up to the group), jurisdictions (list, of the chain), vendor_class, product, release, tech, purchased,
    installed, planned_removal, managed_by, hosted_on, supported_by, support_access, support_ends, status (planned |
    installed | removed, as of the date; an element without ``installed`` date counts as installed), projected (the date
    asked about is later than the row's ``as_of``), asserted_by, as_of.
``elements_now``  the same, those with status ``installed``.
``sites``, ``links``, ``sensitive``, ``assurance``, ``components``  the tables, typed, with ``row``.
``vendors``  one row for each legal entity as valid on the date: id, name, parent, jurisdiction, class, group_id,
    chain, jurisdictions.
``shares``  element, operator, network, metric, period, value, unit, share (fraction of its group: 0 to 1), row.
    Group = (operator, network, metric, period). A shared element has one row for each operator.
``share_groups``  operator, network, metric, period, total (in the unit), covered (0 to 1: the sum of shares; below 1
    the inventory does not account for the whole), rows.
``functions``  the catalogue: id, title, layer, class_gb, class_eu, plane_*, source, verified.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from banbury.decide.network.problems import Problems

if TYPE_CHECKING:
    import duckdb


class Network:
    """An inventory, as of a date. Use as a context manager, or :meth:`close` it."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        digests: dict[str, str],
        problems: Problems,
        manifest: dict[str, Any],
        as_of: dt.date,
    ) -> None:
        self.connection = connection
        self.digests = digests
        self.problems = problems
        self.manifest = manifest
        self.as_of = as_of

    @classmethod
    def open(cls, path: Path, *, as_of: dt.date | None = None, accept_problems: bool = False) -> Network:
        """Load and check the tables in folder ``path`` (``NAME.csv`` or ``NAME.parquet``).

        ``as_of``: the date asked about; the latest ``as_of`` of any row where none is given (no clock is read).
        Raises :class:`~banbury.model.errors.InputError` where the tables cannot be read at all, and where they have
        problems, unless ``accept_problems``: whoever sets that must say with every result that it rests on an inventory
        with problems.
        """
        raise NotImplementedError

    @property
    def digest(self) -> str:
        """SHA-256 over the tables' names and digests: names this inventory in a report."""
        raise NotImplementedError

    @property
    def made_up(self) -> bool:
        """Whether the inventory says of itself that it was generated."""
        return bool(self.manifest.get("made_up"))

    def at(self, as_of: dt.date) -> Network:
        """Ask about another date from now on (in place: status, vendor groups and classes follow). Returns itself."""
        raise NotImplementedError

    def sql(self, query: str, params: dict[str, Any] | list[Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one read-only query. Values go in ``params`` (``$name`` or ``?``), never into the text."""
        raise NotImplementedError

    def columns(self, query: str, params: dict[str, Any] | list[Any] | None = None) -> dict[str, Any]:
        """The same as numpy arrays by column (masked where there are nulls): for graphs of a million nodes."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the memory back."""
        self.connection.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
