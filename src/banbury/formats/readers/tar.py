"""tar archives: v7, ustar, pax, GNU and star, with long names, sparse files and extended attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.readers._tar import BLOCK, Member, Walk, is_header, number, xattrs
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed, Truncated
from banbury.model.tree import Entry, Kind, Role

_KINDS = {
    b"1": Kind.HARDLINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHAR,
    b"4": Kind.BLOCK,
    b"5": Kind.DIR,
    b"6": Kind.FIFO,
    b"D": Kind.DIR,
}
_FILES = frozenset((b"\0", b"0", b"7", b"S"))
_RECORD = 20 * BLOCK
_ZEROS = bytes(1 << 20)
#: A sparse member is expanded up to this many bytes, or this many times the archive's size.
_SPARSE_SIZE, _SPARSE_RATIO = 32 << 20, 256
_OCTAL = 8 << 30  # what the ustar size field cannot state


class Tar(Reader):
    """From the first header to the end-of-archive blocks and the zeros that fill the record of 10 KiB."""

    name = "tar"
    title = "tar archive (ustar, pax, GNU)"
    version = 2
    holds_files = None
    magics: ClassVar[Sequence[Magic]] = (Magic(b"ustar", 257),)
    references: ClassVar[Sequence[str]] = (
        "POSIX.1-2017, pax, ustar Interchange Format and pax Extended Header",
        "GNU tar manual, Tar Internals",
        "FreeBSD, tar(5)",
    )
    limitations: ClassVar[Sequence[str]] = (
        "Members of a multi-volume archive that continue another volume's are read as they stand.",
        "Access and change times are not kept.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        block = view.take(start, BLOCK)
        if not is_header(block) or not self._plausible(block):
            return None
        walk = Walk(view, start)
        try:
            for _ in walk:
                pass
        except Truncated:
            return Extent(len(view) - start)
        except Malformed:
            return Extent(walk.end - start) if walk.end > start else None
        end = walk.end
        if end < len(view) and not view.u8(end):
            end += view.run(end, end + (start - end) % _RECORD)
        return Extent(end - start)

    def _plausible(self, block: bytes) -> bool:
        return block[257:262] == b"ustar"

    def read(self, view: View, sink: Sink) -> None:
        walk = Walk(view, 0)
        writer = _Writer(view, sink)
        why = "the archive has no end blocks"
        try:
            for member in walk:
                writer.write(member)
        except Malformed as problem:
            if not writer.count:
                raise
            why = str(problem)
        writer.finish()
        if walk.label:
            sink.property("label", clean_name(walk.label)[0])
        if walk.comment:
            sink.property("comment", clean_name(walk.comment)[0])
        if not walk.closed:
            sink.note("truncated", why, start=walk.end)


class TarV7(Tar):
    name = "tar-v7"
    title = "tar archive (Version 7)"
    magics = ()
    carve = False
    references = ("FreeBSD, tar(5), Old-Style Archive Format",)
    limitations = ("Claimed only at the start of a blob: the format has no magic, only a checksum.",)

    def _plausible(self, block: bytes) -> bool:
        if block[257:262] == b"ustar" or block[156] not in b"\x000125" or not block[0]:
            return False
        for start, end in ((100, 108), (108, 116), (116, 124), (124, 136), (136, 148)):
            if not block[start:end].strip(b"\0 ").isdigit():
                return False
            number(block[start:end])
        return block[:100].rstrip(b"\0").count(0) == 0


class _Writer:
    def __init__(self, view: View, sink: Sink) -> None:
        self._view = view
        self._sink = sink
        self._names = Names(sink)
        self._index: dict[bytes, int] = {}
        self.count = 0

    def finish(self) -> None:
        self._names.finish()

    def write(self, member: Member) -> None:
        view, sink = self._view, self._sink
        self.count += 1
        kind = _KINDS.get(member.sort, Kind.FILE)
        if kind is Kind.FILE and member.name.endswith(b"/") and not member.stored:
            kind = Kind.DIR  # v7 has no other mark for directories
        entry = _entry(member, kind)
        sink.own(member.head, member.data, Role.HEADER, "tar header")
        self._names.note(entry)
        self._odd(member, kind, entry)
        if kind is Kind.FILE:
            self._index[_key(member.name)] = self._file(member, entry)
        elif kind is Kind.HARDLINK:
            self._hard_link(member, entry)
        else:
            sink.entry(entry)
            sink.own(member.data, member.data + member.stored, Role.TABLE, "directory dump")
        padding = min(member.end, len(view)) - member.data - member.stored
        if padding > 0 and any(view.mem(member.data + member.stored, padding)):
            start = member.data + member.stored
            sink.note("hidden", "alignment that is not zero", path=entry.path, start=start, end=start + padding)

    def _odd(self, member: Member, kind: Kind, entry: Entry) -> None:
        def note(code: str, detail: str) -> None:
            self._sink.note(code, detail, path=entry.path, start=member.head)

        if member.lone_zero:
            note("hidden", "stands behind a block of zeros, where GNU tar stops")
        if member.sort not in _FILES and member.sort not in _KINDS:
            note("unsupported", f"members of type {member.sort!r} are read as files")
        if "size" in member.pax and member.pax["size"] != b"%d" % member.own_size and member.stored < _OCTAL:
            detail = f"{member.own_size} bytes in the header, {member.pax['size'][:20]!r} in its extension"
            note("mismatch", detail)
        elif kind is not Kind.FILE and member.own_size and not member.stored:
            note("mismatch", f"a {kind} that states {member.own_size} bytes")

    def _file(self, member: Member, entry: Entry) -> int:
        view, sink = self._view, self._sink
        end = member.data + member.stored
        if member.pieces is None and end <= len(view):
            return sink.slice(entry, member.data, end)
        if member.pieces is None:
            index = sink.file(entry, _cut(view, member))
        else:
            if member.size > member.stored:
                sink.note("sparse", f"{member.stored} bytes stored of {member.size}", path=entry.path)
            index = sink.file(entry, _expand(view, member))
        sink.own(member.data, end, Role.MEMBER, "content", index)
        return index

    def _hard_link(self, member: Member, entry: Entry) -> None:
        target = self._index.get(_key(member.link))
        if target is None:
            self._sink.note("malformed", f"a hard link to {entry.link}, which is not there", path=entry.path)
            self._sink.entry(entry)
        else:
            self._index[_key(member.name)] = self._sink.alias(entry, target)


def _key(name: bytes) -> bytes:
    return name[2:] if name.startswith(b"./") else name


def _cut(view: View, member: Member) -> Iterator[Buffer]:
    yield view.rest(member.data)
    raise Truncated(f"{len(view) - member.data} of {member.stored} bytes are there", offset=member.data)


def _expand(view: View, member: Member) -> Iterator[Buffer]:
    """The content of a sparse member, its holes filled with zeros."""
    if member.size > max(_SPARSE_SIZE, _SPARSE_RATIO * len(view)):
        raise Malformed(f"tar: {member.size} bytes, of which {member.stored} are stored, are not expanded")
    position = 0
    at = member.data
    for offset, length in member.pieces or ():
        if offset < position or offset + length > member.size or at + length > member.data + member.stored:
            raise Malformed("tar: the sparse map breaks its order or its size", offset=member.data)
        yield from _hole(offset - position)
        if at + length > len(view):
            yield view.rest(min(at, len(view)))
            raise Truncated("tar: the content is cut short", offset=at)
        yield view.mem(at, length)
        at += length
        position = offset + length
    yield from _hole(member.size - position)


def _hole(length: int) -> Iterator[Buffer]:
    for _ in range(length // len(_ZEROS)):
        yield _ZEROS
    yield _ZEROS[: length % len(_ZEROS)]


def _entry(member: Member, kind: Kind) -> Entry:
    shown, raw = clean_name(member.name)
    path = shown.lstrip("/")
    if kind is Kind.DIR:
        path = path.rstrip("/")
    return Entry(
        path=path,
        raw=raw if path == shown else member.name,
        kind=kind,
        size=member.size,
        mode=member.mode & 0o7777,
        uid=member.uid,
        gid=member.gid,
        mtime=member.mtime,
        link=clean_name(member.link)[0] if kind in {Kind.SYMLINK, Kind.HARDLINK} else "",
        rdev=member.rdev if kind in {Kind.CHAR, Kind.BLOCK} else None,
        user=clean_name(member.user)[0],
        group=clean_name(member.group)[0],
        xattrs=xattrs(member.pax) if member.pax else {},
    )


READERS = (Tar(), TarV7())
