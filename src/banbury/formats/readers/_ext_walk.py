"""The walk over an ext2/3/4 tree: directories, files, links, devices, and the inodes no directory names.

Source: the kernel's Documentation/filesystems/ext4/ (directory.rst, inlinedata.rst, special_inodes.rst).
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Iterator

from banbury.formats.contract import Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.readers._disk import Blocks, Paths, Placer, Run, merge, raw_of, runs_to
from banbury.formats.readers._ext_groups import Groups
from banbury.formats.readers._ext_inode import COMPRESSED, ENCRYPTED, INLINE, VERITY, Inode, Maps
from banbury.formats.readers._ext_super import Super
from banbury.formats.readers._ext_xattr import Attributes, Xattrs
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

_DIRENT = struct.Struct("<IHBB")
ROOT = 2
_SORTS = {
    1: Kind.FIFO,
    2: Kind.CHAR,
    4: Kind.DIR,
    6: Kind.BLOCK,
    8: Kind.FILE,
    10: Kind.SYMLINK,
    12: Kind.SOCKET,
}
Path = tuple[str, bytes]
Dirent = tuple[int, bytes]


class Walk:
    """Reads the whole tree into a sink. ``met`` are the inodes that something names."""

    def __init__(self, view: View, sb: Super, groups: Groups, blocks: Blocks, sink: Sink) -> None:
        self.view, self.sb, self.groups, self.blocks, self.sink = view, sb, groups, blocks, sink
        self.names = Names(sink)
        self.paths = Paths(len(view))
        self.maps = Maps(view, sb, blocks, sink)
        self.placer = Placer(view, sink, blocks)
        self.xattrs = Xattrs(view, sb, blocks, sink, self._xattr_inode)
        self.met: dict[int, int] = {}
        self.first_path: dict[int, str] = {}
        self.oddities: Counter[str] = Counter()
        self._values: dict[int, bytes] = {}

    def inode(self, number: int) -> Inode:
        """Raises ``Malformed`` where there is no such inode."""
        return Inode(self.view, self.groups.inode_offset(number), number, self.sb.inode_size)

    def tree(self) -> None:
        """Everything reachable from the root directory, breadth first."""
        queue: deque[tuple[int, Path, int]] = deque([(ROOT, ("", b""), ROOT)])
        self.met[ROOT] = -1
        while queue:
            number, path, parent = queue.popleft()
            try:
                listing = self._directory(self.inode(number), path[0], parent)
            except Malformed as problem:
                self.sink.note("malformed", str(problem), path=path[0])
                continue
            for child, name in listing:
                try:
                    where = self.paths.join(path, name)
                    if self._member(child, where):
                        queue.append((child, where, number))
                except Malformed as problem:
                    self.sink.note("malformed", str(problem), path=path[0])
        self.names.finish()

    # directories

    def _directory(self, inode: Inode, path: str, parent: int) -> list[Dirent]:
        """The directory's names in stored order. Raises ``Malformed`` where it is none."""
        if inode.sort != 4:
            raise Malformed(f"inode {inode.number} is not a directory")
        out: list[Dirent] = []
        dots: dict[bytes, int] = {}
        try:
            for piece in self._directory_pieces(inode, dots):
                for child, name in self._dirents(piece, path):
                    if name in {b".", b".."}:
                        dots.setdefault(name, child)
                    else:
                        out.append((child, name))
        except Malformed as problem:  # what came before it stands
            self.sink.note("malformed", str(problem), path=path)
        if dots.get(b".", inode.number) != inode.number or dots.get(b"..", parent) != parent:
            self.sink.note("mismatch", "the directory's . or .. names another directory", path=path)
        return out

    def _directory_pieces(self, inode: Inode, dots: dict[bytes, int]) -> Iterator[memoryview]:
        if inode.flags & INLINE:
            dots[b".."] = struct.unpack_from("<I", inode.mapping)[0]
            yield memoryview(inode.mapping)[4:]
            rest = self._attributes(inode).get("system.data", b"")
            if rest:
                yield memoryview(rest)
            return
        size = self.sb.block
        extents, problem = self.maps.extents(inode)
        seen = 0
        for _, first, count in extents:
            if self.blocks.claim_each(first, count):
                raise Malformed(f"inode {inode.number}: a directory block belongs to something else")
            self.sink.own(first * size, (first + count) * size, Role.TABLE, "directory")
            for block in range(first, first + count):
                yield self.view.mem(block * size, size)
            seen += count
        if problem or seen * size != inode.size:
            raise Malformed(problem or f"inode {inode.number}: a directory of {inode.size} bytes in {seen} blocks")

    def _dirents(self, data: memoryview, path: str) -> Iterator[Dirent]:
        """Entries of one block. A hash tree's inner nodes look like empty entries and fall through."""
        at, end = 0, len(data)
        while at + 8 <= end:
            child, length, name_length, _ = _DIRENT.unpack_from(data, at)
            if end >= 65536 and length in {0, 65535}:
                length = 65536
            if length < 8 or length % 4 or at + length > end or 8 + name_length > length:
                self.sink.note("malformed", f"a directory entry of {length} bytes", path=path)
                return
            if child:
                name = bytes(data[at + 8 : at + 8 + name_length])
                if b"/" in name or b"\0" in name or not name:
                    self.sink.note("odd-name", "a name that is empty or holds a slash or NUL", path=path)
                yield child, name
            at += length

    # members

    def _member(self, number: int, path: Path) -> bool:
        """Add one name. Returns whether it is a directory to descend into."""
        before = self.met.get(number)
        if before is not None:
            self._again(number, before, path)
            return False
        inode = self.inode(number)
        kind = _SORTS.get(inode.sort)
        if kind is None:
            raise Malformed(f"{path[0]}: inode {number} has no known type ({inode.mode:#o})")
        self.met[number] = self.add(inode, kind, path)
        return kind is Kind.DIR

    def _again(self, number: int, before: int, path: Path) -> None:
        """Another name for an inode already met: a hard link, or for a directory a loop."""
        if before < 0:
            self.sink.note("loop", f"directory inode {number} has a second name", path=path[0])
            return
        entry = Entry(
            path=path[0], raw=raw_of(path), kind=Kind.HARDLINK, link=self.first_path.get(number, ""), inode=number
        )
        self.names.note(entry)
        self.sink.alias(entry, before)

    def add(self, inode: Inode, kind: Kind, path: Path) -> int:
        """Add the inode as a member; its index, or -1 for a directory."""
        attributes = self._attributes(inode)
        inline = attributes.get("system.data", b"")
        if inode.flags & INLINE and "system.data" in attributes:
            attributes = {name: value for name, value in attributes.items() if name != "system.data"}
        link = self._target(inode, inline) if kind is Kind.SYMLINK else b""
        entry = Entry(
            path=path[0],
            raw=raw_of(path),
            kind=kind,
            size=inode.size if kind in {Kind.FILE, Kind.CHUNK} else 0,
            mode=inode.mode & 0o7777,
            uid=inode.uid,
            gid=inode.gid,
            mtime=inode.mtime,
            link=clean_name(link)[0],
            inode=inode.number,
            rdev=inode.rdev if kind in {Kind.CHAR, Kind.BLOCK} else None,
            xattrs=attributes,
        )
        if kind is not Kind.CHUNK:
            self.names.note(entry)
        if kind is not Kind.DIR:
            self.first_path[inode.number] = path[0]
        if kind in {Kind.FILE, Kind.CHUNK}:
            return self._file(entry, inode, inline)
        member = self.sink.entry(entry)
        return -1 if kind is Kind.DIR else member

    def _file(self, entry: Entry, inode: Inode, inline: bytes) -> int:
        self.oddities["encrypted"] += bool(inode.flags & ENCRYPTED)
        self.oddities["compressed"] += bool(inode.flags & COMPRESSED)
        if inode.flags & INLINE:
            content = (inode.mapping + inline)[: inode.size]
            short = len(content) < inode.size
            return self.placer.place(entry, [], "inline data ends early") if short else self._inline(entry, content)
        extents, problem = self.maps.extents(inode)
        if inode.flags & VERITY:
            self._verity(extents, inode.size)
        runs = runs_to(extents, inode.size, self.blocks)
        if problem:
            return self.placer.place(entry, merge(runs, sum(r[1] for r in runs)), problem)
        return self.placer.place(entry, merge(runs, inode.size))

    def _inline(self, entry: Entry, content: bytes) -> int:
        return self.sink.file(entry, [content])

    def _verity(self, extents: list[tuple[int, int, int]], size: int) -> None:
        """fs-verity keeps its hash tree past the end of the file (verity.rst)."""
        block = self.sb.block
        need = -(-size // block)
        for first, place, count in extents:
            skip = min(max(0, need - first), count)
            if skip < count:
                self.blocks.claim(place + skip, count - skip, 2)
                self.sink.own((place + skip) * block, (place + count) * block, Role.CHECK, "verity hash tree")

    def _target(self, inode: Inode, inline: bytes) -> bytes:
        """A symbolic link's target: in the inode (a "fast" link), or in blocks."""
        size = min(inode.size, 4096)
        if inode.flags & INLINE:
            return (inode.mapping + inline)[:size]
        attribute = self.sb.block // 512 * self.sb.cluster if inode.acl else 0
        if size < 60 and (inode.blocks == attribute or inode.flags & 0x200000):
            return inode.mapping[:size]
        extents, problem = self.maps.extents(inode)
        runs: list[Run] = merge(runs_to(extents, size, self.blocks), size)
        target = b"".join(self.view.mem(at, length) for at, length in runs if at >= 0)
        if problem or len(target) < inode.size:
            self.sink.note("malformed", problem or "a symbolic link ends early")
        for at, length in runs:
            if at >= 0:
                self.blocks.claim_bytes(at, length)
                self.sink.own(at, at + length, Role.TABLE, "symbolic link")
        return target

    # attributes

    def _attributes(self, inode: Inode) -> Attributes:
        if not inode.acl and not inode.tail:
            return {}
        try:
            end = self.groups.inode_offset(inode.number) + self.sb.inode_size
            return self.xattrs.of(inode, end)
        except Malformed as problem:
            self.sink.note("malformed", str(problem))
            return {}

    def _xattr_inode(self, number: int) -> bytes:
        """The value of an attribute that has an inode of its own (at most 1 MiB are read)."""
        if number not in self._values:
            self._values[number] = b""
            inode = self.inode(number)
            self.met.setdefault(number, -1)
            size = min(inode.size, 1 << 20)
            runs = runs_to(self.maps.extents(inode)[0], size, self.blocks)
            self._values[number] = b"".join(self.view.mem(at, length) for at, length in runs if at >= 0)[:size]
            for at, length in runs:
                if at >= 0:
                    self.blocks.claim_bytes(at, length)
                    self.sink.own(at, at + length, Role.TABLE, "extended attributes")
        return self._values[number]

    # what no directory names

    def special(self, number: int, name: str) -> None:
        """Own the blocks of an inode that belongs to the file system itself."""
        try:
            inode = self.inode(number)
        except Malformed:
            return
        self.met.setdefault(number, -1)
        if not inode.mode and not any(inode.mapping):
            return
        size = self.sb.block
        extents, problem = self.maps.extents(inode)
        if problem:
            self.sink.note("malformed", problem)
        for _, first, count in extents:
            if self.blocks.claim(first, count):
                self.sink.note("overlap", f"a block of the {name} belongs to something else", start=first * size)
            self.sink.own(first * size, (first + count) * size, Role.TABLE, name)

    def resize_inode(self) -> None:
        """Own inode 7's double indirect block: it lists the reserved descriptor blocks, owned already."""
        try:
            inode = self.inode(7)
        except Malformed:
            return
        block = struct.unpack_from("<I", inode.mapping, 13 * 4)[0]
        if block:
            try:
                self.maps.node(block)
            except Malformed as problem:
                self.sink.note("malformed", f"resize inode: {problem}")

    def lost(self, numbers: list[int]) -> None:
        """Add files that the bitmaps call used and no directory names, as chunks; note them as hidden."""
        count = 0
        for number in numbers:
            if number in self.met:
                continue
            try:
                inode = self.inode(number)
                if number < self.sb.first_inode and not inode.size:
                    continue
                count += 1
                self.met[number] = -1
                if inode.sort == 8:
                    self.add(inode, Kind.CHUNK, (f"inode-{number}", f"inode-{number}".encode()))
            except Malformed as problem:
                self.sink.note("malformed", f"inode {number}: {problem}")
        if count:
            self.sink.note("hidden", f"{count} inodes are in use and no directory names them")
