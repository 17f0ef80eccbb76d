"""Compressed streams, header by header: gzip (RFC 1952), xz (The .xz File Format 1.2.1), frames of zstd and lz4."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Sequence

import lz4.frame
import zstandard


def gzip(
    data: bytes,
    *,
    level: int = 9,
    mtime: int = 0,
    name: bytes = b"",
    extra: bytes = b"",
    comment: bytes = b"",
    system: int = 3,
    crc: int | None = None,
) -> bytes:
    """One gzip member."""
    flags = (8 if name else 0) | (4 if extra else 0) | (16 if comment else 0)
    engine = zlib.compressobj(level, zlib.DEFLATED, -15)
    head = struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, flags, mtime, 2 if level == 9 else 0, system)
    if extra:
        head += struct.pack("<H", len(extra)) + extra
    head += (name + b"\0" if name else b"") + (comment + b"\0" if comment else b"")
    check = zlib.crc32(data) if crc is None else crc
    return head + engine.compress(data) + engine.flush() + struct.pack("<II", check, len(data) & 0xFFFFFFFF)


def _number(value: int) -> bytes:
    """A number in xz's encoding of variable length."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def xz(
    data: bytes,
    *,
    block: int = 0,
    preset: int = 6,
    check: int = 4,
    sizes: bool = False,
    header_fill: bytes = b"",
    block_fill: bytes = b"",
    padding: bytes = b"",
    wrong: int = 0,
) -> bytes:
    """One xz stream. ``block``: size of blocks in bytes (0: one); ``check``: 1 CRC32, 4 CRC64; ``sizes``: blocks state
    theirs, as threaded encoders write; ``header_fill``/``block_fill``: instead of zeros in the headers' and the
    blocks' padding; ``wrong`` is added to the check."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset}]
    dictionary = lzma._encode_filter_properties(filters[0])  # type: ignore[attr-defined]  # CPython's own helper
    flags = bytes((0, check))
    out = b"\xfd7zXZ\0" + flags + struct.pack("<I", zlib.crc32(flags))
    records = []
    for at in range(0, len(data), block or len(data)):
        piece = data[at : at + (block or len(data))]
        packed = lzma.compress(piece, lzma.FORMAT_RAW, filters=filters)
        head = bytes([0xC0 if sizes else 0]) + (_number(len(packed)) + _number(len(piece)) if sizes else b"")
        head += _number(0x21) + _number(len(dictionary)) + dictionary
        room = -(len(head) + 1 + 4) % 4 + (4 if header_fill else 0)
        head += header_fill[:room].ljust(room, b"\0")
        head = bytes([(len(head) + 1 + 4) // 4 - 1]) + head
        head += struct.pack("<I", zlib.crc32(head))
        total = len(head) + len(packed)
        room = -total % 4
        value = (
            struct.pack("<I", zlib.crc32(piece) + wrong & 0xFFFFFFFF)
            if check == 1
            else struct.pack("<Q", crc64(piece) + wrong)
        )
        out += head + packed + block_fill[:room].ljust(room, b"\0") + value
        records.append((total + len(value), len(piece)))
    index = b"\0" + _number(len(records)) + b"".join(_number(a) + _number(b) for a, b in records)
    index += bytes(-len(index) % 4)
    index += struct.pack("<I", zlib.crc32(index))
    tail = struct.pack("<I", len(index) // 4 - 1) + flags
    return out + index + struct.pack("<I", zlib.crc32(tail)) + tail + b"YZ" + padding


def _crc64_table() -> list[int]:
    table = []
    for i in range(256):
        value = i
        for _ in range(8):
            value = value >> 1 ^ (0xC96C5795D7870F42 if value & 1 else 0)
        table.append(value)
    return table


_CRC64 = _crc64_table()


def crc64(data: bytes) -> int:
    """CRC-64 (ECMA-182, reflected), as xz uses."""
    value = (1 << 64) - 1
    for byte in data:
        value = _CRC64[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ (1 << 64) - 1


def zstd(data: bytes, *, level: int = 3, check: bool = True, size: bool = True) -> bytes:
    """One zstd frame."""
    return zstandard.ZstdCompressor(level=level, write_checksum=check, write_content_size=size).compress(data)


def lz4_frame(data: bytes, *, level: int = 0, block: int = 4, check: bool = True) -> bytes:
    """One lz4 frame; ``block``: 4 (64 KiB) to 7 (4 MiB)."""
    packed: bytes = lz4.frame.compress(data, compression_level=level, block_size=block, content_checksum=check)
    return packed


def skippable(data: bytes, number: int = 0) -> bytes:
    """A frame that decoders of zstd and lz4 skip."""
    return struct.pack("<II", 0x184D2A50 + number, len(data)) + data


def joined(parts: Sequence[bytes]) -> bytes:
    return b"".join(parts)
