"""UBIFS, the file system on UBI volumes: nodes found through an index, changes since the last commit in a journal.

Source: Linux fs/ubifs (ubifs-media.h, sb.c, master.c, tnc.c, replay.c, data.c); mtd-utils' mkfs.ubifs.
"""

from __future__ import annotations

import uuid
from typing import Final

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._flash import Reached, emit, fills
from banbury.formats.readers._ubifs_index import Current, Index, Journal, everything, journal
from banbury.formats.readers._ubifs_nodes import (
    BLOCK,
    DATA,
    DENT,
    FIXED,
    IDX,
    INO,
    MAGIC,
    NAMES,
    SB,
    TRUN,
    XENT,
    Master,
    Node,
    Superblock,
    head_at,
    is_sound,
    masters,
    superblock,
    walk,
)
from banbury.formats.readers._ubifs_tree import Tree
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Kind, Role

_COMPRESSORS: Final = {0: "none", 1: "lzo", 2: "zlib", 3: "zstd"}
_ENCRYPTED: Final = 0x10  # superblock
_SIGNED: Final = 0x20
_DIRTY: Final = 1  # master node: the file system was not unmounted
_CHANGING: Final = frozenset((INO, DATA, DENT, XENT, TRUN, IDX))


def _mark(tree: Tree, reached: Reached) -> None:
    """Note which nodes the members are made of, and whose content each data node is."""
    current = tree.current
    for ino, member in reached.member.items():
        node = current.inodes.get(ino)
        if node is None:
            continue
        tree.used[node.pos] = -1
        for name in current.names.get(ino, {}).values():
            tree.used[name.node.pos] = -1
        inode = tree.inode(ino)
        if inode is not None and inode.kind is Kind.FILE and member >= 0:
            for number, block in current.blocks.get(ino, {}).items():
                if number * BLOCK < inode.size:
                    tree.used[block.pos] = member


class _Owner:
    """Gives every node its owner. ``used`` maps the current nodes' positions to the member they hold, or -1."""

    def __init__(self, view: View, sink: Sink, used: dict[int, int]) -> None:
        self.view = view
        self.sink = sink
        self.used = used
        self.dead = self.size = self.bad = 0

    def lebs(self, sb: Superblock) -> None:
        view, sink = self.view, self.sink
        for lnum in range(-(-len(view) // sb.leb_size)):
            start, end = lnum * sb.leb_size, min((lnum + 1) * sb.leb_size, len(view))
            if sb.lpt <= lnum < sb.orphans:
                filled = len(bytes(view.mem(start, end - start)).rstrip(b"\xff"))
                sink.own(start, start + filled, Role.TABLE, "LEB properties tree")
                continue
            position = start
            for node in walk(view, start, end):
                fills(view, sink, self._blank(position, node.pos), node.pos)
                position = self._node(node)
            fills(view, sink, self._blank(position, end), end)
        if self.dead:
            detail = f"{self.dead} obsolete nodes of {self.size} bytes: older versions and deleted files"
            sink.note("hidden", detail)
        if self.bad:
            sink.note("checksum", f"{self.bad} nodes with a wrong checksum")

    def _blank(self, start: int, end: int) -> int:
        """Own the node without a type or content that mkfs.ubifs puts where a signature would be; returns its end."""
        stop = start + 64
        if stop > end or not self.view.startswith(MAGIC, start) or self.view.u32(start + 16) != 64:
            return start
        if self.view.run(start + 20, stop) != 44 or not is_sound(self.view, Node(start, 64, INO, 0, 0)):
            return start
        self.sink.own(start, stop, Role.TABLE, "blank signature node")
        return stop

    def _node(self, node: Node) -> int:
        """Own one node; returns where it ends."""
        own, stop = self.sink.own, node.pos + node.length
        member = self.used.get(node.pos)
        if member is None and not is_sound(self.view, node):
            self.bad += 1
        elif member is None and node.kind in _CHANGING:
            own(node.pos, stop, Role.TABLE, "obsolete node")
            self.dead, self.size = self.dead + 1, self.size + node.length
        elif member is not None and member >= 0:
            own(node.pos, node.pos + FIXED[DATA], Role.TABLE, NAMES[DATA])
            own(node.pos + FIXED[DATA], stop, Role.MEMBER, "content", member)
        else:
            own(node.pos, stop, Role.HEADER if node.kind == SB else Role.TABLE, NAMES[node.kind])
        return stop


def _links(tree: Tree, reached: Reached) -> None:
    """Compare the number of names that each file's inode states with the names there are."""
    wrong = 0
    for ino, count in reached.links.items():
        node = tree.current.inodes.get(ino)
        inode = tree.inode(ino)
        if node is not None and inode is not None and inode.kind is not Kind.DIR:
            wrong += tree.view.u32(node.pos + 92) != count
    if wrong:
        tree.sink.note("mismatch", f"{wrong} inodes state another number of names than they have")


class Ubifs(Reader):
    name = "ubifs"
    title = "UBIFS file system"
    version = 1
    holds_files = True
    magics = (Magic(MAGIC),)
    references = ("Linux fs/ubifs/ubifs-media.h", "Linux fs/ubifs/replay.c", "Linux fs/ubifs/tnc.c")
    limitations = (
        "the LEB properties tree (free space accounting) is owned, not read",
        "encrypted names and content are not decrypted; signatures are not checked",
        "of deleted files only the number and bytes are told",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        node = head_at(view, start, len(view))
        if node is None or node.kind != SB:
            return None
        sb = superblock(view, start)
        return Extent(min(sb.leb_count * sb.leb_size, len(view) - start))

    def read(self, view: View, sink: Sink) -> None:
        sb = superblock(view, 0)
        _properties(sb, sink)
        current = Current(view, sb)
        master = _master(view, sb, sink)
        index = Index(current, sink)
        unclean = _load(view, current, index, master, sink)
        tree = Tree(current, sink, unclean)
        reached = emit(sink, tree)
        _mark(tree, reached)
        tree.used |= dict.fromkeys(index.nodes, -1)
        _Owner(view, sink, tree.used).lebs(sb)
        _links(tree, reached)
        if tree.lost:
            sink.note("malformed", f"{tree.lost} extended attributes without a value")
        if tree.encrypted or sb.flags & _ENCRYPTED:
            sink.note("encrypted", f"{tree.encrypted} inodes are encrypted")
        names = (_COMPRESSORS.get(c, str(c)) for c in sorted(tree.compressors))
        sink.property("compressors", ", ".join(names))


def _properties(sb: Superblock, sink: Sink) -> None:
    sink.property("LEB size", str(sb.leb_size))
    sink.property("LEBs", str(sb.leb_count))
    sink.property("format version", str(sb.version))
    sink.property("default compressor", _COMPRESSORS.get(sb.compressor, str(sb.compressor)))
    sink.property("UUID", str(uuid.UUID(bytes=sb.uuid)))
    if sb.flags & _SIGNED:
        sink.property("authentication", "signed index")


def _master(view: View, sb: Superblock, sink: Sink) -> Master | None:
    """The master node of the latest commit."""
    found = masters(view, sb)
    if not found:
        sink.note("malformed", "no sound master node")
        return None
    if len(found) < 2 or found[0] != found[1]:
        sink.note(
            "mismatch", "the two master nodes differ" if len(found) > 1 else "one of the two master nodes is lost"
        )
    return max(found, key=lambda m: m.commit)


def _load(view: View, current: Current, index: Index, master: Master | None, sink: Sink) -> bool:
    """Fill ``current`` from index and journal, or from a scan where they are broken. Returns whether the journal holds
    changes of a file system that was not unmounted."""
    problem = _read_index(index, master)
    if master is None or problem:
        sink.note("malformed", f"{problem}; every node there is was taken instead, the latest winning")
        index.nodes.clear()
        current.clear()
        current.replay(everything(view, current.sb))
        return False
    sink.check("bytes of index nodes", master.index_size, index.size)
    if index.lost:
        sink.note("checksum", f"{index.lost} nodes that the index leads to are missing or damaged")
    current.reach.clear()
    changes = journal(view, current.sb, master)
    _report(changes, sink)
    replayed = current.replay(changes.nodes)
    sink.property("journal", f"{replayed} nodes replayed" if replayed else "empty")
    return bool(master.flags & _DIRTY)


def _read_index(index: Index, master: Master | None) -> str:
    """Read the index; returns why it cannot be, or nothing."""
    if master is None:
        return "there is no index to follow"
    try:
        index.read(master.root)
    except Malformed as problem:
        return str(problem)
    return ""


def _report(changes: Journal, sink: Sink) -> None:
    if not changes.readable:
        sink.note("malformed", "the log does not start with the last commit; the journal is not replayed")
    if changes.damaged:
        sink.note("checksum", f"{changes.damaged} nodes of the journal are damaged and left out")


READERS = (Ubifs(),)
