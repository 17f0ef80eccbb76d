"""Samples of ISO 9660: small discs built here record by record, and one by genisoimage."""

from __future__ import annotations

import struct
import tempfile
from functools import cache
from pathlib import Path

from tests.formats.case import Case
from tests.formats.disk_tools import plant, run, tool

SECTOR = 2048
A, B, INNER = b"first\n", b"second" * 1000, b"inner"
MTIME = bytes([100, 1, 2, 3, 4, 5, 0])
ROOT, SUB, JOLIET, PATH_L, PATH_M, DATA_A, DATA_B, DATA_I, BOOT, IMAGE, JOLIET_SUB = (
    24,
    25,
    26,
    21,
    22,
    30,
    31,
    34,
    28,
    29,
    27,
)


def both(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "little") + value.to_bytes(size, "big")


def record(name: bytes, extent: int, size: int, flags: int = 0, system: bytes = b"") -> bytes:
    body = both(extent) + both(size) + MTIME + bytes([flags, 0, 0]) + both(1, 2) + bytes([len(name)]) + name
    body += bytes(1 - len(name) % 2) + system
    body += bytes(len(body) % 2)
    return bytes([len(body) + 2, 0]) + body


def field(sort: bytes, data: bytes) -> bytes:
    return sort + bytes([len(data) + 4, 1]) + data


def posix(name: bytes, mode: int, link: bytes = b"", device: tuple[int, int] | None = None) -> bytes:
    out = field(b"PX", both(mode) + both(1) + both(7) + both(8))
    out += field(b"NM", b"\0" + name) if name else b""
    if link:
        parts = link.split(b"/")
        out += field(b"SL", b"\0" + b"".join(b"\4\0" if p == b".." else bytes([0, len(p)]) + p for p in parts))
    if device:
        out += field(b"PN", both(device[0]) + both(device[1]))
    return out


def descriptor(sort: int, root: int, blocks: int, escape: bytes = b"", paths: int = 0) -> bytes:
    out = bytearray(SECTOR)
    out[:7] = bytes([sort]) + b"CD001\1"
    out[40:72] = ("LABEL".encode("utf-16-be") if escape else b"LABEL").ljust(32, b"\0" if escape else b" ")
    out[80:88], out[128:132], out[132:140] = both(blocks), both(SECTOR, 2), both(paths)
    out[88 : 88 + len(escape)] = escape
    out[140:144], out[148:152] = PATH_L.to_bytes(4, "little"), PATH_M.to_bytes(4, "big")
    out[156:190] = record(b"\0", root, SECTOR, 2)
    return bytes(out)


def build(
    rock: bool = True, extra: bytes = b"", *, joliet: str = "", spoil: tuple[int, bytes] = (0, b""), boot: bool = False,
    sub: int = SUB, udf: bool = False,
) -> bytes:  # fmt: skip
    """root: A (a), B.BIN (b), SUB (with INNER), and with Rock Ridge l (a link) and console (a device)."""
    blocks = 36
    image = bytearray(blocks * SECTOR)

    def put(block: int, data: bytes) -> None:
        image[block * SECTOR : block * SECTOR + len(data)] = data

    sp = field(b"SP", b"\xbe\xef\0") + posix(b"", 0o40755) if rock else b""
    here = [record(b"\0", ROOT, SECTOR, 2, sp), record(b"\1", ROOT, SECTOR, 2)]
    here.append(record(b"A.;1", DATA_A, len(A), 0, posix(b"a", 0o100640) if rock else b""))
    here.append(record(b"B.BIN;1", DATA_B, len(B), 0, posix(b"b \xc3\xa9", 0o104755) if rock else b""))
    if rock:
        here.append(record(b"C.;1", 0, 0, 0, posix(b"console", 0o20600, device=(5, 1))))
        here.append(record(b"L.;1", 0, 0, 0, posix(b"l", 0o120777, b"sub/../a")))
    here.append(record(b"SUB", sub, SECTOR, 2, posix(b"sub", 0o40700) if rock else b""))
    put(ROOT, b"".join(here) + extra)
    inner = record(b"INNER.;1", DATA_I, len(INNER), 0, posix(b"inner", 0o100444) if rock else b"")
    put(SUB, record(b"\0", SUB, SECTOR, 2) + record(b"\1", ROOT, SECTOR, 2) + inner)
    put(DATA_A, A)
    put(DATA_B, B)
    put(DATA_I, INNER)
    little = b"\1\0" + ROOT.to_bytes(4, "little") + b"\1\0\0\0" + b"\3\0" + sub.to_bytes(4, "little") + b"\1\0SUB\0"
    big = b"\1\0" + ROOT.to_bytes(4, "big") + b"\0\1\0\0" + b"\3\0" + sub.to_bytes(4, "big") + b"\0\1SUB\0"
    put(PATH_L, little)
    put(PATH_M, big)
    heads = [descriptor(1, ROOT, blocks, paths=len(little))]
    if boot:
        heads.append(b"\0CD001\1EL TORITO SPECIFICATION".ljust(0x47, b"\0") + BOOT.to_bytes(4, "little"))
        first = b"\1\0\0\0".ljust(28, b"\0") + struct.pack("<HBB", -0xAA55 - 1 & 0xFFFF, 0x55, 0xAA)
        entry = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 1, IMAGE) + bytes(20)
        other = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, DATA_A) + bytes(20)
        put(BOOT, first + entry + b"\x91\xef\1\0".ljust(32, b"\0") + other)
        put(IMAGE, b"boot".ljust(512, b"!"))
    if joliet:
        heads.append(descriptor(2, JOLIET, blocks, b"%/E", paths=0))
        names = [record(b"\0", JOLIET, SECTOR, 2), record(b"\1", JOLIET, SECTOR, 2)]
        for name, extent, size in (
            ("A long näme.txt", DATA_A, len(A)),
            ("b", DATA_B, len(B)),
            ("inner", DATA_I, len(INNER)),
        ):
            names.append(record((name + ";1").encode("utf-16-be"), extent, size))
        if joliet == "more":
            names[-1] = record("hidden".encode("utf-16-be"), IMAGE, 10)
            put(IMAGE, b"not listed")
        put(JOLIET, b"".join(names))
    heads.append(b"\xffCD001\1")
    heads += [b"\0BEA01\1", b"\0NSR02\1", b"\0TEA01\1"] if udf else []
    for i, head in enumerate(heads):
        put(16 + i, head)
    at, data = spoil
    image[at : at + len(data)] = data
    return bytes(image)


@cache
def genisoimage(options: str) -> bytes:
    program = tool("genisoimage", "genisoimage")
    with tempfile.TemporaryDirectory() as work:
        plant(Path(work) / "tree", odd=False, special=False)
        run(program, "-quiet", *options.split(), "-o", Path(work) / "image", Path(work) / "tree")
        return (Path(work) / "image").read_bytes()


def _bad(name: str, *notes: str, **how: object) -> Case:
    return Case("iso9660", "malformed", name, lambda: build(**how), notes=frozenset(notes))  # type: ignore[arg-type]


ROCK = {"a": A, "b é": B, "sub/inner": INNER}
PLAIN = {"A": A, "B.BIN": B, "SUB/INNER": INNER}
NAMES = {"A long näme.txt": A, "b": B, "inner": INNER}
DEVICE = frozenset({"device-node"})
LOOP = field(b"CE", both(23) + both(0) + both(28))
CASES = [
    Case("iso9660", "positive", "rock-ridge", build, tree=ROCK, notes=DEVICE),
    Case("iso9660", "positive", "plain", lambda: build(False), tree=PLAIN),
    Case("iso9660", "positive", "el-torito", lambda: build(False, boot=True),
         tree={**PLAIN, "[BOOT]/1-x86.img": b"boot".ljust(512, b"!"), "[BOOT]/2-EFI.img": A}),
    Case("iso9660", "positive", "genisoimage", lambda: genisoimage("-R -J"), tree={"tiny": b"hello\n", "empty": b""}),
    Case("iso9660", "negative", "zeros", lambda: bytes(20 * SECTOR)),
    Case("iso9660", "negative", "magic-alone", lambda: bytes(32768) + b"\1CD001\1" + bytes(SECTOR)),
    _bad("joliet-names-more", "mismatch", joliet="more"),
    _bad("joliet-without-path-table", "mismatch", rock=False, joliet="same"),
    _bad("both-endian", "mismatch", rock=False, spoil=(ROOT * SECTOR + 34 + 34 + 6, b"\0\0\0\x99")),
    _bad("path-table", "mismatch", spoil=(PATH_L * SECTOR + 2, b"\x63")),
    _bad("directory-loop", "loop", sub=ROOT),
    _bad("directory-outside", "malformed", sub=0xFFFFFF),
    _bad("file-outside", "malformed", extra=record(b"X.;1", 0xFFFFFF, 10)),
    _bad("file-of-4-GiB", "malformed", extra=record(b"X.;1", DATA_A, 0xFFFFFFFF)),
    _bad("record-of-3-bytes", "malformed", extra=b"\3\0\0"),
    _bad("overlap", "overlap", extra=record(b"X.;1", DATA_B + 1, len(B))),
    _bad("slash", "path-traversal", "odd-name", extra=record(b"X", DATA_A, 6, 0, posix(b"../x", 0o100644))),
    _bad("twice", "duplicate-name", extra=record(b"X", DATA_B, 6, 0, posix(b"a", 0o100644))),
    _bad("continuation-loop", "malformed", extra=record(b"X", DATA_A, 6, 0, LOOP), spoil=(23 * SECTOR, LOOP)),
    _bad("interleaved", "malformed", extra=record(b"X", DATA_A, 6)[:26] + b"\1\1" + record(b"X", DATA_A, 6)[28:]),
    _bad("system-area", "hidden", spoil=(5, b"code")),
    _bad("udf", "unsupported", udf=True),
    Case("iso9660", "malformed", "cut", lambda: build()[: 32 * SECTOR], notes=frozenset({"truncated", "malformed"})),
]  # fmt: skip
