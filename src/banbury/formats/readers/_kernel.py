"""What the readers of Linux kernels share: the compressed payload, and what an uncompressed kernel carries inside."""

from __future__ import annotations

import re

from banbury.formats.carve import Claim, Found, chunk, claims
from banbury.formats.codecs import Stream
from banbury.formats.contract import Sink
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

#: Linux, include/linux/decompress and the lib/decompress*.c of each; the names are those of ``codecs.Stream``.
PAYLOADS = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "lzma"),
    (b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (b"\x02!L\x18", "lz4-legacy"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_BANNER = re.compile(rb"Linux version (\d+\.\d+[\x20-\x7e]{3,400})")
_BLOCK = 1 << 20
_EMBEDDED = frozenset(("cpio", "gzip", "xz", "lzma", "bzip2", "zstd", "lz4", "lz4-legacy", "lzop"))
_TRIES = 64


def payload_kind(view: View, at: int) -> str:
    """How the payload at ``at`` is compressed, ``""`` where no magic that Linux knows stands there."""
    return next((kind for magic, kind in PAYLOADS if view.startswith(magic, at)), "")


def payload(view: View, sink: Sink, kind: str, at: int) -> int:
    """Decompress the payload at ``at`` into a member ``vmlinux``; returns where it ends."""
    stream = Stream(kind, view, at)
    member = sink.file(Entry(path="vmlinux", kind=Kind.FILE), stream)
    end = min(len(view), at + max(1, stream.consumed))
    sink.own(at, end, Role.MEMBER, f"kernel, {kind}", member)
    sink.property("compression", kind)
    return end


def find_payload(view: View, start: int) -> tuple[str, int] | None:
    """The first place from ``start`` on where a payload's magic stands and its first MiB decompresses."""
    places: list[tuple[int, str]] = []
    for magic, kind in PAYLOADS:
        at = view.find(magic, start)
        for _ in range(_TRIES):
            if at < 0:
                break
            places.append((at, kind))
            at = view.find(magic, at + 1)
    for at, kind in sorted(places)[:_TRIES]:
        try:
            first = next(iter(Stream(kind, view, at)), b"")
        except Malformed:
            continue
        if len(first) >= 4096:
            return kind, at
    return None


def banner(view: View, start: int = 0) -> str:
    """The text behind "Linux version ", ``""`` where there is none. One native search, 1 MiB at a time."""
    for at in range(start, len(view), _BLOCK):
        data = view.take(at, min(_BLOCK + 512, len(view) - at))
        if b"Linux version " in data and (match := _BANNER.search(data)):
            return match[1].decode("ascii").strip()
    return ""


def contains(view: View, start: int, needle: bytes) -> bool:
    """Whether ``needle`` stands anywhere from ``start`` on (on a memory map, searching copies is faster)."""
    size = len(view)
    return any(needle in view.take(at, min(_BLOCK + len(needle), size - at)) for at in range(start, size, _BLOCK))


def _wanted(claim: Claim) -> bool:
    """What may be believed inside a kernel, whose tables hold every magic: sure claims, not too small."""
    size = claim.end - claim.start
    least = 32 if claim.reader.name in ("cpio", "gzip", "xz") else 512
    return claim.sure and size >= (least if claim.reader.name in _EMBEDDED else 1 << 16)


def plain_kernel(view: View, sink: Sink, start: int) -> None:
    """Own an uncompressed kernel from ``start`` on. Its configuration and initial RAM file systems become members.

    Source: Linux, kernel/configs.c (``IKCFG_ST``, ``IKCFG_ED`` around a gzip stream), usr/initramfs_data.S.
    """
    if text := banner(view, start):
        sink.property("Linux version", text)
    position = start
    found = Found({})
    for claim in claims(view, start, len(view), found, accept=_wanted):
        config = claim.reader.name == "gzip" and view.startswith(b"IKCFG_ST", claim.start - 8)
        sink.own(position, claim.start - 8 if config else claim.start, Role.TABLE, "kernel image")
        position = claim.end
        if not config:
            chunk(sink, claim)
            continue
        sink.own(claim.start - 8, claim.start, Role.HEADER, "start of configuration")
        member = sink.file(Entry(path="config", kind=Kind.FILE), Stream("gzip", view, claim.start))
        sink.own(claim.start, claim.end, Role.MEMBER, "kernel configuration, gzip", member)
        if view.startswith(b"IKCFG_ED", claim.end):
            sink.own(claim.end, claim.end + 8, Role.HEADER, "end of configuration")
            position = claim.end + 8
    sink.own(position, len(view), Role.TABLE, "kernel image")
    found.report(sink)
