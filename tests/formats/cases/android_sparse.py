"""Samples of Android sparse images, built here chunk by chunk."""

from __future__ import annotations

import struct
import zlib

from tests.formats.case import Case

BLOCK = 1024
RAW, FILL, SKIP, CRC = 0xCAC1, 0xCAC2, 0xCAC3, 0xCAC4
ONE, TWO = b"raw content".ljust(2 * BLOCK, b"."), b"the end".ljust(BLOCK, b"!")
IMAGE = ONE + b"ABCD" * 768 + bytes(4 * BLOCK) + TWO


def chunk(sort: int, blocks: int, data: bytes) -> bytes:
    return struct.pack("<HHII", sort, 0, blocks, 12 + len(data)) + data


def sparse(chunks: list[bytes], blocks: int, checksum: int = 0, count: int = -1) -> bytes:
    number = len(chunks) if count < 0 else count
    return struct.pack("<IHHHHIIII", 0xED26FF3A, 1, 0, 28, 12, BLOCK, blocks, number, checksum) + b"".join(chunks)


def _sample(crc: int = zlib.crc32(ONE + b"ABCD" * 768), whole: int = zlib.crc32(IMAGE)) -> bytes:
    parts = [chunk(RAW, 2, ONE), chunk(FILL, 3, b"ABCD"), chunk(CRC, 0, struct.pack("<I", crc))]
    return sparse([*parts, chunk(SKIP, 4, b""), chunk(RAW, 1, TWO)], 10, whole)


CASES = [
    Case("android-sparse", "positive", "every-chunk", _sample, tree={"image": IMAGE}),
    Case("android-sparse", "positive", "one-raw-chunk", lambda: sparse([chunk(RAW, 2, ONE)], 2), tree={"image": ONE}),
    Case("android-sparse", "negative", "zeros", lambda: bytes(100)),
    Case("android-sparse", "negative", "version-2", lambda: b"\x3a\xff\x26\xed\x02\x00" + _sample()[6:]),
    Case("android-sparse", "negative", "first-chunk-lies", lambda: sparse([chunk(RAW, 9, ONE)], 9)),
    Case("android-sparse", "malformed", "cut", lambda: _sample()[:-5], notes=frozenset({"truncated", "malformed"})),
    Case("android-sparse", "malformed", "crc", lambda: _sample(crc=7), notes=frozenset({"checksum"})),
    Case("android-sparse", "malformed", "whole-crc", lambda: _sample(whole=7), notes=frozenset({"checksum"})),
    Case(
        "android-sparse", "malformed", "fill-bomb", lambda: sparse([chunk(FILL, 0xFFFFFFFF, b"ABCD")] * 9, 9),
        notes=frozenset({"bomb"}),
    ),
    Case(
        "android-sparse", "malformed", "later-chunk-lies",
        lambda: sparse([chunk(RAW, 2, ONE), chunk(RAW, 7, ONE)], 9), notes=frozenset({"malformed"}),
    ),
]  # fmt: skip
