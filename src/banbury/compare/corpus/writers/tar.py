"""tar archives, ustar with pax records where needed (POSIX.1-2017, pax, "ustar Interchange Format")."""

from __future__ import annotations

from collections.abc import Sequence

from banbury.compare.corpus.trees import Node, Tree

_TYPES = {"file": b"0", "dir": b"5", "symlink": b"2", "char": b"3"}


def header(
    name: str,
    node: Node,
    *,
    kind: bytes = b"",
    size: int | None = None,
    owner: str = "root",
    magic: bytes = b"ustar\x0000",
) -> bytes:
    """One header block with its checksum."""
    length = len(node.data) if size is None else size
    raw = bytearray(512)
    raw[: len(name.encode())] = name.encode()
    for at, value, digits in (
        (100, node.mode, 7),
        (108, node.uid, 7),
        (116, node.gid, 7),
        (124, length, 11),
        (136, node.mtime, 11),
    ):
        raw[at : at + digits] = f"{value:0{digits}o}".encode()
    raw[148:156] = b" " * 8
    raw[156:157] = kind or _TYPES[node.kind]
    raw[157 : 157 + len(node.link)] = node.link.encode()
    raw[257:265] = magic
    raw[265 : 265 + len(owner)] = owner.encode()
    raw[297 : 297 + len(owner)] = owner.encode()
    if node.kind == "char":
        for at, value in zip((329, 337), node.rdev, strict=True):
            raw[at : at + 7] = f"{value:07o}".encode()
    raw[148:156] = f"{sum(raw):06o}\0 ".encode()
    return bytes(raw)


def record(key: str, value: bytes) -> bytes:
    """One pax record, which states its own length."""
    rest = b" " + key.encode() + b"=" + value + b"\n"
    size = len(rest) + 1
    while len(str(size)) + len(rest) != size:
        size = len(str(size)) + len(rest)
    return str(size).encode() + rest


def member(name: str, node: Node, *, owner: str = "root", pax: Sequence[bytes] = ()) -> bytes:
    """A header, with pax records before it, and its content."""
    records = [*pax, *(record(f"SCHILY.xattr.{key}", value) for key, value in node.xattrs.items())]
    out = b""
    if records:
        body = b"".join(records)
        out = header(f"PaxHeaders/{name}"[:99], Node(data=body, mtime=node.mtime), kind=b"x", owner=owner) + _padded(
            body
        )
    shown = name + "/" if node.kind == "dir" else name
    return out + header(shown, node, owner=owner) + _padded(node.data if node.kind == "file" else b"")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


END = bytes(1024)


def write(
    tree: Tree, *, owner: str = "root", blocking: int = 20, prefix: str = "", tail: bytes = b"", hidden: bytes = b""
) -> bytes:
    """An archive of the tree. ``hidden`` is put behind the two blocks of zeros that end it, ``tail`` behind all."""
    out = b"".join(member(prefix + path, node, owner=owner) for path, node in tree.items()) + END + hidden
    return out + bytes(-len(out) % (512 * blocking)) + tail
