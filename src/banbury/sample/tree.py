"""A file tree in memory: what packages, the overlay and the planted weaknesses are merged into.

Nothing is unpacked to a disk, so an unprivileged user can give files any owner, mode, device number and extended
attribute: the tree goes to ``sqfstar`` as a tar stream (POSIX.1-2001 pax format; extended attributes in
``SCHILY.xattr.*`` records, as in star(1) and tar(5)).
"""

from __future__ import annotations

import io
import tarfile
from enum import StrEnum
from typing import IO

from msgspec import Struct

from banbury.model.errors import BanburyError


class NodeKind(StrEnum):
    """What stands at a path."""

    FILE = "file"
    DIR = "dir"
    SYMLINK = "symlink"
    CHAR = "char"


class TreeNode(Struct, frozen=True, kw_only=True):
    """One path: ``mode`` is the permission bits (07777), ``link`` a link's target, ``rdev`` major and minor."""

    kind: NodeKind
    data: bytes = b""
    mode: int = 0o644
    link: str = ""
    rdev: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = {}


#: Paths without a leading slash to what stands there.
Tree = dict[str, TreeNode]

_TAR_TYPES = {
    NodeKind.FILE: tarfile.REGTYPE,
    NodeKind.DIR: tarfile.DIRTYPE,
    NodeKind.SYMLINK: tarfile.SYMTYPE,
    NodeKind.CHAR: tarfile.CHRTYPE,
}


def file(data: bytes, mode: int = 0o644) -> TreeNode:
    """A regular file."""
    return TreeNode(kind=NodeKind.FILE, data=data, mode=mode)


def link(target: str) -> TreeNode:
    """A symbolic link."""
    return TreeNode(kind=NodeKind.SYMLINK, link=target, mode=0o777)


def folder(mode: int = 0o755) -> TreeNode:
    """A directory."""
    return TreeNode(kind=NodeKind.DIR, mode=mode)


def device(major: int, minor: int, mode: int = 0o600) -> TreeNode:
    """A character device."""
    return TreeNode(kind=NodeKind.CHAR, rdev=(major, minor), mode=mode)


def from_tar(stream: bytes) -> Tree:
    """The tree of a package's tar stream; hard links become copies. The packages are verified by apt beforehand."""
    tree: Tree = {}
    with tarfile.open(fileobj=io.BytesIO(stream), mode="r:") as archive:
        for member in archive:
            path = member.name.removeprefix("./").strip("/")
            if not path or path == ".":
                continue
            if member.isdir():
                tree[path] = folder(member.mode & 0o7777)
            elif member.issym():
                tree[path] = link(member.linkname)
            elif member.islnk():
                tree[path] = tree[member.linkname.removeprefix("./").strip("/")]
            elif member.isreg():
                content = archive.extractfile(member)
                tree[path] = file(content.read() if content else b"", member.mode & 0o7777)
    return tree


def with_parents(tree: Tree) -> Tree:
    """The same tree in path order, with every missing parent directory added. A path below a link moves to where
    the link leads (``lib/x`` to ``usr/lib/x`` where ``lib`` is a link), as dpkg would place it."""
    moved = {_through_links(tree, path): node for path, node in tree.items()}
    for path in list(moved):
        above = path.rpartition("/")[0]
        while above and above not in moved:
            moved[above] = folder()
            above = above.rpartition("/")[0]
    return dict(sorted(moved.items()))


def _through_links(tree: Tree, path: str) -> str:
    first, slash, rest = path.partition("/")
    node = tree.get(first)
    if slash and node is not None and node.kind is NodeKind.SYMLINK:
        return f"{node.link.strip('/')}/{rest}"
    return path


def to_tar(tree: Tree, out: IO[bytes]) -> None:
    """Write the tree as a tar stream: everything owned by root, every time 0."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path, node in with_parents(tree).items():
            info = tarfile.TarInfo(path)
            info.type = _TAR_TYPES[node.kind]
            info.mode, info.size, info.linkname = node.mode, len(node.data), node.link
            info.devmajor, info.devminor = node.rdev
            info.pax_headers = {f"SCHILY.xattr.{name}": _pax(value) for name, value in node.xattrs.items()}
            archive.addfile(info, io.BytesIO(node.data))


def _pax(value: bytes) -> str:
    if not value.isascii():  # tarfile encodes records as UTF-8: other bytes would not arrive as they are
        raise BanburyError("an extended attribute of the sample holds bytes above 127")
    return value.decode("ascii")
