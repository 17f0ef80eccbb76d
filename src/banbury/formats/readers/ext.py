"""The ext2, ext3 and ext4 file systems."""

from __future__ import annotations

import numpy as np

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._disk import USED, Blocks, leftovers, note_hidden
from banbury.formats.readers._ext_groups import Groups, describe
from banbury.formats.readers._ext_inode import Inode
from banbury.formats.readers._ext_super import MAGIC, SUPER_AT, UNREAD_FEATURES, Super, read_super
from banbury.formats.readers._ext_walk import ROOT, Walk
from banbury.formats.view import View
from banbury.model.errors import Truncated
from banbury.model.tree import Role

_BOOT_LOADER = 5  # the one reserved inode that can hold a file (special_inodes.rst)


class ExtReader(Reader):
    """ext2/3/4 as Linux reads it, without replaying the journal."""

    name = "ext"
    title = "ext2/ext3/ext4 file system"
    version = 1
    holds_files = True
    magics = (Magic(MAGIC, SUPER_AT + 56),)
    references = ("Linux Documentation/filesystems/ext4", "e2fsprogs lib/ext2fs/ext2_fs.h")
    limitations = (
        "A journal is not replayed: where recovery is needed, the tree is read as it stands on disk (noted).",
        "What the journal's blocks and the unused ends of directory blocks hold is not looked into.",
        "Encrypted names and content are given as stored; files compressed by the old e2compr patch too.",
        "Of the checksums, only those of the superblock, group descriptors and inodes are compared.",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        sb = read_super(view, start + SUPER_AT)
        if sb.group:
            return None  # a copy of another file system's superblock
        room = len(view) - start
        root = self._root_is_directory(view, start, sb)
        checked = sb.has("metadata_csum") and sb.checksum == sb.computed
        if root is False and not checked:
            return None
        return Extent(min(sb.length, room), sure=bool(root) or checked)

    @staticmethod
    def _root_is_directory(view: View, start: int, sb: Super) -> bool | None:
        """``None`` where the root inode lies past the end of the view."""
        window = view.sub(start, min(len(view) - start, sb.length))
        at = (sb.first_data_block + 1) * sb.block
        try:
            table = window.u32(at + 8)
            root = Inode(window, table * sb.block + (ROOT - 1) * sb.inode_size, ROOT, sb.inode_size)
        except Truncated:
            return None
        return table > 0 and root.sort == 4 and root.links > 0 and (root.size > 0 or bool(root.flags))

    def read(self, view: View, sink: Sink) -> None:
        sb = read_super(view, SUPER_AT)
        describe(sb, sink)
        self._remarks(view, sb, sink)
        groups = Groups(view, sb)
        blocks = Blocks(sb.block, min(sb.blocks, len(view) // sb.block))
        groups.claim(blocks, sink)
        groups.check_descriptors(sink)
        walk = Walk(view, sb, groups, blocks, sink)
        self._special(sb, walk)
        walk.tree()
        used = groups.inodes_in_use(sink)
        self._account(sb, walk, used.tolist(), sink)
        self._blocks(view, sb, groups, blocks, walk, sink)

    @staticmethod
    def _remarks(view: View, sb: Super, sink: Sink) -> None:
        if sb.checksum != sb.computed:
            sink.note("checksum", "the superblock's checksum does not match", start=SUPER_AT, end=SUPER_AT + 1024)
        if len(view) < sb.length:
            sink.note("truncated", f"{len(view)} of {sb.length} bytes are there")
        if sb.has("needs_recovery"):
            sink.note("unsupported", "the file system was not unmounted cleanly; its journal is not replayed")
        odd = sorted(sb.features & UNREAD_FEATURES)
        if odd or sb.unknown:
            sink.note("unsupported", f"features: {', '.join(odd)} unknown bits {sb.unknown:#x}")
        boot = view.take(0, SUPER_AT)
        if boot != boot[:1] * SUPER_AT:
            sink.note("hidden", "the 1024 bytes before the superblock are not empty", start=0, end=SUPER_AT)

    @staticmethod
    def _special(sb: Super, walk: Walk) -> None:
        """The inodes that belong to the file system itself (special_inodes.rst)."""
        if sb.has("resize_inode"):
            walk.resize_inode()
        for number in {3, 4} | set(sb.special_inodes):
            walk.special(number, "orphan file" if number > 10 else "quota file")
        if sb.journal_inode:
            walk.special(sb.journal_inode, "journal")
        if sb.mmp_block and not walk.blocks.claim(sb.mmp_block):
            start = sb.mmp_block * sb.block
            walk.sink.own(start, start + 1024, Role.TABLE, "multi-mount protection")

    @staticmethod
    def _account(sb: Super, walk: Walk, used: list[int], sink: Sink) -> None:
        """The inodes no directory names, and the count of all."""
        named = set(walk.met)
        free = named.difference(used)
        outside = sorted(n for n in free if n >= sb.first_inode)
        if outside:
            sink.note("mismatch", f"{len(outside)} inodes have names but are free, the first is {outside[0]}")
        walk.lost([n for n in used if n >= sb.first_inode or n == _BOOT_LOADER])
        reserved = sb.first_inode - 1
        found = reserved + sum(1 for n in walk.met if n >= sb.first_inode)
        sink.check("inodes in use", sb.inodes - sb.free_inodes, found)

    @staticmethod
    def _blocks(view: View, sb: Super, groups: Groups, blocks: Blocks, walk: Walk, sink: Sink) -> None:
        """Blocks nobody reads, and the count of those in use."""
        walk.placer.finish("blocks", shared=sb.has("shared_blocks"))
        for what, count in walk.oddities.items():
            if count:
                code = "encrypted" if what == "encrypted" else "unsupported"
                sink.note(code, f"{count} files are {what}; their stored bytes are given")
        used = (blocks.map & USED) != 0
        if sb.cluster > 1:  # space is given out in clusters
            ends = -(-(blocks.count - sb.first_data_block) // sb.cluster)
            padded = np.zeros(ends * sb.cluster, np.bool_)
            padded[: blocks.count - sb.first_data_block] = used[sb.first_data_block :]
            whole = np.repeat(padded.reshape(ends, sb.cluster).any(axis=1), sb.cluster)
            used[sb.first_data_block :] = whole[: blocks.count - sb.first_data_block]
        free = groups.free_blocks(used)
        odd = leftovers(view, blocks, sink)
        note_hidden(sink, odd & free, blocks, "free blocks")
        note_hidden(sink, odd & ~free, blocks, "blocks in use that no file's content reaches")
        wrong = int((used & free).sum())
        if wrong:
            sink.note("mismatch", f"{wrong} blocks are in use and marked free")
        if len(view) >= sb.length:
            sink.check("blocks in use", sb.blocks - sb.free_blocks, int(used.sum()))


READERS: list[Reader] = [ExtReader()]
