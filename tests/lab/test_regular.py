"""Pipes and devices where a file is asked for: one line, at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.decide.cases.read import load
from banbury.lab.regular import open_regular, read_regular
from banbury.model.errors import InputError


@pytest.fixture(autouse=True)
def _soon() -> Iterator[None]:
    def ended(*_: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, ended)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("what", ["pipe", "device", "folder", "nothing", "link to a pipe"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, what: str) -> None:
    path = {"device": Path("/dev/zero"), "folder": tmp_path}.get(what, tmp_path / "x")
    if what == "pipe":
        os.mkfifo(path)
    elif what == "link to a pipe":
        os.mkfifo(tmp_path / "y")
        path.symlink_to("y")
    with pytest.raises(InputError, match=str(path)):
        open_regular(path)


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("x")
    assert (read_regular(tmp_path / "x"), read_regular(tmp_path / "link", 2)) == (b"abc", b"ab")


@pytest.mark.parametrize(
    "command",
    [
        ["equivalence", "a", "b", "--record", "pipe.toml", "--record", "pipe.toml"],
        ["history", "pipe.toml", "a", "--tag", "v1"],
        ["history", "a", "pipe.toml", "--tag", "v1"],
        ["rebuild", "pipe.toml"],
        ["evaluate", "pipe.toml"],
    ],
    ids=" ".join,
)
def test_commands_end_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.toml")
    for name in "ab":
        Path(name).write_text(name)
    result = CliRunner().invoke(main, command)

    assert result.exit_code == 2, result.output
    assert "pipe.toml: a pipe" in result.output or "a: " in result.output
    assert "Traceback" not in result.output


def test_a_case_may_be_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "case.toml")
    with pytest.raises(InputError, match="a pipe"):
        load(str(tmp_path / "case.toml"))
