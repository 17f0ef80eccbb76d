"""Samples of cramfs in both byte orders, built here, and images by mkfs.cramfs."""

from __future__ import annotations

import struct
import tempfile
import zlib
from functools import cache
from pathlib import Path

from tests.formats.case import Case
from tests.formats.disk_tools import plant, run, tool

LARGE = bytes(range(256)) * 40 + bytes(4096) + b"tail"
DIR, FILE, LINK, CHAR = 0o40755, 0o100644, 0o120777, 0o20600


def inode(big: bool, mode: int, size: int, name: int, offset: int) -> bytes:
    if big:
        return struct.pack(">III", mode << 16 | 1, size << 8 | 2, name << 26 | offset // 4)
    return struct.pack("<III", 1 << 16 | mode, 2 << 24 | size, offset // 4 << 6 | name)


def stored(big: bool, at: int, data: bytes, block: int = 4096) -> bytes:
    """A file's block pointers and blocks, for offset ``at``; a block of zeros is a hole."""
    pieces = [data[i : i + block] for i in range(0, len(data), block)]
    packed = [zlib.compress(p) if p.strip(b"\0") else b"" for p in pieces]
    end, table = at + 4 * len(packed), b""
    for piece in packed:
        end += len(piece)
        table += struct.pack(">I" if big else "<I", end)
    raw = table + b"".join(packed)
    return raw + bytes(-len(raw) % 4)


def build(
    big: bool = False, *, pad: int = 0, flags: int = 3, block: int = 4096, loop: bool = False,
    names: tuple[bytes, ...] = (b"a", b"d", b"l"), signature: bytes = b"Compressed ROMFS",
    size_of_a: int = len(LARGE),
) -> bytes:  # fmt: skip
    """root: a (large, with a hole), d (with i: the same content), l, null."""
    root_at = pad + 76
    root_size = sum(12 + (len(n) + 3 & ~3) for n in (*names, b"null"))
    sub_at = root_at + root_size
    data_at = sub_at + 16
    large = stored(big, data_at, LARGE, block)
    link_at = data_at + len(large)
    link = stored(big, link_at, b"d/i", block)
    places = {0: (FILE, size_of_a, data_at), 1: (DIR, 16, root_at if loop else sub_at), 2: (LINK, 3, link_at)}
    body = b""
    for i, name in enumerate(names):
        length = len(name) + 3 & ~3
        body += inode(big, places[i][0], places[i][1], length // 4, places[i][2]) + name.ljust(length, b"\0")
    body += inode(big, CHAR, 1 << 8 | 3, 1, 0) + b"null"
    body += inode(big, FILE, len(LARGE), 1, data_at) + b"i\0\0\0" + large + link
    order = ">" if big else "<"
    size = root_at + len(body)

    def head(crc: int) -> bytes:
        fields = struct.pack(order + "IIII", 0x28CD3D45, size, flags, 0) + signature
        fields += struct.pack(order + "IIII", crc, 0, 9, 6) + b"volume".ljust(16, b"\0")
        return fields + inode(big, DIR, root_size, 0, root_at)

    return bytes(pad) + head(zlib.crc32(head(0) + body)) + body


def _spoilt() -> bytes:
    data = bytearray(build())
    data[-20] ^= 0xFF
    return bytes(data)


@cache
def mkcramfs(options: str) -> bytes:
    program = tool("mkfs.cramfs", "util-linux-extra")
    with tempfile.TemporaryDirectory() as work:
        plant(Path(work) / "tree", special=False)
        run(program, *options.split(), Path(work) / "tree", Path(work) / "image")
        return (Path(work) / "image").read_bytes()


TREE = {"a": LARGE, "d/i": LARGE}
NULL = frozenset({"device-node"})
CASES = [
    Case("cramfs", "positive", "little", build, tree=TREE, notes=NULL),
    Case("cramfs", "positive", "big", lambda: build(True), tree=TREE, notes=NULL),
    Case("cramfs", "positive", "padded", lambda: build(pad=512), tree=TREE, notes=NULL),
    Case("cramfs", "positive", "blocks-of-8192", lambda: build(True, block=8192), tree=TREE, notes=NULL),
    Case("cramfs", "positive", "version-1", lambda: build(flags=0), tree=TREE, notes=NULL),
    Case("cramfs", "positive", "mkfs", lambda: mkcramfs("-N big"), tree={"tiny": b"hello\n", "empty": b""}),
    Case("cramfs", "negative", "zeros", lambda: bytes(512)),
    Case("cramfs", "negative", "magic-alone", lambda: b"\x45\x3d\xcd\x28" + bytes(200)),
    Case("cramfs", "malformed", "crc", _spoilt, notes=frozenset({"checksum", "malformed"})),
    Case("cramfs", "malformed", "cut", lambda: build()[:400], notes=frozenset({"truncated"})),
    Case(
        "cramfs",
        "malformed",
        "other-signature",
        lambda: build(signature=b"vendor's own one"),
        notes=frozenset({"malformed"}),
    ),
    Case("cramfs", "malformed", "loop", lambda: build(loop=True), notes=frozenset({"loop"})),
    Case(
        "cramfs", "malformed", "slash", lambda: build(names=(b"../a", b"d", b"l")), notes=frozenset({"path-traversal"})
    ),
    Case("cramfs", "malformed", "twice", lambda: build(names=(b"a", b"a", b"l")), notes=frozenset({"duplicate-name"})),
    Case("cramfs", "malformed", "size-16-MiB", lambda: build(size_of_a=0xFFFFFF), notes=frozenset({"malformed"})),
]
