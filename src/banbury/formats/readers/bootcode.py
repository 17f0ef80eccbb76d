"""Headers of boot code: Allwinner eGON, ZyNOS objects, UEFI firmware volumes.

Sources are named at each reader.
"""

from __future__ import annotations

import struct

import numpy as np

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_number, header, label, part, printable
from banbury.formats.view import View
from banbury.model.tree import Role


class Egon(Reader):
    """What Allwinner's boot ROM loads: a branch, ``eGON.BT0``, a checksum and a length."""

    name = "egon"
    title = "Allwinner eGON boot code"
    version = 1
    magics = (Magic(b"eGON.BT0", 4),)
    references = ("U-Boot, tools/sunxi_egon.c", "U-Boot, include/sunxi_image.h (struct boot_file_head)")
    limitations = ("The code itself is one region: it is not taken apart.",)
    _STAMP = 0x5F0A6C39

    def probe(self, view: View, start: int) -> Extent | None:
        size = view.u32(start + 16)
        if not 32 <= size <= 1 << 20 or size % 4 or size > len(view) - start:
            return None
        return Extent(size) if self._sum(view, start, size) == view.u32(start + 12) else None

    def read(self, view: View, sink: Sink) -> None:
        check_number(sink, "checksum", view.u32(12), self._sum(view, 0, len(view)))
        header(sink, 32, "eGON header")
        if view.startswith(b"SPL", 20):
            sink.property("signature", f"SPL version {view.u8(23)}")
        sink.own(32, len(view), Role.TABLE, "boot loader code")

    def _sum(self, view: View, start: int, size: int) -> int:
        """The sum of all words, the stamp in place of the checksum."""
        words = np.frombuffer(view.mem(start, size), "<u4").astype(np.uint64)
        return int(words.sum() - words[3] + np.uint64(self._STAMP)) & 0xFFFFFFFF


class ZynosObject(Reader):
    """A ZyNOS object: a header of 48 bytes with the mark ``SIG``, the data, often compressed."""

    name = "zynos"
    title = "ZyXEL ZyNOS object"
    version = 1
    magics = tuple(Magic(b"SIG" + bytes((kind,)), 6) for kind in (1, 2, 3, 4))
    references = ("OpenWrt firmware-utils, src/zynos.h", "OpenWrt firmware-utils, src/mkzynfw.c")
    limitations = ("The compressed form (LZMA with ZyXEL's own header) is handed on as it is stored.",)
    _HEADER = struct.Struct(">IH3sBIIBBHH15sIIB")

    def probe(self, view: View, start: int) -> Extent | None:
        fields = view.unpack(self._HEADER, start)
        size = self._size(fields)
        end = self._HEADER.size + size
        text = fields[10]
        if not size or end > len(view) - start or not printable(text, empty=False):  # type: ignore[arg-type]
            return None
        stated = self._stated(fields)
        good = stated is not None and stated % 0xFFFF == _ones_sum(view, start + end - size, size) % 0xFFFF
        return Extent(end) if good else None

    def read(self, view: View, sink: Sink) -> None:
        fields = view.unpack(self._HEADER, 0)
        size = self._size(fields)
        header(sink, self._HEADER.size, "ZyNOS header")
        sink.property("version", label(fields[10]))  # type: ignore[arg-type]
        sink.property("load address", f"{fields[0]:#010x}")
        sink.property("compressed", "yes" if fields[6] & 0x80 else "no")
        found = _ones_sum(view, self._HEADER.size, min(size, len(view) - self._HEADER.size)) % 0xFFFF
        check_number(sink, "checksum", (self._stated(fields) or 0) % 0xFFFF, found)
        part(sink, view, "content", self._HEADER.size, size)

    def _size(self, fields: tuple[int, ...]) -> int:
        return fields[5] if fields[6] & 0x80 else fields[4]

    def _stated(self, fields: tuple[int, ...]) -> int | None:
        if fields[6] & 0x80:
            return fields[9] if fields[6] & 0x20 else None
        return fields[8] if fields[6] & 0x40 else None


def _ones_sum(view: View, start: int, size: int) -> int:
    """The sum of big-endian 16-bit words (a last odd byte padded with zero), to be taken modulo 0xffff."""
    total = 0
    for at in range(start, start + size, 1 << 20):
        data = view.take(at, min(1 << 20, start + size - at))
        total += int(np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").sum(dtype=np.uint64))
    return total


class FirmwareVolume(Reader):
    """A UEFI firmware volume: recognised and named; its files are not read."""

    name = "uefi-fv"
    title = "UEFI firmware volume"
    version = 1
    magics = (Magic(b"_FVH", 40),)
    references = ("UEFI Platform Initialization specification, volume 3, section 3.2.1",)
    limitations = ("Files and sections inside are not read, but compressed streams among them may be found by search.",)

    def probe(self, view: View, start: int) -> Extent | None:
        length, size = view.u64(start + 32), view.u16(start + 48)
        if not 56 <= size <= 4096 or size % 2 or not size < length <= len(view) - start:
            return None
        words = np.frombuffer(view.mem(start, size), "<u2")
        return Extent(length) if not int(words.sum(dtype=np.uint64)) & 0xFFFF else None

    def read(self, view: View, sink: Sink) -> None:
        header(sink, view.u16(48), "firmware volume header")
        low, mid, high, *rest = struct.unpack("<IHH8B", view.take(16, 16))
        tail = bytes(rest).hex()
        sink.property("file system", f"{low:08x}-{mid:04x}-{high:04x}-{tail[:4]}-{tail[4:]}")
        sink.property("length", f"{view.u64(32)} bytes")
        sink.note("unsupported", "the files of a UEFI firmware volume are not read")


READERS = (Egon(), ZynosObject(), FirmwareVolume())
