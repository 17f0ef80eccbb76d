"""Whether the file systems and archives of an image are what a kernel or an archiver sees.

The laboratory's readers find as many files as they can, and forgive for it what a kernel does not: a folder out of
order, a file without links, a wrong checksum. Files that are compared one by one are as these readers found them.
Therefore each tree that shares anything with a rebuild is read by the comparators too, which refuse what is not
understood to the last byte; and what they say of each file must be what the laboratory's reader has said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from banbury.compare.equivalence.protocol import Read
from banbury.compare.rebuilds.matching import Unit, plain_path
from banbury.compare.rebuilds.trees import ROOT, Tree
from banbury.model.evaluation import Node
from banbury.model.tree import Kind

_NAMED: Final = 5
#: Formats of which every form has a strict reader.
_READ: Final = frozenset({"ar", "cpio", "cramfs", "ext", "jffs2", "romfs", "tar", "ubifs", "zip"})
#: Forms of which no build makes anything today, and in which archivers see other members than the laboratory's reader.
_OLD: Final = frozenset({"cpio-binary", "tar-v7"})
#: Forms without a strict reader that begin with a mark, and so with no program.
_MARKED: Final = frozenset({"cpio-binary", "squashfs"})


#: Fields that a reader may leave out where they say this: formats without owners are root's.
_IMPLIED: Final = {"uid": "0", "gid": "0"}
_TYPES: Final = {
    Kind.FILE: "file", Kind.DIR: "directory", Kind.SYMLINK: "symbolic link", Kind.HARDLINK: "hard link",
    Kind.CHAR: "character device", Kind.BLOCK: "block device", Kind.FIFO: "fifo", Kind.SOCKET: "socket",
}  # fmt: skip


def doubts(tree: Tree, read: Read, form: str, same: Callable[[set[str]], set[tuple[str, str]]]) -> list[str]:
    """What makes a tree another one to a kernel than to who compared its files. ``form``: what was found to hold it;
    ``same``: what the strict readers find odd at some paths of everything that was rebuilt for them."""
    if not read.format and form in _READ:
        return [f"{tree.place} is not one that is read strictly (it does not begin, or end, as {form} does)"]
    if read.undecided or not read.format:
        return []
    if read.why:
        return [f"{tree.place} is not one that is read strictly ({read.why}): nothing says what a kernel makes of it"]
    strict = {plain_path(m.path): m.fields for m in read.members if plain_path(m.path) not in (ROOT, "")}
    found = {path for path in tree.paths if path not in (ROOT, "")}
    out = []
    if apart := strict.keys() ^ found:
        out.append(f"of two readers of {tree.place}, one alone has {_named(apart)}")
    own = _stated(tree)
    differing = {p: "/".join(what) for p in strict.keys() & found if (what := _differing(own[p], strict[p]))}
    if differing:
        said = _named(f"{path} ({what})" for path, what in differing.items())
        out.append(f"of two readers of {tree.place}, each says something else of {said}")
    odd = {(plain_path(path), what) for path, what in read.odd}
    if odd and (odd := odd - same({path for path, _ in odd})):
        said = _named(f"{path} ({what})" for path, what in odd)
        out.append(f"{tree.place} has {said}, which no file of a rebuild states (or not over this content)")
    return out


def _stated(tree: Tree) -> dict[str, dict[str, str]]:
    """What the laboratory's reader says of each path of a tree, in the words of :class:`Stated`."""
    units = {path: found[-1] for path, found in tree.units.items()}
    units |= {path: tree.listings(path)[-1] for path in tree.folders}
    groups: dict[int, list[str]] = {}
    for path, unit in units.items():
        if unit.inode >= 0 and unit.node.kind is Kind.FILE:
            groups.setdefault(unit.inode, []).append(path)
    first = {number: min(paths) for number, paths in groups.items() if len(paths) > 1}
    return {path: _fields(unit, first.get(unit.inode, "")) for path, unit in units.items()}


def _fields(unit: Unit, first: str) -> dict[str, str]:
    node = unit.node
    numbers = {"uid": node.uid, "gid": node.gid}
    texts = {"user": node.user, "group": node.group, "link": node.link, "one file with": first}
    fields = {"type": _TYPES.get(node.kind, "file")}
    fields |= {name: str(number) for name, number in numbers.items() if number >= 0}
    fields |= {name: text for name, text in texts.items() if text}
    if node.mode >= 0 and node.kind is not Kind.SYMLINK:
        fields["mode"] = f"{node.mode:04o}"
    if node.rdev is not None:
        fields["device"] = "{}:{}".format(*node.rdev)
    if node.sha256 and node.complete and node.kind is Kind.FILE:
        fields["content"] = node.sha256
    return fields | {f"xattr {name}": text for name, text in node.xattrs.items()}


def _differing(own: Mapping[str, str], strict: Mapping[str, str]) -> list[str]:
    """In which fields two readers differ. Of some formats (ar) only contents are stated strictly; and what was not
    decoded has none here."""
    names = {*own, *strict} if "type" in strict else {*strict}
    if "content" not in own:
        names.discard("content")
    return sorted(n for n in names if own.get(n, _IMPLIED.get(n)) != strict.get(n, _IMPLIED.get(n)))


def unknown(read: Read | None, form: str) -> bool:
    """Whether no strict reader knows what was found."""
    if read is None or not read.format:
        return form not in _READ
    return read.undecided


def unread(tree: Tree, node: Node, partners: Sequence[Tree], same: Sequence[Node], *, member: bool) -> tuple[str, bool]:
    """What is to be said of a tree (its holder is ``node``) that no strict reader knows, and whether it is a doubt and
    not for the ledger alone: whoever ships it chooses the form. ``partners`` are the rebuilt trees that it is taken to
    be made of, ``same`` what holds those of its form; ``member``: of an archive that is compared as its members, so
    that its own first bytes may be a program's."""
    why = f"{tree.place} was read by one reader alone, which forgives more than a kernel: no strict one knows its form"
    if node.sha256 and any(node.sha256 == other.sha256 for other in same):
        return why, False
    if member and node.format not in _MARKED:
        return why, True
    other = node.format == "squashfs" or any(r.mounted for r in partners)
    if node.format in _OLD or (partners and not same and other):
        return f"{why} ({node.format}), and it is not what a rebuild of that form is", True
    return why, False


def _named(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
