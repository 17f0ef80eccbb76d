"""The result as data: what ``banbury history --json`` writes and what is shown to a person."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

import banbury
from banbury.compare.history.marks import marks, may_be_left_out, origins
from banbury.compare.history.model import Status
from banbury.compare.history.repository import Found

SCHEMA_VERSION: Final = 1


class FileStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One path of either tree. Sizes in bytes, -1 where it is not there. ``build``: a build reads or runs it.
    ``origin`` and ``marks`` (with the first line, from 1) are ids of the published tables. ``opaque``, ``broken``: see
    :class:`~banbury.compare.history.model.SourceFile`. ``lines``: the first lines that differ."""

    path: str
    status: Status
    kind: str = "file"
    size: int = -1
    size_history: int = -1
    sha256: str = ""
    sha256_history: str = ""
    link: str = ""
    build: bool = False
    origin: str = ""
    marks: list[tuple[str, int]] = []
    opaque: bool = False
    broken: str = ""
    twice: bool = False
    told_apart: bool = False
    lines: list[str] = []


class HistoryReport(Struct, frozen=True, kw_only=True):
    """The whole. ``verdict``: ``same`` (all that the release holds is the tag's, byte for byte), ``regenerated`` (the
    rest was generated again and is equal), or ``differs``. ``unverified``: paths that nothing shows to be the tag's,
    those that take part in a build first. ``tables``: the rows that the files refer to."""

    schema: int
    banbury: str
    release: str
    repository: str
    tag: str
    found: Found | None
    verdict: str
    counts: dict[str, int]
    unverified: list[str]
    files: list[FileStatus]
    notes: list[str]
    tables: dict[str, dict[str, Any]]

    @property
    def good(self) -> bool:
        """Whether the release's source is the tag's."""
        return self.verdict != "differs"


_FINE: Final = (Status.SAME, Status.REGENERATED)
_AGAIN: Final = "files that release tools generate were not verified: give a tree in which they were generated again"


def report(
    release: str, repository: str, tag: str, found: Found | None, rows: list[FileStatus], notes: list[str],
    regenerated: bool,
) -> HistoryReport:  # fmt: skip
    """Sum the rows up. A file that the release leaves out counts, unless it is one that no build reads."""
    counts = {str(s): 0 for s in Status}
    for row in rows:
        counts[row.status] += 1
    open_rows = [r for r in rows if not _verified(r)]
    open_rows.sort(key=lambda r: (not r.marks, bool(r.origin), not r.build, not (r.opaque or r.broken), r.path))
    verdict = "differs" if open_rows or not any(r.status in (Status.SAME, Status.REGENERATED) for r in rows) else "same"
    if verdict == "same" and counts[Status.REGENERATED]:
        verdict = "regenerated"
    if not regenerated and any(r.origin for r in open_rows):
        notes = [
            *notes,
            _AGAIN,
        ]
    used = {r.origin for r in rows if r.origin} | {m for r in rows for m, _ in r.marks}
    known: dict[str, Any] = {**origins(), **marks()}
    return HistoryReport(
        schema=SCHEMA_VERSION,
        banbury=banbury.__version__,
        release=release,
        repository=repository,
        tag=tag,
        found=found,
        verdict=verdict,
        counts=counts,
        unverified=[r.path for r in open_rows],
        files=rows,
        notes=notes,
        tables={name: msgspec.to_builtins(known[name]) for name in sorted(used)},
    )


def _verified(row: FileStatus) -> bool:
    if row.status is Status.MISSING:
        return may_be_left_out(row.path)
    return row.status in _FINE and row.kind != "submodule"  # whose content is in another repository


def encode(found: HistoryReport) -> bytes:
    """The report as indented JSON, the same bytes for the same result."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the report."""
    return msgspec.json.schema(HistoryReport)
