"""UBI images built eraseblock by eraseblock."""

from __future__ import annotations

import struct
import zlib

from tests.formats.case import Case

PEB = 4096
VID_AT, DATA_AT = 64, 128
LEB = PEB - DATA_AT
LAYOUT = 0x7FFFEFFF


def crc(data: bytes) -> int:
    return zlib.crc32(data) ^ 0xFFFFFFFF


def sealed(data: bytes) -> bytes:
    return data + struct.pack(">I", crc(data))


def counter(image: int = 7, vid: int = VID_AT, data: int = DATA_AT) -> bytes:
    return sealed(struct.pack(">4sB3xQIII32x", b"UBI#", 1, 5, vid, data, image))


def peb(
    volume: int,
    lnum: int,
    data: bytes,
    *,
    sort: int = 1,
    sequence: int = 0,
    used: int = 0,
    copy: int = 0,
    wrong: int = 0,
    size: int = PEB,
    stated: int | None = None,
) -> bytes:
    """One eraseblock. ``wrong`` is added to the data's checksum, ``stated`` replaces the data's length."""
    stated = (len(data) if sort == 2 or copy else 0) if stated is None else stated
    check = crc(data) + wrong if stated else 0
    head = struct.pack(
        ">4sBBBBII4xIIII4xQ12x", b"UBI!", 1, sort, copy, 0, volume, lnum, stated, used, 0, check, sequence
    )
    return (counter() + sealed(head) + data).ljust(size, b"\xff")


def erased() -> bytes:
    return counter().ljust(PEB, b"\xff")


def table(*volumes: tuple[int, str, int, int]) -> bytes:
    """The volume table: number, name, LEBs reserved, type. It has as many records as fit a LEB."""
    records = [sealed(bytes(168))] * (LEB // 172)
    for number, name, reserved, sort in volumes:
        body = struct.pack(">IIIBBH128sB23x", reserved, 1, 0, sort, 0, len(name), name.encode(), 0)
        records[number] = sealed(body)
    return b"".join(records)


def layout(records: bytes) -> bytes:
    return peb(LAYOUT, 0, records) + peb(LAYOUT, 1, records)


FIRST, SECOND, THIRD = (bytes([n]) * LEB for n in (65, 66, 67))
KERNEL = b"kernel " * 800


def plain() -> bytes:
    """A dynamic volume out of order with a LEB missing, a static one, a free and an erased eraseblock."""
    image = layout(table((0, "rootfs", 10, 1), (2, "kernel", 2, 2), (3, "empty", 1, 1)))
    image += peb(0, 3, THIRD, sequence=3) + peb(0, 1, SECOND, sequence=1) + erased()
    image += peb(2, 1, KERNEL[LEB:], sort=2, used=2) + b"\xff" * PEB + peb(2, 0, KERNEL[:LEB], sort=2, used=2)
    return image + peb(0, 0, FIRST, sequence=2)


FILES = {"rootfs": FIRST + SECOND + b"\xff" * LEB + THIRD, "kernel": KERNEL, "empty": b""}


def copies() -> bytes:
    """Three copies of one LEB: an old one, a newer one, and a cut-off copy of that with the highest number."""
    image = layout(table((0, "rootfs", 1, 1)))
    image += peb(0, 0, SECOND, sequence=5) + peb(0, 0, THIRD, sequence=9, copy=1, wrong=1)
    return image + peb(0, 0, FIRST, sequence=2)


INNER = b"".join(peb(0, n, b"inner", size=1024) for n in range(3))


def nested() -> bytes:
    """An image whose volume holds a UBI image of smaller eraseblocks."""
    return layout(table((0, "outer", 3, 1))) + b"".join(peb(0, n, INNER) for n in range(3))


def far() -> bytes:
    """A LEB number far past any flash, with a table that allows it."""
    return layout(table((0, "rootfs", (1 << 31) - 1, 1))) + peb(0, (1 << 31) - 2, FIRST) + peb(0, 0, SECOND)


def unsealed() -> bytes:
    data = bytearray(plain())
    data[2 * PEB + VID_AT + 10] ^= 1
    data[DATA_AT] ^= 1
    return bytes(data)


CASES = [
    Case("ubi", "positive", "two volumes", plain, FILES),
    Case("ubi", "positive", "copies", copies, {"rootfs": SECOND}, frozenset({"hidden"})),
    Case("ubi", "positive", "nested", nested, {"outer": INNER.ljust(LEB, b"\xff") * 3}),
    Case("ubi", "negative", "magic alone", lambda: b"UBI#" + bytes(4096)),
    Case("ubi", "malformed", "far LEB", far, notes=frozenset({"malformed"})),
    Case("ubi", "malformed", "checksums", unsealed, notes=frozenset({"checksum"})),
]
