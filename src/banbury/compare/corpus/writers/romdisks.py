"""cramfs (Linux, include/uapi/linux/cramfs_fs.h) and romfs (Linux, Documentation/filesystems/romfs.rst)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from banbury.compare.corpus.trees import KIND_BITS, Node, Tree

_BLOCK = 4096


def _children(tree: Tree, folder: str) -> list[str]:
    return sorted(p for p in tree if p.rpartition("/")[0] == folder)


def _content(node: Node) -> bytes:
    return node.link.encode() if node.kind == "symlink" else node.data if node.kind == "file" else b""


def cramfs(
    tree: Tree,
    *,
    big: bool = False,
    level: int = 9,
    edition: int = 0,
    backwards: bool = False,
    pad: int = 4096,
    gap: bytes = b"",
    change: Callable[[bytearray], None] | None = None,
) -> bytes:
    """A cramfs image. ``gap``: bytes between listings and contents; ``change``: applied before the checksum."""
    order = ">" if big else "<"
    out = bytearray(76)
    places: dict[str, int] = {}

    def inode(node: Node, size: int, name: int, offset: int) -> bytes:
        mode = KIND_BITS[node.kind] | node.mode
        if big:
            return struct.pack(">III", mode << 16 | node.uid, size << 8 | node.gid, name << 26 | offset >> 2)
        return struct.pack("<III", mode | node.uid << 16, size | node.gid << 24, name | offset >> 2 << 6)

    folders = [""]
    for folder in folders:
        start = len(out)
        for path in _children(tree, folder):
            name = path.rpartition("/")[2].encode()
            name += bytes(-len(name) % 4)
            places[path] = len(out)
            out += bytes(12) + name
            if tree[path].kind == "dir":
                folders.append(path)
        root = Node(kind="dir", mode=0o755)
        size = len(out) - start
        at = places.get(folder, 64)
        name_size = 0 if not folder else -(-len(folder.rpartition("/")[2]) // 4)
        out[at : at + 12] = inode(tree.get(folder, root), size, name_size, start if size else 0)
    out += gap
    out += bytes(-len(out) % 4)
    blocks = 0
    for path in sorted(tree, reverse=backwards):
        node, data = tree[path], _content(tree[path])
        if node.kind == "dir":
            continue
        name_size = -(-len(path.rpartition("/")[2]) // 4)
        size = node.rdev[0] << 8 | node.rdev[1] if node.kind == "char" else len(data)
        out[places[path] : places[path] + 12] = inode(node, size, name_size, len(out) if data else 0)
        pieces = [zlib.compress(data[i : i + _BLOCK], level) for i in range(0, len(data), _BLOCK)]
        at = len(out) + 4 * len(pieces)
        for piece in pieces:
            at += len(piece)
            out += struct.pack(order + "I", at)
        out += b"".join(pieces)
        out += bytes(-len(out) % 4)
        blocks += len(pieces)
    out += bytes(-len(out) % pad)
    fields = (0x28CD3D45, len(out), 3, 0, b"Compressed ROMFS", 0, edition, blocks, len(tree) + 1, b"Compressed")
    out[:64] = struct.pack(order + "4I16sIIII16s", *fields)
    if change:
        change(out)
    out[32:36] = bytes(4)
    out[32:36] = struct.pack(order + "I", zlib.crc32(out))
    return bytes(out)


_SORTS = {"dir": 1, "file": 2, "symlink": 3, "char": 5}


def romfs(tree: Tree, *, align: int = 16, backwards: bool = False, gap: bytes = b"", name: bytes = b"rom") -> bytes:
    """A romfs image. ``gap``: bytes behind the first content; ``align``: of files' contents, in bytes."""
    out = bytearray(b"-rom1fs-" + bytes(8) + _padded(name))

    def header(sort: int, spec: int, data: bytes, leaf: bytes, *, ready: bool = False) -> int:
        if data and align > 16:
            out.extend(bytes(-(len(out) + 16 + len(_padded(leaf))) % align))
        at = len(out)
        out.extend(struct.pack(">IIII", sort, spec, len(data), 0) + _padded(leaf))
        out.extend(data + bytes(-len(data) % 16))
        return at

    def folder(path: str, above: int, own: int) -> list[int]:
        """The headers of a directory's entries, in a chain."""
        chain = [] if not path else [header(0, own, b"", b".")]
        chain.append(header(0, above, b"", b".."))
        for child in sorted(_children(tree, path), reverse=backwards):
            node = tree[child]
            sort = _SORTS[node.kind] | (8 if node.mode & 0o100 else 0)
            spec = node.rdev[0] << 16 | node.rdev[1] if node.kind == "char" else 0
            at = header(sort, spec, _content(node), child.rpartition("/")[2].encode())
            if gap and node.data and gap not in out:
                out.extend(gap + bytes(-len(gap) % 16))
            chain.append(at)
            if node.kind == "dir":
                first = folder(child, own, at)
                struct.pack_into(">I", out, at + 4, first[0])
        for one, other in zip(chain, [*chain[1:], 0], strict=True):
            (word,) = struct.unpack_from(">I", out, one)
            struct.pack_into(">I", out, one, other | word)
        return chain

    root = header(9, 0, b"", b".")
    struct.pack_into(">I", out, root + 4, root)
    chain = folder("", root, root)
    struct.pack_into(">I", out, root, chain[0] | 9)
    headers = [root, *_headers(out, chain[0])]
    for at in headers:
        end = at + 16 + len(_padded(bytes(out[at + 16 :]).split(b"\0")[0]))
        struct.pack_into(">I", out, at + 12, 0)
        struct.pack_into(">I", out, at + 12, -_sum(out[at:end]) & 0xFFFFFFFF)
    out.extend(bytes(-len(out) % 1024))
    struct.pack_into(">I", out, 8, len(out))
    struct.pack_into(">I", out, 12, -_sum(out[:512]) & 0xFFFFFFFF)
    return bytes(out)


def _headers(out: bytearray, at: int) -> list[int]:
    found = []
    while at:
        word, spec = struct.unpack_from(">II", out, at)
        found.append(at)
        if word & 7 == 1:
            found += _headers(out, spec)
        at = word & ~15
    return found


def _sum(raw: bytes | bytearray) -> int:
    words: tuple[int, ...] = struct.unpack(f">{len(raw) // 4}I", raw)
    return sum(words) & 0xFFFFFFFF


def _padded(name: bytes) -> bytes:
    return name + bytes(16 - len(name) % 16)
