"""What readers of firmware headers share: names, checksums, and parts that a header points at."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable

from banbury.formats.contract import Sink, clean_name
from banbury.formats.view import View
from banbury.model.tree import Entry, Kind, Role

_BLOCK = 1 << 20


def label(raw: bytes) -> str:
    """A fixed-size text field for people: up to the first NUL, undecodable bytes escaped."""
    return clean_name(raw.split(b"\0", 1)[0])[0].strip()


def file_name(raw: bytes, default: str) -> tuple[str, bytes]:
    """A member's path and ``raw`` from a name field: one component (``/`` becomes ``_``), ``default`` where empty."""
    stored = raw.split(b"\0", 1)[0].strip()
    name, kept = clean_name(stored)
    if name in ("", ".", ".."):
        return default, stored
    return (name.replace("/", "_"), stored) if "/" in name else (name, kept)


def printable(raw: bytes, *, empty: bool = True) -> bool:
    """Whether a text field holds printable ASCII up to its first NUL and only NUL or 0xff behind it."""
    text, _, rest = raw.partition(b"\0")
    return (empty or bool(text)) and all(0x20 <= b < 0x7F for b in text) and not rest.strip(b"\0\xff")


def crc32(view: View, start: int, end: int, seed: int = 0) -> int:
    """CRC-32 (ISO 3309, as zlib's) of ``start`` to ``end``."""
    for at in range(start, end, _BLOCK):
        seed = zlib.crc32(view.mem(at, min(_BLOCK, end - at)), seed)
    return seed


def jamcrc(view: View, start: int, end: int) -> int:
    """CRC-32 without the final inversion, as several vendors store it."""
    return crc32(view, start, end) ^ 0xFFFFFFFF


def md5(view: View, pieces: Iterable[tuple[int, int] | bytes]) -> bytes:
    """MD5 over stretches of the view (start, end) and literal bytes, in turn. It checks a format's own field."""
    digest = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        if isinstance(piece, bytes):
            digest.update(piece)
        else:
            for at in range(*piece, _BLOCK):
                digest.update(view.mem(at, min(_BLOCK, piece[1] - at)))
    return digest.digest()


def check_digest(sink: Sink, what: str, expected: bytes, found: bytes) -> None:
    """A check on a digest: its first 8 bytes as a number (a check holds numbers), and a note where it differs."""
    sink.check(f"{what} (first 8 bytes)", int.from_bytes(expected[:8], "big"), int.from_bytes(found[:8], "big"))
    if expected != found:
        sink.note("checksum", f"{what}: the header says {expected.hex()}, the content gives {found.hex()}")


def check_number(sink: Sink, what: str, expected: int, found: int) -> None:
    """A check on a checksum, and a note where it differs."""
    sink.check(what, expected, found)
    if expected != found:
        sink.note("checksum", f"{what}: the header says {expected:#x}, the content gives {found:#x}")


def part(sink: Sink, view: View, path: str, start: int, length: int, *, raw: bytes = b"") -> int | None:
    """Add ``length`` bytes from ``start`` as a member. Cut short by the end: noted, what is there is kept.

    ``None`` where there is nothing.
    """
    if length <= 0 or start >= len(view):
        if length > 0:
            sink.note("truncated", f"{path}: {length} bytes at {start:#x} lie behind the end", path=path)
        return None
    end = min(start + length, len(view))
    if end < start + length:
        sink.note("truncated", f"{path}: {length} bytes stated, {end - start} there", path=path, start=start, end=end)
    return sink.slice(Entry(path=path, kind=Kind.FILE, raw=raw, size=length), start, end)


def parts(sink: Sink, view: View, stated: Iterable[tuple[str, int, int]], first: int) -> None:
    """Add parts (path, start, length) that a header of ``first`` bytes points at.

    A part that overlaps the header or one before it is noted and left out: every byte has one owner.
    """
    position = first
    for path, start, length in sorted(stated, key=lambda p: (p[1], p[2])):
        if length <= 0:
            continue
        if start < position:
            sink.note(
                "overlap", f"{path}: {length} bytes at {start:#x} overlap what stands before {position:#x}", path=path
            )
            continue
        part(sink, view, path, start, length)
        position = start + length


def header(sink: Sink, end: int, name: str) -> None:
    """Own the first ``end`` bytes as the header."""
    sink.own(0, end, Role.HEADER, name)
