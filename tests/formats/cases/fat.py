"""Samples of FAT12, FAT16 and FAT32, built here, and images by mkfs.fat and mcopy."""

from __future__ import annotations

import struct
import tempfile
from functools import cache
from pathlib import Path

from tests.formats.case import Case
from tests.formats.disk_tools import plant, run, tool

SECTOR = 512
LARGE = bytes(range(256)) * 20  # 10 clusters, stored in two stretches
LONG = "a rather long näme 😀 with surrogates.text"
TREE = {"SHORT.TXT": b"short\n", "lower.txt": b"lower", LONG: LARGE, "DIR/INNER": b"inner"}


def _sum(name: bytes) -> int:
    total = 0
    for byte in name:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total


def record(
    short: bytes, attributes: int, cluster: int, size: int, long: str = "", case: int = 0, wrong: int = 0
) -> bytes:
    out = b""
    units = long.encode("utf-16-le")
    if long:
        units += b"" if len(units) % 26 == 0 else b"\0\0"
        parts = [units[i : i + 26].ljust(26, b"\xff") for i in range(0, len(units), 26)]
        for i in reversed(range(len(parts))):
            number = i + 1 | (0x40 if i == len(parts) - 1 else 0)
            part = parts[i]
            out += struct.pack(
                "<B10sBBB12sH4s", number, part[:10], 0x0F, 0, _sum(short) ^ wrong, part[10:22], 0, part[22:]
            )
    return out + struct.pack(
        "<11sBBBHHHHHHHI", short, attributes, case, 0, 0, 0, 0, cluster >> 16, 0x6000, 0x5345, cluster & 0xFFFF, size
    )


def build(
    bits: int = 12, extra: bytes = b"", *, wrong: int = 0, size: int = len(LARGE), chain: dict[int, int] | None = None,
    free: bytes = b"", second: bool = True, slack: bytes = b"", end: bytes = b"", up: int = 0, size_of_sub: int = 5,
) -> bytes:  # fmt: skip
    """root: a label, SHORT.TXT, lower.txt, a long name (fragmented), DIR (with INNER). One sector a cluster."""
    clusters = {12: 100, 16: 4200, 32: 4200}[bits]
    per_table = -(-(clusters + 2) * bits // 8 // SECTOR) + 1
    reserved, entries = (8, 0) if bits == 32 else (1, 32)
    root_sectors = entries * 32 // SECTOR
    root_cluster = 20
    data = reserved + 2 * per_table + root_sectors
    total = data + clusters
    fat = {0: (1 << min(bits, 28)) - 256 + 0xF8, 1: (1 << min(bits, 28)) - 1}
    last = (1 << min(bits, 28)) - 1
    image = bytearray(total * SECTOR)

    def cluster(number: int, content: bytes) -> None:
        at = (data + number - 2) * SECTOR
        image[at : at + len(content)] = content

    def store(numbers: list[int], content: bytes) -> None:
        for i, number in enumerate(numbers):
            cluster(number, content[i * SECTOR : (i + 1) * SECTOR])
            fat[number] = numbers[i + 1] if i + 1 < len(numbers) else last

    store([2], TREE["SHORT.TXT"] + slack)
    store([3], b"lower")
    store([4, 5, 6, 7, 10, 11, 12, 13, 14, 15], LARGE)
    sub = record(b".          ", 16, 8, 0) + record(b"..         ", 16, up, 0)
    store([8], sub + record(b"INNER      ", 32, 9, size_of_sub))
    store([9], b"inner")
    root = (
        record(b"MYLABEL    ", 8, 0, 0) + record(b"SHORT   TXT", 32, 2, 6) + record(b"LOWER   TXT", 32, 3, 5, case=24)
    )
    root += record(b"ARATHE~1TEX", 32, 4, size, LONG, wrong=wrong) + record(b"DIR        ", 16, 8, 0) + extra
    root += end and bytes(32) + end
    if bits == 32:
        store([root_cluster, 21, 22, 23], root.ljust(2048, b"\0"))
    else:
        image[(data - root_sectors) * SECTOR : (data - root_sectors) * SECTOR + len(root)] = root
    if free:
        cluster(60, free)
    fat.update(chain or {})
    raw = bytearray(per_table * SECTOR)
    for number, value in fat.items():
        if bits == 12:
            at = number * 3 // 2
            old = raw[at] | raw[at + 1] << 8
            new = old & 0x000F | value << 4 if number % 2 else old & 0xF000 | value
            raw[at : at + 2] = struct.pack("<H", new)
        else:
            struct.pack_into("<H" if bits == 16 else "<I", raw, number * bits // 8, value)
    image[reserved * SECTOR : (reserved + per_table) * SECTOR] = raw
    if second:
        image[(reserved + per_table) * SECTOR : (reserved + 2 * per_table) * SECTOR] = raw
    small = 0 if bits == 32 else per_table
    boot = struct.pack(
        "<3s8sHBHBHHBHHHII", b"\xeb\x3c\x90", b"built", SECTOR, 1, reserved, 2, entries, 0, 0xF8, small, 1, 1, 0, total
    )
    if bits == 32:
        boot += struct.pack(
            "<IHHIHH12xBBBI11s8s", per_table, 0, 0, root_cluster, 1, 6, 0x80, 0, 0x29, 1, b"MYLABEL    ", b"FAT32   "
        )
        info = bytearray(
            b"RRaA".ljust(484, b"\0") + b"rrAa" + struct.pack("<II", clusters - sum(n > 1 for n in fat), 2)
        )
        image[SECTOR : SECTOR + len(info)] = info
        image[6 * SECTOR : 6 * SECTOR + len(boot)] = boot
    else:
        boot += struct.pack("<BBBI11s8s", 0x80, 0, 0x29, 1, b"MYLABEL    ", f"FAT{bits}   ".encode())
    image[: len(boot)] = boot
    image[510:512] = b"\x55\xaa"
    return bytes(image)


@cache
def mkfs(options: str, size: str) -> bytes:
    make, copy = tool("mkfs.fat", "dosfstools"), tool("mcopy", "mtools")
    with tempfile.TemporaryDirectory() as work:
        root, image = Path(work) / "tree", Path(work) / "image"
        plant(root, special=False, odd=False)
        run("truncate", "-s", size, image)
        run(make, *options.split(), image)
        run(copy, "-s", "-m", "-i", image, *sorted(root.iterdir()), "::/", env={"MTOOLS_SKIP_CHECK": "1"})
        return image.read_bytes()


def _bad(name: str, *notes: str, **how: object) -> Case:
    return Case("fat", "malformed", name, lambda: build(**how), notes=frozenset(notes))  # type: ignore[arg-type]


MEDIA = 11 + 10
CASES = [
    *(Case("fat", "positive", f"fat{bits}", lambda b=bits: build(b), tree=TREE) for bits in (12, 16, 32)),  # type: ignore[misc]
    Case("fat", "positive", "mkfs", lambda: mkfs("-F 12 -n LABEL", "1M"), tree={"tiny": b"hello\n", "empty": b""}),
    Case("fat", "negative", "zeros", lambda: bytes(4096)),
    Case("fat", "negative", "signature-alone", lambda: b"\xeb\x3c\x90" + bytes(507) + b"\x55\xaa" + bytes(4096)),
    Case("fat", "negative", "media-contradict", lambda: build()[:MEDIA] + b"\xf0" + build()[MEDIA + 1 :]),
    _bad("long-name-of-another", "malformed", wrong=1),
    _bad("deleted-record", "hidden", extra=b"\xe5" + record(b"XDELETED   ", 32, 60, 9)[1:]),
    _bad("free-cluster", "hidden", free=b"secret"),
    _bad("behind-a-file", "hidden", slack=b"\0\0secret"),
    _bad("behind-the-end-mark", "hidden", end=record(b"NOT LISTED ", 32, 2, 6)),
    _bad("tables-differ", "mismatch", second=False),
    _bad("chain-loop", "malformed", "overlap", size=1 << 31, chain={15: 4}),
    _bad("chain-of-one", "malformed", "overlap", size=0xFFFFFFFF, chain={4: 4}),
    _bad("chain-ends", "malformed", chain={6: 0xFFF}),
    _bad("chain-to-free", "malformed", chain={6: 0}),
    _bad("cross-linked", "overlap", extra=record(b"CROSS      ", 32, 11, 900)),
    _bad("directory-loop", "loop", extra=record(b"AGAIN      ", 16, 8, 0)),
    _bad("directory-cycle", "loop", chain={8: 8}),
    _bad("twice", "duplicate-name", extra=record(b"SHORT   TXT", 32, 3, 5)),
    _bad("slash", "path-traversal", "odd-name", extra=record(b"X          ", 32, 3, 5, "../../x")),
    _bad("lone-surrogate", "odd-name", extra=record(b"X          ", 32, 3, 5, "ab")[:1] + b"\x00\xd8"
         + record(b"X          ", 32, 3, 5, "ab")[3:]),
    _bad("wrong-parent", "mismatch", up=5),
    Case("fat", "malformed", "cut", lambda: build()[: 12 * SECTOR], notes=frozenset({"truncated"})),
]  # fmt: skip
