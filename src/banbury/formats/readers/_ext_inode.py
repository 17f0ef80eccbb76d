"""An ext2/3/4 inode: its fields, where its content lies, its extended attributes.

Source: the kernel's Documentation/filesystems/ext4/ (inodes.rst, ifork.rst, attributes.rst, inlinedata.rst).
"""

from __future__ import annotations

import struct

import numpy as np

from banbury.formats.contract import Sink
from banbury.formats.readers._disk import Blocks, Extent, indirect
from banbury.formats.readers._ext_super import Super
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Role

_BASE = struct.Struct("<HHIIIIIHHIII60sIIIIHHHHHH")
_EXTRA = struct.Struct("<HHII")
_EXTENT = struct.Struct("<IHHI")
_INDEX = struct.Struct("<IIHH")
EXTENTS, INLINE, EA_INODE, ENCRYPTED, COMPRESSED, VERITY = 0x80000, 0x10000000, 0x200000, 0x800, 0x4, 0x100000


class Inode:
    """The fields of one inode. ``mapping`` is its 60 bytes of block map, symlink target or inline data."""

    __slots__ = (
        "acl", "blocks", "extra", "flags", "generation", "gid", "links", "mapping", "mode", "mtime", "number", "size",
        "tail", "uid",
    )  # fmt: skip

    def __init__(self, view: View, at: int, number: int, size: int) -> None:
        f = _BASE.unpack(view.mem(at, 128))
        self.number = number
        self.mode = f[0]
        self.uid, self.gid = f[1] | f[19] << 16, f[7] | f[20] << 16
        self.size = f[2] | f[15] << 32
        self.mtime = f[5] - (1 << 32) if f[5] & 0x80000000 else f[5]
        self.links, self.flags = f[8], f[10]
        self.blocks = f[9] | f[17] << 32
        self.mapping: bytes = f[12]
        self.generation = f[13]
        self.acl = f[14] | f[18] << 32
        self.extra, self.tail = 0, 0
        if size > 128:
            extra, _, _, mtime_extra = _EXTRA.unpack(view.mem(at + 128, 12))
            if extra <= size - 128 and extra % 4 == 0:
                self.extra, self.tail = extra, at + 128 + extra
                if extra >= 12:
                    self.mtime += (mtime_extra & 3) << 32

    @property
    def sort(self) -> int:
        """The type bits of the mode."""
        return int(self.mode) >> 12

    @property
    def rdev(self) -> tuple[int, int]:
        """(major, minor) of a device node; the old encoding where it is used, else the new."""
        old, new = struct.unpack_from("<II", self.mapping)
        if old:
            return old >> 8 & 0xFF, old & 0xFF
        return (new & 0xFFF00) >> 8, (new & 0xFF) | (new >> 12 & 0xFFF00)


class Maps:
    """Turns block maps into runs. A node of an extent tree or an indirect block may be read once in the whole file
    system: shared ones would let a small image cost the square of its size."""

    def __init__(self, view: View, sb: Super, blocks: Blocks, sink: Sink) -> None:
        self.view, self.sb, self.blocks, self.sink = view, sb, blocks, sink

    def node(self, block: int) -> memoryview:
        """A mapping block. Raises ``Malformed`` where it lies outside or belongs to something else."""
        size = self.sb.block
        if not 0 < block < self.blocks.count:
            raise Malformed(f"a mapping block {block} lies outside the file system")
        if self.blocks.claim(block):
            raise Malformed(f"a mapping block {block} is in use already", offset=block * size)
        self.sink.own(block * size, (block + 1) * size, Role.TABLE, "block map")
        return self.view.mem(block * size, size)

    def extents(self, inode: Inode) -> tuple[list[Extent], str]:
        """The extents of an inode's content in order, and what was wrong with its map ("" where nothing)."""
        out, problem = self._tree(inode) if inode.flags & EXTENTS else self._indirect(inode)
        total = 0
        for number, (_, _, count) in enumerate(out):
            total += count
            if total > self.blocks.count:
                return out[:number], f"inode {inode.number}: more blocks than the file system has"
        return out, problem

    def _tree(self, inode: Inode) -> tuple[list[Extent], str]:
        out: list[Extent] = []
        stack: list[tuple[memoryview, int, int]] = [(memoryview(inode.mapping), -1, 0)]
        last = 0
        while stack:
            data, depth, index = stack.pop()
            magic, count, _, level = struct.unpack_from("<HHHH", data)
            if magic != 0xF30A or level > 5 or (0 <= depth != level) or 12 + count * 12 > len(data):
                return out, f"inode {inode.number}: a broken node in the extent tree"
            if level == 0:
                for first, length, high, low in _EXTENT.iter_unpack(data[12 : 12 + count * 12]):
                    if first < last:
                        return out, f"inode {inode.number}: extents out of order"
                    real = length if length <= 32768 else length - 32768
                    last = first + real
                    place = low | high << 32
                    if length > 32768:
                        self.blocks.claim(place, real, 1)  # it reads as zeros, whatever stands there
                    else:
                        out.append((first, place, real))
            elif index < count:
                stack.append((data, depth, index + 1))
                _, low, high, _ = _INDEX.unpack_from(data, 12 + index * 12)
                try:
                    stack.append((self.node(low | high << 32), level - 1, 0))
                except Malformed as problem:
                    return out, f"inode {inode.number}: {problem}"
        return out, ""

    def _indirect(self, inode: Inode) -> tuple[list[Extent], str]:
        """Direct, single, double and triple indirect blocks (ifork.rst, "Direct/Indirect Block Addressing")."""
        pointers = np.frombuffer(inode.mapping, "<u4")
        return indirect(
            pointers[:12],
            pointers[12:].tolist(),
            self.sb.block // 4,
            lambda block: np.frombuffer(self.node(block), "<u4"),
        )
