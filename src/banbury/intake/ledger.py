"""The ledger: where every byte went, which tool looked at which file, and what nobody looked at.

A byte counts as opened only where content came out of it. A payload that came out but that nobody recognises, or that
is known by its first bytes alone, is unread, whatever header named it; so is content that could not be decoded to its
end, and what a reader owns but notes as hidden (the comment of an archive, say). A leaf whose structure is sound to the
last byte counts as opened, although nobody decoded what it carries: the pixels of a picture, the segments of a program.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from banbury.inspect.kinds import LEAF_KINDS
from banbury.inspect.registry import inspectors
from banbury.intake.assemble import Assembled
from banbury.lab.blobs import BlobStore, mapped
from banbury.model.evaluation import Coverage, Fate, ImageMap, Ledger, Node, Stretch
from banbury.model.facts import Outcome
from banbury.model.release import ArtefactRole, Release
from banbury.model.tree import Kind, Region, Role

_FATES = {
    Role.HEADER: Fate.STRUCTURE,
    Role.TABLE: Fate.STRUCTURE,
    Role.CHECK: Fate.STRUCTURE,
    Role.PADDING: Fate.PADDING,
    Role.UNREAD: Fate.UNREAD,
}
_SAMPLE = 1 << 20
_PLACES = 1000
#: Where at least this share of what was decoded is unread, the bytes that it was decoded from count as unread.
_MOSTLY = 0.5
_DEEPEST = 32
Regions = Callable[[str], list[Region]]


def make_ledger(
    assembled: Assembled, release: Release, regions: Regions, store: BlobStore, limits: list[str]
) -> Ledger:
    """Account for everything. ``regions`` gives the full partition of a content that was dissected (or nothing)."""
    writer = _Mapper(assembled, regions, store)
    roots = assembled.children.get(-1, [])
    images = [
        writer.image(assembled.nodes[n])
        for n, artefact in zip(roots, release.artefacts, strict=True)
        if artefact.role in (ArtefactRole.IMAGE, ArtefactRole.REBUILD, ArtefactRole.SOURCE)
    ]
    checks = [c for container in assembled.containers.values() for c in container.checks]
    return Ledger(
        images=images,
        unread=writer.unread_below(),
        coverage=_coverage(assembled),
        nodes=dict(sorted(Counter(str(n.kind) for n in assembled.nodes).items())),
        contents=len(assembled.files),
        content_bytes=sum(f.size for f in assembled.files.values()),
        not_unpacked=assembled.failures,
        checks_ok=sum(c.ok for c in checks),
        checks_failed=[c for c in checks if not c.ok],
        limits_hit=limits + _first(assembled.recursive),
    )


def _first(places: list[str]) -> list[str]:
    """So many of the places that were not opened, and how many there are beyond."""
    more = len(places) - _PLACES
    return places if more <= 0 else [*places[:_PLACES], f"{more} more places were not opened"]


def _coverage(assembled: Assembled) -> list[Coverage]:
    rows = []
    for name, inspector in sorted(inspectors().items()):
        count = assembled.coverage[name]
        rows.append(
            Coverage(
                tool=name,
                version=inspector.version,
                title=inspector.title,
                done=count[Outcome.DONE],
                failed=count[Outcome.FAILED],
                skipped=count[Outcome.SKIPPED],
            )
        )
    return rows


class _Mapper:
    def __init__(self, assembled: Assembled, regions: Regions, store: BlobStore) -> None:
        self._all = assembled
        self._regions = regions
        self._store = store
        self._mapped: set[str] = set()
        self._shut: dict[str, float] = {}

    def image(self, root: Node) -> ImageMap:
        """The fate of every byte of one artefact."""
        stretches: list[Stretch] = []
        todo = [(root, 0)]
        pieces: list[Stretch] = []
        while todo:
            node, base = todo.pop()
            self._mapped.add(node.sha256)
            pieces += self._own(node, base, todo)
        pieces.sort(key=lambda s: s.start)
        for piece in pieces:
            last = stretches[-1] if stretches else None
            if last and (last.fate, last.name, last.node) == (piece.fate, piece.name, piece.node):
                stretches[-1] = _stretch(last.start, piece.end, last.fate, last.name, last.node)
            else:
                stretches.append(piece)
        totals = Counter({str(f): 0 for f in Fate})
        for piece in stretches:
            totals[str(piece.fate)] += piece.end - piece.start
        named = [self._with_entropy(s, root.sha256) if s.fate is Fate.UNREAD else s for s in stretches]
        return ImageMap(node=root.id, name=root.name, size=root.size, totals=dict(totals), stretches=named)

    def _own(self, node: Node, base: int, todo: list[tuple[Node, int]]) -> list[Stretch]:
        """The stretches of one content at ``base``; members that are containers themselves are put on ``todo``."""
        regions = self._regions(node.sha256) if node.format else []
        if not regions:
            return [_stretch(base, base + node.size, *self._leaf_fate(node), node.id)] if node.size else []
        members = self._all.children.get(node.id, [])
        hidden = self._hidden(node.sha256)
        out = []
        for region in regions:
            start, end = base + region.start, base + region.end
            if region.role is not Role.MEMBER:
                fate, name = _FATES[region.role], region.name
                if fate is Fate.STRUCTURE and (region.start, region.end) in hidden:
                    fate, name = Fate.UNREAD, f"{name}: nobody looks here"
                out.append(_stretch(start, end, fate, name, node.id))
                continue
            child = self._all.nodes[members[region.member]] if 0 <= region.member < len(members) else None
            if child is None:
                out.append(_stretch(start, end, Fate.OPENED, region.name, node.id))
            elif child.start == region.start and child.size == region.end - region.start:
                todo.append((child, start))
            elif not child.complete:
                out.append(_stretch(start, end, Fate.UNREAD, "content that could not be decoded whole", child.id))
            else:
                out.append(self._decoded(start, end, child, region))
        return out

    def _decoded(self, start: int, end: int, child: Node, region: Region) -> Stretch:
        """Bytes that content was decoded from: opened, unless most of what came out stays shut."""
        share = self._shut_share(child, 0)
        if share < _MOSTLY:
            return _stretch(start, end, Fate.OPENED, self._owner_name(child, region), child.id)
        fate, name = self._leaf_fate(child) if not child.format else (Fate.UNREAD, f"{child.name}: {child.format}")
        return _stretch(start, end, fate, f"{name}; it came out, and {share:.0%} of it is unread", child.id)

    def _shut_share(self, node: Node, depth: int) -> float:
        """The share of a payload's bytes, 0 to 1, that nobody read in it or in what came out of it."""
        if not self._all.payload[node.id] or not node.size or depth > _DEEPEST:
            return 0.0
        if node.sha256 in self._shut:
            return self._shut[node.sha256]
        regions = self._regions(node.sha256) if node.format else []
        if not regions:
            share = float(self._leaf_fate(node)[0] is Fate.UNREAD)
        else:
            members = self._all.children.get(node.id, [])
            unread = 0.0
            for region in regions:
                size = region.end - region.start
                if region.role is Role.UNREAD:
                    unread += size
                elif region.role is Role.MEMBER and 0 <= region.member < len(members):
                    unread += size * self._shut_share(self._all.nodes[members[region.member]], depth + 1)
            share = unread / node.size
        self._shut[node.sha256] = share
        return share

    def _hidden(self, digest: str) -> set[tuple[int, int]]:
        """What a content's reader noted as hidden."""
        container = self._all.containers.get(digest)
        return {(n.start, n.end) for n in container.notes if n.code == "hidden"} if container else set()

    def _owner_name(self, child: Node, region: Region) -> str:
        return child.name if child.kind is not Kind.CHUNK else region.name

    def _leaf_fate(self, node: Node) -> tuple[Fate, str]:
        file = self._all.files.get(node.sha256)
        kind = file.kind if file else ""
        if self._all.payload[node.id] and (kind not in LEAF_KINDS or node.sha256 not in self._all.followed):
            said = "content not recognised" if kind in ("data", "") else f"{kind}, not opened"
            if kind in LEAF_KINDS:
                said = f"{kind} by its first bytes alone"
            return Fate.UNREAD, f"{node.name}: {said}" if node.parent >= 0 else said
        if not node.complete:
            return Fate.UNREAD, "content that could not be decoded whole"
        return Fate.OPENED, node.name if node.parent >= 0 else kind

    def unread_below(self) -> list[Stretch]:
        """Unread stretches of the contents that are not part of an image's own bytes: what was decoded, and within."""
        out = []
        seen: set[str] = set()
        for node in self._all.nodes:
            digest = node.sha256
            if not digest or digest in seen or digest in self._mapped:
                continue
            seen.add(digest)
            if node.format:
                for region in self._regions(digest):
                    if region.role is Role.UNREAD:
                        piece = _stretch(region.start, region.end, Fate.UNREAD, region.name, node.id)
                        out.append(self._with_entropy(piece, digest))
            elif node.size and self._leaf_fate(node)[0] is Fate.UNREAD:
                piece = _stretch(0, node.size, Fate.UNREAD, self._leaf_fate(node)[1], node.id)
                out.append(self._with_entropy(piece, digest))
        return out

    def _with_entropy(self, piece: Stretch, digest: str) -> Stretch:
        with mapped(self._store, digest) as data:
            sample = bytes(data[piece.start : min(piece.end, piece.start + _SAMPLE)])
        return Stretch(
            start=piece.start,
            end=piece.end,
            fate=piece.fate,
            name=piece.name,
            node=piece.node,
            entropy=round(entropy(sample), 2),
        )


def _stretch(start: int, end: int, fate: Fate, name: str, node: int) -> Stretch:
    return Stretch(start=start, end=end, fate=fate, name=name, node=node)


def entropy(data: bytes) -> float:
    """Shannon entropy in bits per byte (0 for nothing)."""
    if not data:
        return 0.0
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    shares = counts[counts > 0] / len(data)
    return -math.fsum((shares * np.log2(shares)).tolist())
