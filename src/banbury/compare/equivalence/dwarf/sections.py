"""Sections of debug information as their consumer sees them: unpacked, and with relocations applied.

Sources: gABI (2013 draft), chapter 4, "Compressed Sections" (with ELFCOMPRESS_ZSTD of 2022); RFC 1950; GNU binutils,
``bfd/compress.c`` (``.zdebug``); the processor supplements for the types of relocations.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.streams import inflated, open_stream
from banbury.compare.equivalence.elf_map import SHF_COMPRESSED, OwnedElf, Part
from banbury.compare.equivalence.elf_symbols import symbols_of
from banbury.compare.equivalence.model import Range
from banbury.formats.view import View

#: Unpacked bytes of one side's debug information that are looked at.
LARGEST: Final = 256 << 20
_RELA, _REL = 4, 9
#: What gives the place in the other file of what a symbol plus an addend lead to, if that moved.
Placed = Callable[[int, int], int | None]
I64 = npt.NDArray[np.int64]
#: Types of relocations that store a symbol's address (or its place in thread-local memory) plus an addend: the size.
_WORDS: Final[dict[int, dict[int, int]]] = {
    3: {1: 4, 32: 4},
    8: {2: 4, 39: 4},
    20: {1: 4, 24: 4, 78: 4},
    40: {2: 4, 106: 4},
    62: {1: 8, 10: 4, 17: 8, 21: 4},
    183: {257: 8, 258: 4, 1028: 8},
}


class Debug(Struct, kw_only=True):
    """One side's section: what its consumer reads, and its relocations as (place, type, symbol, addend)."""

    part: Part
    align: int
    flags: int
    raw: bytes
    relocations: I64
    table: Part | None


def read_debug(elf: OwnedElf, part: Part, table: Part | None, room: int, placed: Placed | None = None) -> Debug:
    """A section, unpacked, with the relocations of ``table`` applied: with ``placed``, as they are in the other file.
    Raises :class:`Refused`."""
    raw, align = _unpacked(elf, part, room)
    relocations = np.zeros((0, 4), np.int64)
    if table is not None:
        relocations = _relocations(elf, table, len(raw))
        raw = _applied(elf, part, table, raw, relocations, placed)
    flags = part.flags & ~SHF_COMPRESSED
    return Debug(part=part, align=align, flags=flags, raw=raw, relocations=relocations, table=table)


def _unpacked(elf: OwnedElf, part: Part, room: int) -> tuple[bytes, int]:
    order = "big" if elf.elf.big else "little"
    raw = elf.data[part.offset : part.end]
    where = [Range(part.offset, part.end)]
    if part.name.startswith(".zdebug_"):
        if part.flags & SHF_COMPRESSED or bytes(raw[:4]) != b"ZLIB":
            raise Refused(part.name, "no compressed section", where)
        return _inflated(elf, part, 12, int.from_bytes(raw[4:12], "big"), room), part.align
    if not part.flags & SHF_COMPRESSED:
        if len(raw) > room:
            raise Refused(part.name, "more debug information than is looked at here", where)
        return bytes(raw), part.align
    word = 8 if elf.elf.is64 else 4
    head = 24 if elf.elf.is64 else 12
    kind, reserved = (int.from_bytes(raw[at : at + 4], order) for at in (0, 4))  # type: ignore[arg-type]
    size, align = (int.from_bytes(raw[head - n * word : head - n * word + word], order) for n in (2, 1))  # type: ignore[arg-type]
    if len(raw) < head + 8 or (word == 8 and reserved):
        raise Refused(part.name, "no compressed section", where)
    if kind == 1:
        return _inflated(elf, part, head, size, room), align
    if kind == 2:
        return _zstd(elf, part, head, size, room), align
    raise Refused(part.name, f"compressed in a way that is not known: {kind}", where)


def _inflated(elf: OwnedElf, part: Part, head: int, size: int, room: int) -> bytes:
    """A zlib stream that fills the section behind its header."""
    start, end = part.offset + head, part.end - 4
    first = elf.view.take(start, 2)
    if first[0] != 0x78 or first[1] & 0x20 or int.from_bytes(first, "big") % 31:
        raise Refused(part.name, "no zlib stream without a dictionary", [Range(start, start + 2)])
    out = _joined(part, inflated(elf.view, start + 2, end), size, room)
    if zlib.adler32(out) != int.from_bytes(elf.view.take(end, 4), "big"):
        raise Refused(part.name, "its checksum is wrong", [Range(end, end + 4)])
    return out


def _zstd(elf: OwnedElf, part: Part, head: int, size: int, room: int) -> bytes:
    view: View = elf.view.sub(part.offset + head, part.end - part.offset - head)
    stream = open_stream(view) if view.startswith(b"\x28\xb5\x2f\xfd") else None
    if stream is None:
        raise Refused(part.name, "no Zstandard frame", [Range(part.offset, part.end)])
    return _joined(part, stream, size, room)


def _joined(part: Part, pieces: object, size: int, room: int) -> bytes:
    if size > room:
        raise Refused(part.name, "more debug information than is looked at here", [Range(part.offset, part.end)])
    out = bytearray()
    for piece in pieces:  # type: ignore[attr-defined]
        out += piece
        if len(out) > size:
            break
    if len(out) != size:
        raise Refused(part.name, "it is not of the size that it states", [Range(part.offset, part.end)])
    return bytes(out)


def relocation_rows(elf: OwnedElf, table: Part) -> I64:
    """(place, type, symbol, addend) of every relocation of a table. Raises :class:`Refused`."""
    wide, big = elf.elf.is64, elf.elf.big
    order, word = (">" if big else "<"), (8 if wide else 4)
    columns = 3 if table.type == _RELA else 2
    if table.type not in (_RELA, _REL) or table.entsize != columns * word or table.size % table.entsize:
        raise Refused(table.name, "no table of relocations", [Range(table.offset, table.end)])
    if wide and elf.header.machine == 8:
        raise Refused(table.name, "relocations of three types at once", [Range(table.offset, table.end)])
    rows = np.frombuffer(elf.data[table.offset : table.end], f"{order}u{word}").reshape(-1, columns)
    out = np.zeros((len(rows), 4), np.int64)
    info = rows[:, 1].astype(np.uint64)
    out[:, 0] = rows[:, 0].astype(np.uint64).view(np.int64)
    out[:, 1] = (info & np.uint64(0xFFFFFFFF if wide else 0xFF)).view(np.int64)
    out[:, 2] = (info >> np.uint64(32 if wide else 8)).view(np.int64)
    if columns == 3:
        out[:, 3] = rows[:, 2].astype(f"{order}i{word}") if wide else rows[:, 2].view(f"{order}i4").astype(np.int64)
    return out


def _relocations(elf: OwnedElf, table: Part, size: int) -> I64:
    rows = relocation_rows(elf, table)
    known = _WORDS.get(elf.header.machine, {})
    widths = np.array([known.get(kind, 0) for kind in rows[:, 1].tolist()], np.int64)
    where = [Range(table.offset, table.end)]
    if (widths == 0).any():
        raise Refused(table.name, "a relocation of debug information of a type that is not known here", where)
    order = np.argsort(rows[:, 0], kind="stable")
    ends = (rows[:, 0] + widths)[order]
    if len(rows) and (rows[order[0], 0] < 0 or ends[-1] > size or (rows[order[1:], 0] < ends[:-1]).any()):
        raise Refused(table.name, "relocations overlap, or lead out of their section", where)
    return rows[order]


def _applied(elf: OwnedElf, part: Part, table: Part, raw: bytes, rows: I64, placed: Placed | None) -> bytes:
    """The section with each relocation's symbol and addend in its place."""
    if not 0 < table.link < len(elf.sections):
        raise Refused(table.name, "has no table of symbols")
    symbols = symbols_of(elf, elf.sections[table.link])
    if len(rows) and rows[:, 2].max() >= len(symbols):
        raise Refused(table.name, "a relocation of no symbol")
    values = symbols["value"].astype(np.uint64)[rows[:, 2]]
    known = _WORDS[elf.header.machine]
    widths = np.array([known[kind] for kind in rows[:, 1].tolist()], np.int64)
    out = np.frombuffer(raw, np.uint8).copy()
    for width in (4, 8):
        pick = widths == width
        at = rows[pick, 0]
        stored = _gather(out, at, width, big=elf.elf.big)
        if table.type == _RELA:
            total = values[pick] + rows[pick, 3].view(np.uint64)
            kept = total & np.uint64((1 << 8 * width) - 1)
            if (kept != total).any():  # and not the lower half of something else
                raise Refused(table.name, "an addend that its word does not hold")
            if (stored[(stored != 0) & (stored != kept)]).any():
                raise Refused(part.name, "bytes are stored where a relocation puts others")
            if placed is not None:
                moved = [placed(symbol, addend) for symbol, addend in rows[pick, 2:].tolist()]
                there = [int(old) if new is None else new for old, new in zip(total, moved, strict=True)]
                total = np.array(there, np.uint64)
        else:
            if placed is not None:
                raise Refused(table.name, "texts moved, and it refers to them in a way that is not read here")
            total = values[pick] + stored
        for n in range(width):
            shift = np.uint64(8 * (width - 1 - n if elf.elf.big else n))
            out[at + n] = (total >> shift & np.uint64(0xFF)).astype(np.uint8)
    return out.tobytes()


def _gather(raw: npt.NDArray[np.uint8], at: I64, width: int, *, big: bool) -> npt.NDArray[np.uint64]:
    total = np.zeros(len(at), np.uint64)
    for n in range(width):
        shift = np.uint64(8 * (width - 1 - n if big else n))
        total |= raw[at + n].astype(np.uint64) << shift
    return total
