"""Images of noise, and samples cut short or changed. See :mod:`tests.hostile.corpus`."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct

from tests.formats.squashfs_writer import Squash, tree
from tests.hostile.case import MIB, Files, case, member, newc, tar
from tests.hostile.cases_inspectors import elf_of_2_32_sections
from tests.images import uimage


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
