"""Which vulnerabilities package data names as fixed: what the changelogs that a release carries say, and the names of
the patches that a source package in it applies."""

from __future__ import annotations

from collections.abc import Iterable

from banbury.supply.stated import Stated

_SERIES = "patches/series"


def patched_ids(changelogs: Iterable[Stated], patches: Iterable[Stated] = ()) -> dict[tuple[str, str], list[str]]:
    """CVE ids by (source package, version) of the changelog's newest entry. A list of patches counts for the changelog
    that stands beside its folder."""
    found: dict[tuple[str, str], set[str]] = {}
    beside: dict[tuple[int, str], tuple[str, str]] = {}
    for item in changelogs:
        key = (item.text("source"), item.text("version"))
        found.setdefault(key, set()).update(item.texts("vulnerabilities"))
        beside[item.node.parent, item.node.name] = key
    for item in patches:
        folder = item.node.name.removesuffix(_SERIES)
        own = beside.get((item.node.parent, f"{folder}changelog"))
        if own is not None:
            found[own].update(item.texts("vulnerabilities"))
    return {key: sorted(ids) for key, ids in found.items()}
