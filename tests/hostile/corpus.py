"""A corpus of hostile submissions, made in code: what a vendor with something to hide, or an attacker, would hand in.

Each case gives the files of one root file system; :func:`image` wraps them, with an account file that every evaluation
must still report, in a vendor header. ``raw`` cases stand in the image itself, before that part. ``notes`` are codes of
notes of which at least one must be in the evaluation. ``slow`` cases cost seconds and are run by the gates alone.
"""

from __future__ import annotations

import bz2
import gzip
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
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.formats.squashfs_writer import Node, Squash, tree
from tests.images import PASSWD, tar_of, uimage

Files = dict[str, bytes]
MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """One hostile input."""

    name: str
    make: Callable[[], Files | bytes]
    notes: tuple[str, ...] = ()
    raw: bool = False
    slow: bool = False
    needs: str = ""


CASES: list[Case] = []


def case(
    *notes: str, raw: bool = False, slow: bool = False, needs: str = ""
) -> Callable[[Callable[[], Files | bytes]], Callable[[], Files | bytes]]:
    """Register the decorated function's result as a case of its name."""

    def register(make: Callable[[], Files | bytes]) -> Callable[[], Files | bytes]:
        CASES.append(Case(make.__name__, make, notes, raw, slow, needs))
        return make

    return register


def image(chosen: Case) -> bytes:
    """The whole submission: the hostile part, and a file system with an account that has to be reported."""
    made = chosen.make()
    if isinstance(made, bytes) and chosen.raw:
        return made + uimage(gzip.compress(tar_of({"etc/passwd": PASSWD}), mtime=0))
    files = {"data.bin": made} if isinstance(made, bytes) else made
    return uimage(gzip.compress(tar_of({**files, "etc/passwd": PASSWD}), 1, mtime=0))


# --- names and links ---------------------------------------------------------------------------------------------


def tar(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], pax: bool = False) -> bytes:
    out = io.BytesIO()
    kind = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=out, mode="w", format=kind, encoding="utf-8", errors="surrogateescape") as archive:
        for member in members:
            info, data = member if isinstance(member, tuple) else (member, b"")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str, data: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def newc(*members: tuple[str, int, bytes], rdev: tuple[int, int] = (0, 0)) -> bytes:
    """cpio, "new ASCII" (kernel, buffer-format): (name, mode, data)."""
    out = b""
    for number, (name, mode, data) in enumerate((*members, ("TRAILER!!!", 0, b"")), 1):
        raw = name.encode("utf-8", "surrogateescape") + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(raw), 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + raw
        out += head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
    return out


@case("path-traversal")
def traversal_and_absolute_names() -> bytes:
    return tar(member("../../../../tmp/banbury-escaped"), member("/tmp/banbury-escaped"), member("a/../../b"))


@case("path-traversal")
def cpio_traversal() -> bytes:
    return newc(("../../tmp/banbury-escaped", 0o100644, b"x"), ("/tmp/banbury-escaped2", 0o100755, b"y"))


@case("path-traversal")
def zip_traversal() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../../tmp/banbury-escaped", b"x")
        archive.writestr("/tmp/banbury-escaped", b"x")
        archive.writestr("..\\..\\banbury-escaped", b"x")
    return out.getvalue()


@case("link-escape", "path-traversal")
def link_then_write_through_it() -> bytes:
    return tar(
        member("out", b"", type=tarfile.SYMTYPE, linkname="/tmp"),
        member("out/banbury-escaped", b"through a link"),
        member("hard", b"", type=tarfile.LNKTYPE, linkname="../../../../etc/passwd"),
        member("self", b"", type=tarfile.SYMTYPE, linkname="self"),
        member("self2", b"", type=tarfile.LNKTYPE, linkname="self2"),
    )


@case("device-node")
def devices_in_tar() -> bytes:
    return tar(
        member("etc/mem", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=1, mode=0o666),
        member("lib/sda", b"", type=tarfile.BLKTYPE, devmajor=8, devminor=0, mode=0o666),
        member("fifo", b"", type=tarfile.FIFOTYPE),
    )


@case("device-node")
def devices_in_cpio() -> bytes:
    return newc(("etc/evil", 0o20666, b""), ("lib/sda", 0o60666, b""), rdev=(8, 0))


@case("device-node", needs="mksquashfs")
def devices_in_squashfs() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "root").mkdir()
        (folder / "root" / "file").write_bytes(b"x")
        (folder / "pseudo").write_text("mem c 666 0 0 1 1\nsda b 666 0 0 8 0\nsu m 4755 0 0\nsu f 4755 0 0 echo x\n")
        command = ["mksquashfs", "root", "out", "-pf", "pseudo", "-noappend", "-no-progress", "-all-time", "0"]
        subprocess.run([*command, "-mkfs-time", "0"], cwd=folder, check=True, capture_output=True)
        return (folder / "out").read_bytes()


@case("device-node", needs="mke2fs debugfs")
def devices_in_ext() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "ext"
        path.write_bytes(bytes(MIB))
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "E2FSPROGS_FAKE_TIME": "1", "SOURCE_DATE_EPOCH": "1"}
        uuid = "00000000-0000-4000-8000-000000000000"
        make = ["mke2fs", "-q", "-t", "ext4", "-U", uuid, "-E", f"hash_seed={uuid}", str(path)]
        subprocess.run(make, check=True, capture_output=True, env=environment)
        script = "mknod evil c 1 1\nmknod disk b 8 0\nsymlink out /etc/shadow\n"
        edit = ["debugfs", "-w", str(path)]
        subprocess.run(edit, input=script.encode(), check=True, capture_output=True, env=environment)
        return path.read_bytes()


@case("duplicate-name")
def duplicate_names() -> bytes:
    return tar(member("etc/rc", b"#!/bin/sh\ngood\n"), member("etc/rc", b"#!/bin/sh\nevil\n"), member("./etc/rc", b"z"))


@case()
def names_that_differ_by_case_and_normal_form() -> Files:
    return {"etc/Passwd": b"a", "etc/PASSWD": b"b", "caf\u00e9": b"c", "cafe\u0301": b"d", "\u212a": b"e", "k": b"f"}


ODD_NAMES = (
    b"\xff\xfe\x80",
    b"a\nb\rc\0d"[:5],
    b"\x1b[2J\x1b]0;owned\x07",
    b"<script>alert(1)</script>",
    b'"><img src=x onerror=alert(1)>',
    "\u202egnp.exe".encode(),
    b"$(touch banbury-escaped)",
    b"`id`;|&",
    b"=cmd|'/c calc'!A1",
    b"a!b!c",
    b"{fact}{0.__class__}",
    b"%s%n%x",
    b'#link("http://evil")[x]',
    b" ",
    b".",
    b"..",
)


@case("odd-name")
def names_for_terminals_pages_and_shells() -> bytes:
    return newc(*((n.decode("utf-8", "surrogateescape"), 0o100644, b"#!/bin/sh\nid\n") for n in ODD_NAMES))


@case()
def names_of_64_kib() -> bytes:
    long = "/".join(["n" * 250] * 262)
    return tar(member(long, b"x"), member("l", b"", type=tarfile.SYMTYPE, linkname=long), member("y" * 65000, b"z"))


@case()
def absurd_attributes() -> bytes:
    numbers = {"mtime": 1 << 62, "uid": 1 << 55, "gid": (1 << 55) - 1, "mode": 0o7777777}
    return tar(member("future", b"x", **numbers), member("past", b"x", mtime=-(1 << 55)))


# --- out of proportion -------------------------------------------------------------------------------------------


def zeros(compressor: Any, size: int) -> bytes:
    piece = bytes(4 * MIB)
    out = [compressor.compress(piece) for _ in range(size // len(piece))]
    return b"".join([*out, compressor.flush()])


@cache
def gzip_of_zeros(size: int) -> bytes:
    return zeros(zlib.compressobj(9, zlib.DEFLATED, 31), size)


@case("bomb", slow=True)
def gzip_bomb() -> bytes:
    return gzip_of_zeros(10 << 30)


@case("bomb")
def gzip_bomb_small() -> bytes:
    return gzip_of_zeros(96 * MIB)


@case("bomb")
def xz_bomb() -> bytes:
    return zeros(lzma.LZMACompressor(preset=0), 96 * MIB)


@case("bomb")
def bzip2_bomb() -> bytes:
    return bz2.compress(bytes(45 * MIB)) * 4


@case("bomb", slow=True)
def bzip2_bomb_large() -> bytes:
    return bz2.compress(bytes(45 * MIB)) * 200


@case(raw=True)
def many_small_bombs_in_a_row() -> bytes:
    """Each a format of its own for the search, each 45 MiB from 45 bytes."""
    bomb = bz2.compress(bytes(45 * MIB))
    return b"".join(bomb + bytes((i & 0xFF, i >> 8, 1, 2)) * 20 for i in range(60))


@case()
def lzma_with_a_dictionary_of_4_gib() -> bytes:
    good = lzma.compress(b"some text\n" * 1000, format=lzma.FORMAT_ALONE)
    return good[:1] + b"\xff\xff\xff\xff" + good[5:]


@case()
def xz_with_a_large_dictionary() -> bytes:
    good = bytearray(lzma.compress(b"some text\n" * 1000, format=lzma.FORMAT_XZ))
    at = good.index(b"\x21\x01", 12)
    good[at + 2] = 40  # 4 GiB - 1
    good[20:24] = struct.pack("<I", zlib.crc32(good[12:20])) if good[12] == 2 else good[20:24]
    return bytes(good)


@case()
def nested_gzip() -> bytes:
    data = b"#!/bin/sh\nbottom\n"
    for _ in range(200):
        data = gzip.compress(data, 1, mtime=0)
    return data


@case(slow=True)
def nested_tar_in_gzip_1000_deep() -> bytes:
    data = b"#!/bin/sh\nbottom\n"
    for level in range(1000):
        data = gzip.compress(tar_of({f"level{level}": data}), 1, mtime=0)
    return data


@case()
def wide_nesting() -> bytes:
    data = b"leaf"
    for level in range(5):
        data = gzip.compress(tar_of({f"{level}{i}": data + bytes([i]) for i in range(6)}), mtime=0)
    return data


@case("overlap", "bomb")
def zip_of_overlapping_members() -> bytes:
    """One kernel of deflated zeros named by every entry (Fifield, "A better zip bomb", 2019, full overlap)."""
    kernel = zlib.compress(bytes(4 * MIB), 9)[2:-4]
    crc = zlib.crc32(bytes(4 * MIB))
    sizes = (crc, len(kernel), 4 * MIB)
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, *sizes, 1, 0) + b"a" + kernel
    count = 5000
    central = b"".join(
        struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 8, 0, 0, *sizes, 5, 0, 0, 0, 0, 0, 0) + b"%05d" % i
        for i in range(count)
    )
    return local + central + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(central), len(local), 0)


@case("overlap", "bomb")
def zip_of_quoted_members() -> bytes:
    """Stored members that each hold all that follow: quadratic in the number of entries."""
    count = 2000
    body = b""
    central = []
    total = 35 * count + 4096
    at = 0
    for i in range(count):
        size = total - at - 35
        local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0, 0, size, size, 5, 0) + b"%05d" % i
        head = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0, 0, size, size, 5, 0, 0, 0, 0, 0, at)
        central.append(head + b"%05d" % i)
        body += local
        at += 35
    body += bytes(4096)
    table = b"".join(central)
    return body + table + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(table), len(body), 0)


@case("bomb", "malformed", "sparse", "truncated")
def sparse_tar_of_2_60_bytes() -> bytes:
    """GNU sparse 1.0 in pax form: one byte stored, 2^60 stated."""
    records = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "huge",
        "GNU.sparse.realsize": str(1 << 60),
    }
    table = f"1\n{(1 << 60) - 1}\n1\n".encode().ljust(512, b"\0")
    return tar(member("huge", table + b"x", pax_headers=records), pax=True)


@case("bomb", "malformed", "sparse", "truncated")
def old_gnu_sparse_tar() -> bytes:
    head = bytearray(tar(member("sparse", b"x" * 512))[:512])
    head[156:157] = b"S"
    head[386:410] = b"%011o\0%011o\0" % (0, 512)
    head[483:495] = b"%011o\0" % ((1 << 33) - 1)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + b"x" * 512 + bytes(1024)


@case()
def tar_that_states_a_size_of_2_63() -> bytes:
    head = bytearray(tar(member("big", b""))[:512])
    head[124:136] = b"\x80" + bytes(3) + struct.pack(">Q", (1 << 63) - 1)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + bytes(1024)


@case()
def squashfs_with_a_fragment_shared_by_many() -> bytes:
    """2,000 files of zeros, each an inode of its own, that share blocks of a few bytes."""
    shared = {f"f{i:05d}": Node(data=bytes(4000)) for i in range(2000)}
    return Squash(tree(**shared)).build()


@case("bomb", "malformed", "truncated")
def android_sparse_fill_of_terabytes() -> bytes:
    blocks = (1 << 32) - 1
    head = struct.pack("<IHHHHIIII", 0xED26FF3A, 1, 0, 28, 12, 4096, blocks, 1, 0)
    return head + struct.pack("<HHII", 0xCAC2, 0, blocks, 16) + b"\xaa\xbb\xcc\xdd"


def jffs2_node(kind: int, body: bytes) -> bytes:
    head = struct.pack("<HHI", 0x1985, kind, 12 + len(body))
    node = head + struct.pack("<I", jffs2_crc(head)) + body
    return node + bytes(-len(node) % 4)


def jffs2_crc(data: bytes) -> int:
    return zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF


@case()
def jffs2_of_holes() -> bytes:
    """A file of 4 GiB that is one hole, and a thousand versions of holes over each other."""
    name = b"hole"
    entry = struct.pack("<IIIIBB2x", 1, 1, 2, 0, len(name), 8)
    entry += struct.pack("<I", jffs2_crc(jffs2_node(0xE001, bytes(28))[:8] + b"")) + struct.pack("<I", jffs2_crc(name))
    out = jffs2_node(0xE001, entry + name)
    for version in range(1000):
        body = struct.pack(
            "<IIIHHIIIIIIIBBH", 2, version, 0o100644, 0, 0, 0xFFFFFFFF, 0, 0, 0, 0, 0, 0xFFFFFFFF, 1, 0, 0
        )
        out += jffs2_node(0xE002, body + struct.pack("<II", 0, 0))
    return out


@case()
def ubi_with_huge_leb_numbers() -> bytes:
    def check(data: bytes) -> int:
        return zlib.crc32(data) ^ 0xFFFFFFFF

    out = b""
    for number in range(8):
        ec = struct.pack(">4sB3xQIII32x", b"UBI#", 1, number, 64, 128, 7)
        vid = struct.pack(">4sBBBBII4xIIII4xQ12x", b"UBI!", 1, 1, 0, 0, 5, 0x7FFFFFF0 + number, 0, 0, 0, 0, number)
        block = ec + struct.pack(">I", check(ec)) + vid + struct.pack(">I", check(vid))
        out += block + bytes(0x4000 - len(block))
    return out


@case(slow=True)
def a_hundred_thousand_empty_files() -> Files:
    return {f"d{i % 100}/f{i}": b"" for i in range(100_000)}


@case()
def two_thousand_small_files() -> Files:
    return {f"d{i % 100}/f{i}": b"%d" % i for i in range(2000)}


@case(slow=True)
def a_directory_of_a_million_entries() -> bytes:
    return b"".join(cpio_headers(1_000_000))


def cpio_headers(count: int) -> Iterator[bytes]:
    for i in range(count):
        yield b"070701%08x000081a4" % i + b"0" * 72 + b"0000000800000000e%06x\0\0\0" % i
    yield newc()


# --- files that lie to the inspectors ----------------------------------------------------------------------------


@case()
def elf_of_2_32_sections() -> bytes:
    """Extended section numbering (gABI, e_shnum 0): section 0 states 2^32 - 1 sections, and as many names."""
    head = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 64, 0, 64, 56, 0xFFFF, 64, 0, 0xFFFF)
    section = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0)
    return head + section * 2000


@case()
def elf_whose_tables_overlap() -> bytes:
    """Every segment a PT_DYNAMIC or PT_NOTE over the whole file, every section a symbol table over it too."""
    count = 2000
    phoff, shoff = 64, 64 + 56 * count
    size = shoff + 64 * count + 65536
    head = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, phoff, shoff, 0, 64, 56, count, 64, count, 0)
    segments = b"".join(struct.pack("<IIQQQQQQ", 2 + 2 * (i & 1), 7, 0, 0, 0, size, size, 1) for i in range(count))
    sections = b"".join(
        struct.pack("<IIQQQQIIQQ", 0, (2, 11, 6, 7, 9, 4)[i % 6], 7, 0, 0, size, i + 1, i, 1, 24) for i in range(count)
    )
    return head + segments + sections + bytes(range(256)) * 256


@case()
def pem_of_one_long_line() -> Files:
    begin, end = b"-----BEGIN RSA PRIVATE KEY-----\n", b"\n-----END RSA PRIVATE KEY-----\n"
    return {"etc/key.pem": begin + b"A" * (8 * MIB) + end, "etc/begins.pem": begin * 100_000}


@case(slow=True)
def pem_of_a_line_of_100_mb() -> Files:
    return {"etc/key.pem": b"-----BEGIN CERTIFICATE-----\n" + b"A" * (100 * MIB) + b"\n-----END CERTIFICATE-----\n"}


@case()
def many_accounts() -> Files:
    shadow = b"".join(b"u%d:$1$%08d$aaaaaaaaaaaaaaaaaaaaaa:1:0:9:7:::\n" % (i, i) for i in range(20_000))
    passwd = b"".join(b"u%d:x:%d:0::/:/bin/sh\n" % (i, i % 3) for i in range(20_000))
    return {"root/etc/shadow": shadow, "root/etc/passwd": passwd}


@case(slow=True)
def a_million_accounts() -> Files:
    return {
        "a/etc/passwd": b"".join(
            b"u%d:$1$%d$aaaaaaaaaaaaaaaaaaaaaa:%d:0::/:/bin/sh\n" % (i, i, i) for i in range(1_000_000)
        )
    }


@case()
def hashes_of_a_billion_rounds() -> Files:
    rows = [
        b"root:$6$rounds=999999999$saltsalt$" + b"a" * 86,
        b"b:$5$rounds=999999999$saltsalt$" + b"a" * 43,
        b"c:$2b$31$" + b"a" * 53,
        b"d:$7$" + b"z" * 100,
        b"e:$y$jD5" + b"z" * 60,
        b"f:$argon2id$v=19$m=2147483647,t=2147483647,p=255$c2FsdHNhbHQ$aGFzaA",
        b"g:$gy$j9T$x$y",
        b"h:$sha1$4294967295$salt$" + b"a" * 28,
    ]
    return {"v/etc/shadow": b"".join(r + b":1:0:9:7:::\n" for r in rows * 50)}


def der(tag: int, body: bytes) -> bytes:
    if len(body) < 128:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


@case()
def certificate_of_absurd_nesting() -> Files:
    body = b"\x05\0"
    for _ in range(20_000):
        body = der(0x30, body)
    endless = b"\x30\x80" * 100_000
    integer = der(0x30, der(0x02, b"\0") + der(0x02, b"\x7f" + b"\xff" * 500_000) + der(0x02, b"\1\0\1"))
    claims = b"\x30\x84\xff\xff\xff\xff" * 10_000
    return {"etc/a.der": body, "etc/b.der": endless, "etc/c.key": integer, "etc/d.crt": claims}


@case()
def package_status_of_many_megabytes() -> Files:
    row = b"Package: p%06d\nVersion: 1\nStatus: install ok installed\nDepends: " + b"a, " * 40 + b"\n\n"
    return {
        "var/lib/dpkg/status": b"".join(row % i for i in range(20_000)),
        "usr/lib/opkg/status": b"Package: a\n" + b" continued\n" * 500_000,
        "lib/apk/db/installed": b"P:" + b"a" * (4 * MIB),
    }


@case(slow=True)
def package_status_of_200_mb() -> Files:
    row = b"Package: p%07d\nVersion: 1\nStatus: install ok installed\n\n"
    return {"var/lib/dpkg/status": b"".join(row % i for i in range(3_400_000))}


@case(slow=True)
def script_of_one_line_of_100_mb() -> Files:
    return {"www/a.php": b"<?php " + b"system($_GET['a']);" * (5 * MIB), "bin/s": b"#!/bin/sh\n" + b"a" * (100 * MIB)}


@case()
def text_full_of_words_that_rules_look_for() -> Files:
    """Every line a lure: what the inspectors search for, again and again, never finished."""
    lures = (
        b"password=",
        b"eval ",
        b"wget http://",
        b"BEGIN ",
        b"root:",
        b"key ",
        b"$(",
        b"`",
        b"telnetd -l ",
        b"/bin/sh ",
    )
    line = b" ".join(lures) + b" "
    return {"bin/lure": b"#!/bin/sh\n" + line * 20_000, "etc/config/lure": (line + b"\n") * 20_000}


#: What the quantifiers of the inspectors' patterns accept: runs of these make a backtracking matcher work.
RUNS = (
    b" ",
    b"\t",
    b"\n",
    b"a",
    b"A",
    b"0",
    b"/",
    b"/a",
    b"a.",
    b"-",
    b"=",
    b'"',
    b"'",
    b"\\",
    b"\\n",
    b"$",
    b"${",
    b"(",
    b"[",
    b":",
    b";",
    b",",
    b"*",
    b"* ",
    b"<",
    b"<a ",
    b"#",
    b"%",
    b"a=",
    b"a ",
    b'" ',
    b'"a"',
    b"a:",
    b"\r\n",
    b"+/",
    b"\x80",
    b"\xff",
)
LEADS = (
    b"",
    b"#!/bin/sh\n",
    b"password ",
    b"-----BEGIN RSA PRIVATE KEY-----",
    b'RUN+="',
    b'["exec",',
    b"config ",
    b"<?php ",
    b"* * * * ",
    b"procd_set_param command ",
    b"start-stop-daemon ",
    b"A=",
    b"PrivateKey = ",
    b"Linux version 3.1",
    b"createUser -e ",
)
PLACES = (
    "etc/passwd",
    "etc/shadow",
    "etc/init.d/s",
    "etc/inittab",
    "etc/crontab",
    "etc/config/c",
    "etc/lighttpd.conf",
    "usr/lib/opkg/status",
    "lib/systemd/system/x.service",
    "etc/udev/rules.d/x.rules",
    "www/cgi-bin/x.sh",
    "etc/snmp/snmpd.conf",
    "etc/xinetd.d/x",
    "etc/inetd.conf",
    "x.conf",
    "x.xml",
    "x.json",
    "x.lua",
    "x.py",
    "x.js",
    "x.html",
    "etc/ppp/chap-secrets",
    "etc/hotplug.json",
    "etc/apache2/httpd.conf",
    "etc/nginx/nginx.conf",
    "lib/preinit/x",
    "etc/profile",
    "root/.htpasswd",
)


def regex_lures(size: int) -> Files:
    """A run of everything, after every lead, at every kind of place (each lure once: places take turns)."""
    files: Files = {}
    for number, (lead, run) in enumerate((lead, run) for lead in LEADS for run in RUNS):
        content = lead + run * (size // len(run))
        files[f"r{number}/{PLACES[number % len(PLACES)]}"] = content
        if not lead:
            for place in PLACES:
                files[f"p{number}/{place}"] = content
    return files


@case()
def regex_lures_small() -> Files:
    return regex_lures(1 << 10)


@case(slow=True)
def regex_lures_large() -> Files:
    return regex_lures(256 << 10)


# --- noise -------------------------------------------------------------------------------------------------------


@case(raw=True)
def image_full_of_fake_magics() -> bytes:
    from banbury.formats.registry import readers

    patterns = [(m.at, m.pattern) for r in readers().values() for m in r.magics]
    out = bytearray()
    for number in range(400):
        for at, pattern in patterns:
            if at < 600:
                out += struct.pack("<I", number) * (at // 4 % 16) + pattern + struct.pack(">HI", number, 0x7FFFFFFF)
    return bytes(out[: 2 * MIB])


@case("bomb", raw=True, slow=True)
def image_of_one_fake_magic_again_and_again() -> bytes:
    return b"hsqs" * (4 * MIB) + b"\x1f\x8b\x08\0" * (4 * MIB) + b"\x5d\0\0\x80\0" * (2 * MIB)


@case()
def everything_truncated() -> Files:
    parts = {
        "gz": gzip.compress(random.Random(1).randbytes(5000), mtime=0),
        "xz": lzma.compress(b"text " * 5000),
        "bz2": bz2.compress(b"text " * 5000),
        "tar": tar(member("a", b"x" * 3000), member("b", b"y" * 3000)),
        "cpio": newc(("a", 0o100644, b"x" * 3000), ("b", 0o100644, b"y" * 3000)),
        "squashfs": Squash(tree(a=b"x" * 3000, b=b"y" * 9000)).build(),
        "uimage": uimage(gzip.compress(b"x" * 3000, mtime=0)),
        "elf": elf_of_2_32_sections(),  # type: ignore[dict-item]
    }
    cuts = (1, 4, 17, 60, 100)
    return {f"{n}-{c}": d[: len(d) * c // 101] for n, d in parts.items() for c in cuts}


@case()
def everything_mutated() -> Files:
    rng = random.Random(7)
    parts = [p for p in everything_truncated().items() if p[0].endswith("-100")]  # type: ignore[union-attr]
    files: Files = {}
    for name, data in parts:
        for turn in range(8):
            changed = bytearray(data)
            for _ in range(1 + turn * 3):
                changed[rng.randrange(len(changed))] = rng.choice((0, 0xFF, 0x80, rng.randrange(256)))
            files[f"{name}.{turn}"] = bytes(changed)
    return files


def missing(chosen: Case) -> str:
    """The first tool that the case needs and this machine lacks."""
    path = "/usr/sbin:/sbin:/usr/bin:/bin"
    return next((t for t in chosen.needs.split() if shutil.which(t) is None and shutil.which(t, path=path) is None), "")
