"""What all SquashFS versions share while an image is read: its metadata blocks, its inodes' common shape, and the
record of which bytes were reached."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from banbury.formats.contract import Sink
from banbury.formats.readers._squashfs_codec import Check, Codec
from banbury.formats.readers._squashfs_super import INVALID, METADATA, NO_FRAGMENT, Super
from banbury.formats.view import View
from banbury.model.errors import BudgetExceeded, Malformed, Truncated
from banbury.model.tree import Kind, Role

_CACHED_BLOCKS: Final = 4096
_MAX_GAPS: Final = 64

#: Inode types 1 to 7; from 8 on the extended forms repeat them.
KINDS: Final = (Kind.DIR, Kind.FILE, Kind.SYMLINK, Kind.BLOCK, Kind.CHAR, Kind.FIFO, Kind.SOCKET)


class Inode(Struct, kw_only=True, gc=False):
    """One inode of any version. ``uid`` and ``gid`` are values, not indices. A directory's listing of ``size`` bytes
    starts ``offset`` bytes into the metadata block at ``start`` (from the directory table); a file's blocks start at
    ``start`` (from the image) and ``offset`` is into its fragment. Sizes in bytes."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: int
    number: int = -1
    size: int = 0
    start: int = 0
    offset: int = 0
    fragment: int = NO_FRAGMENT
    links: int = 1
    target: bytes = b""
    rdev: tuple[int, int] | None = None
    xattr: int = NO_FRAGMENT


class Name(Struct, gc=False):
    """One line of a directory listing. ``block`` and ``offset`` find the inode; ``kind`` and ``number`` are what the
    listing says of it (``number`` -1 before 3.0)."""

    raw: bytes
    block: int
    offset: int
    kind: int
    number: int


class Image:
    """One image being read. ``damaged`` is set once something could not be followed: from then on, bytes not
    reached prove nothing."""

    def __init__(self, view: View, head: Super, sink: Sink | None = None) -> None:
        """Without a sink the image is only looked at: nothing is stated and no headerless stream is guessed."""
        self.view = view
        self.head = head
        self.codec = Codec(head.compressor or "gzip", len(view), guess=sink is not None)
        self.sink = sink
        self.damaged = False
        self.short_little = False  # metadata lengths are little-endian in a big-endian image (AVM)
        self._blocks: OrderedDict[int, tuple[bytes, int]] = OrderedDict()
        self._reached: dict[tuple[int, int], None] = {}
        self._trailing: set[int] = set()

    def own(self, start: int, end: int, role: Role, name: str, member: int = -1) -> None:
        """State an owner, and remember that these bytes were reached."""
        self._reached[start, end] = None
        if self.sink is not None:
            self.sink.own(start, end, role, name, member)

    def note(self, code: str, detail: str, *, path: str = "", start: int = -1, end: int = -1) -> None:
        if self.sink is not None:
            self.sink.note(code, detail, path=path, start=start, end=end)

    def fail(self, problem: Malformed, what: str, path: str = "") -> None:
        """Note a structure that could not be followed."""
        self.damaged = True
        code = "truncated" if isinstance(problem, Truncated) else "malformed"
        self.note(code, f"{what}: {problem}", path=path, start=problem.offset)

    def decode(self, at: int, size: int, limit: int, exact: int = -1, check: Check | None = None) -> bytes:
        """The compressed block of ``size`` bytes ``at`` the view's start. Notes bytes after the stream's end."""
        out, used = self.codec.block(self.view.mem(at, size), limit, exact, check)
        if used < size and at not in self._trailing:
            self._trailing.add(at)
            self.note(
                "hidden", f"{size - used} bytes after a block's compressed stream", start=at + used, end=at + size
            )
        return out

    def metadata(self, at: int, name: str, check: Check | None = None) -> tuple[bytes, int]:
        """The metadata block at ``at`` and the position of the next one."""
        cached = self._blocks.get(at)
        if cached is not None:
            self._blocks.move_to_end(at)
            return cached
        word = self.view.u16(at, self.head.big and not self.short_little)
        size = word & 0x7FFF or 0x8000
        if size > METADATA:
            raise Malformed(f"{name}: a metadata block of {size} bytes", offset=at)
        start = at + (3 if self.head.check else 2)
        if word & 0x8000:
            out = self.view.take(start, size)
        else:
            try:
                out = self.decode(start, size, METADATA, check=check)
            except Truncated:
                raise
            except BudgetExceeded as problem:
                self.note("bomb", str(problem))
                raise
            except Malformed as problem:
                raise Malformed(f"{name}: {problem}", offset=at) from problem
        self.own(at, start + size, Role.TABLE, name)
        self._blocks[at] = out, start + size
        if len(self._blocks) > _CACHED_BLOCKS:
            self._blocks.popitem(last=False)
        return out, start + size

    def gaps(self, start: int, end: int) -> list[tuple[int, int]]:
        """Runs between ``start`` and ``end`` that nothing reached and that are not constant fill; at most a few."""
        out: list[tuple[int, int]] = []
        position = start
        for left, right in sorted(self._reached):
            if left > position and len(out) < _MAX_GAPS:
                self._gap(out, position, min(left, end))
            position = max(position, right)
            if position >= end:
                return out
        self._gap(out, position, end)
        return out

    def _gap(self, out: list[tuple[int, int]], start: int, end: int) -> None:
        if start < end and self.view.run(start, end) < end - start:
            out.append((start, end))


class Cursor:
    """Reads on through a chain of metadata blocks, from ``offset`` bytes into the block at ``at``."""

    __slots__ = ("_data", "_image", "_name", "_next", "_position")

    def __init__(self, image: Image, at: int, offset: int, name: str) -> None:
        self._image = image
        self._name = name
        self._data, self._next = image.metadata(at, name)
        self._position = offset
        if offset > len(self._data):
            raise Malformed(f"{name}: offset {offset} in a block of {len(self._data)} bytes", offset=at)

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        end = self._position + size
        if end > len(self._data):
            self._extend(size)
            end = self._position + size
        out = self._data[self._position : end]
        self._position = end
        return out

    def _extend(self, size: int) -> None:
        parts = [self._data[self._position :]]
        have = len(parts[0])
        while have < size:
            more, self._next = self._image.metadata(self._next, self._name)
            if not more:
                raise Malformed(f"{self._name}: an empty metadata block", offset=self._next)
            parts.append(more)
            have += len(more)
        self._data = b"".join(parts)
        self._position = 0


def read_chain(image: Image, index: list[int], size: int, name: str) -> bytes:
    """The ``size`` bytes of a table whose metadata blocks stand at ``index``."""
    parts: list[bytes] = []
    have = 0
    for at in index:
        if have >= size:
            break
        data, _ = image.metadata(at, name)
        expected = min(METADATA, size - have)
        if len(data) < expected:
            raise Malformed(f"{name}: a block of {len(data)} bytes where {expected} belong", offset=at)
        parts.append(data[:expected])
        have += expected
    return b"".join(parts)


def absent(start: int) -> bool:
    """Whether a table's position says that there is no such table."""
    return start in (INVALID, 0)
