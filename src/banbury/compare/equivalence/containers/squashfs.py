"""SquashFS 4.0: the tree that the kernel mounts.

Every byte up to ``bytes_used`` belongs to the superblock, a block that a file or fragment uses, or one of the tables,
and every byte of the tables to an inode, a listing, an attribute or an index that is used; the rest is zero. Names,
types, modes, owners, devices, links, attributes and contents are exact. Compressor, block size, fragments, order on
disk, inode numbers and times are free.

Sources: Linux ``Documentation/filesystems/squashfs.rst``, ``fs/squashfs``; squashfs-tools-ng ``doc/format.adoc``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused, Undecided
from banbury.compare.equivalence.containers._filesystem import xattr_name
from banbury.compare.equivalence.containers._squashfs import (
    ABSENT,
    NONE,
    Inode,
    Listing,
    Needs,
    Table,
    listing,
    read_inodes,
    unpack_block,
)
from banbury.compare.equivalence.containers.contract import Comparator, Free, Place, Spool, Work, zero
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.places import SECOND
from banbury.compare.equivalence.tree import Node, Tree, compare_trees
from banbury.formats.view import Buffer, View

_SUPER: Final = struct.Struct("<4s4I6H8Q")
_COMPRESSORS: Final = {1: "gzip", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
_OPTIONS: Final = {1: 8, 3: 8, 4: 8, 5: 8, 6: 4}  # bytes of each compressor's options
_PREFIXES: Final = (b"user.", b"trusted.", b"security.")
#: Behind the inodes and the listings (``fs/squashfs/super.c``, squashfs_fill_super).
_TABLES: Final = ("fragment table", "export table", "id table", "xattr table")
_SECTOR: Final = 512  # bytes that block devices have a multiple of
_CACHED: Final = 8  # fragments kept unpacked


class _Super(Struct, frozen=True):
    magic: bytes
    inodes: int
    made: int
    block: int
    fragments: int
    compressor: int
    log: int
    flags: int
    ids: int
    major: int
    minor: int
    root: int
    used: int
    id_at: int
    xattr_at: int
    inode_at: int
    dir_at: int
    fragment_at: int
    export_at: int


class _Image:
    """One image read to its last byte. The constructor reads the tables; ``tree`` the rest."""

    def __init__(self, view: View, spool: Spool) -> None:
        self.view, self.spool = view, spool
        self.head = head = _Super(*view.unpack(_SUPER, 0))  # type: ignore[arg-type]
        if (head.major, head.minor) != (4, 0) or head.compressor not in _COMPRESSORS:
            raise Undecided("superblock", "a version or compressor that is not decided", [Range(0, 96)])
        if not 12 <= head.log <= 20 or head.block != 1 << head.log or head.flags & ~0xFFB:
            raise Refused("superblock", "block size or flags contradict the format", [Range(0, 96)])
        if not 96 < head.used <= len(view):
            raise Refused("superblock", "states more bytes than there are", [Range(40, 48)])
        zero(view, head.used, len(view), "behind the file system")
        self.kind = _COMPRESSORS[head.compressor]
        self.owned: set[tuple[int, int]] = {(0, 96)}
        self.begins: dict[str, int] = {}  # where each table's blocks begin
        self.data: set[tuple[int, int]] = set()
        self.odd_options = b""
        self.needs: Needs = set()
        self.memory = head.block
        self._options()
        self.fragments = self._fragments()
        exports = self._indexed(head.export_at, head.inodes * 8, "export table")
        self.exports = None if exports is None else struct.unpack(f"<{head.inodes}Q", exports)
        self.ids = self._ids()
        self._xattr_sets = self._xattrs()
        ends = sorted(start for start, _ in self.owned)
        self.inode_table = self._table(head.inode_at, head.dir_at)
        self.dir_table = self._table(head.dir_at, next((e for e in ends if e >= head.dir_at), head.used))
        self.inodes = read_inodes(self.inode_table, head.block)
        numbers = sorted(i.number for i in self.inodes.values())
        # What has number 0 is not listed by many a readdir(). The stated number may be any.
        if len(numbers) != head.inodes or numbers != list(range(1, len(numbers) + 1)):
            raise Refused("inode table", "its inodes are not numbered from 1 to the number that is stated")
        self._check_flags()
        self.hollow: set[int] = set()
        self.used_ids: set[int] = set()
        self.used_xattrs: set[int] = set()
        self.tails: dict[int, set[tuple[int, int]]] = {}
        self._unpacked: dict[int, bytes] = {}
        self._placed: dict[tuple[object, ...], Place] = {}

    # Tables

    def _table(self, start: int, end: int) -> Table:
        table = Table.read(self.view, start, end, self.kind, self.needs)
        self.owned.add((start, end))
        return table

    def _options(self) -> None:
        if not self.head.flags & 0x400:
            if self.kind == "lz4":  # fs/squashfs/lz4_wrapper.c
                raise Refused("compressor options", "are not there, and Linux mounts no such image without")
            return
        table = Table.read(self.view, 96, 98 + (self.view.u16(96) & 0x7FFF), self.kind)
        self.owned.add((96, 98 + (self.view.u16(96) & 0x7FFF)))
        if not self.view.u16(96) & 0x8000:
            raise Refused("compressor options", "compressed")
        if len(table.data) != _OPTIONS[self.head.compressor]:
            self.odd_options = table.data  # as OpenWrt's tools write them
            return
        values = struct.unpack("<II" if len(table.data) == 8 else "<I", table.data)
        top = 1 << values[0].bit_length() >> 1  # fs/squashfs/xz_wrapper.c: 2^n, or 2^n + 2^(n + 1)
        if self.kind == "xz" and (
            not 8192 <= values[0] <= 1 << 20 or values[0] not in (top, top + top // 2) or values[1] > 0x3F
        ):
            raise Refused("compressor options", "a dictionary or filters that are not decided")
        if self.kind == "xz":
            self.memory = values[0]
        if self.kind == "gzip" and (not 1 <= values[0] <= 9 or not 8 <= values[1] & 0xFFFF <= 15 or values[1] >> 21):
            raise Refused("compressor options", "out of their ranges")
        if self.kind == "lz4" and (values[0] != 1 or values[1] > 1):
            raise Refused("compressor options", "out of their ranges")
        if self.kind in ("zstd", "lzo") and (values[0] > 22 or (len(values) > 1 and values[1] > 9)):
            raise Refused("compressor options", "out of their ranges")

    def _indexed(self, at: int, size: int, name: str, head: int = 0) -> bytes | None:
        """A table of ``size`` bytes whose blocks are found by an index at ``at``; ``None`` where it is absent. Between
        its blocks and the index stand ``head`` bytes."""
        if at == ABSENT:
            return None
        count = -(-size // 8192)
        index = struct.unpack(f"<{count}Q", self.view.take(at, 8 * count))
        self.owned.add((at, at + 8 * count))
        if not count:
            return b""
        self.begins[name] = index[0]
        table = self._table(index[0], at - head)
        if list(index) != [index[0] + b for b in table.blocks] or len(table.data) != size:
            raise Refused(name, "its index does not fit its blocks", [Range(at, at + 8 * count)])
        return table.data

    def _fragments(self) -> list[tuple[int, int, bool]]:
        head = self.head
        raw = self._indexed(head.fragment_at, head.fragments * 16, "fragment table")
        out = []
        for start, size, unused in struct.iter_unpack("<QII", raw or b""):
            if unused or size >> 25 or not size & 0xFFFFFF:
                raise Refused("fragment table", "fields that must be zero are not")
            out.append((start, size & 0xFFFFFF, not size & 1 << 24))
        if len(out) != head.fragments:
            raise Refused("fragment table", "is not there")
        return out

    def _ids(self) -> tuple[int, ...]:
        raw = self._indexed(self.head.id_at, self.head.ids * 4, "id table")
        ids = struct.unpack(f"<{self.head.ids}I", raw or b"") if raw else ()
        if not ids or len(set(ids)) != len(ids):
            raise Refused("id table", "is not there, or lists an owner twice")
        return ids

    def _xattrs(self) -> list[tuple[tuple[bytes, bytes], ...]]:
        at = self.head.xattr_at
        if at == ABSENT:
            return []
        start, count, unused = self.view.unpack(struct.Struct("<QII"), at)
        self.owned.add((at, at + 16))
        raw = self._indexed(at + 16, count * 16, "xattr table", 16)
        if unused or not raw:
            raise Refused("xattr table", "is empty, or has fields that must be zero")
        places = list(struct.iter_unpack("<QII", raw))
        (first,) = struct.unpack("<Q", self.view.take(at + 16, 8))
        self.begins["xattr table"] = start
        table = self._table(start, first)
        sets, end = [], 0
        for place, number, size in sorted(places):
            if table.position(place) != end:
                raise Refused("xattr table", "bytes that belong to no file")
            found, end = self._xattr_set(table, end, number)
            sets.append((place, number, size, found))
        if end != len(table.data):
            raise Refused("xattr table", "bytes that belong to no file")
        by_place = {(p, n, s): found for p, n, s, found in sets}
        return [(*by_place[p, n, s], (b"stated size", b"%d" % s)) for p, n, s in places]

    def _xattr_set(self, table: Table, at: int, number: int) -> tuple[tuple[tuple[bytes, bytes], ...], int]:
        out = []
        for _ in range(number):
            sort, length = struct.unpack("<HH", table.take(at, 4))
            if sort & ~0x1FF & 0xFFFF or sort & 0xFF > 2:
                raise Refused("xattr table", "an attribute of an unknown kind")
            name = _PREFIXES[sort & 0xFF] + table.take(at + 4, length)
            value, at = self._value(table, at + 4 + length)
            if sort & 0x100:
                if len(value) != 8:
                    raise Refused("xattr table", "a reference that is none")
                value, _ = self._value(table, table.position(int.from_bytes(value, "little")))
            out.append((name, value))
        if len({name for name, _ in out}) != number:
            raise Refused("xattr table", "an attribute twice")
        return tuple(sorted(out)), at

    @staticmethod
    def _value(table: Table, at: int) -> tuple[bytes, int]:
        (size,) = struct.unpack("<I", table.take(at, 4))
        return table.take(at + 4, size), at + 4 + size

    def _check_flags(self) -> None:
        """Flags that promise something must keep it; the others are hints of the image's maker."""
        head = self.head
        promises = (
            (0x001, not (self.inode_table.packed or self.dir_table.packed)),
            (0x008, not any(packed for _, _, packed in self.fragments)),
            (0x010, not self.fragments),
            (0x200, head.xattr_at == ABSENT),
            (0x002, not any(word and not word & 1 << 24 for i in self.inodes.values() for word in i.blocks)),
        )
        if any(head.flags & bit and not kept for bit, kept in promises) or bool(head.flags & 0x80) != bool(
            self.exports
        ):
            raise Refused("superblock", "flags that the image does not keep", [Range(24, 26)])

    # The tree

    def tree(self) -> Tree:
        out = Tree()
        root = self._root()
        names: dict[int, list[bytes]] = {}
        nodes: list[tuple[Node, Inode]] = [(self._node(b".", root), root)]
        waiting = [(b"", root)]
        seen = {root.position}
        listed: list[tuple[int, int]] = []
        counted: dict[int, set[int]] = {}  # how many links each folder may have
        while waiting:
            path, folder = waiting.pop()
            found = listing(self.dir_table, folder)
            entries, folders = len(found.names), 0
            if found.end > found.start:
                listed.append((found.start, found.end))
            for entry, inode in self._entries(found, folder):
                name = path + b"/" + entry if path else entry
                again = inode.position in seen
                seen.add(inode.position)
                names.setdefault(inode.position, []).append(name)
                if inode.kind == "directory":
                    folders += 1
                    if again:
                        raise Refused("directory", "listed twice")
                    if inode.parent != folder.number:
                        raise Refused("directory", "states another parent than it has")
                    waiting.append((name, inode))
                nodes.append((self._node(name, inode), inode))
            counted[folder.position] = {2 + folders, 2 + entries}
        if len(seen) != len(self.inodes):
            raise Refused("inode table", "inodes that no directory lists")
        self._covered(listed)
        for node, inode in nodes:
            links = names.get(inode.position, [])
            self._links(node, inode, counted.get(inode.position, set()))
            if inode.kind != "directory" and len(links) != inode.links:
                raise Refused("inode", "another number of links than names")
            if len(links) > 1:
                node.attributes["names"] = b"\0".join(sorted(links))
            out.add(node)
        self._owned()
        self._check_needs()
        return out

    def _root(self) -> Inode:
        root = self.inodes.get(self.inode_table.position(self.head.root))
        if root is None or root.kind != "directory" or root.parent not in (0, self.head.inodes + 1):
            raise Refused("superblock", "the root is no directory, or lies in one", [Range(32, 40)])
        return root

    def _entries(self, found: Listing, folder: Inode) -> Iterator[tuple[bytes, Inode]]:
        previous = b""
        for name, reference, sort, number in found.names:
            inode = self.inodes.get(self.inode_table.position(reference))
            if inode is None or inode.sort != sort or inode.number != number:
                raise Refused("directory", "lists something else than the inode says")
            if name <= previous or b"/" in name or name in (b".", b"..") or b"\0" in name:
                raise Refused("directory", "a name that is none, or out of order")
            previous = name
            yield name, inode
        for position, block, name in folder.index:
            if found.heads.get(position) != (block, name):
                raise Refused("directory", "its index leads elsewhere")

    def _covered(self, listed: list[tuple[int, int]]) -> None:
        end = 0
        for start, stop in sorted(listed):
            if start != end:
                raise Refused("directory table", "bytes that belong to no directory")
            end = stop
        if end != len(self.dir_table.data):
            raise Refused("directory table", "bytes that belong to no directory")

    def _node(self, name: bytes, inode: Inode) -> Node:
        attributes: dict[str, object] = {
            "mode": inode.mode,
            "uid": self._owner(inode.uid),
            "gid": self._owner(inode.gid),
        }
        self.used_ids |= {inode.uid, inode.gid}
        if inode.target:
            attributes["link"] = inode.target
        if inode.kind.endswith("device"):
            attributes["device"] = f"{inode.device >> 8 & 0xFFF}:{inode.device & 0xFF | inode.device >> 12 & 0xFFF00}"
        if inode.xattr != NONE:
            if inode.xattr >= len(self._xattr_sets):
                raise Refused("inode", "attributes that are not there")
            self.used_xattrs.add(inode.xattr)
            attributes |= {xattr_name(n): v for n, v in self._xattr_sets[inode.xattr]}
        place = self._content(inode) if inode.kind == "file" else None
        return Node(
            name=name,
            kind=inode.kind,
            attributes=attributes,
            place=place,
            free=(Free("squashfs.time", inode.mtime, Range(self.head.inode_at, self.head.dir_at)),),
            time=inode.mtime * SECOND,
        )

    def _links(self, node: Node, inode: Inode, usual: set[int]) -> None:
        """A folder's number of links: that of its folders (mksquashfs) or of all its names (squashfs-tools-ng), and two
        more; any other is an attribute."""
        if inode.kind != "directory":
            return
        if inode.links in usual:
            node.free += (Free("squashfs.links", inode.links, Range(self.head.inode_at, self.head.dir_at)),)
        else:
            node.attributes["links"] = inode.links

    def _owner(self, index: int) -> int:
        if index >= len(self.ids):
            raise Refused("inode", "an owner that is not in the table")
        return self.ids[index]

    # Content

    def _content(self, inode: Inode) -> Place:
        key = (inode.start, inode.blocks, inode.fragment, inode.offset, inode.size)
        place = self._placed.get(key)
        if place is None:
            place = self._placed[key] = self.spool.put(self._pieces(inode))
        return place

    def _pieces(self, inode: Inode) -> Iterator[Buffer]:
        block = self.head.block
        at, left, holes = inode.start, inode.size, 0
        for word in inode.blocks:
            expected = min(block, left)
            size = word & 0xFFFFFF
            if word >> 25 or size > block:
                raise Refused("inode", "a block that is none")
            if size:
                self.data.add((at, at + size))
                out = unpack_block(self.view, at, size, self.kind if not word & 1 << 24 else "", block, self.needs)
                if len(out) != expected:
                    raise Refused("data block", "unpacks to another size", [Range(at, at + size)])
                yield out
            else:
                if word:
                    raise Refused("inode", "a hole that is not compressed")
                holes += expected
                yield bytes(expected)
            at += size
            left -= expected
        if inode.fragment != NONE:
            yield self._tail(inode, left)
            left = 0
        if at == inode.start:
            self.hollow.add(at)
        if left or (inode.fragment == NONE and inode.offset not in (0, NONE)):  # squashfs-tools-ng: no place either
            raise Refused("inode", "fields that contradict each other")
        if inode.sparse not in (0, holes, max(inode.size - 1, 0) if holes >= inode.size else 0):
            raise Refused("inode", "states other holes than it has")

    def _tail(self, inode: Inode, size: int) -> bytes:
        if inode.fragment >= len(self.fragments):
            raise Refused("inode", "a fragment that is not there")
        data = self._unpacked.get(inode.fragment)
        start, stored, packed = self.fragments[inode.fragment]
        if data is None:
            kind = self.kind if packed else ""
            data = bytes(unpack_block(self.view, start, stored, kind, self.head.block, self.needs))
            self._unpacked[inode.fragment] = data
            if len(self._unpacked) > _CACHED:
                del self._unpacked[next(iter(self._unpacked))]
        if inode.offset + size > len(data) or not 0 < size < self.head.block:
            raise Refused("inode", "a tail outside of its fragment")
        self.tails.setdefault(inode.fragment, {(len(data), len(data))}).add((inode.offset, inode.offset + size))
        return data[inode.offset : inode.offset + size]

    def _check_needs(self) -> None:
        """Linux sets memory aside for a window of one block, or for the dictionary that the options state
        (``fs/squashfs/xz_wrapper.c``, ``zstd_wrapper.c``)."""
        if max((size for _, size in self.needs), default=0) > max(self.memory, 8192):
            raise Refused("block", "a window or dictionary larger than Linux has memory for")

    @property
    def filters(self) -> set[tuple[str, ...]]:
        """The chains of filters that the image's blocks ask for."""
        return {chain for chain, _ in self.needs}

    def _owned(self) -> None:
        """Everything is owned, once (blocks that several files share are owned together)."""
        for number, (start, stored, _) in enumerate(self.fragments):
            self.data.add((start, start + stored))
            _tiles(sorted(self.tails.get(number, {(1, 1)})), 0, f"fragment {number}")
        if self.used_ids != set(range(len(self.ids))):
            raise Refused("id table", "owners that no file has")
        if self.used_xattrs != set(range(len(self._xattr_sets))):
            raise Refused("xattr table", "attributes that no file has")
        spans = sorted(self.data | self.owned)
        if not self.hollow <= {0, *(bound for span in spans for bound in span)}:
            raise Refused("inode", "a file without blocks that start somewhere")
        _tiles(spans, 0, "image")
        begins = [self.head.inode_at, self.head.dir_at, *(self.begins[n] for n in _TABLES if n in self.begins)]
        if begins != sorted(begins) or max((end for _, end in self.data), default=0) > begins[0]:
            raise Refused("image", "tables in an order that Linux does not mount")
        if spans[-1][1] != self.head.used:
            raise Refused("image", "bytes that belong to nothing", [Range(spans[-1][1], self.head.used)])
        if self.exports is not None:
            wanted = {i.number: self.inode_table.reference(i.position) for i in self.inodes.values()}
            if list(self.exports) != [wanted.get(n + 1) for n in range(self.head.inodes)]:
                raise Refused("export table", "does not list the inodes by number")


def _tiles(spans: list[tuple[int, int]], start: int, where: str) -> None:
    end = start
    for first, last in spans:
        if first != end:
            raise Refused(where, "bytes that belong to nothing, or to two", [Range(min(first, end), max(first, end))])
        end = last


def _compare(work: Work) -> None:
    images = [_Image(view, work.spool) for view, _ in work.sides]
    a, b = (image.tree() for image in images)
    one, other = (image.head for image in images)
    options = [{"of another form": image.odd_options.hex()} for image in images]
    work.exactly("compressor options", options[0], options[1])
    if one.compressor == other.compressor or any(len(chain) > 1 for image in images for chain in image.filters):
        work.exactly("blocks", *({"filters": sorted(image.filters)} for image in images))
    if one.made != other.made:
        work.account.explain("squashfs.time", [Range(8, 12)], [Range(8, 12)], "superblock")
    if one.block != other.block:  # Linux mounts no blocks smaller than its pages (fs/squashfs/super.c)
        work.account.explain("squashfs.pages", [Range(12, 16)], [Range(12, 16)], f"{one.block} against {other.block}")
    if one.compressor != other.compressor:
        names = f"{images[0].kind} against {images[1].kind}"
        work.account.explain("squashfs.compressor", [Range(20, 22)], [Range(20, 22)], names)
    spans = [Place(p.start, h.used) for p, h in ((work.place_a, one), (work.place_b, other))]
    if not work.same(*spans):
        work.account.explain("squashfs.layout", [Range(0, one.used)], [Range(0, other.used)])
    if len(work.a) - one.used != len(work.b) - other.used:
        short = [
            len(view) // _SECTOR * _SECTOR < head.used for (view, _), head in zip(work.sides, (one, other), strict=True)
        ]
        if short[0] != short[1]:
            work.account.refuse(
                "behind the file system", "a block device of whole sectors ends before it, on one side alone"
            )
        work.account.explain("squashfs.padding", [Range(one.used, len(work.a))], [Range(other.used, len(work.b))])
    compare_trees(work, a, b, order="squashfs.layout")


def _claims(view: View) -> bool:
    """Whether nothing but zero bytes follows: otherwise it is an image of several parts."""
    if not view.startswith(b"hsqs"):
        return False
    used = view.u64(40)
    return used >= len(view) or (view.u8(used) == 0 and view.run(used) == len(view) - used)


def _ends(view: View) -> int:
    """``bytes_used``, of version 4."""
    return view.u64(40) if len(view) > 96 and view.startswith(b"hsqs") and view.u16(28) == 4 else 0


COMPARATORS: Final = [Comparator(name="squashfs", claims=_claims, compare=_compare, ends=_ends)]
