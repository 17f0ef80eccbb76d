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

from banbury.compare.equivalence.decide import EXPLAINED
from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Verdict
from banbury.compare.equivalence.protocol import TASK
from banbury.compare.equivalence.recurse import Content, Outcome, Recursion
from banbury.compare.rebuilds.cache import VerdictCache
from banbury.compare.rebuilds.choices import by_times
from banbury.compare.rebuilds.leftout import descriptions, left_out
from banbury.compare.rebuilds.matching import Counterparts, Key, Match, Trees, Unit, matches
from banbury.compare.rebuilds.outcomes import outcome as outcome_of
from banbury.compare.rebuilds.outcomes import removed
from banbury.compare.rebuilds.premises import premises
from banbury.compare.rebuilds.provenance import built_by, has_source, strength, untied
from banbury.compare.rebuilds.stating import Row, compared, stated
from banbury.lab.blobs import BlobStore
from banbury.lab.database import Database
from banbury.lab.supervisor import Supervisor
from banbury.model.evaluation import File, Node
from banbury.model.rebuild import LeftOut, NotCompared, Rebuilt
from banbury.model.release import ArtefactRole, Release

_BATCH: Final = 64
_BATCH_BYTES: Final = 64 << 20
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
    database: Database, records: Records, *, rebuilt_here: bool = False,
) -> Comparison:  # fmt: skip
    """Compare every image of ``release``. ``files`` is what is known of each content; ``records`` gives the build
    record of a SHA-256 in the store; ``rebuilt_here``: whoever runs this built what the manifest says that the
    laboratory built."""
    trees = Trees(nodes, payload)
    rows: list[Rebuilt] = []
    left: list[NotCompared] = []
    builders = [built_by(artefact, rebuilt_here) for artefact in release.artefacts]
    with ExitStack() as stack:
        comparer = _Comparer(release, trees, store, database, records, stack, files, builders)
        seen = [comparer.seen(match) for match in matches(release, trees.roots)]
        for one, missing in zip(seen, _allotted(seen), strict=True):
            row, not_compared = comparer.image(one, missing)
            rows.append(row)
            left += not_compared
        comparer.finish()
    return Comparison(rebuilt=rows, not_compared=left, worked=comparer.worked)


class _Seen(Struct, frozen=True, kw_only=True):
    """An image with the rebuilds (indices of artefacts) that it was compared with, file by file."""

    match: Match
    used: list[int]
    rows: list[Row]
    counterparts: Counterparts


def _allotted(seen: list[_Seen]) -> list[list[tuple[Unit, str]]]:
    """For each image the units of its rebuilds that it does not have. A rebuild that is named for no image may be for
    several: what none of them has is said of the one that has the most of it."""
    out: list[list[tuple[Unit, str]]] = [[] for _ in seen]
    unused = [{unit.node.id: (unit, at, moved) for unit, at, moved in one.counterparts.unused()} for one in seen]
    taken = [Counter(row.artefact for row in one.rows) for one in seen]
    sharing: dict[int, list[int]] = {}
    for number, one in enumerate(seen):
        for artefact in one.used:
            sharing.setdefault(artefact, []).append(number)
    home = {artefact: max(images, key=lambda n: (taken[n][artefact], -n)) for artefact, images in sharing.items()}
    for number, found in enumerate(unused):
        for node, (unit, artefact, moved) in found.items():
            if home[artefact] == number and all(node in unused[n] for n in sharing[artefact]):
                out[number].append((unit, moved))
    return out


class _Comparer:
    def __init__(
        self, release: Release, trees: Trees, store: BlobStore, database: Database, records: Records, stack: ExitStack,
        files: Mapping[str, File], builders: list[str],
    ) -> None:  # fmt: skip
        self._files, self._builders = files, builders
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

    def seen(self, match: Match) -> _Seen:
        """The files of one image, each with its counterpart: of equal ones, that whose rebuild shows the most."""
        match = Match(match.image, sorted(match.whole, key=self._weakness), match.parts)
        used = sorted((*match.whole[:1], *match.parts), key=self._weakness)
        counterparts = Counterparts()
        for index in used:
            for unit in self._trees.units(self._roots[index], self._release.artefacts[index].place):
                counterparts.add(unit, index)
        units = list(self._trees.units(self._roots[match.image])) if used else []
        rows = list(self._rows(match.image, units, counterparts))
        return _Seen(match=match, used=used, rows=rows, counterparts=counterparts)

    def _weakness(self, artefact: int) -> int:
        return -strength(self._builders[artefact])

    def image(self, one: _Seen, missing: list[tuple[Unit, str]]) -> tuple[Rebuilt, list[NotCompared]]:
        """One image: its row, and what of it was compared with nothing."""
        match, used, rows = one.match, one.used, one.rows
        listed = self._release.artefacts
        root = self._roots[match.image]
        if not used:
            return Rebuilt(image=root.id, method="none"), [
                NotCompared(node=root.id, why="no rebuild of it was handed in", length=root.size)
            ]
        left = [
            NotCompared(node=self._roots[i].id, why="the image is compared with another rebuild that is named for it")
            for i in match.whole[1:]
        ]
        built = [node for i in used for node in self._trees.below(self._roots[i])]
        about = descriptions(built, self._files)
        missing = [(unit, moved) for unit, moved in missing if unit.node.id not in about]
        shipped = self._trees.members(root)
        ours = (n for i in used for n in self._trees.members(self._roots[i], listed[i].place))
        left += by_times(root, rows, shipped, ours, self._store)
        outcome = self._whole(match, rows, missing)
        builders = sorted({self._builders[i] for i in used}, key=strength)
        why = untied(builders, has_source(self._release))
        gone = left_out(missing, self._files)
        left += _left(root, match, rows, outcome, gone)
        if why:
            left.append(NotCompared(node=root.id, why=why, of="source"))
        row = stated(
            image=root,
            rebuilds=[self._roots[i] for i in used],
            builders=builders,
            tied=not why,
            source=has_source(self._release),
            method="whole" if match.whole else "files",
            rows=rows,
            outcome=outcome,
            records=(any(listed[i].record for i in used), bool(listed[match.image].record)),
            left_out=gone,
            keep=self._store.put,
            stated_of_themselves=premises(built, self._trees.below(root), self._files),
        )
        return row, left

    def _whole(self, match: Match, rows: list[Row], missing: list[tuple[Unit, str]]) -> Outcome:
        """The outcome for the image. Where it is not taken apart, or has no rebuild of its own, its files are in it,
        and those that only the rebuild has."""
        root = self._roots[match.image]
        members = [row.outcome for row in rows] + [removed(unit) for unit, _ in missing]
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
            builder = self._builders[artefact] if how in ("path", "content") else ""
            row = Row(
                unit=unit,
                how=how,
                other=other,
                outcome=outcome_of(unit, how, other, counterparts.attributes),
                artefact=artefact,
                builder=builder,
            )
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


def _left(root: Node, match: Match, rows: list[Row], outcome: Outcome, gone: list[LeftOut]) -> Iterable[NotCompared]:
    """What of an image was compared with nothing."""
    if not match.whole:
        why = "what lies beside and around its files: the rebuild is files, not an image"
        yield NotCompared(node=root.id, why=why)
    elif outcome.content and outcome.content.own.verdict is Verdict.UNEXPLAINED:
        first = next(iter(outcome.content.own.unexplained), None)
        why = f"what lies beside and around its files: {first.why if first else 'it was not taken apart'}"
        yield NotCompared(node=root.id, why=why)
    if gone:
        named = ", ".join(row.path for row in gone[:_NAMED])
        more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
        why = f"{len(gone)} files of the rebuild are not in the image: {named}{more}"
        yield NotCompared(node=root.id, why=why)
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
