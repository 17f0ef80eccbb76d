"""What two folders are compared by beside their files: the folder itself, and attributes of what is no file."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner

from banbury.cli import main
from banbury.compare.equivalence.decide import decide
from banbury.compare.equivalence.folders import _changes, _decided, _items
from banbury.compare.equivalence.model import Verdict
from banbury.compare.equivalence.protocol import TEXT
from banbury.compare.equivalence.rules import rules
from banbury.compare.equivalence.vouching import _sort

_T = 1_700_000_000


def _both(folder: Path) -> tuple[Path, Path]:
    for name in ("a", "b"):
        (folder / name).mkdir(mode=0o755)
        (folder / name / "link").symlink_to("target")
    return folder / "a", folder / "b"


def _differences(a: Path, b: Path) -> list[tuple[bytes, str]]:
    ours, theirs = (_items(os.fsencode(path)) for path in (a, b))
    return [(name, change.what) for name in ours for change in _changes(ours[name], theirs.get(name))]


def test_the_top_folder_has_a_mode_too(tmp_path: Path) -> None:
    """A root that all may write to is a difference, also where it is given through a link."""
    a, b = _both(tmp_path)
    (tmp_path / "through").symlink_to("b")
    assert _differences(a, tmp_path / "through") == []
    b.chmod(0o777)
    assert _differences(a, b) == _differences(a, tmp_path / "through") == [(b".", "mode")]


def test_flags_of_files_count(tmp_path: Path) -> None:
    """What chattr sets: here that a file is not to be saved, which its owner may say."""
    a, b = _both(tmp_path)
    for folder in (a, b):
        (folder / "file").write_bytes(b"x")
    assert _differences(a, b) == []
    with (b / "file").open("rb") as file:
        try:
            fcntl.ioctl(file, 0x40086602, struct.pack("=Q", 0x40 | _raw_flags(file.fileno())))
        except OSError as problem:
            pytest.skip(f"no flags of files here: {problem}")
    assert _differences(a, b) == [(b"file", "flags")]


def _raw_flags(handle: int) -> int:
    return int(struct.unpack("=Q", fcntl.ioctl(handle, 0x80086601, bytes(8)))[0])


def test_links_have_attributes_too(tmp_path: Path) -> None:
    a, b = _both(tmp_path)
    try:
        os.setxattr(b / "link", "trusted.gate", b"1", follow_symlinks=False)
    except OSError as problem:
        pytest.skip(f"no attributes of links here: {problem}")
    assert _differences(a, b) == [(b"link", "xattr trusted.gate")]


@pytest.mark.parametrize(("stated", "source", "same"), [(100, 100, True), (101, 100, False), (100, 101, False)])
def test_of_a_module_both_run_the_code_or_its_source(tmp_path: Path, stated: int, source: int, same: bool) -> None:
    """Times of files are let go, but for what Python decides by them."""
    for name, time, written in (("a", 100, 100), ("b", stated, source)):
        folder = tmp_path / name / "__pycache__"
        folder.mkdir(parents=True)
        (tmp_path / name / "gate.py").write_bytes(b"print(1)\n")
        os.utime(tmp_path / name / "gate.py", (written, written))
        (folder / "gate.cpython-311.pyc").write_bytes(b"\xa7\r\r\n" + struct.pack("<III", 0, time, 9) + b"code")
    ours, theirs = (_items(os.fsencode(tmp_path / name)) for name in ("a", "b"))
    found = _decided(ours, theirs).get(b"__pycache__/gate.cpython-311.pyc", [])
    assert [c.what for c in found] == ([] if same else ["what Python runs"])


@pytest.mark.parametrize(
    ("compiled", "source", "link", "program"),
    [
        ("f/setup.zwc", "f/setup", "", "zsh"),
        ("f/setup.zwc", "real/setup", "f/setup", "zsh"),
        ("lib/guile/ccache/rules.go", "share/guile/rules.scm", "", "Guile"),
        ("f/gate.elc", "f/gate.el", "", "Emacs"),
        ("f.zwc", "f/setup", "", "zsh"),
        ("foo/core__init.class", "foo/core.clj", "", "Clojure"),
        ("foo/core__init.class", "foo/core.cljc", "", "Clojure"),
        ("gate.qlf", "gate.pl", "", "SWI-Prolog"),
    ],
)
def test_both_run_the_newer_of_a_source_and_its_compiled_form(
    tmp_path: Path, compiled: str, source: str, link: str, program: str
) -> None:
    """Where both move by the same, nothing is said; where one becomes the newer, what runs it is."""
    for side, later in (("a", 0), ("b", 0), ("c", 60)):
        for name, time in ((compiled, _T + 30), (source, _T + later)):
            path = tmp_path / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            os.utime(path, (time, time))
        if link:
            (tmp_path / side / link).symlink_to("../" + source)
    trees = [_items(os.fsencode(tmp_path / side)) for side in "abc"]
    for tree in trees:
        for item in tree.values():
            if item.kind == "directory":
                item.time = 0
    assert _decided(trees[0], trees[1]) == {}
    found = _decided(trees[0], trees[2])
    assert {c.what for changes in found.values() for c in changes} == {f"what {program} runs"}


def _at_times(folder: Path, files: dict[str, int]) -> Path:
    """A folder with files of these times, each with its name for content."""
    for name, time in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        os.utime(path, (time, time))
    for path in (*folder.rglob("*"), folder):
        if path.is_dir():
            os.utime(path, (_T, _T))
    return folder


#: By the names that the rule gives its pairs: times of files in the rebuild, and as shipped.
TIMES = {
    "folder-times": ({"bin/a": _T, "bin/b": _T}, {"bin/a": _T, "bin/b": _T + 60}),
    "folder-time-clojure": (
        {"core.clj": _T + 60, "core__init.class": _T},
        {"core.clj": _T - 60, "core__init.class": _T},
    ),
    "folder-time-module": ({"m.zwc": _T + 60, "m": _T}, {"m.zwc": _T - 60, "m": _T}),
}


def test_times_of_files_in_folders_are_let_go_under_a_rule(tmp_path: Path) -> None:
    """Folders of equal files at other times are no more than an assumption makes them; at equal times, identical."""
    rule = rules()["folder.time"]
    assert set(rule.positive) | set(rule.tampered) == {*TIMES, "folder-times-observed"}
    for name, (ours, theirs) in TIMES.items():
        built, shipped = _at_times(tmp_path / name / "a", ours), _at_times(tmp_path / name / "b", theirs)
        found = decide(shipped, built)
        assert found.verdict is (Verdict.METADATA if name in rule.positive else Verdict.FUNCTIONAL), name
        assert "folder.time" in {use.rule for file in found.files for use in file.rules}
        _at_times(shipped, ours)
        assert decide(shipped, built).verdict is Verdict.IDENTICAL


def test_where_times_decide_something_strict_says_so(tmp_path: Path) -> None:
    ours, theirs = TIMES["folder-times"]
    folders = [str(_at_times(tmp_path / name, times)) for name, times in (("b", theirs), ("a", ours))]
    (tmp_path / "r.toml").write_text('observes = ["folder.time"]\n')
    for options, code in (((), 0), (("--strict",), 1), (2 * ("--record", str(tmp_path / "r.toml")), 1)):
        result = CliRunner().invoke(main, ["equivalence", *folders, *options])
        assert result.exit_code == code, result.output


def test_a_list_of_digests_beside_what_differs(tmp_path: Path) -> None:
    """The same on both sides, it is wrong on one; what states digests of other files is not."""
    stated = hashlib.sha256(gzip.compress(b"x" * 99, 1, mtime=1)).hexdigest()
    for side, time in (("a", 1), ("b", 2)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "root.gz").write_bytes(gzip.compress(b"x" * 99, 1, mtime=time))
        (tmp_path / side / "other").write_text(stated[::-1])
    assert decide(tmp_path / "b", tmp_path / "a").verdict.equivalent
    for side in "ab":
        (tmp_path / side / "notes").write_text(f"root.gz is {stated}\n")
    report = decide(tmp_path / "b", tmp_path / "a")
    assert report.verdict is Verdict.FUNCTIONAL
    assert [f.path.rpartition("/")[2] for f in report.files if f.changes] == ["notes"]


def test_a_text_that_is_nearly_a_token_is_told_in_one_pass() -> None:
    assert _sort(b"a" * 4095 + b"!") == ""
    assert _sort(b"a" * 4095 + b"!\n" + b"some words of no meaning at all " * 99) == TEXT
