"""Compiled Python modules with their sources: which of the two the interpreter runs.

Times are let go in archives and in a module's header, and either one decides. So both sides must decide alike: the
header's time and size are those of the source on both, or on neither. Where that cannot be told, they must be equal.
Which module belongs to which source in a tree is worked out in :mod:`banbury.compare.equivalence.times`.

Source: PEP 3147; PEP 552; CPython, ``Lib/importlib/_bootstrap_external.py`` (``_validate_timestamp_pyc``, and the list
of magic numbers).
"""

from __future__ import annotations

import struct


def header_size(magic: int) -> int:
    """Bytes of the header of a module with this magic number, 0 of one that is not known: 8 up to Python 3.3, 12 with
    the source's size, 16 with flags."""
    if 3392 <= magic < 4000:
        return 16
    if 3210 <= magic < 3392:
        return 12
    return 8 if 20121 <= magic <= 62211 or 3000 <= magic < 3210 else 0


def choice(head: bytes, length: int, time: object) -> object:
    """Whether the code is run, by a module's first 16 bytes and its source's length and time (seconds since 1970, or
    what can only be compared); where that cannot be told, all that decides it."""
    size = header_size(int.from_bytes(head[:2], "little")) if head[2:4] == b"\r\n" else 0
    if not size or len(head) < size:
        return head[:16], time
    rest = head[4:size]
    if isinstance(time, int) and (size != 16 or rest[:4] == bytes(4)):
        stated = struct.pack("<I", time & 0xFFFFFFFF)
        if size > 8:
            stated += struct.pack("<I", length & 0xFFFFFFFF)
        return rest[-len(stated) :] == stated
    return rest, time if size != 16 or rest[:4] == bytes(4) else None
