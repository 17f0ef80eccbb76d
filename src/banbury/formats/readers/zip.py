"""ZIP archives, read by their central directory and checked against their local headers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from msgspec.structs import replace

from banbury.formats import _decoders as decoders
from banbury.formats.codecs import Stream
from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.readers import _zip as layout
from banbury.formats.readers._zip import End, Item
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed, Truncated
from banbury.model.tree import Entry, Kind, Role

_KINDS = {
    0o01: Kind.FIFO,
    0o02: Kind.CHAR,
    0o04: Kind.DIR,
    0o06: Kind.BLOCK,
    0o12: Kind.SYMLINK,
    0o14: Kind.SOCKET,
}
_UNIX = frozenset((3, 19))  # hosts whose attributes hold a Unix mode (4.4.2, Info-ZIP)
_METHODS = {8: "deflate", 12: "bzip2", 20: "zstd", 93: "zstd", 95: "xz"}
_LZMA = 14
_AES = 99
_LINK_LIMIT = 4096


class Zip(Reader):
    """From the first local header to the end of the end record's comment.

    Members are read as the central directory states them; where a local header states something else that is noted
    and the directory counts. No byte is decoded twice: of members that overlap, those behind the first have no
    content, and those that share all of it are links to it. Where a whole blob is an archive whose directory is lost,
    it is read from its local headers.
    """

    name = "zip"
    title = "ZIP archive"
    version = 1
    holds_files = None
    magics = (Magic(layout.LOCAL), Magic(layout.END + bytes(8)))
    references = (
        "PKWARE APPNOTE.TXT 6.3.10",
        "Info-ZIP, extrafld.txt",
        "D. Fifield, A better zip bomb, WOOT 2019 (overlapping members)",
    )
    limitations = (
        "Methods other than stored, deflate, bzip2, LZMA, Zstandard and xz are not decoded; nothing is decrypted.",
        "Times without an extended timestamp are local times of an unknown zone, given as if they were UTC.",
        "Archives split over several files are not joined.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        end = layout.find_end(view, start)
        if end:
            return Extent(end.end - start)
        if start or not view.startswith(layout.LOCAL):
            return None
        item = layout.local(view, start)
        if item.flags & 0x2000 or item.method not in {0, _LZMA, _AES, *_METHODS} or not item.name:
            return None
        stop = max((stop for _, stop in _locals(view, start)), default=start)
        return Extent(stop - start, sure=False) if stop > start else None

    def read(self, view: View, sink: Sink) -> None:
        end = layout.find_end(view, 0)
        writer = _Writer(view, sink)
        if end is None:
            sink.note("truncated", "no central directory: read from the local headers")
            writer.write([item for item, _ in _locals(view, 0)])
        else:
            other = layout.first_end(view, 0)
            if other and other.at != end.at:
                sink.note(
                    "mismatch", "two end records: readers differ in which one counts", start=other.at, end=end.end
                )
            writer.write(_directory(view, sink, end))
            writer.gaps(end)
        writer.finish()


def _locals(view: View, start: int) -> Iterator[tuple[Item, int]]:
    """Members that follow one another from ``start``, as if a directory listed them, and where each ends."""
    at = start
    while view.startswith(layout.LOCAL, at):
        try:
            item = layout.local(view, at)
        except Malformed:
            return
        if item.flags & 8 and not item.packed:
            found = _measure(view, item)
            if found is None:
                yield replace(item, offset=item.at, packed=len(view) - item.end), len(view)
                return
            item = found
        yield replace(item, offset=item.at), min(item.end + item.packed, len(view))
        at = item.end + item.packed
        at += layout.descriptor(view, at, item) if item.flags & 8 else 0


def _measure(view: View, item: Item) -> Item | None:
    """A member whose sizes stand behind its content, with them; ``None`` where only decoding everything would tell."""
    at = item.end
    while (at := view.find(layout.DESCRIPTOR, at)) >= 0:
        for wide, form in ((4, "<III"), (8, "<IQQ")):
            if at + 8 + 2 * wide <= len(view):
                crc, packed, size = struct.unpack_from(form, view.mem(at + 4, 4 + 2 * wide))
                if packed == at - item.end:
                    return replace(item, crc=crc, packed=packed, size=size)
        at += 4
    return None


def _directory(view: View, sink: Sink, end: End) -> list[Item]:
    """The entries of the directory; owns it and the end records."""
    items: list[Item] = []
    try:
        for item in layout.central(view, end):
            items.append(item)
            sink.own(item.at, item.end, Role.TABLE, "directory entry")
    except Malformed as problem:
        sink.note("malformed", str(problem), start=problem.offset)
    sink.own(end.first, end.at, Role.HEADER, "ZIP64 end records")
    sink.own(end.at, end.at + 22, Role.HEADER, "end record")
    found = len(items) if end.first < end.at else len(items) & 0xFFFF
    sink.check("entries", end.count, found)
    if end.count != found:
        sink.note("mismatch", f"the end record counts {end.count} entries, the directory holds {len(items)}")
    if end.differs:
        sink.note("mismatch", "the end record and ZIP64's end record differ", start=end.first, end=end.at + 22)
    if end.disk:
        sink.note("unsupported", f"disk {end.disk} of an archive split over several files")
    stop = items[-1].end if items else end.table
    if stop < end.table_end and not view.startswith(b"PK\5\5", stop):
        sink.note("hidden", "bytes between the directory and the end record", start=stop, end=end.table_end)
    elif stop < end.table_end:
        sink.own(stop, end.table_end, Role.CHECK, "digital signature")
    if end.end > end.at + 22:
        _comment(view, sink, end)
    return items


def _comment(view: View, sink: Sink, end: End) -> None:
    text = view.take(end.at + 22, end.end - end.at - 22)
    shown, raw = clean_name(text.replace(b"\r\n", b" ").replace(b"\n", b" ").replace(b"\t", b" "))
    sink.own(end.at + 22, end.end, Role.HEADER, "comment")
    sink.property("comment", shown)
    if raw:
        sink.note("hidden", f"a comment of {len(text)} bytes that is not text", start=end.at + 22, end=end.end)


class _Writer:
    def __init__(self, view: View, sink: Sink, names: Names | None = None) -> None:
        self._view = view
        self._sink = sink
        self._names = names or Names(sink)
        self._taken: list[tuple[int, int]] = []  # local header to end of content, ascending
        self._last: tuple[Item, int] | None = None

    def write(self, items: list[Item]) -> None:
        """Write the members in the order of their content."""
        reach = 0
        for item in sorted(items, key=lambda i: (i.offset, i.packed)):
            entry = _entry(item)
            self._names.note(entry)
            if b"\\" in item.name:
                self._sink.note("odd-name", "a backslash, which some readers take for a separator", path=entry.path)
            if item.comment and clean_name(item.comment)[1]:
                self._sink.note("hidden", f"a comment of {len(item.comment)} bytes that is not text", path=entry.path)
            try:
                reach = self._member(item, entry, reach)
            except Malformed as problem:
                code = "truncated" if isinstance(problem, Truncated) else "malformed"
                self._sink.note(code, str(problem), path=entry.path, start=problem.offset)
                self._sink.entry(entry)

    def finish(self) -> None:
        self._names.finish()

    def _member(self, item: Item, entry: Entry, reach: int) -> int:
        """Write one member; returns how far the content of all so far reaches."""
        view, sink = self._view, self._sink
        # Overlaps are settled before the local header is read: a million entries may lead to one large header.
        if self._last and self._last[0].offset == item.offset and self._last[0].packed == item.packed:
            sink.note("overlap", "shares the content of another member", path=entry.path, start=item.offset)
            sink.alias(entry, self._last[1])
            return reach
        if item.offset < reach:
            sink.note("overlap", "overlaps another member; not decoded", path=entry.path, start=item.offset)
            sink.entry(entry)
            stop = min(item.offset + 30 + item.packed, len(view))
            self._taken.append((item.offset, stop))
            return max(reach, stop)
        head = layout.local(view, item.offset)
        stop = min(head.end + item.packed, len(view))
        sink.own(head.at, head.end, Role.HEADER, "local header")
        self._compare(item, head, entry)
        index = self._content(item, entry, head.end, stop)
        self._last = (item, index)
        if item.flags & 8:
            length = layout.descriptor(view, stop, item)
            sink.own(stop, stop + length, Role.HEADER, "data descriptor")
            stop += length
        self._taken.append((item.offset, stop))
        return stop

    def _compare(self, item: Item, head: Item, entry: Entry) -> None:
        fields = ["name", "method"]
        if not head.flags & 8 or head.packed:
            fields += ["crc", "packed", "size"]
        odd = [f for f in fields if getattr(item, f) != getattr(head, f)]
        if (item.flags ^ head.flags) & 0x0809:
            odd.append("flags")
        if odd:
            shown = clean_name(head.name)[0] if "name" in odd else ""
            detail = f"local header and directory differ in {', '.join(odd)} {shown}"
            self._sink.note("mismatch", detail.rstrip(), path=entry.path, start=head.at, end=head.end)
        field = item.extra.get(0x7075, b"")
        if len(field) > 5 and item.name.isascii() and field[5:] != item.name:
            detail = f"its Unicode path is {clean_name(field[5:])[0]}"
            self._sink.note("mismatch", detail, path=entry.path, start=item.at, end=item.end)

    def _content(self, item: Item, entry: Entry, start: int, stop: int) -> int:
        view, sink = self._view, self._sink
        if item.flags & 1 or item.method == _AES:
            sink.note("encrypted", f"{item.packed} bytes", path=entry.path, start=start, end=stop)
            index = sink.entry(entry)
            sink.own(start, stop, Role.MEMBER, "encrypted content", index)
            return index
        if item.method not in {0, _LZMA, *_METHODS}:
            sink.note("unsupported", f"compression method {item.method}", path=entry.path, start=start, end=stop)
            return sink.entry(entry)
        coded = _Coded(view, sink, item, entry.path, start, stop)
        if entry.kind is Kind.FILE and not item.method and stop - start == item.packed:
            coded.finish(zlib.crc32(view.mem(start, stop - start)), stop - start)
            return sink.slice(entry, start, stop)
        if entry.kind is Kind.SYMLINK:
            entry = replace(entry, link=coded.text())
            self._names.link(entry)
            index = sink.entry(entry)
        elif entry.kind is Kind.FILE or item.packed:
            index = sink.file(entry, coded)
        else:
            index = sink.entry(entry)
        sink.own(start, start + coded.used, Role.MEMBER, "content", index)
        return index

    def gaps(self, end: End) -> None:
        """Look at what lies between the members and before the directory."""
        view, sink = self._view, self._sink
        block = layout.signing_block(view, end.table)
        if block >= 0:
            sink.own(block, end.table, Role.CHECK, "APK signing block")
        position = 0
        limit = block if block >= 0 else end.table
        for start, stop in [*self._taken, (limit, limit)]:
            if start > position and (view.u8(position) or view.run(position, start) < start - position):
                self._gap(position, start)
            position = max(position, stop)

    def _gap(self, start: int, stop: int) -> None:
        self._sink.note("hidden", "bytes that no directory entry leads to", start=start, end=stop)
        hidden = [item for item, end in _locals(self._view.sub(0, stop), start) if end <= stop]
        if hidden:
            _Writer(self._view.sub(0, stop), self._sink, self._names).write(hidden)


class _Coded:
    """The output of one compressed member; counts, and compares when done. ``used`` bytes of input were decoded."""

    def __init__(self, view: View, sink: Sink, item: Item, path: str, start: int, stop: int) -> None:
        self._view, self._sink, self._item, self._path = view, sink, item, path
        self._start, self._stop = start, stop
        self.used = 0

    def _pieces(self) -> Iterator[Buffer]:
        window = self._view.sub(0, self._stop)
        item = self._item
        if not item.method:
            self.used = self._stop - self._start
            yield window.rest(self._start)
        elif item.method == _LZMA:
            cursor = decoders.Cursor(window, self._start)
            try:
                yield from decoders.zip_lzma(cursor, -1 if item.flags & 2 else item.size)
            finally:
                self.used = cursor.at - self._start
        else:
            stream = Stream(_METHODS[item.method], window, self._start)
            try:
                yield from stream
            finally:
                self.used = stream.consumed

    def __iter__(self) -> Iterator[Buffer]:
        crc = size = 0
        for piece in self._pieces():
            crc = zlib.crc32(piece, crc)
            size += len(piece)
            yield piece
        if self._stop - self._start < self._item.packed:
            raise Truncated(f"{self._stop - self._start} of {self._item.packed} bytes are there", offset=self._stop)
        self.finish(crc, size)
        if self.used < self._stop - self._start:
            at = self._start + self.used
            detail = f"{self._stop - at} bytes behind the end of the compressed stream"
            self._sink.note("hidden", detail, path=self._path, start=at, end=self._stop)

    def finish(self, crc: int, size: int) -> None:
        """Compare CRC-32 and size with the directory's."""
        item, sink = self._item, self._sink
        if crc != item.crc:
            sink.check(f"CRC-32 of {self._path}", item.crc, crc)
            sink.note("checksum", "the content's CRC-32 does not match", path=self._path, start=self._start)
        if size != item.size:
            sink.note("mismatch", f"{size} bytes, {item.size} stated", path=self._path, start=self._start)

    def text(self) -> str:
        """The whole output as a symbolic link's target, at most 4096 bytes."""
        out = b""
        for piece in self:
            out += bytes(piece[: _LINK_LIMIT + 1])
            if len(out) > _LINK_LIMIT:
                raise Malformed(f"a link target of more than {_LINK_LIMIT} bytes", offset=self._start)
        return clean_name(out)[0]


def _entry(item: Item) -> Entry:
    shown, raw = clean_name(item.name)
    path = shown.lstrip("/")
    mode = item.attributes >> 16 if item.host in _UNIX else 0
    kind = _KINDS.get(mode >> 12, Kind.FILE)
    if path.endswith("/") and kind is Kind.FILE:
        kind = Kind.DIR
    if kind is Kind.DIR:
        path = path.rstrip("/")
    uid = gid = -1
    owner = item.extra.get(0x7875, b"")
    if len(owner) == 11 and owner[:2] == b"\1\4" and owner[6] == 4:
        uid, gid = struct.unpack("<I", owner[2:6])[0], struct.unpack("<I", owner[7:])[0]
    return Entry(
        path=path,
        raw=raw if path == shown else item.name,
        kind=kind,
        size=item.size,
        mode=mode & 0o7777 if mode else -1,
        uid=uid,
        gid=gid,
        mtime=layout.unix_time(item),
    )


READERS = (Zip(),)
