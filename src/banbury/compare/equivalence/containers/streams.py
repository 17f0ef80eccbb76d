"""Compressed streams: gzip, xz, Zstandard, LZ4, bzip2. The content is what counts; the encoding is free.

Exactly one stream (member, frame) from the first byte to the last: what a decompressor would append from a second one,
or what stands behind it, is refused. Fields that a consumer may obey (check type, filters, dictionary) are exact.

Sources: RFC 1952; The .xz File Format 1.2.0; RFC 8878; LZ4 Frame Format 1.6.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import ANY_STREAM, Comparator, Free, Place, Work, zero
from banbury.compare.equivalence.model import Range
from banbury.formats import _decoders as decoders
from banbury.formats import _frames as frames
from banbury.formats.view import Buffer, View

_FEED: Final = 1 << 18
_PIECE: Final = 1 << 20
_NO_SIZE: Final = b"\xff" * 8  # in the header of an LZMA stream that ends with a marker
_XZ: Final = b"\xfd7zXZ\0"
_DICTIONARY: Final = 64 << 20  # bytes, what xz -9 asks for; a decoder sets so much memory aside
_WINDOW: Final = 128 << 20  # bytes, what zstd and Linux take without being asked to
_BLOCK: Final = b"1AY&SY"  # how a block of bzip2 starts
_LZOP_PIPES: Final = 0xC  # whether lzop read a pipe or wrote to one
_LZOP_BLOCK: Final = 256 << 10
_SYSTEMS: Final = frozenset((*range(14), 255))


class Head(Struct, kw_only=True):
    """What a stream's framing says beside its content: ``exact`` fields, ``free`` ones, and the body's range."""

    exact: dict[str, object]
    free: dict[str, Free]
    body: Range


def _gzip(view: View) -> Head:
    head = frames.gzip_header(view, 0)
    view.mem(head.end, 9)
    flags = view.u8(3)
    if flags & ~8:
        raise Refused("gzip flags", f"{flags:#04x}: only a file name is let through", [Range(3, 4)])
    extra, system = view.u8(8), view.u8(9)
    if extra not in (0, 2, 4) or system not in _SYSTEMS:
        raise Refused("gzip header", "a level or system that RFC 1952 does not define", [Range(8, 10)])
    name = view.take(*_span(head.name))[:-1]
    if name and (len(name) > 255 or b"/" in name or not name.decode("latin-1").isprintable() or not name.isascii()):
        raise Refused("gzip name", "no plain file name", [Range(*head.name)])
    if flags & 8 and not name:
        raise Refused("gzip name", "empty", [Range(*head.name)])
    return Head(
        exact={},
        free={
            "mtime": Free("gzip.time", view.u32(4), Range(4, 8)),
            "level": Free("gzip.header", extra, Range(8, 9)),
            "system": Free("gzip.header", system, Range(9, 10)),
            "name": Free("gzip.header", (flags, name), Range(*head.name)),
        },
        body=Range(head.end, len(view)),
    )


def _span(bounds: tuple[int, int]) -> tuple[int, int]:
    return bounds[0], bounds[1] - bounds[0]


def _xz(view: View) -> Head:
    """The filters of every block, found by the index; liblzma checks all sums and sizes while decoding."""
    size = len(view)
    while size > 32 and view.take(size - 4, 4) == bytes(4):
        size -= 4
    if size % 4 or size < 32 or view.take(size - 2, 2) != b"YZ" or view.take(6, 2) != view.take(size - 4, 2):
        raise Refused("xz footer", "no stream ends with the last byte")
    back = (view.u32(size - 8) + 1) * 4
    at = size - 12 - back
    if at < 12 or view.u8(at):
        raise Refused("xz index", "is not where the footer says")
    records, end = _xz_index(view, at + 1, size - 12)
    chains, place, memory = set(), 12, 0
    for unpadded in records:
        chain, dictionary = xz_filters(view, place)
        chains.add(chain)
        memory = max(memory, dictionary)
        place += -(-unpadded // 4) * 4
    if place != at:
        raise Refused("xz index", "does not account for all blocks")
    return Head(
        exact={"checked": view.u8(7) in (1, 4, 10), "filters": sorted(chains), **_memory(memory)},
        free={
            "check": Free("xz.check", view.u8(7), Range(7, 8)),
            "padding": Free("xz.padding", len(view) - size, Range(size, len(view))),
        },
        body=Range(12, end),
    )


def _xz_index(view: View, at: int, end: int) -> tuple[list[int], int]:
    count, at = _vli(view, at)
    if count > end:
        raise Refused("xz index", "more records than bytes")
    out = []
    for _ in range(count):
        unpadded, at = _vli(view, at)
        _, at = _vli(view, at)
        out.append(unpadded)
    return out, end


def _memory(size: int) -> dict[str, object]:
    """The dictionary as far as it is exact: above what the levels of xz ask for."""
    return {"dictionary": size if size > _DICTIONARY else f"up to {_DICTIONARY >> 20} MiB"}


def _vli(view: View, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view.u8(at)
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
        if shift > 56:
            raise Refused("xz", "a number without an end")


def xz_filters(view: View, at: int) -> tuple[tuple[str, ...], int]:
    """Filter ids and properties of the block at ``at``, and LZMA2's dictionary in bytes, which is not among them."""
    flags = view.u8(at + 1)
    at += 2
    for bit in (0x40, 0x80):
        if flags & bit:
            _, at = _vli(view, at)
    out, dictionary = [], 0
    for _ in range((flags & 3) + 1):
        ident, at = _vli(view, at)
        length, at = _vli(view, at)
        if length > 16:
            raise Refused("xz filter", "properties of more than 16 bytes")
        properties = view.take(at, length)
        if ident == 0x21 and length == 1:
            bits = properties[0] & 0x3F
            dictionary = max(dictionary, (2 | bits & 1) << bits // 2 + 11)
        out.append(f"{ident:#x}:{'' if ident == 0x21 else properties.hex()}")
        at += length
    return tuple(out), dictionary


def _zstd(view: View) -> Head:
    head = frames.zstd_header(view, 0)
    if view.u8(4) & 0x18:
        raise Refused("zstd descriptor", "a bit that RFC 8878 leaves unused is set", [Range(4, 5)])
    if frames.zstd_end(view, 0) != len(view):
        raise Refused("zstd", "more than one frame, or bytes behind it", [Range(frames.zstd_end(view, 0), len(view))])
    single = bool(view.u8(4) & 0x20)
    window = frames.zstd_window(view, 0)
    if (window > _WINDOW and not single) or head.dictionary:
        raise Refused("zstd header", "a window of more than 128 MiB, or a dictionary")
    # Linux and kmod make room for what the frame states (drivers/base/firmware_loader/main.c, fw_decompress_zstd).
    exact: dict[str, object] = {"one window of all": single and window > _WINDOW, "size stated": head.content >= 0}
    return Head(exact=exact, free={}, body=Range(4, len(view)))


def _lz4(view: View) -> Head:
    if frames.lz4_end(view, 0) != len(view):
        raise Refused("lz4", "more than one frame, or bytes behind it")
    if view.u8(4) & 1:
        raise Refused("lz4 descriptor", "needs a dictionary")
    # U-Boot reads no blocks that build on those before them (lib/lz4_wrapper.c, ulz4fn: "We can't support this yet").
    return Head(exact={"independent blocks": bool(view.u8(4) & 0x20)}, free={}, body=Range(4, len(view)))


def _lz4_legacy(view: View) -> Head:
    return Head(exact={}, free={}, body=Range(4, len(view)))


def _bzip2(view: View) -> Head:
    return Head(exact={}, free={"level": Free("bzip2.encoding", view.u8(3), Range(3, 4))}, body=Range(4, len(view)))


def inflated(view: View, start: int, end: int) -> Iterator[Buffer]:
    """A raw DEFLATE stream that is exactly ``start`` to ``end``, and whose bits behind its last block are zero."""
    engine = zlib.decompressobj(-15)
    try:
        at = start
        while at < end - 1:
            piece = view.mem(at, min(_FEED, end - 1 - at))
            at += len(piece)
            while len(piece):
                out = engine.decompress(piece, _PIECE)
                piece = memoryview(engine.unconsumed_tail)
                if out:
                    yield out
            if engine.eof:
                raise Refused("deflate", "bytes behind the stream", [Range(at, end)])
        while out := engine.decompress(b"", _PIECE):
            yield out
        yield from _last(engine, view.u8(end - 1), end)
    except zlib.error as problem:
        raise Refused("deflate", str(problem), [Range(start, end)]) from problem


def _last(engine: zlib._Decompress, byte: int, end: int) -> Iterator[Buffer]:
    """The last byte of a stream: each of its bits that does not matter must be zero."""
    content = engine.copy().decompress(bytes([byte]))
    for bit in range(7, -1, -1):
        trial = engine.copy()
        try:
            same = trial.decompress(bytes([byte ^ 1 << bit])) == content and trial.eof
        except zlib.error:
            same = False
        if not same:  # the bit is the stream's: of its end, or (where the last block is stored) of its content
            break
        if byte >> bit & 1:
            raise Refused("deflate", "bits behind the end of the stream are not zero", [Range(end - 1, end)])
    yield engine.decompress(bytes([byte]))
    if not engine.eof:
        raise Refused("deflate", "the stream has no end", [Range(end - 1, end)])


def _gunzip(cursor: decoders.Cursor) -> decoders.Pieces:
    """One gzip member that fills the view, with its CRC-32 and size."""
    view = cursor.view
    end = len(view) - 8
    crc = size = 0
    for piece in inflated(view, frames.gzip_header(view, 0).end, end):
        crc = zlib.crc32(piece, crc)
        size += len(piece)
        yield piece
    decoders.compare("gzip CRC-32", view.u32(end), crc, end)
    decoders.compare("gzip size", view.u32(end + 4), size & 0xFFFFFFFF, end + 4)
    cursor.at = len(view)


def _unxz(cursor: decoders.Cursor) -> decoders.Pieces:
    yield from decoders.unxz(cursor)
    zero(cursor.view, cursor.at, len(cursor.view), "xz padding")
    cursor.at += (len(cursor.view) - cursor.at) // 4 * 4


def _bunzip2(cursor: decoders.Cursor) -> decoders.Pieces:
    """One bzip2 stream, the bits behind whose end are zero."""
    yield from decoders.bunzip2(cursor)
    tail = int.from_bytes(cursor.view.take(cursor.at - 11, 11), "big")
    unused = next((n for n in range(8) if tail >> n + 32 & 0xFFFFFFFFFFFF == 0x177245385090), 8)
    if unused == 8 or tail & (1 << unused) - 1:
        raise Refused("bzip2", "bits behind the end of the stream are not zero", [Range(cursor.at - 1, cursor.at)])
    _not_randomised(cursor.view.take(0, cursor.at))


def _not_randomised(raw: bytes) -> None:
    """Refuse blocks that were randomised, as bzip2 before 0.9.5 did: Linux and BusyBox do not read them. Blocks start
    at any bit; what looks like one and is none is refused too, which no data does by chance."""
    whole = int.from_bytes(raw, "big")
    for shift in range(8):
        moved = (whole << shift).to_bytes(len(raw) + 1, "big") + bytes(16)
        at = moved.find(_BLOCK)
        while at >= 0:
            if moved[at + 10] & 0x80:
                raise Refused("bzip2", "a block that was randomised, which some decoders do not know")
            at = moved.find(_BLOCK, at + 1)


def _lzma(view: View) -> Head:
    """LZMA-alone: the properties are those that the magic states; dictionary and size may differ."""
    if len(view) < 18 or view.u8(13):
        raise Refused("lzma", "no stream")
    size = view.u32(1)
    # xz and libarchive know the format by it (src/xz/coder.c, is_format_lzma; archive_read_support_filter_xz.c,
    # lzma_bidder_bid); libarchive takes no other than these.
    known = size.bit_count() == 1 and size >= 1 << 12
    odd = {} if known else {"dictionary of a size that some readers reject": size}
    if view.take(5, 8) != _NO_SIZE and _marked(view):
        raise Refused("lzma", "a stated size and an end marker, which xz before 5.2.6 rejects")
    return Head(exact=_memory(size) | odd, free={}, body=Range(1, len(view)))


def _marked(view: View) -> bool:
    """Whether a stream of stated size ends with an end marker too: it is whole to who is told no size."""
    head = view.take(0, 5) + _NO_SIZE
    engine = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=decoders.MEMORY)
    try:
        engine.decompress(head, 0)
        for at in range(13, len(view), _PIECE):
            rest = view.take(at, min(_PIECE, len(view) - at))
            while not engine.eof and (engine.decompress(rest, _PIECE) or not engine.needs_input):
                rest = b""
    except lzma.LZMAError:
        return False
    return engine.eof


def _lzop(view: View) -> Head:
    """As lzop writes it and Linux reads it: sums of the content alone, and blocks of 256 KiB at most (lib/
    decompress_unlzo.c, which takes four bytes of each block for its sum whatever the flags say)."""
    head = frames.lzop_header(view, 0)
    version, needed, level = view.u16(9, big=True), view.u16(13, big=True), view.u8(16)
    library = view.u16(11, big=True)
    known = 0x0940 <= version <= 0x1040 and needed == 0x0940 and 0x1000 <= library <= 0x20A0
    if not known or not 1 <= level <= 9:
        raise Refused("lzop header", "a version or level that is not decided", [Range(9, 17)])
    if head.flags & 0xFFFFFF & ~_LZOP_PIPES != frames.LZOP_ADLER_D:
        raise Refused("lzop header", f"flags {head.flags:#x} that are not decided", [Range(17, 21)])
    at = head.end
    while block := frames.lzop_block(view, at, head.flags):
        if block.size > _LZOP_BLOCK:
            raise Refused("lzop", "a block that Linux does not unpack", [Range(at, block.at)])
        at = block.at + block.length
    return Head(
        exact={"system": head.flags >> 24, "mode": head.mode, "name": head.name, "version": version},
        free={
            "library": Free("lzop.header", library, Range(11, 13)),
            "level": Free("lzop.header", (view.u8(15), level), Range(15, 17)),
            "pipes": Free("lzop.header", head.flags & _LZOP_PIPES, Range(20, 21)),
            "mtime": Free("lzop.time", head.mtime, Range(25, 33)),
        },
        body=Range(head.end, len(view)),
    )


class _Format(Struct, frozen=True):
    name: str
    magic: bytes
    head: Callable[[View], Head]
    decode: Callable[[decoders.Cursor], decoders.Pieces]


_FORMATS: Final = (
    _Format("gzip", b"\x1f\x8b\x08", _gzip, _gunzip),
    _Format("xz", _XZ, _xz, _unxz),
    _Format("zstd", frames.ZSTD_MAGIC, _zstd, decoders.unzstd),
    _Format("lz4", frames.LZ4_MAGIC, _lz4, decoders.unlz4),
    _Format("lz4-legacy", frames.LZ4_LEGACY_MAGIC, _lz4_legacy, decoders.unlz4_legacy),
    _Format("lzma", b"\x5d\0\0", _lzma, decoders.unlzma),
    _Format("lzma", b"\x6d\0\0", _lzma, decoders.unlzma),
    _Format("bzip2", b"BZh", _bzip2, _bunzip2),
    _Format("lzop", frames.LZOP_MAGIC, _lzop, decoders.unlzop),
)


def decoded(form: _Format, view: View) -> Iterator[Buffer]:
    """The content of one stream that fills the view; raises ``Refused`` where bytes follow it."""
    cursor = decoders.Cursor(view, 0)
    size = 0
    for piece in form.decode(cursor):
        size += len(piece)
        yield piece
    if cursor.at != len(view):
        raise Refused(form.name, "bytes behind the stream", [Range(cursor.at, len(view))])
    if form.name == "zstd":
        stated = frames.zstd_header(view, 0).content
        if stated not in (-1, size):
            raise Refused("zstd", "the frame states another size than it has")


def _affordable(head: Head) -> None:
    """Refuse what asks for more memory than the formats' own levels, where it is compared with nothing."""
    if isinstance(head.exact.get("dictionary"), int) or head.exact.get("one window of all"):
        raise Refused("stream", "a dictionary or window beyond what levels ask for", [head.body])


def open_stream(view: View) -> Iterator[Buffer] | None:
    """The content of a compressed stream of any known format, checked strictly; ``None`` where it is none."""
    for form in _FORMATS:
        if view.startswith(form.magic):
            _affordable(form.head(view))
            return decoded(form, view)
    return None


def _comparator(form: _Format) -> Comparator:
    def compare(work: Work) -> None:
        for view, _ in work.sides:
            _no_archive(view)
        heads = form.head(work.a), form.head(work.b)
        places: list[Place] = [work.spool.put(decoded(form, view)) for view, _ in work.sides]
        work.exactly(f"{form.name} header", heads[0].exact, heads[1].exact)
        work.free(heads[0].free, heads[1].free)
        rule = "lz4.encoding" if form.name.startswith("lz4") else f"{form.name}.encoding"
        _body(work, heads[0].body, heads[1].body, rule)
        work.member(b"content", *places, hints=work.hints - {ANY_STREAM})

    return Comparator(name=form.name, claims=lambda view: view.startswith(form.magic), compare=compare)


def _no_archive(view: View) -> None:
    """Refuses a stream that is a tar archive as well: GNU tar, and dpkg by a member's name, take it for one (GNU tar,
    ``buffer.c``, check_compressed_archive)."""
    head = view.take(0, min(512, len(view)))
    stated = head[148:156].strip(b" \0")
    total = sum(head[:148]) + sum(head[156:]) + 8 * 0x20
    high = sum(byte >= 0x80 for byte in head[:148] + head[156:])
    summed = stated.isdigit() and not stated.strip(b"01234567") and int(stated, 8) in (total, total - 256 * high)
    if len(head) == 512 and (head[257:262] == b"ustar" or summed):
        raise Refused("stream", "it is a tar archive as well", [Range(0, 512)])


def _body(work: Work, one: Range, other: Range, rule: str) -> None:
    a = Place(work.place_a.start + one.start, one.end - one.start)
    b = Place(work.place_b.start + other.start, other.end - other.start)
    if not work.same(a, b):
        work.account.explain(rule, [one], [other])


def _compare_any(work: Work) -> None:
    """Two streams of any formats, or one and what it unpacks to, for a consumer that reads them all."""
    forms = [next((f for f in _FORMATS if view.startswith(f.magic)), None) for view, _ in work.sides]
    if forms == [None, None] or ANY_STREAM not in work.hints:
        raise Refused("stream", "compressed in another format")
    places = []
    for form, view in zip(forms, (work.a, work.b), strict=True):
        if form is not None:
            _no_archive(view)
            _affordable(form.head(view))
        places.append(work.spool.put(decoded(form, view) if form else _as_it_is(view)))
    names = " against ".join(form.name if form else "none" for form in forms)
    work.account.explain("deb.compression", [Range(0, len(work.a))], [Range(0, len(work.b))], names)
    work.member(b"content", *places, hints=work.hints - {ANY_STREAM})


def _as_it_is(view: View) -> Iterator[Buffer]:
    for at in range(0, len(view), _PIECE):
        yield view.mem(at, min(_PIECE, len(view) - at))


def _any(view: View) -> bool:
    """A stream of any format, or an archive of tar that is not compressed."""
    return any(view.startswith(f.magic) for f in _FORMATS) or view.startswith(b"ustar", 257)


#: For pairs of which each side is another of these formats.
ANY: Final = Comparator(name="stream", claims=_any, compare=_compare_any)
COMPARATORS: Final = [_comparator(form) for form in _FORMATS]
