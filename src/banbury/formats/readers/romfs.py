"""romfs: the read-only file system of genromfs, big-endian, every header summed to zero."""

from __future__ import annotations

import struct
from collections import deque

import numpy as np
from msgspec import Struct

from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.readers._disk import Paths, Placer, raw_of
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

_MAGIC = b"-rom1fs-"
_HEADER = struct.Struct(">IIII")
_HARD, _DIR, _FILE, _LINK, _BLOCK, _CHAR, _SOCKET, _FIFO = range(8)
#: Kinds and the permissions that Linux gives them (romfs_modemap in fs/romfs/super.c); the format stores only whether
#: a file is executable.
_SORTS = {
    _DIR: (Kind.DIR, 0o644),
    _FILE: (Kind.FILE, 0o644),
    _LINK: (Kind.SYMLINK, 0o777),
    _BLOCK: (Kind.BLOCK, 0o600),
    _CHAR: (Kind.CHAR, 0o600),
    _SOCKET: (Kind.SOCKET, 0o644),
    _FIFO: (Kind.FIFO, 0o644),
}
Path = tuple[str, bytes]


class _Node(Struct, frozen=True):
    at: int
    next: int
    sort: int
    executable: bool
    info: int
    size: int
    name: bytes
    data: int
    sound: bool


def _sum(view: View, start: int, length: int) -> int:
    """The 32-bit sum of big-endian words."""
    words = np.frombuffer(view.mem(start, length // 4 * 4), ">u4")
    return int(words.sum(dtype=np.uint64)) & 0xFFFFFFFF


def _padded(name: bytes) -> int:
    """Bytes of a name with its NUL, padded to 16."""
    return len(name) + 16 & ~15


class RomfsReader(Reader):
    """romfs as Linux reads it."""

    name = "romfs"
    title = "romfs file system"
    version = 1
    holds_files = True
    magics = (Magic(_MAGIC),)
    references = ("Linux Documentation/filesystems/romfs.rst",)

    def probe(self, view: View, start: int) -> Extent | None:
        size = view.u32(start + 8, big=True)
        room = len(view) - start
        if not view.startswith(_MAGIC, start) or size < 64:
            return None
        length = min(size, room)
        sound = _sum(view, start, min(512, size, room)) == 0
        root = start + 16 + _padded(view.cstring(start + 16, 256))
        if not sound and (view.u32(root, big=True) & 7) != _DIR:
            return None
        return Extent(length, sure=sound)

    def read(self, view: View, sink: Sink) -> None:
        size = view.u32(8, big=True)
        volume = view.cstring(16, 256)
        root = 16 + _padded(volume)
        sink.own(0, root, Role.HEADER, "superblock")
        sink.property("volume name", volume.decode("utf-8", "backslashreplace"))
        if len(view) < size:
            sink.note("truncated", f"{len(view)} of {size} bytes are there")
        if _sum(view, 0, min(512, len(view))) != 0 and len(view) >= min(512, size):
            sink.note("checksum", "the first 512 bytes do not sum to zero", start=0, end=512)
        _Walk(view, sink).tree(root)


class _Walk:
    def __init__(self, view: View, sink: Sink) -> None:
        self.view, self.sink = view, sink
        self.names, self.paths = Names(sink), Paths(len(view))
        self.placer = Placer(view, sink)
        self.members: dict[int, int] = {}
        self.paths_of: dict[int, str] = {}
        self.targets: dict[int, int] = {}  # hard links: header to header
        self.seen: set[int] = set()
        self.bad: list[int] = []

    def node(self, at: int) -> _Node:
        word, info, size, _ = self.view.unpack(_HEADER, at)
        name = self.view.cstring(at + 16, 64)
        if len(name) == 64:
            name = self.view.cstring(at + 16, 4096)
        data = at + 16 + _padded(name)
        sound = _sum(self.view, at, min(data, len(self.view)) - at) == 0
        return _Node(at, word & ~15, word & 7, bool(word & 8), info, size, name, data, sound)

    def tree(self, root: int) -> None:
        """Breadth first from the root's own header. A header belongs to one list: a second visit is a loop."""
        first = self.node(root)
        if first.sort != _DIR:
            raise Malformed("the root is not a directory", offset=root)
        queue: deque[tuple[int, Path]] = deque([(first.info & ~15, ("", b""))])
        links: list[tuple[_Node, Path]] = []
        while queue:
            at, path = queue.popleft()
            while at:
                if at in self.seen:
                    self.sink.note("loop", f"the header at {at:#x} is in two lists", path=path[0], start=at)
                    break
                self.seen.add(at)
                try:
                    node = self.node(at)
                    self._member(node, path, queue, links)
                except Malformed as problem:
                    self.sink.note("malformed", str(problem), path=path[0], start=at)
                    break
                at = node.next
        for node, path in links:
            self._hard_link(node, path)
        self.names.finish()
        if self.bad:
            self.sink.note("checksum", f"{len(self.bad)} file headers, the first at {self.bad[0]:#x}")

    def _member(
        self, node: _Node, parent: Path, queue: deque[tuple[int, Path]], links: list[tuple[_Node, Path]]
    ) -> None:
        self.sink.own(node.at, node.data, Role.HEADER, "file header")
        if not node.sound:
            self.bad.append(node.at)
        if node.sort == _HARD:
            self.targets[node.at] = node.info & ~15
        if node.name in {b".", b".."}:
            return
        if not node.name or b"/" in node.name:
            self.sink.note("odd-name", "a name that is empty or holds a slash", path=parent[0], start=node.at)
        path = self.paths.join(parent, node.name)
        if node.sort == _HARD:
            links.append((node, path))
            return
        kind, mode = _SORTS[node.sort]
        content = self.view.take(node.data, min(node.size, 4096)) if node.sort == _LINK else b""
        device = (node.info >> 16, node.info & 0xFFFF) if node.sort in {_BLOCK, _CHAR} else None
        entry = Entry(
            path=path[0],
            raw=raw_of(path),
            kind=kind,
            size=node.size if kind is Kind.FILE else 0,
            mode=mode | (0o111 if node.executable else 0),
            link=clean_name(content)[0],
            inode=node.at,
            rdev=device,
        )
        self.names.note(entry)
        self.paths_of[node.at] = path[0]
        if kind is Kind.FILE:
            self.members[node.at] = self._file(entry, node)
            return
        self.members[node.at] = self.sink.entry(entry)
        self.sink.own(node.data, node.data + len(content), Role.TABLE, "symbolic link")
        if kind is Kind.DIR:
            queue.append((node.info & ~15, path))

    def _file(self, entry: Entry, node: _Node) -> int:
        if node.data + node.size <= len(self.view):
            return self.sink.slice(entry, node.data, node.data + node.size)
        return self.placer.place(entry, [(node.data, node.size)])

    def _hard_link(self, node: _Node, path: Path) -> None:
        """Give a hard link its target's content; a link may name another link."""
        at, steps = node.info & ~15, 0
        while at in self.targets and steps < 64:
            at, steps = self.targets[at], steps + 1
        entry = Entry(path=path[0], raw=raw_of(path), kind=Kind.HARDLINK, link=self.paths_of.get(at, ""), inode=at)
        self.names.note(entry)
        if at not in self.members:
            self.sink.note("malformed", f"a hard link to {at:#x}, where no file is", path=path[0], start=node.at)
            self.sink.entry(entry)
        else:
            self.sink.alias(entry, self.members[at])


READERS: list[Reader] = [RomfsReader()]
