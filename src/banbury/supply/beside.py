"""What a version that stands alone is the version of, by the texts next to it.

Compilers keep the texts of a function together, so that a version which a program prints stands beside the text that it
is printed with (``oFono version %s``), or beside the program's name. That needs no list of versions.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from msgspec import Struct

from banbury.model.evaluation import Fact

#: ``name version: %s``, ``name - %s``, ``name v%s``; in ``name: %s`` an error follows.
_PRINTED: Final = re.compile(
    r"(?P<name>[A-Za-z][\w.+-]{0,39}?)(?:(?: library)?,? [Vv]er(?:sion)? ?:? ?| [Rr]elease:? | - | |-|/|\) )v?%s"
)
#: A version is printed, of what is not said: ``Version %s``, ``%s version %s``, ``%s (%s) %s``.
_OF_ITSELF: Final = re.compile(
    r"\W*(?:%s(?::| -{1,2})? )?(?:\(%s\) |[Vv](?:ersion)?[: ]{0,2}|[Rr]elease:? )%s|[Vv]ersion:?\W*\Z|Copyright "
)
#: The address of a site.
_ADDRESS: Final = re.compile(r"https?://([\w.-]{1,60})")
_NAME: Final = re.compile(r"(?:GNU )?(?P<name>[\w.+-]{2,40})(?: \(@?[\w. +-]{1,40}@?\)| v)?\Z")
#: Names that many texts begin with.
_NO_NAMES: Final = frozenset({"version", "release", "s", "copyright"})


class Announced(Struct, frozen=True, kw_only=True):
    """Versions that stand alone. ``named``: beside a text with one of the names; ``printed``: beside one that prints
    some version, or the address of the product's site."""

    named: frozenset[str]
    printed: frozenset[str]


def announced(by_tag: Mapping[str, list[Fact]], names: Collection[str]) -> Announced:
    """The versions that the texts next to them say something of. ``names`` are without case and marks."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for version, text in _neighbours(by_tag):
        sort = _says(text, names)
        if sort is not None:
            found[sort].add(version)
    return Announced(named=frozenset(found[True]), printed=frozenset(found[False]))


def _neighbours(by_tag: Mapping[str, list[Fact]]) -> Iterator[tuple[str, str]]:
    for fact in by_tag.get("component.bare-versions", []):
        versions = fact.get("versions")
        for side in ("before", "after"):
            texts = fact.get(side)
            if isinstance(versions, list) and isinstance(texts, list):
                yield from ((str(v), str(t)) for v, t in zip(versions, texts, strict=False) if t)


def _says(text: str, names: Collection[str]) -> bool | None:
    """``True``: the text has a name with the version; ``False``: it prints a version; ``None``: neither."""
    alone = _NAME.match(text.strip())
    printed = [alone["name"]] if alone else [m["name"] for m in _PRINTED.finditer(text)]
    if any(_plain(name) in names for name in printed):
        return True
    site = _ADDRESS.match(text)
    printed_anyway = bool(_OF_ITSELF.match(text) or (site and any(_plain(p) in names for p in site[1].split("."))))
    return False if printed_anyway else None


def _plain(name: str) -> str:
    found = re.sub(r"[^a-z0-9]", "", name.lower()).removeprefix("lib")
    return "" if found in _NO_NAMES else found
