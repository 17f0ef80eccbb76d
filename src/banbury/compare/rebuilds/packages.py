"""Packages among the rebuilds: what in them describes the package, and what is installed.

Source: deb(5), deb-control(5); opkg's ipk, which is the same in a tar archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from banbury.compare.rebuilds.matching import plain_path
from banbury.model.evaluation import File, Node

_FORMAT: Final = "debian-binary"
_LARGEST: Final = 16  # bytes of it
_CONTROL: Final = re.compile(r"control\.tar(?:\.\w+)?")
_DATA: Final = re.compile(r"data\.tar(?:\.\w+)?")


class Packages(Struct, frozen=True):
    """Of packages, by node: members that describe one and are not installed, and the members ``data`` that hold what is
    installed."""

    about: frozenset[int]
    data: frozenset[int]


def packages(nodes: Sequence[Node], files: Mapping[str, File]) -> Packages:
    """The packages among an artefact's nodes: an archive of these three members and no other, whose control archive
    holds a description. A control archive that was handed in alone describes as well: it holds ``control`` and no
    folders, so that no tree of files is taken for one."""
    below: dict[int, list[Node]] = {}
    for node in nodes:
        below.setdefault(node.parent, []).append(node)
    about: set[int] = set()
    data: set[int] = set()
    for members in _control_archives(below, files):
        about.update(n.id for n in members)
    for members in below.values():
        named = {plain_path(n.name): n for n in members}
        sorts = [[n for name, n in named.items() if sort.fullmatch(name)] for sort in (_CONTROL, _DATA)]
        whole = len(members) == 3 and _FORMAT in named and all(len(found) == 1 for found in sorts)
        if whole and named[_FORMAT].size <= _LARGEST and _describes_below(sorts[0][0].id, below, about):
            about |= {named[_FORMAT].id, sorts[0][0].id}
            data.add(sorts[1][0].id)
    return Packages(about=frozenset(about), data=frozenset(data))


def _control_archives(below: Mapping[int, list[Node]], files: Mapping[str, File]) -> Iterator[list[Node]]:
    for parent, members in below.items():
        control = [n for n in members if plain_path(n.name) == "control"]
        flat = not any("/" in plain_path(n.name) for n in members)
        if parent >= 0 and flat and any(_describes(n, files) for n in control):
            yield members


def _describes(node: Node, files: Mapping[str, File]) -> bool:
    known = files.get(node.sha256)
    return any(f.get("fact") == "package.control" for f in (*node.facts, *(known.facts if known else ())))


def _describes_below(number: int, below: Mapping[int, list[Node]], about: set[int]) -> bool:
    """Whether what is in a member describes a package: the member is packed, and its content the archive."""
    for _ in range(3):
        members = below.get(number, [])
        if any(n.id in about for n in members):
            return True
        if len(members) != 1:
            return False
        number = members[0].id
    return False
