"""Which reader is asked about which format, and what it needs to be there."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from tests.equivalence.outside import archives, boot, firmware, libarchive, systems
from tests.equivalence.outside.rows import Rows


class Reader(Struct, frozen=True, kw_only=True):
    """A reader of one format. ``tools``: programs that it runs; ``root``: it must be root; ``library``: libarchive.

    ``ours``: its rows are held against our reader's, not only against its own of the other side; ``more``: it lists
    more than members (headers), ``slow``: it is a process and asked about fewer mutants.
    """

    name: str
    read: Callable[[bytes], Rows]
    tools: tuple[str, ...] = ()
    root: bool = False
    library: bool = False
    ours: bool = True
    more: bool = False
    slow: bool = True

    def missing(self) -> str:
        """What is not there, or ``""``."""
        if self.library and libarchive.library() is None:
            return "libarchive"
        if self.root and os.geteuid():
            return "root"
        return ", ".join(tool for tool in self.tools if not systems.there(tool))


_ZIP = (
    Reader(name="libarchive", read=archives.zip_seekable, library=True, slow=False),
    Reader(name="libarchive, as a stream", read=archives.zip_streamable, library=True, slow=False),
    Reader(name="zipfile", read=archives.zip_python, slow=False),
)


def _stream(form: str, tool: str) -> tuple[Reader, ...]:
    return (
        Reader(name="libarchive", read=partial(archives.stream, form), library=True, slow=False),
        Reader(name=tool, read=partial(archives.stream_tool, form), tools=(tool,)),
    )


#: By the name of the comparator that answers.
READERS: dict[str, tuple[Reader, ...]] = {
    "tar": (
        Reader(name="libarchive", read=archives.tar, library=True, slow=False),
        Reader(name="tarfile", read=archives.tar_python, slow=False),
        Reader(name="BusyBox", read=archives.tar_busybox, tools=("busybox",), ours=False),
    ),
    "cpio": (
        Reader(name="libarchive", read=archives.cpio, library=True, slow=False),
        Reader(name="GNU cpio", read=archives.cpio_gnu, tools=("cpio",), ours=False),
    ),
    "ar": (Reader(name="libarchive", read=archives.ar, library=True, slow=False, ours=False),),
    "zip": _ZIP,
    "rpm": (Reader(name="rpm", read=archives.rpm, tools=("rpm", "rpm2cpio"), library=True, more=True),),
    "gzip": _stream("gzip", "busybox"),
    "xz": _stream("xz", "busybox"),
    "bzip2": _stream("bzip2", "busybox"),
    "lzma": _stream("lzma", "busybox"),
    "zstd": _stream("zstd", "7zz"),
    "lz4": _stream("lz4", "lz4"),
    "lzop": (Reader(name="lzop", read=partial(archives.stream_tool, "lzop"), tools=("lzop",)),),
    "squashfs": (Reader(name="unsquashfs", read=systems.squashfs, tools=("unsquashfs",)),),
    "ext": (Reader(name="debugfs", read=systems.ext, tools=("debugfs", "e2fsck")),),
    "jffs2": (Reader(name="jefferson", read=systems.jffs2, slow=False),),
    "ubifs": (Reader(name="ubi_reader", read=systems.ubifs, tools=("ubireader_extract_files",), root=True),),
    "ubi": (Reader(name="ubi_reader", read=boot.ubi, tools=("ubireader_extract_images",)),),
    "cramfs": (Reader(name="fsck.cramfs", read=systems.cramfs, tools=("fsck.cramfs",), root=True),),
    "romfs": (Reader(name="unblob", read=systems.romfs, slow=False),),
    "uimage": (Reader(name="dumpimage", read=boot.uimage, tools=("dumpimage",), more=True),),
    "fit": (Reader(name="dumpimage and dtc", read=boot.fit, tools=("dumpimage", "dtc"), more=True),),
    "fdt": (Reader(name="dtc", read=boot.dtb, tools=("dtc",), ours=False),),
    "trx": (
        Reader(name="unblob", read=firmware.trx2, ours=False),
        Reader(name="binwalk", read=firmware.binwalk, tools=("binwalk",), ours=False),
    ),
    "netgear-chk": (Reader(name="unblob", read=firmware.chk),),
    "tplink": (Reader(name="file", read=firmware.tplink, tools=("file",), more=True, ours=False),),
    "android-boot": (
        Reader(name="file", read=firmware.android, tools=("file",), ours=False),
        Reader(name="binwalk", read=firmware.binwalk, tools=("binwalk",), ours=False),
    ),
    "ubiquiti": (Reader(name="binwalk", read=firmware.binwalk, tools=("binwalk",), more=True),),
    "seama": (Reader(name="binwalk", read=firmware.binwalk, tools=("binwalk",), ours=False),),
    "kernel": (Reader(name="search for streams", read=firmware.kernel, tools=("file",), ours=False),),
    "boot-loader": (Reader(name="search for streams", read=firmware.kernel, tools=("file",), ours=False),),
    "bzimage": (Reader(name="extract-vmlinux", read=firmware.packed, tools=("file",), more=True, ours=False),),
    "zimage": (Reader(name="extract-vmlinux", read=firmware.packed, tools=("file",), more=True, ours=False),),
    "elf": (Reader(name="pyelftools", read=firmware.objects, ours=False, slow=False),),
}
#: Readers that the assumption of a rule leaves out, by the rule: a pair that rests on it is not asked of them.
#: deb.compression: the outer member's name says the compressor. deb.md5sums: all
#: content in one. xz.padding: BusyBox 1.35 does not skip it.
APART: dict[str, frozenset[str]] = {
    "deb.compression": frozenset(("libarchive",)),
    "deb.md5sums": frozenset(("BusyBox",)),
    "xz.padding": frozenset(("busybox",)),
}
