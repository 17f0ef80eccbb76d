"""cramfs: the compressed read-only file system of older embedded Linux, in either byte order."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator

from msgspec import Struct

from banbury.formats.codecs import block as decode
from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.names import Names
from banbury.formats.readers._disk import Holes, Paths, raw_of
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed
from banbury.model.tree import Entry, Kind, Role

_SIGNATURE = b"Compressed ROMFS"
_LITTLE, _BIG = b"\x45\x3d\xcd\x28", b"\x28\xcd\x3d\x45"
_SUPER = 76  # bytes: the superblock with the root's inode
_PAD = 512  # bytes: what mkcramfs -p leaves for a boot loader
_VERSION_2, _SHIFTED, _POINTERS = 0x1, 0x400, 0x800
_KNOWN = 0x1 | 0x2 | 0x100 | 0x200 | 0x400 | 0x800
_DIRECT, _STORED = 1 << 30, 1 << 31
_SORTS = {
    1: Kind.FIFO,
    2: Kind.CHAR,
    4: Kind.DIR,
    6: Kind.BLOCK,
    8: Kind.FILE,
    10: Kind.SYMLINK,
    12: Kind.SOCKET,
}
#: Block sizes met: the page size of the machine that mkcramfs was made for; the image does not state it.
_SIZES = (4096, 8192, 16384, 32768, 65536, 2048, 1024)
Path = tuple[str, bytes]


class _Inode(Struct, frozen=True):
    mode: int
    uid: int
    size: int
    gid: int
    name_length: int
    offset: int


class _Super(Struct, frozen=True):
    at: int
    big: bool
    size: int
    flags: int
    crc: int
    edition: int
    files: int
    name: bytes
    root: _Inode


def _inode(view: View, at: int, big: bool) -> _Inode:
    """Twelve bytes of bit fields, which each byte order fills from its own end (cramfs_fs.h)."""
    mode, size, name = (view.u32(at + 4 * i, big) for i in range(3))
    if big:
        return _Inode(mode >> 16, mode & 0xFFFF, size >> 8, size & 0xFF, name >> 26, (name & 0x3FFFFFF) * 4)
    return _Inode(mode & 0xFFFF, mode >> 16, size & 0xFFFFFF, size >> 24, (name & 0x3F) * 1, (name >> 6) * 4)


def _super(view: View, start: int) -> _Super:
    """The superblock of an image that starts at ``start``: there, or 512 bytes on. Raises ``Malformed``."""
    for at in (0, _PAD):
        little = view.startswith(_LITTLE, start + at)
        if little or view.startswith(_BIG, start + at):
            here, big = start + at, not little
            found = _Super(
                at,
                big,
                view.u32(here + 4, big),
                view.u32(here + 8, big),
                view.u32(here + 32, big),
                view.u32(here + 36, big),
                view.u32(here + 44, big),
                view.take(here + 48, 16).rstrip(b"\0"),
                _inode(view, here + 64, big),
            )
            shifted = found.flags & _SHIFTED
            places = (0, at + _SUPER, _PAD + _SUPER if at == 0 else at + _SUPER)
            if found.root.mode >> 12 == 4 and (shifted or found.root.offset in places) and not found.flags & ~_KNOWN:
                return found
    raise Malformed("no cramfs superblock", offset=start)


class CramfsReader(Reader):
    """cramfs of both versions, both byte orders, holes, and the extended block pointers of Linux 4.15."""

    name = "cramfs"
    title = "cramfs file system"
    version = 1
    holds_files = True
    magics = (Magic(_LITTLE), Magic(_BIG), Magic(_SIGNATURE, 16), Magic(_SIGNATURE, _PAD + 16))
    references = ("Linux fs/cramfs (README, inode.c), include/uapi/linux/cramfs_fs.h",)
    limitations = (
        "Blocks are zlib streams only: vendors' LZMA and LZO variants are listed with their content incomplete.",
        "The block size is inferred from the first file of more than one block: the format does not state it.",
        "Version 1 does not state how many files it holds, and often not its size.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        sb = _super(view, start)
        signed = view.startswith(_SIGNATURE, start + sb.at + 16)
        room = len(view) - start
        if sb.flags & _VERSION_2:
            if sb.size < sb.at + _SUPER:
                return None
            return Extent(min(sb.size, room), sure=signed)
        return Extent(sb.size if sb.at + _SUPER <= sb.size <= room else room, sure=False) if signed else None

    def read(self, view: View, sink: Sink) -> None:
        sb = _super(view, 0)
        sink.own(sb.at, sb.at + _SUPER, Role.HEADER, "superblock")
        sink.property("byte order", "big-endian" if sb.big else "little-endian")
        sink.property("name", sb.name.decode("utf-8", "backslashreplace"))
        sink.property("edition", str(sb.edition))
        if not view.startswith(_SIGNATURE, sb.at + 16):
            sink.note("malformed", "the signature is not cramfs's own", start=sb.at + 16, end=sb.at + 32)
        if sb.at and view.run(0, sb.at) != sb.at:
            sink.note("hidden", "the bytes before the superblock are not constant", start=0, end=sb.at)
        if sb.flags & _VERSION_2:
            self._check(view, sb, sink)
        walk = _Walk(view, sb, sink)
        walk.tree()
        if sb.flags & _VERSION_2 and len(view) >= sb.size:
            sink.check("files", sb.files, walk.count)

    @staticmethod
    def _check(view: View, sb: _Super, sink: Sink) -> None:
        if len(view) < sb.size:
            sink.note("truncated", f"{len(view)} of {sb.size} bytes are there")
            return
        crc = zlib.crc32(bytes(4), zlib.crc32(view.mem(sb.at, 32)))
        if zlib.crc32(view.mem(sb.at + 36, sb.size - sb.at - 36), crc) != sb.crc:
            sink.note("checksum", "the file system's CRC-32 does not match", start=sb.at + 32, end=sb.at + 36)


class _Walk:
    def __init__(self, view: View, sb: _Super, sink: Sink) -> None:
        self.view, self.sb, self.sink = view, sb, sink
        self.names, self.paths, self.holes = Names(sink), Paths(len(view)), Holes(len(view))
        self.block = 0
        self.tries = 16  # files looked at to infer the block size
        self.count = 1  # mkcramfs counts the root
        self.met: dict[tuple[int, int], int] = {}
        self.left = 2 * len(view)  # bytes of directories: they are disjoint, or it is an attack

    def tree(self) -> None:
        """Breadth first from the root."""
        queue: deque[tuple[_Inode, Path]] = deque([(self.sb.root, ("", b""))])
        seen: set[int] = set()
        while queue:
            inode, path = queue.popleft()
            if not inode.size:
                continue
            if inode.offset in seen:
                self.sink.note("loop", f"the directory at {inode.offset:#x} has two names", path=path[0])
                continue
            seen.add(inode.offset)
            try:
                self._directory(inode, path, queue)
            except Malformed as problem:
                self.sink.note("malformed", str(problem), path=path[0], start=inode.offset)
        self.names.finish()

    def _directory(self, inode: _Inode, parent: Path, queue: deque[tuple[_Inode, Path]]) -> None:
        at, end = inode.offset, inode.offset + inode.size
        self.left -= inode.size
        if self.left < 0:
            raise Malformed("directories overlap", offset=at)
        self.sink.own(at, end, Role.TABLE, "directory")
        while at < end:
            child = _inode(self.view, at, self.sb.big)
            length = child.name_length * 4
            if at + 12 + length > end:
                raise Malformed("a name passes its directory's end", offset=at)
            name = self.view.take(at + 12, length).rstrip(b"\0")
            if not name or b"/" in name or b"\0" in name:
                self.sink.note("odd-name", "a name that is empty or holds a slash or NUL", path=parent[0], start=at)
            path = self.paths.join(parent, name)
            self._member(child, path, at)
            if child.mode >> 12 == 4:
                queue.append((child, path))
            at += 12 + length

    def _member(self, inode: _Inode, path: Path, at: int) -> None:
        kind = _SORTS.get(inode.mode >> 12)
        if kind is None:
            self.sink.note("malformed", f"no known type ({inode.mode:#o})", path=path[0], start=at)
            return
        self.count += 1
        link = b""
        if kind is Kind.SYMLINK:
            link = self._target(inode, path)
        device = (inode.size >> 8 & 0xFF, inode.size & 0xFF) if kind in {Kind.CHAR, Kind.BLOCK} else None
        entry = Entry(
            path=path[0],
            raw=raw_of(path),
            kind=kind,
            size=inode.size if kind is Kind.FILE else 0,
            mode=inode.mode & 0o7777,
            uid=inode.uid,
            gid=inode.gid,
            link=clean_name(link)[0],
            rdev=device,
        )
        self.names.note(entry)
        if kind is not Kind.FILE:
            self.sink.entry(entry)
            return
        key = (inode.offset, inode.size)
        if inode.size and key in self.met:  # mkcramfs stores equal files once
            self.sink.alias(entry, self.met[key])
            return
        self.met[key] = self._file(entry, inode)

    def _target(self, inode: _Inode, path: Path) -> bytes:
        try:
            return b"".join(self._blocks(inode, min(inode.size, 4096), Role.TABLE, "symbolic link"))
        except Malformed as problem:
            self.sink.note("malformed", str(problem), path=path[0])
            return b""

    # content

    def _file(self, entry: Entry, inode: _Inode) -> int:
        if not inode.size:
            return self.sink.slice(entry, 0, 0)
        spans: list[tuple[int, int]] = []
        member = self.sink.file(entry, self._blocks(inode, inode.size, Role.MEMBER, "", spans))
        for start, end in spans:
            self.sink.own(start, end, Role.MEMBER, "content", member)
        return member

    def _blocks(
        self, inode: _Inode, size: int, role: Role, name: str, spans: list[tuple[int, int]] | None = None
    ) -> Iterator[Buffer]:
        """The content, block by block; the stored runs are owned, or put into ``spans``."""
        length = self._block_size(inode)
        count = -(-inode.size // length)
        table = inode.offset + 4 * count
        self.sink.own(inode.offset, table, Role.TABLE, "block pointers")
        position = table
        for number in range(-(-size // length)):
            want = min(length, size - number * length)
            pointer = self.view.u32(inode.offset + 4 * number, self.sb.big)
            start, end, stored = self._span(pointer, position, min(length, inode.size - number * length))
            position = end
            if start == end:
                yield from self.holes.zeros(want)
                continue
            if not table <= start < end and not pointer & _DIRECT:
                raise Malformed(f"a block at {start:#x} ends at {end:#x}", offset=inode.offset + 4 * number)
            data = self.view.mem(start, end - start)
            content: Buffer = data if stored else decode("gzip", data, length)
            if len(content) < want:
                raise Malformed(f"a block of {len(content)} bytes where {want} should be", offset=start)
            if spans is None:
                self.sink.own(start, end, role, name)
            elif spans and spans[-1][1] == start:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
            yield content[:want]

    def _span(self, pointer: int, position: int, size: int) -> tuple[int, int, bool]:
        """(start, end, whether stored uncompressed) of a block: the pointer gives its end, or with the extended
        pointers its start and form."""
        if not self.sb.flags & _POINTERS:
            return position, pointer, False
        stored = bool(pointer & _STORED)
        place = pointer & ~(_STORED | _DIRECT)
        if not pointer & _DIRECT:
            return position, place, stored
        start = place * 4
        if stored:
            return start, start + size, True
        length = self.view.u16(start, self.sb.big)
        return start + 2, start + 2 + length, False

    def _block_size(self, inode: _Inode) -> int:
        """The image's block size: 4096, unless the first large file fits another one only."""
        if self.block or inode.size <= min(_SIZES) or self.sb.flags & _POINTERS:
            return self.block or 4096
        self.tries -= 1
        if self.tries < 0:
            self.block = 4096
        for size in _SIZES:
            table = inode.offset + 4 * -(-inode.size // size)
            try:
                end = self.view.u32(inode.offset, self.sb.big)
                if end > table and len(decode("gzip", self.view.mem(table, end - table), size)) == min(
                    size, inode.size
                ):
                    if inode.size > max(4096, size):
                        self.block = size
                    return size
            except Malformed:
                continue
        return 4096


READERS: list[Reader] = [CramfsReader()]
