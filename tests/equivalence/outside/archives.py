"""Archives, packages and streams as Python's library, rpm, BusyBox, 7-Zip and libarchive read them."""

from __future__ import annotations

import io
import re
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path

from tests.equivalence.outside import libarchive
from tests.equivalence.outside.rows import RejectedError, Row, Rows, digest, once, rejecting
from tests.equivalence.outside.systems import run

_TAR = {
    tarfile.REGTYPE: "file", tarfile.LNKTYPE: "hard link", tarfile.SYMTYPE: "symbolic link",
    tarfile.CHRTYPE: "character device", tarfile.BLKTYPE: "block device", tarfile.DIRTYPE: "directory",
    tarfile.FIFOTYPE: "fifo",
}  # fmt: skip


def plain(name: bytes) -> bytes:
    return b"/".join(p for p in name.split(b"/") if p not in (b"", b"."))


def tar(data: bytes) -> Rows:
    return libarchive.read(data, "tar")


def tar_python(data: bytes) -> Rows:
    """Python's tarfile; nothing is extracted."""
    rows: Rows = {}
    with rejecting("tarfile"), tarfile.open(fileobj=io.BytesIO(data), mode="r:", errors="surrogateescape") as archive:
        for info in archive:
            name = plain(info.name.encode("utf-8", "surrogateescape"))
            once(rows, name)
            rows[name] = _tar_row(archive, info)
    return rows


def _tar_row(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Row:
    kind = _TAR.get(info.type, "unknown")
    user, group = (text.encode("utf-8", "surrogateescape") for text in (info.uname, info.gname))
    row: Row = {
        "kind": kind,
        "mode": info.mode & 0o7777,
        "uid": info.uid,
        "gid": info.gid,
        "user": user,
        "group": group,
    }
    if kind == "file":
        file = archive.extractfile(info)
        body = file.read() if file else b""
        if len(body) != info.size:
            raise RejectedError("tarfile: less content than there should be")
        row["content"] = digest(body)
    elif kind.endswith("link"):
        row["link"] = info.linkname.encode("utf-8", "surrogateescape")
    elif kind.endswith("device"):
        row["device"] = f"{info.devmajor}:{info.devminor}"
    return row


def tar_busybox(data: bytes) -> Rows:
    """BusyBox's tar, which passes over extended headers that it does not know: its listing, and all content in one."""
    lines = [
        re.sub(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", b"", line)
        for line in run("busybox", "tar", "-tvf", "-", text=data).splitlines()
    ]
    body = digest(run("busybox", "tar", "-xOf", "-", text=data))
    return _listed(lines) | {b"content": {digest(b"\n".join(lines)): body}}


def _listed(lines: list[bytes]) -> Rows:
    return {b"line %d" % number: {"listed": line} for number, line in enumerate(sorted(lines))}


def cpio(data: bytes) -> Rows:
    return libarchive.read(data, "cpio")


def cpio_gnu(data: bytes) -> Rows:
    """GNU cpio's listing, without its times, in its order."""
    listed = run("cpio", "-itv", "--quiet", "--numeric-uid-gid", text=data)
    lines = [re.sub(rb"[A-Z][a-z]{2} +\d+ +[\d:]{4,5} ", b"", line) for line in listed.splitlines()]
    lines = [re.sub(rb"^(d\S+) +\d+", rb"\1", line) for line in lines]  # links of a directory
    return _listed(lines)


def ar(data: bytes) -> Rows:
    return {n: {"content": r["content"]} for n, r in libarchive.read(data, "ar").items() if n}


def zip_seekable(data: bytes) -> Rows:
    return _unix(libarchive.read(data, "zip_seekable"))


def zip_streamable(data: bytes) -> Rows:
    """The same archive read from its beginning, by local headers. It knows no mode then."""
    return {n: {"content": r.get("content")} for n, r in libarchive.read(data, "zip_streamable").items()}


def _unix(rows: Rows) -> Rows:
    """Types of Unix stand in the external attributes, which our reader keeps as they are."""
    for row in rows.values():
        row["type"] = row.pop("kind")
    return rows


def zip_python(data: bytes) -> Rows:
    rows: Rows = {}
    with rejecting("zipfile"), warnings.catch_warnings(), zipfile.ZipFile(io.BytesIO(data)) as archive:
        warnings.simplefilter("error")
        for info in archive.infolist():
            name = plain(info.filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437"))
            once(rows, name)
            row: Row = {"external": info.external_attr, "kind": "directory" if info.is_dir() else "file"}
            if not info.is_dir():
                row["content"] = digest(archive.read(info))
            rows[name] = row
    return rows


# --- rpm -------------------------------------------------------------------------------------------------------------

_QUERY = (
    r"[%{FILENAMES}\t%{FILEMODES:octal}\t%{FILEUSERNAME}\t%{FILEGROUPNAME}\t%{FILELINKTOS}\t%{FILERDEVS}\t"
    r"%{FILEFLAGS}\t%{FILEDIGESTS}\n]"
)
#: Tags that may differ under a published rule, or follow from what may (docs/equivalence.md, rpm).
_FREE = {
    "Buildtime", "Buildhost", "Cookie", "Filemtimes", "Fileinodes", "Filedevices", "Sha1header", "Sha256header",
    "Sigmd5", "Payloaddigest", "Payloaddigestalt", "Payloadcompressor", "Payloadflags", "Sigsize", "Archivesize",
    "Rsaheader", "Sigpgp", "Dsaheader", "Headersignatures", "Headerimmutable", "Filedigests", "Size", "Longsize",
    "Filesizes", "Longfilesizes", "Siggpg", "Longsigsize", "Longarchivesize", "Headerregions", "Openpgp",
}  # fmt: skip


def rpm(data: bytes) -> Rows:
    """rpm's own words on a package (digests checked), and its payload by rpm2cpio and libarchive."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "package.rpm"
        package.write_bytes(data)
        run("rpm", "-K", "--nosignature", package)
        listed = run("rpm", "-qp", "--nosignature", "--qf", _QUERY, package)
        told = run("rpm", "-qp", "--nosignature", "--xml", package)
        payload = run("rpm2cpio", package, ok=(0, 1))  # 1: the header does not state the payload's size
    rows = libarchive.read(payload, "cpio") if payload else {}
    for row in rows.values():
        row.pop("user")
        row.pop("group")
    for line in listed.splitlines():
        path, mode, user, group, link, device, flags, _ = line.split(b"\t")
        if path == b"(none)":
            continue
        row = rows.setdefault(plain(path), {"kind": "ghost"})
        row |= {"user": user, "group": group, "header": (mode, link, device, flags)}
    tags = dict(re.findall(rb'<rpmTag name="(\w+)">(.*?)</rpmTag>', told, re.DOTALL))
    rows[b"<header>"] = {n.decode(): v for n, v in tags.items() if n.decode() not in _FREE}
    return rows


# --- streams ---------------------------------------------------------------------------------------------------------


def stream(form: str, data: bytes) -> Rows:
    """libarchive's reading of a compressed file: its own headers for gzip, lz4; the libraries' for the rest."""
    rows = libarchive.read(data, "raw", form)
    (row,) = rows.values()
    return {b"content": {"content": row.get("content", digest(b""))}}


_TOOLS = {
    "gzip": ("busybox", "gunzip", "-c"), "bzip2": ("busybox", "bunzip2", "-c"), "xz": ("busybox", "unxz", "-c"),
    "lzma": ("busybox", "unlzma", "-c"), "zstd": ("7zz", "e", "-tzstd", "-so", "-si"), "lz4": ("lz4", "-dc"),
    "lzop": ("lzop", "-dc"),
}  # fmt: skip


def stream_tool(form: str, data: bytes) -> Rows:
    """Decoders of their own: BusyBox's, and 7-Zip's for zstd."""
    return {b"content": {"content": digest(run(*_TOOLS[form], text=data))}}
