"""A feed's file as streams of bytes: what gzip, xz, zstd, tar and zip hold, in order, without ever holding it whole.

Everything here runs in the sandboxed worker. Names of members are text to show; nothing is written anywhere by them.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from mmap import mmap
from typing import Final

import zstandard
from msgspec import Struct

from banbury.model.errors import BudgetExceeded, Malformed

_CHUNK: Final = 1 << 20
_DEPTH: Final = 4  # a zip in a zip, a gzip in a tar in a gzip
_MEMBERS: Final = 2_000_000
_XZ_MEMORY: Final = 128 << 20
_ZSTD_WINDOW: Final = 128 << 20
#: Bytes that all layers together may give: the whole CVE list is 3 GB.
OUTPUT: Final = 24 << 30


class Budget:
    """Counts what is unpacked, over all layers."""

    def __init__(self, left: int = OUTPUT) -> None:
        self.left = left

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise BudgetExceeded("it unpacks to more than is allowed")


class Stream:
    """Bytes that come in chunks, with a look ahead."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""
        self._at = 0  # what stands before it in ``_held`` was read: nothing is copied for a few bytes

    def peek(self, size: int) -> bytes:
        """Up to ``size`` bytes, which stay to be read."""
        have = len(self._held) - self._at
        if have < size:
            pieces = [self._held[self._at :]]
            while have < size and (chunk := next(self._chunks, None)) is not None:
                pieces.append(chunk)
                have += len(chunk)
            self._held, self._at = b"".join(pieces), 0
        return self._held[self._at : self._at + size]

    def chunk(self, limit: int = 1 << 62) -> bytes:
        """The next bytes, at least one and at most ``limit``; ``b""`` at the end."""
        while self._at >= len(self._held):
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._held, self._at = chunk, 0
        piece = self._held[self._at : self._at + limit]
        self._at += len(piece)
        return piece

    def push(self, data: bytes) -> None:
        """Give back bytes that were read too far."""
        if data and self._held[self._at - len(data) : self._at] == data and self._at >= len(data):
            self._at -= len(data)
        else:
            self._held, self._at = data + self._held[self._at :], 0

    def exactly(self, size: int) -> bytes:
        """``size`` bytes; :class:`Malformed` where there are fewer."""
        data = self.peek(size)
        if len(data) < size:
            raise Malformed("it ends too early")
        self._at += size
        return data

    def part(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes in chunks; :class:`Malformed` where there are fewer."""
        while size:
            chunk = self.chunk(size)
            if not chunk:
                raise Malformed("it ends too early")
            size -= len(chunk)
            yield chunk

    def whole(self, limit: int) -> bytes:
        """All that is left; :class:`Malformed` where it is more than ``limit`` bytes."""
        data = self.peek(limit + 1)
        if len(data) > limit:
            raise Malformed(f"a document of more than {limit >> 20} MiB, which is read whole")
        self._held, self._at = b"", 0
        return data

    def drain(self) -> None:
        """Read to the end."""
        while self.chunk():
            pass


class Document(Struct, frozen=True):
    """One file of a feed: its name in the container (``""`` outside of one) and its bytes."""

    name: str
    stream: Stream


def documents(data: bytes | mmap, budget: Budget) -> Iterator[Document]:
    """Every file in the input. Each must be read before the next is asked for; what is left of it is passed over."""
    yield from _unwrapped(Document("", Stream(_pieces(data))), budget, 0)


def _pieces(data: bytes | mmap) -> Iterator[bytes]:
    for at in range(0, len(data), _CHUNK):
        yield bytes(data[at : at + _CHUNK])


def _unwrapped(document: Document, budget: Budget, depth: int) -> Iterator[Document]:
    head = document.stream.peek(512)
    for magic, unpack in _CODECS.items():
        if head.startswith(magic):
            _check(depth)
            inner = Stream(_counted(unpack(document.stream), budget))
            yield from _unwrapped(Document(document.name, inner), budget, depth + 1)
            return
    archive = _zip if head.startswith(b"PK\x03\x04") else _tar if head[257:262] == b"ustar" else None
    if archive is None:
        yield document
        return
    _check(depth)
    for number, member in enumerate(archive(document.stream)):
        if number >= _MEMBERS:
            raise BudgetExceeded("an archive of too many members")
        counted = Stream(_counted(_rest(member.stream), budget))
        yield from _unwrapped(Document(member.name, counted), budget, depth + 1)
        counted.drain()


def _check(depth: int) -> None:
    if depth >= _DEPTH:
        raise Malformed("containers nested too deeply")


def _counted(chunks: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    for chunk in chunks:
        budget.take(len(chunk))
        yield chunk


def _rest(stream: Stream) -> Iterator[bytes]:
    while chunk := stream.chunk():
        yield chunk


def _inflated(stream: Stream, window: int) -> Iterator[bytes]:
    """One deflate stream, in chunks; what follows it is left in ``stream``."""
    decoder = zlib.decompressobj(window)
    step = 1 << 12  # what is read too far is copied: little for a small member
    while not decoder.eof:
        data = decoder.unconsumed_tail or stream.chunk(step)
        step = min(step * 2, _CHUNK)
        if not data:
            raise Malformed("the compressed data end too early")
        try:
            yield decoder.decompress(data, _CHUNK)
        except zlib.error as problem:
            raise Malformed("the compressed data are damaged") from problem
    stream.push(decoder.unused_data)


def _gunzip(stream: Stream) -> Iterator[bytes]:
    """Every member of a gzip file (RFC 1952, 2.2); nothing else may follow but noughts."""
    while True:
        yield from _inflated(stream, 31)
        head = stream.peek(2)
        if head != b"\x1f\x8b":
            break
    for chunk in _rest(stream):
        if chunk.strip(b"\0"):
            raise Malformed("something follows the compressed data")


def _unxz(stream: Stream) -> Iterator[bytes]:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    data = b""
    while not decoder.eof:
        if decoder.needs_input and not (data := stream.chunk()):
            raise Malformed("the compressed data end too early")
        try:
            yield decoder.decompress(data, _CHUNK)
        except lzma.LZMAError as problem:
            raise Malformed("the compressed data are damaged") from problem
        data = b""
    if decoder.unused_data or stream.peek(1):
        raise Malformed("something follows the compressed data")


class _Reader:
    """What zstandard reads from."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        return self._stream.exactly(min(len(self._stream.peek(1 << 17)), size if size > 0 else 1 << 17))


def _unzstd(stream: Stream) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame = decoder.decompressobj()
    while True:
        data = stream.chunk()
        if not data:
            raise Malformed("the compressed data end too early")
        for at in range(0, len(data), 1 << 14):  # a block of zstd gives 128 KiB at most: bounded output
            try:
                yield frame.decompress(data[at : at + (1 << 14)])
            except zstandard.ZstdError as problem:
                raise Malformed("the compressed data are damaged") from problem
            if frame.eof:
                if frame.unused_data or data[at + (1 << 14) :] or stream.peek(1):
                    raise Malformed("something follows the compressed data")
                return


_CODECS: Final[dict[bytes, Callable[[Stream], Iterator[bytes]]]] = {
    b"\x1f\x8b": _gunzip,
    b"\xfd7zXZ\0": _unxz,
    b"\x28\xb5\x2f\xfd": _unzstd,
}


def _tar(stream: Stream) -> Iterator[Document]:
    """The regular files of a tar (POSIX.1-2017, pax; ustar). Long names of pax and GNU are passed over: a name decides
    nothing here."""
    while len(head := stream.peek(512)) == 512 and head.strip(b"\0"):
        stream.exactly(512)
        size = _octal(head[124:136])
        if head[257:262] != b"ustar" or _octal(head[148:156]) != sum(head) - sum(head[148:156]) + 8 * 32:
            raise Malformed("a damaged header in a tar")
        body = Stream(stream.part(size))
        if head[156:157] in (b"0", b"\0"):
            yield Document(head[:100].split(b"\0", 1)[0].decode("utf-8", "replace"), body)
        body.drain()
        stream.exactly(-size % 512)
    if not head:
        raise Malformed("a tar without its end")
    stream.drain()


def _octal(field: bytes) -> int:
    text = field.strip(b" \0")
    if not text.isdigit() or b"8" in text or b"9" in text:
        raise Malformed("a damaged number in a tar")
    return int(text, 8)


def _zip(stream: Stream) -> Iterator[Document]:
    """The files of a zip, from its local headers (APPNOTE 6.3.10, 4.3.7). Stored and deflated ones."""
    while stream.peek(4) == b"PK\x03\x04":
        fields = struct.unpack("<4s5H3I2H", stream.exactly(30))
        flags, method, crc, packed, size = fields[2], fields[3], fields[6], fields[7], fields[8]
        name = stream.exactly(fields[9]).decode("utf-8", "replace")
        extra = stream.exactly(fields[10])
        if flags & 1:
            raise Malformed("an encrypted member in a zip")
        if packed == 0xFFFFFFFF or size == 0xFFFFFFFF:
            packed = _zip64(extra)
        body = Stream(_zip_member(stream, method, packed, flags))
        if not name.endswith("/"):
            yield Document(name, body)
        body.drain()
        if flags & 8:
            _descriptor(stream)
        del crc
    if stream.peek(4) not in (b"PK\x01\x02", b"PK\x05\x06"):
        raise Malformed("a zip without its directory")
    stream.drain()


def _zip_member(stream: Stream, method: int, packed: int, flags: int) -> Iterator[bytes]:
    if method == 8:
        return _inflated(stream, -15)
    if method == 0 and not flags & 8:
        return stream.part(packed)
    raise Malformed(f"a member of a zip with method {method}")


def _zip64(extra: bytes) -> int:
    """The packed size of a zip64 extra field (APPNOTE 4.5.3)."""
    if len(extra) < 20 or extra[:2] != b"\x01\x00":
        raise Malformed("a member of a zip without its size")
    return int.from_bytes(extra[12:20], "little")


def _descriptor(stream: Stream) -> None:
    """Pass over a data descriptor: with or without signature, with sizes of 4 or 8 bytes (APPNOTE 4.3.9)."""
    head = stream.peek(28)
    for size in (16, 12, 24, 20):
        if head[size : size + 3] in (b"PK\x03", b"PK\x01", b"PK\x05"):
            stream.exactly(size)
            return
    raise Malformed("a member of a zip without its end")
