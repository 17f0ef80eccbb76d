"""The detectors' measured precision and recall, kept in a workspace and shown beside evaluations of the same method."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from banbury.lab.workspace import Workspace
from banbury.model.evaluation import Evaluation

_NAME = "validation.json"


class Row(Struct, frozen=True, kw_only=True):
    """One rule on the sample: counts of rightly found, falsely found, missed and rightly quiet cases."""

    rule: str
    found: int
    false: int
    missed: int
    quiet: int


class Measured(Struct, frozen=True, kw_only=True):
    """A validation and the method it holds for: rules and tool versions. ``rows`` are sorted by rule."""

    sample: str
    rules_digest: str
    tools: dict[str, str]
    rows: list[Row]
    missed: list[str]
    false_alarms: list[str]

    @property
    def total(self) -> Row:
        """All rules together."""
        sums = {f: sum(getattr(r, f) for r in self.rows) for f in ("found", "false", "missed", "quiet")}
        return Row(rule="all", **sums)


def save_validation(validation: Any, evaluation: Evaluation, workspace: Workspace) -> None:
    """Keep a :class:`banbury.sample.Validation` that was measured with the method of ``evaluation``."""
    measured = Measured(
        sample=f"{evaluation.release.product}, releases {', '.join(validation.releases)}",
        rules_digest=evaluation.rules_digest,
        tools=evaluation.tools,
        rows=[
            Row(rule=s.rule, found=s.found, false=s.false, missed=s.missed, quiet=s.quiet) for s in validation.scores
        ],
        missed=list(validation.missed),
        false_alarms=list(validation.false_alarms),
    )
    (workspace.root / _NAME).write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")


def load_validation(evaluation: Evaluation, workspace: Workspace) -> Measured | None:
    """The workspace's validation, if it was measured with the rules and tools of ``evaluation``; else ``None``."""
    path = workspace.root / _NAME
    if not path.exists():
        return None
    try:
        measured = msgspec.json.decode(path.read_bytes(), type=Measured)
    except msgspec.DecodeError:
        return None
    same = measured.rules_digest == evaluation.rules_digest and measured.tools == evaluation.tools
    return measured if same else None
