"""Where a file that holds no other files ends, by its own structure.

A magic at the front says nothing of the bytes behind it: a picture's eight bytes before an encrypted program make no
picture. A leaf is recognised only as far as its structure reaches; what stands behind is for others to read, or unread.

Sources: PNG (W3C, 5.3), JPEG (ITU-T T.81, annex B), GIF89a (18 to 27), RIFF (Microsoft, "Multimedia Programming
Interface and Data Specifications 1.0"), WOFF 1 (W3C, 3 and 4), OpenType (table directory),
ICO (directory entries), Ogg (RFC 3533, 6), PDF (ISO 32000-1, 7.5.5).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from banbury.formats.view import View
from banbury.model.errors import Malformed

_STEPS = 1_000_000  # chunks, blocks or pages of one file at most


def leaf_end(view: View) -> int:
    """The offset behind the leaf's last byte; 0 where the view is no leaf of a sort known here, or a broken one.

    What the structure carries is not decoded: pixels that are no picture's pass.
    """
    for magic, end in _ENDS:
        if view.startswith(magic):
            try:
                found = end(view)
            except Malformed:
                return 0
            return found if found <= len(view) else 0
    return 0


def _png(view: View) -> int:
    at = 8
    for _ in range(_STEPS):
        length, kind = view.u32(at, big=True), view.take(at + 4, 4)
        if zlib.crc32(view.mem(at + 4, 4 + length)) != view.u32(at + 8 + length, big=True):
            return 0
        at += 12 + length
        if kind == b"IEND":
            return at
    return 0


def _jpeg(view: View) -> int:
    """Segments by their lengths; within a scan, to the next marker that is neither stuffing nor a restart."""
    at = 2
    for _ in range(_STEPS):
        if view.u8(at) != 0xFF:
            return 0
        marker = view.u8(at + 1)
        if marker == 0xD9:
            return at + 2
        if marker == 0xFF:
            at += 1
            continue
        at += 2 + view.u16(at + 2, big=True)
        if marker == 0xDA:
            at = _scan_end(view, at)
    return 0


def _scan_end(view: View, at: int) -> int:
    for _ in range(_STEPS):
        at = view.find(b"\xff", at)
        if at < 0:
            break
        follows = view.u8(at + 1)
        if follows and not 0xD0 <= follows <= 0xD7:
            return at
        at += 2
    return len(view) + 1


def _gif(view: View) -> int:
    packed = view.u8(10)
    at = 13 + (3 << ((packed & 7) + 1) if packed & 0x80 else 0)
    for _ in range(_STEPS):
        kind = view.u8(at)
        if kind == 0x3B:
            return at + 1
        if kind == 0x2C:
            packed = view.u8(at + 9)
            at += 11 + (3 << ((packed & 7) + 1) if packed & 0x80 else 0)
        elif kind == 0x21:
            at += 2
        else:
            return 0
        while size := view.u8(at):
            at += size + 1
        at += 1
    return 0


def _riff(view: View) -> int:
    if not view.take(8, 4).strip().isalnum():
        return 0
    size = 8 + view.u32(4)
    return size + (size & 1)


def _woff(view: View) -> int:
    """The directory's tables, each at a multiple of 4, must reach to the stated length."""
    count = view.u16(12, big=True)
    ends = [view.u32(48 + 20 * i, True) + view.u32(52 + 20 * i, True) for i in range(count)]
    meta = [view.u32(24, True) + view.u32(28, True), view.u32(36, True) + view.u32(40, True)]
    length = view.u32(8, big=True)
    return length if ends and max(ends + meta) <= length <= max(ends + meta) + 3 else 0


def _opentype(view: View) -> int:
    count = view.u16(4, big=True)
    end = 12 + 16 * count
    for i in range(count):
        tag, offset, length = view.take(12 + 16 * i, 4), view.u32(20 + 16 * i, True), view.u32(24 + 16 * i, True)
        if not (tag.isascii() and tag.decode("ascii", "replace").isprintable()) or offset + length > len(view):
            return 0
        end = max(end, offset + (length + 3) // 4 * 4)
    return end if count else 0


def _icon(view: View) -> int:
    count = view.u16(4)
    end = 6 + 16 * count
    for i in range(count):
        length, offset = view.u32(6 + 16 * i + 8), view.u32(6 + 16 * i + 12)
        if offset < 6 + 16 * count or offset + length > len(view):
            return 0
        end = max(end, offset + length)
    return end if count else 0


def _ogg(view: View) -> int:
    at = 0
    for _ in range(_STEPS):
        if not view.startswith(b"OggS\0", at):
            break
        segments = view.u8(at + 26)
        at += 27 + segments + sum(view.take(at + 27, segments))
    return at


def _pdf(view: View) -> int:
    """The last end mark: a PDF grows by updates, each with a mark of its own."""
    start = max(len(view) - (1 << 20), 0)
    at = view.take(start, len(view) - start).rfind(b"%%EOF")
    if at < 0 or view.find(b"startxref", start) < 0:
        return 0
    end = start + at + 5
    while end < len(view) and view.u8(end) in b"\r\n":
        end += 1
    return end


_ENDS: tuple[tuple[bytes, Callable[[View], int]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"RIFF", _riff),
    (b"wOFF", _woff),
    (b"OTTO", _opentype),
    (b"\0\1\0\0\0", _opentype),
    (b"\0\0\1\0", _icon),
    (b"OggS\0", _ogg),
    (b"%PDF-", _pdf),
)
