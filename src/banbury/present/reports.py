"""Writes every form of an evaluation into the workspace, all of them or none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

import banbury
from banbury.compare.equivalence.report import EquivalenceReport
from banbury.lab.blobs import mapped
from banbury.lab.workspace import Workspace
from banbury.model.evaluation import Evaluation
from banbury.present.cyclonedx import render_cyclonedx
from banbury.present.document import encode
from banbury.present.equivalence import render
from banbury.present.html import render_html
from banbury.present.sarif import render_sarif
from banbury.present.validation import load_validation

_STAMP = ".rendered"


def write_reports(evaluation: Evaluation, workspace: Workspace, *, pdf: bool = True) -> Path:
    """Write JSON, HTML, PDF, CycloneDX, SARIF and the custody record; returns the folder they are in.

    Where an earlier run of this program wrote the same evaluation, its reports stand and only custody is added to.
    """
    name = evaluation.release.folder
    data = encode(evaluation)
    measured = load_validation(evaluation, workspace)
    parts = (data, msgspec.json.encode(measured), f"{banbury.__version__} {pdf}".encode())
    stamp = hashlib.sha256(b"".join(parts)).hexdigest()
    final = workspace.root / "evaluations" / name
    custody = msgspec.json.format(msgspec.json.encode(workspace.database.custody_of(evaluation.release.id)), indent=1)
    if (final / _STAMP).exists() and (final / _STAMP).read_text() == stamp:
        workspace.replace_file(final / "custody.json", custody)
        return final
    with workspace.new_folder(name) as folder:
        (folder / "evaluation.json").write_bytes(data)
        (folder / "report.html").write_text(render_html(evaluation, workspace.blobs, measured), "utf-8")
        (folder / "sbom.cdx.json").write_bytes(render_cyclonedx(evaluation))
        (folder / "findings.sarif").write_bytes(render_sarif(evaluation))
        (folder / "custody.json").write_bytes(custody)
        _write_equivalence(evaluation, workspace, folder)
        if pdf:
            from banbury.present.pdf import render_pdf

            (folder / "report.pdf").write_bytes(render_pdf(evaluation, measured))
        (folder / _STAMP).write_text(stamp)
    return final


def _write_equivalence(evaluation: Evaluation, workspace: Workspace, folder: Path) -> None:
    """The whole report on each image that was compared with a rebuild, as data and as a page."""
    for number, row in enumerate(evaluation.rebuilds, 1):
        if row.report:
            with mapped(workspace.blobs, row.report) as data:
                whole = bytes(data)
            (folder / f"equivalence-{number}.json").write_bytes(whole)
            page = render(msgspec.json.decode(whole, type=EquivalenceReport))
            (folder / f"equivalence-{number}.html").write_text(page, "utf-8")
