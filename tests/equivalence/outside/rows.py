"""What a reader sees of a container: a row of fields for each member, by path."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from msgspec import Struct

from banbury.compare.equivalence.containers import (
    cpio,
    cramfs,
    ext,
    jffs2,
    romfs,
    rpm,
    squashfs,
    tar,
    ubi,
    ubifs,
    zip,
)
from banbury.compare.equivalence.containers.contract import Place, Work
from banbury.compare.equivalence.tree import Tree, compare_trees, plain_name

#: Fields of a member. A reader leaves out what it does not say: only fields that both state are compared.
Row = dict[str, object]
Rows = dict[bytes, Row]
KINDS = {
    0o010: "fifo", 0o020: "character device", 0o040: "directory", 0o060: "block device", 0o100: "file",
    0o120: "symbolic link", 0o140: "socket",
}  # fmt: skip
_MODULES = (cpio, cramfs, ext, jffs2, romfs, rpm, squashfs, tar, ubi, ubifs, zip)
_XATTR = re.compile(r"xattr ([^ ]*\.[^ ]*)|pax SCHILY\.xattr\.(.*)", re.DOTALL)
CONTENT = frozenset(("content", "cut", "data", "data-size"))
#: A field of rows whose reader does not say which names are one file.
UNLINKED = "links are not told"
_PLAIN = ("mode", "uid", "gid", "user", "group", "link", "device")


class RejectedError(Exception):
    """The reader does not take the file, or not all of it."""


@contextmanager
def rejecting(reader: str) -> Iterator[None]:
    """Whatever a library raises of a file is that it rejects it."""
    try:
        yield
    except RejectedError:
        raise
    except Exception as problem:
        raise RejectedError(f"{reader}: {problem!r}") from problem


def once(rows: Rows, name: bytes) -> None:
    """Reject a name that is there already."""
    if name in rows:
        raise RejectedError(f"{name!r} twice")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def grouped(rows: Rows, groups: Iterable[Iterable[bytes]]) -> Rows:
    """Enter which names are one file; each has the group's content."""
    for group in groups:
        names = tuple(sorted(group))
        if len(names) > 1:
            for name in names:
                rows[name]["names"] = names
    return rows


class Seen(Struct):
    """The trees that a comparator has read of both sides, where it got that far."""

    trees: list[tuple[Tree, Tree]] = []


@contextmanager
def watched() -> Iterator[Seen]:
    """Catch what comparators hand to the comparison of trees."""
    seen = Seen()

    def caught(work: Work, a: Tree, b: Tree, **rest: Any) -> None:
        seen.trees.append((a, b))
        compare_trees(work, a, b, **rest)

    patches = [mock.patch.object(module, "compare_trees", caught) for module in _MODULES]
    for patch in patches:
        patch.start()
    try:
        yield seen
    finally:
        for patch in patches:
            patch.stop()


def rows_of(work: Work, tree: Tree) -> Rows:
    """What our reader says of each member, in the same terms."""
    out: Rows = {}
    shared: dict[object, str] = {}
    for node in tree.nodes.values():
        row: Row = {"kind": node.kind, **{k: node.attributes[k] for k in _PLAIN if k in node.attributes}}
        if isinstance(row.get("mode"), int):
            row["mode"] = node.attributes["mode"] & 0o7777  # type: ignore[operator]
        row["xattrs"] = {found[1] or found[2]: v for k, v in node.attributes.items() if (found := _XATTR.fullmatch(k))}
        names = node.attributes.get("names")
        if isinstance(names, bytes):
            row["names"] = tuple(sorted(plain_name(n) for n in names.split(b"\0")))
        if node.place is not None:
            row["content"] = content(work, node.place)
            if node.kind == "volume":  # ubi_reader fills the last block
                row["cut"] = digest(work.read(node.place, 0, node.place.length).rstrip(b"\xff"))
            shared[row.get("names")] = str(row["content"])
        out[plain_name(node.name)] = row
    for row in out.values():
        if row["kind"] == "file" and "content" not in row and row.get("names") in shared:
            row["content"] = shared[row["names"]]
    return out


def content(work: Work, place: Place) -> str:
    return digest(work.read(place, 0, place.length))


def apart(one: Rows, other: Rows, *, more: bool = False, but: frozenset[bytes] = frozenset()) -> list[str]:
    """Where two readings differ, of the fields that both state. ``more``: the other may list more paths. ``but``: paths
    whose content may differ."""
    out = [f"{name!r}: only in the one" for name in one.keys() - other.keys()]
    out += [f"{name!r}: only in the other" for name in other.keys() - one.keys() if not more]
    for name in one.keys() & other.keys():
        ours, theirs = one[name], other[name]
        out += [
            f"{name!r}: {field} {ours[field]!r} against {theirs[field]!r}"
            for field in ours.keys() & theirs.keys()
            if ours[field] != theirs[field] and not (name in but and field in CONTENT)
        ]
        if ("names" in ours) != ("names" in theirs) and UNLINKED not in ours.keys() | theirs.keys():
            out.append(f"{name!r}: linked on one side only")
    return sorted(out)
