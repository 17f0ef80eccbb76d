"""The laboratory's own table on the end of support, ``data/support/*.toml``: what feeds do not list.

A row is one claim on some versions of a product, with the document that it rests on. Nothing in it is a guess: what
could not be sourced has the confidence ``unverified``, and such a row asserts nothing (:mod:`.claims`).
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Sequence
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
#: Claims that a document can make without saying whether support has ended: that something newer exists says nothing of
#: what is older, and what a contract covers only its parties know.
_OPEN: Final = (Claim.SUPERSEDED, Claim.CONTRACT)


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One claim.

    It covers the versions of ``branch`` (``3.10`` covers 3.10.108, not 3.101), or those from ``low`` (inclusive) to
    ``high`` (exclusive), or every version; of these, where there is a ``package`` or a ``seen``, those whose package
    manager's version holds this regular expression, or the bytes that identified the component. ``versionless``: it
    covers a component whose version nobody knows, and no other.

    The end is one of four: ``end``, the last day of support (ISO 8601); ``ended``, where no day is known; ``lines``,
    the project mends its newest so many lines of releases, a line being what agrees in its first ``depth`` numbers (0:
    every release is a line); ``months``, it mends a line for so long after its first release. The last two are worked
    out from days of releases (:mod:`.lines`). ``minimum``: support lasts at least until then; what comes after is not
    said.

    ``source``, ``address`` and ``source_date``: the document, where it is, its date; ``read``: the day on which it was
    compared with the row; ``reviewer``: who has done so besides the author.
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
    seen: str = ""
    versionless: bool = False
    end: str = ""
    ended: bool | None = None
    lines: int = 0
    depth: int = 0
    months: int = 0
    minimum: bool = False
    successor: str = ""
    address: str = ""
    source_date: str = ""
    read: str = ""
    reviewer: str = ""

    def covers(self, version: str, package_version: str, scheme: str = "", texts: Sequence[str] = ()) -> bool:
        """Whether the row speaks of a version. One that cannot be ordered is covered by rows on every version only."""
        if self.package and not re.search(self.package, package_version[:200]):
            return False
        if self.seen and not any(re.search(self.seen, text[:400]) for text in texts):
            return False
        if self.versionless:
            return not version
        if self.branch:
            return in_branch(version, self.branch)
        return not (self.low or self.high) or self._between(version, scheme)

    def _between(self, version: str, scheme: str) -> bool:
        try:
            own = key(version, scheme)
            above = not self.low or key(self.low, scheme) <= own
            return above and (not self.high or own < key(self.high, scheme))
        except ValueError:
            return False


class Listed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Days of a product's releases, as a document gives them that is of ``source_date``: later ones are not in it."""

    product: str
    source: str
    source_date: str
    address: str = ""
    days: dict[str, str]


class Exempt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product (of ``branch``, where there is one) that a distribution's release does not mend as it does the rest: no
    longer after ``end``, or only in part (``says``)."""

    product: str
    branch: str = ""
    end: str = ""
    says: str = ""
    source: str


class Distribution(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release of a distribution: its packages are mended for everybody until ``end``, and until ``paid`` for who has
    a subscription. ``mark``: the regular expression in a package's version that shows where it is from. ``exempt``:
    what the release does not mend, or not for so long."""

    name: str
    release: str
    end: str
    source: str
    source_date: str
    address: str
    read: str
    paid: str = ""
    mark: str = ""
    exempt: list[Exempt] = []


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    row: list[Row] = []
    releases: list[Listed] = []
    distribution: list[Distribution] = []


def in_branch(version: str, branch: str) -> bool:
    """Whether a version belongs to a branch by its text: ``1.1.1k`` to ``1.1.1``, ``3.10.1`` not to ``3.1``."""
    return version == branch or (version.startswith(branch) and not version[len(branch)].isdigit())


def _tables() -> list[Traversable]:
    folder = files("banbury.supply") / "data" / "support"
    return sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)


@cache
def _read() -> tuple[dict[str, list[Row]], dict[str, Listed], list[Distribution]]:
    rows: dict[str, list[Row]] = {}
    listed: dict[str, Listed] = {}
    distributions: list[Distribution] = []
    for item in _tables():
        content = convert(tomllib.loads(item.read_text("utf-8")), _File)
        for row in content.row:
            _check(item.name, row)
            rows.setdefault(row.product, []).append(row)
        for one in content.releases:
            if one.product in listed:
                raise ValueError(f"{item.name}: {one.product}: days of releases are given twice")
            listed[one.product] = one
        distributions += content.distribution
    return rows, listed, distributions


def _check(name: str, row: Row) -> None:
    """Raise ``ValueError`` for a row that says less or more than it may."""
    where = f"{name}: {row.product} {row.branch or row.high}"
    if row.confidence not in _CONFIDENCES:
        raise ValueError(f"{where}: no such confidence: {row.confidence}")
    ends = [bool(row.end), row.ended is not None and not row.end, bool(row.lines), bool(row.months)]
    if sum(ends) > 1:
        raise ValueError(f"{where}: a row says in one way when support ends")
    if row.confidence != UNVERIFIED and not any(ends) and row.claim not in _OPEN:
        raise ValueError(f"{where}: a sourced row says when or whether support ended")
    if row.confidence != UNVERIFIED and not (row.source_date and row.read and row.address.startswith("https://")):
        raise ValueError(f"{where}: a source has an address, a date, and a day on which it was read")
    for day in (row.end, row.read, row.source_date if len(row.source_date) != 4 else ""):
        if day:
            dt.date.fromisoformat(day)
    for pattern in (row.package, row.seen):
        re.compile(pattern)


def rows(product: str) -> list[Row]:
    """The claims on a product in the order of the files."""
    return _read()[0].get(product, [])


def every_row() -> list[Row]:
    """The whole table."""
    return [row for listed in _read()[0].values() for row in listed]


def listed(product: str) -> Listed | None:
    """The days of a product's releases, as far as the table has them."""
    return _read()[1].get(product)


def every_listed() -> list[Listed]:
    """Every product's days of releases."""
    return list(_read()[1].values())


def distributions() -> list[Distribution]:
    """The releases of distributions, whatever feeds are loaded."""
    return _read()[2]


@cache
def digest() -> str:
    """The SHA-256 of the whole table: what a result that used it names."""
    return sha256(b"\0".join(item.read_bytes() for item in _tables())).hexdigest()
