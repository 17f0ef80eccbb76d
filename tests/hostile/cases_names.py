"""Names, links and devices that lead out of the root. See :mod:`tests.hostile.corpus`."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.hostile.case import MIB, Files, case, member, newc, tar


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
