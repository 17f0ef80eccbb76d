"""What nobody has said of a file system is not taken for granted, and one is what a kernel makes of it."""

from __future__ import annotations

import io
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.compare.corpus.trees import Node
from banbury.compare.corpus.trees import Tree as Files
from banbury.compare.corpus.writers import squashfs
from banbury.intake.tasks import shut_down
from tests.equivalence.build import need
from tests.equivalence.consumer_pairs_ext import ext
from tests.equivalence.consumer_pairs_tools import TEXT
from tests.images import tar_of
from tests.test_rebuild_homes import package
from tests.test_rebuild_trees import FILES, against, banks, homes, tree, whys

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

FIREWALL = {"etc/init.d/fw": b"#!/bin/sh\nnft -f /etc/fw.nft\n", **{f"usr/lib/fw/{n}": b"%d" % n for n in range(6)}}
RECOVERY = {"init": b"#!/bin/sh\n", "sbin/flash": b"\0flash", "etc/passwd": b"root::0:0::/:/bin/sh\n"}
SMALL = {path: data for path, data in RECOVERY.items() if path != "etc/passwd"}
EVIL = {"etc/init.d/S50t": b"#!/bin/sh\ntelnetd -l /bin/sh\n", "usr/sbin/telnetd": b"\0telnetd"}


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def system(*files: dict[str, bytes]) -> bytes:
    """A SquashFS image of files and their folders."""
    every = {path: data for some in files for path, data in some.items()}
    above = {path[:at] for path in every for at, c in enumerate(path) if c == "/"}
    out: Files = {path: Node(kind="dir", mode=0o755, mtime=0) for path in sorted(above)}
    return squashfs.write(
        out | {path: Node(data=data, mode=0o755, mtime=2000 * path.endswith("m.py")) for path, data in every.items()},
        plain=True,
    )


def image(*parts: bytes) -> bytes:
    return b"".join(part + b"\xff" * (-len(part) % 0x10000) for part in parts)


def bare(*files: dict[str, bytes]) -> bytes:
    return tree({path: data for some in files for path, data in some.items()}, {})


@pytest.mark.parametrize(
    ("shipped", "built", "said"),
    [
        (banks(bare(FILES, FIREWALL), bare(FILES)), {"base.ipk": package(bare(FILES)), "fw.tar": bare(FIREWALL)},
         "bank 1!content has nothing of fw.tar"),
        (image(system(FILES, FIREWALL, SMALL), system(FIREWALL)),
         {"base.ipk": package(bare(FILES)), "fw.ipk": package(bare(FIREWALL)), "r.ipk": package(bare(SMALL))},
         "r.ipk (in image.bin!00000000-squashfs)"),
        (image(system(FILES, FIREWALL), system(FILES)),
         {"root.squashfs": system(FILES, FIREWALL), "base.ipk": package(bare(FILES))},
         "has only a part of root.squashfs (7 files of the rebuild"),
        (image(system(FILES), system(FIREWALL, RECOVERY)),
         {"base.tar": bare(FILES), "fw.tar": bare({**FIREWALL, "etc/passwd": b"x"}),
          "recovery.squashfs": system(FIREWALL, RECOVERY)},
         "has only a part of fw.tar"),
        (system(FILES, EVIL), {"root.squashfs": system(FILES), "t.ipk": package(bare(EVIL))},
         "which has all of root.squashfs, a file system, without them"),
    ],
    ids=["the larger part", "a part of a small system", "a copy of a system", "a common path", "beside a whole system"],
)  # fmt: skip
def test_what_nobody_says_is_asked(tmp_path: Path, shipped: bytes, built: dict[str, bytes], said: str) -> None:
    rebuilt, evaluation = against(tmp_path, shipped, **built)

    assert {f.verdict for f in rebuilt.files if f.how != "several"} == {"identical"}
    assert rebuilt.verdict in ("unexplained", "functional")  # the latter where likeness asks, too
    assert said in whys(evaluation)


@pytest.mark.parametrize(
    ("order", "clear"), [("RRV", True), ("RV", True), ("RVV", False), ("VRR", False)],
    ids=["the same", "one bank", "recovery for a bank", "exchanged"],
)  # fmt: skip
def test_file_systems_of_a_rebuilt_image_keep_their_order(tmp_path: Path, order: str, clear: bool) -> None:
    parts = {"R": system(FILES), "V": system(RECOVERY)}
    shipped, built = (image(*(parts[n] for n in names)) for names in (order, "RRV"))
    rebuilt, evaluation = against(tmp_path, shipped, **{"built.img": built, "tool": FILES["bin/tool"]})

    assert rebuilt.verdict == ("identical" if clear else "unexplained")
    assert ("are not those of built.img in its order" in whys(evaluation)) is not clear


def test_a_whole_system_beside_packages_is_no_doubt(tmp_path: Path) -> None:
    """Root is made of packages, the small system is as it was rebuilt, and they have nothing in common."""
    built = {"base.ipk": package(bare(FILES)), "fw.ipk": package(bare(FIREWALL)), "small.squashfs": system(SMALL)}
    rebuilt, _ = against(tmp_path, image(system(FILES, FIREWALL), system(SMALL)), **built)

    assert (rebuilt.verdict, rebuilt.left_out) == ("identical", [])


def test_a_folder_out_of_order_is_not_what_a_kernel_sees(tmp_path: Path) -> None:
    """Linux looks a name up as in a list in order, and finds less than a reader that lists all."""
    files = {**FILES, "etc/fw": b"reject\n", "etc/net": b"lan\n"}
    honest = system(files)
    names = [honest.index(name) for name in (b"fw", b"init.d", b"net", b"passwd")]
    entries = [honest[at - 8 : at + 8 + struct.unpack_from("<H", honest, at - 2)[0] - 7] for at in names]
    start = names[0] - 8
    mixed = b"".join(entries[n] for n in (2, 1, 0, 3))
    shipped = honest[:start] + mixed + honest[start + len(mixed) :]
    assert sorted(shipped) == sorted(honest)
    good, _ = against(tmp_path, honest, **{"root.tar": bare(files)})
    rebuilt, evaluation = against(tmp_path / "2", shipped, **{"root.tar": bare(files)})

    assert good.verdict == "identical"
    assert (rebuilt.files_verdict, rebuilt.verdict) == ("identical", "unexplained")
    assert "is not one that is read strictly (directory: a name that is none, or out of order)" in whys(evaluation)

    for number, behind in enumerate((b"\xff" * 4096, b"\xff" * 4000 + b"more" * 24)):  # fill, and what is none
        rebuilt, _ = against(tmp_path / f"3{number}", image(shipped + behind, system(RECOVERY)), **{
            "root.tar": bare(files), "recovery.squashfs": system(RECOVERY),
        })  # fmt: skip
        assert any("is not one that is read strictly" in d for s in rebuilt.file_systems for d in s.doubts), behind


def test_a_file_that_may_not_be_changed_is_a_doubt(tmp_path: Path) -> None:
    need("debugfs")
    honest = ext(["-t", "ext2"])
    files = {"root.tar": bare({"etc/text": TEXT})}
    (tmp_path / "image").write_bytes(honest)
    command = ["debugfs", "-w", "-R", "set_inode_field etc/text flags 0x10", "image"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found, _ = against(tmp_path / "1", honest, **files)
    _, evaluation = against(tmp_path / "2", (tmp_path / "image").read_bytes(), **files)

    assert found.file_systems
    assert not any(s.doubts for s in found.file_systems)
    assert "has etc/text (inode flags 16), which no file of a rebuild states" in whys(evaluation)


@pytest.mark.parametrize(("mode", "said"), [(0o777, ["mode"]), (0o1777, []), (0o755, [])])
def test_a_folder_that_all_may_write_is_said(tmp_path: Path, mode: int, said: list[str]) -> None:
    """The rebuild states no modes of folders."""
    shipped = banks(tree(folders={"etc": mode}))
    rebuilt, _ = against(tmp_path, shipped, **{"built.tar": bare(FILES)})

    assert [[c.what for c in f.changes] for f in rebuilt.files if f.changes] == [said] * bool(said)


def test_files_handed_in_alone_do_not_exchange_their_names(tmp_path: Path) -> None:
    login, shell = b"#!/bin/sh\nread p; check $p\n", b"#!/bin/sh\nexec ash\n"
    built = {"login": login, "sh": shell}
    honest, _ = against(tmp_path, banks(bare({"bin/login": login, "bin/sh": shell})), **built)
    changed, _ = against(tmp_path / "2", banks(bare({"bin/login": shell, "bin/sh": login})), **built)
    _, started = against(tmp_path / "3", banks(bare({"bin/login": login, "bin/sh": shell, "etc/S9": shell})), **built)

    assert honest.verdict == "identical"
    assert {f.path: [c.what for c in f.changes] for f in changed.files} == {"bin/login": ["name"], "bin/sh": ["name"]}
    assert "without a place: etc/S9 is sh" in whys(started)


def test_an_archive_that_is_a_script_as_well(tmp_path: Path) -> None:
    """Its first header is for readers that know it, and a command for a shell."""
    app = {f"app/{n}.lua": b"%d" % n for n in range(3)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("#!/bin/sh\nnc -l -e /bin/sh; exit\n")
        entry.type, entry.size = tarfile.XGLTYPE, 13
        archive.addfile(entry, io.BytesIO(b"13 comment=x\n"))
        end = archive.offset
    start = out.getvalue()[:end] + bare(app)
    shipped = banks(bare(FILES), tar_of({"app/S99": start, **app}))
    word = {"app.tar": homes([1]), "root.tar": homes([0])}
    rebuilt, _ = against(tmp_path, shipped, word, **{"app.tar": bare(app), "root.tar": bare(FILES)})

    assert rebuilt.verdict in ("functional", "unexplained")
    assert "app/S99" in {f.path for f in rebuilt.files}
