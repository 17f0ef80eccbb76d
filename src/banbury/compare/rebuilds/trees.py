"""The file systems, archives and folders that an image and its rebuilds are made of, each with its units by path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Final

from banbury.compare.rebuilds.leftout import unmissed
from banbury.compare.rebuilds.matching import OWN, Unit
from banbury.compare.rebuilds.packages import Packages
from banbury.formats.registry import readers
from banbury.model.evaluation import Node
from banbury.model.tree import Kind

#: The folder that mke2fs makes at the root of every file system.
MADE: Final = "lost+found"
ROOT: Final = "."
_LINKS: Final = 40  # that lead to one another, as Linux follows them


class Form(StrEnum):
    """What a rebuilt tree is by its form: a file system of its own; a package, which goes into any; one file with its
    place; or a folder or archive, which may be either."""

    SYSTEM = "system"
    PACKAGE = "package"
    PLACED = "placed"
    OPEN = "open"


class Tree:
    """One file system, archive or folder: its units by path. ``number`` is that of what holds it; ``artefact`` is the
    index of what was handed in; ``place`` says for a person where it is, ``where`` without offsets; ``loose``: files of
    a folder that was handed in, or one file with its place; ``archive``: it does not look like a file system."""

    def __init__(
        self, number: int, artefact: int, place: str = "", *, loose: bool = False, archive: bool = False,
        form: Form = Form.OPEN, where: str = "",
    ) -> None:  # fmt: skip
        self.number, self.artefact, self.place, self.loose = number, artefact, place, loose
        self.archive, self.form, self.where = archive, form, where
        self.describes = False  # it is what a package has beside what it installs
        self.packed = False  # it is what a package installs
        self.keeps = False  # what unpacks it (dpkg) leaves folders that are there as they are
        self.complete = True  # it was decoded to its end
        self.outer = -1  # the number of the tree that it is a file of
        self.mounted = False  # it is a file system, not an archive
        self.labels: set[str] = set()  # names that it is known by
        self.units: dict[str, list[Unit]] = {}
        self.folders: dict[str, Unit] = {}
        self._listed: dict[str, list[Unit]] = {}  # folders that stand more than once, each time

    def join(self, other: Tree) -> None:
        """Take over the units of another."""
        for units in other.units.values():
            for unit in units:
                self.add(unit)
        for path in other.folders:
            for unit in other.listings(path):
                self.add(unit)

    def add(self, unit: Unit) -> None:
        if unit.node.kind is Kind.DIR:
            first = self.folders.setdefault(unit.path, unit)
            if first is not unit:
                self._listed.setdefault(unit.path, [first]).append(unit)
        else:
            self.units.setdefault(unit.path, []).append(unit)

    def listings(self, path: str) -> list[Unit]:
        """A folder each time that it is listed, in order: what unpacks an archive may give it the last mode."""
        return self._listed.get(path) or ([self.folders[path]] if path in self.folders else [])

    @cached_property
    def regular(self) -> frozenset[str]:
        """Paths of regular files, which a folder handed in has too."""
        kinds = (Kind.FILE, Kind.HARDLINK)
        return frozenset(p for p, us in self.units.items() if any(u.node.kind in kinds for u in us))

    @cached_property
    def files(self) -> frozenset[str]:
        """What trees are told by: regular files; where there are none, links and devices."""
        return self.regular or self.names

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(self.units)

    @cached_property
    def paths(self) -> frozenset[str]:
        return self.names | self.folders.keys()

    @cached_property
    def missed(self) -> frozenset[str]:
        """The names without documents and files for development, which a copy may do without; or all."""
        return frozenset(p for p in self.names if not unmissed(p)) or self.names

    @cached_property
    def implied(self) -> frozenset[str]:
        """Folders that must be there because something lies in them."""
        found: set[str] = set()
        for path in (*self.units, *self.folders):
            while (path := path.rpartition("/")[0]) and path not in found:
                found.add(path)
        return frozenset(found)

    @cached_property
    def whole(self) -> bool:
        """Whether a folder that is not listed is not there: every folder that must be there is listed."""
        return not self.loose and self.implied <= self.folders.keys()

    def contents(self, path: str) -> set[str]:
        """The contents of what stands at a path."""
        return {unit.node.sha256 for unit in self.units.get(path, [])}

    def has(self, path: str) -> bool:
        return path in self.units or path in self.folders

    def covers(self, unit: Unit) -> bool:
        """Whether a unit's path is here; that of a folder also where something is in it and no folders are listed."""
        folder = unit.node.kind is Kind.DIR and not self.folders
        return self.has(unit.path) or (folder and unit.path in self.implied)

    def is_folder(self, path: str) -> bool:
        """Whether a path is that of a folder here, listed or not."""
        return path in self.folders or path in self.implied

    def is_link(self, path: str, target: str) -> bool:
        """Whether all that is here at a path is a link to a target."""
        found = self.units.get(path, [])
        return bool(found) and all(u.node.kind is Kind.SYMLINK and u.node.link == target for u in found)

    def is_other(self, path: str, target: str | None) -> bool:
        """Whether something else is here at a path than a link to a target, or (where that is ``None``) a folder; a
        folder in a link's place is none, for package managers leave the link."""
        found = self.units.get(path, [])
        return any(u.node.kind is not Kind.SYMLINK or u.node.link != target for u in found)

    def led_through(self, link: Unit) -> dict[str, str | None] | None:
        """What a link in this tree leads through, by path, with itself and what it leads to: the targets of links,
        ``None`` for folders. Nothing where it leads to no folder. As Linux goes: part by part, through each link as it
        is met, so that ``..`` goes up from where that has led."""
        here: list[str] = []
        todo, through = _parts(link.path), dict[str, str | None]()
        for _ in range(_LINKS):
            met = self._link_on(here, todo, through)
            if not met:
                return through if met is None and not todo else None
            if met.startswith("/"):
                here.clear()
            todo += _parts(met)
        return None

    def _link_on(self, here: list[str], todo: list[str], through: dict[str, str | None]) -> str | None:
        """Go the parts ``todo`` (the next one last) from the folder ``here``, and stop at a link: what it says, where
        one was met. What is not gone stays in ``todo``; what was met is entered in ``through``."""
        while todo:
            if todo[-1] == "..":
                del here[-1:], todo[-1]
                continue
            path = "/".join((*here, todo[-1]))
            found = self.units.get(path, [])
            if len(found) == 1 and found[0].node.kind is Kind.SYMLINK and path not in self.folders:
                todo.pop()
                through[path] = found[0].node.link
                return found[0].node.link
            if found or not self.is_folder(path):
                return None
            here.append(todo.pop())
            through[path] = None
        return None

    def lacking(self, other: Tree) -> list[Unit]:
        """What this tree has and the other has not: files and links, and folders that nothing else here speaks for.
        What was taken out of a member that is opened may be elsewhere, but for another archive."""
        missing = (units[0] for path, units in self.units.items() if not other.has(path))
        out = [unit for unit in missing if other.archive or not unit.opened]
        spoken = {ROOT, MADE, *(above for unit in out for above in _above(unit.path))}
        for path in sorted(self.folders, reverse=True):  # what lies in a folder before the folder
            if path not in spoken and not other.covers(self.folders[path]):
                out.append(self.folders[path])
                spoken.update(_above(path))
        return out

    def alone(self, path: str) -> bool:
        """Whether nothing lies in a folder of this tree, and a person or a program made it."""
        return path not in self.implied and path not in (ROOT, MADE)


def _above(path: str) -> Iterable[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _parts(path: str) -> list[str]:
    """The parts of a path that lead anywhere, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def held(trees: Iterable[Tree]) -> dict[str, list[set[str]]]:
    """The contents of regular files of some trees by path, those of each tree for itself, and the same once."""
    out: dict[str, dict[frozenset[str], set[str]]] = {}
    for tree in trees:
        for path in tree.regular:
            contents = tree.contents(path)
            out.setdefault(path, {})[frozenset(contents)] = contents
    return {path: list(found.values()) for path, found in out.items()}


def conflicts(tree: Tree, others: Mapping[str, list[set[str]]]) -> bool:
    """Whether a tree has another file where one of some others (:func:`held`) has one, so that they cannot be parts of
    one system."""
    return any(here.isdisjoint(tree.contents(path)) for path in tree.regular for here in others.get(path, ()))


def grown(
    units: Iterable[Unit], artefact: int, nodes: Sequence[Node], *, loose: bool = False, folder: str = ""
) -> list[Tree]:
    """The trees that an artefact's units lie in, in order. ``loose``: the artefact is a file that has a place, perhaps
    in a ``folder`` that was handed in."""
    out: dict[int, Tree] = {}
    for unit in units:
        if not unit.piece:
            if unit.tree not in out:
                node = nodes[unit.tree]
                place = folder or node.locator
                tree = Tree(unit.tree, artefact, place, loose=loose, archive=unit.archive, where=node.where)
                tree.complete = all(nodes[n].complete for n in _upwards(unit.tree, nodes))
                tree.mounted = _mounted(node)
                out[unit.tree] = tree
            out[unit.tree].add(unit)
    return list(out.values())


def formed(trees: Iterable[Tree], nodes: Sequence[Node], placed: frozenset[int]) -> None:
    """Give rebuilt trees their form. ``placed`` are the trees that are one file with its place. Of what one artefact
    holds beside packages, several trees are file systems: an image was rebuilt."""
    beside = Counter[int]()
    for tree in trees:
        if tree.describes or tree.packed:
            tree.form = Form.PACKAGE
        elif tree.number in placed:
            tree.form = Form.PLACED
        else:
            beside[tree.artefact] += 1
    for tree in trees:
        own = _mounted(nodes[tree.number])
        own |= any(nodes[n].format in OWN for n in _upwards(nodes[tree.number].parent, nodes))  # a kernel's initramfs
        if tree.form is Form.OPEN and not tree.loose and (own or beside[tree.artefact] > 1):
            tree.form = Form.SYSTEM


def describe(trees: Iterable[Tree], nodes: Sequence[Node], packages: Packages) -> None:
    """Mark the trees that are what packages install, and what they have beside it."""
    for tree in trees:
        tree.describes = _describes(tree, packages)
        data = next((n for n in _upwards(tree.number, nodes) if n in packages.data), -1)
        tree.packed = data >= 0
        tree.keeps = tree.packed and _dpkgs(nodes[nodes[data].parent])


def nest(trees: Iterable[Tree], nodes: Sequence[Node]) -> None:
    """Say of each tree whose file it is: an archive that lies in a file system. What a package has beside what it
    installs is no such place."""
    member = {u.node.id: t.number for t in trees if not t.describes for units in t.units.values() for u in units}
    for tree in trees:
        above = (member[n] for n in _upwards(tree.number, nodes) if n in member)
        tree.outer = next((n for n in above if n != tree.number), -1)


def _describes(tree: Tree, packages: Packages) -> bool:
    """Whether a tree is what a package has beside what it installs: its control archive, the archive around both."""
    about = packages.about | packages.data
    return bool(tree.units) and all(unit.node.id in about for units in tree.units.values() for unit in units)


def _dpkgs(package: Node) -> bool:
    """Whether a package is one that dpkg unpacks (deb(5)). opkg takes the same for its own, under another name."""
    return package.format == "ar" and package.name.endswith(".deb")


def _mounted(node: Node) -> bool:
    reader = readers().get(node.format)
    return reader is not None and reader.holds_files is True


def _upwards(number: int, nodes: Sequence[Node]) -> Iterable[int]:
    while number >= 0:
        yield number
        number = nodes[number].parent
