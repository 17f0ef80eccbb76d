"""TRX, the firmware container of Broadcom's reference design: a header with up to four offsets, then the partitions.

Source: OpenWrt, package/utils/otrx (trx.c) and firmware-utils, trx.c, asustrx.c; the kernel's
drivers/mtd/parsers/parser_trx.c. All numbers are little-endian.
"""

from __future__ import annotations

import struct

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_number, jamcrc, label, parts, printable
from banbury.formats.view import View
from banbury.model.tree import Role

_FIXED = struct.Struct("<4sIIHH")
_TAIL = 64


class Trx(Reader):
    """TRX versions 1 (three offsets) and 2 (four)."""

    name = "trx"
    title = "Broadcom TRX"
    version = 1
    magics = (Magic(b"HDR0"),)
    references = ("OpenWrt firmware-utils, src/trx.c", "Linux, drivers/mtd/parsers/parser_trx.c")
    limitations = ("A partition runs to the next one's offset: the format does not store its length.",)

    def probe(self, view: View, start: int) -> Extent | None:
        _, length, crc, _, version = view.unpack(_FIXED, start)
        if version not in (1, 2) or length < _header_size(version):
            return None
        there = min(length, len(view) - start)
        if there < _header_size(version):
            return None
        if there == length and jamcrc(view, start + 12, start + length) == crc:
            return Extent(length)
        offsets = [o for o in _offsets(view, start, version) if o]
        good = bool(offsets) and all(_header_size(version) <= o < length for o in offsets)
        return Extent(there, sure=False) if good and offsets == sorted(offsets) else None

    def read(self, view: View, sink: Sink) -> None:
        _, length, crc, flags, version = view.unpack(_FIXED, 0)
        size = _header_size(version)
        sink.own(0, size, Role.HEADER, "TRX header")
        sink.property("version", str(version))
        sink.property("flags", f"{flags:#x}")
        if length > len(view):
            sink.note("truncated", f"{length} bytes stated, {len(view)} there")
        else:
            check_number(sink, "CRC-32", crc, jamcrc(view, 12, length))
        end = _asus_tail(view, sink, size)
        offsets = sorted({o for o in _offsets(view, 0, version) if size <= o < end}) or [size]
        ends = [*offsets[1:], end]
        parts(sink, view, [(f"part{i}", o, e - o) for i, (o, e) in enumerate(zip(offsets, ends, strict=True))], size)


def _header_size(version: int) -> int:
    return 28 if version == 1 else 32


def _offsets(view: View, start: int, version: int) -> tuple[int, ...]:
    return view.unpack(struct.Struct("<3I" if version == 1 else "<4I"), start + 16)


def _asus_tail(view: View, sink: Sink, size: int) -> int:
    """ASUS's last 64 bytes: version (4 bytes), product (12 bytes), 48 zero bytes. Returns where the content ends."""
    end = len(view)
    if end < size + _TAIL:
        return end
    tail = view.take(end - _TAIL, _TAIL)
    if any(tail[16:]) or not printable(tail[4:16], empty=False) or len(label(tail[4:16])) < 3:
        return end
    sink.own(end - _TAIL, end, Role.HEADER, "ASUS tail")
    sink.property("product", label(tail[4:16]))
    sink.property("product version", ".".join(str(b) for b in tail[:4]))
    return end - _TAIL


READERS = (Trx(),)
