"""The units of every artefact of a release, the trees that they lie in, and which tree is taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs

from banbury.compare.rebuilds.homes import stated_homes
from banbury.compare.rebuilds.leftout import descriptions
from banbury.compare.rebuilds.matching import Match, Trees, Unit, plain_path
from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.trees import Tree, formed, grown
from banbury.model.evaluation import File, Node
from banbury.model.release import Release


class Gathered:
    """What a release holds. ``files`` is what is known of each content; ``about`` are the nodes of the rebuilds that
    describe packages, once :meth:`paired` has found them."""

    def __init__(self, release: Release, trees: Trees, files: Mapping[str, File]) -> None:
        self._artefacts, self._trees, self._files = release.artefacts, trees, files
        self._found: dict[int, list[Unit]] = {}
        self.about: set[int] = set()

    def paired(self, taken: list[tuple[Match, list[int]]]) -> tuple[Pairing, dict[int, list[str]]]:
        """The trees of the images and of the rebuilds that they are compared with; and what of the manifest's word on
        them cannot be used, by image."""
        of = {match.image: used for match, used in taken}
        shipped, rebuilt = self._all_trees(taken)
        listed, nodes = self._artefacts, self._trees.nodes
        for index in {i for used in of.values() for i in used}:
            self.about |= descriptions(self._trees.below(self._trees.roots[index]), self._files)
        packages = {nodes[n].parent for n in self.about}
        placed = frozenset(self._trees.roots[i].id for i, a in enumerate(listed) if a.place and not a.tree)
        formed(rebuilt, nodes, {p for p in packages if _packs(p, nodes)}, placed)
        homes, problems = stated_homes(listed, shipped, rebuilt, nodes, of)
        return Pairing(shipped, rebuilt, of, homes), problems

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
        place = self._artefacts[index].place
        return grown(self.units(index), index, self._trees.nodes, place=place)

    def units(self, index: int) -> list[Unit]:
        """The units of one artefact; the files of a folder that was handed in lie in one tree."""
        if index not in self._found:
            artefact = self._artefacts[index]
            found = self._trees.units(self._trees.roots[index], artefact.place)
            if artefact.tree:
                first = self._trees.roots[next(i for i, a in enumerate(self._artefacts) if a.tree == artefact.tree)]
                found = (structs.replace(unit, tree=first.id) for unit in found)
            self._found[index] = list(found)
        return self._found[index]


def _packs(number: int, nodes: Sequence[Node]) -> bool:
    """Whether a node that holds a description of a package is the package: it holds what says its format as well."""
    return any(plain_path(n.name) == "debian-binary" for n in nodes[number + 1 : number + 9] if n.parent == number)
