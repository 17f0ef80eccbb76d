"""JFFS2, the journalling flash file system: a log of nodes, the latest version of each fact winning.

Source: Linux include/uapi/linux/jffs2.h and fs/jffs2; mtd-utils' mkfs.jffs2 and sumtool.
"""

from __future__ import annotations

import struct
from typing import Final

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._flash import Reached, crc32_zero, emit
from banbury.formats.readers._jffs2_data import COMPRESSORS, DAMAGED
from banbury.formats.readers._jffs2_nodes import (
    DIRENT,
    FIXED,
    INODE,
    LAYOUTS,
    SUMMARY_MAGIC,
    XATTR,
    XREF,
    Layout,
    block_size,
    extent,
    node_at,
    survey,
)
from banbury.formats.readers._jffs2_store import Nodes
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Role

_SUMMARY_ENTRY: Final = {INODE: (18, 10), DIRENT: (24, 6), XATTR: (18, 10), XREF: (6, 2)}


def _own(nodes: Nodes, reached: Reached) -> None:
    """State the owner of every node that was read; the nodes that nothing leads to are obsolete."""
    sink, dead = nodes.sink, nodes.dead
    for dirent in nodes.dirents.values():
        if dirent.ino and dirent.parent in reached.member:
            sink.own(dirent.pos, dirent.pos + dirent.total, Role.TABLE, "dirent")
        elif dirent.ino:
            dead.append((dirent.pos, dirent.pos + dirent.total))
    for ino, found in nodes.inodes.items():
        member = reached.member.get(ino)
        latest = nodes.latest(ino)
        live = {n.pos for _, _, n in nodes.runs.get(ino, ()) if n is not None} if member is not None else set()
        for node in found:
            if member is None or (node is not latest and node.pos not in live):
                dead.append((node.pos, node.pos + node.total))
                continue
            sink.own(node.pos, node.pos + 68, Role.TABLE, "inode node")
            if node.csize and node.compr != DAMAGED:
                role = Role.MEMBER if node.pos in live else Role.TABLE
                sink.own(node.pos + 68, node.pos + node.total, role, "content" if node.pos in live else "inode data",
                         member if role is Role.MEMBER and member is not None else -1)  # fmt: skip
    for start, end, name in nodes.table:
        sink.own(start, end, Role.TABLE, name)
    for start, end in dead:
        sink.own(start, end, Role.TABLE, "obsolete node")
    if dead:
        size = sum(end - start for start, end in dead)
        sink.note("hidden", f"{len(dead)} obsolete nodes of {size} bytes: older versions and deleted files")


def _summaries(nodes: Nodes) -> None:
    """Check each erase block's summary against the nodes in it: where there is one, Linux mounts by it alone."""
    view, layout, sink = nodes.view, nodes.layout, nodes.sink
    extra = missing = 0
    for pos, total in nodes.summaries:
        count, _, _, sum_crc, node_crc = view.unpack(layout.summary, pos + 12)
        end = pos + total
        sound = total >= 40 and crc32_zero(view.mem(pos, 24)) == node_crc
        if not sound or crc32_zero(view.mem(pos + 32, total - 32)) != sum_crc:
            sink.note("checksum", "an erase block's summary", start=pos, end=end)
            continue
        sink.own(pos, end, Role.TABLE, "summary")
        offset, marker = view.unpack(layout.two, end - 8)
        if marker != SUMMARY_MAGIC or offset > pos:
            sink.note("malformed", "a summary without its marker", start=pos, end=end)
            continue
        start = pos - offset
        listed = {start + o for o in _listed(nodes, pos + 32, end - 8, count)}
        present = {p for p in nodes.positions if start <= p < pos}
        extra += len(present - listed)
        missing += len(listed - present)
    if extra or missing:
        detail = f"{extra} nodes that their block's summary leaves out, {missing} listed that are not there"
        sink.note("hidden" if extra else "mismatch", detail)


def _listed(nodes: Nodes, pos: int, end: int, count: int) -> list[int]:
    """The offsets, from the start of their erase block, of the nodes that a summary lists."""
    view, out = nodes.view, []
    for _ in range(count):
        if pos + 2 > end:
            break
        sort = _SUMMARY_ENTRY.get(view.u16(pos, nodes.layout.big))
        if sort is None or pos + sort[0] > end:
            break
        out.append(view.u32(pos + sort[1], nodes.layout.big))
        pos += sort[0] + (view.u8(pos + 22) if sort[0] == 24 else 0)
    return out


def _report(nodes: Nodes) -> None:
    for what, count in nodes.bad.items():
        code = "malformed" if what == "length" else "checksum"
        nodes.sink.note(code, f"{count} nodes dropped: {what}")
    if nodes.damaged:
        nodes.sink.note("checksum", f"{nodes.damaged} nodes with damaged data")
    for kind, count in list(nodes.unknown.items())[:64]:
        nodes.sink.note("unsupported", f"{count} nodes of unknown type {kind:#06x}")
    strange = sorted(c for c in nodes.compressors if c in (3, 5) or c not in COMPRESSORS)
    if strange:
        nodes.sink.note("unsupported", "compressors " + ", ".join(COMPRESSORS.get(c, str(c)) for c in strange))


def _layout(view: View, start: int) -> Layout | None:
    return next((o for o in LAYOUTS.values() if view.startswith(o.magic, start)), None)


class Jffs2(Reader):
    name = "jffs2"
    title = "JFFS2 file system"
    version = 1
    holds_files = True
    magics = tuple(Magic(struct.pack(order + "HH", 0x1985, kind)) for order in "<>" for kind in sorted(FIXED))
    references = (
        "Linux include/uapi/linux/jffs2.h",
        "Linux fs/jffs2 (scan.c, readinode.c, summary.c, xattr.c)",
        "OpenWrt: LZMA compression for JFFS2",
    )
    limitations = (
        "the Rubin compressors (disabled in Linux since 2.6) are not decoded",
        "of deleted files only the number and bytes are told",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        layout = _layout(view, start)
        if layout is None or node_at(view.sub(start, len(view) - start), layout, 0) is None:
            return None
        window = view.sub(start, len(view) - start)
        found = survey(window, layout)
        return Extent(extent(window, found), sure=found.good > 0)

    def read(self, view: View, sink: Sink) -> None:
        layout = _layout(view, 0)
        if layout is None:
            raise Malformed("no JFFS2 node", offset=0)
        nodes = Nodes(view, layout, sink)
        nodes.load()
        sink.property("byte order", "big" if layout.big else "little")
        sink.property("erase block size", f"{block_size(nodes.marks, nodes.spans)} (inferred)")
        sink.property("compressors", ", ".join(COMPRESSORS.get(c, str(c)) for c in sorted(nodes.compressors)))
        reached = emit(sink, nodes)
        _own(nodes, reached)
        _summaries(nodes)
        _report(nodes)


READERS = (Jffs2(),)
