"""The structures of a ZIP archive and how its end is found.

Sources: PKWARE APPNOTE.TXT 6.3.10 (section numbers below); Info-ZIP, proginfo/extrafld.txt; Android, APK Signature
Scheme v2. ``base`` is what must be added to a stored offset to get an offset in the view: it is negative where the
offsets count from before the view.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from msgspec import Struct

from banbury.formats.view import View
from banbury.model.errors import Malformed, Truncated

LOCAL, CENTRAL, END, END64, LOCATOR, DESCRIPTOR = (
    b"PK" + t for t in (b"\3\4", b"\1\2", b"\5\6", b"\6\6", b"\6\7", b"\7\x08")
)

_LOCAL = struct.Struct("<4s5HIIIHH")
_CENTRAL = struct.Struct("<4s6HIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
#: End records looked at, in a whole blob and inside an image.
_CANDIDATES, _INSIDE = 1000, 200


class End(Struct, frozen=True, kw_only=True):
    """The end of the central directory (4.3.14 to 4.3.16). ``table`` to ``table_end`` is the directory, ``first`` the
    first of the end records (of which there are three in ZIP64), ``at`` the last, ``end`` lies behind its comment;
    ``differs`` says that the plain record and ZIP64's state different things."""

    at: int
    first: int
    end: int
    base: int
    count: int
    table: int
    table_end: int
    disk: int
    differs: bool


class Item(Struct, frozen=True, kw_only=True):
    """A member as one of its headers describes it; ``at`` is that header, ``end`` lies behind it. ``offset`` (of the
    local header, ``base`` added), ``host`` and ``attributes`` are the directory's alone."""

    at: int
    end: int
    flags: int
    method: int
    time: int
    crc: int
    packed: int
    size: int
    name: bytes
    extra: dict[int, bytes]
    comment: bytes = b""
    offset: int = -1
    host: int = 0
    attributes: int = 0
    disk: int = 0


def find_end(view: View, start: int) -> End | None:
    """The end record of the archive that starts at ``start``: of a whole blob the one that closes it, as consumers look
    for it, else the first behind ``start``."""
    return (None if start else _closing_end(view)) or first_end(view, start)


def _closing_end(view: View) -> End | None:
    low = max(0, len(view) - 22 - _FULL16)
    tail = view.take(low, len(view) - low)
    at = len(tail)
    for _ in range(_CANDIDATES):
        at = tail.rfind(END, 0, at)
        if at < 0:
            break
        found = end_at(view, 0, low + at)
        if found and found.end == len(view):
            return found
    return None


def first_end(view: View, start: int) -> End | None:
    """The first end record of an archive that starts at ``start``. An archive stored inside it is passed over: its
    offsets count from itself."""
    if view.startswith(END, start):
        return end_at(view, start, start)
    at = start - 1
    for _ in range(_INSIDE if start else _CANDIDATES):
        at = view.find(END, at + 1)
        if at < 0:
            break
        found = end_at(view, start, at)
        if found:
            return found
    return None


def end_at(view: View, start: int, at: int) -> End | None:
    """The end record at ``at`` if it closes an archive that starts at ``start``."""
    if at + 22 > len(view):
        return None
    _, disk, _, _, count, size, offset, comment = _END.unpack_from(view.mem(at, 22))
    first = at
    differs = False
    if view.startswith(LOCATOR, at - 20):
        first = _end64(view, start, at)
        # Some readers take the ZIP64 record wherever there is one, some only where the plain record says so.
        stated = (count | _FULL32 - _FULL16 if count == _FULL16 else count, size, offset)
        if first >= 0:
            *_, count, size, offset = _END64.unpack_from(view.mem(first, 56))
            differs = any(a not in {_FULL32, b} for a, b in zip(stated, (count, size, offset), strict=True))
        elif _FULL32 in stated:
            return None
        else:
            first = at
    table = first - size
    end = at + 22 + comment
    if table < start or end > len(view) or table - offset > start:
        return None
    if (count or size) and not view.startswith(CENTRAL, table):
        return None
    return End(
        at=at,
        first=first,
        end=end,
        base=table - offset,
        count=count,
        table=table,
        table_end=first,
        disk=disk,
        differs=differs,
    )


def _end64(view: View, start: int, at: int) -> int:
    """Where the ZIP64 end record is that belongs to the end record at ``at``, or -1."""
    for candidate in (at - 76, start + view.u64(at - 12)):
        if start <= candidate <= at - 76 and view.startswith(END64, candidate):
            return candidate
    return -1


def central(view: View, end: End) -> Iterator[Item]:
    """The entries of the central directory (4.3.12). Raises ``Malformed`` or ``Truncated`` where one is broken."""
    at = end.table
    while at < end.table_end and view.startswith(CENTRAL, at):
        fields = _CENTRAL.unpack_from(view.mem(at, 46))
        _, made, _, flags, method, clock, day, crc, packed, size, n, x, c, disk, _, attributes, offset = fields
        stop = at + 46 + n + x + c
        if stop > end.table_end:
            raise Truncated("zip: a directory entry is cut short", offset=at)
        extra = extras(view.take(at + 46 + n, x))
        size, packed, offset = _wide(extra, size, packed, offset)
        yield Item(
            at=at,
            end=stop,
            flags=flags,
            method=method,
            time=day << 16 | clock,
            crc=crc,
            packed=packed,
            size=size,
            name=view.take(at + 46, n),
            extra=extra,
            comment=view.take(at + 46 + n + x, c),
            offset=offset + end.base,
            host=made >> 8,
            attributes=attributes,
            disk=disk,
        )
        at = stop


def local(view: View, at: int) -> Item:
    """The local header at ``at`` (4.3.7)."""
    if not view.startswith(LOCAL, at):
        raise Malformed("zip: no local header where one is due", offset=at)
    _, _, flags, method, clock, day, crc, packed, size, n, x = _LOCAL.unpack_from(view.mem(at, 30))
    extra = extras(view.take(at + 30 + n, x))
    size, packed, _ = _wide(extra, size, packed, 0)
    return Item(
        at=at,
        end=at + 30 + n + x,
        flags=flags,
        method=method,
        time=day << 16 | clock,
        crc=crc,
        packed=packed,
        size=size,
        name=view.take(at + 30, n),
        extra=extra,
    )


def extras(data: bytes) -> dict[int, bytes]:
    """Extra fields by their header id (4.5); the first of an id counts, and what breaks the grammar is left out."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        kind, size = struct.unpack_from("<HH", data, at)
        found.setdefault(kind, data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def _wide(extra: dict[int, bytes], size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The ZIP64 extra field (4.5.3) holds, in this order, those of the three that do not fit their own fields."""
    field = extra.get(1, b"")
    values = []
    for value in (size, packed, offset):
        if value == _FULL32 and len(field) >= 8:
            values.append(int.from_bytes(field[:8], "little"))
            field = field[8:]
        else:
            values.append(value)
    return values[0], values[1], values[2]


def descriptor(view: View, at: int, item: Item) -> int:
    """Bytes of the data descriptor at ``at`` (4.3.9): 12 or 20, 4 more with its signature; 0 where there is none."""
    for signed in (4, 0):
        if signed and not view.startswith(DESCRIPTOR, at):
            continue
        for wide, layout in ((8, "<IQQ"), (4, "<III")):
            length = signed + 4 + 2 * wide
            if at + length <= len(view):
                stored = struct.unpack_from(layout, view.mem(at + signed, length - signed))
                if stored == (item.crc, item.packed, item.size):
                    return length
    return 0


def signing_block(view: View, table: int) -> int:
    """Where the APK signing block that ends at the central directory ``table`` starts, or -1."""
    if table < 32 or not view.startswith(b"APK Sig Block 42", table - 16):
        return -1
    start = table - 8 - view.u64(table - 24)
    return start if 0 <= start < table - 24 and view.u64(start) == view.u64(table - 24) else -1


def unix_time(item: Item) -> int:
    """Modification time in seconds since 1970, or -1: from the extended timestamp where there is one (UTC), else the
    DOS date and time taken as UTC."""
    from datetime import UTC, datetime

    stamp = item.extra.get(0x5455, b"")
    if len(stamp) >= 5 and stamp[0] & 1:
        return int.from_bytes(stamp[1:5], "little", signed=True)
    t = item.time
    try:
        when = datetime(1980 + (t >> 25), t >> 21 & 15, t >> 16 & 31, t >> 11 & 31, t >> 5 & 63, t % 32 * 2, tzinfo=UTC)
    except ValueError:
        return -1
    return int(when.timestamp())
