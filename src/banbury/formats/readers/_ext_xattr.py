"""Extended attributes of ext2/3/4: in the inode, in a block of their own, in inodes of their own.

Source: the kernel's Documentation/filesystems/ext4/attributes.rst; fs/ext4/acl.h for the stored form of ACLs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from banbury.formats.contract import Sink
from banbury.formats.readers._access_list import as_given
from banbury.formats.readers._disk import Blocks
from banbury.formats.readers._ext_inode import Inode
from banbury.formats.readers._ext_super import Super
from banbury.formats.view import View
from banbury.model.errors import Malformed
from banbury.model.tree import Role

_MAGIC = 0xEA020000
_ENTRY = struct.Struct("<BBHIII")
_PREFIX = {
    0: "",
    1: "user.",
    2: "system.posix_acl_access",
    3: "system.posix_acl_default",
    4: "trusted.",
    6: "security.",
    7: "system.",
    8: "system.richacl",
    9: "encryption.",
}
Attributes = dict[str, bytes]


class Xattrs:
    """Reads attributes; a block that many inodes share is read once, and the sum of all values is bounded."""

    def __init__(self, view: View, sb: Super, blocks: Blocks, sink: Sink, value_of: Callable[[int], bytes]) -> None:
        self.view, self.sb, self.blocks, self.sink = view, sb, blocks, sink
        self._value_of = value_of
        self._cache: dict[int, Attributes] = {}
        self._left = max(64 << 20, 4 * len(view))

    def of(self, inode: Inode, limit: int) -> Attributes:
        """All attributes of an inode whose record ends at ``limit`` (bytes); read only. Raises ``Malformed``."""
        out: Attributes = {}
        if inode.tail and inode.tail + 4 <= limit and self.view.u32(inode.tail) == _MAGIC:
            data = self.view.take(inode.tail + 4, limit - inode.tail - 4)
            out = self._entries(data, 0, inode.number)
        if inode.acl:
            shared = self._block(inode.acl)
            out = {**shared, **out} if out else shared
        self._left -= sum(64 + len(name) + len(value) for name, value in out.items())
        if self._left < 0:
            raise Malformed("the attributes of all files take more bytes than the container allows for")
        return out

    def _block(self, block: int) -> Attributes:
        if block in self._cache:
            return self._cache[block]
        self._cache[block] = {}
        size = self.sb.block
        if not 0 < block < self.blocks.count:
            raise Malformed(f"an attribute block {block} lies outside the file system")
        data = self.view.take(block * size, size)
        if struct.unpack_from("<I", data)[0] != _MAGIC:
            raise Malformed(f"block {block} holds no attributes", offset=block * size)
        if self.blocks.claim(block):
            self.sink.note("overlap", "an attribute block is in use already", start=block * size)
        self.sink.own(block * size, (block + 1) * size, Role.TABLE, "extended attributes")
        self._cache[block] = self._entries(data, 32, 0)
        return self._cache[block]

    def _entries(self, data: bytes, at: int, number: int) -> Attributes:
        """Attributes from ``at`` on; values are addressed from the start of ``data``."""
        out: Attributes = {}
        while at + 4 <= len(data) and data[at : at + 4] != b"\0\0\0\0":
            if at + 16 > len(data):
                raise Malformed(f"inode {number}: attributes end early")
            length, index, offset, inum, size, _ = _ENTRY.unpack_from(data, at)
            name = data[at + 16 : at + 16 + length]
            if inum:
                value = self._value_of(inum)[:size]
            elif offset + size <= len(data):
                value = data[offset : offset + size]
            else:
                raise Malformed(f"inode {number}: an attribute's value lies outside")
            prefix = _PREFIX.get(index, f"{index}.")
            if index in (2, 3):
                value = as_given(value)
            out[prefix + name.decode("utf-8", "backslashreplace")] = value
            at += 16 + (length + 3 & ~3)
        return out
