"""Compressed streams: lzop at other levels, and a stream that is an archive as well.

See :mod:`tests.equivalence.consumer_pairs_tools`.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import zlib

import lzallright

from tests.equivalence.consumer_pairs_tools import TEXT
from tests.equivalence.container_pairs import ar, harmless, tampered, tar
from tests.equivalence.pairs import Sample

# --- lzop ------------------------------------------------------------------------------------------------------------


def lzop(
    data: bytes, *, level: int = 9, time: int = 0, flags: int = 0x0300000D, mode: int = 0o100644, name: bytes = b"",
    block: int = 256 << 10, packed: bool = True, wrong: int = 0,
) -> bytes:  # fmt: skip
    """As lzop 1.04 writes it (lib/decompress_unlzo.c in Linux). ``wrong``: added to the sums of blocks."""
    head = struct.pack(">HHHBBIIII", 0x1040, 0x20A0, 0x0940, 3, level, flags, mode, time, 0)
    head += bytes((len(name),)) + name
    out = b"\x89LZO\0\r\n\x1a\n" + head + struct.pack(">I", zlib.adler32(head))
    for at in range(0, len(data), block):
        raw = data[at : at + block]
        stored = lzallright.LZOCompressor().compress(raw) if packed else raw
        stored = min(stored, raw, key=len)
        out += struct.pack(">III", len(raw), len(stored), zlib.adler32(raw) + wrong & 0xFFFFFFFF) + stored
    return out + bytes(4)


@harmless("lzop-level")
def _() -> Sample:
    return Sample(lzop(TEXT), lzop(TEXT, level=1, block=4096))


@harmless("lzop-time")
def _() -> Sample:
    return Sample(lzop(TEXT), lzop(TEXT, time=1_700_000_000))


@tampered("lzop-content")
def _() -> Sample:
    return Sample(lzop(TEXT), lzop(TEXT.replace(b"7", b"8", 1), level=1))


@tampered("lzop-trailing")
def _() -> Sample:
    return Sample(lzop(TEXT), lzop(TEXT, level=1) + b"\0")


@tampered("lzop-large-block")
def _() -> Sample:
    """Linux unpacks blocks of 256 KiB and no larger ones."""
    return Sample(lzop(TEXT * 60), lzop(TEXT * 60, block=512 << 10))


@tampered("lzop-sum")
def _() -> Sample:
    return Sample(lzop(TEXT), lzop(TEXT, level=1, wrong=1))


@tampered("lzop-flags")
def _() -> Sample:
    """Without sums, of which Linux skips one in each block all the same."""
    return Sample(lzop(TEXT), lzop(TEXT, flags=0x0300000C))


@tampered("lzop-mode")
def _() -> Sample:
    return Sample(lzop(TEXT), lzop(TEXT, level=1, mode=0o104755))


@tampered("lzop-name")
def _() -> Sample:
    return Sample(lzop(TEXT, name=b"a"), lzop(TEXT, level=1, name=b"b"))


# --- a stream that is an archive as well -----------------------------------------------------------------------------

_CONTENT = tar(("etc/firewall", b"policy drop\n"), ("bin/tool", b"#!/bin/sh\n"))


def _stream_and_archive(content: bytes, skipped: int) -> bytes:
    """A gzip of ``content`` whose first 512 bytes, with the file's name, are the header of a tar archive as well: its
    first member takes up the ``skipped`` first bytes of the content too."""
    name = bytearray(b"x" * 254)
    name[90:98], name[98:106], name[106:114] = b"0000644 ", b"0000000 ", b"0000000 "
    name[126:138], name[146:147], name[247:254] = b"%011o " % 0, b"0", b"ustar  "
    empty = next(n for n in range(512) if (265 + 5 * n + 5 + skipped) % 512 == 0)
    name[114:126] = b"%011o " % (265 + 5 * empty + 5 + skipped - 512)
    block = b"\1" + struct.pack("<HH", len(content), len(content) ^ 0xFFFF) + content
    tail = struct.pack("<II", zlib.crc32(content), len(content))
    name[138:146] = b" " * 8
    head = b"\x1f\x8b\x08\x08\0\0\0\0\2\3"
    rest = b"\0" + b"\0\0\0\xff\xff" * empty + block + tail
    name[138:146] = b"%06o  " % sum((head + bytes(name) + rest)[:512])
    return head + bytes(name) + rest


def _debian(*data: tuple[str, bytes]) -> bytes:
    control = tar(("control", b"Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a\n"))
    return ar(("debian-binary", b"2.0\n"), ("control.tar.xz", lzma.compress(control)), *data)


@tampered("stream-and-archive")
def _() -> Sample:
    """GNU tar takes a file for an archive before it looks for a compressor's mark."""
    return Sample(gzip.compress(_CONTENT, mtime=0), _stream_and_archive(_CONTENT, 1024))


@tampered("deb-stream-and-archive")
def _() -> Sample:
    """dpkg takes data.tar for an archive, whatever it begins with."""
    honest = _debian(("data.tar.xz", lzma.compress(_CONTENT)))
    return Sample(honest, _debian(("data.tar", _stream_and_archive(_CONTENT, 1024))))
