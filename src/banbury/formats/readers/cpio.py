"""cpio archives: newc, crc and odc at any place of an image, the old binary form as a whole blob; initramfs too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.readers import _cpio as layout
from banbury.formats.readers._cpio import Record
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed, Truncated
from banbury.model.tree import Entry, Kind, Role

_KINDS = {
    0o01: Kind.FIFO,
    0o02: Kind.CHAR,
    0o04: Kind.DIR,
    0o06: Kind.BLOCK,
    0o10: Kind.FILE,
    0o12: Kind.SYMLINK,
    0o14: Kind.SOCKET,
}
_FORMS = {layout.NEWC: "newc", layout.CRC: "crc", layout.ODC: "odc"}
_BLOCK = 512
_LINK_LIMIT = 4096


class Cpio(Reader):
    """An archive, or several in a row as Linux unpacks them, up to its trailer and the zeros that fill its block."""

    name = "cpio"
    title = "cpio archive (newc, crc, odc)"
    version = 1
    holds_files = None
    magics: ClassVar[Sequence[Magic]] = (Magic(layout.NEWC), Magic(layout.CRC), Magic(layout.ODC))
    references: ClassVar[Sequence[str]] = (
        "Linux, Documentation/driver-api/early-userspace/buffer-format.rst",
        "POSIX.1-2001, pax, cpio Interchange Format",
    )
    limitations = ("An archive without a trailer is read up to its last whole record.",)
    #: Records that must be readable before an archive without a trailer is claimed.
    enough: ClassVar[int] = 1

    def probe(self, view: View, start: int) -> Extent | None:
        end = start
        count = 0
        try:
            for item in layout.walk(view, start):
                count += 1
                end = min(item.end, len(view))
        except Truncated:
            return Extent(len(view) - start) if count >= self.enough else None
        except Malformed:
            return Extent(end - start) if count >= self.enough else None
        fill = (start - end) % _BLOCK
        if end < len(view) and not view.u8(end):
            end += view.run(end, end + fill)
        return Extent(end - start)

    def read(self, view: View, sink: Sink) -> None:
        records: list[tuple[int, Record]] = []
        archive = 0
        closed = False
        problem: Malformed | None = None
        try:
            for item in layout.walk(view, 0):
                records.append((archive, item))
                closed = item.is_trailer
                archive += closed
        except Malformed as met:
            problem = met
        if not records:
            raise problem or Malformed("cpio: an empty archive")
        _Writer(view, sink).write(records)
        sink.property("form", _FORMS.get(records[0][1].magic, "binary"))
        if archive > 1:
            sink.property("archives", str(archive))
        if not closed:
            sink.note("truncated", f"no trailer: {problem}", start=records[-1][1].at)


class CpioBinary(Cpio):
    name = "cpio-binary"
    title = "cpio archive (old binary)"
    magics = (Magic(layout.LITTLE), Magic(layout.BIG))
    carve = False
    references = ("FreeBSD, cpio(5), Old Binary Format",)
    limitations = ("Claimed only at the start of a blob: the magic is two bytes.",)
    enough = 3


class _Writer:
    """Writes records as entries. In the newc form the content of hard links stands with the last of them: the others
    wait for it."""

    def __init__(self, view: View, sink: Sink) -> None:
        self._view = view
        self._sink = sink
        self._names = Names(sink)
        self._holder: dict[tuple[object, ...], tuple[int, str]] = {}
        self._waiting: dict[tuple[object, ...], list[Record]] = {}

    def write(self, records: list[tuple[int, Record]]) -> None:
        full = {_key(archive, item) for archive, item in records if item.nlink > 1 and item.size}
        for archive, item in records:
            self._own(item)
            if item.is_trailer:
                continue
            kind = _KINDS[item.mode >> 12]
            if kind is Kind.FILE:
                self._file(item, _key(archive, item) if item.nlink > 1 else None, full)
            else:
                self._other(item, kind)
        self._names.finish()

    def _own(self, item: Record) -> None:
        view, sink = self._view, self._sink
        sink.own(item.at, item.name_end, Role.HEADER, "cpio header")
        stop = min(item.end, len(view))
        for start, end in ((item.name_end, item.data), (item.data + item.size, stop)):
            if start < end <= len(view) and any(view.mem(start, end - start)):
                sink.note("hidden", "alignment that is not zero", start=start, end=end)
        if any(item.field[len(item.name) :]):
            sink.note("hidden", "bytes behind the NUL of a name", start=item.at, end=item.name_end)

    def _file(self, item: Record, key: tuple[object, ...] | None, full: set[tuple[object, ...]]) -> None:
        if key is not None and not item.size:
            if key in self._holder:
                self._alias(item, self._holder[key])
                return
            if key in full:
                self._waiting.setdefault(key, []).append(item)
                return
        entry = _entry(item, Kind.FILE)
        self._names.note(entry)
        index = self._content(item, entry)
        if key is not None:
            self._holder.setdefault(key, (index, entry.path))
            for other in self._waiting.pop(key, ()):
                self._alias(other, (index, entry.path))

    def _content(self, item: Record, entry: Entry) -> int:
        view, sink = self._view, self._sink
        end = item.data + item.size
        if end > len(view):
            return sink.file(entry, _cut(view, item))
        index = sink.slice(entry, item.data, end)
        if item.magic == layout.CRC:
            found = (
                int(np.frombuffer(view.mem(item.data, item.size), np.uint8).sum(dtype=np.uint32)) if item.size else 0
            )
            sink.check(f"sum of {entry.path}", item.check, found)
            if found != item.check:
                sink.note("checksum", "the sum of the content does not match", path=entry.path)
        return index

    def _alias(self, item: Record, holder: tuple[int, str]) -> None:
        entry = _entry(item, Kind.HARDLINK, link=holder[1])
        self._names.note(entry)
        self._sink.alias(entry, holder[0])

    def _other(self, item: Record, kind: Kind) -> None:
        view, sink = self._view, self._sink
        link = ""
        if kind is Kind.SYMLINK:
            target = view.take(item.data, min(item.size, _LINK_LIMIT, len(view) - item.data))
            link = clean_name(target)[0]
            if item.size > _LINK_LIMIT:
                sink.note("malformed", f"a link target of {item.size} bytes", path=clean_name(item.name)[0])
        entry = _entry(item, kind, link=link)
        self._names.note(entry)
        index = sink.entry(entry)
        if kind is Kind.SYMLINK:
            sink.own(item.data, item.data + min(item.size, _LINK_LIMIT), Role.MEMBER, "link target", index)
        elif item.size:
            sink.note("hidden", f"a {kind} with {item.size} bytes of content", path=entry.path, start=item.data)


def _cut(view: View, item: Record) -> Iterator[Buffer]:
    yield view.rest(item.data)
    raise Truncated(f"{len(view) - item.data} of {item.size} bytes are there", offset=item.data)


def _key(archive: int, item: Record) -> tuple[object, ...]:
    return (archive, item.dev, item.ino)


def _entry(item: Record, kind: Kind, link: str = "") -> Entry:
    shown, raw = clean_name(item.name)
    path = shown.lstrip("/")
    return Entry(
        path=path,
        raw=raw if path == shown else item.name,
        kind=kind,
        size=item.size,
        mode=item.mode & 0o7777,
        uid=item.uid,
        gid=item.gid,
        mtime=item.mtime,
        link=link,
        inode=item.ino if item.nlink > 1 else -1,
        rdev=item.rdev if kind in {Kind.CHAR, Kind.BLOCK} else None,
    )


READERS = (Cpio(), CpioBinary())
