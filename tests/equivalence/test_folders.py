"""What two folders are compared by beside their files: the folder itself, and attributes of what is no file."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

import pytest

from banbury.compare.equivalence.folders import _changes, _decided, _items

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
