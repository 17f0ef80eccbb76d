"""A UBIFS as a file system: inodes, names and content from the nodes that are current.

Source: Linux fs/ubifs/{ubifs-media.h,file.c,xattr.c,compress.c}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from banbury.formats.codecs import block as unpack_block
from banbury.formats.contract import Sink, clean_name
from banbury.formats.readers._flash import Holes, Inode, device, kind_of
from banbury.formats.readers._ubifs_index import Current
from banbury.formats.readers._ubifs_nodes import BLOCK, DATA, DATA_NODE, FIXED, INO, INODE, Node
from banbury.formats.view import Buffer
from banbury.model.errors import Malformed
from banbury.model.tree import Kind

_ROOT: Final = 1
_CODECS: Final = {1: "lzo", 2: "deflate", 3: "zstd"}
_INODE_ENCRYPTED: Final = 0x40


def _decode(compressor: int, data: Buffer, size: int) -> Buffer:
    """The content of one data node, which states ``size`` bytes."""
    if compressor == 0:
        return data
    codec = _CODECS.get(compressor)
    if codec is None:
        raise Malformed(f"unsupported compressor {compressor}")
    return _unzstd(data, size) if codec == "zstd" else unpack_block(codec, data, size)


def _unzstd(data: Buffer, size: int) -> bytes:
    import zstandard

    try:
        if zstandard.frame_content_size(data) == size:
            # The frame states its size, as all do that Linux writes: one call will do, and is bounded.
            out: bytes = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
            return out
    except zstandard.ZstdError as problem:
        raise Malformed(f"zstd: {problem}") from problem
    return unpack_block("zstd", data, size)


class Tree:
    """The current nodes as a file system. ``used`` are the positions of the nodes that its members are made of."""

    root = _ROOT

    def __init__(self, current: Current, sink: Sink, unclean: bool) -> None:
        self.view = current.view
        self.current = current
        self.sink = sink
        self.unclean = unclean
        self.used: dict[int, int] = {}
        self.encrypted = 0
        self.lost = 0
        self.compressors: set[int] = set()
        self._known: dict[int, Inode | None] = {}
        self._holes = Holes(sink, len(current.view))

    def names(self, ino: int) -> Iterable[tuple[bytes, int]]:
        return [(raw, name.inum) for raw, name in self.current.names.get(ino, {}).items()]

    def inode(self, ino: int) -> Inode | None:
        if ino not in self._known:
            node = self.current.inodes.get(ino)
            self._known[ino] = self._describe(ino, node) if node is not None else None
        return self._known[ino]

    def _inline(self, node: Node) -> bytes:
        """The data that an inode itself holds: a link's target, a device number, an attribute's value."""
        return self.view.take(node.pos + FIXED[INO], min(self.view.u32(node.pos + 112), node.length - FIXED[INO]))

    def _describe(self, ino: int, node: Node) -> Inode | None:
        _, size, _, _, mtime, _, _, _, _, uid, gid, mode, flags, _ = self.view.unpack(INODE, node.pos)
        kind = kind_of(mode)
        if kind is None:
            self.sink.note("malformed", f"inode {ino} has mode {mode:o}", start=node.pos)
            return None
        link, rdev = b"", None
        if kind is Kind.SYMLINK:
            link = self._inline(node)
        elif kind in (Kind.CHAR, Kind.BLOCK):
            try:
                rdev = device(self._inline(node), big=False)
            except Malformed as problem:
                self.sink.note("malformed", f"inode {ino}: {problem}", start=node.pos)
        if self.unclean:
            size = max(size, self.current.reach.get(ino, 0))
        self.encrypted += bool(flags & _INODE_ENCRYPTED)
        return Inode(
            kind=kind,
            mode=mode & 0o7777,
            uid=uid,
            gid=gid,
            mtime=mtime,
            size=size if kind is Kind.FILE else 0,
            link=link,
            rdev=rdev,
            xattrs=self._xattrs(ino),
        )

    def _xattrs(self, ino: int) -> dict[str, bytes]:
        out: dict[str, bytes] = {}
        for raw, name in self.current.attributes.get(ino, {}).items():
            node = self.current.inodes.get(name.inum)
            if node is None:
                self.lost += 1
                continue
            out[clean_name(raw)[0]] = self._inline(node)
            self.used[node.pos] = self.used[name.node.pos] = -1
        return out

    def content(self, ino: int, path: str) -> Iterable[Buffer]:
        inode = self.inode(ino)
        blocks = self.current.blocks.get(ino, {})
        size = inode.size if inode else 0
        order = sorted(b for b in blocks if b * BLOCK < size)
        self._holes.report(size, len(order) * BLOCK, path)
        return self._pieces(ino, blocks, order, size)

    def _pieces(self, ino: int, blocks: dict[int, Node], order: list[int], size: int) -> Iterator[Buffer]:
        node = self.current.inodes[ino]
        if self.view.u32(node.pos + 108) & _INODE_ENCRYPTED and order:
            raise Malformed("encrypted content")
        position = 0
        for number in order:
            start = number * BLOCK
            if start > position:
                yield from self._holes.fill(start - position)
            end = min(start + BLOCK, size)
            data = self._unpack(blocks[number])
            yield data[: end - start]
            position = start + min(len(data), end - start)
        if position < size:
            yield from self._holes.fill(size - position)

    def _unpack(self, node: Node) -> Buffer:
        if node.pos < 0:
            raise Malformed("a data node is missing or damaged")
        _, _, size, compressor, _ = self.view.unpack(DATA_NODE, node.pos)
        data = self.view.mem(node.pos + FIXED[DATA], node.length - FIXED[DATA])
        self.compressors.add(compressor)
        if not 0 < size <= BLOCK:
            raise Malformed(f"a data node of {size} bytes", offset=node.pos)
        out = _decode(compressor, data, size)
        if len(out) != size:
            raise Malformed(f"a data node gives {len(out)} bytes and states {size}", offset=node.pos)
        return out
