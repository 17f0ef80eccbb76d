"""What an image has beside its files: folders that nothing speaks for, members that are opened, names of volumes."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.compare.rebuilds.strictly import unread
from banbury.compare.rebuilds.trees import Tree
from banbury.intake.tasks import shut_down
from banbury.model.evaluation import Node
from banbury.model.tree import Kind
from tests.equivalence.build import need
from tests.images import tar_of
from tests.test_rebuild_homes import package
from tests.test_rebuild_trees import FILES, FOLDERS, against, tree, whys
from tests.test_rebuild_unclear import RECOVERY, bare, image, system

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

SCRIPT = "#!/bin/sh\nnc -l -e /bin/sh; exit 0\n"


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def packed(*trees: bytes) -> bytes:
    """Streams, one behind the other, as a kernel takes an initramfs."""
    return b"".join(gzip.compress(t, mtime=0) for t in trees)


def folders(*names: str, mode: int = 0o755, device: bool = False) -> bytes:
    """An archive of folders; with a ``device`` that a kernel brings with it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        if device:
            entry = tarfile.TarInfo("dev/console")
            entry.type, entry.devmajor, entry.devminor, entry.mode = tarfile.CHRTYPE, 5, 1, 0o600
            archive.addfile(entry)
    return out.getvalue()


ROOT = folders(device=True)[:512] + tree(FILES, FOLDERS)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (folders("etc", mode=0o777), "holds nothing but folders that no rebuild has so (etc)"),
        (folders("etc", "etc/passwd"), "holds nothing but folders that no rebuild has so (etc, etc/passwd)"),
        (folders("."), "holds nothing but folders that no rebuild has so (the root folder)"),
        (folders("etc", mode=0o777, device=True), "has folders that no rebuild has so (etc)"),
        (folders("bin/tool", device=True), "has folders that no rebuild has so (bin/tool)"),
        (folders("upper", "upper/etc", device=True), "has folders that no rebuild has so (upper, upper/etc)"),
        (folders("dev", "root", device=True), ""),
    ],
    ids=["modes", "a file's name", "root", "a device", "a device and a file's name", "elsewhere", "a kernel's own"],
)
def test_folders_behind_an_initramfs(tmp_path: Path, second: bytes, said: str) -> None:
    """A kernel unpacks the second over the first: a folder takes the place of a file."""
    rebuilt, evaluation = against(tmp_path, packed(ROOT, second), **{"root.tar": ROOT})

    assert rebuilt.files_verdict == "identical"
    assert rebuilt.verdict == ("unexplained" if said else "identical")
    assert said in whys(evaluation)


def test_a_second_file_system_of_folders_alone(tmp_path: Path) -> None:
    """An overlay's upper layer hides a file by a folder; one that was rebuilt so, or is empty, does nothing."""
    upper = folders("upper", "upper/etc", "upper/etc/passwd")
    need("mke2fs")
    empty = tmp_path / "empty"
    empty.write_bytes(bytes(1 << 20))
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext2", empty], check=True, capture_output=True)
    honest, _ = against(tmp_path / "1", image(system(FILES), empty.read_bytes()), **{"root.tar": bare(FILES)})
    hidden, evaluation = against(tmp_path / "2", image(system(FILES)) + packed(upper), **{"root.tar": bare(FILES)})
    stated, _ = against(tmp_path / "3", image(system(FILES)) + packed(upper), **{
        "root.tar": bare(FILES), "upper.tar": upper,
    })  # fmt: skip

    assert honest.verdict == "identical"
    assert hidden.verdict == "unexplained"
    assert "holds nothing but folders that no rebuild has so (upper, upper/etc, upper/etc/passwd)" in whys(evaluation)
    assert stated.verdict == "identical"


def test_files_handed_in_alone_state_no_folders(tmp_path: Path) -> None:
    rebuilt, _ = against(tmp_path, system({"bin/a": b"#!/bin/sh\n"}), a=b"#!/bin/sh\n")

    assert rebuilt.verdict == "identical"


def program(data: bytes, *, first: bytes = tarfile.DIRTYPE) -> bytes:
    """An archive that a shell runs: its first header's name is a script."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(SCRIPT)
        entry.type, entry.mode = first, 0o755
        if first == tarfile.XGLTYPE:
            entry.size = 13
        archive.addfile(entry, io.BytesIO(b"13 comment=x\n"))
        end = archive.offset
    return out.getvalue()[:end] + data


@pytest.mark.parametrize(
    ("run", "clear"),
    [
        (program(folders("etc")), False),
        (program(folders("."), first=tarfile.XGLTYPE), False),
        (program(tar_of({"root.sq": system(FILES)}), first=tarfile.XGLTYPE), False),
        (tar_of({"root.sq": system(FILES)}), True),
    ],
    ids=["folders", "root", "the rebuild itself", "an archive"],
)
def test_a_script_of_an_update_that_is_an_archive_as_well(tmp_path: Path, run: bytes, clear: bool) -> None:
    update = packed(tar_of({"root.sq": system(FILES), "run.sh": run}))
    rebuilt, _ = against(tmp_path, update, **{"root.tar": bare(FILES)})
    beside, _ = against(tmp_path / "2", image(system(FILES), tar_of({"pre/run.sh": run})), **{"r.sq": system(FILES)})

    assert rebuilt.files_verdict == "identical"
    assert (rebuilt.verdict == "identical", beside.verdict == "identical") == (clear, clear)


def test_file_systems_do_not_exchange_their_names(tmp_path: Path) -> None:
    """What is started is what has the name that a boot loader or a script knows."""
    parts = {"rootfs": system(FILES), "recovery": system(RECOVERY)}
    built = {f"{name}.squashfs": data for name, data in parts.items()}
    update = {"fw/root": parts["rootfs"], "fw/recovery": parts["recovery"]}
    honest = {"fw/rootfs": parts["rootfs"], "fw/recovery": parts["recovery"]}
    changed = {"fw/rootfs": parts["recovery"], "fw/recovery": parts["rootfs"]}
    word = {"rootfs.squashfs": 'file_systems = ["image!content!fw/recovery"]\n',
            "recovery.squashfs": 'file_systems = ["image!content!fw/rootfs"]\n'}  # fmt: skip
    found = [against(tmp_path / str(n), packed(tar_of(files)), **built) for n, files in enumerate((
        honest, update, changed,
    ))]  # fmt: skip
    said, _ = against(tmp_path / "s", packed(tar_of(changed)), word, **built)

    assert [rebuilt.verdict for rebuilt, _ in found] == ["identical", "identical", "unexplained"]
    assert "fw/rootfs is called rootfs, as rootfs.squashfs is, and is made of recovery.squashfs" in whys(found[2][1])
    assert said.verdict == "identical"


def test_names_of_packages_and_streams_are_none(tmp_path: Path) -> None:
    built = {"content.ipk": package(bare({"usr/x": b"x"})), "base.tar.gz": gzip.compress(bare(FILES), mtime=0)}
    rebuilt, _ = against(tmp_path, packed(bare(FILES, {"usr/x": b"x"})), **built)

    assert rebuilt.verdict == "identical"


@pytest.mark.parametrize(("mode", "verdict"), [(0o755, "identical"), (0o777, "unexplained")])
def test_the_folder_of_an_update(tmp_path: Path, mode: int, verdict: str) -> None:
    """A folder with a kernel and a file system in it, of a name that no rebuild has, replaces nothing of a system."""
    kernel = b"\x27\x05 no kernel that is known " * 9
    update = tree({"sysupgrade-x/kernel": kernel, "sysupgrade-x/root": bare(FILES)}, {"sysupgrade-x": mode})
    rebuilt, _ = against(tmp_path, update, **{"root.tar": bare(FILES), "kernel": kernel})

    assert (rebuilt.files_verdict, rebuilt.verdict) == ("identical", verdict)


def unmarked(data: bytes) -> bytes:
    """A tar archive as before POSIX: without the mark, and what an archiver goes by beside it."""
    out = bytearray(data)
    at = 0
    while any(out[at : at + 512]):
        size = int(out[at + 124 : at + 135], 8)
        out[at + 257 : at + 345] = bytes(88)
        out[at + 148 : at + 156] = b" " * 8
        out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
        at += 512 + (size + 511) // 512 * 512
    return bytes(out)


def test_an_archive_of_a_form_that_nothing_makes(tmp_path: Path) -> None:
    """BusyBox unpacks none of it, and GNU tar not all."""
    shipped = unmarked(bare(FILES))
    rebuilt, evaluation = against(tmp_path, packed(shipped), **{"root.tar": bare(FILES)})
    same, _ = against(tmp_path / "2", packed(shipped), **{"root.tar": shipped})

    assert (rebuilt.files_verdict, rebuilt.verdict) == ("identical", "unexplained")
    assert "no strict one knows its form (tar-v7), and it is not what a rebuild" in whys(evaluation)
    assert same.verdict == "identical"


@pytest.mark.parametrize(
    ("form", "partner", "same", "member", "doubt"),
    [
        ("iso9660", True, "", False, True),
        ("iso9660", True, "b" * 64, False, False),
        ("iso9660", False, "", False, False),
        ("iso9660", True, "b" * 64, True, True),
        ("iso9660", True, "a" * 64, True, False),
        ("squashfs", False, "", False, True),
        ("squashfs", False, "b" * 64, True, False),
        ("tar-v7", False, "b" * 64, False, True),
        ("tar-v7", False, "a" * 64, False, False),
    ],
)
def test_who_ships_a_file_system_does_not_choose_its_form(
    form: str, partner: bool, same: str, member: bool, doubt: bool
) -> None:
    """What no strict reader knows, against rebuilds of the same form and of others."""

    def node(digest: str) -> Node:
        return Node(
            id=0, parent=-1, name="x", locator="x", where="x", kind=Kind.FILE, format=form, size=1, sha256=digest
        )

    tree = Tree(0, 0, "x")
    rebuilt = Tree(1, 1, "y")
    rebuilt.mounted = partner
    found = unread(tree, node("a" * 64), [rebuilt], [node(same)] if same else [], member=member)

    assert found[1] is doubt
