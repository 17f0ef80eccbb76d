"""MikroTik NPK packages: a header, then containers of a type and a length.

Sources: OpenWrt firmware-utils, npk_pack_kernel.c (layout of packages, containers and zlib objects); the types beyond
those named there as documented by npkpy (docs/npk).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from banbury.formats.codecs import Stream
from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.readers._firmware import label, part
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed, Truncated
from banbury.model.tree import Entry, Kind, Role

_CONTAINER = struct.Struct("<HI")
_OBJECT = struct.Struct("<H6x3I4xIH")
_INFO, _FILES, _SIGNATURE, _SQUASHFS, _NULL = 1, 4, 9, 21, 22
_NAMES = {
    _INFO: "package", 2: "description", 3: "dependencies", 5: "install script", 6: "uninstall script",
    _SIGNATURE: "signature", 16: "architecture", 23: "git commit", 24: "channel",
}  # fmt: skip
_TEXTS = frozenset((2, 16, 23, 24))
_LIMIT = 10_000


class Npk(Reader):
    """A package. Files of its zlib container and its SquashFS image are members."""

    name = "npk"
    title = "MikroTik NPK"
    version = 1
    magics = (Magic(b"\x1e\xf1\xd0\xba"),)
    references = ("OpenWrt firmware-utils, src/npk_pack_kernel.c", "npkpy, NPK package structure")
    limitations = ("Signatures are named, not verified.", "Containers of unknown types are named by their number.")

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        size = 8 + view.u32(start + 4)
        kind, length = view.unpack(_CONTAINER, start + 8)
        if size < 14 or not 1 <= kind <= 64 or 14 + length > size:
            return None
        return Extent(size) if size <= there else Extent(there, sure=False)

    def read(self, view: View, sink: Sink) -> None:
        sink.own(0, 8, Role.HEADER, "NPK header")
        end = 8 + view.u32(4)
        if end > len(view):
            sink.note("truncated", f"{end} bytes stated, {len(view)} there")
        at = 8
        for index in range(_LIMIT):
            if at >= min(end, len(view)):
                return
            kind, length = view.unpack(_CONTAINER, at)
            sink.own(at, at + 6, Role.HEADER, "container header")
            if at + 6 + length > len(view):
                raise Truncated(f"container {index} passes the end", offset=at)
            _container(view, sink, kind, at + 6, length, index)
            at += 6 + length
        raise Malformed("too many containers", offset=at)


def _container(view: View, sink: Sink, kind: int, start: int, length: int, index: int) -> None:
    name = _NAMES.get(kind, f"type {kind}")
    end = start + length
    if kind == _SQUASHFS:
        part(sink, view, f"squashfs-{index}", start, length)
    elif kind == _FILES and length:
        _files(view.sub(start, length), sink, start, end)
    elif kind == _NULL:
        sink.own(start, end, Role.PADDING, "padding")
    elif kind == _SIGNATURE:
        sink.own(start, end, Role.CHECK, name)
    elif kind in (5, 6) and length:
        part(sink, view, f"{name}-{index}", start, length)
    else:
        if kind == _INFO and length >= 16:
            sink.property(name, label(view.take(start, 16)))
        elif kind in _TEXTS:
            sink.property(name, label(view.take(start, min(length, 400))))
        sink.own(start, end, Role.HEADER if kind in _NAMES else Role.UNREAD, name)


def _files(view: View, sink: Sink, start: int, end: int) -> None:
    """Objects (30 bytes of header, name, content) one after another in one zlib stream; one owner for its bytes."""
    reader = _Pull(Stream("zlib", view))
    member = -1
    try:
        while head := reader.take(_OBJECT.size, optional=True):
            mode, _created, _accessed, modified, size, name_length = _OBJECT.unpack(head)
            path, raw = clean_name(reader.take(name_length))
            entry = Entry(path=path or "unnamed", kind=Kind.DIR if mode >> 12 == 4 else Kind.FILE, raw=raw, size=size,
                          mode=mode & 0o7777, mtime=modified)  # fmt: skip
            if mode >> 12 == 4 and not size:
                sink.entry(entry)
            else:
                member = sink.file(entry, reader.pieces(size))
    finally:
        sink.own(start, end, Role.MEMBER, "file container, zlib", member)


class _Pull:
    """Reads exact amounts from a stream of pieces."""

    def __init__(self, pieces: Stream) -> None:
        self._pieces: Iterator[Buffer] = iter(pieces)
        self._have = memoryview(b"")

    def _more(self) -> bool:
        while not self._have:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._have = memoryview(piece)
        return True

    def take(self, length: int, *, optional: bool = False) -> bytes:
        out = b""
        while len(out) < length and self._more():
            piece = self._have[: length - len(out)]
            self._have = self._have[len(piece) :]
            out += piece
        if len(out) < length and not (optional and not out):
            raise Truncated("the file container ends inside an object")
        return out

    def pieces(self, length: int) -> Iterator[Buffer]:
        while length:
            if not self._more():
                raise Truncated("the file container ends inside a file")
            piece = self._have[:length]
            self._have = self._have[len(piece) :]
            length -= len(piece)
            yield piece


READERS = (Npk(),)
