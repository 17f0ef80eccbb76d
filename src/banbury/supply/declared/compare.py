"""What is declared against what was found: undeclared, absent, another version, unused.

Two components are the same where, in this order: their package URLs name the same package, a CPE name has the same
vendor and product, the table of products has both names in one row, or the names are equal but for case, blanks and
punctuation between words. How each pair was matched is said. No likeness counts: ``libssl`` is not ``openssl`` unless
the table says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from banbury.model.supply import Component, Discrepancy, Inventory, Standing
from banbury.supply.declared.model import Declared
from banbury.supply.declared.reading import Handed
from banbury.supply.products import MANAGERS, by_name, by_package, products
from banbury.supply.versions import key, scheme_of, upstream

#: Package managers by the type of a package URL.
_TYPES: Final = {"deb": "dpkg", "rpm": "rpm", "apk": "apk", "opkg": "opkg", "openwrt": "opkg"}
_BETWEEN = re.compile(r"[\s_.-]+")
#: Facts that say that something uses a component.
_USED: Final = ("started", "listens", "loaded-by-started", "loaded-by-listening", "webroot")
_CHECKED: Final = frozenset(("application", "library", "framework"))


class Pair(Struct, frozen=True, kw_only=True):
    """A declared component and one that was found, with how they were matched. ``bill`` is the artefact's name."""

    bill: str
    declared: str
    component: str
    how: str


class Compared(Struct, frozen=True, kw_only=True):
    """The result. ``refused`` are bills that could not be read, each with why, ``remarks`` what is odd in the others.
    Where no bill could be read, nothing is called undeclared."""

    discrepancies: list[Discrepancy]
    pairs: list[Pair]
    refused: list[str]
    remarks: list[str]


def compare_declared(handed: Sequence[Handed], inventory: Inventory) -> Compared:
    """Compare every bill of a submission, taken together, with the inventory."""
    read = [one for one in handed if not one.bill.refused]
    index = _Index(inventory.components)
    pairs: list[Pair] = []
    discrepancies: list[Discrepancy] = []
    used = _reached(inventory.components)
    matched: set[str] = set()
    seen: set[tuple[str, str, str]] = set()
    for one in read:
        for declared in one.bill.components:
            own = (declared.name, declared.version, declared.purl)
            if own in seen:
                continue
            seen.add(own)
            how, found = index.find(declared)
            matched |= {component.id for component in found}
            pairs += [Pair(bill=one.name, declared=_title(declared), component=c.id, how=how) for c in found]
            discrepancies += _one(one.name, declared, found, how, used)
    if read:
        discrepancies += _undeclared(inventory.components, matched)
    return Compared(
        discrepancies=sorted(discrepancies, key=lambda d: (d.kind, d.name, d.declared, d.component)),
        pairs=pairs,
        refused=[f"{one.name}: {one.bill.refused}" for one in handed if one.bill.refused],
        remarks=[f"{one.name}: {remark}" for one in read for remark in _remarks(one)],
    )


def _remarks(one: Handed) -> Iterator[str]:
    yield from one.bill.remarks
    if one.bill.files:
        yield f"{one.bill.files} single files are listed; they are not compared"
    if one.bill.unlisted:
        yield f"{one.bill.unlisted} components beyond the limit were not read"
    if not one.bill.components:
        yield "it lists no component"


def _title(declared: Declared) -> str:
    return f"{declared.name or '(no name)'} {declared.version}".strip()


def _one(bill: str, declared: Declared, found: list[Component], how: str, used: set[str]) -> Iterator[Discrepancy]:
    name = declared.name or "(no name)"
    if not found:
        says = f"{bill} declares it; nothing that was found is known by its package URL, CPE name or name"
        yield Discrepancy(kind="absent", name=name, declared=declared.version, says=says)
        return
    with_version = [component for component in found if component.version]
    if declared.version and with_version and not any(_same(declared, component) for component in with_version):
        versions = ", ".join(dict.fromkeys(component.version for component in with_version))
        yield Discrepancy(
            kind="version",
            name=name,
            declared=declared.version,
            found=versions,
            component=with_version[0].id,
            says=f"{bill} declares {declared.version}, found was {versions} (matched by {how})",
        )
    if used and all(component.type in _CHECKED and component.id not in used for component in found):
        yield Discrepancy(
            kind="unused",
            name=name,
            declared=declared.version,
            found=found[0].version,
            component=found[0].id,
            says="declared and there, but nothing was seen that starts, loads or needs it; loading by name at run "
            "time, and start by another program, are not seen",
        )


def _reached(components: Sequence[Component]) -> set[str]:
    """The ids of what is started, loaded or served, and of what their packages state that they need; empty where
    nothing was seen to start at all."""
    needs = {component.id: component.depends for component in components}
    waiting = [component.id for component in components if any(fact in _USED for fact in component.facts)]
    reached = set(waiting)
    while waiting:
        fresh = set(needs.get(waiting.pop(), ())) - reached
        reached |= fresh
        waiting += fresh
    return reached


def _undeclared(components: Iterable[Component], matched: set[str]) -> Iterator[Discrepancy]:
    for component in components:
        asserted = any(i.standing is Standing.ASSERTED for i in component.identities)
        if component.id not in matched and asserted:
            seen = next(i for i in component.identities if i.standing is Standing.ASSERTED)
            says = f"no bill of materials names it; it is shown by {seen.technique}"
            where = f" in {seen.where}" if seen.where else ""
            yield Discrepancy(
                kind="undeclared",
                name=component.product,
                found=component.version,
                component=component.id,
                says=says + where,
            )


def _same(declared: Declared, component: Component) -> bool:
    """Whether the versions are one: as text, without the packaging's revision, or by the order of versions."""
    manager = component.manager or _TYPES.get(_purl(declared.purl)[0], "")
    theirs = {declared.version, upstream(declared.version, manager), upstream(declared.version, "dpkg")}
    ours = {component.version, component.package_version, upstream(component.package_version, manager)} - {""}
    if theirs & ours:
        return True
    scheme = next((s for pair in component.cpes if (s := scheme_of(f"cpe:{pair}"))), "")
    return bool(_keys(theirs, scheme) & _keys({component.version}, scheme))


def _keys(texts: Iterable[str], scheme: str) -> set[bytes]:
    found = set()
    for text in texts:
        try:
            found.add(key(text, scheme))
        except ValueError:
            continue
    return found


def _purl(text: str) -> tuple[str, str, str]:
    """Type, namespace and name of a package URL, in lower case; empty where it is none."""
    if not text.startswith("pkg:"):
        return "", "", ""
    path = text[4:].partition("#")[0].partition("?")[0].strip("/")
    kind, _, rest = path.partition("/")
    head, slash, last = rest.rpartition("/")
    name = last.partition("@")[0] if slash or "@" not in last[:1] else last
    return kind.lower(), unquote(head).lower(), unquote(name).lower()


def _pairs(names: Iterable[str]) -> Iterator[str]:
    """``vendor:product`` of CPE names, 2.3 or 2.2."""
    for name in names:
        if name.startswith("cpe:2.3:"):
            fields = re.split(r"(?<!\\):", name[:1000])[3:5]
        elif name.lower().startswith("cpe:/"):
            fields = [unquote(field) for field in name[5:1000].split(":")[1:3]]
        else:
            continue
        if len(fields) == 2 and all(fields) and "*" not in fields:
            yield ":".join(field.replace("\\", "").lower() for field in fields)


def normal(name: str) -> str:
    """A name with nothing but its words: lower case, one hyphen between them, without a leading group."""
    return _BETWEEN.sub("-", name.rpartition("/")[2].strip().lower()).strip("-")


@cache
def _titles() -> dict[str, str]:
    """Products by their ids and titles, as :func:`normal` writes them; titles that two share are left out."""
    found: dict[str, str] = {}
    twice = set()
    for row in products().values():
        for name in {normal(row.id), normal(row.title)} - {""}:
            if found.setdefault(name, row.id) != row.id:
                twice.add(name)
    return {name: product for name, product in found.items() if name not in twice or name in products()}


class _Index:
    """The inventory by everything that it can be asked for."""

    def __init__(self, components: Iterable[Component]) -> None:
        self.purls: dict[tuple[str, str, str], list[Component]] = {}
        self.cpes: dict[str, list[Component]] = {}
        self.products: dict[str, list[Component]] = {}
        self.names: dict[str, list[Component]] = {}
        for component in components:
            packages = {_purl(component.purl)} - {("", "", "")}
            for purl in packages:
                self.purls.setdefault(purl, []).append(component)
            for pair in component.cpes:
                self.cpes.setdefault(pair.lower(), []).append(component)
            self.products.setdefault(component.product, []).append(component)
            own = {normal(component.product)} | {normal(i.package) for i in component.identities if i.package}
            for name in own - {""}:
                self.names.setdefault(name, []).append(component)

    def find(self, declared: Declared) -> tuple[str, list[Component]]:
        """How it was matched, and what it was matched with; of several, those with the declared version."""
        for how, found in self._ways(declared):
            if found:
                unique = list({component.id: component for component in found}.values())
                same = [component for component in unique if component.version and _same(declared, component)]
                return how, same or unique
        return "", []

    def _ways(self, declared: Declared) -> Iterator[tuple[str, list[Component]]]:
        purl = _purl(declared.purl)
        yield "package URL", self.purls.get(purl, []) if purl[2] else []
        pairs = list(_pairs(declared.cpes))
        yield "CPE name", [component for pair in pairs for component in self.cpes.get(pair, [])]
        wanted = {product for pair in pairs for product in by_name().get(f"cpe:{pair}", ())}
        wanted |= set(_table(declared, purl))
        yield "the table of products", [c for product in sorted(wanted) for c in self.products.get(product, [])]
        yield "the same name", self.names.get(normal(declared.name), [])


def _table(declared: Declared, purl: tuple[str, str, str]) -> Iterator[str]:
    """The products that the table of products has for a declared component."""
    manager = _TYPES.get(purl[0])
    if manager and (product := by_package(manager, purl[2], declared.version)):
        yield product
        return
    if product := _titles().get(normal(declared.name), ""):
        yield product
        return
    name = declared.name.rpartition("/")[2]
    claimed = {product for manager in MANAGERS if (product := by_package(manager, name, declared.version))}
    if len(claimed) == 1:  # package managers that disagree on a name settle nothing
        yield from claimed
