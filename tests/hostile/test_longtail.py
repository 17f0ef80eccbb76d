"""The folder that an outside program leaves behind is hostile: its report, its links, its pipes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from banbury.intake import longtail
from banbury.lab.confined import Ran
from banbury.lab.store import FileStore
from banbury.model.tree import Dissection

CHUNK = {"__typename__": "ChunkReport", "start_offset": 0, "end_offset": 8192, "handler_name": "arc"}


def report(*reports: object, depth: object = 0) -> bytes:
    later = {"task": {"depth": 1}, "reports": [{"__typename__": "StatReport"}]}
    return json.dumps([later, {"task": {"depth": depth}, "reports": list(reports)}]).encode()


def leave(folder: Path, data: bytes = report(CHUNK)) -> Path:
    (folder / "report.json").write_bytes(data)
    out = folder / "out" / "input_extract"
    out.mkdir(parents=True)
    (out / "file").write_bytes(b"content")
    return out


def plant_links(folder: Path) -> None:
    out = leave(folder)
    (out / "passwd").symlink_to("/etc/passwd")
    (out / "etc").symlink_to("/etc")
    os.mkfifo(out / "pipe")
    (out / b"\xff\x1b[2J".decode("utf-8", "surrogateescape")).write_bytes(b"odd")


def link_the_folder(folder: Path) -> None:
    out = leave(folder)
    (out / "file").unlink()
    out.rmdir()
    out.symlink_to("/etc")


def make_the_report(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        leave(folder)
        (folder / "report.json").unlink()
        make(folder / "report.json")

    return plant


def offer(monkeypatch: pytest.MonkeyPatch, folder: Path, plant: Callable[[Path], object]) -> Dissection | None:
    """What is made of a blob of 8 KiB where the program left what ``plant`` plants."""

    def run(_: list[str], where: Path, **__: int) -> Ran:
        plant(where)
        return Ran(status=0, death="", output="")

    monkeypatch.setattr(longtail, "run_confined", run)
    monkeypatch.setattr(longtail, "tools", lambda: {"longtail:unblob": "0"})
    with tempfile.TemporaryFile() as source:
        source.write(bytes(8192))
        source.flush()
        found = longtail.open_long_tail(source.fileno(), FileStore(folder), 1 << 20)
    return found[0] if found else None


def test_a_report_is_read_wherever_its_task_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = offer(monkeypatch, tmp_path, leave)

    assert found is not None
    assert [e.path for e in found.entries] == ["file"]


def test_links_and_pipes_are_listed_and_not_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = offer(monkeypatch, tmp_path, plant_links)

    assert found is not None
    assert {e.path: e.link for e in found.entries if e.link} == {"etc": "/etc", "passwd": "/etc/passwd"}
    assert sorted(c.length for c in found.contents) == [3, 7]


def test_a_link_in_place_of_the_folder_takes_nothing_of_this_machine_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = offer(monkeypatch, tmp_path, link_the_folder)

    assert found is not None
    assert found.entries == []


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        lambda p: p.symlink_to("/dev/zero"),
        lambda p: p.symlink_to("/etc/passwd"),
        lambda p: os.truncate(os.open(p, os.O_CREAT | os.O_WRONLY), 1 << 40),
        lambda p: p.write_bytes(b"[" * 1_000_000),
        lambda p: p.write_bytes(b"null"),
        lambda p: p.write_bytes(report(CHUNK | {"start_offset": "x"})),
        lambda p: p.write_bytes(report(CHUNK | {"end_offset": 1 << 70})),
        lambda p: p.write_bytes(report(CHUNK | {"end_offset": 99_999})),
        lambda p: p.write_bytes(report(CHUNK | {"handler_name": "../../../etc"})),
        lambda p: p.write_bytes(report(CHUNK, depth="zero")),
    ],
)
def test_a_hostile_report_is_no_report(
    make: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert offer(monkeypatch, tmp_path, make_the_report(make)) is None
