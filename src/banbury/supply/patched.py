"""Which vulnerabilities package data names as fixed: what the changelogs that a release carries say, and the patches
that a source package, or a recipe of OpenWrt or Yocto, in the submission applies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from banbury.supply.stated import Stated

_SERIES = "patches/series"
#: Folders between a recipe and its patches: files/, busybox-1.36.1/, patches/.
_LEVELS = 4


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


def in_recipes(recipes: Iterable[Stated], patches: Iterable[Stated]) -> dict[tuple[str, str], list[str]]:
    """CVE ids by (package, version as its package manager writes it) that the patches of recipes mend. OpenWrt applies
    every file of the folder ``patches`` beside a Makefile, Yocto what SRC_URI lists."""
    below: dict[tuple[int, str], list[Stated]] = {}
    for item in patches:
        for folder in _above(item) if item.texts("vulnerabilities") else ():
            below.setdefault((item.node.parent, folder), []).append(item)
    every = list(recipes)
    named = {(item.node.parent, item.node.name): item for item in every}
    found: dict[tuple[str, str], set[str]] = {}
    for item in every:
        keys = _keys(item)
        if not keys:
            continue
        applied = _openwrt(item, below) if item.text("system") == "openwrt" else _yocto(item, named, below)
        ids = {one for patch in applied for one in patch.texts("vulnerabilities")}
        for key in keys if ids else ():
            found.setdefault(key, set()).update(ids)
    return {key: sorted(ids) for key, ids in found.items()}


def _keys(recipe: Stated) -> list[tuple[str, str]]:
    """Under which names and numbers package managers have what a recipe makes; none where it computes its version."""
    name, version, release = recipe.text("name"), recipe.text("version"), recipe.text("release")
    if recipe.text("system") == "yocto":
        return [(name, f"{version}-{release or 'r0'}")] if version and "%" not in version else []
    folder = _folder(recipe).rstrip("/").rpartition("/")[2]
    numbers = (f"{version}-{release}", f"{version}-r{release}") if version and release else ()
    return [(each, number) for each in dict.fromkeys((name, folder)) if each for number in numbers]


def _openwrt(recipe: Stated, below: Mapping[tuple[int, str], list[Stated]]) -> list[Stated]:
    return below.get((recipe.node.parent, f"{_folder(recipe)}patches/"), [])


def _yocto(
    recipe: Stated, named: Mapping[tuple[int, str], Stated], below: Mapping[tuple[int, str], list[Stated]]
) -> list[Stated]:
    """The patches that a recipe lists, or a file of its own folder that it takes in, where they are there."""
    folder, parent = _folder(recipe), recipe.node.parent
    listed = set(recipe.texts("patches"))
    for name in recipe.texts("includes"):
        if (taken := named.get((parent, folder + name))) is not None:
            listed.update(taken.texts("patches"))
    if not listed:
        return []
    return [item for item in below.get((parent, folder), ()) if item.node.name.rpartition("/")[2] in listed]


def _folder(item: Stated) -> str:
    head, slash, _ = item.node.name.rpartition("/")
    return head + slash


def _above(item: Stated) -> list[str]:
    """The folders that a patch is in, nearest first: a recipe's are a few levels up."""
    found: list[str] = []
    head = item.node.name
    while "/" in head and len(found) < _LEVELS:
        head = head.rpartition("/")[0]
        found.append(f"{head}/")
    return found
