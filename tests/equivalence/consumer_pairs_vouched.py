"""What vouches for something and is the same on both sides though that differs; and images that nothing mounts.

See :mod:`tests.equivalence.consumer_pairs`.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable
from unittest import mock

from banbury.compare.corpus.recipes import kernels
from banbury.compare.corpus.trees import Node, Tree, base
from banbury.compare.corpus.writers import boxes, cpio, squashfs, tar
from banbury.compare.corpus.writers.signed import key
from tests.equivalence.consumer_pairs_tools import TEXT
from tests.equivalence.container_pairs import harmless, pair, tampered
from tests.equivalence.pairs import Sample

# --- signatures and digests ------------------------------------------------------------------------------------------


def _signed_part(time: int, old: bool) -> bytes:
    """A FIT image whose kernel is packed at a time, with a signature of that kernel, or of one packed at another."""
    parts = [gzip.compress(TEXT, mtime=t) for t in (1, time)]
    value = key("vendor").sign(parts[0] if old else parts[1])
    digest: boxes.Fields = {"algo": "sha256", "value": hashlib.sha256(parts[1]).digest()}
    part: boxes.Fields = {"data": parts[1], "hash-1": digest}
    part["signature-1"] = {"algo": "sha256,rsa1024", "key-name-hint": "vendor", "value": value}
    configurations: boxes.Fields = {"default": "conf-1", "conf-1": {"kernel": "kernel-1"}}
    return boxes.fdt({"images": {"kernel-1": part}, "configurations": configurations})


@tampered("fit-stale-signature")
def _() -> Sample:
    return Sample(_signed_part(1, True), _signed_part(2, True))


def _hashed(name: str, time: int, stated: int) -> bytes:
    part = gzip.compress(TEXT, mtime=time)
    digest = hashlib.sha256(gzip.compress(TEXT, mtime=stated)).digest()
    images: boxes.Fields = {"kernel-1": {"data": part, name: {"algo": "sha256", "value": digest}}}
    return boxes.fdt({"images": images, "configurations": {"default": "conf-1", "conf-1": {"kernel": "kernel-1"}}})


@tampered("fit-hash-without-dash")
def _() -> Sample:
    """U-Boot takes every node for one whose name begins so."""
    return Sample(_hashed("hash1", 1, 1), _hashed("hash1", 2, 1))


@harmless("fit-hash-named")
def _() -> Sample:
    return Sample(_hashed("hash1", 1, 1), _hashed("hash1", 2, 2))


def _packed(time: int) -> bytes:
    return gzip.compress(TEXT, mtime=time)


def _appraised(write: Callable[[Tree], bytes], *digests: int) -> Sample:
    """A packed file with IMA's digest of what it is, or of what it is when packed at another time."""
    made = []
    for time, of in zip((1, 2), digests, strict=True):
        value = b"\x04\x04" + hashlib.sha256(_packed(of)).digest()
        made.append(write({"a.gz": Node(data=_packed(time), xattrs={"security.ima": value})}))
    return pair(made)


@tampered("squashfs-stale-appraisal")
def _() -> Sample:
    return _appraised(squashfs.write, 1, 1)


def _update(write: Callable[[Tree], bytes], name: str, form: Callable[[bytes], str]) -> Sample:
    """An archive with a list that states the digest of the first side's image."""
    stated = form(hashlib.sha256(_packed(1)).digest())
    return Sample(
        *(
            write(
                {name: Node(data=f'image = "rootfs.gz"; sha256 = "{stated}"\n'.encode()), "rootfs.gz": Node(data=raw)}
            )
            for raw in (_packed(1), _packed(2))
        )
    )


@tampered("cpio-stale-description")
def _() -> Sample:
    return _update(cpio.write, "sw-description", bytes.hex)


@tampered("tar-stale-sums")
def _() -> Sample:
    return _update(tar.write, "SHA256SUMS", lambda digest: digest.hex().upper())


@tampered("tar-stale-detached-signature")
def _() -> Sample:
    signed = {"rootfs.gz.sig": Node(data=bytes(range(64)))}
    return pair(tar.write({**signed, "rootfs.gz": Node(data=_packed(time))}) for time in (1, 2))


@harmless("tar-signature-of-another")
def _() -> Sample:
    signed = {"kernel.sig": Node(data=bytes(range(64))), "kernel": Node(data=TEXT)}
    return pair(tar.write({**signed, "rootfs.gz": Node(data=_packed(time))}) for time in (1, 2))


@harmless("tar-sums-of-others")
def _() -> Sample:
    return _update(tar.write, "SHA256SUMS", lambda digest: digest[::-1].hex())


@tampered("cpio-update-order")
def _() -> Sample:
    """SWUpdate writes images to where they belong in the order in which they come."""
    names = ("sw-description", "one", "two")
    tree: Tree = {name: Node(data=name.encode()) for name in names}
    return Sample(*(cpio.write({n: tree[n] for n in order}) for order in (names, (names[0], names[2], names[1]))))


# --- kernels ---------------------------------------------------------------------------------------------------------


_HEAD = struct.pack("<III4s", 4, 20, 3, b"GNU\0")


def _kernel(at: int, *contents: bytes) -> Sample:
    """Kernels with something at a place in their code."""
    made = []
    for content in contents:
        raw = bytearray(kernels.kernel())
        raw[at : at + len(content)] = content
        made.append(bytes(raw))
    return pair(made)


@tampered("kernel-note-in-initramfs")
def _() -> Sample:
    """A file of an archive that is not packed looks like the note of a build-id."""
    trees = ({"init": Node(data=_HEAD + text.ljust(20, b"."), mode=0o755)} for text in (b"shut", b"open"))
    return _kernel(150_000, *map(cpio.write, trees))


@tampered("kernel-second-note")
def _() -> Sample:
    """A kernel has one note of its own; what else looks like one may be a key."""
    own = kernels.kernel().index(_HEAD) + 16
    sample = _kernel(250_000, *(_HEAD + fill * 20 for fill in (b"K", b"L")))
    return Sample(sample.a, sample.b[:own] + b"\x33" * 20 + sample.b[own + 20 :])


@tampered("loader-note")
def _() -> Sample:
    made = []
    for fill in (b"K", b"L"):
        raw = bytearray(kernels.u_boot("Nov 14 2023 - 22:13:20", "2023.04"))
        raw[30_000:30_036] = _HEAD + fill * 20
        made.append(bytes(raw))
    return pair(made)


# --- file systems that Linux does not mount, or mounts otherwise -----------------------------------------------------


@tampered("squashfs-tables-order")
def _() -> Sample:
    """Linux takes one table to end where the next begins, in an order of its own."""
    tree: Tree = {"a": Node(data=TEXT)}
    table, rows = squashfs._Image._table, list[bytes]()

    def exchanged(image: squashfs._Image, raw: bytes) -> int:
        rows.append(raw)
        if len(rows) == 1:
            return 0
        start = table(image, raw)
        table(image, rows[0])  # the fragments, behind the owners
        return start

    with mock.patch.object(squashfs._Image, "_table", exchanged):
        raw = bytearray(squashfs.write(tree))
    struct.pack_into("<Q", raw, 80, struct.unpack_from("<Q", raw, 40)[0] - 8)
    return Sample(squashfs.write(tree), bytes(raw))


@tampered("squashfs-fragment-too-large")
def _() -> Sample:
    """Linux reads no block that is stored in more bytes than a block has."""
    tree: Tree = {name: Node(data=bytes([65 + i]) * 3000) for i, name in enumerate("abc")}
    made = []
    for log in (12, 14):
        raw = bytearray(squashfs.write(tree, log=log, plain=True))
        struct.pack_into("<I", raw, 12, 1 << 12)
        struct.pack_into("<H", raw, 22, 12)
        made.append(bytes(raw))
    return pair(made)


@tampered("squashfs-xz-odd-dictionary")
def _() -> Sample:
    """Linux mounts images with certain sizes alone (``fs/squashfs/xz_wrapper.c``)."""
    made = []
    for size in (1 << 16, 100_000):
        with mock.patch.object(squashfs._Image, "__init__", _with_options(size)):
            raw = bytearray(squashfs.write(base(), plain=True))
        struct.pack_into("<H", raw, 20, 4)
        struct.pack_into("<H", raw, 24, struct.unpack_from("<H", raw, 24)[0] | 0x400)
        made.append(bytes(raw))
    return pair(made)


def _with_options(size: int) -> Callable[..., None]:
    plain = squashfs._Image.__init__

    def made(image: squashfs._Image, *more: object) -> None:
        plain(image, *more)  # type: ignore[arg-type]
        image.body += struct.pack("<HII", 8 | 0x8000, size, 0)

    return made


@tampered("squashfs-lz4-without-options")
def _() -> Sample:
    """Linux mounts no such image."""
    made = []
    for kind in (1, 5):
        raw = bytearray(squashfs.write(base(), plain=True))
        struct.pack_into("<H", raw, 20, kind)
        made.append(bytes(raw))
    return pair(made)


@tampered("squashfs-no-whole-sectors")
def _() -> Sample:
    """A block device ends before the file system does."""
    return Sample(squashfs.write(base()), squashfs.write(base(), pad=1))
