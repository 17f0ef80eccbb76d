"""ext2, ext3 and ext4: the tree that the kernel mounts from an image that nobody has mounted yet.

Every block is one that the file system needs for itself, one that a name leads to, or zero; bitmaps, counters, copies
and checksums are those that follow from them, the journal is empty. What no directory lists, what lies behind a file's
end, in a deleted inode or name, in reserved fields or in the boot block is refused; so are features that are not
decided, hashed directories among them.

Sources: Linux ``Documentation/filesystems/ext4``, ``Documentation/filesystems/journalling.rst``, ``fs/jbd2``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._ext_groups import FREE, IDENTITY, Disk, super_fields
from banbury.compare.equivalence.containers._ext_inodes import _VISIBLE, EXTENTS, Inodes, Record, Run, changed
from banbury.compare.equivalence.containers._filesystem import (
    FILE_TYPES,
    Holes,
    Inode,
    compare_room,
    grow,
    kind_of,
    whole,
)
from banbury.compare.equivalence.containers.contract import Comparator, Free, Place, Spool, Work, zero
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.tree import INODE_FLAGS, Tree, compare_trees
from banbury.formats.readers._crc import crc32c, crc32c_rows
from banbury.formats.readers._ext_super import SUPER_AT
from banbury.formats.view import Buffer, View

_ORPHANS: Final = 512  # blocks of the file of orphans (fs/ext4/orphan.c)
_ROOT, _RESIZE, _JOURNAL = 2, 7, 8
_LINKS: Final = 65000  # of a folder (fs/ext4/ext4.h, EXT4_LINK_MAX); one that has more states one
_DEVICES: Final = ("character device", "block device")
_JOURNAL_HEAD: Final = struct.Struct(">12I16s4IB")
_LEAST: Final = 1024  # blocks of a journal (include/linux/jbd2.h, JBD2_MIN_JOURNAL_BLOCKS)
_CHECKS: Final = {0, 0x8, 0x10}  # features for checksums, of which Linux mounts one at most


class _Image:
    """One image, read to its last byte by ``tree``."""

    def __init__(self, view: View, base: int, spool: Spool) -> None:
        self.view, self.base, self.spool = view, base, spool
        self.disk = Disk(view)
        self.sb, self.block = self.disk.sb, self.disk.block
        self.inodes = Inodes(self.disk)
        self.holes = Holes(len(view))
        self.described: dict[int, Inode] = {}
        self.runs: dict[int, list[Run]] = {}
        self.seeds: dict[int, int] = {}
        self.parents: dict[int, int] = {}
        self.sums: list[tuple[int, int]] = []  # blocks of directories with the value that their checksums start from

    def tree(self) -> Tree:
        sb = self.sb
        used = (np.flatnonzero(self.disk.live) + 1).tolist()
        for number in range(1, sb.first_inode):
            if number not in used:
                raise Refused(f"inode {number}", "is reserved and not in use")
            if number != _ROOT:
                self._special(number)
        orphans = int.from_bytes(self.disk.raw[0x280:0x284], "little")  # zero without that feature
        if sb.has("orphan_file"):
            if orphans < sb.first_inode or orphans not in used:
                raise Refused("superblock", "names no file of orphans", [Range(SUPER_AT + 0x280, SUPER_AT + 0x284)])
            self._orphans(self.inodes.read(orphans))
        ordinary = [_ROOT, *(n for n in used if n >= sb.first_inode and n != orphans)]
        for number in ordinary:
            self.described[number] = self._describe(self.inodes.read(number))
        tree = grow(self.described[_ROOT], len(ordinary), self._entries, self._content)
        self._check_sums()
        self.inodes.finish()
        self.disk.finish(np.array([n for n, i in self.described.items() if i.kind == "directory"]))
        return tree

    # Inodes

    def _describe(self, record: Record) -> Inode:
        number, where = record.number, [record.where]
        kind = kind_of(record.mode, f"inode {number}")
        if record.flags & ~(_VISIBLE | EXTENTS):
            raise Refused(f"inode {number}", f"flags {record.flags:#x} that are not decided", where)
        xattrs, more = self.inodes.xattrs(record)
        inode = Inode(
            number=number, kind=kind, mode=record.mode & 0o7777, uid=record.uid, gid=record.gid, links=record.links,
            size=record.size, xattrs=xattrs, attributes={INODE_FLAGS: record.flags & _VISIBLE},
            free=(Free("ext.time", record.times, record.where),), time=changed(record.times),
        )  # fmt: skip
        if kind == "directory" and record.links == 1:
            inode.links = -1  # more than it can count (dir_nlink)
        mapped = maps = 0
        if kind in ("file", "directory") or (kind == "symbolic link" and record.blocks > more * self.block // 512):
            runs, maps = self.inodes.runs(record)
            self.runs[number] = runs
            mapped = sum(count for _, _, count in runs)
            if kind == "symbolic link":
                inode.target = b"".join(bytes(p) for p in self._pieces(inode))
        else:
            self._inline(inode, record)
        if record.blocks != (mapped + maps + more) * (self.block // 512):
            raise Refused(f"inode {number}", "states another number of blocks than it has", where)
        if kind == "directory":
            self.seeds[number] = crc32c(self.sb.seed, struct.pack("<II", number, record.generation))
        return inode

    def _inline(self, inode: Inode, record: Record) -> None:
        """What an inode without blocks keeps in the place of its block map."""
        rest = record.mapping
        if inode.kind == "symbolic link":
            if not record.size < 60 or record.flags & EXTENTS:
                raise Refused(f"inode {record.number}", "a link that is nowhere", [record.where])
            inode.target, rest = rest[: record.size], rest[record.size :]
        elif inode.kind in _DEVICES:
            old, new = struct.unpack_from("<II", rest)
            if bool(old) == bool(new) and old:
                raise Refused(f"inode {record.number}", "two device numbers", [record.where])
            inode.device = (
                (old >> 8 & 0xFF, old & 0xFF) if old else ((new & 0xFFF00) >> 8, new & 0xFF | new >> 12 & 0xFFF00)
            )
            if old >> 16:
                raise Refused(f"inode {record.number}", "no device number", [record.where])
            rest = rest[8:]
        if inode.kind != "symbolic link" and record.size:
            raise Refused(f"inode {record.number}", f"a {inode.kind} with content", [record.where])
        if rest.strip(b"\0"):
            raise Refused(f"inode {record.number}", "bytes that belong to nothing", [record.where])

    def _special(self, number: int) -> None:
        """Inodes that the file system keeps for itself."""
        record = self.inodes.read(number)
        where = [record.where]
        if record.tail.strip(b"\0") or record.acl or record.uid or record.gid or record.flags & ~EXTENTS:
            raise Refused(f"inode {number}", "attributes of what no name leads to", where)
        if number == _RESIZE and self.sb.has("resize_inode"):
            self._resize(record)
        elif number == _JOURNAL and self.sb.has("has_journal"):
            self._journal(record)
        elif record.mode or record.size or record.links or record.blocks or record.flags or any(record.mapping):
            raise Refused(f"inode {number}", "is reserved and holds something", where)

    def _resize(self, record: Record) -> None:
        pointers = struct.unpack("<15I", record.mapping)
        per = self.block // 4
        if not pointers[13]:  # e2fsck asks for the block, also where none is reserved
            raise Refused("resize inode", "has no block of addresses", [record.where])
        blocks = self.disk.resize_blocks(pointers[13])
        whole_size = (12 + per + per * per) * self.block
        if any(pointers[:13]) or pointers[14] or record.blocks != blocks * (self.block // 512):
            raise Refused("resize inode", "holds something", [record.where])
        if record.size != whole_size or record.mode != 0o100600 or record.links != 1 or record.flags:
            raise Refused("resize inode", "another size or mode than it should have", [record.where])

    def _journal(self, record: Record) -> None:
        runs, maps = self.inodes.runs(record)
        count = sum(n for _, _, n in runs)
        if self.sb.journal_inode != _JOURNAL or record.mode != 0o100600 or record.links != 1:
            raise Refused("journal", "is no plain file of the file system", [record.where])
        if count < _LEAST:
            raise Refused("journal", f"{count} blocks, fewer than Linux mounts", [record.where])
        if count * self.block != record.size or record.blocks != (count + maps) * (self.block // 512) or not runs:
            raise Refused("journal", "with holes, or of another size than stated", [record.where])
        backup = record.mapping + struct.pack("<II", record.size >> 32, record.size & 0xFFFFFFFF)
        stored = self.disk.raw[0x10C:0x150]
        if self.disk.raw[0xFD] not in (0, 1) or stored != (backup if self.disk.raw[0xFD] else bytes(68)):
            raise Refused(
                "superblock", "its copy of the journal's place is another", [Range(SUPER_AT, SUPER_AT + 1024)]
            )
        first = runs[0][1] * self.block
        self._journal_head(first, count)
        for number, (_, place, length) in enumerate(runs):
            start = place * self.block + (0 if number else 1024)
            zero(self.view, start, (place + length) * self.block, "journal")

    def _journal_head(self, at: int, count: int) -> None:
        raw = self.view.take(at, 1024)
        f = _JOURNAL_HEAD.unpack(raw[: _JOURNAL_HEAD.size])
        (magic, kind, unused, size, most, first, _, start, error, compat, incompat, ro_compat) = f[:12]
        checked = incompat & 0x18
        where = [Range(at, at + 1024)]
        if (magic, kind, unused, size, most, first) != (0xC03B3998, 4, 0, self.block, count, 1):
            raise Refused("journal", "no superblock of version 2", where)
        if start or error or compat or incompat & ~0x1B or checked not in _CHECKS or ro_compat:
            raise Refused("journal", "not empty, or with features that are not decided", where)
        users, check = raw[0x100:0x110], int.from_bytes(raw[0xFC:0x100], "big")
        known = (bytes(16), self.sb.uuid)
        if f[12] not in known or users not in known or f[13] not in (0, 1) or any(f[14:17]):
            raise Refused("journal", "with users or limits", where)
        if f[17] != (4 if checked else 0) or any(raw[_JOURNAL_HEAD.size : 0xFC]) or any(raw[0x110:]):
            raise Refused("journal", "reserved bytes that are not zero", where)
        if check != (crc32c(0xFFFFFFFF, raw[:0xFC] + bytes(4) + raw[0x100:]) if checked else 0):
            raise Refused("journal", "its checksum is wrong", where)

    def _orphans(self, record: Record) -> None:
        """The file that lists inodes to be deleted after a crash: it lists none (``orphan.rst``, fs/ext4/orphan.c)."""
        where = [record.where]
        runs, maps = self.inodes.runs(record)
        count = sum(n for _, _, n in runs)
        plain = (record.mode, record.links, record.uid, record.gid, record.acl) == (0o100600, 1, 0, 0, 0)
        if not plain or record.flags & ~EXTENTS or record.tail.strip(b"\0"):
            raise Refused("orphan file", "attributes of what no name leads to", where)
        if not 0 < count <= _ORPHANS or count * self.block != record.size:
            raise Refused("orphan file", "with holes, too large, or of another size than stated", where)
        if record.blocks != (count + maps) * (self.block // 512):
            raise Refused("orphan file", "states another number of blocks than it has", where)
        seed = crc32c(self.sb.seed, struct.pack("<II", record.number, record.generation))
        for place in (first + i for _, first, length in runs for i in range(length)):
            raw = self.view.take(place * self.block, self.block)
            start = crc32c(seed, struct.pack("<Q", place)) if self.sb.has("metadata_csum") else None
            check = 0 if start is None else crc32c(start, raw[:-8])
            if raw[:-8].strip(b"\0") or raw[-8:] != struct.pack("<II", 0x0B10CA04, check):
                raise Refused("orphan file", "lists something, or a checksum is wrong", [self.disk.where(place)])

    # Directories

    def _entries(self, folder: Inode) -> Iterator[tuple[bytes, Inode]]:
        folders = end = 0
        # Linux takes the first two entries for them, whatever their names (fs/ext4/namei.c, ext4_get_first_dir_block)
        dots = [(0, b".", folder.number), (12, b"..", self.parents.get(folder.number, _ROOT))]
        for first, place, count in self.runs[folder.number]:
            if first != end:
                raise Refused(f"inode {folder.number}", "a directory with holes")
            end = first + count
            for block in range(place, place + count):
                start = (first + block - place) * self.block
                for at, name, number, sort in self._listed(folder, block):
                    if dots or name in (b".", b".."):
                        wanted = self._sort("directory")
                        if not dots or (start + at, name, number) != dots.pop(0) or sort != wanted:
                            raise Refused(f"inode {folder.number}", "dots that are none", [self.disk.where(block)])
                        continue
                    inode = self._named(number, sort, folder.number, block)
                    folders += inode.kind == "directory"
                    yield name, inode
        if end * self.block != folder.size or dots:
            raise Refused(f"inode {folder.number}", "a directory of another size than it states, or without dots")
        if folder.links == -1 and folders + 2 <= _LINKS:
            raise Refused(f"inode {folder.number}", "states one link, and has few")

    def _sort(self, kind: str) -> int:
        """What an entry says of the type of its inode."""
        return FILE_TYPES[kind] if self.sb.has("filetype") else 0

    def _named(self, number: int, sort: int, parent: int, block: int) -> Inode:
        inode = self.described.get(number)
        if inode is None or sort != self._sort(inode.kind):
            raise Refused(
                f"inode {parent}", "a name of another type than its inode, or of none", [self.disk.where(block)]
            )
        if inode.kind == "directory":
            self.parents[number] = parent
        return inode

    def _listed(self, folder: Inode, block: int) -> Iterator[tuple[int, bytes, int, int]]:
        """Names of one block, and where each entry starts; what is not one is zero."""
        data = self.view.take(block * self.block, self.block)
        where = [self.disk.where(block)]
        at, end = 0, self.block
        if self.sb.has("metadata_csum"):
            end -= 12
            if data[end : end + 8] != b"\0\0\0\0\x0c\0\0\xde":
                raise Refused(f"inode {folder.number}", "a block of names without its checksum", where)
            self.sums.append((block, self.seeds[folder.number]))
        while at < end:
            number, length, size, sort = struct.unpack_from("<IHBB", data, at)
            used = 8 + size if number else 8
            if length < max(used, 12) or length % 4 or at + length > end:
                raise Refused(f"inode {folder.number}", "an entry that is none", where)
            if data[at + used : at + length].strip(b"\0") or (not number and (size or sort)):
                raise Refused(f"inode {folder.number}", "bytes behind a name", where)
            if number:
                yield at, data[at + 8 : at + 8 + size], number, sort
            at += length

    def _check_sums(self) -> None:
        if not self.sums:
            return
        for start in range(0, len(self.sums), 1024):
            part = self.sums[start : start + 1024]
            rows = np.vstack([np.frombuffer(self.view.mem(b * self.block, self.block), np.uint8) for b, _ in part])
            found = crc32c_rows(np.array([seed for _, seed in part], np.uint32), rows[:, :-12])
            if (found != rows[:, -4:].copy().view("<u4")[:, 0]).any():
                raise Refused("directories", "a checksum is wrong")

    # Content

    def _content(self, inode: Inode) -> Place:
        runs = self.runs[inode.number]
        if len(runs) == 1 and runs[0][0] == 0 and runs[0][2] * self.block >= inode.size:
            start = runs[0][1] * self.block
            zero(self.view, start + inode.size, start + runs[0][2] * self.block, f"inode {inode.number}")
            return Place(self.base + start, inode.size)
        return self.spool.put(self._pieces(inode))

    def _pieces(self, inode: Inode) -> Iterator[Buffer]:
        end = 0
        for first, place, count in self.runs[inode.number]:
            start = first * self.block
            yield from self.holes.take(start - end)
            stop = min(start + count * self.block, inode.size)
            for at in range(start, stop, 1 << 20):
                yield self.view.mem(place * self.block + at - start, min(stop - at, 1 << 20))
            zero(self.view, place * self.block + stop - start, (place + count) * self.block, f"inode {inode.number}")
            end = stop
        yield from self.holes.take(inode.size - end)


def _compare(work: Work) -> None:
    one, other = (_Image(view, place.start, work.spool) for view, place in work.sides)
    work.exactly("superblock", super_fields(one.disk), super_fields(other.disk))
    trees = [image.tree() for image in (one, other)]
    work.account.explain("ext.layout", *whole(work))
    compare_room(work, *(image.disk.room for image in (one, other)))
    for rule, fields in (("ext.time", FREE), ("ext.identity", IDENTITY)):
        frees = [
            {n: Free(rule, i.disk.field(s), Range(SUPER_AT + s[0], SUPER_AT + sum(s))) for n, s in fields.items()}
            for i in (one, other)
        ]
        work.free(*frees)
    compare_trees(work, *trees, order="ext.layout")


COMPARATORS: Final = [Comparator(name="ext", claims=lambda v: v.startswith(b"\x53\xef", 1080), compare=_compare)]
