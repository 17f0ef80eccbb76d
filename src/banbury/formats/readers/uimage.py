"""U-Boot's legacy image: a header of 64 bytes, then one payload or, for multi-file images and scripts, several.

Source: U-Boot, include/image.h (``struct legacy_img_hdr``, ``IH_*``) and boot/image.c (``image_multi_getimg``).
"""

from __future__ import annotations

import struct
import time

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_number, crc32, file_name, label, part, printable
from banbury.formats.view import View
from banbury.model.tree import Role

_MAGIC = b"\x27\x05\x19\x56"
_HEADER = struct.Struct(">7I4B32s")
_SIZE = 64

_OS = {
    0: "invalid", 1: "OpenBSD", 2: "NetBSD", 3: "FreeBSD", 4: "4.4BSD", 5: "Linux", 6: "SVR4", 7: "Esix", 8: "Solaris",
    9: "Irix", 10: "SCO", 11: "Dell", 12: "NCR", 13: "LynxOS", 14: "VxWorks", 15: "pSOS", 16: "QNX", 17: "firmware",
    18: "RTEMS", 19: "ARTOS", 20: "Unity OS", 21: "INTEGRITY", 22: "OSE", 23: "Plan 9", 24: "OpenRTOS",
    25: "ARM trusted firmware", 26: "trusted execution environment", 27: "OpenSBI", 28: "EFI",
}  # fmt: skip
_ARCH = {
    0: "invalid", 1: "Alpha", 2: "ARM", 3: "x86", 4: "IA-64", 5: "MIPS", 6: "MIPS 64", 7: "PowerPC", 8: "S390",
    9: "SuperH", 10: "SPARC", 11: "SPARC 64", 12: "M68K", 13: "Nios II", 14: "MicroBlaze", 15: "Nios II",
    16: "Blackfin", 17: "AVR32", 18: "ST200", 19: "sandbox", 20: "NDS32", 21: "OpenRISC", 22: "ARM64", 23: "ARC",
    24: "x86-64", 25: "Xtensa", 26: "RISC-V",
}  # fmt: skip
_TYPE = {
    0: "invalid", 1: "standalone program", 2: "kernel", 3: "RAM disk", 4: "multi-file", 5: "firmware", 6: "script",
    7: "file system", 8: "flat device tree", 9: "Kirkwood boot", 10: "i.MX boot", 11: "Davinci UBL", 12: "OMAP boot",
    13: "Davinci AIS", 14: "kernel (any load address)", 15: "Freescale PBL boot", 16: "Freescale MXS boot",
    17: "TI Keystone GP", 18: "ATMEL ROM boot", 19: "Altera SOCFPGA CV preloader", 20: "x86 setup.bin",
    21: "LPC32xx boot", 22: "loadable", 23: "Rockchip boot",
}  # fmt: skip
_COMPRESSION = {0: "none", 1: "gzip", 2: "bzip2", 3: "lzma", 4: "lzo", 5: "lz4", 6: "zstd"}
_MULTI, _SCRIPT = 4, 6


class Legacy(Reader):
    """One legacy image. The payload is a member named by the header's name field."""

    name = "uimage"
    title = "U-Boot legacy image"
    version = 1
    magics = (Magic(_MAGIC),)
    references = ("U-Boot, include/image.h", "U-Boot, boot/image.c")
    limitations = (
        "Vendors' variants with another magic number are not read.",
        "Where the header's own checksum is wrong, the image is read only if every field is plausible.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        fields = view.unpack(_HEADER, start)
        size = fields[3]
        sure = fields[1] == _header_crc(view, start)
        there = len(view) - start - _SIZE
        # A damaged header is believed in the middle of an image only if its data fits.
        if not sure and not (_plausible(fields) and size > 0 and (size <= there or start == 0)):
            return None
        return Extent(_SIZE + min(size, there), sure)

    def read(self, view: View, sink: Sink) -> None:
        _, hcrc, when, size, load, entry, dcrc, os, arch, kind, comp, raw = view.unpack(_HEADER, 0)
        sink.own(0, _SIZE, Role.HEADER, "uImage header")
        sink.property("name", label(raw))  # type: ignore[arg-type]
        sink.property("operating system", _OS.get(os, str(os)))
        sink.property("architecture", _ARCH.get(arch, str(arch)))
        sink.property("type", _TYPE.get(kind, str(kind)))
        sink.property("compression", _COMPRESSION.get(comp, str(comp)))
        sink.property("load address", f"{load:#010x}")
        sink.property("entry point", f"{entry:#010x}")
        sink.property("created", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when)))
        check_number(sink, "header CRC-32", hcrc, _header_crc(view, 0))
        if _SIZE + size > len(view):
            sink.note("truncated", f"{size} bytes of data stated, {len(view) - _SIZE} there")
        else:
            check_number(sink, "data CRC-32", dcrc, crc32(view, _SIZE, _SIZE + size))
        end = min(_SIZE + size, len(view))
        if kind in (_MULTI, _SCRIPT) and _members(view, sink, end):
            return
        path, kept = file_name(raw, "payload")  # type: ignore[arg-type]
        part(sink, view, path, _SIZE, end - _SIZE, raw=kept)


def _header_crc(view: View, start: int) -> int:
    head = view.take(start, _SIZE)
    return crc32(View(head[:4] + bytes(4) + head[8:]), 0, _SIZE)


def _plausible(fields: tuple[int, ...]) -> bool:
    os, arch, kind, comp, raw = fields[7:]
    return os in _OS and arch in _ARCH and kind in _TYPE and comp in _COMPRESSION and printable(raw)  # type: ignore[arg-type]


def _members(view: View, sink: Sink, end: int) -> bool:
    """The table of sizes and the members it names; false, having done nothing, where there is no such table."""
    sizes: list[int] = []
    at = _SIZE
    while at + 4 <= end and (size := view.u32(at, big=True)):
        sizes.append(size)
        at += 4
    if at + 4 > end or not sizes or sum(sizes) > end:
        return False
    at += 4
    sink.own(_SIZE, at, Role.TABLE, "sizes of the members")
    for index, size in enumerate(sizes):
        part(sink, view, f"image{index}", at, min(size, max(0, end - at)))
        padding = -size % 4 if index + 1 < len(sizes) else 0
        if padding and at + size + padding <= end:
            sink.own(at + size, at + size + padding, Role.PADDING, "alignment")
        at += size + padding
    return True


READERS = (Legacy(),)
