"""What an ext file system keeps about itself: superblock, its copies, group descriptors, bitmaps, reserved blocks.

Every byte of these is exact, follows from the rest and is checked, is free, or is zero. Sources: Linux
``Documentation/filesystems/ext4`` (``super.rst``, ``group_descr.rst``, ``bitmaps.rst``); e2fsprogs ``lib/ext2fs``
(``res_gdt.c``, ``csum.c``).
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import numpy.typing as npt

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._filesystem import constant
from banbury.compare.equivalence.model import Range
from banbury.formats.readers._crc import crc16, crc32c, crc32c_rows
from banbury.formats.readers._ext_super import SUPER_AT, Super, read_super
from banbury.formats.view import View

_KNOWN: Final = frozenset((
    "has_journal", "ext_attr", "resize_inode", "dir_index", "filetype", "extent", "64bit", "flex_bg",
    "metadata_csum_seed", "sparse_super", "large_file", "huge_file", "uninit_bg", "dir_nlink", "extra_isize",
    "metadata_csum", "orphan_file",
))  # fmt: skip
#: Fields of the superblock, as (offset, size): those that must be equal in both images,
EXACT: Final = {
    "reserved blocks": (0x8, 4), "block size": (0x18, 4), "cluster size": (0x1C, 4), "most mounts": (0x36, 2),
    "errors": (0x3C, 2), "minor revision": (0x3E, 2), "check interval": (0x44, 4), "system": (0x48, 4),
    "revision": (0x4C, 4), "reserved user": (0x50, 2), "reserved group": (0x52, 2), "first inode": (0x54, 4),
    "inode size": (0x58, 2), "features": (0x5C, 12), "label": (0x78, 16), "last mounted": (0x88, 64),
    "preallocation": (0xCC, 2), "journal inode": (0xE0, 4), "hash": (0xFC, 1), "descriptor size": (0xFE, 2),
    "mount options": (0x100, 4), "extra size": (0x15C, 4), "flags": (0x160, 4), "stride": (0x164, 2),
    "stripe": (0x170, 4), "flexible groups": (0x174, 1), "checksums": (0x175, 1), "mount option text": (0x200, 64),
}  # fmt: skip
#: those that may differ,
FREE: Final = {
    "mounted": (0x2C, 4), "written": (0x30, 4), "mounts": (0x34, 2), "checked": (0x40, 4), "made": (0x108, 4),
    "kilobytes": (0x178, 8), "time digits": (0x274, 4),
}  # fmt: skip
IDENTITY: Final = {"number": (0x68, 16), "hash seed": (0xEC, 16), "checksum seed": (0x270, 4)}
#: and those that are checked here or by the reader. All other bytes are zero.
_CHECKED: Final = (
    (0, 8), (0xC, 12), (0x20, 12), (0x38, 2), (0x3A, 2), (0x5A, 2), (0x248, 4),
)  # fmt: skip
#: Those that are checked where a feature is on, and zero where it is not.
_WITH: Final = {
    "64bit": ((0x150, 12), (0xFE, 2)), "has_journal": ((0xFD, 1), (0x10C, 68)), "resize_inode": ((0xCE, 2),),
    "metadata_csum": ((0x175, 1), (0x3FC, 4)), "flex_bg": ((0x174, 1),), "metadata_csum_seed": ((0x270, 4),),
    "orphan_file": ((0x280, 4),),
}  # fmt: skip
_INODE_UNINIT, _BLOCK_UNINIT, _ZEROED = 1, 2, 4

Bytes = npt.NDArray[np.uint8]


class Disk:
    """One file system's own structures. ``claim`` takes blocks for something; ``finish`` checks what depends on all
    that was claimed."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.sb = sb = read_super(view, SUPER_AT)
        self.raw = view.take(SUPER_AT, 1024)
        self.block = sb.block
        if sb.unknown or not sb.features <= _KNOWN or sb.cluster != 1 or sb.length > len(view):
            odd = ", ".join(sorted(sb.features - _KNOWN))
            raise Refused("superblock", f"features that are not decided: {odd}", [Range(SUPER_AT, SUPER_AT + 1024)])
        if sb.group or sb.state != 1 or sb.checksum != sb.computed:
            raise Refused("superblock", "not clean, of another group, or with a wrong checksum")
        if self.raw[0x20:0x24] != self.raw[0x24:0x28]:
            raise Refused("superblock", "clusters that are no blocks", [Range(SUPER_AT + 0x20, SUPER_AT + 0x28)])
        if sb.inodes_per_group % (sb.block // sb.inode_size) or (sb.inodes_per_group | sb.blocks_per_group) % 8:
            # Linux counts a table's blocks otherwise then, or does not mount it (fs/ext4/super.c, s_itb_per_group)
            at = Range(SUPER_AT + 0x20, SUPER_AT + 0x2C)
            raise Refused("superblock", "tables of inodes that end within a block, or bitmaps within a byte", [at])
        if sb.reserved_gdt > sb.block // 4:  # Linux mounts no more (fs/ext4/super.c)
            raise Refused("superblock", "more reserved descriptors than one block lists")
        kept = int.from_bytes(self.raw[8:12], "little")
        kept |= int.from_bytes(self.raw[0x154:0x158], "little") << 32 if sb.has("64bit") else 0
        if kept > sb.blocks // 2:  # the most that mke2fs takes: what is kept for root, others cannot write to
            raise Refused("superblock", "most of its blocks are reserved", [Range(SUPER_AT + 8, SUPER_AT + 12)])
        #: What others than root may use: bytes in all and free blocks; files in all and free.
        self.room = (
            (sb.blocks * sb.block, sb.inodes),
            {
                "block": max(sb.free_blocks - kept, 0),
                "file": sb.free_inodes,
            },
        )
        self._check_zero()
        constant(view, 0, SUPER_AT, (0,), "boot block")
        constant(view, SUPER_AT + 1024, (sb.first_data_block + 1) * self.block, (0,), "behind the superblock")
        constant(view, sb.length, len(view), (0,), "behind the file system")
        self.used = np.zeros(sb.blocks, bool)
        self.used[: sb.first_data_block + 1] = True
        self.checked = sb.has("metadata_csum") or sb.has("uninit_bg")
        self.rows = self._descriptors()
        self.tables = self._places(8, 0x28)
        self.bitmaps = self._places(0, 0x20)
        self.inode_bitmaps = self._places(4, 0x24)
        self._claim_groups()
        self.live = self._inode_bits()

    def claim(self, first: int, count: int = 1) -> None:
        """Take blocks; refused where they are outside or taken."""
        if not 0 < first <= first + count <= self.sb.blocks or self.used[first : first + count].any():
            raise Refused("blocks", "outside of the file system, or used twice", [self.where(first, count)])
        self.used[first : first + count] = True

    def where(self, first: int, count: int = 1) -> Range:
        return Range(first * self.block, (first + count) * self.block)

    def field(self, span: tuple[int, int]) -> bytes:
        return self.raw[span[0] : span[0] + span[1]]

    def _check_zero(self) -> None:
        rest = bytearray(self.raw)
        bound = {span for spans in _WITH.values() for span in spans}
        known = {*EXACT.values(), *FREE.values(), *IDENTITY.values(), *_CHECKED} - bound
        for feature, spans in _WITH.items():
            known |= set(spans) if self.sb.has(feature) else set()
        for start, size in known:
            rest[start : start + size] = bytes(size)
        if any(rest):
            at = SUPER_AT + next(i for i, value in enumerate(rest) if value)
            raise Refused("superblock", "a field that is not decided is not zero", [Range(at, at + 1)])

    # Groups

    def _table_blocks(self) -> int:
        return -(-self.sb.groups * self.sb.desc_size // self.block)

    def _descriptors(self) -> Bytes:
        sb = self.sb
        start, size = (sb.first_data_block + 1) * self.block, sb.groups * sb.desc_size
        constant(self.view, start + size, start + self._table_blocks() * self.block, (0,), "group descriptors")
        rows = np.frombuffer(self.view.take(start, size), np.uint8).reshape(-1, sb.desc_size)
        wide = sb.desc_size >= 64
        zero = [(0x14, 0x18)] if self.checked else [(0x13, 0x20)]
        zero += [(0x34, 0x38), (0x3C, sb.desc_size)] if wide else []
        if not sb.has("metadata_csum"):
            zero += [(0x18, 0x1C), (0x38, 0x3C)] if wide else [(0x18, 0x1C)]
        # without checksums nobody asks whether a table of inodes was zeroed (Linux, fs/ext4/super.c)
        odd = not self.checked and (rows[:, 0x12] & ~np.uint8(_ZEROED)).any()
        if odd or any(rows[:, a:b].any() for a, b in zero) or sb.desc_size not in (32, 64):
            raise Refused("group descriptors", "reserved bytes that are not zero", [Range(start, start + size)])
        self._check_sums(rows, start)
        return rows

    def _check_sums(self, rows: Bytes, start: int) -> None:
        if not self.checked:
            return
        stored = self._low(rows, 0x1E)
        numbers = np.arange(len(rows), dtype="<u4").view(np.uint8).reshape(-1, 4)
        if self.sb.has("metadata_csum"):
            whole = np.hstack((numbers, rows))
            whole[:, 4 + 0x1E : 4 + 0x20] = 0
            found = crc32c_rows(self.sb.seed, whole) & np.uint32(0xFFFF)
        else:
            found = np.array([
                crc16(crc16(0xFFFF, self.sb.uuid + bytes(number)), row[:0x1E].tobytes() + row[0x20:].tobytes())
                for number, row in zip(numbers, rows, strict=True)
            ])  # fmt: skip
        if (found != stored).any():
            raise Refused("group descriptors", "a checksum is wrong", [Range(start, start + rows.size)])

    @staticmethod
    def _low(rows: Bytes, at: int) -> npt.NDArray[np.int64]:
        return rows[:, at : at + 2].copy().view("<u2")[:, 0].astype(np.int64)

    def _count(self, low: int, high: int) -> npt.NDArray[np.int64]:
        """A counter of 16 bits, or of 32 in two halves."""
        value = self._low(self.rows, low)
        return value + (self._low(self.rows, high) << 16) if self.sb.desc_size >= 64 else value

    def _places(self, low: int, high: int) -> list[int]:
        value = self.rows[:, low : low + 4].copy().view("<u4")[:, 0].astype(np.int64)
        if self.sb.desc_size >= 64:
            value += self.rows[:, high : high + 4].copy().view("<u4")[:, 0].astype(np.int64) << 32
        out: list[int] = value.tolist()
        return out

    def _claim_groups(self) -> None:
        sb, size = self.sb, self._table_blocks()
        self.used[sb.first_data_block] = False
        self.uncopied = False
        self.backups = [g for g in range(1, sb.groups) if sb.has_super(g)]
        for group in (0, *self.backups):
            start = sb.group_start(group)
            self.claim(start) if start else self.used.__setitem__(0, True)
            self.claim(start + 1, size)
            self.claim(start + 1 + size, sb.reserved_gdt)
            if group:
                self._check_copy(start, size, group)
        for places, count in self._parts():
            for group, place in enumerate(places):
                start = sb.group_start(group)
                inside = start <= place <= place + count <= start + sb.blocks_per_group
                if not inside and not sb.has("flex_bg"):  # fs/ext4/super.c, ext4_check_descriptors: not mounted
                    raise Refused("group descriptors", "bitmaps or inodes outside of their group", [self.where(place)])
                self.claim(place, count)

    def _parts(self) -> tuple[tuple[list[int], int], ...]:
        """Where each group's own blocks are, and how many in a row."""
        return (self.bitmaps, 1), (self.inode_bitmaps, 1), (self.tables, self.sb.table_blocks)

    def _check_copy(self, start: int, size: int, group: int) -> None:
        """A copy is the superblock but for its number (genext2fs leaves 0), its state and its checksum; or no copy was
        written (genext2fs, of several groups)."""
        end = (start + 1 + size + self.sb.reserved_gdt) * self.block
        if not self.sb.has("metadata_csum") and self.view.run(start * self.block, end) == end - start * self.block:
            constant(self.view, start * self.block, end, (0,), "copy of the superblock")
            self.uncopied = True
            return
        copy = bytearray(self.view.take(start * self.block, 1024))
        if int.from_bytes(copy[0x5A:0x5C], "little") not in (0, group) or int.from_bytes(copy[0x3A:0x3C], "little") > 1:
            raise Refused("copy of the superblock", "of another group, or not clean", [self.where(start)])
        if self.sb.has("metadata_csum") and crc32c(0xFFFFFFFF, bytes(copy[:0x3FC])) != int.from_bytes(
            copy[0x3FC:], "little"
        ):
            raise Refused("copy of the superblock", "its checksum is wrong", [self.where(start)])
        for at, length in ((0x5A, 2), (0x3A, 2), (0x3FC, 4)):
            copy[at : at + length] = self.raw[at : at + length]
        rest = self.view.take((start + 1) * self.block, size * self.block)
        first = self.view.take((self.sb.first_data_block + 1) * self.block, size * self.block)
        if bytes(copy) != self.raw or rest != first:
            raise Refused("copy of the superblock", "differs from the first", [self.where(start, size + 1)])
        constant(self.view, start * self.block + 1024, (start + 1) * self.block, (0,), "copy of the superblock")
        begin = (start + 1 + size) * self.block
        constant(self.view, begin, begin + self.sb.reserved_gdt * self.block, (0,), "reserved descriptors")

    def resize_blocks(self, block: int) -> int:
        """Check the double indirect block of the resize inode and the reserved descriptor blocks that it lists; returns
        how many blocks they are in all (``res_gdt.c``)."""
        sb, size = self.sb, self._table_blocks()
        self.claim(block)
        per = self.block // 4
        first = sb.first_data_block + 1 + size
        wanted = np.zeros(per, "<u4")
        for number in range(sb.reserved_gdt):
            wanted[(size + number) % per] = first + number
        if self.view.take(block * self.block, self.block) != wanted.tobytes():
            raise Refused("resize inode", "does not list the reserved blocks", [self.where(block)])
        for number in range(sb.reserved_gdt):
            places = [first + number + group * sb.blocks_per_group for group in self.backups]
            listed = struct.pack(f"<{len(places)}I", *places)
            if self.view.take((first + number) * self.block, self.block) != listed.ljust(self.block, b"\0"):
                raise Refused("resize inode", "does not list the reserved blocks", [self.where(first + number)])
        return 1 + sb.reserved_gdt * (1 + len(self.backups))

    # Bitmaps

    def _bits(self, block: int, count: int, *, unwritten: bool) -> Bytes:
        raw = np.frombuffer(self.view.take(block * self.block, self.block), np.uint8)
        bits = np.unpackbits(raw, bitorder="little")
        if not bits[count:].all() and (bits.any() or not unwritten):
            raise Refused("bitmap", "bits behind its end that are not set", [self.where(block)])
        return bits[:count]

    def _sum(self, block: int, bits: int) -> int:
        return crc32c(self.sb.seed, self.view.take(block * self.block, bits // 8))

    def _check_bitmap_sums(self, low: int, high: int, places: list[int], bits: int, unused: int) -> None:
        if not self.sb.has("metadata_csum"):
            return
        stored = self._count(low, high)
        mask = 0xFFFFFFFF if self.sb.desc_size >= 64 else 0xFFFF
        rows = np.vstack([
            np.frombuffer(self.view.mem(p * self.block, bits // 8), np.uint8) for p in places
        ])  # fmt: skip
        found = crc32c_rows(self.sb.seed, rows).astype(np.int64) & mask
        flags = self._low(self.rows, 0x12)
        if ((found != stored) & ~((flags & unused != 0) & (stored == 0))).any():
            raise Refused("bitmap", "a checksum is wrong")

    def _inode_bits(self) -> npt.NDArray[np.bool_]:
        """Which inodes are in use, by number less one."""
        sb = self.sb
        flags = self._low(self.rows, 0x12)
        if (flags & ~7).any():
            raise Refused("group descriptors", "flags that are not decided")
        self._check_bitmap_sums(0x1A, 0x3A, self.inode_bitmaps, sb.inodes_per_group, _INODE_UNINIT)
        rows = [
            self._bits(block, sb.inodes_per_group, unwritten=bool(flag & _INODE_UNINIT))
            for block, flag in zip(self.inode_bitmaps, flags.tolist(), strict=True)
        ]
        out = np.vstack(rows).astype(bool)
        unused = self._count(0x1C, 0x32)
        empty = np.argmax(out[:, ::-1], axis=1)
        empty[~out.any(axis=1)] = sb.inodes_per_group
        if self.checked and ((unused > empty).any() or ((flags & _INODE_UNINIT != 0) & out.any(axis=1)).any()):
            raise Refused("group descriptors", "inodes in use that are said to be unused")
        if self.checked and not flags[0] & _ZEROED and sb.inodes_per_group - unused[0] < sb.first_inode:
            # Linux takes that for an error when it zeroes the table (fs/ext4/ialloc.c, ext4_init_inode_table)
            raise Refused("group descriptors", "reserved inodes that are said to be unused")
        if (self._count(0xE, 0x2E) != (~out).sum(axis=1)).any() or sb.free_inodes != (~out).sum():
            raise Refused("group descriptors", "another number of free inodes than there is")
        return out.reshape(-1)

    def finish(self, folders: npt.NDArray[np.int64]) -> None:
        """Bitmaps and counters against what was claimed; what was not is zero. ``folders``: inode numbers."""
        sb = self.sb
        per = sb.blocks_per_group
        full = np.ones(sb.groups * per, bool)
        full[: sb.blocks - sb.first_data_block] = self.used[sb.first_data_block :]
        flags, free = self._low(self.rows, 0x12), self._count(0xC, 0x2C)
        grouped = full.reshape(-1, per)
        if (free != (~grouped).sum(axis=1)).any() or sb.free_blocks != (~full).sum():
            raise Refused("group descriptors", "another number of free blocks than there is")
        for group, block in enumerate(self.bitmaps):
            unwritten = bool(flags[group] & _BLOCK_UNINIT)
            edge = group in (0, sb.groups - 1)  # Linux refuses the first so marked, and e2fsck the last
            if unwritten and (edge or not np.array_equal(grouped[group], self._initial(group))):
                raise Refused("group descriptors", "blocks in use that are said to be unused", [self.where(block)])
            found = self._bits(block, per, unwritten=unwritten)
            if not np.array_equal(found, grouped[group]) and not (unwritten and not found.any()):
                raise Refused("block bitmap", "not the blocks that are used", [self.where(block)])
        self._check_bitmap_sums(0x18, 0x38, self.bitmaps, per, _BLOCK_UNINIT)
        count = np.bincount((folders - 1) // sb.inodes_per_group, minlength=sb.groups)
        if (self._count(0x10, 0x30) != count).any():
            raise Refused("group descriptors", "another number of directories than there is")
        self._check_free()
        overhead = int.from_bytes(self.raw[0x248:0x24C], "little")
        if overhead > sb.blocks:
            raise Refused("superblock", "more overhead than blocks")

    def _initial(self, group: int) -> npt.NDArray[np.bool_]:
        """The blocks of a group that Linux takes for used where the group's bitmap is said not to be written: its copy
        of the superblock and of the descriptors, and of its own bitmaps and inodes what lies within it. All others it
        gives away (``fs/ext4/balloc.c``, ext4_init_block_bitmap)."""
        sb, start = self.sb, self.sb.group_start(group)
        out = np.zeros(sb.blocks_per_group, bool)
        out[max(sb.blocks - start, 0) :] = True
        if sb.has_super(group):
            out[: 1 + self._table_blocks() + sb.reserved_gdt] = True
        for places, count in self._parts():
            first = places[group] - start
            out[max(first, 0) : max(first + count, 0)] = True
        return out

    def _check_free(self) -> None:
        edges = np.flatnonzero(np.diff(np.concatenate(([True], self.used, [True])).astype(np.int8)))
        for first, end in edges.reshape(-1, 2).tolist():
            constant(self.view, first * self.block, end * self.block, (0,), "free blocks")


def super_fields(disk: Disk) -> dict[str, object]:
    """The exact fields, in a form to be shown."""
    out: dict[str, object] = {name: disk.field(span).rstrip(b"\0").hex() for name, span in EXACT.items()}
    del out["reserved blocks"]  # follows from the size
    out["groups without a copy of it"] = disk.uncopied
    return out


__all__ = ["FREE", "IDENTITY", "Disk", "Super", "super_fields"]
