"""Inodes of ext file systems: their records, block maps and attributes, to the last byte.

Sources: Linux ``Documentation/filesystems/ext4`` (``inodes.rst``, ``ifork.rst``, ``attributes.rst``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers._ext_groups import Disk
from banbury.compare.equivalence.containers._filesystem import access_list
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.places import SECOND
from banbury.formats.readers._crc import crc32c, crc32c_rows

EXTENTS: Final = 0x80000
#: What chattr(1) sets: secure deletion, undelete, synchronous, immutable, append only, no dump, no access times,
#: journalled data, no tail, synchronous directory, top directory.
_VISIBLE: Final = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x4000 | 0x8000 | 0x10000 | 0x20000
_PREFIXES: Final = {
    1: b"user.", 2: b"system.posix_acl_access", 3: b"system.posix_acl_default", 4: b"trusted.", 6: b"security.",
    7: b"system.",
}  # fmt: skip
_LISTS: Final = (2, 3)
_ORDER: Final = b" in this order"  # no attribute is called so: each has a prefix
_XATTR: Final = b"\0\0\2\xea"
_BASE: Final = struct.Struct("<HHIIIIIHHIII60sIIIIHHHHHH")
_LEVELS: Final = 5

Run = tuple[int, int, int]  # first logical block, first block, count


def changed(times: bytes) -> int:
    """When a file's content was last changed, in nanoseconds since 1970 (Linux, Documentation/filesystems/ext4/
    inodes.rst, Inode Timestamps): of ``Record.times``."""
    seconds = int.from_bytes(times[8:12], "little", signed=True)
    more = int.from_bytes(times[16:20], "little")
    return (seconds + ((more & 3) << 32)) * SECOND + (more >> 2)


class Record(Struct, kw_only=True):
    """The fields of one inode. ``tail`` is where its attributes may start within its record."""

    number: int
    mode: int
    uid: int
    gid: int
    size: int
    links: int
    blocks: int
    flags: int
    mapping: bytes
    generation: int
    acl: int
    times: bytes
    where: Range
    tail: bytes = b""


class Inodes:
    """Reads inodes of one disk; blocks are claimed as they are met."""

    def __init__(self, disk: Disk) -> None:
        self.disk, self.view, self.sb = disk, disk.view, disk.sb
        self._blocks: dict[int, tuple[dict[bytes, bytes], int]] = {}
        self._users: dict[int, int] = {}
        self._check_table()

    def offset(self, number: int) -> int:
        group, index = divmod(number - 1, self.sb.inodes_per_group)
        return self.disk.tables[group] * self.disk.block + index * self.sb.inode_size

    def _check_table(self) -> None:
        """Checksums of inodes in use, and nothing in those that are not."""
        sb, size = self.sb, self.sb.inode_size
        for group, table in enumerate(self.disk.tables):
            length = sb.inodes_per_group * size
            start = table * self.disk.block
            live = self.disk.live[group * sb.inodes_per_group : (group + 1) * sb.inodes_per_group]
            end = start + sb.table_blocks * self.disk.block
            if not live.any() and self.view.u8(start) == 0 and self.view.run(start, end) == end - start:
                continue
            rows = np.frombuffer(self.view.take(start, length), np.uint8).reshape(-1, size).copy()
            if self.view.take(start + length, end - start - length).strip(b"\0"):
                raise Refused("inode table", "bytes behind its end", [Range(start + length, end)])
            stored = rows[:, 0x7C:0x7E].copy().view("<u2")[:, 0].astype(np.int64)
            wide = np.zeros(len(rows), bool)
            if size > 128:
                wide = rows[:, 0x80:0x82].copy().view("<u2")[:, 0] >= 4
                high = rows[:, 0x82:0x84].copy().view("<u2")[:, 0].astype(np.int64)
                stored += np.where(wide, high << 16, 0)
                rows[wide, 0x82:0x84] = 0
            if sb.has("metadata_csum"):
                rows[:, 0x7C:0x7E] = 0
            empty = ~rows.any(axis=1)
            if (~live & ~empty).any():
                number = int(np.flatnonzero(~live & ~empty)[0])
                raise Refused(
                    "inode table",
                    "a free inode that is not empty",
                    [Range(start + number * size, start + (number + 1) * size)],
                )
            if sb.has("metadata_csum"):
                self._check_sums(rows, group * sb.inodes_per_group, stored, wide, ~live & (stored == 0))

    def _check_sums(
        self, rows: np.ndarray, first: int, stored: np.ndarray, wide: np.ndarray, blank: np.ndarray
    ) -> None:
        count = len(rows)
        numbers = np.arange(first + 1, first + count + 1, dtype="<u4").view(np.uint8).reshape(-1, 4)
        seeds = crc32c_rows(self.sb.seed, np.hstack((numbers, rows[:, 0x64:0x68])))
        found = crc32c_rows(seeds, rows).astype(np.int64)
        found = np.where(wide, found, found & 0xFFFF)
        if ((found != stored) & ~blank).any():
            number = first + 1 + int(np.flatnonzero((found != stored) & ~blank)[0])
            raise Refused(f"inode {number}", "its checksum is wrong")

    def read(self, number: int) -> Record:
        """One inode; its reserved fields are zero."""
        at, size = self.offset(number), self.sb.inode_size
        raw = self.view.take(at, size)
        f = _BASE.unpack(raw[:128])
        where = Range(at, at + size)
        times = raw[8:20]
        if f[6] or f[16] or f[22] or (f[21] and not self.sb.has("metadata_csum")):
            raise Refused(f"inode {number}", "deleted, or reserved fields that are not zero", [where])
        found = Record(
            number=number, mode=f[0], uid=f[1] | f[19] << 16, gid=f[7] | f[20] << 16, size=f[2] | f[15] << 32,
            links=f[8], blocks=f[9] | f[17] << 32, flags=f[10], mapping=f[12], generation=f[13],
            acl=f[14] | f[18] << 32, times=times, where=where,
        )  # fmt: skip
        if size > 128:
            extra = int.from_bytes(raw[0x80:0x82], "little")
            if extra % 4 or extra > size - 128 or extra > 32 or (extra < 4 and any(raw[0x80:])):
                raise Refused(f"inode {number}", "extra fields that are not decided", [where])
            if any(raw[0x82:0x84]) and not self.sb.has("metadata_csum"):
                raise Refused(f"inode {number}", "a checksum that should not be there", [where])
            found.times += raw[0x84 : 0x80 + max(extra, 4)][:20]
            if any(raw[0x9C : 0x80 + extra]):
                raise Refused(f"inode {number}", "belongs to a project", [where])
            found.tail = raw[0x80 + extra :]
        return found

    # Block maps

    def runs(self, record: Record) -> tuple[list[Run], int]:
        """The blocks of an inode in the order of its content, claimed, and how many blocks its map takes."""
        self._maps = 0
        if record.flags & EXTENTS and not self.sb.has("extent"):  # fs/ext2 takes them for numbers of blocks
            raise Refused(f"inode {record.number}", "extents, and no feature that says so", [record.where])
        seed = crc32c(self.sb.seed, struct.pack("<II", record.number, record.generation))
        pieces = self._tree(record, seed) if record.flags & EXTENTS else self._indirect(record)
        out: list[Run] = []
        end = 0
        for first, place, count in pieces:
            if first < end:
                raise Refused(f"inode {record.number}", "a block of it twice, or out of order", [record.where])
            end = first + count
            self.disk.claim(place, count)
            if out and out[-1][0] + out[-1][2] == first and out[-1][1] + out[-1][2] == place:
                out[-1] = (out[-1][0], out[-1][1], out[-1][2] + count)
            else:
                out.append((first, place, count))
        if end > -(-record.size // self.disk.block):
            raise Refused(f"inode {record.number}", "blocks behind its end", [record.where])
        return out, self._maps

    def _map(self, block: int) -> bytes:
        self.disk.claim(block)
        self._maps += 1
        return self.view.take(block * self.disk.block, self.disk.block)

    def _tree(self, record: Record, seed: int) -> Iterator[Run]:
        waiting: list[tuple[bytes, int, int, int]] = [(record.mapping, -1, 0, 0)]
        while waiting:
            data, above, first, block = waiting.pop()
            magic, count, most, depth, unused = struct.unpack_from("<HHHHI", data)
            room = (len(data) - 12) // 12
            where = [self.disk.where(block)] if block else [record.where]
            if (
                magic != 0xF30A
                or unused
                or most != room
                or count > most
                or (above >= 0 and depth != above - 1)
                or depth > _LEVELS
            ):
                raise Refused(f"inode {record.number}", "a node of its extents that is none", where)
            end = 12 + 12 * count
            tail = data[12 + 12 * most :] if block else b""
            if not count and (block or depth):
                raise Refused(f"inode {record.number}", "a node of its extents without any", where)
            if data[end : 12 + 12 * most].strip(b"\0") and not depth:
                raise Refused(f"inode {record.number}", "bytes behind its extents", where)
            self._check_tail(tail, data[: 12 + 12 * most], seed, where)
            if depth:
                nodes = [struct.unpack_from("<IIHH", data, at) for at in range(12, end, 12)]
                if any(unused for *_, unused in nodes) or (block and nodes[0][0] != first):
                    raise Refused(f"inode {record.number}", "an index that contradicts its extents", where)
                children = [(start, low | high << 32, self._map(low | high << 32)) for start, low, high, _ in nodes]
                if not _left_over(data[end : 12 + 12 * most], children[0][2][end:] if children else b""):
                    raise Refused(f"inode {record.number}", "bytes behind its extents", where)
                waiting += [(child, depth, start, place) for start, place, child in reversed(children)]
                continue
            for number, (start, length, high, low) in enumerate(struct.iter_unpack("<IHHI", data[12:end])):
                if not 0 < length <= 32768 or (block and not number and start != first):
                    raise Refused(f"inode {record.number}", "an extent that is not written, or empty", where)
                yield start, low | high << 32, length

    def _check_tail(self, tail: bytes, covered: bytes, seed: int, where: list[Range]) -> None:
        if self.sb.has("metadata_csum") and tail:
            if len(tail) < 4 or int.from_bytes(tail[:4], "little") != crc32c(seed, covered):
                raise Refused("extents", "a checksum is wrong", where)
            tail = tail[4:]
        if tail.strip(b"\0"):
            raise Refused("extents", "bytes behind them", where)

    def _indirect(self, record: Record) -> Iterator[Run]:
        pointers = struct.unpack("<15I", record.mapping)
        per = self.disk.block // 4
        yield from self._pieces(np.array(pointers[:12], np.int64), 0)
        first = 12
        for level, pointer in enumerate(pointers[12:], 1):
            yield from self._level(pointer, level, first)
            first += per**level

    def _level(self, pointer: int, level: int, first: int) -> Iterator[Run]:
        if not pointer:
            return
        entries = np.frombuffer(self._map(pointer), "<u4").astype(np.int64)
        if not entries.any():
            raise Refused("block map", "a block that maps nothing", [self.disk.where(pointer)])
        if level == 1:
            yield from self._pieces(entries, first)
            return
        span = len(entries) ** (level - 1)
        for index in np.flatnonzero(entries).tolist():
            yield from self._level(int(entries[index]), level - 1, first + index * span)

    @staticmethod
    def _pieces(entries: np.ndarray, first: int) -> Iterator[Run]:
        """Blocks that stand in a row, joined."""
        index = np.flatnonzero(entries)
        if not len(index):
            return
        places = entries[index]
        cuts = np.flatnonzero((np.diff(index) != 1) | (np.diff(places) != 1)) + 1
        for part in np.split(np.arange(len(index)), cuts):
            yield first + int(index[part[0]]), int(places[part[0]]), len(part)

    # Attributes

    def xattrs(self, record: Record) -> tuple[dict[bytes, bytes], int]:
        """Extended attributes, and how many blocks they take."""
        out: dict[bytes, bytes] = {}
        where = [record.where]
        if record.tail.startswith(_XATTR):
            out = _attributes(record.tail[4:], 0, where, hashed=False)
        elif record.tail.strip(b"\0"):
            raise Refused(f"inode {record.number}", "bytes behind its fields", where)
        if not record.acl:
            return out, 0
        found = self._block(record.acl)
        if set(found) & set(out):
            raise Refused(f"inode {record.number}", "an attribute twice", where)
        return {**out, **found}, 1

    def _block(self, block: int) -> dict[bytes, bytes]:
        self._users[block] = self._users.get(block, 0) + 1
        if block not in self._blocks:
            self.disk.claim(block)
            data = self.view.take(block * self.disk.block, self.disk.block)
            magic, users, blocks, total, check = struct.unpack_from("<4sIIII", data)
            where = [self.disk.where(block)]
            if magic != _XATTR or blocks != 1 or any(data[20:32]):
                raise Refused("attributes", "a block that holds none", where)
            if self.sb.has("metadata_csum"):
                whole = struct.pack("<Q", block) + data[:16] + bytes(4) + data[20:]
                if crc32c(self.sb.seed, whole) != check:
                    raise Refused("attributes", "a checksum is wrong", where)
            elif check:
                raise Refused("attributes", "reserved bytes that are not zero", where)
            found = _attributes(data, 32, where, hashed=True)
            hashes = 0
            for value in _hashes(data, 32):
                hashes = (hashes << 16 | hashes >> 16) & 0xFFFFFFFF ^ value if value else -1
                if hashes < 0:
                    hashes = 0
                    break
            if total not in (0, hashes) or not found:  # 0: not to be shared (fs/ext4/xattr.c), as libext2fs leaves it
                raise Refused("attributes", "a hash is wrong", where)
            self._blocks[block] = found, users
        return self._blocks[block][0]

    def finish(self) -> None:
        if any(users != self._users[block] for block, (_, users) in self._blocks.items()):
            raise Refused("attributes", "a block with another number of users than it states")


def _left_over(data: bytes, child: bytes) -> bool:
    """Whether the unused part of an index is empty or what it held when it was a leaf: the entries at the same places
    of its first child, of which one may have grown since (libext2fs, ext2fs_extent_node_split)."""
    for old, new in zip(*(struct.iter_unpack("<IHHI", d[: len(data)]) for d in (data, child)), strict=False):
        grown = (old[0], old[2], old[3]) == (new[0], new[2], new[3]) and 0 < old[1] <= new[1]
        if any(old) and not grown:
            return False
    return len(child) >= len(data)


def _hashes(data: bytes, at: int) -> Iterator[int]:
    while any(data[at : at + 4]):
        length = data[at]
        yield int.from_bytes(data[at + 12 : at + 16], "little")
        at += 16 + (length + 3 & ~3)


def _attributes(data: bytes, at: int, where: list[Range], *, hashed: bool) -> dict[bytes, bytes]:
    """Entries from ``at`` up to four zero bytes, and their values, which stand at offsets into ``data``; all else is
    zero. ``hashed``: of a block; the entries' hashes must be right, and Linux looks for one as in a list in order
    (``fs/ext4/xattr.c``, xattr_find_entry), so that another order is given as one more attribute."""
    out: dict[bytes, bytes] = {}
    keys: list[tuple[int, int, bytes]] = []
    spans: list[tuple[int, int]] = []
    start = at
    while at + 4 <= len(data) and any(data[at : at + 4]):
        if at + 16 > len(data):
            raise Refused("attributes", "an entry outside", where)
        length, index, offset, inode, size, stated = struct.unpack_from("<BBHIII", data, at)
        end = at + 16 + (length + 3 & ~3)
        raw = data[at + 16 : at + 16 + length]
        name = _PREFIXES.get(index, b"") + raw
        stop = offset + (size + 3 & ~3)
        # Linux finds access lists by their number and no name (fs/ext4/acl.c): one of the same name is another thing
        named = bool(raw) is (index not in _LISTS) and (index in _LISTS or not name.startswith(b"system.posix_acl"))
        out_of = end > len(data) or stop > len(data) or b"\0" in raw
        if index not in _PREFIXES or not named or inode or name in out or out_of:
            raise Refused("attributes", "an entry that is not decided, or twice", where)
        if (
            data[at + 16 + length : end].strip(b"\0")
            or data[offset + size : stop].strip(b"\0")
            or (offset and not size)
        ):
            raise Refused("attributes", "padding that is not zero", where)
        value = data[offset : offset + size]
        listed = access_list(value) if index in _LISTS else value
        if listed is None:
            raise Refused("attributes", "an access list that Linux does not take", where)
        if stated not in _hash(raw, value) and (hashed or stated):
            raise Refused("attributes", "a hash is wrong", where)
        out[name] = listed
        keys.append((index, length, raw))
        if size:
            spans.append((offset, stop))
        at = end
    spans.append((start, min(at + 4, len(data))))
    end = start
    for first, last in sorted(spans):
        if first < end or data[end:first].strip(b"\0"):
            raise Refused("attributes", "bytes that belong to none, or to two", where)
        end = last
    if data[end:].strip(b"\0"):
        raise Refused("attributes", "bytes that belong to none", where)
    if hashed and keys != sorted(keys):
        out[_ORDER] = b"\0".join(out)
    return out


def _hash(name: bytes, value: bytes) -> set[int]:
    """An entry's hash (``fs/ext4/xattr.c``, ext4_xattr_hash_entry), for signed and unsigned characters."""
    out = set()
    words = struct.unpack(f"<{(len(value) + 3) // 4}I", value.ljust(len(value) + 3 & ~3, b"\0"))
    for signed in (False, True):
        found = 0
        for byte in name:
            character = byte - 256 if signed and byte > 127 else byte
            found = (found << 5 ^ found >> 27 ^ character) & 0xFFFFFFFF
        for word in words:
            found = (found << 16 ^ found >> 16 ^ word) & 0xFFFFFFFF
        out.add(found)
    return out
