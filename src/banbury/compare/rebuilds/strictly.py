"""Whether the file systems and archives of an image are what a kernel or an archiver sees.

The laboratory's readers find as many files as they can, and forgive for it what a kernel does not: a folder out of
order, a file without links, a wrong checksum. Files that are compared one by one are as these readers found them.
Therefore each tree that shares anything with a rebuild is read by the comparators too, which refuse what is not
understood to the last byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from banbury.compare.equivalence.protocol import Read
from banbury.compare.rebuilds.matching import plain_path
from banbury.compare.rebuilds.trees import ROOT, Tree
from banbury.model.evaluation import Node

_NAMED: Final = 5
#: Formats of which every form has a strict reader.
_READ: Final = frozenset({"ar", "cpio", "cramfs", "ext", "jffs2", "romfs", "tar", "ubifs", "zip"})
#: Forms of which no build makes anything today, and in which archivers see other members than the laboratory's reader.
_OLD: Final = frozenset({"cpio-binary", "tar-v7"})
#: Forms without a strict reader that begin with a mark, and so with no program.
_MARKED: Final = frozenset({"cpio-binary", "squashfs"})


def doubts(tree: Tree, read: Read, form: str) -> list[str]:
    """What makes a tree another one to a kernel than to who compared its files. ``form``: what was found to hold it."""
    if not read.format and form in _READ:
        return [f"{tree.place} is not one that is read strictly (it does not begin, or end, as {form} does)"]
    if read.undecided or not read.format:
        return []
    if read.why:
        return [f"{tree.place} is not one that is read strictly ({read.why}): nothing says what a kernel makes of it"]
    strict = {plain_path(name) for name in read.names} - {ROOT, ""}
    found = {path for path in tree.paths if path not in (ROOT, "")}
    out = []
    if apart := strict ^ found:
        out.append(f"of two readers of {tree.place}, one alone has {_named(apart)}")
    if read.odd:
        out.append(f"{tree.place} has {_named(read.odd)}, which no file of a rebuild states")
    return out


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
