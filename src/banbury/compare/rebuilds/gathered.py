"""The units of every artefact of a release, the trees that they lie in, and which tree is taken for which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import structs

from banbury.compare.rebuilds.homes import stated_homes
from banbury.compare.rebuilds.labels import label
from banbury.compare.rebuilds.matching import Match, Trees, Unit, plain_path
from banbury.compare.rebuilds.order import Order
from banbury.compare.rebuilds.packages import Packages, packages
from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.trees import Tree, describe, formed, grown, nest
from banbury.model.evaluation import File
from banbury.model.release import ArtefactRole, Release
from banbury.model.tree import Kind

_PROGRAMS: Final = ("elf", "")


class Gathered:
    """What a release holds. ``files`` is what is known of each content; ``about`` are the nodes of the rebuilds that
    describe packages, once :meth:`paired` has found them."""

    def __init__(self, release: Release, trees: Trees, files: Mapping[str, File]) -> None:
        self._artefacts, self._trees, self._files = release.artefacts, trees, files
        self._found: dict[int, list[Unit]] = {}
        self.about: frozenset[int] = frozenset()

    def paired(self, taken: list[tuple[Match, list[int]]]) -> tuple[Pairing, dict[int, list[str]]]:
        """The trees of the images and of the rebuilds that they are compared with; and what of the manifest's word on
        them cannot be used, by image."""
        of = {match.image: used for match, used in taken}
        shipped, rebuilt = self._all_trees(taken)
        listed, nodes = self._artefacts, self._trees.nodes
        found = [
            packages(self._trees.below(self._trees.roots[i]), self._files)
            for i in {*of, *(i for used in of.values() for i in used)}
        ]
        known = Packages(*(frozenset().union(*sets) for sets in ((p.about for p in found), (p.data for p in found))))
        self.about = known.about
        placed = frozenset(self._trees.roots[i].id for i, a in enumerate(listed) if a.place and not a.tree)
        describe((*shipped, *rebuilt), nodes, known)
        nest(shipped, nodes)
        nest(rebuilt, nodes)
        formed(rebuilt, nodes, placed)
        label(shipped, nodes, handed=False)
        label(rebuilt, nodes, handed=True)
        homes, problems = stated_homes(listed, shipped, rebuilt, nodes, of)
        return Pairing(shipped, rebuilt, of, homes, Order(listed)), problems

    def _all_trees(self, taken: list[tuple[Match, list[int]]]) -> tuple[list[Tree], list[Tree]]:
        shipped = [t for match, used in taken if used for t in self._grown(match.image)]
        rebuilt: dict[int, Tree] = {}
        for index in sorted({i for _, used in taken for i in used}):
            for tree in self._grown(index):
                known = rebuilt.setdefault(tree.number, tree)
                if known is not tree:  # files of one folder
                    known.join(tree)
        return shipped, list(rebuilt.values())

    def _grown(self, index: int) -> list[Tree]:
        listed = self._artefacts[index]
        return grown(self.units(index), index, self._trees.nodes, loose=bool(listed.place), folder=listed.tree)

    def units(self, index: int) -> list[Unit]:
        """The units of one artefact; the files of a folder that was handed in lie in one tree."""
        if index not in self._found:
            artefact = self._artefacts[index]
            rebuilt = artefact.role is ArtefactRole.REBUILD
            found = self._trees.units(self._trees.roots[index], artefact.place, rebuilt=rebuilt)
            if artefact.tree:
                first = self._trees.roots[next(i for i, a in enumerate(self._artefacts) if a.tree == artefact.tree)]
                found = (structs.replace(unit, tree=first.id) for unit in found)
            units = _linked(list(found))
            self._found[index] = units if rebuilt else [self._with_programs(unit) for unit in units]
        return self._found[index]

    def _with_programs(self, unit: Unit) -> Unit:
        """A shipped unit with what may be program code in it: what was told to be ELF, or was not looked at."""
        digests = dict.fromkeys(node.sha256 for node in self._trees.inside(unit.node) if node.sha256)
        programs = tuple(d for d in digests if d not in self._files or self._files[d].kind in _PROGRAMS)
        return structs.replace(unit, programs=programs) if programs else unit


def _linked(units: list[Unit]) -> list[Unit]:
    """Units, in the order of what holds them, with each hard link as the file that it is (which names are of one file
    is compared beside that: :mod:`.linked`). A link that stands before its file is none: what unpacks an archive has
    nothing to link to."""
    if not any(unit.node.kind is Kind.HARDLINK for unit in units):
        return units
    out: list[Unit] = []
    named: dict[tuple[int, str], Unit] = {}  # what stands at a path so far
    for unit in units:
        here = _file(unit, named) if unit.node.kind is Kind.HARDLINK else unit
        named[unit.tree, unit.path] = here
        out.append(here)
    linked = {unit.inode for unit in out}
    return [_joined(u, linked, last=named[u.tree, u.path] is u) for u in out]


def _joined(unit: Unit, linked: set[int], *, last: bool) -> Unit:
    """A unit with the number of its file: that to which links lead, too; none where another file takes its place."""
    number = unit.node.id if unit.node.id in linked else unit.inode
    return structs.replace(unit, inode=number if last else -1) if number >= 0 else unit


def _file(unit: Unit, named: Mapping[tuple[int, str], Unit]) -> Unit:
    """A hard link as the file, link or device of its tree that it leads to, with the attributes of that; itself, if
    there is none."""
    node = unit.node
    found = named.get((unit.tree, plain_path(node.link)))
    target = found.node if found else None
    if target is None or target.kind in (Kind.DIR, Kind.HARDLINK) or (node.sha256 and node.sha256 != target.sha256):
        return unit
    place = {"id": node.id, "name": node.name, "locator": node.locator, "where": node.where}
    inode = target.id if found is None or found.inode < 0 else found.inode
    return structs.replace(unit, node=structs.replace(target, **place), inode=inode)
