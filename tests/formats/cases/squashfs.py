"""Samples of SquashFS: what mksquashfs makes of each compressor, and small images of every version made here."""

from __future__ import annotations

import lzma
import os
import random
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest

from tests.formats.case import Case
from tests.formats.squashfs_writer import Node, Squash, tree

Pack = Callable[[bytes], bytes]


def _text(size: int, seed: int = 1) -> bytes:
    rng = random.Random(seed)
    words = [b"option ", b"interface\n", b"'lan'", b"1", b"static ", b"192.168.1.1\n"]
    return b"".join(rng.choice(words) for _ in range(size // 3))[:size]


def sample(version: int) -> Node:
    """A tree with everything that a version can hold."""
    names = {
        "bin": tree(sh=Node(data=_text(9000, 2), mode=0o4755), ash=Node("symlink", b"sh", mode=0o777)),
        "dev": tree(null=Node("char", rdev=0x103), sda=Node("block", rdev=0x800), log=Node("socket")),
        "etc": tree(passwd=b"root:x:0:0:root:/root:/bin/sh\n", shadow=Node(data=_text(300), mode=0o600, owner=(5, 6))),
        "exact": _text(8192, 3),
        "empty": b"",
        "long": Node(data=_text(12345, 4), large=version > 2),
        "noise": random.Random(5).randbytes(5000),
        "pipe": Node("fifo", owner=(20, 20)),
        "void": Node("dir", large=version > 1),
    }
    if version > 1:
        names["holes"] = _text(4096) + bytes(8192) + b"end"
    return tree(**names)


def files(node: Node, above: str = "") -> dict[str, bytes]:
    """Path and content of every file below a node of the writer."""
    out: dict[str, bytes] = {}
    for raw, child in node.children:
        path = above + raw.decode()
        if child.kind == "dir":
            out |= files(child, path + "/")
        elif child.kind == "file":
            out[path] = (child.same or child).data
    return out


def literals(data: bytes, lc: int, lp: int, pb: int) -> bytes:
    """A raw LZMA stream of literals only and without an end marker, as vendors' encoders leave it (lzma.txt)."""
    out, low, width, cache_byte, pending = bytearray(), 0, 0xFFFFFFFF, 0, 1
    first = True
    probs: dict[tuple[int, ...], int] = {}

    def shift() -> None:
        nonlocal low, cache_byte, pending, first
        if low < 0xFF000000 or low > 0xFFFFFFFF:
            carry = low >> 32
            while pending:
                out.append((cache_byte + carry) & 0xFF)
                cache_byte = 0xFF
                pending -= 1
            cache_byte = low >> 24 & 0xFF
        pending += 1
        low = low << 8 & 0xFFFFFFFF

    def bit(key: tuple[int, ...], value: int) -> None:
        nonlocal low, width
        chance = probs.get(key, 1024)
        bound = (width >> 11) * chance
        if value:
            low += bound
            width -= bound
            probs[key] = chance - (chance >> 5)
        else:
            width = bound
            probs[key] = chance + (2048 - chance >> 5)
        while width < 1 << 24:
            width = width << 8 & 0xFFFFFFFF
            shift()

    previous = 0
    for position, byte in enumerate(data):
        bit((-1, position & (1 << pb) - 1), 0)
        context = ((position & (1 << lp) - 1) << lc) + (previous >> 8 - lc)
        symbol = 1
        for at in range(7, -1, -1):
            bit((context, symbol), byte >> at & 1)
            symbol = symbol << 1 | byte >> at & 1
        previous = byte
    for _ in range(5):
        shift()
    return bytes(out)


def raw_lzma(data: bytes, lc: int = 3, lp: int = 0, pb: int = 2, head: bytes = b"") -> bytes:
    return head + literals(data, lc, lp, pb)


def _props(lc: int, lp: int, pb: int) -> bytes:
    return struct.pack("<BI", (pb * 5 + lp) * 9 + lc, 1 << 16)


def _sized(data: bytes, wide: str) -> bytes:
    return raw_lzma(data, 3, 0, 2, _props(3, 0, 2) + struct.pack(wide, len(data)))


def _ddwrt(data: bytes) -> bytes:
    lc = 3 if len(data) % 2 else 0  # each block its own, as DD-WRT does
    return raw_lzma(data, lc, 0, 2, bytes((2, lc, 0, 0)))


def xz(data: bytes) -> bytes:
    return lzma.compress(data, check=lzma.CHECK_CRC32)


#: Name of the compressor the reader must find, its encoder, and an image's version, magic and byte order.
VENDORS: list[tuple[str, Pack, int, bytes, bool, int]] = [
    ("lzma", partial(_sized, wide="<Q"), 2, b"sqlz", True, 0),
    ("lzma", lambda d: lzma.compress(d, lzma.FORMAT_ALONE), 3, b"hsqs", False, 1),
    ("lzma (properties)", lambda d: raw_lzma(d, 3, 0, 2, _props(3, 0, 2)), 2, b"hsqs", False, ord("L")),
    ("lzma (properties, size)", partial(_sized, wide="<I"), 3, b"shsq", False, 0),
    (
        "lzma (4 bytes, properties)",
        lambda d: raw_lzma(d, 1, 0, 1, b"\x11\x22\x33\x44" + _props(1, 0, 1)),
        1,
        b"sqsh",
        True,
        0,
    ),
    ("lzma (7zip mark)", lambda d: raw_lzma(d, 3, 0, 2, b"7zip"), 3, b"qshs", True, 0),
    ("lzma (DD-WRT)", _ddwrt, 3, b"hsqt", False, 0),
    ("lzma (raw, lc=3 lp=0 pb=2)", raw_lzma, 2, b"sqsh", True, 1),
    ("lzma (raw, lc=0 lp=2 pb=0 after 2 bytes)", lambda d: raw_lzma(d, 0, 2, 0, b"\xab\xcd"), 3, b"tqsh", True, 0),
]


@cache
def old(version: int, big: bool, check: bool, log: int, pack: Pack = zlib.compress) -> bytes:
    return Squash(sample(version), version, big=big, check=check, log=log, pack=pack).build()


@cache
def vendor(at: int) -> bytes:
    _, pack, version, magic, big, minor = VENDORS[at]
    return Squash(sample(version), version, pack=pack, magic=magic, big=big, minor=minor).build()


@cache
def avm(short_little: bool) -> bytes:
    """4.0 big-endian; AVM's images keep the lengths of metadata blocks little-endian."""
    return Squash(sample(4), big=True, pack=xz, compressor=4, short_little=short_little).build()


def _made_tree() -> dict[str, bytes]:
    content = {
        "bin/busybox": _text(200_000, 6),
        "etc/passwd": b"root:x:0:0::/:/bin/sh\n",
        "etc/empty": b"",
        "lib/noise.so": random.Random(7).randbytes(150_000),
        "lib/exact": _text(131_072, 8),
        "copy": _text(200_000, 6),
    }
    return content | {f"www/page{i:03}.html": _text(i * 11, i) for i in range(70)}


def fill(folder: Path) -> None:
    """Write the tree that ``made`` has mksquashfs pack."""
    for path, data in _made_tree().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / "bin/sh").symlink_to("busybox")


@cache
def made(*options: str) -> bytes:
    """What mksquashfs makes of that tree with these options."""
    tool = shutil.which("mksquashfs")
    if tool is None:
        pytest.skip("mksquashfs is not installed: the reader is not compared with it")
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder, "in"))
        target = os.path.join(folder, "out")
        command = [tool, f"{folder}/in", target, "-quiet", "-no-progress", "-all-root", "-processors", "1", *options]
        subprocess.run(command, check=True, capture_output=True)
        return Path(target).read_bytes()


def small(**names: Node | bytes) -> Squash:
    return Squash(tree(**names), plain_meta=True)


def _looped() -> bytes:
    root = tree(a=b"content", d=tree())
    root.children[1][1].children = [(b"up", Node("dir", same=root)), (b"self", Node("dir", same=root.children[1][1]))]
    return Squash(root, plain_meta=True).build()


def _damaged() -> bytes:
    """A data block with its middle changed."""
    data = bytearray(made("-comp", "gzip", "-noF"))
    data[5000:5040] = bytes(40)
    return bytes(data)


def _hidden() -> bytes:
    """Bytes between the last data block and the inode table that nothing refers to."""
    image = Squash(tree(a=_text(3000)), fragments=False)
    whole = image.build()
    view = bytearray(whole)
    inode, directory, used, table = (struct.unpack_from("<Q", whole, at)[0] for at in (64, 72, 40, 48))
    extra = b"smuggled" * 40
    for at, value in (
        (64, inode),
        (72, directory),
        (40, used),
        (48, table),
        (80, struct.unpack_from("<Q", whole, 80)[0]),
    ):
        struct.pack_into("<Q", view, at, value + len(extra))
    struct.pack_into("<Q", view, table, struct.unpack_from("<Q", whole, table)[0] + len(extra))
    return bytes(view[:inode]) + extra + bytes(view[inode:])


def _bad_names() -> bytes:
    names = [
        (b"..", Node(data=b"1")),
        (b"a/b", Node(data=b"2")),
        (b"n\0ul", Node(data=b"3")),
        (b"twice", Node(data=b"4")),
        (b"twice", Node(data=b"5")),
    ]
    return Squash(Node("dir", children=names)).build()


def _links() -> bytes:
    inside = tree(
        inner=Node("symlink", b"../etc/x"), out=Node("symlink", b"../../etc/shadow"), abs=Node("symlink", b"/etc")
    )
    return Squash(tree(d=inside, mem=Node("char", rdev=0x101))).build()


_MAKE4 = [("gzip",), ("xz", "-Xbcj", "arm"), ("lzo",), ("lz4", "-Xhc"), ("zstd",)]
_P = partial(Case, "squashfs", "positive")
_N = partial(Case, "squashfs", "negative")
_M = partial(Case, "squashfs", "malformed")

CASES: list[Case] = [
    *(
        _P(f"v{v}-{'be' if big else 'le'}", partial(old, v, big, check, log), tree=files(sample(v)))
        for v, big, check, log in (
            (1, False, False, 12),
            (1, True, True, 15),
            (2, False, True, 12),
            (2, True, False, 16),
            (3, False, False, 12),
            (3, True, True, 17),
            (4, False, False, 12),
            (4, False, False, 20),
        )
    ),
    *(_P(f"vendor-{at}", partial(vendor, at), tree=files(sample(v[2]))) for at, v in enumerate(VENDORS)),
    _P("avm", partial(avm, True), tree=files(sample(4))),
    _P("v4-be", partial(avm, False), tree=files(sample(4))),
    *(_P(f"made-{o[0]}", partial(made, "-comp", *o), tree=_made_tree()) for o in _MAKE4),
    _N("magic-only", lambda: b"hsqs"),
    _N("text", lambda: b"hsqs is the magic of SquashFS. " * 200),
    _N("noise", lambda: b"sqsh" + random.Random(9).randbytes(5000)),
    _N("version-5", lambda: Squash(tree(a=b"x"), log=12).build()[:28] + b"\5\0" + bytes(400)),
    _N("block-log", lambda: Squash(tree(a=b"x")).build()[:22] + b"\x11\0" + Squash(tree(a=b"x")).build()[24:]),
    _M("cut-short", lambda: made("-comp", "gzip")[:100_000], notes=frozenset({"truncated"})),
    _M("loop", _looped, notes=frozenset({"loop"})),
    _M("damaged", _damaged, notes=frozenset({"malformed"})),
    _M("hidden", _hidden, notes=frozenset({"hidden"})),
    _M("names", _bad_names, notes=frozenset({"path-traversal", "odd-name", "duplicate-name"})),
    _M("links", _links, notes=frozenset({"link-escape", "device-node"})),
    _M(
        "fragment-outside",
        lambda: small(a=Node(data=b"x" * 99, bend={"fragment": 7})).build(),
        notes=frozenset({"malformed"}),
    ),
    _M(
        "block-outside",
        lambda: small(a=Node(data=b"x" * 9999, bend={"start": 1 << 31})).build(),
        notes=frozenset({"truncated"}),
    ),
    _M("endless-holes", lambda: small(a=Node(large=True, bend={"size": 1 << 60})).build()),
    _M("type-15", lambda: small(a=Node(data=b"x", bend={"type": 15})).build(), notes=frozenset({"malformed"})),
    _M(
        "long-target",
        lambda: small(a=Node("symlink", b"x", bend={"length": 1 << 31})).build(),
        notes=frozenset({"malformed"}),
    ),
    _M("listed-as-dir", lambda: small(a=Node(data=b"x", bend={"listed": 1})).build(), notes=frozenset({"mismatch"})),
    _M(
        "inode-number",
        lambda: small(a=Node(data=b"x", bend={"number": 999})).build(),
        notes=frozenset({"malformed", "mismatch"}),
    ),
    _M("no-such-owner", lambda: small(a=Node(data=b"x", bend={"uid": 9})).build(), notes=frozenset({"malformed"})),
    _M(
        "other-compressor",
        lambda: Squash(tree(a=_text(9000)), pack=xz, compressor=1).build(),
        notes=frozenset({"mismatch"}),
    ),
]
