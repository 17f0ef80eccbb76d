"""SquashFS 4.0's blocks, tables, inodes and listings, read strictly. See :mod:`squashfs` beside this module."""

from __future__ import annotations

import lzma
import struct
import zlib
from bisect import bisect_right
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.streams import inflated, xz_filters
from banbury.compare.equivalence.model import Range
from banbury.formats import _decoders as decoders
from banbury.formats import _frames as frames
from banbury.formats.view import Buffer, View

ABSENT: Final = (1 << 64) - 1
NONE: Final = 0xFFFFFFFF
METADATA: Final = 8192
_KINDS: Final = (
    "directory", "file", "symbolic link", "block device", "character device", "fifo", "socket",
)  # fmt: skip


#: What blocks ask of who unpacks them: the chain of filters (xz), and bytes of dictionary or window.
Needs = set[tuple[tuple[str, ...], int]]


def unpack_block(
    view: View, at: int, size: int, kind: str, limit: int, needs: Needs | None = None, *, stored: int = 0
) -> Buffer:
    """A block of ``size`` bytes, unpacked to at most ``limit``; stored as it is where ``kind`` is ``""``. What it asks
    of a decoder is put into ``needs``.

    The compressed stream must fill the block to its last bit. Linux reads no block that is stored in more bytes than it
    has room for (``fs/squashfs/block.c``, squashfs_read_data); for other file systems, in more than ``stored``.
    """
    if size > (stored or limit):
        raise Refused("block", "stored in more bytes than a block has", [Range(at, at + size)])
    if not kind:
        return view.mem(at, size)
    if needs is not None and kind in _NEEDS:
        needs.add(_NEEDS[kind](view.sub(at, size)))
    where = [Range(at, at + size)]
    if kind == "gzip":
        return _unzlib(view, at, size, limit)
    data = view.mem(at, size)
    if kind == "xz":
        engine = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=decoders.MEMORY)
        try:
            out = engine.decompress(data, limit + 1)
        except lzma.LZMAError as problem:
            raise Refused("block", str(problem), where) from problem
        if not engine.eof or engine.unused_data:
            raise Refused("block", "bytes behind its stream, or none of its end", where)
    elif kind == "zstd":
        part = view.sub(at, size)
        if frames.zstd_end(part, 0) != size or view.u8(at + 4) & 0x18:
            raise Refused("block", "bytes behind its frame", where)
        out = b"".join(bytes(piece) for piece in decoders.unzstd(decoders.Cursor(part, 0)))
    elif kind == "lz4":
        out = decoders.unlz4_block(data, limit)
    else:
        out = decoders.unlzo_block(data, limit)
    if len(out) > limit:
        raise Refused("block", "unpacks to more than a block", where)
    return out


def _xz_needs(view: View) -> tuple[tuple[str, ...], int]:
    """The filters and the dictionary of the first block of an xz stream, whose check must be CRC-32: Linux's decoder
    may know no other (``lib/xz/xz_dec_stream.c``). A block of SquashFS has one of xz."""
    if view.u8(7) != 1:
        raise Refused("block", "a check that Linux's xz decoder need not know", [Range(0, len(view))])
    return xz_filters(view, 12)


def _zstd_needs(view: View) -> tuple[tuple[str, ...], int]:
    return (), frames.zstd_window(view, 0)


_NEEDS: Final = {"xz": _xz_needs, "zstd": _zstd_needs}


def _unzlib(view: View, at: int, size: int, limit: int) -> bytes:
    head = view.u16(at, big=True)
    if size < 8 or head % 31 or head >> 8 & 15 != 8 or head >> 12 > 7 or head & 0x20:
        raise Refused("block", "no zlib stream", [Range(at, at + size)])
    out = bytearray()
    for piece in inflated(view, at + 2, at + size - 4):
        out += piece
        if len(out) > limit:
            raise Refused("block", "unpacks to more than a block", [Range(at, at + size)])
    if zlib.adler32(out) != view.u32(at + size - 4, big=True):
        raise Refused("block", "its checksum is wrong", [Range(at, at + size)])
    return bytes(out)


class Table:
    """Metadata blocks in a row, unpacked. ``blocks`` are their offsets from the first one."""

    def __init__(self, data: bytes, blocks: list[int], packed: bool) -> None:
        self.data, self.blocks, self.packed = data, blocks, packed

    @classmethod
    def read(cls, view: View, start: int, end: int, kind: str, needs: Needs | None = None) -> Table:
        """Blocks from ``start`` to exactly ``end``, all full but the last."""
        at, blocks, packed = start, [], False
        out: list[bytes] = []
        while at < end:
            if out and len(out[-1]) != METADATA:
                raise Refused("table", "a block that is not full", [Range(start, at)])
            word = view.u16(at)
            size = word & 0x7FFF
            if not 0 < size <= METADATA or at + 2 + size > end:
                raise Refused("table", "a block that does not fit", [Range(at, at + 2)])
            blocks.append(at - start)
            stored = bool(word & 0x8000)
            packed |= not stored
            out.append(bytes(unpack_block(view, at + 2, size, "" if stored else kind, METADATA, needs)))
            at += 2 + size
        if at != end:
            raise Refused("table", "does not end where the next one starts", [Range(start, end)])
        return cls(b"".join(out), blocks, packed)

    def position(self, reference: int) -> int:
        """Where in ``data`` a reference (block offset, offset into the block) leads; -1 where nowhere."""
        block, offset = reference >> 16, reference & 0xFFFF
        number = bisect_right(self.blocks, block) - 1
        if number < 0 or self.blocks[number] != block or offset >= METADATA:
            return -1
        return number * METADATA + offset

    def reference(self, position: int) -> int:
        return self.blocks[position // METADATA] << 16 | position % METADATA

    def take(self, at: int, size: int) -> bytes:
        if at < 0 or at + size > len(self.data):
            raise Refused("table", "a structure outside of it")
        return self.data[at : at + size]


class Inode(Struct, kw_only=True):
    """One inode: ``sort`` is its basic type, ``index`` a directory's (position, block, name)."""

    position: int
    sort: int
    kind: str
    mode: int
    uid: int
    gid: int
    mtime: int
    number: int
    links: int = 1
    size: int = 0
    start: int = 0
    offset: int = 0
    parent: int = 0
    fragment: int = NONE
    sparse: int = 0
    blocks: tuple[int, ...] = ()
    target: bytes = b""
    device: int = 0
    xattr: int = NONE
    index: tuple[tuple[int, int, bytes], ...] = ()


def read_inodes(table: Table, block: int) -> dict[int, Inode]:
    """Every inode of the table, one behind the other to its last byte, by position."""
    out: dict[int, Inode] = {}
    at = 0
    while at < len(table.data):
        sort, mode, uid, gid, mtime, number = struct.unpack("<HHHHII", table.take(at, 16))
        if not 1 <= sort <= 14 or mode & ~0o7777:
            raise Refused("inode table", f"an inode of type {sort}")
        basic = (sort - 1) % 7
        inode = Inode(
            position=at, sort=basic + 1, kind=_KINDS[basic], mode=mode, uid=uid, gid=gid, mtime=mtime, number=number
        )
        out[at] = inode
        at = _READ[basic](table, at + 16, inode, sort > 7, block)
    return out


def _directory(table: Table, at: int, inode: Inode, large: bool, _: int) -> int:
    if not large:
        inode.start, inode.links, size, inode.offset, inode.parent = struct.unpack("<IIHHI", table.take(at, 16))
        at += 16
        count = 0
    else:
        inode.links, size, inode.start, inode.parent, count, inode.offset, inode.xattr = struct.unpack(
            "<IIIIHHI", table.take(at, 24)
        )
        at += 24
    if size < 3:
        raise Refused("inode", "a listing of less than nothing")
    inode.size = size - 3
    index = []
    for _i in range(count):
        position, block, length = struct.unpack("<III", table.take(at, 12))
        if length > 255:
            raise Refused("inode", "a name that is too long")
        index.append((position, block, table.take(at + 12, length + 1)))
        at += 13 + length
    inode.index = tuple(index)
    return at


def _file(table: Table, at: int, inode: Inode, large: bool, block: int) -> int:
    if large:
        inode.start, inode.size, inode.sparse, inode.links, inode.fragment, inode.offset, inode.xattr = struct.unpack(
            "<QQQIIII", table.take(at, 40)
        )
        at += 40
    else:
        inode.start, inode.fragment, inode.offset, inode.size = struct.unpack("<IIII", table.take(at, 16))
        at += 16
    count = inode.size // block if inode.fragment != NONE else -(-inode.size // block)
    if count * 4 > len(table.data):
        raise Refused("inode", "a file of more blocks than there is room for")
    inode.blocks = struct.unpack(f"<{count}I", table.take(at, 4 * count))
    return at + 4 * count


def _symlink(table: Table, at: int, inode: Inode, large: bool, _: int) -> int:
    inode.links, size = struct.unpack("<II", table.take(at, 8))
    inode.target = table.take(at + 8, size)
    if not size or b"\0" in inode.target:
        raise Refused("inode", "a link to nothing")
    return _attributed(table, at + 8 + size, inode, large)


def _device(table: Table, at: int, inode: Inode, large: bool, _: int) -> int:
    inode.links, inode.device = struct.unpack("<II", table.take(at, 8))
    return _attributed(table, at + 8, inode, large)


def _special(table: Table, at: int, inode: Inode, large: bool, _: int) -> int:
    (inode.links,) = struct.unpack("<I", table.take(at, 4))
    return _attributed(table, at + 4, inode, large)


def _attributed(table: Table, at: int, inode: Inode, large: bool) -> int:
    if large:
        (inode.xattr,) = struct.unpack("<I", table.take(at, 4))
    return at + 4 * large


_READ: Final = (_directory, _file, _symlink, _device, _device, _special, _special)


class Listing(Struct, kw_only=True):
    """A directory's listing: its place in the table, its names (name, reference, type, inode number), and the first
    name of each header with the block that the header starts in."""

    start: int
    end: int
    names: list[tuple[bytes, int, int, int]]
    heads: dict[int, tuple[int, bytes]]


def listing(table: Table, folder: Inode) -> Listing:
    """The listing of a directory, to the last byte of its stated size."""
    if not folder.size:
        return Listing(start=0, end=0, names=[], heads={})
    start = table.position(folder.start << 16 | folder.offset)
    at, end = start, start + folder.size
    names: list[tuple[bytes, int, int, int]] = []
    heads: dict[int, tuple[int, bytes]] = {}
    while at < end:
        head = at
        count, block, base = struct.unpack("<III", table.take(at, 12))
        at += 12
        if count > 255:
            raise Refused("directory", "more than 256 names under one header")
        for _ in range(count + 1):
            offset, delta, sort, length = struct.unpack("<HhHH", table.take(at, 8))
            if length > 255:
                raise Refused("directory", "a name that is too long")
            name = table.take(at + 8, length + 1)
            names.append((name, block << 16 | offset, sort, base + delta))
            heads.setdefault(head - start, (table.reference(head) >> 16, name))
            at += 9 + length
    if at != end:
        raise Refused("directory", "names beyond its end")
    return Listing(start=start, end=end, names=names, heads=heads)
