"""Images of the ext family with attributes that Linux finds by number, and tables of inodes that it counts otherwise.

See :mod:`tests.equivalence.consumer_pairs_ext`.
"""

from __future__ import annotations

import struct
from typing import Final

from banbury.compare.equivalence.containers._ext_inodes import _hash
from tests.equivalence.consumer_pairs_ext import ext
from tests.equivalence.consumer_pairs_tools import TEXT
from tests.equivalence.container_pairs import harmless, tampered
from tests.equivalence.extfs import Ext
from tests.equivalence.pairs import Sample

_BARE: Final = ("-I", "128", "-O", "none,ext_attr,filetype,sparse_super,large_file,extent")
#: Access list of version 1: the group gets nothing, user 33 may read, and the mask is what the mode shows.
_LIST: Final = struct.pack("<IHHHHIHHHHHH", 1, 1, 6, 2, 4, 33, 4, 0, 16, 6, 32, 0)


def _listed(number: int, index: int, name: bytes, stored: bytes = _LIST) -> bytes:
    """A file with an access list in a block, under a number of a prefix and the rest of a name."""
    image = Ext(ext(_BARE, number=number, text=TEXT))
    at, block = image.inode(image.named(b"text")), image.take()
    image.put(at, 0o100660)
    image.put(at + 0x68, block, 4)
    image.put(at + 0x1C, image.u32(at + 0x1C) + image.block // 512, 4)
    offset, known = image.block - (len(stored) + 3 & ~3), max(_hash(name, stored))
    entry = struct.pack("<BBHIII", len(name), index, offset, 0, len(stored), known) + name
    made = bytearray(image.block)
    made[:16] = struct.pack("<IIII", 0xEA020000, 1, 1, known)  # fs/ext4/xattr.c, ext4_xattr_rehash: its only entry's
    made[32 : 32 + len(entry)] = entry
    made[offset : offset + len(stored)] = stored
    image.raw[block * image.block : (block + 1) * image.block] = made
    return image.whole()


@harmless("ext4-access-list")
def _() -> Sample:
    return Sample(_listed(1, 2, b""), _listed(2, 2, b""))


@tampered("ext4-access-list-by-name")
def _() -> Sample:
    """The same name, and Linux does not take it for the list: the mode's group bits are for the group then."""
    return Sample(_listed(1, 2, b""), _listed(2, 7, b"posix_acl_access"))


@tampered("ext4-access-list-with-name")
def _() -> Sample:
    return Sample(_listed(1, 2, b"x"), _listed(2, 2, b"x"))


_NOBODY: Final = 0xFFFFFFFF
#: The list as getxattr(2) gives it, with more behind it, with an entry of no sort, and cut.
_WRONG: Final = {
    "shown": struct.pack(
        "<IHHIHHIHHIHHIHHI", 2, 1, 6, _NOBODY, 2, 4, 33, 4, 0, _NOBODY, 16, 6, _NOBODY, 32, 0, _NOBODY
    ),
    "longer": _LIST + b"\0\0",
    "unknown": _LIST[:-4] + b"\x40\0\0\0",
    "cut": _LIST[:16],
}

for _what, _stored in _WRONG.items():

    @tampered(f"ext4-access-list-{_what}")
    def _(stored: bytes = _stored) -> Sample:
        """Linux takes no such list, and lets nobody but the owner open the file."""
        return Sample(_listed(1, 2, b"", stored), _listed(2, 2, b"", stored))


def _fewer(per_group: int) -> Sample:
    """Fewer inodes a group on both sides, of which a table's last block holds less than it could."""
    made = []
    for number in (1, 2):
        sample = ext(("-I", "256", "-b", "4096", "-N", "64", "-O", "none,filetype,sparse_super"), number=number)
        image = Ext(sample)
        old, (group,) = image.sb.inodes_per_group, image.groups
        bits = image.inode_bitmaps[0] * image.block
        gone = old - per_group
        assert not any(image.raw[bits + per_group // 8 : bits + old // 8]), "in use"
        image.raw[bits + per_group // 8 : bits + old // 8] = b"\xff" * (gone // 8)
        image.put(group + 14, image.u16(group + 14) - gone)
        for at in (0, 0x10, 0x28):  # inodes, those that are free, those of a group
            image.put(1024 + at, image.u32(1024 + at) - gone, 4)
        made.append(image.whole(counted=False))
    return Sample(*made)


@tampered("ext2-inodes-within-a-block")
def _() -> Sample:
    """Linux counts one block less for the table, and gives it away."""
    return _fewer(56)


@tampered("ext2-blocks-within-a-byte")
def _() -> Sample:
    """Blocks of a group that do not fill the last byte of its bitmap: e2fsck takes them in bytes."""
    made = []
    for number in (1, 2):
        image = Ext(ext(("-I", "256", "-O", "none,filetype,sparse_super"), number=number))
        for at in (0x20, 0x24):
            image.put(1024 + at, 8191, 4)
        made.append(image.whole())
    return Sample(*made)


@tampered("ext4-resize-inode-empty")
def _() -> Sample:
    """Nothing lists the blocks that are kept for growing: e2fsck clears them, and the file system cannot grow."""
    made = []
    for number in (1, 2):
        image = Ext(ext(("-t", "ext4", "-O", "resize_inode,^has_journal,^64bit"), number=number))
        at, reserved = image.inode(7), image.table + image.sb.block
        listed = image.u32(at + 40 + 13 * 4)
        image.used(listed, False)
        image.raw[listed * 1024 : listed * 1024 + 1024] = bytes(1024)
        image.raw[reserved : reserved + image.sb.reserved_gdt * 1024] = bytes(image.sb.reserved_gdt * 1024)
        for field in (4, 28, 40 + 13 * 4, 0x6C):
            image.put(at + field, 0, 4)
        made.append(image.whole())
    return Sample(*made)


@tampered("ext4-resize-inode-none")
def _() -> Sample:
    """The feature without its inode, and no descriptors reserved: e2fsck finds that out of order, and stops the boot
    where it looks (every 20 times that it is mounted)."""
    made = [
        Ext(ext(("-t", "ext4", "-O", f"{o}resize_inode,^has_journal,^64bit"), number=n)) for n, o in ((2, ""), (1, "^"))
    ]
    made[1].put(1024 + 0x5C, made[1].u32(1024 + 0x5C) | 0x10, 4)
    made[1].put(1024 + 0x34, 25)
    for image in made:
        image.put(1024 + 0x36, 20)
    return Sample(*(image.whole() for image in made))


_LAZY: Final = ("-t", "ext4", "-g", "1024", "-N", "128", "-O", "none,filetype,sparse_super,extent,metadata_csum")


def _lazy(number: int, *, moved: bool) -> bytes:
    """Tables of inodes that are not said to be zeroed; ``moved``: none of the first group's is in use but the first
    ten, all files stand in the second."""
    image = Ext(ext(_LAZY, number=number))
    for group in image.groups:
        image.put(group + 0x12, image.u16(group + 0x12) & ~4)
    if not moved:
        return image.whole()
    per, first = image.sb.inodes_per_group, [n for n in image.live if n > 10]
    numbers = {old: per + 1 + k for k, old in enumerate(first)}
    for old, new in numbers.items():
        size, here, there = image.sb.inode_size, image.inode(old), image.inode(new)
        image.raw[there : there + size] = image.raw[here : here + size]
        image.raw[here : here + size] = bytes(size)
    for block, _ in image.names:
        at, end = block * 1024, (block + 1) * 1024 - 12
        while at < end:
            image.put(at, numbers.get(image.u32(at), image.u32(at)), 4)
            at += image.u16(at + 4)
    image.names = [(block, numbers.get(n, n)) for block, n in image.names]
    image.maps = [(block, numbers.get(n, n)) for block, n in image.maps]
    for group, count in ((0, 10), (1, len(first))):
        bits = (1 << count) - 1 | (1 << 8192) - 1 >> per << per
        at = image.inode_bitmaps[group] * 1024
        image.raw[at : at + 1024] = bits.to_bytes(1024, "little")
        image.put(image.groups[group] + 0x1C, per - count)
    one, two = image.groups[:2]
    image.put(two + 16, image.u16(one + 16) - 1)
    image.put(one + 16, 1)
    image.put(two + 0x12, image.u16(two + 0x12) & ~1)
    return image.whole()


@harmless("ext4-tables-not-zeroed")
def _() -> Sample:
    return Sample(_lazy(1, moved=False), _lazy(2, moved=False))


@tampered("ext4-tables-not-zeroed-first")
def _() -> Sample:
    """Linux finds an error when it zeroes the table, and remounts read-only."""
    return Sample(_lazy(1, moved=True), _lazy(2, moved=True))


@tampered("ext4-reserved-descriptors")
def _() -> Sample:
    """More of them than Linux mounts, and than one block lists."""
    made = []
    for number in (1, 2):
        image = Ext(ext(("-t", "ext4", "-O", "resize_inode,^has_journal,^64bit"), number=number))
        image.put(1024 + 0xCE, 257)
        made.append(image.whole(counted=False))
    return Sample(*made)
