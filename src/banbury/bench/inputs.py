"""What the benchmark measures on: a made image of many parts, a folder of ELF files, and the sample's two releases."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

from msgspec import Struct

from banbury.lab.progress import Progress, Silent
from banbury.sample import SampleInfo, build, packages
from banbury.sample.archives import cpio_newc, jffs2, lzma_alone, uimage
from banbury.sample.assembly import COMMON, OWN
from banbury.sample.image import squashfs
from banbury.sample.tree import NodeKind, Tree, with_parents

#: Routers are mipsel more often than not, and mipsel files are large and sparse.
ARCHITECTURE = "mipsel"
_IH_ARCH_MIPS = 5
_RECIPE = "4"


class Inputs(Struct, frozen=True, kw_only=True):
    """Paths, and what is in them."""

    image: Path
    image_files: int
    elves: Path
    elf_count: int
    elf_bytes: int
    sample: SampleInfo


def prepare(folder: Path, cache: Path, progress: Progress | None = None) -> Inputs:
    """Make the inputs in ``folder``, or find them there. Raises InputError where packages or tools are missing."""
    progress = progress or Silent()
    folder.mkdir(parents=True, exist_ok=True)
    sample = build(folder / "sample", cache, progress)
    image, elves, mark = folder / "image-a.bin", folder / "elf", folder / "inputs.stamp"
    tree = _tree(cache, progress)
    programs = {path: node.data for path, node in tree.items() if node.data[:4] == b"\x7fELF"}
    stamp = hashlib.sha256((_RECIPE + "".join(f"{p}{len(n.data)}" for p, n in tree.items())).encode()).hexdigest()
    if not mark.is_file() or mark.read_text() != stamp:
        progress.stage("make the image of many parts")
        mark.unlink(missing_ok=True)
        elves.mkdir(exist_ok=True)
        for number, path in enumerate(sorted(programs)):
            (elves / f"{number:03}-{path.rsplit('/', 1)[-1]}").write_bytes(programs[path])
        image.write_bytes(_image(tree))
        mark.write_text(stamp)
    return Inputs(
        image=image,
        image_files=sum(node.kind is NodeKind.FILE for node in tree.values()),
        elves=elves,
        elf_count=len(programs),
        elf_bytes=sum(map(len, programs.values())),
        sample=sample,
    )


def _tree(cache: Path, progress: Progress) -> Tree:
    names = sorted({*COMMON, *(name for own in OWN.values() for name in own)})
    tree: Tree = {}
    for package in packages.fetch(names, ARCHITECTURE, cache, progress):
        tree |= packages.content(package, cache)
    return {path: node for path, node in tree.items() if not path.startswith(("usr/share/man/", "usr/share/locale/"))}


def _image(tree: Tree) -> bytes:
    """A 512-byte header, a uImage, SquashFS-xz, JFFS2 and a cpio archive in gzip, each on a multiple of 64 KiB."""
    whole = with_parents(tree)
    kernel = b"".join(node.data for path, node in whole.items() if "/libc.so" in path or "/libcrypto" in path)
    archive = [(path, node) for path, node in whole.items() if "/gconv" not in path]
    writable = {path: node for path, node in tree.items() if path.startswith(("usr/sbin/", "usr/lib/lighttpd/"))}
    parts = [
        uimage(lzma_alone(kernel), "a made kernel", load=0x80000000, architecture=_IH_ARCH_MIPS),
        squashfs(tree),
        jffs2(writable),
        gzip.compress(cpio_newc(archive), 6, mtime=0),
    ]
    out = bytearray(b"EXHDR\0\0\1".ljust(512, b"\0"))
    for part in parts:
        out += part
        out += b"\xff" * (-len(out) % 65536)
    return bytes(out)
