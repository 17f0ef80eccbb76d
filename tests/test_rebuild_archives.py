"""What unpacks an archive on a device makes of its members: whose they are by name, and hard links in their order."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banbury.formats.readers.tar import READERS
from banbury.formats.testing import read_bytes
from banbury.intake.tasks import shut_down
from tests.test_rebuild_evaluated import MANIFEST, by_path, only, run, submission
from tests.test_rebuild_trees import FILES, REBUILD, against, banks

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

Entry = tuple[str, bytes | None, dict[str, Any]]
PLAIN: list[Entry] = [(name, data, {}) for name, data in FILES.items()]


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def archive(entries: list[Entry], form: int = tarfile.USTAR_FORMAT, /, **common: object) -> bytes:
    """A tar archive of entries in their order; each, after ``common``, with its own fields of :class:`TarInfo`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as writer:
        for name, data, fields in entries:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o755, len(data or b"")
            for field, value in {**common, **fields}.items():
                setattr(entry, field, value)
            writer.addfile(entry, io.BytesIO(data or b""))
    return out.getvalue()


def _with(name: str, **fields: object) -> list[Entry]:
    return [(path, data, {**own, **(fields if path == name else {})}) for path, data, own in PLAIN]


def _link(name: str, target: str) -> Entry:
    return name, None, {"type": tarfile.LNKTYPE, "linkname": target}


ROOT = {"uname": "root", "gname": "root"}
GAMES = archive(_with("etc/passwd", uname="games", gname="games"), **ROOT)


@pytest.mark.parametrize(
    ("built", "shipped", "said"),
    [
        (archive(PLAIN), GAMES, [("user", "0", "games"), ("group", "0", "games")]),
        (archive(PLAIN, **ROOT), GAMES, [("user", "root", "games"), ("group", "root", "games")]),
        (archive(PLAIN), archive(_with("etc/passwd", pax_headers={"uname": "games"}), tarfile.PAX_FORMAT),
         [("user", "0", "games")]),
        (archive(PLAIN, uid=7), archive(_with("etc/passwd", uname="root"), uid=7), [("user", "7", "root")]),
        (archive(PLAIN, uid=7, uname="lp"), archive(_with("etc/passwd", uname="news"), uid=7, uname="lp"),
         [("user", "lp", "news")]),
        (archive(PLAIN), archive(PLAIN, **ROOT), []),
        (archive(PLAIN, **ROOT), archive(PLAIN), []),
        (archive(PLAIN, uid=7), archive(PLAIN, uid=7, uname="lp"), []),
        (GAMES, GAMES, []),
    ],
    ids=["no names", "root", "extended", "root's", "another", "shipped has names", "built has", "of a number", "equal"],
)  # fmt: skip
def test_the_owner_of_a_file_in_an_archive_by_name(
    tmp_path: Path, built: bytes, shipped: bytes, said: list[tuple[str, str, str]]
) -> None:
    """GNU tar and BusyBox unpack it as the owner of the name, where there is one, whatever the number."""
    rebuilt, _ = against(tmp_path, banks(shipped), **{"built.tar": built})
    changed = {f.path: [(c.what, c.rebuilt, c.shipped) for c in f.changes] for f in rebuilt.files if f.changes}

    assert changed == ({"etc/passwd": said} if said else {})
    assert rebuilt.files_verdict == ("functional" if said else "identical")


def test_a_folder_states_no_owner_and_a_name_that_is_not_roots_is_said(tmp_path: Path) -> None:
    parts = {f"root/{name}": data for name, data in FILES.items() if "__" not in name}
    folder = submission(tmp_path / "s", MANIFEST + REBUILD.format("root"), **{"image.bin": banks(GAMES)}, **parts)
    files = by_path(only(run(folder, tmp_path / "w")))

    assert [c.what for c in files["etc/passwd"].changes] == ["user", "group"]
    assert not files["bin/tool"].changes


def test_names_of_owners_are_read_as_an_archive_states_them() -> None:
    """Where header and extended header name two, both are kept: programs differ in which of them they take."""
    long = "x" * 300
    entries: list[Entry] = [
        ("a", b"", {"uname": "root", "gname": "wheel"}),
        ("b", b"", {"uname": "root", "pax_headers": {"uname": "games", "gname": "games"}}),
        ("c", b"", {"pax_headers": {"uname": long}}),
        ("d", b"", {"pax_headers": {"uname": long + "y"}}),
    ]
    blob = archive(entries, tarfile.PAX_FORMAT)
    read = read_bytes(READERS[0], blob)
    assert read is not None
    found = [(e.user, e.group) for e in read.dissection.entries]

    assert found[:2] == [("root", "wheel"), ("root or games", "games")]
    assert found[2] != found[3]
    assert max(len(user) for user, _ in found) < 300


AS_FILES = [*PLAIN, ("bin/other", FILES["bin/tool"], {})]
REPLACED = [*PLAIN, _link("bin/other", "bin/tool"), ("bin/tool", b"\x00another", {})]


@pytest.mark.parametrize(
    ("built", "shipped", "verdict"),
    [
        ([*PLAIN, _link("bin/other", "bin/tool")], [*PLAIN, _link("bin/other", "./bin/tool")], "identical"),
        (AS_FILES, [*PLAIN, _link("bin/other", "bin/tool")], "functional"),
        ([*PLAIN, _link("bin/other", "bin/tool")], AS_FILES, "functional"),
        (AS_FILES, [_link("bin/other", "bin/tool"), *PLAIN], "functional"),
        ([_link("bin/other", "bin/tool"), *PLAIN], AS_FILES, "functional"),
        ([*AS_FILES[1:], ("bin/tool", b"\x00another", {})], REPLACED, "identical"),
        ([*PLAIN, ("bin/other", b"\x00another", {}), ("bin/tool", b"\x00another", {})], REPLACED, "unexplained"),
        (
            [*PLAIN, _link("bin/third", "bin/tool"), _link("bin/other", "bin/tool")],
            [*PLAIN, _link("bin/other", "bin/tool"), _link("bin/third", "bin/other")],
            "identical",
        ),
    ],
    ids=[
        "behind",
        "of two files",
        "as two files",
        "before",
        "built before",
        "replaced later",
        "as it was later",
        "link to a link",
    ],
)
def test_a_hard_link_is_a_file_that_stands_before_it(
    tmp_path: Path, built: list[Entry], shipped: list[Entry], verdict: str
) -> None:
    """GNU tar has nothing to link to yet, and the file is not there; a later file of that path is another. What is
    written to one name of a file is in all of them, so that two files are something else."""
    rebuilt, _ = against(tmp_path, banks(archive(shipped)), **{"built.tar": archive(built)})

    assert {f.path: f.verdict for f in rebuilt.files}["bin/other"] == verdict
