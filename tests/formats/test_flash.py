"""The flash file systems against images made by their own tools, real images and hostile ones."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from banbury.formats.contract import Reader
from banbury.formats.readers.jffs2 import Jffs2
from banbury.formats.readers.ubi import Ubi
from banbury.formats.readers.ubifs import Ubifs
from banbury.formats.readers.yaffs import Yaffs
from banbury.formats.testing import Read, read_bytes
from banbury.formats.view import View
from banbury.model.tree import Kind, Role
from tests.formats.cases import jffs2 as jffs2_cases
from tests.formats.cases import ubi as ubi_cases
from tests.formats.cases import ubifs as ubifs_cases
from tests.formats.cases import yaffs as yaffs_cases

FIRMWARE = Path(__file__).resolve().parents[2] / ".." / "shared" / "firmware" / "formats"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
SMALL_FILES = 2000


def tool(*command: str | Path, stdin: str | None = None) -> None:
    """Run one of mtd-utils' tools; skip, saying so, where it is not installed."""
    program = shutil.which(str(command[0]), path=PATH)
    if program is None:
        pytest.skip(f"NOT TESTED: {command[0]} (mtd-utils) is not installed")
    subprocess.run([program, *map(str, command[1:])], check=True, capture_output=True, text=True, input=stdin)


def fill(root: Path) -> None:
    rng = random.Random(1)

    def write(path: str, data: bytes, mode: int = 0o644) -> None:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(mode)

    write("bin/busybox", rng.randbytes(1000) * 200, 0o4755)
    write("etc/passwd", b"root:x:0:0\n")
    write("etc/empty", b"")
    write("etc/random", rng.randbytes(70_001))
    write("etc/" + "n" * 240, b"long")
    write("etc/text", b"".join(b"line %d of text\n" % n for n in range(20_000)))
    write("etc/zeros", bytes(40_000) + b"x" + bytes(9000))
    for number in range(SMALL_FILES):
        write(f"many/{number % 7}/f{number}", b"%d\n" % number * (number % 50))
    (root / "emptydir").mkdir()
    (root / "emptydir").chmod(0o1777)
    (root / "bin/sh").symlink_to("busybox")
    (root / "etc/link").symlink_to("/etc/passwd")
    os.link(root / "etc/passwd", root / "etc/passwd2")
    os.link(root / "etc/passwd", root / "a passwd")
    with (root / "etc/sparse").open("wb") as file:
        file.seek(300_000)
        file.write(b"end")
        file.truncate(400_000)
    (root / "dev").mkdir()
    os.mkfifo(root / "dev/fifo")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("flash") / "root"
    root.mkdir()
    fill(root)
    return root


def walk(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            yield Path(folder, name)


KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIR,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
}


def assert_same(read: Read | None, root: Path, devices: dict[str, tuple[Kind, int, int]]) -> None:
    """The members are exactly the files under ``root`` and ``devices``: names, kinds, modes, times, links, content."""
    assert read is not None
    assert read.dissection.error == ""
    entries = {e.path: e for e in read.dissection.entries}
    assert len(entries) == len(read.dissection.entries)
    paths = {str(p.relative_to(root)): p for p in walk(root)}
    assert set(entries) == set(paths) | set(devices)
    inodes: dict[int, set[int]] = {}
    for name, path in paths.items():
        entry, there = entries[name], path.lstat()
        kind = KINDS[stat.S_IFMT(there.st_mode)]
        assert (Kind.FILE if entry.kind is Kind.HARDLINK else entry.kind) is kind, name
        assert (entry.mode, entry.mtime) == (there.st_mode & 0o7777, int(there.st_mtime)), name
        assert (entry.uid, entry.gid) == (there.st_uid, there.st_gid), name
        inodes.setdefault(there.st_ino, set()).add(entry.inode)
        if kind is Kind.FILE:
            assert entry.size == there.st_size
            assert read.contents[name] == path.read_bytes(), name
        elif kind is Kind.SYMLINK:
            assert entry.link == os.readlink(path)
    assert all(len(found) == 1 for found in inodes.values())
    for name, (kind, major, minor) in devices.items():
        assert (entries[name].kind, entries[name].rdev) == (kind, (major, minor))
    assert all(c.ok for c in read.dissection.checks)
    assert not [r for r in read.dissection.regions if r.role is Role.UNREAD]


DEVICES = {"dev/console": (Kind.CHAR, 5, 1), "dev/mtdblock3": (Kind.BLOCK, 31, 3)}
DEVTABLE = "/dev/console c 600 0 0 5 1 0 0 -\n/dev/mtdblock3 b 640 0 0 31 3 0 0 -\n"


@pytest.fixture(scope="module")
def devtable(source: Path) -> Path:
    table = source.parent / "devices"
    table.write_text(DEVTABLE)
    return table


@pytest.mark.parametrize(
    ("name", "options", "compressors"),
    [
        ("zlib", ("-l", "-e", "64KiB"), "none, rtime, zlib"),
        ("big", ("-b", "-e", "128KiB", "-p"), "none, rtime, zlib"),
        ("rtime", ("-l", "-x", "zlib", "-n", "-e", "16KiB"), "none, rtime"),
        ("lzo", ("-b", "-X", "lzo", "-y", "90:lzo", "-x", "zlib"), "none, rtime, lzo"),
        ("none", ("-l", "-m", "none"), "none"),
    ],
)
def test_jffs2_from_mkfs(source: Path, devtable: Path, name: str, options: tuple[str, ...], compressors: str) -> None:
    image = source.parent / f"{name}.jffs2"
    tool("mkfs.jffs2", "-d", source, "-D", devtable, "-o", image, *options)
    read = read_bytes(Jffs2(), image.read_bytes())
    assert_same(read, source, DEVICES)
    assert read is not None
    assert not read.dissection.notes
    assert read.dissection.properties["compressors"] == compressors


def test_jffs2_summary(source: Path, devtable: Path) -> None:
    plain, image = source.parent / "plain.jffs2", source.parent / "summary.jffs2"
    tool("mkfs.jffs2", "-l", "-d", source, "-D", devtable, "-o", plain)
    tool("sumtool", "-l", "-p", "-i", plain, "-o", image)
    data = image.read_bytes()
    read = read_bytes(Jffs2(), data)
    assert_same(read, source, DEVICES)
    assert read is not None
    assert not read.dissection.notes


@pytest.mark.parametrize(("listed", "hidden"), [(4, False), (3, True)])
def test_jffs2_node_left_out_of_summary(listed: int, hidden: bool) -> None:
    """Linux mounts by the summary where there is one: a node that it leaves out appears after a full scan alone."""
    image = jffs2_cases.Image()
    image.clean()
    nodes = [image.dirent(1, 2, b"file"), image.inode(2, b"content")]
    nodes += [image.inode(9, b"backdoor"), image.dirent(1, 9, b"later")]
    image.summary(nodes[:listed])
    read = read_bytes(Jffs2(), image.done())
    assert read is not None
    assert read.contents == {"file": b"content", "later": b"backdoor"}
    assert {n.code for n in read.dissection.notes} == ({"hidden"} if hidden else set())
    assert not [r for r in read.dissection.regions if r.role is Role.UNREAD]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lzo", ("-m", "2048", "-e", "126976", "-c", "200", "-x", "lzo")),
        ("zlib", ("-m", "512", "-e", "15872", "-c", "2000", "-x", "zlib")),
        ("zstd", ("-m", "8", "-e", "65408", "-c", "2000", "-x", "zstd")),
        ("none", ("-m", "2048", "-e", "126976", "-c", "200", "-x", "none")),
    ],
)
def test_ubifs_from_mkfs(source: Path, devtable: Path, name: str, options: tuple[str, ...]) -> None:
    image = source.parent / f"{name}.ubifs"
    tool("mkfs.ubifs", "-r", source, "-D", devtable, "-o", image, *options)
    data = image.read_bytes()
    read = read_bytes(Ubifs(), data)
    assert_same(read, source, DEVICES)
    assert read is not None
    assert not read.dissection.notes
    # With the index lost, a scan of every node finds the same tree.
    leb = int(read.dissection.properties["LEB size"])
    blind = bytearray(data)
    blind[leb : 3 * leb] = b"\xff" * (2 * leb)
    scanned = read_bytes(Ubifs(), bytes(blind))
    assert scanned is not None
    assert {n.code for n in scanned.dissection.notes} >= {"malformed"}
    assert scanned.contents == read.contents


def test_ubi_from_ubinize(source: Path) -> None:
    image, kernel = source.parent / "image.ubi", random.Random(2).randbytes(300_000)
    root = random.Random(3).randbytes(129024 * 3)
    (source.parent / "kernel").write_bytes(kernel)
    (source.parent / "rootfs").write_bytes(root)
    (source.parent / "ubi.ini").write_text(
        f"[a]\nmode=ubi\nimage={source.parent}/rootfs\nvol_id=0\nvol_type=dynamic\nvol_name=rootfs\nvol_size=1MiB\n"
        f"vol_flags=autoresize\n[b]\nmode=ubi\nimage={source.parent}/kernel\nvol_id=5\nvol_type=static\n"
        "vol_name=kernel\nvol_size=1MiB\n[c]\nmode=ubi\nvol_id=7\nvol_type=dynamic\nvol_name=data\nvol_size=128KiB\n"
    )
    tool("ubinize", "-o", image, "-m", "2048", "-p", "128KiB", "-s", "512", source.parent / "ubi.ini")
    read = read_bytes(Ubi(), image.read_bytes())
    assert read is not None
    assert read.contents == {"rootfs": root, "kernel": kernel, "data": b""}
    assert all(c.ok for c in read.dissection.checks)
    assert not read.dissection.notes
    assert not [r for r in read.dissection.regions if r.role is Role.UNREAD]


FILES = {"testfile1": 62, "testfile2": 28, "generic folder/test file 3_.txt": 20}


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        (Jffs2(), "jffs2__jffs2_be.img"),
        (Jffs2(), "jffs2__jffs2_le.img"),
        (Ubifs(), "ubi__test.ubifs"),
        (Yaffs(), "yaffs__yaffs2_be.img"),
        (Yaffs(), "yaffs__yaffs2_le.img"),
    ],
)
def test_real_images(reader: Reader, name: str) -> None:
    if not (FIRMWARE / name).exists():
        pytest.skip(f"NOT TESTED: {name} is not here")
    data = (FIRMWARE / name).read_bytes()
    read = read_bytes(reader, data)
    assert read is not None
    assert {path: len(content) for path, content in read.contents.items()} == FILES
    assert read.contents["generic folder/test file 3_.txt"] == b"The third test file!"
    assert read.dissection.size == len(data)
    assert not read.dissection.notes
    assert not [r for r in read.dissection.regions if r.role is Role.UNREAD]


def test_real_ubi_holds_the_real_ubifs() -> None:
    if not (FIRMWARE / "ubi__ubi.img").exists():
        pytest.skip("NOT TESTED: ubi__ubi.img is not here")
    read = read_bytes(Ubi(), (FIRMWARE / "ubi__ubi.img").read_bytes())
    assert read is not None
    assert read.contents == {"rootfs": (FIRMWARE / "ubi__test.ubifs").read_bytes()}
    assert not read.dissection.notes


def test_jffs2_extent_ends_before_what_follows() -> None:
    """Behind erased flash may stand another file system, told apart by numbers used again; other data end it too."""
    first, _ = jffs2_cases.plain()
    second, _ = jffs2_cases.overwritten()
    for follows in (second, b"something else" * 100):
        whole = first + b"\xff" * jffs2_cases.BLOCK + follows
        extent = Jffs2().probe(View(whole), 0)
        assert extent is not None
        assert extent.length == len(first)
        assert extent.sure
    # Rubbish left by an erase that was cut off is passed over.
    image = jffs2_cases.Image()
    image.clean()
    image.dirent(1, 2, b"file")
    image.data += b"rubbish!" * 100
    image.inode(2, b"content")
    read = read_bytes(Jffs2(), image.done())
    assert read is not None
    assert read.contents == {"file": b"content"}


def test_ubi_extent_ends_before_what_follows() -> None:
    """The eraseblock size is not mistaken for a multiple of it that would reach into what follows."""
    data = ubi_cases.plain()
    for follows in (b"something else" * 10_000, b"\xff" * 100_000, ubi_cases.counter(image=99).ljust(4096) * 9):
        extent = Ubi().probe(View(b"before" + data + follows), 6)
        assert extent is not None
        assert extent.length == len(data)


def test_jffs2_overlaps_match_a_plain_replay() -> None:
    """Nodes of random places and versions give what writing them one after another gives."""
    rng = random.Random(5)
    for _ in range(20):
        writes = [(rng.randrange(3000), rng.randbytes(rng.randrange(1, 900))) for _ in range(40)]
        size = rng.randrange(4000)
        expected = bytearray(5000)
        for offset, data in writes:
            expected[offset : offset + len(data)] = data
        image = jffs2_cases.Image()
        image.dirent(1, 2, b"file")
        nodes = list(enumerate(writes, 1))
        rng.shuffle(nodes)
        for version, (offset, data) in nodes:
            image.inode(2, data, version=version, offset=offset, compr=rng.choice((0, 2, 6, 7, 8)))
        image.inode(2, version=100, size=size)
        read = read_bytes(Jffs2(), image.done())
        assert read is not None
        assert read.contents["file"] == expected[:size]


def test_jffs2_hostile() -> None:
    image = jffs2_cases.Image()
    image.clean()
    for parent, ino in ((1, 2), (2, 3), (3, 2), (3, 1)):
        image.dirent(parent, ino, b"d%d" % ino, 4)
        image.inode(ino, mode=jffs2_cases.DIRECTORY)
    image.dirent(1, 4, b"huge")
    image.inode(4, b"x", size=(1 << 32) - 1)
    image.dirent(1, 5, b"bomb")
    image.inode(5, packed=b"", dsize=(1 << 32) - 1, size=(1 << 32) - 1, compr=1)
    image.dirent(1, 6, b"rubin")
    image.inode(6, b"x", compr=0, packed=b"??", dsize=4096)
    image.dirent(1, 7, b"last version", version=(1 << 32) - 1)
    image.inode(7, b"wins", version=(1 << 32) - 1)
    image.inode(7, b"loses", version=0)
    image.node(0xE0FF, b"a future node")
    read = read_bytes(Jffs2(), image.done())
    assert read is not None
    assert read.dissection.error == ""
    assert read.contents["last version"] == b"wins"
    codes = {n.code for n in read.dissection.notes}
    assert codes >= {"loop", "sparse", "malformed", "unsupported", "hidden"}
    assert sum(map(len, read.contents.values())) < 70 << 20


def test_jffs2_attributes() -> None:
    """Attributes by reference; one reference deleted, one attribute that nothing refers to."""
    image = jffs2_cases.Image(big=True)
    image.dirent(1, 2, b"file")
    image.inode(2, b"x")
    image.attribute(1, 1, b"note", b"hello")
    image.attribute(2, 2, b"capability", b"\1\2\3")
    image.attribute(3, 5, b"unused", b"secret")
    image.attach(2, 1)
    image.attach(2, 2)
    image.attach(2, 3, sequence=2)
    image.attach(2, 3, sequence=3)
    read = read_bytes(Jffs2(), image.done())
    assert read is not None
    assert read.dissection.entries[0].xattrs == {"user.note": b"hello", "security.capability": b"\1\2\3"}
    assert {n.code for n in read.dissection.notes} == {"hidden"}


def test_ubifs_index_that_repeats_itself() -> None:
    """An index that leads to one node over and over is given up, and the nodes are scanned instead."""
    image, files = ubifs_cases.base()
    image.leaves += [leaf for leaf in image.leaves if leaf[3] > 4000] * 100
    image.finish(*image.commit(fanout=200))
    read = read_bytes(Ubifs(), image.done())
    assert read is not None
    assert read.contents == files
    assert {"malformed"} <= {n.code for n in read.dissection.notes}


def _nested(count: int) -> bytes:
    """Nodes nested in one another, each packed as far as it goes."""
    image = jffs2_cases.Image()
    image.dirent(1, 2, b"file")
    size = 1 << 16
    for n in range(count):
        image.inode(2, bytes(size - 2 * (n % 30_000)), version=n, offset=n % 30_000, compr=6 if n % 100 == 0 else 1)
    return image.done()


def _spread(data: bytes, leb: int, count: int) -> bytes:
    """A UBIFS whose properties tree and last LEB are full of magics."""
    return data[: 11 * leb] + (b"\x31\x18\x10\x06" * (count * 8))[:leb]


def _directories(count: int) -> bytes:
    """Directories each in the one before."""
    image = yaffs_cases.Image(512, 16)
    for n in range(count):
        image.header(257 + n, 256 + n if n else 1, b"d" * 200, yaffs_cases.DIRECTORY)
    return bytes(image.data)


def _attributes(count: int) -> bytes:
    """One large attribute on every file."""
    image = jffs2_cases.Image()
    image.attribute(1, 1, b"large", bytes(60_000))
    for n in range(2, count // 4):
        image.dirent(1, n, b"%d" % n)
        image.inode(n)
        image.attach(n, 1)
    return image.done()


def _copies(count: int) -> bytes:
    """Copies of one LEB, each stating data up to the end of the image and beyond."""
    copies = b"".join(ubi_cases.peb(0, 0, b"x", copy=1, sequence=n, stated=(1 << 32) - 1) for n in range(count))
    return ubi_cases.layout(ubi_cases.table((0, "rootfs", 9, 1))) + copies


def _shrinking(count: int) -> bytes:
    """A file written in full and then shrunk again and again, by nothing."""
    image = yaffs_cases.Image(512, 16)
    image.file(257, 1, b"file", bytes(512 * (count // 2)))
    for _ in range(count // 2):
        image.header(257, 1, b"file", yaffs_cases.FILE, size=1 << 30, shrinks=1)
    return bytes(image.data)


HOSTILE: dict[str, tuple[Reader, Callable[[int], bytes]]] = {
    "jffs2 nested": (Jffs2(), _nested),
    "jffs2 magics": (Jffs2(), lambda n: jffs2_cases.plain()[0][:4096] + b"\x85\x19" * (n * 20)),
    "jffs2 attributes": (Jffs2(), _attributes),
    "ubifs magics": (Ubifs(), lambda n: _spread(ubifs_cases.plain()[0], ubifs_cases.LEB, n)),
    "ubi magics": (Ubi(), lambda n: ubi_cases.plain() + ubi_cases.counter() * n),
    "ubi copies": (Ubi(), lambda n: _copies(n // 4)),
    "yaffs directories": (Yaffs(), _directories),
    "yaffs shrinking": (Yaffs(), _shrinking),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_costs_linear_time(name: str) -> None:
    """Four times the input takes about four times the time, not sixteen times."""
    reader, make = HOSTILE[name]
    times = []
    for count in (2000, 8000):
        data = make(count)
        start = time.process_time()
        read_bytes(reader, data)
        times.append(time.process_time() - start)
    assert times[1] < 10 * times[0] + 0.5
    assert times[1] < 5
