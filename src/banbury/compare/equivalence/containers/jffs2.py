"""JFFS2: the tree that the newest nodes make, where there are no others.

Every byte belongs to a node whose checksums are right, to a node's padding, or is erased flash up to the end of an
erase block. Each name and each byte of a file is stated by one node: what is obsolete, deleted or without a name is
refused, as a torn scan or another reader could revive it. Inode numbers, versions, times, compression and the places
of nodes are free, and summaries that list just what stands in their blocks.

Sources: Linux ``include/uapi/linux/jffs2.h``, ``fs/jffs2`` (``scan.c``, ``readinode.c``, ``xattr.c``, ``fs.c``).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._filesystem import (
    ENTRY_TYPES,
    Holes,
    Inode,
    access_list,
    constant,
    device_of,
    grow,
    kind_of,
    whole,
)
from banbury.compare.equivalence.containers._jffs2_summary import SUMMARY, Stood, check_marks, check_summary
from banbury.compare.equivalence.containers._squashfs import unpack_block
from banbury.compare.equivalence.containers.contract import Comparator, Free, Spool, Work
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.places import SECOND
from banbury.compare.equivalence.tree import Tree, compare_trees
from banbury.formats.view import Buffer, View

_MAGIC: Final = {b"\x85\x19": "<", b"\x19\x85": ">"}
_NAME, _INODE, _XATTR, _XREF, _CLEAN, _PADDING = 0xE001, 0xE002, 0xE008, 0xE009, 0x2003, 0x2004
_PREFIXES: Final = {
    1: b"user.", 2: b"security.", 3: b"system.posix_acl_access", 4: b"system.posix_acl_default", 5: b"trusted.",
}  # fmt: skip
_LISTS: Final = (3, 4)
_NODE: Final = 1 << 16  # bytes of content of one node: Linux writes a page
_TOP: Final = 1 << 31  # numbers from here on: what Linux counts on from them would overflow and be older, or nothing
_BLOCK: Final = 4096  # bytes, the smallest erase block of any flash


class _Data(Struct, frozen=True):
    """A node of an inode: what it states of the whole, and its piece of the content."""

    at: int
    version: int
    mode: int
    uid: int
    gid: int
    size: int
    times: bytes
    start: int
    stored: int
    length: int
    method: int


class _Image:
    """One image, read to its last byte by the constructor; ``tree`` makes the tree."""

    def __init__(self, view: View, base: int, spool: Spool) -> None:
        self.view, self.base, self.spool = view, base, spool
        self.order = _MAGIC[view.take(0, 2)]
        self.names: dict[int, dict[bytes, tuple[int, int, int, Range, int]]] = {}
        self.data: dict[int, list[_Data]] = {}
        self.xattrs: dict[int, tuple[bytes, bytes]] = {}
        self.references: dict[int, list[int]] = {}
        self.nodes: list[Stood] = []
        self.summaries: list[tuple[int, int]] = []  # erase blocks with one
        self.starts: list[int] = []  # where erase blocks must start
        self.holes = Holes(len(view))
        self.used: set[int] = set()
        self._scan()
        check_marks(view, self.order, {end for _, end in self.summaries})

    # Nodes

    def _scan(self) -> None:
        at, size = 0, len(self.view)
        while at < size:
            if self.view.startswith(b"\xff\xff", at):
                at += self.view.run(at)
                if at < size:
                    self.starts.append(at)
                continue
            at = self._node(at)

    def _crc(self, start: int, length: int, stated: int) -> None:
        if zlib.crc32(self.view.mem(start, length), 0xFFFFFFFF) ^ 0xFFFFFFFF != stated:
            raise Refused(f"node at {start}", "a checksum is wrong", [Range(start, start + length)])

    def _unpack(self, layout: str, at: int) -> tuple[int, ...]:
        return self.view.unpack(struct.Struct(self.order + layout), at)

    def _node(self, at: int) -> int:
        magic, kind, total, check = self._unpack("HHII", at)
        self._crc(at, 8, check)
        if magic != 0x1985 or total < 12:
            raise Refused(f"node at {at}", "no node", [Range(at, at + 12)])
        self.view.mem(at, total)
        if kind in (_CLEAN, _PADDING):
            constant(self.view, at + 12, at + total, (0, 0xFF), f"node at {at}")
            if kind == _CLEAN:
                if total != 12:
                    raise Refused(f"node at {at}", "a marker with more than its header", [Range(at, at + total)])
                self.starts.append(at)
        elif kind == SUMMARY:
            floor = self.summaries[-1][1] if self.summaries else 0
            start = check_summary(self.view, self.order, at, total, self.nodes, floor)
            self.summaries.append((start, at + total))
            self.starts += [start, at + total]
        elif kind in self._READ:
            size = self._READ[kind](self, at)
            constant(self.view, at + size, at + total, (0, 0xFF), f"node at {at}")
            if total not in (size + 3 & ~3, size if kind != _XATTR else 0):  # jffs2_scan_xattr_node
                raise Refused(f"node at {at}", "longer or shorter than what it holds", [Range(at, at + total)])
        else:
            raise Refused(f"node at {at}", f"is of type {kind:#06x}, obsolete or not decided", [Range(at, at + total)])
        end = at + total
        rounded = min(end + 3 & ~3, len(self.view))
        constant(self.view, end, rounded, (0, 0xFF), f"padding at {end}")
        self.nodes.append((at, kind, total))
        return rounded

    @staticmethod
    def _counted(at: int, *numbers: int) -> None:
        """Refuse numbers that the next one written to the mounted file system would overflow."""
        if max(numbers) >= _TOP:
            raise Refused(f"node at {at}", "a number near the end of its range", [Range(at + 12, at + 24)])

    def _name(self, at: int) -> int:
        parent, version, inode, _, length, sort, unused, unused2, check, name_check = self._unpack("4I4B2I", at + 12)
        self._crc(at, 32, check)
        self._counted(at, parent, version, inode)
        self._crc(at + 40, length, name_check)
        name = self.view.take(at + 40, length)
        found = self.names.setdefault(parent, {})
        if not inode or name in found:
            raise Refused(f"node at {at}", "a deleted name, or one that is stated twice", [Range(at, at + 40 + length)])
        if unused or unused2:
            raise Refused(f"node at {at}", "unused bytes that are not zero", [Range(at + 30, at + 32)])
        found[name] = (inode, sort, version, Range(at + 16, at + 28), at)
        return 40 + length

    def _inode(self, at: int) -> int:
        f = self._unpack("3I2H7I2BH2I", at + 12)
        number, version, mode, uid, gid, size, _, _, _, start, stored, length, method, asked, flags, check, head = f
        self._crc(at, 60, head)
        self._counted(at, number, version)
        self._crc(at + 68, stored, check)
        if asked or flags or (method and not length):
            raise Refused(f"node at {at}", "flags or a compressor that is asked for", [Range(at + 57, at + 60)])
        times = self.view.take(at + 32, 12)
        self.data.setdefault(number, []).append(
            _Data(at, version, mode, uid, gid, size, times, start, stored, length, method)
        )
        return 68 + stored

    def _xattr(self, at: int) -> int:
        number, version, prefix, length, size, check, head = self._unpack("2I2BH2I", at + 12)
        self._crc(at, 28, head)
        self._counted(at, number, version)
        raw = self.view.take(at + 32, length + 1 + size)
        self._crc(at + 32, len(raw), check)
        value = raw[length + 1 :]
        listed = access_list(value, self.order) if prefix in _LISTS and not length else None
        if prefix in _LISTS and listed is None:
            raise Refused(f"node at {at}", "an access list that Linux does not take", [Range(at, at + 32)])
        if prefix not in _PREFIXES or number in self.xattrs or raw[length] or b"\0" in raw[:length]:
            raise Refused(f"node at {at}", "an attribute that is none, or stated twice", [Range(at, at + 32)])
        self.xattrs[number] = _PREFIXES[prefix] + raw[:length], value if listed is None else listed
        return 32 + len(raw)

    def _xref(self, at: int) -> int:
        inode, number, sequence, head = self._unpack("4I", at + 12)
        self._crc(at, 24, head)
        self._counted(at, inode, number, sequence)
        if sequence & 1:
            raise Refused(f"node at {at}", "an attribute that was deleted", [Range(at, at + 28)])
        self.references.setdefault(inode, []).append(number)
        return 28

    _READ: Final = {_NAME: _name, _INODE: _inode, _XATTR: _xattr, _XREF: _xref}

    # Erase blocks

    def block(self) -> int:
        """The size of an erase block as markers and erased space tell it; 0 where they do not."""
        return math.gcd(*self.starts)

    def check_blocks(self, size: int) -> None:
        """Nodes lie in one erase block, and what is erased goes on to its end."""
        if size and size < _BLOCK:
            raise Refused("image", "erased flash between nodes", [Range(s, s) for s in self.starts if s % _BLOCK][:8])
        for start, _, total in self.nodes if size else ():
            if start // size != (start + total - 1) // size:
                raise Refused(f"node at {start}", "lies in two erase blocks", [Range(start, start + total)])
        for start, end in self.summaries:
            if end - start != size:
                raise Refused("image", "a summary of what is no erase block", [Range(start, end)])

    # The tree

    def tree(self) -> Tree:
        root = self._described(1) if 1 in self.data else Inode(number=1, kind="directory", mode=0o755)
        inodes = {1: root} | {number: self._described(number) for number in self.data if number != 1}
        if not set(self.references) <= set(self.data) or not set(self.names) <= set(inodes):
            raise Refused("inodes", "names or attributes of one that is not there")
        if {x for found in self.references.values() for x in found} != set(self.xattrs):
            raise Refused("attributes", "some that no file has, or that are not there")

        def entries(folder: Inode) -> Iterator[tuple[bytes, Inode]]:
            for name, (number, sort, version, where, at) in self.names.pop(folder.number, {}).items():
                inode = inodes.get(number)
                if inode is None or ENTRY_TYPES[inode.kind] != sort:
                    raise Refused(f"node at {at}", "a name of another type than its inode, or of none", [where])
                self.used.add(version)
                yield name, inode

        tree = grow(root, len(inodes), entries, lambda inode: self.spool.put(self._pieces(inode)))
        if self.names:
            raise Refused("names", "in what is no directory")
        return tree

    def _described(self, number: int) -> Inode:
        nodes = self.data[number]
        nodes.sort(key=lambda n: n.start)
        first, newest = nodes[0], max(nodes, key=lambda n: n.version)
        same = {(n.mode, n.uid, n.gid, n.size) for n in nodes}
        kind = kind_of(first.mode, f"inode {number}")
        if len(same) != 1 or len({n.version for n in nodes}) != len(nodes):
            raise Refused(f"inode {number}", "nodes that contradict each other: some are obsolete")
        if kind != "file" and len(nodes) != 1:
            raise Refused(f"inode {number}", "several nodes of what is no file: some are obsolete")
        inode = Inode(number=number, kind=kind, mode=first.mode & 0o7777, uid=first.uid, gid=first.gid)
        inode.size = first.size
        inode.time = int.from_bytes(newest.times[4:8], "little" if self.order == "<" else "big") * SECOND
        inode.free = (Free("jffs2.time", newest.times, Range(newest.at + 32, newest.at + 44)),)
        if kind == "symbolic link":
            inode.target = b"".join(bytes(p) for p in self._pieces(inode))
        elif kind.endswith("device"):
            inode.device = self._device(inode, first)
        elif kind != "file" and (first.length or first.stored or first.size or first.start):
            raise Refused(f"inode {number}", f"a {kind} with content", [Range(first.at, first.at + 68)])
        for number_of in self.references.get(number, ()):
            name, value = self.xattrs.get(number_of, (b"", b""))
            if name in inode.xattrs:
                raise Refused(f"inode {number}", "an attribute twice")
            inode.xattrs = {**inode.xattrs, name: value}
        return inode

    def _device(self, inode: Inode, node: _Data) -> tuple[int, int]:
        inode.size = node.length
        raw = b"".join(bytes(p) for p in self._pieces(inode))
        if len(raw) not in (2, 4) or node.size not in (0, len(raw)):
            raise Refused(f"inode {inode.number}", "no device number")
        number = int.from_bytes(raw, "little" if self.order == "<" else "big")
        return device_of(number) if len(raw) == 4 else (number >> 8, number & 0xFF)

    def _pieces(self, inode: Inode) -> Iterator[Buffer]:
        """Content: nodes behind one another, each byte stated by one, to the stated size."""
        end = 0
        for node in self.data[inode.number]:
            where = [Range(node.at, node.at + 68 + node.stored)]
            if node.start != end or (not node.length and (inode.size or len(self.data[inode.number]) > 1)):
                raise Refused(f"inode {inode.number}", "bytes that no node states, or that two do", where)
            if node.length > _NODE:
                raise Refused(f"inode {inode.number}", "a node of more than a page", where)
            end += node.length
            yield from self._unpacked(node, where)
        if end != inode.size:
            raise Refused(f"inode {inode.number}", "another size than its nodes have")

    def _unpacked(self, node: _Data, where: list[Range]) -> Iterator[Buffer]:
        view, start = self.view, node.at + 68
        if node.method == 1 and not node.stored:
            yield from self.holes.take(node.length)
            return
        if node.method == 0:
            out: Buffer = view.mem(start, node.stored)
        elif node.method == 2:
            out = _rtime(view.take(start, node.stored), node.length)
        elif node.method in (6, 7):
            out = unpack_block(view, start, node.stored, "gzip" if node.method == 6 else "lzo", node.length)
        else:
            raise Refused(f"node at {node.at}", f"compressor {node.method} is not decided", where)
        if len(out) != node.length:
            raise Refused(f"node at {node.at}", "unpacks to another size", where)
        yield out


def _rtime(data: bytes, size: int) -> bytes:
    """The run coder of JFFS2 (``compr_rtime.c``): a byte, and how many bytes to repeat from behind where that byte
    stood last. All pairs are used, and the last does not run over."""
    out = bytearray()
    last = [0] * 256
    for value, count in zip(data[::2], data[1::2], strict=False):
        out.append(value)
        back, end = last[value], len(out)
        last[value] = end
        if (count and back >= end) or end + count > size:
            raise Refused("rtime", "a run that is none")
        if count:
            period = bytes(out[back:end])
            out += (period * (count // len(period) + 1))[:count]
    if len(data) % 2 or len(out) != size:
        raise Refused("rtime", "another size than stated")
    return bytes(out)


def _compare(work: Work) -> None:
    one, other = (_Image(view, place.start, work.spool) for view, place in work.sides)
    if one.order != other.order:
        raise Refused("image", "the order of bytes differs")
    sizes = {image.block() for image in (one, other)} - {0}
    if len(sizes) > 1:
        raise Refused("image", f"erase blocks of {' and '.join(map(str, sorted(sizes)))} bytes")
    for image in (one, other):
        for size in sizes:
            image.check_blocks(size)
    a, b = one.tree(), other.tree()
    work.account.explain("jffs2.layout", *whole(work), *[f"erase blocks of {size} bytes" for size in sizes])
    compare_trees(work, a, b, order="jffs2.layout")


COMPARATORS: Final = [
    Comparator(
        name="jffs2",
        claims=lambda v: v.take(0, 2) in _MAGIC,
        compare=_compare,
    )
]
