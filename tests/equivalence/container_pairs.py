"""Labelled pairs of containers beside the corpus: what its recipes have not, in code."""

from __future__ import annotations

import hashlib
import io
import lzma
import random
import shutil
import struct
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from banbury.compare.corpus import trees as corpus_trees
from banbury.compare.corpus.writers import boxes, squashfs
from banbury.compare.corpus.writers import signed as signed_by
from banbury.compare.equivalence import BuildRecord
from banbury.compare.equivalence.containers import fdt, fit
from banbury.formats.view import View
from tests.equivalence.pairs import Sample


def pair(made: Iterable[bytes]) -> Sample:
    a, b = made
    return Sample(a, b)


HARMLESS: dict[str, Callable[[], Sample]] = {}
TAMPERED: dict[str, Callable[[], Sample]] = {}
_TEXT = b"".join(b"line %d of a file that is worth packing\n" % n for n in range(200))


def harmless(name: str) -> Callable[[Callable[[], Sample]], Callable[[], Sample]]:
    return lambda make: HARMLESS.setdefault(name, make)


def tampered(name: str) -> Callable[[Callable[[], Sample]], Callable[[], Sample]]:
    return lambda make: TAMPERED.setdefault(name, make)


# --- streams ---------------------------------------------------------------------------------------------------------


@harmless("lzma-dictionary")
def _() -> Sample:
    return pair(lzma.compress(_TEXT, lzma.FORMAT_ALONE, preset=preset) for preset in (1, 9))


@tampered("lzma-trailing")
def _() -> Sample:
    packed = lzma.compress(_TEXT, lzma.FORMAT_ALONE)
    return Sample(packed, packed + b"\0")


@tampered("xz-check-none")
def _() -> Sample:
    return Sample(lzma.compress(_TEXT), lzma.compress(_TEXT, check=lzma.CHECK_NONE))


# --- tar and cpio ----------------------------------------------------------------------------------------------------


def tar(*members: tuple[str, bytes | str], form: int = tarfile.USTAR_FORMAT, **fields: object) -> bytes:
    """A tar archive of files (bytes) and symbolic links (text)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            for field, value in fields.items():
                setattr(info, field, value)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@harmless("tar-pax-number")
def _() -> Sample:
    made = tar(("x" * 120, b"content"), form=tarfile.PAX_FORMAT)
    at = made.index(b"././@PaxHeader")
    return pair(_renamed(made, at, b"./PaxHeaders.%d/x" % number) for number in (17, 4711))


def _renamed(archive: bytes, at: int, name: bytes) -> bytes:
    """A header with another name, and the right checksum."""
    header = bytearray(archive[at : at + 512])
    header[:100] = name.ljust(100, b"\0")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return archive[:at] + bytes(header) + archive[at + 512 :]


@tampered("tar-through-link")
def _() -> Sample:
    members = (("lib", "etc"), ("lib/passwd", b"root::0:0::/:/bin/sh\n"))
    return Sample(tar(*members), tar(*reversed(members)))


def cpio(*members: tuple[str, int, int, bytes]) -> bytes:
    """A newc archive of (name, mode, links, content)."""
    out = bytearray()
    for number, (name, mode, links, content) in enumerate((*members, ("TRAILER!!!", 0, 1, b""))):
        inode = number + 1 if mode else 0
        fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return bytes(out)


@harmless("cpio-directory-links")
def _() -> Sample:
    return pair(cpio(("etc", 0o40755, links, b""), ("etc/motd", 0o100644, 1, b"hello\n")) for links in (2, 3))


@tampered("cpio-parent-last")
def _() -> Sample:
    members = (("etc", 0o40755, 2, b""), ("etc/motd", 0o100644, 1, b"hello\n"))
    return Sample(cpio(*members), cpio(*reversed(members)))


@tampered("cpio-early")
def _() -> Sample:
    """The kernel loads the first microcode whose name begins as the processor's does."""
    folders = [(name, 0o40755, 2, b"") for name in ("kernel", "kernel/x86", "kernel/x86/microcode")]
    names = ("GenuineIntel.bin", "GenuineIntel.bin.old")
    files = [(f"kernel/x86/microcode/{name}", 0o100644, 1, name.encode()) for name in names]
    return Sample(cpio(*folders, *files), cpio(*folders, *files[::-1]))


# --- ar and deb ------------------------------------------------------------------------------------------------------


def ar(*members: tuple[str, bytes], mtime: int = 0, owner: int = 0, mode: int = 0o644) -> bytes:
    out = bytearray(b"!<arch>\n")
    for name, content in members:
        out += b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name.encode(), mtime, owner, owner, mode, len(content)) + content
        out += b"\n" * (len(content) % 2)
    return bytes(out)


@harmless("ar-header")
def _() -> Sample:
    members = (("one.o/", b"first"), ("two.o/", b"second"))
    return Sample(ar(*members), ar(*members, mtime=99, owner=1000, mode=0o600))


@tampered("ar-order")
def _() -> Sample:
    members = (("one.o/", b"first"), ("two.o/", b"second"))
    return Sample(ar(*members), ar(*reversed(members), owner=1))


def _indexed(comment: bytes, first: str = "one.o/") -> bytes:
    """A library of two compressed members, whose sizes differ with the level, and its index of symbols."""
    import gzip

    level = 1 if comment else 9
    parts = {n: gzip.compress(_TEXT + n.encode(), level, mtime=0) for n in ("one.o/", "two.o/")}
    names = b"alpha\0beta\0"
    start = 8 + 60 + 12 + len(names) + len(names) % 2
    places = {"one.o/": start, "two.o/": start + 60 + len(parts["one.o/"]) + len(parts["one.o/"]) % 2}
    index = struct.pack(">III", 2, places[first], places["two.o/"]) + names
    return ar(("/", index), *parts.items())


@harmless("ar-index")
def _() -> Sample:
    return Sample(_indexed(b""), _indexed(b"x"))


@tampered("ar-index-redirected")
def _() -> Sample:
    return Sample(_indexed(b""), _indexed(b"x", "two.o/"))


def _deb(library: bytes, sums: bytes = b"") -> bytes:
    sums = sums or hashlib.md5(library, usedforsecurity=False).hexdigest().encode() + b"  usr/lib/libx.a\n"
    control = tar(("./control", b"Package: x\n"), ("./md5sums", sums))
    return ar(("debian-binary", b"2.0\n"), ("control.tar", control), ("data.tar", tar(("./usr/lib/libx.a", library))))


@harmless("deb-md5sums")
def _() -> Sample:
    return pair(_deb(ar(("x.o/", b"content"), mtime=time)) for time in (1, 2))


@tampered("deb-md5sums-wrong")
def _() -> Sample:
    libraries = [ar(("x.o/", b"content"), mtime=time) for time in (1, 2)]
    return Sample(_deb(libraries[0]), _deb(libraries[1], b"0" * 32 + b"  usr/lib/libx.a\n"))


# --- zip -------------------------------------------------------------------------------------------------------------


def zipped(mark: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("first", "second"):
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.internal_attr, info.compress_type = mark, zipfile.ZIP_DEFLATED
            archive.writestr(info, _TEXT[:90])
    return out.getvalue()


@harmless("zip-text-mark")
def _() -> Sample:
    return Sample(zipped(), zipped(1))


# --- SquashFS --------------------------------------------------------------------------------------------------------


@harmless("squashfs-compressor")
def _() -> Sample:
    tool = shutil.which("mksquashfs")
    if tool is None:
        pytest.skip("mksquashfs is not there: the rule for compressors is not tested")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tree" / "etc").mkdir(parents=True)
        (folder / "tree" / "etc" / "text").write_bytes(_TEXT * 40)
        (folder / "tree" / "small").write_bytes(b"hello\n")
        made = []
        for kind in ("gzip", "xz"):
            out = folder / kind
            command: list[str | Path] = [
                tool,
                folder / "tree",
                out,
                "-comp",
                kind,
                "-all-root",
                "-quiet",
                "-no-progress",
                "-noappend",
            ]
            subprocess.run(command, check=True, capture_output=True)
            made.append(out.read_bytes())
    return pair(made)


# --- text ------------------------------------------------------------------------------------------------------------

_RECORDS = [
    BuildRecord(versions={"gate": v}, dates={"day": d}) for v, d in (("2.4.1", "2024-01-01"), ("2.4.10", "2025-02-03"))
]


@harmless("text-declared")
def _() -> Sample:
    return Sample(b"gate 2.4.1 of 2024-01-01\n", b"gate 2.4.10 of 2025-02-03\n", *_RECORDS)


_STATED = {
    "release": 'NAME="Gate"\nVERSION_ID="%s"\nPRETTY_NAME="Gate OS %s"\n',
    "control": "Package: gate\nVersion: %s\nDescription: a gate\n",
    "library": "prefix=/usr\nlibdir=${prefix}/lib\n\nName: gate\nVersion: %s\nLibs: -L${libdir} -lgate\n",
    "page": '.TH GATE 8 "2024" "gate %s" "System"\n.SH NAME\ngate \\- a gate\n',
    "notes": "gate %s\n==========\n\nSet it up as before. If it fails, see the manual.\n",
    "shown": '<html><head><meta name="generator" content="gate %s"></head><body>Version %s</body></html>\n',
    "element": '<?xml version="1.0"?>\n<gate xmlns="http://isp.example/gate">\n <version>%s</version>\n</gate>\n',
    "attribute": '<release version="%s"><description><p>Version %s of the gate</p></description></release>\n',
    "words": "<!doctype html>\n<html><head><title>gate</title></head>\n<body><br><p>Version %s</p></body></html>\n",
    "system": 'NAME="Gate"\nVERSION="%s"\nID=gate\nID_LIKE="gate other"\nPRETTY_NAME="Gate %s"\n'
    'HOME_URL="https://gate.example/"\nGATE_RELEASE="Gate 7.1 %s"\n',
    "distribution": "DISTRIB_ID='Gate'\nDISTRIB_RELEASE='%s'\nDISTRIB_DESCRIPTION='Gate 7.1 %s'\nDISTRIB_TAINTS=''\n",
    "alone": "%s\n",
    "object": '{"name": "gate", "version": "%s", "main": "gate.js"}\n',
    "banner": "/*! gate v%s | MIT */\nbody { margin: 0 }\n",
    "settings": "# Generated by gate %s; do not edit\nport = 80\nkey = x\n",
    "keys": "info:\n  title: gate\n  version: %s\n",
}

for _name, _form in _STATED.items():

    @harmless(f"text-stated-{_name}")
    def _(form: str = _form) -> Sample:
        one, other = (form.replace("%s", value).encode() for value in ("2.4.1", "2.4.10"))
        return Sample(one, other, *_RECORDS)


@tampered("text-changed")
def _() -> Sample:
    return Sample(b"gate 2.4.1\nallow none\n", b"gate 2.4.10\nallow all\n", *_RECORDS)


@tampered("script-declared")
def _() -> Sample:
    return Sample(b"#!/bin/sh\nrun 2.4.1\n", b"#!/bin/sh\nrun 2.4.10\n", *_RECORDS)


# --- images of several parts -----------------------------------------------------------------------------------------


def _image(*, plain: bool, fill: bytes = b"\xff", between: bytes = b"BOARD-42", more: bytes = b"") -> bytes:
    """A boot header nobody knows, a uImage, and a root file system, at fixed places."""
    kernel = bytes(random.Random(3).randbytes(3000))
    time = 2 if plain else 1
    sizes = 0x27051956, 0, time, len(kernel), 0x80000000, 0x80001000, zlib.crc32(kernel)
    head = struct.pack(">7I4B32s", *sizes, 5, 5, 2, 0, b"x")
    head = head[:4] + struct.pack(">I", zlib.crc32(head)) + head[8:]
    root = squashfs.write(corpus_trees.base(), plain=plain) + more
    out = (between * 32 + head + kernel).ljust(8192, fill) + root
    return out.ljust(65536, fill)


@harmless("image-parts")
def _() -> Sample:
    return pair(_image(plain=plain) for plain in (False, True))


@tampered("image-between")
def _() -> Sample:
    return Sample(_image(plain=False), _image(plain=True, between=b"BOARD-43"))


@tampered("image-part")
def _() -> Sample:
    one, other = _image(plain=False), bytearray(_image(plain=True))
    at = other.index(b"hsqs")
    other[at + 36] ^= 1
    return Sample(one, bytes(other))


@tampered("image-fill")
def _() -> Sample:
    return Sample(_image(plain=False), _image(plain=True, more=b"\0" * 64 + b"hidden payload" + b"\0" * 50))


# --- signed configurations of FIT images -----------------------------------------------------------------------------


def _configured(listed: bytes, nodes: bytes = b"/\0/configurations/conf-1\0/images/kernel-1\0") -> bytes:
    """A FIT image whose configuration is signed, with a list of the parts to sign, which the signature is not over."""
    signature: boxes.Fields = {
        "algo": "sha256,rsa1024",
        "sign-images": listed,
        "hashed-nodes": nodes,
        "hashed-strings": struct.pack(">II", 0, 10),
        "value": bytes(128),
    }
    whole: boxes.Fields = {
        "images": {"kernel-1": {"data": _TEXT}},
        "configurations": {"default": "conf-1", "conf-1": {"kernel": "kernel-1", "signature-1": signature}},
    }
    path = b"/configurations/conf-1/signature-1"
    signed = fit._signed(fdt.read(View(boxes.fdt(whole))), path, set())
    assert signed
    signature["value"] = signed_by.key("vendor").sign(signed)
    return boxes.fdt(whole)


def _configurations(listed: bytes) -> Sample:
    record = BuildRecord(keys=[signed_by.key("vendor").public])
    return Sample(_configured(b"kernel\0"), _configured(listed), record, record)


@tampered("fit-signed-in-part")
def _() -> Sample:
    """The signature is over the configuration and over no kernel: any kernel would start."""
    record = BuildRecord(keys=[signed_by.key("vendor").public])
    return Sample(_configured(b"kernel\0"), _configured(b"kernel\0", b"/\0/configurations/conf-1\0"), record, record)


@tampered("fit-signed-in-part-alone")
def _() -> Sample:
    """The same, where the rebuilt image is not signed."""
    record = BuildRecord(keys=[signed_by.key("vendor").public])
    plain: boxes.Fields = {
        "images": {"kernel-1": {"data": _TEXT}},
        "configurations": {"default": "conf-1", "conf-1": {"kernel": "kernel-1"}},
    }
    return Sample(boxes.fdt(plain), _configured(b"kernel\0", b"/\0/configurations/conf-1\0"), record, record)


@harmless("fit-signed-alone")
def _() -> Sample:
    record = BuildRecord(keys=[signed_by.key("vendor").public])
    plain: boxes.Fields = {
        "images": {"kernel-1": {"data": _TEXT}},
        "configurations": {"default": "conf-1", "conf-1": {"kernel": "kernel-1"}},
    }
    return Sample(boxes.fdt(plain), _configured(b"kernel\0"), record, record)


@tampered("fit-sign-images")
def _() -> Sample:
    return _configurations(b"kernel\0nc -l -p 4444 -e /bin/sh\0")
