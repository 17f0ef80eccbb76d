"""Java bytecode and stack maps, with their references to constants taken out.

Source: The Java Virtual Machine Specification, Java SE 22 edition, 4.7.3 (Code), 4.7.4 (StackMapTable), chapter 6.
"""

from __future__ import annotations

import struct
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.leaves._classpool import Pool

#: Bytes of an instruction by its opcode; 0: it has another length each time, or there is no such instruction.
_LENGTHS: Final = bytearray(256)
for _first, _last, _length in (
    (0x00, 0x0F, 1), (0x10, 0x10, 2), (0x11, 0x11, 3), (0x12, 0x12, 2), (0x13, 0x14, 3), (0x15, 0x19, 2),
    (0x1A, 0x35, 1), (0x36, 0x3A, 2), (0x3B, 0x83, 1), (0x84, 0x84, 3), (0x85, 0x98, 1), (0x99, 0xA8, 3),
    (0xA9, 0xA9, 2), (0xAC, 0xB1, 1), (0xB2, 0xB8, 3), (0xB9, 0xBA, 5), (0xBB, 0xBB, 3), (0xBC, 0xBC, 2),
    (0xBD, 0xBD, 3), (0xBE, 0xBF, 1), (0xC0, 0xC1, 3), (0xC2, 0xC3, 1), (0xC5, 0xC5, 4), (0xC6, 0xC7, 3),
    (0xC8, 0xC9, 5),
):  # fmt: skip
    _LENGTHS[_first : _last + 1] = bytes([_length]) * (_last + 1 - _first)
_NARROW: Final = (3, 4, 7, 8, 15, 16, 17)
#: What an instruction's first operand refers to, by opcode.
_REFERS: Final[dict[int, tuple[int, ...]]] = {
    0x12: _NARROW, 0x13: _NARROW, 0x14: (5, 6, 17), **dict.fromkeys(range(0xB2, 0xB6), (9,)), 0xB6: (10,),
    0xB7: (10, 11), 0xB8: (10, 11), 0xB9: (11,), 0xBA: (18,), **dict.fromkeys((0xBB, 0xBD, 0xC0, 0xC1, 0xC5), (7,)),
}  # fmt: skip


def instructions(raw: bytes, pool: Pool) -> tuple[bytes, tuple[int, ...], set[int]]:
    """(code with references zeroed, the numbers that they refer to, where instructions start)."""
    out = bytearray(raw)
    values: list[int] = []
    starts: list[int] = []
    at, end = 0, len(raw)
    while at < end:
        starts.append(at)
        code = raw[at]
        size = _LENGTHS[code] or _odd_length(raw, at)
        tags = _REFERS.get(code)
        if at + size > end:
            raise Refused("Code", f"an instruction at {at} that does not end within the code")
        if tags is not None:
            if code == 0x12:
                values.append(pool.value(raw[at + 1], tags))
                out[at + 1] = 0
            else:
                values.append(pool.value(raw[at + 1] << 8 | raw[at + 2], tags))
                out[at + 1 : at + 3] = b"\0\0"
        at += size
    return bytes(out), tuple(values), set(starts)


def _odd_length(raw: bytes, at: int) -> int:
    """Bytes of a switch or a wide instruction."""
    code = raw[at]
    if code == 0xC4 and at + 1 < len(raw):
        inner = raw[at + 1]
        if inner == 0x84:
            return 6
        if 0x15 <= inner <= 0x19 or 0x36 <= inner <= 0x3A or inner == 0xA9:
            return 4
    if code in (0xAA, 0xAB):
        base = at + 4 & ~3
        if base + 12 <= len(raw):
            _, low, high = struct.unpack_from(">iii", raw, base)
            count, size = (high - low + 1, 4) if code == 0xAA else (low, 8)
            if count >= 0 and base + (12 if code == 0xAA else 8) + count * size <= len(raw):
                end: int = base + (12 if code == 0xAA else 8) + count * size
                return end - at
        elif code == 0xAB and base + 8 <= len(raw) and raw[base + 4 : base + 8] == bytes(4):
            return base + 8 - at
    raise Refused("Code", f"no instruction of Java at {at}")


class Cursor:
    """Reads a run of bytes that must be used up. ``kept`` collects what makes its value."""

    def __init__(self, raw: bytes, pool: Pool, where: str) -> None:
        self.raw, self.pool, self.where, self.at = raw, pool, where, 0
        self.kept: list[object] = []

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.raw):
            raise Refused(self.where, "is shorter than what it holds")
        out = self.raw[self.at : end]
        self.at = end
        return out

    def number(self, size: int) -> int:
        """An unsigned number, which is part of the value."""
        found = int.from_bytes(self.take(size), "big")
        self.kept.append(found)
        return found

    def refer(self, *tags: int, optional: bool = False) -> int:
        """A reference to a constant, which is part of the value; returns its index."""
        index = int.from_bytes(self.take(2), "big")
        self.kept.append(self.pool.optional(index, tags) if optional else self.pool.value(index, tags))
        return index

    def end(self) -> int:
        """The number of the whole value."""
        if self.at != len(self.raw):
            raise Refused(self.where, "holds more than its parts")
        return self.pool.numbers.of(self.where, *self.kept)


def stack_map(cursor: Cursor) -> None:
    """A StackMapTable's frames."""
    for _ in range(cursor.number(2)):
        kind = cursor.number(1)
        if 128 <= kind < 247:
            raise Refused(cursor.where, f"a frame of the reserved kind {kind}")
        if kind >= 247:
            cursor.number(2)
        if 64 <= kind < 128 or kind == 247:
            _types(cursor, 1)
        elif 252 <= kind < 255:
            _types(cursor, kind - 251)
        elif kind == 255:
            _types(cursor, cursor.number(2))
            _types(cursor, cursor.number(2))


def _types(cursor: Cursor, count: int) -> None:
    for _ in range(count):
        tag = cursor.number(1)
        if tag == 7:
            cursor.refer(7)
        elif tag == 8:
            cursor.number(2)
        elif tag > 8:
            raise Refused(cursor.where, f"a type of the unknown kind {tag}")
