"""JFFS2 on flash: the layout of nodes, and the walk over them.

Source: Linux include/uapi/linux/jffs2.h, fs/jffs2/{scan,readinode,summary}.c; the OpenWrt patches for LZMA.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.formats.readers._flash import crc32_zero
from banbury.formats.view import View

MAGIC: Final = 0x1985
ACCURATE: Final = 0x2000
DIRENT: Final = 0xE001
INODE: Final = 0xE002
CLEANMARKER: Final = 0x2003
PADDING: Final = 0x2004
SUMMARY: Final = 0x2006
XATTR: Final = 0xE008
XREF: Final = 0xE009
#: Every known type (with the ACCURATE bit) and its fixed part, in bytes.
FIXED: Final = {DIRENT: 40, INODE: 68, CLEANMARKER: 12, PADDING: 12, SUMMARY: 32, XATTR: 32, XREF: 28}
SUMMARY_MAGIC: Final = 0x02851885

#: Bytes of rubbish (an erase that was cut off, for one) that may stand between two nodes.
_RUBBISH: Final = 256 << 10
#: An erased run this long may be the space between two file systems.
_LONG: Final = 4096
_BLOCKS: Final = tuple(1 << n for n in range(12, 21))
_DEFAULT_BLOCK: Final = 64 << 10


class Layout:
    """The structures in one byte order. Each but ``head`` starts behind the common 12-byte header."""

    def __init__(self, big: bool) -> None:
        order = ">" if big else "<"
        self.big = big
        self.magic = struct.pack(order + "H", MAGIC)
        self.head = struct.Struct(order + "HHII")  # magic, type, length, CRC of these first eight bytes
        self.dirent = struct.Struct(order + "IIIIBB2xII")  # parent, version, inode, time, name length, type, CRCs
        self.inode = struct.Struct(order + "IIIHHIIIIIIIBBHII")
        self.xattr = struct.Struct(order + "IIBBHII")  # id, version, prefix, name and value length, CRCs
        self.xref = struct.Struct(order + "IIII")  # inode, id, sequence number, node CRC
        self.summary = struct.Struct(order + "IIIII")  # entries, clean marker, padded, CRC of entries, node CRC
        self.u32 = struct.Struct(order + "I")
        self.two = struct.Struct(order + "II")


LAYOUTS: Final = {False: Layout(False), True: Layout(True)}


class InodeNode(Struct, frozen=True, array_like=True):
    """One data or metadata node of an inode. ``pos`` and ``total`` in bytes; the content starts at ``pos + 68``."""

    pos: int
    total: int
    ino: int
    version: int
    mode: int
    uid: int
    gid: int
    isize: int
    mtime: int
    offset: int
    csize: int
    dsize: int
    compr: int


class Dirent(Struct, frozen=True, array_like=True):
    """One name. ``ino`` 0 says that the name was deleted."""

    pos: int
    total: int
    parent: int
    version: int
    ino: int
    kind: int
    name: bytes


def node_at(view: View, layout: Layout, pos: int) -> tuple[int, int] | None:
    """Type (as stored) and length of a node whose header checks out and that fits, else ``None``.

    A node made obsolete in place has its ACCURATE bit cleared; the header's CRC was made with the bit set."""
    if pos + 12 > len(view):
        return None
    magic, kind, total, crc = view.unpack(layout.head, pos)
    if magic != MAGIC or total < 12 or pos + total > len(view):
        return None
    if kind & ACCURATE:
        good = crc32_zero(view.mem(pos, 8)) == crc
    else:
        good = crc32_zero(layout.head.pack(magic, kind | ACCURATE, total, 0)[:8]) == crc
    return (kind, total) if good else None


def next_node(view: View, layout: Layout, pos: int) -> int:
    """Where the first node at or after ``pos`` is that belongs with those before it, or -1."""
    erased = view.run(pos) if pos < len(view) and view.u8(pos) == 0xFF else 0
    pos = (pos + erased + 3) & ~3
    if node_at(view, layout, pos):
        return pos
    if erased >= _RUBBISH:
        return -1
    end = min(len(view), pos + _RUBBISH)
    while (pos := view.find(layout.magic, pos, end)) >= 0:
        if pos % 4 == 0 and node_at(view, layout, pos):
            return pos
        pos += 2
    return -1


def walk(view: View, layout: Layout) -> Iterator[tuple[int, int, int]]:
    """Position, type as stored, and length of each node, in order."""
    pos = 0
    while pos >= 0:
        found = node_at(view, layout, pos)
        if found is None:
            pos = next_node(view, layout, pos)
            continue
        yield pos, *found
        pos = (pos + found[1] + 3) & ~3


class Survey(Struct):
    """What a first pass finds: where the last node ends, how many nodes of real content, the erase block size."""

    end: int = 0
    nodes: int = 0
    good: int = 0
    block: int = _DEFAULT_BLOCK


def survey(view: View, layout: Layout) -> Survey:
    """Walk the nodes as far as they belong to one file system.

    Behind a long erased run may stand another one. It is told apart by using numbers again: two nodes of one file
    system never share inode and version unless one is a copy of the other."""
    out = Survey()
    seen: dict[tuple[int, int, int], int] = {}
    spans: list[tuple[int, int]] = []
    marks: list[int] = []
    cut: tuple[int, int, int, int] | None = None
    for pos, kind, total in walk(view, layout):
        if pos - out.end >= _LONG:
            cut = (out.end, out.nodes, len(spans), len(marks))
        identity = _identity(view, layout, pos, kind, total)
        if identity is not None:
            if seen.setdefault(identity[0], identity[1]) != identity[1] and cut is not None:
                out.end, out.nodes = cut[0], cut[1]
                del spans[cut[2] :], marks[cut[3] :]
                break
            out.good += 1
        if kind == CLEANMARKER:
            marks.append(pos)
        spans.append((pos, pos + total))
        out.end = pos + total
        out.nodes += kind | ACCURATE not in (CLEANMARKER, PADDING)
    out.block = block_size(marks, spans)
    return out


def _identity(view: View, layout: Layout, pos: int, kind: int, total: int) -> tuple[tuple[int, int, int], int] | None:
    """What names an inode or dirent node (type, inode or parent, version), and its CRC."""
    known = kind | ACCURATE
    if known == INODE and total >= 68:
        fields = view.unpack(layout.inode, pos + 12)
        good = crc32_zero(view.mem(pos, 60)) == fields[-1]
        return ((known, fields[0], fields[1]), fields[-1]) if good and kind == known else None
    if known == DIRENT and total >= 40:
        fields = view.unpack(layout.dirent, pos + 12)
        good = crc32_zero(view.mem(pos, 32)) == fields[-2]
        return ((known, fields[0], fields[1]), fields[-2]) if good and kind == known else None
    return None


def block_size(marks: list[int], spans: list[tuple[int, int]]) -> int:
    """The erase block size: clean markers stand where blocks start, and no node crosses from one to the next."""
    if len(marks) > 1:
        common = math.gcd(*(mark - marks[0] for mark in marks))
        return max(common & -common, _BLOCKS[0]) if common < _BLOCKS[-1] else _BLOCKS[-1]
    whole = (b for b in _BLOCKS if b >= _DEFAULT_BLOCK and not any(s // b != (e - 1) // b for s, e in spans))
    return next(whole, _DEFAULT_BLOCK)


def extent(view: View, found: Survey) -> int:
    """Length of the file system: to the last node, and on to the end of its erase block as far as that is erased."""
    if found.end >= len(view) or view.u8(found.end) != 0xFF:
        return found.end
    erased = found.end + view.run(found.end)
    whole = -(-found.end // found.block) * found.block
    if erased == len(view) and erased - whole < _BLOCKS[-1]:
        return erased
    return min(erased, whole)
