"""ISO 9660: volume descriptors, directory records, path tables.

Source: ECMA-119, 4th edition, sections 8 (volume descriptors), 9 (directory records and path tables), 7.3 (both-endian
numbers); Microsoft, Joliet Specification 1.0.
"""

from __future__ import annotations

import calendar
import struct

from msgspec import Struct

from banbury.formats.view import View
from banbury.model.errors import Malformed

SECTOR = 2048
FIRST = 16  # the sector of the first volume descriptor
DIRECTORY, ASSOCIATED, MULTI_EXTENT = 2, 4, 128


class Volume(Struct, frozen=True, kw_only=True):
    """A primary or supplementary volume descriptor. Places are in logical blocks of ``block`` bytes."""

    at: int
    name: str  # the tree's: "ISO 9660", "Joliet" or "ISO 9660:1999"
    label: str
    block: int
    blocks: int
    path_size: int
    path_little: int
    path_big: int
    root: Record
    both: bool  # both halves of the both-endian numbers agree


class Record(Struct, frozen=True, kw_only=True):
    """A directory record. ``extent`` is in logical blocks past the extended attributes, ``size`` in bytes."""

    extent: int
    size: int
    mtime: int
    flags: int
    interleaved: bool
    name: bytes
    system: bytes
    both: bool


def read_record(data: memoryview, at: int) -> tuple[Record, int]:
    """The record at ``at`` and its length. Raises ``Malformed`` where it passes the end of ``data``."""
    length = data[at]
    if length < 34 or at + length > len(data):
        raise Malformed(f"a directory record of {length} bytes")
    attributes, extent, size = struct.unpack_from("<xBI4xI", data, at)
    name_length = data[at + 32]
    end = at + 33 + name_length
    if end > at + length:
        raise Malformed("a name passes its directory record")
    both = extent == int.from_bytes(data[at + 6 : at + 10], "big") and size == int.from_bytes(
        data[at + 14 : at + 18], "big"
    )
    record = Record(
        extent=extent + attributes,
        size=size,
        mtime=short_time(bytes(data[at + 18 : at + 25])),
        flags=data[at + 25],
        interleaved=bool(data[at + 26] or data[at + 27]),
        name=bytes(data[at + 33 : end]),
        system=bytes(data[end + (1 - name_length % 2) : at + length]),
        both=both,
    )
    return record, length


def short_time(raw: bytes) -> int:
    """Seconds since 1970 of a 7-byte time (9.1.5), or -1 where it is unset or impossible."""
    if len(raw) < 7 or not raw[1]:
        return -1
    year, month, day, hour, minute, second, zone = struct.unpack("<6Bb", raw[:7])
    if month > 12 or not 1 <= day <= 31:
        return -1
    return int(calendar.timegm((1900 + year, month, day, hour, minute, second))) - int(zone) * 900


def _text(raw: bytes, joliet: bool) -> str:
    return raw.decode("utf-16-be", "replace").rstrip(" \0") if joliet else raw.decode("latin-1").rstrip(" \0")


def read_volume(view: View, at: int) -> Volume:
    """The descriptor at ``at`` (bytes). Raises ``Malformed`` where its fields cannot be right."""
    data = view.mem(at, SECTOR)
    sort, version = data[0], data[6]
    escape = bytes(data[88:91])
    joliet = sort == 2 and escape in {b"%/@", b"%/C", b"%/E"}
    blocks, block = struct.unpack_from("<I", data, 80)[0], struct.unpack_from("<H", data, 128)[0]
    path_size, path_little = struct.unpack_from("<I", data, 132)[0], struct.unpack_from("<I", data, 140)[0]
    if block not in {512, 1024, 2048} or not blocks or data[156] != 34:
        raise Malformed("no ISO 9660 volume descriptor", offset=at)
    root, _ = read_record(data, 156)
    both = (
        blocks == int.from_bytes(data[84:88], "big")
        and block == int.from_bytes(data[130:132], "big")
        and path_size == int.from_bytes(data[136:140], "big")
        and root.both
    )
    return Volume(
        at=at,
        name="Joliet" if joliet else "ISO 9660:1999" if sort == 2 and version == 2 else "ISO 9660",
        label=_text(bytes(data[40:72]), joliet),
        block=block,
        blocks=blocks,
        path_size=path_size,
        path_little=path_little,
        path_big=int.from_bytes(data[148:152], "big"),
        root=root,
        both=both,
    )


def path_extents(view: View, volume: Volume, big: bool) -> set[int]:
    """The extents of all directories that a path table names (9.4). Raises ``Malformed``."""
    start = (volume.path_big if big else volume.path_little) * volume.block
    data = view.mem(start, volume.path_size)
    out: set[int] = set()
    at = 0
    while at + 8 <= len(data) and data[at]:
        length, attributes = data[at], data[at + 1]
        out.add(int.from_bytes(data[at + 2 : at + 6], "big" if big else "little") + attributes)
        at += 8 + length + length % 2
    return out
