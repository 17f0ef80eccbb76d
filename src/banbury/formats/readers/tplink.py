"""TP-Link's firmware headers, versions 1 and 2: 512 bytes that point at kernel, root file system, boot loader.

Source: OpenWrt firmware-utils, mktplinkfw.c (version 1) and mktplinkfw2.c (version 2), with the salts of the MD5 sum.
All numbers are big-endian.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_digest, header, label, md5, parts, printable
from banbury.formats.readers.fwtool import behind
from banbury.formats.view import View

_SIZE = 0x200
_POINTERS = struct.Struct(">7I")  # length, then offset and length of kernel, root file system, boot loader


class _TpLink(Reader):
    #: Offsets of the MD5 sum, of the pointers, and the salts without and with a boot loader.
    sum_at: ClassVar[int]
    pointers_at: ClassVar[int]
    salts: ClassVar[tuple[bytes, bytes]]

    def _plausible(self, view: View, start: int) -> bool:
        raise NotImplementedError

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        if there < _SIZE or not self._plausible(view, start):
            return None
        length, kernel, kernel_size, root, root_size, _, boot_size = view.unpack(_POINTERS, start + self.pointers_at)
        if not length:  # a "combined" image: the kernel alone, without sum or length
            length = max(kernel + kernel_size, root + root_size)
        if length < _SIZE or kernel < _SIZE or max(kernel_size, root_size, boot_size) > length:
            return None
        # A stripped image stops behind the root file system and may carry OpenWrt's metadata there.
        return Extent(min(length, there - behind(view)) if length > there - behind(view) else length)

    def read(self, view: View, sink: Sink) -> None:
        header(sink, _SIZE, "TP-Link header")
        self._properties(view, sink)
        length, kernel, kernel_size, root, root_size, boot, boot_size = view.unpack(_POINTERS, self.pointers_at)
        stated = view.take(self.sum_at, 16)
        if length:
            salt = self.salts[bool(boot_size)]
            found = md5(view, [(0, self.sum_at), salt, (self.sum_at + 16, len(view))])
            check_digest(sink, "MD5", stated, found)
        if boot_size and (inner := self._inner(view, boot_size)):
            # With a boot loader, the other offsets count from a second header behind it: an image of its own.
            parts(sink, view, [("boot", _SIZE, boot_size), ("firmware", inner, len(view) - inner)], _SIZE)
            return
        pieces = [("kernel", kernel, kernel_size), ("rootfs", root, root_size), ("boot", boot or _SIZE, boot_size)]
        parts(sink, view, pieces, _SIZE)

    def _inner(self, view: View, boot_size: int) -> int:
        """Where the image behind the boot loader (padded to 64 KiB or a multiple) starts, or 0."""
        for padded in range(-(-boot_size // 0x10000) * 0x10000, 0x100000, 0x10000):
            at = _SIZE + padded
            if any(view.startswith(m.pattern, at) for m in self.magics) and at + _SIZE <= len(view):
                return at if self._plausible(view, at) else 0
        return 0

    def _properties(self, view: View, sink: Sink) -> None:
        raise NotImplementedError


class V1(_TpLink):
    """The header with a vendor name and the version as text."""

    name = "tplink"
    title = "TP-Link firmware, header version 1"
    version = 1
    magics = tuple(
        Magic(version + vendor)
        for version in (b"\1\0\0\0", b"\2\0\0\0")
        for vendor in (b"TP-LINK Tech", b"TP-Link Tech", b"OpenWrt\0", b"LEDE\0")
    )
    references = ("OpenWrt firmware-utils, src/mktplinkfw.c",)
    limitations = (
        "The second MD5 sum (a signature in newer models) is not checked.",
        "Images of other vendors' names in the same layout are not recognised.",
    )
    sum_at = 76
    pointers_at = 124
    salts = (
        bytes.fromhex("dcd73aa5c39598fbddf9e7f40eae4738"),
        bytes.fromhex("8cef335bd5c5cefaa79c28dab2e90f42"),
    )

    def _plausible(self, view: View, start: int) -> bool:
        return printable(view.take(start + 4, 24), empty=False) and printable(view.take(start + 28, 36))

    def _properties(self, view: View, sink: Sink) -> None:
        sink.property("vendor", label(view.take(4, 24)))
        sink.property("version", label(view.take(28, 36)))
        hardware, revision, region = (view.u32(at, big=True) for at in (64, 68, 72))
        sink.property("hardware id", f"{hardware:#010x}")
        sink.property("hardware revision", str(revision))
        sink.property("region", str(region))
        sink.property("firmware version", ".".join(str(view.u16(at, big=True)) for at in (152, 154, 156)))
        sink.property("load address", f"{view.u32(116, big=True):#010x}")
        sink.property("entry point", f"{view.u32(120, big=True):#010x}")


class V2(_TpLink):
    """The header of Archer C2 and later models: no vendor name, other salts."""

    name = "tplink-v2"
    title = "TP-Link firmware, header version 2"
    version = 1
    magics = (Magic(b"\2\0\0\0ver. "), Magic(b"\3\0\0\0ver. "))
    references = ("OpenWrt firmware-utils, src/mktplinkfw2.c",)
    limitations = ("The second MD5 sum is not checked.",)
    sum_at = 0x40
    pointers_at = 0x70
    salts = (
        bytes.fromhex("dcd73aa5c39598fbdcf9e7f40eae4737"),
        bytes.fromhex("8cef335fd5c5cefaac9c28dab2e90f42"),
    )

    def _plausible(self, view: View, start: int) -> bool:
        return view.u16(start + 0x8C, big=True) == 0x55AA and view.u8(start + 0x90) == 0xA5

    def _properties(self, view: View, sink: Sink) -> None:
        sink.property("version", label(view.take(4, 48)))
        hardware, revision, extra = (view.u32(at, big=True) for at in (0x34, 0x38, 0x3C))
        sink.property("hardware id", f"{hardware:#010x}")
        sink.property("hardware revision", f"{revision:#x}")
        sink.property("additional hardware version", f"{extra:#x}")
        sink.property("software version", f"{view.u8(0x8E)}.{view.u8(0x8F)}")
        sink.property("firmware version", ".".join(str(view.u8(at)) for at in (0x91, 0x92, 0x93)))
        sink.property("load address", f"{view.u32(0x68, big=True):#010x}")


READERS = (V1(), V2())
