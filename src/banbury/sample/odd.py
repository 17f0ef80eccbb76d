"""Hostile containers for the sample's ``opt/odd``: small, harmless to keep, and a trial for whatever unpacks them."""

from __future__ import annotations

import gzip
import io
import zipfile

from banbury.sample.archives import cpio_newc
from banbury.sample.tree import Tree, file

_BOMB_BYTES = 192 << 20


def odd_files() -> Tree:
    """Paths and files."""
    return {
        "opt/odd/traversal.cpio": file(_traversal()),
        "opt/odd/bomb.zip": file(_bomb()),
        "opt/odd/truncated.gz": file(_truncated()),
    }


def _traversal() -> bytes:
    return cpio_newc(
        [
            ("etc/motd", file(b"an honest member\n")),
            ("../../../etc/cron.d/owned", file(b"* * * * * root touch /owned\n")),
        ]
    )


def _bomb() -> bytes:
    """An archive in an archive: 192 MiB of zeros in a few hundred bytes."""
    return _zip("level-1.zip", _zip("zeros.bin", bytes(_BOMB_BYTES), zipfile.ZIP_BZIP2), zipfile.ZIP_DEFLATED)


def _zip(name: str, data: bytes, method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, method, 9)
    return out.getvalue()


def _truncated() -> bytes:
    whole = gzip.compress(b"".join(b"line %d of a log\n" % number for number in range(4000)), 9, mtime=0)
    return whole[: len(whole) // 2]
