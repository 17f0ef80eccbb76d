"""Samples of partition tables, built here: MBR, extended partitions, GPT."""

from __future__ import annotations

import struct
import uuid
import zlib

from tests.formats.case import Case

SECTOR = 512
ONE, TWO, THREE = b"one!" * 256, b"two!" * 512, b"3333" * 128  # 2, 4 and 1 sectors


def table(records: list[tuple[int, int, int, int]], code: bytes = b"") -> bytes:
    """A sector with up to four (flag, type, first, count)."""
    out = code.ljust(446, b"\0")
    for flag, sort, first, count in records:
        out += struct.pack("<B3sB3sII", flag, bytes(3), sort, bytes(3), first, count)
    return out.ljust(510, b"\0") + b"\x55\xaa"


def disk(sectors: int, parts: dict[int, bytes]) -> bytes:
    image = bytearray(sectors * SECTOR)
    for first, data in parts.items():
        image[first * SECTOR : first * SECTOR + len(data)] = data
    return bytes(image)


def mbr(code: bytes = b"", gap: bytes = b"", overlap: int = 0) -> bytes:
    records = [(0x80, 0x83, 8, 2), (0, 0x0C, 16 - overlap, 4)]
    return disk(32, {0: table(records, code), 4: gap, 8: ONE, 16: TWO})


def extended(second: int = 10) -> bytes:
    outer = table([(0, 0x83, 4, 2), (0, 5, 10, 20)])
    first = table([(0, 0x83, 2, 2), (0, 5, second, 5)])
    last = table([(0, 0x83, 3, 1)])
    return disk(40, {0: outer, 4: ONE, 10: first, 12: ONE, 20: last, 23: THREE})


def gpt(spoil: str = "") -> bytes:
    slots = bytearray(128 * 128)
    parts = {40: ("first", ONE, 2), 50: ("zweite é", TWO, 4)}
    linux = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le
    for i, (first, (name, _, count)) in enumerate(parts.items()):
        raw = linux + bytes([i] * 16) + struct.pack("<QQQ", first, first + count - 1, 0) + name.encode("utf-16-le")
        slots[i * 128 : i * 128 + len(raw)] = raw
    sectors = 100

    def header(mine: int, other: int, entries: int, data: bytes) -> bytes:
        def pack(crc: int) -> bytes:
            return struct.pack(
                "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, mine, other, 34, sectors - 34, b"G" * 16,
                entries, 128, 128, zlib.crc32(data),
            )  # fmt: skip

        return pack(zlib.crc32(pack(0)))

    backup = bytearray(slots)
    if spoil == "backup":
        backup[128 * 3 : 128 * 3 + 48] = linux + b"x" * 16 + struct.pack("<QQ", 60, 61)
    records = [(0, 0xEE, 1, sectors - 1)] + ([(0, 0x83, 70, 5)] if spoil == "hybrid" else [])
    image = disk(
        sectors,
        {
            0: table(records),
            1: header(1, sectors - 1, 2, bytes(slots)),
            2: bytes(slots),
            40: ONE,
            50: TWO,
            sectors - 33: bytes(backup),
            sectors - 1: header(sectors - 1, 1, sectors - 33, bytes(backup)),
        },
    )
    if spoil == "primary":
        image = image[: SECTOR + 60] + b"!" + image[SECTOR + 61 :]
    return image[: 60 * SECTOR] if spoil == "cut" else image


MBR = {"partition-1": ONE, "partition-2": TWO}
CASES = [
    Case("partitions", "positive", "mbr", mbr, tree=MBR),
    Case("partitions", "positive", "boot-code", lambda: mbr(b"\xfa\x33"), tree=MBR),
    Case(
        "partitions",
        "positive",
        "extended",
        extended,
        tree={"partition-1": ONE, "partition-5": ONE, "partition-6": THREE},
    ),
    Case("partitions", "positive", "gpt", gpt, tree=MBR),
    Case("partitions", "negative", "zeros", lambda: bytes(2048)),
    Case("partitions", "negative", "no-partitions", lambda: disk(9, {0: table([])})),
    Case("partitions", "negative", "overlapping", lambda: mbr(overlap=7)),
    Case("partitions", "negative", "starts-outside", lambda: disk(9, {0: table([(0, 0x83, 99, 1)])})),
    Case("partitions", "negative", "odd-flag", lambda: disk(9, {0: table([(7, 0x83, 2, 1)])})),
    Case("partitions", "negative", "protective-without-gpt", lambda: disk(9, {0: table([(0, 0xEE, 1, 8)])})),
    Case("partitions", "malformed", "gap", lambda: mbr(gap=b"loader"), notes=frozenset({"hidden"})),
    Case("partitions", "malformed", "cut", lambda: mbr()[: 18 * SECTOR], notes=frozenset({"truncated"})),
    Case("partitions", "malformed", "extended-loop", lambda: extended(0), notes=frozenset({"loop"})),
    Case("partitions", "malformed", "extended-outside", lambda: extended(5000), notes=frozenset({"loop"})),
    Case("partitions", "malformed", "gpt-primary", lambda: gpt("primary"), notes=frozenset({"checksum", "mismatch"})),
    Case("partitions", "malformed", "gpt-backup", lambda: gpt("backup"), notes=frozenset({"mismatch"})),
    Case("partitions", "malformed", "gpt-hybrid", lambda: gpt("hybrid"), notes=frozenset({"mismatch"})),
    Case("partitions", "malformed", "gpt-cut", lambda: gpt("cut"), notes=frozenset({"truncated"})),
]
