"""What is known of a shipped file and its counterpart unopened: presence, attributes, contents that are equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.equivalence.model import FileVerdict, Verdict
from banbury.compare.equivalence.recurse import Content, Outcome, unexplained
from banbury.compare.rebuilds.matching import Unit
from banbury.model.evaluation import Node
from banbury.model.tree import Kind

_PERMISSIONS: Final = 0o7777


def outcome(unit: Unit, how: str, other: Unit | None) -> Outcome:
    """What is known of a shipped unit without opening it: presence, attributes, and contents that are equal."""
    node = unit.node
    out = Outcome(name=unit.path, size_b=node.size if node.sha256 else -1, sha256_b=node.sha256)
    if other is None:
        out.changes = [Change(what="added", b=_said(node))]
        return out
    found = other.node
    out.size_a, out.sha256_a = found.size if found.sha256 else -1, found.sha256
    if how == "several":
        out.content = unexplained("the rebuild has several files of this path, and nothing says which of them it is")
        return out
    out.changes = list(_changes(found, node)) if how == "path" else list(_moved(other, unit))
    files = [n.kind in (Kind.FILE, Kind.CHUNK) for n in (found, node)]
    if not all(files):
        return out
    if not (found.complete and node.complete):
        out.content = unexplained("its content could not be decoded to its end")
    elif not (found.sha256 and node.sha256):
        out.content = unexplained("its content did not come out of its container")
    elif found.sha256 == node.sha256:
        out.content = Content(format="", own=FileVerdict(verdict=Verdict.IDENTICAL))
    return out


def removed(unit: Unit) -> Outcome:
    """A file that only the rebuild has, in the report on the image."""
    node = unit.node
    size = node.size if node.sha256 else -1
    return Outcome(name=unit.path, size_a=size, sha256_a=node.sha256, changes=[Change(what="removed", a=_said(node))])


def _said(node: Node) -> str:
    mode = f", mode {node.mode & _PERMISSIONS:04o}" if node.mode >= 0 else ""
    return f"{node.kind}{mode}" + (f", link {node.link}" if node.link else "")


def _changes(a: Node, b: Node) -> Iterator[Change]:
    """Attributes that both containers state and that differ. Times are not among them: nothing rests on them."""
    if a.kind is not b.kind:
        yield Change(what="type", a=str(a.kind), b=str(b.kind))
        return
    if a.kind is not Kind.SYMLINK and min(a.mode, b.mode) >= 0 and a.mode != b.mode:
        yield Change(what="mode", a=f"{a.mode:04o}", b=f"{b.mode:04o}")
    for what, one, other in (("uid", a.uid, b.uid), ("gid", a.gid, b.gid)):
        if min(one, other) >= 0 and one != other:
            yield Change(what=what, a=str(one), b=str(other))
    if a.link != b.link:
        yield Change(what="link", a=a.link, b=b.link)
    if a.rdev != b.rdev:
        yield Change(what="device", a=str(a.rdev), b=str(b.rdev))


def _moved(other: Unit, unit: Unit) -> Iterator[Change]:
    """What is to be said of a file that is in the rebuild under another path, or without any: a file elsewhere is run
    by others, and with other rights. A rebuilt file that was handed in alone belongs to no path."""
    if not other.piece:
        yield Change(what="path", a=other.path, b=unit.path)
        yield from _changes(other.node, unit.node)
    elif unit.node.mode >= 0 and unit.node.mode & 0o6000:
        yield Change(what="mode", a="none: it was handed in alone", b=f"{unit.node.mode & _PERMISSIONS:04o}")
