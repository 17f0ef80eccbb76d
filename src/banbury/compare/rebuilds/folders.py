"""Folders of an image: who may change what lies in them, and which of them a script may look for.

A folder is compared where both sides list it. A rebuild that lists no folders (one handed in as files, an archive of
files alone) says nothing of them, which is told once and changes no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from banbury.compare.equivalence.containers.contract import Change
from banbury.compare.rebuilds.counterparts import thing
from banbury.compare.rebuilds.matching import Unit
from banbury.compare.rebuilds.outcomes import changes, outcome
from banbury.compare.rebuilds.pairing import ROOT, Pairing, Tree
from banbury.compare.rebuilds.stating import Row
from banbury.model.rebuild import NotCompared

_NAMED: Final = 3


class Folders:
    """The folders of the shipped trees of one image against those of its rebuilds. ``both``: the rebuilds have extended
    attributes; ``builders``: who built each artefact."""

    def __init__(self, pairing: Pairing, both: bool, builders: list[str]) -> None:
        self._pairing, self._both, self._builders = pairing, both, builders

    def of(self, tree: Tree) -> tuple[list[Row], list[NotCompared]]:
        """The folders of a shipped tree that differ; and what of them nothing could be said of."""
        native = self._pairing.native(tree)
        if not native or (not tree.folders and not tree.implied):
            return [], []
        if tree.number not in self._pairing.corresponding:  # the kernel's own initramfs: dev and root, of other modes
            why = f"{_named(list(tree.folders))}: the rebuild has no file system like this one"
            return [], [NotCompared(node=tree.number, why=why)] if tree.folders else []
        partners = self._pairing.partners(tree.number)
        main = [r for r in native if r.number in partners]
        stating = [r for r in main or native if len(r.units) > 1 or not r.loose]  # one file speaks of no folder
        whole = all(r.whole for r in stating) and any(r.folders for r in stating)
        rows: list[Row] = []
        unstated, unclear = [], []
        for path, unit in tree.folders.items():
            stated = [(r, u) for r in main for u in _at(r, path)] or [(r, u) for r in native for u in _at(r, path)]
            if stated:
                if row := self._compared(unit, stated):
                    rows.append(row)
                elif any(thing(u) != thing(stated[0][1]) for _, u in stated):
                    unclear.append(path)
            elif path == ROOT or not tree.alone(path) or not whole or any(path in r.implied for r in native):
                unstated.append(path)
            else:
                rows.append(
                    Row(unit=unit, how="nothing", other=None, outcome=outcome(unit, "nothing", None, self._both))
                )
        return rows, [*_told(tree, unstated, native), *_unclear(tree, unclear)]

    def _compared(self, unit: Unit, stated: list[tuple[Tree, Unit]]) -> Row | None:
        """A row where a folder is as no rebuild states it."""
        found: list[tuple[list[Change], Tree, Unit]] = []
        for tree, other in stated:
            differing = list(changes(other.node, unit.node, self._both))
            if not differing:
                return None
            found.append((differing, tree, other))
        differing, tree, other = found[0]
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


def _at(tree: Tree, path: str) -> list[Unit]:
    return [tree.folders[path]] if path in tree.folders else tree.units.get(path, [])[:1]


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
