"""What a UBIFS image keeps about itself: superblock, master nodes, log, orphans, free space.

Sources: Linux ``fs/ubifs/ubifs-media.h``, ``sb.c``, ``master.c``, ``log.c``; mtd-utils ``mkfs.ubifs``.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._filesystem import constant
from banbury.compare.equivalence.containers._ubifs_lpt import Geometry, Properties
from banbury.compare.equivalence.containers._ubifs_lpt import Tree as SpaceTree
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

MAGIC: Final = b"\x31\x18\x10\x06"
INODE, DATA, ENTRY, XENTRY, PAD, SUPER, MASTER, INDEX, COMMIT, SIGNATURE = 0, 1, 2, 3, 5, 6, 7, 9, 10, 13
FILLS: Final = (0x00, 0xCE, 0xFF)
COMPRESSORS: Final = {0: "", 1: "lzo", 2: "deflate", 3: "zstd"}
BIG: Final = 0x2  # flag of the superblock: the tree of free space numbers its nodes


class _Super(Struct, frozen=True):
    key_hash: int
    key_form: int
    flags: int
    unit: int
    leb: int
    lebs: int
    most: int
    journal: int
    log: int
    space: int
    orphans: int
    heads: int
    fanout: int
    saved: int
    version: int
    compressor: int
    unused: int
    user: int
    group: int
    reserved: int
    grain: int
    uuid: bytes
    read_only: int


class _Master(Struct, frozen=True):
    highest: int
    commit: int
    flags: int
    log: int
    root: int
    root_at: int
    root_size: int
    collector: int
    head: int
    head_at: int
    index: int
    free: int
    dirty: int
    used: int
    dead: int
    dark: int
    space: int
    space_at: int
    next: int
    next_at: int
    table: int
    table_at: int
    saved: int
    saved_at: int
    scan: int
    empty: int
    index_lebs: int
    lebs: int


class Areas:
    """The areas of one image. The constructor reads what is at its start; the rest is checked when asked for."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.sb = self._super()
        self.leb = self.sb.leb
        self.lebs = len(view) // self.leb
        if len(view) % self.leb or not self.lebs <= self.sb.lebs <= self.sb.most or self.lebs < 6:
            raise Refused("superblock", "states another size than there is")
        self.first_space = 3 + self.sb.log
        self.first_orphan = self.first_space + self.sb.space
        self.first = self.first_orphan + self.sb.orphans
        self.main = self.sb.lebs - self.first
        self._valid()
        if min(self.sb.log, self.sb.space, self.sb.orphans, self.main) < 1 or self.first >= self.lebs:
            raise Refused("superblock", "areas outside of the image")
        self.master = self._masters()

    def _valid(self) -> None:
        """What Linux asks of a superblock before it mounts (``sb.c``, validate_sb; ``super.c``, init_constants_sb),
        grown as far as it allows."""
        sb = self.sb
        room = sb.leb * max(sb.most - self.first, 0)
        good = sb.log >= 2 and sb.space >= 2 and sb.most - self.first >= 9 and sb.heads == 1
        good = good and 3 * sb.leb <= sb.journal <= room and 28 + 20 * sb.fanout + 4 <= sb.leb
        good = good and sb.reserved <= room and 1 <= sb.grain <= 1_000_000_000
        # a reference for each eraseblock of the journal, in units that are written, and one eraseblock more
        references = -(-sb.journal // sb.leb) * (64 + -64 % sb.unit)
        good = good and sb.log > -(-references // sb.leb)
        if not good:
            raise Refused("superblock", "sizes that Linux does not mount", [Range(24, 108)])

    @property
    def least(self) -> int:
        """Eraseblocks of the smallest volume that Linux mounts it on."""
        sb = self.sb
        return max(sb.lebs, self.first + max(9, *(-(-size // sb.leb) for size in (sb.journal, sb.reserved))))

    def node_size(self, at: int, sort: int) -> int:
        """The size of the node at ``at``, whose header and checksum are right."""
        magic, check, sequence, size, found, group, unused = self.view.unpack(struct.Struct("<4sIQIBBH"), at)
        where = [Range(at, at + 24)]
        if magic != MAGIC or found != sort or group > 2 or unused or not 24 <= size <= self.leb - at % self.leb:  # type: ignore[comparison-overlap]
            raise Refused(f"node at {at}", "is none, or of another type", where)
        if sequence >> 62:  # near SQNUM_WATERMARK, Linux ends in read-only mode
            raise Refused(f"node at {at}", "a sequence number near the end of its range", where)
        if group and sort not in (INODE, ENTRY, XENTRY, DATA):
            raise Refused(f"node at {at}", "of a group", where)
        if zlib.crc32(self.view.mem(at + 8, size - 8)) ^ 0xFFFFFFFF != check:
            raise Refused(f"node at {at}", "its checksum is wrong", where)
        return size

    # The file system's own areas

    def _super(self) -> _Super:
        self.leb = len(self.view)
        size = self.node_size(0, SUPER)
        raw = self.view.take(0, size)
        f = struct.unpack_from("<2sBBIIIIIQIIIIIIIHHIIQI16sI", raw, 24)
        sb = _Super(*f[1:])
        good = size == 4096 and f[0] == bytes(2) and not any(raw[128:]) and not sb.unused and not sb.read_only
        good = good and not sb.key_form and not sb.key_hash and not sb.flags & ~(BIG | 0x4) and 4 <= sb.version <= 5
        good = good and sb.compressor in COMPRESSORS and sb.unit >= 8 and sb.leb >= 15360 and sb.fanout >= 3
        good = good and sb.leb % sb.unit == 0 and sb.unit & sb.unit - 1 == 0 and sb.leb <= len(self.view)
        if not good:
            raise Refused("superblock", "features that are not decided, or fields that must be zero", [Range(0, size)])
        self.rest(self._signature(size), sb.leb, sb.unit)
        return sb

    def _signature(self, at: int) -> int:
        """The end of the empty place for a signature that mkfs.ubifs leaves behind the superblock, if it does."""
        if not self.view.startswith(MAGIC, at) or self.view.u8(at + 20) not in (INODE, SIGNATURE):
            return at
        if self.node_size(at, self.view.u8(at + 20)) != 64:
            raise Refused("superblock", "is signed", [Range(at, at + 64)])
        constant(self.view, at + 24, at + 64, (0,), "signature")
        return at + 64

    def rest(self, at: int, end: int, unit: int) -> None:
        """What follows the last node of an eraseblock: padding to the unit of writing, then erased flash."""
        at = self.padded(at, -at % unit)
        constant(self.view, at, end, (0xFF,), f"behind the nodes at {at}")

    def padded(self, at: int, room: int) -> int:
        """The end of padding that starts at ``at``: fill up to eight bytes, and a padding node of at most ``room``."""
        end = at + 7 & ~7
        constant(self.view, at, end, FILLS, f"padding at {at}")
        if self.view.startswith(MAGIC, end) and self.view.u8(end + 20) == PAD:
            if self.node_size(end, PAD) != 28:
                raise Refused(f"node at {end}", "padding of another form", [Range(end, end + 28)])
            stop = end + 28 + self.view.u32(end + 24)
            constant(self.view, end + 28, stop, FILLS, f"padding at {end}")
            return stop
        stop = at + room
        if room > end - at and end < len(self.view) and self.view.u8(end) != 0xFF:
            constant(self.view, end, stop, FILLS, f"padding at {end}")
            return stop
        return end

    def _masters(self) -> _Master:
        raws = []
        for lnum in (1, 2):
            at = lnum * self.leb
            if self.node_size(at, MASTER) != 512:
                raise Refused("master node", "of another size", [Range(at, at + 512)])
            raws.append(self.view.take(at + 24, 488))
            self.rest(at + 512, at + self.leb, self.sb.unit)
        m = _Master(*struct.unpack_from("<QQ8IQQQQQQ12I", raws[0]))
        if raws[0] != raws[1] or any(raws[0][144:]) or m.flags & ~0x2:
            raise Refused("master node", "two that differ, of an image in use, or with reserved bytes in use")
        if m.lebs != self.sb.lebs or m.log != 3:
            raise Refused("master node", "contradicts the superblock")
        if m.highest >> 31 or m.commit >> 62:  # near INUM_WATERMARK, no file can be made
            raise Refused("master node", "numbers near the end of their range")
        return m

    def check_areas(self) -> None:
        at = 3 * self.leb
        if self.node_size(at, COMMIT) != 32 or self.view.u64(at + 24) != self.master.commit:
            raise Refused("log", "starts with no commit, or with another", [Range(at, at + 32)])
        self.rest(at + 32, at + self.leb, self.sb.unit)
        constant(self.view, at + self.leb, self.first_space * self.leb, (0xFF,), "log")
        constant(self.view, self.first_orphan * self.leb, self.first * self.leb, (0xFF,), "orphans")

    def properties(self) -> list[Properties]:
        sb, m = self.sb, self.master
        tree = SpaceTree(
            self.view,
            Geometry(
                leb=self.leb, lebs=sb.lebs, most=sb.most, main=self.main, first=self.first_space, count=sb.space,
                big=bool(sb.flags & BIG), saved=sb.saved,
            ),
        )  # fmt: skip
        found = tree.read(m.space, m.space_at)
        table = tree.table(m.table, m.table_at)
        if sb.flags & BIG:
            tree.saved(m.saved, m.saved_at)
        elif m.saved or m.saved_at:
            raise Refused("master node", "fields that must be zero")
        ends = {}
        for number in range(sb.space):
            lnum = self.first_space + number
            end = 0
            for _, start, stop in sorted(span for span in tree.owned if span[0] == lnum):
                if start < end:
                    raise Refused("space tree", "nodes that overlap")
                constant(self.view, lnum * self.leb + end, lnum * self.leb + start, (0xFF, 0), "space tree")
                end = stop
            start = lnum * self.leb
            constant(self.view, start + end, start + self.leb, (0xFF,), "space tree")
            ends[lnum] = end
            rounded = end + -end % sb.unit
            if table[number][0] + table[number][1] + sum(b - a for n, a, b in tree.owned if n == lnum) != self.leb:
                raise Refused("space tree", f"states {table[number]} of an eraseblock that it fills to {rounded}")
        if not self.first_space <= m.next < self.first_orphan or m.next_at < ends[m.next] or m.next_at > self.leb:
            raise Refused("master node", "would write over the space tree")
        return found
