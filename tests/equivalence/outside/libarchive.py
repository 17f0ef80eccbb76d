"""libarchive, by its C interface, in this process: tar, cpio, ar, zip (by directory and as a stream) and rpm's payload.

Source: libarchive's manual pages archive_read(3), archive_entry(3). BSD licence.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import locale
from functools import cache
from typing import Any

from tests.equivalence.outside.rows import KINDS, RejectedError, Row, Rows, digest, grouped

_EOF, _OK, _WARN = 1, 0, -20
_TEXTS = ("pathname", "hardlink", "symlink", "uname", "gname")
_NUMBERS = ("filetype", "perm", "uid", "gid", "rdevmajor", "rdevminor", "size", "mtime", "nlink")


@cache
def library() -> Any:
    """The library, or ``None``."""
    try:
        found = ctypes.CDLL(ctypes.util.find_library("archive") or "libarchive.so.13")
    except OSError:
        return None
    locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    found.archive_read_new.restype = ctypes.c_void_p
    found.archive_error_string.restype = ctypes.c_char_p
    found.archive_read_data.restype = ctypes.c_ssize_t
    for name in _TEXTS:
        getattr(found, f"archive_entry_{name}").restype = ctypes.c_char_p
    for name in _NUMBERS:
        getattr(found, f"archive_entry_{name}").restype = ctypes.c_int64
    for name in ("filetype", "perm", "nlink"):
        getattr(found, f"archive_entry_{name}").restype = ctypes.c_uint
    return found


def read(data: bytes, form: str, *filters: str, strict: bool = True) -> Rows:
    """The members of an archive of one form (``tar``, ``cpio``, ``ar``, ``zip_seekable``, ``zip_streamable``). Raises
    ``RejectedError`` for errors and (``strict``) warnings, and where a name occurs twice."""
    lib = library()
    archive = ctypes.c_void_p(lib.archive_read_new())
    try:
        for name in filters:
            getattr(lib, f"archive_read_support_filter_{name}")(archive)
        getattr(lib, f"archive_read_support_format_{form}")(archive)
        data = bytes(data)
        kept = ctypes.create_string_buffer(data, len(data))
        _check(lib, archive, lib.archive_read_open_memory(archive, kept, ctypes.c_size_t(len(data))))
        return _members(lib, archive, strict, form)
    finally:
        lib.archive_read_free(archive)


def _check(lib: Any, archive: Any, status: int, worst: int = _OK) -> None:
    if status < worst:
        raise RejectedError(str(lib.archive_error_string(archive)))


def _members(lib: Any, archive: Any, strict: bool, form: str) -> Rows:
    rows: Rows = {}
    links: dict[bytes, bytes] = {}
    while True:
        entry = ctypes.c_void_p()
        status = lib.archive_read_next_header(archive, ctypes.byref(entry))
        if status == _EOF:
            break
        _check(lib, archive, status, _OK if strict else _WARN)
        name, row, link = _row(lib, archive, entry, form)
        if name in rows:
            raise RejectedError(f"{name!r} twice")
        rows[name] = row
        if link is not None:
            links[name] = link
    groups: dict[bytes, set[bytes]] = {}
    for name, target in links.items():
        groups.setdefault(target, {target}).add(name)
        if target in rows and form == "cpio":  # the last one has the content
            held = [rows[n] for n in groups[target] if rows[n].get("size")]
            for n in groups[target]:
                rows[n]["content"] = held[-1]["content"] if held else digest(b"")
    for row in rows.values():
        row.pop("size", None)
    if form == "cpio":
        return grouped(rows, groups.values())
    return rows


def _row(lib: Any, archive: Any, entry: Any, form: str) -> tuple[bytes, Row, bytes | None]:
    number = {n: int(getattr(lib, f"archive_entry_{n}")(entry)) for n in _NUMBERS}
    text = {n: getattr(lib, f"archive_entry_{n}")(entry) for n in _TEXTS}
    if text["pathname"] is None:
        raise RejectedError("a name that cannot be told")
    pieces = []
    room = ctypes.create_string_buffer(1 << 16)
    while (size := lib.archive_read_data(archive, room, ctypes.c_size_t(1 << 16))) > 0:
        pieces.append(room.raw[:size])
    if size < 0:
        raise RejectedError(str(lib.archive_error_string(archive)))
    body = b"".join(pieces)
    linked = text["hardlink"] is not None
    kind = (
        "file"
        if linked and form == "cpio"
        else "hard link"
        if linked
        else KINDS.get(number["filetype"] >> 9, "unknown")
    )
    row: Row = {
        "kind": kind,
        "mode": number["perm"] & 0o7777,
        "uid": number["uid"],
        "gid": number["gid"],
        "size": len(body),
    }
    row |= {"user": text["uname"] or b"", "group": text["gname"] or b"", "xattrs": _attributes(lib, entry)}
    if kind == "file" or body:
        row["content"] = digest(body)
    if kind == "symbolic link":
        row["link"] = text["symlink"] or b""
    if linked and form != "cpio":
        row["link"] = text["hardlink"]
    if kind.endswith("device"):
        row["device"] = f"{number['rdevmajor']}:{number['rdevminor']}"
    return _plain(text["pathname"]), row, _plain(text["hardlink"]) if linked else None


def _attributes(lib: Any, entry: Any) -> dict[str, bytes]:
    out = {}
    name, value, size = ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_size_t()
    lib.archive_entry_xattr_reset(entry)
    while lib.archive_entry_xattr_next(entry, ctypes.byref(name), ctypes.byref(value), ctypes.byref(size)) == _OK:
        key = (name.value or b"").replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")  # as ours
        out[key] = ctypes.string_at(value, size.value)
    return out


def _plain(name: bytes) -> bytes:
    return b"/".join(p for p in name.split(b"/") if p not in (b"", b"."))
