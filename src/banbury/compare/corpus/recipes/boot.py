"""What boot loaders and kernels read: U-Boot images, FIT, device trees, kernel images with their configuration."""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial

from banbury.compare.corpus.pairs import LAB, RELAYOUT, VENDOR, Made, Patch, Recipe, attack, harmless
from banbury.compare.corpus.trees import Node, base, text
from banbury.compare.corpus.writers import cpio
from banbury.compare.corpus.writers.boxes import Fields, fdt, uimage
from banbury.compare.corpus.writers.packed import gzip
from banbury.compare.corpus.writers.signed import key

PAYLOAD = gzip(text(30_000, "kernel"))
OTHER = gzip(text(30_000, "kernel").replace(b"deny", b"pass"))
EVIL = b"init=/bin/sh; nc -l -p 4444"
_SAME = frozenset[str]()


# --- legacy images ---------------------------------------------------------------------------------------------------


def _uimage(data: bytes = PAYLOAD, *, tail: bytes = b"", **more: int | str) -> Made:
    fields = {"time": VENDOR["clock"], **more}
    b = uimage(data, **fields) + tail  # type: ignore[arg-type]  # fields of the header
    return Made(a=uimage(PAYLOAD), b=b, base=uimage(PAYLOAD, time=VENDOR["clock"]), well_formed=not more.get("wrong"))


def _clean(made: Made) -> Made:
    made.base = None
    return made


# --- device trees ----------------------------------------------------------------------------------------------------


def board(**more: object) -> Fields:
    """A board's tree; what is given replaces properties of the root or of ``chosen``."""
    handle = int(str(more.pop("handle", 1)))
    chosen: Fields = {"bootargs": str(more.pop("bootargs", "console=ttyS0,115200 ro")), "stdout-path": "serial0"}
    serial: Fields = {"compatible": "ns16550a", "reg": struct.pack(">II", 0x1E000C00, 0x100), "interrupt-parent": handle}
    chosen |= more.pop("chosen", {})  # type: ignore[arg-type]  # properties
    control: Fields = {"compatible": "mti,gic", "interrupt-controller": b"", "phandle": handle}
    flash: Fields = {"partition@0": {"label": "u-boot", "read-only": b"", "reg": bytes(8)}, "partition@20000": {"label": "firmware"}}
    root: Fields = {"model": "EX-100", "compatible": b"example,ex100\0mediatek,mt7621\0", "chosen": chosen, "serial@c00": serial}
    root |= {"gic": control, "flash@0": flash}
    root |= more  # type: ignore[arg-type]  # properties
    return root


def _writable(tree: Fields) -> Fields:
    flash = dict(tree["flash@0"])  # type: ignore[arg-type]  # a node
    flash["partition@0"] = {"label": "u-boot", "reg": bytes(8)}
    return {**tree, "flash@0": flash}


def _dtb(tree: Fields | None = None, **more: object) -> Made:
    return Made(a=fdt(board()), b=fdt(tree or board(), **more), base=fdt(board()))  # type: ignore[arg-type]  # options of the writer


def _dtb_tail() -> Made:
    return Made(a=fdt(board()), b=fdt(board()) + EVIL, base=fdt(board()))


# --- FIT -------------------------------------------------------------------------------------------------------------


def fit(
    kernel: bytes = PAYLOAD, *, time: int = LAB["clock"], default: str = "conf-1", load: int = 0x80008000, signer: str = "",
    extra: Fields | None = None, hashed: bytes | None = None, blob: bytes | None = None, compression: str = "gzip", rename: str = "",
) -> bytes:  # fmt: skip
    """A FIT image (U-Boot, doc/uImage.FIT): a kernel and a device tree, with hashes and, with ``signer``, signatures."""
    tree = fdt(board()) if blob is None else blob

    def image(data: bytes, **more: str | int) -> Fields:
        digest: Fields = {"algo": "sha256", "value": hashlib.sha256(data if hashed is None else hashed).digest()}
        node: Fields = {"description": "part", "data": data, **more, "hash-1": digest}
        if signer:
            node["signature-1"] = {"algo": "sha256,rsa1024", "key-name-hint": signer, "value": key(signer).sign(data)}
        return node

    images: Fields = {
        "kernel-1": image(kernel, type="kernel", os="linux", arch="mips", compression=compression, load=load, entry=load),
        "fdt-1": image(tree, type="flat_dt", arch="mips", compression="none"),
    }
    images |= extra or {}
    first: Fields = {"description": "standard", "kernel": "kernel-1", "fdt": "fdt-1"}
    configurations: Fields = {"default": default, "conf-1": first}
    if default != "conf-1":
        configurations[default] = {"description": "service", "kernel": "kernel-1", "fdt": "fdt-2"}
    return fdt({"description": rename or "EX-100 firmware", "timestamp": time, "#address-cells": 1, "images": images, "configurations": configurations})


def _fit(changes: frozenset[str] | None = None, **more: object) -> Made:
    own = {"time": VENDOR["clock"]}
    made = Made(a=fit(), b=fit(**{**own, **more}), base=fit(time=VENDOR["clock"]), changes=changes)  # type: ignore[arg-type]
    if "signer" in more:
        made.record_b = {**VENDOR, "keys": [key("vendor release").fingerprint]}
        made.base = fit(time=VENDOR["clock"], signer="vendor release")
    return made


def _service() -> bytes:
    return fdt(board(bootargs="console=ttyS0,115200 rw init=/bin/sh"))


# --- kernel images ---------------------------------------------------------------------------------------------------


def banner(*, number: int = 1, user: str = LAB["user"], host: str = LAB["host"], date: str = "Sun Sep 13 12:26:40 UTC 2020", compiler: str = "12.2.0") -> bytes:
    gcc = f"mipsel-linux-gnu-gcc (Debian {compiler}-14) {compiler}, GNU ld (GNU Binutils for Debian) 2.40"
    return f"Linux version 6.1.55 ({user}@{host}) ({gcc}) #{number} SMP {date}\n\0".encode()


VENDOR_BANNER = banner(user=VENDOR["user"], host=VENDOR["host"], date="Tue Nov 14 22:13:20 UTC 2023")
CONFIG = b"#\n# Linux/mips 6.1.55 Kernel Configuration\n#\nCONFIG_MIPS=y\nCONFIG_MODULE_SIG=y\nCONFIG_STRICT_DEVMEM=y\n" + b"".join(
    b"CONFIG_OPTION_%d=y\n" % n for n in range(120)
)


def _room(data: bytes, size: int) -> bytes:
    return data.ljust(size, b"\0")


def kernel(
    shown: bytes = banner(), *, config: bytes = CONFIG, init: bytes = b"#!/bin/sh\nexec switch_root /new /sbin/init\n", level: int = 9,
    first: int = 1, flip: int = -1, salt: bytes = b"\x11" * 20, fill: bytes = b"\0", more: Node | None = None, mtime: int = 0,
) -> bytes:  # fmt: skip
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
    parts += [packed + (fill * 4096)[: -len(packed) % 4096], archive + bytes(-len(archive) % 16_384), bytes(code[200_000:])]
    return b"".join(parts)


def _vendor_kernel(**more: object) -> bytes:
    fields: dict[str, object] = {"shown": VENDOR_BANNER, "salt": b"\x22" * 20, "mtime": VENDOR["clock"]}
    return kernel(**{**fields, **more})  # type: ignore[arg-type]  # options of the writer


def _kernel(**more: object) -> Made:
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
    ("uimage", "time", "clock", "The header has another time.", lambda: _clean(_uimage()), None),
    ("uimage", "level", "compression", "The payload is compressed at another level.",
     lambda: Made(a=uimage(PAYLOAD), b=uimage(gzip(text(30_000, "kernel"), level=2))), None),
    ("dtb", "strings", "order", "Names of properties are stored in another order.", lambda: _clean(_dtb(reverse=True)), None),
    ("dtb", "padding", "padding", "Zeros behind the last block, as dtc -p writes.", lambda: _clean(_dtb(room=bytes(256))), None),
    ("dtb", "phandle", "allocation", "Handles are numbered otherwise, in every reference.", lambda: _clean(_dtb(board(handle=9))),
     RELAYOUT | {"unexplained", "functional"}),
    ("dtb", "nops", "padding", "Tokens that do nothing.", lambda: _clean(_dtb(nops=3)), None),
    ("fit", "time", "clock", "The image has another time.", lambda: _clean(_fit()), None),
    ("fit", "signed", "signature", "The parts are signed with the declared key.", lambda: _clean(_fit(signer="vendor release")), None),
    ("fit", "level", "compression", "The kernel is compressed at another level.",
     lambda: Made(a=fit(), b=fit(gzip(text(30_000, "kernel"), level=2))), None),
    ("kernel", "banner", "clock", "The banner has another user, host and time, which are declared.", lambda: _clean(_kernel()), RELAYOUT),
    ("kernel", "config-level", "compression", "The configuration and the initramfs are compressed at another level.",
     lambda: _named(Made(a=kernel(), b=kernel(level=6))), RELAYOUT),
    ("kernel", "initramfs", "allocation", "The initramfs has other inodes and times.",
     lambda: _named(Made(a=kernel(), b=kernel(first=99, mtime=5))), RELAYOUT),
    ("kernel", "build-id", "identity", "The note has another build-id.", lambda: _named(Made(a=kernel(), b=kernel(salt=b"\x33" * 20))), RELAYOUT),
    ("bzimage", "level", "compression", "The same kernel, compressed at another level.",
     lambda: _named(Made(a=bzimage(kernel(), 9), b=bzimage(kernel(), 4))), RELAYOUT | {"functional", "unexplained"}),
    ("zimage", "level", "compression", "The same kernel, compressed at another level.",
     lambda: _named(Made(a=zimage(kernel(), 9), b=zimage(kernel(), 4))), RELAYOUT | {"functional", "unexplained"}),
)  # fmt: skip

_ATTACKS = (
    ("uimage", "data", "content", "The payload is another; both checksums are right.", lambda: _uimage(OTHER)),
    ("uimage", "load", "header", "It is loaded elsewhere.", lambda: _uimage(load=0x80000000)),
    ("uimage", "entry", "header", "It is entered elsewhere.", lambda: _uimage(entry=0x80008004)),
    ("uimage", "kind", "header", "It is a script, which the boot loader runs.", lambda: _uimage(kind=6)),
    ("uimage", "compression", "header", "It is not compressed, says the header.", lambda: _uimage(compression=0)),
    ("uimage", "name", "hidden-space", "The name holds something behind its end.", lambda: _uimage(name="Linux-6.1.55\0run evil")),
    ("uimage", "checksum", "checksum", "The data's checksum is wrong.", lambda: _uimage(wrong=1)),
    ("uimage", "trailing", "trailing", "Bytes stand behind the payload.", lambda: _uimage(tail=EVIL)),
    ("dtb", "bootargs", "resource", "The kernel starts a shell.", lambda: _dtb(board(bootargs="console=ttyS0,115200 rw init=/bin/sh"))),
    ("dtb", "padding", "hidden-space", "The room behind the last block holds something.", lambda: _dtb(room=EVIL)),
    ("dtb", "reserved", "header", "Memory is reserved, where something else may stay.", lambda: _dtb(reserved=[(0x87F00000, 0x1000)])),
    ("dtb", "value-padding", "hidden-space", "The padding of values is not zero.", lambda: _dtb(fill=b"\x5a")),
    ("dtb", "string", "hidden-space", "The block of names has one that no property uses.", lambda: _dtb(hidden_string=EVIL + b"\0")),
    ("dtb", "cpu", "header", "Another processor boots.", lambda: _dtb(cpu=1)),
    ("dtb", "read-only", "attribute", "The boot loader's partition can be written.", lambda: _dtb(_writable(board()))),
    ("dtb", "seed", "data", "The start of randomness is fixed.", lambda: _dtb(board(chosen={"kaslr-seed": bytes(8)}))),
    ("dtb", "trailing", "trailing", "Bytes stand behind the stated size.", _dtb_tail),
    ("dtb", "order", "mismatch", "Compatible names stand in another order: another driver is chosen.",
     lambda: _dtb(board(compatible=b"mediatek,mt7621\0example,ex100\0"))),
    ("fit", "data", "content", "The kernel is another; its hash is right.", lambda: _fit(frozenset({"kernel-1:content"}), kernel=OTHER)),
    ("fit", "device-tree", "nested", "The device tree starts a shell; its hash is right.", lambda: _fit(frozenset({"fdt-1:content"}), blob=_service())),
    ("fit", "default", "header", "Another configuration is the default.",
     lambda: _fit(default="conf-2", extra={"fdt-2": {"description": "part", "data": _service(), "type": "flat_dt", "arch": "mips", "compression": "none"}})),
    ("fit", "load", "header", "The kernel is loaded elsewhere.", lambda: _fit(load=0x80000000)),
    ("fit", "hash", "checksum", "The hashes are of something else.", lambda: _fit(hashed=b"x")),
    ("fit", "compression", "header", "The kernel is not compressed, says its node.", lambda: _fit(compression="none")),
    ("fit", "resigned", "resigned", "The kernel is another, signed with a key that nobody declared.",
     lambda: _fit(kernel=OTHER, signer="attacker")),
    ("fit", "signature-lent", "resigned", "The kernel is another, under the hint of the vendor's key.",
     lambda: _fit_lent()),
    ("kernel", "code", "code", "One bit of the code is changed.", lambda: _kernel(flip=150_000)),
    ("kernel", "banner", "declared-lookalike", "The banner names a host that nobody declared.",
     lambda: _kernel(shown=banner(user="root", host="evil", date="Tue Nov 14 22:13:20 UTC 2023"))),
    ("kernel", "banner-slack", "hidden-space", "The room behind the banner holds something.", lambda: _kernel(shown=VENDOR_BANNER + EVIL)),
    ("kernel", "compiler", "declared-lookalike", "The banner names a compiler that nobody declared.",
     lambda: _kernel(shown=VENDOR_BANNER.replace(b"12.2.0-14", b"12.9.9-14"))),
    ("kernel", "config", "data", "The embedded configuration allows raw memory.", lambda: _kernel(config=CONFIG.replace(b"STRICT_DEVMEM=y", b"STRICT_DEVMEM=n"))),
    ("kernel", "config-slack", "hidden-space", "The room behind the configuration holds something.", lambda: _kernel(fill=b"\x7f")),
    ("kernel", "init", "nested", "The first script of the initramfs opens a shell.", lambda: _kernel(init=b"#!/bin/sh\nnc -l -p 4444 -e /bin/sh\n")),
    ("kernel", "initramfs-extra", "nested", "The initramfs has one more program.", lambda: _kernel(more=Node(mode=0o4755, data=b"\x7fELF"))),
    ("bzimage", "code", "nested", "One bit of the compressed kernel's code is changed.", lambda: _wrapped(bzimage, _vendor_kernel(flip=150_000))),
    ("bzimage", "decompressor", "code", "The decompressor is changed.", _bz_code),
    ("zimage", "code", "nested", "One bit of the compressed kernel's code is changed.", lambda: _wrapped(zimage, _vendor_kernel(flip=150_000))),
)  # fmt: skip


def _fit_lent() -> Made:
    """The signature's value is the one of the honest kernel: it does not verify."""
    made = _fit(signer="vendor release")
    honest, evil = PAYLOAD, OTHER.ljust(len(PAYLOAD), b"\0")[: len(PAYLOAD)]
    digest = hashlib.sha256(honest).digest(), hashlib.sha256(evil).digest()
    made.b = made.b.replace(honest, evil).replace(*digest)
    assert zlib.crc32(made.b) != zlib.crc32(made.base or b"")
    return made


def recipes() -> Iterator[Recipe]:
    for form, name, group, note, make, expected in _HARMLESS:
        yield harmless(
            f"{form}-same-{name}", form, group, note, partial(make), expected=expected or frozenset({"equivalent/metadata"})
        )
    for form, name, group, note, made in _ATTACKS:
        yield attack(f"{form}-{name}", form, group, note, partial(made))
