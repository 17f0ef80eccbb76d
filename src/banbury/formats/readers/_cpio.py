"""The headers of cpio archives, all five forms, and the walk along them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

from msgspec import Struct

from banbury.formats.view import View
from banbury.model.errors import Malformed, Truncated

NEWC, CRC, ODC = b"070701", b"070702", b"070707"
LITTLE, BIG = b"\xc7\x71", b"\x71\xc7"
TRAILER = b"TRAILER!!!"

_NAME_LIMIT = 1 << 16
_NEWC = struct.Struct(">13I")
#: Bytes of zeros that may stand between two archives of one initramfs.
_BETWEEN = 1 << 20
_TYPES = frozenset((0o01, 0o02, 0o04, 0o06, 0o10, 0o12, 0o14))


class Record(Struct, frozen=True, kw_only=True):
    """One header with where its parts are, in bytes of the view. ``field`` is the stored name with its NUL and all
    that follows in its field; ``end`` is where the next header is due."""

    at: int
    magic: bytes
    ino: int
    dev: tuple[int, int]
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    rdev: tuple[int, int]
    check: int
    field: bytes
    name_end: int
    data: int
    size: int
    end: int

    @property
    def name(self) -> bytes:
        return self.field.split(b"\0", 1)[0]

    @property
    def is_trailer(self) -> bool:
        return self.name == TRAILER


def record(view: View, at: int, origin: int) -> Record:
    """The record at ``at`` of an archive that starts at ``origin``.

    Sources: Linux, Documentation/driver-api/early-userspace/buffer-format.rst (newc, crc); POSIX.1-2001, pax,
    "cpio Interchange Format" (odc); FreeBSD, cpio(5) (the old binary form).
    """
    magic = view.take(at, 6)
    if magic in {NEWC, CRC}:
        return _newc(view, at, origin, magic)
    if magic == ODC:
        return _odc(view, at)
    if magic[:2] in {LITTLE, BIG}:
        return _binary(view, at, magic[:2])
    raise Malformed("cpio: no header where one is due", offset=at)


def _newc(view: View, at: int, origin: int, magic: bytes) -> Record:
    try:
        packed = bytes.fromhex(view.take(at + 6, 104).decode("ascii"))
    except ValueError as problem:
        raise Malformed("cpio: a field is not hexadecimal", offset=at) from problem
    if len(packed) != 52:
        raise Malformed("cpio: a field is not hexadecimal", offset=at)
    ino, mode, uid, gid, nlink, mtime, size, d1, d2, r1, r2, length, check = _NEWC.unpack(packed)
    field = _field(view, at + 110, length)
    data = _align(at + 110 + length, origin, 4)
    return Record(
        at=at,
        magic=magic,
        ino=ino,
        dev=(d1, d2),
        mode=mode,
        uid=uid,
        gid=gid,
        nlink=nlink,
        mtime=mtime,
        rdev=(r1, r2),
        check=check,
        field=field,
        name_end=at + 110 + length,
        data=data,
        size=size,
        end=_align(data + size, origin, 4),
    )


def _odc(view: View, at: int) -> Record:
    text = view.take(at + 6, 70)
    if not text.isdigit():
        raise Malformed("cpio: a field is not octal", offset=at)
    cuts = (0, 6, 12, 18, 24, 30, 36, 42, 53, 59, 70)
    try:
        values = [int(text[a:b], 8) for a, b in pairwise(cuts)]
    except ValueError as problem:
        raise Malformed("cpio: a field is not octal", offset=at) from problem
    dev, ino, mode, uid, gid, nlink, rdev, mtime, length, size = values
    field = _field(view, at + 76, length)
    data = at + 76 + length
    return Record(
        at=at,
        magic=ODC,
        ino=ino,
        dev=(0, dev),
        mode=mode,
        uid=uid,
        gid=gid,
        nlink=nlink,
        mtime=mtime,
        rdev=(rdev >> 8, rdev & 255),
        check=0,
        field=field,
        name_end=data,
        data=data,
        size=size,
        end=data + size,
    )


def _binary(view: View, at: int, magic: bytes) -> Record:
    values = struct.unpack(">13H" if magic == BIG else "<13H", view.mem(at, 26))
    _, dev, ino, mode, uid, gid, nlink, rdev, time_high, time_low, length, size_high, size_low = values
    size = size_high << 16 | size_low
    field = _field(view, at + 26, length)
    data = at + 26 + length + (length & 1)
    return Record(
        at=at,
        magic=magic,
        ino=ino,
        dev=(0, dev),
        mode=mode,
        uid=uid,
        gid=gid,
        nlink=nlink,
        mtime=time_high << 16 | time_low,
        rdev=(rdev >> 8, rdev & 255),
        check=0,
        field=field,
        name_end=at + 26 + length,
        data=data,
        size=size,
        end=data + size + (size & 1),
    )


def _field(view: View, at: int, length: int) -> bytes:
    if not 0 < length <= _NAME_LIMIT:
        raise Malformed(f"cpio: a name of {length} bytes", offset=at)
    field = view.take(at, length)
    if field[-1]:
        raise Malformed("cpio: a name without its NUL", offset=at)
    return field


def _align(at: int, origin: int, size: int) -> int:
    return at + (origin - at) % size


def walk(view: View, origin: int) -> Iterator[Record]:
    """Every record from ``origin`` on, trailers included. Where another archive follows a trailer (and zeros), its
    records follow: Linux unpacks them as one (buffer-format.rst). Raises ``Malformed`` or ``Truncated`` at the first
    header that cannot be read, and ``Truncated`` after a record whose content is cut short.
    """
    at = origin
    while True:
        item = record(view, at, origin)
        if item.mode >> 12 not in _TYPES and not item.is_trailer:
            raise Malformed(f"cpio: mode {item.mode:#o} is of no file type", offset=at)
        yield item
        if item.data + item.size > len(view):
            raise Truncated("cpio: the content is cut short", offset=item.data)
        at = min(item.end, len(view))
        if item.is_trailer:
            following = _next_archive(view, at, origin, item.magic)
            if following < 0:
                return
            at = following


def _next_archive(view: View, at: int, origin: int, magic: bytes) -> int:
    if at < len(view) and not view.u8(at):
        at += view.run(at, min(len(view), at + _BETWEEN))
    if magic not in {NEWC, CRC} or (at - origin) % 4:
        return -1
    return at if view.startswith(NEWC, at) or view.startswith(CRC, at) else -1
