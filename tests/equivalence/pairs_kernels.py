"""Tampered kernels that unpack themselves: the content is right, and what unpacks it does not get it whole."""

from __future__ import annotations

import struct
import zlib

from banbury.compare.corpus.recipes.kernels import bzimage, kernel, zimage
from banbury.compare.corpus.writers.packed import gzip
from tests.equivalence.container_pairs import harmless, pair, tampered
from tests.equivalence.pairs import Sample

_PLAIN = kernel() + bytes(600_000)
_EMPTY = b"\0\0\0\xff\xff"  # a stored block of no bytes (RFC 1951, 3.2.4)


def _exchanged(image: bytes, old: bytes, new: bytes) -> bytes:
    """An image with another payload in the old one's place, and its own checksum."""
    at = image.index(old)
    raw = image[:at] + new.ljust(len(old), b"\0") + image[at + len(old) :]
    return raw[:-4] + struct.pack("<I", zlib.crc32(raw[:-4]) ^ 0xFFFFFFFF)


def _late(plain: bytes, size: int) -> bytes:
    """A stream of ``size`` bytes that has given all of its output long before its end."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = engine.compress(plain) + engine.flush(zlib.Z_FULL_FLUSH)
    honest = gzip(plain)
    count, left = divmod(size - 10 - len(body) - 8 - 5, 5)
    name = b"n" * (left + 4) + b"\0"  # together with one block less
    head = honest[:3] + b"\x08" + honest[4:10] + name
    return head + body + _EMPTY * (count - 1) + b"\1\0\0\xff\xff" + honest[-8:]


@tampered("bzimage-overtaken")
def _() -> Sample:
    """x86 unpacks in place: what has given its output early is overwritten before it is read."""
    old = gzip(_PLAIN, level=0)
    image = bzimage(_PLAIN, 0, size=len(old))
    return Sample(image, _exchanged(image, old, _late(_PLAIN, len(old))))


@harmless("bzimage-level")
def _() -> Sample:
    """Another level, in a place of the longer one's size; all lengths follow."""
    return pair(bzimage(_PLAIN, level, size=400_000) for level in (9, 1))


@tampered("bzimage-input-length")
def _() -> Sample:
    """The header's length follows, the decompressor's own does not: it reads too little."""
    honest = bzimage(_PLAIN, 1, size=400_000)
    at = 1024 + 0x6C
    raw = honest[:at] + struct.pack("<I", len(gzip(_PLAIN, level=9))) + honest[at + 4 : -4]
    other = raw + struct.pack("<I", zlib.crc32(raw) ^ 0xFFFFFFFF)
    return Sample(bzimage(_PLAIN, 9, size=400_000), other)


@tampered("zimage-shorter")
def _() -> Sample:
    """The decompressor reads the kernel's size from the last four bytes of the place, which are zero."""
    old = gzip(_PLAIN, level=1)
    image = zimage(_PLAIN, 1)
    at = image.index(old)
    return Sample(image, image[:at] + gzip(_PLAIN, level=9).ljust(len(old), b"\0") + image[at + len(old) :])
