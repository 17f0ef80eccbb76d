"""UBI: the volumes that an attached image has.

Every eraseblock has an erase counter and belongs to a volume of the table, once, or is erased; all headers' checksums
are right and everything between them is erased flash. The volume table and the volumes' contents are exact; erase
counters, the image's number, sequence numbers and the order of eraseblocks are free. Two blocks for one place of a
volume, of which the newer counts, fastmaps, and volumes in the middle of an update are refused.

Sources: Linux ``drivers/mtd/ubi/ubi-media.h``, ``attach.c``, ``vtbl.c``; mtd-utils ``ubinize``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._filesystem import constant, whole
from banbury.compare.equivalence.containers.contract import Comparator, Place, Spool, Work
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.tree import Node, Tree, compare_trees
from banbury.formats.view import Buffer, View

MAGIC: Final = b"UBI#"
_COUNTER: Final = struct.Struct(">4sB3sQIII32sI")
_VOLUME: Final = struct.Struct(">4sBBBBII4sIIII4sQ12sI")
_RECORD: Final = struct.Struct(">IIIBBH128sB23sI")
_LAYOUT: Final = 0x7FFFEFFF
_SMALLEST: Final = 512  # bytes of an eraseblock
_ROWS: Final = 128
_DYNAMIC, _STATIC = 1, 2
_ERASED: Final = b"\xff"


class _Block(Struct, frozen=True):
    """A mapped eraseblock: where it stands and what its volume header states."""

    at: int
    sort: int
    volume: int
    size: int
    used: int
    pad: int
    check: int


class _Row(Struct, frozen=True):
    """A volume of the table."""

    reserved: int
    alignment: int
    pad: int
    sort: int
    name: bytes
    flags: int


class _Image:
    """One image, read to its last byte by the constructor."""

    def __init__(self, view: View, base: int, spool: Spool) -> None:
        self.view, self.base, self.spool = view, base, spool
        self.peb = self._size()
        self.counters: list[int] = []
        self.numbers: set[int] = set()
        self.places: set[tuple[int, int]] = set()
        self.blocks: dict[int, dict[int, _Block]] = {}
        self.erased = 0
        for at in range(0, len(view), self.peb):
            self._block(at)
        if len(self.numbers) > 1 or len(self.places) != 1:
            raise Refused("image", "eraseblocks of several images or layouts")
        ((_, self.data),) = self.places
        self.leb = self.peb - self.data
        self.rows = self._table()
        if set(self.blocks) - {_LAYOUT} != {n for n in self.blocks if n in self.rows}:
            raise Refused("image", "eraseblocks of a volume that the table does not have")

    def _size(self) -> int:
        """The size of an eraseblock: the smallest at whose multiples headers stand, up to where all is erased."""
        size, total = _SMALLEST, len(self.view)
        end = _written(self.view)
        while size < total:
            if total % size == 0 and all(self.view.startswith(MAGIC, at) for at in range(0, end, size)):
                return size
            size *= 2
        return total

    def _block(self, at: int) -> None:
        view, end = self.view, at + self.peb
        if view.startswith(_ERASED, at):
            constant(view, at, end, (0xFF,), f"eraseblock at {at}")
            self.erased += 1
            return
        where = [Range(at, at + 64)]
        magic, version, unused, count, second, data, number, unused2, check = view.unpack(_COUNTER, at)
        if magic != MAGIC or version != 1 or unused != bytes(3) or unused2 != bytes(32):  # type: ignore[comparison-overlap]
            raise Refused(f"eraseblock at {at}", "no header of version 1, or reserved bytes in use", where)
        if not 64 <= second <= data - 64 < self.peb - 64 or count >> 30:
            raise Refused(f"eraseblock at {at}", "headers outside of it, or erased too often", where)
        _checked(view, at, check)
        self.counters.append(count)
        self.numbers.add(number)
        self.places.add((second, data))
        constant(view, at + 64, at + second, (0xFF, 0), f"eraseblock at {at}")
        if view.startswith(_ERASED, at + second):
            constant(view, at + second, end, (0xFF,), f"eraseblock at {at}")
            self.erased += 1
            return
        constant(view, at + second + 64, at + data, (0xFF, 0), f"eraseblock at {at}")
        self._mapped(at, at + second, at + data)

    def _mapped(self, at: int, header: int, data: int) -> None:
        where = [Range(header, header + 64)]
        f = self.view.unpack(_VOLUME, header)
        magic, version, sort, copy, compat, volume, number, unused, size, used, pad, check, unused2, sequence = f[:14]
        _checked(self.view, header, f[15])
        reserved = unused != bytes(4) or unused2 != bytes(4) or f[14] != bytes(12)  # type: ignore[comparison-overlap]
        if magic != b"UBI!" or version != 1 or reserved:  # type: ignore[comparison-overlap]
            raise Refused(f"eraseblock at {at}", "no header of version 1, or reserved bytes in use", where)
        if sequence >> 62:  # Linux counts on from it; what overflows is older than this block
            raise Refused(f"eraseblock at {at}", "a sequence number near the end of its range", where)
        if copy or sort not in (_DYNAMIC, _STATIC) or compat != (5 if volume == _LAYOUT else 0):
            raise Refused(f"eraseblock at {at}", "a moved copy, or a volume of the driver's own", where)
        if sort == _DYNAMIC and (size or used or check):
            raise Refused(f"eraseblock at {at}", "a dynamic volume with sizes or checksums", where)
        found = self.blocks.setdefault(volume, {})
        if number in found:
            raise Refused(f"eraseblock at {at}", "a place of its volume that another has too", where)
        found[number] = _Block(data, sort, volume, size, used, pad, check)

    # The table of volumes

    def _table(self) -> dict[int, _Row]:
        copies = self.blocks.get(_LAYOUT, {})
        if set(copies) != {0, 1} or any(b.sort != _DYNAMIC or b.pad for b in copies.values()):
            raise Refused("volume table", "is not there twice")
        count = min(_ROWS, self.leb // _RECORD.size)
        size = count * _RECORD.size
        one, other = (self.view.take(copies[i].at, size) for i in (0, 1))
        if one != other:
            raise Refused("volume table", "two that differ")
        for block in copies.values():
            constant(self.view, block.at + size, block.at + self.leb, (0xFF, 0), "volume table")
        out = {}
        for number in range(count):
            row = self._row(one[number * _RECORD.size : (number + 1) * _RECORD.size], number)
            if row is not None:
                out[number] = row
        if len({row.name for row in out.values()}) != len(out):
            raise Refused("volume table", "two volumes of one name")
        return out

    def _row(self, raw: bytes, number: int) -> _Row | None:
        reserved, alignment, pad, sort, update, length, name, flags, unused, check = _RECORD.unpack(raw)
        if zlib.crc32(raw[:-4]) ^ 0xFFFFFFFF != check:
            raise Refused(f"volume {number}", "its checksum is wrong")
        if not raw[:-4].strip(b"\0"):
            return None
        if unused != bytes(23) or name[length:].strip(b"\0") or not 0 < length < 128 or b"\0" in name[:length]:
            raise Refused(f"volume {number}", "reserved bytes in use, or a name that is none")
        if update or sort not in (_DYNAMIC, _STATIC) or not alignment or pad != self.leb % alignment or flags & ~3:
            raise Refused(f"volume {number}", "in the middle of an update, or with fields that contradict each other")
        return _Row(reserved, alignment, pad, sort, name[:length], flags)

    def tree(self) -> Tree:
        """The volumes by name, each with what the table says of it."""
        out = Tree()
        for number, row in sorted(self.rows.items(), key=lambda item: item[1].name):
            attributes: dict[str, object] = {
                "number": number, "eraseblocks": row.reserved, "alignment": row.alignment, "flags": row.flags,
                "volume type": "static" if row.sort == _STATIC else "dynamic",
            }  # fmt: skip
            out.add(Node(name=row.name, kind="volume", attributes=attributes, place=self.content(number)))
        return out

    # Contents

    def content(self, number: int) -> Place:
        """A volume's content: erased flash at its end is left out, but for what fills a block of UBIFS."""
        row, blocks = self.rows[number], self.blocks.get(number, {})
        where = f"volume {row.name.decode('latin-1')}"
        if any(b.sort != row.sort or b.pad != row.pad for b in blocks.values()):
            raise Refused(where, "eraseblocks of another type than the table says")
        if blocks and max(blocks) >= row.reserved:
            raise Refused(where, "more eraseblocks than are reserved for it")
        if row.sort == _STATIC:
            return self.spool.put(self._static(blocks, where))
        count = max(blocks, default=-1) + 1
        if count > 4 * (len(self.view) // self.peb) + 64:
            raise Refused(where, "eraseblocks that are far apart")
        return self.spool.put(self._dynamic(blocks, count, self.leb - row.pad))

    def _static(self, blocks: dict[int, _Block], where: str) -> Iterator[Buffer]:
        if set(blocks) != set(range(len(blocks))):
            raise Refused(where, "eraseblocks that are missing")
        for number, block in sorted(blocks.items()):
            data = self.view.mem(block.at, min(block.size, self.leb))
            full = self.leb - block.pad
            if block.used != len(blocks) or not 0 < block.size <= full or zlib.crc32(data) ^ 0xFFFFFFFF != block.check:
                raise Refused(where, "an eraseblock with a wrong size or checksum", [Range(block.at, block.at)])
            if number + 1 < len(blocks) and block.size != full:
                raise Refused(where, "an eraseblock in its middle that is not full", [Range(block.at, block.at)])
            constant(self.view, block.at + block.size, block.at + self.leb, (0xFF, 0), where)
            yield data

    def _dynamic(self, blocks: dict[int, _Block], count: int, size: int) -> Iterator[Buffer]:
        """Content up to the last byte that is not erased; blocks that are not mapped read as erased ones."""
        last, end = -1, 0
        for number in sorted(blocks, reverse=True):
            data = self.view.take(blocks[number].at, size).rstrip(_ERASED)
            if data:
                last, end = number, len(data)
                break
        ubifs = 0 in blocks and self.view.startswith(b"\x31\x18\x10\x06", blocks[0].at)
        for number in range(last + 1):
            block = blocks.get(number)
            length = size if number < last or ubifs else end
            yield self.view.mem(block.at, length) if block else _ERASED * length
        for block in blocks.values():
            constant(self.view, block.at + size, block.at + self.leb, (0xFF, 0), "alignment")


def _written(view: View) -> int:
    """Where the erased flash at the image's end begins."""
    end = len(view)
    while end:
        size = min(end, 1 << 20)
        left = len(view.take(end - size, size).rstrip(_ERASED))
        if left:
            return end - size + left
        end -= size
    return 0


def _checked(view: View, at: int, stated: int) -> None:
    if zlib.crc32(view.mem(at, 60)) ^ 0xFFFFFFFF != stated:
        raise Refused(f"header at {at}", "its checksum is wrong", [Range(at, at + 64)])


def _compare(work: Work) -> None:
    one, other = (_Image(view, place.start, work.spool) for view, place in work.sides)
    work.exactly(
        "image",
        {"eraseblock": one.peb, "headers": sorted(one.places)},
        {"eraseblock": other.peb, "headers": sorted(other.places)},
    )
    spans = whole(work)
    if one.numbers != other.numbers:
        work.account.explain("ubi.number", *spans)
    if (sorted(one.counters), one.erased) != (sorted(other.counters), other.erased):
        work.account.explain("ubi.erasures", *spans)
    work.account.explain("ubi.layout", *spans)
    compare_trees(work, *(image.tree() for image in (one, other)), order="ubi.layout")


COMPARATORS: Final = [Comparator(name="ubi", claims=lambda v: v.startswith(MAGIC), compare=_compare)]
