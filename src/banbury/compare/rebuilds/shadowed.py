"""Archives and folders that likeness gives to one file system of an image, and that another may be made of as well.

Such a rebuild may be a file system of its own, or files that go over those of others. Where an image has something that
is like it, and a file system with another file of one of its paths, it is taken for the former: whoever ships the image
may have put that something there for this. So where the manifest says nothing, it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from banbury.compare.rebuilds.counterparts import thing
from banbury.compare.rebuilds.matching import Unit
from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.trees import Form, Tree

_NAMED: Final = 5


def shadowed(pairing: Pairing, tree: Tree) -> Iterator[str]:
    """What is to be said of a shipped tree for which some rebuilds were not asked, though they state other things of
    its paths than those that were."""
    native = pairing.native(tree)
    partners = [pairing.rebuilt[n] for n in pairing.partners(tree.number)]
    for rebuilt in pairing.rebuilt.values():
        stated = rebuilt.number in pairing.homes or rebuilt.form is not Form.OPEN
        if stated or not pairing.asked(tree, rebuilt) or not pairing.foreign(tree.number, rebuilt.number):
            continue
        if any(r.names <= rebuilt.names for r in partners):
            continue  # nothing would be left of what the tree is made of
        if found := sorted(p for p in rebuilt.names & tree.names if _another(rebuilt, native, p)):
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            name = rebuilt.place.partition("!")[0]
            yield (
                f"{name} has something else at {', '.join(found[:_NAMED])}{more} than what {tree.place} was compared "
                f"with: nothing says whether it belongs there (over, or file_systems, of {name} can say it)"
            )


def _another(rebuilt: Tree, native: list[Tree], path: str) -> bool:
    """Whether a rebuilt tree has something else at a path than all of some others that have something there."""
    here = [unit for r in native for unit in r.units.get(path, ())]
    return bool(here) and not any(_same(one, other) for one in rebuilt.units[path] for other in here)


def _same(one: Unit, other: Unit) -> bool:
    """Whether two units are one thing, as far as both state it: files of a folder have no modes and owners."""
    least = 4 if min(one.node.mode, other.node.mode) < 0 else None
    return thing(one)[:least] == thing(other)[:least]
