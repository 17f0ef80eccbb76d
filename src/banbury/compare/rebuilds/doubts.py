"""Where likeness may be wrong about which file system a rebuild belongs into, and the manifest does not say.

What is to be said of a file system depends on what it should hold, and files alone do not always tell that: a small
system with a few files of a package may be a recovery system or a copy that lacks the rest; a package whose files lie
in one file system may be missing from another. Where two readings lead to two verdicts, neither is given: the image is
not shown to be equivalent until the manifest says which is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final

from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.trees import Form, Tree, conflicts, held
from banbury.model.evaluation import Node
from banbury.model.rebuild import FileSystem, NotCompared

_NAMED: Final = 5
_MOST: Final = 20  # doubts about one file system
_SAY: Final = "file_systems or partly_in of the rebuild can say it, or a rebuild of that file system"
#: Forms of rebuilds that go into any file system.
_ANYWHERE: Final = (Form.PACKAGE, Form.PLACED)


class Doubts:
    """The doubts about the shipped trees of a pairing; ``problems`` with the manifest's word by an image's artefact."""

    def __init__(self, pairing: Pairing, problems: Mapping[int, list[str]]) -> None:
        self._pairing, self._problems = pairing, problems

    def systems(self, image: int, root: Node) -> list[FileSystem]:
        """The file systems and archives of an image (an artefact, its node ``root``) that share anything with a
        rebuild, and what cannot be told of each."""
        out = []
        for tree in self._of(image):
            own, doubts = self._own(tree), self._told(tree)
            if own or doubts:
                taken = [r.number for r in own]
                stated = [n for n in taken if n in self._pairing.homes]
                out.append(FileSystem(node=tree.number, rebuilds=taken, stated=stated, doubts=doubts))
        beside = list(self._problems.get(image, []))
        if any(self._pairing.sharing(t) for t in self._pairing.small if t.artefact == image):
            beside.append("the image has too many file systems and archives to tell what the smallest of them lack")
        return [*out, FileSystem(node=root.id, doubts=beside)] if beside else out

    def ledger(self, image: int, systems: Iterable[FileSystem]) -> Iterator[NotCompared]:
        """What is to be said of an image's file systems: the doubts, and what they lack without being asked for it."""
        for system in systems:
            yield from (NotCompared(node=system.node, why=why) for why in system.doubts)
        for tree in self._of(image):
            yield from (NotCompared(node=tree.number, why=why) for why in (*self._devices(tree), *self._partly(tree)))

    def _of(self, image: int) -> list[Tree]:
        return [t for t in self._pairing.shipped.values() if t.artefact == image]

    def _told(self, tree: Tree) -> list[str]:
        short = [] if tree.complete else [f"{tree.place} could not be decoded to its end"]
        return [*short, *self._copy(tree), *self._missing(tree), *self._stray(tree)][:_MOST]

    def _devices(self, tree: Tree) -> Iterator[str]:
        """What a tree shares with a rebuilt one of links and devices alone, which makes it no copy."""
        if self._own(tree):
            return
        for rebuilt in self._unstated(self._pairing.sharing(tree)):
            shared = rebuilt.names & tree.names
            lacked = rebuilt.names - tree.names
            if lacked and tree not in self._answered(rebuilt) and not rebuilt.regular & tree.regular:
                yield f"{_named(lacked)} are not in {tree.place}, which has {_count(shared)} of the same: no copy"
                return

    def _partly(self, tree: Tree) -> list[str]:
        """What a shipped tree lacks of those that the manifest says it has a part of."""
        homes = self._pairing.homes
        mine = [
            r for r in self._pairing.rebuilt.values() if r.number in homes and tree.number in homes[r.number].partly
        ]
        gone = [(r, r.names - tree.names) for r in mine]
        return [
            f"{_named(lacked)} are not in {tree.place}: the manifest says that it has only a part of {r.place}"
            for r, lacked in gone
            if lacked
        ]

    def _answered(self, rebuilt: Tree) -> list[Tree]:
        return self._pairing.answering(rebuilt)

    def _unstated(self, rebuilt: Iterable[Tree]) -> Iterator[Tree]:
        return (r for r in rebuilt if r.number not in self._pairing.homes)

    def _copy(self, tree: Tree) -> Iterator[str]:
        """A tree with less than half of a rebuilt one, or a small one with a part of what a large one has."""
        own = self._own(tree)
        for rebuilt in self._unstated(self._pairing.sharing(tree)):
            if tree in self._answered(rebuilt) or self._pairing.foreign(tree.number, rebuilt.number):
                continue
            shared, lacked = rebuilt.regular & tree.regular, rebuilt.names - tree.names
            if own:  # it is more than what a kernel brings with it
                shared = rebuilt.names & tree.names
            if not self._answered(rebuilt):  # what no file system has is left out of the image
                lacked = frozenset(name for name in lacked if self._pairing.having(name))
            if lacked and shared and not shared <= self._explaining(tree, own, rebuilt):
                yield (
                    f"{_named(lacked)} are not in {tree.place}, which has {_count(shared)} of the same: "
                    f"nothing says whether it should have all of {rebuilt.place} ({_SAY})"
                )

    def _explaining(self, tree: Tree, own: list[Tree], rebuilt: Tree) -> frozenset[str]:
        """The names that a tree has from others of its own than a rebuilt one, and than what is a part of that (a
        package that was handed in beside the system it is in)."""
        others = (r for r in own if r is not rebuilt and (r.form is Form.SYSTEM or not r.names <= rebuilt.names))
        return frozenset().union(*(r.names & tree.names for r in others))

    def _own(self, tree: Tree) -> list[Tree]:
        """The rebuilt trees that a shipped one is most like or answers for."""
        partners = self._pairing.partners(tree.number)
        beside = [r for r in self._answering_of.get(tree.number, []) if r.number not in partners]
        return [*(self._pairing.rebuilt[p] for p in partners), *beside]

    @cached_property
    def _answering_of(self) -> dict[int, list[Tree]]:
        out: dict[int, list[Tree]] = {}
        for rebuilt in self._pairing.rebuilt.values():
            for tree in self._answered(rebuilt):
                out.setdefault(tree.number, []).append(rebuilt)
        return out

    def _partial(self, rebuilt: Tree) -> frozenset[int]:
        """The trees of which the manifest says that they have a part of a rebuilt one."""
        homes = self._pairing.homes
        return homes[rebuilt.number].partly if rebuilt.number in homes else frozenset()

    def _missing(self, tree: Tree) -> Iterator[str]:
        """Packages of which a file system has nothing though it could be what they belong into: what they hold lies
        elsewhere in the image, it has as much of the rebuilds as they are large, and none of their files is another
        rebuild's in it. A system that is said to be made of parts need not have more."""
        own = [r for r in self._own(tree) if tree.number not in self._partial(r)]
        partners = self._pairing.partners(tree.number)
        if tree.packed or tree.describes or not own or any(r.form is Form.SYSTEM and r.number in partners for r in own):
            return
        explained = frozenset().union(*(r.names & tree.names for r in own))
        files = held(own)
        unstated = self._unstated(self._pairing.rebuilt.values())
        found = [r for r in unstated if r.form is not Form.SYSTEM and self._absent(tree, r, files, explained)]
        if found:
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            places = ", ".join(f"{r.place} (in {self._answered(r)[0].place})" for r in found[:_NAMED])
            yield (
                f"{tree.place} has nothing of {places}{more}: nothing says whether it should "
                f'({_SAY}, such as file_systems = ["{self._answered(found[0])[0].where}"])'
            )

    def _absent(self, tree: Tree, rebuilt: Tree, files: dict[str, list[set[str]]], explained: frozenset[str]) -> bool:
        """Whether a tree has nothing of a rebuilt one, and could be what that belongs into. An archive or folder is too
        large for a tree that has less of the rebuilds; it is then a file system of its own."""
        homes = self._answered(rebuilt)
        left = rebuilt.names - explained
        if not homes or tree in homes or not left or not self._pairing.asked(tree, rebuilt):
            return False
        if not left.isdisjoint(tree.names) or (tree.archive and _tops(left).isdisjoint(_tops(tree.names))):
            return False
        if rebuilt.form in _ANYWHERE:
            return True
        small = len(rebuilt.files) <= len(explained)
        return small and not conflicts(rebuilt, files)

    def _stray(self, tree: Tree) -> Iterator[str]:
        """Files of a rebuilt tree that another shipped one is most like: that may be a package, or another system."""
        native = [r for r in self._pairing.sharing(tree) if not self._pairing.foreign(tree.number, r.number)]
        others = [r for r in native if self._pairing.anothers(tree.number, r.number)]
        offered = frozenset().union(*(r.names & tree.names for r in native if r not in others or r.form in _ANYWHERE))
        every = frozenset().union(*(r.names & tree.names for r in native))
        for one in self._unstated(others):
            mixed = (one.names & tree.names) - offered
            if one.form not in _ANYWHERE and mixed and not every <= one.names:
                yield (
                    f"{_named(mixed)} are in {tree.place}, and are of {one.place}, which another file system is most "
                    f"like: nothing says that they belong there too ({_SAY})"
                )


def _tops(names: Iterable[str]) -> set[str]:
    """The folders that names begin with: what tells for what an archive is that does not look like a file system."""
    return {name.partition("/")[0] for name in names}


def _count(shared: frozenset[str]) -> str:
    return f"{len(shared)} file{'' if len(shared) == 1 else 's'}"


def _named(paths: frozenset[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{len(paths)} files of the rebuild ({', '.join(sorted(paths)[:_NAMED])}{more})"
