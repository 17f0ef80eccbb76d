"""SquashFS, all versions in both byte orders, with vendors' magics and compressors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from banbury.formats.contract import Extent, Magic, Reader, Sink
from banbury.formats.readers._squashfs_content import Version
from banbury.formats.readers._squashfs_image import Image, Inode, absent
from banbury.formats.readers._squashfs_old import VersionOld
from banbury.formats.readers._squashfs_super import FLAG_OPTIONS, MAGICS, METADATA, Super, parse_super
from banbury.formats.readers._squashfs_v4 import Version4
from banbury.formats.readers._squashfs_walk import Walk
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Kind, Role

_PADDING: Final = (4096, 1024)  # mksquashfs and old mksquashfs fill up to these


class SquashFs(Reader):
    """Reads the tree, the contents and every table of a SquashFS image."""

    name: ClassVar[str] = "squashfs"
    title: ClassVar[str] = "SquashFS"
    version: ClassVar[int] = 1
    holds_files = True
    magics: ClassVar[Sequence[Magic]] = tuple(Magic(magic) for magic in MAGICS)
    references: ClassVar[Sequence[str]] = (
        "Linux, Documentation/filesystems/squashfs.rst",
        "squashfs-tools, squashfs_fs.h and squashfs_compat.h",
        "squashfs-tools-ng, doc/format.adoc",
    )
    limitations: ClassVar[Sequence[str]] = (
        "images whose vendor changed the superblock's fields or encrypted the blocks",
        "inodes and names that nothing refers to, in a metadata block used otherwise, show only in the inode count",
    )

    def probe(self, view: View, start: int) -> Extent | None:
        head = parse_super(view, start)
        left = len(view) - start
        if head.bytes_used > left:
            # Cut short. The tables stand at the end, so nothing can be tried.
            return Extent(left, sure=False) if left > head.length else None
        image = Image(view.sub(start, head.bytes_used), head)
        return Extent(_padded(view, start, head.bytes_used), sure=_settle(image) is not None)

    def read(self, view: View, sink: Sink) -> None:
        head = parse_super(view)
        sink.own(0, head.length, Role.HEADER, "superblock")
        image = Image(view, head, sink)
        image.own(0, head.length, Role.HEADER, "superblock")
        _describe(head, sink)
        if head.bytes_used > len(view):
            image.damaged = True
            sink.note("truncated", f"{len(view)} of {head.bytes_used} bytes")
        root = _settle(image)
        if root is None:
            raise Malformed("the root directory's inode cannot be read", offset=head.inode_start)
        version = _version(image)
        _options(image)
        version.load()
        walk = Walk(image, version, sink)
        try:
            walk.run()
        finally:
            sink.property("compressor", ", ".join(image.codec.names) or "none")
        _finish(image, version, walk, sink)


def _version(image: Image) -> Version:
    return Version4(image) if image.head.version == 4 else VersionOld(image)


def _settle(image: Image) -> Inode | None:
    """Find the compressor (and the byte order of block lengths) by the root inode's block; ``None`` if none fits."""
    head = image.head

    def sensible(block: bytes) -> bool:
        """Whether the root inode stands in this metadata block, as a directory."""
        at = head.root & 0xFFFF
        if at + 4 > len(block):
            return False
        word = int.from_bytes(block[at : at + 2], "big" if head.big else "little")
        sort = word if head.version == 4 else word >> 12 if head.big else word & 15
        return sort % 5 == 1 if head.version == 1 else sort in (1, 8)

    for little in (False, True) if head.version == 4 and head.big else (False,):
        image.short_little = little
        try:
            image.metadata(head.inode_start + (head.root >> 16), "inode table", sensible)
            inode, _ = _version(image).inode(head.root >> 16, head.root & 0xFFFF)
        except Malformed:
            continue
        if inode.kind is Kind.DIR:
            return inode
    return None


def _padded(view: View, start: int, used: int) -> int:
    """The image's length with the constant fill that its maker put behind it."""
    for step in _PADDING:
        end = -(-used // step) * step
        if start + end <= len(view) and view.run(start + used, start + end) == end - used:
            return end
    return used


def _describe(head: Super, sink: Sink) -> None:
    sink.property("version", f"{head.version}.{head.minor}")
    sink.property("byte order", "big-endian" if head.big else "little-endian")
    sink.property("magic", f"{head.magic.decode('latin-1')} ({MAGICS[head.magic]})")
    sink.property("block size", str(head.block_size))
    sink.property("inodes", str(head.inodes))
    sink.property("made", f"{head.mtime} s since 1970 UTC")
    if head.flag_names:
        sink.property("flags", head.flag_names)
    if head.compressor:
        sink.property("compressor stated", head.compressor)


def _options(image: Image) -> None:
    """The compressor's options: one metadata block after the superblock."""
    if image.head.version == 4 and image.head.flags & FLAG_OPTIONS:
        try:
            image.metadata(image.head.length, "compressor options")
        except Malformed as problem:
            image.fail(problem, "compressor options")


def _finish(image: Image, version: Version, walk: Walk, sink: Sink) -> None:
    """What the whole image shows, once the tree has been walked."""
    head = image.head
    _exports(image, version, walk)
    if head.compressor and image.codec.names and head.compressor not in image.codec.names:
        sink.note("mismatch", f"states {head.compressor}, uses {', '.join(image.codec.names)}")
    sink.check("inodes", head.inodes, len(walk.inodes))
    if head.version > 1:
        sink.check("fragments", head.fragments, len(walk.used_fragments))
    sink.check("ids", head.ids if head.version == 4 else head.uids + head.guids, len(version.used_ids))
    if not image.damaged:
        for start, end in image.gaps(0, min(head.bytes_used, len(image.view))):
            sink.note("hidden", "bytes that no inode and no table refers to", start=start, end=end)


def _exports(image: Image, version: Version, walk: Walk) -> None:
    """Inodes that the export table offers and no directory names."""
    head = image.head
    if absent(head.export_start) or head.inodes * 8 > len(image.view) * METADATA:
        return
    try:
        references = version.exported()
    except Malformed as problem:
        image.fail(problem, "export table")
        return
    unseen = [number for number, reference in enumerate(references, 1) if reference not in walk.inodes]
    if unseen and not image.damaged:
        image.note("hidden", f"{len(unseen)} inodes are exported and in no directory, the first {unseen[0]}")


READERS: Final[list[Reader]] = [SquashFs()]
