"""The laboratory's own table on the end of support, ``data/support/*.toml``: what feeds do not list.

A row is one claim on some versions of a product, with the document that it rests on. Nothing in it is a guess: what
could not be sourced has the confidence ``unverified``, and such a row asserts nothing (:mod:`.claims`).
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from msgspec import Struct, convert

from banbury.model.supply import Claim
from banbury.supply.versions import key

#: What a row's confidence may be: the document says so of these versions; it follows from what the document says; none
#: was found.
STATED, DERIVED, UNVERIFIED = "stated", "derived", "unverified"
_CONFIDENCES: Final = (STATED, DERIVED, UNVERIFIED)


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One claim.

    It covers the versions of ``branch`` (``3.10`` covers 3.10.108, not 3.101), or those from ``low`` (inclusive) to
    ``high`` (exclusive), or every version. ``package``: a regular expression that the package manager's version must
    hold; ``versionless``: it covers a component whose version nobody knows, and no other. ``end``: the last day of
    support (ISO 8601); ``ended``: where no day is known. ``source`` and ``source_date``: the document and its date;
    ``reviewer``: who has compared the row with it.
    """

    product: str
    claim: Claim
    says: str
    source: str
    confidence: str
    branch: str = ""
    low: str = ""
    high: str = ""
    package: str = ""
    versionless: bool = False
    end: str = ""
    ended: bool | None = None
    successor: str = ""
    source_date: str = ""
    reviewer: str = ""

    def covers(self, version: str, package_version: str, scheme: str = "") -> bool:
        """Whether the row speaks of a version. One that cannot be ordered is covered by rows on every version only."""
        if self.package and not re.search(self.package, package_version[:200]):
            return False
        if self.versionless:
            return not version
        if self.branch:
            return in_branch(version, self.branch)
        if not (self.low or self.high):
            return True
        try:
            own = key(version, scheme)
            above = not self.low or key(self.low, scheme) <= own
            return above and (not self.high or own < key(self.high, scheme))
        except ValueError:
            return False


class _Releases(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    product: str
    source: str
    source_date: str
    days: dict[str, str]


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    row: list[Row] = []
    releases: list[_Releases] = []


def in_branch(version: str, branch: str) -> bool:
    """Whether a version belongs to a branch by its text: ``1.1.1k`` to ``1.1.1``, ``3.10.1`` not to ``3.1``."""
    return version == branch or (version.startswith(branch) and not version[len(branch)].isdigit())


def _tables() -> list[Traversable]:
    folder = files("banbury.supply") / "data" / "support"
    return sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)


@cache
def _read() -> tuple[dict[str, list[Row]], dict[str, dict[str, str]]]:
    rows: dict[str, list[Row]] = {}
    days: dict[str, dict[str, str]] = {}
    for item in _tables():
        content = convert(tomllib.loads(item.read_text("utf-8")), _File)
        for row in content.row:
            _check(item.name, row)
            rows.setdefault(row.product, []).append(row)
        for listed in content.releases:
            days.setdefault(listed.product, {}).update(listed.days)
    return rows, days


def _check(name: str, row: Row) -> None:
    """Raise ``ValueError`` for a row that says less or more than it may."""
    where = f"{name}: {row.product} {row.branch or row.high}"
    if row.confidence not in _CONFIDENCES:
        raise ValueError(f"{where}: no such confidence: {row.confidence}")
    if row.confidence != UNVERIFIED and not (row.end or row.ended is not None):
        raise ValueError(f"{where}: a sourced row says when or whether support ended")
    if row.confidence != UNVERIFIED and not row.source_date:
        raise ValueError(f"{where}: a source has a date")
    for day in (row.end, row.source_date if len(row.source_date) != 4 else ""):
        if day:
            dt.date.fromisoformat(day)
    re.compile(row.package)


def rows(product: str) -> list[Row]:
    """The claims on a product in the order of the files."""
    return _read()[0].get(product, [])


def every_row() -> list[Row]:
    """The whole table."""
    return [row for listed in _read()[0].values() for row in listed]


def days(product: str) -> dict[str, str]:
    """Versions of a product with the days of their release, as far as the table has them."""
    return _read()[1].get(product, {})


@cache
def digest() -> str:
    """The SHA-256 of the whole table: what a result that used it names."""
    return sha256(b"\0".join(item.read_bytes() for item in _tables())).hexdigest()
