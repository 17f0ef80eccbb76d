"""Kernels, boot loaders and vendors' headers, as file(1), binwalk and unblob read them, and as the scripts of the Linux
sources do (scripts/extract-vmlinux, scripts/extract-ikconfig: a search for streams and marks; written anew here)."""

from __future__ import annotations

import bz2
import io
import lzma
import re
import tempfile
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import lz4.frame
import zstandard

from tests.equivalence.outside import libarchive
from tests.equivalence.outside.rows import RejectedError, Row, Rows, digest, rejecting
from tests.equivalence.outside.systems import run

# --- Kernels and boot loaders -----------------------------------------------------------------------------------------

_TEXT = re.compile(rb"[\t\n\r -~]{6,}\0*")
#: What a banner, and the words that are made of it, are known by.
_BANNER = re.compile(rb"Linux version |^#\d+ |U-Boot (?:SPL )?20|^U-Boot ")
_GZIP = re.compile(rb"\x1f\x8b\x08[\0\x08]")
_BUILD_ID = re.compile(rb"\x04\0\0\0[\x10\x14]\0\0\0\x03\0\0\0GNU\0", re.DOTALL)
_CPIO = b"07070"


def kernel(data: bytes) -> Rows:
    """What of a kernel is code or data: all but texts, compressed streams and the build-id; its texts but the banner;
    the configuration; the files of a compressed initramfs."""
    rows: Rows = {}
    rest = bytearray(data)
    for found in list(_BUILD_ID.finditer(data)):
        rest[found.end() : found.end() + data[found.start() + 4]] = bytes(data[found.start() + 4])
    for number, (start, end, plain) in enumerate(_streams(data)):
        rest[start:end] = bytes(end - start)
        name = b"config" if data[start - 8 : start] == b"IKCFG_ST" else b"initramfs"
        rows[name if name not in rows else b"stream %d" % number] = {"content": _files(plain)}
    texts: list[bytes] = []

    def apart(found: re.Match[bytes]) -> bytes:
        texts.append(found[0].rstrip(b"\0"))
        return b"\1"

    # zeros may make room for a text or a stream of another length
    left = re.sub(rb"\0+", b"\0", _TEXT.sub(apart, bytes(rest)))
    rows[b"<code and data>"] = {"told": digest(left)}
    kept = [text for text in texts if not _BANNER.search(text)]
    rows[b"<texts>"] = {"told": digest(b"\0".join(kept)), "how many": len(texts)}
    rows[b"<header>"] = {"told": _told(data)}
    return rows


def _streams(data: bytes) -> list[tuple[int, int, bytes]]:
    """gzip streams that are whole: where they stand, and what they hold."""
    out: list[tuple[int, int, bytes]] = []
    for found in _GZIP.finditer(data):
        if out and found.start() < out[-1][1]:
            continue
        reader = zlib.decompressobj(31)
        try:
            plain = reader.decompress(data[found.start() :], 1 << 26)
        except zlib.error:
            continue
        if reader.eof:
            out.append((found.start(), len(data) - len(reader.unused_data), plain))
    return out


def _files(plain: bytes) -> object:
    """What a stream of a kernel is: the files of a cpio archive without times and numbers, or its bytes."""
    if not plain.startswith(_CPIO) or libarchive.library() is None:
        return digest(plain)
    from tests.equivalence.outside import archives

    rows = archives.cpio(plain)
    return digest(repr(sorted((n, sorted(map(repr, row.items()))) for n, row in rows.items())).encode())


def _told(data: bytes) -> bytes:
    """file(1), without the banner and what follows from sizes."""
    told = run("file", "-b", "-", text=data).strip()
    told = re.sub(rb"version .*?, (?=R[OW]-rootFS)", b"", told)
    return re.sub(rb"(?i)last modified: [^,]*,|original size.*|from .*", b"", told)


_UNPACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b\x08": lambda data: zlib.decompressobj(31).decompress(data),
    b"\xfd7zXZ\0": lambda data: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data),
    b"BZh": lambda data: bz2.BZ2Decompressor().decompress(data),
    b"\x5d\0\0": lambda data: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(data),
    b"\x28\xb5\x2f\xfd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    b"\x04\x22\x4d\x18": lambda data: lz4.frame.LZ4FrameDecompressor().decompress(data),
}
_LEAST = 4096


def packed(data: bytes) -> Rows:
    """A compressed kernel: the first stream that unpacks to something of size, and what file(1) says of the rest."""
    rows: Rows = {b"<header>": {"told": _told(data)}}
    places = sorted((m.start(), magic) for magic in _UNPACKERS for m in re.finditer(re.escape(magic), data))
    for start, magic in places:
        try:
            plain = _UNPACKERS[magic](data[start:])
        except (zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError, zstandard.ZstdError):
            continue
        if len(plain) >= _LEAST:
            rows[b"<decompressor>"] = {"told": digest(data[512:start])}
            rows[b"vmlinux"] = {"data": digest(plain)}
            return rows
    raise RejectedError("no stream in it unpacks")


# --- Vendors' headers -------------------------------------------------------------------------------------------------

_LINE = re.compile(rb"(?m)^(\d+) +0x[0-9A-F]+ +(.*)$")
_HEADERS = re.compile(rb"(?i)\bheader\b|bootimg")
#: What follows from the parts, in binwalk's words.
_FOLLOWS = re.compile(
    rb"(?i)(?:image size|data size|kernel size|~?crc32|cumulative ~crc32|created|[a-z ]+ offset): [^,]+"
)
_SIZE = re.compile(rb"(?:data|kernel) size: (\d+)")


def binwalk(data: bytes) -> Rows:
    """Every header that binwalk finds, and the data of a part whose size it tells."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "image"
        path.write_bytes(data)
        found = _LINE.findall(run("binwalk", path))
    rows: Rows = {}
    for place, told in found:
        if _HEADERS.search(told):
            row: Row = {"told": _FOLLOWS.sub(b"", told)}
            size = _SIZE.search(told)
            if size:
                page = 2048 if b"bootimg" in told else 56  # Ubiquiti's header of a part
                start = int(place) + page
                row["content"] = digest(data[start : start + int(size[1])])
            rows[b"<header %d>" % len(rows)] = row
    if not rows:
        raise RejectedError("binwalk finds no header")
    return {**rows, **_parts(rows)}


def _parts(rows: Rows) -> Rows:
    """Parts by the names that ours have."""
    out: Rows = {}
    for row in rows.values():
        if "content" in row:
            name = b"kernel" if b"bootimg" in bytes(row["told"]) else b"part%d" % len(out)  # type: ignore[call-overload]
            out[name] = {"content": row.pop("content")}
    return out


def chk(data: bytes) -> Rows:
    """unblob's reader of Netgear's CHK: the kernel and the root file system by the sizes in the header."""
    return _unblob("unblob.handlers.archive.netgear.chk", "NetgearCHKHandler", data)


def trx2(data: bytes) -> Rows:
    """unblob's reader of TRX, either version."""
    name = "NetgearTRXv2Handler" if data[14:15] == b"\2" else "NetgearTRXv1Handler"
    return _unblob("unblob.handlers.archive.netgear.trx", name, data)


def _unblob(module: str, name: str, data: bytes) -> Rows:
    file_utils: Any = import_module("unblob.file_utils")
    handler: Any = getattr(import_module(module), name)()
    with tempfile.TemporaryDirectory() as place, rejecting("unblob"), mock.patch.object(file_utils, "logger"):
        folder = Path(place)
        chunk = handler.calculate_chunk(file_utils.File.from_bytes(data), 0)
        if chunk is None or chunk.end_offset != len(data):
            raise RejectedError("unblob: not the whole")
        (folder / "image").write_bytes(data)
        (folder / "out").mkdir()
        handler.EXTRACTOR.extract(folder / "image", folder / "out")
        return {p.name.encode(): {"content": digest(p.read_bytes())} for p in sorted((folder / "out").iterdir())}


_TPLINK = re.compile(rb"at 0x([0-9a-f]+) (\d+) bytes")


def tplink(data: bytes) -> Rows:
    """file(1)'s reading of TP-Link's header: hardware, and where the kernel stands."""
    told = run("file", "-b", "-", text=data).strip()
    found = _TPLINK.search(told)
    if not told.startswith(b"firmware ") or found is None:
        raise RejectedError("file does not know it")
    start, size = int(found[1], 16), int(found[2])
    return {
        b"<header>": {"told": told.split(b" ")[1:3]},
        b"kernel": {"content": digest(data[start : start + size])},
    }


def android(data: bytes) -> Rows:
    """file(1)'s reading of an Android boot image: addresses, page size, command line."""
    told = run("file", "-b", "-", text=data).strip()
    if not told.startswith(b"Android bootimg"):
        raise RejectedError("file does not know it")
    return {b"<header>": {"told": told}}


# --- Relocatable files and kernel modules -----------------------------------------------------------------------------

_FREE = re.compile(
    r"\.debug|\.zdebug|\.stab|\.comment|\.note\.gnu\.build-id|\.modinfo|\.symtab|\.strtab|\.shstrtab|\.rel"
)
_FREE_INFO = (b"version=", b"description=", b"author=", b"parm=", b"srcversion=")
_ALLOC, _STRINGS = 0x2, 0x20


def objects(data: bytes) -> Rows:
    """pyelftools' reading of a relocatable file: each section that is loaded, with its relocations by the names of what
    they refer to; .modinfo without what a record may declare; the names that it has for others."""
    elffile: Any = import_module("elftools.elf.elffile")
    with rejecting("pyelftools"):
        elf = elffile.ELFFile(io.BytesIO(data))
        if elf.header["e_type"] != "ET_REL":
            raise RejectedError("no relocatable file")
        rows: Rows = {b"<header>": {"told": (elf.get_machine_arch(), elf.header["e_flags"], elf.little_endian)}}
        sections = list(elf.iter_sections())
        shown: dict[str, int] = {}
        for section in sections:
            if section["sh_flags"] & _ALLOC and not _FREE.match(section.name):
                number = shown[section.name] = shown.get(section.name, -1) + 1
                strings = bool(section["sh_flags"] & _STRINGS)
                body = b"" if section["sh_type"] == "SHT_NOBITS" or strings else section.data()
                row: Row = {"told": (section["sh_type"], section["sh_flags"], section["sh_addralign"])}
                row["bytes"] = digest(body)
                rows[f"{section.name}#{number}".encode()] = row
            if section.name == ".modinfo":
                kept = sorted(v for v in section.data().split(b"\0") if v and not v.startswith(_FREE_INFO))
                rows[b".modinfo"] = {"told": kept}
        _relocations(sections, rows)
        table = elf.get_section_by_name(".symtab")
        names = [s for s in table.iter_symbols() if s["st_info"]["bind"] != "STB_LOCAL"] if table else []
        rows[b"<names>"] = {
            "told": sorted(
                (s.name, s["st_info"]["bind"], s["st_info"]["type"], s["st_size"], _where(sections, s)) for s in names
            )
        }
        return rows


def _relocations(sections: list[Any], rows: Rows) -> None:
    for section in sections:
        if section["sh_type"] not in ("SHT_REL", "SHT_RELA"):
            continue
        target = sections[section["sh_info"]]
        name = f"{target.name}#0".encode()
        if name not in rows:
            continue
        symbols = sections[section["sh_link"]]
        told = []
        for one in section.iter_relocations():
            symbol = symbols.get_symbol(one["r_info_sym"])
            to = _where(sections, symbol)
            # into strings that are merged, a place is known by its text alone: that is for ours to say
            merged = isinstance(to, tuple) and _merged(sections, symbol)
            place = (
                symbol.name
                if to is None
                else to[0]
                if merged
                else (to[0], to[1] + (one["r_addend"] if section.is_RELA() else 0))
            )
            told.append((one["r_offset"], one["r_info_type"], place))
        rows[name]["relocations"] = digest(repr(sorted(map(repr, told))).encode())


def _where(sections: list[Any], symbol: Any) -> tuple[str, int] | None:
    index = symbol["st_shndx"]
    return (sections[index].name, symbol["st_value"]) if isinstance(index, int) and index < len(sections) else None


def _merged(sections: list[Any], symbol: Any) -> bool:
    """Whether a symbol stands in a section of strings."""
    return bool(sections[symbol["st_shndx"]]["sh_flags"] & _STRINGS)
