"""What the flash file systems (JFFS2, UBIFS, YAFFS) share: checksums, decoders and the walk from the root.

These formats store a tree as nodes in any order. A reader turns them into a :class:`Tree`; :func:`emit` walks it from
the root, once per directory, and writes the members.
"""

from __future__ import annotations

import stat
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final, Protocol

from msgspec import Struct

from banbury.formats.contract import Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.view import Buffer, View
from banbury.model.errors import BudgetExceeded, Malformed
from banbury.model.tree import Entry, Kind, Role

#: Linux's PATH_MAX: a longer path cannot be opened by name, and unbounded ones cost memory squared in the depth.
PATH_MAX: Final = 4096
#: Bytes of paths, link targets and extended attributes in one file system, all members together.
WORDS: Final = 256 << 20
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

    Raises BudgetExceeded where paths, links and attributes together pass :data:`WORDS` bytes."""
    names = Names(sink)
    reached = Reached({tree.root: -1}, {})
    paths: dict[int, str] = {}
    words = 0
    for raw, ino in _walk(sink, tree):
        reached.links[ino] = reached.links.get(ino, 0) + 1
        inode = tree.inode(ino)
        first = reached.member.get(ino)
        hard = inode is not None and inode.kind is Kind.FILE and first is not None
        entry = _entry(raw, ino, inode, paths[ino] if hard else "")
        words += len(raw) + len(entry.link) + sum(map(len, entry.xattrs.values()))
        if words > WORDS:
            sink.note("bomb", f"names, links and attributes of more than {WORDS} bytes")
            raise BudgetExceeded(f"names, links and attributes of more than {WORDS} bytes")
        names.note(entry)
        if hard and first is not None:
            sink.alias(entry, first)
        elif entry.kind is not Kind.FILE:
            reached.member.setdefault(ino, sink.entry(entry))
        else:
            paths[ino] = entry.path
            content = tree.content(ino, entry.path) if inode is not None else _missing(ino)
            reached.member[ino] = sink.file(entry, batched(content))
    names.finish()
    return reached


def _missing(ino: int) -> Iterator[Buffer]:
    raise Malformed(f"the name leads to inode {ino}, which is not there or damaged")
    yield b""


def _entry(raw: bytes, ino: int, inode: Inode | None, first: str) -> Entry:
    """The member of name ``raw``; where ``first`` names the file before, a hard link to that."""
    shown, stored = clean_name(raw)
    if inode is None:
        return Entry(path=shown, raw=stored, kind=Kind.FILE, inode=ino)
    return Entry(
        path=shown,
        raw=stored,
        kind=Kind.HARDLINK if first else inode.kind,
        size=inode.size,
        mode=inode.mode,
        uid=inode.uid,
        gid=inode.gid,
        mtime=inode.mtime,
        link=first or clean_name(inode.link[:PATH_MAX])[0],
        rdev=inode.rdev,
        inode=ino,
        xattrs=inode.xattrs,
    )


def _walk(sink: Sink, tree: Tree) -> Iterator[tuple[bytes, int]]:
    """Paths and inodes below the root, each directory entered once."""
    entered = {tree.root}
    stack = [(b"", name, ino) for name, ino in sorted(tree.names(tree.root), reverse=True)]
    while stack:
        parent, name, ino = stack.pop()
        path = parent + b"/" + name if parent else name
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


class Cuts:
    """When files were cut short, and to what size. A search per block, where going over a file's blocks at every cut
    would cost their product."""

    def __init__(self) -> None:
        self._times: dict[int, list[int]] = {}
        self._sizes: dict[int, list[int]] = {}
        self._least: dict[int, list[int]] = {}

    @property
    def objects(self) -> set[int]:
        return set(self._times)

    def add(self, obj: int, time: int, size: int) -> None:
        """File ``obj`` was cut to ``size`` bytes. Call in order of ``time``, and before the first :meth:`after`."""
        self._times.setdefault(obj, []).append(time)
        self._sizes.setdefault(obj, []).append(size)

    def forget(self, obj: int) -> None:
        self._times.pop(obj, None)
        self._sizes.pop(obj, None)

    def after(self, obj: int, time: int, offset: int) -> bool:
        """Whether what was written at ``time`` to ``offset`` was cut off later."""
        times = self._times.get(obj)
        if times is None:
            return False
        if obj not in self._least:
            # The least size from each cut to the last.
            least = list(accumulate(reversed(self._sizes[obj]), min))
            self._least[obj] = least[::-1]
        next_cut = bisect_right(times, time)
        return next_cut < len(times) and self._least[obj][next_cut] <= offset


class Holes:
    """How many more bytes of holes may be written out for a container of ``size`` bytes. ``byte`` is what a hole
    reads as."""

    def __init__(self, sink: Sink, size: int, byte: bytes = b"\0") -> None:
        self._sink = sink
        self._left = HOLES + 16 * size
        self._piece = byte * (1 << 16)

    def fill(self, length: int) -> Iterator[bytes]:
        """``length`` bytes, or Malformed where that is out of proportion."""
        if length > self._left:
            raise Malformed(f"a hole of {length} bytes is left out, and what follows it")
        self._left -= length
        while length > 0:
            yield self._piece[:length]
            length -= len(self._piece)

    def report(self, size: int, stored: int, path: str) -> None:
        """Note a file of ``size`` bytes of which only ``stored`` are there, where that is much."""
        if size - stored >= SPARSE and size > 2 * stored:
            self._sink.note("sparse", f"states {size} bytes and stores {stored}", path=path)
