"""TP-Link SafeLoader images (Archer, CPE, EAP, Deco): size, salted MD5, vendor text, then partitions named in a table.

Source: OpenWrt firmware-utils, tplink-safeloader.c (``put_partitions``, ``put_md5``, ``safeloader_parse_image``).
"""

from __future__ import annotations

import re

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._firmware import check_digest, file_name, label, md5, parts
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Role

_PREAMBLE = 0x14
_TABLE = 0x1014
_TABLE_SIZE = 0x800
_SALT = bytes.fromhex("7a2b15ed9b98596de504ab44ac2a9f4e")
_ROW = re.compile(rb"fwup-ptn (\S{1,32}) base 0x([0-9a-fA-F]{1,8}) size 0x([0-9a-fA-F]{1,8})\t?\r?\n")
_PARTITIONS = 64


class SafeLoader(Reader):
    """An image with the table of partitions 0x1014 bytes from its start."""

    name = "tplink-safeloader"
    title = "TP-Link SafeLoader"
    version = 1
    magics = (Magic(b"fwup-ptn ", _TABLE),)
    references = ("OpenWrt firmware-utils, src/tplink-safeloader.c",)
    limitations = (
        "The variant whose table stands 0x1050 bytes from the start (``?NEW``) is not read.",
        "The MD5 sum uses the salt of most models; on some, newer ones sign the image instead.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        there = len(view) - start
        size = view.u32(start, big=True)
        rows = _rows(view, start)
        if not rows or size < _TABLE + _TABLE_SIZE:
            return None
        needed = max(base + length for _, base, length in rows)
        if _TABLE + needed > size:
            return None
        return Extent(size) if size <= there else Extent(there, sure=False)

    def read(self, view: View, sink: Sink) -> None:
        size = view.u32(0, big=True)
        sink.own(0, _PREAMBLE, Role.HEADER, "size and MD5")
        sink.own(_PREAMBLE, _TABLE, Role.HEADER, "vendor information")
        sink.own(_TABLE, _TABLE + _TABLE_SIZE, Role.TABLE, "partition table")
        _vendor(view, sink)
        if size > len(view):
            sink.note("truncated", f"{size} bytes stated, {len(view)} there")
        else:
            check_digest(sink, "MD5", view.take(4, 16), md5(view, [_SALT, (_PREAMBLE, size)]))
        rows = _rows(view, 0)
        if not rows:
            raise Malformed("no partitions", offset=_TABLE)
        named = [(file_name(n, f"partition{i}")[0], _TABLE + b, s) for i, (n, b, s) in enumerate(rows)]
        parts(sink, view, named, _TABLE + _TABLE_SIZE)


def _rows(view: View, start: int) -> list[tuple[bytes, int, int]]:
    """Name, base (from the table) and size of each row; rows end where the text stops being one."""
    data = view.take(start + _TABLE, min(_TABLE_SIZE, len(view) - start - _TABLE))
    rows: list[tuple[bytes, int, int]] = []
    at = 0
    while len(rows) < _PARTITIONS and (match := _ROW.match(data, at)):
        rows.append((match[1], int(match[2], 16), int(match[3], 16)))
        at = match.end()
    return rows


def _vendor(view: View, sink: Sink) -> None:
    length = view.u32(_PREAMBLE, big=True)
    if 0 < length <= _TABLE - _PREAMBLE - 4:
        sink.property("vendor", label(view.take(_PREAMBLE + 4, min(length, 300)).replace(b"\r\n", b"; ")))
    elif view.startswith(b"fw-type:", _PREAMBLE):
        sink.property("vendor", label(view.cstring(_PREAMBLE, 60).split(b"\n")[0]))


READERS = (SafeLoader(),)
