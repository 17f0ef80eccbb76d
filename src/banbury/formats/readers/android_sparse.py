"""Android's sparse image: an image in chunks, of which those of one repeated word or of no content take no space."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed, Truncated
from banbury.model.tree import Entry, Kind, Role

_HEADER = struct.Struct("<IHHHHIIII")
_CHUNK = struct.Struct("<HHII")
_RAW, _FILL, _SKIP, _CRC = 0xCAC1, 0xCAC2, 0xCAC3, 0xCAC4
_PIECE = 1 << 20
_MOST = 1_000_000  # chunks: images of many gigabytes have thousands


class Header(Struct, frozen=True):
    """The file header; sizes in bytes, ``blocks`` and ``chunks`` are counts."""

    header: int
    chunk_header: int
    block: int
    blocks: int
    chunks: int
    checksum: int


class Chunk(Struct, frozen=True, array_like=True):
    """A chunk: its type, output bytes, and where its content stands."""

    sort: int
    output: int
    start: int
    length: int


def _header(view: View, start: int) -> Header:
    """Raises ``Malformed`` where the fields break the format."""
    magic, major, _, size, chunk_size, block, blocks, chunks, checksum = view.unpack(_HEADER, start)
    good = magic == 0xED26FF3A and major == 1 and 28 <= size <= 4096 and 12 <= chunk_size <= 4096
    if not good or block % 4 or not 1024 <= block <= 1 << 26 or not chunks:
        raise Malformed("no Android sparse image", offset=start)
    return Header(size, chunk_size, block, blocks, chunks, checksum)


def _chunks(view: View, start: int, header: Header) -> Iterator[Chunk]:
    """The chunks in order. Raises ``Malformed`` at one whose size contradicts its type, ``Truncated`` at the end."""
    at = start + header.header
    for number in range(header.chunks):
        sort, _, blocks, total = view.unpack(_CHUNK, at)
        output = blocks * header.block
        length = total - header.chunk_header
        expected = {_RAW: output, _FILL: 4, _SKIP: 0, _CRC: 4}.get(sort, -1)
        if length != expected:
            raise Malformed(f"chunk {number} of type {sort:#x} has {total} bytes", offset=at)
        yield Chunk(sort, 0 if sort == _CRC else output, at + header.chunk_header, length)
        if at + total > len(view):
            raise Truncated(f"the image ends within chunk {number}", offset=at)
        at += total


class AndroidSparseReader(Reader):
    """Expands the image into one member, ``image``."""

    name = "android-sparse"
    title = "Android sparse image"
    version = 1
    magics = (Magic(b"\x3a\xff\x26\xed\x01\x00"),)
    references = ("Android platform/system/core, libsparse/sparse_format.h",)
    limitations = (
        "Stretches that the image leaves out are given as zeros; what a device would hold there is unknown.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        header = _header(view, start)
        end = start + header.header
        seen = 0
        try:
            for chunk in _chunks(view, start, header):
                end = chunk.start + chunk.length
                seen += 1
        except Truncated:
            return Extent(len(view) - start, sure=seen > 0)
        except Malformed:
            if not seen:
                return None
        return Extent(end - start)

    def read(self, view: View, sink: Sink) -> None:
        header = _header(view, 0)
        sink.own(0, header.header, Role.HEADER, "sparse header")
        sink.property("block size", f"{header.block} bytes")
        sink.property("blocks", str(header.blocks))
        chunks, problem = self._all(view, header, sink)
        if not problem:
            sink.check("chunks", header.chunks, len(chunks))
            sink.check("blocks", header.blocks, sum(c.output for c in chunks) // header.block)
        entry = Entry(path="image", kind=Kind.FILE, size=header.blocks * header.block)
        if len(chunks) == 1 and chunks[0].sort == _RAW and not problem:
            member = sink.slice(entry, chunks[0].start, chunks[0].start + chunks[0].length)
        else:
            member = sink.file(entry, self._expand(view, header, chunks, sink, problem))
        for chunk in chunks:
            role, name = (Role.CHECK, "checksum") if chunk.sort == _CRC else (Role.MEMBER, "content")
            sink.own(chunk.start - header.chunk_header, chunk.start, Role.HEADER, "chunk header")
            sink.own(chunk.start, chunk.start + chunk.length, role, name, -1 if chunk.sort == _CRC else member)

    @staticmethod
    def _all(view: View, header: Header, sink: Sink) -> tuple[list[Chunk], str]:
        """The chunks that can be read, and why they end early ("" where they do not)."""
        out: list[Chunk] = []
        try:
            for chunk in islice(_chunks(view, 0, header), _MOST):
                out.append(chunk)
        except Truncated as problem:
            sink.note("truncated", f"{len(out)} of {header.chunks} chunks are there")
            return out, str(problem)
        except Malformed as problem:
            return out, str(problem)
        return out, f"only {_MOST} of {header.chunks} chunks are read" if header.chunks > _MOST else ""

    @staticmethod
    def _expand(view: View, header: Header, chunks: list[Chunk], sink: Sink, problem: str) -> Iterator[Buffer]:
        checked = bool(header.checksum) or any(c.sort == _CRC for c in chunks)
        crc = 0
        for chunk in chunks:
            if chunk.sort == _CRC:
                if view.u32(chunk.start) != crc:
                    sink.note("checksum", "the content before a checksum chunk differs", start=chunk.start)
                continue
            for piece in _pieces(view, chunk):
                if checked:
                    crc = zlib.crc32(piece, crc)
                yield piece
        if problem:
            raise Malformed(problem)
        if header.checksum and crc != header.checksum:
            sink.note("checksum", "the whole image's checksum differs", start=24, end=28)


def _pieces(view: View, chunk: Chunk) -> Iterator[Buffer]:
    """The output of one chunk in pieces of at most 1 MiB (but raw content as it stands)."""
    if chunk.sort == _RAW:
        yield view.mem(chunk.start, min(chunk.length, len(view) - chunk.start))
        return
    word = view.take(chunk.start, 4) if chunk.sort == _FILL else b"\0\0\0\0"
    piece = word * (min(chunk.output, _PIECE) // 4)
    left = chunk.output
    while left > 0:
        yield piece if left >= len(piece) else piece[:left]
        left -= len(piece)


READERS: list[Reader] = [AndroidSparseReader()]
