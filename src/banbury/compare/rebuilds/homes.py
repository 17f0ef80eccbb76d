"""Where the manifest says that a rebuild belongs: into which file systems of an image, all of it or a part.

A file system is named as the reports name its place: with the image's file name and offsets, or without
(``image!squashfs``), which stays the same from one release to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from banbury.compare.rebuilds.trees import Form, Tree
from banbury.formats.contract import clean_name
from banbury.model.evaluation import Node
from banbury.model.release import Artefact

_NAMED: Final = 8
_LONGEST: Final = 200


class Home(Struct, frozen=True):
    """The shipped trees (their numbers) that a rebuilt one belongs into: the ``whole`` of it, or only a part."""

    whole: frozenset[int]
    partly: frozenset[int]

    @property
    def every(self) -> frozenset[int]:
        return self.whole | self.partly


def stated_homes(
    artefacts: Sequence[Artefact], shipped: Iterable[Tree], rebuilt: Iterable[Tree], nodes: Sequence[Node],
    of: Mapping[int, list[int]],
) -> tuple[dict[int, Home], dict[int, list[str]]]:  # fmt: skip
    """What the manifest says of rebuilt trees, by number; and what of it cannot be used, by the artefact of an image
    that is compared with the rebuild (``of``: the rebuilds of each)."""
    places: dict[str, list[Tree]] = {}
    for tree in shipped:
        for name in dict.fromkeys((nodes[tree.number].locator, nodes[tree.number].where)):
            places.setdefault(name, []).append(tree)
    by_artefact: dict[int, list[Tree]] = {}
    for tree in rebuilt:
        by_artefact.setdefault(tree.artefact, []).append(tree)
    homes: dict[int, Home] = {}
    problems: dict[int, list[str]] = {}
    for index in sorted({i for used in of.values() for i in used}):
        artefact, trees = artefacts[index], by_artefact.get(index, [])
        listed = artefact.file_systems, artefact.partly_in
        if not any(listed) or (artefact.tree and not trees):  # a folder's tree is its first file's
            continue
        images = {image for image, used in of.items() if index in used}
        wanted = dict.fromkeys((*listed[0], *listed[1]))
        known = {name: [t.number for t in places.get(name, ()) if t.artefact in images] for name in wanted}
        unknown = [name for name in wanted if not known[name]]
        one = bool(trees) and sum(t.form is Form.SYSTEM for t in trees) < 2
        for image in images:
            if unknown:
                problems.setdefault(image, []).append(_unknown(artefact, unknown, image, places))
            if not one:
                why = f"{artefact.name} is not one file system, folder or archive: nothing says where it belongs"
                problems.setdefault(image, []).append(why)
        if not unknown and one:
            whole, partly = (frozenset(n for name in names for n in known[name]) for names in listed)
            homes |= {tree.number: Home(whole, partly - whole) for tree in trees}
    return homes, problems


def _unknown(artefact: Artefact, unknown: Sequence[str], image: int, places: Mapping[str, list[Tree]]) -> str:
    there = [t.where for found in places.values() for t in found if t.artefact == image]
    shown = ", ".join(dict.fromkeys(there[: 2 * _NAMED])) or "none"
    said = clean_name(unknown[0][:_LONGEST].encode("utf-8", "surrogateescape"))[0]
    return f"{artefact.name} is said to belong into {said}, and the image has no such file system; it has {shown}"
