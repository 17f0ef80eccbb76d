"""Samples of Minix file systems, versions 1 to 3 and both byte orders, built here."""

from __future__ import annotations

import struct

from tests.formats.case import Case

BLOCK, ZONES, INODES, TABLE = 1024, 64, 32, 4
LARGE = bytes(range(256)) * 40  # 10 zones: needs the indirect zone
TREE = {"a": b"alpha" * 100, "large": LARGE, "d/inner": b"inner\n", "d/again": b"alpha" * 100}
_NAMES = {0x137F: 14, 0x138F: 30, 0x2468: 14, 0x2478: 30, 3: 60}


def build(magic: int = 0x138F, big: bool = False, extra: tuple[tuple[bytes, int], ...] = (), **spoil: int) -> bytes:
    """root: a, large, d (with inner, and again: a hard link to a), link, null. ``spoil``: ``free`` (a byte in the last
    zone), ``size`` and ``zone`` (inode 3's), ``unnamed`` (inode 9 in use)."""
    order = ">" if big else "<"
    version = 3 if magic == 3 else 1 if magic < 0x2000 else 2
    first = TABLE + (1 if version == 1 else 2)
    image = bytearray(BLOCK * ZONES)
    used = [first]
    inodes = {0}

    def store(data: bytes) -> list[int]:
        zones = list(range(used[0], used[0] - (-len(data) // BLOCK)))
        used[0] += len(zones)
        if zones:
            image[zones[0] * BLOCK : zones[0] * BLOCK + len(data)] = data
        return zones

    def inode(number: int, mode: int, size: int, zones: list[int], links: int = 1) -> None:
        inodes.add(number)
        zones = (zones + [0] * 10)[:10]
        if version == 1:
            raw = struct.pack(order + "HHIIBB9H", mode, 5, size, 1_500_000_000, 6, links, *zones[:9])
        else:
            raw = struct.pack(order + "HHHHIIII10I", mode, links, 5, 6, size, 1, 1_500_000_000, 1, *zones)
        at = TABLE * BLOCK + (number - 1) * len(raw)
        image[at : at + len(raw)] = raw

    def content(number: int, data: bytes, links: int = 1) -> None:
        zones = store(data)
        if len(zones) > 7:
            pointers = struct.pack(f"{order}{len(zones) - 7}{'H' if version == 1 else 'I'}", *zones[7:])
            zones = zones[:7] + store(pointers.ljust(BLOCK, b"\0"))
        inode(number, 0o100640, len(data), zones, links)

    def directory(number: int, parent: int, names: list[tuple[bytes, int]]) -> None:
        form = f"{order}{'I' if version == 3 else 'H'}{_NAMES[magic]}s"
        data = b"".join(struct.pack(form, n, name) for name, n in [(b".", number), (b"..", parent), *names])
        inode(number, 0o40755, len(data), store(data.ljust(BLOCK, b"\0")), 2)

    content(2, TREE["a"], 2)
    content(3, LARGE)
    content(4, TREE["d/inner"])
    directory(5, 1, [(b"inner", 4), (b"again", 2)])
    inode(6, 0o120777, 5, store(b"d/x.y"))
    inode(7, 0o20600, 0, [1 << 8 | 3])
    if "unnamed" in spoil:
        content(9, b"nobody names me")
    if "size" in spoil:
        inode(3, 0o100640, spoil["size"], [used[0] - 2] * 3)
    if "zone" in spoil:
        inode(3, 0o100640, 9000, [spoil["zone"], *([0] * 6), spoil["zone"]])
    directory(1, 1, [(b"a", 2), (b"large", 3), (b"d", 5), (b"link", 6), (b"null", 7), *extra])
    if "free" in spoil:
        image[-1] = 1
    head = _head(magic, order, first)
    image[1024 : 1024 + len(head)] = head
    inode_bits = sum(1 << n for n in inodes)
    zone_bits = (1 << used[0] - first + 1) - 1
    image[2 * BLOCK : 3 * BLOCK] = inode_bits.to_bytes(BLOCK, "little")
    image[3 * BLOCK : 4 * BLOCK] = zone_bits.to_bytes(BLOCK, "little")
    return bytes(image)


def _head(magic: int, order: str, first: int) -> bytes:
    """The superblock."""
    if magic == 3:
        return struct.pack(order + "IHHHHHHII3H", INODES, 0, 1, 1, first, 0, 0, 1 << 30, ZONES, 0x4D5A, 0, BLOCK)
    zones = ZONES if magic < 0x2000 else 0
    return struct.pack(order + "6HIHHI", INODES, zones, 1, 1, first, 0, 1 << 28, magic, 1, ZONES)


def _bad(name: str, *notes: str, extra: tuple[tuple[bytes, int], ...] = (), **spoil: int) -> Case:
    return Case("minix", "malformed", name, lambda: build(extra=extra, **spoil), notes=frozenset(notes))


def _good(magic: int, big: bool) -> Case:
    name = f"{magic:#x}-{'big' if big else 'little'}"
    return Case("minix", "positive", name, lambda: build(magic, big), tree=TREE, notes=NULL)


NULL = frozenset({"device-node"})
CASES = [
    *(_good(magic, big) for magic in _NAMES for big in (False, True)),
    Case("minix", "negative", "zeros", lambda: bytes(4096)),
    Case("minix", "negative", "magic-alone", lambda: bytes(1040) + b"\x7f\x13" + bytes(3000)),
    _bad("free-zone", "hidden", free=1),
    _bad("unnamed-inode", "hidden", unnamed=1),
    _bad("shared-zones", "overlap", size=2500),
    _bad("huge", "overlap", size=0x7FFFFFFF),
    _bad("zone-outside", "malformed", zone=60_000),
    _bad("loop", "loop", extra=((b"up", 1),)),
    _bad("slash", "path-traversal", "odd-name", extra=((b"../x", 4),)),
    _bad("twice", "duplicate-name", extra=((b"a", 4),)),
    _bad("no-such-inode", "malformed", extra=((b"x", 5000),)),
    Case("minix", "malformed", "cut", lambda: build()[: 9 * BLOCK], notes=frozenset({"truncated"})),
]  # fmt: skip
