"""Android boot images, header versions 0 to 4: kernel, RAM disk, second stage, device trees, in pages.

Source: AOSP, system/tools/mkbootimg/include/bootimg/bootimg.h. Numbers are little-endian.
"""

from __future__ import annotations

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import label, part
from banbury.formats.view import View
from banbury.model.tree import Role

_MAGIC = b"ANDROID!"
_PAGE = 4096


class BootImage(Reader):
    """A boot or recovery image."""

    name = "android-boot"
    title = "Android boot image"
    version = 1
    magics = (Magic(_MAGIC),)
    references = ("AOSP, system/tools/mkbootimg/include/bootimg/bootimg.h",)
    limitations = (
        "The id (a SHA-1 that vendors fill differently) is not checked.",
        "vendor_boot images (``VNDRBOOT``) are not read.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        if there < _PAGE // 2:
            return None
        page, sections = _sections(view, start)
        if page not in (2048, 4096, 8192, 16384, 32768, 65536, 131072) or not sections[0][1]:
            return None
        total = end = page
        for _, size in sections:
            end = total + size if size else end
            total += _pages(size, page)
        # The last page need not be filled up.
        return Extent(min(total, there), sure=end <= there)

    def read(self, view: View, sink: Sink) -> None:
        page, sections = _sections(view, 0)
        version = _version(view, 0)
        sink.own(0, min(page, _header_size(version)), Role.HEADER, "boot image header")
        sink.property("header version", str(version))
        sink.property("page size", str(page))
        if version < 3:
            if name := label(view.take(48, 16)):
                sink.property("name", name)
            sink.property("command line", label(view.take(64, 512)))
            os_version = view.u32(44)
        else:
            sink.property("command line", label(view.take(44, 1536)))
            os_version = view.u32(16)
        if os_version:
            number, level = os_version >> 11, os_version & 0x7FF
            sink.property("Android version", f"{number >> 14}.{number >> 7 & 0x7F}.{number & 0x7F}")
            sink.property("patch level", f"{2000 + (level >> 4)}-{level & 15:02}")
        at = page
        for name, size in sections:
            if size:
                part(sink, view, name, at, size)
            at += _pages(size, page)


def _pages(size: int, page: int) -> int:
    return -(-size // page) * page


def _version(view: View, start: int) -> int:
    version = view.u32(start + 40)
    return version if version <= 4 else 0  # Qualcomm's version 0 keeps the device tree's size here


def _header_size(version: int) -> int:
    return (1632, 1648, 1660, 1580, 1584)[version]


def _sections(view: View, start: int) -> tuple[int, list[tuple[str, int]]]:
    """Page size, and name and size of each section in order."""
    version = _version(view, start)
    if version >= 3:
        sections = [("kernel", view.u32(start + 8)), ("ramdisk", view.u32(start + 12))]
        return _PAGE, sections + ([("signature", view.u32(start + 1580))] if version == 4 else [])
    sections = [(n, view.u32(start + at)) for n, at in (("kernel", 8), ("ramdisk", 16), ("second", 24))]
    if version == 0 and view.u32(start + 40) > 4:
        sections.append(("dt", view.u32(start + 40)))
    if version >= 1:
        sections.append(("recovery_dtbo", view.u32(start + 1632)))
    if version == 2:
        sections.append(("dtb", view.u32(start + 1648)))
    return view.u32(start + 36), sections


READERS = (BootImage(),)
