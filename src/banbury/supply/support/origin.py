"""Which distribution a package is from, and which release of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from banbury.model.supply import Component
from banbury.supply.support.table import distributions

#: Distributions by the namespace of a package URL: endoflife.date's name, and what its "extended support" is, open to
#: everybody (Debian's long-term support) or by subscription (Ubuntu's).
NAMES: Final = {"debian": ("debian", True), "ubuntu": ("ubuntu", False), "alpine": ("alpine-linux", False)}
#: Packages whose version is that of the release (Debian: base-files, README; Alpine: main/alpine-base).
_OF_RELEASE: Final = {
    ("dpkg", "base-files"): ("debian", re.compile(r"([0-9]{1,2})(?:\.[0-9]+)?(?:\+deb[0-9]+u[0-9]+)?\Z")),
    ("apk", "alpine-release"): ("alpine", re.compile(r"([0-9]+\.[0-9]+)\.[0-9]+-r[0-9]+\Z")),
    ("apk", "alpine-base"): ("alpine", re.compile(r"([0-9]+\.[0-9]+)\.[0-9]+-r[0-9]+\Z")),
}


def hosts(components: Iterable[Component]) -> dict[str, set[str]]:
    """The products of an inventory with their versions, among them distributions with their releases: those that say
    what they are, else those whose package of that number is installed."""
    found: dict[str, set[str]] = {}
    shown: dict[str, set[str]] = {}
    for component in components:
        if component.version:
            found.setdefault(component.product, set()).add(component.version)
        for package in {identity.package for identity in component.identities if identity.package}:
            name, form = _OF_RELEASE.get((component.manager, package), ("", None))
            if form and (number := form.match(component.package_version)):
                shown.setdefault(name, set()).add(number[1])
    return {name: releases for name, releases in shown.items() if name not in found} | found


def origin(component: Component, known: dict[str, set[str]]) -> tuple[str, set[str]]:
    """The distribution of a package, and the releases that it may be of: the one that its version names (``+deb11u4``),
    else those in the inventory (``known``)."""
    for one in distributions():
        if one.mark and re.search(one.mark, component.package_version[:200]):
            return one.name, {one.release}
    namespace = component.purl.removeprefix("pkg:").split("/")[1:2]
    name = namespace[0] if namespace else ""
    if name not in NAMES:
        return name, set()
    return name, known.get(name, set()) | known.get(NAMES[name][0], set())
