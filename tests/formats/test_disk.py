"""Disk-like file systems: whole trees compared with their sources, real images, and the cost of hostile ones."""

from __future__ import annotations

import lzma
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from banbury.formats.registry import readers
from banbury.formats.sink import Budget
from banbury.formats.testing import Read, read_bytes
from tests.formats.cases import ext as ext_cases
from tests.formats.cases import iso9660 as iso_cases
from tests.formats.disk_tools import differences, firmware, plant, run, tool

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


def test_ext_hash_trees_deleted_files_and_dirty_journals(tmp_path: Path) -> None:
    root, image = tmp_path / "tree", tmp_path / "image"
    plant(root, files=0, special=False, large=70_001)
    for number in range(600):
        (root / "many" / f"a file with a rather long name to fill blocks with {number}").write_bytes(b"%d" % number)
    run(tool("mke2fs", "e2fsprogs"), "-q", "-F", "-t", "ext4", "-b", "1024", "-N", "1000", "-d", root, image, "8M")
    subprocess.run(
        [tool("e2fsck", "e2fsprogs"), "-fyD", image], capture_output=True, check=False
    )  # indexes directories
    read = read_with("ext", image.read_bytes())
    assert_sound(read)
    assert differences(read, root, POSIX, ignore=["lost+found"]) == []
    run(tool("debugfs", "e2fsprogs"), "-w", "-R", "rm /large", image)
    run(tool("debugfs", "e2fsprogs"), "-w", "-R", "unlink /tiny", image)
    run(tool("debugfs", "e2fsprogs"), "-w", "-R", "feature needs_recovery", image)
    read = read_with("ext", image.read_bytes())
    details = {n.code: n.detail for n in read.dissection.notes}
    assert "journal is not replayed" in details["unsupported"]
    hidden = [n.detail for n in read.dissection.notes if n.code == "hidden"]
    assert any(text.startswith("69 free blocks hold") for text in hidden)
    assert "large" not in read.contents


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


def test_fat_tree_is_the_source_tree(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    plant(root, special=False, odd=False)
    (root / "A directory with a long name").mkdir()
    (root / "A directory with a long name" / "naïve ファイル.text").write_bytes(b"x" * 9999)
    make, copy = tool("mkfs.fat", "dosfstools"), tool("mcopy", "mtools")
    for number, (options, size) in enumerate([("-F 12", "1M"), ("-F 16 -s 2", "9M"), ("-F 32 -s 1", "34M")]):
        image = tmp_path / f"image{number}"
        run("truncate", "-s", size, image)
        run(make, *options.split(), "-n", "LABEL", image)
        run(copy, "-s", "-m", "-i", image, *sorted(root.iterdir()), "::/", env={"LC_ALL": "C.UTF-8"})
        read = read_with("fat", image.read_bytes())
        assert_sound(read)
        assert differences(read, root, ("size",)) == []
        assert read.dissection.properties["label"] == "LABEL"


@pytest.mark.parametrize("program", ["genisoimage", "xorriso"])
def test_rock_ridge_tree_is_the_source_tree(program: str, tmp_path: Path) -> None:
    root, image = tmp_path / "tree", tmp_path / "image"
    plant(root)
    deep = root.joinpath(*"123456789")
    deep.mkdir(parents=True)  # deeper than ISO 9660 allows: genisoimage moves directories elsewhere
    (deep / "deep").write_bytes(b"deep")
    (root / "long").symlink_to("x/" + "L" * 250 + "/y")
    mkisofs = [tool(program, program), *(("-as", "mkisofs") if program == "xorriso" else ())]
    run(*mkisofs, "-quiet", "-R", "-J", "-o", image, root)
    read = read_with("iso9660", image.read_bytes())
    assert_sound(read)
    assert differences(read, root, POSIX, ignore=["rr_moved"]) == []


def test_joliet_and_boot_images(tmp_path: Path) -> None:
    root, image = tmp_path / "tree", tmp_path / "image"
    plant(root, special=False, odd=False)
    (root / "a longer näme than ISO 9660 allows.text").write_bytes(b"joliet")
    program = tool("genisoimage", "genisoimage")
    run(program, "-quiet", "-J", "-joliet-long", "-b", "bin/su", "-no-emul-boot", "-c", "boot.cat", "-o", image, root)
    read = read_with("iso9660", image.read_bytes())
    assert_sound(read)
    assert differences(read, root, ("size",), ignore=["boot.cat", "[BOOT]/1-x86.img"]) == []
    assert read.contents["[BOOT]/1-x86.img"] == (root / "bin" / "su").read_bytes()


@pytest.mark.parametrize("options", ["-N little", "-N big", "-p", "-z", "-b 8192 -N big"])
def test_cramfs_tree_is_the_source_tree(options: str, tmp_path: Path) -> None:
    root, image = tmp_path / "tree", tmp_path / "image"
    plant(root, odd=False)
    (root / "dev" / "disk").unlink(missing_ok=True)  # its number is larger than cramfs holds
    run(tool("mkfs.cramfs", "util-linux-extra"), *options.split(), root, image)
    read = read_with("cramfs", image.read_bytes())
    assert_sound(read)
    assert differences(read, root, ("mode", "uid", "size")) == []


def test_romfs_tree_is_the_source_tree(tmp_path: Path) -> None:
    root, image = tmp_path / "tree", tmp_path / "image"
    plant(root)
    (root / "dev" / "disk").unlink(missing_ok=True)
    run(tool("genromfs", "genromfs"), "-f", image, "-d", root)
    read = read_with("romfs", image.read_bytes())
    assert_sound(read)
    assert differences(read, root, ("size",)) == []


def test_partition_tables_of_the_usual_tools(tmp_path: Path) -> None:
    image = tmp_path / "image"
    run("truncate", "-s", "8M", image)
    run(tool("sgdisk", "gdisk"), "-n", "1:2048:+1M", "-c", "1:boot", "-n", "2:6144:+2M", "-t", "2:ef00", image)
    read = read_with("partitions", image.read_bytes())
    assert_sound(read)
    assert {path: len(data) for path, data in read.contents.items()} == {"partition-1": 1 << 20, "partition-2": 2 << 20}
    assert "EFI system" in read.dissection.properties["partition-2"]


FILE_2 = b"This is the second test file"
FILE_3 = b"The third test file!"


def test_real_android_sparse_image_holds_an_ext3() -> None:
    outer = read_with("android-sparse", firmware("formats/android_simg__simg.img").read_bytes())
    assert_sound(outer)
    read = read_with("ext", outer.contents["image"])
    assert_sound(read)
    assert read.contents["get_files_test/testfile2"] == FILE_2


@pytest.mark.parametrize(
    ("reader", "name", "top"),
    [
        ("romfs", "generic_fs__romfs.img", ""),
        ("minix", "generic_fs__minix.img.xz", "get_files_test/"),
        ("iso9660", "sevenz__test.iso", ""),
    ],
)
def test_real_file_systems(reader: str, name: str, top: str) -> None:
    data = firmware(f"formats/{name}").read_bytes()
    read = read_with(reader, lzma.decompress(data) if name.endswith(".xz") else data)
    assert_sound(read)
    assert read.contents[f"{top}testfile2"] == FILE_2
    assert read.contents[f"{top}generic folder/test file 3_.txt"] == FILE_3


def test_real_partition_table_whose_last_partition_is_cut() -> None:
    read = read_with("partitions", lzma.decompress(firmware("formats/generic_fs__mbr.img.xz").read_bytes()))
    assert_sound(read, "truncated")
    assert [len(read.contents[f"partition-{n}"]) for n in (1, 2, 3, 4)] == [2 << 20, 3 << 20, 2 << 20, 611_392]


def test_a_block_map_shared_by_thousands_is_read_once() -> None:
    """Many inodes that point at the same tree of pointers must not cost the product of the two."""

    def spoil(b: ext_cases.Builder) -> None:
        b.image[9 * 1024 : 10 * 1024] = bytes(range(1, 129)) * 8  # 256 pointers in no order
        for number in range(18, 33):
            b.inode(number, 0o100644, 200 << 10, b"\0" * 48 + b"\x09\0\0\0" * 3)

    names = tuple((b"x%d" % n, n) for n in range(18, 33))
    started = time.process_time()
    read = read_with("ext", ext_cases.build(spoil, names))
    assert time.process_time() - started < 2
    assert sum("in use already" in n.detail for n in read.dissection.notes) >= 14


def test_overlapping_slices_pass_a_budget() -> None:
    """A few bytes of directory must not make a small disc into gigabytes of distinct members."""
    size = 30 * 2048
    extra = b"".join(iso_cases.record(b"X%d" % n, 1, size - n) for n in range(40))
    read = read_bytes(readers()["iso9660"], iso_cases.build(False, extra), Budget(ratio_floor=1 << 20))
    assert read is not None
    assert "bomb" in {n.code for n in read.dissection.notes}
    assert read.dissection.error
