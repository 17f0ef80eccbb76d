"""What is current in a UBIFS: the index as of the last commit, then the journal on top of it.

Source: Linux fs/ubifs/tnc.c, replay.c, log.c and recovery.c.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from banbury.formats.contract import Sink
from banbury.formats.readers._flash import Cuts
from banbury.formats.readers._ubifs_nodes import (
    BLOCK,
    BRANCH,
    CS,
    DATA,
    DATA_NODE,
    DENT,
    DIRENT,
    FIXED,
    IDX,
    IN_GROUP,
    INDEX,
    INO,
    INODE,
    REF,
    REFERENCE,
    TRUN,
    TRUNCATION,
    XENT,
    Master,
    Node,
    Superblock,
    head_at,
    is_sound,
    walk,
)
from banbury.formats.view import View
from banbury.model.errors import Malformed

#: Where a node was expected that is not there or damaged.
LOST: Final = Node(-1, 0, DATA, 0, 0)
_TYPE_SHIFT: Final = 29
_LEAVES: Final = frozenset((INO, DATA, DENT, XENT))


class Name(Struct, frozen=True, array_like=True):
    """A directory entry or the name of an extended attribute."""

    node: Node
    inum: int
    raw: bytes


class Current:
    """The nodes that count, by what they describe. Later nodes are put in after earlier ones."""

    def __init__(self, view: View, sb: Superblock) -> None:
        self.view = view
        self.sb = sb
        self.clear()

    def clear(self) -> None:
        self.inodes: dict[int, Node] = {}
        self.blocks: dict[int, dict[int, Node]] = {}
        self.names: dict[int, dict[bytes, Name]] = {}
        self.attributes: dict[int, dict[bytes, Name]] = {}
        #: Bytes that the journal's data nodes reach to: after a power cut they can outrun their inode's size.
        self.reach: dict[int, int] = {}
        self._written: dict[int, dict[int, int]] = {}
        self._cuts = Cuts()
        self._time = 0

    def put(self, node: Node) -> None:
        """Take one leaf node in; a deletion removes what it names."""
        view = self.view
        self._time += 1
        if node.kind == INO:
            self._inode(node, view.u32(node.pos + 24))
        elif node.kind == DATA:
            inum, key, size, _, _ = view.unpack(DATA_NODE, node.pos)
            block = key & ((1 << _TYPE_SHIFT) - 1)
            self.blocks.setdefault(inum, {})[block] = node
            self._written.setdefault(inum, {})[block] = self._time
            self.reach[inum] = max(self.reach.get(inum, 0), block * BLOCK + min(size, BLOCK))
        elif node.kind in (DENT, XENT):
            parent, _, inum, _, length = view.unpack(DIRENT, node.pos)
            raw = view.take(node.pos + 56, min(length, node.length - 56))
            table = self.names if node.kind == DENT else self.attributes
            if inum:
                table.setdefault(parent, {})[raw] = Name(node, inum, raw)
            else:
                table.get(parent, {}).pop(raw, None)
        elif node.kind == TRUN:
            inum, _, size = view.unpack(TRUNCATION, node.pos)
            self.reach[inum] = size
            self._cuts.add(inum, self._time, size)

    def _inode(self, node: Node, inum: int) -> None:
        fields = self.view.unpack(INODE, node.pos)
        if fields[8]:
            self.inodes[inum] = node
            return
        for table in (self.inodes, self.blocks, self._written, self.names, self.attributes, self.reach):
            table.pop(inum, None)
        self._cuts.forget(inum)

    def lose(self, key: tuple[int, int]) -> None:
        """Remember that the leaf of ``key`` is damaged: a file must not read as a hole there."""
        if key[1] >> _TYPE_SHIFT == DATA:
            self.blocks.setdefault(key[0], {})[key[1] & ((1 << _TYPE_SHIFT) - 1)] = LOST

    def replay(self, nodes: Iterable[Node]) -> int:
        """Put nodes in, oldest first. Returns how many there were."""
        count = 0
        for node in sorted(nodes, key=lambda n: (n.sequence, n.pos)):
            self.put(node)
            count += 1
        for inum in self._cuts.objects & self.blocks.keys():
            times = self._written.get(inum, {})
            kept = self.blocks[inum].items()
            self.blocks[inum] = {b: n for b, n in kept if not self._cuts.after(inum, times.get(b, 0), b * BLOCK)}
        return count


class Index:
    """A walk over the index. ``nodes`` are its own nodes, by position; ``lost`` counts leaves that are not sound."""

    def __init__(self, current: Current, sink: Sink) -> None:
        self._current = current
        self._sink = sink
        self.nodes: dict[int, Node] = {}
        self.lost = 0
        self.size = 0
        # The nodes of a sound index lie beside each other; one that leads to more than there is overlaps itself.
        self._left = len(current.view)

    def read(self, root: tuple[int, int, int]) -> None:
        """Take every leaf into the current state. Raises Malformed where the index itself is broken."""
        stack: list[tuple[int, ...]] = [(*root, -1)]
        while stack:
            lnum, offset, length, level = stack.pop()
            node = self._node(lnum, offset, length)
            if node is None or node.kind != IDX:
                raise Malformed(f"the index is broken at LEB {lnum}, offset {offset}")
            if node.pos in self.nodes:
                self._sink.note("loop", "an index node with two parents", start=node.pos)
                raise Malformed("the index is no tree", offset=node.pos)
            self.nodes[node.pos] = node
            self.size += (node.length + 7) & ~7
            count, depth = self._current.view.unpack(INDEX, node.pos)
            if level not in (-1, depth):
                raise Malformed(f"an index node of level {depth} below one of level {level + 1}", offset=node.pos)
            branches = self._branches(node, count)
            if depth:
                stack += [(*branch[:3], depth - 1) for branch in reversed(branches)]
            else:
                for branch in branches:
                    self._leaf(branch)

    def _branches(self, node: Node, count: int) -> list[tuple[int, ...]]:
        """The branches of an index node; in a signed file system each ends with a hash of its child."""
        view = self._current.view
        size, rest = divmod(node.length - FIXED[IDX], count) if count else (BRANCH.size, 0)
        if size < BRANCH.size or rest:
            raise Malformed(f"an index node of {node.length} bytes with {count} branches", offset=node.pos)
        return [view.unpack(BRANCH, node.pos + FIXED[IDX] + i * size) for i in range(count)]

    def _leaf(self, branch: tuple[int, ...]) -> None:
        lnum, offset, length, inum, key = branch
        node = self._node(lnum, offset, length)
        if node is None or node.kind not in _LEAVES or self._current.view.u32(node.pos + 24) != inum:
            self.lost += 1
            self._current.lose((inum, key))
        else:
            self._current.put(node)

    def _node(self, lnum: int, offset: int, length: int) -> Node | None:
        current, sb = self._current, self._current.sb
        if not sb.main <= lnum < sb.leb_count or offset + length > sb.leb_size:
            return None
        pos = lnum * sb.leb_size + offset
        node = head_at(current.view, pos, min(pos + length, len(current.view)))
        if node is None or node.length != length:
            return None
        self._left -= length
        if self._left < 0:
            raise Malformed("the index leads to more nodes than there is room for")
        return node if is_sound(current.view, node) else None


class Journal(Struct):
    """The journal since the last commit: its nodes, whether it could be read, and how many nodes are damaged."""

    nodes: list[Node]
    readable: bool = True
    damaged: int = 0


def journal(view: View, sb: Superblock, master: Master) -> Journal:
    """Follow the log from its head: each reference names an eraseblock (a bud) and where in it new nodes start."""
    out = Journal([])
    buds: dict[int, int] = {}
    start: int | None = None
    lebs = range(sb.log, min(sb.lpt, -(-len(view) // sb.leb_size)))
    first = lebs.index(master.log) if master.log in lebs else 0
    for lnum in (*lebs[first:], *lebs[:first]):
        end = min((lnum + 1) * sb.leb_size, len(view))
        for node in walk(view, lnum * sb.leb_size, end):
            if not is_sound(view, node):
                out.damaged += 1
            elif start is None:
                if node.kind != CS or view.u64(node.pos + 24) != master.commit:
                    out.readable = False
                    return out
                start = node.sequence
            elif node.kind == REF and node.sequence >= start:
                bud, offset, _ = view.unpack(REFERENCE, node.pos)
                buds.setdefault(bud, offset)
    out.readable = start is not None
    for bud, offset in buds.items():
        if sb.main <= bud < sb.leb_count and offset < sb.leb_size:
            out.nodes += _bud(view, sb, bud, offset, out)
        else:
            out.damaged += 1
    return out


def _bud(view: View, sb: Superblock, bud: int, offset: int, out: Journal) -> list[Node]:
    """The sound nodes of a bud. A group of nodes whose last one is missing was cut off and does not count."""
    nodes: list[Node] = []
    for node in walk(view, min(bud * sb.leb_size + offset, len(view)), min((bud + 1) * sb.leb_size, len(view))):
        if is_sound(view, node):
            nodes.append(node)
        else:
            out.damaged += 1
    while nodes and nodes[-1].group == IN_GROUP:
        nodes.pop()
    return [n for n in nodes if n.kind in _LEAVES or n.kind == TRUN]


def everything(view: View, sb: Superblock) -> list[Node]:
    """Every sound node of the main area that says something of a file, for when there is no index to go by."""
    out: list[Node] = []
    for lnum in range(sb.main, min(sb.leb_count, -(-len(view) // sb.leb_size))):
        for node in walk(view, lnum * sb.leb_size, min((lnum + 1) * sb.leb_size, len(view))):
            if (node.kind in _LEAVES or node.kind == TRUN) and is_sound(view, node):
                out.append(node)
    return out
