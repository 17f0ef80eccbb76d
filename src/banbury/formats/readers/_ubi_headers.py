"""UBI on flash: erase counter and volume identifier headers, the volume table, and finding the eraseblock size.

Source: Linux drivers/mtd/ubi/ubi-media.h, attach.c and vtbl.c. All numbers are big-endian.
"""

from __future__ import annotations

import struct
from typing import Final

from msgspec import Struct

from banbury.formats.readers._flash import crc32
from banbury.formats.view import View

EC_MAGIC: Final = b"UBI#"
VID_MAGIC: Final = b"UBI!"
HEADER: Final = 64
STATIC: Final = 2
LAYOUT_VOLUME: Final = 0x7FFFEFFF
FIRST_INTERNAL: Final = LAYOUT_VOLUME
AUTORESIZE: Final = 1
_RECORD: Final = struct.Struct(">IIIBBH128sB23xI")
_EC: Final = struct.Struct(">4sB3xQIII32xI")
_VID: Final = struct.Struct(">4sBBBBII4xIIII4xQ12xI")
_RECORDS: Final = 128

#: Eraseblock sizes tried besides the distance between the first two headers, in bytes.
_SIZES: Final = tuple(1 << n for n in range(11, 24))
#: Eraseblocks in a row whose header is unreadable; more end the image.
_MISSES: Final = 64
_ERASED: Final = b"\xff" * HEADER


class Counter(Struct, frozen=True, array_like=True):
    """An erase counter header. Offsets in bytes from the start of the eraseblock."""

    version: int
    erasures: int
    vid_offset: int
    data_offset: int
    image: int


class Identifier(Struct, frozen=True, array_like=True):
    """A volume identifier header: which logical eraseblock (LEB) of which volume this eraseblock holds."""

    version: int
    sort: int
    copy: bool
    compat: int
    volume: int
    lnum: int
    data_size: int
    used: int
    data_pad: int
    data_crc: int
    sequence: int


class Volume(Struct, frozen=True, array_like=True):
    """A record of the volume table. ``reserved`` in eraseblocks."""

    reserved: int
    alignment: int
    data_pad: int
    sort: int
    updating: bool
    name: bytes
    flags: int


def counter_at(view: View, pos: int) -> Counter | None:
    """A sound erase counter header at ``pos``, or ``None``."""
    if not view.startswith(EC_MAGIC, pos) or pos + HEADER > len(view):
        return None
    _, version, erasures, vid, data, image, crc = view.unpack(_EC, pos)
    if crc32(view.mem(pos, HEADER - 4)) != crc or not HEADER <= vid <= data - HEADER:
        return None
    return Counter(version, erasures, vid, data, image)


def identifier_at(view: View, pos: int) -> Identifier | None:
    """A sound volume identifier header at ``pos``, or ``None``."""
    if not view.startswith(VID_MAGIC, pos) or pos + HEADER > len(view):
        return None
    f = view.unpack(_VID, pos)
    if crc32(view.mem(pos, HEADER - 4)) != f[12]:
        return None
    return Identifier(f[1], f[2], bool(f[3]), f[4], f[5], f[6], f[7], f[8], f[9], f[10], f[11])


def is_erased(view: View, pos: int) -> bool:
    """Whether the first bytes at ``pos`` are erased flash."""
    return view.startswith(_ERASED, pos)


def volume_table(view: View, pos: int, size: int) -> dict[int, Volume] | None:
    """The volume table at ``pos``, of at most ``size`` bytes, or ``None`` where a record's checksum is wrong."""
    out: dict[int, Volume] = {}
    for number in range(min(_RECORDS, size // _RECORD.size)):
        at = pos + number * _RECORD.size
        reserved, alignment, pad, sort, updating, length, name, flags, crc = view.unpack(_RECORD, at)
        if crc32(view.mem(at, _RECORD.size - 4)) != crc:
            return None
        if reserved:
            assert isinstance(name, bytes)
            out[number] = Volume(reserved, alignment, pad, sort, bool(updating), name[: min(length, 127)], flags)
    return out


def table_size(size: int) -> int:
    """Bytes that the volume table takes in a LEB of ``size`` bytes."""
    return min(_RECORDS, size // _RECORD.size) * _RECORD.size


def _alike(first: Counter, other: Counter | None) -> bool:
    """Whether two headers can be of one image. Image number 0 is that of eraseblocks from before there were such."""
    if other is None or (first.vid_offset, first.data_offset) != (other.vid_offset, other.data_offset):
        return False
    return first.image == other.image or not (first.image and other.image)


def _count(view: View, start: int, first: Counter, size: int) -> tuple[int, int]:
    """How many sound headers stand at multiples of ``size`` from ``start`` on, and eraseblocks up to the last."""
    hits = blocks = misses = number = 0
    while misses <= _MISSES and start + number * size + HEADER <= len(view):
        pos = start + number * size
        other = counter_at(view, pos)
        if _alike(first, other):
            hits, blocks, misses = hits + 1, number + 1, 0
        elif other is not None and hits > 1:
            break
        elif not is_erased(view, pos):
            misses += 1
        number += 1
    return hits, blocks


def geometry(view: View, start: int) -> tuple[int, int] | None:
    """Eraseblock size in bytes and number of eraseblocks of the image at ``start``.

    An image may lie inside another one's data, so that the nearest header need not be the next eraseblock's: the size
    is the smallest whose multiples reach as far as those of any other and hold a header three times out of four."""
    first = counter_at(view, start)
    if first is None:
        return None
    sizes = set(_SIZES)
    after = view.find(EC_MAGIC, start + first.data_offset, start + (16 << 20))
    if after > 0:
        sizes.add(after - start)
    found: dict[int, tuple[int, int]] = {}
    for size in sorted(s for s in sizes if s > first.data_offset):
        hits, blocks = _count(view, start, first, size)
        if hits > 1:
            found[size] = hits, blocks
    if not found:
        length = len(view) - start
        return (length, 1) if length > first.data_offset else None
    reach = {size: size * (blocks - 1) for size, (_, blocks) in found.items()}
    enough = 0.9 * max(reach.values())
    dense = (s for s, (hits, blocks) in found.items() if 4 * hits > 3 * blocks and reach[s] >= enough)
    size = next(dense, after - start if after - start in found else min(found))
    return size, found[size][1]
