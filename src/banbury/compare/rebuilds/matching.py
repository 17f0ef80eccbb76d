"""Which rebuild belongs to which image, and which of its files to which shipped file.

A rebuild that is an image of its own is compared with its image as a whole. Any other (a package, a program, a folder
of installed files) holds files, and these are matched by their path within the file system. The order in which that is
decided: what the manifest says (``rebuild_of``, ``place``, a folder); the same file name; the only image and the only
rebuild, where both are of one format. Nothing is matched by likeness: a shipped file without a counterpart is listed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.formats.registry import readers
from banbury.model.evaluation import Node
from banbury.model.release import Artefact, ArtefactRole, Release
from banbury.model.tree import Kind

_FILES: Final = (Kind.FILE, Kind.HARDLINK, Kind.CHUNK)


class Match(Struct, frozen=True):
    """An image (index of its artefact) with the rebuilds compared with it as a whole, and those whose files are."""

    image: int
    whole: list[int]
    parts: list[int]


#: Formats that hold more than headers around what comes out of them: code (kernels, scripts that unpack what stands
#: behind them), properties that something boots by. What stands around the parts of an image as a whole is told of.
OWN: Final = frozenset(
    ("image", "bzimage", "zimage", "linux-image", "efi-zboot", "linux-kernel", "egon", "zynos", "fdt", "android-boot")
)
#: How a piece of an image is reached: whether by a format or a name, which, and the how manieth of those.
Steps = tuple[tuple[bool, str, int], ...]
#: What units are matched by: whether it is a piece, a file's path within its tree, a piece's steps.
Key = tuple[bool, str, Steps]


class Unit(Struct, frozen=True):
    """One file or folder of a tree, or one piece of an image that nothing came out of; ``path`` of a piece is for
    people, that of a tree's root is ``.``. ``tree`` is the node that holds the tree, -1 of a piece; ``archive``: the
    tree is an archive that does not look like a file system; ``opened``: it is a member of one that holds nothing but
    what was taken out of it, and that is compared as well. ``programs`` are the contents (SHA-256) that came out of a
    file, however deep, and that may be program code: they are no units of their own. ``inode`` is the same number for
    all names of one file (the node of one of them), -1 of a file with one name."""

    node: Node
    path: str
    piece: bool
    steps: Steps = ()
    tree: int = -1
    archive: bool = False
    opened: bool = False
    programs: tuple[str, ...] = ()
    inode: int = -1

    @property
    def key(self) -> Key:
        """What it is matched by. No two names are shown as one, so that no two places have one key."""
        return (True, "", self.steps) if self.piece else (False, self.path, ())


def matches(release: Release, roots: list[Node]) -> list[Match]:
    """Every image with its rebuilds; ``roots`` are the nodes of the artefacts, in order."""
    listed = release.artefacts
    images = [i for i, a in enumerate(listed) if a.role is ArtefactRole.IMAGE]
    rebuilds = [i for i, a in enumerate(listed) if a.role is ArtefactRole.REBUILD]
    whole = {i: _whole(listed, images, rebuilds, i, roots) for i in rebuilds}
    out = []
    for image in images:
        mine = [i for i in rebuilds if whole[i] == image]
        parts = [i for i in rebuilds if whole[i] is None and listed[i].rebuild_of in ("", listed[image].name)]
        out.append(Match(image, mine, parts))
    return out


def _whole(listed: list[Artefact], images: list[int], rebuilds: list[int], index: int, roots: list[Node]) -> int | None:
    """The image that a rebuild should equal as a whole, if it is one."""
    rebuild = listed[index]
    if rebuild.place or rebuild.tree or rebuild.file_systems or rebuild.partly_in:
        return None
    if rebuild.rebuild_of:
        return next(i for i in images if listed[i].name == rebuild.rebuild_of)
    name = rebuild.name.rpartition("/")[2]
    same = [i for i in images if listed[i].name.rpartition("/")[2] == name]
    if len(same) == 1:
        return same[0]
    alone = len(images) == len(rebuilds) == 1 and roots[index].format == roots[images[0]].format
    return images[0] if alone else None


class Trees:
    """The tree of a release, from nodes and which of them are part of an image rather than files of a tree."""

    def __init__(self, nodes: list[Node], payload: list[bool]) -> None:
        self.nodes, self._payload = nodes, payload
        self._below: dict[int, list[int]] = {}
        for node in nodes:
            self._below.setdefault(node.parent, []).append(node.id)
        starts = self._below.get(-1, [])
        self.roots = [nodes[i] for i in starts]
        self._ends = dict(zip(starts, [*starts[1:], len(nodes)], strict=True))

    def below(self, root: Node) -> list[Node]:
        """An artefact's node and all below it: nodes are numbered depth first."""
        return self.nodes[root.id : self._ends[root.id]]

    def inside(self, node: Node) -> Iterator[Node]:
        """What came out of a file of a tree, however deep; nothing where that is units of its own."""
        todo = [] if self._payload[node.id] else [*self._below.get(node.id, [])]
        while todo:
            number = todo.pop()
            yield self.nodes[number]
            todo += self._below.get(number, [])

    def units(self, root: Node, place: str = "", *, rebuilt: bool = False) -> Iterator[Unit]:
        """What is compared of an artefact: the files, links and folders of every tree in it, and pieces that hold no
        tree. What is in a file is the comparison's own affair. ``place`` is the path of an artefact that is itself a
        file. A ``rebuilt`` kernel or device tree that was handed in alone is a piece as well as what is in it."""
        if place:
            yield Unit(root, plain_path(place), False, tree=root.id)
            return
        if rebuilt and root.format in OWN - {"image"} and root.sha256:
            yield Unit(root, root.name, True, (), opened=True)
        todo: list[tuple[int, Steps]] = [(root.id, ())]
        while todo:
            number, steps = todo.pop()
            node = self.nodes[number]
            below = self._below.get(node.id, [])
            if below and self._payload[node.id]:
                own = node.format in OWN
                if self._archived(node):
                    path = plain_path(node.name) or "."
                    yield Unit(node, path, False, tree=node.parent, archive=True, opened=not own)
                elif own and node.parent >= 0:
                    yield Unit(node, node.where.partition("!")[2], True, steps)
                todo += reversed([(child, (*steps, step)) for child, step in self._steps(below)])
            elif not self._payload[node.id]:
                yield Unit(node, plain_path(node.name) or ".", False, tree=node.parent)
            elif self._archived(node):
                yield Unit(node, plain_path(node.name) or ".", False, tree=node.parent, archive=True)
            elif node.sha256:
                yield Unit(node, node.where.partition("!")[2] or node.name, True, steps)

    def _archived(self, node: Node) -> bool:
        """Whether a payload is a member of an archive, which has a name there (unlike a stretch of an image)."""
        reader = readers().get(self.nodes[node.parent].format) if node.parent >= 0 else None
        return node.kind is not Kind.CHUNK and reader is not None and reader.holds_files is None

    def _steps(self, siblings: list[int]) -> Iterator[tuple[int, tuple[bool, str, int]]]:
        """Each with the step to it from what holds it; a stretch of an image has no name but its format's."""
        met: Counter[tuple[bool, str]] = Counter()
        for number in siblings:
            node = self.nodes[number]
            chunk = node.kind is Kind.CHUNK
            found = chunk, node.where.rpartition("!")[2] if chunk else node.name
            met[found] += 1
            yield number, (*found, met[found])


def misnamed(name: str, number: int) -> bool:
    """Whether an owner's name and number say two things: only of root is it known which number it has."""
    return bool(name) and (name == "root") != (number == 0)


def plain_path(path: str) -> str:
    """A path within a file system without leading slash and ``./``; ``..`` stays, and then matches nothing else."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))
