"""SquashFS 1.x, 2.x and 3.x on disk: packed bit fields in either byte order.

Source: squashfs-tools ``squashfs_compat.h`` ("definitions for structures on disk", layouts 1.x, 2.x, 3.x). Fields
are packed without gaps; a little-endian image counts bits from the least significant end, a big-endian one from the
most significant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from banbury.formats.readers._squashfs_image import KINDS, Cursor, Image, Inode, Name, absent, read_chain
from banbury.formats.readers._squashfs_super import METADATA, NO_FRAGMENT
from banbury.model.errors import Malformed
from banbury.model.tree import Kind, Role

_MAX_NAME: Final = 256


class Packed:
    """A record of unsigned bit fields of these widths."""

    def __init__(self, *widths: int) -> None:
        total = sum(widths)
        if total % 8:
            raise ValueError(f"{total} bits are no whole bytes")
        self.size = total // 8
        position = 0
        self._little: list[tuple[int, int]] = []
        self._big: list[tuple[int, int]] = []
        for width in widths:
            mask = (1 << width) - 1
            self._little.append((position, mask))
            self._big.append((total - position - width, mask))
            position += width

    def unpack(self, data: bytes, big: bool) -> list[int]:
        """The fields, in order."""
        value = int.from_bytes(data, "big" if big else "little")
        return [value >> shift & mask for shift, mask in (self._big if big else self._little)]


_BASE: Final = {1: Packed(4, 12, 4, 4), 2: Packed(4, 12, 8, 8), 3: Packed(4, 12, 8, 8, 32, 32)}
#: 1.x: mtime, start, size; 2.x: mtime, start, fragment, offset, size; 3.x: start, fragment, offset, size
_FILE: Final = {1: Packed(32, 32, 32), 2: Packed(32, 32, 32, 32, 32), 3: Packed(64, 32, 32, 32)}
_LFILE: Final = Packed(32, 64, 32, 32, 64)  # 3.x: links, start, fragment, offset, size
#: 1.x, 2.x: size, offset, mtime, start; 3.x: links, size, offset, start, parent
_DIR: Final = {1: Packed(19, 13, 32, 24), 2: Packed(19, 13, 32, 24), 3: Packed(32, 19, 13, 32, 32)}
#: The same with a count of index entries
_LDIR: Final = {2: Packed(27, 13, 32, 24, 16), 3: Packed(32, 27, 13, 32, 16, 32)}
_HEADER: Final = {1: Packed(8, 24), 2: Packed(8, 24), 3: Packed(8, 32, 32)}  # count, start, (inode number)
_NAME: Final = {1: Packed(13, 3, 8), 2: Packed(13, 3, 8), 3: Packed(13, 3, 8, 16)}  # offset, type, size, (delta)
_IPC1: Final = Packed(4, 4)  # type, offset
_FRAGMENT: Final = {2: "II", 3: "QII"}  # start, size


class VersionOld:
    """Reads the structures of one image before 4.0."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._head = image.head
        self._big = image.head.big
        self._order = "<>"[image.head.big]
        self._version = image.head.version
        self._uids: tuple[int, ...] = ()
        self._guids: tuple[int, ...] = ()
        self.used_ids: set[int] = set()
        self.fragments: list[tuple[int, int, bool]] = []
        self.block_word = 2 if self._version == 1 else 4

    def load(self) -> None:
        """Read the tables. A damaged one is noted and left empty."""
        for what, read in (("uid and gid tables", self._load_ids), ("fragment table", self._load_fragments)):
            try:
                read()
            except Malformed as problem:
                self._image.fail(problem, what)

    def _load_ids(self) -> None:
        head = self._head
        self._uids = self._plain(head.uid_start, head.uids, "uid table")
        if head.guids:
            self._guids = self._plain(head.guid_start, head.guids, "gid table")

    def _plain(self, start: int, count: int, name: str) -> tuple[int, ...]:
        data = self._image.view.take(start, count * 4)
        self._image.own(start, start + count * 4, Role.TABLE, name)
        return struct.unpack(f"{self._order}{count}I", data)

    def _index(self, start: int, size: int, name: str) -> bytes:
        """A table of ``size`` bytes behind an index of positions (8 bytes in 3.x, 4 before)."""
        width, letter = (8, "Q") if self._version == 3 else (4, "I")
        count = -(-size // METADATA)
        if count * width > len(self._image.view):
            raise Malformed(f"{name}: {size} bytes stated", offset=start)
        index = struct.unpack(f"{self._order}{count}{letter}", self._image.view.take(start, count * width))
        self._image.own(start, start + count * width, Role.TABLE, f"{name} index")
        return read_chain(self._image, list(index), size, name)

    def _load_fragments(self) -> None:
        if self._version == 1 or not self._head.fragments:
            return
        layout = struct.Struct(self._order + _FRAGMENT[self._version])
        data = self._index(self._head.fragment_start, self._head.fragments * layout.size, "fragment table")
        for start, word, *_unused in layout.iter_unpack(data):
            self.fragments.append((start, word & 0xFFFFFF, not word & 0x1000000))

    def exported(self) -> list[int]:
        """The inode references of the export table (3.1 on), by inode number from 1."""
        if self._version < 3 or absent(self._head.export_start):
            return []
        data = self._index(self._head.export_start, self._head.inodes * 8, "export table")
        return list(struct.unpack(f"{self._order}{len(data) // 8}Q", data))

    def inode(self, block: int, offset: int) -> tuple[Inode, Cursor]:
        """The inode at this place, and a cursor that stands at a file's block list."""
        cursor = Cursor(self._image, self._head.inode_start + block, offset, "inode table")
        base = _BASE[self._version]
        sort, mode, uid, guid, *more = base.unpack(cursor.take(base.size), self._big)
        if self._version == 1:
            sort, uid = self._first(sort, uid, cursor)
            same = 15
        else:
            same = 255
        if not 1 <= sort <= (9 if self._version > 1 else 7):
            raise Malformed(f"inode type {sort}", offset=self._head.inode_start + block)
        mtime, number = more if more else (self._head.mtime, -1)
        owner = self._id(self._uids, uid, 0)
        inode = Inode(
            kind=KINDS[(sort - 1) % 7],
            mode=mode,
            uid=owner,
            gid=owner if guid == same else self._id(self._guids, guid, 256),
            mtime=mtime,
            number=number,
        )
        self._rest(inode, cursor, sort > 7)
        return inode, cursor

    def _first(self, sort: int, uid: int, cursor: Cursor) -> tuple[int, int]:
        """1.x folds the owner into the type: five types for each of three groups of 16 owners, 0 for pipes."""
        if sort:
            return (sort - 1) % 5 + 1, (sort - 1) // 5 * 16 + uid
        kind, group = _IPC1.unpack(cursor.take(1), self._big)
        return (7 if kind == 7 else 6), group * 16 + uid

    def _id(self, table: tuple[int, ...], index: int, base: int) -> int:
        if index >= len(table):
            return -1
        self.used_ids.add(base + index)
        return table[index]

    def _rest(self, inode: Inode, cursor: Cursor, large: bool) -> None:
        if inode.kind is Kind.FILE:
            self._file(inode, cursor, large)
        elif inode.kind is Kind.DIR:
            self._dir(inode, cursor, large)
        else:
            if self._version == 3:
                inode.links = self._word(cursor, 4)
            if inode.kind is Kind.SYMLINK:
                inode.size = self._word(cursor, 2)
                inode.target = cursor.take(inode.size)
            elif inode.kind in (Kind.BLOCK, Kind.CHAR):
                device = self._word(cursor, 2)
                inode.rdev = device >> 8, device & 0xFF

    def _word(self, cursor: Cursor, size: int) -> int:
        return int.from_bytes(cursor.take(size), "big" if self._big else "little")

    def _file(self, inode: Inode, cursor: Cursor, large: bool) -> None:
        if large:
            if self._version != 3:
                raise Malformed("an extended file inode before 3.0")
            fields = _LFILE.unpack(cursor.take(_LFILE.size), self._big)
            inode.links, inode.start, inode.fragment, inode.offset, inode.size = fields
            return
        layout = _FILE[self._version]
        fields = layout.unpack(cursor.take(layout.size), self._big)
        if self._version < 3:
            inode.mtime = fields.pop(0)
        inode.start, inode.size = fields[0], fields[-1]
        if self._version > 1:
            inode.fragment, inode.offset = fields[1:3]

    def _dir(self, inode: Inode, cursor: Cursor, large: bool) -> None:
        layout = (_LDIR if large else _DIR)[self._version]
        fields = layout.unpack(cursor.take(layout.size), self._big)
        if self._version == 3:
            inode.links, size, inode.offset, inode.start = fields[:4]
            inode.size = max(size - 3, 0)  # "." and ".." are counted and not stored
        else:
            inode.size, inode.offset, inode.mtime, inode.start = fields[:4]

    def names(self, inode: Inode) -> Iterator[Name]:
        """The lines of a directory's listing."""
        left = inode.size
        if not left:
            return
        header, line = _HEADER[self._version], _NAME[self._version]
        cursor = Cursor(self._image, self._head.dir_start + inode.start, inode.offset, "directory table")
        while left > 0:
            count, block, *base = header.unpack(cursor.take(header.size), self._big)
            left -= header.size
            for _ in range(count + 1):
                offset, kind, length, *delta = line.unpack(cursor.take(line.size), self._big)
                left -= line.size + length + 1
                if left < 0:
                    raise Malformed("a listing longer than its inode states")
                number = base[0] + (delta[0] ^ 0x8000) - 0x8000 & 0xFFFFFFFF if base else -1
                yield Name(cursor.take(length + 1), block, offset, kind, number)

    def xattrs(self, index: int) -> dict[str, bytes]:
        """No version before 4.0 has extended attributes."""
        if index != NO_FRAGMENT:
            raise Malformed("an xattr index before 4.0")
        return {}

    def block_words(self, data: bytes) -> Iterator[tuple[int, bool]]:
        """Size and whether compressed, of each entry of a block list; size 0 is a hole (from 2.0 on)."""
        if self._version == 1:
            for word in struct.unpack(f"{self._order}{len(data) // 2}H", data):
                yield word & 0x7FFF or 0x8000, not word & 0x8000
        else:
            for word in struct.unpack(f"{self._order}{len(data) // 4}I", data):
                yield word & 0xFFFFFF, not word & 0x1000000
