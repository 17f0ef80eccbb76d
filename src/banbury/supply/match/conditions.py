"""Configurations of CPE names, decided against an inventory with three values: held, not held, cannot be told.

NVD's configurations (CVE API 2.0, "Configurations"; CPE Applicability Language 2.3, NISTIR 7698) are trees of ``AND``
and ``OR`` over names. A name marked ``vulnerable: false`` is what a vulnerable one must run on or with; it is never a
match itself. What the inventory does not hold is *not known to be absent*, since no identification finds everything,
save for two cases: a product that is there in other versions, and an operating system beside another.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import Struct

from banbury.model.supply import Component, Inventory
from banbury.supply import versions
from banbury.supply.feeds.query import Leaf, Node, Stated
from banbury.supply.merge import SNAPSHOT
from banbury.supply.products import products

#: Vendors of operating systems that share no kernel with another: where a kernel is known, theirs is absent.
_FOREIGN: Final = (
    "microsoft:windows",
    "apple:mac_os",
    "apple:macos",
    "apple:iphone_os",
    "apple:ipados",
    "apple:watchos",
    "apple:tvos",
    "oracle:solaris",
    "sun:solaris",
    "ibm:aix",
    "hp:hp-ux",
    "vmware:esx",
    "freebsd:freebsd",
    "netbsd:netbsd",
    "openbsd:openbsd",
)
_LINUX: Final = "cpe:linux:linux_kernel"
#: Values of CPE's target_sw that say "on another system".
_OTHER_SOFTWARE: Final = frozenset({"windows", "macos", "mac_os_x", "iphone_os", "ios", "ipados", "android", "solaris"})
_DEPTH: Final = 16


class Known(Struct, frozen=True, kw_only=True):
    """What the inventory says of names in feeds: for each, the keys of the versions there (``b""``: not known)."""

    keys: dict[str, list[bytes]]
    kernels: frozenset[str]


def names_of(component: Component) -> dict[str, str]:
    """The names by which feeds may speak of a component, each with who says so. Not to be changed."""
    return _names(component.product, tuple(component.cpes))


@lru_cache(1 << 14)
def _names(product: str, cpes: tuple[str, ...]) -> dict[str, str]:
    row = products().get(product)
    return {f"cpe:{pair}": "identification" for pair in cpes} | (row.names() if row else {})


def key_of(component: Component, name: str) -> bytes:
    """The key of a component's version for a name's scheme; ``b""`` where none is known. The day or the commit of a
    snapshot is no version in the order that feeds speak in: as a number it would be newer than everything."""
    if not component.version or SNAPSHOT.match(component.version):
        return b""
    try:
        return versions.key(component.version, versions.scheme_of(name))
    except ValueError:
        return b""


def known(inventory: Inventory) -> Known:
    """What an inventory says of every name that its components have."""
    keys: dict[str, list[bytes]] = {}
    kernels: set[str] = set()
    for component in inventory.components:
        own = names_of(component)
        if component.type == "operating-system":
            kernels |= own.keys()
        for name in own:
            keys.setdefault(name, []).append(key_of(component, name))
    return Known(keys=keys, kernels=frozenset(kernels))


def present(leaf: Leaf, there: Known) -> bool | None:
    """Whether what a leaf names is in the release; ``None`` where it cannot be told."""
    keys = there.keys.get(leaf.name)
    if keys is None:
        return _absent(leaf, there)
    if leaf.stated in (Stated.EVERY, Stated.NOT_STATED):
        return True
    if any(key and leaf.holds(key) for key in keys):
        return True
    return None if not all(keys) else False


def _absent(leaf: Leaf, there: Known) -> bool | None:
    if leaf.part != "o" or not there.kernels:
        return None
    pair = leaf.name.removeprefix("cpe:")
    if leaf.name == _LINUX or pair.startswith(_FOREIGN):
        return False
    return None


def target(narrowed: str, there: Known) -> bool | None:
    """What a leaf demands beside product and version: held, not held or not known. Languages say nothing."""
    held: bool | None = True
    for part in narrowed.split(" "):
        field, _, value = part.partition("=")
        if not value or field == "language":
            continue
        if field == "target_sw" and value.lower() == "linux" and _LINUX in there.kernels:
            continue
        if field == "target_sw" and value.lower() in _OTHER_SOFTWARE and there.kernels:
            return False
        held = None
    return held


def holds(node: Node, focus: Leaf, there: Known) -> tuple[bool | None, list[str]]:
    """Whether a configuration holds for its vulnerable leaf ``focus``, and the names that could not be told.

    Of an ``OR`` above the leaf only the branches with the leaf count: that another branch holds says nothing of it.
    """
    unknown: list[str] = []
    value = _value(node, focus, there, unknown, 0)
    return value, sorted(set(unknown))


def _has(node: Node, focus: Leaf, depth: int = 0) -> bool:
    return focus in node.leaves or (depth < _DEPTH and any(_has(child, focus, depth + 1) for child in node.children))


def _value(node: Node, focus: Leaf, there: Known, unknown: list[str], depth: int) -> bool | None:
    if depth > _DEPTH:
        return None
    own = focus in node.leaves
    branches = [child for child in node.children if _has(child, focus)]
    if node.operator == "OR" and (own or branches):
        values: list[bool | None] = [True] if own else []
        values = values or [_value(child, focus, there, unknown, depth + 1) for child in branches]
    else:
        values = [_leaf(leaf, focus, there, unknown) for leaf in node.leaves]
        values += [_value(child, focus, there, unknown, depth + 1) for child in node.children]
    return _joined(node, values)


def _leaf(leaf: Leaf, focus: Leaf, there: Known, unknown: list[str]) -> bool | None:
    if leaf == focus:
        return True
    value = present(leaf, there)
    if value is None:
        unknown.append(f"{leaf.name} {leaf.says}".strip())
    return value


def _joined(node: Node, values: list[bool | None]) -> bool | None:
    decisive = node.operator == "OR"  # a value that settles the node alone
    if decisive in values:
        value: bool | None = decisive
    elif None in values:
        value = None
    else:
        value = not decisive
    if not values:
        value = None
    return (not value) if node.negate and value is not None else value
