"""Ubiquiti's airOS and UniFi images: a header, parts with a CRC each, an end mark with a CRC or signature.

Source: OpenWrt firmware-utils, fw.h and mkfwimage.c. Numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_number, crc32, file_name, label, part
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Role

_HEADER = 268
_PART = struct.Struct(">4s16s12x6I")
_PARTS = 64


class Ubnt(Reader):
    """An image that starts with ``UBNT`` or ``OPEN``."""

    name = "ubiquiti"
    title = "Ubiquiti firmware"
    version = 1
    magics = (Magic(b"UBNT"), Magic(b"OPEN"))
    references = ("OpenWrt firmware-utils, src/fw.h", "OpenWrt firmware-utils, src/mkfwimage.c")
    limitations = ("An RSA signature (``ENDS``) is named, not verified.",)

    def probe(self, view: View, start: int) -> Extent | None:
        if view.u32(start + 260, big=True) != crc32(view, start, start + 260):
            return None
        end = _HEADER
        for _, at, size in _walk(view, start):
            end = at + size - start
        return Extent(min(end, len(view) - start))

    def read(self, view: View, sink: Sink) -> None:
        sink.own(0, 260, Role.HEADER, "header")
        sink.own(260, _HEADER, Role.CHECK, "header CRC")
        sink.property("version", label(view.take(4, 256)))
        check_number(sink, "header CRC-32", view.u32(260, big=True), crc32(view, 0, 260))
        done = False
        for index, (magic, at, size) in enumerate(_walk(view, 0)):
            if magic in (b"END.", b"ENDS"):
                done = True
                sink.own(at, at + 4, Role.HEADER, "end mark")
                sink.own(at + 4, at + size, Role.CHECK, "CRC" if magic == b"END." else "RSA signature")
                if magic == b"END.":
                    check_number(sink, "image CRC-32", view.u32(at + 4, big=True), crc32(view, 0, at))
            else:
                _part(view, sink, index, at)
        if not done:
            sink.note("truncated", "no end mark")


def _walk(view: View, start: int) -> Iterator[tuple[bytes, int, int]]:
    """Magic, offset and size of each part and of the end mark; stops at the first that is none or does not fit."""
    at = start + _HEADER
    for _ in range(_PARTS):
        if at + 4 > len(view):
            return
        magic = view.take(at, 4)
        if magic in (b"END.", b"ENDS"):
            size = 12 if magic == b"END." else 264
            if at + size <= len(view):
                yield magic, at, size
            return
        if magic not in (b"PART", b"FILE", b"EXEC") or at + _PART.size > len(view):
            return
        size = _PART.size + view.u32(at + 48, big=True) + 8
        if at + size > len(view):
            return
        yield magic, at, size
        at += size


def _part(view: View, sink: Sink, index: int, at: int) -> None:
    _, raw, memory, _, base, entry, size, room = view.unpack(_PART, at)
    start = at + _PART.size
    sink.own(at, start, Role.HEADER, "part header")
    path, kept = file_name(raw, f"part{index}")  # type: ignore[arg-type]
    sink.property(f"part {path}"[:60], f"flash {base:#x} + {room:#x}, memory {memory:#x}, entry {entry:#x}")
    if part(sink, view, path, start, size, raw=kept) is None and size:
        raise Malformed(f"{path}: no content", offset=at)
    sink.own(start + size, start + size + 8, Role.CHECK, "part CRC")
    check_number(sink, f"{path}: CRC-32", view.u32(start + size, big=True), crc32(view, at, start + size))


READERS = (Ubnt(),)
