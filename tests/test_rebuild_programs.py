"""How much of an image's program code is shown to come from a rebuild: each content once, and only where it belongs."""

from __future__ import annotations

import gzip
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from banbury.intake.tasks import shut_down
from banbury.lab.blobs import mapped
from banbury.lab.workspace import Workspace
from banbury.laboratory import Options, evaluate
from banbury.model.rebuild import RebuildTotals
from banbury.present.rebuilds import rebuild_views, told
from tests.images import PASSWD
from tests.test_rebuild_archives import Entry, archive
from tests.test_rebuild_evaluated import MANIFEST, only, submission
from tests.test_rebuild_trees import REBUILD, against, banks, whys


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def program(size: int, seed: int = 0) -> bytes:
    """A program for x86-64 without sections: ``size`` bytes of code, which a segment marks as executable."""
    start = 120
    head = (
        b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, start, 0x400078, 0x400078, size, size, 1)
    return head + load + bytes((seed + n) % 251 for n in range(size - 2)) + b"\xeb\xfe"


def sectioned(size: int, flags: int) -> bytes:
    """A program whose code is in one section, beside one of four bytes that is code in any case."""
    plain = program(size)
    names = b"\0.text\0.fini\0.shstrtab\0"
    at = len(plain)
    sections = bytes(64)
    for name, sort, flag, address, offset, length in (
        (1, 1, flags, 0x400078, 120, size - 4),
        (7, 1, 6, 0x400078 + size - 4, 120 + size - 4, 4),
        (13, 3, 0, 0, at, len(names)),
    ):
        sections += struct.pack("<IIQQQQIIQQ", name, sort, flag, address, offset, length, 0, 0, 1, 0)
    head = plain[:40] + struct.pack("<QIHHHHHH", at + len(names), 0, 64, 56, 1, 64, 4, 3)
    return head + plain[64:] + names + sections


BOX, EVIL = program(1000), program(9000, 7)
BASE: list[Entry] = [("bin/box", BOX, {}), ("etc/passwd", PASSWD, {}), ("etc/rc", b"#!/bin/box\n", {})]
APPLETS: list[Entry] = [(f"bin/applet{n}", None, {"type": tarfile.LNKTYPE, "linkname": "bin/box"}) for n in range(40)]


def _file(name: str, data: bytes, **fields: Any) -> Entry:
    return name, data, fields


def _inner(*files: tuple[str, bytes]) -> bytes:
    return archive([_file(name, data) for name, data in files])


INNER = _file("opt/x.tar", _inner(("a", EVIL)))


def _totals(tmp_path: Path, built: list[Entry], shipped: list[Entry]) -> RebuildTotals:
    rebuilt, _ = against(tmp_path, banks(archive(shipped)), **{"built.tar": archive(built)})
    assert rebuilt.totals is not None
    return rebuilt.totals


@pytest.mark.parametrize(
    ("built", "shipped", "code", "proved"),
    [
        ([*BASE, *APPLETS], [*BASE, *APPLETS], 1000, 1000),
        ([*BASE, *APPLETS], [*BASE, *APPLETS, _file("sbin/evil", EVIL)], 10000, 1000),
        (BASE, [*BASE, *(_file(f"usr/lib/copy{n}", BOX) for n in range(9)), _file("sbin/evil", EVIL)], 10000, 0),
        (BASE, [_file("bin/other", BOX), *BASE[1:]], 1000, 0),
        (BASE, [_file("bin/box", BOX, mode=0o4755), *BASE[1:]], 1000, 0),
        (BASE, [*BASE, _file("opt/x.tar", _inner(("sbin/evil", EVIL)))], 10000, 1000),
        (BASE, [*BASE, _file("lib/evil.ko.gz", gzip.compress(EVIL, mtime=0))], 10000, 1000),
        (BASE, [*BASE, _file("opt/x.tar.gz", gzip.compress(_inner(("a", EVIL), ("b", EVIL)), mtime=0))], 10000, 1000),
        (BASE, [*BASE, _file("opt/x.tar", _inner(("bin/box", BOX)))], 1000, 0),
        ([*BASE, INNER], [*BASE, INNER], 10000, 10000),
        (
            [*BASE, _file("opt/x.tar", _inner(("a", EVIL), ("b", b"1")))],
            [*BASE, _file("opt/x.tar", _inner(("a", EVIL), ("b", b"2")))],
            10000,
            1000,
        ),
        (
            [*BASE, _file("lib/x.ko.gz", gzip.compress(EVIL, 9, mtime=0))],
            [*BASE, _file("lib/x.ko.gz", gzip.compress(EVIL, 1, mtime=0))],
            10000,
            10000,
        ),
    ],
    ids=[
        "links", "links and one more", "copies", "elsewhere", "setuid", "in an archive", "compressed", "in both",
        "a copy in an archive", "in an archive of both", "in an archive that differs", "compressed otherwise",
    ],
)  # fmt: skip
def test_each_content_counts_once_and_as_shown_where_every_place_of_it_is(
    tmp_path: Path, built: list[Entry], shipped: list[Entry], code: int, proved: int
) -> None:
    totals = _totals(tmp_path, built, shipped)

    assert (totals.code, totals.proved_code, totals.unmeasured) == (code, proved, 0)
    assert totals.proved_share == proved * 10_000 // code / 10_000


@pytest.mark.parametrize("built", [[], [_file("sbin/evil", sectioned(5000, 6))]], ids=["added", "changed"])
def test_what_a_program_that_was_not_shown_says_of_its_sections_makes_its_code_no_less(
    tmp_path: Path, built: list[Entry]
) -> None:
    """What loads a program reads its segments: a section of code can call itself data."""
    evil = sectioned(9000, 2)
    totals = _totals(tmp_path, [*BASE, *built], [*BASE, _file("sbin/evil", evil)])

    assert (totals.code, totals.proved_code) == (10000, 1000)


def test_programs_that_could_not_be_measured_are_said_beside_the_share(tmp_path: Path) -> None:
    broken = EVIL[:40]
    shipped = [*BASE, _file("sbin/evil", broken), _file("lib/x.ko.gz", gzip.compress(broken + b"\0", mtime=0))]
    rebuilt, evaluation = against(tmp_path, banks(archive(shipped)), **{"built.tar": archive(BASE)})

    assert rebuilt.totals is not None
    assert (rebuilt.totals.code, rebuilt.totals.proved_code, rebuilt.totals.unmeasured) == (1000, 1000, 2)
    assert "2 programs whose code could not be measured" in whys(evaluation)
    assert "2 more programs could not be measured" in told(rebuilt)[-1]
    assert "2 more programs could not be measured" in rebuild_views(evaluation)[0].code


def test_the_report_beside_it_has_the_same_figures_and_a_part_is_the_laboratorys(tmp_path: Path) -> None:
    """A content that two have built is the laboratory's only where each place of it is."""
    shared, other = program(700, 3), program(300, 5)
    parts = {
        "laboratory": [*BASE, _file("bin/one", shared)],
        "vendor": [_file("lib/two", shared), _file("lib/x", other)],
    }
    word = "".join(REBUILD.format(f"{name}.tar") + f'built_by = "{name}"\n' for name in parts)
    image = banks(archive([*parts["laboratory"], *APPLETS[:3], *parts["vendor"]]))
    data = {f"{name}.tar": archive(entries) for name, entries in parts.items()}
    data["laboratory.tar"] = archive([*parts["laboratory"], *APPLETS[:3]])
    folder = submission(tmp_path / "s", MANIFEST + word, **{"image.bin": image}, **data)
    with Workspace(tmp_path / "w") as workspace:
        rebuilt = only(evaluate(folder, workspace, options=Options(as_of="2026-01-01", rebuilt_here=True)))
        with mapped(workspace.blobs, rebuilt.report) as blob:
            written = msgspec.json.decode(bytes(blob))["totals"]

    assert rebuilt.totals is not None
    assert (rebuilt.totals.code, rebuilt.totals.proved_code, rebuilt.totals.source_code) == (2000, 2000, 1000)
    assert (written["code"], written["proved_code"], written["proved_share"]) == (2000, 2000, 1.0)
