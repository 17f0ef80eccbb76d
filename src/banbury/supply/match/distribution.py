"""What the distribution that a package is from says of a vulnerability: its own list, in its own packages' versions.

Debian, Ubuntu and Alpine publish for every release which version of a source package mends what (OSV, ecosystems
``Debian:12``, ``Ubuntu:22.04:LTS``, ``Alpine:v3.19``). Where the installed version is that or a later one, it is fixed,
whatever upstream's version says. Nothing is said where it is not known which release the package is of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from banbury.model.supply import Component, Reason
from banbury.supply import versions
from banbury.supply.feeds.query import Hit, Said
from banbury.supply.match.reasons import reason
from banbury.supply.support.origin import origin


def names_in_lists(component: Component, hosts: dict[str, set[str]]) -> dict[str, bytes]:
    """The names by which its distribution's list speaks of a package, each with the key of its version there."""
    if component.manager not in ("dpkg", "apk") or component.mixed:
        return {}
    name, releases = origin(component, hosts)
    package = component.source or next((i.package for i in component.identities if i.package), "")
    if not name or len(releases) != 1 or not package:
        return {}
    found = {}
    for ecosystem in _ecosystems(name, min(releases)):
        called = f"osv:{ecosystem}:{package}".lower()
        try:
            number = component.source_version or component.package_version
            found[called] = versions.key(number, versions.scheme_of(called))
        except ValueError:
            return {}
    return found


def _ecosystems(name: str, release: str) -> list[str]:
    parts = release.split(".")
    if name == "debian":
        return [f"debian:{parts[0]}"]
    if name == "ubuntu":
        return [f"ubuntu:{release}", f"ubuntu:{release}:lts"]
    return [f"alpine:v{'.'.join(parts[:2])}"] if name == "alpine" and len(parts) > 1 else []


def by_distribution(
    component: Component, names: Mapping[str, bytes], hits: Sequence[Hit], beside: Sequence[Said]
) -> list[Reason]:
    """What the list says of one vulnerability: that this version is affected, mended, or from before the flaw. What it
    does not speak of, it says nothing of. ``names``: the package's there, one or more."""
    version = component.source_version or component.package_version
    words = {"package": next(iter(names)).rpartition(":")[2], "version": version}
    counting = [hit.leaf for hit in hits if hit.leaf.name in names]
    if counting:
        told = counting[0].says or "without an end"
        says = f"the distribution's own list counts its package {version} among the affected ({told})"
        return [reason("distribution-counts", says, range=counting[0].says, **words)]
    said = [one for one in beside if one.leaf is not None and one.leaf.name in names]
    leaves = [(one.leaf, one) for one in said if one.leaf is not None]
    mended = [(leaf, one) for leaf, one in leaves if leaf.high <= names[leaf.name]]
    if mended:
        leaf, one = max(mended, key=lambda pair: pair[0].high)
        says = f"the distribution's own list has it mended before its package {version} ({leaf.says} is affected)"
        return [reason("distribution-fixed", says, range=leaf.says, feed=one.snapshot, **words)]
    if leaves:
        leaf, one = leaves[0]
        says = f"the distribution's own list has it come in after its package {version} ({leaf.says} is affected)"
        return [reason("distribution-excludes", says, range=leaf.says, feed=one.snapshot, **words)]
    return []
