"""Where the parts of vendors' images stand, and which fields follow from them.

Sizes and places are read where the format states them; every checksum is counted, and one that is wrong is refused.
The facts about the formats, and their sources, are in the readers of :mod:`banbury.formats.readers`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import Comparator, Work
from banbury.compare.equivalence.containers.vendor import (
    SIZE,
    SQUASHFS,
    SUM,
    Field,
    Layout,
    compare_layouts,
    squashfs_end,
)
from banbury.compare.equivalence.model import Range
from banbury.formats.contract import Reader
from banbury.formats.readers import (
    android,
    bootcode,
    broadcom,
    dlink,
    fwtool,
    netgear,
    safeloader,
    tplink,
    trx,
    ubiquiti,
)
from banbury.formats.readers._firmware import crc32, jamcrc, md5
from banbury.formats.view import View

_TPLINK: Final = 0x200


def _number(view: View, at: int, found: int, what: str, *, big: bool = True) -> Field:
    """A checksum of four bytes, which must be ``found``."""
    if view.u32(at, big) != found & 0xFFFFFFFF:
        raise Refused(what, "is wrong", [Range(at, at + 4)])
    return Field(at, at + 4, SUM)


def _digest(view: View, at: int, found: bytes, what: str) -> Field:
    if view.take(at, len(found)) != found:
        raise Refused(what, "is wrong", [Range(at, at + len(found))])
    return Field(at, at + len(found), SUM)


def _sizes(*starts: int) -> list[Field]:
    return [Field(at, at + 4, SIZE) for at in starts]


# --- TP-Link ----------------------------------------------------------------------------------------------------------


def _tplink(reader: tplink.V1 | tplink.V2, view: View) -> Layout:
    """The kernel, and what stands behind it to the end: its start follows from the kernel's length, as the kernel's
    own parser has it (Linux, mtdsplit_tplink.c)."""
    length, kernel, size, _, root_size, boot, boot_size = view.unpack(struct.Struct(">7I"), reader.pointers_at)
    at = reader.pointers_at
    fields = []
    if length:
        sums: list[tuple[int, int] | bytes] = [(0, reader.sum_at), reader.salts[bool(boot_size)]]
        sums.append((reader.sum_at + 16, len(view)))
        fields.append(_digest(view, reader.sum_at, md5(view, sums), "MD5"))
    texts = [(28, 64)] if isinstance(reader, tplink.V1) else [(4, 52)]
    if boot_size:
        inner = next((p for p in range(_TPLINK, len(view), 0x10000) if p > boot_size and _again(view, p)), 0)
        if not inner or (boot or _TPLINK) != _TPLINK:
            raise Refused("boot loader", "what follows it is not found")
        parts = [("boot", _TPLINK, _TPLINK + boot_size), ("firmware", inner, len(view))]
        return Layout(parts=parts, fields=fields, texts=texts)
    if kernel != _TPLINK or not 0 < size <= len(view) - _TPLINK:
        raise Refused("kernel", "is not where the header ends")
    end = kernel + size
    fields += _sizes(at + 8)
    parts = [("kernel", kernel, end)]
    if view.startswith(SQUASHFS, end) and view.u64(end + 40) == root_size:
        stop = squashfs_end(view, end, len(view))
        overlay = stop + (view.run(stop) if stop < len(view) and view.u8(stop) == 0xFF else 0)
        parts += [("rootfs", end, stop), ("overlay", overlay, len(view))]
        fields += _sizes(at + 16)
    else:
        parts.append(("rootfs", end, len(view)))
    return Layout(parts=parts, fields=fields, texts=texts, packed=True)


def _again(view: View, at: int) -> bool:
    return view.startswith(view.take(0, 8), at) and at + _TPLINK <= len(view)


def _safeloader(view: View) -> Layout:
    rows = safeloader._rows(view, 0)
    parts = [
        (f"{n}-{name.decode('latin-1')}", 0x1014 + at, 0x1014 + at + size) for n, (name, at, size) in enumerate(rows)
    ]
    found = md5(view, [safeloader._SALT, (0x14, len(view))])
    return Layout(parts=parts, fields=[_digest(view, 4, found, "MD5")])


# --- Broadcom ---------------------------------------------------------------------------------------------------------


def _trx(view: View) -> Layout:
    if view.u32(4) != len(view):
        raise Refused("length", "is not what there is", [Range(4, 8)])
    head = 28 if view.u16(14) == 1 else 32
    fields = [_number(view, 8, jamcrc(view, 12, len(view)), "CRC-32", big=False), *_sizes(4)]
    offsets = [(at, view.u32(at)) for at in range(16, head, 4)]
    used = [(at, offset) for at, offset in offsets if offset]
    starts = [offset for _, offset in used]
    if not starts or starts[0] < head or starts != sorted(set(starts)):
        raise Refused("offsets", "of partitions that do not follow one another")
    fields += _sizes(*(at for at, _ in used[1:]))
    ends = [*starts[1:], len(view)]
    parts = [(f"part{n}", s, e) for n, (s, e) in enumerate(zip(starts, ends, strict=True))]
    return Layout(parts=parts, fields=fields, packed=True)


def _imagetag(view: View) -> Layout:
    numbers = broadcom._numbers(view, 0)
    if numbers is None or 256 + numbers["total"] != len(view):
        raise Refused("image tag", "states another size than there is")
    fields = [
        _number(view, 236, jamcrc(view, 0, 236), "header CRC-32"),
        _number(view, 216, jamcrc(view, 256, len(view)), "image CRC-32"),
    ]
    first = 256 + numbers["cfe"]
    kernel_first = numbers["start"] == numbers["at"]
    root = first + numbers["kernel"] if kernel_first else first
    kernel = first if kernel_first else first + numbers["at"] - numbers["start"]
    spans = {"rootfs": (root, root + numbers["root"]), "kernel": (kernel, kernel + numbers["kernel"])}
    for name, at in (("rootfs", 220), ("kernel", 224)):
        start, end = spans[name]
        if 256 <= start <= end <= len(view) and view.u32(at, True) == jamcrc(view, start, end):
            fields.append(Field(at, at + 4, SUM))
    parts = [("cfe", 256, first), *((name, *span) for name, span in spans.items())]
    return Layout(parts=parts, fields=fields)


# --- D-Link, Netgear --------------------------------------------------------------------------------------------------


def _seama(view: View) -> Layout:
    parts: list[tuple[str, int, int]] = []
    fields: list[Field] = []
    at = 0
    while at < len(view):
        meta, size = view.u16(at + 6, big=True), view.u32(at + 8, big=True)
        start = at + 12 + (16 if size else 0) + meta
        if not view.startswith(b"\x5e\xa3\xa4\x17\0\0", at) or start + size > len(view) or len(parts) > 64:
            raise Refused("SEAMA", "no header where one must be", [Range(at, at + 12)])
        if size:
            fields += [*_sizes(at + 8), _digest(view, at + 12, md5(view, [(start, start + size)]), "MD5")]
            parts.append((f"image{len(parts)}", start, start + size))
        at = start + size
    return Layout(parts=parts, fields=fields, packed=True)


def _wrgg(view: View) -> Layout:
    found = md5(view, [(108, 112), (112, 144), (160, len(view))])
    return Layout(
        parts=[("firmware", 160, len(view))], fields=[*_sizes(104), _digest(view, 144, found, "MD5")], texts=[(40, 56)]
    )


def _dns(view: View) -> Layout:
    rows = [(at, view.u32(at), view.u32(at + 4), 32 + at // 2) for at in range(0, 32, 8)]
    parts, fields = [], []
    for number, (at, start, size, check) in enumerate(rows):
        if size:
            fields += [*_sizes(at, at + 4), _number(view, check, dlink._xor(view, start, size), "checksum", big=False)]
            parts.append((dlink.Dns._NAMES[number], start, start + size))
    return Layout(parts=parts, fields=fields, packed=True)


def _chk(view: View) -> Layout:
    head, kernel, root = view.u32(4, True), view.u32(24, True), view.u32(28, True)
    spans = [(head, head + kernel), (head + kernel, head + kernel + root)]
    fields = [
        _number(view, 16, netgear.checksum(view, [spans[0]]), "kernel checksum"),
        _number(view, 20, netgear.checksum(view, [spans[1]]) if root else view.u32(20, True), "rootfs checksum"),
        _number(view, 32, netgear.checksum(view, [(head, spans[1][1])]), "image checksum"),
        _number(view, 36, netgear._header_sum(view.sub(0, head)), "header checksum"),
        *_sizes(24, 28),
    ]
    if not root:
        fields = [f for f in fields if f.start != 20]
    return Layout(parts=[("kernel", *spans[0]), ("rootfs", *spans[1])], fields=fields, packed=True)


def _dni(view: View) -> Layout:
    end = len(view) - 1
    total = int(np.frombuffer(view.mem(0, end), np.uint8).sum(dtype=np.uint64))
    if view.u8(end) != 0xFF - (total & 0xFF):
        raise Refused("checksum", "is wrong", [Range(end, end + 1)])
    return Layout(parts=[("firmware", 128, end)], fields=[Field(end, end + 1, SUM)], packed=True)


# --- others -----------------------------------------------------------------------------------------------------------


def _ubiquiti(view: View) -> Layout:
    fields = [_number(view, 260, crc32(view, 0, 260), "header CRC-32")]
    parts = []
    end = 268
    for number, (magic, at, size) in enumerate(ubiquiti._walk(view, 0)):
        end = at + size
        if magic == b"END.":
            fields.append(_number(view, at + 4, crc32(view, 0, at), "image CRC-32"))
        elif magic == b"ENDS":
            raise Refused("signature", "is not verified here", [Range(at + 4, end)])
        else:
            fields += [*_sizes(at + 48), _number(view, end - 8, crc32(view, at, end - 8), "CRC-32")]
            parts.append((f"part{number}", at + 56, end - 8))
    if end != len(view):
        raise Refused("parts", "do not fill the image")
    return Layout(parts=parts, fields=fields, texts=[(4, 260)], packed=True)


def _egon(view: View) -> Layout:
    found = bootcode.Egon()._sum(view, 0, len(view))
    return Layout(parts=[("code", 32, len(view))], fields=[_number(view, 12, found, "checksum", big=False)])


def _android(view: View) -> Layout:
    version = android._version(view, 0)
    page, sections = android._sections(view, 0)
    parts, at = [], page
    counted = hashlib.sha1(usedforsecurity=False)
    fields: list[Field] = []
    for name, size in sections:
        if name == "recovery_dtbo" and size:  # its place, which a recovery system takes it from
            if view.u64(1636) != at:
                raise Refused("recovery_dtbo_offset", "leads elsewhere", [Range(1636, 1644)])
            fields.append(Field(1636, 1644, SIZE))
        parts.append((name, at, at + size))
        counted.update(view.mem(at, size))
        counted.update(struct.pack("<I", size))
        at += android._pages(size, page)
    if version < 3:
        fields.append(_digest(view, 576, counted.digest(), "id"))
    places = (8, 12) if version >= 3 else (8, 16, 24)
    return Layout(parts=parts, fields=[*fields, *_sizes(*places)], packed=True)


def _metadata(view: View) -> Layout:
    """An image with OpenWrt's metadata and signatures behind it, each with a trailer of 16 bytes."""
    start = len(view) - fwtool.behind(view)
    end = len(view)
    parts: list[tuple[str, int, int]] = []
    fields: list[Field] = []
    while end > start:
        at = end - 16
        size, kind = view.u32(end - 4, True), view.u8(at + 8)
        if kind != 1:
            raise Refused("signature", "is not verified here", [Range(end - size, end)])
        fields += [*_sizes(end - 4), _number(view, at + 4, jamcrc(view, 0, at), "CRC-32")]
        parts.append((f"metadata{len(parts)}", end - size + 8, at))
        end -= size
    return Layout(parts=[("image", 0, start), *parts], fields=fields, packed=True)


def _comparator(name: str, claims: Callable[[View], bool], read: Callable[[View], Layout]) -> Comparator:
    def compare(work: Work) -> None:
        compare_layouts(work, read(work.a), read(work.b))

    return Comparator(name=name, claims=claims, compare=compare)


def _whole(reader: Reader, read: Callable[[View], Layout]) -> Comparator:
    """A format whose reader says that an image fills the file."""

    def claims(view: View) -> bool:
        if not any(view.startswith(m.pattern, m.at) for m in reader.magics):
            return False
        extent = reader.probe(view, 0)
        return extent is not None and extent.length == len(view)

    return _comparator(reader.name, claims, read)


_V1, _V2 = tplink.V1(), tplink.V2()
COMPARATORS: Final = [
    _comparator("openwrt-metadata", lambda view: 0 < fwtool.behind(view) < len(view), _metadata),
    _whole(_V1, lambda view: _tplink(_V1, view)),
    _whole(_V2, lambda view: _tplink(_V2, view)),
    _whole(safeloader.SafeLoader(), _safeloader),
    _whole(trx.Trx(), _trx),
    _whole(broadcom.ImageTag(), _imagetag),
    _whole(dlink.Seama(), _seama),
    _whole(dlink.Wrgg(), _wrgg),
    _whole(dlink.Dns(), _dns),
    _whole(netgear.Chk(), _chk),
    _whole(netgear.Dni(), _dni),
    _whole(ubiquiti.Ubnt(), _ubiquiti),
    _whole(bootcode.Egon(), _egon),
    _whole(android.BootImage(), _android),
]
