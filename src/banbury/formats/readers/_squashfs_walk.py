"""From SquashFS inodes to entries: the tree is walked once, without recursion, and nothing in it is believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from banbury.formats.contract import Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.readers._squashfs_content import Content, Version
from banbury.formats.readers._squashfs_image import KINDS, Cursor, Image, Inode, Name
from banbury.formats.view import Buffer
from banbury.model.errors import BudgetExceeded, Malformed
from banbury.model.tree import Entry, Kind, Role

_MAX_PATH: Final = 8192  # bytes; Linux itself follows paths of at most 4096
_MAX_PATHS: Final = 128 << 20  # bytes of all paths together
_NOTED_HOLES: Final = 1 << 20  # bytes of holes in one file worth a note


class _Level:
    """One directory on the way from the root to where the walk stands."""

    __slots__ = ("names", "path", "raw", "root")

    def __init__(self, path: str, raw: bytes, names: Iterator[Name], root: bool = False) -> None:
        self.path = path
        self.raw = raw  # the path's bytes, where ``path`` is not exactly those
        self.names = names
        self.root = root


class Walk:
    """Walks one image and writes its entries. ``inodes`` maps each inode reference met to (entry or -1, path)."""

    def __init__(self, image: Image, version: Version, sink: Sink) -> None:
        self._image = image
        self._version = version
        self._sink = sink
        self._content = Content(image, version)
        self._numbers: dict[int, int] = {}
        self._path_bytes = 0
        self._names = Names(sink)
        self.inodes: dict[int, tuple[int, str]] = {}

    @property
    def used_fragments(self) -> set[int]:
        return self._content.used_fragments

    def run(self) -> None:
        """Write every entry below the root. Raises ``Malformed`` only where the root itself cannot be read."""
        root = self._image.head.root
        inode, _ = self._version.inode(root >> 16, root & 0xFFFF)
        if inode.kind is not Kind.DIR:
            raise Malformed("the root inode is not a directory", offset=self._image.head.inode_start)
        self._count(root, inode, "")
        self.inodes[root] = -1, ""
        self._sink.property("root directory", f"mode {inode.mode:04o}, owner {inode.uid}:{inode.gid}")
        stack = [_Level("", b"", self._version.names(inode), root=True)]
        while stack:
            level = stack[-1]
            try:
                name = next(level.names, None)
            except Malformed as problem:
                self._image.fail(problem, "directory", level.path)
                name = None
            if name is None:
                stack.pop()
                continue
            below = self._visit(level, name)
            if below is not None:
                stack.append(below)
        self._names.finish()

    def _visit(self, level: _Level, name: Name) -> _Level | None:
        """One line of a listing: its entry, and for a directory the level below."""
        path, raw = self._path(level, name.raw)
        reference = name.block << 16 | name.offset
        try:
            inode, cursor = self._version.inode(name.block, name.offset)
        except Malformed as problem:
            self._unreadable(name, path, raw, problem)
            return None
        first = self.inodes.get(reference)
        if first is None:
            self._count(reference, inode, path)
        self._compare(name, inode, path)
        entry = self._entry(inode, reference, path, raw)
        self._names.note(entry)
        if inode.kind is Kind.DIR:
            return self._directory(entry, inode, reference, first is not None)
        if first is not None and inode.kind is Kind.FILE:
            self._link(entry, first)
        elif inode.kind is Kind.FILE:
            self.inodes[reference] = self._file(entry, inode, cursor), path
        else:
            self.inodes.setdefault(reference, (self._sink.entry(entry), path))
        return None

    def _path(self, level: _Level, raw: bytes) -> tuple[str, bytes]:
        """The path for people, and its bytes where those differ."""
        text, odd = clean_name(raw)
        path = text if level.root else f"{level.path}/{text}"
        whole = b""
        if odd or level.raw:
            whole = raw if level.root else (level.raw or level.path.encode()) + b"/" + raw
        self._path_bytes += len(path)
        if self._path_bytes > _MAX_PATHS:
            self._sink.note("bomb", f"paths of more than {_MAX_PATHS} bytes in all")
            raise BudgetExceeded(f"paths of more than {_MAX_PATHS} bytes in all")
        if raw in (b".", b"..") or b"/" in raw:
            self._sink.note("path-traversal", "a name that leads to another directory", path=path)
        return path, whole

    def _unreadable(self, name: Name, path: str, raw: bytes, problem: Malformed) -> None:
        """An inode that cannot be read: its entry is all that there is."""
        self._image.fail(problem, "inode", path)
        kind = KINDS[name.kind - 1] if 1 <= name.kind <= 7 else Kind.FILE
        entry = Entry(path=path, raw=raw, kind=kind, inode=name.number)
        self._names.note(entry)
        if kind is Kind.FILE:
            self._sink.file(entry, _broken(problem))
        else:
            self._sink.entry(entry)

    def _count(self, reference: int, inode: Inode, path: str) -> None:
        """Check a new inode's number."""
        if inode.number < 0:
            return
        if not 1 <= inode.number <= self._image.head.inodes:
            self._sink.note("malformed", f"inode number {inode.number} of {self._image.head.inodes}", path=path)
        elif self._numbers.setdefault(inode.number, reference) != reference:
            self._sink.note("mismatch", f"two inodes are numbered {inode.number}", path=path)

    def _compare(self, name: Name, inode: Inode, path: str) -> None:
        """What the listing says of an inode beside what the inode says."""
        if not (1 <= name.kind <= 7 and KINDS[name.kind - 1] is inode.kind) and self._image.head.version > 1:
            self._sink.note("mismatch", f"listed with type {name.kind}, is a {inode.kind.value}", path=path)
        if name.number >= 0 and name.number != inode.number:
            self._sink.note("mismatch", f"listed as inode {name.number}, is {inode.number}", path=path)

    def _entry(self, inode: Inode, reference: int, path: str, raw: bytes) -> Entry:
        if inode.uid < 0 or inode.gid < 0:
            self._sink.note("malformed", "an owner outside the id table", path=path)
        try:
            xattrs = self._version.xattrs(inode.xattr)
        except Malformed as problem:
            self._image.fail(problem, "xattrs", path)
            xattrs = {}
        return Entry(
            path=path,
            kind=inode.kind,
            raw=raw,
            size=inode.size if inode.kind in (Kind.FILE, Kind.SYMLINK) else 0,
            mode=inode.mode,
            uid=inode.uid,
            gid=inode.gid,
            mtime=inode.mtime,
            link=clean_name(inode.target)[0],
            inode=inode.number if inode.number >= 0 else reference,
            rdev=inode.rdev,
            xattrs=xattrs,
        )

    def _directory(self, entry: Entry, inode: Inode, reference: int, again: bool) -> _Level | None:
        index = self._sink.entry(entry)
        if again:
            # A directory has one parent; a second way in is a loop, or a tree that grows without end.
            self._sink.note("loop", f"the same directory as {self.inodes[reference][1] or '/'}", path=entry.path)
            return None
        self.inodes[reference] = index, entry.path
        if len(entry.raw or entry.path) > _MAX_PATH:
            self._image.fail(Malformed(f"deeper than {_MAX_PATH} bytes of path"), "directory", entry.path[:256])
            return None
        return _Level(entry.path, entry.raw, self._version.names(inode))

    def _link(self, entry: Entry, first: tuple[int, str]) -> None:
        index, path = first
        self._sink.alias(
            Entry(
                path=entry.path,
                kind=Kind.HARDLINK,
                raw=entry.raw,
                size=entry.size,
                mode=entry.mode,
                uid=entry.uid,
                gid=entry.gid,
                mtime=entry.mtime,
                link=path,
                inode=entry.inode,
                xattrs=entry.xattrs,
            ),
            index,
        )

    def _file(self, entry: Entry, inode: Inode, cursor: Cursor) -> int:
        content = self._content
        index = self._sink.file(entry, self._watched(content.pieces(inode, cursor)))
        for start, end in content.blocks:
            self._image.own(start, end, Role.MEMBER, "data block", index)
        if content.holes > _NOTED_HOLES:
            self._sink.note("sparse", f"{content.holes} or more of {inode.size} bytes are holes", path=entry.path)
        return index

    def _watched(self, pieces: Iterator[Buffer]) -> Iterator[Buffer]:
        try:
            yield from pieces
        except Malformed:
            self._image.damaged = True
            raise


def _broken(problem: Malformed) -> Iterator[Buffer]:
    raise problem
    yield b""
