"""What sort of file this is, by its first bytes.

:data:`KINDS` is the table of every name that :func:`kind_of` can give, with its meaning; the names are stable, since
rules refer to them. A kind says what the bytes look like, not that the file is sound: the reader of the format
decides that. Style sheets, programs in JavaScript and most configuration files have no mark of their own: by
their content they are ``text``, and whoever needs to tell them apart looks at the path.

Sources: each format's own specification; signatures as in the pages magic(5) and binfmt_script of Linux.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from banbury.formats.view import View

#: Bytes looked at, from the start of the file.
HEAD: Final = 4096

KINDS: Final[dict[str, str]] = {
    "empty": "no bytes at all",
    "elf": "ELF: program, library, kernel module, object or core",
    "pe": "a DOS, PE or EFI program (MZ)",
    "mach-o": "Mach-O program or library",
    "java-class": "Java class file",
    "dex": "Dalvik executable",
    "pyc": "compiled Python",
    "lua-bytecode": "compiled Lua 4 to 5 (OpenWrt's variant of 5.1 included) or LuaJIT",
    "swf": "Flash film",
    "wasm": "WebAssembly module",
    "script": "text that names its interpreter (#!)",
    "php": "text that starts as PHP",
    "html": "HTML",
    "xml": "XML, SVG included",
    "json": "JSON",
    "pem": "text with a PEM block: keys, certificates, SSH keys",
    "text": "any other text, in ASCII, UTF-8, UTF-16 or an 8-bit encoding",
    "der": "one ASN.1 SEQUENCE in DER that fills the file: certificate, key, CRL",
    "openpgp": "OpenPGP key ring or message, by its armour-free packet header and length",
    "png": "PNG image",
    "gif": "GIF image",
    "jpeg": "JPEG image",
    "ico": "Windows icon",
    "bmp": "Windows bitmap",
    "webp": "WebP image",
    "pdf": "PDF document",
    "font": "TrueType, OpenType, WOFF or WOFF2 font",
    "audio": "WAVE, Ogg, FLAC or ID3-tagged MP3 sound",
    "gzip": "gzip",
    "bzip2": "bzip2",
    "xz": "xz",
    "lzma": "LZMA alone, by its header's plausible fields",
    "lzop": "lzop",
    "lz4": "LZ4 frame, either kind",
    "zstd": "Zstandard frame",
    "zip": "zip, jar and apk included",
    "7z": "7z",
    "rar": "RAR",
    "tar": "tar with a ustar mark",
    "cpio": "cpio, newc, crc or old",
    "ar": "ar, Debian packages included",
    "rpm": "RPM package",
    "squashfs": "SquashFS, also with a vendor's magic",
    "jffs2": "JFFS2",
    "yaffs": "YAFFS2, by its first object header",
    "ubi": "UBI",
    "ubifs": "UBIFS",
    "cramfs": "CramFS",
    "romfs": "ROMFS",
    "ext": "ext2, ext3 or ext4",
    "ntfs": "NTFS",
    "xfs": "XFS",
    "btrfs": "Btrfs",
    "f2fs": "F2FS",
    "erofs": "EROFS",
    "jfs": "JFS",
    "reiserfs": "ReiserFS",
    "iso9660": "ISO 9660",
    "udf": "UDF",
    "lvm": "LVM physical volume",
    "exfat": "exFAT",
    "fat": "FAT12, FAT16 or FAT32",
    "hfs": "HFS+ or HFSX",
    "uimage": "U-Boot legacy image",
    "dtb": "flattened device tree, FIT included",
    "trx": "Broadcom TRX image",
    "android-sparse": "Android sparse image",
    "android-boot": "Android boot image",
    "kernel": "Linux kernel image: x86 boot sector, ARM zImage or arm64 Image",
    "sqlite": "SQLite 3 database",
    "gettext": "compiled message catalogue",
    "timezone": "time zone data",
    "terminfo": "compiled terminal description",
    "pcap": "packet capture",
    "luks": "LUKS volume",
    "data": "anything else",
}

_CONTAINERS = """
gzip bzip2 xz lzma lzop lz4 zstd zip 7z rar tar cpio ar rpm squashfs jffs2 yaffs ubi ubifs cramfs romfs ext uimage trx
android-sparse android-boot kernel luks ntfs xfs btrfs f2fs erofs jfs reiserfs iso9660 udf lvm exfat fat hfs data
"""
#: The kinds that hold other files or are of no known sort: seen as the payload of an image and not opened by any
#: reader, such a content has not been read.
CONTAINER_KINDS: Final = frozenset(_CONTAINERS.split())

#: The kinds that are files in themselves.
LEAF_KINDS: Final = frozenset(KINDS) - CONTAINER_KINDS

#: The kinds whose content is lines of text.
TEXT_KINDS: Final = frozenset(("script", "php", "html", "xml", "json", "pem", "text"))

#: Marks of file systems and volumes that stand where a first look does not reach. There is no reader for most of them:
#: the name lets the ledger say what it is that was not opened. Sources: linux/include/uapi/linux/magic.h and each file
#: system's on-disk format documentation; ECMA-119 and ECMA-167 for volume descriptors.
_DEEP: Final[tuple[tuple[int, bytes, str], ...]] = (
    (3, b"NTFS    ", "ntfs"),
    (0, b"XFSB", "xfs"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (0x400, b"\x10\x20\xf5\xf2", "f2fs"),
    (0x400, b"\xe2\xe1\xf5\xe0", "erofs"),
    (0x8000, b"JFS1", "jfs"),
    (0x10034, b"ReIsEr", "reiserfs"),
    (0x2034, b"ReIsEr", "reiserfs"),
    (0x8001, b"CD001", "iso9660"),
    (0x8001, b"BEA01", "udf"),
    (0x218, b"LABELONE", "lvm"),
    (3, b"EXFAT   ", "exfat"),
    (54, b"FAT", "fat"),
    (82, b"FAT32", "fat"),
    (0x400, b"H+\0\4", "hfs"),
    (0x400, b"HX\0\5", "hfs"),
)

#: (offset, pattern, kind); the first that matches counts.
_MAGICS: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x7fELF", "elf"),
    (0, b"MZ", "pe"),
    (0, b"\xfe\xed\xfa\xce", "mach-o"),
    (0, b"\xfe\xed\xfa\xcf", "mach-o"),
    (0, b"\xce\xfa\xed\xfe", "mach-o"),
    (0, b"\xcf\xfa\xed\xfe", "mach-o"),
    (0, b"dex\n0", "dex"),
    (0, b"\x1bLua", "lua-bytecode"),
    (0, b"\x1bLJ", "lua-bytecode"),
    (0, b"\0asm\x01\0", "wasm"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (8, b"WEBP", "webp"),
    (0, b"%PDF-", "pdf"),
    (0, b"\0\x01\0\0\0", "font"),
    (0, b"OTTO\0", "font"),
    (0, b"ttcf\0", "font"),
    (0, b"wOFF", "font"),
    (0, b"wOF2", "font"),
    (8, b"WAVE", "audio"),
    (0, b"OggS\0", "audio"),
    (0, b"fLaC\0", "audio"),
    (0, b"ID3", "audio"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\x02\x21\x4c\x18", "lz4"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (257, b"ustar", "tar"),
    (0, b"070701", "cpio"),
    (0, b"070702", "cpio"),
    (0, b"070707", "cpio"),
    (0, b"\xc7\x71", "cpio"),
    (0, b"!<arch>\n", "ar"),
    (0, b"\xed\xab\xee\xdb", "rpm"),
    (0, b"hsqs", "squashfs"),
    (0, b"sqsh", "squashfs"),
    (0, b"shsq", "squashfs"),
    (0, b"qshs", "squashfs"),
    (0, b"tqsh", "squashfs"),
    (0, b"hsqt", "squashfs"),
    (0, b"sqlz", "squashfs"),
    (0, b"\x85\x19\x01\xe0", "jffs2"),
    (0, b"\x85\x19\x02\xe0", "jffs2"),
    (0, b"\x85\x19\x03\x20", "jffs2"),
    (0, b"\x19\x85\xe0\x01", "jffs2"),
    (0, b"\x19\x85\xe0\x02", "jffs2"),
    (0, b"\x19\x85\x20\x03", "jffs2"),
    (0, b"\x03\0\0\0\x01\0\0\0\xff\xff", "yaffs"),
    (0, b"\x01\0\0\0\x01\0\0\0\xff\xff", "yaffs"),
    (0, b"\0\0\0\x03\0\0\0\x01\xff\xff", "yaffs"),
    (0, b"\0\0\0\x01\0\0\0\x01\xff\xff", "yaffs"),
    (0, b"UBI#\x01", "ubi"),
    (0, b"\x31\x18\x10\x06", "ubifs"),
    (0, b"\x45\x3d\xcd\x28", "cramfs"),
    (0, b"\x28\xcd\x3d\x45", "cramfs"),
    (0, b"-rom1fs-", "romfs"),
    (0, b"\x27\x05\x19\x56", "uimage"),
    (0, b"\xd0\x0d\xfe\xed", "dtb"),
    (0, b"HDR0", "trx"),
    (0, b"\x3a\xff\x26\xed", "android-sparse"),
    (0, b"ANDROID!", "android-boot"),
    (0x202, b"HdrS", "kernel"),
    (0x24, b"\x18\x28\x6f\x01", "kernel"),
    (0x38, b"ARM\x64", "kernel"),
    (0, b"SQLite format 3\0", "sqlite"),
    (0, b"\xde\x12\x04\x95", "gettext"),
    (0, b"\x95\x04\x12\xde", "gettext"),
    (0, b"TZif", "timezone"),
    (0, b"\xd4\xc3\xb2\xa1", "pcap"),
    (0, b"\xa1\xb2\xc3\xd4", "pcap"),
    (0, b"\x0a\x0d\x0d\x0a", "pcap"),
    (0, b"LUKS\xba\xbe", "luks"),
)

_BY_FIRST: Final[dict[int, list[tuple[bytes, str]]]] = {}
for _offset, _pattern, _kind in _MAGICS:
    if _offset == 0:
        _BY_FIRST.setdefault(_pattern[0], []).append((_pattern, _kind))
_LATER: Final = tuple(m for m in _MAGICS if m[0])

#: Bytes that occur in text: printable ASCII, tab to carriage return, escape, and everything above 0x7f.
_TEXT_BYTES: Final = bytes((*range(7, 14), 27, *range(32, 127), *range(128, 256)))
_HIGH: Final = bytes(range(128, 256))
_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
_JSON_START: Final = re.compile(rb"\s*(?:\{\s*(?:\"|\})|\[\s*[\[{\"\d\]-])")
_PEM: Final = re.compile(rb"^-----BEGIN [A-Z0-9 ]{1,40}-----", re.MULTILINE)
_HTML: Final = re.compile(rb"<!doctype\s+html|<html[\s>]|<head>|<body[\s>]", re.IGNORECASE)


def kind_of(view: View) -> str:
    """The kind of a file: a key of :data:`KINDS`. Reads at most 4,096 bytes and a few marks beyond; raises nothing."""
    size = len(view)
    if size == 0:
        return "empty"
    head = view.take(0, min(size, HEAD))
    known = _by_magic(head, size) or _by_fields(head, size) or (_text_kind(head, size) if is_text(head) else "")
    return known or next((kind for at, mark, kind in _DEEP if view.startswith(mark, at)), "data")


def _by_magic(head: bytes, size: int) -> str:
    for pattern, kind in _BY_FIRST.get(head[0], ()):
        if head.startswith(pattern) and _FURTHER.get(kind, _always)(head, size):
            return kind
    for offset, pattern, kind in _LATER:
        if head.startswith(pattern, offset) and (offset != 8 or head.startswith(b"RIFF")):
            return kind
    return ""


def _always(_head: bytes, _size: int) -> bool:
    return True


def _is_pe(head: bytes, size: int) -> bool:
    """A two-byte magic that text may start with: the DOS header's page count and size must make sense."""
    return size >= 64 and len(head.translate(None, _TEXT_BYTES)) > 0


def _is_bzip2(head: bytes, _size: int) -> bool:
    return head[3:4].isdigit() and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90")


def _is_id3(head: bytes, _size: int) -> bool:
    return len(head) > 10 and head[3] < 10 and max(head[6:10]) < 128


def _is_font(head: bytes, size: int) -> bool:
    return size > 28 and head[4] == 0 and 0 < head[5] < 128 and head[12:16].strip().isalnum()


def _is_old_cpio(head: bytes, size: int) -> bool:
    if not head.startswith(b"\xc7\x71"):
        return True
    return size > 26 and 0 < int.from_bytes(head[20:22], "little") < 4096


#: What a short magic needs beside itself.
_FURTHER: Final[dict[str, Callable[[bytes, int], bool]]] = {
    "pe": _is_pe,
    "bzip2": _is_bzip2,
    "audio": lambda head, size: not head.startswith(b"ID3") or _is_id3(head, size),
    "font": lambda head, size: not head.startswith(b"\0\x01") or _is_font(head, size),
    "cpio": _is_old_cpio,
    "trx": lambda head, _size: len(head) >= 28 and head[22:24] in (b"\x01\0", b"\x02\0", b"\0\x01", b"\0\x02"),
}


def _by_fields(head: bytes, size: int) -> str:
    """Formats known by the sense of their fields rather than by a long magic."""
    return next((kind for kind, test in _FIELDS if test(head, size)), "")


def _is_class(head: bytes, _size: int) -> bool:
    return head.startswith(b"\xca\xfe\xba\xbe") and 45 <= int.from_bytes(head[6:8], "big") <= 120


def _is_fat_mach_o(head: bytes, _size: int) -> bool:
    return head.startswith(b"\xca\xfe\xba\xbe") and 0 < int.from_bytes(head[4:8], "big") < 45


def _is_pyc(head: bytes, size: int) -> bool:
    """The magic number is a version (3000 to 3999 for Python 3; 20121 to 62219 before) and a carriage return and line
    feed; then, in Python 3.7 and later, flags below 4."""
    if head[2:4] != b"\r\n" or size < 16:
        return False
    number = int.from_bytes(head[:2], "little")
    return 3000 <= number < 4000 or 50428 <= number <= 62219 or number == 20121


def _is_swf(head: bytes, size: int) -> bool:
    return (
        head[:3] in (b"FWS", b"CWS", b"ZWS") and size > 8 and 0 < head[3] < 64 and head[7] < 16 and b"\0" in head[4:8]
    )


def _is_ico(head: bytes, size: int) -> bool:
    if head[:4] not in (b"\0\0\x01\0", b"\0\0\x02\0") or size < 22:
        return False
    count, length, offset = (int.from_bytes(head[a:b], "little") for a, b in ((4, 6), (14, 18), (18, 22)))
    return 0 < count < 256 and head[9] == 0 and offset >= 6 + 16 * count and offset + length <= size


def _is_bmp(head: bytes, size: int) -> bool:
    return head.startswith(b"BM") and head[6:10] == b"\0\0\0\0" and int.from_bytes(head[2:6], "little") <= size + 3


def _is_lzma(head: bytes, size: int) -> bool:
    """lc, lp and pb in one byte below 225; a dictionary of 2^n or 2^n + 2^(n-1) bytes; a size that is unknown or
    plausible; and the range coder's first byte, which is 0."""
    if size < 18 or head[0] >= 225 or head[13] != 0:
        return False
    dictionary, length = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    if dictionary < 4096 or dictionary.bit_count() > 2 or (length != 2**64 - 1 and not 0 < length < 1 << 36):
        return False
    return dictionary.bit_count() == 1 or dictionary & dictionary >> 1 != 0


def _is_der(head: bytes, size: int) -> bool:
    if head[0] != 0x30 or size < 8:
        return False
    if head[1] < 0x80:
        return head[1] + 2 == size and head[2] in (0x02, 0x06, 0x30)
    width = head[1] & 0x7F
    length = int.from_bytes(head[2 : 2 + width], "big")
    return 1 <= width <= 4 and 2 + width + length == size and head[2 + width] in (0x02, 0x06, 0x30)


def _is_openpgp(head: bytes, size: int) -> bool:
    """An old-format public or secret key packet (RFC 4880, section 4.2.1) of version 3 or 4 with an exact length."""
    if head[0] not in (0x99, 0x95) or size < 16 or head[3] not in (3, 4):
        return False
    length = int.from_bytes(head[1:3], "big")
    after = 3 + length
    return (
        length >= 32 and (after == size or (after < len(head) and head[after] & 0x80 != 0)) and head[8] in (1, 16, 17)
    )


def _is_terminfo(head: bytes, size: int) -> bool:
    if head[:2] not in (b"\x1a\x01", b"\x1e\x02") or size < 12:
        return False
    names, flags, numbers, offsets, table = (int.from_bytes(head[i : i + 2], "little") for i in range(2, 12, 2))
    width = 2 if head[0] == 0x1A else 4
    return 0 < names <= 4096 and 12 + names + flags + numbers * width + offsets * 2 + table <= size + 1


def _is_ext(head: bytes, size: int) -> bool:
    return size >= 2048 and head[1080:1082] == b"\x53\xef" and int.from_bytes(head[1048:1052], "little") < 7


_FIELDS: Final[tuple[tuple[str, Callable[[bytes, int], bool]], ...]] = (
    ("java-class", _is_class),
    ("mach-o", _is_fat_mach_o),
    ("pyc", _is_pyc),
    ("swf", _is_swf),
    ("ico", _is_ico),
    ("bmp", _is_bmp),
    ("lzma", _is_lzma),
    ("der", _is_der),
    ("openpgp", _is_openpgp),
    ("terminfo", _is_terminfo),
    ("ext", _is_ext),
)


def is_text(head: bytes) -> bool:
    """Whether these first bytes of a file read as text: no control characters that text has not, and either UTF-8
    or at most three bytes in ten above 0x7f; or UTF-16 with its mark."""
    if head.startswith(_BOMS):
        return _is_utf16(head)
    if head.translate(None, _TEXT_BYTES):
        return False
    if head.isascii():
        return True
    try:
        head.decode()
    except UnicodeDecodeError as problem:
        if problem.reason == "unexpected end of data" and problem.start >= len(head) - 3:
            return len(head) == HEAD or len(head) - len(head.translate(None, _HIGH)) <= len(head) * 0.3
        return len(head) - len(head.translate(None, _HIGH)) <= len(head) * 0.3
    return True


def _is_utf16(head: bytes) -> bool:
    raw = head[: len(head) & ~1]
    try:
        text = raw.decode("utf-16")
    except UnicodeDecodeError:
        return False
    return len(text) > 0 and sum(c.isprintable() or c in "\r\n\t" for c in text[:256]) >= 0.95 * len(text[:256])


def _text_kind(head: bytes, size: int) -> str:
    if head.startswith(_BOMS):
        return "text"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"#!"):
        return "script"
    if b"-----BEGIN " in head and _PEM.search(head):
        return "pem"
    if start.startswith(b"<"):
        return _markup_kind(start)
    if start[:1] in (b"{", b"[") and _JSON_START.match(start):
        return "json" if size > HEAD or _parses(start) else "text"
    return "text"


def _markup_kind(start: bytes) -> str:
    if start[:5].lower() == b"<?php" or start.startswith(b"<?="):
        return "php"
    if _HTML.search(start[:1024]):
        return "html"
    return "xml" if start.startswith((b"<?xml", b"<!--", b"<svg", b"<!DOCTYPE")) else "text"


def _parses(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
