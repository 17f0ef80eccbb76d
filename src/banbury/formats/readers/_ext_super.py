"""The ext2/3/4 superblock: its fields, and whether they can be those of a file system.

Source: the kernel's Documentation/filesystems/ext4/super.rst ("Super Block").
"""

from __future__ import annotations

from msgspec import Struct

from banbury.formats.readers._crc import crc32c
from banbury.formats.view import View
from banbury.model.errors import Malformed

SUPER_AT = 1024
MAGIC = b"\x53\xef"

COMPAT = {
    0x1: "dir_prealloc",
    0x2: "imagic_inodes",
    0x4: "has_journal",
    0x8: "ext_attr",
    0x10: "resize_inode",
    0x20: "dir_index",
    0x200: "sparse_super2",
    0x400: "fast_commit",
    0x800: "stable_inodes",
    0x1000: "orphan_file",
}
INCOMPAT = {
    0x1: "compression",
    0x2: "filetype",
    0x4: "needs_recovery",
    0x8: "journal_dev",
    0x10: "meta_bg",
    0x40: "extent",
    0x80: "64bit",
    0x100: "mmp",
    0x200: "flex_bg",
    0x400: "ea_inode",
    0x1000: "dirdata",
    0x2000: "metadata_csum_seed",
    0x4000: "large_dir",
    0x8000: "inline_data",
    0x10000: "encrypt",
    0x20000: "casefold",
}
RO_COMPAT = {
    0x1: "sparse_super",
    0x2: "large_file",
    0x4: "btree_dir",
    0x8: "huge_file",
    0x10: "uninit_bg",
    0x20: "dir_nlink",
    0x40: "extra_isize",
    0x80: "has_snapshot",
    0x100: "quota",
    0x200: "bigalloc",
    0x400: "metadata_csum",
    0x800: "replica",
    0x1000: "read-only",
    0x2000: "project",
    0x4000: "shared_blocks",
    0x8000: "verity",
    0x10000: "orphan_present",
}
#: Features that change where bytes are or what they mean in ways this reader does not follow.
UNREAD_FEATURES = {"compression", "dirdata"}


class Super(Struct, frozen=True, kw_only=True):
    """What the reader needs of a superblock. Sizes are in bytes, places in blocks."""

    inodes: int
    blocks: int
    free_blocks: int
    free_inodes: int
    first_data_block: int
    block: int
    cluster: int  # in blocks
    blocks_per_group: int
    inodes_per_group: int
    inode_size: int
    first_inode: int
    group: int
    desc_size: int
    reserved_gdt: int
    first_meta_bg: int
    backup_groups: tuple[int, int]
    features: frozenset[str]
    unknown: int
    state: int
    uuid: bytes
    label: bytes
    last_mounted: bytes
    made: int
    seed: int
    journal_inode: int
    mmp_block: int
    special_inodes: tuple[int, ...]
    checksum: int
    computed: int

    @property
    def groups(self) -> int:
        return -(-(self.blocks - self.first_data_block) // self.blocks_per_group)

    @property
    def table_blocks(self) -> int:
        """Blocks of one group's inode table."""
        return -(-self.inodes_per_group * self.inode_size // self.block)

    @property
    def length(self) -> int:
        """Bytes of the whole file system."""
        return self.blocks * self.block

    def has(self, feature: str) -> bool:
        return feature in self.features

    def group_start(self, group: int) -> int:
        """The first block of a group."""
        return self.first_data_block + group * self.blocks_per_group

    def super_block(self, group: int) -> int:
        """The block of a group's copy of the superblock; the descriptors follow it. (With blocks of 1 KiB and
        clusters, group 0 begins with the boot block.)"""
        shifted = group == 0 and self.block == 1024 and self.first_data_block == 0
        return self.group_start(group) + shifted

    def has_super(self, group: int) -> bool:
        """Whether a copy of the superblock stands in the group ("sparse_super")."""
        if group == 0:
            return True
        if self.has("sparse_super2"):
            return group in self.backup_groups
        if not self.has("sparse_super") or group == 1:
            return True
        for base in (3, 5, 7):
            power = base
            while power < group:
                power *= base
            if power == group:
                return True
        return False


def _features(value: int, names: dict[int, str]) -> tuple[set[str], int]:
    known = {name for bit, name in names.items() if value & bit}
    return known, value & ~sum(names)


def read_super(view: View, at: int) -> Super:
    """The superblock at ``at``. Raises ``Malformed`` where its fields cannot be those of a file system."""

    def u32(offset: int) -> int:
        return view.u32(at + offset)

    def u16(offset: int) -> int:
        return view.u16(at + offset)

    if not view.startswith(MAGIC, at + 56) or u32(24) > 6 or u16(58) & ~7 or u32(76) > 1 or u16(60) > 3:
        raise Malformed("no ext superblock", offset=at)
    raw = view.take(at, 1024)
    revision = u32(76)
    compat, odd0 = _features(u32(0x5C) if revision else 0, COMPAT)
    incompat, odd1 = _features(u32(0x60) if revision else 0, INCOMPAT)
    ro_compat, odd2 = _features(u32(0x64) if revision else 0, RO_COMPAT)
    features = frozenset(compat | incompat | ro_compat)
    wide = "64bit" in features
    block = 1024 << u32(24)
    uuid = raw[0x68:0x78]
    seed = u32(0x270) if "metadata_csum_seed" in features else crc32c(0xFFFFFFFF, uuid)
    checked = "metadata_csum" in features
    special = [u32(0x240), u32(0x244)] if "quota" in features else []
    special += [u32(0x26C)] if "project" in features else []
    special += [u32(0x280)] if "orphan_file" in features else []
    found = Super(
        inodes=u32(0),
        blocks=u32(4) + (u32(0x150) << 32 if wide else 0),
        free_blocks=u32(12) + (u32(0x158) << 32 if wide else 0),
        free_inodes=u32(16),
        first_data_block=u32(20),
        block=block,
        cluster=1 << max(0, u32(28) - u32(24)) if "bigalloc" in features and u32(28) < 30 else 1,
        blocks_per_group=u32(32),
        inodes_per_group=u32(40),
        inode_size=u16(0x58) if revision else 128,
        first_inode=u32(0x54) if revision else 11,
        group=u16(0x5A) if revision else 0,
        desc_size=(u16(0xFE) or 64) if wide else 32,
        reserved_gdt=u16(0xCE) if "resize_inode" in features else 0,
        first_meta_bg=u32(0x104) if "meta_bg" in features else -1,
        backup_groups=(u32(0x24C), u32(0x250)),
        features=features,
        unknown=odd0 | odd1 | odd2,
        state=u16(58),
        uuid=uuid,
        label=raw[0x78:0x88].split(b"\0")[0],
        last_mounted=raw[0x88:0xC8].split(b"\0")[0],
        made=u32(0x108),
        seed=seed,
        journal_inode=u32(0xE0) if "has_journal" in features else 0,
        mmp_block=u32(0x168) | u32(0x16C) << 32 if "mmp" in features else 0,
        special_inodes=tuple(number for number in special if number),
        checksum=u32(0x3FC) if checked else 0,
        computed=crc32c(0xFFFFFFFF, raw[:0x3FC]) if checked else 0,
    )
    _sane(found, at)
    return found


def _sane(sb: Super, at: int) -> None:
    size, per_group = sb.inode_size, sb.blocks_per_group
    good = (
        sb.first_data_block == (1 if sb.block == 1024 else 0)
        or (sb.cluster > 1 and sb.block == 1024 and sb.first_data_block == 0)
    ) and (
        128 <= size <= sb.block
        and size & (size - 1) == 0
        and 64 <= per_group <= 8 * sb.block * sb.cluster
        and 8 <= sb.inodes_per_group <= 8 * sb.block
        and sb.blocks > sb.first_data_block + 4
        and sb.inodes == sb.groups * sb.inodes_per_group
        and sb.groups * sb.table_blocks <= sb.blocks
        and sb.free_blocks <= sb.blocks
        and sb.free_inodes <= sb.inodes
        and 32 <= sb.desc_size <= sb.block
        and sb.desc_size & (sb.desc_size - 1) == 0
        and 10 < sb.first_inode <= sb.inodes
        and not sb.has("journal_dev")
    )
    if not good:
        raise Malformed("an ext superblock's fields contradict one another", offset=at)
