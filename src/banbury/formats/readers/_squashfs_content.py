"""The content of SquashFS files: data blocks, holes and tails packed into fragment blocks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, Protocol

from banbury.formats.readers._squashfs_image import Cursor, Image, Inode, Name
from banbury.formats.readers._squashfs_super import NO_FRAGMENT
from banbury.formats.view import Buffer
from banbury.model.errors import Malformed
from banbury.model.tree import Role

_LIST_CHUNK: Final = 2048  # entries of a block list read at once
_FRAGMENT_CACHE: Final = 32 << 20  # bytes
_HOLES_FLOOR: Final = 32 << 20  # under the floor from which a sink compares output to input
_HOLES_RATIO: Final = 8


class Version(Protocol):
    """What a version's module offers. See :class:`~banbury.formats.readers._squashfs_v4.Version4`."""

    block_word: int
    used_ids: set[int]
    fragments: list[tuple[int, int, bool]]

    def load(self) -> None: ...
    def inode(self, block: int, offset: int) -> tuple[Inode, Cursor]: ...
    def names(self, inode: Inode) -> Iterator[Name]: ...
    def exported(self) -> list[int]: ...
    def xattrs(self, index: int) -> dict[str, bytes]: ...
    def block_words(self, data: bytes) -> Iterator[tuple[int, bool]]: ...


class Content:
    """Streams file contents of one image and remembers which fragments were used.

    Holes are output too: ``8 * image + 32 MiB`` of them are written for one image, then files with more are cut.
    """

    def __init__(self, image: Image, version: Version) -> None:
        self._image = image
        self._version = version
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached = 0
        self._zeros = bytes(image.head.block_size)
        self._holes_left = _HOLES_FLOOR + _HOLES_RATIO * len(image.view)
        self.used_fragments: set[int] = set()
        self.holes = 0  # bytes of holes of the file read last
        self.blocks: list[tuple[int, int]] = []  # where the blocks of the file read last stand

    def pieces(self, inode: Inode, cursor: Cursor) -> Iterator[Buffer]:
        """The content of a file whose block list is at ``cursor``. ``blocks`` fills as blocks are decoded."""
        self.blocks = []
        self.holes = 0
        size = self._image.head.block_size
        tail = inode.size % size if inode.fragment != NO_FRAGMENT else 0
        left = inode.size - tail
        at = inode.start
        for stored, compressed in self._block_list(cursor, -(-left // size)):
            expected = min(size, left)
            if stored:
                yield self._block(at, stored, compressed, expected)
                at += stored
            else:
                yield self._hole(expected)
            left -= expected
        if tail:
            yield self._tail(inode, tail)

    def _block_list(self, cursor: Cursor, count: int) -> Iterator[tuple[int, bool]]:
        while count > 0:
            chunk = min(count, _LIST_CHUNK)
            yield from self._version.block_words(cursor.take(chunk * self._version.block_word))
            count -= chunk

    def _hole(self, size: int) -> Buffer:
        self.holes += size
        self._holes_left -= size
        if self._holes_left < 0:
            raise Malformed("the holes of this image are too large to write out")
        return memoryview(self._zeros)[:size]

    def _block(self, at: int, stored: int, compressed: bool, expected: int) -> Buffer:
        image = self._image
        if stored > image.head.block_size:
            raise Malformed(f"a data block of {stored} bytes", offset=at)
        if compressed:
            out: Buffer = image.decode(at, stored, expected, expected)
            image.codec.credit(expected)
        else:
            out = image.view.mem(at, stored)
            if stored != expected:
                raise Malformed(f"a data block of {stored} bytes where {expected} belong", offset=at)
        self.blocks.append((at, at + stored))
        return out

    def _tail(self, inode: Inode, size: int) -> Buffer:
        data = self._fragment(inode.fragment)
        if inode.offset + size > len(data):
            raise Malformed(f"bytes {inode.offset} to {inode.offset + size} of a fragment of {len(data)} bytes")
        self._image.codec.credit(size)
        return memoryview(data)[inode.offset : inode.offset + size]

    def _fragment(self, index: int) -> bytes:
        self.used_fragments.add(index)
        found = self._cache.get(index)
        if found is not None:
            self._cache.move_to_end(index)
            return found
        if index >= len(self._version.fragments):
            raise Malformed(f"fragment {index} of {len(self._version.fragments)}")
        at, stored, compressed = self._version.fragments[index]
        limit = self._image.head.block_size
        if stored > limit:
            raise Malformed(f"a fragment block of {stored} bytes", offset=at)
        found = self._image.decode(at, stored, limit) if compressed else self._image.view.take(at, stored)
        self._image.own(at, at + stored, Role.MEMBER, "fragment block")
        self._cache[index] = found
        self._cached += len(found)
        while self._cached > _FRAGMENT_CACHE:
            self._cached -= len(self._cache.popitem(last=False)[1])
        return found
