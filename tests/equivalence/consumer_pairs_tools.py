"""What the usual tools write otherwise when they are asked for another level, or a second later, and what a change of
content or rights beside it looks like.

See :mod:`tests.equivalence.consumer_pairs`.
"""

from __future__ import annotations

import lzma
import re
import struct
from collections.abc import Callable

from banbury.compare.corpus.trees import Node, base
from banbury.compare.corpus.writers import squashfs
from banbury.compare.corpus.writers.romdisks import romfs
from tests.equivalence.container_pairs import ar, cpio, harmless, pair, tampered, tar
from tests.equivalence.pairs import Sample

TEXT = b"".join(b"line %d of a file\n" % n for n in range(400))

# --- romfs -----------------------------------------------------------------------------------------------------------


@harmless("romfs-made")
def _() -> Sample:
    return pair(romfs(base(), name=b"rom %08x" % time) for time in (1_600_000_000, 1_700_000_000))


@tampered("romfs-named")
def _() -> Sample:
    return pair(romfs(base(), name=name) for name in (b"rom 6b02ceb8", b"rootfs"))


@tampered("romfs-made-device")
def _() -> Sample:
    trees = ({**base(), "dev/extra": Node(kind="char", mode=0o600, rdev=(1, n))} for n in (3, 1))
    return pair(romfs(tree, name=b"rom %08x" % (1_600_000_000 + n)) for n, tree in enumerate(trees))


# --- cpio ------------------------------------------------------------------------------------------------------------

_MEMBERS = (("etc", 0o40755, 2, b""), ("etc/motd", 0o100644, 1, b"hello\n"), ("link", 0o120777, 1, b"etc/motd"))


def _capitals(raw: bytes, whole: bool = True) -> bytes:
    """An archive with its numbers in capitals: in all headers, or in half of each."""
    end = 104 if whole else 22
    return re.sub(rb"(07070[12])([0-9a-f]{104})", lambda m: m[1] + m[2][:end].upper() + m[2][end:], raw)


@harmless("cpio-digits")
def _() -> Sample:
    """As GNU cpio and libarchive write them."""
    return Sample(cpio(*_MEMBERS), _capitals(cpio(*_MEMBERS)))


@tampered("cpio-digits-mode")
def _() -> Sample:
    changed = [(name, mode ^ 0o004000 if mode == 0o100644 else mode, *rest) for name, mode, *rest in _MEMBERS]
    return Sample(cpio(*_MEMBERS), _capitals(cpio(*changed)))  # type: ignore[arg-type]


@tampered("cpio-digits-mixed")
def _() -> Sample:
    more = (*_MEMBERS, ("long", 0o100644, 1, b"x" * 0xAB))
    return Sample(cpio(*more), _capitals(cpio(*more), whole=False))


@harmless("cpio-trailer-links")
def _() -> Sample:
    """As BusyBox and GNU cpio write it."""
    made = cpio(*_MEMBERS)
    at = made.index(b"TRAILER!!!") - 110
    return Sample(made, made[: at + 38] + b"00000000" + made[at + 46 :])


def _summed(link: int, file: int = 0) -> bytes:
    """In the form with checksums; ``link``: that of the link, ``file``: what is added to the file's."""
    raw = bytearray(cpio(*_MEMBERS).replace(b"070701", b"070702"))
    for name, check in ((b"etc/motd\0", sum(b"hello\n") + file), (b"link\0", link)):
        at = raw.index(name) - 8
        raw[at : at + 8] = b"%08x" % check
    return bytes(raw)


@harmless("cpio-link-sums")
def _() -> Sample:
    return Sample(_summed(0), _summed(sum(b"etc/motd")))


@tampered("cpio-link-sum-wrong")
def _() -> Sample:
    return Sample(_summed(0), _summed(1))


@tampered("cpio-file-sum-wrong")
def _() -> Sample:
    return Sample(_summed(0), _summed(sum(b"etc/motd"), 1))


# --- SquashFS --------------------------------------------------------------------------------------------------------


def _tailless(offset: int, size: int = 0) -> bytes:
    """Files without fragments whose inodes have ``offset`` for the place in one, as squashfs-tools-ng writes it."""
    raw = bytearray(squashfs.write({"a": Node(data=TEXT), "b": Node(data=TEXT[:90])}, plain=True, fragments=False))
    (start,) = struct.unpack_from("<Q", raw, 64)
    found = 0
    for at in range(start + 2, len(raw) - 32):
        sort, fragment, old, length = struct.unpack_from("<H18xIII", raw, at)
        if (sort, fragment, old) == (2, 0xFFFFFFFF, 0) and length in (len(TEXT), 90):
            struct.pack_into("<II", raw, at + 24, offset, length + size)
            found += 1
    assert found == 2
    return bytes(raw)


@harmless("squashfs-no-fragment")
def _() -> Sample:
    return Sample(_tailless(0), _tailless(0xFFFFFFFF))


@tampered("squashfs-no-fragment-odd")
def _() -> Sample:
    return Sample(_tailless(0), _tailless(5))


@tampered("squashfs-no-fragment-size")
def _() -> Sample:
    return Sample(_tailless(0), _tailless(0xFFFFFFFF, -1))


# --- packages --------------------------------------------------------------------------------------------------------


def _package(
    pack: Callable[[bytes], bytes] | None, ending: str, script: bytes = b"#!/bin/sh\n", named: str = ""
) -> bytes:
    """As ``dpkg-deb -Z`` makes it; without ``pack`` nothing is compressed."""
    control, data = tar(("./control", b"Package: x\n"), ("./postinst", script)), tar(("./usr/bin/x", script * 2))
    control, data = (pack(part) if pack else part for part in (control, data))
    return ar(("debian-binary", b"2.0\n"), (f"control.tar{ending}", control), (f"data.tar{named or ending}", data))


@harmless("deb-not-compressed")
def _() -> Sample:
    return Sample(_package(None, ""), _package(lzma.compress, ".xz"))


@tampered("deb-not-compressed-script")
def _() -> Sample:
    return Sample(_package(None, ""), _package(lzma.compress, ".xz", b"#!/bin/su\n"))


@tampered("deb-not-compressed-named")
def _() -> Sample:
    """dpkg goes by the name: it takes the archive for a compressed one, and fails."""
    return Sample(_package(None, "", named=".xz"), _package(lzma.compress, ".xz"))
