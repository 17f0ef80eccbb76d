"""Which file of the rebuilds a shipped file is compared with: by its path in the tree that corresponds to its own, or
else by its content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from banbury.compare.rebuilds.matching import Key, Unit, misnamed
from banbury.compare.rebuilds.order import Order
from banbury.compare.rebuilds.pairing import Pairing
from banbury.model.evaluation import Node
from banbury.model.tree import Kind

_MOST: Final = 256  # rebuilt things of one path that are told apart
_FILES: Final = (Kind.FILE, Kind.HARDLINK, Kind.CHUNK)


class Found(Struct, frozen=True):
    """How a shipped unit is matched: ``path``, ``content``, ``nothing``, or ``several`` where the rebuild has more than
    one thing of its path and nothing says which of them it should be. ``artefact`` is that of ``unit``; ``stray``: the
    rebuild has it in a file system that corresponds to another of the image; ``among``: of two rebuilds that have
    different things of its path, what a manifest calls them."""

    how: str
    unit: Unit | None = None
    artefact: int = -1
    stray: bool = False
    among: tuple[str, ...] = ()


def thing(unit: Unit) -> tuple[object, ...]:
    """What must be the same for two units of one path to be one and the same."""
    node = unit.node
    attributes = sorted(node.xattrs.items())
    return node.kind, node.sha256, node.link, node.rdev, node.mode, node.uid, node.gid, named(node), attributes


def named(node: Node) -> tuple[str, ...]:
    """The names of the owner and the group, where they are another than the number's: taken before it."""
    owners = ((node.user, node.uid), (node.group, node.gid))
    return tuple(name if misnamed(name, number) else "" for name, number in owners)


class Counterparts:
    """The units of some rebuilds, by path and by content; ``attributes``: any of them has extended attributes."""

    def __init__(self, pairing: Pairing, order: Order) -> None:
        self._pairing, self._order = pairing, order
        self._paths: dict[Key, list[tuple[Unit, int]]] = {}
        self._folders: dict[str, list[tuple[Unit, int]]] = {}
        self._contents: dict[str, tuple[Unit, int]] = {}
        self._moved: dict[str, str] = {}
        self._used: set[int] = set()
        self._met: set[str] = set()
        self.others: list[Unit] = []  # units of which another rebuild has something else than their partner
        self.pieces: set[str] = set()  # contents of shipped pieces
        self.attributes = False

    def add(self, unit: Unit, artefact: int) -> None:
        self.attributes = self.attributes or bool(unit.node.xattrs)
        if unit.node.kind is Kind.DIR:
            self._folders.setdefault(unit.path, []).append((unit, artefact))
            return
        self._paths.setdefault(unit.key, []).append((unit, artefact))
        if unit.node.sha256:
            self._contents.setdefault(unit.node.sha256, (unit, artefact))

    def of(self, unit: Unit, nth: int, count: int) -> Found:
        """The counterpart of a shipped unit, the ``nth`` (from 0) of the ``count`` shipped units of its path in trees
        of one correspondence."""
        self._met.add(unit.node.sha256)
        if unit.piece:
            self.pieces.add(unit.node.sha256)
        found = self._paths.get(unit.key, [])
        if found:
            return self._by_path(unit, found, nth, count)
        if unit.node.sha256 and unit.node.kind in _FILES and unit.node.sha256 in self._contents:
            chosen, artefact = self._contents[unit.node.sha256]
            self._moved.setdefault(unit.node.sha256, unit.path)
            return Found("content", chosen, artefact)
        return Found("nothing")

    def _by_path(self, unit: Unit, found: list[tuple[Unit, int]], nth: int, count: int) -> Found:
        self._used.update(f.node.id for f, _ in found)
        if len(found) > _MOST:
            return Found("path", *found[0]) if _one([*found, *self._folders_at(unit)]) else self._several(found)
        native = [(f, a) for f, a in found if not self._pairing.foreign(unit.tree, f.tree)]
        stray, native = not native, self._upper(native or found, self._folders_at(unit))
        if _one(native):
            return Found("path", *native[0], stray)
        whole = self._pairing.whole(unit.tree)
        own = [(f, a) for f, a in native if f.tree == whole]
        if own and all(f.tree == whole or self._pairing.partial(f.tree) for f, _ in native):
            self.others.append(unit)  # what a whole system has comes before what its packages have
            native = own
        if len({artefact for _, artefact in native}) > 1:
            return self._several(native)
        partners = self._pairing.partners(unit.tree)
        mine = [(f, a) for f, a in native if f.tree in partners] or native
        if _one(mine):
            return Found("path", *mine[0], stray)
        if not partners or len(mine) != count:
            return self._several(mine)
        return Found("path", *mine[nth], stray)  # the same trees in the same order: each its own

    def _folders_at(self, unit: Unit) -> list[tuple[Unit, int]]:
        """What is a folder where a shipped file stands, also in the archive that has the file: what unpacks one with
        both leaves either. Package managers leave a link to a folder where a package has the folder."""
        here = [] if unit.piece else self._folders.get(unit.path, [])
        native = [(f, a) for f, a in here if not self._pairing.foreign(unit.tree, f.tree)]
        if not native or unit.node.kind is not Kind.SYMLINK:
            return native
        kept = self._pairing.kept(unit)
        return [(f, a) for f, a in native if not kept(f)]

    def _upper(self, found: list[tuple[Unit, int]], folders: list[tuple[Unit, int]]) -> list[tuple[Unit, int]]:
        """Of units of one path those over which no other goes, nor one of some ``folders`` there. One that states no
        mode (of a folder) leaves it, and the owner, as what it goes over states them of the same content."""
        every = found + folders
        upper = self._order.uppermost(every)
        if any(f.node.kind is Kind.DIR for f, _ in upper):
            return upper
        return _stating([one for f in upper for one in (f, *self._stated_below(f, every))])

    def _stated_below(self, one: tuple[Unit, int], every: list[tuple[Unit, int]]) -> list[tuple[Unit, int]]:
        """What a unit without a mode goes over, where that has the same content and states one."""
        if one[0].node.mode >= 0:
            return []
        lower = self._order.uppermost([g for g in every if self._order.over(one[1], g[1])])
        if not lower or not all(_same(one[0], f) for f, _ in lower):
            return []
        return [g for f in lower for g in ((f,) if f[0].node.mode >= 0 else self._stated_below(f, every))]

    def _several(self, found: list[tuple[Unit, int]]) -> Found:
        first = thing(found[0][0])
        names = (self._order.name(artefact) for unit, artefact in found if thing(unit) != first)
        other = next((name for name in names if name != self._order.name(found[0][1])), "")
        return Found("several", *found[0], among=(self._order.name(found[0][1]), other) if other else ())

    def moved(self, unit: Unit) -> str:
        """A shipped path at which a unit's content is, where no path has led to it."""
        return self._moved.get(unit.node.sha256, "")

    def unused(self) -> Iterator[tuple[Unit, int]]:
        """Pieces that no shipped unit was compared with, with their artefact; one that was handed in alone has no path
        that it could be missing from where its content is there."""
        pieces = {u.node.id: (u, artefact) for found in self._paths.values() for u, artefact in found if u.piece}
        for number, (unit, artefact) in pieces.items():
            met = unit.opened or number in self._used or (unit.node.sha256 and unit.node.sha256 in self._met)
            if not met and unit.node.kind is not Kind.CHUNK:
                yield unit, artefact


def _stating(found: list[tuple[Unit, int]]) -> list[tuple[Unit, int]]:
    """Those of some units of one path that state the most: what a folder was handed in with has no owners and modes,
    and is not another thing for that."""
    if len(found) < 2:
        return found
    full = [f for f in found if f[0].node.mode >= 0]
    return full + [f for f in found if f[0].node.mode < 0 and not any(_same(f[0], g[0]) for g in full)]


def _same(one: Unit, other: Unit) -> bool:
    return thing(one)[:4] == thing(other)[:4]


def _one(found: list[tuple[Unit, int]]) -> bool:
    first = thing(found[0][0])
    return all(thing(f) == first for f, _ in found)
