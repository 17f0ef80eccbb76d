"""The ``ar`` form: Debian packages and static libraries.

Members, their names and (but for libraries where it decides nothing) their order are exact; times, owners and modes in
member headers are not read by ``dpkg`` nor by a linker. The symbol index of a library must name the same symbols in the
same members.

Sources: deb(5); System V ``ar`` as GNU binutils writes it (``bfd/archive.c``).
"""

from __future__ import annotations

import hashlib
import re
import struct
from typing import Final

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers import streams, tar
from banbury.compare.equivalence.containers._ar_order import check_index, check_order
from banbury.compare.equivalence.containers.contract import ANY_STREAM, EXACT, PACKAGE, Comparator, Free, Place, Work
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.tree import plain_name
from banbury.formats.view import View

MAGIC: Final = b"!<arch>\n"
_DEB: Final = re.compile(r"debian-binary, control\.tar(\.(gz|xz|zst))?, data\.tar(\.(gz|xz|zst|bz2|lzma))?")
_STREAMS: Final = {"": "", ".gz": "gzip", ".xz": "xz", ".zst": "zstd", ".bz2": "bzip2", ".lzma": "lzma"}
_HEAD: Final = re.compile(
    rb"(.{16})([0-9]{1,12} *)([0-9]{1,6} *)([0-9]{1,6} *)([0-7]{1,8} *)([0-9]{1,10} *)`\n", re.DOTALL
)
#: GNU ar leaves everything but the size of its table of long names blank.
_TABLE: Final = re.compile(rb"(// {14})( {12})( {6})( {6})( {8})([0-9]{1,10} *)`\n")
_LARGEST: Final = 256 << 20  # bytes of a package's unpacked data that are hashed to check its md5sums


class Part(Struct, kw_only=True):
    """One member: its header's and content's place in the archive."""

    name: bytes
    at: int
    start: int
    size: int
    free: dict[str, Free]


def read_parts(view: View) -> list[Part]:
    """Every member to the archive's last byte. Raises ``Refused`` where the grammar is broken."""
    out: list[Part] = []
    at = len(MAGIC)
    if not view.startswith(MAGIC):
        raise Refused("archive", "no ar archive")
    while at < len(view):
        raw = view.take(at, 60)
        found = _HEAD.fullmatch(raw) or _TABLE.fullmatch(raw)
        if (
            not found
            or b"%d" % int(found[6]) != found[6].rstrip(b" ")
            or [len(g) for g in found.groups()] != [16, 12, 6, 6, 8, 10]
        ):
            raise Refused(f"header at {at}", "no member header", [Range(at, at + 60)])
        size = int(found[6])
        name = found[1].rstrip(b" ")
        view.mem(at + 60, size)
        end = at + 60 + size
        if size % 2:
            if view.take(end, 1) != b"\n":
                raise Refused(f"{name!r}", "padding that is no new line", [Range(end, end + 1)])
            end += 1
        free = {
            field: Free(f"ar.{field}", found[2 + n], Range(at + start, at + stop))
            for n, (field, start, stop) in enumerate(
                (("mtime", 16, 28), ("owner", 28, 34), ("group", 34, 40), ("mode", 40, 48))
            )
        }
        out.append(Part(name=name, at=at, start=at + 60, size=size, free=free))
        at = end
    return out


def _compare(work: Work) -> None:
    ours, theirs = read_parts(work.a), read_parts(work.b)
    if b"/" in {p.name for p in (*ours, *theirs)} or not _is_deb(ours):
        if any(p.name.startswith((b"debian-binary", b"control.tar", b"data.tar")) for p in (*ours, *theirs)):
            raise Refused(
                "members",
                "of a package, with other names or in another order than dpkg-deb writes them (GNU ar adds a /)",
            )
        _library(work, ours, theirs)
        return
    if not _is_deb(theirs):
        raise Refused("members", b", ".join(p.name for p in theirs).decode("latin-1", "backslashreplace"))
    for (view, _), parts in zip(work.sides, (ours, theirs), strict=True):
        if view.take(parts[0].start, parts[0].size) != b"2.0\n":
            raise Refused("debian-binary", "no package of version 2.0")
        for part in parts[1:]:
            _check_stream(view, part)
    hints = [EXACT, *(["md5sums"] if _sums_follow(work, ours, theirs) else [])]
    for one, other in zip(ours, theirs, strict=True):
        work.free(one.free, other.free)
        own = hints if one.name.startswith(b"control.tar") else []
        if one.name != other.name:
            names = f"{one.name.decode()} against {other.name.decode()}"
            spans = [[Range(p.at, p.at + 16)] for p in (one, other)]
            work.account.explain("deb.compression", spans[0], spans[1], names)
        places = _place(work.place_a, one), _place(work.place_b, other)
        work.member(other.name, *places, hints=[*own, ANY_STREAM, PACKAGE])


def _check_stream(view: View, part: Part) -> None:
    """dpkg unpacks a member by the end of its name, not by how it begins (deb(5))."""
    _, _, ending = part.name.decode().partition(".tar")
    magic = next((f.magic for f in streams._FORMATS if f.name == _STREAMS[ending]), b"")
    other = [f.name for f in streams._FORMATS if view.startswith(f.magic, part.start)] if not ending else []
    if other or not view.startswith(magic, part.start) or (not ending and view.take(part.start + 257, 5) != b"ustar"):
        raise Refused(part.name.decode(), "its name states another compression than it has")


def _place(whole: Place, part: Part) -> Place:
    return Place(whole.start + part.start, part.size)


def _is_deb(parts: list[Part]) -> bool:
    return bool(_DEB.fullmatch(", ".join(p.name.decode("latin-1") for p in parts)))


def _sums_follow(work: Work, ours: list[Part], theirs: list[Part]) -> bool:
    """Whether the packages' lists of MD5 sums differ and each is exactly right for its own files."""
    listed = [_file(view, parts[1], b"md5sums") for (view, _), parts in zip(work.sides, (ours, theirs), strict=True)]
    if None in listed or listed[0] == listed[1]:
        return False
    for (view, _), parts, raw in zip(work.sides, (ours, theirs), listed, strict=True):
        content = _opened(view, parts[2])
        tree, _, _ = tar.read_tree(content, 0)
        lines = [
            _md5(content.mem(n.place.start, n.place.length)) + b"  " + plain_name(n.name) + b"\n"
            for n in tree.nodes.values()
            if n.place is not None
        ]  # fmt: skip
        assert raw is not None
        if not raw.endswith(b"\n") or not set(raw.splitlines(keepends=True)) <= set(lines):
            return False
    one, other = ([line[34:] for line in (raw or b"").splitlines()] for raw in listed)
    return one == other


def _md5(content: memoryview) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).hexdigest().encode()


def _opened(view: View, part: Part) -> View:
    stored = view.sub(part.start, part.size)
    pieces = streams.open_stream(stored)
    if pieces is None:
        return stored
    out = bytearray()
    for piece in pieces:
        out += piece
        if len(out) > _LARGEST:
            raise Refused(part.name.decode("latin-1"), f"more than {_LARGEST >> 20} MiB")
    return View(bytes(out))


def _file(view: View, part: Part, name: bytes) -> bytes | None:
    content = _opened(view, part)
    tree, _, _ = tar.read_tree(content, 0)
    for node in tree.nodes.values():
        if plain_name(node.name) == name and node.place is not None:
            return content.take(node.place.start, node.place.length)
    return None


# Static libraries


def _library(work: Work, ours: list[Part], theirs: list[Part]) -> None:
    names_a, names_b = _names(work.a, ours), _names(work.b, theirs)
    if (names_a[:1] == [b"/"]) != (names_b[:1] == [b"/"]):
        (ours, names_a), (theirs, names_b) = _one_index(work, (ours, names_a), (theirs, names_b))
        if names_a != names_b:
            raise Refused("members", "an index on one side alone, and other names or another order")
    elif names_a != names_b:
        _another_order(work, (ours, names_a), (theirs, names_b))
        return
    elif _index(work.a, ours) != _index(work.b, theirs):
        raise Refused("symbol index", "names other symbols, or the same in other members")
    for one, other, name in zip(ours, theirs, names_a, strict=True):
        work.free(one.free, other.free)
        if name == b"/":
            if not work.same(_place(work.place_a, one), _place(work.place_b, other)):
                work.account.explain(
                    "ar.index", [Range(one.start, one.start + one.size)], [Range(other.start, other.start + other.size)]
                )
        elif name != b"//":
            work.member(name, _place(work.place_a, one), _place(work.place_b, other))


def _one_index(
    work: Work, ours: tuple[list[Part], list[bytes]], theirs: tuple[list[Part], list[bytes]]
) -> tuple[tuple[list[Part], list[bytes]], tuple[list[Part], list[bytes]]]:
    """Check the index that only one library has, and take it out of that one's members."""
    spans, left = list[list[Range]](), []
    for (view, _), (parts, names) in zip(work.sides, (ours, theirs), strict=True):
        listed = names[:1] == [b"/"]
        if listed:
            rows = [n for n, name in enumerate(names) if name not in (b"/", b"//")]
            members = [(names[n], View(view.take(parts[n].start, parts[n].size))) for n in rows]
            check_index(members, _index(view, parts) or [], rows[0] if rows else 0)
        spans.append([Range(parts[0].at, parts[0].start + parts[0].size)] if listed else [])
        left.append((parts[listed:], names[listed:]))
    work.account.explain("ar.index-missing", spans[0], spans[1])
    return left[0], left[1]


def _another_order(work: Work, ours: tuple[list[Part], list[bytes]], theirs: tuple[list[Part], list[bytes]]) -> None:
    """The same members in another order, which decides nothing: see :mod:`_ar_order`."""
    if sorted(ours[1]) != sorted(theirs[1]) or len(set(ours[1])) != len(ours[1]):
        raise Refused("members", "their names differ, or one stands twice: a linker takes the first definition")
    found = []
    for (view, _), (parts, names) in zip(work.sides, (ours, theirs), strict=True):
        listed = _index(view, parts)
        index = None if listed is None else [(symbol, names[number]) for symbol, number in listed]
        members = [
            (name, View(view.take(p.start, p.size)))
            for p, name in zip(parts, names, strict=True)
            if name not in (b"/", b"//")
        ]
        check_order(members, index)
        found.append(dict(zip(names, parts, strict=True)))
    here, there = ([Range(p.at, p.start + p.size) for p in parts] for parts, _ in (ours, theirs))
    work.account.explain("ar.order", here, there)
    for name, one in found[0].items():
        other = found[1][name]
        work.free(one.free, other.free)
        if name not in (b"/", b"//"):
            work.member(name, _place(work.place_a, one), _place(work.place_b, other))


def _names(view: View, parts: list[Part]) -> list[bytes]:
    """The members' names, long ones looked up; the table of long names is compared as ``//`` with its content."""
    table = b""
    out = []
    for number, part in enumerate(parts):
        if part.name == b"//":
            table = view.take(part.start, part.size)
            out.append(b"//")
        elif part.name == b"/" and number == 0:
            out.append(b"/")
        elif re.fullmatch(rb"/[0-9]{1,9}", part.name):
            start = int(part.name[1:])
            stop = table.find(b"/\n", start)
            if stop < 0 or (start and table[start - 1 : start] != b"\n"):
                raise Refused("names", "a long name that is not in the table")
            out.append(table[start:stop])
        elif part.name.endswith(b"/") and b"/" not in part.name[:-1] and len(part.name) > 1:
            out.append(part.name[:-1])
        else:
            raise Refused(f"header at {part.at}", f"a name in a form that is not decided: {part.name!r}")
    if table.rstrip(b"\n") != b"\n".join(
        n + b"/" for n, p in zip(out, parts, strict=True) if p.name[:1] == b"/" and p.name[1:].isdigit()
    ):
        raise Refused("names", "the table of long names holds more, or another order, than is used")
    return out


def _index(view: View, parts: list[Part]) -> list[tuple[bytes, int]] | None:
    """Pairs of symbol and number of the member that the index finds it in; ``None`` where there is no index."""
    if not parts or parts[0].name != b"/":
        return None
    part = parts[0]
    raw = view.take(part.start, part.size)
    if len(raw) < 4:
        raise Refused("symbol index", "too short")
    (count,) = struct.unpack_from(">I", raw)
    if 4 + 4 * count > len(raw):
        raise Refused("symbol index", "more symbols than it has room for")
    offsets = struct.unpack_from(f">{count}I", raw, 4)
    text = raw[4 + 4 * count :]
    names = text.split(b"\0")[:count]
    left = text[sum(len(n) + 1 for n in names) :]
    if len(names) != count or left.strip(b"\0") or len(left) > 3:
        raise Refused("symbol index", "its names do not fill it")
    places = {p.at: number for number, p in enumerate(parts)}
    if not set(offsets) <= set(places):
        raise Refused("symbol index", "a symbol in no member")
    return [(name, places[at]) for name, at in zip(names, offsets, strict=True)]


COMPARATORS: Final = [Comparator(name="ar", claims=lambda v: v.startswith(MAGIC), compare=_compare)]
