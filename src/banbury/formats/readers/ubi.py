"""UBI, the volume layer over raw flash: logical eraseblocks of named volumes in any order.

Source: Linux drivers/mtd/ubi (ubi-media.h, attach.c, vtbl.c); mtd-utils' ubinize.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.readers._flash import Holes, crc32
from banbury.formats.readers._ubi_headers import (
    AUTORESIZE,
    EC_MAGIC,
    FIRST_INTERNAL,
    HEADER,
    LAYOUT_VOLUME,
    STATIC,
    Identifier,
    Volume,
    counter_at,
    geometry,
    identifier_at,
    is_erased,
    table_size,
    volume_table,
)
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

_INTERNAL: Final = {1: "fastmap superblock", 2: "fastmap data"}


class _Block(Struct, frozen=True, array_like=True):
    """An eraseblock that holds a LEB."""

    pos: int
    head: Identifier


class _Image:
    """The eraseblocks of one UBI image, sorted by what they hold."""

    def __init__(self, view: View, sink: Sink) -> None:
        found = geometry(view, 0)
        first = counter_at(view, 0)
        if found is None or first is None:
            raise Malformed("no UBI erase counter header", offset=0)
        self.view = view
        self.sink = sink
        self.size, self.count = found
        self.first = first
        self.leb = self.size - first.data_offset
        self.blocks: dict[int, dict[int, list[_Block]]] = {}
        self.bad: dict[str, int] = {}
        self.free = self.leftover = 0
        self.dead: list[_Block] = []

    def _spoilt(self, what: str) -> None:
        self.bad[what] = self.bad.get(what, 0) + 1

    def load(self) -> None:
        view, sink = self.view, self.sink
        for pos in range(0, len(view), self.size):
            if pos + self.size > len(view):
                sink.note("truncated", f"{len(view) - pos} of an eraseblock's {self.size} bytes", start=pos)
            if is_erased(view, pos):
                self.free += 1
                continue
            counter = counter_at(view, pos)
            if counter is None or counter.data_offset != self.first.data_offset:
                self._spoilt("erase counter headers")
                continue
            sink.own(pos, pos + HEADER, Role.HEADER, "erase counter header")
            if counter.vid_offset == self.first.vid_offset:
                self._identify(pos)
            else:
                self._spoilt("offsets of the volume identifier header")

    def _identify(self, pos: int) -> None:
        at = pos + self.first.vid_offset
        if is_erased(self.view, at):
            self.free += 1
            if self.view.run(at, min(pos + self.size, len(self.view))) < min(pos + self.size, len(self.view)) - at:
                self.leftover += 1
            return
        head = identifier_at(self.view, at)
        if head is None:
            self._spoilt("volume identifier headers")
            return
        self.sink.own(at, at + HEADER, Role.HEADER, "volume identifier header")
        self.blocks.setdefault(head.volume, {}).setdefault(head.lnum, []).append(_Block(pos, head))

    def data(self, block: _Block, length: int) -> memoryview:
        """Up to ``length`` bytes of a LEB: fewer where there are no more."""
        start = block.pos + self.first.data_offset
        return self.view.mem(min(start, len(self.view)), max(0, min(length, self.leb, len(self.view) - start)))

    def current(self, volume: int) -> dict[int, _Block]:
        """Each LEB's valid copy: the latest, or the one before it where a copy was cut off (its checksum tells)."""
        out: dict[int, _Block] = {}
        for lnum, copies in self.blocks.get(volume, {}).items():
            ordered = sorted(copies, key=lambda b: (b.head.sequence, b.pos), reverse=True)
            best = next((b for b in ordered if self._whole(b)), ordered[0])
            out[lnum] = best
            self.dead += [b for b in ordered if b is not best]
            if len(ordered) > 1 and ordered[0].head.sequence == ordered[1].head.sequence:
                detail = f"two copies of LEB {lnum} of volume {volume} with one sequence number"
                self.sink.note("mismatch", detail, start=ordered[1].pos)
        return out

    def _whole(self, block: _Block) -> bool:
        head = block.head
        return not head.copy or crc32(self.data(block, head.data_size)) == head.data_crc

    def table(self) -> dict[int, Volume] | None:
        """The volume table: of its two copies the first sound one."""
        copies = self.current(LAYOUT_VOLUME)
        tables: list[dict[int, Volume] | None] = []
        for lnum in (0, 1):
            block = copies.get(lnum)
            if block is None:
                continue
            start = block.pos + self.first.data_offset
            size = len(self.data(block, self.leb))
            tables.append(volume_table(self.view, start, size))
            if tables[-1] is None:
                self.sink.note("checksum", f"volume table, copy {lnum}", start=start)
            else:
                self.sink.own(start, start + table_size(size), Role.TABLE, "volume table")
        sound = [t for t in tables if t is not None]
        if len(tables) < 2 or (len(sound) == 2 and sound[0] != sound[1]):
            self.sink.note("mismatch", "the volume table lacks a copy" if len(tables) < 2 else "two volume tables")
        return sound[0] if sound else None


class _Writer:
    """Writes the volumes of an image as members."""

    def __init__(self, image: _Image, table: dict[int, Volume] | None) -> None:
        self.image = image
        self.table = table
        self.names = Names(image.sink)
        self.holes = Holes(image.sink, len(image.view), b"\xff")
        self.stray: list[int] = []

    def write(self) -> None:
        image = self.image
        known = set(self.table or ())
        seen = {v for v in image.blocks if v < FIRST_INTERNAL}
        for number in sorted(known | seen):
            self._volume(number, (self.table or {}).get(number))
        if self.table is not None:
            image.sink.check("volumes in the volume table", len(known), len(known | seen))
        for number in sorted(v for v in image.blocks if v > LAYOUT_VOLUME):
            name = _INTERNAL.get(number - LAYOUT_VOLUME, "internal volume")
            for block in image.current(number).values():
                start = block.pos + image.first.data_offset
                image.sink.own(start, start + len(image.data(block, image.leb)), Role.TABLE, name)
        self.names.finish()

    def _volume(self, number: int, record: Volume | None) -> None:
        image = self.image
        lebs = image.current(number)
        static = next((b.head for b in lebs.values() if b.head.sort == STATIC), None)
        usable = image.leb - (record.data_pad if record else 0)
        if usable <= 0:
            image.sink.note("malformed", f"volume {number} pads its LEBs away")
            return
        # Image writers number LEBs from 0 on; a volume cannot have more than the flash has eraseblocks.
        limit = min(record.reserved if record else 1 << 31, 16 * image.count + 4096)
        beyond = [n for n in lebs if n >= limit]
        for lnum in beyond:
            image.dead.append(lebs.pop(lnum))
        name = record.name if record and record.name else f"vol-{number}".encode()
        shown, raw = clean_name(name)
        if beyond:
            image.sink.note("malformed", f"{len(beyond)} LEBs past the end of volume {number}", path=shown)
        count = max(lebs, default=-1) + 1
        if static is not None:
            image.sink.check(f"LEBs of static volume {shown}", static.used, len(lebs))
            size = sum(b.head.data_size for b in lebs.values())
        else:
            size = count * usable
        self._describe(number, record, shown, len(lebs))
        entry = Entry(path=shown, raw=raw, kind=Kind.FILE, size=size)
        self.names.note(entry)
        if size - len(lebs) * image.leb > 1 << 20:
            detail = f"{count} LEBs of which {len(lebs)} are there; the others read as erased"
            image.sink.note("sparse", detail, path=shown)
        member = image.sink.file(entry, self._pieces(lebs, count, usable, static is not None, shown))
        for block in lebs.values():
            start = block.pos + image.first.data_offset
            length = min(block.head.data_size if static is not None else usable, usable)
            image.sink.own(start, start + len(image.data(block, length)), Role.MEMBER, "content", member)

    def _describe(self, number: int, record: Volume | None, shown: str, mapped: int) -> None:
        sink = self.image.sink
        if record is None:
            if self.table is not None:
                sink.note("mismatch", f"volume {number} is not in the volume table", path=shown)
            return
        words = [
            "static" if record.sort == STATIC else "dynamic",
            f"{record.reserved} LEBs reserved",
            f"{mapped} mapped",
        ]
        if record.flags & AUTORESIZE:
            words.append("autoresize")
        if record.updating:
            sink.note("mismatch", "an update of the volume was cut off", path=shown)
        sink.property(f"volume {number}", f"{shown}: " + ", ".join(words))

    def _pieces(self, lebs: dict[int, _Block], count: int, usable: int, static: bool, path: str) -> Iterator[Buffer]:
        """The LEBs in order. Of a static volume each states its length and checksum; others read erased if missing."""
        wrong = 0
        for lnum in range(count):
            block = lebs.get(lnum)
            if block is None:
                yield from self.holes.fill(usable)
                continue
            data = self.image.data(block, min(block.head.data_size, usable) if static else usable)
            if static and crc32(data) != block.head.data_crc:
                wrong += 1
            yield data
        if wrong:
            self.image.sink.note("checksum", f"{wrong} LEBs of a static volume", path=path)


def _report(image: _Image) -> None:
    sink = image.sink
    for what, count in image.bad.items():
        sink.note("checksum", f"{count} eraseblocks with unreadable {what}")
    if image.leftover:
        sink.note("hidden", f"{image.leftover} free eraseblocks that are not erased")
    for block in image.dead:
        start = block.pos + image.first.data_offset
        sink.own(start, start + len(image.data(block, image.leb)), Role.TABLE, "obsolete eraseblock")
    if image.dead:
        detail = f"{len(image.dead)} obsolete eraseblocks of {len(image.dead) * image.leb} bytes"
        sink.note("hidden", detail, start=image.dead[0].pos)


class Ubi(Reader):
    name = "ubi"
    title = "UBI image"
    version = 1
    magics = (Magic(EC_MAGIC),)
    references = ("Linux drivers/mtd/ubi/ubi-media.h", "Linux drivers/mtd/ubi/attach.c")
    limitations = (
        "a dynamic volume is written up to its last mapped LEB, not to its reserved size",
        "fastmap is owned, not read: the eraseblocks themselves are scanned",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        found = geometry(view, start)
        first = counter_at(view, start)
        if found is None or first is None:
            return None
        size, count = found
        sure = count > 1 or identifier_at(view, start + first.vid_offset) is not None
        return Extent(min(size * count, len(view) - start), sure)

    def read(self, view: View, sink: Sink) -> None:
        image = _Image(view, sink)
        image.load()
        sink.property("eraseblock size", str(image.size))
        sink.property("eraseblocks", f"{-(-len(view) // image.size)}, {image.free} free")
        sink.property("LEB size", str(image.leb))
        sink.property("image sequence number", f"{image.first.image:#010x}")
        table = image.table()
        if table is None:
            sink.note("malformed", "no sound volume table; volumes are named by number")
        _Writer(image, table).write()
        _report(image)


READERS = (Ubi(),)
