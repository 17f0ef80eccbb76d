"""The GUID Partition Table: both headers, both copies of the table, and how they differ.

Source: UEFI Specification 2.10, section 5.3.
"""

from __future__ import annotations

import struct
import uuid
import zlib

from msgspec import Struct

from banbury.formats.view import View
from banbury.model.errors import Malformed

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_SLOT = struct.Struct("<16s16sQQQ72s")
_MAGIC = b"EFI PART"
_TYPES = {
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system",
    "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux file system",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "basic data",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
    "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
    "fe3a2a5d-4f32-41a7-b725-accc3285a309": "ChromeOS kernel",
    "3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec": "ChromeOS root",
}


class Slot(Struct, frozen=True):
    """A partition; ``first`` and ``last`` (inclusive) are in sectors."""

    number: int
    sort: str
    name: str
    first: int
    last: int


class Gpt(Struct, frozen=True):
    """What the table says. ``regions`` are (start, end, name) in bytes, ``notes`` (code, detail)."""

    sector: int
    guid: str
    slots: list[Slot]
    regions: list[tuple[int, int, str]]
    notes: list[tuple[str, str]]


class _Header(Struct, frozen=True):
    at: int
    size: int
    mine: int
    other: int
    usable: tuple[int, int]
    guid: bytes
    table: int
    count: int
    width: int
    table_crc: int
    sound: bool


def _header(view: View, at: int) -> _Header:
    """The header at ``at``. Raises ``Malformed`` where there is none."""
    f = _HEADER.unpack(view.mem(at, _HEADER.size))
    magic, _, size, crc, _, mine, other, first, last, guid, table, count, width, table_crc = f
    if magic != _MAGIC or not 92 <= size <= 4096 or not 128 <= width <= 4096 or count * width > 1 << 22:
        raise Malformed("no GPT header", offset=at)
    raw = view.take(at, size)
    sound = zlib.crc32(raw[:16] + bytes(4) + raw[20:]) == crc
    return _Header(at, size, mine, other, (first, last), guid, table, count, width, table_crc, sound)


def _table(view: View, header: _Header, sector: int) -> bytes | None:
    """The table's bytes where they are there and match the header's checksum, else ``None``."""
    try:
        raw = view.take(header.table * sector, header.count * header.width)
    except Malformed:
        return None
    return raw if zlib.crc32(raw) == header.table_crc else None


def _slots(raw: bytes, width: int) -> list[Slot]:
    out = []
    for number, at in enumerate(range(0, len(raw) - _SLOT.size + 1, width), 1):
        sort, _, first, last, _, name = _SLOT.unpack_from(raw, at)
        if sort == bytes(16) or last < first:
            continue
        kind = str(uuid.UUID(bytes_le=sort))
        text = name.decode("utf-16-le", "replace").split("\0", 1)[0]
        out.append(Slot(number, _TYPES.get(kind, kind), text, first, last))
    return out


def read_gpt(view: View) -> Gpt | None:
    """The table by the first header whose checksum and whose table's checksum hold, or ``None``."""
    for sector in (512, 4096):
        first = _try(view, sector)
        second = None
        for place in {first.other if first else -1, len(view) // sector - 1}:
            second = second or _try(view, sector, place)
        good = [h for h in (first, second) if h and h.sound and _table(view, h, sector) is not None]
        if good:
            return _compare(view, sector, first, second, good[0])
    return None


def _try(view: View, sector: int, place: int = 1) -> _Header | None:
    try:
        header = _header(view, place * sector)
    except Malformed:
        return None
    return header if header.mine == place else None


def _compare(view: View, sector: int, first: _Header | None, second: _Header | None, good: _Header) -> Gpt:
    """The table by ``good``; the other copy is compared with it."""
    notes: list[tuple[str, str]] = []
    regions: list[tuple[int, int, str]] = []
    for header, name in ((first, "GPT header"), (second, "backup GPT header")):
        if header is None:
            notes.append(("truncated" if name.startswith("backup") else "malformed", f"there is no {name}"))
            continue
        regions.append((header.at, header.at + header.size, name))
        table = _table(view, header, sector)
        if not header.sound or table is None:
            notes.append(("checksum", f"the {name} or its table"))
        start = header.table * sector
        regions.append((start, start + header.count * header.width, "partition table"))
    if first and second and (_facts(first) != _facts(second) or first.table_crc != second.table_crc):
        notes.append(("mismatch", "the two copies of the GPT differ"))
    raw = _table(view, good, sector) or b""
    return Gpt(sector, str(uuid.UUID(bytes_le=good.guid)), _slots(raw, good.width), regions, notes)


def _facts(header: _Header) -> tuple[object, ...]:
    return header.usable, header.guid, header.count, header.width
