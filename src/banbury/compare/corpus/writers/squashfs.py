"""SquashFS 4.0 images, little-endian (Linux, fs/squashfs/squashfs_fs.h)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from banbury.compare.corpus.trees import Node, Tree

_BASIC = {"dir": 1, "file": 2, "symlink": 3, "char": 5}
_NONE = 0xFFFFFFFF
_UNUSED = (1 << 64) - 1


def write(
    tree: Tree,
    *,
    made: int = 1_600_000_000,
    log: int = 17,
    level: int = 9,
    fragments: bool = True,
    pad: int = 4096,
    fill: bytes = b"\0",
    tail: bytes = b"",
    unreferenced: bytes = b"",
    backwards: bool = False,
    plain: bool = False,
) -> bytes:
    """An image of the tree, compressed with zlib. ``unreferenced`` is put as one more block before the tables; ``fill``
    pads the end, ``tail`` stands behind it; ``backwards`` stores the contents in the opposite order."""
    image = _Image(made, log, level, fragments, backwards, plain)
    return image.build(tree, unreferenced, pad, fill) + tail


class _Meta:
    """A metadata table: blocks of 8 KiB, each with its length before it."""

    def __init__(self, pack: Callable[[bytes], bytes]) -> None:
        self._pack, self._out, self._open = pack, bytearray(), bytearray()

    def add(self, raw: bytes) -> tuple[int, int]:
        """Append; returns the block's offset in the table and the offset within the block."""
        at = len(self._out), len(self._open)
        self._open += raw
        while len(self._open) >= 8192:
            self._out += self._block(bytes(self._open[:8192]))
            del self._open[:8192]
        return at

    def _block(self, raw: bytes) -> bytes:
        packed = self._pack(raw)
        if len(packed) < len(raw):
            return struct.pack("<H", len(packed)) + packed
        return struct.pack("<H", len(raw) | 0x8000) + raw

    def done(self) -> bytes:
        if self._open:
            self._out += self._block(bytes(self._open))
            self._open = bytearray()
        return bytes(self._out)


class _Image:
    def __init__(self, made: int, log: int, level: int, fragments: bool, backwards: bool, plain: bool) -> None:
        self.made, self.log, self.level, self.fragments = made, log, level, fragments
        self.backwards = backwards
        self.body = bytearray(96)
        pack: Callable[[bytes], bytes] = bytes if plain else self._pack
        self.inodes, self.dirs = _Meta(pack), _Meta(pack)
        self.pack = pack
        self.ids: list[int] = []
        self.xattrs: list[tuple[int, int, int]] = []
        self.pairs = _Meta(pack)
        self.tails: list[tuple[int, int]] = []
        self.places: dict[str, tuple[int, list[int], int, int]] = {}

    def _pack(self, raw: bytes) -> bytes:
        return zlib.compress(raw, self.level)

    def _stored(self, raw: bytes) -> int:
        """Write a data block; returns its size word."""
        packed = self.pack(raw)
        small = len(packed) < len(raw)
        self.body += packed if small else raw
        return len(packed) if small else len(raw) | 1 << 24

    def _contents(self, tree: Tree) -> None:
        size, pending = 1 << self.log, bytearray()
        files = [(path, node) for path, node in tree.items() if node.kind == "file"]
        for path, node in files[::-1] if self.backwards else files:
            start, words = len(self.body), []
            whole = len(node.data) // size * size if self.fragments else len(node.data)
            words = [self._stored(node.data[at : min(at + size, whole)]) for at in range(0, whole, size)]
            rest = node.data[whole:]
            if len(pending) + len(rest) > size:
                self._flush(pending)
            self.places[path] = (
                start if words else 0,
                words,
                len(self.tails) if rest else _NONE,
                len(pending) if rest else 0,
            )
            pending += rest
        self._flush(pending)

    def _flush(self, pending: bytearray) -> None:
        if pending:
            start = len(self.body)
            self.tails.append((start, self._stored(bytes(pending))))
            pending.clear()

    def build(self, tree: Tree, unreferenced: bytes, pad: int, fill: bytes) -> bytes:
        self._contents(tree)
        if unreferenced:
            self._stored(unreferenced)
        root = Node(kind="dir", mode=0o755)
        names = {"": root, **tree}
        self.numbers = {path: i for i, path in enumerate([*list(tree), ""], 1)}
        self.refs: dict[str, tuple[int, int]] = {}
        for path in sorted(names, key=lambda p: (-p.count("/") if p else 1, p)):
            self._inode(path, names[path], names)
        return self._finish(len(names), pad, fill)

    def _id(self, number: int) -> int:
        if number not in self.ids:
            self.ids.append(number)
        return self.ids.index(number)

    def _inode(self, path: str, node: Node, names: Tree) -> None:
        extended = bool(node.xattrs)
        kind = _BASIC[node.kind] + (7 if extended else 0)
        head = struct.pack(
            "<HHHHII", kind, node.mode, self._id(node.uid), self._id(node.gid), node.mtime, self.numbers[path]
        )
        if node.kind == "dir":
            rest = self._directory(path, names)
        elif node.kind == "file":
            start, words, fragment, offset = self.places[path]
            if extended:
                rest = struct.pack("<QQQIIII", start, len(node.data), 0, 1, fragment, offset, self._attributes(node))
            else:
                rest = struct.pack("<IIII", start, fragment, offset, len(node.data))
            rest += struct.pack(f"<{len(words)}I", *words)
        elif node.kind == "symlink":
            rest = struct.pack("<II", 1, len(node.link)) + node.link.encode()
        else:
            rest = struct.pack("<II", 1, node.rdev[0] << 8 | node.rdev[1])
        self.refs[path] = self.inodes.add(head + rest)

    def _attributes(self, node: Node) -> int:
        """Only the ``security.`` prefix (2) is used here."""
        raw = b""
        for key, value in node.xattrs.items():
            name = key.removeprefix("security.").encode()
            raw += struct.pack("<HH", 2, len(name)) + name + struct.pack("<I", len(value)) + value
        block, offset = self.pairs.add(raw)
        self.xattrs.append((block << 16 | offset, len(node.xattrs), len(raw)))
        return len(self.xattrs) - 1

    def _directory(self, path: str, names: Tree) -> bytes:
        above = path + "/" if path else ""
        children = sorted(p for p in names if p and p.rpartition("/")[0] == path)
        raw, group = b"", []
        runs: list[list[str]] = []
        for child in children:
            if not runs or self.refs[runs[-1][0]][0] != self.refs[child][0]:
                runs.append([])
            runs[-1].append(child)
        for group in runs:
            number = self.numbers[group[0]]
            raw += struct.pack("<III", len(group) - 1, self.refs[group[0]][0], number)
            for child in group:
                name = child[len(above) :].encode()
                delta = self.numbers[child] - number
                raw += struct.pack("<HhHH", self.refs[child][1], delta, _BASIC[names[child].kind], len(name) - 1) + name
        block, offset = self.dirs.add(raw)
        parent = len(self.numbers) + 1 if not path else self.numbers[path.rpartition("/")[0]]
        links = 2 + sum(names[c].kind == "dir" for c in children)
        return struct.pack("<IIHHI", block, links, len(raw) + 3, offset, parent)

    def _table(self, raw: bytes) -> int:
        """A table in metadata blocks with an index of 64-bit offsets; returns where the index is."""
        places = []
        for at in range(0, len(raw), 8192):
            places.append(len(self.body))
            meta = _Meta(self.pack)
            meta.add(raw[at : at + 8192])
            self.body += meta.done()
        start = len(self.body)
        self.body += struct.pack(f"<{len(places)}Q", *places)
        return start

    def _finish(self, count: int, pad: int, fill: bytes) -> bytes:
        root = self.refs[""]
        inode = len(self.body)
        self.body += self.inodes.done()
        directory = len(self.body)
        self.body += self.dirs.done()
        fragment = (
            self._table(b"".join(struct.pack("<QII", *tail, 0) for tail in self.tails)) if self.tails else _UNUSED
        )
        ids = self._table(struct.pack(f"<{len(self.ids)}I", *self.ids))
        xattr = self._xattr_table() if self.xattrs else _UNUSED
        used = len(self.body)
        flags = 0x0010 if not self.fragments else 0
        flags |= 0 if self.xattrs else 0x0200
        self.body[:96] = struct.pack(
            "<4s4I6H8Q",
            b"hsqs",
            count,
            self.made,
            1 << self.log,
            len(self.tails),
            1,
            self.log,
            flags,
            len(self.ids),
            4,
            0,
            root[0] << 16 | root[1],
            used,
            ids,
            xattr,
            inode,
            directory,
            fragment,
            _UNUSED,
        )
        room = -used % pad
        return bytes(self.body) + (fill * room)[:room]

    def _xattr_table(self) -> int:
        start = len(self.body)
        self.body += self.pairs.done()
        raw = b"".join(struct.pack("<QII", *row) for row in self.xattrs)
        place = len(self.body)
        meta = _Meta(self.pack)
        meta.add(raw)
        self.body += meta.done()
        at = len(self.body)
        self.body += struct.pack("<QIIQ", start, len(self.xattrs), 0, place)
        return at
