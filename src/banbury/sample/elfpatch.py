"""Weakens ELF programs on purpose, by changing bytes in place (System V ABI, gABI chapters 4 and 5).

There is no cross compiler in the sample's making, so its badly built programs are Debian's good ones, altered.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from banbury.model.errors import BanburyError

_PT_LOAD, _PT_DYNAMIC, _PT_GNU_STACK = 1, 2, 0x6474E551
_PF_X, _PF_W = 1, 2
_DT_NULL, _DT_STRTAB, _DT_STRSZ, _DT_DEBUG, _DT_RUNPATH = 0, 5, 10, 21, 29
# A weak symbol that every program refers to and none defines: its name may be any other undefined one.
_SPARE_NAME = b"_ITM_deregisterTMCloneTable"


class _Segment(NamedTuple):
    kind: int
    flags: int
    flags_at: int
    offset: int
    address: int
    size: int


class _Layout(NamedTuple):
    order: str
    wide: bool
    segments: list[_Segment]


def executable_stack(program: bytes) -> bytes:
    """The program asking for an executable stack: PF_X set in PT_GNU_STACK."""
    return _with_flags(program, _PT_GNU_STACK, _PF_X, index=0)


def writable_code(program: bytes) -> bytes:
    """The program with its first executable segment writable as well."""
    layout = _layout(program)
    loads = [s for s in layout.segments if s.kind == _PT_LOAD]
    index = next(i for i, s in enumerate(loads) if s.flags & _PF_X)
    return _with_flags(program, _PT_LOAD, _PF_W, index)


def run_path(program: bytes, path: str) -> bytes:
    """The program looking for its libraries in ``path`` first: DT_DEBUG becomes DT_RUNPATH, and the name of a weak
    symbol that nothing defines becomes the path."""
    layout = _layout(program)
    entries = list(_dynamic(program, layout))
    value = {tag: value for tag, value, _ in entries}
    start = _file_offset(layout, value[_DT_STRTAB])
    at = program.find(b"\0" + _SPARE_NAME + b"\0", start, start + value[_DT_STRSZ]) + 1
    debug = next((where for tag, _, where in entries if tag == _DT_DEBUG), -1)
    if at == 0 or debug < 0 or len(path) > len(_SPARE_NAME):
        raise BanburyError("the program has no room for a run path")
    out = bytearray(program)
    out[at : at + len(_SPARE_NAME)] = path.encode("ascii").ljust(len(_SPARE_NAME), b"\0")
    struct.pack_into(layout.order + ("QQ" if layout.wide else "II"), out, debug, _DT_RUNPATH, at - start)
    return bytes(out)


def _layout(program: bytes) -> _Layout:
    if program[:4] != b"\x7fELF":
        raise BanburyError("not an ELF file")
    wide, order = program[4] == 2, "<" if program[5] == 1 else ">"
    phoff = struct.unpack_from(order + ("Q" if wide else "I"), program, 0x20 if wide else 0x1C)[0]
    size, count = struct.unpack_from(order + "HH", program, 0x36 if wide else 0x2A)
    segments = []
    for at in range(phoff, phoff + size * count, size):
        if wide:
            kind, flags, offset, address, _, filesz = struct.unpack_from(order + "IIQQQQ", program, at)
            flags_at = at + 4
        else:
            kind, offset, address, _, filesz, _, flags = struct.unpack_from(order + "7I", program, at)
            flags_at = at + 24
        segments.append(_Segment(kind, flags, flags_at, offset, address, filesz))
    return _Layout(order, wide, segments)


def _with_flags(program: bytes, kind: int, flags: int, index: int) -> bytes:
    layout = _layout(program)
    segment = [s for s in layout.segments if s.kind == kind][index]
    out = bytearray(program)
    struct.pack_into(layout.order + "I", out, segment.flags_at, segment.flags | flags)
    return bytes(out)


def _dynamic(program: bytes, layout: _Layout) -> Iterator[tuple[int, int, int]]:
    """(tag, value, offset in the file) of every entry of the dynamic section."""
    segment = next(s for s in layout.segments if s.kind == _PT_DYNAMIC)
    form = struct.Struct(layout.order + ("QQ" if layout.wide else "II"))
    for at in range(segment.offset, segment.offset + segment.size, form.size):
        tag, value = form.unpack_from(program, at)
        if tag == _DT_NULL:
            return
        yield tag, value, at


def _file_offset(layout: _Layout, address: int) -> int:
    for s in layout.segments:
        if s.kind == _PT_LOAD and s.address <= address < s.address + s.size:
            return s.offset + address - s.address
    raise BanburyError("an address outside every segment")
