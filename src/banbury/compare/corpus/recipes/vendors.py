"""Vendors' firmware headers: parts with checksums made right, and what an attacker does with the header around them.

OpenWrt firmware-utils: mktplinkfw.c, trx.c, seama.h, mkchkimg.c, mkdniimg.c, mkfwimage.c (fw.h); fwtool (fwimage.h);
dns323-firmware-tools; AOSP, bootimg.h.
"""

from __future__ import annotations

import hashlib
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.pairs import LAB, VENDOR, Made, Patch, Recipe, attack, harmless
from banbury.compare.corpus.recipes.boot import EVIL, OTHER, PAYLOAD
from banbury.compare.corpus.trees import base, text
from banbury.compare.corpus.writers import squashfs
from banbury.compare.corpus.writers.packed import gzip

AGAIN = gzip(text(30_000, "kernel"), level=2)
_SALT = bytes.fromhex("dcd73aa5c39598fbddf9e7f40eae4738")
_RAW = text(30_000, "kernel")


def _lzma(data: bytes, preset: int) -> bytes:
    """As OpenWrt packs kernels for this header: -lc1 -lp2 -pb2."""
    filters = [{"id": lzma.FILTER_LZMA1, "preset": preset, "lc": 1, "lp": 2, "pb": 2, "dict_size": 1 << 23}]
    return lzma.compress(data, lzma.FORMAT_ALONE, filters=filters)


def _md5(*parts: bytes) -> bytes:
    return hashlib.md5(b"".join(parts), usedforsecurity=False).digest()


def _jam(data: bytes) -> int:
    return zlib.crc32(data) ^ 0xFFFFFFFF


def tplink(kernel: bytes, *, plain: bool = False, version: str = "r40831", region: int = 0, gap: bytes = b"",
           length: int = 0, slack: bytes = b"", right: bool = True, hardware: int = 0x30200001) -> bytes:  # fmt: skip
    """The first header: 512 bytes, the kernel padded to four bytes, the root file system, fill."""
    kernel += b"\xff" * (-len(kernel) % 4) + gap
    root = squashfs.write(base(), plain=plain)
    size = struct.unpack_from("<Q", root, 40)[0]
    head = struct.pack(">I24s36s3I", 1 << 24, b"OpenWrt", version.encode(), hardware, 1, region)
    head = head.ljust(124, b"\0") + struct.pack(">7I", 0x40000, 512, length or len(kernel), 0x8000, size, 0, 0)
    image = (head.ljust(480, b"\0") + slack).ljust(512, b"\0") + kernel + root
    image = image.ljust(0x40000, b"\xff")
    found = _md5(image[:76], _SALT, image[92:]) if right else bytes(16)
    return image[:76] + found + image[92:]


def trx(kernel: bytes, *, flags: int = 0, right: bool = True, more: int = 0) -> bytes:
    root = squashfs.write(base(), plain=len(kernel) > len(PAYLOAD))
    at = 28 + len(kernel) + -len(kernel) % 4
    tail = struct.pack("<HH3I", flags, 1, 28, at, 0) + kernel + bytes(-len(kernel) % 4) + root
    return struct.pack("<4sII", b"HDR0", 12 + len(tail) + more, _jam(tail) if right else 1) + tail


def seama(kernel: bytes, *, meta: bytes = b"signature=wrgac05\0dev=/dev/mtdblock/2\0", right: bool = True) -> bytes:
    digest = _md5(kernel) if right else bytes(16)
    outer = struct.pack(">4sHHI", b"\x5e\xa3\xa4\x17", 0, len(meta), 0) + meta
    return outer + struct.pack(">4sHHI", b"\x5e\xa3\xa4\x17", 0, len(meta), len(kernel)) + digest + meta + kernel


def _folded(data: bytes) -> int:
    c0 = c1 = 0
    for byte in data:
        c0 = c0 + byte & 0xFFFFFFFF
        c1 = c1 + c0 & 0xFFFFFFFF
    for _ in range(2):
        c0, c1 = (c0 & 0xFFFF) + (c0 >> 16), (c1 & 0xFFFF) + (c1 >> 16)
    return (c1 & 0xFFFF) << 16 | c0 & 0xFFFF


def chk(kernel: bytes, *, region: int = 1, right: bool = True) -> bytes:
    board = b"U12H072T00_NETGEAR\0"
    size, check = 40 + len(board), _folded(kernel)
    fields = [check if right else 1, 0, len(kernel), 0, check if right else 1]
    head = struct.pack(">4sI8B6x2x", b"\x2a\x23\x24\x5e", size, region, 1, 1, 99, 65, 0, 0, 0)[:16]
    head += struct.pack(">5I", *fields)
    return head + struct.pack(">I", _folded(head + bytes(4) + board)) + board + kernel


def dni(kernel: bytes, *, right: bool = True, region: str = "WW") -> bytes:
    head = f"device:R6300\nversion:V1.0.0.96\nregion:{region}\n".encode().ljust(128, b"\0")
    return head + kernel + bytes([0xFF - (sum(head + kernel) & 0xFF) ^ (0 if right else 1)])


def dns(kernel: bytes, *, right: bool = True, model: int = 7) -> bytes:
    check = 0
    for (word,) in struct.iter_unpack("<I", kernel[: len(kernel) // 4 * 4]):
        check ^= word
    head = struct.pack("<8I4I", 128, len(kernel), 0, 0, 0, 0, 0, 0, check if right else 1, 0, 0, 0)
    head += b"\x55\xaaFrodoII\0\x55\xaa" + bytes((10, 2, 1, model))
    return head.ljust(128, b"\0") + kernel


def ubiquiti(kernel: bytes, *, right: bool = True, entry: int = 0x80060000) -> bytes:
    head = struct.pack(">4s256s", b"UBNT", b"XM.ar7240.v5.6.1")
    image = head + struct.pack(">II", zlib.crc32(head), 0)
    part = struct.pack(">4s16s12x6I", b"PART", b"kernel", 0x80060000, 1, 0x9F050000, entry, len(kernel), 0x100000)
    part += kernel
    image += part + struct.pack(">II", zlib.crc32(part) if right else 1, 0)
    return image + b"END." + struct.pack(">II", zlib.crc32(image), 0)


def android(kernel: bytes, *, right: bool = True, command: bytes = b"console=ttyS0") -> bytes:
    digest = hashlib.sha1(usedforsecurity=False)
    for part in (kernel, b"", b""):
        digest.update(part + struct.pack("<I", len(part)))
    places = len(kernel), 0x10008000, 0, 0x11000000, 0, 0, 0x10000100, 2048, 0, 0
    head = struct.pack("<8s10I16s512s", b"ANDROID!", *places, b"", command)
    image = (head + (digest.digest() if right else bytes(20))).ljust(2048, b"\0") + kernel
    return image + bytes(-len(image) % 2048)


def sysupgrade(kernel: bytes, *, right: bool = True, device: str = "tplink,mr3020") -> bytes:
    image = kernel + bytes(8) + f'{{"supported_devices":["{device}"]}}'.encode()
    size = len(image) - len(kernel) + 16
    return image + struct.pack(">4sIB3xI", b"FWx0", _jam(image) if right else 1, 1, size)


_KINDS: dict[str, tuple[Callable[..., bytes], dict[str, Any]]] = {
    "trx": (trx, {"flags": 1}),
    "seama": (seama, {"meta": b"signature=wrgac05\0dev=/dev/mtdblock/9\0"}),
    "chk": (chk, {"region": 2}),
    "dni": (dni, {"region": "NA"}),
    "dns": (dns, {"model": 8}),
    "ubiquiti": (ubiquiti, {"entry": 0x80060004}),
    "android": (android, {"command": b"init=/bin/sh"}),
    "sysupgrade": (sysupgrade, {"device": "tplink,mr3040"}),
}


def _pair(write: Callable[..., bytes], kernel: bytes = AGAIN, **more: Any) -> Made:
    return Made(a=write(PAYLOAD), b=write(kernel, **more), base=write(AGAIN))


def _trailing(write: Callable[..., bytes]) -> Made:
    made = _pair(write)
    made.b += EVIL
    return made


def _tplink(kernel: bytes | None = None, **more: Any) -> Made:
    honest: dict[str, Any] = {"plain": True, "version": "r43416"}
    made = Made(a=tplink(_lzma(_RAW, 9)), b=tplink(kernel or _lzma(_RAW, 1), **{**honest, **more}))
    made.base = tplink(_lzma(_RAW, 1), **honest)
    made.record_a = {**LAB, "versions": {"openwrt": "r40831"}}
    made.record_b = {**VENDOR, "versions": {"openwrt": "r43416"}}
    return made


def _clean(made: Made) -> Made:
    made.base = None
    return made


def _fill() -> Made:
    made = _tplink()
    assert made.base is not None
    raw = made.base[: 0x40000 - 64] + EVIL.ljust(64, b"\xff")
    raw = raw[:76] + _md5(raw[:76], _SALT, raw[92:]) + raw[92:]
    return _named(Patch(made.base).put(76, raw[76:92]).put(0x40000 - 64, raw[-64:]).made(made.a), made)


def _named(made: Made, other: Made) -> Made:
    made.record_a, made.record_b = other.record_a, other.record_b
    return made


_TPLINK = (
    ("tplink-region", "header", "The region's code is another; the MD5 sum is right.", {"region": 3}),
    ("tplink-hardware", "header", "It is for other hardware.", {"hardware": 0x30200002}),
    ("tplink-version", "declared-lookalike", "The version is not the declared one.", {"version": "r43417"}),
    ("tplink-version-tail", "hidden-space", "A text stands behind the version's end.", {"version": "r43416\0run me"}),
    ("tplink-slack", "hidden-space", "The header's unused end holds something.", {"slack": EVIL}),
    ("tplink-kernel", "content", "The kernel is another; the MD5 sum is right.", {"kernel": _lzma(_RAW + b"x", 1)}),
    ("tplink-gap", "hidden-space", "Something stands behind the kernel's stream, within its length.", {"gap": EVIL}),
    ("tplink-length", "mismatch", "The stated length cuts the kernel short.", {"length": 64}),
    ("tplink-sum", "checksum", "The MD5 sum is wrong.", {"right": False}),
)


def recipes() -> Iterator[Recipe]:
    yield harmless(
        "vendor-same-tplink", "vendor", "version",
        "Another declared version; kernel and root file system are packed otherwise, and the MD5 sum is right.",
        lambda: _clean(_tplink()),
    )  # fmt: skip
    for name, group, note, more in _TPLINK:
        yield attack(f"vendor-{name}", "vendor", group, note, partial(_tplink, **more))
    yield attack("vendor-tplink-fill", "vendor", "hidden-space", "The fill at the end holds something.", _fill)
    yield attack(
        "vendor-trx-length", "vendor", "mismatch", "The stated length goes beyond the end: what flash held counts.",
        partial(_pair, trx, more=4096),
    )  # fmt: skip
    for kind, (write, changed) in _KINDS.items():
        yield harmless(
            f"vendor-same-{kind}", "vendor", "compression", "The kernel is packed at another level, the sums right.",
            lambda write=write: _clean(_pair(write)),  # type: ignore[misc]  # bound now
        )  # fmt: skip
        rows: tuple[tuple[str, str, str, Callable[[], Made]], ...] = (
            ("header", "header", "A field that someone obeys is changed, the sums right.",
             partial(_pair, write, **changed)),
            ("content", "content", "The kernel is another; the sums are right.", partial(_pair, write, OTHER)),
            ("sum", "checksum", "A checksum is wrong.", partial(_pair, write, right=False)),
            ("trailing", "trailing", "Bytes stand behind the image.", partial(_trailing, write)),
        )  # fmt: skip
        for name, group, note, make in rows:
            yield attack(f"vendor-{kind}-{name}", "vendor", group, note, make)
