"""Firmware headers and kernels: real images taken apart to the bottom, and images made by U-Boot's own tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from msgspec import Struct

from banbury.formats.dissect import dissect
from banbury.formats.registry import readers
from banbury.formats.sink import Budget
from banbury.formats.testing import read_bytes
from banbury.formats.view import View
from banbury.model.tree import Dissection, Role
from tests.formats.headers import OTHER, PAYLOAD, cpio, imagetag, plain_kernel, tplink, uimage

FIRMWARE = Path(__file__).resolve().parents[2] / ".." / "shared" / "firmware"


class Opened(Struct):
    """A blob's dissection and its members, by path."""

    found: Dissection
    members: dict[str, Opened]
    data: bytes

    def at(self, *path: str) -> Opened:
        out = self
        for step in path:
            out = out.members[step]
        return out

    @property
    def unread(self) -> int:
        """Bytes of the blob that nobody could name, its members' own left out."""
        return sum(r.end - r.start for r in self.found.regions if r.role is Role.UNREAD)


def opened(data: bytes, depth: int = 6) -> Opened:
    with tempfile.TemporaryFile() as spool:
        found = dissect(View(data), spool.fileno(), Budget(), carve=True)
        members: dict[str, Opened] = {}
        for content in found.contents if depth and len(found.contents) < 20 else []:
            if content.stored:
                piece = data[content.start : content.start + content.length]
            else:
                piece = os.pread(spool.fileno(), content.length, content.start)
            members[found.entries[content.member].path] = opened(piece, depth - 1)
    return Opened(found, members, data)


def real(name: str) -> Opened:
    path = FIRMWARE / name
    if not path.is_file():
        pytest.skip(f"real firmware is not here: {name}")
    return opened(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "version", "kernel", "start"),
    [("mr3020-demtech.bin", "r40831", "3.10.36", 0x10B1DC), ("mr3020-viktor.bin", "r43416", "3.10.49", 0x100598)],
)
def test_openwrt_images_are_opened_or_named_whole(name: str, version: str, kernel: str, start: int) -> None:
    image = real(f"openwrt-mr3020/{name}")
    assert image.found.format == "tplink"
    assert image.found.properties["version"] == version
    assert all(c.ok for c in image.found.checks)
    assert image.unread == 0
    linux = image.at("kernel", "content")
    assert linux.found.format == "linux-kernel"
    assert linux.found.properties["Linux version"].startswith(kernel)
    chunk = next(e for e in image.found.entries if e.format == "squashfs")
    assert chunk.path == f"{start:08x}-squashfs"
    erased = sum(r.end - r.start for r in image.found.regions if r.role is Role.PADDING)
    assert erased > 500_000


def test_a_stock_image_with_a_boot_loader_is_opened() -> None:
    image = real("formats/tpl__test.tpl")
    assert sorted(image.members) == ["boot", "firmware"]
    assert all(c.ok for part in (image, image.at("firmware")) for c in part.found.checks)
    assert image.at("firmware").found.properties["firmware version"] == "3.17.2"
    assert image.at("firmware", "kernel", "content").found.properties["Linux version"].startswith("2.6.31--LSDK")
    boot = image.at("boot")
    assert [e.format for e in boot.found.entries] == ["uimage"]
    assert "U-Boot 1.1.4" in boot.found.regions[0].name


@pytest.mark.parametrize("kind", ["bzip2", "gzip", "lz4", "lzma", "lzo", "xz"])
def test_kernels_of_all_compressions_open(kind: str) -> None:
    image = real(f"formats/linuxkernel__bzImage_{kind}")
    assert image.found.format == "bzimage"
    assert image.found.properties["Linux version"].startswith("5.4.72")
    assert image.unread == 0
    assert not image.found.notes
    vmlinux = image.at("vmlinux").data
    assert vmlinux.startswith(b"\x7fELF")
    assert len(vmlinux) == 1_015_400


def test_real_u_boot_images_open() -> None:
    fit = real("formats/uboot__fit.itb")
    assert [e.path for e in fit.found.entries] == ["kernel", "fdt", "rootfs"]
    assert fit.unread == 0
    header = real("formats/uboot__uboot.image_with_header")
    assert [e.format for e in header.found.entries] == ["uimage", "tplink"]
    assert all(c.ok for c in header.at("00000000-uimage").found.checks)
    big = real("formats/linuxkernel__zImage_be32")
    assert big.found.properties["byte order"] == "big-endian"
    assert "truncated" in {n.code for n in big.found.notes}


@pytest.mark.parametrize("name", ["linuxkernel__bogus_image.bin", "generic_fs__f2fs.img.xz"])
def test_what_is_no_kernel_is_not_called_one(name: str) -> None:
    image = real(f"formats/{name}")
    assert "linux-kernel" not in {image.found.format, *(m.found.format for m in image.members.values())}
    assert image.found.format != "bzimage"


def test_what_a_kernel_carries_comes_out() -> None:
    archive = cpio(init=b"#!/bin/sh\n" * 50, banner=OTHER)
    found = opened(plain_kernel(extra=bytes(100) + archive), depth=1)
    assert found.found.format == "linux-kernel"
    assert found.at("config").data == b"CONFIG_MIPS=y\n" * 200
    assert {r.role for r in found.found.regions} == {Role.TABLE, Role.HEADER, Role.MEMBER}
    if "cpio" not in readers():
        pytest.skip("no reader of cpio yet: the archive inside a kernel is not tried")
    assert [e.format for e in found.found.entries] == ["", "cpio"]


def test_dual_headers_are_opened_one_after_another() -> None:
    image = opened(tplink(uimage(PAYLOAD), OTHER))
    assert image.at("kernel", "Linux-3.10").data == PAYLOAD
    tag = opened(imagetag(OTHER, uimage()))
    assert tag.at("kernel", "Linux-3.10").data == PAYLOAD


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def test_images_made_by_mkimage_are_read(tmp_path: Path) -> None:
    mkimage = _tool("mkimage")
    (tmp_path / "a").write_bytes(PAYLOAD[:4999])
    (tmp_path / "b").write_bytes(OTHER)
    base = [mkimage, "-A", "mips", "-O", "linux", "-C", "none", "-a", "0x80060000", "-e", "0x80060000"]
    for options in (
        ["-T", "kernel", "-n", "Linux 5", "-d", "a", "one"],
        ["-T", "multi", "-n", "two", "-d", "a:b", "multi"],
    ):
        subprocess.run([*base, *options], check=True, capture_output=True, cwd=tmp_path)
    one = read_bytes(readers()["uimage"], (tmp_path / "one").read_bytes())
    assert one
    assert one.contents == {"Linux 5": PAYLOAD[:4999]}
    two = read_bytes(readers()["uimage"], (tmp_path / "multi").read_bytes())
    assert two
    assert two.contents == {"image0": PAYLOAD[:4999], "image1": OTHER}
    for read in (one, two):
        assert all(c.ok for c in read.dissection.checks)
        assert not read.dissection.notes


@pytest.mark.parametrize("external", [False, True])
def test_fit_images_made_by_mkimage_are_read(tmp_path: Path, external: bool) -> None:
    mkimage = _tool("mkimage")
    _tool("dtc")
    (tmp_path / "kernel").write_bytes(PAYLOAD)
    (tmp_path / "tree").write_bytes(OTHER)
    node = (
        'data = /incbin/("{0}"); type = "{1}"; arch = "mips"; os = "linux"; compression = "none"; load = <0x80060000>;'
    )
    kernel, tree = node.format("kernel", "kernel"), node.format("tree", "flat_dt")
    hashes = " ".join(
        f'hash-{i} {{ algo = "{a}"; }};' for i, a in enumerate(("crc32", "md5", "sha1", "sha256", "sha512"), 1)
    )
    (tmp_path / "fit.its").write_text(
        f'/dts-v1/; / {{ description = "x"; images {{ kernel-1 {{ {kernel} entry = <0x80060000>; {hashes} }}; '
        f"fdt-1 {{ {tree} {hashes} }}; }}; "
        'configurations { default = "c"; c { kernel = "kernel-1"; fdt = "fdt-1"; }; }; };'
    )
    subprocess.run(
        [mkimage, "-f", "fit.its", *(["-E"] if external else []), "out.itb"],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    read = read_bytes(readers()["fdt"], (tmp_path / "out.itb").read_bytes())
    assert read
    assert read.contents == {"kernel-1": PAYLOAD, "fdt-1": OTHER}
    assert len(read.dissection.checks) == 10
    assert all(c.ok for c in read.dissection.checks)
    assert not read.dissection.notes
    assert not [r for r in read.dissection.regions if r.role is Role.UNREAD]
    assert read.dissection.properties["configuration c"] == "kernel kernel-1; fdt fdt-1"
