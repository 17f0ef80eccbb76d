"""JFFS2 file systems (Linux, include/uapi/linux/jffs2.h), little- or big-endian."""

from __future__ import annotations

import struct
import zlib

from banbury.compare.corpus.trees import KIND_BITS, Node, Tree

_DT = {"file": 8, "dir": 4, "symlink": 10, "char": 2}


def crc(raw: bytes) -> int:
    """JFFS2's checksum: CRC-32 from 0, not inverted."""
    return zlib.crc32(raw, 0xFFFFFFFF) ^ 0xFFFFFFFF


class Flash:
    """Appends nodes, none across an erase block; ``done`` gives the image."""

    def __init__(self, *, big: bool = False, block: int = 65536, first: int = 1) -> None:
        self.order, self.block = ">" if big else "<", block
        self.out = bytearray()
        self.inodes = {"": 1}
        self.first = first
        self.version = 0

    def _pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.order + layout, *values)

    def _head(self, kind: int, total: int, magic: int = 0x1985) -> bytes:
        raw = self._pack("HHI", magic, kind, total)
        return raw + self._pack("I", crc(raw))

    def marker(self) -> None:
        self.out += self._head(0x2003, 12)

    def _append(self, raw: bytes) -> int:
        raw += b"\xff" * (-len(raw) % 4)
        room = -len(self.out) % self.block
        if room and room < len(raw):
            self.out += b"\xff" * room
        if len(self.out) % self.block == 0:
            self.marker()
        at = len(self.out)
        self.out += raw
        return at

    def name(self, path: str, inode: int, kind: str = "file", mtime: int = 0) -> int:
        """A name; inode 0 deletes it. Returns where it stands."""
        above, _, leaf = path.rpartition("/")
        raw = leaf.encode()
        self.version += 1
        head = self._head(0xE001, 40 + len(raw))
        head += self._pack("IIII", self.inodes[above], self.version, inode, mtime) + bytes(
            (len(raw), _DT[kind] if inode else 0, 0, 0)
        )
        return self._append(head + self._pack("II", crc(head), crc(raw)) + raw)

    def content(
        self, inode: int, node: Node, *, version: int = 1, at: int = 0, piece: bytes | None = None, packed: bool = True
    ) -> int:
        """A node of an inode's content."""
        data = node.data if node.kind != "symlink" else node.link.encode()
        if node.kind == "char":
            data = self._pack("H", node.rdev[0] << 8 | node.rdev[1])
        raw = data if piece is None else piece
        store, method = raw, 0
        if packed and len(zlib.compress(raw, 9)) < len(raw):
            store, method = zlib.compress(raw, 9), 6
        head = self._head(0xE002, 68 + len(store))
        head += self._pack("III", inode, version, KIND_BITS[node.kind] | node.mode) + self._pack(
            "HH", node.uid, node.gid
        )
        size = len(data) if node.kind != "dir" else 0
        head += self._pack("IIII", size, node.mtime, node.mtime, node.mtime)
        head += self._pack("III", at, len(store), len(raw)) + bytes((method, 0)) + self._pack("H", 0)
        return self._append(head + self._pack("II", crc(store), crc(head)) + store)

    def add(self, path: str, node: Node, *, version: int = 1, packed: bool = True, piece: int = 4096) -> int:
        """A path with its content; returns its inode."""
        inode = self.first + len(self.inodes)
        self.inodes[path] = inode
        self.name(path, inode, node.kind, node.mtime)
        data = node.data if node.kind == "file" else b""
        for index, start in enumerate(range(0, max(len(data), 1), piece)):
            self.content(
                inode,
                node,
                version=version + index,
                at=start,
                piece=data[start : start + piece] if data else None,
                packed=packed,
            )
        return inode

    def attribute(
        self, path: str, number: int, name: bytes, value: bytes, *, prefix: int = 5, rounded: bool = True
    ) -> None:
        """An extended attribute of a path (``prefix`` 5: ``trusted.``): its node, and the reference to it. ``rounded``:
        the node's length is a multiple of four, as Linux asks (fs/jffs2/scan.c)."""
        raw = name + b"\0" + value
        size = 32 + len(raw)
        head = self._head(0xE008, size + 3 & ~3 if rounded else size) + self._pack("II", number, 1)
        head += bytes((prefix, len(name))) + self._pack("H", len(value)) + self._pack("I", crc(raw))
        self._append(head + self._pack("I", crc(head)) + raw)
        head = self._head(0xE009, 28) + self._pack("III", self.inodes[path], number, 0)
        self._append(head + self._pack("I", crc(head)))

    def done(self, blocks: int = 1) -> bytes:
        self.out += b"\xff" * (max(blocks * self.block, len(self.out) + -len(self.out) % self.block) - len(self.out))
        return bytes(self.out)


def write(
    tree: Tree,
    *,
    big: bool = False,
    first: int = 1,
    start: int = 0,
    packed: bool = True,
    blocks: int = 1,
    piece: int = 4096,
) -> bytes:
    """A file system of the tree; ``start``: the version counter's start."""
    flash = Flash(big=big, first=first)
    flash.version = start
    for path, node in tree.items():
        flash.add(path, node, packed=packed, piece=piece)
    return flash.done(blocks)
