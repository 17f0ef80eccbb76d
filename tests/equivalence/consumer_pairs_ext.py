"""File systems of the ext family as mke2fs and genext2fs write them, and what a change beside that looks like.

See :mod:`tests.equivalence.consumer_pairs_tools`.
"""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import tools
from tests.equivalence.consumer_pairs_tools import TEXT
from tests.equivalence.container_pairs import harmless, pair, tampered
from tests.equivalence.pairs import Sample


def ext(
    options: Sequence[str], *, number: int = 1, time: int = 1_600_000_000, text: bytes = TEXT, mark: bytes = b""
) -> bytes:
    """An image by mke2fs of 8 MiB, with its identities and times. ``mark``: an extended attribute of a file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "root"
        (folder / "etc").mkdir(parents=True)
        (folder / "etc/text").write_bytes(text)
        (folder / "empty").touch()
        if mark:
            try:
                os.setxattr(folder / "etc/text", "user.mark", mark)
            except OSError as error:
                pytest.skip(f"no extended attributes here: {error.strerror}")
        (folder / "link").symlink_to("etc/text")
        uuid = f"{number:08x}-0000-4000-8000-000000000001"
        kinds = ["-q", "-F", "-U", uuid, "-E", f"hash_seed={uuid},root_owner=0:0", "-b", "1024", "-N", "64"]
        subprocess.run(
            [tools.need("mke2fs"), *kinds, *options, "-d", str(folder), str(Path(name) / "image"), "8M"],
            check=True, capture_output=True, env={"MKE2FS_CONFIG": "/dev/null", "PATH": "/usr/sbin:/sbin:/usr/bin:/bin",
                                                  "E2FSPROGS_FAKE_TIME": str(time)},
        )  # fmt: skip
        return (Path(name) / "image").read_bytes()


_PLAIN = ("-t", "ext4", "-O", "has_journal,extent,^metadata_csum,^uninit_bg")
_EXT2 = ("-t", "ext2", "-I", "128", "-O", "ext_attr,^resize_inode")
_ORPHANS = ("-t", "ext4", "-O", "has_journal,extent,64bit,metadata_csum,orphan_file")


@harmless("ext4-unchecked")
def _() -> Sample:
    return Sample(ext(_PLAIN), ext(_PLAIN, number=2, time=1_700_000_000))


@harmless("ext4-zeroed-tables")
def _() -> Sample:
    later = [*_PLAIN, "-E", "lazy_itable_init=0,hash_seed=00000003-0000-4000-8000-000000000001"]
    return Sample(ext(_PLAIN), ext(later))


@tampered("ext4-unchecked-flags")
def _() -> Sample:
    """A flag of groups that says that there are no inodes, where no checksums are."""
    honest = ext(_PLAIN)
    return Sample(honest, honest[: 2048 + 0x12] + b"\1" + honest[2048 + 0x13 :])


@harmless("ext2-identity")
def _() -> Sample:
    return Sample(ext(_EXT2), ext(_EXT2, number=2, time=1_700_000_000))


@tampered("ext2-identity-content")
def _() -> Sample:
    return Sample(ext(_EXT2), ext(_EXT2, number=2, text=TEXT.replace(b"7", b"8", 1)))


@harmless("ext2-attributes")
def _() -> Sample:
    """In a block of their own, whose hash libext2fs leaves out."""
    return Sample(ext(_EXT2, mark=b"one"), ext(_EXT2, mark=b"one", number=2))


@tampered("ext2-attributes-value")
def _() -> Sample:
    return Sample(ext(_EXT2, mark=b"one"), ext(_EXT2, mark=b"two", number=2))


@tampered("ext2-attributes-hash")
def _() -> Sample:
    """Neither none nor the right one: Linux could take the block for another file's attributes."""
    honest, raw = (bytearray(ext(_EXT2, mark=b"one", number=n)) for n in (1, 2))
    raw[raw.index(b"\0\0\2\xea\1\0\0\0") + 12] = 1
    return Sample(bytes(honest), bytes(raw))


@harmless("ext2-uncopied")
def _() -> Sample:
    """As genext2fs writes it: one group's number in the copies, or none."""
    images = [bytearray(ext([*_EXT2, "-g", "2048"], number=n)) for n in (1, 2)]
    for raw in images:
        for group in (1, 3):
            start = (1 + 2048 * group) * 1024
            raw[start : start + 2048] = bytes(2048) if group == 1 else raw[start : start + 0x5A] + bytes(2) + raw[
                start + 0x5C : start + 2048
            ]  # fmt: skip
    return pair(map(bytes, images))


@tampered("ext2-copy-lost")
def _() -> Sample:
    """Without its copies on one side alone."""
    images = [bytearray(ext([*_EXT2, "-g", "2048"], number=n)) for n in (1, 2)]
    images[1][2049 * 1024 : 2051 * 1024] = bytes(2048)
    return pair(map(bytes, images))


@tampered("ext2-copy-half")
def _() -> Sample:
    """A copy of nothing but a byte of the group descriptors."""
    images = [bytearray(ext([*_EXT2, "-g", "2048"], number=n)) for n in (1, 2)]
    for raw in images:
        raw[2049 * 1024 : 2051 * 1024] = bytes(2047) + b"\1"
    return pair(map(bytes, images))


@harmless("ext4-orphan-file")
def _() -> Sample:
    return Sample(ext(_ORPHANS), ext(_ORPHANS, number=2, time=1_700_000_000))


def _orphans(raw: bytearray) -> int:
    """Where the first block of the file of orphans ends."""
    return raw.index(struct.pack("<I", 0x0B10CA04)) + 8


_ORPHANS_BARE = ("-t", "ext4", "-O", "has_journal,extent,^metadata_csum,orphan_file")


@tampered("ext4-orphan-listed")
def _() -> Sample:
    """An inode that is deleted as soon as the image is mounted."""
    honest = ext(_ORPHANS_BARE)
    raw = bytearray(ext(_ORPHANS_BARE, number=2))
    end = _orphans(raw)
    raw[end - 1024] = 13
    return Sample(honest, bytes(raw))


@tampered("ext4-orphan-mark")
def _() -> Sample:
    """Linux does not mount an image whose file of orphans has no mark."""
    honest = ext(_ORPHANS_BARE)
    raw = bytearray(ext(_ORPHANS_BARE, number=2))
    end = _orphans(raw)
    raw[end - 8 : end - 4] = bytes(4)
    return Sample(honest, bytes(raw))


@tampered("ext4-orphan-number")
def _() -> Sample:
    """Another file is said to be that of orphans: its content is overwritten."""
    honest = ext(_ORPHANS_BARE)
    raw = bytearray(ext(_ORPHANS_BARE, number=2))
    raw[1024 + 0x280] += 1
    return Sample(honest, bytes(raw))
