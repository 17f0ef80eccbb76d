"""Kernels that unpack themselves: x86's bzImage, ARM's zImage, EFI zboot images.

The decompressor and every header stand at the same place and are equal; the compressed kernel is a member. A payload of
another size moves the decompressor, whose references are not followed here: refused, but where zeros take up the
difference and every field that states the size is right.

Sources: Linux, Documentation/arch/x86/boot.rst; arch/x86/boot/tools/build.c and scripts/Makefile.lib (size_append);
Documentation/arch/arm/booting.rst; drivers/firmware/efi/libstub/zboot-header.S.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

import zstandard
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers import banners
from banbury.compare.equivalence.containers.contract import KERNEL, Comparator, Place, Work, zero
from banbury.compare.equivalence.containers.still import Explainer, walk
from banbury.compare.equivalence.model import Range
from banbury.formats._decoders import MEMORY
from banbury.formats.codecs import Stream
from banbury.formats.contract import Reader
from banbury.formats.readers._kernel import PAYLOADS, payload_kind
from banbury.formats.readers.kernel import BzImage, Zboot, ZImage
from banbury.formats.view import View
from banbury.model.errors import Malformed

_WORK: Final = 512 << 20
_LEAST: Final = 1 << 16  # bytes of output of what may be a kernel
_TRIES: Final = 64
_FEED: Final = 1 << 11
_CERTIFICATES: Final = 4  # number of the directory of a PE image
_EXTRA: Final = 1 << 15  # bytes, the least that any kernel leaves (arch/x86/boot/header.S, ZO_z_extra_bytes)
_ENGINES: Final[dict[str, Callable[[], Any]]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MEMORY),
    "bzip2": bz2.BZ2Decompressor,
    "zstd": lambda: zstandard.ZstdDecompressor(max_window_size=MEMORY).decompressobj(),
}


class Payload(Struct, frozen=True, kw_only=True):
    """The compressed kernel: where the stream starts and ends, and where its slot ends (behind the size appended to
    it). ``field``: where the header states the slot's size, in four bytes, or -1. ``sum``: where the image's CRC-32
    stands if it is right, or -1. ``placed``: the decompressor holds where the slot ends, so that no other fits."""

    start: int
    end: int
    stop: int
    field: int = -1
    sum: int = -1
    placed: bool = False


def _measured(view: View, kind: str, start: int, stop: int) -> int:
    """Where the stream that starts at ``start`` ends, the size appended to it being right where there is one."""
    window = view.sub(0, stop if kind == "gzip" else stop - 4)
    stream = Stream(kind, window, start)
    size = 0
    for piece in stream:
        size += len(piece)
        if size > _WORK:
            raise Refused("payload", "more output than is looked through")
    end = start + stream.consumed
    if end != len(window) or (kind != "gzip" and view.u32(end) != size & 0xFFFFFFFF):
        raise Refused("payload", "does not fill its place, or states another size than it has")
    return end


def _in_place(view: View, kind: str, start: int, end: int) -> None:
    """Refuse a stream whose output would overtake its input: x86 unpacks in place, the input at the end of the room
    (arch/x86/boot/header.S: what is left of the input is at most what is left of the output and a little more)."""
    if kind not in _ENGINES:
        raise Refused("payload", f"{kind}: whether it can be unpacked in place is not looked at")
    made = []
    engine, size = _ENGINES[kind](), 0
    for at in range(start, end, _FEED):
        if engine.eof:
            break
        size += len(engine.decompress(bytes(view.mem(at, min(_FEED, end - at)))))
        made.append(size)
    slack = (size >> 8) + _EXTRA
    for number, done in enumerate(made):
        if end - start - number * _FEED > size - done + slack:
            where = [Range(start + number * _FEED, end)]
            raise Refused("payload", "its output would overtake its input, which x86 unpacks in place", where)


def _bzimage(view: View) -> Payload:
    if view.u16(0x206) < 0x208:
        raise Refused("boot protocol", "too old to say where the payload is")
    code = ((view.u8(0x1F1) or 4) + 1) * 512
    start, length = code + view.u32(0x248), view.u32(0x24C)
    end = code + view.u32(0x1F4) * 16
    kind = payload_kind(view, start)
    if not kind or start + length > end - 4:
        raise Refused("payload", "is not where the header says")
    crc = zlib.crc32(view.mem(0, end - 4)) ^ 0xFFFFFFFF
    stop = _measured(view, kind, start, start + length)
    _in_place(view, kind, start, stop)
    return Payload(
        start=start, end=stop, stop=start + length, field=0x24C,
        sum=end - 4 if view.u32(end - 4) == crc else -1,
    )  # fmt: skip


def _zimage(view: View) -> Payload:
    """The header does not say where the payload is: the first stream that unpacks to something large."""
    left = _WORK
    for start, kind in _candidates(view):
        stream = Stream(kind, view, start)
        size = 0
        try:
            for piece in stream:
                size += len(piece)
                if size > left:
                    raise Refused("payload", "more output than is looked through")
        except Malformed:
            left -= size
            continue
        left -= size
        end = start + stream.consumed
        if size < _LEAST:
            continue
        if kind != "gzip" and view.u32(end) != size:
            raise Refused("payload", "states another size than it has")
        return Payload(start=start, end=end, stop=end if kind == "gzip" else end + 4, placed=True)
    raise Refused("payload", "none is found")


def _candidates(view: View) -> list[tuple[int, str]]:
    """The first places at which a payload's magic stands; LZ4's old form has no end of its own."""
    out = []
    for magic, kind in PAYLOADS:
        at = view.find(magic, 0x100)
        for _ in range(_TRIES):
            if at >= 0 and kind != "lz4-legacy":
                out.append((at, kind))
                at = view.find(magic, at + 1)
    return sorted(out)[:_TRIES]


def _zboot(view: View) -> Payload:
    start, length = view.u32(8), view.u32(12)
    kind = payload_kind(view, start)
    if not kind:
        raise Refused("payload", "is not where the header says")
    end = _measured(view, kind, start, start + length)
    return Payload(start=start, end=end, stop=start + length, field=12, placed=True)


class _Parts:
    """The explainers of one pair (:data:`~.still.Explainer`)."""

    def __init__(self, work: Work, one: Payload, other: Payload) -> None:
        self.work, self.one, self.other = work, one, other

    def payload(self, at: int, done: int) -> int:
        one, other, work = self.one, self.other, self.work
        stop = max(one.stop, other.stop)
        if not max(one.start, done) <= at < stop:
            return 0
        for view, own in ((work.a, one), (work.b, other)):
            zero(view, own.stop, stop, "room behind the payload")
        work.account.explain(
            "kernel.payload", [Range(one.start, one.stop)], [Range(other.start, other.stop)], f"{one.stop - one.start}"
        )
        a, b = (
            Place(place.start + own.start, own.end - own.start, place.spool)
            for place, own in ((work.place_a, one), (work.place_b, other))
        )
        work.member(b"vmlinux", a, b, hints=[KERNEL])
        return stop

    def length(self, at: int, done: int) -> int:
        """A word that is the payload's length on both sides."""
        start = self.one.field if self.one.field <= at < self.one.field + 4 else at & ~3
        lengths = [struct.pack("<I", p.stop - p.start) for p in (self.one, self.other)]
        if start < done or (self.work.a.take(start, 4), self.work.b.take(start, 4)) != tuple(lengths):
            return 0
        span = [Range(start, start + 4)]
        self.work.account.explain("kernel.payload-length", span, span)
        return start + 4

    def checksum(self, at: int, done: int) -> int:
        start = self.one.sum
        if start < 0 or start != self.other.sum or not max(start, done) <= at < start + 4:
            return 0
        span = [Range(start, start + 4)]
        self.work.account.explain("kernel.checksum", span, span)
        return start + 4

    def setup(self, at: int, done: int) -> int:
        """x86's text with the version, at the place that the header states."""
        work = self.work
        start = 0x200 + work.a.u16(0x20E)
        if start == 0x200 or not max(start, done) <= at < start + 512:
            return 0
        texts = [view.take(start, 512) for view, _ in work.sides]
        one, other = (banners.setup_banner(text) for text in texts)
        if one is None or other is None:
            return 0
        names = banners.declared(one, other, work.record_a, work.record_b)
        sizes = [text.index(b"\0") + 1 for text in texts]
        if sizes[0] != sizes[1]:
            raise Refused("set-up text", "of another length")
        span = [Range(start, start + sizes[0])]
        work.account.explain("kernel.banner", span, span, ", ".join(names))
        return start + sizes[0]


def _same_lengths(work: Work, one: Payload, other: Payload) -> None:
    """Refuse a payload of another length where what unpacks it knows the slot's end, or does not follow everywhere."""
    lengths = one.stop - one.start, other.stop - other.start
    if lengths[0] == lengths[1]:
        return
    where = [Range(one.start, one.stop)], [Range(other.start, other.stop)]
    if one.placed:
        why = "of another length: what unpacks it reads the kernel's size from the end of the place that it had"
        raise Refused("payload", why, *where)
    words = [_words(work.a, one, lengths[0]), _words(work.b, other, lengths[1])]
    if words[0] != words[1] or len(words[0]) < 2:
        raise Refused("payload", "of another length, which the decompressor does not have where it has one's", *where)


def _words(view: View, payload: Payload, length: int) -> set[int]:
    """The places outside of the payload at which its length stands in four bytes."""
    word = struct.pack("<I", length)
    found, at = set(), view.find(word)
    while at >= 0:
        if at + 4 <= payload.start or at >= payload.stop:
            found.add(at)
        at = view.find(word, at + 1)
    return found


def _certified(view: View) -> bool:
    """Whether an image for UEFI has a certificate table (PE format, The Attribute Certificate Table): what is signed is
    all of it, so that no other image has the same signature."""
    if not view.startswith(b"MZ") or len(view) < 0x40:
        return False
    head = view.u32(0x3C)
    if head + 192 > len(view) or not view.startswith(b"PE\0\0", head):
        return False
    optional = head + 24
    first = optional + (112 if view.u16(optional) == 0x20B else 96)
    return view.u32(first - 4) > _CERTIFICATES and view.u32(first + 8 * _CERTIFICATES + 4) > 0


def _comparator(reader: Reader, read: Callable[[View], Payload], *, setup: bool = False) -> Comparator:
    def claims(view: View) -> bool:
        if not any(view.startswith(m.pattern, m.at) for m in reader.magics):
            return False
        extent = reader.probe(view, 0)
        return extent is not None and extent.length == len(view)

    def compare(work: Work) -> None:
        one, other = read(work.a), read(work.b)
        if _certified(work.a) or _certified(work.b):
            raise Refused("certificate table", "a signature of the whole image, which differs")
        if one.start != other.start:
            raise Refused("payload", "stands at another place: another layout, which is not compared for this format")
        _same_lengths(work, one, other)
        parts = _Parts(work, one, other)
        found: list[Explainer] = [parts.payload, parts.checksum, parts.length]
        walk(work, [*found, parts.setup] if setup else found, reader.name)

    return Comparator(name=reader.name, claims=claims, compare=compare)


COMPARATORS: Final = [
    _comparator(BzImage(), _bzimage, setup=True),
    _comparator(ZImage(), _zimage),
    _comparator(Zboot(), _zboot),
]
