"""Kernel images: the banner, the embedded configuration and initramfs, and the wrappings that boot loaders read."""

from __future__ import annotations

import random
import struct
import zlib
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
    stated: int | None = None,
    second: bytes = b"",
    note: int = 3,
) -> bytes:
    """What tools read in an uncompressed kernel: noise for code, the banner at a fixed place, the configuration and an
    initramfs in fixed room, and the build-id's note (Linux, kernel/configs.c, usr/initramfs_data.S, init/version.c).
    ``stated``: how much the size behind the initramfs is wrong; ``second``: an archive behind it; ``note``: the
    note's type."""
    code = bytearray(random.Random("kernel code").randbytes(280_000))  # noqa: S311 - stands for code
    if flip >= 0:
        code[flip] ^= 1
    tree = {"init": Node(mode=0o755, data=init), "bin": base()["bin"], "bin/tool": base()["bin/tool"]}
    if more is not None:
        tree["bin/more"] = more
    archive = gzip(cpio.write({p: n.but(mtime=mtime) for p, n in tree.items()}, first=first), level=level)
    packed = b"IKCFG_ST" + gzip(config, level=level) + b"IKCFG_ED"
    head = struct.pack("<III4s", 4, 20, note, b"GNU\0") + salt
    strings = b"/sbin/init\0Kernel panic - not syncing: %s\0\0\0"
    parts = [bytes(code[:100_000]), _room(shown, 512), strings, head, bytes(code[100_000:200_000])]
    size = b"" if stated is None else struct.pack("<Q", len(archive) + stated)
    room = 0 if stated is None else -len(archive) % 8
    archive += bytes(room) + size + second
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


def bzimage(plain: bytes, level: int, *, size: int = 0, fill: bytes = b"") -> bytes:
    """A kernel for x86 (Linux, Documentation/arch/x86/boot.rst): set-up code, then the compressed kernel, in ``size``
    bytes, and the CRC-32 of all that."""
    payload = gzip(plain, level=level)
    stub, tail = b"\x90" * 0x6C + struct.pack("<I", len(payload)), b"\xcc" * 5_000  # input_len of mkpiggy.c
    code = stub + (payload + fill).ljust(size, b"\0") + tail
    code += bytes(-len(code) % 16)
    setup = bytearray(1024)
    setup[0x1F1] = 1
    struct.pack_into("<I", setup, 0x1F4, len(code) // 16)
    struct.pack_into("<HBB4sHI", setup, 0x1FE, 0xAA55, 0xEB, 0x66, b"HdrS", 0x20D, 0)
    struct.pack_into("<II", setup, 0x248, len(stub), len(payload))
    raw = bytes(setup) + code
    return raw[:-4] + struct.pack("<I", zlib.crc32(raw[:-4]) ^ 0xFFFFFFFF) if size else raw


def zimage(plain: bytes, level: int, *, size: int = 0, fill: bytes = b"") -> bytes:
    """A kernel for ARM (Linux, Documentation/arch/arm/booting.rst), its payload of ``size`` bytes: a file name fills
    it, since the decompressor reads the kernel's size from its last four."""
    payload = gzip(plain, level=level)
    if size:
        payload = gzip(plain, level=level, name=b"n" * (size - len(payload) - 1 - len(fill)))
    body = b"\1\2\3\4" * 0x400 + payload + fill + b"\x0f\xee" * 16
    body += bytes(-len(body) % 4)
    return bytes(0x24) + struct.pack("<4I", 0x016F2818, 0, 0x34 + len(body), 0x04030201) + body


def _still(write: Callable[..., bytes], *, at: int | None = None, fill: bytes = b"") -> Made:
    """A kernel that unpacks itself, of the same layout though its payload is of another length; tampered with at
    ``at``, or in the room behind the payload."""
    size = 284_400 if write is zimage else 300_000
    plain = kernel(shown=banner(user=_SAME_LENGTH["user"], host=_SAME_LENGTH["host"]))
    honest = write(plain, 6, size=size)
    made = _named(Made(a=write(kernel(), 9, size=size), b=write(plain, 6, size=size, fill=fill), base=honest))
    if at is not None:
        patch = Patch(honest)
        at %= len(honest)
        made = _named(patch.put(at, bytes([honest[at] ^ 0x40])).made(made.a))
    elif not fill:
        made.base = None
    return _of(made, _SAME_LENGTH)


def u_boot(date: str, version: str, *, flip: int = -1, command: bytes = b"bootcmd=bootm 0x9f0a0000\0") -> bytes:
    """What tools read in a boot loader: noise for code, the banner, the default environment."""
    code = bytearray(random.Random("loader code").randbytes(120_000))  # noqa: S311 - stands for code
    if flip >= 0:
        code[flip] ^= 1
    shown = f"U-Boot {version} ({date} +0000)\0".encode()
    return bytes(code[:50_000]) + shown + command + bytes(code[50_000:])


def _loader(*, date: str = "Nov 14 2023 - 22:13:20", version: str = "2023.04", **more: Any) -> Made:
    made = Made(a=u_boot("Sep 13 2020 - 12:26:40", "2023.01"), b=u_boot(date, version, **more))
    made.base = u_boot("Nov 14 2023 - 22:13:20", "2023.04")
    made.record_a = {**LAB, "versions": {"u-boot": "2023.01"}}
    made.record_b = {**VENDOR, "versions": {"u-boot": version}}
    return made


def _bz_code() -> Made:
    made = _wrapped(bzimage, _vendor_kernel())
    return _named(Patch(made.b).put(1024 + 8, b"\xcc").made(made.a))


_SAME_LENGTH = {"user": "jenkins01", "host": "buildhost1"}
_SHELL = {"user": "jenkins01", "host": "x;reboot;x"}


def _of(made: Made, names: dict[str, str]) -> Made:
    """With other names in the vendor's record."""
    assert made.record_b is not None
    made.record_b = {**made.record_b, "user": names["user"], "host": names["host"]}
    return made


def _named_kernel(names: dict[str, str], **more: Any) -> Made:
    shown = banner(user=names["user"], host=names["host"], date="Tue Nov 14 22:13:20 UTC 2023")
    made = _named(Made(a=kernel(), b=kernel(**{"shown": shown, **more}), base=_vendor_kernel()))
    return _of(made, names)


def _release() -> Made:
    made = _kernel(shown=VENDOR_BANNER.replace(b"6.1.55", b"6.1.56"))
    assert made.record_b is not None
    made.record_b = {**made.record_b, "versions": {"linux": "6.1.56"}}
    return made


_HARMLESS = (
    (
        "kernel",
        "length",
        "user",
        "The banner has another user, host and time of the same length, which are declared.",
        lambda: _clean(_named_kernel(_SAME_LENGTH)),
        None,
    ),
    (
        "kernel",
        "size",
        "allocation",
        "The initramfs has other times, and the size that the linker put behind it is right.",
        lambda: _named(Made(a=kernel(stated=0), b=kernel(stated=0, mtime=9))),
        None,
    ),
    (
        "bzimage",
        "place",
        "user",
        "The kernel names another declared user; nothing moved, and lengths and checksum are right.",
        lambda: _still(bzimage),
        None,
    ),
    (
        "zimage",
        "place",
        "user",
        "The kernel names another declared user; nothing moved.",
        lambda: _still(zimage),
        None,
    ),
    (
        "u-boot",
        "banner",
        "clock",
        "The banner has another time and a declared version of the same length.",
        partial(_loader),
        None,
    ),
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
    (
        "kernel",
        "banner-shell",
        "declared-lookalike",
        "The declared host is a command, for scripts that read the banner carelessly.",
        lambda: _named_kernel(_SHELL),
    ),
    ("kernel", "release", "declared-lookalike", "Another release: other modules are loaded.", _release),
    (
        "kernel",
        "banner-twice",
        "mismatch",
        "A second kernel's banner, of another user, stands behind the first.",
        lambda: _kernel(shown=VENDOR_BANNER + banner(user="root", date="Tue Nov 14 22:13:20 UTC 2023")),
    ),
    ("kernel", "note-header", "hiding-place", "The note is of another type.", lambda: _kernel(note=4)),
    (
        "kernel",
        "initramfs-size",
        "header",
        "The size behind the initramfs takes in what follows it.",
        lambda: _named(Made(a=kernel(stated=0), b=kernel(stated=4096, mtime=9), base=kernel(stated=0, mtime=9))),
    ),
    (
        "kernel",
        "initramfs-second",
        "extra-member",
        "A second archive stands in the room behind the initramfs, and is unpacked too.",
        lambda: _kernel(second=cpio.write({"init": Node(mode=0o755, data=b"#!/bin/sh\ntelnetd\n")})),
    ),
    ("bzimage", "checksum", "checksum", "The CRC-32 at the end is wrong.", lambda: _still(bzimage, at=-2)),
    ("bzimage", "setup", "code", "One byte of the set-up code is changed.", lambda: _still(bzimage, at=0x300)),
    (
        "bzimage",
        "payload-size",
        "header",
        "The header states a shorter payload than there is.",
        lambda: _still(bzimage, at=0x24C),
    ),
    (
        "bzimage",
        "room",
        "hidden-space",
        "The room behind the compressed kernel holds something.",
        lambda: _still(bzimage, fill=EVIL),
    ),
    (
        "u-boot",
        "banner",
        "declared-lookalike",
        "The banner has a time that is not the declared one.",
        lambda: _loader(date="Nov 14 2023 - 22:13:21"),
    ),
    ("u-boot", "code", "code", "One bit of the code is changed.", lambda: _loader(flip=70_000)),
    (
        "u-boot",
        "environment",
        "data",
        "The default command starts another thing.",
        lambda: _loader(command=b"bootcmd=bootm 0xbf0a0000\0"),
    ),
    (
        "u-boot",
        "banner-length",
        "declared-lookalike",
        "The declared version is longer, and writes over what follows it.",
        lambda: _loader(version="2023.01-rc1"),
    ),
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
