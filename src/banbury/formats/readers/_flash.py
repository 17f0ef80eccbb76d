"""What the flash file systems (JFFS2, UBIFS, YAFFS) share: checksums, decoders and the walk from the root.

These formats store a tree as nodes in any order. A reader turns them into a :class:`Tree`; :func:`emit` walks it from
the root, once per directory, and writes the members.
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from msgspec import Struct

from banbury.formats.contract import Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.view import Buffer, View
from banbury.model.errors import BudgetExceeded, Malformed
from banbury.model.tree import Entry, Kind, Role

#: Linux's PATH_MAX: a longer path cannot be opened by name, and unbounded ones cost memory squared in the depth.
PATH_MAX: Final = 4096
#: Bytes of paths in one file system, all members together.
PATHS: Final = 256 << 20
#: Bytes of holes written out for one file system beyond its own size.
HOLES: Final = 64 << 20
#: A file whose holes are smaller than this is not worth a note.
SPARSE: Final = 1 << 20
ZEROS: Final = bytes(1 << 16)
_BATCH: Final = 1 << 18
_FILLS: Final = frozenset((0x00, 0xFF, 0xCE))

_KINDS: Final = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIR,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
}


def crc32(data: Buffer) -> int:
    """CRC-32 as Linux's MTD writes it: initial value all ones, no final complement."""
    return zlib.crc32(data) ^ 0xFFFFFFFF


def crc32_zero(data: Buffer) -> int:
    """CRC-32 as JFFS2 writes it: initial value zero, no final complement."""
    return zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF


def kind_of(mode: int) -> Kind | None:
    """The kind of member that an inode's mode states; ``None`` where it states none that Linux knows."""
    return _KINDS.get(stat.S_IFMT(mode))


def device(raw: bytes, big: bool) -> tuple[int, int]:
    """Major and minor number from an inode's data: 2 bytes (Linux's old encoding), 4 (new) or 8 (huge).
    Source: Linux include/linux/kdev_t.h."""
    value = int.from_bytes(raw, "big" if big else "little")
    if len(raw) == 2:
        return value >> 8, value & 0xFF
    if len(raw) == 4:
        return (value >> 8) & 0xFFF, (value & 0xFF) | ((value >> 12) & 0xFFF00)
    if len(raw) == 8:
        return ((value >> 32) & 0xFFFFF000) | ((value >> 8) & 0xFFF), ((value >> 12) & 0xFFFFFF00) | (value & 0xFF)
    raise Malformed(f"a device number of {len(raw)} bytes")


def fills(view: View, sink: Sink, start: int, end: int) -> None:
    """Own the runs of fill at the start of a gap between nodes: erased flash, zeros, UBIFS' padding byte. What is no
    fill is left without an owner, and so is what only aligns the next node."""
    if end - start < 8:
        return
    for _ in range(8):
        if start >= end or view.u8(start) not in _FILLS:
            return
        length = view.run(start, end)
        sink.own(start, start + length, Role.PADDING, f"fill {view.u8(start):#04x}")
        start += length


def batched(pieces: Iterable[Buffer]) -> Iterator[Buffer]:
    """The same bytes in larger pieces: a node holds a page at most, and each piece costs a system call. What came
    before an error is handed on before it is raised."""
    held: list[Buffer] = []
    size = 0
    try:
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size >= _BATCH:
                yield b"".join(held)
                held, size = [], 0
    except Malformed:
        yield b"".join(held)
        raise
    yield b"".join(held)


class Inode(Struct, frozen=True, kw_only=True):
    """What an inode says of itself. ``link`` is a symbolic link's target."""

    kind: Kind
    mode: int = -1
    uid: int = -1
    gid: int = -1
    mtime: int = -1
    size: int = 0
    link: bytes = b""
    rdev: tuple[int, int] | None = None
    xattrs: dict[str, bytes] = {}


class Tree(Protocol):
    """A file system as its nodes state it."""

    root: int

    def names(self, ino: int) -> Iterable[tuple[bytes, int]]:
        """The names in directory ``ino`` and the inodes they lead to."""

    def inode(self, ino: int) -> Inode | None:
        """The inode, or ``None`` where there is none of that number."""

    def content(self, ino: int, path: str) -> Iterable[Buffer]:
        """A file's bytes in pieces. ``path`` is for notes."""


class Reached(Struct):
    """Which inodes a walk reached (first member index of each, -1 for the root) and how many names each has."""

    member: dict[int, int]
    links: dict[int, int]


def emit(sink: Sink, tree: Tree) -> Reached:
    """Write every member that can be reached from the root, parents first, in order of their names.

    Raises BudgetExceeded where the paths together pass :data:`PATHS` bytes."""
    names = Names(sink)
    reached = Reached({tree.root: -1}, {})
    paths: dict[int, str] = {}
    for raw, ino in _walk(sink, tree):
        reached.links[ino] = reached.links.get(ino, 0) + 1
        inode = tree.inode(ino)
        if inode is None:
            shown, stored = clean_name(raw)
            sink.note("malformed", f"a name leads to inode {ino}, which is not there", path=shown)
            reached.member.setdefault(ino, sink.file(Entry(path=shown, raw=stored, kind=Kind.FILE, inode=ino), ()))
            continue
        entry = _entry(raw, ino, inode)
        names.note(entry)
        first = reached.member.get(ino)
        if inode.kind is not Kind.FILE:
            index = sink.entry(entry)
            reached.member.setdefault(ino, index)
        elif first is not None:
            sink.alias(_entry(raw, ino, inode, Kind.HARDLINK, paths[ino]), first)
        else:
            paths[ino] = entry.path
            reached.member[ino] = sink.file(entry, batched(tree.content(ino, entry.path)))
    names.finish()
    return reached


def _entry(raw: bytes, ino: int, inode: Inode, kind: Kind | None = None, link: str = "") -> Entry:
    shown, stored = clean_name(raw)
    return Entry(
        path=shown,
        raw=stored,
        kind=kind or inode.kind,
        size=inode.size,
        mode=inode.mode,
        uid=inode.uid,
        gid=inode.gid,
        mtime=inode.mtime,
        link=link or clean_name(inode.link)[0],
        rdev=inode.rdev,
        inode=ino,
        xattrs=inode.xattrs,
    )


def _walk(sink: Sink, tree: Tree) -> Iterator[tuple[bytes, int]]:
    """Paths and inodes below the root, each directory entered once."""
    entered = {tree.root}
    stack = [(b"", name, ino) for name, ino in sorted(tree.names(tree.root), reverse=True)]
    total = 0
    while stack:
        parent, name, ino = stack.pop()
        path = parent + b"/" + name if parent else name
        total += len(path)
        if total > PATHS:
            sink.note("bomb", f"paths of more than {PATHS} bytes")
            raise BudgetExceeded(f"paths of more than {PATHS} bytes")
        yield path, ino
        inode = tree.inode(ino)
        if inode is None or inode.kind is not Kind.DIR:
            continue
        if ino in entered:
            sink.note("loop", f"directory {ino} has more than one name", path=clean_name(path)[0])
        elif len(path) > PATH_MAX:
            sink.note("malformed", "a path longer than 4096 bytes; not entered", path=clean_name(path)[0][:200])
        else:
            entered.add(ino)
            stack += [(path, name, child) for name, child in sorted(tree.names(ino), reverse=True)]


class Holes:
    """How many more bytes of holes may be written out for one file system."""

    def __init__(self, sink: Sink, size: int) -> None:
        self._sink = sink
        self._left = HOLES + 16 * size

    def fill(self, length: int) -> Iterator[bytes]:
        """``length`` zero bytes, or Malformed where that is out of proportion."""
        if length > self._left:
            raise Malformed(f"a hole of {length} bytes is left out, and what follows it")
        self._left -= length
        while length > 0:
            yield ZEROS[:length]
            length -= len(ZEROS)

    def report(self, size: int, stored: int, path: str) -> None:
        """Note a file of ``size`` bytes of which only ``stored`` are there, where that is much."""
        if size - stored >= SPARSE and size > 2 * stored:
            self._sink.note("sparse", f"states {size} bytes and stores {stored}", path=path)
