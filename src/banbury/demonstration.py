"""The demonstration: assembles the sample, evaluates both releases, measures the detectors against its labels."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from banbury import sample
from banbury.lab.progress import Progress, Silent
from banbury.lab.workspace import Workspace
from banbury.laboratory import Options, evaluate
from banbury.model.evaluation import Evaluation
from banbury.present.reports import write_reports
from banbury.present.validation import save_validation


class Demonstration(Struct, frozen=True, kw_only=True):
    """The newer release's evaluation (compared with the older), its folder, and the measured validation."""

    evaluation: Evaluation
    folder: Path
    validation: sample.Validation


def demonstrate(workspace: Workspace, cache: Path, progress: Progress | None = None) -> Demonstration:
    """Assemble the sample below ``cache`` and evaluate it. Raises InputError where packages or tools are missing."""
    report = progress or Silent()
    info = sample.build(cache / "sample", cache / "packages", report)
    labels = sample.load_labels(Path(info.root) / info.labels)
    old_path, new_path = info.manifest("1.0"), info.manifest("1.1")
    old = evaluate(old_path, workspace, options=Options(), progress=report)
    new = evaluate(new_path, workspace, baseline=old_path, options=Options(), progress=report)
    report.stage("measure the detectors against the sample's labels")
    parts = [sample.validate(msgspec.to_builtins(e), labels) for e in (old, new)]
    validation = sample.together(parts)
    save_validation(validation, new, workspace)
    report.stage("write reports")
    write_reports(old, workspace)
    folder = write_reports(new, workspace)
    return Demonstration(evaluation=new, folder=folder, validation=validation)
