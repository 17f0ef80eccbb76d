"""Incremental decoders: generators that yield bounded pieces and move a cursor over the input.

A decoder raises ``Truncated`` where the input ends first, ``BadChecksum`` after the last piece where a stored check
does not match, and ``Malformed`` for all else; what it yielded before that stands.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from banbury.formats import _frames as frames
from banbury.formats.view import Buffer, View
from banbury.model.errors import BadChecksum, Malformed, Truncated

PIECE: Final = 1 << 20  # most bytes of output in one piece
FEED: Final = 1 << 17  # bytes of input handed to a decompressor at once, at most
MEMORY: Final = 256 << 20  # bytes of dictionary or window that a stream may ask for
_LZO_INPUT: Final = 1 << 20  # LZO expands at most 255 times, and the library does not stop before the end

Pieces = Iterator[Buffer]


class Cursor:
    """A position in a view. ``at`` counts the input known to have been decoded, in bytes from the view's start."""

    __slots__ = ("_feed", "at", "view")

    def __init__(self, view: View, at: int) -> None:
        self.view = view
        self.at = at
        self._feed = 2048

    def peek(self) -> memoryview:
        """The next bytes of input: few at first, since a library copies what a short stream leaves over."""
        self._feed = min(2 * self._feed, FEED)
        start = min(self.at, len(self.view))
        return self.view.mem(start, min(self._feed, len(self.view) - start))


def compare(what: str, expected: int, found: int, at: int) -> None:
    """Raise ``BadChecksum`` where the two differ."""
    if expected != found:
        raise BadChecksum(what, expected, found, offset=at)


def inflate(cur: Cursor) -> Pieces:
    """A raw DEFLATE stream (RFC 1951)."""
    engine = zlib.decompressobj(-15)
    while not engine.eof:
        chunk = cur.peek()
        try:
            out = engine.decompress(chunk, PIECE)
        except zlib.error as problem:
            raise Malformed(f"deflate: {problem}", offset=cur.at) from problem
        # At the end the same bytes can stand in both tails.
        cur.at += len(chunk) - len(engine.unused_data if engine.eof else engine.unconsumed_tail)
        if out:
            yield out
        elif not chunk and not engine.eof:
            raise Truncated("deflate: the stream ends early", offset=cur.at)


def unzlib(cur: Cursor) -> Pieces:
    """One zlib stream (RFC 1950) with its Adler-32."""
    header = cur.view.u16(cur.at, big=True)
    if header % 31 or header >> 8 & 15 != 8 or header >> 12 > 7:
        raise Malformed("no zlib header", offset=cur.at)
    if header & 0x20:
        raise Malformed("zlib: needs a preset dictionary", offset=cur.at)
    cur.at += 2
    adler = 1
    for piece in inflate(cur):
        adler = zlib.adler32(piece, adler)
        yield piece
    stored = cur.view.u32(cur.at, big=True)
    cur.at += 4
    compare("zlib Adler-32", stored, adler, cur.at - 4)


def gunzip(cur: Cursor) -> Pieces:
    """One gzip member (RFC 1952) with its CRC-32 and size."""
    cur.at = frames.gzip_header(cur.view, cur.at).end
    crc = size = 0
    for piece in inflate(cur):
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        yield piece
    at = cur.at
    stored, length = cur.view.u32(at), cur.view.u32(at + 4)
    cur.at += 8
    compare("gzip CRC-32", stored, crc, at)
    compare("gzip size", length, size & 0xFFFFFFFF, at + 4)


def pump(cur: Cursor, engine: Any, name: str, head: bytes = b"") -> Pieces:
    """Drive a decompressor of the ``lzma``/``bz2`` kind to its end. ``head`` is fed first and not counted."""
    fed = 0  # bytes after the cursor that the engine holds
    while not engine.eof:
        chunk: Buffer = b""
        if engine.needs_input:
            cur.at += fed
            fed = 0
            chunk = head or cur.peek()
            fed = 0 if head else len(chunk)
            head = b""
            if not chunk:
                raise Truncated(f"{name}: the stream ends early", offset=cur.at)
        try:
            out = engine.decompress(chunk, PIECE)
        except (lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError, MemoryError) as problem:
            raise Malformed(f"{name}: {problem or 'not enough memory'}", offset=cur.at) from problem
        if out:
            yield out
    cur.at += fed - len(engine.unused_data or b"")


def unxz(cur: Cursor) -> Pieces:
    """One .xz stream (The .xz File Format 1.1.0) with its index, footer and checks."""
    return pump(cur, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY), "xz")


def unlzma(cur: Cursor) -> Pieces:
    """LZMA-alone: 13 bytes of header, then a stream that ends at its stated size or at its end marker."""
    return pump(cur, lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MEMORY), "lzma")


def lzip_dictionary(view: View, start: int) -> int:
    """Bytes of dictionary that the lzip header at ``start`` asks for (lzip manual, "File format")."""
    if not view.startswith(frames.LZIP_MAGIC, start) or view.u8(start + 4) != 1:
        raise Malformed("no lzip member of version 1", offset=start)
    coded = view.u8(start + 5)
    size = 1 << (coded & 31)
    size -= size // 16 * (coded >> 5)
    if not 4 << 10 <= size <= 512 << 20:
        raise Malformed("lzip: impossible dictionary size", offset=start + 5)
    return size


def unlzip(cur: Cursor) -> Pieces:
    """One lzip member with its CRC-32, data size and member size."""
    start = cur.at
    # An lzip member is LZMA with lc=3, lp=0, pb=2 and an end marker: LZMA-alone with another header.
    head = b"\x5d" + struct.pack("<Iq", lzip_dictionary(cur.view, start), -1)
    cur.at += 6
    crc = size = 0
    engine = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MEMORY)
    for piece in pump(cur, engine, "lzip", head):
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        yield piece
    at = cur.at
    stored, length, member = cur.view.u32(at), cur.view.u64(at + 4), cur.view.u64(at + 12)
    cur.at += 20
    compare("lzip CRC-32", stored, crc, at)
    compare("lzip data size", length, size, at + 4)
    compare("lzip member size", member, cur.at - start, at + 12)


def zip_lzma(cur: Cursor, size: int) -> Pieces:
    """LZMA as in ZIP (APPNOTE 5.8): version, length of the properties, properties, stream; ``size`` is -1 where the
    stream has an end marker."""
    length = cur.view.u16(cur.at + 2)
    if length != 5:
        raise Malformed("zip: LZMA properties of another length", offset=cur.at)
    head = cur.view.take(cur.at + 4, 5) + struct.pack("<q", size)
    cur.at += 9
    return pump(cur, lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MEMORY), "lzma", head)


def bunzip2(cur: Cursor) -> Pieces:
    """One bzip2 stream with its block and stream CRCs."""
    return pump(cur, bz2.BZ2Decompressor(), "bzip2")


def unzstd(cur: Cursor) -> Pieces:
    """One Zstandard frame (RFC 8878) with its checksum."""
    import zstandard

    header = frames.zstd_header(cur.view, cur.at)
    if header.dictionary:
        raise Malformed(f"zstd: needs the dictionary {header.dictionary}", offset=cur.at)
    cut: Truncated | None = None
    try:
        end = frames.zstd_end(cur.view, cur.at)
    except Truncated as problem:
        end, cut = len(cur.view), problem
    engine = zstandard.ZstdDecompressor(max_window_size=MEMORY)
    source = engine.stream_reader(cur.view.mem(cur.at, end - cur.at), read_size=FEED)
    try:
        while out := source.read(PIECE):
            yield out
    except (zstandard.ZstdError, MemoryError) as problem:
        if "checksum" in str(problem):
            raise BadChecksum("zstd XXH64", cur.view.u32(end - 4), -1, offset=end - 4) from problem
        raise Malformed(f"zstd: {problem}", offset=cur.at) from problem
    cur.at = end
    if cut:
        raise cut


def unlz4(cur: Cursor) -> Pieces:
    """One LZ4 frame (LZ4 Frame Format 1.6) with its checksums."""
    import lz4.frame

    return pump(cur, lz4.frame.LZ4FrameDecompressor(), "lz4")


def unlz4_legacy(cur: Cursor) -> Pieces:
    """LZ4 blocks of at most 8 MiB, each after its size (LZ4 Frame Format 1.6, "Legacy frame").

    The form has no end mark: it ends after a block that is not full, at a size no block can have, or with the view.
    """
    if not cur.view.startswith(frames.LZ4_LEGACY_MAGIC, cur.at):
        raise Malformed("no legacy LZ4 frame", offset=cur.at)
    cur.at += 4
    full = True
    while full and len(cur.view) - cur.at >= 4:
        size = cur.view.u32(cur.at)
        if not 0 < size <= frames.LZ4_LEGACY_BLOCK + frames.LZ4_LEGACY_BLOCK // 255 + 16:
            return
        data = cur.view.mem(cur.at + 4, size)
        out = unlz4_block(data, frames.LZ4_LEGACY_BLOCK)
        cur.at += 4 + size
        yield from _cut(out)
        full = len(out) == frames.LZ4_LEGACY_BLOCK


def _cut(out: bytes) -> Pieces:
    if len(out) <= PIECE:
        yield out
        return
    whole = memoryview(out)
    for at in range(0, len(out), PIECE):
        yield whole[at : at + PIECE]


def unlzop(cur: Cursor) -> Pieces:
    """An lzop file (one member) with the checksums of its header and blocks."""
    header = frames.lzop_header(cur.view, cur.at)
    compare("lzop header", *header.checksum, cur.at)
    cur.at = header.end
    while block := frames.lzop_block(cur.view, cur.at, header.flags):
        data: Buffer = cur.view.mem(block.at, block.length)
        _lzop_sums(block, data, frames.LZOP_ADLER_C, frames.LZOP_CRC_C)
        out = unlzo_block(data, block.size) if block.length < block.size else bytes(data)
        if len(out) != block.size:
            raise Malformed("lzop: a block of another size than stated", offset=block.at)
        yield from _cut(out)
        _lzop_sums(block, out, frames.LZOP_ADLER_D, frames.LZOP_CRC_D)
        cur.at = block.at + block.length
    cur.at += 4


def _lzop_sums(block: frames.LzopBlock, data: Buffer, adler: int, crc: int) -> None:
    if adler in block.sums:
        compare("lzop Adler-32", block.sums[adler], zlib.adler32(data), block.at)
    if crc in block.sums:
        compare("lzop CRC-32", block.sums[crc], zlib.crc32(data), block.at)


def unlz4_block(data: Buffer, limit: int) -> bytes:
    """One raw LZ4 block of at most ``limit`` bytes of output."""
    import lz4.block

    if not len(data):
        raise Truncated("lz4: an empty block")
    try:
        out: bytes = lz4.block.decompress(data, uncompressed_size=min(limit, 255 * len(data) + 64))
    except (lz4.block.LZ4BlockError, ValueError, OverflowError, MemoryError) as problem:
        raise Malformed(f"lz4: {problem}") from problem
    return out


def unlzo_block(data: Buffer, limit: int) -> bytes:
    """One raw LZO1X block of at most ``limit`` bytes of output."""
    import lzallright

    if len(data) > _LZO_INPUT:
        raise Malformed(f"lzo: a block of {len(data)} bytes; at most {_LZO_INPUT} are read")
    try:
        out: bytes = lzallright.LZOCompressor.decompress(data, min(limit, 256 * len(data)))
    except lzallright.InputNotConsumed as problem:
        raise Malformed("lzo: bytes follow the end marker") from problem
    except (lzallright.LZOError, ValueError, MemoryError) as problem:
        sort = Truncated if "InputOverrun" in str(problem) else Malformed
        raise sort(f"lzo: {problem}") from problem
    if len(out) > limit:
        raise Malformed(f"lzo: output passes {limit} bytes")
    return out


STREAMS: dict[str, Callable[[Cursor], Pieces]] = {
    "gzip": gunzip,
    "zlib": unzlib,
    "deflate": inflate,
    "xz": unxz,
    "lzma": unlzma,
    "lzip": unlzip,
    "bzip2": bunzip2,
    "zstd": unzstd,
    "lz4": unlz4,
    "lz4-legacy": unlz4_legacy,
    "lzop": unlzop,
}
