"""Labelled pairs of tar archives in two dialects, by GNU tar and by Python's tarfile: which say the same, and which
only look as if they did."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path

from tests.equivalence import build
from tests.equivalence.container_pairs import ar, harmless, tampered
from tests.equivalence.pairs import Sample

_LONG = "usr/share/doc/a-package-with-a-long-name/and-a-folder-in-it/that-makes-its-path-longer/than-100-bytes/say.txt"


@cache
def _gnu(form: str, name: str = "bin/say", mode: int = 0o755) -> bytes:
    """An archive of one file, of its folders, a link and a device, by GNU tar."""
    build.need("tar")
    with tempfile.TemporaryDirectory() as held:
        root = Path(held)
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("#!/bin/sh\necho said\n")
        (root / name).chmod(mode)
        (root / "link").symlink_to("/bin/sh")
        options = "--sort=name", "--owner=root:0", "--group=root:0", "--mtime=@1700000000"
        command = ["tar", f"--format={form}", *options, "-C", held, "-cf", "-", "."]
        return subprocess.run(command, check=True, capture_output=True).stdout


def _python(form: int, name: str, **fields: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    return out.getvalue()


def _summed(raw: bytes) -> bytes:
    """An archive whose headers have right sums."""
    out = bytearray(raw)
    for at in range(0, len(out), 512):
        if out[at + 257 : at + 262] == b"ustar":
            out[at + 148 : at + 156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return bytes(out)


def _deb(data: bytes) -> bytes:
    control = gzip.compress(_python(tarfile.GNU_FORMAT, "./control"), mtime=0)
    return ar(("debian-binary", b"2.0\n"), ("control.tar.gz", control), ("data.tar.gz", gzip.compress(data, mtime=0)))


def _ipk(data: bytes) -> bytes:
    out = io.BytesIO()
    control = gzip.compress(_python(tarfile.GNU_FORMAT, "./control"), mtime=0)
    parts = ("debian-binary", b"2.0\n"), ("data.tar.gz", gzip.compress(data, mtime=0)), ("control.tar.gz", control)
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in parts:
            info = tarfile.TarInfo("./" + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


# --- marks -----------------------------------------------------------------------------------------------------------


@harmless("tar-gnu-ustar")
def _() -> Sample:
    return Sample(_gnu("gnu"), _gnu("ustar"))


@harmless("tar-gnu-python")
def _() -> Sample:
    return Sample(*(_python(form, "f", size=9) for form in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)))


@tampered("tar-gnu-ustar-mode")
def _() -> Sample:
    return Sample(_gnu("gnu"), _gnu("ustar", mode=0o4755))


@tampered("tar-gnu-prefix")
def _() -> Sample:
    """Where ustar has the beginning of a name, GNU tar has other fields: one reader goes by the mark, another not."""
    raw = bytearray(_python(tarfile.GNU_FORMAT, "say", size=9))
    raw[345:348] = b"bin"
    return Sample(_python(tarfile.USTAR_FORMAT, "say", size=9), _summed(bytes(raw)))


@tampered("tar-gnu-package")
def _() -> Sample:
    return Sample(_deb(_gnu("gnu")), _deb(_gnu("ustar")))


@tampered("tar-gnu-ipk")
def _() -> Sample:
    return Sample(_ipk(_gnu("gnu")), _ipk(_gnu("ustar")))


# --- long names ------------------------------------------------------------------------------------------------------


@harmless("tar-long-prefix")
def _() -> Sample:
    return Sample(_gnu("gnu", _LONG), _gnu("ustar", _LONG))


@harmless("tar-long-python")
def _() -> Sample:
    return Sample(*(_python(form, _LONG) for form in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)))


def _changed(at: int, value: bytes) -> Sample:
    """GNU tar's form with other bytes somewhere, against the prefix."""
    raw = bytearray(_python(tarfile.GNU_FORMAT, _LONG))
    raw[at : at + len(value)] = value
    return Sample(_python(tarfile.USTAR_FORMAT, _LONG), _summed(bytes(raw)))


@tampered("tar-long-hidden")
def _() -> Sample:
    """A reader that does not know GNU tar's names takes another one."""
    return _changed(1024, b"etc/rc.local".ljust(100, b"\0"))


@tampered("tar-long-owner")
def _() -> Sample:
    return _changed(108, b"0001750")


@tampered("tar-long-other")
def _() -> Sample:
    return _changed(512 + len(_LONG) - 3, b"sh\0")


@tampered("tar-long-package")
def _() -> Sample:
    return Sample(_deb(_gnu("gnu", _LONG)), _deb(_gnu("ustar", _LONG)))


# --- extended headers ------------------------------------------------------------------------------------------------


@harmless("tar-gnu-posix")
def _() -> Sample:
    return Sample(_gnu("gnu"), _gnu("posix"))


@harmless("tar-ustar-posix")
def _() -> Sample:
    return _extended()


@tampered("tar-long-posix")
def _() -> Sample:
    """A name in an extended header, which BusyBox passes over."""
    return Sample(*(_python(form, _LONG) for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT)))


def _extended(**headers: str) -> Sample:
    form = tarfile.PAX_FORMAT
    return Sample(_python(tarfile.USTAR_FORMAT, "f"), _python(form, "f", pax_headers={"mtime": "0.5", **headers}))


@tampered("tar-extended-owner")
def _() -> Sample:
    """Who knows the header makes the file another user's."""
    return _extended(uid="1000")


@tampered("tar-extended-path")
def _() -> Sample:
    return _extended(path="etc/rc.local")


@tampered("tar-extended-attribute")
def _() -> Sample:
    return _extended(**{"SCHILY.xattr.security.capability": "x"})


@tampered("tar-extended-setuid")
def _() -> Sample:
    """Who does not know of extended headers makes a file of it, which is setuid and in a place for start-up scripts."""
    raw = bytearray(_extended().b)
    raw[:100] = b"etc/init.d/PaxHeaders/S99".ljust(100, b"\0")
    raw[100:107] = b"0004755"
    return Sample(_extended().a, _summed(bytes(raw)))


@tampered("tar-extended-package")
def _() -> Sample:
    """dpkg ends with an error at an extended header."""
    return Sample(_deb(_gnu("gnu")), _deb(_gnu("posix")))
