"""SquashFS 4.0 on disk: inodes, listings, id, fragment, export and xattr tables.

Source: Linux ``Documentation/filesystems/squashfs.rst`` (section 3) and ``fs/squashfs/squashfs_fs.h``;
squashfs-tools-ng ``doc/format.adoc``. AVM's images are the same, big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from banbury.formats.readers._squashfs_image import KINDS, Cursor, Image, Inode, Name, absent, read_chain
from banbury.formats.readers._squashfs_super import METADATA, NO_FRAGMENT
from banbury.model.errors import Malformed
from banbury.model.tree import Kind, Role

_PREFIXES: Final = ("user.", "trusted.", "security.")
_XATTR_APART: Final = 0x100
_MAX_NAME: Final = 256
_MAX_TARGET: Final = 65535
_MAX_VALUE: Final = 65536
_MAX_SET: Final = 4 << 20  # bytes of attribute values of one inode
_MAX_XATTRS: Final = 64 << 20  # bytes of attribute values kept for one image


def _layouts(order: str) -> dict[str, struct.Struct]:
    fields = {
        "base": "HHHHII",
        "dir": "IIHHI",
        "ldir": "IIIIHHI",
        "file": "IIII",
        "lfile": "QQQIIII",
        "symlink": "II",
        "device": "II",
        "word": "I",
        "header": "III",
        "name": "HhHH",
        "fragment": "QII",
        "xattr head": "QII",
        "xattr id": "QII",
        "xattr": "HH",
    }
    return {name: struct.Struct(order + layout) for name, layout in fields.items()}


_LAYOUTS: Final = (_layouts("<"), _layouts(">"))


class Version4:
    """Reads the structures of one 4.0 image."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._head = image.head
        self._order = "<>"[image.head.big]
        self._layout = _LAYOUTS[image.head.big]
        self._ids: tuple[int, ...] = ()
        self.used_ids: set[int] = set()
        self.block_word = 4  # bytes of one entry of a file's block list
        self.fragments: list[tuple[int, int, bool]] = []
        self._xattr_base = 0
        self._xattr_ids: list[tuple[int, ...]] = []
        self._xattrs: dict[int, dict[str, bytes]] = {}
        self._xattr_bytes = 0

    def load(self) -> None:
        """Read the tables. A damaged one is noted and left empty."""
        for what, read in (("id table", self._load_ids), ("fragment table", self._load_fragments),
                           ("xattr table", self._load_xattrs)):  # fmt: skip
            try:
                read()
            except Malformed as problem:
                self._image.fail(problem, what)

    def _table(self, start: int, size: int, name: str) -> bytes:
        """A table of ``size`` bytes whose index of 8-byte positions stands at ``start``."""
        count = -(-size // METADATA)
        if count * 8 > len(self._image.view):
            raise Malformed(f"{name}: {size} bytes stated", offset=start)
        index = struct.unpack(f"{self._order}{count}Q", self._image.view.take(start, count * 8))
        self._image.own(start, start + count * 8, Role.TABLE, f"{name} index")
        return read_chain(self._image, list(index), size, name)

    def _load_ids(self) -> None:
        data = self._table(self._head.id_start, self._head.ids * 4, "id table")
        self._ids = struct.unpack(f"{self._order}{len(data) // 4}I", data)

    def _load_fragments(self) -> None:
        if not self._head.fragments:
            return
        data = self._table(self._head.fragment_start, self._head.fragments * 16, "fragment table")
        for start, word, _unused in self._layout["fragment"].iter_unpack(data):
            self.fragments.append((start, word & 0xFFFFFF, not word & 0x1000000))

    def _load_xattrs(self) -> None:
        start = self._head.xattr_start
        if absent(start):
            return
        self._xattr_base, count, _unused = self._image.view.unpack(self._layout["xattr head"], start)
        self._image.own(start, start + 16, Role.TABLE, "xattr table header")
        data = self._table(start + 16, count * 16, "xattr id table")
        self._xattr_ids = list(self._layout["xattr id"].iter_unpack(data))

    def exported(self) -> list[int]:
        """The inode references of the export table (for NFS), by inode number from 1."""
        if absent(self._head.export_start):
            return []
        data = self._table(self._head.export_start, self._head.inodes * 8, "export table")
        return list(struct.unpack(f"{self._order}{len(data) // 8}Q", data))

    def _id(self, index: int) -> int:
        if index >= len(self._ids):
            return -1
        self.used_ids.add(index)
        return self._ids[index]

    def inode(self, block: int, offset: int) -> tuple[Inode, Cursor]:
        """The inode at this place, and a cursor that stands at a file's block list."""
        cursor = Cursor(self._image, self._head.inode_start + block, offset, "inode table")
        sort, mode, uid, gid, mtime, number = self._layout["base"].unpack(cursor.take(16))
        if not 1 <= sort <= 14:
            raise Malformed(f"inode type {sort}", offset=self._head.inode_start + block)
        inode = Inode(
            kind=KINDS[(sort - 1) % 7],
            mode=mode & 0o7777,
            uid=self._id(uid),
            gid=self._id(gid),
            mtime=mtime,
            number=number,
        )
        self._rest(inode, cursor, sort > 7)
        return inode, cursor

    def _rest(self, inode: Inode, cursor: Cursor, large: bool) -> None:
        if inode.kind is Kind.FILE:
            self._file(inode, cursor, large)
        elif inode.kind is Kind.DIR:
            self._dir(inode, cursor, large)
        elif inode.kind is Kind.SYMLINK:
            inode.links, length = self._layout["symlink"].unpack(cursor.take(8))
            if length > _MAX_TARGET:
                raise Malformed(f"a link target of {length} bytes")
            inode.target = cursor.take(length)
            inode.size = length
        elif inode.kind in (Kind.BLOCK, Kind.CHAR):
            inode.links, device = self._layout["device"].unpack(cursor.take(8))
            inode.rdev = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
        else:
            (inode.links,) = self._layout["word"].unpack(cursor.take(4))
        if large and inode.kind not in (Kind.FILE, Kind.DIR):
            (inode.xattr,) = self._layout["word"].unpack(cursor.take(4))

    def _file(self, inode: Inode, cursor: Cursor, large: bool) -> None:
        if large:
            inode.start, inode.size, _sparse, inode.links, inode.fragment, inode.offset, inode.xattr = self._layout[
                "lfile"
            ].unpack(cursor.take(40))
        else:
            inode.start, inode.fragment, inode.offset, inode.size = self._layout["file"].unpack(cursor.take(16))

    def _dir(self, inode: Inode, cursor: Cursor, large: bool) -> None:
        if large:
            inode.links, size, inode.start, _parent, _index, inode.offset, inode.xattr = self._layout["ldir"].unpack(
                cursor.take(24)
            )
        else:
            inode.start, inode.links, size, inode.offset, _parent = self._layout["dir"].unpack(cursor.take(16))
        inode.size = max(size - 3, 0)  # "." and ".." are counted and not stored

    def names(self, inode: Inode) -> Iterator[Name]:
        """The lines of a directory's listing."""
        left = inode.size
        if not left:
            return
        cursor = Cursor(self._image, self._head.dir_start + inode.start, inode.offset, "directory table")
        while left > 0:
            count, block, base = self._layout["header"].unpack(cursor.take(12))
            left -= 12
            if count >= 256:
                raise Malformed(f"a directory header with {count + 1} names")
            for _ in range(count + 1):
                offset, delta, kind, length = self._layout["name"].unpack(cursor.take(8))
                if length >= _MAX_NAME:
                    raise Malformed(f"a name of {length + 1} bytes")
                left -= 9 + length
                if left < 0:
                    raise Malformed("a listing longer than its inode states")
                yield Name(cursor.take(length + 1), block, offset, kind, base + delta & 0xFFFFFFFF)

    def xattrs(self, index: int) -> dict[str, bytes]:
        """The extended attributes with this index; the same (shared) dictionary each time."""
        if index == NO_FRAGMENT:
            return {}
        found = self._xattrs.get(index)
        if found is None:
            if index >= len(self._xattr_ids):
                raise Malformed(f"xattr index {index} of {len(self._xattr_ids)}")
            found = self._xattrs[index] = self._read_xattrs(*self._xattr_ids[index])
        # Counted each time: the dictionary is shared here, but not by what is written of it.
        self._xattr_bytes += sum(len(name) + len(value) for name, value in found.items())
        if self._xattr_bytes > _MAX_XATTRS:
            raise Malformed(f"more than {_MAX_XATTRS} bytes of xattrs in all; no more are kept")
        return found

    def _read_xattrs(self, place: int, count: int, _size: int) -> dict[str, bytes]:
        cursor = Cursor(self._image, self._xattr_base + (place >> 16), place & 0xFFFF, "xattr table")
        out: dict[str, bytes] = {}
        total = 0
        for _ in range(count):
            sort, length = self._layout["xattr"].unpack(cursor.take(4))
            if length > _MAX_NAME or sort & 0xFF >= len(_PREFIXES):
                raise Malformed(f"xattr type {sort:#x} with a name of {length} bytes")
            name = _PREFIXES[sort & 0xFF] + cursor.take(length).decode("utf-8", "backslashreplace")
            value = self._value(cursor)
            if sort & _XATTR_APART:
                if len(value) != 8:
                    raise Malformed("an xattr value reference of another size than 8 bytes")
                apart = int.from_bytes(value, "big" if self._head.big else "little")
                at = self._xattr_base + (apart >> 16)
                value = self._value(Cursor(self._image, at, apart & 0xFFFF, "xattr table"))
            total += len(name) + len(value)
            if name in out or total > _MAX_SET:
                raise Malformed(f"xattr {name} twice, or too many")
            out[name] = value
        return out

    def _value(self, cursor: Cursor) -> bytes:
        (length,) = self._layout["word"].unpack(cursor.take(4))
        if length > _MAX_VALUE:
            raise Malformed(f"an xattr value of {length} bytes")
        return cursor.take(length)

    def block_words(self, data: bytes) -> Iterator[tuple[int, bool]]:
        """Size and whether compressed, of each entry of a block list; size 0 is a hole."""
        for word in struct.unpack(f"{self._order}{len(data) // 4}I", data):
            yield word & 0xFFFFFF, not word & 0x1000000
