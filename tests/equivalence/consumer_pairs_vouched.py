"""What vouches for something and is the same on both sides though that differs.

See :mod:`tests.equivalence.consumer_pairs`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import lzma
import random
import struct
import tarfile
import zlib
from collections.abc import Callable

from banbury.compare.corpus.recipes import kernels
from banbury.compare.corpus.trees import Node, Tree
from banbury.compare.corpus.writers import boxes, cpio, romdisks, squashfs, tar
from banbury.compare.corpus.writers.signed import key
from tests.equivalence.consumer_pairs_tools import TEXT
from tests.equivalence.container_pairs import harmless, pair, tampered
from tests.equivalence.container_pairs import tar as archive
from tests.equivalence.pairs import Sample
from tests.images import tar_of

# --- signatures and digests ------------------------------------------------------------------------------------------


def _signed_part(time: int, old: bool, name: str) -> bytes:
    """A FIT image whose kernel is packed at a time, with a signature of that kernel, or of one packed at another."""
    parts = [gzip.compress(TEXT, mtime=t) for t in (1, time)]
    value = key("vendor").sign(parts[0] if old else parts[1])
    digest: boxes.Fields = {"algo": "sha256", "value": hashlib.sha256(parts[1]).digest()}
    part: boxes.Fields = {"data": parts[1], "hash-1": digest}
    part[name] = {"algo": "sha256,rsa1024", "key-name-hint": "vendor", "value": value}
    configurations: boxes.Fields = {"default": "conf-1", "conf-1": {"kernel": "kernel-1"}}
    return boxes.fdt({"images": {"kernel-1": part}, "configurations": configurations})


for _name in ("signature", "signature,1", "signature-" + "x" * 60):

    @tampered(f"fit-stale-{_name[:11]}")
    def _(name: str = _name) -> Sample:
        return Sample(_signed_part(1, True, name), _signed_part(2, True, name))


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


def stating(time: int, digest: bytes) -> bytes:
    """A FIT image of one part, packed at a time, with a property of the vendor's."""
    part: boxes.Fields = {"data": gzip.compress(TEXT, mtime=time), "compression": "none", "vendor,digest": digest}
    configurations: boxes.Fields = {"default": "conf-1", "conf-1": {"kernel": "kernel-1"}}
    return boxes.fdt({"images": {"kernel-1": part}, "configurations": configurations})


DIGEST = hashlib.sha256(gzip.compress(TEXT, mtime=1)).digest()


@tampered("fit-stating-digest")
def _() -> Sample:
    """An image handed in alone, which says itself what its part is: that is wrong on one side."""
    return Sample(stating(1, DIGEST), stating(2, DIGEST))


@tampered("fit-stating-text")
def _() -> Sample:
    return Sample(*(stating(time, DIGEST.hex().encode() + b"\0") for time in (1, 2)))


@tampered("gzip-of-fit-stating")
def _() -> Sample:
    """The only member of what holds it."""
    return Sample(*(gzip.compress(stating(time, DIGEST), mtime=0) for time in (1, 2)))


@tampered("fit-stating-what-is-deeper")
def _() -> Sample:
    """What is stated is in what is packed in the part."""
    made = []
    for time in (1, 2):
        inner = tar_of({"text.gz": _packed(time)})
        part: boxes.Fields = {"data": gzip.compress(inner, mtime=0), "vendor,digest": DIGEST}
        configurations: boxes.Fields = {"default": "conf-1", "conf-1": {"kernel": "kernel-1"}}
        made.append(boxes.fdt({"images": {"kernel-1": part}, "configurations": configurations}))
    return pair(made)


@harmless("fit-stating-another")
def _() -> Sample:
    return Sample(*(stating(time, DIGEST[::-1]) for time in (1, 2)))


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


_NAMES = "root.gz"


def _beside(**others: bytes) -> Sample:
    """An archive with a packed file, at two levels of compression, beside files that are the same in both."""
    known = {name.replace("__", "/").replace("_", "."): Node(data=data) for name, data in others.items()}
    return pair(tar.write({**known, _NAMES: Node(data=_packed(time))}) for time in (1, 2))


_DIGEST = hashlib.sha256(_packed(1))


@tampered("tar-digest-in-script")
def _() -> Sample:
    return _beside(install_sh=b"#!/bin/sh\necho %s root.gz | sha256sum -c\n" % _DIGEST.hexdigest().encode())


@tampered("tar-digest-in-binary")
def _() -> Sample:
    return _beside(loader=b"\x7f\0\1" * 50 + _DIGEST.digest() + bytes(99))


@tampered("tar-digest-cut-short")
def _() -> Sample:
    return _beside(build_info=b"root " + _DIGEST.hexdigest()[:20].encode() + b"\n")


@tampered("tar-digest-of-other-side-packed")
def _() -> Sample:
    """In a packed list, and of what only the second side has."""
    text = hashlib.blake2b(_packed(2)).hexdigest().upper().encode()
    return _beside(list_xz=lzma.compress(b"x " * 400 + text + b"\n"))


@tampered("tar-checksum-by-name")
def _() -> Sample:
    return _beside(meta_ini=b"[root]\nfile=images/root.gz\ncrc=0x%08x\n" % zlib.crc32(_packed(1)))


@tampered("tar-cksum-by-name")
def _() -> Sample:
    """As cksum(1) has it: over the content and its length."""
    crc = 0
    raw = _packed(2)
    for byte in (*raw, *len(raw).to_bytes((len(raw).bit_length() + 7) // 8, "little")):
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return _beside(cksum=b"%d %d root.gz\n" % (crc ^ 0xFFFFFFFF, len(raw)))


@tampered("tar-digest-of-inner")
def _() -> Sample:
    """A list of what is in an archive, beside it, and one within an archive of what lies beside that."""
    inner = (tar.write({_NAMES: Node(data=_packed(time))}) for time in (1, 2))
    stated = Node(data=_DIGEST.hexdigest().encode())
    return pair(tar.write({"manifest": stated, "data.tar": Node(data=raw)}) for raw in inner)


@tampered("tar-digest-within-inner")
def _() -> Sample:
    stated = Node(data=_DIGEST.hexdigest().encode())
    return pair(
        tar.write(
            {
                "meta.tar.gz": Node(data=gzip.compress(tar.write({"list": stated}), level, mtime=0)),
                _NAMES: Node(data=_packed(time)),
            }
        )
        for level, time in ((1, 1), (9, 2))
    )


@tampered("tar-named-by-digest")
def _() -> Sample:
    """A layer of an OCI image."""
    name = f"blobs/sha256/{_DIGEST.hexdigest()}"
    return pair(tar.write({name: Node(data=_packed(time))}) for time in (1, 2))


@tampered("tar-signature-by-content")
def _() -> Sample:
    return _beside(META__of_all=b"\x30\x82\x01\x02\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" + bytes(240))


for _magic in (b"verity\0\0", b"AVB0"):

    @tampered(f"tar-hash-tree-{_magic[:4].decode().lower()}")
    def _(magic: bytes = _magic) -> Sample:
        return _beside(root_hashes=magic + bytes(range(256)) * 16)


@tampered("tar-signature-anywhere")
def _() -> Sample:
    return _beside(META__sw_cms=bytes(range(1, 200)))


@tampered("tar-signature-of-no-form")
def _() -> Sample:
    return _beside(root_gz_x=bytes(range(128, 192)))


@tampered("tar-signature-called-key")
def _() -> Sample:
    """The comment is whatever the signer wrote; the value is as long as a signature."""
    return _beside(all=b"untrusted comment: a public key\n" + base64.b64encode(b"Ed" + bytes(72)) + b"\n")


@tampered("tar-signature-in-archive")
def _() -> Sample:
    return _beside(meta_tar=tar.write({"root.gz.sig": Node(data=bytes(64))}))


for _form, _text in (
    ("groups", " ".join(_DIGEST.hexdigest()[n : n + 8].upper() for n in range(0, 64, 8))),
    ("array", ", ".join(f"0x{n:02x}" for n in _DIGEST.digest())),
    ("escapes", "".join(f"\\x{n:02x}" for n in _DIGEST.digest())),
    ("coded", base64.b64encode(b'{"digest": {"sha256": "%s"}}' % _DIGEST.hexdigest().encode()).decode()),
):

    @tampered(f"tar-digest-in-{_form}")
    def _(text: str = _text) -> Sample:
        return _beside(notes=b"root: " + text.encode() + b"\n")


@tampered("tar-digest-in-wide-letters")
def _() -> Sample:
    return _beside(notes=f"SHA256 {_DIGEST.hexdigest().upper()} root.gz".encode("utf-16"))


@tampered("tar-checksum-in-script-of-one-code-page")
def _() -> Sample:
    return _beside(install_sh=b"#!/bin/sh\n# gepr\xfcft\n[ $(crc32 root.gz) = %08x ]\n" % zlib.crc32(_packed(1)))


@tampered("tar-digest-in-what-differs")
def _() -> Sample:
    """A packed list, the same text on both sides."""
    text = b"root.gz " + _DIGEST.hexdigest().encode()
    return pair(
        tar.write({"list.gz": Node(data=gzip.compress(text, mtime=time)), _NAMES: Node(data=_packed(time))})
        for time in (1, 2)
    )


@tampered("tar-signature-that-begins-as-key")
def _() -> Sample:
    return _beside(root_gz_sig=b"\x99" + bytes(range(127)))


@tampered("tar-digest-in-property")
def _() -> Sample:
    """A FIT image that differs by its time states the digest of what lies beside it."""
    made = []
    for time in (1, 2):
        images: boxes.Fields = {"kernel-1": {"data": TEXT}}
        root: boxes.Fields = {"timestamp": time, "root-digest": _DIGEST.hexdigest(), "images": images}
        made.append(tar.write({"fw.itb": Node(data=boxes.fdt(root)), _NAMES: Node(data=_packed(time))}))
    return pair(made)


@tampered("tar-signature-with-a-word")
def _() -> Sample:
    return _beside(signature_json=b'{"alg": "RS256", "sig": "%s"}\n' % base64.b64encode(bytes(range(99))))


@tampered("tar-signature-deep")
def _() -> Sample:
    return _beside(**{"META-INF__com__vendor__signature": bytes(range(128, 192))})


@tampered("tar-digest-in-record")
def _() -> Sample:
    """A record of a vendor's own in the pax header, in a form that is not looked for."""
    record = {"VENDOR.sum": base64.b64encode(b"\x12\x20" + hashlib.sha256(_packed(1)).digest()).decode()}
    return Sample(*(archive(("a.gz", _packed(time)), form=tarfile.PAX_FORMAT, pax_headers=record) for time in (1, 2)))


@tampered("tar-checksum-far-from-name")
def _() -> Sample:
    far = b"".join(b"step %d of the script\n" % n for n in range(9000))
    return _beside(install_sh=b"#!/bin/sh\nSUM=%08x\n%scheck root.gz $SUM\n" % (zlib.crc32(_packed(1)), far))


@tampered("tar-checksum-of-namesakes")
def _() -> Sample:
    """Two banks have a file of one name."""
    stated = Node(data=b"root.gz %08X\n" % zlib.crc32(_packed(1)))
    banks = ({f"{bank}/{_NAMES}": Node(data=_packed(time)) for bank in "ab"} for time in (1, 2))
    return pair(tar.write({"list": stated, **bank}) for bank in banks)


@tampered("tar-digest-coded-behind-word")
def _() -> Sample:
    text = b'{"digest": {"sha256": "%s"}}' % _DIGEST.hexdigest().encode()
    return _beside(notes=b"-----BEGIN MANIFEST-----\n" + base64.encodebytes(text))


@harmless("tar-what-is-called-signature")
def _() -> Sample:
    """Rules of a detector, a checksum of a file that is the same, prose, and an empty mark."""
    return _beside(
        signatures__scan_rules=b"alert tcp any any -> any 23 (msg: telnet;)\n" * 9,
        usr__lib__lib_so_1=b"library " * 99,
        **{"usr/lib/.lib.so.1.hmac": b"0123456789abcdef" * 4 + b"\n", "doc/format-signature.txt": b"In prose.\n" * 9},
        MODULE_SIG=b"",
    )


@harmless("tar-keys-and-others")
def _() -> Sample:
    """Keys are no signatures; numbers beside another name, and digests of others, say nothing."""
    return _beside(
        vendor_asc=b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n",
        key_pub=b"untrusted comment: Public usign key of a release\n" + base64.b64encode(b"Ed" + bytes(40)) + b"\n",
        ring_gpg=b"\x99\0\xc8\4" + bytes(range(199)) + b"\xb4\1x",
        list_txt=b"other.gz %d %08x\n" % (len(_packed(1)), zlib.crc32(_packed(1))),
        sums=hashlib.sha256(b"another").hexdigest().encode(),
        db=b"d" * 99,
        a=b"short one",
        b=b"\r\n" * 4,
        db_p7s=b"\x30\x82\x01\x02\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" + bytes(240),
    )


@tampered("tar-order-of-artifact")
def _() -> Sample:
    """What installs it reads it as it comes."""
    names = ("version", "manifest", "header.tar", "data/0000.tar")
    return pair(tar.write({n: Node(data=n.encode()) for n in order}) for order in (names, names[::-1]))


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


@tampered("kernel-note-of-data")
def _() -> Sample:
    """The kernel's own is the same; what differs is data in the form of one."""
    return _kernel(250_000, *(_HEAD + fill * 20 for fill in (b"K", b"L")))


def _for_uefi(level: int, certified: int) -> bytes:
    """A bzImage with the header of a UEFI program, which states a certificate table of ``certified`` bytes."""
    raw = bytearray(kernels.bzimage(kernels.kernel(), level, size=300_000))
    struct.pack_into("<2s58xI4s", raw, 0, b"MZ", 0x40, b"PE\0\0")
    struct.pack_into("<H106xI32xII", raw, 0x58, 0x20B, 6, 0x1000, certified)
    return bytes(raw[:-4]) + struct.pack("<I", zlib.crc32(raw[:-4]) ^ 0xFFFFFFFF)


@tampered("bzimage-stale-certificate")
def _() -> Sample:
    """The table of the one image does not hold for another."""
    return Sample(_for_uefi(9, 1480), _for_uefi(6, 1480))


@harmless("bzimage-for-uefi")
def _() -> Sample:
    return Sample(_for_uefi(9, 0), _for_uefi(6, 0))


@harmless("cramfs-what-does-not-shrink")
def _() -> Sample:
    """A block that zlib makes longer than it was: Linux reads up to two pages of it."""
    tree: Tree = {"a": Node(data=random.Random(1).randbytes(4096))}
    return pair(romdisks.cramfs(tree, edition=edition) for edition in (0, 1))


@tampered("loader-note")
def _() -> Sample:
    made = []
    for fill in (b"K", b"L"):
        raw = bytearray(kernels.u_boot("Nov 14 2023 - 22:13:20", "2023.04"))
        raw[30_000:30_036] = _HEAD + fill * 20
        made.append(bytes(raw))
    return pair(made)
