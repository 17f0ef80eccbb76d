"""Folders of shipped file systems and archives that are made of no rebuild's.

What holds folders and no file is compared with nothing by its files, and does something all the same: a kernel unpacks
each archive of an initramfs over the ones before, and a folder takes the place of a file and gives its mode to a folder
that is there (clean_path and do_name in Linux, init/initramfs.c); an overlay's upper layer hides what lies below; a
script may be an archive, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Final

from banbury.compare.rebuilds.counterparts import thing
from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.trees import MADE, ROOT, Tree
from banbury.model.evaluation import Node

_NAMED: Final = 5
_WRITES: Final = 0o6022  # setuid and setgid; who may write beside the owner
_STICKY: Final = 0o1000


class Bare:
    """The folders that nothing speaks for, of shipped trees that are not taken to be made of any rebuilt one."""

    def __init__(self, pairing: Pairing) -> None:
        self._pairing = pairing

    def doubts(self, tree: Tree) -> list[str]:
        """What is to be said of the folders of a shipped tree."""
        corresponding = self._pairing.corresponding
        if tree.describes or tree.number in corresponding or tree.outer in corresponding:
            return []
        if any(tree.number in home.every for home in self._pairing.homes.values()):
            return []
        if tree.names and not any(self._pairing.asked(tree, r) for r in self._pairing.rebuilt.values()):
            return []  # all that was rebuilt are files that were handed in alone: they state no folders
        own = (ROOT, MADE) if tree.mounted and tree.outer < 0 else ()  # those that making a file system makes
        odd = [path for path in tree.folders if path not in own and not (tree.names and self._stated(tree, path))]
        held = {path[:at] for path in tree.units for at in range(len(path)) if path[at] == "/"} if odd else set()
        odd = [path for path in odd if path not in held or not self._apart(tree, path)]
        if not odd or self._rebuilt(tree):
            return []
        more = f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
        named = ", ".join("the root folder" if path == ROOT else path for path in sorted(odd)[:_NAMED])
        what = "has folders" if tree.names else "holds nothing but folders"
        why = "nothing says over what they are unpacked or mounted: they may replace files there, or change modes"
        return [f"{tree.place} {what} that no rebuild has so ({named}{more}), and {why}"]

    def _apart(self, tree: Tree, path: str) -> bool:
        """Whether a folder has a name at its top that no rebuild has, so that it can replace nothing of a system (the
        folder of an update, with a kernel and a file system in it), and gives nobody rights."""
        modes = [unit.node.mode for unit in tree.listings(path)]
        return path.partition("/")[0] not in self._tops and not any(mode >= 0 and mode & _WRITES for mode in modes)

    def _stated(self, tree: Tree, path: str) -> bool:
        """Whether a rebuild has a folder at a path, and none has a file there, with no less rights for others."""
        if any(self._pairing.asked(tree, r) for r in self._files.get(path, ())):
            return False
        found = [r for r in self._folders.get(path, ()) if self._pairing.asked(tree, r)]
        modes = [r.folders[path].node for r in found if path in r.folders]
        listed = [unit.node for unit in tree.listings(path)]
        return (bool(found) or path == ROOT) and all(_within(node, modes) for node in listed)

    def _rebuilt(self, tree: Tree) -> bool:
        """Whether a rebuilt tree of folders is just this one."""
        asked = (r for r in self._pairing.rebuilt.values() if not r.names and r.folders.keys() == tree.folders.keys())
        return not tree.names and any(self._pairing.asked(tree, r) and _same(tree, r) for r in asked)

    @cached_property
    def _tops(self) -> set[str]:
        every = self._pairing.rebuilt.values()
        return {path.partition("/")[0] for tree in every for path in (*tree.names, *tree.implied, *tree.folders)}

    @cached_property
    def _files(self) -> dict[str, list[Tree]]:
        return _by_path((path, tree) for tree in self._pairing.rebuilt.values() for path in tree.names)

    @cached_property
    def _folders(self) -> dict[str, list[Tree]]:
        every = self._pairing.rebuilt.values()
        return _by_path((path, tree) for tree in every for path in tree.implied | tree.folders.keys())


def _by_path(found: Iterable[tuple[str, Tree]]) -> dict[str, list[Tree]]:
    out: dict[str, list[Tree]] = {}
    for path, tree in found:
        out.setdefault(path, []).append(tree)
    return out


def _within(node: Node, stated: list[Node]) -> bool:
    """Whether others may change no more in a folder than in one of those that rebuilds state, or than its owner alone
    where none states a mode."""
    open_to = node.mode & _WRITES if node.mode >= 0 else 0
    if open_to and not node.mode & _STICKY:
        return any(s.mode >= 0 and not open_to & ~s.mode and not s.mode & _STICKY for s in stated)
    return node.uid <= 0 or any(s.uid == node.uid for s in stated)


def _same(one: Tree, other: Tree) -> bool:
    return all(list(map(thing, one.listings(p))) == list(map(thing, other.listings(p))) for p in one.folders)
