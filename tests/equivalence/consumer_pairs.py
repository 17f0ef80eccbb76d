"""Tampered pairs by the consumers that tell the two sides apart: what one reader passes over, another acts on.

Each is the honest file but for one thing that a published rule lets differ in general: an order, a number, a name in a
header that most readers replace.
"""

from __future__ import annotations

import base64
import bz2
import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

import lz4.frame

from banbury.compare.corpus.trees import Node, base
from banbury.compare.corpus.writers import cpio, packed, squashfs, tar
from banbury.compare.corpus.writers.zip import Part
from banbury.compare.corpus.writers.zip import write as zipped
from banbury.compare.equivalence import BuildRecord
from tests.equivalence.container_pairs import pair, tampered
from tests.equivalence.pairs import Sample

_RECORDS = BuildRecord(versions={"gate": "1.2.3-1"}), BuildRecord(versions={"gate": "1.2.4-1"})


def both(make: Callable[[str], bytes]) -> Sample:
    """A text with each side's declared version in it, wherever ``make`` puts it."""
    return Sample(make("1.2.3-1"), make("1.2.4-1"), *_RECORDS)


# --- tar: who unpacks it ---------------------------------------------------------------------------------------------


def archive(*members: bytes) -> bytes:
    out = b"".join(members) + tar.END
    return out + bytes(-len(out) % 10240)


_ETC = tar.member("etc", Node(kind="dir", mode=0o755))
_A, _B = (tar.member(f"etc/{name}", Node(data=name.encode())) for name in "ab")
_LINK = tar.header("etc/c", Node(link="etc/a"), kind=b"1")


@tampered("tar-link-first")
def _() -> Sample:
    """A hard link before its file: tar has nothing to link to, or links to the file that was there before."""
    return Sample(archive(_ETC, _A, _LINK), archive(_ETC, _LINK, _A))


@tampered("tar-links-swapped")
def _() -> Sample:
    """Two hard links of which each states another mode: the last one's stays."""
    other = tar.header("etc/d", Node(link="etc/a", mode=0o4755), kind=b"1")
    return Sample(archive(_ETC, _A, _LINK, other), archive(_ETC, _A, other, _LINK))


@tampered("tar-directory-last")
def _() -> Sample:
    """A file before its directory: dpkg makes no directories of its own."""
    return Sample(archive(_ETC, _A, _B), archive(_A, _B, _ETC))


def _renamed(name: str, extended: bytes, mtime: int, uid: int = 0) -> bytes:
    """A member whose name and owner stand in a pax header; ``name`` in its own."""
    body = tar.record("path", extended) + tar.record("uid", b"0")
    node = Node(data=b"hello\n", mtime=mtime, uid=uid)
    head = tar.header("PaxHeaders/x", Node(data=body), kind=b"x") + body + bytes(-len(body) % 512)
    return head + tar.header(name, node) + node.data.ljust(512, b"\0")


@tampered("tar-name-under-pax")
def _() -> Sample:
    """BusyBox passes over pax headers: it writes another file."""
    return Sample(archive(_renamed("etc/a", b"etc/a", 1)), archive(_renamed("etc/passwd", b"etc/a", 2)))


@tampered("tar-owner-under-pax")
def _() -> Sample:
    return Sample(archive(_renamed("etc/a", b"etc/a", 1)), archive(_renamed("etc/a", b"etc/a", 2, uid=1000)))


@tampered("tar-name-under-long")
def _() -> Sample:
    def member(name: str, mtime: int) -> bytes:
        long = b"etc/" + b"a" * 120 + b"\0"
        head = tar.header("././@LongLink", Node(data=long, mtime=0), kind=b"L", magic=b"ustar  \0")
        node = Node(data=b"hello\n", mtime=mtime)
        return head + long.ljust(512, b"\0") + tar.header(name, node, magic=b"ustar  \0") + node.data.ljust(512, b"\0")

    return Sample(archive(member("etc/" + "a" * 95, 1)), archive(member("etc/passwd", 2)))


@tampered("ipk-control-slash")
def _() -> Sample:
    """A package's control archive under a name that readers take for the plain one."""
    return _package(lambda control: packed.gzip(archive(tar.member("/control.tar.gz", Node(data=control)))))


@tampered("ipk-control-dots")
def _() -> Sample:
    return _package(lambda control: packed.gzip(archive(tar.member(".//control.tar.gz", Node(data=control)))))


@tampered("deb-gnu-ar")
def _() -> Sample:
    """A package put together by GNU ar, which ends names with a slash; dpkg takes them."""

    def package(control: bytes) -> bytes:
        out = b"!<arch>\n"
        data = packed.gzip(archive(_ETC))
        for name, raw in ((b"debian-binary/", b"2.0\n"), (b"control.tar.gz/", control), (b"data.tar.gz/", data)):
            out += (
                b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(raw)) + raw + b"\n" * (len(raw) % 2)
            )
        return out

    return _package(package)


def _package(wrap: Callable[[bytes], bytes]) -> Sample:
    def package(version: str) -> bytes:
        text = f"Package: gate\nVersion: 9\nDescription: gate {version} for all\n"
        return wrap(packed.gzip(archive(tar.member("control", Node(data=text.encode())))))

    return both(package)


# --- cpio: what the kernel links -------------------------------------------------------------------------------------


def _newc(name: str, data: bytes, inode: int, links: int, mode: int = 0o100644) -> bytes:
    values = (inode, mode, 0, 0, links, 1, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    out = b"070701" + b"".join(b"%08X" % v for v in values) + name.encode() + b"\0"
    out += bytes(-len(out) % 4) + data
    return out + bytes(-len(out) % 4)


def _initramfs(*members: bytes) -> bytes:
    out = b"".join(members) + cpio.member("TRAILER!!!", Node(mtime=0), 0, mode=0)
    return out + bytes(-len(out) % 512)


@tampered("cpio-groups-joined")
def _() -> Sample:
    """Two groups of links with one inode number and other counts: the kernel does not look at the counts."""

    def made(second: int) -> bytes:
        return _initramfs(
            _newc("a", b"AAAA", 5, 2), _newc("b", b"", 5, 2),
            _newc("c", b"CCCC", second, 3), _newc("d", b"", second, 3), _newc("e", b"", second, 3),
        )  # fmt: skip

    return Sample(made(6), made(5))


@tampered("cpio-link-modes")
def _() -> Sample:
    """Two names of one file with other modes: the last one's stays."""
    one, other = _newc("a", b"AAAA", 5, 2, 0o104755), _newc("b", b"", 5, 2)
    return Sample(_initramfs(one, other), _initramfs(other, one))


# --- streams ---------------------------------------------------------------------------------------------------------

_TEXT = b"hello world, hello world\n" * 10


@tampered("bzip2-randomised")
def _() -> Sample:
    """Linux and BusyBox do not know blocks that were randomised; libbzip2 does. (The block is too short to change.)"""
    honest = bz2.compress(_TEXT)
    raw = bytearray(honest)
    raw[14] |= 0x80  # behind the magic, the block's mark and its checksum
    assert bz2.decompress(raw) == _TEXT
    return Sample(honest, bytes(raw))


@tampered("xz-memory")
def _() -> Sample:
    """A dictionary that no level of xz asks for: a small machine cannot unpack it."""
    honest = packed.xz(_TEXT)
    raw = bytearray(honest)
    end = (raw[12] + 1) * 4 + 12
    raw[raw.index(b"\x21\x01", 12) + 2] = 29
    raw[end - 4 : end] = struct.pack("<I", zlib.crc32(raw[12 : end - 4]))
    return Sample(honest, bytes(raw))


@tampered("lzma-memory")
def _() -> Sample:
    honest = lzma.compress(_TEXT, lzma.FORMAT_ALONE)
    return Sample(honest, honest[:1] + struct.pack("<I", 96 << 20) + honest[5:])


@tampered("squashfs-inodes-stated")
def _() -> Sample:
    """Four thousand million inodes are stated: whoever lists their numbers before counting never ends."""
    honest = squashfs.write(base(), plain=True)
    return Sample(squashfs.write(base(), plain=False), honest[:4] + b"\xff" * 4 + honest[8:])


@tampered("lzma-odd-dictionary")
def _() -> Sample:
    honest = lzma.compress(_TEXT, lzma.FORMAT_ALONE)
    return Sample(honest, honest[:1] + struct.pack("<I", 0x660000) + honest[5:])


@tampered("lzma-size-and-marker")
def _() -> Sample:
    """A stated size, and an end marker all the same: xz before 5.2.6 takes it for corrupt."""
    honest = lzma.compress(_TEXT, lzma.FORMAT_ALONE)
    return Sample(honest, honest[:5] + struct.pack("<Q", len(_TEXT)) + honest[13:])


@tampered("lz4-linked")
def _() -> Sample:
    """Blocks that build on those before them: U-Boot does not boot such a kernel."""
    linked = lz4.frame.compress(_TEXT * 9000, block_size=lz4.frame.BLOCKSIZE_MAX64KB, block_linked=True)
    return Sample(lz4.frame.compress(_TEXT * 9000, block_size=lz4.frame.BLOCKSIZE_MAX64KB, block_linked=False), linked)


# --- zip: who reads which directory ----------------------------------------------------------------------------------

_CLASS = Part(name="A.class", data=b"abc" * 20)
_OTHER = Part(name="B.class", data=b"abd" * 20)
_FOLDER = Part(name="META-INF/", mode=0o40755, method=0)


def _manifest(tool: str = "javac") -> Part:
    return Part(name="META-INF/MANIFEST.MF", data=f"Manifest-Version: 1.0\r\nCreated-By: {tool}\r\n\r\n".encode())


@tampered("zip-locator")
def _() -> Sample:
    """An extra field that reads as ZIP64's locator where it stands last: another directory for Java and Python."""
    locator = struct.pack("<HHIIQI", 0x9999, 20, 0x07064B50, 0, 0, 1)
    parts = [Part(name="a", data=b"A" * 50, extra=locator), Part(name="b", data=b"B" * 50)]
    return Sample(zipped(parts), zipped(parts[::-1]))


@tampered("zip-stored-descriptor")
def _() -> Sample:
    """Readers of a stream do not know where a stored member with a descriptor ends."""
    parts = [Part(name="a", data=b"A" * 50, method=0), Part(name="a", data=b"A" * 50, method=0, descriptor=True)]
    return pair(zipped([part]) for part in parts)


@tampered("jar-manifest-second")
def _() -> Sample:
    """The directory lists the manifest first; a reader of the stream (JarInputStream) meets a class before it."""
    later = Part(name="A.class", data=b"abc" * 20, stamp=0x5A216001)
    return Sample(zipped([_manifest(), _CLASS, _OTHER]), zipped([later, _manifest(), _OTHER], listed=[1, 0, 2]))


@tampered("jar-manifest-third")
def _() -> Sample:
    rest = [_manifest(), _CLASS, _OTHER]
    return Sample(zipped([_FOLDER, *rest]), zipped([_FOLDER, _CLASS, _manifest(), _OTHER]))


def _signed(names: Sequence[str]) -> Sample:
    """A manifest with another declared tool under signature files that are of the first."""
    first = _manifest("17.0.1 (Debian)")
    listed = base64.b64encode(hashlib.sha256(first.data).digest())
    made = b"Signature-Version: 1.0\r\nSHA-256-Digest-Manifest: " + listed + b"\r\n\r\n"
    files = [Part(name=f"META-INF/{name}", data=made) for name in names]
    a, b = (zipped([m, *files, _CLASS]) for m in (first, _manifest("17.0.2 (Debian)")))
    return Sample(a, b, *(BuildRecord(producers=[f"17.0.{n} (Debian)"]) for n in (1, 2)))


@tampered("jar-signature-case")
def _() -> Sample:
    """Java takes signature files in small letters too."""
    return _signed(["gate.SF", "Gate.rsa"])


@tampered("jar-signature-dsa")
def _() -> Sample:
    return _signed(["GATE.DSA"])


@tampered("jar-signature-prefix")
def _() -> Sample:
    return _signed(["SIG-GATE"])


@tampered("jar-signature-last")
def _() -> Sample:
    """A reader of the stream verifies only what follows the signature files."""
    files = [Part(name=f"META-INF/GATE.{kind}", data=b"x") for kind in ("SF", "RSA")]
    return Sample(zipped([_manifest(), *files, _CLASS]), zipped([_manifest(), _CLASS, *files]))


@tampered("apk-alignment")
def _() -> Sample:
    """A stored table that does not stand at a multiple of four: Android 11 does not install the package."""

    def made(level: int) -> bytes:
        manifest = Part(name="AndroidManifest.xml", data=b"x" * 50)
        code = Part(name="classes.dex", data=bytes(range(200)) * 9, level=level)
        return zipped([manifest, code, Part(name="resources.arsc", data=b"r" * 64, method=0)])

    def place(raw: bytes) -> int:
        return zipfile.ZipFile(io.BytesIO(raw)).getinfo("resources.arsc").header_offset + 44

    sides = made(1), made(9)
    assert [place(raw) % 4 for raw in sides] == [0, 3]
    return pair(sides)
