"""What programs decide by the times of files, in an image and in its rebuild.

A file's time is let go, but where a program acts on it, it must act alike on both sides: a compiled module that is run
instead of its source, a clock that is set (:mod:`banbury.compare.equivalence.times`). Where the rebuild states no times
(a folder), that cannot be told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

from msgspec import structs

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.equivalence.places import SECOND, Entry, Files
from banbury.compare.equivalence.times import Act, differences, interesting, told
from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.stating import Row
from banbury.compare.rebuilds.trees import Tree
from banbury.formats.contract import clean_name, stored_name
from banbury.lab.blobs import BlobStore
from banbury.model.evaluation import Node
from banbury.model.rebuild import NotCompared
from banbury.model.tree import Kind

_KINDS: Final = {
    Kind.FILE: "file", Kind.HARDLINK: "file", Kind.DIR: "directory", Kind.SYMLINK: "symbolic link",
}  # fmt: skip
_HEAD: Final = 64
_LISTED: Final = 50
_UNKNOWN: Final = "not stated"
_SEVERAL: Final = "several times"
_TREES: Final = 64  # file systems of one image


def by_times(root: Node, rows: list[Row], pairing: Pairing, image: int, store: BlobStore) -> list[NotCompared]:
    """Add to the rows of an image (index of its artefact) what a program does otherwise than in the rebuild, by times,
    in each of its file systems; and say what cannot be told."""
    known = {(row.unit.tree, row.unit.path): row for row in rows}
    asked = [t for t in pairing.shipped.values() if t.artefact == image and _interesting(t)]
    asked.sort(key=lambda t: -len(t.names))
    left = [
        NotCompared(node=tree.number, why="what programs decide by times of files: too many file systems")
        for tree in asked[_TREES:]
    ]
    if any(t.artefact == image for t in pairing.small):
        left.append(
            NotCompared(
                node=root.id, why="folders and times of the smallest of its file systems, and what they lack: too many"
            )
        )
    for tree in sorted(asked[:_TREES], key=lambda t: t.number):
        left += _of_tree(tree, known, pairing, store)
    return left


def _interesting(tree: Tree) -> bool:
    return any(interesting(stored_name(path)) for path in (*tree.units, *tree.folders))


def _of_tree(
    tree: Tree, known: dict[tuple[int, str], Row], pairing: Pairing, store: BlobStore
) -> Iterator[NotCompared]:
    native = pairing.native(tree)
    partners = [t for t in native if t.number in pairing.partners(tree.number)]
    ours = _entries(partners)
    for path, entry in _entries(native[len(partners) :]).items():
        ours.setdefault(path, entry)
    sides = [Files({p: e for p, (e, _) in found.items()}, _reader(found, store)) for found in (ours, _entries([tree]))]
    count = 0
    try:
        for act, *decisions in differences(*sides):
            one, other = map(told, decisions)
            name = clean_name(act.first)[0]
            sure = (act.sort in ("python", "newer") or _UNKNOWN not in one) and _SEVERAL not in one
            row = known.get((tree.number, name))
            if sure and row is not None:
                row.outcome.changes = [*row.outcome.changes, Change(what=_what(act), a=one[:200], b=other[:200])]
            elif (count := count + 1) <= _LISTED:
                states = "several" if _SEVERAL in one else "none"
                why = f"{name}: what {act.program} decides by times of files: the rebuild states {states}"
                yield NotCompared(node=tree.number, why=why)
    except Refused as problem:
        yield NotCompared(node=tree.number, why=f"what programs decide by times of files: {problem}")


def _what(act: Act) -> str:
    beside = f" and {clean_name(act.second)[0]}" if act.second else ""
    return f"what {act.program} decides by the times of it{beside}"


def _entries(trees: Iterable[Tree]) -> dict[bytes, tuple[Entry, Node]]:
    """The members of some trees that may stand for one: where they state other times of a file, it has none."""
    out: dict[bytes, tuple[Entry, Node]] = {}
    for tree in trees:
        for unit in chain(chain.from_iterable(tree.units.values()), tree.folders.values()):
            node, path = unit.node, stored_name(unit.path)
            time = node.mtime * SECOND if node.mtime >= 0 else _UNKNOWN
            entry = Entry(
                kind=_KINDS.get(node.kind, str(node.kind)), time=time, size=node.size, target=stored_name(node.link)
            )
            first = out.setdefault(path, (entry, node))
            if first[0].time != time and first[0].kind == "file":
                out[path] = structs.replace(first[0], time=_SEVERAL), first[1]
    return out


def _reader(found: dict[bytes, tuple[Entry, Node]], store: BlobStore) -> Callable[[bytes], bytes]:
    def read(path: bytes) -> bytes:
        """The first bytes of a file; nothing where its content did not come out."""
        digest = found[path][1].sha256
        if not digest:
            return b""
        handle = store.open(digest)
        try:
            return os.pread(handle, _HEAD, 0)
        finally:
            os.close(handle)

    return read
