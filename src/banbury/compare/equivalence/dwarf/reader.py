"""Numbers as DWARF stores them. Every function raises ``IndexError`` or :class:`Malformed` at the section's end."""

from __future__ import annotations

import struct

from banbury.compare.equivalence.dwarf.shape import LENGTH, Malformed, Walk

_FORMS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def number(raw: bytes, at: int, size: int, order: str) -> int:
    """An unsigned number of 1, 2, 3, 4, 8 or 16 bytes."""
    if at < 0 or at + size > len(raw):
        raise IndexError(at)
    if size in _FORMS:
        value: int = struct.unpack_from(order + _FORMS[size], raw, at)[0]
        return value
    return int.from_bytes(raw[at : at + size], "little" if order == "<" else "big")


def uleb(raw: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number of at most 10 bytes, and where it ends."""
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise Malformed("a number without an end", at)


def after_leb(raw: bytes, at: int) -> int:
    """Where a LEB128 number ends."""
    while raw[at] >= 0x80:
        at += 1
    return at + 1


def text_end(raw: bytes, at: int, limit: int) -> int:
    """Behind the zero byte that ends the text at ``at``."""
    end = raw.find(b"\0", at, limit)
    if end < 0:
        raise Malformed("a text without an end", at)
    return end + 1


def unit(walk: Walk, at: int) -> tuple[int, int, int]:
    """(behind the length, end, size of an offset) of the unit at ``at``; the length is entered as a field."""
    raw, order = walk.raw, walk.order
    length = number(raw, at, 4, order)
    start, size = at + 4, 4
    if length == 0xFFFFFFFF:
        length, start, size = number(raw, at + 4, 8, order), at + 12, 8
    elif length >= 0xFFFFFFF0:
        raise Malformed("a length that is reserved", at)
    if length == 0 or start + length > len(raw):
        raise Malformed("a unit that is empty or runs out of its section", at)
    walk.add(start - size, size, LENGTH)
    return start, start + length, size
