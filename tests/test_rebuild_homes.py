"""Which file system of an image a rebuild belongs into: where two readings lead to two verdicts, neither is given."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.intake.tasks import shut_down
from tests.formats.headers import cpio, plain_kernel
from tests.images import tar_of, uimage
from tests.test_rebuild_evaluated import MANIFEST, command, only, run, submission
from tests.test_rebuild_trees import FILES, REBUILD, against, banks, homes, tree, whys

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

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
    rebuilt, evaluation = against(tmp_path, shipped, word and {"one.tar": homes([0]), **word}, **BUILT)

    assert (rebuilt.verdict, len(rebuilt.left_out)) == (verdict, left)
    assert ("rebuild.unclear" in {f.rule for f in evaluation.findings}) is (verdict == "unexplained")


def package(data: bytes, *beside: str) -> bytes:
    """An ipk that installs an archive; ``beside``: names of other members."""
    control = b"Package: fw\nVersion: 1\nArchitecture: all\nDescription: a firewall\n"
    parts = {
        "./debian-binary": b"2.0\n",
        "./control.tar.gz": gzip.compress(tar_of({"./control": control}), mtime=0),
        "./data.tar.gz": gzip.compress(data, mtime=0),
        **dict.fromkeys(beside, b"x"),
    }
    return gzip.compress(tar_of(parts), mtime=0)


def links(data: bytes, **of: str) -> bytes:
    """An archive with links before its other members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, target in of.items():
            entry = tarfile.TarInfo(f"etc/rc.d/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        end = archive.offset
    return out.getvalue()[:end] + data


def test_a_real_package_goes_into_any_file_system(tmp_path: Path) -> None:
    built = {"one.tar": BUILT["one.tar"], "fw.ipk": package(tree({f"./{n}": data for n, data in WALL.items()}, {}))}
    both, _ = against(tmp_path, banks(WITH, SMALL), {"one.tar": homes([0])}, **built)
    unsaid, _ = against(tmp_path / "4", banks(WITH, SMALL), **built)
    gone, evaluation = against(tmp_path / "2", banks(WITHOUT, SMALL), **built)
    stated, _ = against(tmp_path / "3", banks(WITHOUT, SMALL), {"one.tar": homes([0])}, **built)

    assert (both.verdict, both.left_out) == ("identical", [])
    assert (gone.verdict, stated.verdict, unsaid.verdict) == ("unexplained", "unexplained", "unexplained")
    assert "has nothing of fw.ipk" in whys(evaluation)


ENABLED = links(SMALL, S19fw="../init.d/fw")
BASE = {**FILES, "etc/banner": b"hello\n"}


@pytest.mark.parametrize(
    ("root", "small", "built"),
    [
        (links(WITHOUT, S19fw="../init.d/fw"), ENABLED, {"one.tar": WITHOUT, "fw.ipk": package(ENABLED)}),
        (tree(BASE, {}), tree({**WALL, "etc/banner": b"hello\n"}, {}), {
            "one.tar": tree(BASE, {}), "fw.ipk": package(tree({**WALL, "etc/banner": b"hello\n"}, {})),
        }),
        (WITHOUT, links(bytes(1024), S19fw="../init.d/fw"), {
            "one.tar": WITHOUT, "fw.ipk": package(links(bytes(1024), S19fw="../init.d/fw")),
        }),
        (tree(FILES, {}), tree({"bin/tool": FILES["bin/tool"], "etc/passwd": FILES["etc/passwd"]}, {}), {
            "one.tar": WITHOUT,
            "part.ipk": package(tree({n: FILES[n] for n in ("bin/tool", "etc/passwd")}, {})),
        }),
    ],
    ids=["a link stays", "a file that another has", "links alone", "a part of the root"],
)  # fmt: skip
def test_a_package_that_is_hidden_elsewhere(tmp_path: Path, root: bytes, small: bytes, built: dict[str, bytes]) -> None:
    rebuilt, evaluation = against(tmp_path, banks(root, small), **built)

    assert (rebuilt.files_verdict, rebuilt.verdict) == ("identical", "unexplained")
    assert "nothing says whether it should" in whys(evaluation)


RECOVERY = {"init": b"#!/bin/sh\n", "etc/init.d/S99": b"nc -l -e /bin/sh\n", "sbin/flash": b"\0flash"}


@pytest.mark.parametrize(
    "built",
    [
        {"root.tar": WITHOUT, "ra.tar": tree(RECOVERY, {}), "rb.tar": tree(RECOVERY, {})},
        {"root.tar": WITHOUT, "rec.tgz": package(tree(RECOVERY, {}), "./more")},
        {"root.tar": WITHOUT, "rec.tar": tar_of({"debian-binary": b"2.0\n", "rec.tar": tree(RECOVERY, {})})},
    ],
    ids=["two of it", "four members", "no control archive"],
)
def test_another_system_in_root_is_not_taken_for_a_package(tmp_path: Path, built: dict[str, bytes]) -> None:
    recovery = tree(RECOVERY, {})
    rebuilt, _ = against(tmp_path, banks(tree({**FILES, **RECOVERY}, {}), recovery, recovery), **built)

    assert rebuilt.verdict in ("unexplained", "functional")


def test_what_root_and_an_initramfs_both_have_hides_no_package(tmp_path: Path) -> None:
    small = {n: FILES[n] for n in ("bin/tool", "etc/passwd")}
    built = {"a.img": banks(tree(small, {}), tree({"usr/x": b"x"}, {})), "one.ipk": package(WITHOUT)}
    built["fw.ipk"] = package(SMALL)
    rebuilt, evaluation = against(tmp_path, banks(WITHOUT, SMALL, tree(small, {})), **built)

    assert rebuilt.verdict != "identical"
    assert "has nothing of fw.ipk" in whys(evaluation)


def test_a_folder_has_a_home(tmp_path: Path) -> None:
    manifest = MANIFEST + REBUILD.format("root") + homes([0]) + REBUILD.format("wall") + homes([1])
    root = {n: d for n, d in FILES.items() if not n.startswith("usr")}
    handed = {f"root/{n}": d for n, d in root.items()} | {f"wall/{n}": d for n, d in WALL.items()}
    for name, small, verdict in (("same", WALL, "identical"), ("less", {"sbin/fw": b"\0fw"}, "functional")):
        image = banks(tree(root, {}), tree(small, {}))
        folder = submission(tmp_path / name, manifest, **{"image.bin": image}, **handed)
        rebuilt = only(run(folder, tmp_path / f"w{name}"))
        assert rebuilt.verdict == verdict


def test_many_archives_stop_nothing(tmp_path: Path) -> None:
    """More than are looked at, the smallest of which has a file of a tree that is another's."""
    many = [tree({f"etc/x{n}/f{k}": b"%d" % k for k in range(3)}, {}) for n in range(203)]
    shipped = banks(*many, tree({"etc/x1/f1": b"1"}, {}))
    rebuilt, evaluation = against(tmp_path, shipped, **{"a.img": banks(*many[:3]), "tool": b"#!/bin/sh\n"})

    assert rebuilt.verdict == "functional"
    assert "too many" in whys(evaluation)


def test_a_program_with_its_place_that_lies_in_a_small_archive(tmp_path: Path) -> None:
    manifest = MANIFEST + REBUILD.format("built.tar") + homes([0]) + REBUILD.format("fw3") + 'place = "/sbin/fw3"\n'
    tool = b"#!/bin/sh\nnft -f /etc/fw.nft\n"
    for name, root, verdict in (("with", {**FILES, "sbin/fw3": tool}, "identical"), ("without", FILES, "unexplained")):
        image = banks(tree(root, {}), tree({"sbin/fw3": tool}, {}))
        data = {"image.bin": image, "built.tar": tree(folders={}), "fw3": tool}
        folder = submission(tmp_path / name, manifest, **data)
        result = command("evaluate", folder, "--workspace", tmp_path / f"w{name}", "--no-pdf", "--as-of", "2026-01-01")
        assert verdict in result.stdout
        assert ("nothing says whether it should" in result.stdout) is (verdict == "unexplained")


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
        (homes([7]), "and the image has no such file system; it has image!bank 0!content"),
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


CONTROL = {"app/auth.lua": b"auth", "app/acl.lua": b"acl"}
KERNEL = lzma.compress(plain_kernel(extra=cpio(init=b"#!/bin/sh\n")), lzma.FORMAT_ALONE)


def test_packages_and_a_kernel_with_its_initramfs(tmp_path: Path) -> None:
    """The initramfs of a kernel is a file system of its own, as any that was rebuilt as one."""
    built = {"one.ipk": package(WITHOUT), "fw.ipk": package(SMALL), "kernel": KERNEL}
    rebuilt, _ = against(tmp_path, uimage(KERNEL, b"linux") + banks(WITH), **built)

    assert (rebuilt.verdict, rebuilt.left_out) == ("identical", [])


def test_an_archive_of_an_application_is_asked_too(tmp_path: Path) -> None:
    app = {f"app/f{n}": b"%d" % n for n in range(6)}
    built = {"app.ipk": package(tree(app, {})), "sec.ipk": package(tree(CONTROL, {}))}
    shipped = banks(tree(app, {}), tree(CONTROL, {}))
    rebuilt, evaluation = against(tmp_path, shipped, **built)
    whole, _ = against(tmp_path / "2", banks(tree({**app, **CONTROL}, {})), **built)

    assert rebuilt.verdict == "unexplained"
    assert "has nothing of sec.ipk" in whys(evaluation)
    assert whole.verdict == "identical"


def test_an_image_that_holds_packages(tmp_path: Path) -> None:
    parts = [package(tree({f"usr/p{n}": b"%d" % n}, {})) for n in range(3)]
    feed = tar_of({f"feed/p{n}.ipk": data for n, data in enumerate(parts)})
    rebuilt, _ = against(tmp_path, banks(feed), **{"feed.tar": feed, "tool": b"#!/bin/sh\n"})

    assert rebuilt.files_verdict == "identical"
    assert not any(s.doubts for s in rebuilt.file_systems)


def test_what_could_not_be_decoded_to_its_end_is_a_doubt(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(WITH, mtime=0))
    packed[-6] ^= 1  # of its checksum
    rebuilt, _ = against(tmp_path, uimage(bytes(packed), b"root"), **{"built.tar": WITH})

    assert rebuilt.verdict != "identical"


def test_two_systems_of_the_same_packages_exchange_nothing(tmp_path: Path) -> None:
    """Neither is most like any rebuild, and both have a file of one path."""
    halves = [
        tree({**{f"{n}/f{k}": b"x" for k in range(4)}, "etc/P": p}, {}) for n, p in (("a", b"good"), ("b", b"evil"))
    ]
    rest = [tree({f"{n}/g{k}": b"x" for k in range(5)}, {}) for n in ("a", "b")]
    built = dict(zip(("a1.tar", "b1.tar", "a2.tar", "b2.tar"), (*halves, *rest), strict=True))

    def system(n: str, p: bytes) -> bytes:
        return tree({**{f"{n}/f{k}": b"x" for k in range(4)}, **{f"{n}/g{k}": b"x" for k in range(5)}, "etc/P": p}, {})

    rebuilt, _ = against(tmp_path, banks(system("a", b"evil"), system("b", b"good")), **built)
    assert rebuilt.verdict != "identical"


def test_a_rebuild_with_a_home_is_not_compared_as_a_whole(tmp_path: Path) -> None:
    word = {"built.tar": 'rebuild_of = "image.bin"\n' + homes([0])}
    rebuilt, _ = against(tmp_path, banks(WITH, SMALL), word, **{"built.tar": WITH, "fw.ipk": package(SMALL)})

    assert (rebuilt.method, rebuilt.verdict) == ("files", "identical")


def test_links_and_empty_files_of_a_folder_are_handed_in(tmp_path: Path) -> None:
    files = {"bin/busybox": b"#!/bin/sh\n", "etc/passwd": b"root::0:0::/:/bin/sh\n", "etc/nofw": b""}
    shipped = banks(links(tree(files, {}), S10x="../init.d/x", S11x="/etc"))
    manifest = MANIFEST + REBUILD.format("root")
    folder = submission(
        tmp_path / "s", manifest, **{"image.bin": shipped}, **{f"root/{n}": d for n, d in files.items()}
    )
    (folder / "root/etc/rc.d").mkdir()
    (folder / "root/etc/rc.d/S10x").symlink_to("../init.d/x")
    (folder / "root/etc/rc.d/S11x").symlink_to("/etc")
    honest = only(run(folder, tmp_path / "w"))
    (folder / "root/etc/rc.d/S11x").unlink()
    (folder / "root/etc/rc.d/S11x").symlink_to("/tmp")
    (folder / "root/etc/rc.d/S12x").symlink_to("\x1b[31m")
    changed = only(run(folder, tmp_path / "w2"))

    assert (honest.verdict, honest.left_out) == ("identical", [])
    assert [[c.what for c in f.changes] for f in changed.files if f.changes] == [["link"]]
    assert [g.path for g in changed.left_out] == ["etc/rc.d/S12x"]
    assert command("evaluate", folder, "--workspace", tmp_path / "w3", "--as-of", "2026-01-01").exit_code == 0
