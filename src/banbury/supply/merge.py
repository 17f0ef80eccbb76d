"""Brings identities together by product and version, and says where sources disagree."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from banbury.model.supply import Identity, Standing, Technique
from banbury.supply import versions
from banbury.supply.products import products
from banbury.supply.stated import Claim, Package

#: Whose spelling of a version is taken where several say the same one.
_SPELLING: Final = (
    Technique.BANNER,
    Technique.FILE_HASH,
    Technique.BUILD_ID,
    Technique.PACKAGE,
    Technique.METADATA,
)


#: A package's version that is a day, or a commit: no version in the product's own numbering.
SNAPSHOT: Final = re.compile(
    r"(?:19|20)\d\d-\d\d-\d\d(?!\d)|(?:19|20)\d\d\.\d\d\.\d\d~[0-9a-f]{7,40}|[0-9a-f]{12,40}(?:-|\Z)"
)


class Group(Struct, kw_only=True):
    """A component in the making. ``key`` is its version's, ``b""`` where none is asserted."""

    product: str
    key: bytes
    version: str = ""
    type: str = ""
    identities: list[Identity] = []
    packages: list[Package] = []
    disagreements: list[str] = []

    def contents(self) -> set[str]:
        """The contents that it was seen in, package managers' records aside."""
        return {i.sha256 for i in self.identities if i.sha256 and not i.package}


def scheme_of(product: str) -> str:
    """The scheme of a product's versions."""
    row = products().get(product)
    return next((found for name in (row.names() if row else ()) if (found := versions.scheme_of(name))), "")


def key_of(product: str, version: str) -> bytes:
    """What tells one version of a product from another; the text itself where it is no version that can be ordered."""
    if not version:
        return b""
    try:
        return versions.key(version, scheme_of(product))
    except ValueError:
        return b"\xff" + version.encode("utf-8", "backslashreplace")


def grouped(claims: Iterable[Claim]) -> tuple[list[Group], list[Identity]]:
    """A group for each product and version, in the order in which they are met, and the identities that name none."""
    groups: dict[tuple[str, bytes], Group] = {}
    of_product: dict[str, list[Group]] = {}
    later: list[Identity] = []
    loose: list[Identity] = []
    seen: set[tuple[object, ...]] = set()
    for claim in claims:
        identity = claim.identity
        mark = (
            identity.product, identity.technique, identity.standing, identity.version, identity.sha256,
            identity.package, identity.low, identity.high, tuple(identity.versions), identity.rule,
        )  # fmt: skip
        if mark in seen:
            continue
        seen.add(mark)
        if identity.standing in (Standing.DEPENDENCY, Standing.HINT):
            loose.append(identity)
        elif identity.standing is Standing.ASSERTED and identity.version:
            group = _group(groups, of_product, identity.product, key_of(identity.product, identity.version))
            _add(group, claim)
        else:
            later.append(identity)
    for identity in later:
        if (fit := _fit(identity, of_product.get(identity.product, []))) is not None:
            fit.identities.append(identity)
        elif _speaks_of_version(identity) and _versions(of_product.get(identity.product, [])):
            loose.append(identity)
        else:
            _group(groups, of_product, identity.product, b"").identities.append(identity)
    for found in of_product.values():
        _numbered(groups, found)
    for group in groups.values():
        group.version = _spelled(group)
    for product, found in of_product.items():
        _disagree(product, found)
    return list(groups.values()), loose


def _numbered(groups: dict[tuple[str, bytes], Group], found: list[Group]) -> None:
    """Where a package is numbered by the day or the commit of its sources, and the bytes state the product's own
    version, they are one component: the two numbers are of different sorts, and say nothing against each other."""
    own = [g for g in _versions(found) if _seen(g)]
    for group in [g for g in _versions(found) if g.packages and not _seen(g)]:
        dated = all(SNAPSHOT.match(p.version) for p in group.packages)
        into = _only(own) if dated else _only([g for g in own if _marked(group, g)])
        if into is not None:
            into.identities = group.identities + into.identities
            into.packages += group.packages
            found.remove(group)
            del groups[group.product, group.key]


def _marked(group: Group, own: Group) -> bool:
    """Whether the packages' version is the other with a packager's mark: ``30+20221128`` of ``30``."""
    return _spelled(group).startswith(f"{_spelled(own)}+")


def _seen(group: Group) -> bool:
    """Whether bytes other than a package manager's record assert it."""
    return any(not i.package and i.standing is Standing.ASSERTED for i in group.identities)


def _group(
    groups: dict[tuple[str, bytes], Group], of_product: dict[str, list[Group]], product: str, key: bytes
) -> Group:
    group = groups.get((product, key))
    if group is None:
        group = groups[product, key] = Group(product=product, key=key)
        of_product.setdefault(product, []).append(group)
    return group


def _add(group: Group, claim: Claim) -> None:
    group.identities.append(claim.identity)
    group.type = group.type or claim.type
    if claim.package is not None and claim.package not in group.packages:
        group.packages.append(claim.package)


def _versions(found: list[Group]) -> list[Group]:
    return [group for group in found if group.key]


def _speaks_of_version(identity: Identity) -> bool:
    return bool(identity.version or identity.low or identity.high or identity.versions)


def _fit(identity: Identity, found: list[Group]) -> Group | None:
    """The component that an identity without an asserted version goes with: the one of its version or within its
    bounds, the one that its file shows, else the only one there is."""
    known = _versions(found)
    same = [group for group in known if identity.sha256 in group.contents()]
    if identity.low or identity.high:
        return _only([group for group in same or known if within(identity, group.key)])
    if identity.version or identity.versions:
        keys = {key_of(identity.product, v) for v in (identity.versions or [identity.version])}
        return _only([group for group in same or known if group.key in keys])
    return _only(same) or _only(known)


def _only(found: list[Group]) -> Group | None:
    return found[0] if len(found) == 1 else None


def within(identity: Identity, key: bytes) -> bool:
    """Whether a version lies in the bracket of an identity."""
    low = key_of(identity.product, identity.low) if identity.low else b""
    high = key_of(identity.product, identity.high) if identity.high else versions.TOP
    return low <= key < high


def _spelled(group: Group) -> str:
    for technique in _SPELLING:
        for identity in group.identities:
            if identity.technique is technique and identity.version:
                return identity.version
    return next((i.version for i in group.identities if i.version and i.standing is Standing.ASSERTED), "")


def _disagree(product: str, found: list[Group]) -> None:
    """Note on every version of a product where a package manager states one and the bytes another."""
    packaged = [g for g in _versions(found) if g.packages]
    seen = [g for g in _versions(found) if _seen(g)]
    for group in packaged:
        others = [g for g in seen if not g.packages]
        if others and group not in seen:
            package, other = group.packages[0], others[0]
            proof = next(i for i in other.identities if not i.package and i.standing is Standing.ASSERTED)
            says = (
                f"{package.manager} states {package.name} {package.version}, "
                f"but the {proof.technique} in {proof.where or proof.sha256[:12]} states {other.version}"
            )
            for each in (group, *others):
                each.disagreements.append(says)
    if not packaged:
        _kernels(product, seen)


def _kernels(product: str, seen: list[Group]) -> None:
    """A kernel and modules that were built for another one."""
    if product != "linux" or len(seen) < 2:
        return
    kernels = [g for g in seen if any(i.technique is Technique.BANNER for i in g.identities)]
    strange = [g for g in seen if all(i.technique is Technique.METADATA for i in g.identities)]
    for group in strange:
        for kernel in kernels[:1]:
            says = f"modules are built for {group.version}, but the kernel states {kernel.version}"
            group.disagreements.append(says)
            kernel.disagreements.append(says)
