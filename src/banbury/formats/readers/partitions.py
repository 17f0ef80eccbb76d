"""Disk images with a partition table: MBR (with extended partitions) and GPT."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._gpt import Gpt, Slot, read_gpt
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

_SECTOR = 512
_TABLE = 446
_EXTENDED = {0x05, 0x0F, 0x85}
_PROTECTIVE = 0xEE
_TYPES = {
    0x01: "FAT12",
    0x04: "FAT16",
    0x06: "FAT16",
    0x07: "NTFS or exFAT",
    0x0B: "FAT32",
    0x0C: "FAT32",
    0x0E: "FAT16",
    0x81: "Minix",
    0x82: "Linux swap",
    0x83: "Linux",
    0x8E: "Linux LVM",
    0xA5: "FreeBSD",
    0xDA: "data",
    0xEF: "EFI system",
    0xFD: "Linux RAID",
}


class _Record(Struct, frozen=True):
    """One of the four records of a table; ``start`` and ``count`` are in sectors."""

    flag: int
    sort: int
    start: int
    count: int


def _records(view: View, at: int) -> list[_Record]:
    """The four records of the sector at ``at``. Raises ``Malformed`` where it is no table."""
    if not view.startswith(b"\x55\xaa", at + 510):
        raise Malformed("no signature at the end of the sector", offset=at + 510)
    out = []
    for i in range(4):
        here = at + _TABLE + 16 * i
        flag, sort = view.u8(here), view.u8(here + 4)
        if flag not in {0, 0x80}:
            raise Malformed(f"a boot flag of {flag:#x}", offset=here)
        out.append(_Record(flag, sort, view.u32(here + 8), view.u32(here + 12)))
    return out


def _plausible(records: Sequence[_Record], sectors: int) -> bool:
    """Whether there are partitions, all start inside and behind the table, and none overlaps another."""
    used = sorted((r for r in records if r.sort), key=lambda r: r.start)
    if not used or any(not r.start or not r.count or r.start >= sectors for r in used):
        return False
    if any((r.start or r.count) and not r.sort for r in records) or sum(r.flag == 0x80 for r in records) > 1:
        return False
    return all(a.start + a.count <= b.start for a, b in pairwise(used))


def _is_file_system(view: View) -> bool:
    """Whether the first sector is the boot sector of a FAT, NTFS or exFAT file system rather than a table."""
    return any(
        view.startswith(pattern, at) for pattern, at in ((b"FAT", 54), (b"FAT", 82), (b"NTFS    ", 3), (b"EXFAT   ", 3))
    )


class PartitionsReader(Reader):
    """Each partition is a member that stands verbatim in the image."""

    name = "partitions"
    title = "Partitioned disk image (MBR, GPT)"
    version = 1
    magics = (Magic(b"\x55\xaa", 510), Magic(b"EFI PART", 512), Magic(b"EFI PART", 4096))
    carve = False
    references = (
        "UEFI Specification 2.10, section 5 (GUID Partition Table)",
        "Microsoft, Hard Disks and File Systems (MBR)",
    )
    limitations = (
        "An MBR is read with sectors of 512 bytes; other tables (BSD label, Apple, LVM) are not read.",
        "Only claimed where a blob starts: a table carved from the middle of an image would be guesswork.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        window = view.sub(start, len(view) - start)
        if _is_file_system(window):
            return None
        gpt = read_gpt(window)
        if gpt is not None:
            return Extent(len(window), sure=True)
        records = _records(window, 0)
        sectors = len(window) // _SECTOR
        if not _plausible(records, sectors) or any(r.sort == _PROTECTIVE for r in records):
            return None
        whole = all(r.start + r.count <= sectors for r in records if r.sort)
        return Extent(len(window), sure=whole)

    def read(self, view: View, sink: Sink) -> None:
        image = _Image(view, sink)
        gpt = read_gpt(view)
        if gpt is None:
            image.mbr()
        else:
            image.gpt(gpt)
        image.gaps()


class _Image:
    def __init__(self, view: View, sink: Sink) -> None:
        self.view, self.sink = view, sink
        self.taken: list[tuple[int, int]] = []

    def own(self, start: int, end: int, role: Role, name: str) -> None:
        self.sink.own(start, end, role, name)
        self.taken.append((start, end))

    def partition(self, number: int, start: int, length: int, text: str) -> None:
        """Add a partition of ``length`` bytes; one that is cut short is noted."""
        path = f"partition-{number}"
        end = min(start + length, len(self.view))
        start = min(start, end)
        if end - start < length:
            self.sink.note("truncated", f"{end - start} of {length} bytes are there", path=path, start=start, end=end)
        self.sink.property(path, text)
        self.sink.slice(Entry(path=path, kind=Kind.FILE, size=length), start, end)
        self.taken.append((start, end))

    def boot_code(self) -> None:
        """The first sector: code (a member where there is any) and the table."""
        code = self.view.run(0, 440)
        if code < 440:
            self.sink.slice(Entry(path="boot-code", kind=Kind.FILE, size=440), 0, 440)
            self.taken.append((0, 440))
        self.own(440, _SECTOR, Role.HEADER, "partition table")

    def mbr(self) -> None:
        records = _records(self.view, 0)
        self.boot_code()
        self.sink.property("disk id", f"{self.view.u32(440):08x}")
        for number, record in enumerate(records, 1):
            if not record.sort:
                continue
            if record.sort in _EXTENDED:
                self._extended(record)
            else:
                self._add(number, record.start, record)

    def _add(self, number: int, start: int, record: _Record) -> None:
        name = _TYPES.get(record.sort, "type")
        boot = ", bootable" if record.flag else ""
        text = f"{name} ({record.sort:#04x}){boot}, from sector {start}, {record.count} sectors"
        self.partition(number, start * _SECTOR, record.count * _SECTOR, text)

    def _extended(self, outer: _Record) -> None:
        """The chain of tables in an extended partition: each names one partition and the next table."""
        at, number = outer.start, 5
        seen: set[int] = set()
        while True:
            if at in seen or not outer.start <= at < outer.start + outer.count:
                self.sink.note("loop", f"the chain of extended partitions returns to sector {at}", start=at * _SECTOR)
                return
            seen.add(at)
            try:
                first, second, *_ = _records(self.view, at * _SECTOR)
            except Malformed as problem:
                self.sink.note("malformed", f"extended partition: {problem}", start=at * _SECTOR)
                return
            self.own(at * _SECTOR + _TABLE, (at + 1) * _SECTOR, Role.HEADER, "extended partition table")
            if first.sort and first.count:
                self._add(number, at + first.start, first)
                number += 1
            if not second.sort or number > 1024:
                return
            at = outer.start + second.start

    def gpt(self, gpt: Gpt) -> None:
        self.boot_code()
        for start, end, name in gpt.regions:
            self.own(start, end, Role.HEADER if "header" in name else Role.TABLE, name)
        for code, detail in gpt.notes:
            self.sink.note(code, detail)
        self.sink.property("disk guid", gpt.guid)
        self.sink.property("sector size", f"{gpt.sector} bytes")
        for slot in gpt.slots:
            text = f"{slot.sort}, {slot.name!r}, from sector {slot.first}, {slot.last - slot.first + 1} sectors"
            self.partition(slot.number, slot.first * gpt.sector, (slot.last - slot.first + 1) * gpt.sector, text)
        self._hybrid(gpt.slots)

    def _hybrid(self, slots: Sequence[Slot]) -> None:
        """An MBR beside a GPT should hold one record that covers the disk; others are read by old firmware only."""
        try:
            records = [r for r in _records(self.view, 0) if r.sort]
        except Malformed as problem:
            self.sink.note("mismatch", f"the protective MBR: {problem}")
            return
        same = {(s.first, s.last - s.first + 1) for s in slots}
        others = [r for r in records if r.sort != _PROTECTIVE and (r.start, r.count) not in same]
        if others or len(records) == len(others):
            self.sink.note("mismatch", f"the MBR names {len(others)} partitions that the GPT does not, or none")

    def gaps(self) -> None:
        """Note partitions that overlap, and bytes between them that are not constant."""
        position, count, total, first, overlaps = 0, 0, 0, -1, 0
        for start, end in [*sorted(self.taken), (len(self.view), len(self.view))]:
            if position < start and self.view.run(position, start) < start - position:
                count += 1
                total += start - position
                first = position if first < 0 else first
            overlaps += start < position and start < end
            position = max(position, end)
        if overlaps:
            self.sink.note("overlap", f"{overlaps} partitions or tables overlap what stands before them")
        if count:
            self.sink.note(
                "hidden", f"{count} gaps between partitions ({total} bytes) are not constant fill", start=first
            )


READERS: list[Reader] = [PartitionsReader()]
