"""Labelled pairs of images and libraries that two tools, or one with other options, have made of the same files."""

from __future__ import annotations

import io
import struct
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from unittest import mock

from banbury.compare.corpus.trees import base
from banbury.compare.corpus.writers import squashfs
from tests.equivalence import build
from tests.equivalence.consumer_pairs_libraries import ONE, TWO, Members, _object, library
from tests.equivalence.container_pairs import ar, harmless, tampered
from tests.equivalence.pairs import Sample

# --- SquashFS: mksquashfs, and squashfs-tools-ng ---------------------------------------------------------------------


def _tar(mode: int = 0o755) -> bytes:
    """Files, folders, a link and a device, as an archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, kind, content in (
            (".", tarfile.DIRTYPE, b""),
            ("etc", tarfile.DIRTYPE, b""),
            ("etc/init.d", tarfile.DIRTYPE, b""),
            ("etc/init.d/S50gate", tarfile.REGTYPE, b"#!/bin/sh\nexec /bin/gate\n"),
            ("etc/one", tarfile.REGTYPE, b"one\n" * 9000),
            ("etc/two", tarfile.SYMTYPE, b"one"),
            ("null", tarfile.CHRTYPE, b""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, mode if "S50" in name else 0o755, 1_700_000_000
            if kind == tarfile.REGTYPE:
                info.size = len(content)
            elif kind == tarfile.SYMTYPE:
                info.linkname, info.mode = content.decode(), 0o777
            info.devmajor, info.devminor = (1, 3) if kind == tarfile.CHRTYPE else (0, 0)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@cache
def _image(tool: str, mode: int = 0o755) -> bytes:
    """The same files as an image, by ``tool``."""
    build.need(tool, "fakeroot")
    with tempfile.TemporaryDirectory() as held:
        root, image = Path(held, "root"), Path(held, "image")
        root.mkdir()
        Path(held, "tar").write_bytes(_tar(mode))
        make = {
            "mksquashfs": f"mksquashfs {root} {image} -noappend -no-progress",
            "gensquashfs": f"gensquashfs -q -D {root} -k {image}",
            "tar2sqfs": f"tar2sqfs -q {image} < {held}/tar",
        }[tool]
        command = ["fakeroot", "sh", "-c", f"tar -C {root} -xpf {held}/tar && {make}"]
        subprocess.run(command, check=True, capture_output=True)
        return image.read_bytes()


def _links(more: int) -> Sample:
    """An image whose folders count all of their names, and some ``more``."""
    honest = squashfs.write(base())
    plain = squashfs._Image._directory

    def counted(image: squashfs._Image, path: str, names: dict[str, object]) -> bytes:
        raw = plain(image, path, names)  # type: ignore[arg-type]
        above = path + "/" if path else ""
        own = sum(bool(p) and p.startswith(above) and "/" not in p[len(above) :] for p in names)
        return raw[:4] + struct.pack("<I", 2 + own + more) + raw[8:]

    with mock.patch.object(squashfs._Image, "_directory", counted):
        return Sample(honest, squashfs.write(base()))


@harmless("squashfs-links")
def _() -> Sample:
    return _links(0)


@tampered("squashfs-links-other")
def _() -> Sample:
    return _links(1)


@harmless("squashfs-links-tar2sqfs")
def _() -> Sample:
    return Sample(_image("mksquashfs"), _image("tar2sqfs"))


@harmless("squashfs-links-gensquashfs")
def _() -> Sample:
    return Sample(_image("mksquashfs"), _image("gensquashfs"))


@tampered("squashfs-links-tar2sqfs-mode")
def _() -> Sample:
    return Sample(_image("mksquashfs"), _image("tar2sqfs", 0o4755))


# --- static libraries: an index on one side --------------------------------------------------------------------------

_WEAK = "__attribute__((weak)) int three(void) { return 3; } int four;\n"


def _members(*sources: str) -> Members:
    return tuple((f"{n}.o/", _object(source)) for n, source in enumerate(sources))


@harmless("ar-index-missing")
def _() -> Sample:
    members = _members(ONE, TWO, _WEAK)
    return Sample(ar(*members), library(members))


@tampered("ar-index-missing-redirected")
def _() -> Sample:
    """The index finds a function in another member than defines it first."""
    members = _members(ONE, TWO, TWO.replace("room[k]", "k"))
    raw = bytearray(library(members))
    (count,) = struct.unpack_from(">I", raw, 68)
    places = struct.unpack_from(f">{count}I", raw, 72)
    assert places[-1] != places[-2]
    raw[72 + 4 * count - 8 : 72 + 4 * count] = struct.pack(">II", places[-1], places[-2])
    return Sample(ar(*members), bytes(raw))


@tampered("ar-index-missing-symbol")
def _() -> Sample:
    """The index leaves out a function: a program takes that of another library."""
    members = _members(ONE, TWO, _WEAK)
    return Sample(ar(*members), library(members, drop="three"))


@tampered("ar-index-missing-order")
def _() -> Sample:
    """The members stand in another order as well, of which two define a function."""
    members = _members(ONE, TWO, TWO.replace("room[k]", "k"))
    return Sample(ar(*members), library((members[0], members[2], members[1])))
