"""YAFFS on NAND: pages with their spare areas, the tags in those, and finding out how they are laid out.

Source: the YAFFS2 sources (yaffs_guts.h, yaffs_packedtags2.c, yaffs_packedtags1.h, yaffs_tagscompat.c); mkyaffs2image.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from banbury.formats.view import View

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

HEADER: Final = 512
#: Page and spare sizes of NAND chips, in bytes.
_PAGES: Final = {
    512: (16,),
    1024: (32,),
    2048: (64, 112, 128),
    4096: (128, 208, 216, 218, 224, 232, 256),
    8192: (256, 376, 436, 448, 512, 640, 744),
    16384: (512, 1024, 1280),
}
_TRIAL: Final = 64  # chunks
_GAP: Final = 128  # chunks that make no sense in a row; more end the file system
_LOWEST: Final = 0x1000  # sequence numbers
_HIGHEST: Final = 0xEFFFFF00
_OBJECTS: Final = 0x40000
_CHECKPOINT: Final = 0x21
_EXTRA: Final = 0x80000000  # in a chunk number: an object header, whose facts are repeated in the tags
_TYPES: Final = range(1, 6)
#: Where YAFFS1 keeps the eight bytes of its tags in a spare of 16.
_OLD_TAGS: Final = (0, 1, 2, 3, 6, 7, 11, 12)
_OLD_STATUS: Final = 4


class Geometry(Struct, frozen=True):
    """How chunks lie in the image. ``tags`` is the offset of the tags in the spare, -1 for YAFFS1's scattered ones."""

    page: int
    spare: int
    tags: int
    big: bool

    @property
    def size(self) -> int:
        return self.page + self.spare

    @property
    def old(self) -> bool:
        return self.tags < 0


class Chunks(Struct):
    """The tags of all chunks, by column. ``good`` marks those that make sense, ``erased`` those never written,
    ``checkpoint`` those that hold YAFFS2's saved state of a mount (which the rest does not depend on)."""

    sequence: Numbers
    object: Numbers
    chunk: Numbers
    length: Numbers
    header: Flags
    good: Flags
    erased: Flags
    deleted: Flags
    checkpoint: Flags

    @property
    def known(self) -> Flags:
        known: Flags = self.good | self.erased | self.checkpoint
        return known


def chunks(view: View, start: int, geometry: Geometry, count: int) -> Chunks:
    """The tags of ``count`` chunks from ``start`` on."""
    mem = view.mem(start, count * geometry.size)
    pages = np.frombuffer(mem, dtype=np.uint8).reshape(count, geometry.size)
    out = _old_tags(pages, geometry) if geometry.old else _tags(pages, geometry)
    kind = np.ascontiguousarray(pages[:, :4]).view(">u4" if geometry.big else "<u4").reshape(-1)
    known = (kind >= _TYPES.start) & (kind < _TYPES.stop)
    out.good &= ~out.erased & np.where(out.header, known, out.length <= geometry.page)
    return out


def _tags(pages: npt.NDArray[np.uint8], geometry: Geometry) -> Chunks:
    at = geometry.page + geometry.tags
    raw = np.ascontiguousarray(pages[:, at : at + 16])
    words = raw.view(">u4" if geometry.big else "<u4").astype(np.int64)
    sequence, obj, chunk, length = (words[:, i] for i in range(4))
    extra = chunk >= _EXTRA
    obj = np.where(extra, obj & 0x0FFFFFFF, obj)
    header = extra | (chunk == 0)
    good = (sequence >= _LOWEST) & (sequence < _HIGHEST) & (obj > 0) & (obj < _OBJECTS)
    good &= header | (chunk < 1 << 24)
    erased = (raw == 0xFF).all(axis=1)
    none = np.zeros(len(pages), dtype=np.bool_)
    return Chunks(sequence, obj, chunk, length, header, good, erased, none, sequence == _CHECKPOINT)


def _old_tags(pages: npt.NDArray[np.uint8], geometry: Geometry) -> Chunks:
    spare = pages[:, geometry.page :]
    raw = np.ascontiguousarray(spare[:, list(_OLD_TAGS)])
    words = raw.view(">u4" if geometry.big else "<u4").astype(np.int64)
    first, second = words[:, 0], words[:, 1]
    # C bit fields: from the lowest bit up on little-endian machines, from the highest down on big-endian ones.
    if geometry.big:
        chunk, length = first >> 12, (first & 0x3FF) | ((second & 3) << 10)
        obj, ecc = second >> 14, (second >> 2) & 0xFFF
        blank = words & np.array([0xFFFFFFFF, 0xFFFFC003])
    else:
        chunk, length = first & 0xFFFFF, (first >> 22) | ((second >> 30) << 10)
        obj, ecc = second & 0x3FFFF, (second >> 18) & 0xFFF
        blank = words & np.array([0xFFFFFFFF, 0xC003FFFF])
    bits = np.unpackbits(
        np.ascontiguousarray(blank.astype(">u4" if geometry.big else "<u4")).view(np.uint8).reshape(-1, 8),
        axis=1,
        bitorder="little",
    )
    code = np.bitwise_xor.reduce(np.where(bits, np.arange(1, 65), 0), axis=1)
    erased = (raw == 0xFF).all(axis=1)
    good = (code == ecc) & (obj > 0) & (obj < _OBJECTS)
    status = np.unpackbits(spare[:, _OLD_STATUS : _OLD_STATUS + 1], axis=1).sum(axis=1)
    zeros = np.zeros(len(pages), dtype=np.int64)
    return Chunks(zeros, obj, chunk, length, chunk == 0, good, erased, status < 7, zeros > 0)


def _layouts(view: View, start: int, big: bool) -> Iterator[Geometry]:
    """Layouts whose first chunk is an object header by its tags as well."""
    order = ">IIII" if big else "<IIII"
    left = len(view) - start
    for page, spares in _PAGES.items():
        for spare in spares:
            if page + spare > left:
                continue
            area = view.take(start + page, spare)
            for at in range(min(spare - 15, 64)):
                sequence, obj, chunk, _ = struct.unpack_from(order, area, at)
                if _LOWEST <= sequence < _HIGHEST and 0 < obj & 0x0FFFFFFF < _OBJECTS and (not chunk or chunk & _EXTRA):
                    yield Geometry(page, spare, at, big)
    if left >= 528:
        yield Geometry(512, 16, -1, big)


def infer(view: View, start: int, big: bool) -> tuple[Geometry, int] | None:
    """The layout under which the most chunks in a row from ``start`` on make sense, and how many do (at most 64)."""
    best: tuple[int, int, Geometry] | None = None
    for geometry in _layouts(view, start, big):
        count = min(_TRIAL, (len(view) - start) // geometry.size)
        found = chunks(view, start, geometry, count)
        if not (found.good[0] and found.header[0]):
            continue
        fine = found.known
        run = count if fine.all() else int(fine.argmin())
        good = int(found.good[:run].sum())
        # Of layouts that explain as much, the one that explains more bytes.
        if best is None or (good, geometry.size) > best[:2]:
            best = (good, geometry.size, geometry)
    return (best[2], best[0]) if best else None


def extent(view: View, start: int, geometry: Geometry) -> int:
    """Number of chunks up to the last that makes sense, before too many that do not."""
    count = (len(view) - start) // geometry.size
    found = chunks(view, start, geometry, count)
    strange = np.flatnonzero(~found.known)
    stop = count
    if len(strange) > _GAP:
        runs = np.flatnonzero(strange[_GAP:] - strange[:-_GAP] == _GAP)
        stop = int(strange[runs[0]]) if len(runs) else count
    good = np.flatnonzero((found.good | found.checkpoint)[:stop])
    return int(good[-1]) + 1 if len(good) else 0
