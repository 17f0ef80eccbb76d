"""What boot loaders and kernels read: U-Boot images, FIT, device trees, kernel images with their configuration."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from banbury.compare.corpus.pairs import LAB, RELAYOUT, VENDOR, Made, Recipe, attack, harmless
from banbury.compare.corpus.trees import text
from banbury.compare.corpus.writers.boxes import Fields, fdt, uimage
from banbury.compare.corpus.writers.packed import gzip
from banbury.compare.corpus.writers.signed import key

PAYLOAD = gzip(text(30_000, "kernel"))
OTHER = gzip(text(30_000, "kernel").replace(b"deny", b"pass"))
EVIL = b"init=/bin/sh; nc -l -p 4444"
_SAME = frozenset[str]()


# --- legacy images ---------------------------------------------------------------------------------------------------


def _uimage(data: bytes = PAYLOAD, *, tail: bytes = b"", **more: int | str) -> Made:
    fields: dict[str, Any] = {"time": VENDOR["clock"], **more}
    b = uimage(data, **fields) + tail
    return Made(a=uimage(PAYLOAD), b=b, base=uimage(PAYLOAD, time=VENDOR["clock"]), well_formed=not more.get("wrong"))


def _clean(made: Made) -> Made:
    made.base = None
    return made


# --- device trees ----------------------------------------------------------------------------------------------------


def board(**more: Any) -> Fields:
    """A board's tree; what is given replaces properties of the root or of ``chosen``."""
    handle = int(str(more.pop("handle", 1)))
    chosen: Fields = {"bootargs": str(more.pop("bootargs", "console=ttyS0,115200 ro")), "stdout-path": "serial0"}
    serial: Fields = {
        "compatible": "ns16550a",
        "reg": struct.pack(">II", 0x1E000C00, 0x100),
        "interrupt-parent": handle,
    }
    chosen |= more.pop("chosen", {})
    control: Fields = {"compatible": "mti,gic", "interrupt-controller": b"", "phandle": handle}
    flash: Fields = {
        "partition@0": {"label": "u-boot", "read-only": b"", "reg": bytes(8)},
        "partition@20000": {"label": "firmware"},
    }
    root: Fields = {
        "model": "EX-100",
        "compatible": b"example,ex100\0mediatek,mt7621\0",
        "chosen": chosen,
        "serial@c00": serial,
    }
    root |= {"gic": control, "flash@0": flash}
    root |= more
    return root


def _writable(tree: Fields) -> Fields:
    flash = tree["flash@0"]
    assert isinstance(flash, dict)
    flash = dict(flash)
    flash["partition@0"] = {"label": "u-boot", "reg": bytes(8)}
    return {**tree, "flash@0": flash}


def _dtb(tree: Fields | None = None, **more: Any) -> Made:
    return Made(a=fdt(board()), b=fdt(tree or board(), **more), base=fdt(board()))


def _dtb_tail() -> Made:
    return Made(a=fdt(board()), b=fdt(board()) + EVIL, base=fdt(board()))


# --- FIT -------------------------------------------------------------------------------------------------------------


def fit(
    kernel: bytes = PAYLOAD,
    *,
    time: int = LAB["clock"],
    default: str = "conf-1",
    load: int = 0x80008000,
    signer: str = "",
    extra: Fields | None = None,
    hashed: bytes | None = None,
    blob: bytes | None = None,
    compression: str = "gzip",
    rename: str = "",
    gap: bytes | None = None,
    tail: bytes = b"",
    comment: str = "",
    room: bytes = b"",
    label: str = "signature-1",
) -> bytes:
    """A FIT image (U-Boot, doc/uImage.FIT): kernel and device tree with hashes and, with ``signer``, signatures that
    hold a ``comment``, in nodes named ``label``. With ``gap`` (bytes between the parts), data stands behind the tree,
    as mkimage -E puts it."""
    tree = fdt(board()) if blob is None else blob
    outside = bytearray()

    def image(data: bytes, **more: str | int) -> Fields:
        digest: Fields = {"algo": "sha256", "value": hashlib.sha256(data if hashed is None else hashed).digest()}
        where: Fields = {"data": data}
        if gap is not None:
            where = {"data-size": len(data), "data-offset": len(outside)}
            outside.extend(data + bytes(-len(data) % 4) + gap)
        node: Fields = {"description": "part", **where, **more, "hash-1": digest}
        if signer:
            more_text: Fields = {"comment": comment} if comment else {}
            value = key(signer).sign(data)
            node[label] = {"algo": "sha256,rsa1024", "key-name-hint": signer, "value": value, **more_text}
        return node

    images: Fields = {
        "kernel-1": image(
            kernel, type="kernel", os="linux", arch="mips", compression=compression, load=load, entry=load
        ),
        "fdt-1": image(tree, type="flat_dt", arch="mips", compression="none"),
    }
    images |= extra or {}
    first: Fields = {"description": "standard", "kernel": "kernel-1", "fdt": "fdt-1"}
    configurations: Fields = {"default": default, "conf-1": first}
    if default != "conf-1":
        configurations[default] = {"description": "service", "kernel": "kernel-1", "fdt": "fdt-2"}
    whole = fdt(
        {
            "description": rename or "EX-100 firmware",
            "timestamp": time,
            "#address-cells": 1,
            "images": images,
            "configurations": configurations,
        },
        room=room,
    )
    return whole if gap is None else whole + bytes(-len(whole) % 4) + bytes(outside) + tail


def _fit(changes: frozenset[str] | None = None, **more: Any) -> Made:
    own = {"time": VENDOR["clock"]}
    made = Made(a=fit(), b=fit(**{**own, **more}), base=fit(time=VENDOR["clock"]), changes=changes)
    if "signer" in more:
        made.record_b = {**VENDOR, "keys": [key("vendor release").public]}
        made.base = fit(time=VENDOR["clock"], signer="vendor release")
    return made


def _service() -> bytes:
    return fdt(board(bootargs="console=ttyS0,115200 rw init=/bin/sh"))


def _lent() -> Made:
    """The signature's value is the one of the honest kernel: it does not verify."""
    made = _fit(signer="vendor release")
    honest, evil = PAYLOAD, OTHER.ljust(len(PAYLOAD), b"\0")[: len(PAYLOAD)]
    digest = hashlib.sha256(honest).digest(), hashlib.sha256(evil).digest()
    made.b = made.b.replace(honest, evil).replace(*digest)
    assert zlib.crc32(made.b) != zlib.crc32(made.base or b"")
    return made


_HARMLESS = (
    ("uimage", "time", "clock", "The header has another time.", lambda: _clean(_uimage()), None),
    (
        "uimage",
        "level",
        "compression",
        "The payload is compressed at another level.",
        lambda: Made(a=uimage(PAYLOAD), b=uimage(gzip(text(30_000, "kernel"), level=2))),
        None,
    ),
    (
        "dtb",
        "strings",
        "order",
        "Names of properties are stored in another order.",
        lambda: _clean(_dtb(reverse=True)),
        None,
    ),
    (
        "dtb",
        "padding",
        "padding",
        "Zeros behind the last block, as dtc -p writes.",
        lambda: _clean(_dtb(room=bytes(256))),
        None,
    ),
    (
        "dtb",
        "phandle",
        "allocation",
        "Handles are numbered otherwise, in every reference.",
        lambda: _clean(_dtb(board(handle=9))),
        RELAYOUT | {"unexplained", "functional"},
    ),
    ("dtb", "nops", "padding", "Tokens that do nothing.", lambda: _clean(_dtb(nops=3)), None),
    ("fit", "time", "clock", "The image has another time.", lambda: _clean(_fit()), None),
    (
        "fit",
        "signed",
        "signature",
        "The parts are signed with the declared key.",
        lambda: _clean(_fit(signer="vendor release")),
        None,
    ),
    (
        "fit",
        "level",
        "compression",
        "The kernel is compressed at another level.",
        lambda: Made(a=fit(), b=fit(gzip(text(30_000, "kernel"), level=2))),
        None,
    ),
    (
        "fit",
        "remnant",
        "padding",
        "Up to three bytes behind the strings hold what was in memory, as mkimage -E leaves them.",
        lambda: Made(a=fit(room=b"on"), b=fit(room=b"\0i")),
        None,
    ),
    (
        "fit",
        "remnants",
        "padding",
        "The same bytes behind the strings, up to a block's end, as mkimage -E -B leaves them; the time is another.",
        lambda: Made(a=fit(room=b"left behind" * 9), b=_fit(room=b"left behind" * 9).b),
        None,
    ),
    (
        "fit",
        "outside",
        "compression",
        "The kernel is compressed at another level; the data stands behind the tree, at other places.",
        lambda: _clean(_outside()),
        None,
    ),
)


def _outside(**more: Any) -> Made:
    honest = fit(gzip(text(30_000, "kernel"), level=2), gap=b"")
    again = {"kernel": gzip(text(30_000, "kernel"), level=2), "gap": b"", **more}
    return Made(a=fit(gap=b""), b=fit(**again), base=honest)


_ATTACKS = (
    ("uimage", "data", "content", "The payload is another; both checksums are right.", lambda: _uimage(OTHER)),
    ("uimage", "load", "header", "It is loaded elsewhere.", lambda: _uimage(load=0x80000000)),
    ("uimage", "entry", "header", "It is entered elsewhere.", lambda: _uimage(entry=0x80008004)),
    ("uimage", "kind", "header", "It is a script, which the boot loader runs.", lambda: _uimage(kind=6)),
    ("uimage", "compression", "header", "It is not compressed, says the header.", lambda: _uimage(compression=0)),
    (
        "uimage",
        "name",
        "hidden-space",
        "The name holds something behind its end.",
        lambda: _uimage(name="Linux-6.1.55\0run evil"),
    ),
    ("uimage", "checksum", "checksum", "The data's checksum is wrong.", lambda: _uimage(wrong=1)),
    ("uimage", "trailing", "trailing", "Bytes stand behind the payload.", lambda: _uimage(tail=EVIL)),
    (
        "dtb",
        "bootargs",
        "resource",
        "The kernel starts a shell.",
        lambda: _dtb(board(bootargs="console=ttyS0,115200 rw init=/bin/sh")),
    ),
    ("dtb", "padding", "hidden-space", "The room behind the last block holds something.", lambda: _dtb(room=EVIL)),
    (
        "dtb",
        "reserved",
        "header",
        "Memory is reserved, where something else may stay.",
        lambda: _dtb(reserved=[(0x87F00000, 0x1000)]),
    ),
    ("dtb", "value-padding", "hidden-space", "The padding of values is not zero.", lambda: _dtb(fill=b"\x5a")),
    (
        "dtb",
        "string",
        "hidden-space",
        "The block of names has one that no property uses.",
        lambda: _dtb(hidden_string=EVIL + b"\0"),
    ),
    ("dtb", "cpu", "header", "Another processor boots.", lambda: _dtb(cpu=1)),
    ("dtb", "read-only", "attribute", "The boot loader's partition can be written.", lambda: _dtb(_writable(board()))),
    ("dtb", "seed", "data", "The start of randomness is fixed.", lambda: _dtb(board(chosen={"kaslr-seed": bytes(8)}))),
    ("dtb", "trailing", "trailing", "Bytes stand behind the stated size.", _dtb_tail),
    (
        "dtb",
        "order",
        "mismatch",
        "Compatible names stand in another order: another driver is chosen.",
        lambda: _dtb(board(compatible=b"mediatek,mt7621\0example,ex100\0")),
    ),
    (
        "fit",
        "data",
        "content",
        "The kernel is another; its hash is right.",
        lambda: _fit(frozenset({"kernel-1:content"}), kernel=OTHER),
    ),
    (
        "fit",
        "device-tree",
        "nested",
        "The device tree starts a shell; its hash is right.",
        lambda: _fit(frozenset({"fdt-1:content"}), blob=_service()),
    ),
    (
        "fit",
        "default",
        "header",
        "Another configuration is the default.",
        lambda: _fit(
            default="conf-2",
            extra={
                "fdt-2": {
                    "description": "part",
                    "data": _service(),
                    "type": "flat_dt",
                    "arch": "mips",
                    "compression": "none",
                }
            },
        ),
    ),
    ("fit", "load", "header", "The kernel is loaded elsewhere.", lambda: _fit(load=0x80000000)),
    ("fit", "hash", "checksum", "The hashes are of something else.", lambda: _fit(hashed=b"x")),
    ("fit", "compression", "header", "The kernel is not compressed, says its node.", lambda: _fit(compression="none")),
    (
        "fit",
        "resigned",
        "resigned",
        "The kernel is another, signed with a key that nobody declared.",
        lambda: _fit(kernel=OTHER, signer="attacker"),
    ),
    ("fit", "room", "hidden-space", "The room behind the strings holds something.", lambda: _fit(room=EVIL)),
    ("fit", "outside-gap", "hidden-space", "Something stands between the parts.", lambda: _outside(gap=EVIL)),
    ("fit", "outside-trailing", "trailing", "Bytes stand behind the last part.", lambda: _outside(tail=EVIL)),
    (
        "fit",
        "outside-content",
        "content",
        "The kernel behind the tree is another; its hash is right.",
        lambda: _outside(kernel=OTHER),
    ),
    (
        "fit",
        "signature-note",
        "hiding-place",
        "The node of a signature that verifies holds more than a signature.",
        lambda: _fit(signer="vendor release", comment=EVIL.decode()),
    ),
    (
        "fit",
        "signature-label",
        "hiding-place",
        "The name of the node of a signature that verifies holds a command.",
        lambda: _fit(signer="vendor release", label="signature-nc -l -p 4444 -e sh"),
    ),
    (
        "fit",
        "signature-lent",
        "resigned",
        "The kernel is another, under the hint of the vendor's key.",
        _lent,
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
