"""cpio archives of the "newc" form (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)."""

from __future__ import annotations

from banbury.compare.corpus.trees import KIND_BITS, Node, Tree


def member(name: str, node: Node, inode: int, *, check: int | None = None, mode: int | None = None) -> bytes:
    """One record; with ``check`` of the form with checksums."""
    data = node.link.encode() if node.kind == "symlink" else node.data
    bits = KIND_BITS[node.kind] | node.mode if mode is None else mode
    links = 2 if node.kind == "dir" else 1
    values = (
        inode,
        bits,
        node.uid,
        node.gid,
        links,
        node.mtime,
        len(data),
        0,
        0,
        *node.rdev,
        len(name) + 1,
        check or 0,
    )
    out = (b"070701" if check is None else b"070702") + b"".join(b"%08X" % v for v in values) + name.encode() + b"\0"
    out += bytes(-len(out) % 4) + data
    return out + bytes(-len(out) % 4)


def write(
    tree: Tree, *, first: int = 1, step: int = 1, tail: bytes = b"", trailer: str = "TRAILER!!!", block: int = 512
) -> bytes:
    """An archive of the tree; inodes are ``first``, ``first`` + ``step``, …"""
    out = b"".join(member(path, node, first + i * step) for i, (path, node) in enumerate(tree.items()))
    out += member(trailer, Node(mtime=0), 0, mode=0)
    return out + bytes(-len(out) % block) + tail
