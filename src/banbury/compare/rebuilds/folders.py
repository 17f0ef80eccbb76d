"""Folders of an image: who may change what lies in them, and which of them a script may look for.

A folder is compared where both sides list it. A rebuild that lists no folders (one handed in as files, an archive of
files alone) says nothing of them, which is told once and changes no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.rebuilds.counterparts import named, thing
from banbury.compare.rebuilds.matching import Unit, misnamed
from banbury.compare.rebuilds.order import Order
from banbury.compare.rebuilds.outcomes import LABELS, OTHERS, changes, outcome, special
from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.stating import Row
from banbury.compare.rebuilds.trees import ROOT, Form, Tree
from banbury.model.evaluation import Node
from banbury.model.rebuild import NotCompared
from banbury.model.tree import Kind

_NAMED: Final = 3
_STICKY: Final = 0o1000
_RIGHTS: Final = 0o6777
_SET, _GROUP = 0o6000, 0o020


class Folders:
    """The folders of the shipped trees of one image against those of its rebuilds. ``both``: the rebuilds have extended
    attributes; ``builders``: who built each artefact; ``order``: which of them goes over which."""

    def __init__(self, pairing: Pairing, both: bool, builders: list[str], order: Order) -> None:
        self._pairing, self._both, self._builders, self._order = pairing, both, builders, order

    def of(self, tree: Tree) -> tuple[list[Row], list[NotCompared]]:
        """The folders of a shipped tree that differ; and what of them nothing could be said of."""
        native = self._pairing.native(tree)
        marked = [
            self._marked(unit) for path, unit in tree.folders.items() if _rights(unit) and not _stated(native, unit)
        ]
        rows, left = self._listed(tree, native)
        known = {row.unit.node.id for row in rows}
        return [*rows, *(row for row in marked if row.unit.node.id not in known)], left

    def _marked(self, unit: Unit) -> Row:
        """A folder with extended attributes of which no rebuild says anything: rights, or what an overlay hides."""
        out = outcome(unit, "nothing", None, self._both)
        out.changes = [Change(what=f"xattr {name}", a="none", b=value) for name, value in _rights(unit)]
        return Row(unit=unit, how="nothing", other=None, outcome=out)

    def _anybodys(self, unit: Unit) -> list[Row]:
        """A folder of which no rebuild states the mode, and in which all may replace what others have put there."""
        out = outcome(unit, "nothing", None, self._both)
        out.changes = [] if unit.node.mode & _STICKY else list(special(unit.node, OTHERS))
        return [Row(unit=unit, how="nothing", other=None, outcome=out)] if out.changes else []

    def _somebodys(self, unit: Unit) -> list[Row]:
        """A folder that a rebuild lists without mode and owner, and in which another than root may write."""
        rows = self._anybodys(unit)
        node = unit.node
        if not rows and node.mode >= 0:
            out = outcome(unit, "nothing", None, self._both)
            user, group = misnamed(node.user, node.uid), misnamed(node.group, node.gid)
            out.changes = list(special(node, _SET | (_GROUP if node.gid > 0 or group else 0)))
            out.changes += [Change(what="uid", a="not stated", b=str(node.uid))] if node.uid > 0 else []
            out.changes += [Change(what="user", a="not stated", b=node.user)] if user else []  # taken before the number
            rows = [Row(unit=unit, how="nothing", other=None, outcome=out)] if out.changes else []
        return rows

    def _listed(self, tree: Tree, native: list[Tree]) -> tuple[list[Row], list[NotCompared]]:
        if not native or (not tree.folders and not tree.implied):
            return [], []
        if tree.number not in self._pairing.corresponding:  # the kernel's own initramfs: dev and root, of other modes
            why = f"{_named(list(tree.folders))}: the rebuild has no file system like this one"
            return [], [NotCompared(node=tree.number, why=why)] if tree.folders else []
        partners = self._pairing.partners(tree.number)
        main = [r for r in native if r.number in partners]
        stating = [r for r in main or native if len(r.units) > 1 or not r.loose]  # one file speaks of no folder
        whole = all(r.whole for r in stating) and any(r.folders for r in stating)
        system = self._pairing.whole(tree.number)
        mainly = {r.number for r in main} & {system}
        stating_any = _by_path(tree, native)
        implied = frozenset().union(*(r.implied & tree.folders.keys() for r in native))
        rows: list[Row] = []
        unstated, unclear = [], []
        for path, unit in tree.folders.items():
            upper = self._uppermost(stating_any.get(path, []))
            bare = bool(upper) and all(map(_bare, (u for _, units in upper for u in units)))  # listed, and no more
            stated = [s for s in upper if s[0].number in mainly] or upper
            if stated and not bare:
                listed = _listed(tree.listings(path))
                if row := self._compared(listed, stated):
                    rows.append(row)
                elif other := _other(stated):
                    rows += self._weaker(unit, listed, stated, other)
                    unclear.append(path)
            elif bare or path == ROOT or not tree.alone(path) or not whole or path in implied:
                unstated.append(path)
                rows += self._somebodys(unit) if bare else self._anybodys(unit)
            else:
                rows.append(
                    Row(unit=unit, how="nothing", other=None, outcome=outcome(unit, "nothing", None, self._both))
                )
        return rows, [*_told(tree, unstated, native), *_unclear(tree, unclear)]

    def _differing(self, listed: list[Unit], others: list[Unit]) -> tuple[list[Change], Unit, Unit] | None:
        """What differs first between the listings of a folder on both sides. Where one lists it more often, nothing
        says which of them counts, and all must be alike."""
        pairs = list(zip(listed, others, strict=False))
        if len(listed) != len(others):
            pairs = [*((u, others[0]) for u in listed), *((listed[0], o) for o in others)]
        for unit, other in pairs:
            if differing := list(changes(other.node, unit.node, self._both)):
                return differing, unit, other
        return None

    def _uppermost(self, stated: list[tuple[Tree, list[Unit]]]) -> list[tuple[Tree, list[Unit]]]:
        """Those over which no other goes. A listing without a mode (of a ZIP) leaves it as another states it; and dpkg
        leaves a folder that is there as it is, so that of a package that goes over others it is theirs that count."""
        full = [(tree, units) for tree, units in stated if not all(map(_bare, units))]
        there = [tree.artefact for tree, units in full if _folder(units)]
        known = [
            (tree, units)
            for tree, units in full or stated
            if not (tree.keeps and any(self._order.over(tree.artefact, lower) for lower in there))
        ]
        lower = self._order.lower(tree.artefact for tree, _ in known)
        return [(tree, units) for tree, units in known if tree.artefact not in lower]

    def _weaker(
        self, unit: Unit, listed: list[Unit], stated: list[tuple[Tree, list[Unit]]], other: Tree
    ) -> Iterator[Row]:
        """A row where a folder is as one of the rebuilds states it, and another gives fewer rights to it."""
        counted = _counted(unit.path, stated)
        if all(_within(u.node, o.node) for u in listed for _, others in counted for o in others):
            return
        among = self._order.name(stated[0][0].artefact), self._order.name(other.artefact)
        known = stated[0][1][0]
        out = outcome(unit, "several", known, self._both, among=among if among[0] != among[1] else ())
        yield Row(unit=unit, how="several", other=known, outcome=out, artefact=stated[0][0].artefact)

    def _compared(self, listed: list[Unit], stated: list[tuple[Tree, list[Unit]]]) -> Row | None:
        """A row where a folder, each time that it is listed, is as no rebuild states it."""
        found: list[tuple[list[Change], Unit, Tree, Unit]] = []
        for tree, others in stated:
            first = self._differing(listed, others)
            if first is None:
                return None
            found.append((first[0], first[1], tree, first[2]))
        differing, unit, tree, other = found[0]
        out = outcome(unit, "path", other, self._both)
        out.changes = differing
        return Row(
            unit=unit,
            how="path",
            other=other,
            outcome=out,
            artefact=tree.artefact,
            builder=self._builders[tree.artefact],
        )


def _other(stated: list[tuple[Tree, list[Unit]]]) -> Tree | None:
    """The first rebuilt tree that states something else than the first of all."""
    first = list(map(thing, stated[0][1]))
    return next((tree for tree, units in stated if list(map(thing, units)) != first), None)


def _counted(path: str, stated: list[tuple[Tree, list[Unit]]]) -> list[tuple[Tree, list[Unit]]]:
    """What counts of what some rebuilds state of a folder. Where others than packages state it, it is theirs, whichever
    comes first: dpkg leaves a folder that is there as it is, and all others go over it; and of the root folder no
    package says more than what its maker's folder was like."""
    root = path == ROOT
    own = [(t, units) for t, units in stated if not (t.keeps or (root and (t.form is Form.PACKAGE or t.loose)))]
    return own if any(_folder(units) for _, units in own) else stated


def _within(node: Node, stated: Node) -> bool:
    """Whether a folder gives no rights that a rebuild does not give, and has its owner."""
    modes = stated.mode < 0 or not (node.mode & ~stated.mode & _RIGHTS or stated.mode & ~node.mode & _STICKY)
    owner = all(theirs in (-1, mine) for mine, theirs in ((node.uid, stated.uid), (node.gid, stated.gid)))
    owner &= named(node) == named(stated)
    return node.kind is stated.kind and modes and owner and node.xattrs == stated.xattrs


def _folder(units: list[Unit]) -> bool:
    return all(unit.node.kind is Kind.DIR for unit in units)


def _bare(unit: Unit) -> bool:
    """Whether a folder is listed without its mode."""
    return unit.node.mode < 0 and unit.node.kind is Kind.DIR


def _rights(unit: Unit) -> list[tuple[str, str]]:
    return [(name, value) for name, value in sorted(unit.node.xattrs.items()) if not name.startswith(LABELS)]


def _stated(native: list[Tree], unit: Unit) -> bool:
    """Whether a rebuilt tree has a folder with the same rights."""
    return any(unit.path in tree.folders and _rights(tree.folders[unit.path]) == _rights(unit) for tree in native)


def _by_path(tree: Tree, others: list[Tree]) -> dict[str, list[tuple[Tree, list[Unit]]]]:
    """What rebuilt trees have at the paths of the folders of a shipped one."""
    found: dict[str, list[tuple[Tree, list[Unit]]]] = {}
    for other in others:
        for path in tree.folders.keys() & (other.folders.keys() | other.units.keys()):
            found.setdefault(path, []).append((other, _at(other, path)))
    return found


def _at(tree: Tree, path: str) -> list[Unit]:
    return _listed(tree.listings(path) or tree.units.get(path, [])[:1])


def _listed(units: list[Unit]) -> list[Unit]:
    """The listings of one folder, without those that say again what the one before has said."""
    return [u for n, u in enumerate(units) if not n or thing(u) != thing(units[n - 1])]


def _told(tree: Tree, unstated: list[str], native: list[Tree]) -> Iterator[NotCompared]:
    listed = {path for r in native for path in r.folders}
    if not tree.folders:
        unstated = [*unstated, *sorted(tree.implied & listed)]
    if ROOT not in tree.folders or ROOT not in listed:
        unstated = [ROOT, *(p for p in unstated if p != ROOT)]
    if unstated:
        why = f"mode and owner of {_named(unstated)}: not stated on both sides"
        if any(path in tree.folders and tree.alone(path) for path in unstated):
            why = f"presence, {why}"
        yield NotCompared(node=tree.number, why=why)


def _unclear(tree: Tree, unclear: list[str]) -> Iterator[NotCompared]:
    if unclear:
        yield NotCompared(node=tree.number, why=f"{_named(unclear)}: as one of the rebuilds has it, and not as another")


def _named(paths: list[str]) -> str:
    shown = ["the root folder" if path == ROOT else path for path in paths[:_NAMED]]
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{len(paths)} folder{'' if len(paths) == 1 else 's'} ({', '.join(shown)}{more})"
