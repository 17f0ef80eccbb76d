"""Whether the file systems and archives of an image are what a kernel or an archiver sees.

The laboratory's readers find as many files as they can, and forgive for it what a kernel does not: a folder out of
order, a file without links, a wrong checksum. Files that are compared one by one are as these readers found them.
Therefore each tree that shares anything with a rebuild is read by the comparators too, which refuse what is not
understood to the last byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from banbury.compare.equivalence.protocol import Read
from banbury.compare.rebuilds.matching import plain_path
from banbury.compare.rebuilds.trees import ROOT, Tree

_NAMED: Final = 5
#: Formats of which every form has a strict reader.
_READ: Final = frozenset({"ar", "cpio", "cramfs", "ext", "jffs2", "romfs", "tar", "ubifs", "zip"})


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


def unread(tree: Tree, read: Read, form: str) -> list[str]:
    """What the ledger has to say of a tree that no strict reader knows."""
    if (read.format and not read.undecided) or (not read.format and form in _READ):
        return []
    return [
        f"{tree.place} was read by one reader alone, which forgives more than a kernel: no strict one knows its form"
    ]


def _named(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
