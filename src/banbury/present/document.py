"""The evaluation as a program reads it: the model with a few figures added up.

Everything added follows from the evaluation, so a program need not know the tree to ask the common questions.
Decoding the document as :class:`~banbury.model.evaluation.Evaluation` gives the evaluation back.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from banbury.model.evaluation import Evaluation, Fate, Finding, Ledger
from banbury.model.facts import Outcome
from banbury.present.gaps import Gap, gaps


class FileCount(Struct, frozen=True, kw_only=True):
    """Distinct contents: all of them, and how many inspections of them were done, failed and skipped."""

    contents: int
    bytes: int
    inspections_done: int
    inspections_failed: int
    inspections_skipped: int


class LedgerDocument(Ledger, frozen=True, kw_only=True):
    """The ledger with its sums. ``bytes_opened`` (content that came out), ``bytes_named`` (structure and padding) and
    ``bytes_unread`` add up to ``bytes_total``, the size of everything that was handed in."""

    bytes_total: int
    bytes_opened: int
    bytes_named: int
    bytes_unread: int
    files: FileCount
    not_checked: list[Gap]


class Location(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One place of a finding: ``path`` is the way down to it, ``start`` (-1: the whole content) and ``length`` are
    bytes of the content ``sha256``."""

    path: str
    sha256: str
    start: int = -1
    length: int = 0


class FindingDocument(Finding, frozen=True, kw_only=True, omit_defaults=True):
    """A finding with the places of its evidence."""

    locations: list[Location]


class Document(Evaluation, frozen=True, kw_only=True, omit_defaults=True):
    """``evaluation.json``: the evaluation and its sums."""

    ledger: LedgerDocument
    findings: list[FindingDocument]  # type: ignore[assignment]  # each is a Finding, and nothing adds to a document


def document(evaluation: Evaluation) -> Document:
    """The document of an evaluation."""
    fields = _fields(evaluation)
    fields["ledger"] = _ledger(evaluation)
    fields["findings"] = [_finding(f) for f in evaluation.findings]
    return Document(**fields)


def encode(evaluation: Evaluation) -> bytes:
    """The evaluation as compact JSON, UTF-8; the order of keys is that of the schema."""
    return msgspec.json.encode(document(evaluation)) + b"\n"


def _fields(value: Struct) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def _ledger(evaluation: Evaluation) -> LedgerDocument:
    ledger = evaluation.ledger
    fates = {fate: sum(image.totals.get(str(fate), 0) for image in ledger.images) for fate in Fate}
    total = sum(artefact.size for artefact in evaluation.release.artefacts)
    opened, named = fates[Fate.OPENED], fates[Fate.STRUCTURE] + fates[Fate.PADDING]
    count = {outcome: sum(getattr(c, str(outcome)) for c in ledger.coverage) for outcome in Outcome}
    return LedgerDocument(
        **_fields(ledger),
        bytes_total=total,
        bytes_opened=opened,
        bytes_named=named,
        # What no map accounts for (artefacts that are no images) has not been read either.
        bytes_unread=total - opened - named,
        files=FileCount(
            contents=ledger.contents,
            bytes=ledger.content_bytes,
            inspections_done=count[Outcome.DONE],
            inspections_failed=count[Outcome.FAILED],
            inspections_skipped=count[Outcome.SKIPPED],
        ),
        not_checked=gaps(evaluation),
    )


def _finding(finding: Finding) -> FindingDocument:
    locations = [Location(path=e.locator, sha256=e.sha256, start=e.start, length=e.length) for e in finding.evidence]
    return FindingDocument(**_fields(finding), locations=locations)
