"""diffoscope as a second opinion, and the published schema of the report."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from banbury import documentation
from banbury.cli import main
from banbury.compare.equivalence import schema, second
from banbury.lab.confined import run_confined
from tests.equivalence import pairs_moved_objects
from tests.equivalence.container_pairs import tar
from tests.equivalence.pairs import TAMPERED

DOCS = Path(__file__).resolve().parents[2] / "docs"
CONTROL = b"Package: tool\nVersion: %s\nDescription: <b>bold</b>\n"


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    shipped, rebuilt = tmp_path / "shipped.tgz", tmp_path / "rebuilt.tgz"
    for path, version, word in ((shipped, b"1.2", b"evil"), (rebuilt, b"1.1", b"good")):
        members = tar(
            ("control", CONTROL % version), ("run", b"#!/bin/sh\n" + word + b"\n"), ("odd\x1b", b"\x00" + word)
        )
        path.write_bytes(gzip.compress(members, mtime=0))
    return shipped, rebuilt


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["equivalence", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_a_report_is_as_its_schema_says(sides: tuple[Path, Path]) -> None:
    found = json.loads(run(*sides, "--json", "-")[1])
    validator = jsonschema.Draft202012Validator(schema.schema(strict=True))

    assert [e.message for e in validator.iter_errors(found)] == []
    assert {"verdict", "files", "totals", "environment", "rules"} <= set(found)
    assert {"code", "proved_code", "proved_share", "files", "bytes", "unexplained_bytes"} == set(found["totals"])
    assert all({"path", "verdict", "own"} <= set(f) for f in found["files"])
    found["totals"]["proved_share"] = "all of it"
    assert list(validator.iter_errors(found))


def test_the_published_schema_is_the_code_s() -> None:
    for name, text in documentation.data().items():
        assert (DOCS / name).read_text("utf-8") == text, "run .venv/bin/banbury docs docs, and commit what it writes"


def test_another_version_is_said_before_anything_else(sides: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    _, text, _ = run(*sides, "--html", page)

    assert "Source version differs: tool is 1.1 rebuilt, 1.2 shipped" in text.splitlines()[1]
    shown = page.read_text("utf-8")
    assert shown.index("Source version differs") < shown.index("What decides it")
    assert "<b>bold" not in shown
    assert "\x1b" not in shown
    assert "&lt;b&gt;bold" in shown


def test_a_declared_value_of_another_length_is_said(tmp_path: Path) -> None:
    """What to rebuild so that nothing moves; nothing is said where the lengths are equal."""
    sample = TAMPERED["moved-length"]()
    (tmp_path / "shipped").write_bytes(sample.b)
    (tmp_path / "rebuilt").write_bytes(sample.a)
    names = [tmp_path / "shipped.toml", tmp_path / "rebuilt.toml"]
    for name, version in zip(names, (pairs_moved_objects.LONG, pairs_moved_objects.SHORT), strict=True):
        name.write_text(f'[versions]\np = "{version}"\n')
    records = [word for name in names for word in ("--record", name)]
    page = tmp_path / "page.html"
    status, text, _ = run(tmp_path / "shipped", tmp_path / "rebuilt", *records, "--html", page)

    assert status == 1
    assert "version p (5 characters rebuilt, 13 characters shipped)" in text.splitlines()[1]
    assert "Another length" in page.read_text("utf-8")
    assert "another length" not in run(tmp_path / "shipped", tmp_path / "rebuilt")[1]


@pytest.mark.skipif(shutil.which("diffoscope") is None, reason="diffoscope is not installed")
def test_diffoscope_is_asked_about_one_file(sides: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    status, _, problem = run(*sides, "--html", page, "--diffoscope", "shipped.tgz!/content!/run")

    assert (status, problem) == (1, "")
    text = (tmp_path / "page.html.diffoscope.txt").read_text("utf-8")
    assert "-good" in text
    assert "+evil" in text
    assert "Second opinion" in page.read_text("utf-8")


def test_without_diffoscope_there_is_one_line(sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second.shutil, "which", lambda name: None)
    status, text, problem = run(*sides, "--diffoscope", "shipped.tgz!/content!/run")

    assert status == 1
    assert text.startswith("unexplained")
    assert problem == "banbury: diffoscope is not installed: there is no second opinion\n"


def test_a_path_that_is_not_in_the_report_is_unusable_input(sides: tuple[Path, Path]) -> None:
    status, _, problem = run(*sides, "--diffoscope", "nothing")

    assert status == 2
    assert "not a file of this report" in problem


def test_a_confined_program_makes_pipes_and_no_devices(tmp_path: Path) -> None:
    device = "try:\n os.mknod('device', 0o20666, 259)\nexcept PermissionError:\n print('denied')"
    code = f"import os\nos.mkfifo('pipe')\n{device}"
    ran = run_confined(["/usr/bin/python3", "-c", code], tmp_path, output=1 << 20, wall=30, memory=1 << 30)

    assert (ran.status, ran.output) == (0, "denied\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pipe"]
