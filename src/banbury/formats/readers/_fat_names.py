"""FAT directory records: short names, VFAT long names, times.

Source: Microsoft, FAT32 File System Specification 1.03 (2000), sections "FAT Directory Structure" and "Long Names".
"""

from __future__ import annotations

import calendar
import struct

from msgspec import Struct

_RECORD = struct.Struct("<11sBBBHHHHHHHI")
_LONG, _LABEL, _DIR = 0x0F, 0x08, 0x10


class Record(Struct, frozen=True):
    """A file, directory or label. ``name`` is UTF-8 (lone surrogates as their three bytes)."""

    name: bytes
    directory: bool
    label: bool
    cluster: int
    size: int
    mtime: int


class Listing(Struct):
    """What one directory holds, and what stands in it that nobody lists."""

    records: list[Record]
    deleted: int = 0
    orphans: int = 0  # long names whose checksum fits no file
    behind: int = 0  # bytes behind the end mark that are not zero
    dots: tuple[int, int] = (-1, -1)  # the clusters that "." and ".." name


def short_sum(name: bytes) -> int:
    """The checksum of a short name that its long name's records carry."""
    total = 0
    for byte in name:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total


def _short(raw: bytes, case: int) -> bytes:
    """A short name as Linux shows it: code page 437, lower case where the record says so."""
    if raw[:1] == b"\x05":
        raw = b"\xe5" + raw[1:]
    base, extension = raw[:8].rstrip(b" ").decode("cp437"), raw[8:].rstrip(b" ").decode("cp437")
    base = base.lower() if case & 8 else base
    extension = extension.lower() if case & 16 else extension
    return (f"{base}.{extension}" if extension else base).encode()


def _time(date: int, time: int) -> int:
    """Seconds since 1970; FAT states no time zone, so the stored time counts as UTC."""
    if not date:
        return -1
    year, month, day = 1980 + (date >> 9), date >> 5 & 15, date & 31
    return calendar.timegm((year, max(1, min(month, 12)), max(day, 1), time >> 11, time >> 5 & 63, (time & 31) * 2))


class _Long:
    """Collects the records of one long name, which stand before their file in reverse order."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.expect = 0
        self.sum = -1

    def add(self, record: bytes) -> bool:
        """Take a record; false where it follows on nothing (and an unfinished name is lost)."""
        number, lost = record[0], bool(self.parts)
        if number & 0x40:
            self.parts, self.expect, self.sum = [], number & 0x3F, record[13]
        elif not self.parts or number != self.expect - 1 or record[13] != self.sum:
            self.clear()
            return False
        else:
            self.expect, lost = number, False
        self.parts.append(record[1:11] + record[14:26] + record[28:32])
        return not lost

    def take(self, short: bytes) -> bytes | None:
        """The name where it is complete and belongs to ``short``; else ``None``."""
        good = self.parts and self.expect == 1 and self.sum == short_sum(short)
        raw = b"".join(reversed(self.parts))
        self.clear()
        if not good:
            return None
        units = raw.decode("utf-16-le", "surrogatepass").split("\0", 1)[0]
        return units.encode("utf-8", "surrogatepass")

    def clear(self) -> None:
        self.parts, self.expect, self.sum = [], 0, -1


def listing(data: bytes) -> Listing:
    """Every record of a directory up to its end mark."""
    out = Listing([])
    long = _Long()
    dots = [-1, -1]
    for at in range(0, len(data) - 31, 32):
        raw, attributes, case, _, _, _, _, high, time, date, low, size = _RECORD.unpack_from(data, at)
        if raw[0] == 0:
            rest = data[at:]
            out.behind = len(rest.rstrip(b"\0"))
            break
        if raw[0] == 0xE5:
            out.deleted += 1
            out.orphans += bool(long.parts)
            long.clear()
        elif attributes & 0x3F == _LONG:
            out.orphans += not long.add(data[at : at + 32])
        else:
            had = bool(long.parts)
            name = long.take(raw)
            out.orphans += had and name is None
            cluster = low | high << 16
            if raw.rstrip(b" ") in {b".", b".."}:
                dots[len(raw.rstrip(b" ")) - 1] = cluster
                continue
            label = bool(attributes & _LABEL)
            shown = raw.rstrip(b" ").decode("cp437").encode() if label else name or _short(raw, case)
            out.records.append(Record(shown, bool(attributes & _DIR), label, cluster, size, _time(date, time)))
    out.orphans += bool(long.parts)
    out.dots = (dots[0], dots[1])
    return out
