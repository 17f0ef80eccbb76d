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

from msgspec import Struct, structs

from banbury.compare.equivalence.accounting import Account
from banbury.compare.equivalence.decide import EXPLAINED
from banbury.compare.equivalence.model import BuildRecord, FileVerdict, Verdict
from banbury.compare.equivalence.protocol import TASK
from banbury.compare.equivalence.recurse import Content, Outcome, Recursion
from banbury.compare.rebuilds.allotting import Seen, allotted, unasked, unasked_archives
from banbury.compare.rebuilds.cache import VerdictCache
from banbury.compare.rebuilds.choices import by_times
from banbury.compare.rebuilds.counterparts import Counterparts
from banbury.compare.rebuilds.folders import Folders
from banbury.compare.rebuilds.leftout import Missing, descriptions, left_out
from banbury.compare.rebuilds.matching import Key, Match, Trees, Unit, matches
from banbury.compare.rebuilds.outcomes import outcome as outcome_of
from banbury.compare.rebuilds.outcomes import removed
from banbury.compare.rebuilds.pairing import Pairing, Tree, grown
from banbury.compare.rebuilds.premises import premises
from banbury.compare.rebuilds.provenance import built_by, has_source, strength, untied
from banbury.compare.rebuilds.stating import Row, compared, stated
from banbury.lab.blobs import BlobStore
from banbury.lab.database import Database
from banbury.lab.supervisor import Supervisor
from banbury.model.evaluation import File, Node
from banbury.model.rebuild import LeftOut, NotCompared, Rebuilt
from banbury.model.release import ArtefactRole, Release
from banbury.model.tree import Kind

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
        taken = comparer.matched(matches(release, trees.roots))
        pairing = Pairing(*comparer.trees(taken), {match.image: used for match, used in taken})
        seen = [comparer.seen(match, used, pairing) for match, used in taken]
        for one, missing in zip(seen, allotted(seen, pairing), strict=True):
            row, not_compared = comparer.image(one, missing, pairing)
            rows.append(row)
            left += not_compared
        comparer.finish()
    return Comparison(rebuilt=rows, not_compared=left, worked=comparer.worked)


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
        self._found: dict[int, list[Unit]] = {}

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

    def matched(self, found: list[Match]) -> list[tuple[Match, list[int]]]:
        """Each image with the rebuilds that it is compared with: of equal ones, that which shows the most is first."""
        found = [Match(m.image, sorted(m.whole, key=self._weakness), m.parts) for m in found]
        return [(m, sorted((*m.whole[:1], *m.parts), key=self._weakness)) for m in found]

    def trees(self, taken: list[tuple[Match, list[int]]]) -> tuple[list[Tree], list[Tree]]:
        """The trees of the images, and those of the rebuilds that they are compared with."""
        shipped = [t for match, used in taken if used for t in self._grown(match.image)]
        rebuilt: dict[int, Tree] = {}
        for index in sorted({i for _, used in taken for i in used}):
            for tree in self._grown(index):
                known = rebuilt.setdefault(tree.number, tree)
                if known is not tree:  # files of one folder
                    known.join(tree)
        return shipped, list(rebuilt.values())

    def _grown(self, index: int) -> list[Tree]:
        loose = bool(self._release.artefacts[index].place)
        return grown(self._units(index), index, self._trees.nodes, loose=loose)

    def _units(self, index: int) -> list[Unit]:
        """The units of one artefact; the files of a folder that was handed in lie in one tree."""
        if index not in self._found:
            artefact = self._release.artefacts[index]
            found = self._trees.units(self._roots[index], artefact.place)
            if artefact.tree:
                first = self._roots[next(i for i, a in enumerate(self._release.artefacts) if a.tree == artefact.tree)]
                found = (structs.replace(unit, tree=first.id) for unit in found)
            self._found[index] = list(found)
        return self._found[index]

    def seen(self, match: Match, used: list[int], pairing: Pairing) -> Seen:
        """The files of one image, each with its counterpart."""
        counterparts = Counterparts(pairing)
        for index in used:
            for unit in self._units(index):
                counterparts.add(unit, index)
        units = [u for u in self._units(match.image) if u.node.kind is not Kind.DIR] if used else []
        rows = list(self._rows(match.image, units, counterparts, pairing))
        return Seen(match=match, used=used, rows=rows, counterparts=counterparts)

    def _weakness(self, artefact: int) -> int:
        return -strength(self._builders[artefact])

    def image(self, one: Seen, missing: list[Missing], pairing: Pairing) -> tuple[Rebuilt, list[NotCompared]]:
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
        missing = [gone for gone in missing if gone.unit.node.id not in about]
        left += by_times(root, rows, pairing, match.image, self._store)
        folders = Folders(pairing, one.counterparts.attributes, self._builders)
        for tree in pairing.shipped.values():
            if tree.artefact == match.image:
                differing, unsaid = folders.of(tree)
                rows += differing
                left += [] if match.whole else unsaid
        outcome = self._whole(match, rows, missing)
        builders = sorted({self._builders[i] for i in used}, key=strength)
        why = untied(builders, has_source(self._release))
        gone = left_out(missing, self._files)
        left += _left(root, match, rows, outcome, gone)
        if not match.whole:
            beside = (t for t in pairing.shipped.values() if t.artefact == match.image)
            left += [said for tree in beside for said in unasked(tree, pairing, gone)]
            left += unasked_archives(one, pairing, gone)
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

    def _whole(self, match: Match, rows: list[Row], missing: list[Missing]) -> Outcome:
        """The outcome for the image. Where it is not taken apart, or has no rebuild of its own, its files are in it,
        and those that only the rebuild has."""
        root = self._roots[match.image]
        members = [row.outcome for row in rows] + [removed(gone.unit) for gone in missing]
        if not match.whole:
            own = Content(format="files", own=self._times(match, rows), members=members)
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

    def _times(self, match: Match, rows: list[Row]) -> FileVerdict:
        """What is let go of an image whose files are compared one by one: their times, and that is an assumption."""
        records = {self._release.artefacts[i].record for i in (match.image, *match.parts)}
        found = (self._records(digest) for digest in records if digest)
        account = Account(frozenset(rule for record in found if record for rule in record.observes))
        known = ((row.other.node, row.unit.node) for row in rows if row.other and row.how == "path")
        pairs = ((a.mtime, b.mtime) for a, b in known if b.kind in (Kind.FILE, Kind.HARDLINK))
        count = sum(min(times) >= 0 and len(set(times)) > 1 for times in pairs)
        if count:
            account.explain("folder.time", [], [], f"{count} files")
        return account.verdict(Verdict.METADATA if account.uses else Verdict.IDENTICAL)

    # Files

    def _rows(self, image: int, units: list[Unit], counterparts: Counterparts, pairing: Pairing) -> Iterator[Row]:
        """A row for each unit, in order, with contents compared in batches."""
        rows: list[Row] = []
        waiting: dict[str, tuple[int, list[Row]]] = {}  # by build record: those are compared together
        counts = Counter((pairing.partners(unit.tree), unit.key) for unit in units)
        met: Counter[tuple[tuple[int, ...], Key]] = Counter()
        for unit in units:
            key = pairing.partners(unit.tree), unit.key
            found = counterparts.of(unit, met[key], counts[key])
            met[key] += 1
            how, other, artefact = found.how, found.unit, found.artefact
            builder = self._builders[artefact] if how in ("path", "content") else ""
            row = Row(
                unit=unit,
                how=how,
                other=other,
                outcome=outcome_of(unit, how, other, counterparts.attributes, stray=found.stray),
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
    for lacks in sorted({row.lacks for row in gone}):
        here = [row for row in gone if row.lacks == lacks]
        named = ", ".join(row.path for row in here[:_NAMED])
        more = f" and {len(here) - _NAMED} more" if len(here) > _NAMED else ""
        why = f"{len(here)} files of the rebuild are not in {lacks or 'the image'}: {named}{more}"
        yield NotCompared(node=root.id, why=why)
    bare = [row for row in rows if compared(row) and row.other and row.other.node.mode < 0 <= row.unit.node.mode]
    if bare and not match.whole:
        why = f"modes and owners of {len(bare)} files: what was handed in as a folder or alone has none"
        yield NotCompared(node=root.id, why=why)
    for row in rows:
        if row.how == "nothing":
            folder = row.unit.node.kind is Kind.DIR
            why = f"the rebuild has no {'folder of this path' if folder else 'file of this path or content'}"
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
