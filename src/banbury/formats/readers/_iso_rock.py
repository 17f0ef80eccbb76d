"""Rock Ridge: POSIX names, modes, owners, links and devices in the system use fields of ISO 9660.

Source: IEEE P1281 (System Use Sharing Protocol 1.12), IEEE P1282 (Rock Ridge Interchange Protocol 1.12).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from msgspec import Struct

from banbury.formats.contract import Sink
from banbury.formats.readers._iso_volume import short_time
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Role

_MOST_AREAS = 32  # continuation areas of one record


class Posix(Struct):
    """What the fields of one record say; -1, empty or ``None`` where they say nothing."""

    name: bytes = b""
    mode: int = -1
    links: int = 1
    uid: int = -1
    gid: int = -1
    serial: int = -1
    mtime: int = -1
    link: bytes = b""
    rdev: tuple[int, int] | None = None
    child: int = -1  # where a relocated directory stands, in blocks
    relocated: bool = False
    zisofs: bool = False


class Rock:
    """Reads system use fields. ``skip`` is what the root's "SP" field says; without one there is no Rock Ridge."""

    def __init__(self, view: View, block: int, sink: Sink) -> None:
        self.view, self.block, self.sink = view, block, sink
        self.skip = -1
        self.left = 4 * len(view) + (1 << 20)  # bytes of continuation areas: shared ones would be quadratic

    def start(self, system: bytes) -> None:
        """Look for "SP" in the root directory's own record (SUSP 5.3)."""
        if system[:2] == b"SP" and len(system) >= 7 and system[4:6] == b"\xbe\xef":
            self.skip = system[6]

    def _fields(self, system: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(signature, data) of every field, those of continuation areas included."""
        for _ in range(_MOST_AREAS):
            at, following = 0, None
            while at + 4 <= len(system) and system[at + 2] >= 4:
                length = system[at + 2]
                sort, data = system[at : at + 2], system[at + 4 : at + length]
                at += length
                if sort == b"ST":
                    break
                if sort == b"CE" and len(data) >= 24:
                    following = data
                elif len(data) == length - 4:
                    yield sort, data
            if following is None:
                return
            system = self._area(following)
        raise Malformed("system use fields go on and on")

    def _area(self, data: bytes) -> bytes:
        block, offset, length = struct.unpack_from("<I4xI4xI", data)
        start = block * self.block + offset
        self.left -= length + 64
        if self.left < 0 or length > 65536:
            raise Malformed("continuation areas of system use fields are too large")
        self.sink.own(start, start + length, Role.TABLE, "system use fields")
        return self.view.take(start, length)

    def read(self, system: bytes) -> Posix:
        """The POSIX attributes of a record. Raises ``Malformed``."""
        out = Posix()
        if self.skip < 0:
            return out
        target = _Target()
        for sort, data in self._fields(system[self.skip :]):
            if sort == b"PX" and len(data) >= 32:
                out.mode, out.links, out.uid, out.gid = struct.unpack_from("<I4xI4xI4xI", data)
                if len(data) >= 40:
                    out.serial = struct.unpack_from("<I", data, 32)[0]
            elif sort == b"NM" and data and not data[0] & 6:
                out.name += data[1:]
            elif sort == b"SL" and data:
                target.add(data)
            elif sort == b"PN" and len(data) >= 16:
                high, low = struct.unpack_from("<I4xI", data)
                out.rdev = _device(high, low)
            elif sort == b"TF" and data:
                out.mtime = _modified(data)
            elif sort == b"CL" and len(data) >= 8:
                out.child = struct.unpack_from("<I", data)[0]
            out.relocated |= sort == b"RE"
            out.zisofs |= sort == b"ZF"
        out.link = target.text()
        return out


def _device(high: int, low: int) -> tuple[int, int]:
    """(major, minor): the two halves, or glibc's dev_t where the high half is empty (as mkisofs writes it)."""
    if high:
        return high, low
    return low >> 8 & 0xFFF, low & 0xFF | low >> 12 & 0xFFF00


def _modified(data: bytes) -> int:
    """The time of modification in a "TF" field (RRIP 4.1.6); the long form is read to its seconds."""
    flags, at = data[0], 1
    size = 17 if flags & 0x80 else 7
    if not flags & 2:
        return -1
    at += size * (flags & 1)
    raw = data[at : at + size]
    if size == 7:
        return short_time(raw)
    try:
        numbers = [int(raw[i:j]) for i, j in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))]
    except ValueError:
        return -1
    year = numbers[0] - 1900
    return short_time(bytes([year, *numbers[1:], raw[16]])) if 0 <= year < 256 and len(raw) == 17 else -1


class _Target:
    """Puts a symbolic link together from its components (RRIP 4.1.3)."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.open = False

    def add(self, data: bytes) -> None:
        at = 1
        while at + 2 <= len(data):
            flags, length = data[at], data[at + 1]
            text = data[at + 2 : at + 2 + length]
            text = {2: b".", 4: b"..", 8: b""}.get(flags & 14, text)
            if self.open and self.parts:
                self.parts[-1] += text
            else:
                self.parts.append(text)
            self.open = bool(flags & 1)
            at += 2 + length

    def text(self) -> bytes:
        if self.parts == [b""]:
            return b"/"
        return b"/".join(self.parts)
