"""D-Link and Alpha Networks: SEAMA, WRGG, DNS-3xx, and the encrypted SHRS and encrpted_img (named, not read).

Sources: OpenWrt firmware-utils, seama.h, seama.c and mkwrggimg.c; the fields of SHRS and encrpted_img as documented
with unblob's handlers (python/unblob/handlers/archive/dlink); dns323-firmware-tools for DNS-3xx.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_digest, check_number, header, label, md5, part, parts, printable
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Role

_SEAMA = b"\x5e\xa3\xa4\x17"
_SEAMA_HEADER = struct.Struct(">4sHHI")
_ENTITIES = 64


class Seama(Reader):
    """ "Seattle image": text about the device, then entities, each with an MD5 sum."""

    name = "seama"
    title = "Alpha Networks SEAMA"
    version = 1
    magics = (Magic(_SEAMA),)
    references = ("OpenWrt firmware-utils, src/seama.h", "OpenWrt firmware-utils, src/seama.c")
    limitations = ("At most 64 entities are read.",)

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        at = 0
        for index in range(_ENTITIES):
            if not view.startswith(_SEAMA, start + at) or at + 12 > there:
                break
            _, reserved, meta, size = view.unpack(_SEAMA_HEADER, start + at)
            head = 12 + (16 if size else 0) + meta
            if reserved or meta > 4096 or at + head > there or not _is_meta(view.take(start + at + head - meta, meta)):
                return Extent(at) if index else None
            if at + head + size > there:
                return Extent(there, sure=False)
            at += head + size
        return Extent(at) if at > 12 else None

    def read(self, view: View, sink: Sink) -> None:
        at = count = 0
        while at < len(view):
            magic, _, meta, size = view.unpack(_SEAMA_HEADER, at)
            if magic != _SEAMA:  # type: ignore[comparison-overlap]
                raise Malformed("no SEAMA header", offset=at)
            digest = 16 if size else 0
            text = at + 12 + digest
            sink.own(at, at + 12, Role.HEADER, "SEAMA header")
            sink.own(at + 12, text, Role.CHECK, "MD5")
            sink.own(text, text + meta, Role.HEADER, "SEAMA meta data")
            for item in view.take(text, meta).split(b"\0"):
                key, _, value = item.partition(b"=")
                if value:
                    sink.property(label(key)[:60], label(value))
            start = text + meta
            if size:
                if start + size <= len(view):
                    check_digest(sink, f"image{count} MD5", view.take(at + 12, 16), md5(view, [(start, start + size)]))
                part(sink, view, f"image{count}", start, size)
                count += 1
            at = start + size


def _is_meta(raw: bytes) -> bool:
    return all(printable(item) and (not item or b"=" in item) for item in raw.rstrip(b"\0").split(b"\0"))


class Wrgg(Reader):
    """WRGG03: a header of 160 bytes with signature, version and model, and one payload."""

    name = "wrgg"
    title = "D-Link WRGG03"
    version = 1
    magics = (Magic(b"\x21\x03\x08\x20" * 2, 32),)
    references = ("OpenWrt firmware-utils, src/mkwrggimg.c",)
    limitations = ("Images that the vendor encrypts as a whole carry no such header.",)
    _SIZE = 160

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        if there < self._SIZE or not printable(view.take(start, 32), empty=False):
            return None
        size = self._length(view, start)
        if not size:
            return None
        total = self._SIZE + size
        return Extent(total) if total <= there else Extent(there, sure=False)

    def read(self, view: View, sink: Sink) -> None:
        size = self._length(view, 0)
        header(sink, self._SIZE, "WRGG03 header")
        for name, at, length in (("signature", 0, 32), ("version", 40, 16), ("model", 56, 16), ("build", 88, 16),
                                 ("device", 112, 32)):  # fmt: skip
            if value := label(view.take(at, length)):
                sink.property(name, value)
        end = self._SIZE + size
        if end <= len(view):
            found = md5(view, [(108, 112), (112, 144), (self._SIZE, end)])
            check_digest(sink, "MD5", view.take(144, 16), found)
        part(sink, view, "firmware", self._SIZE, size)

    def _length(self, view: View, start: int) -> int:
        """The payload's length. Its byte order is the device's, the magic's is not: the smaller of the two is meant."""
        return min(view.u32(start + 104), view.u32(start + 104, big=True))


class Shrs(Reader):
    """SHRS: AES-128-CBC, with SHA-512 digests and two signatures in a header of 1,756 bytes."""

    name = "dlink-shrs"
    title = "D-Link SHRS (encrypted)"
    version = 1
    magics = (Magic(b"SHRS"),)
    references = ("unblob, handlers/archive/dlink/shrs.py",)
    limitations = ("The content is encrypted and not read.",)
    _SIZE = 1756

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        size, used = view.u32(start + 4, big=True), view.u32(start + 8, big=True)
        if not 0 < used <= size or any(view.take(start + 0xDC, 512)):
            return None
        total = self._SIZE + (size + 15) // 16 * 16
        return Extent(total) if total <= there else Extent(there)

    def read(self, view: View, sink: Sink) -> None:
        used = view.u32(8, big=True)
        header(sink, 0xDC + 512, "SHRS header")
        sink.own(0xDC + 512, self._SIZE, Role.CHECK, "signatures")
        if self._SIZE + used <= len(view):
            digest = hashlib.sha512(view.mem(self._SIZE, used)).digest()
            check_digest(sink, "SHA-512 of the encrypted content", view.take(28 + 128, 64), digest)
        else:
            sink.note("truncated", f"{used} bytes stated, {len(view) - self._SIZE} there")
        encrypted(sink, self._SIZE, len(view), "AES-128-CBC")


class EncrptedImg(Reader):
    """``encrpted_img`` (the vendor's spelling): 16 bytes, then AES-CBC."""

    name = "dlink-encrpted-img"
    title = "D-Link encrpted_img (encrypted)"
    version = 1
    magics = (Magic(b"encrpted_img"),)
    references = ("unblob, handlers/archive/dlink/encrpted_img.py",)
    limitations = ("The content is encrypted and not read.",)

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        size = view.u32(start + 12, big=True)
        return Extent(min(16 + size, there), sure=16 + size <= there) if size >= 16 and there > 16 else None

    def read(self, view: View, sink: Sink) -> None:
        header(sink, 16, "encrpted_img header")
        encrypted(sink, 16, len(view), "AES-CBC")


class Dns(Reader):
    """The network storage boxes' upgrade file: 128 bytes that point at up to four parts, each with a checksum."""

    name = "dlink-dns"
    title = "D-Link DNS-3xx firmware"
    version = 1
    magics = tuple(
        Magic(b"\x55\xaa" + mark + b"\x55\xaa", 0x30)
        for mark in (b"FrodoII\0", b"Chopper\0", b"Gandolf\0", b"DNS323D1")
    )
    references = ("dns323-firmware-tools (mkdns323fw)",)
    limitations = ("Only the four known marks are recognised. The third and fourth part are named by their place.",)
    _SIZE = 128
    _PARTS = struct.Struct("<8I")
    _NAMES = ("kernel", "initrd", "defaults", "extra")

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        spans = self._spans(view, start)
        if not spans or any(at < self._SIZE for _, at, _, _ in spans):
            return None
        end = max(at + size for _, at, size, _ in spans)
        return Extent(end) if end <= there else Extent(there, sure=False)

    def read(self, view: View, sink: Sink) -> None:
        header(sink, self._SIZE, "DNS header")
        sink.property("product, custom, model, sub id", ", ".join(str(b) for b in view.take(0x3C, 4)))
        for name, start, size, stated in self._spans(view, 0):
            if start + size <= len(view):
                check_number(sink, f"{name} checksum", stated, _xor(view, start, size))
        parts(sink, view, [(name, start, size) for name, start, size, _ in self._spans(view, 0)], self._SIZE)

    def _spans(self, view: View, start: int) -> list[tuple[str, int, int, int]]:
        """Name, offset, length and checksum of each part that is not empty."""
        fields = view.unpack(self._PARTS, start)
        rows = zip(
            self._NAMES, fields[::2], fields[1::2], (view.u32(start + 32 + 4 * i) for i in range(4)), strict=True
        )
        return [row for row in rows if row[2]]


def _xor(view: View, start: int, size: int) -> int:
    """The exclusive or of all whole little-endian words."""
    words = np.frombuffer(view.mem(start, size // 4 * 4), "<u4")
    return int(np.bitwise_xor.reduce(words)) if len(words) else 0


def encrypted(sink: Sink, start: int, end: int, how: str) -> None:
    """State that a stretch is encrypted: unread, and noted."""
    sink.own(start, end, Role.UNREAD, f"encrypted ({how})")
    sink.note("encrypted", f"{end - start} bytes, {how}", start=start, end=end)


READERS = (Seama(), Wrgg(), Shrs(), EncrptedImg(), Dns())
