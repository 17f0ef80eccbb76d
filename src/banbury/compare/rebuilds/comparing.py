"""Every image of a release compared with its rebuild: the image as a whole where there is one, and each file in it.

The verdict on an image compared as a whole rests on strict parsers alone (:mod:`banbury.compare.equivalence`). The
files are those that the laboratory's readers found in it, which forgive more: a verdict on a file holds for the file as
they read it. Both are sandboxed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property, partial
from typing import Final

from msgspec import Struct, structs

from banbury.compare.equivalence.accounting import Account
from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.equivalence.model import FileVerdict, Verdict
from banbury.compare.equivalence.outcome import Content, Outcome, flatten, unexplained
from banbury.compare.equivalence.protocol import Read
from banbury.compare.equivalence.vouched import VOUCHES
from banbury.compare.rebuilds import strictly
from banbury.compare.rebuilds.allotting import Seen, allotted
from banbury.compare.rebuilds.choices import by_times
from banbury.compare.rebuilds.contents import Contents, Records
from banbury.compare.rebuilds.counterparts import Counterparts
from banbury.compare.rebuilds.doubts import Doubts
from banbury.compare.rebuilds.folders import Folders
from banbury.compare.rebuilds.gathered import Gathered
from banbury.compare.rebuilds.leftout import Missing, left_out
from banbury.compare.rebuilds.linked import by_links
from banbury.compare.rebuilds.matching import Key, Match, Trees, Unit, matches, plain_path
from banbury.compare.rebuilds.order import Order
from banbury.compare.rebuilds.outcomes import outcome as outcome_of
from banbury.compare.rebuilds.outcomes import removed
from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.premises import premises
from banbury.compare.rebuilds.provenance import built_by, has_source, strength, untied
from banbury.compare.rebuilds.stating import Row, stated
from banbury.compare.rebuilds.trees import Tree
from banbury.compare.rebuilds.uncompared import uncompared
from banbury.lab.blobs import BlobStore
from banbury.lab.database import Database
from banbury.model.evaluation import File, Node
from banbury.model.rebuild import FileSystem, NotCompared, Rebuilt
from banbury.model.release import ArtefactRole, Release
from banbury.model.tree import Kind

_LONGEST: Final = 2000  # characters of what is told of one file system


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
        contents = Contents(release.artefacts, store, database, records, stack)
        gathered = Gathered(release, trees, files)
        comparer = _Comparer(release, trees, gathered, contents, store, records, files, builders)
        taken = comparer.matched(matches(release, trees.roots))
        pairing, problems = gathered.paired(taken)
        doubts = Doubts(pairing, problems)
        seen = [comparer.seen(match, used, pairing) for match, used in taken]
        for one, missing in zip(seen, allotted(seen, pairing, gathered.about), strict=True):
            row, not_compared = comparer.image(one, missing, pairing, doubts)
            rows.append(row)
            left += not_compared
        contents.finish()
    return Comparison(rebuilt=rows, not_compared=left, worked=contents.worked)


class _Comparer:
    def __init__(
        self, release: Release, trees: Trees, gathered: Gathered, contents: Contents, store: BlobStore,
        records: Records, files: Mapping[str, File], builders: list[str],
    ) -> None:  # fmt: skip
        self._files, self._builders = files, builders
        self._release, self._trees, self._roots, self._store = release, trees, trees.roots, store
        self._units, self._contents, self._records = gathered.units, contents, records
        self._order = Order(release.artefacts)

    def matched(self, found: list[Match]) -> list[tuple[Match, list[int]]]:
        """Each image with the rebuilds that it is compared with: of equal ones, that which shows the most is first."""
        found = [Match(m.image, sorted(m.whole, key=self._weakness), m.parts) for m in found]
        return [(m, sorted((*m.whole[:1], *m.parts), key=self._weakness)) for m in found]

    def seen(self, match: Match, used: list[int], pairing: Pairing) -> Seen:
        """The files of one image, each with its counterpart."""
        counterparts = Counterparts(pairing, self._order)
        for index in used:
            for unit in self._units(index):
                counterparts.add(unit, index)
        units = [u for u in self._units(match.image) if u.node.kind is not Kind.DIR] if used else []
        rows = list(self._rows(match.image, units, counterparts, pairing))
        return Seen(match=match, used=used, rows=rows, counterparts=counterparts)

    def _weakness(self, artefact: int) -> int:
        return -strength(self._builders[artefact])

    def image(
        self, one: Seen, missing: list[Missing], pairing: Pairing, doubts: Doubts
    ) -> tuple[Rebuilt, list[NotCompared]]:
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
        left += [
            NotCompared(
                node=u.node.id, why=f"{u.path}: {u.node.locator} is another file of this path, as a package may have"
            )
            for u in one.counterparts.others
        ]
        left += by_times(root, rows, pairing, match.image, self._store)
        folders = Folders(pairing, one.counterparts.attributes, self._builders, self._order)
        for tree in pairing.shipped.values():
            if tree.artefact == match.image:
                differing, unsaid = folders.of(tree)
                rows += differing
                left += [] if match.whole else unsaid
        systems = [] if match.whole else doubts.systems(match.image, root)
        apart = [] if match.whole else doubts.apart(match.image, systems)
        systems, forgiven = self._strictly(match.image, systems, pairing, apart)
        outcome = self._whole(match, rows, missing, systems)
        builders = sorted({self._builders[i] for i in used}, key=strength)
        why = untied(builders, has_source(self._release))
        gone = left_out(missing, self._files)
        left += uncompared(root, match, rows, outcome, gone)
        left += [] if match.whole else doubts.ledger(match.image, systems)
        left += forgiven
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
            file_systems=systems,
            keep=self._store.put,
            stated_of_themselves=premises(built, self._trees.below(root), self._files),
        )
        return row, left

    def _strictly(
        self, image: int, systems: list[FileSystem], pairing: Pairing, apart: list[Tree]
    ) -> tuple[list[FileSystem], list[NotCompared]]:
        """The file systems of an image with what their strict readers make of them, and those that are made of no
        rebuild (``apart``) where that is a doubt; and what has none."""
        every = [*systems, *(FileSystem(node=tree.number) for tree in apart)]
        known = {n: self._trees.nodes[n] for s in every if (n := s.node) in pairing.shipped}
        nodes = [node for node in known.values() if node.sha256]
        reads = dict(zip((n.id for n in nodes), self._contents.strictly(image, nodes), strict=True))
        unread = [s for s in every if s.node in known and strictly.unknown(reads.get(s.node), known[s.node].format)]
        same = self._same_form(image, unread)
        out: list[FileSystem] = []
        left = []
        for place, system in enumerate(every):
            said = system.doubts
            if system.node in known:
                tree, node = pairing.shipped[system.node], known[system.node]
                read = reads.get(system.node, Read(format=""))
                known_odd = partial(self._odd, image, tree, pairing)
                said = [*strictly.doubts(tree, read, node.format, known_odd), *said]
                if system in unread:
                    member = tree.outer >= 0 and tree.outer not in pairing.corresponding
                    partners = [pairing.rebuilt[n] for n in system.rebuilds]
                    why, doubt = strictly.unread(tree, node, partners, same[system.node], member=member)
                    said = [*said, why] if doubt else said
                    left += [] if doubt else [NotCompared(node=system.node, why=why)]
            if said or place < len(systems):
                out.append(structs.replace(system, doubts=said))
        return out, left

    def _odd(self, image: int, tree: Tree, pairing: Pairing, paths: set[str]) -> set[tuple[str, str]]:
        """What the strict readers find odd at some paths of a shipped tree in all that was rebuilt for them, where that
        is of the same form."""
        form = self._trees.nodes[tree.number].format
        native = [r for r in pairing.native(tree) if paths & r.paths]
        nodes = [self._trees.nodes[r.number] for r in native if not r.loose]
        readable = [node for node in nodes if node.sha256 and node.format == form]
        read = dict(zip((n.id for n in readable), self._contents.strictly(image, readable), strict=True))
        found = {r.number: {(plain_path(p), o) for p, o in read[r.number].odd} for r in native if r.number in read}
        every = set().union(*found.values())
        same = {
            (path, odd) for path, odd in every
            if all((path, odd) in found.get(r.number, ()) for r in native if path in r.paths)
        }  # fmt: skip
        return {(path, odd) for path, odd in same if not self._vouches(odd, path, [tree, *native])}

    def _vouches(self, odd: str, path: str, trees: list[Tree]) -> bool:
        """Whether what is odd at a path of several trees may be a digest of the file there, which is not the same in
        all of them."""
        files = {u.node.sha256: u.node for tree in trees for u in tree.units.get(path, []) if u.node.sha256}
        if len(files) < 2:
            return False
        hidden = "(sha256:" in odd or odd.endswith(VOUCHES)  # it is not text, and is not looked through
        return hidden or bool(self._contents.stating({"": odd.encode()}, files.values()))

    def _same_form(self, image: int, systems: list[FileSystem]) -> dict[int, list[Node]]:
        """Of file systems that no strict reader knows, the rebuilt ones of their form, of which none does, either."""
        nodes, out = self._trees.nodes, {}
        for system in systems:
            found = [nodes[n] for n in system.rebuilds if nodes[n].format == nodes[system.node].format]
            read = self._contents.strictly(image, [n for n in found if n.sha256])
            unknown = zip((n for n in found if n.sha256), read, strict=True)
            out[system.node] = [node for node, r in unknown if strictly.unknown(r, node.format)]
        return out

    def _whole(self, match: Match, rows: list[Row], missing: list[Missing], systems: list[FileSystem]) -> Outcome:
        """The outcome for the image. Where it is not taken apart, or has no rebuild of its own, its files are in it,
        and those that only the rebuild has; and what nothing tells of its file systems, where that decides."""
        root = self._roots[match.image]
        members = [row.outcome for row in rows] + [removed(gone.unit) for gone in missing]
        if not match.whole:
            if all(verdict.equivalent for member in members for _, _, verdict in flatten(member)[:1]):
                members += [self._unclear(system) for system in systems if system.doubts]
            own = Content(format="files", own=self._times(match, rows), members=members)
            return Outcome(name=root.name, size_b=root.size, sha256_b=root.sha256, content=own)
        index = match.whole[0]
        outcome = self._contents.whole(index, match.image, (self._roots[index], root))
        content = outcome.content
        if content and not content.members and content.own.verdict is not Verdict.IDENTICAL and len(rows) > 1:
            outcome.content = Content(format=content.format, own=content.own, members=members)
        return outcome

    def _unclear(self, system: FileSystem) -> Outcome:
        node = self._trees.nodes[system.node]
        why = "; ".join(system.doubts)[:_LONGEST]
        return Outcome(name=node.locator, size_b=node.size, sha256_b=node.sha256, content=unexplained(why))

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

    def _named(self, row: Row) -> list[Change]:
        """Where a file has the content of one that was handed in alone, and the name of another such."""
        if row.how != "content" or row.other is None or not row.other.piece or row.unit.piece:
            return []
        name = row.unit.path.rpartition("/")[2]
        other = self._alone.get(name, row.unit.node.sha256)
        return [Change(what="name", a=row.other.node.name, b=name)] if other != row.unit.node.sha256 else []

    @cached_property
    def _alone(self) -> dict[str, str]:
        """The contents of what was handed in alone, without a place, by name."""
        listed = zip(self._release.artefacts, self._roots, strict=True)
        alone = (r for a, r in listed if a.role is ArtefactRole.REBUILD and not a.place and not a.tree)
        return {root.name.rpartition("/")[2]: root.sha256 for root in alone}

    def _rows(self, image: int, units: list[Unit], counterparts: Counterparts, pairing: Pairing) -> Iterator[Row]:
        """A row for each unit, in order, with contents compared in batches."""
        rows: list[Row] = []
        waiting: dict[str, tuple[int, list[Row]]] = {}  # by build record: those are compared together
        together = {unit.tree: pairing.together(unit.tree) for unit in units}
        counts = Counter((together[unit.tree], unit.key) for unit in units)
        met: Counter[tuple[tuple[int, ...], Key]] = Counter()
        for unit in units:
            key = together[unit.tree], unit.key
            found = counterparts.of(unit, met[key], counts[key])
            met[key] += 1
            how, other, artefact = found.how, found.unit, found.artefact
            if unit.opened and how != "path" and unit.tree not in pairing.corresponding:
                continue  # what is in it is looked at, and nothing says what lies beside it
            builder = self._builders[artefact] if how in ("path", "content") else ""
            row = Row(
                unit=unit,
                how=how,
                other=other,
                outcome=outcome_of(unit, how, other, counterparts.attributes, stray=found.stray, among=found.among),
                artefact=artefact,
                builder=builder,
            )
            row.outcome.changes += self._named(row)
            rows.append(row)
            if row.outcome.content is None and other is not None and other.node.sha256 and unit.node.sha256:
                waiting.setdefault(self._release.artefacts[artefact].record, (artefact, []))[1].append(row)
        by_links(rows, self._trees.nodes)
        self._contents.compare(image, waiting)
        self._contents.vouched(image, rows)
        self._contents.measure(image, rows)
        return iter(rows)
