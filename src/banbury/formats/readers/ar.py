"""ar archives (common, BSD and GNU forms), among them Debian packages and the older opkg packages."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed, Truncated
from banbury.model.tree import Entry, Kind, Role

_MAGIC, _THIN = b"!<arch>\n", b"!<thin>\n"
_TABLES = {
    b"/": "symbol table",
    b"/SYM64/": "symbol table",
    b"//": "names",
    b"__.SYMDEF": "symbol table",
    b"__.SYMDEF SORTED": "symbol table",
    b"__.SYMDEF_64": "symbol table",
}
_NAME_LIMIT = 1 << 16


class _Member(Struct, frozen=True, kw_only=True):
    """One header. ``data`` is where the content starts, behind a BSD name; ``size`` its length without that name."""

    at: int
    name: bytes
    data: int
    size: int
    mtime: int
    uid: int
    gid: int
    mode: int
    end: int


def _number(field: bytes, base: int, at: int) -> int:
    digits = field.rstrip(b" ")
    if not digits:
        return 0
    try:
        value = int(digits, base) if digits.isdigit() else -1
    except ValueError:
        value = -1
    if value < 0:
        raise Malformed(f"ar: {digits!r} is no number", offset=at)
    return value


def _member(view: View, at: int, thin: bool) -> _Member:
    """The member whose header is at ``at``. Its name is as stored: ``/12`` is not looked up."""
    header = view.take(at, 60)
    if header[58:] != b"`\n":
        raise Malformed("ar: no header where one is due", offset=at)
    size = _number(header[48:58], 10, at)
    name = header[:16].rstrip(b" ")
    data = at + 60
    stored = 0 if thin and name not in _TABLES else size
    end = data + stored + (stored & 1)
    if name[:3] == b"#1/":
        length = _number(name[3:], 10, at)
        if length > min(size, _NAME_LIMIT):
            raise Malformed(f"ar: a name of {length} bytes", offset=at)
        name = view.take(data, length).rstrip(b"\0")
        data, size = data + length, size - length
    return _Member(
        at=at,
        name=name,
        data=data,
        size=size,
        mtime=_number(header[16:28], 10, at),
        uid=_number(header[28:34], 10, at),
        gid=_number(header[34:40], 10, at),
        mode=_number(header[40:48], 8, at),
        end=end,
    )


def _walk(view: View, start: int) -> Iterator[_Member]:
    """Members up to the view's end. Raises ``Malformed`` at what is no header, ``Truncated`` after a cut member."""
    thin = view.startswith(_THIN, start)
    at = start + 8
    while at < len(view):
        member = _member(view, at, thin)
        yield member
        if member.end - (member.end > len(view)) > len(view):  # the last padding byte may be absent
            raise Truncated("ar: the content is cut short", offset=member.data)
        at = member.end


class Ar(Reader):
    name = "ar"
    title = "ar archive (Debian and opkg packages, libraries)"
    version = 1
    holds_files = None
    magics = (Magic(_MAGIC), Magic(_THIN))
    references = ("FreeBSD, ar(5); GNU binutils, include/aout/ar.h", "deb(5)")
    limitations = ("The format has no end mark: an archive ends where no further header stands.",)

    def probe(self, view: View, start: int) -> Extent | None:
        if not any(view.startswith(magic.pattern, start) for magic in self.magics):
            return None
        end = start + 8
        try:
            for member in _walk(view, start):
                end = min(member.end, len(view))
        except Truncated:
            end = len(view)
        except Malformed:
            pass
        return Extent(end - start, sure=end > start + 8)

    def read(self, view: View, sink: Sink) -> None:
        writer = _Writer(view, sink)
        sink.own(0, 8, Role.HEADER, "ar magic")
        try:
            for member in _walk(view, 0):
                writer.write(member)
        except Truncated as problem:
            sink.note("truncated", str(problem), start=problem.offset)
        writer.finish()


class _Writer:
    def __init__(self, view: View, sink: Sink) -> None:
        self._view = view
        self._sink = sink
        self._names = Names(sink)
        self._table = b""
        self._first = True
        self._thin = view.startswith(_THIN)
        self._spare = len(view) + _NAME_LIMIT

    def finish(self) -> None:
        self._names.finish()

    def write(self, member: _Member) -> None:
        view, sink = self._view, self._sink
        sink.own(member.at, member.data, Role.HEADER, "ar header")
        stop = min(member.data + member.size, len(view))
        if member.name in _TABLES:
            sink.own(member.data, stop, Role.TABLE, _TABLES[member.name])
            if member.name == b"//":
                self._table = view.take(member.data, stop - member.data)
            return
        entry = self._entry(member)
        self._names.note(entry)
        if self._first and entry.path == "debian-binary":
            sink.property("title", "Debian package")
            sink.property("package format", clean_name(view.take(member.data, min(member.size, 16)).strip())[0])
        self._first = False
        if self._thin:
            sink.note("unsupported", "a thin archive only names its members", path=entry.path)
            sink.entry(entry)
        elif stop - member.data < member.size:
            index = sink.file(entry, _cut(view, member))
            sink.own(member.data, stop, Role.MEMBER, "content", index)
        else:
            sink.slice(entry, member.data, stop)
            if stop < min(member.end, len(view)):
                sink.own(stop, stop + 1, Role.PADDING, "alignment")

    def _entry(self, member: _Member) -> Entry:
        name = member.name
        if name[:1] == b"/" and name[1:].isdigit():
            name = self._long(int(name[1:]), member.at)
        elif name.endswith(b"/"):
            name = name[:-1]
        shown, raw = clean_name(name)
        path = shown.lstrip("/")
        return Entry(
            path=path,
            raw=raw if path == shown else name,
            kind=Kind.FILE,
            size=member.size,
            mode=member.mode & 0o7777,
            uid=member.uid,
            gid=member.gid,
            mtime=member.mtime,
        )

    def _long(self, offset: int, at: int) -> bytes:
        end = self._table.find(b"\n", offset, offset + _NAME_LIMIT)
        if end < 0:
            self._sink.note("malformed", f"a name at {offset} of a table of {len(self._table)} bytes", start=at)
            return b"/%d" % offset
        # Many headers can share one long name: all names together may not pass the archive's own size.
        self._spare -= end - offset
        if self._spare < 0:
            self._sink.note("bomb", f"a name of {end - offset} bytes used too often", start=at)
            return b"/%d" % offset
        return self._table[offset:end].removesuffix(b"/")


def _cut(view: View, member: _Member) -> Iterator[Buffer]:
    yield view.rest(min(member.data, len(view)))
    raise Truncated(f"{len(view) - member.data} of {member.size} bytes are there", offset=member.data)


READERS = (Ar(),)
