"""Senao's firmware header (EnGenius, D-Link and others): the payload is masked with a repeated key of 8 bytes.

Source: OpenWrt firmware-utils, mksenaofw.c. Numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_digest, check_number, label, md5
from banbury.formats.view import Buffer, View
from banbury.model.tree import Entry, Kind, Role

_SIZE = 0x60
_HEADER = struct.Struct(">3I16s3I16s32s2I")
_MAGIC = 0x12345678
_KEY = bytes(_MAGIC >> i & 0xFF for i in range(8))
_BLOCK = 1 << 20
_TYPES = {1: "boot loader", 2: "kernel", 3: "kernel and applications", 4: "applications"}


class Senao(Reader):
    """The header, with the optional CAPWAP header behind it. The payload comes out unmasked."""

    name = "senao"
    title = "Senao / EnGenius firmware"
    version = 1
    magics = (Magic(b"\x12\x34\x56\x78", 0x5C),)
    references = ("OpenWrt firmware-utils, src/mksenaofw.c",)
    limitations = ("Images with another magic number, and so another key, are not recognised.",)

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        fields = view.unpack(_HEADER, start)
        kind, size, stored = fields[4], fields[5], fields[9]
        head = _head(view, start, kind)
        if not size or kind > 0xFF or head > there or stored != _sum(view, start, head):
            return None
        end = min(head + size, there)
        return Extent(_padding(view, start + head, start + end) - start)

    def read(self, view: View, sink: Sink) -> None:
        _, vendor, product, version, kind, size, _, digest, _, stored, _ = view.unpack(_HEADER, 0)
        head = _head(view, 0, kind)
        sink.own(0, head, Role.HEADER, "Senao header")
        sink.property("vendor id", f"{vendor:#x}")
        sink.property("product id", f"{product:#x}")
        sink.property("version", label(version))  # type: ignore[arg-type]
        sink.property("type", _TYPES.get(kind, "combined" if kind == 0 else f"{kind:#x}"))
        if kind == 0 and head > _SIZE + 40:
            sink.property("model", label(view.take(_SIZE + 40, min(head - _SIZE - 40, 64))))
        check_number(sink, "header checksum", stored, _sum(view, 0, head))
        end = min(head + size, len(view))
        if end < head + size:
            sink.note("truncated", f"{size} bytes stated, {end - head} there")
        else:
            check_digest(sink, "MD5", digest, md5(view, (bytes(p) for p in _unmask(view, head, end))))  # type: ignore[arg-type]
        member = sink.file(Entry(path="firmware", kind=Kind.FILE, size=size), _unmask(view, head, end))
        sink.own(head, end, Role.MEMBER, "masked payload", member)
        sink.own(end, len(view), Role.PADDING, "masked zeros")


def _head(view: View, start: int, kind: int) -> int:
    """The headers' size: type 0 has a CAPWAP header of 40 bytes and the model's name behind the first."""
    return _SIZE if kind else _SIZE + 40 + min(view.u32(start + _SIZE + 36, big=True), 4096)


def _sum(view: View, start: int, size: int) -> int:
    """The sum of the headers' bytes without the field that holds it and, as the tool does, with the magic."""
    return sum(view.take(start, size)) - sum(view.take(start + 0x58, 4))


def _unmask(view: View, start: int, end: int) -> Iterator[Buffer]:
    for at in range(start, end, _BLOCK):
        data = np.frombuffer(view.mem(at, min(_BLOCK, end - at)), np.uint8)
        yield (data ^ np.resize(np.frombuffer(_KEY, np.uint8), len(data))).tobytes()


def _padding(view: View, origin: int, at: int) -> int:
    """Where the masked zeros behind the payload end; the key goes on from the payload's ``origin``."""
    limit = min(len(view), at + (1 << 16))
    size = limit - at
    phase = (at - origin) % 8
    expected = (_KEY * (size // 8 + 2))[phase : phase + size]
    found = np.frombuffer(view.mem(at, size), np.uint8) != np.frombuffer(expected, np.uint8)
    same = int(found.argmax()) if found.any() else size
    return at + same if same >= 8 else at


READERS = (Senao(),)
