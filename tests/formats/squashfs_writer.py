"""Makes small SquashFS images of any version, in either byte order, well-formed or bent for tests.

Written from the layouts in squashfs-tools' ``squashfs_fs.h`` and ``squashfs_compat.h``, apart from the reader.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

TYPES = {"dir": 1, "file": 2, "symlink": 3, "block": 4, "char": 5, "fifo": 6, "socket": 7}
MTIME = 1_234_567_890


@dataclass
class Node:
    """A member of the tree. ``bend`` replaces fields of its inode; ``same`` makes it another name of that node."""

    kind: str = "file"
    data: bytes = b""
    children: list[tuple[bytes, Node]] = field(default_factory=list)
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    rdev: int = 0
    large: bool = False
    same: Node | None = None
    bend: dict[str, int] = field(default_factory=dict)
    number: int = 0


def tree(**names: Node | bytes) -> Node:
    """A directory of these names, in the order that readers from 2.1 on expect."""
    nodes = {k.encode(): v if isinstance(v, Node) else Node(data=v) for k, v in names.items()}
    return Node("dir", children=sorted(nodes.items()))


class _Meta:
    """Metadata blocks; ``tell`` is the place of what is written next."""

    def __init__(self, image: Squash) -> None:
        self.image, self.out, self.pending = image, b"", b""

    def tell(self) -> tuple[int, int]:
        return len(self.out), len(self.pending)

    def write(self, data: bytes) -> None:
        self.pending += data
        while len(self.pending) >= 8192:
            self.out += self.image.meta(self.pending[:8192])
            self.pending = self.pending[8192:]

    def done(self) -> bytes:
        if self.pending:
            self.out += self.image.meta(self.pending)
            self.pending = b""
        return self.out


class Squash:
    """One image. ``pack`` compresses a block; ``check`` adds the marker byte that 1.x to 3.x may have."""

    def __init__(
        self,
        root: Node,
        version: int = 4,
        *,
        big: bool = False,
        magic: bytes = b"",
        minor: int = 0,
        pack: Callable[[bytes], bytes] = zlib.compress,
        compressor: int = 1,
        log: int = 12,
        check: bool = False,
        fragments: bool = True,
        plain_meta: bool = False,
        short_little: bool = False,
        bend: dict[str, int] | None = None,
    ) -> None:
        self.root, self.version, self.big, self.minor = root, version, big, minor
        self.magic = magic or (b"sqsh" if big else b"hsqs")
        self.pack, self.compressor, self.log, self.check = pack, compressor, log, check
        self.plain_meta, self.short_little, self.bend = plain_meta, short_little, bend or {}
        self.fragments = fragments and version > 1
        self.refs: dict[int, tuple[int, int]] = {}
        self.order = ">" if big else "<"

    def p(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.order + layout, *values)

    def bits(self, *fields: tuple[int, int]) -> bytes:
        """(value, width) pairs packed as compilers of either byte order lay bit fields out."""
        total = sum(width for _, width in fields)
        value = shift = 0
        for number, width in fields:
            assert 0 <= number < 1 << width
            value |= number << (total - shift - width if self.big else shift)
            shift += width
        return value.to_bytes(total // 8, "big" if self.big else "little")

    def meta(self, data: bytes) -> bytes:
        packed = data if self.plain_meta else self.pack(data)
        word = len(packed)
        if self.plain_meta or len(packed) >= len(data):
            packed, word = data, len(data) | 0x8000
        order = "<" if self.short_little else self.order
        return struct.pack(order + "H", word) + (b"\xff" if self.check else b"") + packed

    def block(self, data: bytes) -> tuple[bytes, int]:
        packed = self.pack(data)
        plain = 1 << 15 if self.version == 1 else 1 << 24
        return (packed, len(packed)) if len(packed) < len(data) else (data, len(data) | plain)

    def build(self) -> bytes:
        self._once()  # finds where inodes stand, for names that point backwards
        return self._once()

    def _once(self) -> bytes:
        head = {1: 51, 2: 63, 3: 119, 4: 96}[self.version]
        self.body = bytearray(head)
        self.inodes, self.dirs = _Meta(self), _Meta(self)
        self.tails: list[tuple[int, int]] = []
        self.tail = b""
        self.count = 0
        self.uids: list[int] = []
        self.gids: list[int] = []
        self._number(self.root)
        root = self._node(self.root)
        self._flush_tail()
        return self._assemble(head, root)

    def _number(self, node: Node) -> None:
        for _, child in node.children:
            if child.same is None:
                self._number(child)
        self.count += 1
        node.number = self.count

    def _owner(self, node: Node) -> tuple[int, int]:
        uid, gid = node.owner
        for table, number in ((self.uids, uid), (self.uids if self.version == 4 else self.gids, gid)):
            if number not in table and (self.version == 4 or table is self.uids or gid != uid):
                table.append(number)
        if self.version == 4:
            return self.uids.index(uid), self.uids.index(gid)
        same = 15 if self.version == 1 else 255
        return self.uids.index(uid), same if uid == gid else self.gids.index(gid)

    def _node(self, node: Node) -> tuple[int, int]:
        if node.kind == "dir":
            for _, child in node.children:
                if child.same is None:
                    self.refs[id(child)] = self._node(child)
            listing = self._listing(node)
            rest = {"start": self.dirs.tell()[0], "offset": self.dirs.tell()[1], "size": len(listing)}
            if self.version > 2:
                rest["size"] += 3
            self.dirs.write(listing)
        elif node.kind == "file":
            rest = self._content(node)
        else:
            rest = {}
        at = self.inodes.tell()
        self.inodes.write(self._inode(node, {**rest, **node.bend}))
        self.refs[id(node)] = at
        return at

    def _content(self, node: Node) -> dict[str, int]:
        size = 1 << self.log
        start, words = len(self.body), []
        whole = len(node.data) if not self.fragments else len(node.data) // size * size
        for at in range(0, whole, size):
            piece = node.data[at : min(at + size, whole)]
            if not piece.strip(b"\0") and self.version > 1:
                words.append(0)
                continue
            data, word = self.block(piece)
            self.body += data
            words.append(word)
        rest = {"start": start, "size": len(node.data), "fragment": 0xFFFFFFFF, "offset": 0}
        tail = node.data[whole:]
        if tail:
            if len(self.tail) + len(tail) > size:
                self._flush_tail()
            rest |= {"fragment": len(self.tails), "offset": len(self.tail)}
            self.tail += tail
        self.words = words
        return rest

    def _flush_tail(self) -> None:
        if self.tail:
            data, word = self.block(self.tail)
            self.tails.append((len(self.body), word))
            self.body += data
            self.tail = b""

    def _listing(self, node: Node) -> bytes:
        out = b""
        for raw, child in node.children:
            target = child.same or child
            block, offset = self.refs.get(id(target), (0, 0))
            kind = child.bend.get("listed", TYPES[target.kind])
            number = target.number
            if self.version == 4:
                out += self.p("III", 0, block, number) + self.p("HhHH", offset, 0, kind, len(raw) - 1)
            elif self.version == 3:
                out += self.bits((0, 8), (block, 32), (number - 1, 32))
                out += self.bits((offset, 13), (kind, 3), (len(raw) - 1, 8), (1, 16))
            else:
                out += self.bits((0, 8), (block, 24)) + self.bits((offset, 13), (kind, 3), (len(raw) - 1, 8))
            out += raw
        return out

    def _inode(self, node: Node, f: dict[str, int]) -> bytes:
        maker = (self._inode4, self._inode1, self._inode2, self._inode3)[self.version % 4]
        return maker(node, f, *self._owner(node))

    def _inode4(self, node: Node, f: dict[str, int], uid: int, gid: int) -> bytes:
        kind = TYPES[node.kind] + (7 if node.large else 0)
        number = f.get("number", node.number)
        out = self.p("HHHHII", f.get("type", kind), node.mode, f.get("uid", uid), gid, MTIME, number)
        none = 0xFFFFFFFF
        if node.kind == "file":
            words = self.p(f"{len(self.words)}I", *self.words)
            if node.large:
                return out + self.p("QQQIIII", f["start"], f["size"], 0, 1, f["fragment"], f["offset"], none) + words
            return out + self.p("IIII", f["start"], f["fragment"], f["offset"], f["size"]) + words
        if node.kind == "dir":
            if node.large:
                return out + self.p("IIIIHHI", 2, f["size"], f["start"], 0, 0, f["offset"], none)
            return out + self.p("IIHHI", f["start"], 2, f["size"], f["offset"], 0)
        if node.kind == "symlink":
            out += self.p("II", 1, f.get("length", len(node.data))) + node.data
        elif node.kind in ("block", "char"):
            out += self.p("II", 1, node.rdev)
        else:
            out += self.p("I", 1)
        return out + (self.p("I", none) if node.large else b"")

    def _inode3(self, node: Node, f: dict[str, int], uid: int, gid: int) -> bytes:
        kind = {"dir": 8, "file": 9}[node.kind] if node.large else TYPES[node.kind]
        base = ((kind, 4), (node.mode, 12), (uid, 8), (gid, 8), (MTIME, 32), (node.number, 32))
        if node.kind == "file":
            words = self.p(f"{len(self.words)}I", *self.words)
            place = ((f["start"], 64), (f["fragment"], 32), (f["offset"], 32))
            if node.large:
                return self.bits(*base, (1, 32), *place, (f["size"], 64)) + words
            return self.bits(*base, *place, (f["size"], 32)) + words
        if node.kind == "dir":
            wide = 27 if node.large else 19
            count = ((0, 16),) if node.large else ()
            return self.bits(*base, (2, 32), (f["size"], wide), (f["offset"], 13), (f["start"], 32), *count, (0, 32))
        return self.bits(*base, (1, 32)) + self._small(node)

    def _small(self, node: Node) -> bytes:
        if node.kind == "symlink":
            return self.p("H", len(node.data)) + node.data
        return self.p("H", node.rdev) if node.kind in ("block", "char") else b""

    def _inode2(self, node: Node, f: dict[str, int], uid: int, gid: int) -> bytes:
        kind = 8 if node.large else TYPES[node.kind]
        base = ((kind, 4), (node.mode, 12), (uid, 8), (gid, 8))
        if node.kind == "file":
            rest = ((MTIME, 32), (f["start"], 32), (f["fragment"], 32), (f["offset"], 32), (f["size"], 32))
            return self.bits(*base, *rest) + self.p(f"{len(self.words)}I", *self.words)
        if node.kind == "dir":
            count = ((0, 16),) if node.large else ()
            wide = 27 if node.large else 19
            return self.bits(*base, (f["size"], wide), (f["offset"], 13), (MTIME, 32), (f["start"], 24), *count)
        return self.bits(*base) + self._small(node)

    def _inode1(self, node: Node, f: dict[str, int], uid: int, gid: int) -> bytes:
        group, low = divmod(uid, 16)
        if node.kind in ("fifo", "socket"):
            return self.bits((0, 4), (node.mode, 12), (low, 4), (gid, 4), (TYPES[node.kind], 4), (group, 4))
        base = ((TYPES[node.kind] + group * 5, 4), (node.mode, 12), (low, 4), (gid, 4))
        if node.kind == "file":
            words = self.p(f"{len(self.words)}H", *self.words)
            return self.bits(*base, (MTIME, 32), (f["start"], 32), (f["size"], 32)) + words
        if node.kind == "dir":
            return self.bits(*base, (f["size"], 19), (f["offset"], 13), (MTIME, 32), (f["start"], 24))
        return self.bits(*base) + self._small(node)

    def _index(self, data: bytes, wide: bool) -> int:
        places = []
        for at in range(0, len(data), 8192):
            places.append(len(self.body))
            self.body += self.meta(data[at : at + 8192])
        start = len(self.body)
        self.body += self.p(f"{len(places)}{'Q' if wide else 'I'}", *places)
        return start

    def _assemble(self, head: int, root: tuple[int, int]) -> bytes:
        f = {"inode": len(self.body)}
        self.body += self.inodes.done()
        f["dir"] = len(self.body)
        self.body += self.dirs.done()
        none = (1 << 64) - 1
        f |= {"fragment": len(self.body), "export": none, "uid": 0, "gid": 0, "id": none}
        if self.tails:
            layout = {2: "II", 3: "QII", 4: "QII"}[self.version]
            extra = () if self.version == 2 else (0,)
            table = b"".join(self.p(layout, *tail, *extra) for tail in self.tails)
            f["fragment"] = self._index(table, self.version > 2)
        if self.version == 4:
            f["id"] = self._index(self.p(f"{len(self.uids)}I", *self.uids), True)
        else:
            f["uid"] = len(self.body)
            self.body += self.p(f"{len(self.uids)}I", *self.uids)
            f["gid"] = len(self.body) if self.gids else 0
            self.body += self.p(f"{len(self.gids)}I", *self.gids)
        f |= {"used": len(self.body), "inodes": self.count, "root": root[0] << 16 | root[1], "xattr": none}
        f |= {"fragments": len(self.tails), "ids": len(self.uids)}
        self.body[:head] = self._super({**f, **self.bend})
        return bytes(self.body)

    def _super(self, f: dict[str, int]) -> bytes:
        size, flags = 1 << self.log, (4 if self.check else 0) | f.get("flags", 0)
        if self.version == 4:
            numbers = (f["inodes"], MTIME, size, f["fragments"], self.compressor, self.log, flags, f["ids"], 4, 0)
            places = (f["root"], f["used"], f["id"], f["xattr"], f["inode"], f["dir"], f["fragment"], f["export"])
            return self.magic + self.p("4I6H8Q", *numbers, *places)
        old = self.version < 3
        places = (f["used"], f["uid"], f["gid"], f["inode"], f["dir"])
        out = self.magic + self.p("6I", f["inodes"], *(places if old else (0,) * 5))
        out += self.p("HHHH", self.version, self.minor, size if self.version == 1 else 0, self.log)
        out += self.p("BBBIQ", flags, len(self.uids), len(self.gids), MTIME, f["root"])
        if self.version > 1:
            out += self.p("III", size, f["fragments"], f["fragment"] if old else 0)
        if not old:
            out += self.p("7Q", *places, f["fragment"], f["export"])
        return out
