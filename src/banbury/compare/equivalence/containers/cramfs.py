"""cramfs of version 2 and blocks of 4096 bytes, in either order of bytes: the tree that the kernel mounts.

Every byte belongs to the superblock, a listing, or the blocks of a file, or is zero; the checksum is right. Edition,
order, compression, sharing and explicit holes are free. Images whose superblock does not stand at the start, or that
keep blocks uncompressed (extended pointers), are refused.

Sources: Linux ``fs/cramfs/README``, ``fs/cramfs/inode.c``, ``include/uapi/linux/cramfs_fs.h``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._filesystem import Holes, Inode, Spans, constant, grow, kind_of, whole
from banbury.compare.equivalence.containers._squashfs import unpack_block
from banbury.compare.equivalence.containers.contract import Comparator, Free, Place, Spool, Work
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.tree import Tree, compare_trees
from banbury.formats.view import Buffer, View

_MAGICS: Final = {b"\x45\x3d\xcd\x28": "<", b"\x28\xcd\x3d\x45": ">"}
_SIGNATURE: Final = b"Compressed ROMFS"
_SUPER: Final = 76
_BLOCK: Final = 4096
_VERSION, _SORTED, _HOLES = 0x1, 0x2, 0x100


class _Image:
    """One image; ``tree`` reads it to its last byte."""

    def __init__(self, view: View, spool: Spool) -> None:
        self.view, self.spool = view, spool
        self.order = _MAGICS[view.take(0, 4)]
        f = view.unpack(struct.Struct(self.order + "4I16sIIII16s"), 0)
        _, self.size, self.flags, future, signature, check, self.edition, self.blocks, self.files, name = f
        self.name = name
        where = [Range(0, _SUPER)]
        if not _SUPER <= self.size <= len(view) or signature != _SIGNATURE or future:  # type: ignore[comparison-overlap]
            raise Refused("superblock", "no cramfs of version 2", where)
        if self.flags & ~_HOLES not in (_VERSION, _VERSION | _SORTED):
            raise Refused("superblock", "flags that are not decided", where)
        crc = zlib.crc32(view.mem(36, self.size - 36), zlib.crc32(bytes(4), zlib.crc32(view.mem(0, 32))))
        if crc != check:
            raise Refused("superblock", "its checksum is wrong", where)
        constant(view, self.size, len(view), (0,), "behind the file system")
        self.spans = Spans(self.size)
        self.spans.own(0, _SUPER)
        self.holes = Holes(len(view))
        self.starts: dict[int, int] = {}
        self.placed: dict[tuple[int, int], Place] = {}
        self._listed = 0
        self.once = self.all = 0  # blocks: of each content, of each file

    def tree(self) -> Tree:
        root, length = self._inode(64)
        if length:
            raise Refused("superblock", "a root with a name", [Range(64, _SUPER)])
        out = grow(root, self.files, self._entries, self._content)
        if self.blocks not in (self.once, self.all):
            raise Refused("superblock", "states another number of blocks than there is", [Range(40, 44)])
        for start, end in self.spans.gaps():
            constant(self.view, start, end, (0,), "between files")
        return out

    def _inode(self, at: int) -> tuple[Inode, int]:
        """The inode at ``at`` and the length of the name behind it: bit fields, filled from either end."""
        words = self.view.unpack(struct.Struct(self.order + "3I"), at)
        if self.order == "<":
            mode, uid, size, gid = words[0] & 0xFFFF, words[0] >> 16, words[1] & 0xFFFFFF, words[1] >> 24
            length, offset = words[2] & 0x3F, words[2] >> 6
        else:
            mode, uid, size, gid = words[0] >> 16, words[0] & 0xFFFF, words[1] >> 8, words[1] & 0xFF
            length, offset = words[2] >> 26, words[2] & 0x3FFFFFF
        kind = kind_of(mode, f"inode at {at}")
        inode = Inode(number=at, kind=kind, mode=mode & 0o7777, uid=uid, gid=gid, size=size)
        self.starts[at] = offset * 4
        self.all += -(-size // _BLOCK) if kind in ("file", "symbolic link") else 0
        where = [Range(at, at + 12)]
        if kind.endswith("device"):
            if size >> 16 or offset:
                raise Refused(f"inode at {at}", "no device number", where)
            inode.device = size >> 8, size & 0xFF
        elif bool(size) != bool(offset) or (size and kind in ("fifo", "socket")):
            raise Refused(f"inode at {at}", "content that is nowhere, or of what has none", where)
        elif kind == "symbolic link":
            inode.target = b"".join(bytes(p) for p in self._pieces(inode))
        return inode, length * 4

    def _entries(self, folder: Inode) -> Iterator[tuple[bytes, Inode]]:
        at = self.starts[folder.number]
        end = at + folder.size
        self._listed += folder.size
        if self._listed > self.size or at < _SUPER - 76 * (not folder.size):
            raise Refused("directory", "listings that overlap")
        self.spans.own(at, end)
        previous = b""
        while at < end:
            inode, length = self._inode(at)
            raw = self.view.take(at + 12, length)
            name = raw.rstrip(b"\0")
            if len(name) + 3 & ~3 != length or (self.flags & _SORTED and name <= previous):
                raise Refused("directory", "names that are none, or out of order", [Range(at, at + 12 + length)])
            previous = name
            at += 12 + length
            yield name, inode
        if at != end:
            raise Refused("directory", "names beyond its end", [Range(end, at)])

    def _content(self, inode: Inode) -> Place:
        key = self.starts[inode.number], inode.size
        if key not in self.placed:
            self.placed[key] = self.spool.put(self._pieces(inode))
        return self.placed[key]

    def _pieces(self, inode: Inode) -> Iterator[Buffer]:
        """Blocks, each of which ends where its pointer says and starts where the one before it ends."""
        if not inode.size:
            return
        start, count = self.starts[inode.number], -(-inode.size // _BLOCK)
        key = -1 - start, inode.size
        ends = np.frombuffer(self.view.take(start, 4 * count), self.order + "u4").tolist()
        at = start + 4 * count
        if key not in self.placed:  # files of the same content share it
            self.placed[key] = Place(0, 0)
            self.spans.own(start, max(ends[-1], at))
            self.once += count
        for number, end in enumerate(ends):
            size = min(_BLOCK, inode.size - number * _BLOCK)
            if end == at:
                if not self.flags & _HOLES:
                    raise Refused(f"inode at {inode.number}", "a hole in an image that has none")
                yield from self.holes.take(size)
                continue
            if not at < end <= self.size or end - at > 2 * _BLOCK:
                raise Refused(f"inode at {inode.number}", "blocks that are none", [Range(start, at)])
            out = unpack_block(self.view, at, end - at, "gzip", _BLOCK, stored=2 * _BLOCK)
            if len(out) != size:
                raise Refused(f"inode at {inode.number}", "a block of another size", [Range(at, end)])
            yield out
            at = end


def _compare(work: Work) -> None:
    one, other = (_Image(view, work.spool) for view, _ in work.sides)
    trees = [image.tree() for image in (one, other)]
    fields = [{"order of bytes": i.order, "name": i.name, "flags": i.flags & ~_HOLES} for i in (one, other)]
    work.exactly("superblock", *fields)
    work.account.explain("cramfs.layout", *whole(work))
    work.free(*({"edition": Free("cramfs.edition", i.edition, Range(36, 40))} for i in (one, other)))
    compare_trees(work, *trees, order="cramfs.layout")


def _claims(view: View) -> bool:
    """Whether nothing but zero bytes follows: otherwise it is an image of several parts."""
    if len(view) < _SUPER or view.take(0, 4) not in _MAGICS:
        return False
    size = view.u32(4, _MAGICS[view.take(0, 4)] == ">")
    return size >= len(view) or (view.u8(size) == 0 and view.run(size) == len(view) - size)


COMPARATORS: Final = [Comparator(name="cramfs", claims=_claims, compare=_compare)]
