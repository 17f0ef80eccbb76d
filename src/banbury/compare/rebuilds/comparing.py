"""Every image of a release compared with its rebuild: the image as a whole where there is one, and each file in it.

The verdict on an image compared as a whole rests on strict parsers alone (:mod:`banbury.compare.equivalence`). The
files are those that the laboratory's readers found in it, which forgive more: a verdict on a file holds for the file as
they read it. Both are sandboxed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import IO, Final

from msgspec import Struct

from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.equivalence.decide import EXPLAINED
from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Verdict
from banbury.compare.equivalence.protocol import TASK
from banbury.compare.equivalence.recurse import Content, Outcome, Recursion, unexplained
from banbury.compare.rebuilds.cache import VerdictCache
from banbury.compare.rebuilds.matching import Counterparts, Key, Match, Trees, Unit, matches
from banbury.compare.rebuilds.premises import premises
from banbury.compare.rebuilds.stating import Row, compared, stated
from banbury.lab.blobs import BlobStore
from banbury.lab.database import Database
from banbury.lab.supervisor import Supervisor
from banbury.model.evaluation import File, Node
from banbury.model.rebuild import NotCompared, Rebuilt
from banbury.model.release import ArtefactRole, Release
from banbury.model.tree import Kind

_BATCH: Final = 64
_BATCH_BYTES: Final = 64 << 20
_PERMISSIONS: Final = 0o7777
_NAMED: Final = 5
Records = Callable[[str], BuildRecord | None]


class Comparison(Struct, frozen=True, kw_only=True):
    """What came of it: a row for each image, what was compared with nothing, and how many pairs a worker compared."""

    rebuilt: list[Rebuilt]
    not_compared: list[NotCompared]
    worked: int


def wanted(release: Release) -> bool:
    """Whether a submission asks for the comparison: it has a rebuild, or source that something should be built from."""
    return any(a.role in (ArtefactRole.REBUILD, ArtefactRole.SOURCE) for a in release.artefacts)


def compare_rebuilds(
    release: Release, nodes: list[Node], files: Mapping[str, File], payload: list[bool], store: BlobStore,
    database: Database, records: Records,
) -> Comparison:  # fmt: skip
    """Compare every image of ``release``. ``files`` is what is known of each content; ``records`` gives the build
    record of a SHA-256 in the store."""
    trees = Trees(nodes, payload)
    rows: list[Rebuilt] = []
    left: list[NotCompared] = []
    with ExitStack() as stack:
        comparer = _Comparer(release, trees, store, database, records, stack)
        for match in matches(release, trees.roots):
            row, missing = comparer.image(match, files)
            rows.append(row)
            left += missing
        comparer.finish()
    return Comparison(rebuilt=rows, not_compared=left, worked=comparer.worked)


class _Comparer:
    def __init__(
        self, release: Release, trees: Trees, store: BlobStore, database: Database, records: Records, stack: ExitStack
    ) -> None:
        self._release, self._trees, self._roots, self._store = release, trees, trees.roots, store
        self._database, self._records, self._stack = database, records, stack
        self._supervisor: Supervisor | None = None
        self._runs: dict[tuple[str, str], tuple[Recursion, VerdictCache]] = {}

    @property
    def worked(self) -> int:
        return sum(run.compared for run, _ in self._runs.values())

    def finish(self) -> None:
        for _, cache in self._runs.values():
            cache.flush()

    def _run(self, rebuild: int, image: int) -> tuple[Recursion, VerdictCache]:
        """The comparison under the build records of one rebuild and one image."""
        listed = self._release.artefacts
        key = listed[rebuild].record, listed[image].record
        if key not in self._runs:
            if self._supervisor is None:
                self._supervisor = self._stack.enter_context(Supervisor(TASK))
            a, b = (self._records(digest) if digest else None for digest in key)
            cache = VerdictCache(self._database, a, b)
            self._runs[key] = Recursion(self._supervisor, a, b, explain=EXPLAINED, cache=cache), cache
        return self._runs[key]

    def image(self, match: Match, files: Mapping[str, File]) -> tuple[Rebuilt, list[NotCompared]]:
        """One image: its row, and what of it was compared with nothing."""
        root = self._roots[match.image]
        if not match.whole and not match.parts:
            return Rebuilt(image=root.id, method="none"), [
                NotCompared(node=root.id, why="no rebuild of it was handed in", length=root.size)
            ]
        used = [*match.whole[:1], *match.parts]
        left = [
            NotCompared(node=self._roots[i].id, why="the image is compared with the first rebuild that is named for it")
            for i in match.whole[1:]
        ]
        counterparts = Counterparts()
        for index in used:
            for unit in self._trees.units(self._roots[index], self._release.artefacts[index].place):
                counterparts.add(unit, index)
        rows = list(self._rows(match.image, list(self._trees.units(root)), counterparts))
        outcome = self._whole(match, rows)
        unused = counterparts.unused()
        left += _left(root, match, rows, outcome, unused)
        listed = self._release.artefacts
        row = stated(
            image=root,
            rebuilds=[self._roots[i] for i in used],
            method="whole" if match.whole else "files",
            rows=rows,
            outcome=outcome,
            records=(any(listed[i].record for i in used), bool(listed[match.image].record)),
            only_rebuilt=unused,
            keep=self._store.put,
            stated_of_themselves=premises(
                [node for i in used for node in self._trees.below(self._roots[i])], self._trees.below(root), files
            ),
        )
        return row, left

    def _whole(self, match: Match, rows: list[Row]) -> Outcome:
        """The outcome for the image. Where it is not taken apart, or has no rebuild of its own, its files are in it."""
        root = self._roots[match.image]
        members = [row.outcome for row in rows]
        if not match.whole:
            own = Content(format="files", own=FileVerdict(verdict=Verdict.IDENTICAL), members=members)
            return Outcome(name=root.name, size_b=root.size, sha256_b=root.sha256, content=own)
        index = match.whole[0]
        run, _ = self._run(index, match.image)
        with ExitStack() as opened:
            one, other = (opened.enter_context(self._open(self._roots[i])) for i in (index, match.image))
            outcome = run.files([(root.name, one, other)])[0]
        content = outcome.content
        if content and not content.members and content.own.verdict is not Verdict.IDENTICAL and len(rows) > 1:
            outcome.content = Content(format=content.format, own=content.own, members=members)
        return outcome

    # Files

    def _rows(self, image: int, units: list[Unit], counterparts: Counterparts) -> Iterator[Row]:
        """A row for each unit, in order, with contents compared in batches."""
        rows: list[Row] = []
        waiting: dict[str, tuple[int, list[Row]]] = {}  # by build record: those are compared together
        counts = Counter(unit.key for unit in units)
        met: Counter[Key] = Counter()
        for unit in units:
            key = unit.key
            found = counterparts.of(unit, met[key], counts[key])
            met[key] += 1
            how, other, artefact = found.how, found.unit, found.artefact
            row = Row(unit=unit, how=how, other=other, outcome=_outcome(unit, how, other))
            rows.append(row)
            if row.outcome.content is None and other is not None and other.node.sha256 and unit.node.sha256:
                waiting.setdefault(self._release.artefacts[artefact].record, (artefact, []))[1].append(row)
        for artefact, listed in waiting.values():
            run, _ = self._run(artefact, image)
            for batch in _batches(listed):
                self._compare(run, batch)
        self._measure(image, rows)
        return iter(rows)

    def _compare(self, run: Recursion, batch: list[Row]) -> None:
        with ExitStack() as opened:
            named = []
            for row in batch:
                assert row.other is not None
                one, other = (opened.enter_context(self._open(node)) for node in (row.other.node, row.unit.node))
                named.append((row.outcome.name, one, other))
            for row, found in zip(batch, run.files(named), strict=True):
                row.outcome.content, row.outcome.samples = found.content, found.samples

    def _measure(self, image: int, rows: list[Row]) -> None:
        """The size of the program code of files that no comparison has opened."""
        missing: dict[str, list[Row]] = {}
        for row in rows:
            own = row.outcome.content.own if row.outcome.content else None
            if row.unit.node.sha256 and not (own and own.code) and self._is_program(row.unit.node):
                missing.setdefault(row.unit.node.sha256, []).append(row)
        if not missing:
            return
        run, cache = self._run(image, image)
        known = cache.get([(digest, digest) for digest in missing])
        fresh = [found[0] for digest, found in missing.items() if (digest, digest) not in known]
        sizes = {digest: content.own.code for (digest, _), (content, _) in known.items()}
        for batch in _batches(fresh):
            with ExitStack() as opened:
                files = [opened.enter_context(self._open(row.unit.node)) for row in batch]
                for row, size in zip(batch, run.code_bytes(files), strict=True):
                    digest = row.unit.node.sha256
                    sizes[digest] = size
                    own = FileVerdict(verdict=Verdict.IDENTICAL, code=size, proved_code=size)
                    cache.put((digest, digest), Content(format="elf", own=own), [])
        for digest, found in missing.items():
            for row in found:
                row.outcome.code = sizes[digest]

    def _is_program(self, node: Node) -> bool:
        handle = self._store.open(node.sha256)
        try:
            return os.pread(handle, 4, 0) == b"\x7fELF"
        finally:
            os.close(handle)

    def _open(self, node: Node) -> IO[bytes]:
        return os.fdopen(self._store.open(node.sha256), "rb")


def _outcome(unit: Unit, how: str, other: Unit | None) -> Outcome:
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


def _left(root: Node, match: Match, rows: list[Row], outcome: Outcome, unused: list[str]) -> Iterable[NotCompared]:
    """What of an image was compared with nothing."""
    if not match.whole:
        why = "what lies beside and around its files: the rebuild is files, not an image"
        yield NotCompared(node=root.id, why=why)
    elif outcome.content and outcome.content.own.verdict is Verdict.UNEXPLAINED:
        first = next(iter(outcome.content.own.unexplained), None)
        why = f"what lies beside and around its files: {first.why if first else 'it was not taken apart'}"
        yield NotCompared(node=root.id, why=why)
    if unused:
        named = ", ".join(unused[:_NAMED]) + (f" and {len(unused) - _NAMED} more" if len(unused) > _NAMED else "")
        yield NotCompared(node=root.id, why=f"files of the rebuild that the image does not have: {named}")
    for row in rows:
        if row.how == "nothing":
            why = "the rebuild has no file of this path or content"
            yield NotCompared(node=row.unit.node.id, why=why, length=max(row.unit.node.size, 0))
        elif compared(row) and not row.unit.node.complete:
            yield NotCompared(node=row.unit.node.id, why="its content could not be decoded to its end")


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        more = row.unit.node.size + (row.other.node.size if row.other else 0)
        if batch and (len(batch) >= _BATCH or size + more > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += more
    if batch:
        yield batch
