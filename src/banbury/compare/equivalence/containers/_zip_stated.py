"""What a ZIP archive says of a member's mode and owner, in the words of other formats, and what of it Info-ZIP acts on
beside that.

Source: Info-ZIP, unzip 6.0, ``unix/unix.c`` (mapattr, set_extra_field), ``process.c`` (checks of version and system),
``proginfo/extrafld.txt``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

_UNIX: Final = 3
#: Systems whose members have no mode but a mark that they may not be written: FAT, NTFS by either number.
_MARKED: Final = (0, 10, 11)
_FOLDER, _ARCHIVE = 0x10, 0x20
_NEEDED: Final = 20  # the version that knows folders and DEFLATE; who knows less than is stated passes the member over
_OWNER: Final = 0x7875
_JAR: Final = 0xCAFE  # mark of Java's archives, without content
_ASCII: Final = 0x80


def stated(name: bytes, made: int, needed: int, external: int, internal: int, utf8: int) -> dict[str, object]:
    """A member's mode, where the system that made it has one, and what else is said of it that readers act on.
    ``utf8``: the mark that its name is in UTF-8, or 0."""
    system, upper, lower = made >> 8, external >> 16, external & 0xFFFF
    out: dict[str, object] = {}
    if system == _UNIX and upper:
        out["mode"] = upper & 0o7777
    elif system not in _MARKED or upper:
        out["system and attributes"] = f"{system}, {external:#010x}"
    if lower & ~(_FOLDER | _ARCHIVE) or (lower & _FOLDER and not name.endswith(b"/")):
        out["attributes"] = f"{lower:#06x}"
    if needed > _NEEDED:
        out["version needed"] = needed
    if internal & ~1:
        out["internal attributes"] = internal
    if not utf8 and max(name, default=0) >= _ASCII:
        out["name"] = "in no stated code"
    return out


def owner(extra: Mapping[str, Sequence[tuple[int, bytes]]]) -> dict[str, object]:
    """The owner that the extra fields of the directory and of the local header say, and those of other sorts."""
    central, local = (dict(extra[side]) for side in ("c", "l"))
    raw = local.get(_OWNER)
    out: dict[str, object] = {}
    if raw is not None and central.get(_OWNER) == raw and len(raw) == 11 and (raw[:2], raw[6]) == (b"\1\4", 4):
        out["uid"], out["gid"] = struct.unpack("<xxIxI", raw)
    elif raw is not None or _OWNER in central:
        out["owner in an odd form"] = f"{central.get(_OWNER, b'').hex()}, {(raw or b'').hex()}"
    other = [(k, v.hex()) for k, v in (*extra["c"], *extra["l"]) if k != _OWNER and (k, v) != (_JAR, b"")]
    if other:
        out["extra fields"] = ", ".join(f"{kind:#06x} {value}" for kind, value in other)
    return out
