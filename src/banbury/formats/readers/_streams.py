"""What the readers of compressed streams share: finding the end, and reading one stream after another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from msgspec import Struct

from banbury.formats.codecs import Stream
from banbury.formats.contract import Extent, Reader, Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.view import Buffer, View
from banbury.model.errors import BadChecksum, Malformed, Truncated
from banbury.model.tree import Entry, Kind, Role

#: Bytes of output that ``probe`` decodes to find the end: of a whole blob, and of a stretch inside an image.
_WHOLE, _INSIDE = 16 << 20, 256 << 20
#: Bytes of output after which a stream that then breaks is a damaged one and not a chance likeness.
_EVIDENCE = 64 << 10
#: The same where it decodes to its end and only a checksum differs, inside an image.
_SUMMED = 4 << 10


class Head(Struct, frozen=True, kw_only=True):
    """A stream's header. ``fields`` are (start, end, name) of its parts; ``trailer`` is (length, name) of what closes
    the stream once it decoded to its end; ``size`` is the stated size of the content, 0 where there is none."""

    end: int
    fields: tuple[tuple[int, int, str], ...] = ()
    trailer: tuple[int, str] = (0, "")
    name: bytes = b""
    mtime: int = -1
    mode: int = -1
    size: int = 0


class StreamReader(Reader):
    """Streams of one kind, one after another without a gap.

    ``probe`` decodes to find the end, up to a bound (16 MiB of output for a whole blob, 256 MiB inside an image).
    Where the stream is longer, the extent is the rest of the view, and ``read`` leaves what follows the last
    stream unowned. A stream that breaks after 64 KiB of output is claimed up to where it broke.
    """

    version = 1
    #: The kind of :class:`~banbury.formats.codecs.Stream`; its name is the reader's.
    kind: ClassVar[str]
    #: Whether streams that follow one another are one content, as parallel compressors write them.
    join: ClassVar[bool] = False
    #: Bytes of zeros that may stand between two streams come in multiples of this; 0: none may.
    gap: ClassVar[int] = 0

    #: Bytes of output that a complete stream inside an image must give: more than one where no checksum proves it.
    proof: ClassVar[int] = 1

    @abstractmethod
    def head(self, view: View, at: int) -> Head:
        """The header at ``at``; ``Malformed`` where there is none."""

    def describe(self, view: View, sink: Sink, at: int, head: Head) -> None:
        """State properties, checks and notes of the header."""

    def close(self, view: View, sink: Sink, at: int, end: int) -> int:
        """Own what closes the complete stream at ``at``; return where its coded content ends."""
        length, name = self.head(view, at).trailer
        sink.own(end - length, end, Role.CHECK, name)
        return end - length

    def skip(self, view: View, sink: Sink | None, at: int) -> int:
        """Where the next stream may start: after what the format lets stand between two. Writes to ``sink``, if any."""
        if self.gap and at < len(view) and not view.u8(at):
            padding = view.run(at)
            if padding % self.gap == 0 and self._follows(view, at + padding):
                return at + padding
        return at

    def _follows(self, view: View, at: int) -> bool:
        try:
            self.head(view, at)
        except Malformed:
            return False
        return True

    def probe(self, view: View, start: int) -> Extent | None:
        spare = _INSIDE if start else _WHOLE
        at = self.skip(view, None, start)
        self.head(view, at)
        sure = False
        end = start
        while at < len(view) and (at == start or self._follows(view, at)):
            found = self._trial(view, at, spare, first=end == start)
            if found is None:
                break
            end, used, certain = found
            sure = sure or certain
            spare -= used
            at = end = self.skip(view, None, end)
        return Extent(end - start, sure) if end > start else None

    def _trial(self, view: View, at: int, spare: int, first: bool) -> tuple[int, int, bool] | None:
        """Decode the stream at ``at``: (where it ends, bytes of output, whether it is one for sure)."""
        stream = Stream(self.kind, view, at)
        size = 0
        try:
            for piece in stream:
                size += len(piece)
                view.charge(len(piece))
                if size > spare:
                    return len(view), size, True
        except Truncated:
            return (len(view), size, size >= _SUMMED) if self.cut(size, bool(at)) else None
        except Malformed as problem:
            floor = _EVIDENCE
            if isinstance(problem, BadChecksum):
                floor = _SUMMED if at else 1
            return (max(at + stream.consumed, at + 1), size, True) if size >= floor else None
        if size < (self.proof if at else self.proof > 1):
            return None
        return at + stream.consumed, size, True

    def cut(self, size: int, inside: bool) -> bool:
        """Whether a stream that the view cuts short after ``size`` bytes of output is worth a claim."""
        return size >= (_SUMMED if inside else 1)

    def read(self, view: View, sink: Sink) -> None:
        names = Names(sink)
        at = self.skip(view, sink, 0)
        count = 0
        whole = True
        while at < len(view) and whole:
            try:
                head = self.head(view, at)
            except Malformed:
                if not count:
                    raise
                break
            count += 1
            chain = _Chain(self, view, sink, at)
            entry = _entry(head, count)
            names.note(entry)
            index = sink.file(entry, chain)
            chain.own(index)
            whole, at = chain.whole, chain.at
        if count > 1:
            sink.property("streams", str(count))


class _Chain:
    """The output of one stream, or of all that follow one another where they are one content."""

    def __init__(self, reader: StreamReader, view: View, sink: Sink, at: int) -> None:
        self._reader, self._view, self._sink = reader, view, sink
        self._spans: list[tuple[int, int, bool]] = []
        self.at = at
        self.whole = False

    def __iter__(self) -> Iterator[Buffer]:
        again = True
        while again:
            yield from self._one()
            again = self._reader.join and self._reader._follows(self._view, self.at)
        self.whole = True

    def _one(self) -> Iterator[Buffer]:
        at = self.at
        stream = Stream(self._reader.kind, self._view, at)
        complete = False
        try:
            yield from stream
            complete = True
        except BadChecksum as problem:
            if problem.found >= 0:
                self._sink.check(problem.what, problem.expected, problem.found)
            complete = True
            raise
        finally:
            end = at + stream.consumed
            self._spans.append((at, end, complete))
            self.at = self._reader.skip(self._view, self._sink, end) if complete else end

    def own(self, index: int) -> None:
        """State the owners of every byte that was decoded for entry ``index``."""
        for at, end, complete in self._spans:
            try:
                head = self._reader.head(self._view, at)
            except Malformed:
                return
            for start, stop, name in head.fields or ((at, head.end, "header"),):
                self._sink.own(start, stop, Role.HEADER, name)
            self._reader.describe(self._view, self._sink, at, head)
            stop = self._reader.close(self._view, self._sink, at, end) if complete else end
            self._sink.own(head.end, stop, Role.MEMBER, "content", index)


def _entry(head: Head, count: int) -> Entry:
    shown, raw = clean_name(head.name)
    path = shown.lstrip("/")
    if path != shown:
        raw = head.name
    if not path:
        path = "content" if count == 1 else f"content-{count}"
    return Entry(path=path, raw=raw, kind=Kind.FILE, size=head.size, mode=head.mode, mtime=head.mtime)
