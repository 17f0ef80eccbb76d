"""Images that Linux does not mount, or mounts otherwise than they look.

See :mod:`tests.equivalence.consumer_pairs`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from unittest import mock

from banbury.compare.corpus.trees import Node, Tree, base
from banbury.compare.corpus.writers import squashfs
from tests.equivalence.consumer_pairs_images import made_by_tool
from tests.equivalence.consumer_pairs_tools import TEXT
from tests.equivalence.container_pairs import harmless, pair, tampered
from tests.equivalence.pairs import Sample


@tampered("squashfs-tables-order")
def _() -> Sample:
    """Linux takes one table to end where the next begins, in an order of its own."""
    tree: Tree = {"a": Node(data=TEXT)}
    table, rows = squashfs._Image._table, list[bytes]()

    def exchanged(image: squashfs._Image, raw: bytes) -> int:
        rows.append(raw)
        if len(rows) == 1:
            return 0
        start = table(image, raw)
        table(image, rows[0])  # the fragments, behind the owners
        return start

    with mock.patch.object(squashfs._Image, "_table", exchanged):
        raw = bytearray(squashfs.write(tree))
    struct.pack_into("<Q", raw, 80, struct.unpack_from("<Q", raw, 40)[0] - 8)
    return Sample(squashfs.write(tree), bytes(raw))


@tampered("squashfs-fragment-too-large")
def _() -> Sample:
    """Linux reads no block that is stored in more bytes than a block has."""
    tree: Tree = {name: Node(data=bytes([65 + i]) * 3000) for i, name in enumerate("abc")}
    made = []
    for log in (12, 14):
        raw = bytearray(squashfs.write(tree, log=log, plain=True))
        struct.pack_into("<I", raw, 12, 1 << 12)
        struct.pack_into("<H", raw, 22, 12)
        made.append(bytes(raw))
    return pair(made)


@tampered("squashfs-xz-odd-dictionary")
def _() -> Sample:
    """Linux mounts images with certain sizes alone (``fs/squashfs/xz_wrapper.c``)."""
    made = []
    for size in (1 << 16, 100_000):
        with mock.patch.object(squashfs._Image, "__init__", _with_options(size)):
            raw = bytearray(squashfs.write(base(), plain=True))
        struct.pack_into("<H", raw, 20, 4)
        struct.pack_into("<H", raw, 24, struct.unpack_from("<H", raw, 24)[0] | 0x400)
        made.append(bytes(raw))
    return pair(made)


def _with_options(size: int) -> Callable[..., None]:
    plain = squashfs._Image.__init__

    def made(image: squashfs._Image, *more: object) -> None:
        plain(image, *more)  # type: ignore[arg-type]
        image.body += struct.pack("<HII", 8 | 0x8000, size, 0)

    return made


@tampered("squashfs-lz4-without-options")
def _() -> Sample:
    """Linux mounts no such image."""
    made = []
    for kind in (1, 5):
        raw = bytearray(squashfs.write(base(), plain=True))
        struct.pack_into("<H", raw, 20, kind)
        made.append(bytes(raw))
    return pair(made)


@tampered("squashfs-no-whole-sectors")
def _() -> Sample:
    """A block device ends before the file system does."""
    return Sample(squashfs.write(base()), squashfs.write(base(), pad=1))


# --- UBIFS: a journal that the log or the volume has no room for ------------------------------------------------------

_LEB = 126976


def _ubifs(journal: int, heads: int = 1) -> tuple[bytes, bytes]:
    """An image for up to 200 eraseblocks, and one with a journal of ``journal`` eraseblocks. ``heads``: of both."""
    honest = made_by_tool("mkfs.ubifs", "-m", "2048", "-e", str(_LEB), "-c", "200", "-x", "lzo")
    made = []
    for size in (0, journal):
        raw = bytearray(honest)
        struct.pack_into("<I", raw, 68, heads)
        if size:
            struct.pack_into("<Q", raw, 48, size * _LEB)
        struct.pack_into("<I", raw, 4, zlib.crc32(raw[8:4096]) ^ 0xFFFFFFFF)
        made.append(bytes(raw))
    return made[0], made[1]


@tampered("ubifs-journal-log")
def _() -> Sample:
    """Linux does not mount an image whose log has no room for a reference to each eraseblock of the journal."""
    return Sample(*_ubifs(187))


@harmless("ubifs-journal-room")
def _() -> Sample:
    """Linux mounts it on volumes that have room for the journal, and not on smaller ones."""
    return Sample(*_ubifs(60))


@tampered("ubifs-heads")
def _() -> Sample:
    """More heads of the journal than Linux mounts."""
    return Sample(*_ubifs(10, heads=2))
