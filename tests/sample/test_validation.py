"""The detectors against the sample's labels: the gate under which a change may not take them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from banbury import sample
from banbury.lab.workspace import Workspace
from banbury.laboratory import close, evaluate
from tests.sample.made import the_sample

#: What is reached today, rounded down. Raise them when the detectors get better.
RECALL, PRECISION = 0.94, 0.94


@pytest.mark.slow
def test_detectors_keep_their_precision_and_recall(tmp_path: Path) -> None:
    """On both releases together; every byte of both images is opened or named."""
    info = the_sample()
    labels = sample.load_labels(Path(info.root) / info.labels)
    parts = []
    try:
        with Workspace(tmp_path / "workspace") as workspace:
            for release in info.releases:
                evaluation = evaluate(info.manifest(release.version), workspace)
                assert [image.totals["unread"] for image in evaluation.ledger.images] == [0]
                parts.append(sample.validate(msgspec.to_builtins(evaluation), labels))
    finally:
        close()

    result = sample.together(parts)
    shown = "\n".join([*result.missed, *result.false_alarms])
    assert result.releases == ["1.0", "1.1"]
    assert result.total.recall is not None
    assert result.total.recall >= RECALL, shown
    assert result.total.precision is not None
    assert result.total.precision >= PRECISION, shown
