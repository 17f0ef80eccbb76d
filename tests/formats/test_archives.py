"""Archives beside other programs' view of them, hostile ones, and real packages."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.formats.contract import Sink
from banbury.formats.names import Names
from banbury.formats.registry import readers
from banbury.formats.sink import Budget, SpoolSink
from banbury.formats.testing import Read, read_bytes
from banbury.formats.view import View
from banbury.model.tree import Entry, Kind, Role
from tests.formats.cases import ar as make_ar
from tests.formats.cases import cpio as make_cpio
from tests.formats.cases import streams as make_streams
from tests.formats.cases import tar as make_tar
from tests.formats.cases import zip as make_zip

FIRMWARE = Path(__file__).resolve().parents[2] / ".." / "shared" / "firmware"


def read(name: str, data: bytes, budget: Budget | None = None) -> Read:
    got = read_bytes(readers()[name], data, budget)
    assert got is not None, f"{name} does not claim it"
    return got


def codes(got: Read) -> set[str]:
    return {note.code for note in got.dissection.notes}


def unread(got: Read) -> int:
    return sum(r.end - r.start for r in got.dissection.regions if r.role is Role.UNREAD)


def tool(*command: str, cwd: Path, stdin: bytes = b"") -> bytes:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with what archives find hard: long names, links of both kinds, holes, odd modes and times."""
    root = tmp_path_factory.mktemp("tree")
    deep = root / ("d" * 90) / ("e" * 120)
    deep.mkdir(parents=True)
    (deep / ("f" * 200)).write_bytes(b"deep")
    with (root / "holes").open("wb") as file:
        for n in range(30):
            file.seek(n * 100_000 + 65_536)
            file.write(b"%d" % n * 700)
    (root / "hard").hardlink_to(root / "holes")
    (root / "soft").symlink_to("d/" * 70)
    (root / "suid").write_bytes(b"#!")
    (root / "suid").chmod(0o6755)
    (root / "ünï").write_bytes(b"")
    for n in range(40):
        (root / f"file {n}").write_bytes(b"%d" % n * (n * 37))
    return root


_TAR_KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.GNUTYPE_SPARSE: Kind.FILE,
    tarfile.LNKTYPE: Kind.HARDLINK,
    tarfile.SYMTYPE: Kind.SYMLINK,
    tarfile.DIRTYPE: Kind.DIR,
    tarfile.CHRTYPE: Kind.CHAR,
    tarfile.BLKTYPE: Kind.BLOCK,
    tarfile.FIFOTYPE: Kind.FIFO,
}


def assert_like_tarfile(data: bytes) -> Read:
    got = read("tar", data)
    with tarfile.open(fileobj=io.BytesIO(data)) as oracle:
        members = oracle.getmembers()
        assert len(got.dissection.entries) == len(members)
        for entry, member in zip(got.dissection.entries, members, strict=True):
            assert (entry.path, entry.kind) == (member.name.strip("/"), _TAR_KINDS[member.type])
            stated = (member.mode & 0o7777, member.uid, member.gid, int(member.mtime // 1), member.linkname)
            assert (entry.mode, entry.uid, entry.gid, entry.mtime, entry.link) == stated
            if entry.kind in {Kind.FILE, Kind.HARDLINK}:
                content = oracle.extractfile(member)
                assert content is not None
                assert got.contents[entry.path] == content.read()
    assert unread(got) == 0
    return got


@pytest.mark.parametrize(
    "options",
    [
        ["--format=gnu"],
        ["--format=gnu", "--sparse"],
        ["--format=oldgnu", "--sparse"],
        ["--format=pax"],
        ["--format=pax", "--sparse", "--sparse-version=0.0"],
        ["--format=pax", "--sparse", "--sparse-version=0.1"],
        ["--format=pax", "--sparse", "--sparse-version=1.0"],
    ],
    ids=" ".join,
)
def test_tar_reads_every_dialect_as_others_do(tree: Path, options: list[str]) -> None:
    got = assert_like_tarfile(tool("tar", *options, "-cf", "-", ".", cwd=tree))

    assert codes(got) <= {"sparse"}
    assert ("sparse" in codes(got)) == ("--sparse" in options)


@pytest.mark.parametrize("form", ["newc", "crc", "odc", "bin"])
def test_cpio_reads_every_form_as_it_was_written(tree: Path, form: str) -> None:
    names = sorted(str(p.relative_to(tree)) for p in tree.rglob("*"))
    data = tool("cpio", "-o", "-H", form, "--quiet", cwd=tree, stdin="\n".join(names).encode())

    got = read("cpio-binary" if form == "bin" else "cpio", data)

    assert sorted(e.path for e in got.dissection.entries) == names
    for entry in got.dissection.entries:
        path = tree / entry.path
        assert entry.mode == path.lstat().st_mode & 0o7777
        assert entry.mtime == int(path.lstat().st_mtime)
        if entry.kind in {Kind.FILE, Kind.HARDLINK}:
            assert got.contents[entry.path] == path.read_bytes()
        elif entry.kind is Kind.SYMLINK:
            assert entry.link == os.readlink(path)
    assert codes(got) == set()
    assert unread(got) == 0
    assert all(c.ok for c in got.dissection.checks)


def test_zip_reads_what_zipfile_writes() -> None:
    buffer = io.BytesIO()
    content = {f"d/{n}": bytes([n]) * n * 1000 for n in range(30)}
    with zipfile.ZipFile(buffer, "w") as archive:
        for n, (name, data) in enumerate(content.items()):
            method = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[n % 4]
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=n % 5 == 0) as member:
                member._compress_type = method
                member.write(data)
        archive.comment = b"made elsewhere"

    got = read("zip", buffer.getvalue())

    assert got.contents == content
    assert codes(got) == set()
    assert unread(got) == 0


def test_ar_reads_what_ar_writes(tmp_path: Path) -> None:
    content = {"a.o": b"1", "an_object_file_with_a_long_name.o": b"22", "even": b"4444"}
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    tool("ar", "qc", "lib.a", *content, cwd=tmp_path)

    got = read("ar", (tmp_path / "lib.a").read_bytes())

    assert got.contents == content
    assert unread(got) == 0


def test_stored_members_are_not_copied() -> None:
    """Members of tar and cpio, and stored ones of ZIP, are ranges of the container."""
    archives = {
        "tar": b"".join(make_tar.member(b"d/%d" % n, b"%d" % n * 50) for n in range(2000)) + make_tar.END,
        "cpio": b"".join(make_cpio.newc(b"d/%d" % n, b"%d" % n * 50) for n in range(2000)) + make_cpio.END,
        "zip": make_zip.build([make_zip.Part(b"d/%d" % n, b"%d" % n * 50, method=0) for n in range(2000)]),
    }
    for name, data in archives.items():
        got = read(name, data)

        assert got.contents == {f"d/{n}": b"%d" % n * 50 for n in range(2000)}
        assert all(c.stored for c in got.dissection.contents)


def test_a_zero_bomb_stops_at_the_budget() -> None:
    """Ten gigabytes of zeros in ten megabytes: what is written stays within the budget, and probing decodes little."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = engine.compress(bytes(16 << 20)) + engine.flush(zlib.Z_FULL_FLUSH)
    bomb = make_streams.gzip_member(b"")[:10] + block * 640

    got = read("gzip", bomb, Budget(output=64 << 20))

    assert "bomb" in codes(got)
    assert "budget" in got.dissection.error
    assert got.dissection.contents[0].length <= 64 << 20


def test_nested_bombs_are_one_layer_at_a_time() -> None:
    layer = make_zip.build([make_zip.Part(b"zeros", bytes(1 << 20))])
    for _ in range(5):
        layer = make_zip.build([make_zip.Part(b"%d.zip" % n, layer) for n in range(16)])

    got = read("zip", layer)

    assert sum(c.length for c in got.dissection.contents) < 100 * len(layer)
    assert {e.path for e in got.dissection.entries} == {f"{n}.zip" for n in range(16)}


def test_overlapping_zip_members_are_decoded_once() -> None:
    """A thousand entries that all lead to one kernel of zeros (as in Fifield's bomb) give its output once."""
    zeros = bytes(1 << 16)
    parts = [make_zip.Part(b"0", zeros)] + [make_zip.Part(b"%d" % n, zeros, same_as=0) for n in range(1, 1000)]

    got = read("zip", make_zip.build(parts), Budget(output=1 << 17))

    assert got.dissection.error == ""
    assert "overlap" in codes(got)
    assert got.contents["999"] == zeros


def test_one_long_name_cannot_be_multiplied() -> None:
    table = make_ar.member(b"//", b"n" * 60_000 + b"\n")
    data = make_ar.MAGIC + table + make_ar.member(b"/0", b"") * 3000

    got = read("ar", data)

    assert "bomb" in codes(got)
    assert sum(len(e.path) for e in got.dissection.entries) < 2 * len(data)


def test_a_global_pax_header_cannot_multiply_a_name() -> None:
    data = make_tar.pax({"path": b"n" * 1_000_000}, b"g") + make_tar.member(b"a") * 500 + make_tar.END

    got = read("tar", data)

    assert {e.path for e in got.dissection.entries} == {"a"}


def _hops(count: int) -> Iterator[Entry]:
    for n in range(count):
        yield Entry(path=f"l{n}", kind=Kind.SYMLINK, link=f"l{(n + 1) % count}")


def _notes(entries: list[Entry], tmp_path: Path) -> list[tuple[str, str]]:
    with (tmp_path / "spool").open("wb") as spool:
        collected = SpoolSink(View(b"x"), spool.fileno())
        sink: Sink = collected
        names = Names(sink)
        for entry in entries:
            names.note(entry)
        names.finish()
        return [(n.code, n.path) for n in collected.finish("test").notes]


def test_names_are_judged_alike_for_every_format(tmp_path: Path) -> None:
    plain = [
        Entry(path=".", kind=Kind.DIR),
        Entry(path="bin", kind=Kind.DIR),
        Entry(path="./bin", kind=Kind.DIR),
        Entry(path="bin/..hidden", kind=Kind.FILE),
        Entry(path="etc/mtab", kind=Kind.SYMLINK, link="/proc/mounts"),
        Entry(path="usr/lib/libc.so", kind=Kind.SYMLINK, link="../../lib/libc.so.6"),
        Entry(path="dev/mtd0", kind=Kind.CHAR, rdev=(90, 0)),
        Entry(path="a\\b", kind=Kind.FILE),
    ]
    assert _notes(plain, tmp_path) == []
    assert _notes([Entry(path="a/../../b", kind=Kind.FILE)], tmp_path) == [("path-traversal", "a/../../b")]
    assert _notes([Entry(path="b", raw=b"/b", kind=Kind.FILE)], tmp_path) == [("path-traversal", "b")]
    assert _notes([Entry(path="a/l", kind=Kind.SYMLINK, link="../../x")], tmp_path) == [("link-escape", "a/l")]
    assert _notes([Entry(path="l", kind=Kind.SYMLINK, link="/../x")], tmp_path) == [("link-escape", "l")]
    assert _notes([Entry(path="h", kind=Kind.HARDLINK, link="../x")], tmp_path) == [("link-escape", "h")]
    assert _notes([Entry(path="a/l", kind=Kind.SYMLINK, link="l/x")], tmp_path) == [("link-loop", "a/l")]
    assert _notes(list(_hops(3)), tmp_path) == [("link-loop", "l0")]
    assert _notes([Entry(path="x", kind=Kind.FILE)] * 2, tmp_path) == [("duplicate-name", "x")]
    assert _notes([Entry(path="mtd", kind=Kind.BLOCK)], tmp_path) == [("device-node", "mtd")]
    assert _notes([Entry(path="", kind=Kind.FILE)], tmp_path) == [("odd-name", "")]
    behind = [Entry(path="l", kind=Kind.SYMLINK, link="/etc"), Entry(path="l/passwd", kind=Kind.FILE)]
    assert _notes(behind, tmp_path) == [("path-traversal", "l/passwd")]


def _firmware(*names: str) -> list[Path]:
    found = [path for name in names for path in sorted(FIRMWARE.glob(name))]
    if not found:
        pytest.skip(f"no firmware samples {names} beside the checkout")
    return found


def test_real_opkg_packages_read_to_the_last_file() -> None:
    for path in _firmware("ipk/*.ipk"):
        outer = read("gzip", path.read_bytes())
        assert unread(outer) == 0
        package = assert_like_tarfile(outer.contents["content"])
        for part in ("./control.tar.gz", "./data.tar.gz"):
            assert_like_tarfile(read("gzip", package.contents[part]).contents["content"])
        assert package.contents["./debian-binary"] == b"2.0\n"


def test_a_real_debian_package_reads_to_the_last_file() -> None:
    for path in _firmware("formats/patool__test.deb"):
        package = read("ar", path.read_bytes())
        assert package.dissection.properties["title"] == "Debian package"
        assert unread(package) == 0
        for name in ("control.tar.xz", "data.tar.xz"):
            assert_like_tarfile(read("xz", package.contents[name]).contents["content"])


def test_real_xz_images_decode_whole() -> None:
    for path in _firmware("formats/generic_fs__minix.img.xz", "formats/generic_fs__mbr.img.xz"):
        got = read("xz", path.read_bytes())
        assert got.dissection.contents[0].complete
        assert unread(got) == 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gzip", "gzip"), ("bzip2", "bzip2"), ("xz", "xz"), ("lzma", "lzma"), ("lzo", "lzop"), ("lz4", "lz4-legacy")],
)
def test_a_real_kernel_is_found_inside_its_image(name: str, kind: str) -> None:
    """All six are one kernel (of about 1.2 MB) behind the same loader of 17,001 bytes; its size follows the stream."""
    for path in _firmware(f"formats/linuxkernel__bzImage_{name}"):
        data = path.read_bytes()

        extent = readers()[kind].probe(View(data), 17_001)

        assert extent is not None
        assert extent.sure
        got = read(kind, data[17_001 : 17_001 + extent.length])
        (content,) = got.dissection.contents
        size = data[17_001 + extent.length - 4 : 17_001 + extent.length + 4]
        assert content.length.to_bytes(4, "little") in size
