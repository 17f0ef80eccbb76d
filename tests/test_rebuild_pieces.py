"""What holds something and is more than that: kernels, scripts that unpack themselves, members of archives by name."""

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
from tests.test_rebuild_trees import FILES, against, banks, tree

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

TOOL = {"tool": b"#!/bin/sh\n"}
EVIL = b"#!/bin/sh\nnc -l -p 4444 -e /bin/sh\n"
SMALL = tree({"init": b"#!/bin/sh\n"}, {})


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def test_a_kernel_with_an_initramfs_is_compared_itself(tmp_path: Path) -> None:
    code = b"\x12\x34\x56\x78" * 64
    good = plain_kernel(extra=code + cpio(init=b"#!/bin/sh\n"))
    bad = good.replace(code, code[:-1] + b"\x79")
    packed = lzma.compress(good, lzma.FORMAT_ALONE)
    built = {"kernel": packed, "root.tar": tree()}
    honest, evaluation = against(tmp_path, uimage(packed, b"linux") + banks(tree()), **built)
    assert any(n.format == "linux-kernel" and n.parent >= 0 for n in evaluation.nodes)
    changed = uimage(lzma.compress(bad, lzma.FORMAT_ALONE), b"linux") + banks(tree())
    rebuilt, _ = against(tmp_path / "2", changed, **built)

    assert honest.files_verdict == "identical"
    assert rebuilt.files_verdict == "functional"


def test_a_kernel_handed_in_alone(tmp_path: Path) -> None:
    """Not packed as in the image: it is found by its content."""
    kernel = plain_kernel(extra=cpio(init=b"#!/bin/sh\n"))
    shipped = uimage(lzma.compress(kernel, lzma.FORMAT_ALONE), b"linux") + banks(tree())
    honest, _ = against(tmp_path, shipped, **{"vmlinux": kernel, "root.tar": tree()})
    other, _ = against(tmp_path / "2", shipped, **{"vmlinux": kernel[:-4] + b"evil", "root.tar": tree()})

    assert (honest.verdict, honest.left_out) == ("identical", [])
    assert other.verdict == "functional"


def test_a_script_that_unpacks_itself(tmp_path: Path) -> None:
    run = [head + gzip.compress(SMALL, mtime=0) for head in (b"#!/bin/sh\necho good; exit\n", EVIL + b"exit\n")]
    built, shipped = (tree({"app/run.sh": data, "app/x": b"x"}, {}) for data in run)
    honest, _ = against(tmp_path, banks(built), **{"built.tar": built}, **TOOL)
    rebuilt, _ = against(tmp_path / "2", banks(shipped), **{"built.tar": built}, **TOOL)

    assert honest.files_verdict == "identical"
    assert {f.path: f.verdict for f in rebuilt.files}["app/run.sh"] in ("functional", "unexplained")


@pytest.mark.parametrize(
    "names", [("sysup/recovery", "sysup/root"), ("sysup/root", "sysup/other")], ids=["exchanged", "renamed"]
)
def test_names_of_file_systems_in_an_archive(tmp_path: Path, names: tuple[str, str]) -> None:
    """What flashes them goes by the names."""
    systems = tree(), SMALL
    built = tar_of(dict(zip(("sysup/root", "sysup/recovery"), systems, strict=True)))
    shipped = tar_of(dict(zip(names, systems, strict=True)))
    honest, _ = against(tmp_path, banks(built), **{"built.tar": built}, **TOOL)
    rebuilt, _ = against(tmp_path / "2", banks(shipped), **{"built.tar": built}, **TOOL)

    assert honest.files_verdict == "identical"
    assert rebuilt.verdict == "functional"


def test_a_piece_of_an_image_is_not_the_same_as_a_start_script(tmp_path: Path) -> None:
    script = uimage(EVIL * 3, b"script")
    shipped = banks(tree({**FILES, "etc/init.d/S99": EVIL * 3})) + script
    rebuilt, _ = against(tmp_path, shipped, **{"a.img": banks(tree()) + script}, **TOOL)

    assert [[c.what for c in f.changes] for f in rebuilt.files if f.path == "etc/init.d/S99"] == [["path"]]


def _hard_linked(*entries: tuple[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
        for name, target in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = tarfile.LNKTYPE, target, 0o755
            archive.addfile(entry)
    return out.getvalue()


@pytest.mark.parametrize(
    ("shipped", "verdict"),
    [
        (tree({**FILES, "bin/second": FILES["bin/tool"]}, {}), "functional"),
        (_hard_linked(("bin/second", "./bin/tool")), "identical"),
        (_hard_linked(("bin/second", "etc/init.d/rc")), "functional"),
        (tree({**FILES, "bin/second": EVIL}, {}), "functional"),
    ],
    ids=["as files", "spelled", "another", "changed"],
)
def test_a_hard_link_is_the_file_that_it_names(tmp_path: Path, shipped: bytes, verdict: str) -> None:
    built = _hard_linked(("bin/second", "bin/tool"))
    rebuilt, _ = against(tmp_path, banks(shipped), **{"built.tar": built})

    assert {f.path: f.verdict for f in rebuilt.files}["bin/second"] == verdict


@pytest.mark.parametrize(("mode", "said"), [(0o4755, ["mode"]), (0o777, ["mode"]), (0o755, [])])
def test_rights_that_a_folder_does_not_state(tmp_path: Path, mode: int, said: list[str]) -> None:
    shipped = banks(tree(modes={"bin/tool": mode}))
    names = {f"root/{n}": d for n, d in FILES.items() if "__" not in n}
    from tests.test_rebuild_evaluated import MANIFEST, only, run, submission
    from tests.test_rebuild_trees import REBUILD

    folder = submission(tmp_path / "s", MANIFEST + REBUILD.format("root"), **{"image.bin": shipped}, **names)
    rebuilt = only(run(folder, tmp_path / "w"))

    assert [[c.what for c in f.changes] for f in rebuilt.files if f.path == "bin/tool"] == [said]
