"""Summaries of JFFS2's erase blocks, by which Linux mounts where it was built to, and otherwise passes over.

A summary is taken only where it lists just what stands in its block, in that order, so that both ways find the same.
What looks like the mark of one at the end of a block without being one is refused: Linux would read nodes out of
content.

Source: Linux ``fs/jffs2/summary.h``, ``summary.c`` (jffs2_sum_scan_sumnode, jffs2_sum_process_sum_data).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Final, Literal

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

SUMMARY: Final = 0x2006
NAME, INODE, XATTR, XREF, CLEAN, PADDING = 0xE001, 0xE002, 0xE008, 0xE009, 0x2003, 0x2004
_MARK: Final = 0x02851885
_HEAD: Final = 32  # bytes before the list
_ENDS: Final[dict[str, Literal["little", "big"]]] = {"<": "little", ">": "big"}
_UNIT: Final = 4096  # bytes, of which every erase block is a multiple

Stood = tuple[int, int, int]  # where a node stands, its type and length


def check_summary(view: View, order: str, at: int, total: int, nodes: list[Stood], floor: int) -> int:
    """Check a summary against the ``nodes`` before it; returns where its erase block starts, not before ``floor``."""
    where = [Range(at, at + total)]
    if total < _HEAD + 8 or total % 4:
        raise Refused(f"node at {at}", "a summary without its fields", where)
    count, marker, padded, check_list, check_head = view.unpack(struct.Struct(order + "5I"), at + 12)
    body = view.take(at + _HEAD, total - _HEAD)
    offset: int = int.from_bytes(body[-8:-4], _ENDS[order])
    mark = int.from_bytes(body[-4:], _ENDS[order])
    if (_crc(view.take(at, 24)), _crc(body)) != (check_head, check_list) or mark != _MARK or offset > at - floor:
        raise Refused(f"node at {at}", "a checksum or the mark of a summary is wrong", where)
    start = at - offset
    own = []
    for node in reversed(nodes):
        if node[0] < start:
            break
        own.append(node)
    own.reverse()
    listed = [node for node in own if node[1] not in (CLEAN, PADDING)]
    wanted = b"".join(_entry(view, order, node, start) for node in listed)
    cleaned = 12 if own and own[0][:2] == (start, CLEAN) else 0
    fill = sum(size for _, kind, size in own if kind == PADDING)
    clean = sum(kind == CLEAN for _, kind, _ in own)
    if (count, marker, padded, clean) != (len(listed), cleaned, fill, bool(cleaned)):
        raise Refused(f"node at {at}", "a summary that counts otherwise than there is", where)
    if body[:-8] != wanted.ljust(len(body) - 8, b"\xff"):
        raise Refused(f"node at {at}", "a summary that lists otherwise than there is", where)
    return start


def check_marks(view: View, order: str, ends: Iterable[int]) -> None:
    """No erase block but those that end at ``ends`` closes with the mark of a summary, whatever their size."""
    whole = len(view) // _UNIT * _UNIT
    words = np.frombuffer(view.mem(0, whole), order + "u4")[_UNIT // 4 - 1 :: _UNIT // 4]
    for place in ((np.flatnonzero(words == _MARK) + 1) * _UNIT).tolist():
        if place not in ends:
            raise Refused("image", "the mark of a summary in content", [Range(place - 8, place)])


def _entry(view: View, order: str, node: Stood, start: int) -> bytes:
    at, kind, total = node
    one, version, third = view.unpack(struct.Struct(order + "3I"), at + 12)
    if kind == NAME:
        length = view.u8(at + 28)
        head = struct.pack(order + "H5I", kind, total, at - start, one, version, third)
        return head + view.take(at + 28, 2) + view.take(at + 40, length)
    if kind == XREF:
        return struct.pack(order + "HI", kind, at - start)
    return struct.pack(order + "H4I", kind, one, version, at - start, total)


def _crc(raw: bytes) -> int:
    return zlib.crc32(raw, 0xFFFFFFFF) ^ 0xFFFFFFFF
