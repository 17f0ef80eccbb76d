"""The sample's labels, and how well an evaluation's findings agree with them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from banbury.model.errors import InputError


class Label(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What ``rule`` must say (``present``), or must not, at ``paths`` in each of ``releases``.

    A path is the one inside its container. ``contains`` tells cases in one file apart: words that a finding's message
    or evidence holds. A finding at any one of the paths is the one meant.
    """

    rule: str
    paths: list[str]
    releases: list[str]
    present: bool
    why: str
    contains: str = ""


class Score(Struct, frozen=True, kw_only=True):
    """One rule against its labels. Counts of: expected and found; found and not expected; expected and not found;
    rightly not found. A share is None where it has no cases."""

    rule: str
    found: int
    false: int
    missed: int
    quiet: int

    @property
    def precision(self) -> float | None:
        """The share of what was found that was to be found."""
        return _share(self.found, self.found + self.false)

    @property
    def recall(self) -> float | None:
        """The share of what was to be found that was."""
        return _share(self.found, self.found + self.missed)


class Validation(Struct, frozen=True, kw_only=True):
    """The measured precision and recall of the detectors on the sample.

    ``scores`` has a line for every labelled rule, ``false_alarms`` and ``missed`` are lines for people, ``unjudged``
    counts findings of rules that no label speaks of, by rule.
    """

    releases: list[str]
    scores: list[Score]
    false_alarms: list[str]
    missed: list[str]
    unjudged: dict[str, int]

    @property
    def total(self) -> Score:
        """All rules together."""
        counts = {name: sum(getattr(s, name) for s in self.scores) for name in ("found", "false", "missed", "quiet")}
        return Score(rule="all", **counts)


def shipped_labels() -> list[Label]:
    """The labels of both releases, as this package ships them."""
    text = (Path(__file__).parent / "labels.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["label"], list[Label])


def load_labels(path: Path) -> list[Label]:
    """The labels in a ``labels.json`` written beside a sample. Raises InputError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Label])
    except (OSError, msgspec.DecodeError) as problem:
        raise InputError(f"{path}: {problem}") from problem


def validate(evaluation: Mapping[str, Any], labels: Iterable[Label], release: str = "") -> Validation:
    """Compare an evaluation with the labels of its release.

    ``evaluation`` is the JSON document, as plain data: its ``findings`` carry ``rule``, ``message`` and places
    (``where``, ``locations``, ``evidence[].locator``); those that are gone since a baseline do not count. ``release``
    is the version; by default the one that the evaluation states.
    """
    version = release or str(evaluation.get("release", {}).get("version", ""))
    ours = [label for label in labels if version in label.releases]
    findings = [_Found(raw) for raw in evaluation.get("findings", []) if raw.get("status") != "gone"]
    rules = sorted({label.rule for label in ours})
    scores, false_alarms, missed = [], [], []
    for rule in rules:
        score, wrong, lost = _score(rule, [x for x in ours if x.rule == rule], [f for f in findings if f.rule == rule])
        scores.append(score)
        false_alarms += [f"{version}: {line}" for line in wrong]
        missed += [f"{version}: {line}" for line in lost]
    unjudged: dict[str, int] = {}
    for finding in findings:
        if finding.rule not in rules:
            unjudged[finding.rule] = unjudged.get(finding.rule, 0) + 1
    return Validation(
        releases=[version],
        scores=scores,
        false_alarms=false_alarms,
        missed=missed,
        unjudged=dict(sorted(unjudged.items())),
    )


def together(parts: Sequence[Validation]) -> Validation:
    """The validations of several releases as one."""
    scores: dict[str, Score] = {}
    unjudged: dict[str, int] = {}
    for part in parts:
        for s in part.scores:
            t = scores.get(s.rule, Score(rule=s.rule, found=0, false=0, missed=0, quiet=0))
            scores[s.rule] = Score(
                rule=s.rule,
                found=s.found + t.found,
                false=s.false + t.false,
                missed=s.missed + t.missed,
                quiet=s.quiet + t.quiet,
            )
        for rule, count in part.unjudged.items():
            unjudged[rule] = unjudged.get(rule, 0) + count
    return Validation(
        releases=[release for part in parts for release in part.releases],
        scores=[scores[rule] for rule in sorted(scores)],
        false_alarms=[line for part in parts for line in part.false_alarms],
        missed=[line for part in parts for line in part.missed],
        unjudged=dict(sorted(unjudged.items())),
    )


class _Found:
    """A finding: its rule, the places it names (every step of the way down), and its words."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.rule = str(raw.get("rule", ""))
        places = [str(raw.get("where", "")), str(raw.get("path", ""))]
        words = [str(raw.get("message", "")), str(raw.get("title", ""))]
        for item in [*raw.get("evidence", []), *raw.get("locations", [])]:
            fields = item if isinstance(item, Mapping) else {"locator": item}
            places += [str(fields.get(name, "")) for name in ("locator", "path", "where")]
            words.append(str(fields.get("text", "")))
        self.words = "\n".join(words)
        self.steps = {step.lstrip("./") for place in places for step in place.split("!") if step}

    def meets(self, label: Label) -> bool:
        return label.contains in self.words and not self.steps.isdisjoint(label.paths)

    def __str__(self) -> str:
        return f"{self.rule}: {self.words.splitlines()[0] if self.words.strip() else sorted(self.steps)}"


def _score(rule: str, labels: Sequence[Label], findings: Sequence[_Found]) -> tuple[Score, list[str], list[str]]:
    expected = [label for label in labels if label.present]
    lost = [label for label in expected if not any(finding.meets(label) for finding in findings)]
    wrong = [finding for finding in findings if not any(finding.meets(label) for label in expected)]
    alike = [label for label in labels if not label.present]
    quiet = sum(not any(finding.meets(label) for finding in wrong) for label in alike)
    score = Score(rule=rule, found=len(expected) - len(lost), false=len(wrong), missed=len(lost), quiet=quiet)
    return score, [str(finding) for finding in wrong], [f"{rule} at {x.paths[0]}: {x.why}" for x in lost]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
