"""Small samples of each container, with checksums that can be put right, and mutants of them.

A mutant has one or two changes: a byte, a number, a digit, a stretch copied over another, swapped with one, doubled or
taken out, or words that readers act on. Checksums are put right after it, so that they are not what refuses it.
"""

from __future__ import annotations

import bz2
import gzip
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import lz4.frame
import zstandard
from msgspec import Struct

from banbury.compare.corpus.recipes import boot
from banbury.compare.corpus.recipes.packages import rpm
from banbury.compare.corpus.trees import Node
from banbury.compare.corpus.writers import jffs2, squashfs, ubi
from banbury.compare.corpus.writers.boxes import fdt
from banbury.compare.corpus.writers.romdisks import cramfs, romfs
from tests.equivalence.consumer_pairs_streams import lzop
from tests.equivalence.container_pairs import ar

TREE = {
    "bin": Node(kind="dir", mode=0o755),
    "bin/run": Node(mode=0o755, data=b"some content that is stored as it is\n" * 3),
    "bin/sh": Node(kind="symlink", mode=0o777, link="run"),
    "console": Node(kind="char", mode=0o600, rdev=(5, 1)),
    "empty": Node(),
    "motd": Node(data=b"Welcome.\n", uid=5, gid=6),
}
_TEXT = b"The quick brown fox jumps over the lazy dog. " * 6


class Case(Struct, frozen=True, kw_only=True):
    """A sample; what puts its checksums right; how far units of it reach; words to write into it."""

    name: str
    sample: bytes
    repair: Callable[[bytearray], None] = lambda raw: None
    unit: int = 4
    words: tuple[bytes, ...] = ()
    count: int = 700


def mutants(case: Case, seed: int) -> Iterator[bytes]:
    """Different mutants, none of them the sample."""
    rng = random.Random(f"{case.name} {seed}")
    # Places that are not in the midst of a run: there all changes are alike.
    busy = [i for i in range(len(case.sample)) if case.sample[max(i - 24, 0) : i + 24].count(case.sample[i]) < 40]
    seen = {case.sample}
    for _ in range(case.count):
        raw = bytearray(case.sample)
        for _ in range(rng.choice((1, 1, 1, 2))):
            _change(raw, rng, case, busy)
        case.repair(raw)
        mutant = bytes(raw)
        if mutant not in seen:
            seen.add(mutant)
            yield mutant


def _change(raw: bytearray, rng: random.Random, case: Case, busy: list[int]) -> None:
    at = min(rng.choice(busy), len(raw) - 1)
    start, length = at - at % case.unit, case.unit * rng.choice((1, 1, 2, 4))
    other = min(rng.choice(busy), len(raw) - 1)
    other -= other % case.unit
    match rng.randrange(10 if case.words else 9):
        case 0 | 1:
            raw[at] = rng.choice((raw[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        case 2 | 3:
            size = rng.choice((2, 4, 8))
            value = rng.choice((0, 1, 2, 3, 7, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, rng.randrange(1 << 16)))
            order: Literal["little", "big"] = rng.choice(("little", "big"))
            raw[start : start + size] = (value & (1 << 8 * size) - 1).to_bytes(size, order)[: len(raw) - start]
        case 4:
            raw[at] = rng.choice(b"0123456789abcdefABCDEF /.\0-+ ")
        case 5:
            piece = raw[other : other + length]
            raw[start : start + len(piece)] = piece
        case 6:
            one, two = raw[start : start + length], raw[other : other + length]
            if len(one) == len(two):
                raw[start : start + length], raw[other : other + length] = two, one
        case 7:
            raw[start:start] = raw[other : other + length]
        case 8:
            del raw[start : start + length]
        case _:
            word = rng.choice(case.words)
            raw[at : at + len(word)] = word


# --- archives --------------------------------------------------------------------------------------------------------


def _tar(form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, node in TREE.items():
            info = tarfile.TarInfo(name if name != "motd" or form == tarfile.USTAR_FORMAT else "long/" * 25 + name)
            info.mode, info.uid, info.gid, info.uname, info.mtime = node.mode, node.uid, node.gid, "root", 1_500_000_000
            info.type = {"dir": b"5", "file": b"0", "symlink": b"2", "char": b"3"}[node.kind]
            info.linkname, (info.devmajor, info.devminor), info.size = node.link, node.rdev, len(node.data)
            if form == tarfile.PAX_FORMAT and name == "bin/run":
                info.pax_headers = {"SCHILY.xattr.user.x": "value", "mtime": "1500000000.25", "comment": "none"}
            archive.addfile(info, io.BytesIO(node.data))
        link = tarfile.TarInfo("hard")
        link.type, link.linkname = b"1", "bin/run"
        archive.addfile(link)
    return out.getvalue()


def _tar_sums(raw: bytearray) -> None:
    for at in range(0, len(raw) - 511, 512):
        if raw[at + 257 : at + 262] == b"ustar":
            total = sum(raw[at : at + 148]) + sum(raw[at + 156 : at + 512]) + 256
            raw[at + 148 : at + 156] = b"%06o\0 " % total


_PAX = (b"path=", b"size=", b"linkpath=", b"uid=", b"gid=", b"mtime=", b"uname=", b"hdrcharset=", b"GNU.sparse.size=")


def _cpio(*, crc: bool = False) -> bytes:
    out = bytearray()
    rows = [(n, {"dir": 0o40000, "symlink": 0o120000, "char": 0o20000, "file": 0o100000}[v.kind] | v.mode, v)
            for n, v in TREE.items()]  # fmt: skip
    linked = Node(data=b"twice\n")
    rows += [("one", 0o100644, linked), ("two", 0o100644, Node()), ("TRAILER!!!", 0, Node(mode=0, mtime=0))]
    for number, (name, mode, node) in enumerate(rows, 1):
        body = node.link.encode() or node.data
        inode = 0 if not mode else 99 if name in ("one", "two") else number
        links = 2 if inode == 99 else 1
        check = sum(body) if crc else 0
        fields = (inode, mode, node.uid, node.gid, links, node.mtime, len(body), 0, 3 if mode else 0, *node.rdev)
        out += (b"070702" if crc else b"070701") + b"".join(b"%08x" % f for f in (*fields, len(name) + 1, check))
        out += name.encode() + b"\0"
        out += bytes(-len(out) % 4) + body
        out += bytes(-len(out) % 4)
    return bytes(out)


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, node in TREE.items():
            info = zipfile.ZipInfo(name + "/" * (node.kind == "dir"), (2020, 1, 1, 0, 0, 0))
            kind = {"dir": 0o40000, "symlink": 0o120000, "char": 0o20000, "file": 0o100000}[node.kind]
            info.external_attr, info.create_system = (kind | node.mode) << 16, 3
            info.compress_type = zipfile.ZIP_DEFLATED if name == "bin/run" else zipfile.ZIP_STORED
            info.extra = struct.pack("<HHBi", 0x5455, 5, 1, 1_577_836_800)
            if name == "motd":
                info.extra += struct.pack("<HHBBIBI", 0x7875, 11, 1, 4, 5, 4, 6)
            archive.writestr(info, node.link.encode() or node.data)
    return out.getvalue()


def _rpm_sums(sample: bytes) -> Callable[[bytearray], None]:
    header = sample.index(b"\x8e\xad\xe8\x01", 100)
    count, size = struct.unpack_from(">II", sample, header + 8)
    body = header + 16 + 16 * count + size
    signed = {t: o for t, _, o, _ in struct.iter_unpack(">IIII", sample[112 : 112 + 16 * 5])}
    base = 112 + 16 * 5

    def repair(raw: bytearray) -> None:
        head, whole = bytes(raw[header:body]), bytes(raw[header:])
        for tag, text in ((269, hashlib.sha1(head, usedforsecurity=False)), (273, hashlib.sha256(head))):
            place = base + signed[tag]
            raw[place : place + 2 * text.digest_size] = text.hexdigest().encode()
        raw[base + signed[1004] : base + signed[1004] + 16] = hashlib.md5(whole, usedforsecurity=False).digest()

    return repair


# --- file systems ----------------------------------------------------------------------------------------------------


def _jffs2_sums(raw: bytearray) -> None:
    at = 0
    while raw[at : at + 2] == b"\x85\x19" and at + 12 <= len(raw):
        kind, total = struct.unpack_from("<HI", raw, at + 2)
        end = at + max(min(total, len(raw) - at), 12)
        struct.pack_into("<I", raw, at + 8, jffs2.crc(bytes(raw[at : at + 8])))
        if kind == 0xE001 and end - at >= 40:
            struct.pack_into("<I", raw, at + 32, jffs2.crc(bytes(raw[at : at + 32])))
            struct.pack_into("<I", raw, at + 36, jffs2.crc(bytes(raw[at + 40 : end])))
        elif kind == 0xE002 and end - at >= 68:
            struct.pack_into("<I", raw, at + 60, jffs2.crc(bytes(raw[at + 68 : end])))
            struct.pack_into("<I", raw, at + 64, jffs2.crc(bytes(raw[at : at + 60])))
        at = end + 3 & ~3


def _ubi_sums(raw: bytearray) -> None:
    for start in range(0, len(raw) - ubi.PEB + 1, ubi.PEB):
        for at in (start, start + 64):
            if raw[at : at + 3] == b"UBI":
                struct.pack_into(">I", raw, at + 60, zlib.crc32(raw[at : at + 60]) ^ 0xFFFFFFFF)
    for at in (128, ubi.PEB + 128):
        for start in range(at, at + 3 * 172, 172):
            if start + 172 <= len(raw):
                struct.pack_into(">I", raw, start + 168, zlib.crc32(raw[start : start + 168]) ^ 0xFFFFFFFF)


def _cramfs_sum(raw: bytearray) -> None:
    raw[32:36] = bytes(4)
    raw[32:36] = struct.pack("<I", zlib.crc32(raw))


def _romfs_sums(sample: bytes) -> Callable[[bytearray], None]:
    """Headers of the sample are where its sums are nought."""
    heads = []
    for at in range(32, len(sample) - 31, 16):
        end = sample.index(b"\0", at + 16) + 16 - sample.index(b"\0", at + 16) % 16
        if sample[at + 12 : at + 16] != bytes(4) and not _total(sample[at:end]):
            heads.append(at)

    def repair(raw: bytearray) -> None:
        del raw[len(raw) & ~3 :]
        for at in heads:
            end = raw.find(b"\0", at + 16)
            if end > 0 and (end := end + 16 - end % 16) <= len(raw):
                raw[at + 12 : at + 16] = bytes(4)
                struct.pack_into(">I", raw, at + 12, -_total(raw[at:end]) & 0xFFFFFFFF)
        raw[12:16] = bytes(4)
        struct.pack_into(">I", raw, 12, -_total(raw[:512]) & 0xFFFFFFFF)

    return repair


def _total(raw: bytes | bytearray) -> int:
    words: tuple[int, ...] = struct.unpack(f">{len(raw) // 4}I", raw[: len(raw) & ~3])
    return sum(words) & 0xFFFFFFFF


def _made(tool: str, command: Callable[[Path], list[str]]) -> bytes | None:
    """What a file system's own tool makes of a small folder; ``None`` without it."""
    if not shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin"):
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root/bin").mkdir(parents=True)
        (folder / "root/bin/run").write_bytes(b"some content\n" * 60)
        (folder / "root/hard").hardlink_to(folder / "root/bin/run")
        (folder / "root/sh").symlink_to("bin/run")
        env = {"MKE2FS_CONFIG": "/dev/null", "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
        subprocess.run(command(folder), check=True, env=env, capture_output=True)
        return (folder / "image").read_bytes()


def _ext(folder: Path) -> list[str]:
    options = ["-t", "ext4", "-b", "1024", "-I", "256", "-N", "16", "-O", "^has_journal,^metadata_csum,^uninit_bg"]
    return ["mke2fs", "-q", "-F", *options, "-d", str(folder / "root"), str(folder / "image"), "256"]


def _squashfs(folder: Path) -> list[str]:
    options = ["-noI", "-noD", "-noF", "-noX", "-noId", "-nopad", "-quiet", "-no-progress", "-no-exports"]
    pseudo = ["-p", "console c 600 0 0 5 1", "-p", "motd f 4755 5 6 echo hello", "-all-root"]
    return ["mksquashfs", str(folder / "root"), str(folder / "image"), *options, *pseudo]


def _uimage_sums(raw: bytearray) -> None:
    raw[12:16] = struct.pack(">I", max(len(raw) - 64, 0))
    raw[24:28] = struct.pack(">I", zlib.crc32(raw[64:]))
    raw[4:8] = bytes(4)
    raw[4:8] = struct.pack(">I", zlib.crc32(raw[:64]))


def _trx_sum(raw: bytearray) -> None:
    raw[8:12] = struct.pack("<I", zlib.crc32(raw[12:]) ^ 0xFFFFFFFF)


def _uimage() -> bytes:
    head = struct.pack(">7I4B32s", 0x27051956, 0, 7, len(_TEXT), 0x80000000, 0x80001000, 0, 5, 5, 2, 0, b"name")
    raw = bytearray(head + _TEXT)
    _uimage_sums(raw)
    return bytes(raw)


def _trx() -> bytes:
    tail = struct.pack("<HH3I", 0, 1, 28, 28 + 400, 0) + _TEXT[:200] * 2 + _TEXT
    return struct.pack("<4sII", b"HDR0", 12 + len(tail), zlib.crc32(tail) ^ 0xFFFFFFFF) + tail


def _lzop_sums(raw: bytearray) -> None:
    struct.pack_into(">I", raw, 34, zlib.adler32(raw[9:34]))
    if len(raw) > 54:
        struct.pack_into(">I", raw, 46, zlib.adler32(raw[50:-4]))


def cases() -> list[Case]:
    """Every sample that this machine can make."""
    packed = io.BytesIO()
    with gzip.GzipFile("name.txt", "wb", 6, packed, 1_700_000_000) as file:
        file.write(_TEXT)
    package, rom = rpm(TREE), romfs(TREE)
    volumes = [ubi.Volume(name="k", data=b"kernel" * 9, static=True), ubi.Volume(name="r", data=b"root" * 99)]
    found = [
        Case(name="tar", sample=_tar(tarfile.USTAR_FORMAT), repair=_tar_sums, unit=512),
        Case(name="tar-pax", sample=_tar(tarfile.PAX_FORMAT), repair=_tar_sums, words=_PAX),
        Case(name="tar-gnu", sample=_tar(tarfile.GNU_FORMAT), repair=_tar_sums, unit=512),
        Case(name="cpio", sample=_cpio(), unit=4),
        Case(name="cpio-crc", sample=_cpio(crc=True), unit=4),
        Case(name="zip", sample=_zip(), unit=2, words=(b"up", b"ux", b"\x75\x70\x0a\0\1", b"../", b"/", b"\\")),
        Case(name="ar", sample=ar(("one.o/", b"first"), ("two.o/", b"second"), mtime=9), unit=2),
        Case(name="gzip", sample=packed.getvalue(), unit=1),
        Case(name="xz", sample=lzma.compress(_TEXT), count=400),
        Case(name="lzma", sample=lzma.compress(_TEXT, lzma.FORMAT_ALONE), unit=1, count=400),
        Case(name="bzip2", sample=bz2.compress(_TEXT), unit=1, count=2500),
        Case(name="zstd", sample=zstandard.ZstdCompressor(write_checksum=False).compress(_TEXT), unit=1),
        Case(name="lz4", sample=lz4.frame.compress(_TEXT), unit=1),
        Case(name="lzop", sample=lzop(_TEXT, packed=False), repair=_lzop_sums, count=300),
        Case(name="rpm", sample=package, repair=_rpm_sums(package), count=400),
        Case(name="squashfs", sample=squashfs.write(TREE, plain=True), count=300),
        Case(name="jffs2", sample=jffs2.write(TREE, packed=False), repair=_jffs2_sums, count=500),
        Case(name="cramfs", sample=cramfs(TREE, pad=64), repair=_cramfs_sum, count=400),
        Case(name="romfs", sample=rom, repair=_romfs_sums(rom), unit=16),
        Case(name="ubi", sample=ubi.write(volumes), repair=_ubi_sums, count=200),
        Case(name="uimage", sample=_uimage(), repair=_uimage_sums, count=300),
        Case(name="fit", sample=boot.fit(_TEXT), count=400),
        Case(name="fdt", sample=fdt({"model": "x", "chosen": {"bootargs": "ro", "n": b"\0\0\0\1"}}), count=600),
        Case(name="trx", sample=_trx(), repair=_trx_sum, count=300),
    ]
    for name, tool, command, count in (
        ("ext", "mke2fs", _ext, 400), ("squashfs-tool", "mksquashfs", _squashfs, 500),
    ):  # fmt: skip
        sample = _made(tool, command)
        if sample is not None:
            found.append(Case(name=name, sample=sample, count=count))
    return found
