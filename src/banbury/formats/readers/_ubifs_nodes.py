"""UBIFS on flash: the layout of nodes, the superblock and the master node, and the walk over an eraseblock.

Source: Linux fs/ubifs/ubifs-media.h, sb.c, master.c and scan.c. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.formats.readers._flash import crc32
from banbury.formats.view import View
from banbury.model.errors import Malformed, Truncated

MAGIC: Final = b"\x31\x18\x10\x06"
INO, DATA, DENT, XENT, TRUN, PAD, SB, MST, REF, IDX, CS, ORPH, AUTH, SIG = range(14)
NAMES: Final = (
    "inode node",
    "data node",
    "directory entry",
    "extended attribute entry",
    "truncation node",
    "padding node",
    "superblock",
    "master node",
    "log reference",
    "index node",
    "commit start",
    "orphan node",
    "authentication node",
    "signature node",
)
#: Fixed part of each type of node in bytes, the common header included.
FIXED: Final = (160, 48, 56, 56, 56, 28, 4096, 512, 64, 28, 32, 32, 24, 28)
#: Bytes of content in one data node.
BLOCK: Final = 4096
IN_GROUP: Final = 1

HEAD: Final = struct.Struct("<IIQIBB2x")  # magic, CRC of the rest, sequence number, length, type, group type
INODE: Final = struct.Struct("<40xQQqqqIIIIIIIII")
DIRENT: Final = struct.Struct("<24xII8xQxBH4x")  # key, inode, type, length of the name
DATA_NODE: Final = struct.Struct("<24xII8xIHH")  # key, unpacked size, compressor
TRUNCATION: Final = struct.Struct("<24xI12xQQ")
INDEX: Final = struct.Struct("<24xHH")
BRANCH: Final = struct.Struct("<IIIII")  # eraseblock, offset, length, key
REFERENCE: Final = struct.Struct("<24xIII")
_SB: Final = struct.Struct("<24x2xBBIIIIIQIIIIIIIH2xIIQI16sI")
_MST: Final = struct.Struct("<24xQQIIIIIIIIQ")
_NODE_MAGIC: Final = 0x06101831


class Node(Struct, frozen=True, array_like=True):
    """Where a node is. ``group`` is 1 within a group of nodes that count only together, 2 for its last."""

    pos: int
    length: int
    kind: int
    sequence: int
    group: int


class Superblock(Struct, frozen=True, kw_only=True):
    """The superblock's geometry. Sizes in bytes, areas in logical eraseblocks (LEBs)."""

    flags: int
    min_io: int
    leb_size: int
    leb_count: int
    log_lebs: int
    lpt_lebs: int
    orphan_lebs: int
    version: int
    compressor: int
    uuid: bytes

    @property
    def log(self) -> int:
        """The first LEB of the log: the superblock has one, the master node two."""
        return 3

    @property
    def lpt(self) -> int:
        return self.log + self.log_lebs

    @property
    def orphans(self) -> int:
        return self.lpt + self.lpt_lebs

    @property
    def main(self) -> int:
        return self.orphans + self.orphan_lebs


class Master(Struct, frozen=True, kw_only=True):
    """The master node of the last commit: where the index' root and the log are."""

    commit: int
    flags: int
    log: int
    root: tuple[int, int, int]
    index_size: int


def head_at(view: View, pos: int, end: int) -> Node | None:
    """A node's header at ``pos`` where it is plausible and the node ends by ``end``. The checksum is not looked at."""
    if pos + 24 > end:
        return None
    magic, _, sequence, length, kind, group = view.unpack(HEAD, pos)
    if magic != _NODE_MAGIC or kind >= len(FIXED) or length < FIXED[kind] or pos + length > end:
        return None
    return Node(pos, length, kind, sequence, group)


def is_sound(view: View, node: Node) -> bool:
    """Whether the node's checksum matches."""
    return crc32(view.mem(node.pos + 8, node.length - 8)) == view.u32(node.pos + 4)


def walk(view: View, start: int, end: int) -> Iterator[Node]:
    """The nodes between ``start`` and ``end`` (one eraseblock), checksums not looked at."""
    pos = start
    while pos >= 0:
        node = head_at(view, pos, end)
        if node is not None:
            yield node
            pos = (pos + node.length + 7) & ~7
            continue
        pos = view.find(MAGIC, pos + 1, end)
        while pos >= 0 and (pos - start) % 8:
            pos = view.find(MAGIC, pos + 1, end)


def superblock(view: View, start: int) -> Superblock:
    """The superblock at ``start``. Raises Malformed where there is none or its geometry is impossible."""
    if start + FIXED[SB] > len(view):
        raise Truncated("no room for a UBIFS superblock", offset=start)
    node = head_at(view, start, len(view))
    if node is None or node.kind != SB:
        raise Malformed("no UBIFS superblock", offset=start)
    if not is_sound(view, node):
        raise Malformed("the UBIFS superblock's checksum is wrong", offset=start)
    f = view.unpack(_SB, start)
    uuid = f[20]
    assert isinstance(uuid, bytes)
    found = Superblock(
        flags=f[2],
        min_io=f[3],
        leb_size=f[4],
        leb_count=f[5],
        log_lebs=f[8],
        lpt_lebs=f[9],
        orphan_lebs=f[10],
        version=f[14],
        compressor=f[15],
        uuid=uuid,
    )
    if not FIXED[SB] <= found.leb_size <= 1 << 26 or found.leb_size % 8 or found.main >= found.leb_count:
        raise Malformed(f"UBIFS: {found.leb_count} LEBs of {found.leb_size} bytes", offset=start)
    return found


def masters(view: View, sb: Superblock) -> list[Master]:
    """The last sound master node of each of the two LEBs that hold one."""
    out: list[Master] = []
    for lnum in (1, 2):
        last: Node | None = None
        end = min((lnum + 1) * sb.leb_size, len(view))
        for node in walk(view, lnum * sb.leb_size, end):
            if node.kind == MST and is_sound(view, node):
                last = node
        if last is not None:
            f = view.unpack(_MST, last.pos)
            out.append(Master(commit=f[1], flags=f[2], log=f[3], root=(f[4], f[5], f[6]), index_size=f[10]))
    return out
