"""The inventory: one component for each product and version, with everything that was found for it.

What package managers state, what programs say of themselves and what the index of known files says are brought together
by product and version. Only evidence that is good enough to assert a version makes a component with that version; what
merely bounds or suggests one is put with the component that it fits, else on a component without a version. What a
file was built with, and what is only a hint, names no component.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from banbury.model.evaluation import File, Node
from banbury.model.release import Release
from banbury.model.supply import Component, Identity, Inventory
from banbury.supply import kernels
from banbury.supply import products as table
from banbury.supply.merge import Group, grouped
from banbury.supply.parts import kernels_of, parts_of
from banbury.supply.patched import in_recipes, patched_ids
from banbury.supply.products import source_name
from banbury.supply.purls import package_url
from banbury.supply.reach import TAGS as REACH
from banbury.supply.reach import Reach
from banbury.supply.stated import Claim, Package, Stated, by_tag, claims

_TAGS: Final = REACH | {
    "package.installed",
    "package.control",
    "package.changelog",
    "package.patches",
    "source.recipe",
    "source.patch",
    "kernel.banner",
    "kernel.boot-loader",
    "kernel.config",
    "kernel.module",
}
#: Identities listed of one sort (technique and version) in a component, and loose ones of one product.
LISTED: Final = 12
#: The name at the start of a dependency, before a version condition or alternatives.
_DEPENDENCY: Final = re.compile(r"\s*([^\s(|:,<>=~]+)")
#: What Debian's builders add to the version of a package that is built again.
_REBUILT: Final = re.compile(r"\+b\d{1,3}\Z")
_TYPES: Final = {"linux": "operating-system", "u-boot": "firmware"}


def make_inventory(
    release: Release,
    nodes: list[Node],
    files: dict[str, File],
    identities: Iterable[Identity] = (),
    *,
    rules: str = "",
    knowledge: str = "",
    package_databases: bool = True,
) -> Inventory:
    """The inventory of a release. ``identities`` are those made of the bytes (:mod:`banbury.supply.identify`);
    ``rules`` and ``knowledge`` name what they were made with. A function of its arguments alone."""
    stated = by_tag(nodes, files, _TAGS)
    found = [*claims(stated, nodes, package_databases=package_databases)]
    found += [Claim(identity=identity) for identity in identities]
    groups, loose = grouped(kernels.counted(found, kernels.sources(stated["kernel.banner"], stated["kernel.config"])))
    reach = Reach(nodes, stated)
    fixed = _fixed(stated) if package_databases else {}
    ids = _ids(groups)
    owners = _owners(groups, ids)
    components = [_component(group, ids[n], reach, fixed, owners) for n, group in enumerate(groups)]
    return Inventory(
        release=release.id,
        label=release.label,
        rules=rules,
        knowledge=knowledge,
        components=sorted(components, key=lambda c: (c.product.lower(), c.id)),
        loose=_some(loose)[0],
        kernels=kernels_of(components, nodes, files),
        parts=parts_of(components, files),
    )


def _fixed(stated: dict[str, list[Stated]]) -> dict[tuple[str, str], list[str]]:
    """What package data names as fixed, by package (or source) and version."""
    found = patched_ids(stated["package.changelog"], stated["package.patches"])
    for key, ids in in_recipes(stated["source.recipe"], stated["source.patch"]).items():
        found[key] = sorted({*found.get(key, ()), *ids})
    return found


def _ids(groups: list[Group]) -> list[str]:
    """An id for each group: product and version, which no two share."""
    return [f"{group.product}@{group.version}" for group in groups]


def _owners(groups: list[Group], ids: list[str]) -> dict[tuple[str, str], str]:
    """Which component a package's name, or a name that it provides, belongs to, by manager."""
    found: dict[tuple[str, str], str] = {}
    for names in ("name", "provides"):
        for group, own in zip(groups, ids, strict=True):
            for package in group.packages:
                for name in [package.name] if names == "name" else package.provides:
                    found.setdefault((package.manager, name), own)
    return found


def _component(
    group: Group, own: str, reach: Reach, fixed: Mapping[tuple[str, str], list[str]], owners: dict[tuple[str, str], str]
) -> Component:
    row = table.products().get(group.product)
    packages = group.packages
    first = packages[0] if packages else None
    listed, unlisted = _some(group.identities)
    needs = {(p.manager, name[1]) for p in packages for text in p.depends if (name := _DEPENDENCY.match(text))}
    depends = {owners[need] for need in needs if need in owners}
    source, number, whole = _sources(packages)
    return Component(
        id=own,
        product=group.product,
        version=group.version,
        type=row.type if row else group.type or _TYPES.get(group.product, "library"),
        cpes=list(row.cpes) if row else [],
        purl=_purl(group, row),
        manager=first.manager if first else "",
        package_version=first.version if first else "",
        architecture=_one(p.architecture for p in packages),
        supplier=_one(p.supplier for p in packages),
        license=_joined(p.license for p in packages),
        identities=listed,
        disagreements=group.disagreements,
        patched=_patched(packages, fixed),
        facts=reach.of(group.identities, packages),
        depends=sorted(depends - {own}),
        source=source,
        source_version=number,
        mixed=not whole,
        unlisted=unlisted,
    )


def _fixed_in(package: Package, fixed: Mapping[tuple[str, str], list[str]]) -> list[str]:
    """The vulnerabilities that the changelog of a package (or of its source) names up to its version. A package that
    was built again without a change (``+b1``; Debian Policy, 5.6.12) has the changelog of what it was built from, and
    one whose source is numbered in another way states that number with the source's name."""
    source, _, rest = package.source.partition(" ")
    numbers = {package.version, _REBUILT.sub("", package.version), rest.strip("() ")}
    names = {package.name, source, source_name(package.manager, package.source)} - {""}
    return [cve for name in sorted(names) for number in sorted(numbers) for cve in fixed.get((name, number), [])]


def _patched(packages: list[Package], fixed: Mapping[tuple[str, str], list[str]]) -> list[str]:
    """What package data name as fixed in every package of a component: of two revisions of one version, the older may
    lack what the newer has."""
    named = [set(_fixed_in(package, fixed)) for package in packages]
    return sorted(set.intersection(*named)) if named else []


def _sources(packages: list[Package]) -> tuple[str, str, bool]:
    """The name and version of the packages' source (:func:`_source`), and whether it is that of all of them."""
    stated = [_source(package) for package in packages]
    pairs = zip(stated, packages, strict=True)
    found = {(name or package.name, number or package.version) for (name, number), package in pairs}
    source, number = stated[0] if stated else ("", "")
    return source, number, len(found) <= 1


def _source(package: Package) -> tuple[str, str]:
    """The name and version of a package's source, ``""`` where they are the package's own. What was built again without
    a change has its source's number; apk and opkg number source and package alike."""
    name, _, rest = package.source.partition(" ")
    if package.manager != "dpkg":
        return ("", "") if name == package.name else (name, "")
    number = rest.strip("() ") or _REBUILT.sub("", package.version)
    return ("" if name == package.name else name), ("" if number == package.version else number)


def _purl(group: Group, row: table.Product | None) -> str:
    """The package's own where there is one package; the source's where Debian made several of one; else the product's
    in general."""
    urls = sorted({p.purl for p in group.packages if p.purl})
    if len(urls) == 1:
        return urls[0]
    if urls:
        named = [p for p in group.packages if p.purl and p.name == group.product]
        sources = {p.source.split(" ", 1)[0] for p in group.packages}
        if group.packages[0].manager == "dpkg" and len(sources) == 1 and (source := sources.pop()):
            return package_url("dpkg", source, group.packages[0].version, "source")
        return named[0].purl if named else urls[0]
    return row.package_url(group.version) if row else ""


def _one(values: Iterable[str]) -> str:
    """The first that is stated."""
    return next((value for value in values if value), "")


def _joined(values: Iterable[str]) -> str:
    """What is stated, where all say the same or the first several in one line."""
    return "; ".join(dict.fromkeys(value for value in values if value))[:400]


def _some(identities: list[Identity]) -> tuple[list[Identity], int]:
    """The first of each sort, and how many more there are."""
    count: dict[tuple[str, str, str, bool], int] = {}
    kept = []
    for identity in identities:
        sort = (identity.product, identity.technique, identity.version, bool(identity.package))
        count[sort] = count.get(sort, 0) + 1
        if identity.package or count[sort] <= LISTED:
            kept.append(identity)
    return kept, len(identities) - len(kept)
