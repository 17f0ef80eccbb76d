"""The command, end to end in the sandbox: exit status, JSON, page, unusable input."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from banbury.cli import main
from tests.equivalence.container_pairs import tar

NASTY = "<script>alert(1)</script>\u202e.sh"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["equivalence", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    """A shipped and a rebuilt archive: harmless but for a script with a nasty name."""
    shipped, rebuilt = tmp_path / "shipped.tgz", tmp_path / "rebuilt.tgz"
    shipped.write_bytes(gzip.compress(tar((NASTY, b"#!/bin/sh\nevil\n"), ("same", b"\0"), mtime=1), 9))
    rebuilt.write_bytes(gzip.compress(tar((NASTY, b"#!/bin/sh\ngood\n"), ("same", b"\0"), mtime=2), 1))
    return shipped, rebuilt


def test_status_says_whether_it_is_equivalent(tmp_path: Path, sides: tuple[Path, Path]) -> None:
    shipped, rebuilt = sides
    assert run(shipped, shipped)[0] == 0
    status, text = run(shipped, rebuilt)
    assert status == 1
    assert text.startswith("functional: ")
    harmless = tmp_path / "harmless.tgz"
    harmless.write_bytes(gzip.compress(gzip.decompress(shipped.read_bytes()), 3, mtime=7))
    assert run(shipped, harmless)[0] == 0


def test_what_rests_on_an_assumption_can_be_told(tmp_path: Path) -> None:
    """In the terminal, in the JSON and, if asked for, by the exit status; what does not is not mixed up with it."""
    packed, checked = (tmp_path / name for name in ("packed.xz", "checked.xz"))
    packed.write_bytes(lzma.compress(b"text\n" * 99, check=lzma.CHECK_CRC32))
    checked.write_bytes(lzma.compress(b"text\n" * 99, check=lzma.CHECK_CRC64))
    status, text = run(packed, checked)
    assert (status, run(packed, checked, "--strict")[0]) == (0, 1)
    assert "rests on assumption xz.check (1 file): The consumer knows both sorts" in text
    assert "assumption" in json.loads(run(packed, checked, "--json", "-")[1])["rests_on"]

    one, other = tmp_path / "one.gz", tmp_path / "other.gz"
    one.write_bytes(gzip.compress(b"text\n" * 99, 1, mtime=0))
    other.write_bytes(gzip.compress(b"text\n" * 99, 9, mtime=0))
    status, text = run(one, other, "--strict")
    assert status == 0
    assert "rests on" not in text
    assert json.loads(run(one, other, "--json", "-")[1])["rests_on"] == ["sound"]


def test_json_has_the_whole_result(sides: tuple[Path, Path]) -> None:
    status, text = run(*sides, "--json", "-")
    found = json.loads(text)
    assert status == 1
    assert found["verdict"] == "functional"
    files = {f["path"]: f for f in found["files"]}
    script = next(f for path, f in files.items() if path.endswith(".sh"))
    assert script["verdict"] == "functional"
    assert script["unexplained_bytes"] == 4
    assert files["shipped.tgz"]["own"] == "equivalent/metadata"
    assert {u["rule"] for u in files["shipped.tgz"]["rules"]} <= set(found["rules"])
    assert found["totals"]["files"]["functional"] == 1
    assert run(*sides, "--json", "-")[1] == text


def test_page_is_whole_offline_and_escaped(tmp_path: Path, sides: tuple[Path, Path]) -> None:
    page = tmp_path / "page.html"
    run(*sides, "--html", page)
    text = page.read_text("utf-8")
    assert "<script>alert" not in text
    assert "\u202e" not in text
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=[\"'](?!#)", text)
    assert "of the source itself" in text.replace("\n", " ")
    assert "evil" in text


@pytest.mark.parametrize("kind", ["missing", "fifo", "mixed", "one record", "bad record"])
def test_unusable_input_is_one_line_and_status_2(tmp_path: Path, sides: tuple[Path, Path], kind: str) -> None:
    shipped, rebuilt = sides
    record = tmp_path / "record.toml"
    record.write_text("clock = 'noon'\n")
    os.mkfifo(tmp_path / "fifo")
    arguments: dict[str, tuple[object, ...]] = {
        "missing": (tmp_path / "nothing", rebuilt),
        "fifo": (tmp_path / "fifo", rebuilt),
        "mixed": (tmp_path, rebuilt),
        "one record": (shipped, rebuilt, "--record", record),
        "bad record": (shipped, rebuilt, "--record", record, "--record", record),
    }
    status, text = run(*arguments[kind])
    assert status == 2
    assert text.startswith("banbury: ")
    assert len(text.splitlines()) <= 2


def test_an_empty_file_and_a_cut_one_are_no_crash(tmp_path: Path, sides: tuple[Path, Path]) -> None:
    shipped, _ = sides
    empty, cut = tmp_path / "empty", tmp_path / "cut"
    empty.write_bytes(b"")
    cut.write_bytes(shipped.read_bytes()[:-9])
    assert run(empty, empty)[0] == 0
    assert run(shipped, empty)[0] == 1
    assert run(cut, shipped)[0] == 1
