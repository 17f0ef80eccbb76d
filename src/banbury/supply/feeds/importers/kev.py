"""CISA's catalogue of known exploited vulnerabilities, JSON and CSV (cisagov/kev-data, its schema.json)."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from banbury.model.supply import FeedKind
from banbury.supply.feeds import items
from banbury.supply.feeds.contract import Importer
from banbury.supply.feeds.importers._csv import rows
from banbury.supply.feeds.importers._records import in_array, opens_with
from banbury.supply.feeds.items import ExploitedRow, Item, Note, Refused
from banbury.supply.feeds.streams import Document


class Row(Struct, frozen=True, rename="camel"):
    """A row."""

    cve_i_d: str = ""
    date_added: str = ""
    due_date: str = ""
    known_ransomware_campaign_use: str = ""
    vulnerability_name: str = ""


def _row(cve: str, added: str, due: str, ransomware: str, name: str) -> ExploitedRow:
    if not items.day(added):
        raise ValueError(f"{items.text(cve, 20)}: no day on which it was added")
    known = ransomware.strip().lower() == "known"
    return ExploitedRow(items.identifier(cve), items.day(added), items.day(due), known, items.text(name))


def _build(_: bytes, row: Row) -> Item:
    return _row(row.cve_i_d, row.date_added, row.due_date, row.known_ransomware_campaign_use, row.vulnerability_name)


def _note(envelope: dict[str, object]) -> Note:
    count = envelope.get("count")
    return Note("", items.day(envelope.get("dateReleased")), count if isinstance(count, int) else -1)


def _read_json(document: Document) -> Iterator[tuple[bytes, Item]]:
    return in_array(document, (b"vulnerabilities",), Row, _build, _note)


def _read_csv(document: Document) -> Iterator[tuple[bytes, Item]]:
    for row in rows(document.stream):
        if isinstance(row, Refused):
            yield b"", row
            continue
        fields = ("cveid", "dateadded", "duedate", "knownransomwarecampaignuse", "vulnerabilityname")
        try:
            yield b"", _row(*(row.get(field, "") for field in fields))
        except ValueError as problem:
            yield b"", Refused(str(problem))


IMPORTERS = (
    Importer(
        name="kev-json", version=1, kind=FeedKind.EXPLOITED, read=_read_json, licence="CC0", whole=True, rank=20,
        claims=lambda head, _: opens_with(head, rb'"catalogVersion"\s*:') and b'"vulnerabilities"' in head,
    ),
    Importer(
        name="kev-csv", version=1, kind=FeedKind.EXPLOITED, read=_read_csv, licence="CC0", whole=True,
        claims=lambda head, _: head.lstrip(b"\xef\xbb\xbf").startswith(b"cveID,"),
    ),
)  # fmt: skip
