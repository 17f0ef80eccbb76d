"""romfs: the tree that the kernel mounts.

Every byte belongs to the header, a file's header or a file's content, or is zero; all checksums are right. Order and
alignment are free, and a name that states the time of making.

Source: Linux ``Documentation/filesystems/romfs.rst``, ``fs/romfs/super.c``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._filesystem import Inode, Spans, constant, grow, whole
from banbury.compare.equivalence.containers.contract import Comparator, Free, Place, Work
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.tree import Tree, compare_trees
from banbury.formats.view import View

MAGIC: Final = b"-rom1fs-"
_KINDS: Final = (
    "link", "directory", "file", "symbolic link", "block device", "character device", "socket", "fifo",
)  # fmt: skip
#: Permissions as the kernel makes them up (romfs_modemap); the executable bit adds 0111.
_MODES: Final = (0, 0o644, 0o644, 0o777, 0o600, 0o600, 0o644, 0o644)
_EXECUTABLE: Final = 8
#: The name that genromfs gives where it is told none: the time of making.
_UNNAMED: Final = re.compile(rb"rom [0-9a-f]{8}")


class _Header(Struct, frozen=True):
    """A file's header: where it and its content stand."""

    at: int
    after: int
    sort: int
    executable: bool
    spec: int
    size: int
    name: bytes
    start: int


class _Image:
    """One image; ``tree`` reads it to its last byte."""

    def __init__(self, view: View, base: int) -> None:
        self.view, self.base = view, base
        self.size = view.u32(8, big=True)
        if not 32 <= self.size <= len(view):
            raise Refused("header", "states another size than there is", [Range(8, 12)])
        self._check_sum(0, min(512, self.size), "header")
        self.name, self.first = self._text(16)
        constant(view, self.size, len(view), (0,), "behind the file system")
        self.spans = Spans(self.size)
        self.spans.own(0, self.first)
        self.headers: dict[int, _Header] = {}
        self.inodes: dict[int, Inode] = {}
        self.parents: dict[int, int] = {}
        self.chained: set[int] = set()

    def _check_sum(self, at: int, size: int, where: str) -> None:
        if int(np.frombuffer(self.view.take(at, size & ~3), ">u4").sum(dtype=np.uint64)) & 0xFFFFFFFF:
            raise Refused(where, "its checksum is wrong", [Range(at, at + size)])

    def _text(self, at: int) -> tuple[bytes, int]:
        """A name, padded with zeros to 16 bytes, and its end."""
        raw = self.view.cstring(at, 4096)
        end = at + (len(raw) + 16 & ~15)
        constant(self.view, at + len(raw), end, (0,), f"name at {at}")
        return raw, end

    def _header(self, at: int) -> _Header:
        """The header at ``at``, owned when it is met first."""
        if at not in self.headers:
            if at % 16 or not self.first <= at < self.size:
                raise Refused(f"header at {at}", "is none")
            word, spec, size = (self.view.u32(at + 4 * i, big=True) for i in range(3))
            name, start = self._text(at + 16)
            self._check_sum(at, start - at, f"header at {at}")
            self.headers[at] = _Header(at, word & ~15, word & 7, bool(word & _EXECUTABLE), spec, size, name, start)
            self.spans.own(at, start + size)
        return self.headers[at]

    def tree(self) -> Tree:
        root = self._inode(self.first)
        self.parents[self.first] = self.first
        tree = grow(root, -1, self._entries, self._content)
        for start, end in self.spans.gaps():
            constant(self.view, start, end, (0,), "between files")
        return tree

    def _inode(self, at: int) -> Inode:
        if at in self.inodes:
            return self.inodes[at]
        head = self._header(at)
        where = [Range(at, head.start)]
        kind = _KINDS[head.sort]
        if kind == "link" or (head.size and kind not in ("file", "symbolic link")):
            raise Refused(f"header at {at}", f"a {kind} with content, or to a link", where)
        mode = _MODES[head.sort] | (0o111 if head.executable else 0)
        inode = self.inodes[at] = Inode(number=at, kind=kind, mode=mode, size=head.size)
        if kind == "symbolic link":
            inode.attributes = {"executable": head.executable}  # changes nothing; exact like the rest
            inode.target = self.view.take(head.start, head.size)
        if kind.endswith("device"):
            inode.device = head.spec >> 16, head.spec & 0xFFFF
        elif head.spec and kind != "directory":
            raise Refused(f"header at {at}", "a field that is not zero", where)
        return inode

    def _entries(self, folder: Inode) -> Iterator[tuple[bytes, Inode]]:
        """A directory's chain of headers; each header stands in one chain."""
        at = self.headers[folder.number].spec
        while at:
            if at in self.chained:
                raise Refused(f"header at {at}", "in two directories, or in a chain that has no end")
            self.chained.add(at)
            head = self._header(at)
            target = head.spec if head.sort == 0 else at
            if head.sort == 0 and (head.size or head.executable):
                raise Refused(f"header at {at}", "a link with content or rights", [Range(at, head.start)])
            at = head.after
            if head.name in (b".", b".."):
                wanted = folder.number if head.name == b"." else self.parents[folder.number]
                if target != wanted:
                    raise Refused(f"header at {head.at}", "dots that lead elsewhere", [Range(head.at, head.start)])
                continue
            inode = self._inode(target)
            if inode.kind == "directory":
                self.parents[target] = folder.number
            yield head.name, inode

    def _content(self, inode: Inode) -> Place:
        return Place(self.base + self.headers[inode.number].start, inode.size)


def _compare(work: Work) -> None:
    one, other = (_Image(view, place.start) for view, place in work.sides)
    trees = [image.tree() for image in (one, other)]
    if all(_UNNAMED.fullmatch(image.name) for image in (one, other)):
        work.free(*({"name": Free("romfs.name", image.name, Range(16, image.first))} for image in (one, other)))
    else:
        work.exactly("header", *({"name": image.name} for image in (one, other)))
    work.account.explain("romfs.layout", *whole(work))
    compare_trees(work, *trees, order="romfs.layout")


def _claims(view: View) -> bool:
    """Whether nothing but zero bytes follows: otherwise it is an image of several parts."""
    if not view.startswith(MAGIC):
        return False
    size = view.u32(8, big=True)
    return size >= len(view) or (view.u8(size) == 0 and view.run(size) == len(view) - size)


COMPARATORS: Final = [Comparator(name="romfs", claims=_claims, compare=_compare)]
