"""POSIX access lists as ext and JFFS2 store them.

Sources: Linux ``fs/ext4/acl.h``, ``fs/jffs2/acl.h``, ``include/uapi/linux/posix_acl_xattr.h``.
"""

from __future__ import annotations

import struct


def as_given(stored: bytes, order: str = "<") -> bytes:
    """A POSIX access list as getxattr(2) gives it (version 2, little-endian, 8 bytes an entry) from the shorter form of
    a file system (version 1, in the ``order`` of its bytes); what is none, as it is."""
    if stored[:4] != struct.pack(order + "I", 1):
        return stored
    out = [struct.pack("<I", 2)]
    at = 4
    while at + 4 <= len(stored):
        tag, rights = struct.unpack_from(order + "HH", stored, at)
        at += 4
        owner = 0xFFFFFFFF
        if tag in (2, 8):
            if at + 4 > len(stored):
                return stored
            owner = struct.unpack_from(order + "I", stored, at)[0]
            at += 4
        out.append(struct.pack("<HHI", tag, rights, owner))
    return b"".join(out)
