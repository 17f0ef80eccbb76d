"""SquashFS beyond the common samples: mksquashfs and unsquashfs as judges, real images, hostile ones."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from banbury.formats.readers.squashfs import READERS
from banbury.formats.sink import Budget
from banbury.formats.testing import Read, read_bytes
from banbury.formats.view import View
from banbury.model.tree import Kind, Role
from tests.formats.cases import squashfs as cases
from tests.formats.squashfs_writer import MTIME, Node, Squash, tree
from tests.formats.test_readers import assert_partition

READER = READERS[0]
FIRMWARE = Path(__file__).resolve().parents[2] / ".." / "shared" / "firmware"
SMALL = Budget(output=64 << 20, entries=20_000)


def _read(data: bytes, budget: Budget = SMALL) -> Read:
    read = read_bytes(READER, data, budget)
    assert read is not None
    assert_partition(read)
    return read


def _codes(read: Read) -> set[str]:
    return {n.code for n in read.dissection.notes}


def _firmware(name: str) -> bytes:
    path = FIRMWARE / name
    if not path.exists():
        pytest.skip(f"{name} is not beside this checkout: the reader is not tried on it")
    return path.read_bytes()


def _tool(name: str) -> str:
    tool = shutil.which(name)
    if tool is None:
        pytest.skip(f"{name} is not installed: the reader is not compared with it")
    return tool


def _unsquash(image: bytes, folder: Path) -> dict[str, bytes]:
    """Every regular file as unsquashfs extracts it."""
    (folder / "image").write_bytes(image)
    out = folder / "out"
    # As another user than root it extracts everything but devices, and complains of those.
    subprocess.run([_tool("unsquashfs"), "-n", "-d", out, folder / "image"], check=False, capture_output=True)
    found = {}
    for path in out.rglob("*"):
        if path.is_file() and not path.is_symlink():
            found[str(path.relative_to(out))] = path.read_bytes()
    return found


def _plain(read: Read) -> dict[str, bytes]:
    kinds = {e.path: e.kind for e in read.dissection.entries}
    return {path: data for path, data in read.contents.items() if kinds[path] in (Kind.FILE, Kind.HARDLINK)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with all that mksquashfs treats in a way of its own."""
    root = tmp_path_factory.mktemp("source")
    cases.fill(root)
    rng = random.Random(11)
    many = root / "many"
    many.mkdir()
    for i in range(1200):  # a listing of more than 64 KiB, in several headers
        (many / f"entry-{i:05}-{'n' * 45}").write_bytes(b"%d" % i)
    (root / "twice").write_bytes(rng.randbytes(140_000))
    shutil.copy(root / "twice", root / "again")
    os.link(root / "twice", root / "twice-linked")
    with open(root / "holes", "wb") as out:
        out.truncate(700_000)
        out.seek(300_000)
        out.write(b"middle")
    deep = root.joinpath("deep", *("d" * 30))
    deep.mkdir(parents=True)
    (deep / "end").write_bytes(b"here")
    os.chmod(root / "bin/busybox", 0o4755)
    try:
        os.setxattr(root / "etc/passwd", "user.note", b"short")
        for name in ("copy", "twice"):
            os.setxattr(root / name, "user.large", b"the same long value " * 40)
    except OSError:
        pass  # the file system here has no user attributes; then there are none to compare
    return root


PSEUDO = """dev d 755 0 0
dev/console c 600 0 0 5 1
dev/sda300 b 660 1 2 8 300
dev/pipe i 644 3 4 f
dev/socket i 644 3 4 s
"""


@pytest.mark.parametrize(
    "options",
    [
        ["-comp", "gzip", "-b", "4096"],
        ["-comp", "xz", "-b", "1M", "-Xbcj", "x86,arm", "-always-use-fragments"],
        ["-comp", "lzo", "-noI", "-noX"],
        ["-comp", "lz4", "-no-fragments"],
        ["-comp", "zstd", "-noD", "-noF", "-no-exports"],
        ["-noI", "-noD", "-noF", "-noX", "-noId", "-nopad"],
    ],
    ids=" ".join,
)
def test_reads_what_mksquashfs_wrote(options: list[str], source: Path, tmp_path: Path) -> None:
    pseudo = tmp_path / "pseudo"
    pseudo.write_text(PSEUDO)
    image = tmp_path / "image"
    command = [
        _tool("mksquashfs"),
        source,
        image,
        "-pf",
        pseudo,
        "-quiet",
        "-no-progress",
        "-processors",
        "1",
        *options,
    ]
    subprocess.run(command, check=True, capture_output=True)
    data = image.read_bytes()
    read = _read(data)
    entries = {e.path: e for e in read.dissection.entries}
    for path in source.rglob("*"):
        entry, status = entries.pop(str(path.relative_to(source))), path.lstat()
        assert (entry.mode, entry.mtime) == (stat.S_IMODE(status.st_mode), int(status.st_mtime))
        assert (entry.uid, entry.gid) == (status.st_uid, status.st_gid)
        names = os.listxattr(path, follow_symlinks=False)
        assert entry.xattrs == {n: os.getxattr(path, n, follow_symlinks=False) for n in names}
        if path.is_symlink():
            assert (entry.kind, entry.link) == (Kind.SYMLINK, os.readlink(path))
        elif path.is_dir():
            assert entry.kind is Kind.DIR
        else:
            assert read.contents[entry.path] == path.read_bytes()
            assert entry.size == status.st_size
    assert sorted((e.path, e.kind, e.mode, e.uid, e.gid, e.rdev) for e in entries.values()) == [
        ("dev", Kind.DIR, 0o755, 0, 0, None),
        ("dev/console", Kind.CHAR, 0o600, 0, 0, (5, 1)),
        ("dev/pipe", Kind.FIFO, 0o644, 3, 4, None),
        ("dev/sda300", Kind.BLOCK, 0o660, 1, 2, (8, 300)),
        ("dev/socket", Kind.SOCKET, 0o644, 3, 4, None),
    ]
    linked = {e.path: e for e in read.dissection.entries if e.path in ("twice", "twice-linked")}
    assert {e.kind for e in linked.values()} == {Kind.FILE, Kind.HARDLINK}
    assert len({e.inode for e in linked.values()}) == 1
    assert all(c.ok for c in read.dissection.checks)
    assert not _codes(read)
    assert not [r for r in read.dissection.regions if r.role is Role.UNREAD]
    assert _plain(read) == _unsquash(data, tmp_path)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("big", [False, True], ids=["le", "be"])
def test_agrees_with_unsquashfs_on_old_versions(version: int, big: bool, tmp_path: Path) -> None:
    """The layouts are the field's, not only this project's: unsquashfs reads the same from the same bytes."""
    image = cases.old(version, big, not big, 12)
    found = _plain(_read(image))
    assert found == cases.files(cases.sample(version))
    assert found == _unsquash(image, tmp_path)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_attributes(version: int) -> None:
    entries = {e.path: e for e in _read(cases.old(version, True, False, 12)).dissection.entries}
    assert (entries["bin/sh"].mode, entries["bin/sh"].mtime) == (0o4755, MTIME)
    assert (entries["etc/shadow"].mode, entries["etc/shadow"].uid, entries["etc/shadow"].gid) == (0o600, 5, 6)
    assert (entries["bin/ash"].kind, entries["bin/ash"].link) == (Kind.SYMLINK, "sh")
    assert (entries["dev/null"].kind, entries["dev/null"].rdev) == (Kind.CHAR, (1, 3))
    assert (entries["dev/sda"].kind, entries["dev/sda"].rdev) == (Kind.BLOCK, (8, 0))
    assert (entries["pipe"].kind, entries["pipe"].uid) == (Kind.FIFO, 20)
    assert entries["dev/log"].kind is Kind.SOCKET


@pytest.mark.parametrize("at", range(len(cases.VENDORS)), ids=[v[0] for v in cases.VENDORS])
def test_names_the_compressor_that_a_vendor_used(at: int) -> None:
    assert _read(cases.vendor(at)).dissection.properties["compressor"] == cases.VENDORS[at][0]


def test_large_uids_of_1x_spread_over_inode_types() -> None:
    nodes = {f"f{i:02}": Node(data=b"x", owner=(100 + i, 100 + i)) for i in range(40)}
    owners = {e.path: e.uid for e in _read(Squash(tree(**nodes), 1).build()).dissection.entries}
    assert owners == {f"f{i:02}": 100 + i for i in range(40)}


def test_extent_ends_with_the_padding_of_its_maker() -> None:
    bare = Squash(tree(a=b"content")).build()
    fill = -len(bare) % 4096

    def length(tail: bytes) -> int:
        extent = READER.probe(View(b"JUNK" + bare + tail), 4)
        assert extent is not None
        assert extent.sure
        return extent.length

    assert length(b"") == len(bare)
    assert length(bytes(fill) + b"next") == len(bare) + fill
    assert length(b"\xff" * fill) == len(bare) + fill
    assert length(bytes(fill - 1) + b"next") == -(-len(bare) // 1024) * 1024
    assert length(b"next" + bytes(fill)) == len(bare)


def test_a_damaged_block_costs_only_its_file() -> None:
    good = {f"f{i}": cases._text(9000, i) for i in range(5)}
    image = bytearray(Squash(tree(**good), fragments=False).build())
    whole = _read(bytes(image))
    third = next(i for i, e in enumerate(whole.dissection.entries) if e.path == "f2")
    block = next(r for r in whole.dissection.regions if r.member == third)
    image[block.start + 20 : block.start + 30] = bytes(10)
    read = _read(bytes(image))
    assert {p: d for p, d in read.contents.items() if p != "f2"} == {p: d for p, d in good.items() if p != "f2"}
    assert [read.dissection.entries[c.member].path for c in read.dissection.contents if not c.complete] == ["f2"]
    assert [(n.code, n.path) for n in read.dissection.notes] == [("malformed", "f2")]
    assert [r.role for r in read.dissection.regions if r.start == block.start] == [Role.UNREAD]


def test_a_damaged_listing_costs_only_its_subtree() -> None:
    root = tree(a=tree(x=b"1"), b=tree(y=b"2"), c=tree(z=b"3"))
    root.children[1][1].bend = {"start": 5000}
    read = _read(Squash(root, plain_meta=True).build())
    assert read.contents == {"a/x": b"1", "c/z": b"3"}
    assert [n.path for n in read.dissection.notes if n.code in ("malformed", "truncated")] == ["b"]
    assert not all(c.ok for c in read.dissection.checks)


def test_bytes_nothing_refers_to_stay_unread() -> None:
    data = cases._hidden()
    read = _read(data)
    start = data.index(b"smuggled")
    assert [(n.start, n.end) for n in read.dissection.notes if n.code == "hidden"] == [(start, start + 320)]
    assert [(r.start, r.end) for r in read.dissection.regions if r.role is Role.UNREAD] == [(start, start + 320)]


def test_bytes_behind_a_blocks_stream_are_noted() -> None:
    def pack(data: bytes) -> bytes:
        return zlib.compress(data) + (b"tail" if len(data) == 4096 else b"")

    read = _read(Squash(tree(a=cases._text(4096)), pack=pack).build())
    assert read.contents["a"] == cases._text(4096)
    assert [n.end - n.start for n in read.dissection.notes if n.code == "hidden"] == [4]


def test_mixed_compressors() -> None:
    """Each block keeps the smaller result in some vendors' images."""

    def pack(data: bytes) -> bytes:
        return cases.xz(data) if len(data) > 4000 else zlib.compress(data)

    want = {"a": cases._text(9000), "b": cases._text(700)}
    read = _read(Squash(tree(**want), 3, pack=pack).build())
    assert read.contents == want
    assert read.dissection.properties["compressor"] == "gzip, xz"


def test_loops_and_diamonds_end() -> None:
    read = _read(cases._looped())
    assert [e.path for e in read.dissection.entries] == ["a", "d", "d/up", "d/self"]
    top = tree(x=b"1")
    for _ in range(30):  # 2^30 paths
        top = Node("dir", children=[(b"l", top), (b"r", Node("dir", same=top))])
    read = _read(Squash(top).build())
    assert len(read.dissection.entries) == 61
    assert "loop" in _codes(read)


class _Bent(Squash):
    """Files with the bend ``words`` get a block list of that many holes."""

    def _content(self, node: Node) -> dict[str, int]:
        rest = super()._content(node)
        self.words += [0] * node.bend.get("words", 0)
        return rest


def test_endless_holes_are_not_written() -> None:
    hole = Node(large=True, bend={"size": 1 << 60, "words": 200_000})
    read = _read(_Bent(tree(a=b"before", hole=hole, z=b"after"), log=20).build(), Budget())
    assert {"sparse", "malformed"} <= _codes(read)
    assert (read.contents["a"], read.contents["z"]) == (b"before", b"after")
    assert len(read.contents["hole"]) <= 40 << 20


def test_decoding_for_nothing_is_bounded() -> None:
    """Thousands of files of one byte, each in another large fragment than the last."""
    names = [(b"f%02d" % i, Node(data=bytes([i + 1]) * ((1 << 20) - 1))) for i in range(48)]
    names += [(b"g%05d" % i, Node(bend={"size": 1, "fragment": i % 48, "offset": 9})) for i in range(15_000)]

    image = Squash(Node("dir", children=names, large=True), log=20, pack=lambda d: zlib.compress(d, 1)).build()
    begin = time.process_time()
    read = _read(image)
    assert read.dissection.error
    assert time.process_time() - begin < 10


def test_deep_trees_end() -> None:
    node = tree(x=b"1")
    for _ in range(400):
        node = Node("dir", children=[(b"d" * 200, node)])
    read = _read(Squash(node).build())
    assert max(len(e.path) for e in read.dissection.entries) < 9000
    assert "malformed" in _codes(read)


def test_mutated_metadata_never_escapes_the_contract() -> None:
    bases = [
        Squash(cases.sample(v), v, big=big, plain_meta=True).build() for v in (1, 2, 3, 4) for big in (False, True)
    ]
    rng = random.Random(12)
    for _ in range(600):
        mutant = bytearray(rng.choice(bases))
        for _ in range(rng.choice((1, 1, 2, 8, 32))):
            at = rng.randrange(len(mutant) - 1500, len(mutant)) if rng.random() < 0.8 else rng.randrange(4, 128)
            mutant[at] = rng.choice((0, 255, rng.randrange(256)))
        read = read_bytes(READER, bytes(mutant), SMALL)
        if read is not None:
            assert_partition(read)


@pytest.mark.parametrize(
    ("name", "start", "files"),
    [("mr3020-demtech.bin", 0x10B1DC, 411), ("mr3020-viktor.bin", 0x100598, 654)],
)
def test_real_root_file_systems_match_unsquashfs(name: str, start: int, files: int, tmp_path: Path) -> None:
    data = _firmware(f"openwrt-mr3020/{name}")
    extent = READER.probe(View(data), start)
    assert extent is not None
    assert extent.sure
    image = data[start : start + extent.length]
    read = _read(image)
    assert _plain(read) == _unsquash(image, tmp_path)
    assert sum(e.kind is Kind.FILE for e in read.dissection.entries) == files
    assert not _codes(read)
    assert all(c.ok for c in read.dissection.checks)
    assert not [r for r in read.dissection.regions if r.role is Role.UNREAD]


def test_a_vendors_lzma_of_2009_that_unsquashfs_cannot_read() -> None:
    """Content is judged by what it must be: programs ELF or scripts, pictures with their magic, pages text."""
    read = _read(_firmware("formats/squashfs_v2.bin"))
    entries = read.dissection.entries
    assert sum(e.kind is not Kind.DIR for e in entries) == 402
    assert all(c.complete for c in read.dissection.contents)
    assert all(len(read.contents[e.path]) == e.size for e in entries if e.kind is Kind.FILE)
    programs = [d for p, d in read.contents.items() if p.split("/")[0] in ("bin", "sbin", "lib") and len(d) > 4096]
    assert len(programs) > 30
    assert all(d[:6] == b"\x7fELF\x01\x02" or d[:2] == b"#!" for d in programs)
    for end, head in ((".gif", b"GIF8"), (".jpg", b"\xff\xd8")):
        assert all(d.startswith(head) for p, d in read.contents.items() if p.endswith(end))
    pages = [d for p, d in read.contents.items() if p.endswith((".html", ".htm", ".js", ".sh", ".conf"))]
    assert pages
    assert all(d.isascii() and b"\0" not in d for d in pages)
    assert read.dissection.properties["compressor"] == "lzma (properties)"
    assert not _codes(read)
    assert not [r for r in read.dissection.regions if r.role is Role.UNREAD]


def test_blocks_in_no_known_compression_still_give_the_tree() -> None:
    """Encrypted contents behind readable metadata: every name is listed, and one readable file is read."""
    rng = random.Random(13)

    def pack(data: bytes) -> bytes:
        return zlib.compress(data) if data.startswith(b"plain") else rng.randbytes(len(data) // 2)

    nodes = {f"f{i:03}": cases._text(4096, i) for i in range(100)} | {"z": b"plain" * 800}
    read = _read(Squash(tree(**nodes), 3, plain_meta=True, pack=pack).build())
    assert len(read.dissection.entries) == 101
    assert [read.dissection.entries[c.member].path for c in read.dissection.contents if c.complete] == ["z"]
    assert read.contents["z"] == b"plain" * 800
