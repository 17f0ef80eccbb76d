"""EPSS: the probability that a vulnerability is exploited within 30 days (FIRST, "EPSS data", CSV).

The published files begin with ``#model_version:v2025.03.14,score_date:2026-08-22T12:55:00Z``; older ones and excerpts
of others do not. Columns are found by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from banbury.model.supply import FeedKind
from banbury.supply.feeds import items
from banbury.supply.feeds.contract import Importer
from banbury.supply.feeds.importers._csv import rows
from banbury.supply.feeds.items import Item, Note, ProbabilityRow, Refused
from banbury.supply.feeds.streams import Document

_COMMENT = re.compile(rb"#[^\n]{0,400}\n")
_DAY = re.compile(rb"score_date:([0-9T:-]+)")


def _read(document: Document) -> Iterator[tuple[bytes, Item]]:
    day = ""
    if comment := _COMMENT.match(document.stream.peek(512)):
        document.stream.exactly(comment.end())
        found = _DAY.search(comment[0])
        day = items.day(found[1].decode()) if found else ""
        yield b"", Note(items.text(comment[0].decode("utf-8", "replace").strip("# \r\n")), day)
    for row in rows(document.stream):
        if isinstance(row, Refused):
            yield b"", row
            continue
        try:
            share = _share(row.get("percentile") or row.get("epss percentile") or "")
            yield b"", ProbabilityRow(items.identifier(row.get("cve", "")), _share(row.get("epss", "")), share, day)
        except ValueError as problem:
            yield b"", Refused(items.text(str(problem)))


def _share(text: str) -> float:
    """A number from 0 to 1; ``ValueError`` for all else (not-a-number too)."""
    value = float(text) if len(text) < 40 else -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"no probability: {items.text(text, 20)!r}")
    return value


def _claims(head: bytes, _: str) -> bool:
    body = _COMMENT.sub(b"", head.lstrip(b"\xef\xbb\xbf"), count=1) if head.startswith(b"#model_version") else head
    first = body.partition(b"\n")[0].strip().lower()
    columns = first.split(b",")
    return columns[0] == b"cve" and b"epss" in columns


IMPORTERS = (
    Importer(
        name="epss-csv", version=1, kind=FeedKind.PROBABILITY, claims=_claims, read=_read,
        licence="free to use, with credit to EPSS at first.org",
    ),
)  # fmt: skip
