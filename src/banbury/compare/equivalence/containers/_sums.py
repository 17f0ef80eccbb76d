"""Checksums that stand in an image beside what they are over.

A header that nobody here knows may hold one. Then both sides cannot be right: the header is the same, the part differs,
and whoever checks it takes one of them for damaged.

Sources: POSIX.1-2017, cksum; RFC 1321, 1950, 6234; zlib's CRC-32 (RFC 1952, section 8).
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from banbury.formats.view import View

_EDGE: Final = 1 << 16  # bytes at either end of a stretch that are searched
_WORK: Final = 2 << 30  # bytes that are counted in all
_REVERSED: Final = bytes(int(f"{n:08b}"[::-1], 2) for n in range(256))
_LEAST: Final = 16  # bytes of what a checksum is over


def standing(view: View, parts: list[tuple[int, int]], other: View, theirs: list[tuple[int, int]]) -> str:
    """Which checksum over one or more parts of an image stands outside of them, where what it is over differs in the
    other image; ``""`` where none does. Both have as many parts (start, end), in order."""
    outside = _outside(view, parts)
    if not outside.strip(b"\0\xff"):
        return ""
    left = _WORK
    for (start, end), (begin, stop) in zip(_ranges(parts, len(view)), _ranges(theirs, len(other)), strict=True):
        data = view.mem(start, end - start)
        left -= len(data)
        if left < 0:
            break
        if len(data) < _LEAST or data == other.mem(begin, stop - begin):
            continue
        for name, forms in _sums(data):
            if any(form in outside for form in forms):
                return f"the {name} of bytes {start} to {end}, which differ"
    return ""


def _outside(view: View, parts: list[tuple[int, int]]) -> bytes:
    gaps = zip([0, *(end for _, end in parts)], [*(start for start, _ in parts), len(view)], strict=True)
    out = []
    for start, end in gaps:
        middle = min(start + _EDGE, end)
        out += [view.take(start, middle - start), view.take(max(middle, end - _EDGE), end - max(middle, end - _EDGE))]
    return b"\0".join(out)


def _ranges(parts: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """What checksums are usually over: each part, with what is behind it, to the end, and from the first on."""
    for number, (start, end) in enumerate(parts):
        following = parts[number + 1][0] if number + 1 < len(parts) else size
        yield start, end
        yield start, following
        yield start, size
        yield parts[0][0], end
        yield parts[0][0], following


def _sums(data: memoryview) -> Iterator[tuple[str, list[bytes]]]:
    crc, adler = zlib.crc32(data), zlib.adler32(data)
    words = np.frombuffer(data, np.uint8)
    total = int(words.sum(dtype=np.uint64))
    numbers = {"CRC-32": crc, "CRC-32 (not inverted)": crc ^ 0xFFFFFFFF, "Adler-32": adler, "sum of all bytes": total}
    for name, number in (*numbers.items(), ("cksum", _cksum(data))):
        low = number & 0xFFFFFFFF
        texts = [f"{low:08x}".encode(), f"{low:08X}".encode(), b"%d" % low] if low > 0xFFFFFF else []
        plain = [struct.pack("<I", low), struct.pack(">I", low)] if low > 0xFFFF else []
        yield name, [*plain, *texts]
    for name in ("md5", "sha1", "sha256", "sha384", "sha512"):
        raw = hashlib.new(name, data, usedforsecurity=False).digest()
        text = raw.hex().encode()
        yield name.upper(), [raw, raw[::-1], text, text.upper(), base64.b64encode(raw).rstrip(b"=")]


def _cksum(data: memoryview) -> int:
    """POSIX's, whose bits run the other way from zlib's: over the bytes reversed, and the length behind them."""
    length = len(data)
    tail = length.to_bytes(max((length.bit_length() + 7) // 8, 1), "little")
    crc = zlib.crc32(bytes(data).translate(_REVERSED) + tail.translate(_REVERSED), 0xFFFFFFFF)
    return int(f"{crc:032b}"[::-1], 2)
