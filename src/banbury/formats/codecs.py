"""Decompression of hostile input: one block at a time, or a stream in bounded pieces.

Nothing here allocates more than its caller allowed (``block``) or a fixed amount (``Stream``), and every error of a
library leaves as :class:`~banbury.model.errors.Malformed`.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from banbury.formats._decoders import MEMORY, STREAMS, Cursor, unlz4_block, unlzo_block
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed, Truncated

__all__ = ["BLOCKS", "STREAMS", "Stream", "block", "block_used"]


def _engine(make: Callable[[], Any], name: str) -> Callable[[Buffer, int], tuple[bytes, int]]:
    """A block decoder from a decompressor object of the ``zlib``/``lzma``/``bz2`` kind."""

    def decode(data: Buffer, limit: int) -> tuple[bytes, int]:
        try:
            engine = make()
            out: bytes = engine.decompress(data, limit + 1)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError) as problem:
            raise Malformed(f"{name}: {problem or 'not enough memory'}") from problem
        if len(out) > limit:
            raise Malformed(f"{name}: output passes {limit} bytes")
        if not engine.eof:
            raise Truncated(f"{name}: the block ends early")
        return out, len(data) - len(engine.unused_data)

    return decode


def _zstd(data: Buffer, limit: int) -> tuple[bytes, int]:
    from banbury.formats._decoders import unzstd

    cursor = Cursor(View(bytes(data)), 0)
    out = bytearray()
    for piece in unzstd(cursor):
        out += piece
        if len(out) > limit:
            raise Malformed(f"zstd: output passes {limit} bytes")
    return bytes(out), cursor.at


def _lz4(data: Buffer, limit: int) -> tuple[bytes, int]:
    return unlz4_block(data, limit), len(data)


def _lzo(data: Buffer, limit: int) -> tuple[bytes, int]:
    return unlzo_block(data, limit), len(data)


#: What ``block`` decodes. As in file systems, "gzip" means a zlib stream (RFC 1950).
BLOCKS: dict[str, Callable[[Buffer, int], tuple[bytes, int]]] = {
    "gzip": _engine(zlib.decompressobj, "zlib"),
    "deflate": _engine(lambda: zlib.decompressobj(-15), "deflate"),
    "xz": _engine(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY), "xz"),
    "lzma": _engine(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MEMORY), "lzma"),
    "bzip2": _engine(bz2.BZ2Decompressor, "bzip2"),
    "zstd": _zstd,
    "lz4": _lz4,
    "lzo": _lzo,
}


def block(kind: str, data: Buffer, limit: int) -> bytes:
    """The output of one self-contained block, at most ``limit`` bytes (more is ``Malformed``).

    ``kind`` is a key of :data:`BLOCKS`: "gzip" (a zlib stream), "deflate" (raw), "xz", "lzma" (with its 13 bytes of
    header), "bzip2", "zstd", "lz4" and "lzo" (raw blocks). Bytes after the block's own end are passed over, as their
    consumers do, but for "lz4" and "lzo", which fill ``data`` or are ``Malformed``; see :func:`block_used`.
    """
    return BLOCKS[kind](data, limit)[0]


def block_used(kind: str, data: Buffer, limit: int) -> tuple[bytes, int]:
    """As :func:`block`, with the number of bytes of ``data`` that belong to the block."""
    return BLOCKS[kind](data, limit)


class Stream:
    """One compressed stream that starts at ``start`` of ``view``; iterate it (once) for its output.

    Pieces are at most 1 MiB. ``kind`` is a key of :data:`STREAMS`: "gzip" (one RFC 1952 member), "zlib", "deflate",
    "xz" (one stream with index and footer), "lzma" (alone), "lzip" (one member), "bzip2", "zstd" (one frame),
    "lz4" (one frame), "lz4-legacy" (the form Linux uses) and "lzop". Iteration raises ``Truncated`` where the input
    ends first, ``BadChecksum`` after the last piece where a stored check differs, else ``Malformed``. A stream may
    ask for at most 256 MiB of dictionary or window.
    """

    def __init__(self, kind: str, view: View, start: int = 0) -> None:
        self.kind = kind
        self.start = start
        self._cursor = Cursor(view, start)

    @property
    def consumed(self) -> int:
        """Bytes of input that belong to what was decoded: after the end, exactly one stream with its trailer."""
        return self._cursor.at - self.start

    def __iter__(self) -> Iterator[Buffer]:
        return STREAMS[self.kind](self._cursor)
