"""What the usual tools write otherwise when they are asked for another level, or a second later, and what a change of
content or rights beside it looks like.

See :mod:`tests.equivalence.consumer_pairs`.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import lzallright
import pytest

from banbury.compare.corpus.trees import Node, base
from banbury.compare.corpus.writers import jffs2, squashfs
from banbury.compare.corpus.writers.romdisks import romfs
from banbury.compare.corpus.writers.zip import Part
from banbury.compare.corpus.writers.zip import write as zipped
from tests.equivalence.container_pairs import ar, cpio, harmless, pair, tampered, tar
from tests.equivalence.pairs import Sample

_TEXT = b"".join(b"line %d of a file\n" % n for n in range(400))
_PARTS = [
    Part(name="etc/"), Part(name="etc/text", data=_TEXT), Part(name="short", data=b"\x8b\x01", method=0),
    Part(name="bin/run", data=b"#!/bin/sh\n" * 9, mode=0o100755),
]  # fmt: skip

# --- zip -------------------------------------------------------------------------------------------------------------


def _leveled(level: int, flags: int, **changed: object) -> list[Part]:
    """As Info-ZIP writes them: the level in the flags, of stored members too."""
    return [
        Part(**{**_fields(p), "level": level, "flags": flags, **(changed if p.name == "bin/run" else {})})  # type: ignore[arg-type]
        for p in _PARTS
    ]


def _fields(part: Part) -> dict[str, object]:
    return {name: getattr(part, name) for name in part.__struct_fields__}


@harmless("zip-level-in-flags")
def _() -> Sample:
    return Sample(zipped(_leveled(9, 2)), zipped(_leveled(1, 4)))


@tampered("zip-level-mode")
def _() -> Sample:
    return Sample(zipped(_leveled(9, 2)), zipped(_leveled(1, 4, mode=0o104755)))


@tampered("zip-level-content")
def _() -> Sample:
    return Sample(zipped(_leveled(9, 2)), zipped(_leveled(1, 4, data=b"#!/bin/su\n" * 9)))


@tampered("zip-level-name")
def _() -> Sample:
    return Sample(zipped(_leveled(9, 2)), zipped(_leveled(1, 4, name="bin/ran")))


def _written_by(version: int) -> bytes:
    """Two members by a writer of this version, and one name beyond ASCII."""
    raw = bytearray(zipped([Part(name="caf\u00e9", data=_TEXT)]))
    at = raw.index(b"PK\1\2")
    raw[at + 4 : at + 6] = struct.pack("<H", version)
    return bytes(raw)


@harmless("zip-writer")
def _() -> Sample:
    return Sample(_written_by(0x0314), _written_by(0x031E))


@tampered("zip-writer-names")
def _() -> Sample:
    """unzip takes a name by a FAT writer of version 2.6 for ISO 8859-1, and by one of 2.0 for code page 437."""
    return Sample(_written_by(20), _written_by(26))


@tampered("zip-writer-system")
def _() -> Sample:
    return Sample(_written_by(0x0314), _written_by(0x0014))


def _ntfs(*times: int, more: bytes = b"") -> bytes:
    body = struct.pack("<IHH3Q", 0, 1, 24, *times) + more
    return struct.pack("<HH", 0x000A, len(body)) + body


@harmless("zip-ntfs-time")
def _() -> Sample:
    """As 7-Zip writes them: in the directory alone."""
    start = 0x01DCE0F4_00000000
    a, b = (_ntfs(start + n, start + 2 * n, start) for n in (1, 70_000_000))
    return pair(zipped([Part(name="a", data=_TEXT, extra=extra)]) for extra in (a, b))


@tampered("zip-ntfs-more")
def _() -> Sample:
    """Another attribute behind the times."""
    start = 0x01DCE0F4_00000000
    a, b = (_ntfs(start, start, start, more=struct.pack("<HH4s", 2, 4, more)) for more in (b"abcd", b"efgh"))
    return pair(zipped([Part(name="a", data=_TEXT, extra=extra)]) for extra in (a, b))


def _streamed(size: int) -> bytes:
    """With a descriptor, and ``size`` in the local header, as libarchive has it."""
    raw = bytearray(zipped([Part(name="a", data=_TEXT, descriptor=True)]))
    struct.pack_into("<I", raw, 22, size)
    return bytes(raw)


@harmless("zip-size-ahead")
def _() -> Sample:
    return Sample(_streamed(0), _streamed(len(_TEXT)))


@tampered("zip-size-ahead-wrong")
def _() -> Sample:
    return Sample(_streamed(0), _streamed(len(_TEXT) + 1))


def _central_times(count: int) -> bytes:
    """A timestamp that announces three times, of which the directory has one or all."""
    times = struct.pack("<3I", 1_600_000_000, 1_600_000_001, 1_600_000_002)
    whole, short = (struct.pack("<HHB", 0x5455, 1 + 4 * n, 7) + times[: 4 * n] for n in (3, count))
    return zipped([Part(name="a", data=_TEXT, extra=short, local_extra=whole)])


@harmless("zip-times-in-directory")
def _() -> Sample:
    return Sample(_central_times(1), _central_times(3))


@tampered("zip-times-odd")
def _() -> Sample:
    return Sample(_central_times(1), _central_times(2))


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _info_zip(level: int, text: bytes = _TEXT) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "etc").mkdir()
        (folder / "etc/text").write_bytes(text)
        (folder / "short").write_bytes(b"#!/bin/sh\n")
        (folder / "link").symlink_to("etc/text")
        command = [tool("zip"), "-qryX", f"-{level}", "out.zip", "etc", "short", "link"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (folder / "out.zip").read_bytes()


@harmless("zip-by-info-zip")
def _() -> Sample:
    return Sample(_info_zip(1), _info_zip(9))


@tampered("zip-by-info-zip-content")
def _() -> Sample:
    return Sample(_info_zip(1), _info_zip(9, _TEXT.replace(b"7", b"8", 1)))


# --- ext -------------------------------------------------------------------------------------------------------------


def ext(
    options: Sequence[str], *, number: int = 1, time: int = 1_600_000_000, text: bytes = _TEXT, mark: bytes = b""
) -> bytes:
    """An image by mke2fs of 8 MiB, with its identities and times. ``mark``: an extended attribute of a file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "root"
        (folder / "etc").mkdir(parents=True)
        (folder / "etc/text").write_bytes(text)
        (folder / "empty").touch()
        if mark:
            try:
                os.setxattr(folder / "etc/text", "user.mark", mark)
            except OSError as error:
                pytest.skip(f"no extended attributes here: {error.strerror}")
        (folder / "link").symlink_to("etc/text")
        uuid = f"{number:08x}-0000-4000-8000-000000000001"
        kinds = ["-q", "-F", "-U", uuid, "-E", f"hash_seed={uuid},root_owner=0:0", "-b", "1024", "-N", "64"]
        subprocess.run(
            [tool("mke2fs"), *kinds, *options, "-d", str(folder), str(Path(name) / "image"), "8M"],
            check=True, capture_output=True, env={"MKE2FS_CONFIG": "/dev/null", "PATH": "/usr/sbin:/sbin:/usr/bin:/bin",
                                                  "E2FSPROGS_FAKE_TIME": str(time)},
        )  # fmt: skip
        return (Path(name) / "image").read_bytes()


_PLAIN = ("-t", "ext4", "-O", "has_journal,extent,^metadata_csum,^uninit_bg")
_EXT2 = ("-t", "ext2", "-I", "128", "-O", "ext_attr,^resize_inode")
_ORPHANS = ("-t", "ext4", "-O", "has_journal,extent,64bit,metadata_csum,orphan_file")


@harmless("ext4-unchecked")
def _() -> Sample:
    return Sample(ext(_PLAIN), ext(_PLAIN, number=2, time=1_700_000_000))


@harmless("ext4-zeroed-tables")
def _() -> Sample:
    later = [*_PLAIN, "-E", "lazy_itable_init=0,hash_seed=00000003-0000-4000-8000-000000000001"]
    return Sample(ext(_PLAIN), ext(later))


@tampered("ext4-unchecked-flags")
def _() -> Sample:
    """A flag of groups that says that there are no inodes, where no checksums are."""
    honest = ext(_PLAIN)
    return Sample(honest, honest[: 2048 + 0x12] + b"\1" + honest[2048 + 0x13 :])


@harmless("ext2-identity")
def _() -> Sample:
    return Sample(ext(_EXT2), ext(_EXT2, number=2, time=1_700_000_000))


@tampered("ext2-identity-content")
def _() -> Sample:
    return Sample(ext(_EXT2), ext(_EXT2, number=2, text=_TEXT.replace(b"7", b"8", 1)))


@harmless("ext2-attributes")
def _() -> Sample:
    """In a block of their own, whose hash libext2fs leaves out."""
    return Sample(ext(_EXT2, mark=b"one"), ext(_EXT2, mark=b"one", number=2))


@tampered("ext2-attributes-value")
def _() -> Sample:
    return Sample(ext(_EXT2, mark=b"one"), ext(_EXT2, mark=b"two", number=2))


@tampered("ext2-attributes-hash")
def _() -> Sample:
    """Neither none nor the right one: Linux could take the block for another file's attributes."""
    honest, raw = (bytearray(ext(_EXT2, mark=b"one", number=n)) for n in (1, 2))
    raw[raw.index(b"\0\0\2\xea\1\0\0\0") + 12] = 1
    return Sample(bytes(honest), bytes(raw))


@harmless("ext2-uncopied")
def _() -> Sample:
    """As genext2fs writes it: one group's number in the copies, or none."""
    images = [bytearray(ext([*_EXT2, "-g", "2048"], number=n)) for n in (1, 2)]
    for raw in images:
        for group in (1, 3):
            start = (1 + 2048 * group) * 1024
            raw[start : start + 2048] = bytes(2048) if group == 1 else raw[start : start + 0x5A] + bytes(2) + raw[
                start + 0x5C : start + 2048
            ]  # fmt: skip
    return pair(map(bytes, images))


@tampered("ext2-copy-lost")
def _() -> Sample:
    """Without its copies on one side alone."""
    images = [bytearray(ext([*_EXT2, "-g", "2048"], number=n)) for n in (1, 2)]
    images[1][2049 * 1024 : 2051 * 1024] = bytes(2048)
    return pair(map(bytes, images))


@tampered("ext2-copy-half")
def _() -> Sample:
    """A copy of nothing but a byte of the group descriptors."""
    images = [bytearray(ext([*_EXT2, "-g", "2048"], number=n)) for n in (1, 2)]
    for raw in images:
        raw[2049 * 1024 : 2051 * 1024] = bytes(2047) + b"\1"
    return pair(map(bytes, images))


@harmless("ext4-orphan-file")
def _() -> Sample:
    return Sample(ext(_ORPHANS), ext(_ORPHANS, number=2, time=1_700_000_000))


def _orphans(raw: bytearray) -> int:
    """Where the first block of the file of orphans ends."""
    return raw.index(struct.pack("<I", 0x0B10CA04)) + 8


_ORPHANS_BARE = ("-t", "ext4", "-O", "has_journal,extent,^metadata_csum,orphan_file")


@tampered("ext4-orphan-listed")
def _() -> Sample:
    """An inode that is deleted as soon as the image is mounted."""
    honest = ext(_ORPHANS_BARE)
    raw = bytearray(ext(_ORPHANS_BARE, number=2))
    end = _orphans(raw)
    raw[end - 1024] = 13
    return Sample(honest, bytes(raw))


@tampered("ext4-orphan-mark")
def _() -> Sample:
    """Linux does not mount an image whose file of orphans has no mark."""
    honest = ext(_ORPHANS_BARE)
    raw = bytearray(ext(_ORPHANS_BARE, number=2))
    end = _orphans(raw)
    raw[end - 8 : end - 4] = bytes(4)
    return Sample(honest, bytes(raw))


@tampered("ext4-orphan-number")
def _() -> Sample:
    """Another file is said to be that of orphans: its content is overwritten."""
    honest = ext(_ORPHANS_BARE)
    raw = bytearray(ext(_ORPHANS_BARE, number=2))
    raw[1024 + 0x280] += 1
    return Sample(honest, bytes(raw))


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
    raw = bytearray(squashfs.write({"a": Node(data=_TEXT), "b": Node(data=_TEXT[:90])}, plain=True, fragments=False))
    (start,) = struct.unpack_from("<Q", raw, 64)
    found = 0
    for at in range(start + 2, len(raw) - 32):
        sort, fragment, old, length = struct.unpack_from("<H18xIII", raw, at)
        if (sort, fragment, old) == (2, 0xFFFFFFFF, 0) and length in (len(_TEXT), 90):
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


# --- JFFS2: summaries of erase blocks ---------------------------------------------------------------------------------

_MARK = 0x02851885
_BLOCK = 65536


def summarised(raw: bytes, change: Callable[[bytearray, bytearray], None] | None = None) -> bytes:
    """A little-endian image with a summary at the end of each erase block, as sumtool writes it (Linux,
    fs/jffs2/summary.h). ``change``: done to the list of each and to its head before the checksums."""
    out = bytearray(raw)
    for start in range(0, len(raw), _BLOCK):
        rows, at, count, marker = bytearray(), start, 0, 0
        while raw[at : at + 2] == b"\x85\x19":
            kind, total = struct.unpack_from("<HI", raw, at + 2)
            one, version, third = struct.unpack_from("<3I", raw, at + 12)
            if kind == 0xE001:
                rows += struct.pack("<H5I", kind, total, at - start, one, version, third) + raw[at + 28 : at + 30]
                rows += raw[at + 40 : at + total]
            elif kind != 0x2003:
                rows += struct.pack("<H4I", kind, one, version, at - start, total)
            count, marker = count + (kind != 0x2003), 12 if kind == 0x2003 else marker
            at += total + 3 & ~3
        head = bytearray(struct.pack("<III", count, marker, 0))
        if change:
            change(rows, head)
        size = start + _BLOCK - at
        rows += b"\xff" * (size - 40 - len(rows)) + struct.pack("<II", at - start, _MARK)
        node = struct.pack("<HHI", 0x1985, 0x2006, size)
        node += struct.pack("<I", jffs2.crc(node)) + head + struct.pack("<I", jffs2.crc(rows))
        out[at : start + _BLOCK] = node + struct.pack("<I", jffs2.crc(node[:24])) + rows
    return bytes(out)


def _small() -> bytes:
    return jffs2.write({"bin": Node(kind="dir", mode=0o755), "bin/run": Node(data=_TEXT, mode=0o755), "b": Node()})


@harmless("jffs2-summary")
def _() -> Sample:
    tree = base()
    return Sample(summarised(jffs2.write(tree, first=7)), summarised(jffs2.write(tree)))


@harmless("jffs2-summary-one-side")
def _() -> Sample:
    return Sample(_small(), summarised(_small()))


def _renamed(rows: bytearray, head: bytearray) -> None:
    at = rows.index(b"run")
    rows[at : at + 3] = b"rum"


@tampered("jffs2-summary-name")
def _() -> Sample:
    """Mounted by its summary, a file has another name than when its nodes are read."""
    return Sample(summarised(_small()), summarised(_small(), _renamed))


def _dropped(rows: bytearray, head: bytearray) -> None:
    del rows[-18:]
    head[0] -= 1


@tampered("jffs2-summary-shorter")
def _() -> Sample:
    """The last node is not in the summary: its file is not there."""
    return Sample(summarised(_small()), summarised(_small(), _dropped))


def _uncleaned(rows: bytearray, head: bytearray) -> None:
    head[4] = 16


@tampered("jffs2-summary-marker")
def _() -> Sample:
    return Sample(summarised(_small()), summarised(_small(), _uncleaned))


@tampered("jffs2-summary-in-content")
def _() -> Sample:
    """Content that ends where a block of flash does, with the mark of a summary: Linux reads nodes from within it."""
    end = struct.pack("<II", 0, _MARK)

    def made(first: str, size: int) -> bytes:
        flash = jffs2.Flash()
        for name in (first, "b" if first == "a" else "a"):
            flash.add(name, Node(data=b"x" * size if name == "a" else b"y" * 100 + end), packed=False)
        return flash.done()

    at = made("a", 100).index(end) + 8
    size = 100 + -at % 4096
    honest, hidden = made("b", size), made("a", size)
    assert hidden.index(end) % 4096 == 4088
    return Sample(honest, hidden)


# --- lzop ------------------------------------------------------------------------------------------------------------


def lzop(
    data: bytes, *, level: int = 9, time: int = 0, flags: int = 0x0300000D, mode: int = 0o100644, name: bytes = b"",
    block: int = 256 << 10, packed: bool = True, wrong: int = 0,
) -> bytes:  # fmt: skip
    """As lzop 1.04 writes it (lib/decompress_unlzo.c in Linux). ``wrong``: added to the sums of blocks."""
    head = struct.pack(">HHHBBIIII", 0x1040, 0x20A0, 0x0940, 3, level, flags, mode, time, 0)
    head += bytes((len(name),)) + name
    out = b"\x89LZO\0\r\n\x1a\n" + head + struct.pack(">I", zlib.adler32(head))
    for at in range(0, len(data), block):
        raw = data[at : at + block]
        stored = lzallright.LZOCompressor().compress(raw) if packed else raw
        stored = min(stored, raw, key=len)
        out += struct.pack(">III", len(raw), len(stored), zlib.adler32(raw) + wrong & 0xFFFFFFFF) + stored
    return out + bytes(4)


@harmless("lzop-level")
def _() -> Sample:
    return Sample(lzop(_TEXT), lzop(_TEXT, level=1, block=4096))


@harmless("lzop-time")
def _() -> Sample:
    return Sample(lzop(_TEXT), lzop(_TEXT, time=1_700_000_000))


@tampered("lzop-content")
def _() -> Sample:
    return Sample(lzop(_TEXT), lzop(_TEXT.replace(b"7", b"8", 1), level=1))


@tampered("lzop-trailing")
def _() -> Sample:
    return Sample(lzop(_TEXT), lzop(_TEXT, level=1) + b"\0")


@tampered("lzop-large-block")
def _() -> Sample:
    """Linux unpacks blocks of 256 KiB and no larger ones."""
    return Sample(lzop(_TEXT * 60), lzop(_TEXT * 60, block=512 << 10))


@tampered("lzop-sum")
def _() -> Sample:
    return Sample(lzop(_TEXT), lzop(_TEXT, level=1, wrong=1))


@tampered("lzop-flags")
def _() -> Sample:
    """Without sums, of which Linux skips one in each block all the same."""
    return Sample(lzop(_TEXT), lzop(_TEXT, flags=0x0300000C))


@tampered("lzop-mode")
def _() -> Sample:
    return Sample(lzop(_TEXT), lzop(_TEXT, level=1, mode=0o104755))


@tampered("lzop-name")
def _() -> Sample:
    return Sample(lzop(_TEXT, name=b"a"), lzop(_TEXT, level=1, name=b"b"))


# --- a stream that is an archive as well -----------------------------------------------------------------------------

_CONTENT = tar(("etc/firewall", b"policy drop\n"), ("bin/tool", b"#!/bin/sh\n"))


def _stream_and_archive(content: bytes, skipped: int) -> bytes:
    """A gzip of ``content`` whose first 512 bytes, with the file's name, are the header of a tar archive as well: its
    first member takes up the ``skipped`` first bytes of the content too."""
    name = bytearray(b"x" * 254)
    name[90:98], name[98:106], name[106:114] = b"0000644 ", b"0000000 ", b"0000000 "
    name[126:138], name[146:147], name[247:254] = b"%011o " % 0, b"0", b"ustar  "
    empty = next(n for n in range(512) if (265 + 5 * n + 5 + skipped) % 512 == 0)
    name[114:126] = b"%011o " % (265 + 5 * empty + 5 + skipped - 512)
    block = b"\1" + struct.pack("<HH", len(content), len(content) ^ 0xFFFF) + content
    tail = struct.pack("<II", zlib.crc32(content), len(content))
    name[138:146] = b" " * 8
    head = b"\x1f\x8b\x08\x08\0\0\0\0\2\3"
    rest = b"\0" + b"\0\0\0\xff\xff" * empty + block + tail
    name[138:146] = b"%06o  " % sum((head + bytes(name) + rest)[:512])
    return head + bytes(name) + rest


def _debian(*data: tuple[str, bytes]) -> bytes:
    control = tar(("control", b"Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a\n"))
    return ar(("debian-binary", b"2.0\n"), ("control.tar.xz", lzma.compress(control)), *data)


@tampered("stream-and-archive")
def _() -> Sample:
    """GNU tar takes a file for an archive before it looks for a compressor's mark."""
    return Sample(gzip.compress(_CONTENT, mtime=0), _stream_and_archive(_CONTENT, 1024))


@tampered("deb-stream-and-archive")
def _() -> Sample:
    """dpkg takes data.tar for an archive, whatever it begins with."""
    honest = _debian(("data.tar.xz", lzma.compress(_CONTENT)))
    return Sample(honest, _debian(("data.tar", _stream_and_archive(_CONTENT, 1024))))
