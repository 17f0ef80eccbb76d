"""Which vulnerabilities package data names as fixed: what the changelogs that a release carries say."""

from __future__ import annotations

from banbury.supply.stated import Stated


def patched_ids(changelogs: list[Stated]) -> dict[tuple[str, str], list[str]]:
    """CVE ids by (source package, version) of the changelog's newest entry."""
    found: dict[tuple[str, str], list[str]] = {}
    for item in changelogs:
        key = (item.text("source"), item.text("version"))
        found[key] = sorted({*found.get(key, []), *item.texts("vulnerabilities")})
    return found
