"""What of the file systems of an image cannot be told, because the manifest does not say it.

What is to be said of a file system depends on what it should hold, and its files do not tell that: one with a part of a
package may be a recovery system, or a copy that lacks the rest; a package whose files lie in one file system may be
missing from another. Therefore nothing is taken for complete by being like something. A file system is *settled* where
it holds just what a rebuilt file system holds, name for name, and what the manifest says that it has beside. Of every
other one, everything that was rebuilt and of which the manifest says nothing may be asked: where it lacks what another
part of the image has, that is a doubt, and the image is not shown to be equivalent until the manifest says which is
right. (What no part of the image has is left out, and no doubt.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import groupby
from typing import Final

from banbury.compare.rebuilds.bare import Bare
from banbury.compare.rebuilds.labels import exchanged
from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.shadowed import shadowed
from banbury.compare.rebuilds.trees import Form, Tree
from banbury.model.evaluation import Node
from banbury.model.rebuild import FileSystem, NotCompared

_NAMED: Final = 5
_MOST: Final = 20  # doubts about one file system


class Doubts:
    """The doubts about the shipped trees of a pairing; ``problems`` with the manifest's word by an image's artefact."""

    def __init__(self, pairing: Pairing, problems: Mapping[int, list[str]]) -> None:
        self._pairing, self._problems = pairing, problems
        self._bare = Bare(pairing)
        self._unstated = [r for r in pairing.rebuilt.values() if r.number not in pairing.homes and not r.describes]

    def systems(self, image: int, root: Node) -> list[FileSystem]:
        """The file systems and archives of an image (an artefact, its node ``root``) that share anything with a
        rebuild, and what cannot be told of each."""
        out = []
        for tree in self._of(image):
            own, doubts = self._own(tree), [*self._told(tree), *self._bare.doubts(tree)]
            if own or doubts:
                taken = [r.number for r in own]
                stated = [n for n in taken if n in self._pairing.homes]
                out.append(FileSystem(node=tree.number, rebuilds=taken, stated=stated, doubts=doubts))
        beside = [*self._problems.get(image, []), *self._sequence(image), *exchanged(self._pairing, image)]
        small = [t for t in self._pairing.small if t.artefact == image]
        if any(self._pairing.sharing(t) or self._bare.doubts(t) for t in small):
            beside.append("the image has too many file systems and archives to tell what the smallest of them lack")
        return [*out, FileSystem(node=root.id, doubts=beside)] if beside else out

    def ledger(self, image: int, systems: Iterable[FileSystem]) -> Iterator[NotCompared]:
        """What is to be said of an image's file systems: the doubts, and what they lack without being asked for it."""
        for system in systems:
            yield from (NotCompared(node=system.node, why=why) for why in system.doubts)
        for tree in self._of(image):
            yield from (NotCompared(node=tree.number, why=why) for why in (*self._devices(tree), *self._partly(tree)))

    def apart(self, image: int, systems: Iterable[FileSystem]) -> list[Tree]:
        """The shipped trees of an image that share nothing with a rebuild, and lie in none that is made of one: members
        of them that are opened have no rows."""
        known = {system.node for system in systems}
        return [t for t in self._of(image) if t.names and t.number not in known and not self._within(t)]

    def _of(self, image: int) -> list[Tree]:
        return [t for t in self._pairing.shipped.values() if t.artefact == image]

    def _told(self, tree: Tree) -> list[str]:
        short = [] if tree.complete else [f"{tree.place} could not be decoded to its end"]
        asked = []
        if not tree.describes and not self._settled(tree):
            asked = [*self._lacking(tree), *self._more(tree), *shadowed(self._pairing, tree)]
        return [*short, *asked][:_MOST]

    # What a file system is

    def _own(self, tree: Tree) -> list[Tree]:
        """The rebuilt trees that a shipped one is most like, answers for, or has all of."""
        first = [self._pairing.rebuilt[p] for p in self._pairing.partners(tree.number)]
        known = {r.number for r in first}
        return first + [r for r in self._belonging.get(tree.number, []) if r.number not in known]

    @cached_property
    def _belonging(self) -> dict[int, list[Tree]]:
        out: dict[int, list[Tree]] = {}
        for rebuilt in self._pairing.rebuilt.values():
            answering = {t.number for t in self._pairing.answering(rebuilt)}
            has = self._pairing.anywhere(rebuilt)
            whole = (n for n, count in has.items() if rebuilt.names and count == len(rebuilt.names))
            for number in dict.fromkeys((*sorted(answering), *whole)):
                out.setdefault(number, []).append(rebuilt)
        return out

    def _settled(self, tree: Tree) -> bool:
        """Whether a tree is just what a rebuilt one of its kind is, with what the manifest says that it has beside: a
        file system with what goes over it, or what a package installs; or it is an archive that is itself compared, as
        a file of another."""
        if self._within(tree):
            return True
        stated = frozenset[str]().union(*(r.names for r in self._stated(tree)))
        return any(
            r.names <= tree.names and tree.names <= r.names | stated
            for r in self._belonging.get(tree.number, [])
            if (r.form is Form.SYSTEM and all(upper.names <= tree.names for upper in self._over(r)))
            or (tree.packed and r.packed)
        )

    def _over(self, rebuilt: Tree) -> list[Tree]:
        """What the manifest says to go over a rebuilt tree, and says nothing else of."""
        return [r for r in self._unstated if self._pairing.over(r, rebuilt)]

    def _stated(self, tree: Tree) -> list[Tree]:
        homes = self._pairing.homes
        return [self._pairing.rebuilt[n] for n, home in homes.items() if tree.number in home.every]

    def _within(self, tree: Tree) -> bool:
        """Whether a shipped archive lies in a tree that corresponds to a rebuilt one, and is compared as its member."""
        return tree.outer >= 0 and tree.outer in self._pairing.corresponding

    def _inside(self, rebuilt: Tree) -> bool:
        """Whether a rebuilt archive lies in a tree that a shipped one answers for, as a file of it."""
        outer = self._pairing.rebuilt.get(rebuilt.outer)
        return outer is not None and bool(self._pairing.answering(outer))

    # What it may be asked for

    def _lacking(self, tree: Tree) -> Iterator[str]:
        """What a tree has less of than other parts of the image, though nothing says that it should."""
        if not (tree.regular and self._pairing.sharing(tree)):
            return  # what a kernel brings with it (devices and links), nothing of any rebuild, or nothing at all
        asked = list(self._asked(tree))
        for part, said in ((False, "has nothing of"), (True, "has only a part of")):
            found = [r for r in asked if (not r.names.isdisjoint(tree.names)) is part]
            if found:
                more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
                places = ", ".join(f"{self._called(r)} ({self._elsewhere(tree, r)})" for r in found[:_NAMED])
                example = self._example(tree, found[0])
                yield f"{tree.place} {said} {places}{more}: nothing says whether it should{example}"

    def _called(self, rebuilt: Tree) -> str:
        """What a manifest calls a rebuild; where several trees are in it, with the place."""
        several = sum(r.artefact == rebuilt.artefact for r in self._unstated) > 1
        return rebuilt.place if several else rebuilt.place.partition("!")[0]

    def _example(self, tree: Tree, rebuilt: Tree) -> str:
        """What to write into the manifest."""
        homes = self._homes(tree, rebuilt)
        if not homes:
            return ""
        name, home = rebuilt.place.partition("!")[0], homes[0].where
        return (
            f'. In the manifest, under path = "{name}": file_systems = ["{home}"] if it belongs only there, '
            f'file_systems = ["{home}", "{tree.where}"] if it belongs into both'
        )

    def _asked(self, tree: Tree) -> Iterator[Tree]:
        """The rebuilt trees of which a tree lacks what other parts of the image have."""
        for rebuilt in self._unstated:
            if not self._pairing.asked(tree, rebuilt) or self._inside(rebuilt):
                continue
            if self._elsewhere_whole(tree, rebuilt):
                continue
            missing = rebuilt.names - tree.names
            if not any(self._pairing.having(name) for name in missing):
                continue
            if tree.archive and _tops(rebuilt.names).isdisjoint(_tops(tree.names)):
                continue  # an archive that does not look like a file system is not one for anything
            yield rebuilt

    def _elsewhere_whole(self, tree: Tree, rebuilt: Tree) -> bool:
        """Whether a rebuilt file system is another shipped one's, name for name, and has no file in common with a
        tree."""
        apart = rebuilt.form is Form.SYSTEM and rebuilt.regular.isdisjoint(tree.regular)
        return apart and bool(self._pairing.exact(rebuilt))

    def _homes(self, tree: Tree, rebuilt: Tree) -> list[Tree]:
        """Other shipped trees that have what a tree lacks of a rebuilt one, that which has most of it first."""
        has = self._pairing.anywhere(rebuilt)
        found = [self._pairing.shipped[n] for n in has if n != tree.number]
        return sorted(found, key=lambda t: (-has[t.number], t.number))

    def _elsewhere(self, tree: Tree, rebuilt: Tree) -> str:
        missing = rebuilt.names - tree.names
        homes = self._homes(tree, rebuilt)
        there = f"in {homes[0].place}" if homes else "elsewhere"
        return f"{_named(missing)}, {there}" if len(missing) < len(rebuilt.names) else there

    def _more(self, tree: Tree) -> Iterator[str]:
        """What a tree has beside a rebuilt file system that is whole."""
        stated = frozenset[str]().union(*(r.names for r in self._stated(tree)))
        mine = (r for r in self._belonging.get(tree.number, []) if r.form is Form.SYSTEM and r.regular)
        wholes = [r for r in mine if r.names <= tree.names]
        if not wholes:
            return
        base = max(wholes, key=lambda r: len(r.names))
        known = {base.number, *(r.number for r in self._over(base))}
        others = [r for r in self._unstated if r.number not in known and self._pairing.asked(tree, r)]
        more = (tree.names - base.names - stated) & frozenset[str]().union(*(r.names for r in others))
        if more:
            yield (
                f"{_named(more)} are in {tree.place}, which has all of {self._called(base)}, a file system, without "
                "them: nothing says whether they belong there (over, or file_systems, of what they are of can say it)"
            )

    # A rebuilt image of several

    def _sequence(self, image: int) -> Iterator[str]:
        """Where the file systems of an image stand in another order than those of a rebuilt image."""
        for artefact in sorted({r.artefact for r in self._unstated}):
            built = [r for r in self._unstated if r.artefact == artefact and r.form is Form.SYSTEM and r.outer < 0]
            kinds = {self._kind(r): r for r in built}
            shipped = [t for t in self._of(image) if self._kind(t) in kinds and self._pairing.asked(t, built[0])]
            here, there = ([self._kind(t) for t in trees] for trees in (shipped, built))
            if len(kinds) < 2 or here == there:
                continue
            if len(here) == len(there) or [k for k, _ in groupby(here)] != [k for k, _ in groupby(there)]:
                listed = ", ".join(kinds[k].place for k in here[: 2 * _NAMED])
                name = built[0].place.partition("!")[0]
                yield f"the image's file systems are not those of {name} in its order: they are {listed}"

    @staticmethod
    def _kind(tree: Tree) -> frozenset[tuple[str, str]]:
        """What tells the trees of one image apart: names and contents."""
        return frozenset((path, unit.node.sha256 or unit.node.link) for path, us in tree.units.items() for unit in us)

    # What only the ledger says

    def _devices(self, tree: Tree) -> Iterator[str]:
        """What a tree shares with a rebuilt one of links and devices alone, which makes it no copy."""
        if self._own(tree):
            return
        if not tree.names:
            yield f"no file is in {tree.place}"
        for rebuilt in self._pairing.sharing(tree):
            shared = rebuilt.names & tree.names
            lacked = rebuilt.names - tree.names
            if lacked and rebuilt.number not in self._pairing.homes and not rebuilt.regular & tree.regular:
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


def _tops(names: Iterable[str]) -> set[str]:
    """The folders that names begin with: what tells for what an archive is that does not look like a file system."""
    return {name.partition("/")[0] for name in names}


def _count(shared: frozenset[str]) -> str:
    return f"{len(shared)} file{'' if len(shared) == 1 else 's'}"


def _named(paths: frozenset[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{_count(paths)} of the rebuild ({', '.join(sorted(paths)[:_NAMED])}{more})"
