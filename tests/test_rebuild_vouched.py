"""Files of an image that vouch for others, which are compared with their rebuilds one by one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from banbury.compare.corpus.writers import jffs2
from banbury.intake.tasks import shut_down
from tests.equivalence.consumer_pairs_vouched import DIGEST, TEXT, stating
from tests.images import tar_of, uimage
from tests.test_rebuild_evaluated import FILES, MANIFEST, by_path, only, run, submission

#: Whole evaluations, one for each way of handing in; a plain run has those of test_rebuild_evaluated.
pytestmark = pytest.mark.slow

_REBUILD = '[[artefact]]\npath = "root.tar"\nrole = "rebuild"\n'
_PACKED = [gzip.compress(b"firmware of a radio " * 40, level, mtime=0) for level in (1, 9)]
_DIGEST = hashlib.sha256(_PACKED[0]).digest()
_SUMS = hashlib.sha256(_PACKED[0]).hexdigest().encode() + b"  lib/radio.gz\n"


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    yield
    shut_down()


@pytest.mark.parametrize(
    ("name", "content", "verdict"),
    [
        ("lib/sums", _SUMS, "functional"),
        ("lib/radio.gz.sig", bytes(range(64)), "functional"),
        ("lib/sums", _SUMS[::-1], "identical"),
    ],
)
def test_what_vouches_for_a_file_that_differs(tmp_path: Path, name: str, content: bytes, verdict: str) -> None:
    """It is wrong on one side, and so is the image."""
    sides = [{**FILES, "lib/radio.gz": packed, name: content} for packed in _PACKED]
    data = {"image.bin": uimage(gzip.compress(tar_of(sides[1]))), "root.tar": tar_of(sides[0])}
    rebuilt = only(run(submission(tmp_path / "s", MANIFEST + _REBUILD, **data), tmp_path / "w"))
    found = by_path(rebuilt)
    assert rebuilt.method == "files"
    assert found["lib/radio.gz"].verdict == "equivalent/metadata"
    assert found[name].verdict == verdict
    assert rebuilt.verdict == ("functional" if verdict == "functional" else "equivalent/metadata")


def test_what_vouches_within_several_files(tmp_path: Path) -> None:
    """Each of two updates in an image has a list of its own that is wrong, and both are found."""
    names = ("one", "two")
    sides = [{**FILES, **{f"lib/{name}.tar": _update(name, level) for name in names}} for level in (1, 9)]
    data = {"image.bin": uimage(gzip.compress(tar_of(sides[1]))), "root.tar": tar_of(sides[0])}
    rebuilt = only(run(submission(tmp_path / "s", MANIFEST + _REBUILD, **data), tmp_path / "w"))
    found = by_path(rebuilt)
    assert {found[f"lib/{n}.tar"].verdict for n in names} == {"functional"}


def _update(name: str, level: int) -> bytes:
    packed = [gzip.compress(name.encode() * 99, n, mtime=0) for n in (1, level)]
    return tar_of({"radio": packed[1], "sums": hashlib.sha256(packed[0]).hexdigest().encode()})


@pytest.mark.parametrize("within", [True, False])
def test_what_vouches_across_files(tmp_path: Path, within: bool) -> None:
    """A list beside an archive of what is in it, and a list in an archive of what lies beside that."""
    stated = hashlib.sha256(_PACKED[0]).hexdigest().encode()
    sides = []
    for time, packed in enumerate(_PACKED):
        other = gzip.compress(b"x" * 99, mtime=time)
        archive = {"other.gz": other, "sums": stated} if within else {"radio.gz": packed}
        beside = {"lib/radio.gz": packed} if within else {"lib/sums": stated}
        sides.append({**FILES, "lib/all.tar": tar_of(archive), **beside})
    data = {"image.bin": uimage(gzip.compress(tar_of(sides[1]))), "root.tar": tar_of(sides[0])}
    rebuilt = only(run(submission(tmp_path / "s", MANIFEST + _REBUILD, **data), tmp_path / "w"))
    assert by_path(rebuilt)["lib/all.tar" if within else "lib/sums"].verdict == "functional"


@pytest.mark.parametrize(
    ("key", "value", "verdict"),
    [
        ("SCHILY.xattr.user.sum", hashlib.sha256(_PACKED[0]).hexdigest(), "functional"),
        ("SCHILY.xattr.user.sum", hashlib.sha3_224(_PACKED[1]).hexdigest(), "functional"),
        ("SCHILY.xattr.user.sum", hashlib.sha512(_PACKED[0]).hexdigest(), "functional"),
        ("SCHILY.xattr.user.sum", _DIGEST[::-1].hex(), "functional"),
        ("SCHILY.xattr.user.sum", base64.b64encode(b"\x12\x20" + _DIGEST).decode(), "functional"),
        ("SCHILY.xattr.user.sum", "radio, made by the vendor; utf-8", "equivalent/metadata"),
        ("SCHILY.xattr.security.selinux", "system_u:object_r:lib_t:s0:c123,c456", "equivalent/metadata"),
        ("APK-TOOLS.checksum.SHA1", hashlib.sha1(_PACKED[0], usedforsecurity=False).hexdigest(), "unexplained"),
        ("APK-TOOLS.checksum.SHA1", "4" * 40, "unexplained"),
        ("VENDOR.sum", base64.b64encode(_DIGEST.hex().encode()).decode(), "unexplained"),
        ("VENDOR.made by", "the maker of radios", "equivalent/metadata"),
        ("hdrcharset", "ISO-IR 10646 2000 UTF-8", "equivalent/metadata"),
        ("hdrcharset", "ISO-IR 10646 " + base64.b64encode(b"\x12\x20" + _DIGEST).decode(), "unexplained"),
    ],
)  # fmt: skip
def test_what_an_attribute_states_of_its_file(tmp_path: Path, key: str, value: str, verdict: str) -> None:
    """The same over contents that differ: where it may be the digest of one of them, it is wrong on one side."""
    sides = []
    for packed in _PACKED:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, content in {**FILES, "lib/radio.gz": packed}.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                entry.pax_headers = {key: value} if name == "lib/radio.gz" else {}
                archive.addfile(entry, io.BytesIO(content))
        sides.append(out.getvalue())
    data = {"image.bin": uimage(gzip.compress(sides[1])), "root.tar": sides[0]}
    assert only(run(submission(tmp_path / "s", MANIFEST + _REBUILD, **data), tmp_path / "w")).verdict == verdict


def test_what_an_image_states_of_its_own_part(tmp_path: Path) -> None:
    """Of an image compared as a whole, too, and again where an earlier run has compared it."""
    data = {"image.bin": stating(2, DIGEST), "built.bin": stating(1, DIGEST)}
    word = _REBUILD.replace("root.tar", "built.bin") + 'rebuild_of = "image.bin"\n'
    for turn in ("one", "two"):
        rebuilt = only(run(submission(tmp_path / turn, MANIFEST + word, **data), tmp_path / "w"))
        assert rebuilt.method == "whole"
        assert rebuilt.verdict == "functional"


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
def test_what_a_file_states_of_its_own_part(tmp_path: Path, algorithm: str) -> None:
    digest = hashlib.new(algorithm, gzip.compress(TEXT, mtime=1)).digest()
    sides = [{**FILES, "boot/boot.itb": stating(time, digest)} for time in (1, 2)]
    data = {"image.bin": uimage(gzip.compress(tar_of(sides[1]))), "root.tar": tar_of(sides[0])}
    rebuilt = only(run(submission(tmp_path / "s", MANIFEST + _REBUILD, **data), tmp_path / "w"))
    assert by_path(rebuilt)["boot/boot.itb"].verdict == "functional"


@pytest.mark.parametrize("alone", [True, False])
def test_a_pair_that_was_met_alone(tmp_path: Path, alone: bool) -> None:
    """What is in it is looked through again where something lies beside it."""
    packed = [gzip.compress(gzip.compress(b"radio " * 99, mtime=time), mtime=time) for time in (1, 2)]
    sums = hashlib.md5(gzip.decompress(packed[0])).hexdigest().encode() + b"  radio.gz\n"
    sides = [
        {**FILES, **({"lib/a.gz.gz": x} if alone else {}), "lib/b.tar": tar_of({"radio.gz.gz": x, "MD5SUMS": sums})}
        for x in packed
    ]
    data = {"image.bin": uimage(gzip.compress(tar_of(sides[1]))), "root.tar": tar_of(sides[0])}
    rebuilt = only(run(submission(tmp_path / "s", MANIFEST + _REBUILD, **data), tmp_path / "w"))
    assert by_path(rebuilt)["lib/b.tar"].verdict == "functional"


@pytest.mark.parametrize(("version", "verdict"), [(2, "equivalent"), (1, "functional")])
def test_an_access_list_in_flash_and_in_an_archive(tmp_path: Path, version: int, verdict: str) -> None:
    """JFFS2 stores one in another form than Linux takes it from an archive; one of that form, there, is none."""
    entries = ((1, 6, None), (2, 4, 33), (4, 0, None), (0x10, 6, None), (0x20, 0, None))
    stored, shown = struct.pack("<I", 1), struct.pack("<I", 2)
    for tag, rights, owner in entries:
        stored += struct.pack("<HH", tag, rights) + (b"" if owner is None else struct.pack("<I", owner))
        shown += struct.pack("<HHI", tag, rights, 0xFFFFFFFF if owner is None else owner)
    flash = jffs2.Flash()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in {"key": b"secret\n", "run": b"#!/bin/sh\n"}.items():
            flash.add(name, jffs2.Node(data=content, mode=0o640))
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o640
            value = (shown if version == 2 else stored).decode("utf-8", "surrogateescape")
            entry.pax_headers = {"SCHILY.xattr.system.posix_acl_access": value} if name == "key" else {}
            archive.addfile(entry, io.BytesIO(content))
    flash.attribute("key", 1, b"", stored, prefix=3)
    kernel = uimage(b"kernel " * 400)
    image = kernel + b"\xff" * (-len(kernel) % 65536) + flash.done()
    data = {"image.bin": image, "root.tar": out.getvalue(), "kernel.bin": kernel}
    manifest = MANIFEST + _REBUILD + _REBUILD.replace("root.tar", "kernel.bin")
    rebuilt = only(run(submission(tmp_path / "s", manifest, **data), tmp_path / "w"))
    assert rebuilt.verdict.startswith(verdict)
