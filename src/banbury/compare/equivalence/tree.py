"""Trees of named members as their consumer sees them, and how two of them are compared.

Everything that a consumer acts on is kept: names, types, permission bits with setuid, owners, device numbers, link
targets, extended attributes, which names are links of one file. Order is let go only where it cannot matter.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import zip_longest
from typing import Final
from unicodedata import normalize

from msgspec import Struct

from banbury.compare.equivalence.accounting import Refused
from banbury.compare.equivalence.containers.contract import BYTES, EXACT, Change, Free, Place, Work, shown
from banbury.compare.equivalence.model import Range
from banbury.compare.equivalence.places import Entry, Files
from banbury.compare.equivalence.times import differences, interesting, told
from banbury.compare.equivalence.vouched import forms, stale
from banbury.formats.contract import clean_name

#: What an inode states beside mode and owner, and what chattr sets: whether it may be changed at all.
INODE_FLAGS: Final = "inode flags"
_KNOWN: Final = 1024  # contents whose digests are kept
_TRAILING: Final = re.compile(r"[ .](?:/|$)")  # what FAT does without at the end of a name
#: The first members of a Mender artifact (mender-artifact, Documentation/artifact-format-v3.md).
_STREAMED: Final = {b"version", b"manifest"}
_LONGEST: Final = 4096  # bytes of a path, PATH_MAX of Linux
_AHEAD: Final = 500 * 86400  # seconds: ``banbury rebuild`` builds up to 400 days ahead
_STEP: Final = 1 << 20  # bytes read at once
_LINKS: Final = 64  # hard links to hard links


class Node(Struct, kw_only=True):
    """One member: ``attributes`` are compared exactly, by name; ``free`` fields by the rule that lets them differ.
    ``time``: of the last change, in nanoseconds since 1970, or anything that can only be compared. ``stated``: what
    stands for the attributes where another reader is asked (:mod:`.stated`), if that has other words for them."""

    name: bytes
    kind: str
    attributes: dict[str, object]
    place: Place | None = None
    free: tuple[Free, ...] = ()
    hints: tuple[str, ...] = ()
    time: object = None
    stated: dict[str, object] | None = None


class Tree:
    """Members in their order, by name. ``add`` refuses names that two consumers could take for one, or for no place
    below the root."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, Node] = {}
        self.by_path: dict[bytes, Node] = {}

    def add(self, node: Node) -> None:
        plain = plain_name(node.name)
        if plain in self.by_path:
            raise Refused(clean_name(node.name)[0], "two members with one name")
        self.by_path[plain] = node
        self.nodes[node.name] = node

    def through(self) -> bytes | None:
        """A member whose path leads through another that is no directory, if there is one: then order matters."""
        targets = [n.attributes.get("link") for n in self.nodes.values() if n.kind == "hard link"]
        for plain in (*self.by_path, *(plain_name(t) for t in targets if isinstance(t, bytes))):
            at = plain.rfind(b"/")
            while at > 0:
                above = self.by_path.get(plain[:at])
                if above is not None and above.kind != "directory":
                    return plain
                at = plain.rfind(b"/", 0, at)
        return None

    def chosen(self) -> list[bytes]:
        """Members of which one is taken by its place among them, in their order: names that are one but for case, the
        form or the code page of their accents, or dots and blanks at their end (unpacked to FAT, as boot partitions
        are, or by a reader that takes a name for CP437, the last one stays), and the folders of images
        for boards, of which OpenWrt's ``sysupgrade`` takes the first, by the first line ``sysupgrade-.../`` of a list:
        so also what lies below them, and names that are several lines."""
        alike: dict[str, list[bytes]] = {}
        for name in map(plain_name, self.nodes):
            for folded in _folded(name):
                alike.setdefault(folded, []).append(name)
        boards = [
            plain
            for plain, node in self.by_path.items()
            if b"\n" in plain or ((node.kind == "directory" or b"/" not in plain) and plain.startswith(b"sysupgrade-"))
        ]
        groups = sorted({tuple(names) for names in alike.values() if len(names) > 1})
        return [name for names in groups for name in names] + boards

    def linked(self) -> list[bytes]:
        """Hard links that are members of their own, and what they lead to, in their order: a link is made to what is
        there by then, and the last one states the owner and mode."""
        found = {n.name: n.attributes.get("link") for n in self.nodes.values() if n.kind == "hard link"}
        targets = {plain_name(link) for link in found.values() if isinstance(link, bytes)}
        return [name for name in self.nodes if name in found or plain_name(name) in targets]

    def parents_first(self) -> bool:
        """Whether no member comes before a directory that it lies in."""
        later = set(self.by_path)
        for node in self.nodes.values():
            plain = plain_name(node.name)
            later.discard(plain)
            while plain:
                plain = plain.rpartition(b"/")[0]
                if plain in later:
                    return False
        return True


def _folded(name: bytes) -> set[str]:
    """What a name is, where case and the like make no difference."""
    texts = {name.decode("utf-8", "surrogateescape")}
    if not name.isascii():
        texts = {normalize("NFKC", text) for text in (*texts, name.decode("cp437"))}
    folded = {text.casefold() for text in texts}
    return {"/".join(part.rstrip(" .") for part in x.split("/")) if _TRAILING.search(x) else x for x in folded}


def plain_name(name: bytes) -> bytes:
    """A member's path without ``./``, doubled or trailing slashes. Refuses names that lead out of the tree."""
    if b"\0" in name or not 0 < len(name) <= _LONGEST:
        raise Refused("name", "empty, too long, or with a zero byte")
    if b"/" not in name and name not in (b".", b".."):
        return name
    parts = [p for p in name.split(b"/") if p not in (b"", b".")]
    if b".." in parts:
        raise Refused(clean_name(name)[0], "a name that climbs out of its tree")
    return b"/".join(parts)


def compare_trees(
    work: Work, a: Tree, b: Tree, *, order: str, parents: bool = False, proved: Mapping[bytes, str] | None = None
) -> None:
    """List the members of both trees, and account for what may differ.

    ``order`` is the rule that lets the order of members differ; ``parents``: only where directories come before what
    lies in them. ``proved`` members were shown to follow from others, by the rule given: their content may differ.
    """
    _order(work, a, b, order, parents)
    _times(work, a, b)
    work.tree = b
    freed: dict[str, tuple[list[Range], list[Range]]] = {}
    inherited = (BYTES,) if EXACT in work.hints else ()
    known: dict[Place | None, list[bytes]] = {}  # names may share a content
    for name, one in a.nodes.items():
        other = b.nodes.get(name)
        if other is None:
            work.member(name, one.place, None, changes=[Change(what="removed", a=_summary(one))])
            continue
        _free(freed, one, other)
        changes = list(_changes(one, other))
        place_a, place_b = one.place, other.place
        rule = (proved or {}).get(name)
        if rule and place_a and place_b and not work.same(place_a, place_b):
            work.account.explain(
                rule, [_within(work.place_a, place_a)], [_within(work.place_b, place_b)], clean_name(name)[0]
            )
            place_a = place_b = None
        found = work.member(name, place_a, place_b, changes=changes, hints=(*inherited, *one.hints))
        if not found.equal and not changes:
            contents = [partial(_forms, work, place, known) for place in (one.place, other.place)]
            found.changes.extend(stale(one.attributes, other.attributes, contents))
    for name, other in b.nodes.items():
        if name not in a.nodes:
            work.member(name, None, other.place, changes=[Change(what="added", b=_summary(other))])
    for rule, (ours, theirs) in freed.items():
        work.account.explain(rule, ours, theirs)


def _forms(work: Work, place: Place | None, known: dict[Place | None, list[bytes]]) -> list[bytes]:
    """The digests of the content at a place, counted once."""
    if place not in known:
        if len(known) >= _KNOWN:
            known.clear()
        size = place.length if place else 0
        known[place] = forms(work.read(place, at, _STEP) for at in range(0, size, _STEP) if place)
    return known[place]


def _times(work: Work, a: Tree, b: Tree) -> None:
    """Refuse what programs would do otherwise in one tree than in the other, by the times of its files."""
    if any(map(interesting, a.by_path)) and any(map(interesting, b.by_path)):
        clocks = [record.clock if record else None for record in (work.record_a, work.record_b)]
        for act, ours, theirs in differences(_files(work, a), _files(work, b)):
            name = clean_name(act.first)[0]
            declared = None not in clocks and [ours, theirs] == [[clock] for clock in clocks]
            if act.sort == "newest" and declared and max(c or 0 for c in clocks) <= time.time() + _AHEAD:
                work.account.explain("tree.clock", [], [], name)
                continue
            text = f"{act.what} is decided by times or hashes that differ: {told(ours)} against {told(theirs)}"
            work.account.refuse(name, text)


def _files(work: Work, tree: Tree) -> Files:
    """A tree with the names of one file joined: each has the content, and the times of all that state one."""
    entries: dict[bytes, Entry] = {}
    places: dict[bytes, Place] = {}
    groups: dict[bytes, dict[bytes, object]] = {}
    for path, node in tree.by_path.items():
        link = node.attributes.get("link")
        if link is not None and node.kind != "hard link":
            entries[path] = Entry("symbolic link", node.time, target=link if isinstance(link, bytes) else b"")
            continue
        real = _real(tree, path, node)
        if real is None:
            entries[path] = Entry("symbolic link", node.time, target=b"/" + _target(node))
            continue
        groups.setdefault(real, {})[path] = node.time
        place = tree.by_path[real].place
        if place is not None:
            places[path] = place
        kind = "file" if node.kind == "hard link" else node.kind
        entries[path] = Entry(kind, node.time, size=place.length if place else 0)
    for names in groups.values():
        if len(names) > 1 and len(set(map(repr, names.values()))) > 1:
            joined = tuple(sorted((name, repr(time)) for name, time in names.items()))
            for name in names:
                entries[name] = Entry(entries[name].kind, joined, entries[name].size)
    return Files(entries, lambda path: work.read(places[path], 0, 16) if path in places else b"")


def _target(node: Node) -> bytes:
    link = node.attributes.get("link")
    return link if isinstance(link, bytes) else b""


def _real(tree: Tree, path: bytes, node: Node) -> bytes | None:
    """The name that a file's content stands with; ``None`` where a hard link leads out of the tree."""
    for _ in range(_LINKS):
        if node.kind != "hard link":
            names = node.attributes.get("names")
            if node.kind == "file" and node.place is None and isinstance(names, bytes):
                path = plain_name(names.split(b"\0")[0])
                return path if path in tree.by_path else None
            return path
        try:
            path = plain_name(_target(node))
        except Refused:
            return None
        found = tree.by_path.get(path)
        if found is None:
            return None
        node = found
    return None


def _within(whole: Place, part: Place) -> Range:
    if part.spool:
        return Range(0, part.length)
    return Range(part.start - whole.start, part.start - whole.start + part.length)


def _order(work: Work, a: Tree, b: Tree, rule: str, parents: bool) -> None:
    ours = [n for n in a.nodes if n in b.nodes]
    if ours == [n for n in b.nodes if n in a.nodes]:
        return
    if a.linked() != b.linked():
        work.account.refuse("order", "differs among hard links and what they lead to")
        return
    if odd := order_matters(a, b):
        work.account.refuse("order", odd)
        return
    for tree in (a, b):
        if parents and not tree.parents_first():
            work.account.refuse("order", "differs, and a member comes before its directory")
            return
    work.account.explain(rule, [Range(0, len(work.a))], [Range(0, len(work.b))])


def order_matters(a: Tree, b: Tree) -> str:
    """Why two orders of an archive's members could make two trees of them; ``""`` where they cannot."""
    for tree in (a, b):
        if (odd := tree.through()) is not None:
            return f"differs, and {clean_name(odd)[0]} leads through a member that is no directory"
    if a.chosen() != b.chosen():
        return "differs among members of which a reader takes the first or the last"
    if all(tree.by_path.keys() >= _STREAMED for tree in (a, b)):
        return "differs in an archive that is read as it comes (a Mender artifact)"
    return ""


def _free(freed: dict[str, tuple[list[Range], list[Range]]], one: Node, other: Node) -> None:
    """Enter free fields that differ; members of other types have other ones."""
    for ours, theirs in zip_longest(one.free, other.free):
        if ours and theirs and ours.rule == theirs.rule and ours.value == theirs.value:
            continue
        for side, field in ((0, ours), (1, theirs)):
            if field:
                freed.setdefault(field.rule, ([], []))[side].append(field.range)


def _changes(one: Node, other: Node) -> Iterable[Change]:
    if one.kind != other.kind:
        yield Change(what="type", a=one.kind, b=other.kind)
        return
    if one.attributes == other.attributes:
        return
    for name in sorted({**one.attributes, **other.attributes}):
        ours, theirs = one.attributes.get(name), other.attributes.get(name)
        if ours != theirs:
            yield Change(what=name, a=_value(name, ours), b=_value(name, theirs))


def _value(name: str, value: object) -> str:
    if name == "names" and isinstance(value, bytes):
        value = value.replace(b"\0", b", ")  # for people
    return f"{value:04o}" if name == "mode" and isinstance(value, int) else shown(value)


def _summary(node: Node) -> str:
    parts = [node.kind, *(f"{n} {_value(n, v)}" for n, v in sorted(node.attributes.items()) if v not in ("", b""))]
    return ", ".join(parts)[:300]
