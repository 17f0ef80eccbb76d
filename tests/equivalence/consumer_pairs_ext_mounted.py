"""File systems of the ext family that Linux does not mount, or uses otherwise than they look.

See :mod:`tests.equivalence.consumer_pairs_ext`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from banbury.formats.readers._crc import crc32c
from tests.equivalence.consumer_pairs_ext import ext
from tests.equivalence.consumer_pairs_tools import TEXT
from tests.equivalence.container_pairs import harmless, pair, tampered
from tests.equivalence.extfs import Ext
from tests.equivalence.pairs import Sample

_BARE = "none,ext_attr,filetype,sparse_super,large_file"
_EXTENT = ("-I", "256", "-O", f"{_BARE},extent")
_CHECKED = ("-I", "256", "-N", "256", "-g", "1024", "-O", f"{_BARE},extent,uninit_bg")
_USUAL = ("-t", "ext4", "-g", "1024", "-O", "has_journal,extent,64bit,metadata_csum,flex_bg,^dir_index,^resize_inode")
_JOURNAL = ("-I", "256", "-J", "size=1", "-O", f"{_BARE},extent,has_journal")
_BLOCKS_UNUSED = 2


def _edited(options: Sequence[str], *, text: bytes = TEXT) -> tuple[bytes, Ext]:
    """An image, and one of another identity to be changed."""
    return ext(options, text=text), Ext(ext(options, number=2, text=text))


# --- groups: bitmaps that are not written ----------------------------------------------------------------------------


def _unused(options: Sequence[str], group: int, value: bool) -> Sample:
    """A group that holds something is said to have no block in use, or one that holds nothing is no longer."""
    honest, image = _edited(options, text=bytes(range(1, 256)) * 16000)
    at = image.groups[group] + 0x12
    assert bool(image.u16(at) & _BLOCKS_UNUSED) != value
    image.put(at, image.u16(at) ^ _BLOCKS_UNUSED)
    if not value:  # the bitmap is written then
        start = image.sb.group_start(group)
        own = [image.bitmaps[group], image.inode_bitmaps[group]]
        own += range(image.tables[group], image.tables[group] + image.sb.table_blocks)
        own += [start, start + 1] if image.sb.has_super(group) else []
        for block in own:
            image.used(block, True)
        at = image.bitmaps[group] * 1024 + image.sb.blocks_per_group // 8
        image.raw[at : at + 1024 - image.sb.blocks_per_group // 8] = b"\xff" * (1024 - image.sb.blocks_per_group // 8)
    return Sample(honest, image.whole())


@tampered("ext4-blocks-unused")
def _() -> Sample:
    """Linux gives the blocks of a program away again."""
    return _unused(_CHECKED, 2, True)


@tampered("ext4-blocks-unused-usual")
def _() -> Sample:
    return _unused(_USUAL, 2, True)


@harmless("ext4-blocks-unused-own")
def _() -> Sample:
    """Nothing but the group's own copies, bitmaps and inodes is in use: Linux finds the same by the flag."""
    return _unused(_CHECKED, 6, False)


@tampered("ext4-bitmap-elsewhere")
def _() -> Sample:
    """A bitmap in another group, which Linux does not mount but with flexible groups."""
    honest, image = _edited((*_EXTENT, "-g", "1024"))
    old, new = image.bitmaps[1], image.take(3)
    image.used(old, False)
    image.raw[new * 1024 : (new + 1) * 1024] = image.raw[old * 1024 : (old + 1) * 1024]
    image.raw[old * 1024 : (old + 1) * 1024] = bytes(1024)
    image.put(image.groups[1], new, 4)
    image.bitmaps[1] = new
    return Sample(honest, image.whole())


# --- maps of blocks --------------------------------------------------------------------------------------------------


def nested(image: Ext, number: int, early: int = 0) -> None:
    """Put a file's extents under two levels of an index, the second half of them below a branch that is said to begin
    ``early`` blocks before it does."""
    at = image.inode(number)
    node, blocks = at + 40, 8
    if image.u16(node + 6):  # a leaf that is there
        (block,) = (block for block, of in image.maps if of == number)
        node, blocks = block * 1024, 6
        image.used(block, False)
        image.maps.remove((block, number))
    rows = [bytes(image.raw[n : n + 12]) for n in range(node + 12, node + 12 + 12 * image.u16(node + 2), 12)]
    if blocks == 6:
        image.raw[node : node + 1024] = bytes(1024)
    half = len(rows) // 2
    index = b""
    for part, before in ((rows[:half], 0), (rows[half:], early)):
        above, leaf = image.take(), image.take()
        (start,) = struct.unpack_from("<I", part[0])
        entry = struct.pack("<IIHH", start, leaf, 0, 0)
        for block, depth, count, content in ((above, 1, 1, entry), (leaf, 0, len(part), b"".join(part))):
            made = struct.pack("<HHHHI", 0xF30A, count, 84, depth, 0) + content
            image.raw[block * 1024 : (block + 1) * 1024] = made.ljust(1024, b"\0")
            image.maps.append((block, number))
        index += struct.pack("<IIHH", start - before, above, 0, 0)
    image.raw[at + 40 : at + 100] = (struct.pack("<HHHHI", 0xF30A, 2, 4, 2, 0) + index).ljust(60, b"\0")
    image.put(at + 28, image.u32(at + 28) + blocks, 4)


def _deep(early: int) -> Sample:
    """A file with a hole of four blocks, whose extents stand under two levels of an index."""
    honest, image = _edited(_EXTENT, text=b"a" * 2048 + bytes(4096) + b"b" * 2048)
    nested(image, image.named(b"text"), early)
    return Sample(honest, image.whole())


@harmless("ext4-index-deep")
def _() -> Sample:
    return _deep(0)


@tampered("ext4-index-early")
def _() -> Sample:
    """An index that begins behind what leads to it: Linux does not read the file (fs/ext4/extents.c)."""
    return _deep(2)


@tampered("ext2-extents")
def _() -> Sample:
    """Extents where there are none by the features: fs/ext2 takes them for numbers of blocks."""
    honest, image = _edited(("-I", "256", "-O", _BARE), text=TEXT[:3000])
    at = image.inode(image.named(b"text"))
    first = image.u32(at + 40)
    image.put(at + 32, 0x80000, 4)
    run = struct.pack("<HHHHIIHHI", 0xF30A, 1, 4, 0, 0, 0, 3, 0, first)
    image.raw[at + 40 : at + 100] = run.ljust(60, b"\0")
    return Sample(honest, image.whole())


# --- directories -----------------------------------------------------------------------------------------------------


def _folder(*order: int, sort: int = 2) -> Sample:
    """A folder with its first three entries (two dots and a name of four letters) in an order."""
    honest, image = _edited(_EXTENT)
    at = image.folder(image.named(b"etc"))
    rows = [bytes(image.raw[a : a + 12]) for a in (at, at + 12, at + 24)]
    made = b""
    for place, number in enumerate(order):
        row = bytearray(rows[number])
        row[4:6] = struct.pack("<H", 12 if place < 2 else 1000)
        if not number:
            row[7] = sort
        made += row
    image.raw[at : at + 36] = made
    return Sample(honest, image.whole())


@tampered("ext4-dots-behind")
def _() -> Sample:
    """Linux takes the first two entries for the dots: it cannot move the folder, and remounts read-only."""
    return _folder(2, 0, 1)


@tampered("ext4-dots-exchanged")
def _() -> Sample:
    return _folder(1, 0, 2)


@tampered("ext4-dots-type")
def _() -> Sample:
    """A listing says of the folder itself that it is nothing known."""
    return _folder(0, 1, 2, sort=0)


@tampered("ext4-links-one")
def _() -> Sample:
    """As of a folder with more folders than a number of links can count."""
    honest, image = _edited(_EXTENT)
    image.put(image.inode(image.named(b"etc")) + 26, 1)
    return Sample(honest, image.whole())


# --- the journal -----------------------------------------------------------------------------------------------------


def _journalled() -> tuple[bytes, Ext, int]:
    honest, image = _edited(_JOURNAL)
    return honest, image, image.u32(image.inode(8) + 60) * 1024


@tampered("ext4-journal-short")
def _() -> Sample:
    """Fewer blocks than Linux mounts."""
    honest, image, head = _journalled()
    at, count = image.inode(8), 1000
    for block in range(head // 1024 + count, head // 1024 + image.u16(at + 56)):
        image.used(block, False)
    image.put(at + 56, count)
    image.put(at + 4, count * 1024, 4)
    image.put(at + 28, count * 2, 4)
    struct.pack_into(">I", image.raw, head + 16, count)
    if image.raw[1024 + 0xFD]:
        image.raw[1024 + 0x10C : 1024 + 0x148] = image.raw[at + 40 : at + 100]
        image.put(1024 + 0x14C, count * 1024, 4)
    return Sample(honest, image.whole())


def _journal_checked(*features: int, kind: int = 4) -> Sample:
    """Journals with checksums, as Linux leaves them."""
    made = []
    for number, feature in enumerate(features):
        honest, image, head = _journalled()
        raw = image.raw if number else bytearray(honest)
        struct.pack_into(">I", raw, head + 0x28, feature)
        raw[head + 0x50] = kind
        struct.pack_into(">I", raw, head + 0xFC, crc32c(0xFFFFFFFF, bytes(raw[head : head + 1024])))
        made.append(bytes(raw))
    return pair(made)


@harmless("ext4-journal-checked")
def _() -> Sample:
    return _journal_checked(0x12, 0x12)


@tampered("ext4-journal-checked-twice")
def _() -> Sample:
    """Checksums of two forms, which Linux does not mount."""
    return _journal_checked(0x12, 0x1A)


@tampered("ext4-journal-checked-otherwise")
def _() -> Sample:
    """Checksums of no known kind."""
    return _journal_checked(0x12, 0x12, kind=1)
