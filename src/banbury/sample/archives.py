"""Small writers of the containers that the sample is made of; all little-endian where the format leaves a choice.

Written from the formats' descriptions: cpio "newc" (Linux Documentation/driver-api/early-userspace/buffer-format.rst),
JFFS2 (Woodhouse, "JFFS: The Journalling Flash File System", and Linux include/uapi/linux/jffs2.h), uImage (U-Boot
include/image.h), TRX (OpenWrt package/system/mtd/src/trx.c).
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Sequence

from banbury.sample.tree import NodeKind, Tree, TreeNode, with_parents

_TYPE_BITS = {NodeKind.FILE: 0o100000, NodeKind.DIR: 0o040000, NodeKind.SYMLINK: 0o120000, NodeKind.CHAR: 0o020000}
_DT = {NodeKind.FILE: 8, NodeKind.DIR: 4, NodeKind.SYMLINK: 10, NodeKind.CHAR: 2}


def cpio_newc(entries: Sequence[tuple[str, TreeNode]]) -> bytes:
    """A cpio archive of the entries, names exactly as given."""
    out = bytearray()
    for inode, (name, node) in enumerate([*entries, ("TRAILER!!!", TreeNode(kind=NodeKind.FILE, mode=0))], 1):
        data = node.link.encode() if node.kind is NodeKind.SYMLINK else node.data
        mode = _TYPE_BITS[node.kind] | node.mode if name != "TRAILER!!!" else 0
        number = inode if name != "TRAILER!!!" else 0
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *node.rdev, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out + bytes(-len(out) % 512))


def lzma_alone(data: bytes) -> bytes:
    """The data as raw LZMA with the 13-byte header that boot loaders read, with its size stated."""
    packed = lzma.compress(data, lzma.FORMAT_ALONE, preset=9)
    # liblzma writes "unknown size" and an end mark; vendors' tools write the size as well.
    return packed[:5] + struct.pack("<Q", len(data)) + packed[13:]


def uimage(payload: bytes, name: str, *, load: int, architecture: int) -> bytes:
    """An LZMA-compressed Linux kernel behind the legacy U-Boot header. ``architecture`` is an IH_ARCH number."""
    fields = [0x27051956, 0, 0, len(payload), load, load, zlib.crc32(payload), 5, architecture, 2, 3]
    fmt = struct.Struct(">7I4B32s")
    fields[1] = zlib.crc32(fmt.pack(*fields, name.encode()))
    return fmt.pack(*fields, name.encode()) + payload


def trx(parts: Sequence[bytes], align: int = 65536) -> bytes:
    """A TRX version 1 image: 28-byte header, up to three parts, each but the first on a multiple of ``align``."""
    body = bytearray(28)
    offsets: list[int] = []
    for part in parts:
        if offsets:
            body += bytes(-len(body) % align)
        offsets.append(len(body))
        body += part
    body += bytes(-len(body) % 4096)
    struct.pack_into("<4sIIHH3I", body, 0, b"HDR0", len(body), 0, 0, 1, *offsets, *[0] * (3 - len(offsets)))
    # The checksum is CRC-32 without its final inversion, from the flags on.
    struct.pack_into("<I", body, 8, zlib.crc32(body[12:]) ^ 0xFFFFFFFF)
    return bytes(body)


def jffs2(tree: Tree, erase_block: int = 65536) -> bytes:
    """A JFFS2 file system of the tree: zlib-compressed nodes, one clean marker an erase block, erased space 0xFF."""
    flash = _Flash(erase_block)
    inodes = {"": 1}
    for number, (path, node) in enumerate(with_parents(tree).items(), 2):
        above, _, name = path.rpartition("/")
        inodes[path] = number
        flash.dirent(inodes[above], number, number, node, name.encode())
        data = node.link.encode() if node.kind is NodeKind.SYMLINK else node.data
        pieces = [data[i : i + 4096] for i in range(0, len(data), 4096)] or [b""]
        for index, piece in enumerate(pieces):
            flash.inode(number, index + 1, node, len(data), index * 4096, piece)
    return flash.done()


class _Flash:
    """Appends nodes; none crosses an erase block."""

    def __init__(self, erase_block: int) -> None:
        self._block = erase_block
        self._out = bytearray()

    def dirent(self, parent: int, version: int, inode: int, node: TreeNode, name: bytes) -> None:
        total = 40 + len(name)
        fields = struct.pack("<IIII BB2x", parent, version, inode, 0, len(name), _DT[node.kind])
        head = self._head(0xE001, total) + fields
        self._append(head + _crc(head[:32]) + _crc(name) + name)

    def inode(self, inode: int, version: int, node: TreeNode, size: int, at: int, piece: bytes) -> None:
        packed = zlib.compress(piece, 9)
        method = 6
        if len(packed) >= len(piece):
            packed, method = piece, 0
        fields = struct.pack(
            "<III HH IIII III BBH",
            *(inode, version, _TYPE_BITS[node.kind] | node.mode, 0, 0, size, 0, 0, 0),
            *(at, len(packed), len(piece), method, 0, 0),
        )
        head = self._head(0xE002, 68 + len(packed)) + fields
        self._append(head + _crc(packed) + _crc(head) + packed)

    def done(self) -> bytes:
        self._out += b"\xff" * (-len(self._out) % self._block)
        return bytes(self._out)

    def _head(self, kind: int, total: int) -> bytes:
        head = struct.pack("<HHI", 0x1985, kind, total)
        return head + _crc(head)

    def _append(self, record: bytes) -> None:
        record += b"\xff" * (-len(record) % 4)
        room = -len(self._out) % self._block
        if room < len(record):
            self._out += b"\xff" * room
            marker = struct.pack("<HHI", 0x1985, 0x2003, 12)
            self._out += marker + _crc(marker)
        self._out += record


def _crc(data: bytes) -> bytes:
    """JFFS2's checksum: CRC-32 that starts from 0 and is not inverted at the end."""
    return struct.pack("<I", zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF)
