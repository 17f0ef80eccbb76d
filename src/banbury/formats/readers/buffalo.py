"""Buffalo's encrypted firmware (named, not decrypted), and Xiaomi's HDR1.

Sources: OpenWrt firmware-utils, buffalo-lib.h and buffalo-lib.c (``encrypt_buf``); xiaomifw.c.
"""

from __future__ import annotations

import struct

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_number, file_name, jamcrc, part
from banbury.formats.readers.dlink import encrypted
from banbury.formats.view import View
from banbury.model.tree import Role


class Buffalo(Reader):
    """``start`` or ``asar1``, a seed, then product, version and content, each encrypted with the vendor's cipher."""

    name = "buffalo"
    title = "Buffalo firmware (encrypted)"
    version = 1
    magics = (Magic(b"start\0"), Magic(b"asar1\0"))
    references = ("OpenWrt firmware-utils, src/buffalo-lib.c",)
    limitations = ("The content is encrypted and not read.",)

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        product = view.u32(start + 7, big=True)
        if not 1 < product <= 32:
            return None
        version = view.u32(start + 11 + product, big=True)
        if not 1 < version <= 8:
            return None
        head = 19 + product + version
        size = view.u32(start + head - 4, big=True)
        total = head + size + 4
        if not size >= 1024 or total > there:
            return None
        tail = min(4 - total % 4, there - total)
        return Extent(total + tail if tail == view.run(start + total, start + total + tail) else total)

    def read(self, view: View, sink: Sink) -> None:
        product = view.u32(7, big=True)
        head = 19 + product + view.u32(11 + product, big=True)
        size = view.u32(head - 4, big=True)
        sink.own(0, head, Role.HEADER, "Buffalo header")
        encrypted(sink, head, head + size, "Buffalo's cipher")
        sink.own(head + size, head + size + 4, Role.CHECK, "checksum of the decrypted content")


class Xiaomi(Reader):
    """HDR1: up to eight named blobs and a signature."""

    name = "xiaomi-hdr1"
    title = "Xiaomi HDR1"
    version = 1
    magics = (Magic(b"HDR1"),)
    references = ("OpenWrt firmware-utils, src/xiaomifw.c",)
    limitations = ("The signature is named, not verified.",)
    _HEADER = struct.Struct("<4sIIHH8I")
    _BLOB = struct.Struct("<IIIHH32s")

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        fields = view.unpack(self._HEADER, start)
        signature = fields[1]
        if not self._HEADER.size < signature <= there - 16:
            return None
        end = signature + 16 + min(view.u32(start + signature), 0x100)
        first = fields[5]
        if end > there or not self._HEADER.size <= first < signature or view.u32(start + first) != 0xBABE:
            return None
        return Extent(end, sure=jamcrc(view, start + 12, start + end) == fields[2])

    def read(self, view: View, sink: Sink) -> None:
        _, signature, crc, _, device, *offsets = view.unpack(self._HEADER, 0)
        sink.own(0, self._HEADER.size, Role.HEADER, "HDR1 header")
        sink.property("device id", f"{device:#06x}")
        check_number(sink, "CRC-32", crc, jamcrc(view, 12, len(view)))
        position = self._HEADER.size
        for index, at in enumerate(offsets):
            if not at:
                continue
            magic, flash, size, kind, _, raw = view.unpack(self._BLOB, at)
            start = at + self._BLOB.size
            if magic != 0xBABE or at < position or start + size > signature:
                sink.note("malformed", f"blob {index} at {at:#x} is none", start=at)
                continue
            sink.own(at, start, Role.HEADER, "blob header")
            path, kept = file_name(raw, f"blob{index}")  # type: ignore[arg-type]
            sink.property(f"blob {path}"[:60], f"type {kind:#x}, flash {flash:#x}")
            part(sink, view, path, start, size, raw=kept)
            position = start + size
        sink.own(signature, len(view), Role.CHECK, "signature")


READERS = (Buffalo(), Xiaomi())
