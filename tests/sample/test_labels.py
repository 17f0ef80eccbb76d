"""Scoring findings against labels: every way to be right and to be wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from banbury import sample
from banbury.model.errors import InputError
from banbury.sample import Label, Score, Validation

_LABELS = [
    Label(rule="r", paths=["etc/a", "etc/b"], releases=["1"], present=True, why="", contains="alice"),
    Label(rule="r", paths=["etc/a"], releases=["1"], present=True, why="", contains="carol"),
    Label(rule="r", paths=["etc/a"], releases=["1"], present=False, why="", contains="bob"),
    Label(rule="other", paths=["x"], releases=["2"], present=True, why=""),
]


def _finding(rule: str, locator: str, words: str, **more: object) -> dict[str, object]:
    return {"rule": rule, "message": words, "evidence": [{"locator": locator, "text": ""}], **more}


def _score(*findings: dict[str, object]) -> Validation:
    return sample.validate({"release": {"version": "1"}, "findings": list(findings)}, _LABELS)


def test_found_missed_false_and_quiet_are_counted() -> None:
    """One found of two, one false alarm, and the case that looks alike stays quiet."""
    result = _score(
        _finding("r", "image.bin!squashfs!etc/b", "alice has no password"),
        _finding("r", "image.bin!squashfs!etc/other", "mallory"),
    )

    assert result.scores == [Score(rule="r", found=1, false=1, missed=1, quiet=1)]
    assert (result.total.precision, result.total.recall) == (0.5, 0.5)
    assert result.missed == ["1: r at etc/a: "]
    assert result.false_alarms == ["1: r: mallory"]


def test_a_case_that_looks_alike_is_a_false_alarm_when_found() -> None:
    """What the labels say is in order must not be found."""
    (score,) = _score(_finding("r", "i!etc/a", "bob")).scores

    assert (score.false, score.quiet) == (1, 0)


def test_the_right_words_at_the_wrong_place_do_not_count() -> None:
    """Place and words must both agree, and a path is compared as a whole step."""
    (score,) = _score(_finding("r", "i!not/etc/a", "alice"), _finding("r", "i!etc/a2", "carol")).scores

    assert (score.found, score.false, score.missed) == (0, 2, 2)


def test_what_lies_inside_a_labelled_container_counts() -> None:
    """A finding on a member of a labelled archive is at the archive."""
    (score,) = _score(_finding("r", "i!etc/a!inner!../../x", "carol")).scores

    assert score.found == 1


def test_gone_findings_do_not_count() -> None:
    """A finding of the baseline only is no finding of this release."""
    (score,) = _score(_finding("r", "i!etc/a", "mallory", status="gone")).scores

    assert score.false == 0


def test_rules_without_labels_are_unjudged() -> None:
    """They neither help nor hurt; labels of other releases do not speak of this one."""
    result = _score(_finding("other", "i!x", ""), _finding("third", "i!x", ""))

    assert result.unjudged == {"other": 1, "third": 1}
    assert [score.rule for score in result.scores] == ["r"]


def test_shares_without_cases_are_none() -> None:
    """No finding, no precision; nothing to find, no recall."""
    assert Score(rule="r", found=0, false=0, missed=0, quiet=3).precision is None
    assert Score(rule="r", found=0, false=0, missed=0, quiet=3).recall is None


def test_releases_add_up() -> None:
    """Two releases together have the sum of both counts."""
    one = _score(_finding("r", "i!etc/a", "alice"), _finding("x", "i", ""))

    both = sample.together([one, one])

    assert both.scores == [Score(rule="r", found=2, false=0, missed=2, quiet=2)]
    assert both.unjudged == {"x": 2}
    assert both.releases == ["1", "1"]


def test_shipped_labels_hold_together() -> None:
    """Every label names a release there is; no two say the same; both kinds are there in number."""
    labels = sample.shipped_labels()

    assert {release for label in labels for release in label.releases} == {"1.0", "1.1"}
    cases = Counter((x.rule, tuple(x.paths), x.contains, release) for x in labels for release in x.releases)
    assert max(cases.values()) == 1
    assert sum(label.present for label in labels) >= 20
    assert sum(not label.present for label in labels) >= 15


def test_labels_survive_the_file(tmp_path: Path) -> None:
    """What is written beside the sample is read back the same; rubbish is one clear error."""
    path = tmp_path / "labels.json"
    path.write_bytes(msgspec.json.encode(sample.shipped_labels()))
    assert sample.load_labels(path) == sample.shipped_labels()

    path.write_text("[{}]")
    with pytest.raises(InputError, match=r"labels\.json"):
        sample.load_labels(path)
