"""Banks that were thinned, padded or mixed: what a file system shares with a rebuild does not hide what it lacks."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.intake.tasks import shut_down
from tests.test_rebuild_trees import FILES, FOLDERS, against, bank, banks, homes, tree, whys

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

FIREWALL = "etc/init.d/firewall"
DOCS = {f"usr/share/doc/p{n}": b"doc %d" % n for n in range(20)}
FULL = {**FILES, FIREWALL: b"#!/bin/sh\niptables -P INPUT DROP\n", **{f"usr/lib/f{n}": b"%d" % n for n in range(10)}}
THIN = {n: d for n, d in FULL.items() if n != FIREWALL}
START = "etc/init.d/S99"
FLASHES = {f"sbin/flash{n}": b"f%d" % n for n in range(12)}
RECOVERY = {"init": b"#!/bin/sh\n", START: b"#!/bin/sh\nnc -l -p 4444 -e /bin/sh\n", **FLASHES}
TOOL = FILES["bin/tool"]


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def listed(*entries: tuple[str, int]) -> bytes:
    """The usual archive with some folders listed behind the others."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, mode in [*FOLDERS.items(), *entries]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        end = archive.offset
    return out.getvalue()[:end] + tree(folders={})


@pytest.mark.parametrize(
    "second",
    [
        tree(THIN, {**FOLDERS, **{f"tmp/x{n}": 0o755 for n in range(60)}}),
        tree(THIN, {}),
    ],
    ids=["padded", "plain"],
)
def test_empty_folders_do_not_make_a_bank_another_system(tmp_path: Path, second: bytes) -> None:
    rebuilt, evaluation = against(tmp_path, banks(tree(FULL), second), **{"built.tar": tree(FULL, {})})

    assert rebuilt.verdict == "functional"
    assert [(g.path, "bank 1" in g.lacks) for g in rebuilt.left_out] == [(FIREWALL, True)]
    assert "rebuild.left-out-protection" in {f.rule for f in evaluation.findings}


@pytest.mark.parametrize("folders", [{}, FOLDERS], ids=["bare", "folders"])
def test_a_bank_without_documents_is_a_copy_still(tmp_path: Path, folders: dict[str, int]) -> None:
    full = {**FULL, **DOCS}
    shipped = banks(tree(full, folders), tree(THIN, folders))
    rebuilt, evaluation = against(tmp_path, shipped, **{"built.tar": tree(full, folders)})

    assert rebuilt.verdict == "functional"
    assert {g.path for g in rebuilt.left_out} == {FIREWALL, *DOCS}
    assert "rebuild.left-out-protection" in {f.rule for f in evaluation.findings}


def test_what_a_small_system_should_hold_must_be_said(tmp_path: Path) -> None:
    """Whether it is an initramfs or a bank without most of its files, nobody can tell."""
    small = {n: FULL[n] for n in ("bin/tool", "etc/passwd", *(f"usr/lib/f{n}" for n in range(3)))}
    shipped, built = banks(tree(FULL), tree(small, {})), {"built.tar": tree(FULL, {})}
    rebuilt, evaluation = against(tmp_path, shipped, **built)
    said = [n for n in evaluation.ledger.not_compared if "nothing says" in n.why]
    partly, _ = against(tmp_path / "2", shipped, {"built.tar": homes([0], [1])}, **built)
    whole, _ = against(tmp_path / "3", shipped, {"built.tar": homes([0, 1])}, **built)

    assert (rebuilt.files_verdict, rebuilt.verdict, rebuilt.left_out) == ("identical", "unexplained", [])
    assert (partly.verdict, partly.left_out) == ("identical", [])
    assert FIREWALL in {g.path for g in whole.left_out}
    assert len(said) == 1
    assert "bank 1!content has only a part of built.tar (11 files of the rebuild (etc/init.d/fi" in said[0].why
    assert f'under path = "built.tar": file_systems = ["{bank(0)}"] if it belongs only there' in said[0].why
    assert "bank 1" in evaluation.nodes[said[0].node].locator


@pytest.mark.parametrize("count", [1, 5, 9])
def test_files_of_another_system_are_stray_however_many_they_are(tmp_path: Path, count: int) -> None:
    part = dict(list(RECOVERY.items())[1 : 1 + count])
    recovery = tree(RECOVERY, {".": 0o755})
    shipped = banks(tree({**FILES, **part}), recovery)
    rebuilt, _ = against(tmp_path, shipped, **{"a.img": banks(tree(), recovery), "tool": TOOL})
    stray = {f.path for f in rebuilt.files if [c.what for c in f.changes] == ["file system"]}

    assert rebuilt.verdict == "functional"
    assert START in stray or rebuilt.left_out


def test_two_systems_in_one_are_told(tmp_path: Path) -> None:
    """All of recovery in root, more than root has itself: as a package would be, but it is another's rebuild."""
    recovery = tree(RECOVERY, {".": 0o755})
    shipped = banks(tree({**FILES, **RECOVERY}), recovery)
    _, evaluation = against(tmp_path, shipped, **{"a.img": banks(tree(), recovery), "tool": TOOL})

    assert "files of the rebuild (bin/tool, etc/init.d/rc, " in whys(evaluation)
    assert "which has all of a.img" in whys(evaluation)


@pytest.mark.parametrize(
    ("shipped", "built", "changed"),
    [
        (listed(("etc", 0o777), ("etc/dropbear", 0o777)), tree(), ["etc", "etc/dropbear"]),
        (listed(("etc", 0o777), ("etc", 0o755)), tree(), ["etc"]),
        (tree(), listed(("etc", 0o777)), ["etc"]),
        (listed(("etc", 0o777)), listed(("etc", 0o700)), ["etc"]),
    ],
    ids=["second", "third", "rebuilt", "both"],
)
def test_a_folder_is_compared_each_time_it_is_listed(
    tmp_path: Path, shipped: bytes, built: bytes, changed: list[str]
) -> None:
    rebuilt, _ = against(tmp_path, banks(shipped), **{"built.tar": built})

    assert [f.path for f in rebuilt.files if "mode" in [c.what for c in f.changes]] == changed
    assert rebuilt.verdict == "functional"


def test_an_archive_that_lists_a_folder_twice_is_not_read_strictly(tmp_path: Path) -> None:
    """What unpacks it may take either for the last."""
    shipped = listed(("etc", 0o755))
    rebuilt, evaluation = against(tmp_path, banks(shipped), **{"built.tar": tree()})

    assert (rebuilt.files_verdict, rebuilt.verdict) == ("identical", "unexplained")
    assert "is not one that is read strictly (etc/: two members with one name)" in whys(evaluation)


def test_a_package_that_is_most_of_a_recovery_system_is_no_stray(tmp_path: Path) -> None:
    """Three packages make the root; one of them alone is the recovery system."""
    names = sorted(FULL)
    parts = [{n: FULL[n] for n in names[i::3]} for i in range(3)]
    shipped = banks(tree(FULL, {}), tree(parts[0], {}))
    built = {f"p{n}.tar": tree(p, {}) for n, p in enumerate(parts)}
    unsaid, evaluation = against(tmp_path, shipped, **built)
    rebuilt, _ = against(tmp_path / "2", shipped, {"p0.tar": homes([0, 1]), **_in_root("p1.tar", "p2.tar")}, **built)

    assert (unsaid.files_verdict, unsaid.verdict, unsaid.left_out) == ("identical", "unexplained", [])
    assert "has nothing of p1.tar (in image.bin" in whys(evaluation)
    assert (rebuilt.verdict, rebuilt.left_out) == ("identical", [])


def _in_root(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, homes([0]))


def test_an_initramfs_of_devices_and_links_is_no_stray(tmp_path: Path) -> None:
    """What a kernel brings with it: it has no regular files to be told by."""
    root, own = tree(), tree({}, {"dev": 0o755, "root": 0o755})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("dev/console")
        entry.type, entry.devmajor, entry.devminor, entry.mode = tarfile.CHRTYPE, 5, 1, 0o600
        archive.addfile(entry)
        end = archive.offset
    device = out.getvalue()[:end]
    rebuilt, evaluation = against(tmp_path, banks(device + root, device + own), **{"built.tar": device + tree()})

    assert (rebuilt.verdict, rebuilt.left_out) == ("identical", [])
    assert "which has 1 file of the same: no copy" in whys(evaluation)


def test_what_an_archive_that_is_no_system_lacks_is_left_out(tmp_path: Path) -> None:
    app = {f"app/f{n}": b"%d" % n for n in range(12)}
    less = {n: d for n, d in app.items() if n != "app/f3"}
    rebuilt, _ = against(tmp_path, banks(tree(app, {}), tree(less, {})), **{"built.tar": tree(app, {})})
    honest, _ = against(tmp_path / "2", banks(tree(app, {}), tree(app, {})), **{"built.tar": tree(app, {})})

    assert (rebuilt.method, [g.path for g in rebuilt.left_out], rebuilt.verdict) == ("files", ["app/f3"], "functional")
    assert (honest.verdict, honest.left_out) == ("identical", [])


def test_a_script_of_an_archive_is_not_the_same_in_root(tmp_path: Path) -> None:
    app = tree({"app/start.sh": b"#!/bin/sh\n", "app/test.sh": b"nc -l -e /bin/sh\n"}, {})
    shipped = banks(tree({**FILES, START: b"nc -l -e /bin/sh\n"}), app)
    rebuilt, _ = against(tmp_path, shipped, **{"a.img": banks(tree(), app), "tool": TOOL})

    assert [(f.path, [c.what for c in f.changes]) for f in rebuilt.files if f.changes] == [(START, ["path"])]
    assert rebuilt.verdict == "functional"


def test_a_bulky_folder_left_out_makes_no_other_system(tmp_path: Path) -> None:
    deep = "usr/lib/zone" + "".join(f"/{n}" for n in range(40))
    folders = {**FOLDERS, **{deep[: i or None]: 0o755 for i, c in enumerate(deep) if c == "/" and i > 7}, deep: 0o755}
    full = tree({**FULL, f"{deep}/UTC": b"utc"}, folders)
    rebuilt, _ = against(tmp_path, banks(full, tree(THIN)), **{"built.tar": full})

    assert FIREWALL in {g.path for g in rebuilt.left_out}
    assert rebuilt.verdict == "functional"
