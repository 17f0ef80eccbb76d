"""Disk-like file systems: whole trees compared with their sources, real images, and the cost of hostile ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from banbury.formats.registry import readers
from banbury.formats.testing import Read, read_bytes
from tests.formats.disk_tools import differences, plant, run, tool

POSIX = ("mode", "uid", "gid", "mtime", "size")


def read_with(name: str, data: bytes) -> Read:
    """What the named reader says; it must claim the data."""
    read = read_bytes(readers()[name], data)
    assert read is not None
    return read


def assert_sound(read: Read, *notes: str) -> None:
    """No error, no failed check, no notes but these."""
    assert read.dissection.error == ""
    assert [c for c in read.dissection.checks if not c.ok] == []
    assert {n.code for n in read.dissection.notes} == set(notes)


@pytest.mark.parametrize(
    ("options", "size", "xattrs"),
    [
        ("-t ext4 -b 4096", "8M", True),
        ("-t ext4 -b 1024 -O ^extents,^64bit", "4M", True),
        ("-t ext4 -b 1024 -O inline_data -I 512", "4M", True),
        ("-t ext4 -b 1024 -O ^64bit,^metadata_csum,uninit_bg -g 1024", "6M", True),
        ("-t ext4 -b 1024 -O meta_bg,^resize_inode -g 512 -N 600", "8M", True),
        ("-t ext4 -b 1024 -O sparse_super2,^flex_bg -g 1024", "6M", True),
        ("-t ext4 -b 1024 -O bigalloc -C 8192", "6M", True),
        ("-t ext4 -b 1024 -O quota,project,metadata_csum_seed,ea_inode,mmp", "6M", True),
        ("-t ext3 -b 2048", "6M", True),
        ("-t ext2 -b 1024 -I 128", "2M", True),
        ("-t ext2 -r 0 -b 1024", "2M", False),
    ],
)
def test_ext_tree_is_the_source_tree(options: str, size: str, xattrs: bool, tmp_path: Path) -> None:
    root, image = tmp_path / "tree", tmp_path / "image"
    plant(root, odd="inline_data" not in options)  # mke2fs 1.47.0 itself cuts sparse files with inline_data
    run(tool("mke2fs", "e2fsprogs"), "-q", "-F", "-d", root, *options.split(), image, size)
    read = read_with("ext", image.read_bytes())
    assert_sound(read)
    fields = (*POSIX, "xattrs") if xattrs else POSIX
    assert differences(read, root, fields, ignore=["lost+found"]) == []


def test_ext_damage_to_checked_metadata_is_noted() -> None:
    with tempfile.TemporaryDirectory() as work:
        root, image = Path(work) / "tree", Path(work) / "image"
        plant(root)
        run(tool("mke2fs", "e2fsprogs"), "-q", "-F", "-t", "ext4", "-b", "4096", "-d", root, image, "8M")
        whole = image.read_bytes()
    for at, what in ((1024 + 0x80, "superblock"), (4096 + 0x0C, "group descriptors")):
        spoilt = bytearray(whole)
        spoilt[at] ^= 0x40
        notes = read_with("ext", bytes(spoilt)).dissection.notes
        assert [n.code for n in notes if what in n.detail] == ["checksum"]
