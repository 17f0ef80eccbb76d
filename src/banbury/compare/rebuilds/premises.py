"""Whether an image and its rebuild can have been built from the same at all, by what they state of themselves.

Said before any difference is: a package of another version and programs of another compiler differ, and that proves
nothing either way. It is read from facts of the inspectors, over all of the image and all of the rebuild.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from banbury.model.evaluation import Fact, File, Node
from banbury.model.rebuild import Premise

_PACKAGES = ("package.installed", "package.control")
_PROGRAM = "elf.identity"
_SHOWN = 4


def premises(rebuilt: list[Node], shipped: list[Node], files: Mapping[str, File]) -> list[Premise]:
    """Packages that both sides state, in no common version, by name; and compilers that are on one side only."""
    ours, theirs = (_versions(nodes) for nodes in (rebuilt, shipped))
    out = [
        Premise(kind="version", subject=name, rebuilt=_said(ours[name]), shipped=_said(theirs[name]))
        for name in sorted(ours.keys() & theirs.keys())
        if not ours[name] & theirs[name]
    ]
    mine, other = (_compilers(nodes, files) for nodes in (rebuilt, shipped))
    if mine and other and not mine & other:
        out.append(Premise(kind="toolchain", subject="programs", rebuilt=_said(mine), shipped=_said(other)))
    return out


def merged(first: Iterable[Premise], second: Iterable[Premise]) -> list[Premise]:
    """Both lists with each subject once, versions first."""
    found = {(p.kind, p.subject): p for p in (*second, *first)}
    return sorted(found.values(), key=lambda p: (p.kind != "version", p.subject))


def _versions(nodes: list[Node]) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for node in nodes:
        for fact in node.facts:
            if fact.get("fact") in _PACKAGES and fact.get("version"):
                out.setdefault(str(fact.get("name", "")), set()).add(str(fact["version"]))
    return out


def _compilers(nodes: list[Node], files: Mapping[str, File]) -> set[str]:
    return {str(c) for node in nodes for fact in _facts(node, files) for c in _listed(fact)}


def _facts(node: Node, files: Mapping[str, File]) -> Iterator[Fact]:
    file = files.get(node.sha256)
    if file is not None:
        yield from (f for f in file.facts if f.get("fact") == _PROGRAM)


def _listed(fact: Fact) -> list[object]:
    found = fact.get("compilers")
    return found if isinstance(found, list) else []


def _said(values: set[str]) -> str:
    shown = sorted(values)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
