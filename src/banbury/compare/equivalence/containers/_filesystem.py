"""What file systems have in common: inodes that names lead to, and bytes that each belong to something once.

:func:`grow` walks from the root to a tree of members; inodes that no name leads to, directories with two names, and
link counts that are not the number of names are refused. :class:`Spans` keeps the books of bytes.
"""

from __future__ import annotations

import hashlib
import stat
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import Free, Place, Work
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.tree import Node, Tree
from banbury.formats.contract import clean_name
from banbury.formats.view import View

KINDS: Final = {
    stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symbolic link", stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket",
}  # fmt: skip
#: Type numbers of directory entries (Linux, include/linux/fs_types.h, DT_*).
ENTRY_TYPES: Final = {
    "fifo": 1, "character device": 2, "directory": 4, "block device": 6, "file": 8, "symbolic link": 10, "socket": 12,
}  # fmt: skip
#: The same as ext and UBIFS number them (FT_*).
FILE_TYPES: Final = {
    "file": 1, "directory": 2, "character device": 3, "block device": 4, "fifo": 5, "socket": 6, "symbolic link": 7,
}  # fmt: skip
#: Entries of access lists (include/uapi/linux/posix_acl.h), and those of them that name an owner or a group.
_TAGS: Final = (1, 2, 4, 8, 0x10, 0x20)
_NAMING: Final = (2, 8)
_SHOWN: Final = 1024  # bytes of the names of one inode
_HOLES: Final = 64 << 20  # bytes of holes that any image may have, and more for larger images


class Inode(Struct, kw_only=True):
    """One inode. ``links``: the count that it states, -1 where the format has none; ``target``: a link's; ``time``: of
    the last change, in nanoseconds since 1970."""

    number: int
    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    links: int = -1
    size: int = 0
    target: bytes = b""
    device: tuple[int, int] | None = None
    xattrs: dict[bytes, bytes] = {}
    attributes: dict[str, object] = {}
    free: tuple[Free, ...] = ()
    place: Place | None = None
    time: object = None


def kind_of(mode: int, where: str) -> str:
    """The type that a mode states; refused where it is none, or has more bits than a mode has."""
    kind = KINDS.get(stat.S_IFMT(mode))
    if kind is None or mode >> 16:
        raise Refused(where, f"mode {mode:#o} is of no known type")
    return kind


def device_of(number: int) -> tuple[int, int]:
    """Major and minor of a device number in the kernel's 32-bit form (``include/linux/kdev_t.h``, new_decode_dev)."""
    return number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00


def grow(
    root: Inode, inodes: int, entries: Callable[[Inode], Iterable[tuple[bytes, Inode]]],
    content: Callable[[Inode], Place],
) -> Tree:  # fmt: skip
    """The tree below ``root``. ``inodes``: how many there are, each of which must be met (-1 where that shows
    otherwise); ``entries``: a directory's
    names and what they lead to, in an order that does not matter; ``content``: a file's."""
    if root.kind != "directory":
        raise Refused("root", f"is a {root.kind}")
    tree = Tree()
    found: list[tuple[bytes, Inode]] = [(b".", root)]
    names: dict[int, list[bytes]] = {}
    met, waiting, folders = {root.number}, [(b"", root)], {root.number: 0}
    while waiting:
        path, folder = waiting.pop()
        seen: set[bytes] = set()
        for name, inode in entries(folder):
            check_name(name, seen)
            whole = path + b"/" + name if path else name
            names.setdefault(inode.number, []).append(whole)
            if inode.kind == "directory":
                if inode.number in met:
                    raise Refused(clean_name(whole)[0], "a directory with two names")
                folders[folder.number] += 1
                folders[inode.number] = 0
                waiting.append((whole, inode))
            met.add(inode.number)
            found.append((whole, inode))
    if inodes not in (-1, len(met)):
        raise Refused("inodes", f"{inodes - len(met)} that no name leads to")
    joined = {number: _joined(links) for number, links in names.items() if len(links) > 1}
    for name, inode in sorted(found, key=lambda row: row[0]):
        count = folders[inode.number] + 2 if inode.kind == "directory" else len(names[inode.number])
        if inode.links not in (-1, count):
            raise Refused(clean_name(name)[0], f"states {inode.links} links and has {count}")
        tree.add(_node(name, inode, joined.get(inode.number, b""), content))
    return tree


def _joined(links: list[bytes]) -> bytes:
    """All names of one inode, each with the zero byte that none can hold between; of very many the first and a digest,
    since each of them carries it."""
    text = b"\0".join(sorted(links))
    if len(text) <= _SHOWN:
        return text
    return text[:_SHOWN] + b"... SHA-256 of all %d: " % len(links) + hashlib.sha256(text).hexdigest().encode()


def check_name(name: bytes, seen: set[bytes]) -> None:
    """Refuse what is no name of a member, or was seen in the directory already; enter it."""
    if not 0 < len(name) <= 255 or b"/" in name or b"\0" in name or name in (b".", b".."):
        raise Refused("name", f"{clean_name(name)[0]!r} is none")
    if name in seen:
        raise Refused(clean_name(name)[0], "twice in one directory")
    seen.add(name)


def xattr_name(raw: bytes) -> str:
    """What an extended attribute is called in a member's attributes: other bytes, another name (a backslash is doubled,
    for it stands for bytes that are no UTF-8)."""
    return "xattr " + raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def _node(name: bytes, inode: Inode, links: bytes, content: Callable[[Inode], Place]) -> Node:
    attributes: dict[str, object] = {"mode": inode.mode, "uid": inode.uid, "gid": inode.gid, **inode.attributes}
    if inode.kind == "symbolic link":
        if not inode.target or b"\0" in inode.target:
            raise Refused(clean_name(name)[0], "a link to nothing")
        attributes["link"] = inode.target
    if inode.device is not None:
        attributes["device"] = "{}:{}".format(*inode.device)
    if links:
        attributes["names"] = links
    attributes |= {xattr_name(n): v for n, v in inode.xattrs.items()}
    if inode.kind == "file" and inode.place is None:
        inode.place = content(inode)
    return Node(
        name=name, kind=inode.kind, attributes=attributes, place=inode.place, free=inode.free, time=inode.time
    )  # fmt: skip


class Spans:
    """Which bytes belong to something. ``gaps`` are those that do not; nothing may belong to two."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._spans: list[tuple[int, int]] = []

    def own(self, start: int, end: int) -> None:
        if not 0 <= start <= end <= self.size:
            raise Refused("image", "a structure outside of it", [Range(max(start, 0), min(end, self.size))])
        if end > start:
            self._spans.append((start, end))

    def gaps(self) -> list[tuple[int, int]]:
        out, end = [], 0
        for start, stop in sorted(self._spans):
            if start < end:
                raise Refused("image", "bytes that belong to two", [Range(start, end)])
            if start > end:
                out.append((end, start))
            end = stop
        if end < self.size:
            out.append((end, self.size))
        return out


def constant(view: View, start: int, end: int, fills: Iterable[int], where: str) -> None:
    """Refuse bytes that are not all one of ``fills``."""
    if end > start and (view.u8(start) not in fills or view.run(start, end) < end - start):
        raise Refused(where, "bytes that belong to nothing", [Range(start, end)])


class Holes:
    """Counts zeros that files have and images do not: a few bytes can state any number of them."""

    def __init__(self, size: int) -> None:
        self._left = _HOLES + 16 * size

    def take(self, length: int) -> Iterable[bytes]:
        self._left -= length
        if self._left < 0:
            raise Refused("content", "holes out of proportion to the image")
        piece = bytes(min(length, 1 << 20))
        for _ in range(length // len(piece) if piece else 0):
            yield piece
        if piece and length % len(piece):
            yield piece[: length % len(piece)]


def compare_room(work: Work, a: tuple[object, Mapping[str, int]], b: tuple[object, Mapping[str, int]]) -> None:
    """What can still be written: sizes of the whole, and how many of each sort are free."""
    for name, free in a[1].items():
        if bool(free) != bool(b[1][name]):
            work.account.refuse("room", f"no {name} is free on one side alone: nothing can be written there")
    if a != b:
        said = [", ".join(f"{free} {name}s" for name, free in side[1].items()) for side in (a, b)]
        work.account.explain("tree.room", *whole(work), " against ".join(said) if said[0] else "")


def whole(work: Work) -> tuple[list[Range], list[Range]]:
    """Both files, for rules on layout."""
    return [Range(0, len(work.a))], [Range(0, len(work.b))]


def access_list(stored: bytes, order: str = "<") -> bytes | None:
    """An access list as Linux shows it, from an attribute's value in ext or JFFS2 (version 2 names an owner always,
    version 1 only where there is one); ``None`` if Linux does not take it to the last byte: it gives an error to
    whoever opens the file, then (``ext4_acl_from_disk``, ``jffs2_acl_from_medium``, ``posix_acl_xattr.h``)."""
    if len(stored) < 4 or struct.unpack_from(order + "I", stored) != (1,):
        return None
    size, count, at, out = len(stored) - 4, 0, 4, struct.pack("<I", 2)
    while at + 4 <= len(stored):
        tag, rights = struct.unpack_from(order + "HH", stored, at)
        names = tag in _NAMING
        if tag not in _TAGS or (names and at + 8 > len(stored)):
            return None
        owner = struct.unpack_from(order + "I", stored, at + 4)[0] if names else 0xFFFFFFFF
        out += struct.pack("<HHI", tag, rights, owner)
        at += 8 if names else 4
        count += 1
    # as Linux counts them: four of them name nobody, all others do
    whole, left = divmod(size - 16, 8) if size >= 16 else divmod(size, 4)
    return out if at == len(stored) and not left and count == whole + (4 if size >= 16 else 0) > 0 else None
