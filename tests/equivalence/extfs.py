"""An ext image to be changed: its structures by their places, and its counters, checksums and copies put right.

Source: Linux ``Documentation/filesystems/ext4``.
"""

from __future__ import annotations

import struct

from banbury.formats.readers._crc import crc16, crc32c
from banbury.formats.readers._ext_super import SUPER_AT, read_super
from banbury.formats.view import View

_EXTENTS = 0x80000
_FOLDER = 0o040000


class Ext:
    """``raw`` is the image. Places are those of the image as it was given: what is changed does not move them."""

    def __init__(self, sample: bytes) -> None:
        self.raw, self.sample = bytearray(sample), sample
        self.sb = sb = read_super(View(sample), SUPER_AT)
        self.block, self.size = sb.block, sb.desc_size
        self.table = (sb.first_data_block + 1) * sb.block
        self.groups = [self.table + g * self.size for g in range(sb.groups)]
        self.bitmaps, self.inode_bitmaps, self.tables = ([self.u32(g + at) for g in self.groups] for at in (0, 4, 8))
        self.live = [n for n in range(1, sb.inodes + 1) if any(sample[self.inode(n) : self.inode(n) + 128])]
        #: Blocks of maps and of names, with the inodes that they are of.
        self.maps: list[tuple[int, int]] = []
        self.names: list[tuple[int, int]] = []
        for number in self.live:
            self._met(number)

    def _met(self, number: int) -> None:
        at = self.inode(number)
        if self.u32(at + 32) & _EXTENTS:
            waiting, leaves = [at + 40], list[int]()
            while waiting:
                node = waiting.pop(0)
                count, depth = self.u16(node + 2), self.u16(node + 6)
                for entry in range(node + 12, node + 12 + 12 * count, 12):
                    if depth:
                        self.maps.append((self.u32(entry + 4), number))
                        waiting.append(self.u32(entry + 4) * self.block)
                    else:
                        leaves += range(self.u32(entry + 8), self.u32(entry + 8) + self.u16(entry + 4))
        else:
            leaves = [block for block in struct.unpack_from("<12I", self.raw, at + 40) if block]
            indirect = self.u32(at + 88)
            if self.u32(at + 28) and indirect and number > 8:
                self.maps.append((indirect, number))
        if self.u16(at) & 0o170000 == _FOLDER:
            self.names += [(block, number) for block in leaves]

    def u16(self, at: int) -> int:
        return int.from_bytes(self.raw[at : at + 2], "little")

    def u32(self, at: int) -> int:
        return int.from_bytes(self.raw[at : at + 4], "little")

    def put(self, at: int, value: int, size: int = 2) -> None:
        self.raw[at : at + size] = value.to_bytes(size, "little")

    def inode(self, number: int) -> int:
        """Where an inode stands."""
        group, index = divmod(number - 1, self.sb.inodes_per_group)
        return self.tables[group] * self.block + index * self.sb.inode_size

    def named(self, name: bytes) -> int:
        """The number of the inode of a name, wherever it is."""
        for block, _ in self.names:
            at, end = block * self.block, (block + 1) * self.block
            while at < end and self.u16(at + 4):
                if self.raw[at + 8 : at + 8 + self.raw[at + 6]] == name:
                    return self.u32(at)
                at += self.u16(at + 4)
        raise KeyError(name)

    def folder(self, number: int) -> int:
        """Where the names of a folder stand."""
        return next(block for block, of in self.names if of == number) * self.block

    def used(self, block: int, value: bool) -> None:
        """Mark a block as used, or as free."""
        group, bit = divmod(block - self.sb.first_data_block, self.sb.blocks_per_group)
        at, mask = self.bitmaps[group] * self.block + bit // 8, 1 << bit % 8
        assert bool(self.raw[at] & mask) != value
        self.raw[at] ^= mask

    def free(self, group: int = 0) -> int:
        """The last free block of a group."""
        for bit in reversed(range(self.sb.blocks_per_group)):
            if not self.raw[self.bitmaps[group] * self.block + bit // 8] >> bit % 8 & 1:
                return self.sb.group_start(group) + bit
        raise KeyError(group)

    def take(self, group: int = 0) -> int:
        """A free block, which is in use then."""
        block = self.free(group)
        self.used(block, True)
        return block

    # What follows from the rest

    def whole(self, *, counted: bool = True) -> bytes:
        """The image with its checksums and copies put right; ``counted``: what is free as well."""
        if counted:
            self._count()
        if self.sb.has("metadata_csum"):
            self._sums()
        for number, at in enumerate(self.groups):
            self._described(number, at)
        if self.sb.has("metadata_csum"):
            self.put(SUPER_AT + 0x3FC, crc32c(0xFFFFFFFF, bytes(self.raw[SUPER_AT : SUPER_AT + 0x3FC])), 4)
        for group in range(1, self.sb.groups):
            if self.sb.has_super(group):
                self._copy(group)
        return bytes(self.raw)

    def _parts(self) -> tuple[tuple[int, int, int, int, list[int], int], ...]:
        """Of blocks and of inodes: where groups and superblock count the free ones, and the two halves of the bitmap's
        checksum; the bitmaps, and how many bits each has."""
        return (
            (0xC, 0xC, 0x18, 0x38, self.bitmaps, self.sb.blocks_per_group),
            (0xE, 0x10, 0x1A, 0x3A, self.inode_bitmaps, self.sb.inodes_per_group),
        )

    def _written(self, place: int, bits: int) -> bytes:
        """A bitmap; empty where it was not written (of a group in which nothing is in use)."""
        found = bytes(self.raw[place * self.block : place * self.block + bits // 8])
        return found if any(found) else b""

    def _count(self) -> None:
        for low, whole, _, _, places, per in self._parts():
            for at, place in zip(self.groups, places, strict=True):
                bits = self._written(place, per)
                if bits:
                    self.put(at + low, per - int.from_bytes(bits, "little").bit_count())
            self.put(SUPER_AT + whole, sum(self.u16(at + low) for at in self.groups), 4)

    def _sums(self) -> None:
        for number in range(1, self.sb.inodes + 1):
            at, size = self.inode(number), self.sb.inode_size
            if not self._changed(at, at + size) or not any(self.raw[at : at + size]):
                continue
            wide = size > 128 and self.u16(at + 0x80) >= 4
            self.put(at + 0x7C, 0)
            if wide:
                self.put(at + 0x82, 0)
            found = crc32c(self._seed(number), bytes(self.raw[at : at + size]))
            self.put(at + 0x7C, found & 0xFFFF)
            if wide:
                self.put(at + 0x82, found >> 16)
        for blocks, tail in ((self.maps, 4), (self.names, 12)):
            for block, number in blocks:
                at, end = block * self.block, (block + 1) * self.block - tail
                if self._changed(at, end + tail) or self._changed(self.inode(number) + 0x64, self.inode(number) + 0x68):
                    self.put(end + tail - 4, crc32c(self._seed(number), bytes(self.raw[at:end])), 4)
        for _, _, low, high, places, per in self._parts():
            for at, place in zip(self.groups, places, strict=True):
                bits = self._written(place, per)
                if bits and self._changed(place * self.block, (place + 1) * self.block):
                    found = crc32c(self.sb.seed, bits)
                    self.put(at + low, found & 0xFFFF)
                    self.put(at + high, found >> 16) if self.size >= 64 else None

    def _changed(self, start: int, end: int) -> bool:
        return self.raw[start:end] != self.sample[start:end]

    def _seed(self, number: int) -> int:
        return crc32c(self.sb.seed, struct.pack("<I", number) + bytes(self.raw[self.inode(number) + 0x64 :][:4]))

    def _described(self, number: int, at: int) -> None:
        row = bytes(self.raw[at : at + self.size])
        if self.sb.has("metadata_csum"):
            self.put(
                at + 0x1E, crc32c(self.sb.seed, struct.pack("<I", number) + row[:0x1E] + bytes(2) + row[0x20:]) & 0xFFFF
            )
        elif self.sb.has("uninit_bg"):
            uuid = bytes(self.raw[SUPER_AT + 0x68 : SUPER_AT + 0x78])
            self.put(at + 0x1E, crc16(crc16(0xFFFF, uuid + struct.pack("<I", number)), row[:0x1E] + row[0x20:]))

    def _copy(self, group: int) -> None:
        start = self.sb.group_start(group) * self.block
        copy = bytearray(self.raw[SUPER_AT : SUPER_AT + 1024])
        copy[0x3A:0x3C] = self.raw[start + 0x3A : start + 0x3C]  # mke2fs does not mark copies as clean
        copy[0x5A:0x5C] = struct.pack("<H", group)
        if self.sb.has("metadata_csum"):
            copy[0x3FC:] = struct.pack("<I", crc32c(0xFFFFFFFF, bytes(copy[:0x3FC])))
        self.raw[start : start + 1024] = copy
        size = len(self.groups) * self.size
        self.raw[start + self.block : start + self.block + size] = self.raw[self.table : self.table + size]
