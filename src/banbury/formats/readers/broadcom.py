"""Broadcom's image tag (CFE on BCM63xx DSL routers), and CyberTAN's header before a TRX image (Linksys).

Sources: OpenWrt firmware-utils, bcm_tag.h and imagetag.c; addpattern.c. Linux, include/linux/bcm963xx_tag.h.
"""

from __future__ import annotations

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_number, header, jamcrc, label, part, parts
from banbury.formats.readers.trx import Trx
from banbury.formats.view import View
from banbury.model.errors import Malformed

_TAG = 256
#: name -> (offset, length) of the decimal numbers in the tag
_NUMBERS = {
    "total": (62, 10),
    "cfe": (84, 10),
    "start": (94, 12),
    "root": (106, 10),
    "at": (116, 12),
    "kernel": (128, 10),
}


class ImageTag(Reader):
    """256 bytes of text fields and CRCs, then CFE, root file system and kernel in the order of their addresses."""

    name = "bcm-imagetag"
    title = "Broadcom BCM63xx image tag"
    version = 1
    magics = (Magic(b"Broadcom Corporatio", 4), Magic(b"\0ver. 2.0", 23))
    references = ("OpenWrt firmware-utils, src/bcm_tag.h", "Linux, include/linux/bcm963xx_tag.h")
    limitations = (
        "The tag is recognised with Broadcom's own company line or by its version line.",
        "The CRC of the image is checked over everything behind the tag; vendors differ in what they count.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        if there < _TAG:
            return None
        numbers = _numbers(view, start)
        sure = jamcrc(view, start, start + 236) == view.u32(start + 236, big=True)
        if numbers is None or not numbers["total"] or (not sure and _TAG + numbers["total"] > there):
            return None
        return Extent(min(_TAG + numbers["total"], there), sure)

    def read(self, view: View, sink: Sink) -> None:
        numbers = _numbers(view, 0)
        if numbers is None:
            raise Malformed("numbers are not decimal", offset=62)
        header(sink, _TAG, "image tag")
        for name, at, length in (("tag version", 0, 4), ("company", 4, 20), ("chip", 38, 6), ("board", 44, 16),
                                 ("information", 162, 30)):  # fmt: skip
            if value := label(view.take(at, length)):
                sink.property(name, value)
        check_number(sink, "header CRC-32", view.u32(236, big=True), jamcrc(view, 0, 236))
        end = _TAG + numbers["total"]
        if end > len(view):
            sink.note("truncated", f"{end} bytes stated, {len(view)} there")
        else:
            check_number(sink, "image CRC-32", view.u32(216, big=True), jamcrc(view, _TAG, end))
        first = _TAG + numbers["cfe"]
        kernel_first = numbers["start"] == numbers["at"]  # as OpenWrt builds it; the field is the flash image's start
        root = first + numbers["kernel"] if kernel_first else first
        kernel = first if kernel_first else first + numbers["at"] - numbers["start"]
        root_size = min(numbers["root"], end - root)
        parts(
            sink,
            view,
            [("cfe", _TAG, numbers["cfe"]), ("rootfs", root, root_size), ("kernel", kernel, numbers["kernel"])],
            _TAG,
        )


def _numbers(view: View, start: int) -> dict[str, int] | None:
    out: dict[str, int] = {}
    for name, (at, length) in _NUMBERS.items():
        text = view.take(start + at, length).split(b"\0", 1)[0].strip()
        if text and not text.isdigit():
            return None
        out[name] = int(text or b"0")
    return out


class CyberTan(Reader):
    """32 bytes with a pattern, a date and a version, then a TRX image."""

    name = "cybertan"
    title = "CyberTAN header (Linksys)"
    version = 1
    magics = (Magic(b"U2ND", 14),)
    references = ("OpenWrt firmware-utils, src/addpattern.c (struct code_header)",)
    limitations = ("Only images whose payload is TRX are recognised.",)
    _SIZE = 32

    def probe(self, view: View, start: int) -> Extent | None:
        if not view.startswith(b"HDR0", start + self._SIZE):
            return None
        inner = Trx().probe(view, start + self._SIZE)
        return Extent(self._SIZE + inner.length, inner.sure) if inner else None

    def read(self, view: View, sink: Sink) -> None:
        header(sink, self._SIZE, "CyberTAN header")
        sink.property("pattern", label(view.take(0, 8)))
        year, month, day = view.take(8, 3)
        sink.property("date", f"{2000 + year}-{month:02}-{day:02}")
        sink.property("version", ".".join(str(b) for b in view.take(11, 3)))
        part(sink, view, "firmware.trx", self._SIZE, len(view) - self._SIZE)


READERS = (ImageTag(), CyberTan())
