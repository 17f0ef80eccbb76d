"""Images with checksums that nobody knows of, places that do not follow, and room that is there on one side alone.

See :mod:`tests.equivalence.consumer_pairs`.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Callable

from banbury.compare.corpus.trees import Node
from banbury.compare.corpus.writers import boxes, tar
from banbury.compare.equivalence.containers import _sums
from tests.equivalence.container_pairs import harmless, tampered
from tests.equivalence.pairs import Sample


def _behind(head: Callable[[bytes], bytes]) -> Sample:
    """A part packed in two ways, each behind the same header: that over the first."""
    content = b"kernel " * 4000
    parts = [gzip.compress(content, level, mtime=0) for level in (1, 9)]
    size = max(map(len, parts)) + 16
    return Sample(*(head(parts[0]) + part.ljust(size, b"\xff") for part in parts))


@tampered("image-stale-digest")
def _() -> Sample:
    return _behind(lambda part: b"FWUP\0\1\2\3" + hashlib.sha256(part).digest() + bytes(24))


@tampered("image-stale-crc")
def _() -> Sample:
    return _behind(lambda part: b"FWUP\0\1\2\3" + struct.pack(">I", zlib.crc32(part)) + bytes(20))


@tampered("image-stale-cksum")
def _() -> Sample:
    """As in a header of text; POSIX's cksum of "123456789" is 930766865."""
    assert _sums._cksum(memoryview(b"123456789")) == 930766865
    return _behind(lambda part: b"FWUP\0\1sum=%d\n" % _sums._cksum(memoryview(part)) + bytes(24))


@tampered("image-script")
def _() -> Sample:
    return _behind(lambda part: b"#!/bin/sh\ntail -n +3 $0 | check\n")


@harmless("image-header")
def _() -> Sample:
    """A header that says nothing of the part."""
    return _behind(lambda part: b"FWUP\0\1\2\3" + bytes(range(64)))


@tampered("dtb-too-large")
def _() -> Sample:
    """Linux for AArch64 takes no tree above 2 MiB."""
    small = boxes.fdt({"compatible": "x"})
    large = bytearray(small.ljust(4 << 20, b"\0"))
    large[4:8] = struct.pack(">I", len(large))
    return Sample(small, bytes(large))


def _android(kernel: bytes, offset: int | None) -> bytes:
    """A boot image of version 1 with an overlay for recovery; its place is that by the sizes, or another one."""
    pages = [part.ljust(-(-len(part) // 2048) * 2048, b"\0") for part in (kernel, b"ramdisk" * 50, b"overlay" * 50)]
    counted = hashlib.sha1(usedforsecurity=False)
    for part in (kernel, b"ramdisk" * 50, b"", b"overlay" * 50):
        counted.update(part + struct.pack("<I", len(part)))
    head = struct.pack("<8s10I", b"ANDROID!", len(kernel), 0x8000, 350, 0x1000000, 0, 0, 0x100, 2048, 1, 0)
    right = 2048 + len(pages[0]) + len(pages[1])
    tail = struct.pack("<IQI", 350, right if offset is None else offset, 1648)
    head = head.ljust(576, b"\0") + counted.digest()
    return head.ljust(1632, b"\0") + tail.ljust(416, b"\0") + b"".join(pages)


_KERNELS = [gzip.compress(b"kernel image " * 1600, level, mtime=0) for level in (0, 9)]


@tampered("android-recovery-offset")
def _() -> Sample:
    """The kernel became shorter, and the overlay is looked for where it was."""
    whole = _android(_KERNELS[0], None)
    return Sample(whole, _android(_KERNELS[1], struct.unpack_from("<Q", whole, 1636)[0]))


@harmless("android-recovery-follows")
def _() -> Sample:
    return Sample(*(_android(kernel, None) for kernel in _KERNELS))


@tampered("fat-by-places")
def _() -> Sample:
    """A file system is no row of parts: what its driver shows is not looked at here."""
    parts = (tar.write({"etc": Node(kind="dir", mode=0o755, mtime=time)}) for time in (1, 2))
    return Sample(*map(_fat, parts))


def _fat(data: bytes) -> bytes:
    """FAT12 with one file in its first clusters (Microsoft FAT Specification, 1.03)."""
    clusters = -(-len(data) // 512)
    boot = b"\xeb\x3c\x90mkfs.fat" + struct.pack("<HBHBHHBHHHII", 512, 1, 1, 2, 16, 200, 0xF8, 1, 1, 1, 0, 0)
    boot += struct.pack("<BBBI11s8s", 0x80, 0, 0x29, 1, b"NO NAME    ", b"FAT12   ")
    chain = [0xFF8, 0xFFF, *range(3, clusters + 2), 0xFFF]
    chain += [0] * (len(chain) % 2)
    table = b"".join((x | y << 12).to_bytes(3, "little") for x, y in zip(chain[::2], chain[1::2], strict=True))
    entry = b"ROOT    TAR" + struct.pack("<B10xHHHI", 0x20, 0, 0x5021, 2, len(data))
    image = boot.ljust(510, b"\0") + b"\x55\xaa" + 2 * table.ljust(512, b"\0") + entry.ljust(512, b"\0") + data
    return image.ljust(200 * 512, b"\0")
