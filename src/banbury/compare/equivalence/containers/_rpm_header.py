"""RPM's lead and header structure, read to the last byte: every byte of the store belongs to one tag.

Source: rpm.org, "RPM V4 Package format" (``docs/manual/format_v4.md``, ``format_header.md``).
"""

from __future__ import annotations

import struct
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import zero
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

MAGIC: Final = b"\xed\xab\xee\xdb"
LEAD: Final = 96
_HEAD: Final = b"\x8e\xad\xe8\x01\0\0\0\0"
_WIDTH: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}
_LAYOUT: Final = {3: "H", 4: "I", 5: "Q"}
_MOST: Final = 1 << 16  # tags
_LARGEST: Final = 256 << 20  # bytes of the store, as rpm limits it

Value = bytes | tuple[int, ...] | tuple[bytes, ...]


class Entry(Struct, frozen=True):
    """A tag: its type, its value, and where that stands."""

    kind: int
    value: Value
    where: Range

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of a tag that has numbers. Raises ``Refused`` for one that has not."""
        if self.kind not in _LAYOUT:
            raise Refused("header", "a tag of another type than its own", [self.where])
        return self.value  # type: ignore[return-value]

    @property
    def texts(self) -> tuple[bytes, ...]:
        """The strings of a tag that has strings. Raises ``Refused`` for one that has not."""
        if self.kind not in (6, 8, 9):
            raise Refused("header", "a tag of another type than its own", [self.where])
        return self.value  # type: ignore[return-value]

    @property
    def data(self) -> bytes:
        """The bytes of a tag that has bytes. Raises ``Refused`` for one that has not."""
        if not isinstance(self.value, bytes):
            raise Refused("header", "a tag of another type than its own", [self.where])
        return self.value


def read_lead(view: View) -> dict[str, object]:
    """The lead's fields, all of them exact."""
    magic, major, minor, sort, machine, name, system, signature, unused = view.unpack(
        struct.Struct(">4sBBHH66sHH16s"), 0
    )
    assert isinstance(name, bytes)
    text, _, rest = name.partition(b"\0")
    if magic != MAGIC or major != 3 or sort > 1 or signature != 5 or unused != bytes(16) or rest.strip(b"\0"):
        raise Refused("lead", "a version that is not decided, or bytes where there should be none", [Range(0, LEAD)])
    return {"minor": minor, "type": sort, "machine": machine, "name": text, "system": system}


def read_header(view: View, at: int, region: int) -> tuple[dict[int, Entry], int]:
    """The tags of the header at ``at``, and its end. ``region`` is the tag that must cover all of it."""
    if view.take(at, 8) != _HEAD:
        raise Refused(f"header at {at}", "no header of version 1", [Range(at, at + 8)])
    count, size = view.u32(at + 8, big=True), view.u32(at + 12, big=True)
    if not 1 <= count <= _MOST or size > _LARGEST:
        raise Refused(f"header at {at}", "no tags, or too many", [Range(at + 8, at + 16)])
    base = at + 16 + 16 * count
    view.mem(base, size)
    rows = list(struct.iter_unpack(">IIII", view.take(at + 16, 16 * count)))
    trailer = struct.pack(">IIiI", region, 7, -16 * count, 16)
    if rows[0] != (region, 7, size - 16, 16) or size < 16 or view.take(base + size - 16, 16) != trailer:
        raise Refused(f"header at {at}", "its region does not cover it", [Range(at + 16, at + 32)])
    tags = [tag for tag, *_ in rows[1:]]
    if tags != sorted(set(tags)):
        raise Refused(f"header at {at}", "a tag twice, or out of order", [Range(at + 16, base)])
    return _entries(view, base, size - 16, rows[1:]), base + size


def _entries(view: View, base: int, size: int, rows: list[tuple[int, int, int, int]]) -> dict[int, Entry]:
    """Values by tag; they fill the store, with zeros for alignment between them."""
    out: dict[int, Entry] = {}
    rows = sorted(rows, key=lambda row: row[2])
    end = 0
    for number, (tag, kind, start, count) in enumerate(rows):
        stop = rows[number + 1][2] if number + 1 < len(rows) else size
        width = _WIDTH.get(kind, 1)
        if start != end + -end % width or not start < stop <= size or not count:
            raise Refused(f"tag {tag}", "its value is not where the one before it ends", [Range(base, base + size)])
        zero(view, base + end, base + start, f"tag {tag}")
        value, end = _value(view, base, start, stop, kind, count)
        out[tag] = Entry(kind, value, Range(base + start, base + end))
    if end != size:
        raise Refused("header", "bytes that belong to no tag", [Range(base + end, base + size)])
    return out


def _value(view: View, base: int, start: int, stop: int, kind: int, count: int) -> tuple[Value, int]:
    where = [Range(base + start, base + stop)]
    if kind in _WIDTH:
        end = start + _WIDTH[kind] * count
        if end > stop:
            raise Refused("header", "values that overlap", where)
        raw = view.take(base + start, end - start)
        return (struct.unpack(f">{count}{_LAYOUT[kind]}", raw) if kind in _LAYOUT else raw), end
    if kind not in (6, 8, 9) or (kind == 6 and count != 1):
        raise Refused("header", f"a value of type {kind}", where)
    parts = view.take(base + start, stop - start).split(b"\0")
    if len(parts) <= count:
        raise Refused("header", "a string without an end", where)
    return tuple(parts[:count]), start + sum(map(len, parts[:count])) + count
