"""A bounds-checked window on bytes that nobody trusts."""

from __future__ import annotations

import mmap
import struct
from typing import Final

from banbury.model.errors import Truncated

_U16: Final = (struct.Struct("<H"), struct.Struct(">H"))
_U32: Final = (struct.Struct("<I"), struct.Struct(">I"))
_U64: Final = (struct.Struct("<Q"), struct.Struct(">Q"))
_RUN: Final = 1 << 16
_PIECE: Final = 1 << 18

Buffer = bytes | bytearray | memoryview


class View:
    """Bytes ``start`` to ``end`` of a buffer, addressed from 0. Reading past either end raises :class:`Truncated`."""

    __slots__ = ("_buf", "_end", "_mem", "_start")

    def __init__(self, buf: bytes | mmap.mmap, start: int = 0, end: int | None = None) -> None:
        size = len(buf)
        self._buf = buf
        self._mem = memoryview(buf)
        self._start = start
        self._end = size if end is None else end
        if not 0 <= start <= self._end <= size:
            raise Truncated(f"window {start}..{end} lies outside {size} bytes", offset=start)

    def __len__(self) -> int:
        return self._end - self._start

    def _at(self, offset: int, length: int) -> int:
        if offset < 0 or length < 0 or offset + length > self._end - self._start:
            raise Truncated(f"{length} bytes at {offset:#x} lie outside {len(self):#x} bytes", offset=offset)
        return self._start + offset

    def u8(self, offset: int) -> int:
        return self._buf[self._at(offset, 1)]

    def u16(self, offset: int, big: bool = False) -> int:
        value: int = _U16[big].unpack_from(self._mem, self._at(offset, 2))[0]
        return value

    def u32(self, offset: int, big: bool = False) -> int:
        value: int = _U32[big].unpack_from(self._mem, self._at(offset, 4))[0]
        return value

    def u64(self, offset: int, big: bool = False) -> int:
        value: int = _U64[big].unpack_from(self._mem, self._at(offset, 8))[0]
        return value

    def unpack(self, layout: struct.Struct, offset: int) -> tuple[int, ...]:
        """Fields of ``layout`` at ``offset``. (A layout with ``s`` fields yields bytes in their place.)"""
        return layout.unpack_from(self._mem, self._at(offset, layout.size))

    def take(self, offset: int, length: int) -> bytes:
        """A copy of ``length`` bytes at ``offset``."""
        at = self._at(offset, length)
        return bytes(self._mem[at : at + length])

    def mem(self, offset: int, length: int) -> memoryview:
        """The bytes themselves, without a copy."""
        at = self._at(offset, length)
        return self._mem[at : at + length]

    def rest(self, offset: int) -> memoryview:
        """Everything from ``offset`` on, without a copy."""
        return self.mem(offset, len(self) - offset)

    def sub(self, offset: int, length: int) -> View:
        """A window on ``length`` bytes at ``offset``."""
        at = self._at(offset, length)
        return View(self._buf, at, at + length)

    def startswith(self, pattern: bytes, offset: int = 0) -> bool:
        """Whether ``pattern`` stands at ``offset``; false, not an error, past the end."""
        if offset < 0 or offset + len(pattern) > len(self):
            return False
        at = self._start + offset
        return bytes(self._mem[at : at + len(pattern)]) == pattern

    def find(self, pattern: bytes, start: int = 0, end: int | None = None) -> int:
        """Offset of the first ``pattern`` that lies whole within ``start`` to ``end``, or -1."""
        stop = len(self) if end is None else min(end, len(self))
        begin = max(start, 0)
        if isinstance(self._buf, bytes):
            hit = self._buf.find(pattern, self._start + begin, self._start + stop)
            return hit - self._start if hit >= 0 else -1
        return self._find_mapped(pattern, begin, stop)

    def _find_mapped(self, pattern: bytes, begin: int, stop: int) -> int:
        """Search a mapping piece by piece: ``mmap.find`` of CPython 3.11 is slow, and reads past the last page."""
        overlap = max(len(pattern) - 1, 0)
        while begin + len(pattern) <= stop:
            size = min(_PIECE + overlap, stop - begin)
            hit = self.take(begin, size).find(pattern)
            if hit >= 0:
                return begin + hit
            begin += size - overlap
            if size < _PIECE + overlap:
                break
        return -1

    def charge(self, work: int) -> None:
        """Note work that looking at these bytes does not show: bytes of decoded output. Counted where a search has a
        limit on its work."""

    def cstring(self, offset: int, limit: int) -> bytes:
        """Bytes from ``offset`` to the first NUL, or ``limit`` bytes (fewer at the end) where there is none."""
        length = min(limit, len(self) - offset)
        return self.take(offset, length).split(b"\0", 1)[0]

    def run(self, offset: int, end: int | None = None) -> int:
        """How many bytes from ``offset`` on repeat the byte at ``offset``."""
        stop = len(self) if end is None else min(end, len(self))
        if offset >= stop:
            return 0
        byte = self.u8(offset)
        block = bytes([byte]) * _RUN
        position = offset
        while position < stop:
            size = min(_RUN, stop - position)
            piece = self.take(position, size)
            if piece != block[:size]:
                return position - offset + size - len(piece.lstrip(block[:1]))
            position += size
        return position - offset
