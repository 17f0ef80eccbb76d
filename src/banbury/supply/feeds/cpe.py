"""CPE names and the configurations that are made of them (NISTIR 7695, 6.2: the formatted string binding)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct, structs

from banbury.supply import versions
from banbury.supply.feeds.items import DEPTH, LEAVES, TEXT, Range, text
from banbury.supply.feeds.query import TOP, Leaf, Node, Stated

_SPLIT: Final = re.compile(r"((?:[^:\\]|\\.)*+)(?::|\Z)")
_ESCAPED: Final = re.compile(r"\\(.)")
_FIELDS: Final = ("edition", "language", "sw_edition", "target_sw", "target_hw")


class Name(Struct, frozen=True):
    """A CPE name: ``name`` is ``cpe:vendor:product``; ``version`` and ``update`` are unescaped, ``*`` any, ``-`` none.
    ``narrowed`` holds the other fields that are not ``*``."""

    part: str
    name: str
    version: str
    update: str
    narrowed: str


class CpeMatch(Struct, frozen=True, rename="camel"):
    """One ``cpeMatch`` of NVD's JSON 2.0, or ``cpe_match`` of 1.1 (where the name is ``cpe23Uri``)."""

    vulnerable: bool = True
    criteria: str = ""
    cpe23Uri: str = ""  # noqa: N815 - the feed's name
    version_start_including: str | None = None
    version_start_excluding: str | None = None
    version_end_including: str | None = None
    version_end_excluding: str | None = None


@lru_cache(1 << 16)
def parse(criteria: str) -> Name:
    """A formatted string, 2.3; ``ValueError`` where it is none."""
    if not criteria.startswith("cpe:2.3:") or len(criteria) > 1024:
        raise ValueError(f"no CPE name: {text(criteria, 60)!r}")
    fields = criteria[8:].split(":") if "\\" not in criteria else _SPLIT.findall(criteria[8:])[:-1]
    if len(fields) != 11 or fields[0] not in ("a", "o", "h", "*", "-"):
        raise ValueError(f"no CPE name: {text(criteria, 60)!r}")
    part, vendor, product, version, update, *rest = (plain(field) for field in fields)
    kept = [rest[0], rest[1], rest[2], rest[3], rest[4]]
    narrowed = " ".join(f"{k}={v}" for k, v in zip(_FIELDS, kept, strict=True) if v not in ("*", "-", ""))
    return Name(part, f"cpe:{vendor.lower()}:{product.lower()}"[:TEXT], version, update, narrowed[:TEXT])


def plain(field: str) -> str:
    """A component of a name without its backslashes."""
    return _ESCAPED.sub(r"\1", field) if "\\" in field else field


@lru_cache(1 << 16)
def leaf(
    criteria: str, from_: str | None, above: str | None, to: str | None, below: str | None, vulnerable: bool
) -> Leaf:
    """One statement of a configuration; ``ValueError`` where it has no CPE name.

    A bound that is no version makes the statement one without version: it then neither holds nor fails to hold.
    """
    cpe = parse(criteria)
    if from_ or above or to or below:
        return _bounded(cpe, from_, above, to, below, vulnerable)
    common = {"vulnerable": vulnerable, "part": cpe.part, "narrowed": cpe.narrowed}
    if cpe.version == "*":
        return Leaf(cpe.name, stated=Stated.EVERY, says="*", **common)  # type: ignore[arg-type]
    return exact(cpe.name, cpe.version, cpe.update, **common)  # type: ignore[arg-type]


def exact(name: str, version: str, update: str = "*", **common: str | bool) -> Leaf:
    """One version of a product; ``-`` and texts that are no version are a statement without one."""
    says = version if update in ("*", "-", "") else f"{version} {update}"
    scheme = versions.scheme_of(name)
    try:
        if update == "*":
            low, high = versions.any_update(version, scheme)
        else:
            low = versions.key(version if update in ("-", "") else f"{version}-{update}", scheme)
            high = versions.after(low)
    except ValueError:
        return Leaf(name, stated=Stated.NOT_STATED, says=text(says), **common)  # type: ignore[arg-type]
    return Leaf(name, low, high, Stated.EXACT, says=text(says), **common)  # type: ignore[arg-type]


def _bounded(
    cpe: Name, from_: str | None, above: str | None, to: str | None, below: str | None, vulnerable: bool
) -> Leaf:
    scheme = versions.scheme_of(cpe.name)
    pairs = ((">=", from_), (">", above), ("<=", to), ("<", below))
    says = text(" ".join(f"{sign}{bound}" for sign, bound in pairs if bound))
    low, high, stated = b"", TOP, Stated.RANGE
    try:
        if from_:
            low = versions.key(plain(from_), scheme)
        elif above:
            low = versions.after(versions.key(plain(above), scheme))
        if to:
            high = versions.after(versions.key(plain(to), scheme))
        elif below:
            high = versions.key(plain(below), scheme)
    except ValueError:
        low, high, stated = b"", TOP, Stated.NOT_STATED
    return Leaf(cpe.name, low, high, stated, vulnerable, cpe.part, says, cpe.narrowed)


def leaf_of(match: CpeMatch) -> Leaf:
    """The leaf for one match of a feed."""
    return leaf(
        match.criteria or match.cpe23Uri,
        match.version_start_including,
        match.version_start_excluding,
        match.version_end_including,
        match.version_end_excluding,
        match.vulnerable,
    )


class Group(Struct, frozen=True):
    """A node of a feed's configuration, whatever the feed calls its fields."""

    operator: str
    negate: bool
    matches: list[CpeMatch]
    children: list[Group]


class Collected:
    """The ranges and trees of one record, as its configurations are added."""

    def __init__(self) -> None:
        #: Who states what is added, where that is another than the record's source.
        self.voice = ""
        #: The operating system that the record says all of it is for, where that is another than Linux.
        self.system = ""
        self.ranges: dict[Range, None] = {}
        self.trees: list[Node] = []
        self.stated = 0

    def leaf(self, one: Leaf) -> None:
        """A statement that stands alone."""
        self.stated += 1
        if one.vulnerable:
            self._add(Range(self._said(one)))

    def _said(self, one: Leaf) -> Leaf:
        narrowed = one.narrowed
        if self.system and "target_sw=" not in narrowed and one.vulnerable:
            narrowed = f"{narrowed} target_sw={self.system}".strip()[:TEXT]
        if not self.voice and narrowed == one.narrowed:
            return one
        return structs.replace(one, voice=self.voice, narrowed=narrowed)

    def _add(self, one: Range) -> None:
        if len(self.ranges) >= LEAVES:
            raise ValueError(f"more than {LEAVES} statements on versions")
        self.ranges[one] = None

    def group(self, group: Group) -> None:
        """A configuration. What an OR joins is separate, so that only what an AND joins needs its tree."""
        if not group.negate and (group.operator != "AND" or len(group.matches) + len(group.children) == 1):
            for match in group.matches:
                self.leaf(leaf_of(match))
            for child in group.children:
                self.group(child)
            return
        node = self._node(group, 0)
        number = len(self.trees)
        vulnerable = [Range(one, number) for one in dict.fromkeys(leaves(node)) if one.vulnerable]
        if vulnerable:
            self.trees.append(node)
        for one in vulnerable:
            self._add(one)

    def _node(self, group: Group, depth: int) -> Node:
        if depth > DEPTH:
            raise ValueError("a configuration nested too deeply")
        self.stated += len(group.matches)
        if self.stated > LEAVES:
            raise ValueError(f"more than {LEAVES} statements on versions")
        return Node(
            "AND" if group.operator == "AND" else "OR",
            group.negate,
            [self._said(leaf_of(match)) for match in group.matches],
            [self._node(child, depth + 1) for child in group.children],
        )


def leaves(node: Node) -> list[Leaf]:
    """Every leaf below a node."""
    return [*node.leaves, *(one for child in node.children for one in leaves(child))]
