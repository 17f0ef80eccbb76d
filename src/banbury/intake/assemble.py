"""Turns what was unpacked and examined into the evaluation's nodes, files and containers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from msgspec import Struct, structs, to_builtins

from banbury.formats.contract import clean_name
from banbury.formats.dissect import LEAF
from banbury.inspect.contract import TreeInspector
from banbury.inspect.registry import inspectors
from banbury.intake.unpack import Examined, Haul, Place, place_key
from banbury.model.errors import Malformed
from banbury.model.evaluation import Container, Fact, File, Node, Trouble
from banbury.model.facts import Outcome, Result
from banbury.model.release import Release
from banbury.model.tree import Dissection, Entry, Kind, Region, Role

_SEPARATOR = "!"
_VALUE = 64  # bytes of an extended attribute that are shown


class Assembled(Struct, frozen=True, kw_only=True):
    """The tree and what is known of its contents. ``children`` are node ids by node id; ``place_of`` maps a node to
    its place in the haul; ``coverage`` counts outcomes by tool; ``failures`` are blobs that no reader survived;
    ``followed`` are the contents that hold nothing else and were followed to their last byte."""

    nodes: list[Node]
    files: dict[str, File]
    containers: dict[str, Container]
    children: dict[int, list[int]]
    payload: list[bool]
    coverage: dict[str, Counter[Outcome]]
    failures: list[Trouble]
    recursive: list[str]
    followed: set[str]


def assemble(haul: Haul, release: Release) -> Assembled:
    """Number the places depth first and gather every content's results."""
    builder = _Builder(haul, release)
    builder.build()
    return Assembled(
        nodes=builder.nodes,
        files=builder.files,
        containers=builder.containers,
        children=builder.children,
        payload=builder.payload,
        coverage=builder.coverage,
        failures=builder.failures,
        recursive=builder.recursive,
        followed=builder.followed,
    )


class _Builder:
    def __init__(self, haul: Haul, release: Release) -> None:
        self._haul = haul
        self._release = release
        self._below: dict[int, list[int]] = {}
        for index, place in enumerate(haul.places):
            self._below.setdefault(place.parent, []).append(index)
        self._roles = Counter(a.role for a in release.artefacts)
        self._tree_facts: dict[str, dict[str, list[Fact]]] = {}
        self.nodes: list[Node] = []
        self.files: dict[str, File] = {}
        self.containers: dict[str, Container] = {}
        self.children: dict[int, list[int]] = {}
        self.payload: list[bool] = []
        self.coverage: dict[str, Counter[Outcome]] = {name: Counter() for name in inspectors()}
        self.failures: list[Trouble] = []
        self.recursive: list[str] = []
        self.followed: set[str] = set()

    def build(self) -> None:
        """Depth first without recursion: hostile trees are deep."""
        stack = [(index, -1, "", "") for index in reversed(self._below.get(-1, []))]
        while stack:
            index, parent, locator, where = stack.pop()
            node = self._add(index, parent, locator, where)
            below = self._below.get(index, [])
            names = self._stable_names(below)
            stack += [(i, node.id, node.locator, f"{node.where}{_SEPARATOR}{names[i]}") for i in reversed(below)]
        for blob, place in sorted(self._haul.examined):
            if place and blob in self.files:
                self._count(self._haul.examined[blob, place].results)
                self._add_trouble(blob, self._haul.examined[blob, place].results)

    def _stable_names(self, siblings: list[int]) -> dict[int, str]:
        """Names that carry no offset; a name that comes again is numbered."""
        seen: Counter[str] = Counter()
        names: dict[int, str] = {}
        for index in siblings:
            place = self._haul.places[index]
            entry = self._entry(place)
            name = (entry.format or "unknown") if entry.kind is Kind.CHUNK else entry.path
            seen[name] += 1
            names[index] = name if seen[name] == 1 else f"{name}#{seen[name]}"
        return names

    def _entry(self, place: Place) -> Entry:
        dissection = self._dissection(self._haul.places[place.parent].digest)
        assert dissection is not None
        return dissection.entries[place.entry]

    def _dissection(self, digest: str) -> Dissection | None:
        unpacked = self._haul.unpacked.get(digest)
        return unpacked.dissection if unpacked else None

    def _add(self, index: int, parent: int, locator: str, where: str) -> Node:
        place = self._haul.places[index]
        inside = self._dissection(place.digest) if place.digest and not place.stopped else None
        node_format = inside.format if inside else ""
        number = len(self.nodes)
        if parent < 0:
            artefact = self._release.artefacts[index]
            node = Node(
                id=number,
                parent=-1,
                name=artefact.name,
                locator=artefact.name,
                where=str(artefact.role) if self._roles[artefact.role] == 1 else f"{artefact.role}:{artefact.name}",
                kind=Kind.SYMLINK if artefact.link else Kind.FILE,
                link=artefact.link,
                sha256=artefact.sha256,
                size=artefact.size,
                format=node_format,
                facts=self._place_facts(place, {}),
            )
            payload = place.payload
        else:
            outer = self._dissection(self._haul.places[place.parent].digest)
            assert outer is not None
            node = self._member(number, parent, place, outer, f"{locator}{_SEPARATOR}", where, node_format)
            payload = place.payload
        self.nodes.append(node)
        self.payload.append(payload)
        self.children.setdefault(parent, []).append(number)
        if place.digest:
            self._add_content(place, number, payload)
        if place.stopped:
            self.recursive.append(f"{node.locator}: not opened, {place.stopped}")
        return node

    def _member(
        self, number: int, parent: int, place: Place, outer: Dissection, prefix: str, where: str, inner: str
    ) -> Node:
        entry = outer.entries[place.entry]
        content = next((c for c in self._contents(self._haul.places[place.parent].digest, place.entry)), None)
        tree_facts = self._facts_of_tree(self._haul.places[place.parent].digest, outer)
        return Node(
            id=number,
            parent=parent,
            name=entry.path,
            locator=prefix + entry.path,
            where=where,
            kind=entry.kind,
            depth=place.depth,
            sha256=place.digest,
            size=content[1] if content else entry.size,
            start=content[0] if content else -1,
            complete=content[2] if content else True,
            format=inner,
            mode=entry.mode,
            uid=entry.uid,
            gid=entry.gid,
            mtime=entry.mtime,
            link=entry.link,
            rdev=entry.rdev,
            user=entry.user,
            group=entry.group,
            xattrs={clean_name(n.encode("utf-8", "replace"))[0]: _stated(v) for n, v in entry.xattrs.items()},
            facts=self._place_facts(place, tree_facts),
        )

    def _contents(self, digest: str, member: int) -> Iterator[tuple[int, int, bool]]:
        """(start or -1, length, complete) of a member's content."""
        index = self._content_index(digest)
        if member in index:
            yield index[member]

    def _content_index(self, digest: str) -> dict[int, tuple[int, int, bool]]:
        cache = self.__dict__.setdefault("_content_cache", {})
        if digest not in cache:
            dissection = self._dissection(digest)
            assert dissection is not None
            cache[digest] = {
                c.member: (c.start if c.stored else -1, c.length, c.complete) for c in reversed(dissection.contents)
            }
        index: dict[int, tuple[int, int, bool]] = cache[digest]
        return index

    def _place_facts(self, place: Place, tree_facts: dict[str, list[Fact]]) -> list[Fact]:
        facts: list[Fact] = []
        if place.digest and place.path:
            examined = self._haul.examined.get((place.digest, place_key(place.path)))
            facts += _facts(examined)
        return facts + tree_facts.get(place.path, [])

    def _facts_of_tree(self, digest: str, tree: Dissection) -> dict[str, list[Fact]]:
        """What the tree inspectors say of a container's entries, by the entry's path; worked out once per content."""
        if digest not in self._tree_facts:
            found: dict[str, list[Fact]] = {}
            for name, inspector in inspectors().items():
                if not isinstance(inspector, TreeInspector):
                    continue
                try:
                    for fact in inspector.inspect(tree):
                        plain = to_builtins(fact)
                        found.setdefault(str(plain.get("path", "")), []).append({**plain, "by": name})
                    self.coverage[name][Outcome.DONE] += 1
                except Malformed as problem:
                    self.coverage[name][Outcome.FAILED] += 1
                    self.failures.append(Trouble(tool=name, outcome=Outcome.FAILED, why=f"{digest}: {problem}"))
            self._tree_facts[digest] = found
        return self._tree_facts[digest]

    def _add_content(self, place: Place, number: int, payload: bool) -> None:
        digest = place.digest
        if digest not in self.files:
            examined = self._haul.examined.get((digest, ""))
            results = examined.results if examined else []
            self._count(results)
            self.files[digest] = File(
                sha256=digest,
                size=self.nodes[number].size,
                kind=examined.kind if examined else "",
                done=[r.tool for r in results if r.outcome is Outcome.DONE],
                trouble=[Trouble(tool=r.tool, outcome=r.outcome, why=r.why) for r in results if _troubled(r)],
                facts=_facts(examined),
            )
            unpacked = self._haul.unpacked.get(digest)
            if unpacked and unpacked.trouble:
                why = f"{self.nodes[number].locator}: {unpacked.trouble}"
                self.failures.append(Trouble(tool="unpack", outcome=Outcome.FAILED, why=why))
        dissection = self._dissection(digest)
        if dissection is not None and LEAF in dissection.properties and not dissection.format:
            self.followed.add(digest)
        if dissection is not None and (dissection.format or dissection.notes) and digest not in self.containers:
            self.containers[digest] = Container(
                sha256=digest,
                format=dissection.format,
                size=dissection.size,
                error=dissection.error,
                properties=dissection.properties,
                checks=dissection.checks,
                notes=dissection.notes,
                regions=list(_merged(dissection.regions, payload)),
            )

    def _add_trouble(self, blob: str, results: list[Result]) -> None:
        """What went wrong with a content at one of its places belongs to the content too, once."""
        known = self.files[blob]
        more = [Trouble(tool=r.tool, outcome=r.outcome, why=r.why) for r in results if _troubled(r)]
        if new := [t for t in dict.fromkeys(more) if t not in known.trouble]:
            self.files[blob] = structs.replace(known, trouble=known.trouble + new)

    def _count(self, results: list[Result]) -> None:
        for result in results:
            if result.tool in self.coverage:
                self.coverage[result.tool][result.outcome] += 1


def _troubled(result: Result) -> bool:
    return result.outcome is not Outcome.DONE or bool(result.why)


def _facts(examined: Examined | None) -> list[Fact]:
    if examined is None:
        return []
    return [{**fact, "by": result.tool} for result in examined.results for fact in result.facts]


def _merged(regions: list[Region], whole: bool) -> Iterator[Region]:
    """Adjacent regions of one owner as one; where not ``whole``, only those that nobody read."""
    last: Region | None = None
    for region in regions:
        if not whole and region.role is not Role.UNREAD:
            continue
        same = last is not None and (last.role, last.name, last.member) == (region.role, region.name, region.member)
        if last is not None and same and last.end == region.start:
            last = Region(last.start, region.end, last.role, last.name, last.member)
            continue
        if last is not None:
            yield last
        last = region
    if last is not None:
        yield last


def _stated(value: bytes) -> str:
    """An extended attribute's value as text, bounded."""
    return value.hex() if len(value) <= _VALUE else f"sha256:{hashlib.sha256(value).hexdigest()}"
