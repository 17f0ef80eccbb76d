"""What the reports say of images and their rebuilds: for a manager first, then file by file, the worst first."""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.model import Verdict
from banbury.model.evaluation import Evaluation
from banbury.model.rebuild import ComparedFile, RebuildTotals, Rebuilt
from banbury.present.text import clip, counted, grouped, human, percent
from banbury.present.verdicts import said

_ORDER: Final = {str(v): -rank for rank, v in enumerate(Verdict)}
_PREMISES: Final = 4
_PREMISED: Final = {"version": "Source version", "length": "Length"}
_TREES: Final = 4  # rebuilds named of one file system
_METHODS: Final = {
    "whole": "compared with its rebuild as a whole, byte for byte, and file by file",
    "files": "its files were compared with those of the rebuild; what lies around them was not",
    "none": "compared with nothing",
}


#: Sorts of files that were left out, the gravest first, and how they are called.
_SORTS: Final = {
    "start": "that start something",
    "protection": "that protect",
    "configuration": "of configuration",
    "program": "that are programs",
    "other": "others",
}
#: By the weakest of those who built the rebuilds.
_BUILT: Final = {
    "laboratory": "The laboratory built the rebuild, and its source was not handed in",
    "laboratory, unconfirmed": (
        "The manifest says that the laboratory built the rebuild; whoever ran this evaluation did not confirm it"
    ),
    "vendor": "The vendor handed over the rebuild",
    "third-party": "A third party built the rebuild",
    "not stated": "Nobody says who built the rebuild",
}
_EQUALS: Final = {
    "laboratory": "a rebuild by the laboratory, whose source was not handed in",
    "laboratory, unconfirmed": "a rebuild that the manifest calls the laboratory's",
    "vendor": "a rebuild that the vendor handed over",
    "third-party": "a rebuild by a third party",
    "not stated": "a rebuild of which nobody says who made it",
}


class SystemRow(Struct, frozen=True, kw_only=True):
    """A file system of an image: which rebuilds it was taken to be made of, what says so, and what nothing tells."""

    node: int
    rebuilds: str
    how: str
    doubts: list[str]


class RebuildView(Struct, frozen=True, kw_only=True):
    """One image: ``number`` is that of its equivalence report, ``files`` are those not shown to be equivalent."""

    row: Rebuilt
    name: str
    number: int
    equivalent: bool
    verdict: str
    sentence: str
    notes: list[str]
    method: str
    claim: str
    share: str
    code: str
    counts: list[tuple[str, str]]
    premises: list[str]
    files: list[ComparedFile]
    alone: int
    rebuilds: list[str]
    systems: list[SystemRow]


def rebuild_views(evaluation: Evaluation) -> list[RebuildView]:
    """A view of each image that the submission asks to be compared."""
    return [_view(evaluation, row, number) for number, row in enumerate(evaluation.rebuilds, 1)]


def _view(evaluation: Evaluation, row: Rebuilt, number: int) -> RebuildView:
    verdict = Verdict(row.verdict) if row.verdict else None
    totals = row.totals
    bad = [f for f in row.files if not Verdict(f.verdict).equivalent]
    bad.sort(key=lambda f: (_ORDER[f.verdict], f.how == "nothing", -f.code, f.path))
    equivalent = verdict is not None and verdict.equivalent
    return RebuildView(
        row=row,
        name=evaluation.nodes[row.image].name,
        number=number,
        equivalent=equivalent and row.tied,
        verdict=str(verdict or "no rebuild"),
        sentence=_sentence(row, verdict),
        notes=_notes(row),
        claim=_claim(row),
        method=_METHODS[row.method],
        share=_share(row),
        code=_code(totals) if totals else "",
        counts=[(v, grouped(n)) for v, n in totals.files.items() if n] if totals else [],
        premises=[
            f"{_PREMISED.get(p.kind, 'Toolchain')} of {clip(p.subject)} differs: "
            f"{clip(p.rebuilt)} rebuilt, {clip(p.shipped)} shipped"
            for p in row.premises[:_PREMISES]
        ]
        + (
            [f"and {counted(len(row.premises) - _PREMISES, 'more statement')} of this sort"]
            if len(row.premises) > _PREMISES
            else []
        ),
        files=bad,
        alone=sum(f.how == "nothing" for f in bad),
        rebuilds=[evaluation.nodes[n].name for n in row.rebuilds],
        systems=_systems(evaluation, row),
    )


def _systems(evaluation: Evaluation, row: Rebuilt) -> list[SystemRow]:
    """The file systems of an image, where there are several or the manifest says what is in one; doubts first."""
    if len(row.file_systems) < 2 and not any(s.doubts or s.stated for s in row.file_systems):
        return []
    found = []
    for system in sorted(row.file_systems, key=lambda s: not s.doubts):
        names = [evaluation.nodes[n].locator for n in system.rebuilds[:_TREES]]
        more = [f"and {len(system.rebuilds) - _TREES} more"] if len(system.rebuilds) > _TREES else []
        stated, count = len(system.stated), len(system.rebuilds)
        how = (
            "the manifest" if stated == count else f"the manifest of {stated}, else paths" if stated else "their paths"
        )
        found.append(
            SystemRow(
                node=system.node, rebuilds=", ".join([*names, *more]), how=how if count else "", doubts=system.doubts
            )
        )
    return found


def told(row: Rebuilt) -> list[str]:
    """What a terminal says of an image beside the verdict."""
    totals = row.totals
    measured = totals and (totals.code or totals.unmeasured)
    code = [f"{_claim(row)}: {_share(row)} of {_code(totals)}"] if totals and measured else []
    return [*_notes(row), *code]


def _sentence(row: Rebuilt, verdict: Verdict | None) -> str:
    if verdict is None:
        return "No rebuild of it was handed in: nothing ties it to the source."
    files = Verdict(row.files_verdict) if row.files_verdict else verdict
    if files.equivalent and not verdict.equivalent and any(s.doubts for s in row.file_systems):
        return f"What a file system of the image should hold is not stated. Of the files that are there: {said(files)}"
    if row.left_out and files.equivalent:
        return f"Files of the rebuild are missing from the image. Of those that are there: {said(files)}"
    return said(verdict)


def _notes(row: Rebuilt) -> list[str]:
    """What a verdict alone would not say: files that were left out, and a rebuild that is not the laboratory's."""
    notes = []
    if row.left_out:
        count = len(row.left_out)
        counts = Counter(gone.sort for gone in row.left_out)
        sorts = ", ".join(f"{grouped(counts[sort])} {name}" for sort, name in _SORTS.items() if counts[sort])
        notes.append(
            f"{counted(count, 'file')} of the rebuild {'is' if count == 1 else 'are'} not in the image: {sorts}"
        )
    doubts = [doubt for system in row.file_systems for doubt in system.doubts]
    if doubts:
        more = f" (and {counted(len(doubts) - 1, 'more doubt')})" if len(doubts) > 1 else ""
        notes.append(f"{clip(doubts[0], 500)}{more}")
    if row.built_by and not row.tied:
        part = "Of a part: " if len(row.built_by) > 1 else ""
        notes.append(f"{part}{_BUILT[row.built_by[0]]}. That it comes from the source that was reviewed is not shown")
    return notes


def _claim(row: Rebuilt) -> str:
    """Of what the share of program code is the share."""
    if row.totals and (row.tied or row.totals.source_code):
        return "Program code shown to come from the source that was handed in"
    return f"Program code that equals {_EQUALS[row.built_by[0]]}" if row.built_by else "Program code compared"


def _share(row: Rebuilt) -> str:
    totals = row.totals
    if totals is None:
        return "–"
    return percent(totals.source_code if row.tied or totals.source_code else totals.proved_code, totals.code)


def _code(totals: RebuildTotals) -> str:
    """Of how much code the share is, and what is not in it."""
    more = f"; {counted(totals.unmeasured, 'more program')} could not be measured" if totals.unmeasured else ""
    return f"{human(totals.code)}{more}"


def file_reason(file: ComparedFile) -> str:
    """Why a file is not shown to be equivalent, in one line."""
    if file.how == "nothing":
        return "the rebuild has no file of this path or content"
    parts = [f"{c.what} {c.rebuilt} rebuilt, {c.shipped} shipped" for c in file.changes]
    if file.functions:
        parts.append(f"{counted(file.functions, 'function')} changed")
    return "; ".join([*parts, file.why] if file.why else parts)
