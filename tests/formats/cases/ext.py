"""Samples of ext2/3/4: a small ext2 built here field by field, its hostile variants, and images by mke2fs."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.formats.case import Case
from tests.formats.disk_tools import plant, run, tool

BLOCK, BLOCKS, INODES = 1024, 128, 32
TABLE, FIRST = 5, 12  # block of the inode table; first block given out
LARGE = bytes(range(256)) * 64  # 16 blocks: needs the indirect block
TREE = {"a": b"alpha" * 300, "large": LARGE, "dir/inner": b"inner\n"}


class Builder:
    """An ext2 file system of 128 blocks of 1 KiB in one group."""

    def __init__(self) -> None:
        self.image = bytearray(BLOCK * BLOCKS)
        self.next = FIRST
        self.last = 0  # replaces the length of the root directory's last entry
        self.inodes = set(range(1, 11))

    def blocks(self, data: bytes) -> list[int]:
        count = -(-len(data) // BLOCK)
        out = list(range(self.next, self.next + count))
        self.next += count
        self.image[out[0] * BLOCK : out[0] * BLOCK + len(data)] = data
        return out

    def inode(self, number: int, mode: int, size: int, mapping: bytes, links: int = 1, flags: int = 0) -> None:
        self.inodes.add(number)
        sectors = 0 if not any(mapping) or mode >> 12 == 10 else 2
        record = struct.pack(
            "<HHIIIIIHHIII60sIII", mode, 10, size & 0xFFFFFFFF, 1, 1, 1_500_000_000, 0, 20, links, sectors, flags, 0,
            mapping.ljust(60, b"\0"), 0, 0, size >> 32,
        )  # fmt: skip
        at = TABLE * BLOCK + (number - 1) * 128
        self.image[at : at + len(record)] = record

    def file(self, number: int, data: bytes, links: int = 1) -> None:
        blocks = self.blocks(data)
        direct, rest = blocks[:12], blocks[12:]
        mapping = struct.pack(f"<{len(direct)}I", *direct).ljust(48, b"\0")
        if rest:
            mapping += struct.pack("<I", self.blocks(struct.pack(f"<{len(rest)}I", *rest).ljust(BLOCK, b"\0"))[0])
        self.inode(number, 0o100644, len(data), mapping, links)

    def directory(self, number: int, parent: int, names: list[tuple[bytes, int]], last: int = 0) -> int:
        """Returns its block. ``last`` replaces the last entry's length."""
        names = [(b".", number), (b"..", parent), *names]
        data = b""
        for i, (name, child) in enumerate(names):
            length = 8 + (len(name) + 3 & ~3)
            if i == len(names) - 1:
                length = last if last else BLOCK - len(data)
            data += struct.pack("<IHBB", child, length, len(name), 0) + name.ljust(length - 8, b"\0")
        block = self.blocks(data[:BLOCK])[0]
        self.inode(number, 0o40755, BLOCK, struct.pack("<I", block), 2)
        return block

    def finish(self) -> bytes:
        free = BLOCKS - self.next
        super_block = struct.pack(
            "<13I6H4I2HI2H3I", INODES, BLOCKS, 0, free, INODES - len(self.inodes), 1, 0, 0, 8192, 8192, INODES, 0, 0,
            0, 20, 0xEF53, 1, 1, 0, 0, 0, 0, 1, 0, 0, 11, 128, 0, 0, 0, 0,
        )  # fmt: skip
        self.image[1024 : 1024 + len(super_block)] = super_block
        self.image[2048 : 2048 + 18] = struct.pack("<IIIHHH", 3, 4, TABLE, free, INODES - len(self.inodes), 2)
        bits = (1 << self.next - 1) - 1 | ((1 << 8192) - 1) ^ ((1 << BLOCKS - 1) - 1)
        self.image[3 * BLOCK : 4 * BLOCK] = bits.to_bytes(BLOCK, "little")
        used = sum(1 << n - 1 for n in self.inodes) | ((1 << 8192) - 1) ^ ((1 << INODES) - 1)
        self.image[4 * BLOCK : 5 * BLOCK] = used.to_bytes(BLOCK, "little")
        return bytes(self.image)


def build(spoil: Callable[[Builder], None] | None = None, names: tuple[tuple[bytes, int], ...] = ()) -> bytes:
    """The sample: three files, a hard link, links, a device. Blocks 9 to 11 are free for ``spoil`` to use."""
    b = Builder()
    b.next = 9
    b.blocks(bytes(3 * BLOCK))
    b.file(12, TREE["a"], links=2)
    b.file(13, LARGE)
    b.file(14, TREE["dir/inner"])
    b.directory(15, 2, [(b"inner", 14), (b"again", 12)])
    b.inode(16, 0o120777, 5, b"dir/x")
    b.inode(17, 0o20666, 0, struct.pack("<I", 1 << 8 | 3))
    root = [(b"a", 12), (b"large", 13), (b"dir", 15), (b"link", 16), (b"dev-null", 17), *names]
    if spoil:
        spoil(b)
    b.directory(2, 2, root, last=b.last)
    return b.finish()


def _whole() -> bytes:
    return build()


def _no_gap(data: bytes) -> bytes:
    """The three spare blocks marked as what they are: free."""
    image = bytearray(data)
    image[3 * BLOCK + 1] &= ~0b111 & 0xFF
    struct.pack_into("<I", image, 1024 + 12, struct.unpack_from("<I", image, 1024 + 12)[0] + 3)
    return bytes(image)


def sample() -> bytes:
    return _no_gap(_whole())


def _cycle(b: Builder) -> None:
    """An extent tree whose index block names itself."""
    b.image[9 * BLOCK : 9 * BLOCK + 24] = struct.pack("<HHHHIIIHH", 0xF30A, 1, 84, 1, 0, 0, 9, 0, 0)
    b.inode(18, 0o100644, 99999, struct.pack("<HHHHIIIHH", 0xF30A, 1, 4, 2, 0, 0, 9, 0, 0), flags=0x80000)


def _deep(b: Builder) -> None:
    b.inode(18, 0o100644, 99999, struct.pack("<HHHHIIIHH", 0xF30A, 1, 4, 900, 0, 0, 9, 0, 0), flags=0x80000)


def _indirect_cycle(b: Builder) -> None:
    """A triple indirect block all of whose pointers name itself."""
    b.image[9 * BLOCK : 10 * BLOCK] = struct.pack("<I", 9) * 256
    b.inode(18, 0o100644, 1 << 40, b"\0" * 56 + struct.pack("<I", 9))


def _huge(b: Builder) -> None:
    b.inode(18, 0o100644, 1 << 60, struct.pack("<I", 9))


def _outside(b: Builder) -> None:
    b.inode(18, 0o100644, 3000, struct.pack("<III", 9, 0xFFFFFFF0, 10))


def _shared(b: Builder) -> None:
    b.inode(18, 0o100644, 900, struct.pack("<I", 12))


def _hidden_free(b: Builder) -> None:
    b.image[10 * BLOCK : 10 * BLOCK + 7] = b"secrets"


def _unnamed(b: Builder) -> None:
    b.image[10 * BLOCK : 10 * BLOCK + 7] = b"secrets"
    b.inode(18, 0o100600, 7, struct.pack("<I", 10))


def _no_length(b: Builder) -> None:
    b.last = 4


def _patch(at: int, data: bytes) -> Callable[[], bytes]:
    def make() -> bytes:
        image = bytearray(sample())
        image[at : at + len(data)] = data
        return bytes(image)

    return make


def _bad(
    name: str, spoil: Callable[[Builder], None] | None, *notes: str, names: tuple[tuple[bytes, int], ...] = ()
) -> Case:
    return Case("ext", "malformed", name, lambda: build(spoil, names), notes=frozenset(notes))


@cache
def mke2fs(options: str, size: str = "2M") -> bytes:
    """An image made by mke2fs from the planted tree."""
    program = tool("mke2fs", "e2fsprogs")
    with tempfile.TemporaryDirectory() as work:
        root, image = Path(work) / "tree", Path(work) / "image"
        plant(root)
        run(program, "-q", "-F", "-d", root, *options.split(), image, size)
        return image.read_bytes()


X = (b"x", 18)
CASES = [
    Case(
        "ext", "positive", "ext2-built", sample, tree={**TREE, "dir/again": TREE["a"]}, notes=frozenset({"device-node"})
    ),
    Case(
        "ext", "positive", "ext4-mke2fs", lambda: mke2fs("-t ext4 -b 1024 -O ^has_journal"), tree={"tiny": b"hello\n"}
    ),
    Case("ext", "negative", "zeros", lambda: bytes(8192)),
    Case("ext", "negative", "magic-alone", lambda: bytes(1080) + b"\x53\xef\1\0\1\0" + bytes(9000)),
    Case("ext", "negative", "copy-of-superblock", _patch(1024 + 0x5A, b"\1\0")),
    Case("ext", "negative", "root-is-a-file", _patch(TABLE * BLOCK + 128, b"\xa4\x81")),
    Case("ext", "negative", "groups-contradict", _patch(1024, b"\x99")),
    _bad("extent-cycle", _cycle, "malformed", names=(X,)),
    _bad("extent-depth", _deep, "malformed", names=(X,)),
    _bad("indirect-cycle", _indirect_cycle, "malformed", names=(X,)),
    _bad("size-2^60", _huge, "sparse", "malformed", names=(X,)),
    _bad("block-outside", _outside, "malformed", names=(X,)),
    _bad("two-files-one-block", _shared, "overlap", names=(X,)),
    _bad("data-in-free-block", _hidden_free, "hidden"),
    _bad("inode-without-name", _unnamed, "hidden"),
    _bad("entry-of-4-bytes", _no_length, "malformed"),
    _bad("directory-loop", None, "loop", names=((b"up", 2),)),
    _bad("directory-twice", None, "loop", names=((b"dir2", 15),)),
    _bad("slash-in-name", None, "odd-name", "path-traversal", names=((b"../../etc/passwd", 12),)),
    _bad("nul-in-name", None, "odd-name", names=((b"a\0b", 12),)),
    _bad("duplicate-name", None, "duplicate-name", names=((b"a", 14),)),
    _bad("no-such-inode", None, "malformed", names=((b"x", 4000),)),
    Case("ext", "malformed", "cut", lambda: sample()[: 20 * BLOCK], notes=frozenset({"truncated"})),
    Case("ext", "malformed", "boot-block", _patch(5, b"x"), notes=frozenset({"hidden"})),
]
