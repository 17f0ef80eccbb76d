"""Evaluations of a workspace and the releases of an inventory: what is joined, and what stays unknown."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.decide.policy.assess import assess_folder
from banbury.decide.policy.pack import Trial
from banbury.decide.policy.trial import draft
from banbury.decide.policy.verdict import Assessment
from banbury.intake.tasks import shut_down
from tests.decide.packs import HEAD
from tests.images import tar_of, uimage

IMAGE, OTHER = "a" * 64, "b" * 64
PACK = (
    HEAD
    + """\
  - { id: looked, kind: requires, title: t, source: { ref: s, clause: c }, evidence: [evaluation], level: limited }
  - { id: built, kind: requires, title: t, source: { ref: s, clause: c }, evidence: [equivalence], level: sufficient }
  - { id: parts, kind: component_ban, title: t, source: { ref: s, clause: c } }
"""
)


def evaluation(**more: Any) -> dict[str, Any]:
    """The parts of an evaluation that are read."""
    ledger: dict[str, list[str]] = {"coverage": [], "unread": [], "images": [], "not_unpacked": [], "limits_hit": []}
    artefact = {"name": "image.bin", "role": "image", "sha256": IMAGE, "size": 1}
    release = {"id": "c" * 64, "vendor": "Hrv Ltd", "product": "box", "version": "1", "artefacts": [artefact]}
    whole = {"method": "whole", "verdict": "identical", "image": 0, "tied": True}
    found = {"schema": "banbury/evaluation/v1", "as_of": "2020-05-01", "release": release, "ledger": ledger}
    return {**found, "findings": [], "rebuilds": [whole], **more}


def asked(tmp_path: Path, *evaluations: dict[str, Any] | bytes, **element: Any) -> dict[str, str]:
    return {v.rule: v.status for v in assessed(tmp_path, *evaluations, **element).verdicts}


def assessed(tmp_path: Path, *evaluations: dict[str, Any] | bytes, **element: Any) -> Assessment:
    number = len(list(tmp_path.iterdir()))
    base = tmp_path / str(number)
    row = {"id": "e", "function": "GNB", "vendor": "hrv", "product": "box", "release": "1", **element}
    tables: dict[str, tuple[dict[str, Any], ...]] = {
        "vendors": ({"id": "hrv", "name": "Hrv Ltd", "class": "high-risk"},),
        "elements": (row,),
    }
    draft(Trial("x", dt.date(2020, 6, 1), tables, ()), "x").write(base / "n")
    (base / "ws").mkdir()
    for i, one in enumerate(evaluations):
        folder = base / "ws" / "evaluations" / f"e{i}"
        folder.mkdir(parents=True)
        (folder / "evaluation.json").write_bytes(one if isinstance(one, bytes) else json.dumps(one).encode())
    (base / "pack.yaml").write_text(PACK)
    return assess_folder(base / "n", [str(base / "pack.yaml")], None, workspace=base / "ws")


UNKNOWN = {"looked": "insufficient data", "built": "insufficient data", "parts": "insufficient data"}


def test_an_evaluated_release_has_evidence_and_another_is_unknown(tmp_path: Path) -> None:
    assert asked(tmp_path, evaluation()) == {**UNKNOWN, "looked": "met", "built": "met"}
    assert asked(tmp_path) == UNKNOWN, "no evaluation"
    assert asked(tmp_path, evaluation(), release="2") == UNKNOWN, "another release"
    assert asked(tmp_path, evaluation(), product="case") == UNKNOWN, "another product"
    assert asked(tmp_path, evaluation(), release=None) == UNKNOWN, "no release is said"


def test_an_image_says_more_than_a_name(tmp_path: Path) -> None:
    known = {**UNKNOWN, "looked": "met", "built": "met"}
    assert asked(tmp_path, evaluation(), release="1 (our name)", release_sha256=IMAGE) == known
    assert asked(tmp_path, evaluation(), release_sha256=OTHER) == UNKNOWN, "another image of that name"


def test_two_evaluations_of_one_name_are_about_neither(tmp_path: Path) -> None:
    other = evaluation()
    other["release"] = {**other["release"], "id": "d" * 64, "artefacts": [{**other["release"]["artefacts"][0]}]}
    other["release"]["artefacts"][0]["sha256"] = OTHER
    assert asked(tmp_path, evaluation(), other) == UNKNOWN
    assert "which one runs" in assessed(tmp_path, evaluation(), other).remarks[0]
    assert asked(tmp_path, evaluation(), other, release_sha256=OTHER)["looked"] == "met"


@pytest.mark.parametrize(
    ("change", "looked", "built"),
    [
        ({"findings": [{"severity": "critical", "grade": "established"}]}, "violation", "met"),
        ({"findings": [{"severity": "critical", "grade": "indicated"}]}, "met", "met"),
        ({"rebuilds": []}, "met", "insufficient data"),
        ({"rebuilds": [{"method": "none"}]}, "met", "insufficient data"),
        ({"rebuilds": [{"method": "whole", "verdict": "unexplained"}]}, "met", "violation"),
        ({"rebuilds": [{"method": "files", "verdict": "identical", "tied": True}]}, "met", "violation"),
        ({"rebuilds": [{"method": "whole", "verdict": "identical"}]}, "met", "violation"),
        ({"rebuilds": [{"method": "whole", "verdict": "functional"}]}, "met", "violation"),
        ({"rebuilds": [{"method": "whole", "verdict": "equivalent/relayout", "tied": True}]}, "met", "met"),
        ({"rebuilds": [{"method": "whole", "verdict": "some new word"}]}, "met", "violation"),
        ({"as_of": "2020-06-02"}, "insufficient data", "insufficient data"),
    ],
)
def test_what_it_shows(tmp_path: Path, change: dict[str, Any], looked: str, built: str) -> None:
    found = asked(tmp_path, evaluation(**change))
    assert (found["looked"], found["built"]) == (looked, built)


def test_an_image_without_a_rebuild_leaves_the_release_unknown(tmp_path: Path) -> None:
    one = evaluation()
    one["release"]["artefacts"].append({"name": "b.bin", "role": "image", "sha256": OTHER, "size": 1})
    assert asked(tmp_path, one)["built"] == "insufficient data"


@pytest.mark.parametrize(
    "bad",
    [b"", b"{", b"[" * 100_000, b"null", b'{"schema": "x"}', json.dumps(evaluation(as_of="soon")).encode(),
     json.dumps(evaluation(schema="banbury/evaluation/v9")).encode()],
)  # fmt: skip
def test_an_evaluation_that_cannot_be_read_is_named_and_not_used(tmp_path: Path, bad: bytes) -> None:
    found = assessed(tmp_path, bad)
    assert [v.status for v in found.verdicts] == ["insufficient data"] * 3
    assert len(found.remarks) == 1
    assert "not used" in found.remarks[0]


def test_hostile_text_of_an_evaluation_stays_text(tmp_path: Path) -> None:
    part = {"product": "=cmd|'x'", "version": "\x1b[2J", "supplier": "@S"}
    one = evaluation(supply={"inventory": {"components": [part]}})
    one["release"]["product"] = "box"
    found = assessed(tmp_path, one)
    assert {v.rule: v.status for v in found.verdicts}["parts"] == "insufficient data"


def test_a_release_evaluated_for_real(tmp_path: Path) -> None:
    """An image and its rebuild, evaluated by the laboratory: by digest, by name, and one that was not evaluated."""
    folder, space = tmp_path / "release", tmp_path / "ws"
    folder.mkdir()
    image = uimage(gzip.compress(tar_of({"etc/motd": b"hello\n", "usr/share/notes.txt": b"text\n" * 30}), mtime=0))
    (folder / "image.bin").write_bytes(image)
    (folder / "built.bin").write_bytes(image)
    (folder / "source.tar").write_bytes(tar_of({"src/main.c": b"int main(void) { return 0; }\n"}))
    (folder / "release.toml").write_text(
        """[release]
vendor = "hrv"
product = "box"
version = "1"
[[artefact]]
path = "image.bin"
role = "image"
[[artefact]]
path = "built.bin"
role = "rebuild"
rebuild_of = "image.bin"
built_by = "laboratory"
[[artefact]]
path = "source.tar"
role = "source"
"""
    )
    arguments = ["evaluate", str(folder), "--workspace", str(space), "--as-of", "2020-05-01", "--no-pdf", "-q"]
    arguments.append("--rebuilt-here")
    done = CliRunner().invoke(main, arguments)
    shut_down()
    assert done.exit_code == 0, done.output
    rows = [
        {"id": "by-digest", "product": "box", "release": "x", "release_sha256": hashlib.sha256(image).hexdigest()},
        {"id": "by-name", "product": "box", "release": "1"},
        {"id": "another", "product": "box", "release": "2"},
    ]
    tables: dict[str, tuple[dict[str, Any], ...]] = {
        "vendors": ({"id": "hrv", "class": "high-risk"},),
        "elements": tuple({"function": "GNB", "vendor": "hrv", **row} for row in rows),
    }
    draft(Trial("x", dt.date(2020, 6, 1), tables, ()), "x").write(tmp_path / "n")
    (tmp_path / "pack.yaml").write_text(PACK)
    pack = ["--policy", str(tmp_path / "pack.yaml"), "--json", "-"]
    done = CliRunner().invoke(main, ["network", "assess", str(tmp_path / "n"), *pack, "--workspace", str(space)])
    assert done.exit_code == 4
    record = json.loads(done.stdout)
    assert [(one["product"], one["elements"]) for one in record["evaluations"]] == [("box", 2)]
    open_ = {v["rule"]: v["assets"] for v in record["verdicts"] if v["status"] == "insufficient data"}
    assert open_["looked"] == open_["built"] == ["another"]
    alone = CliRunner().invoke(main, ["network", "assess", str(tmp_path / "n"), *pack])
    assert {v["status"] for v in json.loads(alone.stdout)["verdicts"]} == {"insufficient data"}
