"""Versions that no list knows: whether one may be the next, or one between, of those that a product has had.

Knowledge is always behind. A version that stands alone in a product's own file and is in no list counts only where it
has the form of the product's versions, and continues them: a further one of a branch that is known, or one soon after
the newest.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from banbury.supply.knowledge.bundle import Knowledge

#: Numbers with dots, and what may follow the last: a letter, or a patch level.
_FORM: Final = re.compile(r"(\d{1,8}(?:\.\d{1,8}){1,4})([a-z]{0,2}|-?[pP]\d{1,2})")
#: How far the next release may be from the newest known in the second number, the first being the same: at least this,
#: or a third of what it is.
_FURTHER: Final = 2
#: How far the first number of one that is not asserted may be, but casts doubt on another.
_FAR: Final = 2
#: Numbers of a version in full.
_FULL: Final = 3
#: First numbers that are years, and how many years further.
_YEARS, _LATER = range(1990, 2100), 8


class _Known(Struct, frozen=True, kw_only=True):
    """A product's known versions: the first of each branch, the newest by how many numbers and whether letters follow,
    and the least and the greatest first number."""

    branches: dict[tuple[int, int], tuple[int, ...]]
    newest: dict[tuple[int, bool], tuple[int, ...]]
    first: tuple[int, int]


_HELD: dict[int, tuple[dict[str, list[str]], dict[str, _Known]]] = {}


def parts(version: str) -> tuple[tuple[int, ...], str] | None:
    """A version's numbers and what follows them; ``None`` for one of another form."""
    found = _FORM.fullmatch(version)
    return (tuple(int(part) for part in found[1].split(".")), found[2]) if found else None


def continues(knowledge: Knowledge, product: str, version: str) -> bool:
    """Whether a version has the form of the product's known ones and continues them."""
    found, known = parts(version), _known(knowledge, product)
    if found is None or known is None:
        return False
    numbers, letters = found
    if len(numbers) > 2 and (first := known.branches.get((numbers[0], numbers[1]))) is not None:
        return numbers > first and any(size == len(numbers) for size, _ in known.newest)
    newest = known.newest.get((len(numbers), bool(letters)))
    return newest is not None and _soon_after(numbers, newest)


def is_branch(knowledge: Knowledge, product: str, version: str) -> bool:
    """Whether a version of two numbers is the name of a branch: longer versions that begin with it are known."""
    found, known = parts(version), _known(knowledge, product)
    return found is not None and known is not None and not found[1] and (*found[0],) in known.branches


def newer(knowledge: Knowledge, product: str, version: str) -> bool:
    """Whether a version is soon after the newest known, in its form."""
    found, known = parts(version), _known(knowledge, product)
    if found is None or known is None:
        return False
    newest = known.newest.get((len(found[0]), bool(found[1])))
    return newest is not None and _soon_after(found[0], newest)


def far_newer(knowledge: Knowledge, product: str, version: str) -> bool:
    """Whether a version may be one long after the newest known: too far to assert it, too near to pass over it."""
    found, known = parts(version), _known(knowledge, product)
    if found is None or known is None:
        return False
    newest = known.newest.get((len(found[0]), bool(found[1])))
    return newest is not None and found[0] > newest and found[0][0] - newest[0] <= _FAR


def _soon_after(numbers: tuple[int, ...], newest: tuple[int, ...]) -> bool:
    if numbers <= newest:
        return False
    if newest[0] in _YEARS:
        return numbers[0] - newest[0] <= _LATER
    return numbers[0] == newest[0] and numbers[1] - newest[1] <= max(_FURTHER, newest[1] // 3)


def _known(knowledge: Knowledge, product: str) -> _Known | None:
    held = _HELD.get(id(knowledge.versions))
    if held is None or held[0] is not knowledge.versions:
        _HELD.clear()
        held = _HELD[id(knowledge.versions)] = (knowledge.versions, {})
    if product not in held[1]:
        held[1][product] = _summary(knowledge.versions.get(product, []))
    return held[1][product] if held[1][product].newest else None


def _summary(versions: list[str]) -> _Known:
    newest: dict[tuple[int, bool], tuple[int, ...]] = {}
    branches: dict[tuple[int, int], tuple[int, ...]] = {}
    first: set[int] = set()
    for version in versions:
        if (found := parts(version)) is not None:
            first.add(found[0][0])
            numbers, sort = found[0], (len(found[0]), bool(found[1]))
            newest[sort] = max(newest.get(sort, numbers), numbers)
            if len(numbers) > 2:
                branches[numbers[0], numbers[1]] = min(branches.get((numbers[0], numbers[1]), numbers), numbers)
    return _Known(branches=branches, newest=newest, first=(min(first, default=0), max(first, default=0)))


def plausible(knowledge: Knowledge, product: str, version: str) -> bool:
    """Whether a version that is said to be the product's may be: its first number is one that the product has had, or
    soon after, and it has about as many numbers. Of a product of which nothing is known any may be."""
    found, known = parts(version), _known(knowledge, product)
    if found is None or known is None:
        return found is not None and not _address(found[0])
    least, greatest = known.first
    sizes = {size for size, _ in known.newest}
    near = min(sizes) - 1 <= len(found[0]) <= max(sizes) + 1
    further = _LATER if greatest in _YEARS else _FAR
    return near and least <= found[0][0] <= greatest + further and not _address(found[0])


def ahead(knowledge: Knowledge, product: str, version: str) -> bool:
    """Whether a plausible version is in full, and newer than every known one, whatever their form. What has two numbers
    may be a branch, or a version of a file's format."""
    found, known = parts(version), _known(knowledge, product)
    if found is None or known is None or len(found[0]) < _FULL:
        return False
    return plausible(knowledge, product, version) and all(found[0] > newest for newest in known.newest.values())


def as_newest(knowledge: Knowledge, product: str, version: str) -> bool:
    """Whether a version has as many numbers as the newest of all that are known, and a first number that is the same or
    the next."""
    found, known = parts(version), _known(knowledge, product)
    if found is None or known is None:
        return False
    newest = max(known.newest.values())
    return len(found[0]) == len(newest) and 0 <= found[0][0] - newest[0] <= 1


def is_address(version: str) -> bool:
    """Whether a version may be an address of the internet, or a mask."""
    found = parts(version)
    return found is not None and _address(found[0])


def _address(numbers: tuple[int, ...]) -> bool:
    return len(numbers) == 4 and all(n < 256 for n in numbers) and (numbers[0] > 9 or sum(numbers[1:]) == 0)
