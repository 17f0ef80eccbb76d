"""Compressed files: gzip, zlib, xz, LZMA-alone, lzip, bzip2, Zstandard, LZ4 (frame and legacy) and lzop.

Each stream becomes one file, under the name it stores, else ``content``, ``content-2`` and so on.
"""

from __future__ import annotations

import struct
import zlib

from banbury.formats import _frames as frames
from banbury.formats._decoders import lzip_dictionary
from banbury.formats.contract import Magic, Sink
from banbury.formats.readers._streams import Head, StreamReader
from banbury.formats.view import View
from banbury.model.errors import Malformed, Truncated
from banbury.model.tree import Role

_SKIPPABLE = 0x184D2A50
_SKIPPED = 64  # bytes: one frame of any size, or a few empty ones


class Gzip(StreamReader):
    name = kind = "gzip"
    title = "gzip stream"
    magics = (Magic(b"\x1f\x8b\x08"),)
    references = ("RFC 1952",)
    limitations = ("Members that follow one another are separate files, though gzip -d joins them.",)

    def head(self, view: View, at: int) -> Head:
        header = frames.gzip_header(view, at)
        parts = ((at, at + 10), header.extra, header.name, header.comment, (header.comment[1], header.end))
        labels = ("gzip header", "extra field", "name", "comment", "header CRC")
        start, end = header.name
        return Head(
            end=header.end,
            fields=tuple((*part, label) for part, label in zip(parts, labels, strict=True) if part[0] < part[1]),
            trailer=(8, "CRC-32 and size"),
            name=view.take(start, end - start - 1) if end > start else b"",
            mtime=header.mtime or -1,
        )

    def describe(self, view: View, sink: Sink, at: int, head: Head) -> None:
        header = frames.gzip_header(view, at)
        start, end = header.comment
        if end > start:
            sink.property("comment", view.take(start, end - start - 1).decode("latin-1"))
        start, end = header.extra
        if end > start:
            sink.note("hidden", f"an extra field of {end - start - 2} bytes", start=start, end=end)
        for label, (start, end) in (("name", header.name), ("comment", header.comment)):
            if end - start > 256:
                sink.note("hidden", f"a {label} of {end - start - 1} bytes", start=start, end=end)
        if header.crc:
            sink.check("gzip header CRC", *header.crc)
            if header.crc[0] != header.crc[1]:
                sink.note("checksum", "the header's CRC does not match", start=at, end=header.end)


class Zlib(StreamReader):
    name = kind = "zlib"
    title = "zlib stream"
    magics = (Magic(b"\x78\x01"), Magic(b"\x78\x5e"), Magic(b"\x78\x9c"), Magic(b"\x78\xda"))
    carve = False
    references = ("RFC 1950",)
    limitations = ("Claimed only where a whole blob is one stream: the magic is two bytes.",)

    def head(self, view: View, at: int) -> Head:
        if view.u16(at, big=True) not in {0x7801, 0x785E, 0x789C, 0x78DA}:
            raise Malformed("no zlib header", offset=at)
        return Head(end=at + 2, trailer=(4, "Adler-32"))

    def cut(self, size: int, inside: bool) -> bool:
        return size >= 64 << 10


class Xz(StreamReader):
    name = kind = "xz"
    title = "xz stream"
    magics = (Magic(b"\xfd7zXZ\0"),)
    gap = 4
    references = ("The .xz File Format 1.1.0",)
    limitations = ("Streams that follow one another are separate files, though xz -d joins them.",)
    _CHECKS = {0: "none", 1: "CRC32", 4: "CRC64", 10: "SHA-256"}  # noqa: RUF012 - a constant

    def head(self, view: View, at: int) -> Head:
        if not view.startswith(b"\xfd7zXZ\0", at):
            raise Malformed("no xz header", offset=at)
        if zlib.crc32(view.mem(at + 6, 2)) != view.u32(at + 8):
            raise Malformed("xz: the header's CRC does not match", offset=at)
        return Head(end=at + 12, fields=((at, at + 12, "stream header"),))

    def describe(self, view: View, sink: Sink, at: int, head: Head) -> None:
        check = view.u8(at + 7) & 15
        sink.property("check", self._CHECKS.get(check, f"type {check}"))

    def close(self, view: View, sink: Sink, at: int, end: int) -> int:
        # The decoder has verified the footer (section 2.1.2), so its backward size can be trusted.
        index = end - 12 - (view.u32(end - 8) + 1) * 4
        sink.own(end - 12, end, Role.CHECK, "stream footer")
        sink.own(index, end - 12, Role.TABLE, "index")
        return index


class Lzma(StreamReader):
    name = kind = "lzma"
    title = "LZMA stream (.lzma)"
    #: Properties of lc=3 lp=0 pb=2 (the usual) and of the other encoders seen in devices, with dictionaries of
    #: a multiple of 64 KiB.
    magics = tuple(Magic(bytes((props, 0, 0))) for props in (0x5D, 0x5E, 0x65, 0x66, 0x6C, 0x6D, 0x6E))
    references = ("LZMA specification (LZMA SDK), .lzma file format",)
    proof = 64
    limitations = (
        "Dictionaries that are no multiple of 64 KiB are not recognised.",
        "The format has no checksum: damage can go unseen.",
    )

    def head(self, view: View, at: int) -> Head:
        props, dictionary, size, first = struct.unpack("<BIqB", view.mem(at, 14))
        low = dictionary & -dictionary
        if props >= 225 or not 1 << 16 <= dictionary <= 256 << 20 or dictionary not in {low, 3 * low}:
            raise Malformed("no LZMA properties", offset=at)
        if first or not (size == -1 or 0 < size <= 1 << 32):
            raise Malformed("no LZMA stream", offset=at)
        return Head(end=at + 13, fields=((at, at + 13, "LZMA header"),), size=max(size, 0))

    def describe(self, view: View, sink: Sink, at: int, head: Head) -> None:
        sink.property("properties", f"{view.u8(at):#04x}")
        sink.property("dictionary", f"{view.u32(at + 1)} bytes")

    def cut(self, size: int, inside: bool) -> bool:
        return size >= 4096


class Lzip(StreamReader):
    name = kind = "lzip"
    title = "lzip stream"
    magics = (Magic(b"LZIP\x01"),)
    join = True
    references = ("lzip manual, File format",)

    def head(self, view: View, at: int) -> Head:
        lzip_dictionary(view, at)
        return Head(end=at + 6, trailer=(20, "CRC-32, data size and member size"))


class Bzip2(StreamReader):
    name = kind = "bzip2"
    title = "bzip2 stream"
    magics = tuple(Magic(b"BZh%d%s" % (n, tail)) for n in range(1, 10) for tail in (b"1AY&SY", b"\x17rE8P\x90"))
    join = True
    references = ("bzip2 and libbzip2 1.0.8; J. Tsai, BZIP2: Format Specification",)
    limitations = ("Streams that follow one another are one file, as parallel compressors write them.",)

    def head(self, view: View, at: int) -> Head:
        if not any(view.startswith(m.pattern, at) for m in self.magics if view.startswith(m.pattern[:4], at)):
            raise Malformed("no bzip2 header", offset=at)
        return Head(end=at + 4)

    def cut(self, size: int, inside: bool) -> bool:
        return True  # ten bytes of magic; a block gives nothing before its end


class _Framed(StreamReader):
    """A format whose end can be found by walking its frames, so that a trial of the first piece is enough."""

    def end(self, view: View, at: int) -> int:
        raise NotImplementedError

    def _trial(self, view: View, at: int, spare: int, first: bool) -> tuple[int, int, bool] | None:
        try:
            end = self.end(view, at)
        except Truncated:
            end = len(view)
        found = super()._trial(view, at, 0, first)
        if found is None:
            return (end, 0, False) if end < len(view) or not at else None
        return end, 0, found[2]


class Zstd(_Framed):
    name = kind = "zstd"
    title = "Zstandard stream"
    magics = (Magic(frames.ZSTD_MAGIC), Magic(struct.pack("<I", _SKIPPABLE)))
    references = ("RFC 8878",)
    limitations = (
        "Frames that follow one another are separate files, though zstd -d joins them.",
        "Frames that need a dictionary are not decoded.",
    )

    def head(self, view: View, at: int) -> Head:
        header = frames.zstd_header(view, at)
        trailer = (4, "XXH64") if header.checksum else (0, "")
        return Head(end=header.end, size=max(header.content, 0), trailer=trailer)

    def end(self, view: View, at: int) -> int:
        return frames.zstd_end(view, at)

    def skip(self, view: View, sink: Sink | None, at: int) -> int:
        """Skippable frames (3.1.2) hold what no decoder looks at. Of very many, ``probe`` passes over some only."""
        first = at
        limit = at + (len(view) if sink else _SKIPPED)
        while at < limit and at + 8 <= len(view) and view.u32(at) & ~15 == _SKIPPABLE:
            size = view.u32(at + 4)
            if size > len(view) - at - 8:
                return first
            at += 8 + size
            if sink:
                sink.own(at - size - 8, at - size, Role.HEADER, "skippable frame")
                sink.own(at - size, at, Role.UNREAD, "skippable frame's content")
                sink.note("hidden", f"a skippable frame of {size} bytes", start=at - size - 8, end=at)
        return at


class Lz4(_Framed):
    name = kind = "lz4"
    title = "LZ4 frame stream"
    magics = (Magic(frames.LZ4_MAGIC),)
    join = True
    references = ("LZ4 Frame Format Description 1.6.4",)
    limitations = ("Frames that need a dictionary are not decoded.",)

    def head(self, view: View, at: int) -> Head:
        if not view.startswith(frames.LZ4_MAGIC, at) or view.u8(at + 4) >> 6 != 1:
            raise Malformed("no LZ4 frame", offset=at)
        flags = view.u8(at + 4)
        size = view.u64(at + 6) if flags & 8 else 0
        end = at + 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
        view.mem(at, end - at)
        trailer = (8, "end mark and XXH32") if flags & 4 else (4, "end mark")
        return Head(end=end, size=size, trailer=trailer)

    def end(self, view: View, at: int) -> int:
        return frames.lz4_end(view, at)


class Lz4Legacy(StreamReader):
    name = kind = "lz4-legacy"
    title = "LZ4 legacy frame stream"
    magics = (Magic(frames.LZ4_LEGACY_MAGIC),)
    join = True
    proof = 4096
    references = ("LZ4 Frame Format Description 1.6.4, Legacy frame; Linux, lib/decompress_unlz4.c",)
    limitations = ("The format has neither checksum nor end mark: its end is where no further block can be.",)

    def head(self, view: View, at: int) -> Head:
        if not view.startswith(frames.LZ4_LEGACY_MAGIC, at) or not view.u32(at + 4):
            raise Malformed("no legacy LZ4 frame", offset=at)
        return Head(end=at + 4)


class Lzop(_Framed):
    name = kind = "lzop"
    title = "lzop file"
    magics = (Magic(frames.LZOP_MAGIC),)
    references = ("lzop 1.04, file format as in lzop.h; Linux, lib/decompress_unlzo.c",)
    limitations = ("Filters, and blocks of more than 1 MiB of compressed data, are not decoded.",)

    def head(self, view: View, at: int) -> Head:
        header = frames.lzop_header(view, at)
        return Head(
            end=header.end,
            trailer=(4, "end mark"),
            name=header.name,
            mtime=header.mtime or -1,
            mode=header.mode & 0o7777,
        )

    def describe(self, view: View, sink: Sink, at: int, head: Head) -> None:
        sink.check("lzop header", *frames.lzop_header(view, at).checksum)

    def end(self, view: View, at: int) -> int:
        return frames.lzop_end(view, at)


READERS = (Gzip(), Zlib(), Xz(), Lzma(), Lzip(), Bzip2(), Zstd(), Lz4(), Lz4Legacy(), Lzop())
