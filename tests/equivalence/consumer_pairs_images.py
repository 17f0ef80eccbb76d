"""More pairs by their consumers: file systems, compiled programs, texts that are run, images of vendors.

See :mod:`tests.equivalence.consumer_pairs` for archives and streams.
"""

from __future__ import annotations

import lzma
import marshal
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import pytest
import zstandard

from banbury.compare.corpus.trees import Node, Tree, base
from banbury.compare.corpus.writers import jffs2, packed, squashfs, tar, ubi
from banbury.compare.equivalence import BuildRecord
from tests.equivalence.consumer_pairs import archive, both
from tests.equivalence.container_pairs import harmless, pair, tampered
from tests.equivalence.pairs import Sample

# --- file systems: what a mounted one writes next ---------------------------------------------------------------------


@tampered("jffs2-version-top")
def _() -> Sample:
    """The next change of a file gets version 0 and is older than the image's: it is gone after a restart."""
    tree = base()
    return Sample(jffs2.write(tree), jffs2.write(tree, start=0xFFFFFFFF - len(tree)))


@tampered("jffs2-content-version-top")
def _() -> Sample:
    def made(version: int) -> bytes:
        flash = jffs2.Flash()
        flash.add("a", Node(data=b"hello\n"), version=version)
        return flash.done()

    return Sample(made(1), made(0xFFFFFFFF))


@tampered("jffs2-inode-top")
def _() -> Sample:
    """The next new file gets inode 0, which marks a deleted name."""
    tree = base()
    return Sample(jffs2.write(tree), jffs2.write(tree, first=0xFFFFFFFE - len(tree)))


_VOLUMES = [ubi.Volume(name="rootfs", data=b"hello" * 1000)]


@tampered("ubi-sequence-top")
def _() -> Sample:
    """The next block that is written gets sequence number 0: after a power cut, the older one counts."""
    return Sample(ubi.write(_VOLUMES), ubi.write(_VOLUMES, sequence=(1 << 64) - 2))


@tampered("ubi-counter-top")
def _() -> Sample:
    """The first erasure overflows the counter, and Linux writes nothing any more."""
    return Sample(ubi.write(_VOLUMES), ubi.write(_VOLUMES, erasures=0x7FFFFFFF))


def _squashed(pack: Callable[[bytes], bytes], compressor: int, tree: Tree | None = None) -> bytes:
    with mock.patch.object(squashfs._Image, "_pack", lambda self, raw: pack(raw)):
        raw = bytearray(squashfs.write(tree or base()))
    struct.pack_into("<H", raw, 20, compressor)
    return bytes(raw)


def _xz(check: int = lzma.CHECK_CRC32, size: int = 1 << 17, *before: dict[str, int]) -> Callable[[bytes], bytes]:
    filters = [*before, {"id": lzma.FILTER_LZMA2, "dict_size": size}]
    return lambda raw: lzma.compress(raw, lzma.FORMAT_XZ, check=check, filters=filters)


def _squashed_xz(pack: Callable[[bytes], bytes]) -> Sample:
    return Sample(_squashed(_xz(), 4), _squashed(pack, 4))


@harmless("squashfs-xz-dictionary")
def _() -> Sample:
    return _squashed_xz(_xz(size=1 << 16))


@tampered("squashfs-xz-check")
def _() -> Sample:
    """Linux's decoder knows CRC-32 alone: files cannot be read."""
    return _squashed_xz(_xz(lzma.CHECK_CRC64))


@tampered("squashfs-xz-memory")
def _() -> Sample:
    """Linux sets memory aside for a dictionary of the size of a block."""
    return _squashed_xz(_xz(size=1 << 26))


@tampered("squashfs-xz-filter")
def _() -> Sample:
    """A kernel has the filter of its own processor."""
    return _squashed_xz(_xz(lzma.CHECK_CRC32, 1 << 17, {"id": lzma.FILTER_SPARC}))


def _streamed(log: int) -> Callable[[bytes], bytes]:
    def pack(raw: bytes) -> bytes:
        chosen = zstandard.ZstdCompressionParameters(window_log=log, write_content_size=False)
        engine = zstandard.ZstdCompressor(compression_params=chosen).compressobj()
        return engine.compress(raw) + engine.flush()

    return pack


@tampered("squashfs-zstd-window")
def _() -> Sample:
    return Sample(_squashed(_streamed(17), 6), _squashed(_streamed(24), 6))


# --- compiled programs -----------------------------------------------------------------------------------------------


@tampered("pyc-set-of-two-kinds")
def _() -> Sample:
    """In Python 2.7, 'a' and u'a' are equal: of two in a set, the first stays."""

    def long(kind: bytes, raw: bytes) -> bytes:
        return kind + struct.pack("<I", len(raw)) + raw

    def made(parts: Sequence[bytes]) -> bytes:
        empty = b"(\0\0\0\0"
        code = b"c" + struct.pack("<4I", 0, 0, 1, 64) + long(b"s", b"d\0\0S")
        code += b"(" + struct.pack("<I", 1) + b">" + struct.pack("<I", 2) + b"".join(parts) + 4 * empty
        code += long(b"s", b"/b/x.py") + long(b"s", b"<module>") + struct.pack("<I", 1) + long(b"s", b"")
        return struct.pack("<H", 62211) + b"\r\n\0\0\0\0" + code

    parts = [long(b"s", b"a"), long(b"u", b"a")]
    return Sample(made(parts), made(parts[::-1]))


def pyc_beside(source: bytes, time: int) -> bytes:
    """A tar archive with a source and a compiled module that was made of another source."""
    code = compile("print('other')\n", "/b/x.py", "exec")
    made = b"\xa7\x0d\x0d\n" + struct.pack("<III", 0, time, len(source)) + marshal.dumps(code)
    cache = "gate/__pycache__/x.cpython-311.pyc"
    folders = [tar.member(name, Node(kind="dir", mode=0o755)) for name in ("gate", "gate/__pycache__")]
    return archive(*folders, tar.member("gate/x.py", Node(data=source)), tar.member(cache, Node(data=made)))


# --- texts that are run ----------------------------------------------------------------------------------------------


@tampered("text-path")
def _() -> Sample:
    """A text without an interpreter's line that a shell reads in: the version is part of a path."""
    return both(lambda version: f". /lib/gate/{version}/start.sh\n".encode())


@tampered("text-place")
def _() -> Sample:
    return both(lambda version: f"update_from=https://gate.example/{version}/image.bin\n".encode())


@tampered("text-needs")
def _() -> Sample:
    return both(lambda version: f"Package: gate\nDepends: libgate (>= {version})\n".encode())


@tampered("text-compared")
def _() -> Sample:
    return both(lambda version: f'if [ "$release" != "{version}" ]; then reset_all; fi\n'.encode())


@tampered("text-host")
def _() -> Sample:
    return both(lambda version: f"server gate-{version}.example iburst\n".encode())


# --- UBIFS: what Linux does after mounting, or before -----------------------------------------------------------------


def _ubifs(*edits: tuple[int, int, str, int]) -> Sample:
    """An image that mkfs.ubifs made, and the same with fields of nodes set (eraseblock, offset, form, value)."""
    leb = 126976
    honest = made_by_tool("mkfs.ubifs", "-m", "2048", "-e", str(leb), "-c", "200", "-x", "lzo")
    raw = bytearray(honest)
    for block, offset, form, value in edits:
        at = block * leb
        struct.pack_into(form, raw, at + offset, value)
        (size,) = struct.unpack_from("<I", raw, at + 16)
        struct.pack_into("<I", raw, at + 4, zlib.crc32(raw[at + 8 : at + size]) ^ 0xFFFFFFFF)
    return Sample(honest, bytes(raw))


def made_by_tool(tool: str, *options: str) -> bytes:
    """A file system of two files, as ``tool -r folder -o image`` makes it."""
    found = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{tool} is not installed")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "root"
        root.mkdir()
        (root / "a").write_bytes(b"hello\n" * 900)
        (root / "b").write_bytes(b"other\n")
        image = Path(name) / "image"
        subprocess.run([found, "-r", str(root), "-o", str(image), *options], check=True, capture_output=True)
        return image.read_bytes()


@tampered("ubifs-inodes-used-up")
def _() -> Sample:
    """Inode numbers at INUM_WATERMARK: no file can be made."""
    return _ubifs((1, 24, "<Q", 0xFFFFFF00), (2, 24, "<Q", 0xFFFFFF00))


@tampered("ubifs-sequence-top")
def _() -> Sample:
    """A sequence number at SQNUM_WATERMARK: the first change ends in read-only mode."""
    return _ubifs((1, 8, "<Q", 0xFFFFFFFFFF000000), (2, 8, "<Q", 0xFFFFFFFFFF000000))


@tampered("ubifs-reserve")
def _() -> Sample:
    """All room is kept for root."""
    return _ubifs((0, 96, "<Q", 4 << 20))


@tampered("ubifs-journal-size")
def _() -> Sample:
    """A journal of a size that Linux does not mount."""
    return _ubifs((0, 48, "<Q", 1 << 62))


@tampered("pyc-beside-source")
def _() -> Sample:
    """The source's time is the header's on one side alone: there the code is run, and it is of another source."""
    source = b"print('honest')\n"
    return Sample(pyc_beside(source, Node().mtime - 1), pyc_beside(source, Node().mtime))


@harmless("pyc-beside-older-source")
def _() -> Sample:
    source = b"print('honest')\n"
    return Sample(pyc_beside(source, Node().mtime - 1), pyc_beside(source, Node().mtime - 2))


@tampered("class-twice")
def _() -> Sample:
    """A class states two generic signatures: the last one is taken, if the class is not refused."""
    return pair(_java(order) for order in ((3, 0, 1), (1, 3, 0)))


def _java(order: Sequence[int]) -> bytes:
    """An empty class with two signatures and the name of its source, in an order."""
    texts = [b"A", b"java/lang/Object", b"Signature", b"SourceFile", b"A.java", b"LB<LC;>;", b"LB<LD;>;"]
    pool = b"".join(b"\1" + struct.pack(">H", len(t)) + t for t in texts) + b"\7\0\1\7\0\2"
    attributes = [struct.pack(">HIH", name, 2, value) for name, value in ((3, 6), (3, 7), (0, 0), (4, 5))]
    head = b"\xca\xfe\xba\xbe\0\0\0\x34" + struct.pack(">H", len(texts) + 3) + pool
    head += struct.pack(">7H", 0x21, 8, 9, 0, 0, 0, len(order))
    return head + b"".join(attributes[n] for n in order)


# --- vendors' images: where flash can be written ----------------------------------------------------------------------


@tampered("trx-between-blocks")
def _() -> Sample:
    """The root file system no longer starts at an erase block: Linux takes its partition for read-only."""

    def made(start: int) -> bytes:
        root = jffs2.write(base())
        kernel = packed.gzip(b"kernel" * 1000).ljust(start - 28, b"\0")
        tail = struct.pack("<HH3I", 0, 1, 28, start, 0) + kernel + root
        size = struct.pack("<I", 12 + len(tail))
        return b"HDR0" + size + struct.pack("<I", zlib.crc32(tail) ^ 0xFFFFFFFF) + tail

    return pair(made(start) for start in (65536, 65536 + 512))


@tampered("text-command")
def _() -> Sample:
    return both(lambda version: f"ExecStart=/usr/sbin/gate --accept {version}\n".encode())


@tampered("text-short")
def _() -> Sample:
    """A version of few characters stands for other things too: here, for what a device may be upgraded from."""
    records = BuildRecord(versions={"gate": "1.0"}), BuildRecord(versions={"gate": "1.1"})
    return Sample(b'{"compat_version": "1.0"}\n', b'{"compat_version": "1.1"}\n', *records)


# --- numbers beyond what a consumer can keep --------------------------------------------------------------------------


@tampered("ext4-all-reserved")
def _() -> Sample:
    """All blocks are kept for root."""
    honest = ext4_image()
    return Sample(honest, honest[:0x408] + honest[0x404:0x408] + honest[0x40C:])


def _full(*full: int) -> Sample:
    """A roomy image, and one of so many KiB and inodes with the same files, in which nothing is free."""
    tool = shutil.which("mkfs.ext4") or shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
    if tool is None:
        pytest.skip("mkfs.ext4 is not installed")
    out = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "root"
        root.mkdir()
        for number in range(5):  # with ten reserved inodes and lost+found: sixteen
            (root / f"f{number}").write_bytes(b"x" * (600 << 10 if number == 0 else 1))
        options = ["-q", "-F", "-b", "1024", "-m", "0", "-O", "^has_journal,^resize_inode", "-d", str(root)]
        for number, (size, inodes) in enumerate(((4096, 256), full)):
            image = Path(name) / str(number)
            subprocess.run([tool, *options, "-N", str(inodes), str(image), str(size)], check=True, capture_output=True)
            out.append(image.read_bytes())
    return Sample(*out)


@tampered("ext4-no-file")
def _() -> Sample:
    """As many inodes as files: no file can be made."""
    sample = _full(4096, 16)
    assert sample.b[0x410:0x414] == bytes(4) < sample.a[0x410:0x414]
    return sample


@tampered("ext4-no-block")
def _() -> Sample:
    """As many blocks as are used: nothing can be written."""
    sample = _full(4096, 256)
    used = 4096 - int.from_bytes(sample.b[0x40C:0x410], "little")
    while used < 4096 and (sample := _full(used, 256)).b[0x40C:0x410] != bytes(4):
        used -= int.from_bytes(sample.b[0x40C:0x410], "little")
    assert sample.b[0x40C:0x410] == bytes(4)
    return sample


def ext4_image() -> bytes:
    tool = shutil.which("mkfs.ext4") or shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
    if tool is None:
        pytest.skip("mkfs.ext4 is not installed")
    with tempfile.TemporaryDirectory() as name:
        image = Path(name) / "image"
        options = ["-q", "-F", "-O", "^metadata_csum,^64bit,^has_journal"]
        subprocess.run([tool, *options, str(image), "2M"], check=True, capture_output=True)
        return image.read_bytes()


@tampered("tar-late")
def _() -> Sample:
    """A time that does not fit into 32 bits: there, tar ends with an error."""
    a, b = (tar.member("a", Node(data=b"a", mtime=time)) for time in (1, 0o77777777777))
    return Sample(archive(a), archive(b))


@tampered("ubifs-nanoseconds")
def _() -> Sample:
    """A time that cannot be set again: copies with their times fail."""
    honest = made_by_tool("mkfs.ubifs", "-m", "2048", "-e", "126976", "-c", "200")
    leb, raw = 126976, bytearray(honest)
    at = next(a for a in range(3 * leb, len(raw), 8) if raw[a : a + 4] == b"\x31\x18\x10\x06" and raw[a + 20] == 0)
    struct.pack_into("<I", raw, at + 80, 0xFFFFFFFF)
    (size,) = struct.unpack_from("<I", raw, at + 16)
    struct.pack_into("<I", raw, at + 4, zlib.crc32(raw[at + 8 : at + size]) ^ 0xFFFFFFFF)
    return Sample(honest, bytes(raw))


@tampered("dtb-order")
def _() -> Sample:
    """A tree whose strings stand before its structure: libfdt reads it and does not write to it."""
    structure = struct.pack(">II", 1, 0) + struct.pack(">IIII", 3, 4, 0, 7) + struct.pack(">II", 2, 9)
    strings = b"cells\0\0\0"

    def made(first: bytes, second: bytes) -> bytes:
        at = {id(first): 56, id(second): 56 + len(first)}
        total = 56 + len(first) + len(second)
        places = at[id(structure)], at[id(strings)]
        head = struct.pack(">10I", 0xD00DFEED, total, *places, 40, 17, 16, 0, len(strings), len(structure))
        return head + bytes(16) + first + second

    return Sample(made(structure, strings), made(strings, structure))


@tampered("squashfs-inode-zero")
def _() -> Sample:
    """A start-up script with inode number 0: C libraries take such a name for a deleted one when they list a folder."""
    numbers = squashfs._Image._inode

    def hidden(image: squashfs._Image, path: str, *rest: object) -> object:
        image.numbers["etc/init.d/S50gate"] = 0
        return numbers(image, path, *rest)  # type: ignore[arg-type]

    honest = squashfs.write(base())
    with mock.patch.object(squashfs._Image, "_inode", hidden):
        return Sample(honest, squashfs.write(base()))
