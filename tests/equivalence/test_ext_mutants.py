"""What the strict reader of ext images takes for the same, e2fsck takes for clean: over small images whose structures
are changed field by field and entry by entry, with counters, checksums and copies put right.

``e2fsck -fn`` changes nothing and ends with 0 where it finds nothing to mend (e2fsck(8)).
"""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from copy import copy
from itertools import pairwise
from pathlib import Path

import pytest

from tests import tools
from tests.equivalence.consumer_pairs_ext_mounted import nested
from tests.equivalence.extfs import Ext
from tests.equivalence.test_container_mutation import accepted

_BARE = "none,ext_attr,filetype,sparse_super,large_file"
_SAMPLES = {
    "ext2": ("512K", "-N", "32", "-I", "128", "-O", _BARE),
    "checked": ("1M", "-N", "64", "-I", "256", "-g", "256", "-O", f"{_BARE},extent,uninit_bg"),
    "usual": ("1M", "-N", "32", "-I", "256", "-g", "512", "-O",
              f"{_BARE},extent,metadata_csum,64bit,flex_bg,extra_isize,dir_nlink,huge_file,resize_inode"),
}  # fmt: skip
_RANDOM = 600  # mutants of each sample beside those in turn


def _made(name: str) -> Ext:
    """A tree with folders, links, attributes in a block, a block of a block map, and extents under two levels."""
    size, *options = _SAMPLES[name]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        (root / "etc/deep").mkdir(parents=True)
        (root / "etc/deep/file").write_bytes(b"x" * 5000)
        (root / "etc/conf").write_bytes(b"line\n" * 300)
        (root / "etc/hard").hardlink_to(root / "etc/conf")
        (root / "link").symlink_to("etc/conf")
        (root / "long").symlink_to("long" * 20)
        with (root / "holes").open("wb") as file:
            for number in range(20):
                file.seek(3072 * number)
                file.write(bytes([65 + number]) * 1024)
        try:
            os.setxattr(root / "etc/conf", "user.large", b"b" * 200)
        except OSError as error:
            pytest.skip(f"no extended attributes here: {error.strerror}")
        uuid = "00000001-0000-4000-8000-000000000001"
        image = Path(folder) / "image"
        subprocess.run(
            [tools.need("mke2fs"), "-q", "-F", "-b", "1024", "-U", uuid, "-E", f"root_owner=0:0,hash_seed={uuid}",
             *options, "-d", str(root), str(image), size],
            check=True, capture_output=True, env={"MKE2FS_CONFIG": "/dev/null", "PATH": "/usr/sbin:/sbin:/usr/bin:/bin",
                                                  "E2FSPROGS_FAKE_TIME": "1600000000"},
        )  # fmt: skip
        made = Ext(image.read_bytes())
    if made.sb.has("extent"):
        nested(made, made.named(b"holes"))
    return Ext(made.whole())


def _entries(image: Ext) -> list[int]:
    """Where entries of folders start."""
    out = []
    for block, _ in image.names[:6]:
        at, end = block * image.block, (block + 1) * image.block - 12
        while at < end and image.u16(at + 4):
            out.append(at)
            at += image.u16(at + 4)
    return out


def _fields(image: Ext) -> dict[str, list[int]]:
    """Words of two bytes, by structure."""
    nodes = [block * image.block for block, _ in image.maps]
    inodes = [image.inode(number) for number in image.live]
    return {
        "superblock": [1024 + at for at in range(0, 0x180, 2)],
        "groups": [group + at for group in image.groups for at in range(0, image.size, 2)],
        "inodes": [at + n for at in inodes for n in range(0, 0x90, 2)],
        "maps": [at + n for at in nodes for n in range(0, 40, 2)],
        "names": [at + n for at in _entries(image) for n in range(0, 12, 2)],
        "bitmaps": [place * image.block + n for place in image.bitmaps + image.inode_bitmaps for n in range(0, 32, 2)],
    }  # fmt: skip


def _mutants(image: Ext) -> Iterator[bytes]:
    fields = _fields(image)

    def changed(*changes: Callable[[Ext], None], counted: bool = True) -> bytes:
        mutant = copy(image)
        mutant.raw = bytearray(image.raw)
        for change in changes:
            change(mutant)
        return mutant.whole(counted=counted)

    def bit(at: int, number: int) -> Callable[[Ext], None]:
        return lambda mutant: mutant.put(at, mutant.u16(at) ^ 1 << number)

    def add(at: int, value: int) -> Callable[[Ext], None]:
        return lambda mutant: mutant.put(at, (mutant.u16(at) + value) & 0xFFFF)

    def exchanged(one: int, other: int, size: int) -> Callable[[Ext], None]:
        def change(mutant: Ext) -> None:
            first, second = (bytes(mutant.raw[at : at + size]) for at in (one, other))
            mutant.raw[one : one + size], mutant.raw[other : other + size] = second, first

        return change

    for at in fields["groups"]:  # in turn: where they are few, and readers differ
        yield from (changed(bit(at, number)) for number in range(3))
    for at in fields["maps"]:
        yield from (changed(add(at, value)) for value in (-1, 1))
    entries = _entries(image)
    for one, other in pairwise(entries):
        yield from (changed(exchanged(one, other, size)) for size in (4, 12))
    of = image.live[-8:]
    yield from (changed(bit(image.inode(n) + at, number)) for n in of for at in (26, 32, 34) for number in range(16))
    rng = random.Random(17)
    kinds = list(fields)
    for _ in range(_RANDOM):
        changes = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            places = fields[rng.choice(kinds)]
            at, other = rng.choice(places), rng.choice(places)
            changes.append(
                rng.choice((
                    bit(at, rng.randrange(16)), add(at, rng.choice((-4, -2, -1, 1, 2, 4, 12))),
                    exchanged(at, other, 2), exchanged(at, other, 12) if abs(at - other) >= 12 else bit(at, 0),
                ))
            )  # fmt: skip
        yield changed(*changes, counted=rng.random() < 0.7)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(_SAMPLES))
def test_e2fsck_finds_nothing_in_what_is_accepted(name: str, tmp_path: Path) -> None:
    """No mutant is taken for the sample in which e2fsck finds a fault, and enough of them are taken to tell."""
    checker = tools.need("e2fsck")
    image = _made(name)
    sample = bytes(image.raw)
    wrong, taken = [], 0
    for mutant in dict.fromkeys([sample, *_mutants(image)]):
        if mutant != sample and not accepted(sample, mutant):
            continue
        taken += 1
        (tmp_path / "image").write_bytes(mutant)
        done = subprocess.run([checker, "-fn", str(tmp_path / "image")], check=False, capture_output=True, text=True)
        if done.returncode:
            places = [hex(at) for at, (a, b) in enumerate(zip(sample, mutant, strict=True)) if a != b]
            wrong.append((places[:8], done.stdout[:300]))
    assert not wrong, (len(wrong), wrong[:4])
    assert taken > 5
