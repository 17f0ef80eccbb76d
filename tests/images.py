"""Small images made in code for tests of the whole: no tool and no firmware is needed."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zlib

PASSWD = b"root:x:0:0:root:/root:/bin/sh\nservice:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
SHADOW = b"root::10933:0:99999:7:::\nservice:*:10933:0:99999:7:::\n"


def tar_of(files: dict[str, bytes], modes: dict[str, int] | None = None) -> bytes:
    """A ustar archive with these files, in order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), (modes or {}).get(name, 0o644)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def uimage(payload: bytes, name: bytes = b"root") -> bytes:
    """A legacy U-Boot image (include/image.h) around a payload, both checksums right."""
    header = bytearray(64)
    header[0:4] = bytes.fromhex("27051956")
    header[12:16] = len(payload).to_bytes(4, "big")
    header[24:28] = zlib.crc32(payload).to_bytes(4, "big")
    header[28:32] = bytes((5, 5, 3, 0))
    header[32 : 32 + len(name)] = name
    header[4:8] = zlib.crc32(bytes(header)).to_bytes(4, "big")
    return bytes(header) + payload


def router(version: str, extra: dict[str, bytes] | None = None) -> bytes:
    """A router-like image: header, compressed tree, a second compressed part, erased flash."""
    files = {
        "etc/passwd": PASSWD,
        "etc/shadow": SHADOW,
        "etc/banner": f"EX {version}\n".encode() * 40,
        "etc/init.d/S50net": b"#!/bin/sh\n# start\n/usr/sbin/netd\n",
        "usr/share/notes.txt": b"plain text that stays the same\n" * 30,
        f"lib/modules/{version}/x.txt": b"module " + version.encode() + b"\n" * 500,
        **(extra or {}),
    }
    tree = gzip.compress(tar_of(files, {"etc/init.d/S50net": 0o777}), mtime=0)
    second = lzma.compress(b"second part " * 4000, format=lzma.FORMAT_XZ)
    image = uimage(tree) + second
    return image + b"\xff" * (0x20000 - len(image) % 0x10000)
