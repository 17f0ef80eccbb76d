"""UBIFS images built node by node: superblock, master, log, index and journal."""

from __future__ import annotations

import struct
import zlib

import lzallright
import zstandard

from tests.formats.case import Case

LEB = 32768
LOG, LPT, ORPHANS, MAIN = 3, 5, 6, 7
INO, DATA, DENT, XENT, TRUN, PAD, SB, MST, REF, IDX, CS = range(11)
REGULAR, DIRECTORY, SYMLINK, CHAR = 0o100644, 0o040755, 0o120777, 0o020600
TEXT = b"".join(b"line %d of a text that packs well\n" % n for n in range(300))


def deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


PACK = {
    0: lambda d: d,
    1: lambda d: lzallright.LZOCompressor().compress(d),
    2: deflate,
    3: lambda d: zstandard.ZstdCompressor().compress(d),
}


def key(inum: int, kind: int, rest: int = 0) -> bytes:
    return struct.pack("<II", inum, kind << 29 | rest)


class Image:
    """Nodes go to a LEB of the main area; those put in with ``index`` set are what the last commit knows."""

    def __init__(self, lebs: int = 12) -> None:
        self.lebs = [bytearray() for _ in range(lebs)]
        self.sequence = 0
        self.leaves: list[tuple[bytes, int, int, int]] = []
        self.leb = MAIN
        self.commits = 1

    def node(self, kind: int, body: bytes, leb: int | None = None, group: int = 0) -> tuple[int, int, int]:
        """Append a node; returns LEB, offset and length."""
        self.sequence += 1
        where = self.leb if leb is None else leb
        rest = struct.pack("<QIBB2x", self.sequence, 24 + len(body), kind, group) + body
        data = struct.pack("<II", 0x06101831, zlib.crc32(rest) ^ 0xFFFFFFFF) + rest
        offset = len(self.lebs[where])
        self.lebs[where] += data + bytes(-len(data) % 8)
        return where, offset, len(data)

    def leaf(self, name: bytes, kind: int, body: bytes, index: bool, group: int = 0) -> None:
        at = self.node(kind, name.ljust(16, b"\0") + body, group=group)
        if index:
            self.leaves.append((name, *at))

    def inode(
        self,
        inum: int,
        mode: int,
        size: int = 0,
        data: bytes = b"",
        *,
        links: int = 1,
        flags: int = 0,
        index: bool = True,
        group: int = 0,
    ) -> None:
        body = struct.pack("<QQqqqIII", 1, size, 1000, 1000, 1234, 0, 0, 0)
        body += struct.pack("<IIIIIIII", links, 10, 20, mode, flags, len(data), 0, 0) + bytes(4)
        body += struct.pack("<IH26x", 0, 0)
        assert len(body) == 120
        self.leaf(key(inum, INO), INO, body + data, index, group)

    def name(
        self, parent: int, name: bytes, inum: int, kind: int = DENT, *, index: bool = True, group: int = 0
    ) -> None:
        body = struct.pack("<QxBHI", inum, 0, len(name), 0) + name + b"\0"
        self.leaf(key(parent, kind, zlib.crc32(name) & 0xFFFFFF), kind, body, index, group)

    def data(self, inum: int, block: int, data: bytes, compr: int = 0, *, index: bool = True) -> None:
        body = struct.pack("<IHH", len(data), compr, 0) + PACK[compr](data)
        self.leaf(key(inum, DATA, block), DATA, body, index)

    def file(self, parent: int, name: bytes, inum: int, data: bytes, compr: int = 0, *, index: bool = True) -> None:
        self.inode(inum, REGULAR, len(data), index=index)
        self.name(parent, name, inum, index=index)
        for block in range(-(-len(data) // 4096)):
            self.data(inum, block, data[block * 4096 : block * 4096 + 4096], compr, index=index)

    def commit(self, fanout: int = 8) -> tuple[tuple[int, int, int], int]:
        """Write the index over what was put in so far; returns its root and size."""
        level = [(name, *at) for name, *at in sorted(self.leaves, key=lambda leaf: struct.unpack("<II", leaf[0]))]
        size = depth = 0
        while depth == 0 or len(level) > 1:
            above = []
            for first in range(0, len(level), fanout):
                group = level[first : first + fanout]
                body = struct.pack("<HH", len(group), depth)
                body += b"".join(struct.pack("<III", *at) + name for name, *at in group)
                where = self.node(IDX, body)
                size += -(-where[2] // 8) * 8
                above.append((group[0][0], *where))
            level, depth = above, depth + 1
        return (level[0][1], level[0][2], level[0][3]), size

    def journal(self) -> None:
        """What follows is written to the next LEB and known to the log alone."""
        self.leb += 1
        self.node(REF, struct.pack("<III28x", self.leb, 0, 1), LOG)

    def finish(self, root: tuple[int, int, int], size: int, flags: int = 0) -> None:
        """Superblock, masters and commit start; call it straight after ``commit``."""
        body = struct.pack("<2xBBIIIIIQ", 0, 0, 0, 8, LEB, len(self.lebs), 100, 1 << 20)
        body += struct.pack("<IIIIIIIH2xIIQI16sI", 2, 1, 1, 1, 8, 256, 4, 0, 0, 0, 0, 1, b"0123456789abcdef", 0)
        self.node(SB, body.ljust(4096 - 24, b"\0"), 0)
        for leb in (1, 2):
            body = struct.pack("<QQIIIIIIIIQ", 100, self.commits, flags, LOG, *root, 0, 0, 0, size)
            self.node(MST, body.ljust(512 - 24, b"\0"), leb)
        self.node(CS, struct.pack("<Q", self.commits), LOG)

    def done(self) -> bytes:
        assert max(map(len, self.lebs)) <= LEB
        self.lebs[LPT] += b"\x12\x34 tree of properties"
        return b"".join(bytes(leb).ljust(LEB, b"\xff") for leb in self.lebs)


def base() -> tuple[Image, dict[str, bytes]]:
    image = Image()
    image.inode(1, DIRECTORY, links=2)
    image.inode(2, DIRECTORY, links=2)
    image.name(1, b"etc", 2)
    files: dict[str, bytes] = {}
    for compr, name in {0: "none", 1: "lzo", 2: "zlib", 3: "zstd"}.items():
        image.file(2, name.encode(), 10 + compr, TEXT, compr)
        files[f"etc/{name}"] = TEXT
    image.inode(3, SYMLINK, 8, b"etc/none")
    image.name(1, b"link", 3)
    image.inode(4, DIRECTORY, links=2)
    image.name(1, b"dev", 4)
    image.inode(5, CHAR, 0, struct.pack("<I", 0x0501))
    image.name(4, b"console", 5)
    image.inode(6, REGULAR, 9000, links=2)
    image.name(1, b"hole", 6)
    image.name(1, b"hole too", 6)
    image.data(6, 1, b"x" * 4096)
    image.name(6, b"user.note", 7, XENT)
    image.inode(7, REGULAR, 5, b"hello", flags=0x20)
    hole = bytes(4096) + b"x" * 4096 + bytes(808)
    return image, files | {"hole": hole, "hole too": hole}


def plain() -> tuple[bytes, dict[str, bytes]]:
    image, files = base()
    image.finish(*image.commit())
    return image.done(), files


def unclean() -> tuple[bytes, dict[str, bytes]]:
    """After the commit: a new file, one deleted, one cut short, one half written, a group that was cut off."""
    image, files = base()
    image.finish(*image.commit(), flags=1)
    image.journal()
    image.file(2, b"new", 20, b"from the journal", index=False)
    image.name(2, b"lzo", 0, index=False)
    image.inode(11, REGULAR, 0, links=0, index=False)
    image.node(TRUN, struct.pack("<I12xQQ", 10, len(TEXT), 5000))
    image.data(10, 1, TEXT[4096:5000], index=False)
    image.inode(10, REGULAR, 5000, index=False)
    image.data(12, 3, b"y" * 100, index=False)
    image.name(1, b"gone", 21, index=False, group=1)
    grown = TEXT + bytes(3 * 4096 - len(TEXT)) + b"y" * 100
    del files["etc/lzo"]
    return image.done(), files | {"etc/new": b"from the journal", "etc/none": TEXT[:5000], "etc/zlib": grown}


def broken_index() -> bytes:
    data = bytearray(plain()[0])
    image, _ = base()
    (leb, offset, _), _ = image.commit()
    data[leb * LEB + offset + 40] ^= 1
    return bytes(data)


def looped() -> bytes:
    """An index whose root is its own child."""
    image, _ = base()
    where, offset, length = image.leb, len(image.lebs[image.leb]), 28 + 2 * 20
    branch = struct.pack("<III", where, offset, length) + key(1, INO)
    image.node(IDX, struct.pack("<HH", 2, 1) + branch * 2)
    image.finish((where, offset, length), length + 4)
    return image.done()


def huge() -> bytes:
    """A file that states a tebibyte, beside one that is well."""
    image, _ = base()
    image.inode(30, REGULAR, 1 << 40)
    image.name(1, b"huge", 30)
    image.data(30, (1 << 28) - 1, b"end")
    image.finish(*image.commit())
    return image.done()


def lost_block() -> bytes:
    """A file whose only block is damaged, and that the journal cuts short."""
    image, _ = base()
    image.file(2, b"one", 40, b"z" * 4000)
    image.finish(*image.commit(), flags=1)
    image.journal()
    image.node(TRUN, struct.pack("<I12xQQ", 40, 4000, 3000))
    return image.done().replace(b"z" * 4000, b"z" * 3999 + b"y")


CASES = [
    Case("ubifs", "positive", "clean", lambda: plain()[0], plain()[1]),
    Case("ubifs", "positive", "unclean", lambda: unclean()[0], unclean()[1], frozenset({"hidden"})),
    Case("ubifs", "negative", "no superblock", lambda: plain()[0][LEB:]),
    Case("ubifs", "malformed", "broken index", broken_index, notes=frozenset({"malformed"})),
    Case("ubifs", "malformed", "index loop", looped, notes=frozenset({"malformed"})),
    Case("ubifs", "malformed", "lost block", lost_block, notes=frozenset({"checksum", "malformed"})),
    Case("ubifs", "malformed", "huge", huge, notes=frozenset({"sparse", "malformed"})),
]
