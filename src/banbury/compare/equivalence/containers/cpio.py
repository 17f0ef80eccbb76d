"""Archives of cpio's ``newc`` form, as the kernel unpacks them into its first file system.

Exactly one archive: what stands behind its trailer must be zero (the kernel would unpack a second one). Mode, owner,
device, links and hard links are exact; modification time, inode number and home device are free, and so is the order
where every directory comes before what lies in it, but for what the kernel takes out of the archive by itself.

Sources: Linux ``Documentation/driver-api/early-userspace/buffer-format.rst``, ``init/initramfs.c``; cpio(5).
"""

from __future__ import annotations

import re
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import Comparator, Free, Place, Work, zero
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.places import SECOND
from banbury.compare.equivalence.tree import Node, Tree, compare_trees, plain_name
from banbury.formats.view import View

_HEAD: Final = re.compile(rb"07070([12])([0-9a-fA-F]{104})", re.ASCII)
_KINDS: Final = {
    0o010: "fifo", 0o020: "character device", 0o040: "directory", 0o060: "block device", 0o100: "file",
    0o120: "symbolic link", 0o140: "socket",
}  # fmt: skip
_TRAILER: Final = b"TRAILER!!!"
#: Microcode, tables of ACPI: found by the beginning of a name (Linux, lib/earlycpio.c, find_cpio_data).
_SWU: Final = b"sw-description"
_EARLY: Final = b"kernel/"


class _Reader:
    """Reads one archive to its last byte."""

    def __init__(self, view: View, base: int) -> None:
        self.view, self.base = view, base
        self.nodes: list[Node] = []
        self.groups: dict[tuple[int, ...], list[tuple[int, Node]]] = {}
        self.versions: set[bytes] = set()
        self.cases: set[str] = set()
        self.tail = Range(0, 0)
        self.trailer_links = 0
        self.link_sums: set[bool] = set()

    def read(self) -> Tree:
        at, going = 0, True
        while going:
            at, going = self._member(at)
        zero(self.view, at, len(self.view), "behind the trailer")
        self.tail = Range(at, len(self.view))
        if len(self.versions) > 1 or len(self.cases) > 1:
            raise Refused("archive", "headers of several forms")
        self._links()
        tree = Tree()
        for node in self.nodes:
            tree.add(node)
        return tree

    def _member(self, at: int) -> tuple[int, bool]:
        found = _HEAD.fullmatch(self.view.take(at, 110))
        if not found:
            raise Refused(f"header at {at}", "no header of the newc form", [Range(at, at + 110)])
        digits = found[2]
        self.versions.add(found[1])
        if digits.upper() != digits.lower():
            self.cases.add("upper" if digits == digits.upper() else "lower" if digits == digits.lower() else "mixed")
            if "mixed" in self.cases:
                raise Refused(f"header at {at}", "digits of both cases", [Range(at, at + 110)])
        ino, mode, uid, gid, links, mtime, size, major, minor, rmajor, rminor, length, check = (
            int(digits[i : i + 8], 16) for i in range(0, 104, 8)
        )
        raw = self.view.take(at + 110, length)
        start = _rounded(at + 110 + length)
        zero(self.view, at + 110 + length, start, "padding")
        name = raw[:-1]
        if length < 2 or raw.find(b"\0") != length - 1:
            raise Refused(f"header at {at}", "a name that does not end where its size says", [Range(at, start)])
        if name == _TRAILER:
            if (ino, mode, uid, gid, mtime, size, major, minor, rmajor, rminor, check) != (0,) * 11 or links > 1:
                raise Refused("trailer", "with fields that are not zero", [Range(at, start)])
            self.trailer_links = links
            return start, False
        end = start + size
        zero(self.view, end, min(_rounded(end), len(self.view)), "padding")
        kind = _kind(mode, size, bool(rmajor or rminor), at)
        self._checked(found[1], start, size, check, at, kind)
        attributes: dict[str, object] = {"mode": mode & 0o7777, "uid": uid, "gid": gid}
        if kind.endswith("device"):
            attributes["device"] = f"{rmajor}:{rminor}"
        if kind == "symbolic link":
            attributes["link"] = self.view.take(start, size)
        node = Node(
            name=name,
            kind=kind,
            attributes=attributes,
            place=Place(self.base + start, size) if kind == "file" else None,
            free=(
                Free("cpio.mtime", mtime, Range(at + 46, at + 54)),
                Free("cpio.inode", (ino, major, minor), Range(at + 6, at + 14)),
                Free("cpio.directory-links", links if kind == "directory" else 0, Range(at + 38, at + 46)),
            ),
            time=mtime * SECOND,
        )
        if kind != "directory" and links > 1:
            # The kernel's find_link does not look at the count: another one under this number is refused below.
            self.groups.setdefault((major, minor, ino, mode & 0o170000), []).append((links, node))
        elif kind != "directory" and links != 1:
            raise Refused(f"header at {at}", "no link leads to it")
        self.nodes.append(node)
        return _rounded(end), True

    def _checked(self, version: bytes, start: int, size: int, check: int, at: int, kind: str) -> None:
        """The checksum is that of the content, or zero: in the other form, and of links, of which nobody checks it."""
        wanted = 0 if version == b"1" else sum(self.view.take(start, size)) & 0xFFFFFFFF
        self.view.mem(start, size)
        if kind == "symbolic link" and wanted:
            self.link_sums.add(bool(check))
            wanted = wanted if check else 0
        if check != wanted:
            raise Refused(f"header at {at}", "its checksum is wrong, or not zero", [Range(at + 102, at + 110)])

    def _links(self) -> None:
        """Names of one file: each gets the list of all, and the one content that the archive has for them."""
        for found in self.groups.values():
            nodes = [node for _, node in found]
            full = [n for n in nodes if n.place is not None and n.place.length]
            if {links for links, _ in found} != {len(nodes)} or len(full) > 1:
                raise Refused("hard links", f"{len(nodes)} names where others are stated, or several contents")
            if any(n.attributes != nodes[0].attributes for n in nodes):
                raise Refused("hard links", "names of one file with other owners or modes: the last one's count")
            names = b"\0".join(sorted(n.name for n in nodes))
            first = min(nodes, key=lambda n: n.name)
            place = full[0].place if full else first.place
            for node in nodes:
                node.attributes["names"] = names
                node.place = place if node is first else None


def _kind(mode: int, size: int, device: bool, at: int) -> str:
    """The type of a member, refused where it has what members of its type have not."""
    kind = _KINDS.get((mode & 0o170000) >> 9)
    if kind is None or mode >> 16:
        raise Refused(f"header at {at}", f"mode {mode:#o} is of no known type")
    if size and kind not in ("file", "symbolic link"):
        raise Refused(f"header at {at}", f"a {kind} with content")
    if device and not kind.endswith("device"):
        raise Refused(f"header at {at}", f"a {kind} with a device number")
    return kind


def _rounded(at: int) -> int:
    return at + 3 & ~3


def _compare(work: Work) -> None:
    readers = [_Reader(view, place.start) for view, place in work.sides]
    a, b = (reader.read() for reader in readers)
    one, other = readers
    work.exactly(
        "archive",
        {"version": sorted(one.versions)},
        {"version": sorted(other.versions)},
    )
    if (one.cases, one.trailer_links, one.link_sums) != (other.cases, other.trailer_links, other.link_sums):
        work.account.explain("cpio.form", [Range(0, len(work.a))], [Range(0, len(work.b))])
    if one.tail.end - one.tail.start != other.tail.end - other.tail.start:
        work.account.explain("cpio.blocking", [one.tail], [other.tail])
    early = [[n for n in tree.nodes if n.startswith(_EARLY) and n in a.nodes and n in b.nodes] for tree in (a, b)]
    if early[0] != early[1]:
        work.account.refuse(
            "order", "differs among what the kernel takes before it unpacks: the first by its beginning"
        )
    swu = any(_SWU in map(plain_name, tree.nodes) for tree in (a, b))  # SWUpdate installs in the order of the stream
    if swu and [n for n in a.nodes if n in b.nodes] != [n for n in b.nodes if n in a.nodes]:
        work.account.refuse("order", "differs in an archive of SWUpdate, which installs as it reads")
    compare_trees(work, a, b, order="cpio.order", parents=True)


COMPARATORS: Final = [
    Comparator(name="cpio", claims=lambda v: v.startswith(b"07070") and v.take(5, 1) in b"12", compare=_compare)
]
