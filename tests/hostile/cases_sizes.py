"""Contents out of proportion: bombs, depth, numbers of files, stated sizes. See :mod:`tests.hostile.corpus`."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.formats.squashfs_writer import Node, Squash, tree
from tests.hostile.case import MIB, Files, case, member, newc, tar
from tests.images import tar_of


def zeros(compressor: Any, size: int) -> bytes:
    piece = bytes(4 * MIB)
    out = [compressor.compress(piece) for _ in range(size // len(piece))]
    return b"".join([*out, compressor.flush()])


@cache
def gzip_of_zeros(size: int) -> bytes:
    """A gzip stream of zeros. A fully flushed piece stands for itself: it is packed once, and repeated."""
    piece = bytes(4 * MIB)
    packer, crc = zlib.compressobj(9, zlib.DEFLATED, -15), 0
    packed = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(size // len(piece)):
        crc = zlib.crc32(piece, crc)
    end = struct.pack("<II", crc, size // len(piece) * len(piece) & 0xFFFFFFFF)
    return gzip.compress(b"", mtime=0)[:10] + packed * (size // len(piece)) + packer.flush() + end


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
