"""Vendors' headers: each byte of an image belongs to a part, to a field that follows from the parts, or is exact.

A layout (:mod:`.vendor_layouts`) names the parts, which are members, and the fields that follow from them: checksums,
counted anew and right on both sides, and sizes and places, which are what the parts were found by. Texts with a version
may differ as the build records declare. Everything else is equal; behind a part that is shorter, constant fill.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import KERNEL, Place, Work
from banbury.compare.equivalence.literals import Declared
from banbury.compare.equivalence.model import Range, substitutions
from banbury.formats.codecs import Stream
from banbury.formats.view import View
from banbury.model.errors import Malformed

SUM: Final = "vendor.checksum"
SIZE: Final = "vendor.size"
SQUASHFS: Final = b"hsqs"
_KERNELS: Final = ("kernel", "part0", "image0")
_FILLS: Final = (0x00, 0xFF)
_UNITS: Final = (4096, 65536)  # bytes of erase blocks; Linux takes a partition between them for read-only
_KINDS: Final = ("date ", "version ")
_WORK: Final = 512 << 20
_TAIL: Final = 1 << 17  # most bytes of fill behind a stream within its part


class Field(Struct, frozen=True, array_like=True):
    """A field that follows from the parts, and the rule under which it may differ."""

    start: int
    end: int
    rule: str


class Layout(Struct, frozen=True, kw_only=True):
    """Parts (name, start, end), the fields that follow from them, and texts with a version (start, end), in an image.
    ``packed``: where a part starts follows from the sizes of those before it; else its place is exact."""

    parts: list[tuple[str, int, int]]
    fields: list[Field]
    texts: list[tuple[int, int]] = []
    packed: bool = False


def compare_layouts(work: Work, one: Layout, other: Layout) -> None:
    """Compare two images by their layouts, which a format has read and checked."""
    ours, theirs = (_ordered(view, layout) for (view, _), layout in zip(work.sides, (one, other), strict=True))
    if [p[0] for p in ours] != [p[0] for p in theirs]:
        raise Refused("parts", "other parts, or in another order")
    if not (one.packed and other.packed) and [p[1] for p in ours] != [p[1] for p in theirs]:
        raise Refused("parts", "at other places")
    for (name, start, _), (_, begin, _) in zip(ours, theirs, strict=True):
        if any((start % unit == 0) != (begin % unit == 0) for unit in _UNITS):
            where = [Range(start, start)], [Range(begin, begin)]
            raise Refused(
                name, "starts at an erase block on one side alone: what is there can be written or not", *where
            )
    gaps = zip(_gaps(work.a, ours), _gaps(work.b, theirs), strict=True)
    for (start, end), (begin, stop) in gaps:
        _between(work, one, other, Range(start, end), Range(begin, stop))
    work.account.explain("vendor.parts", [Range(p[1], p[2]) for p in ours], [Range(p[1], p[2]) for p in theirs])
    for (name, *span_a), (_, *span_b) in zip(ours, theirs, strict=True):
        _member(work, name, Range(*span_a), Range(*span_b))


def _ordered(view: View, layout: Layout) -> list[tuple[str, int, int]]:
    """The parts in order of place. Raises ``Refused`` where two overlap, or one and a field."""
    spans = [(s, e) for _, s, e in layout.parts] + [(f.start, f.end) for f in layout.fields] + layout.texts
    end = 0
    for start, stop in sorted(spans):
        if not end <= start <= stop <= len(view):
            raise Refused("parts", "overlap one another or a field, or lie outside", [Range(start, max(start, stop))])
        end = stop
    return sorted((p for p in layout.parts if p[2] > p[1]), key=lambda p: p[1])


def _gaps(view: View, parts: list[tuple[str, int, int]]) -> list[tuple[int, int]]:
    return list(zip([0, *(p[2] for p in parts)], [*(p[1] for p in parts), len(view)], strict=True))


def _between(work: Work, one: Layout, other: Layout, a: Range, b: Range) -> None:
    """What lies outside the parts: equal but for fields and texts, or constant fill of another length."""
    inside = [
        [(s.start - span.start, s.end - span.start, s.rule) for s in _spans(layout) if span.start <= s.start < span.end]
        for layout, span in ((one, a), (other, b))
    ]
    if inside[0] != inside[1]:
        raise Refused("header", "fields at other places", [a], [b])
    if a.end - a.start != b.end - b.start:
        if inside[0] or not _filled(work, a, b):
            raise Refused("between parts", "differs in length, and is no constant fill", [a], [b])
        work.account.explain("image.fill", [a], [b])
        return
    at = 0
    for start, end, rule in [*inside[0], (a.end - a.start, a.end - a.start, "")]:
        _equal(work, Range(a.start + at, a.start + start), Range(b.start + at, b.start + start))
        if rule:
            _field(work, rule, Range(a.start + start, a.start + end), Range(b.start + start, b.start + end))
        at = end


def _spans(layout: Layout) -> list[Field]:
    texts = [Field(start, end, "vendor.version") for start, end in layout.texts]
    return sorted([*layout.fields, *texts], key=lambda f: (f.start, f.end))


def _filled(work: Work, a: Range, b: Range) -> bool:
    """Whether two stretches are one and the same constant fill, of which one may be empty."""
    found = set()
    for view, span in ((work.a, a), (work.b, b)):
        if span.end > span.start:
            found.add(view.u8(span.start) if view.run(span.start, span.end) == span.end - span.start else -1)
    return len(found) == 1 and found <= set(_FILLS)


def _equal(work: Work, a: Range, b: Range) -> None:
    if work.a.mem(a.start, a.end - a.start) != work.b.mem(b.start, b.end - b.start):
        work.account.refuse("header", "a field that follows from no part differs", [a], [b])


def _field(work: Work, rule: str, a: Range, b: Range) -> None:
    one, other = work.a.take(a.start, a.end - a.start), work.b.take(b.start, b.end - b.start)
    if one == other:
        return
    if rule != "vendor.version":
        work.account.explain(rule, [a], [b])
        return
    subs = substitutions(work.record_a, work.record_b)
    texts = [raw.rstrip(b"\0") for raw in (one, other)]
    made, names = Declared([s for s in subs if s.name.startswith(_KINDS)]).apply(texts[0])
    if not names or made != texts[1] or not all(c in range(0x20, 0x7F) for text in texts for c in text):
        work.account.refuse("header", "a text differs by more than declared values", [a], [b])
        return
    work.account.explain(rule, [a], [b], ", ".join(sorted(set(names))))


def _member(work: Work, name: str, a: Range, b: Range) -> None:
    """A part; where fill stands behind the stream in it, without that."""
    whole = _place(work.place_a, a), _place(work.place_b, b)
    if work.same(*whole):
        work.member(name.encode(), *whole)
        return
    ends = _stream_end(work.a, a), _stream_end(work.b, b)
    if (ends[0] < a.end or ends[1] < b.end) and _filled(work, Range(ends[0], a.end), Range(ends[1], b.end)):
        work.account.explain("image.fill", [Range(ends[0], a.end)], [Range(ends[1], b.end)])
        a, b = Range(a.start, ends[0]), Range(b.start, ends[1])
    hints = [KERNEL] if name in _KERNELS else []
    work.member(name.encode(), _place(work.place_a, a), _place(work.place_b, b), hints=hints)


def _place(whole: Place, span: Range) -> Place:
    return Place(whole.start + span.start, span.end - span.start, whole.spool)


def squashfs_end(view: View, start: int, limit: int) -> int:
    """Where a SquashFS image ends: its stated size, and up to 4 KiB of zeros."""
    end = min(start + view.u64(start + 40), limit)
    zeros = view.run(end, min(end + 4096, limit)) if end < limit and not view.u8(end) else 0
    return end + zeros


#: Streams that boot loaders unpack out of a part, by how they start.
_STREAMS: Final = ((b"\x5d\0\0", "lzma"), (b"\x6d\0\0", "lzma"), (b"\x1f\x8b\x08", "gzip"), (b"\xfd7zXZ\0", "xz"))


def _stream_end(view: View, span: Range) -> int:
    """Where a compressed stream or file system at a part's start ends, if fill follows it; else the part's end."""
    if view.startswith(SQUASHFS, span.start) and view.u8(span.end - 1) == 0xFF:
        return squashfs_end(view, span.start, span.end)
    kind = next((kind for magic, kind in _STREAMS if view.startswith(magic, span.start)), "")
    if not kind or view.u8(span.end - 1) not in _FILLS:
        return span.end
    stream, size = Stream(kind, view.sub(0, span.end), span.start), 0
    try:
        for piece in stream:
            size += len(piece)
            if size > _WORK:
                return span.end
    except Malformed:
        return span.end
    end = span.start + stream.consumed
    return end if span.end - end <= _TAIL else span.end
