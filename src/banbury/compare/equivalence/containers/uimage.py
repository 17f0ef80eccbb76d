"""U-Boot's legacy image: a header of 64 bytes and its data, to the last byte.

The header's and the data's CRC-32 follow from what they cover and are checked on both sides; the time is free. Load
and entry address, type, system, machine, compression and name are exact.

Source: U-Boot, ``include/image.h`` and ``boot/image.c`` (``image_multi_getimg``).
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import KERNEL, Comparator, Free, Place, Work, zero
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

MAGIC: Final = b"\x27\x05\x19\x56"
_HEADER: Final = struct.Struct(">7I4B32s")
_MULTI: Final = (4, 6)
_KERNELS: Final = (2, 4, 14)


def _read(view: View) -> tuple[dict[str, object], dict[str, Free], list[tuple[int, int]]]:
    """Exact fields, free fields, and the places of the image's parts."""
    _, header_sum, when, size, load, entry, data_sum, system, machine, kind, compression, name = view.unpack(_HEADER, 0)
    raw = bytearray(view.take(0, 64))
    raw[4:8] = bytes(4)
    if zlib.crc32(raw) != header_sum:
        raise Refused("header", "its checksum is wrong", [Range(4, 8)])
    if 64 + size != len(view):
        raise Refused("header", "states another size than there is", [Range(12, 16)])
    if zlib.crc32(view.mem(64, size)) != data_sum:
        raise Refused("data", "its checksum is wrong", [Range(24, 28)])
    exact: dict[str, object] = {
        "load address": f"{load:#x}", "entry point": f"{entry:#x}", "operating system": system, "machine": machine,
        "type": kind, "compression": compression, "name": name,
    }  # fmt: skip
    free = {"time": Free("uimage.time", when, Range(8, 12))}
    return exact, free, _parts(view, size) if kind in _MULTI else [(64, size)]


def _parts(view: View, size: int) -> list[tuple[int, int]]:
    """The parts of a multi-file image or script: sizes up to a zero, then the parts, each padded to four bytes."""
    sizes = []
    at = 64
    while stated := view.u32(at, big=True):
        sizes.append(stated)
        at += 4
    at += 4
    out = []
    for number, stated in enumerate(sizes):
        out.append((at, stated))
        end = at + stated
        at = end + 3 & ~3 if number + 1 < len(sizes) else end
        view.mem(end, max(at - end, 0))
        zero(view, end, at, "padding")
    zero(view, at, 64 + size, "padding")
    if not 0 <= 64 + size - at < 4 or not out:
        raise Refused("data", "parts that do not fill the image")
    return out


def _compare(work: Work) -> None:
    (exact_a, free_a, parts_a), (exact_b, free_b, parts_b) = (_read(view) for view, _ in work.sides)
    work.exactly("header", {**exact_a, "parts": len(parts_a)}, {**exact_b, "parts": len(parts_b)})
    work.free(free_a, free_b)
    sums = [view.take(4, 4) + view.take(12, 4) + view.take(24, 4) for view, _ in work.sides]
    if sums[0] != sums[1]:
        spans = [Range(4, 8), Range(12, 16), Range(24, 28)]
        work.account.explain("uimage.sums", spans, spans)
    for number, (one, other) in enumerate(zip(parts_a, parts_b, strict=False)):
        name = b"data" if len(parts_a) == 1 else b"part %d" % number
        a, b = (Place(whole.start + at, size) for whole, (at, size) in ((work.place_a, one), (work.place_b, other)))
        work.member(name, a, b, hints=[KERNEL] if exact_a["type"] in _KERNELS else [])


def _claims(view: View) -> bool:
    """Whether the image is all there is: what a second part follows is an image of several parts."""
    return view.startswith(MAGIC) and 64 + view.u32(12, big=True) == len(view)


COMPARATORS: Final = [Comparator(name="uimage", claims=_claims, compare=_compare)]
