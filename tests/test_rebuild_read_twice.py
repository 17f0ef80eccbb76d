"""Mode, owner, links, attributes and content of each file are what the strict reader of its format says, too."""

from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from banbury.compare.equivalence.protocol import Read, Stated
from banbury.compare.rebuilds.contents import _kept, _recalled
from banbury.intake.tasks import shut_down
from banbury.model.rebuild import Rebuilt
from tests.images import PASSWD, uimage
from tests.test_rebuild_trees import against
from tests.tools import need

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

FILES = {
    "bin/sh": (0o755, b"#!/bin/true\n"), "etc/crontabs/root": (0o644, b"#\n"), "etc/init.d/rc": (0o755, b"#!/bin/sh\n"),
    "etc/passwd": (0o644, PASSWD), "etc/ssl/key.pem": (0o600, b"-----BEGIN\n"), "var/log/messages": (0o644, b"#\n"),
}  # fmt: skip
EQUIVALENT = ("identical", "equivalent/metadata")
LINKED = ("etc/crontabs/root", "var/log/messages")


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


def _tree(folder: Path, *, linked: bool) -> Path:
    for name, (mode, data) in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
    if linked:
        (folder / LINKED[1]).unlink()
        os.link(folder / LINKED[0], folder / LINKED[1])
    return folder


def _made(folder: Path, form: str, *, linked: bool) -> bytes:
    """A file system by its own tool, with two files or one with two names."""
    folder.mkdir()
    root, out = _tree(folder / "root", linked=linked), folder / "out"
    tool, *arguments = {
        "ext": ["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(out), "4M"],
        "squashfs": ["mksquashfs", str(root), str(out), "-noappend", "-quiet", "-all-root"],
        "jffs2": ["mkfs.jffs2", "-r", str(root), "-o", str(out), "-e", "64", "-l", "-U"],
        "ubifs": ["mkfs.ubifs", "-m", "2048", "-e", "126976", "-c", "100", "-U", "-r", str(root), "-o", str(out)],
        "cpio": ["sh", "-c", f"cd {root} && find . | sort | cpio -o -H newc -R 0:0 > {out}"],
        "tar": ["tar", "--sort=name", "--owner=0", "--group=0", "-C", str(root), "-cf", str(out), "."],
    }[form]
    need("cpio" if tool == "sh" else tool)
    subprocess.run([need(tool), *arguments], check=True, capture_output=True)
    return out.read_bytes()


def _compared(folder: Path, shipped: bytes, built: dict[str, bytes]) -> Rebuilt:
    return against(folder, uimage(gzip.compress(shipped, mtime=0)), **built)[0]


def _differing(rebuilt: Rebuilt) -> dict[str, list[str]]:
    return {f.path: [c.what for c in f.changes] for f in rebuilt.files if f.changes}


def _doubts(rebuilt: Rebuilt) -> str:
    return " | ".join(d for s in rebuilt.file_systems for d in s.doubts)


@pytest.mark.parametrize("form", ["ext", "squashfs", "jffs2", "ubifs", "cpio", "tar"])
def test_two_names_of_one_file_are_no_two_files(tmp_path: Path, form: str) -> None:
    """What is logged would be root's table of jobs. Either way round, and as another format has them."""
    one, two = (_made(tmp_path / f"{form}{n}", form, linked=linked) for n, linked in enumerate((True, False)))
    other = _made(tmp_path / "other", "tar", linked=True)
    found = [
        _compared(tmp_path / str(n), shipped, {"root.img": built} if built is not other else {"root.tar": built})
        for n, (shipped, built) in enumerate([(one, two), (two, one), (two, other), (one, other)])
    ]

    assert [r.verdict for r in found] == ["functional"] * 3 + [found[3].verdict]
    assert found[3].verdict in EQUIVALENT
    assert all(_differing(r) == {path: ["names"] for path in LINKED} for r in found[:3])


def test_names_of_one_file_that_a_folder_does_not_state(tmp_path: Path) -> None:
    """A file with its place is stated without links, as a folder's files are."""
    word = {f"f{n}": f'place = "/{name}"\n' for n, name in enumerate(FILES)}
    shipped = uimage(gzip.compress(_made(tmp_path / "made", "tar", linked=True), mtime=0))
    rebuilt, _ = against(tmp_path, shipped, word, **{f"f{n}": data for n, (_, data) in enumerate(FILES.values())})

    assert {f.path: [c.rebuilt for c in f.changes] for f in rebuilt.files if f.changes} == {
        path: ["not stated by what was handed in"] for path in LINKED
    }


def _zip(*, system: int = 3, upper: bool = True, extra: bytes = b"", needed: int = 20) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, (mode, data) in FILES.items():
            item = zipfile.ZipInfo(name)
            item.create_system, item.extract_version, item.extra = system, needed, extra
            item.external_attr = (mode | 0o100000) << 16 if upper else 0x20
            archive.writestr(item, data)
    return out.getvalue()


def _owner(uid: int) -> bytes:
    return struct.pack("<HHBBIBI", 0x7875, 11, 1, 4, uid, 4, uid)


def _tar(form: int = tarfile.USTAR_FORMAT, **of_passwd: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, (mode, data) in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            for key, value in of_passwd.items() if name == "etc/passwd" else ():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    ("shipped", "changed", "said"),
    [
        (lambda: _zip(system=6), ["mode"], "system and attributes 6"),
        (lambda: _zip(system=0, upper=False), ["mode"], ""),
        (lambda: _zip(system=19), [], "system and attributes 19"),
        (lambda: _zip(extra=_owner(1000)), ["uid", "gid"], ""),
        (lambda: _zip(extra=struct.pack("<HHHH", 0x7855, 4, 1000, 1000)), [], "extra fields 0x7855"),
        (lambda: _zip(needed=62), [], "version needed 62"),
        (lambda: _zip(extra=_owner(0)), [], ""),
        (_zip, [], ""),
    ],
    ids=["HPFS", "FAT", "no Unix to unzip", "owner", "old owner", "a later version", "root", "the same"],
)
@pytest.mark.parametrize("built", ["root.zip", "root.tar"])
def test_what_unzip_makes_of_an_archive(
    tmp_path: Path, shipped: Callable[[], bytes], changed: list[str], said: str, built: str
) -> None:
    """Modes that are not stated are anybody's to choose, and owners of an extra field are set (unzip -X)."""
    rebuilt = _compared(tmp_path, shipped(), {built: _zip() if built == "root.zip" else _tar()})

    assert set(map(tuple, _differing(rebuilt).values())) == ({tuple(changed)} if changed else set())
    assert (said in _doubts(rebuilt)) if said else not _doubts(rebuilt)
    assert rebuilt.verdict in (["functional"] if changed else ["unexplained"] if said else EQUIVALENT)


ACL = "SCHILY.acl.access"


@pytest.mark.parametrize(
    ("of_passwd", "said"),
    [
        ({"uid": 1000, "pax_headers": {"uid": "0"}}, "header's uid 1000"),
        ({"pax_headers": {ACL: "user::rw-,user:1000:rwx,group::r--,mask::rwx,other::r--"}}, ACL),
        ({"pax_headers": {"LIBARCHIVE.xattr.security.ima": "AQAA"}}, "LIBARCHIVE.xattr.security.ima"),
        ({"pax_headers": {"uid": "0"}}, ""),
    ],
    ids=["owner in two places", "access list", "attribute of one reader", "the same owner twice"],
)
def test_what_extended_headers_of_tar_say_besides(tmp_path: Path, of_passwd: dict[str, object], said: str) -> None:
    """What readers differ in is a doubt, unless the rebuild has just that, too."""
    shipped = _tar(tarfile.PAX_FORMAT, **of_passwd)
    plain = _compared(tmp_path, shipped, {"root.tar": _tar()})
    same = _compared(tmp_path / "2", shipped, {"root.tar": shipped[:-512]})  # other padding: no equal archive

    assert said in _doubts(plain)
    assert plain.verdict in (["functional"] if "LIBARCHIVE" in said else ["unexplained"] if said else EQUIVALENT)
    assert (same.verdict, _doubts(same)) == ("identical", "") or "LIBARCHIVE" in said


def _link(mode: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("bin/sh")
        entry.size, entry.mode = 2, 0o755
        archive.addfile(entry, io.BytesIO(b"sh"))
        entry = tarfile.TarInfo("bin/ash")
        entry.type, entry.linkname, entry.mode = tarfile.LNKTYPE, "bin/sh", mode
        archive.addfile(entry)
        archive.addfile(tarfile.TarInfo("etc/x"))
    return out.getvalue()


@pytest.mark.parametrize("built", [0o755, 0o644])
def test_a_link_with_other_rights_than_its_file(tmp_path: Path, built: int) -> None:
    """Some archivers set a link's mode and owner on the file, others do not; it is a doubt, unless the rebuild has the
    same mode there."""
    rebuilt = _compared(tmp_path, _link(0o4755), {"root.tar": _link(built)})

    assert rebuilt.verdict == "unexplained"
    assert "bin/ash (mode 4755" in _doubts(rebuilt)
    assert "and bin/sh, which it is a link to, has mode 0755" in _doubts(rebuilt)


_ENTRIES = "user::rw-," + "".join(f"user:{n}:---," for n in range(2000, 2014))
LABEL = {"SCHILY.xattr.security.selinux": "a:b:c:s0"}


@pytest.mark.parametrize(
    ("shipped", "built", "said"),
    [
        ({ACL: _ENTRIES + "user:1000:rwx"}, {ACL: _ENTRIES + "user:1000:---"}, ACL),
        ({**LABEL, "RHT.security.selinux": "a:b:c:s1"}, LABEL, "RHT.security.selinux"),
    ],
    ids=["the end of a long list", "a second label"],
)
def test_what_extended_headers_say_on_both_sides(
    tmp_path: Path, shipped: dict[str, str], built: dict[str, str], said: str
) -> None:
    files = [_tar(tarfile.PAX_FORMAT, pax_headers=headers) for headers in (shipped, built)]
    rebuilt = _compared(tmp_path, files[0], {"root.tar": files[1]})

    assert rebuilt.verdict == "unexplained"
    assert said in _doubts(rebuilt)


@pytest.mark.parametrize("linked", [True, False])
def test_two_names_of_one_file_that_was_handed_in_alone(tmp_path: Path, linked: bool) -> None:
    """What is written to one is in the other, and nobody says so; two files of that content are found by it."""
    log = b"# nothing yet\n"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (mode, data) in {**FILES, "etc/crontab": (0o644, log), "var/log": (0o644, log)}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            if linked and name == "var/log":
                entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, "etc/crontab", 0
            archive.addfile(entry, None if entry.type == tarfile.LNKTYPE else io.BytesIO(data))
    rebuilt = _compared(tmp_path, out.getvalue(), {"root.tar": _tar(), "empty.conf": log})

    assert rebuilt.verdict == ("functional" if linked else "identical")
    assert _differing(rebuilt) == ({"etc/crontab": ["names"], "var/log": ["names"]} if linked else {})


def test_a_record_that_is_named_as_a_field_of_its_header(tmp_path: Path) -> None:
    """It says another name of the extended header, of which what knows no pax makes a file."""
    files = _tar(tarfile.PAX_FORMAT, pax_headers={"header's name": "PaxHeaders/passwd"})
    rebuilt = _compared(tmp_path, files, {"root.tar": _tar()})

    assert rebuilt.verdict == "unexplained"
    assert "named as a header's field" in _doubts(rebuilt)


def test_a_flag_that_the_rebuild_has_too(tmp_path: Path) -> None:
    images = [_made(tmp_path / f"ext{n}", "ext", linked=False) for n in range(2)]
    for n, data in enumerate(images):
        (tmp_path / f"image{n}").write_bytes(data)
        command = [need("debugfs"), "-w", "-R", "set_inode_field etc/passwd flags 0x80010", f"image{n}"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    flagged = [(tmp_path / f"image{n}").read_bytes() for n in range(2)]
    found = [
        _compared(tmp_path / str(n), flagged[0], {"root.img": built}) for n, built in enumerate((flagged[1], images[1]))
    ]

    assert found[0].verdict in EQUIVALENT
    assert (found[1].verdict, _doubts(found[1]).count("etc/passwd (inode flags 16)")) == ("unexplained", 1)


def test_a_reading_is_kept_whole() -> None:
    read = Read(
        format="tar", members=[Stated(path="a", fields={"type": "file", "uid": "0"}), Stated(path="b")],
        odd=[("a", "one"), ("a", "two"), ("b", "three")],
    )  # fmt: skip

    assert _recalled(_kept(read)) == read
    refused = Read(format="ext", why="no end", undecided=True)
    assert _recalled(_kept(refused)) == refused
