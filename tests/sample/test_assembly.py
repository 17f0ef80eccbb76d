"""The sample as a whole: what it holds, that it is made the same every time, and how it fails."""

from __future__ import annotations

import hashlib
import shutil
from functools import cache
from pathlib import Path

import msgspec
import pytest

from banbury import sample
from banbury.model.errors import InputError
from banbury.sample import assembly, packages
from banbury.sample.rootfs import overlay_flash, root_tree
from banbury.sample.tree import NodeKind, Tree, with_parents
from tests.sample.made import CACHE, the_sample


@cache
def _root(version: str) -> Tree:
    """The tree that goes into a release's SquashFS. Not to be changed."""
    info = the_sample()
    listed = next(r.packages for r in info.releases if r.version == version)
    chosen = [p for p in info.packages if p.name in listed]
    return with_parents(
        root_tree(
            version,
            {p.name: packages.content(p, CACHE) for p in chosen},
            {p.name: packages.stanza(p, CACHE) for p in chosen},
        )
    )


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_every_labelled_path_is_there(version: str) -> None:
    """A label of something that is not in the image would measure nothing; words it asks for stand in the file."""
    tree = _root(version) | overlay_flash(version)

    for label in sample.shipped_labels():
        if version not in label.releases:
            continue
        there = [tree[path] for path in label.paths if path in tree]
        assert there, f"{label.rule}: {label.paths} not in {version}"
        if label.contains:
            assert any(label.contains.encode() in node.data for node in there), label


def test_releases_share_nearly_all_their_files() -> None:
    """The second release is a maintenance release: at least 94 % of its files are those of the first."""
    old, new = (
        {(path, node.data) for path, node in _root(version).items() if node.kind is NodeKind.FILE}
        for version in ("1.0", "1.1")
    )

    assert len(old & new) / len(new) >= 0.94
    assert old - new
    assert new - old


def test_package_database_names_exactly_the_packages() -> None:
    """dpkg's status file in the image lists the packages that the sample says it holds, with their versions."""
    info = the_sample()
    for release in info.releases:
        stanzas = _root(release.version)["var/lib/dpkg/status"].data.decode().strip().split("\n\n")
        fields = [dict(line.split(": ", 1) for line in s.splitlines() if line[:1].isalpha()) for s in stanzas]
        expected = {(p.name, p.version) for p in info.packages if p.name in release.packages}
        assert {(f["Package"], f["Version"]) for f in fields} == expected


def test_manifests_and_hashes_describe_the_files() -> None:
    """sample.json states the images' true hashes, and each manifest can be handed in as it is."""
    from banbury.intake.submission import find_submission

    info = the_sample()
    for release in info.releases:
        image = Path(info.root) / release.image
        assert hashlib.sha256(image.read_bytes()).hexdigest() == release.sha256
        submission = find_submission(info.manifest(release.version))
        assert submission.header.version == release.version
        assert [handed.path for handed in submission.files] == [image]


@pytest.mark.slow
def test_the_same_packages_give_the_same_images(tmp_path: Path) -> None:
    """A second build elsewhere is identical to the last byte, and needs no apt."""
    first = the_sample()

    again = sample.build(tmp_path / "again", CACHE)

    assert [r.sha256 for r in again.releases] == [r.sha256 for r in first.releases]


def test_a_second_build_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands there and is whole is used; what was tampered with is made again."""
    out = tmp_path / "sample"
    shutil.copytree(the_sample().root, out)
    calls: list[str] = []
    monkeypatch.setattr(assembly, "_assemble", lambda *arguments: calls.append("made") or the_sample())

    assert sample.build(out, CACHE).root == str(out)
    assert calls == []
    (out / the_sample().releases[0].image).write_bytes(b"not the image")
    sample.build(out, CACHE)
    assert calls == ["made"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Nothing that is not a sample is ever deleted."""
    (tmp_path / "thesis.tex").write_text("ten years of work")

    with pytest.raises(InputError, match="holds something else"):
        sample.build(tmp_path, tmp_path / "cache")
    assert (tmp_path / "thesis.tex").read_text() == "ten years of work"


def test_without_apt_one_line_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network and no packages: the error names packages, and nothing is left half-made."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(InputError, match=r"needs Debian packages that are not here: busybox, .* more") as caught:
        sample.build(tmp_path / "sample", tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert not (tmp_path / "sample").exists()


def test_a_damaged_package_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached file whose hash is not the recorded one counts as missing."""
    folder = tmp_path / "armhf"
    folder.mkdir()
    good = packages.Package(
        name="p", version="1", architecture="armhf", file="p.deb", sha256=hashlib.sha256(b"deb").hexdigest(), size=3
    )
    (folder / "packages.json").write_bytes(msgspec.json.encode([good]))
    (folder / "p.deb").write_bytes(b"deb")
    monkeypatch.setenv("PATH", str(tmp_path))
    from banbury.lab.progress import Silent

    assert packages.fetch(["p"], "armhf", tmp_path, Silent()) == [good]
    (folder / "p.deb").write_bytes(b"bed")
    with pytest.raises(InputError, match="not here: p "):
        packages.fetch(["p"], "armhf", tmp_path, Silent())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("deb [arch=amd64] u s main\n", "deb u s main\n"),
        ("deb [signed-by=/k arch=amd64,i386] u s main\n", "deb [signed-by=/k] u s main\n"),
        ("Types: deb\nArchitectures: amd64\nURIs: u\n", "Types: deb\nURIs: u\n"),
        ("# deb [arch=amd64] u\n", "# deb [arch=amd64] u\n"),
    ],
)
def test_sources_are_freed_of_the_machines_architecture(given: str, kept: str) -> None:
    """The user's sources serve another architecture; keys and everything else stay."""
    assert packages._any_architecture(given) == kept
