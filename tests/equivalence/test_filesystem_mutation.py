"""The mutation gate of packages and file systems: of the single-byte mutants of a small sample, exactly those are
accepted that a function written from the format's document allows. Checksums are put right after each change, so that
it is not a checksum that refuses it.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from banbury.compare.corpus.recipes.packages import rpm
from banbury.compare.corpus.trees import Node
from banbury.compare.corpus.writers import jffs2, ubi
from banbury.compare.corpus.writers.romdisks import cramfs, romfs
from tests.equivalence.consumer_pairs_jffs2 import summarised
from tests.equivalence.test_container_mutation import EVERY, Case, accepted, chosen, twin_of, within

TREE = {
    "bin": Node(kind="dir", mode=0o755),
    "bin/run": Node(mode=0o755, data=b"some content that is stored as it is\n"),
    "bin/sh": Node(kind="symlink", mode=0o777, link="run"),
    "console": Node(kind="char", mode=0o600, rdev=(5, 1)),
    "empty": Node(),
    "motd": Node(data=b"Welcome.\n"),
}
Free = Callable[[bytes, int, int], bool]


def check(
    sample: bytes, positions: Iterable[int], free: Free, repair: Callable[[bytearray], None], *, values: int = 3,
    exactly: bool = True, every: bool = True,
) -> None:  # fmt: skip
    """Change each byte to some values and hold the verdicts against ``free``; not ``exactly``: more may be refused.
    Each also beside another difference, so that bytes show that nobody reads. ``every``: see :func:`chosen`."""
    rng = random.Random(11)
    wrong, some = [], 0
    positions = chosen(sample, positions, every)
    twin = twin_of(Case(name="", sample=sample, free=free, repair=repair))
    assert twin
    assert accepted(twin, sample)
    for at in positions:
        was = sample[at]
        for value in sorted({was ^ 1, was ^ 0x80, *rng.sample(range(256), values)} - {was}):
            mutant = bytearray(sample)
            mutant[at] = value
            repair(mutant)
            if bytes(mutant) == sample:
                continue
            wanted = free(bytes(mutant), at, value)
            some += wanted
            found = accepted(sample, bytes(mutant))
            if found != wanted and (found or exactly):
                wrong.append((hex(at), was, value, "WRONGLY ACCEPTED" if found else "wrongly refused"))
            if not wanted and not found and accepted(twin, bytes(mutant)):
                wrong.append((hex(at), was, value, "WRONGLY ACCEPTED beside another difference"))
    assert not wrong, (len(wrong), wrong[:12])
    assert some


@EVERY
def test_jffs2(every: bool) -> None:
    """Times, versions of what is stated once, and one byte of padding; nothing else."""
    sample = jffs2.write(TREE, packed=False)
    nodes, at = [], 0
    while sample[at : at + 2] == b"\x85\x19":
        kind, total = struct.unpack_from("<HI", sample, at + 2)
        nodes.append((at, kind, total))
        at += total + 3 & ~3
    used = at

    def repair(whole: bytearray) -> None:
        raw = memoryview(whole)
        for start, kind, total in nodes:
            struct.pack_into("<I", raw, start + 8, jffs2.crc(bytes(raw[start : start + 8])))
            if kind == 0xE001:
                struct.pack_into("<I", raw, start + 32, jffs2.crc(bytes(raw[start : start + 32])))
                struct.pack_into("<I", raw, start + 36, jffs2.crc(bytes(raw[start + 40 : start + total])))
            elif kind == 0xE002:
                struct.pack_into("<I", raw, start + 60, jffs2.crc(bytes(raw[start + 68 : start + total])))
                struct.pack_into("<I", raw, start + 64, jffs2.crc(bytes(raw[start : start + 60])))

    spans_of = {0xE001: ((16, 20), (24, 28)), 0xE002: ((16, 20), (32, 44))}

    def free(mutant: bytes, at: int, value: int) -> bool:
        for start, kind, total in nodes:
            end = start + total
            if start <= at < end + 3 & ~3:
                if at >= end:
                    return (end + 3 & ~3) - end == 1 and value in (0, 0xFF)
                spans = spans_of.get(kind, ())
                top = kind in spans_of and at - start == 19 and value >= 0x80  # a version that the next one overflows
                return within(at - start, *spans) and not top
        return False

    check(sample, [*range(used), *range(used, len(sample), 977)], free, repair, every=every)


@EVERY
def test_jffs2_summary(every: bool) -> None:
    """Nothing of a summary, with its checksums put right; of what it lists, what both state cannot change alone."""
    sample = summarised(jffs2.write(TREE, packed=False))
    at = sample.index(b"\x85\x19\x06\x20")
    (size,) = struct.unpack_from("<I", sample, at + 4)
    node = sample.index(b"\x85\x19\x02\xe0")

    def repair(raw: bytearray) -> None:
        struct.pack_into("<I", raw, at + 8, jffs2.crc(bytes(raw[at : at + 8])))
        struct.pack_into("<I", raw, at + 24, jffs2.crc(bytes(raw[at + 32 : at + size])))
        struct.pack_into("<I", raw, at + 28, jffs2.crc(bytes(raw[at : at + 24])))
        struct.pack_into("<I", raw, node + 64, jffs2.crc(bytes(raw[node : node + 60])))

    def free(mutant: bytes, place: int, value: int) -> bool:
        return node + 32 <= place < node + 44  # times of an inode

    end = at + 32 + sample[at + 32 : at + size].rstrip(b"\x85\x18\x02").index(b"\xff" * 8)
    places = [*range(node + 12, node + 60), *range(at, end + 8), *range(at + size - 12, at + size)]
    check(sample, places, free, repair, every=every)


@EVERY
def test_ubi(every: bool) -> None:
    """Erase counters (30 bits) and sequence numbers (62 bits)."""
    volumes = [ubi.Volume(name="k", data=b"kernel" * 9, static=True), ubi.Volume(name="r", data=b"root" * 99)]
    sample = ubi.write(volumes)
    starts = range(0, len(sample), ubi.PEB)

    def repair(raw: bytearray) -> None:
        for start in starts:
            for at in (start, start + 64):
                if raw[at] != 0xFF:
                    struct.pack_into(">I", raw, at + 60, zlib.crc32(raw[at : at + 60]) ^ 0xFFFFFFFF)
        for at in (128, ubi.PEB + 128):  # the volume table's first rows
            for row in range(3):
                start = at + 172 * row
                struct.pack_into(">I", raw, start + 168, zlib.crc32(raw[start : start + 168]) ^ 0xFFFFFFFF)

    def free(mutant: bytes, at: int, value: int) -> bool:
        place = at % ubi.PEB
        mapped = mutant[at - place + 64] != 0xFF
        if place == 12 or (place == 104 and mapped):
            return value < 0x40
        return within(place, (13, 16)) or (mapped and within(place, (104, 112)))

    places = [s + n for s in starts for n in (*range(128), *range(128, 700, 13), *range(700, ubi.PEB, 3001))]
    check(sample, places, free, repair, values=2, every=every)


@EVERY
@pytest.mark.parametrize("big", [False, True])
def test_cramfs(big: bool, every: bool) -> None:
    """The edition, the flag for explicit holes, and other headers of zlib for the same stream."""
    sample = cramfs(TREE, big=big, pad=64)

    def repair(raw: bytearray) -> None:
        raw[32:36] = bytes(4)
        raw[32:36] = struct.pack(">I" if big else "<I", zlib.crc32(raw))

    heads = [at for at in range(76, len(sample) - 1) if sample[at : at + 2] == b"\x78\xda"]

    def free(mutant: bytes, at: int, value: int) -> bool:
        if within(at, (36, 40)) or (at == (10 if big else 9) and value == 1):  # may have explicit holes
            return True
        for head in heads:
            word = int.from_bytes(mutant[head : head + 2], "big")
            if within(at, (head, head + 2)):
                return word % 31 == 0 and word >> 8 & 15 == 8 and word >> 12 <= 7 and not word & 0x20
        return False

    check(sample, range(len(sample)), free, repair, values=6, every=every)


def test_romfs() -> None:
    """Nothing but the number of zeros at the end, which is no change of a byte."""
    sample = romfs(TREE)

    def repair(raw: bytearray) -> None:
        for at in range(32, len(raw), 16):
            for end in (at + 32, at + 48):
                if sample[at + 12 : at + 16] != bytes(4) and _total(sample[at:end]) == 0 and end <= len(raw):
                    raw[at + 12 : at + 16] = bytes(4)
                    struct.pack_into(">I", raw, at + 12, -_total(raw[at:end]) & 0xFFFFFFFF)
                    break
        raw[12:16] = bytes(4)
        struct.pack_into(">I", raw, 12, -_total(raw[:512]) & 0xFFFFFFFF)

    for at in range(len(sample)):
        for value in {sample[at] ^ 1, sample[at] ^ 0x80, sample[at] ^ 0x8}:
            mutant = bytearray(sample)
            mutant[at] = value
            repair(mutant)
            assert bytes(mutant) == sample or not accepted(sample, bytes(mutant)), (hex(at), value)


def _total(raw: bytes | bytearray) -> int:
    words: tuple[int, ...] = struct.unpack(f">{len(raw) // 4}I", raw)
    return sum(words) & 0xFFFFFFFF


@EVERY
def test_rpm(every: bool) -> None:
    """Time and host of the build, the files' times and inode numbers (where no two become one), the payload's flags."""
    sample = rpm(TREE)
    header = sample.index(b"\x8e\xad\xe8\x01", 100)
    count, size = struct.unpack_from(">II", sample, header + 8)
    body = header + 16 + 16 * count + size
    store = header + 16 + 16 * count
    tags = {t: store + o for t, _, o, _ in struct.iter_unpack(">IIII", sample[header + 16 : store])}
    signed = {t: o for t, _, o, _ in struct.iter_unpack(">IIII", sample[112 : 112 + 16 * 5])}
    base = 112 + 16 * 5
    files = len(TREE)

    def repair(raw: bytearray) -> None:
        head, whole = bytes(raw[header:body]), bytes(raw[header:])
        for tag, text in ((269, hashlib.sha1(head, usedforsecurity=False)), (273, hashlib.sha256(head))):
            place = base + signed[tag]
            raw[place : place + 2 * text.digest_size] = text.hexdigest().encode()
        place = base + signed[1004]
        raw[place : place + 16] = hashlib.md5(whole, usedforsecurity=False).digest()

    def free(mutant: bytes, at: int, value: int) -> bool:
        if within(at, (tags[1096], tags[1096] + 4 * files)):
            numbers = struct.unpack_from(f">{files}I", mutant, tags[1096])
            kept = [n for n, node in zip(numbers, TREE.values(), strict=True) if node.kind == "file"]
            return len(set(kept)) == len(kept)
        if within(at, (tags[1007], tags[1007] + 10)):
            return 0x21 <= value <= 0x7E
        if within(at, (tags[1126], tags[1126] + 2)):  # a second digit fits into the alignment
            return bytes((value,)).isalnum()
        times = (tags[1034], tags[1034] + 4 * files)
        return within(at, (tags[1006], tags[1006] + 4), times, (tags[1095], tags[1095] + 4 * files))

    rng = random.Random(5)
    places = sorted({*range(112), *rng.sample(range(112, body), 700), *range(tags[1096], tags[1096] + 8)})
    places += range(tags[1006], tags[1006] + 4)
    check(sample, places, free, repair, values=1, every=every)


@pytest.mark.slow
def test_ext(tmp_path: Path) -> None:
    """Times, identities, versions and generations; an image without checksums, so that none refuses."""
    if not shutil.which("mke2fs"):
        pytest.skip("no mke2fs")
    (tmp_path / "root/bin").mkdir(parents=True)
    (tmp_path / "root/bin/run").write_bytes(b"some content\n" * 200)
    (tmp_path / "root/sh").symlink_to("bin/run")
    options = ["-t", "ext4", "-b", "1024", "-I", "256", "-N", "16", "-O", "^has_journal,^metadata_csum,^uninit_bg"]
    command = ["mke2fs", "-q", "-F", *options, "-d", str(tmp_path / "root"), str(tmp_path / "image"), "256"]
    subprocess.run(command, check=True, env={"MKE2FS_CONFIG": "/dev/null", "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    sample = (tmp_path / "image").read_bytes()
    table = struct.unpack_from("<I", sample, 2048 + 8)[0] * 1024
    used = [n for n in range(16) if any(sample[table + 256 * n : table + 256 * n + 256])]

    def free(mutant: bytes, at: int, value: int) -> bool:
        if within(at, (1024, 2048)):
            if within(at, (1024 + 0x248, 1024 + 0x24C)):
                return int.from_bytes(mutant[1024 + 0x248 : 1024 + 0x24C], "little") <= 256
            if within(at, (1024 + 0x8, 1024 + 0xC)):
                return int.from_bytes(mutant[1024 + 0x8 : 1024 + 0xC], "little") <= 128
            spans = ((0x2C, 0x36), (0x40, 0x44), (0x68, 0x78), (0xEC, 0xFC), (0x108, 0x10C))
            return within(at - 1024, *spans, (0x178, 0x180), (0x274, 0x278))
        if at == 2048 + 0x12:  # whether the table of inodes was zeroed, which is asked with checksums alone
            return value in (0, 4)
        number, place = divmod(at - table, 256)
        if number not in used:
            return False
        extra = struct.unpack_from("<H", mutant, table + 256 * number + 0x80)[0]
        return within(place, (8, 0x14), (0x24, 0x28), (0x64, 0x68), (0x84, min(0x80 + max(extra, 4), 0x9C)))

    rng = random.Random(3)
    inodes = [table + 256 * n + i for n in used for i in range(256)]
    rest = rng.sample(range(len(sample)), 150)
    places = [*range(1024, 2048, 2), *range(2048, 2080), *rng.sample(inodes, 500), *rest]
    check(sample, places, free, lambda raw: None, values=1)


@pytest.mark.slow
def test_ubifs(tmp_path: Path) -> None:
    """Sequence numbers, times and hints; more may be refused."""
    if not shutil.which("mkfs.ubifs"):
        pytest.skip("no mkfs.ubifs")
    (tmp_path / "root/bin").mkdir(parents=True)
    (tmp_path / "root/bin/run").write_bytes(b"some content\n" * 900)
    (tmp_path / "root/sh").symlink_to("bin/run")
    command = ["mkfs.ubifs", "-r", str(tmp_path / "root"), "-m", "512", "-e", "15872", "-c", "40", "-x", "none"]
    subprocess.run([*command, "-o", str(tmp_path / "image")], check=True)
    sample = (tmp_path / "image").read_bytes()
    nodes, at = [], 0
    while (at := sample.find(b"\x31\x18\x10\x06", at)) >= 0:
        nodes.append((at, *struct.unpack_from("<IB", sample, at + 16)))
        at += 8

    def repair(raw: bytearray) -> None:
        for start, size, _ in nodes:
            struct.pack_into("<I", raw, start + 4, zlib.crc32(raw[start + 8 : start + size]) ^ 0xFFFFFFFF)

    def free(mutant: bytes, at: int, value: int) -> bool:
        for start, size, kind in nodes:
            if not start <= at < start + size:
                continue
            spans = {
                0: ((22, 23), (40, 48), (56, 92), (108, 109), (132, 134)),
                1: ((22, 23),),
                2: ((22, 23),),
                6: ((44, 64), (68, 76), (84, 86), (96, 104), (108, 124)),  # sizes and limits for writing
                7: ((24, 32), (60, 72), (128, 136), (152, 156)),  # where writing goes on
            }.get(kind, ())
            return within(at - start, (8, 16), *spans)
        return False

    rng = random.Random(3)
    inside = [a for s, size, kind in nodes for a in range(s, s + min(size, 260))]
    places = [*rng.sample(inside, 700), *rng.sample(range(len(sample)), 150)]
    check(sample, places, free, repair, values=1, exactly=False)
