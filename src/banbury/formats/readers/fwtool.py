"""OpenWrt's metadata and signature behind a sysupgrade image.

Each stands before a trailer of 16 bytes: magic ``FWx0``, CRC-32 of everything before the trailer, type, size of data
and trailer together. Metadata is JSON behind a header of 8 zero bytes; a signature is usign's text.

Source: OpenWrt fwtool, fwimage.h and fwtool.c. All numbers are big-endian.
"""

from __future__ import annotations

import struct

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

_MAGIC = b"FWx0"
_TRAILER = struct.Struct(">4sIB3xI")
_HEADER = bytes(8)
_LIMIT = 33 << 10  # bytes: fwtool takes 30 KiB of metadata, 1 KiB of signature
_SIGNATURE, _INFO = 0, 1
_NAMES = {_SIGNATURE: "signature", _INFO: "metadata.json"}


def trailer(view: View, start: int) -> int:
    """Where the trailer that belongs to data at ``start`` begins, or -1."""
    stop = min(len(view), start + _LIMIT)
    at = view.find(_MAGIC, start, stop)
    while at >= 0:
        if at + 16 <= len(view):
            _, _, kind, size = view.unpack(_TRAILER, at)
            if at + 16 - size == start and kind in _NAMES:
                return at
        at = view.find(_MAGIC, at + 1, stop)
    return -1


def behind(view: View) -> int:
    """How many bytes of metadata and signatures stand at the end of ``view``."""
    end = len(view)
    for _ in range(4):
        if end < 16 or not view.startswith(_MAGIC, end - 16):
            break
        size = view.unpack(_TRAILER, end - 16)[3]
        if not 16 < size <= min(end, _LIMIT):
            break
        end -= size
    return len(view) - end


class Fwtool(Reader):
    """One block of metadata or one signature with its trailer."""

    name = "openwrt-metadata"
    title = "OpenWrt image metadata"
    version = 1
    magics = (Magic(_HEADER + b"{"), Magic(b"untrusted comment:"))
    references = ("OpenWrt fwtool, fwimage.h", "OpenWrt fwtool, fwtool.c")
    limitations = (
        "The trailer's CRC covers the whole image before it, which this reader does not see: it is not checked.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        at = trailer(view, start)
        return Extent(at + 16 - start) if at >= 0 else None

    def read(self, view: View, sink: Sink) -> None:
        at = len(view) - 16
        if not view.startswith(_MAGIC, at):
            raise Malformed("no trailer", offset=at)
        kind = view.unpack(_TRAILER, at)[2]
        start = 0
        if kind == _INFO:
            start = len(_HEADER)
            sink.own(0, start, Role.HEADER, "metadata header")
        sink.slice(Entry(path=_NAMES.get(kind, "data"), kind=Kind.FILE, size=at - start), start, at)
        sink.own(at, len(view), Role.HEADER, "FWx0 trailer")


READERS = (Fwtool(),)
