"""Headers and ends of compressed streams that can be found without decoding them.

Offsets are in bytes from the start of the view. Every function raises ``Malformed`` where the grammar is broken and
``Truncated`` where the view ends first.
"""

from __future__ import annotations

import zlib

from msgspec import Struct

from banbury.formats.view import View
from banbury.model.errors import Malformed, Truncated

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
LZ4_MAGIC = b"\x04\x22\x4d\x18"
LZ4_LEGACY_MAGIC = b"\x02\x21\x4c\x18"
LZ4_LEGACY_BLOCK = 8 << 20
LZOP_MAGIC = b"\x89LZO\x00\r\n\x1a\n"
LZIP_MAGIC = b"LZIP"

_NAME_LIMIT = 1 << 16
_ZSTD_BLOCK = 128 << 10


class GzipHeader(Struct, frozen=True, kw_only=True):
    """The header of one gzip member (RFC 1952, 2.3). ``extra``, ``name`` and ``comment`` are ranges of the view,
    terminating NUL included, empty where absent. ``crc`` is (stored, counted) of the header or ``None``."""

    end: int
    mtime: int
    system: int
    extra: tuple[int, int]
    name: tuple[int, int]
    comment: tuple[int, int]
    crc: tuple[int, int] | None


def gzip_header(view: View, start: int) -> GzipHeader:
    """The gzip header at ``start``."""
    if not view.startswith(b"\x1f\x8b\x08", start):
        raise Malformed("no gzip header", offset=start)
    flags = view.u8(start + 3)
    if flags & 0xE0:
        raise Malformed(f"gzip: reserved flags {flags:#04x}", offset=start + 3)
    at = start + 10
    extra = name = comment = (at, at)
    if flags & 4:
        extra = (at, at + 2 + view.u16(at))
        at = extra[1]
    if flags & 8:
        name = (at, _after_nul(view, at))
        at = name[1]
    if flags & 16:
        comment = (at, _after_nul(view, at))
        at = comment[1]
    crc = None
    if flags & 2:
        crc = (view.u16(at), zlib.crc32(view.mem(start, at - start)) & 0xFFFF)
        at += 2
    view.mem(start, at - start)
    return GzipHeader(
        end=at,
        mtime=view.u32(start + 4),
        system=view.u8(start + 9),
        extra=extra,
        name=name,
        comment=comment,
        crc=crc,
    )


def _after_nul(view: View, at: int) -> int:
    nul = view.find(b"\0", at, at + _NAME_LIMIT)
    if nul >= 0:
        return nul + 1
    if at + _NAME_LIMIT >= len(view):
        raise Truncated("gzip: the name has no end", offset=at)
    raise Malformed("gzip: the name has no end", offset=at)


class ZstdHeader(Struct, frozen=True, kw_only=True):
    """The header of one Zstandard frame (RFC 8878, 3.1.1.1). ``content`` is the stated size in bytes or -1."""

    end: int
    content: int
    checksum: bool
    dictionary: int


def zstd_header(view: View, start: int) -> ZstdHeader:
    """The Zstandard frame header at ``start``."""
    if not view.startswith(ZSTD_MAGIC, start):
        raise Malformed("no Zstandard frame", offset=start)
    descriptor = view.u8(start + 4)
    if descriptor & 8:
        raise Malformed("zstd: reserved bit set", offset=start + 4)
    single = bool(descriptor & 0x20)
    at = start + 5 + (not single)
    id_size = (0, 1, 2, 4)[descriptor & 3]
    dictionary = int.from_bytes(view.take(at, id_size), "little")
    at += id_size
    size = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    content = -1
    if size:
        content = int.from_bytes(view.take(at, size), "little") + (256 if size == 2 else 0)
    return ZstdHeader(end=at + size, content=content, checksum=bool(descriptor & 4), dictionary=dictionary)


def zstd_window(view: View, start: int) -> int:
    """Bytes of window that the Zstandard frame at ``start`` asks for; of a single segment, those of its content."""
    if view.u8(start + 4) & 0x20:
        return max(zstd_header(view, start).content, 0)
    word = view.u8(start + 5)
    return (1 << 10 + (word >> 3)) // 8 * (8 + (word & 7))


def zstd_end(view: View, start: int) -> int:
    """Where the Zstandard frame at ``start`` ends, checksum included."""
    header = zstd_header(view, start)
    at = header.end
    last = 0
    while not last:
        word = int.from_bytes(view.take(at, 3), "little")
        last, sort, size = word & 1, word >> 1 & 3, word >> 3
        if sort == 3 or size > _ZSTD_BLOCK:
            raise Malformed("zstd: impossible block", offset=at)
        at += 3 + (1 if sort == 1 else size)
    at += 4 if header.checksum else 0
    view.mem(start, at - start)
    return at


def lz4_end(view: View, start: int) -> int:
    """Where the LZ4 frame at ``start`` ends (LZ4 Frame Format 1.6, General Structure)."""
    if not view.startswith(LZ4_MAGIC, start):
        raise Malformed("no LZ4 frame", offset=start)
    flags, sizes = view.u8(start + 4), view.u8(start + 5)
    if flags >> 6 != 1 or flags & 2 or sizes & 0x8F or sizes >> 4 < 4:
        raise Malformed("lz4: impossible frame descriptor", offset=start + 4)
    largest = 1 << (8 + 2 * (sizes >> 4))
    at = start + 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
    while word := view.u32(at):
        size = word & 0x7FFFFFFF
        if size > largest:
            raise Malformed(f"lz4: a block of {size} bytes", offset=at)
        at += 4 + size + (4 if flags & 0x10 else 0)
    at += 4 + (4 if flags & 4 else 0)
    view.mem(start, at - start)
    return at


class LzopHeader(Struct, frozen=True, kw_only=True):
    """The header of an lzop file (lzop 1.04, ``lzop.h`` and its manual). ``mode`` holds the file type bits too."""

    end: int
    flags: int
    mode: int
    mtime: int
    name: bytes
    checksum: tuple[int, int]


#: Bits of an lzop header's flags.
LZOP_ADLER_D, LZOP_ADLER_C, LZOP_CRC_D, LZOP_CRC_C = 0x1, 0x2, 0x100, 0x200
_LZOP_EXTRA, _LZOP_FILTER, _LZOP_HEADER_CRC = 0x40, 0x800, 0x1000


def lzop_header(view: View, start: int) -> LzopHeader:
    """The lzop header at ``start``; its checksum is counted, not judged."""
    if not view.startswith(LZOP_MAGIC, start):
        raise Malformed("no lzop header", offset=start)
    at = start + 9
    newer = view.u16(at, big=True) >= 0x0940
    at += 6 if newer else 4
    method = view.u8(at)
    if method not in {1, 2, 3}:
        raise Malformed(f"lzop: unknown method {method}", offset=at)
    at += 2 if newer else 1
    flags = view.u32(at, big=True)
    at += 8 if flags & _LZOP_FILTER else 4
    mode, mtime = view.u32(at, big=True), view.u32(at + 4, big=True)
    at += 8
    if newer:
        mtime |= view.u32(at, big=True) << 32
        at += 4
    length = view.u8(at)
    name = view.take(at + 1, length)
    at += 1 + length
    counter = zlib.crc32 if flags & _LZOP_HEADER_CRC else zlib.adler32
    checksum = (view.u32(at, big=True), counter(view.mem(start + 9, at - start - 9)))
    at += 4
    if flags & _LZOP_EXTRA:
        at += 8 + view.u32(at, big=True)
    view.mem(start, at - start)
    if flags & _LZOP_FILTER:
        raise Malformed("lzop: filters are not read", offset=start)
    return LzopHeader(end=at, flags=flags, mode=mode, mtime=mtime, name=name, checksum=checksum)


class LzopBlock(Struct, frozen=True, array_like=True):
    """One block: ``size`` bytes of output from ``length`` bytes at ``at``, with their stored checksums."""

    at: int
    length: int
    size: int
    sums: dict[int, int]


def lzop_block(view: View, at: int, flags: int) -> LzopBlock | None:
    """The lzop block whose header is at ``at``; ``None`` for the end mark (4 zero bytes)."""
    size = view.u32(at, big=True)
    if not size:
        return None
    length = view.u32(at + 4, big=True)
    if length > size or size > 64 << 20:
        raise Malformed("lzop: impossible block sizes", offset=at)
    wanted = [bit for bit in (LZOP_ADLER_D, LZOP_CRC_D) if flags & bit]
    if length < size:
        wanted += [bit for bit in (LZOP_ADLER_C, LZOP_CRC_C) if flags & bit]
    at += 8
    sums = {bit: view.u32(at + 4 * i, big=True) for i, bit in enumerate(wanted)}
    return LzopBlock(at + 4 * len(wanted), length, size, sums)


def lzop_end(view: View, start: int) -> int:
    """Where the lzop file at ``start`` ends, end mark included."""
    header = lzop_header(view, start)
    at = header.end
    while block := lzop_block(view, at, header.flags):
        at = block.at + block.length
    return at + 4
