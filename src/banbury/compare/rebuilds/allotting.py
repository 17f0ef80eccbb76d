"""Of which image, and of which file system in it, it is said that something of a rebuild is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from msgspec import Struct

from banbury.compare.rebuilds.counterparts import Counterparts
from banbury.compare.rebuilds.leftout import Missing
from banbury.compare.rebuilds.matching import Match, Unit
from banbury.compare.rebuilds.pairing import Pairing
from banbury.compare.rebuilds.stating import Row


class Seen(Struct, frozen=True, kw_only=True):
    """An image with the rebuilds (indices of artefacts) that it was compared with, file by file."""

    match: Match
    used: list[int]
    rows: list[Row]
    counterparts: Counterparts


def allotted(seen: Sequence[Seen], pairing: Pairing, about: Collection[int]) -> list[list[Missing]]:
    """For each image the units of its rebuilds that it does not have: those that a file system lacks which has most of
    a rebuilt one. A rebuild of which none has most may be for several images: what none of them has is said of the one
    that has the most of it. ``about``: nodes of rebuilds that are not installed (descriptions of packages)."""
    out: list[dict[tuple[str, str], Missing]] = [{} for _ in seen]
    places = {one.match.image: number for number, one in enumerate(seen)}
    several = Counter(tree.artefact for tree in pairing.shipped.values())
    home = _home(seen)

    pieces = frozenset().union(*(one.counterparts.pieces for one in seen))

    def put(number: int, unit: Unit, lacks: str = "") -> None:
        gone = Missing(unit, seen[number].counterparts.moved(unit), lacks)
        out[number].setdefault((lacks, str(unit.key)), gone)

    for tree in pairing.rebuilt.values():
        answering = pairing.answering(tree)
        for shipped in answering:
            number = places[shipped.artefact]
            lacks = shipped.place if several[shipped.artefact] > 1 else ""
            for unit in tree.lacking(shipped):
                if shipped.describes or unit.node.id not in about:
                    put(number, unit, lacks)
        if not answering:
            for unit in pairing.nowhere(tree):
                if unit.node.id not in about and not (unit.archive and unit.node.sha256 in pieces):
                    put(home[tree.artefact], unit)
    unused = [{unit.node.id: (unit, artefact) for unit, artefact in one.counterparts.unused()} for one in seen]
    for number, found in enumerate(unused):
        for node, (unit, artefact) in found.items():
            sharing = [n for n, one in enumerate(seen) if artefact in one.used]
            if node not in about and home[artefact] == number and all(node in unused[n] for n in sharing):
                put(number, unit)
    return [list(found.values()) for found in out]


def _home(seen: Sequence[Seen]) -> dict[int, int]:
    """For each rebuild the image that has the most of it."""
    taken = [Counter(row.artefact for row in one.rows) for one in seen]
    sharing: dict[int, list[int]] = {}
    for number, one in enumerate(seen):
        for artefact in one.used:
            sharing.setdefault(artefact, []).append(number)
    return {artefact: max(images, key=lambda n: (taken[n][artefact], -n)) for artefact, images in sharing.items()}
