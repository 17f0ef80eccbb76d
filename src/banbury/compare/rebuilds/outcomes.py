"""What is known of a shipped file and its counterpart unopened: presence, attributes, contents that are equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.equivalence.model import FileVerdict, Verdict
from banbury.compare.equivalence.outcome import Content, Outcome, unexplained
from banbury.compare.equivalence.vouched import is_signature, wrong
from banbury.compare.rebuilds.matching import Unit, misnamed
from banbury.model.evaluation import Node
from banbury.model.tree import Kind

_PERMISSIONS: Final = 0o7777
_RIGHTS, _GROUP, OTHERS = 0o6000, 0o020, 0o002  # setuid and setgid; who may write beside the owner
_ALONE: Final = "not stated by what was handed in"
_UNSTATED: Final = "not stated"
#: Extended attributes that say what the system or a person makes of a file, not who may do what by it.
LABELS: Final = ("security.selinux", "security.SMACK64", "user.")


def outcome(
    unit: Unit, how: str, other: Unit | None, both: bool, *, stray: bool = False, among: tuple[str, ...] = ()
) -> Outcome:
    """What is known of a shipped unit without opening it: presence, attributes, and contents that are equal. ``both``:
    the rebuild has extended attributes; ``stray``: it has the unit in a file system that is another's counterpart;
    ``among``: the rebuilds of several that state different things of its path."""
    node = unit.node
    out = Outcome(name=unit.path, size_b=node.size if node.sha256 else -1, sha256_b=node.sha256)
    if other is None:
        out.changes = [Change(what="added", b=_said(node))]
        return out
    found = other.node
    out.size_a, out.sha256_a = found.size if found.sha256 else -1, found.sha256
    if how == "several":
        out.content = unexplained(_undecided(among))
        return out
    out.changes = list(changes(found, node, both) if how == "path" else _moved(other, unit, both))
    if how == "path" and found.mode < 0:
        out.changes += special(node, _RIGHTS | OTHERS)
    if stray:
        out.changes.append(Change(what="file system", a=_holder(found), b=_holder(node)))
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


def _undecided(among: tuple[str, ...]) -> str:
    """Why a unit is compared with nothing, and what to write into the manifest."""
    said = "the rebuild has several files of this path"
    if not among:
        return f"{said}, and nothing says which of them it is: file_systems can"
    one, other = among
    return (
        f"{said}, and nothing says which of them it is ({one} or {other}): in the manifest, under the path of the one "
        f'that is meant, over = ["{other}"] or over = ["{one}"]; or file_systems, where they belong into two'
    )


def removed(unit: Unit) -> Outcome:
    """A file that only the rebuild has, in the report on the image."""
    node = unit.node
    size = node.size if node.sha256 else -1
    return Outcome(name=unit.path, size_a=size, sha256_a=node.sha256, changes=[Change(what="removed", a=_said(node))])


def _holder(node: Node) -> str:
    """What holds a member, by its place."""
    return node.locator[: -len(node.name) - 1] if node.locator.endswith("!" + node.name) else node.locator


def _said(node: Node) -> str:
    mode = f", mode {node.mode & _PERMISSIONS:04o}" if node.mode >= 0 else ""
    return f"{node.kind}{mode}" + (f", link {node.link}" if node.link else "")


def changes(a: Node, b: Node, both: bool) -> Iterator[Change]:
    """Attributes that both containers state and that differ, and those that one states beside a container that could: a
    file that was handed in without mode and owner (a folder's) is anybody's, but not a shipped one. Times are not among
    them (see :mod:`.choices`). A rebuild without any extended attributes (not ``both``) may be of a format that has
    none: what the system labels files with is then not compared, but rights are."""
    if a.kind is not b.kind:
        yield Change(what="type", a=str(a.kind), b=str(b.kind))
        return
    if a.kind is not Kind.SYMLINK and min(a.mode, b.mode) >= 0 and a.mode != b.mode:
        yield Change(what="mode", a=f"{a.mode:04o}", b=f"{b.mode:04o}")
    if a.kind not in (Kind.SYMLINK, Kind.HARDLINK) and b.mode < 0 <= a.mode:  # who unpacks it chooses one
        yield Change(what="mode", a=f"{a.mode:04o}", b=_UNSTATED)
    for what, one, other in (("uid", a.uid, b.uid), ("gid", a.gid, b.gid)):
        if min(one, other) >= 0 and one != other:
            yield Change(what=what, a=str(one), b=str(other))
        elif one != other and max(one, other) > 0 and a.mode >= 0:  # root's, where nobody is stated
            yield Change(what=what, a=_number(one), b=_number(other))
    yield from _owner(a, b)
    if a.link != b.link:
        yield Change(what="link", a=a.link, b=b.link)
    if a.rdev != b.rdev:
        yield Change(what="device", a=str(a.rdev), b=str(b.rdev))
    yield from _attributes(a, b, both)


def _number(owner: int) -> str:
    return str(owner) if owner >= 0 else _UNSTATED


def _owner(a: Node, b: Node) -> Iterator[Change]:
    """Names of the owner. GNU tar and BusyBox look for the name that an archive states before they take the number
    (``uname_to_uid`` in GNU tar's src/names.c and src/list.c; BusyBox, archival/libarchive/data_extract_all.c). Where
    the rebuild has no names, only one that the number is not known to have is another owner."""
    for what, one, other, numbers in (
        ("user", a.user, b.user, (a.uid, b.uid)),
        ("group", a.group, b.group, (a.gid, b.gid)),
    ):
        if one != other if one and other else misnamed(other, numbers[1]):
            stated = str(numbers[0]) if numbers[0] >= 0 else _ALONE
            yield Change(what=what, a=one or stated, b=other)


def special(node: Node, rights: int) -> Iterator[Change]:
    """The mode of a shipped file that has some of these rights, where its rebuild states no mode."""
    if node.kind is not Kind.SYMLINK and node.mode >= 0 and node.mode & rights:
        yield Change(what="mode", a=_ALONE, b=f"{node.mode & _PERMISSIONS:04o}")


def _attributes(a: Node, b: Node, both: bool) -> Iterator[Change]:
    for name in sorted({*a.xattrs, *b.xattrs}):
        one, other = a.xattrs.get(name), b.xattrs.get(name)
        if one != other and (both or not name.startswith(LABELS)):
            yield Change(what=f"xattr {name}", a="none" if one is None else one, b="none" if other is None else other)
        elif one == other and a.sha256 != b.sha256 and is_signature(name):
            yield wrong(f"xattr {name}")


def _moved(other: Unit, unit: Unit, both: bool) -> Iterator[Change]:
    """What is to be said of a file that is in the rebuild under another path, or without any: a file elsewhere is run
    by others, and with other rights. A rebuilt file that was handed in alone belongs to no path."""
    alone = other.piece and (other.node.parent < 0 or unit.piece)
    if not alone and not (other.archive and unit.piece):
        yield Change(what="path", a=other.path, b=unit.path)
        yield from changes(other.node, unit.node, both)
        return
    node = unit.node
    yield from _attributes(other.node, node, both)
    yield from special(node, _RIGHTS | OTHERS | (_GROUP if node.gid > 0 else 0))
    if node.uid > 0:  # whoever owns a program may replace it
        yield Change(what="uid", a=_ALONE, b=str(node.uid))
    if misnamed(node.user, node.uid):
        yield Change(what="user", a=_ALONE, b=node.user)
