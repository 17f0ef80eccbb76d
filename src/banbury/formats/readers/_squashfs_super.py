"""SquashFS superblocks 1.x to 4.0 in both byte orders, and the plausibility of what they state.

Source: squashfs-tools, ``squashfs_fs.h`` and ``squashfs_compat.h`` (layouts); the byte order is taken from the
version field, because vendors change the magic and not the version.
"""

from __future__ import annotations

import struct
from typing import Final

from msgspec import Struct

from banbury.formats.view import View
from banbury.model.errors import Malformed

INVALID: Final = (1 << 64) - 1
NO_FRAGMENT: Final = 0xFFFFFFFF
METADATA: Final = 8192  # bytes of a full metadata block before compression
MAGICS: Final = {
    b"hsqs": "standard, little-endian",
    b"sqsh": "standard, big-endian",
    b"shsq": "LZMA (Broadcom and others)",
    b"qshs": "LZMA (Broadcom and others), swapped",
    b"hsqt": "DD-WRT, little-endian",
    b"tqsh": "DD-WRT, big-endian",
    b"sqlz": "LZMA, big-endian",
    b"zlqs": "LZMA, little-endian",
}
COMPRESSORS: Final = {1: "gzip", 2: "lzma", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
FLAG_CHECK: Final = 0x0004
FLAG_EXPORT: Final = 0x0080
FLAG_OPTIONS: Final = 0x0400
_FLAG_NAMES: Final = (
    "uncompressed inodes",
    "uncompressed data",
    "check bytes",
    "uncompressed fragments",
    "no fragments",
    "always fragments",
    "duplicates removed",
    "exportable",
    "uncompressed xattrs",
    "no xattrs",
    "compressor options",
    "uncompressed ids",
)
_ORDER: Final = ("<", ">")
_MINORS: Final = {1: {0}, 2: {0, 1, ord("L")}, 3: {0, 1}, 4: {0}}


class Super(Struct, frozen=True, kw_only=True):
    """What a superblock states. Offsets are in bytes from its start; ``INVALID`` marks an absent table.
    ``length`` is its own size; ``uids``/``guids`` are table lengths before 4.0, ``ids`` from 4.0 on."""

    magic: bytes
    version: int
    minor: int
    big: bool
    length: int
    inodes: int
    mtime: int
    block_size: int
    block_log: int
    flags: int
    root: int
    bytes_used: int
    inode_start: int
    dir_start: int
    fragment_start: int
    fragments: int
    export_start: int = INVALID
    xattr_start: int = INVALID
    id_start: int = INVALID
    ids: int = 0
    uid_start: int = INVALID
    uids: int = 0
    guid_start: int = INVALID
    guids: int = 0
    compressor: str = ""

    @property
    def check(self) -> bool:
        """Whether a marker byte follows the length of each metadata block (1.x to 3.x)."""
        return self.version < 4 and bool(self.flags & FLAG_CHECK)

    @property
    def flag_names(self) -> str:
        return ", ".join(name for bit, name in enumerate(_FLAG_NAMES) if self.flags >> bit & 1)


def parse_super(view: View, start: int = 0) -> Super:
    """The superblock at ``start``. Raises ``Malformed`` where no version of the format has such fields."""
    magic = view.take(start, 4)
    if magic not in MAGICS:
        raise Malformed("no SquashFS magic", offset=start)
    big = not 1 <= view.u16(start + 28) <= 4
    version, minor = view.u16(start + 28, big), view.u16(start + 30, big)
    if version not in _MINORS or minor not in _MINORS[version]:
        raise Malformed(f"SquashFS version {version}.{minor}", offset=start + 28)
    found = _parse4(view, start, big) if version == 4 else _parse_old(view, start, big, version, minor)
    _plausible(found, start)
    return found


def _parse4(view: View, start: int, big: bool) -> Super:
    layout = struct.Struct(_ORDER[big] + "4s4I6H8Q")
    (magic, inodes, mtime, size, fragments, compressor, log, flags, ids, _major, minor, root, used, id_start, xattr,
     inode, directory, fragment, export) = view.unpack(layout, start)  # fmt: skip
    return Super(
        magic=bytes(magic),
        version=4,
        minor=minor,
        big=big,
        length=96,
        inodes=inodes,
        mtime=mtime,
        block_size=size,
        block_log=log,
        flags=flags,
        root=root,
        bytes_used=used,
        inode_start=inode,
        dir_start=directory,
        fragment_start=fragment,
        fragments=fragments,
        export_start=export,
        xattr_start=xattr,
        id_start=id_start,
        ids=ids,
        compressor=COMPRESSORS.get(compressor, f"unknown ({compressor})"),
    )


def _parse_old(view: View, start: int, big: bool, version: int, minor: int) -> Super:
    order = _ORDER[big]
    inodes, used, uid, guid, inode, directory = view.unpack(struct.Struct(order + "6I"), start + 4)
    size, log, flags, uids, guids, mtime, root = view.unpack(struct.Struct(order + "HHBBBIQ"), start + 32)
    length, fragments, fragment, export = 51, 0, INVALID, INVALID
    if version >= 2:
        size, fragments, fragment = view.unpack(struct.Struct(order + "III"), start + 51)
        length = 63
    if version == 3:
        used, uid, guid, inode, directory, fragment, export = view.unpack(struct.Struct(order + "7Q"), start + 63)
        length = 119
        if not flags & FLAG_EXPORT:
            export = INVALID  # 3.0 had no such table, and need not say so in this field
    return Super(
        magic=view.take(start, 4),
        version=version,
        minor=minor,
        big=big,
        length=length,
        inodes=inodes,
        mtime=mtime,
        block_size=size,
        block_log=log,
        flags=flags,
        root=root,
        bytes_used=used,
        inode_start=inode,
        dir_start=directory,
        fragment_start=fragment,
        fragments=fragments,
        export_start=export,
        uid_start=uid,
        uids=uids,
        guid_start=guid,
        guids=guids,
    )


def _plausible(found: Super, start: int) -> None:
    smallest, largest = (512, 1 << 16) if found.version < 3 else (4096, 1 << 20)
    if found.block_size != 1 << min(found.block_log, 40) or not smallest <= found.block_size <= largest:
        raise Malformed(f"block size {found.block_size}, log {found.block_log}", offset=start)
    if not found.inodes:
        raise Malformed("no inodes", offset=start + 4)
    tables = (found.length, found.inode_start, found.dir_start, found.bytes_used)
    if list(tables) != sorted(tables) or found.inode_start == found.dir_start or found.bytes_used >= 1 << 48:
        raise Malformed("tables out of order", offset=start)
    if found.root >> 16 >= found.dir_start - found.inode_start or found.root & 0xFFFF >= METADATA:
        raise Malformed("root inode outside its table", offset=start)
    if found.version == 4 and (found.flags >> 12 or found.id_start > found.bytes_used or not found.ids):
        raise Malformed("flags or id table", offset=start)
    if found.version < 4 and (not found.uids or found.uid_start > found.bytes_used):
        raise Malformed("uid table", offset=start)
