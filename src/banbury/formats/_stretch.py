"""Names what is left of an image when no reader claims it: erased flash, fill, text, and a guess at the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from msgspec import Struct

from banbury.formats.contract import Sink
from banbury.formats.view import View
from banbury.model.tree import Entry, Kind, Role

TEXT = 128  # bytes: a shorter stretch of text is not made a member
FILL = 64  # bytes: a shorter run of one byte within other data is not called padding
_GRAIN = 32  # any run of 64 bytes holds an aligned block of 32
_SAMPLE = 1 << 16
_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\n\r\f\x1b")
_TEXT_TABLE = np.array([b in _TEXT for b in range(256)])
_BLOCK = 1 << 20

#: Strings by which boot loaders give themselves away, with what follows on the line.
_LOADERS = (
    (b"U-Boot ", re.compile(rb"U-Boot (?:SPL )?\d[\x20-\x7e]{2,60}")),
    (b"RedBoot", re.compile(rb"RedBoot[\x20-\x7e\r\n]{0,60}")),
    (b"CFE version", re.compile(rb"CFE version[\x20-\x7e]{1,40}")),
    (b"Bootbase", re.compile(rb"Bootbase[\x20-\x7e]{0,40}")),
    (b"barebox ", re.compile(rb"barebox \d[\x20-\x7e]{2,60}")),
    (b"Linux version ", re.compile(rb"Linux version \d[\x20-\x7e]{2,80}")),
)
#: What OpenWrt writes where JFFS2 is to begin (package/utils/mtd, "jffs2_eof_mark").
_EOF_MARK = b"\xde\xad\xc0\xde"


class Run(Struct, frozen=True, array_like=True):
    """A run of one byte."""

    start: int
    end: int
    byte: int


def fills(view: View, start: int, end: int) -> Iterator[Run]:
    """Runs of 0x00 or 0xff of at least :data:`FILL` bytes in ``start`` to ``end``, ascending. A run across a MiB's edge
    may lose up to 31 bytes there."""
    pending: Run | None = None
    for at in range(start, end, _BLOCK):
        stop = min(at + _BLOCK, end)
        data = view.take(at, stop - at)
        for run in _fills(data, at):
            if pending and pending.end == run.start and pending.byte == run.byte:
                pending = Run(pending.start, run.end, run.byte)
                continue
            if pending and pending.end - pending.start >= FILL:
                yield pending
            pending = run
    if pending and pending.end - pending.start >= FILL:
        yield pending


def _fills(data: bytes, base: int) -> Iterator[Run]:
    """Runs found by aligned blocks and grown to both sides; short ones at the edges of ``data`` too, to be joined."""
    size = len(data) // _GRAIN * _GRAIN
    if not size:
        return
    words = np.frombuffer(data, "<u8", size // 8).reshape(-1, _GRAIN // 8)
    zero = (words[:, 0] | words[:, 1] | words[:, 2] | words[:, 3]) == 0
    full = (words[:, 0] & words[:, 1] & words[:, 2] & words[:, 3]) == 2**64 - 1
    kind = zero.astype(np.int8) + 2 * full.astype(np.int8)
    edges = np.flatnonzero(np.diff(kind, prepend=np.int8(0), append=np.int8(0))).tolist()
    last = 0
    for first, beyond in pairwise(edges):
        if not kind[first]:
            continue
        byte = 0 if kind[first] == 1 else 0xFF
        start, end = first * _GRAIN, beyond * _GRAIN
        start -= _repeat(data[max(last, start - _GRAIN) : start][::-1], byte)
        end += _repeat(data[end : end + _GRAIN], byte)
        last = end
        yield Run(base + start, base + end, byte)


def _repeat(data: bytes, byte: int) -> int:
    return len(data) - len(data.lstrip(bytes([byte])))


def account(view: View, sink: Sink, start: int, end: int) -> None:
    """Give every byte of an unclaimed stretch an owner: padding, a text chunk (a member), or unread with a name."""
    position = start
    for run in fills(view, start, end):
        _rest(view, sink, position, run.start)
        sink.own(run.start, run.end, Role.PADDING, "erased flash" if run.byte else "fill 0x00")
        position = run.end
    _rest(view, sink, position, end)


def _rest(view: View, sink: Sink, start: int, end: int) -> None:
    if start >= end:
        return
    if view.startswith(_EOF_MARK, start):
        sink.own(start, start + 4, Role.HEADER, "JFFS2 end mark")
        start += 4
        if start == end:
            return
    size = end - start
    if view.run(start, end) == size:
        sink.own(start, end, Role.PADDING, f"fill {view.u8(start):#04x}")
    elif size >= TEXT and is_text(view, start, end):
        sink.slice(Entry(path=f"{start:08x}-text", kind=Kind.CHUNK, size=size), start, end)
    else:
        sink.own(start, end, Role.UNREAD, describe(view, start, end))


def is_text(view: View, start: int, end: int) -> bool:
    """Whether every byte is printable ASCII, white space or part of UTF-8 (a NUL at the very end is allowed)."""
    for at in range(start, end, _BLOCK):
        piece = np.frombuffer(view.mem(at, min(_BLOCK, end - at)), np.uint8)
        if at + len(piece) == end and piece[-1] == 0:
            piece = piece[:-1]
        ascii_text = _TEXT_TABLE.take(piece)
        high = piece >= 0x80
        if not (ascii_text | high).all():
            return False
        if high.any() and not _utf8(piece.tobytes()):
            return False
    return True


def _utf8(data: bytes) -> bool:
    """Whether the middle of ``data`` is UTF-8 (characters cut at either edge are forgiven)."""
    try:
        data[: len(data) - 3].lstrip(bytes(range(0x80, 0xC0))).decode()
    except UnicodeDecodeError as problem:
        return problem.reason == "unexpected end of data"
    return True


def describe(view: View, start: int, end: int) -> str:
    """A few words on unread bytes: their entropy class (Shannon, bits a byte, over at most 64 KiB) and boot loader."""
    size = end - start
    if size < FILL:
        return "short remainder"
    entropy, share = _measure(view, start, size)
    if share > 0.95:
        words = "mostly text"
    elif entropy >= 7.6 or (size < 4096 and entropy >= 0.93 * np.log2(min(size, 256))):
        words = "compressed or encrypted"
    elif entropy >= 4.2:
        words = "code-like"
    else:
        words = "sparse data"
    name = loader(view, start, end) if size >= 1024 and words != "compressed or encrypted" else ""
    return f"{words}: {name}" if name else words


def _measure(view: View, start: int, size: int) -> tuple[float, float]:
    """Entropy and the share of text bytes, of the whole or of 16 samples spread evenly."""
    if size <= _SAMPLE:
        counts = np.bincount(np.frombuffer(view.mem(start, size), np.uint8), minlength=256)
    else:
        counts = np.zeros(256, np.int64)
        for i in range(16):
            at = start + (size - 4096) * i // 15
            counts += np.bincount(np.frombuffer(view.mem(at, 4096), np.uint8), minlength=256)
    total = counts.sum()
    shares = counts[counts > 0] / total
    return float(-(shares * np.log2(shares)).sum()), float(counts[_TEXT_TABLE].sum() / total)


def loader(view: View, start: int, end: int) -> str:
    """The banner of a boot loader or kernel in the stretch, or ``""``. Native searches, 1 MiB at a time."""
    for at in range(start, end, _BLOCK):
        data = view.take(at, min(_BLOCK + 128, end - at))
        for probe, banner in _LOADERS:
            if probe in data and (match := banner.search(data)):
                return " ".join(match[0].decode("ascii").split())[:80]
    return ""
