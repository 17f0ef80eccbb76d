"""Compressed files, made with the standard library's and the wheels' own compressors, or byte by byte."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import zlib
from collections.abc import Callable

import lz4.block
import lz4.frame
import lzallright
import zstandard

from tests.formats.case import Case

_RNG = random.Random("streams")
TEXT = b"".join(b"line %d of a file %d\n" % (n, _RNG.randrange(1 << 30)) for n in range(3000))
NOISE = _RNG.randbytes(40_000)  # blocks of it are stored


def gzip_member(data: bytes, *, flags: int = 0, fields: bytes = b"", mtime: int = 0) -> bytes:
    body = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = body.compress(data) + body.flush()
    head = struct.pack("<4BIBB", 0x1F, 0x8B, 8, flags, mtime, 0, 3) + fields
    if flags & 2:
        head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    return head + packed + struct.pack("<II", zlib.crc32(data), len(data))


def lzma_alone(data: bytes, known: bool) -> bytes:
    """LZMA-alone as LZMA SDK writes it (a stated size and no end marker) or as xz does (an end marker)."""
    marked = lzma.compress(data, lzma.FORMAT_ALONE, preset=0)
    if not known:
        return marked
    # liblzma always writes an end marker; one beside a stated size is allowed (LZMA specification, "Decoding loop").
    return marked[:5] + struct.pack("<q", len(data)) + marked[13:]


def lzip_member(data: bytes) -> bytes:
    chain = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 2}]
    body = lzma.compress(data, lzma.FORMAT_ALONE, filters=chain)[13:]
    return b"LZIP\x01\x14" + body + struct.pack("<IQQ", zlib.crc32(data), len(data), len(body) + 26)


def lz4_legacy(data: bytes) -> bytes:
    out = b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 8 << 20):
        packed = lz4.block.compress(data[at : at + (8 << 20)], store_size=False)
        out += struct.pack("<I", len(packed)) + packed
    return out


def lzop_file(data: bytes, name: bytes = b"vmlinux", block: int = 1 << 14) -> bytes:
    """With flags 0x303: Adler-32 and CRC-32 of both the plain and the packed data."""
    fields = (
        struct.pack(">HHHBBIIIIB", 0x1040, 0x20A0, 0x0940, 1, 5, 0x303, 0o100644, 1_400_000_000, 0, len(name)) + name
    )
    out = b"\x89LZO\x00\r\n\x1a\n" + fields + struct.pack(">I", zlib.adler32(fields))
    for at in range(0, len(data), block):
        piece = data[at : at + block]
        packed = bytes(lzallright.LZOCompressor().compress(piece))
        sums = struct.pack(">II", zlib.adler32(piece), zlib.crc32(piece))
        if len(packed) < len(piece):
            sums += struct.pack(">II", zlib.adler32(packed), zlib.crc32(packed))
        else:
            packed = piece
        out += struct.pack(">II", len(piece), len(packed)) + sums + packed
    return out + bytes(4)


def zstd_frame(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def lz4_frame(data: bytes) -> bytes:
    packed: bytes = lz4.frame.compress(data, content_checksum=True, block_checksum=True, block_size=4)
    return packed


_MAKE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zlib": zlib.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma_alone(data, known=True),
    "lzip": lzip_member,
    "bzip2": bz2.compress,
    "zstd": zstd_frame,
    "lz4": lz4_frame,
    "lz4-legacy": lz4_legacy,
    "lzop": lambda data: lzop_file(data, name=b""),
}


def _damaged(data: bytes, at: int) -> bytes:
    out = bytearray(data)
    out[at] ^= 0x40
    return bytes(out)


CASES = [
    *(Case(kind, "positive", "one", lambda m=make: m(TEXT), {"content": TEXT}) for kind, make in _MAKE.items()),
    *(Case(kind, "negative", "text", lambda: TEXT) for kind in _MAKE),
    *(Case(kind, "negative", "magic alone", lambda m=make: m(TEXT)[:4]) for kind, make in _MAKE.items()),
    *(
        Case(
            kind,
            "malformed",
            "cut in the middle",
            lambda m=make: m(TEXT)[: len(m(TEXT)) // 2],
            notes=frozenset({"truncated"}),
        )
        for kind, make in _MAKE.items()
        if kind not in {"bzip2", "xz", "zlib"}
    ),
    Case(
        "zlib", "malformed", "wrong Adler-32", lambda: _damaged(zlib.compress(TEXT), -1), notes=frozenset({"checksum"})
    ),
    Case("xz", "malformed", "cut at the index", lambda: lzma.compress(TEXT)[:-20], notes=frozenset({"truncated"})),
    Case("bzip2", "malformed", "cut at the end", lambda: bz2.compress(TEXT)[:-4], notes=frozenset({"truncated"})),
    Case("gzip", "malformed", "wrong CRC-32", lambda: _damaged(gzip.compress(TEXT), -6), notes=frozenset({"checksum"})),
    Case("zstd", "malformed", "wrong XXH64", lambda: _damaged(zstd_frame(TEXT), -1), notes=frozenset({"checksum"})),
    Case("lzop", "malformed", "wrong CRC-32", lambda: _damaged(lzop_file(TEXT), 90), notes=frozenset({"checksum"})),
    Case(
        "lzip", "malformed", "wrong member size", lambda: _damaged(lzip_member(TEXT), -8), notes=frozenset({"checksum"})
    ),
    Case(
        "gzip",
        "positive",
        "every header field",
        lambda: gzip_member(
            TEXT,
            flags=0x1E,
            fields=struct.pack("<H", 5) + b"apk\0\0" + b"rootfs.tar\0" + b"built by hand\0",
            mtime=1 << 30,
        ),
        {"rootfs.tar": TEXT},
        notes=frozenset({"hidden"}),
    ),
    Case(
        "gzip",
        "positive",
        "two members and a hostile name",
        lambda: gzip_member(b"first", flags=8, fields=b"../../etc/passwd\0") + gzip_member(TEXT),
        {"../../etc/passwd": b"first", "content-2": TEXT},
        notes=frozenset({"path-traversal"}),
    ),
    Case(
        "xz",
        "positive",
        "two streams with padding",
        lambda: lzma.compress(b"first") + bytes(8) + lzma.compress(TEXT, check=lzma.CHECK_SHA256),
        {"content": b"first", "content-2": TEXT},
    ),
    Case(
        "zstd",
        "positive",
        "skippable frames",
        lambda: (
            b"\x50\x2a\x4d\x18\x04\0\0\0data"
            + zstd_frame(b"first")
            + zstd_frame(TEXT)
            + b"\x5f\x2a\x4d\x18\x02\0\0\0!?"
        ),
        {"content": b"first", "content-2": TEXT},
        notes=frozenset({"hidden"}),
        read_share=0.99,
    ),
    Case("lzma", "positive", "end marker", lambda: lzma_alone(TEXT, known=False), {"content": TEXT}),
    Case("lzop", "positive", "named", lambda: lzop_file(NOISE + TEXT), {"vmlinux": NOISE + TEXT}),
    Case(
        "bzip2",
        "positive",
        "parallel",
        lambda: bz2.compress(TEXT[:5000]) + bz2.compress(TEXT[5000:]),
        {"content": TEXT},
    ),
    Case("lzip", "positive", "members", lambda: lzip_member(TEXT[:5000]) + lzip_member(TEXT[5000:]), {"content": TEXT}),
]
