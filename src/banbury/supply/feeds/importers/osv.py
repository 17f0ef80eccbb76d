"""OSV records: JSON (one, an array, or lines of them) and the YAML and TOML-in-Markdown forms that databases keep.

Source: ossf/osv-schema, "Open Source Vulnerability format", 1.7.5. Ranges of commits are no versions and give none;
``database_specific`` is passed over (the raw record is kept).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from banbury.model.supply import FeedKind
from banbury.supply.feeds import cpe, items, statements
from banbury.supply.feeds.contract import Importer
from banbury.supply.feeds.cpe import Collected
from banbury.supply.feeds.importers._records import (
    alone,
    each,
    fingerprint,
    first_line_is_whole,
    in_array,
    in_lines,
    opens_with,
)
from banbury.supply.feeds.importers._yaml import load
from banbury.supply.feeds.items import Item, Refused, Vulnerability
from banbury.supply.feeds.streams import Document

_YAML_LIMIT = 8 << 20
_VERSIONS = 5000


class Package(Struct, frozen=True):
    """A package."""

    ecosystem: str = ""
    name: str = ""


class Range(Struct, frozen=True):
    """A range of versions or commits."""

    type: str = ""
    events: list[statements.Event] = []


class Affected(Struct, frozen=True):
    """What is affected."""

    package: Package | None = None
    ranges: list[Range] = []
    versions: list[str] = []


class Severity(Struct, frozen=True):
    """A CVSS vector: OSV gives no score."""

    type: str = ""
    score: str = ""


class Record(Struct, frozen=True):
    """A record."""

    id: str
    modified: Any = ""
    published: Any = ""
    withdrawn: Any = None
    aliases: list[str] = []
    upstream: list[str] = []
    related: list[str] = []
    summary: str = ""
    details: str = ""
    severity: list[Severity] = []
    affected: list[Affected] = []


def _build(raw: bytes, record: Record) -> Item:
    found = Collected()
    for one in record.affected if not record.withdrawn else ():
        if one.package is not None and one.package.name:
            _package(one, name_of(one.package.ecosystem, one.package.name), found)
    vector = next((items.text(s.score) for s in record.severity if s.score.startswith("CVSS:")), "")
    summary = items.text(record.summary or record.details, items.SUMMARY)
    return Vulnerability(
        "osv", items.identifier(record.id), _day(record.modified), _day(record.published), summary, -1.0, vector,
        ["rejected"] if record.withdrawn else [], _ids(record), [], [],
        found.stated, list(found.ranges), found.trees, [], "", fingerprint(raw),
    )  # fmt: skip


def _ids(record: Record) -> list[str]:
    """Other ids. A distribution's record names those of the vulnerabilities that it mends as ``upstream``."""
    return list(dict.fromkeys(items.text(one, 64) for one in [*record.aliases[:200], *record.upstream[:200]]))[:200]


def _day(value: object) -> str:
    return items.day(value if isinstance(value, str) else str(value or ""))


def name_of(ecosystem: str, name: str) -> str:
    """``osv:ecosystem:name`` in lower case."""
    return items.text(f"osv:{ecosystem}:{name}".lower().replace(" ", "_"))


def _package(one: Affected, name: str, found: Collected) -> None:
    ordered = [r for r in one.ranges if r.type in ("SEMVER", "ECOSYSTEM")]
    for each_range in ordered:
        for leaf in statements.between(name, each_range.events):
            found.leaf(leaf)
    if not ordered:
        if len(one.versions) > _VERSIONS:
            raise ValueError(f"more than {_VERSIONS} versions")
        for version in one.versions:
            found.leaf(cpe.exact(name, version, "-"))


def _read(document: Document) -> Iterator[tuple[bytes, Item]]:
    head = document.stream.peek(65536)
    if head.lstrip().startswith(b"["):
        return in_array(document, (b"",), Record, _build)
    return in_lines(document, Record, _build) if first_line_is_whole(head) else alone(document, Record, _build)


def _claims(head: bytes, _: str) -> bool:
    if head.lstrip().startswith(b"["):
        return re.match(rb'\s*\[\s*\{[^\[\]]*"(?:schema_version|modified)"\s*:', head) is not None
    if opens_with(head, rb'"CVE_data_type"|"dataType"|"cveMetadata"|"catalogVersion"|"vulnStatus"'):
        return False
    return opens_with(head, rb'"schema_version"\s*:\s*"[0-9]') or (
        opens_with(head, rb'"modified"\s*:\s*"') and opens_with(head, rb'"affected"\s*:\s*\[')
    )


def _read_yaml(document: Document) -> Iterator[tuple[bytes, Item]]:
    raw = document.stream.whole(_YAML_LIMIT)
    try:
        record = msgspec.convert(load(raw), Record, strict=False)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as problem:
        yield b"", Refused(items.text(str(problem).replace("\n", " "), 160))
        return
    yield from each(iter([(raw, record)]), _build)


def _claims_yaml(head: bytes, _: str) -> bool:
    return re.match(rb"(?:#[^\n]*\n|---\n)*id: [A-Z][A-Za-z0-9]*-", head) is not None and (
        re.search(rb"^affected:", head, re.MULTILINE) is not None
        or re.search(rb"^modified:", head, re.MULTILINE) is not None
    )


IMPORTERS = (
    Importer(
        name="osv-json", version=2, kind=FeedKind.VULNERABILITIES, claims=_claims, read=_read,
        licence="as the database states (many: CC-BY-4.0)",
    ),
    Importer(
        name="osv-yaml", version=2, kind=FeedKind.VULNERABILITIES, claims=_claims_yaml, read=_read_yaml,
        licence="as the database states (many: CC-BY-4.0)",
    ),
)  # fmt: skip
