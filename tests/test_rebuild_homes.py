"""Which file system of an image a rebuild belongs into: where two readings lead to two verdicts, neither is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.intake.tasks import shut_down
from tests.test_rebuild_evaluated import MANIFEST, command, submission
from tests.test_rebuild_trees import FILES, REBUILD, against, banks, homes, tree, whys

WALL = {"etc/init.d/fw": b"#!/bin/sh\nnft -f /etc/fw.nft\n", "etc/fw.nft": b"table inet f {}\n", "sbin/fw": b"\0fw"}
BUILT = {"one.tar": tree(folders={}), "two.tar": tree(WALL, {})}
WITH = tree({**FILES, **WALL}, {})
WITHOUT, SMALL = tree(folders={}), tree(WALL, {})


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


@pytest.mark.parametrize(
    ("shipped", "word", "verdict", "left"),
    [
        (banks(WITHOUT, SMALL), {}, "unexplained", 0),
        (banks(WITHOUT, SMALL), {"two.tar": homes([0])}, "functional", 3),
        (banks(WITHOUT, SMALL), {"two.tar": homes([0, 1])}, "functional", 3),
        (banks(WITHOUT, SMALL), {"two.tar": homes([1])}, "identical", 0),
        (banks(WITH, SMALL), {}, "unexplained", 0),
        (banks(WITH, SMALL), {"two.tar": homes([0, 1])}, "identical", 0),
        (banks(WITH, SMALL), {"two.tar": homes([1])}, "functional", 0),
        (banks(WITH), {}, "identical", 0),
        (banks(WITHOUT), {}, "functional", 3),
    ],
)
def test_a_package_that_lies_in_another_file_system(
    tmp_path: Path, shipped: bytes, word: dict[str, str], verdict: str, left: int
) -> None:
    """The firewall as an archive of its own: root may be meant to have it, or the small system alone."""
    rebuilt, evaluation = against(tmp_path, shipped, word, **BUILT)

    assert (rebuilt.verdict, len(rebuilt.left_out)) == (verdict, left)
    assert ("rebuild.unclear" in {f.rule for f in evaluation.findings}) is (verdict == "unexplained")


def test_a_real_package_goes_into_any_file_system(tmp_path: Path) -> None:
    import gzip

    from tests.images import tar_of

    control = b"Package: fw\nVersion: 1\nArchitecture: all\nDescription: a firewall\n"
    parts = {
        "./debian-binary": b"2.0\n",
        "./control.tar.gz": gzip.compress(tar_of({"./control": control}), mtime=0),
        "./data.tar.gz": gzip.compress(tree({f"./{n}": data for n, data in WALL.items()}, {}), mtime=0),
    }
    built = {"one.tar": BUILT["one.tar"], "fw.ipk": gzip.compress(tar_of(parts), mtime=0)}
    both, _ = against(tmp_path, banks(WITH, SMALL), **built)
    gone, evaluation = against(tmp_path / "2", banks(WITHOUT, SMALL), **built)

    assert (both.verdict, both.left_out) == ("identical", [])
    assert gone.verdict == "unexplained"
    assert "has nothing of fw.ipk" in whys(evaluation)


def test_a_program_with_its_place_that_lies_in_a_small_archive(tmp_path: Path) -> None:
    manifest = MANIFEST + REBUILD.format("built.tar") + REBUILD.format("fw3") + 'place = "/sbin/fw3"\n'
    tool = b"#!/bin/sh\nnft -f /etc/fw.nft\n"
    for name, root, verdict in (("with", {**FILES, "sbin/fw3": tool}, "identical"), ("without", FILES, "unexplained")):
        image = banks(tree(root, {}), tree({"sbin/fw3": tool}, {}))
        data = {"image.bin": image, "built.tar": tree(folders={}), "fw3": tool}
        folder = submission(tmp_path / name, manifest, **data)
        result = command("evaluate", folder, "--workspace", tmp_path / f"w{name}", "--no-pdf", "--as-of", "2026-01-01")
        assert verdict in result.stdout
        assert ("nothing says which of the two" in result.stdout) is (verdict == "unexplained")


APP = {f"app/f{n}": b"%d" % n for n in range(8)}
LAB = {f"lab/f{n}": b"%d" % n for n in range(8)}
GOOD, EVIL = b"#!/bin/sh\necho good\n", b"#!/bin/sh\nnc -l -e /bin/sh\n"


@pytest.mark.parametrize("rebuilt_as", ["archives", "image"])
def test_archives_do_not_exchange_files(tmp_path: Path, rebuilt_as: str) -> None:
    one, two = tree({**APP, "start.sh": GOOD}, {}), tree({**LAB, "start.sh": EVIL}, {})
    built = {"one.tar": one, "two.tar": two}
    if rebuilt_as == "image":
        built = {"a.img": banks(one, two), "tool": b"#!/bin/sh\n"}
    honest, _ = against(tmp_path, banks(one, two), **built)
    changed = banks(tree({**APP, "start.sh": EVIL}, {}), tree({**LAB, "start.sh": GOOD}, {}))
    exchanged, _ = against(tmp_path / "2", changed, **built)
    dropped, _ = against(tmp_path / "3", banks(tree(APP, {}), two), **built)

    assert (honest.method, honest.files_verdict) == ("files", "identical")
    assert [f.verdict for f in exchanged.files if f.path == "start.sh"] == ["functional", "functional"]
    assert ("start.sh", "functional") in {(g.path, dropped.verdict) for g in dropped.left_out}


def test_control_archives_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """All names are the same in both: then their order says which is which."""
    one, two = (tree({"control": b"Package: %s\n" % n, "postinst": p}, {}) for n, p in ((b"a", GOOD), (b"b", EVIL)))
    changed = [tree({"control": b"Package: %s\n" % n, "postinst": p}, {}) for n, p in ((b"a", EVIL), (b"b", GOOD))]
    built = {"a.img": banks(one, two), "tool": b"#!/bin/sh\n"}
    honest, _ = against(tmp_path, banks(one, two), **built)
    rebuilt, _ = against(tmp_path / "2", banks(*changed), **built)

    assert honest.files_verdict == "identical"
    assert {f.verdict for f in rebuilt.files if f.path == "postinst"} <= {"functional", "unexplained"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (homes([7]), "and the image has no such file system; it has image.bin!bank 0!content"),
        ('file_systems = ["\\u202e"]\n', "and the image has no such file system"),
    ],
)
def test_a_word_that_fits_nothing_is_a_doubt(tmp_path: Path, word: str, said: str) -> None:
    rebuilt, evaluation = against(tmp_path, banks(WITH), {"two.tar": word}, **BUILT)

    assert rebuilt.verdict == "unexplained"
    assert said in whys(evaluation)


def test_only_a_rebuild_belongs_anywhere(tmp_path: Path) -> None:
    added = '[[artefact]]\npath = "two.tar"\nrole = "source"\npartly_in = ["image"]\n'
    data = {"image.bin": banks(WITH), "two.tar": BUILT["two.tar"]}
    result = command("evaluate", submission(tmp_path / "s", MANIFEST + added, **data), "--workspace", tmp_path)

    assert result.exit_code == 2
    assert "only a rebuild has" in result.stderr
