"""UBI images (Linux, drivers/mtd/ubi/ubi-media.h)."""

from __future__ import annotations

import struct
import zlib

from msgspec import Struct

PEB = 16384
_VID_AT, _DATA_AT = 64, 128
LEB = PEB - _DATA_AT
_LAYOUT = 0x7FFFEFFF


def _sealed(raw: bytes) -> bytes:
    return raw + struct.pack(">I", zlib.crc32(raw) ^ 0xFFFFFFFF)


class Volume(Struct, frozen=True, kw_only=True):
    """A volume: its name, content and whether it is static."""

    name: str
    data: bytes
    static: bool = False


def counter(seed: int, erasures: int) -> bytes:
    """The erase counter's header."""
    return _sealed(struct.pack(">4sB3xQIII32x", b"UBI#", 1, erasures, _VID_AT, _DATA_AT, seed))


def block(
    volume: int,
    number: int,
    data: bytes,
    *,
    sequence: int,
    static: bool = False,
    used: int = 0,
    seed: int = 7,
    erasures: int = 0,
    copy: int = 0,
) -> bytes:
    """One eraseblock."""
    check = zlib.crc32(data) ^ 0xFFFFFFFF if static or copy else 0
    size = len(data) if static or copy else 0
    head = struct.pack(
        ">4sBBBBII4xIIII4xQ12x",
        b"UBI!",
        1,
        2 if static else 1,
        copy,
        5 if volume == _LAYOUT else 0,
        volume,
        number,
        size,
        used,
        0,
        check,
        sequence,
    )
    return (counter(seed, erasures) + _sealed(head) + data).ljust(PEB, b"\xff")


def table(volumes: list[Volume], reserved: int) -> bytes:
    """The volume table."""
    rows = [_sealed(bytes(168))] * min(128, LEB // 172)
    for i, volume in enumerate(volumes):
        name = volume.name.encode()
        rows[i] = _sealed(
            struct.pack(">IIIBBH128sB23x", reserved, 1, 0, 2 if volume.static else 1, 0, len(name), name, 0)
        )
    return b"".join(rows)


def write(
    volumes: list[Volume],
    *,
    seed: int = 7,
    erasures: int = 0,
    sequence: int = 1,
    backwards: bool = False,
    free: int = 1,
    extra: list[bytes] | None = None,
) -> bytes:
    """An image of the volumes. ``extra``: eraseblocks to put in as they are; ``free``: erased ones at the end."""
    reserved = max(-(-len(v.data) // LEB) for v in volumes) + 2
    rows = table(volumes, reserved)
    layout = [block(_LAYOUT, i, rows, sequence=0, seed=seed, erasures=erasures) for i in (0, 1)]
    blocks: list[bytes] = []
    for number, volume in enumerate(volumes):
        count = -(-len(volume.data) // LEB)
        for i in range(count):
            piece = volume.data[i * LEB : (i + 1) * LEB]
            blocks.append(
                block(
                    number,
                    i,
                    piece,
                    sequence=sequence + len(blocks),
                    static=volume.static,
                    used=count if volume.static else 0,
                    seed=seed,
                    erasures=erasures,
                )
            )
    if backwards:
        blocks.reverse()
    empty = [counter(seed, erasures).ljust(PEB, b"\xff")] * free
    return b"".join([*layout, *blocks, *(extra or []), *empty])
