"""Of which image, and of which file system in it, it is said that something of a rebuild is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from banbury.compare.rebuilds.counterparts import Counterparts
from banbury.compare.rebuilds.leftout import Missing
from banbury.compare.rebuilds.matching import Match, Unit
from banbury.compare.rebuilds.pairing import Pairing, Tree
from banbury.compare.rebuilds.stating import Row
from banbury.model.rebuild import LeftOut, NotCompared

_NAMED: Final = 5
_MOST: Final = 200  # archives that are looked at


class Seen(Struct, frozen=True, kw_only=True):
    """An image with the rebuilds (indices of artefacts) that it was compared with, file by file."""

    match: Match
    used: list[int]
    rows: list[Row]
    counterparts: Counterparts


def allotted(seen: Sequence[Seen], pairing: Pairing) -> list[list[Missing]]:
    """For each image the units of its rebuilds that it does not have: those that a file system lacks which has most of
    a rebuilt one. A rebuild of which none has most may be for several images: what none of them has is said of the one
    that has the most of it."""
    out: list[dict[tuple[str, str], Missing]] = [{} for _ in seen]
    places = {one.match.image: number for number, one in enumerate(seen)}
    several = Counter(tree.artefact for tree in pairing.shipped.values())
    home = _home(seen)

    def put(number: int, unit: Unit, lacks: str = "") -> None:
        gone = Missing(unit, seen[number].counterparts.moved(unit), lacks)
        out[number].setdefault((lacks, str(unit.key)), gone)

    for tree in pairing.rebuilt.values():
        answering = pairing.answering(tree)
        for shipped in answering:
            number = places[shipped.artefact]
            lacks = shipped.place if several[shipped.artefact] > 1 else ""
            for unit in tree.lacking(shipped):
                put(number, unit, lacks)
        if not answering:
            for unit in pairing.nowhere(tree):
                put(home[tree.artefact], unit)
    unused = [{unit.node.id: (unit, artefact) for unit, artefact in one.counterparts.unused()} for one in seen]
    for number, found in enumerate(unused):
        for node, (unit, artefact) in found.items():
            sharing = [n for n, one in enumerate(seen) if artefact in one.used]
            if home[artefact] == number and all(node in unused[n] for n in sharing):
                put(number, unit)
    return [list(found.values()) for found in out]


def unasked(tree: Tree, pairing: Pairing, gone: Iterable[LeftOut]) -> Iterator[NotCompared]:
    """What a shipped file system shares with the rebuilds without being asked for the rest: too little of it is there
    to say that it is a copy and lacks something, and nothing says that it is none. ``gone``: what is said to be left
    out."""
    has, lacked = pairing.lacked(tree)
    lacked -= {row.path for row in gone if row.lacks in ("", tree.place)}
    if lacked:
        noun = "file" if len(has) == 1 else "files"
        why = f"{_named(lacked)} are not in {tree.place}, which has {len(has)} {noun} of the same: not taken for a copy"
        yield NotCompared(node=tree.number, why=why)
    if mixed := pairing.mixed(tree):
        why = f"whether they belong into {tree.place}: {_named(mixed)} are of a file system that is another's rebuild"
        yield NotCompared(node=tree.number, why=why)


def unasked_archives(one: Seen, pairing: Pairing, gone: Iterable[LeftOut]) -> Iterator[NotCompared]:
    """The same of archives that do not look like a file system, in the image or in a rebuild."""
    has: dict[int, set[str]] = {}
    others: dict[int, set[tuple[bool, int]]] = {}
    for row in one.rows:
        unit, other = row.unit, row.other
        if unit.piece and not unit.named:
            continue
        number = unit.node.parent if unit.piece else unit.tree
        has.setdefault(number, set()).add(unit.named or unit.path)
        if row.how == "path" and other is not None and (other.named if other.piece else unit.piece):
            place = other.node.parent if other.piece else other.tree
            others.setdefault(number, set()).add((other.piece, place))
    said = {row.node for row in gone}
    for number in sorted(others, key=lambda n: (-len(has[n]), n))[:_MOST]:
        held = [_held(other, one.counterparts, pairing) for other in others[number]]
        lacked = {
            name for names in held for name, node in names.items() if name not in has[number] and node not in said
        }
        if lacked:
            why = f"{_named(lacked)} are not in an archive that has others of the same: not taken for a copy"
            yield NotCompared(node=number, why=why)
    if len(others) > _MOST:
        yield NotCompared(node=one.rows[0].unit.node.id, why="what the smallest of the archives lack: too many")


def _held(other: tuple[bool, int], counterparts: Counterparts, pairing: Pairing) -> dict[str, int]:
    """Nodes by name of a rebuilt archive, or of a tree."""
    piece, number = other
    if piece:
        return counterparts.archive(number)
    tree = pairing.rebuilt.get(number)
    return {path: units[0].node.id for path, units in tree.units.items()} if tree else {}


def _named(paths: set[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return f"{len(paths)} files of the rebuild ({', '.join(sorted(paths)[:_NAMED])}{more})"


def _home(seen: Sequence[Seen]) -> dict[int, int]:
    """For each rebuild the image that has the most of it."""
    taken = [Counter(row.artefact for row in one.rows) for one in seen]
    sharing: dict[int, list[int]] = {}
    for number, one in enumerate(seen):
        for artefact in one.used:
            sharing.setdefault(artefact, []).append(number)
    return {artefact: max(images, key=lambda n: (taken[n][artefact], -n)) for artefact, images in sharing.items()}
