"""Two sides of a difference beside each other: bytes in hexadecimal, as rows that a template sets."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from markupsafe import Markup, escape
from msgspec import Struct

_SPACE: Final = Markup(" ")
_NOTHING: Final = Markup()
_WIDTH: Final = 8  # bytes in a row, so that both sides fit beside each other on paper


class HexRow(Struct, frozen=True):
    """One row: offset in each file, and the bytes of each side as markup with what differs marked."""

    at_a: str
    a: Markup
    at_b: str
    b: Markup


def hex_rows(start_a: int, a: bytes, start_b: int, b: bytes) -> list[HexRow]:
    """Rows of eight bytes of both sides, from their offsets. Nothing but digits and printable ASCII comes out."""
    out = []
    for at in range(0, max(len(a), len(b)), _WIDTH):
        one, other = a[at : at + _WIDTH], b[at : at + _WIDTH]
        marks = [i >= len(one) or i >= len(other) or one[i] != other[i] for i in range(_WIDTH)]
        places = f"{start_a + at:08x}" if one else "", f"{start_b + at:08x}" if other else ""
        out.append(HexRow(places[0], _bytes(one, marks), places[1], _bytes(other, marks)))
    return out


def _bytes(raw: bytes, marks: list[bool]) -> Markup:
    pairs = [f"{byte:02x}" for byte in raw]
    shown = [chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in raw]
    pad = "   " * (_WIDTH - len(raw))
    return _marked(pairs, marks, gap=True) + Markup(pad + "  ") + _marked(shown, marks, gap=False)  # noqa: S704 - only spaces


def _marked(items: list[str], marks: list[bool], *, gap: bool) -> Markup:
    """Items with runs of marked ones in ``<mark>``; every item is escaped."""
    parts = []
    for marked, run in groupby(zip(items, marks, strict=False), key=lambda pair: pair[1]):
        text = escape((" " if gap else "").join(item for item, _ in run))
        parts.append(Markup("<mark>{}</mark>").format(text) if marked else text)
    return (_SPACE if gap else _NOTHING).join(parts)
