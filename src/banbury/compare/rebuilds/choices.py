"""What programs decide by the times of files, in an image and in its rebuild.

A file's time is let go, but where a program acts on it, it must act alike on both sides: a compiled module that is run
instead of its source, a clock that is set (:mod:`banbury.compare.equivalence.times`). Where the rebuild states no times
(a folder), that cannot be told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.equivalence.places import SECOND, Entry, Files
from banbury.compare.equivalence.times import Act, differences, interesting, told
from banbury.compare.rebuilds.matching import plain_path
from banbury.compare.rebuilds.stating import Row
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


def by_times(
    root: Node, rows: list[Row], shipped: Iterable[Node], rebuilt: Iterable[Node], store: BlobStore
) -> list[NotCompared]:
    """Add to the rows of an image what a program does otherwise than in the rebuild, by times; and say what cannot be
    told. ``shipped`` and ``rebuilt`` are the members of both sides' trees."""
    theirs, ours = (_entries(nodes) for nodes in (shipped, rebuilt))
    if not any(map(interesting, theirs)):
        return []
    sides = [Files({p: e for p, (e, _) in found.items()}, _reader(found, store)) for found in (ours, theirs)]
    known = {row.unit.path: row for row in rows}
    left: list[NotCompared] = []
    try:
        for act, *decisions in differences(*sides):
            one, other = map(told, decisions)
            path = clean_name(act.first)[0]
            sure = act.sort in ("python", "newer") or _UNKNOWN not in one
            if sure and path in known:
                outcome = known[path].outcome
                outcome.changes = [*outcome.changes, Change(what=_what(act), a=one[:200], b=other[:200])]
            elif len(left) < _LISTED:
                why = f"{path}: what {act.program} decides by times of files: the rebuild states none"
                left.append(NotCompared(node=root.id, why=why))
    except Refused as problem:
        left.append(NotCompared(node=root.id, why=f"what programs decide by times of files: {problem}"))
    return left


def _what(act: Act) -> str:
    beside = f" and {clean_name(act.second)[0]}" if act.second else ""
    return f"what {act.program} decides by the times of it{beside}"


def _entries(nodes: Iterable[Node]) -> dict[bytes, tuple[Entry, Node]]:
    out: dict[bytes, tuple[Entry, Node]] = {}
    for node in nodes:
        time = node.mtime * SECOND if node.mtime >= 0 else _UNKNOWN
        kind = _KINDS.get(node.kind, str(node.kind))
        entry = Entry(kind=kind, time=time, size=node.size, target=stored_name(node.link))
        out.setdefault(stored_name(plain_path(node.name)), (entry, node))
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
