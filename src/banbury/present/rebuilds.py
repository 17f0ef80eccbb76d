"""What the reports say of images and their rebuilds: for a manager first, then file by file, the worst first."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.model import Verdict
from banbury.model.evaluation import Evaluation
from banbury.model.rebuild import ComparedFile, Rebuilt
from banbury.present.text import clip, counted, grouped, human, percent
from banbury.present.verdicts import said

_ORDER: Final = {str(v): -rank for rank, v in enumerate(Verdict)}
_PREMISES: Final = 4
_METHODS: Final = {
    "whole": "compared with its rebuild as a whole, byte for byte, and file by file",
    "files": "its files were compared with those of the rebuild; what lies around them was not",
    "none": "compared with nothing",
}


class RebuildView(Struct, frozen=True, kw_only=True):
    """One image: ``number`` is that of its equivalence report, ``files`` are those not shown to be equivalent."""

    row: Rebuilt
    name: str
    number: int
    equivalent: bool
    verdict: str
    sentence: str
    method: str
    share: str
    code: str
    counts: list[tuple[str, str]]
    premises: list[str]
    files: list[ComparedFile]
    alone: int
    rebuilds: list[str]


def rebuild_views(evaluation: Evaluation) -> list[RebuildView]:
    """A view of each image that the submission asks to be compared."""
    return [_view(evaluation, row, number) for number, row in enumerate(evaluation.rebuilds, 1)]


def _view(evaluation: Evaluation, row: Rebuilt, number: int) -> RebuildView:
    verdict = Verdict(row.verdict) if row.verdict else None
    totals = row.totals
    bad = [f for f in row.files if not Verdict(f.verdict).equivalent]
    bad.sort(key=lambda f: (_ORDER[f.verdict], f.how == "nothing", -f.code, f.path))
    return RebuildView(
        row=row,
        name=evaluation.nodes[row.image].name,
        number=number,
        equivalent=verdict is not None and verdict.equivalent,
        verdict=str(verdict or "no rebuild"),
        sentence=said(verdict) if verdict else "No rebuild of it was handed in: nothing ties it to the source.",
        method=_METHODS[row.method],
        share=percent(totals.proved_code, totals.code) if totals else "–",
        code=human(totals.code) if totals else "",
        counts=[(v, grouped(n)) for v, n in totals.files.items() if n] if totals else [],
        premises=[
            f"{'Source version' if p.kind == 'version' else 'Toolchain'} of {clip(p.subject)} differs: "
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
    )


def file_reason(file: ComparedFile) -> str:
    """Why a file is not shown to be equivalent, in one line."""
    if file.how == "nothing":
        return "the rebuild has no file of this path or content"
    parts = [f"{c.what} {c.rebuilt} rebuilt, {c.shipped} shipped" for c in file.changes]
    if file.functions:
        parts.append(f"{counted(file.functions, 'function')} changed")
    return "; ".join([*parts, file.why] if file.why else parts)
