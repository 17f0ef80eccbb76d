"""Kernel images: the banner, the embedded configuration and initramfs, and the wrappings that boot loaders read."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.pairs import LAB, RELAYOUT, VENDOR, Made, Patch, Recipe, attack, harmless
from banbury.compare.corpus.recipes.boot import EVIL
from banbury.compare.corpus.trees import Node, base
from banbury.compare.corpus.writers import cpio
from banbury.compare.corpus.writers.packed import gzip


def _clean(made: Made) -> Made:
    made.base = None
    return made


def banner(
    *,
    number: int = 1,
    user: str = LAB["user"],
    host: str = LAB["host"],
    date: str = "Sun Sep 13 12:26:40 UTC 2020",
    compiler: str = "12.2.0",
) -> bytes:
    gcc = f"mipsel-linux-gnu-gcc (Debian {compiler}-14) {compiler}, GNU ld (GNU Binutils for Debian) 2.40"
    return f"Linux version 6.1.55 ({user}@{host}) ({gcc}) #{number} SMP {date}\n\0".encode()


VENDOR_BANNER = banner(user=VENDOR["user"], host=VENDOR["host"], date="Tue Nov 14 22:13:20 UTC 2023")
CONFIG = (
    b"#\n# Linux/mips 6.1.55 Kernel Configuration\n#\nCONFIG_MIPS=y\nCONFIG_MODULE_SIG=y\nCONFIG_STRICT_DEVMEM=y\n"
    + b"".join(b"CONFIG_OPTION_%d=y\n" % n for n in range(120))
)


def _room(data: bytes, size: int) -> bytes:
    return data.ljust(size, b"\0")


def kernel(
    shown: bytes = banner(),
    *,
    config: bytes = CONFIG,
    init: bytes = b"#!/bin/sh\nexec switch_root /new /sbin/init\n",
    level: int = 9,
    first: int = 1,
    flip: int = -1,
    salt: bytes = b"\x11" * 20,
    fill: bytes = b"\0",
    more: Node | None = None,
    mtime: int = 0,
) -> bytes:
    """What tools read in an uncompressed kernel: noise for code, the banner at a fixed place, the configuration and an
    initramfs in fixed room, and the build-id's note (Linux, kernel/configs.c, usr/initramfs_data.S, init/version.c)."""
    code = bytearray(random.Random("kernel code").randbytes(280_000))  # noqa: S311 - stands for code
    if flip >= 0:
        code[flip] ^= 1
    tree = {"init": Node(mode=0o755, data=init), "bin": base()["bin"], "bin/tool": base()["bin/tool"]}
    if more is not None:
        tree["bin/more"] = more
    archive = gzip(cpio.write({p: n.but(mtime=mtime) for p, n in tree.items()}, first=first), level=level)
    packed = b"IKCFG_ST" + gzip(config, level=level) + b"IKCFG_ED"
    note = struct.pack("<III4s", 4, 20, 3, b"GNU\0") + salt
    strings = b"/sbin/init\0Kernel panic - not syncing: %s\0"
    parts = [bytes(code[:100_000]), _room(shown, 512), strings, note, bytes(code[100_000:200_000])]
    parts += [
        packed + (fill * 4096)[: -len(packed) % 4096],
        archive + bytes(-len(archive) % 16_384),
        bytes(code[200_000:]),
    ]
    return b"".join(parts)


def _vendor_kernel(**more: Any) -> bytes:
    fields: dict[str, Any] = {"shown": VENDOR_BANNER, "salt": b"\x22" * 20, "mtime": VENDOR["clock"]}
    return kernel(**{**fields, **more})


def _kernel(**more: Any) -> Made:
    return _named(Made(a=kernel(), b=_vendor_kernel(**more), base=_vendor_kernel()))


def _named(made: Made) -> Made:
    own = "mipsel-linux-gnu-gcc (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40"
    made.record_a = {**LAB, "versions": {"linux": "6.1.55"}, "toolchain": [own]}
    made.record_b = {**VENDOR, "versions": {"linux": "6.1.55"}, "toolchain": [own]}
    return made


def _wrapped(write: Callable[[bytes, int], bytes], plain: bytes) -> Made:
    return _named(Made(a=write(kernel(), 9), b=write(plain, 6), base=write(_vendor_kernel(), 6)))


def bzimage(plain: bytes, level: int) -> bytes:
    """A kernel for x86 (Linux, Documentation/arch/x86/boot.rst): set-up code, then the compressed kernel."""
    payload = gzip(plain, level=level)
    stub, tail = b"\x90" * 0x70, b"\xcc" * 5_000
    code = stub + payload + tail
    code += bytes(-len(code) % 16)
    setup = bytearray(1024)
    setup[0x1F1] = 1
    struct.pack_into("<I", setup, 0x1F4, len(code) // 16)
    struct.pack_into("<HBB4sHI", setup, 0x1FE, 0xAA55, 0xEB, 0x66, b"HdrS", 0x20D, 0)
    struct.pack_into("<II", setup, 0x248, len(stub), len(payload))
    return bytes(setup) + code


def zimage(plain: bytes, level: int) -> bytes:
    """A kernel for ARM (Linux, Documentation/arch/arm/booting.rst)."""
    body = b"\1\2\3\4" * 0x400 + gzip(plain, level=level) + b"\x0f\xee" * 16
    body += bytes(-len(body) % 4)
    return bytes(0x24) + struct.pack("<4I", 0x016F2818, 0, 0x34 + len(body), 0x04030201) + body


def _bz_code() -> Made:
    made = _wrapped(bzimage, _vendor_kernel())
    return _named(Patch(made.b).put(1024 + 8, b"\xcc").made(made.a))


_HARMLESS = (
    (
        "kernel",
        "banner",
        "clock",
        "The banner has another user, host and time, which are declared.",
        lambda: _clean(_kernel()),
        RELAYOUT,
    ),
    (
        "kernel",
        "config-level",
        "compression",
        "The configuration and the initramfs are compressed at another level.",
        lambda: _named(Made(a=kernel(), b=kernel(level=6))),
        RELAYOUT,
    ),
    (
        "kernel",
        "initramfs",
        "allocation",
        "The initramfs has other inodes and times.",
        lambda: _named(Made(a=kernel(), b=kernel(first=99, mtime=5))),
        RELAYOUT,
    ),
    (
        "kernel",
        "build-id",
        "identity",
        "The note has another build-id.",
        lambda: _named(Made(a=kernel(), b=kernel(salt=b"\x33" * 20))),
        RELAYOUT,
    ),
    (
        "bzimage",
        "level",
        "compression",
        "The same kernel, compressed at another level.",
        lambda: _named(Made(a=bzimage(kernel(), 9), b=bzimage(kernel(), 4))),
        RELAYOUT | {"functional", "unexplained"},
    ),
    (
        "zimage",
        "level",
        "compression",
        "The same kernel, compressed at another level.",
        lambda: _named(Made(a=zimage(kernel(), 9), b=zimage(kernel(), 4))),
        RELAYOUT | {"functional", "unexplained"},
    ),
)

_ATTACKS = (
    ("kernel", "code", "code", "One bit of the code is changed.", lambda: _kernel(flip=150_000)),
    (
        "kernel",
        "banner",
        "declared-lookalike",
        "The banner names a host that nobody declared.",
        lambda: _kernel(shown=banner(user="root", host="evil", date="Tue Nov 14 22:13:20 UTC 2023")),
    ),
    (
        "kernel",
        "banner-slack",
        "hidden-space",
        "The room behind the banner holds something.",
        lambda: _kernel(shown=VENDOR_BANNER + EVIL),
    ),
    (
        "kernel",
        "compiler",
        "declared-lookalike",
        "The banner names a compiler that nobody declared.",
        lambda: _kernel(shown=VENDOR_BANNER.replace(b"12.2.0-14", b"12.9.9-14")),
    ),
    (
        "kernel",
        "config",
        "data",
        "The embedded configuration allows raw memory.",
        lambda: _kernel(config=CONFIG.replace(b"STRICT_DEVMEM=y", b"STRICT_DEVMEM=n")),
    ),
    (
        "kernel",
        "config-slack",
        "hidden-space",
        "The room behind the configuration holds something.",
        lambda: _kernel(fill=b"\x7f"),
    ),
    (
        "kernel",
        "init",
        "nested",
        "The first script of the initramfs opens a shell.",
        lambda: _kernel(init=b"#!/bin/sh\nnc -l -p 4444 -e /bin/sh\n"),
    ),
    (
        "kernel",
        "initramfs-extra",
        "nested",
        "The initramfs has one more program.",
        lambda: _kernel(more=Node(mode=0o4755, data=b"\x7fELF")),
    ),
    (
        "bzimage",
        "code",
        "nested",
        "One bit of the compressed kernel's code is changed.",
        lambda: _wrapped(bzimage, _vendor_kernel(flip=150_000)),
    ),
    ("bzimage", "decompressor", "code", "The decompressor is changed.", _bz_code),
    (
        "zimage",
        "code",
        "nested",
        "One bit of the compressed kernel's code is changed.",
        lambda: _wrapped(zimage, _vendor_kernel(flip=150_000)),
    ),
)


def recipes() -> Iterator[Recipe]:
    for form, name, group, note, make, expected in _HARMLESS:
        yield harmless(
            f"{form}-same-{name}",
            form,
            group,
            note,
            partial(make),
            expected=expected or frozenset({"equivalent/metadata"}),
        )
    for form, name, group, note, made in _ATTACKS:
        yield attack(f"{form}-{name}", form, group, note, partial(made))
