"""FAT's boot sector and allocation table.

Source: Microsoft, FAT32 File System Specification 1.03 (2000), sections "Boot Sector and BPB" and "FAT Data Structure".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from banbury.formats.view import View
from banbury.model.errors import Malformed

END, BROKEN = -1, -2
Table = npt.NDArray[np.int64]


class Boot(Struct, frozen=True, kw_only=True):
    """The geometry. Places and sizes in bytes; ``clusters`` is a count, the first has number 2."""

    bits: int
    sector: int
    cluster: int
    table: int
    table_size: int
    tables: int
    root: int  # FAT12/16: where the root directory stands
    root_size: int
    root_cluster: int  # FAT32
    data: int
    clusters: int
    length: int
    media: int
    info: int
    backup: int
    label: bytes
    named: bool


def read_boot(view: View, start: int) -> Boot:
    """Raises ``Malformed`` where the sector's fields cannot be those of a FAT file system."""

    def u16(at: int) -> int:
        return view.u16(start + at)

    sector, per, reserved, tables = u16(11), view.u8(start + 13), u16(14), view.u8(start + 16)
    entries, media = u16(17), view.u8(start + 21)
    size16, total16, total32 = u16(22), u16(19), view.u32(start + 32)
    wide = size16 == 0
    table_sectors = view.u32(start + 36) if wide else size16
    total = total16 or total32
    if (
        view.u8(start) not in {0xEB, 0xE9}
        or sector not in {512, 1024, 2048, 4096}
        or not per
        or per & (per - 1)
        or not reserved
        or tables not in {1, 2}
        or not (media == 0xF0 or media >= 0xF8)
        or not table_sectors
        or bool(entries) == wide
        or entries * 32 % sector
    ):
        raise Malformed("no FAT boot sector", offset=start)
    root = reserved + tables * table_sectors
    data = root + entries * 32 // sector
    clusters = (total - data) // per
    bits = 32 if wide else 12 if clusters < 4085 else 16
    root_cluster = view.u32(start + 44) if wide else 0
    if clusters < 1 or (clusters + 2) * bits > table_sectors * sector * 8 or clusters > 0x0FFFFFF5:
        raise Malformed("the table and the clusters of a FAT boot sector contradict one another", offset=start)
    name = start + (82 if wide else 54)
    return Boot(
        bits=bits,
        sector=sector,
        cluster=per * sector,
        table=reserved * sector,
        table_size=table_sectors * sector,
        tables=tables,
        root=root * sector,
        root_size=entries * 32,
        root_cluster=root_cluster,
        data=data * sector,
        clusters=clusters,
        length=total * sector,
        media=media,
        info=u16(48) * sector if wide and 0 < u16(48) < reserved else 0,
        backup=u16(50) * sector if wide and 0 < u16(50) < reserved else 0,
        label=view.take(start + (71 if wide else 43), 11),
        named=view.startswith(b"FAT", name),
    )


def first_entry(view: View, start: int, boot: Boot) -> bool:
    """Whether the table begins as it must: the media byte, then ones."""
    at = start + boot.table
    if boot.bits == 32:
        return view.u32(at) & 0x0FFFFFFF == 0x0FFFFF00 | boot.media
    if boot.bits == 16:
        return view.u16(at) == 0xFF00 | boot.media
    return view.u16(at) & 0xFFF == 0xF00 | boot.media


class Fat:
    """The allocation table as an array by cluster number: the next cluster, ``END`` or ``BROKEN``."""

    def __init__(self, view: View, boot: Boot) -> None:
        count = boot.clusters + 2
        raw = self._raw(view, boot, count)
        end = (1 << boot.bits) - 8 if boot.bits < 32 else 0x0FFFFFF8
        self.free = raw == 0
        self.next: Table = np.where((raw >= 2) & (raw < count), raw, BROKEN)
        self.next[raw >= end] = END
        self.breaks = np.flatnonzero(self.next != np.arange(1, count + 1))

    @staticmethod
    def _raw(view: View, boot: Boot, count: int) -> Table:
        if boot.bits == 12:
            data = np.frombuffer(view.mem(boot.table, -(-count // 2) * 3), np.uint8).reshape(-1, 3).astype(np.int64)
            even = data[:, 0] | (data[:, 1] & 15) << 8
            odd = data[:, 1] >> 4 | data[:, 2] << 4
            return np.stack((even, odd), axis=1).reshape(-1)[:count]
        if boot.bits == 16:
            return np.frombuffer(view.mem(boot.table, count * 2), "<u2").astype(np.int64)
        return np.frombuffer(view.mem(boot.table, count * 4), "<u4").astype(np.int64) & 0x0FFFFFFF

    def run(self, cluster: int) -> tuple[int, int]:
        """How many clusters from ``cluster`` on follow one another, and what comes after the last of them."""
        last = int(self.breaks[np.searchsorted(self.breaks, cluster)])
        return last - cluster + 1, int(self.next[last])
