"""Compares two releases of one product: places first (exact), then content that moved, then content that is similar.

Only leaves are compared: a container differs because something in it does, and that something is what is listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from banbury.compare.similarity import sample, similarity
from banbury.lab.blobs import BlobStore, mapped
from banbury.model.evaluation import Change, Comparison, Evaluation, Finding, Node, Status
from banbury.model.places import stable_place
from banbury.model.tree import Kind

#: Pairs of unmatched files whose content is looked at; beyond it the comparison says so.
PAIR_LIMIT = 20_000
_SIMILAR, _ANY = 0.3, -1.0
_ATTRIBUTES = ("mode", "uid", "gid", "link", "rdev", "kind")
_Sample = NDArray[np.uint64]


def compare(new: Evaluation, old: Evaluation, store: BlobStore) -> Comparison:
    """What changed from ``old`` to ``new``, and which of the old findings are gone."""
    worker = _Comparer(store)
    unchanged, changes = worker.trees(old.nodes, new.nodes)
    ids = {f.id for f in new.findings}
    gone = [structs.replace(f, status=Status.GONE) for f in old.findings if f.id not in ids]
    limits = list(worker.limits)
    if old.tools != new.tools:
        limits.append("the two releases were examined by different tool versions; evaluate the older one again")
    return Comparison(baseline=old.release, unchanged=unchanged, changes=changes, gone=gone, limits=limits)


def with_status(findings: Iterable[Finding], old: Evaluation) -> list[Finding]:
    """The findings marked new or persisting against an older evaluation."""
    known = {f.id for f in old.findings}
    return [structs.replace(f, status=Status.PERSISTS if f.id in known else Status.NEW) for f in findings]


class _Pool(Struct):
    """Leaves of one side that have no partner yet, by place."""

    by_place: dict[str, Node]


class _Comparer:
    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._samples: dict[str, _Sample] = {}
        self._pairs = 0
        self.limits: list[str] = []

    def trees(self, old: list[Node], new: list[Node]) -> tuple[int, list[Change]]:
        """How many leaves are the same in both, and everything else."""
        left, right = _Pool(_leaves(old)), _Pool(_leaves(new))
        changes: list[Change] = []
        unchanged = 0
        for place in sorted(left.by_place.keys() & right.by_place.keys()):
            before, after = left.by_place.pop(place), right.by_place.pop(place)
            change = self._same_place(before, after)
            unchanged += change is None
            changes += [change] if change else []
        changes += self._moved(left, right)
        changes += self._matched(left, right, lambda n: stable_place(n.where), _ANY)
        changes += self._matched(left, right, lambda n: n.name.rsplit("/", 1)[-1], _SIMILAR)
        changes += [_one_sided("removed", n) for n in left.by_place.values()]
        changes += [_one_sided("added", n) for n in right.by_place.values()]
        return unchanged, sorted(changes, key=lambda c: (c.after or c.before, c.kind, c.before))

    def _same_place(self, before: Node, after: Node) -> Change | None:
        details = _attribute_changes(before, after)
        if before.sha256 != after.sha256:
            return self._pair("changed", before, after, details, self._similarity(before, after))
        return self._pair("attributes", before, after, details, 1.0) if details else None

    def _moved(self, left: _Pool, right: _Pool) -> list[Change]:
        """The same content at another place."""
        by_digest: dict[str, list[Node]] = defaultdict(list)
        for node in left.by_place.values():
            if node.size and node.sha256:
                by_digest[node.sha256].append(node)
        out = []
        for place, after in list(right.by_place.items()):
            if candidates := by_digest.get(after.sha256):
                before = candidates.pop(0)
                del left.by_place[before.where], right.by_place[place]
                out.append(self._pair("moved", before, after, _attribute_changes(before, after), 1.0))
        return out

    def _matched(self, left: _Pool, right: _Pool, key: Callable[[Node], str], least: float) -> list[Change]:
        """Leaves that agree in ``key``, each with the most similar partner of at least ``least``."""
        groups: dict[str, list[Node]] = defaultdict(list)
        for node in left.by_place.values():
            if node.kind is Kind.FILE:
                groups[key(node)].append(node)
        out = []
        for place, after in list(right.by_place.items()):
            candidates = groups.get(key(after), []) if after.kind is Kind.FILE else []
            scored = [(self._similarity(c, after), c) for c in candidates if self._within_limit()]
            best = max(scored, key=lambda pair: pair[0], default=None)
            if best is None or best[0] < least:
                continue
            groups[key(after)].remove(best[1])
            del left.by_place[best[1].where], right.by_place[place]
            out.append(self._pair("similar", best[1], after, _attribute_changes(best[1], after), best[0]))
        return out

    def _within_limit(self) -> bool:
        self._pairs += 1
        if self._pairs == PAIR_LIMIT:
            self.limits.append(f"similar content was looked for in {PAIR_LIMIT} pairs of files only")
        return self._pairs < PAIR_LIMIT

    def _similarity(self, before: Node, after: Node) -> float:
        if not before.sha256 or not after.sha256:
            return -1.0
        return similarity(self._sample(before.sha256), self._sample(after.sha256))

    def _sample(self, digest: str) -> _Sample:
        if digest not in self._samples:
            with mapped(self._store, digest) as data, memoryview(data) as view:
                self._samples[digest] = sample(view)
        return self._samples[digest]

    @staticmethod
    def _pair(kind: str, before: Node, after: Node, details: list[str], score: float) -> Change:
        return Change(
            kind=kind,
            before=before.where,
            after=after.where,
            before_sha256=before.sha256,
            after_sha256=after.sha256,
            before_size=before.size,
            after_size=after.size,
            similarity=score,
            details=details,
        )


def _leaves(nodes: list[Node]) -> dict[str, Node]:
    """Everything that no reader opened, by place. Directories count: their modes can change."""
    return {n.where: n for n in nodes if not n.format}


def _one_sided(kind: str, node: Node) -> Change:
    if kind == "added":
        return Change(kind=kind, after=node.where, after_sha256=node.sha256, after_size=node.size)
    return Change(kind=kind, before=node.where, before_sha256=node.sha256, before_size=node.size)


def _attribute_changes(before: Node, after: Node) -> list[str]:
    out = []
    for name in _ATTRIBUTES:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            shown = (f"{old:04o}", f"{new:04o}") if name == "mode" and min(old, new) >= 0 else (str(old), str(new))
            out.append(f"{name}: {shown[0]} → {shown[1]}")
    return out
