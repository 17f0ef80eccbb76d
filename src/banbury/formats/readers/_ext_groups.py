"""The block groups of ext2/3/4: descriptors, bitmaps and inode tables, and what can be checked about them in bulk.

Source: the kernel's Documentation/filesystems/ext4/ (blockgroup.rst, group_descr.rst, bitmaps.rst, inodes.rst).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from banbury.formats.contract import Sink
from banbury.formats.readers._crc import crc16, crc16_rows, crc32c_rows
from banbury.formats.readers._disk import Blocks
from banbury.formats.readers._ext_super import SUPER_AT, Super, read_super
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Role

_INODE_UNINIT, _BLOCK_UNINIT = 1, 2
Bytes = npt.NDArray[np.uint8]


class Groups:
    """The descriptors of every group whose descriptor lies in the view, as lists by group number."""

    def __init__(self, view: View, sb: Super) -> None:
        self.view, self.sb = view, sb
        self.raw = self._descriptors(0)
        self.count = len(self.raw)
        raw, wide = self.raw, sb.desc_size >= 64
        self.block_bitmap = self._wide(raw, 0, 0x20, wide)
        self.inode_bitmap = self._wide(raw, 4, 0x24, wide)
        self.table = self._wide(raw, 8, 0x28, wide)
        checked = sb.has("uninit_bg") or sb.has("metadata_csum")
        self.flags: list[int] = raw[:, 0x12:0x14].copy().view("<u2")[:, 0].tolist() if checked else [0] * self.count
        unused = raw[:, 0x1C:0x1E].copy().view("<u2")[:, 0].astype(np.int64)
        if wide:
            unused += raw[:, 0x32:0x34].copy().view("<u2")[:, 0].astype(np.int64) << 16
        self.unused: list[int] = unused.tolist() if checked else [0] * self.count

    @staticmethod
    def _wide(raw: Bytes, low: int, high: int, wide: bool) -> list[int]:
        value = raw[:, low : low + 4].copy().view("<u4")[:, 0].astype(np.int64)
        if wide:
            value += (raw[:, high : high + 4].copy().view("<u4")[:, 0].astype(np.int64) & 0x7FFF) << 32
        out: list[int] = value.tolist()
        return out

    def descriptor_blocks(self, copy: int) -> list[int]:
        """The blocks that hold the descriptors, in order: of the first copy (group 0's) or of group ``copy``'s."""
        sb = self.sb
        first = sb.super_block(copy) + 1
        blocks = list(range(first, first + min(self._plain(), len(self.view) // sb.block + 1)))
        if copy == 0:
            blocks += [copies[0] for copies in self._meta_copies()]
        return blocks

    def _meta_copies(self) -> list[list[int]]:
        """With ``meta_bg``, each block of descriptors stands in the first, second and last group that it describes."""
        sb = self.sb
        per = sb.block // sb.desc_size
        inside = len(self.view) // sb.block // sb.blocks_per_group + 1
        out = []
        for number in range(self._plain(), min(-(-sb.groups // per), inside // per + 1)):
            groups = [g for g in (number * per, number * per + 1, number * per + per - 1) if g < sb.groups]
            out.append([sb.super_block(g) + sb.has_super(g) for g in groups])
        return out

    def _descriptors(self, copy: int) -> Bytes:
        """The descriptor table as rows, as much of it as lies in the view."""
        sb, pieces = self.sb, []
        need = sb.groups * sb.desc_size
        for block in self.descriptor_blocks(copy):
            if need <= 0 or (block + 1) * sb.block > len(self.view):
                break
            pieces.append(self.view.mem(block * sb.block, min(need, sb.block)))
            need -= sb.block
        return np.frombuffer(b"".join(pieces), np.uint8).reshape(-1, sb.desc_size)

    def bits(self, block: int, count: int) -> Bytes:
        """A bitmap's first ``count`` bits, one in each byte. Raises ``Truncated``."""
        data = np.frombuffer(self.view.mem(block * self.sb.block, -(-count // 8)), np.uint8)
        return np.unpackbits(data, bitorder="little")[:count]

    def check_descriptors(self, sink: Sink) -> None:
        """Compare the stored checksums of the descriptors; one note for all that differ."""
        sb = self.sb
        if not (sb.has("metadata_csum") or sb.has("uninit_bg")) or not self.count:
            return
        stored = self.raw[:, 0x1E:0x20].copy().view("<u2")[:, 0]
        numbers = np.arange(self.count, dtype="<u4").view(np.uint8).reshape(-1, 4)
        if sb.has("metadata_csum"):
            rows = np.hstack((numbers, self.raw))
            rows[:, 4 + 0x1E : 4 + 0x20] = 0
            found = crc32c_rows(sb.seed, rows) & np.uint32(0xFFFF)
        else:
            rows = np.hstack((numbers, self.raw[:, :0x1E], self.raw[:, 0x20:]))
            found = crc16_rows(crc16(0xFFFF, sb.uuid), rows)
        bad = np.flatnonzero(found != stored)
        if bad.size:
            sink.note("checksum", f"{bad.size} group descriptors, the first of group {bad[0]}")

    def claim(self, blocks: Blocks, sink: Sink) -> None:
        """Own superblocks, descriptors, bitmaps and inode tables."""
        sb, size, taken = self.sb, self.sb.block, 0
        if size == 1024:
            blocks.claim(0)  # the boot block
        sink.own(SUPER_AT, SUPER_AT + 1024, Role.HEADER, "superblock")
        for group in range(self.count):
            if sb.has_super(group) or group == 0:
                taken += self._claim_copies(group, blocks, sink)
            block, inode, table = self.block_bitmap[group], self.inode_bitmap[group], self.table[group]
            flags = self.flags[group]
            taken += blocks.claim(block, 1, 1 if flags & _BLOCK_UNINIT else 3)
            taken += blocks.claim(inode, 1, 1 if flags & _INODE_UNINIT else 3)
            if not flags & _BLOCK_UNINIT:
                bits = min(sb.blocks_per_group // sb.cluster, 8 * size)
                sink.own(block * size, block * size + -(-bits // 8), Role.TABLE, "block bitmap")
            if not flags & _INODE_UNINIT:
                sink.own(inode * size, inode * size + -(-sb.inodes_per_group // 8), Role.TABLE, "inode bitmap")
            taken += blocks.claim(table, sb.table_blocks, 1)
            live = self.live(group)
            if live:
                end = table * size + live * sb.inode_size
                blocks.claim(table, -(-live * sb.inode_size // size))
                sink.own(table * size, end, Role.TABLE, "inode table")
        for copies in self._meta_copies():
            taken += self._claim_meta(copies, blocks, sink)
        if taken:
            sink.note("overlap", f"{taken} blocks are claimed by two structures of the block groups")

    def _claim_meta(self, copies: list[int], blocks: Blocks, sink: Sink) -> int:
        taken, size = 0, self.sb.block
        first = self.view.sub(copies[0] * size, size).take(0, size) if (copies[0] + 1) * size <= len(self.view) else b""
        for block in copies:
            same = self.view.startswith(first, block * size)
            taken += blocks.claim(block, 1, 3 if same else 1)
            if same:
                sink.own(block * size, (block + 1) * size, Role.TABLE, "group descriptors")
            else:
                sink.note("mismatch", "a copy of group descriptors differs", start=block * size)
        return taken

    def _plain(self) -> int:
        """How many blocks of descriptors stand in a row behind the superblock."""
        sb = self.sb
        total = -(-sb.groups // (sb.block // sb.desc_size))
        return total if sb.first_meta_bg < 0 else min(sb.first_meta_bg, total)

    def live(self, group: int) -> int:
        """How many inodes at the start of the group's table are initialised."""
        if self.flags[group] & _INODE_UNINIT:
            return 0
        return max(0, self.sb.inodes_per_group - self.unused[group])

    def _claim_copies(self, group: int, blocks: Blocks, sink: Sink) -> int:
        """The superblock and the descriptors of one group that has them; the copies are compared with the first."""
        sb, size = self.sb, self.sb.block
        start = sb.super_block(group)
        taken = blocks.claim(start)
        if group:
            self._compare_super(group, start * size, sink)
        first = start + 1
        plain = self._plain()
        same = group == 0 or self._same_descriptors(group)
        taken += blocks.claim(first, plain, 3 if same else 1)
        name = "group descriptors" if group == 0 else "copy of the group descriptors"
        if same:
            sink.own(first * size, (first + plain) * size, Role.TABLE, name)
        else:
            sink.note("mismatch", f"group {group}'s copy of the descriptors differs", start=first * size)
        for block in range(first + plain, first + plain + sb.reserved_gdt):
            known = self._reserved(block, group)
            taken += blocks.claim(block, 1, 3 if known else 1)
            if known:
                sink.own(block * size, (block + 1) * size, Role.TABLE, "reserved group descriptors")
        return taken

    def _compare_super(self, group: int, at: int, sink: Sink) -> None:
        try:
            copy = read_super(self.view, at)
        except Malformed:
            sink.note("mismatch", f"group {group} has no copy of the superblock", start=at)
            return
        sink.own(at, at + 1024, Role.HEADER, "copy of the superblock")
        sb = self.sb
        for name in ("inodes", "blocks", "blocks_per_group", "inode_size", "uuid"):
            if getattr(copy, name) != getattr(sb, name):
                sink.note("mismatch", f"group {group}'s copy of the superblock states another {name}", start=at)

    def _same_descriptors(self, group: int) -> bool:
        copy = self._descriptors(group)[: self.count]
        fields = self.raw[: len(copy)]
        if not np.array_equal(copy[:, :12], fields[:, :12]):
            return False
        return self.sb.desc_size < 64 or np.array_equal(copy[:, 0x20:0x2C], fields[:, 0x20:0x2C])

    def _reserved(self, block: int, group: int) -> bool:
        """Whether a block set aside for more descriptors holds only what the resize inode puts there: in the first
        copy the places of the others, in the others nothing."""
        at = block * self.sb.block
        if at + self.sb.block > len(self.view):
            return False
        words = np.frombuffer(self.view.mem(at, self.sb.block), "<u4").astype(np.int64)
        used = words[words != 0]
        if group:
            return not used.any()
        return bool(np.all((used - block) % self.sb.blocks_per_group == 0))

    def inode_offset(self, number: int) -> int:
        """Where an inode stands, in bytes. Raises ``Malformed`` for a number that the file system has not."""
        group, index = divmod(number - 1, self.sb.inodes_per_group)
        if not 0 <= group < self.count:
            raise Malformed(f"inode {number} does not exist")
        return self.table[group] * self.sb.block + index * self.sb.inode_size

    def inodes_in_use(self, sink: Sink) -> npt.NDArray[np.int64]:
        """The numbers of all inodes that the bitmaps call used. Notes inode checksums that do not match and
        inodes that are free and yet not empty."""
        sb, out, bad, deleted = self.sb, [], [], 0
        seen: set[int] = set()
        for group in range(self.count):
            live = self.live(group)
            at = self.table[group] * sb.block
            live = min(live, (len(self.view) - at) // sb.inode_size)
            bitmap_end = self.inode_bitmap[group] * sb.block + -(-sb.inodes_per_group // 8)
            if live <= 0 or at in seen or bitmap_end > len(self.view):
                continue
            seen.add(at)
            bits = self.bits(self.inode_bitmap[group], sb.inodes_per_group)[:live].astype(np.bool_)
            table = np.frombuffer(self.view.mem(at, live * sb.inode_size), np.uint8).reshape(live, sb.inode_size)
            filled = table.view("<u8").any(axis=1)
            deleted += int(np.count_nonzero(filled & ~bits))
            numbers = np.flatnonzero(bits)
            first = group * sb.inodes_per_group + 1
            out.append(numbers + first)
            if sb.has("metadata_csum"):
                checked = np.flatnonzero(bits & filled)
                wrong = self._bad_inodes(table[checked], checked + first)
                bad += wrong
        if bad:
            sink.note("checksum", f"{len(bad)} inodes, the first is {bad[0]}")
        if deleted:
            sink.note("hidden", f"{deleted} inodes are free but not empty (deleted files)")
        return np.concatenate(out) if out else np.empty(0, np.int64)

    def _bad_inodes(self, rows: Bytes, numbers: npt.NDArray[np.int64]) -> list[int]:
        """Which inodes' checksums do not match."""
        if not len(rows):
            return []
        stored = rows[:, 0x7C:0x7E].copy().view("<u2")[:, 0].astype(np.uint32)
        number = numbers.astype("<u4").view(np.uint8).reshape(-1, 4)
        body = rows.copy()
        body[:, 0x7C:0x7E] = 0
        mask = np.full(len(rows), 0xFFFF, np.uint32)
        if rows.shape[1] > 128:
            extra = rows[:, 0x80:0x82].copy().view("<u2")[:, 0]
            high = rows[:, 0x82:0x84].copy().view("<u2")[:, 0].astype(np.uint32)
            has = extra >= 4
            body[has, 0x82:0x84] = 0
            stored[has] |= high[has] << 16
            mask[has] = 0xFFFFFFFF
        found = crc32c_rows(self.sb.seed, np.hstack((number, rows[:, 0x64:0x68], body)))
        return [int(n) for n in numbers[(found & mask) != stored]]

    def free_blocks(self, used: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """For each block of the map: do the bitmaps call it free? (In an uninitialised group, what is not ``used``.)"""
        sb, count = self.sb, len(used)
        free = np.zeros(count, np.bool_)
        for group in range(self.count):
            start = sb.group_start(group)
            number = min(sb.blocks_per_group, count - start)
            if number <= 0:
                break
            if self.flags[group] & _BLOCK_UNINIT:
                free[start : start + number] = ~used[start : start + number]
                continue
            at = self.block_bitmap[group] * sb.block
            clusters = -(-number // sb.cluster)
            if at + -(-clusters // 8) > len(self.view):
                continue
            bits = np.repeat(self.bits(self.block_bitmap[group], clusters), sb.cluster)[:number]
            free[start : start + number] = bits == 0
        return free


def describe(sb: Super, sink: Sink) -> None:
    """The superblock's facts worth showing."""
    sink.property("block size", f"{sb.block} bytes")
    sink.property("blocks", str(sb.blocks))
    sink.property("inodes", str(sb.inodes))
    sink.property("features", ", ".join(sorted(sb.features)))
    sink.property("uuid", sb.uuid.hex())
    sink.property("made", str(sb.made))
    for name, value in (("label", sb.label), ("last mounted on", sb.last_mounted)):
        if value:
            sink.property(name, value.decode("utf-8", "backslashreplace"))
