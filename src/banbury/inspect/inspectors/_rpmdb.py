"""RPM databases: header blobs, and the three containers they come in.

Sources: RPM documentation, "RPM V4 Package format" (header structure); ``lib/backend/ndb/rpmpkg.c`` of RPM for the NDB
layout; Berkeley DB, ``dbinc/db_page.h`` for hash pages.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from typing import Final

from banbury.formats.view import View
from banbury.model.errors import Malformed

_MAX_HEADERS: Final = 20_000
_MAX_BLOB: Final = 32 << 20
_STEPS: Final = 20_000_000  # virtual machine instructions that a hostile SQLite file may cost

_STRINGS: Final = {
    1000: "name",
    1001: "version",
    1002: "release",
    1014: "license",
    1011: "vendor",
    1022: "arch",
    1044: "source",
    1016: "group",
}
_REQUIRES: Final = 1049
_PROVIDES: Final = 1047
_BASENAMES: Final = 1117
_CHANGES: Final = 1082
_EPOCH: Final = 1003
_SIZE: Final = 1009
_INDEX: Final = struct.Struct(">IIII")


def _string(store: bytes, at: int) -> str:
    end = store.find(b"\0", at, at + 4096)
    return store[at : end if end >= 0 else at].decode("utf-8", "replace")


def _string_list(store: bytes, at: int, count: int) -> list[str]:
    out = []
    for _ in range(min(count, 1000)):
        end = store.find(b"\0", at, at + 4096)
        if end < 0:
            break
        out.append(store[at:end].decode("utf-8", "replace"))
        at = end + 1
    return out


def _strings(store: bytes, at: int, count: int) -> bytes:
    """The bytes of a list of texts that are too long to be taken one by one."""
    end = at
    for _ in range(count):
        end = store.find(b"\0", end) + 1
        if end == 0:
            return store[at:]
    return store[at:end]


def header(blob: bytes) -> dict[str, object]:
    """The fields of one header: texts by name, ``requires`` and ``provides`` as lists, ``files`` and ``size``, and
    ``changes``: the texts of the changelog as they lie in the header, one after the other."""
    if len(blob) < 8:
        raise Malformed("RPM header cut short")
    count, size = struct.unpack_from(">II", blob)
    if count > 65536 or 8 + 16 * count + size > len(blob):
        raise Malformed("RPM header larger than what holds it")
    store = blob[8 + 16 * count : 8 + 16 * count + size]
    out: dict[str, object] = {}
    for tag, kind, offset, number in _INDEX.iter_unpack(blob[8 : 8 + 16 * count]):
        if tag in _STRINGS and kind in {6, 8, 9}:
            out[_STRINGS[tag]] = _string(store, offset)
        elif tag in {_REQUIRES, _PROVIDES} and kind == 8:
            out["requires" if tag == _REQUIRES else "provides"] = _string_list(store, offset, number)
        elif tag == _CHANGES and kind == 8:
            out["changes"] = _strings(store, offset, number)
        elif tag == _BASENAMES:
            out["files"] = number
        elif tag in {_EPOCH, _SIZE} and kind == 4 and offset + 4 <= len(store):
            out["epoch" if tag == _EPOCH else "size"] = int.from_bytes(store[offset : offset + 4], "big")
    if not out.get("name"):
        raise Malformed("RPM header without a name")
    return out


def ndb(view: View) -> Iterator[bytes]:
    """The header blobs of a ``Packages.db`` (NDB)."""
    pages = view.u32(12)
    if not 0 < pages <= 2048:
        raise Malformed("NDB header states an impossible number of slot pages", offset=12)
    found = 0
    for at in range(32, min(pages * 4096, len(view) - 15), 16):
        if not view.startswith(b"Slot", at):
            continue
        index, block = view.u32(at + 4), view.u32(at + 8)
        if index == 0:
            continue
        start = block * 16
        if not view.startswith(b"BlbS", start):
            raise Malformed("NDB slot without its blob", offset=at)
        found += 1
        if found > _MAX_HEADERS:
            raise Malformed(f"NDB holds more than {_MAX_HEADERS} packages")
        yield view.take(start + 16, min(view.u32(start + 12), _MAX_BLOB))


def berkeley(view: View) -> Iterator[bytes]:
    """The header blobs of a ``Packages`` file (Berkeley DB, hash access method)."""
    big = view.u32(12, big=True) == 0x061561
    size, last = view.u32(20, big), view.u32(32, big)
    if size not in {512 << i for i in range(8)}:
        raise Malformed("Berkeley DB page size out of range", offset=20)
    budget = len(view) // size + 1  # overflow pages that may be followed in all: each belongs to one value
    for page in range(1, min(last + 1, len(view) // size)):
        base = page * size
        if view.u8(base + 25) not in {2, 13}:
            continue
        entries = min(view.u16(base + 20, big), (size - 26) // 2)
        for i in range(1, entries, 2):  # keys and values alternate, laid out from the page's end downwards
            at, end = view.u16(base + 26 + 2 * i, big), view.u16(base + 24 + 2 * i, big)
            if not 26 <= at < end <= size:
                continue
            kind = view.u8(base + at)
            if kind == 3 and at + 12 <= size:
                blob, pages = _overflow(view, view.u32(base + at + 4, big), size, big, budget)
                budget -= pages
                yield blob
            elif kind == 1 and end - at > 32:  # shorter ones are RPM's own counter
                yield view.take(base + at + 1, end - at - 1)


def _overflow(view: View, page: int, size: int, big: bool, budget: int) -> tuple[bytes, int]:
    """The value that starts on overflow page ``page``, and how many pages it took."""
    out = bytearray()
    count = 0
    while page:
        base = page * size
        count += 1
        if count > budget:
            raise Malformed("Berkeley DB overflow pages in a loop", offset=base)
        if view.u8(base + 25) != 7:
            raise Malformed("Berkeley DB overflow page of another type", offset=base)
        length = min(view.u16(base + 22, big), size - 26)
        out += view.mem(base + 26, length)
        page = view.u32(base + 16, big)
    return bytes(out), count


def sqlite(data: bytes) -> Iterator[bytes]:
    """The header blobs of an ``rpmdb.sqlite``, read from a copy in memory within a bounded number of steps.
    What stands only in a write-ahead log beside the file is not read."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.text_factory = bytes  # names in a damaged schema may be no UTF-8
        # Marked as written with a log beside it (bytes 18 and 19: 2), it would not open without; 1 means none.
        connection.deserialize(data[:18] + b"\1\1" + data[20:])
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA cell_size_check=ON")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_BLOB)
        steps = iter(range(_STEPS // 10_000))
        connection.set_progress_handler(lambda: next(steps, None) is None, 10_000)
        kind = connection.execute("SELECT type FROM sqlite_master WHERE name='Packages'").fetchone()
        if kind != (b"table",):
            raise Malformed("no table Packages")
        for (blob,) in connection.execute(f"SELECT blob FROM Packages LIMIT {_MAX_HEADERS}"):  # noqa: S608 - a constant
            if isinstance(blob, bytes):
                yield blob
    except (sqlite3.Error, UnicodeDecodeError) as problem:  # the latter where SQLite's own message is no UTF-8
        raise Malformed(f"SQLite: {problem}") from problem
    finally:
        connection.close()
