"""Which names of an image are names of one file: what is written to one of them is in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.rebuilds.stating import Row
from banbury.model.evaluation import Node
from banbury.model.tree import Kind

#: Formats without links of a file that nothing can be written to, either: their names are told apart by nothing.
_STILL: Final = frozenset({"cramfs", "iso9660"})
_SHOWN: Final = 200  # characters
_UNSTATED: Final = "not stated by what was handed in"


def by_links(rows: Iterable[Row], nodes: list[Node]) -> None:
    """Add to rows with a counterpart what names their files have beside, where those are others than the counterparts':
    two names are of one file in the image just where what they are compared with is one file, too. (What has a
    counterpart by its content may be there several times.)"""
    files = [row for row in rows if row.unit.node.kind is Kind.FILE and not row.unit.piece]
    known: dict[frozenset[str], frozenset[str]] = {}  # a group is one object, however often it is met
    ours = _together(files, lambda row: (row.unit.tree, row.unit.inode) if row.unit.inode >= 0 else None, known)
    named = [row for row in files if row.how in ("path", "content")]
    theirs = _together(named, _counterpart, known)
    texts: dict[frozenset[str], str] = {}
    for row in named:
        alone = known.setdefault(one := frozenset((row.unit.path,)), one)
        mine, other = (found.get(id(row), alone) for found in (ours, theirs))
        if mine is other or (len(mine) == 1 and (row.how == "content" or nodes[row.unit.tree].format in _STILL)):
            continue
        for group in (mine, other):
            if group not in texts:
                texts[group] = _shown(group)
        unstated = row.other is not None and row.other.node.mode < 0
        row.outcome.changes.append(Change(what="names", a=_UNSTATED if unstated else texts[other], b=texts[mine]))


def _counterpart(row: Row) -> tuple[int, ...] | None:
    """What tells the file apart that a row is compared with; names in two file systems of an image are two files."""
    other = row.other
    return (row.unit.tree, other.tree, other.inode) if other is not None and other.inode >= 0 else None


def _together(
    rows: list[Row], file: Callable[[Row], tuple[int, ...] | None], known: dict[frozenset[str], frozenset[str]]
) -> dict[int, frozenset[str]]:
    """The paths of all rows of one file, for each of them; one object of those ``known``."""
    found: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        key = file(row)
        if key is not None:
            found.setdefault(key, []).append(row)
    out: dict[int, frozenset[str]] = {}
    for of in found.values():
        paths = frozenset(row.unit.path for row in of)
        paths = known.setdefault(paths, paths)
        out |= {id(row): paths for row in of}
    return out


def _shown(paths: frozenset[str]) -> str:
    text = ", ".join(sorted(paths))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(paths)} names)"
