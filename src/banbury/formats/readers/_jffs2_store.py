"""JFFS2 nodes, loaded and sorted into the tree that they add up to.

Source: Linux fs/jffs2/{readinode,nodelist,xattr}.c.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from banbury.formats.contract import Sink, clean_name
from banbury.formats.readers._access_list import as_given
from banbury.formats.readers._flash import Holes, Inode, crc32_zero, device, kind_of
from banbury.formats.readers._jffs2_data import DAMAGED, Unpacker, segments, unpack
from banbury.formats.readers._jffs2_nodes import (
    ACCURATE,
    CLEANMARKER,
    DIRENT,
    FIXED,
    INODE,
    PADDING,
    SUMMARY,
    XATTR,
    XREF,
    Dirent,
    InodeNode,
    Layout,
    walk,
)
from banbury.formats.view import Buffer, View
from banbury.model.errors import Malformed
from banbury.model.tree import Kind

_ROOT: Final = 1
_PREFIXES: Final = {
    1: "user.",
    2: "security.",
    3: "system.posix_acl_access",
    4: "system.posix_acl_default",
    5: "trusted.",
}
_NAMES: Final = {CLEANMARKER: "clean marker", PADDING: "padding node", SUMMARY: "summary", XATTR: "extended attribute",
                 XREF: "extended attribute reference"}  # fmt: skip


class Nodes:
    """Every node of a JFFS2, sorted by what it is; as :class:`Tree`, the file system they add up to."""

    root = _ROOT

    def __init__(self, view: View, layout: Layout, sink: Sink) -> None:
        self.view = view
        self.layout = layout
        self.sink = sink
        self.dead: list[tuple[int, int]] = []
        self.table: list[tuple[int, int, str]] = []
        self.positions: set[int] = set()
        self.gaps: list[tuple[int, int]] = []
        self.spans: list[tuple[int, int]] = []
        self.marks: list[int] = []
        self.inodes: dict[int, list[InodeNode]] = {}
        self.dirents: dict[tuple[int, bytes], Dirent] = {}
        self.dirs: dict[int, list[Dirent]] = {}
        self.attributes: dict[int, tuple[int, int, str, bytes]] = {}
        self.references: dict[tuple[int, int], tuple[int, int, int]] = {}
        self.summaries: list[tuple[int, int]] = []
        self.damaged = 0
        self.bad: dict[str, int] = {}
        self.unknown: dict[int, int] = {}
        self.compressors: set[int] = set()
        self.runs: dict[int, list[tuple[int, int, InodeNode | None]]] = {}
        self.described: dict[int, Inode | None] = {}
        self.xattrs: dict[int, dict[str, bytes]] = {}
        self.unpacker = Unpacker(view, Holes(sink, len(view)))

    def load(self) -> None:
        """Read every node once, checksums and all."""
        readers = {DIRENT: self._dirent, INODE: self._inode, XATTR: self._xattr, XREF: self._xref}
        end = 0
        for pos, kind, total in walk(self.view, self.layout):
            if pos - end > 3:
                self.gaps.append((end, pos))
            end = pos + total
            known = kind | ACCURATE
            self.spans.append((pos, end))
            if kind == CLEANMARKER:
                self.marks.append(pos)
            if known not in FIXED:
                self.unknown[kind] = self.unknown.get(kind, 0) + 1
            elif total < FIXED[known]:
                self._spoilt("length")
            elif kind != known:
                self.dead.append((pos, pos + total))
            elif known in readers:
                self.positions.add(pos)
                readers[known](pos, total)
            else:
                self._plain(pos, kind, total)
        self.gaps.append((end, len(self.view)))
        for dirent in self.dirents.values():
            if dirent.ino:
                self.dirs.setdefault(dirent.parent, []).append(dirent)
            else:
                self.table.append((dirent.pos, dirent.pos + dirent.total, "dirent of a deleted name"))
        self._attach()

    def _spoilt(self, what: str) -> None:
        self.bad[what] = self.bad.get(what, 0) + 1

    def _plain(self, pos: int, kind: int, total: int) -> None:
        if kind == SUMMARY:
            self.summaries.append((pos, total))
            return
        self.table.append((pos, pos + 12, _NAMES[kind]))

    def _dirent(self, pos: int, total: int) -> None:
        parent, version, ino, _, length, kind, node_crc, name_crc = self.view.unpack(self.layout.dirent, pos + 12)
        if crc32_zero(self.view.mem(pos, 32)) != node_crc:
            self._spoilt("dirent node")
            return
        if 40 + length > total:
            self._spoilt("length")
            return
        name = self.view.take(pos + 40, length)
        if crc32_zero(name) != name_crc:
            self._spoilt("name")
            return
        new = Dirent(pos, 40 + length, parent, version, ino, kind, name)
        old = self.dirents.get((parent, name))
        if old is not None and old.version > version:
            old, new = new, old
        elif old is not None and old.version == version and old.ino != ino:
            self.sink.note("duplicate-name", f"two names of version {version}", path=clean_name(name)[0], start=pos)
        self.dirents[parent, name] = new
        if old is not None:
            self.dead.append((old.pos, old.pos + old.total))

    def _inode(self, pos: int, total: int) -> None:
        f = self.view.unpack(self.layout.inode, pos + 12)
        if crc32_zero(self.view.mem(pos, 60)) != f[16]:
            self._spoilt("inode node")
            return
        csize = f[10]
        if 68 + csize > total:
            self._spoilt("length")
            return
        compr = f[12]
        if crc32_zero(self.view.mem(pos + 68, csize)) != f[15]:
            self.damaged += 1
            compr = DAMAGED
        else:
            self.compressors.add(compr)
        node = InodeNode(pos, 68 + csize, f[0], f[1], f[2], f[3], f[4], f[5], f[7], f[9], csize, f[11], compr)
        self.inodes.setdefault(f[0], []).append(node)

    def _xattr(self, pos: int, total: int) -> None:
        xid, version, prefix, name_length, length, data_crc, node_crc = self.view.unpack(self.layout.xattr, pos + 12)
        if crc32_zero(self.view.mem(pos, 28)) != node_crc:
            self._spoilt("extended attribute")
            return
        size = name_length + 1 + length
        if 32 + size + 3 & ~3 != total:  # jffs2_scan_xattr_node, do_verify_xattr_datum
            self._spoilt("length")
            return
        data = self.view.take(pos + 32, size)
        if crc32_zero(data) != data_crc:
            self._spoilt("extended attribute")
            return
        end = pos + 32 + size
        old = self.attributes.get(xid)
        if old is not None and old[1] > version:
            self.dead.append((pos, end))
            return
        if old is not None:
            self.dead.append((old[0], old[0] + 32 + len(old[3])))
        name = _PREFIXES.get(prefix, f"{prefix}.")
        if name.endswith("."):
            name += clean_name(data[:name_length])[0]
        self.attributes[xid] = (pos, version, name, data)

    def _xref(self, pos: int, _total: int) -> None:
        ino, xid, sequence, node_crc = self.view.unpack(self.layout.xref, pos + 12)
        if crc32_zero(self.view.mem(pos, 24)) != node_crc:
            self._spoilt("extended attribute reference")
            return
        old = self.references.get((ino, xid))
        if old is not None and old[1] > sequence:
            self.dead.append((pos, pos + 28))
            return
        if old is not None:
            self.dead.append((old[0], old[0] + 28))
        self.references[ino, xid] = (pos, sequence, xid)

    def _attach(self) -> None:
        """Give each inode its attributes. An odd sequence number deletes a reference, version -1 an attribute."""
        # One value for all that refer to it: thousands may, and it may be large.
        values: dict[int, bytes] = {}
        for (ino, xid), (pos, sequence, _) in self.references.items():
            found = self.attributes.get(xid)
            if found is None or sequence & 1 or found[1] == 0xFFFFFFFF:
                self.dead.append((pos, pos + 28))
                continue
            self.table.append((pos, pos + 28, _NAMES[XREF]))
            if xid not in values:
                value = found[3][self.view.u8(found[0] + 21) + 1 :]
                listed = found[2].startswith("system.posix_acl")
                values[xid] = as_given(value, ">" if self.layout.big else "<") if listed else value
            self.xattrs.setdefault(ino, {})[found[2]] = values[xid]
        for xid, (pos, _, _, data) in self.attributes.items():
            end = pos + 32 + len(data)
            if xid in values:
                self.table.append((pos, end, _NAMES[XATTR]))
            else:
                self.dead.append((pos, end))

    # The tree.

    def names(self, ino: int) -> Iterable[tuple[bytes, int]]:
        return [(d.name, d.ino) for d in self.dirs.get(ino, ())]

    def latest(self, ino: int) -> InodeNode | None:
        nodes = self.inodes.get(ino)
        return max(nodes, key=lambda n: (n.version, n.pos)) if nodes else None

    def inode(self, ino: int) -> Inode | None:
        if ino not in self.described:
            node = self.latest(ino)
            self.described[ino] = self._describe(node) if node else None
        return self.described[ino]

    def _describe(self, node: InodeNode) -> Inode | None:
        kind = kind_of(node.mode)
        if kind is None:
            self.sink.note("malformed", f"inode {node.ino} has mode {node.mode:o}", start=node.pos)
            return None
        link, rdev, size = b"", None, 0
        try:
            if kind is Kind.SYMLINK:
                link = unpack(self.view, node)
            elif kind in (Kind.CHAR, Kind.BLOCK):
                rdev = device(unpack(self.view, node), self.layout.big)
            elif kind is Kind.FILE:
                size = node.isize
        except Malformed as problem:
            self.sink.note("malformed", f"inode {node.ino}: {problem}", start=node.pos)
        return Inode(
            kind=kind,
            mode=node.mode & 0o7777,
            uid=node.uid,
            gid=node.gid,
            mtime=node.mtime,
            size=size,
            link=link,
            rdev=rdev,
            xattrs=self.xattrs.get(node.ino, {}),
        )

    def content(self, ino: int, path: str) -> Iterable[Buffer]:
        nodes, latest = self.inodes[ino], self.latest(ino)
        size = latest.isize if latest else 0
        runs = self.runs[ino] = segments(nodes, size)
        self.unpacker.holes.report(size, sum(end - start for start, end, node in runs if node is not None), path)
        return self.unpacker.pieces(runs)
