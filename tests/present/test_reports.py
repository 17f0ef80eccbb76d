"""Writing the reports: all of them, once, and again when something that they show has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from banbury.lab.workspace import Workspace
from banbury.model.evaluation import Evaluation
from banbury.present import reports
from banbury.present.html import render_html
from banbury.present.reports import write_reports
from banbury.present.validation import load_validation, save_validation
from banbury.sample import Score, Validation
from tests.present import example

NAMES = {"report.html", "report.pdf", "evaluation.json", "sbom.cdx.json", "findings.sarif", "custody.json"}


def _validation() -> Validation:
    return Validation(
        releases=["1.0"],
        scores=[Score(rule="example.no-pie", found=7, false=1, missed=2, quiet=5)],
        false_alarms=["1.0: example.no-pie at bin/quiet"],
        missed=[],
        unjudged={},
    )


def test_every_form_is_written_and_stands(small: Evaluation, tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        example.fill(workspace.blobs)  # type: ignore[arg-type]
        folder = write_reports(small, workspace)
        assert {p.name for p in folder.iterdir()} - {".rendered"} == NAMES
        assert all((folder / name).stat().st_size > 0 for name in NAMES)
        before = (folder / "report.html").stat()
        assert write_reports(small, workspace) == folder
        assert (folder / "report.html").stat() == before


def test_nothing_is_written_where_one_form_fails(
    small: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Evaluation) -> bytes:
        raise MemoryError

    monkeypatch.setattr(reports, "render_sarif", fails)
    with Workspace(tmp_path / "w") as workspace:
        with pytest.raises(MemoryError):
            write_reports(small, workspace, pdf=False)
        assert list((workspace.root / "evaluations").iterdir()) == []


def test_the_measured_quality_of_the_detectors_is_said(small: Evaluation, tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        page = write_reports(small, workspace, pdf=False) / "report.html"
        assert "Not measured with these rules and tools" in page.read_text("utf-8")
        save_validation(_validation(), small, workspace)
        write_reports(small, workspace, pdf=False)
        text = page.read_text("utf-8")
    assert "precision 87.50 % (7 right, 1 false), recall 77.77 % (2 missed)" in text
    assert "7 of 9 found, 1 false" in text
    assert "1.0: example.no-pie at bin/quiet" in text


def test_a_measure_of_another_method_is_not_shown(small: Evaluation, tmp_path: Path) -> None:
    with Workspace(tmp_path / "w") as workspace:
        save_validation(_validation(), small, workspace)
        other = example.msgspec.structs.replace(small, rules_digest="0" * 64)
        assert load_validation(small, workspace) is not None
        assert load_validation(other, workspace) is None


def test_a_page_without_a_store_has_no_bytes_and_no_fault(small: Evaluation, tmp_path: Path) -> None:
    """The evaluation alone, without the blobs: the page says everything but the bytes."""
    html = render_html(small, example.FileStore(tmp_path / "empty"))
    assert "example.empty-password" in html
    assert "72 6f 6f 74" not in html
