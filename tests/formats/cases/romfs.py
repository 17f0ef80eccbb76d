"""Samples of romfs, built here with their checksums, and one by genromfs."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.formats.case import Case
from tests.formats.disk_tools import plant, run, tool

HARD, DIR, FILE, LINK, BLOCK, CHAR, SOCKET, FIFO = range(8)


def _padded(data: bytes) -> bytes:
    return data.ljust(len(data) + 15 & ~15, b"\0")


def _summed(data: bytes, at: int) -> bytes:
    """The words with the one at ``at`` set so that they sum to zero."""
    whole = data[:at] + bytes(4) + data[at + 4 :]
    total = -sum(struct.unpack(f">{len(whole) // 4}I", whole)) & 0xFFFFFFFF
    return whole[:at] + struct.pack(">I", total) + whole[at + 4 :]


def node(sort: int, name: bytes, info: int = 0, data: bytes = b"", following: int = 0, size: int = -1) -> bytes:
    size = len(data) if size < 0 else size
    header = struct.pack(">IIII", following | sort, info, size, 0) + _padded(name + b"\0")
    return _summed(header, 12) + _padded(data)


def image(nodes: list[tuple[bytes, int]]) -> bytes:
    """The nodes one behind the other from 32 on; each comes with the ``next`` field that it should get (or -1 for the
    node behind it)."""
    out = _padded(b"-rom1fs-" + bytes(8) + b"vol\0")
    for data, following in nodes:
        after = following if following >= 0 else len(out) + len(data)
        word = struct.unpack_from(">I", data)[0] | after
        end = 16 + data[16:].index(b"\0") + 16 & ~15
        out += _summed(struct.pack(">I", word) + data[4:end], 12) + data[end:]
    head = out[:8] + struct.pack(">I", len(out)) + out[12:]
    return _summed(head[:512] if len(head) > 512 else head, 12) + head[512:]


A, INNER = b"first file\n", b"inner"


@cache
def sample() -> bytes:
    """root: a, d (with i), l, console, h (a hard link to a)."""
    root, a, d, link, console, inner, hard = 32, 64, 112, 144, 192, 224, 272
    return image(
        [
            (node(DIR | 8, b".", root), a),
            (node(FILE | 8, b"a", 0, A), d),
            (node(DIR | 8, b"d", inner), link),
            (node(LINK, b"l", 0, b"d/i"), console),
            (node(CHAR, b"console", 5 << 16 | 1), hard),
            (node(FILE, b"i", 0, INNER), 0),
            (node(HARD, b"h", a), 0),
        ]
    )


def _changed(offset: int, data: bytes) -> Callable[[], bytes]:
    return lambda: sample()[:offset] + data + sample()[offset + len(data) :]


def _list_loop() -> bytes:
    return image([(node(DIR | 8, b".", 32), 64), (node(FILE, b"a", 0, A), 32)])


def _names() -> bytes:
    return image([(node(DIR | 8, b".", 32), -1), (node(FILE, b"../x", 0, A), -1), (node(FILE, b"\xff", 0, A), 0)])


def _large() -> bytes:
    return image([(node(DIR | 8, b".", 32), -1), (node(FILE, b"a", 0, A, size=1 << 30), 0)])


@cache
def genromfs() -> bytes:
    program = tool("genromfs", "genromfs")
    with tempfile.TemporaryDirectory() as work:
        plant(Path(work) / "tree", special=False)
        run(program, "-f", Path(work) / "image", "-d", Path(work) / "tree")
        return (Path(work) / "image").read_bytes()


CASES = [
    Case("romfs", "positive", "built", sample, tree={"a": A, "d/i": INNER, "h": A}, notes=frozenset({"device-node"})),
    Case("romfs", "positive", "genromfs", genromfs, tree={"tiny": b"hello\n", "empty": b""}),
    Case("romfs", "negative", "zeros", lambda: bytes(512)),
    Case("romfs", "negative", "magic-alone", lambda: b"-rom1fs-" + b"\xff" * 200),
    Case("romfs", "malformed", "header-sum", _changed(64 + 8, b"\0\0\0\7"), notes=frozenset({"checksum"})),
    Case("romfs", "malformed", "cut", lambda: sample()[:200], notes=frozenset({"truncated"})),
    Case("romfs", "malformed", "list-loop", _list_loop, notes=frozenset({"loop"})),
    Case("romfs", "malformed", "names", _names, notes=frozenset({"odd-name", "path-traversal"})),
    Case("romfs", "malformed", "file-of-1-GiB", _large, notes=frozenset({"malformed"})),
]
