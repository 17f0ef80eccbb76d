"""Netgear's CHK and DNI images.

Sources: OpenWrt firmware-utils, mkchkimg.c and mkdniimg.c. Numbers are big-endian.
"""

from __future__ import annotations

import struct

import numpy as np

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_number, header, label, part, parts, printable
from banbury.formats.view import View
from banbury.model.tree import Role

_CHK = struct.Struct(">4sI8x6I")
_FIXED = 40
_DNI = 128
_BLOCK = 1 << 16


def checksum(view: View, stretches: list[tuple[int, int]]) -> int:
    """The sum of the bytes and that of its running values (modulo 2**32), each folded to 16 bits."""
    c0 = c1 = 0
    for start, end in stretches:
        for at in range(start, end, _BLOCK):
            block = np.frombuffer(view.mem(at, min(_BLOCK, end - at)), np.uint8).astype(np.uint64)
            size = len(block)
            c1 += size * c0 + int((block * np.arange(size, 0, -1, dtype=np.uint64)).sum())
            c0 += int(block.sum())
            c0, c1 = c0 & 0xFFFFFFFF, c1 & 0xFFFFFFFF
    return _fold(c1) << 16 | _fold(c0)


def _fold(value: int) -> int:
    value = (value & 0xFFFF) + (value >> 16)
    return (value & 0xFFFF) + (value >> 16) & 0xFFFF


class Chk(Reader):
    """A header with the board's name and checksums, a kernel and a root file system."""

    name = "netgear-chk"
    title = "Netgear CHK"
    version = 1
    magics = (Magic(b"\x2a\x23\x24\x5e"),)
    references = ("OpenWrt firmware-utils, src/mkchkimg.c",)
    limitations = ("The kernel part often holds a whole TRX image; it is taken apart in its turn.",)

    def probe(self, view: View, start: int) -> Extent | None:
        _, size, _, _, kernel, root, _, stored = view.unpack(_CHK, start)
        there = len(view) - start
        if not _FIXED < size <= 256 or size > there or not printable(view.take(start + _FIXED, size - _FIXED)):
            return None
        total = size + kernel + root
        sure = _header_sum(view.sub(start, size)) == stored
        if not sure and (total > there or not kernel):
            return None
        return Extent(min(total, there), sure)

    def read(self, view: View, sink: Sink) -> None:
        _, size, kernel_sum, root_sum, kernel, root, image_sum, stored = view.unpack(_CHK, 0)
        header(sink, size, "CHK header")
        sink.property("board", label(view.take(_FIXED, size - _FIXED)))
        sink.property("region", str(view.u8(8)))
        sink.property("version", ".".join(str(b) for b in view.take(9, 7)))
        check_number(sink, "header checksum", stored, _header_sum(view.sub(0, size)))
        if size + kernel + root <= len(view):
            check_number(sink, "kernel checksum", kernel_sum, checksum(view, [(size, size + kernel)]))
            if root:
                check_number(sink, "rootfs checksum", root_sum, checksum(view, [(size + kernel, size + kernel + root)]))
            check_number(sink, "image checksum", image_sum, checksum(view, [(size, size + kernel + root)]))
        parts(sink, view, [("kernel", size, kernel), ("rootfs", size + kernel, root)], size)


def _header_sum(head: View) -> int:
    """The header's checksum, counted with its own field zero."""
    data = head.take(0, len(head))
    return checksum(View(data[:36] + bytes(4) + data[40:]), [(0, len(data))])


class Dni(Reader):
    """128 bytes of text (device, version, region), the firmware, one byte that makes the sum of all bytes 0xff."""

    name = "netgear-dni"
    title = "Netgear DNI"
    version = 1
    magics = (Magic(b"device:"),)
    carve = False  # the header states no length
    references = ("OpenWrt firmware-utils, src/mkdniimg.c",)
    limitations = ("It is recognised only where it fills a whole blob.",)

    def probe(self, view: View, start: int) -> Extent | None:
        if len(view) - start <= _DNI:
            return None
        head = view.take(start, _DNI)
        text = head.rstrip(b"\0")
        if b"\nversion:" not in text or not printable(text.replace(b"\n", b" ")) or text.count(b"\n") > 8:
            return None
        return Extent(len(view) - start)

    def read(self, view: View, sink: Sink) -> None:
        header(sink, _DNI, "DNI header")
        for line in view.cstring(0, _DNI).split(b"\n"):
            key, _, value = line.partition(b":")
            if key and value:
                sink.property(label(key)[:40], label(value))
        end = len(view) - 1
        total = sum(
            int(np.frombuffer(view.mem(at, min(1 << 20, end - at)), np.uint8).sum()) for at in range(0, end, 1 << 20)
        )
        part(sink, view, "firmware", _DNI, end - _DNI)
        sink.own(end, len(view), Role.CHECK, "checksum")
        check_number(sink, "checksum", view.u8(end), 0xFF - (total & 0xFF))


READERS = (Chk(), Dni())
