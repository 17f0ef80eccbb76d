"""YAFFS2 and YAFFS1, file systems for raw NAND: each page with its own tags in the spare area behind it.

Source: the YAFFS2 sources (yaffs_guts.h, yaffs_guts.c, yaffs_yaffs2.c, yaffs_nameval.c); mkyaffs2image.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from msgspec import Struct

from banbury.formats.contract import Extent, Magic, Reader, Sink, clean_name
from banbury.formats.readers._flash import Cuts, Holes, Inode, Reached, device, emit, fills, kind_of
from banbury.formats.readers._yaffs_chunks import HEADER, Chunks, Geometry, chunks, extent, infer
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed
from banbury.model.tree import Kind, Role

_ROOT: Final = 1
_LOST: Final = 2
_GONE: Final = (3, 4)  # the directories of unlinked and of deleted objects
_FILE, _SYMLINK, _DIRECTORY, _HARDLINK, _SPECIAL = range(1, 6)
_NONE: Final = 0xFFFFFFFF
_SURE: Final = 3  # chunks
#: type, parent, name checksum, name, mode, owner, group, atime, mtime, ctime, size, linked object, target, device,
#: size's upper half, shadowed object, shrinking.
_OBJECT: Final = "IIH256s2xIIIIIIII160sI32xIIII"


class _Object(Struct, frozen=True, array_like=True):
    """An object header, as its page states it."""

    index: int
    sort: int
    parent: int
    name: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    target: int
    link: bytes
    rdev: int
    shadows: int
    shrinks: bool


class _Tree:
    """The objects that the chunks add up to, the latest chunk winning."""

    root = _ROOT

    def __init__(self, view: View, geometry: Geometry, found: Chunks, sink: Sink) -> None:
        self.view = view
        self.sink = sink
        self.geometry = geometry
        self.found = found
        order = ">" if geometry.big else "<"
        self._layout = struct.Struct(order + _OBJECT)
        self._i32 = struct.Struct(order + "i")
        self.objects: dict[int, _Object] = {}
        self.sizes: dict[int, int] = {}
        self.blocks: dict[int, dict[int, int]] = {}
        self._written: dict[int, dict[int, int]] = {}
        self._cuts = Cuts()
        self.dirs: dict[int, list[tuple[bytes, int]]] = {}
        self.orphans = 0
        self.xattr_ends: dict[int, int] = {}
        self._holes = Holes(sink, len(view))
        self._known: dict[int, Inode | None] = {}

    def load(self) -> None:
        """Take the chunks in, oldest first: by their block's sequence number, then by where they lie."""
        found = self.found
        live = np.flatnonzero(found.good & ~found.deleted)
        order = live[np.argsort(found.sequence[live], kind="stable")]
        columns = (order, found.object[order], found.chunk[order], found.length[order], found.header[order])
        for time, (index, obj, chunk, length, header) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            if header:
                self._header(obj, self._object(index), time)
            else:
                self.blocks.setdefault(obj, {})[chunk] = index
                self._written.setdefault(obj, {})[chunk] = time
                end = (chunk - 1) * self.geometry.page + length
                self.sizes[obj] = max(self.sizes.get(obj, 0), end)
        self._cut()
        self._link()

    def _cut(self) -> None:
        """Drop the chunks that a later shrinking of their file cut off."""
        for obj in self._cuts.objects & self.blocks.keys():
            times = self._written[obj]
            kept = {
                chunk: index
                for chunk, index in self.blocks[obj].items()
                if not self._cuts.after(obj, times[chunk], (chunk - 1) * self.geometry.page)
            }
            self.blocks[obj] = kept

    def _object(self, index: int) -> _Object:
        f = self.view.unpack(self._layout, index * self.geometry.size)
        name, link = f[3], f[12]
        assert isinstance(name, bytes)
        assert isinstance(link, bytes)
        size = f[10] + (f[14] << 32 if f[14] != _NONE and not self.geometry.old else 0)
        shadows = f[16] if f[16] != _NONE and not self.geometry.old else 0
        return _Object(index, f[0], f[1], name.split(b"\0")[0], f[4], f[5], f[6], f[8], size, f[11],
                       link.split(b"\0")[0], f[13], shadows, f[17] == 1 and not self.geometry.old)  # fmt: skip

    def _header(self, obj: int, new: _Object, time: int) -> None:
        self.objects[obj] = new
        self.sizes[obj] = new.size
        if new.shrinks:
            self._cuts.add(obj, time, new.size)
        if new.shadows > _GONE[-1] and new.shadows != obj:
            # Renamed over another object, which is gone from then on.
            for table in (self.objects, self.sizes, self.blocks):
                table.pop(new.shadows, None)

    def _link(self) -> None:
        """Sort the objects into their directories; as YAFFS does, those without a parent go to lost+found."""
        for obj, at in self.objects.items():
            if obj == _ROOT or at.parent in _GONE or obj in _GONE:
                continue
            parent = at.parent
            above = self.objects.get(parent)
            if parent not in (_ROOT, _LOST) and (above is None or above.sort != _DIRECTORY):
                parent = _LOST
                self.orphans += 1
            self.dirs.setdefault(parent, []).append((at.name, at.target if at.sort == _HARDLINK else obj))
        if self.dirs.get(_LOST) and _LOST not in self.objects:
            self.dirs.setdefault(_ROOT, []).append((b"lost+found", _LOST))

    # The tree.

    def names(self, ino: int) -> Iterable[tuple[bytes, int]]:
        return self.dirs.get(ino, ())

    def inode(self, ino: int) -> Inode | None:
        if ino not in self._known:
            at = self.objects.get(ino)
            self._known[ino] = self._describe(ino, at) if at else Inode(kind=Kind.DIR) if ino == _LOST else None
        return self._known[ino]

    def _describe(self, ino: int, at: _Object) -> Inode | None:
        kinds = {_FILE: Kind.FILE, _SYMLINK: Kind.SYMLINK, _DIRECTORY: Kind.DIR, _SPECIAL: kind_of(at.mode)}
        kind = kinds.get(at.sort)
        if kind is None or (at.sort == _SPECIAL and kind in (Kind.FILE, Kind.DIR, Kind.SYMLINK)):
            self.sink.note("malformed", f"object {ino} has type {at.sort} and mode {at.mode:o}")
            return None
        rdev = device(at.rdev.to_bytes(4, "big"), big=True) if kind in (Kind.CHAR, Kind.BLOCK) else None
        return Inode(
            kind=kind,
            mode=at.mode & 0o7777,
            uid=at.uid,
            gid=at.gid,
            mtime=at.mtime,
            size=self.sizes[ino] if kind is Kind.FILE else 0,
            link=at.link if kind is Kind.SYMLINK else b"",
            rdev=rdev,
            xattrs=self._xattrs(at.index),
        )

    def _xattrs(self, index: int) -> dict[str, bytes]:
        """Extended attributes lie behind the header in its page: length, name, NUL, value."""
        start = index * self.geometry.size
        pos, end = start + HEADER, start + self.geometry.page
        out: dict[str, bytes] = {}
        while pos + 4 < end:
            (length,) = self.view.unpack(self._i32, pos)
            if not 6 <= length <= end - pos:
                break
            name, nul, value = self.view.take(pos + 4, length - 4).partition(b"\0")
            if not nul:
                break
            out[clean_name(name)[0]] = value
            pos += length
        if out:
            self.xattr_ends[index] = pos
        return out

    def content(self, ino: int, path: str) -> Iterable[Buffer]:
        size, page = self.sizes[ino], self.geometry.page
        order = sorted(c for c in self.blocks.get(ino, {}) if (c - 1) * page < size)
        self._holes.report(size, len(order) * page, path)
        return self._pieces(ino, order, size)

    def _pieces(self, ino: int, order: list[int], size: int) -> Iterator[Buffer]:
        page, position = self.geometry.page, 0
        for chunk in order:
            start, index = (chunk - 1) * page, self.blocks[ino][chunk]
            if start > position:
                yield from self._holes.fill(start - position)
            length = min(int(self.found.length[index]), size - start)
            yield self.view.mem(index * self.geometry.size, length)
            position = start + length
        if position < size:
            yield from self._holes.fill(size - position)


def _members(tree: _Tree, reached: Reached) -> dict[int, int]:
    """By chunk: the member whose content it holds, or -1 for the header of something that is there."""
    out: dict[int, int] = {}
    page = tree.geometry.page
    for ino, member in reached.member.items():
        at = tree.objects.get(ino)
        if at is not None:
            out[at.index] = -1
        if at is not None and at.sort == _FILE and member >= 0:
            size = tree.sizes[ino]
            out |= {i: member for c, i in tree.blocks.get(ino, {}).items() if (c - 1) * page < size}
    for at in tree.objects.values():
        if at.sort == _HARDLINK and at.parent in reached.member:
            out[at.index] = -1
    return out


def _own(tree: _Tree, members: dict[int, int]) -> None:
    """Give every page and every spare area its owner."""
    view, sink, found, geometry = tree.view, tree.sink, tree.found, tree.geometry
    dead = strange = 0
    columns = (found.good, found.erased, found.header, found.checkpoint)
    for index, (good, erased, header, checkpoint) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        start = index * geometry.size
        stop = start + geometry.page
        if checkpoint:
            sink.own(start, stop, Role.TABLE, "checkpoint")
            sink.own(stop, start + geometry.size, Role.TABLE, "spare area")
            continue
        if erased:
            fills(view, sink, start, start + geometry.size)
            continue
        if not good:
            strange += 1
            continue
        sink.own(stop, start + geometry.size, Role.TABLE, "spare area")
        length = HEADER if header else int(found.length[index])
        member = members.get(index)
        if member is None:
            dead += 1
            sink.own(start, start + length, Role.TABLE, "obsolete chunk")
        elif header:
            sink.own(start, tree.xattr_ends.get(index, start + HEADER), Role.TABLE, "object header")
        else:
            sink.own(start, start + length, Role.MEMBER, "content", member)
        fills(view, sink, tree.xattr_ends.get(index, start + length), stop)
    if dead:
        detail = f"{dead} obsolete chunks of {dead * geometry.page} bytes: older versions and deleted files"
        sink.note("hidden", detail)
    if strange:
        sink.note("malformed", f"{strange} chunks whose tags make no sense")


class Yaffs(Reader):
    name = "yaffs"
    title = "YAFFS file system"
    version = 1
    holds_files = True
    magics = tuple(
        Magic(struct.pack(order + "IIH", sort, _ROOT, 0xFFFF)) for order in "<>" for sort in range(_FILE, _SPECIAL + 1)
    )
    references = ("YAFFS2 sources: yaffs_guts.h, yaffs_packedtags2.c, yaffs_yaffs2.c", "mkyaffs2image")
    limitations = (
        "images without spare areas, and tags kept inside the page, are not recognised",
        "the first chunk must be the header of an object in the root directory",
        "error correcting codes are neither checked nor applied; YAFFS1 is tested on built samples only",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        big = view.u8(start) == 0
        found = infer(view, start, big)
        if found is None:
            return None
        geometry, good = found
        count = extent(view, start, geometry)
        return Extent(count * geometry.size, sure=good >= _SURE) if count else None

    def read(self, view: View, sink: Sink) -> None:
        big = view.u8(0) == 0
        inferred = infer(view, 0, big)
        if inferred is None:
            raise Malformed("no layout of pages and spare areas fits", offset=0)
        geometry = inferred[0]
        found = chunks(view, 0, geometry, len(view) // geometry.size)
        sink.property("generation", "YAFFS1" if geometry.old else "YAFFS2")
        sink.property("byte order", "big" if big else "little")
        sink.property("page and spare size", f"{geometry.page} + {geometry.spare}")
        if not geometry.old:
            sink.property("tags", f"at {geometry.tags} of the spare area")
        tree = _Tree(view, geometry, found, sink)
        tree.load()
        reached = emit(sink, tree)
        _own(tree, _members(tree, reached))
        if tree.orphans:
            sink.note("malformed", f"{tree.orphans} objects whose directory is missing; they are in lost+found")


READERS = (Yaffs(),)
