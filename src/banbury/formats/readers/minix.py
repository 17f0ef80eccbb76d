"""The Minix file system, versions 1 to 3, in either byte order."""

from __future__ import annotations

import struct
from collections import deque

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.readers._disk import (
    USED,
    Blocks,
    Paths,
    Placer,
    Pointers,
    indirect,
    leftovers,
    merge,
    note_hidden,
    raw_of,
    runs_to,
)
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

_AT = 1024
_ROOT = 1
#: Magic number to (version, bytes of a name).
_MAGICS = {0x137F: (1, 14), 0x138F: (1, 30), 0x2468: (2, 14), 0x2478: (2, 30)}
_V3 = 0x4D5A
_SORTS = {1: Kind.FIFO, 2: Kind.CHAR, 4: Kind.DIR, 6: Kind.BLOCK, 8: Kind.FILE, 10: Kind.SYMLINK, 12: Kind.SOCKET}
Path = tuple[str, bytes]


class _Super(Struct, frozen=True, kw_only=True):
    """Places are in blocks of ``block`` bytes; zones are ``block`` bytes too (others are not read)."""

    version: int
    big: bool
    name: int
    inodes: int
    zones: int
    inode_map: int
    zone_map: int
    first: int
    block: int

    @property
    def order(self) -> str:
        return ">" if self.big else "<"

    @property
    def inode_size(self) -> int:
        return 32 if self.version == 1 else 64

    @property
    def table(self) -> int:
        """The first block of the inode table."""
        return 2 + self.inode_map + self.zone_map

    @property
    def length(self) -> int:
        return self.zones * self.block


class _Inode(Struct, frozen=True):
    number: int
    mode: int
    links: int
    uid: int
    gid: int
    size: int
    mtime: int
    zones: list[int]


def _super(view: View, start: int) -> _Super:
    """Raises ``Malformed`` where there is no superblock, or its fields contradict one another."""
    at = start + _AT
    for big in (False, True):
        magic, third = view.u16(at + 16, big), view.u16(at + 24, big)
        if magic in _MAGICS:
            version, name = _MAGICS[magic]
            inodes, zones, *rest = (view.u16(at + 2 * i, big) for i in range(6))
            zones = zones if version == 1 else view.u32(at + 20, big)
            inode_map, zone_map, first, shift = rest
            block = 1024
        elif third == _V3:
            version, name = 3, 60
            inodes, zones, block = view.u32(at, big), view.u32(at + 20, big), view.u16(at + 28, big)
            inode_map, zone_map, first, shift = (view.u16(at + i, big) for i in (6, 8, 10, 12))
        else:
            continue
        sb = _Super(
            version=version,
            big=big,
            name=name,
            inodes=inodes,
            zones=zones,
            inode_map=inode_map,
            zone_map=zone_map,
            first=first,
            block=block,
        )
        table_end = sb.table + -(-inodes * sb.inode_size // max(block, 1))
        if (
            shift == 0
            and block in {1024, 2048, 4096}
            and inodes
            and inodes < inode_map * block * 8
            and table_end <= first < zones <= first - 1 + zone_map * block * 8
        ):
            return sb
    raise Malformed("no Minix superblock", offset=at)


def _inode(view: View, sb: _Super, number: int, start: int = 0) -> _Inode:
    """Raises ``Malformed`` where there is no such inode."""
    if not 1 <= number <= sb.inodes:
        raise Malformed(f"inode {number} does not exist")
    at = start + sb.table * sb.block + (number - 1) * sb.inode_size
    if sb.version == 1:
        mode, uid, size, time, gid, links, *zones = view.unpack(struct.Struct(sb.order + "HHIIBB9H"), at)
        return _Inode(number, mode, links, uid, gid, size, time, [*zones, 0])
    mode, links, uid, gid, size, _, time, _, *zones = view.unpack(struct.Struct(sb.order + "HHHHIIII10I"), at)
    return _Inode(number, mode, links, uid, gid, size, time, zones)


class MinixReader(Reader):
    """Minix file systems as Linux reads them."""

    name = "minix"
    title = "Minix file system"
    version = 1
    holds_files = True
    magics = (
        *(Magic(struct.pack(order + "H", magic), _AT + 16) for magic in _MAGICS for order in "<>"),
        *(Magic(struct.pack(order + "H", _V3), _AT + 24) for order in "<>"),
    )
    carve = False
    references = ("Linux fs/minix, include/uapi/linux/minix_fs.h",)
    limitations = (
        "Zones larger than a block are refused.",
        "The bitmaps of big-endian file systems are not compared with the tree.",
        "Two bytes of magic are too few to look for it within images.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        sb = _super(view, start)
        root = _inode(view, sb, _ROOT, start)
        if root.mode >> 12 != 4 or not root.links or not sb.first <= root.zones[0] < sb.zones:
            return None
        return Extent(min(sb.length, len(view) - start))

    def read(self, view: View, sink: Sink) -> None:
        sb = _super(view, 0)
        sink.property("version", f"{sb.version}, {'big' if sb.big else 'little'}-endian")
        sink.property("zones", f"{sb.zones} of {sb.block} bytes")
        if len(view) < sb.length:
            sink.note("truncated", f"{len(view)} of {sb.length} bytes are there")
        if view.run(0, min(_AT, len(view))) != _AT:
            sink.note("hidden", "the boot block is not constant", start=0, end=_AT)
        size = sb.block
        end = sb.table * size + sb.inodes * sb.inode_size
        sink.own(_AT, _AT + 32, Role.HEADER, "superblock")
        sink.own(2 * size, sb.table * size, Role.TABLE, "bitmaps")
        sink.own(sb.table * size, end, Role.TABLE, "inode table")
        blocks = Blocks(size, min(sb.zones, len(view) // size))
        blocks.claim(0, sb.first)
        walk = _Walk(view, sb, blocks, sink)
        walk.tree()
        walk.lost()
        walk.placer.finish("zones")
        note_hidden(sink, leftovers(view, blocks, sink), blocks, "free zones")
        self._check(view, sb, blocks, walk, sink)

    @staticmethod
    def _check(view: View, sb: _Super, blocks: Blocks, walk: _Walk, sink: Sink) -> None:
        if len(view) < sb.length or sb.big:
            return
        sink.check("inodes in use", int(walk.used.size), len(walk.met))
        zones = _bits(view, (2 + sb.inode_map) * sb.block, sb.zones - sb.first + 1)[1:]
        sink.check("zones in use", int(np.count_nonzero(zones)), int(np.count_nonzero(blocks.map[sb.first :] & USED)))


def _bits(view: View, offset: int, count: int) -> npt.NDArray[np.uint8]:
    """The first ``count`` bits of a little-endian file system's bitmap at ``offset``."""
    return np.unpackbits(np.frombuffer(view.mem(offset, -(-count // 8)), np.uint8), bitorder="little")[:count]


class _Walk:
    def __init__(self, view: View, sb: _Super, blocks: Blocks, sink: Sink) -> None:
        self.view, self.sb, self.blocks, self.sink = view, sb, blocks, sink
        self.names, self.paths, self.placer = Names(sink), Paths(len(view)), Placer(view, sink, blocks)
        self.met: dict[int, int] = {_ROOT: -1}
        self.path_of: dict[int, str] = {}
        self.used = np.flatnonzero(_bits(view, 2 * sb.block, sb.inodes + 1)[1:]) + 1
        if sb.big:  # big-endian machines differ in the order of a bitmap's bits (minix_fs Kconfig)
            self.used = self.used[:0]

    def tree(self) -> None:
        """Breadth first from the root directory."""
        queue: deque[tuple[int, Path]] = deque([(_ROOT, ("", b""))])
        while queue:
            number, path = queue.popleft()
            try:
                for child, name in self._directory(_inode(self.view, self.sb, number), path[0]):
                    if not name or b"/" in name:
                        self.sink.note("odd-name", "a name that is empty or holds a slash", path=path[0])
                    where = self.paths.join(path, name)
                    if self._member(child, where):
                        queue.append((child, where))
            except Malformed as problem:
                self.sink.note("malformed", str(problem), path=path[0])
        self.names.finish()

    def _node(self, zone: int) -> Pointers:
        """An indirect zone; each may be read once."""
        size = self.sb.block
        if not self.sb.first <= zone < self.blocks.count or self.blocks.claim(zone):
            raise Malformed(f"an indirect zone {zone} lies outside or is in use already")
        self.sink.own(zone * size, (zone + 1) * size, Role.TABLE, "indirect zone")
        width = 2 if self.sb.version == 1 else 4
        return np.frombuffer(self.view.mem(zone * size, size), f"{self.sb.order}u{width}")

    def _extents(self, inode: _Inode) -> tuple[list[tuple[int, int, int]], str]:
        width = 2 if self.sb.version == 1 else 4
        return indirect(np.array(inode.zones[:7], "u4"), inode.zones[7:], self.sb.block // width, self._node)

    def _directory(self, inode: _Inode, path: str) -> list[tuple[int, bytes]]:
        sb, size = self.sb, self.sb.block
        width = 4 if sb.version == 3 else 2
        extents, problem = self._extents(inode)
        out: list[tuple[int, bytes]] = []
        left = inode.size
        for _, first, count in extents:
            for zone in range(first, first + count):
                if left <= 0:
                    break
                if self.blocks.claim(zone) or (zone + 1) * size > len(self.view):
                    problem = problem or f"a directory zone {zone} lies outside or is in use already"
                    break
                self.sink.own(zone * size, (zone + 1) * size, Role.TABLE, "directory")
                data = self.view.mem(zone * size, min(size, left))
                left -= size
                step = width + sb.name
                for number, name in struct.iter_unpack(
                    f"{sb.order}{'I' if width == 4 else 'H'}{sb.name}s", data[: len(data) // step * step]
                ):
                    clean = name.split(b"\0", 1)[0]
                    if number and clean not in {b".", b".."}:
                        out.append((number, clean))
        if problem:
            self.sink.note("malformed", problem, path=path)
        return out

    def _member(self, number: int, path: Path) -> bool:
        """Add one name. Returns whether it is a directory to descend into."""
        before = self.met.get(number)
        if before is not None:
            if before < 0:
                self.sink.note("loop", f"directory inode {number} has a second name", path=path[0])
                return False
            link = Entry(path=path[0], raw=raw_of(path), kind=Kind.HARDLINK, link=self.path_of[number], inode=number)
            self.names.note(link)
            self.sink.alias(link, before)
            return False
        inode = _inode(self.view, self.sb, number)
        kind = _SORTS.get(inode.mode >> 12)
        if kind is None:
            raise Malformed(f"{path[0]}: inode {number} has no known type ({inode.mode:#o})")
        self.path_of[number] = path[0]
        self.met[number] = self._add(inode, kind, path)
        return kind is Kind.DIR

    def _add(self, inode: _Inode, kind: Kind, path: Path) -> int:
        link = self._target(inode) if kind is Kind.SYMLINK else b""
        device = (inode.zones[0] >> 8 & 0xFF, inode.zones[0] & 0xFF) if kind in {Kind.CHAR, Kind.BLOCK} else None
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
            rdev=device,
        )
        if kind is not Kind.CHUNK:
            self.names.note(entry)
        if kind not in {Kind.FILE, Kind.CHUNK}:
            member = self.sink.entry(entry)
            return -1 if kind is Kind.DIR else member
        extents, problem = self._extents(inode)
        runs = runs_to(extents, inode.size, self.blocks)
        return self.placer.place(entry, merge(runs, sum(r[1] for r in runs) if problem else inode.size), problem)

    def _target(self, inode: _Inode) -> bytes:
        size = min(inode.size, self.sb.block)
        out = b""
        for at, length in merge(runs_to(self._extents(inode)[0], size, self.blocks), size):
            if at >= 0:
                self.blocks.claim_bytes(at, length)
                self.sink.own(at, at + length, Role.TABLE, "symbolic link")
                out += self.view.take(at, length)
        return out

    def lost(self) -> None:
        """Add files that are in use and that no directory names, as chunks; note them as hidden."""
        count = 0
        for number in self.used.tolist():
            if number in self.met:
                continue
            count += 1
            self.met[number] = -1
            try:
                inode = _inode(self.view, self.sb, number)
                if inode.mode >> 12 == 8:
                    self._add(inode, Kind.CHUNK, (f"inode-{number}", f"inode-{number}".encode()))
            except Malformed as problem:
                self.sink.note("malformed", f"inode {number}: {problem}")
        if count:
            self.sink.note("hidden", f"{count} inodes are in use and no directory names them")


READERS: list[Reader] = [MinixReader()]
