"""retire.js: JavaScript libraries and their vulnerabilities (RetireJS/retire.js, ``jsrepository-v4.json``)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, field

from banbury.model.errors import Malformed
from banbury.model.supply import FeedKind
from banbury.supply import versions
from banbury.supply.feeds import items
from banbury.supply.feeds.contract import Importer
from banbury.supply.feeds.importers._records import fingerprint, opens_with
from banbury.supply.feeds.items import Item, Range, Refused, Vulnerability
from banbury.supply.feeds.query import TOP, Leaf, Stated
from banbury.supply.feeds.streams import Document

_LIMIT = 64 << 20


class Ids(Struct, frozen=True):
    """Names of a vulnerability."""

    summary: str = ""
    cve: list[str] = field(name="CVE", default_factory=list)
    github: str = field(name="githubID", default="")


class Known(Struct, frozen=True, rename="camel"):
    """A vulnerability of a library."""

    below: str = ""
    at_or_above: str = ""
    severity: str = ""
    cwe: list[str] = []
    identifiers: Ids = Ids()


def _read(document: Document) -> Iterator[tuple[bytes, Item]]:
    try:
        table = msgspec.json.decode(document.stream.whole(_LIMIT), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise Malformed(f"no JSON: {items.text(str(problem))}") from problem
    for name, value in table.items():
        try:
            library = msgspec.convert(value, _Loose)
        except (msgspec.ValidationError, RecursionError) as problem:
            yield b"", Refused(items.text(str(problem)))
            continue
        for one in library.vulnerabilities:
            raw = msgspec.json.encode(one)
            try:
                yield raw, _build(raw, library.npmname or name, msgspec.convert(one, Known))
            except (ValueError, RecursionError) as problem:
                yield b"", Refused(items.text(f"{name}: {problem}"))


class _Loose(Struct, frozen=True):
    npmname: str = ""
    vulnerabilities: list[Any] = []


def _build(raw: bytes, name: str, known: Known) -> Vulnerability:
    name = items.text(f"osv:npm:{name}".lower())
    low = versions.key(known.at_or_above) if known.at_or_above else b""
    high = versions.key(known.below) if known.below else TOP
    bounds = ((">=", known.at_or_above), ("<", known.below))
    says = items.text(" ".join(f"{sign}{bound}" for sign, bound in bounds if bound))
    leaf = Leaf(name, low, high, Stated.RANGE if says else Stated.EVERY, says=says or "*")
    ids = [cve for cve in known.identifiers.cve if re.match(r"CVE-[0-9]{4}-[0-9]{4,}\Z", cve)]
    ids += [known.identifiers.github] if known.identifiers.github.startswith("GHSA-") else []
    # one vulnerability has several rows, each with a range of its own: the row is told by library and range
    number = hashlib.blake2b(f"{name} {says} {ids} {known.identifiers.summary}".encode(), digest_size=8).hexdigest()
    weaknesses = [items.text(w, 40) for w in known.cwe[:50]]
    return Vulnerability(
        "retire.js", f"RETIRE-{number}", "", "", items.text(known.identifiers.summary, items.SUMMARY), -1.0, "", [],
        ids,
        [], weaknesses, 1, [Range(leaf)], [], [], "", fingerprint(raw),
    )  # fmt: skip


def _claims(head: bytes, _: str) -> bool:
    return opens_with(head, rb'"vulnerabilities"\s*:\s*\[') and opens_with(
        head, rb'"(?:below|extractors|bowername)"\s*:'
    )


IMPORTERS = (
    Importer(
        name="retire.js", version=1, kind=FeedKind.VULNERABILITIES, claims=_claims, read=_read, licence="Apache-2.0",
        rank=-10,
    ),
)  # fmt: skip
