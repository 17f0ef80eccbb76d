"""Kernels in every wrapping, around content that is not a kernel (the wrappers do not care) and around one that is."""

from __future__ import annotations

import bz2
import gzip
import lzma

import zstandard

from tests.formats.case import Case
from tests.formats.cases.streams import lz4_legacy, lzop_file
from tests.formats.headers import BANNER, bzimage, image, plain_kernel, zboot, zimage

CONTENT = b"".join(b"kernel code %d\n" % n for n in range(3000))
PACKED = {
    "bzip2": bz2.compress(CONTENT),
    "lzma": lzma.compress(CONTENT, lzma.FORMAT_ALONE),
    "xz": lzma.compress(CONTENT, check=lzma.CHECK_CRC32),
    "lzop": lzop_file(CONTENT),
    "lz4": lz4_legacy(CONTENT),
    "zstd": zstandard.compress(CONTENT),
}
SIZE = len(CONTENT).to_bytes(4, "little")
GZIP = gzip.compress(CONTENT, mtime=0)
CONFIG = b"CONFIG_MIPS=y\n" * 200

CASES = [
    *(
        Case("bzimage", "positive", kind, lambda d=data: bzimage(d, size_behind=SIZE), {"vmlinux": CONTENT})
        for kind, data in PACKED.items()
    ),
    Case("bzimage", "positive", "gzip", lambda: bzimage(GZIP), {"vmlinux": CONTENT}),
    Case("bzimage", "negative", "boot-flag", lambda: bzimage(GZIP)[:0x1FE] + b"\0\0" + bzimage(GZIP)[0x200:]),
    Case("bzimage", "malformed", "short", lambda: bzimage(GZIP)[: 0x1400 + 1000], notes=frozenset({"truncated"})),
    Case("bzimage", "malformed", "no-payload", lambda: bzimage(b"\xcc" * 9000), notes=frozenset({"unsupported"})),
    Case("zimage", "positive", "little", lambda: zimage(PACKED["xz"]), {"vmlinux": CONTENT}),
    Case("zimage", "positive", "big", lambda: zimage(GZIP, big=True), {"vmlinux": CONTENT}),
    Case("zimage", "negative", "size", lambda: zimage(GZIP)[:0x2C] + b"\3\0\0\0" + zimage(GZIP)[0x30:]),
    Case("zimage", "malformed", "short", lambda: zimage(GZIP)[:-500], notes=frozenset({"truncated"})),
    Case("linux-image", "positive", "arm64", lambda: image(plain_kernel()), {"config": CONFIG}),
    Case(
        "linux-image", "negative", "reserved", lambda: image(plain_kernel())[:32] + b"\1" + image(plain_kernel())[33:]
    ),
    Case("linux-image", "malformed", "short", lambda: image(plain_kernel())[:2000]),
    Case("efi-zboot", "positive", "gzip", lambda: zboot(GZIP), {"vmlinux": CONTENT}),
    Case("efi-zboot", "negative", "offset", lambda: zboot(GZIP)[:8] + b"\xff\xff\xff\xff" + zboot(GZIP)[12:]),
    Case("efi-zboot", "malformed", "no-payload", lambda: zboot(b"\x33" * 2000)),
    Case("linux-kernel", "positive", "raw", plain_kernel, {"config": CONFIG}),
    Case("linux-kernel", "negative", "flash-dump", lambda: plain_kernel() + b"\xff" * 8192),
    Case(
        "linux-kernel", "negative", "file-system", lambda: BANNER + plain_kernel().replace(b"/sbin/init", b"/sbin/INIT")
    ),
    Case("linux-kernel", "negative", "sparse", lambda: plain_kernel() + bytes(200_000)),
    Case("linux-kernel", "negative", "log", lambda: b"[0.0] Linux version 3.10.49 (build@host)\n" * 9000),
    Case("linux-kernel", "malformed", "short", lambda: plain_kernel()[:250_000]),
]
