"""The kernel's compressed table of its own symbols (kallsyms), read from an unpacked kernel image.

Layout (Linux, scripts/kallsyms.c, "write_src", and kernel/kallsyms.c): ``num_syms``; ``names``, each a length (a byte;
from 6.1 on a second one where the first has its high bit) and that many tokens; ``markers``, the offset in ``names`` of
every 256th; ``token_table``, 256 texts each with a NUL; ``token_index``, their 256 offsets of 16 bits. A name with its
tokens put in begins with the letter of its type, as nm(1) prints. Other arrays moved over time; these stand in this
order from 2.6 to 6.x. ``num_syms`` and ``markers`` are 4 or 8 bytes wide, in the image's byte order; nothing says where
the table is, so that what is found is checked whole: the index against the token table, every marker against the names.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct

from banbury.formats.view import View

#: In a token table: characters that occur in names keep their own text, and the ten digits always do.
_DIGITS: Final = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00"
_ZERO: Final = ord("0")
_TRIES: Final = 16
_TOKEN: Final = 72  # bytes that the first token and its alignment take at most
_TABLE: Final = 1 << 15  # bytes of a token table at most (256 tokens of 128 characters)
_MOST: Final = 2_000_000  # symbols
_LEAST: Final = 256
_STEP: Final = 256  # names between markers
_NAME: Final = 512  # characters of a name, and so of a token (KSYM_NAME_LEN)
_LONGEST: Final = 4 * _NAME
_WALKS: Final = 64  # counts that are tried before one list of markers
_SPAN: Final = 256 << 20


class Symbols(Struct, frozen=True):
    """The decoded table: ``(type letter, name)`` in the kernel's order, and where the table stands."""

    names: list[tuple[str, str]]
    start: int
    end: int


def kallsyms(view: View) -> Symbols | None:
    """The first whole table in an image; ``None`` where there is none that holds together."""
    at = view.find(_DIGITS)
    for _ in range(_TRIES):
        if at < 0:
            return None
        found = _from_digits(view, at)
        if found is not None:
            return found
        at = view.find(_DIGITS, at + len(_DIGITS))
    return None


def _from_digits(view: View, at: int) -> Symbols | None:
    """The table whose text for the character ``0``, the 48th counted from nought, stands at ``at``."""
    low = max(0, at - _TABLE)
    texts = view.take(low, at - low).split(b"\0")[-_ZERO - 1 : -1]
    if len(texts) < _ZERO:
        return None
    second = at - sum(len(text) + 1 for text in texts[1:])
    # what stands before the table need not end with a NUL; the table itself is aligned
    for start in range((second - 1) & ~3, max(second - _TOKEN, 0), -4):
        tokens = _tokens(view, start)
        if tokens is not None:
            return _table(view, start, tokens)
    return None


def _tokens(view: View, start: int) -> list[bytes] | None:
    """The 256 tokens, where the index that follows agrees with them."""
    raw = view.take(start, min(_TABLE, len(view) - start))
    parts = raw.split(b"\0", 256)
    if len(parts) < 257 or max(map(len, parts[:256])) > _NAME:
        return None
    tokens = parts[:256]
    offsets = np.concatenate(([0], np.cumsum([len(token) + 1 for token in tokens])[:-1]))
    end = int(offsets[-1]) + len(tokens[-1]) + 1
    for order in ("<u2", ">u2"):
        for gap in range(9):
            index = np.frombuffer(raw[end + gap : end + gap + 512].ljust(512, b"\0"), dtype=order)
            if np.array_equal(index, offsets):
                return tokens
    return None


def _table(view: View, tokens_at: int, tokens: list[bytes]) -> Symbols | None:
    low = max(0, tokens_at - _SPAN)
    for width in (4, 8):
        for order in (">", "<"):
            for first, markers in _markers(view, low, tokens_at, width, order):
                found = _names(view, first, markers, width, order, tokens)
                if found is not None:
                    return Symbols(found[0], found[1], tokens_at)
    return None


def _markers(view: View, low: int, end: int, width: int, order: str) -> list[tuple[int, np.ndarray]]:
    """Runs of numbers before ``end`` that begin with nought and rise as offsets of 256 names each do."""
    low += (end - low) % width
    back = min(end - low, 1 << 20)
    values = np.frombuffer(view.take(end - back, back), dtype=f"{order}u{width}").astype(np.float64)
    steps = np.diff(values)
    good = (steps >= _STEP) & (steps <= _STEP * 600)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], good.astype(np.int8), [0]))))
    runs = []
    for begin, stop in zip(edges[::2], edges[1::2], strict=True):
        zero = begin
        if stop - begin >= 1 and values[zero] == 0:
            runs.append((int(stop - begin), end - back + int(zero) * width, values[zero : stop + 1].astype(np.int64)))
    runs.sort(key=lambda run: run[0], reverse=True)
    return [(at, markers) for _, at, markers in runs[:4]]


def _names(
    view: View, first: int, markers: np.ndarray, width: int, order: str, tokens: list[bytes]
) -> tuple[list[tuple[str, str]], int] | None:
    """The names that end where the markers begin, and where their count stands."""
    last = int(markers[-1])
    lowest, highest = max(0, first - last - _STEP * 300), first - last
    if highest <= 0:
        return None
    raw = view.take(lowest, first - lowest)
    big = "big" if order == ">" else "little"
    walks = 0
    for size in (width, 12 - width):
        for at in range(highest - highest % 4, lowest + size, -4):
            count = int.from_bytes(raw[at - size - lowest : at - lowest], big)  # type: ignore[arg-type]
            if not _LEAST <= count <= _MOST or (count + _STEP - 1) // _STEP != len(markers):
                continue
            begin = at - lowest + _padding(raw[at - lowest : at - lowest + 32])
            for long in (True, False):
                names = _walk(raw, begin, count, markers, tokens, long=long)
                if names is not None:
                    return names, at - size
            walks += 1
            if walks > _WALKS:
                return None
    return None


def _padding(raw: bytes) -> int:
    """Alignment after the count (``.align 4`` is 16 bytes on some machines): noughts, since no length is nought."""
    return (len(raw) - len(raw.lstrip(b"\0"))) & ~3


def _walk(
    raw: bytes, begin: int, count: int, markers: np.ndarray, tokens: list[bytes], *, long: bool
) -> list[tuple[str, str]] | None:
    """Every name, with each 256th where its marker says; ``None`` at the first that is not, or that runs out."""
    out: list[tuple[str, str]] = []
    at, end, places = begin, len(raw), (markers + begin).tolist()
    for number in range(count):
        if at + 1 > end or (number % _STEP == 0 and places[number // _STEP] != at):
            return None
        size = raw[at]
        at += 1
        if long and size & 0x80:
            if at >= end:
                return None
            size = (size & 0x7F) | (raw[at] << 7)
            at += 1
        if not size or at + size > end:
            return None
        name = b"".join([tokens[byte] for byte in raw[at : at + size]])
        at += size
        if not 2 <= len(name) <= _LONGEST:
            return None
        out.append((chr(name[0]), name[1:].decode("latin-1")))
    return out
