"""UBIFS: the tree that the kernel mounts from an image that nobody has written to yet.

The index is walked from the root: every node of the main area must be reached by it once, have a right checksum and
the key that leads to it. Superblock, master nodes, an empty log, an empty orphan area and the tree of free space are
read to the bit, and the counters in them are checked; all else is erased flash or padding.

Sources: Linux ``fs/ubifs/ubifs-media.h``, ``key.h``, ``lpt.c``, ``sb.c``, ``master.c``; mtd-utils ``mkfs.ubifs``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._filesystem import (
    FILE_TYPES,
    Holes,
    Inode,
    check_name,
    compare_room,
    constant,
    device_of,
    grow,
    kind_of,
    whole,
)
from banbury.compare.equivalence.containers._squashfs import unpack_block
from banbury.compare.equivalence.containers._ubifs_areas import (
    BIG,
    COMPRESSORS,
    DATA,
    ENTRY,
    INDEX,
    INODE,
    MAGIC,
    SUPER,
    XENTRY,
    Areas,
)
from banbury.compare.equivalence.containers._ubifs_lpt import Properties
from banbury.compare.equivalence.containers.contract import Comparator, Free, Spool, Work
from banbury.compare.equivalence.containers.streams import inflated
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.places import SECOND
from banbury.compare.equivalence.tree import INODE_FLAGS, Tree, compare_trees
from banbury.formats.view import Buffer, View

_BLOCK: Final = 4096
_SHOWN: Final = 0x2 | 0x4 | 0x8 | 0x10  # flags of inodes that chattr sets
_XATTR: Final = 0x20
_LEVELS: Final = 32
_FIRST: Final = 64  # the first inode number (UBIFS_FIRST_INO); the root has 1
_Key = tuple[int, int, int]  # inode number, type, and block or hash
_Branch = tuple[int, int, int, _Key | None, int]  # eraseblock, offset, size, key, level


class _Node(Struct, frozen=True):
    """A node of the main area: where it stands, its size, type, and key (inode number, type, the rest)."""

    at: int
    size: int
    sort: int
    key: tuple[int, int, int]


class _Image(Areas):
    """One image; ``tree`` reads it to its last byte."""

    def __init__(self, view: View, spool: Spool) -> None:
        super().__init__(view)
        self.spool = spool
        self.holes = Holes(len(view))
        self.nodes: dict[tuple[int, int, int], list[_Node]] = {}
        self.live: dict[int, list[tuple[int, int, bool]]] = {}
        self.used: set[int] = set()
        self.forms = {self.sb.compressor}
        self.hidden: set[int] = set()  # inodes that hold attributes' values
        self.stated: dict[int, tuple[int, int, int, int, bytes]] = {}  # attributes' counts and sizes, flag, data

    # The index

    def _walk(self) -> None:
        """Reach every node of the main area from the root."""
        m = self.master
        waiting: list[_Branch] = [(m.root, m.root_at, m.root_size, None, -1)]
        previous = (-1, -1, -1)
        while waiting:
            lnum, offset, size, key, level = waiting.pop()
            at = self._claim(lnum, offset, size, level >= 0 or key is None)
            if level >= 0 or key is None:
                waiting += self._branches(at, size, key, level)
                continue
            assert key is not None
            node = self._leaf(at, size, key)
            if key < previous or (key == previous and key[1] not in (ENTRY, XENTRY)):
                raise Refused("index", "keys out of order, or twice", [Range(at, at + size)])
            if key == previous and self._entry_name(self.nodes[key[0], key[1], 0][-1]) >= self._entry_name(node):
                # Linux looks through names of one hash in their order (tnc.c, matches_name)
                raise Refused("index", "names of one hash out of order", [Range(at, at + size)])
            previous = key
            self.nodes.setdefault((key[0], key[1], 0), []).append(node)

    def _entry_name(self, node: _Node) -> bytes:
        return self.view.take(node.at + 56, min(self.view.u16(node.at + 50), max(node.size - 56, 0)))

    def _claim(self, lnum: int, offset: int, size: int, index: bool) -> int:
        at = lnum * self.leb + offset
        if not self.first <= lnum < self.lebs or offset % 8 or not 24 <= size <= self.leb - offset or at in self.used:
            raise Refused("index", "leads out of the main area, or twice to one node")
        self.used.add(at)
        self.live.setdefault(lnum, []).append((offset, offset + size, index))
        return at

    def _branches(self, at: int, size: int, key: _Key | None, level: int) -> list[_Branch]:
        where = [Range(at, at + size)]
        if self.node_size(at, INDEX) != size:
            raise Refused("index", "a node of another size", where)
        count, height = struct.unpack_from("<HH", self.view.take(at, 28), 24)
        if (
            size != 28 + 20 * count
            or not 0 < count <= self.sb.fanout
            or height > _LEVELS
            or (level >= 0 and height != level)
        ):
            raise Refused("index", "a node of another level or size", where)
        out: list[tuple[int, int, int, _Key, int]] = []
        for lnum, offset, length, low, high in struct.iter_unpack("<5I", self.view.take(at + 28, 20 * count)):
            out.append((lnum, offset, length, (low, high >> 29, high & 0x1FFFFFFF), height - 1))
        if key is not None and out[0][3] != key:
            raise Refused("index", "a node that starts with another key", where)
        if any(one[3] > other[3] for one, other in pairwise(out)):
            raise Refused("index", "keys out of order", where)
        return list(reversed(out))

    def _leaf(self, at: int, size: int, key: tuple[int, int, int]) -> _Node:
        if key[1] not in (INODE, DATA, ENTRY, XENTRY) or self.node_size(at, key[1]) != size or size < 48:
            raise Refused("index", "leads to a node of another size or type", [Range(at, at + size)])
        raw = self.view.take(at + 24, 16)
        if raw != struct.pack("<II8x", key[0], key[1] << 29 | key[2]):
            raise Refused("index", "leads to a node of another key", [Range(at, at + size)])
        return _Node(at, size, key[1], key)

    def _check_main(self) -> None:
        """Every byte of the main area, and what the tree of free space says of it."""
        properties = self.properties()
        sums = [0, 0, 0]
        indexes = index_size = empty = 0
        for number, found in enumerate(properties):
            lnum = self.first + number
            spans = sorted(self.live.get(lnum, []))
            end = self._eraseblock(lnum, spans) if lnum < self.lebs else 0
            used = sum(stop - start + 7 & ~7 for start, stop, _ in spans)
            kinds = {index for *_, index in spans}
            if len(kinds) > 1 or (bool(spans) and found.index is not (True in kinds)) or (found.index and not spans):
                raise Refused(f"eraseblock {lnum}", "index and data, or stated otherwise")
            if found.free + found.dirty + used != self.leb or end > self.leb - found.free:
                raise Refused(f"eraseblock {lnum}", "another free space than stated")
            sums = [sums[0] + found.free, sums[1] + found.dirty, sums[2] + (0 if found.index else used)]
            indexes += found.index
            index_size += used if found.index else 0
            empty += not spans
        self._check_sums(sums, indexes, index_size, empty, properties)

    def _eraseblock(self, lnum: int, spans: list[tuple[int, int, bool]]) -> int:
        base = lnum * self.leb
        end = 0
        for start, stop, _ in spans:
            while end < start:
                after = self.padded(base + end, min(-end % self.sb.unit, start - end)) - base
                if not end < after <= start:
                    raise Refused(
                        f"eraseblock {lnum}", "bytes that belong to nothing", [Range(base + end, base + start)]
                    )
                end = after
            if start < end:
                raise Refused(f"eraseblock {lnum}", "nodes that overlap", [Range(base + start, base + stop)])
            end = stop
        if not spans:
            constant(self.view, base, base + self.leb, (0xFF,), f"eraseblock {lnum}")
            return 0
        after = self.padded(base + end, -end % self.sb.unit) - base
        constant(self.view, base + after, base + self.leb, (0xFF,), f"eraseblock {lnum}")
        return end

    def _check_sums(
        self, sums: list[int], indexes: int, index_size: int, empty: int, properties: list[Properties]
    ) -> None:
        m = self.master
        dead = dark = 0
        dead_mark, dark_mark = (size + -size % max(self.sb.unit, 8) for size in (56, 4256))
        for found in properties:
            room = found.free + found.dirty
            if found.index:
                continue
            if room < dead_mark:
                dead += room
            else:
                dark += room if room < dark_mark else room - 56 if room - dark_mark < 56 else dark_mark
        stated = {"free": m.free, "dirty": m.dirty, "used": m.used, "index": m.index, "index eraseblocks": m.index_lebs,
                  "empty": m.empty, "dead": m.dead, "dark": m.dark}  # fmt: skip
        found_sums = {"free": sums[0], "dirty": sums[1], "used": sums[2], "index": index_size,
                      "index eraseblocks": indexes, "empty": empty, "dead": dead, "dark": dark}  # fmt: skip
        wrong = [f"{n} {stated[n]} for {found_sums[n]}" for n in stated if stated[n] != found_sums[n]]
        if wrong:
            raise Refused("master node", "wrong sums: " + ", ".join(wrong))
        for lnum, offset in ((m.collector, 0), (m.head, m.head_at), (m.scan, 0)):
            if not self.first <= lnum < self.sb.lebs or offset > self.leb or offset % 8:
                raise Refused("master node", "places outside of the main area")
        ends = [stop for _, stop, _ in self.live.get(m.head, [])]
        if self.live.get(m.collector) or (ends and m.head_at < max(ends)):
            raise Refused("master node", "would write over what is used")

    # The tree

    def tree(self) -> Tree:
        self.check_areas()
        self._walk()
        self._check_main()
        numbers = sorted(n for n, sort, _ in self.nodes if sort == INODE)
        if any(n != 1 and n < _FIRST for n in numbers):  # readers of directories pass over number 0
            raise Refused("index", "inode numbers that Linux does not give")
        self.inodes = {n: self._described(n) for n in numbers}
        for number in numbers:
            self._attributes(self.inodes[number])
        out = grow(
            self._root(), len(numbers) - len(self.hidden), self._entries, lambda i: self.spool.put(self._pieces(i))
        )
        left = [
            n
            for n, sort, _ in self.nodes
            if n not in self.inodes or (sort == ENTRY and self.inodes[n].kind != "directory")
        ]
        odd = [n for n, sort, _ in self.nodes if sort == DATA and self.inodes[n].kind != "file"]
        if left or odd or max(numbers, default=0) > self.master.highest:
            raise Refused("index", "nodes of what has no inode, or is of another type")
        if any(self.inodes[n].kind != "file" or (n, DATA, 0) in self.nodes for n in self.hidden):
            raise Refused("index", "attributes that are no values")
        return out

    def _root(self) -> Inode:
        if 1 not in self.inodes or self.stated[1][3]:
            raise Refused("index", "has no root, or an attribute's value for it")
        return self.inodes[1]

    def _described(self, number: int) -> Inode:
        (node,) = self.nodes[number, INODE, 0]
        raw = self.view.take(node.at, node.size)
        where = Range(node.at, node.at + node.size)
        if node.key[2] or node.size < 160:
            raise Refused(f"inode {number}", "no inode", [where])
        f = struct.unpack_from("<QQQQQIIIIIIIIIII4sIH26s", raw, 40)
        (
            _,
            size,
            _,
            _,
            _,
            _,
            _,
            _,
            links,
            uid,
            gid,
            mode,
            flags,
            length,
            xattrs,
            xattr_size,
            unused,
            names,
            form,
            unused2,
        ) = f
        data = raw[160:]
        if unused.strip(b"\0") or unused2.strip(b"\0") or length != len(data) or form not in COMPRESSORS:
            raise Refused(f"inode {number}", "reserved bytes in use, or data of another size", [where])
        if flags & ~(_SHOWN | _XATTR | 1):
            raise Refused(f"inode {number}", f"flags {flags:#x} that are not decided", [where])
        if max(f[2:5]) >> 33 or max(f[5:8]) >= 1_000_000_000:
            raise Refused(f"inode {number}", "times that are none", [where])
        kind = kind_of(mode, f"inode {number}")
        inode = Inode(
            number=number, kind=kind, mode=mode & 0o7777, uid=uid, gid=gid, links=links, size=size,
            attributes={INODE_FLAGS: flags & (_SHOWN | _XATTR)},
            free=(Free("ubifs.time", raw[56:92], Range(node.at + 56, node.at + 92)),), time=f[4] * SECOND + f[7],
        )  # fmt: skip
        self.stated[number] = (xattrs, xattr_size, names, flags & _XATTR, data)
        if kind == "symbolic link":
            inode.target = data
        elif kind.endswith("device"):
            if len(data) not in (4, 8):
                raise Refused(f"inode {number}", "no device number", [where])
            inode.device = _device(data)
        elif data and not flags & _XATTR:
            raise Refused(f"inode {number}", f"a {kind} with data", [where])
        if kind not in ("file", "directory", "symbolic link"):
            inode.attributes["size"] = size  # mkfs.ubifs gives devices that of a directory
        elif kind == "symbolic link" and size != len(data):
            raise Refused(f"inode {number}", f"a {kind} of {size} bytes", [where])
        return inode

    def _names(self, number: int, sort: int) -> Iterator[tuple[bytes, int, int, int]]:
        """Entries under an inode: name, inode number, type, and the size of the node rounded up."""
        seen: set[bytes] = set()
        for node in self.nodes.get((number, sort, 0), ()):
            raw = self.view.take(node.at, node.size)
            inode, unused, kind, length, cookie = struct.unpack_from("<QBBHI", raw, 40)
            name = raw[56 : 56 + length]
            where = [Range(node.at, node.at + node.size)]
            if node.size != 57 + length or raw[-1] or unused or cookie or inode >> 32:
                raise Refused(f"node at {node.at}", "an entry with bytes that should not be there", where)
            check_name(name, seen) if sort == ENTRY else seen.add(name)
            if node.key[2] != _hash(name):
                raise Refused(f"node at {node.at}", "an entry under another hash than its name's", where)
            yield name, inode, kind, node.size + 7 & ~7

    def _attributes(self, inode: Inode) -> None:
        count, size, names, *_ = self.stated[inode.number]
        found = [0, 0, 0]
        for name, number, kind, room in self._names(inode.number, XENTRY):
            value = self.inodes.get(number)
            if (
                value is None
                or kind != 0
                or not self.stated[number][3]
                or number in self.hidden
                or name in inode.xattrs
            ):
                raise Refused(f"inode {inode.number}", "an attribute without a value of its own, or twice")
            data = self.stated[number][4]
            if value.size != len(data) or value.links != 1 or self.stated[number][0]:
                raise Refused(f"inode {number}", "a value of another size")
            self.hidden.add(number)
            inode.xattrs = {**inode.xattrs, name: data}
            found = [found[0] + 1, found[1] + room + (160 + len(data) + 7 & ~7), found[2] + len(name) + 1]
        if found != [count, size, names] and not (not count and [size, names] == [0, 0] and not found[0]):
            raise Refused(f"inode {inode.number}", f"states attributes {count, size, names} and has {found}")

    def _entries(self, folder: Inode) -> Iterator[tuple[bytes, Inode]]:
        size = 160
        for name, number, kind, room in self._names(folder.number, ENTRY):
            inode = self.inodes.get(number)
            if inode is None or self.stated[number][3] or FILE_TYPES_UBIFS[inode.kind] != kind:
                raise Refused(f"inode {folder.number}", "a name of another type than its inode, or of none")
            size += room
            yield name, inode
        if folder.size != size:
            raise Refused(f"inode {folder.number}", f"a directory of {folder.size} bytes for {size}")

    def _pieces(self, inode: Inode) -> Iterator[Buffer]:
        end = 0
        for node in self.nodes.get((inode.number, DATA, 0), ()):
            start = node.key[2] * _BLOCK
            if start < end or start >= inode.size:
                raise Refused(f"inode {inode.number}", "data behind its end", [Range(node.at, node.at + node.size)])
            yield from self.holes.take(start - end)
            out = self._unpacked(node, min(_BLOCK, inode.size - start))
            yield out
            end = start + len(out)
            if end % _BLOCK and end != inode.size:
                yield from self.holes.take(min(start + _BLOCK, inode.size) - end)
                end = min(start + _BLOCK, inode.size)
        yield from self.holes.take(inode.size - end)

    def _unpacked(self, node: _Node, room: int) -> Buffer:
        size, form, packed = struct.unpack_from("<IHH", self.view.take(node.at, 48), 40)
        start, end = node.at + 48, node.at + node.size
        if not 0 < size <= room or packed or form not in COMPRESSORS or end <= start:
            raise Refused(f"node at {node.at}", "data of another size or form", [Range(node.at, end)])
        kind = COMPRESSORS[form]
        self.forms.add(form)
        if kind == "deflate":
            out: Buffer = b"".join(bytes(piece) for piece in inflated(self.view, start, end))
        else:
            out = unpack_block(self.view, start, end - start, kind, _BLOCK)
        if len(out) != size:
            raise Refused(f"node at {node.at}", "unpacks to another size", [Range(node.at, end)])
        return out


#: Types of entries as UBIFS numbers them (``UBIFS_ITYPE_*``).
FILE_TYPES_UBIFS: Final = {
    "file": 0, "directory": 1, "symbolic link": 2, "block device": 3, "character device": 4, "fifo": 5, "socket": 6,
}  # fmt: skip
assert FILE_TYPES_UBIFS.keys() == FILE_TYPES.keys()


def _hash(name: bytes) -> int:
    """The hash of a name (``key.h``, key_r5_hash), of which 29 bits are used and the first three values are not."""
    value = 0
    for byte in name:
        character = byte - 256 if byte > 127 else byte
        value = (value + (character << 4) + (character >> 4)) * 11 & 0xFFFFFFFF
    value &= 0x1FFFFFFF
    return value + 3 if value <= 2 else value


def _device(data: bytes) -> tuple[int, int]:
    number = int.from_bytes(data, "little")
    if number >> 32:  # huge_encode_dev: as the other form where the number is small
        raise Refused("inode", "a device number that is not decided")
    return device_of(number)


def _compare(work: Work) -> None:
    one, other = (_Image(view, work.spool) for view, _ in work.sides)
    fields = [
        {"eraseblock": i.leb, "unit": i.sb.unit, "version": i.sb.version, "flags": i.sb.flags & ~BIG,
         "reserved for": (i.sb.user, i.sb.group, i.sb.reserved), "time": i.sb.grain, "heads": (i.sb.heads, i.sb.saved)}
        for i in (one, other)
    ]  # fmt: skip
    work.exactly("superblock", *fields)
    trees = [image.tree() for image in (one, other)]
    work.account.explain("ubifs.layout", *whole(work))
    compare_room(work, *((i.sb.most, {}) for i in (one, other)))
    if one.least != other.least:
        work.account.explain("ubifs.volume", *whole(work), f"{one.least} against {other.least} eraseblocks")
    if one.forms != other.forms:
        names = [", ".join(sorted(COMPRESSORS[f] or "none" for f in i.forms)) for i in (one, other)]
        work.account.explain("ubifs.compressor", *whole(work), " against ".join(names))
    work.free(*({"number": Free("ubifs.identity", i.sb.uuid, Range(108, 124))} for i in (one, other)))
    compare_trees(work, *trees, order="ubifs.layout")


COMPARATORS: Final = [
    Comparator(name="ubifs", claims=lambda v: v.startswith(MAGIC) and v.u8(20) == SUPER, compare=_compare)
]
