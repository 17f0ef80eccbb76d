"""``banbury sbom`` and ``banbury vex``: what they write, and how a release is found in a workspace."""

from __future__ import annotations

import io
import json
import random
import tarfile
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from banbury.cli import main
from banbury.model.errors import InputError
from banbury.model.supply import SupplyChain
from banbury.present.stored import find_evaluation
from tests.present import example
from tests.supply import exported


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two evaluations: one with an inventory and matches, one from before there were any."""
    root = tmp_path_factory.mktemp("workspace")
    chain = SupplyChain(inventory=exported.inventory(), feeds=exported.snapshots(), matches=exported.matches())
    small = example.small()
    old = msgspec.structs.replace(small, release=msgspec.structs.replace(small.release, id="ab" * 32, version="1.0"))
    for evaluation, more in ((small, {"supply": msgspec.to_builtins(chain)}), (old, {"supply": None})):
        folder = root / "evaluations" / evaluation.release.folder
        folder.mkdir(parents=True)
        (folder / "evaluation.json").write_bytes(msgspec.json.encode(msgspec.to_builtins(evaluation) | more))
    (root / "evaluations" / ".new-half").mkdir()
    (root / "box.bin").write_bytes(example.IMAGE)
    return root


def ran(workspace: Path, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--workspace", str(workspace)])


@pytest.mark.parametrize("form", ["cyclonedx-1.6", "cyclonedx-1.7", "spdx-3.0"])
def test_sbom(form: str, workspace: Path, tmp_path: Path) -> None:
    first = ran(workspace, "sbom", "Example Box 2.0", "--format", form)
    assert first.exit_code == 0, first.output
    out = tmp_path / "bill.json"
    assert ran(workspace, "sbom", "Example Box 2.0", "--format", form, "--out", str(out)).exit_code == 0
    assert out.read_bytes() == first.stdout_bytes
    assert "busybox" in first.output
    refused = ran(workspace, "sbom", "abab", "--format", form)
    assert (refused.exit_code, "no inventory" in refused.output) == (2, True)


@pytest.mark.parametrize("form", ["cyclonedx", "openvex", "csaf"])
def test_vex(form: str, workspace: Path) -> None:
    result = ran(workspace, "vex", "Example Box 2.0", "--format", form, "--author", "A lab", "--namespace", "urn:x:y")
    assert result.exit_code == 0, result.output
    assert "CVE-2023-4911" in json.dumps(json.loads(result.output))
    refused = ran(workspace, "vex", "abab", "--format", form)
    assert (refused.exit_code, refused.output.count("\n")) == (2, 2)
    assert "no inventory" in refused.output


def test_a_release_is_found_by_what_people_call_it(workspace: Path) -> None:
    release = example.small().release
    folder = workspace / "evaluations" / release.folder
    for name in (
        release.id,
        release.id[:6].upper(),
        release.label,
        release.folder,
        str(folder),
        f"{folder}/evaluation.json",
    ):
        assert find_evaluation(workspace, name)[0].release.id == release.id
    for name, why in (
        (str(workspace / "box.bin"), "more than one release"),  # both have this image
        ("", "no evaluation"),
        ("no such", "no evaluation"),
        (release.id[:3], "no evaluation"),
        (str(workspace / "evaluations" / ".new-half"), "more than one|no evaluation"),
    ):
        with pytest.raises(InputError, match=why):
            find_evaluation(workspace, name)


def test_what_is_no_evaluation_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "evaluations" / "x"
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text("{")
    result = ran(tmp_path, "sbom", "x")
    assert (result.exit_code, "no evaluation of this program" in result.output) == (2, True)


@pytest.mark.slow
def test_a_package_that_is_cut_short_is_said_to_be(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("first", "second"):
            member = tarfile.TarInfo(name)
            member.size = 40_000
            archive.addfile(member, io.BytesIO(random.Random(name).randbytes(40_000)))
    whole, cut = tmp_path / "whole.tar.gz", tmp_path / "cut.tar.gz"
    whole.write_bytes(packed.getvalue())
    cut.write_bytes(packed.getvalue()[:50_000])
    for path, notes in ((whole, []), (cut, ["cut.tar.gz is cut short (gzip): what was behind the cut is not listed"])):
        out = tmp_path / "inventory.json"
        result = CliRunner().invoke(main, ["components", str(path), "--json", str(out)])
        assert result.exit_code == 0, result.output
        assert [line.strip() for line in result.output.splitlines() if "cut short" in line] == notes
        assert json.loads(out.read_bytes()).get("notes", []) == notes
